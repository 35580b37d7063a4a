"""Optimizers, with Keras's arguments.

Beside those, all take: ``decoupled`` (whether ``weight_decay`` shrinks the weights directly, as Keras and AdamW do, or
is added to the gradient as L2 regularisation, as PyTorch's SGD does) and ``decay_all`` (whether biases and batch
normalisation decay too).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import schedules
from ._checks import boolean, entry, number
from .schedules import LearningRateSchedule

if TYPE_CHECKING:
    from ._swiftcnn import Model as Handle

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "schedules"]


class Optimizer:
    """The base of all optimizers, and what a loaded checkpoint has for one. After ``compile`` its learning rate is that
    of the model; an optimizer is for one model.

    Args:
        learning_rate: a number or one of ``schedules``.
        weight_decay: None or 0 for none.
        decoupled: the decay is ``w -= learning_rate * weight_decay * w`` rather than ``gradient += weight_decay * w``.
        decay_all: biases and batch normalisation decay too.
        global_clipnorm: the norm of all gradients together is clipped to this.
        use_ema: an exponential moving average of the weights is kept; see ``Model.swap_ema``.
        ema_momentum: the share of the old average that is kept at each step.
    """

    def __init__(
        self,
        name: str = "",
        learning_rate: float | LearningRateSchedule = 0.01,
        weight_decay: float | None = None,
        decoupled: bool = True,
        decay_all: bool = False,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        **settings: object,
    ) -> None:
        if isinstance(learning_rate, LearningRateSchedule):
            self.schedule: LearningRateSchedule | None = learning_rate
            self._learning_rate = learning_rate.learning_rate
        else:
            self.schedule = None
            self._learning_rate = number(learning_rate, "learning_rate")
        self.name = name
        self._handle: Handle | None = None
        self._settings = settings | {
            "weight_decay": 0.0 if weight_decay is None else number(weight_decay, "weight_decay"),
            "decoupled": boolean(decoupled, "decoupled"),
            "decay_all": boolean(decay_all, "decay_all"),
            "clip_norm": None if global_clipnorm is None else number(global_clipnorm, "global_clipnorm"),
            "ema_decay": number(ema_momentum, "ema_momentum") if boolean(use_ema, "use_ema") else None,
        }

    @property
    def settings(self) -> dict[str, object]:
        """What the library is told."""
        return {"name": self.name, "learning_rate": self._learning_rate} | self._settings

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step. Setting it ends a schedule."""
        return self._learning_rate if self._handle is None else self._handle.get_learning_rate()

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

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.schedule or self._learning_rate!r})"


class SGD(Optimizer):
    """Gradient descent with momentum, ``v = momentum * v - learning_rate * g; w += v``, or Nesterov's form of it
    (Sutskever et al., ICML 2013)."""

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        *,
        decoupled: bool = True,
        decay_all: bool = False,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
    ) -> None:
        super().__init__(
            "sgd",
            learning_rate,
            weight_decay,
            decoupled,
            decay_all,
            global_clipnorm,
            use_ema,
            ema_momentum,
            momentum=number(momentum, "momentum"),
            nesterov=boolean(nesterov, "nesterov"),
        )


class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba, arXiv:1412.6980)."""

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        *,
        decoupled: bool = True,
        decay_all: bool = False,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
    ) -> None:
        super().__init__(
            self._library_name,
            learning_rate,
            weight_decay,
            decoupled,
            decay_all,
            global_clipnorm,
            use_ema,
            ema_momentum,
            beta_1=number(beta_1, "beta_1"),
            beta_2=number(beta_2, "beta_2"),
            epsilon=number(epsilon, "epsilon"),
        )

    _library_name = "adam"


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        decoupled: bool = True,
        decay_all: bool = False,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
            decoupled=decoupled,
            decay_all=decay_all,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
        )

    _library_name = "adamw"


class RMSprop(Optimizer):
    """Gradients divided by a moving average of their magnitude (Tieleman and Hinton, 2012).

    Args:
        epsilon_inside_root: ``g / sqrt(average + epsilon)``, as Keras and TensorFlow; otherwise
            ``g / (sqrt(average) + epsilon)``, as PyTorch.
    """

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
        decoupled: bool = True,
        decay_all: bool = False,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
    ) -> None:
        super().__init__(
            "rmsprop",
            learning_rate,
            weight_decay,
            decoupled,
            decay_all,
            global_clipnorm,
            use_ema,
            ema_momentum,
            rho=number(rho, "rho"),
            momentum=number(momentum, "momentum"),
            epsilon=number(epsilon, "epsilon"),
            centered=boolean(centered, "centered"),
            epsilon_inside_root=boolean(epsilon_inside_root, "epsilon_inside_root"),
        )


_OPTIMIZERS: dict[str, type[SGD | Adam | RMSprop]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}


def get(optimizer: str | Optimizer) -> Optimizer:
    """The optimizer with a name, with default arguments, or the one given.

    Raises:
        ValueError: the name is not known.
        TypeError: neither a name nor an optimizer.
    """
    if isinstance(optimizer, str):
        return entry(optimizer, "optimizer", _OPTIMIZERS)()
    if isinstance(optimizer, Optimizer) and optimizer.name:
        return optimizer
    raise TypeError(f"optimizer must be a name or one of swiftcnn.optimizers, got {optimizer!r}")
