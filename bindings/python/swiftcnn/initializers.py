"""Initial values of weights, with Keras's names, arguments and distributions. Each is called with a shape in Keras's
layout and gives float32; your own may be any such function. The library draws them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _random, _swiftcnn
from ._checks import choice, integer
from ._config import Described, chosen
from ._described import WithOptions
from ._names import class_name

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

    def _settings(self) -> str:
        """What the library knows it by."""
        raise NotImplementedError

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        """Values of a shape, float32.

        Raises:
            ValueError: no shape, or one that the initializer has no values for.
        """
        if isinstance(shape, (str, bytes)) or not isinstance(shape, (Sequence, np.ndarray)):
            raise ValueError(f"shape must be a tuple of whole numbers, got {shape!r}")
        choice(dtype, "dtype", (None, "float32", np.float32))
        values = np.empty(tuple(integer(size, "shape") for size in shape), np.float32)
        _swiftcnn.initial_values(self._settings(), _random.next_seed() if self.seed is None else self.seed, values)
        return values


class CoreInitializer(WithOptions, Initializer):
    """One of those that the library draws by name."""

    def _settings(self) -> str:
        kind = next(kind for kind in type(self).__mro__ if kind.__module__ == __name__)
        options = {name: getattr(self, name) for name in self._arguments if name != "seed"}
        return json.dumps({"name": class_name(kind), **options})


class Constant(CoreInitializer):
    """The same value everywhere."""

    value: float = 0.0


class Zeros(CoreInitializer):
    """Zeros."""


class Ones(CoreInitializer):
    """Ones."""


class RandomNormal(CoreInitializer):
    """Normal with this mean and standard deviation."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: Count | None = None


class TruncatedNormal(RandomNormal):
    """Normal, with values beyond two standard deviations drawn again."""


class RandomUniform(CoreInitializer):
    """Uniform from ``minval`` to ``maxval``."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: Count | None = None


class VarianceScaling(CoreInitializer):
    """A variance of ``scale`` divided by the number of inputs, outputs or their mean.

    Args:
        scale: above 0.
        mode: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``.
        distribution: ``"truncated_normal"`` (or ``"normal"``), ``"untruncated_normal"`` or ``"uniform"``.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: Count | None = None

    def __post_init__(self) -> None:
        _swiftcnn.initial_values(self._settings(), 0, None)  # the library looks at them


class _Seeded(CoreInitializer):
    seed: Count | None = None


class GlorotUniform(_Seeded):
    """Uniform with a variance of 2 / (inputs + outputs) (Glorot and Bengio 2010, eq. 16)."""


class GlorotNormal(_Seeded):
    """Truncated normal with a variance of 2 / (inputs + outputs)."""


class HeUniform(_Seeded):
    """Uniform with a variance of 2 / inputs (He et al. 2015, eq. 10)."""


class HeNormal(_Seeded):
    """Truncated normal with a variance of 2 / inputs."""


class LecunUniform(_Seeded):
    """Uniform with a variance of 1 / inputs (LeCun et al. 1998)."""


class LecunNormal(_Seeded):
    """Truncated normal with a variance of 1 / inputs."""


class Orthogonal(CoreInitializer):
    """A matrix with orthonormal rows or columns (Saxe et al. 2014), all axes but the last taken together."""

    gain: float = 1.0
    seed: Count | None = None


class Identity(CoreInitializer):
    """The identity matrix times ``gain``."""

    gain: float = 1.0


_INITIALIZERS: dict[str, Callable[..., Initializer]] = {
    class_name(globals()[name]): globals()[name] for name in __all__ if name != "Initializer"
}


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
    return GlorotUniform() if initializer is None else chosen(initializer, name, Initializer, _INITIALIZERS, _Function)
