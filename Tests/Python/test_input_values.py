"""The same picture in each type and range: pixels in any integer type, floats that nobody normalised, and data of another
kind than a model was trained on."""

import pickle
import warnings

import numpy as np
import pytest
import swiftcnn
from swiftcnn import layers

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
LABELS = np.array([0, 1, 0, 1])


def by_name(**options):
    return swiftcnn.create_model("resnet20", **{"input_shape": (8, 8, 3), "classes": 2, **options})


def model(classes=2):
    """A small one that normalises pixels as those by name do."""
    made = swiftcnn.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(classes, activation="softmax")])
    made.set_normalization(MEAN, STD)
    return made


def compiled(of):
    of.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return of


def fitted(x, of=None, **options):
    """A model that was trained on these images, and what was warned of."""
    made = compiled(model() if of is None else of)
    return made, warned(lambda: made.fit(x, LABELS, epochs=1, verbose=0, **options))


def warned(call):
    """The warnings of a call, each as text."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call()
    return [str(each.message) for each in seen]


def prepared(pixels=PIXELS):
    return ((pixels / 255 - MEAN) / STD).astype(np.float32)


# ----------------------------------------------------------------------------------------------------------- integers


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4", "list"])
def test_integers_are_pixels(dtype):
    low = PIXELS // 2  # what int8 holds too
    given = low.tolist() if dtype == "list" else low.astype(dtype)
    made = by_name() if dtype == "int64" else model()
    assert not warned(lambda: np.testing.assert_array_equal(made.predict(given, verbose=0), made.predict(low, verbose=0)))


def test_integers_of_each_call_are_pixels():
    wide, made = PIXELS.astype(np.int64), compiled(model())
    assert made.evaluate(wide, LABELS, verbose=0) == made.evaluate(PIXELS, LABELS, verbose=0)
    assert made.test_on_batch(wide, LABELS) == made.test_on_batch(PIXELS, LABELS)
    np.testing.assert_array_equal(made.predict_on_batch(wide), made.predict_on_batch(PIXELS))
    other = made.clone()
    assert made.train_on_batch(wide, LABELS) == other.train_on_batch(PIXELS, LABELS)
    for each, x in ((made, wide), (other, PIXELS)):
        each.fit(x, LABELS, batch_size=2, epochs=2, validation_data=(x, LABELS), horizontal_flip=True, verbose=0)
        each.fit(((x[i : i + 2], LABELS[i : i + 2]) for i in (0, 2)), epochs=1, verbose=0)
    np.testing.assert_array_equal(made.predict(wide, verbose=0), other.predict(PIXELS, verbose=0))
    assert made.profile(wide, repeats=1).images == 4


def test_integers_that_are_no_pixels_are_refused():
    made = compiled(model())
    for wrong, ends in ((PIXELS.astype(np.int64) * 257, "0 to 65535"), (PIXELS.astype(np.int16) - 128, "-128 to 127")):
        with pytest.raises(ValueError, match=f"x holds integers from {ends}; integers are pixels, expected from 0 to 255"):
            made.predict(wrong, verbose=0)
        with pytest.raises(ValueError, match="validation_data: x holds integers from"):
            made.fit(PIXELS, LABELS, validation_data=(wrong, LABELS), verbose=0)
    huge = np.full((1, 8, 8, 3), 2**64 - 1, np.uint64)
    with pytest.raises(ValueError, match="integers are pixels"):
        made.predict(huge, verbose=0)
    with pytest.raises(TypeError, match="x holds booleans"):
        made.predict(PIXELS > 100, verbose=0)


def test_layers_that_take_pixels_as_they_are_take_any_numbers():
    made = swiftcnn.Sequential([layers.Input((2,)), layers.Dense(2)])
    x = np.array([[-1, 1000], [70000, 3]])
    for given in (x, x.tolist(), x > 0):
        np.testing.assert_array_equal(made.predict(given, verbose=0), made.predict(np.asarray(given, "f4"), verbose=0))


# ------------------------------------------------------------------------------------------------- floats in a range


@pytest.mark.parametrize(
    "x, what",
    [
        (PIXELS.astype(np.float32), "pixels that are not normalised: float32 from 2 to 252"),
        (PIXELS.astype(np.float64), "pixels that are not normalised"),
        (PIXELS.astype(np.float16), "pixels that are not normalised"),
        (PIXELS * 0.9, "pixels that are not normalised"),  # as they are after resizing
        (PIXELS - 120.0, "pixels that are not normalised"),  # Caffe's
        (PIXELS / 255, "pixels divided by 255: float32 from 0.008 to 0.988"),
        ((PIXELS / 255) ** 0.9, "pixels divided by 255"),
    ],
)
def test_floats_that_look_like_pixels_are_told_once(x, what):
    made = model()
    (text,) = warned(lambda: made.predict(x, verbose=0))
    assert text.startswith(f"x looks like {what}") and "mean [0.485, 0.456, 0.406] and std [0.229, 0.224, 0.225]" in text
    assert not warned(lambda: made.predict(x, verbose=0))


@pytest.mark.parametrize(
    "x",
    [
        prepared(),
        prepared() + np.float32(0.01),
        PIXELS / 127.5 - 1,
        np.zeros((2, 8, 8, 3)),
        np.ones((2, 8, 8, 3)),
        np.full((2, 8, 8, 3), 200.0),
        (PIXELS > 100).astype(np.float32),
        np.random.default_rng(0).standard_normal((2, 8, 8, 3)),
        np.full((2, 8, 8, 3), np.nan),
    ],
)
def test_other_floats_are_taken_in_silence(x):
    assert not warned(lambda: model().predict(x, verbose=0))


def test_grey_models_by_name_make_0_to_1_of_pixels():
    made = by_name(input_shape=(8, 8, 1))
    assert not warned(lambda: made.predict(PIXELS[..., :1] / 255, verbose=0))
    (text,) = warned(lambda: made.predict(PIXELS[..., :1].astype("f4"), verbose=0))
    assert "mean [0] and std [1]" in text


def test_layers_take_pixels_as_they_are():
    made = swiftcnn.Sequential([layers.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2)])
    for x in (PIXELS, PIXELS.astype("f4"), PIXELS / 255, PIXELS * 0.9):
        assert not warned(lambda x=x: made.predict(x, verbose=0))


def test_a_backbone_within_layers_is_told_of():
    backbone = by_name(include_top=False, pooling="avg")
    inputs = layers.Input((8, 8, 3))
    made = swiftcnn.Model(inputs, layers.Dense(2)(backbone(inputs)))
    assert len(warned(lambda: made.predict(PIXELS / 255, verbose=0))) == 1


def test_batches_are_told_of_once():
    def batches():
        for _ in range(3):
            yield PIXELS / np.float32(255), LABELS

    made = compiled(model())
    assert len(warned(lambda: made.fit(batches(), epochs=1, verbose=0))) == 1
    assert not warned(lambda: made.fit(batches(), epochs=1, verbose=0))
    other = compiled(model())
    assert len(warned(lambda: other.evaluate(batches(), verbose=0))) == 1
    assert len(warned(lambda: model().predict(batches(), verbose=0))) == 1


def test_the_warning_is_at_the_callers_line():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model().predict(PIXELS / 255, verbose=0)
    assert seen[0].filename == __file__


# --------------------------------------------------------------------------------------- other than it was trained on


def test_trained_on_pixels_and_served_floats():
    made, told = fitted(PIXELS)
    assert not told
    assert not warned(lambda: made.predict(prepared(), verbose=0))  # which is the same
    (text,) = warned(lambda: made.evaluate(PIXELS.astype("f4"), LABELS, verbose=0))
    assert "was trained on pixels" in text
    (text,) = warned(lambda: made.predict(PIXELS / 127.5 - 1, verbose=0))
    assert text.startswith("x is float32 from -0.984 to 0.976; the model was trained on pixels")


def test_validation_data_of_another_kind_is_told_of():
    made = compiled(model())
    (text,) = warned(lambda: made.fit(PIXELS, LABELS, epochs=2, verbose=0, validation_data=(PIXELS / 255, LABELS)))
    assert "pixels divided by 255" in text and "was trained on pixels" in text


@pytest.mark.parametrize("how", ["as it is", "saved", "pickled", "cloned", "checkpoint", "weights"])
def test_trained_on_0_to_1_and_served_pixels(how, tmp_path):
    made, (text,) = fitted(PIXELS / 255, by_name() if how == "weights" else None)
    assert "pixels divided by 255" in text
    if how == "saved":
        made.save(tmp_path / "m.safetensors", include_optimizer=False)
        made = swiftcnn.load_model(tmp_path / "m.safetensors")
    elif how == "checkpoint":
        made.save(tmp_path / "m.safetensors")
        made = swiftcnn.load_model(tmp_path / "m.safetensors")
    elif how == "weights":
        made.save_weights(tmp_path / "m.safetensors")
        made = by_name()
        made.load_weights(tmp_path / "m.safetensors")
    elif how == "pickled":
        made = pickle.loads(pickle.dumps(made))
    elif how == "cloned":
        made = made.clone()
    assert not warned(lambda: made.predict(PIXELS / 255, verbose=0))
    (text,) = warned(lambda: made.classify(PIXELS[0]))
    assert text.startswith("x is pixels; the model was trained on float32 from 0 to 1")
    assert not warned(lambda: made.classify(PIXELS[0]))
    made.set_normalization([0] * 3, [1] * 3)
    assert not warned(lambda: made.predict(PIXELS, verbose=0))
    np.testing.assert_allclose(made.predict(PIXELS, verbose=0), made.predict(PIXELS / 255, verbose=0), atol=1e-5)


def test_models_of_layers_remember_it_too(tmp_path):
    def network():
        return swiftcnn.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])

    made, told = fitted(PIXELS / 255, network())
    assert not told
    made.save(tmp_path / "m.safetensors")
    for each in (made, swiftcnn.load_model(tmp_path / "m.safetensors"), made.clone(), pickle.loads(pickle.dumps(made))):
        assert not warned(lambda each=each: each.predict(PIXELS / 255, verbose=0))
        (text,) = warned(lambda each=each: each.classify(PIXELS[0]))
        assert "trained on float32 from 0 to 1" in text
    other, told = fitted(PIXELS, network())
    (text,) = warned(lambda: other.predict(PIXELS / 255, verbose=0))
    assert not told and "was trained on pixels" in text
    assert not warned(lambda: other.predict(PIXELS * 0.9, verbose=0))


def test_what_is_trained_on_normalised_pixels_is_served_those_and_pixels():
    made, told = fitted(prepared())
    assert not told
    for x in (PIXELS, prepared(), prepared() + np.float32(0.01)):
        assert not warned(lambda x=x: made.predict(x, verbose=0))
    made, told = fitted(PIXELS / 127.5 - 1)
    (text,) = warned(lambda: made.predict(PIXELS, verbose=0))
    assert not told and "trained on float32 as it stood" in text


def test_scikit_learns_images_of_any_integers_are_pixels():
    pytest.importorskip("sklearn")
    from swiftcnn.sklearn import SwiftCNNClassifier

    options = {"model": lambda shape, classes: model(classes=classes), "epochs": 1, "standardize": False, "random_state": 0}
    first = SwiftCNNClassifier(**options).fit(PIXELS, ["b", "a", "b", "a"])
    second = SwiftCNNClassifier(**options).fit(PIXELS.astype(np.int64), ["b", "a", "b", "a"])
    np.testing.assert_array_equal(first.predict_proba(PIXELS), second.predict_proba(PIXELS.astype(np.int32)))
    assert first.model_.class_names == ["a", "b"]
