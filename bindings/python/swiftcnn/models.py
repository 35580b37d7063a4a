"""Models: of layers, by name, or from a file; looked at, changed and saved."""

from __future__ import annotations

import inspect
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays, _swiftcnn
from ._checks import boolean, integer, number, path_of, readable, text, unknown
from ._symbolic import Call, Context, Network, Tensor, context, within
from ._trainer import Trainer
from .layers.base import Layer, Variable, batched, shape_of, unique_name
from .layers.core import InputLayer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Floats
    from ._symbolic import Shape

    Path = str | os.PathLike[str]

__all__ = [
    "EfficientNet",
    "Model",
    "Node",
    "Parameter",
    "Sequential",
    "create_model",
    "list_models",
    "load_model",
]


class Parameter(NamedTuple):
    """What is known of a parameter beside its value.

    Attributes:
        name: as ``"layer1.0.conv1.weight"``.
        role: ``"weight"``, ``"bias"``, ``"normalization_scale"``, ``"normalization_shift"``, ``"slope"`` (of PReLU) or
            ``"statistic"`` (a running mean or variance).
        trainable: whether training changes it.
        shape: OIHW for convolutions, (out, in) for dense layers.
    """

    name: str
    role: str
    trainable: bool
    shape: tuple[int, ...]


class Model(Trainer, Layer):
    """A network with its weights: made by ``create_model`` or ``load_model``, of layers, or by a class of your own::

        model = Model(inputs, outputs)      # tensors: of Input, and what layers made of it

        class Net(Model):
            def __init__(self):
                super().__init__()
                self.conv = layers.Conv2D(16, 3, activation="relu")
                self.pool = layers.GlobalAveragePooling2D()

            def call(self, x):
                return self.pool(self.conv(x))

    Layers and models that models are made of keep their weights: what one model learns, the others know. Your own class
    gets its network when it first sees data, or by ``build``; its ``call`` runs once then, with tensors.

    Args:
        inputs: a tensor.
        outputs: a tensor that layers made of it, or a list of several: such a model can predict, but not be trained.

    Raises:
        ValueError: the outputs need another tensor than the inputs, or two layers have one name.
    """

    def __init__(
        self,
        inputs: Tensor | Sequence[Tensor] | None = None,
        outputs: Tensor | Sequence[Tensor] | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        is_functional = type(self) is Model and inputs is not None
        Layer.__init__(
            self, name=unique_name("functional") if name is None and is_functional else name, trainable=trainable
        )
        self._core: _swiftcnn.Model | None = None
        self._ends: tuple[Tensor, list[Tensor]] | None = None
        self._members = _Members()
        if (inputs is None) != (outputs is None):
            raise ValueError("inputs and outputs must be given both, or neither")
        if inputs is not None and outputs is not None:
            self._connect(_single(inputs, "inputs"), _several(outputs, "outputs"))
            if self._freezes:
                self.trainable = False

    @classmethod
    def _of(cls, core: _swiftcnn.Model) -> Model:
        """The model of the library as an object."""
        model = Model(name=core.name())
        model._set_core(core)
        return model

    def _connect(self, inputs: Tensor, outputs: list[Tensor]) -> None:
        """Makes the network between tensors."""
        network = Network()
        network.input(inputs)
        values = [network.value(output) for output in outputs]
        core = network.model(*values, options={"name": self.name} | _pixels(inputs, network.calls))
        self._ends = (inputs, outputs)
        self._members.layers = _distinct(_layers_of(inputs, network.calls, core))
        self._set_core(core)

    def _set_core(self, core: _swiftcnn.Model) -> None:
        self._core = core
        self.built = True
        self._adopt()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("train_step", "test_step", "predict_step", "compute_loss"):
            if hasattr(cls, name):
                raise TypeError(f"{cls.__name__}.{name} would never be called: training is done by the library")

    @property
    def _handle(self) -> _swiftcnn.Model:
        """The model of the library."""
        if self._core is None:
            raise ValueError(
                f"model {self.name!r} is not built yet: call it, fit it or predict with it, or call build(input_shape)"
            )
        return self._core

    @property
    def _model(self) -> Model:
        return self

    @property
    def _built(self) -> bool:
        return self._core is not None

    def _prepare(self, x: ArrayLike) -> None:
        if self._core is None:
            shape = _arrays.numeric(x, "x").shape
            if len(shape) < 2:
                raise ValueError(f"x: expected images (N, height, width, channels), got shape {shape}")
            self.build((None, *shape[1:]))

    # ------------------------------------------------------------------------------------------------------ as a layer

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the network for inputs of a shape, the batch included, as (None, 224, 224, 3)."""
        if self._core is None:
            tensor = Tensor(batched(input_shape), "input")
            with within(Context()):
                self._connect(tensor, _several(self._trace(tensor), "what call returned"))
            if self._freezes:
                self.trainable = False

    def _trace(self, tensor: Tensor) -> Any:
        """What ``call`` makes of a tensor."""
        asks = "training" in inspect.signature(self.call).parameters
        return self._call_both_ways(tensor) if asks else self.call(tensor)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the model does, in terms of layers; to be written by classes of your own."""
        if self._core is not None:
            return self(*args, **kwargs)
        raise NotImplementedError(
            f"{type(self).__name__} has no network: write a method 'call', or give Model inputs and outputs"
        )

    def _apply(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if args or kwargs:
            raise TypeError(f"model {self.name!r} takes one input, and training, got also {[*args, *kwargs]}")
        tensor = _single(inputs, "inputs")
        if self._core is None:
            self.build(tensor.shape)
        outer = context()
        inference = (outer.training if training is None else training) is False
        names = self.output_names
        results = []
        for name in names:
            call = Call(self, (tensor,), inference, tensor=name if len(names) > 1 else None, callers=outer.callers)
            network = Network()
            value = self._emit(network, [network.input(tensor)], call)
            results.append(Tensor(network.shape(value), self.name, call))
        return results[0] if len(results) == 1 else results

    def _compute(self, x: Any) -> Any:
        return self.predict_on_batch(x)

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        prefix = "" if self._continues(call) else f"{self.name}."
        return network.apply(self._handle, operands[0], call.inference, prefix, call.tensor)

    def _continues(self, call: Call) -> bool:
        """Whether a call stands for the model's own layers: a network that ends elsewhere, or goes on from one."""
        return self._ends is not None and call.inputs[0] is self._ends[0]

    # ------------------------------------------------------------------------------------------------------- looking

    @property
    def input(self) -> Tensor:
        """The tensor it begins with."""
        return self._tensors()[0]

    @property
    def output(self) -> Any:
        """The tensor it ends with, or a list of several: ``Model(model.input, layers.Dense(5)(model.output))`` goes on
        from there."""
        outputs = self.outputs
        return outputs[0] if len(outputs) == 1 else outputs

    @property
    def inputs(self) -> list[Tensor]:
        """``[input]``"""
        return [self.input]

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors it ends with."""
        return list(self._tensors()[1])

    def _tensors(self) -> tuple[Tensor, list[Tensor]]:
        core = self._handle
        if self._ends is None:
            layer = InputLayer(batch_shape=self.input_shape, name=json.loads(core.graph("json"))["inputs"][0]["name"])
            tensor: Tensor = layer.output
            names = self.output_names
            outputs = [
                Tensor(self._shape(name), self.name, Call(self, (tensor,), tensor=name if len(names) > 1 else None))
                for name in names
            ]
            self._ends = (tensor, outputs)
        return self._ends

    def _shape(self, name: str) -> Shape:
        """The shape of a result, with None for the batch and for sizes that vary."""
        return tuple(size if size >= 0 else None for size in self._handle.tensor_shape(name))

    @property
    def input_shape(self) -> Shape:
        """``(None, height, width, channels)``; None is any number."""
        return (None, *(size if size >= 0 else None for size in self._handle.input_shape()))

    @property
    def output_shape(self) -> Any:
        """The shape of what ``predict`` returns, with None for the number of images and sizes that vary; a list of
        shapes where there are several outputs."""
        shapes = [self._shape(name) for name in self.output_names]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def layers(self) -> list[Layer]:
        """The layers, in the order they are computed; of a class of your own, those among its attributes."""
        if type(self).call is not Model.call:
            return _distinct(Layer._sublayers(self))
        if self._members.layers is None:
            self._members.layers = [_input_layer(self.input), *_nodes(self)]
        return list(self._members.layers)

    def _sublayers(self) -> Iterator[Layer]:
        return iter(self.layers)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by its name, or by its position in ``layers``.

        Raises:
            ValueError: there is none.
        """
        if (name is None) == (index is None):
            raise ValueError("one of name and index must be given, and not both")
        members = self.layers
        if index is not None:
            position = integer(index, "index", minimum=-len(members))
            if position >= len(members):
                raise ValueError(f"index is {position}, but the model has {len(members)} layers")
            return members[position]
        wanted = text(name, "name")
        for layer in members:
            if layer.name == wanted:
                return layer
        raise unknown("layer", wanted, (layer.name for layer in members))

    @property
    def tensor_names(self) -> list[str]:
        """What ``predict(output=...)`` can give, in the order it is computed."""
        return self._handle.tensor_names().split("\n")

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The mean and the standard deviation of pixels, one a channel, in units of the full range 0...1."""
        return self._handle.get_normalization(self._handle.input_shape()[-1])

    def set_normalization(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Sets what uint8 pixels, divided by 255, are normalised with: ``(pixel / 255 - mean) / std``. A model made of
        layers takes pixels as they are (mean 0, std 1 / 255), unless it begins with another model, whose it takes over.

        Raises:
            ValueError: not one number a channel, or a deviation that is not above 0.
        """
        means, deviations, channels = _numbers(mean, "mean"), _numbers(std, "std"), self._handle.input_shape()[-1]
        if not len(means) == len(deviations) == channels:
            raise ValueError(
                f"mean and std must have {channels} numbers each, one a channel, got {means!r} and {deviations!r}"
            )
        self._handle.set_normalization(means, deviations)

    def summary(
        self,
        line_length: None = None,
        positions: None = None,
        print_fn: Callable[[str], object] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: None = None,
    ) -> None:
        """Prints a table of layers, output shapes and parameter counts; it is as wide as it has to be, shows the
        layers of nested models, and says of weights that they are frozen.

        Args:
            print_fn: None is ``print``.
            line_length, positions, expand_nested, show_trainable, layer_range: Keras's, without effect.
        """
        (print if print_fn is None else print_fn)(self._handle.summary())

    def graph(self, format: str = "text") -> str:
        """The network as ``"text"`` (one line a value), ``"dot"`` (Graphviz) or ``"json"`` (as in the model file)."""
        return self._handle.graph(text(format, "format"))

    # ---------------------------------------------------------------------------------------------------- parameters

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters in the order of the network, statistics of batch normalisation among them."""
        return [Parameter(*row) for row in self._handle.parameters()]

    def count_params(self) -> int:
        """The number of learned numbers; statistics of batch normalisation are not counted, as in torchvision."""
        return sum(int(np.prod(row.shape)) for row in self.parameters if row.role != "statistic")

    def get_parameter(self, name: str) -> Floats:
        """A copy of a parameter, float32, in the layout of files and of torchvision.

        Raises:
            ValueError: no parameter has this name.
        """
        value = np.empty(self._shape_of(name), np.float32)
        self._handle.get_parameter(name, value)
        return value

    def set_parameter(self, name: str, value: ArrayLike) -> None:
        """Replaces a parameter by a value of its shape.

        Raises:
            ValueError: no parameter has this name, or the shape differs.
        """
        self._handle.set_parameter(name, _arrays.named(value, self._shape_of(name), name))

    def get_gradient(self, name: str) -> Floats:
        """The gradient of a parameter in the last training step, float32 of its shape.

        Raises:
            ValueError: no parameter has this name, or it is not trained.
            RuntimeError: there was no training step yet.
        """
        gradient = np.empty(self._shape_of(name), np.float32)
        self._handle.get_gradient(name, gradient)
        return gradient

    def state_dict(self) -> dict[str, Floats]:
        """Copies of all parameters by name, in the layout of files and of torchvision."""
        return {row.name: self.get_parameter(row.name) for row in self.parameters}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Replaces all parameters by values of the same names and shapes; what does not fit leaves the model as it was.

        Raises:
            ValueError: parameters are missing, left over or misshapen.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a dictionary of names and arrays, got {state!r}")
        rows = self.parameters
        names = {row.name for row in rows}
        given = {name for name in state if name != "num_batches_tracked" and not name.endswith(".num_batches_tracked")}
        for what, odd in (("missing", names - given), ("left over", given - names)):
            if odd:
                raise ValueError(f"state: {len(odd)} parameters are {what}: {', '.join(sorted(odd)[:20])}")
        values = {row.name: _arrays.named(state[row.name], row.shape, row.name) for row in rows}
        for name, value in values.items():
            self._handle.set_parameter(name, value)

    @property
    def trainable(self) -> bool:
        """Whether training changes any weight. Setting it sets it for all layers; it takes effect at the next step.
        Batch normalisation that is not trainable runs in inference mode."""
        if self._core is None:
            return self._trainable
        learned = [row.trainable for row in self.parameters if row.role != "statistic"]
        return any(learned) if learned else self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = boolean(value, "trainable")
        self._freezes = False
        if self._core is None or not any(row.role != "statistic" for row in self.parameters):
            for layer in self._sublayers():
                layer.trainable = value
        else:
            self._core.set_trainable("*", value)

    def freeze(self, pattern: str = "*") -> int:
        """Keeps the parameters whose names match from being trained: ``*`` stands for any characters, ``?`` for one,
        ``[12]`` for one of these, as in ``"layer[12].*"``. Batch normalisation with frozen parameters runs in inference
        mode.

        Returns:
            How many matched.

        Raises:
            ValueError: none matches.
        """
        return self._handle.set_trainable(text(pattern, "pattern"), False)

    def unfreeze(self, pattern: str = "*") -> int:
        """Ends what ``freeze`` did."""
        return self._handle.set_trainable(text(pattern, "pattern"), True)

    def set_regularization(self, pattern: str = "*", l1: float = 0.0, l2: float = 0.0) -> int:
        """Adds ``l1 * sum(|w|) + l2 * sum(w ** 2)`` to the loss for the parameters whose names match.

        Returns:
            How many matched.

        Raises:
            ValueError: none matches, or a factor is negative.
        """
        return self._handle.set_regularization(text(pattern, "pattern"), number(l1, "l1"), number(l2, "l2"))

    def reset_classifier(self, classes: int, *, seed: int = 0) -> None:
        """Replaces the last dense layer by a new one for so many classes; all else keeps its weights. The model has to
        be compiled again.

        Raises:
            ValueError: the network does not end with a dense layer, or the model is a ``Sequential`` or of a class of
                your own, whose layers are replaced by other means.
        """
        count, start = integer(classes, "classes", minimum=1), integer(seed, "seed")
        if isinstance(self, Sequential) or type(self).call is not Model.call:
            raise ValueError(
                f"model {self.name!r} is made of its own layers: replace the last of them, or that of model.clone()"
            )
        self._handle.reset_classifier(count, start)
        self._ends = None
        self._members.layers = None
        self._forget_settings()

    def _shape_of(self, name: str) -> tuple[int, ...]:
        wanted = text(name, "name")
        rows = self.parameters
        for row in rows:
            if row.name == wanted:
                return row.shape
        raise unknown("parameter", wanted, (row.name for row in rows))

    # --------------------------------------------------------------------------------------------------------- files

    def save(self, filepath: Path, overwrite: bool = True, include_optimizer: bool | None = None) -> None:
        """Writes a model file: safetensors, with the network in its metadata. It appears whole or not at all.

        Args:
            overwrite: False refuses to replace a file.
            include_optimizer: the training state too: what is loaded is compiled and trains on in the same bits. None:
                where the model is compiled. False makes a smaller file.

        Raises:
            OSError: the file cannot be written.
            RuntimeError: ``include_optimizer`` is True, but the model is not compiled.
        """
        path = path_of(filepath, "filepath")
        if not boolean(overwrite, "overwrite") and os.path.exists(path):
            raise FileExistsError(f"filepath: {os.fsdecode(path)} exists, and overwrite is False")
        if include_optimizer is None:
            include_optimizer = self.compiled and not self._compile_is_due
        self._handle.save(path, boolean(include_optimizer, "include_optimizer"))

    def save_weights(self, filepath: Path, overwrite: bool = True) -> None:
        """The same as ``save`` without the optimizer: a model file is a safetensors file of the weights."""
        self.save(filepath, overwrite, include_optimizer=False)

    def load_weights(self, filepath: Path) -> None:
        """Replaces the parameters by those of a safetensors file with the same names and shapes, as a torchvision
        ``state_dict``.

        Raises:
            OSError: the file cannot be read.
            ValueError: parameters are missing, left over or misshapen; the model is unchanged.
        """
        self._handle.load_weights(readable(filepath, "filepath"))

    def clone(self) -> Model:
        """A second, independent model with the same network, weights and training state."""
        return Model._of(self._handle.clone())

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        self._check_copies("copied: clone() makes a model of the same network")
        return self.clone()

    def __reduce__(self) -> tuple[Any, ...]:
        from tempfile import TemporaryDirectory

        self._check_copies("pickled: save(filepath) writes it, and load_model reads a model of the same network")
        with TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.safetensors")
            self.save(path)
            with open(path, "rb") as file:
                return _from_bytes, (file.read(),)

    def _check_copies(self, advice: str) -> None:
        """Raises TypeError for a class of the user's: a file holds the network, not the Python around it."""
        if type(self).__module__ != __name__:
            raise TypeError(f"a {type(self).__name__} cannot be {advice}")

    def get_config(self) -> dict[str, Any]:
        """The arguments that an object of a class of your own was made with.

        Raises:
            NotImplementedError: the class is none of your own. ``save`` writes a model, ``graph("json")`` its network.
        """
        if type(self).__module__ == __name__:
            raise NotImplementedError(
                f'{type(self).__name__} has no configuration: save(filepath) writes a model, graph("json") its network'
            )
        return super().get_config()

    @staticmethod
    def from_name(
        model_name: str,
        weights: Path | None = None,
        input_shape: Sequence[int | None] | None = None,
        classes: int = 1000,
        include_top: bool = True,
        pooling: str | None = None,
        **options: Any,
    ) -> Model:
        """The model that ``create_model`` builds, whose arguments these are."""
        return create_model(model_name, weights, input_shape, classes, include_top, pooling, **options)

    def __repr__(self) -> str:
        if self._core is None:
            return f"<{type(self).__name__} {self.name!r}, not built>"
        return f"<{type(self).__name__} {self.name!r} {self.input_shape} -> {self.output_shape}>"


class _Members:
    """The layers of a model, out of reach of those who look for layers among attributes."""

    layers: list[Layer] | None = None


class Sequential(Model):
    """Layers one after another::

        model = Sequential([layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10, activation="softmax")])

    Without an input (or ``input_shape`` in the first layer) the network is made when data come.

    Args:
        layers: the layers; more can be added.
    """

    def __init__(
        self, layers: Iterable[Layer | Tensor] | None = None, trainable: bool = True, name: str | None = None
    ) -> None:
        super().__init__(name=name, trainable=trainable)
        self._stack = _Members()
        self._stack.layers = []
        self._start: Tensor | None = None
        given = [layers] if isinstance(layers, (Layer, Tensor)) else [] if layers is None else layers
        if not isinstance(given, Iterable):
            raise TypeError(f"layers must be a list of layers, got {layers!r}")
        for layer in given:
            self.add(layer)
        if self._freezes:
            self.trainable = False

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input."""
        return list(self._stack.layers or ())

    def add(self, layer: Layer | Tensor, rebuild: bool = True) -> None:
        """Adds a layer at the end.

        Raises:
            TypeError: it is no layer.
            ValueError: it does not fit, or another layer has its name.
        """
        if isinstance(layer, Tensor) and layer.origin is not None:
            layer = layer.origin
        if not isinstance(layer, Layer):
            raise TypeError(f"layer must be a layer, got {layer!r}")
        if isinstance(layer, InputLayer):
            if self._start is not None or self.layers:
                raise ValueError("an input must come first, and once")
            self._start = layer.output
            return
        if any(layer.name == other.name for other in self.layers):
            raise ValueError(f"the model has a layer {layer.name!r} already: layer names must be unique")
        start = self._start
        if start is None and not self.layers:
            shape = layer.input_shape[1:] if isinstance(layer, Model) and layer._built else layer._input_shape
            if shape is not None:
                start = InputLayer(shape).output
        assert self._stack.layers is not None
        if start is not None:
            end = start if self._ends is None else self._ends[1][0]
            self._ends = (start, [_single(layer(end), f"what layer {layer.name!r} gave")])
        else:
            self._ends = None  # built from data, which the next data do again
        self._start = start
        self._stack.layers.append(layer)
        self._core, self.built = None, self._ends is not None

    def pop(self, rebuild: bool = True) -> Layer:
        """Takes the last layer away and returns it.

        Raises:
            ValueError: there is none.
        """
        if not self._stack.layers:
            raise ValueError("there is no layer to take away")
        layer = self._stack.layers.pop()
        self._core, self._ends = None, None
        if self._start is not None and self._stack.layers:
            self._run(self._start)
        self.built = self._ends is not None
        return layer

    def _run(self, tensor: Tensor) -> None:
        end = tensor
        for layer in self.layers:
            end = _single(layer(end), f"what layer {layer.name!r} gave")
        self._ends = (tensor, [end])

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Makes the network for inputs of a shape, the batch included."""
        if self._core is not None:
            return
        if not self.layers:
            raise ValueError(f"model {self.name!r} has no layers yet")
        if self._ends is None:
            if input_shape is None:
                raise ValueError("input_shape is missing: the first layer does not say it")
            self._run(InputLayer(batch_shape=batched(input_shape)).output)
        assert self._ends is not None
        self._connect(*self._ends)

    @property
    def _handle(self) -> _swiftcnn.Model:
        if self._core is None and self._ends is not None:
            self.build()
        return super()._handle

    @property
    def _built(self) -> bool:
        return self._core is not None or self._ends is not None

    def _prepare(self, x: ArrayLike) -> None:
        if self._ends is None:
            super()._prepare(x)


class EfficientNet(Model):
    """An EfficientNet of any width, depth and resolution (Tan and Le 2019, section 3.3).

    Args:
        model_name: the base: the stages, and what is scaled.
        options: the arguments of ``create_model``, as ``width_coefficient``.
    """

    def __init__(self, model_name: str = "efficientnet_b0", **options: Any) -> None:
        core = create_model(model_name, **options)._handle
        super().__init__(name=core.name())
        self._set_core(core)


class Node(Layer):
    """A layer of a model that was made by name or read from a file.

    Attributes:
        operation: what is computed, as ``"conv2d"``.
        attributes: its constants, as ``{"stride": [1, 1]}``.
    """

    def __init__(self, model: Model, row: Mapping[str, Any], weights: Sequence[Parameter]) -> None:
        super().__init__(name=row["name"])
        self.operation: str = row["operation"]
        self.attributes: dict[str, Any] = row["attributes"]
        self.built = True
        self._owner = (model,)  # not among the layers of this one
        self._operands: list[str] = row["operands"]
        self._rows = weights

    @property
    def input(self) -> Any:
        """The tensor it reads, or a list of them."""
        model = self._owner[0]
        parameters = {row.name for row in model.parameters}
        tensors = [_tensor(model, name) for name in self._operands if name not in parameters]
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def output(self) -> Tensor:
        """What it gives."""
        return _tensor(self._owner[0], self.name)

    @property
    def weights(self) -> list[Variable]:
        """The weights in Keras's order."""
        names = {"normalization_scale": "gamma", "normalization_shift": "beta", "weight": "kernel", "bias": "bias"}
        result = []
        for row in self._rows:
            name = names.get(row.role) or row.name.rpartition(".")[2].replace("running_var", "running_variance")
            depthwise = row.role == "weight" and self.attributes.get("groups", 1) > 1 and row.shape[1] == 1
            result.append(
                Variable(
                    self._owner[0]._handle,
                    row.name,
                    name.replace("running", "moving"),
                    self.name,
                    row.shape,
                    self.attributes["groups"] if depthwise else None,
                )
            )
        return result

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights."""
        flags = {row.name: row.trainable for row in self._owner[0].parameters}
        learned = [flags[row.name] for row in self._rows if row.role != "statistic"]
        return any(learned) if learned else self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = boolean(value, "trainable")
        for row in self._rows:
            if row.role != "statistic":
                self._owner[0]._handle.set_trainable(_literally(row.name), value)

    def _sublayers(self) -> Iterator[Layer]:
        return iter(())

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(
            f"layer {self.name!r} is a part of model {self._owner[0].name!r} and cannot be applied by itself; "
            "go on from its output, or apply the model"
        )

    def get_config(self) -> dict[str, Any]:
        """The operation and its constants."""
        return {"name": self.name, "trainable": self.trainable, "operation": self.operation, **self.attributes}


# ----------------------------------------------------------------------------------------------------- from the library


def create_model(
    name: str,
    weights: Path | None = None,
    input_shape: Sequence[int | None] | None = None,
    classes: int = 1000,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: str | None = "softmax",
    dropout: float | None = None,
    drop_path: float | None = None,
    *,
    width_coefficient: float | None = None,
    depth_coefficient: float | None = None,
    resolution_coefficient: float | None = None,
    compound_coefficient: float | None = None,
    divisor: int | None = None,
    stages: Sequence[Mapping[str, Any]] | Sequence[int] | None = None,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Model:
    """Builds a model by name.

    Args:
        name: one of ``list_models()``; ``"efficientnet-b0"`` and ``"EfficientNetB0"`` are understood too.
        weights: a safetensors file with parameters of the same names and shapes; None initialises at random.
        input_shape: (height, width, channels); None is the builder's published resolution, (None, None, 3) any size.
        classes: the length of the output.
        include_top: without it the model ends with the last feature map.
        pooling: ``"avg"`` or ``"max"`` over that feature map.
        classifier_activation: ``"softmax"``, ``"sigmoid"``, or None for logits.
        dropout: the rate before the classifier; None is the builder's own.
        drop_path: the rate of stochastic depth; None is the builder's own.
        width_coefficient: what the numbers of channels are multiplied by (Tan and Le 2019, section 3.3).
        depth_coefficient: what the numbers of blocks are multiplied by.
        resolution_coefficient: what the published resolution is multiplied by, where ``input_shape`` is None.
        compound_coefficient: all three at once: 1.1, 1.2 and 1.15 to its power.
        divisor: scaled numbers of channels are multiples of it.
        stages: another base table: for ResNets the numbers of blocks, for EfficientNets a dictionary a stage with
            ``kind``, ``kernel``, ``stride``, ``expand_ratio``, ``channels``, ``repeats`` and ``se_ratio``.
        seed: of the random initial values.
        mean: of the pixels, one a channel, in units of the full range 0...1.
        std: their standard deviation.

    Raises:
        ValueError: no model has this name, or an argument is outside its domain.
        OSError: ``weights`` cannot be read.
    """
    options: dict[str, object] = {
        "classes": integer(classes, "classes", minimum=1),
        "include_top": boolean(include_top, "include_top"),
        "pooling": None if pooling is None else text(pooling, "pooling"),
        "classifier_activation": None
        if classifier_activation is None
        else text(classifier_activation, "classifier_activation"),
        "dropout": None if dropout is None else number(dropout, "dropout"),
        "drop_path": None if drop_path is None else number(drop_path, "drop_path"),
        "seed": integer(seed, "seed"),
    }
    coefficients = {
        "width_coefficient": width_coefficient,
        "depth_coefficient": depth_coefficient,
        "resolution_coefficient": resolution_coefficient,
        "compound_coefficient": compound_coefficient,
    }
    for key, coefficient in coefficients.items():
        if coefficient is not None:
            options[key] = number(coefficient, key)
    if divisor is not None:
        options["divisor"] = integer(divisor, "divisor", minimum=1)
    if stages is not None:
        options["stages"] = _stages(stages)
    if weights is not None:
        options["weights"] = os.fsdecode(readable(weights, "weights"))
    if input_shape is not None:
        shape = shape_of(input_shape, "input_shape")
        if len(shape) != 3:
            raise ValueError(f"input_shape must be (height, width, channels), got {input_shape!r}")
        options["input_shape"] = list(shape)
    for key, value in (("mean", mean), ("std", std)):
        if value is not None:
            options[key] = _numbers(value, key)
    return Model._of(_swiftcnn.create_model(text(name, "name"), json.dumps(options)))


def load_model(filepath: Path) -> Model:
    """Reads a model file: the network, its parameters and, where it was saved with it, its training state.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no model file.
    """
    return Model._of(_swiftcnn.load_model(readable(filepath, "filepath")))


def list_models(pattern: str | None = None) -> list[str]:
    """The names of the models that can be built, sorted; of those that match a pattern as ``"resnet*"``."""
    return _swiftcnn.list_models(None if pattern is None else text(pattern, "pattern")).splitlines()


# ---------------------------------------------------------------------------------------------------------------- parts


def _from_bytes(contents: bytes) -> Model:
    """The model of a file's contents."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.safetensors")
        with open(path, "wb") as file:
            file.write(contents)
        return load_model(path)


def _single(tensors: object, name: str) -> Tensor:
    """The one tensor there is."""
    given = _several(tensors, name)
    if len(given) > 1:
        raise ValueError(f"{name} must be one tensor, got {len(given)}: a model has one input")
    return given[0]


def _distinct(layers: Iterable[Layer]) -> list[Layer]:
    """Each layer once; two of one name are an error."""
    result = list({id(layer): layer for layer in layers}.values())
    repeated = [name for name, times in Counter(layer.name for layer in result).items() if times > 1]
    if repeated:
        raise ValueError(f"the model has {repeated[0]!r} as the name of two layers: layer names must be unique")
    return result


def _layers_of(inputs: Tensor, calls: Sequence[tuple[Tensor, Call]], core: _swiftcnn.Model) -> Iterator[Layer]:
    """The layers of a network. A part of another model, from its input to one of its results, counts as its layers."""
    yield _input_layer(inputs)
    names = set(core.tensor_names().split("\n"))
    for _, call in calls:
        if isinstance(call.layer, Model) and call.layer._continues(call):
            for layer in call.layer.layers:
                if isinstance(layer, Node) and layer.name in names:
                    yield layer
        else:
            yield call.listed


def _input_layer(tensor: Tensor) -> Layer:
    return tensor.origin or InputLayer(batch_shape=tensor.shape, name=tensor.name)


def _pixels(inputs: Tensor, calls: Sequence[tuple[Tensor, Call]]) -> dict[str, object]:
    """How uint8 images become numbers: as the model that reads them does it, otherwise they stay as they are."""
    readers = [call.layer for _, call in calls if any(each is inputs for each in call.inputs)]
    kinds = {reader.normalization if isinstance(reader, Model) else None for reader in readers}
    if len(kinds) == 1 and (only := kinds.pop()) is not None:
        return {"mean": list(only[0]), "std": list(only[1])}
    channels = inputs.shape[-1] if inputs.ndim > 1 else 1
    if channels is None:
        raise ValueError(f"the last axis of {inputs!r}, its channels, must have a fixed size")
    return {"mean": [0.0] * channels, "std": [1 / 255] * channels}


def _several(tensors: object, name: str) -> list[Tensor]:
    """One or more tensors."""
    given = list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]
    found = [each for each in given if isinstance(each, Tensor)]
    if found and len(found) == len(given):
        return found
    raise ValueError(f"{name} must be a tensor that layers.Input or a layer gave, or a list of such, got {tensors!r}")


def same_network(inputs: Tensor, first: Any, second: Any) -> bool:
    """Whether two tensors that come from another, or two lists of such, are the same in inference."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return _structure(inputs, [first]) == _structure(inputs, [second])
    if not isinstance(first, (list, tuple)) or not isinstance(second, (list, tuple)) or len(first) != len(second):
        return False
    return all(same_network(inputs, *pair) for pair in zip(first, second, strict=True))


def _structure(inputs: Tensor, outputs: list[Tensor]) -> list[object]:
    """What a network computes in inference, without names."""
    if outputs == [inputs]:
        return ["inputs"]
    network, frozen = Network(), Network()
    network.input(inputs)
    whole = network.model(*(network.value(output) for output in outputs))
    x = frozen.input(inputs)
    values = [frozen.apply(whole, x, inference=True, tensor=name) for name in whole.output_names().split("\n")]
    if values == [x]:
        return ["inputs"]
    graph = json.loads(frozen.model(*values).graph("json"))
    number: dict[str, object] = {}
    for kind in ("inputs", "parameters"):
        for row in graph[kind]:
            number[row["name"]] = row["name"] if kind == "parameters" else kind
    result: list[object] = []
    for row in graph["nodes"]:
        operands = [number[name] for name in row["operands"]]
        number[row["name"]] = len(result)
        result.append((row["operation"], row["attributes"], operands))
    return [*result, *(number[output["value"]] for output in graph["outputs"])]


def _nodes(model: Model) -> Iterator[Node]:
    """The layers of a model of the library."""
    rows = {row.name: row for row in model.parameters}
    for row in json.loads(model.graph("json"))["nodes"]:
        yield Node(model, row, [rows[name] for name in row["operands"] if name in rows])


def _tensor(model: Model, name: str) -> Tensor:
    """A result of a model of the library."""
    if name == model.input.name:
        return model.input
    return Tensor(model._shape(name), name, Call(model, (model.input,), tensor=name))


def _literally(name: str) -> str:
    """A pattern that only this name matches."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)


def _stages(stages: Sequence[Mapping[str, Any]] | Sequence[int]) -> list[object]:
    if isinstance(stages, (str, bytes)) or not isinstance(stages, Sequence):
        raise TypeError(f"stages must be a list with an entry for each stage, got {stages!r}")
    return [dict(stage) if isinstance(stage, Mapping) else integer(stage, "stages", minimum=1) for stage in stages]


def _numbers(values: Sequence[float], name: str) -> list[float]:
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"{name} must be a list of numbers, one a channel, got {values!r}")
    return [number(value, name) for value in values]
