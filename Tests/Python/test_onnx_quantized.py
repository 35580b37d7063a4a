"""Quantised and half-precision ONNX files: computed in float32 with the values and the levels of the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import swiftcnn
from test_onnx_reading import Net, expected, onnx, pixels, runtime, same

TYPES = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16, "int32": np.int32}
MICROSOFT = onnx.helper.make_opsetid("com.microsoft", 1)


def classified(net: Net, weight: str, opset: int = 13) -> Any:
    return net.model(["n", 3, 8, 8], net("Flatten", net("GlobalAveragePool", net("Conv", "x", weight))), opset)


def notes(model: swiftcnn.Model) -> str:
    report = swiftcnn.onnx.report(model)
    assert report is not None
    return "\n".join(report.notes)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("scales", ["one", "channels", "input channels"])
def test_quantised_weights_are_the_floats_they_stand_for(name, scales):
    net, kind = Net(), TYPES[name]
    limits = np.iinfo(kind)
    levels = net.random.integers(max(limits.min, -999), min(limits.max, 999), (4, 3, 3, 3)).astype(kind)
    count, axis = {"one": (1, 1), "channels": (4, 0), "input channels": (3, 1)}[scales]
    scale = net.random.uniform(0.001, 0.01, count).astype(np.float32)
    zero = np.zeros(count, kind) if kind == np.int32 else net.random.integers(0, 9, count).astype(kind)
    shape: tuple[int, ...] = () if count == 1 else (count,)
    weight = net("DequantizeLinear", net.constant(levels), net.constant(scale.reshape(shape)),
                 net.constant(zero.reshape(shape)), axis=axis)  # fmt: skip
    x = pixels(2, 3, 8, 8)
    read = same(classified(net, weight, 21), x, x.transpose(0, 2, 3, 1), 1e-5)
    assert "1 quantised constants are float32" in notes(read)
    assert [row.name for row in read.parameters] == ["c0"]


def test_weights_in_blocks_and_of_four_bits():
    net = Net()
    for kind, bits in ((onnx.TensorProto.INT4, -8), (onnx.TensorProto.UINT4, 0)):
        levels = net.random.integers(bits, bits + 16, (5, 7))
        scale = net.random.uniform(0.1, 1, (3, 7)).astype(np.float32)
        tensor = onnx.helper.make_tensor("w", kind, levels.shape, levels.ravel().tolist())
        packed = levels.ravel() & 15
        packed = np.append(packed, 0) if packed.size % 2 else packed
        raw = onnx.TensorProto(name="w", data_type=kind, dims=levels.shape)
        raw.raw_data = (packed[::2] | packed[1::2] << 4).astype(np.uint8).tobytes()
        for form in (tensor, raw):
            net = Net()
            weight = net("DequantizeLinear", "w", net.constant(scale), axis=0, block_size=2)
            model = net.model(["n", 5], net("MatMul", "x", weight), 21)
            model.graph.initializer.append(form)
            read = swiftcnn.onnx.load(model)
            wanted = (levels * np.repeat(scale, 2, 0)[:5]).astype(np.float32)
            np.testing.assert_array_equal(read.get_parameter("w"), wanted.T)


def test_weights_that_are_quantised_in_the_file_are_rounded():
    net = Net()
    scale, zero = net.constant(np.float32(0.05)), net.constant(np.int8(3))
    weight = net("DequantizeLinear", net("QuantizeLinear", net.floats(4, 3, 3, 3), scale, zero), scale, zero)
    x = pixels(2, 3, 8, 8)
    read = same(classified(net, weight), x, x.transpose(0, 2, 3, 1))
    assert [row.name for row in read.parameters] == ["c2"]


def pair(net: Net, x: str, scale: Any, zero: Any, **attributes: Any) -> str:
    constants = net.constant(np.asarray(scale, np.float32)), net.constant(zero)
    return net("DequantizeLinear", net("QuantizeLinear", x, *constants, **attributes), *constants, **attributes)


def reader(x: np.ndarray) -> Any:
    """What ONNX Runtime's quantiser reads its calibration images from: these at once."""
    from onnxruntime import quantization as q  # which takes time to import

    class Reader(q.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{"x": x}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    return Reader()


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "uint16"])
def test_pairs_round_to_the_levels_of_the_file(name):
    net = Net()
    y = pair(net, "x", 0.11, TYPES[name](7))
    y = pair(net, net.conv(y, 3, 4), [0.02, 0.3, 0.07, 0.11], np.array([0, 5, 1, 2], TYPES[name]), axis=1)
    model = net.model(["n", 3, 9, 8], net("Relu", y), 21)
    x = pixels(2, 3, 9, 8) * 9
    read = swiftcnn.onnx.load(model)
    got, wanted = read.predict(x.transpose(0, 2, 3, 1), verbose=0).transpose(0, 3, 1, 2), expected(model, x)
    # A sum may fall on the other side of a half: the next level.
    steps = np.abs(got - wanted) / np.array([0.02, 0.3, 0.07, 0.11], np.float32)[:, None, None]
    assert (steps > 1e-3).mean() < 1e-3 and steps.max() < 1.01
    assert "2 tensors are quantised in the file" in notes(read)


def test_levels_go_through_what_does_not_compute():
    net = Net()
    scale, zero = net.constant(np.float32(0.05)), net.constant(np.uint8(100))
    y = net("QuantizeLinear", "x", scale, zero)
    y = net("Flatten", net("MaxPool", net("Transpose", y, perm=[0, 3, 1, 2]), kernel_shape=[2, 2]))
    y = net("DequantizeLinear", y, net.constant(np.float32(0.1)), net.constant(np.uint8(90)))
    same(net.model(["n", 8, 6, 3], y, 13), pixels(2, 8, 6, 3))


def test_a_file_of_integer_operations_is_read_in_floats():
    net, random = Net(), np.random.default_rng(2)

    def levels(*shape: int) -> str:
        return net.constant(random.integers(-127, 127, shape).astype(np.int8))

    def at(scale: Any, kind: Any = np.uint8, zero: Any = 120) -> list[str]:
        return [net.constant(np.asarray(scale, np.float32)), net.constant(np.asarray(zero, kind))]

    def own(kind: str, *inputs: str, **attributes: Any) -> str:
        return net(kind, *inputs, domain="com.microsoft", **attributes)

    image, wide = at(0.03), at(0.1)
    x = net("QuantizeLinear", "x", *image)
    channels = at(random.uniform(0.001, 0.004, 6), np.int8, np.zeros(6))
    sums = net.constant(random.integers(-4000, 4000, 6).astype(np.int32))
    a = net("QLinearConv", x, *image, levels(6, 3, 3, 3), *channels, *wide, sums, pads=[1, 1, 1, 1])
    b = net("QLinearConv", x, *image, levels(6, 3, 1, 1), *at(0.01, np.int8, 0), *wide)
    y = own("QLinearMul", own("QLinearAdd", a, *wide, b, *wide, *wide), *wide, own(
        "QLinearSigmoid", a, *wide, *at(1 / 256, zero=0)), *at(1 / 256, zero=0), *wide)  # fmt: skip
    y = own("QLinearConcat", *wide, y, *wide, own("QLinearLeakyRelu", b, *wide, *wide, alpha=0.1), *wide, axis=1)
    y = own("QLinearAveragePool", net("MaxPool", y, kernel_shape=[2, 2]), *wide, *wide, kernel_shape=[2, 2])
    y = net("Flatten", own("QLinearGlobalAveragePool", y, *wide, *at(0.02)))
    y = own("QGemm", y, *at(0.02), levels(5, 12), *at(0.01, np.int8, 0),
            net.constant(random.integers(-400, 400, 5).astype(np.int32)), *wide, transB=1)  # fmt: skip
    y = net("QLinearMatMul", y, *wide, levels(5, 4), *at(0.01, np.int8, 0), *wide)
    model = net.model(["n", 3, 8, 8], net("DequantizeLinear", y, *wide))
    model.opset_import.append(MICROSOFT)
    image_values = pixels(4, 3, 8, 8)
    read = swiftcnn.onnx.load(model)
    got, wanted = read.predict(image_values.transpose(0, 2, 3, 1), verbose=0), expected(model, image_values)
    assert np.abs(wanted).max() > 1 and np.abs(got - wanted).max() <= 0.2001  # two levels


def test_quantised_networks_train_through_the_rounding():
    net = Net()
    y = pair(net, net.conv(pair(net, "x", 0.05, np.int8(0)), 3, 4), 0.05, np.int8(0))
    y = net("Flatten", net("GlobalAveragePool", net("Relu", y)))
    model = net.model(["n", 3, 8, 8], net("Gemm", y, net.floats(4, 3), net.floats(3)))
    read = swiftcnn.onnx.load(model)
    read.compile("sgd", swiftcnn.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = read.get_parameter("c2").copy()
    x = pixels(6, 8, 8, 3)
    losses = read.fit(x, np.arange(6) % 3, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and np.abs(read.get_parameter("c2") - before).max() > 0


def test_quantised_networks_are_written_again(tmp_path):
    net = Net()
    y = net.conv(pair(net, "x", 0.05, np.int8(3)), 3, 4)
    y = pair(net, net("Relu", y), [0.02, 0.3, 0.07, 0.11], np.array([0, 5, 1, 2], np.uint8), axis=1)
    read = swiftcnn.onnx.load(net.model(["n", 3, 9, 8], net("Flatten", net("GlobalAveragePool", y))))
    x = pixels(2, 9, 8, 3)
    wanted = read.predict(x, verbose=0)
    for layout in ("nhwc", "nchw"):
        read.export(tmp_path / "again.onnx", layout=layout)
        again = swiftcnn.load_model(tmp_path / "again.onnx")
        np.testing.assert_allclose(again.predict(x, verbose=0), wanted, atol=1e-5)
        given = x if layout == "nhwc" else x.transpose(0, 3, 1, 2)
        np.testing.assert_allclose(expected(onnx.load(tmp_path / "again.onnx"), given), wanted, atol=1e-2)


def test_what_cannot_be_a_quantisation_is_refused():
    net = Net()
    model = net.model(["n", 3, 8, 8], pair(net, "x", 0.0, np.uint8(0)))
    with pytest.raises(ValueError, match=r"QuantizeLinear\): the scale is 0"):
        swiftcnn.onnx.load(model)
    net = Net()
    model = net.model(["n", 3, 8, 8], pair(net, "x", [0.1, 0.2], np.array([0, 0], np.uint8), axis=1))
    with pytest.raises(ValueError, match="the scale has 2 numbers; axis 1 has another size"):
        swiftcnn.onnx.load(model)
    net = Net()
    weight = net("DequantizeLinear", net.constant(np.ones((4, 3, 1, 1), np.int8)), net.constant(np.ones(5, np.float32)))
    with pytest.raises(ValueError, match=r"the scale has shape \[5\] along axis 1 of \[4, 3, 1, 1\]"):
        swiftcnn.onnx.load(classified(net, weight))


# ------------------------------------------------------------------------------------------------------ half precision


@pytest.mark.parametrize("keeps_borders", [True, False])
def test_half_precision_is_computed_in_float32(keeps_borders):
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    net = Net()
    y = net("Cast", "x", to=half) if keeps_borders else "x"
    weight = net.constant(net.random.normal(size=(4, 3, 3, 3)).astype(np.float16))
    y = net("Flatten", net("GlobalAveragePool", net("Relu", net("Conv", y, weight))))
    y = net("Add", y, net("Constant", value=onnx.numpy_helper.from_array(np.float16([1, 2, 3, 4]), "")))
    model = net.model(["n", 3, 8, 8], net("Cast", y, to=single) if keeps_borders else y)
    if not keeps_borders:
        model.graph.input[0].type.tensor_type.elem_type = half
        model.graph.output[0].type.tensor_type.elem_type = half
    x = pixels(2, 3, 8, 8)
    wanted = expected(model, x if keeps_borders else x.astype(np.float16))
    read = swiftcnn.onnx.load(model)
    got = read.predict(x.transpose(0, 2, 3, 1), verbose=0)
    assert got.dtype == np.float32 and np.abs(got - wanted).max() < 5e-3 * np.abs(wanted).max()
    assert "the file has float16: all of it is computed in float32" in notes(read)


@pytest.mark.parametrize("kind", ["BFLOAT16", "DOUBLE"])
def test_weights_of_other_floats_are_read(kind):
    net = Net()
    values = np.round(net.random.normal(size=(4, 3, 1, 1)) * 16) / 16
    tensor = onnx.helper.make_tensor("w", getattr(onnx.TensorProto, kind), values.shape, values.ravel())
    model = classified(net, net("Cast", "w", to=onnx.TensorProto.FLOAT))
    model.graph.initializer.append(tensor)
    read = swiftcnn.onnx.load(model)
    np.testing.assert_array_equal(read.get_parameter("w"), values)
    assert {"BFLOAT16": "bfloat16", "DOUBLE": "float64"}[kind] in notes(read)


def test_files_of_onnx_runtimes_quantiser_are_close(tmp_path):
    from onnxruntime import quantization as q  # which takes time to import

    net = Net()
    y = net("Relu", net.conv("x", 3, 8, pads=[1] * 4, strides=[2, 2]))
    y = net("Relu", net("Add", y, net.conv(y, 8, 8, pads=[1] * 4)))
    y = net("Gemm", net("Flatten", net("GlobalAveragePool", y)), net.floats(8, 4), net.floats(4))
    onnx.save(net.model(["n", 3, 16, 16], y), tmp_path / "f.onnx")
    x = pixels(8, 3, 16, 16)

    for form in (q.QuantFormat.QDQ, q.QuantFormat.QOperator):
        path = tmp_path / f"{form}.onnx"
        q.quantize_static(tmp_path / "f.onnx", path, reader(x), quant_format=form, per_channel=True)
        got = swiftcnn.load_model(path).predict(x.transpose(0, 2, 3, 1), verbose=0)
        wanted = expected(onnx.load(path), x)
        assert np.abs(got - wanted).max() <= 2e-2 * np.abs(wanted).max()


assert runtime  # the peer is there
