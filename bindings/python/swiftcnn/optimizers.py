"""Optimizers, with Keras's arguments.

Beside those, all take: ``decoupled`` (whether ``weight_decay`` shrinks the weights directly, as Keras and AdamW do, or
is added to the gradient as L2 regularisation, as PyTorch's SGD does) and ``decay_all`` (whether biases and batch
normalisation decay too).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict, TypeVar, Unpack

from . import schedules
from ._checks import ArgumentError, boolean, entry, integer, number, text, unsupported
from .schedules import LearningRateSchedule

if TYPE_CHECKING:
    from ._swiftcnn import Model as Handle

__all__ = ["SGD", "Adam", "AdamW", "LearningRate", "Optimizer", "OptimizerOptions", "RMSprop", "schedules"]


class OptimizerOptions(TypedDict, total=False):
    """What all optimizers take by keyword; ``Optimizer`` says what each is."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None
    decoupled: bool
    decay_all: bool


class LearningRate(float):
    """A learning rate as it was when it was asked for: a float that can be assigned to, as Keras's variable."""

    _optimizer: Optimizer

    def assign(self, value: float) -> None:
        """The same as ``optimizer.learning_rate = value``."""
        self._optimizer.learning_rate = value

    def numpy(self) -> float:
        """The number."""
        return float(self)


class Optimizer:
    """The base of all optimizers. After ``compile`` its learning rate is that of the model; an optimizer is for one
    model.

    Args:
        learning_rate: a number or one of ``schedules``.
        weight_decay: None or 0 for none.
        clipnorm: the norm of each parameter's gradient is clipped to this.
        clipvalue: every number of the gradients is clipped to at most this, and at least its negative.
        global_clipnorm: the norm of all gradients together is clipped to this. At most one of the three.
        use_ema: an exponential moving average of the weights is kept; see ``Model.swap_ema``.
        ema_momentum: the share of the old average that is kept at each update.
        ema_overwrite_frequency: after every so many updates the weights take the values of their average. At the end of
            ``fit`` they do in any case, as in Keras.
        loss_scale_factor: None, since there is no such thing.
        gradient_accumulation_steps: so many batches, 2 or more, make one update, with the mean of their gradients, as
            one batch of all their images would: for batches for which there is no memory. The count goes on from epoch
            to epoch. Schedules count batches, as in Keras; ``iterations`` and the average of the weights count updates.
        name: how it is called; by default as its class, in small letters.
        decoupled: the decay is ``w -= learning_rate * weight_decay * w`` rather than ``gradient += weight_decay * w``.
        decay_all: biases and batch normalisation decay too.
    """

    _kind: ClassVar[str] = ""  # the library's name for it
    _constants: ClassVar[tuple[str, ...]] = ()  # the attributes that the library is told beside those of all

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        weight_decay: float | None = None,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        decoupled: bool = True,
        decay_all: bool = True,
        **unknown: object,
    ) -> None:
        if unknown:
            raise ArgumentError(f"{type(self).__name__}() got an unexpected keyword argument {next(iter(unknown))!r}")
        if isinstance(learning_rate, LearningRateSchedule):
            self.schedule: LearningRateSchedule | None = learning_rate
            self._learning_rate = learning_rate.learning_rate
        else:
            self.schedule = None
            self._learning_rate = _at_least_0(learning_rate, "learning_rate")
        if loss_scale_factor is not None:
            raise unsupported("loss_scale_factor", loss_scale_factor, "None")
        if sum(value is not None for value in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
                f"clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )
        self.name = type(self).__name__.lower() if name is None else text(name, "name")
        self.weight_decay = None if weight_decay is None else _at_least_0(weight_decay, "weight_decay")
        self.clipnorm = _clip(clipnorm, "clipnorm")
        self.clipvalue = _clip(clipvalue, "clipvalue")
        self.global_clipnorm = _clip(global_clipnorm, "global_clipnorm")
        self.use_ema = boolean(use_ema, "use_ema")
        self.ema_momentum = _share(ema_momentum, "ema_momentum")
        self.decoupled = boolean(decoupled, "decoupled")
        self.decay_all = boolean(decay_all, "decay_all")
        self.ema_overwrite_frequency = _count(ema_overwrite_frequency, "ema_overwrite_frequency", minimum=1)
        self.gradient_accumulation_steps = _count(gradient_accumulation_steps, "gradient_accumulation_steps", minimum=2)
        self._handle: Handle | None = None

    @property
    def iterations(self) -> int:
        """How many updates there were since ``compile``, those before a checkpoint included."""
        return 0 if self._handle is None else self._handle.trained_steps() // (self.gradient_accumulation_steps or 1)

    @property
    def settings(self) -> dict[str, object]:
        """What the library is told."""
        settings: dict[str, object] = {
            "name": self._kind,
            "learning_rate": self._learning_rate,
            "weight_decay": self.weight_decay or 0.0,
            "decoupled": self.decoupled,
            "decay_all": self.decay_all,
            "clip_norm": self.global_clipnorm,
            "ema_decay": self.ema_momentum if self.use_ema else None,
            "gradient_accumulation_steps": self.gradient_accumulation_steps or 1,
        }
        if self.use_ema and self.ema_overwrite_frequency is not None:
            settings["ema_overwrite"] = self.ema_overwrite_frequency
        if self.clipnorm is not None:
            settings["clip_norm_each"] = self.clipnorm
        if self.clipvalue is not None:
            settings["clip_value"] = self.clipvalue
        return settings | {name: getattr(self, name) for name in self._constants}

    @property
    def learning_rate(self) -> LearningRate:
        """The learning rate of the next step. Setting it ends a schedule."""
        rate = LearningRate(self._learning_rate if self._handle is None else self._handle.get_learning_rate())
        rate._optimizer = self
        return rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        rate = number(value, "learning_rate")
        if self._handle is not None:
            self._handle.set_learning_rate(rate)
        self._learning_rate = rate
        self.schedule = None

    def _bind(self, handle: Handle) -> None:
        """From now on the learning rate is that of this model."""
        self._handle = handle

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name; a schedule as a dictionary with its ``class_name`` and ``config``."""
        rate = float(self.learning_rate) if self.schedule is None else schedules.serialize(self.schedule)
        names = (
            "weight_decay",
            "clipnorm",
            "clipvalue",
            "global_clipnorm",
            "use_ema",
            "ema_momentum",
            "ema_overwrite_frequency",
            "gradient_accumulation_steps",
            "decoupled",
            "decay_all",
            *self._constants,
        )
        return {"name": self.name, "learning_rate": rate} | {name: getattr(self, name) for name in names}

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
            state["_learning_rate"] = float(self.learning_rate)
        return state

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.schedule or float(self.learning_rate)!r})"


_Constructor = TypeVar("_Constructor", bound=Callable[..., None])


def _shows_options(constructor: _Constructor) -> _Constructor:
    """Gives a constructor that takes ``**options`` the signature in which they stand one by one, for ``help`` and the
    like; type checkers read it from ``OptimizerOptions``."""
    own = inspect.signature(constructor)
    of_all = inspect.signature(Optimizer.__init__).parameters
    shown = [parameter for parameter in own.parameters.values() if parameter.kind != parameter.VAR_KEYWORD]
    shown += [of_all[name] for name in OptimizerOptions.__annotations__]
    constructor.__dict__["__signature__"] = own.replace(parameters=shown)
    return constructor


class SGD(Optimizer):
    """Gradient descent with momentum, ``v = momentum * v - learning_rate * g; w += v``, or Nesterov's form of it
    (Sutskever et al., ICML 2013)."""

    _kind = "sgd"
    _constants = ("momentum", "nesterov")

    _rate_in_velocity = True  # as Keras; a checkpoint of another language may have it otherwise

    @property
    def settings(self) -> dict[str, object]:
        """What the library is told."""
        return super().settings | {"rate_in_velocity": self._rate_in_velocity}

    @_shows_options
    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.momentum = _share(momentum, "momentum")
        self.nesterov = boolean(nesterov, "nesterov")


class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba, arXiv:1412.6980).

    Args:
        amsgrad: False, since there is no such thing.
        epsilon_hat: ``epsilon`` is added before the bias of the moments is corrected, as Keras and the paper's section
            2 do; otherwise after it, as PyTorch and the paper's algorithm 1.
    """

    _kind = "adam"
    _constants = ("beta_1", "beta_2", "epsilon", "epsilon_hat")

    @_shows_options
    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        *,
        epsilon_hat: bool = True,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        if boolean(amsgrad, "amsgrad"):
            raise unsupported("amsgrad", amsgrad, "False")
        self.beta_1 = _share(beta_1, "beta_1")
        self.beta_2 = _share(beta_2, "beta_2")
        self.epsilon = _at_least_0(epsilon, "epsilon")
        self.epsilon_hat = boolean(epsilon_hat, "epsilon_hat")


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""

    _kind = "adamw"

    @_shows_options
    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *,
        epsilon_hat: bool = True,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        if weight_decay is None:
            raise ValueError("weight_decay must be a number, got None; Adam has no weight decay by default")
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, epsilon_hat=epsilon_hat, **options
        )


class RMSprop(Optimizer):
    """Gradients divided by a moving average of their magnitude (Tieleman and Hinton, 2012).

    Args:
        epsilon_inside_root: ``g / sqrt(average + epsilon)``, as Keras and TensorFlow; otherwise
            ``g / (sqrt(average) + epsilon)``, as PyTorch.
    """

    _kind = "rmsprop"
    _constants = ("rho", "momentum", "epsilon", "centered", "epsilon_inside_root")

    @_shows_options
    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        *,
        epsilon_inside_root: bool = True,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.rho = _share(rho, "rho")
        self.momentum = _share(momentum, "momentum")
        self.epsilon = _at_least_0(epsilon, "epsilon")
        self.centered = boolean(centered, "centered")
        self.epsilon_inside_root = boolean(epsilon_inside_root, "epsilon_inside_root")


def _at_least_0(value: float, name: str) -> float:
    checked = number(value, name)
    if checked < 0:
        raise ValueError(f"{name} must be at least 0, got {checked}")
    return checked


def _share(value: float, name: str) -> float:
    checked = number(value, name)
    if not 0 <= checked <= 1:
        raise ValueError(f"{name} must be in 0 to 1, got {checked}")
    return checked


def _clip(value: float | None, name: str) -> float | None:
    if value is None:
        return None
    checked = number(value, name)
    if checked <= 0:
        raise ValueError(f"{name} must be above 0, got {checked}")
    return checked


def _count(value: int | None, name: str, minimum: int) -> int | None:
    return None if value is None else integer(value, name, minimum=minimum)


_OPTIMIZERS: dict[str, type[SGD | Adam | RMSprop]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}


def of_settings(settings: Mapping[str, Any], schedule: Mapping[str, Any]) -> Optimizer:
    """The optimizer of a loaded checkpoint, from what the library says of it."""
    kind = _OPTIMIZERS[settings["name"]]
    optimizer = kind(
        schedules.of_settings(schedule, settings["learning_rate"]) or settings["learning_rate"],
        weight_decay=settings["weight_decay"] or (0.0 if kind is AdamW else None),
        clipnorm=settings["clip_norm_each"],
        clipvalue=settings["clip_value"],
        global_clipnorm=settings["clip_norm"],
        use_ema=settings["ema_decay"] is not None,
        ema_momentum=0.99 if settings["ema_decay"] is None else settings["ema_decay"],
        ema_overwrite_frequency=settings["ema_overwrite"],
        gradient_accumulation_steps=None if (steps := settings["gradient_accumulation_steps"]) == 1 else steps,
        decoupled=settings["decoupled"],
        decay_all=settings["decay_all"],
        **{name: settings[name] for name in kind._constants},
    )
    if isinstance(optimizer, SGD):
        optimizer._rate_in_velocity = settings["rate_in_velocity"]
    return optimizer


def get(identifier: str | Optimizer) -> Optimizer:
    """The optimizer with a name, with default arguments, or the one given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor an optimizer.
    """
    if isinstance(identifier, str):
        return entry(identifier, "optimizer", _OPTIMIZERS)()
    if isinstance(identifier, (SGD, Adam, RMSprop)):
        return identifier
    raise ArgumentError(f"optimizer must be a name or one of swiftcnn.optimizers, got {identifier!r}")
