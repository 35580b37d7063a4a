"""Whether two networks compute the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._symbolic import Network, Tensor

if TYPE_CHECKING:
    from . import _swiftcnn


def same_network(inputs: list[Tensor], first: Any, second: Any) -> bool:
    """Whether two tensors that come from others, or two lists or dictionaries of such, are the same in inference."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return _structure(inputs, [first]) == _structure(inputs, [second])
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return list(first) == list(second) and same_network(inputs, [*first.values()], [*second.values()])
    if not isinstance(first, (list, tuple)) or not isinstance(second, (list, tuple)) or len(first) != len(second):
        return False
    return all(same_network(inputs, *pair) for pair in zip(first, second, strict=True))


def _structure(inputs: list[Tensor], outputs: list[Tensor]) -> str:
    """What a network computes in inference, without names of results; parameters are the same where names are."""
    if len(outputs) == 1 and outputs[0] in inputs:
        return f"input {inputs.index(outputs[0])}"
    network, frozen = Network(), Network()
    for tensor in inputs:
        network.input(tensor)
    whole = network.model(*(network.value(output) for output in outputs))
    x = [frozen.input(tensor) for tensor in inputs]
    values = [frozen.apply(whole, x, inference=True, tensor=name) for name in whole.output_names().split("\n")]
    if len(values) == 1 and values[0] in x:
        return f"input {x.index(values[0])}"
    return frozen.model(*values).graph("structure")


def same_form(first: _swiftcnn.Model, second: _swiftcnn.Model) -> bool:
    """Whether two models are the same but for names and values; the parameters are then so in their order."""
    forms = [json.loads(model.graph("structure")) | {"parameters": None} for model in (first, second)]
    return bool(forms[0] == forms[1])
