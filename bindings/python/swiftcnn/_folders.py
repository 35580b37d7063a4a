"""Pictures in folders, one for each class, as batches for training and evaluation."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _swiftcnn
from ._checks import ArgumentError, integer, path_of

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
    of the number that it trains, ``evaluate`` and ``predict`` the epoch 0; going through the object takes 0 first and
    the next each time. With ``shuffle=False`` the pictures, and so what ``predict`` gives, come in the order of
    ``paths`` and ``labels``.

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
        label_mode: ``"int"`` for labels or ``"categorical"`` for a share of each class. None: labels, unless ``mixup``,
            ``cutmix`` or ``label_smoothing`` need shares.
        class_names: the folders that are classes, in the order of their numbers; they may be empty. None: all, none of
            which may.
        validation_split: this share of the pictures, chosen by the seed, is held back ...
        subset: ... and with ``"validation"`` it is those that are given, not ``"training"``.
        drop_last: whether a last batch that is smaller is left out.
        corrupt: what is done about files that cannot be read: ``"skip"`` passes them over, their places taken by the
            next of the epoch, and warns once at the end of the epoch; ``"error"`` raises.
        threads: how many read; 0: the thread that asks for a batch. None: ``get_num_threads()``.
        prefetch: how many batches are read ahead.
        reduced_decoding: whether large JPEG files are decoded at a half, quarter or eighth of their size where that is
            enough: faster, with other bytes than Pillow's.

    Attributes:
        class_names: the names of the folders.
        skipped: how many files the last epoch that came to its end passed over.

    Raises:
        OSError: a folder cannot be read.
        ValueError, TypeError: an argument does not fit, there are no classes, or a class has no pictures.
    """

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
        self._gives_shares = label_mode == "categorical" or mixup > 0 or cutmix > 0 or label_smoothing > 0
        self._next_epoch = 0
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
            (pixels, shape), (targets, target_shape) = batch
            dtype = np.float32 if self._gives_shares else np.int32
            yield (
                np.frombuffer(pixels, np.uint8).reshape(shape),
                np.frombuffer(targets, dtype).reshape(target_shape),
            )
        self.skipped, first = batches.skipped()
        if self.skipped:
            warnings.warn(
                f"{self.skipped} of {self._count} pictures could not be read and were passed over; the first: {first}",
                stacklevel=2,
            )

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

    @property
    def gives_shares(self) -> bool:
        """Whether targets are float32 (N, classes) rather than labels."""
        return self._gives_shares

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


def check_loss(folder: ImageFolder, loss: str, name: str) -> None:
    """Raises where the loss takes other targets than the folder gives."""
    takes_labels = loss == "sparse_categorical_crossentropy"
    if takes_labels and folder.gives_shares:
        raise ValueError(
            f"{name} gives a share for each class (label_mode='categorical', mixup, cutmix or label_smoothing), and "
            "the loss sparse_categorical_crossentropy takes labels: compile with categorical_crossentropy"
        )
    if not takes_labels and not folder.gives_shares:
        raise ValueError(
            f"{name} gives labels, and the loss {loss} takes a share for each class: compile with "
            "sparse_categorical_crossentropy, or open the folder with label_mode='categorical'"
        )


def check_classes(folder: ImageFolder, validation: object) -> None:
    """Raises where a folder to validate with has other classes."""
    if isinstance(validation, ImageFolder) and validation.class_names != folder.class_names:
        raise ValueError(
            f"validation_data has the classes {_some(validation.class_names)}, and x has {_some(folder.class_names)}: "
            "open it with class_names=x.class_names, for which a folder may be empty"
        )


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
