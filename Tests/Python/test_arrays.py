"""What may be given for images: dtypes, layouts, lists; what is copied and what is not."""

import gc
import sys
import weakref

import numpy as np
import pytest
import swiftcnn
from swiftcnn import _arrays

from conftest import make_model


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_are_taken_as_they_stand(dtype):
    model = make_model()
    x = np.random.default_rng(0).integers(0, 2, (3, 8, 8, 1))
    expected = model.predict(x.astype(np.float32))
    result = model.predict(x.astype(dtype))
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.float32 and result.shape == (3, 10)


def test_uint8_is_pixels():
    model = make_model()
    x = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    np.testing.assert_allclose(model.predict(x), model.predict(x / 255), atol=1e-6)
    assert not np.allclose(model.predict(x), model.predict(x.astype(np.float32)), atol=1e-3)


def test_every_layout_gives_the_same():
    model = make_model()
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    expected = model.predict(x)
    spread = np.zeros((8, 8, 16, 3), np.float32)
    spread[::2, :, ::2, 1:2] = x
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.float32, offset=1).reshape(x.shape)
    read_only = x.copy()
    read_only.flags.writeable = False
    for same in (np.asfortranarray(x), spread[::2, :, ::2, 1:2], x[::-1][::-1], unaligned, read_only, x.tolist()):
        np.testing.assert_array_equal(model.predict(same), expected)


def test_what_has_array_is_an_array():
    class Images:
        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 8, 8, 1), dtype or np.float32)

    model = make_model()
    np.testing.assert_array_equal(model.predict(Images()), model.predict(np.ones((2, 8, 8, 1))))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_dense_arrays_that_fit_are_not_copied(dtype):
    x = np.zeros((3, 8, 8, 1), dtype)
    assert _arrays.samples(x, make_model()._handle) is x
    labels = np.zeros(3, np.int32)
    assert np.shares_memory(_arrays.targets(labels, (3, 10)), labels)
    weight = np.ones(3, np.float32)
    assert np.shares_memory(_arrays.weights(weight, None, labels), weight)


def test_extension_refuses_what_is_not_dense_or_of_another_type():
    handle = make_model()._handle
    out = np.empty((2, 10), np.float32)
    with pytest.raises((ValueError, BufferError)):
        handle.predict(np.zeros((2, 8, 8, 2), np.float32)[..., :1], 1, ["probabilities"], [out])
    with pytest.raises(TypeError, match="x: expected elements of type"):
        handle.predict(np.zeros((2, 8, 8, 1)), 1, ["probabilities"], [out])
    with pytest.raises(TypeError, match="output: expected float32"):
        handle.predict(np.zeros((2, 8, 8, 1), np.uint8), 1, ["probabilities"], [out.astype(np.float64)])
    out.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        handle.predict(np.zeros((2, 8, 8, 1), np.uint8), 1, ["probabilities"], [out])
    with pytest.raises(TypeError):
        handle.predict([1, 2], 1, ["probabilities"], [out])
    with pytest.raises(ValueError, match="axes"):
        handle.predict(np.zeros((1,) * 9, np.uint8), 1, ["probabilities"], [np.empty(10, np.float32)])


def test_output_of_the_wrong_size_is_refused():
    handle = make_model()._handle
    with pytest.raises(ValueError):
        handle.predict(np.zeros((2, 8, 8, 1), np.uint8), 1, ["probabilities"], [np.empty(19, np.float32)])


def test_no_call_keeps_a_reference_to_its_arrays(model, data):
    x, y = data[0].copy(), data[1].astype(np.int32)
    weight = np.ones(len(y), np.float32)
    arrays = (x, y, weight)
    before = [sys.getrefcount(array) for array in arrays]
    model.fit(x, y, sample_weight=weight, validation_data=(x, y), epochs=2, verbose=0)
    model.evaluate(x, y, sample_weight=weight, verbose=0)
    model.train_on_batch(x, y, weight)
    model.predict(x)
    with pytest.raises(ValueError):
        model.fit(x, y[:-1], sample_weight=weight, verbose=0)
    with pytest.raises(ValueError):
        model._handle.fit(x, y, weight, '{"batch_size": 0}')
    assert [sys.getrefcount(array) for array in arrays] == before


def test_a_run_keeps_its_arrays_and_model_alive(data):
    model = make_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = data[0].copy(), data[1].astype(np.int32)
    run = model._handle.fit(x, y, None, '{"batch_size": 8, "epochs": 2}')
    used = sys.getrefcount(x)
    with pytest.raises(ValueError, match="resize|references"):
        x.resize((1, 8, 8, 1))
    del model
    ended, results = run.step()
    assert not ended and len(results) == 1
    run.close()
    run.close()
    assert sys.getrefcount(x) == used - 1
    with pytest.raises(RuntimeError, match="closed"):
        run.step()


def test_a_model_is_freed_with_its_last_reference(data):
    model = make_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = model.fit(*data, verbose=0, validation_data=data)
    model.evaluate(*data, verbose=0)
    alive = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert alive() is None
    finally:
        gc.enable()
    assert history.history["loss"]


def test_many_models_do_not_pile_up_in_memory(run_python):
    grown = run_python(
        """
import gc, swiftcnn, numpy as np
def pages():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def work(count):
    x = np.zeros((4, 8, 8, 1), np.uint8)
    for _ in range(count):
        model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 1), classes=10)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.train_on_batch(x, [0, 1, 2, 3])
        model.clone().predict_on_batch(x)
work(5)
before = pages()
work(25)
print(pages() - before)
"""
    )
    assert int(grown) < 25_000_000  # 25 models with Adam's moments, their clones and plans are several times that


def test_handles_cannot_be_made_by_hand():
    for kind in (swiftcnn._swiftcnn.Model, swiftcnn._swiftcnn.Fit, swiftcnn._swiftcnn.Graph):
        with pytest.raises(TypeError):
            kind()
