"""What the Python tests share: the package of this tree, and small models and data that train in milliseconds."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

PACKAGE_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "bindings", "python"))
sys.path.insert(0, PACKAGE_ROOT)

import swiftcnn  # noqa: E402

# What a shell runs in the background ignores Ctrl-C, and tests of it would go on for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def make_model(**options) -> swiftcnn.Model:
    """A ResNet-20 for 8x8 images of ten classes."""
    return swiftcnn.create_model("resnet20", **{"input_shape": (8, 8, 1), "classes": 10, **options})


@pytest.fixture
def model() -> swiftcnn.Model:
    """A small model, ready to train."""
    model = make_model()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    """40 images of pixels with their labels: the class is how bright the image is."""
    random = np.random.default_rng(1)
    y = random.integers(0, 10, 40)
    x = random.integers(0, 60, (40, 8, 8, 1)) + 20 * y[:, None, None, None]
    return x.astype(np.uint8), y


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """While its context lasts, writing to a file fails after a kilobyte, as on a full disk."""

    @contextmanager
    def filled() -> Iterator[None]:
        resource = pytest.importorskip("resource")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return filled


@pytest.fixture
def run_python() -> Callable[[str], str]:
    """Runs a program in a process of its own and gives what it prints."""

    def run(program: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
            env={**os.environ, "PYTHONPATH": PACKAGE_ROOT},
            capture_output=True,
            text=True,
            timeout=60,
            # Ctrl-C is ignored in what a shell runs in the background, and so in its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def datasets(tmp_path) -> Path:
    """A folder, for SWIFTCNN_DATASETS, with a Fashion-MNIST of 80 and 40 images, where the brighter ones are of later
    classes."""
    folder: Path = tmp_path / "fashion-mnist"
    folder.mkdir()
    random = np.random.default_rng(2)
    for part, count in (("train", 80), ("t10k", 40)):
        labels = np.arange(count) % 10
        images = random.integers(0, 60, (count, 28, 28)) + 20 * labels[:, None, None]
        for name, array in ((f"{part}-images-idx3-ubyte.gz", images), (f"{part}-labels-idx1-ubyte.gz", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            (folder / name).write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))
    return folder.parent
