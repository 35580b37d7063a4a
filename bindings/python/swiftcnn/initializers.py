"""Initial values of weights, with Keras's names, arguments and distributions. Each is called with a shape in Keras's
layout and gives float32; your own may be any such function. The library draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _random, _swiftcnn
from ._checks import choice, integer
from ._config import Described, chosen, told
from ._described import WithOptions, core

if TYPE_CHECKING:
    from ._arrays import Array
    from ._described import Count

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
]
__dir__ = __all__.copy  # what completion offers


class Initializer(Described):
    """The base of all initializers.

    Args:
        seed: None takes one of those that ``utils.set_random_seed`` begins; a number gives the same values at every
            call.
    """

    seed: int | None = None

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else integer(seed, "seed")

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        """Values of a shape, float32.

        Raises:
            ValueError: no shape, or one that the initializer has no values for.
        """
        raise NotImplementedError


class CoreInitializer(WithOptions, Initializer, section="initializers"):
    """One of those that the library draws by name."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        if isinstance(shape, (str, bytes)) or not isinstance(shape, (Sequence, np.ndarray)):
            raise ValueError(f"shape must be a tuple of whole numbers, got {shape!r}")
        choice(dtype, "dtype", (None, "float32", np.float32))
        values = np.empty(tuple(integer(size, "shape") for size in shape), np.float32)
        seed = _random.next_seed() if self.seed is None else self.seed
        _swiftcnn.initial_values(told({"name": self._place[1], **self._told()}), seed, values)
        return values


class Constant(CoreInitializer, kind="constant"):
    """The same value everywhere."""

    value: float = core()


class Zeros(CoreInitializer, kind="zeros"):
    """Zeros."""


class Ones(CoreInitializer, kind="ones"):
    """Ones."""


class RandomNormal(CoreInitializer, kind="random_normal"):
    """Normal with this mean and standard deviation."""

    mean: float = core()
    stddev: float = core()
    seed: Count | None = None


class TruncatedNormal(RandomNormal, kind="truncated_normal"):
    """Normal, with values beyond two standard deviations drawn again."""


class RandomUniform(CoreInitializer, kind="random_uniform"):
    """Uniform from ``minval`` to ``maxval``."""

    minval: float = core()
    maxval: float = core()
    seed: Count | None = None


class VarianceScaling(CoreInitializer, kind="variance_scaling"):
    """A variance of ``scale`` divided by the number of inputs, outputs or their mean."""

    scale: float = core()
    mode: str = core()
    distribution: str = core()
    seed: Count | None = None


class _Seeded(CoreInitializer):
    seed: Count | None = None


class GlorotUniform(_Seeded, kind="glorot_uniform"):
    """Uniform with a variance of 2 / (inputs + outputs) (Glorot and Bengio 2010, eq. 16)."""


class GlorotNormal(_Seeded, kind="glorot_normal"):
    """Truncated normal with a variance of 2 / (inputs + outputs)."""


class HeUniform(_Seeded, kind="he_uniform"):
    """Uniform with a variance of 2 / inputs (He et al. 2015, eq. 10)."""


class HeNormal(_Seeded, kind="he_normal"):
    """Truncated normal with a variance of 2 / inputs."""


class LecunUniform(_Seeded, kind="lecun_uniform"):
    """Uniform with a variance of 1 / inputs (LeCun et al. 1998)."""


class LecunNormal(_Seeded, kind="lecun_normal"):
    """Truncated normal with a variance of 1 / inputs."""


class Orthogonal(CoreInitializer, kind="orthogonal"):
    """A matrix with orthonormal rows or columns (Saxe et al. 2014), all axes but the last taken together."""

    gain: float = core()
    seed: Count | None = None


class Identity(CoreInitializer, kind="identity"):
    """The identity matrix times ``gain``."""

    gain: float = core()


class _Function(Initializer):
    """A function of the user."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        values = _arrays.numeric(self.function(tuple(shape), "float32"), "what the initializer gave")
        return np.asarray(values, np.float32)


def get(
    initializer: str | Initializer | Mapping[str, Any] | Callable[..., Any] | None, name: str = "initializer"
) -> Initializer:
    """The initializer with a name as ``"he_normal"``, or the one given, or told by a layer's configuration as
    ``{"class_name": "HeNormal", "config": {...}}``; None is ``GlorotUniform``.

    Args:
        name: what the argument is called, for messages.

    Raises:
        ValueError: the name is not known, or it is neither a name nor a function.
    """
    if initializer is None:
        return GlorotUniform()
    return chosen(initializer, name, Initializer, CoreInitializer._kinds, _Function)
