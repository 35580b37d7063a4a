#!/usr/bin/env python3
"""What a teacher is worth, and what it costs: a ResNet-8 that is trained on 6,000 images of Fashion-MNIST alone, taught by
a ResNet-56 that was trained on all 60,000, and taught by the same by Keras's `Distiller` with `KLDivergence()`.

All three have one recipe: batches of 128, SGD with momentum and a cosine of the learning rate, mirrored images, soft
targets at temperature 4 that count half. Keras has the teacher's weights in a network of its own layers, whose
logits are compared first, and the student's initial weights. In both the teacher is asked but once of each image, mirrored
and not, which changes nothing but the time. Top-1 on the 10,000 test images of some seeds. The step, which asks it, is
measured beside the teacher's prediction and the student's step, in turns. `make bench-distillation`; the exit status is
1 where a bar is not reached.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

MEAN, DEVIATION = 0.2860, 0.3530  # Of the training images.
BATCH, IMAGES, TEMPERATURE = 128, 6000, 4.0
STUDENT_WEIGHT, TEACHER_WEIGHT = 0.5, 0.5  # Keras's usual ones.
RATE, DECAY, MOMENTUM = 0.1, 5e-4, 0.9
GAIN, COST = 1.0, 1.05  # The bars: points gained at least, and times the cost of both at most.
SHAPE = (28, 28, 1)


# ------------------------------------------------------------------------------------------------------- Keras's side


def keras_network(keras: Any, blocks: int, weights: Any) -> Any:
    """The CIFAR ResNet of so many blocks a stage (He et al. 2016, section 4.2), of Keras's layers, with SwiftCNN's
    parameters, whose order is that in which layers are made here."""
    layers, made = keras.layers, []

    def noted(layer: Any) -> Any:
        made.append(layer)
        return layer

    def convolved(x: Any, width: int, kernel: int, stride: int) -> Any:
        if kernel == 3:
            x = layers.ZeroPadding2D(1)(x)
        x = noted(layers.Conv2D(width, kernel, stride, use_bias=False))(x)
        return noted(layers.BatchNormalization(momentum=0.9, epsilon=1e-5))(x)

    inputs = keras.Input(SHAPE)
    x = layers.ReLU()(convolved(inputs, 16, 3, 1))
    for stage in range(3):
        for block in range(blocks):
            stride, width = 2 if stage and not block else 1, 16 << stage
            y = layers.ReLU()(convolved(x, width, 3, stride))
            y = convolved(y, width, 3, 1)
            if stride == 2:
                x = convolved(x, width, 1, 2)
            x = layers.ReLU()(layers.Add()([x, y]))
    model = keras.Model(inputs, noted(layers.Dense(10))(layers.GlobalAveragePooling2D()(x)))
    # From OIHW and [out, in].
    left = [weights[name] for name in weights.files]
    for layer in made:
        count = len(layer.weights)
        layer.set_weights([
            each.transpose(2, 3, 1, 0) if each.ndim == 4 else each.T if each.ndim == 2 else each
            for each in left[:count]])
        left = left[count:]
    return model


def keras_known(keras: Any, teacher: Any, images: Any) -> Any:
    """The teacher as a table of what it says of each of the images, mirrored and not, which are told apart by a few
    random projections: asked in each step, it would take most of the time."""
    ops = keras.ops
    both = np.concatenate([images, images[:, :, ::-1]])
    projection = np.random.default_rng(0).normal(size=(np.prod(SHAPE), 4)).astype(np.float32)
    logits = teacher.predict(both, batch_size=500, verbose=0)

    class Table(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            keys = ops.matmul(ops.reshape(x, (-1, projection.shape[0])), projection)
            apart = keys[:, None] - ops.convert_to_tensor(both.reshape(len(both), -1) @ projection)[None]
            return ops.take(ops.convert_to_tensor(logits), ops.argmin(ops.sum(ops.square(apart), -1), 1), axis=0)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape[0], logits.shape[1]

    inputs = keras.Input(SHAPE)
    known = keras.Model(inputs, Table()(inputs))
    if not np.array_equal(known.predict(both, batch_size=500, verbose=0), logits):
        raise SystemExit("the images are not told apart")
    return known


def serve_keras(folder: pathlib.Path, seed: int, epochs: int) -> None:
    """Trains the student by Keras and prints its top-1 as a line of JSON."""
    import keras

    data = np.load(folder / "data.npz")
    keras.utils.set_random_seed(seed)
    teacher = keras_network(keras, 9, np.load(folder / "teacher.npz"))
    student = keras_network(keras, 1, np.load(folder / f"student{seed}.npz"))
    apart = np.abs(teacher.predict(data["x_test"][:64], verbose=0) - data["logits"]).max()
    largest = np.abs(data["logits"]).max()
    if apart > 1e-3 * largest:
        raise SystemExit(f"the teacher's logits, of up to {largest}, are {apart} apart in Keras")

    class Batches(keras.utils.PyDataset):
        """Mirrored images in a new order each epoch."""

        def __init__(self) -> None:
            super().__init__()
            self._random = np.random.default_rng(seed)
            self.on_epoch_end()

        def on_epoch_end(self) -> None:
            self._order = self._random.permutation(len(data["x"]))
            self._flips = self._random.random(len(data["x"])) < 0.5

        def __len__(self) -> int:
            return -(-len(data["x"]) // BATCH)

        def __getitem__(self, index: int) -> Any:
            chosen = self._order[index * BATCH : (index + 1) * BATCH]
            x = data["x"][chosen]
            return np.where(self._flips[chosen, None, None, None], x[:, :, ::-1], x), data["y"][chosen]

    learner = keras.distillation.Distiller(
        keras_known(keras, teacher, data["x"]), student, student_loss_weight=STUDENT_WEIGHT,
        distillation_losses=keras.distillation.LogitsDistillation(
            temperature=TEMPERATURE, loss=keras.losses.KLDivergence()))
    steps = epochs * len(Batches())
    learner.compile(
        optimizer=keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(RATE, steps), momentum=MOMENTUM, nesterov=True, weight_decay=DECAY),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    learner.fit(Batches(), epochs=epochs, verbose=0)
    right = student.predict(data["x_test"], batch_size=500, verbose=0).argmax(1) == data["y_test"]
    print(json.dumps({"points": float(100 * right.mean()), "keras": keras.__version__,
                      "backend": keras.backend.backend()}))


# ------------------------------------------------------------------------------------------------------------ this side


def network(blocks: int, seed: int) -> Any:
    import swiftcnn

    return swiftcnn.create_model(
        "resnet20", input_shape=SHAPE, classes=10, stages=[blocks] * 3, seed=seed, mean=[MEAN], std=[DEVIATION],
        classifier_activation=None)


def compiled(model: Any, steps: int, seed: int) -> Any:
    import swiftcnn

    model.compile(
        optimizer=swiftcnn.optimizers.SGD(
            swiftcnn.schedules.CosineDecay(RATE, steps), momentum=MOMENTUM, nesterov=True, weight_decay=DECAY),
        loss="sparse_categorical_crossentropy", metrics=["accuracy"], seed=seed)
    return model


def taught(student: Any, teacher: Any, *, cache: bool = False) -> Any:
    import swiftcnn

    return swiftcnn.distill(
        student, teacher, swiftcnn.distillation.SoftTargets(TEMPERATURE, weight=TEACHER_WEIGHT),
        student_weight=STUDENT_WEIGHT, cache=cache)


def save_for_keras(file: pathlib.Path, model: Any) -> None:
    """Writes the parameters in their order."""
    np.savez(file, **model.state_dict())


def trained_teacher(folder: pathlib.Path, epochs: int, images: int) -> Any:
    """The ResNet-56, of its file where there is one."""
    import swiftcnn

    file = folder / f"resnet56.teacher.{images}.{epochs}.safetensors"
    if file.exists():
        return swiftcnn.load_model(file)
    (x, y), _ = swiftcnn.datasets.fashion_mnist()
    x, y = x[:images], y[:images]
    model = compiled(network(9, 0), epochs * -(-len(x) // BATCH), 0)
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=2, horizontal_flip=True)
    model.save(file, include_optimizer=False)
    return model


def measure_step(teacher: Any, repeats: int) -> dict[str, float]:
    """Medians in milliseconds of the teacher's prediction, the student's step, and the learner's, in turns."""
    import swiftcnn

    (x, y), _ = swiftcnn.datasets.fashion_mnist()
    x, y = x[:BATCH], y[:BATCH]
    alone, learner = compiled(network(1, 0), 1000, 0), compiled(taught(network(1, 0), teacher), 1000, 0)
    ways = {
        "teacher": lambda: teacher.predict_on_batch(x), "student": lambda: alone.train_on_batch(x, y),
        "learner": lambda: learner.train_on_batch(x, y),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats + 3):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            times[way].append(1e3 * (time.perf_counter() - start))
    return {way: statistics.median(found[3:]) for way, found in times.items()}


def points(model: Any, x: Any, y: Any) -> float:
    return float(100 * (model.predict(x, batch_size=250, verbose=0).argmax(1) == y).mean())


def measure(seed: int, teacher: Any, given: argparse.Namespace, room: pathlib.Path) -> dict[str, float]:
    """Top-1 in percent of the student alone, taught here, and taught by Keras."""
    import swiftcnn

    (x, y), (x_test, y_test) = swiftcnn.datasets.fashion_mnist()
    chosen = np.random.default_rng(seed).permutation(len(x))[: given.images]
    x, y = x[chosen], y[chosen]
    steps = given.epochs * -(-len(x) // BATCH)
    fit = {"batch_size": BATCH, "epochs": given.epochs, "verbose": 0, "horizontal_flip": True}
    found = {}

    def note(way: str, value: float) -> None:
        found[way] = value
        print(f"seed {seed}: {way} {value:.2f} %", flush=True)

    alone = compiled(network(1, seed), steps, seed)
    alone.fit(x, y, **fit)
    note("alone", points(alone, x_test, y_test))
    student = network(1, seed)
    save_for_keras(room / f"student{seed}.npz", student)
    compiled(taught(student, teacher, cache=True), steps, seed).fit(x, y, **fit)
    note("taught", points(student, x_test, y_test))
    if given.keras:
        def normalized(pixels: Any) -> Any:
            return ((pixels / np.float32(255) - np.float32(MEAN)) / np.float32(DEVIATION)).astype(np.float32)

        np.savez(room / "data.npz", x=normalized(x), y=y, x_test=normalized(x_test), y_test=y_test,
                 logits=teacher.predict(x_test[:64], verbose=0))
        run = subprocess.run(
            [given.keras, __file__, "--serve-keras", str(room), "--seed", str(seed), "--epochs", str(given.epochs)],
            env={**os.environ, "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "torch")}, capture_output=True,
            text=True, check=False)
        if run.returncode:
            raise SystemExit(f"Keras could not train: {run.stderr.strip()[-600:]}")
        note("keras", json.loads(run.stdout.strip().splitlines()[-1])["points"])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--epochs", type=int, default=30, help="of the student")
    parser.add_argument("--images", type=int, default=IMAGES, help="that the student is trained on")
    parser.add_argument("--teacher-epochs", type=int, default=4)
    parser.add_argument("--teacher-images", type=int, default=60000)
    parser.add_argument("--repeats", type=int, default=30, help="of the steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keras", help="a Python that has Keras; none: Keras is left out")
    parser.add_argument("--folder", type=pathlib.Path, help="of trained models")
    parser.add_argument("--serve-keras", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve_keras:
        serve_keras(given.serve_keras, given.seed, given.epochs)
        return 0

    import inference
    import quantization
    import report
    import swiftcnn
    import turns

    swiftcnn.set_num_threads(given.threads)
    folder = given.folder or turns.ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    teacher = trained_teacher(folder, given.teacher_epochs, given.teacher_images)
    _, (x_test, y_test) = swiftcnn.datasets.fashion_mnist()
    print(f"the teacher: {points(teacher, x_test, y_test):.2f} %", flush=True)
    step = measure_step(teacher, given.repeats)
    cost = step["learner"] / (step["teacher"] + step["student"])
    with tempfile.TemporaryDirectory() as room:
        save_for_keras(pathlib.Path(room) / "teacher.npz", teacher)
        runs = [measure(seed, teacher, given, pathlib.Path(room)) for seed in range(given.seeds)]
    gains = [run["taught"] - run["alone"] for run in runs]
    rows = [[way, quantization.spread([run[way] for run in runs]), "", ""] for way in runs[0]]
    verdicts = [statistics.mean(gains) >= GAIN]
    rows.append(["gained by the teacher", quantization.spread(gains), f"at least {GAIN}", report.verdict(verdicts[0])])
    if given.keras:
        ahead = [run["taught"] - run["keras"] for run in runs]
        verdicts.append(statistics.mean(ahead) >= 0)
        rows.append(["beside Keras's Distiller", quantization.spread(ahead), "at least 0", report.verdict(verdicts[-1])])
    verdicts.append(cost <= COST)
    rows.append([
        "a step, of prediction and step",
        f"{cost:.3f} ({step['learner']:.2f} of {step['teacher']:.2f} + {step['student']:.2f} ms)", f"at most {COST}",
        report.verdict(verdicts[-1])])
    print(f"\n{inference.machine()['processor']}; SwiftCNN {swiftcnn.__version__}; {given.seeds} seeds, "
          f"{given.images} images, {given.epochs} epochs\n")
    print(report.table(["", "% right, or points: mean (least to most)", "bar", ""], rows))
    return int(not all(verdicts))


if __name__ == "__main__":
    sys.exit(main())
