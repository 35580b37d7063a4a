"""Samples with targets that are looked at all at once: ``(x, y)``, batches of such, or a folder of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _batches
from ._folders import ImageFolder

if TYPE_CHECKING:
    from .models import Model


def labelled_of(model: Model, data: Any, name: str) -> tuple[Any, Any]:
    """Samples and targets as the library takes them, of an argument ``name``: ``(x, y)``, batches of such, of which all
    are taken, or an ``ImageFolder``."""
    if not _batches.is_source(data):
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise TypeError(f"{name} must be (x, y), or batches of such, got {type(data).__name__}")
        return _checked(model, data[0], data[1], name)
    if isinstance(data, ImageFolder):
        data = model._folder(data, "classification", name)
    xs: list[Any] = []
    ys: list[Any] = []
    for item, _ in _batches.feed_of(data, None).epoch(0):
        x, y, weights = _batches.unpack(item, name)
        if weights is not None:
            raise ValueError(f"{name} has sample weights; expected batches of (x, y)")
        for whole, part in zip((xs, ys), _checked(model, x, y, name), strict=True):
            whole.append(part)
    return joined(xs, name), joined(ys, f"{name} y")


def _checked(model: Model, x: Any, y: Any, name: str) -> tuple[Any, Any]:
    """Samples and their targets."""
    model._prepare(x, f"{name} x")
    images = model._images(x, f"{name} x")
    return images, _arrays.targets(y, model._handle.output_shape(_arrays.shapes_of(images), None), f"{name} y")


def joined(parts: list[Any], name: str) -> Any:
    """Batches as one; of several inputs, one for each."""
    if not parts:
        raise ValueError(f"{name} has no batches; expected one at least")
    if isinstance(parts[0], tuple):
        return tuple(joined(list(arrays), name) for arrays in zip(*parts, strict=True))
    kinds = {f"{part.dtype.name} {part.shape[1:]}" for part in parts}
    if len(kinds) > 1:
        raise ValueError(f"{name} has batches with samples of {' and '.join(sorted(kinds))}; expected all alike")
    return np.concatenate(parts)
