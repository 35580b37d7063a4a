"""What a model does with pictures: preparing them, and telling what is on them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _pictures, _swiftcnn
from .._checks import ArgumentError, choice, integer, text
from .._config import told
from .._runtime import get_num_threads
from .._warnings import pass_on, warn

if TYPE_CHECKING:
    from .._arrays import Array

Found = list[tuple[str, float]]


class Pictures:
    """The part of a model that has to do with pictures.

    Classes of your own may have attributes of these names for other things, as a layer called ``preprocessing``.
    """

    @property
    def _handle(self) -> _swiftcnn.Model:
        raise NotImplementedError

    @property
    def _built(self) -> bool:
        raise NotImplementedError

    @property
    def preprocessing(self) -> Any:
        """What is done to a picture before the model sees it: ``resize`` (the length of the shorter side, or [height,
        width]), ``crop`` ([height, width] of the middle that is cut out then), ``interpolation``, and the ``mean`` and
        ``std`` of its pixels. It goes with the model into its file. Assigning a dictionary is ``set_preprocessing``."""
        if "preprocessing" in vars(self):
            return vars(self)["preprocessing"]
        return self._rule()

    @preprocessing.setter
    def preprocessing(self, value: Any) -> None:
        if isinstance(value, Mapping):
            self.set_preprocessing(**value)
        else:
            vars(self)["preprocessing"] = value

    def _rule(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._handle.preprocessing())
        return found

    def set_preprocessing(self, **options: Any) -> None:
        """Sets what is done to pictures; what is not given stays as it is.

        Args:
            resize: the length of the shorter side, or (height, width) exactly; None leaves pictures as they are.
            crop: the size of the middle that is cut out then, a number or (height, width); None keeps all of it.
            interpolation: ``"bilinear"``, ``"bicubic"``, ``"nearest"``, ``"box"``, ``"hamming"`` or ``"lanczos"``.
            mean: of the pixels, one a channel, in units of the full range 0...1.
            std: their standard deviation.

        Raises:
            ValueError: an argument is outside its domain.
            TypeError: there is no such argument.
        """
        try:
            self._handle.set_preprocessing(told(options))
        except ValueError as error:
            raise ArgumentError(f"set_preprocessing: {error}") from None

    @property
    def class_names(self) -> Any:
        """The names of the classes in the order of the output, or None. They go with the model into its file; a model
        by name with 1000 classes begins with those of ImageNet. Those of a class of your own may be set before it has a
        network.

        Raises:
            ValueError: set to other than one name for each class.
        """
        if not self._built:
            return vars(self).get("class_names")
        names = self._handle.class_names()
        return names.split("\n") if names else None

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        if not self._built:
            vars(self)["class_names"] = names
            return
        if isinstance(names, (str, bytes)):
            raise ArgumentError(f"class_names must be a list with a name for each class, got {names!r}")
        for index, name in enumerate(names or ()):
            if "\n" in text(name, f"class_names[{index}]"):  # which stands between names
                raise ValueError(f"class_names[{index}] is {name!r}; expected one line of text")
        self._handle.set_class_names(None if names is None else "\n".join(names))

    def _take_names(self) -> None:
        """Gives the network the names that were set before it was there."""
        names = vars(self).pop("class_names", None)
        if names is not None:
            self.class_names = names

    def preprocess(self, pictures: Any, dtype: str = "uint8") -> Array:
        """Pictures as the model reads them: (N, height, width, channels), which ``predict`` takes.

        Args:
            pictures: a picture as ``classify`` takes it, or several; of one N is 1.
            dtype: ``"uint8"`` for pixels, which the model normalises itself; ``"float32"`` normalised.

        Raises:
            OSError: a file cannot be read.
            ValueError: a picture is damaged, or they do not become of one size.
        """
        kind = choice(dtype, "dtype", ("uint8", "float32"))
        several = _pictures.listed(pictures)
        if several is not None and not several:
            raise ValueError("pictures is empty: expected one or more")
        prepared = self._prepared([pictures] if several is None else several)
        sizes = {each.shape for each in prepared}
        if len(sizes) > 1:
            raise ValueError(f"the pictures become of several sizes, {sorted(sizes)}: set resize and crop, or give one")
        batch = np.stack(prepared)
        if kind == "uint8":
            return batch
        rule = self._rule()
        mean, std = np.asarray(rule["mean"], np.float32), np.asarray(rule["std"], np.float32)
        return (batch / np.float32(255) - mean) / std

    def classify(self, pictures: Any, top: int = 5, batch_size: int = 32, errors: str = "raise") -> Found | list[Found]:
        """What is on a picture: the names and probabilities of the ``top`` most probable classes::

            model.classify("photo.jpg", top=2)      # [("tabby", 0.62), ("tiger cat", 0.21)]

        Logits are made probabilities. Where the classes have no names, their numbers stand for them.

        Args:
            pictures: the path of a JPEG or PNG file; its contents, as bytes or an open file; an image of Pillow's; or
                an array of pixels uint8 (height, width, channels). A list of these, or an array (N, height, width,
                channels), gives a list of results.
            top: how many classes, at most.
            batch_size: how many pictures are in memory at once.
            errors: ``"warn"`` goes on past pictures of a list that cannot be read: each is told of in a warning, and
                its result is an empty list. ``"raise"`` raises.

        Raises:
            OSError: a file cannot be read.
            ValueError: a picture is damaged, or the model is no classifier of pictures.
        """
        warns = choice(errors, "errors", ("raise", "warn")) == "warn"
        most, size = integer(top, "top", minimum=1), integer(batch_size, "batch_size", minimum=1)
        several = _pictures.listed(pictures)
        if several is None:
            return self._classified([pictures], most, size)[0]
        results: list[Found] = []
        for start in range(0, len(several), size):
            results += self._classified(several[start : start + size], most, size, start if warns else None)
        return results

    def _classified(self, pictures: Sequence[Any], top: int, batch_size: int, place: int | None = None) -> list[Found]:
        """The results for pictures, of which the first has this place; None: errors are raised."""
        results: list[Found] = [[] for _ in pictures]
        prepared: dict[int, Array] = {}
        for index, each in enumerate(self._prepared(pictures, goes_on=place is not None)):
            if isinstance(each, Exception):
                shown = repr(pictures[index]) if isinstance(pictures[index], (str, os.PathLike)) else "it"
                warn(f"pictures[{(place or 0) + index}]: {shown} is passed over: {each}")
            else:
                prepared[index] = each
        # Those of a model that takes any size may differ.
        alike = len({each.shape for each in prepared.values()}) == 1
        batches = [[*prepared.values()]] if alike else [[each] for each in prepared.values()]
        found = [row for batch in batches for row in self._handle.classify(np.stack(batch), batch_size, top)]
        pass_on(self._handle)
        for index, row in zip(prepared, found, strict=True):
            results[index] = [(name, probability) for _, name, probability in row]
        return results

    def _prepared(self, pictures: Sequence[Any], goes_on: bool = False) -> list[Any]:
        """Each picture as the model reads it, or why it cannot be read."""
        handle = self._handle
        shape = handle.inputs()[0][1]
        channels = shape[-1] if shape else 0

        def prepare(value: Any) -> Array | Exception:
            try:
                made = _pictures.picture(value, channels if channels in (1, 3, 4) else 0)
            except (OSError, ValueError) as error:
                if goes_on:
                    return error
                raise
            return _pictures.pixels(handle.preprocess(made))

        if len(pictures) == 1:
            return [prepare(pictures[0])]
        # Imported here: it takes longer than the rest of the package.
        from concurrent.futures import ThreadPoolExecutor

        # Each file is decoded by one thread, so several are read at once.
        with ThreadPoolExecutor(min(len(pictures), get_num_threads())) as threads:
            return list(threads.map(prepare, pictures))
