"""How many weights of a model are 0: what ``Model.sparsity_report`` returns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .. import _swiftcnn


class SparseLayer(NamedTuple):
    """A convolution or dense layer.

    Attributes:
        layer: its name.
        shape: of its weight: OIHW, or (out, in).
        weights: how many it has.
        zeros: how many of them are 0.
        sparsity: the share of them that are 0.
        block_sparsity: the share of the blocks of 16 output channels of an input channel in which all are 0.
        masked: how many its mask leaves out; None where it has none.
        left_alone: why ``sparsify`` leaves it as it is where nothing is said: ``"first layer"``, ``"last layer"`` or
            ``"depthwise"``; None where it does not.
    """

    layer: str
    shape: tuple[int, ...]
    weights: int
    zeros: int
    sparsity: float
    block_sparsity: float
    masked: int | None
    left_alone: str | None


class SparsityReport:
    """How many weights of a model's layers are 0. ``print`` it for a table.

    Attributes:
        model: the model's name.
        weights: how many all layers have.
        zeros: how many of them are 0.
        sparsity: the share of them that are 0.
        layers: the layers in their order.
    """

    model: str
    weights: int
    zeros: int
    sparsity: float
    layers: tuple[SparseLayer, ...]

    def __init__(self, json_text: str, table: str) -> None:
        self._json, self._table = json_text, table
        values: dict[str, Any] = json.loads(json_text)
        self.model, self.weights, self.zeros = values["model"], values["weights"], values["zeros"]
        self.sparsity = values["sparsity"]
        self.layers = tuple(SparseLayer(shape=tuple(row.pop("shape")), **row) for row in values["layers"])

    def __eq__(self, other: object) -> bool:
        return self._json == other._json if isinstance(other, SparsityReport) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._json)

    def __str__(self) -> str:
        return self._table

    __repr__ = __str__

    def to_json(self) -> str:
        """The numbers as JSON, with the names of the attributes."""
        return self._json

    def to_dict(self) -> dict[str, Any]:
        """The same as a dictionary."""
        found: dict[str, Any] = json.loads(self._json)
        return found


def sparsity_reported(handle: _swiftcnn.Model) -> SparsityReport:
    """The report on a model as it is now."""
    return SparsityReport(handle.sparsity_report("json"), handle.sparsity_report("text"))
