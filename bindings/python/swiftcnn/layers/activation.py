"""Activations as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from .._checks import integer
from .._names import unique_name
from .._symbolic import functions
from ..activations import Function, Kind, relu_kind
from .arguments import declared, one_of
from .operation import Operation, WeightedLayer, finish, known

if TYPE_CHECKING:
    from .._symbolic import Network, Tensor
    from ..initializers import Initializer
    from ..regularizers import Regularizer
    from .base import LayerOptions


class _Activation(Operation):
    def _what(self) -> Kind | None:
        """The activation as a layer of the library."""
        raise NotImplementedError

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        kind = self._what()
        return operand if kind is None else network.layer(kind.layer, self.name, kind.options, operand)


class KindLayer(_Activation):
    """An activation with its constants."""

    def __init__(self, kind: Kind, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self._activation = Kind(*kind)

    def _what(self) -> Kind:
        return self._activation


class Activation(_Activation):
    """An activation function.

    Args:
        activation: a name or function of ``swiftcnn.activations``, or a function of tensors.
    """

    activation: Function

    @declared
    def __init__(self, activation: str | Function | None, **options: Unpack[LayerOptions]) -> None:
        pass

    def call(self, inputs: Tensor | Sequence[Tensor], training: bool | None = None) -> Any:
        return finish(self.activation, super().call(inputs, training))

    def _what(self) -> Kind | None:
        return known(self.activation)


class ReLU(_Activation):
    """``max_value`` at most, ``x`` from ``threshold`` on, ``negative_slope * (x - threshold)`` below."""

    max_value: float | None
    negative_slope: float
    threshold: float

    @declared
    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        self._what()

    def _what(self) -> Kind:
        return relu_kind(self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(_Activation):
    """``x`` above 0, ``negative_slope * x`` below (Maas et al. 2013)."""

    negative_slope: float

    @declared
    def __init__(self, negative_slope: float = 0.3, **options: Unpack[LayerOptions]) -> None:
        self._what()

    def _what(self) -> Kind:
        return relu_kind(self.negative_slope)


class ELU(_Activation):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2016)."""

    alpha: float

    @declared
    def __init__(self, alpha: float = 1.0, **options: Unpack[LayerOptions]) -> None:
        pass

    def _what(self) -> Kind:
        return Kind.of("elu", alpha=self.alpha)


class Softmax(Operation):
    """``exp(x) / sum(exp(x))`` over the last axis."""

    axis: int
    _kind = "softmax"
    _checks = {"axis": one_of(-1)}

    @declared
    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        pass


class PReLU(WeightedLayer):
    """``x`` above 0, a learned slope times ``x`` below (He et al. 2015). Weight: ``alpha``.

    Args:
        shared_axes: the axes along which the slope is the same: [1, 2] gives images one slope a channel; None gives
            every element of an image one of its own.
    """

    shared_axes: list[int] | None
    _kind = "prelu"
    _weight_names: ClassVar[Mapping[str, str]] = {"weight": "alpha"}

    @declared
    def __init__(
        self,
        alpha_initializer: str | Initializer = "zeros",
        alpha_regularizer: str | Regularizer | None = None,
        alpha_constraint: None = None,
        shared_axes: Sequence[int] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        if shared_axes is not None and not isinstance(shared_axes, (list, tuple)):
            raise TypeError(f"shared_axes must be None or a list of axes, as [1, 2], got {shared_axes!r}")
        self.shared_axes = None if shared_axes is None else sorted(integer(axis, "shared_axes") for axis in shared_axes)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        shape = network.shape(operand)[1:]
        inner = list(range(1, len(shape)))
        if self.shared_axes == inner and inner:
            self._alpha_shape = (*(1 for _ in inner), shape[-1] or 0)
            return network.layer("prelu", self.name, {}, operand)
        if self.shared_axes:
            raise ValueError(f"shared_axes must be None or {inner}, all but the channels, got {self.shared_axes}")
        if None in shape:
            raise ValueError(f"layer {self.name!r} has a slope for each element, so its input's size must not vary")
        sizes = [size for size in shape if size is not None]
        self._alpha_shape = tuple(sizes)
        flat = network.layer("reshape", f"{self.name}.flatten", {"shape": [-1]}, operand)
        result = network.layer("prelu", self.name, {}, flat)
        return network.layer("reshape", f"{self.name}.reshape", {"shape": sizes}, result)

    def _keras_shape(self, name: str) -> tuple[int, ...]:
        return self._alpha_shape


functions["activate"] = lambda x, kind: KindLayer(
    kind, name=unique_name(str(kind.options.get("function", kind.layer)))
)(x)
