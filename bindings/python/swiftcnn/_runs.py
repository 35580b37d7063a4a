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

    Attributes:
        epochs: the number of the epoch to end with.
        steps: the batches of an epoch, where that is known.
        batch_size: of arrays; 0 where batches come as such.
        samples: the images of the last step.
    """

    epochs: int
    steps: int | None
    batch_size = 0
    samples = 0

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
        resumes: bool,
    ) -> None:
        self._first = first
        self._resumes = resumes
        self._count = len(data.x)
        self.epochs = epochs
        self.batch_size = batch_size
        self.steps = self._steps = -(-self._count // batch_size)
        place = {"initial_epoch": first, "resume": resumes, "report_start": resumes}
        settings = {**options, **place, "batch_size": batch_size, "shuffle": shuffles}
        self._run = handle.fit(*data, json.dumps(settings)) if first < epochs else None
        pass_on(handle)

    def start(self) -> tuple[int, int]:
        if self._resumes and self._run is not None:
            progress = Progress(*self._run.step())  # trains nothing: report_start
            return progress.epoch, progress.batch
        return self._first, 0

    def has_batch(self, epoch: int) -> bool:
        return self._run is not None

    def batches(self, epoch: int, first: int) -> Iterator[int]:
        return iter(range(first, self._steps))

    def step(self) -> tuple[float, ...]:
        assert self._run is not None  # has_batch
        progress = Progress(*self._run.step())
        self.samples = min(self.batch_size, self._count - (progress.batch - 1) * self.batch_size)
        return progress.results

    def close(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None


class FeedRun(Run):
    """A run over batches as they come, each a run of the library of its own.

    It begins with the first batch of an epoch, also where it resumes.

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
        resumes: bool,
        schedule: str | None,
    ) -> None:
        self._handle = handle
        self._feed = feed
        self._options = options
        self._first = first
        self._resumes = resumes
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
        if not self._resumes or self._first >= self.epochs:
            return self._first, 0
        data = self._feed.peek(self._first)
        if data is None:
            return self._first, 0
        place = {"initial_epoch": self._first, "resume": True, "report_start": True}
        run = self._begin(data, {"batch": 0, **place})
        try:
            epoch = Progress(*run.step()).epoch  # trains nothing: report_start
        finally:
            run.close()
        self._feed.resume(epoch, self._first)
        return epoch, 0

    def has_batch(self, epoch: int) -> bool:
        if self._feed.peek(epoch) is not None:
            return True
        self._feed.warn()
        return False

    def batches(self, epoch: int, first: int) -> Iterator[int]:
        for number, (data, is_last) in enumerate(self._feed.epoch(epoch)):
            self._current = data, {"initial_epoch": epoch, "batch": number, "last_batch": is_last}
            yield number

    def step(self) -> tuple[float, ...]:
        assert self._current is not None  # batches
        data, place = self._current
        self.samples = len(data.x)
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
