"""Data that comes batch by batch trains, evaluates and predicts as the same data in arrays does."""

import itertools
import sys
import warnings

import numpy as np
import pytest
import swiftcnn
from conftest import make_model
from swiftcnn import callbacks, optimizers, schedules

SIZE = 12  # of a batch: 40 images are 4 batches, the last of 4


def slices(x, y, *weight):
    return [tuple(part[start : start + SIZE] for part in (x, y, *weight)) for start in range(0, len(x), SIZE)]


class Iterable:
    """Can be gone through again; does not know its length."""

    def __init__(self, *arrays):
        self.items = slices(*arrays)

    def __iter__(self):
        return iter(self.items)


class Loader(Iterable):
    """Knows its length."""

    def __len__(self):
        return len(self.items)


class Sequence:
    """As Keras's PyDataset: never raises IndexError, and hears of the end of epochs."""

    def __init__(self, *arrays):
        self.items = slices(*arrays)
        self.asked = []
        self.ended = 0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.items[index % len(self.items)]

    def on_epoch_end(self):
        self.ended += 1


def endless(*arrays):
    while True:
        yield from slices(*arrays)


def loader_of_torch(*arrays):
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(*(torch.from_numpy(np.asarray(array)) for array in arrays))
    return torch.utils.data.DataLoader(tensors, batch_size=SIZE)


SOURCES = {
    "list": (slices, {}),
    "lists": (lambda *arrays: Iterable(*arrays), {}),
    "iterable": (Iterable, {}),
    "loader": (Loader, {}),
    "sequence": (Sequence, {"shuffle": False}),
    "generator": (endless, {"steps_per_epoch": 4}),
    "iterator": (lambda *arrays: itertools.chain(slices(*arrays), slices(*arrays)), {"steps_per_epoch": 4}),
    "torch": (loader_of_torch, {}),
}


def compiled(optimizer="adam", **options):
    model = make_model(**options)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], seed=3)
    return model


def assert_same_weights(model, other):
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, other.get_parameter(name), err_msg=name)


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_trains_as_the_arrays_do(kind, data):
    make, options = SOURCES[kind]
    x, y = data
    whole, pieces = compiled(dropout=0.2), compiled(dropout=0.2)
    expected = whole.fit(x, y, batch_size=SIZE, epochs=2, shuffle=False, verbose=0, validation_data=data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = pieces.fit(make(x, y), epochs=2, verbose=0, validation_data=data, batch_size=SIZE, **options)
    assert history.history == expected.history and history.epoch == [0, 1]
    assert_same_weights(whole, pieces)


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_is_evaluated_and_predicted(kind, model, data):
    make, options = SOURCES[kind]
    steps = {"steps": 4} if "steps_per_epoch" in options else {}
    expected = model.evaluate(*data, batch_size=SIZE, verbose=0)
    assert model.evaluate(make(*data), verbose=0, **steps) == expected
    np.testing.assert_array_equal(
        model.predict(make(*data), verbose=0, **steps), model.predict(data[0], batch_size=SIZE, verbose=0)
    )


def test_prediction_takes_batches_of_images_alone(model, data):
    x = data[0]
    expected = model.predict(x, batch_size=10, verbose=0)
    pieces = [x[start : start + 10] for start in range(0, 40, 10)]
    np.testing.assert_array_equal(model.predict(iter(pieces), verbose=0), expected)
    np.testing.assert_array_equal(model.predict(((piece,) for piece in pieces), verbose=0), expected)
    hidden = model.predict(iter(pieces), verbose=0, output="avgpool")
    np.testing.assert_array_equal(hidden, model.predict(x, batch_size=10, verbose=0, output="avgpool"))


@pytest.mark.parametrize("source", [Loader, lambda *arrays: (list(batch) for batch in slices(*arrays))])
def test_sample_and_class_weights_come_with_batches(source, data):
    x, y = data
    weight = np.linspace(0, 2, len(y))
    table = {0: 0.5, 3: 2.0}
    whole, pieces = compiled(), compiled()
    arguments = {"class_weight": table, "verbose": 0}
    whole.fit(x, y, batch_size=SIZE, shuffle=False, sample_weight=weight, **arguments)
    pieces.fit(source(x, y, weight), **arguments)
    assert_same_weights(whole, pieces)
    assert pieces.evaluate(source(x, y, weight), verbose=0) == whole.evaluate(
        x, y, batch_size=SIZE, sample_weight=weight, verbose=0
    )


def test_class_weights_of_one_hot_targets_are_those_of_their_labels(data):
    x, y = data
    sparse, dense = make_model(), make_model()
    sparse.compile("sgd", "sparse_categorical_crossentropy")
    dense.compile("sgd", "categorical_crossentropy")
    table = {1: 3.0, 4: 0.0}
    expected = sparse.train_on_batch(x, y, class_weight=table)
    assert dense.train_on_batch(x, np.eye(10)[y], class_weight=table) == pytest.approx(expected, rel=1e-6)


def test_numbers_of_an_epoch_are_weighted_by_images(model, data):
    x, y = data
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    losses = [model.test_on_batch(*batch) for batch in slices(x, y)]
    for row in model.parameters:
        if row.role.startswith("normalization"):
            model.freeze(row.name)  # so that training measures what evaluation does
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    loss = model.fit(Iterable(x, y), verbose=0).history["loss"][0]
    assert loss == pytest.approx(np.average(losses, weights=[12, 12, 12, 4]), rel=1e-6)
    assert loss != pytest.approx(np.mean(losses), rel=1e-4)


def test_validation_takes_batches(model, data):
    expected = model.evaluate(*data, batch_size=SIZE, verbose=0)
    frozen = {"x": data[0], "y": data[1], "batch_size": 40, "verbose": 0}
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.freeze()
    model.unfreeze("fc.bias")
    for source in (Loader(*data), Iterable(*data), slices(*data)):
        history = model.fit(**frozen, epochs=2, validation_data=source).history
        assert history["val_loss"] == [pytest.approx(expected[0], rel=1e-6)] * 2
        assert history["val_accuracy"] == [expected[1]] * 2
    first_two = model.evaluate(data[0][:24], data[1][:24], verbose=0)
    for source in (Loader(*data), data):
        history = model.fit(
            **frozen | {"batch_size": SIZE}, epochs=2, validation_data=source, validation_steps=2
        ).history
        assert history["val_loss"] == [pytest.approx(first_two[0], rel=1e-6)] * 2
    drawn = []
    counting = (drawn.append(1) or batch for batch in endless(*data))
    model.fit(**frozen, epochs=2, validation_data=counting, validation_steps=3)
    assert len(drawn) == 6


def test_validation_follows_chosen_epochs(model, data):
    every_second = model.fit(*data, epochs=4, verbose=0, validation_data=data, validation_freq=2)
    chosen = model.fit(*data, epochs=4, verbose=0, validation_data=data, validation_freq=[1, 4])
    assert len(every_second.history["val_loss"]) == len(chosen.history["val_loss"]) == 2
    assert every_second.curve("val_loss")[0] == [1, 3] and chosen.curve("val_loss")[0] == [0, 3]
    assert chosen.curve("loss")[0] == [0, 1, 2, 3] and chosen.curve("nothing") == ([], [])


def test_validation_data_prevails_over_a_split(model, data):
    history = model.fit(*data, validation_split=0.5, validation_data=(data[0][:4], data[1][:4]), verbose=0)
    assert history.params["samples"] == 40 and "val_loss" in history.history


def test_no_batch_of_a_generator_is_lost_or_drawn_too_early(model, data):
    drawn = []
    source = (drawn.append(number) or batch for number, batch in enumerate(endless(*data)))

    class Count(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            drawn_by_epoch.append(len(drawn))

    drawn_by_epoch = []
    model.fit(source, steps_per_epoch=3, epochs=3, verbose=0, callbacks=[Count()])
    assert drawn_by_epoch == [3, 6, 9]
    model.fit(source, steps_per_epoch=1, verbose=0)
    assert drawn == list(range(10))


def test_a_generator_that_runs_dry_warns_and_ends_training(model, data):
    x, y = data
    with pytest.warns(UserWarning, match="Your input ran out of data; interrupting training") as caught:
        history = model.fit(iter(slices(x, y)), steps_per_epoch=3, epochs=4, verbose=0)
    assert len(caught) == 1
    assert history.epoch == [0, 1]  # the second of one batch
    with pytest.warns(UserWarning, match="ran out of data"):
        assert model.fit(iter(slices(x, y)), epochs=2, verbose=0).epoch == [0]
    with pytest.warns(UserWarning, match="ran out of data"):
        model.evaluate(iter(slices(x, y)), steps=5, verbose=0)
    with pytest.warns(UserWarning, match="ran out of data"):
        assert len(model.predict(iter(slices(x, y)), steps=5, verbose=0)) == 40
    for call in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match="x yields no batches"):
            call(iter([]), verbose=0)
    with pytest.raises(ValueError, match="validation_data yields no batches"):
        model.fit(x, y, validation_data=iter([]), verbose=0)


def test_epochs_of_fewer_steps_go_on_where_the_last_ended(data):
    x, y = data
    whole, pieces = compiled("sgd"), compiled("sgd")
    whole.fit(x, y, batch_size=SIZE, shuffle=False, verbose=0)
    history = pieces.fit(Loader(x, y), steps_per_epoch=2, epochs=2, verbose=0)
    assert history.epoch == [0, 1]
    assert_same_weights(whole, pieces)
    pieces.fit(Loader(x, y), steps_per_epoch=2, epochs=3, verbose=0)  # the third begins anew, without a warning


def test_arrays_take_steps_per_epoch_as_in_keras(data):
    x, y = data
    whole, pieces = compiled("sgd"), compiled("sgd")
    whole.fit(x, y, batch_size=SIZE, shuffle=False, verbose=0)
    pieces.fit(x, y, batch_size=SIZE, shuffle=False, verbose=0, steps_per_epoch=2, epochs=2)
    assert_same_weights(whole, pieces)
    history = pieces.fit(x, y, steps_per_epoch=5, verbose=0)  # 8 images a batch
    assert history.params["steps"] == 5 and history.params["batch_size"] == 8
    with pytest.warns(UserWarning, match="ran out of data"):
        pieces.fit(x, y, batch_size=20, steps_per_epoch=5, verbose=0)
    expected = pieces.evaluate(x[:24], y[:24], batch_size=SIZE, verbose=0)
    assert pieces.evaluate(x, y, batch_size=SIZE, steps=2, verbose=0) == expected
    assert pieces.predict(x, batch_size=SIZE, steps=2, verbose=0).shape == (24, 10)
    assert pieces.predict(x, steps=3, verbose=0).shape == (40, 10)


def test_arrays_with_steps_are_shuffled_by_seed_and_epoch(data):
    first, second, other = compiled("sgd"), compiled("sgd"), make_model()
    other.compile("sgd", "sparse_categorical_crossentropy", seed=4)
    for model in (first, second, other):
        model.fit(*data, batch_size=SIZE, steps_per_epoch=3, verbose=0)
    assert_same_weights(first, second)
    assert not np.array_equal(first.get_parameter("fc.weight"), other.get_parameter("fc.weight"))


def test_the_batches_of_a_sequence_are_shuffled(model, data):
    source = Sequence(*data)
    model.fit(source, epochs=3, verbose=0)
    orders = [tuple(source.asked[start : start + 4]) for start in (0, 4, 8)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders) and len(set(orders)) > 1
    assert source.ended == 3
    again = Sequence(*data)
    model.fit(again, epochs=3, verbose=0)
    assert again.asked == source.asked
    model.evaluate(again, verbose=0)
    assert again.asked[12:] == [0, 1, 2, 3]


def test_batches_are_augmented(data):
    plain, mirrored, again = compiled("sgd"), compiled("sgd"), compiled("sgd")
    plain.fit(Loader(*data), verbose=0)
    for model in (mirrored, again):
        model.fit(Loader(*data), verbose=0, horizontal_flip=True, crop_padding=1)
    assert_same_weights(mirrored, again)
    assert not np.array_equal(plain.get_parameter("fc.weight"), mirrored.get_parameter("fc.weight"))


@pytest.mark.parametrize("source", ["loader", "generator"])
def test_an_open_schedule_extends_over_the_fit(source, data):
    make, options = SOURCES[source]
    whole, pieces = (compiled(optimizers.SGD(schedules.OneCycle(0.1))) for _ in range(2))
    for _ in range(2):  # the second begins the cycle anew
        whole.fit(*data, batch_size=SIZE, epochs=2, shuffle=False, verbose=0)
        pieces.fit(make(*data), epochs=2, verbose=0, **options)
        assert pieces.learning_rate == whole.learning_rate < 1e-6
    assert_same_weights(whole, pieces)


def test_an_open_schedule_needs_to_know_the_steps(data):
    model = compiled(optimizers.SGD(schedules.OneCycle(0.1)))
    with pytest.raises(ValueError, match=r"OneCycle.*total_steps.*steps_per_epoch"):
        model.fit(Iterable(*data), epochs=2, verbose=0)
    model.fit(Iterable(*data), epochs=2, steps_per_epoch=4, verbose=0)
    model.compile(optimizers.SGD(schedules.OneCycle(0.1, total_steps=8)), "sparse_categorical_crossentropy")
    model.fit(Iterable(*data), epochs=2, verbose=0)


@pytest.mark.parametrize("source", ["loader", "generator", "iterable"])
def test_a_run_over_batches_is_resumed_at_its_epoch(source, data, tmp_path):
    make, options = SOURCES[source]
    path = tmp_path / "m.safetensors"

    def model():
        rate = schedules.OneCycle(0.01, None if "steps_per_epoch" in options or source == "loader" else 12)
        return compiled(optimizers.Adam(rate), dropout=0.2)

    whole = model()
    expected = whole.fit(make(*data), epochs=3, verbose=0, **options)

    class Interrupt(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer and batch == 1 and self.epoch == 1:
                raise KeyboardInterrupt

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    stopped = model()
    with pytest.raises(KeyboardInterrupt):
        keep = callbacks.ModelCheckpoint(path)
        stopped.fit(make(*data), epochs=3, verbose=0, callbacks=[keep, Interrupt()], **options)
    resumed = swiftcnn.load_model(path)
    begun = []
    begin = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    history = resumed.fit(make(*data), epochs=3, verbose=0, resume=True, callbacks=[begin], **options)
    assert history.epoch == begun == [1, 2]
    assert history.history["loss"] == expected.history["loss"][1:]
    assert_same_weights(whole, resumed)
    assert resumed.fit(make(*data), epochs=3, verbose=0, resume=True, **options).epoch == []
    assert_same_weights(whole, resumed)


def test_a_checkpoint_in_the_midst_of_an_epoch_resumes_there(data, tmp_path):
    path = tmp_path / "m.safetensors"
    model = compiled()
    keep = callbacks.ModelCheckpoint(path, save_freq=6)
    model.fit(Loader(*data), epochs=2, verbose=0, callbacks=[keep])
    resumed = swiftcnn.load_model(path)
    assert resumed.fit(Loader(*data), epochs=3, verbose=0, resume=True).epoch == [1, 2]
    assert resumed.optimizer.iterations == 3 * len(Loader(*data))


def test_a_rate_that_is_set_by_epoch_is_resumed_in_the_same_bits(data, tmp_path):
    path = tmp_path / "m.safetensors"
    rates = callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1))
    arguments = {"batch_size": SIZE, "verbose": 0, "callbacks": [rates]}
    whole, first = compiled("sgd"), compiled("sgd")
    whole.fit(*data, epochs=3, **arguments)
    first.fit(*data, epochs=2, **arguments)
    first.save(path, include_optimizer=True)
    resumed = swiftcnn.load_model(path)
    history = resumed.fit(*data, epochs=3, resume=True, **arguments)
    assert history.history["learning_rate"] == [pytest.approx(0.1 / 3)]
    assert_same_weights(whole, resumed)


def test_arguments_that_batches_bring_themselves_are_refused(model, data):
    x, y = data
    for name, value in {"y": y, "sample_weight": np.ones(40)}.items():
        for call in (model.fit, model.evaluate):
            with pytest.raises(ValueError, match=f"When providing `x` as a Loader, `{name}` should not be passed"):
                call(Loader(x, y), **{name: value}, verbose=0)
    with pytest.raises(ValueError, match="`validation_split` is only supported for .* arrays.*generator"):
        model.fit(endless(x, y), validation_split=0.5, steps_per_epoch=2, verbose=0)
    with pytest.raises(ValueError, match="validation_split must be at least 0 and below 1, got 1.5"):
        model.fit(x, y, validation_split=1.5, validation_data=(x, y), verbose=0)
    history = model.fit(endless(x, y), validation_split=0.5, validation_data=(x, y), steps_per_epoch=2, verbose=0)
    assert len(history.history["val_loss"]) == 1


@pytest.mark.parametrize(
    ("item", "kind", "message"),
    [
        (lambda x, y: (x, y, y, y), ValueError, r"x: expected batches in the format .* of 4 parts"),
        (lambda x, y: (), ValueError, "of 0 parts"),
        (lambda x, y: x, TypeError, "^y is missing"),
        (lambda x, y: (x[0], y), ValueError, "^x has no batch axis"),
        (lambda x, y: (x.transpose(0, 3, 1, 2), y), ValueError, r"channels come last.*transpose\(0, 2, 3, 1\)"),
        (lambda x, y: (x, y[:3]), ValueError, "^y: expected targets for 40 images"),
        (lambda x, y: (x, y + 9), ValueError, "^y.*labels must be in 0 to 9"),
        (lambda x, y: (x, y, y[:2]), ValueError, "^sample_weight: expected shape"),
        (lambda x, y: (None, y), TypeError, "^x is missing"),
        (lambda x, y: {"x": x}, ValueError, "^x has no input 'x' to give it to"),
    ],
)
def test_a_bad_batch_is_named(item, kind, message, model, data):
    for batches in ([item(*data)], [data, item(*data)]):
        with pytest.raises(kind, match=message):
            model.fit(iter(batches), verbose=0)
    assert np.isfinite(model.fit(*data, verbose=0).history["loss"][0])


def test_a_single_image_is_no_batch(model):
    class Samples:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.zeros((8, 8, 1), np.uint8), 1

    with pytest.raises(ValueError, match=r"no batch axis: expected \(N, 8, 8, 1\)"):
        model.fit(Samples(), verbose=0)


def test_what_a_generator_raises_reaches_the_caller(model, data):
    def broken():
        yield data
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        model.fit(broken(), verbose=0)
    assert np.isfinite(model.fit(*data, verbose=0).history["loss"][0])


def test_arrays_of_every_kind_are_no_batches(model, data):
    x, y = data
    expected = model.predict(x[:2], verbose=0)
    buffer = memoryview(np.ascontiguousarray(x[:2]))
    tuples = tuple(map(tuple, x[:2].astype(np.float32).tolist()))
    np.testing.assert_array_equal(model.predict(buffer, verbose=0), expected)
    np.testing.assert_array_equal(model.predict(tuples, verbose=0), model.predict(x[:2].astype(np.float32), verbose=0))
    with pytest.raises(ValueError, match="x has no input 1 to give it to"):
        model.predict({1: x}, verbose=0)
    with pytest.raises(TypeError, match="x must hold numbers"):
        model.predict("images", verbose=0)


def test_no_run_keeps_a_batch_alive(model, data):
    x, y = data[0].copy(), data[1].astype(np.int32)
    before = sys.getrefcount(x), sys.getrefcount(y)
    model.fit(iter([(x, y)] * 3), verbose=0, validation_data=[(x, y)])
    model.evaluate([(x, y)], verbose=0)
    model.predict([(x, y)], verbose=0)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before


def test_a_signal_ends_training_on_batches_and_the_model_trains_on(run_python):
    output = run_python(
        """
import os, signal, threading, numpy as np, swiftcnn
model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 1), classes=10)
model.compile("sgd", "sparse_categorical_crossentropy")
batch = np.zeros((8, 8, 8, 1), np.uint8), np.zeros(8, int)
def batches():
    while True:
        yield batch
source = batches()
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
before = model.get_parameter("fc.bias")
try:
    model.fit(source, verbose=0)
except KeyboardInterrupt:
    print("stopped", (model.get_parameter("fc.bias") != before).all())
print(np.isfinite(model.fit(batches(), steps_per_epoch=2, verbose=0).history["loss"]))
"""
    )
    assert output == "stopped True\n[ True]\n"


def test_stopping_in_the_midst_of_an_epoch(model, data):
    stop = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", batch == 1))
    history = model.fit(Loader(*data), epochs=3, verbose=0, callbacks=[stop])
    assert history.epoch == [0]
    assert len(model.fit(Loader(*data), epochs=2, verbose=0).epoch) == 2
