"""Training, evaluating and predicting: the half of a model that is about data."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _batches
from ._arrays import Data, count_of, part_of, shapes_of
from ._checks import boolean, suggesting, text
from ._folders import ImageFolder
from ._inputs import USUAL_BATCH_SIZE, Fed, FitArguments, PassArguments, refuse_with_batches, size_of
from ._measures import TeacherMeasures
from ._output import is_terminal
from ._progress import ProgressBar
from ._resuming import FitHooks, OwnMetrics, Place, Stored
from ._runs import Run
from ._warnings import pass_on
from .callbacks import Callback, CallbackList, History, TerminateOnNaN

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from . import _swiftcnn
    from ._arrays import Floats, Samples
    from ._batches import Feed
    from ._inputs import Inputs
    from .callbacks import Logs
    from .models import Model

    Callbacks = Callback | Iterable[Callback] | None


class Trainer(Fed):
    """What ``Model`` can do with data. ``x`` is images (N, height, width, channels) throughout: pixels from 0 to 255 in
    any integer dtype, which the model normalises, or floats, which are taken as float32 as they stand; a model that
    takes pixels as they are takes any integers. Floats that look like pixels that nobody normalised, and data other
    than the model was trained on, are warned of once. ``y`` is integer labels (N,) or (N, 1) of any dtype, or
    float targets shaped as the output, as the loss wants them.

    A model with several inputs takes, wherever ``x`` stands, a list of arrays in the order of ``inputs``, or a
    dictionary by ``input_names``, all with the same number of samples. Among them, images may be uint8 pixels where
    they have as many channels as ``normalization``; rows of numbers become float32.

    In place of arrays, ``fit``, ``evaluate`` and ``predict`` take batches: a generator or another iterator, an iterable
    as a torch ``DataLoader``, or a sequence, with ``__getitem__`` and ``__len__``, of ``(x, y)`` or
    ``(x, y, sample_weight)``. Where such an object does not tell its length, it is gone through to its end.

    Attributes:
        optimizer: None before ``compile``.
        history: of the last ``fit``.
        stop_training: a callback sets it to end training after the current batch.
        stop_evaluating, stop_predicting: the same of ``evaluate`` and ``predict``.
    """

    history: History | None = None
    stop_training: bool = False
    stop_evaluating: bool = False
    stop_predicting: bool = False
    _hooks: FitHooks | None = None  # of the fit that runs
    _validates_ema: bool = False  # in it
    _has_teacher: bool = False

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs: one, but for a model that was made with several."""
        return self._handle.output_names().split("\n")

    @property
    def _model(self) -> Model:
        """This object, as callbacks know it."""
        raise NotImplementedError

    def _packed(self, results: list[Any]) -> Any:
        """What there is for each output in the form that the model gives."""
        return results[0] if len(results) == 1 else results

    # ------------------------------------------------------------------------------------------------------ training

    @suggesting
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
        class_weight: Mapping[Any, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Collection[int] = 1,
        *,
        validation_ema: bool = False,
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
            class_weight: ``{label: weight}``, of an ``ImageFolder`` also ``{name: weight}``; multiplies the sample
                weights.
            sample_weight: (N,).
            initial_epoch: the epoch to begin with.
            steps_per_epoch: the batches of an epoch, where those are not all; the next epoch goes on from there.
            validation_steps: the batches of an evaluation, where those are not all.
            validation_batch_size: None is ``batch_size``.
            validation_freq: validation after every so many epochs, or after the epochs, counted from 1, in a list.
            validation_ema: validation measures the moving average of the weights (an optimizer's ``use_ema``) in their
                place, as training ends with it; ``val_loss`` and so on are then those of the average. The weights
                themselves stay as they are.
            horizontal_flip: each image is mirrored with probability 1/2.
            crop_padding: each image is padded by so many zero pixels on each side and cropped at random.
            resume: go on from the loaded checkpoint's epoch and batch with the batches that a run from
                ``initial_epoch`` on would take: what it has taken is passed over. A generator or another iterator is
                taken to be at its beginning, unless it is a generator that has given something already, which is asked
                for its next. Callbacks remember what they did: give those of the run that is resumed. Where that run
                had come to its end, nothing is trained.

        Returns:
            The history of the epochs that this call has trained: ``history.history["loss"]`` is a list of floats, one
            an epoch. A ``History`` of your own among the callbacks goes on in a run that is resumed.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
            FloatingPointError: training produced NaN or infinity.
            RuntimeError: the model is not compiled.
        """
        names = self._measured_names()
        given = FitArguments.of(locals())
        if given.validation_ema:
            self._require_ema("validation_ema")
        hooks = CallbackList(callbacks, *([OwnMetrics(self._own_metrics)] if self._own_metrics else []))
        data = self._fit_data(given, x, y, sample_weight, class_weight, validation_data)
        validation = data.validation
        notes = self._handle.training_notes()
        stored = Stored.of(*notes) if given.resume and notes[0] else None
        progress = json.loads(self._handle.training_progress()) | {"names": names}
        resumed = (progress["epoch"], progress["batch"]) if given.resume else None
        size = data.batch_size or USUAL_BATCH_SIZE
        run = Run(self._handle, data.source, size, given, resumed, self._open_schedule)
        own = next((known for known in hooks.callbacks if isinstance(known, History)), None)
        self.history = history = own or History()
        bar = ProgressBar(given.verbose, "train", given.epochs, data.samples, run.steps)
        hooks = FitHooks(hooks, [] if own else [history])
        hooks.set_model(self._model)
        hooks.set_params(
            {
                "epochs": given.epochs,
                "steps": run.steps,
                "batch_size": data.batch_size,
                "samples": data.samples,
                "verbose": given.verbose,
                "metrics": names + (["val_" + name for name in names] if validation else []),
            }
        )
        self.stop_training = False
        with run, contextlib.closing(bar), self._storing(hooks, notes if given.resume else ("", b"")):
            self._validates_ema = given.validation_ema
            hooks.on_train_begin()
            place = Place(*run.start)
            if given.resume:
                place = hooks.resume(self._model, stored, progress, place)
            else:
                hooks.is_begun = True
            has_trained = False
            taught: list[float] = []
            for epoch, logs in self._epochs(run, hooks, bar, names, place):
                has_trained = True
                if validation and given.validation_freq(epoch + 1):
                    validation.restart()
                    silent = ProgressBar(0, "test", 1, None, None)
                    sums = self._handle.measures(False)
                    teacher = TeacherMeasures(self._handle) if self._has_teacher and not taught else None
                    measured = self._evaluate(validation, hooks, silent, given.validation_ema, sums, teacher)
                    logs.update({"val_" + name: value for name, value in measured.items()})
                    if self._has_teacher and measured:
                        taught = self._numbers(teacher.sums) if teacher else taught
                        self._handle.compare_with_teacher(self._numbers(sums), taught)
                        pass_on(self._handle)
                hooks.on_epoch_end(epoch, logs)
                bar.finish(logs)
            if has_trained or not hooks.ended_before:
                with contextlib.suppress(RuntimeError):  # where no average is kept
                    self._handle.apply_ema()  # as Keras: the average is what a training run gives
            hooks.on_train_end(hooks.last_logs)
            hooks.store(self._handle, has_ended=True)
        return history

    def _numbers(self, sums: _swiftcnn.Measures) -> list[float]:
        """The loss and the library's metrics, each as one number."""
        count = 1 + len(self._all_metrics) - len(self._own_metrics)
        return [sums.values(place)[0][0] for place in range(count)]

    @contextlib.contextmanager
    def _storing(self, hooks: FitHooks, notes: tuple[str, bytes | bytearray]) -> Iterator[None]:
        """Within it what is saved has what the callbacks know, and so has the model where training is broken off.

        Args:
            notes: what the model has of the run that is resumed, if that cannot be done.
        """
        before, self._hooks = self._hooks, hooks
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                hooks.put_weights_back()
                if hooks.is_begun:
                    hooks.store(self._handle)
                else:
                    self._handle.set_training_notes(notes[0] or None, notes[1])
            raise
        finally:
            self._hooks, self._validates_ema = before, False

    def _store_callbacks(self) -> None:
        """Has what the callbacks of the fit that runs know go with the state of training."""
        if self._hooks is not None and self._hooks.is_begun:
            self._hooks.store(self._handle)

    @contextlib.contextmanager
    def _weights_behind(self, name: str) -> Iterator[None]:
        """Within it the weights are those that a number in the logs of the fit that runs is measured with: of the
        validation data the averages, with ``validation_ema``."""
        progress = json.loads(self._handle.training_progress())
        swaps = self._validates_ema and name.startswith("val_") and not progress["average_in_place"]
        if swaps:
            self._handle.swap_ema()
        try:
            yield
        finally:
            if swaps:
                self._handle.swap_ema()

    def _epochs(
        self, run: Run, hooks: FitHooks, bar: ProgressBar, names: list[str], place: Place
    ) -> Iterator[tuple[int, Logs]]:
        """Trains, and stops after each epoch to give its number and logs."""
        bears_nan = any(isinstance(callback, TerminateOnNaN) for callback in hooks.callbacks)
        is_over = hooks.is_resumed and self.stop_training
        if is_over and not place.is_begun:
            return
        while place.is_begun or (place.epoch < run.epochs and run.has_batch(place.epoch)):
            epoch, batch = place.epoch, place.batch
            logs: Logs = dict(place.logs or {})
            if not place.is_begun:
                hooks.on_epoch_begin(epoch)
            bar.begin(epoch, batch * run.batch_size, batch)
            for number_ in [] if place.is_done or is_over else run.batches(epoch, batch):
                hooks.on_train_batch_begin(number_)
                try:
                    logs = self._train_logs(run.step())
                except FloatingPointError:
                    if not bears_nan:
                        raise
                    logs = dict.fromkeys(names, math.nan)
                hooks.on_train_batch_end(number_, logs)
                bar.count(run.samples, logs)
                if self.stop_training:
                    if not run.epoch_ended:
                        hooks.keep(self._handle.get_learning_rate())
                    break
            yield epoch, logs
            if self.stop_training:
                return
            place = Place(epoch + 1, 0)

    def train_on_batch(
        self,
        x: Any,
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
        return self._measured(True, x, y, sample_weight, class_weight, return_dict)

    def _measured(
        self,
        trains: bool,
        x: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Mapping[int, float] | None,
        return_dict: bool,
    ) -> Any:
        """The loss and metrics of one batch, which is trained on or not."""
        names = self._measured_names()
        as_dictionary = boolean(return_dict, "return_dict")
        self._settle(x, y)
        data = self._data(x, y, sample_weight, class_weight)
        self._reset_own_metrics()
        if not trains:
            return _results(self._evaluate_batch(self._handle.measures(False), data, False), as_dictionary)
        results = self._handle.train_on_batch(*data, len(names) - len(self._own_metrics))
        pass_on(self._handle)
        return _results(self._train_logs(results), as_dictionary)

    def _train_logs(self, results: Sequence[float]) -> Logs:
        """What a training step gave, which the library's metrics are a part of, by name."""
        return self._logs_of(results[0], self._handle.measures(True)) if self._all_metrics else {"loss": results[0]}

    # ---------------------------------------------------------------------------------------------------- evaluation

    def test_on_batch(
        self,
        x: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics of one batch, without training; results and errors as of ``train_on_batch``."""
        return self._measured(False, x, y, sample_weight, None, return_dict)

    def _evaluate_batch(self, sums: _swiftcnn.Measures, data: Data, uses_ema: bool) -> Logs:
        """Adds a batch to an evaluation; the loss and metrics so far."""
        sums.evaluate(self._handle, *data, data.samples, uses_ema)
        pass_on(self._handle)
        return self._logs_of(sums.values(0)[0][0], sums)

    @suggesting
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
        *,
        use_ema: bool = False,
    ) -> Any:
        """The loss and metrics over a set of images, without training.

        Args:
            x: images (N, height, width, channels), or batches of ``(x, y)`` or ``(x, y, sample_weight)``.
            y: their targets.
            batch_size: None is 32.
            verbose: 0 shows nothing, 1 a progress bar (in a log a line), 2 a line; ``"auto"`` is 1, but shows nothing
                of one batch in a log.
            sample_weight: (N,).
            steps: how many batches are evaluated; None: all.
            callbacks: objects of ``swiftcnn.callbacks``.
            use_ema: measures the moving average of the weights (an optimizer's ``use_ema``) in their place; the
                weights themselves stay as they are.

        Returns:
            The loss; ``[loss, metrics...]`` where there are metrics; with ``return_dict`` a dictionary.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
            RuntimeError: the model is not compiled.
        """
        self._measured_names()
        given = PassArguments.of(locals())
        uses_ema = boolean(use_ema, "use_ema")
        if uses_ema:
            self._require_ema("use_ema")
        as_dictionary = boolean(return_dict, "return_dict")
        hooks = CallbackList(callbacks)
        samples: int | None = None
        if _batches.is_source(x):
            refuse_with_batches(x, y=y, sample_weight=sample_weight)
            feed = self._fed(x, given.steps)
        else:
            self._settle(x, y)
            data = self._data(x, y, sample_weight)
            count = data.samples
            size = size_of(given.batch_size, given.steps, count)
            feed = _batches.feed_of_arrays(count, data.part, size, given.steps)
            samples = count if given.steps is None else None
        with self._told(hooks, verbose, "test", samples, feed.steps) as bar:
            return _results(self._evaluate(feed, hooks, bar, uses_ema), as_dictionary)

    @contextlib.contextmanager
    def _told(
        self, hooks: CallbackList, verbose: int | str, task: str, samples: int | None, steps: int | None
    ) -> Iterator[ProgressBar]:
        """Within it the callbacks know of an evaluation or a prediction, whose progress is shown."""
        hooks.set_model(self._model)
        hooks.set_params({"verbose": 1 if verbose == "auto" else verbose, "epochs": 1, "steps": steps})
        with contextlib.closing(ProgressBar(verbose, task, 1, samples, steps)) as bar:
            try:
                yield bar
            finally:
                hooks.put_weights_back()

    def _go_through(
        self, task: str, feed: Feed[Any], hooks: CallbackList, bar: ProgressBar, compute: Callable[[Any], Logs]
    ) -> Logs:
        """Computes batch by batch, so that Ctrl-C is heard between two; the logs of the last."""
        has_logs, stop = (True, "stop_evaluating") if task == "test" else (False, "stop_predicting")
        setattr(self, stop, False)
        hooks._tell(f"on_{task}_begin", {})
        bar.begin()
        logs: Logs = {}
        for number_, (batch, _) in enumerate(feed.epoch(0)):
            hooks._tell(f"on_{task}_batch_begin", number_, {})
            logs = compute(batch)
            hooks._tell(f"on_{task}_batch_end", number_, logs)
            bar.count(count_of(batch), logs if has_logs else {})
            if getattr(self, stop):
                break
        hooks._tell(f"on_{task}_end", logs if has_logs else {})
        bar.finish(logs if has_logs else {})
        return logs

    def _require_ema(self, argument: str) -> None:
        """Raises where no moving average of the weights is kept that this argument asks for."""
        if self.optimizer is None or not self.optimizer.use_ema:
            raise ValueError(
                f"{argument} needs a moving average of the weights: compile with an optimizer of use_ema=True"
            )

    def _evaluate(
        self,
        feed: Feed[Data],
        hooks: CallbackList,
        bar: ProgressBar,
        uses_ema: bool,
        sums: _swiftcnn.Measures | None = None,
        teacher: TeacherMeasures | None = None,
    ) -> Logs:
        """The means over all images, added to ``sums`` where those are given. Without any image, which is not so before
        the first batch of a ``feed``, nothing is measured. The teacher is measured on the same batches, which a
        generator gives but once."""
        if feed.peek(0) is None:
            feed.warn()
            return {}
        into = sums or self._handle.measures(False)
        self._reset_own_metrics()

        def evaluate(data: Data) -> Logs:
            if teacher is not None:
                teacher.add(data)
            return self._evaluate_batch(into, data, uses_ema)

        return self._go_through("test", feed, hooks, bar, evaluate)

    # ---------------------------------------------------------------------------------------------------- prediction

    @suggesting
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
            verbose: 0 shows nothing, 1 a progress bar (in a log a line), 2 a line; ``"auto"`` is 1, but shows nothing
                of one batch in a log.
            steps: how many batches are predicted; None: all.
            callbacks: objects of ``swiftcnn.callbacks``.
            output: the name of an intermediate result, one of ``tensor_names``, to be given in place of the output;
                or a list of such names.

        Returns:
            float32 (N, ...); a list of such arrays where the model has several outputs, or ``output`` is a list.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
        """
        self.stop_predicting = False
        # What is asked for most, a small batch without a word: to look at all arguments would take longest.
        is_plain = batch_size is None and steps is None and callbacks is None and output is None
        is_small = type(x) is np.ndarray and x.ndim > 1 and 1 <= len(x) <= USUAL_BATCH_SIZE
        is_quiet = (type(verbose) is int and verbose == 0) or (
            isinstance(verbose, str) and verbose == "auto" and not is_terminal()
        )
        if is_plain and is_small and is_quiet:
            return self.predict_on_batch(x)
        given = PassArguments.of(locals())
        chosen = None if output is None else _names(output, "output")
        hooks = CallbackList(callbacks)
        samples: int | None = None
        feed: Feed[Samples]
        if _batches.is_source(x):
            if isinstance(x, ImageFolder):
                x = self._folder(x, "prediction")
            raw = _batches.feed_of(x, given.steps)
            self._prepare(_batches.first_of(raw, 0, "x")[0])
            feed = raw.map(lambda item: self._images(_batches.unpack(item, "x")[0]))
        else:
            self._prepare(x)
            images = self._images(x)
            count = count_of(images)
            size = size_of(given.batch_size, given.steps, count)
            samples = count if given.steps is None else min(count, given.steps * size)
            if is_quiet and not hooks.callbacks and given.steps in (None, 1) and count <= size:
                return self._chosen(self._computed(images, chosen or self.output_names), output)
            feed = _batches.feed_of_arrays(count, functools.partial(part_of, images), size, given.steps)
        with self._told(hooks, verbose, "predict", samples, feed.steps) as bar:
            return self._chosen(self._predict(feed, samples, chosen or self.output_names, hooks, bar), output)

    def _chosen(self, results: list[Floats], output: str | Sequence[str] | None) -> Any:
        """The results in the form that they were asked for."""
        if output is None:
            return self._packed(results)
        return results[0] if isinstance(output, str) else results

    def _computed(self, images: Samples, names: list[str], wholes: Sequence[Floats] = ()) -> list[Floats]:
        """The results of these names for one batch, into arrays that are given or new."""
        results = list(wholes) or self._room(images, names)
        self._handle.predict(images, count_of(images), names, results)
        pass_on(self._handle)
        return results

    def _room(self, images: Samples, names: list[str], samples: int | None = None) -> list[Floats]:
        """An array for each result of so many samples as there are, or of another number."""
        shapes = [self._handle.output_shape(shapes_of(images), name) for name in names]
        return [np.empty((samples or shape[0], *shape[1:]), np.float32) for shape in shapes]

    def _predict(
        self, feed: Feed[Samples], samples: int | None, names: list[str], hooks: CallbackList, bar: ProgressBar
    ) -> list[Floats]:
        """The results of these names for all images; where their number is known, each into one array."""
        wholes: list[Floats] = []
        batches: list[list[Floats]] = []
        done = 0

        def compute(images: Samples) -> Logs:
            nonlocal wholes, done
            if not wholes and samples is not None:
                wholes = self._room(images, names, samples)
            begin, done = done, done + count_of(images)
            parts = self._computed(images, names, [whole[begin:done] for whole in wholes])
            batches.append(parts)
            return {"outputs": parts[0] if len(parts) == 1 else parts}

        self._go_through("predict", feed, hooks, bar, compute)
        return [whole[:done] for whole in wholes] or [np.concatenate(parts) for parts in zip(*batches, strict=True)]

    def predict_on_batch(self, x: Any) -> Any:
        """Runs the model on one batch of images: ``predict`` without a word."""
        self._prepare(x)
        return self._packed(self._computed(self._images(x), self.output_names))


def _names(given: str | Sequence[str], name: str) -> list[str]:
    if isinstance(given, str):
        return [text(given, name)]
    if not isinstance(given, (list, tuple)) or not given:
        raise TypeError(f"{name} must be a name or a list of names, got {given!r}")
    names = [text(each, name) for each in given]
    if len(set(names)) < len(names):
        raise ValueError(f"{name} must not name a result twice, got {given!r}")
    return names


def _results(logs: Logs, return_dict: bool) -> float | list[float] | Logs:
    """What Keras returns; ``Any`` in public signatures, since the caller alone knows which of the three."""
    values = list(logs.values())
    return logs if return_dict else values[0] if len(values) == 1 else values


# Their names in messages are those of the class that everybody knows.
for _kind in Trainer.__mro__[:-1]:
    for _function in vars(_kind).values():
        if inspect.isfunction(_function):
            _function.__qualname__ = f"Model.{_function.__name__}"
