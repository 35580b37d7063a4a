"""Fine-tunes an EfficientNet-B0: first a new head on the frozen backbone, then all of it at a small rate.

    python3 finetune.py [--images 1500] [--epochs 4] [--weights b0.safetensors] [model.safetensors]

The new task is five kinds of Fashion-MNIST. Weights are a state_dict of torchvision's efficientnet_b0, as safetensors;
without them the network is first trained on the other five kinds.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

import swiftcnn
from swiftcnn import datasets, layers, optimizers

LOSS, METRICS = "sparse_categorical_crossentropy", ["accuracy"]


def part(images: Any, labels: Any, kinds: list[int], count: int) -> tuple[Any, Any]:
    """Images of some kinds, in three channels, with labels from 0."""
    chosen = np.flatnonzero(np.isin(labels, kinds))[:count]
    return np.repeat(images[chosen], 3, axis=-1), np.searchsorted(kinds, labels[chosen])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fine-tunes an EfficientNet-B0 on a part of Fashion-MNIST.")
    parser.add_argument("path", nargs="?", default="build/finetuned.safetensors", help="where the model is saved")
    parser.add_argument("--images", type=int, default=1500, help="of each task")
    parser.add_argument("--epochs", type=int, default=4, help="of each phase")
    parser.add_argument("--weights", help="of torchvision's efficientnet_b0")
    arguments = parser.parse_args()

    train, test = datasets.fashion_mnist()
    clothing, others = [0, 2, 3, 4, 6], [1, 5, 7, 8, 9]
    new, new_test = part(*train, others, arguments.images), part(*test, others, 1000)
    shape, options = (28, 28, 3), {"batch_size": 32, "epochs": arguments.epochs, "verbose": 2}

    trained = swiftcnn.create_model("efficientnet_b0", arguments.weights, shape, 1000 if arguments.weights else 5)
    if not arguments.weights:
        trained.compile(optimizers.Adam(2e-3), LOSS, metrics=METRICS)
        trained.fit(*part(*train, clothing, arguments.images), **options)

    backbone = swiftcnn.Model(trained.input, trained.get_layer("avgpool").output, name="backbone")
    inputs = layers.Input(shape)
    features = layers.Dropout(0.2)(backbone(inputs, training=False))
    model = swiftcnn.Model(inputs, layers.Dense(5, activation="softmax", name="head")(features))
    for trains, rate in ((False, 1e-2), (True, 1e-4)):
        backbone.trainable = trains
        model.compile(optimizers.Adam(rate), LOSS, metrics=METRICS)
        model.fit(*new, validation_data=new_test, **options)

    os.makedirs(os.path.dirname(arguments.path) or ".", exist_ok=True)
    model.save(arguments.path, include_optimizer=False)
    print(f"saved {arguments.path}; test accuracy {model.evaluate(*new_test, verbose=0)[1]:.3f}")
