"""Models that are trained for integers: swiftcnn.quantization_aware."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import swiftcnn


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    y = np.arange(24, dtype=np.int32) % 3
    x = random.normal(0, 0.3, (24, 16, 16, 3)).astype(np.float32)
    x[np.arange(24), :, :, y] += 1
    return x, y


@pytest.fixture(scope="module")
def model(data) -> swiftcnn.Model:
    model = swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=3)
    model.compile(optimizer=swiftcnn.optimizers.SGD(0.02, momentum=0.9), loss="sparse_categorical_crossentropy")
    model.fit(*data, epochs=6, batch_size=8, verbose=0)
    return model


def trained_on(model, data, epochs=2, **options):
    trained = swiftcnn.quantization_aware(model, data[0], **options)
    trained.compile(
        optimizer=swiftcnn.optimizers.SGD(1e-3, momentum=0.9), loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    trained.fit(*data, epochs=epochs, batch_size=8, verbose=0)
    return trained


@pytest.mark.parametrize("options", [{}, {"ranges": "learned"}, {"per_channel": False, "skip": ["layer1.*"]}])
def test_integers_see_what_the_trained_model_sees(model, data, options):
    before = [array.copy() for array in model.get_weights()]
    trained = trained_on(model, data, **options)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    small = swiftcnn.quantize(trained)
    expected, found = trained.predict(data[0]), small.predict(data[0])
    assert np.abs(expected - found).max() < 0.05
    assert (expected.argmax(1) == data[1]).mean() > 0.9
    assert (expected.argmax(1) == found.argmax(1)).all()
    assert small.quantization_report().skipped == [] or options.get("skip")


def test_it_is_a_model_like_any_other(tmp_path, model, data):
    trained = trained_on(model, data)
    trained.save(tmp_path / "trained.safetensors")
    expected = swiftcnn.quantize(trained).predict(data[0])
    for other in (
        swiftcnn.load_model(tmp_path / "trained.safetensors"), trained.clone(), pickle.loads(pickle.dumps(trained)),
    ):
        np.testing.assert_array_equal(other.predict(data[0]), trained.predict(data[0]))
        np.testing.assert_array_equal(swiftcnn.quantize(other).predict(data[0]), expected)
    assert {"quantization_scale"} == {
        row.role for row in trained_on(model, data, 1, ranges="learned").parameters if row.name == "input.scale"
    }


def test_the_first_batch_can_give_the_ranges(model, data):
    trained = swiftcnn.quantization_aware(model)
    with pytest.raises(RuntimeError, match="is not known; train"):
        swiftcnn.quantize(trained)
    trained.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    trained.train_on_batch(*data)
    swiftcnn.quantize(trained)


def test_what_does_not_fit_is_refused(model, data):
    x = data[0]
    with pytest.raises(ValueError, match="calibration is not given; expected images"):
        swiftcnn.quantize(model)
    with pytest.raises(ValueError, match="ranges is 'learned' and calibration is not given"):
        swiftcnn.quantization_aware(model, ranges="learned")
    with pytest.raises(TypeError, match="model must be a Model"):
        swiftcnn.quantization_aware(x)
    with pytest.raises(TypeError, match="skip must be a list of names"):
        swiftcnn.quantization_aware(model, x, skip="conv1")
    for options in ({"ranges": "fixed"}, {"freeze": 1.5}, {"momentum": 0}, {"method": "best"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            swiftcnn.quantization_aware(model, x, **options)
    trained = swiftcnn.quantization_aware(model, x)
    with pytest.raises(RuntimeError, match="already"):
        swiftcnn.quantization_aware(trained, x)
    with pytest.raises(RuntimeError, match="already"):
        swiftcnn.quantization_aware(swiftcnn.quantize(model, x), x)
    for text, options in (
        ('skip is \\["conv1"\\]', {"skip": ["conv1"]}),
        ("per_channel is false", {"per_channel": False}),
        ("method is 'entropy'", {"method": "entropy"}),
        ("max_drop is 1", {"max_drop": 1}),
        ("bias_correction is false", {"bias_correction": False}),
        ("equalize is true", {"equalize": True}),
        ("percentile is 99", {"percentile": 99}),
    ):
        with pytest.raises(ValueError, match=text + ".* was trained with its own ranges.*; expected "):
            swiftcnn.quantize(trained, **options)
    for images in ([], [x]):
        with pytest.raises(ValueError, match="max_drop is 1.* was trained with its own ranges"):
            swiftcnn.quantize(trained, *images, max_drop=1, validation=data)


def test_options_of_training_are_checked(model, data):
    for name, value in [("momentum", np.nan), ("freeze", np.inf), ("momentum", "1"), ("freeze", None)]:
        with pytest.raises(ValueError, match=f"{name} must be"):
            swiftcnn.quantization_aware(model, data[0], **{name: value})
    swiftcnn.quantization_aware(
        model, [(data[0][:9],), (data[0][9:],)], momentum=np.float32(0.5), freeze=np.float64(1), samples=np.int64(5),
    )
    with pytest.raises(ValueError, match="calibration: .*shape"):
        swiftcnn.quantization_aware(model, data[0][..., :1])


def test_a_model_in_training_is_no_onnx_file(tmp_path, model, data):
    trained = swiftcnn.quantization_aware(model, data[0])
    with pytest.raises(RuntimeError, match="is in training for integers, .*; quantize it first"):
        trained.export(tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    swiftcnn.quantize(trained).export(tmp_path / "m.onnx")
