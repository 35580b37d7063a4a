#!/usr/bin/env python3
"""One, two and four processes that predict at the same time, with their threads bound to processors and without: images a
second of all of them together, and the ratio. `make bench-processes`; wants an idle machine.

    processes.py [--model resnet18] [--seconds 10] [--rounds 3]
"""

import argparse
import multiprocessing
import os
import statistics
import time
from multiprocessing.synchronize import Barrier


def predict(model_name: str, seconds: float, pins: bool, start: Barrier, results: "multiprocessing.Queue[float]") -> None:
    """Counts the images that this process predicts in so much time, beside the others."""
    os.environ["SWIFTCNN_PIN"] = "1" if pins else "0"
    import numpy as np  # noqa: PLC0415
    import swiftcnn  # noqa: PLC0415

    model = swiftcnn.create_model(model_name)
    images = np.zeros((4, *model.input_shape[1:]), np.uint8)
    model.predict_on_batch(images)
    start.wait()
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        model.predict_on_batch(images)
        count += len(images)
    results.put(count / seconds)


def measure(model_name: str, seconds: float, processes: int, pins: bool) -> float:
    """Images a second of so many processes together."""
    # Children of one parent, which has not loaded the library: each reads the environment by itself.
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(processes), context.Queue()
    children = [
        context.Process(target=predict, args=(model_name, seconds, pins, start, results)) for _ in range(processes)
    ]
    for child in children:
        child.start()
    total = sum(results.get(timeout=60 + 10 * seconds) for _ in children)
    for child in children:
        child.join()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{arguments.model}, {len(os.sched_getaffinity(0))} processors, images a second of all processes together")
    print("processes   bound  not bound  bound / not bound")
    for processes in (1, 2, 4):
        pairs = [
            tuple(measure(arguments.model, arguments.seconds, processes, pins) for pins in (True, False))
            for _ in range(arguments.rounds)
        ]
        bound, free = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        print(f"{processes:9}  {bound:6.1f}  {free:9.1f}  {ratio:17.2f}", flush=True)


if __name__ == "__main__":
    main()
