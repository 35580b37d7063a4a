"""A residual network as classes of one's own: own_layers.py [--images 6000] [--epochs 3] [model.safetensors]"""

from __future__ import annotations

import argparse
import os
from typing import Any

from swiftcnn import datasets, layers, models, optimizers, schedules


class Block(layers.Layer):
    """``relu(x + F(x))``, F being two convolutions (He et al. 2016, equation 1)."""

    def __init__(self, filters: int, strides: int = 1) -> None:
        super().__init__()
        self.convs = [layers.Conv2D(filters, 3, s, padding="same", use_bias=False) for s in (strides, 1)]
        self.norms = [layers.BatchNormalization(momentum=0.9) for _ in range(2)]
        self.shortcut = layers.Conv2D(filters, 1, strides, use_bias=False) if strides > 1 else layers.Identity()

    def call(self, x: Any) -> Any:
        y = layers.ReLU()(self.norms[0](self.convs[0](x)))
        y = self.norms[1](self.convs[1](y))
        return layers.ReLU()(layers.add([self.shortcut(x), y]))


class ResidualNetwork(models.Model):
    """Three blocks, each with twice the channels and half the pixels of the one before."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        self.stem = layers.Conv2D(width, 3, padding="same", activation="relu")
        self.blocks = [Block(width), Block(2 * width, strides=2), Block(4 * width, strides=2)]
        self.pool = layers.GlobalAveragePooling2D()
        self.head = layers.Dense(classes, activation="softmax")

    def call(self, x: Any) -> Any:
        x = self.stem(layers.Rescaling(1 / 255)(x))
        for block in self.blocks:
            x = block(x)
        return self.head(self.pool(x))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains a residual network of one's own classes on Fashion-MNIST.")
    parser.add_argument("path", nargs="?", default="build/own_layers.safetensors", help="where the model is saved")
    parser.add_argument("--images", type=int, default=6000, help="of the training set")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()

    (x, y), test = datasets.fashion_mnist()
    model = ResidualNetwork(classes=10)
    rate = schedules.CosineDecay(0.1, None)
    model.compile(optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[: arguments.images], y[: arguments.images], batch_size=64, epochs=arguments.epochs, verbose=2)
    os.makedirs(os.path.dirname(arguments.path) or ".", exist_ok=True)
    model.save(arguments.path)
    _, accuracy = models.load_model(arguments.path).evaluate(*test, verbose=0)
    print(f"saved {arguments.path}; test accuracy {accuracy:.3f}")
