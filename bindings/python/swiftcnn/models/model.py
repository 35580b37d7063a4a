"""The model: a network with its layers and weights."""

from __future__ import annotations

import inspect
import json
import operator
import os
import pickle
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import numpy as np

from .. import _arrays, _swiftcnn
from .._checks import ArgumentError, boolean, integer, path_of, readable, text, type_name, unknown
from .._compilation import GivenSettings
from .._config import told
from .._interchange import is_array
from .._names import unique_name
from .._output import say
from .._symbolic import Call, Context, Made, Network, Tensor, context, parts_of, several, structured, tensors_in, within
from .._trainer import Trainer
from ..config import DTypePolicy, dtype_policy, precision
from ..layers.base import Layer, begun, shapes_in
from ..layers.core import InputLayer
from .compression import CompressionReport, compressed
from .description import KEY, Writer, from_description, is_own, keep_description
from .features import Features
from .files import copied, from_bytes, load_weights, to_bytes
from .kinds import KINDS
from .nodes import Node, nodes_of, tensor_of
from .order import Step, by_depth
from .parameters import Parameters
from .pictures import Pictures
from .precision import LayerPrecision, of_layers
from .profile import Profile, measured
from .pruning import PruningReport, pruned
from .quantization import QuantizationReport, reported
from .sparsity import SparsityReport, sparsity_reported
from .weights import WeightsReport

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._symbolic import Shape

    Path = str | os.PathLike[str]


class Members:
    """The layers of a model, out of reach of those who look for layers among attributes.

    Attributes:
        layers: those that the network was made of.
        nodes: where it was not made of layers, those that stand for its operations.
        steps: the same by the names of all they give, each with the names of what it reads.
    """

    layers: list[Layer] | None = None
    nodes: list[Layer] | None = None
    steps: dict[str, tuple[Node, list[str]]] | None = None


class Model(Trainer, Parameters, Pictures, Features, Layer):
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
        inputs: a tensor, a list of several, or a dictionary of such, whose keys are then the names of the inputs.
            Arrays for several inputs have the same number of samples.
        outputs: a tensor that layers made of it, or a list or dictionary of several: such a model can predict, but not
            be trained.

    Raises:
        ValueError: the outputs need another tensor than the inputs, or two layers have one name.
    """

    def __init__(
        self,
        inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor] | None = None,
        outputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor] | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        is_functional = type(self) is Model and inputs is not None
        Layer.__init__(
            self, name=unique_name("functional") if name is None and is_functional else name, trainable=trainable
        )
        self._core: _swiftcnn.Model | None = None
        self._ends: tuple[list[Tensor], list[Tensor]] | None = None
        self._built_for: Any = None  # the shape, or shapes, of a class of your own
        self._keys: list[str] | None = None  # of outputs that are a dictionary
        # None: that of the models or layers that it is made of.
        self._precision: str | None = None if dtype_policy().name == "float32" else dtype_policy().name
        self._members = Members()
        if (inputs is None) != (outputs is None):
            raise ValueError("inputs and outputs must be given both, or neither")
        if inputs is not None and outputs is not None:
            # Renames the inputs of the network alone.
            keys = [text(key, "inputs") for key in inputs] if isinstance(inputs, Mapping) else None
            given = [*inputs.values()] if isinstance(inputs, Mapping) else inputs
            self._connect(several(given, "inputs"), self._listed(outputs, "outputs"), keys)
            if self._freezes:
                self.trainable = False

    @classmethod
    def _of(cls, core: _swiftcnn.Model) -> Model:
        """The model of the library as an object."""
        model = Model(name=core.name())
        model._set_core(core)
        return model

    def _connect(self, inputs: list[Tensor], outputs: list[Tensor], keys: list[str] | None = None) -> None:
        """Makes the network between tensors. The inputs have names of their own, or these."""
        if len(set(inputs)) < len(inputs):
            raise ValueError("inputs has a tensor twice")
        network = Network()
        for tensor, key in zip(inputs, keys or [tensor.name for tensor in inputs], strict=True):
            network.input(tensor, key)
        values = [network.value(output) for output in outputs]
        core = network.model(*values, options={"name": self.name, "dtype": self._precision})
        core.set_preprocessing(json.dumps(_pixels(core, inputs, network.calls)))
        self._ends = (inputs, outputs)
        self._members.layers = distinct(_layers_of(inputs, _in_order(outputs, self._keys)))
        self._set_core(core)

    def _listed(self, outputs: Any, name: str) -> list[Tensor]:
        """Outputs as a list; the keys of a dictionary are remembered."""
        self._keys = [text(key, name) for key in outputs] if isinstance(outputs, Mapping) else None
        return several([*outputs.values()] if isinstance(outputs, Mapping) else outputs, name)

    def _packed(self, results: list[Any]) -> Any:
        """What there is for each output as the model gives it: alone, as a list, or by the keys of a dictionary."""
        if self._keys is not None:
            return dict(zip(self._keys, results, strict=True))
        return results[0] if len(results) == 1 else results

    @property
    def _is_network(self) -> bool:
        """Whether there is nothing but the network: no layers of Python's that it was made of."""
        return self._core is not None and self._members.layers is None and type(self).call is Model.call

    def _set_core(self, core: _swiftcnn.Model) -> None:
        self._core = core
        self.built = True
        self._adopt()
        self.set_precision(core.get_precision())
        self._take_names()

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

    def _prepare(self, x: ArrayLike, name: str = "x") -> None:
        if self._sealed is not None:
            self._check_sealed(Layer._sublayers(self))
        if self._core is None:
            self.build(_shapes_of_data(x, name))

    # ------------------------------------------------------------------------------------------------------ as a layer

    def build(self, input_shape: Any) -> None:
        """Makes the network for inputs of a shape, the batch included, as (None, 224, 224, 3); of several inputs a list
        of shapes, or a dictionary of them, whose keys are then the names of the inputs. ``call`` gets tensors likewise.

        Raises:
            ValueError: no shape, or it is built already for another.
        """
        shapes = shapes_in(input_shape)
        if self._core is not None:
            self._check_shapes(shapes)
            return
        tensors = begun(input_shape)
        with within(Context()):
            self._connect(parts_of(tensors), self._listed(self._trace(tensors), "what call returned"))
        self._built_for = structured(tensors, shapes)
        self._seal()
        if self._freezes:
            self.trainable = False

    def _check_shapes(self, shapes: list[Shape]) -> None:
        """Raises ValueError unless these are the shapes that the model is built for."""
        own = self._input_shapes

        def fits(mine: Shape, given: Shape) -> bool:
            return len(mine) == len(given) and all(a in (None, b) for a, b in zip(mine, given, strict=True))

        if len(own) != len(shapes) or not all(map(fits, own, shapes)):
            wanted, given = (each[0] if len(each) == 1 else each for each in (own, shapes))
            raise ValueError(
                f"model {self.name!r} is built for inputs of shape {wanted}; it cannot be built for {given}"
            )

    def _trace(self, inputs: Any) -> Any:
        """What ``call`` makes of tensors."""
        asks = "training" in inspect.signature(self.call).parameters
        return self._call_both_ways(inputs) if asks else self.call(inputs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the model does, in terms of layers; to be written by classes of your own."""
        if self._core is not None:
            return self(*args, **kwargs)
        raise NotImplementedError(
            f"{type(self).__name__} has no network: write a method 'call', or give Model inputs and outputs"
        )

    def _apply(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        self._check_single(args, kwargs)
        if self._core is None:
            self.build(structured(inputs, [each.shape for each in several(parts_of(inputs), "inputs")]))
        tensors = self._in_order(inputs)
        outer = context()
        inference = (outer.training if training is None else training) is False
        names = self.output_names
        results = []
        for name in names:
            call = Call(self, tuple(tensors), inference, tensor=name if len(names) > 1 else None, callers=outer.callers)
            network = Network()
            value = self._emit(network, [network.input(tensor) for tensor in tensors], call)
            results.append(Tensor(network.shape(value), self.name, call))
        packed = self._packed(results)
        if not any(tensor.is_trial for tensor in tensors):
            if self._first_call is None:
                self._first_call = (inputs, packed)
            if not outer.callers:
                Made(self, (inputs,), {}, training, packed)
        return packed

    def _in_order(self, inputs: Any) -> list[Tensor]:
        """The tensors that the model is called with, one for each of its inputs."""
        names = self.input_names
        if isinstance(inputs, Mapping):
            if set(inputs) != set(names):
                raise ValueError(f"model {self.name!r} has the inputs {names}, got {list(inputs)}")
            inputs = [inputs[name] for name in names]
        tensors = several(parts_of(inputs), "inputs")
        if len(tensors) != len(names):
            count = "one tensor" if len(names) == 1 else f"{len(names)} tensors"
            raise ValueError(
                f"model {self.name!r} takes {count}, for {', '.join(map(repr, names))}; got {len(tensors)}"
            )
        return tensors

    def _compute(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_single(args, kwargs)
        return self.predict_on_batch(x)

    def _check_single(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        if args or kwargs:
            is_single = self._core is None or len(self.input_names) == 1
            takes = "one input" if is_single else "its inputs in one list"
            raise TypeError(f"model {self.name!r} takes {takes}, and training, got also {[*args, *kwargs]}")

    def _emit(self, network: Network, operands: Sequence[int], call: Call) -> int:
        prefix = "" if self._continues(call) else f"{self.name}."
        return network.apply(self._handle, operands, call.inference, prefix, call.tensor)

    def _continues(self, call: Call) -> bool:
        """Whether a call stands for the model's own layers: a network that ends elsewhere, or goes on from one."""
        return self._is_network and self._ends is not None and list(call.inputs) == self._ends[0]

    # ------------------------------------------------------------------------------------------------------- looking

    @property
    def input(self) -> Any:
        """The tensor it begins with, or a list of several.

        Raises:
            AttributeError: the model is not built yet, as of all that follows here.
        """
        tensors = self._known("input")[0]
        return tensors[0] if len(tensors) == 1 else list(tensors)

    @property
    def output(self) -> Any:
        """The tensor it ends with, or a list or dictionary of several: ``Model(model.input,
        layers.Dense(5)(model.output))`` goes on from there."""
        return self._packed(list(self._known("output")[1]))

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors it begins with."""
        return list(self._known("inputs")[0])

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in their order; with several, ``predict`` takes a dictionary by them."""
        return [name for name, *_ in self._handle.inputs()]

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors it ends with."""
        return list(self._known("outputs")[1])

    def _known(self, name: str) -> tuple[list[Tensor], list[Tensor]]:
        """The ends, for the attribute of this name."""
        if not self._built:
            raise AttributeError(f"model {self.name!r} is not built yet, so it has no {name!r}")
        return self._tensors()

    def _tensors(self) -> tuple[list[Tensor], list[Tensor]]:
        names = self.input_names
        if self._ends is None:
            shapes = zip(names, self._input_shapes, strict=True)
            self._begin_with([InputLayer(batch_shape=shape, name=name).output for name, shape in shapes])
        assert self._ends is not None
        return self._ends

    def _begin_with(self, tensors: list[Tensor]) -> None:
        """Gives the network, before anyone asks for its inputs, these."""
        names = self.output_names
        calls = [Call(self, tuple(tensors), tensor=name if len(names) > 1 else None) for name in names]
        outputs = [Tensor(self._shape(name), self.name, call) for name, call in zip(names, calls, strict=True)]
        self._ends = (tensors, outputs)

    def _result(self, name: str | None) -> Tensor:
        """A result of the network; None is the output."""
        return self._tensors()[1][0] if name is None else tensor_of(self, name)

    def _shape(self, name: str) -> Shape:
        """The shape of a result, with None for the batch and for sizes that vary."""
        return tuple(size if size >= 0 else None for size in self._handle.tensor_shape(name))

    @property
    def input_shape(self) -> Any:
        """``(None, height, width, channels)``; None is any number. A list of shapes where there are several inputs."""
        self._known("input_shape")
        shapes = self._input_shapes
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def _input_shapes(self) -> list[Shape]:
        return [(None, *(size if size >= 0 else None for size in shape)) for _, shape, _ in self._handle.inputs()]

    @property
    def output_shape(self) -> Any:
        """The shape of what ``predict`` returns, with None for the number of images and sizes that vary; a list of
        shapes where there are several outputs."""
        self._known("output_shape")
        shapes = [self._shape(name) for name in self.output_names]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def layers(self) -> list[Layer]:
        """The layers in Keras's order: those first that are furthest from the end; of a class of your own, those among
        its attributes, as they came there."""
        if type(self).call is not Model.call:
            return distinct(Layer._sublayers(self))
        if self._members.layers is not None:
            return list(self._members.layers)
        if self._members.nodes is None:
            starts = self._tensors()[0]
            ends = [(self, name) for name in self.output_names]
            steps = self._steps_within(starts) | {start: Step(input_layer(start), ()) for start in starts}
            self._members.nodes = _with_inputs(by_depth(ends, steps), starts)
        return list(self._members.nodes)

    def _steps_within(self, starts: Sequence[Hashable]) -> dict[Hashable, Step]:
        """The layers that stand for a network's operations, by the names of their results; ``starts``: its inputs."""
        if self._members.steps is None:
            nodes = {name: node for node in nodes_of(self) for name in node._names}
            nodes |= {each["name"]: nodes[each["value"]] for each in json.loads(self.graph("json"))["outputs"]}
            self._members.steps = {name: (node, node._operands) for name, node in nodes.items()}
        known, begins = self._members.steps, dict(zip(self.input_names, starts, strict=True))
        steps: dict[int, Step] = {}
        for node, operands in known.values():
            keys = [(self, name) if name in known else begins[name] for name in operands]
            steps.setdefault(id(node), Step(node, keys))
        return {(self, name): steps[id(node)] for name, (node, _) in known.items()}

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
        """The mean and the standard deviation of pixels, one a channel, in units of the full range 0...1; of several
        inputs, those of the first image, and of the others with as many channels."""
        rule = self._rule()
        return tuple(rule["mean"]), tuple(rule["std"])

    def set_normalization(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Sets what uint8 pixels, divided by 255, are normalised with: ``(pixel / 255 - mean) / std``. A model made of
        layers takes pixels as they are (mean 0, std 1 / 255), unless it begins with another model, whose it takes over.

        Raises:
            ValueError: not one number a channel, or a deviation that is not above 0.
        """
        if mean is None or std is None:  # which there would leave them as they are
            raise ArgumentError(f"mean and std must be lists of numbers, got {mean!r} and {std!r}")
        self.set_preprocessing(mean=mean, std=std)

    def summary(
        self,
        line_length: None = None,
        positions: None = None,
        print_fn: Callable[[str], object] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: None = None,
        *,
        fused: bool = False,
    ) -> None:
        """Prints a table of layers, output shapes and parameter counts; it is as wide as it has to be, shows the
        layers of nested models, and says of weights that they are frozen.

        Args:
            print_fn: None is the standard output.
            line_length, positions, expand_nested, show_trainable, layer_range: Keras's, without effect.
            fused: adds for each layer the step of a prediction that computes it: its number, as ``profile`` counts
                them, and its algorithm. Layers with the same number are one step.
        """
        is_fused = boolean(fused, "fused")
        if not self._built:
            table = self._outline()
        elif is_fused:
            table = self._handle.fused_summary()
        else:
            table = self._handle.summary()
        (say if print_fn is None else print_fn)(table)

    @property
    def dtype_policy(self) -> DTypePolicy:
        """What predictions, evaluations and training compute in, as ``set_precision`` or the policy of the time set it;
        a model that was made of layers of another, or of the model itself, began with that one's."""
        return DTypePolicy(self._computes_in())

    def set_precision(self, dtype: str) -> None:
        """Sets what is computed in: ``"float32"``, or bfloat16 in those layers where there is an implementation that is
        no slower on this processor, as ``precision()`` lists them.

        With ``"bfloat16"`` predictions and evaluations are; ``fit`` and ``train_on_batch`` compute in float32. With
        ``"mixed_bfloat16"`` these do so too: images between layers and their gradients are stored as bfloat16, and
        products are of it. Arrays that go in and come out are float32, and so are parameters, their gradients,
        statistics, sums and what the optimizer keeps; losses need no scale. It goes with the model into copies and
        files, checkpoints included, and into models that are made of it or of its layers from then on; a run that is
        resumed in the same precision ends in the same bits, and it may be resumed in another. See ``save(dtype=...)``
        for smaller files.

        Raises:
            ValueError: there is no such precision.
        """
        self._precision = precision(dtype, "dtype")
        if self._core is not None:
            self._core.set_precision(self._precision)
            # The layers of a network by itself are made when they are asked for, and cannot be a part of another model.
            if not self._is_network:
                super()._let_compute(self._precision)

    def _let_compute(self, dtype: str) -> None:
        """A model within another has its own."""

    def _computes_in(self) -> str:
        return super()._computes_in() if self._precision is None else self._precision

    def precision(self) -> list[LayerPrecision]:
        """What each layer of a prediction is computed in and why, in the order in which they run, for one sample of the
        size that the network was built with. A layer that only gives another shape to its input is not computed. Of a
        training step ``profile(training=True).steps`` says it.

        Raises:
            ValueError: the model is not built yet.
        """
        return of_layers(self._handle)

    def _outline(self) -> str:
        """The summary before there is a network."""
        rows = [(f"{layer.name} ({type(layer).__name__})", "?", "0 (unbuilt)") for layer in self.layers]
        table = [("layer", "output", "parameters"), *rows]
        widths = [max(len(row[column]) for row in table) for column in range(3)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([f"{self.name}: not built yet", "", *lines])

    def profile(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        repeats: int = 10,
        *,
        training: bool = False,
        sample_weight: Any = None,
    ) -> Profile:
        """Times the steps of a prediction, or with ``training=True`` or ``y`` those of a training step: its forward and
        backward pass and what the optimizer does. ``print`` the result for a table: of a prediction with a row for each
        step, of a training step with a row for each layer and a column for each role, and sums of these.

        Trains nothing: weights and optimizer are copied for it. After the profile of a training step ``get_gradient``
        has to wait for the next step. The first profile of a process also measures, in about a quarter of a second,
        what the machine can do at most.

        Args:
            x: images (N, height, width, channels); None: random numbers of the size that the model takes, and
                targets that its loss takes.
            y: their targets.
            batch_size: how many of them are the batch; None is all, and 32 where there are none. Of more than a
                prediction computes at once (what fits into the caches), those that are computed first are measured.
            repeats: how often it is measured; the times are medians.
            training: whether a training step is measured; with ``x`` it needs ``y``, and with ``y`` it is in any case.
            sample_weight: (N,), with ``y``.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
            RuntimeError: it is a training step and the model is not compiled, or there is no ``x`` and the size of
                the model's images varies.
        """
        count = integer(repeats, "repeats", minimum=1)
        size = None if batch_size is None else integer(batch_size, "batch_size", minimum=1)
        trains = boolean(training, "training")
        if x is None:
            if y is not None:
                raise ValueError("y is given without x; give both, or neither for random numbers")
            if sample_weight is not None:
                raise ValueError("sample_weight is given without x and y")
            return self._synthetic_profile(trains, size, count)
        if y is None and trains:
            raise ValueError("training=True needs y for x; give both, or neither for random numbers")
        if y is not None:
            self._measured_names()
            self._settle(x, y)
            data = self._data(x, y, sample_weight)
            batch = data if size is None else data.part(slice(size))
            return measured(self._handle, lambda: self._handle.profile_training(*batch, count))
        if sample_weight is not None:
            raise ValueError("sample_weight is for the profile of a training step, which needs y")
        self._prepare(x)
        images = self._images(x)
        part = images if size is None else _arrays.part_of(images, slice(size))
        return measured(self._handle, lambda: self._handle.profile(part, count))

    def _synthetic_profile(self, training: bool, size: int | None, count: int) -> Profile:
        options = {"training": training, "repeats": count} | ({} if size is None else {"batch_size": size})
        with self._settled_for_now() if training else nullcontext():
            return measured(self._handle, lambda: self._handle.profile_synthetic(json.dumps(options)))

    def quantization_report(self, x: Any = None, reference: Model | None = None) -> QuantizationReport:
        """What a model that ``quantize`` has made computes in integers: for each step its levels, the noise of
        rounding, its share of the logits' error, type and instruction, and the floats that are left between integers.
        ``print`` the result for a table; it has ``to_json``, ``to_dict`` and ``save_chart``.

        Args:
            x: images (N, height, width, channels) that the noise is measured on, all of them; None: as it was measured
                on some of the calibration images when the model was made.
            reference: with ``x``, the model of floats that noise is measured against: the one that this one was made
                of. None: this one's own weights, without the roundings of activations.

        Raises:
            ValueError, TypeError: an argument does not fit; the message names it.
            RuntimeError: the model has no roundings.
        """
        if reference is not None and not isinstance(reference, Model):
            raise TypeError(f"reference must be a Model, got {type(reference).__name__}")
        images = None
        if x is not None:
            self._prepare(x)
            images = self._images(x)
        return reported(self._handle, images, None if reference is None else reference._handle)

    def sparsity_report(self) -> SparsityReport:
        """How many weights of each convolution and dense layer are 0, alone and in blocks of 16 output channels, and
        which layers have masks; see ``swiftcnn.sparsify``. ``print`` the result for a table; it has ``to_json`` and
        ``to_dict``."""
        return sparsity_reported(self._handle)

    def pruning_report(self) -> PruningReport:
        """What the last ``prune`` of this model, or of the one that it was cloned from, has left of each layer, and why
        it left alone what it did. ``print`` the result for a table; it has ``to_json`` and ``to_dict``. Files do not
        have it.

        Raises:
            RuntimeError: the model was not pruned.
        """
        return pruned(self._handle)

    def compression_report(self) -> CompressionReport:
        """What the ``compress`` that has made this model, or the one that it was cloned from, has found: every model on
        the way with its time, size and accuracy. ``print`` the result for a table; it has ``to_json``, ``to_dict``,
        ``chart`` and ``save_chart``. The folder of the compression has it, a model's file has not.

        Raises:
            RuntimeError: the model was not made by ``compress``.
        """
        return compressed(self._handle)

    def _prune(self, x: Any, y: Any, options: str) -> None:
        """Prunes this model itself, between two steps of training."""
        if type(self) is not Model or self._ends is not None:
            raise ValueError(
                f"model {self.name!r} consists of layers of its own; train the copy that swiftcnn.prune makes of it"
            )
        self._handle.prune(x, y, options)

    def graph(self, format: str = "text") -> str:
        """The network as ``"text"`` (one line a value), ``"dot"`` (Graphviz), ``"svg"`` (a picture, as
        ``utils.plot_model`` writes it) or ``"json"`` (as in the model file)."""
        return self._handle.graph(text(format, "format"))

    # ---------------------------------------------------------------------------------------------------- parameters

    def _learned(self) -> list[bool]:
        return [] if self._core is None else [row.trainable for row in self.parameters if row.role != "statistic"]

    def _let_train(self, trainable: bool) -> None:
        if self._core is not None and self._learned():
            self._core.set_trainable("*", trainable)
        else:
            super()._let_train(trainable)

    def reset_classifier(self, classes: int, *, seed: int = 0) -> None:
        """Replaces the last dense layer by a new one for so many classes; all else keeps its weights. The model has to
        be compiled again.

        Raises:
            ValueError: the network does not end with a dense layer, or the model is of a class of your own, whose
                layers are replaced by other means.
        """
        count, start = integer(classes, "classes", minimum=1), integer(seed, "seed")
        if type(self).call is not Model.call:
            raise ValueError(
                f"model {self.name!r} is of a class of your own: make it anew with another last layer, or go on from "
                "the output of the layer before"
            )
        self._handle.reset_classifier(count, start)
        self._handle.set_metadata(KEY, None)
        self._ends, self._keys = None, None
        self._members.layers = self._members.nodes = self._members.steps = None
        self._take_settings(GivenSettings())

    # --------------------------------------------------------------------------------------------------------- files

    def save(
        self,
        filepath: Path,
        overwrite: bool = True,
        include_optimizer: bool | None = None,
        *,
        dtype: str = "float32",
    ) -> None:
        """Writes a model file: safetensors, with the network in its metadata. It appears whole or not at all.

        Args:
            filepath: ends in ``.safetensors``, in nothing, or in ``.onnx``, which is written as ``export`` does it. An
                ending of another program's format, as ``.keras``, ``.h5`` or ``.pth``, is an error.
            overwrite: False refuses to replace a file.
            include_optimizer: the training state too, with that of the callbacks of the last ``fit``: what is loaded is
                compiled and trains on in the same bits. None: where the model is compiled and the file is float32.
                False makes a smaller file.
            dtype: what the file has of the parameters, running means and variances included. ``"bfloat16"`` makes a
                file of half the size, whose tensors are BF16 to any safetensors reader: each number is rounded to the
                nearest. The model stays as it is, and what is loaded from the file computes with exactly the rounded
                numbers, in float32.

        Raises:
            OSError: the file cannot be written.
            ValueError: the path ends as files of a format that is not written so; the message names the call. Or
                ``dtype`` is none that is written, or not ``"float32"`` with the training state or in an ONNX file.
            RuntimeError: ``include_optimizer`` is True, but the model is not compiled.
            TypeError: the ``state_dict`` of a callback of the running ``fit`` gives what cannot be stored.
        """
        path = path_of(filepath, "filepath")
        is_onnx = _swiftcnn.file_format(path, "checkpoint" if include_optimizer else "model") == "onnx"
        _check_overwriting(path, overwrite)
        keep_description(self)
        kind = type_name(dtype, "dtype")
        is_bare = include_optimizer is None and (is_onnx or kind != "float32")
        with_state = self._with_training_state(False if is_bare else include_optimizer)
        self._handle.save(path, told({"training_state": with_state, "dtype": kind}))

    def _with_training_state(self, wanted: bool | None) -> bool:
        """Whether a file gets the training state, which then has that of the callbacks; None: where there is one."""
        if wanted is None:
            wanted = self.compiled and not self._given.is_due
        if boolean(wanted, "include_optimizer"):
            self._store_callbacks()
        return wanted

    def export(
        self,
        filepath: Path,
        format: str = "onnx",
        verbose: bool | None = None,
        *,
        layout: str = "nhwc",
        pixels: bool = False,
    ) -> None:
        """Writes the network as it predicts, with its weights, as an ONNX file (operator set 17, any batch size) for
        other programs to run. It appears whole or not at all.

        Args:
            format: ``"onnx"``, the one there is.
            verbose: Keras's, without effect.
            layout: how images stand at the model's input and output: ``"nhwc"`` as here, or ``"nchw"``, (batch,
                channels, height, width), as PyTorch's.
            pixels: True: the ONNX model takes uint8 pixels and normalises them itself. False: it takes the float32 that
                come out of that, ``(pixel / 255 - mean) / std``.

        Raises:
            OSError: the file cannot be written.
            ValueError: the network has a layer that no ONNX operation is.
            RuntimeError: libswiftcnn_onnx.so is not installed.
        """
        if text(format, "format") != "onnx":
            raise ValueError(f"format must be 'onnx', got {format!r}")
        self._handle.export_onnx(path_of(filepath, "filepath"), told({"layout": layout, "pixels": pixels}))

    def save_weights(
        self, filepath: Path, overwrite: bool = True, *, naming: str | None = None, dtype: str = "float32"
    ) -> None:
        """Writes the weights alone, whole or not at all.

        Args:
            filepath: with the ending ``.pth``, ``.pt`` or ``.bin`` a ``state_dict`` that ``torch.load`` reads, else
                safetensors. The ending of a format that is not written, as ``.h5``, is an error.
            overwrite: False refuses to replace a file.
            naming: how the tensors are called: ``"torchvision"``, ``"timm"``, ``"efficientnet_pytorch"`` or
                ``"huggingface"``, so that such a model takes them, or ``"native"``, as here. None is the last, and a
                safetensors file then holds the network too: it is a model file, from which layers with other names can
                be loaded in their order.
            dtype: what the file has of them, ``"float32"`` or ``"bfloat16"``, as of ``save``.

        Raises:
            OSError: the file cannot be written.
            ValueError: the model's layers have no names by this convention, the path ends as files of another format,
                or ``dtype`` is none that is written.
        """
        path = path_of(filepath, "filepath")
        if naming is None and _swiftcnn.file_format(path, "weights") == "safetensors":
            return self.save(filepath, overwrite, include_optimizer=False, dtype=dtype)
        _check_overwriting(path, overwrite)
        options = {"dtype": type_name(dtype, "dtype")}
        if naming is not None:
            options["naming"] = text(naming, "naming")
        self._handle.save_weights(path, told(options))

    def load_weights(self, filepath: Path, skip_mismatch: bool = False, *, strict: bool = True) -> WeightsReport:
        """Replaces the parameters by those of a file: safetensors, PyTorch's ``.pth`` (of which only tensors are read,
        no code is run), several such files by their ``*.index.json`` or their folder, or Keras's ``.keras``,
        ``.weights.h5`` and ``.h5`` where h5py is installed, whose layers are told by the names that somebody gave them,
        otherwise by Keras's order.

        Names may be those of torchvision, timm, efficientnet_pytorch, Hugging Face's transformers or this library,
        behind any prefix; in a checkpoint they are found wherever they lie, averaged ones first. Where they are others,
        as those of layers that got theirs automatically, a model file's parameters are taken in Keras's order, each of
        the same role and shape. Where the file's classifier has another number of classes, the model's keeps its
        values, with a warning.

        Args:
            filepath: the file.
            skip_mismatch: Keras's name for ``strict=False``.
            strict: whether it is an error that something is missing, left over or misshapen; a first convolution for
                images of other channels is converted by timm's rule, with a warning. False takes what fits as it
                stands, with a warning that counts the rest; that nothing fits is an error.

        Returns:
            What was loaded, from where in the file, and what not.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is damaged or does not fit, with a list; the model is unchanged.
        """
        is_strict = boolean(strict, "strict") and not boolean(skip_mismatch, "skip_mismatch")
        return load_weights(self, readable(filepath, "filepath"), is_strict)

    def clone(self) -> Model:
        """A second, independent model of the same layers, with the same weights and training state.

        A class of your own is made anew with ``from_config(get_config())``; where that does not give the same network,
        the copy is a functional model of its layers, with a warning that says so.
        """
        return copied(self) if self._built else super().__copy__()

    def __copy__(self) -> Model:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        import copy  # at this place, since most never need it

        if self._built:
            return self.clone()
        other = object.__new__(type(self))
        memo[id(self)] = other
        vars(other).update(copy.deepcopy(self.__getstate__(), memo))
        return other

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if not self._built:
            return super().__reduce_ex__(protocol)
        contents, objects = to_bytes(self)
        # From protocol 5 on, those who share memory between processes may do so with the file.
        data = contents if operator.index(protocol) < 5 else pickle.PickleBuffer(contents)
        return from_bytes, (data, objects, self._given)

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` makes the same model of, with other weights: the layers and how they are connected; of a
        class of your own the arguments that the object was made with.

        Raises:
            ValueError: a part of it cannot be told.
        """
        if not is_own(type(self)):
            return super().get_config()
        return {"name": self.name, "trainable": self.trainable, **Writer().written(self)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """The model that ``get_config`` told, with weights of its own.

        Args:
            custom_objects: classes and functions of your own by name.
        """
        if not is_own(cls):
            return super().from_config(config)
        model = from_description(config, custom_objects)
        if not isinstance(model, cls):
            raise ValueError(f"config is that of a {type(model).__name__}, not of a {cls.__name__}")
        return model

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
        model: Model = KINDS["create_model"](model_name, weights, input_shape, classes, include_top, pooling, **options)
        return model

    def __repr__(self) -> str:
        if self._core is None:
            return f"<{type(self).__name__} {self.name!r}, not built>"
        return f"<{type(self).__name__} {self.name!r} {self.input_shape} -> {self.output_shape}>"


KINDS["Model"] = Model


def _check_overwriting(path: str | bytes, overwrite: bool) -> None:
    if not boolean(overwrite, "overwrite") and os.path.exists(path):
        raise FileExistsError(f"filepath: {os.fsdecode(path)} exists, and overwrite is False")


def _shapes_of_data(x: Any, name: str) -> Any:
    """What to build a model for that sees these data first: arrays in a dictionary, or in a list that cannot be one
    array, are several inputs."""
    several = isinstance(x, Mapping)
    if isinstance(x, (list, tuple)) and len(x) > 1 and all(map(is_array, x)):
        several = len({np.shape(each)[1:] for each in x}) > 1
    shapes = [_arrays.numeric(each, name).shape for each in (parts_of(x) if several else [x])]
    for shape in shapes:
        if len(shape) < 2:
            raise ValueError(f"{name}: expected images (N, height, width, channels), got shape {shape}")
    batched_shapes = [(None, *shape[1:]) for shape in shapes]
    return structured(x, batched_shapes) if several else batched_shapes[0]


def single(tensors: object, name: str) -> Tensor:
    """The one tensor there is."""
    given = several(tensors, name)
    if len(given) > 1:
        raise ValueError(f"{name} must be one tensor, got {len(given)}")
    return given[0]


def distinct(layers: Iterable[Layer]) -> list[Layer]:
    """Each layer once; two of one name are an error."""
    result = list({id(layer): layer for layer in layers}.values())
    repeated = [name for name, times in Counter(layer.name for layer in result).items() if times > 1]
    if repeated:
        raise ValueError(f"the model has {repeated[0]!r} as the name of two layers: layer names must be unique")
    return result


def _layers_of(inputs: list[Tensor], outputs: Sequence[Tensor]) -> list[Layer]:
    """The layers of a network, in Keras's order. A part of another model, from its inputs to one of its results, counts
    as its layers."""
    steps: dict[Hashable, Step] = {tensor: Step(input_layer(tensor), ()) for tensor in inputs}
    calls: dict[Made, Step] = {}

    def key(tensor: Tensor) -> Hashable:
        """What stands for a tensor: of the results in the middle of a model there is one whenever somebody asks."""
        call = tensor.call
        if tensor not in inputs and call is not None and isinstance(call.layer, Model) and call.layer._continues(call):
            return (call.layer, call.tensor or call.layer.output_names[0])
        return tensor

    needed = list(outputs)
    while needed:
        tensor = needed.pop()
        here, call, made = key(tensor), tensor.call, tensor.made
        if here in steps or call is None:
            continue
        if here is not tensor and isinstance(call.layer, Model):
            steps |= call.layer._steps_within([key(each) for each in call.inputs])
            needed.extend(call.inputs)
            continue
        given = call.inputs if made is None else tuple(tensors_in([made.args, made.kwargs]))
        step = Step(call.listed, [key(each) for each in given])
        steps[here] = step if made is None else calls.setdefault(made, step)
        needed.extend(given)
    return _with_inputs(by_depth([key(tensor) for tensor in outputs], steps), inputs)


def _with_inputs(layers: list[Layer], inputs: list[Tensor]) -> list[Layer]:
    """The layers, and those of inputs that no output depends on."""
    begins = {each.name for each in layers if isinstance(each, InputLayer)}
    return [*layers, *(input_layer(tensor) for tensor in inputs if tensor.name not in begins)]


def _in_order(outputs: list[Tensor], keys: list[str] | None) -> list[Tensor]:
    """Outputs as Keras goes through them: those of a dictionary by their keys."""
    if keys is None:
        return outputs
    return [output for _, output in sorted(zip(keys, outputs, strict=True), key=operator.itemgetter(0))]


def input_layer(tensor: Tensor) -> Layer:
    return tensor.origin or InputLayer(batch_shape=tensor.shape, name=tensor.name)


def _pixels(core: _swiftcnn.Model, inputs: list[Tensor], calls: Sequence[tuple[Tensor, Call]]) -> dict[str, object]:
    """How pictures become numbers: as the model that reads them does it, otherwise their pixels stay as they are."""
    images = [tensor for tensor, (*_, takes_pixels) in zip(inputs, core.inputs(), strict=True) if takes_pixels]
    readers = [call.layer for _, call in calls if any(each in images for each in call.inputs)]
    kinds = {reader._handle.preprocessing() if isinstance(reader, Model) else None for reader in readers}
    channels = len(json.loads(core.preprocessing())["mean"])
    if len(kinds) == 1 and (only := kinds.pop()) is not None:
        found: dict[str, Any] = json.loads(only)
        if len(found["mean"]) == channels:
            return found
    return {"mean": [0.0] * channels, "std": [1 / 255] * channels}
