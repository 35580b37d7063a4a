"""What losses of your own are written with: of the symbols that a loss is given, the operators and these functions make
a graph, which the library differentiates and trains with; of arrays they compute NumPy's values.

    def loss(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred) ** 1.5, axis=-1)

    model.compile("adam", loss)

A loss gives a number for each sample (N, ...), or one for the batch. Comparisons give 1 and 0, through which no
gradient flows. There is no ``if`` on a symbol: ``where`` chooses.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import ArgumentError
from ._symbolic import Operand

__all__ = [
    "abs",
    "add",
    "cast",
    "clip",
    "divide",
    "equal",
    "exp",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "log",
    "log_softmax",
    "logsumexp",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "not_equal",
    "power",
    "relu",
    "sigmoid",
    "sign",
    "softmax",
    "softplus",
    "sqrt",
    "square",
    "subtract",
    "sum",
    "tanh",
    "where",
]
__dir__ = __all__.copy  # what completion offers

if TYPE_CHECKING:
    from ._symbolic import Shape


class Symbol(Operand):
    """What a loss of your own computes with."""

    def __init__(self, nodes: list[dict[str, Any]], name: str, shape: Shape) -> None:
        self._nodes, self._name, self.shape = nodes, name, shape

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise ArgumentError("NumPy computes no losses: use the operators and swiftcnn.ops, as ops.mean(...)")

    def __bool__(self) -> bool:
        raise ArgumentError("a symbol of a loss is neither true nor false: use ops.where")

    def _apply(
        self, operation: str, others: Sequence[Symbol] = (), shape: Shape | None = None, **options: Any
    ) -> Symbol:
        name = f"{operation}_{len(self._nodes)}"
        operands = [self._name, *(other._name for other in others)]
        self._nodes.append({"name": name, "operation": operation, "attributes": options, "operands": operands})
        return Symbol(self._nodes, name, self.shape if shape is None else shape)

    def _activation(self, function: str, **constants: Any) -> Symbol:
        return self._apply("activation", function=function, **constants)

    def _rescaled(self, scale: Any = 1.0, offset: Any = 0.0) -> Symbol:
        return self._apply("rescaling", scale=_plain(scale, self), offset=_plain(offset, self))

    def _with(self, operation: str, other: Any, **options: Any) -> Symbol:
        other = self._symbol(other)
        return self._apply(operation, [other], _broadcast(self.shape, other.shape), **options)

    def _symbol(self, value: Any) -> Symbol:
        """A number as a symbol."""
        if isinstance(value, Symbol):
            return value
        if np.ndim(value) != 0:
            raise ArgumentError(
                "an array may be added to a symbol or multiply it; elsewhere expected a symbol or a number"
            )
        name = f"fill_{len(self._nodes)}"
        attributes = {"value": float(value), "shape": []}
        self._nodes.append({"name": name, "operation": "fill", "attributes": attributes, "operands": []})
        return Symbol(self._nodes, name, ())

    def __add__(self, other: Any) -> Symbol:
        return self._with("add", other) if isinstance(other, Symbol) else self._rescaled(1.0, other)

    def __mul__(self, other: Any) -> Symbol:
        return self._with("multiply", other) if isinstance(other, Symbol) else self._rescaled(other)

    def __truediv__(self, other: Any) -> Symbol:
        if isinstance(other, Symbol):
            return self * other._activation("power", exponent=-1.0)
        return self.__mul__(1 / np.asarray(other, float))

    def __rtruediv__(self, other: Any) -> Symbol:
        return self._activation("power", exponent=-1.0).__mul__(other)

    def __pow__(self, exponent: Any) -> Symbol:
        if isinstance(exponent, Symbol):
            return (exponent * self._activation("log"))._activation("exponential")
        return self._activation("power", exponent=float(exponent))

    def __rpow__(self, base: Any) -> Symbol:
        return (self * float(np.log(base)))._activation("exponential")

    def __abs__(self) -> Symbol:
        return self * ((self > 0) - (self < 0))

    def __gt__(self, other: Any) -> Symbol:
        return self._with("compare", other, kind="greater")

    def __ge__(self, other: Any) -> Symbol:
        return self._with("compare", other, kind="greater_or_equal")

    def __lt__(self, other: Any) -> Symbol:
        return self._symbol(other)._with("compare", self, kind="greater")

    def __le__(self, other: Any) -> Symbol:
        return self._symbol(other)._with("compare", self, kind="greater_or_equal")


def _plain(value: Any, like: Symbol) -> Any:
    """A number, or one for each element of the last axis."""
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return float(array)
    if array.size == 1 or array.shape[-1] == array.size == like.shape[-1]:
        return array.reshape(-1).tolist() if array.size > 1 else float(array.reshape(()))
    raise ValueError(
        f"an array of shape {array.shape} has not one number for each element of the last axis: {like.shape}"
    )


def _broadcast(a: Shape, b: Shape) -> Shape:
    rank = builtins.max(len(a), len(b))
    first, second = ((1,) * (rank - len(shape)) + shape for shape in (a, b))
    result = []
    for left, right in zip(first, second, strict=True):
        if left != right and 1 not in (left, right):
            raise ValueError(
                f"shapes {a} and {b} do not fit: a sum or mean has the axis that it needs with keepdims=True"
            )
        result.append(right if left == 1 else left)
    return tuple(result)


def _named(function: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _elementwise(name: str, numpy: Callable[[Any], Any], function: str, **constants: float) -> Callable[[Any], Any]:
    def compute(x: Any) -> Any:
        if isinstance(x, Symbol):
            return x._activation(function, **constants)
        return numpy(np.asarray(x))

    return _named(compute, name, f"``{name}`` of each element.")


def _softplus(x: Any) -> Any:
    return np.logaddexp(x, 0)


exp = _elementwise("exp", np.exp, "exponential")
log = _elementwise("log", np.log, "log")
sqrt = _elementwise("sqrt", np.sqrt, "power", exponent=0.5)
square = _elementwise("square", np.square, "power", exponent=2.0)
tanh = _elementwise("tanh", np.tanh, "tanh")
sigmoid = _elementwise("sigmoid", lambda x: np.exp(-_softplus(-x)), "sigmoid")
softplus = _elementwise("softplus", _softplus, "softplus")
relu = _elementwise("relu", lambda x: np.maximum(x, 0), "relu")


def _pair(name: str, numpy: Callable[[Any, Any], Any], symbols: Callable[[Symbol, Any], Symbol]) -> Any:
    def compute(x1: Any, x2: Any) -> Any:
        if isinstance(x1, Symbol):
            return symbols(x1, x2)
        if isinstance(x2, Symbol):
            return symbols(x2._symbol(x1), x2)
        return numpy(x1, x2)

    return _named(compute, name, f"``{name}`` of the elements of two; one of them may be a number.")


def _mask(numpy: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: np.asarray(numpy(a, b), np.float32)


maximum = _pair("maximum", np.maximum, lambda a, b: a._with("maximum", b))
minimum = _pair("minimum", np.minimum, lambda a, b: a._with("minimum", b))
add = _pair("add", np.add, lambda a, b: a + b)
subtract = _pair("subtract", np.subtract, lambda a, b: a - b)
multiply = _pair("multiply", np.multiply, lambda a, b: a * b)
divide = _pair("divide", np.divide, lambda a, b: a / b)
power = _pair("power", np.power, lambda a, b: a**b)
greater = _pair("greater", _mask(np.greater), lambda a, b: a > b)
greater_equal = _pair("greater_equal", _mask(np.greater_equal), lambda a, b: a >= b)
less = _pair("less", _mask(np.less), lambda a, b: a < b)
less_equal = _pair("less_equal", _mask(np.less_equal), lambda a, b: a <= b)
equal = _pair("equal", _mask(np.equal), lambda a, b: a._with("compare", b, kind="equal"))
not_equal = _pair("not_equal", _mask(np.not_equal), lambda a, b: 1 - a._with("compare", b, kind="equal"))


def abs(x: Any) -> Any:
    """The sizes; their derivative at 0 is 0."""
    return builtins.abs(x) if isinstance(x, Symbol) else np.abs(x)


def sign(x: Any) -> Any:
    """1, 0 or -1."""
    return (x > 0) - (x < 0) if isinstance(x, Symbol) else np.sign(x)


def cast(x: Any, dtype: Any) -> Any:
    """The same numbers; a symbol is float32 and stays so."""
    return x if isinstance(x, Symbol) else np.asarray(x).astype(dtype)


def clip(x: Any, x_min: float, x_max: float) -> Any:
    """The elements held between two numbers."""
    if isinstance(x, Symbol):
        return x._activation("clip", minimum=float(x_min), maximum=float(x_max))
    return np.clip(x, x_min, x_max)


def where(condition: Any, x1: Any, x2: Any) -> Any:
    """``x1`` where the condition is not 0, ``x2`` where it is; no gradient flows through the condition."""
    symbol = next((each for each in (condition, x1, x2) if isinstance(each, Symbol)), None)
    if symbol is None:
        return np.where(np.asarray(condition) != 0, x1, x2)
    condition, x1, x2 = (symbol._symbol(each) for each in (condition, x1, x2))
    return condition._apply("select", [x1, x2], _broadcast(condition.shape, _broadcast(x1.shape, x2.shape)))


def _reduced(x: Symbol, kind: str, axis: int | Sequence[int] | None, keepdims: bool) -> Symbol:
    rank = x.ndim
    given = range(rank) if axis is None else [axis] if isinstance(axis, int) else axis
    axes = sorted({each + rank if each < 0 else each for each in given})
    if any(not 0 <= each < rank for each in axes):
        raise ValueError(f"axis {axis} is none of a symbol of shape {x.shape}")
    # The batch is reduced last, and stays as an axis of 1, so that what is left still has a first axis.
    inner = [each for each in axes if each > 0]
    if inner:
        kept = tuple(1 if each in inner else size for each, size in enumerate(x.shape))
        shape = kept if keepdims else tuple(size for each, size in enumerate(x.shape) if each not in inner)
        x = x._apply("reduce", shape=shape, kind=kind, axes=inner, keep_axes=bool(keepdims))
    if 0 in axes:
        x = x._apply("reduce", shape=(1, *x.shape[1:]), kind=kind, axes=[0], keep_axes=True)
    return x


def _reduction(name: str, numpy: Callable[..., Any]) -> Callable[..., Any]:
    def compute(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
        if isinstance(x, Symbol):
            return _reduced(x, name, axis, keepdims)
        return numpy(x, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=keepdims)

    return _named(compute, name, f"The {name} over an axis or several, by default all, the batch among them.")


sum = _reduction("sum", np.sum)
mean = _reduction("mean", np.mean)
max = _reduction("max", np.max)


def min(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """The min over an axis or several, by default all, the batch among them."""
    return -max(-x if isinstance(x, Symbol) else -np.asarray(x), axis, keepdims)


def logsumexp(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """The logarithm of the sum of exponentials, without overflow."""
    largest = max(x, axis, True)
    total = log(sum(exp(x - largest), axis, keepdims))
    return total + (largest if keepdims else max(x, axis))


def _over_last_axis(name: str, doc: str, numpy: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def compute(x: Any, axis: int = -1) -> Any:
        if not isinstance(x, Symbol):
            return numpy(np.asarray(x), logsumexp(x, axis, True))
        if axis not in (-1, x.ndim - 1):
            raise ValueError(f"{name} of a symbol is over the last axis, got axis={axis}")
        return x._apply(name)

    return _named(compute, name, doc)


log_softmax = _over_last_axis("log_softmax", "The logarithm of ``softmax``.", lambda x, total: x - total)
softmax = _over_last_axis(
    "softmax", "Exponentials divided by their sum over an axis.", lambda x, total: np.exp(x - total)
)


def traced(loss: Callable[[Any, Any], Any], name: str, shape: Shape) -> dict[str, Any]:
    """The graph of a loss for predictions of a shape, as the library is told it."""
    nodes: list[dict[str, Any]] = []
    inputs = [Symbol(nodes, each, shape) for each in ("y_true", "y_pred")]
    try:
        result = loss(*inputs)
    except TypeError as error:
        raise ArgumentError(f"the loss {name!r} cannot be computed of y_true and y_pred: {error}") from error
    if not isinstance(result, Symbol) or result._nodes is not nodes or not nodes:
        raise ArgumentError(
            f"the loss {name!r} gave {type(result).__name__}; expected what the operators and swiftcnn.ops make of "
            "y_true and y_pred"
        )
    if result.shape[:1] != (None,) and any(size != 1 for size in result.shape):
        raise ValueError(f"the loss {name!r} gives the shape {result.shape}; expected a number for each sample, or one")
    sizes = [1 if index == 0 else size or 2 for index, size in enumerate(shape)]
    described = [{"name": each._name, "element": "float32", "shape": sizes} for each in inputs]
    outputs = [{"name": "loss", "value": result._name}]
    return {"name": name, "graph": {"inputs": described, "parameters": [], "nodes": nodes, "outputs": outputs}}
