"""What belongs nowhere else."""

from __future__ import annotations

from . import _random
from .layers.base import clear_session

__all__ = ["clear_session", "set_random_seed"]


def set_random_seed(seed: int | None) -> None:
    """Begins the random numbers anew of which initial weights are made: the same seed gives the same weights. Without it
    every run of a script gives the same ones; None takes a seed from the system.

    What training draws (order, dropout, augmentation) depends on the seed of ``compile``.

    Raises:
        ValueError: a negative seed.
    """
    _random.set_seed(seed)
