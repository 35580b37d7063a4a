#!/usr/bin/env bash
# keras 3.15.1: a model of the policy "bfloat16" is saved as .h5 without a word, and Keras itself cannot load that file. HDF5
# has no such type, so the elements are two opaque bytes; in .weights.h5 and .keras each array has an attribute dtype =
# "bfloat16" beside it, in .h5 there is none. Whoever reads .h5 has to take opaque elements of two bytes for bfloat16.
#
# Guess before trying: .h5 says the type as .weights.h5 does, or saving is refused. Output seen:
#   .weights.h5: |V2 {'dtype': 'bfloat16'}; .h5: |V2 {}; loading .h5: Error interpreting argument to stage as ...
# (a TypeError, with JAX; with PyTorch: ValueError Invalid dtype: void16)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 jax==0.10.2 jaxlib==0.10.2 keras==3.15.1 h5py==3.16.0
cd "$folder"
KERAS_HOME="$folder" KERAS_BACKEND=jax "$folder/venv/bin/python" - <<'PYTHON' 2>&1 | grep -v "legacy"
import h5py
import keras

keras.config.set_dtype_policy("bfloat16")
model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, name="d")])
model.save_weights("w.weights.h5")
model.save("m.h5")
with h5py.File("w.weights.h5") as weights, h5py.File("m.h5") as whole:
    told = weights["layers/dense/vars/0"]
    silent = whole["model_weights/d/sequential/d/kernel"]
    print(f".weights.h5: {told.dtype} {dict(told.attrs)}; .h5: {silent.dtype} {dict(silent.attrs)}", end="; ")
    assert (told.dtype, told.attrs["dtype"], silent.dtype, len(silent.attrs)) == ("V2", "bfloat16", "V2", 0)
try:
    keras.models.load_model("m.h5")
except TypeError as error:
    print(f"loading .h5: {str(error).splitlines()[0][:40]}...")
else:
    raise AssertionError("it is loaded")
PYTHON
