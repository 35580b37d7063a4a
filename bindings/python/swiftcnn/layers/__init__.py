"""Layers, with Keras's names, arguments and defaults; images are NHWC.

A network is built of them in three ways::

    x = layers.Input((32, 32, 3))                                   # a graph of tensors
    y = layers.Dense(10)(layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, activation="relu")(x)))
    model = models.Model(x, y)

    model = models.Sequential([layers.Input((32, 32, 3)), ...])      # one after another

    class Net(models.Model):                                         # your own class
        def __init__(self): ...
        def call(self, x): ...
"""

from __future__ import annotations

from .._symbolic import Tensor
from .activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from .base import Layer
from .convolution import Conv2D, Conv2DTranspose, DepthwiseConv2D, SeparableConv2D
from .core import Dense, Dropout, Flatten, Identity, Input, InputLayer, Reshape, ZeroPadding2D
from .merging import Add, Concatenate, Maximum, Minimum, Multiply, add, concatenate, maximum, minimum, multiply
from .normalization import BatchNormalization, GroupNormalization, UnitNormalization
from .pooling import (
    AveragePooling2D,
    AvgPool2D,
    GlobalAveragePooling2D,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GlobalMaxPooling2D,
    MaxPool2D,
    MaxPooling2D,
)
from .preprocessing import Normalization, RandomCrop, RandomFlip, Rescaling, UpSampling2D
from .variable import Variable

Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
DepthwiseConvolution2D = DepthwiseConv2D
SeparableConvolution2D = SeparableConv2D

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Dense",
    "DepthwiseConv2D",
    "DepthwiseConvolution2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "Identity",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "PReLU",
    "RandomCrop",
    "RandomFlip",
    "ReLU",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "SeparableConvolution2D",
    "Softmax",
    "Tensor",
    "UnitNormalization",
    "UpSampling2D",
    "Variable",
    "ZeroPadding2D",
    "add",
    "concatenate",
    "maximum",
    "minimum",
    "multiply",
]
__dir__ = __all__.copy  # what completion offers

# By name, for those who read what layers a model has.
_CLASSES: dict[str, type[Layer]] = {
    name: found for name in __all__ if isinstance(found := globals()[name], type) and issubclass(found, Layer)
}
