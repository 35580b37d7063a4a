#!/usr/bin/env python3
"""Makes networks with half of the multiplications, by torch-pruning and by ours, of the same random weights.

torch-pruning's ratio is of the channels, so the one that leaves half of the multiplications is searched for; ours is
told to leave as many as theirs. Both are counted as hooks on PyTorch's layers count them: its own counter looks at
exact types. Both compare squares of weights in the whole network, and keep the classes. Writes for each rule of
rounding the files that `peers.py` reads, `MODEL.theirs-RULE.onnx` and `MODEL.ours-RULE.swiftcnn.safetensors`, each
with logits. Prints a line of JSON: the versions, the multiplications of the whole network, and by rule those that are
left on either side.
"""

import argparse
import contextlib
import copy
import json
import pathlib
import sys
import tempfile
import warnings
from importlib import metadata
from typing import Any

import exports
import numpy
import startup
import swiftcnn  # exports says where it is
import torch
import torch_pruning
from peers import BATCHES_OF_INPUT, Job

SHARE = 0.5
# By rule torch-pruning's and ours; it has none for speed, so ours is beside its best.
ROUNDINGS: dict[str, tuple[int | None, int | str]] = {"16": (16, 16), "odd": (None, 1), "fast": (16, "fast")}


def macs(network: torch.nn.Module, size: int) -> int:
    """Multiplications of convolutions and dense layers for an image, counted where they are."""
    total = 0

    def count(layer: Any, _: Any, result: torch.Tensor) -> None:
        nonlocal total
        total += layer.weight.numel() * (result[0, 0].numel() if result.ndim == 4 else 1)

    hooks = [layer.register_forward_hook(count) for layer in network.modules()
             if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
    with torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return total


def theirs(whole: torch.nn.Module, size: int, round_to: int | None) -> tuple[torch.nn.Module, int]:
    """The network whose multiplications are nearest to the share, and their number."""
    goal = SHARE * macs(whole, size)
    low, high = 0.0, 0.9
    best: tuple[torch.nn.Module, int] | None = None
    for _ in range(10):
        ratio = (low + high) / 2
        network = copy.deepcopy(whole)
        classifier = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)][-1]
        importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
        torch_pruning.pruner.BasePruner(
            network, torch.zeros(1, 3, size, size), importance, global_pruning=True, pruning_ratio=ratio,
            ignored_layers=[classifier], round_to=round_to).step()
        left = macs(network, size)
        if best is None or abs(left - goal) < abs(best[1] - goal):
            best = network, left
        low, high = (ratio, high) if left > goal else (low, ratio)
    assert best
    return best


def ours(job: Job, whole: torch.nn.Module, left: int, round_to: int | str) -> tuple[swiftcnn.Model, int]:
    """Our network of at most so many multiplications, and their number."""
    with tempfile.TemporaryDirectory() as folder:
        exports.weights(whole, job._replace(folder=pathlib.Path(folder)))
        model = swiftcnn.create_model(
            job.model, weights=f"{folder}/{job.model}.safetensors", input_shape=(job.size, job.size, 3),
            classifier_activation=None)
    small = swiftcnn.prune(model, macs=left, round_to=round_to)
    report = small.pruning_report()
    counted = macs(whole, job.size)
    if report.macs[0] != counted:
        raise ValueError(f"{job.model}: {report.macs[0]} multiplications by the report, {counted} by the hooks")
    return small, report.macs[1]


def make(job: Job) -> dict[str, Any]:
    """The files of a network, and what was counted."""
    whole = exports.randomized(job)
    found: dict[str, Any] = {"macs": macs(whole, job.size), "left": {}}
    made: dict[int | None, int] = {}
    for rule, (their_rounding, our_rounding) in ROUNDINGS.items():
        if their_rounding not in made:
            network, made[their_rounding] = theirs(whole, job.size, their_rounding)
            stem = job._replace(model=f"{job.model}.theirs-{rule}")
            exports.logits(network, stem)
            exports.onnx(network, stem)
        model, left = ours(job, whole, made[their_rounding], our_rounding)
        stem = job._replace(model=f"{job.model}.ours-{rule}")
        model.save(job.folder / f"{stem.model}{startup.FLOAT_FILE}")
        numpy.save(job.folder / f"{stem.model}.logits.npy", numpy.stack(
            [model.predict_on_batch(stem.images(number)) for number in range(BATCHES_OF_INPUT)]))
        found["left"][rule] = {"theirs": made[their_rounding], "ours": left}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    given.folder.mkdir(parents=True, exist_ok=True)
    job = Job(given.model, given.size, 1, torch.get_num_threads(), given.folder.resolve())
    with contextlib.redirect_stdout(sys.stderr):
        found = make(job)
    versions = {name: metadata.version(name) for name in ("torch-pruning", "torch", "onnxruntime", "openvino")}
    print(json.dumps(found | {"versions": versions}))


if __name__ == "__main__":
    main()
