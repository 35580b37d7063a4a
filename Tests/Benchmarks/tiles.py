#!/usr/bin/env python3
"""How near the convolutions of ResNet-50 in bfloat16 come to the limit of the processor's tile unit (AMX).

The limit is what products of tiles reach whose operands stay in their registers, measured by turns with the network's
profile; each waits while the other runs. Counted are the 1x1 and 3x3 layers from 56x56 to 14x14, whatever computes
them, with what they have in them of normalisation, sum and activation. `make bench-tiles`; wants an idle machine. The
exit status is 1 below the bar.
"""

import argparse
import collections
import re
import statistics
import sys
from collections.abc import Callable
from typing import Any

import inference
import report
import turns

MODEL, SIZE = "resnet50", 224
LAYER = re.compile(r"(\d+)x\d+x\d+ ([13])x\2/\d -> (\d+)x")  # Of a profile: input, kernel, output.
BAR = 0.6


def is_counted(shape: str) -> bool:
    """Whether a step is one of the layers."""
    found = LAYER.match(shape)
    return bool(found) and int(found[1]) <= 56 and int(found[3]) >= 14


def make(batch: int, threads: int) -> tuple[Callable[[int], Any], dict[str, Any]]:
    """A call that profiles the network and returns its steps of interest."""
    sys.path.append(str(turns.ROOT / "bindings" / "python"))
    import numpy
    import swiftcnn

    swiftcnn.set_num_threads(threads)
    model = swiftcnn.create_model(MODEL, dtype="bfloat16")
    x = numpy.random.default_rng(0).standard_normal((batch, SIZE, SIZE, 3), dtype=numpy.float32)

    def call(place: int) -> list[tuple[str, str, str, float, int]]:
        return [(step.layers[0], step.shape, step.algorithm, step.seconds, step.operations)
                for step in model.profile(x, repeats=5).steps if is_counted(step.shape)]

    return call, {"version": swiftcnn.__version__}


def measure(given: argparse.Namespace) -> bool:
    """Measures, and prints a table; whether the bar is reached."""
    meter = turns.Meter(given.threads, given.peak, given.patience, turns.TILE_PEAK)
    worker = turns.Worker([sys.executable, __file__, "--serve", "--batch", str(given.batch), "--threads",
                           str(given.threads)], {})
    try:
        _, values, fallen = turns.take_turns({"steps": worker}, given.rounds, {"calls": 1}, meter)
    finally:
        worker.close()
    if fallen:
        raise SystemExit(fallen["steps"])
    # By shape and algorithm: how many layers, their operations, the sum of their median times.
    rows: dict[tuple[str, str], list[float]] = collections.defaultdict(lambda: [0, 0, 0])
    for steps in zip(*values["steps"], strict=True):
        _, shape, algorithm, _, operations = steps[0]
        seconds = statistics.median(step[3] for step in steps)
        for index, value in enumerate((1, operations, seconds)):
            rows[shape, algorithm][index] += value
    limit = meter.normal * 1e9
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    table = [[shape, algorithm, f"{count:.0f}", f"{1e3 * seconds / count:.3f}", f"{1e-9 * operations / seconds:.0f}",
              f"{operations / seconds / limit:.0%}"]
             for (shape, algorithm), (count, operations, seconds) in rows.items()]
    share = total[1] / total[2] / limit
    table.append(["all", "", f"{total[0]:.0f}", "", f"{1e-9 * total[1] / total[2]:.0f}", f"{share:.0%}"])
    machine, told = inference.machine(), meter.report()
    print(f"{machine['processor']}, {machine['processors']} processors; {given.threads} threads, {MODEL} in bfloat16, "
          f"batch {given.batch}; tiles reach {meter.normal:.0f} GFLOP/s, {told['turns_below_peak']} of {told['turns']} "
          f"turns began below {meter.SHARE:.0%} of it.\n")
    print(report.table(["layer", "computed by", "layers", "ms each", "GFLOP/s", "share of the tiles' limit"], table))
    print(f"\n{share:.0%}, at least {BAR:.0%}: {report.verdict(share >= BAR)}")
    return share >= BAR


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--peak", type=float, help="GFLOP/s of the tile unit when idle; measured when not given")
    parser.add_argument("--patience", type=float, default=60, help="seconds that a turn waits for that")
    parser.add_argument("--serve", action="store_true", help="be the process that is profiled")
    given = parser.parse_args()
    if given.serve:
        turns.serve(lambda: make(given.batch, given.threads))
        return 0
    if inference.machine()["bfloat16"] != "amx_bf16":
        print("this processor has no tiles of bfloat16: there is nothing to measure")
        return 0
    if not turns.TILE_PEAK.exists():
        raise SystemExit(f"{turns.TILE_PEAK} is not built: make bench-tiles builds it")
    return int(not measure(given))


if __name__ == "__main__":
    sys.exit(main())
