"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from .. import activations, initializers, regularizers
from .._checks import boolean, choice, integer, text
from .activation import apply, finish
from .base import LayerOptions, check_absent
from .operation import WeightedLayer

if TYPE_CHECKING:
    from .._symbolic import Network, Tensor
    from ..activations import Function
    from ..initializers import Initializer
    from ..regularizers import Regularizer

    Pair = int | Sequence[int]


def pair(value: Pair, name: str, minimum: int = 1) -> list[int]:
    """One or two whole numbers, for height and width, as two."""
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ValueError(f"{name} must be one whole number or two, got {value!r}")
        return [integer(each, name, minimum=minimum) for each in value]
    return [integer(value, name, minimum=minimum)] * 2


def check_format(data_format: str | None) -> None:
    """Images are NHWC."""
    choice(data_format, "data_format", (None, "channels_last"))


def padding_option(padding: str) -> dict[str, object]:
    """``"valid"`` or ``"same"`` as the library takes it."""
    word = text(padding, "padding").lower()
    if word not in ("valid", "same"):
        raise ValueError(f"padding must be 'valid' or 'same', got {padding!r}")
    return {"padding": "same"} if word == "same" else {}


class _Convolution(WeightedLayer):
    def __init__(
        self,
        kernel_size: Pair,
        strides: Pair,
        padding: str,
        data_format: str | None,
        dilation_rate: Pair,
        activation: str | Function | None,
        use_bias: bool,
        initial: Mapping[str, tuple[str, str | Initializer]],
        penalties: Mapping[str, tuple[str, str | Regularizer | None]],
        **options: Unpack[LayerOptions],
    ) -> None:
        """The initializers and regularizers are by the names of the weights, ``"kernel"``, each with its argument's."""
        super().__init__(
            {weight: initializers.get(value, name) for weight, (name, value) in initial.items()},
            {weight: regularizers.get(value, name) for weight, (name, value) in penalties.items()},
            **options,
        )
        check_format(data_format)
        self.activation = activations.get(activation)
        self.use_bias = boolean(use_bias, "use_bias")
        self.kernel_size = tuple(pair(kernel_size, "kernel_size"))
        self.strides = tuple(pair(strides, "strides"))
        self.dilation_rate = tuple(pair(dilation_rate, "dilation_rate"))
        self.padding = padding
        self._window = {
            "kernel": list(self.kernel_size),
            "stride": list(self.strides),
            "dilation": list(self.dilation_rate),
            **padding_option(padding),
        }
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(f"strides {self.strides} and dilation_rate {self.dilation_rate} cannot both be above 1")

    def call(self, inputs: Tensor | Sequence[Tensor], training: bool | None = None) -> Any:
        return finish(self.activation, super().call(inputs, training))


class Conv2D(_Convolution):
    """A convolution of images (N, H, W, C), which gives (N, H', W', filters). Weights: ``kernel`` (height, width,
    C / groups, filters) and ``bias`` (filters,).

    Args:
        filters: the number of channels of the result.
        kernel_size: height and width of the window, or one number for both.
        strides: its steps.
        padding: ``"valid"`` for none, ``"same"`` for as much zeros as give H' = ceil(H / stride), an odd one at the
            bottom and right, as TensorFlow.
        dilation_rate: the distance of neighbouring elements of the window.
        groups: the channels are divided into so many groups that are convolved separately.
        activation: a name or function of ``swiftcnn.activations``.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Pair = (1, 1),
        groups: int = 1,
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
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            {
                "kernel": ("kernel_initializer", kernel_initializer),
                "bias": ("bias_initializer", bias_initializer),
            },
            {
                "kernel": ("kernel_regularizer", kernel_regularizer),
                "bias": ("bias_regularizer", bias_regularizer),
            },
            **options,
        )
        check_absent(
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.filters = integer(filters, "filters", minimum=1)
        self.groups = integer(groups, "groups", minimum=1)
        if self.filters % self.groups:
            raise ValueError(f"filters must be divisible by groups, got {self.filters} and {self.groups}")

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        options = {"filters": self.filters, "groups": self.groups, "bias": self.use_bias, **self._window}
        return apply(self.activation, network, network.layer("conv2d", self.name, options, operand), self.name)


class DepthwiseConv2D(_Convolution):
    """A convolution of each channel by itself, which gives C * depth_multiplier channels. Weights: ``kernel`` (height,
    width, C, depth_multiplier) and ``bias``.

    Args: as of ``Conv2D``, and
        depth_multiplier: the number of results for each channel.
    """

    def __init__(
        self,
        kernel_size: Pair,
        strides: Pair = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Pair = (1, 1),
        activation: str | Function | None = None,
        use_bias: bool = True,
        depthwise_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        depthwise_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        activity_regularizer: None = None,
        depthwise_constraint: None = None,
        bias_constraint: None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            {
                "kernel": ("depthwise_initializer", depthwise_initializer),
                "bias": ("bias_initializer", bias_initializer),
            },
            {
                "kernel": ("depthwise_regularizer", depthwise_regularizer),
                "bias": ("bias_regularizer", bias_regularizer),
            },
            **options,
        )
        check_absent(
            activity_regularizer=activity_regularizer,
            depthwise_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
        )
        self.depth_multiplier = integer(depth_multiplier, "depth_multiplier", minimum=1)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        options = {"multiplier": self.depth_multiplier, "bias": self.use_bias, **self._window}
        value = network.layer("depthwise_conv2d", self.name, options, operand)
        return apply(self.activation, network, value, self.name)

    def _depthwise_channels(self, name: str, shape: tuple[int, ...]) -> int | None:
        return shape[0] // self.depth_multiplier if name == "kernel" else None


class SeparableConv2D(_Convolution):
    """A depthwise convolution and then a 1x1 convolution (Chollet 2017). Weights: ``depthwise_kernel`` (height, width,
    C, depth_multiplier), ``pointwise_kernel`` (1, 1, C * depth_multiplier, filters) and ``bias``.

    Args: as of ``Conv2D`` and ``DepthwiseConv2D``.
    """

    _weight_names: Mapping[str, str] = {
        "depthwise.weight": "depthwise_kernel",
        "pointwise.weight": "pointwise_kernel",
        "pointwise.bias": "bias",
    }

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Pair = (1, 1),
        depth_multiplier: int = 1,
        activation: str | Function | None = None,
        use_bias: bool = True,
        depthwise_initializer: str | Initializer = "glorot_uniform",
        pointwise_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        depthwise_regularizer: str | Regularizer | None = None,
        pointwise_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        activity_regularizer: None = None,
        depthwise_constraint: None = None,
        pointwise_constraint: None = None,
        bias_constraint: None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            {
                "depthwise_kernel": ("depthwise_initializer", depthwise_initializer),
                "pointwise_kernel": ("pointwise_initializer", pointwise_initializer),
                "bias": ("bias_initializer", bias_initializer),
            },
            {
                "depthwise_kernel": ("depthwise_regularizer", depthwise_regularizer),
                "pointwise_kernel": ("pointwise_regularizer", pointwise_regularizer),
                "bias": ("bias_regularizer", bias_regularizer),
            },
            **options,
        )
        check_absent(
            activity_regularizer=activity_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_constraint=pointwise_constraint,
            bias_constraint=bias_constraint,
        )
        self.filters = integer(filters, "filters", minimum=1)
        self.depth_multiplier = integer(depth_multiplier, "depth_multiplier", minimum=1)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        depthwise = network.layer(
            "depthwise_conv2d", f"{self.name}.depthwise", {"multiplier": self.depth_multiplier, **self._window}, operand
        )
        pointwise = network.layer(
            "conv2d",
            f"{self.name}.pointwise",
            {"filters": self.filters, "kernel": [1, 1], "bias": self.use_bias},
            depthwise,
        )
        return apply(self.activation, network, pointwise, self.name)

    def _depthwise_channels(self, name: str, shape: tuple[int, ...]) -> int | None:
        return shape[0] // self.depth_multiplier if name == "depthwise_kernel" else None
