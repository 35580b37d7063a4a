#!/usr/bin/env python3
"""Fine-tuning a network on a folder of JPEG pictures, beside PyTorch with torchvision: seconds an epoch.

All weights train, by SGD with momentum, in batches of 32 of 224 x 224, cut out at random and mirrored. Each engine has a
process of its own, stopped while another works; PyTorch has as many processes beside it that read pictures as threads,
is channels-last, and is measured eager and compiled. The first epoch of each process warms it up."""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile

import folders
import turns

BATCH = 32
RATE, MOMENTUM = 1e-4, 0.9
CLASSES = 4  # Of folders.make.


def swiftcnn(model, folder, threads):
    """Ours."""
    sys.path.append(str(turns.ROOT / "bindings" / "python"))
    import swiftcnn

    swiftcnn.set_num_threads(threads)
    network = swiftcnn.create_model(model, classes=CLASSES, input_shape=(224, 224, 3))
    network.compile(swiftcnn.optimizers.SGD(RATE, momentum=MOMENTUM), "sparse_categorical_crossentropy")
    source = swiftcnn.ImageFolder(folder, random_resized_crop=True, horizontal_flip=True, drop_last=True)

    def epoch():
        return network.fit(source, verbose=0).history["loss"][0]

    return epoch, swiftcnn.__version__


def torch(model, folder, threads, compiled):
    """PyTorch, timm's network and torchvision's pictures."""
    import timm
    import torch
    import torchvision
    from torchvision.transforms import v2

    torch.set_num_threads(threads)
    network = timm.create_model(model, num_classes=CLASSES).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)
    changes = v2.Compose([
        v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD)])
    data = torchvision.datasets.ImageFolder(folder, changes)
    loader = torch.utils.data.DataLoader(
        data, BATCH, shuffle=True, drop_last=True, num_workers=threads, persistent_workers=True)
    forward = torch.compile(network) if compiled else network

    def epoch():
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(forward(x.contiguous(memory_format=torch.channels_last)), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / len(loader)

    return epoch, torch.__version__.split("+")[0]


ENGINES = {
    "swiftcnn": swiftcnn,
    "torch": lambda *given: torch(*given, compiled=False),
    "torch compiled": lambda *given: torch(*given, compiled=True),
}


def work(engine, model, folder, threads):
    """A worker's process."""

    def make():
        epoch, version = ENGINES[engine](model, folder, threads)
        return lambda place: epoch(), {"version": version}

    turns.serve(make)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work[0], given.model, given.work[1], given.threads)
        return
    with tempfile.TemporaryDirectory() as folder:
        folders.make(folder, given.pictures)
        workers, failures = {}, {}
        for engine in ENGINES:
            command = [sys.executable, __file__, "--model", given.model, "--threads", str(given.threads)]
            log = pathlib.Path(folder, f"{engine}.log")
            try:
                workers[engine] = turns.Worker([*command, "--work", engine, folder], {}, log)
            except turns.Failure as failure:
                failures[engine] = str(failure)
        try:
            seconds, losses, fallen = turns.take_turns(workers, given.turns, {"calls": 1}, None)
        finally:
            for worker in workers.values():
                worker.close()
    medians = {engine: statistics.median(found) for engine, found in seconds.items() if found}
    best = min((found for engine, found in medians.items() if engine != "swiftcnn"), default=None)
    print(f"{given.model}, {given.pictures} pictures, {given.threads} threads, medians of {given.turns} turns\n")
    print("| engine | seconds an epoch | pictures/s | last loss | by the fastest peer |\n|---|---|---|---|---|")
    for engine, median in medians.items():
        ratio = "" if best is None else f"{best / median:.2f}"
        print(f"| {engine} {workers[engine].about['version']} | {median:.2f} | {given.pictures / median:.0f} | "
              f"{losses[engine][-1]:.3f} | {ratio} |")
    for engine, reason in {**failures, **fallen}.items():
        print(f"{engine}: {reason}")
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
