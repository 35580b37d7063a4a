"""SwiftCNN: train and run convolutional networks on ordinary CPUs.

The names are Keras's. A model is made by name, of layers, or by a class of your own::

    import swiftcnn
    from swiftcnn import datasets, layers

    model = swiftcnn.create_model("resnet20", input_shape=(28, 28, 1), classes=10)      # one of list_models()

    inputs = layers.Input((28, 28, 1))                                                  # or of layers
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = swiftcnn.Model(inputs, layers.Dense(10, activation="softmax")(x))

    class Net(swiftcnn.Model):                                                          # or by a class
        def __init__(self):
            super().__init__()
            self.conv = layers.Conv2D(16, 3, padding="same", activation="relu")
            self.pool = layers.GlobalAveragePooling2D()
            self.classifier = layers.Dense(10, activation="softmax")

        def call(self, x):
            return self.classifier(self.pool(self.conv(x)))

``swiftcnn.Sequential`` makes one of a list of layers. All are trained, saved and loaded alike::

    (x, y), (x_test, y_test) = datasets.fashion_mnist()
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=128, epochs=2, validation_data=(x_test, y_test))
    model.save("m.safetensors")
    model = swiftcnn.load_model("m.safetensors")

Pictures in folders are read, changed at random and fed by threads: ``model.fit(swiftcnn.ImageFolder("train"))``.

Arrays may be those of any library that speaks DLPack, the buffer protocol or ``__array__``; ``from_dlpack`` makes
NumPy's of them. ``swiftcnn.sklearn`` has a classifier for scikit-learn.

Images are NHWC. uint8 arrays are pixels. A model made by name divides them by 255 and normalises them with its own
mean and standard deviation, the same in training, evaluation and prediction. A model made of layers takes them as they
are, 0 to 255, until ``set_normalization``. Every other numeric dtype is converted to float32 as it stands.

Errors are Python's own: ``ValueError`` for an argument outside its domain, a shape that does not fit, an unknown name
(the message suggests the nearest) or a malformed file, ``TypeError`` for an argument of the wrong kind (mostly one that
is a ``ValueError`` too, as Keras has it), ``OSError`` and its subclasses where the system refuses to read or write,
``MemoryError``, ``FloatingPointError`` where training produced NaN, and ``RuntimeError`` for what is not possible now,
as training before ``compile``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._swiftcnn import version as _version

if TYPE_CHECKING:
    from . import (
        activations,
        callbacks,
        config,
        datasets,
        distillation,
        initializers,
        layers,
        losses,
        metrics,
        models,
        onnx,
        ops,
        optimizers,
        regularizers,
        schedules,
        utils,
    )
    from ._compression import compress
    from ._folders import ImageFolder
    from ._interchange import from_dlpack
    from ._pruning import prune
    from ._quantization import quantization_aware, quantize
    from ._runtime import get_num_threads, set_num_threads, set_thread_pinning
    from ._sparsity import sparsify
    from .distillation import distill
    from .layers import Input
    from .models import Model, Sequential, create_model, list_models, load_model

__version__: str = _version()

__all__ = [
    "ImageFolder",
    "Input",
    "Model",
    "Sequential",
    "__version__",
    "activations",
    "callbacks",
    "compress",
    "config",
    "create_model",
    "datasets",
    "distill",
    "distillation",
    "from_dlpack",
    "get_num_threads",
    "initializers",
    "layers",
    "list_models",
    "load_model",
    "losses",
    "metrics",
    "models",
    "onnx",
    "ops",
    "optimizers",
    "prune",
    "quantization_aware",
    "quantize",
    "regularizers",
    "schedules",
    "set_num_threads",
    "set_thread_pinning",
    "sparsify",
    "utils",
]
__dir__ = __all__.copy


# Where what is no module of its own is; all is read when it is first asked for.
_PLACES = {
    "ImageFolder": "_folders",
    "compress": "_compression",
    "distill": "distillation",
    "from_dlpack": "_interchange",
    "prune": "_pruning",
    "quantization_aware": "_quantization",
    "quantize": "_quantization",
    "sparsify": "_sparsity",
    "Input": "layers",
    **dict.fromkeys(["get_num_threads", "set_num_threads", "set_thread_pinning"], "_runtime"),
    **dict.fromkeys(["Model", "Sequential", "create_model", "list_models", "load_model"], "models"),
}

if not TYPE_CHECKING:  # which knows by the imports above what there is, and what there is not

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = import_module(f"{__name__}.{_PLACES.get(name, name)}")
        globals()[name] = found = getattr(found, name) if name in _PLACES else found
        return found
