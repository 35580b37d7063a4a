"""ONNX files: models of other frameworks to be trained and run here, and those made here for others to run.

``model.export("m.onnx")`` writes one, ``swiftcnn.load_model("m.onnx")`` or ``onnx.load`` reads one::

    model = swiftcnn.onnx.load("resnet18.onnx")     # as torch.onnx.export wrote it
    model.predict(x)                                # NHWC, as every model here
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from . import _swiftcnn
from ._checks import boolean, readable, text

if TYPE_CHECKING:
    from .models import Model

    Path = str | os.PathLike[str]

__all__ = ["load", "operations"]


def load(filepath: Path, *, layout: str = "nhwc", batch: bool = True) -> Model:
    """Reads an ONNX file of operator set 7 to 28. Its parameters are named by the file's initializers, and can be
    trained. Weights in other files of the same folder are read with it.

    Args:
        layout: ``"nhwc"``: images at the model's input and output are (batch, height, width, channels), whatever the
            file has. ``"file"``: as in the file.
        batch: whether the first axis is the batch. False: a whole tensor is one sample, and the model's input and
            output have one more axis in front.

    Raises:
        OSError: the file, or one with its weights, cannot be read.
        ValueError: it is no ONNX model, or has an operation that is not in ``operations()``: the message names the
            node.
        RuntimeError: libswiftcnn_onnx.so is not installed.
    """
    from .models import Model

    options = {"layout": text(layout, "layout"), "batch": boolean(batch, "batch")}
    return Model._of(_swiftcnn.import_onnx(readable(filepath, "filepath"), json.dumps(options)))


def operations() -> list[str]:
    """The names of the ONNX operations that ``load`` reads."""
    return _swiftcnn.onnx_operations().split("\n")
