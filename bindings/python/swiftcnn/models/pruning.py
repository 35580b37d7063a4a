"""What pruning has made of a model: what ``Model.pruning_report`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .report import Report

if TYPE_CHECKING:
    from .. import _swiftcnn


class PrunedGroup(NamedTuple):
    """Channels that the same layers make.

    Attributes:
        layers: the names of these layers.
        before: how many channels there were.
        after: how many there are.
        reason: why all are left; ``""`` where some are gone, or could be.
    """

    layers: tuple[str, ...]
    before: int
    after: int
    reason: str


class PruningReport(Report):
    """What pruning has made of a model. As text it is a table.

    Attributes:
        model: the model's name.
        groups: the widths, in the order of the network.
        macs: multiplications with additions of convolutions and dense layers for an image, before and after.
        params: learned parameters, before and after.
        latency_ms: the milliseconds of a prediction of an image, as measured before and after; None where a latency was
            not the target.
        predicted_latency_ms: what was expected; None as well.
    """

    model: str
    groups: list[PrunedGroup]
    macs: tuple[int, int]
    params: tuple[int, int]
    latency_ms: tuple[float, float] | None
    predicted_latency_ms: float | None

    def __init__(self, numbers: str, text: str) -> None:
        super().__init__(numbers, text)
        given = self.to_dict()
        self.model = given["model"]
        self.groups = [PrunedGroup(**row | {"layers": tuple(row["layers"])}) for row in given["groups"]]
        self.macs, self.params = tuple(given["macs"]), tuple(given["params"])
        latency = given.get("latency_ms")
        self.latency_ms = None if latency is None else tuple(latency)
        self.predicted_latency_ms = given.get("predicted_latency_ms")

def pruned(handle: _swiftcnn.Model) -> PruningReport:
    """The report of a model that was pruned. Raises RuntimeError for another."""
    return PruningReport(*(handle.pruning_report(format) for format in ("json", "text")))
