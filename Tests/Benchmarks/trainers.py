#!/usr/bin/env python3
"""The engines whose training is measured, SGD with momentum; run as a program, one of them works.

An engine is made from a `Task` by a function of this file; it goes round the task's batches. Dropout and stochastic
depth are off in all of them, so that losses can be compared. Ours also trains by `fit`, on pixels that are cropped,
mirrored and normalised on the way, or makes as many steps on batches that are ready.
"""

import argparse
import itertools
import os
import pathlib
import resource
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import turns

SIZES = {"resnet18": 224, "resnet50": 224, "efficientnet_b0": 224, "efficientnet_v2_s": 224, "resnet20": 32}
BATCHES = {"resnet20": 128, "efficientnet_v2_s": 8}  # The others: 16.
CLASSES = {"resnet20": 10}  # The others: 1000.
# The others: 0.001, so that a difference in rounding does not grow beyond all bounds at once.
RATES = {"resnet20": 0.005}
MOMENTUM = 0.9
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Task(NamedTuple):
    """What an engine does."""

    model: str
    batch: int
    threads: int
    folder: pathlib.Path
    batches: int = 1

    @property
    def size(self) -> int:
        """Height and width of an image."""
        return SIZES[self.model]

    @property
    def classes(self) -> int:
        """The length of the output."""
        return CLASSES.get(self.model, 1000)

    @property
    def rate(self) -> float:
        """The learning rate."""
        return RATES.get(self.model, 0.001)

    @property
    def weights(self) -> pathlib.Path:
        """The file of the weights that all begin with."""
        return self.folder / f"{self.model}.training.safetensors"

    @property
    def steps(self) -> int:
        """How many steps a call of `fit` makes, so that what it does once does not count."""
        return 32 if self.size < 100 else 8

    def pixels(self, batches: int) -> tuple[Any, Any]:
        """Images of uint8, NHWC, and their labels, the same for every engine. Fewer of them begin more."""
        import numpy

        random = numpy.random.default_rng(self.size)
        count = batches * self.batch
        x = random.integers(0, 256, (count, self.size, self.size, 3), dtype=numpy.uint8)
        return x, numpy.random.default_rng(1).integers(0, self.classes, count).astype(numpy.int32)

    def numbers(self, batches: int) -> tuple[Any, Any]:
        """The same images, normalised, float32."""
        import numpy

        x, y = self.pixels(batches)
        ready = numpy.empty(x.shape, numpy.float32)
        for image, result in zip(x, ready, strict=True):  # One by one, so that it takes no memory beside.
            result[...] = (image / 255 - MEAN) / DEVIATION
        return ready, y


class Engine(NamedTuple):
    """A network that trains."""

    step: Callable[[], float | None]
    version: str
    imported_mb: float
    weights_mb: float  # Gradients and momentum take as much each.


def peak_mb() -> float:
    """The largest memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def torch(task: Task, layout: str, *, compiled: bool = False, mixed: bool = False) -> Engine:
    """PyTorch, as it is or by its compiler, in float32 or with products of bfloat16 as `autocast` chooses them."""
    sys.path.append(str(turns.ROOT / "Tests" / "Golden"))
    if compiled:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(task.weights.parent / "inductor"))
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # Else it has processes of its own.
    import networks
    import numpy  # noqa: F401  All have imported it before memory is counted.
    import safetensors.torch
    import torch

    networks.timm()
    torch.set_num_threads(task.threads)
    imported = peak_mb()
    torch.manual_seed(0)
    network = networks.named(task.model, classes=task.classes)
    if task.weights.exists():
        network.load_state_dict(safetensors.torch.load_file(task.weights), strict=False)
    else:
        state = {k: v.contiguous() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
        safetensors.torch.save_file(state, task.weights)
        del state
    for module in network.modules():
        if type(module).__name__ in ("Dropout", "StochasticDepth"):
            module.p = 0.0
    memory_format = torch.channels_last if layout == "channels-last" else torch.contiguous_format
    network = network.to(memory_format=memory_format).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=task.rate, momentum=MOMENTUM)
    x, y = task.numbers(task.batches)
    x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
    batches = itertools.cycle(zip(x.split(task.batch), torch.from_numpy(y).long().split(task.batch), strict=True))

    def forward(x: Any, y: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            return torch.nn.functional.cross_entropy(network(x), y)

    def step() -> float:
        x, y = next(batches)
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    weights = sum(parameter.nbytes for parameter in network.parameters())
    if compiled:
        network.compile()
        # Compiling takes minutes, so it is done before turns are taken: of a step that changes no weight.
        forward(x[:task.batch], torch.from_numpy(y[:task.batch]).long()).backward()
        optimizer.zero_grad(set_to_none=True)
    return Engine(step, torch.__version__.split("+")[0], imported, weights / 1e6)


def swiftcnn(task: Task, data: str | None = None, memory: str = "normal", dtype: str = "float32") -> Engine:
    """Ours; with `data` "pixels" a call of it is a `fit`, with "ready" as many steps."""
    sys.path.append(str(turns.ROOT / "bindings" / "python"))
    import numpy
    import swiftcnn

    swiftcnn.set_num_threads(task.threads)
    imported = peak_mb()
    model = swiftcnn.create_model(
        task.model, weights=task.weights if task.weights.exists() else None, input_shape=(task.size, task.size, 3),
        classes=task.classes, classifier_activation=None, dropout=0, drop_path=0, mean=MEAN, std=DEVIATION,
        dtype=dtype)
    # Calls of `fit` are many, on random labels: at this rate the weights hardly change, and the work is the same.
    model.compile(
        optimizer=swiftcnn.optimizers.SGD(learning_rate=1e-5 if data else task.rate, momentum=MOMENTUM),
        loss="sparse_categorical_crossentropy", memory=memory)
    step: Callable[[], float | None]
    if data == "pixels":
        x, y = task.pixels(task.steps)

        def step() -> None:
            model.fit(x, y, batch_size=task.batch, verbose=0, horizontal_flip=True, crop_padding=task.size // 8)
    elif data == "ready":
        x, y = task.numbers(task.steps)
        batches = [slice(start, start + task.batch) for start in range(0, len(x), task.batch)]

        def step() -> None:
            for batch in batches:
                model.train_on_batch(x[batch], y[batch])
    else:
        x, y = task.numbers(task.batches)
        starts = itertools.cycle(range(0, len(x), task.batch))

        def step() -> float:
            start = next(starts)
            results = model.train_on_batch(x[start:start + task.batch], y[start:start + task.batch])
            return float(numpy.ravel(results)[0])

    return Engine(step, swiftcnn.__version__, imported, model.count_params() * 4 / 1e6)


ENGINES: dict[str, Callable[[Task], Engine]] = {
    "swiftcnn": swiftcnn,
    "torch-channels-last": lambda task: torch(task, "channels-last"),
    "torch-contiguous": lambda task: torch(task, "contiguous"),
    "torch-compiled": lambda task: torch(task, "channels-last", compiled=True),
    "swiftcnn-mixed": lambda task: swiftcnn(task, dtype="mixed_bfloat16"),
    "torch-autocast": lambda task: torch(task, "channels-last", mixed=True),
    "torch-compiled-autocast": lambda task: torch(task, "channels-last", compiled=True, mixed=True),
    "swiftcnn-pixels": lambda task: swiftcnn(task, "pixels"),
    "swiftcnn-ready": lambda task: swiftcnn(task, "ready"),
    "swiftcnn-low": lambda task: swiftcnn(task, memory="low"),
}
TITLES = {"swiftcnn": "SwiftCNN", "torch-channels-last": "PyTorch channels-last",
          "torch-contiguous": "PyTorch contiguous", "torch-compiled": "torch.compile",
          "swiftcnn-mixed": "SwiftCNN mixed_bfloat16", "torch-autocast": "PyTorch autocast",
          "torch-compiled-autocast": "torch.compile autocast"}
LAYOUTS = ("torch-channels-last", "torch-contiguous")
PEERS = (*LAYOUTS, "torch-compiled")
MIXED = ("torch-autocast", "torch-compiled-autocast", "swiftcnn-mixed")  # In bfloat16 where the engine sees fit.


def make(name: str, task: Task) -> tuple[Callable[[int], Any], dict[str, Any]]:
    """The call of an engine, which returns the loss and the memory, and what is to be said of it."""
    engine = ENGINES[name](task)

    def call(place: int) -> dict[str, Any]:
        return {"loss": engine.step(), "peak_mb": peak_mb() - engine.imported_mb}

    return call, {"version": engine.version, "weights_mb": engine.weights_mb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model", choices=SIZES)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--batches", type=int, default=1, help="how many there are")
    given = parser.parse_args()
    task = Task(given.model, given.batch, given.threads, given.folder, given.batches)
    turns.serve(lambda: make(given.engine, task))


if __name__ == "__main__":
    main()
