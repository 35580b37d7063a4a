#!/usr/bin/env python3
"""What `swiftcnn.compress` reaches: a ResNet-20 of Fashion-MNIST at a quarter of its latency, and at a given size, beside
the same by pruning alone and by quantising alone; and whether a time limit is kept.

Models are trained on the 60,000 images, with mirrored ones, and measured on the 10,000 test images, of which half decide
and half are held back. `make bench-compression`; the exit status is 1 where a bar is not reached. The chart of the first
seed is `compression.svg` in the folder of trained models.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
from typing import Any

import inference
import pruning
import quantization
import report
import turns

import swiftcnn

SPEEDUP, DROP, MINUTES = 4.0, 1.0, 20.0  # The bars: a quarter of the latency, points lost at most, minutes at most.
LATENCY_WITHIN, SIZE_WITHIN, TIME_WITHIN = 0.05, 0.02, 0.05
SIZE_SHARE = 0.1  # Of the file that is asked for.
SHORT = 60.0  # Seconds of the run whose time limit is looked at.


def compressed(model: Any, data: Any, given: argparse.Namespace, target: dict[str, float], **options: Any) -> Any:
    """A compressed model, with its report."""
    (x, y), validation = data
    return swiftcnn.compress(
        model, (x, y), validation, target, max_drop=DROP, horizontal_flip=True, verbose=2 * given.verbose,
        epochs=given.epochs, **options)


def best_within(found: Any, accept: Any) -> float:
    """The least latency of the points that lose no more than allowed, among some."""
    first = found.points[0]
    return min(
        point.latency_ms for point in found.points
        if accept(point) and 100 * (first.accuracy - point.accuracy) <= DROP)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many networks are compressed")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of each compression")
    parser.add_argument("--epochs", type=int, default=10, help="of each level at most")
    parser.add_argument("--parts", nargs="+", choices=["latency", "alone", "size", "limit"],
                        default=["latency", "alone", "size", "limit"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="show the stages")
    parser.add_argument("--folder", type=pathlib.Path, default=turns.ROOT / "build" / "bench", help="of trained models")
    given = parser.parse_args()
    swiftcnn.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    data = swiftcnn.datasets.fashion_mnist()
    rows: list[list[Any]] = []
    verdicts: list[bool] = []

    def row(name: str, text: str, bar: str, holds: bool) -> None:
        verdicts.append(holds)
        rows.append([name, text, bar, report.verdict(holds)])

    models = [quantization.trained("resnet20", seed, given.folder) for seed in range(given.seeds)]
    if {"latency", "alone"} & set(given.parts):
        reports = []
        for seed, model in enumerate(models):
            small = compressed(model, data, given, {"speedup": SPEEDUP}, time_limit=60 * given.minutes)
            found = small.compression_report()
            before, after = pruning.milliseconds([model, small])
            print(f"seed {seed}:\n{found}\nby predict: {before:.3f} -> {after:.3f} ms\n", flush=True)
            reports.append((found, before / after))
        chart = given.folder / "compression.svg"
        reports[0][0].save_chart(chart)
        ratios = [found.points[0].latency_ms / found.chosen.latency_ms for found, _ in reports]
        lost = [found.held_back_drop for found, _ in reports]
        row("ResNet-20: times as fast", quantization.spread(ratios), f"at least {SPEEDUP * (1 - LATENCY_WITHIN):.2f}",
            min(ratios) >= SPEEDUP / (1 + LATENCY_WITHIN))
        rows.append(["by predict from Python", quantization.spread([ratio for _, ratio in reports]), "", ""])
        row("points lost on the images held back", quantization.spread(lost), f"at most {DROP}",
            statistics.mean(lost) <= DROP)
        minutes = [found.seconds / 60 for found, _ in reports]
        row("minutes", quantization.spread(minutes), f"at most {MINUTES}", max(minutes) <= MINUTES)
    if "alone" in given.parts:
        found = reports[0][0]
        pruned = compressed(models[0], data, given, {"speedup": SPEEDUP}, time_limit=60 * given.minutes,
                            methods=["prune", "distill"]).compression_report()
        print(f"pruning alone:\n{pruned}\n", flush=True)
        first, both = found.points[0].latency_ms, found.chosen.latency_ms
        channels = best_within(pruned, lambda point: True)
        integers = best_within(found, lambda point: point.methods in ((), ("quantize",)))
        row("times as fast within the drop, by all", f"{first / both:.2f}; pruning alone {pruned.points[0].latency_ms / channels:.2f}, "
            f"quantising alone {first / integers:.2f}", "above both", both < min(channels, integers))
    if "size" in given.parts:
        with tempfile.TemporaryDirectory() as room:
            path = pathlib.Path(room) / "model.safetensors"
            models[0].save(path, include_optimizer=False)
            target = SIZE_SHARE * path.stat().st_size * 1e-6
        found = compressed(models[0], data, given, {"size_mb": target}, time_limit=60 * given.minutes).compression_report()
        print(f"towards a size:\n{found}\n", flush=True)
        megabytes = found.chosen.bytes * 1e-6
        row("a tenth of the size", f"{megabytes:.4f} of {target:.4f} MB, {found.held_back_drop:.2f} points lost",
            f"within {100 * SIZE_WITHIN:.0f} %", abs(megabytes / target - 1) <= SIZE_WITHIN)
    if "limit" in given.parts:
        found = compressed(models[0], data, given, {"speedup": 100.0}, time_limit=SHORT).compression_report()
        row("a time limit", f"{found.seconds:.1f} of {SHORT:.0f} s", f"at most {100 * TIME_WITHIN:.0f} % over",
            found.seconds <= (1 + TIME_WITHIN) * SHORT)
    print(f"{inference.machine()['processor']}; SwiftCNN {swiftcnn.__version__}; {given.seeds} seeds, "
          f"{given.threads} threads\n")
    print(report.table(["", "mean (least to most)", "bar", ""], rows))
    return int(not all(verdicts))


if __name__ == "__main__":
    sys.exit(main())
