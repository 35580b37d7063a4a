"""A picture of how training went."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .callbacks import History

_MARKED = 40  # epochs; of more the dots would run into a band
_TRAINING, _VALIDATION = "#1f6fb4", "#d9601a"


def plot_history(history: History, path: str) -> None:
    """Writes the curves of a history to a file: one picture a quantity, with that of training and of validation."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError("history.plot needs matplotlib: install it by `pip install matplotlib`") from error
    values = history.history
    names = [name for name in values if not name.startswith("val_") or name.removeprefix("val_") not in values]
    if not names or not history.epoch:
        raise ValueError("history.plot: no epoch has ended, so there is nothing to draw")

    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    marker = "o" if len(history.epoch) <= _MARKED else ""
    figure = Figure(figsize=(4.6 * columns, 3.4 * rows), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
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
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(True, color="#e3e3e3", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if "val_" + name in values:
            axes.legend(frameon=False, fontsize=9)
    figure.savefig(path)
