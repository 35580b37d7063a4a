"""Activations as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from .. import initializers, regularizers
from .._checks import choice, integer, number
from ..activations import Function, Kind, get, kind_of, relu_kind
from .base import LayerOptions, check_absent
from .operation import Operation, WeightedLayer

if TYPE_CHECKING:
    from .._symbolic import Network, Tensor
    from ..initializers import Initializer
    from ..regularizers import Regularizer


def apply(function: Function, network: Network, operand: int, name: str) -> int:
    """Adds an activation function after a layer called ``name``. One of the user's has to wait: see ``finish``."""
    try:
        kind = kind_of(function)
    except KeyError:
        return operand
    if kind is None:
        return operand
    return network.layer(kind.layer, f"{name}.{kind.options.get('function', kind.layer)}", kind.options, operand)


def finish(function: Function, result: Tensor) -> Any:
    """Applies a function of the user's to what a layer gave."""
    try:
        kind_of(function)
    except KeyError:
        return function(result)
    return result


class KindLayer(Operation):
    """An activation with its constants."""

    def __init__(self, kind: Kind, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self._kind = Kind(*kind)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        return network.layer(self._kind.layer, self.name, self._kind.options, operand)


class Activation(Operation):
    """An activation function.

    Args:
        activation: a name or function of ``swiftcnn.activations``, or a function of tensors.
    """

    def __init__(self, activation: str | Function | None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation = get(activation)

    def call(self, inputs: Tensor | Sequence[Tensor], training: bool | None = None) -> Any:
        try:
            kind_of(self.activation)
        except KeyError:
            return self.activation(inputs)
        return super().call(inputs, training)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        kind = kind_of(self.activation)
        return operand if kind is None else network.layer(kind.layer, self.name, kind.options, operand)


class ReLU(KindLayer):
    """``max_value`` at most, ``x`` from ``threshold`` on, ``negative_slope * (x - threshold)`` below."""

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(relu_kind(negative_slope, max_value, threshold), **options)
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold


class LeakyReLU(KindLayer):
    """``x`` above 0, ``negative_slope * x`` below (Maas et al. 2013)."""

    def __init__(self, negative_slope: float = 0.3, **options: Unpack[LayerOptions]) -> None:
        super().__init__(relu_kind(negative_slope), **options)
        self.negative_slope = negative_slope


class ELU(KindLayer):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(Kind.of("elu", alpha=number(alpha, "alpha")), **options)
        self.alpha = alpha


class Softmax(KindLayer):
    """``exp(x) / sum(exp(x))`` over the last axis."""

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(Kind("softmax", {}), **options)
        self.axis = choice(axis, "axis", (-1,))


class PReLU(WeightedLayer):
    """``x`` above 0, a learned slope times ``x`` below (He et al. 2015). Weight: ``alpha``.

    Args:
        shared_axes: the axes along which the slope is the same: [1, 2] gives images one slope a channel; None gives
            every element of an image one of its own.
    """

    _weight_names: Mapping[str, str] = {"weight": "alpha"}

    def __init__(
        self,
        alpha_initializer: str | Initializer = "zeros",
        alpha_regularizer: str | Regularizer | None = None,
        alpha_constraint: None = None,
        shared_axes: Sequence[int] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            {"alpha": initializers.get(alpha_initializer, "alpha_initializer")},
            {"alpha": regularizers.get(alpha_regularizer, "alpha_regularizer")},
            **options,
        )
        check_absent(alpha_constraint=alpha_constraint)
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
