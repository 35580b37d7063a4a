/* Several threads at once: predictions with one model give the bits of one thread alone, models that are not shared do
 * not disturb each other, and errors belong to the thread that made them. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "support.h"

enum { MAX_THREADS = 8, ROUNDS = 10 };

static scnn_model *shared;
static float alone[BATCH * CLASSES];

/* The functions below run on several threads, so they count their problems and check nothing. */
struct job {
  int index;
  long problems;
};

static void *predict_with_shared_model(void *argument) {
  struct job *job = argument;
  for (int round = 0; round < ROUNDS; round++) {
    float output[BATCH * CLASSES];
    scnn_tensor x = good_images();
    /* Batches of different sizes need different plans. */
    job->problems += scnn_predict(shared, &x, BATCH, NULL, output, BATCH * CLASSES) != SCNN_OK;
    job->problems += memcmp(output, alone, sizeof output) != 0;
    int64_t batch_size = 1 + (round + job->index) % BATCH;
    job->problems += scnn_predict(shared, &x, batch_size, NULL, output, BATCH * CLASSES) != SCNN_OK;
  }
  return NULL;
}

static void *use_model_of_its_own(void *argument) {
  struct job *job = argument;
  for (int round = 0; round < 3; round++) {
    float output[BATCH * CLASSES];
    double loss;
    scnn_model *model = NULL;
    scnn_tensor x = good_images(), y = good_labels();
    job->problems +=
        scnn_model_create("resnet20", "{\"input_shape\": [8, 8, 3], \"classes\": 4, \"seed\": 1}", &model) != SCNN_OK;
    job->problems += scnn_predict(model, &x, BATCH, NULL, output, BATCH * CLASSES) != SCNN_OK;
    job->problems += memcmp(output, alone, sizeof output) != 0;
    job->problems += scnn_compile(model, NULL) != SCNN_OK;
    job->problems += scnn_train_on_batch(model, &x, &y, NULL, &loss, 1) != SCNN_OK;
    job->problems += scnn_model_free(model) != SCNN_OK;
    job->problems += scnn_model_free(model) != SCNN_INVALID_ARGUMENT;
  }
  return NULL;
}

/* Some threads change the model that others predict with: each call waits its turn. */
static void *predict_or_train_shared_model(void *argument) {
  struct job *job = argument;
  for (int round = 0; round < ROUNDS; round++) {
    float output[BATCH * CLASSES];
    double loss;
    scnn_tensor x = good_images(), y = good_labels();
    if (job->index % 2 == 0) job->problems += scnn_train_on_batch(shared, &x, &y, NULL, &loss, 1) != SCNN_OK;
    else job->problems += scnn_predict(shared, &x, BATCH, NULL, output, BATCH * CLASSES) != SCNN_OK;
  }
  return NULL;
}

static void *make_an_error(void *argument) {
  struct job *job = argument;
  char name[40];
  scnn_model *model = NULL;
  snprintf(name, sizeof name, "unknown-%d", job->index);
  for (int round = 0; round < 100; round++) {
    job->problems += scnn_model_create(name, NULL, &model) != SCNN_UNKNOWN_NAME;
    job->problems += strstr(scnn_last_error(), name) == NULL;
  }
  return NULL;
}

static void run(void *(*function)(void *), int count, const char *what) {
  pthread_t threads[MAX_THREADS];
  struct job jobs[MAX_THREADS];
  int started = 0;
  for (; started < count; started++) {
    jobs[started] = (struct job){started, 0};
    if (!CHECK(pthread_create(&threads[started], NULL, function, &jobs[started]) == 0)) break;
  }
  long problems = 0;
  for (int i = 0; i < started; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
    problems += jobs[i].problems;
  }
  if (!CHECK(problems == 0)) printf("  %s, on %d threads: %ld problems\n", what, count, problems);
}

int main(void) {
  make_pixels();
  scnn_tensor x = good_images();
  OK(scnn_set_num_threads(2));
  shared = small_model(1);
  OK(scnn_predict(shared, &x, BATCH, NULL, alone, BATCH * CLASSES));
  for (int count = 2; count <= MAX_THREADS; count += MAX_THREADS - 2) {
    run(predict_with_shared_model, count, "predict with one model");
    run(use_model_of_its_own, count, "create, train and free models");
    run(make_an_error, count, "last error");
  }
  OK(scnn_compile(shared, "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 1e-4}}"));
  run(predict_or_train_shared_model, 4, "train and predict with one model");
  OK(scnn_model_free(shared));
  return finish("threads");
}
