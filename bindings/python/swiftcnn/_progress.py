"""The progress of training, evaluation and prediction on the standard output: a line that is redrawn in a terminal, one
line at the end (of each epoch) in a log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from ._output import is_terminal, say, terminal_width

if TYPE_CHECKING:
    from .callbacks import Logs

_REDRAW_AFTER = 0.1  # seconds
_BAR = 24  # characters


class ProgressBar:
    """Shows images/s, the loss, the metrics and the time left, where it is known how much there is to do.

    Args:
        verbose: 0 shows nothing, 1 redraws the line where the output is a terminal, 2 shows it when it is complete;
            ``"auto"`` is 1, but shows nothing of an evaluation or prediction of one batch in a log.
        task: ``"train"``, ``"test"`` or ``"predict"``.
        epochs: the number of the epoch to end with.
        samples: the images of an epoch, where that is known.
        steps: the batches of an epoch, where that is known.
    """

    def __init__(self, verbose: int | str, task: str, epochs: int, samples: int | None, steps: int | None) -> None:
        self._task = task
        self._shows = bool(verbose)
        self._redraw = verbose in (1, "auto") and is_terminal()
        self._shows_one = verbose != "auto" or task == "train" or self._redraw
        self._epochs = epochs
        self._samples = samples
        self._steps = steps
        self._drawn = 0  # characters on the line
        self.begin()

    def begin(self, epoch: int = 0, samples: int = 0, batches: int = 0) -> None:
        """An epoch begins, of which a resumed run has done so much already."""
        self._epoch = epoch
        self._began = time.perf_counter()
        self._ended: float | None = None
        self._shown = 0.0
        self._skipped = self._done = samples
        self._batches = batches

    def count(self, samples: int, logs: Logs) -> None:
        """A batch of so many images has ended."""
        self._done += samples
        self._batches += 1
        self._ended = now = time.perf_counter()
        if self._shows and self._redraw and now - self._shown >= _REDRAW_AFTER:
            self._shown = now
            width = terminal_width() - 1
            self._draw(self._with_bar(_fitted(self._parts(logs), width), width))

    def finish(self, logs: Logs) -> None:
        """The epoch has ended."""
        if self._shows and (self._shows_one or self._batches > 1):
            self._draw("  ".join(self._parts(logs, whole=True)))
            self.close()

    def close(self) -> None:
        """Leaves the line as it stands; also when training is interrupted."""
        if self._drawn:
            say("")
            self._drawn = 0

    def _share(self) -> float | None:
        """How much of the epoch is done, where that is known."""
        if self._samples:
            return self._done / self._samples
        return self._batches / self._steps if self._steps else None

    def _parts(self, logs: Logs, whole: bool = False) -> list[str]:
        """What is known of the epoch, the most important first; of a ``whole`` one how long it took, otherwise how long
        there is still to go."""
        now = time.perf_counter()
        seconds = max((self._ended or now) - self._began, 1e-9)
        parts = [f"epoch {self._epoch + 1}/{self._epochs}"] if self._task == "train" else []
        if not whole:
            parts.append(f"batch {self._batches}" + (f"/{self._steps}" if self._steps else ""))
        elif parts:
            parts.append(_duration(now - self._began))
        else:
            parts.append("1 image" if self._done == 1 else f"{self._done} images")
        parts += [f"{name} {_number(value)}" for name, value in logs.items()]
        parts.append(f"{(self._done - self._skipped) / seconds:.0f} images/s")
        share = self._share()
        if not whole and share is not None and self._done:
            gone = share * (1 - self._skipped / self._done)
            if gone > 0:
                parts.append(f"{_duration(seconds * (self._epochs - self._epoch - share) / gone)} left")
        return parts

    def _with_bar(self, line: str, width: int) -> str:
        """The line with as long a bar before it as there is room for."""
        room = min(width - len(line) - 4, _BAR)
        share = self._share()
        if room < 5 or share is None:
            return line
        filled = min(int(share * room), room)
        return f"[{'#' * filled}{'.' * (room - filled)}]  {line}"

    def _draw(self, line: str) -> None:
        if self._redraw:
            # No longer than a line, which may have become shorter.
            line, self._drawn = "\r" + line.ljust(min(self._drawn, terminal_width() - 1)), len(line)
        else:
            self._drawn = len(line)
        say(line, end="")


class StageBar:
    """The stages of a long computation, the time that it has taken and that which is left.

    Args:
        verbose: 0 shows nothing, 1 or ``"auto"`` redraws a line where the output is a terminal and else shows one for
            each stage, 2 shows one for each stage.
    """

    def __init__(self, verbose: int | str) -> None:
        self._shows = bool(verbose)
        self._redraw = verbose in (1, "auto") and is_terminal()
        self._stage, self._steps, self._done = "", 0, 0
        self._elapsed = self._left = 0.0
        self._began = self._shown = time.perf_counter()
        self._drawn = 0

    def begin(self, stage: str, steps: int, elapsed: float, left: float) -> None:
        """A stage begins, with so many steps of training; times are seconds."""
        self._stage, self._steps, self._done = stage, steps, 0
        self._elapsed, self._left, self._began = elapsed, left, time.perf_counter()
        if self._shows and not self._redraw:
            say(f"{_duration(elapsed):>8}  {stage}{f', about {_duration(left)} left' if left else ''}")
        self._draw()

    def step(self) -> None:
        """A step of training has ended."""
        self._done += 1
        if time.perf_counter() - self._shown >= _REDRAW_AFTER:
            self._draw()

    def close(self) -> None:
        """Leaves the line as it stands."""
        if self._drawn:
            say("")
            self._drawn = 0

    def _draw(self) -> None:
        if not (self._shows and self._redraw):
            return
        self._shown = now = time.perf_counter()
        spent, width = now - self._began, terminal_width() - 1
        parts = [self._stage]
        if self._steps:
            parts.append(f"step {min(self._done, self._steps)}/{self._steps}")
        parts.append(_duration(self._elapsed + spent))
        if self._left:
            parts.append(f"about {_duration(max(self._left - spent, 0))} left")
        line = _fitted(parts, width)
        say("\r" + line.ljust(min(self._drawn, width)), end="")
        self._drawn = len(line)


def _fitted(parts: list[str], width: int) -> str:
    """As many of the parts as a line has room for."""
    count = len(parts)
    while count > 1 and len("  ".join(parts[:count])) > width:
        count -= 1
    return "  ".join(parts[:count])[:width]


def _number(value: object) -> str:
    """A number with four places, and more where it is small; of an array the mean."""
    if isinstance(value, np.ndarray):
        value = float(value.mean())
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if not abs(value) or abs(value) >= 1e-3 else f"{value:.4e}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
