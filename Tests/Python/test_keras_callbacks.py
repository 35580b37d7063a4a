"""The callbacks that Keras has too do and say what Keras's do. What is expected here is what keras 3.15 gives for the
same numbers."""

import builtins
import contextlib
import csv
import math
import os

import numpy as np
import pytest
from conftest import make_model
from swiftcnn import callbacks, optimizers


class Replay:
    """In place of a model: it has a learning rate, and weights that are the number of the epoch."""

    def __init__(self):
        self.learning_rate = 1.0
        self.stop_training = False
        self.epoch = None
        self.restored = None

    def get_weights(self):
        return [self.epoch]

    def set_weights(self, weights):
        self.restored = weights[0]

    def _weights_behind(self, name):
        return contextlib.nullcontext()

    def _more_is_better(self, name):
        return {"loss": False, "accuracy": True}.get(name)


def replay(callback, values, name="val_loss"):
    """Tells a callback of epochs that end with these values; the model and the logs of the epochs."""
    model = Replay()
    callback.set_model(model)
    callback.on_train_begin()
    seen = []
    for model.epoch, value in enumerate(values):
        callback.on_epoch_begin(model.epoch)
        logs = {} if value is None else {name: value}
        callback.on_epoch_end(model.epoch, logs)
        seen.append(logs)
        if model.stop_training:
            break
    callback.on_train_end()
    return model, seen


@pytest.mark.parametrize(
    ("arguments", "values", "ended", "restored"),
    [
        ({}, [3.0, 2.0, 1.0], 2, None),
        ({}, [3.0, 3.0, 1.0], 1, None),
        ({"patience": 2}, [3.0, 4.0, 2.0, 2.5, 2.5, 1.0], 4, None),
        ({"min_delta": 0.5}, [3.0, 2.75, 1.0], 1, None),
        ({"min_delta": 0.5}, [3.0, 2.25, 1.0], 2, None),
        ({"mode": "max"}, [3.0, 4.0, 3.5, 9.0], 2, None),
        ({"baseline": 1.0, "patience": 2}, [3.0, 2.0, 1.5, 1.5, 0.0], 3, None),
        ({"start_from_epoch": 3}, [1.0, 2.0, 3.0, 4.0, 5.0, 0.0], 4, None),
        ({"restore_best_weights": True, "patience": 1}, [3.0, 1.0, 2.0], 2, 1),
        ({"restore_best_weights": True, "patience": 5}, [3.0, 1.0, 2.0], 2, 1),
        ({"monitor": "val_accuracy", "restore_best_weights": True}, [0.5, 0.75, 0.25, 1.0], 2, 1),
    ],
)
def test_early_stopping(arguments, values, ended, restored):
    callback = callbacks.EarlyStopping(**arguments)
    model, seen = replay(callback, values, arguments.get("monitor", "val_loss"))
    assert len(seen) - 1 == ended and model.restored == restored
    assert callback.stopped_epoch == (ended if model.stop_training else 0)


def test_early_stopping_says_so(capsys):
    replay(callbacks.EarlyStopping(verbose=1, restore_best_weights=True), [1.0, 0.5, 2.0])
    said = "Epoch 3: early stopping\nRestoring model weights from the end of the best epoch: 2.\n"
    assert capsys.readouterr().out == said


def test_early_stopping_ends_training_and_restores_the_weights(data):
    model = make_model()
    model.compile(optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    kept = []
    keep = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_parameter("fc.weight")))
    stop = callbacks.EarlyStopping("val_loss", mode="max", restore_best_weights=True, patience=1)
    history = model.fit(*data, epochs=20, batch_size=8, verbose=0, validation_data=data, callbacks=[keep, stop])
    assert len(history.epoch) < 20 and stop.stopped_epoch == history.epoch[-1]
    best = int(np.argmax(history.history["val_loss"]))
    assert stop.best_epoch == best
    np.testing.assert_array_equal(model.get_parameter("fc.weight"), kept[best])


@pytest.mark.parametrize(
    ("arguments", "values", "rates"),
    [
        ({"patience": 1}, [1.0, 1.0, 0.5], [1.0, 1.0, 0.1]),
        ({"patience": 1, "factor": 0.5}, [1.0] * 4, [1.0, 1.0, 0.5, 0.25]),
        ({"patience": 2, "factor": 0.5}, [1.0] * 6, [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]),
        ({"patience": 1, "factor": 0.5, "cooldown": 2}, [1.0] * 5, [1.0, 1.0, 0.5, 0.5, 0.25]),
        ({"patience": 1, "factor": 0.5, "min_lr": 0.75}, [1.0] * 4, [1.0, 1.0, 0.75, 0.75]),
        ({"patience": 1, "factor": 0.5, "min_delta": 0.5}, [1.0, 0.75, 0.25], [1.0, 1.0, 0.5]),
        ({"patience": 1, "factor": 0.5, "mode": "max"}, [1.0, 2.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.5]),
    ],
)
def test_rate_is_reduced_on_a_plateau(arguments, values, rates):
    _, seen = replay(callbacks.ReduceLROnPlateau(**arguments), values)
    assert [logs["learning_rate"] for logs in seen] == pytest.approx(rates)


def test_reducing_the_rate_says_so_and_is_in_the_history(model, data, capsys):
    reduce = callbacks.ReduceLROnPlateau("loss", mode="max", patience=1, factor=0.5, verbose=1)
    history = model.fit(*data, epochs=3, verbose=0, callbacks=[reduce]).history
    assert history["learning_rate"][0] == 0.01 and model.learning_rate < 0.01
    assert "\nEpoch 2: ReduceLROnPlateau reducing learning rate to 0.005.\n" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [callbacks.EarlyStopping, callbacks.ReduceLROnPlateau])
def test_what_is_not_measured_is_warned_of(kind):
    with pytest.warns(UserWarning, match="val_loss` which is not available"):
        replay(kind(), [None])


def test_checkpoints_of_what_is_not_measured_are_saved_with_a_warning(model, data, tmp_path):
    path = tmp_path / "new" / "folder" / "m"
    with pytest.warns(UserWarning, match="Can save best model only with val_loss available"):
        model.fit(*data, verbose=0, callbacks=[callbacks.ModelCheckpoint(path, save_best_only=True)])
    assert path.exists()
    with pytest.raises(IsADirectoryError, match="existing directory"):
        model.fit(*data, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path)])


def test_checkpoints_by_batches_have_the_batch_in_their_name(model, data, tmp_path):
    keep = callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=3)
    model.fit(*data, batch_size=10, epochs=2, verbose=0, callbacks=[keep])
    assert sorted(os.listdir(tmp_path)) == ["1-3", "2-2"]


def test_best_checkpoints_say_what_improved(model, tmp_path, capsys):
    keep = callbacks.ModelCheckpoint(tmp_path / "m", verbose=1, save_best_only=True, initial_value_threshold=2.0)
    keep.set_model(model)
    for epoch, value in enumerate([3.0, 1.0]):
        keep.on_epoch_begin(epoch)
        keep.on_epoch_end(epoch, {"val_loss": value})
    assert capsys.readouterr().out == (
        "\nEpoch 1: val_loss did not improve from 2.00000\n"
        f"\nEpoch 2: val_loss improved from 2.00000 to 1.00000, saving model to {tmp_path / 'm'}\n"
        f"\nEpoch 2: finished saving model to {tmp_path / 'm'}\n"
    )


@pytest.mark.parametrize("kind", [callbacks.EarlyStopping, callbacks.ReduceLROnPlateau, callbacks.ModelCheckpoint])
def test_the_direction_of_an_unknown_number_must_be_told(kind, model, data):
    path = {"filepath": "/nowhere/m", "save_best_only": True} if kind is callbacks.ModelCheckpoint else {}
    callback = kind(**path, monitor="speed")
    add = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(speed=1.0))
    with pytest.raises(ValueError, match=f"{kind.__name__} callback received monitor=speed"):
        model.fit(*data, verbose=0, callbacks=[add, callback])
    with pytest.warns(UserWarning, match=f"{kind.__name__} mode 'best' is unknown, fallback to auto mode"):
        kind(**path, mode="best")


def test_rates_are_scheduled_by_epoch(model, data, capsys):
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate, verbose=1)
    history = model.fit(*data, epochs=3, verbose=0, callbacks=[schedule]).history
    assert history["learning_rate"] == [0.01, 0.005, 0.0025] and model.learning_rate == 0.0025
    said = "\nEpoch 2: LearningRateScheduler setting learning rate to 0.005.\n"
    assert said in capsys.readouterr().out
    of_epoch = callbacks.LearningRateScheduler(lambda epoch: np.float32(0.5))
    assert model.fit(*data, verbose=0, callbacks=[of_epoch]).history["learning_rate"] == [0.5]
    for wrong in (lambda epoch: None, lambda epoch: str(epoch), lambda epoch, rate: epoch):
        with pytest.raises(ValueError, match="output of the `schedule` function should be a float"):
            model.fit(*data, verbose=0, callbacks=[callbacks.LearningRateScheduler(wrong)])


def test_an_error_in_a_schedule_is_not_taken_for_its_signature(model, data):
    def schedule(epoch, rate):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        model.fit(*data, verbose=0, callbacks=[callbacks.LearningRateScheduler(schedule)])


def test_logs_are_written_as_csv(model, data, tmp_path):
    path = tmp_path / "log.csv"
    model.fit(*data, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path)])
    history = model.fit(*data, verbose=0, callbacks=[callbacks.CSVLogger(path, append=True)]).history
    rows = list(csv.reader(path.open()))
    assert rows[0] == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "0"]
    assert rows[3][1:] == [str(history["accuracy"][0]), str(history["loss"][0]), "NA", "NA"]
    model.fit(*data, verbose=0, validation_data=data, callbacks=[callbacks.CSVLogger(path, separator=";")])
    header, row = path.read_text().splitlines()
    assert header == "epoch;accuracy;loss;val_accuracy;val_loss" and "NA" not in row


def nan_data(data):
    x = data[0].astype(np.float32)
    x[35] = np.nan
    return x, data[1]


@pytest.mark.parametrize("source", [lambda x, y: ((x, y), {"batch_size": 10, "shuffle": False}), None])
def test_nan_ends_training_quietly(source, model, data, capsys):
    x, y = nan_data(data)
    if source:
        arguments, options = source(x, y)
    else:
        arguments, options = ([(x[i : i + 10], y[i : i + 10]) for i in range(0, 40, 10)],), {}
    kept = []
    keep = callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: kept.append(model.get_parameter("fc.weight"))
    )
    ended = callbacks.LambdaCallback(on_train_end=lambda logs: kept.append("ended"))
    history = model.fit(*arguments, **options, epochs=3, verbose=0, callbacks=[keep, callbacks.TerminateOnNaN(), ended])
    assert history.epoch == [0] and math.isnan(history.history["loss"][0])
    assert len(kept) == 5 and kept[-1] == "ended"
    np.testing.assert_array_equal(model.get_parameter("fc.weight"), kept[3])
    assert capsys.readouterr().out == "Batch 3: Invalid loss, terminating training\n"
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered at batch 3"):
        model.fit(*arguments, **options, verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True)])
    with pytest.raises(FloatingPointError):
        model.fit(*arguments, **options, verbose=0)
    assert np.isfinite(model.fit(*data, verbose=0).history["loss"][0])


def test_functions_are_callbacks(model, data):
    heard = []
    names = [name for name in dir(callbacks.Callback) if name.startswith("on_")]
    functions = {name: lambda *arguments, name=name: heard.append(name) for name in names}
    model.fit(*data, verbose=0, validation_data=data, callbacks=[callbacks.LambdaCallback(**functions)])
    model.predict(data[0], verbose=0, callbacks=[callbacks.LambdaCallback(**functions)])
    # Who hears of on_train_batch_end has replaced what calls on_batch_end.
    assert set(heard) == set(names) - {"on_batch_begin", "on_batch_end"}
    batches = []
    alias = callbacks.LambdaCallback(
        on_batch_begin=lambda batch, logs: batches.append(batch), on_batch_end=lambda batch, logs: batches.append(batch)
    )
    model.fit(*data, batch_size=20, verbose=0, callbacks=[alias])
    assert batches == [0, 0, 1, 1]
    with pytest.raises(TypeError, match="unexpected keyword argument 'on_epoch_ends'"):
        callbacks.LambdaCallback(on_epoch_ends=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, got 3"):
        callbacks.LambdaCallback(on_epoch_end=3)


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_test_batch_end"]
)
@pytest.mark.parametrize("batches", [False, True])
def test_an_exception_in_a_callback_is_the_users(hook, batches, model, data):
    def fail(*arguments):
        raise ZeroDivisionError("mine")

    x = data[0].copy()
    source = ([(x, data[1])] * 3,) if batches else (x, data[1])
    with pytest.raises(ZeroDivisionError, match="mine"):
        model.fit(*source, verbose=0, validation_data=data, callbacks=[callbacks.LambdaCallback(**{hook: fail})])
    history = model.fit(*data, epochs=2, verbose=0, validation_data=data)
    assert history.epoch == [0, 1] and np.isfinite(history.history["val_loss"]).all()


def test_a_history_of_ones_own_is_the_history(model, data):
    mine = callbacks.History()
    assert model.fit(*data, epochs=2, verbose=0, callbacks=[mine]) is mine is model.history
    model.fit(*data, verbose=0, callbacks=callbacks.CallbackList([mine]))
    assert len(mine.history["loss"]) == 3 and mine.epoch == [0]


def test_evaluation_and_prediction_can_be_stopped(model, data):
    stop = callbacks.LambdaCallback(
        on_test_batch_end=lambda batch, logs: setattr(model, "stop_evaluating", True),
        on_predict_batch_end=lambda batch, logs: setattr(model, "stop_predicting", logs["outputs"].shape == (8, 10)),
    )
    first = model.evaluate(data[0][:8], data[1][:8], verbose=0)
    assert model.evaluate(*data, batch_size=8, verbose=0, callbacks=[stop]) == first
    assert model.predict(data[0], batch_size=8, verbose=0, callbacks=[stop]).shape == (8, 10)


def test_the_history_is_drawn(model, data, tmp_path):
    pytest.importorskip("matplotlib")
    history = model.fit(*data, epochs=3, verbose=0, validation_data=data, validation_freq=2)
    history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    history.plot(tmp_path / "curves.svg")
    drawing = (tmp_path / "curves.svg").read_text()
    assert drawing.count("<!-- training -->") == drawing.count("<!-- validation -->") == 2
    for word in ("loss", "accuracy", "epoch"):
        assert f"<!-- {word} -->" in drawing
    with pytest.raises(ValueError, match="no epoch has ended"):
        callbacks.History().plot(tmp_path / "none.png")
    with pytest.raises(ValueError, match="xyz"):
        history.plot(tmp_path / "curves.xyz")
    with pytest.raises(OSError, match="nowhere"):
        history.plot("/nowhere/curves.png")


def test_without_matplotlib_the_error_says_what_to_install(model, data, monkeypatch, tmp_path):
    history = model.fit(*data, verbose=0)
    load = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        history.plot(tmp_path / "curves.png")
