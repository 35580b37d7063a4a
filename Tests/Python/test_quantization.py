"""Models in integers of 8 bits: swiftcnn.quantize."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import swiftcnn
from swiftcnn import layers
from swiftcnn._quantization import images_of


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def model() -> swiftcnn.Model:
    return swiftcnn.create_model("resnet20", input_shape=(32, 32, 3), classes=10)


@pytest.fixture(scope="module")
def quantized(model: swiftcnn.Model, images: np.ndarray) -> swiftcnn.Model:
    return swiftcnn.quantize(model, images)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_every_method_gives_nearly_the_same_predictions(model, images, method):
    before = [array.copy() for array in model.get_weights()]
    result = swiftcnn.quantize(model, images, method)
    expected, found = model.predict(images), result.predict(images)
    assert 0 < np.abs(expected - found).max() < 0.15
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_file_has_bytes_for_weights_and_gives_the_same_bits(tmp_path, model, quantized, images):
    model.save(tmp_path / "float.safetensors")
    quantized.save(tmp_path / "bytes.safetensors")
    sizes = [(tmp_path / name).stat().st_size for name in ("bytes.safetensors", "float.safetensors")]
    assert sizes[0] < 0.4 * sizes[1]  # the network's description is a large part of so small a model
    expected = quantized.predict(images)
    read = swiftcnn.load_model(tmp_path / "bytes.safetensors")
    np.testing.assert_array_equal(read.predict(images), expected)
    np.testing.assert_array_equal(quantized.clone().predict(images), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(quantized)).predict(images), expected)
    other = swiftcnn.quantize(model, images, "minmax")
    other.load_weights(tmp_path / "bytes.safetensors")
    np.testing.assert_array_equal(other.get_weights()[0], quantized.get_weights()[0])


def test_weights_are_levels_of_each_channel(quantized):
    weight = quantized.get_parameter("layer1.0.conv1.weight")
    scale = np.abs(weight).max((1, 2, 3), keepdims=True) / 127
    np.testing.assert_allclose(weight / scale, np.round(weight / scale), atol=1e-3)


def test_layers_that_are_skipped_stay_in_floats(model, images):
    result = swiftcnn.quantize(model, images, skip=["conv1", "layer3.*"])
    text = result.graph("text")
    assert "\nlayer1.0.conv1.weight.levels = " in text
    assert "\nlayer3.0.conv1.weight.levels = " not in text and "\nconv1.weight.levels = " not in text


def test_batches_and_floats_calibrate_too(model, images):
    from_batches = swiftcnn.quantize(model, iter([images[:6], images[6:]]))
    np.testing.assert_array_equal(from_batches.predict(images), swiftcnn.quantize(model, images).predict(images))
    x = (images / 255 - model.normalization[0]) / model.normalization[1]
    found = swiftcnn.quantize(model, x.astype(np.float32)).predict(x.astype(np.float32))
    assert np.abs(found - model.predict(images)).max() < 0.15


def test_models_of_layers_are_quantised():
    inputs = layers.Input((16, 16, 8))
    x = layers.Conv2D(8, 3, padding="same", activation="swish")(inputs)
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Multiply()([x, layers.Conv2D(8, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))])
    x = layers.Flatten()(layers.MaxPooling2D(2)(layers.AveragePooling2D(2)(x)))
    model = swiftcnn.Model(inputs, layers.Dense(5)(x))
    x = np.random.default_rng(1).standard_normal((9, 16, 16, 8)).astype(np.float32)
    expected, found = model.predict(x), swiftcnn.quantize(model, x).predict(x)
    assert np.linalg.norm(expected - found) < 0.05 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"calibration": np.zeros((0, 32, 32, 3), np.uint8)}, ValueError, "no images"),
        ({"calibration": np.zeros((2, 32, 32, 1), np.uint8)}, ValueError, "calibration: expected shape"),
        ({"calibration": [(np.zeros((2, 32, 32, 1), np.uint8),)]}, ValueError, "calibration: expected shape"),
        ({"calibration": "photos"}, TypeError, "calibration"),
        ({"calibration": (np.zeros((2, 32, 32, 3), np.uint8), [0, 1])}, ValueError, "calibration.*without labels"),
        ({"calibration": (np.zeros((2, 32, 32, 3), np.uint8), np.eye(10)[:2])}, ValueError, "calibration.*without labels"),
        ({"calibration": iter([])}, ValueError, "no batches"),
        ({"calibration": np.full((1, 32, 32, 3), np.inf, np.float32)}, ValueError, "finite"),
        ({"method": "best"}, ValueError, "best"),
        ({"skip": ["layer1.0.conv9"]}, ValueError, "layer1.0.conv"),
        ({"skip": "conv1"}, TypeError, "skip"),
        ({"skip": b"conv1"}, TypeError, "skip must be a list of names, got b'conv1'"),
        ({"skip": None}, TypeError, "skip must be a list of names, got None"),
        ({"skip": [layers.Dense(3)]}, TypeError, r"skip\[0\] must be a string, got <Dense"),
        ({"samples": 0}, ValueError, "samples"),
        ({"samples": 2**63}, ValueError, "samples must be at most"),
        ({"samples": "3", "calibration": [(np.zeros((2, 32, 32, 3)),)]}, TypeError, "samples must be an integer, got '3'"),
        ({"samples": None, "calibration": [(np.zeros((2, 32, 32, 3)),)]}, TypeError, "samples must be an integer, got None"),
        ({"per_channel": 1}, TypeError, "per_channel must be True or False, got 1"),
        ({"percentile": np.nan}, ValueError, "percentile must be finite, got nan"),
        ({"percentile": np.inf}, ValueError, "percentile must be finite"),
        ({"max_drop": np.nan}, ValueError, "max_drop must be finite"),
        ({"max_drop": "1"}, TypeError, "max_drop must be a number, got '1'"),
        ({"percentile": 101}, ValueError, "percentile"),
        ({"model": "resnet20"}, TypeError, "model"),
    ],
)
def test_what_does_not_fit_is_told(model, images, change, error, text):
    with pytest.raises(error, match=text):
        swiftcnn.quantize(**{"model": model, "calibration": images, **change})


def test_options_may_be_of_numpy(model, images):
    options = {
        "samples": np.int64(5), "percentile": np.float32(99), "per_channel": np.bool_(True), "skip": np.array(["conv1"]),
        "report_samples": np.uint8(2), "strict": np.bool_(False), "max_drop": np.float32(100),
    }
    report = swiftcnn.quantize(model, images, validation=(images, np.arange(12) % 10), **options).quantization_report()
    assert report.skipped == ["conv1"] and report.images == 2


def test_batches_of_several_inputs_calibrate_and_validate():
    a, b = layers.Input((8, 8, 3), name="a"), layers.Input((8, 8, 3), name="b")
    x = layers.Add()([layers.Conv2D(4, 3)(a), layers.Conv2D(4, 3)(b)])
    model = swiftcnn.Model([a, b], layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    x = [np.random.default_rng(seed).standard_normal((16, 8, 8, 3)).astype(np.float32) for seed in (0, 1)]
    y = np.arange(16) % 4
    parts = [(x[0][i : i + 5], x[1][i : i + 5]) for i in range(0, 16, 5)]
    options = {"max_drop": 100}
    whole = swiftcnn.quantize(model, x, validation=(x, y), **options)
    named = [({"a": part[0], "b": part[1]}, y[5 * i : 5 * i + 5]) for i, part in enumerate(parts)]
    for calibration, validation in (
        (((part,) for part in parts), [(part, y[5 * i : 5 * i + 5]) for i, part in enumerate(parts)]),
        ((batch for batch in named), (batch for batch in named)),
    ):
        other = swiftcnn.quantize(model, calibration, validation=validation, **options)
        assert other.quantization_report() == whole.quantization_report()
        np.testing.assert_array_equal(other.predict(x), whole.predict(x))


class Batches:
    """As Keras's PyDataset, whose end nothing but its length tells."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x) // 4

    def __getitem__(self, index):
        return self.x[4 * index : 4 * index + 4], None


def test_of_batches_the_first_images_are_looked_at(model, images):
    assert_same = np.testing.assert_array_equal
    expected = swiftcnn.quantize(model, images[:6]).predict(images)
    assert_same(swiftcnn.quantize(model, [(images[:4],), (images[4:],)], samples=6).predict(images), expected)
    assert_same(swiftcnn.quantize(model, Batches(images), samples=6).predict(images), expected)
    expected = swiftcnn.quantize(model, images).predict(images)
    assert_same(swiftcnn.quantize(model, Batches(images)).predict(images), expected)


def test_of_a_folder_pictures_of_all_classes_are_looked_at(tmp_path, model):
    Image = pytest.importorskip("PIL.Image")
    colors = np.array([[8 * index, 0, 255 - 8 * index] for index in range(32)], np.uint8)
    pictures = np.repeat(colors, 4, 0)[:, None, None] * np.ones((32, 32, 1), np.uint8)
    for index, picture in enumerate(pictures):
        folder = tmp_path / f"{index // 4:02}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{index % 4}.png")

    def looked_at(samples, **options):
        """The classes of the pictures from which ranges are found: their red."""
        folder = swiftcnn.ImageFolder(tmp_path, 32, 5, **options)
        seen = images_of(model, folder, samples)
        assert (seen == seen[:, :1, :1]).all() and seen.dtype == np.uint8
        assert len(seen) == min(samples, folder.count)
        return seen[:, 0, 0, 0] // 8

    for seed in (0, 1):
        some = looked_at(32, seed=seed, horizontal_flip=0.5, color_jitter={"brightness": 1}, mixup=1, drop_last=True)
        assert len(set(some)) > 12 and some.max() > 24 and some.min() < 8  # in the order of the files it were 8
    np.testing.assert_array_equal(looked_at(500, color_jitter={"brightness": 1}), np.repeat(np.arange(32), 4))
    looked_at(500, validation_split=0.25, subset="validation", label_mode="categorical")
    folder = swiftcnn.ImageFolder(tmp_path, 32)
    whole = swiftcnn.quantize(model, pictures, "minmax").quantization_report().steps[0].scale
    some = swiftcnn.quantize(model, folder, "minmax", samples=32).quantization_report().steps[0].scale
    first = swiftcnn.quantize(model, pictures[:32], "minmax").quantization_report().steps[0].scale
    assert abs(some - whole) < abs(first - whole) / 2
    trained = swiftcnn.quantization_aware(model, folder, "minmax", samples=32)
    found = swiftcnn.quantize(trained).quantization_report().steps[0].scale
    assert abs(found - whole) < abs(first - whole) / 2


@pytest.mark.parametrize("samples", [8, 12, 500])
def test_damaged_pictures_of_a_folder_are_told_wherever_its_reading_stops(tmp_path, model, images, samples):
    Image = pytest.importorskip("PIL.Image")
    for index in range(24):
        folder = tmp_path / f"{index % 3}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(images[index // 2]).save(folder / f"{index}.png")
        if index % 2:
            (folder / f"{index}.png").write_bytes(b"no picture")
    folder = swiftcnn.ImageFolder(tmp_path, 32, 4)
    with pytest.warns(UserWarning, match="of 24 pictures could not be read and were passed over; the first: ") as seen:
        swiftcnn.quantize(model, folder, "minmax", samples=samples)
    assert len(seen) == 1 and seen[0].filename == __file__
    assert str(seen[0].message).startswith(f"{folder.skipped} of 24") and 0 < folder.skipped <= 12
    assert folder.skipped == 12 or samples < 12


def test_a_model_is_quantised_once(quantized, images):
    with pytest.raises(RuntimeError, match="already"):
        swiftcnn.quantize(quantized, images)


METHODS = ["minmax", "percentile", "entropy", "mse"]


@pytest.mark.parametrize("method", METHODS)
def test_one_image_is_enough(model, method, images):
    x = images[:1]
    np.testing.assert_allclose(swiftcnn.quantize(model, x, method).predict(x), model.predict(x), atol=0.15)


@pytest.mark.parametrize("quantize", [swiftcnn.quantize, swiftcnn.quantization_aware])
@pytest.mark.parametrize(
    ("x", "number"), [
        (np.full((1, 32, 32, 3), 128, np.uint8), "128"), (np.zeros((3, 32, 32, 3), np.float32), r"0\.0"),
        ([(np.full((2, 32, 32, 3), 0.5, np.float32),)] * 2, r"0\.5"),
    ], ids=["one", "zeros", "batches"])
def test_constant_images_tell_nothing(model, quantize, x, number):
    text = f"calibration is constant: every number is {number}; expected images like those that will come"
    with pytest.raises(ValueError, match=text):
        quantize(model, x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_are_none_are_told(model, method, number):
    x = np.zeros((3, 32, 32, 3), np.float32)
    x[1, 5, 0, 0], x[0, 3, 1, 2] = number, -number
    with pytest.raises(ValueError, match="finite"):
        swiftcnn.quantize(model, x, method)


@pytest.mark.parametrize("method", METHODS)
def testimages_of_other_sizes_and_none_are_told(model, method):
    for shape, text in [((0, 32, 32, 3), "no images"), ((2, 32, 32, 4), "shape"), ((2, 32), "shape")]:
        with pytest.raises(ValueError, match=text):
            swiftcnn.quantize(model, np.zeros(shape, np.float32), method)


def test_equalised_weights_are_of_the_same_network(model, images):
    result = swiftcnn.quantize(model, images, equalize=True)
    plain = swiftcnn.quantize(model, images)
    assert not np.array_equal(result.get_parameter("layer1.0.conv1.weight"), plain.get_parameter("layer1.0.conv1.weight"))
    assert 0 < np.abs(result.predict(images) - model.predict(images)).max() < 0.15
    steps = result.quantization_report(images, reference=model).steps
    assert min(step.signal_to_noise for step in steps if step.signal_to_noise is not None) > 10


def test_training_goes_on_through_the_roundings(model, images):
    labels = np.arange(12) % 10
    result = swiftcnn.quantize(model, images)
    result.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    before = result.evaluate(images, labels, verbose=0)
    result.fit(images, labels, epochs=5, batch_size=12, verbose=0)
    assert result.evaluate(images, labels, verbose=0) < before
