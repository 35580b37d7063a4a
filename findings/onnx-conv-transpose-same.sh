#!/usr/bin/env bash
# onnx 1.23.2 says of auto_pad of ConvTranspose: "SAME_UPPER or SAME_LOWER mean pad the input so that output_shape[i] =
# input_shape[i] * strides[i]". Where a kernel is smaller than its stride neither its own shape inference nor onnxruntime
# 1.32.0 does so: 5 elements with stride 2 become (5 - 1) * 2 + 1 = 9, since padding is cut off and never added. With a
# kernel as large as the stride all say 10. Keras and TensorFlow have 10 in both cases: what is written from them needs
# output_padding or output_shape.
#
# Guess before trying: 10 for both kernels. Output seen:
#   kernel 1, stride 2: shape inference 9, ONNX Runtime 9
#   kernel 2, stride 2: shape inference 10, ONNX Runtime 10
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

seen = []
for kernel in (1, 2):
    weight = numpy_helper.from_array(np.ones((1, 1, kernel), np.float32), "w")
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2], auto_pad="SAME_UPPER")
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape.dim[2].dim_value
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    computed = session.run(None, {"x": np.ones((1, 1, 5), np.float32)})[0].shape[2]
    print(f"kernel {kernel}, stride 2: shape inference {inferred}, ONNX Runtime {computed}")
    seen.append((inferred, computed))
assert seen == [(9, 9), (10, 10)], seen
PYTHON
