"""Models read from files and copied, with the layers that they were made of."""

from __future__ import annotations

import copyreg
import json
import os
import pickle
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .. import _swiftcnn
from .._checks import boolean, readable
from .._comparison import same_form
from .._symbolic import rebuilding
from .._warnings import warn
from . import keras_weights
from .description import KEY, UnknownPartError, Writer, from_description, keep_description, reason_of
from .keras_files import is_keras, is_made_up, opened, read
from .kinds import is_model, model_class
from .weights import WeightsReport, report_on, tell

if TYPE_CHECKING:
    from .._compilation import GivenSettings
    from .model import Model
    from .parameters import Parameter

    Path = str | os.PathLike[str]


def load_model(
    filepath: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Model:
    """Reads a model file: the network, its parameters and, where it was saved with it, its training state. The model
    has the layers it had when it was saved from Python. A file whose name ends in ``.onnx`` is read as
    ``swiftcnn.onnx.load`` does it; of a ``.keras`` or whole ``.h5`` file of Keras's the network is made of the layers
    here, not compiled.

    Args:
        custom_objects: your own classes of layers and models, functions that layers were given, and metrics, by name.
            Where one is missing, or gives another network than it did, the model is a functional one of its layers,
            with a warning that says so: it computes and trains the same.
        compile: False leaves the training state in the file.
        safe_mode: Keras's, without effect: nothing in a file is executed.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no model file, and the message says what it is, or one of Keras's with layers that are not
            here, which are named.
    """
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(f"custom_objects must be a dictionary of names and classes, got {custom_objects!r}")
    boolean(safe_mode, "safe_mode")
    file = readable(filepath, "filepath")
    if is_keras(file):
        return _of_keras(file, custom_objects or {})
    if os.fsdecode(file).lower().endswith(".onnx"):
        # By name, since what is above of this module is read only where it is needed.
        model: Model = import_module("swiftcnn.onnx").load(os.fsdecode(file))
        return model
    core = _swiftcnn.load_model(file)
    if not boolean(compile, "compile"):
        core = _swiftcnn.load_model_memory(core.save_memory(False))
    model = with_layers(core, custom_objects or {})
    model._restore_own_metrics(custom_objects or {})
    return model


def _room(elements: int) -> int:
    """How many elements the weights of layers may have that are made again for so many: a class of the user's may make
    some that no network needs."""
    return 2 * elements + (1 << 20)


def _of_keras(path: str | bytes, objects: Mapping[str, Any]) -> Model:
    """The model of a file that Keras wrote."""
    from .keras_config import build

    name = os.fsdecode(path)
    with opened(path) as file:
        if not file.config:
            raise ValueError(
                f"{name!r} is a file of Keras's with weights and no network: make the network, of layers or by "
                "create_model, and call its load_weights"
            )
        constants = {
            stored.names[-1]: (read(stored.arrays[0], name).ravel(), read(stored.arrays[1], name).ravel())
            for stored in file.layers
            if stored.kind == "normalization" and max(array.size for array in stored.arrays) < 1 << 16
        }
        try:
            with rebuilding(_room(sum(array.size for stored in file.layers for array in stored.arrays))):
                model = build(file.config, constants, objects)
        except UnknownPartError as error:
            raise ValueError(
                f"{name!r} is a model of Keras's that cannot be made here: {error}. Its weights go into a network like "
                "it by load_weights, or by create_model(weights=...) where keras.applications has it"
            ) from None
        except Exception as error:  # whatever a description is that Keras did not write
            raise ValueError(
                f"{name!r} is a model of Keras's whose description cannot be read: {type(error).__name__}: {error}"
            ) from error
        keras_weights.load_from(file, model)
    return model


def with_layers(core: _swiftcnn.Model, objects: Mapping[str, Any]) -> Model:
    """The library's model with the layers that are described in it. It may be given away: its values are copied."""
    text = core.metadata(KEY)
    if not text:
        return model_class()._of(core)
    try:
        with rebuilding(_room(sum(prod(shape) for _, _, _, shape in core.parameters()))):
            model = from_description(json.loads(text), objects)
        if not is_model(model) or not same_form(model._handle, core):
            raise UnknownPartError("its layers make another network now than when it was saved")
        model._handle.set_preprocessing(core.preprocessing())
        model._handle.copy_state(core)
        model.set_precision(core.get_precision())
    except Exception as error:  # whatever the user's classes raise
        warn(
            f"model {core.name()!r} is a functional model of the layers of its network, not of the classes it was made "
            f"of: {reason_of(error)}",
        )
        return model_class()._of(core)
    model._handle.set_class_names(core.class_names() or None)
    model._adopt()
    return model


def copied(model: Model) -> Model:
    """An independent model of the same layers, with the same weights and training state."""
    import copy  # at this place, since most never need it

    model._store_callbacks()
    if model._is_network:
        other = model_class()._of(model._handle.clone())
    else:
        objects = keep_description(model)
        other = with_layers(model._handle, objects)
    other._take_settings(copy.deepcopy(model._given))
    return other


def to_bytes(model: Model) -> tuple[bytes, dict[str, Any] | bytes]:
    """The contents of a model's file, and the classes and functions of the user's that are in it; where those can be
    told by value alone, as ``pickle.loads`` takes it."""
    objects = keep_description(model)
    return model._handle.save_memory(model._with_training_state(None)), _portable(objects)


def from_bytes(
    contents: bytes, objects: Mapping[str, Any] | bytes = MappingProxyType({}), settings: GivenSettings | None = None
) -> Model:
    """The model of a file's contents, compiled as one was that had these settings."""
    known: Mapping[str, Any] = {}
    if not isinstance(objects, bytes):
        known = objects
    else:
        with suppress(ImportError):  # without cloudpickle; a warning says which class is missing
            known = pickle.loads(objects)
    model = with_layers(_swiftcnn.load_model_memory(contents), known)
    if settings is not None:
        model._take_settings(settings)
    return model


# By these, who sends functions to other processes tells them by value: Dask, joblib, Spark and Ray.
_CLOUDPICKLES = ("cloudpickle", "joblib.externals.cloudpickle", "pyspark.cloudpickle", "ray.cloudpickle")


def _portable(objects: dict[str, Any]) -> dict[str, Any] | bytes:
    """The objects, if they can be found by name elsewhere. Otherwise, as of a class within a function, what they are,
    if one of those who can tell it is at work in this process; or nothing."""
    try:
        pickle.dumps(objects)
    except Exception:  # whatever a class of the user's raises
        for name in _CLOUDPICKLES:
            if name in sys.modules:
                with suppress(Exception):
                    contents: bytes = sys.modules[name].dumps(objects)
                    return contents
        return {}
    return objects


def _reduced(core: _swiftcnn.Model) -> tuple[Any, ...]:
    try:
        return _swiftcnn.load_model_memory, (core.save_memory(True),)
    except RuntimeError:  # it is not compiled
        return _swiftcnn.load_model_memory, (core.save_memory(False),)


copyreg.pickle(_swiftcnn.Model, _reduced)  # the weights of layers are such


def load_weights(model: Model, path: str | bytes, strict: bool) -> WeightsReport:
    """Loads a file of any kind.

    Raises:
        ValueError: the file does not fit, with a list; the model is unchanged.
    """
    if is_keras(path):
        report = keras_weights.load(model, path, strict)
        tell(report)
        return report
    core = model._handle
    try:
        core.load_weights(path, strict)
    except ValueError:
        count = load_in_order(core, path)
        if not count:
            raise
        return WeightsReport(os.fsdecode(path), "native", count, [], [], [], matched_by="order")
    return report_on(core)


def load_in_order(core: _swiftcnn.Model, path: str | bytes) -> int:
    """Takes over the parameters of a model file in Keras's order of its network, if all have the role and the shape of
    those here, and no name that somebody gave stands at another place.

    Returns:
        How many there are; 0 where they do not fit.
    """
    try:
        other = _swiftcnn.load_model(path)
    except (OSError, ValueError):
        return 0  # no model file, which alone has an order
    if other.import_report():
        return 0  # another tool's, whose order is its own
    source = model_class()._of(other)
    here, there = _in_order(model_class()._of(core)), _in_order(source)
    if [(row.role, row.shape) for row in here] != [(row.role, row.shape) for row in there]:
        return 0
    pairs = [(row.name, twin.name) for row, twin in zip(here, there, strict=True)]
    known = {name for name, _ in pairs} & {name for _, name in pairs}
    if any(name in known and not _is_made_up(name) for pair in pairs if pair[0] != pair[1] for name in pair):
        return 0
    values = {name: source.get_parameter(twin) for name, twin in pairs}
    for name, value in values.items():
        core.set_parameter(name, value)
    return len(values)


def _in_order(model: Model) -> list[Parameter]:
    """All parameters, in Keras's order of the network."""
    rows = {row.name: row for row in model.parameters}
    return [rows[name] for name in dict.fromkeys([*(weight.parameter for weight in model.weights), *rows])]


def _is_made_up(parameter: str) -> bool:
    """Whether nobody gave the name of the layer that a parameter is of."""
    return any(is_made_up(owner) for owner in parameter.split(".")[:-1])


def clone_model(model: Model, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """A model of the same layers with initial weights of its own; ``model.clone()`` copies the weights too.

    Args:
        custom_objects: not needed: the model knows its classes.

    Raises:
        ValueError: a layer of your own cannot be made again of its ``get_config``.
    """
    if not is_model(model):
        raise ValueError(f"model must be a Model, got {model!r}")
    writer = Writer()
    description = writer.written(model)
    found: Model = from_description(description, writer.objects | dict(custom_objects or {}))
    found.set_precision(model.dtype_policy.name)
    return found
