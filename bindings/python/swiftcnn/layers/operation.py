"""Layers that the library knows, with weights and without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .._symbolic import Call, Network, Tensor, context, is_rebuilding, limited, parts_of, spent
from ..activations import Function, Kind, kind_of, linear
from .arguments import NOTHING, Declared, default
from .base import batched
from .variable import Variable

if TYPE_CHECKING:
    from dataclasses import KW_ONLY

    from .. import _swiftcnn
    from .._symbolic import Shape
    from .arguments import InitializerLike, Name, RegularizerLike

# What the library calls the arguments that it takes.
_AS_HERE = ("center", "epsilon", "filters", "groups", "height", "offset", "padding", "rate", "scale", "units", "width")
_LIBRARY = {name: name for name in _AS_HERE} | {
    "depth_multiplier": "multiplier",
    "dilation_rate": "dilation",
    "keepdims": "keep_axes",
    "kernel_size": "kernel",
    "pool_size": "kernel",
    "strides": "stride",
    "target_shape": "shape",
    "use_bias": "bias",
}


class Operation(Declared):
    """A layer that the library knows. It has no weights, unless it is a ``WeightedLayer``."""

    _: KW_ONLY
    name: Name = default(None)
    trainable: bool = default(True)  # pyright: ignore[reportIncompatibleMethodOverride]
    dtype: Name = default(None)
    input_shape: Sequence[int | None] | None = default(None)

    _asks = False
    _kind: ClassVar[str]  # what the library calls it
    _acts_in_training_alone: ClassVar[bool] = False
    _constants: ClassVar[Mapping[str, object]] = {}  # options of the library's layer that are always so

    def call(self, inputs: Tensor | Sequence[Tensor], training: bool | None = None) -> Any:
        """The result of the layer itself, for tensors."""
        tensors = tuple(parts_of(inputs))
        callers = context().callers
        if callers and callers[-1] is self:
            callers = callers[:-1]
        call = Call(self, tensors, inference=training is False, callers=callers)
        network = Network()
        operands = [network.input(tensor, f"input_{index}") for index, tensor in enumerate(tensors)]
        value = self._emit(network, operands, call)
        return Tensor(network.shape(value), self.name, call)

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        if len(operands) != 1:
            raise ValueError(f"layer {self.name!r} takes one tensor, got {len(operands)}")
        return self._add_to(network, operands[0], call)

    def _add_to(self, network: Network, operand: int, call: Call) -> int:
        """Adds what the layer computes of the one tensor that it takes."""
        return self._define(network, operand, call.inference)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        """Adds what the layer computes of one value."""
        if inference and self._acts_in_training_alone:
            return operand
        return network.layer(self._kind, self.name, self._options(), operand)

    def _options(self) -> dict[str, Any]:
        """The options of the library's layer."""
        told = {_LIBRARY[name]: getattr(self, name) for name in self._arguments if name in _LIBRARY}
        if told.get("padding") == "valid":
            del told["padding"]  # none, which the library has no word for
        return {**told, **self._constants}


class WeightedLayer(Operation):
    """A layer with weights of its own, which all models that contain it share.

    It is a model of the library by itself, made when the layer first sees a shape; a network that contains the layer
    applies that model.
    """

    # The names of weights in files and in Keras.
    _weight_names: ClassVar[Mapping[str, str]] = {"weight": "kernel", "bias": "bias"}
    # What the names of a weight's initializer and regularizer begin with, where that is not its own name.
    _stems: ClassVar[Mapping[str, str]] = {}
    _depthwise: ClassVar[str] = ""  # the weight of a convolution of each channel by itself
    _home: ClassVar[_swiftcnn.Model | None] = None  # an object's own

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the weights for inputs of a shape, the batch included."""
        if self._home is None:
            if isinstance(input_shape, (list, tuple)) and input_shape and isinstance(input_shape[0], (list, tuple)):
                raise ValueError(f"layer {self.name!r} takes one tensor, got {len(input_shape)}")
            shape = batched(input_shape)
            self._check_last_axis(shape)
            self._make_home(Tensor(shape, "input"))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The shape of the result, the batch included, for an input of a shape with the batch; makes no weights."""
        network = Network()
        operand = network.input(Tensor(batched(input_shape), "input"))
        return network.shape(self._define(network, operand, inference=True))

    def _make_home(self, tensor: Tensor) -> _swiftcnn.Model:
        network = Network()
        home = network.model(self._define(network, network.input(tensor), inference=False), options=limited())
        spent(home)
        for variable in self._variables(home):
            stem, own = self._stems.get(variable.name, variable.name), vars(self)
            if not is_rebuilding():
                variable.assign(own[f"{stem}_initializer"](variable.shape))
            if (penalty := own.get(f"{stem}_regularizer")) is not None:
                home.set_regularization(variable.parameter, penalty.l1, penalty.l2)
        vars(self)["_home"] = home
        self.built = True
        self._freezes = False
        if not self._trainable:
            self._let_train(False)
        return home

    def _add_to(self, network: Network, operand: int, call: Call) -> int:
        self._check_last_axis(call.inputs[0].shape)
        return network.apply(self._home or self._make_home(call.inputs[0]), [operand], call.inference)

    def _check_last_axis(self, shape: Shape) -> None:
        if shape[-1] is None and len(shape) > 1:
            raise ValueError(
                f"layer {self.name!r}: the last axis of its input must have a fixed size, got shape {shape}; "
                "after a network for images of any size use GlobalAveragePooling2D, not Flatten"
            )

    def _variables(self, home: _swiftcnn.Model) -> list[Variable]:
        result = []
        for parameter, _, _, shape in home.parameters():
            name = self._weight_names[parameter.removeprefix(f"{self.name}.")]
            channels = shape[0] // vars(self)["depth_multiplier"] if name == self._depthwise else None
            result.append(Variable(home, parameter, name, self.name, shape, channels, self._keras_shape(name)))
        return result

    def _keras_shape(self, name: str) -> tuple[int, ...] | None:
        """Keras's shape of a weight where it differs without another order of the elements."""
        return None

    @property
    def weights(self) -> list[Variable]:
        """The weights in Keras's order; none before the layer is built."""
        return [] if self._home is None else self._variables(self._home)

    def __getattr__(self, name: str) -> Variable:
        """A weight by its name: ``layer.kernel``."""
        if name in ("input", "output"):
            self._called()  # which has raised already, but Python asks here once more
        if name in type(self)._weight_names.values():
            for weight in self.weights:
                if weight.name == name:
                    return weight
            raise AttributeError(f"layer {self.name!r} has no weight {name!r}, or is not built yet")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _learned(self) -> list[bool]:
        return [] if self._home is None else [row[2] for row in self._home.parameters() if row[1] != "statistic"]

    def _let_train(self, trainable: bool) -> None:
        if self._home is not None and self._learned():
            self._home.set_trainable("*", trainable)

    def _let_compute(self, dtype: str) -> None:
        if self._home is not None:
            self._home.set_precision(dtype)

    def _computes_in(self) -> str:
        return "float32" if self._home is None else self._home.get_precision()


class ActivatedLayer(WeightedLayer):
    """A layer with weights and an activation."""

    def call(self, inputs: Tensor | Sequence[Tensor], training: bool | None = None) -> Any:
        return divided(vars(self)["activation"])[1](super().call(inputs, training))

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        value, (kind, _) = self._linear(network, operand, inference), divided(vars(self)["activation"])
        if kind is None:
            return value
        return network.layer(kind.layer, f"{self.name}.{kind.options.get('function', kind.layer)}", kind.options, value)

    def _linear(self, network: Network, operand: int, inference: bool) -> int:
        """Adds what comes before the activation."""
        return super()._define(network, operand, inference)


class KernelLayer(ActivatedLayer):
    """One whose weights are ``kernel`` and ``bias``."""

    _: KW_ONLY
    kernel_initializer: InitializerLike = default("glorot_uniform")
    bias_initializer: InitializerLike = default("zeros")
    kernel_regularizer: RegularizerLike = default(None)
    bias_regularizer: RegularizerLike = default(None)
    activity_regularizer: None = NOTHING
    kernel_constraint: None = NOTHING
    bias_constraint: None = NOTHING


def divided(function: Function) -> tuple[Kind | None, Function]:
    """An activation as a layer of the library, None where it is ``linear`` or the user's, and what is left to apply."""
    try:
        return kind_of(function), linear
    except KeyError:
        return None, function
