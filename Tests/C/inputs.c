/* Models with several inputs: lists of tensors wherever a function takes `x`, what the inputs are, and misuse. */
#include "support.h"

enum { IMAGE = 4 * 4 * 3, ROW = 5, COUNT = 3, OUTPUTS = 3 };

static float image_values[COUNT * IMAGE], row_values[COUNT * ROW];
static unsigned char pixel_values[COUNT * IMAGE];

static scnn_tensor image(const void *data, int32_t dtype, int64_t count) {
  scnn_tensor tensor = {.data = data, .dtype = dtype, .rank = 4, .shape = {count, 4, 4, 3}};
  return tensor;
}

static scnn_tensor row(const void *data, int32_t dtype, int64_t count) {
  scnn_tensor tensor = {.data = data, .dtype = dtype, .rank = 2, .shape = {count, ROW}};
  return tensor;
}

static scnn_tensor list(const scnn_tensor *tensors, int64_t count) {
  scnn_tensor tensor = {.data = tensors, .dtype = SCNN_TENSORS, .rank = 1, .shape = {count}};
  return tensor;
}

static scnn_model *two_inputs(void) {
  const int64_t image_shape[3] = {4, 4, 3}, row_shape[1] = {ROW};
  scnn_graph *graph = NULL;
  scnn_value values[2] = {-1, -1}, y = -1;
  scnn_model *model = NULL;
  OK(scnn_graph_create(&graph));
  OK(scnn_graph_input(graph, "image", image_shape, 3, &values[0]));
  OK(scnn_graph_input(graph, "numbers", row_shape, 1, &values[1]));
  OK(scnn_graph_layer(graph, "global_pool2d", "mean", "{\"kind\": \"average\"}", &values[0], 1, &values[0]));
  OK(scnn_graph_layer(graph, "concat", "all", NULL, values, 2, &y));
  OK(scnn_graph_layer(graph, "dense", "fc", "{\"units\": 3}", &y, 1, &y));
  OK(scnn_graph_model(graph, y, "{\"mean\": [0, 0.5, 0], \"std\": [1, 2, 1]}", &model));
  OK(scnn_graph_free(graph));
  return model;
}

static void test_what_is_read(scnn_model *model) {
  size_t count = 0;
  scnn_input input;
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  OK(scnn_model_input_count(model, &count));
  CHECK(count == 2);
  OK(scnn_model_input(model, 0, &input));
  CHECK(strcmp(input.name, "image") == 0 && input.pixels && input.rank == 3);
  CHECK(input.shape[0] == 4 && input.shape[1] == 4 && input.shape[2] == 3);
  OK(scnn_model_input(model, 1, &input));
  CHECK(strcmp(input.name, "numbers") == 0 && !input.pixels && input.rank == 1 && input.shape[0] == ROW);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_input(model, 2, &input));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_input(model, SIZE_MAX, &input));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_input(model, 0, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_input_count(model, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_input_count(NULL, &count));
  FAILS(SCNN_INVALID_STATE, scnn_model_input_shape(model, shape, &rank));
  SAYS("2 inputs");
  OK(scnn_model_tensor_shape(model, "numbers", shape, &rank));
  CHECK(rank == 2 && shape[0] == -1 && shape[1] == ROW);
}

/* The outputs as they follow from the weights. */
static void by_hand(scnn_model *model, const float *images, float *outputs) {
  float weight[3 * (3 + ROW)], bias[3];
  OK(scnn_model_get_parameter(model, "fc.weight", weight, 3 * (3 + ROW)));
  OK(scnn_model_get_parameter(model, "fc.bias", bias, 3));
  for (int n = 0; n < COUNT; n++) {
    float features[3 + ROW] = {0};
    for (int i = 0; i < IMAGE; i++) features[i % 3] += images[n * IMAGE + i] / 16;
    for (int i = 0; i < ROW; i++) features[3 + i] = row_values[n * ROW + i];
    for (int k = 0; k < 3; k++) {
      outputs[n * 3 + k] = bias[k];
      for (int i = 0; i < 3 + ROW; i++) outputs[n * 3 + k] += weight[k * (3 + ROW) + i] * features[i];
    }
  }
}

static void test_prediction(scnn_model *model) {
  float expected[COUNT * OUTPUTS], output[COUNT * OUTPUTS], floats[COUNT * IMAGE];
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  scnn_tensor inputs[2] = {image(image_values, SCNN_FLOAT32, COUNT), row(row_values, SCNN_FLOAT32, COUNT)};
  scnn_tensor x = list(inputs, 2);
  by_hand(model, image_values, expected);
  for (int64_t batch = 1; batch <= COUNT; batch++) {
    memset(output, 0, sizeof output);
    OK(scnn_predict(model, &x, batch, NULL, output, COUNT * OUTPUTS));
    for (int i = 0; i < COUNT * OUTPUTS; i++) CHECK(fabsf(output[i] - expected[i]) < 1e-4f);
  }
  /* Only shapes are needed for a shape. */
  scnn_tensor shapes[2] = {image(NULL, SCNN_FLOAT32, COUNT), row(NULL, SCNN_FLOAT32, COUNT)}, asked = list(shapes, 2);
  OK(scnn_model_output_shape(model, &asked, NULL, shape, &rank));
  CHECK(rank == 2 && shape[0] == COUNT && shape[1] == OUTPUTS);

  for (int i = 0; i < COUNT * IMAGE; i++) {
    floats[i] = ((float)pixel_values[i] / 255 - (i % 3 == 1 ? 0.5f : 0)) / (i % 3 == 1 ? 2.0f : 1.0f);
  }
  by_hand(model, floats, expected);
  inputs[0] = image(pixel_values, SCNN_UINT8, COUNT);
  OK(scnn_predict(model, &x, COUNT, NULL, output, COUNT * OUTPUTS));
  for (int i = 0; i < COUNT * OUTPUTS; i++) CHECK(fabsf(output[i] - expected[i]) < 1e-4f);
}

static void test_training(scnn_model *model) {
  static const int32_t labels[COUNT] = {0, 1, 2};
  scnn_tensor y = {.data = labels, .dtype = SCNN_INT32, .rank = 1, .shape = {COUNT}};
  scnn_tensor inputs[2] = {image(image_values, SCNN_FLOAT32, COUNT), row(row_values, SCNN_FLOAT32, COUNT)};
  scnn_tensor x = list(inputs, 2);
  double before = 0, loss = 0, after = 0;
  scnn_fit *fit = NULL;
  scnn_progress progress;
  OK(scnn_compile(model, "{\"loss\": \"sparse_categorical_crossentropy\", \"optimizer\": \"sgd\"}"));
  OK(scnn_evaluate(model, &x, &y, NULL, 2, &before, 1));
  OK(scnn_train_on_batch(model, &x, &y, NULL, &loss, 1));
  CHECK(fabs(before - loss) < 1e-5);
  OK(scnn_fit_begin(model, &x, &y, NULL, "{\"batch_size\": 2, \"epochs\": 5}", &fit));
  do OK(scnn_fit_step(fit, &progress));
  while (!progress.finished);
  OK(scnn_fit_free(fit));
  OK(scnn_evaluate(model, &x, &y, NULL, COUNT, &after, 1));
  CHECK(after < before);
  OK(scnn_model_profile(model, &x, 1));
  OK(scnn_model_profile_training(model, &x, &y, NULL, 1));
  OK(scnn_model_profile_synthetic(model, "{\"training\": true, \"batch_size\": 2, \"repeats\": 1}"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_train_on_batch(model, &inputs[0], &y, NULL, &loss, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_train_on_batch(model, &x, &x, NULL, &loss, 1));
  SAYS("y is a list of tensors");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_begin(model, &inputs[0], &y, NULL, NULL, &fit));
}

static void test_misuse(scnn_model *model) {
  float output[COUNT * OUTPUTS];
  scnn_class classes[COUNT];
  scnn_tensor good[3] = {image(image_values, SCNN_FLOAT32, COUNT), row(row_values, SCNN_FLOAT32, COUNT),
                         row(row_values, SCNN_FLOAT32, COUNT)};
  scnn_tensor x = list(good, 2), bad[2] = {good[0], good[1]}, y = list(bad, 2);
#define PREDICT(given) scnn_predict(model, given, COUNT, NULL, output, COUNT *OUTPUTS)
  OK(PREDICT(&x));
  FAILS(SCNN_INVALID_ARGUMENT, PREDICT(&good[0]));
  SAYS("x is 1 array; the model has 2 inputs: 'image', 'numbers'");
  const int64_t counts[] = {0, -1, 1, 3, 4097, INT64_MAX, INT64_MIN};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    x.shape[0] = counts[i];
    FAILS(SCNN_INVALID_ARGUMENT, PREDICT(&x));
  }
  x = list(good, 2);
  x.rank = 2;
  FAILS(SCNN_INVALID_ARGUMENT, PREDICT(&x));
  x = list(NULL, 2);
  FAILS(SCNN_INVALID_ARGUMENT, PREDICT(&x));
  bad[1].data = NULL;
  FAILS(SCNN_INVALID_ARGUMENT, PREDICT(&y));
  SAYS("x[1]");
  bad[1] = row(row_values, SCNN_FLOAT32, COUNT - 1);
  FAILS(SCNN_SHAPE_MISMATCH, PREDICT(&y));
  SAYS("'image' has 3 samples and 'numbers' 2");
  static const unsigned char counts_of_rows[COUNT * ROW];
  bad[1] = row(counts_of_rows, SCNN_UINT8, COUNT); /* numbers that are no image are what they are */
  OK(PREDICT(&y));
  static const int32_t wide[COUNT * IMAGE] = {256};
  bad[0] = image(wide, SCNN_INT32, COUNT);
  FAILS(SCNN_INVALID_ARGUMENT, PREDICT(&y));
  SAYS("the input 'image' holds integers from 0 to 256");
  bad[0] = good[0];
  bad[1] = list(good, 2); /* a list in a list */
  FAILS(SCNN_INVALID_ARGUMENT, PREDICT(&y));
  bad[1] = good[1];
  bad[1].dtype = 77;
  FAILS(SCNN_INVALID_ARGUMENT, PREDICT(&y));
  bad[1] = good[1];
  bad[1].shape[1] = INT64_MAX;
  FAILS(SCNN_SHAPE_MISMATCH, PREDICT(&y));
  x = list(good, 2);
  FAILS(SCNN_INVALID_STATE, scnn_classify(model, &x, COUNT, classes, 1, NULL));
  SAYS("one input");
  FAILS(SCNN_INVALID_STATE, scnn_classify_file(model, "photo.jpg", classes, 1, NULL));
#undef PREDICT
}

static void test_as_a_layer(scnn_model *model) {
  const int64_t image_shape[3] = {4, 4, 3}, row_shape[1] = {ROW};
  float expected[COUNT * OUTPUTS], output[COUNT * OUTPUTS];
  scnn_tensor inputs[2] = {row(row_values, SCNN_FLOAT32, COUNT), image(image_values, SCNN_FLOAT32, COUNT)};
  scnn_tensor x = list(inputs, 2);
  scnn_graph *graph = NULL;
  scnn_value values[2] = {-1, -1}, y = -1;
  scnn_model *outer = NULL;
  OK(scnn_graph_create(&graph));
  OK(scnn_graph_input(graph, "second", row_shape, 1, &values[1]));
  OK(scnn_graph_input(graph, "first", image_shape, 3, &values[0]));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, model, NULL, NULL, 0, values[0], &y));
  SAYS("2 inputs: 'image', 'numbers'");
  REFUSES(scnn_graph_apply_many(graph, model, NULL, NULL, 0, NULL, 2, &y));
  REFUSES(scnn_graph_apply_many(graph, model, NULL, NULL, 0, values, 0, &y));
  REFUSES(scnn_graph_apply_many(graph, model, NULL, NULL, 0, values, SIZE_MAX, &y));
  const scnn_value unknown[2] = {values[0], 99};
  REFUSES(scnn_graph_apply_many(graph, model, NULL, NULL, 0, unknown, 2, &y));
  OK(scnn_graph_apply_many(graph, model, "inner.", NULL, 0, values, 2, &y));
  OK(scnn_graph_model(graph, y, NULL, &outer));
  by_hand(model, image_values, expected);
  OK(scnn_predict(outer, &x, COUNT, NULL, output, COUNT * OUTPUTS));
  for (int i = 0; i < COUNT * OUTPUTS; i++) CHECK(fabsf(output[i] - expected[i]) < 1e-4f);
  OK(scnn_model_free(outer));
  OK(scnn_graph_free(graph));
}

int main(void) {
  for (int i = 0; i < COUNT * IMAGE; i++) {
    image_values[i] = (float)(i * 37 % 101) / 50 - 1;
    pixel_values[i] = (unsigned char)(i * 59 % 256);
  }
  for (int i = 0; i < COUNT * ROW; i++) row_values[i] = (float)(i * 29 % 17) / 8 - 1;
  scnn_model *model = two_inputs();
  test_what_is_read(model);
  test_prediction(model);
  test_misuse(model);
  test_as_a_layer(model);
  test_training(model);
  OK(scnn_model_free(model));
  return finish("inputs");
}
