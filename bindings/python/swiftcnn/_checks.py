"""Checks of single arguments. What a value may be is the library's affair, and its messages say it; here is what would
not even reach it: values of the wrong kind, and numbers that JSON cannot carry."""

from __future__ import annotations

import functools
import inspect
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, SupportsFloat, SupportsIndex, TypeVar

_Entry = TypeVar("_Entry")
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_LARGEST = 2**31 - 1


class ArgumentError(TypeError, ValueError):
    """An argument of the wrong kind: what Python calls a TypeError, and Keras mostly a ValueError."""


def integer(value: Any, name: str, *, minimum: int = 0, maximum: int = _LARGEST) -> int:
    """``value`` as an int; a ``bool`` or a float is a TypeError, out of ``minimum`` to ``maximum`` (as a rule 2^31 - 1)
    a ValueError."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:  # also of an array, which has the method but is no number
        raise ArgumentError(f"{name} must be an integer, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    if number > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {number}")
    return number


def number(value: object, name: str) -> float:
    """``value`` as a finite float."""
    try:
        if isinstance(value, bool) or not isinstance(value, (SupportsFloat, SupportsIndex)):
            raise TypeError
        converted = float(value)
    except TypeError:
        raise ArgumentError(f"{name} must be a number, got {value!r}") from None
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted):
        raise ValueError(f"{name} must be finite, got {converted}")
    return converted


def boolean(value: object, name: str) -> bool:
    """``value`` as a bool; only True, False and NumPy's are accepted."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise ArgumentError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def text(value: object, name: str) -> str:
    """``value`` as it is, which must be a str that C can hold."""
    if not isinstance(value, str):
        raise ArgumentError(f"{name} must be a string, got {value!r}")
    if "\0" in value:
        raise ValueError(f"{name} must not hold NUL characters, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} is no valid text: {error}") from None
    return value


def texts(values: object, name: str) -> list[str]:
    """A list of texts, each of which C can hold; not a text by itself."""
    if isinstance(values, (str, bytes, bytearray)) or not isinstance(values, Iterable):
        raise ArgumentError(f"{name} must be a list of names, got {values!r}")
    return [text(value, f"{name}[{place}]") for place, value in enumerate(values)]


def type_name(value: object, name: str) -> str:
    """The name of the element type that ``value`` is: a text as ``"bfloat16"``, or a type of NumPy's, PyTorch's, JAX's,
    TensorFlow's or of ml_dtypes."""
    if str(value).startswith("torch."):
        return str(value).removeprefix("torch.")
    found = value.__name__ if isinstance(value, type) else getattr(getattr(value, "dtype", value), "name", value)
    return text(found, name)


def path_of(value: object, name: str) -> str | bytes:
    """``value``, a str, bytes or path object, as what the system takes."""
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise ArgumentError(f"{name} must be a path, got {value!r}")
    return os.fspath(value)


def readable(value: object, name: str) -> str | bytes:
    """As ``path_of``, for a file that can be opened: otherwise the system's own exception, as FileNotFoundError. A
    folder is left to the library, which says what it is."""
    path = path_of(value, name)
    if not os.path.isdir(path):
        with open(path, "rb"):
            pass
    return path


def nearest(value: str, names: Iterable[str]) -> str:
    """The end of a message about a name that is not known: the one that is meant, where that can be told, as
    "learning_rate" by "lr"."""
    from difflib import get_close_matches

    known = sorted(names)
    initials = [name for name in known if "".join(word[:1] for word in name.split("_")) == value.lower()]
    found = initials or get_close_matches(value, known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def unknown(kind: str, value: str, names: Iterable[str]) -> ValueError:
    """The error for a name that is not known, which suggests the nearest."""
    known = sorted(names)
    hint = nearest(value, known) or "; known are " + ", ".join(map(repr, known))
    return ValueError(f"unknown {kind} {value!r}{hint}")


def unexpected(called: str, name: str, names: Iterable[str] = ()) -> ArgumentError:
    """The error for an argument that is none of ``names``, in Python's words; suggests the nearest."""
    return ArgumentError(f"{called}() got an unexpected keyword argument {name!r}{nearest(name, names)}")


def suggesting(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """The function, which of an argument that it does not have says the nearest one."""

    @functools.wraps(function)
    def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            names = [name for name in kwargs if f"() got an unexpected keyword argument {name!r}" in str(error)]
            if not names or error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
        raise unexpected(call.__qualname__, names[0], inspect.signature(function).parameters)

    return call


def entry(value: str, kind: str, table: Mapping[str, _Entry]) -> _Entry:
    """The entry of ``table`` under a name as ``"mean_squared_error"``, ``"MeanSquaredError"`` or an alias of it."""
    plain = {name.replace("_", "").lower(): found for name, found in table.items()}
    try:
        return plain[value.replace("_", "").lower()]
    except KeyError:
        raise unknown(kind, value, table) from None


def choice(value: object, name: str, options: tuple[_Entry, ...]) -> _Entry:
    """The option that ``value`` is."""
    for option in options:
        if value is option or (type(value) is type(option) and value == option):
            return option
    *others, last = map(repr, options)
    raise ValueError(f"{name} must be {', '.join(others) + ' or ' if others else ''}{last}, got {value!r}")


def unsupported(name: str, value: object, expected: str) -> ValueError:
    """The error for what Keras has and this library has not."""
    return ValueError(f"{name}={value!r} is not supported here: expected {expected}")
