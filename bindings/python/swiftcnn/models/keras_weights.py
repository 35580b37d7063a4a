"""Weights of Keras's files for a model: which layer of the file is which here, as the library finds it."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _swiftcnn, layers
from .._names import class_name
from ..layers.base import Layer
from ..layers.operation import WeightedLayer
from .keras_files import KerasFile, Stored, is_made_up, members_of, opened, place, read
from .kinds import is_functional, is_model, model_class
from .nodes import Node
from .weights import WeightsReport

if TYPE_CHECKING:
    from ..layers.variable import Variable
    from .model import Model

#: The deviations by which Keras's EfficientNets divide a second time where they have ImageNet's weights.
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_UNSCALED = (("scale", 1.0), ("offset", 0.0))
_NO_ATTRIBUTES = ("_first_call", "_made_of", "_sealed", "_tracked")
class Wanted(NamedTuple):
    """A layer of a model: see ``Stored``."""

    path: tuple[str, ...]
    names: tuple[str, ...]
    given: tuple[str, ...]
    weights: list[Variable]
    kind: str


def load(model: Model, path: str | bytes, strict: bool) -> WeightsReport:
    """Gives the model the weights of a file.

    Raises:
        ImportError: h5py is not installed.
        ValueError: the file is damaged, or of another network, or ``strict`` and it does not fit, or nothing does; the
            model is unchanged.
    """
    with opened(path) as file:
        _check_family(model, file.names)
        return _Loading(model, file).run(strict, os.fsdecode(path))


def load_from(file: KerasFile, model: Model) -> None:
    """Gives a model that was made as the file describes it all of the file's weights.

    Raises:
        ValueError: they do not fit.
    """
    _Loading(model, file).run(strict=True)


# ------------------------------------------------------------------------------------------------ networks by name


class Family(NamedTuple):
    """Networks of ``keras.applications`` whose counterparts here differ from torchvision's of nearly that name.

    Attributes:
        sign: the name of a layer that they all have.
        there: what they are called in Keras.
        other: a pattern of the names here that are another network.
        here: what the right one begins with, before the other's name.
    """

    sign: str
    there: str
    other: str
    here: str


FAMILIES = (
    Family("conv2_block1_1_conv", "ResNet", r"(wide_)?resne(t|xt)\d+.*", "keras_"),
    Family("block1a_dwconv", "EfficientNet", r"efficientnet_b\d", "tf_"),
)


def family_of(names: Iterable[str], model: str) -> Family | None:
    """The family of a file with layers of these names, where a model here is another network than its."""
    known = set(names)
    return next((each for each in FAMILIES if each.sign in known and re.fullmatch(each.other, model)), None)


def _check_family(model: Model, names: Iterable[str]) -> None:
    """Raises ValueError where a file is that of another network than the model's, or one within."""
    owners = {layer._owner[0]._handle.name() for layer in _all_layers(model) if isinstance(layer, Node)}
    for name in sorted(owners):
        if family := family_of(names, name):
            raise ValueError(
                f"the weights are those of keras.applications.{family.there}..., another network than {name!r}: make a "
                f"{family.here + name!r}, which computes what Keras's does"
            )


# --------------------------------------------------------------------------------------------------------- a model


def wanted_by(model: Model) -> list[Wanted]:
    """The layers of a model that have weights, in Keras's order, with the paths that Keras's files have for them."""
    seen: set[int] = set()

    def in_list(items: Iterable[Any], path: tuple[str, ...], around: list[Layer]) -> Iterator[Wanted]:
        used: Counter[str] = Counter()
        for item in items:
            stem = _class_of(item) if isinstance(item, Layer) else "container"
            used[stem] += 1
            here = (*path, stem if used[stem] == 1 else f"{stem}_{used[stem] - 1}")
            if isinstance(item, Layer):
                yield from walk(item, here, around)
            elif isinstance(item, (list, tuple, Mapping)):
                yield from in_list(item.values() if isinstance(item, Mapping) else item, here, around)

    def walk(layer: Layer, path: tuple[str, ...], around: list[Layer]) -> Iterator[Wanted]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        here = [*around, layer] if path else []
        if is_functional(layer):
            yield from in_list(layer.layers, (*path, "layers"), here)
        elif isinstance(layer, (WeightedLayer, Node)):
            names = tuple(each.name for each in here)
            given = tuple("" if is_made_up(each.name, _class_of(each)) else each.name for each in here)
            if weights := layer.weights:
                yield Wanted(path, names, given, weights, _class_of(layer))
        else:
            for key in sorted(vars(layer), key=lambda key: (key.startswith("_"), key)):
                value = vars(layer)[key]
                if isinstance(value, Layer):
                    yield from walk(value, (*path, key), here)
                elif isinstance(value, (list, tuple, Mapping)) and key not in _NO_ATTRIBUTES:
                    yield from in_list(value.values() if isinstance(value, Mapping) else value, (*path, key), here)

    return list(walk(model, (), []))


def _class_of(layer: Layer) -> str:
    """The name of a layer's class in paths."""
    return "functional" if type(layer) is model_class() else class_name(type(layer))


# -------------------------------------------------------------------------------------------------------- matching


class _Loading:
    """One file for one model."""

    def __init__(self, model: Model, file: KerasFile) -> None:
        self._model = model
        self._file = file
        self._wanted = wanted_by(model)
        if not file.has_order:
            # As the file's: models within come first.
            self._wanted.sort(
                key=lambda wanted: [
                    (index == len(wanted.path) - 1, place(name)) for index, name in enumerate(wanted.path)
                ]
            )
        self._stored = [stored for stored in file.layers if stored.kind != "normalization"]

    def run(self, strict: bool, path: str = "") -> WeightsReport:
        """Finds what belongs together, checks all of it, and then takes it over."""
        match = json.loads(_swiftcnn.match_layers(json.dumps(self._described())))
        pixels, faults = self._normalization()
        match["misshapen"].extend(faults)
        groups = {what: match[what.replace(" ", "_")] for what in ("missing", "left over", "misshapen")}
        told = [f"{len(names)} {what}: {', '.join(names[:20])}" for what, names in groups.items() if names]
        pairs = [(self._wanted[wanted].weights, self._stored[stored].arrays) for wanted, stored in match.pop("pairs")]
        if told and (strict or not pairs):
            raise ValueError(f"the weights do not fit the network; {'; '.join(told)}")
        # Read first, all of it, so that a fault leaves the model as it was.
        values = [
            (weight, read(array, array.name).reshape(weight.shape))
            for weights, arrays in pairs
            for weight, array in zip(weights, arrays, strict=True)
        ]
        for weight, value in values:
            weight.assign(value)
        for reader, constants in pixels:
            reader.set_normalization(*constants)
        matched_by = "order" if match["by_order"] else "name"
        return WeightsReport(path, "keras", len(values), matched_by=matched_by, **match)

    def _described(self) -> dict[str, Any]:
        """The layers of both sides, for the library, which matches them."""
        wanted = [
            {
                **_told(each, "/".join(each.names)),
                "weights": [
                    {"name": weight.name, "parameter": weight.parameter, "label": weight.path, "shape": weight.shape}
                    for weight in each.weights
                ],
            }
            for each in self._wanted
        ]
        stored = [
            {**_told(each, each.label), "weights": [{"shape": array.shape} for array in each.arrays]}
            for each in self._stored
        ]
        last = self._model.weights[-1].parameter if self._wanted else ""
        return {"wanted": wanted, "stored": stored, "has_order": self._file.has_order, "last": last}

    # ------------------------------------------------------------------------------------------------------ pixels

    def _normalization(self) -> tuple[list[tuple[Model, tuple[list[float], list[float]]]], list[str]]:
        """What a file's normalisation of pixels means here: the models that read pixels with their means and
        deviations, and what does not fit."""
        stored = [each for each in self._file.layers if each.kind == "normalization"]
        if not stored:
            return [], []
        own = [layer for layer in _all_layers(self._model) if isinstance(layer, layers.Normalization)]
        readers = _readers(self._model)
        channels = len(self._model.normalization[0])
        sizes = [array.size for array in stored[0].arrays[:2]]
        if len(stored) > 1 or len(own) > 1 or not (own or readers) or not {*sizes} <= {1, channels}:
            return [], [f"{each.label}: the model has no place for it" for each in stored]
        mean, variance = (read(each, each.name).astype(np.float64).ravel() for each in stored[0].arrays[:2])
        if own:
            same = all(
                ours is not None and len(ours) in (1, theirs.size) and np.allclose(ours, theirs, rtol=1e-5, atol=1e-7)
                for ours, theirs in ((own[0].mean, mean), (own[0].variance, variance))
            )
            fault = (
                f"{stored[0].label}: mean {mean.tolist()} and variance {variance.tolist()}, where layer "
                f"{own[0].name!r} has {own[0].mean} and {own[0].variance}: make it with the file's"
            )
            return [], [] if same else [fault]
        try:
            scale, offset, again, shift = self._around(stored[0])
            deviation = np.maximum(np.sqrt(np.broadcast_to(variance, channels)), 1e-7)
            factor = scale / deviation * again
            constant = (offset - mean) / deviation * again + shift
            deviations = 1 / (255 * np.broadcast_to(factor, channels))
            means = -constant * deviations
        except (TypeError, ValueError):
            return [], [f"{stored[0].label}: {mean.size} means do not fit the {channels} channels of the model"]
        if not (np.isfinite(means).all() and np.isfinite(deviations).all() and (deviations > 0).all()):
            return [], [f"{stored[0].label}: mean {mean.tolist()} and variance {variance.tolist()} are no such"]
        return [(reader, (means.tolist(), deviations.tolist())) for reader in readers], []

    def _around(self, normalization: Stored) -> tuple[Any, Any, Any, Any]:
        """Factor and offset of the scaling before a normalisation and of that after it."""
        found = list(_scalings(self._file.config, normalization.names[-1]))
        if not found:
            again = sum(name == "rescaling" or name.startswith("rescaling_") for name in self._file.names) > 1
            return 1 / 255, 0.0, 1 / np.sqrt(_IMAGENET_DEVIATION) if again else 1.0, 0.0
        before, after = found[0]
        return (*before, *after)


def _scalings(config: Any, name: str) -> Iterator[list[tuple[Any, ...]]]:
    """Of the described network in which a normalisation of that name is: factor and offset before it and after it."""
    rows = members_of(config)
    for index, row in enumerate(rows):
        if row["class_name"] == "Normalization" and row["config"].get("name") == name:
            near = [rows[place] if 0 <= place < len(rows) else row for place in (index - 1, index + 1)]
            given = [each["config"] if each["class_name"] == "Rescaling" else {} for each in near]
            yield [tuple(np.asarray(each.get(*usual), float) for usual in _UNSCALED) for each in given]
        else:
            yield from _scalings(row, name)


def _readers(model: Model) -> list[Model]:
    """The models by name that read the pixels: the model itself, or one within that does it for it, and both then."""
    if model._is_network:
        return [model]
    starts, ends = model._tensors()
    found: dict[int, Layer] = {}
    seen: set[int] = set()
    needed = list(ends)
    while needed:
        call = needed.pop().call
        if call is not None and id(call) not in seen:
            seen.add(id(call))
            needed.extend(call.inputs)
            if any(start in call.inputs for start in starts):
                found[id(call.layer)] = call.layer
    readers = list(found.values())
    if len(readers) != 1 or not is_model(reader := readers[0]) or not (inner := _readers(reader)):
        return []
    return [model, *inner]


def _all_layers(model: Layer) -> Iterator[Layer]:
    """The layers of a model and of all within."""
    for layer in model._sublayers():
        yield layer
        if not isinstance(layer, Node):
            yield from _all_layers(layer)


def _told(layer: Wanted | Stored, label: str) -> dict[str, Any]:
    """What both sides are told by."""
    return {"path": layer.path, "given": layer.given, "kind": layer.kind, "label": label}
