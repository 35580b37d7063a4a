"""Models that reach a target: swiftcnn.compress, Model.compression_report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import swiftcnn
from conftest import PACKAGE_ROOT
from swiftcnn import layers

SIDE, CLASSES = 8, 4


def make_model() -> swiftcnn.Model:
    swiftcnn.utils.set_random_seed(1)
    inputs = layers.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="stem")(inputs)
    for name in "ab":
        y = layers.Conv2D(64, 3, padding="same", activation="relu", name=f"{name}1")(x)
        x = layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_sum")([layers.Conv2D(32, 3, padding="same")(y), x]))
    model = swiftcnn.Model(inputs, layers.Dense(CLASSES, name="fc")(layers.GlobalAveragePooling2D()(x)))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def make_data(count: int = 96) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    y = random.integers(0, CLASSES, count).astype(np.int32)
    x = random.normal(0, 0.3, (count, SIDE, SIDE, 3)) + y[:, None, None, None]
    return x.astype(np.float32), y


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def model(data):
    model = make_model()
    model.fit(*data, epochs=25, batch_size=16, verbose=0)
    return model


def size(model, tmp_path) -> int:
    model.save(tmp_path / "size.safetensors", include_optimizer=False)
    return (tmp_path / "size.safetensors").stat().st_size


FAST = {"epochs": 2, "levels": 2, "batch_size": 16, "verbose": 0, "learning_rate": 0.01}


def test_a_size_is_reached_and_everything_is_saved(model, data, tmp_path):
    before = size(model, tmp_path)
    target = 0.2 * before * 1e-6
    small = swiftcnn.compress(
        model, data, data, {"size_mb": target}, max_drop=70, resume=tmp_path / "run", horizontal_flip=True, **FAST)
    report = small.compression_report()
    assert report.reached, report
    assert report.unit == "MB" and report.target == pytest.approx(target)
    assert 0.9 * target < report.chosen.bytes * 1e-6 <= 1.02 * target
    assert report.points[0].name == "original" and report.points[0].methods == ()
    assert {"int8", "pruned-1"} <= {point.name for point in report.points}
    for point in report.points[1:]:
        assert (tmp_path / "run" / f"{point.name}.safetensors").stat().st_size == point.bytes
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the file says nothing of layers that are not its own
        read = swiftcnn.load_model(tmp_path / "run" / f"{report.chosen.name}.safetensors")
    assert np.array_equal(read.predict(data[0]), small.predict(data[0]))
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == report.to_dict()
    assert (tmp_path / "run" / "pareto.svg").read_text() == report.chart
    assert model.compiled and not small.compiled
    assert "pruned" in str(report) and report.held_back_drop <= 70


def test_charts_are_written(model, data, tmp_path):
    report = swiftcnn.compress(
        model, data, data, {"size_mb": 0.05}, max_drop=100, methods=["quantize"], **FAST).compression_report()
    report.save_chart(tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_text().startswith("<svg")
    with pytest.raises(ValueError, match=r"must end in \.svg"):
        report.save_chart(tmp_path / "chart.gif")
    pytest.importorskip("matplotlib")
    report.save_chart(tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes()[1:4] == b"PNG"


def test_batches_and_one_hot_targets_do_as_well(model, data, tmp_path):
    x, y = data
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 96, 16)]
    rows = np.eye(CLASSES, dtype=np.float32)[y]
    small = swiftcnn.compress(
        model, batches, (x, rows), {"size_mb": 0.2 * size(model, tmp_path) * 1e-6}, max_drop=30,
        **FAST | {"batch_size": None})
    assert len(small.compression_report().points) >= 4


def test_folders_of_pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    for place, count in ("train", 8), ("val", 4):
        for name, level in ("dark", 60), ("light", 200):
            (tmp_path / place / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.normal(level, 20, (16, 16, 3)).clip(0, 255).astype(np.uint8)
                image.fromarray(pixels).save(tmp_path / place / name / f"{index}.png")
    train, held = (
        swiftcnn.ImageFolder(tmp_path / place, size=16, batch_size=4) for place in ("train", "val"))
    model = swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=2)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(train, epochs=2, verbose=0)
    small = swiftcnn.compress(
        model, train, held, {"size_mb": 0.1}, max_drop=100, **FAST | {"batch_size": None})
    assert small.compression_report().to_dict()["samples"] == {"deciding": 4, "held_back": 4}


SCRIPT = """
import os, sys
sys.path.insert(0, {tests!r})
import swiftcnn, test_compression as here
model = swiftcnn.load_model({model!r})
data = here.make_data()
swiftcnn.compress(model, data, data, {{"size_mb": {size}}}, max_drop=100, resume={folder!r},
                  **here.FAST | {{"epochs": 40, "verbose": 2}})
"""


def test_a_run_that_was_killed_goes_on(model, data, tmp_path):
    target = 0.15 * size(model, tmp_path) * 1e-6
    model.save(tmp_path / "model.safetensors", include_optimizer=True)
    folder = tmp_path / "run"
    script = SCRIPT.format(
        tests=os.path.dirname(__file__), model=str(tmp_path / "model.safetensors"), size=target, folder=str(folder))
    environment = {**os.environ, "PYTHONPATH": PACKAGE_ROOT}
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    for line in run.stdout:
        if "training 'pruned-2'" in line:
            run.send_signal(signal.SIGKILL)
            break
    assert run.wait(60) == -signal.SIGKILL
    known = [point["name"] for point in json.loads((folder / "compression.json").read_text())["points"]]
    assert known == ["original", "int8", "pruned-1", "pruned-1-int8"]
    times = {name: (folder / f"{name}.safetensors").stat().st_mtime_ns for name in known[1:]}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert "pruned-1" not in result.stdout and "training 'pruned-2'" in result.stdout
    assert {name: (folder / f"{name}.safetensors").stat().st_mtime_ns for name in known[1:]} == times
    points = json.loads((folder / "report.json").read_text())["points"]
    assert [point["name"] for point in points][:4] == known and len(points) >= 6


def test_another_compression_does_not_go_on_there(model, data, tmp_path):
    options = FAST | {"methods": ["quantize"], "resume": tmp_path / "run"}
    swiftcnn.compress(model, data, data, {"size_mb": 0.1}, max_drop=100, **options)
    with pytest.raises(ValueError, match=r"has a compression whose max_drop is 100\.0, and this one's is 1\.0"):
        swiftcnn.compress(model, data, data, {"size_mb": 0.1}, max_drop=1, **options)
    other = model.clone()
    other.set_weights([array + 1 for array in other.get_weights()])
    with pytest.raises(ValueError, match="whose weights is"):
        swiftcnn.compress(other, data, data, {"size_mb": 0.1}, max_drop=100, **options)


def test_a_time_limit_is_kept(model, data):
    start = time.perf_counter()
    small = swiftcnn.compress(
        model, data, data, {"size_mb": 0.001}, max_drop=0.001, time_limit="6s", **FAST | {"epochs": 100_000})
    assert time.perf_counter() - start < 12  # quick tests run beside others
    assert small.compression_report().seconds < 12
    assert not small.compression_report().reached


def test_errors_of_the_data_end_it(model, data):
    class Batches:
        def __init__(self):
            self.count = 0

        def __len__(self):
            return 6

        def __getitem__(self, index):
            self.count += 1
            if self.count > 20:
                raise LookupError("no more of this")
            x, y = data
            return x[index * 16 : index * 16 + 16], y[index * 16 : index * 16 + 16]

    with pytest.raises(LookupError, match="no more of this"):
        swiftcnn.compress(
            model, Batches(), data, {"size_mb": 0.01}, max_drop=100, calibration=data[0], **FAST | {"batch_size": None})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": {"speed": 2}}, ValueError, "target must have one of latency_ms, size_mb and speedup"),
        ({"target": {"speedup": 2, "size_mb": 1}}, ValueError, "target must have one of"),
        ({"target": 4}, TypeError, "target must be a dictionary"),
        ({"target": {"speedup": 0.5}}, ValueError, "speedup is 0.5; expected"),
        ({"target": {"size_mb": "small"}}, TypeError, "size_mb"),
        ({"time_limit": "soon"}, ValueError, 'time_limit must be seconds, or a text as "90s"'),
        ({"time_limit": 0}, ValueError, "time_limit is 0"),
        ({"methods": ["prun"]}, ValueError, "did you mean 'prune'"),
        ({"methods": ["distill"]}, ValueError, "methods has neither"),
        ({"max_drop": -1}, ValueError, "max_drop is -1"),
        ({"skip": ["no_such"]}, ValueError, "no_such"),
        ({"data": 3}, TypeError, "data must be"),
        ({"validation": (make_data()[0][:1], make_data()[1][:1])}, ValueError, "validation has 1 sample"),
        ({"data": iter([])}, ValueError, "data can be gone through once"),
        ({"model": "resnet20"}, TypeError, "model must be a Model"),
    ],
)
def test_what_does_not_fit_is_told(model, data, change, error, message):
    given = {"model": model, "data": data, "validation": data, "target": {"speedup": 2}} | FAST | change
    with pytest.raises(error, match=message):
        swiftcnn.compress(**given)


def test_only_compressed_models_have_reports(model, data):
    with pytest.raises(RuntimeError, match="was not made by a compression"):
        model.compression_report()
    with pytest.raises(RuntimeError, match="is quantised; compress the model it was made of"):
        swiftcnn.compress(swiftcnn.quantize(model, data[0]), data, data, {"speedup": 2}, **FAST)


def test_progress_is_shown(model, data, capsys):
    swiftcnn.compress(
        model, data, data, {"size_mb": 0.1}, max_drop=100, methods=["quantize"], **FAST | {"verbose": 2})
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip().split("  ", 1)[-1] for line in lines] == ["measuring the model", "quantising to 'int8'"]
