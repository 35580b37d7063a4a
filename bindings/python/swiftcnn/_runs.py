"""The training run of the library that ``fit`` drives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from ._batches import Feed
from ._warnings import pass_on

if TYPE_CHECKING:
    from . import _swiftcnn
    from ._arrays import Data
    from ._inputs import FitArguments


class Run:
    """A run over arrays, which the library shuffles, augments and divides itself, or over batches as they come: for
    each epoch ``has_batch``, ``batches`` and, within it, ``step``.

    Args:
        batch_size: of arrays.
        resumed: the epoch and the batch to go on with; None where nothing is resumed.
        schedule: the learning rate's schedule, where it is one that needs to be told the number of steps.

    Attributes:
        start: the epoch and the batch to begin with.
        epochs: the number of the epoch to end with.
        steps: the batches of an epoch, where that is known.
        batch_size: of arrays; 0 where batches come as such.
        samples: the images of the last step.
        epoch_ended: whether that was the last of its epoch.

    Raises:
        ValueError: the number of steps is not known.
    """

    samples = 0
    epoch_ended = False

    def __init__(
        self,
        handle: _swiftcnn.Model,
        source: Data | Feed[Data],
        batch_size: int,
        given: FitArguments,
        resumed: tuple[int, int] | None,
        schedule: str | None,
    ) -> None:
        self._handle = handle
        self._current: tuple[int, Data | None, bool] = (0, None, False)
        self._run: _swiftcnn.Fit | None = None
        self.epochs = given.epochs
        options = {**given.options, "initial_epoch": given.first, "resume": resumed is not None}
        if isinstance(source, Feed):
            self._feed: Feed[Data] | None = source
            self._count = self.batch_size = 0
            self.steps = source.steps
            options["steps"] = self.steps
        else:
            self._feed, self._count, self.batch_size = None, source.samples, batch_size
            self.steps = -(-self._count // batch_size)
            options |= {"batch_size": batch_size, "shuffle": given.shuffles}
        self.start = resumed or (given.first, 0)
        if self.steps is not None and self.start[1] >= self.steps:  # of an epoch that has fewer batches now
            self.start = self.start[0] + 1, 0
        if max(given.first, self.start[0]) >= given.epochs:
            return
        if schedule is not None and self.steps is None:
            raise ValueError(
                f"the learning rate {schedule} is to extend over the whole fit, but x does not tell how many batches "
                "an epoch has: give the schedule total_steps (CosineDecay: decay_steps), or fit steps_per_epoch"
            )
        x, y, weight = (None, None, None) if isinstance(source, Feed) else source
        self._run = handle.fit(x, y, weight, json.dumps(options))
        pass_on(handle)
        if self._feed and resumed:
            self._feed.resume(self.start[0], given.first, self.start[1])

    def has_batch(self, epoch: int) -> bool:
        """Whether there is anything to train on in this epoch."""
        if self._feed is None or self._feed.peek(epoch) is not None:
            return self._run is not None
        self._feed.warn()
        return False

    def batches(self, epoch: int, first: int) -> Iterator[int]:
        """The numbers of the batches in this epoch, from one on."""
        if self._feed is None:
            for number in range(first, self.steps or 0):
                self._current = number, None, False
                yield number
        else:
            for number, (data, is_last) in enumerate(self._feed.epoch(epoch, first), first):
                self._current, self.epoch_ended = (number, data, is_last), is_last
                yield number

    def step(self) -> tuple[float, ...]:
        """Trains on the batch whose number was given last; the means over the epoch so far."""
        assert self._run is not None  # has_batch
        number, data, is_last = self._current
        if data is None:
            self.samples = min(self.batch_size, self._count - number * self.batch_size)
            self.epoch_ended, results = self._run.step()
        else:
            self.samples = data.samples
            _, results = self._run.on_batch(*data)
            if is_last:
                self._run.end_epoch()
            pass_on(self._handle)
        return results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Lets go of the data."""
        if self._run is not None:
            self._run.close()
        self._run, self._current = None, (0, None, False)
