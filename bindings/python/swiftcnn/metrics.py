"""Metrics, with Keras's names and arguments. All of classes take integer labels, one-hot targets and, for each class a
yes or no, several of them alike; they are counted over the whole epoch or evaluation.

Where the loss takes logits, what is compared with a threshold is their softmax or sigmoid.

The functions, as ``sparse_categorical_accuracy(y_true, y_pred)``, give what each image gives; given to ``compile`` they
stand for the metric of their name. Any other function of ``y_true`` and ``y_pred`` is a metric too, and so is an object
of a class of your own, made from ``Metric``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _measures, _swiftcnn
from ._checks import entry, integer
from ._config import Described, chosen, told
from ._described import DTYPE, Name, WithOptions, core, only
from ._names import class_name
from .losses import mean_absolute_error, mean_squared_error

if TYPE_CHECKING:
    from dataclasses import KW_ONLY

    from numpy.typing import ArrayLike

    from ._arrays import Array, Floats

    Thresholds = float | Sequence[float] | None

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "ConfusionMatrix",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "MeanAbsoluteError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "Specificity",
    "SpecificityAtSensitivity",
    "TopKAccuracy",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "categorical_accuracy",
    "confusion_matrix",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]
__dir__ = __all__.copy  # what completion offers


#: Of the argument ``from_sorted_ids``.
_UNSORTED: Any = only(False)


class _Name(Name):
    """Of a metric, which has its usual name where None is given first; ``compile`` may number it then."""

    def __set__(self, instance: Any, value: str | None) -> None:
        vars(instance).setdefault("has_usual_name", value is None)
        super().__set__(instance, value)


class Metric(Described):
    """The base of all metrics: of those here, and of your own, which have ``update_state``, ``result`` and
    ``reset_state``. What a run that is resumed has to know of it are its attributes that are numbers or arrays.

    Args:
        dtype: None or "float32".
        name: under which it is logged; by default the class's, as ``"mean_distance"``.

    Attributes:
        more_is_better: whether a larger value is a better one; None where that is not known.
    """

    more_is_better: bool | None = None
    has_usual_name = False
    name: _Name = _Name()

    def __init__(self, dtype: str | None = None, name: str | None = None) -> None:
        DTYPE.check(dtype, "dtype")
        self.name = name

    @classmethod
    def _usual_name(cls) -> str:
        return class_name(cls)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {"name": self.name}

    def _adopt(self, sums: _swiftcnn.Measures, place: int) -> None:
        """Has ``result`` tell what a model measured."""

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Adds predictions.

        Args:
            y_true: labels (N, ...) or targets shaped as ``y_pred``.
            y_pred: (N, ..., classes), or (N,).
            sample_weight: (N,).
        """
        raise NotImplementedError

    def result(self) -> Any:
        """The number, or the array of numbers, over all predictions since ``reset_state``; of a metric of a compiled
        model those of its last evaluation, batch or epoch."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Forgets all predictions."""
        raise NotImplementedError

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Adds predictions and gives the result."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()


class CoreMetric(WithOptions, Metric, section="metrics"):
    """A metric that the library measures."""

    more_is_better = True
    _usual: ClassVar[str] = ""  # name, where it is not the kind
    _sums = None  # type: _swiftcnn.Measures | None
    _index = 0  # in the sums
    _is_own = True  # whether nobody else adds to them

    def __post_init__(self) -> None:
        self._own_sums()  # the library checks the settings

    @classmethod
    def _usual_name(cls) -> str:
        return cls._usual or cls._place[1]

    @property
    def settings(self) -> dict[str, object]:
        """What the library is told."""
        found: dict[str, object] = {"name": self._place[1], **self._told()}
        if "average" in found:
            found["average"] = found["average"] or "none"
        return found

    def _own_sums(self) -> _swiftcnn.Measures:
        self._sums, self._index = _swiftcnn.create_measures(told({"metrics": [self.settings]})), 0
        return self._sums

    def _adopt(self, sums: _swiftcnn.Measures, place: int) -> None:
        self._sums, self._index, self._is_own = sums, place, False

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        y, p, weight = _measures.arrays(y_true, y_pred, sample_weight)
        sums = self._sums if self._sums is not None and self._is_own else self._own_sums()
        self._is_own = True
        sums.add(y, p, weight)

    def result(self) -> Any:
        numbers, shape = (self._sums or self._own_sums()).values(self._index)
        return np.asarray(numbers, np.float32).reshape(shape) if shape else float(numbers[0])

    def reset_state(self) -> None:
        self._own_sums()
        self._is_own = True

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_sums", "_index", "_is_own")}


class MeanMetricWrapper(Metric):
    """The mean of what a function of arrays gives: a number for each image, or one for the batch, which counts as often
    as that has images.

    Args:
        fn: called with ``y_true`` and ``y_pred``, arrays, and ``kwargs``.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(dtype, getattr(fn, "__name__", type(fn).__name__) if name is None else name)
        self._fn, self._fn_kwargs = fn, kwargs
        self.reset_state()

    def get_config(self) -> dict[str, Any]:
        return {"fn": self._fn, "name": self.name, **self._fn_kwargs}

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        values = np.asarray(self._fn(y_true, y_pred, **self._fn_kwargs), np.float64)
        count = len(np.asarray(y_pred))
        if values.ndim and len(values) != count:
            raise ValueError(
                f"metric {self.name!r} gave an array of shape {values.shape} for {count} images: expected one number, "
                "or one for each image"
            )
        each = values.reshape(count, -1).mean(axis=1) if values.ndim else np.broadcast_to(values, count)
        weight = np.ones(count) if sample_weight is None else np.asarray(sample_weight, np.float64).reshape(count)
        self.total += float(each @ weight)
        self.count += float(weight.sum())

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        self.total = self.count = 0.0


class Accuracy(CoreMetric, kind="accuracy"):
    """The share of images whose most probable class is the right one; with one output
    the share of yes or no answers that are right. What Keras chooses for the name ``"accuracy"``."""

    name: _Name = _Name(is_told=True)
    dtype: str | None = DTYPE


class CategoricalAccuracy(Accuracy):
    """The share of images whose most probable class is the right one."""

    _usual = "categorical_accuracy"


class SparseCategoricalAccuracy(Accuracy):
    """The share of images whose most probable class is the right one."""

    _usual = "sparse_categorical_accuracy"


class BinaryAccuracy(Accuracy, kind="binary_accuracy"):
    """The share of yes or no answers that are right: yes is a probability above ``threshold``."""

    threshold: float = core()


class MeanSquaredError(CoreMetric, kind="mean_squared_error"):
    """``mean((y - p) ** 2)``, for targets shaped as the output."""

    more_is_better = False

    name: _Name = _Name(is_told=True)
    dtype: str | None = DTYPE


class RootMeanSquaredError(MeanSquaredError, kind="root_mean_squared_error"):
    """``sqrt(mean((y - p) ** 2))``, for targets shaped as the output."""


class MeanAbsoluteError(MeanSquaredError, kind="mean_absolute_error"):
    """``mean(abs(y - p))``, for targets shaped as the output."""


class TopKAccuracy(CoreMetric, kind="top_k"):
    """The share of images whose right class is among the ``k`` most probable; by default ``"top_5_accuracy"``."""

    k: int = core()
    name: _Name = _Name()
    dtype: str | None = DTYPE

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.has_usual_name:
            self.name = f"top_{self.k}_accuracy"


class TopKCategoricalAccuracy(CoreMetric, kind="top_k"):
    """The share of images whose right class is among the ``k`` most probable."""

    _usual = "top_k_categorical_accuracy"

    k: int = core()
    name: _Name = _Name(is_told=True)
    dtype: str | None = DTYPE


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """The share of images whose right class is among the ``k`` most probable."""

    _usual = "sparse_top_k_categorical_accuracy"

    from_sorted_ids: bool = _UNSORTED


class Precision(CoreMetric, kind="precision"):
    """Of what was said to be so, the share that is."""

    thresholds: Thresholds = core()
    top_k: int | None = core()
    class_id: int | None = core()
    name: _Name = _Name()
    dtype: str | None = DTYPE
    _: KW_ONLY
    average: str | None = core()


class Recall(Precision, kind="recall"):
    """Of what is so, the share that was said to be."""


class Specificity(Precision, kind="specificity"):
    """Of what is not so, the share that was said not to be."""


class TruePositives(CoreMetric, kind="true_positives"):
    """How many scores above the threshold, 0.5 by default, are of what is so."""

    thresholds: Thresholds = core(default=None)
    name: _Name = _Name()
    dtype: str | None = DTYPE


class TrueNegatives(TruePositives, kind="true_negatives"):
    """How many scores not above the threshold are of what is not so."""


class FalsePositives(TruePositives, kind="false_positives"):
    """How many scores above the threshold are of what is not so."""

    more_is_better = False


class FalseNegatives(TruePositives, kind="false_negatives"):
    """How many scores not above the threshold are of what is so."""

    more_is_better = False


class FBetaScore(CoreMetric, kind="fbeta_score"):
    """``(1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall)``."""

    average: str | None = core(default=None)
    beta: float = core()
    threshold: float | None = core()
    name: _Name = _Name(is_told=True)
    dtype: str | None = DTYPE


class F1Score(CoreMetric, kind="f1_score"):
    """``2 * precision * recall / (precision + recall)``."""

    average: str | None = core(default=None)
    threshold: float | None = core()
    name: _Name = _Name(is_told=True)
    dtype: str | None = DTYPE


class AUC(CoreMetric, kind="auc"):
    """The area under a curve of two rates, from their values at many thresholds.

    Args:
        num_labels: how many classes there are; needed for nothing.
    """

    num_thresholds: int = core()
    curve: str = core()
    summation_method: str = core()
    name: _Name = _Name()
    dtype: str | None = DTYPE
    thresholds: Sequence[float] | None = core()
    multi_label: bool = core()
    num_labels: int | None = None
    label_weights: Sequence[float] | None = core()
    from_logits: bool = core()

    def __post_init__(self) -> None:
        if self.num_labels and not self.multi_label:
            raise ValueError("num_labels is needed only where multi_label is True")
        super().__post_init__()


class SensitivityAtSpecificity(CoreMetric, kind="sensitivity_at_specificity"):
    """The largest sensitivity (recall) at a threshold where the specificity is at least so much."""

    specificity: float
    num_thresholds: int = core()
    class_id: int | None = core()
    name: _Name = _Name()
    dtype: str | None = DTYPE


class SpecificityAtSensitivity(CoreMetric, kind="specificity_at_sensitivity"):
    """The largest specificity at a threshold where the sensitivity (recall) is at least so much."""

    sensitivity: float
    num_thresholds: int = core()
    class_id: int | None = core()
    name: _Name = _Name()
    dtype: str | None = DTYPE


class PrecisionAtRecall(CoreMetric, kind="precision_at_recall"):
    """The largest precision at a threshold where the recall is at least so much."""

    recall: float
    num_thresholds: int = core()
    class_id: int | None = core()
    name: _Name = _Name()
    dtype: str | None = DTYPE


class RecallAtPrecision(CoreMetric, kind="recall_at_precision"):
    """The largest recall at a threshold where the precision is at least so much."""

    precision: float
    num_thresholds: int = core()
    class_id: int | None = core()
    name: _Name = _Name()
    dtype: str | None = DTYPE


class ConfusionMatrix(CoreMetric, kind="confusion_matrix"):
    """How many images of each class (rows) were taken for each class (columns)."""

    threshold: float = core()
    name: _Name = _Name()
    dtype: str | None = DTYPE


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, num_classes: int | None = None, sample_weight: ArrayLike | None = None
) -> Array:
    """How many images of each class (rows) were taken for each class (columns).

    Args:
        y_true: labels (N,), or one-hot rows (N, classes).
        y_pred: labels (N,), or scores (N, classes), of which the largest counts.
        num_classes: None: as many as there are in the arrays.
        sample_weight: (N,).

    Returns:
        (classes, classes), of integers where there are no weights.
    """
    y, p = np.asarray(y_true), np.asarray(y_pred)
    sizes = [each.shape[-1] if each.ndim > 1 else int(each.max(initial=0)) + 1 for each in (y, p)]
    count = max(sizes) if num_classes is None else integer(num_classes, "num_classes", minimum=max(sizes))
    truths, predictions = _measures.one_hot(y, count, "y_true"), _measures.one_hot(p, count, "y_pred")
    matrix = ConfusionMatrix()(truths, predictions, sample_weight)[:count, :count]
    return np.asarray(matrix, np.float32 if sample_weight is not None else np.int64)


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> Floats:
    """1 for each prediction that lies on the target's side of ``threshold``, else 0; shaped as they are, as Keras's."""
    y, p = _measures.pair(y_true, y_pred)
    settings = {"metric": {"name": "binary_accuracy", "threshold": threshold}}
    return _measures.rows(settings, y[..., None], p[..., None])


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """1 where the largest prediction is the largest target, else 0."""
    return _measures.rows({"metric": "accuracy"}, *_measures.pair(y_true, y_pred))


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """1 where the largest prediction is that of the label, else 0."""
    return _measures.rows({"metric": "accuracy"}, *_measures.pair(y_true, y_pred, True))


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> Floats:
    """1 where the class of the largest target is among the ``k`` largest predictions, else 0."""
    return _measures.rows({"metric": {"name": "top_k", "k": k}}, *_measures.pair(y_true, y_pred))


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, from_sorted_ids: bool = False
) -> Floats:
    """1 where the label is among the ``k`` largest predictions, else 0."""
    _UNSORTED.check(from_sorted_ids, "from_sorted_ids")
    return _measures.rows({"metric": {"name": "top_k", "k": k}}, *_measures.pair(y_true, y_pred, True))


_NAMES: dict[str, Callable[..., CoreMetric]] = {
    **{name: kind for name, kind in CoreMetric._kinds.items() if "_at_" not in name},
    "acc": Accuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "mse": MeanSquaredError,
    "rmse": RootMeanSquaredError,
    "mae": MeanAbsoluteError,
    "top_k_accuracy": TopKAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
}
_FUNCTIONS: dict[Callable[..., Any], Callable[..., CoreMetric]] = {
    function: _NAMES[name] for name, function in vars().copy().items() if name in _NAMES and name != "confusion_matrix"
}
_CALLED_AS_GIVEN = {Accuracy, *_FUNCTIONS.values()}


def get(identifier: str | Metric | Callable[..., Array]) -> Metric:
    """The metric with a name, or of a function of this module, with default arguments; the mean of what another
    function gives; or the one given. What Keras has as a function is logged under the name that was given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor a metric; a ValueError too.
    """
    if isinstance(identifier, str) and (kind := entry(identifier, "metric", _NAMES)) in _CALLED_AS_GIVEN:
        return kind(name=identifier)
    return chosen(
        identifier, "metric", Metric, _NAMES, lambda fn: _FUNCTIONS[fn]() if fn in _FUNCTIONS else MeanMetricWrapper(fn)
    )


def of_settings(settings: Mapping[str, Any]) -> CoreMetric:
    """The metric of a loaded checkpoint, from what the library says of it."""
    kind = CoreMetric._kinds[settings["name"]]
    given = kind._from_told(settings)
    if given.get("average") == "none":
        given["average"] = None
    made: CoreMetric = kind(name=settings.get("reported_as"), **given)
    return made
