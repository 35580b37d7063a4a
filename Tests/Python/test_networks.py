"""Models made of layers: functional, sequential, classes; nested, shared, changed, copied, saved."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from conftest import make_model

import swiftcnn
from swiftcnn import layers, models, regularizers, utils

RANDOM = np.random.default_rng(6)
X = RANDOM.standard_normal((16, 8, 8, 3)).astype(np.float32)
Y = RANDOM.integers(0, 4, 16)
SPARSE = "sparse_categorical_crossentropy"


def trunk():
    """Layers with weights of every kind, up to a vector."""
    return [
        layers.Conv2D(4, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2),
        layers.Dropout(0.3),
        layers.GlobalAveragePooling2D(),
    ]


def sequential():
    return models.Sequential([layers.Input((8, 8, 3)), *trunk(), layers.Dense(4, activation="softmax")])


def functional():
    x = y = layers.Input((8, 8, 3))
    for layer in trunk():
        y = layer(y)
    return models.Model(x, layers.Dense(4, activation="softmax")(y))


class Net(models.Model):
    def __init__(self, classes=4, **options):
        super().__init__(**options)
        self.trunk = trunk()
        self.head = layers.Dense(classes, activation="softmax")

    def call(self, x, training=None):
        for layer in self.trunk:
            x = layer(x, training=training)
        return self.head(x)


def subclassed():
    net = Net()
    net.build((None, 8, 8, 3))
    return net


def nested():
    inner = models.Sequential([layers.Input((8, 8, 3)), *trunk()], name="inner")
    x = layers.Input((8, 8, 3))
    return models.Model(x, layers.Dense(4, activation="softmax")(inner(x)))


def replaced_head():
    backbone = make_model(input_shape=(8, 8, 3), include_top=False, pooling="avg")
    return models.Model(backbone.input, layers.Dense(4, activation="softmax")(backbone.output))


def called_backbone():
    backbone = make_model(input_shape=(8, 8, 3), include_top=False, pooling="avg")
    x = layers.Input((8, 8, 3))
    return models.Model(x, layers.Dense(4, activation="softmax")(backbone(x * 2)))


KINDS = [sequential, functional, subclassed, nested, replaced_head, called_backbone]


def predict(model, x=X):
    return model.predict(x, verbose=0)


def train(model, epochs=1, **options):
    if not model.compiled:
        model.compile("adam", SPARSE, metrics=["accuracy"])
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, **options).history["loss"]


def same(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# --------------------------------------------------------------------------------------------------- of every kind


@pytest.mark.parametrize("make", KINDS)
def test_models_train(make):
    losses = train(make(), 12)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("make", KINDS)
def test_a_saved_model_predicts_the_same_bits_and_trains_on_in_the_same_bits(make, tmp_path):
    model = make()
    train(model)
    model.save(tmp_path / "m.safetensors")
    loaded = models.load_model(tmp_path / "m.safetensors", custom_objects={"Net": Net})
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(predict(loaded), predict(model))
    assert loaded.compiled
    assert train(loaded) == train(model)
    np.testing.assert_array_equal(predict(loaded), predict(model))


@pytest.mark.parametrize("make", KINDS)
def test_copies_are_independent_and_predict_the_same_bits(make):
    model = make()
    train(model)
    before = predict(model)
    copies = [model.clone(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    train(model)
    for each in copies:
        assert type(each) is type(model)
        np.testing.assert_array_equal(predict(each), before)
        assert each.compiled and each.name == model.name
        train(each)
        np.testing.assert_array_equal(predict(each), predict(model))


@pytest.mark.parametrize("make", KINDS)
def test_weights_carry_over(make):
    one, other = make(), make()
    train(one)
    assert not np.array_equal(predict(one), predict(other))
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(predict(one), predict(other))
    third = make()
    if make in (replaced_head, called_backbone, sequential):
        names = {a.name: b.name for a, b in zip(one.parameters, third.parameters, strict=True)}
        third.load_state_dict({names[name]: value for name, value in one.state_dict().items()})
        np.testing.assert_array_equal(predict(one), predict(third))


@pytest.mark.parametrize("make", KINDS)
def test_weights_of_the_model_are_those_of_its_layers(make):
    model = make()
    assert same([w for layer in model.layers for w in layer.get_weights()], model.get_weights())
    assert len(model.weights) == len(model.parameters)
    assert sum(w.numpy().size for w in model.weights) == sum(np.prod(row.shape) for row in model.parameters)
    assert len(model.trainable_weights) == sum(row.trainable for row in model.parameters)


@pytest.mark.parametrize("make", KINDS)
def test_layers_are_found_by_name_and_by_index(make):
    model = make()
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    for index, name in enumerate(names):
        assert model.get_layer(name) is model.get_layer(index=index)
    with pytest.raises(ValueError, match="unknown layer 'nothing'"):
        model.get_layer("nothing")
    with pytest.raises(ValueError, match=f"index is {len(names)}, but the model has {len(names)} layers"):
        model.get_layer(index=len(names))
    with pytest.raises(ValueError, match="one of name and index"):
        model.get_layer()


@pytest.mark.parametrize("make", KINDS)
def test_sub_models_give_what_layers_gave(make):
    model = make()
    train(model)
    last = model.layers[-1]
    assert models.Model(model.input, last.output).output_shape == (None, 4)
    np.testing.assert_allclose(predict(models.Model(model.input, last.output)), predict(model), rtol=1e-6)
    before = models.Model(model.input, last.input if make is not subclassed else model.trunk[-1].output)
    assert np.isfinite(predict(before)).all()
    train(model)
    np.testing.assert_allclose(predict(models.Model(model.input, last.output)), predict(model), rtol=1e-6)


@pytest.mark.parametrize("make", KINDS)
def test_freezing_a_model_freezes_its_layers_and_statistics(make):
    model = make()
    model.compile("adam", SPARSE)
    model.trainable = False
    assert not model.trainable and model.trainable_weights == []
    assert not any(layer.trainable for layer in model.layers if layer.weights)
    head = model.head if make is subclassed else model.layers[-1 if model.layers[-1].weights else -2]
    head.trainable = True
    assert model.trainable and len(model.trainable_weights) == 2
    before, frozen = model.get_weights(), [w.parameter for w in model.non_trainable_weights]
    train(model, 2)
    changed = [w.parameter for w, old in zip(model.weights, before, strict=True) if not np.array_equal(w.numpy(), old)]
    assert sorted(changed + frozen) == sorted(w.parameter for w in model.weights)
    model.trainable = True
    assert all(layer.trainable for layer in model.layers)


@pytest.mark.parametrize("make", [sequential, functional, subclassed])
def test_flags_of_the_model_and_of_its_layers_are_the_same(make):
    model = make()
    conv = model.trunk[0] if make is subclassed else next(x for x in model.layers if isinstance(x, layers.Conv2D))
    assert model.freeze(conv.kernel.parameter) == 1
    assert not conv.trainable
    conv.trainable = True
    assert next(row for row in model.parameters if row.name == conv.kernel.parameter).trainable


# ------------------------------------------------------------------------------------------------------- shared weights


def test_what_one_model_learns_the_others_know():
    layer = layers.Dense(4)
    one = models.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layer])
    two = models.Sequential([layers.Input((192,)), layers.Rescaling(2), layer])
    for model in (one, two):
        model.compile("sgd", "mse")
    for _ in range(3):  # in turns
        before = layer.get_weights()
        one.train_on_batch(X, np.ones((16, 4)))
        middle = layer.get_weights()
        two.train_on_batch(X.reshape(16, -1), np.ones((16, 4)))
        assert not np.array_equal(before[0], middle[0]) and not np.array_equal(middle[0], layer.get_weights()[0])
    np.testing.assert_allclose(predict(one), X.reshape(16, -1) @ layer.kernel.numpy() + layer.bias.numpy(), atol=1e-5)
    np.testing.assert_allclose(
        predict(two, X.reshape(16, -1)), 2 * X.reshape(16, -1) @ layer.kernel.numpy() + layer.bias.numpy(), atol=1e-5
    )
    layer.set_weights([np.zeros((192, 4)), np.ones(4)])
    assert (predict(one) == 1).all() and (predict(two, X.reshape(16, -1)) == 1).all()


def test_a_layer_applied_twice_gets_the_sum_of_both_gradients():
    dense = layers.Dense(3, use_bias=False)
    x = layers.Input((3,))
    model = models.Model(x, dense(dense(x)))
    model.compile("sgd", "mse")
    a = RANDOM.standard_normal((1, 3))
    w = dense.kernel.numpy().astype(np.float64)
    model.train_on_batch(a, np.zeros((1, 3)))
    error = 2 / 3 * (a @ w @ w)
    expected = (a @ w).T @ error + a.T @ (error @ w.T)
    np.testing.assert_allclose(model.get_gradient(dense.kernel.parameter).T, expected, rtol=1e-4, atol=1e-6)


def test_a_backbone_is_shared_by_models_that_go_on_from_it():
    backbone = make_model(input_shape=(8, 8, 3), include_top=False, pooling="avg")
    before = predict(backbone)
    one = models.Model(backbone.input, layers.Dense(4, activation="softmax")(backbone.output))
    two = models.Sequential([layers.Input((8, 8, 3)), backbone, layers.Dense(2)])
    train(one)
    assert not np.array_equal(predict(backbone), before)
    features = predict(backbone)
    kernel, bias = two.layers[-1].get_weights()
    np.testing.assert_allclose(predict(two), features @ kernel + bias, rtol=1e-4, atol=1e-5)
    backbone.trainable = False
    assert len(one.trainable_weights) == len(two.trainable_weights) == 2


def test_a_frozen_backbone_keeps_weights_and_statistics():
    model = replaced_head()
    *names, _, _ = [row.name for row in model.parameters]
    assert model.freeze("*") == sum(row.role != "statistic" for row in model.parameters)
    model.layers[-1].trainable = True
    train(model)
    before = model.state_dict()
    train(model)
    assert all(np.array_equal(before[name], model.get_parameter(name)) for name in names)


def test_with_training_false_a_backbone_keeps_its_statistics():
    backbone = make_model(input_shape=(8, 8, 3), include_top=False, pooling="avg")
    statistics = [row.name for row in backbone.parameters if row.role == "statistic"]
    before = backbone.state_dict()
    x = layers.Input((8, 8, 3))
    train(models.Model(x, layers.Dense(4, activation="softmax")(backbone(x, training=False))))
    assert all(np.array_equal(before[name], backbone.get_parameter(name)) for name in statistics)
    assert not np.array_equal(before["conv1.weight"], backbone.get_parameter("conv1.weight"))
    train(models.Model(x, layers.Dense(4, activation="softmax")(backbone(x))))
    assert not any(np.array_equal(before[name], backbone.get_parameter(name)) for name in statistics)


def test_models_made_by_a_head_on_a_result_in_the_middle():
    backbone = make_model(input_shape=(8, 8, 3))
    middle = backbone.get_layer("layer2.0.bn2").output
    model = models.Model(backbone.input, layers.Dense(4, activation="softmax")(layers.GlobalMaxPooling2D()(middle)))
    assert not any(row.name.startswith(("layer3", "fc")) for row in model.parameters)
    train(model)
    np.testing.assert_allclose(
        predict(models.Model(backbone.input, middle)), backbone.predict(X, output="layer2.0.bn2", verbose=0), rtol=1e-6
    )


# ------------------------------------------------------------------------------------------------------------ classes


def test_a_class_gets_its_network_from_the_first_data():
    net = Net()
    assert not net.built and net.weights == []
    with pytest.raises(ValueError, match="is not built yet"):
        net.graph()
    net.compile("adam", "crossentropy")
    net.fit(X, Y, verbose=0)
    assert net.built and net.output_shape == (None, 4)
    assert [layer.name for layer in net.layers] == [layer.name for layer in [*net.trunk, net.head]]
    assert net.name.startswith("net")


def test_a_class_may_hold_a_model_and_freeze_it():
    class Tuned(models.Model):
        def __init__(self, backbone):
            super().__init__()
            self.backbone = backbone
            self.backbone.trainable = False
            self.head = layers.Dense(4, activation="softmax")

        def call(self, x):
            return self.head(self.backbone(x))

    backbone = make_model(input_shape=(8, 8, 3), include_top=False, pooling="avg")
    before = predict(backbone)
    net = Tuned(backbone)
    train(net)
    np.testing.assert_array_equal(predict(backbone), before)
    assert len(net.trainable_weights) == 2
    assert net.layers == [backbone, net.head]


def test_a_class_that_is_made_untrainable_is_so():
    net = Net(trainable=False)
    net.build((None, 8, 8, 3))
    assert not net.trainable and net.trainable_weights == []


def test_a_class_may_be_functional_too():
    class Small(models.Model):
        def __init__(self, classes):
            x = layers.Input((8, 8, 3))
            super().__init__(x, layers.Dense(classes)(layers.Flatten()(x)))

    model = Small(4)
    assert predict(model).shape == (16, 4)
    assert model.name.startswith("small") and len(model.layers) == 3


def test_constructor_arguments_are_the_configuration_of_a_class():
    config = Net(7, name="seven").get_config()
    assert config == {"classes": 7, "name": "seven", "trainable": True}
    assert Net.from_config(config).name == "seven"


@pytest.mark.parametrize("name", ["train_step", "test_step", "predict_step", "compute_loss"])
def test_methods_that_would_never_be_called_are_refused(name):
    with pytest.raises(TypeError, match=f"Custom.{name} would never be called"):
        type("Custom", (models.Model,), {name: lambda self, data: None})


def test_call_of_a_model_may_ask_whether_it_trains():
    class Asking(models.Model):
        def __init__(self):
            super().__init__()
            self.drop, self.dense = layers.Dropout(0.5), layers.Dense(4)

        def call(self, x, training=False):
            x = layers.Flatten()(x)
            if training:
                x = self.drop(x)
            return self.dense(x)

    net = Asking()
    np.testing.assert_allclose(
        predict(net), X.reshape(16, -1) @ net.dense.kernel.numpy() + net.dense.bias.numpy(), rtol=1e-4, atol=1e-5
    )
    assert "dropout" in net.graph()


def test_models_are_called_as_layers_are():
    model = sequential()
    np.testing.assert_array_equal(model(X), predict(model))
    np.testing.assert_array_equal(model(X, training=False), predict(model))
    with pytest.raises(TypeError, match="takes one input"):
        model(layers.Input((8, 8, 3)), 3, 4)


# --------------------------------------------------------------------------------------------------------- sequential


def test_layers_are_added_and_taken_away_after_training():
    model = sequential()
    train(model)
    features = model.layers[-2]
    head = model.pop()
    assert model.layers[-1] is features and model.output_shape == (None, 8)
    values = predict(model)
    model.add(layers.Dense(4, activation="softmax"))
    train(model)
    model.pop()
    assert not np.array_equal(predict(model), values)
    model.add(head)
    assert model.output_shape == (None, 4)
    assert len(model.weights) == 10
    train(model)


def test_a_sequential_model_without_input_is_made_by_data():
    model = models.Sequential(trunk())
    assert model.weights == []
    assert predict(model).shape == (16, 8)
    model = models.Sequential()
    model.add(layers.Dense(3, input_shape=(5,)))
    assert model.input_shape == (None, 5)
    model = models.Sequential([layers.Dense(3)])
    model.build((None, 7))
    assert model.weights[0].shape == (7, 3)


def test_a_layer_that_does_not_fit_leaves_a_sequential_model_as_it_was():
    model = models.Sequential()
    with pytest.raises(ValueError):
        model.add(layers.Conv2D(3, 3, input_shape=(2, 2, 1)))
    model.add(layers.Dense(3, input_shape=(5,)))
    with pytest.raises(ValueError):
        model.add(layers.Conv2D(3, 3))
    assert model.output_shape == (None, 3) and len(model.layers) == 1
    with pytest.raises(ValueError, match="unique"):
        model.add(layers.Dense(3, name=model.layers[0].name))
    with pytest.raises(TypeError, match="layer must be a layer"):
        model.add(3)
    model.pop()
    with pytest.raises(ValueError, match="no layer to take away"):
        model.pop()


def test_sequential_models_within_each_other():
    inner = models.Sequential([layers.Dense(5), models.Sequential([layers.Dense(3)])])
    outer = models.Sequential([layers.Input((4,)), inner, layers.Dense(2)])
    assert len(outer.weights) == 6
    x = RANDOM.standard_normal((3, 4))
    np.testing.assert_allclose(
        predict(outer, x), outer.layers[1](inner(x)), rtol=1e-5, atol=1e-6
    )


def test_compile_may_come_before_the_network():
    model = models.Sequential([layers.Flatten(), layers.Dense(4)])
    model.compile("sgd", "mse")
    assert model.compiled
    model.train_on_batch(X, np.ones((16, 4)))


# ----------------------------------------------------------------------------------------------------- errors in making


def test_names_of_layers_must_differ():
    x = layers.Input((3,))
    with pytest.raises(ValueError, match="'a' as the name of two layers"):
        models.Model(x, layers.Dense(3, name="a")(layers.Dense(3, name="a")(x)))


def test_outputs_must_come_from_the_inputs():
    x, other = layers.Input((3,)), layers.Input((3,), name="other")
    with pytest.raises(ValueError, match="'other'.*is not among the model's inputs"):
        models.Model(x, layers.add([layers.Dense(3)(other), x]))
    with pytest.raises(ValueError, match="inputs and outputs must be given both"):
        models.Model(inputs=x)
    with pytest.raises(ValueError, match="outputs must be a tensor"):
        models.Model(x, 3)


def test_a_model_may_give_its_input():
    x = layers.Input((3,))
    np.testing.assert_array_equal(models.Model(x, x).predict(np.ones((2, 3)), verbose=0), np.ones((2, 3)))


# --------------------------------------------------------------------------------------------------- sizes and pixels


def varying_functional():
    x = layers.Input((None, None, 3))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, padding="same")(x))
    return models.Model(x, layers.Dense(4)(y))


def varying_sequential():
    shape = (None, None, 3)
    return models.Sequential([layers.Input(shape), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(), layers.Dense(4)])


def varying_by_name():
    return swiftcnn.create_model("resnet20", input_shape=(None, None, 3), classes=4)


@pytest.mark.parametrize("make", [varying_functional, varying_sequential, varying_by_name])
def test_images_of_any_size(make, tmp_path):
    model = make()
    assert model.input_shape == (None, None, None, 3) and model.output_shape == (None, 4)
    model.save(tmp_path / "m.safetensors")
    loaded = models.load_model(tmp_path / "m.safetensors")
    for size in ((8, 8), (9, 12), (8, 8), (16, 5)):
        x = RANDOM.standard_normal((3, *size, 3))
        np.testing.assert_array_equal(predict(loaded, x), predict(model, x))
    model.compile("sgd", "crossentropy")
    for size in (8, 12):
        model.train_on_batch(RANDOM.standard_normal((3, size, size, 3)), [0, 1, 2])
    with pytest.raises(ValueError, match=r"x: expected shape \(N, any, any, 3\), got \(2, 8, 8, 4\)"):
        predict(model, np.zeros((2, 8, 8, 4)))


@pytest.mark.parametrize("build", [True, False])
def test_dense_layers_need_a_fixed_size(build):
    x = layers.Flatten()(layers.Input((None, None, 3)))
    dense = layers.Dense(3)
    if build:
        dense.build((None, 12))
    with pytest.raises(ValueError, match="last axis of its input must have a fixed size.*GlobalAveragePooling2D"):
        dense(x)


def test_models_of_layers_take_pixels_as_they_are():
    pixels = RANDOM.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    for model in (functional(), nested(), sequential()):
        np.testing.assert_allclose(predict(model, pixels), predict(model, pixels.astype(np.float32)), atol=1e-6)


def test_models_that_begin_with_another_normalise_pixels_as_that_does():
    options = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    backbone = make_model(input_shape=(8, 8, 3), include_top=False, pooling="avg", **options)
    pixels = RANDOM.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    x = layers.Input((8, 8, 3))
    for model in (
        models.Model(backbone.input, layers.Dense(2)(backbone.output)),
        models.Model(x, layers.Dense(2)(backbone(x))),
        models.Sequential([backbone, layers.Dense(2)]),
    ):
        np.testing.assert_allclose(model.normalization, list(options.values()), rtol=1e-6)
        normalised = (pixels / 255 - options["mean"]) / options["std"]
        np.testing.assert_allclose(predict(model, pixels), predict(model, normalised), rtol=1e-4, atol=1e-5)


# -------------------------------------------------------------------------------------------------------- other things


def test_regularisation_counts_within_models_in_models():
    dense = layers.Dense(3, kernel_regularizer=regularizers.L1L2(0.1, 0.2), use_bias=False)
    inner = models.Sequential([layers.Input((5,)), dense])
    x = layers.Input((5,))
    model = models.Model(x, inner(x))
    model.compile("sgd", "mse")
    a = RANDOM.standard_normal((4, 5)).astype(np.float32)
    w = dense.kernel.numpy()
    expected = np.mean((a @ w) ** 2) + 0.1 * np.abs(w).sum() + 0.2 * (w**2).sum()
    np.testing.assert_allclose(model.train_on_batch(a, np.zeros((4, 3))), expected, rtol=1e-5)


def test_the_classifier_of_a_model_of_layers_is_replaced():
    model = sequential()
    train(model)
    copied = model.clone()
    copied.reset_classifier(7)
    assert copied.output_shape == (None, 7)
    other = models.Model(model.input, model.output)
    other.reset_classifier(7)
    assert predict(other).shape == (16, 7)
    assert predict(model).shape == (16, 4)
    assert not other.compiled


def test_the_same_seed_gives_the_same_networks():
    found = []
    for seed in (1, 1, 2):
        utils.set_random_seed(seed)
        found.append(predict(functional()))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def memory_used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("make", KINDS)
def test_models_that_are_dropped_are_freed(make):
    model = make()
    train(model)
    layer = weakref.ref(model.layers[-1])
    models.Model(model.input, model.layers[-1].output)
    died = weakref.ref(model)
    del model
    gc.collect()
    assert died() is None and layer() is None


def test_memory_of_dropped_models_is_used_again():
    def one():
        x = layers.Input((8, 8, 3))
        model = models.Model(x, layers.Dense(1000)(layers.Dense(1000)(layers.Flatten()(x))))  # 4.8 MB
        predict(model)

    for _ in range(5):
        one()
    gc.collect()
    before = memory_used()
    for _ in range(40):
        one()
        gc.collect()
    assert memory_used() - before < 40e6


def test_a_model_built_from_data_takes_further_layers():
    model = models.Sequential([layers.Dense(3)])
    model.build((None, 7))
    kernel = model.layers[0].get_weights()[0]
    model.add(layers.Dense(2))
    assert model.predict(np.ones((4, 7)), verbose=0).shape == (4, 2)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], kernel)


def test_the_classifier_of_a_sequential_model_is_a_new_layer():
    first, last = layers.Dense(6), layers.Dense(3, use_bias=False, trainable=False)
    model = models.Sequential([layers.Input((7,)), first, last, layers.Softmax()])
    kernel = model.layers[0].get_weights()[0]
    model.compile("sgd", "mse")
    model.reset_classifier(5)
    assert model.output_shape == (None, 5) and not model.compiled
    assert model.layers[0] is first and model.layers[1] is not last
    head = model.layers[1]
    assert (head.units, head.use_bias, head.trainable, head.name) == (5, False, True, last.name)
    np.testing.assert_array_equal(first.get_weights()[0], kernel)
    np.testing.assert_allclose(predict(model, np.ones((2, 7))).sum(1), 1, rtol=1e-5)
    again = models.Sequential([layers.Input((7,)), layers.Dense(6), layers.Dense(3, use_bias=False)])
    again.reset_classifier(5)
    np.testing.assert_array_equal(again.layers[1].get_weights()[0], head.get_weights()[0])
    with pytest.raises(ValueError, match="does not end with a dense layer"):
        models.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(3, 1)]).reset_classifier(5)


def test_the_classifier_of_a_class_of_ones_own_is_replaced_by_other_means():
    with pytest.raises(ValueError, match="make it anew with another last layer"):
        subclassed().reset_classifier(5)


def test_a_class_may_pass_training_to_a_random_crop():
    class Cropped(models.Model):
        def __init__(self):
            super().__init__()
            self.crop, self.flip = layers.RandomCrop(4, 4), layers.RandomFlip("horizontal")
            self.dense = layers.Dense(2)

        def call(self, x, training=None):
            return self.dense(self.flip(self.crop(x, training=training), training=training))

    x = np.random.default_rng(0).random((3, 8, 8, 1)).astype(np.float32)
    model = Cropped()
    np.testing.assert_allclose(
        model.predict(x, verbose=0), model.dense(x[:, 2:6, 2:6]), rtol=1e-5, atol=1e-6
    )


def test_class_weights_are_of_training_alone():
    x, y = np.random.default_rng(0).random((8, 4)), np.arange(8) % 2
    results = []
    for weights in (None, {0: 10.0, 1: 5.0}):
        model = models.Sequential([layers.Input((4,)), layers.Dense(2, "softmax", kernel_initializer="zeros")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.optimizer.learning_rate = 0.0
        history = model.fit(x, y, validation_split=0.5, class_weight=weights, verbose=0).history
        results.append((history["loss"][0], history["val_loss"][0]))
    assert results[1][0] > 4 * results[0][0] and results[1][1] == results[0][1]
