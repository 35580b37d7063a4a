#!/usr/bin/env python3
"""How much faster convolutions become whose weights are sparse: each layer beside the same one with all its weights, and
ResNet-50 with 90 % of its weights 0 in blocks of 16x1 beside itself and ONNX Runtime, dense.

Layers are 1x1 and 3x3 convolutions of the sizes of ResNet-50 and EfficientNet, in networks of that layer alone, whose
profiles take turns; the time is that of its step. Of networks each engine has a process of its own, and they take turns
while the others are stopped. `make bench-sparse`; wants an idle machine. The exit status is 1 where a bar is missed: a
1x1 convolution with 90 % zeros in blocks of 16x1, or 95 % anywhere, takes at most half the dense time.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import report
import turns

# Side, input channels, output channels, kernel.
LAYERS = [
    (56, 64, 256, 1), (56, 256, 64, 1), (28, 192, 192, 1), (28, 512, 128, 1), (28, 128, 512, 1), (14, 1024, 256, 1),
    (14, 256, 1024, 1), (14, 512, 1024, 1), (14, 672, 112, 1), (7, 2048, 512, 1), (7, 512, 2048, 1), (7, 1152, 320, 1),
    (56, 64, 64, 3), (28, 128, 128, 3), (14, 256, 256, 3), (7, 512, 512, 3),
]
KINDS = [("16x1", 0.8), ("16x1", 0.9), ("unstructured", 0.9), ("unstructured", 0.95), ("2:4", None)]
BARRED = [("16x1", 0.9), ("unstructured", 0.95)]
BAR = 2.0
MODEL, SIZE = "resnet50", 224


def load() -> Any:
    """The package."""
    sys.path.append(str(turns.ROOT / "bindings" / "python"))
    import swiftcnn

    return swiftcnn


def step_of(model: Any, x: Any, repeats: int) -> tuple[float, str]:
    """The seconds and the algorithm of the one convolution of a network."""
    steps = [step for step in model.profile(x, repeats=repeats).steps if "layer" in step.layers]
    return min(step.seconds for step in steps), steps[0].algorithm


def measure_layers(given: argparse.Namespace) -> bool:
    """Prints the table of layers; whether the bars are reached."""
    import numpy

    swiftcnn = load()
    swiftcnn.set_num_threads(given.threads)
    rows, reaches = [], True
    for side, inputs, outputs, kernel in LAYERS:
        shape = (side, side, inputs)
        x = numpy.random.default_rng(0).standard_normal((1, *shape), dtype=numpy.float32)
        entry = swiftcnn.Input(shape)
        layer = swiftcnn.layers.Conv2D(outputs, kernel, padding="same", activation="relu", name="layer")
        # What follows it in blocks of channels, as in a network.
        dense = swiftcnn.Model(entry, swiftcnn.layers.GlobalAveragePooling2D()(layer(entry)))
        models = {"dense": dense} | {
            (pattern, share): swiftcnn.sparsify(dense, share, pattern, include=["layer"]) for pattern, share in KINDS
        }
        seconds: dict[Any, list[float]] = {name: [] for name in models}
        algorithms: dict[Any, str] = {}
        for _ in range(given.rounds):
            for name, model in models.items():
                took, algorithms[name] = step_of(model, x, given.repeats)
                seconds[name].append(took)
        usual = statistics.median(seconds["dense"])
        cells = [f"{side}x{side}x{inputs} -> {outputs}, {kernel}x{kernel}", f"{1e3 * usual:.3f}"]
        for kind in KINDS:
            ratio = usual / statistics.median(seconds[kind])
            is_sparse = algorithms[kind].startswith("sparse")
            is_missed = kernel == 1 and kind in BARRED and ratio < BAR
            reaches = reaches and not is_missed
            cells.append(f"{ratio:.2f}" + ("" if is_sparse else " (dense)") + (" missed" if is_missed else ""))
        rows.append(cells)
        print(" | ".join(cells), flush=True)
    head = ["layer", "dense ms"] + [kind + ("" if share is None else f" {share:.0%}") for kind, share in KINDS]
    print("\n" + report.table(head, rows))
    print(f"\n1x1 with 16x1 at 90 % and unstructured at 95 %, at least {BAR:.0f} times: {report.verdict(reaches)}\n")
    return reaches


def make(engine: str, folder: pathlib.Path, threads: int) -> tuple[Callable[[int], Any], dict[str, Any]]:
    """A call that predicts one image, by an engine."""
    import numpy

    x = numpy.random.default_rng(0).standard_normal((1, SIZE, SIZE, 3), dtype=numpy.float32)
    if engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(folder / "dense.onnx"), options, providers=["CPUExecutionProvider"])
        name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
        image = numpy.ascontiguousarray(x.transpose(0, 3, 1, 2)) if shape[1] == 3 else x
        return lambda place: session.run(None, {name: image}) and None, {"version": onnxruntime.__version__}
    swiftcnn = load()
    swiftcnn.set_num_threads(threads)
    model = swiftcnn.load_model(folder / f"{engine}.safetensors")

    def call(place: int) -> None:
        model.predict(x)

    return call, {"version": swiftcnn.__version__}


def measure_networks(given: argparse.Namespace) -> None:
    """Prints the table of networks."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        swiftcnn = load()
        dense = swiftcnn.create_model(MODEL)
        dense.save(folder / "dense.safetensors")
        dense.export(folder / "dense.onnx")
        sparse = {}
        for pattern, share in BARRED:
            sparse[f"{pattern} {share:.0%}"] = engine = f"sparse_{pattern}"
            swiftcnn.sparsify(dense, share, pattern, scope="layer").save(folder / f"{engine}.safetensors")
        engines = {"swiftcnn, dense": "dense"} | {f"swiftcnn, {kind}": engine for kind, engine in sparse.items()}
        workers: dict[str, turns.Worker] = {}
        try:
            for title, engine in engines.items() | {("ONNX Runtime, dense", "onnxruntime")}:
                python = given.peers if engine == "onnxruntime" else sys.executable
                command = [str(python), __file__, "--serve", engine, "--folder", name, "--threads", str(given.threads)]
                try:
                    workers[title] = turns.Worker(command, {})
                except (OSError, turns.Failure) as failure:
                    print(f"{title} is left out: {failure}")
            seconds, _, fallen = turns.take_turns(workers, given.rounds, {"calls": 5}, None)
        finally:
            for worker in workers.values():
                worker.close()
        for title, reason in fallen.items():
            print(f"{title} fell out: {reason}")
        usual = statistics.median(seconds["swiftcnn, dense"])
        rows = [[title, f"{1e3 * statistics.median(times):.2f}", f"{usual / statistics.median(times):.2f}"]
                for title, times in sorted(seconds.items()) if title not in fallen]
        print(report.table([f"{MODEL}, one image", "ms", "of our dense speed"], rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=20, help="runs of a layer's profile")
    parser.add_argument("--parts", nargs="+", choices=["layers", "networks"], default=["layers", "networks"])
    parser.add_argument("--peers", type=pathlib.Path, default=turns.ROOT / "build" / "peers-venv" / "bin" / "python",
                        help="the Python that has ONNX Runtime")
    parser.add_argument("--serve", help="be the process of an engine")
    parser.add_argument("--folder", type=pathlib.Path, help="where the engine's files are")
    given = parser.parse_args()
    if given.serve:
        turns.serve(lambda: make(given.serve, given.folder, given.threads))
        return 0
    reaches = "layers" not in given.parts or measure_layers(given)
    if "networks" in given.parts:
        measure_networks(given)
    return int(not reaches)


if __name__ == "__main__":
    sys.exit(main())
