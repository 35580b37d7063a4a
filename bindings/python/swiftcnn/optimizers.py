"""Optimizers, with Keras's arguments.

Beside those, all take: ``decoupled`` (whether ``weight_decay`` shrinks the weights directly, as Keras and AdamW do, or
is added to the gradient as L2 regularisation, as PyTorch's SGD does) and ``decay_all`` (whether biases and batch
normalisation decay too).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from . import schedules
from ._checks import ArgumentError
from ._config import chosen
from ._described import Name, WithOptions, checked, core, only, options
from .schedules import LearningRateSchedule

if TYPE_CHECKING:
    from dataclasses import KW_ONLY

    from ._swiftcnn import Model as Handle

__all__ = ["SGD", "Adam", "AdamW", "LearningRate", "Optimizer", "RMSprop", "schedules"]
__dir__ = __all__.copy  # what completion offers


class LearningRate(float):
    """A learning rate as it was when it was asked for: a float that can be assigned to, as Keras's variable."""

    _optimizer: Optimizer

    def assign(self, value: float) -> None:
        """The same as ``optimizer.learning_rate = value``."""
        self._optimizer.learning_rate = value

    def numpy(self) -> float:
        """The number."""
        return float(self)


class _Rate:
    """The learning rate of an optimizer, which is its model's after ``compile``."""

    given: ClassVar[Any] = core()
    types: ClassVar[str] = "float | LearningRateSchedule"

    def __get__(self, optimizer: Optimizer | None, owner: object = None) -> LearningRate:
        rate = LearningRate(0.0 if optimizer is None else optimizer._rate())
        if optimizer is not None:
            rate._optimizer = optimizer
        return rate

    def __set__(self, optimizer: Optimizer, value: float | LearningRateSchedule) -> None:
        schedule = value if isinstance(value, LearningRateSchedule) else None
        plain = value.learning_rate if isinstance(value, LearningRateSchedule) else value
        rate: float = checked(plain, "learning_rate", "float", options(*optimizer._place)["learning_rate"])
        if optimizer._handle is not None:
            optimizer._handle.set_learning_rate(rate)
        optimizer._learning_rate, optimizer.schedule = rate, schedule


class Optimizer(WithOptions, section="optimizers", kind="sgd"):
    """The base of all optimizers. After ``compile`` its learning rate is that of the model, and setting it ends a
    schedule; an optimizer is for one model.

    Args:
        learning_rate: a number or one of ``schedules``.
        weight_decay: None or 0 for none.
        use_ema: an exponential moving average of the weights is kept; see ``Model.swap_ema``. At the end of ``fit``
            they take its values, as in Keras.
        gradient_accumulation_steps: 2 or more batches; ``iterations`` counts updates.
        name: how it is called; by default as its class, in small letters.
    """

    learning_rate: _Rate = _Rate()
    _: KW_ONLY
    clipnorm: float | None = core("clip_norm_each")
    clipvalue: float | None = core("clip_value")
    global_clipnorm: float | None = core("clip_norm")
    use_ema: bool = False
    ema_momentum: float = core("ema_decay", default=0.99)
    ema_overwrite_frequency: int | None = core("ema_overwrite")
    loss_scale_factor: float | None = only(None)
    gradient_accumulation_steps: int | None = core(default=None)
    name: Name = Name()
    decoupled: bool = core()
    decay_all: bool = core()

    def __init__(self, *values: Any, **named: Any) -> None:
        self._handle: Handle | None = None
        self._learning_rate = 0.0
        self.schedule: LearningRateSchedule | None = None
        super().__init__(*values, **named)
        if sum(value is not None for value in (self.clipnorm, self.clipvalue, self.global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
                f"clipnorm={self.clipnorm}, clipvalue={self.clipvalue}, global_clipnorm={self.global_clipnorm}"
            )
        if self.gradient_accumulation_steps == 1:
            raise ValueError("gradient_accumulation_steps must be at least 2, got 1")

    @classmethod
    def _usual_name(cls) -> str:
        return cls.__name__.lower()

    @property
    def iterations(self) -> int:
        """How many updates there were since ``compile``, those before a checkpoint included."""
        return 0 if self._handle is None else self._handle.trained_steps() // (self.gradient_accumulation_steps or 1)

    @property
    def settings(self) -> dict[str, object]:
        """What the library is told."""
        settings = self._told()
        if not self.use_ema:
            settings |= {"ema_decay": None, "ema_overwrite": None}
        return settings | {
            "name": self._place[1],
            "learning_rate": self._learning_rate,
            "weight_decay": settings["weight_decay"] or 0.0,
            "gradient_accumulation_steps": self.gradient_accumulation_steps or 1,
        }

    def _rate(self) -> float:
        return self._learning_rate if self._handle is None else self._handle.get_learning_rate()

    def _bind(self, handle: Handle) -> None:
        """From now on the learning rate is that of this model."""
        self._handle = handle

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name; a schedule as a dictionary with its ``class_name`` and ``config``."""
        rate = self._rate() if self.schedule is None else schedules.serialize(self.schedule)
        return super().get_config() | {"learning_rate": rate}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The optimizer that such a dictionary describes.

        Raises:
            TypeError: a key is no argument of the constructor.
        """
        arguments = dict(config)
        if isinstance(arguments.get("learning_rate"), dict):
            arguments["learning_rate"] = schedules.deserialize(arguments["learning_rate"])
        return cls(**arguments)

    def __getstate__(self) -> dict[str, object]:
        state: dict[str, object] = {**self.__dict__, "_handle": None}  # a copy is for another model
        if self.schedule is None:
            state["_learning_rate"] = self._rate()
        return state

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.schedule or self._rate()!r})"


class SGD(Optimizer, kind="sgd"):
    """Gradient descent with momentum, ``v = momentum * v - learning_rate * g; w += v``, or Nesterov's form of it
    (Sutskever et al., ICML 2013)."""

    momentum: float = core()
    nesterov: bool = core()
    weight_decay: float | None = core(default=None)
    _: KW_ONLY
    rate_in_velocity: bool = core()


class Adam(Optimizer, kind="adam"):
    """Adaptive moments (Kingma and Ba, arXiv:1412.6980)."""

    beta_1: float = core()
    beta_2: float = core()
    epsilon: float = core()
    amsgrad: bool = only(False)
    weight_decay: float | None = core(default=None)
    _: KW_ONLY
    epsilon_hat: bool = core()


class AdamW(Optimizer, kind="adamw"):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""

    weight_decay: float = core()
    beta_1: float = core()
    beta_2: float = core()
    epsilon: float = core()
    amsgrad: bool = only(False)
    _: KW_ONLY
    epsilon_hat: bool = core()


class RMSprop(Optimizer, kind="rmsprop"):
    """Gradients divided by a moving average of their magnitude (Tieleman and Hinton, 2012)."""

    rho: float = core()
    momentum: float = core()
    epsilon: float = core()
    centered: bool = core()
    weight_decay: float | None = core(default=None)
    _: KW_ONLY
    epsilon_inside_root: bool = core()


def of_settings(settings: Mapping[str, Any], schedule: Mapping[str, Any]) -> Optimizer:
    """The optimizer of a loaded checkpoint, from what the library says of it."""
    kind: type[Optimizer] = Optimizer._kinds[settings["name"]]
    given = kind._from_told(settings) | {"use_ema": settings["ema_decay"] is not None}
    if given["gradient_accumulation_steps"] == 1:
        del given["gradient_accumulation_steps"]
    given["learning_rate"] = schedules.of_settings(schedule, settings["learning_rate"]) or settings["learning_rate"]
    return kind(**given)


def get(identifier: str | Optimizer) -> Optimizer:
    """The optimizer with a name, with default arguments, or the one given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor an optimizer.
    """
    if isinstance(identifier, type) or type(identifier) is Optimizer:  # which would be made without a learning rate
        raise ArgumentError(f"optimizer must be a name or one of swiftcnn.optimizers, got {identifier!r}")
    return chosen(identifier, "optimizer", Optimizer, Optimizer._kinds)
