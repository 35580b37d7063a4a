"""Activations as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .._checks import ArgumentError, integer
from .._described import CHECKS, only
from .._names import unique_name
from .._symbolic import functions
from ..activations import Kind, relu_kind
from .arguments import NOTHING, default
from .operation import Operation, WeightedLayer, divided

if TYPE_CHECKING:
    from typing import TypeAlias

    from .._symbolic import Network, Tensor
    from .arguments import ActivationLike, InitializerLike, RegularizerLike

    SharedAxes: TypeAlias = Sequence[int] | None


class _Activation(Operation):
    def _what(self) -> Kind | None:
        """The activation as a layer of the library."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        self._what()

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        kind = self._what()
        return operand if kind is None else network.layer(kind.layer, self.name, kind.options, operand)


CHECKS["Kind"] = lambda value, _: Kind(*value)


class KindLayer(_Activation):
    """An activation with its constants."""

    kind: Kind

    def _what(self) -> Kind:
        return self.kind


class Activation(_Activation):
    """An activation function.

    Args:
        activation: a name or function of ``swiftcnn.activations``, or a function of tensors.
    """

    activation: ActivationLike

    def call(self, inputs: Tensor | Sequence[Tensor], training: bool | None = None) -> Any:
        return divided(self.activation)[1](super().call(inputs, training))

    def _what(self) -> Kind | None:
        return divided(self.activation)[0]


class ReLU(_Activation):
    """``max_value`` at most, ``x`` from ``threshold`` on, ``negative_slope * (x - threshold)`` below."""

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def _what(self) -> Kind:
        return relu_kind(self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(_Activation):
    """``x`` above 0, ``negative_slope * x`` below (Maas et al. 2013)."""

    negative_slope: float = 0.3

    def _what(self) -> Kind:
        return relu_kind(self.negative_slope)


class ELU(_Activation):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2016)."""

    alpha: float = 1.0

    def _what(self) -> Kind:
        return Kind.of("elu", alpha=self.alpha)


class Softmax(Operation):
    """``exp(x) / sum(exp(x))`` over the last axis."""

    _kind = "softmax"
    axis: int = only(-1)


def _axes(value: Any, name: str) -> list[int] | None:
    if value is not None and not isinstance(value, (list, tuple)):
        raise ArgumentError(f"{name} must be None or a list of axes, as [1, 2], got {value!r}")
    return None if value is None else sorted(integer(axis, name) for axis in value)


CHECKS["SharedAxes"] = _axes


class PReLU(WeightedLayer):
    """``x`` above 0, a learned slope times ``x`` below (He et al. 2015). Weight: ``alpha``.

    Args:
        shared_axes: the axes along which the slope is the same: [1, 2] gives images one slope a channel; None gives
            every element of an image one of its own.
    """

    _kind = "prelu"
    _weight_names: ClassVar[Mapping[str, str]] = {"weight": "alpha"}
    alpha_initializer: InitializerLike = default("zeros")
    alpha_regularizer: RegularizerLike = default(None)
    alpha_constraint: None = NOTHING
    shared_axes: SharedAxes = None

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        shape = network.shape(operand)[1:]
        inner = list(range(1, len(shape)))
        is_shared = bool(inner) and self.shared_axes == inner
        if self.shared_axes and not is_shared:
            raise ValueError(f"shared_axes must be None or {inner}, all but the channels, got {self.shared_axes}")
        self._alpha_shape = tuple(1 if is_shared and axis in inner else size or 0 for axis, size in enumerate(shape, 1))
        return network.layer(self._kind, self.name, {"shared": is_shared}, operand)

    def _keras_shape(self, name: str) -> tuple[int, ...]:
        return self._alpha_shape


functions["activate"] = lambda x, kind: KindLayer(
    kind, name=unique_name(str(kind.options.get("function", kind.layer)))
)(x)
