"""Models with fewer channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ._labelled import labelled_of
from ._pruning_options import told_pruning
from ._warnings import pass_on
from .models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence


def prune(
    model: Model,
    ratio: float | None = None,
    *,
    macs: float | None = None,
    params: float | None = None,
    latency_ms: float | None = None,
    criterion: Literal["l1", "l2", "bn_scale", "taylor", "random"] = "l2",
    scope: Literal["global", "layer"] = "global",
    round_to: Literal["fast"] | int = "fast",
    skip: Sequence[str] = (),
    data: Any = None,
    min_channels: int = 8,
    min_share: float = 0.1,
    seed: int = 0,
) -> Model:
    """A model with fewer channels, and with them all that stands or falls with them: filters, biases, normalisations
    and what later layers make of them.

    It is a model like any other: it trains, saves, exports and can be quantised. Where ``model`` is compiled the new
    one is too, with what the optimizer remembers of the channels that are left. ``model`` stays as it is. Channels that
    the network reads or gives stay. ``Model.pruning_report`` tells what has left, and why the rest has not.

    Args:
        model: a model whose network is known.
        ratio: the share of the channels that leaves, from 0 to below 1. No layer gets below its least width.
        macs: in its place, what is left of the multiplications with additions of convolutions and dense layers: up to
            1, a share; above, their number for an image.
        params: the same of the learned parameters.
        latency_ms: the milliseconds of a prediction of one image on this machine, with the threads that are set: what
            is worth most for its time stays (a knapsack, Shen et al. 2022), and the result is measured.
        criterion: by what channels are told that matter less: ``"l1"``, the magnitudes of the weights that make and
            read them (Li et al. 2017); ``"l2"``, their squares (Fang et al. 2023); ``"bn_scale"``, the scale of their
            normalisation (Liu et al. 2017), which says little unless its size was part of the loss in training, as
            ``Model.set_regularization`` makes it; ``"taylor"``, what the loss would change by on ``data`` (Molchanov
            et al. 2019); ``"random"``.
        scope: ``"global"``, channels are compared in the whole network, their scores divided by the mean of those that
            the same layers make; ``"layer"``, each layer loses the same share.
        round_to: ``"fast"``, to widths at which layers take less time on this machine; or a number of which widths are
            multiples, those left out at which the groups of a convolution would take more time than whole.
        skip: names of layers that keep all their channels; ``*`` stands for anything.
        data: for ``"taylor"`` what ``evaluate`` takes: ``(x, y)``, batches of such, or an ``ImageFolder``, all of which
            are read. The model has to be compiled then.
        min_channels: no layer gets fewer channels.
        min_share: no layer keeps a smaller share of its channels.
        seed: for ``"random"``.

    Raises:
        ValueError, TypeError: an argument does not fit, or the target cannot be reached; the message names the nearest
            that can.
        RuntimeError: the model is quantised, or made to be trained for that; ``"taylor"`` and it is not compiled.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, got {type(model).__name__}")
    options = told_pruning(
        ratio, macs, params, latency_ms, criterion, scope, round_to, skip, min_channels, min_share, seed
    )
    x, y = (None, None) if data is None else labelled_of(model, data, "data")
    pruned = model._handle.pruned(x, y, options)
    pass_on(model._handle)
    return Model._of(pruned)
