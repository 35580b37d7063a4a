"""Engines that take turns on one machine: each in a process of its own, stopped while another is measured.

Within one process the spinning threads of one engine would be measured with the other; running beside each other they
would share the processor. The driver (`Worker`, `take_turns`) and a worker's process (`serve`) talk in lines of JSON.
"""

import collections
import contextlib
import ctypes
import json
import os
import pathlib
import select
import signal
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
FMA_PEAK = ROOT / "build" / "fma_peak"
TILE_PEAK = ROOT / "build" / "tile_peak"
PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """Why an engine cannot take part."""


class Worker:
    """An engine's process, stopped whenever it is not answering.

    Raises:
        Failure: it did not start.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: pathlib.Path | None = None,
                 patience: float = 1800) -> None:
        self._log = log
        self._patience = patience
        errors = open(log, "w") if log else None
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, **environment})
        if errors:
            errors.close()
        self.about: dict[str, Any] = self._answer()
        self._process.send_signal(signal.SIGSTOP)

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request; the process runs until it is there.

        Raises:
            Failure: the process ended, or said why it could not.
        """
        self._process.send_signal(signal.SIGCONT)
        with contextlib.suppress(OSError):  # It has ended; what it left behind says why.
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        answer = self._answer()
        self._process.send_signal(signal.SIGSTOP)
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # What could not be written cannot be flushed.
                pipe.close()

    def _answer(self) -> dict[str, Any]:
        try:
            if not select.select([self._process.stdout], [], [], self._patience)[0]:
                raise Failure(f"no answer in {self._patience:.0f} s")
            line = self._process.stdout.readline()
            if not line:
                raise Failure(self._last_words())
            answer = json.loads(line)
            if "error" in answer:
                raise Failure(answer["error"])
            return answer
        except BaseException:
            self.close()
            raise

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n") if self._log else []
        said = [line.strip() for line in lines if line.strip()]
        return f"ended with status {self._process.wait()}" + (f": {said[-1]}" if said else "")


def serve(make: Callable[[], tuple[Callable[[int], Any], dict[str, Any]]]) -> None:
    """What a worker's process does: it makes an engine, then answers requests for calls of it.

    Args:
        make: gives a function that makes one call and returns something for JSON, or None, and a description for the
            driver. The function is given the place of the call in its turn.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Some engines print.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # Stopped, it would outlive a driver that is killed.
    try:
        call, about = make()
        print(json.dumps(about), file=answers)
        for line in sys.stdin:
            request = json.loads(line)
            seconds, values = [], []
            while len(seconds) <= request["calls"] or sum(seconds[1:]) < request.get("seconds", 0):
                start = time.perf_counter()
                value = call(len(seconds))
                seconds.append(time.perf_counter() - start)
                if value is not None:
                    values.append(value)
            # The first call finds caches and threads as another engine left them.
            print(json.dumps({"seconds": seconds[1:], "values": values}), file=answers)
    except Exception as error:
        traceback.print_exc()
        said = str(error).strip().split("\n")[0]
        print(json.dumps({"error": f"{type(error).__name__}: {said}"[:300]}), file=answers)


class Meter:
    """Says when the machine is at its peak, by a short program that multiplies and adds on all cores of interest.

    Args:
        threads: of the engines; two cores at least are looked at, since one thread may be on either.
        normal: the peak in GFLOP/s; None: what most of a second's readings reach, or more where later ones show it.
        patience: seconds that a turn waits before it goes on all the same.
    """

    SHARE = 0.95

    def __init__(self, threads: int, normal: float | None = None, patience: float = 60,
                 program: pathlib.Path = FMA_PEAK) -> None:
        self._command = [str(program), str(max(2, threads))]
        self._patience = patience
        self._readings: collections.deque[float] = collections.deque(maxlen=15)
        self.normal = normal or 0.0
        self._learns = normal is None
        if self._learns:
            self.normal = statistics.quantiles([self.read() for _ in range(30)], n=10)[-1]
        self.waited = 0.0
        self.turns = 0
        self.turns_below = 0

    def read(self) -> float:
        """The peak now, in GFLOP/s."""
        reading = float(subprocess.run(self._command, capture_output=True, text=True, check=True).stdout)
        self._readings.append(reading)
        if self._learns and len(self._readings) == self._readings.maxlen:  # It may have begun in a bad second.
            self.normal = max(self.normal, statistics.median(self._readings))
        return reading

    def wait(self) -> None:
        """Returns when the machine is at its peak, or patience is at its end."""
        begin = time.monotonic()
        self.turns += 1
        while self.read() < self.SHARE * self.normal:
            if time.monotonic() - begin >= self._patience:
                self.turns_below += 1
                break
            time.sleep(0.2)
        self.waited += time.monotonic() - begin

    def report(self) -> dict[str, float]:
        """For the results."""
        return {"normal_gflops": round(self.normal, 1), "turns": self.turns, "turns_below_peak": self.turns_below,
                "seconds_waited": round(self.waited, 1)}


def take_turns(workers: Mapping[str, Worker], rounds: int, request: Mapping[str, Any], meter: Meter | None,
               ) -> tuple[dict[str, list[float]], dict[str, list[Any]], dict[str, str]]:
    """Lets each worker answer the request in each round.

    Returns:
        The seconds of the calls that count and the values of all, and why a worker fell out; all by the worker's name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    values: dict[str, list[Any]] = {name: [] for name in workers}
    fallen: dict[str, str] = {}
    names = list(workers)
    for number in range(rounds):
        shift = number % len(names) if names else 0  # Not always the same one before.
        for name in names[shift:] + names[:shift]:
            if name in fallen:
                continue
            if meter:
                meter.wait()
            try:
                answer = workers[name].ask(request)
            except Failure as failure:
                fallen[name] = str(failure)
                continue
            seconds[name] += answer["seconds"]
            values[name] += answer["values"]
    return seconds, values, fallen


def spread(seconds: Sequence[float], images: int = 1) -> dict[str, float]:
    """Milliseconds an image: the median, the fastest, the slowest, and the quartiles' distance over the median."""
    times = [1e3 * second / images for second in seconds]
    median = statistics.median(times)
    lower, _, upper = statistics.quantiles(times, n=4) if len(times) > 1 else (median,) * 3
    return {"median_ms": median, "fastest_ms": min(times), "slowest_ms": max(times), "calls": len(times),
            "quartile_spread": (upper - lower) / median}
