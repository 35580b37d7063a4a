"""Layers of several tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._symbolic import functions
from .operation import Operation

if TYPE_CHECKING:
    from .._symbolic import Call, Network, Shape, Tensor


class _Pairwise(Operation):
    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        if len(operands) < 2:
            raise ValueError(f"layer {self.name!r} takes a list of at least two tensors, got {len(operands)}")
        result = operands[0]
        for operand in operands[1:]:
            pair = self._alike(network, result, operand)
            result = network.layer(self._kind, self.name, {}, *pair)
        return result

    def _alike(self, network: Network, *operands: int) -> list[int]:
        """The operands with as many axes as the longer has, which the library repeats where their size is 1."""
        given = [network.shape(operand)[1:] for operand in operands]
        rank = max(map(len, given))
        shapes = [(*([1] * (rank - len(shape))), *shape) for shape in given]
        if any(None not in sizes and len(set(sizes) - {1}) > 1 for sizes in zip(*shapes, strict=True)):
            raise ValueError(
                f"layer {self.name!r}: inputs have incompatible shapes {given[0]} and {given[1]}; expected equal sizes "
                "along each axis, or 1"
            )
        return [
            operand
            if before == shape
            else network.layer("reshape", f"{self.name}.reshape", {"shape": _sizes(shape)}, operand)
            for operand, before, shape in zip(operands, given, shapes, strict=True)
        ]


def _sizes(shape: Shape) -> list[int]:
    """A shape of which one size may be unknown, for a reshaping."""
    return [-1 if size is None else size for size in shape]


class Add(_Pairwise):
    """The sum of tensors; where one has the size 1 along an axis, or has it not, it is repeated there, as in NumPy."""

    _kind = "add"


class Multiply(_Pairwise):
    """The product of tensors; where one has the size 1 along an axis, or has it not, it is repeated there, as in NumPy
    and in squeeze-and-excitation."""

    _kind = "multiply"


class Maximum(_Pairwise):
    """The largest of tensors, element by element; shapes as of ``Add``."""

    _kind = "maximum"


class Minimum(_Pairwise):
    """The smallest of tensors, element by element; shapes as of ``Add``."""

    _kind = "minimum"


class Concatenate(Operation):
    """Tensors joined along an axis.

    Args:
        axis: any but the batch.
    """

    _kind = "concat"
    axis: int = -1

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        if len(operands) < 1:
            raise ValueError(f"layer {self.name!r} takes a list of tensors")
        return network.layer(self._kind, self.name, {"axis": self.axis}, *operands)


def _function(kind: type[Operation]) -> Callable[..., Tensor]:
    """The layer as a function of its inputs and its arguments."""

    def apply(inputs: Sequence[Tensor], *args: Any, **options: Any) -> Tensor:
        result: Tensor = kind(*args, **options)(inputs)
        return result

    apply.__name__ = apply.__qualname__ = kind.__name__.lower()
    apply.__doc__ = f"``{kind.__name__}(...)(inputs)``"
    return apply


add, multiply, maximum, minimum = _function(Add), _function(Multiply), _function(Maximum), _function(Minimum)
concatenate = _function(Concatenate)

functions["add"], functions["multiply"] = add, multiply
