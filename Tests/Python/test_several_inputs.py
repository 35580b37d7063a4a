"""Models that read several arrays: what they are given and what they say, training, files, layers of models, ONNX."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftcnn
from swiftcnn import layers, models

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(9, 8, 8, 3)).astype(np.float32)
NUMBERS = RANDOM.normal(size=(9, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 3, 9)
BOTH = [IMAGES, NUMBERS]


def two_inputs() -> models.Model:
    image, numbers = layers.Input((8, 8, 3), name="image"), layers.Input((5,), name="numbers")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", name="conv")(image))
    x = layers.concatenate([x, layers.Dense(6, activation="tanh", name="hidden")(numbers)])
    return models.Model([image, numbers], layers.Dense(3, activation="softmax", name="fc")(x))


def compiled() -> models.Model:
    model = two_inputs()
    model.compile(swiftcnn.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def predict(model: models.Model, x: Any = BOTH) -> np.ndarray:
    result: np.ndarray = model.predict(x, verbose=0)
    return result


def by_hand(model: models.Model) -> np.ndarray:
    """The same in NumPy."""
    kernel, bias = (weight.numpy() for weight in model.get_layer("conv").weights)
    windows = np.lib.stride_tricks.sliding_window_view(IMAGES, (3, 3), (1, 2))
    conv = np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, kernel) + bias, 0).mean((1, 2))
    hidden, fc = model.get_layer("hidden"), model.get_layer("fc")
    z = np.concatenate([conv, np.tanh(NUMBERS @ hidden.kernel.numpy() + hidden.bias.numpy())], 1)
    z = z @ fc.kernel.numpy() + fc.bias.numpy()
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def test_arrays_are_given_in_order_or_by_name():
    model = two_inputs()
    wanted = predict(model)
    np.testing.assert_allclose(wanted, by_hand(model), rtol=1e-4, atol=1e-6)
    for x in ((IMAGES, NUMBERS), {"numbers": NUMBERS, "image": IMAGES}, [IMAGES.astype(float), NUMBERS.tolist()]):
        np.testing.assert_array_equal(predict(model, x), wanted)
    np.testing.assert_array_equal(model.predict_on_batch(BOTH), wanted)
    np.testing.assert_array_equal(model(BOTH), wanted)
    np.testing.assert_array_equal(model({"image": IMAGES, "numbers": NUMBERS}), wanted)
    np.testing.assert_allclose(model.predict(BOTH, batch_size=4, verbose=0), wanted, atol=1e-6)


def test_the_model_says_what_it_reads():
    model = two_inputs()
    assert model.input_names == ["image", "numbers"]
    assert [tensor.name for tensor in model.inputs] == ["image", "numbers"]
    assert model.input == model.inputs
    assert model.input_shape == [(None, 8, 8, 3), (None, 5)]
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert "image " in lines[0] and "numbers " in lines[0]
    assert {layer.name for layer in model.layers} >= {"image", "numbers", "conv", "hidden", "fc"}
    # Names may be given with the tensors, and an input need not be used.
    a, b = layers.Input((3,)), layers.Input((4,))
    other = models.Model({"left": a, "right": b}, layers.Dense(2)(a))
    assert other.input_names == ["left", "right"]
    assert predict(other, {"left": np.ones((2, 3)), "right": np.ones((2, 4))}).shape == (2, 2)


def test_pixels_of_images_are_normalized_and_rows_are_floats():
    backbone = swiftcnn.create_model("resnet20", input_shape=(8, 8, 3), classes=4)
    image, numbers = layers.Input((8, 8, 3), name="image"), layers.Input((5,), name="numbers")
    model = models.Model([image, numbers], layers.concatenate([backbone(image), numbers]))
    assert model.normalization == backbone.normalization
    pixels, counts = RANDOM.integers(0, 256, (2, 8, 8, 3), np.uint8), np.full((2, 5), 7, np.uint8)
    found = predict(model, [pixels, counts])
    np.testing.assert_allclose(found[:, :4], predict(backbone, pixels), rtol=1e-5)
    np.testing.assert_array_equal(found[:, 4:], np.full((2, 5), 7, np.float32))


def test_integers_are_pixels_where_an_image_takes_those():
    image, mask = layers.Input((8, 8, 3), name="image"), layers.Input((8, 8, 1), name="mask")
    both = layers.Conv2D(2, 3, name="conv")(layers.concatenate([image, mask]))
    model = models.Model([image, mask], layers.GlobalAveragePooling2D()(both))
    model.set_normalization(mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.3])
    pixels, floats = RANDOM.integers(0, 256, (2, 8, 8, 3)), np.ones((2, 8, 8, 1), np.float32)
    wanted = predict(model, [pixels.astype(np.uint8), floats])
    np.testing.assert_array_equal(predict(model, [pixels, floats]), wanted)
    np.testing.assert_array_equal(predict(model, {"image": pixels, "mask": floats.astype(bool)}), wanted)
    with pytest.raises(ValueError, match=r"^x\['image'\] holds integers from .* expected from 0 to 255"):
        predict(model, [pixels * 257, floats])
    for dtype in ("uint8", "int64"):
        with pytest.raises(ValueError, match="the input 'mask' has element type u?int.*; expected float32"):
            predict(model, [pixels, floats.astype(dtype)])
    with pytest.warns(UserWarning, match="x looks like pixels that are not normalised"):
        predict(model, [pixels.astype(np.float32), floats])


def test_a_run_is_resumed_in_the_same_bits(tmp_path: Path):
    options = {"batch_size": 4, "verbose": 0}
    whole, half = compiled(), compiled()
    half.set_weights(whole.get_weights())
    whole.fit(BOTH, LABELS, epochs=4, **options)
    half.fit(BOTH, LABELS, epochs=2, **options)
    half.save(tmp_path / "half.safetensors")
    for x in (BOTH, dict(zip(("image", "numbers"), BOTH, strict=True))):
        resumed = models.load_model(tmp_path / "half.safetensors")
        resumed.fit(x, LABELS, epochs=4, resume=True, **options)
        np.testing.assert_array_equal(predict(resumed), predict(whole))


def test_fit_takes_arrays_and_evaluates_alike():
    model, twin = compiled(), None
    before = model.evaluate(BOTH, LABELS, verbose=0)[0]
    twin = model.clone()
    first = model.fit(BOTH, LABELS, epochs=8, batch_size=4, verbose=0, validation_data=(BOTH, LABELS)).history
    second = twin.fit({"numbers": NUMBERS, "image": IMAGES}, LABELS, epochs=8, batch_size=4, verbose=0).history
    assert first["loss"] == second["loss"]
    np.testing.assert_array_equal(predict(model), predict(twin))
    after = model.evaluate((IMAGES, NUMBERS), LABELS, verbose=0)
    assert after[0] < before
    np.testing.assert_allclose(first["val_loss"][-1], after[0], rtol=1e-5)
    assert model.test_on_batch(BOTH, LABELS) == pytest.approx(after)
    assert model.train_on_batch(BOTH, LABELS) == pytest.approx(after)
    assert model.evaluate(BOTH, LABELS, verbose=0)[0] < after[0]
    model.fit(BOTH, LABELS, validation_split=0.3, verbose=0)
    assert model.profile(BOTH, LABELS, repeats=1, batch_size=4).images == 4
    assert model.profile(BOTH, repeats=1).steps


def batches(names: bool) -> Iterator[Any]:
    for part in (slice(0, 4), slice(4, 9)):
        x = {"numbers": NUMBERS[part], "image": IMAGES[part]} if names else (IMAGES[part], NUMBERS[part])
        yield x, LABELS[part]


def test_batches_of_several_arrays_are_fed():
    model = compiled()
    wanted = model.evaluate(BOTH, LABELS, verbose=0)
    for given in (batches(True), batches(False), list(batches(False)), list(batches(True))):
        assert model.evaluate(given, verbose=0) == pytest.approx(wanted)
    np.testing.assert_allclose(predict(model, ((x,) for x, _ in batches(False))), predict(model), atol=1e-6)
    np.testing.assert_allclose(predict(model, (x for x, _ in batches(True))), predict(model), atol=1e-6)
    history = model.fit(batches(True), verbose=0, validation_data=((IMAGES, NUMBERS), LABELS)).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert model.fit(list(batches(False)), verbose=0).history["loss"][0] < history["loss"][0]


COPIES: dict[str, Callable[[models.Model, Path], models.Model]] = {
    "clone": lambda model, path: model.clone(),
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "file": lambda model, path: (model.save(path), models.load_model(path))[1],
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_keep_the_inputs_and_their_layers(how: str, tmp_path: Path):
    model = compiled()
    model.fit(BOTH, LABELS, verbose=0)
    copied = COPIES[how](model, tmp_path / "m.safetensors")
    assert copied.input_names == ["image", "numbers"]
    assert [layer.name for layer in copied.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(predict(copied), predict(model))
    assert copied.train_on_batch(BOTH, LABELS) == model.train_on_batch(BOTH, LABELS)


def test_a_model_of_several_inputs_is_a_layer():
    inner = two_inputs()
    numbers, image = layers.Input((5,), name="n"), layers.Input((8, 8, 3), name="i")
    outer = models.Model([numbers, image], layers.Rescaling(2)(inner([image, numbers])))
    named = models.Model([numbers, image], layers.Rescaling(2)(inner({"numbers": numbers, "image": image})))
    for model in (outer, named, outer.clone()):
        np.testing.assert_allclose(predict(model, [NUMBERS, IMAGES]), 2 * predict(inner), rtol=1e-6)
    assert [each.name for each in outer.layers].count(inner.name) == 1
    # Part of it, from its inputs to a result in the middle.
    part = models.Model(inner.inputs, inner.get_layer("hidden").output)
    np.testing.assert_allclose(
        predict(part), np.tanh(NUMBERS @ inner.get_layer("hidden").kernel.numpy()), rtol=1e-4, atol=1e-5
    )


class Sum(models.Model):
    """Of two rows, given by name."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = layers.Dense(3), layers.Dense(3)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.left(x["a"]) + self.right(x["b"])


class Pair(models.Model):
    """Of an image and a row, in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x: Any) -> Any:
        image, row = x
        return layers.Flatten()(image), self.dense(row)


def test_classes_get_what_they_are_given(tmp_path: Path):
    rows = {"a": NUMBERS, "b": NUMBERS[:, :2]}
    model = Sum()
    found = model.predict(rows, verbose=0)
    np.testing.assert_allclose(
        found,
        NUMBERS @ model.left.kernel.numpy() + NUMBERS[:, :2] @ model.right.kernel.numpy(),
        rtol=1e-4,
        atol=1e-5,
    )
    assert model.input_names == ["a", "b"]
    pair = Pair()
    pair.build([(None, 8, 8, 3), (None, 5)])
    flat, dense = pair.predict(BOTH, verbose=0)
    np.testing.assert_array_equal(flat, IMAGES.reshape(9, -1))
    for kind, made, x in ((Sum, model, rows), (Pair, pair, BOTH)):
        made.save(tmp_path / "m.safetensors")
        loaded = models.load_model(tmp_path / "m.safetensors", {kind.__name__: kind})
        assert type(loaded) is kind
        for one, other in zip(loaded.predict(x, verbose=0), made.predict(x, verbose=0), strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="cannot be built for"):
        pair.build([(None, 8, 8, 3), (None, 6)])


def test_layers_compute_several_arrays():
    np.testing.assert_array_equal(layers.Add()([NUMBERS, NUMBERS]), 2 * NUMBERS)
    assert layers.Concatenate()([IMAGES, IMAGES[..., :1]]).shape == (9, 8, 8, 4)
    assert layers.Add().compute_output_shape([(None, 3), (None, 3)]) == (None, 3)


REFUSED: dict[str, tuple[Callable[[models.Model], object], type[Exception], str]] = {
    "one array": (lambda m: m.predict(IMAGES), TypeError, "list or a dictionary of arrays for 2 inputs, 'image'"),
    "a list of one": (lambda m: m.predict([IMAGES]), ValueError, "2 inputs, 'image', 'numbers', got 1"),
    "three": (lambda m: m.predict([IMAGES, NUMBERS, NUMBERS]), ValueError, "got 3"),
    "a name too few": (lambda m: m.predict({"image": IMAGES}), ValueError, "nothing for the input 'numbers'"),
    "another name": (lambda m: m.predict({"image": IMAGES, "rows": NUMBERS}), ValueError, "no input 'rows'"),
    "the other order": (lambda m: m.predict([NUMBERS, IMAGES]), ValueError, r"x\['image'\]: expected shape \(N, 8"),
    "other counts": (lambda m: m.predict([IMAGES, NUMBERS[:3]]), ValueError, "9 samples of 'image' and 3 of 'numbers'"),
    "fit on one array": (lambda m: m.fit(IMAGES, LABELS), TypeError, "2 inputs"),
    "other counts of labels": (lambda m: m.fit(BOTH, LABELS[:3]), ValueError, "targets for 9 images"),
    "pictures": (lambda m: m.classify(np.zeros((8, 8, 3), np.uint8)), RuntimeError, "one input; the model has 2"),
    "a call with one tensor": (lambda m: m(layers.Input((8, 8, 3))), ValueError, "takes 2 tensors, for 'image'"),
    "a call by other names": (lambda m: m({"image": layers.Input((8, 8, 3))}), ValueError, "has the inputs"),
    "too many arguments": (lambda m: m(BOTH, NUMBERS), TypeError, "takes its inputs in one list"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_named(what: str):
    call, kind, message = REFUSED[what]
    with pytest.raises(kind, match=message):
        call(compiled())


# --------------------------------------------------------------------------------------------------------------- ONNX


def test_exported_models_give_the_same_in_onnx_runtime(tmp_path: Path):
    runtime = pytest.importorskip("onnxruntime")
    model, path = two_inputs(), str(tmp_path / "m.onnx")
    for layout, images in (("nhwc", IMAGES), ("nchw", IMAGES.transpose(0, 3, 1, 2))):
        model.export(path, layout=layout)
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = session.run(None, {"image": np.ascontiguousarray(images), "numbers": NUMBERS})[0]
        np.testing.assert_allclose(found, predict(model), rtol=1e-5, atol=1e-6)
        again = models.load_model(path)
        assert again.input_names == ["image", "numbers"]
        np.testing.assert_allclose(predict(again), predict(model), rtol=1e-5, atol=1e-6)
    model.export(path, pixels=True)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pixels = RANDOM.integers(0, 256, IMAGES.shape, np.uint8)
    found = session.run(None, {"image": pixels, "numbers": NUMBERS})[0]
    np.testing.assert_allclose(found, predict(model, [pixels, NUMBERS]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(predict(models.load_model(path), [pixels, NUMBERS]), found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("element", ["float", "uint8"])
def test_files_with_a_picture_and_rows_are_read(element: str, tmp_path: Path):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    code = kinds.UINT8 if element == "uint8" else kinds.FLOAT
    weights = {"w": (4, 3, 3, 3), "fc": (9, 2)}
    constants = [
        onnx.numpy_helper.from_array(RANDOM.normal(size=shape).astype(np.float32) / 100, name)
        for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=kinds.FLOAT),
        helper.make_node("Conv", ["f", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["p"]),
        helper.make_node("Cast", ["rows"], ["r"], to=kinds.FLOAT),
        helper.make_node("Concat", ["p", "r"], ["z"], axis=1),
        helper.make_node("MatMul", ["z", "fc"], ["y"]),
    ]
    # Initializers that are listed as inputs are none.
    inputs = [("image", code, ["n", 3, 8, 8]), ("w", kinds.FLOAT, [4, 3, 3, 3]), ("rows", code, ["n", 5])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info("y", kinds.FLOAT, None)], constants,
    )  # fmt: skip
    path = str(tmp_path / "m.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    dtype = np.uint8 if element == "uint8" else np.float32
    images, rows = (RANDOM.integers(0, 256, shape).astype(dtype) for shape in ((6, 3, 8, 8), (6, 5)))
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"image": images, "rows": rows})[0]
    model = models.load_model(path)
    assert model.input_names == ["image", "rows"]
    assert model.input_shape == [(None, 8, 8, 3), (None, 5)]
    given = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(predict(model, [given, rows]), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(predict(model, {"rows": rows, "image": given}), wanted, rtol=1e-4, atol=1e-4)
