"""Losses and metrics as functions agree with what the library measures, and may be given to compile."""

import numpy as np
import pytest

import swiftcnn
from swiftcnn import layers, losses, metrics

RANDOM = np.random.default_rng(5)
LABELS = RANDOM.integers(0, 4, 24)
ROWS = np.eye(4, dtype=np.float32)[LABELS]
SHARES = RANDOM.dirichlet(np.ones(4), 24).astype(np.float32)
SCORES = RANDOM.dirichlet(np.ones(4), 24).astype(np.float32)
LOGITS = RANDOM.normal(0, 3, (24, 4)).astype(np.float32)


def measured(y, predictions, loss, metric=None):
    """What the library says of predictions: those of a network that does nothing."""
    model = swiftcnn.Sequential([layers.Input((4,)), layers.Rescaling(1.0)])
    model.compile("sgd", loss, metrics=None if metric is None else [metric])
    return model.evaluate(predictions, y, batch_size=24, verbose=0)


@pytest.mark.parametrize(
    "name, y, predictions, made",
    [
        ("mean_squared_error", ROWS, LOGITS, losses.MeanSquaredError),
        ("mean_absolute_error", ROWS, LOGITS, losses.MeanAbsoluteError),
        ("huber", ROWS, LOGITS, losses.Huber),
        ("log_cosh", ROWS, LOGITS, losses.LogCosh),
        ("kl_divergence", SHARES, SCORES, losses.KLDivergence),
        ("binary_crossentropy", ROWS, SCORES, losses.BinaryCrossentropy),
        ("categorical_crossentropy", SHARES, SCORES, losses.CategoricalCrossentropy),
        ("sparse_categorical_crossentropy", LABELS, SCORES, losses.SparseCategoricalCrossentropy),
        ("sparse_categorical_crossentropy", LABELS[:, None], SCORES, losses.SparseCategoricalCrossentropy),
    ],
)
def test_a_loss_of_rows_has_the_mean_that_training_measures(name, y, predictions, made):
    function = getattr(losses, name)
    costs = function(y, predictions)
    assert costs.shape == (24,) and costs.dtype == np.float32
    assert np.mean(costs) == pytest.approx(measured(y, predictions, made()), rel=1e-5)
    assert measured(y, predictions, function) == measured(y, predictions, name)


@pytest.mark.parametrize(
    "name, y, made",
    [
        ("binary_crossentropy", ROWS, losses.BinaryCrossentropy),
        ("categorical_crossentropy", SHARES, losses.CategoricalCrossentropy),
        ("sparse_categorical_crossentropy", LABELS, losses.SparseCategoricalCrossentropy),
    ],
)
def test_cross_entropies_of_logits(name, y, made):
    costs = getattr(losses, name)(y, LOGITS, from_logits=True)
    assert np.mean(costs) == pytest.approx(measured(y, LOGITS, made(from_logits=True)), rel=1e-5)


@pytest.mark.parametrize("name", ["binary_crossentropy", "categorical_crossentropy"])
def test_smoothed_targets(name):
    made = {
        "binary_crossentropy": losses.BinaryCrossentropy,
        "categorical_crossentropy": losses.CategoricalCrossentropy,
    }
    costs = getattr(losses, name)(ROWS, SCORES, label_smoothing=0.2)
    assert np.mean(costs) == pytest.approx(measured(ROWS, SCORES, made[name](label_smoothing=0.2)), rel=1e-5)


@pytest.mark.parametrize(
    "name, y, options, made",
    [
        ("binary_accuracy", ROWS, {"threshold": 0.3}, metrics.BinaryAccuracy(threshold=0.3)),
        ("categorical_accuracy", ROWS, {}, metrics.CategoricalAccuracy()),
        ("sparse_categorical_accuracy", LABELS, {}, metrics.SparseCategoricalAccuracy()),
        ("top_k_categorical_accuracy", ROWS, {"k": 2}, metrics.TopKCategoricalAccuracy(2)),
        ("sparse_top_k_categorical_accuracy", LABELS, {"k": 3}, metrics.SparseTopKCategoricalAccuracy(3)),
        ("mean_squared_error", ROWS, {}, metrics.MeanSquaredError()),
        ("mean_absolute_error", ROWS, {}, metrics.MeanAbsoluteError()),
    ],
)
def test_a_metric_of_rows_has_the_mean_that_evaluation_measures(name, y, options, made):
    function = getattr(metrics, name)
    loss = "sparse_categorical_crossentropy" if y.ndim == 1 else "categorical_crossentropy"
    values = function(y, SCORES, **options)
    assert values.dtype == np.float32 and 0 < np.mean(values) < 1
    assert np.mean(values) == pytest.approx(measured(y, SCORES, loss, made)[1], rel=1e-5)
    assert measured(y, SCORES, loss, function) == measured(y, SCORES, loss, name)


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda: losses.mean_squared_error(np.zeros(3), np.zeros(4)), "y_true"),
        (lambda: losses.mean_squared_error("a", np.zeros(4)), "y_true"),
        (lambda: losses.mean_squared_error(0.0, 0.0), "y_pred"),
        (lambda: losses.sparse_categorical_crossentropy([4], np.ones((1, 4))), r"y_true\[0\] is 4"),
        (lambda: losses.sparse_categorical_crossentropy([0, 1], np.ones((1, 4))), "y_true"),
        (lambda: losses.sparse_categorical_crossentropy([0], np.ones((1, 4)), ignore_class=0), "ignore_class"),
        (lambda: losses.categorical_crossentropy([[1, 0]], [[0.5, 0.5]], axis=0), "axis"),
        (lambda: losses.binary_crossentropy([[1, 0]], [[0.5, 0.5]], label_smoothing=2), "label_smoothing"),
        (lambda: metrics.top_k_categorical_accuracy([[1, 0]], [[0.5, 0.5]], k=0), "k is 0"),
        (lambda: metrics.sparse_top_k_categorical_accuracy([0], [[0.5, 0.5]], from_sorted_ids=True), "from_sorted_ids"),
    ],
)
def test_what_does_not_fit_is_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()


def test_a_model_compiled_without_a_loss_predicts_and_says_what_training_lacks():
    model = swiftcnn.Sequential([layers.Input((4,)), layers.Dense(2)])
    model.compile()
    assert model.compiled and model.metrics_names == ["loss"] and model.optimizer.name == "rmsprop"
    assert model.predict(LOGITS, verbose=0).shape == (24, 2)
    y = np.zeros((24, 2))
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="No loss to compute. Provide a `loss` argument in `compile"):
            call(LOGITS, y)
    model.compile(loss="mse")
    model.fit(LOGITS, y, verbose=0)
    model.compile(loss=None)
    with pytest.raises(ValueError, match="No loss"):
        model.fit(LOGITS, y, verbose=0)
