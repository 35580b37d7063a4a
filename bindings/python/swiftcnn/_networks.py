"""Networks for those who name none: by the shape of the images, for images as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import layers

if TYPE_CHECKING:
    from ._arrays import Array


def standardized(inputs: Any, images: Array) -> Any:
    """The images with a mean of 0 and a deviation of 1 in each channel; one that is the same in all becomes 0."""
    count = images[..., 0].size
    # Some images at a time, since these are float64.
    parts = [images[start : start + 256] for start in range(0, len(images), 256)]
    axes = tuple(range(images.ndim - 1))
    mean = sum(part.sum(axes, np.float64) for part in parts) / count
    variance = sum(((part - mean) ** 2).sum(axes) for part in parts) / count
    return layers.Normalization(mean=mean, variance=np.where(variance > 0, variance, 1))(inputs)


def fitting_name(shape: tuple[int, int, int]) -> str | None:
    """The model that fits images of a shape; None for the small network."""
    smaller = min(shape[:2])
    return None if smaller < 24 else "resnet20" if smaller < 64 else "resnet18"


def small_network(x: Any, shape: tuple[int, int, int]) -> Any:
    """The layers before the last of a network for small images, or for rows of numbers."""
    height, width, _ = shape
    if height == width == 1:
        x = layers.Flatten()(x)
        for _ in range(2):
            x = layers.Dense(64, activation="relu", kernel_initializer="he_normal")(x)
        return x
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
        # A fit may be a few steps only: statistics that follow sooner than Keras's.
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        window = (2 if height > 3 else 1, 2 if width > 3 else 1)
        if window != (1, 1):
            x = layers.MaxPooling2D(window)(x)
        height, width = height // window[0], width // window[1]
    return layers.GlobalAveragePooling2D()(x)
