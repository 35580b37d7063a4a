"""What models are after they were saved, changed and connected is what Keras's are; the same tests run on Keras."""

import copy

import golden
import numpy as np
import pytest

layers, models = golden.api.layers, golden.api.models
RANDOM = np.random.default_rng(8)
X = RANDOM.standard_normal((6, 8, 8, 3)).astype(np.float32)


def sequential():
    return models.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="cc"),
            layers.BatchNormalization(name="bn"),
            layers.Flatten(name="flat"),
            layers.Dense(3, activation="softmax", name="head"),
        ]
    )


def nested():
    x = layers.Input((8, 8, 3), name="image")
    inner = models.Sequential([layers.Conv2D(4, 3, activation="relu", name="cc")], name="inner")
    y = layers.Dense(3, name="head")(layers.Flatten(name="flat")(inner(x)))
    return models.Model(x, y, name="outer")


def residual():
    x = layers.Input((8, 8, 3), name="image")
    shared = layers.Conv2D(3, 3, padding="same", activation="relu", name="cc")
    y = layers.Add(name="sum")([x, shared(shared(x))])
    y = layers.Concatenate(name="both")([layers.GlobalMaxPooling2D(name="max")(y), layers.Flatten(name="flat")(y)])
    return models.Model(x, layers.Dense(3, use_bias=False, name="head")(y), name="residual")


class Block(layers.Layer):
    """A layer of layers."""

    def __init__(self, filters, **options):
        super().__init__(**options)
        self.filters = filters
        self.conv = layers.Conv2D(filters, 3, padding="same", activation="relu")
        self.bn = layers.BatchNormalization()

    def call(self, x):
        return self.bn(self.conv(x))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


class Net(models.Model):
    """A class of the user's."""

    def __init__(self, classes=3, **options):
        super().__init__(**options)
        self.classes = classes
        self.blocks = [Block(4), Block(5)]
        self.flat = layers.Flatten()
        self.head = layers.Dense(classes)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.flat(x))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def blocks():
    x = layers.Input((8, 8, 3), name="image")
    y = Block(5, name="second")(Block(4, name="first")(x))
    return models.Model(x, layers.Dense(3, name="head")(layers.Flatten(name="flat")(y)), name="blocks")


def subclassed():
    net = Net(name="net")
    predict(net)
    return net


KINDS = [sequential, nested, residual, blocks, subclassed]
CUSTOM = {"Block": Block, "Net": Net}


def predict(model, x=X):
    return model.predict(x, verbose=0)


def saved(model, folder, **options):
    path = folder / f"m{golden.ENDING}"
    model.save(path)
    return models.load_model(path, **options)


def listed(model):
    """Names and classes of all layers, those of nested models too."""
    return [
        (layer.name, type(layer).__name__, listed(layer) if isinstance(layer, models.Model) else None)
        for layer in model.layers
    ]


# ------------------------------------------------------------------------------------------------------- saved, copied


@pytest.mark.parametrize("make", KINDS)
def test_a_loaded_model_has_the_layers_it_had(make, tmp_path):
    model = make()
    loaded = saved(model, tmp_path, custom_objects=CUSTOM)
    assert type(loaded) is type(model)
    if make is not subclassed:  # whose layers have names given anew
        assert listed(loaded) == listed(model)
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    for layer, original in zip(loaded.layers, model.layers, strict=True):
        assert [weight.shape for weight in layer.get_weights()] == [weight.shape for weight in original.get_weights()]
        for weight, expected in zip(layer.get_weights(), original.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)
    np.testing.assert_allclose(predict(loaded), predict(model), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [sequential, nested, residual])
def test_outputs_of_loaded_layers_are_what_the_layers_mean(make, tmp_path):
    model = make()
    loaded = saved(model, tmp_path)
    source = (lambda m: m.get_layer("inner")) if make is nested else (lambda m: m)
    features = [
        predict(models.Model(source(each).inputs, source(each).get_layer("cc").output))
        for each in (model, loaded)
    ]
    np.testing.assert_allclose(*features, rtol=1e-5, atol=1e-6)
    assert features[0].min() >= 0
    conv = source(loaded).get_layer("cc")
    assert isinstance(conv, layers.Conv2D) and conv.kernel_size == (3, 3) and conv.filters in (3, 4)
    heads = [predict(models.Model(each.inputs, each.layers[-1].output)) for each in (model, loaded)]
    np.testing.assert_allclose(heads[1], predict(model), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(*heads, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [sequential, nested, residual, blocks])
@pytest.mark.parametrize("frozen", [(), ("cc", "first"), ("cc", "first", "inner", "head")])
def test_what_is_frozen_is_so_after_loading(make, frozen, tmp_path):
    if golden.IS_KERAS and make in (nested, blocks) and frozen:
        pytest.skip("Keras forgets that layers made of layers are frozen")
    model = make()
    for layer in model.layers:
        if layer.name in frozen:
            layer.trainable = False
    loaded = saved(model, tmp_path, custom_objects=CUSTOM)
    assert [layer.trainable for layer in loaded.layers] == [layer.trainable for layer in model.layers]
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    for layer in loaded.layers:
        layer.trainable = True
    assert len(loaded.trainable_weights) == len(make().trainable_weights)


def test_a_loaded_sequential_model_is_changed_at_its_end(tmp_path):
    model = saved(sequential(), tmp_path)
    features = predict(models.Model(model.inputs, model.get_layer("flat").output))
    model.pop()
    np.testing.assert_allclose(predict(model), features, rtol=1e-5, atol=1e-6)
    model.add(layers.Dense(2, name="new_head"))
    assert predict(model).shape == (6, 2)
    assert [layer.name for layer in model.layers] == ["cc", "bn", "flat", "new_head"]


def test_layers_of_a_loaded_model_are_used_again(tmp_path):
    loaded = saved(residual(), tmp_path)
    x = layers.Input((9, 9, 3))
    shared = loaded.get_layer("cc")
    other = models.Model(x, shared(x))
    kernel, bias = shared.get_weights()
    shared.set_weights([np.zeros_like(kernel), np.ones_like(bias)])
    assert (predict(other, np.ones((2, 9, 9, 3), np.float32)) == 1).all()
    x_in = X[:2]
    features = np.concatenate([(x_in + 1).max((1, 2)), (x_in + 1).reshape(2, -1)], 1)
    expected = features @ loaded.layers[-1].get_weights()[0]
    np.testing.assert_allclose(predict(loaded, x_in), expected, rtol=1e-4, atol=1e-4)


def test_a_model_is_loaded_without_its_training_state(tmp_path):
    model = sequential()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.train_on_batch(X, np.zeros(6, np.int32))
    assert saved(model, tmp_path).compiled
    loaded = saved(model, tmp_path, compile=False)
    assert not loaded.compiled
    np.testing.assert_allclose(predict(loaded), predict(model), rtol=1e-5, atol=1e-6)


def test_a_function_of_ones_own_comes_from_custom_objects(tmp_path):
    def doubled(x):
        return x + x

    model = models.Sequential([layers.Input((4,)), layers.Dense(3, activation=doubled, name="dense")])
    loaded = saved(model, tmp_path, custom_objects={"doubled": doubled})
    assert loaded.layers[0].activation is doubled
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(predict(loaded, x), predict(model, x), rtol=1e-5)


@pytest.mark.parametrize("make", [sequential, nested, residual])
def test_a_copy_has_the_same_layers_with_weights_of_its_own(make):
    model = make()
    if golden.IS_KERAS and make is not sequential:
        pytest.skip("Keras 3 copies these with their names lost")
    other = copy.deepcopy(model)
    assert listed(other) == listed(model)
    before = predict(model)
    np.testing.assert_allclose(predict(other), before, rtol=1e-5, atol=1e-6)
    other.layers[-1].set_weights([weight * 0 for weight in other.layers[-1].get_weights()])
    np.testing.assert_array_equal(predict(model), before)


@pytest.mark.parametrize("make", [sequential, nested, residual, blocks])
def test_a_cloned_model_has_initial_weights_of_its_own(make):
    model = make()
    other = models.clone_model(model)
    assert [type(layer) for layer in other.layers] == [type(layer) for layer in model.layers]
    assert [layer.name for layer in other.layers[1:]] == [layer.name for layer in model.layers[1:]]
    assert not np.array_equal(other.layers[-1].get_weights()[0], model.layers[-1].get_weights()[0])
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(predict(other), predict(model), rtol=1e-5, atol=1e-6)


def test_a_sequential_configuration_makes_the_same_layers():
    model = sequential()
    other = models.Sequential.from_config(model.get_config())
    assert listed(other) == listed(model) and other.name == model.name
    assert [layer.get_config() for layer in other.layers] == [layer.get_config() for layer in model.layers]


# ------------------------------------------------------------------------------------------------------ configurations


CONFIGURATIONS = {
    "Conv2D": (
        lambda: layers.Conv2D(4, 3, name="a"),
        {
            "name": "a", "trainable": True, "filters": 4, "kernel_size": (3, 3), "strides": (1, 1), "padding": "valid",
            "data_format": "channels_last", "dilation_rate": (1, 1), "groups": 1, "activation": "linear",
            "use_bias": True, "kernel_regularizer": None, "bias_regularizer": None, "activity_regularizer": None,
            "kernel_constraint": None, "bias_constraint": None,
        },
    ),
    "DepthwiseConv2D": (
        lambda: layers.DepthwiseConv2D(3, strides=2, activation="silu", name="a"),
        {"kernel_size": (3, 3), "strides": (2, 2), "depth_multiplier": 1, "activation": "silu", "padding": "valid"},
    ),
    "Dense": (lambda: layers.Dense(2, "relu", trainable=False), {"units": 2, "activation": "relu", "trainable": False}),
    "BatchNormalization": (
        lambda: layers.BatchNormalization(),
        {"axis": -1, "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True, "synchronized": False},
    ),
    "MaxPooling2D": (
        lambda: layers.MaxPooling2D(3),
        {"pool_size": (3, 3), "strides": (3, 3), "padding": "valid", "data_format": "channels_last"},
    ),
    "GlobalAveragePooling2D": (lambda: layers.GlobalAveragePooling2D(), {"keepdims": False}),
    "Dropout": (lambda: layers.Dropout(0.25), {"rate": 0.25, "seed": None, "noise_shape": None}),
    "ReLU": (lambda: layers.ReLU(6.0), {"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}),
    "LeakyReLU": (lambda: layers.LeakyReLU(), {"negative_slope": 0.3}),
    "Activation": (lambda: layers.Activation("gelu"), {"activation": "gelu"}),
    "Rescaling": (lambda: layers.Rescaling(0.5), {"scale": 0.5, "offset": 0.0}),
    "Reshape": (lambda: layers.Reshape((2, -1)), {"target_shape": (2, -1)}),
    "ZeroPadding2D": (lambda: layers.ZeroPadding2D((1, 2)), {"padding": ((1, 1), (2, 2))}),
    "InputLayer": (lambda: layers.InputLayer((4, 4, 3), name="in"), {"batch_shape": (None, 4, 4, 3), "name": "in"}),
}


@pytest.mark.parametrize("make, expected", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_configurations_tell_the_defaults_too(make, expected):
    config = make().get_config()
    assert {name: config.get(name, "missing") for name in expected} == expected


def test_configurations_tell_initializers_and_regularizers_by_class():
    config = layers.Conv2D(4, 3, kernel_initializer="he_normal", kernel_regularizer="l2").get_config()
    initializer, regularizer = config["kernel_initializer"], config["kernel_regularizer"]
    assert (initializer["class_name"], initializer["config"]["seed"]) == ("HeNormal", None)
    assert (regularizer["class_name"], regularizer["config"]) == ("L2", {"l2": 0.01})
    assert config["bias_initializer"]["class_name"] == "Zeros"
    again = layers.Conv2D.from_config(config)
    assert again.get_config() == config


# -------------------------------------------------------------------------------------------------------- connections


def test_the_output_of_a_model_within_is_a_result_of_the_model_around_it():
    model = nested()
    features = models.Model(model.inputs, model.get_layer("inner").output)
    np.testing.assert_allclose(
        predict(features), predict(model.get_layer("inner")), rtol=1e-5, atol=1e-6
    )
    assert model.get_layer("inner").input is model.inputs[0]


def test_the_output_of_a_sequential_model_with_its_own_input_is_so_too():
    x = layers.Input((8, 8, 3))
    inner = models.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3)], name="inner")
    model = models.Model(x, layers.Flatten()(inner(x)))
    assert predict(models.Model(model.inputs, layers.GlobalMaxPooling2D()(inner.output))).shape == (6, 4)


def test_outputs_may_have_keys():
    x = layers.Input((8, 8, 3))
    model = models.Model(x, {"sum": layers.GlobalAveragePooling2D()(x), "flat": layers.Flatten()(x)})
    results = predict(model)
    assert {name: value.shape for name, value in results.items()} == {"sum": (6, 3), "flat": (6, 192)}
    np.testing.assert_array_equal(results["flat"], X.reshape(6, -1))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.output.items()}
    assert shapes == {"sum": (None, 3), "flat": (None, 192)}
    assert set(model(X)) == {"sum", "flat"}
    assert set(model.predict_on_batch(X)) == {"sum", "flat"}
    outer = models.Model(x, layers.Concatenate()(list(model(x).values())))
    assert predict(outer).shape == (6, 195)


def test_a_model_with_keys_keeps_them_in_its_file(tmp_path):
    x = layers.Input((8, 8, 3))
    model = models.Model(x, {"sum": layers.GlobalAveragePooling2D()(x), "flat": layers.Flatten()(x)})
    assert set(predict(saved(model, tmp_path))) == {"sum", "flat"}


@pytest.mark.parametrize("kind", ["Add", "Multiply"])
@pytest.mark.parametrize(
    "first, second",
    [
        ((4, 4, 3), (4, 4, 1)), ((4, 4, 1), (4, 4, 3)), ((4, 1, 3), (1, 5, 1)), ((1, 1, 3), (4, 4, 1)),
        ((1, 4, 3), (4, 4, 3)), ((4, 4, 3), (1, 1, 1)), ((5,), (1,)), ((4, 4, 3), (3,)),
    ],
    ids=str,
)  # fmt: skip
def test_sums_and_products_repeat_what_has_the_size_1(kind, first, second):
    sizes = int(np.prod(first)), int(np.prod(second))
    x = layers.Input((4,))
    dense = [layers.Dense(size) for size in sizes]
    a, b = (layers.Reshape(shape)(layer(x)) for layer, shape in zip(dense, (first, second), strict=True))
    model = models.Model(x, getattr(layers, kind)()([a, b]))
    values = RANDOM.standard_normal((3, 4)).astype(np.float32)
    kernels = [layer.get_weights()[0].astype(np.float64) for layer in dense]
    a, b = ((values @ kernel).reshape(3, *shape) for kernel, shape in zip(kernels, (first, second), strict=True))
    b = b.reshape(3, *([1] * (a.ndim - b.ndim)), *b.shape[1:])
    expected = a + b if kind == "Add" else a * b
    assert tuple(model.output.shape) == (None, *expected.shape[1:])
    np.testing.assert_allclose(predict(model, values), expected, rtol=1e-4, atol=1e-5)
    # The gradient of mean(y^2) / 2 by the second kernel is a sum over what was repeated.
    model.compile(golden.api.optimizers.SGD(1.0), "mean_squared_error")
    model.train_on_batch(values, np.zeros(expected.shape, np.float32))
    upstream = 2 * expected / expected.size * (1 if kind == "Add" else a)
    axes = tuple(axis for axis in range(1, b.ndim) if b.shape[axis] == 1)
    gradient = values.T @ upstream.sum(axes, keepdims=True).reshape(3, -1)
    np.testing.assert_allclose(dense[1].get_weights()[0], kernels[1] - gradient, rtol=1e-3, atol=1e-4)


def test_shapes_that_cannot_be_repeated_are_refused():
    with pytest.raises(ValueError, match="incompatible shapes"):
        layers.Add()([layers.Input((4, 4, 3)), layers.Input((4, 4, 2))])


# ----------------------------------------------------------------------------------------------- before and after build


@pytest.mark.parametrize("name", ["input", "output", "inputs", "outputs", "input_shape", "output_shape"])
@pytest.mark.parametrize("make", [Net, lambda: models.Sequential([layers.Dense(3)])], ids=["class", "sequential"])
def test_a_model_that_is_not_built_has_no_ends(make, name):
    assert not hasattr(make(), name)


@pytest.mark.parametrize("make", [Net, lambda: models.Sequential([layers.Dense(3)])], ids=["class", "sequential"])
def test_the_summary_of_a_model_that_is_not_built_says_so(make):
    lines = []
    make().summary(print_fn=lambda line, **options: lines.append(line))
    text = "\n".join(lines)
    assert "0 (unbuilt)" in text and "dense" in text


def test_a_new_head_of_a_built_class_is_refused():
    net = Net()
    net.compile("sgd", "mse")
    net.fit(X, np.zeros((6, 3), np.float32), verbose=0)
    head = net.head
    with pytest.raises(ValueError, match="already built|built already"):
        net.head = layers.Dense(2)
    assert net.head is head
    net.head = head
    net.anything = [3]
    assert predict(net).shape == (6, 3)


def test_a_new_layer_of_a_built_layer_is_refused():
    block = Block(4)
    block(X)
    with pytest.raises(ValueError, match="already built|built already"):
        block.more = layers.Dense(2)
    fresh = Block(4)
    fresh.more = layers.Dense(2)


def test_a_sequential_model_is_built_for_one_shape():
    model = sequential()
    predict(model)
    model.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match=r"\(None, 8, 8, 3\).*\(None, 9, 9, 3\)"):
        model.build((None, 9, 9, 3))
