"""What is done to images within a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from .. import _arrays
from .._checks import boolean, choice, integer
from .._symbolic import Call, Network
from .base import LayerOptions, UnnamedOptions
from .convolution import check_format
from .operation import Operation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def _constants(value: ArrayLike, name: str) -> list[float]:
    """A number, or one a channel."""
    array = _arrays.numeric(value, name).astype(np.float64)
    if array.size != max(array.shape, default=1) or array.size == 0:
        raise ValueError(f"{name} must be one number, or one a channel, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {value!r}")
    return [float(each) for each in array.reshape(-1)]


class Rescaling(Operation):
    """``x * scale + offset``, each one number or one a channel: ``Rescaling(1 / 255)`` brings pixels to 0...1."""

    def __init__(self, scale: ArrayLike, offset: ArrayLike = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        scales, offsets = _constants(scale, "scale"), _constants(offset, "offset")
        self.scale = scales[0] if np.ndim(scale) == 0 else scales
        self.offset = offsets[0] if np.ndim(offset) == 0 else offsets

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        return network.layer("rescaling", self.name, {"scale": self.scale, "offset": self.offset}, operand)


class Normalization(Operation):
    """``(x - mean) / sqrt(variance)``, each channel by itself.

    Args:
        axis: -1: one mean and variance a channel; None: one for all.
        mean, variance: None where ``adapt`` will measure them.
        invert: the reverse, ``x * sqrt(variance) + mean``.
    """

    def __init__(
        self,
        axis: int | None = -1,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        invert: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        choice(axis, "axis", (-1, None))
        if (mean is None) != (variance is None):
            raise ValueError("mean and variance must be given both, or neither")
        self.axis = axis
        self.invert = boolean(invert, "invert")
        self.mean = None if mean is None else _constants(mean, "mean")
        self.variance = None if variance is None else _constants(variance, "variance")
        if self.variance and min(self.variance) < 0:
            raise ValueError(f"variance must be 0 or more, got {min(self.variance)}")

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``, with what ``adapt`` measured."""
        return super().get_config() | {"mean": self.mean, "variance": self.variance}

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

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        if self.mean is None or self.variance is None:
            raise ValueError(f"layer {self.name!r} knows no mean and variance: give them, or call adapt(data) first")
        mean = np.asarray(self.mean)
        # Keras's smallest deviation.
        deviation = np.maximum(np.sqrt(np.asarray(self.variance)), 1e-7)
        scale, offset = (deviation, mean) if self.invert else (1 / deviation, -mean / deviation)
        return network.layer("rescaling", self.name, {"scale": scale.tolist(), "offset": offset.tolist()}, operand)


class RandomFlip(Operation):
    """In training each image is mirrored with probability 1/2; in inference nothing happens.

    Args:
        mode: ``"horizontal"``, ``"vertical"`` or ``"horizontal_and_vertical"`` (each with probability 1/2).
        seed: not used: the numbers depend on the seed of ``compile``, the step and the layer's place in the network.
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        check_format(data_format)
        choice(mode, "mode", ("horizontal", "vertical", "horizontal_and_vertical"))
        if seed is not None:
            integer(seed, "seed")
        self.mode = mode

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        if inference:
            return operand
        options = {"horizontal": "horizontal" in self.mode, "vertical": "vertical" in self.mode}
        return network.layer("random_flip", self.name, options, operand)


class RandomCrop(Operation):
    """In training a part at random of each image, in inference the middle.

    Args:
        height, width: of the part; the images must be at least as large.
        seed: not used: the numbers depend on the seed of ``compile``, the step and the layer's place in the network.
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        **options: Unpack[UnnamedOptions],
    ) -> None:
        super().__init__(name=name, **options)
        check_format(data_format)
        self.height = integer(height, "height", minimum=1)
        self.width = integer(width, "width", minimum=1)
        if seed is not None:
            integer(seed, "seed")

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        if not call.inference:
            return super()._emit(network, operands, call)
        alone = Network()
        middle = alone.model(self._define(alone, alone.input(call.inputs[0], "input"), inference=False))
        return network.apply(middle, operands, inference=True)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        return network.layer("random_crop", self.name, {"height": self.height, "width": self.width}, operand)
