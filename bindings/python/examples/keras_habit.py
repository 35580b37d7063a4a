"""Transfer learning on Fashion-MNIST, written from Keras habit alone.

    python3 keras_habit.py [--images 4000] [--epochs 4] [model.safetensors]

A small residual network learns the five kinds of clothing for the upper body; its head is then replaced, the rest
frozen, and the new head learns trousers, shoes and bags; last, the whole network is fine-tuned. With `keras` in
place of `swiftcnn` in the import of layers and models the page runs there too.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

from swiftcnn import callbacks, layers, models, optimizers, regularizers
from swiftcnn.datasets import fashion_mnist


def residual_block(x: Any, filters: int, strides: int, name: str) -> Any:
    """Two 3x3 convolutions and a shortcut (He et al. 2016)."""
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = layers.Conv2D(filters, 1, strides=strides, use_bias=False)(x)
        shortcut = layers.BatchNormalization()(shortcut)
    x = layers.Conv2D(
        filters, 3, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal",
        kernel_regularizer=regularizers.L2(1e-4),
    )(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Add()([x, shortcut])
    return layers.Activation("relu", name=name)(x)


def build() -> models.Model:
    """The network, by the functional API."""
    inputs = layers.Input(shape=(28, 28, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.RandomFlip("horizontal")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)
    x = layers.MaxPooling2D()(x)
    x = residual_block(x, 8, 1, "block1")
    x = residual_block(x, 16, 2, "block2")
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dropout(0.1)(x)
    outputs = layers.Dense(5, activation="softmax", name="clothing")(x)
    return models.Model(inputs, outputs, name="small_resnet")


def main() -> None:
    parser = argparse.ArgumentParser(description="Transfer learning on Fashion-MNIST, written from Keras habit alone.")
    parser.add_argument("path", nargs="?", default="build/keras_habit.safetensors", help="where the model is saved")
    parser.add_argument("--images", type=int, default=4000, help="of the training set")
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()

    # Both counted from 0, as the heads do.
    kinds = {"clothing": [0, 2, 3, 4, 6], "others": [1, 5, 7, 8, 9]}
    (x, y), (x_test, y_test) = fashion_mnist()
    train: dict[str, tuple[Any, Any]] = {}
    test: dict[str, tuple[Any, Any]] = {}
    for name, labels in kinds.items():
        for part, images, classes, count in (
            (train, x, y, arguments.images), (test, x_test, y_test, arguments.images // 4),
        ):
            chosen = np.flatnonzero(np.isin(classes, labels))[:count]
            part[name] = images[chosen].astype("float32"), np.searchsorted(labels, classes[chosen])

    # Build and train.
    model = build()
    model.summary()
    model.compile(optimizer=optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        *train["clothing"], batch_size=64, epochs=arguments.epochs, validation_data=test["clothing"], verbose=2,
        callbacks=[callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)],
    )
    print(f"clothing: validation accuracy {history.history['val_accuracy'][-1]:.3f}")

    # Look at what a layer gives.
    inspector = models.Model(model.inputs, model.get_layer("block2").output)
    maps = inspector.predict(test["clothing"][0][:8], verbose=0)
    print(f"block2 gives {maps.shape}, {100 * np.mean(maps > 0):.0f} % of it above 0")

    # Freeze, replace the head, and train that alone.
    base = models.Model(model.inputs, model.get_layer("features").output, name="base")
    base.trainable = False
    transferred = models.Sequential(
        [layers.Input((28, 28, 1)), base, layers.Dropout(0.1), layers.Dense(5, activation="softmax", name="others")]
    )
    transferred.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    frozen = [weight.copy() for weight in base.get_weights()]
    transferred.fit(*train["others"], batch_size=64, epochs=arguments.epochs, verbose=0)
    assert all(np.array_equal(old, new) for old, new in zip(frozen, base.get_weights(), strict=True))
    _, accuracy = transferred.evaluate(*test["others"], verbose=0)
    print(f"others, new head alone: accuracy {accuracy:.3f}")

    # Fine-tune all of it at a small rate.
    base.trainable = True
    base.get_layer("stem").trainable = False
    transferred.compile(
        optimizer=optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    transferred.fit(*train["others"], batch_size=64, epochs=arguments.epochs, verbose=0)
    loss, accuracy = transferred.evaluate(*test["others"], verbose=0)
    print(f"others, fine-tuned: accuracy {accuracy:.3f}")

    # Save, load, and find the same.
    if folder := os.path.dirname(arguments.path):
        os.makedirs(folder, exist_ok=True)
    transferred.save(arguments.path)
    loaded = models.load_model(arguments.path)
    np.testing.assert_allclose(loaded.evaluate(*test["others"], verbose=0), [loss, accuracy], rtol=1e-5)
    probabilities = loaded.predict(test["others"][0][:4], verbose=0)
    print(f"saved {arguments.path}; the first images are {np.argmax(probabilities, axis=-1).tolist()}")


if __name__ == "__main__":
    main()
