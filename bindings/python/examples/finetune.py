"""Fine-tunes an EfficientNet-B0: first a new head on the frozen backbone, then all of it at a small rate.

    python3 finetune.py [--images 2000] [--epochs 3] [--weights b0.safetensors] [model.safetensors]

The images are Fashion-MNIST's in three channels. Weights are torchvision's, as safetensors; without them the backbone
has learned nothing yet, and the head has little to go by.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import swiftcnn
from swiftcnn import callbacks, datasets, layers, optimizers


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tunes an EfficientNet-B0 on Fashion-MNIST.")
    parser.add_argument("path", nargs="?", default="build/finetuned.safetensors", help="where the model is saved")
    parser.add_argument("--images", type=int, default=2000, help="of the training set")
    parser.add_argument("--epochs", type=int, default=3, help="of each phase")
    parser.add_argument("--weights", help="a state_dict of torchvision's efficientnet_b0")
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = datasets.fashion_mnist()
    train = np.repeat(x[: arguments.images], 3, axis=-1), y[: arguments.images]
    test = np.repeat(x_test[:1000], 3, axis=-1), y_test[:1000]

    whole = swiftcnn.create_model("efficientnet_b0", weights=arguments.weights, input_shape=(28, 28, 3))
    backbone = swiftcnn.Model(whole.input, whole.get_layer("avgpool").output, name="backbone")
    inputs = layers.Input((28, 28, 3))
    x = layers.Dropout(0.2)(backbone(inputs))
    model = swiftcnn.Model(inputs, layers.Dense(10, activation="softmax", name="head")(x), name="fashion")

    for phase, trains, rate in (("head alone", False, 1e-2), ("all of it", True, 1e-3)):
        backbone.trainable = trains
        model.compile(optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        print(f"{phase}: {len(model.trainable_weights)} weights")
        stop = callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
        model.fit(
            *train, batch_size=64, epochs=arguments.epochs, validation_data=test, horizontal_flip=True, verbose=2,
            callbacks=[stop],
        )

    _, accuracy = model.evaluate(*test, verbose=0)
    print(f"test accuracy: {accuracy:.3f}")
    if folder := os.path.dirname(arguments.path):
        os.makedirs(folder, exist_ok=True)
    model.save(arguments.path, include_optimizer=False)
    print(f"saved {arguments.path}")


if __name__ == "__main__":
    main()
