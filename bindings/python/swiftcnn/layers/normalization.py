"""Normalisations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from .._checks import integer
from .arguments import default, one_of
from .operation import Operation, WeightedLayer

if TYPE_CHECKING:
    from .._symbolic import Call, Network
    from .arguments import Check, InitializerLike, LastAxis, RegularizerLike


class BatchNormalization(WeightedLayer):
    """Normalises each channel, in training with the batch's mean and variance, in inference with running ones (Ioffe
    and Szegedy 2015). Weights: ``gamma``, ``beta``, ``moving_mean`` and ``moving_variance``, each (C,).

    A layer that is not trainable, or is called with ``training=False``, uses the running statistics in training too and
    leaves them as they are.

    Args:
        axis: the last.
        momentum: the share of the old running statistics that stays at each step (PyTorch's is 1 minus it).
        epsilon: added to the variance.
        center: whether there is a ``beta``.
        scale: whether there is a ``gamma``.
    """

    _kind = "batch_norm"
    _weight_names: ClassVar[Mapping[str, str]] = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    _checks: ClassVar[Mapping[str, Check]] = {"synchronized": one_of(False)}
    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerLike = default("zeros")
    gamma_initializer: InitializerLike = default("ones")
    moving_mean_initializer: InitializerLike = default("zeros")
    moving_variance_initializer: InitializerLike = default("ones")
    beta_regularizer: RegularizerLike = default(None)
    gamma_regularizer: RegularizerLike = default(None)
    beta_constraint: None = None
    gamma_constraint: None = None
    synchronized: bool = False

    def _check(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be 0 to 1, got {self.momentum}")

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        if not (self.center or self.scale or self.trainable):
            call = call._replace(inference=True)  # no parameter can tell the library so
        return super()._emit(network, operands, call)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        if self.axis not in (-1, len(network.shape(operand)) - 1):
            raise ValueError(f"axis must be the last, -1, got {self.axis!r}")
        return super()._define(network, operand, inference)

    def _options(self) -> dict[str, object]:
        return super()._options() | {"momentum": 1 - self.momentum, "unbiased": False}


class GroupNormalization(WeightedLayer):
    """Normalises each group of channels of an image with its own mean and variance, also in training (Wu and He 2018).
    Weights: ``gamma`` and ``beta``, each (C,).

    Args:
        groups: how many there are, a divisor of C; -1 is C itself (instance normalisation), 1 all channels together.
        axis: the last.
        epsilon: added to the variance.
        center: whether there is a ``beta``.
        scale: whether there is a ``gamma``.
    """

    _kind = "group_norm"
    _weight_names: ClassVar[Mapping[str, str]] = {"weight": "gamma", "bias": "beta"}
    _checks: ClassVar[Mapping[str, Check]] = {"groups": partial(integer, minimum=-1)}
    groups: int = 32
    axis: LastAxis = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerLike = default("zeros")
    gamma_initializer: InitializerLike = default("ones")
    beta_regularizer: RegularizerLike = default(None)
    gamma_regularizer: RegularizerLike = default(None)
    beta_constraint: None = None
    gamma_constraint: None = None

    def _check(self) -> None:
        if self.groups == 0:
            raise ValueError("groups must be -1 or at least 1, got 0")


def _axes(value: Any, name: str) -> int | list[int]:
    if isinstance(value, (list, tuple)):
        return [integer(axis, name, minimum=-8) for axis in value]
    return integer(value, name, minimum=-8)


class UnitNormalization(Operation):
    """Each vector along an axis, or along several, divided by its length.

    Args:
        axis: any but the batch, or a list of them.
    """

    _kind = "unit_norm"
    _checks: ClassVar[Mapping[str, Check]] = {"axis": _axes}
    axis: int | Sequence[int] = -1

    def _options(self) -> dict[str, object]:
        return {"axes": self.axis if isinstance(self.axis, list) else [self.axis]}
