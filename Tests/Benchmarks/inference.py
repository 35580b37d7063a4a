#!/usr/bin/env python3
"""Speed of inference beside ONNX Runtime, OpenVINO, LiteRT and ncnn, with the same weights and images.

In float32, and where the processor has bfloat16 in that too, beside those that compute in it and our own float32. In
int8, one image at a time, beside the peers in any precision: each runs what its own quantiser made.

Each engine has a process of its own, and they take turns of some calls while the others are stopped; the first call of
a turn is not counted, and a turn waits until all cores are at their peak. Prints each engine's times and its difference
from PyTorch's logits, then the tables; also measures a process's start and memory, large batches, and a second model
in the process. Run it alone on the machine: `make bench-inference`. This process stays small (see `startup.py`).
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import chart
import peers
import quantizers
import report
import startup
import turns

HERE = pathlib.Path(__file__).resolve().parent
SIZES = {"resnet18": 224, "resnet34": 224, "resnet50": 224, "efficientnet_b0": 224, "efficientnet_b4": 380,
         "tf_efficientnet_lite0": 224}
LARGE_BATCH = {"efficientnet_b4": 16}  # The others: 32.
PARTS = ("engines", "startup", "batches", "second", "calibration")
STARTED = ("efficientnet_b0", "resnet50")  # The first has the bar of the cold start; both have one of memory.
GROWN = ("resnet18", "resnet50", "efficientnet_b0")
CALIBRATED, IMAGES = "resnet50", 300
# ONNX Runtime keeps the activations of all images for it: of 300 that is more than most machines have.
ENTROPY_IMAGES = 50
BESIDE_INT8 = ("onnxruntime", "openvino", "ncnn")  # In the other precisions.
SMALL, LARGE = 8, 64
PAIRS = (("resnet50", "efficientnet_b0"), ("efficientnet_b0", "resnet18"))  # The first is measured.


class Bench:
    """What a run measures, and what it found."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.folder: pathlib.Path = given.folder.resolve()
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        self.meter = turns.Meter(given.threads, given.peak, given.patience)
        self.results: dict[str, Any] = {
            "machine": machine(), "threads": given.threads, "precisions": given.precisions, "versions": {}, "cells": [],
            "startup": {}, "others": [], "notes": [], "meter": self.meter.report()}
        if "bfloat16" in given.precisions and not self.results["machine"]["bfloat16"]:
            self.note("bfloat16 is left out: this processor has no instructions for it")
            given.precisions.remove("bfloat16")

    def engines(self, batch: int, precision: str) -> list[str]:
        """The rows of a cell: ours, ours otherwise, the peers, and in int8 those in other precisions."""
        others = [*self.given.isa, *(["float32"] if precision != "float32" else [])]
        is_divided = batch > 1 and self.given.threads > 1
        names = ["swiftcnn", *(f"swiftcnn-{other}" for other in others),
                 *(name for name in self.given.peers
                   if name in peers.PEERS_OF[precision] and (is_divided or name != "openvino-streams"))]
        if precision == "int8":
            beside = ["float32", *(["bfloat16"] if self.results["machine"]["bfloat16"] else [])]
            names += [f"{name}-{other}" for other in beside for name in BESIDE_INT8
                      if name in self.given.peers and name in peers.PEERS_OF[other]]
        return names

    def batches(self, model: str, precision: str) -> list[int]:
        """The batches a model is measured at beside the peers."""
        return self.given.batches or [1, *([LARGE_BATCH.get(model, 32)] if precision != "int8" else [])]

    def export(self, model: str) -> bool:
        """Makes a model's files, in a process that may fail; whether there are any."""
        batches = [batch for precision in self.given.precisions for batch in self.batches(model, precision)]
        largest = max([*batches, LARGE if model in GROWN and "batches" in self.given.parts else 1])
        log = self.folder / "logs" / f"{model}-export.log"
        command = [sys.executable, str(HERE / "exports.py"), model, "--size", str(SIZES[model]),
                   "--batch", str(largest), "--folder", str(self.folder)]
        if "int8" in self.given.precisions:
            command.append("--int8")
        with open(log, "w") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        if done.returncode:
            self.note(f"{model}: its files could not be made; {log} says why")
            return False
        answer = json.loads(done.stdout)
        self.results["versions"] |= {f"exported with {name}": value for name, value in answer["versions"].items()}
        for step, reason in answer["failures"].items():
            self.note(f"{model}, {step}: {reason}")
        return True

    def note(self, text: str) -> None:
        """Says something now and at the end."""
        print(f"  {text}", flush=True)
        self.results["notes"].append(text)

    def worker(self, engine: str, model: str, batch: int, precision: str = "float32",
               second: str | None = None) -> turns.Worker:
        """The process of an engine, named as `peers.told` reads it."""
        log = self.folder / "logs" / f"{model}-{batch}-{precision}-{engine}.log"
        name, isa, precision = peers.told(engine, precision)
        environment = {"OMP_NUM_THREADS": str(self.given.threads)} | ({"SWIFTCNN_ISA": isa} if isa else {})
        python = quantizers.LITERT_PYTHON if name == "litert" else sys.executable
        command = [str(python), str(HERE / "peers.py"), name, model, "--size", str(SIZES[model]),
                   "--batch", str(batch), "--threads", str(self.given.threads), "--folder", str(self.folder),
                   "--precision", precision]
        if second:
            command += ["--second", f"{second}:{SIZES[second]}"]
        return turns.Worker(command, environment, log)

    def race(self, workers: dict[str, turns.Worker], batches: dict[str, int]) -> dict[str, dict[str, Any]]:
        """Lets workers take turns; milliseconds an image, or why there are none, by their names. Ends them."""
        request = {"calls": self.given.calls, "seconds": self.given.seconds}
        try:
            seconds, _, fallen = turns.take_turns(workers, self.given.rounds, request, self.meter)
        finally:
            for worker in workers.values():
                worker.close()
        return {name: {"failure": fallen[name]} if name in fallen else turns.spread(seconds[name], batches[name])
                for name in workers}

    def cell(self, model: str, batch: int, precision: str) -> None:
        """A model at a batch in a precision with every engine."""
        print(f"{model} {SIZES[model]} batch {batch} {precision}", flush=True)
        names = self.engines(batch, precision)
        workers: dict[str, turns.Worker] = {}
        rows = {name: {"engine": name} for name in names}
        for name in names:
            try:
                workers[name] = self.worker(name, model, batch, precision)
                rows[name] |= workers[name].about
                self.results["versions"][name] = workers[name].about["version"]
            except turns.Failure as failure:
                rows[name]["failure"] = str(failure)
        for name, times in self.race(workers, dict.fromkeys(workers, batch)).items():
            rows[name] |= times
        cell = {"model": model, "size": SIZES[model], "batch": batch, "precision": precision,
                "rows": [rows[name] for name in names]}
        report.judge(cell, self.results["machine"])
        self.results["cells"].append(cell)
        print("\n".join(report.line(row) for row in cell["rows"]))
        if "ratio" in cell:
            print(f"  ratio to {cell['best_peer']} {cell['ratio']:.2f}, bar {cell.get('bar', '-')}", flush=True)
        if "float32_ratio" in cell:
            print(f"  ratio to float32 {cell['float32_ratio']:.2f}, bar {cell['float32_bar']:.3g}", flush=True)

    def sizes(self, model: str) -> None:
        """The file in int8 beside that in float32."""
        files = [self.folder / f"{model}{suffix}" for suffix in (startup.INT8_FILE, startup.FLOAT_FILE)]
        if all(file.exists() for file in files):
            self.compare(f"file in int8, {model}, beside float32", "MB", *(file.stat().st_size / 1e6 for file in files),
                         report.INT8_FILE_BAR)

    def start(self, model: str) -> None:
        """Fresh processes: the time to the first prediction and the memory."""
        rows = startup.compare(peers.Job(model, SIZES[model], 1, self.given.threads, self.folder),
                               self.given.starts, self.meter, "int8" in self.given.precisions)
        self.results["startup"][model] = rows
        for row in rows:
            if "failure" in row:
                self.note(f"{model}, {row['engine']} in a fresh process: {row['failure']}")
        if any("failure" in row for row in rows):
            return
        ours, theirs, *int8 = rows
        if model == STARTED[0]:
            self.compare(f"cold start, import to first prediction, {model}, beside ONNX Runtime", "s", ours["seconds"],
                         theirs["seconds"], report.COLD_START_BAR)
        self.compare(f"peak memory, {model}, beside ONNX Runtime", "MB", ours["peak_mb"], theirs["peak_mb"], 1)
        for row in int8:
            self.compare(f"peak memory in int8, {model}, beside float32", "MB", row["peak_mb"], ours["peak_mb"], 1)

    def calibration(self, model: str) -> None:
        """What it takes to make a file in int8 after a look at many images, beside the peers' quantisers."""
        entropy = f"ONNX Runtime's entropy after {ENTROPY_IMAGES} images"
        asked = {"ours": ("swiftcnn", IMAGES), "ONNX Runtime's minmax": ("onnxruntime", IMAGES),
                 "NNCF's default": ("openvino", IMAGES), "LiteRT's quantiser": ("litert", IMAGES),
                 entropy: ("onnxruntime", ENTROPY_IMAGES, "--method", "Entropy")}
        for title, (engine, count, *options) in asked.items():
            if engine not in ("swiftcnn", *self.given.peers):
                continue
            self.meter.wait()
            try:
                made = quantizers.run(
                    engine, model, self.folder / f"{model}{quantizers.SOURCES[engine]}",
                    self.folder / f"{SIZES[model]}.calibration.npy",
                    self.folder / f"{model}.calibrated{peers.INT8_FILES[engine]}", "--count", str(count), *options)
            except turns.Failure as failure:
                self.note(f"int8 of {model} after {count} images, {title}: {failure}")
                if title == "ours":
                    return
                continue
            if title == "ours":
                ours = made
            elif title == entropy:
                self.compare(f"memory of int8 of {model} after {IMAGES} images, beside {title}", "MB", ours["peak_mb"],
                             made["peak_mb"], report.ENTROPY_MEMORY_BAR)
            else:
                self.compare(f"int8 of {model} after {IMAGES} images, beside {title}", "s", ours["seconds"],
                             made["seconds"], 1)

    def pair(self, title: str, ours: tuple[str, int, str | None], other: tuple[str, int, str | None]) -> None:
        """Compares two processes of ours: model, batch and perhaps a second model."""
        workers: dict[str, turns.Worker] = {}
        try:
            for name, (model, batch, second) in {"ours": ours, "other": other}.items():
                workers[name] = self.worker("swiftcnn", model, batch, second=second)
        except turns.Failure as failure:
            self.note(f"{title}: {failure}")
            for worker in workers.values():
                worker.close()
            return
        rows = self.race(workers, {"ours": ours[1], "other": other[1]})
        failures = [row["failure"] for row in rows.values() if "failure" in row]
        if failures:
            self.note(f"{title}: {failures[0]}")
            return
        self.compare(title, "ms", rows["ours"]["median_ms"], rows["other"]["median_ms"], report.NOISE)

    def compare(self, title: str, measure: str, ours: float, other: float, bar: float) -> None:
        """Adds a row to the second table."""
        row = report.compared(title, measure, ours, other, bar)
        self.results["others"].append(row)
        print(f"{title}: {ours:.3g} {measure} beside {other:.3g}, ratio {row['ratio']:.2f}, at most {bar}", flush=True)

    def run(self) -> None:
        """Measures everything; what is found so far is in the files after each step."""
        models, parts = self.given.models, self.given.parts
        models = [model for model in models if self.export(model)]
        steps = []
        if "engines" in parts:
            steps += [lambda m=model, b=batch, p=precision: self.cell(m, b, p) for model in models
                      for precision in self.given.precisions for batch in self.batches(model, precision)]
        if "startup" in parts:
            if "int8" in self.given.precisions:
                steps += [lambda m=model: self.sizes(m) for model in models]
            steps += [lambda m=model: self.start(m) for model in STARTED if model in models]
        if "batches" in parts:
            title = f"batch {LARGE} beside batch {SMALL}, an image of"
            steps += [lambda m=model: self.pair(f"{title} {m}", (m, LARGE, None), (m, SMALL, None))
                      for model in GROWN if model in models]
        if "second" in parts:
            steps += [lambda a=first, b=second: self.pair(f"{a} with {b} in the process, beside alone", (a, 1, b),
                                                          (a, 1, None))
                      for first, second in PAIRS if first in models and second in models]
        if "calibration" in parts and "int8" in self.given.precisions and CALIBRATED in models:
            steps.append(lambda: self.calibration(CALIBRATED))
        for step in steps:
            step()
            self.write()

    def write(self) -> None:
        """Writes the files."""
        self.results["meter"] = self.meter.report()
        given = self.given
        if given.json:
            given.json.write_text(json.dumps(self.results, indent=1) + "\n")
        if given.markdown:
            given.markdown.write_text(report.markdown(self.results))
        if given.chart and (drawing := draw(self.results)):
            given.chart.write_text(drawing)


def draw(results: dict[str, Any]) -> str:
    """The chart of batch 1; empty where that was not measured."""
    groups: dict[str, list[tuple[str, float]]] = {}
    for cell in results["cells"]:
        if cell["batch"] == 1:
            bars = groups.setdefault(f"{cell['model']}, {cell['size']}x{cell['size']}", [])
            bars += [(report.title(row["engine"], cell["precision"]), row["median_ms"]) for row in cell["rows"]
                     if row["engine"] in peers.TITLES and row["engine"] != "openvino-default" and "median_ms" in row]
    threads = f"{results['threads']} thread{'s' * (results['threads'] > 1)}"
    return chart.bars(
        f"Milliseconds for one image, {' and '.join(results['precisions'])}: shorter is faster",
        f"{threads} of {results['machine']['processor']}; medians of engines in processes of their own that take turns",
        "ms", groups, [report.title("swiftcnn", precision) for precision in results["precisions"]]) if groups else ""


def machine() -> dict[str, Any]:
    """What the numbers were measured on; `bfloat16` and `int8` are the best instruction sets for those, or empty."""
    told = cpuinfo()

    def best(*names: str) -> str:
        return next((name for name in names if name in told["flags"].split()), "")

    return {"processor": processor(told), "processors": len(os.sched_getaffinity(0)),
            "bfloat16": best("amx_bf16", "avx512_bf16"), "int8": best("amx_int8", "avx512_vnni", "avx2"),
            "kernel": platform.release(), "python": platform.python_version()}


def cpuinfo() -> dict[str, str]:
    """What the system says of a processor."""
    with open("/proc/cpuinfo") as file:
        rows = [line.partition(":") for line in file]
    return {"flags": ""} | {name.strip(): value.strip() for name, _, value in rows}


def processor(told: Mapping[str, str]) -> str:
    """Its name, and where that leaves it open, its kind."""
    flags = told["flags"].split()
    zen = {"25": "Zen 4" if "avx512f" in flags else "Zen 3", "26": "Zen 5"}.get(told.get("cpu family", ""))
    sets = [text for flag, text in (("amx_int8", "AMX"), ("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags]
    kind = ", ".join(filter(None, [zen if "AMD" in told.get("model name", "") else None, *sets[:1]]))
    return told.get("model name", platform.machine()) + (f" ({kind})" if kind else "")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES), metavar="MODEL")
    parser.add_argument("--batches", nargs="+", type=int, help="1 and 32 (efficientnet_b4: 16) when not given")
    parser.add_argument("--precisions", nargs="+", choices=peers.PEERS_OF, default=list(peers.PEERS_OF),
                        metavar="PRECISION", help="%(choices)s")
    parser.add_argument("--peers", nargs="*", default=["usual"], choices=["usual", "all", *list(peers.TITLES)[1:]],
                        metavar="PEER", help="usual (those of the bars), all, or names: %(choices)s")
    parser.add_argument("--isa", nargs="*", default=[], help="more rows of ours with SWIFTCNN_ISA=avx2, avx512, ...")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each engine")
    parser.add_argument("--calls", type=int, default=4, help="counted calls of a turn at least")
    parser.add_argument("--seconds", type=float, default=0.3, help="of counted calls in a turn at least")
    parser.add_argument("--starts", type=int, default=7, help="fresh processes of each engine")
    parser.add_argument("--peak", type=float, help="GFLOP/s of the idle machine; measured at the start when not given")
    parser.add_argument("--patience", type=float, default=60, help="seconds that a turn waits for the machine's peak")
    parser.add_argument("--folder", type=pathlib.Path, default=turns.ROOT / "build" / "bench", help="of models' files")
    for name in ("json", "markdown", "chart"):
        parser.add_argument(f"--{name}", type=pathlib.Path, help="a file for the results")
    given = parser.parse_args()
    choices = {"usual": peers.USUAL, "all": list(peers.TITLES)[1:]}
    given.peers = list(dict.fromkeys(name for choice in given.peers for name in choices.get(choice, [choice])))
    return given


def main() -> None:
    if not turns.FMA_PEAK.exists():
        raise SystemExit(f"{turns.FMA_PEAK} is not built: make bench-inference builds it")
    bench = Bench(arguments())
    bench.run()
    print("\n" + report.markdown(bench.results))


if __name__ == "__main__":
    main()
