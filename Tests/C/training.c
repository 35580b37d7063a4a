/* Training, model files and checkpoints, used as they are meant to be. */
#include "support.h"

/* --------------------------------------------------------------------------------------------------------- training */

static void test_training(void) {
  scnn_model *model = small_model(4);
  scnn_tensor x = good_images(), y = good_labels();
  OK(scnn_compile(model, "{\"loss\": \"sparse_categorical_crossentropy\", \"metrics\": [\"accuracy\"], "
                         "\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 0.05}}"));
  char *names;
  TEXT(names, scnn_metric_names(model, buffer, capacity, &length));
  CHECK(names && strncmp(names, "loss\naccuracy", 13) == 0);
  free(names);

  /* Plain gradient descent, as the gradient that can be read says. */
  size_t count = 0;
  double results[2], first = 0;
  float *before = parameter_values(model, "fc.weight", &count);
  float *gradient = malloc(count * sizeof(float));
  OK(scnn_train_on_batch(model, &x, &y, NULL, results, 2));
  first = results[0];
  CHECK(isfinite(first) && first > 0 && results[1] >= 0 && results[1] <= 1);
  float *after = parameter_values(model, "fc.weight", &count);
  if (before && gradient && after) {
    OK(scnn_get_gradient(model, "fc.weight", gradient, count));
    float largest = 0;
    for (size_t i = 0; i < count; i++) {
      before[i] -= 0.05f * gradient[i];
      largest = fmaxf(largest, fabsf(gradient[i]));
    }
    CHECK(largest > 0 && largest_difference(before, after, count) < 1e-6f);
  }
  free(before);
  free(gradient);
  free(after);

  for (int step = 0; step < 15; step++) OK(scnn_train_on_batch(model, &x, &y, NULL, results, 2));
  CHECK(results[0] < 0.7 * first);

  double rate = 0;
  OK(scnn_get_learning_rate(model, &rate));
  CHECK(fabs(rate - 0.05) < 1e-9);
  OK(scnn_set_learning_rate(model, 0.025));
  OK(scnn_get_learning_rate(model, &rate));
  CHECK(fabs(rate - 0.025) < 1e-9);

  /* Evaluation agrees with the predictions, and weights of one change nothing. */
  float probabilities[BATCH * CLASSES];
  double loss = 0, hits = 0;
  predict(model, probabilities);
  for (int i = 0; i < BATCH; i++) {
    const float *row = probabilities + i * CLASSES;
    int best = 0;
    for (int class = 1; class < CLASSES; class++) best = row[class] > row[best] ? class : best;
    loss -= log((double)row[labels[i]]) / BATCH;
    hits += best == labels[i];
  }
  OK(scnn_evaluate(model, &x, &y, NULL, 4, results, 2));
  CHECK(fabs(results[0] - loss) < 1e-4 * (1 + loss));
  CHECK(fabs(results[1] - hits / BATCH) < 1e-9);
  float ones[BATCH] = {1, 1, 1, 1, 1, 1};
  scnn_tensor weights = vector(ones, SCNN_FLOAT32, BATCH);
  double weighted[2];
  OK(scnn_evaluate(model, &x, &y, &weights, 4, weighted, 2));
  CHECK(fabs(weighted[0] - results[0]) < 1e-6 * (1 + results[0]));
  OK(scnn_train_on_batch(model, &x, &y, &weights, weighted, 2));
  OK(scnn_model_free(model));
}

static void test_optimizers(void) {
  static const char *const settings[] = {
      "{\"optimizer\": {\"name\": \"sgd\", \"momentum\": 0.9, \"nesterov\": true, \"weight_decay\": 1e-4}}",
      "{\"optimizer\": \"adam\", \"loss\": {\"name\": \"sparse_categorical_crossentropy\", \"label_smoothing\": 0.1}}",
      "{\"optimizer\": {\"name\": \"adamw\", \"clip_norm\": 1}, \"metrics\": [{\"name\": \"top_k\", \"k\": 2}]}",
      "{\"optimizer\": {\"name\": \"rmsprop\", \"centered\": true, \"epsilon_inside_root\": true}}",
      "{\"schedule\": {\"name\": \"cosine\", \"total_steps\": 10, \"warmup_steps\": 2}}",
      "{\"schedule\": {\"name\": \"one_cycle\", \"maximum\": 0.1, \"total_steps\": 10}, \"seed\": 3}"};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    scnn_model *model = small_model(5);
    scnn_tensor x = good_images(), y = good_labels();
    double results[2] = {0};
    size_t count = strstr(settings[i], "top_k") ? 2 : 1;
    OK(scnn_compile(model, settings[i]));
    for (int step = 0; step < 2; step++) OK(scnn_train_on_batch(model, &x, &y, NULL, results, count));
    CHECK(isfinite(results[0]) && results[0] > 0);
    OK(scnn_model_free(model));
  }
}

/* Losses whose targets are shaped as the output. */
static void test_dense_targets(void) {
  static const char *const losses[] = {"categorical_crossentropy", "binary_crossentropy", "mean_squared_error",
                                       "mean_absolute_error", "huber", "log_cosh", "kl_divergence"};
  float targets[BATCH * CLASSES] = {0};
  for (int i = 0; i < BATCH; i++) targets[i * CLASSES + labels[i]] = 1;
  scnn_tensor x = good_images();
  scnn_tensor y = {targets, SCNN_FLOAT32, 2, {BATCH, CLASSES}};
  for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
    char settings[100];
    double loss = 0;
    scnn_model *model = small_model(6);
    snprintf(settings, sizeof settings, "{\"loss\": \"%s\"}", losses[i]);
    OK(scnn_compile(model, settings));
    OK(scnn_train_on_batch(model, &x, &y, NULL, &loss, 1));
    CHECK(isfinite(loss) && loss > 0);
    OK(scnn_model_free(model));
  }
}

static void test_moving_average(void) {
  scnn_model *model = small_model(7);
  scnn_tensor x = good_images(), y = good_labels();
  double loss;
  size_t count = 0;
  OK(scnn_compile(model, "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 0.1, \"ema_decay\": 0.9}}"));
  for (int step = 0; step < 3; step++) OK(scnn_train_on_batch(model, &x, &y, NULL, &loss, 1));
  float *own = parameter_values(model, "fc.weight", &count);
  double averaged, exchanged;
  OK(scnn_evaluate_ema(model, &x, &y, NULL, BATCH, &averaged, 1));
  OK(scnn_swap_ema(model));
  OK(scnn_evaluate(model, &x, &y, NULL, BATCH, &exchanged, 1));
  CHECK(averaged == exchanged);
  float *average = parameter_values(model, "fc.weight", &count);
  OK(scnn_swap_ema(model));
  float *back = parameter_values(model, "fc.weight", &count);
  CHECK(own && average && memcmp(own, average, count * sizeof(float)) != 0);
  CHECK(own && back && memcmp(own, back, count * sizeof(float)) == 0);
  free(own);
  free(average);
  free(back);
  OK(scnn_compile(model, "{\"optimizer\": \"sgd\"}"));
  FAILS(SCNN_INVALID_STATE, scnn_evaluate_ema(model, &x, &y, NULL, BATCH, &averaged, 1));
  SAYS("ema_decay");
  OK(scnn_model_free(model));
}

/* Trains to the end, and for a hundred steps at most. */
static void fit_to_the_end(scnn_fit *fit, scnn_progress *progress) {
  for (int step = 0; step < 100 && !progress->finished; step++) {
    if (!OK(scnn_fit_step(fit, progress))) return;
  }
}

static const char fit_settings[] =
    "{\"optimizer\": {\"name\": \"sgd\", \"momentum\": 0.9}, \"metrics\": [\"accuracy\"], \"seed\": 11, "
    "\"schedule\": {\"name\": \"cosine\", \"warmup_steps\": 1}}";
static const char fit_options[] =
    "{\"batch_size\": 4, \"epochs\": 3, \"shuffle\": true, \"horizontal_flip\": true, \"crop_padding\": 1, "
    "\"class_weight\": {\"0\": 2.0}}";

static void test_fit(void) {
  scnn_model *model = small_model(8);
  scnn_tensor x = good_images(), y = good_labels();
  scnn_fit *fit = NULL;
  scnn_progress progress;
  OK(scnn_compile(model, fit_settings));
  OK(scnn_fit_begin(model, &x, &y, NULL, fit_options, &fit));
  int64_t epochs_ended = 0, steps = 0;
  do {
    memset(&progress, 0, sizeof progress);
    if (!OK(scnn_fit_step(fit, &progress))) break;
    CHECK(progress.epoch == steps / 2 && progress.batch == steps % 2 + 1 && progress.batches == 2);
    steps++;
    CHECK(progress.step == steps && progress.metric_count == 2 && isfinite(progress.results[0]));
    CHECK(progress.epoch_ended == (steps % 2 == 0));
    epochs_ended += progress.epoch_ended;
  } while (!progress.finished && steps < 100);
  CHECK(steps == 6 && epochs_ended == 3);
  FAILS(SCNN_INVALID_STATE, scnn_fit_step(fit, &progress));
  OK(scnn_fit_free(fit));
  OK(scnn_fit_free(NULL));
  OK(scnn_model_free(model));
}

static int has_notes(scnn_model *model, const char *text, const void *data, size_t size) {
  char found[40] = "-";
  size_t count = 99;
  unsigned char bytes[8];
  return OK(scnn_training_notes(model, found, sizeof found, NULL)) && strcmp(found, text) == 0 &&
         OK(scnn_training_notes_data(model, bytes, sizeof bytes, &count)) && count == size &&
         (size == 0 || memcmp(bytes, data, size) == 0);
}

/* A text and bytes of the caller's go with the state of training, and nowhere without it. */
static void test_notes(void) {
  scnn_model *model = small_model(13), *copy = NULL, *loaded = NULL;
  scnn_tensor x = good_images(), y = good_labels();
  double results[1];
  size_t size = 0;
  OK(scnn_compile(model, "{\"optimizer\": {\"name\": \"sgd\", \"ema_decay\": 0.9}}"));
  CHECK(has_notes(model, "", NULL, 0));
  OK(scnn_set_training_notes(model, "{\"best\": 1}", "a\0b", 3));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_training_notes_data(model, NULL, 0, &size));
  CHECK(size == 3);
  OK(scnn_model_clone(model, &copy));
  CHECK(has_notes(copy, "{\"best\": 1}", "a\0b", 3));
  OK(scnn_set_training_notes(copy, "x", NULL, 0));
  CHECK(has_notes(copy, "x", NULL, 0) && has_notes(model, "{\"best\": 1}", "a\0b", 3));
  OK(scnn_model_copy_state(copy, model));
  OK(scnn_model_save(copy, "notes.safetensors", 1));
  OK(scnn_model_load("notes.safetensors", &loaded));
  CHECK(has_notes(loaded, "{\"best\": 1}", "a\0b", 3) && parameters_alike(model, loaded));
  OK(scnn_model_load_weights(model, "notes.safetensors", 1));
  OK(scnn_model_free(loaded));
  OK(scnn_model_save(copy, "notes.safetensors", 0));
  OK(scnn_model_load("notes.safetensors", &loaded));
  FAILS(SCNN_INVALID_STATE, scnn_training_notes_data(loaded, NULL, 0, &size));
  OK(scnn_set_training_notes(copy, NULL, NULL, 0));
  CHECK(has_notes(copy, "", NULL, 0));
  OK(scnn_compile(model, NULL));
  CHECK(has_notes(model, "", NULL, 0));
  OK(scnn_train_on_batch(copy, &x, &y, NULL, results, 1));
  OK(scnn_swap_ema(copy));
  char *progress;
  TEXT(progress, scnn_training_progress(copy, buffer, capacity, &length));
  CHECK(progress && strcmp(progress, "{\"step\":1,\"epoch\":0,\"batch\":0,\"results\":[],"
                                     "\"average_in_place\":true}") == 0);
  free(progress);
  remove("notes.safetensors");
  OK(scnn_model_free(model));
  OK(scnn_model_free(copy));
  OK(scnn_model_free(loaded));
}

/* What a loaded checkpoint says of its training is enough to compile another model alike, names of metrics included. */
static void test_settings(void) {
  scnn_model *model = small_model(13), *loaded = NULL, *other = small_model(13);
  scnn_tensor x = good_images(), y = good_labels();
  double results[2], rate = 0;
  int64_t steps = -1;
  char *given, *names, *read, *again;
  OK(scnn_compile(model, "{\"optimizer\": {\"name\": \"adamw\", \"beta_1\": 0.8, \"ema_decay\": 0.9}, \"seed\": 7, "
                         "\"schedule\": {\"name\": \"step\", \"step_size\": 2}, \"metrics\": [{\"name\": \"top_k\", "
                         "\"k\": 2, \"reported_as\": \"best two\"}]}"));
  TEXT(names, scnn_metric_names(model, buffer, capacity, &length));
  CHECK(names && strcmp(names, "loss\nbest two") == 0);
  TEXT(given, scnn_training_settings(model, buffer, capacity, &length));
  OK(scnn_trained_steps(model, &steps));
  CHECK(steps == 0);
  for (int step = 0; step < 3; step++) OK(scnn_train_on_batch(model, &x, &y, NULL, results, 2));
  OK(scnn_model_save(model, "settings.safetensors", 1));
  OK(scnn_model_load("settings.safetensors", &loaded));
  OK(scnn_trained_steps(loaded, &steps));
  CHECK(steps == 3);
  TEXT(read, scnn_training_settings(loaded, buffer, capacity, &length));
  CHECK(given && read && strcmp(given, read) == 0 && strstr(read, "\"beta_1\":0.8") && strstr(read, "\"best two\""));
  if (read) OK(scnn_compile(other, read));
  TEXT(again, scnn_training_settings(other, buffer, capacity, &length));
  CHECK(again && read && strcmp(again, read) == 0);
  free(again);

  /* A rate that was set ends the schedule. */
  OK(scnn_set_learning_rate(loaded, 0.25));
  TEXT(again, scnn_training_settings(loaded, buffer, capacity, &length));
  if (again) OK(scnn_compile(other, again));
  OK(scnn_get_learning_rate(other, &rate));
  CHECK(rate == 0.25 && again && strstr(again, "\"constant\""));
  free(given);
  free(names);
  free(read);
  free(again);
  OK(scnn_model_free(model));
  OK(scnn_model_free(loaded));
  OK(scnn_model_free(other));
  remove("settings.safetensors");
}

/* ------------------------------------------------------------------------------------------------------------ files */

static void test_files(void) {
  scnn_model *model = small_model(9), *loaded = NULL, *created = NULL, *copy = NULL;
  scnn_model *other = small_model(10);
  OK(scnn_model_save(model, "api.safetensors", 0));
  OK(scnn_model_load("api.safetensors", &loaded));
  CHECK(predict_alike(model, loaded));
  CHECK(!predict_alike(model, other));
  OK(scnn_model_load_weights(other, "api.safetensors", 1));
  CHECK(predict_alike(model, other));

  /* The weights alone go to PyTorch's format and come back, with a report. */
  scnn_model *third = small_model(11);
  char report[1000];
  size_t length = 1;
  OK(scnn_model_weights_report(third, report, sizeof report, &length));
  CHECK(length == 0);
  OK(scnn_model_save_weights(model, "api.pth", "timm"));
  OK(scnn_model_load_weights(third, "api.pth", 1));
  CHECK(predict_alike(model, third));
  OK(scnn_model_weights_report(third, report, sizeof report, &length));
  CHECK(strstr(report, "\"path\":\"api.pth\"") != NULL && strstr(report, "\"left_over\":[]") != NULL);
  OK(scnn_model_free(third));
  remove("api.pth");

  OK(scnn_model_create("resnet20",
                       "{\"input_shape\": [8, 8, 3], \"classes\": 4, \"weights\": \"api.safetensors\"}", &created));
  CHECK(parameters_alike(model, created));

  /* A clone begins alike and goes its own way. */
  OK(scnn_model_clone(model, &copy));
  CHECK(predict_alike(model, copy));
  float bias[CLASSES] = {1, 2, 3, 4};
  OK(scnn_model_set_parameter(copy, "fc.bias", bias, CLASSES));
  CHECK(!predict_alike(model, copy));
  CHECK(predict_alike(model, loaded));

  OK(scnn_model_free(model));
  OK(scnn_model_free(loaded));
  OK(scnn_model_free(created));
  OK(scnn_model_free(copy));
  OK(scnn_model_free(other));
  remove("api.safetensors");
}

/* Training that goes on from a checkpoint ends in the same bits as training that was never interrupted. */
static void test_checkpoint(void) {
  scnn_tensor x = good_images(), y = good_labels();
  scnn_model *whole = small_model(12), *resumed = NULL;
  scnn_fit *fit = NULL;
  scnn_progress progress = {0};
  OK(scnn_compile(whole, fit_settings));
  OK(scnn_fit_begin(whole, &x, &y, NULL, fit_options, &fit));
  for (int step = 0; step < 3; step++) OK(scnn_fit_step(fit, &progress));
  OK(scnn_model_save(whole, "checkpoint.safetensors", 1));
  fit_to_the_end(fit, &progress);
  OK(scnn_fit_free(fit));

  char options[sizeof fit_options + 20];
  snprintf(options, sizeof options, "%.*s, \"resume\": true}", (int)strlen(fit_options) - 1, fit_options);
  fit = NULL;
  memset(&progress, 0, sizeof progress);
  OK(scnn_model_load("checkpoint.safetensors", &resumed));
  OK(scnn_fit_begin(resumed, &x, &y, NULL, options, &fit));
  fit_to_the_end(fit, &progress);
  CHECK(progress.step == 6);
  OK(scnn_fit_free(fit));
  CHECK(parameters_alike(whole, resumed));
  OK(scnn_model_free(whole));
  OK(scnn_model_free(resumed));
  remove("checkpoint.safetensors");
}

int main(void) {
  make_pixels();
  test_training();
  test_optimizers();
  test_dense_targets();
  test_moving_average();
  test_fit();
  test_settings();
  test_notes();
  test_files();
  test_checkpoint();
  return finish("training");
}
