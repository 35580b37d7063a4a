"""What training, evaluation and prediction are given: arguments, and arrays or batches as the library takes them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from . import _arrays, _batches, losses
from ._arrays import Data
from ._batches import Feed
from ._checks import integer, number
from ._compilation import Compiled
from ._described import CHECKS, WithOptions
from ._folders import ImageFolder

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Samples
    from ._described import Count, Kept, Size

    # Arrays, or batches: an iterator, an iterable, or a sequence of (x, y) or (x, y, sample_weight).
    Inputs = ArrayLike | Iterable[Any] | None
    # Types of arguments.
    Epochs = Kept[int | Collection[int], Callable[[int], bool]]
    Share: TypeAlias = float
    Verbosity = Kept[int | str, int]

USUAL_BATCH_SIZE = 32


class Arguments(WithOptions):
    """Arguments that are no data, each checked."""

    batch_size: Size | None
    verbose: Verbosity

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """They are among the variables of a function that has just been called."""
        found = cls.__new__(cls)  # without looking for what is missing: predict has little time
        found._take({name: given[name] for name in cls._arguments})
        return found


class PassArguments(Arguments):
    """Those of ``evaluate`` and ``predict``."""

    steps: Size | None


class FitArguments(Arguments):
    """Those of ``fit``."""

    epochs: Size
    validation_split: Share
    shuffle: bool
    initial_epoch: Count
    steps_per_epoch: Size | None
    validation_steps: Size | None
    validation_batch_size: Size | None
    validation_freq: Epochs
    validation_ema: bool
    horizontal_flip: bool
    crop_padding: Count
    resume: bool


class FitData(NamedTuple):
    """What ``fit`` trains on, and what it validates with."""

    source: Data | Feed[Data]
    validation: Feed[Data] | None
    batch_size: int | None  # None where batches come as such
    samples: int | None  # where that is known


class Fed(Compiled):
    """The half of a model's training that is data."""

    def _prepare(self, x: Any, name: str = "x") -> None:
        """Called with the images before anything reads the handle: the first argument of a method as it was given, or
        the images of its first batch."""
        raise NotImplementedError

    def _settle(self, x: Any, y: ArrayLike | None) -> None:
        """Builds the model for these images and compiles it for these targets, where that is still due."""
        self._prepare(x)
        if self._given.is_due and self._given.loss is not None:
            if losses.is_open(self._given.loss):
                images, targets = self._images(x), _arrays.numeric(y, "y")
                output = self._handle.output_shape(_arrays.shapes_of(images), None)
                is_label = targets.ndim < len(output) or (targets.shape[-1] == 1 and output[-1] > 1)
                self._given = self._given._replace(loss=losses.fitting(self._given.loss, is_label, output[-1]))
            self._apply_compile_settings()

    @contextmanager
    def _settled_for_now(self) -> Iterator[None]:
        """Compiled as long as this takes, whichever loss targets that are still to come will decide on."""
        self._measured_names()
        given = self._given
        if not given.is_due or given.loss is None:
            yield
            return
        self._given = given._replace(loss=losses.fitting(given.loss, True, self._handle.tensor_shape(None)[-1]))
        try:
            self._apply_compile_settings()
            yield
        finally:
            self._take_settings(given)

    def _fed(
        self,
        source: Any,
        steps: int | None,
        purpose: str = "evaluation",
        name: str = "x",
        training: Any = None,
        class_weight: Mapping[Any, float] | None = None,
        shuffle_seed: int | None = None,
        epoch: int = 0,
    ) -> Feed[Data]:
        """The batches of a source as the library takes them. Builds and compiles the model where that is still due.

        Args:
            purpose, training: of ``ImageFolder._for``.
            name: of the argument that it was.
            epoch: the first.
        """
        if isinstance(source, ImageFolder):
            folder = self._folder(source, purpose, name, training)
            class_weight = source._weights_for(folder, class_weight)
            source = folder
        raw = _batches.feed_of(source, steps, shuffle_seed)
        self._settle(*_batches.first_of(raw, epoch, name)[:2])
        prefix = "" if name == "x" else f"{name}: "

        def convert(item: Any) -> Data:
            return self._data(*_batches.unpack(item, name), class_weight, prefix)

        return raw.map(convert)

    def _folder(self, folder: ImageFolder, purpose: str, name: str = "x", training: Any = None) -> ImageFolder:
        """A folder of pictures as the model reads it. Builds and compiles the model where that is still due."""
        if not self._built or self._given.is_due:
            self._settle(*_batches.first_of(_batches.feed_of(folder, None), 0, name)[:2])
        return folder._for(self._handle, purpose, name, training if isinstance(training, ImageFolder) else None)

    def _images(self, x: Any, name: str = "x") -> Samples:
        return _arrays.samples(x, self._handle, name)

    def _data(
        self,
        x: Any,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        class_weight: Mapping[int, float] | None = None,
        prefix: str = "",
    ) -> Data:
        images = self._images(x, prefix + "x")
        targets = _arrays.targets(y, self._handle.output_shape(_arrays.shapes_of(images), None), prefix + "y")
        return Data(images, targets, _arrays.weights(sample_weight, class_weight, targets, prefix + "sample_weight"))

    def _validation(self, given: Any, batch_size: int, steps: int | None, training: Any) -> Feed[Data]:
        if _batches.is_source(given):
            return self._fed(given, steps, name="validation_data", training=training)
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise ValueError(
                "validation_data must be (x, y) or (x, y, sample_weight), or batches of such, "
                f"got {reprlib.repr(given)}"
            )
        data = self._data(*_batches.unpack(given, "validation_data"), prefix="validation_data: ")
        return _batches.feed_of_arrays(data.samples, data.part, batch_size, steps)

    def _fit_data(
        self,
        given: FitArguments,
        x: Inputs,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        class_weight: Mapping[Any, float] | None,
        validation_data: Any,
    ) -> FitData:
        """The data of ``fit``. Builds and compiles the model where that is still due."""
        source: Data | Feed[Data]
        held_back: Data | None = None
        samples = size = None
        steps = given.steps_per_epoch
        share = given.validation_split if validation_data is None else 0.0
        shuffle_seed = self._seed if given.shuffle else None
        if _batches.is_source(x):
            refuse_with_batches(x, y=y, sample_weight=sample_weight, validation_split=share or None)
            source = self._fed(
                x, steps, "training", class_weight=class_weight, shuffle_seed=shuffle_seed, epoch=given.initial_epoch
            )
        else:
            self._settle(x, y)
            source, held_back = _split(self._data(x, y, sample_weight), share)
            if class_weight is not None:  # of training alone
                source = source._replace(sample_weight=_arrays.weights(source.sample_weight, class_weight, source.y))
            count = source.samples
            size = size_of(given.batch_size, steps, count)
            if steps is None or steps == -(-count // size):
                samples = count
            else:
                source = _batches.feed_of_arrays(count, source.part, size, steps, shuffle_seed)
        validation: Feed[Data] | None = None
        validation_size = given.validation_batch_size or size or given.batch_size or USUAL_BATCH_SIZE
        if held_back:
            count = held_back.samples
            validation = _batches.feed_of_arrays(count, held_back.part, validation_size, given.validation_steps)
        elif validation_data is not None:
            validation = self._validation(validation_data, validation_size, given.validation_steps, x)
        return FitData(source, validation, size, samples)


def refuse_with_batches(x: object, **given: object) -> None:
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


def share_of(value: float, name: str = "validation_split") -> float:
    """The share of the images that is held back."""
    share = number(value, name)
    if not 0 <= share < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {share}")
    return share


def _split(data: Data, share: float) -> tuple[Data, Data | None]:
    """The data to train on, and the last share of it to validate with."""
    count = int(data.samples * (1 - share))
    if count == data.samples:
        return data, None
    if count == 0:
        raise ValueError(f"validation_split {share} leaves none of {data.samples} images to train on")
    return data.part(slice(count)), data.part(slice(count, None))


def _epochs(frequency: Any, name: str) -> Callable[[int], bool]:
    """Whether something follows an epoch, counted from 1: every so many, or those in a list."""
    if isinstance(frequency, Collection) and not isinstance(frequency, (str, bytes)):
        chosen = {integer(epoch, name, minimum=1) for epoch in frequency}
        return chosen.__contains__
    every = integer(frequency, name, minimum=1)
    return lambda epoch: epoch % every == 0


def size_of(batch_size: int | None, steps: int | None, samples: int) -> int:
    """The images of a batch: as many as are asked for, or as give so many steps."""
    return batch_size or (-(-samples // steps) if steps else USUAL_BATCH_SIZE)


def _verbosity(value: Any, name: str) -> int:
    if isinstance(value, str) and value == "auto":
        return 1
    if isinstance(value, int) and value in (0, 1, 2):
        return int(value)
    raise ValueError(f"{name} must be 'auto', 0, 1 or 2, got {value!r}")


CHECKS.update(Epochs=_epochs, Share=share_of, Verbosity=_verbosity)
