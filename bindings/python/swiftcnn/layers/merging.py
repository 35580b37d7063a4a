"""Layers of several tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Unpack

from .._checks import integer
from .base import LayerOptions, Operation

if TYPE_CHECKING:
    from .._symbolic import Call, Network, Tensor


class _Pairwise(Operation):
    _kind: ClassVar[str]

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        if len(operands) < 2:
            raise ValueError(f"layer {self.name!r} takes a list of at least two tensors, got {len(operands)}")
        result = operands[0]
        for operand in operands[1:]:
            result = network.layer(self._kind, self.name, {}, result, operand)
        return result


class Add(_Pairwise):
    """The sum of tensors of one shape; where height and width of one are 1, it is added everywhere."""

    _kind = "add"


class Multiply(_Pairwise):
    """The product of tensors of one shape; where height and width of one are 1, it multiplies everywhere, as in
    squeeze-and-excitation."""

    _kind = "multiply"


class Concatenate(Operation):
    """Tensors joined along an axis.

    Args:
        axis: any but the batch.
    """

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = integer(axis, "axis", minimum=-8)

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        if len(operands) < 1:
            raise ValueError(f"layer {self.name!r} takes a list of tensors")
        return network.layer("concat", self.name, {"axis": self.axis}, *operands)


def add(inputs: Sequence[Tensor], **options: Unpack[LayerOptions]) -> Tensor:
    """``Add()(inputs)``"""
    result: Tensor = Add(**options)(inputs)
    return result


def multiply(inputs: Sequence[Tensor], **options: Unpack[LayerOptions]) -> Tensor:
    """``Multiply()(inputs)``"""
    result: Tensor = Multiply(**options)(inputs)
    return result


def concatenate(inputs: Sequence[Tensor], axis: int = -1, **options: Unpack[LayerOptions]) -> Tensor:
    """``Concatenate(axis)(inputs)``"""
    result: Tensor = Concatenate(axis, **options)(inputs)
    return result
