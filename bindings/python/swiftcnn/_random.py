"""The generator from which layers draw their initial weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._checks import integer

if TYPE_CHECKING:
    from numpy.random import Generator

# A script gives the same numbers at every run, unless it says otherwise. Made when first needed: importing numpy.random
# takes as long as this package.
_shared: Generator | None = None


def seeded(seed: int | None) -> Generator:
    """A generator of its own; None takes a seed from the system."""
    return np.random.default_rng(None if seed is None else integer(seed, "seed"))


def generator() -> Generator:
    """The one that all share."""
    global _shared
    if _shared is None:
        _shared = seeded(0)
    return _shared


def set_seed(seed: int | None) -> None:
    """Begins the shared generator anew; None takes a seed from the system."""
    global _shared
    _shared = seeded(seed)
