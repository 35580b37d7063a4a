"""Metrics, with Keras's names and arguments. Accuracies of classes take integer labels and one-hot targets alike.

The functions, as ``sparse_categorical_accuracy(y_true, y_pred)``, compute with NumPy what each image gives; given to
``compile`` they stand for the metric of their name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ._checks import ArgumentError, entry, integer, number, text, unsupported
from ._config import Configured, check_dtype, name_or
from ._measures import (
    binary_accuracy,
    categorical_accuracy,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)

if TYPE_CHECKING:
    from ._arrays import Array

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKAccuracy",
    "TopKCategoricalAccuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


class Metric(Configured):
    """The base of all metrics.

    Attributes:
        name: under which it is logged.
        more_is_better: whether a larger value is a better one.
        settings: what the library is told.
    """

    name: str
    more_is_better = True
    settings: dict[str, object]

    def __init__(self, kind: str, name: str, dtype: object = None, **settings: object) -> None:
        check_dtype(dtype)
        self.name = name
        self.settings = {"name": kind} | settings
        super().__init__(settings | {"name": name})


class Accuracy(Metric):
    """The share of images whose most probable class is the right one; with one output
    the share of yes or no answers that are right. What Keras chooses for the name ``"accuracy"``."""

    def __init__(self, name: str | None = "accuracy", dtype: str | None = None) -> None:
        super().__init__("accuracy", name_or(name, "accuracy"), dtype)


class CategoricalAccuracy(Metric):
    """The share of images whose most probable class is the right one."""

    def __init__(self, name: str | None = "categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__("accuracy", name_or(name, "categorical_accuracy"), dtype)


class SparseCategoricalAccuracy(Metric):
    """The share of images whose most probable class is the right one."""

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__("accuracy", name_or(name, "sparse_categorical_accuracy"), dtype)


class BinaryAccuracy(Metric):
    """The share of yes or no answers that are right: yes is a probability above ``threshold``."""

    def __init__(self, name: str | None = "binary_accuracy", dtype: str | None = None, threshold: float = 0.5) -> None:
        bound = number(threshold, "threshold")
        super().__init__("binary_accuracy", name_or(name, "binary_accuracy"), dtype, threshold=bound)


class MeanSquaredError(Metric):
    """``mean((y - p) ** 2)``, for targets shaped as the output."""

    more_is_better = False

    def __init__(self, name: str | None = "mean_squared_error", dtype: str | None = None) -> None:
        super().__init__("mean_squared_error", name_or(name, "mean_squared_error"), dtype)


class MeanAbsoluteError(Metric):
    """``mean(abs(y - p))``, for targets shaped as the output."""

    more_is_better = False

    def __init__(self, name: str | None = "mean_absolute_error", dtype: str | None = None) -> None:
        super().__init__("mean_absolute_error", name_or(name, "mean_absolute_error"), dtype)


class _TopK(Metric):
    def __init__(self, k: int, name: str | None, default: str, dtype: str | None) -> None:
        count = integer(k, "k", minimum=1)
        super().__init__("top_k", name_or(name, default.format(k=count)), dtype, k=count)


class TopKAccuracy(_TopK):
    """The share of images whose right class is among the ``k`` most probable; by default ``"top_5_accuracy"``."""

    def __init__(self, k: int = 5, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(k, name, "top_{k}_accuracy", dtype)


class TopKCategoricalAccuracy(_TopK):
    """The share of images whose right class is among the ``k`` most probable."""

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(k, name, "top_k_categorical_accuracy", dtype)


class SparseTopKCategoricalAccuracy(_TopK):
    """The share of images whose right class is among the ``k`` most probable."""

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: str | None = None,
        from_sorted_ids: bool = False,
    ) -> None:
        if from_sorted_ids is not False:
            raise unsupported("from_sorted_ids", from_sorted_ids, "False")
        super().__init__(k, name, "sparse_top_k_categorical_accuracy", dtype)


_METRICS: dict[str, Callable[[str], Metric]] = {
    "accuracy": lambda name: Accuracy(name),
    "acc": lambda name: Accuracy(name),
    "binary_accuracy": lambda name: BinaryAccuracy(name),
    "categorical_accuracy": lambda name: CategoricalAccuracy(name),
    "sparse_categorical_accuracy": lambda name: SparseCategoricalAccuracy(name),
    "mean_squared_error": lambda name: MeanSquaredError(name),
    "mse": lambda name: MeanSquaredError(name),
    "mean_absolute_error": lambda name: MeanAbsoluteError(name),
    "mae": lambda name: MeanAbsoluteError(name),
    "top_k": lambda name: TopKAccuracy(),
    "top_k_accuracy": lambda name: TopKAccuracy(),
    "top_k_categorical_accuracy": lambda name: TopKCategoricalAccuracy(name=name),
    "sparse_top_k_categorical_accuracy": lambda name: SparseTopKCategoricalAccuracy(name=name),
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
    """The metric with a name, or of a function of this module, with default arguments and logged under that name; or
    the one given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor a metric; a ValueError too.
    """
    if isinstance(identifier, str):
        return entry(identifier, "metric", _METRICS)(text(identifier, "metrics"))
    if isinstance(identifier, Metric):
        return identifier
    if callable(identifier) and identifier in _FUNCTIONS:
        return get(identifier.__name__)
    raise ArgumentError(f"metrics must hold names or objects of swiftcnn.metrics, got {identifier!r}")


def of_settings(settings: Mapping[str, Any]) -> Metric:
    """The metric of a loaded checkpoint, from what the library says of it."""
    given = dict(settings)
    kind, name = given.pop("name"), given.pop("reported_as", None)
    classes: dict[str, Callable[..., Metric]] = {
        "accuracy": Accuracy,
        "binary_accuracy": BinaryAccuracy,
        "mean_absolute_error": MeanAbsoluteError,
        "mean_squared_error": MeanSquaredError,
        "top_k": TopKAccuracy,
    }
    return classes[kind](name=name, **given)
