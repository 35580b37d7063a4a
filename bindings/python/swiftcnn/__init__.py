"""SwiftCNN: train and run convolutional networks on ordinary CPUs.

The names are Keras's::

    import swiftcnn
    from swiftcnn import datasets

    (x, y), (xt, yt) = datasets.fashion_mnist()
    model = swiftcnn.create_model("resnet20", input_shape=(28, 28, 1), classes=10)
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=128, epochs=2, validation_data=(xt, yt))
    model.save("m.safetensors")

Images are NHWC. uint8 arrays are pixels: divided by 255, then normalised with the model's own mean and standard
deviation, the same in training, evaluation and prediction. Every other numeric dtype is converted to float32 as it
stands.

Errors are Python's own: ``ValueError`` for an argument outside its domain, a shape that does not fit, an unknown name
(the message suggests the nearest) or a malformed file, ``TypeError`` for an argument of the wrong kind, ``OSError``
where the system refuses to read or write, ``MemoryError``, ``FloatingPointError`` where training produced NaN, and
``RuntimeError`` for what is not possible now, as training before ``compile``.
"""

from __future__ import annotations

from . import (
    activations,
    callbacks,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    schedules,
    utils,
)
from ._runtime import get_num_threads, set_num_threads, set_thread_pinning
from ._swiftcnn import version as _version
from .layers import Input
from .models import Model, Sequential, create_model, list_models, load_model

__version__: str = _version()

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "__version__",
    "activations",
    "callbacks",
    "create_model",
    "datasets",
    "get_num_threads",
    "initializers",
    "layers",
    "list_models",
    "load_model",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "schedules",
    "set_num_threads",
    "set_thread_pinning",
    "utils",
]
