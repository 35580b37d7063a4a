"""Training runs of the library, as ``fit`` drives them: over arrays, or batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Self

from ._warnings import pass_on

if TYPE_CHECKING:
    from . import _swiftcnn
    from ._arrays import Data
    from ._batches import Feed


class Progress(NamedTuple):
    """What a training step reports: ``scnn_progress`` of the C header."""

    epoch: int
    batch: int
    batches: int
    step: int
    epoch_ended: bool
    finished: bool
    learning_rate: float
    results: tuple[float, ...]


class Run:
    """What both kinds of run have in common: ``start``, then for each epoch ``has_batch``, ``batches`` and, within it,
    ``step``.

    Args (of both):
        first: the epoch to begin with.
        resumed: the epoch and the batch to go on with in its place; None where nothing is resumed.

    Attributes:
        epochs: the number of the epoch to end with.
        steps: the batches of an epoch, where that is known.
        batch_size: of arrays; 0 where batches come as such.
        samples: the images of the last step.
        epoch_ended: whether that was the last of its epoch.
    """

    epochs: int
    steps: int | None
    batch_size = 0
    samples = 0
    epoch_ended = False

    def start(self) -> tuple[int, int]:
        """The epoch and the batch to begin with."""
        raise NotImplementedError

    def has_batch(self, epoch: int) -> bool:
        """Whether there is anything to train on in this epoch."""
        raise NotImplementedError

    def batches(self, epoch: int, first: int) -> Iterator[int]:
        """The numbers of the batches in this epoch, from one on."""
        raise NotImplementedError

    def step(self) -> tuple[float, ...]:
        """Trains on the batch whose number was given last; the means over the epoch so far."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the data."""


class ArrayRun(Run):
    """A run over arrays, which the library shuffles, augments and divides itself."""

    def __init__(
        self,
        handle: _swiftcnn.Model,
        data: Data,
        options: Mapping[str, object],
        batch_size: int,
        shuffles: bool,
        first: int,
        epochs: int,
        resumed: tuple[int, int] | None,
    ) -> None:
        self._count = data.samples
        self.epochs = epochs
        self.batch_size = batch_size
        self.steps = self._steps = -(-self._count // batch_size)
        self._start = _within(resumed, self.steps) or (first, 0)
        place = {"initial_epoch": first, "resume": resumed is not None}
        settings = {**options, **place, "batch_size": batch_size, "shuffle": shuffles}
        begins = max(first, self._start[0]) < epochs
        self._run = handle.fit(*data, json.dumps(settings)) if begins else None
        pass_on(handle)

    def start(self) -> tuple[int, int]:
        return self._start

    def has_batch(self, epoch: int) -> bool:
        return self._run is not None

    def batches(self, epoch: int, first: int) -> Iterator[int]:
        return iter(range(first, self._steps))

    def step(self) -> tuple[float, ...]:
        assert self._run is not None  # has_batch
        progress = Progress(*self._run.step())
        self.samples = min(self.batch_size, self._count - (progress.batch - 1) * self.batch_size)
        self.epoch_ended = progress.epoch_ended
        return progress.results

    def close(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None


class FeedRun(Run):
    """A run over batches as they come, each a run of the library of its own.

    Args:
        schedule: the learning rate's schedule, where it is one that needs to be told the number of steps.

    Raises:
        ValueError: that number is not known.
    """

    def __init__(
        self,
        handle: _swiftcnn.Model,
        feed: Feed[Data],
        options: Mapping[str, object],
        first: int,
        epochs: int,
        resumed: tuple[int, int] | None,
        schedule: str | None,
    ) -> None:
        self._handle = handle
        self._feed = feed
        self._options = options
        self._first = first
        self._resumed = _within(resumed, feed.steps)
        self._current: tuple[Data, dict[str, object]] | None = None
        self._has_begun = False
        self.epochs = epochs
        self.steps = feed.steps
        self._total = self.steps * (epochs - first) if self.steps is not None and first < epochs else None
        if schedule is not None and self._total is None and first < epochs:
            raise ValueError(
                f"the learning rate {schedule} is to extend over the whole fit, but x does not tell how many batches "
                "an epoch has: give the schedule total_steps (CosineDecay: decay_steps), or fit steps_per_epoch"
            )

    def start(self) -> tuple[int, int]:
        if self._resumed is None:
            return self._first, 0
        epoch, batch = self._resumed
        if max(self._first, epoch) < self.epochs:
            data = self._feed.peek(self._first)
            if data is not None:  # a run that trains nothing has a schedule go on
                self._begin(data, {"batch": 0, "initial_epoch": self._first, "resume": True}).close()
            self._feed.resume(epoch, self._first, batch)
        return epoch, batch

    def has_batch(self, epoch: int) -> bool:
        if self._feed.peek(epoch) is not None:
            return True
        self._feed.warn()
        return False

    def batches(self, epoch: int, first: int) -> Iterator[int]:
        for number, (data, is_last) in enumerate(self._feed.epoch(epoch, first), first):
            self.epoch_ended = is_last
            self._current = data, {"initial_epoch": epoch, "batch": number, "last_batch": is_last}
            yield number

    def step(self) -> tuple[float, ...]:
        assert self._current is not None  # batches
        data, place = self._current
        self.samples = data.samples
        run = self._begin(data, place)
        try:
            return Progress(*run.step()).results
        finally:
            run.close()

    def _begin(self, data: Data, place: dict[str, object]) -> _swiftcnn.Fit:
        total = None if self._has_begun else self._total
        run = self._handle.fit(*data, json.dumps({**self._options, **place, "shuffle": False, "total_steps": total}))
        self._has_begun = True
        pass_on(self._handle)
        return run

    def close(self) -> None:
        self._current = None


def _within(place: tuple[int, int] | None, steps: int | None) -> tuple[int, int] | None:
    """The place to go on with, where an epoch has so many batches now."""
    if place is None or steps is None or place[1] < steps:
        return place
    return place[0] + 1, 0
