/* Layers and shapes that make no network. */
#include "misuse.h"

/* Initial values, and layers of files, described wrongly. */
static void test_initial_values(void) {
  const int64_t shape[SCNN_MAX_RANK] = {3, 4, 1, 1, 1, 1, 1, 1}, huge[2] = {INT64_MAX, 2}, negative[2] = {-3, -4};
  float values[12];
  static const char *const wrong[] = {
      NULL, "{}", "[]", "{\"name\": 3}", "{\"name\": \"ones\", \"value\": 1}",
      "{\"name\": \"constant\", \"value\": \"a\"}",
      "{\"name\": \"variance_scaling\", \"scale\": 0}", "{\"name\": \"variance_scaling\", \"mode\": 1}"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    REFUSES(scnn_initial_values(wrong[i], 1, shape, 2, values, 12));
    REFUSES(scnn_initial_values(wrong[i], 1, NULL, 0, NULL, 0));
  }
  FAILS(SCNN_UNKNOWN_NAME, scnn_initial_values("{\"name\": \"he_normall\"}", 1, shape, 2, values, 12));
  SAYS("he_normal");
  const char *normal = "{\"name\": \"he_normal\"}";
  OK(scnn_initial_values(normal, 1, NULL, 0, NULL, 0));
  REFUSES(scnn_initial_values(normal, 1, NULL, 2, values, 12));
  REFUSES(scnn_initial_values(normal, 1, shape, 2, NULL, 12));
  REFUSES(scnn_initial_values(normal, 1, shape, -1, values, 12));
  REFUSES(scnn_initial_values(normal, 1, shape, SCNN_MAX_RANK + 1, values, 12));
  REFUSES(scnn_initial_values(normal, 1, shape, 2, values, 11));
  REFUSES(scnn_initial_values(normal, 1, huge, 2, values, 12));
  REFUSES(scnn_initial_values(normal, 1, negative, 2, values, 12));
  REFUSES(scnn_initial_values("{\"name\": \"orthogonal\"}", 1, (const int64_t[1]){12}, 1, values, 12));
  REFUSES(scnn_initial_values("{\"name\": \"identity\"}", 1, shape, 3, values, 12));
  OK(scnn_initial_values("{\"name\": \"identity\", \"gain\": 2}", 1, shape, 2, values, 12));
  for (int i = 0; i < 12; i++) CHECK(values[i] == (i % 5 == 0 ? 2.0f : 0.0f));

  static const char *const matches[] = {
      NULL, "{}", "{\"wanted\": 1, \"stored\": [], \"has_order\": true, \"last\": \"\"}",
      "{\"wanted\": [1], \"stored\": [], \"has_order\": true, \"last\": \"\"}",
      "{\"wanted\": [], \"stored\": [], \"has_order\": true, \"last\": \"\", \"more\": 1}",
      "{\"wanted\": [], \"stored\": [{\"path\": [], \"given\": [], \"kind\": \"\", \"label\": \"\", "
      "\"weights\": [3]}], \"has_order\": true, \"last\": \"\"}"};
  for (size_t i = 0; i < sizeof matches / sizeof *matches; i++) REFUSES(scnn_match_layers(matches[i], NULL, 0, NULL));
  FAILS(SCNN_BUFFER_TOO_SMALL,
        scnn_match_layers("{\"wanted\": [], \"stored\": [], \"has_order\": false, \"last\": \"\"}", NULL, 0, NULL));

  static const char *const networks[] = {
      NULL, "", "[]", "{}", "{\"class_name\": \"Dense\"}", "{\"class_name\": \"Functional\", \"config\": 3}",
      "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"a\", \"layers\": [3]}}",
      "{\"class_name\": \"Functional\", \"config\": {\"name\": \"a\", \"layers\": [], \"input_layers\": [\"x\", 0, 0], "
      "\"output_layers\": [\"x\", 0, 0]}}"};
  for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
    REFUSES(scnn_keras_network(networks[i], NULL, 0, NULL));
  }
}

static void test_graphs(void) {
  scnn_graph *graph = NULL;
  scnn_model *model = NULL;
  scnn_value x = -1, y = -1;
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank;
  OK(scnn_graph_create(&graph));
  static const int64_t wrong_shapes[][3] = {{0, 8, 3},
                                            {-8, 8, 3},
                                            {INT64_MAX, INT64_MAX, 3},
                                            {INT64_MIN, 8, 3},
                                            {8, 8, INT64_MAX}};
  for (size_t i = 0; i < sizeof wrong_shapes / sizeof *wrong_shapes; i++) {
    REFUSES(scnn_graph_input(graph, "input", wrong_shapes[i], 3, &x));
  }
  const int64_t input_shape[SCNN_MAX_RANK] = {SIDE, SIDE, CHANNELS, 1, 1, 1, 1, 1};
  REFUSES(scnn_graph_input(graph, "input", input_shape, -1, &x));
  REFUSES(scnn_graph_input(graph, "input", input_shape, INT32_MAX, &x));
  REFUSES(scnn_graph_input(graph, "input", input_shape, SCNN_MAX_RANK + 1, &x));
  OK(scnn_graph_input(graph, "input", input_shape, 3, &x));
  REFUSES(scnn_graph_input(graph, "input", input_shape, 3, &y)); /* one is enough */

  FAILS(SCNN_UNKNOWN_NAME, scnn_graph_layer(graph, "conv2", NULL, NULL, &x, 1, &y));
  SAYS("conv2d");
  FAILS(SCNN_UNKNOWN_NAME, scnn_graph_layer(graph, "activation", NULL, "{\"function\": \"rellu\"}", &x, 1, &y));
  SAYS("relu");
  static const char *const wrong[][2] = {
      {"conv2d_transpose", NULL}, {"conv2d_transpose", "{\"filters\": 8, \"kernel\": [0, 3]}"},
      {"conv2d_transpose", "{\"filters\": 0, \"kernel\": [3, 3]}"},
      {"conv2d_transpose", "{\"filters\": 8, \"kernel\": [9223372036854775807, 3]}"},
      {"conv2d_transpose", "{\"filters\": 8, \"kernel\": [3, 3], \"stride\": [0, 1]}"},
      {"conv2d_transpose", "{\"filters\": 8, \"kernel\": [3, 3], \"stride\": [9223372036854775807, 1]}"},
      {"conv2d_transpose", "{\"filters\": 8, \"kernel\": [3, 3], \"padding\": [1, 1, 1, 1]}"},
      {"conv2d_transpose", "{\"filters\": 8, \"kernel\": [3, 3], \"padding\": \"half\"}"},
      {"group_norm", NULL}, {"group_norm", "{\"groups\": 0}"}, {"group_norm", "{\"groups\": -2}"},
      {"group_norm", "{\"groups\": 9223372036854775807}"}, {"group_norm", "{\"groups\": 1, \"epsilon\": -1}"},
      {"unit_norm", "{\"axes\": [9]}"}, {"unit_norm", "{\"axes\": [1, 1]}"}, {"unit_norm", "{\"axes\": -1}"},
      {"resize", NULL}, {"resize", "{\"axis\": 1, \"scale\": 0}"}, {"resize", "{\"axis\": 1, \"scale\": 1e300}"},
      {"resize", "{\"axis\": 9, \"scale\": 2}"}, {"resize", "{\"axis\": 1, \"size\": -1}"},
      {"conv2d", NULL}, {"conv2d", "{}"}, {"conv2d", "{\"filters\": 8}"},
      {"conv2d", "{\"filters\": 0, \"kernel\": [3, 3]}"}, {"conv2d", "{\"filters\": -8, \"kernel\": [3, 3]}"},
      {"conv2d", "{\"filters\": 9223372036854775807, \"kernel\": [3, 3]}"},
      {"conv2d", "{\"filters\": 4611686018427387904, \"kernel\": [1, 1]}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [9, 9]}"}, {"conv2d", "{\"filters\": 8, \"kernel\": [0, 3]}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": 3}"}, {"conv2d", "{\"filters\": 8, \"kernel\": [3]}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"stride\": [0, 1]}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"dilation\": [0, 1]}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"dilation\": [9223372036854775807, 1]}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [9223372036854775807, 3], \"padding\": \"same\"}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"groups\": 2}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"groups\": 0}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"padding\": \"full\"}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"padding\": [1, 1]}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"padding\": [-1, 0, 0, 0]}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"padding\": [9223372036854775807, 9223372036854775807, 0, 0]}"},
      {"conv2d", "{\"filters\": 8, \"kernel\": [3, 3], \"initializer\": \"no such\"}"},
      {"depthwise_conv2d", "{\"kernel\": [3, 3], \"multiplier\": 0}"},
      {"depthwise_conv2d", "{\"kernel\": [3, 3], \"multiplier\": 9223372036854775807}"},
      {"depthwise_conv2d", "{\"kernel\": [3, 3], \"filters\": 8}"},
      {"batch_norm", "{\"epsilon\": -1}"}, {"batch_norm", "{\"momentum\": 2}"},
      {"dense", NULL}, {"dense", "{\"units\": 0}"}, {"dense", "{\"units\": 9223372036854775807}"},
      {"activation", NULL}, {"activation", "{\"function\": 1}"},
      {"activation", "{\"function\": \"elu\", \"alpha\": 1e300}"},
      {"activation", "{\"function\": \"tanh\", \"alpha\": 1}"},
      {"activation", "{\"function\": \"clip\", \"minimum\": 1, \"maximum\": 0}"},
      {"rescaling", "{\"scale\": [1, 2]}"}, {"rescaling", "{\"offset\": 1e39}"}, {"rescaling", "{\"scale\": []}"},
      {"prelu", "{\"shared\": 1}"}, {"prelu", "{\"initializer\": \"no such\"}"},
      {"random_flip", "{\"horizontal\": false, \"vertical\": false}"}, {"random_crop", NULL},
      {"random_crop", "{\"height\": 2, \"width\": 0}"},
      {"random_crop", "{\"height\": 9223372036854775807, \"width\": 2}"},
      {"random_crop", "{\"height\": -9223372036854775808, \"width\": 2}"}, {"log_softmax", "{\"axis\": 1}"},
      {"softmax", "{\"function\": \"relu\"}"},
      {"add", NULL}, {"multiply", NULL},
      {"concat", "{\"axis\": 7}"}, {"concat", "{\"axis\": -9223372036854775808}"},
      {"pool2d", NULL}, {"pool2d", "{\"kind\": \"median\", \"kernel\": [2, 2]}"},
      {"pool2d", "{\"kind\": \"max\", \"kernel\": [20, 20]}"}, {"pool2d", "{\"kind\": \"max\", \"kernel\": [0, 0]}"},
      {"pool2d", "{\"kind\": \"max\", \"kernel\": [2, 2], \"stride\": [-1, 1]}"},
      {"global_pool2d", NULL}, {"global_pool2d", "{\"kind\": \"\"}"},
      {"reshape", NULL}, {"reshape", "{\"shape\": [-1, -1]}"}, {"reshape", "{\"shape\": [5]}"},
      {"reshape", "{\"shape\": [0]}"}, {"reshape", "{\"shape\": [-2]}"},
      {"reshape", "{\"shape\": [9223372036854775807, 9223372036854775807]}"},
      {"reshape", "{\"shape\": [1, 1, 1, 1, 1, 1, 1, 1, 1, 192]}"},
      {"zero_pad", NULL}, {"zero_pad", "{\"padding\": [-1, 0, 0, 0]}"},
      {"zero_pad", "{\"padding\": [9223372036854775807, 1, 1, 1]}"},
      {"dropout", "{\"rate\": 1.5}"}, {"dropout", "{\"rate\": -0.5}"}, {"dropout", "{\"rate\": \"a\"}"},
      {"stochastic_depth", "{\"rate\": 2}"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    if (!REFUSES(scnn_graph_layer(graph, wrong[i][0], NULL, wrong[i][1], &x, 1, &y))) {
      printf("  %s %s\n", wrong[i][0], wrong[i][1] ? wrong[i][1] : "NULL");
    }
  }

  scnn_value operands[3] = {x, x, x}, strange[] = {-1, 1000000, INT32_MAX, INT32_MIN};
  REFUSES(scnn_graph_layer(graph, "softmax", NULL, NULL, operands, 0, &y));
  REFUSES(scnn_graph_layer(graph, "softmax", NULL, NULL, operands, 2, &y));
  REFUSES(scnn_graph_layer(graph, "add", NULL, NULL, operands, 3, &y));
  REFUSES(scnn_graph_layer(graph, "concat", NULL, NULL, operands, 0, &y));
  REFUSES(scnn_graph_layer(graph, "concat", NULL, NULL, operands, SIZE_MAX, &y));
  for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
    REFUSES(scnn_graph_layer(graph, "softmax", NULL, NULL, &strange[i], 1, &y));
    REFUSES(scnn_graph_shape(graph, strange[i], shape, &rank));
    REFUSES(scnn_graph_model(graph, strange[i], NULL, &model));
  }

  /* Layers with parameters of one name, and operands that do not fit each other. */
  OK(scnn_graph_layer(graph, "conv2d", "a", "{\"filters\": 8, \"kernel\": [3, 3]}", &x, 1, &y));
  REFUSES(scnn_graph_layer(graph, "conv2d", "a", "{\"filters\": 4, \"kernel\": [3, 3]}", &x, 1, &operands[1]));
  operands[1] = y;
  REFUSES(scnn_graph_layer(graph, "add", NULL, NULL, operands, 2, &y));
  REFUSES(scnn_graph_layer(graph, "concat", NULL, NULL, operands, 2, &y));
  REFUSES(scnn_graph_model(graph, y, "{\"std\": [1]}", &model));
  CHECK(model == NULL);
  OK(scnn_graph_free(graph));
}

/* Sizes for which a model would need more memory than there is. */
static void test_huge_networks(void) {
  static const int64_t shapes[][3] = {{1, 1, INT64_C(1) << 40}, {1, 1, INT64_C(1) << 60}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    scnn_graph *graph = NULL;
    scnn_model *model = NULL;
    scnn_value x = -1;
    OK(scnn_graph_create(&graph));
    if (scnn_graph_input(graph, "input", shapes[i], 3, &x) == SCNN_OK) {
      OK(scnn_graph_layer(graph, "softmax", NULL, NULL, &x, 1, &x));
      REFUSES(scnn_graph_model(graph, x, NULL, &model));
    }
    OK(scnn_graph_free(graph));
  }
}

int main(void) {
  test_initial_values();
  test_graphs();
  test_huge_networks();
  return finish("bad_graphs");
}
