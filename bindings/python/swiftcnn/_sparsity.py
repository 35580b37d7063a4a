"""Models with sparse weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ._sparsity_options import told_sparsity
from .models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence


def sparsify(
    model: Model,
    sparsity: float | None = None,
    pattern: str = "unstructured",
    *,
    scope: Literal["global", "layer"] = "global",
    skip: Sequence[str] = (),
    include: Sequence[str] = (),
) -> Model:
    """A model whose smallest weights are 0 and stay so, in training too (Han et al. 2015; Zhu and Gupta 2017).

    It is ``model`` with masks, which are part of the network: whatever is written to a weight, by optimizers, moving
    averages, files or ``set_weights``, is 0 where its mask says so. Clones, pickles, model files and models in integers
    have the masks, other files the zeros alone. Predictions skip zeros where that is faster: in 1x1 convolutions blocks
    of 16x1 from about half of zeros on, single ones from about 0.7 (with AVX2 0.85). ``model`` stays as it is; the
    result is compiled where it was. To let sparsity grow in training use ``callbacks.Sparsify``.

    The first layer, the last and depthwise ones stay as they are unless ``include`` names them: they have few weights,
    which matter most. ``model.sparsity_report()`` tells what was done.

    Args:
        model: a model whose network is known.
        sparsity: the share of the weights that become 0, from 0 to 1; None: 0.9. 0 takes masks away.
        pattern: which become 0 together: ``"unstructured"``, each by itself; ``"16x1"``, the weights by which one input
            channel, at one place of the window, goes into 16 output channels, which are skipped at least cost;
            ``"N:M"``, as ``"2:4"``, of every M neighbouring input channels N are left (Mishra et al. 2021);
            ``"zeros"``, those that are 0 now, as other tools leave them. The last two say themselves how many are 0.
        scope: among which the smallest are looked for: ``"global"``, all weights, each one's square divided by the sum
            of its layer's squares that are not smaller, so that no layer loses all (Lee et al. 2021, equation 5);
            ``"layer"``, those of each layer.
        skip: names of layers that stay as they are; ``*`` stands for anything.
        include: of the first, the last and depthwise layers those that do not.

    Raises:
        ValueError, TypeError: an argument does not fit, or no layer is left; the message names it.
        RuntimeError: the model is quantised: first make it sparse, then quantise it.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, got {type(model).__name__}")
    return Model._of(model._handle.sparsify(told_sparsity(sparsity, pattern, scope, skip, include)))
