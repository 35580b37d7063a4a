#!/usr/bin/env python3
"""Reading pictures from folders beside torchvision: JPEG files of 500 x 375, a random resized crop to 224 and a flip, in
batches of 32, as pictures a second.

Each engine has a process of its own, and the two take turns; the numbers are medians of the turns, and the ratio is ours
by torchvision's. The first epoch of each process warms it up."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))


def make(folder, count):
    """Pictures with the sharpness of photos: areas, edges, and a camera's noise."""
    import numpy as np
    from PIL import Image, ImageFilter

    random = np.random.default_rng(3)
    for index in range(count):
        place = os.path.join(folder, f"class{index % 4}")
        os.makedirs(place, exist_ok=True)
        height, width = (375, 500) if index % 3 else (500, 375)
        coarse = Image.fromarray(random.integers(0, 256, (height // 25, width // 25, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noise = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        noise = np.asarray(noise.filter(ImageFilter.GaussianBlur(1.2)), np.int16)
        pixels = (smooth + noise // 2 - 64).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(os.path.join(place, f"{index}.jpg"), quality=90)


def ours(folder, threads, **options):
    import swiftcnn

    source = swiftcnn.ImageFolder(
        folder, random_resized_crop=True, horizontal_flip=True, threads=threads, drop_last=True, **options
    )
    return lambda: source


def torchvisions(folder, threads):
    import torch
    import torchvision
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    # Of Pillow's images, as in its presets; uint8, as ours.
    changes = v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    data = torchvision.datasets.ImageFolder(folder, changes)
    loader = torch.utils.data.DataLoader(
        data, 32, shuffle=True, drop_last=True, num_workers=threads, persistent_workers=threads > 0
    )
    return lambda: loader


ENGINES = {
    "swiftcnn": ours,
    "swiftcnn, reduced decoding": lambda folder, threads: ours(folder, threads, reduced_decoding=True),
    "torchvision": torchvisions,
}


def measure(engine, folder, threads, epochs):
    """Pictures a second over some epochs, after one that warms up."""
    begin = ENGINES[engine](folder, threads)
    count = sum(len(y) for _, y in begin())
    start = time.perf_counter()
    for _ in range(epochs):
        for _ in begin():
            pass
    print(json.dumps(count * epochs / (time.perf_counter() - start)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine:
        measure(given.engine, given.folder, given.threads, given.epochs)
        return
    rates = {engine: [] for engine in ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        make(folder, given.pictures)
        for _ in range(given.turns):
            for engine, found in rates.items():
                command = [sys.executable, __file__, "--engine", engine, "--folder", folder]
                command += ["--threads", str(given.threads), "--epochs", str(given.epochs)]
                found.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    peer = rates["torchvision"]
    print(f"pictures a second, {given.threads} threads or workers, medians of {given.turns} turns\n")
    print("| engine | pictures/s | ratio | of single turns |\n|---|---|---|---|")
    for engine, found in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(found, peer)]
        print(
            f"| {engine} | {statistics.median(found):.0f} | {statistics.median(ratios):.2f} | "
            f"{min(ratios):.2f} to {max(ratios):.2f} |"
        )


if __name__ == "__main__":
    main()
