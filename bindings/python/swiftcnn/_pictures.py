"""From what is called a picture (a file, its contents, an image of Pillow's, an array) to the library's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _swiftcnn
from ._checks import ArgumentError, readable

if TYPE_CHECKING:
    from ._arrays import Array

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def listed(pictures: Any) -> list[Any] | None:
    """Several pictures as a list, or None where it is one."""
    if isinstance(pictures, (str, bytes, bytearray, memoryview, os.PathLike)) or _is_pillow(pictures):
        return None
    if isinstance(pictures, np.ndarray):
        return list(pictures) if pictures.ndim == 4 else None
    if hasattr(pictures, "read") or not isinstance(pictures, Iterable):
        return None
    return list(pictures)


def picture(value: Any, channels: int, name: str = "picture") -> _swiftcnn.Picture:
    """One picture.

    Args:
        value: a path; the contents of a file, or a file that is open; an image of Pillow's; or an array uint8 (height,
            width) or (height, width, channels).
        channels: 1, 3 or 4; 0 as the file has it.

    Raises:
        OSError: a file cannot be read.
        ValueError: no picture, or damaged.
    """
    if isinstance(value, (str, os.PathLike)):
        if os.path.isdir(value):
            raise IsADirectoryError(
                f"{name}: {os.fspath(value)!r} is a folder: give its files, as [*pathlib.Path(folder).glob('*.jpg')], "
                "or predict(swiftcnn.ImageFolder(folder)), which has a folder for each class"
            )
        return _swiftcnn.read_picture(readable(value, name), channels)
    if _is_pillow(value):
        return _swiftcnn.picture_from_pixels(_of_pillow(value, channels))
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _swiftcnn.decode_picture(value, channels)
    if hasattr(value, "__array__"):
        return _swiftcnn.picture_from_pixels(_pixels(np.asarray(value), name))
    raise ArgumentError(f"{name} must be a path, bytes of a file, an image of Pillow's or an array, got {value!r}")


def pixels(made: _swiftcnn.Picture) -> Array:
    """The pixels (height, width, channels), which are not copied."""
    return np.asarray(memoryview(made))  # type: ignore[arg-type, unused-ignore]


def _is_pillow(value: Any) -> bool:
    return hasattr(value, "getexif") and hasattr(value, "convert") and hasattr(value, "mode")


def _of_pillow(image: Any, channels: int) -> Array:
    """The pixels of an image, upright as those of a file are."""
    from PIL import ImageOps  # is there, since the image is

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits, which convert would cut off at 255
        wide = np.asarray(image)
        if image.mode != "I" or (wide.size and wide.max() > 255):
            return ((wide.clip(0, 65535).astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)
    if channels:
        image = image.convert(_MODES[channels])
    elif image.mode not in _MODES.values():
        image = image.convert("RGBA" if "A" in image.mode or "transparency" in image.info else "RGB")
    return np.ascontiguousarray(image)


def _pixels(array: Array, name: str) -> Array:
    """An array as uint8 pixels."""
    if array.dtype.kind not in "ui":
        raise ArgumentError(
            f"{name} must hold pixels of 0 to 255 in an integer dtype, got {array.dtype}; arrays that are prepared "
            "already are for predict"
        )
    if array.dtype != np.uint8:
        if array.size and (array.min() < 0 or array.max() > 255):
            raise ValueError(f"{name} must hold pixels of 0 to 255, got {array.min()} to {array.max()}")
        array = array.astype(np.uint8)
    return np.ascontiguousarray(array)
