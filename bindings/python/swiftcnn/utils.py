"""What belongs nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _arrays, _random
from ._checks import integer
from .layers.base import clear_session

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Floats

__all__ = ["clear_session", "set_random_seed", "to_categorical"]


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
