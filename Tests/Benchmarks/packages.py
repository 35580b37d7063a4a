#!/usr/bin/env python3
"""What the processes do that `before.py` compares: predictions or training steps of the `swiftcnn` that is found first.

The network's weights are random. With a file, it is only written there.
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

import inference
import trainers
import turns

SIZES = inference.SIZES | trainers.SIZES  # Where both have a model the size is the same.


def network(model: str) -> Any:
    """A network by its name."""
    import swiftcnn

    return swiftcnn.create_model(
        model, input_shape=(SIZES[model], SIZES[model], 3), classes=trainers.CLASSES.get(model, 1000),
        classifier_activation=None)


def make(part: str, model: str, batch: int, threads: int) -> tuple[Callable[[int], float], dict[str, Any]]:
    """A call that predicts or makes a step and returns the largest memory so far, and the package."""
    import numpy
    import swiftcnn

    swiftcnn.set_num_threads(threads)
    made = network(model)
    random = numpy.random.default_rng(0)
    x = random.standard_normal((batch, SIZES[model], SIZES[model], 3), dtype=numpy.float32)
    y = random.integers(0, 10, batch).astype(numpy.int32)
    if part == "train":
        made.compile(optimizer=swiftcnn.optimizers.SGD(learning_rate=1e-5, momentum=trainers.MOMENTUM),
                     loss="sparse_categorical_crossentropy")

    def call(place: int) -> float:
        if part == "train":
            made.train_on_batch(x, y)
        else:
            made.predict_on_batch(x)
        return trainers.peak_mb()

    return call, {"package": swiftcnn.__file__}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("predict", "train", "save"))
    parser.add_argument("model", choices=SIZES)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--file", type=pathlib.Path)
    given = parser.parse_args()
    if given.part == "save":
        network(given.model).save(given.file)
    else:
        turns.serve(lambda: make(given.part, given.model, given.batch, given.threads))


if __name__ == "__main__":
    main()
