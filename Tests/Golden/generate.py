#!/usr/bin/env python3
"""Makes the golden files beside this script, or with --check compares them with what would be made now.

Needs torch, torchvision, timm, keras, pillow, numpy and safetensors. All but Keras's values are computed in float64 from float32
inputs and rounded to float32 once, so that they do not depend on a library's order of summation.
"""

import argparse
import pathlib
import sys

import golden_file
from fidelity import fidelity
from keras_defaults import keras_defaults
from keras_layers import keras_layers
from keras_values import keras_values
from listings import listings
from models import models
from operations import operations
from photos import photos
from picture_operations import picture_operations
from pictures import pictures
from training import training
from weight_names import weight_names

TENSORS = {
    "operations": operations, "training_step": training, "models": models, "keras": keras_values,
    "keras_layers": keras_layers, "pictures": pictures,
    "picture_operations": picture_operations,
}
DOCUMENTS = {
    "keras_defaults": keras_defaults, "fidelity": fidelity, "listings": listings, "weight_names": weight_names,
    "photos": photos,
}
FILES = [*TENSORS, *DOCUMENTS]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing; exit status 1 if they differ")
    parser.add_argument("files", nargs="*", metavar="file", help=f"any of {', '.join(FILES)}; all when none is named")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.files if name not in FILES]
    if unknown:
        parser.error(f"unknown file {unknown[0]}; expected any of {', '.join(FILES)}")
    found = []
    for name in arguments.files or FILES:
        tensors, document = TENSORS[name]() if name in TENSORS else ({}, DOCUMENTS[name]())
        path = pathlib.Path(__file__).with_name(f"{name}.{'safetensors' if name in TENSORS else 'json'}")
        if arguments.check:
            found += golden_file.differences(path, tensors, document)
        else:
            print(golden_file.write(path, tensors, document))
    if arguments.check:
        print("\n".join(found) if found else "the golden files are what would be made now")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
