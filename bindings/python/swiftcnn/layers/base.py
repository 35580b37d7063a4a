"""What all layers have in common: names, weights, and what it means to call one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .. import _arrays, activations, initializers, regularizers
from .._checks import ArgumentError, boolean, choice, integer, suggesting, text
from .._comparison import same_network
from .._interchange import is_array
from .._names import class_name, unique_name
from .._symbolic import (
    Call,
    Context,
    Made,
    Network,
    Tensor,
    context,
    parts_of,
    several,
    structured,
    tensors_in,
    within,
)
from .variable import Variable, id_of, select

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._arrays import Floats
    from .._symbolic import Shape
    from .arguments import Name

_numbers = count()


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


def _is_list(given: object) -> bool:
    """Whether it is a list of shapes, not one."""
    return isinstance(given, (list, tuple)) and any(isinstance(each, (list, tuple)) for each in given)


def shapes_in(given: Any, name: str = "input_shape") -> list[Shape]:
    """A shape, or those in a list or dictionary of shapes, the batch included.

    Raises:
        ValueError: as ``batched``.
    """
    if isinstance(given, Mapping):
        return [batched(shape, f"{name}[{text(key, f'a key of {name}')!r}]") for key, shape in given.items()]
    return [batched(each, name) for each in (given if _is_list(given) else [given])]


def begun(given: Any, is_trial: bool = False) -> Any:
    """Tensors of these shapes, as ``shapes_in`` takes them, with which a network begins: one, or in a list or
    dictionary, whose keys are then their names."""
    shapes = shapes_in(given)
    names = list(given) if isinstance(given, Mapping) else ["input", *(f"input_{i}" for i in range(1, len(shapes)))]
    tensors = [Tensor(shape, name, is_trial=is_trial) for shape, name in zip(shapes, names, strict=True)]
    return structured(given if isinstance(given, Mapping) or _is_list(given) else None, tensors)


class Layer:
    """A layer, and the base of your own, which are made of other layers::

        class Block(layers.Layer):
            def __init__(self, filters):
                super().__init__()
                self.conv = layers.Conv2D(filters, 3, padding="same")
                self.bn = layers.BatchNormalization()

            def call(self, x):
                return layers.add([x, self.bn(self.conv(x))])

    Called with tensors (``layers.Input``, or what another layer gave) a layer gives a tensor; called with an array, or
    a list of arrays, it gives an array, computed as in inference.

    Args:
        name: unique in a model; None makes one of the class's name.
        trainable: whether training changes the weights.
        dtype: None or ``"float32"``, the only type there is.
        input_shape: without the batch: the input's shape, for the first layer of a ``Sequential`` model.

    Attributes:
        name: unique in a model.
        built: whether there are weights, where there should be.
        dtype: ``"float32"``.
    """

    name: Name
    dtype = "float32"
    compute_dtype = "float32"
    _asks = True  # ``call`` may give another network in training
    _made_of: dict[str, Any]
    _sealed: list[Layer] | None = None  # the layers within, once there can be no others
    _tracked: Sequence[Layer] = ()  # the layers among the attributes, as they came there
    _number = 0  # how many layers were made before it

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        layer = super().__new__(cls)
        vars(layer)["_number"] = next(_numbers)
        try:
            given = dict(cls._made_with().bind(*args, **kwargs).arguments)
        except TypeError:
            given = {}  # __init__ is about to say what is wrong
        vars(layer)["_made_of"] = given  # not looked through for layers
        return layer

    @suggesting
    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
        input_shape: Sequence[int | None] | None = None,
    ) -> None:
        choice(dtype, "dtype", (None, "float32"))
        self.name = unique_name(class_name(type(self))) if name is None else text(name, "name")
        if not self.name:
            raise ValueError("name must not be empty")
        self.built = False
        self._trainable = boolean(trainable, "trainable")
        self._freezes = not self._trainable  # the layers within do not know it yet
        self._input_shape = None if input_shape is None else shape_of(input_shape, "input_shape")
        self._first_call: tuple[Any, Any] | None = None

    @classmethod
    def _made_with(cls) -> inspect.Signature:
        """What an object is made with."""
        whole = inspect.signature((cls._constructor or cls).__init__)
        return whole.replace(parameters=list(whole.parameters.values())[1:])

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
        given = parts_of(inputs)
        if any(isinstance(each, Tensor) for each in given):
            if not all(isinstance(each, Tensor) for each in given):
                raise ValueError(f"layer {self.name!r}: tensors of a network and arrays cannot be mixed")
            return self._apply(*bound.args, training=training, **bound.kwargs)
        if training:
            raise ValueError(f"layer {self.name!r}: training=True is possible within a model only, not on an array")
        return self._compute(*bound.args, **bound.kwargs)

    def _apply(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """The result for tensors."""
        tensors = parts_of(inputs)
        if not self.built:
            self.build(structured(inputs, [each.shape for each in tensors]))
            self.built = True
        if self._freezes:
            self.trainable = False
        outer, given = context(), training
        if training is None:
            training = outer.training
        with within(Context((*outer.callers, self), training)):
            if "training" not in inspect.signature(self.call).parameters:
                outputs = self.call(inputs, *args, **kwargs)
            elif training is None and self._asks:
                outputs = self._call_both_ways(inputs, *args, **kwargs)
            else:
                outputs = self.call(inputs, *args, training=training, **kwargs)
        self._seal()
        if not any(tensor.is_trial for tensor in tensors):
            if self._first_call is None:
                self._first_call = (inputs, outputs)
            if not outer.callers:
                Made(self, (inputs, *args), kwargs, given, outputs)
        return outputs

    def _call_both_ways(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """What ``call`` gives where it asks whether it trains and nobody said: both answers must give one network."""
        results = [self.call(inputs, *args, training=training, **kwargs) for training in (True, False)]
        if not same_network(list(dict.fromkeys(tensors_in([inputs, args, kwargs]))), *results):
            raise ValueError(
                f"{type(self).__name__}.call gives another network for training=True than for training=False; "
                "only layers that act in training alone, as Dropout, may depend on it"
            )
        return results[0]

    def _compute(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The result for an array, or for several."""
        is_several = isinstance(x, Mapping) or (isinstance(x, (list, tuple)) and any(map(is_array, x)))
        given: list[Any] = parts_of(x) if is_several else [x]
        arrays = [_arrays.dense(_arrays.numeric(each, f"the input of {self.name}"), np.float32) for each in given]
        for array in arrays:
            if array.ndim == 0 or array.shape[0] == 0:
                raise ValueError(f"the input of {self.name}: expected a batch, got shape {array.shape}")
        shapes = [array.shape for array in arrays]
        inputs = begun(structured(x, shapes) if is_several else shapes[0], is_trial=True)
        outputs = self._apply(inputs, *args, **kwargs)
        tensors = several(parts_of(outputs), f"what {self.name} gives")
        network = Network()
        for tensor in parts_of(inputs):
            network.input(tensor)
        core = network.model(*map(network.value, tensors))
        names = core.output_names().split("\n")
        results = [np.empty(core.output_shape(shapes, name), np.float32) for name in names]
        core.predict(tuple(arrays) if len(arrays) > 1 else arrays[0], len(arrays[0]), names, results)
        return structured(outputs, results) if isinstance(outputs, Mapping) or len(results) > 1 else results[0]

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer does, in terms of other layers; to be written by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has no method 'call'")

    def build(self, input_shape: Any) -> None:
        """Called before the first ``call``, with the shape of the input, the batch (None) included; subclasses may make
        layers here."""

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        """Adds to the network what the layer computes of these values."""
        raise NotImplementedError(f"{type(self).__name__} cannot stand in a network by itself")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """The shape of the result, the batch included, for an input of a shape that includes the batch; of several
        inputs a list or dictionary of shapes."""
        result = self._apply(begun(input_shape, is_trial=True))
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
        return iter(self._track())

    def _track(self, added: Iterable[Layer] = ()) -> list[Layer]:
        """The layers among the attributes in the order they came there, as Keras lists them. What was put into a list
        or dictionary since they were last looked for came as it was made."""
        found = {
            id(layer): layer
            for name, value in vars(self).items()
            if name not in ("_first_call", "_made_of", "_sealed", "_tracked")
            for layer in layers_in(value)
        }
        known = {id(layer): layer for layer in self._tracked if id(layer) in found}
        new = {id(layer): layer for layer in added}
        late = [layer for key, layer in found.items() if key not in known and key not in new]
        late.sort(key=lambda layer: layer._number)
        tracked = list((known | {id(layer): layer for layer in late} | new).values())
        vars(self)["_tracked"] = tracked
        return tracked

    def _seal(self) -> None:
        """From now on the layers within stay the same: there is a network of them."""
        self._sealed = list(Layer._sublayers(self))

    def _check_sealed(self, layers: Iterable[Layer]) -> None:
        """Raises ValueError where one of these layers came after the network was made."""
        for layer in layers:
            if self._sealed is not None and not any(layer is each for each in self._sealed):
                kind = type(self).__name__
                raise ValueError(
                    f"layer {layer.name!r} cannot become a part of {self.name!r}, which is built already and would not "
                    f"see it: make a new {kind} that has it from the start and give it the weights of the other layers "
                    "(set_weights), or build a Model of the layers that stay and the new one"
                )

    def __setattr__(self, name: str, value: Any) -> None:
        if self._sealed is not None and name != "_sealed":
            self._check_sealed(layers_in(value))
        super().__setattr__(name, value)
        if added := list(layers_in(value)):
            self._track(added)

    # The class whose arguments ``get_config`` gives, where that is another.
    _constructor: type[Layer] | None = None

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer with ``from_config``, with their defaults; objects of
        ``swiftcnn.initializers`` and ``regularizers`` as ``{"class_name": ..., "config": ...}``."""
        own: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        parameters = self._made_with().parameters
        config = {name: each.default for name, each in parameters.items() if each.default is not each.empty}
        config |= self._made_of
        for name, each in parameters.items():
            if each.kind is each.VAR_KEYWORD:
                config |= own | config.pop(name, {})
        if (self._constructor or type(self)).__init__.__module__.startswith(__name__.partition(".")[0] + "."):
            config.pop("input_shape", None)
            own["dtype"] = self.dtype
            config = {name: self._configured(name, value) for name, value in config.items()}
        own = {name: value for name, value in own.items() if name in config}
        return own | config | own

    def _configured(self, name: str, value: Any) -> Any:
        """An argument as it is told in the configuration."""
        if name == "data_format":
            return "channels_last"
        if name == "activation" or name.endswith(("_initializer", "_regularizer")):
            return serialized(value, name)
        found = vars(self).get(name, value)
        return found.tolist() if isinstance(found, (np.ndarray, np.generic)) else found

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new layer of the same kind with other weights."""
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles have: all but the network around the layer."""
        return {**vars(self), "_first_call": None}

    def __copy__(self) -> Self:
        import copy  # at this place, since most never need it

        return copy.deepcopy(self)  # a layer's weights are its own

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
        return select(self.weights, trainable=True)

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Those that training does not change; statistics of batch normalisation are among them."""
        return select(self.weights, trainable=False)

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
            raise ArgumentError(f"weights must be a list of arrays, got {weights!r}")
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
        learned = self._learned()
        return any(learned) if learned else self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = boolean(value, "trainable")
        self._freezes = False
        self._let_train(value)

    def _learned(self) -> list[bool]:
        """Of each weight that is learned and not measured, whether training changes it; none of layers of others."""
        return []

    def _let_train(self, trainable: bool) -> None:
        for layer in self._sublayers():
            layer.trainable = trainable

    def _let_compute(self, dtype: str) -> None:
        """Lets models that are made of the layers within compute in this, unless those are told otherwise."""
        for layer in self._sublayers():
            layer._let_compute(dtype)

    def _computes_in(self) -> str:
        """The policy of models that are made of it, unless those are told otherwise: the last that is not float32."""
        found = [layer._computes_in() for layer in self._sublayers()]
        return next((policy for policy in reversed(found) if policy != "float32"), "float32")


def serialized(value: Any, name: str) -> Any:
    """An activation, initializer or regularizer as a configuration tells it; a function of the user's stays one."""
    if name == "activation":
        return activations.name_of(activations.get(value))
    if value is None and not name.endswith("_initializer"):
        return None
    found: Any = (initializers if name.endswith("_initializer") else regularizers).get(value, name)
    if type(found).__module__ not in (initializers.__name__, regularizers.__name__) or type(found).__name__[0] == "_":
        return value
    return {"class_name": type(found).__name__, "config": found.get_config()}


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
