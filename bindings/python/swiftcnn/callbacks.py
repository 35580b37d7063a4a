"""What is told of the progress of training, evaluation and prediction, and may act on it."""

from __future__ import annotations

import inspect
import io
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from . import _swiftcnn
from ._checks import integer, number, path_of, text
from ._described import WithOptions, core, only
from ._labelled import labelled_of
from ._output import say
from ._plain import plain_parts
from ._pruning_options import told_pruning
from ._sparsity_options import told_sparsity
from ._tensorboard import EventWriter
from ._warnings import warn

if TYPE_CHECKING:
    from ._described import Count, Path
    from .models import Model

    Logs = dict[str, Any]

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "Prune",
    "ReduceLROnPlateau",
    "Sparsify",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
__dir__ = __all__.copy  # what completion offers


class Callback:
    """The base of all callbacks: derive, and override what you want to hear of.

    ``logs`` maps the names of the loss and the metrics to Python floats. In training they are means over the epoch so
    far; at the end of an epoch those of the validation data follow as ``val_loss`` and so on. Batches count from 0 in
    each epoch, epochs from 0. An exception in a hook ends the call and reaches its caller; the model stays usable.

    Attributes:
        model: the model that is at work. ``self.model.stop_training = True`` ends training after the current batch.
        params: in training ``epochs``, ``steps`` (batches an epoch), ``batch_size``, ``samples`` (each None where it is
            not known), ``verbose``, ``metrics`` (the names in ``logs`` at the end of an epoch).
    """

    model: Model
    params: dict[str, object]

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles have: all but the model, which the next one takes the place of."""
        return {name: value for name, value in vars(self).items() if name not in ("model", "_at_start")}

    # ------------------------------------------------------------------------------------------------ in checkpoints

    @property
    def state_key(self) -> str:
        """By which a checkpoint tells it from other callbacks: the name of its class. Those of one key are told apart
        by their order in the list."""
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a run that is resumed ends as one that was never stopped: by names that are
        texts None, truth values, numbers, texts, NumPy arrays, and lists, tuples, sets and dictionaries of such.

        Unless a class says otherwise these are the attributes with such values that have changed since the object was
        first given to ``fit``.
        """
        at_start = vars(self).get("_at_start", {})
        now = plain_parts(vars(self), _NO_STATE)
        return {name: getattr(self, name) for name, value in now.items() if at_start.get(name) != value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Called by ``fit(resume=True)`` after ``on_train_begin``, with what ``state_dict`` gave when the checkpoint
        was saved; in the midst of an epoch before and after ``on_epoch_begin``, which is called once more for what is
        opened there. Unless a class says otherwise it sets the attributes."""
        for name, value in state.items():
            setattr(self, name, value)

    def _remember_start(self) -> None:
        """Called when training is about to begin."""
        vars(self).setdefault("_at_start", plain_parts(vars(self), _NO_STATE))

    # ---------------------------------------------------------------------------------------------------------- hooks

    def set_model(self, model: Model) -> None:
        """Called before everything else."""
        self.model = model

    def set_params(self, params: dict[str, object]) -> None:
        """Called before everything else but ``set_model``."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Training begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Training has ended; ``logs`` are those of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch begins."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch has ended and the validation data, if any, is evaluated. What is added to ``logs`` is recorded."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_begin``."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_end``."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A training step begins."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A training step has ended."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """An evaluation begins, also that of the validation data."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """An evaluation has ended."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of an evaluation begins."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of an evaluation has ended."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """A prediction begins."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """A prediction has ended."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of a prediction begins."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of a prediction has ended; ``logs["outputs"]`` is what it gave."""


_NO_STATE = ("model", "params", "_at_start")


class CallbackList(Callback):
    """Several callbacks as one, called in their order."""

    def __init__(self, callbacks: Callback | Iterable[Callback] | None, *more: Callback) -> None:
        given: object = [callbacks] if isinstance(callbacks, Callback) else () if callbacks is None else callbacks
        if not isinstance(given, Iterable):
            raise TypeError(f"callbacks must be a list of callbacks, got {callbacks!r}")
        self.callbacks: list[Callback] = []
        for callback in (*given, *more):
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must hold objects of swiftcnn.callbacks.Callback, got {callback!r}")
            self.callbacks += callback.callbacks if isinstance(callback, CallbackList) else [callback]

    def _tell(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def put_weights_back(self) -> None:
        """Called where something has ended before its end: no average stays in the place of the weights."""
        for callback in self.callbacks:
            if isinstance(callback, SwapEMAWeights):
                callback._put(False)

    def set_model(self, model: Model) -> None:
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, object]) -> None:
        for callback in self.callbacks:
            callback.set_params(params)


def _telling(hook: str, has_number: bool) -> Callable[..., None]:
    """The hook of a list, which tells all its callbacks."""

    def tell(self: CallbackList, logs: Logs | None = None) -> None:
        self._tell(hook, {} if logs is None else logs)

    def tell_number(self: CallbackList, number: int, logs: Logs | None = None) -> None:
        self._tell(hook, number, {} if logs is None else logs)

    return tell_number if has_number else tell


for _hook in vars(Callback):
    if _hook.startswith("on_") and not _hook.startswith("on_batch"):
        setattr(CallbackList, _hook, _telling(_hook, "batch" in _hook or "epoch" in _hook))


class History(Callback):
    """What ``fit`` returns.

    Attributes:
        history: for each name in the logs of an epoch, the list of its values, one an epoch.
        epoch: the numbers of those epochs.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self._epochs: dict[str, list[int]] = {}  # those of each list in history

    def set_model(self, model: Model) -> None:
        """The model is not kept: it keeps its history, and in a circle neither would be freed in time."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self._epochs.setdefault(name, []).append(epoch)

    def curve(self, name: str) -> tuple[list[int], list[Any]]:
        """The epochs, from 0, at whose end something was measured, and the values; both empty where it never was."""
        return self._epochs.get(name, []), self.history.get(name, [])

    def plot(self, filename: str | os.PathLike[str]) -> None:
        """Draws the loss and every metric by epoch, of training and of validation, to a file; its ending is the format,
        as ``"curves.png"`` or ``"curves.svg"``.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: no epoch has ended, or the ending is no format.
            OSError: the file cannot be written.
        """
        from ._plot import plot_history

        plot_history(self, os.fsdecode(path_of(filename, "filename")))


class MonitorCallback(Callback):
    """The base of callbacks that ask whether a number in the logs has become better.

    Args:
        monitor: the name in the logs.
        mode: ``"min"``, ``"max"`` or ``"auto"``: whether less or more is better. Auto knows it of the loss and of the
            metrics that the model is compiled with.
        baseline: what the first value must be better than.
        min_delta: a change by no more than this is none.

    Raises:
        ValueError: at the end of the first epoch, where the mode is auto and ``monitor`` is no loss or metric.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0.0,
    ) -> None:
        self.monitor, self.mode, self.min_delta = text(monitor, "monitor"), mode, number(min_delta, "min_delta")
        self.best: float | None = None if baseline is None else number(baseline, "baseline")
        self.__post_init__()

    def __post_init__(self) -> None:
        self.min_delta = abs(self.min_delta)
        if self.mode not in ("auto", "min", "max"):
            warn(f"{type(self).__name__} mode '{self.mode}' is unknown, fallback to auto mode.")
            self.mode = "auto"

    @property
    def state_key(self) -> str:
        """The name of the class and what it monitors."""
        return f"{type(self).__name__}({self.monitor})"

    def _more_is_better(self) -> bool:
        if self.mode != "auto":
            return self.mode == "max"
        answer = self.model._more_is_better(self.monitor.removeprefix("val_"))
        if answer is None:
            raise ValueError(
                f"{type(self).__name__} callback received monitor={self.monitor}, but whether that should be "
                "maximized or minimized cannot be determined. Pass `mode='max'` in order to monitor based on the "
                "highest metric value, or pass `mode='min'` in order to use the lowest value."
            )
        return answer

    def _value(self, logs: Logs | None, complaint: str) -> Any:
        """The number in the logs; None, with a warning, where there is none now."""
        self._more_is_better()  # refuses a name that can never come
        value = (logs or {}).get(self.monitor)
        if value is None:
            warn(complaint.format(monitor=self.monitor, names=",".join(logs or {})))
        elif np.ndim(value):
            raise ValueError(
                f"{type(self).__name__}: {self.monitor!r} has several numbers, of shape {np.shape(value)}; expected "
                "the name of one number, as of the same metric with an average"
            )
        return value

    def _is_improvement(self, value: float, reference: float | None) -> bool:
        if reference is None:
            return True
        delta = self.min_delta
        return value - delta > reference if self._more_is_better() else value + delta < reference


def _report(callback: Any, epoch: int, message: str) -> None:
    if callback.verbose:
        say(f"\nEpoch {epoch + 1}: {message}")


class ModelCheckpoint(WithOptions, MonitorCallback):
    """Saves the model as it is trained; by default a checkpoint from which training goes on in the same bits::

        model.fit(x, y, epochs=9, callbacks=[ModelCheckpoint("m.safetensors")])    # interrupted in the fifth epoch
        model = swiftcnn.load_model("m.safetensors")
        model.fit(x, y, epochs=9, resume=True)                                     # the other five

    Args:
        filepath: the file, which is replaced as a whole each time; its folder is made where it is missing. It may hold
            fields as ``"{epoch:02d}-{loss:.3f}"``: the epoch and, where ``save_freq`` is a number, the batch, both
            counted from 1, and the names in the logs. The ending of another program's format is an error.
        monitor: the name in the logs by which the best model is chosen.
        verbose: 1 prints a line at each save.
        save_best_only: only a model that is better than all before is saved. With ``fit(validation_ema=True)`` and a
            number of the validation data its weights are the averages that were measured; a run that is resumed from
            such a file goes on with those that were trained.
        save_weights_only: the file holds no training state; with ``fit(validation_ema=True)`` its weights are the
            averages. It is written as ``Model.save_weights`` does it.
        mode: ``"min"``, ``"max"`` or ``"auto"``, as of ``MonitorCallback``.
        save_freq: ``"epoch"``, or after how many batches.
        initial_value_threshold: the value that the first saved model must be better than.
    """

    filepath: Path
    monitor: str = "val_loss"
    verbose: Count = 0
    save_best_only: bool = False
    save_weights_only: bool = False
    mode: str = "auto"
    save_freq: str | int = "epoch"
    initial_value_threshold: float | None = None

    def __post_init__(self) -> None:
        self.min_delta = 0.0
        MonitorCallback.__post_init__(self)
        self.best = self.initial_value_threshold
        if self.save_freq != "epoch":
            if not isinstance(self.save_freq, int) or isinstance(self.save_freq, bool):
                raise ValueError(
                    f"Unrecognized save_freq: {self.save_freq}. Expected save_freq are 'epoch' or integer values"
                )
            integer(self.save_freq, "save_freq", minimum=1)
        # A wrong ending is better known before training than after its first epoch.
        _swiftcnn.file_format(self.filepath, "weights" if self.save_weights_only else "checkpoint")
        self._epoch = 0
        self._batches = 0  # since the last save

    @property
    def state_key(self) -> str:
        """The name of the class, and what it saves and when."""
        frequency = self.save_freq if self.save_freq == "epoch" else f"every {self.save_freq} batches"
        return f"{type(self).__name__}({f'best {self.monitor}' if self.save_best_only else frequency})"

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not isinstance(self.save_freq, int):
            return
        self._batches += 1
        if self._batches >= self.save_freq:
            self._batches = 0
            self._save(logs or {}, {"batch": batch + 1})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(logs or {}, {})

    def _save(self, logs: Logs, fields: Logs) -> None:
        try:
            path = self.filepath.format(epoch=self._epoch + 1, **(fields | logs))
        except KeyError as error:
            raise KeyError(f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}') from None
        if not self._is_due(logs, path):
            return
        if os.path.isdir(path):
            raise IsADirectoryError(
                "Please specify a non-directory filepath for ModelCheckpoint. Filepath used is an existing "
                f"directory: {path}"
            )
        if folder := os.path.dirname(path):
            os.makedirs(folder, exist_ok=True)
        measured = self.monitor if self.save_best_only else "val_loss" if self.save_weights_only else "loss"
        with self.model._weights_behind(measured):
            if self.save_weights_only:
                self.model.save_weights(path)
            else:
                self.model.save(path, include_optimizer=True)
        _report(self, self._epoch, f"finished saving model to {path}")

    def _is_due(self, logs: Logs, path: str) -> bool:
        if not self.save_best_only:
            _report(self, self._epoch, f"saving model to {path}")
            return True
        value = self._value(logs, "Can save best model only with {monitor} available.")
        if value is None:
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self._is_improvement(value, self.best):
            _report(self, self._epoch, f"{self.monitor} did not improve from {best}")
            return False
        _report(self, self._epoch, f"{self.monitor} improved from {best} to {value:.5f}, saving model to {path}")
        self.best = value
        return True


class EarlyStopping(WithOptions, MonitorCallback):
    """Ends training when a number in the logs has stopped becoming better.

    Args:
        monitor: the name in the logs.
        min_delta: a change by no more than this is none.
        patience: after how many epochs without improvement training ends.
        verbose: 1 says so.
        mode: ``"min"``, ``"max"`` or ``"auto"``, as of ``MonitorCallback``.
        baseline: only what is better than this starts the patience anew.
        restore_best_weights: the model then gets the parameters of its best epoch; with ``fit(validation_ema=True)``
            and a number of the validation data, the averages that were measured.
        start_from_epoch: the first epoch, from 0, that is looked at.

    Attributes:
        stopped_epoch: the epoch, from 0, after which it has ended training; 0 where it has not.
        best_epoch: the best one so far.
    """

    monitor: str = "val_loss"
    min_delta: float = 0.0
    patience: Count = 0
    verbose: Count = 0
    mode: str = "auto"
    baseline: float | None = None
    restore_best_weights: bool = False
    start_from_epoch: Count = 0

    def __post_init__(self) -> None:
        MonitorCallback.__post_init__(self)
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_weights: list[Any] | None = None
        self.best_epoch = 0
        self._has_restored = False

    def state_dict(self) -> dict[str, Any]:
        """How long it has waited, and the best value, epoch and, unless the model has them now, weights."""
        return super().state_dict() | ({"best_weights": None} if self._has_restored else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on waiting; where it had waited long enough training is over."""
        super().load_state_dict(state)
        if self._has_restored:
            self.best_weights, self._has_restored = self.model.get_weights(), False
        if self.stopped_epoch > 0 and self.wait >= self.patience:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self._value(
            logs,
            "Early stopping conditioned on metric `{monitor}` which is not available. Available metrics are: {names}",
        )
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        self.wait += 1
        if self._is_improvement(value, self.best):
            self.best = value
            self._keep(epoch)
            if self.baseline is None or self._is_improvement(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            with self.model._weights_behind(self.monitor):
                self.best_weights = self.model.get_weights()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)
            self._has_restored = True


class ReduceLROnPlateau(WithOptions, MonitorCallback):
    """Lowers the learning rate when a number in the logs has stopped becoming better, and logs it as
    ``learning_rate``.

    Args:
        monitor: the name in the logs.
        factor: the new rate is the old one times this, below 1.
        patience: after how many epochs without improvement the rate is lowered.
        verbose: 1 says so.
        mode: ``"min"``, ``"max"`` or ``"auto"``, as of ``MonitorCallback``.
        min_delta: a change by no more than this is none.
        cooldown: how many epochs then pass before it is looked at again.
        min_lr: the rate stays at least this.
    """

    monitor: str = "val_loss"
    factor: float = 0.1
    patience: Count = 10
    verbose: Count = 0
    mode: str = "auto"
    min_delta: float = 1e-4
    cooldown: Count = 0
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        MonitorCallback.__post_init__(self)
        if self.factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={self.factor}")
        if self.factor < 0:
            raise ValueError(f"factor must be at least 0, got {self.factor}")
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        rate = logs["learning_rate"] = self.model.learning_rate
        value = self._value(
            logs,
            "Learning rate reduction is conditioned on metric `{monitor}` which is not available. "
            "Available metrics are: {names}.",
        )
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                new = max(rate * self.factor, self.min_lr)
                self.model.learning_rate = new
                _report(self, epoch, f"ReduceLROnPlateau reducing learning rate to {new}.")
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def in_cooldown(self) -> bool:
        """Whether the rate was lowered so lately that it is not looked at."""
        return self.cooldown_counter > 0


class LearningRateScheduler(WithOptions, Callback):
    """Sets the learning rate at the beginning of each epoch, and logs it as ``learning_rate``.

    Args:
        schedule: a function of the epoch, from 0, and the present rate (or of the epoch alone) that gives the new rate.
        verbose: 1 prints it.
    """

    schedule: Callable[..., float]
    verbose: Count = 0

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise TypeError(f"schedule must be a function of the epoch and the rate, got {self.schedule!r}")

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        arguments: tuple[object, ...] = (epoch, self.model.learning_rate)
        try:
            inspect.signature(self.schedule).bind(*arguments)
        except TypeError:
            arguments = (epoch,)
        except ValueError:
            pass  # of some functions written in C nothing is known
        rate: object = self.schedule(*arguments)
        if not isinstance(rate, (float, np.floating)):
            raise ValueError(f"The output of the `schedule` function should be a float. Got: {rate}")
        self.model.learning_rate = float(rate)
        _report(self, epoch, f"LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.learning_rate


class CSVLogger(WithOptions, Callback):
    """Writes the logs of each epoch as a line of a CSV file, with NA for what is not measured.

    A run that is resumed goes on behind the last line that its checkpoint knows of: later ones are taken away.

    Args:
        filename: the file.
        separator: one character between the values.
        append: lines are added to the file, if there is one; otherwise it is begun anew, when the first epoch begins.
    """

    filename: Path
    separator: str = ","
    append: bool = False

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or self.separator in '"\r\n':
            raise ValueError(f"separator must be one character, got {self.separator!r}")
        self.sep = self.separator  # Keras's name of it
        self.csv_file: IO[str] | None = None
        self.on_train_begin()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"csv_file": None}  # a copy opens the file for itself, when training begins

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes away the lines that were written after the checkpoint."""
        super().load_state_dict(state)
        self._goes_on = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._close()
        self.keys: list[str] | None = None
        self._written: tuple[int, str] | None = None  # the size of the file and its last line
        self._goes_on = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._file()

    def _file(self) -> IO[str]:
        """The file, opened at the place where the next line is to be."""
        if self.csv_file is not None:
            return self.csv_file
        begins_anew = not self.append
        if self._goes_on and self._written is not None:
            begins_anew = False
            size, row = self._written
            if _ends_with(self.filename, size, row.encode()):
                os.truncate(self.filename, size)
        self.csv_file = open(self.filename, "w" if begins_anew else "a", newline="", encoding="utf-8")  # noqa: SIM115
        if self._written is None:
            self._written = self.csv_file.tell(), ""
        return self.csv_file

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        file = self._file()
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += ["val_" + key for key in self.keys]
        import csv  # at this place, since most never need it

        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["epoch", *self.keys], delimiter=self.sep)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow({"epoch": epoch} | {key: _field(logs.get(key, "NA")) for key in self.keys})
        file.write(text.getvalue())
        file.flush()
        self._written = file.tell(), text.getvalue()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()

    def _close(self) -> None:
        if self.csv_file is not None:
            self.csv_file.close()
            self.csv_file = None


def _ends_with(path: str, size: int, row: bytes) -> bool:
    """Whether a file has these bytes before this place."""
    try:
        with open(path, "rb") as file:
            if not len(row) <= size <= file.seek(0, os.SEEK_END):
                return False
            file.seek(size - len(row))
            return file.read(len(row)) == row
    except OSError:
        return False


def _field(value: object) -> object:
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return value
    return f'"[{", ".join(map(str, value))}]"'


class TerminateOnNaN(WithOptions, Callback):
    """Ends training quietly at a loss that is NaN or infinite. Without it that is a FloatingPointError; in both cases
    the model keeps the parameters from before the step.

    Args:
        raise_error: it is a RuntimeError instead.
    """

    raise_error: bool = False

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}. Terminating training immediately."
            )
        say(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True


class SwapEMAWeights(WithOptions, Callback):
    """Puts the moving average of the weights (an optimizer's ``use_ema``) in their place while the model is evaluated
    and while it predicts. A ``ModelCheckpoint`` after it in the list then saves the averages, with ``swap_on_epoch``.

    Args:
        swap_on_epoch: they stay from the end of an epoch to the beginning of the next, and at the end of training.

    Raises:
        ValueError: the optimizer keeps no moving average.
    """

    swap_on_epoch: bool = False

    def __post_init__(self) -> None:
        self._are_in_place = False

    def _put(self, in_place: bool) -> None:
        if in_place == self._are_in_place:
            return
        try:
            self.model.swap_ema()
        except RuntimeError as error:
            raise ValueError(
                f"SwapEMAWeights must be used when `use_ema=True` is set on the optimizer: {error}"
            ) from None
        self._are_in_place = in_place

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._are_in_place = False  # fit has given the weights the values of their averages

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._put(False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._put(True)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._put(True)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._put(False)

    on_predict_begin, on_predict_end = on_test_begin, on_test_end


class Sparsify(WithOptions, Callback):
    """Makes more and more of the smallest weights 0 while the model is trained: after ``begin_step`` the share is
    ``s = sparsity + (initial_sparsity - sparsity) (1 - (step - begin_step) / (end_step - begin_step))**3`` (Zhu and
    Gupta 2017, equation 1), and from ``end_step`` on ``sparsity``. What is 0 stays so, also in another ``fit``, where
    masks change only when the share is above theirs. See ``swiftcnn.sparsify``, whose arguments ``pattern``, ``scope``,
    ``skip`` and ``include`` are. Logs the share as ``sparsity``.

    Args:
        sparsity: the share in the end, from 0 to 1.
        pattern: ``"unstructured"`` or ``"16x1"``.
        initial_sparsity: the share in the beginning.
        begin_step: the step of ``fit``, from 0, before which nothing is masked.
        end_step: the step from which the share is the last one; None: after three quarters of all steps, so that the
            rest fine-tunes.
        frequency: after how many steps masks are made anew.
        scope: ``"global"`` or ``"layer"``.
        skip: names of layers that stay as they are.
        include: of the layers that stay as they are where nothing is said, those that do not.

    Attributes:
        step: the steps of training so far.
    """

    sparsity: float = 0.9
    pattern: str = "unstructured"
    initial_sparsity: float = 0.0
    begin_step: Count = 0
    end_step: Count | None = None
    frequency: Count = 100
    scope: str = "global"
    skip: Sequence[str] = ()
    include: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("sparsity", "initial_sparsity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.initial_sparsity > self.sparsity:
            raise ValueError(
                f"initial_sparsity must be at most sparsity, {self.sparsity}, since what is 0 stays so, got "
                f"{self.initial_sparsity}"
            )
        if self.pattern not in ("unstructured", "16x1"):
            raise ValueError(f"pattern must be 'unstructured' or '16x1', which can grow, got {self.pattern!r}")
        if self.frequency < 1:
            raise ValueError(f"frequency must be at least 1, got {self.frequency}")
        if self.end_step is not None and self.end_step <= self.begin_step:
            raise ValueError(f"end_step must be above begin_step, {self.begin_step}, got {self.end_step}")
        for name in ("skip", "include"):
            names = getattr(self, name)
            if isinstance(names, Iterable) and not isinstance(names, str):
                setattr(self, name, [*names])
        self._masks(self.sparsity)
        self.step = 0
        self._share = 0.0

    def _masks(self, share: float) -> str:
        return told_sparsity(share, self.pattern, self.scope, self.skip, self.include)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        masked = [row for row in self.model.sparsity_report().layers if row.masked]
        self.step = 0
        self._share = sum(row.masked or 0 for row in masked) / max(1, sum(row.weights for row in masked))
        self._end()

    def _end(self) -> int:
        if self.end_step is not None:
            return self.end_step
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        if not isinstance(epochs, int) or not isinstance(steps, int):
            raise ValueError("Sparsify needs end_step, since it is not known how many batches an epoch has")
        return max(self.begin_step + 1, epochs * steps * 3 // 4)

    def share(self, step: int) -> float:
        """The share of the weights that are 0 from a step on."""
        begin, end = self.begin_step, self._end()
        left = 1 - min(max(step - begin, 0) / (end - begin), 1)
        return self.sparsity + (self.initial_sparsity - self.sparsity) * left**3

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        begin, end = self.begin_step, self._end()
        if begin <= self.step <= end and ((self.step - begin) % self.frequency == 0 or self.step == end):
            self._grow(self.share(self.step))

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.step += 1

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["sparsity"] = self._share

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._end() <= self.step:
            self._grow(self.sparsity)

    def _grow(self, share: float) -> None:
        if share > self._share:
            self._share = share
            self.model._handle.set_sparsity(self._masks(share))


class Prune(WithOptions, Callback):
    """Removes channels of the model while it is trained, at the beginning of some epochs, so that what is left is
    fine-tuned in between: after the i-th of n times ``1 - (1 - i / n)**3`` of all that is to leave has left (the
    schedule of Zhu and Gupta 2017, equation 1). The optimizer keeps what it remembers of the channels that are left.
    See ``swiftcnn.prune``, whose arguments the others are. Logs what is left of the parameters as ``params``.

    Args:
        ratio: the share of the channels that leaves in all.
        macs: in its place, the share of the multiplications with additions that is left in the end.
        params_left: or the share of the learned parameters that is.
        latency_ms: or the milliseconds of a prediction of one image.
        times: how often channels are removed.
        begin_epoch: the first epoch, from 0, before which some are.
        frequency: after how many epochs the next are.
        criterion: by what channels are told that matter less.
        scope: ``"global"`` or ``"layer"``.
        round_to: ``"fast"``, or a number of which widths are multiples.
        skip: names of layers that keep all their channels.
        data: for ``"taylor"`` samples and their targets.
        min_channels: no layer gets fewer channels.
        min_share: no layer keeps a smaller share of its channels, of those at each time.
        seed: for ``"random"``.

    Attributes:
        done: how often channels have been removed.
    """

    ratio: float | None = None
    macs: float | None = None
    params_left: float | None = None
    latency_ms: float | None = None
    times: Count = 1
    begin_epoch: Count = 0
    frequency: Count = 1
    criterion: str = "l2"
    scope: str = "global"
    round_to: str | int = "fast"
    skip: Sequence[str] = ()
    data: Any = None
    min_channels: Count = 8
    min_share: float = 0.1
    seed: Count = 0

    def __post_init__(self) -> None:
        goals = {name: getattr(self, name) for name in ("ratio", "macs", "params_left", "latency_ms")}
        given = {name: value for name, value in goals.items() if value is not None}
        if len(given) != 1:
            raise ValueError(f"{' and '.join(given) or 'none'} given; expected one of {', '.join(goals)}")
        self._goal, self._end = next(iter(given.items()))
        if self._goal != "latency_ms" and not 0 < self._end < 1:
            raise ValueError(f"{self._goal} must be a share between 0 and 1, got {self._end}")
        for name in ("times", "frequency"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.criterion == "taylor" and self.data is None:
            raise ValueError("criterion is 'taylor' and data is not given; expected samples and their targets")
        if isinstance(self.skip, Iterable) and not isinstance(self.skip, str):
            self.skip = [*self.skip]
        self._options(self._end)
        self.done, self.left = 0, 1.0

    def _options(self, goal: float) -> str:
        goals: dict[str, float | None] = dict.fromkeys(("ratio", "macs", "params", "latency_ms"))
        goals["params" if self._goal == "params_left" else self._goal] = goal
        return told_pruning(
            **goals, criterion=self.criterion, scope=self.scope, round_to=self.round_to, skip=self.skip,
            min_channels=self.min_channels, min_share=self.min_share, seed=self.seed,
        )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self.done < self.times and epoch == self.begin_epoch + self.done * self.frequency:
            self._remove()
            self.done += 1

    def _remove(self) -> None:
        gone = 1 - (1 - (self.done + 1) / self.times) ** 3
        if self._goal == "latency_ms":
            now = 1e3 * self.model.profile(batch_size=1, repeats=20).seconds
            # The rest of the way to the end, as much of it as falls to this time.
            before = 1 - (1 - self.done / self.times) ** 3
            wanted = now - (now - self._end) * (gone - before) / (1 - before)
            if wanted < now:
                self._prune(wanted)
            return
        wanted = 1 - gone * self._end if self._goal == "ratio" else 1 - gone * (1 - self._end)
        if wanted >= self.left:  # widths are coarse: more has left already
            return
        share = wanted / self.left
        self._prune(1 - share if self._goal == "ratio" else share)
        report = self.model.pruning_report()
        if self._goal == "ratio":
            free = [group for group in report.groups if not group.reason]
            self.left *= sum(group.after for group in free) / max(1, sum(group.before for group in free))
        else:
            before, after = report.macs if self._goal == "macs" else report.params
            self.left *= after / before

    def _prune(self, goal: float) -> None:
        x, y = (None, None) if self.data is None else labelled_of(self.model, self.data, "data")
        self.model._prune(x, y, self._options(goal))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["params"] = self.model.count_params()


class LambdaCallback(Callback):
    """A callback made of functions, each by the name of its hook: ``LambdaCallback(on_epoch_end=lambda epoch, logs:
    ...)``. Any hook of ``Callback`` can be given.

    Raises:
        TypeError: a name is no hook, or what is given is no function.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., object] | None = None,
        on_epoch_end: Callable[..., object] | None = None,
        on_train_begin: Callable[..., object] | None = None,
        on_train_end: Callable[..., object] | None = None,
        on_train_batch_begin: Callable[..., object] | None = None,
        on_train_batch_end: Callable[..., object] | None = None,
        **hooks: Callable[..., object] | None,
    ) -> None:
        given = {name: hook for name, hook in locals().items() if name.startswith("on_")} | hooks
        for name, function in given.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                raise TypeError(f"LambdaCallback() got an unexpected keyword argument {name!r}, which is no hook")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}")
            setattr(self, name, function)


class TensorBoard(WithOptions, Callback):
    """Writes what TensorBoard shows (``tensorboard --logdir logs``): the curves of training to ``log_dir/train``, those
    of the validation data to ``log_dir/validation``, the network, and the weights as histograms.

    Args:
        log_dir: the folder.
        histogram_freq: after every how many epochs the weights are written; 0 for never.
        write_graph: whether the network is.
        write_images: Keras's, as are all of the rest but ``update_freq``: only as it is.
        update_freq: ``"epoch"``, ``"batch"``, or after how many batches a training step's results are written too.

    Raises:
        ImportError: neither tensorboard nor tensorboardX is installed, whose writer it uses.
    """

    log_dir: Path = core(default="logs")
    histogram_freq: Count = 0
    write_graph: bool = True
    write_images: bool = only(False, advice="histograms, by histogram_freq, are")
    write_steps_per_second: bool = False
    update_freq: str | int = "epoch"
    profile_batch: int = only(0, advice="model.profile(training=True) measures it")
    embeddings_freq: int = only(0)
    embeddings_metadata: None = only(None)

    def __post_init__(self) -> None:
        named: dict[str | int, int] = {"epoch": 0, "batch": 1}
        self._every = integer(named.get(self.update_freq, self.update_freq), "update_freq")
        self._step, self._started = 0, (0, 0.0)
        self._writers: dict[str, EventWriter] = {}
        EventWriter.require()

    def _writer(self, part: str) -> EventWriter:
        if part not in self._writers:
            self._writers[part] = EventWriter(os.path.join(self.log_dir, part))
        return self._writers[part]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self.write_graph:
            self._writer("train").graph(self.model.graph("json"))

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._started = self._step, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._step += 1
        if self._every and self._step % self._every == 0:
            self._writer("train").scalars(self._step, _tagged("batch_", logs or {}))

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._writer("validation").scalars(self._step, _tagged("evaluation_", logs or {}, "_vs_iterations"))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        given = logs or {}
        train = {name: value for name, value in given.items() if not name.startswith("val_")}
        train["learning_rate"] = self.model.learning_rate
        if self.write_steps_per_second:
            step, since = self._started
            train["steps_per_second"] = (self._step - step) / max(time.monotonic() - since, 1e-9)
        self._writer("train").scalars(epoch, _tagged("epoch_", train))
        validation = {name.removeprefix("val_"): value for name, value in given.items() if name not in train}
        if validation:
            self._writer("validation").scalars(epoch, _tagged("epoch_", validation))
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for row in self.model.parameters:
                tag = row.name.replace(".", "/") + "/histogram"
                self._writer("train").histogram(epoch, tag, self.model.get_parameter(row.name))
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _tagged(prefix: str, values: Logs, suffix: str = "") -> dict[str, float]:
    """Names of curves; of a metric that is an array, one for each number."""
    return {
        "_".join([f"{prefix}{name}{suffix}", *map(str, place)]): float(number)
        for name, value in values.items()
        for place, number in np.ndenumerate(value)
    }
