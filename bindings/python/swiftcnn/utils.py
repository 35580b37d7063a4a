"""What belongs nowhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _pictures, _random
from ._checks import ArgumentError, boolean, choice, integer, text
from ._names import clear_session

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from ._arrays import Array, Floats

__all__ = ["clear_session", "img_to_array", "load_img", "set_random_seed", "to_categorical"]


def set_random_seed(seed: int | None) -> None:
    """Begins the random numbers anew of which initial weights are made: the same seed gives the same weights. Without
    it every run of a script gives the same ones; None takes a seed from the system.

    What training draws (order, dropout, augmentation) depends on the seed of ``compile``.

    Raises:
        ValueError: a negative seed.
    """
    _random.set_seed(seed)


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> Floats:
    """Labels as vectors with a 1 at the place of the label and 0 elsewhere, for ``"categorical_crossentropy"``.

    Args:
        x: whole numbers from 0 on, (...) or (..., 1).
        num_classes: the length of the vectors; None is the largest label plus 1.

    Returns:
        float32 (..., num_classes).

    Raises:
        ValueError: a label that is no whole number in 0 to num_classes - 1, or no labels and no ``num_classes``.
    """
    array = _arrays.numeric(x, "x")
    if array.ndim > 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if num_classes is None and array.size == 0:
        raise ValueError("num_classes is missing: there is no label that would tell it")
    count = None if num_classes is None else integer(num_classes, "num_classes", minimum=1)
    labels = _arrays.labels(array, count, "x").astype(np.intp)
    if count is None:
        count = int(labels.max()) + 1
    result = np.zeros((*labels.shape, count), np.float32)
    np.put_along_axis(result, labels[..., None], 1, axis=-1)
    return result


_CHANNELS = {"rgb": 3, "grayscale": 1, "rgba": 4}


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: Sequence[int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Array:
    """Reads a JPEG or PNG file, upright by its Exif orientation. ``Model.classify`` and ``Model.preprocess`` read files
    themselves.

    Args:
        path: a path, the contents of a file, or a file that is open.
        color_mode: ``"rgb"``, ``"grayscale"`` or ``"rgba"``.
        target_size: (height, width) to resize it to; None leaves it as it is.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"box"``, ``"hamming"`` or ``"lanczos"``, as
            Pillow's, all but the first with antialiasing.
        keep_aspect_ratio: first cuts out the largest middle of the target's proportions.

    Returns:
        uint8 (height, width, channels); Keras gives an image of Pillow's. ``img_to_array`` makes floats of either.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no picture, or damaged.
    """
    channels = _CHANNELS[choice(color_mode, "color_mode", tuple(_CHANNELS))]
    filter, keeps = text(interpolation, "interpolation"), boolean(keep_aspect_ratio, "keep_aspect_ratio")
    made = _pictures.picture(path, channels, "path")
    if target_size is None:
        return _pictures.pixels(made)
    if isinstance(target_size, (str, bytes)) or not hasattr(target_size, "__len__") or len(target_size) != 2:
        raise ArgumentError(f"target_size must be (height, width), got {target_size!r}")
    height, width = (integer(size, "target_size", minimum=1) for size in target_size)
    if keeps:
        rows, columns, _ = _pictures.pixels(made).shape
        part = [min(rows, max(1, columns * height // width)), min(columns, max(1, rows * width // height))]
        made = made.resize(json.dumps({"crop": part}))
    return _pictures.pixels(made.resize(json.dumps({"resize": [height, width], "interpolation": filter})))


def img_to_array(img: Any, data_format: str | None = None, dtype: DTypeLike = "float32") -> Array:
    """A picture as an array (height, width, channels) of ``dtype``, its numbers as they are, 0 to 255.

    uint8 arrays are pixels to a model; those of floats it takes as they stand: see ``Model.preprocess``.

    Args:
        img: what ``load_img`` gives, an image of Pillow's, or an array (height, width) or (height, width, channels).
        data_format: ``"channels_last"`` or None; ``"channels_first"`` gives (channels, height, width).
    """
    first = choice(data_format, "data_format", (None, "channels_last", "channels_first")) == "channels_first"
    array = np.asarray(img, dtype)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3:
        raise ValueError(f"img must be (height, width) or (height, width, channels), got shape {array.shape}")
    return array.transpose(2, 0, 1) if first else array
