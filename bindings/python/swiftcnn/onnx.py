"""ONNX files: models of other frameworks to be trained and run here, and those made here for others to run.

``model.export("m.onnx")`` writes one, ``swiftcnn.load_model("m.onnx")`` or ``onnx.load`` reads one::

    model = swiftcnn.onnx.load("resnet18.onnx")     # as torch.onnx.export wrote it
    model.predict(x)                                # NHWC, as every model here
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _swiftcnn
from ._checks import boolean, readable
from ._config import told
from ._warnings import warn
from .models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Path = str | os.PathLike[str]
    Buffer = bytes | bytearray | memoryview

__all__ = ["ImportReport", "load", "operations", "report"]
__dir__ = __all__.copy  # what completion offers


class ImportReport(NamedTuple):
    """How an ONNX file was read, in sentences."""

    #: What may be other than expected; ``load`` warns of each.
    warnings: list[str]
    #: What was found and decided, as the layout of images in the file.
    notes: list[str]


def load(
    filepath: Path | Buffer | Any,
    *,
    layout: str = "nhwc",
    batch: bool = True,
    preprocessing: Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
) -> Model:
    """Reads an ONNX file of operator set 7 to 28. Its parameters are named by the file's initializers, and can be
    trained. Weights in other files of the same folder are read with it. What is doubtful is a warning; ``report`` tells
    more.

    Args:
        filepath: the file's path; or its contents: ``bytes`` or another buffer, a file that is open for reading in
            binary mode, or an ``onnx.ModelProto``. Weights in other files need a path.
        layout: ``"nhwc"``: images at the model's input and output are (batch, height, width, channels), whatever the
            file has. ``"file"``: as in the file.
        batch: whether the first axis is the batch. False: a whole tensor is one sample, and the model's input and
            output have one more axis in front.
        preprocessing: what is done to pictures and pixels, as ``Model.set_preprocessing`` takes it. By default a model
            of 1000 classes is taken for one of ImageNet, and prepares pictures as is usual for it; where the network
            normalises its input itself, that is not done a second time.
        class_names: the names of the classes; by default ImageNet's where there are 1000.

    Raises:
        OSError: the file, or one with its weights, cannot be read.
        ValueError: it is no ONNX model, or has an operation that is not in ``operations()``: the message names the
            node.
        RuntimeError: libswiftcnn_onnx.so is not installed.
    """
    options = told(
        {"layout": layout, "batch": boolean(batch, "batch"), "preprocessing": preprocessing, "class_names": class_names}
    )
    contents = _contents(filepath)
    if contents is None:
        core = _swiftcnn.import_onnx(readable(filepath, "filepath"), options)
    else:
        core = _swiftcnn.import_onnx_bytes(contents, options)
    model = Model._of(core)
    found = report(model)
    for sentence in found.warnings if found else []:
        warn(sentence)
    return model


def report(model: Model) -> ImportReport | None:
    """How the ONNX file was read that ``model`` was made of; None for a model that comes from elsewhere."""
    text = model._handle.import_report()
    return ImportReport(**json.loads(text)) if text else None


def _contents(given: Any) -> Buffer | None:
    """The bytes of a model that was not given by its path."""
    if isinstance(given, str | os.PathLike):
        return None
    if hasattr(given, "SerializeToString"):  # onnx.ModelProto
        found: Buffer = given.SerializeToString()
        return found
    if hasattr(given, "read"):
        given = given.read()
        if isinstance(given, str):
            raise TypeError("filepath must be a file open in binary mode, got one in text mode")
    try:
        return memoryview(given)
    except TypeError:
        raise TypeError(
            f"filepath must be a path, bytes, a binary file or an onnx.ModelProto, got {type(given).__name__}"
        ) from None


def operations() -> list[str]:
    """The names of the ONNX operations that ``load`` reads."""
    return _swiftcnn.onnx_operations().split("\n")
