"""ONNX files of quantised networks: read as networks of bytes, and written for runtimes of integers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftcnn
from swiftcnn import layers
from test_onnx_quantized import notes, pair, reader
from test_onnx_reading import Net, expected, onnx, pixels, runtime

# What a step that goes from bytes to floats or back is called.
BORDERS = ("quantize", "dequantize", "fake_quantize")


def borders(model: swiftcnn.Model, x: np.ndarray) -> dict[str, int]:
    """How often a prediction goes from bytes to floats, and back."""
    counts = Counter(step.algorithm for step in model.profile(x).steps)
    return {name: counts[name] for name in BORDERS if counts[name]}


def weight(net: Net, shape: tuple[int, ...], kind: Any, *, per_channel: bool, axis: int = 0) -> str:
    """A weight that is bytes in the file, as floats."""
    zero = 128 if kind == np.uint8 else 0
    levels = (net.random.integers(-128, 128, shape) + zero).astype(kind)
    count = shape[axis] if per_channel else 1
    scale = net.random.uniform(0.5, 1, count) / 64 / np.sqrt(np.prod(shape) / shape[axis])
    form: tuple[int, ...] = (count,) if per_channel else ()
    return net("DequantizeLinear", net.constant(levels), net.constant(scale.astype(np.float32).reshape(form)),
               net.constant(np.full(form, zero, kind)), axis=axis)  # fmt: skip


def residual(net: Net, activations: Any, weights: Any, *, per_channel: bool) -> Any:
    zero = activations(128 if activations == np.uint8 else 0)
    lowest = np.iinfo(activations).min

    def conv(x: str, inputs: int, outputs: int, size: int, **attributes: Any) -> str:
        bias = net("DequantizeLinear", net.constant(net.random.integers(-99, 99, outputs).astype(np.int32)),
                   net.constant(np.float32(0.001)), net.constant(np.int32(0)))  # fmt: skip
        shape = (outputs, inputs, size, size)
        return net("Conv", x, weight(net, shape, weights, per_channel=per_channel), bias, **attributes)

    x = pair(net, "x", 0.03, zero)
    x = pair(net, conv(x, 3, 8, 3, pads=[1] * 4), 0.01, activations(lowest))  # a ReLU that is the rounding's own
    y = pair(net, conv(x, 8, 8, 1), 0.02, zero)
    y = pair(net, conv(y, 1, 8, 3, pads=[1] * 4, group=8), 0.02, zero)
    y = pair(net, net("Relu", net("Add", y, x)), 0.02, activations(lowest))
    y = net("GlobalAveragePool", net("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    y = pair(net, net("Flatten", y), 0.01, activations(lowest))
    y = net("Gemm", y, weight(net, (5, 8), weights, per_channel=per_channel), net.floats(5), transB=1)
    return net.model(["n", 3, 10, 9], y)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weights", [np.int8, np.uint8])
@pytest.mark.parametrize("activations", [np.int8, np.uint8])
def test_what_lies_between_pairs_is_computed_in_integers(activations, weights, per_channel):
    net = Net()
    model, x = residual(net, activations, weights, per_channel=per_channel), pixels(4, 3, 10, 9)
    read = swiftcnn.onnx.load(model)
    given = x.transpose(0, 2, 3, 1)
    got, wanted = read.predict(given, verbose=0), expected(model, x)
    assert np.abs(got - wanted).max() <= 0.02 * np.abs(wanted).max() and (got.argmax(1) == wanted.argmax(1)).all()
    assert borders(read, given[:1]) == {"quantize": 1}
    assert "4 weights are of 8 bits, as in the file" in notes(read)


def test_bytes_of_a_file_stay_bytes(tmp_path):
    model = residual(Net(), np.uint8, np.int8, per_channel=True)
    read = swiftcnn.onnx.load(model)
    read.save(tmp_path / "model.safetensors")
    header = (tmp_path / "model.safetensors").read_bytes()
    assert header.count(b'"I8"') == 4
    again = swiftcnn.load_model(tmp_path / "model.safetensors")
    x = pixels(2, 10, 9, 3)
    np.testing.assert_array_equal(again.predict(x, verbose=0), read.predict(x, verbose=0))


@pytest.mark.parametrize("place", ["activation", "weight"])
def test_weights_that_no_signed_byte_holds_stay_exact(place):
    net = Net()
    levels = net.random.integers(0, 256, (4, 3, 1, 1)).astype(np.uint8)
    levels[0, 0] = 255
    zero = 128 if place == "activation" else 100
    w = net("DequantizeLinear", net.constant(levels), net.constant(np.float32(0.01)), net.constant(np.uint8(zero)))
    model = net.model(["n", 3, 4, 4], pair(net, net("Conv", pair(net, "x", 0.03, np.uint8(128)), w), 0.05, np.int8(3)))
    x = pixels(2, 3, 4, 4)
    read = swiftcnn.onnx.load(model)
    got = read.predict(x.transpose(0, 2, 3, 1), verbose=0).transpose(0, 3, 1, 2)
    assert np.abs(got - expected(model, x)).max() <= 0.0501
    assert ("of 8 bits, as in the file" in notes(read)) == (place == "activation")


def test_one_tensor_with_several_pairs_is_rounded_once():
    net = Net()
    x = pair(net, "x", 0.03, np.uint8(128))
    y = net("Conv", x, weight(net, (8, 3, 3, 3), np.int8, per_channel=True))
    a, b = (pair(net, y, 0.02, np.int8(0)) for _ in range(2))
    parts = [pair(net, net("Conv", part, weight(net, (4, 8, 1, 1), np.int8, per_channel=True)), 0.02, np.int8(5))
             for part in (a, b)]  # fmt: skip
    model = net.model(["n", 3, 8, 8], net("Add", *parts))
    given = pixels(1, 8, 8, 3)
    read = swiftcnn.onnx.load(model)
    assert borders(read, given) == {"quantize": 1, "dequantize": 2}
    assert np.abs(read.predict(given, verbose=0).transpose(0, 3, 1, 2) -
                  expected(model, given.transpose(0, 3, 1, 2))).max() <= 0.0401  # fmt: skip


U8, S8 = "QUInt8", "QInt8"


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kinds", [(U8, S8), (S8, S8)])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_files_of_onnx_runtimes_quantiser_are_integers(tmp_path, form, kinds, per_channel):
    from onnxruntime import quantization as q  # which takes time to import

    net = Net()
    y = net("Relu", net.conv("x", 3, 8, pads=[1] * 4, strides=[2, 2]))
    y = net("Relu", net("Add", y, net.conv(y, 8, 8, pads=[1] * 4)))
    y = net("GlobalAveragePool", net("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    y = net("Gemm", net("Flatten", y), net.floats(8, 4), net.floats(4))
    onnx.save(net.model(["n", 3, 16, 16], y), tmp_path / "f.onnx")
    x = pixels(8, 3, 16, 16)

    path = tmp_path / "q.onnx"
    q.quantize_static(tmp_path / "f.onnx", path, reader(x), quant_format=q.QuantFormat[form], per_channel=per_channel,
                      activation_type=q.QuantType[kinds[0]], weight_type=q.QuantType[kinds[1]])  # fmt: skip
    read, given = swiftcnn.load_model(path), x.transpose(0, 2, 3, 1)
    got, wanted = read.predict(given, verbose=0), expected(onnx.load(path), x)
    assert np.abs(got - wanted).max() <= 0.03 * np.abs(wanted).max()
    assert borders(read, given[:1]) == {"quantize": 1, "dequantize": 1}  # the result is rounded in these files


NAN, INFINITY = np.float32(np.nan), np.float32(np.inf)


@pytest.mark.parametrize("on", ["tensor", "weight"])
@pytest.mark.parametrize(
    ("scale", "zero", "axis", "message"),
    [
        (np.float32(0), np.uint8(3), None, "the scale is 0"),
        (np.float32(-0.1), np.uint8(3), None, "the scale is -0.1; expected numbers above 0"),
        (NAN, np.uint8(3), None, "the scale is nan"),
        (INFINITY, np.uint8(3), None, "the scale is inf"),
        (np.float32([0.1, 0, 0.1]), np.zeros(3, np.uint8), 1, "the scale is 0"),
        (np.float32(0.1), np.float32(0.5), None, "the zero point is float32"),
        (np.float32(0.1), np.int64(3), None, "int64"),
        (np.float32([0.1, 0.2]), np.zeros(2, np.uint8), 1, "2 numbers|has shape \\[2\\]"),
        (np.float32([0.1, 0.2, 0.3]), np.zeros(2, np.uint8), 1, "3 scales and 2 zero points; expected as many"),
        (np.float32([0.1, 0.2, 0.3]), np.zeros(3, np.uint8), 4, "axis is 4; the tensor has 4 axes"),
        (np.float32([0.1, 0.2, 0.3]), np.zeros(3, np.uint8), -5, "axis is -5; the tensor has 4 axes"),
        (np.ones((1, 3, 1, 1), np.float32), np.zeros(3, np.uint8), 1, "scale"),
    ],
)
def test_levels_that_cannot_be_are_refused_with_their_node(on, scale, zero, axis, message):
    net = Net()
    attributes = {} if axis is None else {"axis": axis}
    if on == "tensor":
        y = pair(net, "x", scale, zero, **attributes)
    else:
        constants = [net.constant(np.ones((4, 3, 1, 1), np.uint8)), net.constant(scale), net.constant(zero)]
        y = net("Conv", "x", net("DequantizeLinear", *constants, **attributes))
    model = net.model(["n", 3, 8, 8], y)
    with pytest.raises(ValueError, match=f"(QuantizeLinear|DequantizeLinear).*({message})"):
        swiftcnn.onnx.load(model)


def test_a_zero_point_is_of_the_type_of_its_levels():
    net = Net()
    w = net("DequantizeLinear", net.constant(np.ones((4, 3, 1, 1), np.int8)), net.constant(np.float32(0.1)),
            net.constant(np.uint8(200)))  # fmt: skip
    with pytest.raises(ValueError, match="DequantizeLinear.*the zero point is uint8; expected int8, as its levels are"):
        swiftcnn.onnx.load(net.model(["n", 3, 8, 8], net("Conv", "x", w)))


# --------------------------------------------------------------------------------------------------------- what is written


def optimized(path: Path, x: np.ndarray) -> tuple[np.ndarray, Counter[str]]:
    """What ONNX Runtime gives with integers, and how many nodes of each kind it runs."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result, Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def inverted_residuals(activation: str, *, squeezes: bool) -> swiftcnn.Model:
    """The blocks of EfficientNet, with their squeeze and excitation or as the lite ones are."""

    def activated(y: Any) -> Any:
        return layers.ReLU(6)(y) if activation == "relu6" else layers.Activation(activation)(y)

    x = layers.Input((32, 32, 3))
    y = activated(layers.Conv2D(16, 3, strides=2, padding="same")(x))
    for _ in range(2):
        z = activated(layers.Conv2D(48, 1)(y))
        z = activated(layers.DepthwiseConv2D(3, padding="same")(z))
        if squeezes:
            s = layers.GlobalAveragePooling2D(keepdims=True)(z)
            s = layers.Conv2D(48, 1, activation="sigmoid")(activated(layers.Conv2D(8, 1)(s)))
            z = layers.Multiply()([z, s])
        y = layers.Add()([y, layers.Conv2D(16, 1)(z)])
    y = layers.GlobalAveragePooling2D()(activated(layers.Conv2D(64, 1)(y)))
    return swiftcnn.Model(x, layers.Dense(10)(y))


NETWORKS: dict[str, Any] = {
    "resnet20": lambda: swiftcnn.create_model("resnet20", input_shape=(32, 32, 3), classes=10),
    "squeeze and excitation": lambda: inverted_residuals("silu", squeezes=True),
    "lite": lambda: inverted_residuals("relu6", squeezes=False),
    "hard swish": lambda: inverted_residuals("hard_swish", squeezes=True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_other_runtimes_compute_our_integers(tmp_path, name):
    swiftcnn.utils.set_random_seed(5)
    model = NETWORKS[name]()
    x = np.random.default_rng(0).normal(size=(16, 4, 4, 3)).repeat(8, 1).repeat(8, 2).astype(np.float32)
    quantised = swiftcnn.quantize(model, x)
    path = tmp_path / "q.onnx"
    quantised.export(path)
    file = onnx.load(path)
    onnx.checker.check_model(file)
    kinds = Counter(tensor.data_type for tensor in file.graph.initializer if len(tensor.dims) > 1)
    # What is written as whole numbers is not there as floats as well.
    read = {name for node in file.graph.node for name in node.input}
    assert {tensor.name for tensor in file.graph.initializer} <= read
    assert set(kinds) == {onnx.TensorProto.INT8}
    wanted = quantised.predict(x, verbose=0)
    got, nodes = optimized(path, x)
    limit = 0.08 * np.abs(wanted).max()
    ordered = np.sort(wanted, 1)
    clear = ordered[:, -1] - ordered[:, -2] > limit
    assert np.abs(got - wanted).max() < limit
    assert clear.sum() >= 4 and (got.argmax(1) == wanted.argmax(1))[clear].all()
    assert nodes["Conv"] + nodes["FusedConv"] + nodes["Gemm"] + nodes["MatMul"] == 0
    assert nodes["QLinearConv"] == sum(node.op_type == "Conv" for node in file.graph.node) and nodes["QGemm"] == 1
