"""Compiling, training, evaluating and predicting: the half of a model that is about data."""

from __future__ import annotations

import contextlib
import json
import math
import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _batches, losses, metrics, optimizers
from ._arrays import Data
from ._batches import Feed
from ._checks import ArgumentError, boolean, integer, number, text, unsupported
from ._progress import ProgressBar
from ._runs import ArrayRun, FeedRun, Run
from .callbacks import Callback, CallbackList, History, TerminateOnNaN

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
    # Arrays, or batches: an iterator, an iterable, or a sequence of (x, y) or (x, y, sample_weight).
    Inputs = ArrayLike | Iterable[Any] | None


class Trainer:
    """What ``Model`` can do with data. ``x`` is images (N, height, width, channels) throughout: uint8 pixels, or any
    other numeric dtype, which becomes float32 as it stands. ``y`` is integer labels (N,) or (N, 1) of any dtype, or
    float targets shaped as the output, as the loss wants them.

    In place of arrays, ``fit``, ``evaluate`` and ``predict`` take batches: a generator or another iterator, an iterable
    as a torch ``DataLoader``, or a sequence, with ``__getitem__`` and ``__len__``, of ``(x, y)`` or
    ``(x, y, sample_weight)``. Where such an object does not tell its length, it is gone through to its end.

    Attributes:
        optimizer: None before ``compile``.
        history: of the last ``fit``.
        stop_training: a callback sets it to end training after the current batch.
        stop_evaluating, stop_predicting: the same of ``evaluate`` and ``predict``.
    """

    optimizer: Optimizer | None = None
    history: History | None = None
    stop_training: bool = False
    stop_evaluating: bool = False
    stop_predicting: bool = False
    _compile_settings: dict[str, Any] | None = None  # those of the last compile; None of a loaded checkpoint
    _compile_is_due: bool = False  # the library does not know them yet
    _loss: Loss | None = None
    _metrics: tuple[Metric, ...] = ()

    @property
    def _handle(self) -> _swiftcnn.Model:
        """The model of the library.

        Raises:
            ValueError: it is not built yet.
        """
        raise NotImplementedError

    @property
    def _built(self) -> bool:
        """Whether the network is known, so that there is a handle."""
        raise NotImplementedError

    def _packed(self, results: list[Any]) -> Any:
        """What there is for each output in the form that the model gives."""
        return results[0] if len(results) == 1 else results

    def _prepare(self, x: Any) -> None:
        """Called with the images before anything reads the handle: the first argument of a method as it was given, or
        the images of its first batch."""
        raise NotImplementedError

    def _adopt(self) -> None:
        """Called when there is a new handle: compiles it as was asked; a loaded checkpoint has settings of its own."""
        if self._compile_settings is not None:
            self._compile_is_due = True
            self._apply_compile_settings()
        elif self.compiled:
            settings = json.loads(self._handle.training_settings())
            self.optimizer = optimizers.of_settings(settings["optimizer"], self._handle)

    def _forget_settings(self) -> None:
        """Called when the handle was changed so much that it has to be compiled again."""
        self._compile_settings, self._compile_is_due = None, False
        self._loss, self._metrics, self.optimizer = None, (), None

    # ----------------------------------------------------------------------------------------------------- compiling

    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: str | Loss | None = None,
        loss_weights: None = None,
        metrics: str | Metric | Sequence[str | Metric] | None = None,
        weighted_metrics: None = None,
        run_eagerly: bool | None = False,
        steps_per_execution: int | None = 1,
        jit_compile: bool | str | None = "auto",
        auto_scale_loss: bool = True,
        *,
        seed: int = 0,
    ) -> None:
        """Sets how the model is trained, and forgets the training state it had.

        Args:
            optimizer: a name or one of ``swiftcnn.optimizers``.
            loss: a name or one of ``swiftcnn.losses``; ``"crossentropy"`` is the one that fits the first targets.
            metrics: names or objects of ``swiftcnn.metrics``.
            loss_weights, weighted_metrics, run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: as in Keras,
                with no other value than the default, since there is one loss and one way to run.
            seed: of dropout, stochastic depth, shuffling and augmentation.

        Raises:
            ValueError: a name is not known, or a setting is outside its domain.
        """
        _refuse_unsupported(
            loss_weights=(loss_weights, [None], "None, since a model has one output"),
            weighted_metrics=(weighted_metrics, [None, [], ()], "None; metrics count every image once"),
            run_eagerly=(run_eagerly, [None, False], "False"),
            steps_per_execution=(steps_per_execution, [None, 1], "1"),
            jit_compile=(jit_compile, [None, False, "auto"], "'auto' or False"),
        )
        boolean(auto_scale_loss, "auto_scale_loss")  # has no effect on float32
        chosen = optimizers.get(optimizer)
        if loss is None:
            raise ValueError("loss is missing: expected a name or one of swiftcnn.losses")
        chosen_loss, chosen_metrics = losses.get(loss), _metrics_of(metrics)
        before = (self._compile_settings, self._compile_is_due, self._loss, self._metrics, self.optimizer)
        self._loss, self._metrics, self.optimizer = chosen_loss, chosen_metrics, chosen
        self._compile_is_due = True
        self._compile_settings = {
            "optimizer": chosen.settings,
            "schedule": None if chosen.schedule is None else chosen.schedule.settings,
            "loss": chosen_loss.settings,
            "metrics": [metric.settings | {"reported_as": metric.name} for metric in chosen_metrics],
            "seed": integer(seed, "seed"),
        }
        try:
            self._apply_compile_settings()
        except BaseException:
            self._compile_settings, self._compile_is_due, self._loss, self._metrics, self.optimizer = before
            raise

    def _apply_compile_settings(self) -> None:
        """Tells the library the settings that it does not know yet, once there is a network and the loss is known."""
        settings = self._compile_settings
        if not self._compile_is_due or settings is None or not self._built:
            return
        if self._loss is not None and losses.is_open(self._loss):
            return
        self._handle.compile(json.dumps(settings))
        self._compile_is_due = False
        if self.optimizer is not None:
            self.optimizer._bind(self._handle)

    def _settle(self, x: Any, y: ArrayLike | None) -> None:
        """Builds the model for these images and compiles it for these targets, where that is still due."""
        self._prepare(x)
        if self._compile_is_due and self._compile_settings is not None and self._loss is not None:
            if losses.is_open(self._loss):
                images, targets = self._images(x), _arrays.numeric(y, "y")
                output = self._handle.output_shape(images.shape, None)
                is_label = targets.ndim < len(output) or (targets.shape[-1] == 1 and output[-1] > 1)
                self._loss = losses.fitting(self._loss, is_label, output[-1])
                self._compile_settings["loss"] = self._loss.settings
            self._apply_compile_settings()

    @property
    def compiled(self) -> bool:
        """Whether ``compile`` was called, or the model was loaded with its training state."""
        if self._compile_is_due or not self._built:
            return self._compile_is_due
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
        if self._compile_settings is not None:
            return ["loss", *(metric.name for metric in self._metrics)]
        if not self._built:
            raise RuntimeError("the model is not compiled; call compile first")
        return self._handle.metric_names().split("\n")

    def _more_is_better(self, name: str) -> bool | None:
        """Whether a larger value of the loss or of a metric is better; None where it is neither."""
        if name == "loss":
            return False
        for metric in self._metrics:
            if metric.name == name:
                return metric.more_is_better
        # Of a loaded checkpoint only the names are known.
        return "accuracy" in name if name in self.metrics_names else None

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step. Setting it ends a schedule.

        Raises:
            RuntimeError: the model is not compiled.
        """
        if self._compile_is_due and self.optimizer is not None:
            return self.optimizer.learning_rate
        return self._handle.get_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        rate = number(value, "learning_rate")
        if self.optimizer is None:
            self._handle.set_learning_rate(rate)
            return
        self.optimizer.learning_rate = rate
        if self._compile_is_due and self._compile_settings is not None:
            self._compile_settings |= {"optimizer": self.optimizer.settings, "schedule": None}

    def reset_metrics(self) -> None:
        """Does nothing: what ``train_on_batch`` and ``test_on_batch`` return is of that batch alone (in Keras it is a
        mean over the calls since ``reset_metrics``)."""

    def swap_ema(self) -> None:
        """Exchanges the weights with their exponential moving average (an optimizer's ``use_ema``); a second call
        exchanges them back."""
        self._handle.swap_ema()

    # ------------------------------------------------------------------------------------------------------ training

    def fit(
        self,
        x: Inputs = None,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Callbacks = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Collection[int] = 1,
        *,
        horizontal_flip: bool = False,
        crop_padding: int = 0,
        resume: bool = False,
    ) -> History:
        """Trains on a set of images.

        An interruption (Ctrl-C) ends training between two steps and is raised as KeyboardInterrupt; the weights are
        those of the last step.

        Args:
            x: images (N, height, width, channels), or batches of ``(x, y)`` or ``(x, y, sample_weight)``.
            y: their targets.
            batch_size: None is 32. Batches that come as such are as they are.
            epochs: the number of the epoch to end with: with ``initial_epoch`` 2, ``epochs`` 5 trains three.
            verbose: 0 shows nothing, 1 or ``"auto"`` a progress bar (in a log one line an epoch), 2 one line an epoch.
            callbacks: objects of ``swiftcnn.callbacks``.
            validation_split: this share of the images, the last ones, is held back for validation, unless there is
                ``validation_data``.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, or batches of such, evaluated after each epoch.
            shuffle: a new order of the images (of the batches in a sequence) in each epoch, which depends on the seed
                of ``compile`` and the epoch alone. Of other batches the order is as they come.
            class_weight: ``{label: weight}``; multiplies the sample weights.
            sample_weight: (N,).
            initial_epoch: the epoch to begin with.
            steps_per_epoch: the batches of an epoch, where those are not all; the next epoch goes on from there.
            validation_steps: the batches of an evaluation, where those are not all.
            validation_batch_size: None is ``batch_size``.
            validation_freq: validation after every so many epochs, or after the epochs, counted from 1, in a list.
            horizontal_flip: each image is mirrored with probability 1/2.
            crop_padding: each image is padded by so many zero pixels on each side and cropped at random.
            resume: go on from the loaded checkpoint's epoch and batch; where batches come as such, or there are
                ``steps_per_epoch``, from the beginning of that epoch.

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
        steps = _steps(steps_per_epoch, "steps_per_epoch")
        resumes = boolean(resume, "resume")
        shuffles = boolean(shuffle, "shuffle")
        options: dict[str, object] = {
            "epochs": last,
            "horizontal_flip": boolean(horizontal_flip, "horizontal_flip"),
            "crop_padding": integer(crop_padding, "crop_padding"),
        }
        level = _verbosity(verbose)
        hooks = CallbackList(callbacks)
        evaluation_size = (
            batch_size if validation_batch_size is None else _batch_size(validation_batch_size, "validation_batch_size")
        )
        evaluation_steps = _steps(validation_steps, "validation_steps")
        validates_after = _epochs_of(validation_freq)
        share = _share(validation_split, validation_data)

        source: Data | Feed[Data]
        held_back: Data | None = None
        samples: int | None = None
        if _batches.is_source(x):
            _refuse_with_batches(x, y=y, sample_weight=sample_weight, validation_split=share or None)
            raw = _batches.feed_of(x, steps, self._seed if shuffles else None)
            self._settle_for(raw, first, "x")
            source = self._converted(raw, class_weight, "x: ")
        else:
            self._settle(x, y)
            source, held_back = _split(self._data(x, y, sample_weight), share)
            if class_weight is not None:  # of training alone
                source = source._replace(
                    sample_weight=_arrays.weights(source.sample_weight, class_weight, source.y)
                )
            count = len(source.x)
            if batch_size is None and steps:
                size = -(-count // steps)
            if steps is None or steps == -(-count // size):
                samples = count
            else:
                source = _batches.feed_of_arrays(source, size, steps, self._seed if shuffles else None)
        validation: Feed[Data] | None = None
        if held_back:
            validation = _batches.feed_of_arrays(held_back, evaluation_size or size, evaluation_steps)
        elif validation_data is not None:
            validation = self._validation(validation_data, evaluation_size or size, evaluation_steps)
        run: Run
        if isinstance(source, Feed):
            run = FeedRun(self._handle, source, options, first, last, resumes, self._open_schedule)
        else:
            run = ArrayRun(self._handle, source, options, size, shuffles, first, last, resumes)

        history = next((known for known in hooks.callbacks if isinstance(known, History)), None)
        self.history = history = history or History()
        bar = ProgressBar(level, "train", last, samples, run.steps)
        hooks = CallbackList(hooks, *([] if history in hooks.callbacks else [history]), bar)
        hooks.set_model(self._model)
        hooks.set_params(
            {
                "epochs": last,
                "steps": run.steps,
                "batch_size": None if _batches.is_source(x) else size,
                "samples": samples,
                "verbose": level,
                "metrics": names + (["val_" + name for name in names] if validation else []),
            }
        )
        self.stop_training = False
        logs: Logs = {}
        try:
            with run:
                hooks.on_train_begin()
                for epoch, logs in self._epochs(run, hooks, bar, names):
                    if validation and validates_after(epoch + 1):
                        validation.restart()
                        measured = self._evaluate(validation, hooks, None)
                        logs.update({"val_" + name: value for name, value in measured.items()})
                    hooks.on_epoch_end(epoch, logs)
        finally:
            bar.end_line()
        with contextlib.suppress(RuntimeError):  # where no average is kept
            self._handle.apply_ema()  # as Keras: the average is what a training run gives
        hooks.on_train_end(logs)
        return history

    def _epochs(self, run: Run, hooks: CallbackList, bar: ProgressBar, names: list[str]) -> Iterator[tuple[int, Logs]]:
        """Trains, and stops after each epoch to give its number and logs."""
        bears_nan = any(isinstance(callback, TerminateOnNaN) for callback in hooks.callbacks)
        epoch, batch = run.start()
        while epoch < run.epochs and run.has_batch(epoch):
            hooks.on_epoch_begin(epoch)
            bar.skip(batch * run.batch_size, batch)
            logs: Logs = {}
            for number_ in run.batches(epoch, batch):
                hooks.on_train_batch_begin(number_)
                try:
                    results = run.step()
                except FloatingPointError:
                    if not bears_nan:
                        raise
                    results = (math.nan,) * len(names)
                bar.count(run.samples)
                logs = dict(zip(names, results, strict=True))
                hooks.on_train_batch_end(number_, logs)
                if self.stop_training:
                    break
            yield epoch, logs
            if self.stop_training:
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
        as_dictionary = boolean(return_dict, "return_dict")
        self._settle(x, y)
        data = self._data(x, y, sample_weight, class_weight)
        results = self._handle.train_on_batch(*data, len(names))
        return _results(dict(zip(names, results, strict=True)), as_dictionary)

    # ---------------------------------------------------------------------------------------------------- evaluation

    def test_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics of one batch, without training; results and errors as of ``train_on_batch``."""
        names = self.metrics_names
        as_dictionary = boolean(return_dict, "return_dict")
        self._settle(x, y)
        data = self._data(x, y, sample_weight)
        results = self._handle.evaluate(*data, len(data.x), len(names))
        return _results(dict(zip(names, results, strict=True)), as_dictionary)

    def evaluate(
        self,
        x: Inputs = None,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: ArrayLike | None = None,
        steps: int | None = None,
        callbacks: Callbacks = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics over a set of images, without training.

        Args:
            x: images (N, height, width, channels), or batches of ``(x, y)`` or ``(x, y, sample_weight)``.
            y: their targets.
            batch_size: None is 32.
            verbose: 0 shows nothing, 1 or ``"auto"`` a progress bar (in a log a line), 2 a line.
            sample_weight: (N,).
            steps: how many batches are evaluated; None: all.
            callbacks: objects of ``swiftcnn.callbacks``.

        Returns:
            The loss; ``[loss, metrics...]`` where there are metrics; with ``return_dict`` a dictionary.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
            RuntimeError: the model is not compiled.
        """
        self.metrics_names  # noqa: B018 - so that it is compiled
        size, count = _batch_size(batch_size), _steps(steps, "steps")
        level = _verbosity(verbose)
        as_dictionary = boolean(return_dict, "return_dict")
        hooks = CallbackList(callbacks)
        samples: int | None = None
        if _batches.is_source(x):
            _refuse_with_batches(x, y=y, sample_weight=sample_weight)
            raw = _batches.feed_of(x, count)
            self._settle_for(raw, 0, "x")
            feed = self._converted(raw, None, "x: ")
        else:
            self._settle(x, y)
            data = self._data(x, y, sample_weight)
            if batch_size is None and count:
                size = -(-len(data.x) // count)
            feed = _batches.feed_of_arrays(data, size, count)
            samples = len(data.x) if count is None else None
        bar = ProgressBar(level, "test", 1, samples, feed.steps)
        hooks = CallbackList(hooks, bar)
        hooks.set_model(self._model)
        hooks.set_params({"verbose": level, "epochs": 1, "steps": feed.steps})
        try:
            return _results(self._evaluate(feed, hooks, bar), as_dictionary)
        finally:
            bar.end_line()

    def _evaluate(self, feed: Feed[Data], hooks: CallbackList, bar: ProgressBar | None) -> Logs:
        """The means over all images, batch by batch, so that Ctrl-C is heard between two. Without any image, which is
        not so before the first batch of a ``feed``, nothing is measured."""
        names = self.metrics_names
        if feed.peek(0) is None:
            feed.warn()
            return {}
        self.stop_evaluating = False
        hooks.on_test_begin()
        sums = [0.0] * len(names)
        done = 0
        logs: Logs = {}
        for batch, (data, _) in enumerate(feed.epoch(0)):
            hooks.on_test_batch_begin(batch)
            count = len(data.x)
            results = self._handle.evaluate(*data, count, len(names))
            done += count
            sums = [total + count * value for total, value in zip(sums, results, strict=True)]
            logs = {name: total / done for name, total in zip(names, sums, strict=True)}
            if bar:
                bar.count(count)
            hooks.on_test_batch_end(batch, logs)
            if self.stop_evaluating:
                break
        hooks.on_test_end(logs)
        return logs

    # ---------------------------------------------------------------------------------------------------- prediction

    def predict(
        self,
        x: Inputs,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Callbacks = None,
        *,
        output: str | Sequence[str] | None = None,
    ) -> Any:
        """Runs the model. Two threads may do so at the same time.

        Args:
            x: images (N, height, width, channels), or batches of such; of ``(x, y)`` the ``y`` is left out.
            batch_size: None is 32.
            verbose: 0 shows nothing, 1 or ``"auto"`` a progress bar (in a log a line), 2 a line.
            steps: how many batches are predicted; None: all.
            callbacks: objects of ``swiftcnn.callbacks``.
            output: the name of an intermediate result, one of ``tensor_names``, to be given in place of the output;
                or a list of such names.

        Returns:
            float32 (N, ...); a list of such arrays where the model has several outputs, or ``output`` is a list.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
        """
        size, count = _batch_size(batch_size), _steps(steps, "steps")
        level = _verbosity(verbose)
        chosen = None if output is None else _names(output, "output")
        hooks = CallbackList(callbacks)
        samples: int | None = None
        feed: Feed[Array]
        if _batches.is_source(x):
            raw = _batches.feed_of(x, count)
            first = raw.peek(0)
            if first is None:
                raise ValueError("x yields no batches: expected at least one")
            self._prepare(_batches.unpack(first, "x")[0])
            feed = raw.map(lambda item: self._images(_batches.unpack(item, "x")[0]))
        else:
            self._prepare(x)
            images = self._images(x)
            if batch_size is None and count:
                size = -(-len(images) // count)
            samples = len(images) if count is None else min(len(images), count * size)
            feed = _batches.feed_of_arrays(images, size, count)
        bar = ProgressBar(level, "predict", 1, samples, feed.steps)
        hooks = CallbackList(hooks, bar)
        hooks.set_model(self._model)
        hooks.set_params({"verbose": level, "epochs": 1, "steps": feed.steps})
        try:
            results = self._predict(feed, samples, chosen or self.output_names, hooks, bar)
        finally:
            bar.end_line()
        if output is None:
            return self._packed(results)
        return results[0] if isinstance(output, str) else results

    def _predict(
        self, feed: Feed[Array], samples: int | None, names: list[str], hooks: CallbackList, bar: ProgressBar
    ) -> list[Floats]:
        """The results of these names for all images; where their number is known, each into one array."""
        wholes: list[Floats] = []
        batches: list[list[Floats]] = []
        done = 0
        self.stop_predicting = False
        hooks.on_predict_begin()
        for batch, (images, _) in enumerate(feed.epoch(0)):
            hooks.on_predict_batch_begin(batch)
            shapes = [self._handle.output_shape(images.shape, name) for name in names]
            if not wholes and samples is not None:
                wholes = [np.empty((samples, *shape[1:]), np.float32) for shape in shapes]
            end = done + len(images)
            parts = [whole[done:end] for whole in wholes] or [np.empty(shape, np.float32) for shape in shapes]
            self._handle.predict(images, len(images), names, parts)
            batches.append(parts)
            done = end
            bar.count(len(images))
            hooks.on_predict_batch_end(batch, {"outputs": parts[0] if len(parts) == 1 else parts})
            if self.stop_predicting:
                break
        hooks.on_predict_end()
        return [whole[:done] for whole in wholes] or [np.concatenate(parts) for parts in zip(*batches, strict=True)]

    def predict_on_batch(self, x: ArrayLike) -> Any:
        """Runs the model on one batch of images: ``predict`` without a word."""
        self._prepare(x)
        images = self._images(x)
        names = self.output_names
        results = [np.empty(self._handle.output_shape(images.shape, name), np.float32) for name in names]
        self._handle.predict(images, len(images), names, results)
        return self._packed(results)

    # --------------------------------------------------------------------------------------------------------- data

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs: one, but for a model that was made with several."""
        return self._handle.output_names().split("\n")

    @property
    def _model(self) -> Model:
        """This object, as callbacks know it."""
        raise NotImplementedError

    @property
    def _seed(self) -> int:
        """Of shuffling."""
        settings = self._compile_settings or json.loads(self._handle.training_settings())
        return int(settings["seed"])

    @property
    def _open_schedule(self) -> str | None:
        """The schedule that needs to be told the number of steps, if there is one."""
        schedule = None if self.optimizer is None else self.optimizer.schedule
        return repr(schedule) if schedule is not None and schedule.is_open else None

    def _settle_for(self, feed: Feed[Any], epoch: int, name: str) -> None:
        """As ``_settle``, for the first batch."""
        first = feed.peek(epoch)
        if first is None:
            raise ValueError(f"{name} yields no batches: expected at least one")
        images, targets, _ = _batches.unpack(first, name)
        self._settle(images, targets)

    def _converted(self, feed: Feed[Any], class_weight: Mapping[int, float] | None, prefix: str) -> Feed[Data]:
        """The batches as the library takes them."""

        def convert(item: Any) -> Data:
            x, y, weight = _batches.unpack(item, prefix.removesuffix(": "))
            return self._data(x, y, weight, class_weight, prefix)

        return feed.map(convert)

    def _images(self, x: Any, name: str = "x") -> Array:
        shape = [size if size > 0 else None for size in self._handle.input_shape()]
        return _arrays.images(x, shape, name)

    def _data(
        self,
        x: Any,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        class_weight: Mapping[int, float] | None = None,
        prefix: str = "",
    ) -> Data:
        images = self._images(x, prefix + "x")
        targets = _arrays.targets(y, self._handle.output_shape(images.shape, None), prefix + "y")
        return Data(images, targets, _arrays.weights(sample_weight, class_weight, targets, prefix + "sample_weight"))

    def _validation(self, given: Any, batch_size: int, steps: int | None) -> Feed[Data]:
        if _batches.is_source(given):
            feed = _batches.feed_of(given, steps)
            if feed.peek(0) is None:
                raise ValueError("validation_data yields no batches: expected at least one")
            return self._converted(feed, None, "validation_data: ")
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise ValueError(
                "validation_data must be (x, y) or (x, y, sample_weight), or batches of such, "
                f"got {reprlib.repr(given)}"
            )
        weight = given[2] if len(given) == 3 else None
        data = self._data(given[0], given[1], weight, prefix="validation_data: ")
        return _batches.feed_of_arrays(data, batch_size, steps)


def _refuse_unsupported(**given: tuple[object, list[object], str]) -> None:
    """Raises for the first argument whose value is none of those that mean nothing."""
    for name, (value, harmless, expected) in given.items():
        if not any(value is known or (type(value) is type(known) and value == known) for known in harmless):
            raise unsupported(name, value, expected)


def _refuse_with_batches(x: object, **given: object) -> None:
    """Raises for an argument that batches bring themselves."""
    kind = type(x).__name__
    for name, value in given.items():
        if value is None:
            continue
        if name == "validation_split":
            raise ValueError(
                "Argument `validation_split` is only supported for tensors or NumPy arrays. "
                f"Found incompatible type in the input: {kind}"
            )
        description = {"y": "the targets", "sample_weight": "the sample weights"}[name]
        raise ValueError(
            f"When providing `x` as a {kind}, `{name}` should not be passed. Instead, {description} should be included "
            f"as part of the {kind}."
        )


def _share(split: float, given: object) -> float:
    """The share of the images that is held back, which is none where there is other data to validate with."""
    share = number(split, "validation_split")
    if not 0 <= share < 1:
        raise ValueError(f"validation_split must be at least 0 and below 1, got {share}")
    return 0.0 if given is not None else share


def _split(data: Data, share: float) -> tuple[Data, Data | None]:
    """The data to train on, and the last share of it to validate with."""
    count = int(len(data.x) * (1 - share))
    if count == len(data.x):
        return data, None
    if count == 0:
        raise ValueError(f"validation_split {share} leaves none of {len(data.x)} images to train on")
    return data.part(slice(count)), data.part(slice(count, None))


def _epochs_of(frequency: int | Collection[int]) -> Any:
    """Whether validation follows an epoch, counted from 1."""
    if isinstance(frequency, Collection) and not isinstance(frequency, (str, bytes)):
        chosen = {integer(epoch, "validation_freq", minimum=1) for epoch in frequency}
        return chosen.__contains__
    every = integer(frequency, "validation_freq", minimum=1)
    return lambda epoch: epoch % every == 0


def _metrics_of(given: str | Metric | Sequence[str | Metric] | None) -> tuple[Metric, ...]:
    if given is None:
        return ()
    if isinstance(given, (str, metrics.Metric)):
        given = [given]
    if not isinstance(given, (list, tuple)):
        raise ArgumentError(f"metrics must be a list of names or objects of swiftcnn.metrics, got {given!r}")
    chosen = tuple(metrics.get(metric) for metric in given)
    names = ["loss"]
    for metric in chosen:
        if metric.name in names:
            raise ValueError(f"metrics: {metric.name!r} is given twice; give another name=")
        names.append(metric.name)
    return chosen


def _names(given: str | Sequence[str], name: str) -> list[str]:
    if isinstance(given, str):
        return [text(given, name)]
    if not isinstance(given, (list, tuple)) or not given:
        raise TypeError(f"{name} must be a name or a list of names, got {given!r}")
    names = [text(each, name) for each in given]
    if len(set(names)) < len(names):
        raise ValueError(f"{name} must not name a result twice, got {given!r}")
    return names


def _batch_size(value: int | None, name: str = "batch_size") -> int:
    return 32 if value is None else integer(value, name, minimum=1)


def _steps(value: int | None, name: str) -> int | None:
    return None if value is None else integer(value, name, minimum=1)


def _verbosity(value: int | str) -> int:
    if isinstance(value, str) and value == "auto":
        return 1
    if isinstance(value, int) and value in (0, 1, 2):
        return int(value)
    raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {value!r}")


def _results(logs: Logs, return_dict: bool) -> float | list[float] | Logs:
    """What Keras returns; ``Any`` in public signatures, since the caller alone knows which of the three."""
    values = list(logs.values())
    return logs if return_dict else values[0] if len(values) == 1 else values
