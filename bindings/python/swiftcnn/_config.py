"""What losses, metrics, schedules, initializers and regularizers have in common: they can be told as a dictionary, as
Keras's can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from ._checks import text, unsupported


class Described:
    """An object that its constructor's arguments describe in full."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name: here all attributes."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The object that such a dictionary describes.

        Raises:
            TypeError: a key is no argument of the constructor.
        """
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_config().items())})"


class Configured(Described):
    """The same, where the arguments are kept beside what was made of them."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self._config = dict(config)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return dict(self._config)


def name_or(name: str | None, default: str) -> str:
    """The name that was given, or the default."""
    return default if name is None else text(name, "name")


def check_dtype(dtype: object) -> None:
    """Refuses every dtype but the one there is."""
    if dtype not in (None, "float32"):
        raise unsupported("dtype", dtype, "None or 'float32'")
