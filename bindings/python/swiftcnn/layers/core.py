"""Inputs, dense layers, dropout, and changes of shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from .. import activations, initializers, regularizers
from .._checks import boolean, choice, integer, number
from .._symbolic import Tensor
from .activation import apply, finish
from .base import Layer, LayerOptions, batched, check_absent, shape_of, unique_name
from .convolution import check_format, pair
from .operation import Operation, WeightedLayer

if TYPE_CHECKING:
    from .._symbolic import Network
    from ..activations import Function
    from ..initializers import Initializer
    from ..regularizers import Regularizer
    from .convolution import Pair


class InputLayer(Layer):
    """Where a network begins.

    Args:
        shape: without the batch, as (height, width, channels); None is any height or width, another at every call.
        batch_size: not used: any number of images at a time will do.
        dtype: None, ``"float32"`` or ``"uint8"``; both are accepted by every model.
        batch_shape: in place of ``shape``, with the batch.
    """

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        batch_shape: Sequence[int | None] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=unique_name("input_layer") if name is None else name)
        if (shape is None) == (batch_shape is None):
            raise ValueError("one of shape and batch_shape must be given, and not both")
        choice(dtype, "dtype", (None, "float32", "uint8"))
        if batch_size is not None:
            integer(batch_size, "batch_size", minimum=1)
        if shape is None:
            self.batch_shape = batched(batch_shape, "batch_shape")
        else:
            self.batch_shape = (None, *shape_of(shape, "shape"))
        tensor = Tensor(self.batch_shape, self.name, origin=self)
        self._first_call = (tensor, tensor)
        self.dtype = dtype or "float32"
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``."""
        return {"batch_shape": self.batch_shape, "dtype": self.dtype, "name": self.name}


def Input(  # noqa: N802 (Keras's name)
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
) -> Tensor:
    """The tensor with which a network begins; the arguments are those of ``InputLayer``."""
    tensor: Tensor = InputLayer(shape, batch_size, dtype, batch_shape, name).output
    return tensor


class Dense(WeightedLayer):
    """``activation(x @ kernel + bias)`` over the last axis. Weights: ``kernel`` (features, units), ``bias`` (units,).

    Args:
        units: the size of the result's last axis.
        activation: a name or function of ``swiftcnn.activations``.
    """

    def __init__(
        self,
        units: int,
        activation: str | Function | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        activity_regularizer: None = None,
        kernel_constraint: None = None,
        bias_constraint: None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            {
                "kernel": initializers.get(kernel_initializer, "kernel_initializer"),
                "bias": initializers.get(bias_initializer, "bias_initializer"),
            },
            {
                "kernel": regularizers.get(kernel_regularizer, "kernel_regularizer"),
                "bias": regularizers.get(bias_regularizer, "bias_regularizer"),
            },
            **options,
        )
        check_absent(
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.units = integer(units, "units", minimum=1)
        self.activation = activations.get(activation)
        self.use_bias = boolean(use_bias, "use_bias")

    def call(self, inputs: Tensor | Sequence[Tensor], training: bool | None = None) -> Any:
        return finish(self.activation, super().call(inputs, training))

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        value = network.layer("dense", self.name, {"units": self.units, "bias": self.use_bias}, operand)
        return apply(self.activation, network, value, self.name)


class Dropout(Operation):
    """In training each element is zero with probability ``rate`` and the others are divided by 1 - rate; in inference
    nothing happens (Srivastava et al. 2014).

    Args:
        rate: 0 to 1; it may be changed until a model is made.
        noise_shape: None: every element by itself.
        seed: not used: the numbers depend on the seed of ``compile``, the step and the layer's place in the network.
    """

    def __init__(
        self,
        rate: float,
        noise_shape: None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.rate = number(rate, "rate")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate must be 0 to 1, got {self.rate}")
        if noise_shape is not None:
            raise ValueError(f"noise_shape must be None, got {noise_shape!r}")
        if seed is not None:
            integer(seed, "seed")

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        if inference or self.rate == 0:
            return operand
        return network.layer("dropout", self.name, {"rate": self.rate}, operand)


class Flatten(Operation):
    """All axes but the batch in one: (N, H, W, C) becomes (N, H * W * C)."""

    def __init__(self, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        check_format(data_format)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        return network.layer("reshape", self.name, {"shape": [-1]}, operand)


class Reshape(Operation):
    """Another shape for the same elements.

    Args:
        target_shape: without the batch; one size may be -1, which makes it what is left.
    """

    def __init__(self, target_shape: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if isinstance(target_shape, (str, bytes)) or not isinstance(target_shape, Sequence):
            raise ValueError(f"target_shape must be a tuple of whole numbers, got {target_shape!r}")
        self.target_shape = tuple(integer(size, "target_shape", minimum=-1) for size in target_shape)
        if self.target_shape.count(-1) > 1 or 0 in self.target_shape:
            raise ValueError(f"target_shape must have positive sizes and at most one -1, got {self.target_shape}")

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        shape = network.shape(operand)[1:]
        if -1 not in self.target_shape and None not in shape:
            count = math.prod(size or 1 for size in shape)
            if count != math.prod(self.target_shape):
                raise ValueError(f"target_shape {self.target_shape} has not the {count} elements of {shape}")
        return network.layer("reshape", self.name, {"shape": list(self.target_shape)}, operand)


class ZeroPadding2D(Operation):
    """Rows and columns of zeros around images (N, H, W, C).

    Args:
        padding: one number for all sides; two, for (top and bottom, left and right); or ((top, bottom), (left, right)).
    """

    def __init__(
        self,
        padding: int | Sequence[Pair] = (1, 1),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        check_format(data_format)
        if isinstance(padding, (list, tuple)):
            if len(padding) != 2:
                raise ValueError(f"padding must be a number, two numbers or two pairs, got {padding!r}")
            sides = [pair(side, "padding", minimum=0) for side in padding]
        else:
            sides = [pair(integer(padding, "padding"), "padding", minimum=0)] * 2
        self.padding = tuple(map(tuple, sides))

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        (top, bottom), (left, right) = self.padding
        return network.layer("zero_pad", self.name, {"padding": [top, left, bottom, right]}, operand)


class Identity(Operation):
    """What it is given."""

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        return operand
