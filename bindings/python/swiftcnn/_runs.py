"""The training run of the library that ``fit`` drives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

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
        self._run: _swiftcnn.Fit | None = None
        self._batch: Data | int = 0
        self.epochs = given.epochs
        self.batch_size = 0 if isinstance(source, Feed) else batch_size
        self._feed: Feed[Any] = source if isinstance(source, Feed) else _counts(source.samples, batch_size)
        self.steps = self._feed.steps
        first = given.initial_epoch
        self.start = resumed or (first, 0)
        if self.steps is not None and self.start[1] >= self.steps:  # of an epoch that has fewer batches now
            self.start = self.start[0] + 1, 0
        if max(first, self.start[0]) >= given.epochs:
            return
        if schedule is not None and self.steps is None:
            raise ValueError(
                f"the learning rate {schedule} is to extend over the whole fit, but x does not tell how many batches "
                "an epoch has: give the schedule total_steps (CosineDecay: decay_steps), or fit steps_per_epoch"
            )
        told = ("epochs", "initial_epoch", "horizontal_flip", "crop_padding", "resume")
        options = {name: getattr(given, name) for name in told}
        if isinstance(source, Feed):
            self._run = handle.fit(None, None, None, json.dumps(options | {"steps": self.steps}))
        else:
            options |= {"batch_size": batch_size, "shuffle": given.shuffle}
            self._run = handle.fit(*source, json.dumps(options))
        pass_on(handle)
        if resumed:
            self._feed.resume(self.start[0], first, self.start[1])

    def has_batch(self, epoch: int) -> bool:
        """Whether there is anything to train on in this epoch."""
        if self._feed.peek(epoch) is not None:
            return self._run is not None
        self._feed.warn()
        return False

    def batches(self, epoch: int, first: int) -> Iterator[int]:
        """The numbers of the batches in this epoch, from one on."""
        for number, (batch, is_last) in enumerate(self._feed.epoch(epoch, first), first):
            self._batch, self.epoch_ended = batch, is_last
            yield number

    def step(self) -> tuple[float, ...]:
        """Trains on the batch whose number was given last; the means over the epoch so far."""
        assert self._run is not None  # has_batch
        if isinstance(self._batch, int):
            self.samples, (_, results) = self._batch, self._run.step()
        else:
            self.samples, (_, results) = self._batch.samples, self._run.on_batch(*self._batch)
            if self.epoch_ended:
                self._run.end_epoch()
            pass_on(self._handle)
        return results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Lets go of the data."""
        if self._run is not None:
            self._run.close()
        self._run, self._batch = None, 0


def _counts(samples: int, batch_size: int) -> Feed[int]:
    """The images in each batch of arrays."""
    counts = [min(batch_size, samples - start) for start in range(0, samples, batch_size)]
    return Feed(lambda epoch, passed: iter(counts[passed:]), len(counts), None)
