#!/usr/bin/env python3
"""A fresh process that imports an engine, loads a file and predicts one image; and the comparison of such processes.

As a program it prints the seconds from the import to the prediction, how many of them the prediction took beyond what
another one takes, the largest memory it had, and what it imported.
"""

import time

begin = time.perf_counter()  # Before anything is imported that an engine would import itself.

import sys


def swiftcnn(path, size, threads):
    import swiftcnn

    import numpy

    swiftcnn.set_num_threads(threads)
    model = swiftcnn.load_model(path)
    x = numpy.ones((1, size, size, 3), numpy.float32)
    return lambda: model.predict_on_batch(x)


def onnxruntime(path, size, threads):
    import onnxruntime

    import numpy

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_free_dimension_override_by_name("batch", 1)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = numpy.ones((1, 3, size, size), numpy.float32)
    return lambda: session.run(None, {"images": x})[0]


FLOAT_FILE, INT8_FILE = ".swiftcnn.safetensors", ".int8.safetensors"
ENGINES = {"swiftcnn": (swiftcnn, FLOAT_FILE), "onnxruntime": (onnxruntime, ".onnx"),
           "swiftcnn-int8": (swiftcnn, INT8_FILE)}


def compare(job, runs, meter, is_int8):
    """Runs fresh processes, by turns ours, ONNX Runtime's, and perhaps ours in int8.

    Returns a row an engine: medians of the seconds from import to prediction and from the start of the process to it,
    and of the largest memory in MB; or why there are none.
    """
    import json
    import os
    import statistics
    import subprocess

    # Python's own cache of compiled modules, which an installed package has.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["OMP_NUM_THREADS"] = str(job.threads)
    engines = {engine: made[1] for engine, made in ENGINES.items() if is_int8 or engine != "swiftcnn-int8"}
    measured = {engine: [] for engine in engines}
    rows = {}
    for _ in range(runs + 1):
        for engine, suffix in engines.items():
            if engine in rows:
                continue
            if meter:
                meter.wait()
            command = [sys.executable, __file__, engine, str(job.folder / f"{job.model}{suffix}"), str(job.size),
                       str(job.threads)]
            start = time.perf_counter()
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            whole = time.perf_counter() - start
            if done.returncode:
                rows[engine] = {"engine": engine, "failure": (done.stderr.strip() or "it ended").splitlines()[-1]}
            else:
                measured[engine].append({"seconds_whole_process": whole, **json.loads(done.stdout)})
    for engine in engines:
        if engine not in rows:
            # The first run of each fills the system's cache of files.
            counted = [{key: value for key, value in run.items() if key != "package"} for run in measured[engine][1:]]
            rows[engine] = {"engine": engine, "runs": len(counted)} | {
                key: statistics.median(row[key] for row in counted) for key in counted[0]}
            rows[engine]["slowest_seconds"] = max(row["seconds"] for row in counted)
    return [rows[engine] for engine in engines]


def main():
    engine, path, size, threads = sys.argv[1:]
    sys.path.append(__file__.rsplit("/", 3)[0] + "/bindings/python")
    make = ENGINES[engine][0]
    predict = make(path, int(size), int(threads))
    times = [time.perf_counter()]
    result = predict()
    times.append(time.perf_counter())
    import itertools
    import json
    import resource
    import statistics

    assert result.shape == (1, 1000)
    # The memory of the process that made this one counts too, so that must be a small one: no NumPy in inference.py.
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    for _ in range(3):
        predict()
        times.append(time.perf_counter())
    first, *others = (after - before for before, after in itertools.pairwise(times))
    print(json.dumps({"seconds": times[1] - begin, "first_seconds": first - statistics.median(others),
                      "peak_mb": peak_mb, "package": sys.modules[make.__name__].__file__}))


if __name__ == "__main__":
    main()
