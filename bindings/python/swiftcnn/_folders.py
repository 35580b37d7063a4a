"""Pictures in folders, one for each class, as batches for training and evaluation."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _swiftcnn
from ._checks import ArgumentError, integer, path_of, suggesting
from ._warnings import warn

if TYPE_CHECKING:
    from ._arrays import Array

    Size = int | Sequence[int]
    # True for the defaults, or a dictionary of what is different.
    Augmentation = bool | Mapping[str, Any] | None


class ImageFolder:
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
        size: height and width of the pictures in a batch, or one number for both.
        batch_size: the pictures in a batch; the last of an epoch may have fewer.
        channels: 3, or 1 for grey.
        shuffle: whether the pictures come in another order in each epoch.
        seed: of all that is random.
        resize: before the middle is cut out, the length that the shorter side is resized to, or (height, width). None:
            so that the picture just fills ``size``.
        interpolation: ``"nearest"``, ``"box"``, ``"bilinear"``, ``"hamming"``, ``"bicubic"`` or ``"lanczos"``.
        random_resized_crop: a random part in place of the middle (Szegedy et al. 2015). True, or a dictionary with
            ``scale``, the share of the area, ``(0.08, 1)``, and ``ratio``, width by height, ``(3 / 4, 4 / 3)``.
        horizontal_flip: the probability that a picture is mirrored; True is 1/2.
        color_jitter: a dictionary with any of ``brightness``, ``contrast`` and ``saturation``, how far each may be from
            1, and ``hue``, to 0.5; in random order.
        rand_augment: a few of 14 operations (Cubuk et al. 2019). True, or a dictionary with ``num_ops``, 2,
            ``magnitude``, 9 of 0 to 30, and ``interpolation``, ``"nearest"`` or ``"bilinear"``.
        random_erasing: a rectangle painted over (Zhong et al. 2017). True, or a dictionary with ``probability``, 0.5,
            ``scale``, ``(0.02, 0.33)``, ``ratio``, ``(0.3, 3.3)``, and ``fill``, ``"zero"``, ``"noise"`` or ``"mean"``
            (of the picture).
        mixup: the alpha of mixup (Zhang et al. 2017), 0 for none.
        cutmix: the alpha of CutMix (Yun et al. 2019). With both, each batch has one of the two.
        label_smoothing: the share of a target that is spread evenly over the classes.
        label_mode: ``"int"`` for labels, ``"categorical"`` for a share of each class, or, of two classes, ``"binary"``
            for float32 (N, 1), 1 for the second. None: labels, unless ``mixup``, ``cutmix`` or ``label_smoothing`` need
            shares.
        class_names: the folders that are classes, in the order of their numbers; they may be empty. None: all, none of
            which may.
        validation_split: this share of the pictures, chosen by the seed, is held back ...
        subset: ... and with ``"validation"`` it is those that are given, not ``"training"``.
        drop_last: whether a last batch that is smaller is left out.
        corrupt: what is done about files, and folders within those of the classes, that cannot be read: ``"skip"``
            passes them over, the places of files taken by the next of the epoch, and warns once at the end of the
            epoch; ``"error"`` raises.
        threads: how many read; 0: the thread that asks for a batch. None: ``get_num_threads()``.
        prefetch: how many batches are read ahead.
        reduced_decoding: whether large JPEG files are decoded at a half, quarter or eighth of their size where that is
            enough: faster, with other bytes than Pillow's.

    Attributes:
        class_names: the names of the folders.
        skipped: how many files and folders the last epoch that came to its end passed over.

    Raises:
        OSError: a folder cannot be read.
        ValueError, TypeError: an argument does not fit, there are no classes, or a class has no pictures.
    """

    @suggesting
    def __init__(
        self,
        path: str | bytes | os.PathLike[str],
        size: Size = 224,
        batch_size: int = 32,
        *,
        channels: int = 3,
        shuffle: bool = True,
        seed: int = 0,
        resize: Size | None = None,
        interpolation: str = "bilinear",
        random_resized_crop: Augmentation = None,
        horizontal_flip: float = 0.0,
        color_jitter: Mapping[str, float] | None = None,
        rand_augment: Augmentation = None,
        random_erasing: Augmentation = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        label_smoothing: float = 0.0,
        label_mode: str | None = None,
        class_names: Sequence[str] | None = None,
        validation_split: float = 0.0,
        subset: str | None = None,
        drop_last: bool = False,
        corrupt: str = "skip",
        threads: int | None = None,
        prefetch: int = 2,
        reduced_decoding: bool = False,
    ) -> None:
        options = {
            "size": size,
            "batch_size": batch_size,
            "channels": channels,
            "shuffle": shuffle,
            "seed": seed,
            "resize": resize,
            "interpolation": interpolation,
            "random_resized_crop": random_resized_crop,
            "horizontal_flip": horizontal_flip,
            "color_jitter": color_jitter,
            "rand_augment": rand_augment,
            "random_erasing": random_erasing,
            "mixup": mixup,
            "cutmix": cutmix,
            "label_smoothing": label_smoothing,
            "label_mode": label_mode,
            "class_names": class_names,
            "validation_split": validation_split,
            "subset": subset,
            "drop_last": drop_last,
            "corrupt": corrupt,
            "threads": threads,
            "prefetch": prefetch,
            "reduced_decoding": reduced_decoding,
        }
        for name, value in options.items():
            try:
                options[name] = json.loads(json.dumps(value, default=_plain, allow_nan=False))
            except (TypeError, ValueError) as error:
                raise ArgumentError(f"{name}: {error}") from None
        self._path = path_of(path, "path")
        self._folder = _swiftcnn.open_folder(self._path, json.dumps(options))
        self._count, self._batches = self._folder.count()
        self._next_epoch = 0
        self._read_for: ImageFolder | None = None
        self.class_names: list[str] = self._folder.class_names().split("\n")
        self.skipped = 0

    def __len__(self) -> int:
        """The number of batches in an epoch in which no file is passed over."""
        return self._batches

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
        self.skipped, first = batches.skipped()
        if self._read_for is not None:
            self._read_for.skipped = self.skipped
        if self.skipped:
            warn(
                f"{self.skipped} of {self._count} pictures could not be read and were passed over; the first: {first}",
            )

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
        like = None if training is None else training._folder
        try:
            folder = model.image_folder(self._folder, purpose, like)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        other = object.__new__(ImageFolder)
        vars(other).update(vars(self))
        other._folder, other._read_for = folder, self
        other._count, other._batches = folder.count()
        other.class_names = folder.class_names().split("\n")
        return other

    def _weights_for(
        self, folder: ImageFolder, class_weight: Mapping[Any, float] | None
    ) -> Mapping[Any, float] | None:
        """Weights by the names of classes or by this folder's labels as those by the labels of ``folder``, which is
        this one as a model reads it."""
        if not isinstance(class_weight, Mapping):
            return class_weight
        places = {name: label for label, name in enumerate(folder.class_names)}
        result: dict[Any, float] = {}
        for key, weight in class_weight.items():
            is_label = isinstance(key, (int, np.integer)) and 0 <= key < len(self.class_names)
            name = self.class_names[int(key)] if is_label else key
            if isinstance(name, str):
                if name not in places:
                    raise ValueError(f"class_weight: {name!r} is no class of the folder")
                result[places[name]] = weight
            else:
                result[key] = weight
        return result

    @property
    def count(self) -> int:
        """The number of pictures."""
        return self._count

    @property
    def labels(self) -> Array:
        """The class of each picture, int32 (count,), sorted by class and path."""
        return np.frombuffer(self._folder.labels(), np.int32)

    @property
    def paths(self) -> list[str]:
        """The path of each picture, in the order of ``labels``. Bytes that are no text are replaced."""
        return [self._folder.path(index) for index in range(self._count)]

    def __repr__(self) -> str:
        return f"ImageFolder({os.fsdecode(self._path)!r}: {self._count} pictures of {len(self.class_names)} classes)"


def _plain(value: object) -> object:
    """NumPy's scalars and arrays, and sets of names, as what JSON has."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"expected numbers, texts and dictionaries of such, got {value!r}")
