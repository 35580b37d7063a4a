"""Models by name."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import _swiftcnn
from .._checks import boolean, integer, number, readable, text
from ..layers.base import shape_of
from .files import load_weights
from .keras_files import is_keras, opened
from .keras_weights import family_of
from .kinds import KINDS
from .model import Model, numbers
from .pictures import checked_names, described
from .weights import told

if TYPE_CHECKING:
    Path = str | os.PathLike[str]


def create_model(
    name: str,
    weights: Path | None = None,
    input_shape: Sequence[int | None] | None = None,
    classes: int = 1000,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: str | None = "softmax",
    dropout: float | None = None,
    drop_path: float | None = None,
    *,
    width_coefficient: float | None = None,
    depth_coefficient: float | None = None,
    resolution_coefficient: float | None = None,
    compound_coefficient: float | None = None,
    divisor: int | None = None,
    stages: Sequence[Mapping[str, Any]] | Sequence[int] | None = None,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
) -> Model:
    """Builds a model by name.

    Args:
        name: one of ``list_models()``; ``"efficientnet-b0"`` and ``"EfficientNetB0"`` are understood too.
        weights: a file as ``Model.load_weights`` takes it: safetensors, PyTorch's ``.pth``, or Keras's ``.keras`` and
            ``.h5`` (where those are of ``keras.applications``, the model is Keras's, with a warning); a classifier for
            another number of classes begins at random, with a warning. None initialises at random. No weights come with
            the package: ``"imagenet"`` is a file that is not there.
        input_shape: (height, width, channels); None is the builder's published resolution, (None, None, 3) any size.
        classes: the length of the output.
        include_top: without it the model ends with the last feature map.
        pooling: ``"avg"`` or ``"max"`` over that feature map.
        classifier_activation: ``"softmax"``, ``"sigmoid"``, or None for logits.
        dropout: the rate before the classifier; None is the builder's own.
        drop_path: the rate of stochastic depth; None is the builder's own.
        width_coefficient: what the numbers of channels are multiplied by (Tan and Le 2019, section 3.3).
        depth_coefficient: what the numbers of blocks are multiplied by.
        resolution_coefficient: what the published resolution is multiplied by, where ``input_shape`` is None.
        compound_coefficient: all three at once: 1.1, 1.2 and 1.15 to its power.
        divisor: scaled numbers of channels are multiples of it.
        stages: another base table: for ResNets the numbers of blocks, for EfficientNets a dictionary a stage with
            ``kind``, ``kernel``, ``stride``, ``expand_ratio``, ``channels``, ``repeats`` and ``se_ratio``.
        seed: of the random initial values.
        mean: of the pixels, one a channel, in units of the full range 0...1.
        std: their standard deviation.
        preprocessing: what is done to pictures, as ``Model.set_preprocessing`` takes it; None is as it was published,
            or to fill another input in the same ratio.
        class_names: one a class; None is ImageNet's where there are 1000.

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
    coefficients = {
        "width_coefficient": width_coefficient,
        "depth_coefficient": depth_coefficient,
        "resolution_coefficient": resolution_coefficient,
        "compound_coefficient": compound_coefficient,
    }
    for key, coefficient in coefficients.items():
        if coefficient is not None:
            options[key] = number(coefficient, key)
    if divisor is not None:
        options["divisor"] = integer(divisor, "divisor", minimum=1)
    if stages is not None:
        options["stages"] = _stages(stages)
    path = None if weights is None else _weights(weights)
    wanted = text(name, "name")
    is_kerass = path is not None and is_keras(path)
    if path is not None and is_kerass:
        wanted = _counterpart(wanted, path)
    elif path is not None:
        options["weights"] = os.fsdecode(path)
    if input_shape is not None:
        shape = shape_of(input_shape, "input_shape")
        if len(shape) != 3:
            raise ValueError(f"input_shape must be (height, width, channels), got {input_shape!r}")
        options["input_shape"] = list(shape)
    for key, value in (("mean", mean), ("std", std)):
        if value is not None:
            options[key] = numbers(value, key)
    if preprocessing is not None:
        options["preprocessing"] = json.loads(described(preprocessing, "preprocessing"))
    if class_names is not None:
        options["class_names"] = checked_names(class_names)
    core = _swiftcnn.create_model(wanted, json.dumps(options))
    if "weights" in options:
        told(core)
    model = Model._of(core)
    if path is not None and is_kerass:
        load_weights(model, path, strict=True)
    return model


def _counterpart(name: str, path: str | bytes) -> str:
    """The name of the network whose weights a file of Keras's holds, where the one that was asked for is another."""
    with opened(path) as file:
        family = family_of(file.names, published_name(name))
    if family is None:
        return name
    here = family.here + published_name(name)
    warnings.warn(
        f"weights: {os.fsdecode(path)!r} is of keras.applications.{family.there}..., another network than {name!r}: "
        f"the model is {here!r}, which computes what Keras's does",
        stacklevel=3,
    )
    return here


def published_name(name: str) -> str:
    """The name in ``list_models()`` that is meant, which may be spelled otherwise."""
    plain = {each.replace("_", ""): each for each in list_models()}
    return plain.get(name.lower().replace("-", "").replace("_", ""), name)


def _weights(given: Path) -> str | bytes:
    try:
        return readable(given, "weights")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno,
            "weights: there is no such file, and no weights come with the package: give the path of a safetensors, "
            ".pth or .h5 file, as one of torchvision's state_dict, or None for random ones",
            os.fsdecode(given),
        ) from None


def list_models(pattern: str | None = None) -> list[str]:
    """The names of the models that can be built, sorted; of those that match a pattern as ``"resnet*"``."""
    return _swiftcnn.list_models(None if pattern is None else text(pattern, "pattern")).splitlines()


class EfficientNet(Model):
    """An EfficientNet of any width, depth and resolution (Tan and Le 2019, section 3.3).

    Args:
        model_name: the base: the stages, and what is scaled.
        options: the arguments of ``create_model``, as ``width_coefficient``.
    """

    def __init__(self, model_name: str = "efficientnet_b0", **options: Any) -> None:
        core = create_model(model_name, **options)._handle
        super().__init__(name=core.name())
        self._set_core(core)


def _stages(stages: Sequence[Mapping[str, Any]] | Sequence[int]) -> list[object]:
    if isinstance(stages, (str, bytes)) or not isinstance(stages, Sequence):
        raise TypeError(f"stages must be a list with an entry for each stage, got {stages!r}")
    return [dict(stage) if isinstance(stage, Mapping) else integer(stage, "stages", minimum=1) for stage in stages]


KINDS["create_model"] = create_model
