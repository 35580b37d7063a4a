#!/usr/bin/env python3
"""PyTorch's training speed on the CIFAR ResNet-20: the peer of our own training benchmark.

One step is forward, cross-entropy, backward and SGD with momentum 0.9 on one resident batch, float32. Prints a line for
each image size and memory format, and with --json one JSON document instead. Run it alone on the machine.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Golden"))

import torch

import networks

FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def step_times(size, channels, memory_format, arguments):
    """Seconds of each measured step."""
    torch.manual_seed(0)
    network = networks.resnet20(channels).to(memory_format=memory_format).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    x = torch.randn(arguments.batch, channels, size, size).to(memory_format=memory_format)
    labels = torch.randint(0, 10, (arguments.batch,))
    seconds = []
    for step in range(arguments.warm_up + arguments.steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()
        if step >= arguments.warm_up:
            seconds.append(time.perf_counter() - start)
    return seconds


def matrix_product_rate(size=2048, repetitions=10):
    """GFLOP/s of the fastest of several float32 products: what the machine can do with these threads."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repetitions):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=30, help="measured steps")
    parser.add_argument("--warm-up", type=int, default=5, help="steps before them")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    load = os.getloadavg()[0]
    product = matrix_product_rate()
    rows = []
    for size, channels in ((32, 3), (28, 1)):
        for name, memory_format in FORMATS.items():
            seconds = step_times(size, channels, memory_format, arguments)
            median = statistics.median(seconds)
            rows.append({
                "input": [size, size, channels], "format": name, "median_ms": round(median * 1e3, 2),
                "fastest_ms": round(min(seconds) * 1e3, 2), "images_per_second": round(arguments.batch / median, 1),
            })
    document = {
        "torch": torch.__version__, "threads": arguments.threads, "batch": arguments.batch, "steps": arguments.steps,
        "load_average_before": round(load, 2), "matrix_product_gflops": round(product, 1), "rows": rows,
    }
    if arguments.json:
        print(json.dumps(document))
        return
    print(f"PyTorch {torch.__version__}, {arguments.threads} threads, batch {arguments.batch}, load before {load:.2f}, "
          f"2048³ product {product:.0f} GFLOP/s")
    for row in rows:
        print(f"{str(row['input']):>12} {row['format']:>14} {row['median_ms']:8.1f} ms "
              f"(fastest {row['fastest_ms']:.1f}) {row['images_per_second']:7.1f} images/s")


if __name__ == "__main__":
    main()
