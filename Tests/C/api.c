/* The library and its models, used as they are meant to be: each function does what the header says. */
#include "support.h"

/* ------------------------------------------------------------------------------------------------- library, listing */

static void test_library(void) {
  CHECK(scnn_last_error() != NULL && *scnn_last_error() == '\0');
  CHECK(strcmp(scnn_version(), SWIFTCNN_VERSION) == 0);
  CHECK(scnn_get_num_threads() >= 1);
  OK(scnn_set_num_threads(3));
  CHECK(scnn_get_num_threads() == 3);
  OK(scnn_set_num_threads(2));
  OK(scnn_set_thread_pinning(0));
  OK(scnn_set_thread_pinning(1));
}

static int times_asked;
static int32_t is_wanted_at_once(void) { return ++times_asked; }
static int32_t is_never_wanted(void) { return times_asked++ < 0; }

/* More images than are computed at once, for longer than the function waits to be asked. */
static void test_interruption(void) {
  enum { COUNT = 30000 };
  scnn_model *model = small_model(1);
  unsigned char *many = calloc(COUNT, PIXELS);
  float *output = malloc(COUNT * CLASSES * sizeof *output);
  if (CHECK(many != NULL && output != NULL)) {
    scnn_tensor x = images(many, SCNN_UINT8, COUNT), one = images(many, SCNN_UINT8, 1);
    OK(scnn_set_interruption(is_wanted_at_once));
    FAILS(SCNN_INTERRUPTED, scnn_predict(model, &x, COUNT, NULL, output, COUNT * CLASSES));
    CHECK(times_asked == 1);
    OK(scnn_predict(model, &one, 1, NULL, output, CLASSES));
    OK(scnn_set_interruption(is_never_wanted));
    OK(scnn_predict(model, &x, COUNT, NULL, output, COUNT * CLASSES));
    CHECK(times_asked > 1);
    OK(scnn_set_interruption(NULL));
    times_asked = 0;
    OK(scnn_predict(model, &x, COUNT / 4, NULL, output, COUNT * CLASSES));
    CHECK(times_asked == 0);
    CHECK(*scnn_slow_reason() == '\0');
  }
  free(many);
  free(output);
  OK(scnn_model_free(model));
}

static void test_texts(void) {
  char *names;
  TEXT(names, scnn_list_models("resnet*", buffer, capacity, &length));
  if (names == NULL) return;
  CHECK(strstr(names, "resnet20") && strstr(names, "resnet50") && !strchr(names, '*'));

  size_t length = strlen(names), asked = 0;
  char *buffer = malloc(length + 1);
  if (buffer != NULL) {
    memset(buffer, 'x', length + 1);
    FAILS(SCNN_BUFFER_TOO_SMALL, scnn_list_models("resnet*", buffer, length, &asked));
    CHECK(asked == length && buffer[0] == 'x');
    OK(scnn_list_models("resnet*", buffer, length + 1, NULL));
    CHECK(strcmp(buffer, names) == 0);
    OK(scnn_list_models("nothing*", buffer, length + 1, &asked));
    CHECK(asked == 0 && buffer[0] == '\0');
  }

  /* Sorted, one a line. */
  char previous[100] = "";
  for (char *name = strtok(names, "\n"); name != NULL; name = strtok(NULL, "\n")) {
    CHECK(strcmp(previous, name) < 0);
    snprintf(previous, sizeof previous, "%s", name);
  }
  free(buffer);
  free(names);

  TEXT(names, scnn_list_models(NULL, buffer, capacity, &length));
  CHECK(names && strstr(names, "resnet18"));
  char *description;
  TEXT(description, scnn_describe(buffer, capacity, &length));
  CHECK(description && strstr(description, "\"optimizers\":{\"sgd\"") && strstr(description, "\"momentum\""));
  free(description);
  char *report;
  TEXT(report, scnn_system("text", buffer, capacity, &length));
  CHECK(report && strstr(report, "SwiftCNN " SWIFTCNN_VERSION) == report && strstr(report, "\nprocessor "));
  free(report);
  TEXT(report, scnn_system("json", buffer, capacity, &length));
  CHECK(report && strstr(report, "\"version\":\"" SWIFTCNN_VERSION "\"") && strstr(report, "/libswiftcnn.so") &&
        strstr(report, "\"instruction_set\":\"") && strstr(report, "\"problems\":["));
  free(report);
  free(names);
}

/* ----------------------------------------------------------------------------------------------- looking at a model */

static void test_profile(scnn_model *model) {
  const char *const formats[] = {"text", "steps", "json", "trace"},
                     *const words[] = {"GFLOP/s", "GFLOP/s", "\"layers\"", "traceEvents"};
  char *text = NULL;
  scnn_tensor x = good_images();
  FAILS(SCNN_INVALID_STATE, scnn_model_profile_text(model, "text", NULL, 0, NULL));
  SAYS("scnn_model_profile");
  OK(scnn_model_profile_synthetic(model, NULL));
  OK(scnn_model_profile(model, &x, 2));
  for (int i = 0; i < 4; i++) {
    TEXT(text, scnn_model_profile_text(model, formats[i], buffer, capacity, &length));
    CHECK(text && strstr(text, words[i]) && strstr(text, "bn1"));
    free(text);
  }
}

static void test_training_profile(scnn_model *model) {
  char *text = NULL;
  scnn_tensor x = good_images(), y = good_labels();
  FAILS(SCNN_INVALID_STATE, scnn_model_profile_training(model, &x, &y, NULL, 1));
  OK(scnn_compile(model, "{\"optimizer\": \"adam\"}"));
  OK(scnn_model_profile_training(model, &x, &y, NULL, 2));
  TEXT(text, scnn_model_profile_text(model, "text", buffer, capacity, &length));
  CHECK(text && strstr(text, "forward") && strstr(text, "weight gradient") && strstr(text, "update"));
  free(text);
  OK(scnn_model_profile_synthetic(model, "{\"training\": true, \"batch_size\": 3, \"repeats\": 1}"));
  TEXT(text, scnn_model_profile_text(model, "steps", buffer, capacity, &length));
  CHECK(text && strstr(text, "a training step on 3 images") && strstr(text, "input gradient"));
  free(text);
  TEXT(text, scnn_model_profile_text(model, "json", buffer, capacity, &length));
  CHECK(text && strstr(text, "\"roles\":{\"forward\":{") && strstr(text, "\"role\":\"weight_gradient\""));
  free(text);
}

static void test_inspection(void) {
  scnn_model *model = small_model(1);
  char *text;
  TEXT(text, scnn_model_name(model, buffer, capacity, &length));
  CHECK(text && strcmp(text, "resnet20") == 0);
  free(text);
  test_profile(model);
  test_training_profile(model);
  TEXT(text, scnn_model_summary(model, buffer, capacity, &length));
  CHECK(text && strstr(text, "conv1"));
  free(text);
  TEXT(text, scnn_model_fused_summary(model, buffer, capacity, &length));
  CHECK(text && strstr(text, "conv1") && strstr(text, "step"));
  free(text);
  TEXT(text, scnn_model_graph(model, "text", buffer, capacity, &length));
  CHECK(text && strstr(text, "conv2d"));
  free(text);
  TEXT(text, scnn_model_graph(model, "svg", buffer, capacity, &length));
  CHECK(text && strncmp(text, "<svg", 4) == 0 && strstr(text, "layer1.0.conv1"));
  free(text);
  TEXT(text, scnn_model_draw(model, "{\"names\": false}", buffer, capacity, &length));
  CHECK(text && strncmp(text, "<svg", 4) == 0 && !strstr(text, "layer1.0.conv1"));
  free(text);
  size_t none = 0;
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_draw(model, "{\"colour\": 1}", NULL, 0, &none));
  TEXT(text, scnn_model_feature_maps(model, buffer, capacity, &length));
  CHECK(text && strcmp(text, "[]") == 0);
  free(text);
  scnn_model *features = NULL;
  OK(scnn_model_create("resnet20", "{\"features_only\": true, \"out_indices\": [1]}", &features));
  TEXT(text, scnn_model_feature_maps(features, buffer, capacity, &length));
  CHECK(text && strstr(text, "\"name\":\"layer2.2\"") && strstr(text, "\"reduction\":2"));
  free(text);
  OK(scnn_model_free(features));
  TEXT(text, scnn_model_graph(model, "dot", buffer, capacity, &length));
  CHECK(text && strncmp(text, "digraph", 7) == 0);
  free(text);
  TEXT(text, scnn_model_graph(model, "json", buffer, capacity, &length));
  CHECK(text && text[0] == '{');
  free(text);

  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  OK(scnn_model_input_shape(model, shape, &rank));
  CHECK(rank == 3 && shape[0] == SIDE && shape[1] == SIDE && shape[2] == CHANNELS);
  OK(scnn_model_free(model));
  OK(scnn_model_free(NULL));

  /* The figure of the article, at 3 channels and 10 classes. */
  int64_t trained = 0;
  size_t parameters = 0;
  OK(scnn_model_create("resnet20", "{\"input_shape\": [32, 32, 3], \"classes\": 10}", &model));
  OK(scnn_model_parameter_count(model, &parameters));
  for (size_t i = 0; i < parameters; i++) {
    scnn_parameter parameter;
    OK(scnn_model_parameter(model, i, &parameter));
    CHECK(parameter.trainable == (strcmp(parameter.role, "statistic") != 0));
    if (parameter.trainable) trained += elements(parameter.shape, parameter.rank);
  }
  CHECK(trained == 272474);
  OK(scnn_model_free(model));
}

static void test_normalization(void) {
  scnn_model *model = NULL;
  OK(scnn_model_create("resnet20",
                       "{\"input_shape\": [8, 8, 3], \"classes\": 4, \"mean\": [0.5, 0.4, 0.3], "
                       "\"std\": [0.2, 0.25, 0.5]}",
                       &model));
  double mean[CHANNELS], deviation[CHANNELS];
  OK(scnn_model_get_normalization(model, mean, deviation, CHANNELS));
  CHECK(fabs(mean[0] - 0.5) < 1e-6 && fabs(mean[2] - 0.3) < 1e-6 && fabs(deviation[1] - 0.25) < 1e-6);

  const double other_mean[CHANNELS] = {0.25, 0.5, 0.75}, other_deviation[CHANNELS] = {0.5, 0.25, 1};
  OK(scnn_model_set_normalization(model, other_mean, other_deviation, CHANNELS));
  OK(scnn_model_get_normalization(model, mean, deviation, CHANNELS));
  CHECK(mean[1] == 0.5 && deviation[1] == 0.25);

  /* uint8 pixels are normalised, float32 is taken as it stands. */
  static float normalized[BATCH * PIXELS];
  for (size_t i = 0; i < BATCH * PIXELS; i++) {
    normalized[i] = (float)((pixels[i] / 255.0 - mean[i % CHANNELS]) / deviation[i % CHANNELS]);
  }
  float of_pixels[BATCH * CLASSES], of_floats[BATCH * CLASSES];
  predict(model, of_pixels);
  scnn_tensor x = images(normalized, SCNN_FLOAT32, BATCH);
  OK(scnn_predict(model, &x, BATCH, NULL, of_floats, BATCH * CLASSES));
  CHECK(largest_difference(of_pixels, of_floats, BATCH * CLASSES) < 1e-5f);
  OK(scnn_model_free(model));
}

/* ------------------------------------------------------------------------------------------------------- prediction */

static void test_prediction(void) {
  scnn_model *model = small_model(2);
  scnn_tensor x = images(NULL, SCNN_UINT8, BATCH);
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  OK(scnn_model_output_shape(model, &x, NULL, shape, &rank));
  CHECK(rank == 2 && shape[0] == BATCH && shape[1] == CLASSES);

  float together[BATCH * CLASSES], singly[BATCH * CLASSES];
  x.data = pixels;
  OK(scnn_predict(model, &x, 1000, NULL, together, BATCH * CLASSES));
  OK(scnn_predict(model, &x, 1, NULL, singly, BATCH * CLASSES));
  CHECK(largest_difference(together, singly, BATCH * CLASSES) < 1e-5f);
  for (int image = 0; image < BATCH; image++) {
    double sum = 0;
    for (int class = 0; class < CLASSES; class++) sum += (double)together[image * CLASSES + class];
    CHECK(fabs(sum - 1) < 1e-5);
  }

  /* Each tensor that has a name can be the output, and is finite. */
  char *names;
  TEXT(names, scnn_model_tensor_names(model, buffer, capacity, &length));
  int tensors = 0;
  for (char *name = names ? strtok(names, "\n") : NULL; name != NULL; name = strtok(NULL, "\n"), tensors++) {
    if (!OK(scnn_model_output_shape(model, &x, name, shape, &rank))) continue;
    size_t count = (size_t)elements(shape, rank);
    float *values = malloc(count * sizeof(float));
    if (values == NULL) continue;
    OK(scnn_predict(model, &x, 4, name, values, count));
    int finite = 1;
    for (size_t i = 0; i < count; i++) finite &= isfinite(values[i]) != 0;
    CHECK(finite && shape[0] == BATCH);
    free(values);
  }
  CHECK(tensors > 20);
  free(names);
  OK(scnn_model_free(model));
}

/* ------------------------------------------------------------------------------------------------------- parameters */

static void test_parameters(void) {
  scnn_model *model = small_model(3);
  size_t count = 0, matched = 0;
  float *values = parameter_values(model, "conv1.weight", &count);
  if (values == NULL) return;
  CHECK(count == 16 * CHANNELS * 3 * 3);

  float before[BATCH * CLASSES], after[BATCH * CLASSES];
  predict(model, before);
  for (size_t i = 0; i < count; i++) values[i] = -values[i];
  OK(scnn_model_set_parameter(model, "conv1.weight", values, count));
  predict(model, after);
  CHECK(memcmp(before, after, sizeof before) != 0);
  float *again = parameter_values(model, "conv1.weight", &count);
  CHECK(again && memcmp(values, again, count * sizeof(float)) == 0);
  for (size_t i = 0; i < count; i++) values[i] = -values[i];
  OK(scnn_model_set_parameter(model, "conv1.weight", values, count));
  predict(model, after);
  CHECK(memcmp(before, after, sizeof before) == 0);
  free(again);

  /* What is frozen is not trained, and the rest is. */
  size_t count_1 = 0, count_fc = 0;
  OK(scnn_model_set_trainable(model, "layer1.*", 0, &matched));
  CHECK(matched >= 18);
  OK(scnn_model_set_trainable(model, "conv1.weight", 0, NULL));
  float *layer1 = parameter_values(model, "layer1.0.conv1.weight", &count_1);
  float *dense = parameter_values(model, "fc.weight", &count_fc);
  scnn_tensor x = good_images(), y = good_labels();
  double loss;
  OK(scnn_compile(model, NULL));
  OK(scnn_train_on_batch(model, &x, &y, NULL, &loss, 1));
  float *layer1_after = parameter_values(model, "layer1.0.conv1.weight", &count_1);
  float *dense_after = parameter_values(model, "fc.weight", &count_fc);
  CHECK(layer1 && layer1_after && memcmp(layer1, layer1_after, count_1 * sizeof(float)) == 0);
  CHECK(dense && dense_after && memcmp(dense, dense_after, count_fc * sizeof(float)) != 0);
  free(layer1);
  free(layer1_after);
  free(dense);
  free(dense_after);

  size_t parameters = 0;
  scnn_parameter parameter;
  OK(scnn_model_parameter_count(model, &parameters));
  for (size_t i = 0; i < parameters; i++) {
    OK(scnn_model_parameter(model, i, &parameter));
    int is_frozen = strncmp(parameter.name, "layer1.", 7) == 0 || strcmp(parameter.name, "conv1.weight") == 0;
    CHECK(parameter.trainable == (!is_frozen && strcmp(parameter.role, "statistic") != 0));
  }
  size_t frozen = matched;
  OK(scnn_model_set_trainable(model, "*", 1, &matched));
  CHECK(matched > frozen);
  free(values);
  OK(scnn_model_free(model));
}

/* What a front end asks that builds networks and reads files of its own. */
static void test_front_end(void) {
  scnn_model *model = small_model(5);
  char *layers, *found;
  TEXT(layers, scnn_model_graph(model, "layers", buffer, capacity, &length));
  CHECK(layers != NULL && strstr(layers, "\"class\":\"Conv2D\"") != NULL);
  CHECK(layers != NULL && strstr(layers, "\"kernel_size\":[3,3]") != NULL);
  free(layers);
  OK(scnn_model_free(model));

  const char *sides =
      "{\"wanted\": [{\"path\": [], \"given\": [\"fc\"], \"kind\": \"dense\", \"label\": \"fc\", \"weights\": "
      "[{\"name\": \"kernel\", \"parameter\": \"fc.weight\", \"label\": \"fc/kernel\", \"shape\": [2, 3]}]}], "
      "\"stored\": [{\"path\": [], \"given\": [\"\"], \"kind\": \"dense\", \"label\": \"other\", \"weights\": []}, "
      "{\"path\": [], \"given\": [\"fc\"], \"kind\": \"dense\", \"label\": \"fc\", \"weights\": "
      "[{\"shape\": [2, 3]}]}], "
      "\"has_order\": false, \"last\": \"\"}";
  TEXT(found, scnn_match_layers(sides, buffer, capacity, &length));
  CHECK(found != NULL && strstr(found, "\"pairs\":[[0,1]]") != NULL);
  CHECK(found != NULL && strstr(found, "\"left_over\":[\"other\"]") != NULL);
  free(found);

  const char *network =
      "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"s\", \"layers\": [{\"class_name\": \"Dense\", "
      "\"config\": {\"name\": \"fc\", \"units\": 3}}]}}";
  TEXT(found, scnn_keras_network(network, buffer, capacity, &length));
  CHECK(found != NULL && strstr(found, "{\"keras\":\"Dense\",\"name\":\"fc\"") != NULL);
  CHECK(found != NULL && strstr(found, "\"model\":\"sequential\"") != NULL);
  free(found);

  const int64_t shape[2] = {30, 40};
  static float values[1200], again[1200];
  OK(scnn_initial_values("{\"name\": \"glorot_uniform\"}", 7, shape, 2, values, 1200));
  OK(scnn_initial_values("{\"name\": \"glorot_uniform\"}", 7, shape, 2, again, 1200));
  CHECK(memcmp(values, again, sizeof values) == 0);
  const double limit = sqrt(6.0 / 70);
  double squares = 0;
  for (int i = 0; i < 1200; i++) {
    CHECK(fabs(values[i]) <= limit);
    squares += (double)values[i] * values[i];
  }
  CHECK(fabs(squares / 1200 / (limit * limit / 3) - 1) < 0.1);
  OK(scnn_initial_values("{\"name\": \"glorot_uniform\"}", 8, shape, 2, again, 1200));
  CHECK(memcmp(values, again, sizeof values) != 0);
}

static void test_onnx(void) {
  char *names;
  TEXT(names, scnn_onnx_operations(buffer, capacity, &length));
  CHECK(names != NULL && strncmp(names, "Abs\n", 4) == 0 && strstr(names, "\nConv\n") != NULL);
  free(names);
  scnn_model *model = small_model(5), *other = NULL;
  OK(scnn_model_export_onnx(model, "api.onnx", NULL));
  OK(scnn_model_import_onnx("api.onnx", NULL, &other));
  float expected[BATCH * CLASSES], output[BATCH * CLASSES];
  scnn_tensor x = good_images();
  OK(scnn_predict(model, &x, BATCH, NULL, expected, BATCH * CLASSES));
  OK(scnn_predict(other, &x, BATCH, NULL, output, BATCH * CLASSES));
  for (int i = 0; i < BATCH * CLASSES; i++) CHECK(fabsf(output[i] - expected[i]) < 1e-5f);
  OK(scnn_model_free(other));
  static unsigned char bytes[1 << 22];
  FILE *file = fopen("api.onnx", "rb");
  size_t size = file == NULL ? 0 : fread(bytes, 1, sizeof bytes, file);
  if (file != NULL) fclose(file);
  OK(scnn_model_import_onnx_bytes(bytes, size, NULL, &other));
  OK(scnn_predict(other, &x, BATCH, NULL, output, BATCH * CLASSES));
  for (int i = 0; i < BATCH * CLASSES; i++) CHECK(fabsf(output[i] - expected[i]) < 1e-5f);
  OK(scnn_model_free(other));
  OK(scnn_model_load("api.onnx", &other));
  char *report;
  TEXT(report, scnn_model_import_report(other, buffer, capacity, &length));
  CHECK(report != NULL && strstr(report, "has its channels last") != NULL);
  free(report);
  OK(scnn_model_free(other));
  OK(scnn_model_export_onnx(model, "api.onnx", "{\"layout\": \"nchw\", \"pixels\": true}"));
  OK(scnn_model_import_onnx("api.onnx", "{\"layout\": \"nhwc\", \"batch\": true}", &other));
  OK(scnn_predict(other, &x, BATCH, NULL, output, BATCH * CLASSES));
  for (int i = 0; i < BATCH * CLASSES; i++) CHECK(fabsf(output[i] - expected[i]) < 1e-5f);
  OK(scnn_model_free(other));
  OK(scnn_model_free(model));
  remove("api.onnx");
}

int main(void) {
  make_pixels();
  test_library();
  test_interruption();
  test_texts();
  test_inspection();
  test_normalization();
  test_prediction();
  test_parameters();
  test_front_end();
  test_onnx();
  return finish("api");
}
