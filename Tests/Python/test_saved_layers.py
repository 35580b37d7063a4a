"""What files keep of layers, whoever wrote them: Python, C, or a class that is not there any more."""

import copy
import json
import pickle
import struct
import warnings

import numpy as np
import pytest
from conftest import make_model

import swiftcnn
from swiftcnn import _swiftcnn, activations, layers, models, utils
from swiftcnn.models import files

RANDOM = np.random.default_rng(9)
X = RANDOM.standard_normal((6, 8, 8, 3)).astype(np.float32)
KEY = "swiftcnn.python"


class Scaled(layers.Layer):
    """A layer of the user's; another factor makes another network."""

    factor = 2.0

    def __init__(self, units, **options):
        super().__init__(**options)
        self.dense = layers.Dense(units)

    def call(self, x):
        return activations.relu(self.dense(x) * self.factor)


class Holder(models.Model):
    """A class that is given its parts."""

    def __init__(self, backbone, shape, kernel, kind=Scaled, function=activations.relu):
        super().__init__()
        self.backbone, self.parts = backbone, [kind(4), kind(3)]
        self.shape, self.kernel, self.function = shape, kernel, function

    def call(self, x):
        x = self.backbone(x)
        for part in self.parts:
            x = part(self.function(x))
        return x


def scaled():
    x = layers.Input((8, 8, 3), name="image")
    return models.Model(x, layers.Dense(2, name="head")(Scaled(5, name="scaled")(layers.Flatten(name="flat")(x))))


def holder():
    backbone = make_model(input_shape=(8, 8, 3), include_top=False, pooling="avg")
    model = Holder(backbone, (1, (2, 3)), np.arange(3, dtype=np.int16))
    model.build((None, 8, 8, 3))
    return model


def predict(model, x=X):
    return model.predict(x, verbose=0)


def train(model):
    if not model.compiled:
        model.compile("adam", "mse")
    return model.fit(X, np.zeros((6, model.output_shape[-1])), verbose=0, epochs=2).history


def silently(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*args, **options)


def metadata(path):
    contents = path.read_bytes()
    return json.loads(contents[8 : 8 + struct.unpack("<Q", contents[:8])[0]])["__metadata__"]


# ----------------------------------------------------------------------------------------------------- classes of users


def test_a_class_is_made_again_with_all_it_was_given(tmp_path):
    model = holder()
    train(model)
    model.save(tmp_path / "m.st")
    loaded = silently(models.load_model, tmp_path / "m.st", {"Holder": Holder, "Scaled": Scaled})
    assert type(loaded) is Holder and type(loaded.parts[1]) is Scaled
    assert loaded.shape == (1, (2, 3)) and loaded.kernel.dtype == np.int16 and list(loaded.kernel) == [0, 1, 2]
    assert isinstance(loaded.backbone.get_layer("bn1"), layers.BatchNormalization)
    np.testing.assert_array_equal(predict(loaded), predict(model))
    assert train(loaded) == train(model)
    np.testing.assert_array_equal(predict(loaded.backbone), predict(model.backbone))


@pytest.mark.parametrize("make", [scaled, holder])
def test_copies_know_the_classes(make):
    model = make()
    train(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.clone()):
        assert type(other) is type(model)
        assert [type(layer) for layer in other.layers] == [type(layer) for layer in model.layers]
        np.testing.assert_array_equal(predict(other), predict(model))
    assert train(silently(copy.deepcopy, model)) == train(model)


def test_without_the_class_the_layers_of_the_network_are_there_and_one_warning(tmp_path):
    model = scaled()
    train(model)
    model.save(tmp_path / "m.st")
    with pytest.warns(UserWarning, match="functional model.*'Scaled' is not in custom_objects") as seen:
        loaded = models.load_model(tmp_path / "m.st")
    assert len(seen) == 1 and seen[0].filename == __file__
    assert type(loaded) is models.Model
    assert [type(layer).__name__ for layer in loaded.layers] == [
        "InputLayer", "Flatten", "Dense", "Rescaling", "ReLU", "Dense",
    ]  # fmt: skip
    np.testing.assert_array_equal(predict(loaded), predict(model))
    assert loaded.compiled and train(loaded) == train(model)
    # The next file knows the class still.
    loaded.save(tmp_path / "m.st")
    again = silently(models.load_model, tmp_path / "m.st", {"Scaled": Scaled})
    assert type(again.get_layer("scaled")) is Scaled
    np.testing.assert_array_equal(predict(again), predict(loaded))


def test_a_class_that_computes_another_thing_now_is_not_taken(tmp_path, monkeypatch):
    model = scaled()
    model.save(tmp_path / "m.st")
    expected = predict(model)
    monkeypatch.setattr(Scaled, "factor", 3.0)
    with pytest.warns(UserWarning, match="another network now"):
        loaded = models.load_model(tmp_path / "m.st", {"Scaled": Scaled})
    np.testing.assert_array_equal(predict(loaded), expected)


@pytest.mark.parametrize("error", [KeyError("units"), RecursionError(), MemoryError("no")])
def test_a_class_that_cannot_be_made_again_is_warned_of(tmp_path, monkeypatch, error):
    def fail(*args):
        raise error

    model = scaled()
    expected = predict(model)
    with monkeypatch.context() as patch:
        patch.setattr(Scaled, "get_config", fail)
        model.save(tmp_path / "told.st")
        with pytest.warns(UserWarning, match=type(error).__name__):
            assert type(copy.deepcopy(model)) is models.Model
    model.save(tmp_path / "made.st")
    monkeypatch.setattr(Scaled, "from_config", fail)
    for name in ("told.st", "made.st"):
        with pytest.warns(UserWarning, match=type(error).__name__):
            np.testing.assert_array_equal(predict(models.load_model(tmp_path / name, {"Scaled": Scaled})), expected)


def test_a_class_within_a_function_cannot_be_pickled_but_its_network_can(monkeypatch):
    monkeypatch.setattr(files, "_CLOUDPICKLES", ())  # as long as nobody is there who can

    class Local(Scaled):
        pass

    x = layers.Input((3,))
    model = models.Model(x, Local(2)(x))
    assert type(silently(copy.deepcopy, model).layers[1]) is Local
    contents = pickle.dumps(model)
    with pytest.warns(UserWarning, match="'Local' is not in custom_objects"):
        other = pickle.loads(contents)
    np.testing.assert_array_equal(predict(other, X[0, 0]), predict(model, X[0, 0]))


def test_custom_objects_must_be_a_dictionary(tmp_path):
    scaled().save(tmp_path / "m.st")
    with pytest.raises(TypeError, match="custom_objects must be a dictionary"):
        models.load_model(tmp_path / "m.st", [Scaled])


def test_a_model_whose_configuration_has_a_loop_or_a_strange_part_says_so():
    function = layers.Dense(2, activation=lambda x: x * 2)
    model = models.Sequential([layers.Input((3,)), function])
    with pytest.raises(ValueError, match="no name of its own"):
        model.get_config()
    with pytest.raises(ValueError, match="no name of its own"):
        models.clone_model(model)
    with pytest.raises(ValueError, match="model must be a Model"):
        models.clone_model(function)


# ------------------------------------------------------------------------------------------------ files of other origin


def built_in_c(function, constants=()):
    """A network as a C program builds it: ``conv``, its activation after it, and ``dense`` with a softmax."""
    graph = _swiftcnn.create_graph()
    value = graph.input("image", (8, 8, 3))
    value = graph.layer("conv2d", "conv", '{"filters": 4, "kernel": [3, 3], "padding": "same", "bias": true}', [value])
    options = {"function": function, **dict(constants)}
    value = graph.layer("activation", f"conv.{function}", json.dumps(options), [value])
    value = graph.layer("reshape", "flat", '{"shape": [-1]}', [value])
    value = graph.layer("dense", "dense", '{"units": 3}', [value])
    return graph.model(graph.layer("softmax", "dense.softmax", None, [value]), None)


def test_a_layer_and_its_activation_are_one_layer_in_files_without_a_description(tmp_path):
    built_in_c("silu").save(str(tmp_path / "m.st"), None)
    model = silently(models.load_model, tmp_path / "m.st")
    assert [(layer.name, type(layer).__name__) for layer in model.layers[1:]] == [
        ("conv", "Conv2D"), ("flat", "Flatten"), ("dense", "Dense"),
    ]  # fmt: skip
    conv, dense = model.get_layer("conv"), model.get_layer("dense")
    assert conv.get_config()["activation"] == "silu" and dense.get_config()["activation"] == "softmax"
    assert [weight.shape for weight in model.layers[-1].get_weights()] == [(256, 3), (3,)]
    features = predict(models.Model(model.input, conv.output))
    assert features.min() > -0.3
    again = layers.Conv2D.from_config(conv.get_config())
    again.build((None, 8, 8, 3))
    again.set_weights(conv.get_weights())
    np.testing.assert_allclose(features, again(X), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(predict(models.Model(model.input, dense.output)), predict(model))
    np.testing.assert_allclose(predict(model).sum(1), 1, rtol=1e-5)


def test_an_activation_that_has_no_name_stays_a_layer():
    model = models.Model._of(built_in_c("leaky_relu", {"alpha": 0.7}.items()))
    assert [type(layer).__name__ for layer in model.layers[1:]] == ["Conv2D", "LeakyReLU", "Flatten", "Dense"]
    assert model.layers[2].negative_slope == 0.7


def test_a_result_that_others_read_stays_one():
    graph = _swiftcnn.create_graph()
    x = graph.layer("dense", "dense", '{"units": 3}', [graph.input("x", (4,))])
    model = models.Model._of(graph.model(graph.layer("add", "sum", None, [
        x, graph.layer("activation", "dense.relu", '{"function": "relu"}', [x])
    ]), None))  # fmt: skip
    assert [layer.name for layer in model.layers[1:]] == ["dense", "dense.relu", "sum"]


def test_programs_in_c_carry_the_layers_on(tmp_path):
    model = scaled()
    model.save(tmp_path / "m.st")
    core = _swiftcnn.load_model(str(tmp_path / "m.st"))
    core.set_parameter("head.bias", np.ones(2, np.float32))
    core.clone().save(str(tmp_path / "m.st"), None)
    loaded = silently(models.load_model, tmp_path / "m.st", {"Scaled": Scaled})
    assert type(loaded.get_layer("scaled")) is Scaled
    assert list(loaded.get_layer("head").bias.numpy()) == [1, 1]


def test_what_c_changed_in_the_network_is_seen(tmp_path):
    models.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)]).save(tmp_path / "m.st")
    core = _swiftcnn.load_model(str(tmp_path / "m.st"))
    core.reset_classifier(7, 0)
    core.save(str(tmp_path / "m.st"), None)
    with pytest.warns(UserWarning, match="another network now"):
        assert models.load_model(tmp_path / "m.st").output_shape == (None, 7)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "3", "null", "{}", '{"version": 2}', '{"version": 1, "inputs": [], "layers": []}',
        '{"version": 1, "inputs": [], "layers": [{"class": "Layer", "config": {}}]}',
        '{"version": 1, "inputs": [], "layers": [{"class": "os.system", "config": {}}]}',
        '{"version": 1, "inputs": [], "layers": [{"class": "Dense", "config": {"units": 2000000000}}]}',
        '{"version": 1, "inputs": [{"name": "x", "shape": [null, -3]}], "layers": []}',
        '{"version": 1, "inputs": [], "layers": [{"model": "network", "graph": "{}", "name": "a", "input": 0}]}',
        '{"version": 1, "inputs": [], "layers": [{"custom": "Scaled", "name": "a", "config": {"units": 1}}]}',
        "[" * 100000,
    ],
)  # fmt: skip
def test_a_spoilt_description_leaves_the_network(text, tmp_path):
    model = models.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)])
    model.save(tmp_path / "m.st")
    core = _swiftcnn.load_model(str(tmp_path / "m.st"))
    core.set_metadata(KEY, text)
    core.save(str(tmp_path / "m.st"), None)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        loaded = models.load_model(tmp_path / "m.st")
    assert len(seen) == (text != "")
    np.testing.assert_array_equal(predict(loaded), predict(model))


def test_models_by_name_need_no_description(tmp_path):
    make_model().save(tmp_path / "m.st")
    assert KEY not in metadata(tmp_path / "m.st")
    models.Sequential([layers.Input((3,)), layers.Dense(2)]).save(tmp_path / "m.st")
    assert json.loads(metadata(tmp_path / "m.st")[KEY])["layers"][0]["class"] == "Dense"


# --------------------------------------------------------------------------------------------------------- other things


def test_loading_draws_no_random_numbers(tmp_path):
    models.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)]).save(tmp_path / "m.st")
    found = []
    for load in (False, True):
        utils.set_random_seed(3)
        if load:
            models.load_model(tmp_path / "m.st")
        dense = layers.Dense(2)
        dense.build((None, 5))
        found.append(dense.get_weights()[0])
    np.testing.assert_array_equal(*found)


def test_names_of_new_layers_are_not_those_of_loaded_ones(tmp_path):
    models.Sequential(
        [layers.Input((3,)), layers.Dense(2, name="dense_7"), layers.Dense(2, name="dense")]
    ).save(tmp_path / "m.st")
    utils.clear_session()
    model = models.load_model(tmp_path / "m.st")
    model.add(layers.Dense(2))
    assert [layer.name for layer in model.layers] == ["dense_7", "dense", "dense_8"]


def test_layers_shared_by_models_within_are_so_after_loading(tmp_path):
    shared = layers.Dense(3, name="shared")
    first = models.Sequential([layers.Input((3,)), shared], name="first")
    second = models.Sequential([layers.Input((3,)), shared], name="second")
    x = layers.Input((3,))
    model = models.Model(x, second(first(x)))
    model.save(tmp_path / "m.st")
    loaded = silently(models.load_model, tmp_path / "m.st")
    assert loaded.get_layer("first").layers[0] is loaded.get_layer("second").layers[0]
    assert len(loaded.weights) == 2


def test_a_model_goes_on_from_the_same_input_as_the_model_within(tmp_path):
    backbone = make_model(input_shape=(8, 8, 3), include_top=False)
    model = models.Model(backbone.input, layers.Flatten()(backbone.get_layer("layer1.0").output))
    model.save(tmp_path / "m.st")
    loaded = silently(models.load_model, tmp_path / "m.st")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert isinstance(loaded.get_layer("bn1"), layers.BatchNormalization)
    np.testing.assert_array_equal(predict(loaded), predict(model))


def test_pixels_are_normalised_as_before(tmp_path):
    pixels = RANDOM.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    model = models.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)])
    model.set_normalization([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    model.save(tmp_path / "m.st")
    for other in (models.load_model(tmp_path / "m.st"), copy.deepcopy(model)):
        assert other.normalization == model.normalization
        np.testing.assert_array_equal(predict(other, pixels), predict(model, pixels))


def test_what_c_set_for_pixels_is_kept(tmp_path):
    models.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)]).save(tmp_path / "m.st")
    core = _swiftcnn.load_model(str(tmp_path / "m.st"))
    core.set_preprocessing('{"mean": [0.5, 0.25, 0.125], "std": [1, 2, 4]}')
    core.save(str(tmp_path / "m.st"), None)
    assert models.load_model(tmp_path / "m.st").normalization == ((0.5, 0.25, 0.125), (1, 2, 4))


def test_the_optimizer_of_a_loaded_model_is_at_hand(tmp_path):
    model = models.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)])
    train(model)
    model.save(tmp_path / "m.st")
    loaded = models.load_model(tmp_path / "m.st")
    loaded.optimizer.learning_rate = 0.125
    assert loaded.learning_rate == 0.125


def test_a_frozen_model_without_weights_stays_frozen(tmp_path):
    x = layers.Input((3,))
    inner = models.Sequential([layers.Input((3,)), layers.ReLU()], name="inner", trainable=False)
    models.Model(x, layers.Dense(2)(inner(x))).save(tmp_path / "m.st")
    assert not models.load_model(tmp_path / "m.st").get_layer("inner").trainable


def test_a_class_that_takes_no_name_has_it_again(tmp_path):
    class Plain(layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.dense = layers.Dense(units)

        def call(self, x):
            return self.dense(x)

    x = layers.Input((3,))
    plain = Plain(2)
    models.Model(x, plain(x)).save(tmp_path / "m.st")
    loaded = silently(models.load_model, tmp_path / "m.st", {"Plain": Plain})
    assert type(loaded.get_layer(plain.name)) is Plain


def test_calls_with_training_false_are_so_again(tmp_path):
    backbone = make_model(input_shape=(8, 8, 3), include_top=False, pooling="avg")
    x = layers.Input((8, 8, 3))
    model = models.Model(x, layers.BatchNormalization(name="bn")(backbone(x, training=False), training=False))
    train(model)
    model.save(tmp_path / "m.st")
    loaded = silently(models.load_model, tmp_path / "m.st")
    before = loaded.get_layer("bn").moving_mean.numpy()
    train(loaded)
    np.testing.assert_array_equal(loaded.get_layer("bn").moving_mean.numpy(), before)


def test_a_replaced_classifier_is_there_after_loading(tmp_path):
    x = layers.Input((8, 8, 3))
    model = models.Model(x, layers.Dense(4)(layers.Flatten()(x)))
    model.save(tmp_path / "m.st")
    model.reset_classifier(7)
    model.save(tmp_path / "m.st")
    loaded = silently(models.load_model, tmp_path / "m.st")
    assert loaded.output_shape == (None, 7) and loaded.layers[-1].units == model.layers[-1].units == 7


def test_a_model_called_with_its_own_input_is_one_layer(tmp_path):
    inner = models.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)], name="inner")
    model = models.Model(inner.input, layers.ReLU(name="relu")(inner(inner.input)))
    assert [layer.name for layer in model.layers[1:]] == ["inner", "relu"]
    model.save(tmp_path / "m.st")
    loaded = silently(models.load_model, tmp_path / "m.st")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(predict(loaded), predict(model))


def test_penalties_set_on_a_model_are_kept(tmp_path):
    model = models.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4, kernel_regularizer="l2")])
    model.set_regularization("*.bias", l1=0.5)
    train(model)
    model.save(tmp_path / "m.st")
    assert train(models.load_model(tmp_path / "m.st")) == train(model)


def test_a_model_without_a_network_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="is not built yet"):
        models.Sequential([layers.Dense(3)]).save(tmp_path / "m.st")


# ----------------------------------------------------------------------------------------------------- weights by order


def numbered(classes=3):
    x = layers.Input((8, 8, 3))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3)(x))
    return models.Model(x, layers.Dense(classes)(layers.Flatten()(layers.Conv2D(4, 3)(y))))


def test_weights_of_layers_with_other_numbers_are_loaded_in_order(tmp_path):
    first, second = numbered(), numbered()
    assert first.layers[1].name != second.layers[1].name
    train(first)
    first.save_weights(tmp_path / "w.st")
    second.load_weights(tmp_path / "w.st")
    np.testing.assert_array_equal(predict(second), predict(first))


def test_weights_in_order_are_loaded_all_or_not_at_all(tmp_path):
    model = numbered()
    before = model.get_weights()
    x = layers.Input((8, 8, 3))
    y = layers.BatchNormalization(center=False)(layers.Conv2D(4, 3)(x))
    models.Model(x, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3)(y)))).save_weights(tmp_path / "w.st")
    with pytest.raises(ValueError, match="missing"):
        model.load_weights(tmp_path / "w.st")
    models.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3)]).save_weights(tmp_path / "w.st")
    with pytest.raises(ValueError, match="missing"):
        model.load_weights(tmp_path / "w.st")
    numbered(classes=5).save_weights(tmp_path / "w.st")
    with pytest.raises(ValueError, match="missing"):
        model.load_weights(tmp_path / "w.st")
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


# ---------------------------------------------------------------------------------------- layers of models made by name


def test_the_last_layers_of_a_backbone_are_thawed_but_for_normalisation():
    base = make_model(include_top=False)
    base.trainable = False
    for layer in base.layers[-20:]:
        if not isinstance(layer, layers.BatchNormalization):
            layer.trainable = True
    thawed = [row.name for row in base.parameters if row.trainable]
    assert thawed and all("bn" not in name for name in thawed)
    assert "layer3.2.conv2.weight" in thawed and "conv1.weight" not in thawed


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0", "tf_efficientnet_lite0", "resnet_article"])
def test_layers_of_models_by_name_are_of_the_public_classes(name):
    model = swiftcnn.create_model(name, input_shape=(64, 64, 3), classes=7)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert {"InputLayer", "Conv2D", "BatchNormalization", "Dense", "Softmax", "Add"} <= kinds
    for layer in model.layers:
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            kernel = layer.kernel.shape
            assert layer.kernel_size == kernel[:2] and layer.strides in ((1, 1), (2, 2))
            assert layer.use_bias == (len(layer.weights) == 2) and layer.activation is activations.linear
            shape = layer.output.shape
            assert shape[-1] == (layer.filters if isinstance(layer, layers.Conv2D) else kernel[2] * kernel[3])
        if isinstance(layer, layers.BatchNormalization):
            assert layer.momentum == pytest.approx(0.9, abs=0.1) and layer.epsilon in (1e-5, 1e-3)
        assert isinstance(layer, layers.Layer) and layer.get_config()["name"] == layer.name
        assert type(layer).__name__ != "Node" or layer.operation == "stochastic_depth"
    head = model.layers[-2]
    assert isinstance(head, layers.Dense) and head.units == 7


def test_paddings_of_models_by_name_are_told_as_they_are():
    model = make_model(input_shape=(8, 8, 3))
    assert model.get_layer("layer1.0.conv1").padding == "same"
    strided = model.get_layer("layer2.0.conv1")
    assert strided.strides == (2, 2) and strided.padding == ((1, 1), (1, 1))
    same = swiftcnn.create_model("tf_efficientnet_b0", input_shape=(32, 32, 3)).layers[1]
    assert same.strides == (2, 2) and same.padding == "same"


def test_layers_of_loaded_networks_have_the_attributes_of_their_classes(tmp_path):
    x = layers.Input((9, 8, 4), name="x")
    made = [
        layers.ReLU(5.0, 0.1, 0.2), layers.ReLU(6.0), layers.LeakyReLU(0.4), layers.ELU(0.5), layers.Activation("gelu"),
        layers.PReLU("he_normal"), layers.PReLU("he_normal", shared_axes=[1, 2]),
        layers.DepthwiseConv2D((2, 3), strides=(2, 1), depth_multiplier=2),
        layers.Conv2D(6, 3, groups=2, dilation_rate=2, padding="same", use_bias=False),
        layers.ZeroPadding2D(((1, 2), (3, 0))),
        layers.RandomFlip("vertical"), layers.RandomCrop(5, 6), layers.MaxPooling2D((2, 1), padding="same"),
        layers.AveragePooling2D(2, strides=1), layers.BatchNormalization(momentum=0.75, epsilon=0.25, center=False),
        layers.Dropout(0.25), layers.Rescaling(2.0, 1.0), layers.GlobalMaxPooling2D(keepdims=True), layers.Flatten(),
        layers.Dense(4), layers.Reshape((2, 2)), layers.Softmax(),
    ]  # fmt: skip
    y = x
    for layer in made:
        y = layer(y)
    model = models.Model(x, y)
    model.save(tmp_path / "m.st")
    core = _swiftcnn.load_model(str(tmp_path / "m.st"))
    core.set_metadata(KEY, None)
    found = models.Model._of(core).layers[1:]
    assert [type(layer).__name__ for layer in found] == [type(layer).__name__ for layer in made]
    ignored = {"name", "trainable", "seed", "scale", "offset", "shared_axes", "alpha_initializer"}
    for layer, original in zip(found, made, strict=True):
        assert isinstance(layer, type(original))
        assert type(layer).__doc__ == type(original).__doc__
        config, expected = layer.get_config(), original.get_config()
        for name in expected.keys() - ignored:
            wanted = pytest.approx(expected[name]) if isinstance(expected[name], float) else expected[name]
            assert config[name] == wanted, (layer, name)
        for weight, other in zip(layer.get_weights(), original.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, other)


# ---------------------------------------------------------------------------------------------------- built for a shape


@pytest.mark.parametrize("make", [scaled, holder, make_model])
def test_a_built_model_is_built_for_no_other_shape(make):
    model = make()
    model.build(model.input_shape)
    model.build((3, *model.input_shape[1:]))
    for shape in ((None, 9, 9, 3), (None, 8, 8), (None, 8, 8, 2)):
        with pytest.raises(ValueError, match="is built for inputs of shape"):
            model.build(shape)
    for shape in ("nonsense", (), (None, 0, 8, 3), 7):
        with pytest.raises(ValueError, match="input_shape"):
            model.build(shape)


def test_models_for_any_size_are_built_for_every_size():
    make_model(input_shape=(None, None, 3)).build((None, 9, 12, 3))


def test_layers_put_into_the_list_of_a_built_class_are_seen():
    model = holder()
    model.parts.append(Scaled(2))
    with pytest.raises(ValueError, match="cannot become a part of.*make a new Holder"):
        predict(model)


def test_a_model_that_is_called_with_too_much_says_what():
    model = make_model()
    with pytest.raises(TypeError, match=r"model 'resnet20' takes one input, and training, got also \[3\]"):
        model(np.zeros((1, 8, 8, 1)), 3)
