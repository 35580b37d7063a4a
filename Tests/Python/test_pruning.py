"""Fewer channels: swiftcnn.prune, callbacks.Prune, Model.pruning_report."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import swiftcnn
from swiftcnn import callbacks


def make_model() -> swiftcnn.Model:
    return swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=10)


@pytest.fixture(scope="module")
def model() -> swiftcnn.Model:
    return make_model()


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(24, 16, 16, 3)).astype(np.float32), random.integers(0, 10, 24, np.int32)


def test_a_pruned_model_is_a_model(model, data, tmp_path):
    before = [array.copy() for array in model.get_weights()]
    small = swiftcnn.prune(model, 0.5, round_to=4, min_channels=4)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    report = small.pruning_report()
    assert report.params == (model.count_params(), small.count_params()) and report.params[1] < report.params[0]
    assert report.macs[1] < report.macs[0]
    for group in report.groups:
        assert group.after == group.before if group.reason else group.after % 4 == 0
    assert "channels" in str(report) and json.loads(report.to_json()) == report.to_dict()
    expected = small.predict(data[0])
    small.save(tmp_path / "small.safetensors")
    for other in (swiftcnn.load_model(tmp_path / "small.safetensors"), pickle.loads(pickle.dumps(small))):
        assert np.array_equal(other.predict(data[0]), expected)
    quantized = swiftcnn.quantize(small, data[0])
    assert quantized.predict(data[0]).shape == expected.shape
    small.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    small.fit(*data, epochs=1, verbose=0)


@pytest.mark.parametrize("goal", [{"macs": 0.5}, {"params": 0.5}, {"ratio": 0.4}])
@pytest.mark.parametrize("criterion", ["l1", "l2", "bn_scale", "random"])
def test_goals_are_reached(model, goal, criterion):
    small = swiftcnn.prune(model, **goal, criterion=criterion, round_to=1, min_channels=2)
    report = small.pruning_report()
    shares = {
        "macs": report.macs[1] / report.macs[0],
        "params": report.params[1] / report.params[0],
        "ratio": 1
        - sum(row.after for row in report.groups if not row.reason)
        / sum(row.before for row in report.groups if not row.reason),
    }
    for name, share in goal.items():
        assert shares[name] == pytest.approx(share, abs=0.03)


def test_what_the_optimizer_remembers_stays_and_training_goes_on(model, data):
    model = make_model()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(*data, epochs=2, verbose=0)
    small = swiftcnn.prune(model, macs=0.5, criterion="taylor", data=data, round_to=1, min_channels=2)
    assert small.pruning_report().macs[1] <= 0.5 * small.pruning_report().macs[0]
    first = small.evaluate(*data, verbose=0)
    small.fit(*data, epochs=4, verbose=0)
    assert small.evaluate(*data, verbose=0) < first


def test_scales_get_small_by_their_penalty_alone(data):
    def scales(l1: float) -> np.ndarray:
        model = make_model()
        names = [row.name for row in model.parameters if row.role == "normalization_scale"]
        for name in names:
            assert model.set_regularization(name, l1=l1) == 1
        sgd = swiftcnn.optimizers.SGD(0.03, momentum=0.9)
        model.compile(optimizer=sgd, loss="sparse_categorical_crossentropy")
        model.fit(*data, batch_size=8, epochs=40, verbose=0)
        return np.abs(np.concatenate([model.get_parameter(name) for name in names]))

    assert (scales(0.05) < 0.05).mean() > 0.6
    assert not (scales(0.0) < 0.05).any()


def test_channels_leave_while_training(data, tmp_path):
    def run(epochs, *, resume=False, folder=None):
        model = swiftcnn.load_model(folder) if resume else make_model()
        if not resume:
            model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        prune = callbacks.Prune(macs=0.5, times=3, round_to=1, min_channels=2)
        history = model.fit(
            *data, epochs=epochs, batch_size=8, shuffle=False, verbose=0, callbacks=[prune], resume=resume
        )
        return model, history.history["params"], prune

    whole, params, prune = run(5)
    assert prune.done == 3 and params[0] > params[1] > params[2] == params[4]
    macs = whole.pruning_report().macs[1] / make_model_macs()
    assert macs == pytest.approx(0.5, abs=0.03)
    half, _, _ = run(2)
    half.save(tmp_path / "half.safetensors")
    resumed, _, _ = run(5, resume=True, folder=tmp_path / "half.safetensors")
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True))


def make_model_macs() -> int:
    return swiftcnn.prune(make_model(), 0).pruning_report().macs[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no target is given; expected one of ratio, macs, params and latency_ms"),
        ({"ratio": 0.5, "macs": 0.5}, "ratio and macs are given"),
        ({"ratio": 1}, "ratio is 1"),
        ({"ratio": float("nan")}, "ratio"),
        ({"macs": 0.01}, "the nearest that can be reached is"),
        ({"latency_ms": 1e-6}, "the nearest that can be reached is"),
        ({"ratio": 0.5, "criterion": "l3"}, "did you mean 'l1'"),
        ({"ratio": 0.5, "scope": "globl"}, "did you mean 'global'"),
        ({"ratio": 0.5, "round_to": "fats"}, "did you mean 'fast'"),
        ({"ratio": 0.5, "skip": ["layer1.0.conv9"]}, "did you mean 'layer1.0.conv"),
        ({"ratio": 0.5, "min_share": 2}, "min_share is 2"),
        ({"ratio": 0.5, "criterion": "taylor"}, "data is not given"),
    ],
)
def test_bad_arguments_are_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        swiftcnn.prune(model, **arguments)


def test_what_cannot_be_pruned_is_refused(model, data):
    quantized = swiftcnn.quantize(model, data[0])
    with pytest.raises(RuntimeError, match="quantised"):
        swiftcnn.prune(quantized, 0.5)
    with pytest.raises(RuntimeError, match="was not pruned"):
        model.pruning_report()
    with pytest.raises(TypeError, match="model must be a Model"):
        swiftcnn.prune(3, 0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected one of ratio, macs"):
        callbacks.Prune()
    with pytest.raises(ValueError, match="a share between 0 and 1"):
        callbacks.Prune(macs=2.0)
