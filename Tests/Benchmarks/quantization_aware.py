#!/usr/bin/env python3
"""What training for integers costs in time, and what int8 costs in accuracy after it.

Steps: a model in floats and the same one made by `quantization_aware` train on the same batches, each in a process of
its own, in turns; the ratio is the median over the turns of their medians. Accuracy: the networks of quantization.py,
trained on Fashion-MNIST in floats, are trained for integers for an epoch, and lose top-1 in int8 against float32, in
points: `make bench-quantization-aware`; the exit status is 1 where a bar is not reached.
"""

import argparse
import os
import pathlib
import statistics
import sys
from typing import Any, NamedTuple

import quantization
import report
import turns

ROUNDS, CALLS = 9, 3
STEP_BAR = 1.3  # Times a plain step.
ACCURACY_BAR = 0.1  # Points, in the mean of the seeds.
WAYS = {"tracked": {}, "learned": {"ranges": "learned"}}  # The first is the default, which has the bars.


class Step(NamedTuple):
    """What a step trains on."""

    model: str
    size: int
    batch: int


STEPS = {"resnet20": Step("resnet20", 32, 128), "efficientnet_b0": Step("efficientnet_b0", 224, 16)}


def serve_steps(name: str, way: str, threads: int) -> None:
    """A worker's process: steps of a model in floats, or of one that is trained for integers."""

    def make() -> tuple[Any, dict[str, Any]]:
        import numpy as np

        import swiftcnn

        swiftcnn.set_num_threads(threads)
        step = STEPS[name]
        random = np.random.default_rng(0)
        x = random.normal(size=(step.batch, step.size, step.size, 3)).astype(np.float32)
        y = random.integers(0, 10, step.batch).astype(np.int32)
        model = swiftcnn.create_model(step.model, input_shape=x.shape[1:], classes=10, seed=1)
        if way != "float32":
            # Ranges are found in a prediction, which needs the statistics that training has made.
            model.compile(optimizer=swiftcnn.optimizers.SGD(1e-3), loss="sparse_categorical_crossentropy", seed=1)
            for _ in range(30):
                model.train_on_batch(x, y)
            model = swiftcnn.quantization_aware(model, x, "minmax", **WAYS[way])
        model.compile(
            optimizer=swiftcnn.optimizers.SGD(1e-3, momentum=0.9), loss="sparse_categorical_crossentropy", seed=1)
        return lambda _: model.train_on_batch(x, y) and None, {}

    turns.serve(make)


def measure_steps(
    name: str, threads: int, rounds: int, meter: turns.Meter | None,
) -> dict[str, tuple[float, list[float]]]:
    """For each way the median milliseconds, and the ratio to a plain step in each turn."""
    names = ["float32", *WAYS]
    workers = {
        way: turns.Worker([sys.executable, __file__, "--serve", name, way, "--threads", str(threads)], dict(os.environ))
        for way in names
    }
    medians: dict[str, list[float]] = {way: [] for way in names}
    for _ in range(rounds):
        seconds, _, fallen = turns.take_turns(workers, 1, {"calls": CALLS}, meter)
        if fallen:
            raise turns.Failure("; ".join(f"{way}: {why}" for way, why in fallen.items()))
        for way in names:
            medians[way].append(statistics.median(seconds[way]))
    for worker in workers.values():
        worker.close()
    return {
        way: (1e3 * statistics.median(times), [a / b for a, b in zip(times, medians["float32"], strict=True)])
        for way, times in medians.items()
    }


def measure_accuracy(name: str, seed: int, folder: pathlib.Path, epochs: int) -> dict[str, float]:
    """What each way of training for integers loses of a trained model's top-1, in points."""
    import swiftcnn

    model = quantization.trained(name, seed, folder)
    (x, y), (x_test, y_test) = swiftcnn.datasets.fashion_mnist()
    accuracy, found = quantization.points(model, x_test, y_test), {}
    for way, options in WAYS.items():
        trained = swiftcnn.quantization_aware(
            model, x[:quantization.CALIBRATION], samples=quantization.CALIBRATION, **options)
        trained.compile(
            optimizer=swiftcnn.optimizers.SGD(1e-3, momentum=0.9), loss="sparse_categorical_crossentropy", seed=seed)
        trained.fit(x, y, batch_size=quantization.BATCH, epochs=epochs, verbose=0, horizontal_flip=True)
        found[way] = accuracy - quantization.points(swiftcnn.quantize(trained), x_test, y_test)
    print(f"{name} seed {seed}: float32 {accuracy:.2f} %; points lost: "
          + ", ".join(f"{way} {lost:.2f}" for way, lost in found.items()), flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=["step", "accuracy"], default=["step", "accuracy"])
    parser.add_argument("--seeds", type=int, default=3, help="how many, of accuracy")
    parser.add_argument("--epochs", type=int, default=1, help="of training for integers")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-wait", action="store_true", help="measure steps whatever else the machine does")
    parser.add_argument("--folder", type=pathlib.Path, default=turns.ROOT / "build" / "bench", help="of trained models")
    parser.add_argument("--serve", nargs=2, metavar=("MODEL", "WAY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve_steps(*given.serve, given.threads)
        return 0
    rows, passes, default = [], True, next(iter(WAYS))

    def add(name: str, what: str, value: str, bar: str, reached: bool, has_bar: bool) -> None:
        nonlocal passes
        passes = passes and (reached or not has_bar)
        rows.append([name, what, value, bar if has_bar else "", report.verdict(reached) if has_bar else ""])

    if "step" in given.parts:
        meter = None if given.no_wait else turns.Meter(given.threads)
        for name in STEPS:
            for way, (milliseconds, ratios) in measure_steps(name, given.threads, given.rounds, meter).items():
                ratio = statistics.median(ratios)
                spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
                add(name, f"step, {way}", f"{milliseconds:.1f} ms, {ratio:.2f} times ({spread})",
                    f"at most {STEP_BAR} times", ratio <= STEP_BAR, way == default)
    if "accuracy" in given.parts:
        given.folder.mkdir(parents=True, exist_ok=True)
        for name in quantization.RECIPES:
            runs = [measure_accuracy(name, seed, given.folder, given.epochs) for seed in range(given.seeds)]
            for way in WAYS:
                lost = [run[way] for run in runs]
                add(name, f"int8, {way}", f"{quantization.spread(lost)} points", f"at most {ACCURACY_BAR} points",
                    statistics.mean(lost) <= ACCURACY_BAR, way == default)
    print(report.table(["", "", "median or mean (least to most)", "bar", ""], rows))
    return int(not passes)


if __name__ == "__main__":
    sys.exit(main())
