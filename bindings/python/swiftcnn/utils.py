"""What belongs nowhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _pictures, _random
from ._checks import ArgumentError, boolean, choice, integer, text, unsupported
from ._drawings import save_svg
from ._folders import ImageFolder
from ._names import clear_session
from ._output import say

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from ._arrays import Array, Floats
    from .models import Model

__all__ = [
    "clear_session",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "plot_model",
    "set_random_seed",
    "to_categorical",
]
__dir__ = __all__.copy  # what completion offers


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


def image_dataset_from_directory(
    directory: str | bytes | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int = 32,
    image_size: Sequence[int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = True,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
    **options: Any,
) -> ImageFolder | tuple[ImageFolder, ImageFolder]:
    """Pictures in folders, one for each class, by the arguments of Keras: an ``ImageFolder``, which ``fit``,
    ``evaluate`` and ``predict`` take.

    Args:
        directory: the folder.
        labels: ``"inferred"``: the folders are the classes.
        label_mode: ``"int"``, ``"binary"`` or ``"categorical"``, as ``ImageFolder`` has them.
        class_names: the folders that are classes, in the order of their numbers; None is all, sorted.
        color_mode: ``"rgb"`` or ``"grayscale"``.
        image_size: (height, width), which pictures are given whatever becomes of their proportions, ...
        crop_to_aspect_ratio: ... or the largest middle of these proportions is.
        seed: of the order, and of what is held back. None is 0.
        validation_split: the share that is held back.
        subset: ``"training"``, ``"validation"``, or ``"both"`` for the two.
        interpolation: as ``ImageFolder`` has it.
        follow_links, pad_to_aspect_ratio, data_format: only as they are.
        verbose: whether it is told how many files were found.
        options: what else ``ImageFolder`` takes, as ``horizontal_flip``.

    Raises:
        OSError, ValueError, TypeError: as of ``ImageFolder``, or for what there is not here.
    """
    if not isinstance(labels, str) or labels != "inferred":
        raise unsupported("labels", labels, "'inferred': fit(x, y) takes labels of your own, with utils.load_img")
    mode = choice(label_mode, "label_mode", ("int", "binary", "categorical", None))
    if mode is None:
        raise unsupported("label_mode", None, "'int': predict passes labels over")
    if boolean(pad_to_aspect_ratio, "pad_to_aspect_ratio"):
        raise unsupported("pad_to_aspect_ratio", True, "crop_to_aspect_ratio=True, or False to distort")
    if not boolean(follow_links, "follow_links"):
        raise unsupported("follow_links", False, "True")
    if data_format not in (None, "channels_last"):
        raise unsupported("data_format", data_format, "'channels_last'")
    if (validation_split is None) != (subset is None):
        raise ValueError("validation_split and subset go together: give both, or neither")
    parts = ("training", "validation") if subset == "both" else (subset,)
    channels = {"rgb": 3, "grayscale": 1}[choice(color_mode, "color_mode", ("rgb", "grayscale"))]
    found = [
        ImageFolder(
            directory,
            image_size,
            batch_size,
            channels=channels,
            shuffle=shuffle,
            seed=0 if seed is None else seed,
            resize=None if boolean(crop_to_aspect_ratio, "crop_to_aspect_ratio") else image_size,
            interpolation=interpolation,
            label_mode=mode,
            class_names=class_names,
            validation_split=validation_split or 0.0,
            subset=part,
            **options,
        )
        for part in parts
    ]
    classes = len(found[0].class_names)
    if boolean(verbose, "verbose"):
        counts = " and ".join(f"{each.count} file{'s' * (each.count != 1)}" for each in found)
        say(f"Found {counts} of {classes} class{'es' * (classes != 1)}.")
    return (found[0], found[1]) if subset == "both" else found[0]


def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] = "model.svg",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = True,
    dpi: int | None = None,
    show_layer_activations: bool = True,
    show_trainable: bool = False,
) -> None:
    """Draws the network as an SVG file, which browsers show: boxes of operations from the inputs down to the outputs,
    with a frame round each block of layers. A long network goes on in further columns.

    Args:
        model: the model, which has to be built.
        to_file: ends in ``.svg``.
        show_shapes: shows the shapes of the results, without the batch.
        show_layer_names: shows the names of the layers.
        show_dtype, rankdir, expand_nested, dpi, show_layer_activations, show_trainable: Keras's, without effect.

    Raises:
        OSError: the file cannot be written.
        ValueError: another ending, or the model is not built or too large to be drawn.
    """
    options = {"shapes": boolean(show_shapes, "show_shapes"), "names": boolean(show_layer_names, "show_layer_names")}
    save_svg(model._handle.draw(json.dumps(options)), to_file, "to_file")
