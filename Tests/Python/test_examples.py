"""Every example runs to its end, on a small data set and for one epoch; the page of Keras habits under Keras too."""

import os
import pathlib
import subprocess
import sys

import golden
import pytest

from conftest import PACKAGE_ROOT

# They need a file: test_photos.py runs two of them.
WITH_WEIGHTS = {"classify_photos.py", "finetune.py", "quantize.py"}
EXAMPLES = sorted({path.name for path in pathlib.Path(PACKAGE_ROOT, "examples").glob("*.py")} - WITH_WEIGHTS)
IN_KERAS = [name for name in EXAMPLES if name.startswith("keras_")]


@pytest.mark.parametrize("name", IN_KERAS if golden.IS_KERAS else EXAMPLES)
def test_the_example_runs(name, datasets, tmp_path):
    source = pathlib.Path(PACKAGE_ROOT, "examples", name).read_text()
    if golden.IS_KERAS:
        source = source.replace("from swiftcnn import", "from keras import")
    program, model = tmp_path / name, tmp_path / "made" / f"model{golden.ENDING}"
    program.write_text(source)
    assert f"saved {model}" in run(program, datasets, "--epochs", "1", str(model))
    assert model.stat().st_size > 1000


@pytest.mark.skipif(golden.IS_KERAS, reason="Keras has no quantize of a model's own")
def test_the_demos_model_is_quantised(datasets, tmp_path):
    examples = pathlib.Path(PACKAGE_ROOT, "examples")
    model, small = tmp_path / "float.safetensors", tmp_path / "int8.safetensors"
    run(examples / "fashion_mnist.py", datasets, "--epochs", "1", str(model))
    lines = run(examples / "quantize.py", datasets, str(model), str(small)).splitlines()
    sizes = {line.split()[0]: float(line.split()[1]) for line in lines[1:3]}
    assert sizes.keys() == {"float32", "int8"} and lines[3] == f"saved {small}"
    assert sizes["int8"] == round(small.stat().st_size / 1e3) < 0.4 * sizes["float32"]


def run(program, datasets, *arguments):
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT, "SWIFTCNN_DATASETS": str(datasets)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
