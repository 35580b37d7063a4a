"""Layers that tell their arguments as a dataclass does: each is checked by its type and becomes an attribute."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, dataclass_transform

from .. import activations, initializers, regularizers
from .._checks import choice, integer, text
from .._described import CHECKS, WithOptions, core, only
from .base import Layer

Check = Callable[[Any, str], Any]

if TYPE_CHECKING:
    from .._described import Kept

    Padding: TypeAlias = str
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
    return core(default=value)


# What all layers take.
_COMMON = ("name", "trainable", "dtype", "input_shape")
#: Images are NHWC.
DATA_FORMAT: Any = only(None, "channels_last")
#: Of what is for things that do not exist here, as constraints of weights and penalties on results.
NOTHING: Any = only(None)


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


def _padding(value: str, name: str) -> str:
    return choice(text(value, name).lower(), name, ("valid", "same"))


CHECKS.update(
    ActivationLike=lambda value, _: activations.get(value),
    InitializerLike=initializers.get,
    Padding=_padding,
    Pair=pair,
    RegularizerLike=regularizers.get,
    Strides=optional(pair),
)


@dataclass_transform(eq_default=False)
class Declared(Layer, WithOptions):
    """The base of these layers. A class of your own may be made of them, with an ``__init__`` as usual."""

    _all_by_place = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # What all layers take is the last.
        cls._arguments = dict(sorted(cls._arguments.items(), key=lambda item: item[0] in _COMMON))

    def __init__(self, *values: Any, **named: Any) -> None:
        arguments = self._bound(*values, **named)
        Layer.__init__(self, **{name: arguments.pop(name) for name in _COMMON})
        self._take(arguments)

    @classmethod
    def _made_with(cls) -> inspect.Signature:
        return cls.__signature__ or super()._made_with()
