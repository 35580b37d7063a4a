#!/usr/bin/env python3
"""Makes a network's files for the engines: the same random weights for all, and the logits that PyTorch computes.

Weights and running statistics are those that `make parity` compares with: activations stay finite, and the logits
depend on the image. Files that versions of today made already are kept. Prints a line of JSON: the versions, and why a
file could not be made.
"""

import argparse
import contextlib
import json
import pathlib
import shutil
import sys
import tempfile
import warnings

import turns

sys.path += [str(turns.ROOT / "Tests" / "Golden"), str(turns.ROOT / "bindings" / "python")]

import numpy
import parity
import safetensors.torch
import torch
from peers import BATCHES_OF_INPUT, Job

FORMAT = 1  # Another number makes all files anew.


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


def versions() -> dict[str, str]:
    """Of what makes the files."""
    from importlib import metadata

    found = {"format": str(FORMAT), "python": sys.version.split()[0]}
    for package in ("torch", "torchvision", "timm", "onnx", "onnxscript", "pnnx"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def export(job: Job) -> dict[str, str]:
    """Makes what is not there; returns what could not be made and why."""
    stamp = job.folder / f"{job.model}.made.json"
    key = {**versions(), "size": job.size}
    made = json.loads(stamp.read_text()) if stamp.exists() else {}
    is_current = made.get("key") == key
    done = made["done"] if is_current else []
    batch = max(job.batch, made["batch"] if is_current else 0)
    if is_current and job.batch > made["batch"]:
        done.remove(logits.__name__)
    steps = [step for step in (weights, logits, onnx, ncnn) if step.__name__ not in done]
    steps.append(swiftcnn)  # Always, since the library changes.
    if not is_current:
        for path in job.folder.glob(f"{job.model}.*"):
            path.unlink()
    network = randomized(job) if len(steps) > 1 else None
    if network and weights.__name__ in done:  # Another number of threads could have rounded the statistics otherwise.
        network.load_state_dict(safetensors.torch.load_file(job.file(".safetensors")))
    failures = {}
    for step in steps:
        try:
            step(network, job)
            done.append(step.__name__)
        except Exception as error:
            said = " ".join(str(error).split())
            failures[step.__name__] = f"{type(error).__name__}: {said}"[:300]
    done = [name for name in done if name != "swiftcnn"]
    stamp.write_text(json.dumps({"key": key, "batch": batch, "done": done}))
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True, help="the largest that will be compared")
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    given.folder.mkdir(parents=True, exist_ok=True)
    job = Job(given.model, given.size, given.batch, torch.get_num_threads(), given.folder.resolve())
    with contextlib.redirect_stdout(sys.stderr):
        failures = export(job)
    print(json.dumps({"versions": versions(), "failures": failures}))


if __name__ == "__main__":
    main()
