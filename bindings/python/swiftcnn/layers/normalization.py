"""Normalisations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .._checks import integer
from .._described import CHECKS, only
from .arguments import NOTHING, default
from .operation import Operation, WeightedLayer

if TYPE_CHECKING:
    from typing import TypeAlias

    from .._symbolic import Call, Network
    from .arguments import InitializerLike, RegularizerLike

    Axes: TypeAlias = int | Sequence[int]


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
    beta_constraint: None = NOTHING
    gamma_constraint: None = NOTHING
    synchronized: bool = only(False, advice="there is one process")

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be 0 to 1, got {self.momentum}")

    def _add_to(self, network: Network, operand: int, call: Call) -> int:
        if not (self.center or self.scale or self.trainable):
            call = call._replace(inference=True)  # no parameter can tell the library so
        return super()._add_to(network, operand, call)

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
    groups: int = 32
    axis: int = only(-1)
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerLike = default("zeros")
    gamma_initializer: InitializerLike = default("ones")
    beta_regularizer: RegularizerLike = default(None)
    gamma_regularizer: RegularizerLike = default(None)
    beta_constraint: None = NOTHING
    gamma_constraint: None = NOTHING


def _axes(value: Any, name: str) -> int | list[int]:
    if isinstance(value, (list, tuple)):
        return [integer(axis, name, minimum=-8) for axis in value]
    return integer(value, name, minimum=-8)


CHECKS["Axes"] = _axes


class UnitNormalization(Operation):
    """Each vector along an axis, or along several, divided by its length.

    Args:
        axis: any but the batch, or a list of them.
    """

    _kind = "unit_norm"
    axis: Axes = -1

    def _options(self) -> dict[str, object]:
        return {"axes": self.axis if isinstance(self.axis, list) else [self.axis]}
