"""Layers by themselves: calls, names, weights, configurations, layers made of layers."""

import inspect

import numpy as np
import pytest
from conftest import make_model
from swiftcnn import activations, initializers, layers, models, regularizers, utils

RANDOM = np.random.default_rng(5)
IMAGES = RANDOM.standard_normal((4, 8, 8, 3)).astype(np.float32)


class Block(layers.Layer):
    """A residual block, with fixed names within."""

    def __init__(self, filters, **options):
        super().__init__(**options)
        self.conv = layers.Conv2D(filters, 3, padding="same", name="conv")
        self.bn = layers.BatchNormalization(name="bn")

    def call(self, x):
        return activations.relu(layers.add([x, self.bn(self.conv(x))]))


# ------------------------------------------------------------------------------------------------------------- names


def test_names_are_made_of_the_class_and_a_number():
    utils.clear_session()
    names = [layers.Conv2D(1, 1).name, layers.Conv2D(1, 1).name, layers.BatchNormalization().name, layers.ReLU().name]
    assert names == ["conv2d", "conv2d_1", "batch_normalization", "re_lu"]
    assert layers.GlobalAveragePooling2D().name == "global_average_pooling2d"
    assert layers.Input((1,)).name == "input_layer"
    assert Block(3).name == "block"
    assert models.Sequential().name == "sequential"


def test_activations_of_tensors_are_layers_of_their_own_name():
    utils.clear_session()
    x = layers.Input((3,))
    model = models.Model(x, activations.softmax(activations.relu(x)))
    assert [layer.name for layer in model.layers[1:]] == ["relu", "softmax"]


# ------------------------------------------------------------------------------------------------------------- calls


def test_a_layer_computes_arrays_without_a_word(capsys):
    dense = layers.Dense(2, activation="relu")
    x = RANDOM.standard_normal((5, 3))
    y = dense(x)
    np.testing.assert_allclose(y, np.maximum(x @ dense.kernel.numpy() + dense.bias.numpy(), 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(dense(inputs=x, training=False), y)
    assert capsys.readouterr().out == ""


def test_a_layer_takes_pixels_as_they_are():
    pixels = RANDOM.integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)
    np.testing.assert_allclose(layers.Flatten()(pixels), pixels.reshape(2, -1), rtol=1e-6)


def test_arrays_are_refused_in_training():
    with pytest.raises(ValueError, match="training=True is possible within a model only"):
        layers.Dropout(0.5)(np.ones((2, 3)), training=True)


def test_calls_with_arrays_leave_what_a_layer_remembers():
    conv = layers.Conv2D(4, 3)
    conv(IMAGES)
    with pytest.raises(AttributeError, match="has not been called"):
        conv.output  # noqa: B018
    model = models.Sequential([layers.Input((8, 8, 3)), conv, layers.Flatten()])
    conv(IMAGES)
    inner = models.Model(model.inputs, conv.output)
    np.testing.assert_allclose(inner.predict(IMAGES, verbose=0), conv(IMAGES), rtol=1e-6)


def test_input_and_output_are_of_the_first_call():
    x, y = layers.Input((3,)), layers.Input((3,))
    dense = layers.Dense(2)
    first = dense(x)
    dense(y)
    assert dense.output is first
    assert dense.input is x


def test_output_shapes_are_told_without_making_weights():
    conv = layers.Conv2D(4, 3, strides=2, padding="same")
    assert conv.compute_output_shape((None, 9, 9, 3)) == (None, 5, 5, 4)
    assert conv.compute_output_shape((None, None, None, 3)) == (None, None, None, 4)
    assert conv.weights == [] and not conv.built
    assert conv(RANDOM.standard_normal((1, 9, 9, 1))).shape == (1, 5, 5, 4)
    assert layers.Flatten().compute_output_shape((7, 2, 3, 4)) == (None, 24)


def test_tensors_can_be_computed_with():
    x = layers.Input((8, 8, 3))
    scale = np.array([1.0, 2.0, 3.0])
    model = models.Model(x, -((x - 1) / 2 + x * x - 3 * x) + (2 - x) * scale + scale * x)
    expected = -((IMAGES - 1) / 2 + IMAGES**2 - 3 * IMAGES) + (2 - IMAGES) * scale + scale * IMAGES
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", [name for name in activations.__all__ if name not in ("softmax", "log_softmax", "hard_swish", "swish")]
)
def test_activations_give_the_same_of_arrays_and_in_layers(name):
    function = getattr(activations, name)
    x = IMAGES[0, 0]
    np.testing.assert_array_equal(function(x), layers.Activation(name)(x))
    x_in = layers.Input((3,))
    np.testing.assert_array_equal(models.Model(x_in, function(x_in)).predict(x, verbose=0), np.asarray(function(x)))


def test_a_function_of_ones_own_is_an_activation():
    def scaled(x):
        return activations.tanh(x) * 2

    dense = layers.Dense(3, activation=scaled)
    x = IMAGES[0, 0]
    np.testing.assert_allclose(dense(x), 2 * np.tanh(x @ dense.kernel.numpy()), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layers.Activation(scaled)(x), 2 * np.tanh(x), rtol=1e-5, atol=1e-6)


# ----------------------------------------------------------------------------------------------------------- weights


def test_weights_have_kerass_order_and_shapes():
    shapes = {
        layers.Conv2D(6, (3, 2), groups=2): [(3, 2, 2, 6), (6,)],
        layers.DepthwiseConv2D(3, depth_multiplier=2): [(3, 3, 4, 2), (8,)],
        layers.SeparableConv2D(5, 3, depth_multiplier=2): [(3, 3, 4, 2), (1, 1, 8, 5), (5,)],
        layers.Dense(7): [(4, 7), (7,)],
        layers.BatchNormalization(): [(4,)] * 4,
        layers.BatchNormalization(center=False): [(4,)] * 3,
        layers.PReLU(shared_axes=[1, 2]): [(1, 1, 4)],
        layers.PReLU(): [(8, 8, 4)],
        layers.Conv2D(6, 1, use_bias=False): [(1, 1, 4, 6)],
        layers.ReLU(): [],
    }
    for layer, expected in shapes.items():
        layer.build((None, 8, 8, 4))
        assert [weight.shape for weight in layer.weights] == expected, layer
        assert [value.shape for value in layer.get_weights()] == expected
        values = [RANDOM.standard_normal(shape).astype(np.float32) for shape in expected]
        layer.set_weights(values)
        for value, given in zip(layer.get_weights(), values, strict=True):
            np.testing.assert_array_equal(value, given)


def test_depthwise_kernels_are_channel_by_channel():
    layer = layers.DepthwiseConv2D(1, depth_multiplier=2)
    layer.build((None, 4, 4, 3))
    layer.kernel.assign(np.arange(6).reshape(1, 1, 3, 2))
    y = layer(np.ones((1, 4, 4, 3)))
    np.testing.assert_array_equal(y[0, 0, 0], np.arange(6))


def test_a_variable_is_a_view():
    dense = layers.Dense(2, name="head")
    dense.build((None, 3))
    kernel = dense.kernel
    kernel.assign(np.ones((3, 2)))
    assert (dense.get_weights()[0] == 1).all()
    assert (np.asarray(kernel) == 1).all()
    assert (kernel.name, kernel.path, kernel.shape, kernel.ndim, kernel.dtype) == (
        "kernel", "head/kernel", (3, 2), 2, "float32",
    )  # fmt: skip
    value = kernel.numpy()
    value[:] = 5
    assert (kernel.value() == 1).all()
    dense.trainable = False
    assert not kernel.trainable


def test_weights_that_do_not_fit_leave_all_as_they_were():
    dense = layers.Dense(2)
    dense.build((None, 3))
    before = dense.get_weights()
    with pytest.raises(ValueError, match=r"bias: expected shape \(2,\), got \(3,\)"):
        dense.set_weights([np.ones((3, 2)), np.ones(3)])
    np.testing.assert_array_equal(dense.get_weights()[0], before[0])
    with pytest.raises(ValueError, match="expects 2 arrays, got 1"):
        dense.set_weights([np.ones((3, 2))])
    with pytest.raises(ValueError, match="not built yet"):
        layers.Dense(2).set_weights(before)


def test_trainable_can_be_set_before_and_after_building():
    early, late = layers.Dense(2, trainable=False), layers.Dense(2)
    for layer in (early, late):
        layer.build((None, 3))
    late.trainable = False
    for layer in (early, late):
        assert not layer.trainable
        assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 2
        layer.trainable = True
        assert len(layer.trainable_weights) == 2


# ---------------------------------------------------------------------------------------------------- layers of layers


def test_blocks_are_listed_whole_and_name_what_is_within():
    x = layers.Input((8, 8, 3))
    model = models.Model(x, Block(3, name="second")(Block(3, name="first")(x)))
    assert [layer.name for layer in model.layers[1:]] == ["first", "second"]
    assert [row.name for row in model.parameters][:2] == ["first.conv.weight", "first.conv.bias"]
    assert {row.name.split(".")[0] for row in model.parameters} == {"first", "second"}
    assert len(model.get_layer("first").weights) == 6
    assert any(name.startswith("first.relu") for name in model.tensor_names)


def test_a_block_used_twice_has_one_set_of_weights():
    x = layers.Input((8, 8, 3))
    block = Block(3)
    model = models.Model(x, block(block(x)))
    assert len(model.layers) == 2 and len(model.weights) == len(block.weights) == 6
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), block(block(IMAGES)), rtol=1e-5, atol=1e-6)


def test_a_layer_in_two_blocks_is_shared():
    class Around(layers.Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, x):
            return self.inner(x)

    dense = layers.Dense(3)
    x = layers.Input((3,))
    model = models.Model(x, dense(Around(dense)(Around(dense)(x))))
    assert len(model.weights) == 2
    assert model.count_params() == 12


def test_blocks_within_blocks_have_the_names_of_all():
    class Stage(layers.Layer):
        def __init__(self):
            super().__init__(name="stage")
            self.blocks = [Block(3, name=f"block{index}") for index in range(2)]

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    stage = Stage()
    x = layers.Input((8, 8, 3))
    model = models.Model(x, stage(x))
    assert model.parameters[-1].name == "stage.block1.bn.running_var"
    assert len(stage.weights) == 12
    stage.trainable = False
    assert not any(weight.trainable for weight in model.weights)
    assert models.Model(model.input, stage.blocks[0].output).output_shape == (None, 8, 8, 3)


def test_layers_may_be_made_in_build():
    class Doubling(layers.Layer):
        def build(self, input_shape):
            self.dense = layers.Dense(2 * input_shape[-1])
            super().build(input_shape)

        def call(self, inputs):
            return self.dense(inputs)

    layer = Doubling()
    assert not layer.built
    assert layer(np.ones((1, 3))).shape == (1, 6)
    assert layer.built and len(layer.weights) == 2


def test_layers_within_lists_and_dictionaries_are_found():
    class Many(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first = [layers.Dense(3), (layers.Dense(3),)]
            self.second = {"a": layers.Dense(3), "b": [layers.Dense(2)]}

        def call(self, x):
            return self.second["b"][0](self.second["a"](self.first[1][0](self.first[0](x))))

    many = Many()
    many(np.ones((1, 3)))
    assert len(many.weights) == 8


def test_a_block_can_take_several_tensors_and_options():
    class Mixed(layers.Layer):
        def call(self, a, b, twice=False):
            return layers.add([a, b, b] if twice else [a, b])

    x = layers.Input((3,))
    model = models.Model(x, Mixed()(x, x * 2, twice=True))
    np.testing.assert_allclose(model.predict(np.ones((1, 3)), verbose=0), 5 * np.ones((1, 3)))


def test_a_subclass_of_a_known_layer_may_change_what_it_does():
    class Doubled(layers.Dense):
        def call(self, inputs, training=None):
            return super().call(inputs, training) * 2

    layer = Doubled(2, name="doubled")
    x = layers.Input((3,))
    model = models.Model(x, layer(x))
    a = RANDOM.standard_normal((4, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict(a, verbose=0), 2 * a @ layer.kernel.numpy(), rtol=1e-5, atol=1e-6)
    assert [layer.name for layer in model.layers[1:]] == ["doubled"]


def test_a_block_that_is_not_trainable_freezes_what_is_within():
    block = Block(3, trainable=False)
    assert not block.trainable
    block.build((None, 8, 8, 3))
    block(IMAGES)
    assert block.trainable_weights == []
    block.trainable = True
    assert len(block.trainable_weights) == 4


def moved_statistics(make_output):
    """Whether a training step changes the running mean of a block."""
    x = layers.Input((8, 8, 3))
    block = Block(3)
    model = models.Model(x, layers.Dense(1)(layers.Flatten()(make_output(block, x))))
    model.compile("sgd", "mse")
    model.train_on_batch(IMAGES + 3, np.ones((4, 1)))
    return (block.bn.moving_mean.numpy() != 0).any()


def test_training_false_holds_for_the_layers_within():
    assert moved_statistics(lambda block, x: block(x))
    assert moved_statistics(lambda block, x: block(x, training=True))
    assert not moved_statistics(lambda block, x: block(x, training=False))


def test_call_may_ask_whether_it_trains():
    seen = []

    class Noisy(layers.Layer):
        def __init__(self):
            super().__init__()
            self.drop = layers.Dropout(0.5)

        def call(self, x, training=None):
            seen.append(training)
            return self.drop(x) if training else x

    x = layers.Input((8, 8, 3))
    model = models.Model(x, Noisy()(x))
    assert seen == [True, False]
    assert "dropout" in model.graph()
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), IMAGES)
    assert "dropout" not in models.Model(x, Noisy()(x, training=False)).graph()


def test_of_several_tensors_call_may_ask_too():
    class Noisy(layers.Layer):
        def call(self, a, b, training=None):
            return layers.add([layers.Dropout(0.5)(a) if training else a, b])

    class Swapped(layers.Layer):
        def call(self, inputs, training=None):
            return inputs[0] if training else inputs[1]

    x = layers.Input((8, 8, 3))
    assert "dropout" in models.Model(x, Noisy()(layers.Conv2D(3, 1)(x), x * 2)).graph()
    with pytest.raises(ValueError, match="Swapped.call gives another network"):
        Swapped()([x, x * 2])


def test_a_call_that_computes_another_thing_in_training_is_refused():
    class Other(layers.Layer):
        def call(self, x, training=None):
            return x * 2 if training else x

    with pytest.raises(ValueError, match="Other.call gives another network for training=True"):
        Other()(layers.Input((3,)))
    with pytest.raises(ValueError, match="Other.call gives another network"):
        Other()(np.ones((1, 3)))


def test_a_layer_without_call_says_so():
    class Nothing(layers.Layer):
        pass

    with pytest.raises(NotImplementedError, match="Nothing has no method 'call'"):
        Nothing()(layers.Input((3,)))


def test_a_layer_without_super_init_says_so():
    class Hasty(layers.Layer):
        def __init__(self):
            self.dense = layers.Dense(3)

    with pytest.raises(RuntimeError, match=r"must call super\(\).__init__"):
        Hasty()(layers.Input((3,)))


# ----------------------------------------------------------------------------------------------------- normalisation


@pytest.mark.parametrize("options", [{}, {"center": False}, {"center": False, "scale": False}])
def test_frozen_normalisation_keeps_its_statistics_and_uses_them(options):
    bn = layers.BatchNormalization(trainable=False, **options)
    dense = layers.Dense(1)
    model = models.Sequential([layers.Input((3,)), bn, dense])
    bn.moving_mean.assign([1, 2, 3])
    bn.moving_variance.assign([4, 5, 6])
    model.compile("sgd", "mse")
    x = IMAGES[0, 0]
    expected = np.mean((bn(x) @ dense.kernel.numpy() - 1) ** 2)
    np.testing.assert_allclose(model.train_on_batch(x, np.ones((8, 1))), expected, rtol=1e-5)
    np.testing.assert_array_equal(bn.moving_mean.numpy(), [1, 2, 3])
    np.testing.assert_array_equal(bn.moving_variance.numpy(), [4, 5, 6])


def test_normalisation_of_pixels_is_measured():
    data = RANDOM.integers(0, 256, (50, 4, 4, 3)).astype(np.uint8)
    layer = layers.Normalization()
    with pytest.raises(ValueError, match="adapt"):
        layer(data)
    layer.adapt(data)
    y = layer(data)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, rtol=1e-5)
    copy = layers.Normalization.from_config(layer.get_config())
    np.testing.assert_array_equal(copy(data), y)


# ----------------------------------------------------------------------------------------------------- configurations


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(6, (3, 2), padding="same", activation="relu", kernel_regularizer="l2"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, trainable=False),
        layers.Dense(3, use_bias=False),
        layers.BatchNormalization(momentum=0.9, name="bn"),
        layers.MaxPooling2D(3, name="pool"),
        layers.Rescaling(1 / 255, offset=-1),
        layers.Dropout(0.25),
        layers.ReLU(6, negative_slope=0.1),
        layers.PReLU(shared_axes=[1, 2]),
        layers.Concatenate(axis=1),
        layers.ZeroPadding2D(((1, 2), (3, 4))),
        layers.InputLayer((8, 8, 3), name="in"),
        Block(3, name="b"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_configuration_makes_the_same_layer_again(layer):
    config = layer.get_config()
    copy = type(layer).from_config(config)
    assert (copy.name, copy.trainable) == (layer.name, layer.trainable)
    assert copy.get_config() == config
    if not isinstance(layer, (layers.InputLayer, layers.Concatenate)):
        assert copy.compute_output_shape((None, 8, 8, 3)) == layer.compute_output_shape((None, 8, 8, 3))


def test_a_layer_that_takes_no_name_can_be_made_again():
    class Plain(layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.dense = layers.Dense(units)

    assert Plain(3).get_config() == {"units": 3}
    assert isinstance(Plain.from_config(Plain(units=3).get_config()), Plain)


# ------------------------------------------------------------------------------------------------ models made by name


def test_weights_of_a_model_by_name_have_kerass_layout():
    model = make_model()
    conv = model.get_layer("layer1.0.conv1")
    assert [weight.name for weight in conv.weights] == ["kernel"]
    bn = model.get_layer("layer1.0.bn1")
    assert [weight.name for weight in bn.weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
    fc = model.get_layer("fc")
    assert [weight.shape for weight in fc.weights] == [(64, 10), (10,)]
    for layer in (conv, bn, fc):
        values = [RANDOM.random(weight.shape).astype(np.float32) for weight in layer.weights]
        layer.set_weights(values)
        for found, value in zip(layer.get_weights(), values, strict=True):
            np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_weights_survive_saving_in_kerass_layout(tmp_path, multiplier):
    layer = layers.DepthwiseConv2D(3, depth_multiplier=multiplier, name="dw")
    model = models.Sequential([layers.Input((8, 8, 3)), layer])
    model.save(tmp_path / "m.safetensors")
    found = models.load_model(tmp_path / "m.safetensors").get_layer("dw")
    for weight, saved in zip(layer.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, saved)


def test_classes_made_of_layers_have_an_init_and_attributes_of_their_own():
    class Wide(layers.Conv2D):
        note: str = "no argument"

        def __init__(self, factor, **options):
            super().__init__(4 * factor, 3, **options)

    class Plain(layers.Conv2D):
        note: str = "no argument"

    wide = Wide(2, padding="SAME", name="wide")
    assert list(inspect.signature(Wide).parameters) == ["factor", "options"]
    assert (wide.filters, wide.kernel_size, wide.padding, wide.note) == (8, (3, 3), "same", "no argument")
    assert wide.get_config() == {"name": "wide", "trainable": True, "factor": 2, "padding": "SAME"}
    assert inspect.signature(Plain) == inspect.signature(layers.Conv2D)
    assert Plain.from_config(Plain(5, 3).get_config()).filters == 5
    with pytest.raises(TypeError, match="note"):
        Plain(5, 3, note="a")


def test_arguments_go_by_place_as_far_as_those_of_the_weights():
    conv = layers.Conv2D(4, 3, 1, "same", None, 1, 1, "relu", True, "zeros", "ones", "l1", "l2", None, None, None, "c")
    assert isinstance(conv.kernel_initializer, initializers.Zeros)
    assert isinstance(conv.bias_initializer, initializers.Ones)
    assert isinstance(conv.kernel_regularizer, regularizers.L1)
    assert isinstance(conv.bias_regularizer, regularizers.L2) and conv.name == "c"
    assert layers.MaxPooling2D(2, None, "valid", None, "pool").name == "pool"
    with pytest.raises(TypeError, match="too many positional"):
        layers.Flatten(None, "flat", True, None, None, 1)
