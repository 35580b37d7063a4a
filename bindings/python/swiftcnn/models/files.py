"""Models read from files and copied, with the layers that they were made of."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _swiftcnn
from .._checks import boolean, readable
from .._symbolic import rebuilding
from .comparison import same_form
from .description import KEY, UnknownPartError, Writer, from_description, keep_description

if TYPE_CHECKING:
    from .model import Model

    Path = str | os.PathLike[str]


def load_model(
    filepath: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Model:
    """Reads a model file: the network, its parameters and, where it was saved with it, its training state. The model
    has the layers it had when it was saved from Python. A file whose name ends in ``.onnx`` is read as
    ``swiftcnn.onnx.load`` does it.

    Args:
        custom_objects: your own classes of layers and models, and functions that layers were given, by name. Where one
            is missing, or gives another network than it did, the model is a functional one of its layers, with a
            warning that says so: it computes and trains the same.
        compile: False leaves the training state in the file.
        safe_mode: Keras's, without effect: nothing in a file is executed.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no model file.
    """
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(f"custom_objects must be a dictionary of names and classes, got {custom_objects!r}")
    boolean(safe_mode, "safe_mode")
    file = readable(filepath, "filepath")
    if os.fsdecode(file).lower().endswith(".onnx"):
        from ..onnx import load

        return load(filepath)
    core = _swiftcnn.load_model(file)
    if not boolean(compile, "compile"):
        with _passing_file() as path:
            core.save(path, False)
            core = _swiftcnn.load_model(path)
    return with_layers(core, custom_objects or {})


def with_layers(core: _swiftcnn.Model, objects: Mapping[str, Any]) -> Model:
    """The library's model with the layers that are described in it. It may be given away: its values are copied."""
    from .model import Model

    text = core.metadata(KEY)
    if not text:
        return Model._of(core)
    try:
        with rebuilding():
            model = from_description(json.loads(text), objects)
        if not isinstance(model, Model) or not same_form(model._handle, core):
            raise UnknownPartError("its layers make another network now than when it was saved")
        model._handle.copy_state(core)
    except Exception as error:  # whatever the user's classes raise
        reason = error if isinstance(error, UnknownPartError) else f"{type(error).__name__}: {error}"
        warnings.warn(
            f"model {core.name()!r} is a functional model of the layers of its network, not of the classes it was made "
            f"of: {reason}",
            stacklevel=3,
        )
        return Model._of(core)
    model.set_normalization(*core.get_normalization(core.input_shape()[-1]))
    model._adopt()
    return model


def copied(model: Model) -> Model:
    """An independent model of the same layers, with the same weights and training state."""
    from .model import Model

    if model._is_network:
        return Model._of(model._handle.clone())
    objects = keep_description(model)
    return with_layers(model._handle, objects)


def to_bytes(model: Model) -> tuple[bytes, dict[str, Any]]:
    """The contents of a model's file, and the classes and functions of the user's that are in it."""
    objects = keep_description(model)
    try:
        pickle.dumps(objects)
    except Exception:  # one that is not at the top of a module; the file says what is missing
        objects = {}
    with _passing_file() as path:
        model.save(path)
        with open(path, "rb") as file:
            return file.read(), objects


def from_bytes(contents: bytes, objects: Mapping[str, Any]) -> Model:
    """The model of a file's contents."""
    with _passing_file() as path:
        with open(path, "wb") as file:
            file.write(contents)
        return load_model(path, objects)


@contextmanager
def _passing_file() -> Iterator[str]:
    """The name of a file that is gone afterwards."""
    from tempfile import TemporaryDirectory  # which takes time to import

    with TemporaryDirectory() as folder:
        yield os.path.join(folder, "model.safetensors")


def load_in_order(core: _swiftcnn.Model, path: str | bytes) -> bool:
    """Takes over the parameters of a model file in their order, if all have the role and the shape of those here."""
    try:
        other = _swiftcnn.load_model(path)
    except ValueError:
        return False  # no model file, which alone has an order
    pairs = [core.parameters(), other.parameters()]
    if [(role, shape) for _, role, _, shape in pairs[0]] != [(role, shape) for _, role, _, shape in pairs[1]]:
        return False
    for (name, _, _, shape), (source, *_) in zip(*pairs, strict=True):
        value = np.empty(shape, np.float32)
        other.get_parameter(source, value)
        core.set_parameter(name, value)
    return True


def clone_model(model: Model, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """A model of the same layers with initial weights of its own; ``model.clone()`` copies the weights too.

    Args:
        custom_objects: not needed: the model knows its classes.

    Raises:
        ValueError: a layer of your own cannot be made again of its ``get_config``.
    """
    from .model import Model

    if not isinstance(model, Model):
        raise ValueError(f"model must be a Model, got {model!r}")
    writer = Writer()
    description = writer.written(model)
    found: Model = from_description(description, writer.objects | dict(custom_objects or {}))
    return found
