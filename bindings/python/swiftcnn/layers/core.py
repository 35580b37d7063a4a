"""Inputs, dense layers, dropout, and changes of shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .._checks import choice, integer
from .._described import CHECKS
from .._names import unique_name
from .._symbolic import Tensor
from .arguments import DATA_FORMAT, NOTHING, default, pair
from .base import Layer, batched, shape_of
from .operation import KernelLayer, Operation

if TYPE_CHECKING:
    from .._described import Size
    from .._symbolic import Network
    from .arguments import ActivationLike, Shape, Sides


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


class Dense(KernelLayer):
    """``activation(x @ kernel + bias)`` over the last axis. Weights: ``kernel`` (features, units), ``bias`` (units,).

    Args:
        units: the size of the result's last axis.
        activation: a name or function of ``swiftcnn.activations``.
    """

    _kind = "dense"
    units: Size
    activation: ActivationLike = default(None)
    use_bias: bool = True


class Dropout(Operation):
    """In training each element is zero with probability ``rate`` and the others are divided by 1 - rate; in inference
    nothing happens (Srivastava et al. 2014).

    Args:
        rate: 0 to 1; it may be changed until a model is made.
        noise_shape: None: every element by itself.
        seed: not used: the numbers depend on the seed of ``compile``, the step and the layer's place in the network.
    """

    _kind, _acts_in_training_alone = "dropout", True
    rate: float
    noise_shape: None = NOTHING
    seed: int | None = None

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        return super()._define(network, operand, inference or self.rate == 0)


class Flatten(Operation):
    """All axes but the batch in one: (N, H, W, C) becomes (N, H * W * C)."""

    _kind = "reshape"
    _constants: ClassVar[Mapping[str, object]] = {"shape": [-1]}
    data_format: str | None = DATA_FORMAT


def _shape(value: Any, name: str) -> tuple[int, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise ValueError(f"{name} must be a tuple of whole numbers, got {value!r}")
    shape = tuple(integer(size, name, minimum=-1) for size in value)
    if shape.count(-1) > 1 or 0 in shape:
        raise ValueError(f"{name} must have positive sizes and at most one -1, got {shape}")
    return shape


CHECKS["Shape"] = _shape


class Reshape(Operation):
    """Another shape for the same elements.

    Args:
        target_shape: without the batch; one size may be -1, which makes it what is left.
    """

    _kind = "reshape"
    target_shape: Shape


def _sides(padding: Any, name: str) -> tuple[tuple[int, ...], ...]:
    if not isinstance(padding, (list, tuple)):
        return (pair(padding, name, minimum=0),) * 2
    if len(padding) != 2:
        raise ValueError(f"{name} must be a number, two numbers or two pairs, got {padding!r}")
    return tuple(pair(side, name, minimum=0) for side in padding)


CHECKS["Sides"] = _sides


class ZeroPadding2D(Operation):
    """Rows and columns of zeros around images (N, H, W, C).

    Args:
        padding: one number for all sides; two, for (top and bottom, left and right); or ((top, bottom), (left, right)).
    """

    _kind = "zero_pad"
    padding: Sides = default((1, 1))
    data_format: str | None = DATA_FORMAT

    def _options(self) -> dict[str, object]:
        (top, bottom), (left, right) = self.padding
        return {"padding": [top, left, bottom, right]}


class Identity(Operation):
    """What it is given."""

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        return operand
