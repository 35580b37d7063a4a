"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from .arguments import DATA_FORMAT, NOTHING, default
from .operation import ActivatedLayer, KernelLayer

if TYPE_CHECKING:
    from .._described import Size
    from .._symbolic import Network
    from .arguments import ActivationLike, InitializerLike, Padding, Pair, RegularizerLike


class _Convolution(ActivatedLayer):
    def __post_init__(self) -> None:
        strides, dilation = vars(self)["strides"], vars(self)["dilation_rate"]
        if max(strides) > 1 and max(dilation) > 1:
            raise ValueError(f"strides {strides} and dilation_rate {dilation} cannot both be above 1")


class Conv2D(KernelLayer, _Convolution):
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

    _kind = "conv2d"
    filters: Size
    kernel_size: Pair
    strides: Pair = default((1, 1))
    padding: Padding = "valid"
    data_format: str | None = DATA_FORMAT
    dilation_rate: Pair = default((1, 1))
    groups: Size = 1
    activation: ActivationLike = default(None)
    use_bias: bool = True


class DepthwiseConv2D(_Convolution):
    """A convolution of each channel by itself, which gives C * depth_multiplier channels. Weights: ``kernel`` (height,
    width, C, depth_multiplier) and ``bias``.

    Args: as of ``Conv2D``, and
        depth_multiplier: the number of results for each channel.
    """

    _kind, _depthwise = "depthwise_conv2d", "kernel"
    _stems: ClassVar[Mapping[str, str]] = {"kernel": "depthwise"}
    kernel_size: Pair
    strides: Pair = default((1, 1))
    padding: Padding = "valid"
    depth_multiplier: Size = 1
    data_format: str | None = DATA_FORMAT
    dilation_rate: Pair = default((1, 1))
    activation: ActivationLike = default(None)
    use_bias: bool = True
    depthwise_initializer: InitializerLike = default("glorot_uniform")
    bias_initializer: InitializerLike = default("zeros")
    depthwise_regularizer: RegularizerLike = default(None)
    bias_regularizer: RegularizerLike = default(None)
    activity_regularizer: None = NOTHING
    depthwise_constraint: None = NOTHING
    bias_constraint: None = NOTHING


class SeparableConv2D(_Convolution):
    """A depthwise convolution and then a 1x1 convolution (Chollet 2017). Weights: ``depthwise_kernel`` (height, width,
    C, depth_multiplier), ``pointwise_kernel`` (1, 1, C * depth_multiplier, filters) and ``bias``.

    Args: as of ``Conv2D`` and ``DepthwiseConv2D``.
    """

    _kind, _depthwise = "conv2d", "depthwise_kernel"
    _stems: ClassVar[Mapping[str, str]] = {"depthwise_kernel": "depthwise", "pointwise_kernel": "pointwise"}
    _weight_names: ClassVar[Mapping[str, str]] = {
        "depthwise.weight": "depthwise_kernel",
        "pointwise.weight": "pointwise_kernel",
        "pointwise.bias": "bias",
    }
    filters: Size
    kernel_size: Pair
    strides: Pair = default((1, 1))
    padding: Padding = "valid"
    data_format: str | None = DATA_FORMAT
    dilation_rate: Pair = default((1, 1))
    depth_multiplier: Size = 1
    activation: ActivationLike = default(None)
    use_bias: bool = True
    depthwise_initializer: InitializerLike = default("glorot_uniform")
    pointwise_initializer: InitializerLike = default("glorot_uniform")
    bias_initializer: InitializerLike = default("zeros")
    depthwise_regularizer: RegularizerLike = default(None)
    pointwise_regularizer: RegularizerLike = default(None)
    bias_regularizer: RegularizerLike = default(None)
    activity_regularizer: None = NOTHING
    depthwise_constraint: None = NOTHING
    pointwise_constraint: None = NOTHING
    bias_constraint: None = NOTHING

    def _linear(self, network: Network, operand: int, inference: bool) -> int:
        window = self._options() | {"bias": False}
        pointwise = {"filters": window.pop("filters"), "kernel": (1, 1), "bias": self.use_bias}
        depthwise = network.layer("depthwise_conv2d", f"{self.name}.depthwise", window, operand)
        return network.layer("conv2d", f"{self.name}.pointwise", pointwise, depthwise)


class Conv2DTranspose(KernelLayer, _Convolution):
    """What the gradient of a convolution does to that of its result: with ``strides`` images become larger. Weights:
    ``kernel`` (height, width, filters, C) and ``bias`` (filters,).

    Args: as of ``Conv2D``, and
        padding: ``"valid"`` gives H' = H * stride + max(height of the window - stride, 0), ``"same"`` H * stride.
        output_padding: None: as much as that takes.
    """

    _kind = "conv2d_transpose"
    filters: Size
    kernel_size: Pair
    strides: Pair = default((1, 1))
    padding: Padding = "valid"
    output_padding: None = NOTHING
    data_format: str | None = DATA_FORMAT
    dilation_rate: Pair = default((1, 1))
    activation: ActivationLike = default(None)
    use_bias: bool = True
