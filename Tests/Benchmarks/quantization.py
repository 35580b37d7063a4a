#!/usr/bin/env python3
"""What int8 costs in accuracy: networks trained on Fashion-MNIST, quantised after a look at 512 of the images.

A ResNet-20, and an EfficientNet of half the width with squeeze and excitation, whose strides are for images of 28x28;
each trained from some seeds, one cycle of the learning rate up to 0.1 or 0.2. The files of the trained models are kept,
so that a repetition only quantises. The loss is top-1 on the 10,000 test images in float32 less that in int8, in
points: `make bench-quantization`; the exit status is 1 where a bar is not reached.
"""

import argparse
import pathlib
import statistics
import sys
from typing import Any, NamedTuple

import inference
import report
import turns

import swiftcnn

MEAN, DEVIATION = 0.2860, 0.3530  # Of the training images.
BATCH, CALIBRATION = 128, 512
METHODS = ("mse", "minmax", "percentile", "entropy")  # The first is the default, which has the bar.
BAR = 0.3  # Points of the default method, in the mean of the seeds.
# Kind, kernel, stride, expansion, channels and repetitions: five stages of EfficientNet-B0 (Tan and Le 2019, table 1),
# with a stride of 2 once.
STAGES = [
    {"kind": "mbconv", "kernel": kernel, "stride": stride, "expand_ratio": ratio, "channels": channels,
     "repeats": repeats, "se_ratio": 0.25}
    for kernel, stride, ratio, channels, repeats in (
        (3, 1, 1, 16, 1), (3, 1, 6, 24, 2), (5, 2, 6, 40, 2), (3, 1, 6, 80, 2), (5, 1, 6, 112, 2))
]


class Recipe(NamedTuple):
    """A network and how it is trained."""

    model: str
    options: dict[str, Any]
    rate: float
    epochs: int


RECIPES = {"resnet20": Recipe("resnet20", {}, 0.1, 2),
           "efficientnet": Recipe("efficientnet_b0", {"width_coefficient": 0.5, "stages": STAGES}, 0.2, 5)}


def trained(name: str, seed: int, folder: pathlib.Path, dtype: str = "float32") -> swiftcnn.Model:
    """A model that was trained in this precision, of its file where there is one."""
    recipe = RECIPES[name]
    precision = "" if dtype == "float32" else f".{dtype}"
    file = folder / f"{name}.fashion.{recipe.epochs}.{seed}{precision}.safetensors"
    if file.exists():
        return swiftcnn.load_model(file)
    (x, y), _ = swiftcnn.datasets.fashion_mnist()
    model = swiftcnn.create_model(
        recipe.model, input_shape=x.shape[1:], classes=10, seed=seed, mean=[MEAN], std=[DEVIATION], dtype=dtype,
        **recipe.options)
    model.compile(
        optimizer=swiftcnn.optimizers.SGD(
            swiftcnn.schedules.OneCycle(recipe.rate), momentum=0.9, nesterov=True, weight_decay=5e-4, decoupled=False,
            decay_all=False),
        loss="sparse_categorical_crossentropy", metrics=["accuracy"], seed=seed)
    model.fit(x, y, batch_size=BATCH, epochs=recipe.epochs, verbose=0, horizontal_flip=True)
    model.save(file, include_optimizer=False)
    return model


def points(model: swiftcnn.Model, x: Any, y: Any) -> float:
    """Top-1 in percent."""
    return float(100 * (model.predict(x, batch_size=250, verbose=0).argmax(1) == y).mean())


def measure(name: str, seed: int, folder: pathlib.Path) -> dict[str, float]:
    """Top-1 in float32, and what each way to int8 loses of it, in points."""
    model = trained(name, seed, folder)
    (x, _), (x_test, y_test) = swiftcnn.datasets.fashion_mnist()
    accuracy = points(model, x_test, y_test)
    found = {"float32": accuracy}
    for method in METHODS:
        small = swiftcnn.quantize(model, x[:CALIBRATION], method, samples=CALIBRATION, report_samples=0)
        found[method] = accuracy - points(small, x_test, y_test)
    print(f"{name} seed {seed}: float32 {accuracy:.2f} %; points lost: "
          + ", ".join(f"{way} {found[way]:.2f}" for way in METHODS), flush=True)
    return found


def spread(values: list[float]) -> str:
    """Mean, and from the least to the most."""
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def arguments(description: str) -> argparse.Namespace:
    """What the command line says of the networks; the folder is there then, and the threads are set."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--models", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=pathlib.Path, default=turns.ROOT / "build" / "bench", help="of trained models")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    swiftcnn.set_num_threads(given.threads)
    return given


def main() -> int:
    given = arguments(__doc__.splitlines()[0])
    rows, passes = [], True
    for name in given.models:
        runs = [measure(name, seed, given.folder) for seed in range(given.seeds)]
        rows.append([name, "float32", spread([run["float32"] for run in runs]) + " % right", "", ""])
        for way in METHODS:
            lost = [run[way] for run in runs]
            reached = statistics.mean(lost) <= BAR
            is_default = way == METHODS[0]
            passes = passes and (reached or not is_default)
            rows.append([name, f"int8, {way}", spread(lost), f"at most {BAR}" if is_default else "",
                         report.verdict(reached) if is_default else ""])
    print(f"\n{inference.machine()['processor']}; SwiftCNN {swiftcnn.__version__}; {given.seeds} seeds, calibration on "
          f"{CALIBRATION} images\n")
    print(report.table(["", "", "points lost: mean (least to most)", "bar", ""], rows))
    return int(not passes)


if __name__ == "__main__":
    sys.exit(main())
