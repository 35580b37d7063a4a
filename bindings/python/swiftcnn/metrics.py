"""Metrics, for integer labels and for one-hot targets alike."""

from __future__ import annotations

from collections.abc import Callable

from ._checks import entry, integer

__all__ = ["Accuracy", "Metric", "TopKAccuracy"]


class Metric:
    """The base of all metrics.

    Attributes:
        settings: what the library is told.
    """

    settings: dict[str, object]

    def __init__(self, name: str, **settings: object) -> None:
        self.settings = {"name": name} | settings

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.settings.items() if k != 'name')})"


class Accuracy(Metric):
    """The share of images whose most probable class is the right one."""

    def __init__(self) -> None:
        super().__init__("accuracy")


class TopKAccuracy(Metric):
    """The share of images whose right class is among the ``k`` most probable."""

    def __init__(self, k: int = 5) -> None:
        super().__init__("top_k", k=integer(k, "k", minimum=1))


_METRICS: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "categorical_accuracy": Accuracy,
    "sparse_categorical_accuracy": Accuracy,
    "top_k": TopKAccuracy,
    "top_k_categorical_accuracy": TopKAccuracy,
    "sparse_top_k_categorical_accuracy": TopKAccuracy,
}


def get(metric: str | Metric) -> Metric:
    """The metric with a name, with default arguments, or the one given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor a metric.
    """
    if isinstance(metric, str):
        return entry(metric, "metric", _METRICS)()
    if isinstance(metric, Metric):
        return metric
    raise TypeError(f"metrics must hold names or objects of swiftcnn.metrics, got {metric!r}")
