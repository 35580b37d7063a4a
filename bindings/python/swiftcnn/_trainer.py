"""Compiling, training, evaluating and predicting: the half of a model that is about data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays, losses, metrics, optimizers
from ._checks import boolean, integer, number, text
from ._progress import ProgressBar
from .callbacks import Callback, CallbackList, History

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from . import _swiftcnn
    from ._arrays import Array, Floats
    from .callbacks import Logs
    from .losses import Loss
    from .metrics import Metric
    from .models import Model
    from .optimizers import Optimizer

    Callbacks = Callback | Iterable[Callback] | None


class Data(NamedTuple):
    """Images, targets and perhaps a weight an image, as the library takes them."""

    x: Array
    y: Array
    sample_weight: Floats | None

    def part(self, start: int, stop: int) -> Data:
        """Some of the images, without a copy."""
        weight = self.sample_weight
        return Data(self.x[start:stop], self.y[start:stop], None if weight is None else weight[start:stop])


class Progress(NamedTuple):
    """What a training step reports: ``scnn_progress`` of the C header."""

    epoch: int
    batch: int
    batches: int
    step: int
    epoch_ended: bool
    finished: bool
    learning_rate: float
    results: tuple[float, ...]


class Trainer:
    """What ``Model`` can do with data. ``x`` is images (N, height, width, channels) throughout: uint8 pixels, or any
    other numeric dtype, which becomes float32 as it stands. ``y`` is integer labels (N,) or (N, 1) of any dtype, or
    float targets shaped as the output, as the loss wants them.

    Attributes:
        optimizer: None before ``compile``.
        history: of the last ``fit``.
        stop_training: a callback sets it to end training after the current batch.
    """

    _handle: _swiftcnn.Model
    optimizer: Optimizer | None
    history: History | None
    stop_training: bool

    def __init__(self, handle: _swiftcnn.Model) -> None:
        self._handle = handle
        self.optimizer = None
        self.history = None
        self.stop_training = False
        if self.compiled:  # a loaded checkpoint
            self.optimizer = optimizers.Optimizer()
            self.optimizer._bind(handle)

    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: str | Loss | None = None,
        metrics: str | Metric | Sequence[str | Metric] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        """Sets how the model is trained, and forgets the training state it had.

        Args:
            optimizer: a name or one of ``swiftcnn.optimizers``.
            loss: a name or one of ``swiftcnn.losses``.
            metrics: names or objects of ``swiftcnn.metrics``.
            seed: of dropout, stochastic depth, shuffling and augmentation.

        Raises:
            ValueError: a name is not known, or a setting is outside its domain.
        """
        chosen = optimizers.get(optimizer)
        if loss is None:
            raise ValueError("loss is missing: expected a name or one of swiftcnn.losses")
        settings = {
            "optimizer": chosen.settings,
            "schedule": None if chosen.schedule is None else chosen.schedule.settings,
            "loss": losses.get(loss).settings,
            "metrics": [metric.settings for metric in _metrics(metrics)],
            "seed": integer(seed, "seed"),
        }
        self._handle.compile(json.dumps(settings))
        chosen._bind(self._handle)
        self.optimizer = chosen

    @property
    def compiled(self) -> bool:
        """Whether ``compile`` was called, or the model was loaded with its training state."""
        try:
            self._handle.metric_names()
        except RuntimeError:
            return False
        return True

    @property
    def metrics_names(self) -> list[str]:
        """``"loss"``, then the names of the metrics.

        Raises:
            RuntimeError: the model is not compiled.
        """
        return self._handle.metric_names().split("\n")

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step. Setting it ends a schedule."""
        return self._handle.get_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._handle.set_learning_rate(number(value, "learning_rate"))

    def swap_ema(self) -> None:
        """Exchanges the weights with their exponential moving average (an optimizer's ``use_ema``); a second call
        exchanges them back."""
        self._handle.swap_ema()

    # ------------------------------------------------------------------------------------------------------ training

    def fit(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Callbacks = None,
        validation_split: float = 0.0,
        validation_data: Sequence[ArrayLike] | None = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        *,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
        horizontal_flip: bool = False,
        crop_padding: int = 0,
        resume: bool = False,
    ) -> History:
        """Trains on a set of images.

        An interruption (Ctrl-C) ends training between two steps and is raised as KeyboardInterrupt; the weights are
        those of the last step.

        Args:
            x: images (N, height, width, channels).
            y: their targets.
            batch_size: None is 32.
            epochs: the number of the epoch to end with: with ``initial_epoch`` 2, ``epochs`` 5 trains three.
            verbose: 0 shows nothing, 1 or ``"auto"`` a progress bar (in a log one line an epoch), 2 one line an epoch.
            callbacks: objects of ``swiftcnn.callbacks``.
            validation_split: this share of the images, the last ones, is held back for validation.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, evaluated after each epoch.
            shuffle: a new order each epoch, which depends on the seed of ``compile`` and the epoch alone.
            class_weight: ``{label: weight}``; multiplies the sample weights.
            sample_weight: (N,).
            initial_epoch: the epoch to begin with.
            validation_batch_size: None is ``batch_size``.
            validation_freq: validation after every so many epochs.
            horizontal_flip: each image is mirrored with probability 1/2.
            crop_padding: each image is padded by so many zero pixels on each side and cropped at random.
            resume: go on from the loaded checkpoint's epoch and batch.

        Returns:
            The history: ``history.history["loss"]`` is a list of floats, one an epoch.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
            FloatingPointError: training produced NaN or infinity.
            RuntimeError: the model is not compiled.
        """
        names = self.metrics_names
        size = _batch_size(batch_size)
        last = integer(epochs, "epochs", minimum=1)
        first = integer(initial_epoch, "initial_epoch")
        options = {
            "batch_size": size,
            "epochs": last,
            "initial_epoch": first,
            "shuffle": boolean(shuffle, "shuffle"),
            "horizontal_flip": boolean(horizontal_flip, "horizontal_flip"),
            "crop_padding": integer(crop_padding, "crop_padding"),
            "resume": boolean(resume, "resume"),
        }
        level = _verbosity(verbose)
        data = self._data(x, y, sample_weight, class_weight)
        data, validation = self._validation(data, validation_split, validation_data)
        evaluation_size = size if validation_batch_size is None else _batch_size(validation_batch_size)
        frequency = integer(validation_freq, "validation_freq", minimum=1)

        self.history = history = History()
        bar = ProgressBar(redraw=level == 1)
        hooks = CallbackList(callbacks, *([bar, history] if level else [history]))
        hooks.set_model(self._model)
        steps = -(-len(data.x) // size)
        logged = names + (["val_" + name for name in names] if validation else [])
        hooks.set_params(
            {
                "epochs": last,
                "steps": steps,
                "batch_size": size,
                "samples": len(data.x),
                "verbose": level,
                "metrics": logged,
            }
        )
        self.stop_training = False
        logs: Logs = {}
        run = self._handle.fit(*data, json.dumps(options)) if first < last else None
        try:
            hooks.on_train_begin()
            for epoch, logs in self._epochs(run, hooks, names, None if resume else first) if run else ():
                if validation and (epoch + 1) % frequency == 0:
                    measured = self._evaluate(validation, evaluation_size, hooks)
                    logs.update({"val_" + name: value for name, value in measured.items()})
                hooks.on_epoch_end(epoch, logs)
        finally:
            if run:
                run.close()
            bar.end_line()
        hooks.on_train_end(logs)
        return history

    def _epochs(
        self, run: _swiftcnn.Fit, hooks: CallbackList, names: list[str], first: int | None
    ) -> Iterator[tuple[int, Logs]]:
        """Trains, and stops after each epoch to give its number and logs. A resumed run (``first`` None) tells where it
        is with its first step, so there the hooks of the beginning come after it."""
        epoch, batch = first, 0
        while True:
            if epoch is None:
                progress = Progress(*run.step())
                epoch, batch = progress.epoch, progress.batch - 1
                hooks.on_epoch_begin(epoch)
                hooks.on_train_batch_begin(batch)
            else:
                if batch == 0:
                    hooks.on_epoch_begin(epoch)
                hooks.on_train_batch_begin(batch)
                progress = Progress(*run.step())
            logs = dict(zip(names, progress.results, strict=True))
            hooks.on_train_batch_end(batch, logs)
            batch += 1
            if progress.epoch_ended or self.stop_training:
                yield epoch, logs
                if progress.finished or self.stop_training:
                    return
                epoch, batch = epoch + 1, 0

    def train_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Makes one training step.

        Returns:
            The loss, measured before the step; ``[loss, metrics...]`` where there are metrics; with ``return_dict`` a
            dictionary. The gradients stay readable by ``get_gradient``.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
            FloatingPointError: the step produced NaN or infinity.
            RuntimeError: the model is not compiled.
        """
        names = self.metrics_names
        data = self._data(x, y, sample_weight, class_weight)
        results = self._handle.train_on_batch(*data, len(names))
        return _results(dict(zip(names, results, strict=True)), return_dict)

    # ---------------------------------------------------------------------------------------------------- evaluation

    def test_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics of one batch, without training; results and errors as of ``train_on_batch``."""
        data = self._data(x, y, sample_weight)
        return _results(self._evaluate(data, len(data.x), CallbackList(None)), return_dict)

    def evaluate(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: ArrayLike | None = None,
        callbacks: Callbacks = None,
        *,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics over a set of images, ``batch_size`` (None: 32) at a time, without training.

        Returns:
            The loss; ``[loss, metrics...]`` where there are metrics; with ``return_dict`` a dictionary.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
            RuntimeError: the model is not compiled.
        """
        size = _batch_size(batch_size)
        level = _verbosity(verbose)
        hooks = CallbackList(callbacks)
        hooks.set_model(self._model)
        logs = self._evaluate(self._data(x, y, sample_weight), size, hooks)
        if level:
            print("  ".join(f"{name} {value:.4f}" for name, value in logs.items()))
        return _results(logs, boolean(return_dict, "return_dict"))

    def _evaluate(self, data: Data, batch_size: int, hooks: CallbackList) -> Logs:
        """The means over all images, batch by batch, so that Ctrl-C is heard between two."""
        names = self.metrics_names
        hooks.on_test_begin()
        sums = [0.0] * len(names)
        logs: Logs = {}
        for batch, start in enumerate(range(0, len(data.x), batch_size)):
            hooks.on_test_batch_begin(batch)
            part = data.part(start, start + batch_size)
            done = start + len(part.x)
            results = self._handle.evaluate(*part, len(part.x), len(names))
            sums = [total + len(part.x) * value for total, value in zip(sums, results, strict=True)]
            logs = {name: total / done for name, total in zip(names, sums, strict=True)}
            hooks.on_test_batch_end(batch, logs)
        hooks.on_test_end(logs)
        return logs

    # ---------------------------------------------------------------------------------------------------- prediction

    def predict(
        self,
        x: ArrayLike,
        batch_size: int | None = None,
        verbose: int | str = 0,
        callbacks: Callbacks = None,
        *,
        output: str | None = None,
    ) -> Floats:
        """Runs the model, ``batch_size`` (None: 32) images at a time. Two threads may do so at the same time.

        Args:
            output: the name of an intermediate result, one of ``tensor_names``, to be given in place of the output.

        Returns:
            float32 (N, ...).

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
        """
        size = _batch_size(batch_size)
        level = _verbosity(verbose)
        name = None if output is None else text(output, "output")
        hooks = CallbackList(callbacks)
        hooks.set_model(self._model)
        images = self._images(x)
        result = np.empty(self._handle.output_shape(images.shape, name), np.float32)
        began = time.perf_counter()
        hooks.on_predict_begin()
        for batch, start in enumerate(range(0, len(images), size)):
            hooks.on_predict_batch_begin(batch)
            part = images[start : start + size]
            self._handle.predict(part, len(part), name, result[start : start + size])
            hooks.on_predict_batch_end(batch)
        hooks.on_predict_end()
        if level:
            print(f"{len(images)} images  {len(images) / (time.perf_counter() - began):.0f} images/s")
        return result

    # --------------------------------------------------------------------------------------------------------- data

    @property
    def _model(self) -> Model:
        """This object, as callbacks know it."""
        raise NotImplementedError

    def _images(self, x: ArrayLike | None, name: str = "x") -> Array:
        shape = [size if size > 0 else None for size in self._handle.input_shape()]
        return _arrays.images(x, shape, name)

    def _data(
        self,
        x: ArrayLike | None,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        class_weight: Mapping[int, float] | None = None,
        prefix: str = "",
    ) -> Data:
        images = self._images(x, prefix + "x")
        targets = _arrays.targets(y, self._handle.output_shape(images.shape, None), prefix + "y")
        return Data(images, targets, _arrays.weights(sample_weight, class_weight, targets, prefix + "sample_weight"))

    def _validation(self, data: Data, split: float, given: Sequence[ArrayLike] | None) -> tuple[Data, Data | None]:
        """The data to train on, and that to validate with."""
        share = number(split, "validation_split")
        if not 0 <= share < 1:
            raise ValueError(f"validation_split must be at least 0 and below 1, got {share}")
        if given is not None:
            if share:
                raise ValueError("validation_split and validation_data exclude each other")
            if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
                raise ValueError("validation_data must be (x, y) or (x, y, sample_weight)")
            weight = given[2] if len(given) == 3 else None
            return data, self._data(given[0], given[1], weight, prefix="validation_data: ")
        count = int(len(data.x) * (1 - share))
        if count == len(data.x):
            return data, None
        if count == 0:
            raise ValueError(f"validation_split {share} leaves none of {len(data.x)} images to train on")
        return data.part(0, count), data.part(count, len(data.x))


def _metrics(given: str | Metric | Sequence[str | Metric] | None) -> list[Metric]:
    if given is None:
        return []
    if isinstance(given, (str, metrics.Metric)):
        given = [given]
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"metrics must be a list of names or objects of swiftcnn.metrics, got {given!r}")
    chosen = [metrics.get(metric) for metric in given]
    for index, metric in enumerate(chosen):
        if any(metric.settings == other.settings for other in chosen[:index]):
            raise ValueError(f"metrics: {metric!r} is given twice")
    return chosen


def _batch_size(value: int | None) -> int:
    return 32 if value is None else integer(value, "batch_size", minimum=1)


def _verbosity(value: int | str) -> int:
    if value == "auto":
        return 1
    if value in (0, 1, 2):
        return int(value)
    raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {value!r}")


def _results(logs: Logs, return_dict: bool) -> float | list[float] | Logs:
    """What Keras returns; ``Any`` in public signatures, since the caller alone knows which of the three."""
    values = list(logs.values())
    return logs if return_dict else values[0] if len(values) == 1 else values
