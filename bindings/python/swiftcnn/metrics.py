"""Metrics, with Keras's names and arguments. All of classes take integer labels, one-hot targets and, for each class a
yes or no, several of them alike; they are counted over the whole epoch or evaluation.

Where the loss takes logits, what is compared with a threshold is their softmax or sigmoid.

The functions, as ``sparse_categorical_accuracy(y_true, y_pred)``, give what each image gives; given to ``compile`` they
stand for the metric of their name. Any other function of ``y_true`` and ``y_pred`` is a metric too, and so is an object
of a class of your own, made from ``Metric``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _measures, _swiftcnn
from ._checks import ArgumentError, boolean, entry, integer, number, unsupported
from ._config import Configured, Described, check_dtype, declared, name_or, told
from ._described import options
from ._measures import (
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .losses import mean_absolute_error, mean_squared_error

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Array

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
    is_array = False  # whether it has several numbers
    has_usual_name = False

    def __init__(self, dtype: str | None = None, name: str | None = None) -> None:
        check_dtype(dtype)
        self.has_usual_name = name is None
        self.name = name_or(
            name, re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()
        )

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


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "integer": lambda value, name: integer(value, name, minimum=-(2**31)),
    "number": number,
    "flag": boolean,
}


class CoreMetric(Configured, Metric):
    """A metric that the library measures.

    Attributes:
        settings: what the library is told.
    """

    name: str
    more_is_better: bool | None = True
    settings: dict[str, object]
    _sums: _swiftcnn.Measures | None = None
    _place = 0  # in the sums

    _kind: str
    _usual = ""  # name, where it is not the kind

    def _declare(self, *, name: str | None = None, dtype: object = None, **settings: Any) -> None:
        check_dtype(dtype)
        for option, value in settings.items():
            check = _CHECKS.get(options("metrics", self._kind).get(option, {}).get("type", ""))
            settings[option] = value if value is None or check is None else check(value, option)
        self.settings = {"name": self._kind, **settings}
        if "average" in settings:
            self.is_array = settings["average"] is None and settings.get("class_id") is None
            self.settings["average"] = settings["average"] or "none"
        self.is_array = self.is_array or (self._kind != "auc" and np.size(settings.get("thresholds")) > 1)  # type: ignore
        self._own_sums()  # the library checks the settings
        self.name = name_or(name, (self._usual or self._kind).format(**settings))
        self.has_usual_name = name is None
        Configured.__init__(self, settings | {"name": self.name})

    def _own_sums(self) -> _swiftcnn.Measures:
        self._sums, self._place = _swiftcnn.create_measures(told({"metrics": [self.settings]})), 0
        return self._sums

    def _adopt(self, sums: _swiftcnn.Measures, place: int) -> None:
        """Has ``result`` tell what a model measured."""
        self._sums, self._place, self._is_own = sums, place, False

    _is_own = True

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        y, p, weight = _measures.arrays(y_true, y_pred, sample_weight)
        sums = self._sums if self._sums is not None and self._is_own else self._own_sums()
        self._is_own = True
        sums.add(y, p, weight)

    def result(self) -> Any:
        numbers, shape = (self._sums or self._own_sums()).values(self._place)
        return np.asarray(numbers, np.float32).reshape(shape) if shape else float(numbers[0])

    def reset_state(self) -> None:
        self._own_sums()
        self._is_own = True

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_sums", "_place", "_is_own")}


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


class Accuracy(CoreMetric):
    """The share of images whose most probable class is the right one; with one output
    the share of yes or no answers that are right. What Keras chooses for the name ``"accuracy"``."""

    _kind = "accuracy"

    @declared
    def __init__(self, name: str | None = "accuracy", dtype: str | None = None) -> None: ...


class CategoricalAccuracy(CoreMetric):
    """The share of images whose most probable class is the right one."""

    _kind, _usual = "accuracy", "categorical_accuracy"

    @declared
    def __init__(self, name: str | None = "categorical_accuracy", dtype: str | None = None) -> None: ...


class SparseCategoricalAccuracy(CoreMetric):
    """The share of images whose most probable class is the right one."""

    _kind, _usual = "accuracy", "sparse_categorical_accuracy"

    @declared
    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: str | None = None) -> None: ...


class BinaryAccuracy(CoreMetric):
    """The share of yes or no answers that are right: yes is a probability above ``threshold``."""

    _kind = "binary_accuracy"

    @declared
    def __init__(
        self, name: str | None = "binary_accuracy", dtype: str | None = None, threshold: float = 0.5
    ) -> None: ...


class MeanSquaredError(CoreMetric):
    """``mean((y - p) ** 2)``, for targets shaped as the output."""

    _kind = "mean_squared_error"
    more_is_better = False

    @declared
    def __init__(self, name: str | None = "mean_squared_error", dtype: str | None = None) -> None: ...


class RootMeanSquaredError(CoreMetric):
    """``sqrt(mean((y - p) ** 2))``, for targets shaped as the output."""

    _kind = "root_mean_squared_error"
    more_is_better = False

    @declared
    def __init__(self, name: str | None = "root_mean_squared_error", dtype: str | None = None) -> None: ...


class MeanAbsoluteError(CoreMetric):
    """``mean(abs(y - p))``, for targets shaped as the output."""

    _kind = "mean_absolute_error"
    more_is_better = False

    @declared
    def __init__(self, name: str | None = "mean_absolute_error", dtype: str | None = None) -> None: ...


class TopKAccuracy(CoreMetric):
    """The share of images whose right class is among the ``k`` most probable; by default ``"top_5_accuracy"``."""

    _kind, _usual = "top_k", "top_{k}_accuracy"

    @declared
    def __init__(self, k: int = 5, name: str | None = None, dtype: str | None = None) -> None: ...


class TopKCategoricalAccuracy(CoreMetric):
    """The share of images whose right class is among the ``k`` most probable."""

    _kind, _usual = "top_k", "top_k_categorical_accuracy"

    @declared
    def __init__(
        self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: str | None = None
    ) -> None: ...


class SparseTopKCategoricalAccuracy(CoreMetric):
    """The share of images whose right class is among the ``k`` most probable."""

    _kind, _usual = "top_k", "sparse_top_k_categorical_accuracy"

    @declared
    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: str | None = None,
        from_sorted_ids: bool = False,
    ) -> None: ...

    def _declare(self, *, from_sorted_ids: bool = False, **given: Any) -> None:
        if from_sorted_ids is not False:
            raise unsupported("from_sorted_ids", from_sorted_ids, "False")
        super()._declare(**given)


class Precision(CoreMetric):
    """Of what was said to be so, the share that is.

    Args:
        thresholds: a score above it says yes; None is 0.5, or any score with ``top_k``. A list gives a number each.
        top_k: only so many of the largest scores of an image say yes.
        class_id: the one class that is looked at.
        average: over the answers for all classes together (``"micro"``, as Keras), the mean over the classes
            (``"macro"``), weighted by how often they are so (``"weighted"``), or None: a number for each class.
    """

    _kind = "precision"

    @declared
    def __init__(
        self,
        thresholds: Thresholds = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
        *,
        average: str | None = "micro",
    ) -> None: ...


class Recall(Precision):
    """Of what is so, the share that was said to be; arguments as of ``Precision``."""

    _kind = "recall"


class Specificity(Precision):
    """Of what is not so, the share that was said not to be; arguments as of ``Precision``."""

    _kind = "specificity"


class TruePositives(CoreMetric):
    """How many scores above the threshold, 0.5 by default, are of what is so."""

    _kind = "true_positives"

    @declared
    def __init__(self, thresholds: Thresholds = None, name: str | None = None, dtype: str | None = None) -> None: ...


class TrueNegatives(TruePositives):
    """How many scores not above the threshold are of what is not so."""

    _kind = "true_negatives"


class FalsePositives(TruePositives):
    """How many scores above the threshold are of what is not so."""

    _kind = "false_positives"
    more_is_better = False


class FalseNegatives(TruePositives):
    """How many scores not above the threshold are of what is so."""

    _kind = "false_negatives"
    more_is_better = False


class FBetaScore(CoreMetric):
    """``(1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall)``.

    Args:
        average: as of ``Precision``; None gives a number for each class.
        threshold: a score above it says yes; None: the largest score of an image does.
    """

    _kind = "fbeta_score"

    @declared
    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: str | None = None,
    ) -> None: ...


class F1Score(CoreMetric):
    """``2 * precision * recall / (precision + recall)``; arguments as of ``FBetaScore``."""

    _kind = "f1_score"

    @declared
    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: str | None = None,
    ) -> None: ...


class AUC(CoreMetric):
    """The area under a curve of two rates, from their values at many thresholds.

    Args:
        num_thresholds: how many, evenly from 0 to 1, both included.
        curve: ``"ROC"`` (recall over false positive rate), ``"PR"`` (precision over recall) or ``"PRGAIN"``.
        summation_method: ``"interpolation"``, ``"majoring"`` or ``"minoring"``.
        thresholds: thresholds of your own between 0 and 1.
        multi_label: whether each class has a curve of its own, and the mean of the areas counts; else all scores make
            one.
        num_labels: how many classes that are; needed for nothing.
        label_weights: what each class weighs.
        from_logits: whether predictions are logits, of which a sigmoid is taken.
    """

    _kind = "auc"

    @declared
    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None: ...

    def _declare(self, *, num_labels: int | None = None, curve: str = "ROC", **given: Any) -> None:
        if num_labels and not given["multi_label"]:
            raise ValueError("num_labels is needed only where multi_label is True")
        super()._declare(curve=str(curve).upper(), **given)


class SensitivityAtSpecificity(CoreMetric):
    """The largest sensitivity (recall) at a threshold where the specificity is at least so much."""

    _kind = "sensitivity_at_specificity"

    @declared
    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None: ...


class SpecificityAtSensitivity(CoreMetric):
    """The largest specificity at a threshold where the sensitivity (recall) is at least so much."""

    _kind = "specificity_at_sensitivity"

    @declared
    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None: ...


class PrecisionAtRecall(CoreMetric):
    """The largest precision at a threshold where the recall is at least so much."""

    _kind = "precision_at_recall"

    @declared
    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None: ...


class RecallAtPrecision(CoreMetric):
    """The largest recall at a threshold where the precision is at least so much."""

    _kind = "recall_at_precision"

    @declared
    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None: ...


class ConfusionMatrix(CoreMetric):
    """How many images of each class (rows) were taken for each class (columns). A single score is yes, class 1, above
    ``threshold``."""

    _kind = "confusion_matrix"
    is_array = True

    @declared
    def __init__(self, threshold: float = 0.5, name: str | None = None, dtype: str | None = None) -> None: ...


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


# By the names of the library.
_CLASSES: Mapping[str, Callable[..., CoreMetric]] = {
    kind._kind: kind
    for kind in vars().copy().values()
    if isinstance(kind, type) and issubclass(kind, CoreMetric) and kind is not CoreMetric and not kind._usual
} | {"top_k": TopKAccuracy}
_NAMES: dict[str, Callable[..., CoreMetric]] = {
    **{name: kind for name, kind in _CLASSES.items() if "_at_" not in name},
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

_CALLED_AS_GIVEN = {
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    MeanSquaredError,
    MeanAbsoluteError,
    TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
}
_FUNCTIONS = {
    binary_accuracy,
    categorical_accuracy,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
}


def get(identifier: str | Metric | Callable[..., Array]) -> Metric:
    """The metric with a name, or of a function of this module, with default arguments; the mean of what another
    function gives; or the one given. What Keras has as a function is logged under the name that was given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor a metric; a ValueError too.
    """
    if isinstance(identifier, str):
        kind = entry(identifier, "metric", _NAMES)
        return kind(name=identifier) if kind in _CALLED_AS_GIVEN else kind()
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if callable(identifier):
        return get(identifier.__name__) if identifier in _FUNCTIONS else MeanMetricWrapper(identifier)
    raise ArgumentError(f"metrics must hold names or objects of swiftcnn.metrics, got {identifier!r}")


def of_settings(settings: Mapping[str, Any]) -> CoreMetric:
    """The metric of a loaded checkpoint, from what the library says of it."""
    given = dict(settings)
    kind, name = given.pop("name"), given.pop("reported_as", None)
    if given.get("average") == "none":
        given["average"] = None
    return _CLASSES[kind](name=name, **given)
