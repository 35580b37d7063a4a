/* After predictions, a forked child and its parent can both predict and train, as Python's multiprocessing and
 * preloading web servers do. An alarm ends what hangs. */
#define _POSIX_C_SOURCE 200809L
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { SECONDS = 60 };

static float before[BATCH * CLASSES];

/* Predicts as before the fork, then trains; the loss goes to `*loss`. */
static void predict_and_train(scnn_model *model, double *loss) {
  float output[BATCH * CLASSES];
  scnn_tensor x = good_images(), y = good_labels();
  OK(scnn_predict(model, &x, BATCH, NULL, output, BATCH * CLASSES));
  CHECK(memcmp(output, before, sizeof output) == 0);
  for (int step = 0; step < 2; step++) OK(scnn_train_on_batch(model, &x, &y, NULL, loss, 1));
}

/* Forks a child that calls `predict_and_train` and, once, forks a child of its own. The losses of all must agree. */
static void fork_and_use(scnn_model *model, int generations) {
  int ends[2];
  double loss = -1, loss_of_child = -2;
  fflush(stdout);
  if (!CHECK(pipe(ends) == 0)) return;
  pid_t child = fork();
  if (!CHECK(child >= 0)) return;
  if (child == 0) {
    alarm(SECONDS);
    passed = failed = 0;
    if (generations > 1) fork_and_use(model, generations - 1);
    else predict_and_train(model, &loss);
    OK(scnn_model_free(model));
    CHECK(write(ends[1], &loss, sizeof loss) == sizeof loss);
    fflush(stdout);
    _exit(failed != 0);
  }
  predict_and_train(model, &loss);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  if (WIFSIGNALED(status)) printf("  the child was ended by signal %d\n", WTERMSIG(status));
  if (generations == 1) CHECK(read(ends[0], &loss_of_child, sizeof loss) == sizeof loss && loss_of_child == loss);
  close(ends[0]);
  close(ends[1]);
}

int main(void) {
  alarm(2 * SECONDS);
  make_pixels();
  scnn_tensor x = good_images();
  OK(scnn_set_num_threads(2));
  for (int generations = 1; generations <= 2; generations++) {
    scnn_model *model = small_model(1);
    OK(scnn_compile(model, NULL));
    OK(scnn_predict(model, &x, BATCH, NULL, before, BATCH * CLASSES));
    fork_and_use(model, generations);
    OK(scnn_model_free(model));
  }
  return finish("fork");
}
