"""Weights of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import _arrays
from .._interchange import Lender

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .. import _swiftcnn
    from .._arrays import Floats


class Variable(Lender):
    """One weight of a layer: a view. Reading copies, also by ``numpy.asarray`` and by DLPack, as in
    ``torch.from_dlpack(variable)``; ``assign`` changes the layer and every model it is in.

    Attributes:
        name: as ``"kernel"``.
        path: as ``"conv2d/kernel"``.
        parameter: the name in files and in ``Model.get_parameter``, as ``"conv2d.weight"``; of a layer within another
            the names of those around it come before: ``"block.conv2d.weight"``.
        shape: in Keras's layout: HWIO for convolutions, (height, width, channels, multiplier) for depthwise ones,
            (in, out) for dense layers.
    """

    dtype = "float32"

    def __init__(
        self,
        handle: _swiftcnn.Model,
        parameter: str,
        name: str,
        owner: str,
        stored_shape: tuple[int, ...],
        channels: int | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """``channels`` is the number of input channels of a depthwise convolution's weight, otherwise None; ``shape``
        is Keras's where it has the elements in the same order."""
        self.name = name
        self.path = f"{owner}/{name}"
        self.parameter = parameter
        self._handle = handle
        self._stored_shape = stored_shape
        rank = len(stored_shape)
        split, axes = stored_shape, (2, 3, 1, 0) if rank == 4 else tuple(range(rank)[::-1])
        if channels is not None:  # (channels * multiplier, 1, height, width), channel by channel
            split, axes = (channels, stored_shape[0] // channels, *stored_shape[2:]), (2, 3, 0, 1)
        elif shape is not None:
            split, axes = shape, tuple(range(len(shape)))
        # The axes as they are stored, and their order in Keras.
        self._split, self._axes = split, axes
        self.shape: tuple[int, ...] = tuple(split[axis] for axis in axes)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def trainable(self) -> bool:
        """Whether training changes it."""
        return is_trained(self._handle, self.parameter)

    def numpy(self) -> Floats:
        """A copy of the value, float32."""
        stored = np.empty(self._stored_shape, np.float32)
        self._handle.get_parameter(self.parameter, stored)
        return np.ascontiguousarray(stored.reshape(self._split).transpose(self._axes))

    value = numpy

    def assign(self, value: ArrayLike) -> None:
        """Replaces the value by one of the same shape.

        Raises:
            ValueError: another shape.
            TypeError: not numbers.
        """
        checked = _arrays.named(value, self.shape, self.path)
        stored = checked.transpose(np.argsort(self._axes)).reshape(self._stored_shape)
        self._handle.set_parameter(self.parameter, np.ascontiguousarray(stored))

    def __repr__(self) -> str:
        return f"<Variable path={self.path} shape={self.shape} dtype={self.dtype}>"


def is_trained(handle: _swiftcnn.Model, name: str) -> bool:
    """Whether training changes the parameter of a name."""
    row = handle.parameter(name)
    return row is not None and row[2]


def select(weights: Sequence[Variable], trainable: bool) -> list[Variable]:
    """Those weights that are trainable, or those that are not; each model is asked once."""
    handles = {id(weight._handle): weight._handle for weight in weights}
    flags = {(key, row[0]): row[2] for key, handle in handles.items() for row in handle.parameters()}
    return [weight for weight in weights if flags[id_of(weight)] == trainable]


def id_of(variable: Variable) -> tuple[int, str]:
    """What two views of one weight have in common."""
    return (id(variable._handle), variable.parameter)
