"""What the library is told of pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._checks import integer, number, text, texts
from ._config import told

if TYPE_CHECKING:
    from collections.abc import Iterable


def told_pruning(
    ratio: float | None,
    macs: float | None,
    params: float | None,
    latency_ms: float | None,
    criterion: str,
    scope: str,
    round_to: str | int,
    skip: Iterable[str],
    min_channels: int,
    min_share: float,
    seed: int,
) -> str:
    """What the library is told. Raises TypeError and ValueError naming an argument."""
    targets = {"ratio": ratio, "macs": macs, "params": params, "latency_ms": latency_ms}
    return told({name: number(value, name) for name, value in targets.items() if value is not None} | {
        "criterion": text(criterion, "criterion"), "scope": text(scope, "scope"),
        "round_to": round_to if isinstance(round_to, str) else integer(round_to, "round_to"),
        "skip": texts(skip, "skip"), "min_channels": integer(min_channels, "min_channels"),
        "min_share": number(min_share, "min_share"), "seed": integer(seed, "seed"),
    })
