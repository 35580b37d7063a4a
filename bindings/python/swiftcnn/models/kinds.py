"""The classes of models, and what makes them, for what models are themselves made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from .model import Model

#: "Model", "Sequential" and "create_model", which bring themselves here.
KINDS: dict[str, Any] = {}


def model_class() -> type[Model]:
    """``Model``."""
    found: type[Model] = KINDS["Model"]
    return found


def is_model(layer: object) -> TypeGuard[Model]:
    """Whether a layer is a model."""
    return isinstance(layer, model_class())


def is_functional(layer: object) -> TypeGuard[Model]:
    """Whether it is one without a ``call`` of the user's."""
    return is_model(layer) and type(layer).call is model_class().call
