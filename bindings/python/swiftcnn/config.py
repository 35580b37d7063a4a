"""What models compute in, by Keras's names: ``swiftcnn.config.set_dtype_policy("mixed_bfloat16")``."""

from __future__ import annotations

from typing import Any

from ._checks import type_name, unknown
from ._config import Described
from ._described import options

__all__ = ["DTypePolicy", "dtype_policy", "set_dtype_policy"]
__dir__ = __all__.copy


def precision(value: object, name: str) -> str:
    """The name of what a model can compute in, given as text, as a type of another library's, or as a policy."""
    found = type_name(value, name)
    if found == "float32":
        return found  # without reading the description, which takes a megabyte and every model would wait for
    known = options("model")["dtype"]["choices"]
    if found not in known:
        raise unknown(name, found, known)
    return found


class DTypePolicy(Described):
    """What models compute in.

    Args:
        name: ``"float32"``, ``"bfloat16"`` or ``"mixed_bfloat16"``, as ``Model.set_precision`` takes it.

    Attributes:
        name: as given.
        variable_dtype: of the parameters: ``"float32"``, whatever is computed in.

    Raises:
        ValueError: there is no such policy.
    """

    name: str
    variable_dtype = "float32"

    def __init__(self, name: Any) -> None:
        self.name = precision(name, "name")

    @property
    def compute_dtype(self) -> str:
        """What predictions and evaluations compute in: the name, without ``mixed_``."""
        return self.name.removeprefix("mixed_")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


_policies = {"global": DTypePolicy("float32")}


def dtype_policy() -> DTypePolicy:
    """What models compute in that are made from now on, by name or of layers: ``"float32"`` unless it was set."""
    return _policies["global"]


def set_dtype_policy(policy: Any) -> None:
    """Sets what models compute in that are made from now on, by name or of layers; those that are there, and those that
    are read from files, stay as they are.

    Args:
        policy: ``"float32"``; ``"bfloat16"`` for predictions, with training in float32; ``"mixed_bfloat16"`` for both,
            with parameters, their gradients and statistics in float32; or a ``DTypePolicy``.

    Raises:
        ValueError: there is no such policy.
    """
    _policies["global"] = DTypePolicy(precision(policy, "policy"))
