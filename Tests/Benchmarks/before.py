#!/usr/bin/env python3
"""Today's package beside one that was built before: speed and memory of predictions and of training, in float32.

The one before is a folder with `swiftcnn` and its libraries in it, as a copy of `bindings/python` after `make python`
of an older commit. Each has a process of its own, and they take turns of some calls while the other is stopped, by
turns either first; a turn waits until all cores are at their peak. Then fresh processes load a file, which the older
package wrote, and predict. Run it alone on the machine: `make bench-before BEFORE=path/to/package`. The exit status
is 1 where a bar is not reached. This process stays small: the memory of the process that made another counts as that
one's too.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
from typing import Any

import inference
import packages
import report
import trainers
import turns

HERE = pathlib.Path(__file__).resolve().parent
TRAINING_BATCHES = trainers.BATCHES | {"efficientnet_b4": 4}  # The others: 16.
PARTS = ("predict", "train", "start")
STARTED = inference.STARTED
SPEED_BAR = 0.98  # The time before over today's.
MEMORY_BAR = 1.02  # The largest memory of today's process over that of the one before.


class Bench:
    """What a run measures, and what it found."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.packages: dict[str, pathlib.Path] = {
            "before": given.before.resolve(), "today": turns.ROOT / "bindings" / "python"}
        self.folder: pathlib.Path = given.folder.resolve()
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        self.meter = turns.Meter(given.threads, given.peak, given.patience)
        self.calls: list[list[str]] = []
        self.starts: list[list[str]] = []
        self.notes: list[str] = []
        self.below = 0

    def environment(self, name: str) -> dict[str, str]:
        """What tells the packages apart; with Python's own cache of compiled modules."""
        told = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        return told | {"PYTHONPATH": str(self.packages[name]), "OMP_NUM_THREADS": str(self.given.threads)}

    def check(self, name: str, package: str) -> None:
        """The package that was imported is the one that was meant."""
        if pathlib.Path(package).resolve().parents[1] != self.packages[name].resolve():
            raise turns.Failure(f"{package} was imported, not what is in {self.packages[name]}")

    def cell(self, part: str, model: str, batch: int) -> None:
        """Calls of both packages."""
        title = f"{model}, {'a step of' if part == 'train' else 'batch'} {batch}"
        command = [sys.executable, str(HERE / "packages.py"), part, model, "--batch", str(batch), "--threads",
                   str(self.given.threads)]
        workers: dict[str, turns.Worker] = {}
        try:
            for name in self.packages:
                log = self.folder / "logs" / f"{name}-{part}-{model}-{batch}.log"
                try:
                    workers[name] = turns.Worker(command, self.environment(name), log)
                    self.check(name, workers[name].about["package"])
                except turns.Failure as failure:
                    raise turns.Failure(f"{name}: {failure}") from None
            seconds, memory, fallen = turns.take_turns(
                workers, self.given.rounds, {"calls": self.given.calls, "seconds": self.given.seconds}, self.meter)
            if fallen:
                raise turns.Failure("; ".join(f"{name}: {why}" for name, why in fallen.items()))
        except turns.Failure as failure:
            self.fail(title, failure)
            return
        finally:
            for worker in workers.values():
                worker.close()
        before, today = (turns.spread(seconds[name], batch)["median_ms"] for name in self.packages)
        mb_before, mb_today = (max(memory[name]) for name in self.packages)
        speed, growth = before / today, mb_today / mb_before
        self.add(self.calls, speed >= SPEED_BAR and growth <= MEMORY_BAR,
                 title, f"{before:.2f}", f"{today:.2f}", f"{speed:.3f}", f"{mb_before:.0f}", f"{mb_today:.0f}",
                 f"{growth:.3f}")

    def start(self, model: str) -> None:
        """Fresh processes of both packages, by turns."""
        file = self.folder / f"{model}.before.safetensors"
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in self.packages}
        program = [str(HERE / "startup.py"), "swiftcnn", str(file), str(packages.SIZES[model]), str(self.given.threads)]
        try:
            self.run("before", [str(HERE / "packages.py"), "save", model, "--file", str(file)])
            for number in range(self.given.starts + 1):
                for name in (list(found), list(found)[::-1])[number % 2]:
                    self.meter.wait()
                    answer = json.loads(self.run(name, program))
                    self.check(name, answer["package"])
                    if number:  # The first of each fills the system's cache of files.
                        found[name].append(answer)
        except turns.Failure as failure:
            self.fail(f"{model}, fresh processes", failure)
            return
        for key, measure, scale, bar, what in (
                ("seconds", "ms", 1e3, report.NOISE, "from import to first prediction"),
                ("first_seconds", "ms", 1e3, report.NOISE, "the first prediction beyond another"),
                ("peak_mb", "MB", 1, MEMORY_BAR, "memory")):
            before, today = (scale * statistics.median(row[key] for row in found[name]) for name in self.packages)
            self.add(self.starts, today / before <= bar, f"{model}, {what}", f"{before:.1f} {measure}",
                     f"{today:.1f} {measure}", f"{today / before:.3f}", f"at most {bar}")

    def run(self, name: str, program: list[str]) -> str:
        """What a program says with a package."""
        done = subprocess.run([sys.executable, *program], env=self.environment(name), capture_output=True, text=True)
        if done.returncode:
            raise turns.Failure(f"{name}: {(done.stderr.strip() or 'it ended').splitlines()[-1]}")
        return done.stdout

    def add(self, rows: list[list[str]], passes: bool, *row: str) -> None:
        """A row of a table, said at once."""
        self.below += not passes
        rows.append([*row, report.verdict(passes)])
        print("  ".join(rows[-1]), flush=True)

    def fail(self, title: str, failure: turns.Failure) -> None:
        """What could not be measured reaches no bar."""
        self.below += 1
        self.notes.append(f"- {title}: {failure}")
        print(self.notes[-1], flush=True)

    def measure(self) -> None:
        """Measures everything."""
        for model in self.given.models:
            if "predict" in self.given.parts:
                for batch in (1, inference.LARGE_BATCH.get(model, 32)):
                    self.cell("predict", model, batch)
            if "train" in self.given.parts:
                self.cell("train", model, TRAINING_BATCHES.get(model, 16))
            if "start" in self.given.parts and model in STARTED:
                self.start(model)

    def markdown(self) -> str:
        """The tables."""
        machine, meter = inference.machine(), self.meter.report()
        calls = ["ms an image", "before", "today", f"before / today, at least {SPEED_BAR}", "MB before", "MB today",
                 f"today / before, at most {MEMORY_BAR}", ""]
        starts = ["a fresh process", "before", "today", "today / before", "bar", ""]
        parts = [
            f"{machine['processor']}, {machine['processors']} processors, Linux {machine['kernel']}; "
            f"{self.given.threads} thread{'s' * (self.given.threads > 1)}, float32, medians.",
            *(report.table(head, rows) for head, rows in ((calls, self.calls), (starts, self.starts)) if rows),
            f"{meter['turns_below_peak']} of {meter['turns']} turns began below {turns.Meter.SHARE:.0%} of the peak of "
            f"{meter['normal_gflops']:.0f} GFLOP/s.",
            "\n".join(self.notes),
            f"{self.below} below their bars." if self.below else "All reach their bars."]
        return "\n\n".join(part for part in parts if part) + "\n"


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=pathlib.Path, help="a folder with the package that was built before")
    parser.add_argument("--models", nargs="+", choices=packages.SIZES, default=list(inference.SIZES), metavar="MODEL",
                        help="%(choices)s; the first six when not given")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8, help="turns of each package")
    parser.add_argument("--calls", type=int, default=3, help="counted calls of a turn at least")
    parser.add_argument("--seconds", type=float, default=0.5, help="of counted calls in a turn at least")
    parser.add_argument("--starts", type=int, default=8, help="fresh processes of each package")
    parser.add_argument("--peak", type=float, help="GFLOP/s of the idle machine; measured at the start when not given")
    parser.add_argument("--patience", type=float, default=60, help="seconds that a turn waits for the machine's peak")
    parser.add_argument("--folder", type=pathlib.Path, default=turns.ROOT / "build" / "bench", help="of files and logs")
    parser.add_argument("--markdown", type=pathlib.Path, help="a file for the tables")
    return parser.parse_args()


def main() -> int:
    if not turns.FMA_PEAK.exists():
        raise SystemExit(f"{turns.FMA_PEAK} is not built: make bench-before builds it")
    bench = Bench(arguments())
    if not (bench.packages["before"] / "swiftcnn" / "__init__.py").exists():
        raise SystemExit(f"{bench.given.before}: expected a folder that has the package swiftcnn in it")
    bench.measure()
    tables = bench.markdown()
    print("\n" + tables)
    if bench.given.markdown:
        bench.given.markdown.write_text(tables)
    return int(bench.below > 0)


if __name__ == "__main__":
    sys.exit(main())
