"""Learning rates that change with the step: pass one as an optimizer's ``learning_rate``.

Each describes its curve; the library computes it. Where a number of steps is left out (``None``), the whole of the next
``fit`` is taken: epochs times batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._config import chosen
from ._described import Name, WithOptions, checked, core, options

__all__ = [
    "ConstantSchedule",
    "CosineDecay",
    "ExponentialDecay",
    "LearningRateSchedule",
    "OneCycle",
    "StepDecay",
]
__dir__ = __all__.copy  # what completion offers


class LearningRateSchedule(WithOptions, section="schedules"):
    """The base of all schedules.

    Attributes:
        learning_rate: the rate that the curve is relative to.
        name: how it is called; by default as its class.
        settings: the curve, as the library is told.
    """

    name = Name()

    def __post_init__(self) -> None:
        rate, curve = self._curve()
        self.learning_rate: float = rate
        self.settings: dict[str, Any] = {"name": self._place[1]} | {
            key: value for key, value in curve.items() if value is not None
        }

    def _curve(self) -> tuple[float, dict[str, Any]]:
        """The rate that the curve is relative to, by default the first argument, and the library's options."""
        return getattr(self, next(iter(self._arguments))), self._told()

    @property
    def is_open(self) -> bool:
        """Whether its number of steps is left to ``fit``."""
        return self.settings["name"] in ("cosine", "one_cycle") and "total_steps" not in self.settings

    def __repr__(self) -> str:
        values = [value for key, value in self.get_config().items() if key != "name"]
        return f"{type(self).__name__}({', '.join(map(repr, values))})"


class ConstantSchedule(LearningRateSchedule, kind="constant"):
    """The same rate at every step."""

    learning_rate: float
    name: Name = Name()


class StepDecay(LearningRateSchedule, kind="step"):
    """The rate times ``gamma`` after every ``step_size`` steps."""

    initial_learning_rate: float
    step_size: int
    gamma: float = core()
    name: Name = Name()


class ExponentialDecay(LearningRateSchedule, kind="exponential"):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``; ``staircase`` rounds the exponent down."""

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False
    name: Name = Name(is_told=True)

    def _curve(self) -> tuple[float, dict[str, Any]]:
        if self.staircase:
            stairs = {"name": "step", "step_size": self.decay_steps, "gamma": self.decay_rate}
            return self.initial_learning_rate, stairs
        return super()._curve()


class CosineDecay(LearningRateSchedule, kind="cosine"):
    """Half a cosine from a rate down to ``alpha`` times it over ``decay_steps`` (Loshchilov and Hutter, SGDR,
    arXiv:1608.03983), after a linear warm-up where ``warmup_target`` is given.

    Args:
        initial_learning_rate: where the curve begins, or the warm-up.
        decay_steps: of the cosine, without the warm-up. None: what the warm-up leaves of the next ``fit``.
        alpha: the share of the highest rate that is left at the end.
        warmup_target: the rate that the warm-up reaches.
        warmup_steps: of the warm-up.
    """

    initial_learning_rate: float
    decay_steps: int | None
    alpha: float = 0.0
    name: Name = Name(is_told=True)
    warmup_target: float | None = None
    warmup_steps: int = core()

    def _curve(self) -> tuple[float, dict[str, Any]]:
        checked(self.decay_steps, "decay_steps", "int | None", options(*self._place)["total_steps"])
        if self.warmup_target is None and self.warmup_steps:
            raise ValueError("warmup_steps needs a warmup_target, the rate that the warm-up reaches")
        rate = self.initial_learning_rate if self.warmup_target is None else self.warmup_target
        return rate, {
            "total_steps": None if self.decay_steps is None else self.warmup_steps + self.decay_steps,
            "warmup_steps": self.warmup_steps,
            "warmup_start": None if self.warmup_target is None else self.initial_learning_rate,
            "final_rate": self.alpha * rate,
        }


class OneCycle(LearningRateSchedule, kind="one_cycle"):
    """Up to ``maximum`` and down again in one cosine-shaped cycle (Smith and Topin, arXiv:1708.07120)."""

    maximum: float
    total_steps: int | None = core()
    start_share: float = core()
    divisor: float = core()
    final_divisor: float = core()
    name: Name = Name()


def serialize(schedule: LearningRateSchedule) -> dict[str, object]:
    """The name of a schedule's class and its arguments."""
    return {"class_name": type(schedule).__name__, "config": schedule.get_config()}


def deserialize(config: object) -> LearningRateSchedule:
    """The schedule that ``serialize`` described.

    Raises:
        ValueError: no such description.
    """
    if not isinstance(config, Mapping) or not {"class_name", "config"} <= config.keys():
        raise ValueError(f"a schedule must be a dictionary with 'class_name' and 'config', got {config!r}")
    kinds = {kind.__name__: kind for kind in LearningRateSchedule._kinds.values()}
    return chosen(config, "schedule", LearningRateSchedule, kinds)


def of_settings(settings: Mapping[str, Any], rate: float) -> LearningRateSchedule | None:
    """The schedule of a loaded checkpoint, from what the library says of it; None where the rate is constant. What has
    no class of its own here is one of the base class."""
    given = {key: value for key, value in settings.items() if value is not None}
    kind = given["name"]
    found: LearningRateSchedule | None = None
    if kind == "constant":
        return None
    if kind != "cosine":
        made: type[LearningRateSchedule] = LearningRateSchedule._kinds[kind]
        found = made(**{next(iter(made._arguments)): rate, **made._from_told(given)})
    else:
        total, warmup, start = given.get("total_steps"), given["warmup_steps"], given.get("warmup_start")
        if rate > 0 and (total is None or total > warmup) and (start is None) == (warmup == 0):
            found = CosineDecay(
                rate if start is None else start,
                None if total is None else total - warmup,
                given["final_rate"] / rate,
                warmup_target=None if start is None else rate,
                warmup_steps=warmup,
            )
    if found is None:
        found = object.__new__(LearningRateSchedule)
        found.name = kind
    found.settings, found.learning_rate = given, rate
    return found
