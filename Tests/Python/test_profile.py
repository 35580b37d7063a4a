"""Profiles, and summaries that show what is fused."""

import json

import numpy as np
import pytest
import swiftcnn
from swiftcnn import layers, models


def made():
    inputs = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="bn")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return models.Model(inputs, layers.Dense(4, activation="softmax", name="dense")(x))


@pytest.fixture(scope="module")
def model():
    return made()


@pytest.fixture
def images():
    return np.random.default_rng(0).random((4, 16, 16, 3), np.float32)


def test_a_profile_has_a_row_for_each_step_with_all_its_layers(model, images):
    profile = model.profile(images, repeats=2)
    names = [name for step in profile.steps for name in step.layers]
    assert len(names) == len(set(names)) and {"conv", "bn", "relu", "pool", "dense"} <= set(names)
    assert (profile.images, profile.repeats, profile.threads) == (4, 2, swiftcnn.get_num_threads())
    for step in profile.steps:
        assert step.seconds > 0 and step.bytes > 0 and step.share_of_limit > 0
        assert step.predicted_seconds is None or step.predicted_seconds > 0
        assert (step.operations > 0) == bool({"conv", "dense"} & set(step.layers))
        assert step.name in str(profile)
    assert profile.seconds == pytest.approx(sum(step.seconds for step in profile.steps))
    assert repr(profile) == str(profile) and "GFLOP/s" in str(profile) and " predicted " in str(profile)
    conv = next(step for step in profile.steps if "conv" in step.layers)
    assert conv.predicted_seconds is not None
    assert f"{conv.predicted_seconds * 1e3:.4f}" in str(profile)


def test_steps_of_tiles_have_a_limit_of_their_own():
    inputs = layers.Input((16, 16, 64))
    model = models.Model(inputs, layers.Conv2D(64, 3, padding="same", name="conv")(inputs))
    assert model.profile(np.zeros((4, 16, 16, 64), np.float32), repeats=1).tile_operations_per_second is None
    model.set_precision("bfloat16")
    profile = model.profile(np.zeros((4, 16, 16, 64), np.float32), repeats=1)
    said = {row.layer: row.dtype for row in model.precision()}
    assert all(step.dtype == said[name] for step in profile.steps for name in step.layers)
    by_tiles = [step for step in profile.steps if step.instruction == "tdpbf16ps"]
    assert bool(by_tiles) == (profile.tile_operations_per_second is not None)
    assert bool(by_tiles) == ("by tiles of bfloat16" in str(profile))
    for step in by_tiles:
        shortest = max(step.operations / profile.tile_operations_per_second, step.bytes / profile.bytes_per_second)
        assert step.share_of_limit == pytest.approx(shortest / step.seconds)


def test_steps_of_a_quantised_model_say_their_type_and_instruction_and_have_its_limit():
    inputs = layers.Input((16, 16, 64))
    model = models.Model(inputs, layers.Conv2D(64, 3, padding="same", name="conv")(inputs))
    x = np.random.default_rng(1).random((4, 16, 16, 64), np.float32)
    quantized = swiftcnn.quantize(model, x)
    profile, report = quantized.profile(x, repeats=1), quantized.quantization_report()
    conv = next(step for step in profile.steps if "conv" in step.layers)
    assert conv.dtype == "int8"
    assert conv.instruction == next(step for step in report.steps if "conv" in step.layers).instruction
    row = next(line for line in str(profile).splitlines() if line.endswith(f"  {conv.name}"))
    assert {"int8", conv.instruction} <= set(row.split())
    if conv.instruction == "tdpbusd":
        rate = 2 * profile.tile_operations_per_second
    elif conv.instruction == "portable":
        rate = profile.operations_per_second
    else:
        assert conv.instruction in ("vpdpbusd", "vpmaddwd")
        rate = profile.integer_operations_per_second
    assert rate > 1e8
    shortest = max(conv.operations / rate, conv.bytes / profile.bytes_per_second)
    assert conv.share_of_limit == pytest.approx(shortest / conv.seconds)
    assert model.profile(x, repeats=1).integer_operations_per_second is None


def test_the_batch_size_says_how_many_images_are_measured(model, images):
    assert model.profile(images, batch_size=3, repeats=1).images == 3


def test_the_trace_is_one_of_complete_events(model, images, tmp_path):
    profile = model.profile(images, repeats=1)
    profile.save_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    rows = [event for event in events if event["ph"] == "X"]
    assert [event["name"] for event in rows if event["tid"] == 1] == [step.name for step in profile.steps]
    assert any(event["tid"] > 1 for event in rows)  # when threads were at work
    assert all(event["dur"] > 0 for event in rows)


def test_a_trace_is_written_whole_or_not_at_all(model, images, tmp_path, full_disk):
    profile = model.profile(images, repeats=1)
    place, link = tmp_path / "trace.json", tmp_path / "link.json"
    profile.save_trace(bytes(place))
    whole = place.read_text()
    link.symlink_to(place)
    with pytest.raises(TypeError, match="path must be a path, got 3"):
        profile.save_trace(3)
    with pytest.raises(FileNotFoundError, match="none"):
        profile.save_trace(tmp_path / "none" / "trace.json")
    with full_disk(), pytest.raises(OSError):
        profile.save_trace(link)
    assert place.read_text() == whole and sorted(tmp_path.iterdir()) == [link, place]
    profile.save_trace(link)
    assert link.is_symlink() and json.loads(place.read_text()) and len(list(tmp_path.iterdir())) == 2


def test_the_profile_of_a_training_step_has_its_passes_and_changes_nothing(images):
    model = swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=4)
    labels = np.array([0, 1, 2, 3])
    with pytest.raises(RuntimeError, match="compile"):
        model.profile(images, labels)
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.get_weights()
    profile = model.profile(images, labels, repeats=2)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    passes = [step.pass_ for step in profile.steps]
    assert passes == sorted(passes, key=["forward", "backward", "update"].index)
    assert set(passes) == {"forward", "backward", "update"}
    assert [step.name for step in profile.steps[-3:]] == ["gradients", "statistics", "weights"]
    assert "training step on 4 images" in str(profile) and " weight gradient " in str(profile)
    assert profile.seconds == pytest.approx(sum(step.seconds for step in profile.steps))
    assert all(step.pass_ is None for step in model.profile(images, repeats=1).steps)


ROLES = ["forward", "recomputation", "input_gradient", "weight_gradient", "update"]


FIELDS = ["seconds", "operations", "bytes", "shortest_seconds"]


def sums(rows):
    return [sum(getattr(row, field) for row in rows) for field in FIELDS]


def test_a_training_step_is_the_sum_of_its_layers_and_of_its_roles():
    model = swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=4)
    model.compile("sgd", "sparse_categorical_crossentropy")
    profile = model.profile(training=True, batch_size=5, repeats=1)
    assert (profile.images, profile.repeats) == (5, 1)
    whole = sums(profile.steps)
    assert sums(profile.layers) == pytest.approx(whole) and sums(profile.roles.values()) == pytest.approx(whole)
    assert sums([part for step in profile.steps for part in step.parts]) == pytest.approx(whole)
    assert whole[0] == pytest.approx(profile.seconds)
    assert set(profile.roles) <= set(ROLES) and {"forward", "update"} <= set(profile.roles)
    seconds = [layer.seconds for layer in profile.layers]
    assert seconds == sorted(seconds, reverse=True)
    for layer in profile.layers:
        assert sums(layer.roles.values()) == pytest.approx(sums([layer]))
        assert layer.share_of_limit == pytest.approx(layer.shortest_seconds / layer.seconds)
    rows = {layer.name: layer for layer in profile.layers}
    assert list(rows["layer1.0.conv1"].roles) == ["forward", "input_gradient", "weight_gradient", "update"]
    assert list(rows["conv1"].roles) == ["forward", "weight_gradient", "update"]
    assert rows["bn1 + relu"].layers == ("bn1", "relu")
    lines = str(profile).splitlines()
    assert any(line.endswith(f"  {profile.layers[0].name}") for line in lines)
    total = next(line for line in lines if line.endswith("  weight gradient"))
    assert total.split()[0] == f"{profile.roles['weight_gradient'].seconds * 1e3:.3f}"
    assert "  role " in profile.step_table and profile.step_table != str(profile)


def test_without_images_the_profile_is_of_random_ones():
    model = made()
    assert model.profile(repeats=1).images <= 32 and model.profile(repeats=1).layers == []
    with pytest.raises(RuntimeError, match="compile"):
        model.profile(training=True)
    # Targets are still to decide which loss it is, and may decide after it.
    model.compile("sgd", "crossentropy")
    before = model.get_weights()
    assert model.profile(training=True, repeats=1).images == 32
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    rows, lone = np.eye(4, dtype=np.float32), np.zeros((4, 16, 16, 3), np.float32)
    assert model.train_on_batch(lone, rows) > 0
    with pytest.raises(ValueError, match="y has shape"):
        model.train_on_batch(lone, [0, 1, 2, 3])


def test_data_that_is_half_there_is_an_error(images):
    model = made()
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="training=True needs y"):
        model.profile(images, training=True)
    with pytest.raises(ValueError, match="y is given without x"):
        model.profile(y=[0, 1, 2, 3], training=True)
    with pytest.raises(ValueError, match="sample_weight is given without x"):
        model.profile(training=True, sample_weight=[1])
    with pytest.raises(TypeError, match="training must be True or False"):
        model.profile(training=1)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="batch_size must be at least 1"):
            model.profile(training=True, batch_size=wrong)
    any_size = swiftcnn.create_model("resnet20", input_shape=(None, None, 3), classes=4)
    with pytest.raises(RuntimeError, match="any, any, 3"):
        any_size.profile()
    with pytest.raises(ValueError, match="not built yet"):
        models.Sequential([layers.Dense(3)]).profile()


def test_the_profile_of_a_training_step_takes_weights_and_a_batch_size(model, images):
    model.compile("sgd", "sparse_categorical_crossentropy")
    labels = np.array([0, 1, 2, 3])
    assert model.profile(images, labels, 3, 1, sample_weight=[1, 2, 3, 4]).images == 3
    with pytest.raises(ValueError, match="sample_weight"):
        model.profile(images, labels, sample_weight=[1, 2])
    with pytest.raises(ValueError, match="sample_weight .* needs y"):
        model.profile(images, sample_weight=[1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"y\[1\] is 4"):
        model.profile(images, [0, 4, 2, 3])


@pytest.mark.parametrize("argument", ["repeats", "batch_size"])
def test_a_wrong_number_is_an_error_that_names_it(model, images, argument):
    with pytest.raises(ValueError, match=argument):
        model.profile(images, **{argument: 0})
    with pytest.raises(TypeError, match=argument):
        model.profile(images, **{argument: 1.5})


def test_the_summary_shows_the_steps_only_where_asked(model, capsys):
    model.summary()
    plain = capsys.readouterr().out
    model.summary(fused=True)
    fused = capsys.readouterr().out
    assert " step" in fused and " step" not in plain
    last = {line.split()[0]: line.split()[-2:] for line in fused.splitlines() if line.strip()}
    assert last["conv"] == last["bn"]
    with pytest.raises(TypeError, match="fused"):
        model.summary(fused=1)
