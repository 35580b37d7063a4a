"""Activation functions: layers take them by name or as they are, and they can be called with a tensor or an array."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from ._checks import boolean, choice, entry, number
from ._symbolic import functions

__all__ = [
    "elu",
    "exponential",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
]
__dir__ = __all__.copy  # what completion offers

Function = Callable[[Any], Any]


class Kind(NamedTuple):
    """An activation as a layer of the library: the kind of layer and its options."""

    layer: str
    options: dict[str, object]

    @classmethod
    def of(cls, function: str, **constants: float) -> Kind:
        """An element-by-element function."""
        return cls("activation", {"function": function, **constants})


def relu_kind(negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Kind:
    """``max_value`` at most, ``x`` from ``threshold`` on, ``negative_slope * (x - threshold)`` below."""
    slope, start = number(negative_slope, "negative_slope"), number(threshold, "threshold")
    largest = None if max_value is None else number(max_value, "max_value")
    for name, value in (("negative_slope", slope), ("threshold", start), ("max_value", largest)):
        if value is not None and value < 0:
            raise ValueError(f"{name} must be 0 or more, got {value}")
    if slope == 0 and start == 0 and largest in (None, 6):
        return Kind.of("relu" if largest is None else "relu6")
    limit = {} if largest is None else {"maximum": largest}
    return Kind.of("leaky_relu", alpha=slope, threshold=start, **limit)


def _apply(x: Any, kind: Kind) -> Any:
    import_module("swiftcnn.layers")  # which know how; by name, since they are above of this module
    return functions["activate"](x, kind)


def linear(x: Any) -> Any:
    """``x``"""
    return x


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """``max(x, 0)``, or with a slope below ``threshold`` and a largest value."""
    return _apply(x, relu_kind(negative_slope, max_value, threshold))


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """``x`` above 0, ``negative_slope * x`` below (Maas et al. 2013)."""
    return _apply(x, relu_kind(negative_slope))


def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2016)."""
    return _apply(x, Kind.of("elu", alpha=number(alpha, "alpha")))


def gelu(x: Any, approximate: bool = False) -> Any:
    """``x`` times the normal distribution function, or its approximation by tanh (Hendrycks and Gimpel 2016)."""
    return _apply(x, Kind.of("gelu_tanh" if boolean(approximate, "approximate") else "gelu"))


def softmax(x: Any, axis: int = -1) -> Any:
    """``exp(x) / sum(exp(x))`` over the last axis."""
    return _apply(x, _last_axis(Kind("softmax", {}), axis, x))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of ``softmax``."""
    return _apply(x, _last_axis(Kind("log_softmax", {}), axis, x))


def _last_axis(kind: Kind, axis: int, x: Any) -> Kind:
    choice(axis, "axis", (-1, np.ndim(x) - 1))
    return kind


# What a function is, with its default arguments, as a layer of the library.
_KINDS: dict[Function, Kind | None] = {
    linear: None,
    relu: relu_kind(),
    leaky_relu: relu_kind(0.2),
    elu: Kind.of("elu"),
    gelu: Kind.of("gelu"),
    softmax: Kind("softmax", {}),
    log_softmax: Kind("log_softmax", {}),
}


def _elementwise(name: str, doc: str, function: str = "") -> Function:
    """The function without arguments that the library has under its name, or under another."""
    kind = Kind.of(function or name)

    def activation(x: Any) -> Any:
        return _apply(x, kind)

    activation.__name__ = activation.__qualname__ = name
    activation.__doc__ = doc
    _KINDS[activation] = kind
    return activation


relu6 = _elementwise("relu6", "``min(max(x, 0), 6)``")
selu = _elementwise("selu", "``elu`` scaled so that mean 0 and variance 1 are kept (Klambauer et al. 2017).")
silu = swish = _elementwise("silu", "``x * sigmoid(x)`` (Ramachandran et al. 2017).")
sigmoid = _elementwise("sigmoid", "``1 / (1 + exp(-x))``")
hard_sigmoid = _elementwise("hard_sigmoid", "``relu6(x + 3) / 6``")
hard_silu = hard_swish = _elementwise("hard_silu", "``x * relu6(x + 3) / 6`` (Howard et al. 2019).", "hard_swish")
tanh = _elementwise("tanh", "The hyperbolic tangent.")
softplus = _elementwise("softplus", "``log(1 + exp(x))``")
softsign = _elementwise("softsign", "``x / (1 + |x|)``")
exponential = _elementwise("exponential", "``exp(x)``")
mish = _elementwise("mish", "``x * tanh(softplus(x))`` (Misra 2020).")

_FUNCTIONS: dict[str, Function] = {name: globals()[name] for name in __all__}


def get(identifier: str | Function | None) -> Function:
    """The function with a name, or the one given; None is ``linear``.

    Raises:
        ValueError: the name is not known, or it is neither a name nor a function.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        return entry(identifier, "activation", _FUNCTIONS)
    if callable(identifier):
        return identifier
    raise ValueError(f"activation must be None, a name or a function, got {identifier!r}")


def name_of(function: Function) -> str | Function:
    """The name by which ``get`` finds the function; of one of the user's, the function itself."""
    return function.__name__ if function in _KINDS else function


def kind_of(function: Function) -> Kind | None:
    """The function as a layer of the library; None for ``linear``.

    Raises:
        KeyError: it is one of the user's.
    """
    return _KINDS[function]
