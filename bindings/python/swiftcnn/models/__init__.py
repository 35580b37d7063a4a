"""Models: of layers, by name, or from a file; looked at, changed and saved."""

from __future__ import annotations

from .builders import EfficientNet, create_model, list_models
from .files import clone_model, load_model
from .model import Model
from .nodes import Node
from .parameters import Parameter
from .precision import LayerPrecision
from .profile import Figures, LayerFigures, Part, Profile, Step
from .sequential import Sequential
from .weights import WeightsReport

__all__ = [
    "EfficientNet",
    "Figures",
    "LayerFigures",
    "LayerPrecision",
    "Model",
    "Node",
    "Parameter",
    "Part",
    "Profile",
    "Sequential",
    "Step",
    "WeightsReport",
    "clone_model",
    "create_model",
    "list_models",
    "load_model",
]
__dir__ = __all__.copy  # what completion offers
