#!/usr/bin/env python3
"""What calibration costs: the time and the memory of `swiftcnn.quantize` beside those of predicting the same images, for
every method. `make bench-calibration`; wants an idle machine. (`make bench-inference` measures the peers' quantisers.)

    calibration.py [--models resnet50 efficientnet_b0] [--images 300] [--rounds 3]

Each measurement is a process of its own, in which model and images are made before the clock starts. "calibrate" is
`quantize` without the report's noise, "quantize" the call as it is by default.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import swiftcnn

METHODS = ("minmax", "percentile", "entropy", "mse")
SIZES = {"resnet20": 32}  # The others' images have 224 pixels a side.
LIMIT = 1.5  # What calibration may take, beside predicting.


def images(model: str, count: int) -> np.ndarray:
    """Blocks of random colours with noise on them, so that neighbouring pixels are alike."""
    size = SIZES.get(model, 224)
    random = np.random.default_rng(0)
    coarse = random.integers(0, 128, (count, size // 8, size // 8, 3), np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2) + random.integers(0, 128, (count, size, size, 3), np.uint8)


def work(name: str, part: str, count: int) -> None:
    """Runs one part and prints its seconds, and by how many megabytes it raised the most that this process has had."""
    x = images(name, count)
    model = swiftcnn.create_model(name, input_shape=x.shape[1:])
    model.predict(x[:8], verbose=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if part == "predict":
        model.predict(x, verbose=0)
    else:
        what, method = part.split()
        swiftcnn.quantize(model, x, method, samples=count, **({"report_samples": 0} if what == "calibrate" else {}))
    seconds = time.perf_counter() - start
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": seconds, "megabytes": megabytes}))


def measure(name: str, part: str, count: int) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--work", name, part, "--images", str(count)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models", nargs="+", default=["resnet50", "efficientnet_b0", "tf_efficientnet_lite0", "resnet20"])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(*arguments.work, arguments.images)
        return 0
    slow = []
    parts = ["predict"] + [f"{what} {method}" for what in ("calibrate", "quantize") for method in METHODS]
    print(f"{arguments.images} images, the median of {arguments.rounds} rounds; as a multiple of predicting them (spread)")
    for name in arguments.models:
        rounds = [{part: measure(name, part, arguments.images) for part in parts} for _ in range(arguments.rounds)]
        for part in parts:
            ratios = [results[part]["seconds"] / results["predict"]["seconds"] for results in rounds]
            seconds, megabytes = (
                statistics.median(results[part][key] for results in rounds) for key in ("seconds", "megabytes"))
            ratio = statistics.median(ratios)
            print(
                f"{name:22} {part:20} {seconds:7.2f} s {ratio:6.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                f" {megabytes:7.0f} MB more", flush=True)
            if part.startswith("calibrate") and ratio > LIMIT:
                slow.append(f"{name}, {part}: {ratio:.2f}")
    for line in slow:
        print(f"more than {LIMIT} times as long as predicting: {line}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
