"""Operations of ONNX files, with attributes at random, beside ONNX Runtime: read, written again, and read from that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import swiftcnn

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

Array = np.ndarray[Any, Any]


class Case(NamedTuple):
    """Nodes from the input `x` to the output `y`."""

    nodes: list[Any]
    x: Array
    constants: dict[str, Array] = {}
    opset: int = 13
    whole: bool = False  # the output is int64
    opens: bool = False  # height and width are open in the file


def node(kind: str, inputs: list[str], output: str = "y", **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, inputs, [output], **attributes)


class Random:
    """Numbers from a seed."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def pick(self, *choices: Any) -> Any:
        return choices[self.generator.integers(len(choices))]

    def sizes(self, first: int, last: int, count: int) -> list[int]:
        return [int(size) for size in self.generator.integers(first, last + 1, count)]

    def numbers(self, *shape: int) -> Array:
        return self.generator.normal(size=shape).astype(np.float32)

    def few(self, *shape: int) -> Array:
        """Of which many are equal."""
        return self.generator.integers(-2, 3, shape).astype(np.float32)


def resizes(r: Random) -> Iterator[Case]:
    rules = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric"]
    for mode in ["nearest", "linear", "cubic"]:
        for rule in [*rules, "tf_half_pixel_for_nn"]:
            opset = {"half_pixel_symmetric": 19, "tf_half_pixel_for_nn": 11}.get(rule, r.pick(11, 13, 18, 19))
            attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": rule}
            attributes["nearest_mode"] = r.pick("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
            if mode == "cubic":
                attributes |= {"exclude_outside": r.pick(0, 1), "cubic_coeff_a": r.pick(-0.75, -0.5)}
            if opset >= 18 and mode != "nearest":
                attributes["antialias"] = r.pick(0, 1)
            x = r.numbers(2, 3, *r.sizes(3, 11, 2))
            scales = np.array([1, 1, r.pick(1, 2, 0.5, 1.5, 0.7), r.pick(3, 2.3, 0.4)], np.float32)
            sizes = np.array([2, 3, *r.sizes(1, 20, 2)])
            none = np.zeros(0, np.float32)
            yield Case(
                [node("Resize", ["x", "none", "scales"], **attributes)], x, {"none": none, "scales": scales}, opset
            )
            constants = {"none": none, "empty": none, "sizes": sizes}
            yield Case([node("Resize", ["x", "none", "empty", "sizes"], **attributes)], x, constants, opset)


def upsamples(r: Random) -> Iterator[Case]:
    for mode in ["nearest", "linear"]:
        x, scales = r.numbers(2, 3, 5, 7), np.array([1, 1, 2, 1.5], np.float32)
        yield Case([node("Upsample", ["x"], mode=mode, scales=scales.tolist())], x, opset=7)
        yield Case([node("Upsample", ["x", "s"], mode=mode)], x, {"s": scales}, 9, opens=True)
        for smaller in [[1, 1, 0.7, 2], [1, 1, 0.5, 0.3], [1, 1, 2.5, 0.9]]:
            yield Case([node("Resize", ["x", "s"], mode=mode)], x, {"s": np.array(smaller, np.float32)}, 10, opens=True)


def transposed_convolutions(r: Random) -> Iterator[Case]:
    for index in range(24):
        axes, groups = r.pick(1, 2, 2, 2), r.pick(1, 1, 2, 3)
        channels, filters = groups * r.pick(1, 2), r.pick(1, 2)
        kernel, strides = r.sizes(1, 4, axes), r.sizes(1, 3, axes)
        attributes: dict[str, Any] = {"group": groups, "strides": strides, "kernel_shape": kernel}
        attributes["dilations"] = r.sizes(1, 2, axes)
        if index % 2:
            # ONNX Runtime has no more of it than that.
            attributes["output_padding"] = [int(r.generator.integers(stride)) for stride in strides]
        match index % 4:
            case 0:
                attributes["pads"] = r.sizes(0, (min(kernel) - 1) // 2, 2 * axes)
            case 1:
                attributes["auto_pad"] = r.pick("SAME_UPPER", "SAME_LOWER", "VALID")
        x, constants = r.numbers(2, channels, *r.sizes(2, 7, axes)), {"w": r.numbers(channels, filters, *kernel)}
        if index % 3 == 0:
            constants["b"] = r.numbers(filters * groups)
        yield Case([node("ConvTranspose", ["x", *constants], **attributes)], x, constants, 11)
    for rule in ["NOTSET", "SAME_UPPER", "SAME_LOWER"]:
        weight = {"w": r.numbers(2, 3, 4, 4)}
        attributes = {"strides": [3, 3], "output_shape": [10, 14], "auto_pad": rule}
        yield Case([node("ConvTranspose", ["x", "w"], **attributes)], r.numbers(2, 2, 4, 5), weight, 11)


def rounded_pools(r: Random) -> Iterator[Case]:
    for index in range(16):
        kernel, kind = r.sizes(2, 4, 2), ["MaxPool", "AveragePool"][index % 2]
        counts = {"count_include_pad": index // 2 % 2} if index % 2 else {}
        opens = index >= 8
        pads = [0] * 4 if opens and counts else [int(r.generator.integers(size)) for size in kernel * 2]
        attributes = {"kernel_shape": kernel, "strides": r.sizes(1, 4, 2), "pads": pads, "ceil_mode": 1, **counts}
        yield Case([node(kind, ["x"], **attributes)], r.numbers(2, 3, *r.sizes(5, 13, 2)), opset=19, opens=opens)


def reductions(r: Random) -> Iterator[Case]:
    for kind in ["L1", "L2", "Max", "Min", "SumSquare", "LogSum", "LogSumExp", "Mean", "Sum"]:
        for opset in [13] if kind == "Sum" else [11, 18]:
            x = r.numbers(2, *r.sizes(1, 6, 3))
            x = np.abs(x) if kind == "LogSum" else x
            axes = sorted(int(axis) for axis in r.generator.choice([1, 2, -1], r.pick(1, 2, 3), replace=False))
            keeps = r.pick(0, 1)
            if opset == 11:
                yield Case([node(f"Reduce{kind}", ["x"], axes=axes, keepdims=keeps)], x, opset=11)
            else:
                yield Case([node(f"Reduce{kind}", ["x", "a"], keepdims=keeps)], x, {"a": np.array(axes)}, opset)


def positions(r: Random) -> Iterator[Case]:
    for index in range(12):
        kind = ["ArgMax", "ArgMin"][index % 2]
        attributes = {"axis": r.pick(1, 2, -1), "keepdims": r.pick(0, 1), "select_last_index": index // 2 % 2}
        yield Case([node(kind, ["x"], **attributes)], r.few(2, *r.sizes(1, 6, 3)), whole=True)


def normalisations(r: Random) -> Iterator[Case]:
    for size in [1, 3, 5, 7]:
        attributes = {
            "size": size,
            "alpha": r.pick(1e-4, 0.5),
            "beta": r.pick(0.5, 0.75, 1.0),
            "bias": r.pick(1.0, 2.0),
        }
        yield Case([node("LRN", ["x"], **attributes)], r.numbers(2, 6, 3, 4), opens=size == 5)
    for axis in [1, 2, -1]:
        for power in [1, 2]:
            x = r.numbers(2, 3, 4, 5)
            x[0] = 0
            yield Case([node("LpNormalization", ["x"], axis=axis, p=power)], x)
    for shape in [(2, 4, 5), (2, 6, 3, 4), (2, 4, 1, 1), (2, 4, 2, 3, 2)]:
        channels = shape[1]
        constants = {"s": r.numbers(channels), "b": r.numbers(channels)}
        x = r.numbers(*shape)
        opens = len(shape) == 4
        yield Case([node("InstanceNormalization", ["x", "s", "b"], epsilon=0.01)], x, constants, opens=opens)
        for opset, groups in [(18, 1), (18, 2), (21, channels), (21, 2)]:
            count = groups if opset == 18 else channels
            constants = {"s": r.numbers(count), "b": r.numbers(count)}
            group = node("GroupNormalization", ["x", "s", "b"], num_groups=groups)
            yield Case([group], x, constants, opset, opens=opens)


def masks(r: Random) -> Iterator[Case]:
    for kind in ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"]:
        for logic in ["And", "Or", "Xor"]:
            shape = r.pick((), (1,), (5,), (3, 1, 1), (1, 3, 1, 5), (4, 1))
            constants = {"c": r.few(*shape), "d": r.numbers(*r.pick((), (3, 1, 1), (4, 5))), "half": np.float32(0.5)}
            nodes = [
                node(kind, r.pick(["x", "c"], ["c", "x"]), "first"),
                node("Less", ["x", "half"], "second"),
                node(logic, ["first", "second"], "both"),
                node("Not", ["both"], "neither"),
                node("Where", [r.pick("first", "neither"), *r.pick(["x", "d"], ["d", "x"], ["d", "c"])], "chosen"),
                node("Cast", ["neither"], "factor", to=1),
                node("Mul", ["chosen", "factor"]),
            ]
            yield Case(nodes, r.few(2, 3, 4, 5), constants, 16)
    infinite = {"c": np.array([[0], [1]], np.bool_), "low": np.float32(-np.inf)}
    yield Case([node("Where", ["c", "x", "low"], "m"), node("Softmax", ["m"], axis=1)], r.numbers(3, 2, 4), infinite)


def several(r: Random) -> Iterator[Case]:
    for kind in ["Max", "Min", "Sum", "Mean"]:
        for inputs in (
            ["x"],
            ["x", "a"],
            ["a", "b", "x"],
            ["x", "t", "a"],
            ["p", "t"],
            ["c", "x", "p"],
            ["b", "c", "t"],
        ):
            constants = {"a": r.numbers(3, 1, 1), "b": np.float32(0.3), "c": r.numbers(1, 3, 4, 5)}
            nodes = [node("Tanh", ["x"], "t"), node("GlobalAveragePool", ["x"], "p"), node(kind, inputs, "m")]
            yield Case([*nodes, node("Add", ["m", "x"])], r.numbers(2, 3, 4, 5), constants)


def functions(r: Random) -> Iterator[Case]:
    x = r.few(2, 3, 4) + r.few(2, 3, 4) / 4
    for kind in ["Abs", "Sign", "Celu", "ThresholdedRelu"]:
        yield Case([node(kind, ["x"])], x)
    yield Case([node("Log", ["x"])], np.abs(x) + 0.1)


FAMILIES = [
    resizes, upsamples, transposed_convolutions, rounded_pools, reductions, positions, normalisations, masks, several,
    functions,
]  # fmt: skip


def write(path: Path, case: Case) -> None:
    shape: list[Any] = list(case.x.shape)
    if case.opens:
        shape = ["n", shape[1], "h", "w"]
    element = onnx.TensorProto.INT64 if case.whole else onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        case.nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", element, None)],
        [onnx.numpy_helper.from_array(np.asarray(values), name) for name, values in case.constants.items()],
    )
    opset = onnx.helper.make_opsetid("", case.opset)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    path.write_bytes(model.SerializeToString())


def expected(path: Path, x: Array) -> Array:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {"x": x})[0]
    return result


def computed(path: Path, case: Case) -> tuple[swiftcnn.Model, Array]:
    """What is read, and what it makes of images, which are NHWC here where their size varies, else as in the file."""
    if not case.opens:
        model = swiftcnn.onnx.load(path, layout="file")
        return model, np.asarray(model.predict(case.x, verbose=0))
    model = swiftcnn.load_model(path)
    return model, np.asarray(model.predict(case.x.transpose(0, 2, 3, 1), verbose=0)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_operations_are_those_of_onnx_runtime(family: Any, tmp_path: Path) -> None:
    path, again = tmp_path / "m.onnx", tmp_path / "again.onnx"
    for index, case in enumerate(family(Random(len(family.__name__)))):
        what = f"{index}: {case.nodes[0]}"
        write(path, case)
        wanted = expected(path, case.x)
        model, result = computed(path, case)
        assert result.shape == wanted.shape, what
        np.testing.assert_allclose(result, wanted, rtol=2e-4, atol=2e-5, err_msg=what)
        if case.opset >= 18 and "Resize" in what:
            continue  # The rules of later operator sets are not written.
        model.export(again, layout="nchw" if case.opens else "nhwc")
        np.testing.assert_allclose(expected(again, case.x), wanted, rtol=2e-4, atol=2e-5, err_msg=what)
        np.testing.assert_allclose(computed(again, case)[1], wanted, rtol=2e-4, atol=2e-5, err_msg=what)


def test_images_of_any_size_are_resized(tmp_path: Path) -> None:
    scales = {"s": np.array([1, 1, 2, 1.5], np.float32), "e": np.zeros(0, np.float32)}
    nodes = [node("Resize", ["x", "e", "s"], "larger", mode="linear"), node("Relu", ["larger"])]
    path = tmp_path / "m.onnx"
    write(path, Case(nodes, np.zeros((1, 3, 4, 4)), scales, opens=True))
    model = swiftcnn.load_model(path)
    for height, width in [(1, 1), (7, 5), (3, 20)]:
        x = np.random.default_rng(height).normal(size=(2, 3, height, width)).astype(np.float32)
        result = model.predict(x.transpose(0, 2, 3, 1), verbose=0)
        np.testing.assert_allclose(result.transpose(0, 3, 1, 2), expected(path, x), atol=1e-6)


def test_sizes_computed_in_the_file_are_folded(tmp_path: Path) -> None:
    """What exporters write for twice the size: Shape, Slice, Cast, Mul, Floor, Cast, Concat."""
    nodes = [
        node("Shape", ["x"], "shape"), node("Slice", ["shape", "zero", "two"], "front"),
        node("Slice", ["shape", "two", "four"], "size"), node("Cast", ["size"], "real", to=1),
        node("Mul", ["real", "factor"], "scaled"), node("Floor", ["scaled"], "floored"),
        node("Cast", ["floored"], "whole", to=7), node("Concat", ["front", "whole"], "sizes", axis=0),
        node("Resize", ["x", "e", "e", "sizes"], mode="nearest"),
    ]  # fmt: skip
    constants = {"zero": np.array([0]), "two": np.array([2]), "four": np.array([4]), "factor": np.float32(2.0)}
    case = Case(nodes, Random(1).numbers(2, 3, 5, 4), constants | {"e": np.zeros(0, np.float32)})
    write(tmp_path / "m.onnx", case)
    np.testing.assert_array_equal(computed(tmp_path / "m.onnx", case)[1], expected(tmp_path / "m.onnx", case.x))


EMPTY = np.zeros(0, np.float32)
WEIGHT = {"w": np.ones((3, 2, 2, 2))}
CROP = {"coordinate_transformation_mode": "tf_crop_and_resize"}
HOSTILE = {
    "a scale of 1e9": [node("Resize", ["x", "e", "s"]), {"s": [1, 1, 1e9, 1e9]}],
    "a scale that is no number": [node("Resize", ["x", "e", "s"]), {"s": [1, 1, np.nan, 1]}],
    "a scale without bounds": [node("Resize", ["x", "e", "s"]), {"s": [1, 1, np.inf, 1]}],
    "a scale of nothing": [node("Resize", ["x", "e", "s"]), {"s": [1, 1, 0, -1]}],
    "sizes of 2^62": [node("Resize", ["x", "e", "e", "z"]), {"z": np.array([1, 3, 2**62, 2**62])}],
    "three scales": [node("Resize", ["x", "e", "s"]), {"s": [1, 2, 2]}],
    "a larger batch": [node("Resize", ["x", "e", "s"]), {"s": [2, 1, 1, 1]}],
    "neither": [node("Resize", ["x", "e", "e"]), {}],
    "an unknown rule": [node("Resize", ["x", "e", "s"], **CROP), {"s": [1, 1, 2, 2]}],
    "an output_padding of 2^40": [node("ConvTranspose", ["x", "w"], output_padding=[2**40, 0]), WEIGHT],
    "an output_padding of 2^24": [node("ConvTranspose", ["x", "w"], output_padding=[2**24] * 2), WEIGHT],
    "an output_shape of 2^62": [node("ConvTranspose", ["x", "w"], output_shape=[2**62, 4]), WEIGHT],
    "strides of 0": [node("ConvTranspose", ["x", "w"], strides=[0, 1]), WEIGHT],
    "groups of 0": [node("ConvTranspose", ["x", "w"], group=0), WEIGHT],
    "padding that leaves nothing": [node("ConvTranspose", ["x", "w"], pads=[9] * 4), WEIGHT],
    "a size of 2^40": [node("LRN", ["x"], size=2**40), {}],
    "groups that do not divide": [node("GroupNormalization", ["x", "s", "s"], num_groups=2), {"s": np.ones(3)}],
    "minus one group": [node("GroupNormalization", ["x", "s", "s"], num_groups=-1), {"s": np.ones(3)}],
    "a mask of samples": [node("Greater", ["x", "s"]), {"s": np.ones((4, 1, 1, 1))}],
    "an axis of the batch": [node("ArgMax", ["x"], axis=0), {}],
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_sizes_beyond_all_measure_and_wrong_attributes_are_refused(what: str, tmp_path: Path) -> None:
    bad, given = HOSTILE[what]
    constants = {"e": EMPTY}
    for name, values in given.items():
        array = np.asarray(values)
        constants[name] = array if array.dtype == np.int64 and name == "z" else array.astype(np.float32)
    write(tmp_path / "m.onnx", Case([bad], np.zeros((1, 3, 4, 4), np.float32), constants, 18))
    with pytest.raises((ValueError, MemoryError), match=rf"node 'y' \({bad.op_type}\)"):
        swiftcnn.load_model(tmp_path / "m.onnx")
