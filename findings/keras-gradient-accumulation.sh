#!/usr/bin/env bash
# keras 3.15.1 documents gradient_accumulation_steps as: "model & optimizer variables will not be updated at every step;
# instead they will be updated every `gradient_accumulation_steps` steps", and optimizer.iterations counts those updates.
# Two things go by batches all the same: a learning-rate schedule is asked for the number of the batch, so that it runs out
# so many times earlier than a schedule over iterations, and the moving average of the weights takes a step with every batch,
# so that the same ema_momentum keeps the old average for a shorter time. Training with the large batch instead gives
# another learning rate and another average. (The count of a group goes on from one fit to the next.)
#
# Guess before trying: both go by updates. Output seen (backend numpy; torch does the same, momentum of the average 0.5):
#   rates of the next step after 1 to 4 batches of groups of 2: 0.5 0.25 0.125 0.0625, iterations 0 1 1 2
#   the average after 4 batches of which the last brought the update from 0.9 to 0.8: 0.85, after another batch without
#   an update 0.825
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 jax==0.10.2 jaxlib==0.10.2 keras==3.15.1
KERAS_BACKEND=numpy "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from keras import Variable, ops, optimizers


def run(optimizer, batches, show):
    weight = Variable(np.ones(1, "float32"))
    optimizer.build([weight])
    seen = []
    for _ in range(batches):
        optimizer.apply([ops.convert_to_tensor(np.ones(1, "float32"))], [weight])
        seen.append(show(optimizer))
    return seen


halving = optimizers.schedules.ExponentialDecay(1.0, decay_steps=1, decay_rate=0.5)
rates = run(
    optimizers.SGD(halving, gradient_accumulation_steps=2), 4, lambda o: (float(o.learning_rate), int(o.iterations))
)
print("rates and iterations:", *rates)
averages = run(
    optimizers.SGD(0.1, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.5),
    5,
    lambda o: round(float(ops.convert_to_numpy(o._model_variables_moving_average[0])[0]), 4),
)
print("averages:", *averages)
assert rates == [(0.5, 0), (0.25, 1), (0.125, 1), (0.0625, 2)], rates
assert averages[3] != averages[4], averages
PYTHON
