"""Where the time of a prediction or of a training step goes: what ``Model.profile`` returns."""

from __future__ import annotations

import json
import os
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any, NamedTuple

from .._checks import path_of
from .._files import write_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import _swiftcnn


class Step(NamedTuple):
    """One step: a layer, or several that are computed in one.

    Attributes:
        pass_: the part of a training step: ``"forward"``, ``"backward"`` or ``"update"``; None in a prediction.
        layers: the names of the layers.
        algorithm: how it is computed.
        dtype: the type of its numbers: ``"float32"``, ``"bfloat16"``, or ``"int8"`` for the levels of a quantised
            model.
        instruction: that of its products, as ``"vpdpbusd"``, where the instructions that it is computed with have but
            one for them; else these, as ``Model.precision`` says them.
        shape: the sizes of one image.
        seconds: the median time.
        predicted_seconds: the time by the model that the implementation was chosen by, at the processor's clock; None
            where nothing was chosen.
        operations: multiplications and additions of convolutions and dense layers; 0 elsewhere.
        bytes: of what it reads and writes, weights too.
        gigaflops: billions of these operations in a second.
        gigabytes_per_second: billions of bytes in a second.
        share_of_limit: how near it comes to what the machine can do with numbers of its type, in tiles or in vectors, 1
            being there. What lies in the caches can be read faster than memory, so that it can be more.
    """

    pass_: str | None
    layers: tuple[str, ...]
    algorithm: str
    dtype: str
    instruction: str
    shape: str
    seconds: float
    predicted_seconds: float | None
    operations: int
    bytes: int
    gigaflops: float
    gigabytes_per_second: float
    share_of_limit: float

    @property
    def name(self) -> str:
        """The layers in one text, as ``conv1 + bn1 + relu``."""
        return " + ".join(self.layers)


class Profile:
    """The steps of a prediction or of a training step with their times. As text it is a table.

    Attributes:
        model: the model's name.
        images: of the batch.
        threads: the number of threads.
        precision: what the model is to compute in, see ``Model.precision``; ``"float32"`` in training.
        repeats: how often it was measured.
        operations_per_second: multiplications and additions of float32 that all threads can do in a second, as
            measured.
        integer_operations_per_second: those of integers of 8 bits that all threads can do in vector registers in a
            second, as measured; None where no step computes by those.
        tile_operations_per_second: those of bfloat16 that all threads can do in tiles in a second, as measured; None
            where no step computes by tiles.
        bytes_per_second: bytes that all threads can read from memory in a second, as measured.
        seconds: the sum of the steps' times.
        steps: in the order in which they run.
    """

    model: str
    images: int
    threads: int
    precision: str
    repeats: int
    operations_per_second: float
    integer_operations_per_second: float | None
    tile_operations_per_second: float | None
    bytes_per_second: float
    seconds: float
    steps: list[Step]

    def __init__(self, numbers: dict[str, Any], text: str, trace: str) -> None:
        rows = numbers.pop("steps")
        self.__dict__.update(numbers)
        self.steps = [Step(pass_=row.pop("pass"), layers=tuple(row.pop("layers")), **row) for row in rows]
        self._text, self._trace = text, trace

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Writes the fastest of the runs as a file that chrome://tracing and https://ui.perfetto.dev open: a
        track with the steps, and one for each thread with when it was at work.

        Args:
            path: of the file. What was there stays where writing fails.

        Raises:
            OSError: the file cannot be written.
            TypeError: no path.
        """
        write_text(self._trace, os.fsdecode(path_of(path, "path")))


# The three texts are of one measurement, whatever other threads do with the model.
_lock = allocate_lock()


def measured(handle: _swiftcnn.Model, run: Callable[[], None]) -> Profile:
    """The profile that a call of the library makes."""
    with _lock:
        run()
        table, numbers, trace = (handle.profile_text(format) for format in ("text", "json", "trace"))
    return Profile(json.loads(numbers), table, trace)
