#!/usr/bin/env python3
"""Compares the EfficientNets of the library with those of keras.applications: random weights of Keras, through both of
its kinds of files, the same images.

Needs keras, torch as its backend, h5py and the built Python package (`make parity`). Prints a row a model: for each kind
of file the largest difference over the largest probability, of float32 images in place of pixels. The exit status is 1
if one is above the tolerance.
"""

import argparse
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import absl.logging  # noqa: E402
import keras  # noqa: E402
import numpy  # noqa: E402

import swiftcnn  # noqa: E402

TOLERANCE = 1e-5
# Keras's name and the library's.
MODELS = {f"EfficientNetB{scale}": f"tf_efficientnet_b{scale}" for scale in range(8)} | {
    "EfficientNetV2S": "tf_efficientnetv2_s"}
SIZE = 96


def randomized(name, random):
    """Keras's network without its constants of pixels, with weights and statistics that are not 0 and 1.

    Branches are weak beside their shortcuts, as after training: else a deep network only amplifies rounding errors.
    """
    network = getattr(keras.applications, name)(
        weights=None, input_shape=(SIZE, SIZE, 3), **({"include_preprocessing": False} if "V2" in name else {}))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            scale = (0.1, 0.3) if "project" in layer.name else (0.7, 1.3)
            layer.set_weights([
                random.uniform(*scale, gamma.shape), random.normal(0, 0.2, beta.shape),
                random.normal(0, 0.1, mean.shape), random.uniform(0.7, 1.4, variance.shape)])
        elif isinstance(layer, keras.layers.Normalization | keras.layers.Rescaling):
            continue
        elif layer.get_weights() and len(layer.get_weights()) > 1:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, random.normal(0, 0.2, bias.shape)])
    return network


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="model", help="Keras's names; all when none is given")
    given = parser.parse_args()
    failed = 0
    absl.logging.set_verbosity(absl.logging.ERROR)  # Keras warns of its older kind of file.
    print(f"swiftcnn {swiftcnn.__version__}, keras {keras.__version__}")
    print(f"{'model':<18}{'.weights.h5':>12}{'.h5':>12}")
    for name in given.models or MODELS:
        random = numpy.random.default_rng(7)
        network = randomized(name, random)
        x = random.standard_normal((2, SIZE, SIZE, 3)).astype(numpy.float32)
        # EfficientNet B0 to B7 begin with pixels: what the library takes is what comes out of their first layers.
        inside = 255 * x if "V2" not in name else x
        expected = network.predict(inside, verbose=0)
        differences = []
        with tempfile.TemporaryDirectory() as directory:
            for suffix in (".weights.h5", ".h5"):
                path = pathlib.Path(directory) / f"w{suffix}"
                (network.save_weights if suffix == ".weights.h5" else network.save)(path)
                model = swiftcnn.create_model(MODELS[name], weights=path, input_shape=(SIZE, SIZE, 3))
                result = model.predict(x, verbose=0)
                differences.append(float(numpy.abs(result - expected).max() / expected.max()))
        is_equal = max(differences) <= TOLERANCE
        failed += not is_equal
        print(f"{name:<18}{differences[0]:>12.1e}{differences[1]:>12.1e}{'' if is_equal else '  differs'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
