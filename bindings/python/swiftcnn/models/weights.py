"""Files of weights: what they had for a model, and what not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .._warnings import warn

if TYPE_CHECKING:
    from .. import _swiftcnn


class WeightsReport(NamedTuple):
    """What a file of weights had for a model."""

    path: str
    #: By whose conventions it names its tensors: "native", "torchvision", "timm", "efficientnet_pytorch", "huggingface"
    #: or "keras".
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
    #: How tensors were told to belong to parameters: "name", or "order" where the file has no names that say more.
    matched_by: str = "name"
    #: Where in a checkpoint they lie, as ``"state_dict_ema"`` or ``"ema/module"``; empty where they are all there is.
    source: str = ""
    #: What stands in the file before the names of all that was taken, as ``"module."``.
    prefix: str = ""
    #: Tensors beside those with the prefix, which are of something else, as a loss's weights or ``n_averaged``.
    passed_over: Sequence[str] = ()
    #: First convolutions that were made for other channels, as ``"conv1.weight [64, 3, 7, 7] as [64, 1, 7, 7]"``.
    converted: Sequence[str] = ()
    #: Layers of Keras's files that were told by their place alone, as ``"conv2d_7 as stem"``.
    by_order: Sequence[str] = ()


def report_on(core: _swiftcnn.Model) -> WeightsReport:
    """The report on the file that was just loaded, after a warning where something in it is not what was asked for."""
    report = WeightsReport(**json.loads(core.weights_report()))
    tell(report)
    return report


def tell(report: WeightsReport) -> None:
    """Warns where something in a file is not what was asked for."""
    if report.other_classes is not None:
        warn(
            f"the classifier in {report.path!r} has {report.other_classes} classes, another number than the model's, "
            "which keeps the values it had; everything before it was loaded",
        )
    if report.converted:
        warn(
            f"the first convolution in {report.path!r} is for images with another number of channels, and was "
            f"converted: {', '.join(report.converted)}",
        )
    groups = {"missing": report.missing, "left over": report.left_over, "misshapen": report.misshapen}
    if any(groups.values()):
        counts = ", ".join(f"{len(names)} {what}" for what, names in groups.items())
        names = ", ".join(name for group in groups.values() for name in group[:3])
        warn(
            f"the weights in {report.path!r} fit the model in part: {report.loaded} loaded, {counts} ({names}, ...); "
            "the report that load_weights returns has the names",
        )
