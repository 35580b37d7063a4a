"""Pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Unpack

from .._checks import boolean
from .base import LayerOptions, UnnamedOptions
from .convolution import check_format, padding_option, pair
from .operation import Operation

if TYPE_CHECKING:
    from .._symbolic import Network
    from .convolution import Pair


class _Pooling(Operation):
    _kind: ClassVar[str]

    def __init__(
        self,
        pool_size: Pair,
        strides: Pair | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **options: Unpack[UnnamedOptions],
    ) -> None:
        super().__init__(name=name, **options)
        check_format(data_format)
        self.pool_size = tuple(pair(pool_size, "pool_size"))
        self.strides = self.pool_size if strides is None else tuple(pair(strides, "strides"))
        self.padding = padding
        self._options = padding_option(padding)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        # Padding does not count in a mean, as in TensorFlow.
        exclusive = {"count_include_pad": False} if self._kind == "average" else {}
        options = {"kind": self._kind, "kernel": list(self.pool_size), "stride": list(self.strides)}
        return network.layer("pool2d", self.name, options | exclusive | self._options, operand)


class MaxPooling2D(_Pooling):
    """The maximum of each window of images (N, H, W, C).

    Args:
        pool_size: height and width of the window, or one number for both.
        strides: its steps; None is ``pool_size``.
        padding: ``"valid"`` for none, ``"same"`` for as much as gives ceil(H / stride) rows.
    """

    _kind = "max"

    def __init__(
        self,
        pool_size: Pair = (2, 2),
        strides: Pair | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **options: Unpack[UnnamedOptions],
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **options)


class AveragePooling2D(_Pooling):
    """The mean of each window of images (N, H, W, C); padding does not count.

    Args: as of ``MaxPooling2D``.
    """

    _kind = "average"


class _GlobalPooling(Operation):
    _kind: ClassVar[str]

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        check_format(data_format)
        self.keepdims = boolean(keepdims, "keepdims")

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        return network.layer("global_pool2d", self.name, {"kind": self._kind, "keep_axes": self.keepdims}, operand)


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over height and width: (N, H, W, C) becomes (N, C), or with ``keepdims`` (N, 1, 1, C)."""

    _kind = "average"


class GlobalMaxPooling2D(_GlobalPooling):
    """The maximum over height and width: (N, H, W, C) becomes (N, C), or with ``keepdims`` (N, 1, 1, C)."""

    _kind = "max"


MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
