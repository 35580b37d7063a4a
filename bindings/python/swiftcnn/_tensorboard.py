"""Event files as TensorBoard reads them, written by its own package or by tensorboardX."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np

# The packages that can write them, and where each has its messages.
_PACKAGES = (
    ("tensorboard.summary.writer.event_file_writer", "tensorboard.compat.proto"),
    ("tensorboardX.event_file_writer", "tensorboardX.proto"),
)


class EventWriter:
    """The event file of a folder, which is made."""

    def __init__(self, folder: str) -> None:
        writer, self._event, self._summary, self._graph = self.require()
        self._file = writer.EventFileWriter(folder)

    @staticmethod
    def require() -> tuple[Any, ...]:
        """The module that writes, and those of the messages.

        Raises:
            ImportError: neither package is installed.
        """
        for writer, messages in _PACKAGES:
            with suppress(ImportError):
                kinds = (f"{messages}.{kind}_pb2" for kind in ("event", "summary", "graph"))
                return tuple(map(import_module, (writer, *kinds)))
        raise ImportError(
            "callbacks.TensorBoard needs tensorboard or tensorboardX: install it by `pip install tensorboard`"
        )

    def _add(self, step: int, **contents: Any) -> None:
        self._file.add_event(self._event.Event(wall_time=time.time(), step=step, **contents))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        kinds = self._summary.Summary
        rows = [kinds.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        if rows:
            self._add(step, summary=kinds(value=rows))

    def histogram(self, step: int, tag: str, values: Any) -> None:
        values = np.asarray(values, np.float64).ravel()
        finite = values[np.isfinite(values)]
        counts, edges = np.histogram(finite, 30)
        made = self._summary.HistogramProto(
            min=finite.min(initial=np.inf),
            max=finite.max(initial=-np.inf),
            num=finite.size,
            sum=finite.sum(),
            sum_squares=(finite * finite).sum(),
            bucket_limit=edges[1:],
            bucket=counts,
        )
        kinds = self._summary.Summary
        self._add(step, summary=kinds(value=[kinds.Value(tag=tag, histo=made)]))

    def graph(self, text: str) -> None:
        """The network that ``Model.graph("json")`` tells."""
        network, made = json.loads(text), self._graph.GraphDef()
        for each in network["inputs"]:
            made.node.add(name=_named(each["name"]), op="Input")
        for each in network["nodes"]:
            reads = [_named(name) for name in each["operands"]]
            made.node.add(name=_named(each["name"]), op=each["operation"], input=reads)
        for each in network["parameters"]:
            made.node.add(name=_named(each["name"]), op="Variable")
        self._add(0, graph_def=made.SerializeToString())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _named(name: str) -> str:
    """A name in TensorBoard's scopes; those of results after the first are told by ``:``."""
    return name.replace(".", "/")
