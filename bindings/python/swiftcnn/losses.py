"""Losses, with Keras's names and arguments. Each is the mean over the batch of what one image costs, times its sample
weight.

``from_logits`` of the cross-entropies says whether the network gives logits or probabilities. None, the default, looks
at its end. Logits are what comes directly from a dense layer or a convolution; reshaping, global pooling and
dropout after it make no difference. A softmax (for binary cross-entropy: a sigmoid) at the end is absorbed: the loss is
computed of what it reads, which is more accurate. Anything else is taken as probabilities. So both a model with
``classifier_activation=None`` and one that ends in a softmax train right.

Of Keras's reductions there is ``"sum_over_batch_size"``, which is also called ``"mean"``; the axis of the classes is
the last; the dtype is float32.

The functions, as ``mean_squared_error(y_true, y_pred)``, give what each image costs; given to ``compile``
they stand for the loss of their name. Any other function of ``y_true`` and ``y_pred`` that is written with the
operators and ``swiftcnn.ops`` is a loss too: the library makes its gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _measures, ops
from ._config import Described, chosen
from ._described import DTYPE, Name, WithOptions, core, only

if TYPE_CHECKING:
    from dataclasses import KW_ONLY

    from numpy.typing import ArrayLike

    from ._arrays import Array, Floats

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
]
__dir__ = __all__.copy  # what completion offers

_REDUCTION: Any = only("sum_over_batch_size", "mean")


class Loss(Described):
    """The base of all losses: of those here, and of your own, which have ``call(y_true, y_pred)``, written with the
    operators and ``swiftcnn.ops``, which gives a number for each sample or one for the batch.

    Args:
        name: how it is called; by default the class.
        reduction: how the costs of the images become one number.

    Attributes:
        name, reduction: as they were given.
    """

    name: Name = Name()
    reduction: str

    def __init__(
        self, name: str | None = None, reduction: str = "sum_over_batch_size", dtype: str | None = None
    ) -> None:
        _REDUCTION.check(reduction, "reduction")
        DTYPE.check(dtype, "dtype")
        self.name, self.reduction = name, reduction

    @classmethod
    def _usual_name(cls) -> str:
        return cls.__name__

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {"reduction": self.reduction, "name": self.name}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """What each sample costs."""
        raise NotImplementedError

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The mean of what the samples of arrays cost, each times its weight."""
        costs = np.asarray(self.call(np.asarray(y_true), np.asarray(y_pred)), np.float64)
        weight = 1.0 if sample_weight is None else np.asarray(sample_weight, np.float64)
        return float(np.mean(costs.reshape(len(costs), -1).mean(axis=1) * weight if costs.ndim else costs * weight))

    def _settings_for(self, output_shape: Sequence[int]) -> dict[str, Any]:
        """What the library is told, for predictions of a shape with -1 for what varies."""
        shape = tuple(None if size < 0 else size for size in output_shape)
        return {"custom_loss": ops.traced(self.call, self.name, shape)}


class LossFunctionWrapper(Loss):
    """The loss that a function of ``y_true`` and ``y_pred`` is, as ``Loss.call``; ``kwargs`` are given to it too."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(getattr(fn, "__name__", type(fn).__name__) if name is None else name, reduction, dtype)
        self._fn, self._fn_kwargs = fn, kwargs

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return super().get_config() | {"fn": self._fn, **self._fn_kwargs}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._fn(y_true, y_pred, **self._fn_kwargs)


class LoadedLoss(Loss):
    """A loss of somebody's own, as a checkpoint has its graph."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings["name"])
        self._settings = dict(settings)

    def _settings_for(self, output_shape: Sequence[int]) -> dict[str, Any]:
        return {"custom_loss": self._settings}


class CoreLoss(WithOptions, Loss, section="losses"):
    """A loss of the library's."""

    @classmethod
    def _usual_name(cls) -> str:
        return cls._place[1]

    @property
    def settings(self) -> dict[str, Any]:
        """What the library is told."""
        return {"name": self._place[1], **self._told()}

    def call(self, y_true: Any, y_pred: Any) -> Floats:
        return _measures.costs(self.settings, y_true, y_pred)

    def _settings_for(self, output_shape: Sequence[int]) -> dict[str, Any]:
        return {"loss": self.settings}


class SparseCategoricalCrossentropy(CoreLoss, kind="sparse_categorical_crossentropy"):
    """``-log p[label]``, for integer labels (N,) or (N, 1)."""

    from_logits: bool | None = core()
    ignore_class: int | None = only(None, advice="give the images of that class a weight of 0")
    reduction: str = _REDUCTION
    axis: int = only(-1)
    name: Name = Name(is_told=True)
    dtype: str | None = DTYPE
    _: KW_ONLY
    label_smoothing: float = core()


class CategoricalCrossentropy(CoreLoss, kind="categorical_crossentropy"):
    """``-sum(y * log p)``, for targets shaped as the output, as one-hot rows."""

    from_logits: bool | None = core()
    label_smoothing: float = core()
    axis: int = only(-1)
    reduction: str = _REDUCTION
    name: Name = Name(is_told=True)
    dtype: str | None = DTYPE


class BinaryCrossentropy(CategoricalCrossentropy, kind="binary_crossentropy"):
    """``-mean(y * log(p) + (1 - y) * log(1 - p))``, for targets shaped as the output."""


class BinaryFocalCrossentropy(CoreLoss, kind="binary_focal_crossentropy"):
    """``BinaryCrossentropy`` whose terms are multiplied by ``(1 - q) ** gamma``, where ``q`` is what the prediction
    says of the target (Lin et al., Focal Loss for Dense Object Detection, 2017); with ``apply_class_balancing`` terms
    of yes weigh ``alpha``, those of no ``1 - alpha``."""

    apply_class_balancing: bool = core()
    alpha: float = core(default=0.25)
    gamma: float = core()
    from_logits: bool | None = core()
    label_smoothing: float = core()
    axis: int = only(-1)
    reduction: str = _REDUCTION
    name: Name = Name(is_told=True)
    dtype: str | None = DTYPE


class CategoricalFocalCrossentropy(CoreLoss, kind="categorical_focal_crossentropy"):
    """``-sum(alpha * (1 - p) ** gamma * y * log p)``, for targets shaped as the output, as one-hot rows; ``alpha`` is a
    number, or a list of one for each class."""

    alpha: float | Sequence[float] = core(default=0.25)
    gamma: float = core()
    from_logits: bool | None = core()
    label_smoothing: float = core()
    axis: int = only(-1)
    reduction: str = _REDUCTION
    name: Name = Name(is_told=True)
    dtype: str | None = DTYPE


class MeanSquaredError(CoreLoss, kind="mean_squared_error"):
    """``mean((y - p) ** 2)``, for targets shaped as the output."""

    reduction: str = _REDUCTION
    name: Name = Name(is_told=True)
    dtype: str | None = DTYPE


class MeanAbsoluteError(MeanSquaredError, kind="mean_absolute_error"):
    """``mean(abs(y - p))``, for targets shaped as the output."""


class LogCosh(MeanSquaredError, kind="log_cosh"):
    """``mean(log(cosh(y - p)))``, for targets shaped as the output."""


class KLDivergence(MeanSquaredError, kind="kl_divergence"):
    """``sum(y * log(y / p))``, for targets shaped as the output whose rows are distributions."""


class Huber(CoreLoss, kind="huber"):
    """The mean of ``d ** 2 / 2`` where ``d = abs(y - p)`` is at most ``delta``, and of ``delta * d - delta ** 2 / 2``
    elsewhere (Huber, Annals of Mathematical Statistics 35, 1964), for targets shaped as the output."""

    delta: float = core()
    reduction: str = _REDUCTION
    name: Name = Name(is_told=True)
    dtype: str | None = DTYPE

    @classmethod
    def _usual_name(cls) -> str:
        return "huber_loss"


class _Fitting(CoreLoss, kind="crossentropy"):
    """The cross-entropy that fits the targets, which are not known before the first of them are seen."""

    name: Name = Name()


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``mean((y_pred - y_true) ** 2)`` over the last axis."""
    return MeanSquaredError().call(y_true, y_pred)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``mean(abs(y_pred - y_true))`` over the last axis."""
    return MeanAbsoluteError().call(y_true, y_pred)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Floats:
    """Over the last axis the mean of ``d ** 2 / 2`` where ``d = abs(y_pred - y_true)`` is at most ``delta``, and of
    ``delta * d - delta ** 2 / 2`` elsewhere."""
    return Huber(delta).call(y_true, y_pred)


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis."""
    return LogCosh().call(y_true, y_pred)


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``sum(y_true * log(y_true / y_pred))`` over the last axis; both are clipped to 1e-7 to 1."""
    return KLDivergence().call(y_true, y_pred)


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Floats:
    """``-mean(y_true * log(y_pred) + (1 - y_true) * log(1 - y_pred))`` over the last axis. Probabilities are clipped to
    1e-7 to 1 - 1e-7."""
    return BinaryCrossentropy(from_logits, label_smoothing, axis).call(y_true, y_pred)


def binary_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Floats:
    """The mean over the last axis of ``(1 - q) ** gamma`` times the terms of ``binary_crossentropy``, where ``q`` is
    what the prediction says of the target; with ``apply_class_balancing`` those of 1 weigh ``alpha``, those of 0
    ``1 - alpha``."""
    loss = BinaryFocalCrossentropy(apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
    return loss.call(y_true, y_pred)


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Floats:
    """``-sum(y_true * log(y_pred))`` over the last axis. Probabilities are divided by their sum and clipped to 1e-7 to
    1 - 1e-7."""
    return CategoricalCrossentropy(from_logits, label_smoothing, axis).call(y_true, y_pred)


def categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float | list[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Floats:
    """``-sum(alpha * (1 - y_pred) ** gamma * y_true * log(y_pred))`` over the last axis; ``alpha`` is a number, or one
    for each class."""
    return CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing, axis).call(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, ignore_class: None = None, axis: int = -1
) -> Floats:
    """``-log(y_pred[label])`` over the last axis. Probabilities are divided by their sum and clipped to 1e-7 to
    1 - 1e-7.

    Raises:
        ValueError: a label is no class.
    """
    return SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis).call(y_true, y_pred)


_LOSSES: dict[str, type[CoreLoss]] = CoreLoss._kinds | {
    "bce": BinaryCrossentropy,
    "ce": _Fitting,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "kld": KLDivergence,
}
_FUNCTIONS: dict[Callable[..., Any], type[CoreLoss]] = {
    function: _LOSSES[name] for name, function in vars().copy().items() if name in _LOSSES
}


def get(identifier: str | Loss | Callable[..., Array]) -> Loss:
    """The loss with a name, or of a function of this module, with default arguments; that of another function; or the
    one given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor a loss; a ValueError too.
    """
    return chosen(
        identifier, "loss", Loss, _LOSSES, lambda fn: _FUNCTIONS[fn]() if fn in _FUNCTIONS else LossFunctionWrapper(fn)
    )


def of_settings(compiled: Mapping[str, Any]) -> Loss:
    """The loss of a loaded checkpoint, from what the library says of how it was compiled."""
    if compiled.get("custom_loss"):
        return LoadedLoss(compiled["custom_loss"])
    kind = _LOSSES[compiled["loss"]["name"]]
    return kind(**kind._from_told(compiled["loss"]))


def fitting(loss: Loss, label_targets: bool, outputs: int) -> Loss:
    """The loss itself, or for ``"crossentropy"`` the one that fits targets that are labels, or else rows as those of
    the output, of that many numbers."""
    if not isinstance(loss, _Fitting):
        return loss
    if outputs == 1:
        return BinaryCrossentropy()
    return SparseCategoricalCrossentropy() if label_targets else CategoricalCrossentropy()


def is_open(loss: Loss) -> bool:
    """Whether the targets are still to decide which loss it is."""
    return isinstance(loss, _Fitting)
