"""Batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from .. import initializers, regularizers
from .._checks import boolean, integer, number
from .base import LayerOptions, check_absent
from .operation import WeightedLayer

if TYPE_CHECKING:
    from .._symbolic import Call, Network
    from ..initializers import Initializer
    from ..regularizers import Regularizer


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

    _weight_names: Mapping[str, str] = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: str | Initializer = "zeros",
        gamma_initializer: str | Initializer = "ones",
        moving_mean_initializer: str | Initializer = "zeros",
        moving_variance_initializer: str | Initializer = "ones",
        beta_regularizer: str | Regularizer | None = None,
        gamma_regularizer: str | Regularizer | None = None,
        beta_constraint: None = None,
        gamma_constraint: None = None,
        synchronized: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            {
                "gamma": initializers.get(gamma_initializer, "gamma_initializer"),
                "beta": initializers.get(beta_initializer, "beta_initializer"),
                "moving_mean": initializers.get(moving_mean_initializer, "moving_mean_initializer"),
                "moving_variance": initializers.get(moving_variance_initializer, "moving_variance_initializer"),
            },
            {
                "gamma": regularizers.get(gamma_regularizer, "gamma_regularizer"),
                "beta": regularizers.get(beta_regularizer, "beta_regularizer"),
            },
            **options,
        )
        check_absent(beta_constraint=beta_constraint, gamma_constraint=gamma_constraint)
        if boolean(synchronized, "synchronized"):
            raise ValueError("synchronized must be False: there is one process")
        self.axis = integer(axis, "axis", minimum=-1)
        self.momentum = number(momentum, "momentum")
        self.epsilon = number(epsilon, "epsilon")
        self.center = boolean(center, "center")
        self.scale = boolean(scale, "scale")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be 0 to 1, got {self.momentum}")

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        if not (self.center or self.scale or self.trainable):
            call = call._replace(inference=True)  # no parameter can tell the library so
        return super()._emit(network, operands, call)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        if self.axis not in (-1, len(network.shape(operand)) - 1):
            raise ValueError(f"axis must be the last, -1, got {self.axis!r}")
        options = {
            "epsilon": self.epsilon,
            "momentum": 1 - self.momentum,
            "scale": self.scale,
            "center": self.center,
            "unbiased": False,
        }
        return network.layer("batch_norm", self.name, options, operand)
