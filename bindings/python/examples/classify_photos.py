"""Says what photos show, with a network of the library and trained weights from a file.

    python3 classify_photos.py tf_efficientnet_lite0 efficientnet-lite0.pth photo.jpg another.png

The weights may be a .pth, .safetensors or .h5 file of torchvision, timm, efficientnet_pytorch or Keras.
"""

from __future__ import annotations

import argparse
import os

import swiftcnn


def main() -> None:
    parser = argparse.ArgumentParser(description="Says what photos show.")
    parser.add_argument("model", help="a name of swiftcnn.list_models()")
    parser.add_argument("weights", help="a file of weights for it")
    parser.add_argument("photos", nargs="+", help="JPEG or PNG files")
    parser.add_argument("--top", type=int, default=3, help="how many classes")
    arguments = parser.parse_args()

    model = swiftcnn.create_model(arguments.model, weights=arguments.weights)
    for photo in arguments.photos:
        found = ", ".join(f"{name} {100 * value:.1f} %" for name, value in model.classify(photo, top=arguments.top))
        print(f"{os.path.basename(photo)}: {found}")


if __name__ == "__main__":
    main()
