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
