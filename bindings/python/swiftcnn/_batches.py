"""Data that comes batch by batch: which objects are such, and how epochs are drawn from them, as Keras does it.

An epoch has a known number of batches (``steps``, or the source's length) or ends with the source. It is known of each
batch whether it is the last, since the next is drawn before the batch is given.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from ._folders import ImageFolder
from ._interchange import is_array
from ._warnings import warn

if TYPE_CHECKING:
    from ._arrays import Array

Item = TypeVar("Item")
Other = TypeVar("Other")

_RAN_OUT = (
    "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate at least "
    "`steps_per_epoch * epochs` batches."
)


def is_source(x: object) -> bool:
    """Whether ``x`` gives batches rather than being an array, or what becomes one."""
    if isinstance(x, (list, tuple)):
        return bool(x) and all(isinstance(batch, tuple) and batch for batch in x) and _is_input(x[0][0])
    if x is None or isinstance(x, (str, bytes, bytearray, memoryview, Mapping, Set)) or is_array(x):
        return False
    return _is_indexed(x) or hasattr(x, "__iter__") or hasattr(x, "__next__")


def _is_input(x: object) -> bool:
    """Whether ``x`` is an array, or several for a model with several inputs."""
    if isinstance(x, (list, tuple, Mapping)):
        return bool(x) and all(map(is_array, x.values() if isinstance(x, Mapping) else x))
    return is_array(x)


def _is_indexed(x: object) -> bool:
    """Whether ``x`` is a sequence, as Keras's ``PyDataset``."""
    return hasattr(x, "__getitem__") and hasattr(x, "__len__")


def unpack(item: object, name: str) -> tuple[Any, Any, Any]:
    """The images, targets and weights of a batch: ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``."""
    if not isinstance(item, (tuple, list)):
        return item, None, None
    if not 1 <= len(item) <= 3:
        raise ValueError(
            f"{name}: expected batches in the format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, got one of "
            f"{len(item)} parts"
        )
    parts = [*item, None, None]
    return parts[0], parts[1], parts[2]


@dataclass(eq=False)
class Feed(Generic[Item]):
    """Batches, epoch by epoch.

    Args:
        draw: gives the batches of the epoch of this number, but for so many at its beginning.
        length: how many that are, where it is known.
        steps: how many an epoch takes; the next epoch then goes on where this ended. None: all of them.
        ended: called when an epoch has ended.
        redraws: whether ``draw`` begins anew each time, rather than going on where somebody else stopped reading.
        goes_on: whether somebody has read from it already.
    """

    draw: Callable[[int, int], Iterator[Item]]
    length: int | None
    steps: int | None
    ended: Callable[[], object] = lambda: None
    redraws: bool = True
    goes_on: bool = False

    def __post_init__(self) -> None:
        self._takes_all = self.steps is None
        self.steps = self.steps or self.length
        self._iterator: Iterator[Item] | None = None
        self._ahead: list[Item] = []  # the batch that is drawn already, if one is
        self._warned = False
        self._has_begun = False

    def map(self, convert: Callable[[Item], Other]) -> Feed[Other]:
        """The same batches, converted; those that are drawn already are not lost."""
        feed: Any = copy.copy(self)
        feed.draw, feed._ahead = lambda epoch, passed: map(convert, self.draw(epoch, passed)), []
        if self._iterator is not None:
            feed._iterator = map(convert, chain(self._ahead, self._iterator))
        result: Feed[Other] = feed
        return result

    def peek(self, epoch: int) -> Item | None:
        """The first batch of an epoch, or None where there is none."""
        if not self._look_ahead():
            self._iterator = self.draw(epoch, 0)
            self._look_ahead()
        return self._ahead[0] if self._ahead else None

    def epoch(self, number: int, first: int = 0) -> Iterator[tuple[Item, bool]]:
        """The batches of an epoch, from one on, each with whether it is the last. Warns where there are fewer than
        there should be."""
        if self.peek(number) is None:
            return
        self._has_begun = True
        step, is_last = first, False
        while not is_last:
            item = self._ahead.pop()
            step += 1
            if step == self.steps:
                is_last = True
                if self._takes_all:
                    self._iterator = None
            elif not self._look_ahead():
                is_last = True
                if self.steps is not None:
                    self.warn()
            yield item, is_last
        self.ended()

    def resume(self, epoch: int, first: int, batch: int) -> None:
        """The next batch is this one of this epoch of a run that began with epoch ``first``: what that run has taken is
        passed over. An iterator that somebody has read from goes on as it stands."""
        steps = self.steps or 0
        if not self.redraws:
            if not self.goes_on:
                self._pass_over((epoch - first) * steps + batch)
            return
        if (epoch, batch) == (first, 0):
            return
        self._ahead.clear()
        if self._takes_all:
            self._iterator = self.draw(epoch, batch)
        elif self.length:
            # Epochs of so many steps go through the source in rounds, of which the last step may be missing.
            passed = (epoch - first) % -(-self.length // steps)
            self._iterator = self.draw(epoch - passed, passed * steps + batch)
        else:
            self._iterator = self.draw(first, 0)
            for number in range(first, epoch):
                if not self._look_ahead():
                    self._iterator = self.draw(number, 0)
                self._pass_over(steps)
            if batch:
                self.peek(epoch)
                self._pass_over(batch)

    def _pass_over(self, count: int) -> None:
        """Draws so many batches for nothing, or as many as there are."""
        for _ in range(count):
            if not self._look_ahead():
                return
            self._ahead.clear()

    def restart(self) -> None:
        """The next epoch begins anew, also where ``steps`` left something."""
        if self._has_begun and not self._ahead:
            self._iterator = None

    def warn(self) -> None:
        """Says, once, that there were too few batches."""
        if not self._warned:
            warn(_RAN_OUT)
        self._warned = True

    def _look_ahead(self) -> bool:
        """Draws the next batch, if it is not drawn yet; False at the end."""
        if not self._ahead and self._iterator is not None:
            for item in self._iterator:
                self._ahead.append(item)
                break
            else:
                self._iterator = None
        return bool(self._ahead)


def first_of(feed: Feed[Any], epoch: int, name: str) -> tuple[Any, Any, Any]:
    """The images, targets and weights of the first batch, which there must be."""
    first = feed.peek(epoch)
    if first is None:
        raise ValueError(f"{name} yields no batches: expected at least one")
    return unpack(first, name)


def feed_of(source: Any, steps: int | None, shuffle_seed: int | None = None) -> Feed[Any]:
    """The batches of a source as they are. ``shuffle_seed``: those of a sequence come in a new order in each epoch."""
    length = _length(source)

    def indexed(epoch: int, passed: int) -> Iterator[Any]:
        count = len(source)
        order: Sequence[int] = range(count)
        if shuffle_seed is not None:
            order = np.random.default_rng((shuffle_seed, epoch)).permutation(count).tolist()
        return (source[index] for index in order[passed:])

    def drawn(epoch: int, passed: int) -> Iterator[Any]:
        if isinstance(source, ImageFolder):
            batches = source.epoch(epoch)
        else:
            batches = iter(source) if hasattr(source, "__iter__") else source
        return islice(batches, passed, None) if passed else batches

    is_indexed = _is_indexed(source) and not isinstance(source, (list, tuple))
    ended = getattr(source, "on_epoch_end", None)
    return Feed(
        indexed if is_indexed else drawn,
        length,
        steps,
        ended if callable(ended) else lambda: None,
        redraws=is_indexed or not isinstance(source, Iterator),
        goes_on=inspect.isgenerator(source) and inspect.getgeneratorstate(source) != inspect.GEN_CREATED,
    )


def _length(source: Any) -> int | None:
    try:
        return len(source)
    except (TypeError, NotImplementedError):  # as a DataLoader over an iterable that does not know it
        return None


def feed_of_arrays(
    count: int,
    part: Callable[[slice | Array], Item],
    batch_size: int,
    steps: int | None,
    shuffle_seed: int | None = None,
) -> Feed[Item]:
    """The batches of so many samples, of which ``part`` gives some; with ``shuffle_seed`` in another order each time
    that they are gone through."""

    def drawn(epoch: int, passed: int) -> Iterator[Item]:
        starts = range(0, count, batch_size)[passed:]
        if shuffle_seed is None:
            return (part(slice(start, start + batch_size)) for start in starts)
        order = np.random.default_rng((shuffle_seed, epoch)).permutation(count)
        return (part(order[start : start + batch_size]) for start in starts)

    return Feed(drawn, -(-count // batch_size), steps)
