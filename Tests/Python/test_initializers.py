"""Initial values: their moments, seeds and names."""

import math

import numpy as np
import pytest
from swiftcnn import initializers, layers, utils

SHAPE = (3, 3, 80, 160)  # 115,200 values: the mean of a fourth power is within 2 %
FAN_IN, FAN_OUT = 720, 1440


@pytest.fixture(autouse=True)
def seed():
    utils.set_random_seed(1)


def scaled(scale, fan):
    return math.sqrt(scale / fan)


DEVIATIONS = {
    "glorot_uniform": (scaled(2, FAN_IN + FAN_OUT), "uniform"),
    "glorot_normal": (scaled(2, FAN_IN + FAN_OUT), "truncated"),
    "he_uniform": (scaled(2, FAN_IN), "uniform"),
    "he_normal": (scaled(2, FAN_IN), "truncated"),
    "lecun_uniform": (scaled(1, FAN_IN), "uniform"),
    "lecun_normal": (scaled(1, FAN_IN), "truncated"),
    "variance_scaling": (scaled(1, FAN_IN), "truncated"),
    "random_normal": (0.05, "normal"),
    "random_uniform": (0.1 / math.sqrt(12), "uniform"),
}
# The fourth moment divided by the square of the second.
KURTOSES = {"uniform": 1.8, "normal": 3.0, "truncated": 2.37}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_moments_are_those_of_the_distribution(name):
    deviation, kind = DEVIATIONS[name]
    values = initializers.get(name)(SHAPE)
    assert values.shape == SHAPE and values.dtype == np.float32
    assert abs(values.mean()) < 0.02 * deviation
    assert values.std() == pytest.approx(deviation, rel=0.01)
    assert (values.astype(np.float64) ** 4).mean() / deviation**4 == pytest.approx(KURTOSES[kind], rel=0.04)
    if kind == "uniform":
        assert np.abs(values).max() <= deviation * math.sqrt(3) * 1.0001


def test_truncated_values_are_within_two_deviations():
    values = initializers.TruncatedNormal(1.0, 0.5)(SHAPE)
    assert np.abs(values - 1).max() <= 1.0001
    assert values.std() == pytest.approx(0.5 * 0.8796, rel=0.01)


@pytest.mark.parametrize("mode, fan", [("fan_in", FAN_IN), ("fan_out", FAN_OUT), ("fan_avg", 1080)])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform", "normal"])
def test_variance_scaling_counts_inputs_and_outputs(mode, fan, distribution):
    values = initializers.VarianceScaling(3.0, mode, distribution)(SHAPE)
    assert values.std() == pytest.approx(scaled(3, fan), rel=0.01)


def test_inputs_and_outputs_of_other_shapes():
    def limit(shape):
        return np.abs(initializers.VarianceScaling(1, "fan_in", "uniform")(shape)).max() ** 2 / 3

    assert 1 / limit((500, 3)) == pytest.approx(500, rel=0.02)  # dense
    assert 1 / limit((300,)) == pytest.approx(300, rel=0.05)
    assert 1 / limit((3, 3, 200, 1)) == pytest.approx(1800, rel=0.02)  # depthwise, as Keras counts


def test_constants():
    np.testing.assert_array_equal(initializers.Zeros()((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(initializers.get("ones")((2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(initializers.Constant(2.5)((4,)), np.full(4, 2.5))
    np.testing.assert_array_equal(initializers.Identity(3)((2, 3)), 3 * np.eye(2, 3))


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (3, 3, 4, 16), (2, 2, 3, 20)])
def test_orthogonal_matrices(shape):
    values = initializers.Orthogonal(2.0)(shape).astype(np.float64).reshape(-1, shape[-1])
    small = values.T @ values if values.shape[0] >= values.shape[1] else values @ values.T
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-5)


def test_a_seed_gives_the_same_values_at_every_call():
    one = initializers.HeNormal(seed=3)
    np.testing.assert_array_equal(one((4, 5)), one((4, 5)))
    np.testing.assert_array_equal(one((4, 5)), initializers.HeNormal(3)((4, 5)))
    assert not np.array_equal(one((4, 5)), initializers.HeNormal(4)((4, 5)))


def test_without_a_seed_the_shared_generator_goes_on():
    one = initializers.HeNormal()
    first, second = one((4, 5)), one((4, 5))
    assert not np.array_equal(first, second)
    utils.set_random_seed(1)
    np.testing.assert_array_equal(one((4, 5)), first)
    utils.set_random_seed(2)
    assert not np.array_equal(one((4, 5)), first)


def test_layers_ask_for_keras_shapes():
    asked = []

    def recording(shape, dtype):
        asked.append((shape, dtype))
        return np.arange(math.prod(shape)).reshape(shape)

    conv = layers.Conv2D(6, 3, groups=2, kernel_initializer=recording, bias_initializer="ones")
    conv.build((None, 8, 8, 6))
    layers.DepthwiseConv2D(3, depth_multiplier=2, depthwise_initializer=recording).build((None, 8, 8, 4))
    dense = layers.Dense(3, kernel_initializer=recording)
    dense.build((None, 2))
    assert asked == [((3, 3, 3, 6), "float32"), ((3, 3, 4, 2), "float32"), ((2, 3), "float32")]
    np.testing.assert_array_equal(dense.kernel.numpy(), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(conv.bias.numpy(), np.ones(6))


def test_names_classes_and_objects_are_understood():
    assert isinstance(initializers.get("HeNormal"), initializers.HeNormal)
    assert isinstance(initializers.get(initializers.HeNormal), initializers.HeNormal)
    own = initializers.Constant(3)
    assert initializers.get(own) is own
    assert isinstance(initializers.get(None), initializers.GlorotUniform)


@pytest.mark.parametrize("name", [name for name in initializers.__all__ if name != "Initializer"])
def test_a_configuration_makes_the_same_initializer_again(name):
    made = getattr(initializers, name)()
    config = made.get_config()
    copy = type(made).from_config(config)
    assert copy.get_config() == config
    utils.set_random_seed(4)
    first = made((4, 6))
    utils.set_random_seed(4)
    np.testing.assert_array_equal(copy((4, 6)), first)
    assert repr(made).startswith(name)
