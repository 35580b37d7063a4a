#!/usr/bin/env python3
"""Training speed of the CIFAR ResNet-20 beside PyTorch's, from the same weights on the same batch.

Each engine has a process of its own, and they take turns of some steps while the others are stopped; the first step of
a turn is not counted, and a turn waits until all cores are at their peak. Prints the medians, their ratio, and the
largest difference between the losses. Run it alone on the machine: `make bench-training`.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

import turns

HERE = pathlib.Path(__file__).resolve().parent
ENGINES = ("swiftcnn", "torch-channels-last", "torch-contiguous")
RATE = 0.05
MOMENTUM = 0.9


def batch(size, channels, count):
    """A batch that every engine makes alike: images NHWC and labels."""
    import numpy

    random = numpy.random.default_rng(0)
    x = random.standard_normal((count, size, size, channels), dtype=numpy.float32)
    return x, random.integers(0, 10, count)


def torch_step(layout, size, channels, arguments, weights):
    """A function that trains PyTorch's network on one batch and returns the loss."""
    sys.path.append(str(turns.ROOT / "Tests" / "Golden"))
    import networks
    import safetensors.torch
    import torch

    torch.set_num_threads(arguments.threads)
    memory_format = torch.channels_last if layout == "channels-last" else torch.contiguous_format
    network = networks.resnet20(channels)
    if os.path.exists(weights):
        network.load_state_dict(safetensors.torch.load_file(weights), strict=False)
    else:
        state = {k: v.contiguous() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
        safetensors.torch.save_file(state, weights)
    network = network.to(memory_format=memory_format).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)
    x, y = batch(size, channels, arguments.batch)
    x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
    y = torch.from_numpy(y)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def swiftcnn_step(size, channels, arguments, weights):
    """A function that trains our network on one batch and returns the loss."""
    sys.path.append(str(turns.ROOT / "bindings" / "python"))
    import numpy
    import swiftcnn

    swiftcnn.set_num_threads(arguments.threads)
    model = swiftcnn.create_model("resnet20", input_shape=(size, size, channels), classes=10, weights=weights)
    model.compile(
        optimizer=swiftcnn.optimizers.SGD(learning_rate=RATE, momentum=MOMENTUM),
        loss="sparse_categorical_crossentropy")
    x, y = batch(size, channels, arguments.batch)
    y = y.astype(numpy.int32)
    return lambda: float(numpy.ravel(model.train_on_batch(x, y))[0])


def work(engine, size, channels, arguments):
    """Trains in turns."""
    make = swiftcnn_step if engine == "swiftcnn" else lambda *a: torch_step(engine.split("-", 1)[1], *a)

    def made():
        step = make(size, channels, arguments, arguments.weights)
        return lambda place: step(), {}

    turns.serve(made)


def race(size, channels, arguments, meter, folder):
    """One row of results for each engine."""
    weights = os.path.join(folder, f"{size}.safetensors")
    workers = {}
    # PyTorch first: it writes the weights that the others read.
    for engine in sorted(ENGINES, reverse=True):
        command = [sys.executable, __file__, "--engine", engine, "--size", str(size), "--channels", str(channels),
                   "--weights", weights, "--threads", str(arguments.threads), "--batch", str(arguments.batch)]
        try:
            workers[engine] = turns.Worker(command, {"OMP_NUM_THREADS": str(arguments.threads)})
        except turns.Failure as failure:
            raise SystemExit(f"{engine} did not start: {failure}") from None
    seconds, losses, fallen = turns.take_turns(workers, arguments.turns, {"calls": arguments.steps}, meter)
    for worker in workers.values():
        worker.close()
    if fallen:
        raise SystemExit(f"an engine fell out: {fallen}")
    reference = losses["torch-contiguous"]
    difference = max(abs(a - b) for a, b in zip(losses["swiftcnn"][:5], reference[:5]))
    rows = []
    for engine in ENGINES:
        times = turns.spread(seconds[engine])
        rows.append({"input": [size, size, channels], "engine": engine, **times,
                     "images_per_second": arguments.batch / times["median_ms"] * 1e3})
    best = min(row["median_ms"] for row in rows[1:])
    return {"rows": rows, "ratio": best / rows[0]["median_ms"], "loss_difference_5_steps": difference}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5, help="counted steps of a turn")
    parser.add_argument("--json", help="a file for the results")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--channels", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        work(arguments.engine, arguments.size, arguments.channels, arguments)
        return
    if not turns.FMA_PEAK.exists():
        raise SystemExit(f"{turns.FMA_PEAK} is not built: make bench-training builds it")
    meter = turns.Meter(arguments.threads)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for size, channels in ((32, 3), (28, 1)):
            result = race(size, channels, arguments, meter, folder)
            results.append(result)
            for row in result["rows"]:
                print(f"{size}x{size}x{channels} {row['engine']:>20} {row['median_ms']:8.1f} ms "
                      f"(fastest {row['fastest_ms']:.1f}) {row['images_per_second']:7.1f} images/s")
            print(f"  ratio to the best peer {result['ratio']:.2f}; losses differ by "
                  f"{result['loss_difference_5_steps']:.1e} over 5 steps")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
