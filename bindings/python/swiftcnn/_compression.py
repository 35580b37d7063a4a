"""Models that reach a target."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _batches
from ._checks import ArgumentError, boolean, integer, number, path_of, texts
from ._config import told
from ._folders import ImageFolder
from ._inputs import size_of
from ._progress import StageBar
from ._quantization import images_of
from ._warnings import pass_on
from .callbacks import Callback
from .models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from . import _swiftcnn
    from ._arrays import Data
    from ._batches import Feed
    from .callbacks import Logs

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def compress(
    model: Model,
    data: Any,
    validation: Any,
    target: Mapping[str, float],
    *,
    max_drop: float = 0.5,
    time_limit: float | str | None = None,
    resume: str | os.PathLike[str] | None = None,
    methods: Sequence[str] = ("prune", "distill", "quantize"),
    levels: int = 3,
    epochs: int = 10,
    learning_rate: float = 0.02,
    batch_size: int | None = None,
    horizontal_flip: bool = False,
    crop_padding: int = 0,
    class_weight: Mapping[Any, float] | None = None,
    skip: Sequence[str] = (),
    calibration: Any = None,
    seed: int = 0,
    verbose: int | str = "auto",
) -> Model:
    """A model that reaches a target, made of ``model``: channels leave in some levels (``prune``), after each of which
    what is left is trained by what ``model`` says of the images (``distill``), and of each a model in integers is made
    (``quantize``). How wide a network has to be is found before it is trained. ``model`` stays as it is::

        small = swiftcnn.compress(model, (x, y), (x_val, y_val), {"speedup": 4}, max_drop=1, time_limit="20m",
                                  resume="small")
        print(small.compression_report())

    One half of the validation samples, drawn by ``seed``, decides which model is taken: the most accurate of those that
    reach the target and lose no more than ``max_drop`` points. The other half is held back from all decisions and tells
    what was lost. Where no model does, the nearest that loses no more is given, and the report says why. The result is
    not compiled.

    Args:
        model: a model whose network is known, trained; its loss is that of training where it is compiled, else that of
            labels.
        data: what it is trained with: ``(x, y)``, batches of such that can be gone through again, or an
            ``ImageFolder``.
        validation: ``(x, y)`` with labels (N,) or targets (N, classes), of which the largest counts; or batches of
            such, or an ``ImageFolder``, in the same order each time.
        target: one of ``{"latency_ms": ...}``, milliseconds of a prediction of one image on this machine with the
            threads that are set, kept within 5 %; ``{"size_mb": ...}``, millions of bytes of the file, within 2 %;
            ``{"speedup": ...}``, how many times as fast as ``model``.
        max_drop: how many points of a hundred the share of samples that are classified right may fall by.
        time_limit: seconds, or a text as ``"30m"`` or ``"1.5h"``; those of earlier runs that are resumed count.
        resume: a folder where every model is written as it is made, with ``compression.json``, ``report.json`` and
            ``pareto.svg``. A run that was ended in whatever way goes on from there when it is called again with the
            same model and options. None: nothing is written.
        methods: by what; one of ``"prune"`` and ``"quantize"`` at least.
        levels: in how many steps channels leave at most.
        epochs: how many epochs are trained after each at most.
        learning_rate: what each training begins with: SGD with momentum 0.9, down to 0 in half a cosine.
        batch_size: of arrays; None is 128.
        horizontal_flip, crop_padding, class_weight: as of ``fit``.
        skip: names of layers that keep all channels and stay in floats; ``*`` stands for anything.
        calibration: images as ``quantize`` takes them; None: some of ``data``.
        seed: what chance is drawn from.
        verbose: 0 shows nothing, 1 or ``"auto"`` a progress bar with the time left (in a log a line for each stage), 2
            lines.

    Raises:
        ValueError, TypeError: an argument does not fit, or ``resume`` is a folder of another compression; the message
            names what differs.
        RuntimeError: the model is quantised, or learns of another.
        OSError: the folder cannot be written.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, got {type(model).__name__}")
    if not hasattr(target, "items") or not all(isinstance(name, str) for name in target):
        raise ArgumentError(f'target must be a dictionary as {{"speedup": 4}}, got {target!r}')
    options = {name: number(value, name) for name, value in target.items()} | {
        "max_drop": number(max_drop, "max_drop"),
        "time_limit": None if time_limit is None else _seconds(time_limit),
        "folder": None if resume is None else os.fsdecode(path_of(resume, "resume")),
        "methods": texts(methods, "methods"), "levels": integer(levels, "levels"), "epochs": integer(epochs, "epochs"),
        "learning_rate": number(learning_rate, "learning_rate"), "skip": texts(skip, "skip"),
        "seed": integer(seed, "seed", minimum=-(2**63)),
    }
    unknown = set(target) - {"latency_ms", "size_mb", "speedup"}
    if unknown or len(target) != 1:
        raise ArgumentError(f"target must have one of latency_ms, size_mb and speedup, got {dict(target)!r}")
    fit = {
        "horizontal_flip": boolean(horizontal_flip, "horizontal_flip"),
        "crop_padding": integer(crop_padding, "crop_padding", minimum=0),
    }
    source = _Source(model, data, validation, batch_size, fit, class_weight, verbose)
    if calibration is None:
        calibration = _images_among(data)
    images = images_of(model, calibration, 300)
    try:
        result = model._handle.compress(images, source, source.steps, source.samples, told(options))
    finally:
        source.bar.close()
    pass_on(model._handle)
    return Model._of(result)


def _seconds(limit: float | str) -> float:
    """A time in seconds, of a text as ``"30m"``."""
    if not isinstance(limit, str):
        return number(limit, "time_limit")
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", limit)
    if found is None or found[2] not in _UNITS:
        raise ArgumentError(f'time_limit must be seconds, or a text as "90s", "30m" or "1.5h", got {limit!r}')
    return float(found[1]) * _UNITS[found[2]]


def _images_among(data: Any) -> Any:
    """What is without its targets what ``quantize`` calibrates with."""
    return data if _batches.is_source(data) else data[0]


class _Source:
    """What the models of a compression are trained and measured with.

    Attributes:
        steps: the batches of an epoch.
        samples: how many validation samples there are.
        bar: of the progress.
    """

    def __init__(
        self,
        model: Model,
        data: Any,
        validation: Any,
        batch_size: int | None,
        fit: dict[str, Any],
        class_weight: Mapping[Any, float] | None,
        verbose: int | str,
    ) -> None:
        self._model, self._fit, self._class_weight = model, fit, class_weight
        for given, name in (data, "data"), (validation, "validation"):
            if hasattr(given, "__next__"):
                raise ArgumentError(f"{name} can be gone through once; expected arrays, a folder, or batches again")
        self._data = data
        if _batches.is_source(data):
            if batch_size is not None:
                raise ArgumentError("batch_size is given with batches, which have their own; expected none")
            steps = _batches.feed_of(data, None).steps
            self.steps = steps if steps is not None else sum(1 for _ in data)
            self._batch_size = None
        else:
            x, _ = _pair(data, "data")
            model._prepare(x, "data x")
            count = _arrays.count_of(model._images(x, "data x"))
            self._batch_size = size_of(128 if batch_size is None else batch_size, None, count)
            self.steps = -(-count // self._batch_size)
        self._feed: Feed[Data] = self._validating(validation)
        self.samples = 0
        for batch, _ in self._feed.epoch(0):
            _labels(batch)
            self.samples += batch.samples
        self.bar = StageBar(verbose)

    def _validating(self, validation: Any) -> Feed[Data]:
        """Batches of samples and targets, the same each time."""
        model = self._model
        if isinstance(validation, ImageFolder):
            training = self._data if isinstance(self._data, ImageFolder) else None
            validation = model._folder(validation, "evaluation", "validation", training)
        if _batches.is_source(validation):
            feed = _batches.feed_of(validation, None)
            return feed.map(lambda item: _unweighted(model, *_batches.unpack(item, "validation")))
        data = _unweighted(model, *_pair(validation, "validation"), None)
        return _batches.feed_of_arrays(data.samples, data.part, 1024, None)

    # ---------------------------------------------------------------------------- what the library asks for

    def train(self, handle: _swiftcnn.Model, steps: int, seconds: float) -> None:
        x, y = (self._data, None) if _batches.is_source(self._data) else _pair(self._data, "data")
        Model._of(handle).fit(
            x, y, batch_size=self._batch_size, epochs=-(-steps // self.steps), verbose=0,
            class_weight=self._class_weight, callbacks=_Limit(steps, seconds, self.bar), **self._fit,
        )

    def are_right(self, handle: _swiftcnn.Model) -> bytes:
        model = Model._of(handle)
        right = [
            np.asarray(model.predict_on_batch(batch.x)).argmax(-1) == _labels(batch) for batch, _ in self._feed.epoch(0)
        ]
        return np.concatenate(right).astype(np.uint8).tobytes()

    def begin(self, stage: str) -> None:
        self.bar.begin(**json.loads(stage))


class _Limit(Callback):
    """Ends training after some steps, or when its time is over."""

    def __init__(self, steps: int, seconds: float, bar: StageBar) -> None:
        self._left, self._bar = steps, bar
        self._end = time.monotonic() + seconds

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._left -= 1
        self._bar.step()
        if self._left <= 0 or time.monotonic() >= self._end:
            self.model.stop_training = True


def _pair(data: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ArgumentError(f"{name} must be (x, y), batches of such or an ImageFolder, got {type(data).__name__}")
    return data[0], data[1]


def _unweighted(model: Model, x: Any, y: Any, weights: Any) -> Data:
    """A batch as the library takes it."""
    if weights is not None:
        raise ArgumentError("validation has sample weights; expected batches of (x, y)")
    return model._data(x, y, None, prefix="validation ")


def _labels(batch: Data) -> Any:
    """The class of each sample."""
    y = batch.y
    return y.argmax(-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(len(y))
