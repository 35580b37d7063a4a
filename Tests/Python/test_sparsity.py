"""Sparse weights: swiftcnn.sparsify, callbacks.Sparsify, Model.sparsity_report."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import swiftcnn
from swiftcnn import callbacks

LEFT_ALONE = {"conv1": "first layer", "fc": "last layer"}


def make_model() -> swiftcnn.Model:
    return swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=10)


@pytest.fixture(scope="module")
def model() -> swiftcnn.Model:
    return make_model()


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(24, 16, 16, 3)).astype(np.float32), random.integers(0, 10, 24, np.int32)


def shares(model: swiftcnn.Model) -> dict[str, float]:
    return {row.layer: row.sparsity for row in model.sparsity_report().layers}


@pytest.mark.parametrize("pattern", ["unstructured", "16x1"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_share_is_what_was_asked_for(model, pattern, scope):
    before = [array.copy() for array in model.get_weights()]
    sparse = swiftcnn.sparsify(model, 0.75, pattern, scope=scope)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    rows = [row for row in sparse.sparsity_report().layers if row.left_alone is None]
    assert sum(row.zeros for row in rows) / sum(row.weights for row in rows) == pytest.approx(0.75, abs=2e-3)
    assert all(row.masked == row.zeros for row in rows)
    if scope == "layer":
        assert all(row.sparsity == pytest.approx(0.75, abs=2e-2) for row in rows)
    left = {row.layer: row.left_alone for row in sparse.sparsity_report().layers if row.left_alone}
    assert left == LEFT_ALONE and all(shares(sparse)[name] == 0 for name in left)


def test_predictions_are_those_of_the_weights_with_zeros(model, data):
    for pattern in ("unstructured", "16x1"):
        sparse = swiftcnn.sparsify(model, 0.9, pattern)
        plain = make_model()
        plain.set_weights(sparse.get_weights())
        np.testing.assert_allclose(sparse.predict(data[0]), plain.predict(data[0]), rtol=2e-5, atol=1e-6)


def test_two_of_four(model):
    weight = swiftcnn.sparsify(model, pattern="2:4").get_parameter("layer2.1.conv1.weight")
    assert ((weight.reshape(32, 8, 4, 3, 3) != 0).sum(2) == 2).all()


def test_masks_go_with_the_model(tmp_path, model, data):
    sparse = swiftcnn.sparsify(model, 0.8, skip=["layer3.*"])
    sparse.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    expected = sparse.sparsity_report()
    assert shares(sparse)["layer3.0.conv1"] == 0
    sparse.save(tmp_path / "sparse.safetensors")
    others = [
        sparse.clone(), copy.deepcopy(sparse), pickle.loads(pickle.dumps(sparse)),
        swiftcnn.load_model(tmp_path / "sparse.safetensors"),
    ]
    for other in others:
        assert other.sparsity_report() == expected
        other.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        other.fit(*data, batch_size=8, epochs=1, verbose=0)
        assert shares(other) == shares(sparse)
        other.set_weights([np.ones_like(each) for each in other.get_weights()])
        assert shares(other) == shares(sparse)
    quantized = swiftcnn.quantize(sparse, data[0])
    assert all(row.masked is not None for row in quantized.sparsity_report().layers if shares(sparse)[row.layer] > 0)
    sparse.save_weights(tmp_path / "weights.safetensors")
    plain = make_model()
    plain.load_weights(tmp_path / "weights.safetensors")
    assert {row.masked for row in plain.sparsity_report().layers} == {None}
    again = swiftcnn.sparsify(plain, pattern="zeros")
    assert shares(again) == shares(sparse)


def test_exported_files_have_the_zeros(tmp_path, model, data):
    sparse = swiftcnn.sparsify(model, 0.8, "16x1")
    sparse.export(tmp_path / "sparse.onnx")
    read = swiftcnn.load_model(tmp_path / "sparse.onnx")
    zeros = [row.zeros for row in sparse.sparsity_report().layers]
    assert [row.zeros for row in read.sparsity_report().layers] == pytest.approx(zeros, abs=2)
    np.testing.assert_allclose(read.predict(data[0]), sparse.predict(data[0]), rtol=1e-4, atol=1e-5)


def test_masks_hold_in_every_precision(model, data):
    sparse = swiftcnn.sparsify(model, 0.8, "16x1")
    expected, before = sparse.predict(data[0]), shares(sparse)
    sparse.set_precision("bfloat16")
    np.testing.assert_allclose(sparse.predict(data[0]), expected, atol=0.02)
    sparse.set_precision("mixed_bfloat16")
    sparse.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    sparse.fit(*data, batch_size=8, epochs=1, verbose=0)
    assert shares(sparse) == before


def test_models_that_share_weights_have_one_mask(model, data):
    entry = swiftcnn.Input((8, 8, 32))
    first, second = swiftcnn.layers.Conv2D(64, 1, name="first"), swiftcnn.layers.Conv2D(48, 1, name="second")
    middle = first(entry)
    whole, part = swiftcnn.Model(entry, second(middle)), swiftcnn.Model(entry, middle)
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 32)).astype(np.float32)
    part.predict(x)
    for share in (0.9, 0.95, 0.0):
        whole._handle.set_sparsity(json.dumps({"sparsity": share, "pattern": "16x1", "include": ["first", "second"]}))
        kernel = np.random.default_rng(2).normal(size=first.get_weights()[0].shape).astype(np.float32)
        first.set_weights([kernel, first.get_weights()[1]])
        kept = first.get_weights()[0]
        assert (kept == 0).mean() == pytest.approx(share, abs=0.05)
        np.testing.assert_allclose(part.predict(x), x @ kept[0, 0] + first.get_weights()[1], rtol=1e-4, atol=1e-4)


def test_sparsity_grows_by_the_cubic_schedule(data):
    model = make_model()
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    seen: list[float] = []
    grow = callbacks.Sparsify(0.8, "16x1", begin_step=1, end_step=5, frequency=2, scope="layer", skip=iter(["layer3.*"]))
    look = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(shares(model)["layer1.0.conv1"]))
    history = model.fit(*data, batch_size=8, epochs=3, verbose=0, callbacks=[grow, look])
    curve = [0.8 * (1 - (1 - step / 4) ** 3) for step in range(5)]
    expected = [0, curve[0], curve[0], curve[2], curve[2], curve[4], curve[4], curve[4], curve[4]]
    np.testing.assert_allclose(seen, expected, atol=5e-3)
    assert history.history["sparsity"] == pytest.approx([curve[0], curve[4], curve[4]])
    assert grow.share(3) == pytest.approx(curve[2]) and grow.step == 9
    assert shares(model)["layer3.0.conv1"] == 0


def test_a_resumed_run_ends_in_the_same_bits(tmp_path, data):
    def run(epochs: int, path: str, resume: bool = False) -> swiftcnn.Model:
        model = swiftcnn.load_model(path) if resume else make_model()
        if not resume:
            model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        grow = callbacks.Sparsify(0.7, end_step=10, frequency=1)
        model.fit(*data, batch_size=8, epochs=epochs, verbose=0, callbacks=[grow], **({"resume": True} if resume else {}))
        model.save(path, include_optimizer=True)
        return model

    whole = run(4, str(tmp_path / "whole.safetensors"))
    run(2, str(tmp_path / "part.safetensors"))
    resumed = run(4, str(tmp_path / "part.safetensors"), resume=True)
    assert resumed.sparsity_report() == whole.sparsity_report()
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_last_share_holds_for_the_last_quarter(data):
    model = make_model()
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    grow = callbacks.Sparsify(0.6, scope="layer", frequency=1000)
    model.fit(*data, batch_size=8, epochs=4, verbose=0, callbacks=[grow])
    assert shares(model)["layer2.0.conv2"] == pytest.approx(0.6, abs=1e-3)
    # Another fit goes on from there, and takes no mask away.
    seen: list[float] = []
    look = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(shares(model)["layer2.0.conv2"]))
    for again in (grow, callbacks.Sparsify(0.8, scope="layer", end_step=8, frequency=1)):
        model.fit(*data, batch_size=8, epochs=4, verbose=0, callbacks=[again, look])
    assert seen == sorted(seen) and seen[0] == pytest.approx(0.6, abs=1e-3) and seen[-1] == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": 1.5}, "sparsity is 1.5"), ({"sparsity": -0.1}, "sparsity is -0.1"),
        ({"sparsity": float("nan")}, "sparsity must be finite"), ({"pattern": "unstructurd"}, "did you mean 'unstructured'"),
        ({"pattern": "5:4"}, "pattern is '5:4'"), ({"pattern": "2:4", "sparsity": 0.5}, "with the pattern '2:4'"),
        ({"scope": "globl"}, "did you mean 'global'"), ({"skip": ["conv2"]}, "did you mean 'conv1'"),
        ({"include": ["nowhere_at_all"]}, "unknown layer"), ({"skip": ["layer*"]}, "no layer that can be made sparse"),
    ],
)
def test_mistakes_are_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        swiftcnn.sparsify(model, **arguments)


def test_wrong_kinds_are_named(model, data):
    with pytest.raises(TypeError, match="model must be a Model"):
        swiftcnn.sparsify(model.get_weights(), 0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="skip must be a list of names"):
        swiftcnn.sparsify(model, 0.5, skip="fc")
    with pytest.raises(TypeError, match=r"include\[0\]"):
        swiftcnn.sparsify(model, 0.5, include=[3])  # type: ignore[list-item]
    with pytest.raises(RuntimeError, match="quantised"):
        swiftcnn.sparsify(swiftcnn.quantize(model, data[0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": 1.1}, "sparsity must be from 0 to 1"), ({"initial_sparsity": 0.95}, "at most sparsity"),
        ({"pattern": "2:4"}, "which can grow"), ({"frequency": 0}, "frequency must be at least 1"),
        ({"begin_step": 5, "end_step": 5}, "end_step must be above begin_step"),
    ],
)
def test_schedules_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        callbacks.Sparsify(**arguments)


def test_an_unknown_length_needs_an_end(data):
    model = make_model()
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="end_step"):
        model.fit(((x[None], y[None]) for x, y in zip(*data, strict=True)), epochs=1, verbose=0, callbacks=[callbacks.Sparsify()])


def test_the_report_is_told_in_json(model):
    report = swiftcnn.sparsify(model, 0.5).sparsity_report()
    assert json.loads(report.to_json()) == report.to_dict()
    assert report.zeros == sum(row.zeros for row in report.layers) and "conv1 (first layer)" in str(report)


ONNX_MASKS = ["float", "bool", "uint8", "int64", "sigmoid", "where"]


@pytest.mark.parametrize("kind", ONNX_MASKS)
def test_masks_in_onnx_files_are_part_of_the_weights(tmp_path, kind):
    onnx = pytest.importorskip("onnx")
    make, array = onnx.helper.make_node, onnx.numpy_helper.from_array
    random = np.random.default_rng(3)
    weight, mask = random.normal(size=(24, 16, 3, 3)).astype(np.float32), random.random((24, 16, 3, 3)) > 0.8
    tensors, product = {"w": weight, "m": mask}, make("Mul", ["w", "f"], ["k"])
    cast = make("Cast", ["m"], ["f"], to=onnx.TensorProto.FLOAT)
    if kind == "float":
        tensors["f"] = tensors.pop("m").astype(np.float32)
        nodes = [product]
    elif kind == "where":
        tensors["zero"] = np.float32(0)
        nodes = [make("Where", ["m", "w", "zero"], ["k"])]
    elif kind == "sigmoid":
        tensors |= {"m": np.where(mask, 2, -2).astype(np.float32), "half": np.float32(0.5)}
        nodes = [make("Sigmoid", ["m"], ["s"]), make("Greater", ["s", "half"], ["b"])]
        nodes += [make("Cast", ["b"], ["f"], to=onnx.TensorProto.FLOAT), product]
    else:
        tensors["m"] = mask.astype(kind)
        nodes = [cast, product]
    nodes = [*nodes, make("Conv", ["x", "k"], ["h"]), make("Relu", ["h"], ["r"]), make("Conv", ["r", "last"], ["y"])]
    tensors["last"] = random.normal(size=(4, 24, 1, 1)).astype(np.float32)
    sides = [onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", [1, 16, 8, 8]), ("y", [1, 4, 6, 6]))]
    graph = onnx.helper.make_graph(nodes, "g", sides[:1], sides[1:], [array(np.asarray(v), n) for n, v in tensors.items()])
    file = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(file, tmp_path / "masked.onnx")
    model = swiftcnn.load_model(tmp_path / "masked.onnx")
    first = model.sparsity_report().layers[0]
    assert first.zeros == (~mask).sum() and first.masked is None
    np.testing.assert_array_equal(model.get_parameter(model.parameters[0].name), weight * mask)
    sparse = swiftcnn.sparsify(model, pattern="zeros", include=[first.layer, model.sparsity_report().layers[1].layer])
    assert sparse.sparsity_report().layers[0].masked == first.zeros
    assert sparse.sparsity_report().layers[1].masked is None
    x = random.normal(size=(1, 8, 8, 16)).astype(np.float32)
    np.testing.assert_allclose(sparse.predict(x), model.predict(x), rtol=1e-5, atol=1e-5)
