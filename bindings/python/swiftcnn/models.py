"""Models: made by name or read from a file, looked at, changed and saved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import _arrays, _swiftcnn
from ._checks import boolean, integer, number, path_of, readable, text, unknown
from ._trainer import Trainer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Floats

    Path = str | os.PathLike[str]

__all__ = ["Model", "Parameter", "Weights", "create_model", "list_models", "load_model"]


class Parameter(NamedTuple):
    """What is known of a parameter beside its value.

    Attributes:
        name: as ``"layer1.0.conv1.weight"``.
        role: ``"weight"``, ``"bias"``, ``"normalization_scale"``, ``"normalization_shift"`` or ``"statistic"``.
        trainable: whether training changes it.
        shape: OIHW for convolutions, (out, in) for dense layers.
    """

    name: str
    role: str
    trainable: bool
    shape: tuple[int, ...]


class Model(Trainer):
    """A network with its parameters. Made by ``create_model``, ``load_model`` and ``Model.clone``."""

    @property
    def _model(self) -> Model:
        return self

    # ------------------------------------------------------------------------------------------------------- looking

    @property
    def name(self) -> str:
        """The name it was built under."""
        return self._handle.name()

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """``(None, height, width, channels)``; None is any number."""
        return (None, *(size if size > 0 else None for size in self._handle.input_shape()))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of what ``predict`` returns, with None for the number of images."""
        return (None, *self._handle.output_shape((1, *self._handle.input_shape()), None)[1:])

    @property
    def tensor_names(self) -> list[str]:
        """What ``predict(output=...)`` can give, in the order it is computed."""
        return self._handle.tensor_names().split("\n")

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The mean and the standard deviation of pixels, one a channel, in units of the full range 0...1."""
        return self._handle.get_normalization(self._handle.input_shape()[-1])

    def set_normalization(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Sets what uint8 pixels, divided by 255, are normalised with: ``(pixel / 255 - mean) / std``.

        Raises:
            ValueError: not one number a channel, or a deviation that is not above 0.
        """
        self._handle.set_normalization(_numbers(mean, "mean"), _numbers(std, "std"))

    def summary(self, print_fn: Callable[[str], object] = print) -> None:
        """Prints a table of layers, output shapes and parameter counts."""
        print_fn(self._handle.summary())

    def graph(self, format: str = "text") -> str:
        """The network as ``"text"`` (one line a value), ``"dot"`` (Graphviz) or ``"json"`` (as in the model file)."""
        return self._handle.graph(text(format, "format"))

    # ---------------------------------------------------------------------------------------------------- parameters

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters in the order of the network, statistics of batch normalisation among them."""
        return [Parameter(*row) for row in self._handle.parameters()]

    @property
    def weights(self) -> Weights:
        """The values of all parameters by name: a view in which reading copies and setting changes the model."""
        return Weights(self)

    def count_params(self) -> int:
        """The number of learned numbers; statistics of batch normalisation are not counted, as in torchvision."""
        return sum(int(np.prod(row.shape)) for row in self.parameters if row.role != "statistic")

    def get_parameter(self, name: str) -> Floats:
        """A copy of a parameter, float32.

        Raises:
            ValueError: no parameter has this name.
        """
        value = np.empty(self._shape_of(name), np.float32)
        self._handle.get_parameter(name, value)
        return value

    def set_parameter(self, name: str, value: ArrayLike) -> None:
        """Replaces a parameter by a value of its shape.

        Raises:
            ValueError: no parameter has this name, or the shape differs.
        """
        self._handle.set_parameter(name, _arrays.named(value, self._shape_of(name), name))

    def get_gradient(self, name: str) -> Floats:
        """The gradient of a parameter in the last training step, float32 of its shape.

        Raises:
            ValueError: no parameter has this name, or it is not trained.
            RuntimeError: there was no training step yet.
        """
        gradient = np.empty(self._shape_of(name), np.float32)
        self._handle.get_gradient(name, gradient)
        return gradient

    def get_weights(self) -> list[Floats]:
        """Copies of all parameters, in the order of the network."""
        return [self.get_parameter(row.name) for row in self.parameters]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replaces all parameters; what does not fit leaves the model as it was.

        Raises:
            ValueError: their number or a shape differs.
        """
        rows = self.parameters
        if len(weights) != len(rows):
            raise ValueError(f"weights: expected {len(rows)} arrays, got {len(weights)}")
        values = [_arrays.named(value, row.shape, row.name) for row, value in zip(rows, weights, strict=True)]
        for row, value in zip(rows, values, strict=True):
            self._handle.set_parameter(row.name, value)

    def freeze(self, pattern: str = "*") -> int:
        """Keeps the parameters whose names match (``*`` and ``?``, as in ``"layer1.*"``) from being trained. Batch
        normalisation with frozen parameters runs in inference mode.

        Returns:
            How many matched.

        Raises:
            ValueError: none matches.
        """
        return self._set_trainable(pattern, False)

    def unfreeze(self, pattern: str = "*") -> int:
        """Ends what ``freeze`` did."""
        return self._set_trainable(pattern, True)

    def _set_trainable(self, pattern: str, trainable: bool) -> int:
        matched = self._handle.set_trainable(text(pattern, "pattern"), trainable)
        if not matched:
            raise unknown("pattern", pattern, (row.name for row in self.parameters))
        return matched

    def _shape_of(self, name: str) -> tuple[int, ...]:
        wanted = text(name, "name")
        rows = self.parameters
        for row in rows:
            if row.name == wanted:
                return row.shape
        raise unknown("parameter", wanted, (row.name for row in rows))

    # --------------------------------------------------------------------------------------------------------- files

    def save(self, filepath: Path, overwrite: bool = True, include_optimizer: bool = False) -> None:
        """Writes a model file: safetensors, with the network in its metadata. It appears whole or not at all.

        Args:
            overwrite: False refuses to replace a file.
            include_optimizer: the training state too; such a checkpoint trains on in the same bits.

        Raises:
            OSError: the file cannot be written.
        """
        path = path_of(filepath, "filepath")
        if not boolean(overwrite, "overwrite") and os.path.exists(path):
            raise FileExistsError(f"filepath: {os.fsdecode(path)} exists, and overwrite is False")
        self._handle.save(path, boolean(include_optimizer, "include_optimizer"))

    def save_weights(self, filepath: Path, overwrite: bool = True) -> None:
        """The same as ``save``: a model file is a safetensors file of the weights."""
        self.save(filepath, overwrite)

    def load_weights(self, filepath: Path) -> None:
        """Replaces the parameters by those of a safetensors file with the same names and shapes, as a torchvision
        ``state_dict``.

        Raises:
            OSError: the file cannot be read.
            ValueError: parameters are missing, left over or misshapen; the model is unchanged.
        """
        self._handle.load_weights(readable(filepath, "filepath"))

    def clone(self) -> Model:
        """A second, independent model with the same network, parameters and training state."""
        return Model(self._handle.clone())

    def __repr__(self) -> str:
        return f"<swiftcnn.Model {self.name!r} {self.input_shape} -> {self.output_shape}>"


class Weights(Mapping[str, "Floats"]):
    """The parameters of a model by name: ``model.weights["fc.bias"]``."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __getitem__(self, name: str) -> Floats:
        if name not in self:
            raise KeyError(name)
        return self._model.get_parameter(name)

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        if name not in self:
            raise KeyError(name)
        self._model.set_parameter(name, value)

    def __contains__(self, name: object) -> bool:
        return any(row.name == name for row in self._model.parameters)

    def __iter__(self) -> Iterator[str]:
        return iter([row.name for row in self._model.parameters])

    def __len__(self) -> int:
        return len(self._model.parameters)

    def __repr__(self) -> str:
        return f"Weights({list(self)!r})"


def create_model(
    name: str,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    classes: int = 1000,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: str | None = "softmax",
    dropout: float | None = None,
    drop_path: float | None = None,
    *,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Model:
    """Builds a model by name.

    Args:
        name: one of ``list_models()``.
        weights: a safetensors file with parameters of the same names and shapes; None initialises at random.
        input_shape: (height, width, channels); None is the builder's published resolution.
        classes: the length of the output.
        include_top: without it the model ends with the last feature map.
        pooling: ``"avg"`` or ``"max"`` over that feature map.
        classifier_activation: ``"softmax"``, or None for logits.
        dropout: the rate before the classifier; None is the builder's own.
        drop_path: the rate of stochastic depth; None is the builder's own.
        seed: of the random initial values.
        mean: of the pixels, one a channel, in units of the full range 0...1.
        std: their standard deviation.

    Raises:
        ValueError: no model has this name, or an argument is outside its domain.
        OSError: ``weights`` cannot be read.
    """
    options: dict[str, object] = {
        "classes": integer(classes, "classes", minimum=1),
        "include_top": boolean(include_top, "include_top"),
        "pooling": None if pooling is None else text(pooling, "pooling"),
        "classifier_activation": None
        if classifier_activation is None
        else text(classifier_activation, "classifier_activation"),
        "dropout": None if dropout is None else number(dropout, "dropout"),
        "drop_path": None if drop_path is None else number(drop_path, "drop_path"),
        "seed": integer(seed, "seed"),
    }
    if weights is not None:
        options["weights"] = os.fsdecode(readable(weights, "weights"))
    if input_shape is not None:
        options["input_shape"] = _shape(input_shape)
    for key, value in (("mean", mean), ("std", std)):
        if value is not None:
            options[key] = _numbers(value, key)
    return Model(_swiftcnn.create_model(text(name, "name"), json.dumps(options)))


def load_model(filepath: Path) -> Model:
    """Reads a model file: the network, its parameters and, where it was saved with it, its training state.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no model file.
    """
    return Model(_swiftcnn.load_model(readable(filepath, "filepath")))


def list_models(pattern: str | None = None) -> list[str]:
    """The names of the models that can be built, sorted; of those that match a pattern as ``"resnet*"``."""
    return _swiftcnn.list_models(None if pattern is None else text(pattern, "pattern")).splitlines()


def _shape(shape: Sequence[int]) -> list[int]:
    if isinstance(shape, (str, bytes)) or not isinstance(shape, (Sequence, np.ndarray)) or len(shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels), got {shape!r}")
    return [integer(size, "input_shape", minimum=1) for size in shape]


def _numbers(values: Sequence[float], name: str) -> list[float]:
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"{name} must be a list of numbers, one a channel, got {values!r}")
    return [number(value, name) for value in values]
