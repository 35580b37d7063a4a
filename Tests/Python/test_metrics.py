"""Metrics that are counted over an epoch, by themselves and of models, and metrics of one's own."""

import copy
import pickle

import golden
import numpy as np
import pytest
from sklearn import metrics as sk

import swiftcnn
from swiftcnn import layers, losses, metrics

TENSORS, DOCUMENT = golden.tensors("keras")
RANDOM = np.random.default_rng(3)
LABELS = RANDOM.integers(0, 4, 50)
ROWS = np.eye(4, dtype=np.float32)[LABELS]
SCORES = RANDOM.dirichlet(np.ones(4), 50).astype(np.float32)
WEIGHTS = RANDOM.random(50).astype(np.float32)

CLASSES = {
    "auc": metrics.AUC,
    "f1_score": metrics.F1Score,
    "fbeta_score": metrics.FBetaScore,
}


def class_of(kind):
    return CLASSES.get(kind) or getattr(metrics, "".join(word.capitalize() for word in kind.split("_")))


def mirror(loss="sparse_categorical_crossentropy", **options):
    """A model that gives what it is given, as probabilities."""
    model = swiftcnn.Sequential([layers.Input((4,)), layers.Rescaling(1.0)])
    model.compile("sgd", loss, **options)
    return model


def classifier(**options):
    swiftcnn.utils.set_random_seed(4)
    model = swiftcnn.Sequential([layers.Input((4,)), layers.Dense(4, activation="softmax")])
    model.compile(swiftcnn.optimizers.SGD(0.1), "sparse_categorical_crossentropy", **options)
    return model


@pytest.mark.parametrize("kind", sorted({case["kind"] for case in DOCUMENT["metrics"].values()}))
def test_a_metric_by_itself_is_kerass(kind):
    for name, case in DOCUMENT["metrics"].items():
        if case["kind"] != kind:
            continue
        metric = class_of(kind)(**case["arguments"])
        y, p, weight = (TENSORS[f"metrics/{case['inputs']}/{what}"] for what in ("target", "prediction", "weight"))
        for part in (slice(0, len(y) // 2), slice(len(y) // 2, None)):
            metric.update_state(y[part], p[part], weight[part] if case["weighted"] else None)
        result = np.asarray(metric.result())
        assert result.shape == tuple(case["shape"]), name
        assert result.reshape(-1) == pytest.approx(case["numbers"], rel=2e-6, abs=2e-6), name
        metric.reset_state()
        assert not np.any(metric.result())


@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
def test_averages_are_those_of_scikit_learn(average):
    predicted = SCORES.argmax(axis=1)
    expected = sk.precision_recall_fscore_support(LABELS, predicted, average=average, zero_division=0)[:3]
    for made, wanted in zip(
        (
            metrics.Precision(top_k=1, average=average),
            metrics.Recall(top_k=1, average=average),
            metrics.F1Score(average=average),
        ),
        expected,
        strict=True,
    ):
        assert made(LABELS, SCORES) == pytest.approx(wanted, rel=1e-6)
        made.reset_state()
        assert made(ROWS, SCORES) == pytest.approx(wanted, rel=1e-6)


def test_the_confusion_matrix_is_that_of_scikit_learn():
    predicted = SCORES.argmax(axis=1)
    expected = sk.confusion_matrix(LABELS, predicted)
    for y, p in ((LABELS, SCORES), (ROWS, SCORES), (LABELS, predicted), (LABELS[:, None], SCORES)):
        if np.ndim(y) == 2 and y.shape[1] == 1:
            assert (metrics.ConfusionMatrix()(y, p) == expected).all()
        else:
            found = metrics.confusion_matrix(y, p)
            assert found.dtype == np.int64 and (found == expected).all()
    weighted = metrics.confusion_matrix(LABELS, SCORES, sample_weight=WEIGHTS)
    assert weighted == pytest.approx(sk.confusion_matrix(LABELS, predicted, sample_weight=WEIGHTS), rel=1e-6)
    assert metrics.confusion_matrix([0, 1], [1, 1], num_classes=3).tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="num_classes must be at least 4"):
        metrics.confusion_matrix(LABELS, predicted, num_classes=3)


def test_a_model_measures_what_a_metric_by_itself_does():
    made = [
        metrics.Precision(),
        metrics.Precision(class_id=1),
        metrics.F1Score(),
        metrics.AUC(multi_label=True),
        metrics.ConfusionMatrix(),
    ]
    model = mirror(metrics=[*made, "recall"], weighted_metrics=["recall", metrics.F1Score(average="macro")])
    found = model.evaluate(SCORES, LABELS, batch_size=7, sample_weight=WEIGHTS, verbose=0, return_dict=True)
    names = ["precision", "precision_1", "f1_score", "auc", "confusion_matrix", "recall"]
    assert list(found) == ["loss", *names, "weighted_recall", "weighted_f1_score"] == model.metrics_names
    for metric, name in zip(made, names, strict=False):
        assert np.array_equal(metric.result(), found[name])
        again = type(metric).from_config(metric.get_config())
        assert again(LABELS, SCORES) == pytest.approx(found[name], rel=1e-6)
    assert found["f1_score"].shape == (4,) and found["confusion_matrix"].sum() == 50
    assert found["weighted_recall"] == pytest.approx(metrics.Recall()(ROWS, SCORES, WEIGHTS), rel=1e-6)
    assert found["weighted_f1_score"] == pytest.approx(metrics.F1Score("macro")(ROWS, SCORES, WEIGHTS), rel=1e-6)


def test_a_single_yes_or_no():
    y, p = (LABELS > 1).astype(np.float32), SCORES[:, :1]
    for column in (y, y[:, None], y.astype(bool)):
        assert metrics.Precision(thresholds=0.3)(column, p) == pytest.approx(
            sk.precision_score(y, p[:, 0] > 0.3), rel=1e-6
        )
    assert metrics.Recall(0.3)(y, p[:, 0]) == pytest.approx(sk.recall_score(y, p[:, 0] > 0.3), rel=1e-6)
    assert metrics.AUC(5000)(y, p) == pytest.approx(sk.roc_auc_score(y, p), abs=1e-3)


def test_history_and_callbacks_have_the_epochs_numbers():
    model = classifier(metrics=["accuracy", metrics.F1Score(), metrics.F1Score("macro", name="macro")])
    stop = swiftcnn.callbacks.EarlyStopping("val_macro", mode="max", patience=50)
    history = model.fit(
        SCORES, LABELS, epochs=2, batch_size=16, verbose=0, validation_data=(SCORES, LABELS), callbacks=[stop]
    ).history
    assert [value.shape for value in history["f1_score"] + history["val_f1_score"]] == [(4,)] * 4
    assert history["val_macro"][1] == pytest.approx(history["val_f1_score"][1].mean(), rel=1e-6)
    assert stop.best == pytest.approx(max(history["val_macro"]))


def mean_distance(y_true, y_pred):
    """An own metric: a number for each image."""
    return np.abs(y_true - y_pred.argmax(axis=-1))


def share_of_sure(y_true, y_pred):
    """An own metric: one number."""
    return (y_pred.max(axis=-1) > 0.5).mean()


class LongestStreak(metrics.Metric):
    """The largest number of images in a row that are right."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        for right in np.asarray(y_true) == np.asarray(y_pred).argmax(axis=-1):
            self.now = self.now + 1 if right else 0
            self.longest = max(self.longest, self.now)

    def result(self):
        return self.longest

    def reset_state(self):
        self.longest = self.now = 0


def streak(rights):
    metric = LongestStreak()
    metric.update_state(np.zeros(len(rights)), 1.0 - np.eye(2)[np.asarray(rights, int)][:, ::-1])
    return metric.longest


def test_functions_and_classes_of_ones_own_are_metrics():
    model = mirror(
        metrics=[mean_distance, "accuracy", share_of_sure, LongestStreak(), LongestStreak],
        weighted_metrics=[mean_distance],
    )
    names = ["loss", "mean_distance", "accuracy", "share_of_sure", "longest_streak", "longest_streak_1"]
    assert model.metrics_names == [*names, "weighted_mean_distance"]
    found = model.evaluate(SCORES, LABELS, batch_size=7, sample_weight=WEIGHTS, verbose=0, return_dict=True)
    distances = mean_distance(LABELS, SCORES)
    assert found["mean_distance"] == pytest.approx(distances.mean(), rel=1e-6)
    assert found["weighted_mean_distance"] == pytest.approx(np.average(distances, weights=WEIGHTS), rel=1e-6)
    assert found["share_of_sure"] == pytest.approx(share_of_sure(LABELS, SCORES), rel=1e-6)
    alone = LongestStreak()
    alone.update_state(LABELS, SCORES)
    assert found["longest_streak"] == found["longest_streak_1"] == alone.longest > 0
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(LABELS, SCORES.argmax(axis=1)))
    assert list(model.test_on_batch(SCORES[:9], LABELS[:9], return_dict=True))[1:] == model.metrics_names[1:]


def test_own_metrics_in_training_see_what_the_loss_sees():
    seen = []

    def spy(y_true, y_pred):
        seen.append((y_true.copy(), y_pred.copy()))
        return (y_pred.argmax(axis=-1) == y_true).astype(float)

    for data in ((SCORES, LABELS), (((SCORES[i : i + 8], LABELS[i : i + 8]) for i in range(0, 48, 8)),)):
        seen.clear()
        model = classifier(metrics=["accuracy", spy])
        options = {"batch_size": 8} if len(data) == 2 else {}
        history = model.fit(*data, epochs=1, verbose=0, **options).history
        assert history["spy"] == pytest.approx(history["accuracy"])
        count = sum(len(y) for y, _ in seen)
        assert count == (50 if len(data) == 2 else 48)
        assert sorted(np.concatenate([y for y, _ in seen])) == sorted(LABELS[:count])
    first = model.predict(SCORES[:8], verbose=0)
    model.train_on_batch(SCORES[:8], LABELS[:8])
    assert seen[-1][1] == pytest.approx(first, abs=1e-6)


def test_an_own_metric_goes_on_in_a_resumed_epoch(tmp_path):
    def trained(path=None, stop=None):
        model = classifier(metrics=[mean_distance, LongestStreak(), "auc"])
        callbacks = []
        if stop is not None:
            class Stop(swiftcnn.callbacks.Callback):
                def on_train_batch_end(self, batch, logs=None):
                    self.model.stop_training = batch == stop

            callbacks = [Stop()]
        history = model.fit(SCORES, LABELS, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history
        if path is not None:
            model.save(path, include_optimizer=True)
        return history

    whole = trained()
    path = tmp_path / "own.safetensors"
    trained(path, stop=3)
    with pytest.warns(UserWarning, match="mean_distance, longest_streak"):
        swiftcnn.load_model(path)
    own = {"mean_distance": mean_distance, "LongestStreak": LongestStreak, "longest_streak": LongestStreak}
    model = swiftcnn.load_model(path, custom_objects=own)
    assert model.metrics_names == ["loss", "auc", "mean_distance", "longest_streak"]
    resumed = model.fit(SCORES, LABELS, batch_size=8, epochs=2, verbose=0, resume=True).history
    for name in ("loss", "mean_distance", "longest_streak", "auc"):
        assert resumed[name] == whole[name]


def test_metrics_are_copied_and_pickled():
    metric = metrics.Precision(thresholds=np.float32(0.25), class_id=np.int64(1))
    metric.update_state(LABELS, SCORES)
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert other.get_config() == metric.get_config()
        assert other(LABELS, SCORES) == metric.result()
    model = mirror(metrics=[metrics.AUC(name="area"), "precision"])
    assert pickle.loads(pickle.dumps(model)).metrics_names == ["loss", "area", "precision"]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: metrics.Precision(2), "thresholds"),
        (lambda: metrics.Recall(top_k=0), "top_k"),
        (lambda: metrics.F1Score("mean"), "average"),
        (lambda: metrics.AUC(1), "num_thresholds"),
        (lambda: metrics.AUC(curve="round"), "curve"),
        (lambda: metrics.AUC(num_labels=3), "num_labels"),
        (lambda: metrics.FBetaScore(beta=0), "beta"),
        (lambda: metrics.RecallAtPrecision(1.5), "precision"),
        (lambda: metrics.Precision()(LABELS, SCORES[:9]), "y_true must be"),
        (lambda: metrics.Precision()(LABELS, SCORES, WEIGHTS[:9]), "sample_weight"),
        (lambda: metrics.Precision(class_id=4)(LABELS, SCORES), "class_id is 4; expected 0 to 3"),
        (lambda: metrics.MeanSquaredError()(LABELS, SCORES), "targets shaped as"),
        (lambda: mirror(metrics=["presision"]), "did you mean 'precision'"),
        (lambda: mirror(metrics=[metrics.Precision(name="a"), metrics.Recall(name="a")]), "'a' is given twice"),
        (lambda: mirror(metrics=[3]), "metric must be a name or one of swiftcnn.metrics"),
        (lambda: mirror(metrics=[lambda y, p: [1, 2]]).evaluate(SCORES, LABELS, verbose=0), "gave an array of shape"),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", ["BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"])
def test_focal_losses_train(kind):
    made = getattr(losses, kind)(gamma=1.5, alpha=0.4)
    model = swiftcnn.Sequential([layers.Input((4,)), layers.Dense(4, activation="softmax")])
    model.compile(swiftcnn.optimizers.Adam(0.05), made)
    history = model.fit(SCORES, ROWS, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert losses.get(kind).get_config() == type(made)().get_config()
    with pytest.raises(ValueError, match="alpha has 2 numbers"):
        mirror(losses.CategoricalFocalCrossentropy(alpha=[0.1, 0.2]))


def test_a_metric_of_ones_own_needs_no_constructor_of_its_base():
    class SureShare(metrics.Metric):
        def __init__(self):
            pass

    assert SureShare().name == "sure_share" and not SureShare().has_usual_name
