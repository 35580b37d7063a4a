"""Pictures of the library's, SVG documents, as files."""

from __future__ import annotations

import os

from ._checks import path_of
from ._files import write_text


def save_svg(document: str, path: object, name: str) -> None:
    """Writes a picture to a file whose name ends in ``.svg``. What was there stays until all of it is written.

    Raises:
        OSError: the file cannot be written.
        ValueError, TypeError: another ending, or no path.
    """
    place = os.fsdecode(path_of(path, name))
    if not place.lower().endswith(".svg"):
        raise ValueError(f"{name} must end in .svg, got {place!r}: a browser or cairosvg make other formats of that")
    write_text(document, place)
