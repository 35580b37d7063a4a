"""What losses, metrics, schedules, initializers and regularizers have in common: they can be told as a dictionary, as
Keras's can."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

from ._checks import ArgumentError, entry, text

_Made = TypeVar("_Made")


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


def chosen(
    given: object,
    name: str,
    base: type[_Made],
    kinds: Mapping[str, Callable[..., _Made]],
    of_function: Callable[[Callable[..., Any]], _Made] | None = None,
    *,
    may_be_none: bool = False,
) -> _Made:
    """The object that an argument is: itself, or with default arguments that of its class or name, or as a layer's
    configuration tells it, ``{"class_name": "HeNormal", "config": {...}}``, or what ``of_function`` makes of another
    function.

    Raises:
        ValueError: the name is not known, or it is something else; then a TypeError too, in whose message None is
            allowed where ``may_be_none``.
    """
    if isinstance(given, base):
        return given
    if isinstance(given, type) and issubclass(given, base):
        return given()
    if isinstance(given, str):
        return entry(given, name, kinds)()
    if isinstance(given, Mapping) and isinstance(given.get("config"), Mapping) and "class_name" in given:
        return entry(text(given["class_name"], "class_name"), name, kinds)(**given["config"])
    if of_function is not None and callable(given) and not isinstance(given, type):
        return of_function(given)
    function = ", or a function" if of_function else ""
    none = "None, " if may_be_none else ""
    raise ArgumentError(f"{name} must be {none}a name or one of {base.__module__}{function}, got {given!r}")


def told(settings: object, name: str = "settings") -> str:
    """Settings as the library is told them; NumPy's numbers and arrays are numbers and lists.

    Raises:
        ArgumentError: JSON has no such value; the message says of which setting.
    """
    try:
        return json.dumps(settings, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        for key, value in settings.items() if isinstance(settings, Mapping) else ():
            told(value, str(key))
        raise ArgumentError(f"{name}: {error}, got {settings!r}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    raise TypeError(f"expected numbers, texts, and lists and dictionaries of such, not {type(value).__name__}")
