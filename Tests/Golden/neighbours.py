#!/usr/bin/env python3
"""Computes in bfloat16 beside PyTorch and OpenVINO in one process: each has to give the bits that it gives alone.

Where the processor has tiles all three use them. A process has to be granted them, and a thread's are configured by
whoever used them last, so the three are made in every order that matters, called by turns in one thread, and called at
the same time by two threads that each go through all of them.

Each process prints what it found; the exit status is 1 where bits differ or a process is ended. What is not installed
is left out, and the last line says so. `make neighbours`.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

THREADS = 2
ROUNDS = 40  # Of calls by turns, and as many at the same time.
PATIENCE = 300  # Seconds for a process.


class Neighbour(NamedTuple):
    """A network in bfloat16."""

    call: Callable[[], Any]
    kernels: list[str]
    """The kernels that compute it."""


def images(channels: int, size: int) -> Any:
    """Float32, NHWC."""
    import numpy

    return numpy.random.default_rng(0).standard_normal((2, size, size, channels), dtype=numpy.float32)


def swiftcnn() -> Neighbour:
    """Ours: a ResNet-18."""
    import swiftcnn

    swiftcnn.set_num_threads(THREADS)
    model = swiftcnn.create_model(
        "resnet18", input_shape=(128, 128, 3), classifier_activation=None, dtype="bfloat16", seed=1)
    x = images(3, 128)
    return Neighbour(lambda: model.predict_on_batch(x), [row.instruction for row in model.precision()])


@contextlib.contextmanager
def captured() -> Iterator[list[str]]:
    """The lines that are written to the standard output in between, also by C."""
    lines: list[str] = []
    sys.stdout.flush()
    with tempfile.TemporaryFile("w+") as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield lines
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            lines += file.read().splitlines()


def torch() -> Neighbour:
    """PyTorch: convolutions and a dense layer by oneDNN."""
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(64, 128, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(128, 256, 1), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(4096, 512)).eval().to(torch.bfloat16)
    x = torch.from_numpy(images(64, 28)).permute(0, 3, 1, 2).to(torch.bfloat16)

    def call() -> Any:
        with torch.no_grad():
            return network(x).float().numpy()

    with captured() as lines, torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        call()
    return Neighbour(call, [line for line in lines if "exec," in line])


def openvino() -> Neighbour:
    """OpenVINO: two convolutions."""
    import numpy
    import openvino
    from openvino import opset13

    random = numpy.random.default_rng(1)
    source = opset13.parameter([2, 64, 28, 28], numpy.float32)
    last = source
    for shape in ((128, 64, 3, 3), (256, 128, 1, 1)):
        weights = random.standard_normal(shape, dtype=numpy.float32) / numpy.float32(shape[1] ** 0.5)
        border = [shape[2] // 2] * 2
        last = opset13.relu(opset13.convolution(last, opset13.constant(weights), [1, 1], border, border, [1, 1]))
    compiled = openvino.Core().compile_model(openvino.Model([last], [source], "two"), "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "bf16"})
    requests = threading.local()  # A request computes for one thread at a time.
    x = numpy.ascontiguousarray(images(64, 28).transpose(0, 3, 1, 2))

    def call() -> Any:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        return requests.own.infer([x])[0]

    kinds = (operation.get_rt_info()["primitiveType"].value for operation in compiled.get_runtime_model().get_ops())
    return Neighbour(call, list(kinds))


NEIGHBOURS: dict[str, Callable[[], Neighbour]] = {"swiftcnn": swiftcnn, "torch": torch, "openvino": openvino}


def digest(call: Callable[[], Any]) -> str:
    """Of the bits of a result."""
    return hashlib.sha256(call().tobytes()).hexdigest()[:16]


def together(names: list[str]) -> dict[str, Any]:
    """The kernels and the results of neighbours that share this process."""
    neighbours = {name: NEIGHBOURS[name]() for name in names}
    results: dict[str, set[str]] = {name: set() for name in names}
    failures: list[str] = []

    def go_round(order: list[str]) -> None:
        try:
            for _ in range(ROUNDS):
                for name in order:
                    results[name].add(digest(neighbours[name].call))
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")

    go_round(names)
    threads = [threading.Thread(target=go_round, args=(order,)) for order in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"failures": failures, "results": {name: sorted(found) for name, found in results.items()},
            "tiles": {name: any("amx" in kernel for kernel in neighbour.kernels)
                      for name, neighbour in neighbours.items()}}


def run(names: list[str]) -> dict[str, Any]:
    """What a process of its own answers; or why it does not."""
    try:
        done = subprocess.run([sys.executable, __file__, *names], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return {"failures": [f"no answer in {PATIENCE} s"], "results": {}, "tiles": {}}
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"status {done.returncode}"
        return {"failures": [f"ended by {how}: {said[-1]}"], "results": {}, "tiles": {}}
    return json.loads(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"{list(NEIGHBOURS)}: share a process, and are told of in JSON")
    given = parser.parse_args()
    if given.names:
        print(json.dumps(together(given.names)))
        return 0

    with open("/proc/cpuinfo") as file:
        has_tiles = "amx_bf16" in file.read().split()
    present = [name for name in NEIGHBOURS if importlib.util.find_spec(name)]
    others = [name for name in present if name != "swiftcnn"]
    groups = [[name] for name in present]
    groups += [order for other in others for order in (["swiftcnn", other], [other, "swiftcnn"])]
    if len(others) > 1:
        groups += [["swiftcnn", *others], [*others, "swiftcnn"]]
    alone: dict[str, list[str]] = {}
    failed = False
    for names in groups:
        answer = run(names)
        faults = answer["failures"]
        for name, found in answer["results"].items():
            expected = alone.setdefault(name, found)
            if len(expected) != 1:
                faults.append(f"{name} alone gives {len(expected)} results")
            elif found != expected:
                faults.append(f"{name} gives other bits than alone")
            if has_tiles and not answer["tiles"][name]:
                faults.append(f"{name} does not use tiles")
        failed |= bool(faults)
        print(f"{', '.join(names):<28} {'; '.join(faults) or 'the same bits in every call'}", flush=True)
    missing = [name for name in NEIGHBOURS if name not in present]
    notes = ([f"left out, not installed: {', '.join(missing)}"] if missing else []) + (
        [] if has_tiles else ["this processor has no tiles, so their use is not shown"]) + (
        [] if others else ["nobody was there to share a process with"])
    print("; ".join(notes) or ("failed" if failed else "all used tiles"))
    return int(failed or not others)


if __name__ == "__main__":
    sys.exit(main())
