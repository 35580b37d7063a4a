"""A classifier with scikit-learn's interface: for pipelines, cross-validation and searches::

    from swiftcnn.sklearn import SwiftCNNClassifier

    classifier = SwiftCNNClassifier("resnet20", epochs=20, random_state=0)
    cross_val_score(classifier, images, labels)        # images (N, height, width, channels), or rows of pixels

This module needs scikit-learn 1.6 or later; nothing else in the package does.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.class_weight import compute_sample_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("swiftcnn.sklearn needs scikit-learn 1.6 or later") from error

from . import _random, layers, losses, optimizers
from ._checks import ArgumentError, integer
from ._inputs import share_of
from ._interchange import array_of, speaks_dlpack
from ._networks import fitting_name, small_network, standardized
from ._runtime import get_num_threads, set_num_threads
from .layers.base import shape_of
from .models import Model, create_model

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Array, Floats
    from .callbacks import Callback
    from .losses import Loss
    from .optimizers import Optimizer
    from .schedules import LearningRateSchedule

    ImageShape = tuple[int, int, int]

__all__ = ["SwiftCNNClassifier"]
__dir__ = __all__.copy  # what completion offers


class _Fitted:
    """What ``fit`` sets."""

    classes_: Array
    n_features_in_: int
    image_shape_: ImageShape
    model_: Model
    history_: dict[str, list[float]]
    n_iter_: int


@dataclass(eq=False, repr=False)
class SwiftCNNClassifier(ClassifierMixin, BaseEstimator, _Fitted):
    """A network that tells classes, trained by ``fit`` as scikit-learn's classifiers are.

    ``X`` is images (N, height, width, channels) or (N, height, width), or rows of as many numbers, (N, features), whose
    shape ``image_shape`` says. Without it rows are no images, but ``features`` numbers each. To networks made by name,
    which see them standardized, uint8 and float arrays of the same values are the same.

    Args:
        model: ``"auto"``, which goes by the shape: for rows of numbers two dense layers, for images smaller than 24
            pixels a few convolutions, ``"resnet20"`` to 63 pixels, and ``"resnet18"``. Or one of ``list_models()``. Or
            a function of the image's shape and the number of classes that returns a ``Model`` with an output for each
            class. Or a ``Model``: each fit begins with a copy of it, with a new last dense layer where it is made for
            another number of classes, which is fine-tuning.
        image_shape: (height, width) or (height, width, channels).
        epochs: how often ``fit`` goes through the images; ``partial_fit`` does once.
        batch_size: how many images make a step; None is as of ``Model.fit``.
        optimizer: a name or one of ``swiftcnn.optimizers``, of which each fit uses a copy.
        learning_rate: a number or one of ``swiftcnn.schedules``; None is the optimizer's own.
        loss: of labels: ``"sparse_categorical_crossentropy"``, or an object of that loss.
        class_weight: a dictionary of label to weight, or ``"balanced"``: every class counts the same, with
            ``partial_fit`` in each part.
        standardize: networks made by name see each channel (of rows each number) with a mean of 0 and a deviation of 1,
            as measured in the first fit. Networks of your own get what is given.
        validation_fraction: the share of the images that ``fit`` holds back to measure ``val_loss`` and so on, for
            ``callbacks.EarlyStopping`` and the like; of each class the same.
        callbacks: objects of ``swiftcnn.callbacks``, of which each fit uses copies.
        horizontal_flip: in training every other image is mirrored at random.
        crop_padding: in training images are shifted at random by up to this many pixels.
        warm_start: ``fit`` goes on with the network that there is.
        n_jobs: how many threads this process has meanwhile; None and -1: as ``swiftcnn.get_num_threads`` says. In a
            search of several processes fewer than that are faster.
        random_state: of the initial weights, the order of images and all else that is drawn. None draws it anew.
        verbose: 1 shows progress.

    Attributes:
        classes_: the labels, sorted.
        n_features_in_: the numbers of an image.
        feature_names_in_: of the columns, where ``X`` was a data frame with such.
        image_shape_: (height, width, channels); of rows of numbers (1, 1, features).
        model_: the trained ``Model``.
        history_: for the loss and each metric its values, one an epoch, of the last fit.
        n_iter_: how many epochs it was trained for.
    """

    model: str | Model | Callable[[ImageShape, int], Model] = "auto"
    _: KW_ONLY
    image_shape: Sequence[int] | None = None
    epochs: int = 20
    batch_size: int | None = None
    optimizer: str | Optimizer = "adam"
    learning_rate: float | LearningRateSchedule | None = None
    loss: str | Loss = "sparse_categorical_crossentropy"
    class_weight: Mapping[Any, float] | str | None = None
    standardize: bool = True
    validation_fraction: float = 0.0
    callbacks: Sequence[Callback] | None = None
    horizontal_flip: bool = False
    crop_padding: int = 0
    warm_start: bool = False
    n_jobs: int | None = None
    random_state: Any = None
    verbose: int = 0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # ------------------------------------------------------------------------------------------------------ training

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Trains a new network, or with ``warm_start`` the one there is.

        Args:
            X: images or rows of numbers.
            y: (N,), a label each: numbers or strings.
            sample_weight: (N,).

        Raises:
            ValueError, TypeError: an argument does not fit, or there are less than two classes.
        """
        epochs = integer(self.epochs, "epochs", minimum=1)
        share = share_of(self.validation_fraction, "validation_fraction")
        goes_on = bool(self.warm_start) and hasattr(self, "model_")
        images, y = self._validated(X, y, reset=not goes_on)
        classes = np.unique(y)
        if not goes_on:
            self.classes_ = classes
        elif not np.isin(classes, self.classes_).all():
            raise ValueError(f"warm_start: y holds classes {classes}, but the network knows {self.classes_}")
        weights = self._weights(images, y, sample_weight)
        if not goes_on:
            if weights is not None and len(np.unique(y[weights > 0])) < 2:
                raise ValueError("y must hold at least two classes, got samples of a weight above 0 of one class only")
            self._begin(images)
        return self._train(images, y, weights, epochs, share)

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Trains the network for one epoch on some of the images; the first call begins a new one.

        Args:
            X: images or rows of numbers; what they are standardised by is measured in the first call.
            y: (N,).
            classes: all labels there will be; needed in the first call.
            sample_weight: (N,).

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
        """
        is_first = not hasattr(self, "model_")
        if is_first and classes is None:
            raise ValueError("classes must be given in the first call of partial_fit")
        images, y = self._validated(X, y, reset=is_first)
        if classes is not None:
            given = np.unique(np.asarray(classes))
            if not is_first and not np.array_equal(given, self.classes_):
                raise ValueError(f"classes={given} are not those of the first call of partial_fit, {self.classes_}")
            self.classes_ = given
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"y holds labels that are not among the classes {self.classes_}: {unknown}")
        weights = self._weights(images, y, sample_weight)
        if is_first:
            self._begin(images)
        return self._train(images, y, weights, 1, 0.0)

    def _weights(self, images: Array, y: Array, sample_weight: ArrayLike | None) -> Floats | None:
        """A weight an image, or None where all are 1."""
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got one class: {self.classes_[0]!r}")
        if sample_weight is None and self.class_weight is None:
            return None
        weights: Floats = _check_sample_weight(sample_weight, images, dtype=np.float32, ensure_non_negative=True)
        if not weights.any():
            raise ValueError("sample_weight must not be zero for all samples")
        if self.class_weight is not None:
            weights = weights * compute_sample_weight(self.class_weight, y)
        return weights.astype(np.float32)

    def _begin(self, images: Array) -> None:
        """Makes a network for these images, not yet trained."""
        loss = losses.get(self.loss)
        if getattr(loss, "settings", {}).get("name") not in ("sparse_categorical_crossentropy", "crossentropy"):
            raise ValueError(f"loss must be one of labels, as 'sparse_categorical_crossentropy', got {self.loss!r}")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with _random.seeding(seed):
            model = self._made(images, len(self.classes_), seed)
        if model.output_shape != (None, len(self.classes_)):
            raise ValueError(
                f"model must have one output for each of {len(self.classes_)} classes, (None, {len(self.classes_)}), "
                f"got one of shape {model.output_shape}"
            )
        model.compile(self._optimizer(), loss, metrics=["accuracy"], seed=seed)
        model.class_names = None
        with suppress(ValueError):  # of labels that are no texts of a line each
            model.class_names = [str(label) for label in self.classes_]
        self.model_ = model
        self.n_iter_ = 0

    def _made(self, images: Array, classes: int, seed: int) -> Model:
        shape = self.image_shape_
        if isinstance(self.model, Model):
            model = self.model.clone()
            model.build((None, *shape))
            if model.output_shape != (None, classes):
                model.reset_classifier(classes, seed=seed)
            return model
        if not isinstance(self.model, str):
            if not callable(self.model):
                raise ArgumentError(f"model must be a name, a function or a Model, got {self.model!r}")
            made: object = self.model(shape, classes)
            if not isinstance(made, Model):
                raise ArgumentError(f"model must be a function that returns a Model, got {made!r} from it")
            made.build((None, *shape))
            return made
        inputs = layers.Input(shape)
        x = standardized(inputs, images) if self.standardize else inputs
        name = fitting_name(shape) if self.model == "auto" else self.model
        if name is not None:
            core = create_model(name, input_shape=shape, classes=classes, seed=seed)
            return Model(inputs, core(x)) if self.standardize else core
        return Model(inputs, layers.Dense(classes, activation="softmax")(small_network(x, shape)))

    def _optimizer(self) -> Optimizer:
        optimizer = copy.deepcopy(optimizers.get(self.optimizer))
        if self.learning_rate is None:
            return optimizer
        return type(optimizer).from_config(optimizer.get_config() | {"learning_rate": self.learning_rate})

    def _train(self, images: Array, y: Array, weights: Floats | None, epochs: int, share: float) -> Self:
        """Trains the network on all but a share of the images, which it is validated with."""
        labels = np.searchsorted(self.classes_, y).astype(np.int32)
        held_back: tuple[Array, ...] | None = None
        if share:
            state = check_random_state(self.random_state)
            chosen, others = train_test_split(
                np.arange(len(labels)), test_size=share, stratify=labels, random_state=state
            )
            parts = (images, labels) if weights is None else (images, labels, weights)
            held_back = tuple(part[others] for part in parts)
            images, labels = images[chosen], labels[chosen]
            weights = None if weights is None else weights[chosen]
        with _threads(self.n_jobs):
            history = self.model_.fit(
                images,
                labels,
                self.batch_size,
                epochs=self.n_iter_ + epochs,
                initial_epoch=self.n_iter_,  # so that the images come in another order than before
                verbose=self.verbose,
                callbacks=None if self.callbacks is None else copy.deepcopy(list(self.callbacks)),
                validation_data=held_back,
                sample_weight=weights,
                horizontal_flip=self.horizontal_flip,
                crop_padding=self.crop_padding,
            )
        self.history_ = history.history
        self.n_iter_ += len(history.epoch)
        return self

    # ---------------------------------------------------------------------------------------------------- prediction

    def predict_proba(self, X: ArrayLike) -> Array:
        """The probability of each class, in the order of ``classes_``: float64 (N, classes), rows of sum 1.

        Raises:
            sklearn.exceptions.NotFittedError: before ``fit``.
            ValueError, TypeError: X does not fit.
        """
        check_is_fitted(self)
        images = self._images(X)
        with _threads(self.n_jobs):
            results: Array = self.model_.predict(images, self.batch_size, verbose=0).astype(np.float64)
        if self.model_._handle.gives_logits():
            results = np.exp(results - results.max(axis=1, keepdims=True))
        return np.asarray(results / results.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> Array:
        """The most probable label of each image (N,); errors as of ``predict_proba``."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    # ---------------------------------------------------------------------------------------------------------- data

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        """Images to learn from and their labels; with ``reset`` these say what images are."""
        rows, shape = _rows(X)
        rows, labels = _validate(self, rows, array_of(y, "y") if speaks_dlpack(y) else y, reset=reset)
        check_classification_targets(labels)
        if reset:
            self.image_shape_ = self._shape_of_images(shape, rows.shape[1])
        return self._as_images(rows, shape), labels

    def _images(self, X: Any) -> Array:
        """Images to predict."""
        rows, shape = _rows(X)
        return self._as_images(_validate(self, rows, reset=False), shape)

    def _as_images(self, rows: Array, given: tuple[int, ...] | None) -> Array:
        if given is not None and _with_channels(given) != self.image_shape_:
            raise ValueError(f"X: expected images of shape {self.image_shape_}, got {given}")
        return rows.reshape(-1, *self.image_shape_)

    def _shape_of_images(self, given: tuple[int, ...] | None, features: int) -> ImageShape:
        """The shape of images that came in a shape, or as rows of so many numbers."""
        if self.image_shape is None:
            return (1, 1, features) if given is None else _with_channels(given)
        told = [integer(size, "image_shape", minimum=1) for size in shape_of(self.image_shape, "image_shape")]
        if len(told) not in (2, 3):
            raise ValueError(f"image_shape must be (height, width) or (height, width, channels), got {tuple(told)}")
        shape = _with_channels(tuple(told))
        if given is not None and _with_channels(given) != shape:
            raise ValueError(f"X: expected images of shape {shape}, which is image_shape, got {given}")
        if shape[0] * shape[1] * shape[2] != features:
            raise ValueError(
                f"X: expected rows of {shape[0] * shape[1] * shape[2]} features, since image_shape is {shape}, got "
                f"{features}"
            )
        return shape


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """The library has so many threads meanwhile."""
    before = get_num_threads()
    if count not in (None, -1):
        set_num_threads(integer(count, "n_jobs", minimum=1))
    try:
        yield
    finally:
        set_num_threads(before)


# What scikit-learn makes of all else than pixels, of which the network knows what to do.
_validate: Any = functools.partial(validate_data, dtype=[np.float32, *map(np.dtype, "BbhHiIlL")], order="C")


def _rows(X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Images as rows of numbers, with their shape; or rows as they are, with None."""
    given = array_of(X, "X") if speaks_dlpack(X) or isinstance(X, (list, tuple)) else X
    if getattr(given, "ndim", 2) not in (3, 4):
        return given, None
    images = np.asarray(given)
    return images.reshape(len(images), -1), images.shape[1:]


def _with_channels(shape: tuple[int, ...]) -> ImageShape:
    height, width, channels = shape if len(shape) == 3 else (*shape, 1)
    return height, width, channels
