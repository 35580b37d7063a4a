#!/usr/bin/env python3
"""Runs of a small program under limits of address space: each ends well or with MemoryError, none is ended by the system.
A part of `make soak`; takes some minutes.

    memory_limits.py [--runs 400] [--largest 200]
"""

import argparse
import collections
import os
import random
import resource
import signal
import sys
import tempfile

import numpy as np

import swiftcnn

WORKS, REFUSED, WRONG = 0, 7, 1
# Made before there is a limit, since NumPy imports a part of itself for it.
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)


def work(folder: str) -> None:
    """A little of everything."""
    x = IMAGES
    path = os.path.join(folder, f"{os.getpid()}.safetensors")
    model = swiftcnn.create_model("resnet20", input_shape=(32, 32, 3), classes=10)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(x, np.arange(8))
    model.evaluate(x, np.arange(8), verbose=0)
    model.save(path)
    loaded = swiftcnn.load_model(path)
    for count in range(1, 9):
        loaded.predict_on_batch(x[:count])
    loaded.summary(print_fn=lambda *_: None)
    os.unlink(path)


def run(left: int, folder: str) -> int:
    """What becomes of a child that has so many bytes left: its exit status, or a signal's negative number."""
    child = os.fork()
    if child == 0:
        status = WRONG
        try:
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115
            with open("/proc/self/statm") as file:
                size = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + left, resource.RLIM_INFINITY))
            work(folder)
            status = WORKS
        except MemoryError:
            status = REFUSED
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--largest", type=int, default=200, help="the largest room in MB")
    arguments = parser.parse_args()
    limits = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="memory-limits-") as folder:
        results = collections.Counter(
            run(limits.randrange(arguments.largest << 20), folder) for _ in range(arguments.runs)
        )
    names = {WORKS: "ended well", REFUSED: "were refused memory", WRONG: "FAILED otherwise"}
    for status, count in sorted(results.items(), reverse=True):
        print(f"{count} of {arguments.runs} {names.get(status) or 'were ENDED by ' + signal.Signals(-status).name}")
    return int(any(status not in (WORKS, REFUSED) for status in results))


if __name__ == "__main__":
    sys.exit(main())
