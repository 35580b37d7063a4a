"""What is shown on the standard output: nothing where there is none or it takes nothing. No work is lost to that."""

from __future__ import annotations

import contextlib
import os
import sys


def say(text: str, end: str = "\n") -> None:
    """Writes a text at once. It is lost where a program was started without an output, its reader has gone, its disk is
    full, or the object in its place fails in whatever way."""
    with contextlib.suppress(Exception):
        output = sys.stdout
        output.write(text + end)
        output.flush()


def is_terminal() -> bool:
    """Whether a line can be redrawn."""
    try:
        return bool(sys.stdout.isatty())
    except Exception:  # there is no output, or an object in its place that has no such method
        return False


def terminal_width() -> int:
    """The characters of a line."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except Exception:
        return 80
