"""Models in integers of 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from . import _batches
from ._arrays import count_of, part_of
from ._checks import ArgumentError, boolean, integer, number, texts
from ._config import told
from ._folders import ImageFolder
from ._labelled import joined, labelled_of
from ._warnings import pass_on
from .models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._arrays import Samples


def quantize(
    model: Model,
    calibration: Any = None,
    method: Literal["minmax", "percentile", "entropy", "mse"] = "mse",
    *,
    per_channel: bool = True,
    skip: Sequence[str] = (),
    samples: int = 300,
    bias_correction: bool = True,
    equalize: bool = False,
    percentile: float = 99.99,
    report_samples: int = 8,
    strict: bool = False,
    max_drop: float | None = None,
    validation: Any = None,
) -> Model:
    """A model that computes in integers of 8 bits what ``model`` does in floats (Jacob et al. 2018).

    It is a model like any other, of about a quarter of the size in files. ``model`` stays as it is. Batch
    normalisations become part of the convolutions before them; uint8 pixels are read as they come. The same integers
    come of it on every processor.

    Args:
        model: a model whose network is known.
        calibration: images as ``predict`` takes them, a few hundred like those that will come; or batches of such, of
            which the first images are taken; or an ``ImageFolder``, of whose pictures some of all classes are read,
            chosen by its seed. From them come the ranges of activations. A model that ``quantization_aware`` has made
            needs none: it knows its ranges, layers, scales and biases, arguments about which are refused then. Images
            that are given are those that the noise is measured on.
        method: how a range is found: ``"minmax"``, the smallest and the largest number; ``"percentile"``;
            ``"entropy"``, the least divergence (Migacz 2017); ``"mse"``, the least squared error.
        per_channel: whether each output channel of a weight has a scale of its own.
        skip: names of layers that stay in floats; ``*`` stands for anything.
        samples: how many images are looked at, at most: of an array such as are spread over it.
        bias_correction: whether biases take back what the rounding of weights changes of each channel's mean (Nagel et
            al. 2019, section 4.2).
        equalize: whether weights of neighbouring layers get ranges of one size in each channel (the same, section 4.1),
            where ReLU, leaky ReLU, poolings or nothing is between them.
        percentile: the share of the numbers that lie within a range, in percent, for ``"percentile"``.
        report_samples: how many of the images the noise is measured on that ``quantization_report`` tells, at most; 0:
            none.
        strict: whether it is an error where floats are left between integers that ``skip`` does not ask for; the
            message lists them.
        max_drop: how many points of a hundred the share of ``validation`` that is classified right may fall by.
            Layers return to floats, in the order of the harm that they do to the logits, until it holds;
            ``quantization_report().returned`` names them. Where there are tiles of bfloat16 floats become that.
        validation: for ``max_drop``, what ``evaluate`` takes: ``(x, y)``, samples and labels (N,) or targets
            (N, classes), of which the largest counts; or batches of such, or an ``ImageFolder``, all of which are read
            once and kept meanwhile. The model need not be compiled. Not for a model that ``quantization_aware`` has
            made.

    Returns:
        The model in integers. It is not compiled: before ``evaluate`` it has to be.

    Raises:
        ValueError, TypeError: an argument does not fit, or all numbers of the images are the same; the message names
            it. There are floats that ``strict`` refuses, or ``max_drop`` is not reached with a single layer in
            integers.
        RuntimeError: the model is quantised already, or training has yet to find its ranges.
    """
    options = _options_of_ranges(model, method, per_channel, skip, samples, percentile) | {
        "bias_correction": boolean(bias_correction, "bias_correction"), "equalize": boolean(equalize, "equalize"),
        "report_samples": integer(report_samples, "report_samples"), "strict": boolean(strict, "strict"),
        "max_drop": None if max_drop is None else number(max_drop, "max_drop"),
    }
    if validation is not None and max_drop is None:
        raise ValueError("validation is given without max_drop; expected how many points the accuracy may fall by")
    images = None if calibration is None else images_of(model, calibration, options["samples"])
    if validation is None or images is None:  # without images the library says what is wrong with max_drop
        quantized = model._handle.quantize(images, told(options))
    else:
        x, y = labelled_of(model, validation, "validation")
        quantized = model._handle.quantize_validated(images, x, y, told(options))
    pass_on(model._handle)
    return Model._of(quantized)


def quantization_aware(
    model: Model,
    calibration: Any = None,
    method: Literal["minmax", "percentile", "entropy", "mse"] = "mse",
    *,
    per_channel: bool = True,
    skip: Sequence[str] = (),
    samples: int = 300,
    percentile: float = 99.99,
    ranges: Literal["tracked", "learned"] = "tracked",
    momentum: float = 0.01,
    freeze: float = 0.75,
) -> Model:
    """A model that is trained for integers of 8 bits (Jacob et al. 2018, section 3).

    It is ``model`` with its weights and activations rounded where ``quantize`` rounds them, to scales that are
    parameters; gradients pass through rounding (Bengio et al. 2013). ``compile`` and ``fit`` train it like any other, a
    few epochs with a small learning rate; ``quantize`` then makes the model in integers, whose scores are the same but
    for the rounding of biases and sums. ``model`` stays as it is.

    Args:
        model: a model whose network is known, trained in floats.
        calibration: images, as for ``quantize``, of which the first ranges are found; None: the first batch of training
            gives them.
        method: how the first ranges are found, as for ``quantize``.
        per_channel: whether each output channel of a weight has a scale of its own.
        skip: names of layers that stay in floats; ``*`` stands for anything.
        samples: how many images are looked at, at most.
        percentile: the share of the numbers that lie within a range, in percent, for ``"percentile"``.
        ranges: ``"tracked"``, the ranges of activations follow the smallest and the largest number of each batch;
            ``"learned"``, their scales are trained (Esser et al. 2020).
        momentum: the share of a batch in a range that is tracked.
        freeze: the share of the epochs of ``fit`` after which ranges, and the statistics of batch normalisations, stand
            (Krishnamoorthi 2018, section 3.2.2); 1: never.

    Raises:
        ValueError, TypeError: an argument does not fit; the message names it. ``ranges`` is ``"learned"`` and there are
            no images.
        RuntimeError: the model is quantised, or made for this training, already.
    """
    options = _options_of_ranges(model, method, per_channel, skip, samples, percentile) | {
        "ranges": ranges, "momentum": number(momentum, "momentum"), "freeze": number(freeze, "freeze"),
    }
    images = None if calibration is None else images_of(model, calibration, options["samples"])
    trained = model._handle.quantization_aware(images, told(options))
    pass_on(model._handle)
    return Model._of(trained)


def _options_of_ranges(
    model: Model, method: str, per_channel: bool, skip: Iterable[str], samples: int, percentile: float
) -> dict[str, Any]:
    """The options that both have. Raises TypeError for what is no model as well."""
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, got {type(model).__name__}")
    return {
        "method": method, "per_channel": boolean(per_channel, "per_channel"),
        "skip": texts(skip, "skip"),
        "samples": integer(samples, "samples", minimum=1), "percentile": number(percentile, "percentile"),
    }


def images_of(model: Model, calibration: Any, samples: int) -> Any:
    """The images as one array for each input; of batches, as many as are looked at."""
    if not _batches.is_source(calibration):
        try:
            return _calibrating(model, calibration)
        except ValueError as error:
            if isinstance(calibration, tuple):
                raise ArgumentError(f"{error}; calibration is images, or batches of them, without labels") from None
            raise
    parts: list[Any] = []
    left = samples
    if isinstance(calibration, ImageFolder):
        calibration = calibration._some(samples)
    for item in _batches.feed_of(calibration, None).draw(0, 0):
        images = _calibrating(model, _batches.unpack(item, "calibration")[0])
        parts.append(part_of(images, slice(left)))
        left -= count_of(parts[-1])
        if left == 0:
            break
    return joined(parts, "calibration")


def _calibrating(model: Model, x: Any) -> Samples:
    """Images as the library takes them."""
    model._prepare(x, "calibration")
    return model._images(x, "calibration")
