"""What a compression has found: what ``Model.compression_report`` returns."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from .._drawings import save_svg
from .report import Report

if TYPE_CHECKING:
    from .. import _swiftcnn


class CompressionPoint(NamedTuple):
    """A model on the way.

    Attributes:
        name: as its file's.
        methods: by what it was made: some of ``"prune"``, ``"distill"`` and ``"quantize"``; none: the given model.
        macs: multiplications with additions of convolutions and dense layers for an image.
        params: learned parameters.
        bytes: of its file.
        latency_ms: of a prediction of one image, measured in turns with the given model's.
        accuracy: the share of the samples that decide which is classified right.
        held_back_accuracy: the same of the samples that were held back from all decisions.
        seconds: from the beginning of the compression.
    """

    name: str
    methods: tuple[str, ...]
    macs: int
    params: int
    bytes: int
    latency_ms: float
    accuracy: float
    held_back_accuracy: float
    seconds: float


class CompressionReport(Report):
    """What a compression has found. As text it is a table.

    Attributes:
        model: the name of the given model.
        target: in ``unit``.
        unit: ``"ms"`` or ``"MB"``.
        max_drop: how many points of a hundred could be lost.
        reached: whether the target was, within ``max_drop`` on the samples that were held back.
        reason: why not; ``""`` where it was.
        points: the models on the way, the first the given one.
        chosen: the one that was taken.
        held_back_drop: how many points of a hundred this has lost on the samples that were held back.
        seconds: how long all took.
    """

    def __init__(self, numbers: str, text: str, chart: str) -> None:
        super().__init__(numbers, text)
        self._chart = chart
        given = self.to_dict()
        self.model: str = given["model"]
        self.target: float = given["target"]
        self.unit: str = given["unit"]
        self.max_drop: float = given["max_drop"]
        self.reached: bool = given["reached"]
        self.reason: str = given["reason"]
        self.points = [CompressionPoint(**row | {"methods": tuple(row["methods"])}) for row in given["points"]]
        self.chosen = self.points[given["chosen"]]
        self.held_back_drop: float = given["held_back_drop"]
        self.seconds: float = given["seconds"]

    @property
    def chart(self) -> str:
        """A picture, an SVG document: what the models take against the share that they classify right."""
        return self._chart

    def save_chart(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture to a file.

        Args:
            path: ends in ``.svg``, or in ``.png``, which needs matplotlib. What was there stays where writing fails.

        Raises:
            OSError: the file cannot be written.
            ValueError, TypeError: another ending, or no path.
            ImportError: a PNG, and there is no matplotlib.
        """
        if os.fsdecode(path).lower().endswith(".png"):
            from .._plot import plot_compression

            plot_compression(self, os.fsdecode(path))
        else:
            save_svg(self._chart, path, "path")

    def _repr_svg_(self) -> str:
        return self._chart


def compressed(handle: _swiftcnn.Model) -> CompressionReport:
    """The report of a model that a compression has made. Raises RuntimeError for another."""
    numbers, text, chart = (handle.compression_report(format) for format in ("json", "text", "svg"))
    return CompressionReport(numbers, text, chart)
