"""Callbacks hear of everything in Keras's order; checkpoints resume in the same bits; progress is shown."""

import inspect
import io
import re
import subprocess
import sys

import numpy as np
import pytest
import swiftcnn
from conftest import make_model
from swiftcnn import callbacks, optimizers, schedules


class Recorder(callbacks.Callback):
    """Writes down the hooks that are called."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        if name.startswith("on_"):
            return lambda *arguments: self.calls.append((name, *arguments))
        return super().__getattribute__(name)


def test_hooks_are_called_in_keras_order(model, data):
    recorder = Recorder()
    model.fit(*data, batch_size=20, epochs=2, verbose=0, validation_data=data, callbacks=[recorder])
    test_batches = [call for batch in (0, 1) for call in [("on_test_batch_begin", batch), ("on_test_batch_end", batch)]]
    epoch = [
        "on_epoch_begin",
        *["on_train_batch_begin", "on_train_batch_end"] * 2,
        "on_test_begin",
        *(name for name, _ in test_batches),
        "on_test_end",
        "on_epoch_end",
    ]
    assert [call[0] for call in recorder.calls] == ["on_train_begin", *epoch, *epoch, "on_train_end"]
    assert [call[1] for call in recorder.calls if call[0] == "on_train_batch_end"] == [0, 1, 0, 1]
    assert [call[1] for call in recorder.calls if call[0] == "on_epoch_begin"] == [0, 1]
    logs = [call[2] for call in recorder.calls if call[0] == "on_epoch_end"]
    assert list(logs[0]) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert recorder.params == {
        "epochs": 2,
        "steps": 2,
        "batch_size": 20,
        "samples": 40,
        "verbose": 0,
        "metrics": ["loss", "accuracy", "val_loss", "val_accuracy"],
    }
    assert recorder.model is model


def test_evaluation_and_prediction_have_hooks(model, data):
    recorder = Recorder()
    model.evaluate(*data, batch_size=30, verbose=0, callbacks=recorder)
    model.predict(data[0], batch_size=40, callbacks=[recorder])
    names = [call[0] for call in recorder.calls]
    assert names == [
        "on_test_begin",
        *["on_test_batch_begin", "on_test_batch_end"] * 2,
        "on_test_end",
        "on_predict_begin",
        "on_predict_batch_begin",
        "on_predict_batch_end",
        "on_predict_end",
    ]


def test_what_a_callback_adds_to_the_logs_is_recorded(model, data):
    class Rate(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["rate"] = self.model.optimizer.learning_rate

    assert model.fit(*data, epochs=2, verbose=0, callbacks=[Rate()]).history["rate"] == [0.01, 0.01]


def test_a_callback_stops_training(model, data):
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    recorder = Recorder()
    history = model.fit(*data, batch_size=8, epochs=5, verbose=0, callbacks=[Stop(), recorder])
    assert history.epoch == [0]
    assert recorder.calls[-1][0] == "on_train_end"
    assert len(model.fit(*data, epochs=2, verbose=0).epoch) == 2


def test_interruption_keeps_the_weights_and_frees_the_run(model, data):
    class Interrupt(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    x, y = data[0].copy(), data[1].astype(np.int32)
    before, references = model.get_parameter("fc.weight"), sys.getrefcount(x)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=[Interrupt()])
    assert not np.array_equal(model.get_parameter("fc.weight"), before)
    assert np.isfinite(model.evaluate(x, y, verbose=0)[0])
    assert sys.getrefcount(x) == references


def test_a_signal_ends_training_between_two_steps(run_python):
    output = run_python(
        """
import os, signal, threading, numpy as np, swiftcnn
model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 1), classes=10)
model.compile("sgd", "sparse_categorical_crossentropy")
x, y = np.zeros((64, 8, 8, 1), np.uint8), np.zeros(64, int)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    model.fit(x, y, batch_size=8, epochs=10**6, verbose=0)
except KeyboardInterrupt:
    print("stopped", np.isfinite(model.evaluate(x, y, verbose=0)))
"""
    )
    assert output == "stopped True\n"


def checkpointed(data, path, epochs=3, **arguments):
    model = make_model(dropout=0.2)
    rate = schedules.OneCycle(0.01)
    model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], seed=5)
    model.fit(*data, batch_size=12, epochs=epochs, verbose=0, horizontal_flip=True, crop_padding=1, **arguments)
    return model


class InterruptAt(callbacks.Callback):
    def __init__(self, step):
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("save_freq", ["epoch", 3])
def test_a_resumed_run_ends_in_the_same_bits(data, tmp_path, save_freq):
    path = tmp_path / "m.safetensors"
    whole = checkpointed(data, path)
    keep = callbacks.ModelCheckpoint(path, save_freq=save_freq)
    with pytest.raises(KeyboardInterrupt):
        checkpointed(data, path, callbacks=[keep, InterruptAt(8)])
    resumed = swiftcnn.load_model(path)
    assert resumed.compiled and resumed.metrics_names == ["loss", "accuracy"]
    recorder = Recorder()
    history = resumed.fit(
        *data,
        batch_size=12,
        epochs=3,
        verbose=0,
        horizontal_flip=True,
        crop_padding=1,
        resume=True,
        callbacks=[recorder],
    )
    assert history.epoch == [1, 2]
    assert [call[1] for call in recorder.calls if call[0] == "on_epoch_begin"] == [1, 2]
    first = next(call[1] for call in recorder.calls if call[0] == "on_train_batch_begin")
    assert first == (0 if save_freq == "epoch" else 2)
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(value, resumed.get_parameter(name), err_msg=name)
    assert resumed.learning_rate == whole.learning_rate


def test_checkpoints_have_the_epoch_and_the_logs_in_their_names(model, data, tmp_path, capsys):
    keep = callbacks.ModelCheckpoint(str(tmp_path / "{epoch:02d}-{loss:.1f}.safetensors"), verbose=1)
    history = model.fit(*data, epochs=2, verbose=0, callbacks=[keep])
    names = [f"{epoch + 1:02d}-{loss:.1f}.safetensors" for epoch, loss in enumerate(history.history["loss"])]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    paths = [tmp_path / name for name in names]
    expected = "".join(
        f"\nEpoch {number}: saving model to {path}\n\nEpoch {number}: finished saving model to {path}\n"
        for number, path in enumerate(paths, 1)
    )
    assert capsys.readouterr().out == expected
    wrong = callbacks.ModelCheckpoint(str(tmp_path / "{acc}"))
    with pytest.raises(KeyError, match="Failed to format this callback filepath.*acc"):
        model.fit(*data, verbose=0, callbacks=[wrong])


@pytest.mark.parametrize(
    ("mode", "monitor", "values", "kept"),
    [
        ("auto", "val_loss", [3.0, 2.0, 2.5, 1.0], [0, 1, 3]),
        ("auto", "val_accuracy", [0.1, 0.3, 0.2, 0.3], [0, 1]),
        ("max", "loss", [1.0, 2.0, float("nan"), 3.0], [0, 1, 3]),
        ("min", "accuracy", [1.0, 2.0, 0.5, 0.7], [0, 2]),
    ],
)
def test_only_the_best_model_is_kept(model, tmp_path, mode, monitor, values, kept):
    keep = callbacks.ModelCheckpoint(tmp_path / "{epoch}", monitor=monitor, save_best_only=True, mode=mode)
    keep.set_model(model)
    keep.set_params({"metrics": [monitor]})
    keep.on_train_begin()
    for epoch, value in enumerate(values):
        keep.on_epoch_begin(epoch)
        keep.on_epoch_end(epoch, {monitor: value})
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(epoch + 1) for epoch in kept]


def test_a_checkpoint_of_weights_alone_cannot_be_trained_on(model, data, tmp_path):
    path = tmp_path / "m.safetensors"
    model.fit(*data, verbose=0, callbacks=[callbacks.ModelCheckpoint(path, save_weights_only=True)])
    assert not swiftcnn.load_model(path).compiled
    model.save(path, include_optimizer=True)
    assert swiftcnn.load_model(path).optimizer.learning_rate == 0.01


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_one_line_an_epoch(model, data, capsys):
    model.fit(*data, epochs=2, validation_data=data)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 1/2") and second.startswith("epoch 2/2")
    for word in ("images/s", "loss ", "accuracy ", "val_loss "):
        assert word in first


def test_a_terminal_gets_a_line_that_is_redrawn(model, data, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setattr("swiftcnn._progress._REDRAW_AFTER", 0)
    model.fit(*data, batch_size=8, epochs=2)
    lines = terminal.getvalue().split("\n")
    assert len(lines) == 3 and lines[2] == ""
    states = lines[0].split("\r")[1:]
    assert len(states) == 6
    for word in ("epoch 1/2", "batch 1/5", "images/s", "loss", "accuracy", "left"):
        assert word in states[0]
    assert "left" not in states[-1]
    assert all(len(state) < 80 for state in states)


def test_an_interrupted_line_is_ended(model, data, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data, batch_size=8, epochs=2, callbacks=[InterruptAt(3)])
    assert terminal.getvalue().endswith("\n")


def test_evaluation_and_prediction_say_what_they_did(model, data, capsys):
    model.evaluate(*data)
    model.predict(data[0], verbose=1)
    evaluated, predicted = capsys.readouterr().out.splitlines()
    assert evaluated.startswith("40 images") and "loss " in evaluated and "accuracy " in evaluated
    assert predicted.startswith("40 images")


def test_a_log_has_nothing_of_one_batch_unless_asked(model, data, capsys):
    x, y = data[0][:10], data[1][:10]
    model.predict(x)
    model.predict(iter([x]))
    model.evaluate(x, y)
    assert capsys.readouterr().out == ""
    model.predict(x[:1], verbose=1)
    model.evaluate(x, y, verbose=2)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("1 image  ") and second.startswith("10 images  loss ")


def test_a_terminal_shows_one_batch(model, data, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    model.predict(data[0][:10])
    model.evaluate(data[0][:10], data[1][:10])
    predicted, evaluated, rest = terminal.getvalue().split("\n")
    assert "10 images" in predicted and "accuracy" in evaluated and rest == ""


@pytest.mark.parametrize("width", [20, 40, 60, 200])
def test_a_line_is_no_longer_than_the_terminal(data, monkeypatch, width):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setattr("swiftcnn._progress._REDRAW_AFTER", 0)
    monkeypatch.setattr("swiftcnn._progress.terminal_width", lambda: width)
    parts = [swiftcnn.layers.Input((8, 8, 1)), swiftcnn.layers.Flatten(), swiftcnn.layers.Dense(10)]
    model = swiftcnn.Sequential(parts)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*data, batch_size=8)
    states = terminal.getvalue().split("\r")[1:-1]
    assert len(states) == 5 and all(len(state) < width for state in states)
    for word, least in (("epoch 1/1", 20), ("batch", 40), ("loss ", 40), ("accuracy ", 60), ("images/s", 200)):
        assert all((word in state) == (width >= least) for state in states), word


class Broken(io.StringIO):
    """An output whose reader has gone, or whose disk is full."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


class Bare:
    """What can be written to, and nothing else."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


def closed():
    output = io.StringIO()
    output.close()
    return output


@pytest.mark.parametrize("output", [lambda: None, Broken, Bare, closed], ids=["none", "broken", "bare", "closed"])
def test_training_does_not_depend_on_an_output(output, monkeypatch, tmp_path):
    model = swiftcnn.Sequential([swiftcnn.layers.Input((2, 2, 1)), swiftcnn.layers.Flatten(), swiftcnn.layers.Dense(2)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.ones((4, 2, 2, 1), np.float32), np.zeros(4, int)
    shown = [
        callbacks.EarlyStopping("loss", mode="max", verbose=1, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("loss", mode="max", patience=1, verbose=1),
        callbacks.ModelCheckpoint(tmp_path / "m", verbose=1),
        callbacks.LearningRateScheduler(lambda epoch: 0.1, verbose=1),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", written := output())
        for verbose in (1, 2):
            history = model.fit(x, y, epochs=3, verbose=verbose, callbacks=shown, validation_data=(x, y))
            model.evaluate(x, y, verbose=verbose)
            model.predict(x, verbose=verbose)
        model.summary()
    assert history.epoch == [0, 1] and (tmp_path / "m").exists()
    if isinstance(written, Bare):
        assert "epoch 1/3" in written.text and "early stopping" in written.text and "dense" in written.text


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_program_without_standard_output_trains(closed):
    program = """
import sys
assert sys.stdout is None
import numpy as np, swiftcnn
model = swiftcnn.Sequential([swiftcnn.layers.Input((2, 2, 1)), swiftcnn.layers.Flatten(), swiftcnn.layers.Dense(2)])
model.compile("sgd", "sparse_categorical_crossentropy")
x, y = np.ones((4, 2, 2, 1), np.float32), np.zeros(4, int)
model.summary(); model.fit(x, y); model.evaluate(x, y); model.predict(x)
model.fit(iter([(x, y)]), epochs=2, steps_per_epoch=1)  # which warns
"""
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done


def test_silence_is_silent(model, data, capsys):
    model.fit(*data, verbose=0)
    model.evaluate(*data, verbose=0)
    model.predict(data[0], verbose=0)
    model.predict_on_batch(data[0])
    assert capsys.readouterr().out == ""


def test_a_terminal_shows_what_is_known_of_batches(model, data, monkeypatch):
    monkeypatch.setattr("swiftcnn._progress._REDRAW_AFTER", 0)
    monkeypatch.setattr("swiftcnn._progress.terminal_width", lambda: 120)

    def states(**options):
        monkeypatch.setattr(sys, "stdout", terminal := Terminal())
        model.fit(((data[0][i : i + 10], data[1][i : i + 10]) for i in (0, 10, 20, 30)), **options)
        assert terminal.getvalue().endswith("\n")
        return terminal.getvalue().rstrip("\n").split("\r")[1:]

    unknown = states()
    assert [state.split("  ")[1].strip() for state in unknown[:4]] == [f"batch {number}" for number in (1, 2, 3, 4)]
    assert "images/s" in unknown[0] and "left" not in unknown[0] and "[" not in unknown[0]
    known = states(steps_per_epoch=4)
    assert "batch 1/4" in known[0] and "left" in known[0] and known[0].startswith("[")
    for final in (unknown[-1], known[-1]):
        assert re.match(r"epoch 1/1  \d:\d\d  loss ", final)


def test_a_terminal_shows_evaluation_and_prediction(model, data, monkeypatch):
    monkeypatch.setattr("swiftcnn._progress._REDRAW_AFTER", 0)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    model.evaluate(*data, batch_size=10)
    model.predict(data[0], batch_size=10)
    evaluated, predicted, rest = terminal.getvalue().split("\n")
    assert rest == ""
    for line in (evaluated, predicted):
        states = line.split("\r")[1:]
        assert len(states) == 5 and "batch 2/4" in states[1] and states[-1].startswith("40 images")
    assert "accuracy" in evaluated and "loss" not in predicted
    model.evaluate(*data, verbose=2)
    assert "\r" not in terminal.getvalue().split("\n")[2]


def test_an_interrupted_evaluation_ends_its_line(model, data, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())

    def interrupt(batch, logs):
        raise KeyboardInterrupt

    stop = callbacks.LambdaCallback(on_test_batch_end=interrupt, on_predict_batch_end=interrupt)
    later = callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: batch and interrupt(batch, logs))
    with pytest.raises(KeyboardInterrupt):
        model.evaluate(*data, batch_size=10, callbacks=[later])
    assert terminal.getvalue().endswith("\n")
    with pytest.raises(KeyboardInterrupt):
        model.predict(data[0], callbacks=[stop])


def test_a_log_gets_one_line_an_epoch_of_batches(model, data, capsys):
    model.fit([(data[0], data[1])], epochs=2, validation_data=[(data[0], data[1])], verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all("val_loss" in line for line in lines)


def test_small_numbers_are_shown_with_their_digits(model, data, capsys):
    model.compile(optimizers.SGD(1e-5), "sparse_categorical_crossentropy")
    model.fit(*data, callbacks=[callbacks.LearningRateScheduler(lambda epoch, rate: rate)])
    assert "learning_rate 1.0000e-05" in capsys.readouterr().out


class Patient(callbacks.EarlyStopping):
    """Somebody's own class, whose annotations are no arguments."""

    stops: list
    best_so_far: float = 0.0

    def __init__(self, epochs):
        super().__init__("loss", patience=epochs)


def test_a_class_made_of_a_callback_has_arguments_of_its_own(model, data):
    patient = Patient(2)
    assert (patient.monitor, patient.patience, list(inspect.signature(Patient).parameters)) == ("loss", 2, ["epochs"])
    model.fit(*data, verbose=0, callbacks=[patient])
    assert patient.best is not None


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: callbacks.EarlyStopping(cooldown=-1, patiense=1), "unexpected keyword argument 'cooldown'"),
        (lambda: callbacks.EarlyStopping(patiense=1), "unexpected keyword argument 'patiense'; did you mean 'patience'?"),
        (lambda: callbacks.ReduceLROnPlateau(cooldown=-1), "cooldown must be at least 0, got -1"),
        (lambda: callbacks.TensorBoard(update_freq="now"), "update_freq must be an integer, got 'now'"),
        (lambda: callbacks.ModelCheckpoint(), "missing a required argument: 'filepath'"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()


def test_a_callback_tells_its_arguments():
    stopping = callbacks.EarlyStopping("loss", patience=2)
    assert repr(stopping).startswith("EarlyStopping(monitor='loss', min_delta=0.0, patience=2, verbose=0, mode='auto'")
    assert callbacks.EarlyStopping.from_config(stopping.get_config()).get_config() == stopping.get_config()
