"""What the layers of a model are computed in: what ``Model.precision`` returns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .. import _swiftcnn


class LayerPrecision(NamedTuple):
    """What one layer of a prediction is computed in, or a step between layers, as a copy into another layout.

    Attributes:
        layer: its name.
        dtype: the type of its numbers, ``"float32"`` or ``"bfloat16"``.
        instruction: what it is computed with, as ``"avx512"``; ``"portable"`` where no code is generated for it.
        reason: why it is not computed in the model's precision; ``""`` where it is.
    """

    layer: str
    dtype: str
    instruction: str
    reason: str


def of_layers(handle: _swiftcnn.Model) -> list[LayerPrecision]:
    """What each layer is computed in, as the library says."""
    return [LayerPrecision(**row) for row in json.loads(handle.layer_precisions())]
