"""Every example runs to its end, on a small data set and for one epoch; the page of Keras habits under Keras too."""

import gzip
import os
import pathlib
import subprocess
import sys

import golden
import numpy as np
import pytest

from conftest import PACKAGE_ROOT

EXAMPLES = sorted(path.name for path in pathlib.Path(PACKAGE_ROOT, "examples").glob("*.py"))
IN_KERAS = [name for name in EXAMPLES if name.startswith("keras_")]


@pytest.fixture
def datasets(tmp_path):
    """A folder with a Fashion-MNIST of 80 and 40 images, where the brighter ones are of later classes."""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    random = np.random.default_rng(2)
    for part, count in (("train", 80), ("t10k", 40)):
        labels = np.arange(count) % 10
        images = random.integers(0, 60, (count, 28, 28)) + 20 * labels[:, None, None]
        for name, array in ((f"{part}-images-idx3-ubyte.gz", images), (f"{part}-labels-idx1-ubyte.gz", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            (folder / name).write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))
    return tmp_path


@pytest.mark.parametrize("name", IN_KERAS if golden.IS_KERAS else EXAMPLES)
def test_the_example_runs(name, datasets, tmp_path):
    source = pathlib.Path(PACKAGE_ROOT, "examples", name).read_text()
    if golden.IS_KERAS:
        source = source.replace("from swiftcnn import", "from keras import")
    program, model = tmp_path / name, tmp_path / "made" / "model.keras"
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
