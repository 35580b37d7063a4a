#!/usr/bin/env python3
"""What a call from Python costs beside the work of the network: predictions of one 224 x 224 image in a loop, and the sum
of the times that the profile of the same prediction gives its steps. The two take turns in one process, since they are of
one engine; the numbers are medians of the turns, of 50 calls each."""

import argparse
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bindings" / "python"))
MODELS = ("efficientnet_b0", "tf_efficientnet_lite0", "resnet18", "resnet50")
BAR = 1.03
CALLS = 50


def calls_of(model, x):
    """The median seconds of calls, by each of the ways to ask."""
    ways = {"predict": lambda: model.predict(x, verbose=0), "predict_on_batch": lambda: model.predict_on_batch(x)}
    medians = {}
    for name, call in ways.items():
        seconds = []
        for _ in range(CALLS):
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        medians[name] = statistics.median(seconds)
    return medians


def import_seconds(runs):
    """The median seconds of a process that imports all that models need, since the package alone reads its modules only
    when they are asked for, beyond those of one that imports NumPy alone."""

    def median(module):
        environment = {"PYTHONPATH": str(ROOT / "bindings" / "python")}
        seconds = []
        for _ in range(runs):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=environment)
            seconds.append(time.perf_counter() - begin)
        return statistics.median(seconds)

    median("swiftcnn.models")
    numpy = median("numpy")
    return median("swiftcnn.models") - numpy, numpy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--turns", type=int, default=7)
    given = parser.parse_args()
    import numpy
    import swiftcnn

    x = numpy.random.default_rng(0).standard_normal((1, 224, 224, 3), numpy.float32)
    print(f"{swiftcnn.get_num_threads()} threads, medians of {given.turns} turns; bar: {BAR}\n")
    print("| model | profile | predict | ratio | predict_on_batch | ratio |\n|---|---|---|---|---|---|")
    for name in given.models:
        model = swiftcnn.create_model(name)
        turns = []
        for _ in range(given.turns):
            turns.append({"profile": model.profile(x, repeats=CALLS).seconds} | calls_of(model, x))
        medians = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        ratios = {key: statistics.median(turn[key] / turn["profile"] for turn in turns) for key in turns[0]}
        print(f"| {name} | {1e3 * medians['profile']:.2f} ms | {1e3 * medians['predict']:.2f} ms "
              f"| {ratios['predict']:.3f} | {1e3 * medians['predict_on_batch']:.2f} ms "
              f"| {ratios['predict_on_batch']:.3f} |")
    ours, numpy_alone = import_seconds(15)
    print(f"\nimport swiftcnn.models: {1e3 * ours:.0f} ms beyond the {1e3 * numpy_alone:.0f} ms of a process with NumPy alone")


if __name__ == "__main__":
    main()
