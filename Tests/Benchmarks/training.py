#!/usr/bin/env python3
"""Speed and memory of training beside PyTorch, from the same weights on the same batch, in float32 and in bfloat16.

Each engine has a process of its own, and they take turns of some steps while the others are stopped; the first step of
a turn is not counted, and a turn waits until all cores are at their peak. Prints the medians, the largest memory that
each process had beyond its imports, and how far the losses of the first steps are apart; also how far those of a
hundred steps are, what `memory="low"` saves and takes, what a larger batch gains, and what it costs to make batches of
pixels. Run it alone on the machine: `make bench-training`. This process stays small: the memory of the process that
made another counts as that one's too.
"""

import argparse
import json
import pathlib
import sys
from typing import Any

import inference
import report
import trainers
import turns

HERE = pathlib.Path(__file__).resolve().parent
PARTS = ("step", "losses", "memory", "batches", "data")
SMALL, LARGE = 16, 64
DATA_BAR = 1.03  # Of a step on batches that are ready.
FIRST_STEPS = 5
STEPS, BATCHES = 100, 10  # For the losses of many steps.
LOW_MEMORY_TIME_BAR, LOW_MEMORY_BAR = 1.3, 0.5  # Of a step's time, and of what it keeps for the backward pass.
LARGEST_DIFFERENCE = 1e-3  # Of the losses, relative, or this many times what PyTorch's layouts differ by:
TIMES_PEERS = 4  # rounding grows from step to step, in some networks fast.


class Bench:
    """What a run measures, and what it found."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.folder: pathlib.Path = given.folder.resolve()
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        for model in given.models:  # Made anew by the first engine, with the networks of today.
            (self.folder / f"{model}.training.safetensors").unlink(missing_ok=True)
        self.meter = turns.Meter(given.threads, given.peak, given.patience)
        self.results: dict[str, Any] = {
            "machine": inference.machine(), "threads": given.threads, "precisions": given.precisions, "versions": {},
            "cells": [], "others": [], "notes": [], "meter": self.meter.report()}

    def note(self, text: str) -> None:
        """Says something now and at the end."""
        print(f"  {text}", flush=True)
        self.results["notes"].append(text)

    def worker(self, engine: str, model: str, batch: int, batches: int = 1) -> turns.Worker:
        """An engine's process."""
        command = [sys.executable, str(HERE / "trainers.py"), engine, model, "--batch", str(batch),
                   "--threads", str(self.given.threads), "--folder", str(self.folder), "--batches", str(batches)]
        environment = {"OMP_NUM_THREADS": str(self.given.threads)}
        return turns.Worker(command, environment, self.folder / "logs" / f"train-{model}-{batch}-{engine}.log")

    def race(self, workers: dict[str, turns.Worker], images: dict[str, int], request: dict[str, Any],
             ) -> dict[str, dict[str, Any]]:
        """Lets workers take turns; a row for each, or why there is none, by their names. Ends them."""
        try:
            seconds, values, fallen = turns.take_turns(workers, self.given.rounds, request, self.meter)
        finally:
            for worker in workers.values():
                worker.close()
        rows = {}
        for name in workers:
            if name in fallen:
                rows[name] = {"failure": fallen[name]}
            else:
                rows[name] = turns.spread(seconds[name], images[name]) | {
                    "losses": [value["loss"] for value in values[name][:FIRST_STEPS]],
                    "peak_mb": max(value["peak_mb"] for value in values[name])}
        return rows

    def cell(self, model: str) -> None:
        """A step of a model with every engine."""
        batch = self.given.batch or trainers.BATCHES.get(model, 16)
        print(f"{model} {trainers.SIZES[model]} batch {batch}", flush=True)
        workers: dict[str, turns.Worker] = {}
        mixed = trainers.MIXED if "bfloat16" in self.given.precisions else ()
        names = (*trainers.PEERS, "swiftcnn", *mixed)  # PyTorch first: it writes the weights.
        rows: dict[str, dict[str, Any]] = {name: {"engine": name} for name in names}
        for name in names:
            try:
                workers[name] = self.worker(name, model, batch)
                rows[name] |= workers[name].about
                self.results["versions"][name] = rows[name]["version"]
            except turns.Failure as failure:
                rows[name]["failure"] = str(failure)
        request = {"calls": self.given.calls, "seconds": self.given.seconds}
        for name, row in self.race(workers, dict.fromkeys(workers, batch), request).items():
            rows[name] |= row
        cell = {"model": model, "size": trainers.SIZES[model], "batch": batch, "rows": list(rows.values())}
        judge(cell)
        self.results["cells"].append(cell)
        print("\n".join(line(row, batch) for row in cell["rows"]))
        if "ratio" in cell:
            print(f"  ratio to {cell['best_peer']} {cell['ratio']:.2f}; losses differ by at most "
                  f"{cell['loss_difference']:.1e} of the loss over {FIRST_STEPS} steps, PyTorch's layouts by "
                  f"{cell['peers_loss_difference']:.1e}{'' if cell['faithful'] else ': UNFAITHFUL'}", flush=True)
        if "mixed_ratio" in cell:
            print(f"  mixed: ratio to {cell['best_of_all']} {cell['mixed_ratio']:.2f}, to our float32 "
                  f"{cell['own_ratio']:.2f}, memory of that {cell['own_memory_ratio']:.2f}; losses differ by at most "
                  f"{cell['mixed_loss_difference']:.1e}, PyTorch's by {cell.get('peers_mixed_difference', 0):.1e}",
                  flush=True)

    def pair(self, title: str, names: tuple[str, str], model: str, batches: tuple[int, int], images: tuple[int, int],
             request: dict[str, Any], bar: float) -> dict[str, dict[str, Any]]:
        """Compares two processes of ours; ours is the first, and has to be at most the bar's share of the other.

        Returns:
            The rows of both, or nothing where one failed.
        """
        workers: dict[str, turns.Worker] = {}
        try:
            for role, name, batch in zip(("ours", "other"), names, batches, strict=True):
                workers[role] = self.worker(name, model, batch)
        except turns.Failure as failure:
            self.note(f"{title}: {failure}")
            for worker in workers.values():
                worker.close()
            return {}
        about = {name: worker.about for name, worker in workers.items()}
        rows = self.race(workers, dict(zip(("ours", "other"), images, strict=True)), request)
        failures = [row["failure"] for row in rows.values() if "failure" in row]
        if failures:
            self.note(f"{title}: {failures[0]}")
            return {}
        self.compare(title, "ms", rows["ours"]["median_ms"], rows["other"]["median_ms"], bar)
        return {name: row | about[name] for name, row in rows.items()}

    def compare(self, title: str, measure: str, ours: float, other: float, bar: float) -> None:
        """A row of the second table."""
        row = report.compared(title, measure, ours, other, bar)
        self.results["others"].append(row)
        print(f"{title}: {ours:.4g} {measure} beside {other:.4g}, ratio {row['ratio']:.3f}, at most {bar}", flush=True)

    def losses(self, model: str, batch: int) -> None:
        """How far our losses are from PyTorch's in many steps, beside how far its other layout is."""
        losses: dict[str, list[float]] = {}
        try:
            for name in (*trainers.LAYOUTS, "swiftcnn"):
                worker = self.worker(name, model, batch, BATCHES)
                try:
                    losses[name] = [value["loss"] for value in worker.ask({"calls": STEPS - 1})["values"]]
                finally:
                    worker.close()
        except turns.Failure as failure:
            self.note(f"losses of {model}: {failure}")
            return
        peer, ours = losses["torch-contiguous"], losses["swiftcnn"]
        self.note(f"{model}, {STEPS} steps over {BATCHES} batches: PyTorch's loss goes from {peer[0]:.4f} to "
                  f"{peer[-1]:.4f}, ours to {ours[-1]:.4f}")
        apart = max(LARGEST_DIFFERENCE, difference(losses["torch-channels-last"], peer))
        self.compare(f"distance of {STEPS} losses of {model} from PyTorch's, beside that of its other layout's", "",
                     difference(ours, peer), apart, TIMES_PEERS)

    def low_memory(self, model: str, batch: int) -> None:
        """What `memory="low"` takes and saves."""
        rows = self.pair(
            f'a step with memory="low" beside a normal one of {model}', ("swiftcnn-low", "swiftcnn"), model,
            (batch, batch), (1, 1), {"calls": self.given.calls, "seconds": self.given.seconds}, LOW_MEMORY_TIME_BAR)
        if rows:  # Weights, gradients and momentum stay.
            kept = {name: row["peak_mb"] - 3 * row["weights_mb"] for name, row in rows.items()}
            self.compare(f'memory beside weights, gradients and momentum with memory="low" and normally, {model}', "MB",
                         kept["ours"], kept["other"], LOW_MEMORY_BAR)

    def run(self) -> None:
        """Measures everything; what is found so far is in the files after each step."""
        given = self.given
        for model in given.models:
            batch = given.batch or trainers.BATCHES.get(model, 16)
            if "step" in given.parts:
                self.cell(model)
                self.write()
            if "losses" in given.parts:
                self.losses(model, batch)
                self.write()
            if "memory" in given.parts:
                self.low_memory(model, batch)
                self.write()
            if "batches" in given.parts and trainers.SIZES[model] > 100:
                self.pair(f"training, batch {LARGE} beside batch {SMALL}, an image of {model}",
                          ("swiftcnn", "swiftcnn"), model, (LARGE, SMALL), (LARGE, SMALL),
                          {"calls": given.calls, "seconds": given.seconds}, report.NOISE)
                self.write()
            if "data" in given.parts:
                steps = trainers.Task(model, batch, given.threads, self.folder).steps
                self.pair(f"fit with crop, flip and normalisation of uint8 beside steps on ready float32, a step of "
                          f"{model}", ("swiftcnn-pixels", "swiftcnn-ready"), model, (batch, batch), (steps, steps),
                          {"calls": 1}, DATA_BAR)
                self.write()

    def write(self) -> None:
        """Writes the files."""
        self.results["meter"] = self.meter.report()
        if self.given.json:
            self.given.json.write_text(json.dumps(self.results, indent=1) + "\n")
        if self.given.markdown:
            self.given.markdown.write_text(markdown(self.results))


def judge(cell: dict[str, Any]) -> None:
    """Adds the best peer, the ratio and the difference of the losses to a cell."""
    measured = {row["engine"]: row for row in cell["rows"] if "median_ms" in row}
    ours = measured.pop("swiftcnn", None)
    rows = {name: row for name, row in measured.items() if name in trainers.PEERS}
    if not ours or not rows:
        return
    best = fastest(rows)
    reference = rows.get("torch-contiguous", best)["losses"]
    cell["best_peer"] = best["engine"]
    cell["ratio"] = best["median_ms"] / ours["median_ms"]
    cell["memory_ratio"] = ours["peak_mb"] / min(row["peak_mb"] for row in rows.values())
    cell["loss_difference"] = difference(ours["losses"], reference)
    cell["peers_loss_difference"] = max(difference(row["losses"], reference) for row in rows.values())
    cell["faithful"] = cell["loss_difference"] <= max(LARGEST_DIFFERENCE, TIMES_PEERS * cell["peers_loss_difference"])
    if mixed := measured.pop("swiftcnn-mixed", None):
        best = fastest(measured)
        cell["best_of_all"] = best["engine"]
        cell["mixed_ratio"] = best["median_ms"] / mixed["median_ms"]
        cell["own_ratio"] = ours["median_ms"] / mixed["median_ms"]
        kept = [row["peak_mb"] - 3 * row["weights_mb"] for row in (mixed, ours)]  # Weights, gradients, momentum stay.
        cell["own_memory_ratio"] = kept[0] / kept[1]
        cell["mixed_loss_difference"] = difference(mixed["losses"], reference)
        if peers := [measured[name]["losses"] for name in trainers.MIXED if name in measured]:
            cell["peers_mixed_difference"] = max(difference(losses, reference) for losses in peers)


def fastest(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The row with the shortest steps."""
    return min(rows.values(), key=lambda row: row["median_ms"])


def difference(losses: list[float], reference: list[float]) -> float:
    """The largest difference of two rows of losses, relative."""
    return max(abs(a - b) / abs(b) for a, b in zip(losses, reference, strict=True))


def line(row: dict[str, Any], batch: int) -> str:
    """An engine of a cell as a line for the terminal."""
    if "failure" in row:
        return f"  {row['engine']:<20} {row['failure']}"
    return (f"  {row['engine']:<20} {row['median_ms'] * batch:9.1f} ms a step ({row['fastest_ms'] * batch:.1f} to "
            f"{row['slowest_ms'] * batch:.1f}, quartiles {row['quartile_spread']:.0%}), "
            f"{1e3 / row['median_ms']:.1f} images/s, {row['peak_mb']:.0f} MB")


def markdown(results: dict[str, Any]) -> str:
    """The tables."""
    engines = [name for name in trainers.TITLES if name in results["versions"]]

    def value(cell: dict[str, Any], engine: str, key: str, scale: float = 1) -> str:
        found = [row for row in cell["rows"] if row["engine"] == engine and key in row]
        return f"{found[0][key] * scale:.0f}" if found else "-"

    titles = [f"{trainers.TITLES[name]} {results['versions'].get(name, '')}".strip() for name in engines]
    head = ["training, SGD", *(f"{title}, ms a step" for title in titles), "faster PyTorch / SwiftCNN",
            "best of all / SwiftCNN mixed", "SwiftCNN / its mixed",
            *(f"{trainers.TITLES[name]}, MB" for name in engines), "losses differ by", "PyTorch's own by"]
    rows = [
        [f"{cell['model']}, {cell['size']}x{cell['size']}, batch {cell['batch']}",
         *(value(cell, name, "median_ms", cell["batch"]) for name in engines),
         *(f"{cell[key]:.2f}" if key in cell else "-" for key in ("ratio", "mixed_ratio", "own_ratio")),
         *(value(cell, name, "peak_mb") for name in engines),
         *(f"{cell[key]:.0e}" if key in cell else "-" for key in ("loss_difference", "peers_loss_difference"))]
        for cell in results["cells"]]
    return report.document(results, report.table(head, rows) if rows else "")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    models = list(trainers.SIZES)
    parser.add_argument("--models", nargs="+", choices=models, default=models, metavar="MODEL", help="%(choices)s")
    parser.add_argument("--batch", type=int, help="16, for resnet20 128, for efficientnet_v2_s 8, when not given")
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"],
                        help="bfloat16: by torch.autocast and our policy mixed_bfloat16 too")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6, help="turns of each engine")
    parser.add_argument("--calls", type=int, default=3, help="counted steps of a turn at least")
    parser.add_argument("--seconds", type=float, default=0.5, help="of counted steps in a turn at least")
    parser.add_argument("--peak", type=float, help="GFLOP/s of the idle machine; measured at the start when not given")
    parser.add_argument("--patience", type=float, default=60, help="seconds that a turn waits for the machine's peak")
    parser.add_argument("--folder", type=pathlib.Path, default=turns.ROOT / "build" / "bench", help="of weights, logs")
    for name in ("json", "markdown"):
        parser.add_argument(f"--{name}", type=pathlib.Path, help="a file for the results")
    return parser.parse_args()


def main() -> None:
    if not turns.FMA_PEAK.exists():
        raise SystemExit(f"{turns.FMA_PEAK} is not built: make bench-training builds it")
    bench = Bench(arguments())
    bench.run()
    print("\n" + markdown(bench.results))


if __name__ == "__main__":
    main()
