#!/usr/bin/env python3
"""Time to accuracy: ResNet-20 on Fashion-MNIST by one recipe, in SwiftCNN and in PyTorch, from the same first weights.

The recipe: SGD with Nesterov momentum 0.9, one cycle of the learning rate up to 0.2, batches of 128, L2 decay 5e-4 of
filters and matrices, random crops of the images padded by 4, mirror images. Each engine trains in a process of its own,
alone on the machine, once for each seed; the seconds are those of training, batches and their augmentation included.
Takes about 12 minutes a seed on two cores: `make bench-accuracy`.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

import report
import turns

sys.path.append(str(turns.ROOT / "bindings" / "python"))
import swiftcnn  # noqa: E402  For PyTorch it reads the images.

BATCH, RATE, MOMENTUM, DECAY, PADDING = 128, 0.2, 0.9, 5e-4, 4
MEAN, DEVIATION = 0.2860, 0.3530  # Of the training images.
SPEED_BAR = 0.5  # Of PyTorch's seconds.
ACCURACY_BAR = 0.003


class Task(NamedTuple):
    """One training."""

    seed: int
    epochs: int
    threads: int
    folder: pathlib.Path

    @property
    def weights(self) -> pathlib.Path:
        """The file of the first weights."""
        return self.folder / f"resnet20.accuracy.{self.seed}.safetensors"


def torch(task: Task) -> tuple[float, float]:
    """The seconds and the accuracy of PyTorch, in its faster layout."""
    sys.path.append(str(turns.ROOT / "Tests" / "Golden"))
    import networks
    import safetensors.torch
    import torch
    from torch import nn

    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    network = networks.named("resnet20", channels=1, classes=10)
    state = {k: v.contiguous() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    safetensors.torch.save_file(state, task.weights)
    network = network.to(memory_format=torch.channels_last).train()
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": DECAY}, {"params": others}], lr=RATE, momentum=MOMENTUM, nesterov=True)

    def images(pixels: Any) -> Any:
        return ((torch.from_numpy(pixels).float() / 255 - MEAN) / DEVIATION).permute(0, 3, 1, 2)

    (x, y), (x_test, y_test) = swiftcnn.datasets.fashion_mnist()
    x, x_test = images(x), images(x_test)
    y, y_test = torch.from_numpy(y).long(), torch.from_numpy(y_test).long()
    size = x.shape[-1]
    # Padded by black, as pixels are before they are normalised.
    padded = nn.functional.pad(x, (PADDING,) * 4, value=-MEAN / DEVIATION)
    steps = (len(x) + BATCH - 1) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps * task.epochs, cycle_momentum=False)

    begin = time.perf_counter()
    pixel = torch.arange(size)
    for _ in range(task.epochs):
        for chosen in torch.randperm(len(x)).split(BATCH):
            # Rows and columns of every image, mirrored or not, in one gathering.
            count = len(chosen)
            rows = torch.randint(2 * PADDING + 1, (count, 1)) + pixel
            columns = torch.where(torch.rand(count, 1) < 0.5, pixel, size - 1 - pixel)
            columns = columns + torch.randint(2 * PADDING + 1, (count, 1))
            batch = padded[chosen[:, None, None], 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)
            optimizer.zero_grad(set_to_none=True)
            logits = network(batch.contiguous(memory_format=torch.channels_last))
            nn.functional.cross_entropy(logits, y[chosen]).backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - begin

    network.eval()
    with torch.no_grad():
        right = sum(int((network(part).argmax(1) == truth).sum())
                    for part, truth in zip(x_test.split(500), y_test.split(500), strict=True))
    return seconds, right / len(x_test)


def ours(task: Task) -> tuple[float, float]:
    """The seconds and the accuracy of SwiftCNN."""
    swiftcnn.set_num_threads(task.threads)
    (x, y), (x_test, y_test) = swiftcnn.datasets.fashion_mnist()
    model = swiftcnn.create_model(
        "resnet20", weights=task.weights, input_shape=x.shape[1:], classes=10, mean=[MEAN], std=[DEVIATION])
    model.compile(
        optimizer=swiftcnn.optimizers.SGD(
            swiftcnn.schedules.OneCycle(RATE), momentum=MOMENTUM, nesterov=True, weight_decay=DECAY, decoupled=False,
            decay_all=False),
        loss="sparse_categorical_crossentropy", metrics=["accuracy"], seed=task.seed)
    begin = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, epochs=task.epochs, verbose=0, horizontal_flip=True, crop_padding=PADDING)
    seconds = time.perf_counter() - begin
    return seconds, float(model.evaluate(x_test, y_test, batch_size=500, verbose=0)[1])


ENGINES = {"torch": torch, "swiftcnn": ours}  # In this order: PyTorch writes the first weights.
TITLES = {"torch": "PyTorch", "swiftcnn": "SwiftCNN"}


def compare(given: argparse.Namespace) -> dict[str, Any]:
    """Trains with all engines and seeds; the results for the files."""
    results: dict[str, Any] = {"epochs": given.epochs, "threads": given.threads, "runs": [], "others": []}
    for seed in range(given.seeds):
        for engine in ENGINES:
            command = [sys.executable, __file__, "--engine", engine, "--seed", str(seed), "--epochs",
                       str(given.epochs), "--threads", str(given.threads), "--folder", str(given.folder)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            run = {"engine": engine, "seed": seed} | json.loads(answer.splitlines()[-1])
            results["runs"].append(run)
            print(f"{TITLES[engine]:<9} seed {seed}: {run['accuracy']:.2%} in {run['seconds']:.1f} s", flush=True)

    def of(engine: str, key: str, average: Any) -> float:
        return average(run[key] for run in results["runs"] if run["engine"] == engine)

    recipe = f"ResNet-20 on Fashion-MNIST, {given.epochs} epochs, {given.seeds} seeds"
    results["others"] = [
        report.compared(f"{recipe}: time", "s", of("swiftcnn", "seconds", statistics.median),
                        of("torch", "seconds", statistics.median), SPEED_BAR),
        report.compared(f"{recipe}: mistakes on the test images", "%",
                        100 * (1 - of("swiftcnn", "accuracy", statistics.mean)),
                        100 * (1 - of("torch", "accuracy", statistics.mean)),
                        round(1 + ACCURACY_BAR / (1 - of("torch", "accuracy", statistics.mean)), 3))]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=pathlib.Path, default=turns.ROOT / "build" / "bench", help="of weights")
    parser.add_argument("--engine", choices=ENGINES, help="trains with this one alone, and prints JSON")
    parser.add_argument("--seed", type=int, default=0, help="of the one engine")
    parser.add_argument("--json", type=pathlib.Path, help="a file for the results")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.engine:
        seconds, accuracy = ENGINES[given.engine](Task(given.seed, given.epochs, given.threads, given.folder))
        print(json.dumps({"seconds": seconds, "accuracy": accuracy}))
        return
    results = compare(given)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    print("\n" + report.others_table(results | {"cells": []}))


if __name__ == "__main__":
    main()
