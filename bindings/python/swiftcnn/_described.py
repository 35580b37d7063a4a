"""Classes whose arguments are options of the library: it says what they are where nothing is said, what they may be,
and what they are for.

Such a class tells its arguments as a dataclass does, ``core()`` being the default of the library's option of that name,
and ``core("clip_norm")`` of another one. The description is read when it is first needed, not by ``import``.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, dataclass_transform

from . import _swiftcnn
from ._checks import boolean, choice, integer, nearest, number, text, unexpected
from ._config import Described


@functools.cache
def _description() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_swiftcnn.describe())
    return found


def options(section: str, kind: str = "") -> dict[str, dict[str, Any]]:
    """The options of a section of ``scnn_describe``, or of one of the kinds in it."""
    found = _description()[section]
    chosen: dict[str, dict[str, Any]] = found[kind]["options"] if kind else found
    return chosen


def names(section: str) -> list[str]:
    """The kinds that there are in a section."""
    return list(_description()[section])


class Core(NamedTuple):
    """A default that the library knows."""

    key: str
    replaced: tuple[Any, ...]  # what stands in its place, if there is something


def core(key: str = "", **replaced: Any) -> Any:
    """The default of the library's option ``key``, by default that of the argument's name; with ``default=`` only what
    it may be and is for is the library's."""
    return Core(key, tuple(replaced.values()))


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "int": lambda value, name: integer(value, name, minimum=-(2**31)),
    "float": number,
    "bool": boolean,
    "str": text,
}
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "minimum": lambda value, end: value >= end,
    "exclusive_minimum": lambda value, end: value > end,
    "maximum": lambda value, end: value <= end,
    "exclusive_maximum": lambda value, end: value < end,
}


def checked(value: Any, name: str, types: str, option: Mapping[str, Any]) -> Any:
    """An argument of one of the ``types``, as "int | None", that is for an option."""
    kinds = types.split(" | ")
    if value is None and "None" in kinds:
        return None
    if "choices" in option and option["type"] == "choice":
        return choice(value, name, tuple(option["choices"]))
    kinds = [kind for kind in kinds if kind != "None"]
    if len(kinds) != 1 or kinds[0] not in _CHECKS:
        return value  # which the class looks at itself
    found = _CHECKS[kinds[0]](value, name)
    if not all(holds(found, option[bound]) for bound, holds in _BOUNDS.items() if bound in option):
        raise ValueError(f"{name} must be {option['expected']}, got {found!r}")
    return found


class _Argument(NamedTuple):
    name: str
    types: str
    given: Any  # a Core, a default, or that there is none
    is_keyword: bool

    @property
    def key(self) -> str | None:
        """The library's name of it; None of what is not the library's."""
        if isinstance(self.given, Core):
            return self.given.key or self.name
        return self.name if self.given is inspect.Parameter.empty else None

    def option(self, place: tuple[str, ...]) -> Mapping[str, Any]:
        return options(*place).get(self.key, {}) if place and self.key else {}

    def parameter(self, place: tuple[str, ...]) -> inspect.Parameter:
        default = self.given
        if isinstance(default, Core):
            option = self.option(place)
            default = default.replaced[0] if default.replaced else option.get("keras", option.get("default"))
        kind = inspect.Parameter.KEYWORD_ONLY if self.is_keyword else inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Parameter(self.name, kind, default=default, annotation=self.types)


class _Signature:
    def __get__(self, instance: object, owner: type[WithOptions]) -> inspect.Signature:
        return owner._signature()


def _documented(name: str, option: Mapping[str, Any], indent: str) -> list[str]:
    """What an option is for and may be, a line for it and one for each of its own options."""
    choices = f" One of {', '.join(map(repr, option['choices']))}." if option["type"] == "choice" else ""
    inner = option.get("options", {}).items()
    lines = [
        line
        for key, each in inner
        for line in _documented(f"{key} (by default {each['default']})", each, indent + "    ")
    ]
    dictionary = " True, or a dictionary with any of:" if lines else ""
    return [f"{indent}{name}: {option['doc']}{choices}{dictionary}", *lines]


class _Documentation:
    def __init__(self, own: str) -> None:
        self.own = inspect.cleandoc(own)

    def __get__(self, instance: object, owner: type[WithOptions]) -> str:
        found = [(name, argument.option(owner._place)) for name, argument in owner._arguments.items()]
        lines = [line for name, option in found if option for line in _documented(name, option, "    ")]
        return "\n".join([self.own, "", "Options:", *lines]) if lines else self.own


@dataclass_transform()
class WithOptions(Described):
    """The base of such classes. A line ``_: KW_ONLY`` stands before arguments that go by name only."""

    _place: ClassVar[tuple[str, ...]] = ()  # of the options in the description
    _arguments: ClassVar[dict[str, _Argument]] = {}
    __signature__: ClassVar[_Signature | None] = _Signature()

    def __init_subclass__(cls) -> None:
        if cls.__module__.partition(".")[0] != __package__:  # somebody's own class: what it annotates is its affair
            if "__init__" in vars(cls):
                cls.__signature__ = None
            return
        own: dict[str, _Argument] = {}
        is_keyword = False
        for name, types in inspect.get_annotations(cls).items():
            if types == "KW_ONLY":
                is_keyword = True
            elif not types.startswith("ClassVar"):
                given = cls.__dict__.get(name, inspect.Parameter.empty)
                if isinstance(given, Core):
                    delattr(cls, name)
                # A descriptor says itself what it may be set to.
                own[name] = _Argument(
                    name, str(getattr(given, "types", types)), getattr(given, "given", given), is_keyword
                )
        cls._arguments = cls._arguments | own
        cls.__doc__ = _Documentation(cls.__doc__ or "")  # type: ignore[assignment]

    def __init__(self, *values: Any, **named: Any) -> None:
        kind = type(self)
        for name, value in self._bound(*values, **named).items():
            argument = kind._arguments[name]
            setattr(self, name, checked(value, name, argument.types, argument.option(kind._place)))

    @classmethod
    def _bound(cls, *values: Any, **named: Any) -> dict[str, Any]:
        """All arguments by name, as they were given or by default."""
        for name in named:
            if name not in cls._arguments:
                raise unexpected(cls.__name__, name, nearest(name, cls._arguments))
        try:
            bound = cls._signature().bind(*values, **named)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}(): {error}") from None
        bound.apply_defaults()
        return bound.arguments

    @classmethod
    def _signature(cls) -> inspect.Signature:
        found = [argument.parameter(cls._place) for argument in cls._arguments.values()]
        return inspect.Signature(sorted(found, key=lambda parameter: parameter.kind))

    def _told(self) -> dict[str, Any]:
        """The library's options by name."""
        return {key: getattr(self, name) for name, key in self._keys().items()}

    @classmethod
    def _from_told(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that such options are; without those that are as if nothing was said."""
        return {name: settings[key] for name, key in cls._keys().items() if settings[key] is not None}

    @classmethod
    def _keys(cls) -> dict[str, str]:
        """The library's names of the arguments."""
        return {each.name: each.key for each in cls._arguments.values() if each.key and each.option(cls._place)}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {name: getattr(self, name) for name in self._arguments}
