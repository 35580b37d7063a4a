#!/usr/bin/env bash
# keras 3.15.1: keras.config.set_floatx("float64") after the first layer was made leaves all later layers at float32, though
# keras.config.floatx() says float64. Layers follow keras.config.dtype_policy(), which is made of floatx when it is first
# asked for and kept; only keras.config.set_dtype_policy changes it (or clear_session drops it). Losses
# and metrics follow floatx itself, so the two halves of one model then compute in different types. A reference in double
# precision that is made in one process with others is quietly one in single precision.
#
# Guess before trying: a layer made after set_floatx has the new type. Output seen:
#   floatx float64, policy float32, weights float32; after set_dtype_policy float64
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 jax==0.10.2 jaxlib==0.10.2 keras==3.15.1
KERAS_HOME="$folder" KERAS_BACKEND=numpy "$folder/venv/bin/python" - <<'PYTHON'
import keras


def made():
    layer = keras.layers.Dense(1)
    layer.build((1, 2))
    return str(layer.kernel.dtype)


assert made() == "float32"
keras.config.set_floatx("float64")
policy, weights = keras.config.dtype_policy().name, made()
keras.config.set_dtype_policy("float64")
print(f"floatx {keras.config.floatx()}, policy {policy}, weights {weights}; after set_dtype_policy {made()}")
assert (keras.config.floatx(), policy, weights, made()) == ("float64", "float32", "float32", "float64")
PYTHON
