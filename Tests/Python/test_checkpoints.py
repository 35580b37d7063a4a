"""A run that is resumed takes the batches that the whole run would have taken, in their order."""

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
    with np.errstate(all="ignore"), pytest.warns(UserWarning) if steps == 4 else _quiet():
        whole.fit(**arguments)
        interrupted = network(seed=5)
        with pytest.raises(KeyboardInterrupt):
            interrupted.fit(**arguments, callbacks=[callbacks.ModelCheckpoint(path), StopBeforeEpoch(stopped)])
        resumed = swiftcnn.load_model(path)
        resumed.fit(**arguments, resume=True)
    for expected, weight in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


class _quiet:
    def __enter__(self):
        return self

    def __exit__(self, *given):
        return None


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
    ],
)
def test_arguments_of_the_wrong_kind_are_value_errors_as_in_keras_and_type_errors_as_in_python(misuse):
    with pytest.raises(ValueError):
        misuse()
    with pytest.raises(TypeError):
        misuse()


def test_saving_where_there_is_no_folder_raises_the_systems_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        network(1).save(tmp_path / "missing" / "m.safetensors")
