"""Values of Python as a text and bytes, from which they come back as they were: numbers, texts, lists and dictionaries
in JSON, the contents of arrays as bytes behind each other. Nothing that is read is executed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

# What JSON has; a list is an object of its own kind there.
_AS_THEY_ARE = (type(None), bool, int, float, str)
_NUMBERS = "biufc"


class Writer:
    """Makes JSON values of plain values, and gathers the contents of arrays."""

    def __init__(self) -> None:
        self.data = bytearray()

    def written(self, value: Any, name: str) -> Any:
        """The value as JSON has it.

        Raises:
            TypeError: it is, or holds, something that is not plain; the message has the name.
        """
        kind = type(value)
        if kind in _AS_THEY_ARE:
            return value
        if kind is list:
            return [self.written(item, f"{name}[{index}]") for index, item in enumerate(value)]
        if kind is dict and all(type(key) is str for key in value):
            return {"dict": {key: self.written(item, f"{name}[{key!r}]") for key, item in value.items()}}
        if kind is dict:
            return {"items": self.written([[*pair] for pair in value.items()], name)}
        if kind in (tuple, set, frozenset):
            return {kind.__name__: self.written(list(value), name)}
        if kind is np.ndarray or isinstance(value, np.generic):
            array = np.asarray(value)
            if array.dtype.kind in _NUMBERS:
                start = len(self.data)
                self.data += array.tobytes()
                return {"array" if kind is np.ndarray else "number": [array.dtype.str, list(array.shape), start]}
        raise TypeError(
            f"{name} is {kind.__name__}; expected numbers, texts, NumPy arrays, and lists and dictionaries of such"
        )


def read(value: Any, data: memoryview) -> Any:
    """What was written.

    Raises:
        ValueError: this is nothing that a ``Writer`` makes.
    """
    try:
        return _read(value, data)
    except (TypeError, KeyError, IndexError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _read(value: Any, data: memoryview) -> Any:
    if isinstance(value, list):
        return [_read(item, data) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "dict":
        return {key: _read(item, data) for key, item in inner.items()}
    if kind == "items":
        return {_read(key, data): _read(item, data) for key, item in inner}
    if kind in ("tuple", "set", "frozenset"):
        return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](_read(inner, data))
    if kind not in ("array", "number"):
        raise ValueError(f"{kind!r} is no kind of value")
    name, shape, start = inner
    dtype = np.dtype(str(name))
    if dtype.kind not in _NUMBERS:
        raise ValueError(f"{name!r} is no type of numbers")
    count = 1
    for size in shape:
        if type(size) is not int or size < 0:
            raise ValueError(f"{shape!r} is no shape")
        count *= size
    if type(start) is not int or not 0 <= start <= start + count * dtype.itemsize <= len(data):
        raise ValueError("an array lies beyond the data")
    array = np.frombuffer(data, dtype, count, start).reshape(shape).copy() if count else np.empty(shape, dtype)
    return array if kind == "array" else array[()]


def plain_parts(values: Mapping[str, Any], leaving_out: Iterable[str] = ()) -> dict[str, Any]:
    """Those of the values that are plain, each as something that compares equal as long as nothing in it changes."""
    parts: dict[str, Any] = {}
    for name, value in values.items():
        if name in leaving_out:
            continue
        writer = Writer()
        try:
            parts[name] = (json.dumps(writer.written(value, name)), bytes(writer.data))
        except (TypeError, ValueError, RecursionError):
            continue
    return parts
