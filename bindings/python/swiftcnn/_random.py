"""The seeds of which layers draw their initial weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count

from ._checks import integer


def _seeds(seed: int | None) -> Iterator[int]:
    """One after another, none of them a seed that a user would give; None begins where the system says."""
    start = int.from_bytes(os.urandom(4), "little") if seed is None else integer(seed, "seed")
    return count(start + (1 << 32), 1 << 32)


# A script gives the same numbers at every run, unless it says otherwise.
_shared = _seeds(0)
_own: ContextVar[Iterator[int] | None] = ContextVar("_own", default=None)


def next_seed() -> int:
    """The next of those that all share, or within ``seeding`` of those there: 64 bits."""
    return next(_own.get() or _shared) % (1 << 64)


def set_seed(seed: int | None) -> None:
    """Begins the shared seeds anew; None takes one from the system."""
    global _shared
    _shared = _seeds(seed)


@contextmanager
def seeding(seed: int) -> Iterator[None]:
    """What is made within draws from seeds of its own; the shared ones stay as they are."""
    token = _own.set(_seeds(seed))
    try:
        yield
    finally:
        _own.reset(token)
