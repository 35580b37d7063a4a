"""What the library is told of sparse weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._checks import number, text, texts
from ._config import told

if TYPE_CHECKING:
    from collections.abc import Iterable


def told_sparsity(
    sparsity: float | None, pattern: str, scope: str, skip: Iterable[str], include: Iterable[str]
) -> str:
    """What the library is told. Raises TypeError and ValueError naming an argument."""
    return told({
        "sparsity": None if sparsity is None else number(sparsity, "sparsity"), "pattern": text(pattern, "pattern"),
        "scope": text(scope, "scope"), "skip": texts(skip, "skip"), "include": texts(include, "include"),
    })
