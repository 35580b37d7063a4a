"""Pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from .arguments import DATA_FORMAT, default
from .operation import Operation

if TYPE_CHECKING:
    from .arguments import Padding, Pair, Strides


class _Pooling(Operation):
    _kind = "pool2d"
    pool_size: Pair
    strides: Strides = default(None)
    padding: Padding = "valid"
    data_format: str | None = DATA_FORMAT

    def __post_init__(self) -> None:
        self.strides = self.strides or self.pool_size


class MaxPooling2D(_Pooling):
    """The maximum of each window of images (N, H, W, C).

    Args:
        pool_size: height and width of the window, or one number for both.
        strides: its steps; None is ``pool_size``.
        padding: ``"valid"`` for none, ``"same"`` for as much as gives ceil(H / stride) rows.
    """

    _constants: ClassVar[Mapping[str, object]] = {"kind": "max"}
    pool_size: Pair = default((2, 2))


class AveragePooling2D(_Pooling):
    """The mean of each window of images (N, H, W, C); padding does not count.

    Args: as of ``MaxPooling2D``.
    """

    # As in TensorFlow.
    _constants: ClassVar[Mapping[str, object]] = {"kind": "average", "count_include_pad": False}


class _GlobalPooling(Operation):
    _kind = "global_pool2d"
    data_format: str | None = DATA_FORMAT
    keepdims: bool = False


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over height and width: (N, H, W, C) becomes (N, C), or with ``keepdims`` (N, 1, 1, C)."""

    _constants: ClassVar[Mapping[str, object]] = {"kind": "average"}


class GlobalMaxPooling2D(_GlobalPooling):
    """The maximum over height and width: (N, H, W, C) becomes (N, C), or with ``keepdims`` (N, 1, 1, C)."""

    _constants: ClassVar[Mapping[str, object]] = {"kind": "max"}


MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
