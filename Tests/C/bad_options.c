/* Options that are no JSON, or that no function knows, or that are outside their domain. */
#include "misuse.h"

/* Options that are no JSON are a bad argument, not a bad file. */
static void refuses_text(scnn_status status, const char *options) {
  if (CHECK((status == SCNN_INVALID_ARGUMENT || status == SCNN_UNKNOWN_NAME) && *scnn_last_error())) return;
  printf("  status %d for %.50s: %s\n", (int)status, options, scnn_last_error());
}

/* Gives one text to each function that takes options. */
static void refuses_options(scnn_model *model, scnn_graph *graph, scnn_value value, const char *options) {
  scnn_model *other = NULL;
  scnn_fit *fit = NULL;
  scnn_tensor x = good_images(), y = good_labels();
  refuses_text(scnn_model_create("resnet20", options, &other), options);
  refuses_text(scnn_compile(model, options), options);
  refuses_text(scnn_fit_begin(model, &x, &y, NULL, options, &fit), options);
  refuses_text(scnn_graph_layer(graph, "dropout", NULL, options, &value, 1, &value), options);
  refuses_text(scnn_graph_model(graph, value, options, &other), options);
  CHECK(other == NULL && fit == NULL);
}

static void test_options(scnn_model *model) {
  scnn_graph *graph = NULL;
  scnn_value value = -1;
  const int64_t shape[3] = {SIDE, SIDE, CHANNELS};
  OK(scnn_graph_create(&graph));
  OK(scnn_graph_input(graph, "input", shape, 3, &value));
  static const char *const malformed[] = {
      "", " ", "{", "}", "{]", "[]", "null", "1", "\"text\"", "{\"a\"}", "{\"a\":}", "{\"a\": 1,}", "{\"a\": 01}",
      "{\"seed\": 1} x", "{\"seed\": 1, \"seed\": 2}", "{'seed': 1}", "{\"seed\": nan}", "{\"seed\": 1e999}",
      "{\"seed\": 99999999999999999999}", "{\"seed\": \"\\ud800\"}", "{\"\xff\": 1}", "{\"seed\": 1", "\xef\xbb\xbf{}",
      "{\"no such key\": 1}", "{\"SEED\": 1}"};
  for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) refuses_options(model, graph, value, malformed[i]);

  /* A hundred thousand deep, closed and not, in the place of the whole and in that of a value. */
  const size_t depth = 100000;
  char *deep = malloc(2 * depth + 20);
  if (deep != NULL) {
    for (int is_closed = 0; is_closed < 2; is_closed++) {
      for (int is_value = 0; is_value < 2; is_value++) {
        char *end = deep + sprintf(deep, "%s", is_value ? "{\"seed\": " : "");
        memset(end, '[', depth);
        end += depth;
        if (is_closed) memset(end, ']', depth), end += depth;
        strcpy(end, is_value ? "}" : "");
        refuses_options(model, graph, value, deep);
      }
    }
    free(deep);
  }

  scnn_model *other = NULL;
  scnn_fit *fit = NULL;
  scnn_tensor x = good_images(), y = good_labels();
  REFUSES(scnn_model_create("resnet20", "{\"clases\": 10}", &other));
  SAYS("classes");
  REFUSES(scnn_compile(model, "{\"optimiser\": \"sgd\"}"));
  SAYS("optimizer");
  REFUSES(scnn_compile(model, "{\"optimizer\": {\"name\": \"sgd\", \"beta_1\": 0.9}}"));
  SAYS("beta_1");

  static const char *const models[] = {
      "{\"classes\": 0}", "{\"classes\": -1}", "{\"classes\": 9223372036854775807}", "{\"classes\": 1099511627776}",
      "{\"classes\": \"10\"}", "{\"classes\": 1.5}", "{\"classes\": [10]}", "{\"input_shape\": 32}",
      "{\"input_shape\": []}", "{\"input_shape\": [32, 32]}", "{\"input_shape\": [0, 32, 3]}",
      "{\"input_shape\": [32, -32, 3]}", "{\"input_shape\": [32, 32, 3, 1]}", "{\"input_shape\": [\"a\", 1, 2]}",
      "{\"input_shape\": [9223372036854775807, 9223372036854775807, 3]}",
      "{\"input_shape\": [32, 32, 9223372036854775807]}", "{\"input_shape\": [32, 32, 1099511627776]}",
      "{\"include_top\": \"yes\"}", "{\"include_top\": false, \"pooling\": \"median\"}",
      "{\"classifier_activation\": \"no such\"}", "{\"dropout\": 1.5}", "{\"dropout\": -0.1}", "{\"drop_path\": 2}",
      "{\"weights\": \"no such file\"}", "{\"weights\": 5}", "{\"seed\": -1.5}", "{\"mean\": [0.5]}",
      "{\"std\": [0, 0, 0]}", "{\"mean\": \"a\"}", "{\"std\": [1, 1, 1, 1, 1, 1]}"};
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    REFUSES(scnn_model_create("resnet20", models[i], &other));
    CHECK(other == NULL);
  }

  static const char *const settings[] = {
      "{\"loss\": 5}", "{\"loss\": {}}", "{\"loss\": {\"name\": \"mean_squared_error\", \"label_smoothing\": 2}}",
      "{\"optimizer\": []}", "{\"optimizer\": {\"name\": 1}}", "{\"optimizer\": {\"learning_rate\": 0.1}}",
      "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": -1}}",
      "{\"optimizer\": {\"name\": \"sgd\", \"momentum\": -0.5}}",
      "{\"optimizer\": {\"name\": \"adam\", \"beta_1\": 1.5}}",
      "{\"optimizer\": {\"name\": \"adam\", \"epsilon\": -1}}",
      "{\"optimizer\": {\"name\": \"sgd\", \"clip_norm\": -1}}",
      "{\"optimizer\": {\"name\": \"sgd\", \"ema_decay\": 2}}", "{\"schedule\": 1}", "{\"schedule\": {}}",
      "{\"schedule\": {\"name\": \"step\", \"step_size\": 0}}",
      "{\"schedule\": {\"name\": \"exponential\", \"decay_steps\": 0}}",
      "{\"schedule\": {\"name\": \"cosine\", \"total_steps\": -4}}",
      "{\"schedule\": {\"name\": \"one_cycle\", \"maximum\": 0.1, \"total_steps\": 9, \"start_share\": 7}}",
      "{\"metrics\": \"accuracy\"}", "{\"metrics\": [{\"name\": \"top_k\", \"k\": 0}]}",
      "{\"metrics\": [{\"name\": \"top_k\", \"reported_as\": \"two\\nlines\"}]}",
      "{\"metrics\": [{\"name\": \"accuracy\", \"reported_as\": \"\"}]}", "{\"seed\": \"a\"}",
      "{\"memory\": \"tiny\"}", "{\"memory\": 0}", "{\"memory\": 1.5}", "{\"memory\": true}"};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) REFUSES(scnn_compile(model, settings[i]));
  double loss;
  OK(scnn_evaluate(model, &x, &y, NULL, 2, &loss, 1)); /* as it was compiled before */

  static const char *const fits[] = {
      "{\"batch_size\": 0}", "{\"batch_size\": -1}", "{\"batch_size\": \"a\"}", "{\"epochs\": 0}", "{\"epochs\": -1}",
      "{\"epochs\": 9223372036854775807}", "{\"shuffle\": 1}", "{\"crop_padding\": -1}",
      "{\"crop_padding\": 9223372036854775807}", "{\"class_weight\": [1]}", "{\"class_weight\": {\"a\": 1}}",
      "{\"class_weight\": {\"-1\": 1}}", "{\"class_weight\": {\"0\": -1}}",
      "{\"initial_epoch\": -1}", "{\"resume\": 1}", "{\"steps\": 0}", "{\"steps\": 3}"};
  for (size_t i = 0; i < sizeof fits / sizeof *fits; i++) {
    scnn_progress progress;
    scnn_status status = scnn_fit_begin(model, &x, &y, NULL, fits[i], &fit);
    /* A number of epochs that nobody lives to see the end of is no error by itself. */
    if (status == SCNN_OK && strstr(fits[i], "\"epochs\": 9")) survives(scnn_fit_free(fit));
    else if (!CHECK(status != SCNN_OK && status != SCNN_INTERNAL)) {
      printf("  accepted: %s\n", fits[i]);
      if (status == SCNN_OK) survives(scnn_fit_step(fit, &progress)), OK(scnn_fit_free(fit));
    }
    fit = NULL;
  }
  OK(scnn_graph_free(graph));
}

int main(void) {
  make_pixels();
  scnn_model *model = small_model(4);
  if (!CHECK(model != NULL) || !OK(scnn_compile(model, NULL))) return finish("bad_options");
  struct state before = state_of(model);
  test_options(model);
  CHECK(is_unchanged(model, &before));
  OK(scnn_model_free(model));
  return finish("bad_options");
}
