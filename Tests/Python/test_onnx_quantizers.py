"""What NNCF and PyTorch's PT2E path write into ONNX files, built here as they write it: computed in integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import swiftcnn
from test_onnx_integers import borders, weight
from test_onnx_quantized import notes, pair
from test_onnx_reading import Net, expected, onnx, pixels

SIGNED, UNSIGNED = np.int8(0), np.uint8(0)


def silu(net: Net, y: str) -> str:
    return net("Mul", y, net("Sigmoid", y))


def relu6(net: Net, y: str) -> str:
    return net("Clip", y, net.constant(np.float32(0)), net.constant(np.float32(6)))


ACTIVATIONS: dict[str, tuple[Callable[[Net, str], str], Any]] = {
    "relu": (lambda net, y: net("Relu", y), UNSIGNED),
    "relu6": (relu6, UNSIGNED),
    "silu": (silu, SIGNED),
    "hard_swish": (lambda net, y: net("HardSwish", y), SIGNED),
    "none": (lambda net, y: y, SIGNED),
}


def conv(net: Net, x: str, inputs: int, outputs: int, size: int, **attributes: Any) -> str:
    """A convolution as NNCF and PT2E have it: int8 a channel, and a bias of floats."""
    shape = (outputs, inputs, size, size)
    return net("Conv", x, weight(net, shape, np.int8, per_channel=True), net.floats(outputs), **attributes)


def channels(net: Net, y: str, count: int, zero: Any, largest: float = 4.0, *, mixed: bool = False) -> str:
    """NNCF's pair before a depthwise convolution: a scale a channel, the smallest a 1000th of the largest.

    With the preset MIXED there is a zero point a channel as well, and levels are signed.
    """
    scale = largest / 255 * 10.0 ** net.random.uniform(-3, 0, count)
    scale[0] = largest / 255
    zeros = np.full(count, zero)
    if mixed:
        # Numbers above 0 have the lowest one, but for channels that had only zeros in calibration.
        zeros = np.where(zeros.dtype == np.uint8, -128, net.random.integers(-128, 20, count))
        zeros = np.where(np.arange(count) % 7 == 3, 0, zeros).astype(np.int8)
    return pair(net, y, scale, zeros, axis=1)


def steps(read: swiftcnn.Model, model: Any, x: np.ndarray, scale: float) -> np.ndarray:
    """How many levels the results lie from those of the file, computed in floats as it says."""
    got, wanted = read.predict(x.transpose(0, 2, 3, 1), verbose=0).transpose(0, 3, 1, 2), expected(model, x)
    assert len(np.unique(wanted)) > 20
    result: np.ndarray = np.abs(got - wanted) / scale
    return result


def depthwise(net: Net, name: str, count: int = 70, stride: int = 1, *, mixed: bool = False) -> str:
    activation, zero = ACTIVATIONS[name]
    y = activation(net, conv(net, pair(net, "x", 0.02, SIGNED), 3, count, 1))
    y = channels(net, y, count, zero, largest=6.0 if name == "relu6" else 4.0, mixed=mixed)
    y = conv(net, y, 1, count, 3, group=count, pads=[1] * 4, strides=[stride] * 2)
    return pair(net, activation(net, y), 0.02, zero)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_depthwise_inputs_of_a_scale_a_channel_are_integers(name, stride, mixed):
    net, x = Net(), pixels(4, 3, 12, 11)
    model = net.model(["n", 3, 12, 11], depthwise(net, name, stride=stride, mixed=mixed), 20)
    read = swiftcnn.onnx.load(model)
    apart = steps(read, model, x, 0.02)
    # A sum beside a half in the first step changes a few of the second; SiLU's parabolas are up to a fifth of a level off.
    assert apart.max() < 1.001 and (apart > 0.5).mean() < (0.03 if name == "silu" else 5e-3)
    given = x.transpose(0, 2, 3, 1)[:1]
    assert borders(read, given) == {"quantize": 1, "dequantize": 1}
    assert {row.dtype for row in read.precision() if "Conv" in row.layer} == {"int8"}
    assert not read.quantization_report(given).islands


@pytest.mark.parametrize("mixed", [False, True])
def test_a_depthwise_convolution_that_gives_a_scale_a_channel_is_computed_as_others(mixed):
    net, x, count = Net(), pixels(2, 3, 12, 11), 70
    activation, zero = ACTIVATIONS["silu"]
    y = activation(net, conv(net, pair(net, "x", 0.02, SIGNED), 3, count, 1))
    for _ in range(2):
        y = channels(net, y, count, zero, largest=4.0, mixed=mixed)
        y = activation(net, conv(net, y, 1, count, 3, group=count, pads=[1] * 4))
    model = net.model(["n", 3, 12, 11], pair(net, y, 0.02, zero), 20)
    read = swiftcnn.onnx.load(model)
    apart = steps(read, model, x, 0.02)
    assert apart.max() < 2.001 and (apart > 0.5).mean() < 0.05
    rows = [row for row in read.precision() if "Conv" in row.layer]
    assert len(rows) == 3 and {row.dtype for row in rows} == {"int8"}
    # Wherever code is generated, it is for all of them.
    assert len({row.instruction == "portable" for row in rows}) == 1


def test_scales_of_channels_are_kept_in_files_and_training(tmp_path):
    net, x = Net(), pixels(4, 3, 12, 11)
    y = net("Flatten", net("GlobalAveragePool", depthwise(net, "silu")))
    model = net.model(["n", 3, 12, 11], net("Gemm", y, net.floats(70, 5)), 20)
    read, given = swiftcnn.onnx.load(model), x.transpose(0, 2, 3, 1)
    read.save(tmp_path / "model.safetensors")
    again = swiftcnn.load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(given, verbose=0), read.predict(given, verbose=0))
    read.export(tmp_path / "again.onnx", layout="nchw")
    written = onnx.load(tmp_path / "again.onnx")
    np.testing.assert_allclose(expected(written, x), expected(model, x), rtol=0, atol=0.05)
    again.compile("sgd", swiftcnn.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = again.fit(given, np.arange(4) % 5, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("reader", ["both", "output", "limit", "floats"])
def test_scales_of_channels_that_something_else_needs_are_rounded_in_floats(reader):
    net, x, count = Net(), pixels(2, 3, 8, 7), 6
    activation = relu6 if reader == "limit" else ACTIVATIONS["relu"][0]
    y = activation(net, conv(net, pair(net, "x", 0.02, SIGNED), 3, count, 1))
    zeros = np.arange(count, dtype=np.uint8) if reader == "floats" else np.zeros(count, np.uint8)
    # With 8 / 255 a limit of 6 is level 191 in the first channel, and others in others.
    scale = 8 / 255 * np.linspace(1, 0.1, count)
    y = pair(net, y, scale, zeros, axis=1)
    z = conv(net, y, 1, count, 3, group=count, pads=[1] * 4)
    if reader == "both":
        z = net("Add", z, y)
    z = y if reader == "output" else z if reader == "floats" else pair(net, z, 0.02, SIGNED)
    model = net.model(["n", 3, 8, 7], z, 20)
    apart = steps(swiftcnn.onnx.load(model), model, x, 8 / 255 if reader == "output" else 0.02)
    assert apart.max() < 1.001 and (apart > 0.5).mean() < 0.01


def squeezed(net: Net, y: str, count: int, *, quantises: bool) -> str:
    """Squeeze-and-excitation of levels: NNCF rounds its factors alone, PT2E all but its product's operands."""
    if not quantises:
        y = pair(net, y, 0.03, SIGNED)
        z = net("Conv", net("ReduceMean", y, axes=[2, 3]), net.floats(4, count, 1, 1), net.floats(4))
        z = net("Conv", silu(net, z), net.floats(count, 4, 1, 1), net.floats(count))
        factors = pair(net, net("Sigmoid", z), 1 / 255, UNSIGNED)
        return pair(net, net("Mul", factors, y), 0.02, SIGNED)
    z = pair(net, net("ReduceMean", pair(net, y, 0.03, np.uint8(9)), axes=[2, 3]), 0.03, np.uint8(9))
    z = pair(net, silu(net, conv(net, z, count, 4, 1)), 0.01, np.uint8(28))
    return pair(net, net("Mul", net("Sigmoid", conv(net, z, 4, count, 1)), y), 0.02, np.uint8(14))


def test_squeezes_that_nncf_leaves_in_floats_read_sums_of_integers():
    net, x, count = Net(), pixels(4, 3, 12, 11), 40
    y = channels(net, silu(net, conv(net, pair(net, "x", 0.02, SIGNED), 3, count, 1)), count, SIGNED)
    y = squeezed(net, silu(net, conv(net, y, 1, count, 3, group=count, pads=[1] * 4)), count, quantises=False)
    model = net.model(["n", 3, 12, 11], pair(net, conv(net, y, count, 24, 1), 0.02, SIGNED), 13)
    read, given = swiftcnn.onnx.load(model), x.transpose(0, 2, 3, 1)[:1]
    apart = steps(read, model, x, 0.02)
    assert apart.max() < 2.001 and (apart > 0.5).mean() < 0.08
    # The picture, the factors and the result: what is pooled does not become floats.
    assert borders(read, given) == {"quantize": 2, "dequantize": 1}
    report = read.quantization_report(given)
    assert [island.operation for island in report.islands] == ["conv2d", "activation"] * 2
    assert all("ReduceMean" not in island.layer for island in report.islands)


def made(net: Net, value: Any) -> str:
    """A number in a node of its own."""
    return net("Constant", value=onnx.numpy_helper.from_array(np.asarray(value)))


class PyTorch:
    """PT2E's pairs and weights: scales and zero points are initializers, or nodes where the file is not optimised."""

    def __init__(self, net: Net, *, is_optimised: bool) -> None:
        self.net, self.is_optimised = net, is_optimised

    def levels(self, y: str, scale: float, zero: int) -> Callable[[], str]:
        """Rounds a whole tensor, though with an axis; what is given makes floats of it for one reader."""
        constant = self.net.constant if self.is_optimised else lambda value: made(self.net, value)
        constants = constant(np.float32(scale)), constant(np.uint8(zero))
        levels = self.net("QuantizeLinear", y, *constants, axis=1)
        return lambda: self.net("DequantizeLinear", levels, *constants, axis=1)

    def pair(self, y: str, scale: float, zero: int = 0) -> str:
        return self.levels(y, scale, zero)()

    def weight(self, *shape: int) -> str:
        """int8 with a scale for each output channel; the zero points are int64 and become int8 in the file."""
        net, form = self.net, onnx.TensorProto
        levels = net.constant(net.random.integers(-128, 128, shape).astype(np.int8))
        steps = net.random.uniform(0.5, 1, shape[0]) / 64 / np.sqrt(np.prod(shape[1:]))
        scale = net.constant(steps.astype(np.float32))
        if self.is_optimised:
            return net("DequantizeLinear", levels, scale, net.constant(np.zeros(shape[0], np.int8)), axis=0)
        zeros = net("Cast", net.constant(np.zeros(shape[0], np.int64)), to=form.INT8)
        return net("DequantizeLinear", levels, net("Cast", scale, to=form.FLOAT), zeros, axis=0)

    def conv(self, x: str, inputs: int, outputs: int) -> str:
        return self.net("Conv", x, self.weight(outputs, inputs, 3, 3), self.net.floats(outputs), pads=[1] * 4)


@pytest.mark.parametrize("is_optimised", [False, True])
def test_networks_of_pytorchs_quantiser_are_integers(is_optimised):
    net, x = Net(), pixels(4, 3, 12, 11)
    torch = PyTorch(net, is_optimised=is_optimised)
    y = net("Relu", torch.conv(torch.pair("x", 0.02, 114), 3, 8))
    y = net("MaxPool", torch.pair(y, 0.02), kernel_shape=[2, 2], strides=[2, 2])
    # Of one tensor of levels each reader has floats of its own.
    floats = torch.levels(y, 0.02, 0)
    y = torch.pair(net("Relu", torch.conv(floats(), 8, 8)), 0.02)
    y = torch.pair(net("Relu", net("Add", torch.conv(y, 8, 8), floats())), 0.02)
    y = torch.pair(net("ReduceMean", y, axes=[2, 3]), 0.02)
    y = torch.pair(net("Reshape", y, net.constant(np.int64([-1, 8]))), 0.015)
    model = net.model(["n", 3, 12, 11], net("Gemm", y, torch.weight(5, 8), net.floats(5), transB=1))
    read, given = swiftcnn.onnx.load(model), x.transpose(0, 2, 3, 1)
    got, wanted = read.predict(given, verbose=0), expected(model, x)
    assert np.abs(got - wanted).max() <= 0.02 * np.abs(wanted).max() and (got.argmax(1) == wanted.argmax(1)).all()
    assert borders(read, given[:1]) == {"quantize": 1}
    assert not read.quantization_report(given[:1]).islands
    assert "4 weights are of 8 bits, as in the file" in notes(read)


def test_products_that_pytorchs_quantiser_leaves_in_floats_stay_so():
    net, x, count = Net(), pixels(4, 3, 12, 11), 40
    y = pair(net, silu(net, conv(net, pair(net, "x", 0.02, np.uint8(114)), 3, count, 1)), 0.01, np.uint8(28))
    y = squeezed(net, silu(net, conv(net, y, 1, count, 3, group=count, pads=[1] * 4)), count, quantises=True)
    model = net.model(["n", 3, 12, 11], pair(net, conv(net, y, count, 24, 1), 0.02, np.uint8(128)))
    read, given = swiftcnn.onnx.load(model), x.transpose(0, 2, 3, 1)[:1]
    apart = steps(read, model, x, 0.02)
    assert apart.max() < 2.001 and (apart > 0.5).mean() < 0.08
    # The depthwise convolution gives floats, and so its product with the factors is one.
    islands = [island.operation for island in read.quantization_report(given).islands]
    assert sorted(islands) == ["activation", "activation", "conv2d", "multiply"]
    rows = {row.layer: row.dtype for row in read.precision()}
    assert [rows[name] for name in rows if name.startswith("Conv")] == ["int8", "float32", "int8", "int8", "int8"]


@pytest.mark.parametrize(
    ("scale", "zero", "axis", "message"),
    [
        (np.float32([0.1] * 5 + [0]), np.zeros(6, np.uint8), 1, "the scale is 0"),
        (np.float32([0.1] * 5 + [-1]), np.zeros(6, np.uint8), 1, "the scale is -1"),
        (np.float32([0.1] * 5 + [np.nan]), np.zeros(6, np.uint8), 1, "the scale is nan"),
        (np.float32([0.1] * 5), np.zeros(5, np.uint8), 1, "the scale has 5 numbers; axis 1 has another size"),
        (np.float32([0.1] * 6), np.zeros(5, np.uint8), 1, "6 scales and 5 zero points; expected as many"),
        (np.float32([0.1] * 6), np.zeros(6, np.uint8), 4, "axis is 4; the tensor has 4 axes"),
        (np.float32([0.1] * 6), np.zeros(6, np.float32), 1, "the zero point is float32"),
        (np.float32([0.1] * 6), np.zeros(6, np.uint8), 2, "the scale has 6 numbers; axis 2 has another size"),
    ],
)
@pytest.mark.parametrize("is_computed", [False, True])
def test_scales_of_channels_that_cannot_be_are_refused(scale, zero, axis, message, is_computed):
    net = Net()
    y = net("Relu", conv(net, pair(net, "x", 0.02, SIGNED), 3, 6, 1))
    constants = [made(net, value) if is_computed else net.constant(value) for value in (scale, zero)]
    y = net("QuantizeLinear", y, *constants, axis=axis)
    y = net("DequantizeLinear", y, *constants, axis=axis)
    model = net.model(["n", 3, 8, 7], conv(net, y, 1, 6, 3, group=6))
    with pytest.raises(ValueError, match=f"QuantizeLinear.*{message}"):
        swiftcnn.onnx.load(model)


@pytest.mark.parametrize(("zero", "message"), [(256, "256|beyond|range|uint8"), (-1, "-1|beyond|range|uint8")])
def test_zero_points_that_their_type_does_not_hold_are_refused(zero, message):
    net = Net()
    scale = net.constant(np.float32(0.1))
    y = net("QuantizeLinear", "x", scale, net("Cast", made(net, np.int64(zero)), to=onnx.TensorProto.UINT8))
    model = net.model(["n", 3, 8, 7], net("DequantizeLinear", y, scale, net.constant(np.uint8(0))))
    with pytest.raises(ValueError, match=message):
        swiftcnn.onnx.load(model)
