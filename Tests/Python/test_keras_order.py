"""Layers and weights come in Keras's order, by which they are told where there are no names; the same tests run on
Keras."""

import golden
import numpy as np
import pytest

layers, models = golden.api.layers, golden.api.models


def conv(name, x, filters=2):
    return layers.Conv2D(filters, 3, padding="same", name=name)(x)


def model_of(x, y):
    return models.Model(x, y)


def parallel():
    """A branch of one convolution that is computed before another of two."""
    x = layers.Input((4, 4, 2), name="image")
    stem = conv("stem", x)
    shortcut = conv("shortcut", stem)
    branch = conv("main2", conv("main1", stem))
    return model_of(x, layers.Add(name="sum")([shortcut, branch]))


def shared():
    """A layer at two depths counts with the greater."""
    x = layers.Input((4, 4, 2), name="image")
    twice = layers.Conv2D(2, 1, name="twice")
    early = conv("early", x)
    y = twice(conv("between", twice(early)))
    return model_of(x, layers.Add(name="sum")([conv("side", early), y]))


def late():
    """The inputs of the last layer are followed in their order, whatever was made first."""
    x = layers.Input((4, 4, 2), name="image")
    first, second = conv("first", x), conv("second", x)
    return model_of(x, layers.Concatenate(name="both")([second, first]))


def several():
    """Of a dictionary of outputs those come first whose keys do."""
    x = layers.Input((4, 4, 2), name="image")
    return model_of(x, {"z": conv("z", x), "a": conv("a", x)})


def nested():
    """A model within is one layer."""
    x = layers.Input((4, 4, 2), name="image")
    inner = parallel()
    inner.name = "inner"
    stack = models.Sequential([layers.Conv2D(2, 1, name="one"), layers.BatchNormalization(name="two")], name="stack")
    return model_of(x, layers.Add(name="last")([conv("alone", x), stack(inner(conv("before", x)))]))


def arithmetic():
    """Sums and products of tensors are steps."""
    x = layers.Input((4, 4, 2), name="image")
    y = conv("near", x)
    return model_of(x, conv("far", conv("other", x) * 2.0 + 1.0) + y)


class Block(layers.Layer):
    """Layers in lists, that come there one by one."""

    def __init__(self, **options):
        super().__init__(**options)
        self.convolutions, self.normalizations = [], []
        last = layers.Conv2D(2, 1, name="last")
        for index in range(2):
            self.convolutions.append(layers.Conv2D(2, 1, name=f"convolution{index}"))
            self.normalizations.append(layers.BatchNormalization(name=f"normalization{index}"))
        self.last = last
        self.more = {"b": layers.Conv2D(2, 1, name="b")}
        self.more["a"] = layers.Conv2D(2, 1, name="a")

    def call(self, x):
        for convolution, normalization in zip(self.convolutions, self.normalizations):
            x = normalization(convolution(x))
        return self.more["a"](self.more["b"](self.last(x)))


class Net(models.Model):
    """Layers that are replaced, and that come in another order than they were made."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(1, name="forgotten")
        head, self.block = layers.Dense(3, name="head"), Block(name="block")
        self.convolution = layers.Conv2D(2, 1, name="convolution")
        self.head = head

    def call(self, x):
        return self.head(self.convolution(self.block(x)))


def own():
    model = Net()
    model(np.zeros((1, 4, 4, 2), np.float32))
    return model


BLOCK = ["convolution0", "normalization0", "convolution1", "normalization1", "last", "b", "a"]
ORDERS = {
    parallel: ["stem", "main1", "shortcut", "main2"],
    shared: ["early", "twice", "between", "side"],
    late: ["second", "first"],
    several: ["a", "z"],
    nested: ["before", "stem", "main1", "shortcut", "main2", "alone", "one", "two"],
    arithmetic: ["other", "far", "near"],
    own: [*BLOCK, "convolution", "head"],
}


@pytest.mark.parametrize("make", ORDERS)
def test_weights_come_in_kerass_order(make):
    paths = [weight.path.split("/")[-2:] for weight in make().weights]
    assert list(dict.fromkeys(owner for owner, _ in paths)) == ORDERS[make]


@pytest.mark.parametrize("make", [parallel, shared, nested])
def test_layers_come_in_the_order_of_their_weights(make):
    def names(model):
        for layer in model.layers:
            if isinstance(layer, models.Model):
                yield from names(layer)
            elif layer.weights:
                yield layer.name

    assert list(names(make())) == ORDERS[make]


def test_trained_weights_come_in_that_order_too():
    model = parallel()
    model.get_layer("main1").trainable = False
    names = [weight.path.split("/")[-2] for weight in model.trainable_weights[::2]]
    assert names == ["stem", "shortcut", "main2"]


@pytest.mark.parametrize("make", ORDERS)
def test_a_list_of_weights_goes_where_it_came_from(make):
    model, other = make(), make()
    values = [np.full(weight.shape, index, np.float32) for index, weight in enumerate(model.weights)]
    model.set_weights(values)
    other.set_weights(model.get_weights())
    for variable, value in zip(other.weights, values, strict=True):
        np.testing.assert_array_equal(np.asarray(variable.numpy()), value)


@pytest.mark.skipif(golden.IS_KERAS, reason="copies have their layers by other means there")
@pytest.mark.parametrize("make", [parallel, shared, late, nested, arithmetic])
def test_the_order_stays_in_files_and_copies(make, tmp_path):
    import swiftcnn

    model = make()
    model.save(tmp_path / "m.safetensors")
    paths = [weight.path for weight in model.weights]
    for other in (model.clone(), swiftcnn.load_model(tmp_path / "m.safetensors"), swiftcnn.models.clone_model(model)):
        assert [weight.path for weight in other.weights] == paths


@pytest.mark.skipif(golden.IS_KERAS, reason="networks without layers are of this library")
def test_a_network_without_layers_has_that_order_too():
    import swiftcnn

    model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 3), classes=2)
    names = [weight.parameter.removeprefix("layer2.0.").removesuffix(".weight") for weight in model.weights]
    first = names.index("conv2")
    assert [names[first + step] for step in (0, 1, 2, 6)] == ["conv2", "downsample.0", "bn2", "downsample.1"]
    whole = swiftcnn.Model(model.input, layers.Dense(3, name="more")(model.output))
    assert [each.path for each in whole.weights] == [*(each.path for each in model.weights), "more/kernel", "more/bias"]
