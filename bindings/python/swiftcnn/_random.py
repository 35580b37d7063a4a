"""The generator from which layers draw their initial weights and seeds."""

from __future__ import annotations

import numpy as np

from ._checks import integer

# A script gives the same numbers at every run, unless it says otherwise.
_generator = np.random.default_rng(0)


def seeded(seed: int) -> np.random.Generator:
    """A generator of its own."""
    return np.random.default_rng(integer(seed, "seed"))


def generator() -> np.random.Generator:
    """The one that all share."""
    return _generator


def set_seed(seed: int | None) -> None:
    """Begins the shared generator anew; None takes a seed from the system."""
    global _generator
    _generator = np.random.default_rng(None if seed is None else integer(seed, "seed"))


def draw_seed() -> int:
    """A seed for the library."""
    return int(_generator.integers(2**31))
