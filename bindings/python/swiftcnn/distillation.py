"""Training a model by what another, its teacher, says of the same images::

    learner = swiftcnn.distill(student, teacher, SoftTargets(temperature=4))
    learner.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    learner.fit(images, labels, epochs=30, validation_data=held_back)
    student.save("student.safetensors")

What is learned of the teacher is one of the losses here, or a list of several, each with its weight.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._checks import integer, number, path_of
from ._config import chosen, told
from ._described import WithOptions, core
from ._warnings import pass_on
from .models import Model

if TYPE_CHECKING:
    from dataclasses import KW_ONLY

__all__ = ["AttentionTransfer", "Decoupled", "DistillationLoss", "Hint", "SoftTargets", "distill"]
__dir__ = __all__.copy  # what completion offers


class DistillationLoss(WithOptions, section="distillation_losses"):
    """The base of what can be learned of a teacher."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the library is told."""
        return {"name": self._place[1], **self._told()}


class SoftTargets(DistillationLoss, kind="soft_targets"):
    """``T² KL(teacher || student)`` of the probabilities at a temperature ``T`` (Hinton et al., Distilling the
    knowledge in a neural network, 2015, section 2). Of networks that end in a sigmoid, or learn by a binary loss, the
    mean over the yes or no predictions."""

    temperature: float = core()
    _: KW_ONLY
    weight: float = core()


class Decoupled(DistillationLoss, kind="decoupled"):
    """``T² (alpha TCKD + beta NCKD)``: the label against all other classes, and these among themselves (Zhao et al.,
    Decoupled knowledge distillation, 2022, equation 7). Targets are labels, or a number for each class."""

    alpha: float = core()
    beta: float = core()
    temperature: float = core()
    _: KW_ONLY
    weight: float = core()


class Hint(DistillationLoss, kind="hint"):
    """The mean of squared differences between the results of two layers (Romero et al., FitNets, 2015, section 2.2).
    Where they have other channels, a convolution of 1x1, or a dense layer, comes between, which is learned too and is
    no part of the student. Rows and columns have to be as many."""

    student_layer: str
    teacher_layer: str
    _: KW_ONLY
    weight: float = core()


class AttentionTransfer(DistillationLoss, kind="attention_transfer"):
    """The mean of squared differences between two layers' maps of attention: the sum of squares over the channels at
    each place, divided by the length of all (Zagoruyko and Komodakis, Paying more attention to attention, 2017, section
    3.1). Rows and columns have to be as many."""

    student_layer: str
    teacher_layer: str
    _: KW_ONLY
    weight: float = core()


def distill(
    student: Model,
    teacher: Model,
    losses: str | DistillationLoss | Sequence[str | DistillationLoss] = "soft_targets",
    *,
    student_weight: float = 1.0,
    cache: bool | str | bytes | os.PathLike[str] = False,
    augmentations: int | None = None,
    seed: int = 0,
) -> Model:
    """A model that trains ``student`` by what ``teacher`` says of the same images (Hinton et al. 2015).

    ``compile`` and ``fit`` train it like any other; the parameters that learn by it are the student's, which stays a
    plain model that predicts, is saved and exported without its teacher. The loss is ``student_weight`` times the one
    that ``compile`` is told and, for each of ``losses``, its weight times what the two networks differ by, a mean over
    the batch in which sample weights and class weights count; penalties are added. ``evaluate``, and so ``val_loss``,
    measures the student's own loss alone. ``fit`` warns, after an epoch, where the teacher is no better than the
    student on the validation data.

    A softmax or a sigmoid at the end of either network is looked behind; what ends otherwise is taken as logits. The
    teacher sees each batch as it is trained on, after ``fit``'s flips and crops and before random layers of the
    student, and predicts with its own normalization and precision. It is not changed.

    A checkpoint that such a model has saved is gone on with by the same call: ``distill(load_model(path), teacher,
    losses).fit(..., resume=True)``.

    Args:
        student: the model that learns.
        teacher: any model with one output that takes images of the same shape and gives as many classes, also one
            imported or quantised.
        losses: what is learned of the teacher: ``"soft_targets"``, ``"decoupled"``, an object of
            ``swiftcnn.distillation``, or a list of such.
        student_weight: the factor of the student's own loss.
        cache: whether ``fit`` keeps what the teacher has said of an image, as it was after its changes, and asks of
            none twice: in memory as long as it lasts, or as well in the file of this name, where other runs find it. It
            is written after each epoch, whole or not at all. Losses are the same bits.
        augmentations: in how many ways each image is changed at random by ``fit`` or its folder, one after another by
            the number of the epoch, so that the teacher is asked so often; None: in another one in each epoch.
        seed: of the weights of convolutions between layers.

    Raises:
        ValueError, TypeError: an argument does not fit, or the models do not fit each other; the message says how. From
            ``fit`` also where the file is damaged, or of another teacher, other results or another data set.
        RuntimeError: the student has several outputs or a teacher already.
    """
    for model, name in (student, "student"), (teacher, "teacher"):
        if not isinstance(model, Model):
            raise TypeError(f"{name} must be a Model, got {type(model).__name__}")
    given: Sequence[Any] = losses if isinstance(losses, (list, tuple)) else [losses]
    kinds = [
        chosen(loss, f"losses[{place}]" if given is losses else "losses", DistillationLoss, DistillationLoss._kinds)
        for place, loss in enumerate(given)
    ]
    options = {
        "losses": [loss.settings for loss in kinds],
        "student_weight": number(student_weight, "student_weight"),
        "cache": cache is True,
        "cache_file": None if isinstance(cache, bool) else os.fsdecode(path_of(cache, "cache")),
        "augmentations": None if augmentations is None else integer(augmentations, "augmentations", minimum=1),
        "seed": integer(seed, "seed", minimum=-(2**63)),
    }
    learner = Model._of(student._handle.distill(teacher._handle, told(options)))
    pass_on(student._handle)
    learner._has_teacher = True
    return learner
