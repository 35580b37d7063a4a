"""Threads of the library."""

from __future__ import annotations

from . import _swiftcnn
from ._checks import boolean, integer


def set_num_threads(count: int) -> None:
    """Sets how many threads a computation is divided over, for models used from now on.

    The default is the number of processors this process may use (affinity mask and control-group quota). The same
    number gives the same bits.

    Raises:
        ValueError: ``count`` is not in 1 to 1024.
    """
    _swiftcnn.set_num_threads(integer(count, "count", minimum=1))


def get_num_threads() -> int:
    """How many threads a computation is divided over."""
    return _swiftcnn.get_num_threads()


def set_thread_pinning(pinned: bool) -> None:
    """Says whether worker threads are bound to one processor each (the default)."""
    _swiftcnn.set_thread_pinning(boolean(pinned, "pinned"))
