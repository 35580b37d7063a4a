"""Losses and metrics as functions of targets and predictions: one float32 for each row of the last axis, as Keras's
functions give it. The library computes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _swiftcnn
from ._checks import unsupported
from ._config import told

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Array, Floats


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``mean((y_pred - y_true) ** 2)`` over the last axis."""
    return _cost("mean_squared_error", y_true, y_pred)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``mean(abs(y_pred - y_true))`` over the last axis."""
    return _cost("mean_absolute_error", y_true, y_pred)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Floats:
    """Over the last axis the mean of ``d ** 2 / 2`` where ``d = abs(y_pred - y_true)`` is at most ``delta``, and of
    ``delta * d - delta ** 2 / 2`` elsewhere."""
    return _cost("huber", y_true, y_pred, delta=delta)


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis."""
    return _cost("log_cosh", y_true, y_pred)


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``sum(y_true * log(y_true / y_pred))`` over the last axis; both are clipped to 1e-7 to 1."""
    return _cost("kl_divergence", y_true, y_pred)


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Floats:
    """``-mean(y_true * log(y_pred) + (1 - y_true) * log(1 - y_pred))`` over the last axis. Probabilities are clipped to
    1e-7 to 1 - 1e-7."""
    _check_axis(axis)
    return _cost("binary_crossentropy", y_true, y_pred, from_logits=from_logits, label_smoothing=label_smoothing)


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
    _check_axis(axis)
    return _cost(
        "binary_focal_crossentropy",
        y_true,
        y_pred,
        apply_class_balancing=apply_class_balancing,
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
    )


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Floats:
    """``-sum(y_true * log(y_pred))`` over the last axis. Probabilities are divided by their sum and clipped to 1e-7 to
    1 - 1e-7."""
    _check_axis(axis)
    return _cost("categorical_crossentropy", y_true, y_pred, from_logits=from_logits, label_smoothing=label_smoothing)


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
    _check_axis(axis)
    return _cost(
        "categorical_focal_crossentropy",
        y_true,
        y_pred,
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
    )


def sparse_categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, ignore_class: None = None, axis: int = -1
) -> Floats:
    """``-log(y_pred[label])`` over the last axis. Probabilities are divided by their sum and clipped to 1e-7 to
    1 - 1e-7.

    Raises:
        ValueError: a label is no class.
    """
    _check_axis(axis)
    if ignore_class is not None:
        raise unsupported("ignore_class", ignore_class, "None")
    return _cost("sparse_categorical_crossentropy", y_true, y_pred, from_logits=from_logits)


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> Floats:
    """1 for each prediction that lies on the target's side of ``threshold``, else 0; shaped as they are, as Keras's."""
    y, p = _pair(y_true, y_pred)
    settings = {"metric": {"name": "binary_accuracy", "threshold": threshold}}
    return _rows(settings, y[..., None], p[..., None])


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """1 where the largest prediction is the largest target, else 0."""
    return _rows({"metric": "accuracy"}, *_pair(y_true, y_pred))


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """1 where the largest prediction is that of the label, else 0."""
    return _rows({"metric": "accuracy"}, *_pair(y_true, y_pred, True))


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> Floats:
    """1 where the class of the largest target is among the ``k`` largest predictions, else 0."""
    return _rows({"metric": {"name": "top_k", "k": k}}, *_pair(y_true, y_pred))


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, from_sorted_ids: bool = False
) -> Floats:
    """1 where the label is among the ``k`` largest predictions, else 0."""
    if from_sorted_ids is not False:
        raise unsupported("from_sorted_ids", from_sorted_ids, "False")
    return _rows({"metric": {"name": "top_k", "k": k}}, *_pair(y_true, y_pred, True))


def arrays(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None) -> tuple[Array, Array, Array | None]:
    """Targets, as labels where they lack the last axis of the predictions or have one of 1, predictions and weights as
    the library takes them."""
    p = _arrays.numeric(y_pred, "y_pred")
    y = _arrays.numeric(y_true, "y_true")
    if p.ndim == 0:
        raise ValueError("y_pred must be an array of predictions, got a single number")
    has_labels = p.ndim > 1 and p.shape[-1] > 1 and y.shape in (p.shape[:-1], (*p.shape[:-1], 1))
    y, p = _pair(y, p, has_labels)
    if sample_weight is None:
        return y, p, None
    weight = _arrays.numeric(sample_weight, "sample_weight").reshape(-1)
    return y, p, _arrays.dense(np.broadcast_to(weight, len(p)) if len(weight) == 1 else weight, np.float32)


def batch_of(sums: _swiftcnn.Measures) -> list[Any]:
    """Targets, predictions and sample weights, or None, of the batch that was measured last."""
    return [None if part is None else np.frombuffer(part[0], part[1]).reshape(part[2]) for part in sums.batch()]


def one_hot(array: Array, count: int, name: str) -> Array:
    """Labels as rows of that many numbers; rows get so long."""
    if array.ndim == 1:
        return np.eye(count, dtype=np.float32)[_arrays.labels(array, count, name)]
    return np.pad(array, [(0, 0), (0, count - array.shape[-1])])


def cost(settings: dict[str, object], y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """What a loss of these settings costs for each row."""
    return _rows({"loss": settings}, *_pair(y_true, y_pred, settings["name"] == "sparse_categorical_crossentropy"))


def _cost(name: str, y_true: ArrayLike, y_pred: ArrayLike, **options: object) -> Floats:
    return cost({"name": name, **options}, y_true, y_pred)


def _rows(settings: Mapping[str, object], y: Array, p: Array) -> Floats:
    rows = np.empty(p.shape[:-1], np.float32)
    flat = p.reshape(1, -1) if p.ndim == 1 else p
    if rows.size:
        _swiftcnn.measure_rows(told(settings), y.reshape(1, -1) if p.ndim == 1 else y, flat, rows.reshape(-1))
    return rows


def _pair(y_true: ArrayLike, y_pred: ArrayLike, has_labels: bool = False) -> tuple[Array, Array]:
    """Targets, shaped as the predictions or as int32 labels, and predictions in float32."""
    y, p = (_arrays.numeric(each, name) for each, name in ((y_true, "y_true"), (y_pred, "y_pred")))
    if p.ndim == 0:
        raise ValueError("y_pred must be an array of predictions, got a single number")
    if has_labels:
        if y.shape not in (p.shape[:-1], (*p.shape[:-1], 1)):
            raise ValueError(f"y_true must have one label for each row of y_pred, got shapes {y.shape} and {p.shape}")
        y = _arrays.labels(y.reshape(p.shape[:-1]), p.shape[-1], "y_true").astype(np.int32)
        return _arrays.dense(y, np.int32), _arrays.dense(p, np.float32)
    if y.shape == p.shape[:-1] and p.shape[-1] == 1 or y.shape == (*p.shape, 1):
        y = y.reshape(p.shape)
    if y.shape != p.shape:
        raise ValueError(f"y_true must be shaped as y_pred, got {y.shape} and {p.shape}")
    return _arrays.dense(y, np.float32), _arrays.dense(p, np.float32)


def _check_axis(axis: int) -> None:
    if axis != -1:
        raise unsupported("axis", axis, "-1")
