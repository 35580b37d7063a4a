#!/usr/bin/env python3
"""Makes a network's file in int8 by an engine's own quantiser, as its documentation recommends for CPUs.

Calibration images are float32 NHWC, normalised, in a .npy file. A function of this file imports the quantiser and gives
its version and what makes the file. LiteRT's tools need an older PyTorch than the others', so they have an environment
of their own. As a program it makes one file, and prints a line of JSON: the version, the seconds from the float file to
the int8 file, and the largest memory in MB.
"""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import startup
import turns

LITERT_PYTHON = turns.ROOT / "build" / "litert-venv" / "bin" / "python"


class Task(NamedTuple):
    """What is to be quantised."""

    model: str
    source: str
    images: Any
    result: str
    method: str = ""  # Empty: the quantiser's default.
    stride: int = 0  # How many images ONNX Runtime keeps all activations of; 0: its default, all.


Quantizer = tuple[str, Callable[[], None]]


def swiftcnn(task: Task) -> Quantizer:
    """Ours; the source is a model file."""
    sys.path.append(str(turns.ROOT / "bindings" / "python"))
    import swiftcnn

    def make() -> None:
        method = {"method": task.method} if task.method else {}
        model = swiftcnn.load_model(task.source)
        swiftcnn.quantize(model, task.images, samples=len(task.images), report_samples=0, **method).save(task.result)

    return swiftcnn.__version__, make


def onnxruntime(task: Task) -> Quantizer:
    """ONNX Runtime's static quantiser: pairs, unsigned activations, signed weights with a scale a channel."""
    import onnxruntime
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        """Gives the images one by one."""

        def __init__(self) -> None:
            self.set_range(0, len(task.images))

        def __len__(self) -> int:
            return len(task.images)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.rest = iter(task.images[start_index:end_index])

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.rest, None)
            return None if image is None else {"images": image.transpose(2, 0, 1)[None]}

    def make() -> None:
        with tempfile.TemporaryDirectory() as folder:
            prepared = f"{folder}/prepared.onnx"
            quant_pre_process(task.source, prepared)
            quantization.quantize_static(
                prepared, task.result, Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
                activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod[task.method or "MinMax"],
                extra_options={"CalibStridedMinMax": task.stride} if task.stride else {})

    return onnxruntime.__version__, make


def openvino(task: Task) -> Quantizer:
    """NNCF's default, on OpenVINO's form of the network."""
    import nncf
    import openvino

    def make() -> None:
        # `read_model` would hide from NNCF that depthwise weights are constants, and they would be computed in float32.
        network = openvino.convert_model(task.source)
        data = nncf.Dataset([image.transpose(2, 0, 1)[None] for image in task.images])
        quantized = nncf.quantize(network, data, subset_size=len(task.images))
        openvino.save_model(quantized, task.result, compress_to_fp16=False)

    return nncf.__version__, make


def litert(task: Task) -> Quantizer:
    """LiteRT's static recipe, on the network with images NHWC; the source is PyTorch's weights."""
    sys.path.append(str(turns.ROOT / "Tests" / "Golden"))
    from importlib import metadata

    import litert_torch
    import networks
    import safetensors.torch
    import torch
    from ai_edge_quantizer import quantizer, recipe

    network = networks.named(task.model, classes=1000).eval()
    network.load_state_dict(safetensors.torch.load_file(task.source))
    network = litert_torch.to_channel_last_io(network, args=[0]).eval()

    def make() -> None:
        converted = litert_torch.convert(network, (torch.from_numpy(task.images[:1]),))
        with tempfile.TemporaryDirectory() as folder:
            converted.export(f"{folder}/float.tflite")
            maker = quantizer.Quantizer(f"{folder}/float.tflite", recipe.static_wi8_ai8())
            ranges = maker.calibrate({"serving_default": [{"args_0": image[None]} for image in task.images]})
            maker.quantize(ranges).export_model(task.result, overwrite=True)

    return metadata.version("ai-edge-quantizer"), make


QUANTIZERS: dict[str, Callable[[Task], Quantizer]] = {
    "swiftcnn": swiftcnn, "onnxruntime": onnxruntime, "openvino": openvino, "litert": litert}
# The float files, as `exports.py` makes them.
SOURCES = {"swiftcnn": startup.FLOAT_FILE, "onnxruntime": ".onnx", "openvino": ".onnx", "litert": ".safetensors"}


def run(engine: str, model: str, source: str | os.PathLike[str], images: str | os.PathLike[str],
        result: str | os.PathLike[str], *options: str) -> dict[str, Any]:
    """Makes a file in a process of its own; what that printed.

    Raises:
        turns.Failure: the process failed; its last words say why.
    """
    python = LITERT_PYTHON if engine == "litert" else pathlib.Path(sys.executable)
    if not python.exists():
        raise turns.Failure(f"{python} is not there: make build/litert-venv/ready")
    done = subprocess.run([python, __file__, engine, model, source, images, result, *options],
                          capture_output=True, text=True)
    if done.returncode:
        raise turns.Failure((done.stderr.strip() or f"it ended with status {done.returncode}").splitlines()[-1][:300])
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=QUANTIZERS)
    parser.add_argument("model", help="the network's name")
    parser.add_argument("source", help="its float file")
    parser.add_argument("images", type=pathlib.Path, help=".npy")
    parser.add_argument("result", help="the file to make")
    parser.add_argument("--method", default="")
    parser.add_argument("--stride", type=int, default=0)
    parser.add_argument("--count", type=int, help="so many images, the given ones again and again")
    given = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        import numpy

        images = numpy.load(given.images)
        if given.count:
            images = numpy.resize(images, (given.count, *images.shape[1:]))
        version, make = QUANTIZERS[given.engine](
            Task(given.model, given.source, images, given.result, given.method, given.stride))
        begin = time.perf_counter()
        make()
        seconds = time.perf_counter() - begin
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"version": version, "seconds": seconds, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
