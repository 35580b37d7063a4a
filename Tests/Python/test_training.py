"""Models are compiled, trained and evaluated, with the results that Keras gives."""

import time

import numpy as np
import pytest
import swiftcnn
from swiftcnn import callbacks, losses, metrics, optimizers

from conftest import make_model


def cross_entropies(model, x, y):
    return -np.log(np.maximum(model.predict(x)[np.arange(len(y)), y], 1e-7))


def test_training_lowers_the_loss_and_history_is_keras(data):
    x, y = data
    model = make_model()
    model.compile(optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, batch_size=8, epochs=8, verbose=0, validation_data=(x[:10], y[:10]))
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history.epoch == list(range(8))
    assert all(type(value) is float for values in history.history.values() for value in values)
    losses_ = history.history["loss"]
    assert losses_[-1] < 0.7 * losses_[0]
    assert model.history is history


def test_evaluate_gives_the_mean_loss_and_accuracy(model, data):
    x, y = data
    loss, accuracy = model.evaluate(x, y, batch_size=7, verbose=0)
    assert type(loss) is float and type(accuracy) is float
    assert loss == pytest.approx(cross_entropies(model, x, y).mean(), rel=1e-4)
    assert accuracy == np.mean(model.predict(x).argmax(1) == y)
    named = model.evaluate(x, y, batch_size=7, verbose=0, return_dict=True)
    assert named == {"loss": loss, "accuracy": accuracy}
    assert model.metrics_names == ["loss", "accuracy"]


def test_without_metrics_results_are_the_loss_alone(data):
    model = make_model()
    model.compile("adam", losses.SparseCategoricalCrossentropy())
    assert type(model.evaluate(*data, verbose=0)) is float
    assert type(model.test_on_batch(*data)) is float
    assert type(model.train_on_batch(*data)) is float


def test_train_on_batch_measures_before_the_step(model, data):
    x, y = data
    loss, _ = model.train_on_batch(x, y)
    again = model.train_on_batch(x, y, return_dict=True)
    assert again["loss"] < loss
    assert set(again) == {"loss", "accuracy"}


def test_test_on_batch_is_evaluate_without_training(model, data):
    before = model.get_weights()
    assert model.test_on_batch(*data) == pytest.approx(model.evaluate(*data, verbose=0), rel=1e-5)
    for array, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_fit_without_shuffling_is_train_on_batch_in_turn(data):
    x, y = data
    fitted, stepped = make_model(), make_model()
    for model in (fitted, stepped):
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = fitted.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    results = [(len(y[i : i + 16]), *stepped.train_on_batch(x[i : i + 16], y[i : i + 16])) for i in (0, 16, 32)]
    for array, other in zip(fitted.get_weights(), stepped.get_weights(), strict=True):
        np.testing.assert_array_equal(array, other)
    assert history.history["loss"][0] == pytest.approx(sum(n * loss for n, loss, _ in results) / len(y))


def test_sample_weights_multiply_the_losses(model, data):
    x, y = data
    weight = np.linspace(0, 2, len(y))
    expected = (cross_entropies(model, x, y) * weight).mean()
    for given in (weight, weight[:, None], list(weight)):
        assert model.evaluate(x, y, sample_weight=given, verbose=0)[0] == pytest.approx(expected, rel=1e-4)


def test_class_weights_are_sample_weights_by_label(data):
    x, y = data
    table = {0: 0.5, 3: 2.0, 9: 0.0}
    weight = np.array([table.get(int(label), 1.0) for label in y])
    by_class, by_sample = make_model(), make_model()
    for model in (by_class, by_sample):
        model.compile("sgd", "sparse_categorical_crossentropy")
    assert by_class.train_on_batch(x, y, class_weight=table) == by_sample.train_on_batch(x, y, sample_weight=weight)
    by_class.fit(x, y, class_weight=table, sample_weight=weight, verbose=0)
    by_sample.fit(x, y, sample_weight=weight * weight, verbose=0)
    for array, other in zip(by_class.get_weights(), by_sample.get_weights(), strict=True):
        np.testing.assert_array_equal(array, other)


def test_validation_split_holds_back_the_last_images(data):
    x, y = data
    split, given = make_model(), make_model()
    for model in (split, given):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    first = split.fit(x, y, validation_split=0.25, verbose=0, epochs=2)
    second = given.fit(x[:30], y[:30], validation_data=(x[30:], y[30:]), verbose=0, epochs=2)
    assert first.history == second.history


def test_validation_may_be_weighted_and_rare(model, data):
    x, y = data
    weight = np.linspace(0, 1, len(y))
    history = model.fit(x, y, validation_data=(x, y, weight), validation_freq=2, epochs=3, verbose=0)
    assert len(history.history["val_loss"]) == 1 and len(history.history["loss"]) == 3


def test_initial_epoch_counts_from_there(model, data):
    assert model.fit(*data, epochs=5, initial_epoch=3, verbose=0).epoch == [3, 4]
    assert model.fit(*data, epochs=3, initial_epoch=3, verbose=0).history == {}


def test_same_seed_same_bits_and_augmentation_changes_them(data):
    def trained(seed, **options):
        model = make_model()
        model.compile("sgd", "sparse_categorical_crossentropy", seed=seed)
        model.fit(*data, batch_size=8, epochs=2, verbose=0, **options)
        return model.get_parameter("conv1.weight")

    plain = trained(0)
    np.testing.assert_array_equal(plain, trained(0))
    assert not np.array_equal(plain, trained(1))
    assert not np.array_equal(plain, trained(0, horizontal_flip=True))
    assert not np.array_equal(plain, trained(0, crop_padding=2))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int64, np.uint64, np.float32, np.float64])
def test_labels_of_any_dtype_are_accepted(model, data, dtype):
    x, y = data
    expected = model.test_on_batch(x, y.astype(np.int32))
    assert model.test_on_batch(x, y.astype(dtype)) == expected
    assert model.test_on_batch(x, y.astype(dtype)[:, None]) == expected
    assert model.test_on_batch(x, list(y.astype(dtype))) == expected


def test_every_loss_trains_and_equals_its_formula(data):
    x, y = data
    one_hot = np.eye(10, dtype=np.uint8)[y]
    smooth = one_hot * 0.9 + 0.01
    formulas = {
        losses.CategoricalCrossentropy(): lambda p: -(one_hot * np.log(p)).sum(1),
        losses.MeanSquaredError(): lambda p: ((one_hot - p) ** 2).mean(1),
        losses.KLDivergence(): lambda p: (smooth * np.log(smooth / p)).sum(1),
        losses.BinaryCrossentropy(from_logits=False): lambda p: (
            -(one_hot * np.log(p) + (1 - one_hot) * np.log(1 - p)).mean(1)
        ),
    }
    for loss, formula in formulas.items():
        model = make_model()
        model.compile("sgd", loss, metrics=["accuracy"])
        target = smooth if isinstance(loss, losses.KLDivergence) else one_hot
        p = np.clip(model.predict(x).astype(np.float64), 1e-7, 1 - 1e-7)
        assert model.evaluate(x, target, verbose=0)[0] == pytest.approx(formula(p).mean(), rel=1e-4), loss
        model.train_on_batch(x, target)


def test_smoothed_labels_equal_smoothed_targets(data):
    x, y = data
    smooth = np.eye(10)[y] * 0.9 + 0.01
    sparse, dense = make_model(), make_model()
    sparse.compile("sgd", losses.SparseCategoricalCrossentropy(label_smoothing=0.1))
    dense.compile("sgd", losses.CategoricalCrossentropy())
    assert sparse.test_on_batch(x, y) == pytest.approx(dense.test_on_batch(x, smooth), rel=1e-4)


def test_logits_train_as_their_softmax_does(data):
    x, y = data
    probabilities, logits = make_model(), make_model(classifier_activation=None)
    for model in (probabilities, logits):
        model.compile("sgd", "sparse_categorical_crossentropy")
    assert logits.test_on_batch(x, y) == pytest.approx(probabilities.test_on_batch(x, y), rel=1e-4)


def test_top_k_counts_the_label_among_the_most_probable(data):
    x, y = data
    model = make_model()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metrics.TopKAccuracy(k=3)])
    expected = np.mean([label in row.argsort()[-3:] for label, row in zip(y, model.predict(x), strict=True)])
    assert model.evaluate(x, y, verbose=0)[1] == expected


def test_gradients_are_read_by_name(data):
    model = make_model()
    model.compile(optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    model.freeze()
    model.unfreeze("fc.*")
    before = model.get_parameter("fc.bias")
    with pytest.raises(RuntimeError, match="step"):
        model.get_gradient("fc.bias")
    model.train_on_batch(*data)
    gradient = model.get_gradient("fc.bias")
    assert gradient.shape == (10,) and gradient.dtype == np.float32
    np.testing.assert_allclose(model.get_parameter("fc.bias"), before - 0.5 * gradient, atol=1e-6)
    assert abs(gradient.sum()) < 1e-5 < np.abs(gradient).max()  # softmax minus one-hot sums to nothing
    with pytest.raises(RuntimeError, match="frozen"):
        model.get_gradient("conv1.weight")


def test_the_gradient_is_that_of_the_loss(data):
    x, y = data
    model = make_model()
    for row in model.parameters:
        if row.role.startswith("normalization"):
            model.freeze(row.name)  # so that training normalises with the statistics, as evaluation does
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    model.train_on_batch(x, y)
    for name in ("conv1.weight", "fc.weight"):
        gradient = model.get_gradient(name)
        value = model.get_parameter(name)
        direction = gradient / np.linalg.norm(gradient)
        step = 2e-3
        ends = []
        for sign in (1, -1):
            model.set_parameter(name, value + sign * step * direction)
            ends.append(model.test_on_batch(x, y))
        model.set_parameter(name, value)
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(np.linalg.norm(gradient), rel=0.02)


def test_training_that_turns_nan_says_so(model, data):
    x, y = data
    bad = x.astype(np.float32)
    bad[3] = np.nan
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match="step 0"):
        model.train_on_batch(bad, y)
    for array, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, old)
    with pytest.raises(FloatingPointError, match="step"):
        model.fit(bad, y, verbose=0)


def test_training_before_compile_is_an_error(data):
    model = make_model()
    for call in (model.fit, model.train_on_batch, model.test_on_batch, model.evaluate):
        with pytest.raises(RuntimeError, match="compile"):
            call(*data)


def test_settings_that_the_library_refuses_leave_the_model_uncompiled():
    model = make_model()
    with pytest.raises(ValueError, match="momentum"):
        model.compile(optimizers.SGD(momentum=2.0), "mse")
    assert not model.compiled and model.optimizer is None


def test_compiling_in_the_midst_of_a_run_ends_it(model, data):
    x, y = data
    run = model._handle.fit(x, y.astype(np.int32), None, "{}")
    run.step()
    model.compile("sgd", "mse")  # whose targets would be another type and size
    with pytest.raises(RuntimeError, match="compile"):
        run.step()


def test_two_classes_train_with_one_logit(data):
    x, y = data
    model = make_model(classes=1, classifier_activation=None)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y > 4, epochs=6, batch_size=8, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    logits = model.predict(x)[:, 0]
    assert model.evaluate(x, y > 4, verbose=0)[1] == np.mean((logits > 0) == (y > 4))


def test_gradients_stay_until_the_next_step(model, data):
    x, y = data
    model.train_on_batch(x, y)
    gradient = model.get_gradient("conv1.weight")
    model.evaluate(x, y, verbose=0)
    for count in range(1, 20):
        model.predict(x[:count])
    np.testing.assert_array_equal(model.get_gradient("conv1.weight"), gradient)


def test_training_on_floats_equals_training_on_pixels(data):
    x, y = data
    pixels, floats = make_model(mean=[0.5], std=[0.25]), make_model()
    for model in (pixels, floats):
        model.compile("sgd", "sparse_categorical_crossentropy")
    first = pixels.train_on_batch(x, y)
    assert first == pytest.approx(floats.train_on_batch((x / 255 - 0.5) / 0.25, y), rel=1e-4)


def test_module_functions_are_exported():
    for name in swiftcnn.__all__:
        assert hasattr(swiftcnn, name)


def test_what_fit_does_between_steps_takes_no_time(monkeypatch):
    """The loop, the callbacks and the progress line: 10 microseconds of a step, and far below 0.3 % of 100 ms."""
    model = make_model()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    count = 3000
    x, y = np.zeros((count, *model.input_shape[1:]), np.uint8), np.zeros(count, np.int32)

    def step(run):
        run.samples = 1
        return 2.0, 0.5

    monkeypatch.setattr("swiftcnn._runs.Run.step", step)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    watchers = [callbacks.Callback(), callbacks.TerminateOnNaN()]
    start = time.process_time()
    model.fit(x, y, batch_size=1, verbose=1, callbacks=watchers)
    assert (time.process_time() - start) / count < 3e-4
