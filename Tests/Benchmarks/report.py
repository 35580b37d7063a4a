"""What the measurements come to: of inference the ratios and whether they reach their bars, and the tables."""

from collections.abc import Sequence
from typing import Any

import peers
import turns

# In float32 the best peer's median over ours, at the small batch and at the large one.
BARS = {
    "resnet18": (1.5, 1.7), "resnet34": (1.4, 1.7), "resnet50": (1.2, 1.2), "efficientnet_b0": (1.25, 1.3),
    "efficientnet_b4": (1.15, 1.3), "tf_efficientnet_lite0": (1.1, 1.1),
}
# In bfloat16 at batch 1, by the processor's best instructions for it: the best peer's median over ours, and our
# float32's over ours.
BFLOAT16_BARS = {
    "amx_bf16": ({"resnet18": 1.2, "resnet50": 2.5, "efficientnet_b0": 1.8, "efficientnet_b4": 1.5},
                 {"resnet18": 2.6, "resnet50": 5.0, "efficientnet_b0": 1.5, "efficientnet_b4": 1.9}),
    "avx512_bf16": ({"resnet50": 1.05}, {"resnet50": 1.45, "efficientnet_b0": 1.1}),
}
# The same in int8, beside the peers in any precision.
INT8_BARS = {
    "amx_int8": ({"resnet18": 1.2, "resnet50": 2.5, "efficientnet_b0": 1.8, "efficientnet_b4": 1.5,
                  "tf_efficientnet_lite0": 1.4},
                 {"resnet18": 4.0, "resnet50": 8.0, "efficientnet_b0": 2.3, "tf_efficientnet_lite0": 2.3}),
    "avx512_vnni": ({"resnet18": 1.0, "resnet50": 1.05, "efficientnet_b0": 1.4, "tf_efficientnet_lite0": 1.2}, {}),
    "avx2": ({}, {"resnet18": 1.3, "resnet50": 1.5, "efficientnet_b0": 1.3, "tf_efficientnet_lite0": 1.3}),
}
INT8_FILE_BAR = 0.27  # Of the bytes of the file in float32.
ENTROPY_MEMORY_BAR = 0.1  # Of that of ONNX Runtime's entropy calibrator.
AVX2_BAR = 0.85  # Of our own speed with AVX-512.
COLD_START_BAR = 0.6  # Of ONNX Runtime's seconds.
# Of the logits from PyTorch's in float32, over the largest of those. A rounding to bfloat16 errs by at most 2^-9 of the
# value. A network makes two a layer, of weights and of what flows; they are independent of each other, so 256 of them,
# which is more than any of the networks makes, come to 16 times one. A rounding to 8 bits errs by as much of the range,
# which is some four times what a number is.
LARGEST_DIFFERENCE = {"float32": 1e-5, "bfloat16": 16 * 2**-9, "int8": 64 * 2**-9}
# A peer above it computes something else, and is not compared with.
LARGEST_PEER_DIFFERENCE = {"float32": 1e-3, "bfloat16": 32 * 2**-9, "int8": 128 * 2**-9}
NOISE = 1.03  # Where two of our own times should be equal.

Row = dict[str, Any]


def judge(cell: Row, machine: Row) -> None:
    """Adds the best peer, the ratios and whether the bars are reached to a cell: the rows of a model at a batch."""
    model, precision = cell["model"], cell["precision"]
    rows = {row["engine"]: row for row in cell["rows"] if "median_ms" in row}
    ours = rows.get("swiftcnn")
    valid = [row for name, row in rows.items()
             if not name.startswith("swiftcnn")
             and row["difference"] <= LARGEST_PEER_DIFFERENCE[peers.told(name, precision)[2]]]
    if precision == "float32":
        bars = {name: both[cell["batch"] > 1] for name, both in BARS.items()}
    else:
        of_sets = BFLOAT16_BARS if precision == "bfloat16" else INT8_BARS
        bars, float32_bars = of_sets.get(machine[precision], ({}, {})) if cell["batch"] == 1 else ({}, {})
    if model in bars:
        cell["bar"] = bars[model]
    if valid:
        best = min(valid, key=lambda row: row["median_ms"])
        cell["best_peer"], cell["best_peer_ms"] = best["engine"], best["median_ms"]
    if ours:
        cell["faithful"] = ours["difference"] <= LARGEST_DIFFERENCE[precision]
        for name, row in rows.items():
            if name.startswith("swiftcnn-"):
                row["speed_of_default"] = ours["median_ms"] / row["median_ms"]
        if "swiftcnn-float32" in rows:
            cell["float32_ms"] = rows["swiftcnn-float32"]["median_ms"]
            cell["float32_ratio"] = cell["float32_ms"] / ours["median_ms"]
            cell["float32_bar"] = float32_bars.get(model, 1 / NOISE)  # Never slower.
    if ours and valid:
        cell["ratio"] = cell["best_peer_ms"] / ours["median_ms"]
        cell["passes"] = cell["faithful"] and cell["ratio"] >= cell.get("bar", 0)


def reaches_float32_bar(cell: Row) -> bool:
    """Whether a cell is so much faster than our own float32 as it is to be."""
    return cell["faithful"] and cell["float32_ratio"] >= cell["float32_bar"]


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
            f"{beside}{'; ' if row['settings'] else ''}{row['settings']}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def title(engine: str, precision: str, version: str = "") -> str:
    """An engine's name for readers; float32 goes without saying, and so does a default."""
    name, isa, own = peers.told(engine, precision)
    is_said = (own != "float32" or precision != own) and not name.endswith("-default")
    return ", ".join(filter(None, [f"{peers.TITLES[name]} {version}".strip(), isa, own if is_said else ""]))


def milliseconds(cell: Row, engine: str, form: str = "{median_ms:.1f}") -> str:
    """An engine's time in a cell, for a table."""
    found = [row for row in cell["rows"] if row["engine"] == engine and "median_ms" in row]
    return form.format(**found[0]) if found else "-"


def peers_table(results: Row, precision: str) -> str:
    """The table of the engines in a precision, a column a model, the batches beside each other."""
    columns: dict[str, list[Row]] = {}
    engines: dict[str, None] = {}
    for cell in results["cells"]:
        if cell["precision"] == precision:
            size = "" if cell["size"] == 224 else f" {cell['size']}"
            columns.setdefault(cell["model"] + size, []).append(cell)
            engines |= dict.fromkeys(row["engine"] for row in cell["rows"])
    if not columns:
        return ""
    head = [f"{model} " + " / ".join(f"b{cell['batch']}" for cell in cells) for model, cells in columns.items()]

    def row(title: str, value: Any) -> list[str]:
        return [title, *(" / ".join(value(cell) for cell in cells) for cells in columns.values())]

    def best(cell: Row) -> str:
        return f"{cell['best_peer_ms']:.1f} ({cell['best_peer']})" if "best_peer" in cell else "-"

    def of(key: str) -> Any:
        return lambda cell: f"{cell[key]:.2f}" if key in cell else "-"

    rows = [row(title(engine, precision, results["versions"].get(engine, "")),
                lambda cell, engine=engine: milliseconds(cell, engine, "{median_ms:.1f} ({fastest_ms:.1f})"))
            for engine in engines]
    rows.append(row("best peer", best))
    rows.append(row("ratio: best peer / SwiftCNN", of("ratio")))
    rows.append(row("bar", of("bar")))
    rows.append(row("", lambda cell: verdict(cell["passes"]) if "passes" in cell else "-"))
    if precision != "float32":
        rows.append(row("ratio: its float32 / SwiftCNN", of("float32_ratio")))
        rows.append(row("bar", of("float32_bar")))
        rows.append(row("", lambda cell: verdict(reaches_float32_bar(cell)) if "float32_ratio" in cell else "-"))
    return table([f"ms an image, {precision}: median (fastest)", *head], rows)


COLUMNS = {"float32": ("swiftcnn", "onnxruntime", "openvino", "ncnn"), "bfloat16": ("swiftcnn", "openvino"),
           "int8": ("swiftcnn", "swiftcnn-float32", "onnxruntime", "openvino", "litert")}


def small_batch_table(results: Row) -> str:
    """The README's table: a row a model at batch 1, the precisions beside each other."""
    cells = {(cell["model"], cell["precision"]): cell for cell in results["cells"] if cell["batch"] == 1}
    head, rows = ["224x224, batch 1"], {cell["model"]: [cell["model"]] for cell in cells.values()}
    for model, row in rows.items():
        size = next(cell["size"] for cell in cells.values() if cell["model"] == model)
        row[0] += "" if size == 224 else f", {size}x{size}"
    for precision in results["precisions"]:
        columns = COLUMNS[precision]
        head += [title(engine, precision, "" if engine.startswith("swiftcnn") else results["versions"].get(engine, ""))
                 for engine in columns]
        head.append(("best peer in any precision" if precision == "int8" else "best of these") + " / SwiftCNN")
        for model, row in rows.items():
            cell = cells.get((model, precision), {"rows": []})
            row += [milliseconds(cell, engine) for engine in columns]
            row.append(f"{cell['ratio']:.2f}" if "ratio" in cell else "-")
    return table(head, list(rows.values())) if rows else ""


def compared(title: str, measure: str, ours: float, other: float, bar: float) -> Row:
    """A row of the second table; ours must be at most the bar's share of the other."""
    ratio = ours / other
    return {"title": title, "measure": measure, "ours": ours, "other": other, "ratio": ratio, "bar": bar,
            "passes": ratio <= bar}


def others_table(results: Row) -> str:
    """What else has a bar: start, memory, files, batches, a second model, precisions beside float32, AVX2."""
    rows = [
        [row["title"], f"{row['ours']:.4g} {row['measure']}", f"{row['other']:.4g} {row['measure']}",
         f"{row['ratio']:.2f}", f"at most {row['bar']}", verdict(row["passes"])]
        for row in results["others"]
    ]
    for cell in results["cells"]:
        if "float32_ratio" in cell:
            ratio, bar = cell["float32_ratio"], cell["float32_bar"]
            rows.append([
                f"float32 over {cell['precision']}, {cell['model']} batch {cell['batch']}",
                f"{cell['float32_ms'] / ratio:.3g} ms", f"{cell['float32_ms']:.3g} ms", f"{ratio:.2f}",
                f"at least {bar:.3g}", verdict(reaches_float32_bar(cell))])
        for row in cell["rows"]:
            if "speed_of_default" in row and row["engine"] == "swiftcnn-avx2" and cell["precision"] == "float32":
                rows.append([
                    f"AVX2 beside our default, {cell['model']} batch {cell['batch']}", f"{row['median_ms']:.3g} ms",
                    f"{row['median_ms'] * row['speed_of_default']:.3g} ms", f"{row['speed_of_default']:.2f}",
                    f"at least {AVX2_BAR}", verdict(row["speed_of_default"] >= AVX2_BAR)])
    return table(["", "SwiftCNN", "beside", "ratio", "bar", ""], rows) if rows else ""


def document(results: Row, cells: str) -> str:
    """The machine, a table of the cells, that of what else has a bar, and the notes."""
    notes = [f"- {cell['model']} batch {cell['batch']} {cell['precision']}, {row['engine']}: {row['failure']}"
             for cell in results["cells"] for row in cell["rows"] if "failure" in row]
    notes += [f"- {note}" for note in results["notes"]]
    meter = results["meter"]
    machine = results["machine"]
    threads = f"{results['threads']} thread{'s' * (results['threads'] > 1)}"
    head = (f"{machine['processor']}, {machine['processors']} processors, Linux {machine['kernel']}; {threads}, "
            f"{' and '.join(results['precisions'])}, medians.")
    peak = (f"The peak of float32 multiply-adds is {meter['normal_gflops']:.0f} GFLOP/s; "
            f"{meter['turns_below_peak']} of {meter['turns']} turns began below {turns.Meter.SHARE:.0%} of it, after "
            f"waiting {meter['seconds_waited']:.0f} s in all.")
    parts = [head, cells, others_table(results), peak, "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(results: Row) -> str:
    """All that was measured of inference."""
    tables = [small_batch_table(results), *(peers_table(results, precision) for precision in results["precisions"])]
    return document(results, "\n\n".join(part for part in tables if part))
