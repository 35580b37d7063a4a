#!/usr/bin/env python3
"""How often bfloat16 and int8 see in a photo what float32 sees: EfficientNet-Lite0 with its published weights on crops.

The crops are those that ImageNet's networks are trained on: a random part of a photo, of 8 % of its area to all, of an
aspect ratio between 3:4 and 4:3, at times mirrored. Where float32 is not sure itself, the first class is a matter of
chance, so one bar holds for the others. In int8 ranges come from other crops of the same photos; beside ours by every
method stand ONNX Runtime with its calibrators and NNCF, which quantise the ONNX file that PyTorch writes of the network
and look at the same images. The files are kept. ONNX Runtime and OpenVINO run our own ONNX file in integers as well, in
which a residual sum is rounded once more than here. `make bench-agreement`; the exit status is 1 below a bar.
"""

import argparse
import collections
import json
import math
import pathlib
import sys
import tempfile
from importlib import metadata
from typing import Any

import inference
import numpy
import quantizers
import report
import turns
from PIL import Image

import swiftcnn

PHOTOS = turns.ROOT / "build" / "photos"
WEIGHTS = PHOTOS / json.loads((turns.ROOT / "Tests" / "Golden" / "photos.json").read_text())["weights"]
NAMES = (
    *(f"skimage/data/{name}" for name in (
        "astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
        "grass.png", "gravel.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg")),
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
)
MODEL = "tf_efficientnet_lite0"
SURE = 0.3  # The probability of float32's first class.
BFLOAT16_BAR, INT8_BAR = 0.99, 0.97  # Of the crops for which float32 is sure.
METHODS = ("mse", "minmax", "percentile", "entropy")  # The first is the default, which has the bars.
CALIBRATORS = ("MinMax", "Entropy", "Percentile")
STRIDE = 10  # ONNX Runtime would keep the activations of all images.


def crop(photo: Image.Image, size: int, random: numpy.random.Generator) -> Image.Image:
    """A random part of a photo as a square."""
    while True:  # Not every aspect ratio fits with every area.
        area = photo.width * photo.height * random.uniform(0.08, 1)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if width <= photo.width and height <= photo.height:
            break
    left, top = random.uniform(0, photo.width - width), random.uniform(0, photo.height - height)
    part = photo.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + width, top + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else part


def crops(count: int, size: int, seed: int) -> Any:
    """So many crops, by turns of each photo, uint8 NHWC, the same in every run."""
    random = numpy.random.default_rng(seed)
    photos = [Image.open(PHOTOS / name).convert("RGB") for name in NAMES]
    return numpy.stack([numpy.asarray(crop(photos[number % len(photos)], size, random)) for number in range(count)])


def shares(expected: Any, found: Any) -> tuple[float, float]:
    """How often the first class is the same: of all crops, and of those for which float32 is sure."""
    agrees = expected.argmax(1) == found.argmax(1)
    return float(agrees.mean()), float(agrees[expected.max(1) >= SURE].mean())


def peers(
    images: Any, calibration: Any, mean: Any, deviation: Any, folder: pathlib.Path, own: pathlib.Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ONNX Runtime and OpenVINO compute of the images, uint8.

    In float32 and from the files of the quantisers, and from our own file in integers.
    """
    import exports
    import onnxruntime
    import openvino
    import photos

    def normalized(pixels: Any) -> Any:
        return ((pixels / numpy.float32(255) - mean) / deviation).astype(numpy.float32)

    def predictions(predict: Any) -> Any:
        return numpy.concatenate([
            predict(numpy.ascontiguousarray(normalized(image[None]).transpose(0, 3, 1, 2))) for image in images])

    def by_onnxruntime(file: pathlib.Path) -> Any:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return predictions(lambda x: session.run(None, {name: x})[0])

    def by_openvino(file: pathlib.Path) -> Any:
        network = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return predictions(lambda x: network(x)[0])

    def quantized(engine: str, name: str, *options: str) -> pathlib.Path:
        file = folder / f"photos.{len(calibration)}.{name}"
        if not file.exists():
            print(f"making {file.name}", flush=True)
            with tempfile.TemporaryDirectory() as place:
                looked_at = pathlib.Path(place) / "calibration.npy"
                numpy.save(looked_at, normalized(calibration))
                quantizers.run(engine, MODEL, source, looked_at, file, *options)
        return file

    job = exports.Job("photos", images.shape[1], 1, 1, folder)
    source = folder / f"{job.model}.onnx"
    if not source.exists():
        exports.onnx(photos.trained(), job)
    found = {"ONNX Runtime, float32": by_onnxruntime(source)}
    for name in CALIBRATORS:
        file = quantized("onnxruntime", f"{name}.onnx", "--method", name, "--stride", str(STRIDE))
        found[f"ONNX Runtime, {name}"] = by_onnxruntime(file)
    found["NNCF"] = by_openvino(quantized("openvino", "xml"))
    ours = {"ONNX Runtime": by_onnxruntime(own), "OpenVINO": by_openvino(own)}
    versions = {"onnxruntime": onnxruntime.__version__, "openvino": openvino.__version__.split("-")[0],
                "nncf": metadata.version("nncf")}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    return found, ours


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument("--calibration", type=int, default=300, help="crops that the quantisers look at, tens")
    parser.add_argument("--batch", type=int, default=1, help="of a prediction")
    parser.add_argument("--folder", type=pathlib.Path, default=turns.ROOT / "build" / "bench", help="of peers' files")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    model = swiftcnn.create_model(MODEL, weights=WEIGHTS)
    images = crops(given.crops, model.input_shape[1], 0)
    calibration = crops(given.calibration, model.input_shape[1], 1)

    def predictions(model: swiftcnn.Model) -> Any:
        return model.predict(images, batch_size=given.batch, verbose=0)

    expected = predictions(model)
    ours, own = {}, given.folder / "photos.own.onnx"
    for method in METHODS:
        small = swiftcnn.quantize(model, calibration, method, samples=given.calibration, report_samples=0)
        ours[f"SwiftCNN, int8, {method}"] = predictions(small)
        if method == METHODS[0]:
            small.export(own, layout="nchw")
    model.set_precision("bfloat16")
    ours["SwiftCNN, bfloat16"] = predictions(model)
    kinds = collections.Counter(f"{row.dtype} by {row.instruction}" for row in model.precision())
    model.set_precision("float32")
    theirs, of_own = peers(images, calibration, *model.normalization, given.folder, own)
    found = {name: shares(expected, rows) for name, rows in (ours | theirs).items()}

    print(f"{inference.machine()['processor']}; SwiftCNN {swiftcnn.__version__}; in bfloat16 layers are in "
          + ", ".join(f"{kind}: {count}" for kind, count in kinds.most_common()))
    default = f"SwiftCNN, int8, {METHODS[0]}"
    best = max(found[name][0] for name in theirs if "float32" not in name)
    bars = {"SwiftCNN, bfloat16": (f"at least {BFLOAT16_BAR:.0%} of those",
                                   found["SwiftCNN, bfloat16"][1] >= BFLOAT16_BAR),
            default: (f"more than {best:.1%} of all, at least {INT8_BAR:.0%} of those",
                      found[default][0] > best and found[default][1] >= INT8_BAR)}
    sure = int((expected.max(1) >= SURE).sum())
    print(report.table(
        [f"the first class is float32's in, of {given.crops} crops of {len(NAMES)} photos", "all",
         f"those where float32 is {SURE} sure ({sure})", "bar", ""],
        [[name, *(f"{share:.1%}" for share in found[name]),
          *((bars[name][0], report.verdict(bars[name][1])) if name in bars else ("", ""))] for name in found]))
    same = {name: shares(ours[default], rows) for name, rows in of_own.items()}
    reached = {name: share[1] >= INT8_BAR for name, share in same.items()}
    print(report.table(
        ["our ONNX file in integers: the first class is our integers'", "all", f"those of which ours are {SURE} sure",
         "bar", ""],
        [[name, *(f"{share:.1%}" for share in same[name]), f"at least {INT8_BAR:.0%} of those",
          report.verdict(reached[name])] for name in same]))
    return int(not all([*reached.values(), *(reached for _, reached in bars.values())]))


if __name__ == "__main__":
    sys.exit(main())
