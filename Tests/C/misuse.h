/* What the tests of bad input share. Each shows that functions which are misused refuse with a status and a message,
 * and that what they were given is as it was. That the programs get to their ends is the main thing tested. */
#include "support.h"

/* What a function may do with a thing whose content is random: succeed, or refuse. */
static inline void survives(scnn_status status) {
  CHECK(status == SCNN_OK || (status != SCNN_INTERNAL && *scnn_last_error()));
}

/* What a model predicts, so that it can be shown later that nothing has changed it. */
struct state {
  float output[BATCH * CLASSES];
};

static inline struct state state_of(scnn_model *model) {
  struct state state;
  memset(&state, 0, sizeof state);
  predict(model, state.output);
  return state;
}

static inline int is_unchanged(scnn_model *model, const struct state *before) {
  struct state now = state_of(model);
  return memcmp(now.output, before->output, sizeof now.output) == 0;
}
