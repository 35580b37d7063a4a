/* Metrics by themselves and of a model, metrics that the caller measures, and a loss that is a graph. Also misused. */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "misuse.h"

static const float scores[12] = {0.5f, 0.3f, 0.2f, 0.1f, 0.8f, 0.1f, 0.2f, 0.2f, 0.6f, 0.7f, 0.2f, 0.1f};
static const int32_t truths[4] = {0, 1, 1, 2};
static const float four_weights[4] = {1, 1, 2, 3};

static scnn_tensor tensor_of(const void *data, int32_t dtype, int32_t rank, int64_t rows, int64_t columns) {
  scnn_tensor tensor = {.data = data, .dtype = dtype, .rank = rank, .shape = {rows, columns}};
  return tensor;
}

static void test_metrics_by_themselves(void) {
  scnn_tensor y = tensor_of(truths, SCNN_INT32, 1, 4, 0), p = tensor_of(scores, SCNN_FLOAT32, 2, 4, 3);
  scnn_tensor weight = tensor_of(four_weights, SCNN_FLOAT32, 1, 4, 0);
  const double expected[9] = {1, 0, 0, 0, 1, 2, 3, 0, 0};
  double results[2], matrix[9];
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = -1;
  float rows[4];
  scnn_measures *measures = NULL;
  OK(scnn_measures_create("{\"metrics\": [\"confusion_matrix\", {\"name\": \"recall\", \"class_id\": 1, \"top_k\": 1}]}",
                          &measures));
  OK(scnn_measures_add(measures, &y, &p, &weight));
  OK(scnn_measures_results(measures, results, 2));
  CHECK(fabs(results[0] - 2.0 / 7) < 1e-12 && fabs(results[1] - 1.0 / 3) < 1e-12);
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_measures_values(measures, 0, matrix, 8, shape, &rank));
  CHECK(rank == 2 && shape[0] == 3 && shape[1] == 3);
  OK(scnn_measures_values(measures, 0, matrix, 9, shape, &rank));
  for (int i = 0; i < 9; i++) CHECK(matrix[i] == expected[i]);
  OK(scnn_measures_values(measures, 1, matrix, 1, shape, &rank));
  CHECK(rank == 0 && matrix[0] == results[1]);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_measures_values(measures, 2, matrix, 9, shape, &rank));
  FAILS(SCNN_SHAPE_MISMATCH, scnn_measures_add(measures, &y, &y, NULL));
  FAILS(SCNN_SHAPE_MISMATCH, scnn_measures_add(measures, &y, &p, &p));
  FAILS(SCNN_INVALID_STATE, scnn_measures_batch(measures, &y, &p, &weight));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_measures_results(measures, results, 1));
  OK(scnn_measures_reset(measures));
  OK(scnn_measures_results(measures, results, 2));
  CHECK(results[0] == 0 && results[1] == 0);
  OK(scnn_measures_free(measures));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_measures_reset(measures));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_measures_reset(NULL));
  OK(scnn_measures_free(NULL));
  FAILS(SCNN_UNKNOWN_NAME, scnn_measures_create("{\"metrics\": [\"recal\"]}", &measures));
  SAYS("recall");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_measures_create(NULL, NULL));

  OK(scnn_measure_rows("{\"metric\": \"accuracy\"}", &y, &p, rows, 4));
  CHECK(rows[0] == 1 && rows[1] == 1 && rows[2] == 0 && rows[3] == 0);
  OK(scnn_measure_rows("{\"loss\": \"sparse_categorical_crossentropy\"}", &y, &p, rows, 4));
  CHECK(fabsf(rows[0] - logf(2)) < 1e-6f);
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_measure_rows("{\"metric\": \"accuracy\"}", &y, &p, rows, 3));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_measure_rows("{\"metric\": \"auc\"}", &y, &p, rows, 4));
  FAILS(SCNN_SHAPE_MISMATCH, scnn_measure_rows("{\"loss\": \"huber\"}", &y, &p, rows, 4));
}

static void test_a_models_metrics(scnn_model *model) {
  scnn_tensor x = good_images(), y = {.data = labels, .dtype = SCNN_INT32, .rank = 1, .shape = {BATCH}};
  scnn_tensor y_true, y_pred, weight;
  double whole[3], parts[3], matrix[CLASSES * CLASSES], sum = 0;
  float predictions[BATCH * CLASSES];
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank;
  scnn_measures *measures = NULL, *trained = NULL;
  FAILS(SCNN_INVALID_STATE, scnn_model_measures(model, 0, &measures));
  OK(scnn_compile(model, "{\"metrics\": [\"confusion_matrix\", \"auc\"], \"custom_metrics\": [\"mine\"]}"));
  OK(scnn_evaluate(model, &x, &y, NULL, BATCH, whole, 3));
  OK(scnn_predict(model, &x, BATCH, NULL, predictions, BATCH * CLASSES));
  OK(scnn_model_measures(model, 0, &measures));
  for (int part = 0; part < 2; part++) {
    scnn_tensor some = x, classes = y;
    some.data = (const unsigned char *)x.data + part * (BATCH / 2) * PIXELS;
    classes.data = labels + part * (BATCH / 2);
    some.shape[0] = classes.shape[0] = BATCH / 2;
    OK(scnn_measures_evaluate(measures, model, &some, &classes, NULL, BATCH, 0));
  }
  OK(scnn_measures_results(measures, parts, 3));
  for (int i = 0; i < 3; i++) CHECK(fabs(whole[i] - parts[i]) < 1e-5);
  OK(scnn_measures_batch(measures, &y_true, &y_pred, &weight));
  CHECK(y_pred.shape[0] == BATCH / 2 && y_pred.shape[1] == CLASSES && weight.data == NULL);
  CHECK(largest_difference(predictions + BATCH / 2 * CLASSES, y_pred.data, BATCH / 2 * CLASSES) < 1e-5f);
  CHECK(memcmp(y_true.data, labels + BATCH / 2, sizeof(int32_t) * BATCH / 2) == 0);
  FAILS(SCNN_INVALID_STATE, scnn_measures_add(measures, &y, &x, NULL));
  OK(scnn_train_on_batch(model, &x, &y, NULL, parts, 3));
  OK(scnn_model_measures(model, 1, &trained));
  OK(scnn_measures_values(trained, 1, matrix, CLASSES * CLASSES, shape, &rank));
  for (int i = 0; i < CLASSES * CLASSES; i++) sum += matrix[i];
  CHECK(rank == 2 && sum == BATCH);
  OK(scnn_compile(model, "{}"));
  FAILS(SCNN_INVALID_STATE, scnn_measures_evaluate(measures, model, &x, &y, NULL, BATCH, 0));
  OK(scnn_measures_free(measures));
  OK(scnn_measures_free(trained));
}

/* The squared difference as a graph, in JSON. */
static char *squared_difference(void) {
  const int64_t shape[1] = {CLASSES};
  char *text = NULL;
  scnn_graph *graph = NULL;
  scnn_model *made = NULL;
  scnn_value y = -1, p = -1, negative = -1, squared = -1;
  OK(scnn_graph_create(&graph));
  OK(scnn_graph_input(graph, "y_true", shape, 1, &y));
  OK(scnn_graph_input(graph, "y_pred", shape, 1, &p));
  OK(scnn_graph_layer(graph, "rescaling", "negative", "{\"scale\": -1}", &y, 1, &negative));
  const scnn_value both[2] = {negative, p};
  OK(scnn_graph_layer(graph, "add", "difference", NULL, both, 2, &squared));
  OK(scnn_graph_layer(graph, "activation", "squared", "{\"function\": \"power\"}", &squared, 1, &squared));
  OK(scnn_graph_model(graph, squared, NULL, &made));
  OK(scnn_graph_free(graph));
  TEXT(text, scnn_model_graph(made, "json", buffer, capacity, &length));
  OK(scnn_model_free(made));
  return text;
}

static void test_a_loss_that_is_a_graph(scnn_model *model) {
  char *graph = squared_difference();
  char *settings = malloc(strlen(graph) + 100);
  float targets[BATCH * CLASSES] = {0};
  double own, known;
  scnn_tensor x = good_images(), y = tensor_of(targets, SCNN_FLOAT32, 2, BATCH, CLASSES);
  for (int i = 0; i < BATCH; i++) targets[i * CLASSES + labels[i]] = 1;
  OK(scnn_compile(model, "{\"loss\": \"mean_squared_error\", \"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 0}}"));
  OK(scnn_train_on_batch(model, &x, &y, NULL, &known, 1));
  sprintf(settings, "{\"custom_loss\": {\"name\": \"mine\", \"graph\": %s}}", graph);
  OK(scnn_compile(model, settings));
  OK(scnn_train_on_batch(model, &x, &y, NULL, &own, 1));
  CHECK(fabs(own - known) < 1e-5 * known);
  OK(scnn_train_on_batch(model, &x, &y, NULL, &known, 1));
  CHECK(known < own);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compile(model, "{\"custom_loss\": {\"name\": \"mine\", \"graph\": {}}}"));
  free(settings);
  free(graph);
}

int main(void) {
  make_pixels();
  test_metrics_by_themselves();
  scnn_model *model = small_model(3);
  test_a_models_metrics(model);
  test_a_loss_that_is_a_graph(model);
  OK(scnn_model_free(model));
  return finish("measures");
}
