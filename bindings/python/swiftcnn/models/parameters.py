"""The weights of a model by the names that they have in files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import _arrays
from .._checks import number, text, unknown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .. import _swiftcnn
    from .._arrays import Floats


class Parameter(NamedTuple):
    """What is known of a parameter beside its value.

    Attributes:
        name: as ``"layer1.0.conv1.weight"``.
        role: ``"weight"``, ``"bias"``, ``"normalization_scale"``, ``"normalization_shift"``, ``"slope"`` (of PReLU),
            ``"quantization_scale"`` (of an activation, learned) or ``"statistic"`` (a running mean or variance).
        trainable: whether training changes it.
        shape: OIHW for convolutions, (out, in) for dense layers.
    """

    name: str
    role: str
    trainable: bool
    shape: tuple[int, ...]


class Parameters:
    """What ``Model`` can do with its parameters."""

    @property
    def _handle(self) -> _swiftcnn.Model:
        """The model of the library."""
        raise NotImplementedError

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

    def _shape_of(self, name: str) -> tuple[int, ...]:
        wanted = text(name, "name")
        row = self._handle.parameter(wanted)
        if row is None:
            raise unknown("parameter", wanted, (row.name for row in self.parameters))
        return row[3]
