"""Texts as files, which are there whole or not at all."""

from __future__ import annotations

import contextlib
import os


def write_text(text: str, place: str) -> None:
    """Writes a file as UTF-8. What was there stays until all of it is written.

    Args:
        place: its path; a link goes on to where it goes.

    Raises:
        OSError: it cannot be written.
    """
    place = os.path.realpath(place)
    temporary = f"{place}.tmp-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
