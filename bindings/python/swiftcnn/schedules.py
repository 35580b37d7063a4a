"""Learning rates that change with the step: pass one as an optimizer's ``learning_rate``.

Each describes its curve; the library computes it. Where a number of steps is left out (``None``), the whole of the next
``fit`` is taken: epochs times batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._checks import boolean, integer, number, unknown
from ._config import Configured, name_or

__all__ = [
    "ConstantSchedule",
    "CosineDecay",
    "ExponentialDecay",
    "LearningRateSchedule",
    "OneCycle",
    "StepDecay",
]


class LearningRateSchedule(Configured):
    """The base of all schedules.

    Attributes:
        learning_rate: the rate that the curve is relative to.
        name: how it is called; by default as its class.
        settings: the curve, as the library is told.
    """

    learning_rate: float
    name: str
    settings: dict[str, object]

    def __init__(
        self, learning_rate: float, kind: str, name: str | None, config: dict[str, object], **settings: object
    ) -> None:
        self.learning_rate = learning_rate
        self.name = name_or(name, type(self).__name__)
        self.settings = {"name": kind} | {key: value for key, value in settings.items() if value is not None}
        super().__init__(config | {"name": self.name})

    @property
    def is_open(self) -> bool:
        """Whether its number of steps is left to ``fit``."""
        return self.settings["name"] in ("cosine", "one_cycle") and "total_steps" not in self.settings

    def __repr__(self) -> str:
        values = [value for key, value in self._config.items() if key != "name"]
        return f"{type(self).__name__}({', '.join(map(repr, values))})"


class ConstantSchedule(LearningRateSchedule):
    """The same rate at every step."""

    def __init__(self, learning_rate: float, name: str | None = None) -> None:
        rate = number(learning_rate, "learning_rate")
        super().__init__(rate, "constant", name, {"learning_rate": rate})


class StepDecay(LearningRateSchedule):
    """The rate times ``gamma`` after every ``step_size`` steps."""

    def __init__(
        self, initial_learning_rate: float, step_size: int, gamma: float = 0.1, name: str | None = None
    ) -> None:
        rate = number(initial_learning_rate, "initial_learning_rate")
        size = integer(step_size, "step_size", minimum=1)
        factor = number(gamma, "gamma")
        config: dict[str, object] = {"initial_learning_rate": rate, "step_size": size, "gamma": factor}
        super().__init__(rate, "step", name, config, step_size=size, gamma=factor)


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``; ``staircase`` rounds the exponent down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = "ExponentialDecay",
    ) -> None:
        rate = number(initial_learning_rate, "initial_learning_rate")
        steps = integer(decay_steps, "decay_steps", minimum=1)
        factor = number(decay_rate, "decay_rate")
        stairs = boolean(staircase, "staircase")
        config: dict[str, object] = {
            "initial_learning_rate": rate,
            "decay_steps": steps,
            "decay_rate": factor,
            "staircase": stairs,
        }
        if stairs:
            super().__init__(rate, "step", name, config, step_size=steps, gamma=factor)
        else:
            super().__init__(rate, "exponential", name, config, decay_steps=steps, decay_rate=factor)


class CosineDecay(LearningRateSchedule):
    """Half a cosine from a rate down to ``alpha`` times it over ``decay_steps`` (Loshchilov and Hutter, SGDR,
    arXiv:1608.03983), after a linear warm-up where ``warmup_target`` is given.

    Args:
        initial_learning_rate: where the curve begins, or the warm-up.
        decay_steps: of the cosine, without the warm-up. None: what the warm-up leaves of the next ``fit``.
        alpha: the share of the highest rate that is left at the end.
        warmup_target: the rate that the warm-up reaches.
        warmup_steps: of the warm-up.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int | None,
        alpha: float = 0.0,
        name: str | None = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        initial = rate = number(initial_learning_rate, "initial_learning_rate")
        warmup = integer(warmup_steps, "warmup_steps")
        target = None if warmup_target is None else number(warmup_target, "warmup_target")
        if target is not None:
            rate = target
        elif warmup:
            raise ValueError("warmup_steps needs a warmup_target, the rate that the warm-up reaches")
        steps = None if decay_steps is None else integer(decay_steps, "decay_steps", minimum=1)
        share = number(alpha, "alpha")
        config: dict[str, object] = {
            "initial_learning_rate": initial,
            "decay_steps": steps,
            "alpha": share,
            "warmup_target": target,
            "warmup_steps": warmup,
        }
        super().__init__(
            rate,
            "cosine",
            name,
            config,
            total_steps=None if steps is None else warmup + steps,
            warmup_steps=warmup,
            warmup_start=None if target is None else initial,
            final_rate=share * rate,
        )


class OneCycle(LearningRateSchedule):
    """Up to ``maximum`` and down again in one cosine-shaped cycle (Smith and Topin, arXiv:1708.07120).

    Args:
        maximum: the highest rate.
        total_steps: of the cycle. None: the next ``fit``.
        start_share: the share of the steps in which the rate rises.
        divisor: the first rate is ``maximum / divisor``.
        final_divisor: the last rate is the first divided by this.
    """

    def __init__(
        self,
        maximum: float,
        total_steps: int | None = None,
        start_share: float = 0.3,
        divisor: float = 25.0,
        final_divisor: float = 1e4,
        name: str | None = None,
    ) -> None:
        highest = number(maximum, "maximum")
        config: dict[str, object] = {
            "maximum": highest,
            "total_steps": None if total_steps is None else integer(total_steps, "total_steps", minimum=1),
            "start_share": number(start_share, "start_share"),
            "divisor": number(divisor, "divisor"),
            "final_divisor": number(final_divisor, "final_divisor"),
        }
        super().__init__(highest, "one_cycle", name, config, **config)


_SCHEDULES: dict[str, type[LearningRateSchedule]] = {
    kind.__name__: kind for kind in (ConstantSchedule, StepDecay, ExponentialDecay, CosineDecay, OneCycle)
}


def serialize(schedule: LearningRateSchedule) -> dict[str, object]:
    """The name of a schedule's class and its arguments."""
    return {"class_name": type(schedule).__name__, "config": schedule.get_config()}


def deserialize(config: object) -> LearningRateSchedule:
    """The schedule that ``serialize`` described.

    Raises:
        ValueError: no such description.
    """
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ValueError(f"a schedule must be a dictionary with 'class_name' and 'config', got {config!r}")
    name = config.get("class_name")
    if name not in _SCHEDULES:
        raise unknown("schedule", str(name), _SCHEDULES)
    return _SCHEDULES[name].from_config(config["config"])


def of_settings(settings: Mapping[str, Any], rate: float) -> LearningRateSchedule | None:
    """The schedule of a loaded checkpoint, from what the library says of it; None where the rate is constant. What has
    no class of its own here is one of the base class."""
    given = {key: value for key, value in settings.items() if value is not None}
    kind = given["name"]
    found: LearningRateSchedule | None = None
    if kind == "constant":
        return None
    if kind == "step":
        found = StepDecay(rate, given["step_size"], given["gamma"])
    elif kind == "exponential":
        found = ExponentialDecay(rate, given["decay_steps"], given["decay_rate"])
    elif kind == "one_cycle":
        found = OneCycle(**{key: value for key, value in given.items() if key != "name"})
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
        found = LearningRateSchedule(rate, kind, None, {})
    found.settings, found.learning_rate = given, rate
    return found
