"""Pictures of the library's, SVG documents, as files."""

from __future__ import annotations

import contextlib
import os

from ._checks import path_of


def save_svg(document: str, path: object, name: str) -> None:
    """Writes a picture to a file whose name ends in ``.svg``. What was there stays until all of it is written.

    Raises:
        OSError: the file cannot be written.
        ValueError, TypeError: another ending, or no path.
    """
    place = os.fsdecode(path_of(path, name))
    if not place.lower().endswith(".svg"):
        raise ValueError(f"{name} must end in .svg, got {place!r}: a browser or cairosvg make other formats of that")
    place = os.path.realpath(place)  # a link goes on to where it goes
    temporary = f"{place}.tmp-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(document)
        os.replace(temporary, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
