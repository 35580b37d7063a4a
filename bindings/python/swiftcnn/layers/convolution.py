"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Unpack

from .arguments import absent, declared
from .operation import ActivatedLayer

if TYPE_CHECKING:
    from .._symbolic import Network
    from ..activations import Function
    from ..initializers import Initializer
    from ..regularizers import Regularizer
    from .arguments import Pair
    from .base import LayerOptions


class _Convolution(ActivatedLayer):
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation_rate: tuple[int, ...]
    padding: str
    use_bias: bool

    def _check(self) -> None:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(f"strides {self.strides} and dilation_rate {self.dilation_rate} cannot both be above 1")

    def _options(self) -> dict[str, object]:
        window = {"kernel": self.kernel_size, "stride": self.strides, "dilation": self.dilation_rate}
        return {**window, "bias": self.use_bias, **({"padding": "same"} if self.padding.lower() == "same" else {})}


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

    filters: int
    groups: int
    _kind = "conv2d"

    @declared
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
        self._check()
        if self.filters % self.groups:
            raise ValueError(f"filters must be divisible by groups, got {self.filters} and {self.groups}")

    def _options(self) -> dict[str, object]:
        return super()._options() | {"filters": self.filters, "groups": self.groups}


class DepthwiseConv2D(_Convolution):
    """A convolution of each channel by itself, which gives C * depth_multiplier channels. Weights: ``kernel`` (height,
    width, C, depth_multiplier) and ``bias``.

    Args: as of ``Conv2D``, and
        depth_multiplier: the number of results for each channel.
    """

    depth_multiplier: int
    _kind, _depthwise = "depthwise_conv2d", "kernel"
    _stems: ClassVar[Mapping[str, str]] = {"kernel": "depthwise"}

    @declared
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
        self._check()

    def _options(self) -> dict[str, object]:
        return super()._options() | {"multiplier": self.depth_multiplier}


class SeparableConv2D(_Convolution):
    """A depthwise convolution and then a 1x1 convolution (Chollet 2017). Weights: ``depthwise_kernel`` (height, width,
    C, depth_multiplier), ``pointwise_kernel`` (1, 1, C * depth_multiplier, filters) and ``bias``.

    Args: as of ``Conv2D`` and ``DepthwiseConv2D``.
    """

    filters: int
    depth_multiplier: int
    _kind, _depthwise = "conv2d", "depthwise_kernel"
    _stems: ClassVar[Mapping[str, str]] = {"depthwise_kernel": "depthwise", "pointwise_kernel": "pointwise"}
    _weight_names: ClassVar[Mapping[str, str]] = {
        "depthwise.weight": "depthwise_kernel",
        "pointwise.weight": "pointwise_kernel",
        "pointwise.bias": "bias",
    }

    @declared
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
        self._check()

    def _linear(self, network: Network, operand: int, inference: bool) -> int:
        window = super()._options() | {"multiplier": self.depth_multiplier, "bias": False}
        depthwise = network.layer("depthwise_conv2d", f"{self.name}.depthwise", window, operand)
        options = {"filters": self.filters, "kernel": (1, 1), "bias": self.use_bias}
        return network.layer("conv2d", f"{self.name}.pointwise", options, depthwise)


class Conv2DTranspose(_Convolution):
    """What the gradient of a convolution does to that of its result: with ``strides`` images become larger. Weights:
    ``kernel`` (height, width, filters, C) and ``bias`` (filters,).

    Args: as of ``Conv2D``, and
        padding: ``"valid"`` gives H' = H * stride + max(height of the window - stride, 0), ``"same"`` H * stride.
        output_padding: None: as much as that takes.
    """

    filters: int
    _kind = "conv2d_transpose"
    _checks = {"output_padding": absent}

    @declared
    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = (1, 1),
        padding: str = "valid",
        output_padding: None = None,
        data_format: str | None = None,
        dilation_rate: Pair = (1, 1),
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
        self._check()

    def _options(self) -> dict[str, object]:
        return super()._options() | {"filters": self.filters}
