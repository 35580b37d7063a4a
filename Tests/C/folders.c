/* Pictures in folders: found, read in batches, trained on; and what will not do. */
#define _POSIX_C_SOURCE 200809L

#include "misuse.h"
#include "picture.h"

#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 8 };

static const char *const files[] = {"folder/b/1.jpg", "folder/b/2.JPEG", "folder/b/more/3.jpg", "folder/a/4.jpg",
                                    "folder/a/notes.txt", "folder/a/.hidden.jpg"};
static const char *const folders[] = {"folder", "folder/a", "folder/b", "folder/b/more", "folder/.git"};

static void write_file(const char *path, size_t size) {
  FILE *stream = fopen(path, "wb");
  CHECK(stream != NULL && fwrite(jpeg, 1, size, stream) == size && fclose(stream) == 0);
}

static void clean(void) {
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlink(files[i]);
  for (size_t i = sizeof folders / sizeof *folders; i-- > 0;) rmdir(folders[i]);
}

static void make(void) {
  clean();
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) CHECK(mkdir(folders[i], 0755) == 0);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) write_file(files[i], sizeof jpeg);
}

static scnn_image_folder *open_folder(const char *options) {
  scnn_image_folder *folder = NULL;
  OK(scnn_image_folder_open("folder", options, &folder));
  return folder;
}

static void test_contents(void) {
  scnn_image_folder *folder = open_folder("{\"size\": 8, \"batch_size\": 3}");
  size_t pictures = 0, batches = 0;
  OK(scnn_image_folder_count(folder, &pictures, &batches));
  CHECK(pictures == 4 && batches == 2);
  OK(scnn_image_folder_count(folder, NULL, NULL));
  char *names = NULL, *path = NULL;
  TEXT(names, scnn_image_folder_class_names(folder, buffer, capacity, &length));
  CHECK(names && strcmp(names, "a\nb") == 0);
  free(names);
  int32_t found[4];
  OK(scnn_image_folder_labels(folder, found, 4));
  CHECK(found[0] == 0 && found[1] == 1 && found[3] == 1);
  TEXT(path, scnn_image_folder_path(folder, 3, buffer, capacity, &length));
  CHECK(path && strcmp(path, files[2]) == 0);
  free(path);
  FAILS(SCNN_BUFFER_TOO_SMALL, scnn_image_folder_labels(folder, found, 3));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_labels(folder, NULL, 4));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_path(folder, 4, NULL, 0, NULL));
  SAYS("picture is 4; expected 0 to 3");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_path(folder, SIZE_MAX, NULL, 0, NULL));
  OK(scnn_image_folder_free(folder));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_free(folder));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_count(folder, &pictures, &batches));
  OK(scnn_image_folder_free(NULL));
}

static void test_batches(void) {
  scnn_image_folder *folder = open_folder("{\"size\": [8, 12], \"batch_size\": 3, \"shuffle\": false}");
  scnn_batches *batches = NULL;
  scnn_tensor x, y;
  int32_t is_last = -1;
  OK(scnn_image_folder_begin_epoch(folder, 0, &batches));
  OK(scnn_image_folder_free(folder));
  OK(scnn_batches_next(batches, &x, &y, &is_last));
  CHECK(is_last == 0 && x.dtype == SCNN_UINT8 && x.rank == 4 && y.dtype == SCNN_INT32 && y.rank == 1);
  CHECK(x.shape[0] == 3 && x.shape[1] == 8 && x.shape[2] == 12 && x.shape[3] == 3 && y.shape[0] == 3);
  if (x.data) CHECK(((const unsigned char *)x.data)[0] == 0 && ((const unsigned char *)x.data)[11 * 3] == 200);
  if (y.data) CHECK(((const int32_t *)y.data)[0] == 0 && ((const int32_t *)y.data)[2] == 1);
  OK(scnn_batches_next(batches, &x, &y, &is_last));
  CHECK(is_last == 1 && x.shape[0] == 1);
  for (int i = 0; i < 2; i++) {
    OK(scnn_batches_next(batches, &x, &y, NULL));
    CHECK(x.data == NULL && y.data == NULL);
  }
  size_t count = 9;
  char text[4] = "abc";
  OK(scnn_batches_skipped(batches, &count, text, sizeof text, NULL));
  CHECK(count == 0 && text[0] == '\0');
  OK(scnn_batches_skipped(batches, NULL, NULL, 0, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_batches_next(batches, NULL, &y, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_batches_next(batches, &x, NULL, NULL));
  OK(scnn_batches_free(batches));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_batches_next(batches, &x, &y, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_batches_skipped(batches, NULL, NULL, 0, NULL));
  OK(scnn_batches_free(NULL));
}

/* Names decide which class a picture is of, whatever the order of the folders is. */
static void test_arrangement(void) {
  scnn_model *model = NULL;
  scnn_image_folder *folder = open_folder("{\"size\": 8, \"batch_size\": 3, \"drop_last\": true}"), *arranged = NULL;
  OK(scnn_model_create("resnet20", "{\"input_shape\": [8, 8, 3], \"classes\": 2, \"class_names\": [\"b\", \"a\"]}", &model));
  int32_t found[4] = {9, 9, 9, 9};
  size_t batches = 0;
  FAILS(SCNN_INVALID_STATE, scnn_model_image_folder(model, folder, "evaluation", NULL, &arranged));
  OK(scnn_model_image_folder(model, folder, "classification", NULL, &arranged));
  OK(scnn_image_folder_labels(arranged, found, 4));
  CHECK(found[0] == 1 && found[1] == 0 && found[3] == 0);
  OK(scnn_image_folder_free(arranged));
  OK(scnn_model_image_folder(model, folder, "prediction", NULL, &arranged));
  OK(scnn_image_folder_count(arranged, NULL, &batches));
  OK(scnn_image_folder_labels(arranged, found, 4));
  CHECK(batches == 2 && found[0] == 0 && found[3] == 1);
  OK(scnn_image_folder_free(arranged));
  OK(scnn_compile(model, NULL));
  const char *const purposes[] = {"training", "evaluation"};
  for (int i = 0; i < 2; i++) {
    OK(scnn_model_image_folder(model, folder, purposes[i], NULL, &arranged));
    OK(scnn_image_folder_labels(arranged, found, 4));
    CHECK(found[0] == 1 && found[1] == 0 && found[3] == 0);
    OK(scnn_image_folder_free(arranged));
  }
  OK(scnn_model_set_class_names(model, "b\nc"));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_image_folder(model, folder, "classification", NULL, &arranged));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_image_folder(model, folder, "evaluation", NULL, &arranged));
  SAYS("the classes differ: the folder has 'a', which the model does not have");
  CHECK(arranged == NULL);
  OK(scnn_model_set_class_names(model, NULL));
  scnn_image_folder *other = open_folder("{\"size\": 8, \"class_names\": [\"b\", \"a\"]}");
  OK(scnn_model_image_folder(model, folder, "evaluation", other, &arranged));
  OK(scnn_image_folder_labels(arranged, found, 4));
  CHECK(found[0] == 1 && found[3] == 0);
  OK(scnn_image_folder_free(arranged));
  OK(scnn_image_folder_free(other));
  FAILS(SCNN_UNKNOWN_NAME, scnn_model_image_folder(model, folder, "evaluating", NULL, &arranged));
  SAYS("evaluation");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_image_folder(model, folder, NULL, NULL, &arranged));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_image_folder(model, NULL, "training", NULL, &arranged));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_image_folder(NULL, folder, "training", NULL, &arranged));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_image_folder(model, folder, "training", other, &arranged));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_model_image_folder(model, folder, "training", NULL, NULL));
  OK(scnn_image_folder_free(folder));
  OK(scnn_model_free(model));
}

/* The loop of the header, and the one that gives means over an epoch. */
static void test_training(void) {
  const char *settings = "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 0.02}}";
  scnn_model *by_batch = NULL, *by_run = NULL;
  const char *options = "{\"input_shape\": [8, 8, 3], \"classes\": 2}";
  OK(scnn_model_create("resnet20", options, &by_batch));
  OK(scnn_model_create("resnet20", options, &by_run));
  OK(scnn_compile(by_batch, settings));
  OK(scnn_compile(by_run, settings));
  scnn_image_folder *folder =
      open_folder("{\"size\": 8, \"batch_size\": 3, \"random_resized_crop\": true, \"horizontal_flip\": true}");
  scnn_batches *batches = NULL;
  scnn_tensor x, y;
  double loss = 0;
  for (int epoch = 0; epoch < 3; epoch++) {
    OK(scnn_image_folder_begin_epoch(folder, epoch, &batches));
    while (scnn_batches_next(batches, &x, &y, NULL) == SCNN_OK && x.data != NULL)
      OK(scnn_train_on_batch(by_batch, &x, &y, NULL, &loss, 1));
    OK(scnn_batches_free(batches));
  }
  scnn_fit *fit = NULL;
  scnn_progress progress = {0};
  OK(scnn_fit_begin(by_run, NULL, NULL, NULL, "{\"epochs\": 3}", &fit));
  OK(scnn_fit_progress(fit, &progress));
  for (int epoch = 0; epoch < 3; epoch++) {
    CHECK(progress.epoch == epoch && progress.batch == 0 && progress.batches == 0 && !progress.finished);
    OK(scnn_image_folder_begin_epoch(folder, progress.epoch, &batches));
    while (scnn_batches_next(batches, &x, &y, NULL) == SCNN_OK && x.data != NULL)
      OK(scnn_fit_on_batch(fit, &x, &y, NULL, &progress));
    CHECK(progress.batch == 2 && progress.results[0] > 0);
    OK(scnn_batches_free(batches));
    OK(scnn_fit_end_epoch(fit, &progress));
  }
  CHECK(progress.finished && progress.step == 6);
  OK(scnn_fit_free(fit));
  CHECK(parameters_alike(by_batch, by_run));
  OK(scnn_image_folder_free(folder));
  OK(scnn_model_free(by_batch));
  OK(scnn_model_free(by_run));
}

static void test_damaged(void) {
  write_file(files[1], sizeof jpeg / 2);
  scnn_image_folder *folder = open_folder("{\"size\": 8, \"batch_size\": 3, \"mixup\": 0.2, \"cutmix\": 1}");
  scnn_batches *batches = NULL;
  scnn_tensor x, y;
  int32_t is_last = 0;
  size_t count = 0;
  OK(scnn_image_folder_begin_epoch(folder, 0, &batches));
  OK(scnn_batches_next(batches, &x, &y, &is_last));
  CHECK(x.shape[0] == 3 && is_last == 1 && y.dtype == SCNN_FLOAT32 && y.rank == 2 && y.shape[1] == 2);
  char *reason = NULL;
  TEXT(reason, scnn_batches_skipped(batches, &count, buffer, capacity, &length));
  CHECK(count == 1 && reason && strstr(reason, "2.JPEG") != NULL);
  free(reason);
  OK(scnn_batches_free(batches));
  OK(scnn_image_folder_free(folder));

  folder = open_folder("{\"size\": 8, \"corrupt\": \"error\", \"threads\": 0}");
  OK(scnn_image_folder_begin_epoch(folder, 0, &batches));
  FAILS(SCNN_MALFORMED_FILE, scnn_batches_next(batches, &x, &y, NULL));
  SAYS("folder/b/2.JPEG' is no picture that can be read");
  CHECK(x.data == NULL);
  OK(scnn_batches_free(batches));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_begin_epoch(folder, -1, &batches));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_begin_epoch(folder, INT64_MAX, &batches));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_begin_epoch(folder, 0, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_begin_epoch(NULL, 0, &batches));
  CHECK(batches == NULL);
  OK(scnn_image_folder_free(folder));
  write_file(files[1], sizeof jpeg);
}

static void test_what_will_not_do(void) {
  scnn_image_folder *folder = NULL;
  FAILS(SCNN_IO, scnn_image_folder_open("nowhere", NULL, &folder));
  FAILS(SCNN_IO, scnn_image_folder_open("", NULL, &folder));
  FAILS(SCNN_IO, scnn_image_folder_open(files[0], NULL, &folder));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_open("folder/b/more", NULL, &folder));
  SAYS("has no folders; expected one for each class");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_open(NULL, NULL, &folder));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_open("\xff", NULL, &folder));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_open("folder", NULL, NULL));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_open("folder", "{\"size\": -3}", &folder));
  SAYS("size is -3; expected 1 to");
  FAILS(SCNN_UNKNOWN_NAME, scnn_image_folder_open("folder", "{\"batchsize\": 3}", &folder));
  SAYS("batch_size");
  FAILS(SCNN_UNKNOWN_NAME, scnn_image_folder_open("folder", "{\"rand_augment\": {\"strength\": 3}}", &folder));
  SAYS("rand_augment: unknown option");
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_open("folder", "{\"color_jitter\": {\"hue\": 9e99}}", &folder));
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_open("folder", "{\"class_names\": [1]}", &folder));
  CHECK(folder == NULL);
  FAILS(SCNN_INVALID_ARGUMENT, scnn_image_folder_class_names(NULL, NULL, 0, NULL));
}

int main(void) {
  make();
  test_contents();
  test_batches();
  test_arrangement();
  test_training();
  test_damaged();
  test_what_will_not_do();
  clean();
  return finish("folders");
}
