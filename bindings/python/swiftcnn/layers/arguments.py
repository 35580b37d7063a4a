"""What layers are made with: each argument is checked by its name and becomes an attribute."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from .. import activations, initializers, regularizers
from .._checks import boolean, choice, integer, number, text
from .base import Layer

Pair = int | Sequence[int]
Check = Callable[[Any, str], Any]

_Arguments = ParamSpec("_Arguments")
_Layer = TypeVar("_Layer", bound=Layer)


def pair(value: Pair, name: str, minimum: int = 1) -> tuple[int, ...]:
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


def absent(value: object, name: str) -> None:
    """Refuses what is for things that do not exist here: constraints of weights, penalties on results."""
    if value is not None:
        raise ValueError(f"{name} must be None: there is no such thing here, got {value!r}")


def window_padding(value: str, name: str) -> str:
    """``"valid"`` or ``"same"``, in any case."""
    if text(value, name).lower() not in ("valid", "same"):
        raise ValueError(f"{name} must be 'valid' or 'same', got {value!r}")
    return value


def size(value: int, name: str) -> int:
    """A number of things, of which there is at least one."""
    return integer(value, name, minimum=1)


_BY_NAME: Mapping[str, Check] = {
    "activation": lambda value, _: activations.get(value),
    "activity_regularizer": absent,
    "data_format": one_of(None, "channels_last"),  # images are NHWC
    "depth_multiplier": size,
    "dilation_rate": pair,
    "filters": size,
    "groups": size,
    "height": size,
    "kernel_size": pair,
    "padding": window_padding,
    "pool_size": pair,
    "rate": number,
    "seed": optional(integer),  # drawn from the step, the seed of ``compile`` and the layer's place in the network
    "strides": pair,
    "units": size,
    "width": size,
}
_BY_ENDING: Mapping[str, Check] = {
    "_constraint": absent,
    "_initializer": initializers.get,
    "_regularizer": regularizers.get,
}
_BY_DEFAULT: Mapping[type, Check] = {bool: boolean, float: number, int: functools.partial(integer, minimum=-8)}


def _check_of(kind: type, name: str, default: object) -> Check | None:
    """How an argument is checked: as the class says, otherwise by its name, its ending, or the type of its default."""
    own: Mapping[str, Check] = getattr(kind, "_checks", {})
    if found := own.get(name) or _BY_NAME.get(name):
        return found
    endings = (check for ending, check in _BY_ENDING.items() if name.endswith(ending))
    return next(endings, _BY_DEFAULT.get(type(default)))


@functools.cache
def _signature(made: Callable[..., None]) -> inspect.Signature:
    """When it is first needed: there are many classes, of which a program uses a few."""
    return inspect.signature(made)


def declared(
    made: Callable[Concatenate[_Layer, _Arguments], None],
) -> Callable[Concatenate[_Layer, _Arguments], None]:
    """An ``__init__`` whose arguments become attributes of those names, before its body looks at them together; the
    rest, ``options``, is for the base of all layers."""

    @functools.wraps(made)
    def initialize(self: _Layer, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        signature = _signature(made)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        options = {"name": given.pop("name")} if "name" in given else {}
        Layer.__init__(self, **options, **given.pop("options", {}))
        for parameter in signature.parameters.values():
            if parameter.name in given and parameter.name != "self":
                value, check = given[parameter.name], _check_of(type(self), parameter.name, parameter.default)
                setattr(self, parameter.name, value if check is None else check(value, parameter.name))
        made(self, *args, **kwargs)

    return initialize
