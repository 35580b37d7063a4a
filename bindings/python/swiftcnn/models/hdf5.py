"""Keras's files of weights, read through h5py: ``.weights.h5`` of Keras 3 and the older ``.h5``.

Layers of these files are told apart by their kind and order, not by names, which are made up anew in every process.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .. import _swiftcnn

    Array = np.ndarray[Any, np.dtype[Any]]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Keras's classes that hold nothing that is a parameter here: the constants of pixels.
IGNORED = ("normalization", "rescaling", "seed_generator")


class Stored(NamedTuple):
    """A layer of a file."""

    name: str
    kind: str
    arrays: list[Array]


class Wanted(NamedTuple):
    """A layer here: its kind as Keras calls it, and its parameters."""

    kind: str
    parameters: list[tuple[str, str, tuple[int, ...]]]  # name, role, shape


class Found(NamedTuple):
    """What a file had; see ``WeightsReport``."""

    loaded: int
    missing: list[str]
    left_over: list[str]
    misshapen: list[str]
    other_classes: int | None


def is_hdf5(path: str | bytes) -> bool:
    """Whether the file begins as HDF5 files do."""
    with open(path, "rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def load(core: _swiftcnn.Model, path: str | bytes, strict: bool) -> Found:
    """Gives the model the weights of a file.

    Raises:
        ImportError: h5py is not installed.
        ValueError: the file is damaged, or ``strict`` and it does not fit; the model is unchanged.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{os.fsdecode(path)!r} is an HDF5 file; reading it needs h5py: pip install h5py") from error
    try:
        with h5py.File(os.fsdecode(path), "r") as file:
            stored = list(_modern(file) if "layers" in file else _legacy(file))
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fsdecode(path)!r} is not a file of Keras's weights: {error}") from error
    values, found = _matched(_wanted(core), stored)
    groups = {"missing": found.missing, "left over": found.left_over, "misshapen": found.misshapen}
    faults = [f"{len(names)} {what}: {', '.join(names[:20])}" for what, names in groups.items() if names]
    if strict and faults:
        raise ValueError(f"the weights in {os.fsdecode(path)!r} do not fit the network; {'; '.join(faults)}")
    for name, value in values.items():
        core.set_parameter(name, value)
    return found


# ------------------------------------------------------------------------------------------------------------ the files


def _modern(group: Any) -> Iterator[Stored]:
    """The layers of a ``.weights.h5``: those of one class in their order, since only that is in the file. Models within
    come first, as a backbone before its head."""
    layers = group["layers"]

    def place(name: str) -> tuple[str, int]:
        kind, _, number = name.rpartition("_")
        return (kind, int(number)) if kind and number.isdecimal() else (name, 0)

    names = sorted(layers, key=place)
    for name in names:
        if "layers" in layers[name]:
            yield from _modern(layers[name])
    for name in names:
        variables = layers[name].get("vars", {})
        arrays = [np.asarray(variables[key]) for key in sorted(variables, key=int)]
        if arrays:
            yield Stored(str(variables.attrs.get("name", name)), place(name)[0], arrays)


def _legacy(file: Any) -> Iterator[Stored]:
    """The layers of an ``.h5``, in the order of the network; their kind shows in the names of their weights."""
    root = file.get("model_weights", file)

    def texts(values: Any) -> list[str]:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values]

    for layer in texts(root.attrs["layer_names"]):
        names = texts(root[layer].attrs["weight_names"])
        arrays = [np.asarray(root[layer][name]) for name in names]
        ends = {name.split("/")[-1].split(":")[0] for name in names}
        if "count" in ends:
            yield Stored(layer, "normalization", arrays)
        elif "moving_mean" in ends:
            yield Stored(layer, "batch_normalization", arrays)
        elif arrays:
            yield Stored(layer, "", arrays)


# ------------------------------------------------------------------------------------------------------------ the model


def _wanted(core: _swiftcnn.Model) -> list[Wanted]:
    """The layers with parameters, in the order of the network."""
    depthwise = set()
    for node in json.loads(core.graph("json"))["nodes"]:
        if node.get("operation") == "conv2d" and node.get("attributes", {}).get("groups", 1) > 1:
            depthwise.update(node["operands"])
    layers: dict[str, list[tuple[str, str, tuple[int, ...]]]] = defaultdict(list)
    for name, role, _, shape in core.parameters():
        layers[name.rpartition(".")[0]].append((name, role, shape))

    def kind(parameters: list[tuple[str, str, tuple[int, ...]]]) -> str:
        name, role, shape = parameters[0]
        if role == "slope":
            return "p_re_lu"
        if role != "weight":
            return "batch_normalization"
        if len(shape) == 2:
            return "dense"
        return "depthwise_conv2d" if name in depthwise and shape[1] == 1 else "conv2d"

    return [Wanted(kind(parameters), parameters) for parameters in layers.values()]


def _converted(kind: str, array: Array, shape: tuple[int, ...]) -> Array | None:
    """A weight laid out as here; None where it is of another shape."""
    if kind == "conv2d" and array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    elif kind == "depthwise_conv2d" and array.ndim == 4:
        height, width, channels, multiplier = array.shape
        array = array.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    elif kind == "dense" and array.ndim == 2:
        array = array.T
    elif kind == "p_re_lu" and array.size == np.prod(shape):
        array = array.reshape(shape)
    return np.ascontiguousarray(array, np.float32) if array.shape == shape else None


def _matched(wanted: list[Wanted], stored: list[Stored]) -> tuple[dict[str, Array], Found]:
    """The values by parameter, and what was found."""
    queues: dict[str, deque[Stored]] = defaultdict(deque)
    for source in stored:
        if source.kind not in IGNORED:
            queues[source.kind].append(source)
    values: dict[str, Array] = {}
    found = Found(0, [], [], [], None)
    for position, layer in enumerate(wanted):
        # Of a legacy file only normalisations are known by kind.
        queue = queues[layer.kind] or queues[""]
        if not queue:
            found.missing.extend(name for name, _, _ in layer.parameters)
            continue
        source = queue.popleft()
        converted = _values(layer, source)
        if converted is not None:
            values.update(converted)
        elif position == len(wanted) - 1 and _is_head_for_others(layer, source):
            found = found._replace(other_classes=int(source.arrays[0].shape[1]))
        else:
            shapes = " ".join(str(list(array.shape)) for array in source.arrays)
            expected = ", ".join(f"{name} {list(shape)}" for name, _, shape in layer.parameters)
            found.misshapen.append(f"{source.name} {shapes} instead of {expected}")
    found.left_over.extend(source.name for queue in queues.values() for source in queue)
    return values, found._replace(loaded=len(values))


def _values(layer: Wanted, source: Stored) -> dict[str, Array] | None:
    """The values of a layer's parameters; None where one is of another shape, or there are more or fewer."""
    if len(source.arrays) != len(layer.parameters):
        return None
    values = {}
    for array, (name, role, shape) in zip(source.arrays, layer.parameters, strict=True):
        value = _converted(layer.kind if role in ("weight", "slope") else "", array, shape)
        if value is None:
            return None
        values[name] = value
    return values


def _is_head_for_others(layer: Wanted, source: Stored) -> bool:
    """Whether a dense layer differs from the file's in nothing but the number of classes."""
    features = layer.parameters[0][2][-1]
    return (
        layer.kind == "dense"
        and len(source.arrays) == len(layer.parameters)
        and source.arrays[0].ndim == 2
        and source.arrays[0].shape[0] == features
    )
