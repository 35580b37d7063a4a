"""Arrays of other libraries, taken without a copy: by DLPack, the buffer protocol or ``__array__``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _swiftcnn
from ._checks import ArgumentError, boolean

if TYPE_CHECKING:
    from ._arrays import Array

# DLPack's numbers for kinds of devices. What is pinned for a GPU is the processor's memory too.
_CPU = 1
_ON_CPU = (_CPU, 3, 11)
_DEVICES = {
    2: "cuda",
    4: "opencl",
    7: "vulkan",
    8: "metal",
    9: "vpi",
    10: "rocm",
    12: "ext_dev",
    13: "cuda_managed",
    14: "oneapi",
    15: "webgpu",
    16: "hexagon",
    17: "maia",
}
_NEWEST = (1, 0)


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Array:
    """The NumPy array that shares its memory with a tensor of another library, as
    ``swiftcnn.from_dlpack(torch.ones(3))``.

    Args:
        x: an object with ``__dlpack__``, or the capsule that such a method gave.
        device: None or ``"cpu"``: there is no other.
        copy: True makes an array of its own. None and False never copy.

    Returns:
        The array; it cannot be written to where the other library says so, or is too old to say (before DLPack 1).

    Raises:
        TypeError: no such object, or its elements are of a type that NumPy has not, as bfloat16; a ValueError too.
        ValueError: it is on another device, or what it gave is no DLPack tensor.
    """
    if device not in (None, "cpu"):
        raise ValueError(f"device must be None or 'cpu', got {device!r}")
    is_copy = copy is not None and boolean(copy, "copy")
    if type(x) is np.ndarray:
        array: Array = x.view()
    elif speaks_dlpack(x):
        _check_device(x, "x")
        array = _of_tensor(x, "x")
    elif type(x).__name__ == "PyCapsule":
        array = _of_capsule(x, "x")
    else:
        raise ArgumentError(f"x must be an object with __dlpack__ and __dlpack_device__, got {x!r}")
    return array.copy() if is_copy else array


def speaks_dlpack(value: object) -> bool:
    """Whether an object gives its memory by DLPack; a class does not."""
    return hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__") and not isinstance(value, type)


def is_array(value: object) -> bool:
    """Whether an object is an array, or gives its memory as one."""
    if any(hasattr(value, name) for name in ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")):
        return True
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def array_of(value: Any, name: str) -> Array:
    """``value`` as an array, whatever it holds: without a copy where it gives its memory. bfloat16, which NumPy has
    not, becomes float32.

    Raises:
        TypeError: it is on another device than the processor, or cannot be read; a ValueError too.
        ValueError: it is a list whose rows differ in length.
    """
    array = _as_it_is(value, name)
    if array.dtype.names == ("bfloat16",):
        return widened(array["bfloat16"])
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def widened(bits: Array) -> Array:
    """The float32 numbers of those of bfloat16 that have these bits, given as integers."""
    return np.asarray(bits.astype(np.uint32) << 16).view(np.float32)


def _as_it_is(value: Any, name: str) -> Array:
    """The same with bfloat16 in the types that ml_dtypes has for it, or as structures of its bits."""
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value)
    if not speaks_dlpack(value):
        if isinstance(value, (list, tuple)) and value and all(map(speaks_dlpack, value)):
            value = [array_of(each, f"{name}[{index}]") for index, each in enumerate(value)]
        return np.asarray(value)
    _check_device(value, name)
    try:
        return _of_tensor(value, name, takes_bfloat16=True)
    except ArgumentError:
        if hasattr(value, "__array__"):  # may give what cannot be given by DLPack
            with suppress(Exception):  # whatever the other library raises: the first reason is the better one
                return np.asarray(value)
        raise


def _of_tensor(value: Any, name: str, takes_bfloat16: bool = False) -> Array:
    try:
        try:
            capsule = value.__dlpack__(max_version=_NEWEST)
        except TypeError:  # from before version 1, which had no such argument
            capsule = value.__dlpack__()
    except Exception as error:  # whatever the other library raises
        raise ArgumentError(f"{name}: {type(value).__name__}.__dlpack__ failed: {error}") from error
    return _of_capsule(capsule, name, takes_bfloat16)


def _of_capsule(capsule: object, name: str, takes_bfloat16: bool = False) -> Array:
    try:
        return np.asarray(_swiftcnn.from_dlpack(capsule, takes_bfloat16))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name}: {error}") from None


def _check_device(value: Any, name: str) -> None:
    try:
        kind, number = value.__dlpack_device__()
        kind, number = int(kind), int(number)
    except Exception as error:  # of devices that DLPack does not know
        raise ArgumentError(f"{name} must be in the memory of the CPU, but does not say where it is: {error}") from None
    if kind not in _ON_CPU:
        device = f"{_DEVICES.get(kind, f'type {kind}')}:{number}"
        raise ArgumentError(f"{name} must be in the memory of the CPU, got {_described(value)} on device {device}")


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{type(value).__name__} of shape {tuple(shape)}"


class Lender:
    """What has values of its own and gives copies of them: ``numpy`` is all it needs."""

    def numpy(self) -> Array:
        """A copy of the values."""
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"{self!r} cannot be read without a copy")
        return np.asarray(self.numpy(), dtype)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The CPU."""
        return (_CPU, 0)

    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """A DLPack capsule with a copy of the values, in the form of version 1 where ``max_version`` says that the
        caller knows it.

        Raises:
            BufferError: a ``stream``, another device than the CPU or ``copy=False`` is asked for.
        """
        if stream is not None:
            raise BufferError(f"stream must be None on the CPU, got {stream!r}")
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            raise BufferError(f"{self!r} is on the CPU and cannot be given on device {dl_device!r}")
        if copy is False:
            raise BufferError(f"{self!r} cannot be given without a copy")
        return _swiftcnn.to_dlpack(self.numpy(), max_version is not None and max_version[0] >= _NEWEST[0], True)
