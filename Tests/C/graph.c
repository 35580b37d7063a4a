/* Networks built in C, among them one that the library has too. */
#include "support.h"

static scnn_value layer(scnn_graph *graph, const char *kind, const char *name, const char *options, scnn_value x) {
  scnn_value value = -1;
  OK(scnn_graph_layer(graph, kind, name, options, &x, 1, &value));
  return value;
}

static scnn_value layer2(scnn_graph *graph, const char *kind, const char *options, scnn_value a, scnn_value b) {
  scnn_value operands[2] = {a, b}, value = -1;
  OK(scnn_graph_layer(graph, kind, NULL, options, operands, 2, &value));
  return value;
}

/* Convolution, batch normalisation and, where asked for, ReLU. */
static scnn_value convolution(scnn_graph *graph, const char *name, const char *normalization, int filters, int kernel,
                              int stride, int activates, scnn_value x) {
  char options[200];
  snprintf(options, sizeof options,
           "{\"filters\": %d, \"kernel\": [%d, %d], \"stride\": [%d, %d], \"padding\": [%d, %d, %d, %d]}", filters,
           kernel, kernel, stride, stride, kernel / 2, kernel / 2, kernel / 2, kernel / 2);
  x = layer(graph, "conv2d", name, options, x);
  x = layer(graph, "batch_norm", normalization, NULL, x);
  return activates ? layer(graph, "activation", NULL, "{\"function\": \"relu\"}", x) : x;
}

/* The residual network of CIFAR-10 with three blocks a stage (He et al. 2016, section 4.2). */
static scnn_value residual_network(scnn_graph *graph) {
  const int64_t shape[3] = {SIDE, SIDE, CHANNELS};
  scnn_value x = -1;
  OK(scnn_graph_input(graph, "input", shape, 3, &x));
  x = convolution(graph, "conv1", "bn1", 16, 3, 1, 1, x);
  for (int stage = 1; stage <= 3; stage++) {
    for (int block = 0; block < 3; block++) {
      int filters = 8 << stage, stride = stage > 1 && block == 0 ? 2 : 1;
      char names[6][60];
      static const char *const parts[6] = {"conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1"};
      for (int i = 0; i < 6; i++) snprintf(names[i], sizeof names[i], "layer%d.%d.%s", stage, block, parts[i]);
      scnn_value y = convolution(graph, names[0], names[1], filters, 3, stride, 1, x);
      y = convolution(graph, names[2], names[3], filters, 3, 1, 0, y);
      scnn_value shortcut = stride == 1 ? x : convolution(graph, names[4], names[5], filters, 1, stride, 0, x);
      x = layer(graph, "activation", NULL, "{\"function\": \"relu\"}", layer2(graph, "add", NULL, y, shortcut));
    }
  }
  x = layer(graph, "global_pool2d", NULL, "{\"kind\": \"average\"}", x);
  x = layer(graph, "dense", "fc", "{\"units\": 4}", x);
  return layer(graph, "softmax", NULL, NULL, x);
}

static void test_graph_as_built_in(void) {
  scnn_model *built_in = small_model(13), *own = NULL;
  scnn_graph *graph = NULL;
  OK(scnn_graph_create(&graph));
  scnn_value output = residual_network(graph);
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  OK(scnn_graph_shape(graph, output, shape, &rank));
  CHECK(rank == 2 && shape[0] == 1 && shape[1] == CLASSES);
  OK(scnn_graph_model(graph, output, "{\"name\": \"own\", \"seed\": 1}", &own));
  OK(scnn_graph_free(graph));

  char *name;
  TEXT(name, scnn_model_name(own, buffer, capacity, &length));
  CHECK(name && strcmp(name, "own") == 0);
  free(name);

  size_t count = 0, own_count = 0;
  OK(scnn_model_parameter_count(built_in, &count));
  OK(scnn_model_parameter_count(own, &own_count));
  CHECK(count == own_count && count > 0);
  for (size_t i = 0; i < count; i++) {
    scnn_parameter parameter;
    size_t size = 0;
    if (!OK(scnn_model_parameter(built_in, i, &parameter))) continue;
    float *values = parameter_values(built_in, parameter.name, &size);
    if (values) OK(scnn_model_set_parameter(own, parameter.name, values, size));
    free(values);
  }
  double mean[CHANNELS], deviation[CHANNELS];
  OK(scnn_model_get_normalization(built_in, mean, deviation, CHANNELS));
  OK(scnn_model_set_normalization(own, mean, deviation, CHANNELS));
  float of_built_in[BATCH * CLASSES], of_own[BATCH * CLASSES];
  predict(built_in, of_built_in);
  predict(own, of_own);
  CHECK(largest_difference(of_built_in, of_own, BATCH * CLASSES) < 1e-6f);
  OK(scnn_model_free(built_in));
  OK(scnn_model_free(own));
}

/* Every kind of layer, in one network that predicts, trains, and survives its file. */
static void test_graph_of_all_kinds(void) {
  scnn_graph *graph = NULL;
  scnn_value input = -1, x, y;
  const int64_t input_shape[3] = {SIDE, SIDE, CHANNELS};
  OK(scnn_graph_create(&graph));
  OK(scnn_graph_input(graph, "image", input_shape, 3, &input));
  char crop[60];
  snprintf(crop, sizeof crop, "{\"height\": %d, \"width\": %d}", SIDE + 1, SIDE + 1);
  x = layer(graph, "rescaling", NULL, "{\"scale\": [2, 1, 0.5], \"offset\": -1}", input);
  x = layer(graph, "zero_pad", NULL, "{\"padding\": [2, 0, 1, 3]}", x);
  x = layer(graph, "random_flip", NULL, "{\"vertical\": false}", x);
  x = layer(graph, "random_crop", NULL, crop, x);
  x = layer(graph, "conv2d", "a",
            "{\"filters\": 8, \"kernel\": [3, 3], \"dilation\": [2, 1], \"padding\": \"same\", \"bias\": true, "
            "\"initializer\": \"glorot_uniform\"}",
            x);
  x = layer(graph, "batch_norm", "b", "{\"epsilon\": 1e-3, \"momentum\": 0.01}", x);
  x = layer(graph, "activation", NULL, "{\"function\": \"silu\"}", x);
  x = layer(graph, "prelu", "p", NULL, x);
  x = layer(graph, "group_norm", "g", "{\"groups\": 4}", x);
  x = layer(graph, "conv2d_transpose", "t",
            "{\"filters\": 8, \"kernel\": [3, 3], \"padding\": \"same\", \"bias\": true}", x);
  x = layer2(graph, "maximum", NULL, x, layer(graph, "unit_norm", NULL, NULL, x));
  y = layer(graph, "pool2d", NULL, "{\"kind\": \"max\", \"kernel\": [1, 1]}", x);
  x = layer2(graph, "minimum", NULL, x, layer(graph, "rescaling", NULL, "{\"offset\": 1}", y));
  y = layer(graph, "resize", NULL, "{\"axis\": 1, \"scale\": 2}", x);
  x = layer(graph, "pool2d", NULL, "{\"kind\": \"average\", \"kernel\": [2, 1]}", y);
  x = layer(graph, "activation", NULL, "{\"function\": \"leaky_relu\", \"alpha\": 0.1, \"maximum\": 9}", x);
  x = layer(graph, "activation", NULL, "{\"function\": \"clip\", \"minimum\": -2, \"maximum\": 2}", x);
  x = layer(graph, "activation", NULL, "{\"function\": \"elu\", \"alpha\": 0.5}", x);
  x = layer2(graph, "add", NULL, x, layer(graph, "activation", NULL, "{\"function\": \"exponential\"}", x));
  x = layer2(graph, "add", NULL, x, layer(graph, "log_softmax", NULL, NULL, x));
  x = layer(graph, "conv2d", "c", "{\"filters\": 12, \"kernel\": [1, 3], \"groups\": 4}", x);
  x = layer(graph, "depthwise_conv2d", "d", "{\"kernel\": [3, 3], \"multiplier\": 2, \"padding\": \"same\"}", x);
  static const char *const functions[] = {"relu6", "sigmoid", "hard_swish", "hard_sigmoid", "gelu", "tanh", "gelu_tanh",
                                          "selu", "softplus", "softsign", "mish", "leaky_relu", "elu"};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    char options[60];
    snprintf(options, sizeof options, "{\"function\": \"%s\"}", functions[i]);
    x = layer2(graph, "add", NULL, x, layer(graph, "activation", NULL, options, x));
  }
  /* Squeeze and excitation: the product is broadcast over height and width. */
  y = layer(graph, "global_pool2d", NULL, "{\"kind\": \"average\", \"keep_axes\": true}", x);
  x = layer2(graph, "multiply", NULL, x, layer(graph, "activation", NULL, "{\"function\": \"sigmoid\"}", y));
  y = layer(graph, "pool2d", NULL, "{\"kind\": \"max\", \"kernel\": [3, 3], \"stride\": [1, 1], \"padding\": \"same\"}",
            x);
  x = layer2(graph, "concat", "{\"axis\": -1}", x, layer(graph, "stochastic_depth", NULL, "{\"rate\": 0.2}", y));
  x = layer(graph, "pool2d", NULL, "{\"kind\": \"average\", \"kernel\": [2, 2], \"count_include_pad\": false}", x);
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  OK(scnn_graph_shape(graph, x, shape, &rank));
  CHECK(rank == 4 && shape[0] == 1 && shape[1] == 4 && shape[2] == 3 && shape[3] == 48);
  x = layer(graph, "reshape", NULL, "{\"shape\": [-1]}", x);
  x = layer(graph, "dropout", NULL, "{\"rate\": 0.5}", x);
  x = layer(graph, "dense", "e", "{\"units\": 4, \"bias\": false, \"initializer\": \"he_normal_fan_out\"}", x);
  x = layer(graph, "softmax", NULL, NULL, x);

  scnn_model *model = NULL, *loaded = NULL;
  OK(scnn_graph_model(graph, x, "{\"mean\": [0.5, 0.5, 0.5], \"std\": [0.25, 0.25, 0.25]}", &model));
  OK(scnn_graph_free(graph));
  OK(scnn_graph_free(NULL));
  scnn_tensor images_x = good_images(), y_labels = good_labels();
  double loss = 0;
  OK(scnn_compile(model, NULL));
  OK(scnn_train_on_batch(model, &images_x, &y_labels, NULL, &loss, 1));
  CHECK(isfinite(loss) && loss > 0);
  OK(scnn_model_save(model, "kinds.safetensors", 0));
  OK(scnn_model_load("kinds.safetensors", &loaded));
  CHECK(predict_alike(model, loaded));
  OK(scnn_model_free(model));
  OK(scnn_model_free(loaded));
  remove("kinds.safetensors");
}

int main(void) {
  make_pixels();
  test_graph_as_built_in();
  test_graph_of_all_kinds();
  return finish("graph");
}
