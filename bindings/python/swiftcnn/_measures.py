"""Losses and metrics as functions of targets and predictions: one float32 for each row of the last axis, as Keras's
functions give it. The library computes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _swiftcnn
from ._config import told

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Array, Data, Floats


class TeacherMeasures:
    """What the teacher of a model gives on the data that the model is evaluated on.

    Attributes:
        sums: of its loss and metrics.
    """

    def __init__(self, learner: _swiftcnn.Model) -> None:
        self._teacher = learner.measured_teacher()
        self.sums = self._teacher.measures(False)

    def add(self, data: Data) -> None:
        """Adds a batch."""
        self.sums.evaluate(self._teacher, *data, data.samples, False)


def arrays(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None) -> tuple[Array, Array, Array | None]:
    """Targets, as labels where they lack the last axis of the predictions or have one of 1, predictions and weights as
    the library takes them."""
    p = _arrays.numeric(y_pred, "y_pred")
    y = _arrays.numeric(y_true, "y_true")
    if p.ndim == 0:
        raise ValueError("y_pred must be an array of predictions, got a single number")
    has_labels = p.ndim > 1 and p.shape[-1] > 1 and y.shape in (p.shape[:-1], (*p.shape[:-1], 1))
    y, p = pair(y, p, has_labels)
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


def costs(settings: dict[str, Any], y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """What a loss of these settings costs for each row."""
    return rows({"loss": settings}, *pair(y_true, y_pred, settings["name"] == "sparse_categorical_crossentropy"))


def rows(settings: Mapping[str, object], y: Array, p: Array) -> Floats:
    rows = np.empty(p.shape[:-1], np.float32)
    flat = p.reshape(1, -1) if p.ndim == 1 else p
    if rows.size:
        _swiftcnn.measure_rows(told(settings), y.reshape(1, -1) if p.ndim == 1 else y, flat, rows.reshape(-1))
    return rows


def pair(y_true: ArrayLike, y_pred: ArrayLike, has_labels: bool = False) -> tuple[Array, Array]:
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
