"""Data sets that Debian packages."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.uint8]
    Labels = NDArray[np.int32]

__all__ = ["fashion_mnist"]
__dir__ = __all__.copy  # what completion offers

_ROOT = "/usr/share/datasets"


def fashion_mnist(
    path: str | os.PathLike[str] | None = None,
) -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """Fashion-MNIST: 60,000 training and 10,000 test images of ten kinds of clothing (Xiao et al., arXiv:1708.07747).

    Args:
        path: the folder of the four gzipped IDX files. None: ``fashion-mnist`` in the folder that the environment
            variable SWIFTCNN_DATASETS names, or in /usr/share/datasets, where Debian's package
            ``dataset-fashion-mnist`` puts them.

    Returns:
        ``(x, y), (x_test, y_test)``: uint8 images (N, 28, 28, 1) and int32 labels (N,).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not what its header says.
    """
    folder = os.path.join(os.environ.get("SWIFTCNN_DATASETS") or _ROOT, "fashion-mnist") if path is None else path
    return _pair(folder, "train"), _pair(folder, "t10k")


def _pair(folder: str | os.PathLike[str], part: str) -> tuple[Images, Labels]:
    images = _read_idx(os.path.join(folder, f"{part}-images-idx3-ubyte.gz"), axes=3)
    labels = _read_idx(os.path.join(folder, f"{part}-labels-idx1-ubyte.gz"), axes=1)
    if len(images) != len(labels):
        raise ValueError(f"{os.fspath(folder)}: {len(images)} {part} images, but {len(labels)} labels")
    return images[..., None], labels.astype(np.int32)


def _read_idx(path: str, axes: int) -> Images:
    """An array of bytes in the IDX format (http://yann.lecun.com/exdb/mnist): 0, 0, 8 (for uint8), the number of axes,
    their lengths as big-endian 32-bit integers, then the elements."""
    import gzip
    import zlib

    try:
        with gzip.open(path, "rb") as file:
            contents = file.read()
    except FileNotFoundError as error:
        error.strerror = (
            "no such file; install Debian's package dataset-fashion-mnist, pass path, or set SWIFTCNN_DATASETS"
        )
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from error
    start = 4 + 4 * axes
    if len(contents) < start or contents[:4] != bytes([0, 0, 8, axes]):
        raise ValueError(f"{path}: not an IDX file of bytes with {axes} axes")
    shape = tuple(int.from_bytes(contents[at : at + 4], "big") for at in range(4, start, 4))
    elements = np.frombuffer(contents, np.uint8, offset=start)
    if math.prod(shape) != elements.size:
        raise ValueError(f"{path}: the header says {shape}, but there are {elements.size} elements")
    return elements.reshape(shape).copy()  # writable, as arrays are expected to be
