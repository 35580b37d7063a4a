"""Every example runs to its end, on a small data set and for one epoch; the page of Keras habits under Keras too."""

import os
import pathlib
import subprocess
import sys

import golden
import pytest

from conftest import PACKAGE_ROOT

WITH_WEIGHTS = {"classify_photos.py", "finetune.py"}  # They need a file: test_photos.py runs them.
EXAMPLES = sorted({path.name for path in pathlib.Path(PACKAGE_ROOT, "examples").glob("*.py")} - WITH_WEIGHTS)
IN_KERAS = [name for name in EXAMPLES if name.startswith("keras_")]


@pytest.mark.parametrize("name", IN_KERAS if golden.IS_KERAS else EXAMPLES)
def test_the_example_runs(name, datasets, tmp_path):
    source = pathlib.Path(PACKAGE_ROOT, "examples", name).read_text()
    if golden.IS_KERAS:
        source = source.replace("from swiftcnn import", "from keras import")
    program, model = tmp_path / name, tmp_path / "made" / f"model{golden.ENDING}"
    program.write_text(source)
    done = subprocess.run(
        [sys.executable, str(program), "--epochs", "1", str(model)],
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT, "SWIFTCNN_DATASETS": str(datasets)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert f"saved {model}" in done.stdout and model.stat().st_size > 1000
