"""Weights of Keras's files for a model: which layer of the file is which here, as the library finds it."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _swiftcnn, layers
from .._config import told
from .._names import class_name
from ..layers.base import Layer
from ..layers.operation import WeightedLayer
from .keras_files import KerasFile, Stored, is_made_up, opened, place, read
from .kinds import is_functional, is_model, model_class
from .nodes import Node
from .weights import WeightsReport

if TYPE_CHECKING:
    from ..layers.variable import Variable
    from .model import Model

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


#: Networks of ``keras.applications`` whose counterparts here differ from torchvision's of nearly that name: a layer
#: that they all have, their name there, a pattern of the other's names, and what the right one's begins with here.
_FAMILIES = (
    ("conv2_block1_1_conv", "ResNet", r"(wide_)?resne(t|xt)\d+.*", "keras_"),
    ("block1a_dwconv", "EfficientNet", r"efficientnet_b\d", "tf_"),
)


def counterpart(layer_names: Iterable[str], model: str) -> tuple[str, str] | None:
    """The name in Keras of the network that a file with layers of these names is of, and that here, where the model is
    another network."""
    known = set(layer_names)
    for sign, there, others, prefix in _FAMILIES:
        if sign in known and re.fullmatch(others, model):
            return f"keras.applications.{there}...", prefix + model
    return None


def _check_family(model: Model, names: Iterable[str]) -> None:
    """Raises ValueError where a file is that of another network than the model's, or one within."""
    owners = {layer._owner[0]._handle.name() for layer in _all_layers(model) if isinstance(layer, Node)}
    for name in sorted(owners):
        if found := counterpart(names, name):
            raise ValueError(
                f"the weights are those of {found[0]}, another network than {name!r}: make a {found[1]!r}, which "
                "computes what Keras's does"
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
        readers = _readers(self._model)
        match = json.loads(_swiftcnn.match_layers(told(self._described() | {"pixels": self._pixels(readers)})))
        pixels = match.pop("pixels")
        groups = {what: match[what.replace(" ", "_")] for what in ("missing", "left over", "misshapen")}
        faults = [f"{len(names)} {what}: {', '.join(names[:20])}" for what, names in groups.items() if names]
        pairs = [(self._wanted[wanted].weights, self._stored[stored].arrays) for wanted, stored in match.pop("pairs")]
        if faults and (strict or not pairs):
            raise ValueError(f"the weights do not fit the network; {'; '.join(faults)}")
        # Read first, all of it, so that a fault leaves the model as it was.
        values = [
            (weight, read(array, array.name).reshape(weight.shape))
            for weights, arrays in pairs
            for weight, array in zip(weights, arrays, strict=True)
        ]
        for weight, value in values:
            weight.assign(value)
        for reader in readers if pixels else ():
            reader.set_preprocessing(**pixels)
        matched_by = "order" if match["by_order"] else "name"
        return WeightsReport(path, "keras", len(values), matched_by=matched_by, **match)

    def _described(self) -> dict[str, Any]:
        """The layers of both sides, for the library, which matches them."""
        wanted = [
            {
                **_keyed(each, "/".join(each.names)),
                "weights": [
                    {"name": weight.name, "parameter": weight.parameter, "label": weight.path, "shape": weight.shape}
                    for weight in each.weights
                ],
            }
            for each in self._wanted
        ]
        stored = [
            {**_keyed(each, each.label), "weights": [{"shape": array.shape} for array in each.arrays]}
            for each in self._stored
        ]
        last = self._model.weights[-1].parameter if self._wanted else ""
        return {"wanted": wanted, "stored": stored, "has_order": self._file.has_order, "last": last}

    # ------------------------------------------------------------------------------------------------------ pixels

    def _pixels(self, readers: Sequence[Model]) -> dict[str, Any]:
        """The normalisations of pixels of both sides, for the library."""
        channels = len(self._model.normalization[0])
        stored = [each for each in self._file.layers if each.kind == "normalization"]
        own = [layer for layer in _all_layers(self._model) if isinstance(layer, layers.Normalization)]
        return {
            "stored": [
                {"label": each.label, "name": each.names[-1]}
                | {
                    # Of a size that cannot be right nothing is read.
                    key: read(array, array.name).ravel() if array.size in (1, channels) else []
                    for key, array in zip(("mean", "variance"), each.arrays, strict=False)
                }
                for each in stored
            ],
            "own": [{"name": each.name, "mean": each.mean, "variance": each.variance} for each in own],
            "has_reader": bool(readers),
            "channels": channels,
            "network": self._file.config if stored else None,
            "rescalings": sum(name == "rescaling" or name.startswith("rescaling_") for name in self._file.names),
        }


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


def _keyed(layer: Wanted | Stored, label: str) -> dict[str, Any]:
    """What both sides are told by."""
    return {"path": layer.path, "given": layer.given, "kind": layer.kind, "label": label}
