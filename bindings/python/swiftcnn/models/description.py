"""What a model's layers are, as text that goes into files: their classes, arguments and connections.

A file holds the network, which every program can run, and beside it this description, from which Python makes the same
layers again. The weights are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _random, _swiftcnn, activations, initializers, layers, regularizers
from .._names import keep_name
from .._symbolic import Made, Tensor, limited, spent, tensors_in
from ..layers.activation import KindLayer
from ..layers.base import Layer, serialized
from ..layers.core import InputLayer
from .kinds import KINDS, is_functional, is_model, model_class

if TYPE_CHECKING:
    from .model import Model

KEY = "swiftcnn.python"
_VERSION = 1
_PACKAGE = __name__.partition(".")[0]
_CLASSES: dict[str, type[Layer]] = {**layers._CLASSES, "KindLayer": KindLayer}
# Classes and functions of the package by which layers are described, by their full names.
_OWN: dict[str, Any] = {
    f"{value.__module__}.{value.__name__}": value
    for module in (activations, initializers, layers, regularizers)
    for name, value in vars(module).items()
    if name in module.__all__ and callable(value)
}


class UnknownPartError(ValueError):
    """A part of a model that cannot be told, or not be made of what was told."""


def is_own(kind: type) -> bool:
    """Whether a class is the package's, not the user's."""
    return kind.__module__.partition(".")[0] == _PACKAGE


def keep_description(model: Model) -> dict[str, Any]:
    """Puts the description into the library's model, which carries it into files and copies.

    Returns:
        The classes and functions of the user's that are named in it.
    """
    if model._is_network:
        return {}  # what came from a file stays
    writer = Writer()
    try:
        description = writer.written(model)
    except Exception as error:  # also whatever a get_config of the user's raises
        writer.objects.clear()
        description = {"version": _VERSION, "reason": reason_of(error)}
    model._handle.set_metadata(KEY, json.dumps(description))
    return writer.objects


def from_description(description: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The model that was described, with weights of its own.

    Raises:
        UnknownPartError: what was described cannot be made.
    """
    return Reader(description, custom_objects or {}).model()


def reason_of(error: Exception) -> str:
    """Why a part of a model could not be told or made."""
    return str(error) if isinstance(error, UnknownPartError) else f"{type(error).__name__}: {error}"


class Writer:
    """Describes a model and all layers within. A layer that is used in several places is there once.

    Attributes:
        objects: the classes and functions of the user's, by name.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self._entries: list[dict[str, Any]] = []
        self._numbers: dict[int, int | None] = {}  # None while it is being described
        self._inputs: list[Tensor] = []

    def written(self, model: Model) -> dict[str, Any]:
        """What ``from_description`` makes a model of.

        Raises:
            UnknownPartError: a part of it cannot be told.
        """
        self._layer(model)
        inputs = [{"name": tensor.name, "shape": list(tensor.shape)} for tensor in self._inputs]
        return {"version": _VERSION, "inputs": inputs, "layers": self._entries}

    def _layer(self, layer: Layer) -> int:
        """The number of a layer in the description."""
        key = id(layer)
        if key not in self._numbers:
            self._numbers[key] = None
            entry = self._entry(layer)
            self._numbers[key] = len(self._entries)
            self._entries.append(entry)
        number = self._numbers[key]
        if number is None:
            raise UnknownPartError(f"layer {layer.name!r} is a part of itself")
        return number

    def _entry(self, layer: Layer) -> dict[str, Any]:

        if not is_own(type(layer)):
            return self._custom(layer)
        if isinstance(layer, KINDS["Sequential"]):
            return self._sequential(layer)
        if is_model(layer):
            return self._network(layer) if layer._is_network else self._functional(layer)
        return {"class": type(layer).__name__, "config": self._value(layer.get_config())}

    def _custom(self, layer: Layer) -> dict[str, Any]:
        entry = {"custom": self._object(type(layer)), "name": layer.name, "config": self._value(layer.get_config())}
        if is_model(layer) and layer._core is not None and not is_functional(layer):
            entry["input_shape"] = self._value(layer._built_for)
        return entry

    def _common(self, model: Model, kind: str) -> dict[str, Any]:
        entry = {"model": kind, "name": model.name, "trainable": model._trainable}
        if model._core is not None:
            entry["mean"], entry["std"] = map(list, model.normalization)
        return entry

    def _network(self, model: Model) -> dict[str, Any]:
        starts, _ = model._tensors()
        return self._common(model, "network") | {"graph": model.graph("json"), "input": self._begins(starts)}

    def _sequential(self, model: Any) -> dict[str, Any]:
        entry = self._common(model, "sequential") | {"layers": [self._layer(layer) for layer in model.layers]}
        if model._ends is not None:
            entry["input"] = self._begins(model._ends[0])
            entry["begins"] = model._start is not None
        return entry

    def _functional(self, model: Model) -> dict[str, Any]:
        """A model between tensors: the calls of layers that lead from one to the others, in the order they happened."""
        starts, ends = model._tensors()
        found: dict[Tensor, Made | None] = {}
        needed = list(ends)
        while needed:
            tensor = needed.pop()
            if tensor in starts or tensor in found:
                continue
            made = tensor.made
            found[tensor] = made
            if made is not None:
                needed.extend(tensors_in([made.args, made.kwargs]))
            else:
                needed.extend(self._sources(tensor))
        numbers = {start: number for number, start in enumerate(starts)}
        calls = []
        for tensor in sorted(found, key=lambda tensor: tensor.number):
            if tensor in numbers:
                continue
            made = found[tensor]
            results = [tensor] if made is None else made.outputs
            for result in results:
                numbers.setdefault(result, len(numbers))
            call: dict[str, Any] = {"results": [numbers[result] for result in results]}
            if made is None:
                assert tensor.call is not None
                calls.append(call | {"layer": self._layer(tensor.call.layer), "tensor": tensor.call.tensor})
                continue
            call |= {"layer": self._layer(made.layer), "args": [self._value(each, numbers) for each in made.args]}
            if made.kwargs:
                call["kwargs"] = {name: self._value(each, numbers) for name, each in made.kwargs.items()}
            if made.training is not None:
                call["training"] = made.training
            calls.append(call)
        return self._common(model, "functional") | {
            "input": self._begins(starts),
            "input_names": None if (names := model.input_names) == [start.name for start in starts] else names,
            "calls": calls,
            "outputs": [numbers[tensor] for tensor in ends],
            "keys": model._keys,
        }

    @staticmethod
    def _sources(tensor: Tensor) -> tuple[Tensor, ...]:
        """What a result in the middle of a model of the library begins with."""
        call = tensor.call
        if call is None or not is_model(call.layer) or not call.layer._continues(call):
            raise UnknownPartError(f"{tensor!r} is computed within a layer")
        return call.inputs

    def _begins(self, starts: list[Tensor]) -> Any:
        """The number of the tensor that a network begins with, or a list of several."""
        numbers = [self._input(start) for start in starts]
        return numbers[0] if len(numbers) == 1 else numbers

    def _input(self, tensor: Tensor) -> int:
        """The number of a tensor that networks begin with."""
        for number, known in enumerate(self._inputs):
            if known is tensor:
                return number
        self._inputs.append(tensor)
        return len(self._inputs) - 1

    def _value(self, value: Any, tensors: Mapping[Tensor, int] | None = None) -> Any:
        """An argument as JSON."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, Tensor) and tensors is not None and value in tensors:
            return {"$tensor": tensors[value]}
        if isinstance(value, (list, tuple)):
            items = [self._value(each, tensors) for each in value]
            return {"$tuple": items} if isinstance(value, tuple) else items
        if isinstance(value, Mapping):
            if all(isinstance(name, str) and not name.startswith("$") for name in value):
                return {name: self._value(each, tensors) for name, each in value.items()}
            raise UnknownPartError(f"{value!r} has keys that are no names")
        if isinstance(value, (np.ndarray, np.generic)):
            return {"$array": value.tolist(), "dtype": value.dtype.str}
        if isinstance(value, Layer):
            return {"$layer": self._layer(value)}
        for kind, module in (("initializer", initializers), ("regularizer", regularizers)):
            if type(value).__module__ == module.__name__:
                return {f"${kind}": self._value(serialized(value, f"kernel_{kind}"))}
        if isinstance(value, type) or hasattr(value, "__qualname__"):
            part: Any = value
            name = f"{part.__module__}.{part.__name__}"
            return {"$own": name} if _OWN.get(name) is part else {"$object": self._object(part)}
        raise UnknownPartError(f"{value!r} is no value that a file can hold")

    def _object(self, value: Any) -> str:
        """The name of a class or function of the user's."""
        name: str = value.__name__
        if not name.isidentifier() or self.objects.setdefault(name, value) is not value:
            raise UnknownPartError(f"{value!r} has no name of its own")
        return name


class Reader:
    """Makes a model of its description."""

    def __init__(self, description: Mapping[str, Any], objects: Mapping[str, Any]) -> None:
        if "reason" in description:
            raise UnknownPartError(description["reason"])
        if description.get("version") != _VERSION:
            raise UnknownPartError("its layers were described by another version of swiftcnn")
        self._objects = objects
        self._layers: list[Any] = []
        self._inputs = [
            InputLayer(batch_shape=each["shape"], name=each["name"]).output for each in description["inputs"]
        ]
        self._entries: list[dict[str, Any]] = description["layers"]

    def model(self) -> Any:
        """The model that was described."""
        for entry in self._entries:
            layer = self._made(entry)
            if isinstance(layer, Layer):
                keep_name(layer.name)
            self._layers.append(layer)
        return self._layers[-1]

    def _made(self, entry: Mapping[str, Any]) -> Any:
        if "custom" in entry:
            return self._custom(entry)
        if "model" not in entry:
            return _CLASSES[entry["class"]].from_config(self._value(entry["config"]))
        kinds = {"network": self._network, "sequential": self._sequential, "functional": self._functional}
        model: Model = kinds[entry["model"]](entry)
        model._trainable = entry["trainable"]
        if model._core is not None and "mean" in entry:
            model.set_normalization(entry["mean"], entry["std"])
        return model

    def _custom(self, entry: Mapping[str, Any]) -> Layer:
        kind = self._object(entry["custom"])
        layer: object = kind.from_config(self._value(entry["config"]))
        if not isinstance(layer, Layer):
            raise UnknownPartError(f"{entry['custom']}.from_config gave {layer!r}, no layer")
        layer.name = entry["name"]
        if is_model(layer) and "input_shape" in entry:
            layer.build(self._value(entry["input_shape"]))
        return layer

    def _network(self, entry: Mapping[str, Any]) -> Model:
        seed = _random.next_seed() >> 1
        options = {"name": entry["name"], "seed": seed, "mean": entry["mean"], "std": entry["std"], **limited()}
        core = _swiftcnn.model_from_graph(entry["graph"], json.dumps(options))
        spent(core)
        model = model_class()._of(core)
        model._begin_with(self._starts(entry))
        return model

    def _sequential(self, entry: Mapping[str, Any]) -> Any:
        model: Any = KINDS["Sequential"](name=entry["name"])
        start = self._starts(entry)[0] if "input" in entry else None
        if start is not None and entry["begins"]:
            model.add(start)
        for number in entry["layers"]:
            model.add(self._layers[number])
        if start is not None and not entry["begins"]:
            model._run(start)
        if "mean" in entry:
            model.build()
        return model

    def _functional(self, entry: Mapping[str, Any]) -> Model:
        starts = self._starts(entry)
        tensors = dict(enumerate(starts))
        for call in entry["calls"]:
            layer = self._layers[call["layer"]]
            if "tensor" in call:
                assert is_model(layer)
                results = [layer._result(call["tensor"])]
            else:
                options = {name: self._value(each, tensors) for name, each in call.get("kwargs", {}).items()}
                if "training" in call:
                    options["training"] = call["training"]
                results = list(_distinct(layer(*(self._value(each, tensors) for each in call["args"]), **options)))
            if len(results) < len(call["results"]):
                raise UnknownPartError(f"layer {layer.name!r} gives fewer tensors")
            for number, tensor in zip(call["results"], results, strict=False):
                tensors.setdefault(number, tensor)
        outputs: Any = [tensors[number] for number in entry["outputs"]]
        if entry["keys"] is not None:
            outputs = dict(zip(entry["keys"], outputs, strict=True))
        names = entry.get("input_names")
        inputs: Any = starts if names is None else dict(zip(names, starts, strict=True))
        return model_class()(inputs, outputs, name=entry["name"])

    def _starts(self, entry: Mapping[str, Any]) -> list[Tensor]:
        """What a network begins with."""
        given = entry["input"]
        return [self._inputs[number] for number in (given if isinstance(given, list) else [given])]

    def _value(self, value: Any, tensors: Mapping[int, Tensor] | None = None) -> Any:
        """The argument that was told as JSON."""
        if isinstance(value, list):
            return [self._value(each, tensors) for each in value]
        if not isinstance(value, dict):
            return value
        match value:
            case {"$tensor": int(number)} if tensors is not None:
                return tensors[number]
            case {"$tuple": list(items)}:
                return tuple(self._value(each, tensors) for each in items)
            case {"$array": items, "dtype": str(dtype)}:
                return np.asarray(items, np.dtype(dtype))
            case {"$layer": int(number)}:
                return self._layers[number]
            case {"$initializer": config}:
                return initializers.get(self._value(config))
            case {"$regularizer": config}:
                return regularizers.get(self._value(config))
            case {"$own": str(name)}:
                return _OWN[name]
            case {"$object": str(name)}:
                return self._object(name)
        return {name: self._value(each, tensors) for name, each in value.items()}

    def _object(self, name: str) -> Any:
        if name not in self._objects:
            raise UnknownPartError(f"{name!r} is not in custom_objects")
        return self._objects[name]


def _distinct(result: object) -> Iterator[Tensor]:
    return iter(dict.fromkeys(tensors_in(result)))
