"""What is done to images within a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arrays
from .._described import CHECKS, only
from .._symbolic import Call, Network, functions
from .arguments import DATA_FORMAT, default, optional
from .operation import Operation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._described import Kept, Size
    from .arguments import Pair

    Constant = Kept[ArrayLike, float | list[float]]
    Constants = Kept[ArrayLike | None, list[float] | None]


def _constants(value: ArrayLike, name: str) -> list[float]:
    """A number, or one a channel."""
    array = _arrays.numeric(value, name).astype(np.float64)
    if array.size != max(array.shape, default=1) or array.size == 0:
        raise ValueError(f"{name} must be one number, or one a channel, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {value!r}")
    return [float(each) for each in array.reshape(-1)]


def _constant(value: ArrayLike, name: str) -> float | list[float]:
    """The same, a number alone where it was given so."""
    constants = _constants(value, name)
    return constants[0] if np.ndim(value) == 0 else constants


CHECKS.update(Constant=_constant, Constants=optional(_constants))


class Rescaling(Operation):
    """``x * scale + offset``, each one number or one a channel: ``Rescaling(1 / 255)`` brings pixels to 0...1."""

    _kind = "rescaling"
    scale: Constant
    offset: Constant = default(0.0)


class Normalization(Operation):
    """``(x - mean) / sqrt(variance)``, each channel by itself.

    Args:
        axis: -1: one mean and variance a channel; None: one for all.
        mean, variance: None where ``adapt`` will measure them.
        invert: the reverse, ``x * sqrt(variance) + mean``.
    """

    _kind = "rescaling"
    axis: int | None = only(-1, None)
    mean: Constants = default(None)
    variance: Constants = default(None)
    invert: bool = False

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.variance is None):
            raise ValueError("mean and variance must be given both, or neither")
        if self.variance and min(self.variance) < 0:
            raise ValueError(f"variance must be 0 or more, got {min(self.variance)}")

    def adapt(self, data: ArrayLike) -> None:
        """Measures mean and variance of data (N, ..., C). A model that was made before keeps its own.

        Raises:
            ValueError: no data.
        """
        array = _arrays.numeric(data, "data")
        if array.size == 0 or array.ndim < 1:
            raise ValueError(f"data must hold at least one image, got shape {array.shape}")
        axes = None if self.axis is None else tuple(range(array.ndim - 1))
        self.mean = _constants(array.mean(axes, np.float64), "data")
        self.variance = _constants(array.var(axes, np.float64), "data")

    def _options(self) -> dict[str, object]:
        if self.mean is None or self.variance is None:
            raise ValueError(f"layer {self.name!r} knows no mean and variance: give them, or call adapt(data) first")
        mean = np.asarray(self.mean)
        # Keras's smallest deviation.
        deviation = np.maximum(np.sqrt(np.asarray(self.variance)), 1e-7)
        scale, offset = (deviation, mean) if self.invert else (1 / deviation, -mean / deviation)
        return {"scale": scale.tolist(), "offset": offset.tolist()}


class UpSampling2D(Operation):
    """More rows and columns of images (N, H, W, C).

    Args:
        size: how many times as many, for height and width.
        interpolation: ``"nearest"`` repeats them, ``"bilinear"`` draws lines between them.
    """

    _kind = "resize"
    size: Pair = default((2, 2))
    data_format: str | None = DATA_FORMAT
    interpolation: str = only("nearest", "bilinear")

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        if len(network.shape(operand)) != 4:
            raise ValueError(f"layer {self.name!r} takes images (N, H, W, C), got shape {network.shape(operand)}")
        how = {"interpolation": "nearest" if self.interpolation == "nearest" else "linear"}
        rows = network.layer(self._kind, f"{self.name}.height", {"axis": 1, "scale": self.size[0], **how}, operand)
        return network.layer(self._kind, self.name, {"axis": 2, "scale": self.size[1], **how}, rows)


class RandomFlip(Operation):
    """In training each image is mirrored with probability 1/2; in inference nothing happens.

    Args:
        mode: ``"horizontal"``, ``"vertical"`` or ``"horizontal_and_vertical"`` (each with probability 1/2).
        seed: not used: the numbers depend on the seed of ``compile``, the step and the layer's place in the network.
    """

    _kind, _acts_in_training_alone = "random_flip", True
    mode: str = only("horizontal_and_vertical", "horizontal", "vertical")
    seed: int | None = None
    data_format: str | None = DATA_FORMAT

    def _options(self) -> dict[str, object]:
        return {"horizontal": "horizontal" in self.mode, "vertical": "vertical" in self.mode}


class RandomCrop(Operation):
    """In training a part at random of each image, in inference the middle.

    Args:
        height, width: of the part; the images must be at least as large.
        seed: not used: the numbers depend on the seed of ``compile``, the step and the layer's place in the network.
    """

    _kind = "random_crop"
    height: Size
    width: Size
    seed: int | None = None
    data_format: str | None = DATA_FORMAT

    def _add_to(self, network: Network, operand: int, call: Call) -> int:
        if not call.inference:
            return super()._add_to(network, operand, call)
        alone = Network()
        middle = alone.model(self._define(alone, alone.input(call.inputs[0], "input"), inference=False))
        return network.apply(middle, [operand], inference=True)


def _rescaled(x: Any, scale: ArrayLike, offset: ArrayLike = 0.0) -> Any:
    return Rescaling(scale, offset)(x)


functions["rescale"] = _rescaled
