"""Quantises a model of Fashion-MNIST, and shows it beside what it was: size, time of an image, accuracy.

    python3 quantize.py [build/fashion_mnist.safetensors] [build/fashion_mnist.int8.safetensors]

`fashion_mnist.py` makes the first file. Ranges of activations are looked up on 512 training images.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from typing import Any

import swiftcnn
from swiftcnn import datasets


def milliseconds(model: swiftcnn.Model, image: Any) -> float:
    """The median of a few hundred predictions of one image."""
    times = []
    for _ in range(500):
        begin = time.perf_counter()
        model.predict_on_batch(image)
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def kilobytes(model: swiftcnn.Model) -> float:
    """The size of the model's file, without what training goes on from."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.safetensors")
        model.save(path, include_optimizer=False)
        return os.path.getsize(path) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description="Quantises a model of Fashion-MNIST, and shows it beside what it was.")
    parser.add_argument("path", nargs="?", default="build/fashion_mnist.safetensors", help="the model")
    parser.add_argument("quantized", nargs="?", default="build/fashion_mnist.int8.safetensors", help="where it goes")
    arguments = parser.parse_args()

    (x, _), (x_test, y_test) = datasets.fashion_mnist()
    model = swiftcnn.load_model(arguments.path)
    small = swiftcnn.quantize(model, x[:512], samples=512)
    small.save(arguments.quantized)

    print(f"{'':<8}{'file':>10}{'one image':>13}{'test accuracy':>17}")
    for name, network in {"float32": model, "int8": small}.items():
        accuracy = float((network.predict(x_test, batch_size=256, verbose=0).argmax(1) == y_test).mean())
        time_of_one = milliseconds(network, x_test[:1])
        print(f"{name:<8}{kilobytes(network):>7.0f} kB{time_of_one:>10.2f} ms{100 * accuracy:>15.2f} %")
    print(f"saved {arguments.quantized}")


if __name__ == "__main__":
    main()
