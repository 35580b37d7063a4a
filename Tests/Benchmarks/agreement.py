#!/usr/bin/env python3
"""How often bfloat16 sees in a photo what float32 sees: EfficientNet-Lite0 with its published weights on random crops.

The crops are those that ImageNet's networks are trained on: a random part of a photo, of 8 % of its area to all, of an
aspect ratio between 3:4 and 4:3, at times mirrored. Where float32 is not sure itself, the first class is a matter of
chance, so the bar holds for the others. `make bench-agreement`; the exit status is 1 below the bar.
"""

import argparse
import collections
import json
import math
import pathlib
import sys
from typing import Any

import numpy
from PIL import Image

import swiftcnn

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHOTOS = ROOT / "build" / "photos"
WEIGHTS = PHOTOS / json.loads((ROOT / "Tests" / "Golden" / "photos.json").read_text())["weights"]
NAMES = (
    *(f"skimage/data/{name}" for name in (
        "astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
        "grass.png", "gravel.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg")),
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
)
SURE = 0.3  # The probability of float32's first class.
BAR = 0.99


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


def crops(count: int, size: int) -> Any:
    """So many crops, by turns of each photo, uint8 NHWC, the same in every run."""
    random = numpy.random.default_rng(0)
    photos = [Image.open(PHOTOS / name).convert("RGB") for name in NAMES]
    return numpy.stack([numpy.asarray(crop(photos[number % len(photos)], size, random)) for number in range(count)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=1, help="of a prediction")
    given = parser.parse_args()
    model = swiftcnn.create_model("tf_efficientnet_lite0", weights=WEIGHTS)
    images = crops(given.crops, model.input_shape[1])
    expected = model.predict(images, batch_size=given.batch, verbose=0)
    model.set_precision("bfloat16")
    found = model.predict(images, batch_size=given.batch, verbose=0)
    kinds = collections.Counter(f"{row.dtype} by {row.instruction}" for row in model.precision())
    print(f"layers in {', '.join(f'{kind}: {count}' for kind, count in kinds.most_common())}")

    agrees = expected.argmax(1) == found.argmax(1)
    is_sure = expected.max(1) >= SURE
    share = agrees[is_sure].mean()
    print(f"{given.crops} crops of {len(NAMES)} photos: the first class is the same in {agrees.mean():.2%}; "
          f"where float32 is {SURE} sure ({is_sure.sum()}) in {share:.2%}, at least {BAR:.0%}: "
          f"{'pass' if share >= BAR else 'below'}")
    print(f"the largest difference of a probability is {numpy.abs(expected - found).max():.3f}, "
          f"the mean one of the first class {numpy.abs(expected.max(1) - found.max(1)).mean():.4f}")
    return int(not share >= BAR)


if __name__ == "__main__":
    sys.exit(main())
