/* NULL for every pointer of every function, and handles that are none. */
#include "misuse.h"

static float output[BATCH * CLASSES];

static float values[BATCH * PIXELS];

/* Calls each function that takes a model with `model`, which is none, and all else in order. */
static void use_no_model(scnn_model *model) {
  scnn_tensor x = good_images(), y = good_labels();
  scnn_model *copy = NULL;
  scnn_parameter parameter;
  scnn_fit *fit = NULL;
  char text[8];
  double numbers[CHANNELS] = {1, 1, 1};
  int64_t shape[SCNN_MAX_RANK];
  int64_t steps;
  int32_t rank;
  size_t count;
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save(model, "bad.safetensors", 0));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_load_weights(model, "bad.safetensors", 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save_weights(model, "bad.safetensors", NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_weights_report(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_import_report(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_clone(model, &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(model, &x, NULL, &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantization_aware(model, &x, NULL, &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize_validated(model, &x, &x, &x, "{\"max_drop\": 1}", &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distill(model, model, NULL, &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distilled_student(model, &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_measured_teacher(model, &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compare_with_teacher(model, numbers, numbers, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_quantization_report(model, NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_quantization_report_text(model, "text", text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_prune(model, NULL, NULL, "{\"ratio\": 0.5}", &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_prune(model, NULL, NULL, "{\"ratio\": 0.5}"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_pruning_report(model, "text", text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT,
        scnn_compress(model, &x, &x, &x, &x, "{\"speedup\": 2}", NULL, NULL, &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compress_with(model, &x, NULL, "{\"speedup\": 2}", &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_compression_report(model, "text", text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_sparsify(model, NULL, &copy));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_sparsity(model, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_sparsity_report(model, "text", text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_copy_state(model, model));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_metadata(model, "key", "value"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_metadata(model, "key", text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_name(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_summary(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_fused_summary(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_draw(model, NULL, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_feature_maps(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile(model, &x, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile_training(model, &x, &x, NULL, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile_text(model, "text", text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_graph(model, "text", text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_input_shape(model, shape, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_get_normalization(model, numbers, numbers, CHANNELS));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_normalization(model, numbers, numbers, CHANNELS));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_parameter_count(model, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_parameter(model, 0, &parameter));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_get_parameter(model, "fc.bias", values, CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_parameter(model, "fc.bias", values, CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_trainable(model, "*", 1, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_tensor_names(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_output_shape(model, &x, NULL, shape, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_predict(model, &x, BATCH, NULL, output, BATCH * CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compile(model, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_metric_names(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_training_settings(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_trained_steps(model, &steps));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_training_progress(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_set_training_notes(model, "text", NULL, 0));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_training_notes(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_training_notes_data(model, text, sizeof text, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_train_on_batch(model, &x, &y, NULL, numbers, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_evaluate(model, &x, &y, NULL, BATCH, numbers, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_evaluate_ema(model, &x, &y, NULL, BATCH, numbers, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_get_gradient(model, "fc.bias", values, CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_get_learning_rate(model, numbers));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_set_learning_rate(model, 0.1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_swap_ema(model));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_apply_ema(model));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_regularization(model, "*", 0.1, 0, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_reset_classifier(model, CLASSES, 0));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_tensor_shape(model, NULL, shape, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_begin(model, &x, &y, NULL, NULL, &fit));
  const int64_t input_shape[3] = {SIDE, SIDE, CHANNELS};
  scnn_graph *graph = NULL;
  scnn_value value = -1;
  OK(scnn_graph_create(&graph));
  OK(scnn_graph_input(graph, "input", input_shape, 3, &value));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, model, NULL, NULL, 0, value, &value));
  OK(scnn_graph_free(graph));
}

/* The same for graphs. */
static void use_no_graph(scnn_graph *graph) {
  const int64_t input_shape[3] = {SIDE, SIDE, CHANNELS};
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank;
  scnn_value value = 0;
  scnn_model *model = NULL;
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_input(graph, "input", input_shape, 3, &value));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_layer(graph, "softmax", NULL, NULL, &value, 1, &value));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_apply(graph, NULL, NULL, NULL, 0, value, &value));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_shape(graph, value, shape, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_model(graph, value, NULL, &model));
}

static void test_null_arguments(scnn_model *model) {
  scnn_tensor x = good_images(), y = good_labels(), none = x;
  none.data = NULL;
  scnn_model *other = NULL;
  scnn_fit *fit = NULL;
  scnn_graph *graph = NULL;
  scnn_value value = 0;
  double numbers[CHANNELS] = {1, 1, 1};
  int64_t shape[SCNN_MAX_RANK] = {SIDE, SIDE, CHANNELS};
  int32_t rank;
  size_t length;
  use_no_model(NULL);
  use_no_graph(NULL);

  FAILS(SCNN_INVALID_ARGUMENT, scnn_system(NULL, NULL, 0, NULL));
  FAILS(SCNN_UNKNOWN_NAME, scnn_system("jsn", NULL, 0, NULL));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_system("json", NULL, 0, NULL));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_list_models(NULL, NULL, 0, NULL));
  REFUSES(scnn_list_models(NULL, NULL, 100, &length));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_describe(NULL, 0, NULL));
  REFUSES(scnn_describe(NULL, 100, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_create(NULL, NULL, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_create("resnet20", NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_load(NULL, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_load("bad.safetensors", NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save(model, NULL, 0));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_load_weights(model, NULL, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_clone(model, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(model, NULL, NULL, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(model, &x, NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(model, &x, "{\"samples\": 0}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantization_aware(model, &x, NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantization_aware(model, &x, "{\"freeze\": 2}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantization_aware(model, &x, "{\"momentum\": 0}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(model, &x, "{\"strict\": 1}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize(model, &x, "{\"equalize\": 1}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize_validated(model, &x, NULL, &x, "{\"max_drop\": 1}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_quantize_validated(model, &x, &x, &x, "{\"max_drop\": -1}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distill(model, NULL, NULL, &other));
  SAYS("teacher is NULL");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distill(model, model, NULL, &other));
  SAYS("expected a copy");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distill(model, model, NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distill(model, model, "{\"student_weight\": -1}", &other));
  SAYS("student_weight is -1");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distill(model, model, "{\"losses\": [{\"name\": \"hint\"}]}", &other));
  SAYS("'student_layer' is missing");
  FAILS(SCNN_INVALID_STATE, scnn_distilled_student(model, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_distilled_student(model, NULL));
  FAILS(SCNN_INVALID_STATE, scnn_measured_teacher(model, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_measured_teacher(model, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compare_with_teacher(model, NULL, NULL, 1));
  FAILS(SCNN_INVALID_STATE, scnn_model_quantization_report(model, NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_quantization_report(model, NULL, model));
  FAILS(SCNN_INVALID_STATE, scnn_model_quantization_report_text(model, "text", NULL, 0, NULL));
  REFUSES(scnn_quantize(model, &x, "{\"method\": \"best\"}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_prune(model, NULL, NULL, "{\"ratio\": 0.5}", NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_prune(model, NULL, NULL, "{\"ratio\": 1}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compress_with(model, &x, NULL, "{\"speedup\": 2}", &other));
  SAYS("data is NULL");
  scnn_compression_data nothing = {0};
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compress_with(model, &x, &nothing, "{\"speedup\": 2}", &other));
  SAYS("data.train is NULL");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compress(model, &x, &x, &x, &x, "{\"speedup\": 0.5}", NULL, NULL, &other));
  SAYS("speedup is 0.5");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_compress(model, &x, &x, &x, &x, NULL, NULL, NULL, &other));
  SAYS("no target is given");
  REFUSES(scnn_compress(model, &x, &x, &x, &x, "{\"speedup\": 2, \"fit\": {\"batch\": 1}}", NULL, NULL, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_prune(model, NULL, NULL, "{\"ratio\": 0.5, \"params\": 0.5}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_prune(model, NULL, &x, "{\"ratio\": 0.5}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_prune(model, NULL, NULL, "{\"macs\": 1e-9}"));
  REFUSES(scnn_model_prune(model, NULL, NULL, "{\"ratio\": 0.5, \"criterion\": \"l3\"}"));
  REFUSES(scnn_model_prune(model, NULL, NULL, "{\"ratio\": 0.5, \"skip\": [\"no such layer\"]}"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_pruning_report(model, NULL, NULL, 0, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_sparsify(model, NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_sparsify(model, "{\"sparsity\": 1.5}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_sparsify(model, "{\"sparsity\": -0.1}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_sparsify(model, "{\"pattern\": \"5:4\"}", &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_sparsify(model, "{\"pattern\": \"2:4\", \"sparsity\": 0.5}", &other));
  REFUSES(scnn_sparsify(model, "{\"pattern\": \"unstructred\"}", &other));
  REFUSES(scnn_sparsify(model, "{\"skip\": [\"no such layer\"]}", &other));
  REFUSES(scnn_model_set_sparsity(model, "{\"scope\": \"globl\"}"));
  REFUSES(scnn_model_sparsity_report(model, "svg", NULL, 0, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_sparsity_report(model, NULL, NULL, 0, &length));
  REFUSES(scnn_model_name(model, NULL, 100, &length));
  REFUSES(scnn_model_summary(model, NULL, 100, &length));
  REFUSES(scnn_model_fused_summary(model, NULL, 100, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile(model, NULL, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile_training(model, NULL, NULL, NULL, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile_text(model, NULL, NULL, 0, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_profile_synthetic(NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_graph(model, NULL, NULL, 0, &length));
  REFUSES(scnn_model_graph(model, "dot", NULL, 100, &length));
  REFUSES(scnn_model_draw(model, NULL, NULL, 100, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_draw(model, "{", NULL, 0, &length));
  REFUSES(scnn_model_feature_maps(model, NULL, 100, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_input_shape(model, NULL, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_input_shape(model, shape, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_get_normalization(model, NULL, numbers, CHANNELS));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_get_normalization(model, numbers, NULL, CHANNELS));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_normalization(model, NULL, numbers, CHANNELS));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_normalization(model, numbers, NULL, CHANNELS));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_parameter_count(model, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_parameter(model, 0, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_get_parameter(model, NULL, values, CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_get_parameter(model, "fc.bias", NULL, CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_parameter(model, NULL, values, CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_parameter(model, "fc.bias", NULL, CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_trainable(model, NULL, 1, &length));
  REFUSES(scnn_model_tensor_names(model, NULL, 100, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_output_shape(model, NULL, NULL, shape, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_output_shape(model, &x, NULL, NULL, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_output_shape(model, &x, NULL, shape, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_predict(model, NULL, BATCH, NULL, output, BATCH * CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_predict(model, &none, BATCH, NULL, output, BATCH * CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_predict(model, &x, BATCH, NULL, NULL, BATCH * CLASSES));
  REFUSES(scnn_metric_names(model, NULL, 100, &length));
  REFUSES(scnn_training_settings(model, NULL, 100, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_trained_steps(model, NULL));
  REFUSES(scnn_training_progress(model, NULL, 100, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_set_training_notes(model, "text", NULL, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_set_training_notes(model, "text", "x", SIZE_MAX));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_set_training_notes(model, "\xff", NULL, 0));
  REFUSES(scnn_training_notes(model, NULL, 100, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_train_on_batch(model, NULL, &y, NULL, numbers, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_train_on_batch(model, &none, &y, NULL, numbers, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_train_on_batch(model, &x, NULL, NULL, numbers, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_train_on_batch(model, &x, &y, NULL, NULL, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_evaluate(model, NULL, &y, NULL, BATCH, numbers, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_evaluate(model, &x, NULL, NULL, BATCH, numbers, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_evaluate(model, &x, &y, NULL, BATCH, NULL, 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_get_gradient(model, NULL, values, CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_get_gradient(model, "fc.bias", NULL, CLASSES));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_get_learning_rate(model, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_begin(model, NULL, &y, NULL, NULL, &fit));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_begin(model, &x, NULL, NULL, NULL, &fit));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_begin(model, &x, &y, NULL, NULL, NULL));
  scnn_progress progress;
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_step(NULL, &progress));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_on_batch(NULL, &x, &y, NULL, &progress));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_end_epoch(NULL, &progress));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_progress(NULL, &progress));

  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_create(NULL));
  OK(scnn_graph_create(&graph));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_input(graph, NULL, shape, 3, &value));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_input(graph, "input", NULL, 3, &value));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_input(graph, "input", shape, 3, NULL));
  OK(scnn_graph_input(graph, "input", shape, 3, &value));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_layer(graph, NULL, NULL, NULL, &value, 1, &value));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_layer(graph, "softmax", NULL, NULL, NULL, 1, &value));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_layer(graph, "softmax", NULL, NULL, &value, 1, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_shape(graph, value, NULL, &rank));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_shape(graph, value, shape, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_model(graph, value, NULL, NULL));
  OK(scnn_graph_free(graph));
  CHECK(other == NULL && fit == NULL);
}

static void test_stale_handles(void) {
  scnn_tensor x = good_images(), y = good_labels();
  scnn_progress progress;
  scnn_fit *fit = NULL;
  scnn_graph *graph = NULL;
  scnn_model *model = small_model(1);
  OK(scnn_compile(model, NULL));
  OK(scnn_fit_begin(model, &x, &y, NULL, NULL, &fit));
  OK(scnn_graph_create(&graph));

  /* A handle of another kind. */
  use_no_model((scnn_model *)graph);
  use_no_model((scnn_model *)fit);
  use_no_graph((scnn_graph *)model);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_step((scnn_fit *)model, &progress));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_free((scnn_model *)graph));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_free((scnn_graph *)fit));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_free((scnn_fit *)model));

  /* A model that goes before its training does. */
  OK(scnn_model_free(model));
  survives(scnn_fit_step(fit, &progress));
  OK(scnn_fit_free(fit));
  OK(scnn_graph_free(graph));

  /* Freed once, and again. */
  use_no_model(model);
  use_no_graph(graph);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_step(fit, &progress));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_free(model));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_free(fit));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_graph_free(graph));

  /* Never made. */
  use_no_model((scnn_model *)&x);
  use_no_model((scnn_model *)(uintptr_t)3);
  use_no_model((scnn_model *)UINTPTR_MAX);
  use_no_graph((scnn_graph *)&x);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_fit_step((scnn_fit *)&x, &progress));
}

int main(void) {
  make_pixels();
  scnn_model *model = small_model(4);
  if (!CHECK(model != NULL) || !OK(scnn_compile(model, NULL))) return finish("bad_handles");
  struct state before = state_of(model);
  test_null_arguments(model);
  CHECK(is_unchanged(model, &before));
  test_stale_handles();
  CHECK(is_unchanged(model, &before));
  OK(scnn_model_free(model));
  return finish("bad_handles");
}
