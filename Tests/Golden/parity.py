#!/usr/bin/env python3
"""Compares every model of the library with torchvision's or timm's: the same random weights, the same images.

Needs torch, torchvision, timm, safetensors and the built Python package (`make parity`). For each kind of images the
running statistics of batch normalisation are near those of the images, changed at random: so every layer's input
matters to the logits, and rounding is not amplified from layer to layer. Both sides compute in float32; where
they differ by more than the tolerance the peer computes in float64, and the row says so.

The weights come as safetensors; those of both forms of `.pth` and of a model file must be the same bits, the peer must
take what the library writes for it, and the network must give the same logits through an ONNX file.

Prints a row a model: its parameters here and there, the resolution of the first two kinds, for each kind of images and
for noise through ONNX the largest difference over the largest logit, and how much the logits of two images differ. The
exit status is 1 if a difference is above the tolerance, or if weights, the number of parameters, the published resolution
or the constants of the pixels differ.
"""

import argparse
import copy
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
# The logits of two images differ by this share of the largest at least: else a comparison would mean little.
SMALLEST_SPREAD = 0.01
CLASSES = 1000
# Models for larger images are compared at this size.
LARGEST = 384
# The residual blocks of all libraries.
BLOCKS = (
    "BasicBlock", "Bottleneck", "ArticleBlock", "MBConv", "FusedMBConv", "ConvBnAct", "DepthwiseSeparableConv",
    "InvertedResidual", "EdgeResidual",
)
# Kinds of images: noise and pixels at the resolution, noise at an odd size that is not square, at a small
# even one, and one value in all places, so that only the padding makes pixels differ.
KINDS = ("noise", "pixels", "97x131", "64x80", "constant")


def randomized(name):
    """The peer's network with random weights in inference mode.

    The last batch normalisation of a block has small weights, as in a trained network the branch is small beside the
    shortcut: else a deep network amplifies rounding errors a thousandfold, the peer's as well as ours.
    """
    torch.manual_seed(zlib.crc32(name.encode()))
    network = networks.named(name, classes=CLASSES).eval()
    with torch.no_grad():
        for parameter_name, parameter in network.named_parameters():
            if parameter_name.endswith("bias"):
                parameter.normal_(0, 0.2)
            elif parameter.ndim == 1:
                parameter.uniform_(0.7, 1.3)
        for block in network.modules():
            if type(block).__name__ in BLOCKS:
                layers = [
                    layer for name, layer in block.named_modules()
                    if isinstance(layer, torch.nn.BatchNorm2d) and not name.startswith("downsample")
                ]
                layers[-1].weight.uniform_(0.1, 0.3)
    return network


def measured(network, x):
    """The logits of `x`, with running statistics that are set on the way to those of `x`, changed at random.

    Returns the logits and the statistics by name.
    """
    found, hooks = {}, []

    def measure(name):
        def hook(layer, inputs):
            # One variance for the whole layer, and a share of the mean square: where channels hardly vary beside their
            # mean, their own variance would blow up what is only rounding. With a larger share the logits would
            # depend less on the images; the last column says how much they do.
            channels = (0, 2, 3)
            variance = inputs[0].var(channels, correction=0).mean() + 1.4 * inputs[0].square().mean()
            shift = 0.2 * variance.sqrt() * torch.randn_like(layer.running_mean)
            layer.running_mean.copy_(inputs[0].mean(channels) + shift)
            layer.running_var.copy_(variance * torch.empty_like(layer.running_var).uniform_(0.7, 1.4))
            found[f"{name}.running_mean"] = layer.running_mean.numpy().copy()
            found[f"{name}.running_var"] = layer.running_var.numpy().copy()

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            hooks.append(layer.register_forward_pre_hook(measure(name)))
    with torch.no_grad():
        logits = network(x).numpy()
    for hook in hooks:
        hook.remove()
    return logits, found


def images(kind, size, random, published):
    """Images NHWC as the library takes them, and as the peer does, NCHW."""
    if kind == "pixels":
        x = random.integers(0, 256, (1, *size, 3), dtype=numpy.uint8)
        mean, deviation = (numpy.array(published[key]) for key in ("mean", "std"))
        return x, torch.from_numpy(((x / 255.0 - mean) / deviation).transpose(0, 3, 1, 2)).float()
    if kind == "constant":
        x = numpy.full((1, 61, 75, 3), 0.75, numpy.float32)
    elif kind == "noise":
        x = random.standard_normal((1, *size, 3), dtype=numpy.float32)
    else:
        x = random.standard_normal((2, *map(int, kind.split("x")), 3), dtype=numpy.float32)
    return x, torch.from_numpy(x.transpose(0, 3, 1, 2))


def relative_difference(result, expected):
    """The largest difference over the largest element expected."""
    return float(numpy.abs(result - expected).max() / numpy.abs(expected).max())


def weights(model):
    """The parameters by name."""
    return {parameter.name: model.get_parameter(parameter.name) for parameter in model.parameters}


def faults_of_files(name, network, model, directory):
    """What the other files of the same weights, read and written, do otherwise than the first."""
    faults, expected = [], weights(model)
    options = {"classes": CLASSES, "classifier_activation": None}
    paths = {form: str(directory / f"{form}.pth") for form in ("zip", "stream", "written")}
    for form in ("zip", "stream"):
        torch.save(network.state_dict(), paths[form], _use_new_zipfile_serialization=form == "zip")
    model.save(directory / "model.safetensors")
    others = {f"the {form} form of .pth": swiftcnn.create_model(name, weights=paths[form], **options)
              for form in ("zip", "stream")}
    others["a model file"] = swiftcnn.load_model(directory / "model.safetensors")
    for what, other in others.items():
        found = weights(other)
        if found.keys() != expected.keys() or any(
                found[key].tobytes() != expected[key].tobytes() for key in expected):
            faults.append(f"{what} gives other weights")
    model.save_weights(paths["written"], naming={"here": "native"}.get(networks.library(name), networks.library(name)))
    written, state = torch.load(paths["written"], weights_only=True), network.state_dict()
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    if written.keys() - counters != state.keys() - counters or any(
            not torch.equal(written[key], state[key]) for key in state.keys() - counters):
        faults.append("the .pth that is written has other weights")
    return faults


def through_onnx(model, x, directory):
    """The logits of `x` after the network was written as ONNX and read again."""
    model.export(directory / "model.onnx")
    return swiftcnn.load_model(directory / "model.onnx").predict(x, verbose=0)


def compare(name, directory):
    """The row of a model, what is to be said of it, and what is wrong with it."""
    random = numpy.random.default_rng(zlib.crc32(name.encode()))
    network = randomized(name)
    published = networks.published(name)
    path = str(directory / "weights.safetensors")
    safetensors.torch.save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)

    model = swiftcnn.create_model(name, weights=path, classes=CLASSES, classifier_activation=None)
    ours, theirs = model.count_params(), sum(parameter.numel() for parameter in network.parameters())
    faults = [] if ours == theirs else ["parameters differ"]
    resolution = list(model.input_shape[1:3])
    if resolution != published["resolution"]:
        faults.append(f"the published resolution is {published['resolution']}")
    for mine, key in zip(model.normalization, ("mean", "std")):
        if not numpy.allclose(mine, published[key]):
            faults.append(f"{key} is {published[key]}")
    faults += faults_of_files(name, network, model, directory)
    size = [min(side, LARGEST) for side in resolution]
    differences, notes = [], []
    for kind in KINDS:
        x, peers = images(kind, size, random, published)
        if x.shape[1:] != tuple(model.input_shape[1:]):
            model = swiftcnn.create_model(
                name, weights=path, input_shape=x.shape[1:], classes=CLASSES, classifier_activation=None)
        expected, statistics = measured(network, peers)
        for parameter, value in statistics.items():
            model.set_parameter(parameter, value)
        result = model.predict(x, verbose=0)
        differences.append(relative_difference(result, expected))
        if not differences[-1] <= TOLERANCE:
            # The peer rounds too. In float64 (slow) what is left is the library's own error.
            with torch.no_grad():
                exact = copy.deepcopy(network).double()(peers.double()).numpy()
            notes.append(
                f"{kind}: {relative_difference(result, exact):.1e} from float64, the peer's float32 "
                f"{relative_difference(expected, exact):.1e}")
            differences[-1] = relative_difference(result, exact)
        if kind == "noise":
            onnx = relative_difference(through_onnx(model, x, directory), result)
            if not onnx <= TOLERANCE:
                faults.append(f"through ONNX the logits differ by more than {TOLERANCE}")
        if len(x) > 1:
            spread = float(numpy.abs(expected[0] - expected[1]).max() / numpy.abs(expected).max())
        if not differences[-1] <= TOLERANCE:
            faults.append(f"{kind} differs by more than {TOLERANCE}")
    if not spread >= SMALLEST_SPREAD:
        faults.append("the logits hardly depend on the image")
    row = [name, f"{ours:,}", f"{theirs:,}", "x".join(map(str, size)), *(f"{d:.1e}" for d in differences),
           f"{onnx:.1e}", f"{spread:.2f}"]
    return row, notes, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="model", help="names of models; all when none is given")
    arguments = parser.parse_args()
    layout = "{:<23}{:>13}{:>13}{:>11}" + "{:>10}" * (len(KINDS) + 1) + "{:>8}"
    print(f"swiftcnn {swiftcnn.__version__}, torch {torch.__version__}, torchvision "
          f"{networks.torchvision().__version__}, timm {networks.timm().__version__}")
    print(layout.format("model", "parameters", "theirs", "resolution", *KINDS, "onnx", "spread"))
    failed, begin = 0, time.monotonic()
    names = arguments.models or swiftcnn.list_models()
    for name in names:
        with tempfile.TemporaryDirectory() as directory:
            row, notes, faults = compare(name, pathlib.Path(directory))
        failed += bool(faults)
        print(layout.format(*row), "; ".join(notes + faults), flush=True)
    print(f"{len(names) - failed} of {len(names)} models are equal within {TOLERANCE} of the largest logit, "
          f"in {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
