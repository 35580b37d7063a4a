"""Losses, with Keras's names and arguments. Each is the mean over the batch of what one image costs, times its sample
weight.

``from_logits`` of the cross-entropies says whether the network gives logits or probabilities. None, the default, looks
at its end. Logits are what comes directly from a dense layer or a convolution; reshaping, global pooling and
dropout after it make no difference. A softmax (for binary cross-entropy: a sigmoid) at the end is absorbed: the loss is
computed of what it reads, which is more accurate. Anything else is taken as probabilities. So both a model with
``classifier_activation=None`` and one that ends in a softmax train right.

Of Keras's reductions there is ``"sum_over_batch_size"``, which is also called ``"mean"``; the axis of the classes is
the last; the dtype is float32.

The functions, as ``mean_squared_error(y_true, y_pred)``, compute with NumPy what each image costs; given to ``compile``
they stand for the loss of their name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ._checks import ArgumentError, boolean, entry, number, unsupported
from ._config import Configured, check_dtype, name_or
from ._measures import (
    binary_crossentropy,
    categorical_crossentropy,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_squared_error,
    smoothing_of,
    sparse_categorical_crossentropy,
)

if TYPE_CHECKING:
    from ._arrays import Array

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
]

_REDUCTION = "sum_over_batch_size"


class Loss(Configured):
    """The base of all losses.

    Attributes:
        name: how it is called; by default as in ``compile(loss=name)``.
        reduction: how the costs of the images become one number.
        settings: what the library is told.
    """

    name: str
    reduction: str
    settings: dict[str, object]

    def __init__(
        self, kind: str, name: str | None, reduction: str, dtype: object, axis: int = -1, **settings: object
    ) -> None:
        if reduction not in ("sum_over_batch_size", "mean"):
            raise unsupported("reduction", reduction, f"{_REDUCTION!r} or 'mean'")
        if axis != -1:
            raise unsupported("axis", axis, "-1")
        check_dtype(dtype)
        self.name = name_or(name, kind)
        self.reduction = reduction
        self.settings = {"name": kind} | settings
        super().__init__(settings | {"reduction": reduction, "name": self.name})


def _from_logits(value: bool | None) -> bool | None:
    return None if value is None else boolean(value, "from_logits")


class SparseCategoricalCrossentropy(Loss):
    """``-log p[label]``, for integer labels (N,) or (N, 1)."""

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
    ) -> None:
        if ignore_class is not None:
            raise unsupported("ignore_class", ignore_class, "None; give the images of that class a weight of 0")
        super().__init__(
            "sparse_categorical_crossentropy",
            name,
            reduction,
            dtype,
            axis,
            from_logits=_from_logits(from_logits),
            label_smoothing=smoothing_of(label_smoothing),
        )


class CategoricalCrossentropy(Loss):
    """``-sum(y * log p)``, for targets shaped as the output, as one-hot rows."""

    def __init__(
        self,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = _REDUCTION,
        name: str | None = "categorical_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(
            "categorical_crossentropy",
            name,
            reduction,
            dtype,
            axis,
            from_logits=_from_logits(from_logits),
            label_smoothing=smoothing_of(label_smoothing),
        )


class BinaryCrossentropy(Loss):
    """``-mean(y * log p + (1 - y) * log(1 - p))``, for targets shaped as the output."""

    def __init__(
        self,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = _REDUCTION,
        name: str | None = "binary_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(
            "binary_crossentropy",
            name,
            reduction,
            dtype,
            axis,
            from_logits=_from_logits(from_logits),
            label_smoothing=smoothing_of(label_smoothing),
        )


class MeanSquaredError(Loss):
    """``mean((y - p) ** 2)``, for targets shaped as the output."""

    def __init__(
        self, reduction: str = _REDUCTION, name: str | None = "mean_squared_error", dtype: str | None = None
    ) -> None:
        super().__init__("mean_squared_error", name, reduction, dtype)


class MeanAbsoluteError(Loss):
    """``mean(abs(y - p))``, for targets shaped as the output."""

    def __init__(
        self, reduction: str = _REDUCTION, name: str | None = "mean_absolute_error", dtype: str | None = None
    ) -> None:
        super().__init__("mean_absolute_error", name, reduction, dtype)


class Huber(Loss):
    """The mean of ``d ** 2 / 2`` where ``d = abs(y - p)`` is at most ``delta``, and of ``delta * d - delta ** 2 / 2``
    elsewhere (Huber, Annals of Mathematical Statistics 35, 1964), for targets shaped as the output."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str = _REDUCTION,
        name: str | None = "huber_loss",
        dtype: str | None = None,
    ) -> None:
        bound = number(delta, "delta")
        if bound <= 0:
            raise ValueError(f"delta must be above 0, got {bound}")
        super().__init__("huber", name, reduction, dtype, delta=bound)


class LogCosh(Loss):
    """``mean(log(cosh(y - p)))``, for targets shaped as the output."""

    def __init__(self, reduction: str = _REDUCTION, name: str | None = "log_cosh", dtype: str | None = None) -> None:
        super().__init__("log_cosh", name, reduction, dtype)


class KLDivergence(Loss):
    """``sum(y * log(y / p))``, for targets shaped as the output whose rows are distributions."""

    def __init__(
        self, reduction: str = _REDUCTION, name: str | None = "kl_divergence", dtype: str | None = None
    ) -> None:
        super().__init__("kl_divergence", name, reduction, dtype)


class _Crossentropy(Loss):
    """The cross-entropy that fits the targets, which are not known before the first of them are seen."""

    def __init__(self) -> None:
        super().__init__("crossentropy", None, _REDUCTION, None)


_LOSSES: dict[str, Callable[..., Loss]] = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "bce": BinaryCrossentropy,
    "crossentropy": _Crossentropy,
    "ce": _Crossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
    "huber": Huber,
    "log_cosh": LogCosh,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
}


_FUNCTIONS: dict[Callable[..., Array], Callable[[], Loss]] = {
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    huber: Huber,
    kl_divergence: KLDivergence,
    log_cosh: LogCosh,
    mean_absolute_error: MeanAbsoluteError,
    mean_squared_error: MeanSquaredError,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
}


def get(identifier: str | Loss | Callable[..., Array]) -> Loss:
    """The loss with a name, or of a function of this module, with default arguments; or the one given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor a loss; a ValueError too.
    """
    if isinstance(identifier, str):
        return entry(identifier, "loss", _LOSSES)()
    if isinstance(identifier, Loss):
        return identifier
    if callable(identifier) and identifier in _FUNCTIONS:
        return _FUNCTIONS[identifier]()
    raise ArgumentError(f"loss must be a name or one of swiftcnn.losses, got {identifier!r}")


def of_settings(settings: Mapping[str, Any]) -> Loss:
    """The loss of a loaded checkpoint, from what the library says of it."""
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
