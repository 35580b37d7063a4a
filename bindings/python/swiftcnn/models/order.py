"""The order of a network's layers: Keras's, by depth.

Weights that are told by their order alone, as by ``get_weights``, mean the same here and in Keras only where the layers
come in the same order.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..layers.base import Layer


class Step(NamedTuple):
    """A layer applied to results, which are whatever can be a key."""

    layer: Layer
    inputs: Sequence[Hashable]


def by_depth(outputs: Sequence[Hashable], steps: Mapping[Hashable, Step]) -> list[Layer]:
    """The layers that lead to the outputs, those first that are furthest from the end.

    A layer's depth is the length of the longest way from it to an output, of its calls the deepest; of one depth that
    comes first which is met first on the way from the outputs back, through the inputs of each layer in turn. ``steps``
    are by the results that they give; a step that gives several is one object.
    """
    search = list(_search(outputs, steps))
    finished = [step for step, is_done in search if is_done]  # each after those it depends on
    met: dict[int, int] = {}
    for position, (step, _) in enumerate(search):
        met.setdefault(id(step.layer), position)
    depths: dict[int, int] = {}  # by step
    of_layers: dict[int, int] = {}
    for step in reversed(finished):
        depth = max(depths.get(id(step), 0), of_layers.get(id(step.layer), 0))
        depths[id(step)] = of_layers[id(step.layer)] = depth
        for key in step.inputs:
            before = id(steps[key])
            depths[before] = max(depths.get(before, 0), depth + 1)
    layers = {id(step.layer): step.layer for step in finished}
    return sorted(layers.values(), key=lambda layer: (-of_layers[id(layer)], met[id(layer)]))


def _search(outputs: Sequence[Hashable], steps: Mapping[Hashable, Step]) -> Iterator[tuple[Step, bool]]:
    """Each step twice: when a search from the outputs back, depth first, comes to it, and when it leaves it."""
    seen: set[int] = set()
    stack = [(steps[key], False) for key in reversed(outputs)]
    while stack:
        step, is_done = stack.pop()
        if is_done:
            yield step, True
        elif id(step) not in seen:
            seen.add(id(step))
            yield step, False
            stack.append((step, True))
            stack.extend((steps[key], False) for key in reversed(step.inputs))
