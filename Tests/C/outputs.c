/* Several results of one run, and models with several outputs. Also misused. */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "misuse.h"

enum { FEATURES = 64, ROOM = BATCH * FEATURES };

static const char *const names[2] = {"avgpool", "probabilities"};

/* What two calls give that ask for one result each. */
static void separate(scnn_model *model, float *features, float *probabilities) {
  scnn_tensor x = good_images();
  OK(scnn_predict(model, &x, 4, "avgpool", features, BATCH * FEATURES));
  OK(scnn_predict(model, &x, 4, NULL, probabilities, BATCH * CLASSES));
}

static void test_several_results(scnn_model *model) {
  float a[BATCH * FEATURES], b[BATCH * CLASSES], features[BATCH * FEATURES], probabilities[BATCH * CLASSES];
  float *outputs[2] = {features, probabilities};
  const size_t sizes[2] = {BATCH * FEATURES, BATCH * CLASSES};
  scnn_tensor x = good_images();
  separate(model, a, b);
  for (int64_t batch = 1; batch <= BATCH; batch++) {
    memset(features, 0, sizeof features);
    memset(probabilities, 0, sizeof probabilities);
    OK(scnn_predict_many(model, &x, batch, names, outputs, sizes, 2));
    CHECK(largest_difference(a, features, BATCH * FEATURES) < 1e-5f);
    CHECK(largest_difference(b, probabilities, BATCH * CLASSES) < 1e-5f);
  }
}

/* A model whose outputs are the features and the probabilities of `model`. */
static scnn_model *with_both(scnn_model *model) {
  const int64_t shape[3] = {SIDE, SIDE, CHANNELS};
  scnn_graph *graph = NULL;
  scnn_value x = -1, features = -1, y = -1;
  scnn_model *both = NULL;
  OK(scnn_graph_create(&graph));
  OK(scnn_graph_input(graph, "image", shape, 3, &x));
  OK(scnn_graph_apply(graph, model, NULL, "avgpool", 0, x, &features));
  OK(scnn_graph_apply(graph, model, NULL, NULL, 0, x, &y));
  OK(scnn_graph_output(graph, y));
  OK(scnn_graph_model(graph, features, NULL, &both));
  OK(scnn_graph_free(graph));
  return both;
}

static void test_several_outputs(scnn_model *model) {
  char path[] = "/tmp/outputs.XXXXXX", *text = NULL;
  float a[BATCH * FEATURES], b[BATCH * CLASSES], first[BATCH * FEATURES], second[BATCH * CLASSES];
  float *outputs[2] = {first, second};
  const size_t sizes[2] = {BATCH * FEATURES, BATCH * CLASSES};
  scnn_tensor x = good_images();
  scnn_model *both = with_both(model), *loaded = NULL;
  separate(model, a, b);
  TEXT(text, scnn_model_output_names(both, buffer, capacity, &length));
  CHECK(text && strcmp(text, "avgpool\nprobabilities") == 0);
  free(text);
  TEXT(text, scnn_model_tensor_names(both, buffer, capacity, &length));
  CHECK(text && strstr(text, "conv1_1") == NULL); /* what both need is there once */
  free(text);
  TEXT(text, scnn_model_output_names(model, buffer, capacity, &length));
  CHECK(text && strcmp(text, "probabilities") == 0);
  free(text);

  int file = mkstemp(path);
  CHECK(file >= 0 && close(file) == 0);
  OK(scnn_model_save(both, path, 0));
  OK(scnn_model_load(path, &loaded));
  CHECK(unlink(path) == 0);
  scnn_model *models[2] = {both, loaded};
  for (int i = 0; i < 2; i++) {
    OK(scnn_predict_many(models[i], &x, 4, names, outputs, sizes, 2));
    CHECK(largest_difference(a, first, BATCH * FEATURES) < 1e-5f);
    CHECK(largest_difference(b, second, BATCH * CLASSES) < 1e-5f);
    memset(first, 0, sizeof first);
    OK(scnn_predict(models[i], &x, 4, NULL, first, BATCH * FEATURES)); /* the first output */
    CHECK(largest_difference(a, first, BATCH * FEATURES) < 1e-5f);
    FAILS(SCNN_INVALID_STATE, scnn_compile(models[i], NULL));
    SAYS("2 outputs");
  }
  OK(scnn_model_free(loaded));
  OK(scnn_model_free(both));
}

static void test_misuse(scnn_model *model) {
  float features[ROOM], probabilities[ROOM];
  float *outputs[2] = {features, probabilities}, *missing[2] = {features, NULL};
  const size_t sizes[2] = {BATCH * FEATURES, BATCH * CLASSES};
  const size_t wrong_sizes[][2] = {{BATCH * FEATURES, 0},
                                   {BATCH * FEATURES, BATCH * CLASSES + 1},
                                   {BATCH * FEATURES - 1, BATCH * CLASSES},
                                   {SIZE_MAX, SIZE_MAX}};
  const char *const twice[2] = {"avgpool", "avgpool"}, *const unknown[2] = {"avgpool", "avgpol"};
  const char *const parameter[2] = {"avgpool", "fc.weight"}, *const none[2] = {"avgpool", NULL};
  scnn_tensor x = good_images();
  struct state before = state_of(model);
  REFUSES(scnn_predict_many(NULL, &x, 4, names, outputs, sizes, 2));
  REFUSES(scnn_predict_many(model, NULL, 4, names, outputs, sizes, 2));
  REFUSES(scnn_predict_many(model, &x, 0, names, outputs, sizes, 2));
  REFUSES(scnn_predict_many(model, &x, INT64_MIN, names, outputs, sizes, 2));
  REFUSES(scnn_predict_many(model, &x, 4, NULL, outputs, sizes, 2));
  REFUSES(scnn_predict_many(model, &x, 4, names, NULL, sizes, 2));
  REFUSES(scnn_predict_many(model, &x, 4, names, outputs, NULL, 2));
  REFUSES(scnn_predict_many(model, &x, 4, names, outputs, sizes, 0));
  REFUSES(scnn_predict_many(model, &x, 4, names, outputs, sizes, SIZE_MAX));
  REFUSES(scnn_predict_many(model, &x, 4, none, outputs, sizes, 2));
  REFUSES(scnn_predict_many(model, &x, 4, names, missing, sizes, 2));
  SAYS("outputs[1]");
  REFUSES(scnn_predict_many(model, &x, 4, twice, outputs, sizes, 2));
  FAILS(SCNN_UNKNOWN_NAME, scnn_predict_many(model, &x, 4, unknown, outputs, sizes, 2));
  SAYS("avgpool");
  REFUSES(scnn_predict_many(model, &x, 4, parameter, outputs, sizes, 2));
  for (size_t i = 0; i < sizeof wrong_sizes / sizeof *wrong_sizes; i++) {
    REFUSES(scnn_predict_many(model, &x, 4, names, outputs, wrong_sizes[i], 2));
  }
  REFUSES(scnn_model_output_names(NULL, NULL, 0, NULL));

  const int64_t shape[3] = {SIDE, SIDE, CHANNELS};
  scnn_graph *graph = NULL;
  scnn_value input = -1, y = -1;
  scnn_model *made = NULL;
  OK(scnn_graph_create(&graph));
  REFUSES(scnn_graph_output(NULL, 0));
  REFUSES(scnn_graph_output(graph, 0));
  OK(scnn_graph_input(graph, "image", shape, 3, &input));
  OK(scnn_graph_layer(graph, "global_pool2d", "mean", "{\"kind\": \"average\"}", &input, 1, &y));
  REFUSES(scnn_graph_output(graph, -1));
  REFUSES(scnn_graph_output(graph, INT32_MAX));
  OK(scnn_graph_output(graph, input)); /* which no layer computes, as is said when a model is made */
  REFUSES(scnn_graph_model(graph, y, NULL, &made));
  CHECK(made == NULL);
  OK(scnn_graph_free(graph));
  CHECK(is_unchanged(model, &before));
}

/* What has no row for each image, as the ones that stand for a scale that is not there, is no result of any size. */
static void test_constants(void) {
  const int64_t shape[3] = {SIDE, SIDE, CHANNELS};
  const char *const name[1] = {"bn.ones"};
  scnn_graph *graph = NULL;
  scnn_value x = -1;
  scnn_model *model = NULL;
  OK(scnn_graph_create(&graph));
  OK(scnn_graph_input(graph, "image", shape, 3, &x));
  OK(scnn_graph_layer(graph, "conv2d", "conv", "{\"filters\": 48, \"kernel\": [1, 1]}", &x, 1, &x));
  OK(scnn_graph_layer(graph, "batch_norm", "bn", "{\"scale\": false}", &x, 1, &x));
  OK(scnn_graph_model(graph, x, NULL, &model));
  for (int64_t count = 1; count <= 64; count++) {
    if (count == 48) continue; /* where it fits by chance */
    unsigned char *data = calloc((size_t)count, PIXELS);
    float *output = malloc((size_t)count * sizeof *output); /* of just this size, for valgrind to see */
    float *outputs[1] = {output};
    const size_t sizes[1] = {(size_t)count};
    scnn_tensor tensor = images(data, SCNN_UINT8, count);
    if (data && output) REFUSES(scnn_predict_many(model, &tensor, count, name, outputs, sizes, 1));
    free(data);
    free(output);
  }
  OK(scnn_model_free(model));
  OK(scnn_graph_free(graph));
}

int main(void) {
  make_pixels();
  scnn_model *model = small_model(5);
  test_several_results(model);
  test_several_outputs(model);
  test_misuse(model);
  test_constants();
  OK(scnn_model_free(model));
  return finish("outputs");
}
