"""What losses, metrics, schedules, initializers and regularizers have in common: they can be told as a dictionary, as
Keras's can."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

from ._checks import ArgumentError, entry, text, unexpected, unsupported

_Init = TypeVar("_Init", bound=Callable[..., None])
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


class Configured(Described):
    """The same, where the arguments are kept beside what was made of them."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self._config = dict(config)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return dict(self._config)


def declared(made: _Init) -> _Init:
    """An ``__init__`` without a body of its own: the class's ``_declare`` is given the arguments by name."""
    signature = inspect.signature(made)
    is_open = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())

    @functools.wraps(made)
    def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
        unheard = [name for name in kwargs if name not in signature.parameters and not is_open]
        if unheard:  # as Python says it, before what is missing
            raise unexpected(type(self).__name__, unheard[0])
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        self._declare(**dict(list(bound.arguments.items())[1:]))

    return initialize  # type: ignore[return-value]


def chosen(
    given: object,
    name: str,
    base: type[_Made],
    kinds: Mapping[str, Callable[..., _Made]],
    of_function: Callable[[Callable[..., Any]], _Made] | None = None,
) -> _Made:
    """The object that an argument is: itself, or with default arguments that of its class or name, or as a layer's
    configuration tells it, ``{"class_name": "HeNormal", "config": {...}}``, or what ``of_function`` makes of another
    function.

    Raises:
        ValueError: the name is not known, or it is something else; then a TypeError too.
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
    raise ArgumentError(f"{name} must be a name or one of {base.__module__}{function}, got {given!r}")


def told(settings: object) -> str:
    """Settings as the library is told them; NumPy's numbers and arrays are numbers and lists."""
    return json.dumps(settings, default=lambda value: value.tolist())


def name_or(name: str | None, default: str) -> str:
    """The name that was given, or the default."""
    return default if name is None else text(name, "name")


def check_dtype(dtype: object) -> None:
    """Refuses every dtype but the one there is."""
    if dtype not in (None, "float32"):
        raise unsupported("dtype", dtype, "None or 'float32'")
