"""Every layer computes what Keras's does: its output, its shapes, a training step."""

import functools

import golden
import numpy as np
import pytest

import keras_layers  # Tests/Golden

CASES = {case.name: case for case in keras_layers.CASES}
TENSORS, DOCUMENT = golden.tensors("keras_layers")


@functools.cache
def computed(name):
    return keras_layers.run(golden.api, CASES[name])


def test_the_cases_are_those_of_the_file():
    assert set(CASES) == set(DOCUMENT["cases"])


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_keras(name):
    found, _ = computed(name)
    assert golden.error(found["y"], TENSORS[f"{name}/y"]) <= 1e-5


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_those_of_keras(name):
    _, facts = computed(name)
    assert facts == DOCUMENT["cases"][name]


def average_without_padding(x, size, stride):
    """Average pooling with padding "same" where each window counts the pixels of the image alone."""
    rows, columns = (-(-length // stride) for length in x.shape[1:3])
    before = [
        max((count - 1) * stride + size - length, 0) // 2
        for count, length in zip((rows, columns), x.shape[1:3], strict=True)
    ]
    y = np.empty((len(x), rows, columns, x.shape[3]))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride - before[0], j * stride - before[1]
            window = x[:, max(top, 0) : top + size, max(left, 0) : left + size]
            y[:, i, j] = window.mean((1, 2), dtype=np.float64)
    return y


@pytest.mark.skipif(golden.IS_KERAS, reason="Keras on PyTorch repeats the edge where it pads one side more")
@pytest.mark.parametrize("shape, size, stride", [((5, 7, 3), 5, 3), ((8, 6, 4), 3, 2), ((7, 8, 2), 4, 2)])
def test_average_pooling_leaves_out_the_padding_on_either_side(shape, size, stride):
    case = keras_layers.Case("AveragePooling2D", {"pool_size": size, "strides": stride, "padding": "same"}, shape)
    x = np.random.default_rng(3).standard_normal((2, *shape)).astype(np.float32)
    y = keras_layers.build(golden.api, case)[0].predict(x, verbose=0)
    assert golden.error(y, average_without_padding(x, size, stride)) <= 1e-5


@pytest.mark.parametrize("name", [name for name in CASES if f"{name}/loss" in TENSORS])
def test_a_training_step_changes_weights_as_in_keras(name):
    found, facts = computed(name)
    assert found["loss"] == pytest.approx(float(TENSORS[f"{name}/loss"]), rel=1e-5)
    shapes = [tuple(shape) for shape in facts["weights"]]
    before = keras_layers.keras_peer.layer_weights(CASES[name].layer, name, shapes)
    for index, start in enumerate(before):
        expected = TENSORS[f"{name}/after/{index}"] - start
        # The difference of float32 values of about 1: what is below 1e-6 is their rounding.
        np.testing.assert_allclose(
            found[f"after/{index}"] - start, expected, rtol=0, atol=1e-5 * np.abs(expected).max() + 1e-6
        )
        assert np.abs(expected).max() > 1e-4, "the step is too small to show anything"
