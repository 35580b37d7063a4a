"""What a model computes in integers: what ``Model.quantization_report`` returns."""

from __future__ import annotations

from _thread import allocate_lock
from typing import TYPE_CHECKING, Any, NamedTuple

from .._drawings import save_svg
from .report import Report

if TYPE_CHECKING:
    import os

    from .. import _swiftcnn
    from .._arrays import Array


class QuantizedStep(NamedTuple):
    """One step of a prediction: a layer, or several that are computed in one.

    Attributes:
        layers: the names of the layers.
        operation: what the first of them computes, as ``"conv2d"``.
        dtype: ``"int8"``, ``"float32"`` or ``"bfloat16"``.
        instruction: that of its products, as ``"tdpbusd"``, else as ``Model.precision`` says it.
        scale: how far the levels of its result lie apart; None where that is floats, or they differ between channels.
        zero_point: the level, 0 to 255, that stands for 0.
        weight_scales: the least and the largest scale of its weight's channels; None where no weight is rounded.
        signal_to_noise: the power of its result over that of the noise that all roundings so far have brought, in
            decibels; None where it was not measured.
        error_share: the share of the logits' squared error that comes of rounding its weights and its result, to first
            order, negative where it cancels others; None where it was not measured.
        reason: why it is in floats, where integers go into it or it was asked for; else ``""``.
    """

    layers: tuple[str, ...]
    operation: str
    dtype: str
    instruction: str
    scale: float | None
    zero_point: int | None
    weight_scales: tuple[float, float] | None
    signal_to_noise: float | None
    error_share: float | None
    reason: str

    @property
    def name(self) -> str:
        """The layers in one text, as ``conv1 + relu``."""
        return " + ".join(self.layers)


class FloatIsland(NamedTuple):
    """A step in floats though integers go into it and are made of what comes out.

    Attributes:
        layer: its name.
        operation: what it computes, as ``"softmax"``.
        reason: why it is not computed in integers.
    """

    layer: str
    operation: str
    reason: str


class QuantizationReport(Report):
    """What a model computes in integers, with which levels, and what that does to its numbers. As text it is a table.

    Attributes:
        model: the model's name.
        reference: what noise is measured against; None where it was not measured.
        images: how many images it was measured on.
        steps: in the order in which they run.
        islands: floats between integers, with their reasons.
        skipped: what ``skip`` was.
        returned: the layers that have returned to floats for ``max_drop``, the most harmful first.
        accuracy: None, or the shares of the validation samples that are classified right: ``"samples"``,
            ``"float32"`` and ``"int8"``.
    """

    model: str
    reference: str | None
    images: int
    steps: list[QuantizedStep]
    islands: list[FloatIsland]
    skipped: list[str]
    returned: list[str]
    accuracy: dict[str, float] | None

    def __init__(self, numbers: str, text: str, chart: str) -> None:
        super().__init__(numbers, text)
        self._chart = chart
        given = self.to_dict()
        steps, islands = given.pop("steps"), given.pop("islands")
        self.__dict__.update(given)
        self.steps = [_step(row) for row in steps]
        self.islands = [FloatIsland(**row) for row in islands]

    def chart(self) -> str:
        """A picture, an SVG document: for each step a bar for signal to noise and one for its share of the error."""
        return self._chart

    def save_chart(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture as an SVG file, which browsers show.

        Args:
            path: ends in ``.svg``. What was there stays where writing fails.

        Raises:
            OSError: the file cannot be written.
            ValueError, TypeError: another ending, or no path.
        """
        save_svg(self._chart, path, "path")

    def _repr_svg_(self) -> str:
        return self._chart


def _step(row: dict[str, Any]) -> QuantizedStep:
    scales = row.pop("weight_scales")
    return QuantizedStep(
        layers=tuple(row.pop("layers")), weight_scales=None if scales is None else (scales[0], scales[1]), **row
    )


# The three texts are of one report, whatever other threads do with the model.
_lock = allocate_lock()


def reported(
    handle: _swiftcnn.Model, x: Array | tuple[Array, ...] | None, reference: _swiftcnn.Model | None
) -> QuantizationReport:
    """The report that a call of the library makes."""
    with _lock:
        if reference is None:
            handle.quantization_report(x)
        else:
            handle.quantization_report(x, reference)
        return QuantizationReport(*(handle.quantization_report_text(format) for format in ("json", "text", "svg")))
