"""Optimizers, losses, metrics and compile take what Keras's take; models are compiled before their network is known."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import swiftcnn
from conftest import make_model
from swiftcnn import callbacks, losses, metrics, optimizers, schedules
from swiftcnn._trainer import Trainer

SPARSE = "sparse_categorical_crossentropy"

CONFIGURED = [
    losses.SparseCategoricalCrossentropy(True, label_smoothing=0.25, name="mine"),
    losses.CategoricalCrossentropy(label_smoothing=0.25, reduction="mean"),
    losses.BinaryCrossentropy(from_logits=False),
    losses.MeanSquaredError(),
    losses.MeanAbsoluteError(name="distance"),
    losses.Huber(0.5),
    losses.KLDivergence(),
    losses.LogCosh(),
    metrics.MeanSquaredError(),
    metrics.MeanAbsoluteError("distance"),
    metrics.Accuracy(),
    metrics.BinaryAccuracy("right", threshold=0.25),
    metrics.TopKCategoricalAccuracy(k=3),
    metrics.SparseTopKCategoricalAccuracy(name="top"),
    schedules.ConstantSchedule(0.5),
    schedules.StepDecay(0.5, 3),
    schedules.ExponentialDecay(0.5, 3, 0.25, staircase=True),
    schedules.CosineDecay(0.0, 10, 0.125, warmup_target=0.5, warmup_steps=3),
    schedules.CosineDecay(0.5, None),
    schedules.OneCycle(0.5, start_share=0.25),
    optimizers.SGD(0.5, 0.75, True, 0.125, clipnorm=2.0, name="mine"),
    optimizers.Adam(schedules.OneCycle(0.5), beta_1=0.5, clipvalue=0.5),
    optimizers.AdamW(epsilon=1e-5, decay_all=True, epsilon_hat=False),
    optimizers.RMSprop(rho=0.5, centered=True, epsilon_inside_root=False, use_ema=True, ema_momentum=0.5),
]


@pytest.mark.parametrize("thing", CONFIGURED, ids=repr)
def test_configurations_and_copies_describe_the_same(thing):
    config = thing.get_config()
    made = type(thing).from_config(config)
    assert made is not thing
    for same in (made, copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        assert same.get_config() == config and same.settings == thing.settings and same.name == thing.name
        assert repr(same) == repr(thing)
    with pytest.raises(TypeError, match="wrong"):
        type(thing).from_config(config | {"wrong": 1})


def test_configurations_have_keras_keys():
    config = optimizers.SGD(0.5, 0.75, clipnorm=2.0).get_config()
    assert config["name"] == "sgd" and config["momentum"] == 0.75 and config["clipnorm"] == 2.0
    assert config["learning_rate"] == 0.5 and config["weight_decay"] is None
    assert losses.Huber(0.5).get_config() == {"delta": 0.5, "reduction": "sum_over_batch_size", "name": "huber_loss"}
    assert metrics.TopKCategoricalAccuracy(3).get_config() == {"k": 3, "name": "top_k_categorical_accuracy"}
    schedule = optimizers.Adam(schedules.StepDecay(0.5, 3)).get_config()["learning_rate"]
    assert schedule["class_name"] == "StepDecay" and schedule["config"]["step_size"] == 3
    for wrong in ({"class_name": "Linear", "config": {}}, {"class_name": "OneCycle"}):
        with pytest.raises(ValueError, match="schedule"):
            optimizers.Adam.from_config({"learning_rate": wrong})


def test_a_used_optimizer_is_copied_with_the_rate_it_has(model, data):
    model.learning_rate = 0.25
    for same in (copy.deepcopy(model.optimizer), optimizers.SGD.from_config(model.optimizer.get_config())):
        assert same.learning_rate == 0.25
        same.learning_rate = 0.5
        assert model.learning_rate == 0.25
    decaying = optimizers.SGD(schedules.StepDecay(0.5, 1, 0.5))
    model.compile(decaying, SPARSE)
    model.train_on_batch(*data)
    assert decaying.learning_rate == 0.25 and copy.deepcopy(decaying).settings["learning_rate"] == 0.5


def test_signatures_show_every_argument():
    for kind in (optimizers.SGD, optimizers.Adam, optimizers.AdamW, optimizers.RMSprop):
        shown = inspect.signature(kind).parameters
        assert {"learning_rate", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "name"} <= set(shown)
        assert not any(parameter.kind == parameter.VAR_KEYWORD for parameter in shown.values())
        assert set(shown) - {"amsgrad"} <= set(kind().get_config()) | {
            "ema_overwrite_frequency",
            "loss_scale_factor",
        }


def test_clipping_is_told_to_the_library_only_where_it_is_set():
    plain = optimizers.SGD().settings
    assert plain["clip_norm"] is plain["clip_norm_each"] is plain["clip_value"] is None
    assert optimizers.SGD(clipnorm=2.0).settings["clip_norm_each"] == 2.0
    assert optimizers.SGD(clipvalue=0.5).settings["clip_value"] == 0.5
    assert optimizers.SGD(global_clipnorm=0.25).settings["clip_norm"] == 0.25


@pytest.mark.parametrize(
    ("name", "kind"),
    {
        "sparse_categorical_crossentropy": losses.SparseCategoricalCrossentropy,
        "SparseCategoricalCrossentropy": losses.SparseCategoricalCrossentropy,
        "categorical_crossentropy": losses.CategoricalCrossentropy,
        "binary_crossentropy": losses.BinaryCrossentropy,
        "bce": losses.BinaryCrossentropy,
        "BCE": losses.BinaryCrossentropy,
        "mse": losses.MeanSquaredError,
        "MSE": losses.MeanSquaredError,
        "mean_squared_error": losses.MeanSquaredError,
        "mae": losses.MeanAbsoluteError,
        "MeanAbsoluteError": losses.MeanAbsoluteError,
        "huber": losses.Huber,
        "Huber": losses.Huber,
        "log_cosh": losses.LogCosh,
        "kld": losses.KLDivergence,
        "KLD": losses.KLDivergence,
        "kl_divergence": losses.KLDivergence,
    }.items(),
)
def test_losses_have_keras_names(name, kind):
    assert type(losses.get(name)) is kind
    given = kind()
    assert losses.get(given) is given


@pytest.mark.parametrize(
    "name",
    [
        "accuracy",
        "acc",
        "categorical_accuracy",
        "sparse_categorical_accuracy",
        "top_k_categorical_accuracy",
        "sparse_top_k_categorical_accuracy",
    ],
)
def test_metrics_are_logged_under_the_name_they_were_given(name, data):
    model = make_model()
    model.compile("sgd", SPARSE, metrics=[name])
    assert model.metrics_names == ["loss", name]
    keep = callbacks.EarlyStopping("val_" + name, restore_best_weights=True)  # knows which way is better
    history = model.fit(*data, epochs=2, verbose=0, validation_data=data, callbacks=[keep]).history
    assert list(history) == ["loss", name, "val_loss", "val_" + name]
    assert model.evaluate(*data, verbose=0, return_dict=True).keys() == {"loss", name}


def test_metrics_can_be_called_as_one_likes(model, data):
    model.compile("sgd", SPARSE, metrics=[metrics.TopKAccuracy(k) for k in (2, 3)] + [metrics.Accuracy(name="right")])
    assert model.metrics_names == ["loss", "top_2_accuracy", "top_3_accuracy", "right"]
    assert model.train_on_batch(*data, return_dict=True).keys() == set(model.metrics_names)


def test_a_loaded_checkpoint_knows_which_metrics_should_rise(model, data, tmp_path):
    model.save(tmp_path / "m", include_optimizer=True)
    loaded = swiftcnn.load_model(tmp_path / "m")
    stop = callbacks.EarlyStopping("accuracy", restore_best_weights=True)
    assert loaded.fit(*data, epochs=2, verbose=0, callbacks=[stop]).epoch
    with pytest.raises(ValueError, match="callback received monitor=speed"):
        add = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(speed=1.0))
        loaded.fit(*data, verbose=0, callbacks=[add, callbacks.EarlyStopping("speed")])


def test_compile_takes_kerass_arguments_that_mean_nothing_here(model):
    model.compile("sgd", SPARSE, None, ["accuracy"], None, False, 1, "auto", True)
    assert model.metrics_names == ["loss", "accuracy"]
    model.compile("sgd", SPARSE, weighted_metrics=[], run_eagerly=None, jit_compile=False, steps_per_execution=None)
    for name, value in {
        "loss_weights": [0.5],
        "run_eagerly": True,
        "steps_per_execution": 2,
        "jit_compile": True,
    }.items():
        with pytest.raises(ValueError, match=f"{name}=.*is not supported here: expected"):
            model.compile("sgd", SPARSE, **{name: value})
    assert model.compiled


@pytest.mark.parametrize(
    ("classes", "targets", "kind"),
    [
        (10, lambda y: y, losses.SparseCategoricalCrossentropy),
        (10, lambda y: y[:, None], losses.SparseCategoricalCrossentropy),
        (10, lambda y: np.eye(10)[y], losses.CategoricalCrossentropy),
        (1, lambda y: y > 4, losses.BinaryCrossentropy),
        (1, lambda y: (y > 4)[:, None], losses.BinaryCrossentropy),
    ],
)
def test_crossentropy_is_the_one_that_fits_the_targets(classes, targets, kind, data):
    x, y = data[0], targets(data[1])
    options = {"classes": classes, "classifier_activation": None if classes == 1 else "softmax"}
    for call in (
        lambda model: model.train_on_batch(x, y),
        lambda model: model.test_on_batch(x, y),
        lambda model: model.evaluate(x, y, verbose=0),
        lambda model: model.fit([(x, y)], verbose=0).history,
    ):
        model, named = make_model(**options), make_model(**options)
        model.compile("sgd", "crossentropy", metrics=["accuracy"])
        assert model.compiled and model.metrics_names == ["loss", "accuracy"] and model.learning_rate == 0.01
        named.compile("sgd", kind(), metrics=["accuracy"])
        assert call(model) == call(named)


def test_a_rate_set_before_the_targets_are_seen_is_kept(data):
    model = make_model()
    model.compile(optimizers.SGD(schedules.OneCycle(0.5)), "crossentropy")
    model.learning_rate = 0.125
    model.train_on_batch(*data)
    assert model.learning_rate == model.optimizer.learning_rate == 0.125


class Lazy(Trainer):
    """A model whose network is made when the first images are seen."""

    def __init__(self):
        self._made = None
        self.seen = []

    _handle = property(lambda self: self._made)
    _built = property(lambda self: self._made is not None)
    _model = property(lambda self: self)

    def _prepare(self, x):
        self.seen.append(np.shape(x))
        if self._made is None:
            self._made = make_model(input_shape=np.shape(x)[1:])._handle


@pytest.mark.parametrize("loss", [SPARSE, "crossentropy"])
def test_a_model_is_compiled_before_its_network_is_known(loss, data):
    x, y = data
    known = make_model()
    known.compile("adam", SPARSE, metrics=["accuracy"])
    expected = known.train_on_batch(x, y)
    calls = {
        "train_on_batch": lambda model: model.train_on_batch(x, y),
        "fit": lambda model: model.fit(x, y, batch_size=40, verbose=0),
        "fit on batches": lambda model: model.fit(iter([(x, y)]), verbose=0),
        "evaluate": lambda model: model.evaluate(x, y, verbose=0),
        "evaluate batches": lambda model: model.evaluate(iter([(x, y)]), verbose=0),
        "test_on_batch": lambda model: model.test_on_batch(x, y),
        "predict": lambda model: model.predict(x, verbose=0),
        "predict batches": lambda model: model.predict(iter([x]), verbose=0),
        "predict_on_batch": lambda model: model.predict_on_batch(x),
    }
    for name, call in calls.items():
        model = Lazy()
        assert not model.compiled
        with pytest.raises(RuntimeError, match="compile"):
            model.fit(x, y)
        model.compile("adam", loss, metrics=["accuracy"])
        assert model.compiled and not model._built and model.metrics_names == ["loss", "accuracy"]
        call(model)
        assert model._built and model.seen == [(40, 8, 8, 1)], name
        if "predict" in name or "eval" in name or "test" in name:
            assert model.train_on_batch(x, y) == expected, name
        assert model.optimizer._handle is model._handle


def test_settings_that_are_refused_later_are_named_then(data):
    model = Lazy()
    model.compile(optimizers.SGD(nesterov=True), SPARSE)
    with pytest.raises(ValueError, match="nesterov"):
        model.fit(*data, verbose=0)


def test_a_refused_compile_leaves_the_one_before(model, data):
    optimizer = model.optimizer
    with pytest.raises(ValueError, match="nesterov"):
        model.compile(optimizers.SGD(nesterov=True), "mse")
    assert model.optimizer is optimizer and model.metrics_names == ["loss", "accuracy"]
    assert len(model.train_on_batch(*data)) == 2


def test_memory_is_a_word_or_a_number_of_bytes(model, data):
    for memory in ("normal", "low", 10**10, np.int64(50_000_000)):
        model.compile("sgd", SPARSE, memory=memory)
        model.train_on_batch(*data)
    for memory in ("tiny", 1.5, True, None, [1]):
        with pytest.raises(ValueError, match="memory must be 'normal', 'low' or a number of bytes, got"):
            model.compile("sgd", SPARSE, memory=memory)
    for memory in (0, -1, 2**63):
        with pytest.raises(ValueError, match="memory must be at "):
            model.compile("sgd", SPARSE, memory=memory)


def test_a_limit_of_memory_that_cannot_be_met_says_the_least(model, data):
    before = model.get_weights()
    model.compile("sgd", SPARSE, memory=1000)
    with pytest.raises(ValueError, match=r"memory is 1000 bytes; a training step on \[.*\] takes \d+ at least") as error:
        model.fit(*data, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.compile("sgd", SPARSE, memory=int(str(error.value).split()[-3]))
    model.fit(*data, verbose=0)


def test_averages_take_the_place_of_weights_in_evaluation(data, tmp_path):
    model = make_model()
    model.compile(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.75), SPARSE)
    within, path = [], tmp_path / "m"
    look = callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: within.append(model.get_parameter("fc.bias")))
    keep = callbacks.ModelCheckpoint(path, save_weights_only=True)
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    model.fit(*data, epochs=2, verbose=0, validation_data=data, callbacks=[swap, look, keep])
    average = model.get_parameter("fc.bias")  # of the last epoch's end
    np.testing.assert_array_equal(swiftcnn.load_model(path).get_parameter("fc.bias"), average)
    np.testing.assert_array_equal(within[-1], average)
    model.train_on_batch(*data)  # which parts the weights from their average again
    weights = model.get_parameter("fc.bias")
    plain = callbacks.SwapEMAWeights()
    inside = callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: within.append(model.get_parameter("fc.bias")))
    model.predict(data[0], verbose=0, callbacks=[plain, inside])
    assert not np.array_equal(within[-1], weights)
    model.evaluate(*data, verbose=0, callbacks=[plain])
    np.testing.assert_array_equal(model.get_parameter("fc.bias"), weights)
    model.compile("sgd", SPARSE)
    with pytest.raises(ValueError, match="SwapEMAWeights must be used when `use_ema=True`"):
        model.evaluate(*data, verbose=0, callbacks=[callbacks.SwapEMAWeights()])


def test_validation_and_evaluation_measure_the_averages_and_leave_the_weights(data):
    model = make_model()
    model.compile(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9), SPARSE)
    seen = []

    class Look(callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            seen.append(model.get_weights())

        def on_epoch_end(self, epoch, logs=None):
            model.swap_ema()
            assert logs["val_loss"] == pytest.approx(model.evaluate(*data, verbose=0), rel=1e-6)
            model.swap_ema()
            assert logs["val_loss"] != pytest.approx(model.evaluate(*data, verbose=0), rel=1e-6)
            assert model.evaluate(*data, verbose=0, use_ema=True) == logs["val_loss"]
            assert all(np.array_equal(a, b) for a, b in zip(seen[-1], model.get_weights(), strict=True))

    model.fit(*data, epochs=3, verbose=0, validation_data=data, validation_ema=True, callbacks=[Look()])
    assert seen
    for how in (callbacks.SwapEMAWeights(), callbacks.SwapEMAWeights(swap_on_epoch=True)):  # both at once are one
        other = model.fit(*data, verbose=0, validation_data=data, validation_ema=True, callbacks=[how])
        assert other.history["val_loss"][0] == model.evaluate(*data, verbose=0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_evaluation_of_averages_that_is_interrupted_leaves_the_weights(data, error):
    model = make_model()
    model.compile(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9), SPARSE)
    for _ in range(3):
        model.train_on_batch(*data)
    before, whole = model.get_weights(), model.evaluate(*data, verbose=0, use_ema=True)

    def stop(batch, logs):
        raise error("stop")

    ends = callbacks.LambdaCallback(on_test_batch_end=stop)
    with pytest.raises(error, match="stop"):
        model.evaluate(*data, verbose=0, use_ema=True, batch_size=2, callbacks=[ends])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.evaluate(*data, verbose=0, use_ema=True) == whole


def test_measuring_averages_without_any_is_an_error(data):
    model = make_model()
    model.compile("sgd", SPARSE)
    with pytest.raises(ValueError, match="validation_ema needs .* use_ema=True"):
        model.fit(*data, verbose=0, validation_data=data, validation_ema=True)
    with pytest.raises(ValueError, match="use_ema needs"):
        model.evaluate(*data, verbose=0, use_ema=True)
    with pytest.raises(TypeError, match="validation_ema"):
        model.fit(*data, verbose=0, validation_ema=1)


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        ("mse", lambda d: d**2),
        ("mae", np.abs),
        (losses.Huber(0.25), lambda d: np.where(np.abs(d) <= 0.25, d**2 / 2, 0.25 * np.abs(d) - 0.25**2 / 2)),
        ("log_cosh", lambda d: np.log(np.cosh(d))),
    ],
)
def test_losses_and_metrics_of_differences_are_their_formulas(loss, formula, data):
    x = data[0]
    y = np.random.default_rng(0).normal(size=(40, 10))
    model = make_model(classifier_activation=None)
    model.compile("sgd", loss, metrics=["mse", "mae", metrics.BinaryAccuracy("right", threshold=0.25)])
    difference = model.predict_on_batch(x) - y
    measured = model.evaluate(x, y > 0, verbose=0, return_dict=True)
    assert list(measured) == ["loss", "mse", "mae", "right"]
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(formula(difference).mean(), rel=1e-4)
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx((difference**2).mean(), rel=1e-4)
    assert model.evaluate(x, y, verbose=0)[2] == pytest.approx(np.abs(difference).mean(), rel=1e-4)
    assert measured["right"] == pytest.approx(np.mean((model.predict_on_batch(x) > 0.25) == (y > 0)))
    stop = callbacks.EarlyStopping("mae", restore_best_weights=True)  # less is better
    model.fit(x, y, epochs=3, verbose=0, callbacks=[stop])
    assert stop.best == min(model.history.history["mae"])


def test_gradients_are_clipped_by_value_and_by_each_norm(data):
    for option, size in (("clipvalue", lambda g: np.abs(g).max()), ("clipnorm", lambda g: np.linalg.norm(g))):
        model = make_model()
        model.compile(optimizers.SGD(1.0, **{option: 1e-3}), SPARSE)
        before = model.get_parameter("fc.weight"), model.get_parameter("conv1.weight")
        model.train_on_batch(*data)
        after = model.get_parameter("fc.weight"), model.get_parameter("conv1.weight")
        for old, new in zip(before, after, strict=True):
            assert size((new - old).astype(float)) == pytest.approx(1e-3, rel=0.02), option


def test_epsilon_of_adam_is_added_as_in_keras_or_pytorch(data):
    rates = {}
    for as_keras in (True, False):
        model = make_model()
        model.compile(optimizers.Adam(0.1, epsilon=0.5, epsilon_hat=as_keras), SPARSE)
        before = model.get_parameter("fc.bias").astype(float)
        model.train_on_batch(*data)
        g = model.get_gradient("fc.bias").astype(float)
        rates[as_keras] = model.get_parameter("fc.bias") - before
        root = np.sqrt(0.001 * g * g)
        if as_keras:
            expected = -0.1 * np.sqrt(0.001) / 0.1 * 0.1 * g / (root + 0.5)
        else:
            expected = -0.1 * g / (root / np.sqrt(0.001) + 0.5)
        np.testing.assert_allclose(rates[as_keras], expected, rtol=1e-2, atol=1e-7)
    assert not np.allclose(rates[True], rates[False], rtol=0.1)


def test_little_memory_gives_the_same_numbers(data) -> None:
    x, y = data
    results = []
    for memory in ("normal", "low"):
        trained = make_model()
        trained.compile(optimizer="sgd", loss=SPARSE, memory=memory)
        trained.fit(x, y, batch_size=8, epochs=1, verbose=0)
        results.append(trained.get_weights())
    for normal, low in zip(*results, strict=True):
        np.testing.assert_array_equal(normal, low)
    with pytest.raises(ValueError, match="memory"):
        make_model().compile(optimizer="sgd", loss=SPARSE, memory="none")
