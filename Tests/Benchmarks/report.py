"""What the measurements come to: of inference the ratios and whether they reach their bars, and the tables."""

from collections.abc import Sequence
from typing import Any

import peers
import turns

# The best peer's median over ours, at the small batch and at the large one.
BARS = {
    "resnet18": (1.5, 1.7), "resnet34": (1.4, 1.7), "resnet50": (1.2, 1.2), "efficientnet_b0": (1.25, 1.3),
    "efficientnet_b4": (1.15, 1.15), "tf_efficientnet_lite0": (1.1, 1.1),
}
AVX2_BAR = 0.85  # Of our own speed with AVX-512.
COLD_START_BAR = 0.6  # Of ONNX Runtime's seconds.
LARGEST_DIFFERENCE = 1e-5  # Ours.
LARGEST_PEER_DIFFERENCE = 1e-3  # A peer above it computes something else, and is not compared with.
NOISE = 1.03  # Where two of our own times should be equal.

Row = dict[str, Any]


def judge(cell: Row) -> None:
    """Adds the best peer, the ratio and whether the bar is reached to a cell: the rows of a model at a batch."""
    rows = {row["engine"]: row for row in cell["rows"] if "median_ms" in row}
    ours = rows.get("swiftcnn")
    valid = [row for name, row in rows.items()
             if not name.startswith("swiftcnn") and row["difference"] <= LARGEST_PEER_DIFFERENCE]
    if cell["model"] in BARS:
        cell["bar"] = BARS[cell["model"]][cell["batch"] > 1]
    if valid:
        best = min(valid, key=lambda row: row["median_ms"])
        cell["best_peer"], cell["best_peer_ms"] = best["engine"], best["median_ms"]
    if ours:
        cell["faithful"] = ours["difference"] <= LARGEST_DIFFERENCE
        for name, row in rows.items():
            if name.startswith("swiftcnn-"):
                row["speed_of_default"] = ours["median_ms"] / row["median_ms"]
    if ours and valid:
        cell["ratio"] = cell["best_peer_ms"] / ours["median_ms"]
        cell["passes"] = cell["faithful"] and cell["ratio"] >= cell.get("bar", 0)


def verdict(passes: bool) -> str:
    """A word for tables."""
    return "pass" if passes else "**below**"


def line(row: Row) -> str:
    """An engine of a cell as a line for the terminal."""
    if "failure" in row:
        return f"  {row['engine']:<18} {row['failure']}"
    beside = f", {row['speed_of_default']:.2f} of our default" if "speed_of_default" in row else ""
    return (f"  {row['engine']:<18} {row['median_ms']:8.2f} ms an image ({row['fastest_ms']:.2f} to "
            f"{row['slowest_ms']:.2f}, quartiles {row['quartile_spread']:.0%}), differs by {row['difference']:.1e}"
            f"{beside}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def peers_table(results: Row) -> str:
    """The table of the engines, a column a model, the batches beside each other."""
    columns: dict[str, list[Row]] = {}
    for cell in results["cells"]:
        size = "" if cell["size"] == 224 else f" {cell['size']}"
        columns.setdefault(cell["model"] + size, []).append(cell)
    head = [f"{model} " + " / ".join(f"b{cell['batch']}" for cell in cells) for model, cells in columns.items()]

    def row(title: str, value: Any) -> list[str]:
        return [title, *(" / ".join(value(cell) for cell in cells) for cells in columns.values())]

    def time_of(engine: str) -> Any:
        def value(cell: Row) -> str:
            found = [row for row in cell["rows"] if row["engine"] == engine and "median_ms" in row]
            return f"{found[0]['median_ms']:.1f}" if found else "-"

        return value

    def best(cell: Row) -> str:
        return f"{cell['best_peer_ms']:.1f} ({cell['best_peer']})" if "best_peer" in cell else "-"

    def of(key: str) -> Any:
        return lambda cell: f"{cell[key]:.2f}" if key in cell else "-"

    rows = []
    for engine in results["engines"]:
        name, _, isa = engine.partition("-") if engine.startswith("swiftcnn") else (engine, "", "")
        title = peers.TITLES[name] + (f", {isa}" if isa else "")
        rows.append(row(f"{title} {results['versions'].get(engine, '')}".strip(), time_of(engine)))
    rows.append(row("best peer", best))
    rows.append(row("ratio: best peer / SwiftCNN", of("ratio")))
    rows.append(row("bar", of("bar")))
    rows.append(row("", lambda cell: verdict(cell["passes"]) if "passes" in cell else "-"))
    return table(["ms an image", *head], rows)


def compared(title: str, measure: str, ours: float, other: float, bar: float) -> Row:
    """A row of the second table; ours must be at most the bar's share of the other."""
    ratio = ours / other
    return {"title": title, "measure": measure, "ours": ours, "other": other, "ratio": ratio, "bar": bar,
            "passes": ratio <= bar}


def others_table(results: Row) -> str:
    """What else has a bar: start, memory, batches, a second model, AVX2."""
    rows = [
        [row["title"], f"{row['ours']:.4g} {row['measure']}", f"{row['other']:.4g} {row['measure']}",
         f"{row['ratio']:.2f}", f"at most {row['bar']}", verdict(row["passes"])]
        for row in results["others"]
    ]
    for cell in results["cells"]:
        for row in cell["rows"]:
            if "speed_of_default" in row and row["engine"] == "swiftcnn-avx2":
                rows.append([
                    f"AVX2 beside our default, {cell['model']} batch {cell['batch']}", f"{row['median_ms']:.3g} ms",
                    f"{row['median_ms'] * row['speed_of_default']:.3g} ms", f"{row['speed_of_default']:.2f}",
                    f"at least {AVX2_BAR}", verdict(row["speed_of_default"] >= AVX2_BAR)])
    return table(["", "SwiftCNN", "beside", "ratio", "bar", ""], rows) if rows else ""


def document(results: Row, cells: str) -> str:
    """The machine, a table of the cells, that of what else has a bar, and the notes."""
    notes = [f"- {cell['model']} batch {cell['batch']}, {row['engine']}: {row['failure']}"
             for cell in results["cells"] for row in cell["rows"] if "failure" in row]
    notes += [f"- {note}" for note in results["notes"]]
    meter = results["meter"]
    machine = results["machine"]
    head = (f"{machine['processor']}, {machine['processors']} processors, Linux {machine['kernel']}; "
            f"{results['threads']} thread{'s' * (results['threads'] > 1)}, float32, medians.")
    peak = (f"The peak of float32 multiply-adds is {meter['normal_gflops']:.0f} GFLOP/s; "
            f"{meter['turns_below_peak']} of {meter['turns']} turns began below {turns.Meter.SHARE:.0%} of it, after "
            f"waiting {meter['seconds_waited']:.0f} s in all.")
    parts = [head, cells, others_table(results), peak, "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(results: Row) -> str:
    """All that was measured of inference."""
    return document(results, peers_table(results) if results["cells"] else "")
