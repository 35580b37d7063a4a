/* Wrong shapes, element types, sizes, numbers and names, and calls in the wrong order. */
#include "misuse.h"

static float output[BATCH * CLASSES];

static float values[BATCH * PIXELS];

/* Tensors of which none is a batch of images for the model. */
static void test_tensors(scnn_model *model) {
  scnn_tensor y = good_labels();
  double results[1];
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank;
  const scnn_tensor wrong[] = {
      {pixels, SCNN_UINT8, 4, {BATCH, SIDE, SIDE, 1}},
      {pixels, SCNN_UINT8, 4, {BATCH, SIDE, SIDE + 1, CHANNELS}},
      {pixels, SCNN_UINT8, 3, {SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, 5, {1, BATCH, SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_INT32, 4, {BATCH / 6, SIDE, SIDE, CHANNELS}},
      {pixels, 3, 4, {BATCH, SIDE, SIDE, CHANNELS}},
      {pixels, -1, 4, {BATCH, SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, 0, {0}},
      {pixels, SCNN_UINT8, -1, {BATCH, SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, SCNN_MAX_RANK + 1, {BATCH, SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, INT32_MAX, {BATCH, SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, INT32_MIN, {BATCH, SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, 4, {-1, SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, 4, {INT64_MIN, SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, 4, {INT64_MAX, SIDE, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, 4, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}},
      {pixels, SCNN_UINT8, 4, {BATCH, -SIDE, -SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, 4, {BATCH, 0, SIDE, CHANNELS}},
      {pixels, SCNN_UINT8, 4, {0, SIDE, SIDE, CHANNELS}},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    int64_t empty = wrong[i].rank == 4 && wrong[i].shape[0] == 0;
    REFUSES(scnn_train_on_batch(model, &wrong[i], &y, NULL, results, 1));
    REFUSES(scnn_evaluate(model, &wrong[i], &y, NULL, 2, results, 1));
    scnn_fit *fit = NULL;
    REFUSES(scnn_fit_begin(model, &wrong[i], &y, NULL, NULL, &fit));
    CHECK(fit == NULL);
    /* Predictions of no images at all might as well be none. */
    if (empty) survives(scnn_predict(model, &wrong[i], 2, NULL, output, 0));
    else REFUSES(scnn_predict(model, &wrong[i], 2, NULL, output, BATCH * CLASSES));
    /* The shape is all that this one reads, and that of integers fits. */
    if (!empty && wrong[i].shape[0] != INT64_MAX && wrong[i].dtype != SCNN_INT32) {
      REFUSES(scnn_model_output_shape(model, &wrong[i], NULL, shape, &rank));
    }
  }

  scnn_tensor x = good_images();
  REFUSES(scnn_predict(model, &x, 0, NULL, output, BATCH * CLASSES));
  REFUSES(scnn_predict(model, &x, -1, NULL, output, BATCH * CLASSES));
  REFUSES(scnn_predict(model, &x, INT64_MIN, NULL, output, BATCH * CLASSES));
  OK(scnn_predict(model, &x, INT64_MAX, NULL, output, BATCH * CLASSES));
  REFUSES(scnn_predict(model, &x, 2, NULL, output, BATCH * CLASSES - 1));
  REFUSES(scnn_predict(model, &x, 2, NULL, output, 0));
  REFUSES(scnn_predict(model, &x, 2, NULL, output, SIZE_MAX));
  REFUSES(scnn_evaluate(model, &x, &y, NULL, 0, results, 1));
  REFUSES(scnn_evaluate(model, &x, &y, NULL, -5, results, 1));
  REFUSES(scnn_evaluate(model, &x, &y, NULL, 2, results, 2));
  REFUSES(scnn_train_on_batch(model, &x, &y, NULL, results, 0));
  REFUSES(scnn_train_on_batch(model, &x, &y, NULL, results, SIZE_MAX));
}

/* Integers are pixels, and what looks like none is told. */
static void test_values(scnn_model *model) {
  int32_t integers[BATCH * PIXELS], dtype = -1, logits = -1;
  for (int i = 0; i < BATCH * PIXELS; i++) integers[i] = pixels[i], values[i] = pixels[i];
  scnn_tensor x = good_images(), wide = images(integers, SCNN_INT32, BATCH), floats = images(values, SCNN_FLOAT32, BATCH);
  float expected[BATCH * CLASSES];
  OK(scnn_predict(model, &x, 4, NULL, expected, BATCH * CLASSES));
  OK(scnn_predict(model, &wide, 4, NULL, output, BATCH * CLASSES));
  CHECK(memcmp(output, expected, sizeof output) == 0);
  char *text = NULL;
  TEXT(text, scnn_model_warning(model, buffer, capacity, &length));
  CHECK(text && *text == '\0');
  free(text);
  OK(scnn_predict(model, &floats, 4, NULL, output, BATCH * CLASSES));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_model_warning(model, NULL, 0, NULL));
  TEXT(text, scnn_model_warning(model, buffer, capacity, &length));
  CHECK(text && strstr(text, "x looks like pixels that are not normalised") == text);
  free(text);
  TEXT(text, scnn_model_warning(model, buffer, capacity, &length));
  CHECK(text && *text == '\0');
  free(text);
  integers[7] = 256;
  FAILS(SCNN_INVALID_ARGUMENT, scnn_predict(model, &wide, 4, NULL, output, BATCH * CLASSES));
  SAYS("to 256; integers are pixels, expected from 0 to 255");
  OK(scnn_model_integer_dtype(model, 0, 255, &dtype));
  CHECK(dtype == SCNN_UINT8);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_integer_dtype(model, INT64_MIN, INT64_MAX, &dtype));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_integer_dtype(model, 0, 255, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_integer_dtype(NULL, 0, 255, &dtype));
  OK(scnn_model_gives_logits(model, &logits));
  CHECK(logits == 0);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_gives_logits(model, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_gives_logits(NULL, &logits));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_warning(NULL, NULL, 0, NULL));
}

static void test_targets(scnn_model *model) {
  scnn_tensor x = good_images();
  double results[1];
  int32_t outside[BATCH] = {0, 1, 2, CLASSES, 0, 1}, negative[BATCH] = {0, 1, -1, 0, 0, 1};
  int32_t extreme[BATCH] = {INT32_MIN, INT32_MAX, 0, 0, 0, 0};
  float not_a_number[BATCH * CLASSES] = {NAN, 1, 2, 3}, infinite[BATCH] = {INFINITY};
  const scnn_tensor wrong[] = {
      vector(outside, SCNN_INT32, BATCH),
      vector(negative, SCNN_INT32, BATCH),
      vector(extreme, SCNN_INT32, BATCH),
      vector(not_a_number, SCNN_FLOAT32, BATCH),
      vector(labels, SCNN_UINT8, BATCH),
      vector(labels, SCNN_INT32, BATCH - 1),
      vector(labels, SCNN_INT32, 0),
      vector(labels, SCNN_INT32, INT64_MAX),
      vector(labels, SCNN_INT32, -BATCH),
      vector(NULL, SCNN_INT32, BATCH),
      {labels, SCNN_INT32, 2, {BATCH, CLASSES}},
      {labels, SCNN_INT32, 0, {0}},
      {labels, SCNN_INT32, 9, {BATCH}},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    REFUSES(scnn_train_on_batch(model, &x, &wrong[i], NULL, results, 1));
    REFUSES(scnn_evaluate(model, &x, &wrong[i], NULL, 2, results, 1));
  }
  REFUSES(scnn_train_on_batch(model, &x, &wrong[0], NULL, results, 1));
  SAYS("4");

  scnn_tensor y = good_labels();
  const scnn_tensor weights[] = {
      vector(not_a_number, SCNN_FLOAT32, BATCH),
      vector(infinite, SCNN_FLOAT32, BATCH),
      vector(not_a_number + 1, SCNN_FLOAT32, BATCH + 1),
      vector(labels, SCNN_INT32, BATCH),
      vector(NULL, SCNN_FLOAT32, BATCH),
      {values, SCNN_FLOAT32, 2, {BATCH, 1}},
  };
  for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
    REFUSES(scnn_train_on_batch(model, &x, &y, &weights[i], results, 1));
    REFUSES(scnn_evaluate(model, &x, &y, &weights[i], 2, results, 1));
  }

  /* NaN among targets that are shaped as the output. */
  scnn_model *other = small_model(2);
  scnn_tensor dense = {not_a_number, SCNN_FLOAT32, 2, {BATCH, CLASSES}};
  OK(scnn_compile(other, "{\"loss\": \"mean_squared_error\"}"));
  REFUSES(scnn_train_on_batch(other, &x, &dense, NULL, results, 1));
  REFUSES(scnn_train_on_batch(other, &x, &y, NULL, results, 1));

  /* Training that turns NaN stops and says when. */
  for (size_t i = 0; i < BATCH * PIXELS; i++) values[i] = 1e30f;
  scnn_tensor huge = images(values, SCNN_FLOAT32, BATCH);
  values[5] = NAN;
  OK(scnn_compile(other, NULL));
  FAILS(SCNN_NOT_FINITE, scnn_train_on_batch(other, &huge, &y, NULL, results, 1));
  SAYS("step");
  OK(scnn_model_free(other));
}

static void test_numbers(scnn_model *model) {
  double mean[CHANNELS] = {0.5, 0.5, 0.5}, deviation[CHANNELS] = {0.5, 0.5, 0.5};
  scnn_parameter parameter;
  float bias[CLASSES] = {0};
  REFUSES(scnn_set_num_threads(0));
  REFUSES(scnn_set_num_threads(-1));
  REFUSES(scnn_set_num_threads(1025));
  REFUSES(scnn_set_num_threads(INT32_MIN));
  CHECK(scnn_get_num_threads() >= 1 && scnn_get_num_threads() <= 1024);
  OK(scnn_set_thread_pinning(1));
  OK(scnn_set_interruption(NULL));

  REFUSES(scnn_model_get_normalization(model, mean, deviation, CHANNELS + 1));
  REFUSES(scnn_model_set_normalization(model, mean, deviation, SIZE_MAX));
  REFUSES(scnn_model_set_normalization(model, mean, deviation, 0));
  deviation[1] = 0;
  REFUSES(scnn_model_set_normalization(model, mean, deviation, CHANNELS));
  deviation[1] = -1;
  REFUSES(scnn_model_set_normalization(model, mean, deviation, CHANNELS));
  deviation[1] = NAN;
  REFUSES(scnn_model_set_normalization(model, mean, deviation, CHANNELS));
  deviation[1] = 1;
  mean[0] = INFINITY;
  REFUSES(scnn_model_set_normalization(model, mean, deviation, CHANNELS));

  REFUSES(scnn_model_parameter(model, SIZE_MAX, &parameter));
  REFUSES(scnn_model_parameter(model, 10000, &parameter));
  REFUSES(scnn_model_get_parameter(model, "fc.bias", bias, CLASSES + 1));
  REFUSES(scnn_model_get_parameter(model, "fc.bias", bias, SIZE_MAX));
  REFUSES(scnn_model_set_parameter(model, "fc.bias", bias, 0));
  REFUSES(scnn_get_gradient(model, "fc.bias", bias, CLASSES - 1));
  REFUSES(scnn_set_learning_rate(model, NAN));
  REFUSES(scnn_set_learning_rate(model, -1));
  REFUSES(scnn_set_learning_rate(model, INFINITY));
  REFUSES(scnn_swap_ema(model)); /* compiled without "ema_decay" */
}

static void test_order_of_calls(void) {
  scnn_model *model = small_model(3);
  scnn_tensor x = good_images(), y = good_labels();
  scnn_fit *fit = NULL;
  double results[1];
  float bias[CLASSES];
  char text[8];
  int64_t steps;
  FAILS(SCNN_INVALID_STATE, scnn_train_on_batch(model, &x, &y, NULL, results, 1));
  FAILS(SCNN_INVALID_STATE, scnn_evaluate(model, &x, &y, NULL, 2, results, 1));
  FAILS(SCNN_INVALID_STATE, scnn_fit_begin(model, &x, &y, NULL, NULL, &fit));
  FAILS(SCNN_INVALID_STATE, scnn_get_learning_rate(model, results));
  FAILS(SCNN_INVALID_STATE, scnn_set_learning_rate(model, 0.1));
  FAILS(SCNN_INVALID_STATE, scnn_swap_ema(model));
  FAILS(SCNN_INVALID_STATE, scnn_training_settings(model, text, sizeof text, NULL));
  FAILS(SCNN_INVALID_STATE, scnn_trained_steps(model, &steps));
  FAILS(SCNN_INVALID_STATE, scnn_training_progress(model, text, sizeof text, NULL));
  FAILS(SCNN_INVALID_STATE, scnn_set_training_notes(model, "text", NULL, 0));
  FAILS(SCNN_INVALID_STATE, scnn_training_notes(model, text, sizeof text, NULL));
  FAILS(SCNN_INVALID_STATE, scnn_training_notes_data(model, text, sizeof text, NULL));
  FAILS(SCNN_INVALID_STATE, scnn_get_gradient(model, "fc.bias", bias, CLASSES));
  OK(scnn_compile(model, NULL));
  FAILS(SCNN_INVALID_STATE, scnn_get_gradient(model, "fc.bias", bias, CLASSES));
  OK(scnn_model_free(model));
}

/* ------------------------------------------------------------------------------------------------------------ names */

static void test_names(scnn_model *model) {
  scnn_model *other = NULL;
  float bias[CLASSES];
  size_t matched = 1;
  scnn_tensor x = good_images();
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_create("resnet2O", NULL, &other));
  SAYS("resnet20");
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_create("", NULL, &other));
  REFUSES(scnn_model_create("\xff\xfe", NULL, &other));
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_get_parameter(model, "fc.bais", bias, CLASSES));
  SAYS("fc.bias");
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_set_parameter(model, "conv1.weights", bias, CLASSES));
  SAYS("conv1.weight");
  FAILS(SCNN_UNKNOWN_NAME, scnn_get_gradient(model, "fc.bais", bias, CLASSES));
  SAYS("fc.bias");
  FAILS(SCNN_UNKNOWN_NAME, scnn_predict(model, &x, 2, "no such tensor", output, BATCH * CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile(model, &x, 0));
  SAYS("repeats");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile_synthetic(model, "{\"batch_size\": 0}"));
  SAYS("batch_size is 0");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile_synthetic(model, "{\"repeats\": 0}"));
  SAYS("repeats is 0");
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_profile_synthetic(model, "{\"batchsize\": 1}"));
  SAYS("batch_size");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile_synthetic(model, "{\"training\": 1}"));
  SAYS("training");
  OK(scnn_model_profile(model, &x, 1));
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_profile_text(model, "tracer", NULL, 0, NULL));
  SAYS("trace");
  REFUSES(scnn_model_graph(model, "dotty", NULL, 0, NULL));
  SAYS("dot");
  FAILS(SCNN_UNKNOWN_NAME, scnn_compile(model, "{\"optimizer\": \"adm\"}"));
  SAYS("adam");
  FAILS(SCNN_UNKNOWN_NAME, scnn_compile(model, "{\"loss\": \"mean_square_error\"}"));
  SAYS("mean_squared_error");
  FAILS(SCNN_UNKNOWN_NAME, scnn_compile(model, "{\"metrics\": [\"acuracy\"]}"));
  SAYS("accuracy");
  FAILS(SCNN_UNKNOWN_NAME, scnn_compile(model, "{\"schedule\": {\"name\": \"cosin\"}}"));
  SAYS("cosine");

  /* A pattern that matches nothing is most likely a slip. */
  scnn_status status = scnn_model_set_trainable(model, "nothing.*", 0, &matched);
  CHECK(status == SCNN_UNKNOWN_NAME || (status == SCNN_OK && matched == 0));

  /* A name of a million letters neither hangs nor floods the message. */
  size_t length = 1000000;
  char *name = malloc(length + 1);
  if (name == NULL) return;
  memset(name, 'a', length);
  name[length] = '\0';
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_create(name, NULL, &other));
  CHECK(strlen(scnn_last_error()) < 2000);
  REFUSES(scnn_model_load(name, &other));
  for (size_t i = 0; i < length; i++) name[i] = "*a"[i % 2];
  survives(scnn_list_models(name, NULL, 0, NULL));
  free(name);
  CHECK(other == NULL);
}

int main(void) {
  make_pixels();
  scnn_model *model = small_model(4);
  if (!CHECK(model != NULL) || !OK(scnn_compile(model, NULL))) return finish("bad_values");
  struct state before = state_of(model);
  test_tensors(model);
  test_values(model);
  CHECK(is_unchanged(model, &before));
  test_targets(model);
  CHECK(is_unchanged(model, &before));
  test_numbers(model);
  test_order_of_calls();
  test_names(model);
  CHECK(is_unchanged(model, &before));
  OK(scnn_model_free(model));
  return finish("bad_values");
}
