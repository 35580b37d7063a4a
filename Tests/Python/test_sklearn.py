"""The classifier does what scikit-learn asks of one, with images and with rows of numbers."""

import inspect
import json
import warnings

import joblib
import numpy as np
import pytest
import swiftcnn
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from swiftcnn import callbacks, layers, losses, models, optimizers, schedules
from swiftcnn.sklearn import SwiftCNNClassifier

from test_interchange import Wrapped

EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": "training goes batch by batch: a sample that is there twice is in "
    "two batches, in another order than one of weight 2",
}


# A check that passes though it is expected to fail is an error too, where scikit-learn can say so.
STRICT = {"xfail_strict": True} if "xfail_strict" in inspect.signature(parametrize_with_checks).parameters else {}


@parametrize_with_checks(
    [SwiftCNNClassifier(), SwiftCNNClassifier(optimizer="sgd", learning_rate=0.1, class_weight="balanced")],
    expected_failed_checks=lambda classifier: EXPECTED_TO_FAIL,
    **STRICT,
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    """200 images of 8x8 pixels to learn from, and others to try."""
    x, y = load_digits(return_X_y=True)
    return train_test_split(x.reshape(-1, 8, 8, 1).astype(np.uint8), y, train_size=300, test_size=200, random_state=0)


def quick(**options):
    return SwiftCNNClassifier(**{"epochs": 6, "random_state": 0, **options})


def test_images_in_every_form_give_the_same(digits):
    x, xt, y, _ = digits
    expected = quick().fit(x, y).predict_proba(xt)
    assert expected.dtype == np.float64
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    for form, options in (
        (lambda images: images[..., 0], {}),
        (lambda images: images.astype(np.float64), {}),
        (lambda images: images.reshape(len(images), -1), {"image_shape": (8, 8)}),
        (lambda images: images.reshape(len(images), -1).astype(int), {"image_shape": [8, 8, 1]}),
        (Wrapped, {}),
        (lambda images: images.tolist(), {"image_shape": np.array([8, 8])}),
    ):
        classifier = quick(**options).fit(form(x), y)
        np.testing.assert_allclose(classifier.predict_proba(form(xt)), expected, atol=1e-5)
        np.testing.assert_allclose(classifier.predict_proba(xt), expected, atol=1e-5)
        assert classifier.n_features_in_ == 64 and classifier.image_shape_ == (8, 8, 1)


def test_images_and_rows_are_learned(digits):
    x, xt, y, yt = digits
    assert quick(epochs=15).fit(x, y).score(xt, yt) > 0.9
    rows = quick(epochs=20).fit(x.reshape(len(x), -1), y)
    assert rows.score(xt.reshape(len(xt), -1), yt) > 0.85 and rows.image_shape_ == (1, 1, 64)
    assert roc_auc_score(yt, rows.predict_proba(xt.reshape(len(xt), -1)), multi_class="ovr") > 0.95


def test_networks_by_name_see_standardized_channels():
    random = np.random.default_rng(0)
    x = random.normal((5, -300, 7), (2, 100, 0), (700, 4, 4, 3)).astype(np.float32)
    y = np.arange(700) % 2
    model = quick(epochs=1).fit(x, y).model_
    seen = models.Model(model.input, model.layers[1].output).predict(x, verbose=0)
    np.testing.assert_allclose(seen.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std((0, 1, 2)), (1, 1, 0), atol=1e-4)
    raw = quick(epochs=1, standardize=False).fit(x, y).model_
    assert not any(isinstance(layer, layers.Normalization) for layer in raw.layers)


def test_labels_are_of_any_kind(digits):
    x, xt, y, _ = digits
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    by_number, by_name = quick().fit(x, y), quick().fit(x, names[y])
    assert list(by_name.classes_) == sorted(names)
    assert np.mean(names[by_number.predict(xt)] == by_name.predict(xt)) > 0.7
    assert by_name.predict(xt).dtype.kind == "U"


def test_the_model_is_a_name_a_function_or_a_model(digits):
    x, xt, y, yt = digits
    for name in ("resnet20", "auto"):
        assert quick(model=name, epochs=1).fit(x, y).model_.output_shape == (None, 10)

    def build(shape, classes):
        return models.Sequential([layers.Input(shape), layers.Rescaling(1 / 16), layers.Flatten(), layers.Dense(classes)])

    by_function = quick(model=build, optimizer="sgd", learning_rate=0.5).fit(x, y)
    assert by_function.score(xt, yt) > 0.7
    np.testing.assert_allclose(by_function.predict_proba(xt).sum(axis=1), 1)  # of logits
    trained = by_function.model_
    before = trained.get_weights()
    tuned = quick(model=trained, learning_rate=1e-5, epochs=1).fit(x, y)
    assert tuned.score(xt, yt) > 0.7 and tuned.model_ is not trained
    for value, old in zip(trained.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)
    assert quick(model=trained, epochs=1).fit(x, y % 3).model_.output_shape == (None, 3)  # a new head
    unbuilt = models.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")])
    assert quick(model=unbuilt, epochs=1).fit(x, y).predict(xt).shape == (200,) and not unbuilt.built


def test_settings_reach_the_training(digits):
    x, _, y, _ = digits
    optimizer = optimizers.SGD(momentum=0.5)
    classifier = quick(
        optimizer=optimizer,
        learning_rate=schedules.CosineDecay(0.1, None),
        loss=losses.SparseCategoricalCrossentropy(label_smoothing=0.1),
        epochs=30,
        validation_fraction=0.2,
        callbacks=[callbacks.EarlyStopping(patience=1)],
        horizontal_flip=True,
        crop_padding=1,
        batch_size=100,
    ).fit(x, y)
    settings = json.loads(classifier.model_._handle.training_settings())
    assert settings["optimizer"]["momentum"] == 0.5 and settings["schedule"]["name"] == "cosine"
    assert settings["loss"]["label_smoothing"] == 0.1
    assert set(classifier.history_) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert classifier.n_iter_ == len(classifier.history_["loss"])
    assert optimizer._handle is None and not hasattr(classifier.callbacks[0], "model")


def test_random_state_decides_everything(digits):
    x, xt, y, _ = digits
    first, second = (quick(epochs=2).fit(x, y).predict_proba(xt) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = quick(epochs=2, random_state=1).fit(x, y).predict_proba(xt)
    assert not np.allclose(first, other, atol=1e-3)

    def build(shape, classes):
        return models.Sequential([layers.Input(shape), layers.Flatten(), layers.Dense(classes, activation="softmax")])

    swiftcnn.utils.set_random_seed(5)
    expected = layers.Dense(3)
    expected.build((None, 2))
    swiftcnn.utils.set_random_seed(5)
    first, second = (quick(model=build, epochs=1).fit(x, y).predict_proba(xt) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    after = layers.Dense(3)
    after.build((None, 2))
    np.testing.assert_array_equal(after.kernel, expected.kernel)  # the shared generator did not notice
    undecided = [quick(epochs=1, random_state=None).fit(x, y).predict_proba(xt) for _ in range(2)]
    assert not np.array_equal(*undecided)


def test_n_jobs_is_the_number_of_threads(digits):
    x, xt, y, _ = digits
    before = swiftcnn.get_num_threads()
    seen = []
    count = callbacks.LambdaCallback(on_train_begin=lambda logs: seen.append(swiftcnn.get_num_threads()))
    for given in (1, 3, None, -1):
        quick(n_jobs=given, epochs=1, callbacks=[count]).fit(x, y).predict(xt)
        assert swiftcnn.get_num_threads() == before
    assert seen == [1, 3, before, before]
    with pytest.raises(ValueError, match="n_jobs"):
        quick(n_jobs=0).fit(x, y)


def test_training_goes_on_where_it_is_asked_to(digits):
    x, xt, y, yt = digits
    warm = quick(epochs=2, warm_start=True).fit(x, y)
    model = warm.model_
    first = warm.history_["loss"]
    warm.fit(x, y)
    assert warm.model_ is model and warm.n_iter_ == 4 and warm.history_["loss"][0] < first[0]
    np.testing.assert_array_equal(warm.classes_, np.arange(10))
    with pytest.raises(ValueError, match="warm_start: y holds classes"):
        warm.fit(x, y + 5)
    cold = quick(epochs=2).fit(x, y)
    model = cold.model_
    assert cold.fit(x, y).model_ is not model


def test_parts_are_learned_one_after_another(digits):
    x, xt, y, yt = digits
    classifier = quick()
    with pytest.raises(ValueError, match="classes must be given"):
        classifier.partial_fit(x, y)
    for _ in range(8):
        for start in range(0, len(x), 100):
            part = slice(start, start + 100)
            classifier.partial_fit(x[part], y[part], classes=range(10))
    assert classifier.score(xt, yt) > 0.8 and classifier.n_iter_ == 24
    of_one = y == 3  # class of several
    one = quick().partial_fit(x[of_one], y[of_one], classes=range(10), sample_weight=np.ones(of_one.sum()))
    assert one.predict_proba(xt).shape == (200, 10)
    for wrong, message in (
        ({"classes": [1, 2]}, "are not those of the first call"),
        ({"y": y + 1}, "not among the classes"),
    ):
        with pytest.raises(ValueError, match=message):
            classifier.partial_fit(x, **{"y": y, **wrong})


def test_labels_that_can_be_no_names_leave_the_network_without_class_names(digits):
    x, xt, y, _ = digits
    y = y % 2
    for labels, names in (
        (["even", "odd"], ["even", "odd"]),
        (["even\n", "odd"], None),
        (["", "odd"], None),
        ([10, 20], ["10", "20"]),
    ):
        classifier = quick(epochs=1).fit(x[:64], np.array(labels)[y[:64]])
        assert classifier.model_.class_names == names
        assert set(classifier.predict(xt)) <= set(labels)


def test_the_batch_size_is_that_of_the_model_where_none_is_given(digits):
    x, xt, y, _ = digits
    assert SwiftCNNClassifier().batch_size is None
    by_default, told = (quick(epochs=1, **given).fit(x, y) for given in ({}, {"batch_size": 32}))
    np.testing.assert_array_equal(by_default.predict_proba(xt), told.predict_proba(xt))


def test_weights_of_samples_and_classes_count(digits):
    x, xt, y, _ = digits
    y = y % 2
    weight = np.where(y == 1, 1.0, 1e-3)
    heavy = quick().fit(x, y, sample_weight=weight).predict_proba(xt)[:, 1]
    by_class = quick(class_weight={0: 1e-3, 1: 1.0}).fit(x, y).predict_proba(xt)[:, 1]
    even = quick().fit(x, y).predict_proba(xt)[:, 1]
    assert heavy.mean() > even.mean() + 0.1
    np.testing.assert_allclose(by_class, heavy, atol=1e-5)
    names = np.array(["even", "odd"])[y]
    np.testing.assert_allclose(
        quick(class_weight={"even": 1e-3, "odd": 1.0}).fit(x, names).predict_proba(xt)[:, 1], heavy, atol=1e-5
    )
    with pytest.raises(ValueError, match="[Nn]egative"):
        quick().fit(x, y, sample_weight=-weight)


BAD = [
    ({"epochs": 0}, ValueError, "epochs"),
    ({"batch_size": 1.5}, TypeError, "batch_size"),
    ({"model": "resnet21"}, ValueError, "resnet20"),
    ({"model": 3}, TypeError, "model must be a name"),
    ({"model": lambda shape, classes: 3}, TypeError, "returns a Model"),
    ({"model": lambda shape, classes: models.Sequential([layers.Flatten(), layers.Dense(3)])}, ValueError, "one output"),
    ({"image_shape": (8, 9)}, ValueError, r"\(8, 9, 1\)"),
    ({"image_shape": (8,)}, ValueError, "image_shape"),
    ({"image_shape": 64}, ValueError, "image_shape"),
    ({"optimizer": "sdg"}, ValueError, "sgd"),
    ({"learning_rate": "fast"}, TypeError, "learning_rate"),
    ({"loss": "mse"}, ValueError, "loss must be one of labels.*'mse'"),
    ({"validation_fraction": 1}, ValueError, "validation_fraction"),
    ({"class_weight": {3: -1, 11: 1}}, ValueError, "class"),
    ({"callbacks": ["stop"]}, TypeError, "callbacks"),
]


@pytest.mark.parametrize("options,error,message", BAD, ids=lambda value: None)
def test_parameters_that_do_not_fit_are_named_by_fit(digits, options, error, message):
    x, _, y, _ = digits
    classifier = quick(**options)  # scikit-learn wants no complaint here
    with pytest.raises(error, match=message):
        classifier.fit(x, y)


def test_images_that_do_not_fit_are_refused(digits):
    x, _, y, _ = digits
    classifier = quick(epochs=1)
    with pytest.raises(NotFittedError):
        classifier.predict(x)
    classifier.fit(x, y)
    for wrong in (x[:, :4], x.reshape(-1, 4, 16, 1), x.reshape(len(x), -1)[:, :60]):
        with pytest.raises(ValueError, match=r"features|\(8, 8, 1\)"):
            classifier.predict(wrong)
    with pytest.raises(ValueError, match="at least two classes"):
        classifier.fit(x, np.zeros(len(x)))


def test_copies_and_files_predict_the_same_bits(digits, tmp_path):
    x, xt, y, _ = digits
    classifier = quick(epochs=2, model="resnet20", callbacks=[callbacks.TerminateOnNaN()]).fit(x, y)
    expected = classifier.predict_proba(xt)
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    loaded = joblib.load(tmp_path / "classifier.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(xt), expected)
    assert type(clone(classifier)) is SwiftCNNClassifier and not hasattr(clone(classifier), "model_")
    for each in (classifier, loaded):
        each.partial_fit(x, y)
    np.testing.assert_array_equal(loaded.predict_proba(xt), classifier.predict_proba(xt))
    head = clone(quick(model=classifier.model_, epochs=1))
    assert head.model is not classifier.model_
    assert head.fit(x, y).predict(xt).shape == (200,)


def test_it_works_in_pipelines_and_searches(digits):
    x, xt, y, yt = digits
    rows = x.reshape(len(x), -1)
    pipeline = make_pipeline(StandardScaler(), quick(image_shape=(8, 8), n_jobs=1))
    assert cross_val_score(pipeline, rows, y, cv=2).mean() > 0.5
    search = GridSearchCV(pipeline, {"swiftcnnclassifier__epochs": [1, 6]}, cv=2, n_jobs=2)
    with warnings.catch_warnings(action="error"):
        search.fit(rows, y)
    assert search.best_params_ == {"swiftcnnclassifier__epochs": 6}
    assert search.score(xt.reshape(len(xt), -1), yt) > 0.6
    images = GridSearchCV(quick(), {"learning_rate": [1e-6, 1e-3]}, cv=2).fit(x, y)
    assert images.best_params_ == {"learning_rate": 1e-3}


def test_the_package_does_not_need_scikit_learn(run_python):
    output = run_python(
        """
import sys
sys.modules["sklearn"] = None
import swiftcnn
print("sklearn" in dir(swiftcnn))
try:
    import swiftcnn.sklearn
except ImportError as error:
    print(error)
"""
    )
    assert output == "False\nswiftcnn.sklearn needs scikit-learn 1.6 or later\n"
