"""The progress of training on the standard output: a line that is redrawn in a terminal, one line an epoch in a log."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from .callbacks import Callback

if TYPE_CHECKING:
    from .callbacks import Logs

_REDRAW_AFTER = 0.1  # seconds
_BAR = 24  # characters


class ProgressBar(Callback):
    """Shows images/s, the loss, the metrics and the time left.

    Args:
        redraw: a line that is redrawn where the output is a terminal; otherwise one line an epoch.
    """

    def __init__(self, redraw: bool) -> None:
        self._redraw = redraw and sys.stdout.isatty()
        self._drawn = 0  # characters on the line

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._epochs = self._parameter("epochs")
        self._samples = self._parameter("samples")
        self._batch_size = self._parameter("batch_size")

    def _parameter(self, name: str) -> int:
        value = self.params[name]
        return value if isinstance(value, int) else 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch
        self._began = time.perf_counter()
        self._ended: float | None = None
        self._shown = 0.0
        self._skipped: int | None = None  # images of this epoch before a resumed run began
        self._done = 0

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        if self._skipped is None:
            self._skipped = batch * self._batch_size

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._done = min((batch + 1) * self._batch_size, self._samples)
        self._ended = now = time.perf_counter()
        if self._redraw and now - self._shown >= _REDRAW_AFTER:
            self._shown = now
            self._draw(self._with_bar(self._line(logs or {}), _terminal_width() - 1))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._draw(self._line(logs or {}, whole=True))
        self.end_line()

    def end_line(self) -> None:
        """Leaves the line as it stands; also when training is interrupted."""
        if self._drawn:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._drawn = 0

    def _line(self, logs: Logs, whole: bool = False) -> str:
        """What is known of the epoch; of a ``whole`` one how long it took, otherwise how long training still will."""
        now = time.perf_counter()
        rate = (self._done - (self._skipped or 0)) / max((self._ended or now) - self._began, 1e-9)
        parts = [f"epoch {self._epoch + 1}/{self._epochs}"]
        if whole:
            parts.append(_duration(now - self._began))
        else:
            parts.append(f"{self._done / max(self._samples, 1):4.0%}")
        parts.append(f"{rate:.0f} images/s")
        parts += [f"{name} {value:.4f}" for name, value in logs.items()]
        if not whole and rate > 0:
            left = (self._epochs - self._epoch) * self._samples - self._done
            parts.append(f"{_duration(left / rate)} left")
        return "  ".join(parts)

    def _with_bar(self, line: str, width: int) -> str:
        """The line with as long a bar before it as there is room for."""
        room = min(width - len(line) - 4, _BAR)
        if room < 5:
            return line[:width]
        filled = self._done * room // max(self._samples, 1)
        return f"[{'#' * filled}{'.' * (room - filled)}]  {line}"

    def _draw(self, line: str) -> None:
        if self._redraw:
            line, self._drawn = "\r" + line.ljust(self._drawn), len(line)
        else:
            self._drawn = len(line)
        sys.stdout.write(line)
        sys.stdout.flush()


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
