/*
 * Builds a small residual network layer by layer, trains it on images that are made up, and makes a second model that
 * shares its parameters: what the first learns, the second knows.
 *
 *   cc -std=c99 layers.c -o layers $(pkg-config --cflags --libs swiftcnn)
 */
#include <math.h>

#include "example.h"

enum { SIDE = 16, CLASSES = 4, IMAGES = 128, FILTERS = 8 };

/* Adds a layer that reads one value. `value` is what it reads and becomes what it gives. */
static int add_layer(scnn_graph *graph, const char *kind, const char *name, const char *options, scnn_value *value) {
  return succeeded(name == NULL ? kind : name, scnn_graph_layer(graph, kind, name, options, value, 1, value));
}

/* Adds a 3x3 convolution and batch normalisation, with parameters whose names begin with `name`. */
static int add_convolution(scnn_graph *graph, const char *name, scnn_value *value) {
  char convolution[60], normalization[60], options[100];
  snprintf(convolution, sizeof convolution, "%s.conv", name);
  snprintf(normalization, sizeof normalization, "%s.bn", name);
  snprintf(options, sizeof options, "{\"filters\": %d, \"kernel\": [3, 3], \"padding\": \"same\"}", FILTERS);
  return add_layer(graph, "conv2d", convolution, options, value) &&
         add_layer(graph, "batch_norm", normalization, NULL, value);
}

static int add_relu(scnn_graph *graph, scnn_value *value) {
  return add_layer(graph, "activation", NULL, "{\"function\": \"relu\"}", value);
}

/* Adds a residual block: relu(x + F(x)), F being two convolutions (He et al. 2016, equation 1). */
static int add_block(scnn_graph *graph, const char *name, scnn_value *value) {
  char first[40], second[40];
  snprintf(first, sizeof first, "%s.1", name);
  snprintf(second, sizeof second, "%s.2", name);
  scnn_value operands[2] = {*value, *value}; /* x, and what will be F(x) */
  return add_convolution(graph, first, &operands[1]) && add_relu(graph, &operands[1]) &&
         add_convolution(graph, second, &operands[1]) &&
         succeeded(name, scnn_graph_layer(graph, "add", NULL, NULL, operands, 2, value)) && add_relu(graph, value);
}

/* Makes the classifier. The mean over each feature map is called "features". */
static int make_classifier(scnn_model **model) {
  const int64_t shape[3] = {SIDE, SIDE, 1};
  scnn_graph *graph = NULL;
  scnn_value value = 0;
  char units[40];
  snprintf(units, sizeof units, "{\"units\": %d}", CLASSES);
  int well = succeeded("graph", scnn_graph_create(&graph)) &&
             succeeded("input", scnn_graph_input(graph, "image", shape, 3, &value)) &&
             add_convolution(graph, "stem", &value) && add_relu(graph, &value) && add_block(graph, "block1", &value) &&
             add_block(graph, "block2", &value) &&
             add_layer(graph, "global_pool2d", "features", "{\"kind\": \"average\"}", &value) &&
             add_layer(graph, "dense", "classifier", units, &value) &&
             add_layer(graph, "softmax", NULL, NULL, &value) &&
             succeeded("model", scnn_graph_model(graph, value, "{\"name\": \"small_resnet\", \"seed\": 1}", model));
  scnn_graph_free(graph); /* the model does not need it */
  return well;
}

/* Makes a model of the classifier's layers up to "features", with the same parameters. */
static int make_extractor(scnn_model *classifier, scnn_model **model) {
  const int64_t shape[3] = {SIDE, SIDE, 1};
  scnn_graph *graph = NULL;
  scnn_value image = 0, features = 0;
  int well = succeeded("graph", scnn_graph_create(&graph)) &&
             succeeded("input", scnn_graph_input(graph, "image", shape, 3, &image)) &&
             succeeded("apply", scnn_graph_apply(graph, classifier, "backbone.", "features", 0, image, &features)) &&
             succeeded("model", scnn_graph_model(graph, features, "{\"name\": \"extractor\"}", model));
  scnn_graph_free(graph);
  return well;
}

/* Trains the classifier for some epochs and prints how well it did in the last. */
static int train(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y) {
  scnn_fit *fit = NULL;
  scnn_progress progress = {0};
  int well = succeeded("compile", scnn_compile(model, "{\"optimizer\": {\"name\": \"adam\", \"learning_rate\": 0.01},"
                                                      " \"metrics\": [\"accuracy\"]}")) &&
             succeeded("fit", scnn_fit_begin(model, x, y, NULL, "{\"batch_size\": 32, \"epochs\": 10}", &fit));
  while (well && !progress.finished) well = succeeded("training", scnn_fit_step(fit, &progress));
  if (well) printf("trained for %d steps: accuracy %.2f\n", (int)progress.step, progress.results[1]);
  scnn_fit_free(fit);
  return well;
}

int main(void) {
  struct idx images = {0}, labels = {0};
  int32_t classes[IMAGES];
  float before[FILTERS], after[FILTERS], of_classifier[FILTERS];
  scnn_model *classifier = NULL, *extractor = NULL;

  int done = make_images(IMAGES, SIDE, CLASSES, &images, &labels) && make_classifier(&classifier) &&
             make_extractor(classifier, &extractor);
  if (done) {
    for (int i = 0; i < IMAGES; i++) classes[i] = labels.data[i];
    scnn_tensor x = {images.data, SCNN_UINT8, 4, {IMAGES, SIDE, SIDE, 1}};
    scnn_tensor y = {classes, SCNN_INT32, 1, {IMAGES}};
    scnn_tensor first = {images.data, SCNN_UINT8, 4, {1, SIDE, SIDE, 1}};
    done = succeeded("features", scnn_predict(extractor, &first, 1, NULL, before, FILTERS)) &&
           train(classifier, &x, &y) &&
           succeeded("features", scnn_predict(extractor, &first, 1, NULL, after, FILTERS)) &&
           succeeded("features", scnn_predict(classifier, &first, 1, "features", of_classifier, FILTERS));
  }
  if (done) {
    float learned = 0, difference = 0;
    for (int i = 0; i < FILTERS; i++) {
      learned = fmaxf(learned, fabsf(after[i] - before[i]));
      difference = fmaxf(difference, fabsf(after[i] - of_classifier[i]));
    }
    printf("the extractor's features have changed by up to %.3f; they differ from the classifier's by %g\n",
           (double)learned, (double)difference);
    done = learned > 0 && difference == 0;
  }
  scnn_model_free(extractor);
  scnn_model_free(classifier);
  free(images.data);
  free(labels.data);
  return done ? 0 : 1;
}
