"""Data sets are read as their headers say, or not at all."""

import gzip
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import swiftcnn
from swiftcnn import datasets

from conftest import PACKAGE_ROOT

INSTALLED = "/usr/share/datasets/fashion-mnist"


def write(folder, name, array, magic=None, shape=None):
    shape = array.shape if shape is None else shape
    header = bytes([0, 0, 8, len(shape)]) if magic is None else magic
    sizes = b"".join(size.to_bytes(4, "big") for size in shape)
    (folder / name).write_bytes(gzip.compress(header + sizes + array.tobytes()))


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for part, count in (("train", 5), ("t10k", 3)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write(tmp_path, f"{part}-images-idx3-ubyte.gz", images)
        write(tmp_path, f"{part}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8))
    return tmp_path


def test_images_and_labels_are_read(folder):
    (x, y), (xt, yt) = datasets.fashion_mnist(folder)
    assert x.shape == (5, 28, 28, 1) and xt.shape == (3, 28, 28, 1)
    assert x.dtype == np.uint8 and x.flags.c_contiguous and x.flags.writeable
    np.testing.assert_array_equal(x[..., 0], np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8))
    assert y.dtype == np.int32 and y.tolist() == [0, 1, 2, 3, 4] and yt.tolist() == [0, 1, 2]


def test_the_environment_says_where(folder, tmp_path, monkeypatch):
    (tmp_path / "fashion-mnist").symlink_to(folder)
    monkeypatch.setenv("SWIFTCNN_DATASETS", str(tmp_path))
    assert len(datasets.fashion_mnist()[0][0]) == 5


def test_the_example_trains_prints_and_saves(folder, tmp_path):
    (tmp_path / "fashion-mnist").symlink_to(folder)
    path = tmp_path / "made" / "m.safetensors"
    done = subprocess.run(
        [sys.executable, os.path.join(PACKAGE_ROOT, "examples", "fashion_mnist.py"), "--epochs", "2", str(path)],
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT, "SWIFTCNN_DATASETS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["1/2", "2/2"]
    assert re.fullmatch(r"test accuracy: [01]\.\d{4}", lines[2])
    assert re.fullmatch(r"training time: \d+\.\d s", lines[3])
    model = swiftcnn.load_model(path)
    assert model.normalization == ((0.2860,), (0.3530,))
    accuracy = np.mean(model.predict(datasets.fashion_mnist(folder)[1][0]).argmax(1) == [0, 1, 2])
    assert lines[2] == f"test accuracy: {accuracy:.4f}"


def test_a_missing_set_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="dataset-fashion-mnist.*train-images"):
        datasets.fashion_mnist(tmp_path)


def test_a_file_that_lies_is_refused(folder):
    name, labels = "train-labels-idx1-ubyte.gz", np.zeros(5, np.uint8)
    write(folder, name, labels, shape=(2**31 - 1,))
    with pytest.raises(ValueError, match="header says"):
        datasets.fashion_mnist(folder)
    write(folder, name, labels, magic=b"\0\0\x0d\x01")
    with pytest.raises(ValueError, match="not an IDX file"):
        datasets.fashion_mnist(folder)
    write(folder, name, labels[:4])
    with pytest.raises(ValueError, match="5 train images, but 4 labels"):
        datasets.fashion_mnist(folder)
    (folder / name).write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="gzip"):
        datasets.fashion_mnist(folder)
    (folder / name).write_bytes(gzip.compress(bytes(100))[:-9])
    with pytest.raises(ValueError, match="gzip"):
        datasets.fashion_mnist(folder)


@pytest.mark.skipif(not os.path.isdir(INSTALLED), reason="dataset-fashion-mnist is not installed")
def test_the_installed_set_is_whole():
    (x, y), (xt, yt) = datasets.fashion_mnist()
    assert x.shape == (60000, 28, 28, 1) and xt.shape == (10000, 28, 28, 1)
    assert np.bincount(y).tolist() == [6000] * 10 and np.bincount(yt).tolist() == [1000] * 10
    assert x.mean() / 255 == pytest.approx(0.2860, abs=1e-4)
    assert x[::10].std() / 255 == pytest.approx(0.3530, abs=2e-3)
