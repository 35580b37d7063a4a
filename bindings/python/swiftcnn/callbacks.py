"""What is told of the progress of training, evaluation and prediction, and may act on it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ._checks import boolean, integer, number, path_of, text, unknown

if TYPE_CHECKING:
    from .models import Model

    Logs = dict[str, float]

__all__ = ["Callback", "CallbackList", "History", "ModelCheckpoint"]


class Callback:
    """The base of all callbacks: derive, and override what you want to hear of.

    ``logs`` maps the names of the loss and the metrics to Python floats. In training they are means over the epoch so
    far; at the end of an epoch those of the validation data follow as ``val_loss`` and so on. Batches count from 0 in
    each epoch, epochs from 0.

    Attributes:
        model: the model that is at work. ``self.model.stop_training = True`` ends training after the current batch.
        params: in training ``epochs``, ``steps`` (batches an epoch), ``batch_size``, ``samples``, ``verbose``,
            ``metrics`` (the names in ``logs`` at the end of an epoch).
    """

    model: Model
    params: dict[str, object]

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

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A training step begins."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A training step has ended."""

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
        """A batch of a prediction has ended."""


class CallbackList(Callback):
    """Several callbacks as one, called in their order."""

    def __init__(self, callbacks: Callback | Iterable[Callback] | None, *more: Callback) -> None:
        if callbacks is None:
            given = []
        elif isinstance(callbacks, Callback):
            given = [callbacks]
        elif isinstance(callbacks, Iterable):
            given = list(callbacks)
        else:
            raise TypeError(f"callbacks must be a list of callbacks, got {callbacks!r}")
        for callback in given:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must hold objects of swiftcnn.callbacks.Callback, got {callback!r}")
        self.callbacks: list[Callback] = [*given, *more]

    def set_model(self, model: Model) -> None:
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, object]) -> None:
        for callback in self.callbacks:
            callback.set_params(params)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_begin(logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_end(logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_batch_begin(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_batch_end(batch, logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_begin(logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_end(logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_batch_begin(batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_batch_end(batch, logs)


class History(Callback):
    """What ``fit`` returns.

    Attributes:
        history: for each name in the logs of an epoch, the list of its values, one an epoch.
        epoch: the numbers of those epochs.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def set_model(self, model: Model) -> None:
        """The model is not kept: it keeps its history, and in a circle neither would be freed in time."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class ModelCheckpoint(Callback):
    """Saves the model as it is trained; by default a checkpoint from which training goes on in the same bits::

        model.fit(x, y, epochs=9, callbacks=[ModelCheckpoint("m.safetensors")])    # interrupted in the fifth epoch
        model = swiftcnn.load_model("m.safetensors")
        model.fit(x, y, epochs=9, resume=True)                                     # the other five

    Args:
        filepath: the file, which is replaced as a whole each time. It may hold fields as ``"{epoch:02d}-{loss:.3f}"``:
            the epoch, counted from 1, and the names in the logs.
        monitor: the name in the logs by which the best model is chosen.
        verbose: 1 prints a line at each save.
        save_best_only: only a model that is better than all before is saved.
        save_weights_only: the file holds no training state.
        mode: ``"min"``, ``"max"`` or ``"auto"``: whether less or more is better. Auto takes more for the metrics that
            have accuracy or top_k in their name and less for the rest.
        save_freq: ``"epoch"``, or after how many batches.
        initial_value_threshold: the value that the first saved model must be better than.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        self.filepath = os.fsdecode(path_of(filepath, "filepath"))
        self.monitor = text(monitor, "monitor")
        self.verbose = integer(verbose, "verbose")
        self.save_best_only = boolean(save_best_only, "save_best_only")
        self.save_weights_only = boolean(save_weights_only, "save_weights_only")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        more_is_better = mode == "max" or mode == "auto" and ("acc" in monitor or "top_k" in monitor)
        self._sign = 1.0 if more_is_better else -1.0
        if isinstance(save_freq, str) and save_freq != "epoch":
            raise ValueError(f"save_freq must be 'epoch' or a number of batches, got {save_freq!r}")
        self.save_freq = save_freq if isinstance(save_freq, str) else integer(save_freq, "save_freq", minimum=1)
        self.best: float | None = (
            None if initial_value_threshold is None else number(initial_value_threshold, "initial_value_threshold")
        )
        self._epoch = 0
        self._batches = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        names = self.params.get("metrics")
        if self.save_best_only and isinstance(names, list) and self.monitor not in names:
            raise unknown("monitor of ModelCheckpoint", self.monitor, names)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not isinstance(self.save_freq, int):
            return
        self._batches += 1
        if self._batches % self.save_freq == 0:
            self._save(logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(logs or {})

    def _save(self, logs: Mapping[str, float]) -> None:
        if self.save_best_only and not self._is_best(logs):
            return
        try:
            path = self.filepath.format(epoch=self._epoch + 1, **logs)
        except KeyError as error:
            raise unknown("field of filepath", str(error.args[0]), ["epoch", *logs]) from None
        self.model.save(path, include_optimizer=not self.save_weights_only)
        if self.verbose:
            print(f"epoch {self._epoch + 1}: saved {path}")

    def _is_best(self, logs: Mapping[str, float]) -> bool:
        value = logs.get(self.monitor)
        if value is None or math.isnan(value):  # not measured at this moment, as validation in the midst of an epoch
            return False
        if self.best is not None and self._sign * value <= self._sign * self.best:
            return False
        self.best = value
        return True
