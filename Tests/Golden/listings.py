"""The article's first listing in Keras: its losses on a formula's images, with Dropout at rate 0.

Its `call(self, x)` has no argument `training`. In tensorflow.keras of the article's time (Keras 2) `fit` and
`train_on_batch` put every layer inside into training mode all the same; Keras 3 leaves them in inference mode, so that
batch normalisation learns no statistics and Dropout drops nothing. The losses are given for both: `training` comes from
a class derived from the listing's whose `call` has the argument, `inference` from the listing's own.

Nothing here imports Keras before `listings()` is called: the test runs the same with swiftcnn.
"""

import pathlib

import numpy

import formula
import keras_peer

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Python" / "listings"
BATCH, SIZE, CHANNELS = 2, 224, 64


def run(name, package):
    """What the listing defines, run with another package in its import lines."""
    source = (FOLDER / f"{name}.py").read_text().replace("from swiftcnn", f"from {package}")
    found = {"__name__": name}
    exec(compile(source, str(FOLDER / f"{name}.py"), "exec"), found)
    return found


def batch(dtype="float32"):
    """Images, and for each pixel of the output a class of 64, one-hot."""
    x = formula.values("listing/input", (BATCH, SIZE, SIZE, 3)).astype(dtype)
    uniform = formula.values("listing/classes", (BATCH, SIZE // 2, SIZE // 2), 0.5, 0.5)
    classes = (uniform * CHANNELS).astype(int)
    return x, numpy.eye(CHANNELS, dtype=dtype)[classes]


def fill(model):
    """The formula's weights. The last layer's outputs are made positive: the loss takes them for probabilities."""
    for attribute in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"):
        layer = getattr(model, attribute)
        shapes = [tuple(array.shape) for array in layer.get_weights()]
        weights = keras_peer.layer_weights(type(layer).__name__, f"listing/{attribute}", shapes)
        if attribute == "bn3":
            weights[0], weights[1] = weights[0] * numpy.float32(0.5), weights[1] + numpy.float32(2)
        layer.set_weights(weights)


def with_training(base):
    """The listing's class with the argument `training`, which Keras 3 asks for."""

    class ResNet(base):
        def call(self, x, training=None):
            return super().call(x)

    return ResNet


def losses(package, dtype="float32", training=False):
    """Loss and accuracy before training, of two steps of training, and after it.

    Args:
        training: whether `call` has this argument.
    """
    found = run("resnet", package)
    model = found["model"]
    if training:
        model = with_training(found["ResNet"])(found["input_shape"])
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    model.dropout.rate = 0
    x, y = batch(dtype)
    model.predict(x[:1], verbose=0)  # gives the layers their weights
    fill(model)
    found = {}
    for name, call in (
        ("before", model.test_on_batch), ("step1", model.train_on_batch), ("step2", model.train_on_batch),
        ("after", model.test_on_batch),
    ):
        model.reset_metrics()
        found[name] = [float(value) for value in call(x, y)]
    return found


def listings():
    """The document of listings.json."""
    keras_peer.keras("float64")
    found = {"training": losses("keras", "float64", True), "inference": losses("keras", "float64")}
    return {"tolerance": 1e-6, **found}
