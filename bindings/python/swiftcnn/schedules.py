"""Learning rates that change with the step: pass one as an optimizer's ``learning_rate``.

Each describes its curve; the library computes it. Where a number of steps is left out (``None``), the whole of the next
``fit`` is taken: epochs times batches.
"""

from __future__ import annotations

from ._checks import boolean, integer, number

__all__ = [
    "ConstantSchedule",
    "CosineDecay",
    "ExponentialDecay",
    "LearningRateSchedule",
    "OneCycle",
    "StepDecay",
]


class LearningRateSchedule:
    """The base of all schedules.

    Attributes:
        learning_rate: the rate that the curve is relative to.
        settings: the curve, as the library is told.
    """

    learning_rate: float
    settings: dict[str, object]

    def __init__(self, learning_rate: float, name: str, **settings: object) -> None:
        self.learning_rate = learning_rate
        self.settings = {"name": name} | {key: value for key, value in settings.items() if value is not None}

    def __repr__(self) -> str:
        rest = "".join(f", {key}={value!r}" for key, value in self.settings.items() if key != "name")
        return f"{type(self).__name__}({self.learning_rate!r}{rest})"


class ConstantSchedule(LearningRateSchedule):
    """The same rate at every step."""

    def __init__(self, learning_rate: float) -> None:
        super().__init__(number(learning_rate, "learning_rate"), "constant")


class StepDecay(LearningRateSchedule):
    """The rate times ``gamma`` after every ``step_size`` steps."""

    def __init__(self, initial_learning_rate: float, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(
            number(initial_learning_rate, "initial_learning_rate"),
            "step",
            step_size=integer(step_size, "step_size", minimum=1),
            gamma=number(gamma, "gamma"),
        )


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``; ``staircase`` rounds the exponent down."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        rate = number(initial_learning_rate, "initial_learning_rate")
        steps = integer(decay_steps, "decay_steps", minimum=1)
        factor = number(decay_rate, "decay_rate")
        if boolean(staircase, "staircase"):
            super().__init__(rate, "step", step_size=steps, gamma=factor)
        else:
            super().__init__(rate, "exponential", decay_steps=steps, decay_rate=factor)


class CosineDecay(LearningRateSchedule):
    """Half a cosine from a rate down to ``alpha`` times it over ``decay_steps`` (Loshchilov and Hutter, SGDR,
    arXiv:1608.03983), after a linear warm-up where ``warmup_target`` is given.

    Args:
        initial_learning_rate: where the curve begins; 0 with a warm-up.
        decay_steps: of the cosine, without the warm-up. None: what the warm-up leaves of the next ``fit``.
        alpha: the share of the highest rate that is left at the end.
        warmup_target: the rate that the warm-up reaches.
        warmup_steps: of the warm-up.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int | None = None,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        rate = number(initial_learning_rate, "initial_learning_rate")
        warmup = integer(warmup_steps, "warmup_steps")
        if warmup_target is not None:
            if rate != 0.0:
                raise ValueError(f"initial_learning_rate must be 0 with a warmup_target, got {rate}")
            rate = number(warmup_target, "warmup_target")
        elif warmup:
            raise ValueError("warmup_steps needs a warmup_target, the rate that the warm-up reaches")
        total = None if decay_steps is None else warmup + integer(decay_steps, "decay_steps", minimum=1)
        super().__init__(
            rate, "cosine", total_steps=total, warmup_steps=warmup, final_rate=number(alpha, "alpha") * rate
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
    ) -> None:
        highest = number(maximum, "maximum")
        super().__init__(
            highest,
            "one_cycle",
            maximum=highest,
            total_steps=None if total_steps is None else integer(total_steps, "total_steps", minimum=1),
            start_share=number(start_share, "start_share"),
            divisor=number(divisor, "divisor"),
            final_divisor=number(final_divisor, "final_divisor"),
        )
