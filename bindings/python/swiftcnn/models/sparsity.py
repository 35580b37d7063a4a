"""How many weights of a model are 0: what ``Model.sparsity_report`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .report import Report

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


class SparsityReport(Report):
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
        super().__init__(json_text, table)
        values = self.to_dict()
        self.model, self.weights, self.zeros = values["model"], values["weights"], values["zeros"]
        self.sparsity = values["sparsity"]
        self.layers = tuple(SparseLayer(shape=tuple(row.pop("shape")), **row) for row in values["layers"])

def sparsity_reported(handle: _swiftcnn.Model) -> SparsityReport:
    """The report on a model as it is now."""
    return SparsityReport(handle.sparsity_report("json"), handle.sparsity_report("text"))
