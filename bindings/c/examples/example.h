/*
 * What the examples share: saying what failed, reading images in the format of MNIST, and making images up.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "swiftcnn.h"

/* Whether a call succeeded; if not, says which and why. */
static inline int succeeded(const char *what, scnn_status status) {
  if (status == SCNN_OK) return 1;
  fprintf(stderr, "%s: %s (status %d)\n", what, scnn_last_error(), (int)status);
  return 0;
}

/* An array of bytes: `shape` has `rank` axes, `data` their product of bytes. */
struct idx {
  int rank;
  int64_t shape[3];
  unsigned char *data;
};

/* Reads the first `count` items (images or labels) of an IDX file, the format of MNIST, unpacked
 * (http://yann.lecun.com/exdb/mnist/); all where there are fewer. 0 when that fails. */
static inline int read_idx(const char *path, int rank, int64_t count, struct idx *idx) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    return 0;
  }
  /* Two zeros, the element type (8: bytes), the rank; then the length of each axis, the highest byte first. */
  unsigned char header[4 + 4 * 3];
  size_t header_size = 4 + 4 * (size_t)rank;
  if (fread(header, 1, header_size, file) != header_size || header[0] != 0 || header[1] != 0 || header[2] != 8 ||
      header[3] != rank) {
    fprintf(stderr, "%s: not an IDX file of bytes with %d axes\n", path, rank);
    fclose(file);
    return 0;
  }
  size_t size = 1;
  idx->rank = rank;
  for (int axis = 0; axis < rank; axis++) {
    const unsigned char *bytes = header + 4 + 4 * axis;
    int64_t length = (int64_t)bytes[0] << 24 | (int64_t)bytes[1] << 16 | (int64_t)bytes[2] << 8 | (int64_t)bytes[3];
    if (axis == 0 && length > count) length = count;
    if (length < 1 || (uint64_t)length > SIZE_MAX / size) {
      fprintf(stderr, "%s: axis %d has the length %lld\n", path, axis, (long long)length);
      fclose(file);
      return 0;
    }
    idx->shape[axis] = length;
    size *= (size_t)length;
  }
  idx->data = malloc(size);
  int complete = idx->data != NULL && fread(idx->data, 1, size, file) == size;
  if (!complete) {
    fprintf(stderr, "%s: %s\n", path, idx->data == NULL ? "out of memory" : "the file ends too early");
    free(idx->data);
    idx->data = NULL;
  }
  fclose(file);
  return complete;
}

/* Makes up images of `side` x `side` pixels, of as many classes as asked for: stripes, the wider the later the class. 0
 * when there is no memory. */
static inline int make_images(int64_t count, int side, int classes, struct idx *images, struct idx *labels) {
  *images = (struct idx){3, {count, side, side}, malloc((size_t)count * (size_t)side * (size_t)side)};
  *labels = (struct idx){1, {count}, malloc((size_t)count)};
  if (images->data == NULL || labels->data == NULL) {
    fprintf(stderr, "out of memory\n");
    return 0;
  }
  uint32_t random = 1;
  unsigned char *pixel = images->data;
  for (int64_t image = 0; image < count; image++) {
    int label = (int)(image % classes);
    labels->data[image] = (unsigned char)label;
    for (int row = 0; row < side; row++) {
      for (int column = 0; column < side; column++) {
        random = random * 1664525 + 1013904223;
        *pixel++ = (unsigned char)((column / (label + 1) % 2 ? 180 : 40) + (random >> 26));
      }
    }
  }
  return 1;
}

#endif
