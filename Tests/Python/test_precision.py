"""What a model computes in, and what of it goes where."""

import copy
import json
import pickle

import numpy as np
import pytest
from conftest import make_model

import swiftcnn
from swiftcnn import config, layers, losses, models


@pytest.fixture(autouse=True)
def usual_policy():
    yield
    config.set_dtype_policy("float32")


def of_layers():
    x = layers.Input((8, 8, 1))
    return models.Model(x, layers.Dense(3)(layers.Flatten()(layers.Conv2D(2, 3, activation="relu", name="conv")(x))))


class Own(models.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(3)

    def call(self, x):
        return self.dense(self.flatten(x))


def own():
    model = Own()
    model.build((None, 8, 8, 1))
    return model


def sequential():
    return models.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)])


MADE = [make_model, of_layers, own, sequential]


@pytest.mark.parametrize("make", MADE)
def test_a_model_computes_in_float32_unless_it_is_told(make):
    model = make()
    assert model.dtype_policy == config.DTypePolicy("float32")
    model.set_precision("bfloat16")
    assert model.dtype_policy.name == model.dtype_policy.compute_dtype == "bfloat16"
    assert model.dtype_policy.variable_dtype == "float32"
    model.set_precision("float32")
    assert model.dtype_policy.name == "float32"


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize(
    "through",
    [models.Model.clone, copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), models.clone_model],
    ids=["clone", "copy", "deepcopy", "pickle", "clone_model"],
)
def test_it_goes_with_the_model_into_copies(make, through):
    model = make()
    model.set_precision("bfloat16")
    config.set_dtype_policy("float32")
    assert through(model).dtype_policy.name == "bfloat16"
    model.set_precision("float32")
    config.set_dtype_policy("bfloat16")
    assert through(model).dtype_policy.name == "float32"


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_it_goes_into_files_whatever_they_have_of_the_parameters(tmp_path, make, stored):
    for precision in ("bfloat16", "float32"):
        model = make()
        model.set_precision(precision)
        model.save(tmp_path / "m.safetensors", dtype=stored)
        config.set_dtype_policy("bfloat16" if precision == "float32" else "float32")
        loaded = models.load_model(tmp_path / "m.safetensors", {"Own": Own})
        assert loaded.dtype_policy.name == precision
        assert loaded._handle.get_precision() == precision
        config.set_dtype_policy("float32")


def test_a_policy_holds_for_models_made_from_then_on():
    before = [make() for make in MADE]
    config.set_dtype_policy("bfloat16")
    assert config.dtype_policy().name == "bfloat16"
    assert all(make().dtype_policy.name == make()._handle.get_precision() == "bfloat16" for make in MADE)
    assert make_model(dtype="float32").dtype_policy.name == "float32"
    assert all(model.dtype_policy.name == "float32" for model in before)
    unbuilt = models.Sequential([layers.Flatten(), layers.Dense(3)])
    config.set_dtype_policy(config.DTypePolicy("float32"))
    assert config.dtype_policy().name == "float32"
    unbuilt.build((None, 8, 8, 1))
    assert unbuilt._handle.get_precision() == "bfloat16"


def test_a_model_may_be_told_before_it_is_built_and_stays_so_where_it_changes():
    model = models.Sequential([layers.Flatten()])
    model.set_precision("bfloat16")
    model.add(layers.Dense(3))
    model.build((None, 8, 8, 1))
    assert model._handle.get_precision() == "bfloat16"
    model.add(layers.Dense(2))
    model.build((None, 8, 8, 1))
    assert model._handle.get_precision() == "bfloat16"
    with pytest.raises(ValueError, match="not built"):
        Own().precision()


def test_models_by_name_are_told_as_they_are_made():
    assert make_model(dtype="bfloat16")._handle.get_precision() == "bfloat16"
    assert make_model(dtype=np.float32).dtype_policy.name == "float32"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mixed_bfloat", "unknown .* 'mixed_bfloat'.*mixed_bfloat16"),
        ("mixed_float16", "unknown .* 'mixed_float16'.*mixed_bfloat16"),
        ("float16", "unknown .* 'float16'"),
        ("float64", "unknown .* 'float64'"),
        (16, "must be a string"),
        (np.float64, "unknown .* 'float64'"),
    ],
)
def test_what_nothing_computes_in_is_refused(given, message):
    model = make_model()
    for call in (config.set_dtype_policy, config.DTypePolicy, model.set_precision, lambda x: make_model(dtype=x)):
        with pytest.raises(ValueError, match=message):
            call(given)
    assert config.dtype_policy().name == model.dtype_policy.name == "float32"
    with pytest.raises(ValueError, match="unknown precision"):
        model._handle.set_precision("float16")


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
@pytest.mark.parametrize("make", [make_model, of_layers])
def test_each_layer_says_what_it_is_computed_in_and_why(make, asked):
    model = make()
    model.set_precision(asked)
    rows = model.precision()
    assert all(isinstance(row, models.LayerPrecision) for row in rows)
    names = [row.layer for row in rows]
    assert len(set(names)) == len(names)
    assert {"conv1", "layer1.0.conv1", "fc"} <= set(names) or {"conv", "conv.relu"} <= set(names)
    for row in rows:
        assert row.dtype in ("float32", "bfloat16") and row.instruction
        assert (row.dtype == asked) == (row.reason == "")


def test_inputs_and_outputs_are_float32(data):
    model = make_model()
    model.set_precision("bfloat16")
    assert model.predict(data[0], verbose=0).dtype == np.float32
    assert all(array.dtype == np.float32 for array in model.get_weights())


def test_training_does_not_depend_on_it(data):
    weights = []
    for precision in ("float32", "bfloat16"):
        model = make_model()
        model.set_precision(precision)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(*data, batch_size=20, epochs=2, validation_data=data, verbose=0)
        weights.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_summary_and_profile_say_it(data):
    model, lines = make_model(), []
    model.summary(print_fn=lines.append)
    assert "precision" not in lines[-1]
    model.set_precision("bfloat16")
    for fused in (False, True):
        model.summary(print_fn=lines.append, fused=fused)
        assert lines[-1].endswith("\nprecision: bfloat16")
    profile = model.profile(data[0], repeats=1)
    assert profile.precision == "bfloat16" and "precision bfloat16" in str(profile).splitlines()[0]


def test_the_library_tells_its_options():
    described = json.loads(swiftcnn._swiftcnn.describe())
    for section in ("model", "graph_model", "model_file", "weights_file"):
        # Of files it is what they have of the parameters.
        mixed = ["mixed_bfloat16"] if section in ("model", "graph_model") else []
        assert described[section]["dtype"]["choices"] == ["float32", "bfloat16", *mixed]
        # Of layers it is what they have.
        assert described[section]["dtype"]["default"] == (None if section == "graph_model" else "float32")


def composed(base):
    """Models that are made of another, of its tensors or of its layers."""
    x = layers.Input((8, 8, 1))
    yield "tensor", models.Model(base.input, layers.Dense(2)(base.output))
    yield "model as a layer", models.Model(x, layers.Dense(2)(base(x)))
    yield "sequential", models.Sequential([layers.Input((8, 8, 1)), base, layers.Dense(2)])
    yield "middle", models.Model(base.input, layers.Flatten()(base.layers[1].output))

    class Around(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = base

        def call(self, x):
            return self.inner(x)

    yield "wrapped", models.Model(x, layers.Dense(2)(Around()(x)))

    class Whole(models.Model):
        def __init__(self):
            super().__init__()
            self.inner = base

        def call(self, x):
            return self.inner(x)

    whole = Whole()
    whole.build((None, 8, 8, 1))
    yield "class", whole


def named_base():
    return make_model()


@pytest.mark.parametrize("make", [named_base, of_layers])
def test_a_model_made_of_one_in_bfloat16_computes_in_it_unless_it_is_told(make):
    base = make()
    for how, model in composed(base):
        assert model.dtype_policy.name == "float32", how
    base.set_precision("bfloat16")
    for how, model in list(composed(base)):  # before the layers that they share are told otherwise
        assert model.dtype_policy.name == "bfloat16" == models.clone_model(model).dtype_policy.name, how
        model.set_precision("float32")
        assert base.dtype_policy.name == "bfloat16" and model.dtype_policy.name == "float32", how
    base.set_precision("float32")
    for how, model in composed(base):
        assert model.dtype_policy.name == "float32", how


def test_a_class_that_was_told_before_it_has_a_network_stays_so():
    base = make_model()
    base.set_precision("bfloat16")
    for precision in ("float32", "bfloat16"):
        model = models.Sequential([base, layers.Dense(2)])
        model.set_precision(precision)
        model.build((None, 8, 8, 1))
        assert model.dtype_policy.name == precision


def test_a_model_that_is_called_computes_as_its_predictions_do():
    model, x = of_layers(), np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    for precision in ("float32", "bfloat16"):
        model.set_precision(precision)
        np.testing.assert_array_equal(model(x), model.predict(x, verbose=0))


@pytest.mark.parametrize("make", MADE)
def test_mixed_precision_is_a_policy_of_training_too(tmp_path, make):
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 32).astype(np.int32)
    x = random.normal(y[:, None, None, None], 1, (32, 8, 8, 1)).astype(np.float32)
    found = {}
    for policy in ("float32", "mixed_bfloat16"):
        config.set_dtype_policy(policy)
        assert config.dtype_policy().compute_dtype == policy.removeprefix("mixed_")
        swiftcnn.utils.set_random_seed(3)
        model = make()
        assert model.dtype_policy.name == policy and model.dtype_policy.variable_dtype == "float32"
        model.compile(optimizer="sgd", loss=losses.SparseCategoricalCrossentropy(from_logits=make is not make_model))
        found[policy] = model.fit(x, y, batch_size=8, epochs=2, verbose=0).history["loss"]
        model.save(tmp_path / f"{policy}.safetensors")
        again = models.load_model(tmp_path / f"{policy}.safetensors", {"Own": Own})
        assert again.dtype_policy.name == policy
        # A run goes on in the same bits, or in the other precision.
        for trained in (model, again):
            trained.fit(x, y, batch_size=8, epochs=1, verbose=0)
        for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        again.set_precision("float32")
        again.fit(x, y, batch_size=8, epochs=1, verbose=0)
    np.testing.assert_allclose(found["mixed_bfloat16"], found["float32"], rtol=0.05)
