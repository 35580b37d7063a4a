"""Penalties on weights: their value in the loss and their gradient."""

import numpy as np
import pytest
from swiftcnn import layers, models, regularizers

RANDOM = np.random.default_rng(8)
X = RANDOM.standard_normal((6, 5, 5, 4)).astype(np.float32)


def penalty(w, l1, l2):
    return l1 * np.abs(w).sum() + l2 * (w.astype(np.float64) ** 2).sum()


LAYERS = {
    "conv2d": lambda r: layers.Conv2D(3, 3, kernel_regularizer=r, bias_regularizer=r, bias_initializer="ones"),
    "depthwise_conv2d": lambda r: layers.DepthwiseConv2D(3, depthwise_regularizer=r, bias_regularizer=r),
    "separable_conv2d": lambda r: layers.SeparableConv2D(3, 3, depthwise_regularizer=r, pointwise_regularizer=r),
    "dense": lambda r: layers.Dense(3, kernel_regularizer=r, bias_regularizer=r, bias_initializer="ones"),
    "batch_normalization": lambda r: layers.BatchNormalization(gamma_regularizer=r, beta_regularizer=r),
    "prelu": lambda r: layers.PReLU(alpha_initializer="ones", alpha_regularizer=r, shared_axes=[1, 2]),
}


def compiled(layer):
    model = models.Sequential([layers.Input((5, 5, 4)), layer, layers.Flatten(), layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("l1, l2", [(0.1, 0.0), (0.0, 0.2), (0.03, 0.04)])
def test_loss_and_gradient_grow_by_the_penalty(name, l1, l2):
    with_it, without = (compiled(LAYERS[name](r)) for r in (regularizers.L1L2(l1, l2), None))
    without.set_weights(with_it.get_weights())
    layer = with_it.layers[0]
    before = [(w.parameter, w.numpy(), with_it.get_parameter(w.parameter)) for w in layer.trainable_weights]
    if name == "separable_conv2d":
        before = [row for row in before if not row[0].endswith("bias")]
    difference = with_it.train_on_batch(X, np.ones(6)) - without.train_on_batch(X, np.ones(6))
    assert difference == pytest.approx(sum(penalty(w, l1, l2) for _, w, _ in before), rel=1e-3)
    other = {w.parameter.split(".", 1)[1]: w.parameter for w in without.layers[0].weights}
    for parameter, _, stored in before:
        gradient = with_it.get_gradient(parameter) - without.get_gradient(other[parameter.split(".", 1)[1]])
        np.testing.assert_allclose(gradient, l1 * np.sign(stored) + 2 * l2 * stored, rtol=1e-3, atol=1e-5)


def test_the_loss_of_an_evaluation_holds_the_penalty_too():
    layer = layers.Dense(1, kernel_regularizer="l2", use_bias=False)
    model = models.Sequential([layers.Input((4,)), layer])
    model.compile("sgd", "mse")
    x = X[:, 0, 0]
    w = layer.kernel.numpy()
    assert model.evaluate(x, np.zeros(6), verbose=0) == pytest.approx(np.mean((x @ w) ** 2) + penalty(w, 0, 0.01))


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_weights_are_not_penalised(frozen):
    layer = layers.Dense(1, kernel_regularizer=regularizers.L2(0.5), use_bias=False, trainable=not frozen)
    model = models.Sequential([layers.Input((4,)), layer, layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    x = X[:, 0, 0]
    expected = np.mean(model.predict(x, verbose=0) ** 2) + (0 if frozen else penalty(layer.kernel.numpy(), 0, 0.5))
    assert model.train_on_batch(x, np.zeros(6)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("times", [1, 2])
def test_a_layer_counts_once_in_whatever_it_is_nested(times):
    dense = layers.Dense(4, kernel_regularizer=regularizers.L1(0.3), use_bias=False)

    class Around(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = models.Sequential([layers.Input((4,)), dense])

        def call(self, x):
            return self.inner(x)

    around = Around()
    x = y = layers.Input((4,))
    for _ in range(times):
        y = around(y)
    model = models.Model(x, y)
    model.compile("sgd", "mse")
    a = X[:, 0, 0]
    expected = np.mean(model.predict(a, verbose=0) ** 2) + penalty(dense.kernel.numpy(), 0.3, 0)
    assert model.train_on_batch(a, np.zeros((6, 4))) == pytest.approx(expected, rel=1e-5)


def test_a_loaded_model_keeps_its_penalties(tmp_path):
    model = compiled(LAYERS["conv2d"](regularizers.L1L2(0.1, 0.2)))
    model.save(tmp_path / "m.safetensors")
    loaded = models.load_model(tmp_path / "m.safetensors")
    assert loaded.train_on_batch(X, np.ones(6)) == model.train_on_batch(X, np.ones(6))


def test_names_and_objects_are_understood():
    assert regularizers.get(None) is None
    assert regularizers.get("l1").get_config() == {"l1": 0.01}
    assert regularizers.get("L2").get_config() == {"l2": 0.01}
    assert regularizers.get("l1_l2").get_config() == regularizers.get("L1L2").get_config() == {"l1": 0.0, "l2": 0.0}
    own = regularizers.l1_l2(l1=0.1, l2=0.2)
    assert regularizers.get(own) is own
    for made in (regularizers.l1(0.3), regularizers.l2(0.4), own):
        assert type(made).from_config(made.get_config()).get_config() == made.get_config()
    assert repr(own) == "L1L2(l1=0.1, l2=0.2)"
