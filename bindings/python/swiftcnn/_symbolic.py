"""Tensors that stand for what a layer will give, and how a network of the library comes from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, Self, SupportsIndex

from . import _swiftcnn

if TYPE_CHECKING:
    from .layers.base import Layer

    Shape = tuple[int | None, ...]

_numbers = count()
#: What can be done to tensors, by name: the layers, which know tensors, bring it here.
functions: dict[str, Callable[..., Tensor]] = {}


class Operand:
    """The operators of what stands for numbers, in terms of a sum, a product and a quotient.

    Attributes:
        shape: with None for the batch and for sizes that vary.
    """

    __array_ufunc__ = None  # so that ``array * tensor`` comes here, and does not make an array of tensors
    dtype = "float32"
    shape: Shape

    @property
    def ndim(self) -> int:
        """The number of axes, the batch among them."""
        return len(self.shape)

    def __add__(self, other: Any) -> Self:
        raise NotImplementedError

    def __mul__(self, other: Any) -> Self:
        raise NotImplementedError

    def __radd__(self, other: Any) -> Self:
        return self.__add__(other)

    def __rmul__(self, other: Any) -> Self:
        return self.__mul__(other)

    def __neg__(self) -> Self:
        return self.__mul__(-1)

    def __sub__(self, other: Any) -> Self:
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> Self:
        return (-self).__add__(other)


class Tensor(Operand):
    """What a layer will give, and does not give yet: what ``layers.Input`` returns and layers pass on.

    Attributes:
        name: of the layer that gives it.
        call: which layer gives it, and of what; None where a network begins.
        origin: the layer of an input.
        made: the call by the user that gave it, in whose course ``call`` happened; None of inputs and of what is within
            a layer.
        is_trial: only shapes or a single result are asked for: layers do not remember the call.
    """

    def __init__(
        self,
        shape: Shape,
        name: str,
        call: Call | None = None,
        origin: Layer | None = None,
        *,
        is_trial: bool = False,
    ) -> None:
        self.shape = shape
        self.origin = origin
        self.name = name
        self.call = call
        self.made: Made | None = None
        self.number = next(_numbers)
        self.is_trial: bool = is_trial or (call is not None and any(each.is_trial for each in call.inputs))

    def __add__(self, other: Tensor | float) -> Tensor:
        return functions["add"]([self, other]) if isinstance(other, Tensor) else functions["rescale"](self, 1, other)

    def __mul__(self, other: Tensor | float) -> Tensor:
        return functions["multiply"]([self, other]) if isinstance(other, Tensor) else functions["rescale"](self, other)

    def __truediv__(self, other: float) -> Tensor:
        return self * (1 / other)

    def __bool__(self) -> bool:
        raise TypeError("a tensor of a network that is being built has no value yet; it cannot decide an if or a while")

    def __array__(self, dtype: object = None, copy: object = None) -> object:
        raise TypeError(f"{self!r} has no values yet; use Model(inputs, outputs).predict(x)")

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if self.call is None:
            return super().__reduce_ex__(protocol)
        raise TypeError(
            f"{self!r} is a part of a network and cannot be copied or pickled alone; Model(inputs, outputs) can"
        )

    def __repr__(self) -> str:
        return f"<Tensor {self.name!r} shape={self.shape} dtype={self.dtype}>"


class Call(NamedTuple):
    """A layer applied to tensors.

    Attributes:
        inference: the layer does in training what it does in inference (Keras's ``training=False``).
        tensor: of a model, the name of the result that is meant; None for its output.
        callers: the layers in whose ``call`` it happened, the outermost first.
    """

    layer: Layer
    inputs: tuple[Tensor, ...]
    inference: bool = False
    tensor: str | None = None
    callers: tuple[Layer, ...] = ()

    @property
    def listed(self) -> Layer:
        """The layer that a model lists for it."""
        return self.callers[0] if self.callers else self.layer

    @property
    def prefix(self) -> str:
        """What the names in the network begin with."""
        return "".join(f"{caller.name}." for caller in self.callers)


class Made:
    """A layer called by the user, outside of any layer.

    Attributes:
        args, kwargs: what it was called with, the first a tensor, or a list or dictionary of tensors.
        training: what was said of it.
        outputs: the tensors in what it gave, in order.
    """

    def __init__(
        self, layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any], training: bool | None, result: object
    ) -> None:
        self.layer = layer
        self.args = args
        self.kwargs = dict(kwargs)
        self.training = training
        given = set(tensors_in([args, self.kwargs]))
        self.outputs = list(dict.fromkeys(tensors_in(result)))
        for tensor in self.outputs:
            if tensor not in given and tensor.made is None:
                tensor.made = self


def tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors among arguments or results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(each)


def several(tensors: object, name: str) -> list[Tensor]:
    """One or more tensors."""
    given = list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]
    found = [each for each in given if isinstance(each, Tensor)]
    if found and len(found) == len(given):
        return found
    raise ValueError(f"{name} must be a tensor that layers.Input or a layer gave, or a list of such, got {tensors!r}")


def parts_of(value: Any) -> list[Any]:
    """The parts of a list, tuple or dictionary; what is none of these is the only part."""
    if isinstance(value, Mapping):
        return [*value.values()]
    return [*value] if isinstance(value, (list, tuple)) else [value]


def structured(like: object, parts: Sequence[Any]) -> Any:
    """The parts alone, in a list or in a dictionary, as those of ``like`` are."""
    if isinstance(like, Mapping):
        return dict(zip(like, parts, strict=True))
    return [*parts] if isinstance(like, (list, tuple)) else parts[0]


class Context(NamedTuple):
    """Where in a network's making a call happens.

    Attributes:
        callers: the layers whose ``call`` is running, the outermost first.
        training: what they were called with: it holds for the layers within, unless those are told something else.
    """

    callers: tuple[Layer, ...] = ()
    training: bool | None = None


_context: ContextVar[Context] = ContextVar("_context", default=Context())  # noqa: B039, it is never changed


def context() -> Context:
    """The current one."""
    return _context.get()


@contextmanager
def within(new: Context) -> Iterator[None]:
    """Makes another context the current one."""
    token = _context.set(new)
    try:
        yield
    finally:
        _context.reset(token)


_left: ContextVar[list[int] | None] = ContextVar("_left", default=None)


def is_rebuilding() -> bool:
    """Whether layers are made again whose weights will be copied: they need no values of their own."""
    return _left.get() is not None


@contextmanager
def rebuilding(elements: int) -> Iterator[None]:
    """Lets ``is_rebuilding`` be true, for layers whose weights have so many elements together: what a file describes
    may not be larger than what is in it."""
    token = _left.set([elements])
    try:
        yield
    finally:
        _left.reset(token)


def limited() -> dict[str, object]:
    """The option of a model of the library that sees to this."""
    left = _left.get()
    return {} if left is None else {"element_limit": left[0]}


def spent(model: _swiftcnn.Model) -> None:
    """Counts the elements of a model that was made."""
    left = _left.get()
    if left is not None:
        left[0] -= sum(prod(shape) for _, _, _, shape in model.parameters())


class Network:
    """A network of the library under construction: what tensors become."""

    def __init__(self) -> None:
        self.graph = _swiftcnn.create_graph()
        self.values: dict[Tensor, int] = {}
        self.calls: list[tuple[Tensor, Call]] = []
        self.inputs: list[Tensor] = []
        self._names: set[str] = set()
        self._prefix = ""

    def input(self, tensor: Tensor, name: str | None = None) -> int:
        """Lets the network begin with a tensor."""
        shape = [-1 if size is None else size for size in tensor.shape[1:]]
        value = self.graph.input(self._unique(name or tensor.name), shape)
        self.values[tensor] = value
        self.inputs.append(tensor)
        return value

    def layer(self, kind: str, name: str, options: Mapping[str, object], *operands: int) -> int:
        """Adds a layer as ``scnn_graph_layer`` of the C header knows it."""
        return self.graph.layer(kind, self._unique(self._prefix + name), json.dumps(dict(options)), operands)

    def apply(
        self,
        model: _swiftcnn.Model,
        operands: Sequence[int],
        inference: bool,
        prefix: str = "",
        tensor: str | None = None,
    ) -> int:
        """Adds all layers of a model, up to its output or the tensor of that name, sharing its parameters."""
        prefix = self._prefix + prefix
        value = self.graph.apply(model, prefix, tensor, inference, operands)
        self._names.update(prefix + name for name in model.tensor_names().split("\n"))
        return value

    def shape(self, value: int) -> Shape:
        """The shape of a value, with None for the batch and for sizes that vary."""
        return (None, *(size if size >= 0 else None for size in self.graph.shape(value)[1:]))

    def value(self, tensor: Tensor) -> int:
        """What a tensor becomes; adds the layers between the network's inputs and it."""
        needed = [tensor]
        found: dict[Tensor, Call] = {}
        while needed:
            here = needed.pop()
            if here in self.values or here in found:
                continue
            if here.call is None:
                raise ValueError(f"{here!r} is needed for {tensor!r}, but is not among the model's inputs")
            found[here] = here.call
            needed.extend(here.call.inputs)
        # Tensors are numbered as they are made, each after those it depends on.
        for here, call in sorted(found.items(), key=lambda item: item[0].number):
            self._prefix = call.prefix
            self.values[here] = call.layer._emit(self, [self.values[each] for each in call.inputs], call)
            self._prefix = ""
            self.calls.append((here, call))
        return self.values[tensor]

    def model(self, *outputs: int, options: Mapping[str, object] | None = None) -> _swiftcnn.Model:
        """The finished network."""
        first, *others = map(self._computed, outputs)
        for value in others:
            self.graph.output(value)
        return self.graph.model(first, None if options is None else json.dumps(dict(options)))

    def _computed(self, value: int) -> int:
        """The value, or of an input the result of a layer that changes nothing: a model computes something."""
        if value in (self.values[tensor] for tensor in self.inputs):
            return self.layer("rescaling", "identity", {"scale": 1, "offset": 0}, value)
        return value

    def _unique(self, name: str) -> str:
        candidate = name
        for number in count(1):
            if candidate not in self._names:
                break
            candidate = f"{name}_{number}"
        self._names.add(candidate)
        return candidate
