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

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import ops
from ._checks import ArgumentError, boolean, entry, number, unsupported
from ._config import Configured, check_dtype, declared, name_or
from ._measures import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    cost,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Array

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

_REDUCTION = "sum_over_batch_size"


class Loss(Configured):
    """The base of all losses: of those here, and of your own, which have ``call(y_true, y_pred)``, written with the
    operators and ``swiftcnn.ops``, which gives a number for each sample or one for the batch.

    Args:
        name: how it is called; by default the class.
        reduction: how the costs of the images become one number.

    Attributes:
        name, reduction: as they were given.
    """

    name: str
    reduction: str

    def __init__(self, name: str | None = None, reduction: str = _REDUCTION, dtype: str | None = None) -> None:
        if reduction not in ("sum_over_batch_size", "mean"):
            raise unsupported("reduction", reduction, f"{_REDUCTION!r} or 'mean'")
        check_dtype(dtype)
        self.name, self.reduction = name_or(name, type(self).__name__), reduction
        super().__init__({"reduction": reduction, "name": self.name})

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """What each sample costs."""
        raise NotImplementedError

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The mean of what the samples of arrays cost, each times its weight."""
        costs = np.asarray(self.call(np.asarray(y_true), np.asarray(y_pred)), np.float64)
        weight = 1.0 if sample_weight is None else np.asarray(sample_weight, np.float64)
        return float(np.mean(costs.reshape(len(costs), -1).mean(axis=1) * weight if costs.ndim else costs * weight))

    def _told(self, output_shape: Sequence[int]) -> dict[str, Any]:
        """What the library is told, for predictions of a shape with -1 for what varies."""
        shape = tuple(None if size < 0 else size for size in output_shape)
        return {"custom_loss": ops.traced(self.call, self.name, shape)}


class LossFunctionWrapper(Loss):
    """The loss that a function of ``y_true`` and ``y_pred`` is, as ``Loss.call``; ``kwargs`` are given to it too."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str = _REDUCTION,
        name: str | None = None,
        dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(getattr(fn, "__name__", type(fn).__name__) if name is None else name, reduction, dtype)
        self._fn, self._fn_kwargs = fn, kwargs
        self._config |= {"fn": fn, **kwargs}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._fn(y_true, y_pred, **self._fn_kwargs)


class LoadedLoss(Loss):
    """A loss of somebody's own, as a checkpoint has its graph."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings["name"])
        self._settings = dict(settings)

    def _told(self, output_shape: Sequence[int]) -> dict[str, Any]:
        return {"custom_loss": self._settings}


class CoreLoss(Loss):
    """A loss of the library's.

    Attributes:
        settings: what the library is told.
    """

    settings: dict[str, object]

    _kind: str

    def _declare(
        self,
        *,
        name: str | None = None,
        reduction: str = _REDUCTION,
        dtype: str | None = None,
        axis: int = -1,
        **settings: Any,
    ) -> None:
        Loss.__init__(self, self._kind if name is None else name, reduction, dtype)
        if axis != -1:
            raise unsupported("axis", axis, "-1")
        for option, value in settings.items():
            settings[option] = _CHECKS[option](value, option) if option in _CHECKS else value
        self.settings = {"name": self._kind, **settings}
        self._config = settings | self._config

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return cost(self.settings, y_true, y_pred)

    def _told(self, output_shape: Sequence[int]) -> dict[str, Any]:
        return {"loss": self.settings}


def _smoothing(value: float, name: str) -> float:
    share = number(value, name)
    if not 0 <= share < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {share}")
    return share


def _positive(value: float, name: str) -> float:
    bound = number(value, name)
    if bound <= 0:
        raise ValueError(f"{name} must be above 0, got {bound}")
    return bound


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "apply_class_balancing": boolean,
    "delta": _positive,
    "from_logits": lambda value, name: None if value is None else boolean(value, name),
    "gamma": number,
    "label_smoothing": _smoothing,
}


class SparseCategoricalCrossentropy(CoreLoss):
    """``-log p[label]``, for integer labels (N,) or (N, 1)."""

    _kind = "sparse_categorical_crossentropy"

    @declared
    def __init__(
        self,
        from_logits: bool | None = None,
        ignore_class: int | None = None,
        reduction: str = _REDUCTION,
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: str | None = None,
        *,
        label_smoothing: float = 0.0,
    ) -> None: ...

    def _declare(self, *, ignore_class: int | None = None, **given: Any) -> None:
        if ignore_class is not None:
            raise unsupported("ignore_class", ignore_class, "None; give the images of that class a weight of 0")
        super()._declare(**given)


class CategoricalCrossentropy(CoreLoss):
    """``-sum(y * log p)``, for targets shaped as the output, as one-hot rows."""

    _kind = "categorical_crossentropy"

    @declared
    def __init__(
        self,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = _REDUCTION,
        name: str | None = "categorical_crossentropy",
        dtype: str | None = None,
    ) -> None: ...


class BinaryCrossentropy(CoreLoss):
    """``-mean(y * log p + (1 - y) * log(1 - p))``, for targets shaped as the output."""

    _kind = "binary_crossentropy"

    @declared
    def __init__(
        self,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = _REDUCTION,
        name: str | None = "binary_crossentropy",
        dtype: str | None = None,
    ) -> None: ...


class BinaryFocalCrossentropy(CoreLoss):
    """``BinaryCrossentropy`` whose terms are multiplied by ``(1 - q) ** gamma``, where ``q`` is what the prediction
    says of the target (Lin et al., Focal Loss for Dense Object Detection, 2017); with ``apply_class_balancing`` terms
    of yes weigh ``alpha``, those of no ``1 - alpha``."""

    _kind = "binary_focal_crossentropy"

    @declared
    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = _REDUCTION,
        name: str | None = "binary_focal_crossentropy",
        dtype: str | None = None,
    ) -> None: ...


class CategoricalFocalCrossentropy(CoreLoss):
    """``-sum(alpha * (1 - p) ** gamma * y * log p)``, for targets shaped as the output, as one-hot rows; ``alpha`` is a
    number, or a list of one for each class."""

    _kind = "categorical_focal_crossentropy"

    @declared
    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = _REDUCTION,
        name: str | None = "categorical_focal_crossentropy",
        dtype: str | None = None,
    ) -> None: ...


class MeanSquaredError(CoreLoss):
    """``mean((y - p) ** 2)``, for targets shaped as the output."""

    _kind = "mean_squared_error"

    @declared
    def __init__(
        self, reduction: str = _REDUCTION, name: str | None = "mean_squared_error", dtype: str | None = None
    ) -> None: ...


class MeanAbsoluteError(CoreLoss):
    """``mean(abs(y - p))``, for targets shaped as the output."""

    _kind = "mean_absolute_error"

    @declared
    def __init__(
        self, reduction: str = _REDUCTION, name: str | None = "mean_absolute_error", dtype: str | None = None
    ) -> None: ...


class Huber(CoreLoss):
    """The mean of ``d ** 2 / 2`` where ``d = abs(y - p)`` is at most ``delta``, and of ``delta * d - delta ** 2 / 2``
    elsewhere (Huber, Annals of Mathematical Statistics 35, 1964), for targets shaped as the output."""

    _kind = "huber"

    @declared
    def __init__(
        self,
        delta: float = 1.0,
        reduction: str = _REDUCTION,
        name: str | None = "huber_loss",
        dtype: str | None = None,
    ) -> None: ...


class LogCosh(CoreLoss):
    """``mean(log(cosh(y - p)))``, for targets shaped as the output."""

    _kind = "log_cosh"

    @declared
    def __init__(
        self, reduction: str = _REDUCTION, name: str | None = "log_cosh", dtype: str | None = None
    ) -> None: ...


class KLDivergence(CoreLoss):
    """``sum(y * log(y / p))``, for targets shaped as the output whose rows are distributions."""

    _kind = "kl_divergence"

    @declared
    def __init__(
        self, reduction: str = _REDUCTION, name: str | None = "kl_divergence", dtype: str | None = None
    ) -> None: ...


class _Crossentropy(CoreLoss):
    """The cross-entropy that fits the targets, which are not known before the first of them are seen."""

    _kind = "crossentropy"

    @declared
    def __init__(self) -> None: ...


_LOSSES: dict[str, type[CoreLoss]] = {
    kind._kind: kind
    for kind in vars().copy().values()
    if isinstance(kind, type) and issubclass(kind, CoreLoss) and kind is not CoreLoss
}
_LOSSES |= {
    "bce": BinaryCrossentropy,
    "ce": _Crossentropy,
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
    if isinstance(identifier, str):
        return entry(identifier, "loss", _LOSSES)()
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier):
        return _FUNCTIONS[identifier]() if identifier in _FUNCTIONS else LossFunctionWrapper(identifier)
    raise ArgumentError(f"loss must be a name or one of swiftcnn.losses, got {identifier!r}")


def of_settings(compiled: Mapping[str, Any]) -> Loss:
    """The loss of a loaded checkpoint, from what the library says of how it was compiled."""
    if compiled.get("custom_loss"):
        return LoadedLoss(compiled["custom_loss"])
    settings = compiled["loss"]
    kind = _LOSSES[settings["name"]]
    parameters = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in settings.items() if name != "name" and name in parameters})


def fitting(loss: Loss, label_targets: bool, outputs: int) -> Loss:
    """The loss itself, or for ``"crossentropy"`` the one that fits targets that are labels, or else rows as those of
    the output, of that many numbers."""
    if not isinstance(loss, _Crossentropy):
        return loss
    if outputs == 1:
        return BinaryCrossentropy()
    return SparseCategoricalCrossentropy() if label_targets else CategoricalCrossentropy()


def is_open(loss: Loss) -> bool:
    """Whether the targets are still to decide which loss it is."""
    return isinstance(loss, _Crossentropy)
