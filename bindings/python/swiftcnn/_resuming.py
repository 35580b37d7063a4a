"""How a training run remembers what its callbacks know, so that one that is resumed goes on as if it had never ended.

Beside the state of each callback a checkpoint has the hook in which it was saved, and how many of the callbacks had
been told. Those that stand behind a ``ModelCheckpoint`` in the list hear of the end of its epoch when the run is
resumed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _plain
from ._warnings import warn
from .callbacks import Callback, CallbackList, SwapEMAWeights

if TYPE_CHECKING:
    from . import _swiftcnn
    from .callbacks import Logs
    from .metrics import Metric
    from .models import Model

_IN_EPOCH = ("on_epoch_begin", "on_train_batch_begin", "on_train_batch_end")


class Stored(NamedTuple):
    """What a checkpoint says of the callbacks of its run."""

    hook: str
    epoch: int
    batch: int
    told: int  # of the callbacks
    logs: Logs
    rate: float | None  # which the run goes on with, where it is not the model's
    has_ended: bool
    callbacks: list[tuple[str, Any]]
    data: memoryview

    def state(self, index: int) -> dict[str, Any]:
        """The state of one of the callbacks, of which nobody else has a part.

        Raises:
            ValueError: it is damaged.
        """
        return _dictionary(self.callbacks[index][1], self.data)

    @classmethod
    def of(cls, text: str, data: bytes | bytearray) -> Stored:
        """
        Raises:
            ValueError: this is nothing that was stored.
        """
        try:
            found = json.loads(text)
            contents = memoryview(bytes(data))
            epoch, batch, told = (int(found[name]) for name in ("epoch", "batch", "told"))
            callbacks = [(str(key), state) for key, state in found["callbacks"]]
            hook, logs, has_ended = str(found["hook"]), found["logs"], bool(found["has_ended"])
            rate = None if found["rate"] is None else float(found["rate"])
        except (TypeError, KeyError, ValueError, RecursionError) as error:
            raise _damaged(error) from None
        return cls(hook, epoch, batch, told, _dictionary(logs, contents), rate, has_ended, callbacks, contents)


def _dictionary(value: Any, data: memoryview) -> dict[str, Any]:
    try:
        found = _plain.read(value, data)
        if isinstance(found, dict):
            return found
        raise ValueError(f"{found!r} is no dictionary")
    except ValueError as error:
        raise _damaged(error) from None


def _damaged(reason: object) -> ValueError:
    return ValueError(f"what the checkpoint keeps of callbacks is damaged: {reason}")


class Place(NamedTuple):
    """Where a run goes on.

    Attributes:
        is_begun: whether its callbacks have heard of the beginning of the epoch.
        is_done: whether all batches of the epoch are.
        logs: of the last batch.
    """

    epoch: int
    batch: int
    is_begun: bool = False
    is_done: bool = False
    logs: Logs | None = None


class FitHooks(CallbackList):
    """The callbacks of a training run.

    Args:
        callbacks: those whose state is stored.
        more: those that begin anew in each run, told last.
    """

    def __init__(self, callbacks: CallbackList, more: Sequence[Callback]) -> None:
        super().__init__(callbacks, *more)
        self._stored = callbacks.callbacks
        self._hook, self._epoch, self._batch, self._told = "on_train_begin", 0, 0, 0
        self._logs: Logs = {}
        self._kept: tuple[dict[str, Any], bytearray] | None = None
        self._passed_over: tuple[str, list[Callback]] = ("", [])  # who has been told already, if this is told next
        self.is_begun = False  # whether the callbacks know what they are to know before training
        self.is_resumed = False
        self.ended_before = False
        self.last_logs: Logs = {}

    def set_model(self, model: Model) -> None:
        for callback in self._stored:
            callback._remember_start()
        super().set_model(model)

    def _tell(self, hook: str, *arguments: Any) -> None:
        if not hook.startswith(("on_train", "on_epoch")):
            return super()._tell(hook, *arguments)
        self._hook, self._told, self._logs = hook, 0, arguments[-1]
        if hook == "on_epoch_begin":
            self._epoch, self._batch = arguments[0], 0
        elif hook.startswith("on_train_batch"):
            self._batch = arguments[0]
        elif hook == "on_epoch_end":
            self.last_logs = arguments[-1]
        (passed_hook, passed_over), self._passed_over = self._passed_over, ("", [])
        for callback in self.callbacks:
            self._told += 1
            if hook != passed_hook or not _is_one_of(callback, passed_over):
                getattr(callback, hook)(*arguments)

    def _tell_only(self, callbacks: list[Callback], hook: str, *arguments: Any) -> None:
        others = [callback for callback in self.callbacks if not _is_one_of(callback, callbacks)]
        self._passed_over = (hook, others)
        self._tell(hook, *arguments)

    # ------------------------------------------------------------------------------------------------------- keeping

    def keep(self, rate: float) -> None:
        """Keeps what there is now, and the rate, whatever comes: an epoch was broken off, and what callbacks make of
        its end is none of the run that is resumed."""
        state, data = self._state()
        self._kept = {**state, "rate": rate}, data

    def store(self, core: _swiftcnn.Model, has_ended: bool = False) -> None:
        """Has what the callbacks know go with the model's state of training.

        Raises:
            TypeError: the state of a callback is not plain.
        """
        state, data = self._kept or self._state()
        core.set_training_notes(json.dumps({**state, "has_ended": has_ended}), data)

    def _state(self) -> tuple[dict[str, Any], bytearray]:
        writer = _plain.Writer()
        state: dict[str, Any] = {
            "hook": self._hook,
            "epoch": self._epoch,
            "batch": self._batch,
            "told": min(self._told, len(self._stored)),
            "logs": {"dict": {}},
            "rate": None,
            "callbacks": [
                (callback.state_key, writer.written(_state_of(callback), f"{callback.state_key}.state_dict()"))
                for callback in self._stored
            ],
        }
        for name, value in self._logs.items():
            try:
                state["logs"]["dict"][str(name)] = writer.written(value, "logs")
            except TypeError:  # whatever somebody has put there
                continue
        return state, writer.data

    # ------------------------------------------------------------------------------------------------------ going on

    def resume(self, model: Model, stored: Stored | None, progress: dict[str, Any], place: Place) -> Place:
        """Gives the callbacks what was stored, and tells them what they have still to hear of the epoch.

        Args:
            stored: None where the checkpoint has nothing.
            progress: of the library.
            place: the epoch and the batch that it goes on with.

        Returns:
            Where the run goes on.
        """
        self.is_resumed = True
        found = self._matched(stored, progress["step"] > 0)
        if stored is None:
            _put_weights_back(model, progress["average_in_place"], [])
            self.is_begun = True
            return place
        self.ended_before = stored.has_ended or stored.hook == "on_train_end"
        is_done = (place.epoch, place.batch) == (stored.epoch + 1, 0)
        is_within = (is_done or place.epoch == stored.epoch) and stored.hook in _IN_EPOCH
        is_at_end = is_done and stored.hook == "on_epoch_end"
        before = [callback for callback, index in found if index < stored.told]
        behind = [callback for callback, index in found if index >= stored.told]
        for callback, index in found:
            callback.load_state_dict(stored.state(index))
            is_behind = index >= stored.told
            if is_at_end and is_behind or is_within and not (stored.hook == "on_epoch_begin" and is_behind):
                rate = model.learning_rate
                callback.on_epoch_begin(stored.epoch, {})
                if model.learning_rate != rate:
                    model.learning_rate = rate
                callback.load_state_dict(stored.state(index))
        _put_weights_back(model, progress["average_in_place"], before + behind)
        if stored.rate not in (None, model.learning_rate):
            model.learning_rate = stored.rate
        self.is_begun = True
        if stored.hook == "on_train_end":
            self._passed_over = (stored.hook, before)
        if not (is_within or is_at_end):
            return place
        self._epoch, self._batch, self._logs = stored.epoch, stored.batch, stored.logs
        if is_at_end:
            self._tell_only(behind, stored.hook, stored.epoch, stored.logs)
            return place
        others = [callback for callback in self.callbacks if not _is_one_of(callback, before + behind)]
        begin = others + (behind if stored.hook == "on_epoch_begin" else [])
        self._tell_only(begin, "on_epoch_begin", stored.epoch, {})
        logs = stored.logs
        if stored.hook == "on_train_batch_end":
            self._tell_only(behind, stored.hook, stored.batch, logs)
        elif stored.hook == "on_train_batch_begin" and (is_done or place.batch == stored.batch + 1):
            # It ended between the step and its being told.
            logs = dict(zip(progress["names"], progress["results"], strict=False))
            self.on_train_batch_end(stored.batch, logs)
        elif stored.hook == "on_train_batch_begin" and place.batch == stored.batch:
            self._passed_over = (stored.hook, before)
        return Place(stored.epoch, place.batch, True, is_done, logs)

    def _matched(self, stored: Stored | None, has_trained: bool) -> list[tuple[Callback, int]]:
        """The callbacks that were stored, in the order of that time, each with its place then. Warns where there are
        others now."""
        left: dict[str, list[Callback]] = {}
        for callback in self._stored:
            left.setdefault(callback.state_key, []).append(callback)
        found: list[tuple[Callback, int]] = []
        missing: list[str] = []
        for index, (key, state) in enumerate(stored.callbacks if stored else []):
            if left.get(key):
                found.append((left[key].pop(0), index))
            elif state != {"dict": {}}:
                missing.append(key)
        new = [callback.state_key for callbacks in left.values() for callback in callbacks]
        parts = []
        if missing:
            parts.append(f"without {_listed(missing)}, of which the checkpoint has the state")
        if new:
            parts.append(f"with {_listed(new)}, of which the checkpoint has none: beginning anew")
        if parts and has_trained:
            warn(f"the run is resumed with other callbacks: {'; '.join(parts)}")
        return found


class OwnMetrics(Callback):
    """Begins the metrics anew that the library does not measure, and keeps what a run that is resumed in the midst of
    an epoch has to know of them."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        for metric in self._metrics:
            metric.reset_state()

    def state_dict(self) -> dict[str, Any]:
        return {
            metric.name: {name: getattr(metric, name) for name in _plain.plain_parts(vars(metric))}
            for metric in self._metrics
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for metric in self._metrics:
            vars(metric).update(state.get(metric.name, {}))


def _is_one_of(callback: Callback, others: list[Callback]) -> bool:
    return any(callback is other for other in others)


def _listed(names: list[str]) -> str:
    return ", ".join(name if count == 1 else f"{name} ({count} times)" for name, count in Counter(names).items())


def _state_of(callback: Callback) -> dict[str, Any]:
    state: object = callback.state_dict()
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise TypeError(f"{callback.state_key}.state_dict() gave {state!r}; expected a dictionary of names and values")
    return dict(state)


def _put_weights_back(model: Model, are_averages: bool, restored: list[Callback]) -> None:
    """Training goes on with the weights that were trained; averages stay in their place only for a callback that takes
    them away again."""
    swapping = [callback for callback in restored if isinstance(callback, SwapEMAWeights)]
    if are_averages and not any(callback._are_in_place for callback in swapping):
        model.swap_ema()
    for callback in swapping:
        callback._are_in_place = callback._are_in_place and are_averages
