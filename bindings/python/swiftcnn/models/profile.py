"""Where the time of a prediction or of a training step goes: what ``Model.profile`` returns."""

from __future__ import annotations

import json
import os
from _thread import allocate_lock
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._checks import path_of
from .._files import write_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import _swiftcnn


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How much there was to do, and how long it took.

    Attributes:
        seconds: the median time.
        predicted_seconds: the time by the model that the implementation was chosen by, at the processor's clock; None
            where nothing was chosen.
        operations: multiplications and additions of convolutions and dense layers; 0 elsewhere.
        bytes: of what is read and written, weights too.
        shortest_seconds: the time in which the machine could do this at best, with numbers of its type, in tiles or in
            vectors.
        gigaflops: billions of these operations in a second.
        gigabytes_per_second: billions of bytes in a second.
        share_of_limit: ``shortest_seconds / seconds``: how near it comes to what the machine can do, 1 being there.
            What lies in the caches can be read faster than memory, so that it can be more.
    """

    seconds: float
    predicted_seconds: float | None
    operations: int
    bytes: int
    shortest_seconds: float
    gigaflops: float
    gigabytes_per_second: float
    share_of_limit: float


@dataclass(frozen=True, kw_only=True)
class Part(Figures):
    """What a step of a training step does for a layer, with the attributes of ``Figures`` and these.

    Attributes:
        layers: the name of the layer; several where these were made one before gradients were taken, as ``bn1`` and
            ``relu``.
        role: what for: ``"forward"``; ``"recomputation"`` of what was not kept from the forward pass;
            ``"input_gradient"``, of what the layer reads of others, and of its weights where one pass gives both;
            ``"weight_gradient"``; ``"update"`` of weights and statistics.
    """

    layers: tuple[str, ...]
    role: str


@dataclass(frozen=True, kw_only=True)
class LayerFigures(Figures):
    """What a layer takes of a training step, with the attributes of ``Figures``, the sum of its roles, and these.

    Attributes:
        layers: the name of the layer; several where these were made one before gradients were taken, as ``bn1`` and
            ``relu``.
        roles: what it takes in each role that it has, by the role's name as of ``Part``.
    """

    layers: tuple[str, ...]
    roles: dict[str, Figures]

    @property
    def name(self) -> str:
        """The layers in one text, as ``bn1 + relu``."""
        return " + ".join(self.layers)


@dataclass(frozen=True, kw_only=True)
class Step(Figures):
    """One step: a layer, or several that are computed in one, with the attributes of ``Figures`` and these.

    Attributes:
        pass_: the pass of a training step: ``"forward"``, ``"backward"`` or ``"update"``; None in a prediction.
        layers: the names of the layers, or of those whose gradients it computes.
        algorithm: how it is computed.
        dtype: the type of its numbers: ``"float32"``, ``"bfloat16"``, or ``"int8"`` for the levels of a quantised
            model.
        instruction: that of its products, as ``"vpdpbusd"``, where the instructions that it is computed with have but
            one for them; else these, as ``Model.precision`` says them.
        reason: why it is not computed in the model's precision; ``""`` where it is.
        shape: the sizes of one image.
        parts: of a training step, what it does for each layer; their sum is the step. Where it computes products, all
            of it is for these, and what is done to their results in the same pass has figures of 0. Other steps of
            several layers are divided by the bytes that each would read and write alone. Empty in a prediction.
    """

    pass_: str | None
    layers: tuple[str, ...]
    algorithm: str
    dtype: str
    instruction: str
    reason: str
    shape: str
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """The layers in one text, as ``conv1 + bn1 + relu``."""
        return " + ".join(self.layers)


class Profile:
    """The steps of a prediction or of a training step with their times. As text it is a table: of a prediction that of
    the steps, of a training step that of the layers which take longest.

    Attributes:
        model: the model's name.
        images: of the batch.
        threads: the number of threads.
        precision: what the prediction or the training step is to compute in: ``"float32"`` or ``"bfloat16"``; see
            ``Model.precision``.
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
        layers: of a training step, what it takes of each layer, those first that take longest. Their sum is the step.
            Empty for a prediction.
        roles: of a training step, what each role takes, by its name as of ``Part``. Their sum is the step. Empty for a
            prediction.
        step_table: the table of the steps, as text.
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
    layers: list[LayerFigures]
    roles: dict[str, Figures]
    step_table: str

    def __init__(self, numbers: dict[str, Any], text: str, step_table: str, trace: str) -> None:
        steps, layers, roles = (numbers.pop(key) for key in ("steps", "layers", "roles"))
        self.__dict__.update(numbers)
        self.steps = [
            Step(
                pass_=row.pop("pass"),
                layers=tuple(row.pop("layers")),
                parts=tuple(Part(layers=tuple(part.pop("layers")), **part) for part in row.pop("parts")),
                **row,
            )
            for row in steps
        ]
        self.layers = [
            LayerFigures(layers=tuple(row.pop("layers")), roles=_figures(row.pop("roles")), **row) for row in layers
        ]
        self.roles = _figures(roles)
        self._text, self.step_table, self._trace = text, step_table, trace

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


def _figures(roles: dict[str, Any]) -> dict[str, Figures]:
    return {role: Figures(**numbers) for role, numbers in roles.items()}


# The texts are of one measurement, whatever other threads do with the model.
_lock = allocate_lock()


def measured(handle: _swiftcnn.Model, run: Callable[[], None]) -> Profile:
    """The profile that a call of the library makes."""
    with _lock:
        run()
        text, steps, numbers, trace = (handle.profile_text(format) for format in ("text", "steps", "json", "trace"))
    return Profile(json.loads(numbers), text, steps, trace)
