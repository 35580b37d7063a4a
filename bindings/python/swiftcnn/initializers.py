"""Initial values of weights, with Keras's names, arguments and distributions. Each is called with a shape in Keras's
layout and gives float32; your own may be any such function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _random
from ._checks import choice, entry, integer, number
from ._config import Described

if TYPE_CHECKING:
    from ._arrays import Array

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


class Initializer(Described):
    """The base of all initializers.

    Args:
        seed: None draws from the generator that ``utils.set_random_seed`` seeds; a number gives the same values at
            every call.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else integer(seed, "seed")

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        """Values of a shape, float32.

        Raises:
            ValueError: no shape, or one that the initializer has no values for.
        """
        if isinstance(shape, (str, bytes)) or not isinstance(shape, (Sequence, np.ndarray)):
            raise ValueError(f"shape must be a tuple of whole numbers, got {shape!r}")
        choice(dtype, "dtype", (None, "float32", np.float32))
        sizes = tuple(integer(size, "shape") for size in shape)
        generator = _random.generator() if self.seed is None else _random.seeded(self.seed)
        return np.asarray(self._values(sizes, generator), np.float32)

    def _values(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no values")


class Constant(Initializer):
    """The same value everywhere."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = number(value, "value")

    seed = None

    def _values(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return np.full(shape, self.value, np.float32)


class Zeros(Constant):
    """Zeros."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def get_config(self) -> dict[str, Any]:
        return {}


class Ones(Constant):
    """Ones."""

    def __init__(self) -> None:
        super().__init__(1.0)

    def get_config(self) -> dict[str, Any]:
        return {}


class RandomNormal(Initializer):
    """Normal with this mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = number(mean, "mean")
        self.stddev = number(stddev, "stddev")

    def _values(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return self.mean + self.stddev * generator.standard_normal(shape, np.float32)


class TruncatedNormal(RandomNormal):
    """Normal, with values beyond two standard deviations drawn again."""

    def _values(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return self.mean + self.stddev * _truncated(shape, generator)


class RandomUniform(Initializer):
    """Uniform from ``minval`` to ``maxval``."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval = number(minval, "minval")
        self.maxval = number(maxval, "maxval")

    def _values(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return self.minval + (self.maxval - self.minval) * generator.random(shape, np.float32)


class VarianceScaling(Initializer):
    """A variance of ``scale`` divided by the number of inputs, outputs or their mean.

    Args:
        scale: above 0.
        mode: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``.
        distribution: ``"truncated_normal"`` (or ``"normal"``), ``"untruncated_normal"`` or ``"uniform"``.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.scale = number(scale, "scale")
        self.mode = choice(mode, "mode", ("fan_in", "fan_out", "fan_avg"))
        kinds = ("truncated_normal", "untruncated_normal", "uniform", "normal")
        self.distribution = choice(distribution, "distribution", kinds)
        if self.scale <= 0:
            raise ValueError(f"scale must be above 0, got {self.scale}")

    def _values(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        fan_in, fan_out = _fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return limit * (2 * generator.random(shape, np.float32) - 1)
        if self.distribution == "untruncated_normal":
            return math.sqrt(variance) * generator.standard_normal(shape, np.float32)
        # The standard deviation of a normal distribution cut off at two.
        return math.sqrt(variance) / 0.87962566103423978 * _truncated(shape, generator)


class _Scaled(VarianceScaling):
    _settings: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._settings, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_Scaled):
    """Uniform with a variance of 2 / (inputs + outputs) (Glorot and Bengio 2010, eq. 16)."""

    _settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal with a variance of 2 / (inputs + outputs)."""

    _settings = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform with a variance of 2 / inputs (He et al. 2015, eq. 10)."""

    _settings = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal with a variance of 2 / inputs."""

    _settings = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform with a variance of 1 / inputs (LeCun et al. 1998)."""

    _settings = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal with a variance of 1 / inputs."""

    _settings = (1.0, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """A matrix with orthonormal rows or columns (Saxe et al. 2014), all axes but the last taken together."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = number(gain, "gain")

    def _values(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs at least two axes, got shape {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))
        return self.gain * (q.T if rows < columns else q).reshape(shape)


class Identity(Initializer):
    """The identity matrix times ``gain``."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number(gain, "gain")

    seed = None

    def _values(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        if len(shape) != 2:
            raise ValueError(f"Identity needs two axes, got shape {shape}")
        return self.gain * np.eye(*shape, dtype=np.float32)


def _truncated(shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    values = generator.standard_normal(shape, np.float32)
    while (outside := np.abs(values) > 2).any():
        values[outside] = generator.standard_normal(int(outside.sum()), np.float32)
    return values


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """The numbers of inputs and outputs of a weight in Keras's layout."""
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


_INITIALIZERS: dict[str, Callable[..., Initializer]] = {
    "constant": Constant,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "identity": Identity,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
    "ones": Ones,
    "orthogonal": Orthogonal,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "zeros": Zeros,
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
    if initializer is None:
        return GlorotUniform()
    if isinstance(initializer, str):
        return entry(initializer, name, _INITIALIZERS)()
    if isinstance(initializer, Mapping) and set(initializer) >= {"class_name", "config"}:
        found: Initializer = entry(initializer["class_name"], name, _INITIALIZERS)(**initializer["config"])
        return found
    if isinstance(initializer, type) and issubclass(initializer, Initializer):
        return initializer()
    if isinstance(initializer, Initializer):
        return initializer
    if callable(initializer):
        return _Function(initializer)
    raise ValueError(f"{name} must be a name, one of swiftcnn.initializers or a function, got {initializer!r}")
