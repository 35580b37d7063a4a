"""What the reports on a model have in common: they are JSON, and as text a table."""

from __future__ import annotations

import json
from typing import Any


class Report:
    """A report of the library's, as JSON and as text. Two are equal where they say the same."""

    def __init__(self, numbers: str, text: str) -> None:
        self._json, self._text = numbers, text

    def __eq__(self, other: object) -> bool:
        """Whether both say the same."""
        return self._json == other._json if isinstance(other, Report) and type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._json)

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__

    def to_json(self) -> str:
        """All of it as JSON: what ``to_dict`` gives, as a text."""
        return self._json

    def to_dict(self) -> dict[str, Any]:
        """All of it in dictionaries and lists."""
        result: dict[str, Any] = json.loads(self._json)
        return result
