"""Models and all that belongs to them are pickled and copied: for joblib, for other processes, for later."""

import copy
import io
import json
import os
import pickle

import numpy as np
import pytest
import swiftcnn
from swiftcnn import (
    _swiftcnn,
    callbacks,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    schedules,
)
from swiftcnn.models import files

from conftest import make_model

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def pickled(value):
    return pickle.loads(pickle.dumps(value))


def joblibbed(value):
    import joblib

    file = io.BytesIO()
    joblib.dump(value, file, compress=3)
    file.seek(0)
    return joblib.load(file)


COPIES = [pickled, joblibbed, copy.deepcopy, copy.copy]


class Block(layers.Layer):
    def __init__(self, filters):
        super().__init__()
        self.convolution = layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.parts = {"normalization": layers.BatchNormalization(), "activation": [layers.ReLU()]}
        self.note = "mine"

    def call(self, x):
        return self.parts["activation"][0](self.parts["normalization"](self.convolution(x)))


class Net(models.Model):
    def __init__(self, filters=4):
        super().__init__()
        self.block = Block(filters)
        self.dropout = layers.Dropout(0.2)
        self.pool = layers.GlobalAveragePooling2D()
        self.classifier = layers.Dense(10, activation="softmax")

    def call(self, x):
        return self.classifier(self.dropout(self.pool(self.block(x))))


def sequential():
    return models.Sequential(
        [layers.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.Dropout(0.3), layers.Flatten(),
         layers.Dense(10, activation="softmax")]
    )  # fmt: skip


def functional():
    x = layers.Input((8, 8, 1))
    y = Block(4)(x)
    y = layers.add([y, layers.Conv2D(4, 1)(x)])
    return models.Model(x, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(y)))


def net():
    model = Net()
    model.build((None, 8, 8, 1))
    return model


KINDS = [make_model, sequential, functional, net]


def same_bits(first, second, data, epochs=2):
    """Both predict alike, train alike, and predict alike again."""
    x, y = data
    np.testing.assert_array_equal(first.predict_on_batch(x), second.predict_on_batch(x))
    histories = [each.fit(x, y, batch_size=16, epochs=epochs, verbose=0).history for each in (first, second)]
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(first.predict_on_batch(x), second.predict_on_batch(x))


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("make", KINDS)
def test_a_copy_predicts_and_trains_on_in_the_same_bits(make, copied, data):
    model = make()
    optimizer = optimizers.AdamW(schedules.CosineDecay(1e-3, 40), clipnorm=1.0, use_ema=True, ema_overwrite_frequency=5)
    model.compile(optimizer, losses.SparseCategoricalCrossentropy(label_smoothing=0.1),
                  metrics=["accuracy", metrics.SparseTopKCategoricalAccuracy(3)], seed=5)
    model.fit(*data, batch_size=16, epochs=2, verbose=0)
    before = model.predict_on_batch(data[0])
    other = copied(model)
    assert type(other) is type(model) and other.name == model.name
    assert [type(layer) for layer in other.layers] == [type(layer) for layer in model.layers]
    assert other.metrics_names == model.metrics_names and other.optimizer.iterations == model.optimizer.iterations == 6
    assert [type(metric) for metric in other._all_metrics] == [type(metric) for metric in model._all_metrics]
    assert other.optimizer is not model.optimizer and other.optimizer.get_config() == model.optimizer.get_config()
    assert other._handle.training_settings() == model._handle.training_settings()
    other.fit(*data, verbose=0)
    np.testing.assert_array_equal(model.predict_on_batch(data[0]), before)  # it is independent
    same_bits(copied(model), model, data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_carries_a_model(protocol, data):
    model = functional()
    model.compile(optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", memory="low")
    model.fit(*data, verbose=0)
    other = pickle.loads(pickle.dumps(model, protocol))
    assert json.loads(other._handle.training_settings())["memory"] == "low"
    same_bits(other, model, data)


def test_protocol_5_hands_the_file_over_without_a_copy(data):
    model = make_model()
    buffers = []
    contents = pickle.dumps(model, 5, buffer_callback=buffers.append)
    assert len(contents) < 5000 and len(buffers) == 1 and buffers[0].raw().nbytes > 1_000_000
    other = pickle.loads(contents, buffers=buffers)
    np.testing.assert_array_equal(other.predict_on_batch(data[0]), model.predict_on_batch(data[0]))


@pytest.mark.parametrize("copied", COPIES)
def test_what_is_frozen_regularized_normalized_and_said_stays_so(copied):
    model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 1), classes=10, mean=[0.25], std=[0.5])
    model.freeze("layer1*")
    model._handle.set_metadata("author", "somebody")
    model.compile("sgd", "sparse_categorical_crossentropy")
    other = copied(model)
    assert other.parameters == model.parameters and other.normalization == ((0.25,), (0.5,))
    assert other._handle.metadata("author") == "somebody"


@pytest.mark.parametrize("copied", COPIES)
def test_a_model_that_was_never_compiled_stays_so(copied, data):
    model = sequential()
    other = copied(model)
    assert not other.compiled and other.optimizer is None
    np.testing.assert_array_equal(other.predict_on_batch(data[0]), model.predict_on_batch(data[0]))
    with pytest.raises(RuntimeError, match="compile"):
        other.fit(*data, verbose=0)


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("make", [
    lambda: models.Sequential([layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(10, activation="softmax")]),
    Net,
    models.Sequential,
    lambda: models.Sequential([layers.Input((8, 8, 1))]),
])  # fmt: skip
def test_a_model_without_a_network_yet_is_copied_with_its_settings(make, copied, data):
    model = make()
    model.compile("adam", "crossentropy", metrics=["accuracy"], seed=9)
    other = copied(model)
    assert type(other) is type(model) and other.compiled and other._seed == 9
    assert len(other.layers) == len(model.layers)
    if model.layers:
        assert other.layers[0] is not model.layers[0]
        other.fit(*data, verbose=0)
        assert not model.built and model.optimizer.iterations == 0 and other.optimizer.iterations == 2


@pytest.mark.parametrize("copied", COPIES)
def test_settings_that_wait_for_targets_are_kept(copied, data):
    model = sequential()
    model.compile("adam", "crossentropy", metrics=["accuracy"])  # which cross-entropy, the targets will say
    same_bits(copied(model), model, data)
    predicts_only = make_model()
    predicts_only.compile("adam")
    other = copied(predicts_only)
    assert other.compiled and isinstance(other.optimizer, optimizers.Adam)
    with pytest.raises(ValueError, match="No loss to compute"):
        other.fit(*data, verbose=0)


def test_an_averaged_model_goes_on(data):
    model = sequential()
    model.compile(optimizers.RMSprop(centered=True, use_ema=True, ema_momentum=0.9), "sparse_categorical_crossentropy")
    for _ in range(3):
        model.train_on_batch(*data)
    model.swap_ema()
    other = pickled(model)
    np.testing.assert_array_equal(other.predict_on_batch(data[0]), model.predict_on_batch(data[0]))
    for each in (model, other):
        each.swap_ema()
    same_bits(other, model, data)


def test_a_rate_set_by_hand_and_an_interrupted_run_go_on(data):
    model = functional()
    model.compile(optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    model.learning_rate = 0.01
    stop = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", batch == 1))
    model.fit(*data, batch_size=8, epochs=3, verbose=0, callbacks=[stop])
    other = pickled(model)
    assert other.optimizer.learning_rate == 0.01
    results = [each.fit(*data, batch_size=8, epochs=3, verbose=0, resume=True).history for each in (model, other)]
    assert results[0] == results[1] and len(results[0]["loss"]) == 3
    np.testing.assert_array_equal(other.predict_on_batch(data[0]), model.predict_on_batch(data[0]))


def test_models_of_several_outputs_and_of_any_size_are_carried():
    x = layers.Input((None, None, 3))
    y = layers.Conv2D(4, 3, padding="same")(x)
    model = models.Model(x, {"map": y, "mean": layers.GlobalAveragePooling2D()(y)})
    images = np.random.default_rng(0).random((2, 9, 7, 3), np.float32)
    for copied in COPIES:
        results, expected = copied(model).predict(images, verbose=0), model.predict(images, verbose=0)
        assert list(results) == ["map", "mean"]
        for name in results:
            np.testing.assert_array_equal(results[name], expected[name])


# ------------------------------------------------------------------------------------------------------------ layers


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Conv2D(3, 3, kernel_regularizer="l2", activation="relu"),
        lambda: layers.DepthwiseConv2D(3),
        lambda: layers.BatchNormalization(),
        lambda: layers.PReLU(),
        lambda: layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 4.0]),
        lambda: Block(3),
        lambda: layers.MaxPooling2D(2),
    ],
    ids=lambda make: type(make()).__name__,
)
def test_layers_are_copied_with_their_weights(make, copied):
    layer = make()
    unbuilt = copied(layer)
    assert type(unbuilt) is type(layer) and not unbuilt.weights and unbuilt.get_config() == layer.get_config()
    x = np.random.default_rng(0).random((2, 6, 6, 2), np.float32)
    expected = layer(x)
    layer.trainable = False
    other = copied(layer)
    np.testing.assert_array_equal(other(x), expected)
    assert other.name == layer.name and other.trainable == layer.trainable
    assert [each.path for each in other.weights] == [each.path for each in layer.weights]
    for variable in other.weights:
        variable.assign(variable.numpy() + 1)
    np.testing.assert_array_equal(layer(x), expected)  # it is independent
    if isinstance(layer, Block):
        assert other.note == "mine" and not np.array_equal(other(x), expected)
        models.Model(tensor := layers.Input((6, 6, 2)), other(tensor)).predict(x, verbose=0)


def test_a_layer_of_a_network_does_not_carry_the_network():
    x = layers.Input((64,))
    wide = layers.Dense(1000)(x)
    narrow = layers.Dense(2)
    model = models.Model(x, narrow(layers.Dense(3)(wide)))
    assert len(pickle.dumps(narrow)) < 5000 < len(pickle.dumps(model))
    other = pickled(narrow)
    np.testing.assert_array_equal(other.get_weights()[0], narrow.get_weights()[0])
    with pytest.raises(AttributeError, match="has not been called"):
        other.output  # noqa: B018


@pytest.mark.parametrize("copied", COPIES)
def test_a_layer_of_a_model_by_name_comes_with_a_copy_of_the_model(copied):
    model = make_model()
    other = copied(model.get_layer("conv1"))
    assert type(other) is type(model.get_layer("conv1")) and other is not model.get_layer("conv1")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_layer("conv1").get_weights()[0])
    other.set_weights([each + 1 for each in other.get_weights()])
    assert not np.array_equal(other.get_weights()[0], model.get_layer("conv1").get_weights()[0])


def test_what_is_shared_stays_shared():
    model = make_model()
    for copied in (pickled, copy.deepcopy):
        first, second, layer = copied([model, model, model.layers[1]])
        assert first is second and layer is first.layers[1] and first is not model
    layer = layers.Dense(2)
    layer(np.ones((1, 3)))
    for copied in (pickled, copy.deepcopy):
        first, second = copied([layer, {"again": layer}])
        assert second["again"] is first is not layer


def test_tensors_of_a_network_are_not_pickled():
    model = sequential()
    for copied in (pickled, copy.deepcopy):
        with pytest.raises(TypeError, match=r"part of a network.*Model\(inputs, outputs\)"):
            copied(model.output)


# ------------------------------------------------------------------------------------------- what belongs to training


@pytest.mark.parametrize(
    "thing",
    [
        optimizers.SGD(0.5, momentum=0.75, nesterov=True, weight_decay=1e-3),
        optimizers.AdamW(schedules.OneCycle(0.5, 10)),
        schedules.ExponentialDecay(0.5, 10, 0.9, staircase=True),
        losses.Huber(0.5),
        losses.get("crossentropy"),
        metrics.TopKAccuracy(3),
        initializers.GlorotUniform(3),
        initializers.Constant(2.0),
        regularizers.L1L2(0.1, 0.2),
        callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True),
        callbacks.ModelCheckpoint("m.st", save_best_only=True),
        callbacks.ReduceLROnPlateau(factor=0.5),
        callbacks.LearningRateScheduler(abs),
        callbacks.CSVLogger("log.csv"),
        callbacks.TerminateOnNaN(),
        callbacks.SwapEMAWeights(),
        callbacks.CallbackList([callbacks.TerminateOnNaN()]),
        callbacks.History(),
        callbacks.LambdaCallback(on_epoch_end=print),
    ],
    ids=lambda thing: type(thing).__name__,
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_that_belongs_to_training_is_pickled(thing, protocol):
    other = pickle.loads(pickle.dumps(thing, protocol))
    assert type(other) is type(thing) and other is not thing
    if hasattr(thing, "get_config"):
        assert other.get_config() == thing.get_config()
    else:
        assert vars(other).keys() == vars(thing).keys()
        simple = {name: value for name, value in vars(thing).items() if isinstance(value, (int, float, str))}
        assert simple == {name: vars(other)[name] for name in simple}


def test_used_callbacks_are_pickled_without_the_model(data, tmp_path):
    model = sequential()
    model.compile("sgd", "sparse_categorical_crossentropy")
    given = [callbacks.EarlyStopping("loss", restore_best_weights=True), callbacks.CSVLogger(tmp_path / "log.csv"),
             callbacks.ModelCheckpoint(tmp_path / "m.st")]  # fmt: skip
    within = []
    given.append(callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: within.append(copy.deepcopy(given[:3]))))
    history = model.fit(*data, epochs=2, verbose=0, callbacks=given)
    assert pickled(history).history == history.history and pickled(history).curve("loss") == history.curve("loss")
    for each in (given[:3], *within):
        stopping, logger, checkpoint = pickled(each)
        assert not hasattr(stopping, "model") and logger.csv_file is None
        assert stopping.best_weights is not None and checkpoint.filepath == str(tmp_path / "m.st")
        model.fit(*data, verbose=0, callbacks=[stopping, logger, checkpoint])


# ----------------------------------------------------------------------------------------------- files and processes


def test_no_file_is_written_and_errors_are_clear(data, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    monkeypatch.chdir(tmp_path)
    model = make_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(*data, verbose=0)
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model.layers[1])]
    assert os.listdir(tmp_path) == [] and copies[0].fit(*data, verbose=0).history == copies[1].fit(*data, verbose=0).history
    file = files.to_bytes(model)[0]
    handle = model._handle
    assert handle.save_memory(True) == file and len(handle.save_memory(False)) < len(file)
    assert handle.save_memory(True) == _swiftcnn.load_model_memory(memoryview(bytearray(file))).save_memory(True)
    for wrong in (b"", file[:-5], b"\xff" * 100, file[:8] + b"[" + file[9:], b"\x89HDF\r\n\x1a\n" * 4):
        with pytest.raises(ValueError, match="'model in memory' is (not a safetensors file: its header|empty|an HDF5|not)"):
            files.from_bytes(wrong)


def test_a_spawned_process_predicts_and_trains_in_the_same_bits(data, tmp_path, run_python):
    module = tmp_path / "own.py"
    module.write_text(
        """
import swiftcnn
from swiftcnn import layers
class Net(swiftcnn.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.classifier = layers.Flatten(), layers.Dense(3, activation="softmax")
    def call(self, x):
        return self.classifier(self.flatten(x))
def work(model, x, y):
    return type(model).__name__, model.fit(x, y, verbose=0).history, model.predict_on_batch(x), model
"""
    )
    output = run_python(
        f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import multiprocessing, numpy as np, own
x, y = np.random.default_rng(0).random((12, 4, 4, 1), np.float32), np.arange(12) % 3
model = own.Net()
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, verbose=0)
with multiprocessing.get_context("spawn").Pool(1) as pool:
    kind, history, predictions, other = pool.apply(own.work, (model, x, y))
mine = own.work(model, x, y)
print(kind, type(other) is own.Net, mine[1] == history, np.array_equal(mine[2], predictions),
      np.array_equal(other.predict_on_batch(x), predictions), other.optimizer.iterations)
"""
    )
    assert output == "Net True True True True 2\n"


def test_classes_that_only_cloudpickle_can_tell_are_carried(tmp_path, run_python):
    pytest.importorskip("cloudpickle")
    made = run_python(
        f"""
import cloudpickle, pickle, numpy as np, swiftcnn
from swiftcnn import layers
def make():
    class Doubled(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)
        def call(self, x):
            return self.dense(x) * 2
    return Doubled
class Tripled(make()):
    def call(self, x):
        return self.dense(x) * 3
x = layers.Input((2,))
model = swiftcnn.Model(x, layers.add([make()()(x), Tripled()(x)]))
open({str(tmp_path / "m.pickle")!r}, "wb").write(cloudpickle.dumps(model))
print(model.predict_on_batch(np.ones((1, 2))).tolist())
"""
    )
    there = run_python(
        f"""
import pickle, numpy as np, warnings
warnings.simplefilter("error")
model = pickle.load(open({str(tmp_path / "m.pickle")!r}, "rb"))
print(model.predict_on_batch(np.ones((1, 2))).tolist())
assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Doubled", "Tripled", "Add"], model.layers
"""
    )
    assert made == there


def test_without_cloudpickle_the_network_is_there_all_the_same(tmp_path, run_python):
    pytest.importorskip("cloudpickle")
    made, there = (
        run_python(program)
        for program in (
            f"""
import cloudpickle, numpy as np, swiftcnn
from swiftcnn import layers
def make():
    class Local(layers.Layer):
        def call(self, x):
            return x * 2
    return Local
x = layers.Input((2,))
model = swiftcnn.Model(x, layers.Dense(1)(make()()(x)))
import pickle
open({str(tmp_path / "m.pickle")!r}, "wb").write(pickle.dumps(model))
print(model.predict_on_batch(np.ones((1, 2))).tolist())
""",
            f"""
import sys, pickle, warnings, numpy as np
sys.modules["cloudpickle"] = None
with warnings.catch_warnings(record=True) as seen:
    model = pickle.load(open({str(tmp_path / "m.pickle")!r}, "rb"))
assert "'Local' is not in custom_objects" in str(seen[-1].message)
print(model.predict_on_batch(np.ones((1, 2))).tolist())
""",
        )
    )
    assert made == there
