#!/usr/bin/env python3
"""Makes a network's files for the engines: the same random weights for all, and the logits that PyTorch computes.

Weights and running statistics are those that `make parity` compares with: activations stay finite, and the logits
depend on the image. For int8 each engine's own quantiser looks at images of the kind that is measured. Files that
versions of today made already are kept. Prints a line of JSON: the versions, and why a file could not be made.
"""

import argparse
import contextlib
import json
import pathlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import turns

sys.path += [str(turns.ROOT / "Tests" / "Golden"), str(turns.ROOT / "bindings" / "python")]

import numpy
import parity
import quantizers
import safetensors.torch
import torch
from peers import BATCHES_OF_INPUT, INT8_FILES, Job

FORMAT = 1  # Another number makes all files anew.
CALIBRATION = 32  # Images; enough for a time, which does not depend on what they are.


def randomized(job: Job) -> torch.nn.Module:
    """The network in inference mode."""
    network = parity.randomized(job.model)
    parity.measured(network, torch.from_numpy(job._replace(batch=8).images(0)).permute(0, 3, 1, 2))
    return network


def weights(network: torch.nn.Module, job: Job) -> None:
    """For ours and PyTorch."""
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(state, job.folder / f"{job.model}.safetensors")


def logits(network: torch.nn.Module, job: Job) -> None:
    """What all are compared with."""
    with torch.no_grad():
        batches = [
            network(torch.from_numpy(job.images(number)).permute(0, 3, 1, 2)).numpy()
            for number in range(BATCHES_OF_INPUT)
        ]
    numpy.save(job.folder / f"{job.model}.logits.npy", numpy.stack(batches))


def onnx(network: torch.nn.Module, job: Job) -> None:
    """For ONNX Runtime and OpenVINO, with a batch of any size."""
    example = torch.zeros(2, 3, job.size, job.size)
    torch.onnx.export(
        network, (example,), job.folder / f"{job.model}.onnx", dynamo=True, external_data=False,
        input_names=["images"], output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("batch")},))


def ncnn(network: torch.nn.Module, job: Job) -> None:
    """For ncnn; pnnx would store the weights as float16 by itself."""
    import pnnx

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        pnnx.export(network, "network.pt", (torch.zeros(1, 3, job.size, job.size),), fp16=False)
        for suffix in ("param", "bin"):
            shutil.copy(f"network.ncnn.{suffix}", job.folder / f"{job.model}.ncnn.{suffix}")


def swiftcnn(network: torch.nn.Module, job: Job) -> None:
    """Our own file, as `save` writes it."""
    import swiftcnn

    model = swiftcnn.create_model(
        job.model, weights=job.file(".safetensors"), input_shape=(job.size, job.size, 3), classifier_activation=None)
    model.save(job.folder / f"{job.model}.swiftcnn.safetensors")


def int8(engine: str, job: Job) -> None:
    """What an engine's quantiser makes of its float file."""
    images = job.folder / f"{job.size}.calibration.npy"
    if not images.exists():
        numpy.save(images, job._replace(batch=CALIBRATION).images(BATCHES_OF_INPUT))
    quantizers.run(engine, job.model, job.file(quantizers.SOURCES[engine]), images,
                   job.folder / f"{job.model}{INT8_FILES[engine]}")


def versions() -> dict[str, str]:
    """Of what makes the files."""
    from importlib import metadata

    found = {"format": str(FORMAT), "python": sys.version.split()[0]}
    for package in ("torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime", "nncf", "pnnx"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def export(job: Job, is_int8: bool) -> dict[str, str]:
    """Makes what is not there; returns what could not be made and why."""
    steps: dict[str, Callable[[Any, Job], None]] = {
        step.__name__: step for step in (weights, logits, onnx, ncnn, swiftcnn)}
    if is_int8:
        steps |= {f"{engine} int8": lambda _, job, engine=engine: int8(engine, job) for engine in INT8_FILES}
    stamp = job.folder / f"{job.model}.made.json"
    key = {**versions(), "size": job.size}
    made = json.loads(stamp.read_text()) if stamp.exists() else {}
    is_current = made.get("key") == key
    done = made["done"] if is_current else []
    batch = max(job.batch, made["batch"] if is_current else 0)
    if is_current and job.batch > made["batch"]:
        done.remove("logits")
    # Ours always, since the library changes.
    steps = {name: step for name, step in steps.items() if name not in done or name.startswith("swiftcnn")}
    if not is_current:
        for path in job.folder.glob(f"{job.model}.*"):
            path.unlink()
    network = randomized(job) if steps.keys() & {"weights", "logits", "onnx", "ncnn"} else None
    if network and "weights" in done:  # Another number of threads could have rounded the statistics otherwise.
        network.load_state_dict(safetensors.torch.load_file(job.file(".safetensors")))
    failures = {}
    for name, step in steps.items():
        try:
            step(network, job)
            done.append(name)
        except Exception as error:
            said = " ".join(str(error).split())
            failures[name] = f"{type(error).__name__}: {said}"[:300]
    stamp.write_text(json.dumps({"key": key, "batch": batch, "done": sorted(set(done))}))
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True, help="the largest that will be compared")
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--int8", action="store_true", help="also the files of the engines' quantisers")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    given.folder.mkdir(parents=True, exist_ok=True)
    job = Job(given.model, given.size, given.batch, torch.get_num_threads(), given.folder.resolve())
    with contextlib.redirect_stdout(sys.stderr):
        failures = export(job, given.int8)
    print(json.dumps({"versions": versions(), "failures": failures}))


if __name__ == "__main__":
    main()
