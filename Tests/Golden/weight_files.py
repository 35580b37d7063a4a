#!/usr/bin/env python3
"""Writes `weights/`: small files as `torch.save` makes them, in each of its forms, with the formula's values; and a
network's weights as Keras saves them, with its prediction for the formula's input `x` in keras.npy.

Their bytes differ from version to version of PyTorch and Keras; what they say does not.
"""

import argparse
import collections
import datetime
import pathlib

import numpy
import torch

import formula
import keras_peer

FOLDER = pathlib.Path(__file__).with_name("weights")


def tensor(name, *shape):
    """The formula's values for a tensor of that name."""
    return torch.from_numpy(numpy.asarray(formula.values(name, shape), dtype=numpy.float32).reshape(shape).copy())


def state():
    """A network's tensors, as a `state_dict` has them."""
    return collections.OrderedDict([
        ("conv.weight", tensor("conv.weight", 4, 3, 2, 2)),
        ("conv.bias", tensor("conv.bias", 4)),
        ("bn.num_batches_tracked", torch.tensor(7)),
    ])


def keras_files():
    """A network with every kind of layer that has weights, the second kind twice."""
    keras = keras_peer.keras()
    layers = keras.layers
    network = keras.Sequential([
        layers.Input((8, 8, 3)), layers.Conv2D(4, 3, name="first"), layers.BatchNormalization(),
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.PReLU(shared_axes=[1, 2]),
        layers.Conv2D(5, 1, use_bias=False), layers.BatchNormalization(scale=False), layers.Flatten(), layers.Dense(3)])
    for index, variable in enumerate(network.weights):
        values = formula.values(f"{index}", tuple(variable.shape), 0.5, 1.0 if variable.name == "moving_variance" else 0.0)
        variable.assign(values)
    network.save_weights(FOLDER / "keras.weights.h5")
    network.save(FOLDER / "keras.h5")
    numpy.save(FOLDER / "keras.npy", network.predict(formula.values("x", (2, 8, 8, 3)), verbose=0))


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.save(state(), FOLDER / "zip.pth")
    torch.save(state(), FOLDER / "old.pth", _use_new_zipfile_serialization=False)
    # A checkpoint of a training under way, of a network that was wrapped for data-parallel training.
    wrapped = {f"module.{name}": value for name, value in state().items()}
    parameter = torch.nn.Parameter(tensor("conv.weight", 4, 3, 2, 2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    settings = {"lr": 0.1, "size": torch.Size([1, 2]), "type": torch.float32, "where": torch.device("cpu"), "none": None}
    for form, name in ((True, "checkpoint.pth"), (False, "old_checkpoint.pth")):
        torch.save({"epoch": 3, "settings": settings, "optimizer": optimizer.state_dict(), "state_dict": wrapped},
                   FOLDER / name, _use_new_zipfile_serialization=form)
    # Tensors that do not lie in row-major order, and two in one storage.
    both = tensor("both", 6, 4)
    torch.save({"channels_last": tensor("conv.weight", 4, 3, 2, 2).to(memory_format=torch.channels_last),
                "transposed": both.T, "rows": both[2:4], "column": both[:, 1], "expanded": both[:1, :1].expand(2, 3)},
               FOLDER / "strides.pth")
    numbers = torch.tensor([0.5, -2.0, 96.0])
    torch.save({str(kind).removeprefix("torch."): numbers.to(kind) for kind in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8)}
        | {"uint8": torch.tensor([0, 2, 200], dtype=torch.uint8), "bool": torch.tensor([True, False, True])},
        FOLDER / "types.pth")
    # What training scripts keep beside the tensors, which is passed over.
    beside = {
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs/x")), "acc": numpy.float64(71.5), "losses": numpy.arange(3.0),
        "when": datetime.datetime(2026, 11, 29, tzinfo=datetime.timezone.utc), "seen": {1, 2}, "counts": collections.Counter("abca"),
        "meters": collections.defaultdict(list, loss=[0.5]), "best": torch.tensor(71.5), "optimizer": optimizer.state_dict()}
    averaged = wrapped | {"n_averaged": torch.tensor(3)}
    for name, options in (("script.pth", {}), ("script4.pth", {"pickle_protocol": 4}),
                          ("script_old.pth", {"_use_new_zipfile_serialization": False})):
        torch.save(beside | {"model": state(), "model_ema": averaged}, FOLDER / name, **options)
    # What may not be read: a whole module, and a class of whoever wrote the file.
    torch.save(torch.nn.Linear(1, 1), FOLDER / "module.pth")
    keras_files()
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
