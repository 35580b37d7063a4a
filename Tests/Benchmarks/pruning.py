#!/usr/bin/env python3
"""What pruning is worth: how much faster networks get, whether any gets slower, how well times are foretold, and what
it costs in accuracy.

    half       networks with half of the multiplications, beside the whole ones
    builders   every builder at ratios from 0.1 to 0.9: no time longer than that of the whole network
    latency    networks pruned at random towards 20 latencies: those that were foretold beside those that are measured
    peers      half of the multiplications beside torch-pruning's on the faster of ONNX Runtime and OpenVINO
    accuracy   a ResNet-20 of Fashion-MNIST at half of the multiplications, after two epochs of fine-tuning

Two models take turns, an image at a time, and engines as in `inference.py`; times are medians. `make bench-pruning`;
the exit status is 1 where a bar is not reached.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time
import warnings
from typing import Any

import inference
import numpy as np
import peers
import quantization
import report
import turns

import swiftcnn

HALF_BARS = {"resnet50": 1.7, "efficientnet_b0": 1.5}
PARTS = ("half", "builders", "latency", "peers", "accuracy")
RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)
FORETOLD_BAR = 0.1  # Of the measured time.
# How many times as fast as torch-pruning's, by the rule of `pruners.py`.
ENGINES = ("onnxruntime", "openvino")  # They run what torch-pruning made.
PEER_BARS = {"16": ("round_to=16 on both sides", 1.3), "odd": ("any widths on both sides", 2.0),
             "fast": ("round_to='fast' beside their 16", None)}
UNEQUAL_BAR = 0.02  # Of the multiplications that are left on either side.
LOST_BAR, FASTER_BAR = 0.5, 1.6  # Points of the mean of the seeds, and how many times as fast.


def milliseconds(models: list[swiftcnn.Model], seconds: float = 2.0) -> list[float]:
    """The median times of one image, of models that take turns."""
    shape = models[0].input_shape[1:]
    x = np.random.default_rng(0).integers(0, 256, (1, *shape), dtype=np.uint8)
    times: list[list[float]] = [[] for _ in models]
    for model in models:
        model.predict(x, verbose=0)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for model, taken in zip(models, times, strict=True):
            for _ in range(3):  # the first finds the caches as the other left them
                start = time.perf_counter()
                model.predict(x, verbose=0)
                taken.append(time.perf_counter() - start)
    return [1e3 * statistics.median(taken) for taken in times]


def half(names: list[str]) -> list[list[Any]]:
    """Rows of networks with half of the multiplications."""
    rows = []
    for name in names:
        whole = swiftcnn.create_model(name, input_shape=(224, 224, 3))
        for round_to in ("fast", 16, 1):
            small = swiftcnn.prune(whole, macs=0.5, round_to=round_to)
            before, after = milliseconds([whole, small], 6)
            bar = HALF_BARS.get(name) if round_to == "fast" else None
            rows.append([f"{name}, half of the MACs, round_to={round_to}", f"{before:.2f} -> {after:.2f} ms",
                         f"{before / after:.2f}", f"at least {bar}" if bar else "",
                         report.verdict(before / after >= bar) if bar else ""])
    return rows


def builders(names: list[str]) -> list[list[Any]]:
    """A row of the worst time of each builder."""
    rows = []
    for name in names:
        whole = swiftcnn.create_model(name, input_shape=(128, 128, 3), classes=10)
        ratios = {}
        for ratio in RATIOS:
            for round_to in ("fast", 1):
                small = swiftcnn.prune(whole, ratio, round_to=round_to)
                before, after = milliseconds([whole, small], 0.5)
                ratios[ratio, round_to] = before / after
        worst = min(ratios, key=ratios.__getitem__)
        passes = ratios[worst] >= 1 / report.NOISE
        rows.append([name, ", ".join(f"{ratios[ratio, 'fast']:.2f}" for ratio in RATIOS), f"{ratios[worst]:.2f} {worst}",
                     "never slower", report.verdict(passes)])
        print(*rows[-1][:3], flush=True)
    return rows


def latency(names: list[str]) -> list[list[Any]]:
    """A row of how far foretold times are from measured ones."""
    errors = []
    for name in names:
        whole = swiftcnn.create_model(name, input_shape=(224, 224, 3))
        (before,) = milliseconds([whole], 3)
        for seed in range(20 // len(names)):
            share = 0.9 - 0.6 * seed / (20 // len(names) - 1)
            small = swiftcnn.prune(whole, latency_ms=share * before, criterion="random", seed=seed)
            (after,) = milliseconds([small])
            found = small.pruning_report()
            errors.append(abs(found.predicted_latency_ms / after - 1))
            print(f"{name}: {share * before:.2f} ms asked, {found.predicted_latency_ms:.2f} foretold, "
                  f"{found.latency_ms[1]:.2f} and {after:.2f} measured", flush=True)
    return [[f"{len(errors)} random prunings of {', '.join(names)}", "foretold time less the measured, of that",
             f"{100 * statistics.mean(errors):.1f} %, {100 * max(errors):.1f} % at most", f"at most {FORETOLD_BAR:.0%}",
             report.verdict(max(errors) <= FORETOLD_BAR)]]


def raced(name: str, folder: pathlib.Path, meter: turns.Meter, given: argparse.Namespace) -> dict[str, float]:
    """The median milliseconds of what `pruners.py` made of a network, by engine and file."""
    entrants = [("saved", f"ours-{rule}") for rule in PEER_BARS]
    entrants += [(engine, f"theirs-{rule}") for rule in ("16", "odd") for engine in ENGINES]
    workers: dict[str, turns.Worker] = {}
    try:
        for engine, stem in entrants:
            command = [given.peers, str(pathlib.Path(__file__).with_name("peers.py")), engine, f"{name}.{stem}",
                       "--size", "224", "--batch", "1", "--threads", str(given.threads), "--folder", str(folder)]
            worker = turns.Worker(command, {"OMP_NUM_THREADS": str(given.threads)})
            workers[f"{engine} {stem}"] = worker
            if worker.about["difference"] > report.LARGEST_PEER_DIFFERENCE["float32"]:
                raise SystemExit(f"{engine}, {name}.{stem}: it differs by {worker.about['difference']:.1e}")
        seconds, _, fallen = turns.take_turns(workers, 8, {"calls": 4, "seconds": 0.3}, meter)
    finally:
        for worker in workers.values():
            worker.close()
    if fallen:
        raise SystemExit(f"{name}: {fallen}")
    return {entrant: 1e3 * statistics.median(taken) for entrant, taken in seconds.items()}


def beside_peers(names: list[str], given: argparse.Namespace) -> list[list[Any]]:
    """Rows of how much faster ours are, of as many multiplications as torch-pruning's on other engines."""
    rows: list[list[Any]] = []
    folder = (given.folder / "pruned").resolve()
    folder.mkdir(exist_ok=True)
    meter = turns.Meter(given.threads, patience=given.patience)
    for name in names:
        done = subprocess.run(
            [given.peers, pathlib.Path(__file__).with_name("pruners.py"), name, "--folder", folder],
            capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name} could not be pruned: {done.stderr.strip()[-600:]}")
        made = json.loads(done.stdout)
        print(f"{name}: {made['versions']}", flush=True)
        times = raced(name, folder, meter, given)
        for rule, (title, bar) in PEER_BARS.items():
            mine = times[f"saved ours-{rule}"]
            theirs = [times[f"{engine} theirs-{'16' if rule == 'fast' else rule}"] for engine in ENGINES]
            left = {side: count / made["macs"] for side, count in made["left"][rule].items()}
            ratio, is_equal = min(theirs) / mine, abs(left["ours"] / left["theirs"] - 1) <= UNEQUAL_BAR
            rows.append([
                f"{name}, {title}, {left['ours']:.1%} of the MACs left (theirs {left['theirs']:.1%})",
                f"{mine:.2f} ms beside " + ", ".join(
                    f"{peers.TITLES[engine]} {taken:.2f}" for engine, taken in zip(ENGINES, theirs, strict=True)),
                f"{ratio:.2f}", f"at least {bar}" if bar else "",
                report.verdict(is_equal and ratio >= bar) if bar else ""])
            print(*rows[-1][:3], flush=True)
    return rows


def accuracy(seeds: int, folder: pathlib.Path) -> list[list[Any]]:
    """Rows of what a trained network loses."""
    (x, y), (x_test, y_test) = swiftcnn.datasets.fashion_mnist()
    lost, faster = [], []
    for seed in range(seeds):
        whole = quantization.trained("resnet20", seed, folder)
        small = swiftcnn.prune(whole, macs=0.5)
        small.compile(
            optimizer=swiftcnn.optimizers.SGD(
                swiftcnn.schedules.OneCycle(0.05), momentum=0.9, nesterov=True, weight_decay=5e-4, decoupled=False,
                decay_all=False),
            loss="sparse_categorical_crossentropy", seed=seed)
        small.fit(x, y, batch_size=quantization.BATCH, epochs=2, verbose=0, horizontal_flip=True)
        before, after = milliseconds([whole, small])
        points = [quantization.points(model, x_test, y_test) for model in (whole, small)]
        lost.append(points[0] - points[1])
        faster.append(before / after)
        print(f"seed {seed}: {points[0]:.2f} % -> {points[1]:.2f} %, {before:.3f} -> {after:.3f} ms", flush=True)
    return [
        ["resnet20 of Fashion-MNIST, half of the MACs, 2 epochs", "points lost", quantization.spread(lost),
         f"at most {LOST_BAR}", report.verdict(statistics.mean(lost) <= LOST_BAR)],
        ["", "times as fast", quantization.spread(faster), f"at least {FASTER_BAR}",
         report.verdict(statistics.mean(faster) >= FASTER_BAR)],
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--models", nargs="+", default=["resnet50", "efficientnet_b0"],
                        help="of half, latency and peers")
    parser.add_argument("--builders", nargs="+", default=swiftcnn.list_models())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=pathlib.Path, default=turns.ROOT / "build" / "bench", help="of trained models")
    parser.add_argument("--patience", type=float, default=60, help="seconds that a turn waits for the machine's peak")
    parser.add_argument("--peers", default=sys.executable, help="a Python that has torch-pruning and the other engines")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    swiftcnn.set_num_threads(given.threads)
    warnings.simplefilter("ignore")  # the weights of most are random
    rows: list[list[Any]] = []
    for part in given.parts:
        match part:
            case "half": rows += half(given.models)
            case "builders": rows += builders(given.builders)
            case "latency": rows += latency(given.models)
            case "peers": rows += beside_peers(given.models, given)
            case "accuracy": rows += accuracy(given.seeds, given.folder)
    print(f"\n{inference.machine()['processor']}; SwiftCNN {swiftcnn.__version__}; {given.threads} threads\n")
    print(report.table(["", "", "", "bar", ""], rows))
    missed = report.verdict(False)
    return int(any(row[-1] == missed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
