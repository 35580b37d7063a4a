"""A run that is resumed goes on as one that was never stopped, with every callback: its state is in the checkpoint, and
those that stand behind the one that saved it hear what they had not heard."""

import json
import warnings

import numpy as np
import pytest
import swiftcnn
from swiftcnn import callbacks, layers, optimizers

EPOCHS, STEPS = 6, 3

random = np.random.default_rng(0)
X, Y = random.random((24, 4, 4, 1)).astype("float32"), random.integers(0, 3, 24)
VALIDATION = random.random((12, 4, 4, 1)).astype("float32"), random.integers(0, 3, 12)


class Killed(BaseException):
    """What nobody hears of."""


class Kill(callbacks.Callback):
    """Ends a run after so many steps, at the end of all hooks of the step; None: never."""

    def __init__(self, steps):
        self.left = steps

    def state_dict(self):
        return {}

    def on_train_batch_end(self, batch, logs=None):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Killed


class Own(callbacks.Callback):
    """One of a user's own, whose state is what it happens to have as attributes."""

    def __init__(self, factor=0.9):
        self.factor, self.seen, self.sums = factor, [], np.zeros(2)
        self.best = {"loss": float("inf"), 3: ("tuple", {1, 2})}
        self.function = lambda: None

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(("begin", epoch))
        self.model.learning_rate = self.model.learning_rate * self.factor

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(("batch", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.sums = self.sums + [logs["loss"], 1]
        if self.sums[1] % 4 == 0:
            self.model.learning_rate = self.model.learning_rate * 0.8

    def on_epoch_end(self, epoch, logs=None):
        self.best["loss"] = min(self.best["loss"], logs["val_loss"])
        logs["own"] = float(self.sums[0]) + len(self.seen) + self.best["loss"]


class Told(callbacks.Callback):
    """One that says itself what its state is."""

    def __init__(self):
        self.wait = 0

    def state_dict(self):
        return {"wait": self.wait}

    def load_state_dict(self, state):
        self.wait = state["wait"]

    def on_train_batch_end(self, batch, logs=None):
        self.wait += 1
        self.model.learning_rate = 0.3 / (1 + self.wait % 5)


def averaged(**settings):
    return optimizers.SGD(0.4, momentum=0.5, use_ema=True, ema_momentum=0.7, **settings)


# For each class what makes the callbacks of a run in a folder.
MAKERS = {
    "CSVLogger": lambda folder: [callbacks.CSVLogger(folder / "log.csv")],
    "EarlyStopping": lambda folder: [callbacks.EarlyStopping(patience=2, restore_best_weights=True)],
    "History": lambda folder: [callbacks.History()],
    "LambdaCallback": lambda folder: [callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(one=1.0))],
    "LearningRateScheduler": lambda folder: [callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.8)],
    "ModelCheckpoint": lambda folder: [
        callbacks.ModelCheckpoint(folder / "best.safetensors", save_best_only=True),
        callbacks.ModelCheckpoint(str(folder / "{epoch}-{batch}.safetensors"), save_freq=4, save_weights_only=True),
    ],
    "ReduceLROnPlateau": lambda folder: [callbacks.ReduceLROnPlateau(patience=1, factor=0.5, cooldown=1)],
    "SwapEMAWeights": lambda folder: [
        callbacks.SwapEMAWeights(swap_on_epoch=True),
        callbacks.EarlyStopping(patience=4, restore_best_weights=True),
    ],
    "TerminateOnNaN": lambda folder: [callbacks.TerminateOnNaN()],
    "Own": lambda folder: [Own(), callbacks.ReduceLROnPlateau("own", mode="min", patience=1), Told()],
    "several": lambda folder: [
        callbacks.ReduceLROnPlateau(patience=1, factor=0.7, min_delta=0.01),
        Own(),
        callbacks.CSVLogger(folder / "log.csv", append=True),
        callbacks.EarlyStopping("loss", patience=3),
    ],
}


def test_every_callback_is_tried():
    bases = {"Callback", "CallbackList", "MonitorCallback"}
    bases |= {"Prune", "Sparsify"}  # which need convolutions, and are resumed in test_pruning.py and test_sparsity.py
    bases.add("TensorBoard")  # which needs a package, and is resumed in test_front_door.py
    assert set(callbacks.__all__) - bases <= set(MAKERS)


def network():
    swiftcnn.utils.set_random_seed(3)
    parts = [layers.Input((4, 4, 1), name="in"), layers.Flatten(name="flat"), layers.Dense(3, "softmax", name="out")]
    model = swiftcnn.Sequential(parts, name="small")
    model.compile(averaged(), "sparse_categorical_crossentropy", metrics=["accuracy"], seed=5)
    return model


def outcome(model, history, folder):
    """All that a run leaves."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return {
        "weights": [weight.tobytes() for weight in model.get_weights()],
        "rate": model.learning_rate,
        "history": history.history,
        "epochs": history.epoch,
        "steps": model.optimizer.iterations,
        "files": files,
    }


def train(model, folder, own, save, is_behind, kill=None, **options):
    """Trains with these callbacks, before or behind which one saves and all of which tell a history."""
    keep = [callbacks.ModelCheckpoint(folder.parent / f"{folder.name}.safetensors", save_freq=save)]
    history = callbacks.History()
    mine = [*own, *keep] if is_behind else [*keep, *own]
    arguments = {"batch_size": 8, "epochs": EPOCHS, "verbose": 0, "validation_data": VALIDATION} | options
    model.fit(X, Y, callbacks=[*mine, history, Kill(kill)], **arguments)
    return history


@pytest.mark.parametrize("is_behind", [False, True], ids=["saved first", "saved last"])
@pytest.mark.parametrize(
    ("save", "kill"),
    [("epoch", 4), ("epoch", 8), ("epoch", 13), (2, 6), (3, 8), (5, 12)],
    ids=lambda value: str(value),
)
@pytest.mark.parametrize("kind", MAKERS)
def test_a_run_that_is_killed_and_resumed_ends_as_one_that_was_not(kind, save, kill, is_behind, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    model = network()
    expected = outcome(model, train(model, whole, MAKERS[kind](whole), save, is_behind), whole)
    kill = min(kill, expected["steps"])
    with pytest.raises(Killed):
        train(network(), part, MAKERS[kind](part), save, is_behind, kill)
    resumed = swiftcnn.load_model(tmp_path / "part.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train(resumed, part, MAKERS[kind](part), save, is_behind, resume=True)
    found = outcome(resumed, history, part)
    for name in expected:
        assert found[name] == expected[name], name


# -------------------------------------------------------------------------------------------- batches


class Batches:
    """A sequence of five batches."""

    def __init__(self):
        self.drawn = []

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if not 0 <= index < 5:
            raise IndexError(index)
        self.drawn.append(index)
        return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]


class Unsized:
    """As a loader that does not know how much it has."""

    def __iter__(self):
        return (Batches()[index] for index in range(5))


def forever():
    while True:
        yield from Unsized()


SOURCES = {
    "sequence": (Batches, {}),
    "sequence in its order": (Batches, {"shuffle": False}),
    "sequence by threes": (Batches, {"steps_per_epoch": 3}),
    "iterable": (Unsized, {}),
    "iterable by threes": (Unsized, {"steps_per_epoch": 3}),
    "list": (lambda: list(Unsized()), {"steps_per_epoch": 4}),
    "generator": (forever, {"steps_per_epoch": 6}),
    "iterator": (lambda: map(tuple, forever()), {"steps_per_epoch": 4}),
    "generator of one epoch": (lambda: iter(list(Unsized())), {"epochs": 1}),
}


def fed(model, source, **arguments):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your input ran out of data")
        warnings.filterwarnings("ignore", "the run is resumed with other callbacks")
        return model.fit(source, **({"epochs": 3, "verbose": 0} | arguments))


@pytest.mark.parametrize("save", [2, 4, 7])
@pytest.mark.parametrize("kind", SOURCES)
def test_batches_go_on_where_they_were(kind, save, tmp_path):
    make, options = SOURCES[kind]
    save = min(save, 4) if options.get("epochs") == 1 else save
    whole, part = network(), network()
    fed(whole, make(), **options)
    keep = callbacks.ModelCheckpoint(tmp_path / "m.safetensors", save_freq=save)
    with pytest.raises(Killed):
        fed(part, make(), callbacks=[keep, Kill(save + 1)], **options)
    resumed = swiftcnn.load_model(tmp_path / "m.safetensors")
    assert resumed.optimizer.iterations == save
    fed(resumed, make(), resume=True, **options)
    assert resumed.optimizer.iterations == whole.optimizer.iterations
    assert_alike(resumed, whole)


def assert_alike(first, second):
    for weight, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_batches_of_a_sequence_that_were_trained_are_not_drawn_again(tmp_path):
    model = network()
    with pytest.raises(Killed):
        keep = callbacks.ModelCheckpoint(tmp_path / "m.safetensors", save_freq=3)
        fed(model, Batches(), shuffle=False, callbacks=[keep, Kill(4)])
    source = Batches()
    fed(swiftcnn.load_model(tmp_path / "m.safetensors"), source, shuffle=False, resume=True, epochs=1)
    assert source.drawn[-2:] == [3, 4] and 1 not in source.drawn and 2 not in source.drawn


def test_a_generator_that_has_given_batches_is_asked_for_its_next():
    whole, part, source = network(), network(), forever()
    fed(whole, forever(), steps_per_epoch=5, epochs=2)
    fed(part, source, steps_per_epoch=5, epochs=1)  # draws no more than it trains
    part.swap_ema(), part.swap_ema()
    assert part.optimizer.iterations == 5
    rest = [next(source) for _ in range(1)]
    np.testing.assert_array_equal(rest[0][0], X[:4])


def test_a_folder_goes_on_in_the_midst_of_an_epoch(tmp_path):
    from PIL import Image

    for label, shade in (("dark", 40), ("light", 200)):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(6):
            pixels = np.random.default_rng(number).integers(0, 50, (8, 8, 3)) + shade
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pictures" / label / f"{number}.png")

    def folder():
        return swiftcnn.ImageFolder(tmp_path / "pictures", 8, 4, random_resized_crop=True, mixup=0.2)

    def model():
        swiftcnn.utils.set_random_seed(3)
        made = swiftcnn.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2, "softmax")])
        made.compile("adam", "categorical_crossentropy", seed=1)
        return made

    whole, part = model(), model()
    whole.fit(folder(), epochs=3, verbose=0)
    with pytest.raises(Killed):
        keep = callbacks.ModelCheckpoint(tmp_path / "m.safetensors", save_freq=5)
        part.fit(folder(), epochs=3, verbose=0, callbacks=[keep, Kill(7)])
    resumed = swiftcnn.load_model(tmp_path / "m.safetensors")
    fed(resumed, folder(), resume=True)
    assert resumed.optimizer.iterations == 9
    assert_alike(resumed, whole)


# ---------------------------------------------------------------------------------- ends and averages


def fit(model, **arguments):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the run is resumed with other callbacks")
        return model.fit(X, Y, **({"batch_size": 8, "epochs": 2, "verbose": 0} | arguments))


@pytest.mark.parametrize("save", ["epoch", 6, 3])
def test_a_run_that_ended_after_its_last_step_is_finished_once(save, tmp_path):
    path, whole = tmp_path / "m.safetensors", network()
    fit(whole)
    killed = network()
    with pytest.raises(Killed):

        class KilledLate(callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                if epoch == 1:
                    raise Killed

        fit(killed, callbacks=[callbacks.ModelCheckpoint(path, save_freq=save), KilledLate()])
    for _ in range(3):  # as a loop of restarts does it
        resumed = swiftcnn.load_model(path)
        fit(resumed, resume=True, callbacks=[callbacks.ModelCheckpoint(path, save_freq=100)])
        assert resumed.optimizer.iterations == 6
        assert_alike(resumed, whole)
        resumed.save(path)


def test_a_finished_run_trains_nothing_and_keeps_the_weights_that_were_restored(tmp_path):
    model = network()
    stop = callbacks.EarlyStopping(patience=20, restore_best_weights=True)
    fit(model, epochs=6, validation_data=VALIDATION, callbacks=[stop])
    model.save(tmp_path / "m.safetensors")
    again = swiftcnn.load_model(tmp_path / "m.safetensors")
    history = fit(again, epochs=6, validation_data=VALIDATION, resume=True, callbacks=[
        callbacks.EarlyStopping(patience=20, restore_best_weights=True)
    ])
    assert history.history == {} and history.epoch == []
    assert_alike(again, model)
    fit(again, epochs=7, validation_data=VALIDATION, resume=True)
    assert again.optimizer.iterations == 21


def test_a_run_that_early_stopping_has_ended_stays_ended(tmp_path):
    def stop():
        return callbacks.EarlyStopping("loss", mode="max", patience=1)

    model, path = network(), tmp_path / "m.safetensors"
    done = fit(model, epochs=9, callbacks=[stop(), callbacks.ModelCheckpoint(path)]).epoch[-1]
    assert done < 8
    resumed = swiftcnn.load_model(path)
    assert fit(resumed, epochs=9, resume=True, callbacks=[stop(), callbacks.ModelCheckpoint(path)]).epoch == []
    assert_alike(resumed, model)
    more = callbacks.EarlyStopping("loss", mode="max", patience=5)
    assert fit(swiftcnn.load_model(path), epochs=9, resume=True, callbacks=[more]).epoch[0] == done + 1


def test_a_run_that_a_callback_ended_in_an_epoch_goes_on_as_if_it_had_not(tmp_path):
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = self.model.optimizer.iterations == 5

    def mine():
        return [callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1.0), callbacks.CSVLogger(path)]

    path = tmp_path / "log.csv"
    whole = network()
    whole.compile("sgd", "sparse_categorical_crossentropy", seed=5)
    part = whole.clone()
    fit(whole, epochs=4, callbacks=mine())
    expected = path.read_text()
    fit(part, epochs=4, callbacks=[*mine(), callbacks.ModelCheckpoint(tmp_path / "m.safetensors"), Stop()])
    for resumed in (swiftcnn.load_model(tmp_path / "m.safetensors"), part.clone(), part):
        fit(resumed, epochs=4, callbacks=mine(), resume=True)
        assert path.read_text() == expected and resumed.learning_rate == whole.learning_rate
        assert_alike(resumed, whole)


@pytest.mark.parametrize("when", ["on_train_batch_begin", "between", "on_train_batch_end", "on_epoch_begin"])
def test_a_run_that_was_interrupted_anywhere_goes_on(when, tmp_path, monkeypatch):
    def mine(interrupt):
        return [Own(), callbacks.LambdaCallback(**interrupt), Told()]

    whole = network()
    fit(whole, epochs=3, validation_data=VALIDATION, callbacks=mine({}))
    part = network()

    def interrupt(number, logs):
        if part.optimizer.iterations >= 3 and not (when.startswith("on_train_batch") and number != 1):
            raise KeyboardInterrupt

    from swiftcnn import _runs

    step = _runs.Run.step

    def interrupted_after(run):
        results = step(run)
        if part.optimizer.iterations == 5:
            raise KeyboardInterrupt
        return results

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if when == "between":
            patch.setattr(_runs.Run, "step", interrupted_after)
        given = {} if when == "between" else {when: interrupt}
        fit(part, epochs=3, validation_data=VALIDATION, callbacks=mine(given))
    part.save(tmp_path / "m.safetensors")
    for resumed in (swiftcnn.load_model(tmp_path / "m.safetensors"), part.clone(), part):
        fit(resumed, epochs=3, validation_data=VALIDATION, callbacks=mine({}), resume=True)
        assert_alike(resumed, whole)


def test_copies_made_within_a_run_have_what_its_callbacks_know():
    import pickle

    copies = []

    class Copies(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 5:
                copies.extend([self.model.clone(), pickle.loads(pickle.dumps(self.model))])

        def state_dict(self):
            return {}

    whole = network()
    fit(whole, epochs=3, validation_data=VALIDATION, callbacks=[Own(), Copies()])
    assert len(copies) == 2
    for model in copies:
        fit(model, epochs=3, validation_data=VALIDATION, callbacks=[Own(), Copies()], resume=True)
        assert_alike(model, whole)


@pytest.mark.parametrize("kind", ["best", "best weights"])
def test_the_best_file_has_the_averages_whose_score_was_best(kind, tmp_path):
    path, model = tmp_path / "m.safetensors", network()
    keep = callbacks.ModelCheckpoint(path, save_best_only=True, save_weights_only=kind == "best weights")
    arguments = {"epochs": 6, "validation_data": VALIDATION, "validation_ema": True}
    losses = fit(model, callbacks=[keep], **arguments).history["val_loss"]
    best = swiftcnn.load_model(path)
    if kind == "best weights":
        best.compile("sgd", "sparse_categorical_crossentropy")
    measured = best.evaluate(*VALIDATION, verbose=0, return_dict=True)["loss"]
    assert measured == pytest.approx(min(losses), abs=1e-6) and losses[-1] > min(losses) + 1e-5
    if kind == "best":  # and it can be gone on from
        fit(best, callbacks=[callbacks.ModelCheckpoint(path, save_best_only=True)], resume=True, **arguments)
        assert_alike(best, model)


def test_a_file_with_exchanged_averages_is_gone_on_from_without_who_exchanged_them(tmp_path):
    path, whole, part = tmp_path / "m.safetensors", network(), network()
    fit(whole, epochs=3)
    mine = [callbacks.SwapEMAWeights(swap_on_epoch=True), callbacks.ModelCheckpoint(path)]
    fit(part, epochs=1, callbacks=mine)
    resumed = swiftcnn.load_model(path)
    fit(resumed, epochs=3, resume=True)
    assert_alike(resumed, whole)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_what_is_interrupted_leaves_the_weights_in_their_place(method):
    def interrupt(batch, logs):
        raise KeyboardInterrupt

    model = network()
    fit(model, epochs=1)
    model.train_on_batch(X, Y)
    before = model.get_weights()
    interrupts = callbacks.LambdaCallback(on_test_batch_end=interrupt, on_predict_batch_end=interrupt)
    hooks = [callbacks.SwapEMAWeights(), interrupts]
    with pytest.raises(KeyboardInterrupt):
        if method == "fit":
            model.compile(averaged(), "sparse_categorical_crossentropy")
            model.learning_rate = 0.0
            fit(model, validation_data=VALIDATION, callbacks=hooks)
        elif method == "evaluate":
            model.evaluate(*VALIDATION, verbose=0, callbacks=hooks)
        else:
            model.predict(X, verbose=0, callbacks=hooks)
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


# ------------------------------------------------------------------------------------------ the state


def test_other_callbacks_than_those_of_the_run_are_told_of(tmp_path):
    path, model = tmp_path / "m.safetensors", network()
    mine = [callbacks.ReduceLROnPlateau("loss"), callbacks.ModelCheckpoint(path), callbacks.LambdaCallback()]
    model.fit(X, Y, epochs=2, verbose=0, callbacks=mine)
    with pytest.warns(
        UserWarning,
        match=r"other callbacks: without ReduceLROnPlateau\(loss\), ModelCheckpoint\(epoch\), of which.*; "
        r"with ReduceLROnPlateau\(val_loss\), Told \(2 times\), of which the checkpoint has none",
    ):
        swiftcnn.load_model(path).fit(
            X, Y, epochs=3, verbose=0, resume=True, callbacks=[callbacks.ReduceLROnPlateau(), Told(), Told()],
            validation_data=VALIDATION,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new = network()
        new.fit(X, Y, epochs=1, verbose=0, resume=True, callbacks=mine)  # nothing is resumed
        swiftcnn.load_model(path).fit(X, Y, epochs=2, verbose=0, callbacks=[Told()])


def test_callbacks_of_one_class_are_told_apart_by_what_they_watch_and_then_by_their_order(tmp_path):
    def mine():
        return [
            callbacks.EarlyStopping("loss", patience=9),
            callbacks.EarlyStopping("accuracy", patience=9),
            callbacks.EarlyStopping("loss", mode="max", patience=9),
        ]

    model, whole, second = network(), mine(), mine()
    fit(network(), epochs=4, callbacks=whole)
    with pytest.raises(Killed):
        fit(model, epochs=4, callbacks=[*mine(), Kill(11)])
    fit(model, epochs=4, resume=True, callbacks=[second[1], second[0], second[2]])
    found, expected = ([(each.best, each.best_epoch, each.wait) for each in some] for some in (second, whole))
    assert found == expected and len(set(expected)) == 3


@pytest.mark.parametrize(
    "value", [object(), {"a": [1, {2: b"bytes"}]}, np.array(["text"]), lambda: None, np.array([None])]
)
def test_a_state_that_cannot_be_stored_is_an_error_that_names_it(value, tmp_path):
    class Mine(callbacks.Callback):
        def state_dict(self):
            return {"value": value}

    keep = callbacks.ModelCheckpoint(tmp_path / "m.safetensors")
    with pytest.raises(TypeError, match=r"Mine\.state_dict\(\)\['value'\].*expected numbers"):
        fit(network(), callbacks=[Mine(), keep])
    assert not (tmp_path / "m.safetensors").exists()


def test_a_state_that_is_no_dictionary_is_an_error(tmp_path):
    class Mine(callbacks.Callback):
        def state_dict(self):
            return [1]

    with pytest.raises(TypeError, match=r"Mine\.state_dict\(\) gave \[1\]; expected a dictionary"):
        fit(network(), callbacks=[Mine(), callbacks.ModelCheckpoint(tmp_path / "m.safetensors")])


def test_values_come_back_as_they_were():
    from swiftcnn import _plain

    values = {
        "plain": [None, True, -3, 2**70, 0.1, float("inf"), "é\n", [], {}],
        "tuple": (1, (2.5, {3, 4}), frozenset({"a"})),
        "keys": {1: "a", (2, "b"): [3.0], None: {"c": 1}},
        "arrays": [np.arange(6, dtype="i2").reshape(2, 3)[:, ::2], np.zeros((0, 3)), np.array(2 + 1j), np.float32(0.1)],
        "dict": {"dict": 1},
    }
    writer = _plain.Writer()
    text = json.dumps(writer.written(values, "values"))
    found = _plain.read(json.loads(text), memoryview(writer.data))
    arrays, expected = found.pop("arrays"), values.pop("arrays")
    assert found == values and [type(each) for each in found["tuple"]] == [int, tuple, frozenset]
    for array, other in zip(arrays, expected, strict=True):
        assert type(array) is type(other) and array.dtype == other.dtype and np.array_equal(array, other)


def stored(state, logs='{"dict": {}}'):
    return (
        '{"hook": "on_epoch_end", "epoch": 0, "batch": 0, "told": 0, "rate": null, "has_ended": false, '
        f'"logs": {logs}, "callbacks": [["Told", {state}]]}}'
    )


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "{}",
        stored('{"dict": {}}', logs="3"),
        stored("[]"),
        stored('{"array": ["<f8", [1000000000000, 1000000000000], 0]}'),
        stored('{"array": ["<f8", [1], 1]}'),
        stored('{"array": ["<f8", [-1], 0]}'),
        stored('{"array": ["O", [1], 0]}'),
        stored('{"call": ["os", "system"]}'),
    ],
)
def test_a_damaged_state_is_an_error_that_says_so(text, tmp_path):
    model = network()
    model.train_on_batch(X, Y)
    model._handle.set_training_notes(text, b"12345678")
    with pytest.raises(ValueError, match="callbacks is damaged"):
        fit(model, resume=True, callbacks=[Told()])
    assert model._handle.training_notes() == (text, bytearray(b"12345678"))  # as it was


def test_compiling_forgets_what_callbacks_knew():
    model = network()
    fit(model, callbacks=[Own()], validation_data=VALIDATION)
    assert "Own" in model._handle.training_notes()[0]
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model._handle.training_notes() == ("", bytearray())
