"""Networks as Keras describes them, in ``.keras`` and whole ``.h5`` files, made of the layers that are here.

A description is data: classes are looked up by name among the layers here and those that the user gives, and functions
that a file holds as code, as Lambda's, are never run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import activations, initializers, layers
from .._checks import text
from .._names import keep_name
from .._symbolic import Tensor
from ..layers.base import Layer
from ..layers.core import InputLayer
from .kinds import KINDS, model_class

if TYPE_CHECKING:
    from .model import Model

#: What is written ``a + b`` and ``activations.relu(a)`` in Keras: calls of functions, which have no weights.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Add": lambda a, b: a + b,
    "Multiply": lambda a, b: a * b,
    "Subtract": lambda a, b: a - b,
    "TrueDivide": lambda a, b: a / b,
    "Negative": lambda a: -a,
    "Maximum": lambda a, b: layers.maximum([a, b]),
    "Minimum": lambda a, b: layers.minimum([a, b]),
    **{
        name: getattr(activations, name.lower())
        for name in ("Relu", "Relu6", "Sigmoid", "Silu", "Tanh", "Softmax", "Softplus", "Gelu", "Elu")
        if hasattr(activations, name.lower())
    },
}
_NETWORKS = ("Functional", "Model", "Sequential")


class UnknownLayersError(ValueError):
    """What of a network is not here."""


def build(config: Any, constants: Mapping[str, tuple[Any, Any]], objects: Mapping[str, Any]) -> Model:
    """The network that is described, with weights of its own.

    Args:
        constants: mean and variance of the normalisations of pixels, by name, which the description may not tell.
        objects: classes of the user's by name.

    Raises:
        UnknownLayersError: layers are not here, all of which are named, or there are several inputs.
        ValueError, TypeError, KeyError, IndexError, AttributeError: it is no description.
    """
    builder = _Builder(constants, objects)
    if config["class_name"] not in _NETWORKS:
        raise UnknownLayersError(f"it is of the class {config['class_name']!r}, which is not here")
    builder.prepare(config)
    if builder.faults:
        count = len(builder.faults)
        raise UnknownLayersError(
            f"{count} {'layer is' if count == 1 else 'layers are'} not here, or not so: {'; '.join(builder.faults)}"
        )
    model: Model = builder.network(config)
    return model


class _Builder:
    """Makes all layers first, so that everything that is not here is told at once, then the networks.

    Attributes:
        faults: what is not here.
    """

    def __init__(self, constants: Mapping[str, tuple[Any, Any]], objects: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self._constants = constants
        self._objects = objects
        self._made: dict[int, Callable[..., Any]] = {}  # by the entry

    def prepare(self, entry: Mapping[str, Any]) -> None:
        """Makes the layers of a network and of those within."""
        for row in entry["config"]["layers"]:
            kind, config = row["class_name"], row["config"]
            name = _name_of(row)
            keep_name(name)  # so that sums and products get others
            if kind in _NETWORKS:
                self.prepare(row)
                continue
            try:
                self._made[id(row)] = self._layer(row, kind, config)
            except (TypeError, ValueError) as error:
                self.faults.append(f"{name!r} ({kind}): {error}")
            except KeyError:
                self.faults.append(f"{name!r} ({kind})")

    def _layer(self, row: Mapping[str, Any], kind: str, config: Mapping[str, Any]) -> Callable[..., Any]:
        if kind in self._objects:
            found: Layer = self._objects[kind].from_config(dict(config))
            return found
        is_function = str(row.get("module", "")).startswith("keras.src.ops") or _has_two_tensors(row)
        if is_function:
            return _FUNCTIONS[kind]
        if kind == "InputLayer":
            shape = config.get("batch_shape") or config["batch_input_shape"]
            return InputLayer(batch_shape=shape, name=config.get("name"))
        made = layers._CLASSES[kind]
        return made(**self._arguments(made, config))

    def _arguments(self, kind: type[Layer], config: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a class here for those of Keras's."""
        known = set(inspect.signature(kind).parameters) | {"name", "trainable"}
        arguments: dict[str, Any] = {}
        for key, value in config.items():
            if key == "dtype":
                _check_dtype(value)
            elif key.endswith("_initializer"):
                if (given := _initializer(value)) is not None:  # one that is not here is not needed: weights follow
                    arguments[key] = given
            elif key in known:
                arguments[key] = _plain(value)
            elif value not in (None, False) and not (key == "renorm_momentum" and not config.get("renorm")):
                raise ValueError(f"{key}={value!r} is not here")
        if isinstance(axis := arguments.get("axis"), list) and len(axis) == 1:
            arguments["axis"] = axis[0]
        if kind is layers.Normalization:
            arguments["axis"] = None if arguments.get("axis") is None else -1
            if arguments.get("mean") is None and arguments["name"] in self._constants:
                arguments["mean"], arguments["variance"] = self._constants[arguments["name"]]
        return arguments

    # ------------------------------------------------------------------------------------------------------ networks

    def network(self, entry: Mapping[str, Any]) -> Any:
        """The network of an entry."""
        config = entry["config"]
        model = self._sequential(config) if entry["class_name"] == "Sequential" else self._functional(config)
        if config.get("trainable") is False:
            model.trainable = False
        return model

    def _part(self, row: Mapping[str, Any]) -> Any:
        return self.network(row) if row["class_name"] in _NETWORKS else self._made[id(row)]

    def _sequential(self, config: Mapping[str, Any]) -> Any:
        model = KINDS["Sequential"](name=config["name"])
        for row in config["layers"]:
            model.add(self._part(row))
        shape = config.get("build_input_shape")
        if shape and not model._built:
            model.build(shape)
        return model

    def _functional(self, config: Mapping[str, Any]) -> Any:
        parts = {_name_of(row): self._part(row) for row in config["layers"]}
        results: dict[tuple[str, int], list[Tensor]] = {
            (name, 0): [part.output] for name, part in parts.items() if isinstance(part, InputLayer)
        }
        waiting = [
            (_name_of(row), index, node)
            for row in config["layers"]
            if row["class_name"] != "InputLayer"
            for index, node in enumerate(row.get("inbound_nodes") or ())
        ]
        while waiting:
            later = []
            for name, index, node in waiting:
                args, kwargs = _call_of(node)
                needed = list(_references([args, kwargs]))
                # Calls of one layer are numbered in their order.
                if not all((source, call) in results for source, call, _ in needed) or (
                    index and (name, index - 1) not in results
                ):
                    later.append((name, index, node))
                    continue
                given = {key: _connected(value, results) for key, value in kwargs.items() if key != "mask"}
                result = parts[name](*(_connected(value, results) for value in args), **given)
                results[name, index] = list(result) if isinstance(result, (list, tuple)) else [result]
            if len(later) == len(waiting):
                raise ValueError(f"the input of layer {later[0][0]!r} comes from nowhere")
            waiting = later
        inputs = list(_ends(config["input_layers"]))
        if len(inputs) != 1:
            raise UnknownLayersError(f"model {config['name']!r} has {len(inputs)} inputs, of which there is one here")
        outputs = _ends_of(config["output_layers"], results)
        return model_class()(results[inputs[0][0], inputs[0][1]][inputs[0][2]], outputs, name=config["name"])


def _name_of(row: Mapping[str, Any]) -> str:
    return text(row["config"].get("name") or row["name"], "name")


def _has_two_tensors(row: Mapping[str, Any]) -> bool:
    """Whether an Add or Multiply is of two arguments, as the functions are, where the file does not tell the module."""
    nodes = row.get("inbound_nodes")
    if row["class_name"] not in _FUNCTIONS or not nodes or not isinstance(nodes[0], dict):
        return False
    return len(nodes[0]["args"]) == 2


def _check_dtype(value: Any) -> None:
    name = value.get("config", {}).get("name") if isinstance(value, dict) else value
    if name not in (None, "float32"):
        raise ValueError(f"dtype must be float32, got {name!r}")


def _initializer(value: Any) -> Any:
    try:
        if isinstance(value, dict):
            made = getattr(initializers, value["class_name"])
            known = inspect.signature(made).parameters
            return made(**{key: each for key, each in value["config"].items() if key in known})
        return initializers.get(value, "initializer")
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _plain(value: Any) -> Any:
    """An argument without Keras's wrapping."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        return np.asarray(value["config"]["value"], np.float32)
    if isinstance(value, dict) and "class_name" in value and "config" in value:
        return {"class_name": value["class_name"], "config": value["config"]}
    return value


def _call_of(node: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, as Keras 3 tells it, or as Keras 2."""
    if isinstance(node, dict):
        return node["args"], node["kwargs"]
    tensors = [_reference(*each[:3]) for each in node]
    kwargs = dict(node[0][3]) if len(node[0]) > 3 else {}
    return [tensors[0] if len(tensors) == 1 else tensors], kwargs


def _reference(name: str, call: int, result: int) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, result]}}


def _references(value: Any) -> Iterator[tuple[str, int, int]]:
    """The tensors among arguments."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        name, call, result = value["config"]["keras_history"]
        yield name, call, result
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _references(each)


def _connected(value: Any, results: Mapping[tuple[str, int], list[Tensor]]) -> Any:
    """An argument with tensors in their places."""
    if isinstance(value, list):
        return [_connected(each, results) for each in value]
    if isinstance(value, dict):
        found = list(_references(value))
        if len(found) == 1 and value.get("class_name") == "__keras_tensor__":
            name, call, result = found[0]
            return results[name, call][result]
    return _plain(value)


def _ends(value: Any) -> Iterator[tuple[str, int, int]]:
    """The tensors that a network begins or ends with."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        yield value[0], value[1], value[2]
    else:
        for each in value.values() if isinstance(value, dict) else value:
            yield from _ends(each)


def _ends_of(value: Any, results: Mapping[tuple[str, int], list[Tensor]]) -> Any:
    """The same, connected; in a dictionary where they are told so."""
    found = [results[name, call][result] for name, call, result in _ends(value)]
    if isinstance(value, dict):
        return dict(zip(value, found, strict=True))
    return found[0] if len(found) == 1 else found
