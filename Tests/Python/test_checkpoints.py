"""A run that is resumed takes the batches that the whole run would have taken, in their order, and a checkpoint knows
how it was compiled."""

import contextlib

import numpy as np
import pytest

import swiftcnn
from swiftcnn import callbacks, layers


class Batches:
    """A sequence of six batches, which Keras calls a PyDataset."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return 6

    def __getitem__(self, index):
        part = slice(16 * index, 16 * index + 16)
        return self.x[part], self.y[part]


class StopBeforeEpoch(callbacks.Callback):
    """Interrupts a run before an epoch, as Ctrl-C would."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def network(seed):
    swiftcnn.utils.set_random_seed(3)
    model = swiftcnn.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", seed=seed)
    return model


@pytest.mark.parametrize("stopped", [1, 2])
@pytest.mark.parametrize("steps", [None, 2, 3, 4])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", ["arrays", "sequence", "list"])
def test_a_resumed_run_ends_in_the_same_bits(kind, shuffle, steps, stopped, tmp_path):
    random = np.random.default_rng(0)
    x, y = random.random((96, 8, 8, 1)).astype("float32"), random.integers(0, 4, 96)
    batches = Batches(x, y)
    arguments = {
        "arrays": {"x": x, "y": y, "batch_size": 16},
        "sequence": {"x": batches},
        "list": {"x": [batches[index] for index in range(6)]},
    }[kind]
    arguments |= {"shuffle": shuffle, "steps_per_epoch": steps, "epochs": 4, "verbose": 0}
    whole = network(seed=5)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.warns(UserWarning, match="ran out of data") if steps == 4 else contextlib.nullcontext():
        whole.fit(**arguments)
        interrupted = network(seed=5)
        with pytest.raises(KeyboardInterrupt):
            interrupted.fit(**arguments, callbacks=[callbacks.ModelCheckpoint(path), StopBeforeEpoch(stopped)])
        resumed = swiftcnn.load_model(path)
        resumed.fit(**arguments, resume=True)
    for expected, weight in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_checkpoint_keeps_the_optimizer_and_the_names_of_metrics(tmp_path):
    model = network(seed=1)
    optimizer = swiftcnn.optimizers.AdamW(3e-3, weight_decay=0.01, beta_1=0.8, global_clipnorm=2.0)
    top = swiftcnn.metrics.TopKAccuracy(2, name="best two")
    model.compile(optimizer, "categorical_crossentropy", metrics=[top])
    x, y = np.zeros((8, 8, 8, 1), np.float32), np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2, 3]]
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    assert optimizer.iterations == 4
    model.save(tmp_path / "m.safetensors")
    loaded = swiftcnn.load_model(tmp_path / "m.safetensors")
    assert loaded.metrics_names == ["loss", "best two"]
    again = loaded.optimizer
    assert isinstance(again, swiftcnn.optimizers.AdamW)
    assert again.iterations == 4
    for name in ("learning_rate", "weight_decay", "beta_1", "beta_2", "epsilon", "global_clipnorm", "decoupled"):
        assert getattr(again, name) == pytest.approx(getattr(optimizer, name)), name
    again.learning_rate.assign(0.5)
    assert again.learning_rate.numpy() == loaded.learning_rate == 0.5
    loaded.compile(again, "categorical_crossentropy")
    loaded.fit(x, y, verbose=0)
    assert again.iterations == 1


schedules = swiftcnn.schedules


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.StepDecay(0.1, 3, 0.5),
        schedules.ExponentialDecay(0.1, 7, 0.9),
        schedules.CosineDecay(0.1, 40, alpha=0.25),
        schedules.CosineDecay(0.01, None, warmup_target=0.3, warmup_steps=2),
        schedules.OneCycle(0.3, 50, start_share=0.4),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_a_checkpoint_keeps_the_schedule(schedule, data, tmp_path):
    model = network(seed=1)
    model.compile(swiftcnn.optimizers.SGD(schedule, momentum=0.5, nesterov=True), "mse")
    model.save(tmp_path / "m.safetensors")
    loaded = swiftcnn.load_model(tmp_path / "m.safetensors")
    kept = loaded.optimizer.schedule
    assert type(kept) is type(schedule) and kept.get_config() == pytest.approx(schedule.get_config())
    targets = np.zeros((40, 4))
    rates = []
    for each in (model, loaded, again := swiftcnn.load_model(tmp_path / "m.safetensors")):
        if each is again:
            again.compile(again.optimizer, "mse")
        seen = []
        watch = callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: seen.append(each.learning_rate))
        each.fit(data[0], targets, batch_size=8, epochs=2, verbose=0, callbacks=[watch])
        rates.append(seen)
    assert rates[0] == rates[1] == rates[2] and len(set(rates[0])) > 1


def test_a_checkpoint_keeps_what_python_cannot_set(data, tmp_path):
    model = network(seed=1)
    model._handle.compile('{"optimizer": {"name": "sgd", "momentum": 0.9}, "loss": "mean_squared_error"}')
    model._handle.save(tmp_path / "m.safetensors", '{"training_state": true}')
    weights = []
    for compiles_anew in (False, True):
        loaded = swiftcnn.load_model(tmp_path / "m.safetensors")
        if compiles_anew:
            loaded.compile(loaded.optimizer, "mse")
        for rate in (0.5, 0.001):  # momentum of gradients and momentum of steps differ as the rate changes
            loaded.learning_rate = rate
            loaded.train_on_batch(data[0] / 255, np.zeros((40, 4)))
        weights.append(loaded.get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_checkpoint_of_a_rate_that_was_set_has_no_schedule(tmp_path):
    model = network(seed=1)
    model.compile(swiftcnn.optimizers.SGD(schedules.StepDecay(0.1, 3)), "mse")
    model.learning_rate = 0.25
    model.save(tmp_path / "m.safetensors")
    loaded = swiftcnn.load_model(tmp_path / "m.safetensors")
    assert loaded.optimizer.schedule is None and loaded.optimizer.get_config()["learning_rate"] == 0.25


def test_a_loaded_schedule_of_another_language_drives_training_all_the_same():
    found = schedules.of_settings(
        {"name": "cosine", "total_steps": 9, "warmup_steps": 3, "warmup_start": None, "final_rate": 0.0}, 0.5
    )
    assert type(found) is schedules.LearningRateSchedule and found.settings["warmup_steps"] == 3
    model = network(seed=1)
    model.compile(swiftcnn.optimizers.SGD(found), "mse")
    assert model.learning_rate == pytest.approx(0.5 / 3)


@pytest.mark.parametrize("monitor, more", [("val_error", False), ("val_best two", True), ("val_loss", False)])
def test_a_loaded_model_knows_which_way_its_metrics_go(monitor, more, tmp_path):
    model = network(seed=1)
    named = [swiftcnn.metrics.MeanAbsoluteError(name="error"), swiftcnn.metrics.TopKAccuracy(2, name="best two")]
    model.compile("sgd", "categorical_crossentropy", metrics=named)
    model.save(tmp_path / "m.safetensors")
    stop = callbacks.EarlyStopping(monitor)
    stop.set_model(swiftcnn.load_model(tmp_path / "m.safetensors"))
    assert stop._more_is_better() is more


@pytest.mark.parametrize(
    "make",
    [
        lambda: callbacks.EarlyStopping("val_acc"),
        lambda: callbacks.ReduceLROnPlateau("val_acc"),
        lambda: callbacks.ModelCheckpoint("never.safetensors", monitor="val_acc", save_best_only=True),
    ],
)
def test_a_mistyped_monitor_is_an_error(make):
    model = network(seed=1)
    x, y = np.zeros((8, 8, 8, 1), np.float32), np.zeros(8, int)
    with pytest.raises(ValueError, match="val_acc"):
        model.fit(x, y, verbose=0, callbacks=[make()])


def test_hooks_get_a_dictionary_of_logs():
    seen = []

    class Watches(callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(logs)

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(logs)

        def on_train_batch_begin(self, batch, logs=None):
            seen.append(logs)

    network(seed=1).fit(np.zeros((8, 8, 8, 1), np.float32), np.zeros(8, int), verbose=0, callbacks=[Watches()])
    assert seen == [{}, {}, {}]


@pytest.mark.parametrize(
    "misuse",
    [
        lambda: layers.Dense(4.0),
        lambda: layers.Conv2D(4, kernel_size="3"),
        lambda: swiftcnn.Sequential([3]),
        lambda: swiftcnn.optimizers.SGD(foo=1),
        lambda: network(1).compile(optimizer=3, loss="mse"),
        lambda: network(1).predict(None),
        lambda: network(1).predict("3"),
        lambda: network(1).set_weights("3"),
    ],
)
def test_arguments_of_the_wrong_kind_are_value_errors_as_in_keras_and_type_errors_as_in_python(misuse):
    with pytest.raises(ValueError):
        misuse()
    with pytest.raises(TypeError):
        misuse()


def test_a_system_error_is_of_the_class_that_python_has_for_it(tmp_path):
    model = network(1)
    with pytest.raises(FileNotFoundError, match="missing"):
        model.save(tmp_path / "missing" / "m.safetensors")
    with pytest.raises(IsADirectoryError):
        model.save(tmp_path)
    with pytest.raises(NotADirectoryError):
        model.save("/dev/null/m.safetensors")


@pytest.mark.parametrize("method", ["fit", "predict", "compile", "evaluate"])
def test_messages_name_methods_as_those_of_the_model(method):
    with pytest.raises(TypeError, match=rf"Model\.{method}\(\) got an unexpected keyword argument 'foo'"):
        getattr(network(1), method)(foo=1)


def test_the_message_on_a_missing_average_names_the_argument():
    with pytest.raises(RuntimeError, match="use_ema=True"):
        network(1).swap_ema()


def test_named_weights_are_said_not_to_come_with_the_package():
    with pytest.raises(FileNotFoundError, match="no weights come with the package.*imagenet"):
        swiftcnn.create_model("resnet20", weights="imagenet")


def test_a_rate_set_before_the_network_is_known_is_that_of_the_training():
    model = swiftcnn.Sequential([layers.Flatten(), layers.Dense(4)])
    model.compile(swiftcnn.optimizers.SGD(0.1), "mse")
    model.optimizer.learning_rate.assign(0.0)
    model.fit(np.ones((4, 2, 2, 1), np.float32), np.ones((4, 4)), verbose=0)
    assert model.learning_rate == 0 and model.optimizer.iterations == 1
    np.testing.assert_array_equal(model.get_weights()[1], 0)
