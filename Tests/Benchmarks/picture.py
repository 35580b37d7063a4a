#!/usr/bin/env python3
"""Draws the README's picture: ten test images of Fashion-MNIST with the class the demo's model gives them.

    picture.py build/fashion_mnist.safetensors Sources/SwiftCNN/SwiftCNN.docc/Resources/demo.png

Needs matplotlib. Green is right, red is wrong; the bar is the probability.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bindings" / "python"))

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import swiftcnn

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def main(model_path, picture_path):
    _, (images, labels) = swiftcnn.datasets.fashion_mnist()
    images, labels = images[:10], labels[:10]
    probabilities = swiftcnn.load_model(model_path).predict(images)
    figure, axes = plt.subplots(2, 5, figsize=(10, 4.6), dpi=100)
    for axis, image, label, scores in zip(axes.flat, images, labels, probabilities):
        best = int(scores.argmax())
        color = "#2a8f4f" if best == label else "#c03030"
        axis.imshow(image[:, :, 0], cmap="gray_r")
        axis.set_title(f"{CLASSES[best]}  {scores[best]:.0%}", color=color, fontsize=11)
        truth = "" if best == label else f"truth: {CLASSES[label]}"
        axis.set_xlabel(truth, fontsize=9)
        axis.barh(29, 28 * scores[best], height=1.2, left=-0.5, color=color)
        axis.set_xlim(-0.5, 27.5)
        axis.set_ylim(30, -0.5)
        axis.set_xticks([])
        axis.set_yticks([])
        for side in axis.spines.values():
            side.set_visible(False)
    figure.tight_layout()
    pathlib.Path(picture_path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture_path, facecolor="white")


if __name__ == "__main__":
    main(*sys.argv[1:])
