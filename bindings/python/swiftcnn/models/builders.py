"""Models by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import _swiftcnn
from .._checks import ArgumentError, readable, text
from .._config import told
from .._warnings import pass_on, warn
from ..config import dtype_policy, precision
from .files import load_weights
from .keras_files import is_keras, opened
from .keras_weights import counterpart
from .kinds import KINDS
from .model import Model
from .weights import report_on

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
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    dtype: str | None = None,
    **others: object,
) -> Model:
    """Builds a model by name.

    Args:
        name: one of ``list_models()``; ``"efficientnet-b0"`` and ``"EfficientNetB0"`` are understood too, and timm's
            tags, as ``"resnet50.a1_in1k"`` or ``"hf-hub:timm/resnet50.a1_in1k"``: pictures are then prepared as for the
            weights that the tag names, and a warning says where those are.
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
        features_only: the model gives a list of feature maps, one for each resolution, finest first, of which
            ``Model.feature_info`` tells more; weights of the whole network load into it. It can predict, and layers can
            go on from its outputs.
        out_indices: which of the maps, as ``[1, 2, -1]``; None is all.
        dtype: what is computed in, as ``Model.set_precision`` takes it; None is ``config.dtype_policy()``.
        others: arguments of timm, torchvision and Keras, for a message that says what they are called here.

    Raises:
        ValueError: no model has this name, or an argument is outside its domain.
        TypeError: there is no such argument.
        OSError: ``weights`` cannot be read.
    """
    options = {key: value for key, value in locals().items() if key not in ("name", "weights", "others")}
    options["dtype"] = dtype_policy().name if dtype is None else precision(dtype, "dtype")
    options |= dict.fromkeys(others)
    wanted, path = text(name, "name"), None if weights is None else _weights(weights)
    is_kerass = path is not None and is_keras(path)
    if path is not None and is_kerass:
        wanted = _counterpart(wanted, path)
    elif path is not None:
        options["weights"] = os.fsdecode(path)
    try:
        core = _swiftcnn.create_model(wanted, told(options))
    except ValueError as error:
        raise ArgumentError(f"create_model: {error}") from None
    if "weights" in options:
        report_on(core)
    model = Model._of(core)
    if path is not None and is_kerass:
        load_weights(model, path, strict=True)
    pass_on(core)
    return model


def _counterpart(name: str, path: str | bytes) -> str:
    """The name of the network whose weights a file of Keras's holds, where the one that was asked for is another."""
    with opened(path) as file:
        found = counterpart(file.names, published_name(name))
    if found is None:
        return name
    warn(
        f"weights: {os.fsdecode(path)!r} is of {found[0]}, another network than {name!r}: the model is {found[1]!r}, "
        "which computes what Keras's does",
    )
    return found[1]


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


KINDS["create_model"] = create_model
