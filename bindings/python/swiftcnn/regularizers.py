"""Penalties on weights that are added to the loss, with Keras's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._config import chosen
from ._described import WithOptions

__all__ = ["L1", "L1L2", "L2", "Regularizer", "l1", "l1_l2", "l2"]
__dir__ = __all__.copy  # what completion offers


class Regularizer(WithOptions):
    """``l1 * sum(|w|) + l2 * sum(w ** 2)``.

    Attributes:
        l1, l2: 0 or more.
    """

    l1 = 0.0
    l2 = 0.0

    def __post_init__(self) -> None:
        for name, factor in (("l1", self.l1), ("l2", self.l2)):
            if factor < 0:
                raise ValueError(f"{name} must be 0 or more, got {factor}")


class L1(Regularizer):
    """``l1 * sum(|w|)``."""

    l1: float = 0.01


class L2(Regularizer):
    """``l2 * sum(w ** 2)``."""

    l2: float = 0.01


class L1L2(Regularizer):
    """Both: ``l1 * sum(|w|) + l2 * sum(w ** 2)``."""

    l1: float = 0.0
    l2: float = 0.0


l1, l2, l1_l2 = L1, L2, L1L2

_REGULARIZERS: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": L1L2}


def get(regularizer: str | Regularizer | Mapping[str, Any] | None, name: str = "regularizer") -> Regularizer | None:
    """The regularizer with a name as ``"l2"``, or the one given, or told by a layer's configuration as
    ``{"class_name": "L2", "config": {...}}``; None is none.

    Raises:
        ValueError: the name is not known, or it is neither a name nor a regularizer.
    """
    if regularizer is None:
        return None
    return chosen(regularizer, name, Regularizer, _REGULARIZERS, may_be_none=True)
