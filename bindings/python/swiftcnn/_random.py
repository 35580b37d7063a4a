"""The generator from which layers draw their initial weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np

from ._checks import integer

if TYPE_CHECKING:
    from numpy.random import Generator

# A script gives the same numbers at every run, unless it says otherwise. Made when first needed: importing numpy.random
# takes as long as this package.
_shared: Generator | None = None

_own: ContextVar[Generator | None] = ContextVar("_own", default=None)


def seeded(seed: int | None) -> Generator:
    """A generator of its own; None takes a seed from the system."""
    return np.random.default_rng(None if seed is None else integer(seed, "seed"))


def generator() -> Generator:
    """The one that all share, or within ``seeding`` the one there."""
    global _shared
    own = _own.get()
    if own is not None:
        return own
    if _shared is None:
        _shared = seeded(0)
    return _shared


def set_seed(seed: int | None) -> None:
    """Begins the shared generator anew; None takes a seed from the system."""
    global _shared
    _shared = seeded(seed)


@contextmanager
def seeding(seed: int) -> Iterator[None]:
    """What is made within draws from a generator of its own; the shared one stays as it is."""
    token = _own.set(seeded(seed))
    try:
        yield
    finally:
        _own.reset(token)
