"""Models in integers of 8 bits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _batches
from ._arrays import count_of
from ._folders import ImageFolder
from ._warnings import pass_on
from .models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence


def quantize(
    model: Model,
    calibration: Any,
    method: Literal["minmax", "percentile", "entropy", "mse"] = "mse",
    *,
    per_channel: bool = True,
    skip: Sequence[str] = (),
    samples: int = 300,
    bias_correction: bool = True,
    percentile: float = 99.99,
) -> Model:
    """A model that computes in integers of 8 bits what ``model`` does in floats (Jacob et al. 2018).

    It is a model like any other, of about a quarter of the size in files. ``model`` stays as it is. Batch
    normalisations become part of the convolutions before them; uint8 pixels are read as they come. The same integers
    come of it on every processor.

    Args:
        model: a model whose network is known.
        calibration: images as ``predict`` takes them, a few hundred like those that will come; or batches of such, or
            an ``ImageFolder``. From them come the ranges of activations.
        method: how a range is found: ``"minmax"``, the smallest and the largest number; ``"percentile"``;
            ``"entropy"``, the least divergence (Migacz 2017); ``"mse"``, the least squared error.
        per_channel: whether each output channel of a weight has a scale of its own.
        skip: names of layers that stay in floats; ``*`` stands for anything.
        samples: how many images are looked at, at most.
        bias_correction: whether biases take back what the rounding of weights changes of each channel's mean (Nagel et
            al. 2019, section 4.2).
        percentile: the share of the numbers that lie within a range, in percent, for ``"percentile"``.

    Raises:
        ValueError, TypeError: an argument does not fit; the message names it.
        RuntimeError: the model is quantised already.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, got {type(model).__name__}")
    if isinstance(skip, str):
        raise TypeError(f"skip must be a list of names, got {skip!r}")
    options = {
        "method": method, "per_channel": per_channel, "skip": list(skip), "samples": samples, "percentile": percentile,
        "bias_correction": bias_correction,
    }
    images = _images_of(model, calibration, samples)
    quantized = model._handle.quantize(images, json.dumps(options))
    pass_on(model._handle)
    return Model._of(quantized)


def _images_of(model: Model, calibration: Any, samples: int) -> Any:
    """The images as one array for each input; of batches, as many as are looked at."""
    if not _batches.is_source(calibration):
        model._prepare(calibration)
        return model._images(calibration)
    if isinstance(calibration, ImageFolder):
        calibration = model._folder(calibration, "prediction")
    parts: list[Any] = []
    count = 0
    for item in calibration:
        part = _batches.unpack(item, "calibration")[0]
        model._prepare(part)
        images = model._images(part)
        parts.append(images)
        count += count_of(images)
        if count >= samples:
            break
    if not parts:
        raise ValueError("calibration has no batches; expected one at least")
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
