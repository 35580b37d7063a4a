"""Files of weights: what they had for a model, and what not."""

from __future__ import annotations

import json
import os
import warnings
from typing import NamedTuple

from .. import _swiftcnn
from . import hdf5
from .files import load_in_order


class WeightsReport(NamedTuple):
    """What a file of weights had for a model."""

    path: str
    #: By whose conventions it names its tensors: "native", "torchvision", "timm", "efficientnet_pytorch" or "keras".
    naming: str
    #: How many parameters took their values from it.
    loaded: int
    #: Parameters, by the file's names for them, that it does not have.
    missing: list[str]
    #: Tensors that the model has no place for.
    left_over: list[str]
    #: Parameters of another shape, as ``"fc.weight [1000, 512] instead of [10, 512]"``.
    misshapen: list[str]
    #: The number of classes of a classifier that was not taken, because the model's has another; else None.
    other_classes: int | None = None


def load(core: _swiftcnn.Model, path: str | bytes, strict: bool) -> WeightsReport:
    """Loads a file of any kind.

    Raises:
        ValueError: the file does not fit, with a list; the model is unchanged.
    """
    if hdf5.is_hdf5(path):
        report = WeightsReport(os.fsdecode(path), "keras", *hdf5.load(core, path, strict))
        _tell(report)
        return report
    try:
        core.load_weights(path, strict)
    except ValueError:
        count = load_in_order(core, path)
        if not count:
            raise
        return WeightsReport(os.fsdecode(path), "native", count, [], [], [])
    return told(core)


def told(core: _swiftcnn.Model) -> WeightsReport:
    """The report on the file that was just loaded, after a warning where its classifier was not taken."""
    report = WeightsReport(**json.loads(core.weights_report()))
    _tell(report)
    return report


def _tell(report: WeightsReport) -> None:
    if report.other_classes is not None:
        warnings.warn(
            f"the classifier in {report.path!r} has {report.other_classes} classes, another number than the model's, "
            "which keeps the values it had; everything before it was loaded",
            stacklevel=4,
        )
