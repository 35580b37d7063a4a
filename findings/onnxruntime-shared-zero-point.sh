#!/usr/bin/env bash
# onnxruntime 1.32.0, x86-64: with session.x64quantprecision=1, its option for exact sums of u8 x s8, a session of a valid
# QDQ file fails to begin where two int8 weights share one zero point initializer:
#   "AddInitializedOrtValue Attempt to replace the existing tensor"
# The same file loads without the option, and with it where each weight has a zero point of its own. Expected: initializers
# may be shared, as zero points of activations are (this was no written guess: a writer shared them until the file was
# refused). A writer gives each weight its own zero point.
# Exits non-zero where this is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np, onnx, onnxruntime as rt
from onnx import helper as h, numpy_helper as nh
def model(shared):
    nodes, consts = [], {"s": np.float32(0.02), "z": np.uint8(128)}
    def pair(x, y):
        nodes.append(h.make_node("QuantizeLinear", [x, "s", "z"], [x + "_q"])); nodes.append(h.make_node("DequantizeLinear", [x + "_q", "s", "z"], [y]))
    pair("x", "x1")
    for i in (1, 2):
        w = np.random.default_rng(i).integers(-127, 128, (4, 4, 1, 1)).astype(np.int8)
        zero = "wz" if shared else f"wz{i}"
        consts[f"w{i}"], consts[f"ws{i}"], consts[zero] = w, np.full(4, 0.01 * i, np.float32), np.zeros(4, np.int8)
        nodes.append(h.make_node("DequantizeLinear", [f"w{i}", f"ws{i}", zero], [f"wd{i}"], axis=0))
        nodes.append(h.make_node("Conv", [f"x{i}", f"wd{i}"], [f"c{i}"])); pair(f"c{i}", f"x{i + 1}")
    g = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", 1, [1, 4, 2, 2])], [h.make_tensor_value_info("x3", 1, [1, 4, 2, 2])], [nh.from_array(np.asarray(v), k) for k, v in consts.items()])
    m = h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8); onnx.checker.check_model(m, full_check=True); return m.SerializeToString()
def loads(shared, precise):
    o = rt.SessionOptions(); o.log_severity_level = 4
    if precise: o.add_session_config_entry("session.x64quantprecision", "1")
    try: rt.InferenceSession(model(shared), o, providers=["CPUExecutionProvider"]); return True
    except Exception as e: print(str(e)[-160:]); return False
seen = [loads(s, p) for s in (False, True) for p in (False, True)]
print(rt.__version__, seen)
raise SystemExit(0 if seen == [True, True, True, False] else 1)
PYTHON
