"""Each optimizer's update is Keras's formula, each schedule's rate its curve."""

import copy
import inspect
import math
import pickle

import numpy as np
import pytest
import swiftcnn
from swiftcnn import callbacks, layers, optimizers, schedules

from conftest import make_model

RATE = 0.05


def sgd(w, g, state, step, momentum=0.0, nesterov=False):
    if not momentum:
        return w - RATE * g
    v = state["v"] = momentum * state.get("v", 0) - RATE * g
    return w + momentum * v - RATE * g if nesterov else w + v


def adam(w, g, state, step, epsilon_hat=True):
    m = state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    v = state["v"] = 0.999 * state.get("v", 0) + 0.001 * g * g
    if epsilon_hat:
        return w - RATE * math.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-7)
    return w - RATE * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-7)


def rmsprop(w, g, state, step, inside=True, centered=False, momentum=0.0):
    v = state["v"] = 0.9 * state.get("v", 0) + 0.1 * g * g
    if centered:
        a = state["a"] = 0.9 * state.get("a", 0) + 0.1 * g
        v = v - a * a
    root = np.sqrt(v + 1e-7) if inside else np.sqrt(v) + 1e-7
    if not momentum:
        return w - RATE * g / root
    b = state["b"] = momentum * state.get("b", 0) + RATE * g / root
    return w - b


def l2(update, strength, **options):
    return lambda w, g, state, step: update(w, g + strength * w, state, step, **options)


def decoupled(update, strength, **options):
    return lambda w, g, state, step: update(w * (1 - RATE * strength), g, state, step, **options)


CASES = {
    "sgd": (optimizers.SGD(RATE), sgd),
    "momentum": (optimizers.SGD(RATE, momentum=0.9), lambda *a: sgd(*a, momentum=0.9)),
    "nesterov": (optimizers.SGD(RATE, 0.9, nesterov=True), lambda *a: sgd(*a, momentum=0.9, nesterov=True)),
    "sgd, decoupled decay": (
        optimizers.SGD(RATE, 0.9, weight_decay=0.1, decay_all=True),
        decoupled(sgd, 0.1, momentum=0.9),
    ),
    "sgd, L2": (
        optimizers.SGD(RATE, 0.9, weight_decay=0.1, decoupled=False, decay_all=True),
        l2(sgd, 0.1, momentum=0.9),
    ),
    "adam": (optimizers.Adam(RATE), adam),
    "adam, as PyTorch": (optimizers.Adam(RATE, epsilon_hat=False), lambda *a: adam(*a, epsilon_hat=False)),
    "adam, L2": (optimizers.Adam(RATE, weight_decay=0.1, decoupled=False, decay_all=True), l2(adam, 0.1)),
    "adamw": (optimizers.AdamW(RATE, weight_decay=0.1, decay_all=True), decoupled(adam, 0.1)),
    "rmsprop": (optimizers.RMSprop(RATE), rmsprop),
    "rmsprop, outside": (
        optimizers.RMSprop(RATE, epsilon_inside_root=False),
        lambda *a: rmsprop(*a, inside=False),
    ),
    "rmsprop, momentum": (optimizers.RMSprop(RATE, momentum=0.9), lambda *a: rmsprop(*a, momentum=0.9)),
    "rmsprop, centered": (optimizers.RMSprop(RATE, centered=True), lambda *a: rmsprop(*a, centered=True)),
}


@pytest.mark.parametrize("case", CASES)
def test_updates_are_the_formulas(case, data):
    optimizer, update = CASES[case]
    model = make_model()
    model.compile(optimizer, "sparse_categorical_crossentropy")
    states = {}
    for step in (1, 2, 3):
        before = model.state_dict()
        model.train_on_batch(*data)
        for row in model.parameters:
            if row.trainable and row.role != "statistic":
                g = model.get_gradient(row.name).astype(np.float64)
                expected = update(before[row.name].astype(np.float64), g, states.setdefault(row.name, {}), step)
                moved = np.abs(expected - before[row.name]).max()
                error = np.abs(model.get_parameter(row.name) - expected).max()
                assert error <= 2e-3 * moved + 1e-6, (row.name, step, error, moved)


@pytest.mark.parametrize("all_of_them", [False, True])
def test_decay_spares_biases_and_normalisation_on_request(data, all_of_them):
    decayed, plain = make_model(), make_model()
    for model in (decayed, plain):
        model.set_parameter("fc.bias", np.ones(10))
    decayed.compile(optimizers.SGD(0.1, weight_decay=0.5, decay_all=all_of_them), "sparse_categorical_crossentropy")
    plain.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    for model in (decayed, plain):
        model.train_on_batch(*data)
    for row in decayed.parameters:
        same = np.array_equal(decayed.get_parameter(row.name), plain.get_parameter(row.name))
        if row.name in ("fc.bias", "fc.weight", "bn1.weight", "bn1.running_mean"):
            decays = row.role == "weight" or (all_of_them and row.role != "statistic")
            assert same != decays, row.name


def test_gradients_are_clipped_to_a_global_norm(data):
    clipped = make_model()
    clipped.compile(optimizers.SGD(1.0, global_clipnorm=1e-3), "sparse_categorical_crossentropy")
    before = clipped.state_dict()
    clipped.train_on_batch(*data)
    learned = [row.name for row in clipped.parameters if row.role != "statistic"]
    moved = math.sqrt(sum(((clipped.get_parameter(n) - before[n]).astype(float) ** 2).sum() for n in learned))
    assert moved == pytest.approx(1e-3, rel=0.02)


def test_the_moving_average_of_the_weights_is_exchanged_and_back(data):
    model = make_model()
    model.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.75), "sparse_categorical_crossentropy")
    model.train_on_batch(*data)
    average = model.get_parameter("fc.weight")
    for _ in range(3):
        model.train_on_batch(*data)
        average = 0.75 * average + 0.25 * model.get_parameter("fc.weight")
    last = model.get_parameter("fc.weight")
    model.swap_ema()
    np.testing.assert_allclose(model.get_parameter("fc.weight"), average, rtol=1e-4, atol=1e-6)
    model.swap_ema()
    np.testing.assert_array_equal(model.get_parameter("fc.weight"), last)
    plain = make_model()
    plain.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises((RuntimeError, ValueError), match="average|ema"):
        plain.swap_ema()


def accumulating(optimizer, **settings):
    """A network of which no image's gradient depends on the other images of its batch."""
    parts = [layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10, kernel_initializer="ones")]
    model = swiftcnn.Sequential(parts)
    model.compile(optimizer, "sparse_categorical_crossentropy", **settings)
    return model


ACCUMULATING = {
    "sgd": (optimizers.SGD, {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "adam": (optimizers.Adam, {"clipnorm": 0.01, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}),
    "adamw": (optimizers.AdamW, {"global_clipnorm": 0.01}),
    "rmsprop": (optimizers.RMSprop, {"clipvalue": 0.001}),
}


@pytest.mark.parametrize("case", ACCUMULATING)
def test_accumulated_gradients_are_those_of_the_large_batch(case, data):
    kind, options = ACCUMULATING[case]
    trained = []
    for batch_size, steps in ((40, None), (10, 4)):
        model = accumulating(kind(**options, gradient_accumulation_steps=steps))
        weights = np.arange(40) % 3
        model.fit(*data, batch_size=batch_size, epochs=3, shuffle=False, sample_weight=weights, verbose=0)
        assert model.optimizer.iterations == 3
        trained.append(model.get_weights())
    for whole, parts in zip(*trained, strict=True):
        np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-5 * np.abs(whole).max())


def test_a_group_of_steps_goes_on_in_the_next_epoch_and_run(data):
    """As Keras, which counts the steps of the optimizer's whole life."""
    model = accumulating(optimizers.SGD(0.1, gradient_accumulation_steps=2))
    changed, before = [], model.get_weights()[0]

    class Watch(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            nonlocal before
            now = self.model.get_weights()[0]
            changed.append(not np.array_equal(now, before))
            before = now

    for epochs in (2, 1):
        model.fit(*data, batch_size=16, epochs=epochs, verbose=0, callbacks=[Watch()])
    assert changed == [False, True, False, True, False, True, False, True, False]
    assert model.optimizer.iterations == 4


def test_a_schedule_counts_the_batches_of_accumulated_gradients(data):
    schedule = schedules.StepDecay(1.0, 1, 0.5)
    model = accumulating(optimizers.SGD(schedule, gradient_accumulation_steps=2))
    seen = []
    for _ in range(4):
        seen.append((float(model.learning_rate), model.optimizer.iterations))
        model.train_on_batch(*data)
    assert seen == [(1.0, 0), (0.5, 0), (0.25, 1), (0.125, 1)]


def test_a_checkpoint_within_a_group_has_its_gradients(data, tmp_path):
    def begun():
        model = accumulating(optimizers.Adam(gradient_accumulation_steps=3))
        for _ in range(4):
            model.train_on_batch(*data)
        return model

    one = begun()
    one.save(tmp_path / "m.safetensors", include_optimizer=True)
    others = [swiftcnn.load_model(tmp_path / "m.safetensors"), pickle.loads(pickle.dumps(one)), copy.deepcopy(one)]
    assert others[0].optimizer.gradient_accumulation_steps == 3
    for model in (one, *others):
        for _ in range(2):
            model.train_on_batch(*data)
        assert model.optimizer.iterations == 2
    for other in others:
        for weight, same in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(same, weight)


def rates(schedule, data, steps):
    model = make_model()
    model.compile(optimizers.SGD(schedule), "sparse_categorical_crossentropy")
    result = []
    for _ in range(steps):
        result.append(model.learning_rate)
        model.train_on_batch(data[0][:2], data[1][:2])
    return result


def test_schedules_follow_their_curves(data):
    assert rates(schedules.ConstantSchedule(0.3), data, 3) == [0.3] * 3
    assert rates(schedules.StepDecay(0.4, 2, 0.5), data, 5) == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.1])
    stairs = schedules.ExponentialDecay(0.4, 2, 0.5, staircase=True)
    assert rates(stairs, data, 5) == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.1])
    smooth = schedules.ExponentialDecay(0.4, 2, 0.25)
    assert rates(smooth, data, 3) == pytest.approx([0.4, 0.2, 0.1])
    half = [0.5 * (1 + math.cos(math.pi * step / 4)) for step in range(6)]
    expected = [0.1 + 0.3 * (share if step < 4 else 0) for step, share in enumerate(half)]
    assert rates(schedules.CosineDecay(0.4, 4, alpha=0.25), data, 6) == pytest.approx(expected)
    warm = rates(schedules.CosineDecay(0.0, 4, warmup_target=0.4, warmup_steps=2), data, 6)
    assert warm[:3] == pytest.approx([0.0, 0.2, 0.4])
    assert warm[2:] == pytest.approx([0.4 * share for share in half[:4]])


def test_one_cycle_rises_to_its_maximum_and_falls(data):
    curve = rates(schedules.OneCycle(0.5, total_steps=10), data, 10)
    assert curve[0] == pytest.approx(0.5 / 25)
    assert curve.index(max(curve)) == 2 and max(curve) == pytest.approx(0.5)
    assert curve[-1] == pytest.approx(0.5 / 25 / 1e4)
    assert curve[:3] == sorted(curve[:3]) and curve[2:] == sorted(curve[2:], reverse=True)


def test_a_schedule_without_steps_covers_the_fit(data):
    model = make_model()
    model.compile(optimizers.SGD(schedules.CosineDecay(0.1, None)), "sparse_categorical_crossentropy")
    model.fit(*data, batch_size=10, epochs=2, verbose=0)
    assert model.learning_rate == pytest.approx(0, abs=1e-9)


def test_the_learning_rate_is_read_and_set_through_model_and_optimizer(data):
    model = make_model()
    optimizer = optimizers.SGD(schedules.StepDecay(0.4, 1, 0.5))
    assert optimizer.learning_rate == 0.4
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.train_on_batch(*data)
    assert optimizer.learning_rate == model.learning_rate == pytest.approx(0.2)
    model.optimizer.learning_rate = 0.25  # ends the schedule
    model.train_on_batch(*data)
    assert model.learning_rate == optimizer.learning_rate == 0.25
    model.learning_rate = 0.125
    assert optimizer.learning_rate == 0.125


def test_names_give_keras_defaults():
    for name, kind in {
        "sgd": optimizers.SGD,
        "SGD": optimizers.SGD,
        "adam": optimizers.Adam,
        "AdamW": optimizers.AdamW,
        "rmsprop": optimizers.RMSprop,
        "RMSprop": optimizers.RMSprop,
    }.items():
        assert type(optimizers.get(name)) is kind
    assert optimizers.Adam().settings["epsilon"] == 1e-7
    assert optimizers.AdamW().settings["weight_decay"] == 0.004
    assert optimizers.RMSprop().settings["epsilon_inside_root"] is True
    assert "0.01" in repr(optimizers.SGD()) and "OneCycle(0.1" in repr(optimizers.SGD(schedules.OneCycle(0.1)))


class Slow(optimizers.SGD):
    """Somebody's own class, whose annotations are no arguments."""

    times: int

    def __init__(self, times):
        super().__init__(0.01 / times)


def test_a_class_made_of_an_optimizer_has_arguments_of_its_own():
    assert Slow(10).learning_rate == 0.001
    assert list(inspect.signature(Slow).parameters) == ["times"]
