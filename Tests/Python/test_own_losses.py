"""Losses of one's own: functions of symbols, whose graphs the library differentiates and trains."""

import numpy as np
import pytest

import swiftcnn
from swiftcnn import layers, losses, ops

RANDOM = np.random.default_rng(8)
X = RANDOM.normal(size=(40, 6)).astype(np.float32)
Y = RANDOM.dirichlet(np.ones(3), 40).astype(np.float32)
WEIGHTS = RANDOM.random(40).astype(np.float32)


def network(activation="softmax"):
    swiftcnn.utils.set_random_seed(1)
    return swiftcnn.Sequential([layers.Input((6,)), layers.Dense(5, "tanh"), layers.Dense(3, activation)])


def trained(loss, activation="softmax", **options):
    model = network(activation)
    model.compile(swiftcnn.optimizers.SGD(0.3), loss)
    history = model.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0, **options).history["loss"]
    return model, history


PAIRS = {
    "mean_squared_error": lambda y, p: ops.mean((y - p) ** 2),
    "mean_absolute_error": lambda y, p: ops.mean(abs(y - p), axis=-1),
    "huber": lambda y, p: ops.mean(
        ops.where(ops.abs(p - y) <= 1.0, 0.5 * ops.square(p - y), ops.abs(p - y) - 0.5), axis=-1
    ),
    "log_cosh": lambda y, p: ops.mean(ops.log((ops.exp(p - y) + ops.exp(y - p)) / 2), axis=1),
    "kl_divergence": lambda y, p: ops.sum(ops.clip(y, 1e-7, 1) * ops.log(ops.clip(y, 1e-7, 1) / p), axis=-1),
    "categorical_crossentropy": lambda y, p: -ops.sum(y * ops.log(ops.maximum(p, 1e-7)), axis=-1),
    "binary_crossentropy": lambda y, p: -ops.mean(y * ops.log(p) + (1 - y) * ops.log(1 - p), axis=-1),
    "binary_focal_crossentropy": lambda y, p: -ops.mean(
        (1 - y * p - (1 - y) * (1 - p)) ** 2 * (y * ops.log(p) + (1 - y) * ops.log(1 - p)), -1
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_loss_written_again_trains_as_the_librarys_own(name):
    own, history = trained(PAIRS[name])
    known, expected = trained(name)
    assert history == pytest.approx(expected, rel=2e-6)
    for a, b in zip(own.get_weights(), known.get_weights(), strict=True):
        assert a == pytest.approx(b, abs=3e-6)
    assert history[-1] < history[0]


@pytest.mark.parametrize("name", PAIRS)
def test_the_same_function_computes_with_arrays(name):
    p = np.clip(RANDOM.dirichlet(np.ones(3), 7), 0.05, 0.95)
    p /= p.sum(axis=-1, keepdims=True)
    assert np.mean(PAIRS[name](Y[:7], p)) == pytest.approx(np.mean(getattr(losses, name)(Y[:7], p)), rel=1e-5)


def test_softmax_and_its_logarithm_of_logits():
    def own(y_true, y_pred):
        return -ops.sum(y_true * ops.log_softmax(y_pred), axis=-1)

    def longer(y_true, y_pred):
        return ops.sum(y_true * (ops.logsumexp(y_pred, axis=-1, keepdims=True) - y_pred), axis=-1)

    expected = trained(losses.CategoricalCrossentropy(from_logits=True), None)[1]
    for loss in (own, longer, lambda y, p: -ops.sum(y * ops.log(ops.softmax(p)), axis=-1)):
        assert trained(loss, None)[1] == pytest.approx(expected, rel=1e-5)


def test_sample_weights_count_as_for_other_losses():
    for loss in (lambda y, p: ops.mean((y - p) ** 2, axis=-1), lambda y, p: ops.square(y - p)):
        history = trained(loss, sample_weight=WEIGHTS)[1]
        assert history == pytest.approx(trained("mse", sample_weight=WEIGHTS)[1], rel=1e-5)
    model, _ = trained(lambda y, p: ops.sum((y - p) ** 2))
    p = model.predict(X, verbose=0)
    # One number for the batch, times the mean of the weights, as Keras.
    expected = ((Y - p) ** 2).sum() * WEIGHTS.mean()
    assert model.test_on_batch(X, Y, sample_weight=WEIGHTS) == pytest.approx(expected, rel=1e-5)


def test_weights_of_classes_and_images_of_any_size():
    scale = np.array([1.0, 2.0, 0.5])
    model, history = trained(lambda y, p: ops.mean(scale * (y - p) ** 2, axis=-1))
    p = model.predict(X, verbose=0)
    found = model.evaluate(X, Y, verbose=0)
    assert found == pytest.approx((scale * (Y - p) ** 2).mean(), rel=1e-5) and history[-1] < history[0]

    image = swiftcnn.Sequential([layers.Input((None, None, 2)), layers.Conv2D(1, 3, padding="same")])
    image.compile("sgd", lambda y, p: ops.mean(ops.abs(y - p), axis=(1, 2, 3)))
    x, y = RANDOM.normal(size=(3, 5, 4, 2)).astype("f"), RANDOM.normal(size=(3, 5, 4, 1)).astype("f")
    assert image.evaluate(x, y, verbose=0) == pytest.approx(np.abs(y - image.predict(x, verbose=0)).mean(), rel=1e-5)


class Smooth(losses.Loss):
    """An own class of losses."""

    def __init__(self, power=1.5, name="smooth"):
        super().__init__(name=name)
        self.power = power

    def call(self, y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred) ** self.power, axis=-1)


def test_classes_and_functions_with_arguments():
    def powered(y_true, y_pred, power):
        return ops.mean(ops.abs(y_true - y_pred) ** power, axis=-1)

    expected = trained(Smooth(1.7))[1]
    assert trained(losses.LossFunctionWrapper(powered, power=1.7))[1] == expected
    assert Smooth(1.7)(Y, Y[::-1]) == pytest.approx(np.mean(np.abs(Y - Y[::-1]) ** 1.7), rel=1e-6)
    assert losses.MeanSquaredError()(Y, Y[::-1], WEIGHTS) == pytest.approx(
        np.mean(np.mean((Y - Y[::-1]) ** 2, -1) * WEIGHTS), rel=1e-5
    )


def test_a_checkpoint_has_the_loss(tmp_path):
    path = tmp_path / "own.safetensors"
    model, _ = trained(Smooth())
    model.save(path)
    loaded = swiftcnn.load_model(path)
    assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    for each in (model, loaded):
        each.train_on_batch(X[:8], Y[:8])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))


@pytest.mark.parametrize(
    "loss, message",
    [
        (lambda y, p: np.mean((y - p) ** 2), "use the operators and swiftcnn.ops"),
        (lambda y, p: 3.0, "the loss '<lambda>' gave float"),
        (lambda y, p: None, "gave NoneType"),
        (lambda y, p: p if p > 0 else y, "use ops.where"),
        (lambda y, p: ops.mean(p, axis=2), "axis 2 is none"),
        (lambda y, p: p - ops.mean(p, axis=-1), "keepdims=True"),
        (lambda y, p: p * np.ones((2, 3)), "one number for each element of the last axis"),
        (lambda y, p: ops.sum(p, axis=0), "expected a number for each sample, or one"),
    ],
)
def test_what_is_no_loss_is_said(loss, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", loss)
    with pytest.raises(RuntimeError, match="not compiled"):
        model.train_on_batch(X, Y)


def test_functions_of_arrays_are_numpys():
    a, b = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=(4, 3))
    for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "greater", "less_equal", "not_equal"):
        assert np.asarray(getattr(ops, name)(a, b)) == pytest.approx(np.asarray(getattr(np, name)(a, b), float))
    for name in ("exp", "tanh", "square", "sign"):
        assert getattr(ops, name)(a) == pytest.approx(getattr(np, name)(a))
    assert ops.sigmoid(a) == pytest.approx(1 / (1 + np.exp(-a))) and ops.relu(a).min() == 0
    assert ops.softmax(a).sum(axis=-1) == pytest.approx(np.ones(4))
    assert ops.min(a, axis=0) == pytest.approx(a.min(axis=0)) and ops.where(a > 0, a, 0).min() == 0


def test_each_operation_of_symbols_computes_what_it_does_of_arrays():
    y, p = Y[:9], np.clip(RANDOM.random((9, 3)), 0.1, 0.9).astype("f")
    mirror = swiftcnn.Sequential([layers.Input((3,)), layers.Rescaling(1.0)])
    functions = [
        lambda y, p: ops.add(y, p) * ops.subtract(1, p) / ops.divide(2, p + 1),
        lambda y, p: ops.maximum(y, p) + ops.minimum(0.5, p) - ops.maximum(p, 0.3),
        lambda y, p: ops.greater(p, y) + 2 * ops.less(p, 0.5) + 4 * ops.equal(p, p) + 8 * ops.not_equal(y, p),
        lambda y, p: ops.greater_equal(p, 0.5) * p + ops.less_equal(y, p) * y,
        lambda y, p: ops.power(p, y) + 2**p + p**-1 + ops.sqrt(p) + 1 / p,
        lambda y, p: ops.sigmoid(p) + ops.softplus(p) + ops.relu(p - 0.5) + ops.tanh(p) + ops.sign(y - p),
        lambda y, p: ops.max(p, axis=-1) + ops.min(p, axis=-1) - ops.sum(p, axis=-1, keepdims=False),
        lambda y, p: ops.where(p > y, p, -y) + ops.cast(p, "float32") - ops.mean(p, axis=-1, keepdims=True),
        lambda y, p: ops.logsumexp(p, axis=-1) + ops.max(p),
        lambda y, p: -p + (3 - p) - (y - 2) + abs(p - 0.5),
    ]
    for function in functions:
        mirror.compile("sgd", function)
        assert mirror.test_on_batch(p, y) == pytest.approx(float(np.mean(function(y, p))), rel=2e-5)
