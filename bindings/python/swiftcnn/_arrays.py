"""From what a caller gives to what the library takes: dense row-major arrays of float32, int32 or uint8.

An array that is already such is not copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._checks import ArgumentError, integer, number
from ._interchange import array_of, is_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from . import _swiftcnn

    Array = NDArray[Any]
    Floats = NDArray[np.float32]
    Samples = Array | tuple[Array, ...]  # what a model reads: of several inputs an array for each


def count_of(x: Samples | Data) -> int:
    """The number of samples."""
    return count_of(x[0]) if isinstance(x, tuple) else len(x)


def part_of(x: Samples, chosen: slice | Array) -> Samples:
    """Some of the samples: those of a slice without a copy, or copies of those at some places."""
    return tuple(array[chosen] for array in x) if isinstance(x, tuple) else x[chosen]


def shapes_of(x: Samples) -> list[tuple[int, ...]]:
    """The shape of the array for each input."""
    return [array.shape for array in x] if isinstance(x, tuple) else [x.shape]


class Data(NamedTuple):
    """Images, targets and perhaps a weight an image, as the library takes them."""

    x: Samples
    y: Array
    sample_weight: Floats | None

    @property
    def samples(self) -> int:
        """How many there are."""
        return count_of(self.x)

    def part(self, chosen: slice | Array) -> Data:
        """Some of the samples, as ``part_of``."""
        weight = self.sample_weight
        return Data(part_of(self.x, chosen), self.y[chosen], None if weight is None else weight[chosen])


def numeric(value: ArrayLike | None, name: str) -> Array:
    """``value`` as an array of booleans, integers or floats. What another library holds is not copied: all that speaks
    DLPack, the buffer protocol or ``__array__``.

    Raises:
        TypeError: it is None, on a GPU, or holds objects, strings, complex numbers, dates...
        ValueError: it is a list whose rows differ in length.
    """
    if value is None:
        raise ArgumentError(f"{name} is missing: expected an array")
    try:
        array = array_of(value, name)
    except ArgumentError:
        raise
    except ValueError as error:
        raise ValueError(f"{name}: cannot be made an array: {error}") from None
    if array.dtype.kind not in "buif":
        hint = "; cast it to float32 first" if "float" in array.dtype.name else ""
        raise ArgumentError(f"{name} must hold numbers, got an array of dtype {array.dtype}{hint}")
    return array


def dense(array: Array, dtype: DTypeLike) -> Array:
    """The array with this dtype, row-major and aligned; itself where it is so already."""
    if array.dtype == dtype and array.flags.carray:  # also writable; that asks for all at once
        return array
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes an infinity, as elsewhere in NumPy
        return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


def _images(x: ArrayLike | None, model: _swiftcnn.Model, shape: tuple[int, ...], pixels: bool, name: str) -> Array:
    """Samples (N, *shape) as an input of a model takes them: integers as pixels, uint8, which must be from 0 to 255
    where the model normalises those; floats as they stand, float32; of an input that takes no pixels all are that.

    Raises:
        TypeError: not numbers.
        ValueError: no batch axis, another shape, no images, or integers that are no pixels.
    """
    array = numeric(x, name)
    if array.ndim == 0 or not _fits(array.shape[1:], shape):
        wanted = "(N, " + ", ".join("any" if size < 0 else str(size) for size in shape) + ")"
        if _fits(array.shape, shape):
            raise ValueError(
                f"{name} has no batch axis: expected {wanted}, got {array.shape}; for one image give {name}[None]"
            )
        hint = ""
        if array.ndim == 4 and _fits((*array.shape[2:], array.shape[1]), shape):
            call = "permute" if hasattr(x, "permute") else "transpose"
            hint = f"; channels come last: give {name.rpartition(': ')[2]}.{call}(0, 2, 3, 1)"
        raise ValueError(f"{name}: expected shape {wanted}, got {array.shape}{hint}")
    if array.shape[0] == 0:
        raise ValueError(f"{name} holds no images: its shape is {array.shape}")
    return dense(array, _dtype(array, model, pixels, name))


def _fits(got: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a shape is the wanted one, of which -1 may be any size."""
    if len(got) != len(wanted):
        return False
    return got == wanted or all(size in (-1, have) for size, have in zip(wanted, got, strict=True))


def _dtype(array: Array, model: _swiftcnn.Model, pixels: bool, name: str) -> str:
    is_byte, kind = array.dtype == np.uint8, array.dtype.kind
    if not pixels:  # Integers for an image stay what they are: the library says that it takes none.
        return "float32" if array.ndim != 4 or kind in "bf" else "uint8" if is_byte else "int32"
    if is_byte or kind == "f":
        return "uint8" if is_byte else "float32"
    smallest, largest = (max(-(2**63), min(int(end), 2**63 - 1)) for end in (array.min(), array.max()))
    try:
        dtype = model.integer_dtype(smallest, largest)
    except ValueError as error:
        raise ValueError(f"{name}{str(error).removeprefix('x')}") from None
    if kind == "b" and dtype == "uint8":
        raise ArgumentError(
            f"{name} holds booleans, which are neither pixels nor what becomes of them: give "
            f"{name}.astype('uint8') * 255 for black and white, or {name}.astype('float32') as it stands"
        )
    return dtype


def samples(x: Any, model: _swiftcnn.Model, name: str = "x") -> Samples:
    """What a model of the library reads: an array, of several inputs a list of arrays in their order or a dictionary by
    their names.

    Raises:
        TypeError: not numbers, or no list or dictionary of arrays.
        ValueError: arrays are missing or left over, one has another shape, or they differ in the number of samples.
    """
    inputs = model.inputs()
    if len(inputs) == 1 and not isinstance(x, Mapping):
        return _images(x, model, *inputs[0][1:], name)
    names = [key for key, *_ in inputs]
    if isinstance(x, Mapping):
        if unknown := [key for key in x if key not in names]:
            raise ValueError(f"{name} has no input {unknown[0]!r} to give it to: expected {_listed(names)}")
        if missing := [key for key in names if key not in x]:
            raise ValueError(f"{name} has nothing for the input {missing[0]!r}: expected {_listed(names)}")
        if len(inputs) == 1:
            return samples(x[names[0]], model, name)
        x = [x[key] for key in names]
    if not isinstance(x, (list, tuple)):
        kind = f"an array of shape {np.shape(x)}" if is_array(x) else repr(type(x).__name__)
        raise ArgumentError(f"{name} must be a list or a dictionary of arrays for {_listed(names)}, got {kind}")
    if len(x) != len(names):
        raise ValueError(f"{name} must have an array for each of {_listed(names)}, got {len(x)}")
    arrays = [
        _images(array, model, shape, pixels, f"{name}[{key!r}]")
        for array, (key, shape, pixels) in zip(x, inputs, strict=True)
    ]
    for key, array in zip(names, arrays, strict=True):
        if len(array) != len(arrays[0]):
            raise ValueError(
                f"{name} has {len(arrays[0])} samples of {names[0]!r} and {len(array)} of {key!r}: expected as many of "
                "each"
            )
    return tuple(arrays)


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} inputs, {', '.join(map(repr, names))}" if len(names) > 1 else f"the input {names[0]!r}"


def targets(y: ArrayLike | None, output_shape: tuple[int, ...], name: str = "y") -> Array:
    """Targets for an output of this shape: labels as int32 of the shape without its last axis, others as float32 of
    that shape.

    Where the output gives several classes, one number for each distribution is a label: an integer of any dtype, or a
    float that holds one. So labels are (N,), or (N, 1), for an output (N, classes).

    Raises:
        TypeError: not numbers.
        ValueError: NaN, a label that is no class, another number of images or another shape.
    """
    array = numeric(y, name)
    count, classes, rest = output_shape[0], output_shape[-1], output_shape[:-1]
    if array.ndim == 0 or array.shape[0] != count:
        raise ValueError(f"{name}: expected targets for {count} images, got shape {array.shape}")
    is_list = array.shape in (rest, (*rest, 1))
    if is_list and classes > 1:
        return dense(labels(array.reshape(rest), classes, name), np.int32)
    if not is_list and array.shape != output_shape:
        raise ValueError(f"{name}: expected labels {rest} or targets {output_shape}, got shape {array.shape}")
    result = dense(array, np.float32).reshape(output_shape)
    _check_finite(result, name)
    return result


def labels(array: Array, classes: int | None, name: str) -> Array:
    """Labels as they are, which must be whole numbers from 0 to ``classes`` - 1; with None any from 0 on.

    Raises:
        ValueError: one is not.
    """
    if array.dtype.kind == "f":
        _check_finite(array, name)
        _refuse(array, array != np.floor(array), name, "a label must be a whole number")
    elif array.dtype.kind == "b":
        return array
    if classes is None:
        _refuse(array, array < 0, name, "labels must be 0 or more")
    elif array.size and (array.min() < 0 or array.max() >= classes):
        _refuse(array, (array < 0) | (array >= classes), name, f"labels must be in 0 to {classes - 1}")
    return array


def _check_finite(array: Array, name: str) -> None:
    if not np.isfinite(array).all():
        _refuse(array, ~np.isfinite(array), name, "it must be finite")


def _refuse(array: Array, wrong: Array, name: str, rule: str) -> None:
    """Raises for the first element that is wrong, if any is."""
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise ValueError(f"{name}[{', '.join(map(str, place))}] is {array[place]}: {rule}")


def weights(
    sample_weight: ArrayLike | None, class_weight: Mapping[int, float] | None, y: Array, name: str = "sample_weight"
) -> Floats | None:
    """One float32 weight an image: its sample weight times the weight of its class, each 1 where not given.

    Raises:
        TypeError: not numbers, or ``class_weight`` is no mapping.
        ValueError: not one finite number an image, or class weights where an image has not one class.
    """
    result: Floats | None = None
    if sample_weight is not None:
        array = numeric(sample_weight, name)
        if array.shape not in ((len(y),), (len(y), 1)):
            raise ValueError(f"{name}: expected shape ({len(y)},), one weight an image, got {array.shape}")
        result = dense(array.reshape(len(y)), np.float32)
        _check_finite(result, name)
    if class_weight is not None:
        factors = _class_weights(class_weight, y)
        result = factors if result is None else result * factors
    return result


def _class_weights(class_weight: Mapping[int, float], y: Array) -> Floats:
    if not isinstance(class_weight, Mapping):
        raise ArgumentError(f"class_weight must be a dictionary of class to weight, got {class_weight!r}")
    if y.ndim == 2:  # as in Keras: of one number the nearest integer, of several the place of the largest
        classes = np.rint(y[:, 0]) if y.shape[1] == 1 else y.argmax(axis=1)
    elif y.ndim == 1:
        classes = y
    else:
        raise ValueError(f"class_weight needs one class an image, got targets of shape {y.shape}")
    factors = np.ones(len(y), np.float32)
    for label, weight in class_weight.items():
        label = integer(label, "a key of class_weight")
        factors[classes == label] = number(weight, f"class_weight[{label}]")
    return factors


def named(value: ArrayLike, shape: tuple[int, ...], name: str) -> Floats:
    """The value of a parameter, which must have its shape."""
    array = numeric(value, name)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return dense(array, np.float32)
