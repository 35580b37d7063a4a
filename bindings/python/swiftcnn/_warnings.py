"""Warnings, those among them that the library has of a model's data."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import _swiftcnn

_PACKAGE = os.path.dirname(__file__) + os.sep


def warn(text: str) -> None:
    """Warns at the line of the user's that called the package."""
    warnings.warn(text, stacklevel=_frames_within())


def pass_on(handle: _swiftcnn.Model) -> None:
    """Warns of what a model of the library noticed, at the line of the user's that gave it the data."""
    while text := handle.warning():
        warn(text)


def _frames_within() -> int:
    """How many calls lie between here and the code outside of this package, as ``stacklevel`` counts them."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
