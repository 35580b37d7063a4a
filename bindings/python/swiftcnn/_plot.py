"""Pictures by matplotlib: of how training went, and of what a compression has found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from .callbacks import History
    from .models.compression import CompressionReport

_MARKED = 40  # epochs; of more the dots would run into a band
_TRAINING, _VALIDATION = "#1f6fb4", "#d9601a"


def _figure(user: str, width: float, height: float) -> Any:
    """An empty picture in inches, for what the caller has called."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"{user} needs matplotlib: install it by `pip install matplotlib`") from error
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain_axes(axes: Any) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def plot_compression(report: CompressionReport, path: str) -> None:
    """Writes what the models of a compression take against what they classify right."""
    figure = _figure("save_chart of a PNG", 7.2, 4.4)
    axes = figure.add_subplot()
    kinds = {  # by whether pruned and quantised
        (False, False): ("the model", "#101828"), (True, False): ("pruned", _TRAINING),
        (False, True): ("int8", _VALIDATION), (True, True): ("pruned and int8", "#2a9d5c"),
    }

    def place(point: Any) -> tuple[float, float]:
        return point.latency_ms if report.unit == "ms" else point.bytes * 1e-6, 100 * point.accuracy

    for (pruned, quantized), (label, color) in kinds.items():
        chosen = [
            place(point) for point in report.points
            if ("prune" in point.methods, "quantize" in point.methods) == (pruned, quantized)
        ]
        if chosen:
            axes.scatter(*zip(*chosen, strict=True), color=color, label=label, s=28)
    axes.scatter(*place(report.chosen), s=130, facecolors="none", edgecolors="#101828", label="chosen")
    axes.axvline(report.target, color="#98a2b3", linestyle="--", linewidth=1)
    axes.axhline(place(report.points[0])[1] - report.max_drop, color="#98a2b3", linestyle="--", linewidth=1)
    axes.set_xlim(left=0)
    axes.set_xlabel("ms of a prediction of one image" if report.unit == "ms" else "MB of the file", fontsize=9)
    axes.set_ylabel("% of the samples that decide", fontsize=9)
    axes.set_title(
        f"{report.model}: {place(report.points[0])[0]:.3g} to {place(report.chosen)[0]:.3g} {report.unit}, "
        f"{report.held_back_drop:.2f} points lost on samples held back", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    _plain_axes(axes)
    figure.savefig(path)


def plot_history(history: History, path: str) -> None:
    """Writes the curves of a history to a file: one picture a quantity, with that of training and of validation."""
    values = history.history
    names = [name for name in values if not name.startswith("val_") or name.removeprefix("val_") not in values]
    if not names or not history.epoch:
        raise ValueError("history.plot: no epoch has ended, so there is nothing to draw")

    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    marker = "o" if len(history.epoch) <= _MARKED else ""
    figure = _figure("history.plot", 4.6 * columns, 3.4 * rows)
    from matplotlib.ticker import MaxNLocator

    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        curves = [("training", name, _TRAINING), ("validation", "val_" + name, _VALIDATION)]
        for label, key, color in curves:
            epochs, measured = history.curve(key)
            if epochs:
                numbers = [epoch + 1 for epoch in epochs]
                axes.plot(numbers, measured, color=color, label=label, marker=marker, markersize=3.5, linewidth=1.6)
        axes.set_title(name.replace("_", " "), fontsize=11)
        axes.set_xlabel("epoch", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _plain_axes(axes)
        if "val_" + name in values:
            axes.legend(frameon=False, fontsize=9)
    figure.savefig(path)
