"""Losses and metrics as functions of targets and predictions, computed with NumPy: one float32 for each row of the last
axis, as Keras's functions give it. What training and evaluation measure, the library computes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _arrays
from ._checks import boolean, integer, number, unsupported

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Array, Floats

_EPSILON = 1e-7


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``mean((y_pred - y_true) ** 2)`` over the last axis."""
    y, p = _pair(y_true, y_pred)
    return _mean((p - y) ** 2)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``mean(abs(y_pred - y_true))`` over the last axis."""
    y, p = _pair(y_true, y_pred)
    return _mean(np.abs(p - y))


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Floats:
    """Over the last axis the mean of ``d ** 2 / 2`` where ``d = abs(y_pred - y_true)`` is at most ``delta``, and of
    ``delta * d - delta ** 2 / 2`` elsewhere."""
    y, p = _pair(y_true, y_pred)
    bound, distance = number(delta, "delta"), np.abs(p - y)
    return _mean(np.where(distance <= bound, distance**2 / 2, bound * distance - bound**2 / 2))


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis."""
    y, p = _pair(y_true, y_pred)
    return _mean(np.logaddexp(p - y, y - p) - np.log(2))


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """``sum(y_true * log(y_true / y_pred))`` over the last axis; both are clipped to 1e-7 to 1."""
    y, p = (np.clip(each, _EPSILON, 1) for each in _pair(y_true, y_pred))
    return np.asarray(np.sum(y * np.log(y / p), axis=-1), np.float32)


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Floats:
    """``-mean(y_true * log(y_pred) + (1 - y_true) * log(1 - y_pred))`` over the last axis. Probabilities are clipped to
    1e-7 to 1 - 1e-7."""
    _check_axis(axis)
    y, p = _pair(y_true, y_pred)
    smoothing = smoothing_of(label_smoothing)
    y = y * (1 - smoothing) + smoothing / 2
    if boolean(from_logits, "from_logits"):
        return _mean(np.logaddexp(0, p) - y * p)
    p = np.clip(p, _EPSILON, 1 - _EPSILON)
    return _mean(-(y * np.log(p) + (1 - y) * np.log(1 - p)))


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Floats:
    """``-sum(y_true * log(y_pred))`` over the last axis. Probabilities are divided by their sum and clipped to 1e-7 to
    1 - 1e-7."""
    _check_axis(axis)
    y, p = _pair(y_true, y_pred)
    smoothing = smoothing_of(label_smoothing)
    y = y * (1 - smoothing) + smoothing / y.shape[-1]
    return np.asarray(-np.sum(y * _log_probabilities(p, from_logits), axis=-1), np.float32)


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
    labels, p = _labels(y_true, y_pred)
    found = np.take_along_axis(_log_probabilities(p, from_logits), labels[..., None], axis=-1)
    return np.asarray(-found[..., 0], np.float32)


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> Floats:
    """1 for each prediction that lies on the target's side of ``threshold``, else 0; shaped as they are, as Keras's."""
    y, p = _pair(y_true, y_pred)
    return np.asarray(y == (p > number(threshold, "threshold")), np.float32)


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """1 where the largest prediction is the largest target, else 0."""
    y, p = _pair(y_true, y_pred)
    return np.asarray(y.argmax(axis=-1) == p.argmax(axis=-1), np.float32)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """1 where the largest prediction is that of the label, else 0."""
    labels, p = _labels(y_true, y_pred)
    return np.asarray(labels == p.argmax(axis=-1), np.float32)


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> Floats:
    """1 where the class of the largest target is among the ``k`` largest predictions, else 0."""
    y, p = _pair(y_true, y_pred)
    return _in_top(y.argmax(axis=-1), p, k)


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, from_sorted_ids: bool = False
) -> Floats:
    """1 where the label is among the ``k`` largest predictions, else 0."""
    if from_sorted_ids is not False:
        raise unsupported("from_sorted_ids", from_sorted_ids, "False")
    labels, p = _labels(y_true, y_pred)
    return _in_top(labels, p, k)


def _pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    """Targets and predictions in float64; targets without the last axis, where that is 1, get it."""
    y, p = (_arrays.numeric(each, name) for each, name in ((y_true, "y_true"), (y_pred, "y_pred")))
    if p.ndim == 0:
        raise ValueError("y_pred must be an array of predictions, got a single number")
    if y.shape == p.shape[:-1] and p.shape[-1] == 1:
        y = y[..., None]
    if y.shape != p.shape:
        raise ValueError(f"y_true must be shaped as y_pred, got {y.shape} and {p.shape}")
    return y.astype(np.float64), p.astype(np.float64)


def _labels(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    """Labels shaped as the predictions without their last axis, and the predictions in float64."""
    y, p = (_arrays.numeric(each, name) for each, name in ((y_true, "y_true"), (y_pred, "y_pred")))
    if p.ndim == 0 or y.shape not in (p.shape[:-1], (*p.shape[:-1], 1)):
        raise ValueError(f"y_true must have one label for each row of y_pred, got shapes {y.shape} and {p.shape}")
    labels = _arrays.labels(y.reshape(p.shape[:-1]), p.shape[-1], "y_true")
    return labels.astype(np.intp), p.astype(np.float64)


def _log_probabilities(p: Array, from_logits: bool) -> Array:
    if boolean(from_logits, "from_logits"):
        shifted = p - p.max(axis=-1, keepdims=True)
        return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True)))
    return np.asarray(np.log(np.clip(p / p.sum(axis=-1, keepdims=True), _EPSILON, 1 - _EPSILON)))


def _in_top(labels: Array, p: Array, k: int) -> Floats:
    chosen = np.take_along_axis(p, labels[..., None], axis=-1)
    return np.asarray((p > chosen).sum(axis=-1) < integer(k, "k", minimum=1), np.float32)


def _mean(values: Array) -> Floats:
    return np.asarray(values.mean(axis=-1), np.float32)


def smoothing_of(value: float) -> float:
    """A share of the target to be spread over the classes, checked."""
    share = number(value, "label_smoothing")
    if not 0 <= share < 1:
        raise ValueError(f"label_smoothing must be at least 0 and below 1, got {share}")
    return share


def _check_axis(axis: int) -> None:
    if axis != -1:
        raise unsupported("axis", axis, "-1")
