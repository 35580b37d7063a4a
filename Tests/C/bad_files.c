/* Files that are cut, changed or hostile, paths that cannot be, and a disk that is full. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "misuse.h"

static float output[BATCH * CLASSES];

static void write_file(const char *path, const unsigned char *data, size_t size) {
  FILE *file = fopen(path, "wb");
  if (CHECK(file != NULL) && file) {
    CHECK(fwrite(data, 1, size, file) == size);
    fclose(file);
  }
}

/* Writes a safetensors file with this header, and some bytes after it. */
static void write_header(const char *path, uint64_t length, const char *header, size_t size) {
  unsigned char *data = calloc(1, 8 + size + 64);
  if (data == NULL) return;
  for (int i = 0; i < 8; i++) data[i] = (unsigned char)(length >> 8 * i);
  memcpy(data + 8, header, size);
  write_file(path, data, 8 + size + 64);
  free(data);
}

static void refuses_file(scnn_model *model, const char *path) {
  scnn_model *other = NULL;
  FAILS(SCNN_MALFORMED_FILE, scnn_model_load(path, &other));
  FAILS(SCNN_MALFORMED_FILE, scnn_model_load_weights(model, path, 1));
  CHECK(other == NULL);
}

static void test_hostile_headers(scnn_model *model) {
  const char *overlapping = "{\"a\": {\"dtype\": \"U8\", \"shape\": [9], \"data_offsets\": [0, 9]}, "
                            "\"b\": {\"dtype\": \"U8\", \"shape\": [60], \"data_offsets\": [4, 64]}}";
  const char *headers[] = {
      "", "{", "[]", "null", "{}x", "{\"a\": 1}", "{\"a\": {}}",
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [4], \"data_offsets\": [0, 17]}}",
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [4], \"data_offsets\": [16, 0]}}",
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [4], \"data_offsets\": [-16, 0]}}",
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [-4], \"data_offsets\": [0, 16]}}",
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [64], \"data_offsets\": [0, 256]}}",
      "{\"a\": {\"dtype\": \"F99\", \"shape\": [4], \"data_offsets\": [0, 16]}}",
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [4611686018427387904, 4], \"data_offsets\": [0, 0]}}",
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [4], \"data_offsets\": [9223372036854775800, 9223372036854775807]}}",
      overlapping,
      "{\"__metadata__\": 5}", "{\"__metadata__\": {\"graph\": {}}}"};
  for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
    write_header("bad.safetensors", strlen(headers[i]), headers[i], strlen(headers[i]));
    refuses_file(model, "bad.safetensors");
  }
  static const uint64_t lengths[] = {0, 1, 1000, 1u << 30, UINT64_C(1) << 62, UINT64_C(1) << 63, UINT64_MAX};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    write_header("bad.safetensors", lengths[i], "{}", 2);
    refuses_file(model, "bad.safetensors");
  }
  const size_t depth = 100000;
  char *deep = malloc(depth);
  if (deep == NULL) return;
  memset(deep, '[', depth);
  memcpy(deep, "{\"a\":", 5);
  write_header("bad.safetensors", depth, deep, depth);
  refuses_file(model, "bad.safetensors");
  free(deep);
}

/* A good file, cut at many lengths and with bytes changed. */
static void test_damaged_files(scnn_model *model) {
  FILE *file = NULL;
  size_t size = 0;
  unsigned char *data = NULL;
  if (OK(scnn_model_save(model, "good.safetensors", 1))) file = fopen("good.safetensors", "rb");
  if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
    size = (size_t)ftell(file);
    rewind(file);
    data = malloc(size);
    CHECK(data != NULL && fread(data, 1, size, file) == size);
  }
  if (file != NULL) fclose(file);
  if (data == NULL) return;
  size_t header = (size_t)data[0] + ((size_t)data[1] << 8) + ((size_t)data[2] << 16);
  CHECK(header > 100 && header < size);

  const size_t cuts[] = {0, 1, 7, 8, 9, 8 + header / 2, 7 + header, 8 + header, 9 + header, size / 2, size - 1};
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
    write_file("bad.safetensors", data, cuts[i]);
    refuses_file(model, "bad.safetensors");
    /* A copy of just that length, so that reading beyond it is seen by whoever watches. */
    unsigned char *part = malloc(cuts[i] + 1);
    scnn_model *other = NULL;
    if (part == NULL) break;
    memcpy(part, data, cuts[i]);
    FAILS(SCNN_MALFORMED_FILE, scnn_model_load_memory(part, cuts[i], &other));
    SAYS("model in memory");
    free(part);
  }

  static const char letters[] = " 0123456789-{}[]\",:\\e\xff";
  uint32_t state = 1;
  for (int i = 0; i < 200; i++) {
    state = state * 1664525u + 1013904223u;
    size_t position = i < 64 ? (size_t)i / 8 : 8 + (state >> 8) % header;
    unsigned char before = data[position];
    unsigned char changed = (unsigned char)(i < 64 ? before ^ 1 << i % 8 : letters[state % (sizeof letters - 1)]);
    data[position] = changed;
    write_file("bad.safetensors", data, size);
    data[position] = before;
    scnn_model *other = NULL;
    survives(scnn_model_load("bad.safetensors", &other));
    OK(scnn_model_free(other));
    other = NULL;
    data[position] = changed;
    survives(scnn_model_load_memory(data, size, &other));
    data[position] = before;
    if (other == NULL) continue;
    scnn_tensor x = good_images();
    survives(scnn_predict(other, &x, BATCH, NULL, output, BATCH * CLASSES));
    OK(scnn_model_free(other));
  }
  free(data);
}

static void test_memory(scnn_model *model) {
  scnn_model *other = NULL;
  size_t length = 0, again = 0;
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_model_save_memory(model, 1, NULL, 0, &length));
  REFUSES(scnn_model_save_memory(NULL, 1, NULL, 0, &again));
  unsigned char *bytes = calloc(1, length);
  if (bytes == NULL) return;
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_model_save_memory(model, 1, bytes, length - 1, &again));
  CHECK(again == length && bytes[8] == 0);
  OK(scnn_model_save_memory(model, 1, bytes, length, NULL));
  CHECK(bytes[8] == '{');
  OK(scnn_model_load_memory(bytes, length, &other));
  CHECK(other != NULL);
  OK(scnn_model_free(other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_load_memory(NULL, 5, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_load_memory(bytes, SIZE_MAX, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_load_memory(bytes, length, NULL));
  FAILS(SCNN_MALFORMED_FILE, scnn_model_load_memory(NULL, 0, &other));
  CHECK(other == NULL);
  free(bytes);
}

/* What files have of the parameters, and that no more is lost than is said. */
static void test_types(scnn_model *model) {
  scnn_model *other = NULL;
  float before[3 * 3 * 3 * 16], after[3 * 3 * 3 * 16];
  const size_t count = sizeof before / sizeof *before;
  const char *half = "{\"dtype\": \"bfloat16\"}";
  OK(scnn_model_get_parameter(model, "conv1.weight", before, count));
  OK(scnn_model_save_as(model, "half.safetensors", half));
  OK(scnn_model_load("half.safetensors", &other));
  OK(scnn_model_get_parameter(other, "conv1.weight", after, count));
  int rounded = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &after[i], sizeof bits);
    float error = after[i] - before[i], size = before[i] < 0 ? -before[i] : before[i];
    CHECK((bits & 0xFFFF) == 0 && (error < 0 ? -error : error) <= size / 256);
    rounded += error != 0;
  }
  CHECK(rounded > 0);

  size_t length = 0, full = 0;
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_model_save_memory_as(model, NULL, NULL, 0, &full));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_model_save_memory_as(model, half, NULL, 0, &length));
  CHECK(length < full * 6 / 10);
  unsigned char *bytes = calloc(1, length);
  if (bytes == NULL) return;
  OK(scnn_model_save_memory_as(model, half, bytes, length, NULL));
  OK(scnn_model_free(other));
  other = NULL;
  OK(scnn_model_load_memory(bytes, length, &other));
  OK(scnn_model_get_parameter(other, "conv1.weight", before, count));
  CHECK(memcmp(before, after, sizeof before) == 0);
  free(bytes);

  OK(scnn_model_save_weights_as(model, "half.pth", "{\"dtype\": \"bfloat16\", \"naming\": \"torchvision\"}"));
  OK(scnn_model_load_weights(other, "half.pth", 1));
  OK(scnn_model_get_parameter(other, "conv1.weight", before, count));
  CHECK(memcmp(before, after, sizeof before) == 0);
  OK(scnn_model_free(other));

  FAILS(SCNN_UNKNOWN_NAME, scnn_model_save_as(model, "half.safetensors", "{\"dtype\": \"bf16\"}"));
  SAYS("'bf16'");
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_save_weights_as(model, "half.pth", "{\"dtype\": \"float64\"}"));
  FAILS(SCNN_INVALID_ARGUMENT,
        scnn_model_save_as(model, "half.safetensors", "{\"dtype\": \"bfloat16\", \"training_state\": true}"));
  SAYS("dtype is 'bfloat16'");
  FAILS(SCNN_INVALID_ARGUMENT,
        scnn_model_save_memory_as(model, "{\"dtype\": \"bfloat16\", \"training_state\": true}", NULL, 0, &length));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save_as(model, "half.onnx", half));
  SAYS("ONNX");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save_as(model, "half.h5", half));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save_as(NULL, "half.safetensors", half));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save_as(model, NULL, half));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save_as(model, "half.safetensors", "{"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save_weights_as(model, NULL, NULL));
  remove("half.safetensors");
  remove("half.pth");
}

static void test_precision(scnn_model *model) {
  scnn_model *other = NULL;
  char text[16];
  char *rows = NULL;
  size_t length = 0;
  OK(scnn_model_get_precision(model, text, sizeof text, NULL));
  CHECK(strcmp(text, "float32") == 0);
  OK(scnn_model_set_precision(model, "bfloat16"));
  OK(scnn_model_clone(model, &other));
  OK(scnn_model_get_precision(other, text, sizeof text, &length));
  CHECK(strcmp(text, "bfloat16") == 0 && length == 8);
  OK(scnn_model_free(other));
  OK(scnn_model_save(model, "precision.safetensors", 0));
  OK(scnn_model_load("precision.safetensors", &other));
  OK(scnn_model_get_precision(other, text, sizeof text, NULL));
  CHECK(strcmp(text, "bfloat16") == 0);
  OK(scnn_model_free(other));
  remove("precision.safetensors");
  other = NULL;
  OK(scnn_model_create("resnet20", "{\"input_shape\": [8, 8, 3], \"dtype\": \"bfloat16\"}", &other));
  OK(scnn_model_get_precision(other, text, sizeof text, NULL));
  CHECK(strcmp(text, "bfloat16") == 0);
  OK(scnn_model_free(other));

  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_model_layer_precisions(model, NULL, 0, &length));
  rows = malloc(length + 1);
  if (rows == NULL) return;
  OK(scnn_model_layer_precisions(model, rows, length + 1, NULL));
  CHECK(strstr(rows, "\"layer\":\"conv1\"") != NULL && strstr(rows, "\"instruction\":\"") != NULL);
  CHECK(strstr(rows, "\"reason\":\"") != NULL && strstr(rows, "\"dtype\":\"") != NULL);
  free(rows);

  FAILS(SCNN_UNKNOWN_NAME, scnn_model_set_precision(model, "float16"));
  SAYS("precision 'float16'");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_precision(model, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_set_precision(NULL, "float32"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_get_precision(NULL, text, sizeof text, NULL));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_model_get_precision(model, text, 3, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_layer_precisions(NULL, NULL, 0, &length));
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_create("resnet20", "{\"dtype\": \"float16\"}", &other));
  OK(scnn_model_set_precision(model, "float32"));
}

static void test_paths(scnn_model *model) {
  scnn_model *other = NULL;
  FAILS(SCNN_IO, scnn_model_load("no such file", &other));
  CHECK(errno == ENOENT);
  SAYS("no such file");
  FAILS(SCNN_IO, scnn_model_load_weights(model, "no such file", 1));
  REFUSES(scnn_model_load("", &other));
  REFUSES(scnn_model_load(".", &other));
  CHECK(errno == EISDIR);
  REFUSES(scnn_model_load("/dev/null", &other));
  FAILS(SCNN_IO, scnn_model_save(model, "/no such directory/model.safetensors", 0));
  CHECK(errno == ENOENT);
  REFUSES(scnn_model_save(model, "", 0));
  CHECK(mkdir("directory.safetensors", 0777) == 0);
  REFUSES(scnn_model_save(model, "directory.safetensors", 0));
  CHECK(rmdir("directory.safetensors") == 0);
  CHECK(other == NULL);

  /* Another network's parameters: one error that names them, and nothing changed. */
  OK(scnn_model_create("resnet32", "{\"input_shape\": [8, 8, 3], \"classes\": 5}", &other));
  OK(scnn_model_save_weights(other, "other.safetensors", NULL));
  REFUSES(scnn_model_load_weights(model, "other.safetensors", 1));
  SAYS("left over: layer1.3.conv1.weight");
  /* What fits is taken where the caller wants it so, and the rest is told. */
  OK(scnn_model_load_weights(other, "other.safetensors", 0));
  char report[4096];
  OK(scnn_model_weights_report(other, report, sizeof report, NULL));
  CHECK(strstr(report, "\"naming\":\"native\"") != NULL && strstr(report, "\"missing\":[]") != NULL);
  CHECK(strstr(report, "\"matched_by\":\"name\"") != NULL && strstr(report, "\"prefix\":\"\"") != NULL);
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_save_weights(other, "other.pth", "torchvison"));
  SAYS("torchvision");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save_weights(other, "other.pth", "efficientnet_pytorch"));
  OK(scnn_model_free(other));
  /* A file of which nothing fits is an error in any case. */
  const char *header = "{\"nothing\": {\"dtype\": \"F32\", \"shape\": [16], \"data_offsets\": [0, 64]}}";
  write_header("other.safetensors", strlen(header), header, strlen(header));
  FAILS(SCNN_MALFORMED_FILE, scnn_model_load_weights(model, "other.safetensors", 0));
  SAYS("1 left over: nothing");
  remove("other.safetensors");
}

/* Files of other kinds say what they are, and names of other kinds are refused before anything is written. */
static void test_other_kinds(scnn_model *model) {
  static const struct {
    const char *bytes, *says;
    size_t size;
  } kinds[] = {
      {"", "is empty", 0},
      {"\x89HDF\r\n\x1a\n", "an HDF5 file", 8},
      {"\x08\x08\x12\x07pytorch", "scnn_model_import_onnx", 11},
      {"\x89PNG\r\n\x1a\n", "a PNG picture", 8},
      {"\x1c\0\0\0TFL3", "a TensorFlow Lite model", 8},
      {"\x1f\x8b\x08\0", "a gzip archive", 4},
      {"version https://git-lfs.github.com/spec/v1\n", "git lfs pull", 43},
      {"<!DOCTYPE html><html>", "an HTML page", 21},
      {"hello", "a text file", 5},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    write_file("bad.safetensors", (const unsigned char *)kinds[i].bytes, kinds[i].size);
    refuses_file(model, "bad.safetensors");
    SAYS(kinds[i].says);
  }
  scnn_model *other = NULL;
  OK(scnn_model_save_weights(model, "bad.pth", NULL));
  FAILS(SCNN_MALFORMED_FILE, scnn_model_load("bad.pth", &other));
  SAYS("option \"weights\" of scnn_model_create");
  remove("bad.pth");

  char format[20];
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save(model, "bad.pth", 0));
  SAYS("scnn_model_save_weights");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save(model, "bad.h5", 1));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save(model, "bad.onnx", 1));
  SAYS("scnn_model_export_onnx");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_save_weights(model, "bad.weights.h5", NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_export_onnx(model, "bad.tflite", NULL));
  CHECK(access("bad.pth", F_OK) != 0 && access("bad.h5", F_OK) != 0 && access("bad.tflite", F_OK) != 0);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_file_format("bad.keras", "checkpoint", format, sizeof format, NULL));
  FAILS(SCNN_UNKNOWN_NAME, scnn_file_format("m", "weight", format, sizeof format, NULL));
  SAYS("weights");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_file_format(NULL, "weights", format, sizeof format, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_file_format("m", NULL, format, sizeof format, NULL));
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_file_format("m.pth", "weights", format, 2, NULL));
  OK(scnn_file_format("m.pth", "weights", format, sizeof format, NULL));
  CHECK(strcmp(format, "torch") == 0);
  OK(scnn_model_save(model, "saved.onnx", 0));
  OK(scnn_model_import_onnx("saved.onnx", NULL, &other));
  OK(scnn_model_free(other));
  remove("saved.onnx");
}

static int count_files(void) {
  int count = 0;
  DIR *directory = opendir(".");
  if (directory == NULL) return -1;
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

/* A disk that is full leaves the old file whole, and nothing beside it. */
static void test_full_disk(scnn_model *model) {
  scnn_model *other = small_model(5), *loaded = NULL;
  struct rlimit before, small;
  OK(scnn_model_save(model, "good.safetensors", 0));
  getrlimit(RLIMIT_FSIZE, &before);
  small = before;
  small.rlim_cur = 100000;
  int files = count_files();
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  scnn_status status = scnn_model_save(other, "good.safetensors", 0);
  char message[200];
  snprintf(message, sizeof message, "%s", scnn_last_error());
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  CHECK(status == SCNN_IO && message[0] != '\0');
  CHECK(count_files() == files);
  OK(scnn_model_load("good.safetensors", &loaded));
  CHECK(predict_alike(model, loaded));
  OK(scnn_model_free(other));
  OK(scnn_model_free(loaded));
}

static void test_onnx(scnn_model *model) {
  scnn_model *other = NULL;
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_export_onnx(NULL, "bad.onnx", NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_export_onnx(model, NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_import_onnx(NULL, NULL, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_import_onnx("bad.onnx", NULL, NULL));
  REFUSES(scnn_model_export_onnx(model, "bad.onnx", "{\"what\": 1}"));
  REFUSES(scnn_model_export_onnx(model, "bad.onnx", "{\"layout\": \"left\"}"));
  SAYS("left");
  CHECK(access("bad.onnx", F_OK) != 0);
  FAILS(SCNN_IO, scnn_model_export_onnx(model, "/no such directory/m.onnx", NULL));
  CHECK(errno == ENOENT);
  FAILS(SCNN_IO, scnn_model_import_onnx("no such file.onnx", NULL, &other));
  CHECK(errno == ENOENT);
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_onnx_operations(NULL, 0, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_import_onnx_bytes(NULL, 1, NULL, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_import_onnx_bytes("x", SIZE_MAX, NULL, &other));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_import_onnx_bytes("x", 1, NULL, NULL));
  REFUSES(scnn_model_import_onnx_bytes(NULL, 0, NULL, &other));
  REFUSES(scnn_model_import_onnx_bytes("x", 1, NULL, &other));
  /* Cut anywhere, and changed anywhere. */
  unsigned char *data = malloc(1 << 22);
  FILE *file = NULL;
  if (OK(scnn_model_export_onnx(model, "good.onnx", NULL))) file = fopen("good.onnx", "rb");
  if (!CHECK(data != NULL && file != NULL)) return;
  size_t size = fread(data, 1, 1 << 22, file);
  fclose(file);
  for (size_t length = 0; length < size; length += 1 + length / 3) {
    write_file("bad.onnx", data, length);
    REFUSES(scnn_model_import_onnx("bad.onnx", NULL, &other));
    REFUSES(scnn_model_import_onnx_bytes(data, length, NULL, &other));
  }
  for (size_t i = 0; i < 200; i++) {
    size_t position = i < 100 ? i : (size_t)(size - 1 - (i * 7919) % 4096 % size);
    unsigned char before = data[position];
    data[position] ^= 0xff;
    write_file("bad.onnx", data, size);
    data[position] = before;
    if (scnn_model_import_onnx("bad.onnx", NULL, &other) == SCNN_OK) OK(scnn_model_free(other));
    CHECK(strstr(scnn_last_error(), "internal") == NULL);
  }
  free(data);
  REFUSES(scnn_model_import_onnx("good.onnx", "{\"batch\": 1}", &other));
  REFUSES(scnn_model_import_onnx("good.onnx", "{\"layout\": \"nchw\"}", &other));
  remove("bad.onnx");
  remove("good.onnx");
}

int main(void) {
  make_pixels();
  scnn_model *model = small_model(4);
  if (!CHECK(model != NULL) || !OK(scnn_compile(model, NULL))) return finish("bad_files");
  struct state before = state_of(model);
  test_hostile_headers(model);
  test_damaged_files(model);
  test_memory(model);
  test_types(model);
  test_precision(model);
  test_paths(model);
  test_other_kinds(model);
  test_onnx(model);
  CHECK(is_unchanged(model, &before));
  test_full_disk(model);
  CHECK(is_unchanged(model, &before));
  OK(scnn_model_free(model));
  remove("bad.safetensors");
  remove("good.safetensors");
  return finish("bad_files");
}
