"""Networks as Keras describes them, in ``.keras`` and whole ``.h5`` files, made of the layers that are here.

The library says what is connected with what. A description is data: classes are looked up by name among the layers here
and those that the user gives, and functions that a file holds as code, as Lambda's, are never run.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import _swiftcnn, activations, initializers, layers
from .._names import keep_name
from ..layers.base import Layer
from ..layers.core import InputLayer
from .description import Reader, UnknownPartError

if TYPE_CHECKING:
    from .model import Model

#: What is written ``a + b`` and ``activations.relu(a)`` in Keras: calls of functions, which have no weights.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Add": lambda a, b: a + b,
    "Multiply": lambda a, b: a * b,
    "Subtract": lambda a, b: a - b,
    "TrueDivide": lambda a, b: a / b,
    "Negative": lambda a: -a,
    "Maximum": lambda a, b: layers.maximum([a, b]),
    "Minimum": lambda a, b: layers.minimum([a, b]),
    **{
        name: getattr(activations, name.lower())
        for name in ("Relu", "Relu6", "Sigmoid", "Silu", "Tanh", "Softmax", "Softplus", "Gelu", "Elu")
        if hasattr(activations, name.lower())
    },
}


def build(config: Any, constants: Mapping[str, tuple[Any, Any]], objects: Mapping[str, Any]) -> Model:
    """The network that is described, with weights of its own.

    Args:
        constants: mean and variance of the normalisations of pixels, by name, which the description may not tell.
        objects: classes of the user's by name.

    Raises:
        UnknownPartError: layers are not here, all of which are named.
        ValueError, TypeError, KeyError, IndexError, AttributeError: it is no description.
    """
    if config["class_name"] not in ("Functional", "Model", "Sequential"):
        raise UnknownPartError(f"it is of the class {config['class_name']!r}, which is not here")
    description = json.loads(_swiftcnn.keras_network(json.dumps(config)))
    reader = _KerasReader(description, objects, constants)
    model: Model = reader.model()
    model.set_precision(reader.precision)
    return model


class _KerasReader(Reader):
    """Makes all layers first, so that everything that is not here is told at once, then the networks.

    Attributes:
        precision: what the model computes in: the policy of a layer where that is not float32.
    """

    def __init__(
        self, description: Mapping[str, Any], objects: Mapping[str, Any], constants: Mapping[str, tuple[Any, Any]]
    ) -> None:
        super().__init__(description, objects)
        self._constants = constants
        self._faults: list[str] = []
        self.precision = "float32"
        for entry in self._entries:  # so that sums and products get others
            keep_name(entry["name"])

    def _made(self, entry: Mapping[str, Any]) -> Any:
        if "keras" not in entry:
            if count := len(self._faults):
                are = "layer is" if count == 1 else "layers are"
                raise UnknownPartError(f"{count} {are} not here, or not so: {'; '.join(self._faults)}")
            return super()._made(entry)
        fault = f"{entry['name']!r} ({entry['keras']})"
        try:
            return self._layer(entry["keras"], entry["is_function"], self._value(entry["config"]))
        except (TypeError, ValueError) as error:
            self._faults.append(f"{fault}: {error}")
        except KeyError:
            self._faults.append(fault)
        return None

    def _layer(self, kind: str, is_function: bool, config: dict[str, Any]) -> Any:
        if kind in self._objects:
            return self._objects[kind].from_config(config)
        if is_function:
            return _FUNCTIONS[kind]
        if kind == "InputLayer":
            shape = config.get("batch_shape") or config["batch_input_shape"]
            return InputLayer(batch_shape=shape, name=config.get("name"))
        made = layers._CLASSES[kind]
        return made(**self._arguments(made, config))

    def _arguments(self, kind: type[Layer], config: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a class here for those of Keras's."""
        known = set(inspect.signature(kind).parameters) | {"name", "trainable"}
        arguments: dict[str, Any] = {}
        for key, value in config.items():
            if key == "dtype":
                self._take_policy(value)
            elif key.endswith("_initializer"):
                if (given := _initializer(value)) is not None:  # one that is not here is not needed: weights follow
                    arguments[key] = given
            elif key in known:
                arguments[key] = value
            elif value not in (None, False) and not (key == "renorm_momentum" and not config.get("renorm")):
                raise ValueError(f"{key}={value!r} is not here")
        if isinstance(axis := arguments.get("axis"), list) and len(axis) == 1:
            arguments["axis"] = axis[0]
        if kind is layers.Normalization:
            arguments["axis"] = None if arguments.get("axis") is None else -1
            if arguments.get("mean") is None and arguments["name"] in self._constants:
                arguments["mean"], arguments["variance"] = self._constants[arguments["name"]]
        return arguments

    def _take_policy(self, value: Any) -> None:
        name = value.get("config", {}).get("name") if isinstance(value, dict) else value
        if name in ("bfloat16", "mixed_bfloat16"):
            self.precision = name
        elif name not in (None, "float32"):
            raise ValueError(f"dtype must be float32, bfloat16 or mixed_bfloat16, got {name!r}")


def _initializer(value: Any) -> Any:
    try:
        if isinstance(value, dict):
            made = getattr(initializers, value["class_name"])
            known = inspect.signature(made).parameters
            return made(**{key: each for key, each in value["config"].items() if key in known})
        return initializers.get(value, "initializer")
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
