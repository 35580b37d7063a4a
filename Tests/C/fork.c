/* After predictions, a forked child and its parent can both predict and train, as Python's multiprocessing and
 * preloading web servers do; also where other threads of the parent are in the library. An alarm ends what hangs. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { SECONDS = 60 };

static float before[BATCH * CLASSES];

/* Predicts as before the fork, then trains; the loss goes to `*loss`. */
static void predict_and_train(scnn_model *model, double *loss) {
  float output[BATCH * CLASSES];
  scnn_tensor x = good_images(), y = good_labels();
  OK(scnn_predict(model, &x, BATCH, NULL, output, BATCH * CLASSES));
  CHECK(memcmp(output, before, sizeof output) == 0);
  for (int step = 0; step < 2; step++) OK(scnn_train_on_batch(model, &x, &y, NULL, loss, 1));
}

/* Forks a child that calls `predict_and_train` and, once, forks a child of its own. The losses of all must agree. */
static void fork_and_use(scnn_model *model, int generations) {
  int ends[2];
  double loss = -1, loss_of_child = -2;
  fflush(stdout);
  if (!CHECK(pipe(ends) == 0)) return;
  pid_t child = fork();
  if (!CHECK(child >= 0)) return;
  if (child == 0) {
    alarm(SECONDS);
    passed = failed = 0;
    if (generations > 1) fork_and_use(model, generations - 1);
    else predict_and_train(model, &loss);
    OK(scnn_model_free(model));
    CHECK(write(ends[1], &loss, sizeof loss) == sizeof loss);
    fflush(stdout);
    _exit(failed != 0);
  }
  predict_and_train(model, &loss);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  if (WIFSIGNALED(status)) printf("  the child was ended by signal %d\n", WTERMSIG(status));
  if (generations == 1) CHECK(read(ends[0], &loss_of_child, sizeof loss) == sizeof loss && loss_of_child == loss);
  close(ends[0]);
  close(ends[1]);
}

/* -------------------------------------------------------------------------------------------- beside other threads */

/* What the threads of the parent use while it forks. */
static scnn_model *predicted, *trained, *evaluated;
static volatile int stopped;

static void *make_and_free(void *unused) {
  while (!stopped) {
    scnn_graph *graph = NULL;
    if (scnn_graph_create(&graph) == SCNN_OK) scnn_graph_free(graph);
  }
  return unused;
}

/* More sizes than plans are kept, so that they are made again and again. */
static void *predict_sizes(void *unused) {
  float output[BATCH * CLASSES];
  for (int i = 0; !stopped; i++) {
    scnn_tensor x = images(pixels, i % 2 ? SCNN_UINT8 : SCNN_FLOAT32, i / 2 % 6 + 1);
    static float floats[BATCH * PIXELS];
    if (x.dtype == SCNN_FLOAT32) x.data = floats;
    scnn_predict(predicted, &x, BATCH, NULL, output, (size_t)(x.shape[0] * CLASSES));
  }
  return unused;
}

static void *train(void *unused) {
  double loss;
  scnn_tensor x = good_images(), y = good_labels();
  while (!stopped) scnn_train_on_batch(trained, &x, &y, NULL, &loss, 1);
  return unused;
}

static void *evaluate(void *unused) {
  double loss;
  scnn_tensor x = good_images(), y = good_labels();
  while (!stopped) scnn_evaluate(evaluated, &x, &y, NULL, BATCH, &loss, 1);
  return unused;
}

/* In a child. What was read works; what was changed works or says that it cannot, and can be freed. */
static void use_after_fork(void) {
  double loss;
  float output[BATCH * CLASSES];
  scnn_tensor x = good_images(), y = good_labels();
  for (int i = 0; i < 100; i++) {
    scnn_graph *graph = NULL;
    OK(scnn_graph_create(&graph));
    OK(scnn_graph_free(graph));
  }
  OK(scnn_predict(predicted, &x, BATCH, NULL, output, BATCH * CLASSES));
  CHECK(memcmp(output, before, sizeof output) == 0);
  OK(scnn_evaluate(evaluated, &x, &y, NULL, BATCH, &loss, 1));
  scnn_status status = scnn_train_on_batch(trained, &x, &y, NULL, &loss, 1);
  if (status != SCNN_OK) {
    CHECK(status == SCNN_INVALID_STATE);
    SAYS("another thread was changing the model when this process was forked");
    size_t count;
    FAILS(SCNN_INVALID_STATE, scnn_predict(trained, &x, BATCH, NULL, output, BATCH * CLASSES));
    FAILS(SCNN_INVALID_STATE, scnn_model_parameter_count(trained, &count));
    FAILS(SCNN_INVALID_STATE, scnn_compile(trained, NULL));
  }
  OK(scnn_model_free(trained));
  OK(scnn_model_free(predicted));
}

static void fork_beside_threads(void *(*work)(void *), int forks) {
  pthread_t threads[2];
  stopped = 0;
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
  for (int i = 0; i < forks; i++) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      alarm(SECONDS);
      passed = failed = 0;
      use_after_fork();
      fflush(stdout);
      _exit(failed != 0);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (WIFSIGNALED(status)) printf("  a child was ended by signal %d\n", WTERMSIG(status));
  }
  stopped = 1;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

static void test_forks_beside_threads(void) {
  double loss;
  scnn_tensor x = good_images(), y = good_labels();
  predicted = small_model(1);
  trained = small_model(2);
  evaluated = small_model(3);
  OK(scnn_compile(trained, NULL));
  OK(scnn_compile(evaluated, NULL));
  OK(scnn_predict(predicted, &x, BATCH, NULL, before, BATCH * CLASSES));
  OK(scnn_train_on_batch(trained, &x, &y, NULL, &loss, 1));
  OK(scnn_evaluate(evaluated, &x, &y, NULL, BATCH, &loss, 1));
  fork_beside_threads(make_and_free, 40);
  fork_beside_threads(predict_sizes, 20);
  fork_beside_threads(train, 20);
  fork_beside_threads(evaluate, 10);
  OK(scnn_model_free(predicted));
  OK(scnn_model_free(trained));
  OK(scnn_model_free(evaluated));
}

int main(void) {
  alarm(2 * SECONDS);
  make_pixels();
  scnn_tensor x = good_images();
  OK(scnn_set_num_threads(2));
  for (int generations = 1; generations <= 2; generations++) {
    scnn_model *model = small_model(1);
    OK(scnn_compile(model, NULL));
    OK(scnn_predict(model, &x, BATCH, NULL, before, BATCH * CLASSES));
    fork_and_use(model, generations);
    OK(scnn_model_free(model));
  }
  test_forks_beside_threads();
  return finish("fork");
}
