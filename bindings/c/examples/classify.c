/*
 * Classifies images of Fashion-MNIST with a model file, and prints what they are beside what the model takes them for.
 *
 *   cc -std=c99 classify.c -o classify $(pkg-config --cflags --libs swiftcnn)
 *   classify MODEL IMAGES.idx LABELS.idx [COUNT]
 *
 * The images and labels are in the format of MNIST (IDX: http://yann.lecun.com/exdb/mnist/), unpacked.
 */
#include "example.h"

enum { CLASSES = 10 };

static const char *const class_names[CLASSES] = {"T-shirt/top", "trouser", "pullover", "dress", "coat",
                                                 "sandal",      "shirt",   "sneaker",  "bag",   "ankle boot"};

/* Prints a line for each image. 0 when something fails. */
static int classify(scnn_model *model, const struct idx *images, const struct idx *labels) {
  /* uint8 images are divided by 255 and normalised by the library, with the numbers of the model file. */
  scnn_tensor x = {images->data, SCNN_UINT8, 4, {images->shape[0], images->shape[1], images->shape[2], 1}};

  int64_t shape[SCNN_MAX_RANK];
  int32_t rank;
  if (!succeeded("the model and the images", scnn_model_output_shape(model, &x, NULL, shape, &rank))) return 0;
  if (rank != 2 || shape[1] != CLASSES) {
    fprintf(stderr, "the model does not tell %d classes apart\n", CLASSES);
    return 0;
  }

  size_t count = (size_t)images->shape[0];
  float *probabilities = malloc(count * CLASSES * sizeof(float));
  if (probabilities == NULL) {
    fprintf(stderr, "out of memory\n");
    return 0;
  }
  int predicted = succeeded("prediction", scnn_predict(model, &x, 32, NULL, probabilities, count * CLASSES));
  size_t correct = 0;
  for (size_t image = 0; predicted && image < count; image++) {
    const float *row = probabilities + image * CLASSES;
    int best = 0;
    for (int class = 1; class < CLASSES; class++) {
      if (row[class] > row[best]) best = class;
    }
    int truth = labels->data[image];
    correct += best == truth;
    printf("image %3zu: %-11s %5.1f %%   truth: %s\n", image, class_names[best], 100 * (double)row[best],
           truth < CLASSES ? class_names[truth] : "unknown");
  }
  if (predicted) printf("%zu of %zu correct\n", correct, count);
  free(probabilities);
  return predicted;
}

int main(int argc, char **argv) {
  long count = 10;
  if (argc == 5) {
    char *end;
    count = strtol(argv[4], &end, 10);
    if (*end != '\0') count = 0;
  }
  if (argc < 4 || argc > 5 || count < 1) {
    fprintf(stderr, "usage: %s MODEL IMAGES.idx LABELS.idx [COUNT]\n", argc > 0 ? argv[0] : "classify");
    return 2;
  }

  struct idx images = {0}, labels = {0};
  scnn_model *model = NULL;
  int done = read_idx(argv[2], 3, count, &images) && read_idx(argv[3], 1, count, &labels);
  if (done && images.shape[0] != labels.shape[0]) {
    fprintf(stderr, "there are %lld images but %lld labels\n", (long long)images.shape[0], (long long)labels.shape[0]);
    done = 0;
  }
  done = done && succeeded(argv[1], scnn_model_load(argv[1], &model)) && classify(model, &images, &labels);

  scnn_model_free(model);
  free(images.data);
  free(labels.data);
  return done ? 0 : 1;
}
