/* What the C tests share: checks that count, and small models and data. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swiftcnn.h"

static int passed, failed;

/* Counts a check; one that fails is printed and the program goes on. */
#define CHECK(condition) check((condition) != 0, #condition, __FILE__, __LINE__)
/* The call succeeds. */
#define OK(call) check_status((call), SCNN_OK, #call, __FILE__, __LINE__)
/* The call fails with just this status, and leaves a message. */
#define FAILS(status, call) check_status((call), (status), #call, __FILE__, __LINE__)
/* The call fails, for whichever reason but a fault of the library, and leaves a message. */
#define REFUSES(call) check_status((call), ANY_REFUSAL, #call, __FILE__, __LINE__)
/* The last message contains the text. */
#define SAYS(text) check_says((text), __FILE__, __LINE__)

enum { ANY_REFUSAL = -1 };

static inline int check(int holds, const char *text, const char *file, int line) {
  holds ? passed++ : failed++;
  if (!holds) printf("%s:%d: failed: %s\n", file, line, text);
  return holds;
}

static inline int check_status(scnn_status status, int expected, const char *text, const char *file, int line) {
  int is_refusal = status != SCNN_OK && status != SCNN_INTERNAL;
  int holds = (status == expected || (expected == ANY_REFUSAL && is_refusal)) &&
              (status == SCNN_OK || *scnn_last_error() != '\0');
  check(holds, text, file, line);
  if (!holds) printf("  status %d, expected %d: %s\n", (int)status, expected, scnn_last_error());
  return holds;
}

static inline int check_says(const char *text, const char *file, int line) {
  int holds = strstr(scnn_last_error(), text) != NULL;
  check(holds, text, file, line);
  if (!holds) printf("  should be a part of: %s\n", scnn_last_error());
  return holds;
}

/* Prints the count; its value is that of `main`. */
static inline int finish(const char *program) {
  printf("%s: %d passed, %d failed\n", program, passed, failed);
  return failed != 0;
}

/* -------------------------------------------------------------------------------------------------- models and data */

enum { SIDE = 8, CHANNELS = 3, PIXELS = SIDE * SIDE * CHANNELS, CLASSES = 4, BATCH = 6 };

/* A batch of images, which `make_pixels` fills, and their classes. */
static unsigned char pixels[BATCH * PIXELS];
static const int32_t labels[BATCH] = {0, 1, 2, 3, 0, 1};

/* A ResNet-20 for images of 8 x 8 x 3 and 4 classes; NULL where that fails. */
static inline scnn_model *small_model(int seed) {
  char options[100];
  scnn_model *model = NULL;
  snprintf(options, sizeof options, "{\"input_shape\": [%d, %d, %d], \"classes\": %d, \"seed\": %d}", SIDE, SIDE,
           CHANNELS, CLASSES, seed);
  OK(scnn_model_create("resnet20", options, &model));
  return model;
}

static inline scnn_tensor images(const void *data, int32_t dtype, int64_t count) {
  scnn_tensor tensor = {data, dtype, 4, {count, SIDE, SIDE, CHANNELS}};
  return tensor;
}

static inline scnn_tensor vector(const void *data, int32_t dtype, int64_t count) {
  scnn_tensor tensor = {data, dtype, 1, {count}};
  return tensor;
}

static inline scnn_tensor good_images(void) { return images(pixels, SCNN_UINT8, BATCH); }
static inline scnn_tensor good_labels(void) { return vector(labels, SCNN_INT32, BATCH); }

/* Pixels that are the same on every machine, by a linear congruential generator. */
static inline void make_pixels(void) {
  uint32_t state = 12345;
  for (size_t i = 0; i < sizeof pixels; i++) {
    state = state * 1664525u + 1013904223u;
    pixels[i] = (unsigned char)(state >> 24);
  }
}

/* What a function gives that writes text: a string to free, or NULL. `call` uses `buffer`, `capacity`, `&length`. */
#define TEXT(result, call)                         \
  do {                                             \
    char *buffer = NULL;                           \
    size_t capacity = 0, length = 0;               \
    result = NULL;                                 \
    if (!FAILS(SCNN_BUFFER_TOO_SMALL, call)) break; \
    capacity = length + 1;                         \
    buffer = malloc(capacity);                     \
    if (buffer == NULL) break;                     \
    buffer[0] = '\0';                              \
    if (OK(call)) CHECK(strlen(buffer) == length); \
    result = buffer;                               \
  } while (0)

/* The largest difference of two arrays; NaN is larger than all. */
static inline float largest_difference(const float *a, const float *b, size_t count) {
  float largest = 0;
  for (size_t i = 0; i < count; i++) {
    float difference = fabsf(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

/* The product of a shape. */
static inline int64_t elements(const int64_t *shape, int32_t rank) {
  int64_t count = 1;
  for (int32_t axis = 0; axis < rank; axis++) count *= shape[axis];
  return count;
}

/* Predicts for all of `pixels`. */
static inline void predict(scnn_model *model, float *output) {
  scnn_tensor x = good_images();
  OK(scnn_predict(model, &x, 4, NULL, output, BATCH * CLASSES));
}

/* Whether two models give the same bits for the test images. */
static inline int predict_alike(scnn_model *a, scnn_model *b) {
  float of_a[BATCH * CLASSES], of_b[BATCH * CLASSES];
  predict(a, of_a);
  predict(b, of_b);
  return memcmp(of_a, of_b, sizeof of_a) == 0;
}

/* The parameter `name`, to be freed; its number of elements goes to `*count`. */
static inline float *parameter_values(scnn_model *model, const char *name, size_t *count) {
  size_t parameters = 0;
  scnn_parameter parameter;
  OK(scnn_model_parameter_count(model, &parameters));
  for (size_t i = 0; i < parameters; i++) {
    if (!OK(scnn_model_parameter(model, i, &parameter)) || strcmp(parameter.name, name) != 0) continue;
    *count = (size_t)elements(parameter.shape, parameter.rank);
    float *values = malloc(*count * sizeof(float));
    if (values != NULL) OK(scnn_model_get_parameter(model, name, values, *count));
    return values;
  }
  CHECK(!"the parameter is there");
  *count = 0;
  return NULL;
}

/* Whether two models have the same bits in each parameter. */
static inline int parameters_alike(scnn_model *a, scnn_model *b) {
  size_t parameters = 0;
  OK(scnn_model_parameter_count(a, &parameters));
  for (size_t i = 0; i < parameters; i++) {
    scnn_parameter parameter;
    if (!OK(scnn_model_parameter(a, i, &parameter))) return 0;
    size_t count_a = 0, count_b = 0;
    float *of_a = parameter_values(a, parameter.name, &count_a), *of_b = parameter_values(b, parameter.name, &count_b);
    int alike = of_a && of_b && count_a == count_b && memcmp(of_a, of_b, count_a * sizeof(float)) == 0;
    free(of_a);
    free(of_b);
    if (!alike) return 0;
  }
  return 1;
}
