"""The names of layers, and of classes in Keras's way."""

from __future__ import annotations

import re
from collections import Counter

_given: Counter[str] = Counter()


def clear_session() -> None:
    """Lets the numbers in the names of layers begin anew: ``conv2d``, ``conv2d_1``..."""
    _given.clear()


def unique_name(stem: str) -> str:
    """``stem``, or where it was given out before, with a number."""
    _given[stem] += 1
    return stem if _given[stem] == 1 else f"{stem}_{_given[stem] - 1}"


def keep_name(name: str) -> None:
    """Sees to it that ``unique_name`` does not give out a name that was given already, as to a layer of a file."""
    stem, _, number = name.rpartition("_")
    if not stem or not number.isdigit():
        stem, number = name, "0"
    _given[stem] = max(_given[stem], int(number[:9]) + 1)


def class_name(kind: type) -> str:
    """The name of a class as layers are called after it and as Keras's files have it: ``"conv2d"`` of ``Conv2D``."""
    name = kind.__name__
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()
