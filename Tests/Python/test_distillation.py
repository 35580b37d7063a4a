"""Models that learn of a teacher: losses against NumPy, and what fit does with them."""

import warnings

import numpy as np
import pytest

import swiftcnn
from swiftcnn.distillation import AttentionTransfer, Decoupled, Hint, SoftTargets

RNG = np.random.default_rng(5)
X = RNG.normal(size=(24, 8, 8, 3)).astype(np.float32)
Y = np.arange(24) % 4


def network(width, seed, activation=None, classes=4):
    """Without batch normalisation, so that a training step predicts as a prediction does."""
    swiftcnn.utils.set_random_seed(seed)
    x = inputs = swiftcnn.Input((8, 8, 3))
    x = swiftcnn.layers.Conv2D(width, 3, padding="same", activation="relu", name="conv")(x)
    x = swiftcnn.layers.GlobalAveragePooling2D(name="pool")(x)
    x = swiftcnn.layers.Dense(classes, activation=activation, kernel_initializer="he_normal", name="fc")(x)
    return swiftcnn.Model(inputs, x)


def softmax(z, temperature=1.0):
    e = np.exp((z - z.max(-1, keepdims=True)) / temperature)
    return e / e.sum(-1, keepdims=True)


def divergence(p, q):
    return (p * (np.log(p) - np.log(q))).sum(-1)


def first_loss(student, teacher, losses, loss="sparse_categorical_crossentropy", **options):
    learner = swiftcnn.distill(student, teacher, losses, **options)
    learner.compile(swiftcnn.optimizers.SGD(0.0), loss)
    return learner.train_on_batch(X, Y)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 10.0])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_soft_targets_are_a_divergence(temperature, activation):
    student, teacher = network(3, 1, activation), network(5, 2)
    z = np.log(student.predict(X).astype(np.float64)) if activation else student.predict(X).astype(np.float64)
    t = teacher.predict(X).astype(np.float64)
    expected = temperature**2 * divergence(softmax(t, temperature), softmax(z, temperature)).mean()
    own = -np.log(softmax(z))[np.arange(24), Y].mean()
    found = first_loss(student, teacher, SoftTargets(temperature, weight=0.9), student_weight=0.1)
    assert found == pytest.approx(0.1 * own + 0.9 * expected, rel=1e-4)


def test_decoupled_is_the_paper_s():
    student, teacher = network(3, 1), network(5, 2)
    z, t = (model.predict(X).astype(np.float64) for model in (student, teacher))
    p, q = softmax(t, 2), softmax(z, 2)
    rows = np.arange(24)
    label = np.eye(4, dtype=bool)[Y]
    binary = [np.stack([s[rows, Y], 1 - s[rows, Y]], -1) for s in (p, q)]
    others = [s[~label].reshape(24, 3) / (1 - s[rows, Y])[:, None] for s in (p, q)]
    expected = 4 * (1.5 * divergence(*binary) + 6 * divergence(*others)).mean()
    found = first_loss(student, teacher, Decoupled(1.5, 6, 2), student_weight=0)
    assert found == pytest.approx(expected, rel=1e-4)
    # And of targets that are a number for each class.
    learner = swiftcnn.distill(student, teacher, Decoupled(1.5, 6, 2), student_weight=0)
    learner.compile("sgd", "categorical_crossentropy")
    assert learner.train_on_batch(X, label.astype(np.float32)) == pytest.approx(expected, rel=1e-4)


def test_hints_and_attention_are_means_of_squares():
    student, teacher = network(5, 1), network(5, 2)
    name = next(name for name in student.tensor_names if "conv" in name)
    other = next(name for name in teacher.tensor_names if "conv" in name)
    a, b = student.predict(X, output=name), teacher.predict(X, output=other)
    found = first_loss(student, teacher, [Hint(name, other, weight=3)], student_weight=0)
    assert found == pytest.approx(3 * np.mean((a - b) ** 2), rel=1e-4)

    def attention(x):
        flat = (x.astype(np.float64) ** 2).sum(-1).reshape(24, -1)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    found = first_loss(student, teacher, AttentionTransfer(name, other), student_weight=0)
    assert found == pytest.approx(np.mean((attention(a) - attention(b)) ** 2), rel=1e-4)


def test_the_student_learns_and_the_teacher_stays(tmp_path):
    student, teacher = network(3, 1), network(5, 2)
    taught, before = teacher.predict(X), student.predict(X)
    learner = swiftcnn.distill(student, teacher, ["soft_targets", Hint("pool", "pool")])
    extra = {name for name, *_ in learner._handle.parameters()} - {name for name, *_ in student._handle.parameters()}
    assert extra == {"distillation.hint1.weight", "distillation.hint1.bias"}
    learner.compile(swiftcnn.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = learner.fit(
            X, Y, epochs=6, batch_size=7, verbose=0, class_weight={0: 2.0}, sample_weight=np.ones(24),
            validation_data=(X, Y), horizontal_flip=True, crop_padding=1,
        )
    assert history.history["loss"][-1] < history.history["loss"][0]
    np.testing.assert_array_equal(teacher.predict(X), taught)
    assert not np.array_equal(student.predict(X), before)
    np.testing.assert_array_equal(student.predict(X), learner.predict(X))
    student.save(tmp_path / "student.safetensors")
    loaded = swiftcnn.load_model(tmp_path / "student.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), student.predict(X))
    assert len(loaded.get_weights()) == len(student.get_weights())


def test_weights_of_classes_count():
    student, teacher = network(3, 1), network(5, 2)

    def loss(weights):
        learner = swiftcnn.distill(student, teacher)
        learner.compile(swiftcnn.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        return learner.train_on_batch(X, Y, class_weight=weights)

    parts = [loss({label: float(label == only) for label in range(4)}) for only in range(4)]
    assert min(parts) > 0 and sum(parts) == pytest.approx(loss({label: 1.0 for label in range(4)}), rel=1e-5)


def test_a_run_is_resumed_in_the_same_bits(tmp_path):
    teacher = network(5, 2)
    losses = [SoftTargets(2), Hint("pool", "pool")]

    def begun():
        learner = swiftcnn.distill(network(3, 1), teacher, losses)
        learner.compile(swiftcnn.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", seed=4)
        return learner

    fit = {"batch_size": 7, "verbose": 0, "horizontal_flip": True, "crop_padding": 1}
    whole = begun()
    whole.fit(X, Y, epochs=4, **fit)
    first = begun()
    first.fit(X, Y, epochs=2, **fit)
    first.save(tmp_path / "checkpoint.safetensors", include_optimizer=True)
    loaded = swiftcnn.load_model(tmp_path / "checkpoint.safetensors")
    with pytest.raises(RuntimeError, match="without its teacher"):
        loaded.fit(X, Y, epochs=4, resume=True, **fit)
    second = swiftcnn.distill(swiftcnn.load_model(tmp_path / "checkpoint.safetensors"), teacher, losses)
    second.fit(X, Y, epochs=4, resume=True, **fit)
    for a, b in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_teacher_that_is_no_better_is_warned_of():
    student, teacher = network(3, 1), network(5, 2)
    teacher.compile(swiftcnn.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    student.compile(swiftcnn.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    student.fit(X, Y, epochs=60, verbose=0)
    accuracy = [model.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"] for model in (student, teacher)]
    assert accuracy[0] > accuracy[1]
    learner = swiftcnn.distill(student, teacher, SoftTargets(weight=1e-6))
    learner.compile(swiftcnn.optimizers.SGD(1e-6), "sparse_categorical_crossentropy", metrics=["accuracy"])
    with pytest.warns(UserWarning, match="no better than the student on the validation data: accuracy") as caught:
        learner.fit(X, Y, epochs=3, verbose=0, validation_data=(X, Y))
    assert len([each for each in caught if "no better" in str(each.message)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        better = swiftcnn.distill(network(3, 1), student)
        better.compile(swiftcnn.optimizers.SGD(1e-6), "sparse_categorical_crossentropy", metrics=["accuracy"])
        better.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y))


def test_what_does_not_fit_is_named():
    student, teacher = network(3, 1), network(5, 2)
    with pytest.raises(TypeError, match="teacher must be a Model, got str"):
        swiftcnn.distill(student, "teacher")
    with pytest.raises(ValueError, match="same classes"):
        swiftcnn.distill(student, network(5, 2, classes=5))
    with pytest.raises(ValueError, match="expected a copy"):
        swiftcnn.distill(student, student)
    with pytest.raises(ValueError, match="soft_target"):
        swiftcnn.distill(student, teacher, "soft_target")
    with pytest.raises(ValueError, match=r"layer of the student 'pol'.*did you mean 'pool'"):
        swiftcnn.distill(student, teacher, Hint("pol", "pool"))
    with pytest.raises(ValueError, match="losses has none"):
        swiftcnn.distill(student, teacher, [])
    with pytest.raises(ValueError, match="student_weight"):
        swiftcnn.distill(student, teacher, student_weight=-1)
    for bad in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature"):
            SoftTargets(bad)
    with pytest.raises(ValueError, match="weight"):
        SoftTargets(weight=-1)
    with pytest.raises(TypeError, match="student_layer"):
        Hint()
    learner = swiftcnn.distill(student, teacher)
    with pytest.raises(RuntimeError, match="distil its student"):
        swiftcnn.distill(learner, teacher)
    with pytest.raises(RuntimeError, match="compile"):
        learner.fit(X, Y)


def test_a_teacher_that_is_asked_once_says_the_same():
    def trained(cache):
        learner = swiftcnn.distill(network(3, 1), network(5, 2), [SoftTargets(2), Hint("pool", "pool")], cache=cache)
        learner.compile(swiftcnn.optimizers.SGD(0.05), "sparse_categorical_crossentropy", seed=2)
        return learner.fit(X, Y, epochs=3, batch_size=7, verbose=0).history["loss"], learner.get_weights()

    (losses, weights), (others, other_weights) = trained(False), trained(True)
    assert losses == others
    for a, b in zip(weights, other_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(TypeError, match="cache must be a path"):
        swiftcnn.distill(network(3, 1), network(5, 2), cache=1)


def test_what_a_teacher_said_is_read_from_a_file(tmp_path):
    path = tmp_path / "teacher.cache.safetensors"
    fit = {"epochs": 4, "verbose": 0, "horizontal_flip": True, "crop_padding": 1}

    def begun(teacher=None, **options):
        learner = swiftcnn.distill(network(3, 1), teacher or network(5, 2), SoftTargets(2), **options)
        learner.compile(swiftcnn.optimizers.SGD(0.05), "sparse_categorical_crossentropy", seed=2)
        return learner

    def losses(**options):
        return begun(**options).fit(X, Y, batch_size=7, **fit).history["loss"]

    live = losses(augmentations=2)
    assert losses(augmentations=2, cache=path) == live
    written = path.read_bytes()
    assert losses(augmentations=2, cache=str(path)) == live and path.read_bytes() == written
    with pytest.raises(ValueError, match="another data set"):
        begun(cache=path).fit(X + 1, Y, **fit)
    with pytest.raises(ValueError, match="another teacher said"):
        begun(network(5, 3), cache=path).fit(X, Y, **fit)
    with pytest.raises(ValueError, match="none of the samples of the first batch"):
        begun(cache=path).fit([(X[:8] + 1, Y[:8])], epochs=1, verbose=0)
    path.write_bytes(written[:-9] + b"\0" + written[-8:])
    with pytest.raises(ValueError, match="damaged"):
        begun(cache=path).fit(X, Y, **fit)
    with pytest.raises(FileNotFoundError):
        begun(cache=tmp_path / "missing" / "cache.safetensors").fit(X, Y, **fit)
    with pytest.raises(ValueError, match=r"expected \.safetensors"):
        begun(cache=tmp_path / "cache.onnx")
    with pytest.raises(ValueError, match="augmentations must be at least 1"):
        begun(augmentations=0)


def test_a_generator_s_teacher_is_measured_on_the_student_s_batches():
    def drawn(counts):
        for place in range(4):
            counts.append(place)
            yield X[place * 6 : place * 6 + 6], Y[place * 6 : place * 6 + 6]

    def values(teach):
        model, counts = network(3, 1), []
        learner = swiftcnn.distill(model, network(5, 2), SoftTargets(weight=1e-9)) if teach else model
        learner.compile(swiftcnn.optimizers.SGD(1e-9), "sparse_categorical_crossentropy", metrics=["accuracy"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = learner.fit(X, Y, epochs=2, verbose=0, validation_data=drawn(counts), validation_steps=2)
        return history.history["val_loss"], counts

    (losses, counts), (others, other_counts) = values(True), values(False)
    assert counts == other_counts == [0, 1, 2, 3]
    assert losses == pytest.approx(others, rel=1e-6) and len(losses) == 2


def test_batches_teach_as_arrays_do():
    def trained(data):
        learner = swiftcnn.distill(network(3, 1), network(5, 2))
        learner.compile(swiftcnn.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
        learner.fit(*data, epochs=2, batch_size=None if len(data) == 1 else 8, shuffle=False, verbose=0)
        return learner.get_weights()

    batches = [(X[start : start + 8], Y[start : start + 8]) for start in range(0, 24, 8)]
    for a, b in zip(trained((X, Y)), trained((batches,)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_imported_teacher_gives_hints_by_its_own_names(tmp_path):
    original = network(5, 2)
    original.export(tmp_path / "teacher.onnx")
    teacher = swiftcnn.load_model(tmp_path / "teacher.onnx")
    np.testing.assert_allclose(teacher.predict(X), original.predict(X), rtol=1e-4, atol=1e-5)
    # One of its results is that of the pooling, whatever it is called.
    features = original.predict(X, output="pool")
    shapes = {name: teacher.predict(X, output=name) for name in teacher.tensor_names}
    place = next(n for n, found in shapes.items() if found.shape == (24, 5) and np.allclose(found, features, atol=1e-5))
    losses = [SoftTargets(2), Hint("pool", place)]
    expected = first_loss(network(3, 1), original, [SoftTargets(2), Hint("pool", "pool")])
    assert first_loss(network(3, 1), teacher, losses) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="layer of the teacher 'pol'"):
        swiftcnn.distill(network(3, 1), teacher, Hint("pool", "pol"))


def test_generators_and_folders_are_watched_too(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for label in range(4):
        (tmp_path / str(label)).mkdir()
        for place in range(2):
            pixels = RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            image.fromarray(pixels).save(tmp_path / str(label) / f"{place}.png")
    folder = swiftcnn.ImageFolder(tmp_path, size=8, batch_size=4)
    for data in (X, Y), ([(X[:12], Y[:12]), (X[12:], Y[12:])],), (folder,):
        learner = swiftcnn.distill(network(3, 1), network(3, 1))
        learner.compile(swiftcnn.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        validation = data if len(data) == 2 else data[0]
        with pytest.warns(UserWarning, match="no better than the student on the validation data: loss"):
            learner.fit(*data, epochs=1, verbose=0, validation_data=validation)
