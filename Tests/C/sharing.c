/* Networks made of other models, which they share parameters with; images of any size; classifiers that are replaced;
 * penalties and averages of weights. Also on several threads, and misused. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "misuse.h"

enum { FEATURES = 64, MAX_THREADS = 6, ROUNDS = 6 };

static const char *const settings =
    "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 0.01, \"momentum\": 0.9}, \"seed\": 3}";

/* A graph with an input for the test images, or with `any` not 0 for images of any size. */
static scnn_graph *graph_of_images(int any, scnn_value *input) {
  const int64_t shape[3] = {any ? -1 : SIDE, any ? -1 : SIDE, CHANNELS};
  scnn_graph *graph = NULL;
  OK(scnn_graph_create(&graph));
  OK(scnn_graph_input(graph, "image", shape, 3, input));
  return graph;
}

/* The first stages of `backbone` with another head of four classes. */
static scnn_model *headed(scnn_model *backbone, int inference, int seed) {
  scnn_value x = -1;
  scnn_model *model = NULL;
  scnn_graph *graph = graph_of_images(0, &x);
  char options[60];
  snprintf(options, sizeof options, "{\"name\": \"headed\", \"seed\": %d}", seed);
  OK(scnn_graph_apply(graph, backbone, "body.", "avgpool", inference, x, &x));
  OK(scnn_graph_layer(graph, "dense", "head", "{\"units\": 4}", &x, 1, &x));
  OK(scnn_graph_layer(graph, "softmax", NULL, NULL, &x, 1, &x));
  OK(scnn_graph_model(graph, x, options, &model));
  OK(scnn_graph_free(graph));
  return model;
}

/* What the backbone and a model made of it compute from the test images, which are shared, is the same. */
static int features_alike(scnn_model *backbone, scnn_model *model) {
  float a[BATCH * FEATURES], b[BATCH * FEATURES];
  scnn_tensor x = good_images();
  OK(scnn_predict(backbone, &x, BATCH, "avgpool", a, BATCH * FEATURES));
  OK(scnn_predict(model, &x, BATCH, "body.avgpool", b, BATCH * FEATURES));
  return memcmp(a, b, sizeof a) == 0;
}

static void train(scnn_model *model, int steps) {
  scnn_tensor x = good_images(), y = good_labels();
  double loss = 0;
  for (int i = 0; i < steps; i++) OK(scnn_train_on_batch(model, &x, &y, NULL, &loss, 1));
  CHECK(isfinite(loss));
}

static int is_trainable(scnn_model *model, const char *name) {
  size_t count = 0;
  scnn_parameter parameter;
  OK(scnn_model_parameter_count(model, &count));
  for (size_t i = 0; i < count; i++) {
    if (OK(scnn_model_parameter(model, i, &parameter)) && strcmp(parameter.name, name) == 0) return parameter.trainable;
  }
  CHECK(!"the parameter is there");
  return -1;
}

static void test_sharing(void) {
  scnn_model *backbone = small_model(1), *model = headed(backbone, 0, 2), *copy = NULL;
  size_t count = 0, matched = 0, size = 0;
  CHECK(features_alike(backbone, model));
  OK(scnn_model_clone(model, &copy));
  struct state before = state_of(copy);

  /* What trains or sets through one is there in the other; a clone is on its own. */
  OK(scnn_compile(model, settings));
  train(model, 2);
  CHECK(features_alike(backbone, model));
  CHECK(is_unchanged(copy, &before));
  float *weight = parameter_values(backbone, "conv1.weight", &size);
  for (size_t i = 0; i < size; i++) weight[i] = -weight[i];
  OK(scnn_model_set_parameter(model, "body.conv1.weight", weight, size));
  float *now = parameter_values(backbone, "conv1.weight", &count);
  CHECK(now && count == size && memcmp(now, weight, size * sizeof *now) == 0);
  free(now);
  free(weight);
  CHECK(features_alike(backbone, model));

  /* Freezing too. */
  OK(scnn_model_set_trainable(backbone, "layer[12].*", 0, &matched));
  CHECK(matched > 0 && !is_trainable(model, "body.layer2.0.conv1.weight"));
  CHECK(is_trainable(model, "body.layer3.0.conv1.weight") == 1);
  train(model, 1);
  float gradient[16 * 3 * 3 * 3];
  FAILS(SCNN_INVALID_STATE, scnn_get_gradient(model, "body.layer1.0.conv1.weight", gradient, 16 * 16 * 9));
  OK(scnn_get_gradient(model, "body.conv1.weight", gradient, 16 * 3 * 3 * 3));

  /* It is there after the other is gone, and saved and loaded as any other. */
  scnn_model *loaded = NULL;
  OK(scnn_model_free(backbone));
  train(model, 1);
  OK(scnn_model_save(model, "sharing.safetensors", 1));
  OK(scnn_model_load("sharing.safetensors", &loaded));
  train(model, 2);
  train(loaded, 2);
  CHECK(predict_alike(model, loaded) && parameters_alike(model, loaded));
  remove("sharing.safetensors");
  OK(scnn_model_free(loaded));
  OK(scnn_model_free(model));
  CHECK(is_unchanged(copy, &before));
  OK(scnn_model_free(copy));
}

/* In inference mode what training measures before its step is what evaluation gives, and statistics stay. */
static void test_inference_mode(void) {
  scnn_model *backbone = small_model(1), *model = headed(backbone, 1, 2);
  scnn_tensor x = good_images(), y = good_labels();
  double evaluated = 0, trained = 0;
  size_t count = 0;
  float *before = parameter_values(backbone, "bn1.running_mean", &count);
  OK(scnn_compile(model, settings));
  OK(scnn_evaluate(model, &x, &y, NULL, BATCH, &evaluated, 1));
  OK(scnn_train_on_batch(model, &x, &y, NULL, &trained, 1));
  CHECK(fabs(evaluated - trained) < 1e-5);
  float *after = parameter_values(backbone, "bn1.running_mean", &count);
  CHECK(before && after && memcmp(before, after, count * sizeof *before) == 0);
  free(before);
  free(after);
  CHECK(features_alike(backbone, model));
  OK(scnn_model_free(model));
  OK(scnn_model_free(backbone));
}

/* A model for images of any size predicts and trains with each size as one of that size. */
static void test_any_size(void) {
  scnn_model *any = NULL, *fixed = NULL;
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  OK(scnn_model_create("resnet20", "{\"input_shape\": [null, null, 3], \"classes\": 4, \"seed\": 5}", &any));
  OK(scnn_model_input_shape(any, shape, &rank));
  CHECK(rank == 3 && shape[0] == -1 && shape[1] == -1 && shape[2] == 3);
  OK(scnn_model_tensor_shape(any, NULL, shape, &rank));
  CHECK(rank == 2 && shape[0] == -1 && shape[1] == 4);
  OK(scnn_model_tensor_shape(any, "layer2.0.conv1", shape, &rank));
  CHECK(rank == 4 && shape[0] == -1 && shape[1] == -1 && shape[2] == -1 && shape[3] == 32);
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_tensor_shape(any, "layer2.0.conv9", shape, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_tensor_shape(any, "conv1.weight", shape, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_tensor_shape(any, NULL, NULL, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_tensor_shape(any, NULL, shape, NULL));

  OK(scnn_compile(any, settings));
  static const int64_t sizes[][2] = {{8, 8}, {4, 12}, {13, 7}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    scnn_tensor x = {pixels, SCNN_UINT8, 4, {4, sizes[i][0], sizes[i][1], 3}}, y = vector(labels, SCNN_INT32, 4);
    float of_any[4 * CLASSES], of_fixed[4 * CLASSES];
    double loss_any = 0, loss_fixed = 1;
    char options[100];
    scnn_model *copy = NULL;
    snprintf(options, sizeof options, "{\"input_shape\": [%d, %d, 3], \"classes\": 4, \"seed\": 5}", (int)sizes[i][0],
             (int)sizes[i][1]);
    OK(scnn_model_create("resnet20", options, &fixed));
    OK(scnn_compile(fixed, settings));
    OK(scnn_model_clone(any, &copy));
    OK(scnn_predict(copy, &x, 3, NULL, of_any, 4 * CLASSES));
    OK(scnn_predict(fixed, &x, 3, NULL, of_fixed, 4 * CLASSES));
    CHECK(memcmp(of_any, of_fixed, sizeof of_any) == 0);
    OK(scnn_train_on_batch(copy, &x, &y, NULL, &loss_any, 1));
    OK(scnn_train_on_batch(fixed, &x, &y, NULL, &loss_fixed, 1));
    CHECK(loss_any == loss_fixed && parameters_alike(copy, fixed));
    OK(scnn_model_output_shape(any, &x, "conv1", shape, &rank));
    CHECK(rank == 4 && shape[0] == 4 && shape[1] == sizes[i][0] && shape[2] == sizes[i][1]);
    OK(scnn_model_free(copy));
    OK(scnn_model_free(fixed));
  }
  struct state before = state_of(any);
  static const int64_t wrong[][4] = {{4, 8, 8, 1}, {4, 0, 8, 3}, {0, 8, 8, 3}, {4, -1, -1, 3}, {4, 8, INT64_MAX, 3}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    scnn_tensor x = {pixels, SCNN_UINT8, 4, {wrong[i][0], wrong[i][1], wrong[i][2], wrong[i][3]}};
    float output[4 * CLASSES];
    REFUSES(scnn_predict(any, &x, 4, NULL, output, 4 * CLASSES));
    REFUSES(scnn_model_output_shape(any, &x, NULL, shape, &rank));
  }
  /* Larger than the machine: no memory is asked for until there are images. */
  scnn_tensor huge = {NULL, SCNN_UINT8, 4, {1, INT64_C(1) << 20, INT64_C(1) << 20, 3}};
  survives(scnn_model_output_shape(any, &huge, "conv1", shape, &rank));
  CHECK(is_unchanged(any, &before));
  OK(scnn_model_free(any));

  /* Layers of one's own. */
  scnn_value image = -1, x = -1, flat = -1;
  scnn_graph *graph = graph_of_images(1, &image);
  OK(scnn_graph_shape(graph, image, shape, &rank));
  CHECK(rank == 4 && shape[0] == 1 && shape[1] == -1 && shape[2] == -1 && shape[3] == CHANNELS);
  OK(scnn_graph_layer(graph, "conv2d", "c", "{\"filters\": 5, \"kernel\": [3, 3]}", &image, 1, &x));
  OK(scnn_graph_shape(graph, x, shape, &rank));
  CHECK(rank == 4 && shape[1] == -1 && shape[2] == -1 && shape[3] == 5);
  OK(scnn_graph_layer(graph, "reshape", "flat", "{\"shape\": [-1]}", &x, 1, &flat));
  FAILS(SCNN_SHAPE_MISMATCH, scnn_graph_layer(graph, "dense", "d", "{\"units\": 2}", &flat, 1, &flat));
  SAYS("'d'");
  OK(scnn_graph_layer(graph, "global_pool2d", NULL, "{\"kind\": \"max\"}", &x, 1, &x));
  OK(scnn_graph_layer(graph, "dense", "d", "{\"units\": 2}", &x, 1, &x));
  OK(scnn_graph_shape(graph, x, shape, &rank));
  CHECK(rank == 2 && shape[0] == 1 && shape[1] == 2);
  OK(scnn_graph_free(graph));
}

static void test_wrong_inputs(void) {
  static const int64_t wrong[][3] = {{-2, 8, 3}, {-1, 0, 3}, {INT64_MIN, -1, 3}, {-1, INT64_MAX, 3},
                                     {-1, INT64_C(1) << 44, 3}, {0, 0, 0}};
  scnn_graph *graph = NULL;
  scnn_value x = -1;
  scnn_model *model = NULL;
  OK(scnn_graph_create(&graph));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) REFUSES(scnn_graph_input(graph, "x", wrong[i], 3, &x));
  /* No layer takes channels of any number, and no model pixels of them. */
  const int64_t any[SCNN_MAX_RANK] = {-1, -1, -1, -1, -1, -1, -1, -1};
  REFUSES(scnn_graph_input(graph, "x", any, SCNN_MAX_RANK, &x));
  OK(scnn_graph_input(graph, "x", any, 3, &x));
  FAILS(SCNN_SHAPE_MISMATCH,
        scnn_graph_layer(graph, "conv2d", NULL, "{\"filters\": 5, \"kernel\": [1, 1]}", &x, 1, &x));
  OK(scnn_graph_layer(graph, "activation", NULL, "{\"function\": \"relu\"}", &x, 1, &x));
  REFUSES(scnn_graph_model(graph, x, NULL, &model));
  CHECK(model == NULL);
  OK(scnn_graph_free(graph));
}

static void test_wrong_applications(void) {
  scnn_model *backbone = small_model(1), *gone = small_model(2), *model = NULL;
  struct state before = state_of(backbone);
  scnn_value x = -1, y = -1, narrow = -1;
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  scnn_graph *graph = graph_of_images(0, &x), *other = graph_of_images(0, &y);
  OK(scnn_model_free(gone));
  OK(scnn_graph_layer(other, "activation", NULL, "{\"function\": \"relu\"}", &y, 1, &y));

  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(NULL, backbone, NULL, NULL, 0, x, &y));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, NULL, NULL, NULL, 0, x, &y));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, gone, NULL, NULL, 0, x, &y));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, (scnn_model *)(void *)graph, NULL, NULL, 0, x, &y));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply((scnn_graph *)(void *)backbone, backbone, NULL, NULL, 0, x, &y));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, backbone, NULL, NULL, 0, x, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, backbone, "\xff", NULL, 0, x, &y));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, backbone, NULL, "\xff", 0, x, &y));
  /* Values that the graph does not have; the other has two. */
  static const scnn_value none[] = {-1, 1, 1000, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, backbone, NULL, NULL, (int32_t)i % 2, none[i], &y));
    FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_shape(graph, none[i], shape, &rank));
  }
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_shape(graph, x, NULL, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_shape(graph, x, shape, NULL));
  FAILS(SCNN_UNKNOWN_NAME, scnn_graph_apply(graph, backbone, NULL, "avgpol", 0, x, &y));
  SAYS("avgpool");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, backbone, NULL, "conv1.weight", 0, x, &y));
  OK(scnn_graph_layer(graph, "conv2d", NULL, "{\"filters\": 1, \"kernel\": [1, 1]}", &x, 1, &narrow));
  FAILS(SCNN_SHAPE_MISMATCH, scnn_graph_apply(graph, backbone, "p.", NULL, 0, narrow, &y));
  SAYS("'p.conv1'");
  OK(scnn_graph_shape(graph, narrow, shape, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_shape(graph, narrow + 1, shape, &rank)); /* nothing was left behind */
  char *prefix = malloc(5000);
  if (prefix) {
    memset(prefix, 'p', 4999);
    prefix[4999] = '\0';
    FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, backbone, prefix, NULL, 0, x, &y));
    free(prefix);
  }
  CHECK(is_unchanged(backbone, &before));

  /* After all that it works; added to the same input again it is what is there. */
  OK(scnn_graph_apply(graph, backbone, NULL, "avgpool", 0, x, &y));
  OK(scnn_graph_apply(graph, backbone, NULL, "avgpool", 0, x, &x));
  CHECK(x == y);
  scnn_value both[2] = {x, y};
  OK(scnn_graph_layer(graph, "add", NULL, NULL, both, 2, &x));
  OK(scnn_graph_layer(graph, "dense", "head", "{\"units\": 4}", &x, 1, &x));
  OK(scnn_graph_model(graph, x, NULL, &model));
  size_t of_model = 0, of_backbone = 0;
  OK(scnn_model_parameter_count(model, &of_model));
  OK(scnn_model_parameter_count(backbone, &of_backbone));
  CHECK(of_model == of_backbone); /* each once, and a head in place of the other */
  OK(scnn_compile(model, settings));
  train(model, 1);
  OK(scnn_model_free(model));
  OK(scnn_graph_free(graph));
  OK(scnn_graph_free(other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, backbone, NULL, NULL, 0, 0, &y));
  OK(scnn_model_free(backbone));
}

static void test_classifiers(void) {
  scnn_model *backbone = small_model(1), *model = NULL, *features = NULL;
  scnn_value x = -1;
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  float output[BATCH * 7];
  scnn_graph *graph = graph_of_images(0, &x);
  OK(scnn_graph_apply(graph, backbone, "body.", NULL, 0, x, &x));
  OK(scnn_graph_model(graph, x, NULL, &model));
  OK(scnn_graph_free(graph));
  struct state before = state_of(model);
  CHECK(predict_alike(backbone, model));

  static const int64_t wrong[] = {0, -1, INT64_MIN, INT64_MAX, INT64_C(1) << 45};
  OK(scnn_compile(backbone, settings));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) REFUSES(scnn_model_reset_classifier(backbone, wrong[i], 1));
  CHECK(predict_alike(backbone, model));
  train(backbone, 1); /* still compiled */
  before = state_of(model);

  scnn_tensor images_x = good_images(), y = good_labels();
  double loss = 0;
  OK(scnn_model_reset_classifier(backbone, 7, 1));
  OK(scnn_model_tensor_shape(backbone, NULL, shape, &rank));
  CHECK(rank == 2 && shape[1] == 7);
  OK(scnn_predict(backbone, &images_x, BATCH, NULL, output, BATCH * 7));
  FAILS(SCNN_INVALID_STATE, scnn_train_on_batch(backbone, &images_x, &y, NULL, &loss, 1));
  CHECK(is_unchanged(model, &before)); /* it keeps the classifier it was made with, and shares the rest */
  OK(scnn_compile(backbone, settings));
  train(backbone, 2);
  CHECK(features_alike(backbone, model) && !is_unchanged(model, &before));

  OK(scnn_model_create("resnet20", "{\"input_shape\": [8, 8, 3], \"include_top\": false}", &features));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_reset_classifier(features, 3, 1));
  OK(scnn_model_free(features));
  OK(scnn_model_free(backbone));
  OK(scnn_model_free(model));
}

static void test_penalties_and_averages(void) {
  scnn_model *model = small_model(1);
  scnn_tensor x = good_images(), y = good_labels();
  double plain = 0, loss = 0;
  size_t matched = 99;
  struct state before = state_of(model);
  OK(scnn_compile(model, "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 0.01, \"ema_decay\": 0.5}}"));
  OK(scnn_evaluate(model, &x, &y, NULL, BATCH, &plain, 1));
  static const double factors[][2] = {{-1, 0}, {0, -1}, {NAN, 0}, {0, INFINITY}, {1e300, 0}};
  for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
    FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_regularization(model, "*", factors[i][0], factors[i][1], &matched));
  }
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_set_regularization(model, "layer[45].*", 0, 1, &matched));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_regularization(model, NULL, 0, 1, &matched));
  CHECK(matched == 99);
  OK(scnn_model_set_regularization(model, "*.conv[12].weight", 0.001, 0.01, &matched));
  CHECK(matched == 18);
  OK(scnn_evaluate(model, &x, &y, NULL, BATCH, &loss, 1));
  CHECK(loss > plain + 0.01);
  OK(scnn_model_set_regularization(model, "*", 0, 0, NULL));
  OK(scnn_evaluate(model, &x, &y, NULL, BATCH, &loss, 1));
  CHECK(loss == plain && is_unchanged(model, &before));

  /* The average, in the weights' place or exchanged with them. */
  train(model, 3);
  struct state trained = state_of(model);
  OK(scnn_swap_ema(model));
  struct state averaged = state_of(model);
  CHECK(memcmp(&trained, &averaged, sizeof trained) != 0);
  OK(scnn_swap_ema(model));
  CHECK(is_unchanged(model, &trained));
  OK(scnn_apply_ema(model));
  CHECK(is_unchanged(model, &averaged));
  OK(scnn_apply_ema(model));
  OK(scnn_swap_ema(model));
  CHECK(is_unchanged(model, &averaged));
  OK(scnn_compile(model, NULL));
  FAILS(SCNN_INVALID_STATE, scnn_apply_ema(model));
  CHECK(is_unchanged(model, &averaged));
  OK(scnn_model_free(model));
}

/* --------------------------------------------------------------------------------------------------- several threads */

static scnn_model *backbone;

/* The functions below run on several threads, so they count their problems and check nothing. */
struct job {
  int index;
  long problems;
  scnn_model *model;
};

/* One thread trains a model of its own, others use the backbone, make further models of it, freeze and unfreeze. */
static void *use_what_is_shared(void *argument) {
  struct job *job = argument;
  scnn_tensor x = good_images(), y = good_labels();
  for (int round = 0; round < ROUNDS; round++) {
    float output[BATCH * FEATURES];
    double loss = 0;
    switch (job->index % 3) {
      case 0: job->problems += scnn_train_on_batch(job->model, &x, &y, NULL, &loss, 1) != SCNN_OK; break;
      case 1:
        job->problems += scnn_predict(backbone, &x, BATCH, "avgpool", output, BATCH * FEATURES) != SCNN_OK;
        job->problems += scnn_model_set_trainable(backbone, "layer[12].*", round % 2, NULL) != SCNN_OK;
        break;
      default: {
        scnn_graph *graph = NULL;
        scnn_model *model = NULL;
        scnn_value value = -1;
        const int64_t shape[3] = {SIDE, SIDE, CHANNELS};
        job->problems += scnn_graph_create(&graph) != SCNN_OK;
        job->problems += scnn_graph_input(graph, "image", shape, 3, &value) != SCNN_OK;
        job->problems += scnn_graph_apply(graph, backbone, NULL, "avgpool", round % 2, value, &value) != SCNN_OK;
        job->problems += scnn_graph_model(graph, value, NULL, &model) != SCNN_OK;
        job->problems += scnn_predict(model, &x, BATCH, NULL, output, BATCH * FEATURES) != SCNN_OK;
        if (round == ROUNDS / 2) job->problems += scnn_model_reset_classifier(backbone, 3 + job->index, 1) != SCNN_OK;
        job->problems += scnn_graph_free(graph) != SCNN_OK;
        job->problems += scnn_model_free(model) != SCNN_OK;
      }
    }
  }
  return NULL;
}

static void test_threads(void) {
  pthread_t threads[MAX_THREADS];
  struct job jobs[MAX_THREADS];
  int started = 0;
  backbone = small_model(1);
  for (int i = 0; i < MAX_THREADS; i++) {
    jobs[i] = (struct job){i, 0, headed(backbone, 0, i)};
    OK(scnn_compile(jobs[i].model, settings));
  }
  for (; started < MAX_THREADS; started++) {
    if (!CHECK(pthread_create(&threads[started], NULL, use_what_is_shared, &jobs[started]) == 0)) break;
  }
  for (int i = 0; i < started; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(jobs[i].problems == 0);
  }
  for (int i = 0; i < MAX_THREADS; i++) CHECK(features_alike(backbone, jobs[i].model));
  OK(scnn_model_free(backbone));
  for (int i = 0; i < MAX_THREADS; i++) {
    train(jobs[i].model, 1);
    OK(scnn_model_free(jobs[i].model));
  }
}

/* A model made of another's network, which takes its state over: it goes on as that does, and by itself. */
static void test_copied_state(void) {
  scnn_model *model = small_model(1), *other = NULL, *narrow = NULL;
  size_t length = 0, matched = 0;
  OK(scnn_compile(model, settings));
  OK(scnn_model_set_trainable(model, "layer1.*", 0, &matched));
  OK(scnn_model_set_regularization(model, "fc.weight", 0.5, 0.5, &matched));
  train(model, 2);
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_model_graph(model, "json", NULL, 0, &length));
  char *graph = malloc(length + 1);
  OK(scnn_model_graph(model, "json", graph, length + 1, NULL));
  OK(scnn_model_from_graph(graph, "{\"name\": \"other\", \"seed\": 9}", &other));
  CHECK(!parameters_alike(model, other));
  OK(scnn_model_set_regularization(model, "fc.weight", 0, 0.1, &matched));
  OK(scnn_model_copy_state(other, model));
  CHECK(parameters_alike(model, other) && !is_trainable(other, "layer1.0.conv1.weight"));
  for (int i = 0; i < 2; i++) {
    train(model, 1);
    CHECK(!parameters_alike(model, other));
    train(other, 1);
    CHECK(parameters_alike(model, other));
  }
  OK(scnn_model_copy_state(other, other));
  CHECK(parameters_alike(model, other));

  /* Other shapes, fewer parameters, no network. */
  struct state before = state_of(other);
  OK(scnn_model_create("resnet20", "{\"input_shape\": [16, 16, 3], \"classes\": 3}", &narrow));
  FAILS(SCNN_SHAPE_MISMATCH, scnn_model_copy_state(other, narrow));
  OK(scnn_model_free(narrow));
  OK(scnn_model_create("resnet32", "{\"input_shape\": [16, 16, 3]}", &narrow));
  FAILS(SCNN_SHAPE_MISMATCH, scnn_model_copy_state(other, narrow));
  OK(scnn_model_free(narrow));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_copy_state(other, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_copy_state(NULL, other));
  CHECK(is_unchanged(other, &before));
  narrow = model;
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_from_graph(NULL, NULL, &narrow));
  CHECK(narrow == model || narrow == NULL);
  REFUSES(scnn_model_from_graph("", NULL, &narrow));
  REFUSES(scnn_model_from_graph("{}", NULL, &narrow));
  REFUSES(scnn_model_from_graph("[1]", NULL, &narrow));
  graph[length / 2] = '\0';
  REFUSES(scnn_model_from_graph(graph, NULL, &narrow));
  graph[length / 2] = ' ';
  REFUSES(scnn_model_from_graph(graph, "{\"what\": 1}", &narrow));
  REFUSES(scnn_model_from_graph(graph, NULL, NULL));
  free(graph);
  OK(scnn_model_free(model));
  OK(scnn_model_free(other));
}

/* What a model in integers tells of itself, made, read from a file, and with a limit to what accuracy may fall by. */
static void check_reports(scnn_model *model, scnn_model *quantized, scnn_model *loaded, const scnn_tensor *x) {
  static const int32_t labels[] = {0, 1, 2, 3};
  static char text[2][1 << 16];
  scnn_tensor y = vector(labels, SCNN_INT32, 4);
  scnn_model *again = NULL;
  size_t length = 0;
  OK(scnn_model_quantization_report(quantized, NULL, NULL));
  OK(scnn_model_quantization_report(loaded, NULL, NULL));
  OK(scnn_model_quantization_report_text(quantized, "json", text[0], sizeof text[0], &length));
  OK(scnn_model_quantization_report_text(loaded, "json", text[1], sizeof text[1], NULL));
  CHECK(strcmp(text[0], text[1]) == 0 && strstr(text[0], "\"error_share\":0.") != NULL);
  OK(scnn_model_quantization_report(quantized, x, model));
  OK(scnn_model_quantization_report_text(quantized, "text", text[0], sizeof text[0], NULL));
  CHECK(strstr(text[0], "against the given model") != NULL);
  OK(scnn_model_quantization_report_text(quantized, "svg", text[0], sizeof text[0], NULL));
  CHECK(strncmp(text[0], "<svg", 4) == 0);
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_quantization_report_text(quantized, "html", text[0], sizeof text[0], NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_quantization_report(quantized, x, quantized));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_quantization_report(quantized, NULL, model));
  FAILS(SCNN_INVALID_STATE, scnn_model_quantization_report(model, x, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(model, x, "{\"max_drop\": 1}", &again));
  FAILS(SCNN_SHAPE_MISMATCH, scnn_quantize_validated(model, x, x, x, "{\"max_drop\": 1}", &again));
  OK(scnn_quantize_validated(model, x, x, &y, "{\"max_drop\": 100, \"strict\": true}", &again));
  OK(scnn_model_quantization_report(again, NULL, NULL));
  OK(scnn_model_quantization_report_text(again, "json", text[0], sizeof text[0], NULL));
  CHECK(strstr(text[0], "\"returned\":[]") != NULL && strstr(text[0], "\"samples\":4") != NULL);
  OK(scnn_model_free(again));
}

/* Pixels that differ. */
static void fill(uint8_t *pixels, size_t count) {
  for (size_t i = 0; i < count; i++) pixels[i] = (uint8_t)(i * 89 + i / 7);
}

/* A model in integers has nearly the scores of the one it was made of, and comes back from a file with its own. */
static void test_quantized(void) {
  static uint8_t pixels[4 * SIDE * SIDE * CHANNELS];
  float scores[3][4 * CLASSES];
  scnn_model *model = small_model(1), *quantized = NULL, *loaded = NULL, *again = NULL;
  scnn_tensor x = images(pixels, SCNN_UINT8, 4);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(model, &x, NULL, &quantized));
  SAYS("calibration is constant: every number is 0; expected images");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantization_aware(model, &x, NULL, &quantized));
  SAYS("calibration is constant");
  CHECK(quantized == NULL);
  fill(pixels, sizeof pixels);
  OK(scnn_quantize(model, &x, "{\"method\": \"minmax\", \"equalize\": true}", &quantized));
  OK(scnn_predict(model, &x, 4, NULL, scores[0], 4 * CLASSES));
  OK(scnn_predict(quantized, &x, 4, NULL, scores[1], 4 * CLASSES));
  for (int i = 0; i < 4 * CLASSES; i++) CHECK(scores[0][i] - scores[1][i] < 0.1f && scores[1][i] - scores[0][i] < 0.1f);
  OK(scnn_model_save(quantized, "quantized.safetensors", 0));
  OK(scnn_model_load("quantized.safetensors", &loaded));
  OK(scnn_predict(loaded, &x, 4, NULL, scores[2], 4 * CLASSES));
  CHECK(memcmp(scores[1], scores[2], sizeof scores[1]) == 0);
  FAILS(SCNN_INVALID_STATE, scnn_quantize(quantized, &x, NULL, &again));
  remove("quantized.safetensors");
  check_reports(model, quantized, loaded, &x);
  OK(scnn_model_free(model));
  OK(scnn_model_free(quantized));
  OK(scnn_model_free(loaded));
}

/* A model learns of another: its own parameters do, and the teacher's stay. */
static void test_distilled(void) {
  static uint8_t pixels[8 * SIDE * SIDE * CHANNELS];
  static int32_t labels[8];
  float scores[3][8 * CLASSES], taught[2][8 * CLASSES];
  scnn_model *student = small_model(1), *teacher = small_model(2), *learner = NULL, *other = NULL;
  scnn_tensor x = images(pixels, SCNN_UINT8, 8);
  scnn_tensor y = {.data = labels, .dtype = SCNN_INT32, .rank = 1, .shape = {8}};
  double first[2] = {0, 0}, results[2] = {0, 0}, of_teacher[2] = {0, 0};
  char text[400];
  fill(pixels, sizeof pixels);
  for (int i = 0; i < 8; i++) labels[i] = i % CLASSES;
  OK(scnn_predict(student, &x, 8, NULL, scores[0], 8 * CLASSES));
  OK(scnn_predict(teacher, &x, 8, NULL, taught[0], 8 * CLASSES));
  FAILS(SCNN_UNKNOWN_NAME, scnn_distill(student, teacher, "{\"losses\": [\"soft_target\"]}", &learner));
  SAYS("did you mean 'soft_targets'?");
  FAILS(SCNN_UNKNOWN_NAME,
        scnn_distill(student, teacher,
                     "{\"losses\": [{\"name\": \"hint\", \"student_layer\": \"layer9\", \"teacher_layer\": \"relu\"}]}",
                     &learner));
  SAYS("layer of the student 'layer9'");
  CHECK(learner == NULL);
  OK(scnn_distill(student, teacher,
                  "{\"losses\": [\"soft_targets\", {\"name\": \"decoupled\", \"beta\": 2, \"weight\": 0.5}], "
                  "\"student_weight\": 0.5}",
                  &learner));
  FAILS(SCNN_INVALID_STATE, scnn_measured_teacher(learner, &other));
  FAILS(SCNN_INVALID_STATE, scnn_compare_with_teacher(learner, results, of_teacher, 2));
  OK(scnn_compile(learner, "{\"metrics\": [\"accuracy\"], \"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 1e-3}}"));
  OK(scnn_train_on_batch(learner, &x, &y, NULL, first, 2));
  for (int i = 0; i < 10; i++) OK(scnn_train_on_batch(learner, &x, &y, NULL, results, 2));
  CHECK(results[0] < first[0]);
  OK(scnn_predict(student, &x, 8, NULL, scores[1], 8 * CLASSES));
  CHECK(memcmp(scores[0], scores[1], sizeof scores[0]) != 0);
  OK(scnn_predict(teacher, &x, 8, NULL, taught[1], 8 * CLASSES));
  CHECK(memcmp(taught[0], taught[1], sizeof taught[0]) == 0);
  OK(scnn_measured_teacher(learner, &other));
  OK(scnn_evaluate(other, &x, &y, NULL, 8, of_teacher, 2));
  OK(scnn_model_free(other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compare_with_teacher(learner, results, of_teacher, 1));
  SAYS("count is 1; expected 2");
  results[1] = 1.5;
  OK(scnn_compare_with_teacher(learner, results, of_teacher, 2));
  OK(scnn_model_warning(learner, text, sizeof text, NULL));
  CHECK(strstr(text, "no better than the student") != NULL);
  OK(scnn_distilled_student(learner, &other));
  OK(scnn_model_free(learner));
  OK(scnn_model_free(teacher));
  OK(scnn_predict(other, &x, 8, NULL, scores[2], 8 * CLASSES));
  CHECK(memcmp(scores[1], scores[2], sizeof scores[1]) == 0);
  OK(scnn_model_free(other));
  OK(scnn_model_free(student));
}

/* What a teacher has said is read from a file, and from no other's. */
static void test_teacher_cache(void) {
  static uint8_t pixels[8 * SIDE * SIDE * CHANNELS];
  static int32_t labels[8];
  scnn_model *teacher = small_model(2), *student = NULL, *learner = NULL;
  scnn_tensor x = images(pixels, SCNN_UINT8, 8);
  scnn_tensor y = {.data = labels, .dtype = SCNN_INT32, .rank = 1, .shape = {8}};
  scnn_fit *fit = NULL;
  scnn_progress progress;
  double losses[3] = {0, 0, 0};
  const char *cache = ", \"cache_file\": \"teacher.cache.safetensors\"";
  char options[300];
  remove("teacher.cache.safetensors");
  fill(pixels, sizeof pixels);
  for (int i = 0; i < 8; i++) labels[i] = i % CLASSES;
  for (int run = 0; run < 4; run++) {
    snprintf(options, sizeof options, "{\"augmentations\": 2%s}", run ? cache : "");
    student = small_model(1);
    OK(scnn_distill(student, teacher, options, &learner));
    OK(scnn_compile(learner, "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 1e-3}}"));
    if (run == 3) { /* other pixels */
      for (size_t i = 0; i < sizeof pixels; i++) pixels[i] ^= 255;
      FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_begin(learner, &x, &y, NULL, "{\"batch_size\": 4}", &fit));
      SAYS("another data set");
    } else {
      OK(scnn_fit_begin(learner, &x, &y, NULL, "{\"epochs\": 3, \"batch_size\": 4, \"horizontal_flip\": true}", &fit));
      do OK(scnn_fit_step(fit, &progress)); while (!progress.finished);
      losses[run] = progress.results[0];
      OK(scnn_fit_free(fit));
    }
    OK(scnn_model_free(learner));
    OK(scnn_model_free(student));
  }
  CHECK(losses[0] > 0 && losses[1] == losses[0] && losses[2] == losses[0]);
  student = small_model(1);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distill(student, teacher, "{\"cache_file\": \"cache.onnx\"}", &learner));
  SAYS("cache_file is 'cache.onnx'");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distill(student, teacher, "{\"augmentations\": 0}", &learner));
  OK(scnn_model_free(student));
  OK(scnn_model_free(teacher));
  CHECK(remove("teacher.cache.safetensors") == 0);
}

/* A model that is trained for integers trains, and becomes one in integers that gives its scores. */
static void test_trained_for_integers(void) {
  static uint8_t pixels[8 * SIDE * SIDE * CHANNELS];
  static int32_t labels[8];
  float scores[2][8 * CLASSES];
  scnn_model *model = small_model(1), *trained = NULL, *quantized = NULL, *again = NULL;
  scnn_tensor x = images(pixels, SCNN_UINT8, 8);
  scnn_tensor y = {.data = labels, .dtype = SCNN_INT32, .rank = 1, .shape = {8}};
  double loss = 0;
  fill(pixels, sizeof pixels);
  for (int i = 0; i < 8; i++) labels[i] = i % CLASSES;
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(model, NULL, NULL, &quantized));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantization_aware(model, NULL, "{\"ranges\": \"learned\"}", &trained));
  OK(scnn_quantization_aware(model, NULL, NULL, &trained));
  FAILS(SCNN_INVALID_STATE, scnn_quantize(trained, NULL, NULL, &quantized));
  OK(scnn_model_free(trained));
  OK(scnn_quantization_aware(model, &x, "{\"ranges\": \"learned\", \"freeze\": 0.5}", &trained));
  OK(scnn_compile(trained, "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 1e-3}}"));
  OK(scnn_train_on_batch(trained, &x, &y, NULL, &loss, 1));
  OK(scnn_quantize(trained, NULL, NULL, &quantized));
  OK(scnn_predict(trained, &x, 8, NULL, scores[0], 8 * CLASSES));
  OK(scnn_predict(quantized, &x, 8, NULL, scores[1], 8 * CLASSES));
  for (int i = 0; i < 8 * CLASSES; i++) CHECK(fabsf(scores[0][i] - scores[1][i]) < 0.02f);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(trained, &x, "{\"skip\": [\"*\"]}", &again));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(trained, NULL, "{\"bias_correction\": false}", &again));
  SAYS("bias_correction is false, but '");
  SAYS("expected the default, true");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(trained, &x, "{\"equalize\": true}", &again));
  SAYS("equalize is true");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize_validated(trained, &x, &x, &y, "{\"max_drop\": 1}", &again));
  SAYS("max_drop is 1");
  FAILS(SCNN_INVALID_STATE, scnn_quantization_aware(trained, &x, NULL, &again));
  FAILS(SCNN_INVALID_STATE, scnn_quantization_aware(quantized, &x, NULL, &again));
  OK(scnn_model_free(model));
  OK(scnn_model_free(trained));
  OK(scnn_model_free(quantized));
}

/* The weights of a layer that are 0. */
static size_t zeros(scnn_model *model, const char *name, size_t count) {
  static float values[1 << 16];
  size_t result = 0;
  if (!CHECK(count <= sizeof values / sizeof *values)) return 0;
  OK(scnn_model_get_parameter(model, name, values, count));
  for (size_t i = 0; i < count; i++) result += values[i] == 0;
  return result;
}

/* A sparse model stays so in training and in files; the model it was made of stays as it is. */
static void test_sparse(void) {
  static uint8_t pixels[8 * SIDE * SIDE * CHANNELS];
  static int32_t labels[8];
  char text[1 << 14];
  const char *name = NULL;
  size_t weights = 0, length = 0;
  scnn_model *model = small_model(1), *sparse = NULL, *loaded = NULL, *quantized = NULL;
  scnn_tensor x = images(pixels, SCNN_UINT8, 8);
  scnn_tensor y = {.data = labels, .dtype = SCNN_INT32, .rank = 1, .shape = {8}};
  double loss = 0;
  fill(pixels, sizeof pixels);
  for (int i = 0; i < 8; i++) labels[i] = i % CLASSES;
  size_t count = 0;
  scnn_parameter parameter = {0};
  OK(scnn_model_parameter_count(model, &count));
  for (size_t i = 0, convolutions = 0; i < count && !name; i++) {
    OK(scnn_model_parameter(model, i, &parameter));
    if (parameter.rank == 4 && ++convolutions == 2) name = parameter.name;
  }
  if (!CHECK(name != NULL)) return;
  weights = parameter.shape[0] * parameter.shape[1] * parameter.shape[2] * parameter.shape[3];
  OK(scnn_sparsify(model, "{\"sparsity\": 0.75, \"scope\": \"layer\"}", &sparse));
  CHECK(zeros(model, name, weights) == 0 && zeros(sparse, name, weights) == weights * 3 / 4);
  OK(scnn_compile(sparse, "{\"optimizer\": {\"name\": \"adam\"}}"));
  OK(scnn_train_on_batch(sparse, &x, &y, NULL, &loss, 1));
  CHECK(zeros(sparse, name, weights) == weights * 3 / 4);
  OK(scnn_model_save(sparse, "sparse.safetensors", 0));
  OK(scnn_model_load("sparse.safetensors", &loaded));
  OK(scnn_model_set_sparsity(loaded, "{\"sparsity\": 0.9, \"scope\": \"layer\"}"));
  CHECK(zeros(loaded, name, weights) > weights * 8 / 9);
  OK(scnn_model_sparsity_report(loaded, "text", text, sizeof text, &length));
  CHECK(length == strlen(text) && strstr(text, "zero blocks") != NULL);
  OK(scnn_model_sparsity_report(loaded, "json", text, sizeof text, NULL));
  CHECK(strstr(text, "\"left_alone\":\"first layer\"") != NULL);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_sparsify(model, "{\"sparsity\": 2}", &sparse));
  SAYS("sparsity is 2");
  OK(scnn_quantize(sparse, &x, NULL, &quantized));
  FAILS(SCNN_INVALID_STATE, scnn_model_set_sparsity(quantized, NULL));
  remove("sparse.safetensors");
  OK(scnn_model_free(model));
  OK(scnn_model_free(sparse));
  OK(scnn_model_free(loaded));
  OK(scnn_model_free(quantized));
}

/* The numbers in the parameters of convolutions. */
static size_t weights_of(scnn_model *model) {
  size_t count = 0, result = 0;
  OK(scnn_model_parameter_count(model, &count));
  for (size_t i = 0; i < count; i++) {
    scnn_parameter parameter = {0};
    OK(scnn_model_parameter(model, i, &parameter));
    if (parameter.rank == 4) result += parameter.shape[0] * parameter.shape[1] * parameter.shape[2] * parameter.shape[3];
  }
  return result;
}

/* What a compression of the test's own data has been asked for. */
typedef struct {
  const scnn_tensor *x, *y;
  size_t trained, validated, stages;
  scnn_status answer;
} asked;

static scnn_status compress_train(void *context, scnn_model *model, size_t steps, double seconds) {
  asked *data = context;
  double loss = 0;
  data->trained += steps;
  scnn_status status = seconds > 0 ? scnn_train_on_batch(model, data->x, data->y, NULL, &loss, 1) : SCNN_OK;
  scnn_model_free(model);
  return status;
}

static scnn_status compress_validate(void *context, scnn_model *model, uint8_t *right) {
  asked *data = context;
  data->validated++;
  for (int i = 0; i < 8; i++) right[i] = 1;
  scnn_model_free(model);
  return data->answer;
}

static scnn_status compress_begin(void *context, const char *stage) {
  asked *data = context;
  if (strstr(stage, "\"stage\":") != NULL) data->stages++;
  return SCNN_OK;
}

/* A compression by arrays and by functions; what these return ends it. */
static void test_compressed(void) {
  static uint8_t pixels[8 * SIDE * SIDE * CHANNELS];
  static int32_t labels[8];
  static char text[1 << 16];
  size_t length = 0;
  scnn_model *model = small_model(1), *small = NULL, *again = NULL;
  scnn_tensor x = images(pixels, SCNN_UINT8, 8);
  scnn_tensor y = {.data = labels, .dtype = SCNN_INT32, .rank = 1, .shape = {8}};
  asked told = {.x = &x, .y = &y};
  scnn_compression_data data = {&told, 1, 8, compress_train, compress_validate, compress_begin};
  fill(pixels, sizeof pixels);
  for (int i = 0; i < 8; i++) labels[i] = i % CLASSES;
  FAILS(SCNN_INVALID_STATE, scnn_model_compression_report(model, "text", text, sizeof text, NULL));
  OK(scnn_compress(model, &x, &y, &x, &y,
                   "{\"size_mb\": 0.00001, \"max_drop\": 100, \"epochs\": 1, \"fit\": {\"batch_size\": 4}}",
                   compress_begin, &told, &small));
  CHECK(told.stages > 0 && told.trained == 0);
  OK(scnn_model_compression_report(small, "json", text, sizeof text, &length));
  CHECK(length == strlen(text) && strstr(text, "\"reached\":false") != NULL);
  OK(scnn_model_compression_report(small, "svg", text, sizeof text, NULL));
  CHECK(strncmp(text, "<svg", 4) == 0);
  OK(scnn_model_compression_report(small, "text", text, sizeof text, NULL));
  CHECK(strstr(text, "original") != NULL);
  OK(scnn_compress_with(model, &x, &data, "{\"speedup\": 1.01, \"max_drop\": 100, \"epochs\": 1}", &again));
  CHECK(told.validated > 0);
  told.answer = SCNN_IO;
  scnn_model_free(again);
  again = NULL;
  FAILS(SCNN_IO, scnn_compress_with(model, &x, &data, "{\"speedup\": 2}", &again));
  CHECK(again == NULL);
  OK(scnn_model_free(small));
  OK(scnn_model_free(model));
}

/* A pruned model trains and is saved; one may be pruned in the midst of its training. */
static void test_pruned(void) {
  static uint8_t pixels[8 * SIDE * SIDE * CHANNELS];
  static int32_t labels[8];
  char text[1 << 14];
  size_t length = 0;
  scnn_model *model = small_model(1), *pruned = NULL, *loaded = NULL, *quantized = NULL;
  scnn_tensor x = images(pixels, SCNN_UINT8, 8);
  scnn_tensor y = {.data = labels, .dtype = SCNN_INT32, .rank = 1, .shape = {8}};
  const char *options = "{\"macs\": 0.5, \"round_to\": 1, \"min_channels\": 2, \"criterion\": \"taylor\"}";
  double loss = 0;
  fill(pixels, sizeof pixels);
  for (int i = 0; i < 8; i++) labels[i] = i % CLASSES;
  FAILS(SCNN_INVALID_ARGUMENT, scnn_prune(model, NULL, NULL, options, &pruned));
  SAYS("data is not given");
  FAILS(SCNN_INVALID_STATE, scnn_prune(model, &x, &y, options, &pruned));
  FAILS(SCNN_INVALID_STATE, scnn_model_pruning_report(model, "text", text, sizeof text, NULL));
  OK(scnn_compile(model, "{\"optimizer\": {\"name\": \"adam\"}}"));
  OK(scnn_train_on_batch(model, &x, &y, NULL, &loss, 1));
  OK(scnn_prune(model, &x, &y, options, &pruned));
  CHECK(weights_of(pruned) < weights_of(model));
  OK(scnn_train_on_batch(pruned, &x, &y, NULL, &loss, 1));
  OK(scnn_model_pruning_report(pruned, "text", text, sizeof text, &length));
  CHECK(length == strlen(text) && strstr(text, "channels") != NULL);
  OK(scnn_model_pruning_report(pruned, "json", text, sizeof text, NULL));
  CHECK(strstr(text, "\"macs\":[") != NULL);
  OK(scnn_model_save(pruned, "pruned.safetensors", 0));
  OK(scnn_model_load("pruned.safetensors", &loaded));
  OK(scnn_model_prune(model, NULL, NULL, "{\"ratio\": 0.25, \"round_to\": 1, \"min_channels\": 2}"));
  OK(scnn_train_on_batch(model, &x, &y, NULL, &loss, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_prune(model, NULL, NULL, NULL));
  SAYS("no target is given");
  OK(scnn_quantize(pruned, &x, NULL, &quantized));
  FAILS(SCNN_INVALID_STATE, scnn_model_prune(quantized, NULL, NULL, "{\"ratio\": 0.5}"));
  remove("pruned.safetensors");
  OK(scnn_model_free(model));
  OK(scnn_model_free(pruned));
  OK(scnn_model_free(loaded));
  OK(scnn_model_free(quantized));
}

static int has_text(scnn_model *model, const char *key, const char *expected) {
  char text[40] = "-";
  return OK(scnn_model_metadata(model, key, text, sizeof text, NULL)) && strcmp(text, expected) == 0;
}

/* Texts of the caller's go with a model, and nowhere near what is the library's own. */
static void test_texts(void) {
  scnn_model *model = small_model(1), *copy = NULL, *loaded = NULL;
  const char *own[] = {"", "format", "swiftcnn.graph", "swiftcnn.model", "swiftcnn.training", "swiftcnn.notes"};
  size_t length = 0;
  CHECK(has_text(model, "author", ""));
  OK(scnn_model_set_metadata(model, "author", "Ren\xc3\xa9 \"\\\n"));
  OK(scnn_model_set_metadata(model, "empty", ""));
  OK(scnn_model_set_metadata(model, "gone", "x"));
  OK(scnn_model_set_metadata(model, "gone", NULL));
  OK(scnn_model_clone(model, &copy));
  OK(scnn_model_save(copy, "texts.safetensors", 0));
  OK(scnn_model_load("texts.safetensors", &loaded));
  CHECK(has_text(loaded, "author", "Ren\xc3\xa9 \"\\\n") && has_text(loaded, "gone", ""));
  CHECK(parameters_alike(model, loaded));
  OK(scnn_model_set_metadata(copy, "author", "another"));
  CHECK(has_text(model, "author", "Ren\xc3\xa9 \"\\\n") && has_text(copy, "author", "another"));
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_metadata(model, own[i], "x"));
  }
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_metadata(model, NULL, "x"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_metadata(NULL, "author", "x"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_metadata(model, "author", "\xff"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_metadata(model, NULL, NULL, 0, &length));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_model_metadata(model, "author", NULL, 0, &length));
  CHECK(length == 9);
  remove("texts.safetensors");
  OK(scnn_model_free(model));
  OK(scnn_model_free(copy));
  OK(scnn_model_free(loaded));
}

int main(void) {
  make_pixels();
  test_sharing();
  test_inference_mode();
  test_any_size();
  test_wrong_inputs();
  test_wrong_applications();
  test_classifiers();
  test_penalties_and_averages();
  test_copied_state();
  test_texts();
  test_quantized();
  test_trained_for_integers();
  test_sparse();
  test_pruned();
  test_compressed();
  test_distilled();
  test_teacher_cache();
  test_threads();
  return finish("sharing");
}
