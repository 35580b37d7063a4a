"""Layers of models that were made by name, or come from a file without Python's layers in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import layers
from .._symbolic import Call, Tensor
from ..layers.base import Layer
from ..layers.variable import Variable, is_trained

if TYPE_CHECKING:
    from .model import Model
    from .parameters import Parameter


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

    def __init__(self, model: Model, row: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> None:
        """``row`` is what the library says of it: see "layers" of ``scnn_model_graph`` in the C header."""
        public: Any = (self._constructor or Layer).__init__
        public(self, **row["config"], name=row["name"])
        self._made_of = row["config"]
        self.operation = row["operation"]
        self.attributes = row["attributes"]
        self.built = True
        vars(self)["_owner"] = (model,)  # not among the layers of this one
        self._operands: list[str] = row["operands"]
        self._result: str = row["nodes"][-1]
        self._names: list[str] = row["nodes"]
        self._rows = [(parameters[name], keras) for name, keras in row["weights"]]
        self._depthwise: int | None = row.get("depthwise")
        if sides := row.get("sides"):
            vars(self)["padding"] = sides if isinstance(sides, str) else tuple(map(tuple, sides))

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
        for row, name in self._rows:
            channels = self._depthwise if name == "kernel" else None
            shape = None
            if row.role == "slope":
                missing = self.output.ndim - 1 - len(row.shape)
                shape = (*(1 for _ in range(missing)), *row.shape)
            result.append(Variable(handle, row.name, name, self.name, row.shape, channels, shape))
        return result

    def _learned(self) -> list[bool]:
        rows = vars(self).get("_rows", ())
        return [is_trained(self._owner[0]._handle, row.name) for row, _ in rows if row.role != "statistic"]

    def _let_train(self, trainable: bool) -> None:
        for row, _ in self._rows:
            if row.role != "statistic":
                self._owner[0]._handle.set_trainable(literally(row.name), trainable)

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
    """The layers of a model of the library."""
    parameters = {row.name: row for row in model.parameters}
    for row in json.loads(model.graph("layers")):
        yield _class_for(getattr(layers, row["class"]))(model, row, parameters)


_classes: dict[str, type[Node]] = {Layer.__name__: Node}


def _class_for(public: type[Layer]) -> type[Node]:
    """Nodes that are of a public class too, under its name."""
    name = public.__name__
    if name not in _classes:
        _classes[name] = type(name, (Node, public), {"_constructor": public})
        _classes[name].__doc__ = public.__doc__
    return _classes[name]


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
