"""Layers that tell their arguments as a dataclass does: each is checked by its type and becomes an attribute."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, dataclass_transform

from .. import activations, initializers, regularizers
from .._checks import choice, integer, text, unexpected
from .._described import checked
from .base import Layer

Check = Callable[[Any, str], Any]

if TYPE_CHECKING:
    _Given = TypeVar("_Given", contravariant=True)
    _Attribute = TypeVar("_Attribute", covariant=True)

    class Kept(Generic[_Given, _Attribute]):
        """The type of an argument that the attribute is made of, and is of another type."""

        def __get__(self, layer: object, kind: type) -> _Attribute: ...
        def __set__(self, layer: object, value: _Given) -> None: ...

    Size: TypeAlias = int
    LastAxis: TypeAlias = int
    Padding: TypeAlias = str
    DataFormat: TypeAlias = str | None
    Name = Kept[str | None, str]
    Pair = Kept[int | Sequence[int], tuple[int, ...]]
    Shape = Kept[Sequence[int], tuple[int, ...]]
    Sides = Kept[int | Sequence[int | Sequence[int]], tuple[tuple[int, ...], ...]]
    Strides = Kept[int | Sequence[int] | None, tuple[int, ...]]
    ActivationLike = Kept[str | activations.Function | None, activations.Function]
    InitializerLike = Kept[str | initializers.Initializer, initializers.Initializer]
    RegularizerLike = Kept[str | regularizers.Regularizer | None, regularizers.Regularizer | None]


def default(value: Any) -> Any:
    """A default, which is of the type that is given, not of the attribute's."""
    return value


def pair(value: Any, name: str, minimum: int = 1) -> tuple[int, ...]:
    """One or two whole numbers, for height and width, as two."""
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ValueError(f"{name} must be one whole number or two, got {value!r}")
        return tuple(integer(each, name, minimum=minimum) for each in value)
    return (integer(value, name, minimum=minimum),) * 2


def optional(check: Check) -> Check:
    """The same check where the argument may be None."""
    return lambda value, name: None if value is None else check(value, name)


def one_of(*options: object) -> Check:
    """A check that allows these values alone."""
    return lambda value, name: choice(value, name, options)


def _absent(value: object, name: str) -> None:
    """Refuses what is for things that do not exist here: constraints of weights, penalties on results."""
    if value is not None:
        raise ValueError(f"{name} must be None: there is no such thing here, got {value!r}")


def _padding(value: str, name: str) -> str:
    return choice(text(value, name).lower(), name, ("valid", "same"))


# By the name of the type; those that are not here are Python's.
_CHECKS: Mapping[str, Check] = {
    "ActivationLike": lambda value, _: activations.get(value),
    "DataFormat": one_of(None, "channels_last"),  # images are NHWC
    "InitializerLike": initializers.get,
    "LastAxis": one_of(-1),
    "None": _absent,
    "Padding": _padding,
    "Pair": pair,
    "RegularizerLike": regularizers.get,
    "Strides": optional(pair),
    "Size": functools.partial(integer, minimum=1),
}


# What all layers take; the name also by place, as the last.
_COMMON = {name: each for name, each in inspect.signature(Layer.__init__).parameters.items() if name != "self"}
_COMMON["name"] = _COMMON["name"].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)


@functools.cache
def _arguments(kind: type[Declared]) -> tuple[inspect.Signature, dict[str, Check]]:
    """What a class is made with, and how each argument is checked. Those behind ``_: KW_ONLY`` come after those of the
    classes that are made of the class."""
    first: dict[str, inspect.Parameter] = {}
    later: dict[str, inspect.Parameter] = {}
    checks: dict[str, Check] = {}
    for base in reversed(kind.__mro__):
        is_own = base.__module__.partition(".")[0] == __name__.partition(".")[0]
        if not is_own or not issubclass(base, Declared) or base is Declared:
            continue
        found = first
        for name, types in inspect.get_annotations(base).items():
            if types == "KW_ONLY":
                found = later
            elif not types.startswith("ClassVar"):
                given = vars(base).get(name, inspect.Parameter.empty)
                place = inspect.Parameter.POSITIONAL_OR_KEYWORD
                found[name] = inspect.Parameter(name, place, default=given, annotation=types)
                of_type = _CHECKS.get(types) or functools.partial(checked, types=types, option={})
                checks[name] = kind._checks.get(name, of_type)
    return inspect.Signature([*first.values(), *later.values(), *_COMMON.values()]), checks


class _Shown:
    def __get__(self, layer: Declared | None, kind: type[Declared]) -> inspect.Signature | None:
        return kind._made_with() if layer is None else None


@dataclass_transform(eq_default=False)
class Declared(Layer):
    """The base of these layers. A class of your own may be made of them, with an ``__init__`` as usual."""

    _checks: ClassVar[Mapping[str, Check]] = {}  # of arguments whose type does not say it all
    __signature__: ClassVar[_Shown] = _Shown()
    # Of those that have them.
    activation: Any
    dilation_rate: Any
    strides: Any

    def __init__(self, *values: Any, **named: Any) -> None:
        kind = type(self)
        signature, checks = self._declared()
        if unknown := sorted(set(named) - set(signature.parameters)):
            raise unexpected(kind.__name__, unknown[0], signature.parameters)
        try:
            bound = signature.bind(*values, **named)
        except TypeError as error:
            raise TypeError(f"{kind.__name__}(): {error}") from None
        bound.apply_defaults()
        super().__init__(**{name: bound.arguments.pop(name) for name in _COMMON})
        for name, value in bound.arguments.items():
            setattr(self, name, checks[name](value, name))
        self._check()

    def _check(self) -> None:
        """Raises ValueError where arguments do not go together."""

    @classmethod
    def _declared(cls) -> tuple[inspect.Signature, dict[str, Check]]:
        kind: Any = cls
        return _arguments(kind)

    @classmethod
    def _made_with(cls) -> inspect.Signature:
        is_own = (cls._constructor or cls).__init__ is Declared.__init__
        return cls._declared()[0] if is_own else super()._made_with()

    def _given(self, names: Mapping[str, str]) -> dict[str, object]:
        """Those of the arguments that are in ``names``, by the names that these have there."""
        return {names[name]: getattr(self, name) for name in self._declared()[1] if name in names}
