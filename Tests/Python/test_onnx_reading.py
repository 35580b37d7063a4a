"""How ONNX files of other tools are read: where images have their channels, nodes in any order, what is refused."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftcnn

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


class Net:
    """A graph under construction, with random weights."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.random = np.random.default_rng(0)

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def floats(self, *shape: int) -> str:
        values = self.random.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:])))
        return self.constant(values.astype(np.float32))

    def __call__(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names[0]

    def conv(self, x: str, channels: int, outputs: int, **attributes: Any) -> str:
        return self("Conv", x, self.floats(outputs, channels, 3, 3), **attributes)

    def turned(self, x: str, order: list[int]) -> str:
        return self("Transpose", x, perm=order)

    def model(self, shape: list[Any], output: str, opset: int = 13, element: int = onnx.TensorProto.FLOAT) -> Any:
        helper = onnx.helper
        graph = helper.make_graph(
            self.nodes, "g",
            [helper.make_tensor_value_info("x", element, shape)],
            [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )  # fmt: skip
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def expected(model: Any, x: np.ndarray) -> np.ndarray:
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    # What the file says: optimised, a float convolution between quantised tensors gets weights of int8.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


def same(model: Any, x: np.ndarray, given: np.ndarray | None = None, tolerance: float = 1e-5) -> swiftcnn.Model:
    """Reads the model, and compares what it gives for ``given``, which is ``x`` as the model here takes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = swiftcnn.onnx.load(model.SerializeToString())
    result, wanted = read.predict(x if given is None else given, verbose=0), expected(model, x)
    assert result.shape == wanted.shape
    assert np.abs(result - wanted).max() <= tolerance * np.abs(wanted).max()
    return read


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


# Nodes in front of the first layer of a file whose images have the channels last.
def fronts(net: Net) -> dict[str, str]:
    one = net.constant(np.ones((1, 1, 1, 3), np.float32) * 0.9)
    pads = net.constant(np.array([0, 1, 2, 0, 0, 0, 1, 0]))
    window = [net.constant(np.array(values)) for values in ([1, 2], [-1, 9], [1, 2])]
    halves = net.constant(np.array([2, 1]))
    return {
        "nothing": "x",
        "scale": net("Mul", "x", net.constant(np.float32(1 / 127.5))),
        "channels": net("Sub", net("Div", "x", one), net.floats(3)),
        "padding": net("Pad", "x", pads),
        "cut": net("Slice", "x", *window),
        "identity": net("Identity", net("Cast", "x", to=onnx.TensorProto.FLOAT)),
        "sum with itself": net("Add", net("Relu", "x"), net("Sigmoid", "x")),
        "limits": net("Clip", "x", net.constant(np.float32(-1)), net.constant(np.float32(1))),
        "parts": net("Concat", *split(net, halves), axis=3),
    }


def split(net: Net, lengths: str) -> list[str]:
    first = net("Split", "x", lengths, outputs=2, axis=3)
    return [first.replace("_0", "_1"), first]


@pytest.mark.parametrize("front", fronts(Net()))
@pytest.mark.parametrize("size", [(12, 11), (12, 12), (None, None)])
def test_channels_last_are_found_behind_what_is_in_front(front, size):
    if front == "cut" and size[0] is None:
        pytest.skip("a slice needs to know the size")
    net = Net()
    y = net("Relu", net.conv(net.turned(fronts(net)[front], TO_NCHW), 3, 4, strides=[2, 2]))
    model = net.model(["n", *size, 3], net("Flatten", net("GlobalAveragePool", y)))
    read = same(model, pixels(2, 12, 11 if size[1] != 12 else 12, 3))
    assert read.input_shape[1:] == (*size, 3)


def test_channels_second_are_found_behind_what_is_in_front():
    net = Net()
    y = net("Sub", "x", net.floats(1, 3, 1, 1))
    y = net.conv(net("Pad", y, net.constant(np.array([0, 0, 1, 2, 0, 0, 0, 1]))), 3, 4)
    x = pixels(2, 3, 9, 8)
    same(net.model(["n", 3, 9, 8], net("Flatten", net("GlobalMaxPool", y))), x, x.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("layer", ["pool", "norm", "mean", "product", "offset"])
def test_any_layer_tells_where_the_channels_are(layer):
    net = Net()
    if layer == "pool":
        y = net.turned(net("MaxPool", net.turned("x", TO_NCHW), kernel_shape=[2, 2]), TO_NHWC)
    elif layer == "norm":
        numbers = [net.constant(np.arange(1, 6, dtype=np.float32) * factor) for factor in (1, 0.1, 0.2, 1)]
        y = net.turned(net("BatchNormalization", net.turned("x", TO_NCHW), *numbers), TO_NHWC)
    elif layer == "mean":
        y = net("ReduceMean", "x", axes=[1, 2], keepdims=0)
    elif layer == "product":
        y = net("MatMul", "x", net.floats(5, 4))
    else:
        y = net("Add", "x", net.floats(5))
    # As many rows, columns and channels: the sizes tell nothing.
    same(net.model(["n", 5, 5, 5], y), pixels(2, 5, 5, 5))


def test_a_reshape_of_grey_images_moves_the_channels():
    net = Net()
    y = net("Reshape", "x", net.constant(np.array([-1, 1, 8, 7])))
    y = net("Flatten", net("GlobalAveragePool", net.conv(y, 1, 2)))
    read = same(net.model(["n", 8, 7, 1], y), pixels(3, 8, 7, 1))
    assert read.input_shape == (None, 8, 7, 1)


def test_what_tells_nothing_stays_as_in_the_file_with_a_warning():
    net = Net()
    model = net.model(["n", 6, 7, 8], net("Relu", "x"))
    with pytest.warns(UserWarning, match=r"which axis of input 'x' \[any, 6, 7, 8\] has the channels"):
        read = swiftcnn.onnx.load(model.SerializeToString())
    x = pixels(2, 6, 7, 8)
    np.testing.assert_array_equal(read.predict(x, verbose=0), np.maximum(x, 0))
    report = swiftcnn.onnx.report(read)
    assert report is not None and len(report.warnings) == 1 and report.notes == []
    # Layers that contradict each other tell nothing either.
    net = Net()
    one, other = net.conv("x", 8, 4), net.conv(net.turned("x", TO_NCHW), 8, 4)
    y = net("Flatten", net("Add", net("GlobalAveragePool", one), net("GlobalAveragePool", other)))
    model = net.model(["n", 8, 8, 8], y)
    x = pixels(2, 8, 8, 8)
    with pytest.warns(UserWarning, match="stays as in the file"):
        read = swiftcnn.onnx.load(model.SerializeToString())
    np.testing.assert_allclose(read.predict(x, verbose=0), expected(model, x), atol=1e-5)


def test_the_report_tells_the_layout():
    net = Net()
    read = swiftcnn.onnx.load(net.model(["n", 3, 8, 8], net.conv("x", 3, 4)))
    assert swiftcnn.onnx.report(read) == ([], ["input 'x' [any, 3, 8, 8] has its channels second"])
    assert swiftcnn.onnx.report(swiftcnn.create_model("resnet20", input_shape=(8, 8, 1))) is None


def small() -> Any:
    net = Net()
    y = net("Flatten", net("GlobalAveragePool", net("Relu", net.conv("x", 3, 4))))
    return net.model(["n", 3, 8, 8], net("Gemm", y, net.floats(4, 2), net.floats(2)))


def test_nodes_are_read_in_any_order():
    x = pixels(2, 3, 8, 8)
    for seed in range(5):
        model = small()
        nodes = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend(nodes[index] for index in np.random.default_rng(seed).permutation(len(nodes)))
        read = swiftcnn.onnx.load(model)
        np.testing.assert_allclose(read.predict(x.transpose(0, 2, 3, 1), verbose=0), expected(small(), x), atol=1e-5)


def test_what_no_output_needs_is_not_read():
    model = small()
    model.graph.node.append(onnx.helper.make_node("Det", ["x"], ["unused"], name="odd"))
    x = pixels(2, 3, 8, 8)
    same(model, x, x.transpose(0, 2, 3, 1))


def test_a_second_output_that_nobody_reads_is_passed_over():
    for opset in (7, 13):
        net = Net()
        y = net("Dropout", net.conv("x", 3, 4), outputs=2)
        x = pixels(2, 3, 8, 8)
        same(net.model(["n", 3, 8, 8], net("Flatten", net("GlobalAveragePool", y)), opset), x, x.transpose(0, 2, 3, 1))
    net = Net()
    y = net("Dropout", net.conv("x", 3, 4), outputs=2)
    model = net.model(["n", 3, 8, 8], net("Relu", y.replace("_0", "_1")))
    with pytest.raises(ValueError, match=r"node 'Dropout_1' \(Dropout\): its output 1 is not supported"):
        swiftcnn.onnx.load(model)


def test_all_operations_that_are_not_read_are_named_at_once():
    net = Net()
    y = net("Det", net("NonZero", net("Det", net.conv("x", 3, 4))))
    model = net.model(["n", 3, 8, 8], y)
    model.graph.node[-1].domain = "my.own"
    with pytest.raises(ValueError, match="3 operations are not supported") as raised:
        swiftcnn.onnx.load(model)
    assert "Det (node 'Det_1')" in str(raised.value) and "my.own.Det (node 'Det_3')" in str(raised.value)
    assert "NonZero (node 'NonZero_2')" in str(raised.value)


def test_weights_are_not_taken_by_the_order_of_another_tools_file(tmp_path: Path):
    model = swiftcnn.onnx.load(small())
    onnx.save(small(), tmp_path / "m.onnx")
    assert swiftcnn._swiftcnn.load_model(str(tmp_path / "m.onnx")).import_report()  # as C's scnn_model_load
    with pytest.raises(ValueError, match=r"m\.onnx"):
        model.load_weights(tmp_path / "m.onnx")


def test_models_are_read_from_memory(tmp_path: Path):
    model = small()
    contents = model.SerializeToString()
    x = pixels(2, 8, 8, 3)
    (tmp_path / "m.onnx").write_bytes(contents)
    wanted = swiftcnn.load_model(str(tmp_path / "m.onnx").encode()).predict(x, verbose=0)
    with open(tmp_path / "m.onnx", "rb") as file:
        for given in (contents, bytearray(contents), memoryview(contents), io.BytesIO(contents), file, model):
            np.testing.assert_array_equal(swiftcnn.onnx.load(given).predict(x, verbose=0), wanted)
    with pytest.raises(ValueError, match="no graph"):
        swiftcnn.onnx.load(b"")
    with pytest.raises(ValueError, match="no ONNX model"):
        swiftcnn.onnx.load(b"no model")
    for wrong in (7, None, [1, 2], io.StringIO("text")):
        with pytest.raises(TypeError, match="filepath must be"):
            swiftcnn.onnx.load(wrong)
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4, 3, 1, 1], data_location=1)
    tensor.external_data.add(key="location", value="w.bin")
    net = Net()
    model = net.model(["n", 3, 8, 8], net("Conv", "x", "w"))
    model.graph.initializer.append(tensor)
    with pytest.raises(ValueError, match=r"initializer 'w'.*'w\.bin'.*give the path"):
        swiftcnn.onnx.load(model)


# -------------------------------------------------------------------------------------------- pictures of a classifier


def classifier(front: str, classes: int = 1000) -> Any:
    net = Net()
    y = "x"
    if front == "bytes":
        y = net("Div", net("Cast", "x", to=onnx.TensorProto.FLOAT), net.constant(np.float32(255)))
    elif front == "-1 to 1":
        y = net("Add", net("Mul", "x", net.constant(np.float32(1 / 127.5))), net.constant(np.float32(-1)))
    elif front == "means of bytes":
        y = net("Sub", "x", net.constant(np.array([103, 116, 123], np.float32).reshape(1, 3, 1, 1)))
    elif front == "statistics":
        y = net("Sub", "x", net.constant(np.full((1, 3, 1, 1), 0.45, np.float32)))
        y = net("Div", y, net.constant(np.full((3, 1, 1), 0.22, np.float32)))
    y = net("Flatten", net("GlobalAveragePool", net.conv(y, 3, 4)))
    element = onnx.TensorProto.UINT8 if front == "bytes" else onnx.TensorProto.FLOAT
    return net.model(["n", 3, 64, 64], net("Gemm", y, net.floats(4, classes)), 13, element)


def test_a_thousand_classes_are_taken_for_imagenets():
    model = swiftcnn.onnx.load(classifier("nothing"))
    assert model.class_names[:2] == ["tench", "goldfish"]
    described = model.preprocessing
    assert (described["resize"], described["crop"]) == (73, [64, 64])  # 256 and 224, at this size
    assert described["mean"] == [0.485, 0.456, 0.406]
    report = swiftcnn.onnx.report(model)
    assert report is not None and any("taken for one of ImageNet" in note for note in report.notes)
    given = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize": 64}
    model = swiftcnn.onnx.load(classifier("nothing"), preprocessing=given, class_names=[f"c{i}" for i in range(1000)])
    assert model.class_names[0] == "c0" and model.preprocessing["resize"] == 64
    assert model.preprocessing["mean"] == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="2 class names"):
        swiftcnn.onnx.load(classifier("nothing"), class_names=["a", "b"])
    assert swiftcnn.onnx.load(classifier("nothing", 10)).class_names is None


@pytest.mark.parametrize(
    ("front", "divisor"), [("bytes", 1), ("-1 to 1", 1), ("means of bytes", 1), ("statistics", 255)]
)
@pytest.mark.parametrize("classes", [1000, 7])
def test_a_file_that_normalises_pixels_gets_them_as_they_are(front, divisor, classes):
    proto = classifier(front, classes)
    model = swiftcnn.onnx.load(proto)
    x = np.random.default_rng(4).integers(0, 256, (2, 3, 64, 64)).astype(np.uint8)
    wanted = expected(proto, x if front == "bytes" else x.astype(np.float32) / divisor)
    np.testing.assert_allclose(model.predict(x.transpose(0, 2, 3, 1), verbose=0), wanted, rtol=1e-3, atol=1e-3)
