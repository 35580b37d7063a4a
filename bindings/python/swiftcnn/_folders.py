"""Pictures in folders, one for each class, as batches for training and evaluation."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _swiftcnn
from ._checks import integer, path_of
from ._config import told
from ._described import WithOptions, core
from ._warnings import warn

if TYPE_CHECKING:
    from ._arrays import Array

    Size = int | Sequence[int]
    # True for the defaults, or a dictionary of what is different.
    Augmentation = bool | Mapping[str, Any] | None


#: The options that change pictures at random, and those of targets.
_OF_TRAINING = {
    "random_resized_crop", "horizontal_flip", "color_jitter", "rand_augment", "random_erasing", "mixup", "cutmix",
    "label_mode", "label_smoothing",
}


class _ClassNames:
    """They are asked for as any sequence, or as None for all, and are those that the folder has."""

    given: ClassVar[Any] = core()
    types: ClassVar[str] = "Sequence[str] | None"

    def __get__(self, folder: ImageFolder | None, owner: object = None) -> list[str]:
        return [] if folder is None else folder._folder.class_names().split("\n")

    def __set__(self, folder: ImageFolder, value: Sequence[str] | None) -> None:
        raise AttributeError("class_names cannot be set: ImageFolder takes them when it is made")


class ImageFolder(WithOptions, section="image_folder"):
    """Pictures in folders, one folder for each class, as ``train/cat/tom.jpg`` and ``train/dog/more/rex.png``.

    The folders sorted by name are the classes 0, 1 and so on; what lies in folders within them belongs to them. Hidden
    files are passed over, and those that do not end in .jpg, .jpeg or .png, in whichever case.

    It is given to ``fit``, ``evaluate`` and ``predict`` in place of arrays, or gone through::

        train = swiftcnn.ImageFolder("train", random_resized_crop=True, horizontal_flip=True)
        model.fit(train, validation_data=swiftcnn.ImageFolder("val", resize=256), epochs=5)
        for x, y in train:
            ...

    ``x`` is uint8 (N, height, width, channels), which the model normalises itself. ``y`` is int32 (N,), as
    ``sparse_categorical_crossentropy`` takes it, or float32 (N, classes) for ``categorical_crossentropy``. Threads of
    the library decode and change the next batches meanwhile. What happens to a picture depends on the seed, the number
    of the epoch and the picture alone, so that batches are the same for any number of threads. ``fit`` takes the epoch
    of the number that it trains; going through the object takes 0 first and the next each time. ``evaluate``,
    validation and ``predict`` take each picture once and without random changes, in the order of ``paths`` and
    ``labels``.

    Names decide which class a picture is of: where a model has ``class_names``, the folders are looked up among these,
    whatever their own order is. ``fit`` takes a folder with all of them, and the others one with some.

    Args:
        path: the folder.

    Attributes:
        class_names: the names of the folders.
        skipped: how many files and folders the last epoch that came to its end passed over.

    Raises:
        OSError: a folder cannot be read.
        ValueError, TypeError: an argument does not fit, there are no classes, or a class has no pictures.
    """

    path: str | bytes | os.PathLike[str]
    size: Size = core()
    batch_size: int = core()
    _: KW_ONLY
    channels: int = core()
    shuffle: bool = core()
    seed: int = core()
    resize: Size | None = core()
    interpolation: str = core()
    random_resized_crop: Augmentation = core()
    horizontal_flip: float = core()
    color_jitter: Augmentation = core()
    rand_augment: Augmentation = core()
    random_erasing: Augmentation = core()
    mixup: float = core()
    cutmix: float = core()
    label_smoothing: float = core()
    label_mode: str | None = core()
    class_names: _ClassNames = _ClassNames()
    validation_split: float = core()
    subset: str | None = core()
    drop_last: bool = core()
    corrupt: str = core()
    threads: int | None = core()
    prefetch: int = core()
    reduced_decoding: bool = core()

    def _take(self, arguments: Mapping[str, Any]) -> None:
        """Opens the folder; what the options may be is the library's to say."""
        vars(self).update(arguments)
        options = {name: arguments[name] for name in self._keys()}
        self._folder = _swiftcnn.open_folder(path_of(self.path, "path"), told(options))
        self._next_epoch = 0
        self._read_for: ImageFolder | None = None
        self.skipped = 0

    def __len__(self) -> int:
        """The number of batches in an epoch in which no file is passed over."""
        return self._folder.count()[1]

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
        return self.epoch(epoch)

    def epoch(self, number: int) -> Iterator[tuple[Array, Array]]:
        """The batches of the epoch of this number, from 0. Several may be gone through at the same time.

        Raises:
            ValueError: none of the files could be read, or with ``corrupt="error"`` one.
            OSError: the same, where the system refuses.
        """
        return self._drawn(self._folder.begin_epoch(integer(number, "number")))

    def _drawn(self, batches: _swiftcnn.Batches) -> Iterator[tuple[Array, Array]]:
        while (batch := batches.next()) is not None:
            x, y = (np.frombuffer(contents, dtype).reshape(shape) for contents, dtype, shape in batch)
            yield x, y
        self._note_skipped(batches)

    def _note_skipped(self, batches: _swiftcnn.Batches) -> None:
        """Takes down how many pictures were passed over, and warns of them."""
        self.skipped, first = batches.skipped()
        if self._read_for is not None:
            self._read_for.skipped = self.skipped
        if self.skipped:
            warn(f"{self.skipped} of {self.count} pictures could not be read and were passed over; the first: {first}")

    def _some(self, count: int) -> Iterator[Array]:
        """Batches of ``count`` pictures, without random changes, and up to the end of the last batch. Where there are
        more their order is one that the seed gives, so that these are of all classes; the rest is not read."""
        options = {name: value for name, value in self._told().items() if name not in _OF_TRAINING}
        options |= {"shuffle": self.count > count, "drop_last": False}
        other = copy.copy(self)
        other._folder = _swiftcnn.open_folder(path_of(self.path, "path"), told(options))
        other._read_for = self
        batches = other._folder.begin_epoch(0)
        for x, _ in other._drawn(batches):
            count -= len(x)
            # Whoever has enough pictures asks for no more of them.
            if count <= 0:
                other._note_skipped(batches)
                yield x
                return
            yield x

    def _for(
        self, model: _swiftcnn.Model, purpose: str, name: str = "x", training: ImageFolder | None = None
    ) -> ImageFolder:
        """The folder as the library's model reads it for ``"training"``, ``"evaluation"`` or ``"prediction"``: with the
        model's classes, and but for training each picture once, in the order of ``paths``.

        Args:
            name: of the argument that it was.
            training: the folder whose classes are meant where the model has no names.

        Raises:
            ValueError: it has other classes, or other targets than the loss takes.
        """
        other = copy.copy(self)
        try:
            other._folder = model.image_folder(self._folder, purpose, None if training is None else training._folder)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        other._read_for = self
        return other

    def _weights_for(self, folder: ImageFolder, class_weight: Mapping[Any, float] | None) -> Mapping[Any, float] | None:
        """Weights by the names of classes or by this folder's labels as those by the labels of ``folder``, which is
        this one as a model reads it."""
        if not isinstance(class_weight, Mapping):
            return class_weight
        names, places = self.class_names, folder.class_names
        result: dict[Any, float] = {}
        for key, weight in class_weight.items():
            is_label = isinstance(key, (int, np.integer)) and 0 <= key < len(names)
            name = names[int(key)] if is_label else key
            if isinstance(name, str) and name not in places:
                raise ValueError(f"class_weight: {name!r} is no class of the folder")
            result[places.index(name) if isinstance(name, str) else key] = weight
        return result

    @property
    def count(self) -> int:
        """The number of pictures."""
        return self._folder.count()[0]

    @property
    def labels(self) -> Array:
        """The class of each picture, int32 (count,), sorted by class and path."""
        return np.frombuffer(self._folder.labels(), np.int32)

    @property
    def paths(self) -> list[str]:
        """The path of each picture, in the order of ``labels``. Bytes that are no text are replaced."""
        return [self._folder.path(index) for index in range(self.count)]

    def __repr__(self) -> str:
        return f"ImageFolder({os.fsdecode(self.path)!r}: {self.count} pictures of {len(self.class_names)} classes)"
