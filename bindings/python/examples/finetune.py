"""Fine-tunes a trained network on a small set of images, and shows what that is worth: the same network from scratch
gets the same images and the same time.

    python3 finetune.py tf_efficientnet_lite0 efficientnet-lite0.pth [--images 2000] [--seconds 60] [model.safetensors]

The images are some of Fashion-MNIST, four times as large. The weights may be a .pth, .safetensors or .h5 file of
torchvision, timm, efficientnet_pytorch or Keras: their classifier of 1,000 classes is left out, one of ten begins anew.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import Any

import swiftcnn
from swiftcnn import callbacks, datasets, optimizers

SHAPE = (112, 112, 3)
BATCH = 32


class TimeLimit(callbacks.Callback):
    """Ends training after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs: callbacks.Logs | None = None) -> None:
        self.end = time.monotonic() + self.seconds

    def on_train_batch_end(self, batch: int, logs: callbacks.Logs | None = None) -> None:
        if time.monotonic() >= self.end:
            self.model.stop_training = True


def enlarged(images: Any) -> Any:
    """Pixels four times as high and wide, in three channels."""
    return images.repeat(4, axis=1).repeat(4, axis=2).repeat(3, axis=3)


def train(model: swiftcnn.Model, images: Any, labels: Any, rate: float, seconds: float) -> None:
    model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        images, labels, batch_size=BATCH, epochs=1000, verbose=2, horizontal_flip=True, crop_padding=8,
        callbacks=[TimeLimit(seconds)],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tunes a trained network, beside the same one from scratch.")
    parser.add_argument("model", help="a name of swiftcnn.list_models()")
    parser.add_argument("weights", help="a file of weights for it")
    parser.add_argument("path", nargs="?", default="build/finetuned.safetensors", help="where the model is saved")
    parser.add_argument("--images", type=int, default=2000, help="to train on")
    parser.add_argument("--seconds", type=float, default=60, help="of training, each")
    arguments = parser.parse_args()

    (x, y), (xt, yt) = datasets.fashion_mnist()
    x, y, xt, yt = enlarged(x[: arguments.images]), y[: arguments.images], enlarged(xt[:1000]), yt[:1000]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It would say that the classifier begins anew.
        tuned = swiftcnn.create_model(arguments.model, arguments.weights, SHAPE, classes=10)
    # The new classifier first: its large gradients would spoil what the backbone has learnt.
    tuned.freeze("*")
    head = tuned.parameters[-1].name.rpartition(".")[0]
    tuned.unfreeze(f"{head}.*")
    train(tuned, x, y, 1e-2, arguments.seconds / 5)
    tuned.unfreeze("*")
    train(tuned, x, y, 5e-4, arguments.seconds * 4 / 5)

    scratch = swiftcnn.create_model(arguments.model, input_shape=SHAPE, classes=10)
    train(scratch, x, y, 2e-3, arguments.seconds)

    accuracy = [model.evaluate(xt, yt, verbose=0)[1] for model in (tuned, scratch)]
    os.makedirs(os.path.dirname(arguments.path) or ".", exist_ok=True)
    tuned.save(arguments.path, include_optimizer=False)
    print(f"saved {arguments.path}")
    print(
        f"test accuracy after {arguments.seconds:.0f} s with {len(x)} images: "
        f"{accuracy[0]:.1%} fine-tuned, {accuracy[1]:.1%} from scratch"
    )


if __name__ == "__main__":
    main()
