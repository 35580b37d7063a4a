"""The official node tests of ONNX (the package `onnx`, kind "node") on this library, for every operation that it reads.

A network here has one input, so each test's node gets what it needs around it: inputs like shapes, weights and axes are
bound as initializers, several tensors come in one behind the other, and what is a constant is added to an input of zeros.

    python Tests/Python/onnx_nodes.py            runs them and compares the outcome with onnx_excluded.json
    python Tests/Python/onnx_nodes.py --write    writes the list: every test that is left out, with the reason
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

LIST = Path(__file__).with_name("onnx_excluded.json")

# The inputs that are computed with; the others say how. All of them where an operation is not here.
DATA = {
    **dict.fromkeys(["Conv", "Gemm", "MatMul", "Dropout", "PRelu", "Pow", "Clip", "BatchNormalization"], [0]),
    **dict.fromkeys(["LayerNormalization", "Reshape", "Squeeze", "Unsqueeze", "Split", "Slice", "Gather"], [0]),
    **dict.fromkeys(["Pad", "ConvTranspose", "Resize", "Upsample", "InstanceNormalization", "GroupNormalization"], [0]),
    **dict.fromkeys([f"Reduce{kind}" for kind in ["Mean", "Sum", "Max", "Min", "L1", "L2", "Prod"]], [0]),
    **dict.fromkeys(["ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"], [0]),
    **dict.fromkeys(["QuantizeLinear", "QLinearConv", "QLinearMatMul"], [0]),
    **dict.fromkeys(["Range", "ConstantOfShape", "Constant", "Shape", "DequantizeLinear"], []),
}

# Those whose tensors of whole numbers are levels, which are computed with as floats.
LEVELS = {"QuantizeLinear", "QLinearConv", "QLinearMatMul"}

# Where ONNX Runtime and PyTorch do otherwise than ONNX, it is as there.
OTHERWISE = dict.fromkeys(
    ["test_resize_downsample_scales_linear_align_corners", "test_resize_downsample_scales_cubic_align_corners"],
    "the corners are those of the result, as in ONNX Runtime and PyTorch; ONNX counts the part of an element left over",
)


def cases() -> list[Any]:
    """The tests whose nodes are all operations that are read."""
    import swiftcnn
    from onnx.backend.test.loader import load_model_tests

    known = set(swiftcnn.onnx.operations())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = load_model_tests(kind="node")
    return [case for case in found if {node.op_type for node in case.model.graph.node} <= known]


class Left(Exception):
    """A test that is left out, with the reason."""


def plain(value: Any) -> Any:
    """What NumPy has no type for comes as a message."""
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def prepared(case: Any) -> tuple[Any, np.ndarray, list[np.ndarray], bool]:
    """The model with one input, its values, the expected outputs, and whether the first axis may be the batch."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    if len(case.data_sets) != 1:
        raise Left("it has several data sets")
    inputs, outputs = ([plain(value) for value in values] for values in case.data_sets[0])
    kinds = {node.op_type for node in graph.node}
    for value in [*graph.input, *graph.output]:
        if not value.type.HasField("tensor_type"):
            raise Left("it has inputs or outputs that are no tensors")
    wanted = DATA.get(graph.node[0].op_type) if len(graph.node) == 1 else None
    positions = list(range(len(graph.input))) if wanted is None else wanted
    if any(not isinstance(value, np.ndarray | np.generic) for value in [*inputs, *outputs]):
        raise Left("it has inputs or outputs that are no tensors")
    if kinds == {"Cast"} and inputs[0].dtype != np.float32:
        positions = []  # from another type: what is known when the file is read
    # The positions are those of the node's inputs; a graph leaves out the ones that are not given.
    names = [name for index, name in enumerate(graph.node[0].input) if index in positions and name]
    data, values = [], dict(zip([value.name for value in graph.input], inputs, strict=True))
    if len(graph.node) > 1:  # A function written out: positions and axes are whole numbers.
        names = [name for name, value in values.items() if value.dtype == np.float32] or list(values)
    for value in list(graph.input):
        if value.name in names:
            data.append(value)
            if kinds <= LEVELS and values[value.name].dtype in (np.int8, np.uint8, np.int16, np.uint16):
                values[value.name] = values[value.name].astype(np.float32)
                value.type.tensor_type.elem_type = TensorProto.FLOAT
            if values[value.name].dtype == np.bool_:  # Numbers that become truth values.
                numbers = f"{value.name}_numbers"
                graph.node.insert(0, helper.make_node("Cast", [numbers], [value.name], to=TensorProto.BOOL))
                values[numbers] = values[value.name].astype(np.float32)
                value.CopyFrom(helper.make_tensor_value_info(numbers, TensorProto.FLOAT, values[numbers].shape))
            if values[value.name].dtype != np.float32:
                raise Left(f"not float32: '{value.name}' is {values[value.name].dtype}")
        else:
            tensor = numpy_helper.from_array(values[value.name], value.name)
            tensor.data_type = value.type.tensor_type.elem_type
            graph.initializer.append(tensor)
            graph.input.remove(value)
    # Outputs that are whole numbers are compared as floats.
    for position, value in enumerate(list(graph.output)):
        expected = outputs[position]
        if expected.dtype == np.float32:
            continue
        if kinds <= LEVELS and expected.dtype in (np.int8, np.uint8, np.int16, np.uint16):
            outputs[position] = expected.astype(np.float32)
            continue
        if expected.dtype in (np.int64, np.int32, np.bool_) or (not data and expected.dtype == np.float64):
            name = f"{value.name}_float"
            graph.node.append(helper.make_node("Cast", [value.name], [name], to=TensorProto.FLOAT))
            graph.output[position].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, expected.shape))
            outputs[position] = expected.astype(np.float32)
        else:
            raise Left(f"not float32: '{value.name}' is {expected.dtype}")
    if not data:
        if len(outputs) != 1:
            raise Left("it has several constants as outputs")
        name, shape = graph.output[0].name, list(outputs[0].shape)
        if 0 in shape:
            raise Left("a tensor without elements")
        graph.input.append(helper.make_tensor_value_info("zeros", TensorProto.FLOAT, shape))
        graph.node.append(helper.make_node("Add", ["zeros", name], ["sum"]))
        graph.output[0].CopyFrom(helper.make_tensor_value_info("sum", TensorProto.FLOAT, shape))
        return model, np.zeros(shape, np.float32), outputs, False
    if len(data) == 1:
        return model, values[data[0].name], outputs, True
    # Several tensors: one behind the other in one input, of which each is cut and shaped.
    total = sum(values[value.name].size for value in data)
    if any(values[value.name].size == 0 for value in data):
        raise Left("a tensor without elements")
    nodes, start = [], 0
    for value in data:
        array = values[value.name]
        for name, content in (
            ("starts", [start]), ("ends", [start + array.size]), ("axes", [0]), ("shape", list(array.shape)),
        ):  # fmt: skip
            tensor = helper.make_tensor(f"{value.name}_{name}", TensorProto.INT64, [len(content)], content)
            graph.initializer.append(tensor)
        parts = [f"{value.name}_{name}" for name in ("starts", "ends", "axes")]
        nodes.append(helper.make_node("Slice", ["packed", *parts], [f"{value.name}_flat"]))
        nodes.append(helper.make_node("Reshape", [f"{value.name}_flat", f"{value.name}_shape"], [value.name]))
        start += array.size
        graph.input.remove(value)
    graph.input.append(helper.make_tensor_value_info("packed", TensorProto.FLOAT, [total]))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    for entry in model.opset_import:
        if entry.domain == "" and entry.version < 11:
            raise Left("several inputs in an operator set that cannot cut them out of one")
    return model, np.concatenate([values[value.name].ravel() for value in data]), outputs, False


def run(case: Any, folder: str) -> None:
    """Runs a test.

    Raises:
        Left: it is left out.
        AssertionError: the outputs are not those expected.
    """
    import swiftcnn

    if case.name in OTHERWISE:
        raise Left(OTHERWISE[case.name])
    model, x, expected, may_batch = prepared(case)
    path = os.path.join(folder, "node.onnx")
    Path(path).write_bytes(model.SerializeToString())
    modes = [True, False] if may_batch else [False]
    for batch in modes:
        try:
            network = swiftcnn.onnx.load(path, layout="file", batch=batch)
            break
        except ValueError as error:
            message = str(error).replace(f"'{path}': ", "")
            if batch is modes[-1] or not ("batch" in message or "first axis" in message or "is no tensor" in message):
                raise Left(message) from None
    outputs = network.predict(x if batch else x[None], verbose=0)
    results = list(outputs.values()) if isinstance(outputs, dict) else outputs
    if not isinstance(results, list):
        results = [results]
    assert len(results) == len(expected)
    for result, value in zip(results, expected, strict=True):
        array = np.asarray(result) if batch else np.asarray(result)[0]
        assert array.shape == value.shape, f"shape {array.shape}, expected {value.shape}"
        np.testing.assert_allclose(array, value, rtol=case.rtol, atol=max(case.atol, 1e-6))


def outcome() -> tuple[list[str], dict[str, str]]:
    """The names of the tests that pass, and of those left out with their reasons.

    Raises:
        AssertionError: others fail; it lists them.
    """
    passed, left, failed = [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            try:
                run(case, folder)
            except Left as reason:
                left[case.name] = str(reason)
            except Exception as error:
                failed[case.name] = f"{type(error).__name__}: {error}"
            else:
                passed.append(case.name)
    assert not failed, "\n".join(f"{name}: {error}" for name, error in failed.items())
    return passed, left


def main() -> None:
    passed, left = outcome()
    print(f"{len(passed)} node tests pass, {len(left)} are left out")
    if "--write" in sys.argv:
        LIST.write_text(json.dumps({"passed": len(passed), "left_out": left}, indent=2, sort_keys=True) + "\n")
    elif json.loads(LIST.read_text()) != {"passed": len(passed), "left_out": left}:
        sys.exit(f"the outcome is not that of {LIST.name}; look at it and write the list again with --write")


if __name__ == "__main__":
    main()
