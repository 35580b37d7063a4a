/* Pictures: decoded, resized, prepared and classified, from files and memory; and damaged ones. */
#include "misuse.h"
#include "picture.h"

static const char *const file = "picture.jpg";

static void write_file(void) {
  FILE *stream = fopen(file, "wb");
  CHECK(stream != NULL && fwrite(jpeg, 1, sizeof jpeg, stream) == sizeof jpeg && fclose(stream) == 0);
}

/* Checks the size of a picture, and gives its pixels. */
static const unsigned char *pixels_of(scnn_picture *picture, int64_t height, int64_t width, int64_t channels) {
  scnn_tensor tensor = {0};
  OK(scnn_picture_pixels(picture, &tensor));
  CHECK(tensor.dtype == SCNN_UINT8 && tensor.rank == 3);
  CHECK(tensor.shape[0] == height && tensor.shape[1] == width && tensor.shape[2] == channels);
  return tensor.data;
}

static void test_reading(void) {
  const int32_t channels[] = {3, 1, 4, 0};
  for (int i = 0; i < 4; i++) {
    scnn_picture *picture = NULL, *same = NULL;
    OK(scnn_picture_read(file, channels[i], &picture));
    OK(scnn_picture_decode(jpeg, sizeof jpeg, channels[i], &same));
    int64_t expected = channels[i] ? channels[i] : 1;
    const unsigned char *a = pixels_of(picture, 8, 16, expected), *b = pixels_of(same, 8, 16, expected);
    CHECK(a && b && memcmp(a, b, (size_t)(8 * 16 * expected)) == 0);
    CHECK(a[0] == 0 && a[9 * expected] == 200);
    if (channels[i] == 4) CHECK(a[3] == 255);
    OK(scnn_picture_free(picture));
    OK(scnn_picture_free(same));
    FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_free(same));
  }
  OK(scnn_picture_free(NULL));
}

static void test_resizing(void) {
  scnn_picture *picture = NULL, *resized = NULL;
  OK(scnn_picture_read(file, 1, &picture));
  OK(scnn_picture_resize(picture, "{\"resize\": [4, 2], \"interpolation\": \"box\"}", &resized));
  const unsigned char *pixels = pixels_of(resized, 4, 2, 1);
  for (int i = 0; i < 8; i++) CHECK(pixels[i] == (i % 2 ? 200 : 0));
  OK(scnn_picture_free(resized));
  OK(scnn_picture_resize(picture, "{\"resize\": 4, \"crop\": [4, 6]}", &resized));
  pixels_of(resized, 4, 6, 1);
  OK(scnn_picture_free(resized));
  OK(scnn_picture_resize(picture, NULL, &resized));
  pixels_of(resized, 8, 16, 1);
  OK(scnn_picture_free(resized));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_resize(picture, "{\"resize\": 0}", &resized));
  CHECK(resized == NULL);
  FAILS(SCNN_UNKNOWN_NAME, scnn_picture_resize(picture, "{\"interpolation\": \"bicubical\"}", &resized));
  SAYS("bicubic");
  FAILS(SCNN_UNKNOWN_NAME, scnn_picture_resize(picture, "{\"crops\": 3}", &resized));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_resize(picture, "[", &resized));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_resize(picture, NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_resize(NULL, NULL, &resized));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_pixels(picture, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_pixels(NULL, NULL));
  OK(scnn_picture_free(picture));
}

static void test_adjusting(void) {
  scnn_picture *picture = NULL, *adjusted = NULL;
  OK(scnn_picture_read(file, 3, &picture));
  OK(scnn_picture_adjust(picture, "mirror", NULL, &adjusted));
  const unsigned char *pixels = pixels_of(adjusted, 8, 16, 3);
  CHECK(pixels[0] == 200 && pixels[15 * 3] == 0);
  OK(scnn_picture_free(adjusted));
  OK(scnn_picture_adjust(picture, "brightness", "{\"amount\": 0.5}", &adjusted));
  CHECK(pixels_of(adjusted, 8, 16, 3)[15 * 3] == 100);
  OK(scnn_picture_free(adjusted));
  OK(scnn_picture_adjust(picture, "translate_x", "{\"amount\": -12, \"interpolation\": \"bilinear\"}", &adjusted));
  CHECK(pixels_of(adjusted, 8, 16, 3)[0] == 200);
  OK(scnn_picture_free(adjusted));
  FAILS(SCNN_UNKNOWN_NAME, scnn_picture_adjust(picture, "brightnes", NULL, &adjusted));
  SAYS("brightness");
  CHECK(adjusted == NULL);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_adjust(picture, "hue", "{\"amount\": 1}", &adjusted));
  SAYS("expected -0.5 to 0.5");
  FAILS(SCNN_UNKNOWN_NAME, scnn_picture_adjust(picture, "hue", "{\"factor\": 1}", &adjusted));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_adjust(picture, NULL, NULL, &adjusted));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_adjust(NULL, "hue", NULL, &adjusted));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_adjust(picture, "hue", NULL, NULL));
  OK(scnn_picture_free(picture));
}

static void test_pixels(void) {
  unsigned char bytes[2 * 3 * 3];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 5);
  scnn_tensor color = {bytes, SCNN_UINT8, 3, {2, 3, 3}}, grey = {bytes, SCNN_UINT8, 2, {3, 6}};
  scnn_picture *picture = NULL;
  OK(scnn_picture_from_pixels(&color, &picture));
  CHECK(memcmp(pixels_of(picture, 2, 3, 3), bytes, sizeof bytes) == 0);
  OK(scnn_picture_free(picture));
  OK(scnn_picture_from_pixels(&grey, &picture));
  CHECK(memcmp(pixels_of(picture, 3, 6, 1), bytes, sizeof bytes) == 0);
  OK(scnn_picture_free(picture));
  const scnn_tensor wrong[] = {
      {bytes, SCNN_FLOAT32, 3, {1, 1, 3}}, {bytes, SCNN_UINT8, 3, {3, 3, 2}},    {bytes, SCNN_UINT8, 1, {18}},
      {bytes, SCNN_UINT8, 3, {0, 3, 3}},   {bytes, SCNN_UINT8, 3, {-1, 3, 3}},   {NULL, SCNN_UINT8, 3, {2, 3, 3}},
      {bytes, SCNN_UINT8, 4, {1, 2, 3, 3}}, {bytes, SCNN_UINT8, 3, {INT64_MAX, INT64_MAX, 3}},
      {bytes, 7, 3, {2, 3, 3}},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    REFUSES(scnn_picture_from_pixels(&wrong[i], &picture));
    CHECK(picture == NULL);
  }
  REFUSES(scnn_picture_from_pixels(NULL, &picture));
  REFUSES(scnn_picture_from_pixels(&color, NULL));
}

static void test_damaged(void) {
  scnn_picture *picture = NULL;
  for (size_t size = 0; size < sizeof jpeg; size++) {
    FAILS(SCNN_MALFORMED_FILE, scnn_picture_decode(jpeg, size, 3, &picture));
    CHECK(picture == NULL);
  }
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_decode(NULL, 5, 3, &picture));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_decode(jpeg, SIZE_MAX, 3, &picture));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_decode(jpeg, sizeof jpeg, 2, &picture));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_decode(jpeg, sizeof jpeg, 3, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_picture_read(NULL, 3, &picture));
  FAILS(SCNN_IO, scnn_picture_read("nowhere.jpg", 3, &picture));
  FAILS(SCNN_IO, scnn_picture_read(".", 3, &picture));
  unsigned char copy[sizeof jpeg];
  for (size_t i = 0; i < sizeof jpeg; i++) {
    for (int bit = 0; bit < 8; bit++) {
      memcpy(copy, jpeg, sizeof jpeg);
      copy[i] ^= (unsigned char)(1 << bit);
      scnn_status status = scnn_picture_decode(copy, sizeof copy, 3, &picture);
      CHECK(status == SCNN_OK || status == SCNN_MALFORMED_FILE);
      scnn_picture_free(picture);
    }
  }
}

static void test_preparing(scnn_model *model) {
  char *text;
  TEXT(text, scnn_model_preprocessing(model, buffer, capacity, &length));
  CHECK(text != NULL && strstr(text, "{\"resize\":8,\"crop\":[8,8],\"interpolation\":\"bilinear\",\"mean\":[0.485") == text);
  free(text);
  OK(scnn_model_set_preprocessing(model, "{\"resize\": [8, 8], \"interpolation\": \"bicubic\"}"));
  TEXT(text, scnn_model_preprocessing(model, buffer, capacity, &length));
  CHECK(text != NULL && strstr(text, "{\"resize\":[8,8],\"crop\":[8,8],\"interpolation\":\"bicubic\"") == text);
  free(text);
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_set_preprocessing(model, "{\"size\": 3}"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_preprocessing(model, "{\"crop\": [1]}"));
  scnn_picture *picture = NULL, *prepared = NULL;
  OK(scnn_picture_read(file, 0, &picture));
  OK(scnn_model_preprocess(model, picture, &prepared));
  pixels_of(prepared, SIDE, SIDE, CHANNELS);
  OK(scnn_picture_free(prepared));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_preprocess(model, NULL, &prepared));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_preprocess(NULL, picture, &prepared));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_preprocess(model, picture, NULL));
  OK(scnn_model_set_preprocessing(model, "{\"crop\": 5}"));
  FAILS(SCNN_SHAPE_MISMATCH, scnn_model_preprocess(model, picture, &prepared));
  SAYS("set resize or crop");
  OK(scnn_model_set_preprocessing(model, "{\"crop\": 8}"));
  OK(scnn_picture_free(picture));
}

static void test_names(scnn_model *model) {
  char *text;
  TEXT(text, scnn_model_class_names(model, buffer, capacity, &length));
  CHECK(text != NULL && *text == '\0');
  free(text);
  OK(scnn_model_set_class_names(model, "one\ntwo\nthree\nfour"));
  TEXT(text, scnn_model_class_names(model, buffer, capacity, &length));
  CHECK(text != NULL && strcmp(text, "one\ntwo\nthree\nfour") == 0);
  free(text);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_class_names(model, "one\ntwo\nthree"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_class_names(model, "one\n\nthree\nfour"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_class_names(model, ""));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_class_names(NULL, "one"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_class_names(NULL, NULL, 0, NULL));
}

static void test_classification(scnn_model *model) {
  scnn_class classes[10], same[10], all[BATCH * 3];
  size_t count = 0, count2 = 0;
  OK(scnn_classify_file(model, file, classes, 3, &count));
  CHECK(count == 3 && classes[0].probability >= classes[1].probability);
  const char *const names[CLASSES] = {"one", "two", "three", "four"};
  for (size_t i = 0; i < count; i++) {
    CHECK(classes[i].index >= 0 && classes[i].index < CLASSES && strcmp(classes[i].name, names[classes[i].index]) == 0);
  }
  OK(scnn_classify_memory(model, jpeg, sizeof jpeg, same, 10, &count2));
  CHECK(count2 == CLASSES);
  float sum = 0;
  for (size_t i = 0; i < count2; i++) sum += same[i].probability;
  CHECK(fabsf(sum - 1) < 1e-5f);
  for (size_t i = 0; i < count; i++) {
    CHECK(same[i].index == classes[i].index && same[i].probability == classes[i].probability);
    CHECK(same[i].name == classes[i].name);
  }
  OK(scnn_classify_file(model, file, classes, 3, NULL));

  /* Names stay where they are when others take their place. */
  const char *old = classes[0].name;
  char before[16];
  snprintf(before, sizeof before, "%s", old);
  OK(scnn_model_set_class_names(model, NULL));
  OK(scnn_classify_file(model, file, same, 1, NULL));
  CHECK(strcmp(old, before) == 0 && same[0].name[0] == (char)('0' + same[0].index) && same[0].name[1] == '\0');

  scnn_tensor x = good_images();
  float probabilities[BATCH * CLASSES];
  predict(model, probabilities);
  OK(scnn_classify(model, &x, 4, all, 3, &count));
  CHECK(count == 3);
  for (int i = 0; i < BATCH; i++) {
    CHECK(all[3 * i].probability == probabilities[i * CLASSES + all[3 * i].index]);
  }
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify(model, &x, 0, all, 3, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify(model, &x, 4, NULL, 3, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify(model, &x, 4, all, 0, &count));
  /* Products of these and the number of images are no sizes. */
  const size_t huge[] = {SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 62, (size_t)1 << 61, ((size_t)1 << 62) + 1, SIZE_MAX / 64};
  for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
    FAILS(SCNN_INVALID_ARGUMENT, scnn_classify(model, &x, 4, all, huge[i], &count));
    SAYS("top is ");
  }
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify(model, NULL, 4, all, 3, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify(NULL, &x, 4, all, 3, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify_file(model, NULL, classes, 3, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify_file(model, file, NULL, 3, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify_file(model, file, classes, SIZE_MAX, &count));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify_file(NULL, file, classes, 3, &count));
  FAILS(SCNN_IO, scnn_classify_file(model, "nowhere.png", classes, 3, &count));
  SAYS("nowhere.png");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_classify_memory(model, NULL, 3, classes, 3, &count));
  FAILS(SCNN_MALFORMED_FILE, scnn_classify_memory(model, "GIF89a", 6, classes, 3, &count));
  SAYS("it is a GIF picture; expected a JPEG or PNG picture");
}

static void test_file_of_the_model(scnn_model *model) {
  scnn_model *copy = NULL;
  char *text;
  OK(scnn_model_set_class_names(model, "a\nb\nc\nd"));
  OK(scnn_model_save(model, "pictures.safetensors", 0));
  OK(scnn_model_load("pictures.safetensors", &copy));
  TEXT(text, scnn_model_class_names(copy, buffer, capacity, &length));
  CHECK(text != NULL && strcmp(text, "a\nb\nc\nd") == 0);
  free(text);
  scnn_class classes[2], same[2];
  OK(scnn_classify_file(model, file, classes, 2, NULL));
  OK(scnn_classify_file(copy, file, same, 2, NULL));
  CHECK(classes[0].index == same[0].index && strcmp(classes[0].name, same[0].name) == 0);
  OK(scnn_model_free(copy));
}

int main(void) {
  make_pixels();
  write_file();
  test_reading();
  test_resizing();
  test_adjusting();
  test_pixels();
  test_damaged();
  scnn_model *model = small_model(1);
  test_preparing(model);
  test_names(model);
  test_classification(model);
  test_file_of_the_model(model);
  OK(scnn_model_free(model));
  return finish("pictures");
}
