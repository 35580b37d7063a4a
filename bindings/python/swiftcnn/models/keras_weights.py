"""Weights of Keras's files for a model: which layer of the file is which here."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import layers
from ..layers.base import Layer, class_name
from ..layers.operation import WeightedLayer
from .keras_files import KerasFile, Stored, is_made_up, members_of, opened, place, read
from .nodes import Node

if TYPE_CHECKING:
    from ..layers.variable import Variable
    from .model import Model

#: The deviations by which Keras's EfficientNets divide a second time where they have ImageNet's weights.
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_UNSCALED = (("scale", 1.0), ("offset", 0.0))
_NO_ATTRIBUTES = ("_arguments", "_first_call", "_sealed", "_tracked")
class Wanted(NamedTuple):
    """A layer of a model: see ``Stored``."""

    path: tuple[str, ...]
    names: tuple[str, ...]
    given: tuple[str, ...]
    weights: list[Variable]
    kind: str


class Found(NamedTuple):
    """What a file had; see ``WeightsReport``."""

    loaded: int
    missing: list[str]
    left_over: list[str]
    misshapen: list[str]
    other_classes: int | None
    matched_by: str
    by_order: list[str]


def load(model: Model, path: str | bytes, strict: bool) -> Found:
    """Gives the model the weights of a file.

    Raises:
        ImportError: h5py is not installed.
        ValueError: the file is damaged, or of another network, or ``strict`` and it does not fit, or nothing does; the
            model is unchanged.
    """
    with opened(path) as file:
        _check_family(model, file.names)
        return _Loading(model, file).run(strict)


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


_RESNET: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"conv1_(conv|bn)", lambda kind: {"conv": "conv1", "bn": "bn1"}[kind]),
    (r"conv(\d)_block(\d+)_0_conv", lambda stage, block: f"layer{int(stage) - 1}.{int(block) - 1}.downsample.0"),
    (r"conv(\d)_block(\d+)_0_bn", lambda stage, block: f"layer{int(stage) - 1}.{int(block) - 1}.downsample.1"),
    (
        r"conv(\d)_block(\d+)_([123])_(conv|bn)",
        lambda stage, block, number, kind: f"layer{int(stage) - 1}.{int(block) - 1}.{kind}{number}",
    ),
    (r"()predictions", lambda _: "fc"),
)


def _names_here(key: tuple[str, ...]) -> tuple[str, ...]:
    """What a layer of a network by name is called here that Keras calls so."""
    for pattern, rule in _RESNET:
        if match := re.fullmatch(pattern, key[0]):
            return (rule(*match.groups()),)
    return ()


# --------------------------------------------------------------------------------------------------------- a model


def wanted_by(model: Model) -> list[Wanted]:
    """The layers of a model that have weights, in Keras's order, with the paths that Keras's files have for them."""
    from .model import Model

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
        if isinstance(layer, Model) and type(layer).call is Model.call:
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
    from .model import Model

    return "functional" if type(layer) is Model else class_name(type(layer))


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
        self._of: dict[int, int] = {}  # the number of the file's layer, by that of the model's
        self._by_order: list[str] = []

    def run(self, strict: bool) -> Found:
        """Finds what belongs together, checks all of it, and then takes it over."""
        self._match_names()
        self._match_paths()
        self._match_order()
        values: list[tuple[Variable, Any]] = []
        missing: list[str] = []
        misshapen: list[str] = []
        classes = None
        last = self._model.weights[-1].parameter if self._wanted else ""
        for index, wanted in enumerate(self._wanted):
            if index not in self._of:
                missing.extend(weight.parameter for weight in wanted.weights)
                continue
            stored = self._stored[self._of[index]]
            if _fits(wanted, stored):
                values.extend(zip(wanted.weights, stored.arrays, strict=True))
            elif wanted.weights[-1].parameter == last and _is_head_for_others(wanted, stored):
                classes = int(stored.arrays[0].shape[1])
            else:
                shapes = " ".join(str(list(array.shape)) for array in stored.arrays)
                expected = ", ".join(f"{weight.path} {list(weight.shape)}" for weight in wanted.weights)
                misshapen.append(f"{stored.label} {shapes} instead of {expected}")
        taken = set(self._of.values())
        left_over = [stored.label for index, stored in enumerate(self._stored) if index not in taken]
        pixels, faults = self._normalization()
        misshapen.extend(faults)
        groups = {"missing": missing, "left over": left_over, "misshapen": misshapen}
        told = [f"{len(names)} {what}: {', '.join(names[:20])}" for what, names in groups.items() if names]
        if told and (strict or not values):
            raise ValueError(f"the weights do not fit the network; {'; '.join(told)}")
        # Read first, all of it, so that a fault leaves the model as it was.
        arrays = [(weight, read(array, array.name).reshape(weight.shape)) for weight, array in values]
        for weight, array in arrays:
            weight.assign(array)
        for reader, constants in pixels:
            reader.set_normalization(*constants)
        return Found(
            len(values), missing, left_over, misshapen, classes, "order" if self._by_order else "name", self._by_order
        )

    def _take(self, wanted: int, stored: int, *, by_order: bool) -> None:
        self._of[wanted] = stored
        if by_order:
            self._by_order.append(f"{self._stored[stored].label} as {'/'.join(self._wanted[wanted].names)}")

    def _match_names(self) -> None:
        """By names that somebody gave: alone where there is one such, otherwise with those of the models around."""
        for length in (1, None):
            here, there = _by_name(self._wanted, length), _by_name(self._stored, length)
            for key, stored in there.items():
                wanted = here.get(key) or here.get(_names_here(key[-1:])) or []
                if len(stored) == len(wanted) == 1 and wanted[0] not in self._of:
                    self._take(wanted[0], stored[0], by_order=False)

    def _match_paths(self) -> None:
        """By the places that Keras itself goes by, where names were made up or differ; a group has to have as many
        layers of the class on both sides."""
        places = {each.path: index for index, each in enumerate(self._stored) if each.path}
        counts = [
            Counter((each.path[:-1], place(each.path[-1])[0]) for each in side if each.path)
            for side in (self._wanted, self._stored)
        ]
        taken = set(self._of.values())
        for index, wanted in enumerate(self._wanted):
            stored = places.get(wanted.path)
            if stored is None or stored in taken or index in self._of:
                continue
            group = (wanted.path[:-1], place(wanted.path[-1])[0])
            if counts[0][group] == counts[1][group]:
                self._take(index, stored, by_order=True)

    def _match_order(self) -> None:
        """By the order of each class, where the file has other groups, or none: each is to be at the same place among
        all layers of its class."""
        here: dict[str, list[int]] = defaultdict(list)
        there: dict[str, list[int]] = defaultdict(list)
        for index, wanted in enumerate(self._wanted):
            here[self._comparable(wanted.kind)].append(index)
        for index, each in enumerate(self._stored):
            there[self._comparable(each.kind)].append(index)
        taken = set(self._of.values())
        for kind, indices in here.items():
            for index, stored in zip(indices, there[kind], strict=False):
                if index not in self._of and stored not in taken:
                    self._take(index, stored, by_order=True)

    def _comparable(self, kind: str) -> str:
        """What layers have in common that can be told apart in the file."""
        return "" if self._file.has_order and kind in ("conv2d", "depthwise_conv2d") else kind

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
    from .model import Model

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
    if len(readers) != 1 or not isinstance(reader := readers[0], Model) or not (inner := _readers(reader)):
        return []
    return [model, *inner]


def _all_layers(model: Layer) -> Iterator[Layer]:
    """The layers of a model and of all within."""
    for layer in model._sublayers():
        yield layer
        if not isinstance(layer, Node):
            yield from _all_layers(layer)


def _by_name(side: Sequence[Wanted | Stored], length: int | None) -> dict[tuple[str, ...], list[int]]:
    """The numbers of layers by the name that somebody gave them, or by all names around them too."""
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, each in enumerate(side):
        if each.given[-1]:
            found[each.given if length is None else each.given[-length:]].append(index)
    return found


def _fits(wanted: Wanted, stored: Stored) -> bool:
    """Whether a layer has as many weights as the file's, of the same shapes."""
    if len(wanted.weights) != len(stored.arrays):
        return False
    for weight, array in zip(wanted.weights, stored.arrays, strict=True):
        is_same = array.shape == weight.shape
        # PReLU's slopes may have axes of one element more or fewer.
        if weight.name == "alpha" and array.size == math.prod(weight.shape):
            is_same = [size for size in array.shape if size > 1] == [size for size in weight.shape if size > 1]
        if not is_same:
            return False
    return True


def _is_head_for_others(wanted: Wanted, stored: Stored) -> bool:
    """Whether a dense layer differs from the file's in nothing but the number of classes."""
    return (
        wanted.kind == "dense"
        and len(stored.arrays) == len(wanted.weights)
        and len(stored.arrays[0].shape) == 2
        and stored.arrays[0].shape[0] == wanted.weights[0].shape[0]
    )
