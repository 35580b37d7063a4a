"""Keras's files, read through h5py: what weights they hold, of which layers, and what they say of the network.

There are ``.weights.h5``, whose groups stand for the attributes and lists that layers lie in; ``.keras``, an archive of
such a file and the network; and the older ``.h5``, with or without the network. Whatever a file declares, nothing is
read before somebody asked for it, and no other file than the one that was named.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import layers
from .._interchange import widened
from .._names import class_name

if TYPE_CHECKING:
    import zipfile
    from types import ModuleType

    Array = np.ndarray[Any, np.dtype[Any]]

# The elements of bfloat16 in HDF5, which has no such type: two bytes without a meaning.
_BFLOAT16 = np.dtype("V2")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
#: How many groups may lie within each other, and how much longer a part of an archive may be than it is there.
_DEEPEST, _LONGEST = 64, 64
#: Groups of what is no layer: the state of training, and of random numbers.
_NO_LAYERS = ("optimizer", "seed_generator")
_CLASSES = frozenset(map(class_name, layers._CLASSES.values())) | {"functional", "model", "sequential"}


class MalformedFileError(ValueError):
    """What is wrong with a file."""


class Stored(NamedTuple):
    """A layer of a file.

    Attributes:
        path: the names of its groups in a ``.weights.h5``: of the attributes, and in a list of the class with a number.
        names: what it is called, after the models and layers around it; "" where the file does not say.
        given: the same with "" for names that nobody gave: those of a class with a number.
        arrays: its weights in Keras's order, as the datasets of h5py, checked but not read.
        kind: its class as ``"conv2d"``; "" where the file does not say.
    """

    path: tuple[str, ...]
    names: tuple[str, ...]
    given: tuple[str, ...]
    arrays: list[Any]
    kind: str

    @property
    def label(self) -> str:
        """What to call it in messages."""
        return "/".join(filter(None, self.names)) if self.names[-1] else "/".join(self.path)


class KerasFile(NamedTuple):
    """What a file holds.

    Attributes:
        layers: those with weights, of one class in Keras's order.
        config: the network, as ``Model.get_config`` of Keras tells it; None where the file has none.
        names: of all layers there are, with weights or without.
        has_order: whether ``layers`` have Keras's order as a whole, not of each class alone.
    """

    layers: list[Stored]
    config: Any
    names: list[str]
    has_order: bool


def is_keras(path: str | bytes) -> bool:
    """Whether a file is one of HDF5, or an archive that Keras wrote."""
    if os.path.isdir(path):
        return False
    with open(path, "rb") as file:
        start = file.read(len(_HDF5))
    if start == _HDF5:
        return True
    if not start.startswith(_ZIP):
        return False
    import zipfile  # Only here: it imports much, and few need it.

    try:
        with zipfile.ZipFile(os.fsdecode(path)) as archive:
            return {_CONFIG, _WEIGHTS} <= set(archive.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return False


@contextmanager
def opened(path: str | bytes) -> Iterator[KerasFile]:
    """A file of Keras's, as long as it is needed.

    Raises:
        ImportError: h5py is not installed.
        ValueError: the file is damaged, or not Keras's.
    """
    name = os.fsdecode(path)
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{name!r} is a file of Keras's, in HDF5; reading it needs h5py: pip install h5py") from error
    with _faults(name):
        source, config = _parts(name)
        file = h5py.File(source, "r")
    with file:
        with _faults(name):
            found = _Reader(h5py, file).file(config)
        yield found


def read(stored: Any, what: str) -> Array:
    """The values of a dataset, float32.

    Raises:
        ValueError: they cannot be read.
    """
    with _faults(what):
        values = np.asarray(stored[()])
        if values.dtype == _BFLOAT16:
            return widened(values.view("<u2"))
        return values.astype(np.float32, copy=False)


@contextmanager
def _faults(name: str) -> Iterator[None]:
    """Lets whatever is wrong with a file be one error that names it."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # whatever h5py raises on what is damaged
        reason = str(error) if isinstance(error, MalformedFileError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{name!r} is not a file of Keras's weights: {reason}") from error


def _parts(name: str) -> tuple[Any, Any]:
    """What h5py opens, and the network where it lies beside that."""
    import zipfile

    if not zipfile.is_zipfile(name):
        return name, None
    with zipfile.ZipFile(name) as archive:
        return io.BytesIO(_member(archive, _WEIGHTS)), _parsed(_member(archive, _CONFIG))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A part of an archive. Keras stores them as they are; one that was packed until it is nothing is refused."""
    entry = archive.getinfo(name)
    if entry.file_size > _LONGEST * max(entry.compress_size, 1 << 20):
        raise MalformedFileError(f"{name!r} in it has {entry.compress_size} bytes, which become {entry.file_size}")
    return archive.read(entry)


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedFileError(f"its description of the network is no JSON: {error}") from error


class _Reader:
    """Walks through a file of HDF5 by its own objects alone: links to other files and places are errors, and so is what
    is linked twice, so that a walk ends."""

    def __init__(self, h5py: ModuleType, file: Any) -> None:
        self._h5py = h5py
        self._file = file
        self._seen: set[Any] = set()
        self._names: list[str] = []

    def file(self, config: Any) -> KerasFile:
        """What the file holds."""
        root = self._file
        if "model_weights" in _members(root) or self._has(root, "layer_names"):
            config = self._legacy_config() if config is None else config
            layers, has_order = list(self._legacy(_order_of(config))), True
        else:
            layers, has_order = list(self._modern(root, (), (), ())), False
            if not layers:
                raise MalformedFileError("it has neither 'layer_names' nor groups with 'vars', of layers")
        return KerasFile(layers, config, self._names, has_order)

    # ------------------------------------------------------------------------------------------------ .weights.h5

    def _modern(
        self, group: Any, path: tuple[str, ...], names: tuple[str, ...], given: tuple[str, ...]
    ) -> Iterator[Stored]:
        """The layers in a group and those within, which come first, as a backbone before its head."""
        own = ""
        arrays: list[Any] = []
        if "vars" in _members(group):
            variables = self._group(group, "vars")
            own = self._text(variables, "name")
            arrays = [self._dataset(variables, key) for key in sorted(_members(variables), key=place)]
            if path:
                names, given = (*names, own), (*given, "" if is_made_up(own, _stem(path[-1])) else own)
                self._names.append(own or path[-1])
        members = sorted((key for key in _members(group) if key != "vars"), key=place)
        within = [self._group(group, key) for key in members]
        ranks = sorted(range(len(members)), key=lambda index: not _has_members(within[index]))
        for index in ranks:
            if not (path == () and members[index] == "optimizer") and _stem(members[index]) not in _NO_LAYERS:
                yield from self._modern(within[index], (*path, members[index]), names, given)
        if arrays:
            yield Stored(path, names or (own,), given or ("",), arrays, _kind_of_path(path, arrays))

    # -------------------------------------------------------------------------------------------------------- .h5

    def _legacy_config(self) -> Any:
        text = self._text(self._file, "model_config")
        return _parsed(text) if text else None

    def _legacy(self, order: Mapping[str, int]) -> Iterator[Stored]:
        """The layers in the order of the network; those of a model within are one group, told apart by the names of
        their weights."""
        root = self._group(self._file, "model_weights") if "model_weights" in _members(self._file) else self._file
        for layer in self._texts(root, "layer_names"):
            self._names.append(layer)
            group = self._group(root, layer)
            found: dict[tuple[str, ...], dict[str, Any]] = {}
            for path in self._texts(group, "weight_names"):
                *owners, last = path.split("/")
                here = group
                for part in owners:
                    here = self._group(here, part, again=True)
                found.setdefault(tuple(owners), {})[last.partition(":")[0]] = self._dataset(here, last)
            within = []
            for around, weights in found.items():
                own = around[-1] if around and around[-1] != layer else layer
                names = (layer,) if own == layer else (layer, own)
                # Of layers that several others are made of the file does not tell which class gave their names.
                given = "" if is_made_up(own) else own
                within.append(Stored((), names, (given,), list(weights.values()), _kind_of_weights(weights)))
            # Of a model of which parts are frozen, what is trained comes first.
            if all(stored.names[-1] in order for stored in within):
                within.sort(key=lambda stored: order[stored.names[-1]])
            self._names.extend(stored.names[-1] for stored in within if len(stored.names) > 1)
            yield from within

    # -------------------------------------------------------------------------------------------------- what is HDF5

    def _object(self, group: Any, key: str, again: bool) -> Any:
        """A member, of this file and reached for the first time."""
        label = f"{group.name.rstrip('/')}/{key}"
        link = group.get(key, getlink=True)
        if link is None:
            raise MalformedFileError(f"it has no {label!r}")
        if not isinstance(link, self._h5py.HardLink):
            raise MalformedFileError(f"{label!r} is a link to somewhere else, which is not followed")
        found = group[key]
        token = self._h5py.h5o.get_info(found.id).addr
        if token in self._seen and not again:
            raise MalformedFileError(f"{label!r} is linked twice")
        self._seen.add(token)
        return found

    def _group(self, group: Any, key: str, again: bool = False) -> Any:
        found = self._object(group, key, again)
        if not isinstance(found, self._h5py.Group):
            raise MalformedFileError(f"{found.name!r} is not a group, as there should be")
        if found.name.count("/") > _DEEPEST:
            raise MalformedFileError(f"more than {_DEEPEST} groups lie within each other")
        return found

    def _dataset(self, group: Any, key: str) -> Any:
        found = self._object(group, key, again=False)
        if not isinstance(found, self._h5py.Dataset):
            raise MalformedFileError(f"{found.name!r} is not a dataset, as there should be")
        if found.external or found.is_virtual:
            raise MalformedFileError(f"the values of {found.name!r} lie in another file, which is not read")
        is_number = found.dtype.kind in "fiu" and found.dtype.itemsize <= 8
        if found.shape is None or not (is_number or found.dtype == _BFLOAT16):
            raise MalformedFileError(f"{found.name!r} holds no numbers but {found.dtype} of shape {found.shape}")
        there, declared = found.id.get_storage_size(), found.size * found.dtype.itemsize
        if declared > (_LONGEST * max(there, 1 << 20) if found.id.get_create_plist().get_nfilters() else there):
            raise MalformedFileError(f"{found.name!r} has the shape {found.shape}, but {there} bytes of values")
        return found

    def _has(self, group: Any, name: str) -> bool:
        return name in group.attrs or f"{name}0" in group.attrs

    def _attribute(self, group: Any, name: str) -> Any:
        """An attribute, which is no longer than the file says that it is."""
        attribute = group.attrs.get_id(name)
        if math.prod(attribute.shape) * attribute.dtype.itemsize > self._file.id.get_filesize():
            raise MalformedFileError(f"the attribute {name!r} of {group.name!r} is longer than the file")
        return group.attrs[name]

    def _text(self, group: Any, name: str) -> str:
        """An attribute that is a text; "" where there is none."""
        if name not in group.attrs:
            return ""
        return _as_text(self._attribute(group, name), name, group)

    def _texts(self, group: Any, name: str) -> list[str]:
        """An attribute that is a list of texts, which may be in several parts."""
        parts = [name] if name in group.attrs else []
        if not parts:
            while f"{name}{len(parts)}" in group.attrs:
                parts.append(f"{name}{len(parts)}")
        if not parts:
            raise MalformedFileError(f"{group.name!r} has no attribute {name!r}")
        values = [value for part in parts for value in np.atleast_1d(self._attribute(group, part))]
        return [_as_text(value, name, group) for value in values]


def _as_text(value: Any, name: str, group: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise MalformedFileError(f"the attribute {name!r} of {group.name!r} is not text, but {type(value).__name__}")
    return str(value)


def is_made_up(name: str, kind: str = "") -> bool:
    """Whether nobody gave a name: it is that of a class, of this one or one of Keras's, with a number, which is another
    in every process."""
    stem, _, number = name.rpartition("_")
    stem = stem if number.isdecimal() else name
    return not name or stem == kind or stem in _CLASSES


def place(name: str) -> tuple[str, int]:
    """By what names are sorted: numbers at their end count as numbers."""
    stem, _, number = name.rpartition("_")
    if number.isdecimal() and len(number) < 10:
        return (stem, int(number))
    return (name, 0)


def _stem(name: str) -> str:
    """A name without the number at its end."""
    return place(name)[0]


def _members(group: Any) -> list[str]:
    """The names in a group. To ask h5py whether one is there would follow it, if it is a link."""
    return list(group)


def _has_members(group: Any) -> bool:
    return any(key != "vars" for key in _members(group))


def _kind_of_path(path: tuple[str, ...], arrays: list[Any]) -> str:
    if _is_normalization(arrays):
        return "normalization"
    return _stem(path[-1]) if path else ""


def _kind_of_weights(weights: Mapping[str, Any]) -> str:
    """The class that has weights of these names, where only one has."""
    if "count" in weights:
        return "normalization"
    if "moving_mean" in weights:
        return "batch_normalization"
    if "depthwise_kernel" in weights:
        return "separable_conv2d" if "pointwise_kernel" in weights else "depthwise_conv2d"
    if "alpha" in weights:
        return "p_re_lu"
    kernel = weights.get("kernel")
    return "dense" if kernel is not None and len(kernel.shape) == 2 else ""


def _is_normalization(arrays: list[Any]) -> bool:
    """Whether these are a mean, a variance and how many they were measured of."""
    return len(arrays) == 3 and arrays[2].shape == () and arrays[0].shape == arrays[1].shape


def _order_of(config: Any) -> dict[str, int]:
    """The places of layers in a network that is described, also of those in models within."""
    found: dict[str, int] = {}

    def walk(entry: Any) -> None:
        inner = entry.get("config") if isinstance(entry, dict) else None
        rows = inner.get("layers") if isinstance(inner, dict) else None
        for row in rows if isinstance(rows, list) else ():
            told = row.get("config") if isinstance(row, dict) else None
            if isinstance(told, dict) and isinstance(name := told.get("name"), str):
                found.setdefault(name, len(found))
            walk(row)

    walk(config)
    return found
