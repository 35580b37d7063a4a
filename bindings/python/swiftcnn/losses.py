"""Losses. Each is the mean over the batch of what one image costs, times its sample weight.

``from_logits`` says whether the network gives logits or probabilities. None, the default, is decided by whether it ends
in a softmax (for binary cross-entropy: a sigmoid), so a model created with ``classifier_activation=None`` trains right.
"""

from __future__ import annotations

from collections.abc import Callable

from ._checks import boolean, entry, number

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "KLDivergence",
    "Loss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
]


class Loss:
    """The base of all losses.

    Attributes:
        name: as in ``compile(loss=name)``.
        settings: what the library is told.
    """

    name: str
    settings: dict[str, object]

    def __init__(self, name: str, **settings: object) -> None:
        self.name = name
        self.settings = {"name": name} | settings

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.settings.items() if k != 'name')})"


class _Crossentropy(Loss):
    def __init__(self, name: str, from_logits: bool | None, label_smoothing: float) -> None:
        super().__init__(
            name,
            from_logits=None if from_logits is None else boolean(from_logits, "from_logits"),
            label_smoothing=number(label_smoothing, "label_smoothing"),
        )


class SparseCategoricalCrossentropy(_Crossentropy):
    """``-log p[label]``, for integer labels (N,) or (N, 1)."""

    def __init__(self, from_logits: bool | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__("sparse_categorical_crossentropy", from_logits, label_smoothing)


class CategoricalCrossentropy(_Crossentropy):
    """``-sum(y * log p)``, for targets shaped as the output, as one-hot rows."""

    def __init__(self, from_logits: bool | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__("categorical_crossentropy", from_logits, label_smoothing)


class BinaryCrossentropy(_Crossentropy):
    """``-mean(y * log p + (1 - y) * log(1 - p))``, for targets shaped as the output."""

    def __init__(self, from_logits: bool | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__("binary_crossentropy", from_logits, label_smoothing)


class MeanSquaredError(Loss):
    """``mean((y - p) ** 2)``, for targets shaped as the output."""

    def __init__(self) -> None:
        super().__init__("mean_squared_error")


class KLDivergence(Loss):
    """``sum(y * log(y / p))``, for targets shaped as the output whose rows are distributions."""

    def __init__(self) -> None:
        super().__init__("kl_divergence")


_LOSSES: dict[str, Callable[[], Loss]] = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
}


def get(loss: str | Loss) -> Loss:
    """The loss with a name, with default arguments, or the one given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor a loss.
    """
    if isinstance(loss, str):
        return entry(loss, "loss", _LOSSES)()
    if isinstance(loss, Loss):
        return loss
    raise TypeError(f"loss must be a name or one of swiftcnn.losses, got {loss!r}")
