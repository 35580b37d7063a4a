"""What the library is told of sparse weights."""

from __future__ import annotations

from collections.abc import Iterable

from ._checks import number, text
from ._config import told


def told_sparsity(
    sparsity: float | None, pattern: str, scope: str, skip: Iterable[str], include: Iterable[str]
) -> str:
    """What the library is told. Raises TypeError and ValueError naming an argument."""
    lists = {"skip": skip, "include": include}
    for name, value in lists.items():
        if isinstance(value, (str, bytes, bytearray)) or not isinstance(value, Iterable):
            raise TypeError(f"{name} must be a list of names, got {value!r}")
    scalars = {
        "sparsity": None if sparsity is None else number(sparsity, "sparsity"), "pattern": text(pattern, "pattern"),
        "scope": text(scope, "scope"),
    }
    return told(scalars | {
        name: [text(layer, f"{name}[{place}]") for place, layer in enumerate(value)] for name, value in lists.items()
    })
