"""What all layers have in common: names, weights, and what it means to call one."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

import numpy as np

from .. import _arrays
from .._checks import boolean, choice, integer, text
from .._symbolic import Call, Context, Network, Tensor, context, within

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .. import _swiftcnn
    from .._arrays import Array, Floats
    from .._symbolic import Shape
    from ..initializers import Initializer
    from ..regularizers import Regularizer

_given: Counter[str] = Counter()


def clear_session() -> None:
    """Lets the numbers in the names of layers begin anew: ``conv2d``, ``conv2d_1``..."""
    _given.clear()


def unique_name(stem: str) -> str:
    """``stem``, or where it was given out before, with a number."""
    _given[stem] += 1
    return stem if _given[stem] == 1 else f"{stem}_{_given[stem] - 1}"


def _snake_case(name: str) -> str:
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()


def shape_of(value: object, name: str) -> tuple[int | None, ...]:
    """A shape without the batch; None is any size.

    Raises:
        ValueError: no sequence of positive whole numbers and None.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        raise ValueError(f"{name} must be a tuple as (height, width, channels), got {value!r}")
    return tuple(None if size is None else integer(size, name, minimum=1) for size in value)


def batched(shape: object, name: str = "input_shape") -> tuple[int | None, ...]:
    """A shape that begins with the batch, of which any number will do.

    Raises:
        ValueError: no sequence of positive whole numbers and None, or an empty one.
    """
    sizes = shape_of(shape, name)
    if not sizes:
        raise ValueError(f"{name} must begin with the batch, as (None, 32, 32, 3), got {shape!r}")
    return (None, *sizes[1:])


def check_absent(**arguments: None) -> None:
    """Arguments of Keras's that are for what does not exist here: constraints of weights, penalties on results."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name} must be None: there is no such thing here, got {value!r}")


class UnnamedOptions(TypedDict, total=False):
    """What every layer takes beside its own arguments and a name.

    Attributes:
        trainable: whether training changes the weights.
        dtype: None or ``"float32"``, the only type there is.
        input_shape: without the batch: the input's shape, for the first layer of a ``Sequential`` model.
    """

    trainable: bool
    dtype: str | None
    input_shape: Sequence[int | None]


class LayerOptions(UnnamedOptions, total=False):
    """What every layer takes beside its own arguments.

    Attributes:
        name: unique in a model; None makes one of the class's name.
    """

    name: str | None


class Variable:
    """One weight of a layer: a view. Reading copies, ``assign`` changes the layer and every model it is in.

    Attributes:
        name: as ``"kernel"``.
        path: as ``"conv2d/kernel"``.
        parameter: the name in files and in ``Model.get_parameter``, as ``"conv2d.weight"``; of a layer within another
            the names of those around it come before: ``"block.conv2d.weight"``.
        shape: in Keras's layout: HWIO for convolutions, (height, width, channels, multiplier) for depthwise ones,
            (in, out) for dense layers.
    """

    dtype = "float32"

    def __init__(
        self,
        handle: _swiftcnn.Model,
        parameter: str,
        name: str,
        owner: str,
        stored_shape: tuple[int, ...],
        channels: int | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """``channels`` is the number of input channels of a depthwise convolution's weight, otherwise None; ``shape``
        is Keras's where it has the elements in the same order."""
        self.name = name
        self.path = f"{owner}/{name}"
        self.parameter = parameter
        self._handle = handle
        self._stored_shape = stored_shape
        self._channels = channels
        self._reshaped = shape
        self.shape: tuple[int, ...] = self._to_keras(np.empty(stored_shape, np.bool_)).shape

    def _to_keras(self, stored: Array) -> Array:
        if self._reshaped is not None:
            return stored.reshape(self._reshaped)
        if self._channels is not None:
            # Stored as (channels * multiplier, 1, height, width), channel by channel.
            return stored.reshape(self._channels, -1, *stored.shape[2:]).transpose(2, 3, 0, 1)
        return stored.transpose(2, 3, 1, 0) if stored.ndim == 4 else stored.T

    def _from_keras(self, value: Array) -> Array:
        if self._reshaped is not None:
            value = value.reshape(self._stored_shape)
        elif self._channels is not None:
            value = value.transpose(2, 3, 0, 1).reshape(self._stored_shape)
        elif value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        else:
            value = value.T
        return np.ascontiguousarray(value)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def trainable(self) -> bool:
        """Whether training changes it."""
        return any(row[2] for row in self._handle.parameters() if row[0] == self.parameter)

    def numpy(self) -> Floats:
        """A copy of the value, float32."""
        stored = np.empty(self._stored_shape, np.float32)
        self._handle.get_parameter(self.parameter, stored)
        return np.ascontiguousarray(self._to_keras(stored))

    value = numpy

    def assign(self, value: ArrayLike) -> None:
        """Replaces the value by one of the same shape.

        Raises:
            ValueError: another shape.
            TypeError: not numbers.
        """
        checked = _arrays.named(value, self.shape, self.path)
        self._handle.set_parameter(self.parameter, self._from_keras(checked))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.numpy(), dtype)

    def __repr__(self) -> str:
        return f"<Variable path={self.path} shape={self.shape} dtype={self.dtype}>"


class Layer:
    """A layer, and the base of your own, which are made of other layers::

        class Block(layers.Layer):
            def __init__(self, filters):
                super().__init__()
                self.conv = layers.Conv2D(filters, 3, padding="same")
                self.bn = layers.BatchNormalization()

            def call(self, x):
                return layers.add([x, self.bn(self.conv(x))])

    Called with tensors (``layers.Input``, or what another layer gave) a layer gives a tensor; called with an array it
    gives an array, computed as in inference.

    Attributes:
        name: unique in a model.
        built: whether there are weights, where there should be.
        dtype: ``"float32"``.
    """

    dtype = "float32"
    compute_dtype = "float32"
    _asks = True  # ``call`` may give another network in training
    _arguments: Mapping[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        layer = super().__new__(cls)
        try:
            arguments = inspect.signature(cls.__init__).bind(None, *args, **kwargs).arguments
            layer._arguments = dict(list(arguments.items())[1:])
        except TypeError:
            layer._arguments = {}  # __init__ is about to say what is wrong
        return layer

    def __init__(self, **options: Unpack[LayerOptions]) -> None:
        unknown = sorted(set(options) - LayerOptions.__optional_keys__)
        if unknown:
            raise ValueError(f"{type(self).__name__}: unrecognized keyword arguments {', '.join(unknown)}")
        name = options.get("name")
        choice(options.get("dtype"), "dtype", (None, "float32"))
        self.name = unique_name(_snake_case(type(self).__name__)) if name is None else text(name, "name")
        if not self.name:
            raise ValueError("name must not be empty")
        self.built = False
        self._trainable = boolean(options.get("trainable", True), "trainable")
        self._freezes = not self._trainable  # the layers within do not know it yet
        shape = options.get("input_shape")
        self._input_shape = None if shape is None else shape_of(shape, "input_shape")
        self._first_call: tuple[Any, Any] | None = None

    # ------------------------------------------------------------------------------------------------------- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Applies the layer to tensors or to an array; ``training=False`` makes it and the layers within do in training
        what they do in inference, as batch normalisation that keeps its statistics.

        Raises:
            ValueError: the shape does not fit.
            TypeError: ``call`` does not take these arguments.
        """
        if not hasattr(self, "_first_call"):
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__() first")
        training = kwargs.pop("training", None)
        try:
            bound = inspect.signature(self.call).bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"layer {self.name!r}: {error}") from None
        training = bound.arguments.pop("training", training)
        if training is not None:
            boolean(training, "training")
        if not bound.args:
            raise TypeError(f"layer {self.name!r}: its input is missing")
        inputs = bound.args[0]
        given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if any(isinstance(each, Tensor) for each in given):
            if not all(isinstance(each, Tensor) for each in given):
                raise ValueError(f"layer {self.name!r}: tensors of a network and arrays cannot be mixed")
            return self._apply(*bound.args, training=training, **bound.kwargs)
        if training:
            raise ValueError(f"layer {self.name!r}: training=True is possible within a model only, not on an array")
        return self._compute(*bound.args, **bound.kwargs)

    def _apply(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """The result for tensors."""
        tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if not self.built:
            self.build(inputs.shape if isinstance(inputs, Tensor) else [each.shape for each in inputs])
            self.built = True
        if self._freezes:
            self.trainable = False
        outer = context()
        if training is None:
            training = outer.training
        with within(Context((*outer.callers, self), training)):
            if "training" not in inspect.signature(self.call).parameters:
                outputs = self.call(inputs, *args, **kwargs)
            elif training is None and self._asks:
                outputs = self._call_both_ways(inputs, *args, **kwargs)
            else:
                outputs = self.call(inputs, *args, training=training, **kwargs)
        if self._first_call is None and not any(tensor.is_trial for tensor in tensors):
            self._first_call = (inputs, outputs)
        return outputs

    def _call_both_ways(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """What ``call`` gives where it asks whether it trains and nobody said: both answers must give one network."""
        from ..models import same_network

        results = [self.call(inputs, *args, training=training, **kwargs) for training in (True, False)]
        first, *others = dict.fromkeys(_tensors_in([inputs, args, kwargs]))
        if not same_network(first.root if others else first, *results):
            raise ValueError(
                f"{type(self).__name__}.call gives another network for training=True than for training=False; "
                "only layers that act in training alone, as Dropout, may depend on it"
            )
        return results[0]

    def _compute(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The result for an array."""
        from ..models import Model

        if isinstance(x, (list, tuple)) and any(isinstance(each, np.ndarray) for each in x):
            raise ValueError(f"layer {self.name!r}: several arrays at once are possible within a model only")
        array = _arrays.numeric(x, f"the input of {self.name}")
        if array.ndim == 0 or array.shape[0] == 0:
            raise ValueError(f"the input of {self.name}: expected a batch, got shape {array.shape}")
        inputs = Tensor((None, *array.shape[1:]), "input", is_trial=True)
        model = Model(inputs, self._apply(inputs, *args, **kwargs))
        return model.predict_on_batch(array)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer does, in terms of other layers; to be written by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has no method 'call'")

    def build(self, input_shape: Any) -> None:
        """Called before the first ``call``, with the shape of the input, the batch (None) included; subclasses may make
        layers here."""

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        """Adds to the network what the layer computes of these values."""
        raise NotImplementedError(f"{type(self).__name__} cannot stand in a network by itself")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The shape of the result, the batch included, for an input of a shape that includes the batch."""
        result = self._apply(Tensor(batched(input_shape), "input", is_trial=True))
        shape: Shape = result.shape
        return shape

    # ------------------------------------------------------------------------------------------------------- looking

    @property
    def input(self) -> Any:
        """The tensor, or tensors, of the first call."""
        return self._called()[0]

    @property
    def output(self) -> Any:
        """What the first call gave: ``Model(model.input, layer.output)`` shows what the layer computes."""
        return self._called()[1]

    def _called(self) -> tuple[Any, Any]:
        if self._first_call is None:
            raise AttributeError(f"layer {self.name!r} has not been called, so it has neither input nor output")
        return self._first_call

    def _sublayers(self) -> Iterator[Layer]:
        """The layers among the attributes, also within lists, tuples and dictionaries."""
        for name, value in vars(self).items():
            if name not in ("_first_call", "_arguments"):
                yield from layers_in(value)

    def get_config(self) -> dict[str, Any]:
        """The arguments it was made with, for ``from_config``."""
        parameters = inspect.signature(type(self).__init__).parameters.values()
        config: dict[str, Any] = {}
        for parameter in parameters:
            if parameter.kind is not parameter.VAR_KEYWORD:
                config |= {key: value for key, value in self._arguments.items() if key == parameter.name}
            else:
                config |= self._arguments.get(parameter.name, {})
        taken = {parameter.name for parameter in parameters}
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        own = {"name": self.name, "trainable": self.trainable}
        return config | {key: value for key, value in own.items() if takes_all or key in taken}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new layer of the same kind with other weights."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    # ------------------------------------------------------------------------------------------------------- weights

    @property
    def weights(self) -> list[Variable]:
        """The weights, learned and measured, in Keras's order."""
        return list({id_of(each): each for layer in self._sublayers() for each in layer.weights}.values())

    variables = weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Those that training changes."""
        return _select(self.weights, trainable=True)

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Those that training does not change; statistics of batch normalisation are among them."""
        return _select(self.weights, trainable=False)

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def get_weights(self) -> list[Floats]:
        """Copies of all weights in Keras's order and layout, float32."""
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replaces all weights; what does not fit leaves all as they were.

        Raises:
            ValueError: another number of them, or another shape.
        """
        variables = self.weights
        if isinstance(weights, (str, bytes)) or not isinstance(weights, (Sequence, np.ndarray)):
            raise TypeError(f"weights must be a list of arrays, got {weights!r}")
        if len(weights) != len(variables):
            raise ValueError(
                f"weights: {self.name!r} expects {len(variables)} arrays, got {len(weights)}"
                + ("" if self.built else "; it is not built yet")
            )
        values = [_arrays.named(value, each.shape, each.path) for each, value in zip(variables, weights, strict=True)]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """The number of elements of all weights."""
        return sum(int(np.prod(weight.shape)) for weight in self.weights)

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Setting it sets it for all layers within; it takes effect at the next
        step. Batch normalisation that is not trainable runs in inference mode."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = boolean(value, "trainable")
        self._freezes = False
        for layer in self._sublayers():
            layer.trainable = value


def layers_in(value: object) -> Iterator[Layer]:
    """The layers in an attribute's value."""
    if isinstance(value, Layer):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from layers_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from layers_in(each)


def _tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors among arguments."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors_in(each)


def _select(weights: Sequence[Variable], trainable: bool) -> list[Variable]:
    """Those weights that are trainable, or those that are not; each model is asked once."""
    handles = {id(weight._handle): weight._handle for weight in weights}
    flags = {(key, row[0]): row[2] for key, handle in handles.items() for row in handle.parameters()}
    return [weight for weight in weights if flags[id_of(weight)] == trainable]


def id_of(variable: Variable) -> tuple[int, str]:
    """What two views of one weight have in common."""
    return (id(variable._handle), variable.parameter)


class Operation(Layer):
    """A layer that the library knows. It has no weights, unless it is a ``WeightedLayer``."""

    _asks = False

    def call(self, inputs: Tensor | Sequence[Tensor], training: bool | None = None) -> Any:
        """The result of the layer itself, for tensors."""
        tensors = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
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
        return self._define(network, operands[0], call.inference)

    def _define(self, network: Network, operand: int, inference: bool) -> int:
        """Adds what the layer computes of one value."""
        raise NotImplementedError


class WeightedLayer(Operation):
    """A layer with weights of its own, which all models that contain it share.

    It is a model of the library by itself, made when the layer first sees a shape; a network that contains the layer
    applies that model.
    """

    # The names of weights in files and in Keras.
    _weight_names: Mapping[str, str] = {"weight": "kernel", "bias": "bias"}

    def __init__(
        self,
        initializers: Mapping[str, Initializer],
        regularizers: Mapping[str, Regularizer | None],
        **options: Unpack[LayerOptions],
    ) -> None:
        """The initializers and regularizers are by Keras's names of the weights."""
        super().__init__(**options)
        self._initializers = initializers
        self._regularizers = regularizers
        self._home: _swiftcnn.Model | None = None

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
        home = network.model(self._define(network, network.input(tensor), inference=False))
        for variable in self._variables(home):
            variable.assign(self._initializers[variable.name](variable.shape))
        for name, regularizer in self._regularizers.items():
            for variable in self._variables(home):
                if variable.name == name and regularizer is not None:
                    home.set_regularization(variable.parameter, regularizer.l1, regularizer.l2)
        self._home = home
        self.built = True
        self._freezes = False
        if not self._trainable:
            self._set_trainable(home, False)
        return home

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        if len(operands) != 1:
            raise ValueError(f"layer {self.name!r} takes one tensor, got {len(operands)}")
        self._check_last_axis(call.inputs[0].shape)
        home = self._home or self._make_home(call.inputs[0])
        return network.apply(home, operands[0], call.inference)

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
            channels = self._depthwise_channels(name, shape)
            result.append(Variable(home, parameter, name, self.name, shape, channels, self._keras_shape(name)))
        return result

    def _keras_shape(self, name: str) -> tuple[int, ...] | None:
        """Keras's shape of a weight where it differs without another order of the elements."""
        return None

    def _depthwise_channels(self, name: str, shape: tuple[int, ...]) -> int | None:
        """The number of channels where the weight is that of a depthwise convolution."""
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

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; see ``Layer.trainable``."""
        learned = [] if self._home is None else [row[2] for row in self._home.parameters() if row[1] != "statistic"]
        return any(learned) if learned else self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = boolean(value, "trainable")
        self._freezes = False
        if self._home is not None:
            self._set_trainable(self._home, self._trainable)

    @staticmethod
    def _set_trainable(home: _swiftcnn.Model, trainable: bool) -> None:
        if any(row[1] != "statistic" for row in home.parameters()):
            home.set_trainable("*", trainable)
