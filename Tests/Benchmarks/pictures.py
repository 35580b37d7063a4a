#!/usr/bin/env python3
"""Reading pictures beside Pillow: a JPEG file of 12 megapixels decoded, resized and normalised, and the bytes compared
over many sizes and filters.

Both are called in turns in one process; each row gives the medians and their ratio, Pillow's time by ours."""

import argparse
import io
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "bindings", "python"))

import numpy as np
import PIL
from PIL import Image, ImageFilter, ImageOps, features

import swiftcnn
from swiftcnn import utils

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


def photo(height=3000, width=4000):
    """Something with the sharpness of a photo: areas, edges, and a camera's noise."""
    random = np.random.default_rng(7)
    coarse = Image.fromarray(random.integers(0, 256, (height // 50, width // 50, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noise = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).filter(ImageFilter.GaussianBlur(1.2))
    picture = smooth + np.asarray(noise, np.int16) // 2 - 64
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def by_pillow(path, rule):
    """What torchvision's presets do: read, resize the shorter side, cut out the middle, normalise."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    resize, (height, width) = rule["resize"], rule["crop"]
    shorter, longer = sorted(image.size)
    length = int(resize * longer / shorter)
    size = (resize, length) if image.width <= image.height else (length, resize)
    image = image.resize(size, getattr(Image.Resampling, rule["interpolation"].upper()))
    top, left = round((image.height - height) / 2), round((image.width - width) / 2)
    image = image.crop((left, top, left + width, top + height))
    return ((np.asarray(image, np.float32) / 255 - MEAN) / STD)[None]


def turns(name, pillow, ours, repeats):
    times = ([], [])
    for _ in range(repeats):
        for found, body in zip(times, (pillow, ours)):
            start = time.perf_counter()
            body()
            found.append(time.perf_counter() - start)
    a, b = (1000 * statistics.median(found) for found in times)
    ratios = [x / y for x, y in zip(*times)]
    print(f"| {name} | {a:.1f} | {b:.1f} | {a / b:.2f} | {min(ratios):.2f} to {max(ratios):.2f} |", flush=True)


def speed(repeats, threads):
    if threads:
        swiftcnn.set_num_threads(threads)
    picture = photo()
    print(f"\nmilliseconds, {swiftcnn.get_num_threads()} threads here, one in Pillow\n")
    print("| 4000 x 3000 | Pillow | SwiftCNN | ratio | of single turns |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        turned = Image.Exif()
        turned[0x0112] = 6
        files = {
            "JPEG, 4:2:0": ("a.jpg", {"quality": 90}), "JPEG, turned": ("b.jpg", {"quality": 90, "exif": turned}),
            "JPEG, 4:4:4": ("c.jpg", {"quality": 90, "subsampling": 0}),
            "JPEG, progressive": ("d.jpg", {"quality": 90, "progressive": True}), "PNG": ("e.png", {}),
        }
        for name, (file, options) in files.items():
            path = os.path.join(folder, file)
            picture.save(path, **options)
            size = os.path.getsize(path) / 1e6
            for model_name in ("resnet18", "efficientnet_b0") if file == "a.jpg" else ("resnet18",):
                model = swiftcnn.create_model(model_name)
                rule = model.preprocessing
                expected, found = by_pillow(path, rule), model.preprocess(path, "float32")
                worst = float((np.abs(expected - found) * STD * 255).max())
                assert worst < 1.01, worst
                turns(
                    f"{name}, {size:.1f} MB, to {rule['resize']} ({rule['interpolation']}) and 224, normalised",
                    lambda: by_pillow(path, rule), lambda: model.preprocess(path, "float32"),
                    repeats if file != "e.png" else max(3, repeats // 4))
            if file == "a.jpg":
                turns("decoding alone", lambda: np.asarray(Image.open(path)), lambda: utils.load_img(path), repeats)
                contents = io.BytesIO()
                picture.resize((500, 375)).save(contents, "JPEG", quality=90)
                small = os.path.join(folder, "small.jpg")
                open(small, "wb").write(contents.getvalue())
                model = swiftcnn.create_model("resnet18")
                turns("a small one, 500 x 375", lambda: by_pillow(small, rule), lambda: model.preprocess(small, "float32"),
                      5 * repeats)


def differences(count):
    """The largest difference from Pillow over random sizes, of files read, turned and resized."""
    random = np.random.default_rng(11)
    source = np.asarray(photo(400, 500))
    worst, unlike = {name: 0 for name in FILTERS}, 0
    for _ in range(count):
        height, width, rows, columns = (int(size) for size in random.integers(1, [400, 500, 450, 450]))
        image = Image.fromarray(source[:height, :width])
        if random.random() < 0.3:
            image = image.convert("L")
        name = FILTERS[random.integers(6)]
        exif = Image.Exif()
        exif[0x0112] = int(random.integers(1, 9))
        file = io.BytesIO()
        image.save(file, "JPEG" if random.random() < 0.5 else "PNG", exif=exif)
        upright = ImageOps.exif_transpose(Image.open(file))
        mode = "grayscale" if upright.mode == "L" else "rgb"
        expected = np.asarray(upright.resize((columns, rows), getattr(Image.Resampling, name.upper())), np.int16)
        found = utils.load_img(file.getvalue(), mode, (rows, columns), name).astype(np.int16)
        difference = int(np.abs(found.reshape(expected.shape) - expected).max())
        worst[name] = max(worst[name], difference)
        unlike += difference > 0
    print(f"\n{count} random pictures, sizes and filters: the largest difference from Pillow's bytes")
    print(", ".join(f"{name} {value}" for name, value in worst.items()), f"({unlike} pictures differ)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=3000, help="how many are compared")
    arguments = parser.parse_args()
    print(f"Pillow {PIL.__version__} (libjpeg-turbo {features.version_feature('libjpeg_turbo')})")
    speed(arguments.repeats, arguments.threads)
    differences(arguments.pictures)


if __name__ == "__main__":
    main()
