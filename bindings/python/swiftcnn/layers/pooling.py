"""Pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Unpack

from .arguments import declared, optional, pair
from .operation import Operation

if TYPE_CHECKING:
    from .arguments import Pair
    from .base import LayerOptions, UnnamedOptions


class _Pooling(Operation):
    pool_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    _kind = "pool2d"
    _checks = {"strides": optional(pair)}
    _how: ClassVar[str]

    @declared
    def __init__(
        self,
        pool_size: Pair,
        strides: Pair | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **options: Unpack[UnnamedOptions],
    ) -> None:
        self._check()

    def _check(self) -> None:
        if vars(self)["strides"] is None:
            self.strides = self.pool_size

    def _options(self) -> dict[str, object]:
        # Padding does not count in a mean, as in TensorFlow.
        exclusive = {"count_include_pad": False} if self._how == "average" else {}
        padding = {"padding": "same"} if self.padding.lower() == "same" else {}
        return {"kind": self._how, "kernel": self.pool_size, "stride": self.strides, **exclusive, **padding}


class MaxPooling2D(_Pooling):
    """The maximum of each window of images (N, H, W, C).

    Args:
        pool_size: height and width of the window, or one number for both.
        strides: its steps; None is ``pool_size``.
        padding: ``"valid"`` for none, ``"same"`` for as much as gives ceil(H / stride) rows.
    """

    _how = "max"

    @declared
    def __init__(
        self,
        pool_size: Pair = (2, 2),
        strides: Pair | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **options: Unpack[UnnamedOptions],
    ) -> None:
        self._check()


class AveragePooling2D(_Pooling):
    """The mean of each window of images (N, H, W, C); padding does not count.

    Args: as of ``MaxPooling2D``.
    """

    _how = "average"


class _GlobalPooling(Operation):
    keepdims: bool
    _kind = "global_pool2d"
    _how: ClassVar[str]

    @declared
    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Unpack[LayerOptions]) -> None:
        pass

    def _options(self) -> dict[str, object]:
        return {"kind": self._how, "keep_axes": self.keepdims}


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over height and width: (N, H, W, C) becomes (N, C), or with ``keepdims`` (N, 1, 1, C)."""

    _how = "average"


class GlobalMaxPooling2D(_GlobalPooling):
    """The maximum over height and width: (N, H, W, C) becomes (N, C), or with ``keepdims`` (N, 1, 1, C)."""

    _how = "max"


MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
