/*
 * Gives a network a new classifier and trains it in two phases: the classifier alone, then all of it at a small rate.
 *
 *   cc -std=c99 finetune.c -o finetune $(pkg-config --cflags --libs swiftcnn)
 *   finetune OUT.safetensors [IMAGES.idx LABELS.idx [MODEL.safetensors]]
 *
 * The images and labels are in the format of MNIST, ten classes; without them some are made up. Without a model file
 * the network is a ResNet-20 that has learned nothing yet.
 */
#include <string.h>

#include "example.h"

enum { CLASSES = 10, MOST_IMAGES = 10000 };

/* Writes a pattern that matches the parameters of the classifier, the last layer that has any: as "fc.*". */
static int classifier_pattern(scnn_model *model, char *pattern, size_t capacity) {
  size_t count = 0;
  scnn_parameter last;
  if (!succeeded("count of parameters", scnn_model_parameter_count(model, &count)) ||
      !succeeded("last parameter", scnn_model_parameter(model, count - 1, &last))) {
    return 0;
  }
  const char *dot = strrchr(last.name, '.');
  int length = dot == NULL ? (int)strlen(last.name) : (int)(dot - last.name);
  return snprintf(pattern, capacity, "%.*s.*", length, last.name) < (int)capacity;
}

/* Trains the parameters that are not frozen, and prints a line for each epoch. */
static int train(scnn_model *model, const char *settings, const char *options, const scnn_tensor *x,
                 const scnn_tensor *y) {
  scnn_fit *fit = NULL;
  scnn_progress progress = {0};
  int well = succeeded("compile", scnn_compile(model, settings)) &&
             succeeded("fit", scnn_fit_begin(model, x, y, NULL, options, &fit));
  while (well && !progress.finished) {
    well = succeeded("training", scnn_fit_step(fit, &progress));
    if (well && progress.epoch_ended) {
      printf("epoch %d: loss %.3f, accuracy %.3f\n", (int)progress.epoch + 1, progress.results[0],
             progress.results[1]);
    }
  }
  scnn_fit_free(fit);
  return well;
}

static int fine_tune(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y) {
  char classifier[256];
  size_t frozen = 0, trained = 0;
  /* A new classifier; everything before it keeps its weights, and is frozen. */
  if (!succeeded("new classifier", scnn_model_reset_classifier(model, CLASSES, 0)) ||
      !classifier_pattern(model, classifier, sizeof classifier) ||
      !succeeded("freeze", scnn_model_set_trainable(model, "*", 0, &frozen)) ||
      !succeeded("unfreeze", scnn_model_set_trainable(model, classifier, 1, &trained))) {
    return 0;
  }
  printf("training %s: %d of %d parameters\n", classifier, (int)trained, (int)frozen);
  if (!train(model, "{\"optimizer\": {\"name\": \"adam\", \"learning_rate\": 0.01}, \"metrics\": [\"accuracy\"]}",
             "{\"batch_size\": 32, \"epochs\": 2}", x, y)) {
    return 0;
  }
  printf("training all of it\n");
  return succeeded("unfreeze", scnn_model_set_trainable(model, "*", 1, NULL)) &&
         train(model, "{\"optimizer\": {\"name\": \"adam\", \"learning_rate\": 0.002}, \"metrics\": [\"accuracy\"]}",
               "{\"batch_size\": 32, \"epochs\": 4}", x, y);
}

/* Prints what the model takes the first image for. */
static int predict_first(scnn_model *model, const scnn_tensor *x, int truth) {
  scnn_tensor first = *x;
  float probabilities[CLASSES];
  first.shape[0] = 1;
  if (!succeeded("prediction", scnn_predict(model, &first, 1, NULL, probabilities, CLASSES))) return 0;
  int best = 0;
  for (int class = 1; class < CLASSES; class++) {
    if (probabilities[class] > probabilities[best]) best = class;
  }
  printf("the first image is of class %d with %.1f %%; truth: %d\n", best, 100 * (double)probabilities[best], truth);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 2 && argc != 4 && argc != 5) {
    fprintf(stderr, "usage: %s OUT.safetensors [IMAGES.idx LABELS.idx [MODEL.safetensors]]\n",
            argc > 0 ? argv[0] : "finetune");
    return 2;
  }
  struct idx images = {0}, labels = {0};
  int32_t *classes = NULL;
  scnn_model *model = NULL;

  int done = argc == 2 ? make_images(320, 28, CLASSES, &images, &labels)
                       : read_idx(argv[2], 3, MOST_IMAGES, &images) && read_idx(argv[3], 1, MOST_IMAGES, &labels);
  if (done && images.shape[0] != labels.shape[0]) {
    fprintf(stderr, "there are %lld images but %lld labels\n", (long long)images.shape[0], (long long)labels.shape[0]);
    done = 0;
  }
  if (done) {
    classes = malloc((size_t)labels.shape[0] * sizeof *classes);
    done = classes != NULL;
    for (int64_t i = 0; done && i < labels.shape[0]; i++) classes[i] = labels.data[i];
  }
  if (done) {
    char options[100];
    snprintf(options, sizeof options, "{\"input_shape\": [%lld, %lld, 1], \"classes\": 5}", (long long)images.shape[1],
             (long long)images.shape[2]);
    done = argc == 5 ? succeeded(argv[4], scnn_model_load(argv[4], &model))
                     : succeeded("model", scnn_model_create("resnet20", options, &model));
  }
  if (done) {
    scnn_tensor x = {images.data, SCNN_UINT8, 4, {images.shape[0], images.shape[1], images.shape[2], 1}};
    scnn_tensor y = {classes, SCNN_INT32, 1, {labels.shape[0]}};
    done = fine_tune(model, &x, &y) && succeeded(argv[1], scnn_model_save(model, argv[1], 0)) &&
           predict_first(model, &x, classes[0]);
  }
  if (done) printf("saved %s\n", argv[1]);

  scnn_model_free(model);
  free(classes);
  free(images.data);
  free(labels.data);
  return done ? 0 : 1;
}
