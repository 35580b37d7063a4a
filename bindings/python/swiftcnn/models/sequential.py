"""Models of layers one after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .. import _swiftcnn, initializers
from .._checks import ArgumentError, integer
from .._compilation import GivenSettings
from .._symbolic import Tensor
from ..layers.base import Layer, batched
from ..layers.core import Dense, InputLayer
from .kinds import KINDS
from .model import Members, Model, single

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._symbolic import Shape


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
        self._stack = Members()
        self._stack.layers = []
        self._start: Tensor | None = None
        given = [layers] if isinstance(layers, (Layer, Tensor)) else [] if layers is None else layers
        if not isinstance(given, Iterable):
            raise ArgumentError(f"layers must be a list of layers, got {layers!r}")
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
            raise ArgumentError(f"layer must be a layer, got {layer!r}")
        if isinstance(layer, InputLayer):
            if self._start is not None or self.layers:
                raise ValueError("an input must come first, and once")
            self._start = layer.output
            return
        if any(layer.name == other.name for other in self.layers):
            raise ValueError(f"the model has a layer {layer.name!r} already: layer names must be unique")
        start = self._start
        if start is None and not self.layers:
            shape = layer._input_shapes[0][1:] if isinstance(layer, Model) and layer._built else layer._input_shape
            if shape is not None:
                start = InputLayer(shape).output
        assert self._stack.layers is not None
        if start is not None:
            end = start if self._ends is None else self._ends[1][0]
            self._ends = ([start], [single(layer(end), f"what layer {layer.name!r} gave")])
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
            end = single(layer(end), f"what layer {layer.name!r} gave")
        self._ends = ([tensor], [end])

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Makes the network for inputs of a shape, the batch included.

        Raises:
            ValueError: no shape, or it is built already for another.
        """
        if input_shape is not None and self._built:
            self._check_shapes([batched(input_shape)])
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
    def _input_shapes(self) -> list[Shape]:
        return super()._input_shapes if self._ends is None else [self._ends[0][0].shape]

    @property
    def input(self) -> Any:
        """The tensor it begins with; of a model that was called with one, that tensor."""
        return super().input if self._first_call is None else self._first_call[0]

    @property
    def output(self) -> Any:
        """The tensor it ends with; of a model that was called with a tensor, what it gave."""
        return super().output if self._first_call is None else self._first_call[1]

    def reset_classifier(self, classes: int, *, seed: int = 0) -> None:
        """Replaces the last dense layer by a new one for so many classes; all else keeps its weights. The model has to
        be compiled again.

        Raises:
            ValueError: no layer is dense, or a layer with weights follows.
        """
        count, start = integer(classes, "classes", minimum=1), integer(seed, "seed")
        dense = [layer for layer in self.layers if isinstance(layer, Dense)]
        after = self.layers[self.layers.index(dense[-1]) + 1 :] if dense else []
        if not dense or any(layer.weights for layer in after):
            raise ValueError(f"model {self.name!r} does not end with a dense layer, so it has no classifier to replace")
        config = dense[-1].get_config() | {"units": count, "trainable": True}
        initializer = initializers.get(config["kernel_initializer"])
        if vars(initializer).get("seed", 0) is None:
            initializer.seed = start
        for _ in [*after, dense[-1]]:
            self.pop()
        self.add(type(dense[-1]).from_config(config | {"kernel_initializer": initializer}))
        for layer in after:
            self.add(layer)
        self._take_settings(GivenSettings())

    @property
    def _handle(self) -> _swiftcnn.Model:
        if self._core is None and self._ends is not None:
            self.build()
        return super()._handle

    @property
    def _built(self) -> bool:
        return self._core is not None or self._ends is not None

    def _prepare(self, x: ArrayLike, name: str = "x") -> None:
        if self._ends is None:
            super()._prepare(x, name)


KINDS["Sequential"] = Sequential
