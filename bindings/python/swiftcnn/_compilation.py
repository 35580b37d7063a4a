"""How a model is to be trained: what ``compile`` was given, and what a loaded checkpoint says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import numpy as np

from . import losses, metrics, optimizers
from ._checks import ArgumentError, boolean, integer, number, suggesting
from ._config import told
from ._described import only
from ._measures import batch_of
from ._warnings import warn

if TYPE_CHECKING:
    from . import _swiftcnn
    from ._arrays import Array
    from .callbacks import Logs
    from .losses import Loss
    from .metrics import Metric
    from .optimizers import Optimizer

    # A name, an object, or the function of that name.
    LossLike = str | Loss | Callable[..., Array]
    MetricLike = str | Metric | Callable[..., Array]


_WEIGHTED = " (weighted)"  # behind the name of an own metric in a checkpoint


class GivenSettings(NamedTuple):
    """What ``compile`` was given, as copies of a model carry it beside the training state."""

    optimizer: Optimizer | None = None  # before compile
    loss: Loss | None = None  # where compile was given none
    metrics: tuple[Metric, ...] = ()
    weighted_metrics: tuple[Metric, ...] = ()
    seed: int | None = None  # of a loaded checkpoint
    memory: str | int = "normal"
    is_due: bool = False  # the library does not know the settings yet


class Compiled:
    """The half of a model's training that is settings. The library is told them once there is a network and it is known
    which loss it is."""

    _given: GivenSettings = GivenSettings()

    @property
    def optimizer(self) -> Optimizer | None:
        """How gradients change the weights; None before ``compile``."""
        return self._given.optimizer

    @property
    def _handle(self) -> _swiftcnn.Model:
        """The model of the library.

        Raises:
            ValueError: it is not built yet.
        """
        raise NotImplementedError

    @property
    def _built(self) -> bool:
        """Whether the network is known, so that there is a handle."""
        raise NotImplementedError

    def _adopt(self) -> None:
        """Called when there is a new handle: compiles it as was asked; a loaded checkpoint has settings of its own."""
        if self._given.seed is not None:
            self._given = self._given._replace(is_due=True)
            self._apply_compile_settings()
            return
        try:
            settings = json.loads(self._handle.training_settings())
        except RuntimeError:  # it is not compiled
            self._given = GivenSettings()
            return
        self._take_settings(
            GivenSettings(
                optimizers.of_settings(settings["optimizer"], settings["schedule"]),
                losses.of_settings(settings),
                tuple(map(metrics.of_settings, settings["metrics"])),
                tuple(map(metrics.of_settings, settings["weighted_metrics"])),
            )
        )

    def _restore_own_metrics(self, objects: Mapping[str, Any]) -> None:
        """Has the metrics of a loaded checkpoint that the library does not measure, which are found by their names."""
        settings = json.loads(self._handle.training_settings()) if self.compiled else {}
        missing = []
        for text in settings.get("custom_metrics", []):
            name = text.removesuffix(_WEIGHTED)
            if name not in objects:
                missing.append(name)
                continue
            metric = metrics.get(objects[name])
            metric.name = name
            given = self._given
            if name == text:
                self._given = given._replace(metrics=(*given.metrics, metric))
            else:
                self._given = given._replace(weighted_metrics=(*given.weighted_metrics, metric))
        if missing:
            warn(
                f"the model was compiled with metrics of your own, which it is without now: {', '.join(missing)}; give "
                "them as custom_objects, or compile again",
            )

    def _take_settings(self, given: GivenSettings) -> None:
        """Lets a copy, which has the training state already, have the settings of the original. They become its own."""
        self._given = given
        if given.optimizer is not None and self._built and not given.is_due:
            given.optimizer._bind(self._handle)

    @suggesting
    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: LossLike | None = None,
        loss_weights: None = None,
        metrics: MetricLike | Sequence[MetricLike] | None = None,
        weighted_metrics: MetricLike | Sequence[MetricLike] | None = None,
        run_eagerly: bool | None = False,
        steps_per_execution: int | None = 1,
        jit_compile: bool | str | None = "auto",
        auto_scale_loss: bool = True,
        *,
        seed: int = 0,
        memory: str | int = "normal",
    ) -> None:
        """Sets how the model is trained, and forgets the training state it had.

        Args:
            optimizer: a name or one of ``swiftcnn.optimizers``.
            loss: a name or one of ``swiftcnn.losses``; ``"crossentropy"`` is the one that fits the first targets.
                Without it the model predicts, and can be neither trained nor evaluated.
            metrics: names or objects of ``swiftcnn.metrics``; every image counts once.
            weighted_metrics: the same, weighted by ``sample_weight`` and ``class_weight``.
            loss_weights, run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: as in Keras,
                with no other value than the default, since there is one loss and one way to run.
            seed: of dropout, stochastic depth, shuffling and augmentation.
            memory: how much of it a step may take, for large images or batches: with ``"low"`` half of what it takes
                otherwise, or as near to that as can be, for up to 0.3 more time; with a number of bytes at most these,
                for what layers make, gradients and scratch memory, beside the weights and what the optimizer keeps.
                As little is computed again as that takes, and the numbers are the same, but that in mixed precision
                others are rounded; where it cannot be met, training begins with a ValueError that says the least that
                can.

        Raises:
            ValueError: a name is not known, or a setting is outside its domain.
        """
        by_name = f"a model has one output; metrics go by name: metrics={loss_weights!r}"
        for name, value, supported in (
            ("loss_weights", loss_weights, only(None, advice=by_name)),
            ("run_eagerly", run_eagerly, only(False, None)),
            ("steps_per_execution", steps_per_execution, only(1, None)),
            ("jit_compile", jit_compile, only("auto", False, None)),
        ):
            supported.check(value, name)
        boolean(auto_scale_loss, "auto_scale_loss")  # has no effect on float32
        measured = _metrics_of(metrics, "metrics", [])
        weighted = _metrics_of(weighted_metrics, "weighted_metrics", [metric.name for metric in measured])
        before, self._given = (
            self._given,
            GivenSettings(
                optimizers.get(optimizer),
                None if loss is None else losses.get(loss),
                measured,
                weighted,
                integer(seed, "seed"),
                _room(memory),
                is_due=True,
            ),
        )
        try:
            self._apply_compile_settings()
        except BaseException:
            self._given = before
            raise

    def _apply_compile_settings(self) -> None:
        """Tells the library the settings that it does not know yet, once there is a network and the loss is known."""
        optimizer, loss, measured, weighted, seed, memory, is_due = self._given
        if not is_due or not self._built or loss is None or optimizer is None or losses.is_open(loss):
            return
        settings = {
            "optimizer": optimizer.settings,
            "schedule": None if optimizer.schedule is None else optimizer.schedule.settings,
            **loss._settings_for(self._handle.tensor_shape(None)),
            "metrics": _told(measured),
            "weighted_metrics": _told(weighted),
            "custom_metrics": [metric.name + _WEIGHTED * (metric in weighted) for metric in self._own_metrics],
            "seed": seed,
            "memory": memory,
        }
        self._handle.compile(told(settings))
        self._take_settings(self._given._replace(is_due=False))

    @property
    def compiled(self) -> bool:
        """Whether ``compile`` was called, or the model was loaded with its training state."""
        return self.optimizer is not None

    @property
    def metrics_names(self) -> list[str]:
        """``"loss"``, then the names of the metrics.

        Raises:
            RuntimeError: the model is not compiled.
        """
        if not self.compiled:
            raise RuntimeError("the model is not compiled; call compile first")
        return ["loss", *(metric.name for metric in self._all_metrics)]

    @property
    def _all_metrics(self) -> tuple[Metric, ...]:
        """The metrics, those that are weighted behind the others."""
        return self._given.metrics + self._given.weighted_metrics

    @property
    def _own_metrics(self) -> list[Metric]:
        """Those that the library does not measure."""
        return [metric for metric in self._all_metrics if not isinstance(metric, metrics.CoreMetric)]

    def _reset_own_metrics(self) -> None:
        for metric in self._own_metrics:
            metric.reset_state()

    def _logs_of(self, loss: float, sums: _swiftcnn.Measures) -> Logs:
        """The loss and the metrics by name. The library's tell of these sums; others are given the batch that was
        measured last."""
        logs: Logs = {"loss": loss}
        place = 0
        for metric in self._all_metrics:
            if isinstance(metric, metrics.CoreMetric):
                place += 1
                metric._adopt(sums, place)
            else:
                y, p, weight = batch_of(sums)
                metric.update_state(y, p, *([weight] if metric in self._given.weighted_metrics else []))
            result = metric.result()
            logs[metric.name] = float(result) if np.ndim(result) == 0 else np.asarray(result)
        return logs

    def _measured_names(self) -> list[str]:
        """The names of what training and evaluation give.

        Raises:
            RuntimeError: the model is not compiled.
            ValueError: it is, without a loss.
        """
        names = self.metrics_names
        if self._given.loss is None:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        return names

    def _more_is_better(self, name: str) -> bool | None:
        """Whether a larger value of the loss or of a metric is better; None where it is neither."""
        if name == "loss":
            return False
        return next((metric.more_is_better for metric in self._all_metrics if metric.name == name), None)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step. Setting it ends a schedule.

        Raises:
            RuntimeError: the model is not compiled.
        """
        if self._given.is_due and self.optimizer is not None:
            return self.optimizer.learning_rate
        return self._handle.get_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        rate = number(value, "learning_rate")
        if self.optimizer is None:
            self._handle.set_learning_rate(rate)
        else:
            self.optimizer.learning_rate = rate

    @property
    def _seed(self) -> int:
        """Of shuffling."""
        seed = self._given.seed
        return int(json.loads(self._handle.training_settings())["seed"]) if seed is None else seed

    @property
    def _open_schedule(self) -> str | None:
        """The schedule that needs to be told the number of steps, if there is one."""
        schedule = None if self.optimizer is None else self.optimizer.schedule
        return repr(schedule) if schedule is not None and schedule.is_open else None

    def reset_metrics(self) -> None:
        """Does nothing: what ``train_on_batch`` and ``test_on_batch`` return is of that batch alone (in Keras it is a
        mean over the calls since ``reset_metrics``)."""

    def swap_ema(self) -> None:
        """Exchanges the weights with their exponential moving average (an optimizer's ``use_ema``); a second call
        exchanges them back.

        Raises:
            RuntimeError: no such average is kept.
        """
        if self.optimizer is not None and not self.optimizer.use_ema:
            raise RuntimeError(
                "no moving average of the weights is kept; compile with an optimizer that has use_ema=True first"
            )
        self._handle.swap_ema()


def _room(memory: str | int) -> str | int:
    """How much memory a step may take, as the library takes it."""
    if isinstance(memory, str) and memory in ("normal", "low"):
        return memory
    if isinstance(memory, bool) or not isinstance(memory, SupportsIndex):
        raise ValueError(f"memory must be 'normal', 'low' or a number of bytes, got {memory!r}")
    return integer(memory, "memory", minimum=1, maximum=2**63 - 1)


def _told(measured: tuple[Metric, ...]) -> list[dict[str, object]]:
    """The metrics as the library is told those that it measures."""
    return [
        metric.settings | {"reported_as": metric.name} for metric in measured if isinstance(metric, metrics.CoreMetric)
    ]


def _metrics_of(
    given: MetricLike | Sequence[MetricLike] | None, argument: str, others: list[str]
) -> tuple[Metric, ...]:
    """The metrics of an argument. One that has no name of its own is numbered where there is one of its kind; a
    weighted one is called so where ``others`` has its name.
    """
    if given is None:
        return ()
    if not isinstance(given, (list, tuple)):
        if not isinstance(given, (str, metrics.Metric)) and not callable(given):
            raise ArgumentError(f"{argument} must be a list of names or objects of swiftcnn.metrics, got {given!r}")
        given = [given]
    chosen = tuple(metrics.get(metric) for metric in given)
    names = ["loss"]
    for metric in chosen:
        name, number_ = metric.name, 0
        if name in others:
            metric.name = name = f"weighted_{name}"
        while metric.name in names and metric.has_usual_name:
            number_ += 1
            metric.name = f"{name}_{number_}"
        if metric.name in names:
            raise ValueError(f"{argument}: {metric.name!r} is given twice; give another name=")
        names.append(metric.name)
    return chosen
