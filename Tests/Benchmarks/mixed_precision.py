#!/usr/bin/env python3
"""What training in mixed bfloat16 costs in accuracy: the networks of `quantization.py` on Fashion-MNIST, trained by the
same recipe in float32 and in mixed bfloat16, without a scale of the loss. Top-1 on the 10,000 test images, predicted in
float32, of some seeds: `make bench-mixed`; the exit status is 1 where the bar is not reached.
"""

import pathlib
import statistics
import sys

import inference
import quantization
import report

import swiftcnn

BAR = 0.2  # Points that the mean of the seeds may lose.


def measure(name: str, seed: int, folder: pathlib.Path) -> tuple[float, float]:
    """Top-1 after training in float32, and in mixed bfloat16."""
    _, (x, y) = swiftcnn.datasets.fashion_mnist()
    found = []
    for dtype in ("float32", "mixed_bfloat16"):
        model = quantization.trained(name, seed, folder, dtype)
        model.set_precision("float32")
        found.append(quantization.points(model, x, y))
    print(f"{name} seed {seed}: float32 {found[0]:.2f} %, mixed bfloat16 {found[1]:.2f} %", flush=True)
    return found[0], found[1]


def main() -> int:
    given = quantization.arguments(__doc__.splitlines()[0])
    rows, passes = [], True
    for name in given.models:
        runs = [measure(name, seed, given.folder) for seed in range(given.seeds)]
        lost = [full - mixed for full, mixed in runs]
        reached = statistics.mean(lost) <= BAR
        passes = passes and reached
        rows.append([name, quantization.spread([full for full, _ in runs]), quantization.spread([row[1] for row in runs]),
                     quantization.spread(lost), f"at most {BAR}", report.verdict(reached)])
    print(f"\n{inference.machine()['processor']}; SwiftCNN {swiftcnn.__version__}; {given.seeds} seeds\n")
    print(report.table(["", "float32, % right", "mixed bfloat16, % right", "points lost: mean (least to most)", "bar", ""],
                       rows))
    return int(not passes)


if __name__ == "__main__":
    sys.exit(main())
