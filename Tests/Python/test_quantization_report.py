"""What a model in integers tells of itself, and how accuracy is kept: Model.quantization_report, strict, max_drop."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import swiftcnn
from swiftcnn import layers


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def model() -> swiftcnn.Model:
    return swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=10)


@pytest.fixture(scope="module")
def quantized(model: swiftcnn.Model, images: np.ndarray) -> swiftcnn.Model:
    return swiftcnn.quantize(model, images)


def test_a_report_has_levels_noise_and_instructions(tmp_path, quantized):
    report = quantized.quantization_report()
    step = next(step for step in report.steps if "layer2.1.conv1" in step.layers)
    assert step.name == "layer2.1.conv1 + layer2.1.relu1" and step.dtype == "int8" and step.reason == ""
    assert step.scale > 0 and step.zero_point == 0 and 0 < step.weight_scales[0] <= step.weight_scales[1]
    assert 20 < step.signal_to_noise < 60
    assert sum(step.error_share or 0 for step in report.steps) == pytest.approx(1, abs=1e-3)
    instructions = {row.layer: row.instruction for row in quantized.precision()}
    assert step.instruction in ("tdpbusd", "vpdpbusd", "vpmaddwd", instructions["layer2.1.conv1"])
    assert report.images == 8 and report.reference == "the model it was made of" and report.islands == []
    assert json.loads(report.to_json()) == report.to_dict()
    assert report.to_dict()["steps"][0]["layers"] == list(report.steps[0].layers)
    assert "layer2.1.conv1 + layer2.1.relu1" in str(report)
    report.save_chart(tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_text().startswith("<svg") and "layer2.1.conv1" in report.chart()
    assert report == quantized.quantization_report() and hash(report) == hash(quantized.quantization_report())
    assert report != str(report)


def test_a_chart_is_an_svg_file_or_none(tmp_path, quantized, images, full_disk):
    report = quantized.quantization_report()
    for path, error, text in [
        (3, TypeError, "path must be a path, got 3"), (None, TypeError, "path"), ("a.png", ValueError, "must end in .svg"),
        (tmp_path / "chart", ValueError, "must end in .svg"), (tmp_path / "none" / "a.svg", FileNotFoundError, "none"),
    ]:
        with pytest.raises(error, match=text):
            report.save_chart(path)
    place, link = tmp_path / "chart.SVG", tmp_path / "link.svg"
    report.save_chart(bytes(place))
    link.symlink_to(place)
    other = quantized.quantization_report(images[:2])
    assert other != report
    with full_disk(), pytest.raises(OSError):
        other.save_chart(link)
    assert place.read_text() == report.chart() and sorted(tmp_path.iterdir()) == [place, link]
    other.save_chart(link)
    assert link.is_symlink() and place.read_text() == other.chart() and len(list(tmp_path.iterdir())) == 2


def test_a_report_goes_with_the_model_until_weights_change(tmp_path, quantized):
    expected = quantized.quantization_report().to_dict()
    quantized.save(tmp_path / "m.safetensors")
    for copy in (
        swiftcnn.load_model(tmp_path / "m.safetensors"), quantized.clone(), pickle.loads(pickle.dumps(quantized)),
    ):
        assert copy.quantization_report().to_dict() == expected
        copy.set_weights(copy.get_weights())
        assert copy.quantization_report().reference is None
        assert copy.quantization_report().steps[0].signal_to_noise is None


def test_a_report_is_measured_on_images(model, quantized, images):
    given = quantized.quantization_report(images, reference=model)
    assert given.images == 12 and given.reference == "the given model"
    fewer = quantized.quantization_report(images[:3])
    assert fewer.images == 3 and "its own weights" in fewer.reference
    with pytest.raises(ValueError, match="reference"):
        quantized.quantization_report(images, reference=quantized)
    with pytest.raises(TypeError, match="reference"):
        quantized.quantization_report(images, reference="model")
    with pytest.raises(ValueError, match="without x"):
        quantized.quantization_report(reference=model)
    with pytest.raises(ValueError, match="no images"):
        quantized.quantization_report(images[:0])
    with pytest.raises(RuntimeError, match="not quantised"):
        model.quantization_report()


def test_nothing_is_measured_where_nothing_is_asked_for(model, images):
    report = swiftcnn.quantize(model, images, "minmax", report_samples=0).quantization_report()
    assert report.reference is None and "not measured" in report.chart()


def test_floats_between_integers_are_listed_and_refused():
    inputs = layers.Input((8, 8, 4))
    x = layers.Conv2D(8, 3, activation="relu", name="front")(inputs)
    x = layers.Conv2D(8, 1)(layers.ZeroPadding2D(1, name="pad")(x))
    model = swiftcnn.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    x = np.random.default_rng(1).standard_normal((3, 8, 8, 4)).astype(np.float32)
    report = swiftcnn.quantize(model, x).quantization_report()
    assert [island.layer for island in report.islands] == ["front.relu", "pad"]
    assert "zero_pad" in report.islands[1].reason and report.islands[1].reason in str(report)
    with pytest.raises(ValueError, match="strict.*'pad'"):
        swiftcnn.quantize(model, x, strict=True)


def test_strict_accepts_what_is_skipped(model, images):
    report = swiftcnn.quantize(model, images, "minmax", skip=["layer2.1.*"], strict=True).quantization_report()
    assert report.skipped == ["layer2.1.*"]
    reasons = {island.layer: island.reason for island in report.islands}
    assert reasons["layer2.1.conv1"] == "it is skipped" and "layer2.2.conv1" not in reasons


@pytest.fixture(scope="module")
def harmed() -> tuple[swiftcnn.Model, np.ndarray, np.ndarray]:
    """A network that one scale for all channels of its second layer ruins."""
    inputs = layers.Input((6, 6, 3))
    x = layers.Conv2D(8, 1, activation="relu", name="first")(inputs)
    x = layers.Conv2D(8, 1, activation="relu", name="fragile")(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 1, activation="relu", name="third")(x))
    model = swiftcnn.Model(inputs, layers.Dense(4, name="last")(x))
    generator = np.random.default_rng(2)
    for row in model.parameters:
        model.set_parameter(row.name, generator.standard_normal(row.shape).astype(np.float32))
    weight = model.get_parameter("fragile.weight")
    weight[0] *= 1000
    model.set_parameter("fragile.weight", weight)
    third = model.get_parameter("third.weight")
    third[:, 0] = 0
    model.set_parameter("third.weight", third)
    x = generator.standard_normal((64, 6, 6, 3)).astype(np.float32)
    # So that every class is the first one of some.
    model.set_parameter("last.bias", model.get_parameter("last.bias") - np.median(model.predict(x), 0))
    return model, x, model.predict(x).argmax(-1)


def test_layers_return_until_the_accuracy_holds(harmed):
    model, x, y = harmed
    free = swiftcnn.quantize(model, x, "minmax", per_channel=False, max_drop=100, validation=(x, y)).quantization_report()
    assert free.returned == [] and free.accuracy["float32"] == 1 and free.accuracy["int8"] < 0.95
    held = swiftcnn.quantize(model, x, "minmax", per_channel=False, max_drop=5, validation=(x, y))
    report = held.quantization_report()
    assert report.returned[0] == "fragile" and report.accuracy["int8"] >= 0.95
    assert np.mean(held.predict(x).argmax(-1) == y) == pytest.approx(report.accuracy["int8"])
    row = next(step for step in report.steps if "fragile" in step.layers)
    assert row.dtype != "int8" and "returned" in row.reason
    assert "returned to floats: fragile" in str(report)
    assert any(step.dtype == "int8" and step.operation == "conv2d" for step in report.steps)


def test_validation_is_what_evaluate_takes(harmed):
    model, x, y = harmed
    options = {"method": "minmax", "per_channel": False, "max_drop": 5}
    expected = swiftcnn.quantize(model, x, validation=(x, y), **options).predict(x)

    class Batches:
        """As Keras's PyDataset."""

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return x[16 * index : 16 * index + 16], y[16 * index : 16 * index + 16]

    parts = [(x[:50], np.eye(4, dtype=np.float32)[y[:50]]), (x[50:], np.eye(4, dtype=np.float32)[y[50:]])]
    for validation in (Batches(), ((x[i : i + 1], y[i : i + 1]) for i in range(64)), parts, [x, y]):
        result = swiftcnn.quantize(model, x, validation=validation, **options)
        assert result.quantization_report().accuracy["samples"] == 64
        np.testing.assert_array_equal(result.predict(x), expected)


def test_validation_may_be_a_folder(tmp_path, images):
    """Its names say which class a picture is of, and the model need not be compiled."""
    Image = pytest.importorskip("PIL.Image")
    model = swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=2, class_names=["b", "a"])
    first = model.predict(images).argmax(1)
    for index, image in enumerate(images):
        name = ["b", "a"][first[index] if index else 1 - first[0]]  # the first picture is in the wrong folder
        (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / name / f"{index}.png")
    folder = swiftcnn.ImageFolder(tmp_path, size=16, batch_size=5)
    report = swiftcnn.quantize(model, images, max_drop=100, validation=folder).quantization_report()
    assert report.accuracy["samples"] == len(images)
    assert report.accuracy["float32"] == pytest.approx(1 - 1 / len(images))
    model.class_names = ["b", "c"]
    with pytest.raises(ValueError, match="validation: the classes differ: the folder has 'a'"):
        swiftcnn.quantize(model, images, max_drop=100, validation=folder)


@pytest.mark.parametrize(
    ("validation", "error", "text"),
    [
        (iter([]), ValueError, "validation has no batches; expected one at least"),
        (iter([(np.zeros((2, 16, 16, 3)),)]), ValueError, "validation y"),
        (iter([(np.zeros((2, 16, 16, 3)), np.zeros(3, int))]), ValueError, "validation y: expected targets for 2 images"),
        (iter([(np.zeros((2, 16, 16, 1)), np.zeros(2, int))]), ValueError, "validation x: .*shape"),
        (iter([(np.zeros((2, 16, 16, 3)), [0, 1], [1, 1])]), ValueError, "validation has sample weights; expected"),
        (
            iter([(np.zeros((2, 16, 16, 3), kind), [0, 1]) for kind in (np.uint8, np.float32)]), ValueError,
            r"samples of float32 \(16, 16, 3\) and uint8 \(16, 16, 3\); expected all alike",
        ),
        (iter([(np.zeros((2, 16, 16, 3)), y) for y in ([0, 1], np.eye(10)[:2])]), ValueError, "validation y has batches"),
        ({"x": 1}, TypeError, "validation must be"),
        ("photos", TypeError, "validation must be"),
    ],
)
def test_validation_that_does_not_fit_is_told(model, images, validation, error, text):
    with pytest.raises(error, match=text):
        swiftcnn.quantize(model, images, max_drop=1, validation=validation)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"max_drop": 1}, ValueError, "max_drop is given without validation"),
        ({"validation": (1, 2)}, ValueError, "without max_drop"),
        ({"max_drop": -1, "labels": 0}, ValueError, "max_drop"),
        ({"max_drop": 101, "labels": 0}, ValueError, "max_drop"),
        ({"max_drop": 1, "labels": 10}, ValueError, "labels must be in 0 to 9"),
        ({"max_drop": 1, "validation": 5}, TypeError, "validation"),
        ({"max_drop": 1, "count": 3, "labels": 0}, ValueError, "12 images"),
        ({"report_samples": -1}, ValueError, "report_samples"),
        ({"strict": "yes"}, ValueError, "strict"),
    ],
)
def test_what_does_not_fit_is_told(model, images, change, error, text):
    change = dict(change)
    if "labels" in change:
        change["validation"] = (images, np.full(change.pop("count", 12), change.pop("labels")))
    with pytest.raises(error, match=text):
        swiftcnn.quantize(model, images, **change)
