"""Layers of models that were made by name, or come from a file without Python's layers in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import activations, layers
from .._checks import boolean
from .._symbolic import Call, Tensor
from ..layers.base import Layer
from ..layers.variable import Variable, is_trained

if TYPE_CHECKING:
    from .model import Model
    from .parameters import Parameter

_WEIGHTS = {"normalization_scale": "gamma", "normalization_shift": "beta", "weight": "kernel", "bias": "bias"}
_STATISTICS = {"running_mean": "moving_mean", "running_var": "moving_variance"}


class Node(Layer):
    """A layer of a model that was made by name or read from a file: an object of the public class that computes the
    same, as ``layers.Conv2D``, with that class's attributes.

    Attributes:
        operation: what is computed, as ``"conv2d"``.
        attributes: its constants in the network, as ``{"stride": [1, 1], "padding": [1, 1, 1, 1]}``.
    """

    operation: str
    attributes: dict[str, Any]

    _owner: tuple[Model]
    _constructor: type[Layer] | None = Layer

    def __init__(
        self, model: Model, rows: Sequence[Mapping[str, Any]], weights: Sequence[Parameter], operands: list[str]
    ) -> None:
        """``rows`` are the operations of which it consists, ``operands`` the results that it reads."""
        first = rows[0]
        kind = self._constructor or Layer
        given = _arguments(kind, rows, weights)
        public: Any = kind.__init__
        public(self, **given, name=first["name"])
        self._arguments = given
        self.operation = first["operation"]
        self.attributes = first["attributes"]
        self.built = True
        vars(self)["_owner"] = (model,)  # not among the layers of this one
        self._operands = operands
        self._result: str = rows[-1]["name"]
        self._names = [row["name"] for row in rows]
        self._rows = weights
        if kind in (layers.Conv2D, layers.DepthwiseConv2D, layers.MaxPooling2D, layers.AveragePooling2D):
            vars(self)["padding"] = _padding(first["attributes"], given)

    @property
    def input(self) -> Any:
        """The tensor it reads, or a list of them."""
        tensors = [tensor_of(self._owner[0], name) for name in self._operands]
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def output(self) -> Tensor:
        """What it gives."""
        return tensor_of(self._owner[0], self._result)

    @property
    def weights(self) -> list[Variable]:
        """The weights in Keras's order."""
        handle = self._owner[0]._handle
        result = []
        for row in self._rows:
            last = row.name.rpartition(".")[2]
            name = "alpha" if row.role == "slope" else _WEIGHTS.get(row.role) or _STATISTICS.get(last, last)
            channels = (
                self.attributes["groups"] if row.role == "weight" and is_depthwise(self.attributes, row) else None
            )
            shape = (1, 1, *row.shape) if row.role == "slope" and self.output.ndim == 4 else None
            result.append(Variable(handle, row.name, name, self.name, row.shape, channels, shape))
        return result

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights."""
        if not hasattr(self, "_rows"):
            return self._trainable
        learned = [row.name for row in self._rows if row.role != "statistic"]
        handle = self._owner[0]._handle
        return any(is_trained(handle, name) for name in learned) if learned else self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = boolean(value, "trainable")
        for row in self._rows:
            if row.role != "statistic":
                self._owner[0]._handle.set_trainable(literally(row.name), value)

    def _sublayers(self) -> Iterator[Layer]:
        return iter(())

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return _layer_of, (self._owner[0], self.name)  # a copy is a layer of a copy of the model

    def __copy__(self) -> Any:
        return _layer_of(self._owner[0].clone(), self.name)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(
            f"layer {self.name!r} is a part of model {self._owner[0].name!r} and cannot be applied by itself; "
            "go on from its output, or apply the model"
        )


def _layer_of(model: Model, name: str) -> Layer:
    return model.get_layer(name)


def nodes_of(model: Model) -> Iterator[Node]:
    """The layers of a model of the library. What a layer of Python's added for its activation, as ``conv.relu`` after
    ``conv``, is a part of that layer."""
    parameters = {row.name: row for row in model.parameters}
    graph = json.loads(model.graph("json"))
    readers = Counter(name for row in graph["nodes"] for name in row["operands"])
    readers.update(output["value"] for output in graph["outputs"])
    rows = graph["nodes"]
    following = {
        row["operands"][0]: row for row in rows if row["operation"] in ("activation", "softmax", "log_softmax")
    }
    # Constants, as those in place of a normalisation's scale that it has not, are no layers.
    taken = {row["name"] for row in rows if row["operation"] == "fill"}
    no_results = frozenset(taken | set(parameters))
    for row in rows:
        if row["name"] in taken:
            continue
        group, after = [row], following.get(row["name"])
        if after and row["operation"] in ("conv2d", "dense") and readers[row["name"]] == 1:
            function = after["attributes"].get("function", after["operation"])
            if after["name"] == f"{row['name']}.{function}" and _function(after) is not None:
                group.append(after)
                taken.add(after["name"])
        weights = [parameters[name] for name in row["operands"] if name in parameters]
        operands = [name for name in row["operands"] if name not in no_results]
        yield _class_for(_public_class(row, weights))(model, group, weights, operands)


_classes: dict[str, type[Node]] = {Layer.__name__: Node}


def _class_for(public: type[Layer]) -> type[Node]:
    """Nodes that are of a public class too, under its name."""
    name = public.__name__
    if name not in _classes:
        _classes[name] = type(name, (Node, public), {"__doc__": public.__doc__, "_constructor": public})
    return _classes[name]


def _public_class(row: Mapping[str, Any], weights: Sequence[Parameter]) -> type[Layer]:
    """The layer that computes what an operation does, or ``Layer`` where none does."""
    operation, attributes = row["operation"], row["attributes"]
    if operation == "conv2d":
        return layers.DepthwiseConv2D if is_depthwise(attributes, weights[0]) else layers.Conv2D
    if operation == "activation":
        if attributes["function"] in ("relu", "relu6"):
            return layers.ReLU
        if attributes["function"] == "leaky_relu":
            plain = not attributes.get("threshold") and attributes.get("maximum") is None
            return layers.LeakyReLU if plain else layers.ReLU
        if attributes["function"] == "elu":
            return layers.ELU
        return Layer if _function(row) is None else layers.Activation
    if operation == "pool2d":
        return layers.MaxPooling2D if attributes["kind"] == "max" else layers.AveragePooling2D
    if operation == "global_pool2d":
        return layers.GlobalMaxPooling2D if attributes["kind"] == "max" else layers.GlobalAveragePooling2D
    if operation == "reshape":
        return layers.Flatten if attributes["shape"] == [-1] else layers.Reshape
    return _CLASSES.get(operation, Layer)


_CLASSES: dict[str, type[Layer]] = {
    "add": layers.Add,
    "batch_norm": layers.BatchNormalization,
    "concat": layers.Concatenate,
    "dense": layers.Dense,
    "dropout": layers.Dropout,
    "log_softmax": layers.Activation,
    "multiply": layers.Multiply,
    "prelu": layers.PReLU,
    "random_crop": layers.RandomCrop,
    "random_flip": layers.RandomFlip,
    "rescaling": layers.Rescaling,
    "softmax": layers.Softmax,
    "zero_pad": layers.ZeroPadding2D,
}


def _arguments(kind: type[Layer], rows: Sequence[Mapping[str, Any]], weights: Sequence[Parameter]) -> dict[str, Any]:
    """What an object of the public class would have been made with."""
    row = rows[0]
    attributes = row["attributes"]
    shape = tuple(weights[0].shape if weights else ())
    activation = {"activation": _function(rows[1])} if len(rows) > 1 else {}
    bias = {"use_bias": len(weights) > 1}
    window = {
        "strides": tuple(attributes.get("stride", (1, 1))),
        "padding": "same" if attributes.get("padding") == "same" else "valid",
    }
    dilation = {"dilation_rate": tuple(attributes.get("dilation", (1, 1)))}
    roles = {each.role for each in weights}
    if kind is layers.Conv2D:
        groups = {"groups": attributes.get("groups", 1)}
        return {"filters": shape[0], "kernel_size": shape[2:]} | window | dilation | groups | bias | activation
    if kind is layers.DepthwiseConv2D:
        multiplier = {"depth_multiplier": shape[0] // attributes.get("groups", 1)}
        return {"kernel_size": shape[2:]} | window | multiplier | dilation | bias | activation
    if kind is layers.Dense:
        return {"units": shape[0]} | bias | activation
    if kind is layers.BatchNormalization:
        return {
            "momentum": 1 - attributes.get("momentum", 0.1),
            "epsilon": attributes.get("epsilon", 1e-5),
            "center": "normalization_shift" in roles,
            "scale": "normalization_scale" in roles,
        }
    if kind in (layers.MaxPooling2D, layers.AveragePooling2D):
        return {"pool_size": tuple(attributes["kernel"])} | window
    if kind in (layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D):
        return {"keepdims": attributes.get("keep_axes", False)}
    if kind is layers.ReLU:
        largest = 6.0 if attributes["function"] == "relu6" else attributes.get("maximum")
        slope = attributes.get("alpha", 0.0) if attributes["function"] == "leaky_relu" else 0.0
        return {"max_value": largest, "negative_slope": slope, "threshold": attributes.get("threshold", 0.0)}
    if kind is layers.LeakyReLU:
        return {"negative_slope": attributes.get("alpha", 0.2)}
    if kind is layers.ELU:
        return {"alpha": attributes.get("alpha", 1.0)}
    if kind is layers.Activation:
        return {"activation": _function(row)}
    if kind is layers.ZeroPadding2D:
        top, left, bottom, right = attributes["padding"]
        return {"padding": ((top, bottom), (left, right))}
    if kind is layers.RandomFlip:
        ways = [way for way in ("horizontal", "vertical") if attributes.get(way, True)]
        return {"mode": "_and_".join(ways) or "horizontal"}
    names: dict[type[Layer], dict[str, tuple[str, Any]]] = {
        layers.Concatenate: {"axis": ("axis", -1)},
        layers.Dropout: {"rate": ("rate", 0.5)},
        layers.RandomCrop: {"height": ("height", 1), "width": ("width", 1)},
        layers.Rescaling: {"scale": ("scale", 1.0), "offset": ("offset", 0.0)},
        layers.Reshape: {"target_shape": ("shape", (-1,))},
    }
    return {name: attributes.get(*found) for name, found in names.get(kind, {}).items()}


def _padding(attributes: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Keras's word for the padding where it has one, otherwise ``((top, bottom), (left, right))``."""
    sides = attributes.get("padding", [0, 0, 0, 0])
    if not isinstance(sides, list) or not any(sides):
        return given["padding"]
    top, left, bottom, right = sides
    kernel = given.get("kernel_size") or given["pool_size"]
    dilation = given.get("dilation_rate", (1, 1))
    around = [(size - 1) * distance for size, distance in zip(kernel, dilation, strict=True)]
    halves = [(total // 2, total - total // 2) for total in around]
    is_same = given["strides"] == (1, 1) and [(top, bottom), (left, right)] == halves
    return "same" if is_same else ((top, bottom), (left, right))


def _function(row: Mapping[str, Any]) -> str | None:
    """The name of the activation that an operation is, or None."""
    operation, attributes = row["operation"], row["attributes"]
    if operation != "activation":
        return str(operation)
    constants = {name: value for name, value in attributes.items() if name != "function" and value not in (0, None)}
    usual = {"alpha": alpha} if (alpha := {"leaky_relu": 0.2, "elu": 1}.get(attributes["function"])) else {}
    name = {"hard_swish": "hard_silu"}.get(attributes["function"], attributes["function"])
    is_usual = usual | constants == usual
    return name if name in activations.__all__ and is_usual else None


def is_depthwise(attributes: Mapping[str, Any], weight: Parameter) -> bool:
    """Whether a convolution is one of each channel by itself."""
    return bool(attributes.get("groups", 1) > 1 and weight.shape[1] == 1)


def tensor_of(model: Model, name: str) -> Tensor:
    """A result of a model of the library."""
    starts, _ = model._tensors()
    for key, start in zip(model.input_names, starts, strict=True):
        if name == key:
            return start
    return Tensor(model._shape(name), name, Call(model, tuple(starts), tensor=name))


def literally(name: str) -> str:
    """A pattern that only this name matches."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)
