"""Classes whose arguments are options of the library: it says what they are where nothing is said, what they may be,
and what they are for.

Such a class tells its arguments as a dataclass does, ``core()`` being the default of the library's option of that name,
``core("clip_norm")`` of another one, and ``only(-1)`` of what Keras has and the library has not. The description is
read when it is first needed, not by ``import``.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar, dataclass_transform

from . import _swiftcnn
from ._checks import boolean, choice, integer, number, path_of, text, unexpected, unsupported
from ._config import Described

if TYPE_CHECKING:
    _Given = TypeVar("_Given", contravariant=True)
    _Attribute = TypeVar("_Attribute", covariant=True)

    class Kept(Generic[_Given, _Attribute]):
        """The type of an argument that the attribute is made of, and is of another type."""

        def __get__(self, instance: object, kind: type) -> _Attribute: ...
        def __set__(self, instance: object, value: _Given) -> None: ...

    Count: TypeAlias = int
    Size: TypeAlias = int
    Path = Kept[str | os.PathLike[str], str]


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


class Only(NamedTuple):
    """What an argument may be that is there since Keras has it; the first is the default."""

    values: tuple[Any, ...]
    advice: str

    def check(self, value: object, name: str) -> None:
        """Refuses everything else."""
        if not isinstance(value, Hashable) or value not in self.values:
            raise unsupported(name, value, self.text)

    @property
    def text(self) -> str:
        """What it may be, in words."""
        return " or ".join(map(repr, self.values)) + self.advice


def only(*values: Any, advice: str = "") -> Any:
    """The values that are supported of an argument of Keras's, with what to do in place of others."""
    return Only(values, advice and f"; {advice}")


#: Of the argument ``dtype``.
DTYPE: Any = only(None, "float32")


class Name:
    """What an object is called, as an argument: where it is None, as the class's ``_usual_name`` says.

    Args:
        is_told: whether that is the default, and not None.
    """

    types: ClassVar[str] = "str | None"

    def __init__(self, is_told: bool = False) -> None:
        self.is_told = is_told

    def __get__(self, instance: Any, owner: Any = None) -> str:
        given: str | None = None if instance is None else vars(instance).get("name")
        usual: str = owner._usual_name()
        return usual if given is None else given

    def __set__(self, instance: Any, value: str | None) -> None:
        vars(instance)["name"] = instance._usual_name() if value is None else text(value, "name")


#: How a value is checked, by the type that an argument tells; where a module has types of its own, it adds them.
CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "int": lambda value, name: integer(value, name, minimum=-(2**31)),
    "float": number,
    "bool": boolean,
    "str": text,
    "Count": integer,
    "Size": functools.partial(integer, minimum=1),
    "Path": lambda value, name: os.fsdecode(path_of(value, name)),
}
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "minimum": lambda value, end: value >= end,
    "exclusive_minimum": lambda value, end: value > end,
    "maximum": lambda value, end: value <= end,
    "exclusive_maximum": lambda value, end: value < end,
}


def checked(value: Any, name: str, types: str, option: Mapping[str, Any]) -> Any:
    """An argument of one of the ``types``, as "int | None", that is for an option. Words may be in any case."""
    kinds = types.split(" | ")
    if value is None and "None" in kinds:
        return None
    if option.get("type") == "choice":
        words = {word.lower(): word for word in option["choices"]}
        return choice(words.get(value.lower(), value) if isinstance(value, str) else value, name, (*words.values(),))
    kinds = [kind for kind in kinds if kind != "None"]
    if len(kinds) != 1 or kinds[0] not in CHECKS:
        return value  # which the class looks at itself
    found = CHECKS[kinds[0]](value, name)
    if not all(holds(found, option[bound]) for bound, holds in _BOUNDS.items() if bound in option):
        raise ValueError(f"{name} must be {option['expected']}, got {found!r}")
    return found


class _Argument(NamedTuple):
    name: str
    types: str
    given: Any  # a Core, an Only, a default, or that there is none
    is_keyword: bool

    @property
    def key(self) -> str | None:
        """The library's name of it; None of what is not the library's."""
        if isinstance(self.given, Core):
            return self.given.key or self.name
        return self.name if self.given is inspect.Parameter.empty else None

    def option(self, place: tuple[str, ...]) -> Mapping[str, Any]:
        return options(*place).get(self.key, {}) if place and self.key else {}

    def documentation(self, place: tuple[str, ...]) -> list[str]:
        """Lines with what the library says of it."""
        option = {"doc": f"{self.given.text}."} if isinstance(self.given, Only) else self.option(place)
        return _documented(self.name, option, "    ") if "doc" in option else []

    def parameter(self, kind: type[WithOptions]) -> inspect.Parameter:
        default = self.given
        if isinstance(default, Core):
            option = self.option(kind._place)
            default = default.replaced[0] if default.replaced else option.get("keras", option.get("default"))
        elif isinstance(default, Only):
            default = default.values[0]
        elif isinstance(default, Name):
            default = kind._usual_name() if default.is_told else None
        is_keyword = self.is_keyword and not kind._all_by_place
        where = inspect.Parameter.KEYWORD_ONLY if is_keyword else inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Parameter(self.name, where, default=default, annotation=self.types)

    def checked(self, value: object, place: tuple[str, ...]) -> Any:
        if isinstance(self.given, Only):
            self.given.check(value, self.name)
            return value
        return checked(value, self.name, self.types, self.option(place))


@functools.cache
def _signature(kind: Any) -> inspect.Signature:
    found = sorted(kind._arguments.values(), key=lambda argument: argument.is_keyword)
    return inspect.Signature([argument.parameter(kind) for argument in found])


class _Signature:
    def __get__(self, instance: object, owner: Any) -> inspect.Signature | None:
        return _signature(owner) if instance is None else None


def _documented(name: str, option: Mapping[str, Any], indent: str) -> list[str]:
    """What an option is for and may be, in Python's words, a line for it and one for each of its own options."""
    doc = re.sub(r"\bnull\b", "None", option["doc"])
    choices = f" One of {', '.join(map(repr, option['choices']))}." if option.get("type") == "choice" else ""
    inner = option.get("options", {}).items()
    lines = [
        line
        for key, each in inner
        for line in _documented(f"{key} (by default {each['default']})", each, indent + "    ")
    ]
    dictionary = " True, or a dictionary with any of:" if lines else ""
    return [f"{indent}{name}: {doc}{choices}{dictionary}", *lines]


class _Documentation:
    def __init__(self, own: str) -> None:
        self.own = own

    def __get__(self, instance: object, owner: type[WithOptions]) -> str:
        lines = [line for each in owner._arguments.values() for line in each.documentation(owner._place)]
        own = inspect.cleandoc(self.own)
        if not own and len(owner._place) == 2:
            own = _description()[owner._place[0]].get(owner._place[1], {}).get("doc", "")
        return "\n".join([own, "", "Options:", *lines]) if lines else own


@dataclass_transform()
class WithOptions(Described):
    """The base of such classes. A line ``_: KW_ONLY`` stands before arguments that go by name only. After they are set,
    ``__post_init__`` may look at them together.

    A base of several has a ``section`` of the description, each of them its ``kind`` in it, by which ``_kinds`` of the
    base has it; of several of a kind it has the first.
    """

    _place: ClassVar[tuple[str, ...]] = ()  # of the options in the description
    _kinds: ClassVar[dict[str, type[Any]]] = {}
    _arguments: ClassVar[dict[str, _Argument]] = {}
    _all_by_place: ClassVar[bool] = False  # also those behind KW_ONLY, which are the last
    __signature__: ClassVar[_Signature | None] = _Signature()

    def __init_subclass__(cls, section: str = "", kind: str = "") -> None:
        if cls.__module__.partition(".")[0] != __package__:  # somebody's own class: what it annotates is its affair
            if "__init__" in vars(cls):
                cls.__signature__ = None
            return
        if section:
            cls._place, cls._kinds = (section, kind), {}
        elif kind:
            cls._place = (cls._place[0], kind)
            cls._kinds.setdefault(kind, cls)
        own: dict[str, _Argument] = {}
        is_keyword = False
        for name, types in inspect.get_annotations(cls).items():
            if types == "KW_ONLY":
                is_keyword = True
            elif not types.startswith("ClassVar"):
                given = vars(cls).get(name, inspect.Parameter.empty)
                if isinstance(given, (Core, Only)):
                    delattr(cls, name)
                # A descriptor says itself what it may be set to.
                types = str(getattr(given, "types", types))
                own[name] = _Argument(name, types, getattr(given, "given", given), is_keyword)
        cls._arguments = cls._arguments | own
        cls.__doc__ = _Documentation(cls.__doc__ or "")  # type: ignore[assignment]

    def __init__(self, *values: Any, **named: Any) -> None:
        self._take(self._bound(*values, **named))

    def _take(self, arguments: Mapping[str, Any]) -> None:
        """Makes arguments attributes."""
        for name, value in arguments.items():
            setattr(self, name, self._arguments[name].checked(value, self._place))
        self.__post_init__()

    def __post_init__(self) -> None:
        pass

    @classmethod
    def _usual_name(cls) -> str:
        return cls.__name__

    @classmethod
    def _bound(cls: Any, *values: Any, **named: Any) -> dict[str, Any]:
        """All arguments by name, as they were given or by default."""
        for name in named:
            if name not in cls._arguments:
                raise unexpected(cls.__name__, name, cls._arguments)
        try:
            bound = _signature(cls).bind(*values, **named)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}(): {error}") from None
        bound.apply_defaults()
        arguments: dict[str, Any] = bound.arguments
        return arguments

    def _told(self) -> dict[str, Any]:
        """The library's options by name."""
        return {key: getattr(self, name) for name, key in self._keys().items()}

    @classmethod
    def _from_told(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that such options are; without those that are as if nothing was said."""
        return {name: settings[key] for name, key in cls._keys().items() if settings.get(key) is not None}

    @classmethod
    def _keys(cls) -> dict[str, str]:
        """The library's names of the arguments."""
        return {each.name: each.key for each in cls._arguments.values() if each.key and each.option(cls._place)}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name, but for the dtype, of which there is one."""
        return {name: getattr(self, name) for name in self._arguments if name != "dtype"}
