#!/usr/bin/env python3
"""Compares every model of the library with torchvision's or timm's: the same random weights, the same images.

Needs torch, torchvision, timm, safetensors and the built Python package (`make parity`). The peer computes in float64.
Its batch normalisation has the statistics of a random batch, changed at random, so that every layer's input matters.
Prints a row a model: its parameters here and there, the resolution, and for each kind of image the largest difference
over the largest logit. The exit status is 1 if any is above the tolerance, or if the number of parameters, the
resolution or the constants of the pixels differ.
"""

import argparse
import pathlib
import sys
import tempfile
import time
import zlib

import networks
import numpy
import safetensors.torch
import torch

import swiftcnn

TOLERANCE = 1e-5
CLASSES = 1000
# Kinds of images: noise and pixels at the published resolution, noise at an odd size that is not square, at a small
# even one, and a single value in all places, where only the padding differs from pixel to pixel.
KINDS = ("noise", "pixels", "97x131", "64x80", "constant")


def randomized(name, random):
    """The peer's network with random weights and statistics, in float64, in inference mode."""
    torch.manual_seed(zlib.crc32(name.encode()))
    network = networks.named(name, classes=CLASSES).eval()
    layers = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    def measure(layer, inputs):
        # One variance for the whole layer: where a channel hardly varies, its own would make noise of other images.
        channels = (0, 2, 3)
        deviation = inputs[0].var(channels).mean().sqrt()
        layer.running_mean.copy_(inputs[0].mean(channels) + 0.2 * deviation * torch.randn_like(layer.running_mean))
        layer.running_var.copy_(deviation**2 * torch.empty_like(layer.running_var).uniform_(0.7, 1.4))

    with torch.no_grad():
        for layer in layers:
            layer.weight.uniform_(0.7, 1.3)
            layer.bias.normal_(0, 0.2)
        hooks = [layer.register_forward_pre_hook(measure) for layer in layers]
        network(torch.from_numpy(random.standard_normal((4, 3, 96, 96), dtype=numpy.float32)))
        for hook in hooks:
            hook.remove()
        for parameter in network.parameters():
            # Biases, which libraries begin with zero; those of batch normalisation are random already.
            if parameter.ndim == 1 and not parameter.any():
                parameter.normal_(0, 0.2)
    return network.double()


def images(kind, size, random, published):
    """Images NHWC as the library takes them, and as float32 NCHW for the peer."""
    if kind == "pixels":
        x = random.integers(0, 256, (1, *size, 3), dtype=numpy.uint8)
        constants = (numpy.array(published[key]) for key in ("mean", "std"))
        mean, deviation = constants
        return x, torch.from_numpy(((x / 255.0 - mean) / deviation).transpose(0, 3, 1, 2))
    if kind == "constant":
        x = numpy.full((1, 61, 75, 3), 0.75, numpy.float32)
    elif kind == "noise":
        x = random.standard_normal((1, *size, 3), dtype=numpy.float32)
    else:
        x = random.standard_normal((2, *map(int, kind.split("x")), 3), dtype=numpy.float32)
    return x, torch.from_numpy(x.transpose(0, 3, 1, 2)).double()


def compare(name, directory):
    """The row of a model, and what is wrong with it."""
    random = numpy.random.default_rng(zlib.crc32(name.encode()))
    network = randomized(name, random)
    published = networks.published(name)
    path = str(pathlib.Path(directory) / "weights.safetensors")
    safetensors.torch.save_file(
        {key: value.float().contiguous() for key, value in network.state_dict().items()}, path)
    network.load_state_dict({key: value.double() for key, value in safetensors.torch.load_file(path).items()})

    model = swiftcnn.create_model(name, weights=path, classes=CLASSES, classifier_activation=None)
    ours, theirs = model.count_params(), sum(parameter.numel() for parameter in network.parameters())
    faults = [] if ours == theirs else ["parameters differ"]
    resolution = list(model.input_shape[1:3])
    if resolution != published["resolution"]:
        faults.append(f"the published resolution is {published['resolution']}")
    for (mine, key) in zip(model.normalization, ("mean", "std")):
        if not numpy.allclose(mine, published[key]):
            faults.append(f"{key} is {published[key]}")
    differences = []
    for kind in KINDS:
        x, peers = images(kind, resolution, random, published)
        if x.shape[1:] != tuple(model.input_shape[1:]):
            model = swiftcnn.create_model(
                name, weights=path, input_shape=x.shape[1:], classes=CLASSES, classifier_activation=None)
        with torch.no_grad():
            expected = network(peers).numpy()
        differences.append(float(numpy.abs(model.predict(x) - expected).max() / numpy.abs(expected).max()))
        if not differences[-1] <= TOLERANCE:
            faults.append(f"{kind} differs by more than {TOLERANCE}")
    row = [name, f"{ours:,}", f"{theirs:,}", "x".join(map(str, resolution)), *(f"{d:.1e}" for d in differences)]
    return row, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="model", help="names of models; all when none is given")
    arguments = parser.parse_args()
    layout = "{:<23}{:>13}{:>13}{:>11}" + "{:>10}" * len(KINDS)
    print(f"swiftcnn {swiftcnn.__version__}, torch {torch.__version__}, torchvision "
          f"{networks.torchvision().__version__}, timm {networks.timm().__version__}")
    print(layout.format("model", "parameters", "theirs", "resolution", *KINDS))
    failed, begin = 0, time.monotonic()
    names = arguments.models or swiftcnn.list_models()
    for name in names:
        with tempfile.TemporaryDirectory() as directory:
            row, faults = compare(name, directory)
        failed += bool(faults)
        print(layout.format(*row), "; ".join(faults), flush=True)
    print(f"{len(names) - failed} of {len(names)} models are equal within {TOLERANCE} of the largest logit, "
          f"in {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
