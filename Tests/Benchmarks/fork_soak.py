#!/usr/bin/env python3
"""Forks while other threads are at work in the library: no child is ended or hangs, and in each the library works, or says
what another thread was changing. `make fork-soak`; takes some minutes.

    fork_soak.py [--forks 200] [--seconds 20]
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import numpy as np

import swiftcnn

SHAPE = (16, 16, 3)


def small_model(seed: int) -> swiftcnn.models.Model:
    return swiftcnn.create_model("resnet20", input_shape=SHAPE, classes=5, seed=seed)


class Scene:
    """What threads do over and over, and what a child tries."""

    def __init__(self) -> None:
        self.images = np.random.default_rng(0).integers(0, 256, (8, *SHAPE)).astype(np.uint8)
        self.model = small_model(0)
        self.expected = self.model.predict_on_batch(self.images[:2])
        self.folder = tempfile.TemporaryDirectory(prefix="fork-soak-")
        self.path = os.path.join(self.folder.name, "m.safetensors")
        self.model.save(self.path)
        self.trained = small_model(1)
        self.trained.compile("sgd", "sparse_categorical_crossentropy")
        self.loaded = small_model(2)
        self.random = np.random.default_rng(1)

    def handles(self) -> None:
        swiftcnn.models.Sequential([swiftcnn.layers.Input(SHAPE), swiftcnn.layers.Flatten()])

    def one_size(self) -> None:
        self.model.predict_on_batch(self.images[:2])

    def changing_sizes(self) -> None:
        self.model.predict_on_batch(self.images[: self.random.integers(1, 9)])

    def training(self) -> None:
        self.trained.train_on_batch(self.images, np.arange(8) % 5)

    def loading(self) -> None:
        swiftcnn.load_model(self.path)
        self.loaded.load_weights(self.path)

    def try_everything(self) -> int:
        """In the child: 0 where all is well."""
        if not np.array_equal(self.model.predict_on_batch(self.images[:2]), self.expected):
            return 1
        self.model.predict_on_batch(self.images[:3])
        for shared in (self.trained, self.loaded):
            try:
                shared.predict_on_batch(self.images[:2])
            except RuntimeError as error:
                if "when this process was forked" not in str(error):
                    return 2
        fresh = swiftcnn.load_model(self.path)
        fresh.compile("sgd", "sparse_categorical_crossentropy")
        fresh.train_on_batch(self.images, np.arange(8) % 5)
        return 0


def fork(scene: Scene, seconds: float) -> str:
    """Makes a child; "" where all is well, else what became of it."""
    child = os.fork()
    if child == 0:
        status = 3
        try:
            status = scene.try_everything()
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            if os.WIFSIGNALED(status):
                return f"ended by signal {os.WTERMSIG(status)}"
            return "" if os.WEXITSTATUS(status) == 0 else f"failed ({os.WEXITSTATUS(status)})"
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def soak(name: str, work: Callable[[], None], scene: Scene, forks: int, seconds: float) -> bool:
    """Forks so often while two threads do `work`."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    results = [fork(scene, seconds) for _ in range(forks)]
    stop.set()
    for thread in threads:
        thread.join()
    wrong = [result for result in results if result]
    counts = ", ".join(f"{wrong.count(result)} {result}" for result in sorted(set(wrong)))
    print(f"{name}: {forks} forks, {counts or 'all children well'}", *failures, flush=True)
    return not wrong and not failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forks", type=int, default=200, help="of each kind; there are five")
    parser.add_argument("--seconds", type=float, default=60, help="after which a child counts as hung")
    arguments = parser.parse_args()
    scene = Scene()
    kinds = (scene.handles, scene.changing_sizes, scene.one_size, scene.training, scene.loading)
    good = [soak(kind.__name__, kind, scene, arguments.forks, arguments.seconds) for kind in kinds]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
