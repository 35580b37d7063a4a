"""Every bad argument of layers, initializers, regularizers, activations and models is a ValueError or a TypeError, as
in Keras, whose message names it; nothing ends the process."""

import inspect

import numpy as np
import pytest
from conftest import make_model
from swiftcnn import activations, initializers, layers, models, regularizers, utils

IMAGES = np.zeros((2, 8, 8, 3), np.float32)
HUGE = 2**31 - 1
NAN, INF = float("nan"), float("inf")

# ---------------------------------------------------------------------------------------- every argument of every layer

REQUIRED = {
    "Activation": {"activation": "relu"},
    "AveragePooling2D": {"pool_size": 2},
    "Conv2D": {"filters": 4, "kernel_size": 3},
    "Dense": {"units": 3},
    "Conv2DTranspose": {"filters": 2, "kernel_size": 3},
    "DepthwiseConv2D": {"kernel_size": 3},
    "GroupNormalization": {"groups": 1},
    "Dropout": {"rate": 0.5},
    "Input": {"shape": (8, 8, 3)},
    "InputLayer": {"shape": (8, 8, 3)},
    "Normalization": {"mean": 0, "variance": 1},
    "RandomCrop": {"height": 4, "width": 4},
    "Rescaling": {"scale": 2.0},
    "Reshape": {"target_shape": (-1,)},
    "SeparableConv2D": {"filters": 4, "kernel_size": 3},
}
LAYERS = [  # without aliases
    name
    for name in layers.__all__
    if inspect.isroutine(value := getattr(layers, name)) and name == "Input"
    or inspect.isclass(value) and issubclass(value, layers.Layer) and name == value.__name__ != "Layer"
]
COMMON = {"name": [3, "", "a\0b", b"x", "\ud800"], "trainable": [1, None, "yes"], "dtype": ["float16", 3, np.float64]}
COMMON["input_shape"] = [3, "888", (8, -8, 3), (8, 0, 3), (8.0, 8, 3), (HUGE + 1,), {}]
# Never right, whatever the argument; None is what many are by default.
NEVER = [object(), 1j, {"a": 1}, NAN, INF, -INF, [[1, [2]]], b"x", "nonsense", "a\0b", -3.5, 10**400, np.zeros((2, 2))]
FREE = {"alpha": {-3.5}, "negative_slope": set(), "scale": {-3.5}, "offset": {-3.5}, "mean": {-3.5}}


def arguments(name):
    found = [parameter.name for parameter in inspect.signature(getattr(layers, name)).parameters.values()
             if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]  # fmt: skip
    return [argument for argument in found if argument not in COMMON]


def apply(name, options):
    made = getattr(layers, name)(**options)
    if not name.startswith("Input"):
        tensor = layers.Input((8, 8, 3))
        made([tensor, tensor] if name in ("Add", "Multiply", "Concatenate") else tensor)


@pytest.mark.parametrize("name, argument", [(name, argument) for name in LAYERS for argument in arguments(name)])
def test_no_argument_of_a_layer_takes_nonsense(name, argument):
    options = dict(REQUIRED.get(name, {}))
    if argument == "batch_shape":
        del options["shape"]
    for value in NEVER:
        if isinstance(value, float) and value in FREE.get(argument, ()):
            continue
        with pytest.raises((ValueError, TypeError), match=argument):
            apply(name, options | {argument: value})


@pytest.mark.parametrize("name", LAYERS)
def test_what_all_layers_take_is_checked(name):
    taken = inspect.signature(getattr(layers, name)).parameters
    for argument, values in COMMON.items():
        if argument not in taken and name.startswith("Input"):
            continue
        for value in values:
            with pytest.raises((ValueError, TypeError), match=argument):
                apply(name, REQUIRED.get(name, {}) | {argument: value})
    with pytest.raises((ValueError, TypeError), match="nonsense"):
        apply(name, REQUIRED.get(name, {}) | {"nonsense": 3})


# What is made, the exception, and a part of its message (a regular expression).
CASES = {
    # Values out of range.
    "no filters": (lambda: layers.Conv2D(0, 3), ValueError, "filters must be at least 1, got 0"),
    "filters of a float": (lambda: layers.Conv2D(4.0, 3), TypeError, "filters must be an integer, got 4.0"),
    "filters of True": (lambda: layers.Conv2D(True, 3), TypeError, "filters must be an integer, got True"),
    "filters beyond 2**31": (lambda: layers.Conv2D(2**31, 3), ValueError, "filters must be at most 2147483647"),
    "filters missing": (lambda: layers.Conv2D(), TypeError, "filters"),
    "a window of three": (lambda: layers.Conv2D(4, (1, 2, 3)), ValueError, r"kernel_size .*\(1, 2, 3\)"),
    "a window of nothing": (lambda: layers.Conv2D(4, (3, 0)), ValueError, "kernel_size must be at least 1, got 0"),
    "no strides": (lambda: layers.Conv2D(4, 3, 0), ValueError, "strides must be at least 1, got 0"),
    "padding unknown": (lambda: layers.Conv2D(4, 3, padding="full"), ValueError, "padding must be 'valid' or 'same'"),
    "channels first": (lambda: layers.Conv2D(4, 3, data_format="channels_first"), ValueError, "data_format.*first"),
    "strides and dilation": (
        lambda: layers.Conv2D(4, 3, strides=2, dilation_rate=2),
        ValueError,
        r"strides \(2, 2\) and dilation_rate \(2, 2\)",
    ),
    "groups that do not divide filters": (lambda: layers.Conv2D(5, 3, groups=2)(IMAGES), ValueError, "groups is 2.*5 output"),
    "a constraint": (lambda: layers.Dense(3, kernel_constraint=3), ValueError, "kernel_constraint=3 .*expected None"),
    "an activity regularizer": (
        lambda: layers.Dense(3, activity_regularizer="l2"), ValueError, "activity_regularizer='l2' .*expected None"
    ),
    "an activation misspelt": (lambda: layers.Dense(3, "rellu"), ValueError, "unknown activation 'rellu'; did.*'relu'"),
    "rate above 1": (lambda: layers.Dropout(1.5)(IMAGES), ValueError, "rate is 1.5; expected 0 to 1"),
    "rate negative": (lambda: layers.Dropout(-0.1)(IMAGES), ValueError, "rate is -0.1; expected 0 to 1"),
    "momentum above 1": (lambda: layers.BatchNormalization(momentum=2), ValueError, "momentum must be 0 to 1, got 2"),
    "another axis": (lambda: layers.BatchNormalization(axis=1)(IMAGES), ValueError, "axis must be the last, -1, got 1"),
    "epsilon negative": (lambda: layers.BatchNormalization(epsilon=-1)(IMAGES), ValueError, "epsilon is -1"),
    "slope negative": (lambda: layers.LeakyReLU(-0.1), ValueError, "negative_slope must be 0 or more, got -0.1"),
    "largest value negative": (lambda: layers.ReLU(-1), ValueError, "max_value must be 0 or more, got -1"),
    "softmax of another axis": (lambda: layers.Softmax(1), ValueError, "axis=1 .*expected -1"),
    "slopes shared along one axis": (lambda: layers.PReLU(shared_axes=[1])(IMAGES), ValueError, r"shared_axes.*\[1\]"),
    "slopes shared along a number": (lambda: layers.PReLU(shared_axes=1), TypeError, "shared_axes.*got 1"),
    "two sizes that are open": (lambda: layers.Reshape((-1, -1)), ValueError, "target_shape.*at most one -1"),
    "another number of elements": (lambda: layers.Reshape((5, 5))(IMAGES), ValueError, r"shape \[5, 5\].*192"),
    "padding of three": (lambda: layers.ZeroPadding2D((1, 2, 3)), ValueError, "padding.*two pairs"),
    "padding negative": (lambda: layers.ZeroPadding2D(-1), ValueError, "padding must be at least 0, got -1"),
    "two scales for three channels": (lambda: layers.Rescaling([1, 2])(IMAGES), ValueError, "scale has 2 numbers"),
    "mean without variance": (lambda: layers.Normalization(mean=1), ValueError, "mean and variance must be given both"),
    "variance negative": (lambda: layers.Normalization(mean=1, variance=-1), ValueError, "variance must be 0 or more"),
    "nothing to adapt to": (lambda: layers.Normalization().adapt([]), ValueError, "data must hold at least one"),
    "text to adapt to": (lambda: layers.Normalization().adapt("abc"), TypeError, "data must hold numbers"),
    "a crop that is too large": (lambda: layers.RandomCrop(9, 8)(IMAGES), ValueError, "8 rows.*needs 9"),
    "no shape": (lambda: layers.Input(), ValueError, "one of shape and batch_shape"),
    "both shapes": (lambda: layers.Input((3,), batch_shape=(None, 3)), ValueError, "one of shape and batch_shape"),
    "no batch": (lambda: layers.Input(batch_shape=()), ValueError, "batch_shape must begin with the batch"),
    # Shapes that do not fit.
    "two axes for a convolution": (lambda: layers.Conv2D(1, 1)(IMAGES[0, 0]), ValueError, r"\[1, 3\]; expected 4 axes"),
    "groups that do not divide": (lambda: layers.Conv2D(4, 1, groups=2)(IMAGES), ValueError, "groups is 2.*3 input"),
    "a window larger than the image": (lambda: layers.Conv2D(1, 9)(IMAGES), ValueError, "reaches over 9 rows"),
    "a pool larger than the image": (lambda: layers.MaxPooling2D(9)(IMAGES), ValueError, "reaches over 9 rows"),
    "two axes for a pool": (lambda: layers.GlobalAveragePooling2D()(IMAGES[0, 0]), ValueError, "expected 4 axes"),
    "shapes that cannot be added": (
        lambda: layers.add([layers.Input((8, 8, 3)), layers.Input((8, 8, 4))]),
        ValueError,
        r"layer 'add.*': inputs have incompatible shapes \(8, 8, 3\) and \(8, 8, 4\)",
    ),
    "one tensor to add": (lambda: layers.Add()(layers.Input((3,))), ValueError, "at least two tensors, got 1"),
    "nothing to add": (lambda: layers.Add()([]), ValueError, "expected a batch"),
    "arrays of other counts to add": (lambda: layers.Add()([IMAGES, IMAGES[:1]]), ValueError, "as many of each"),
    "tensors and arrays": (lambda: layers.Add()([layers.Input((3,)), IMAGES]), ValueError, "cannot be mixed"),
    "joined along the batch": (lambda: layers.concatenate([layers.Input((3,))] * 2, 0), ValueError, "axis is 0"),
    "joined along no axis": (lambda: layers.concatenate([layers.Input((3,))] * 2, 5), ValueError, "axis is 5"),
    "shapes that cannot be joined": (
        lambda: layers.concatenate([layers.Input((8, 8, 3)), layers.Input((8, 7, 3))]),
        ValueError,
        r"shape \[1, 8, 7, 3\]; expected \[1, 8, 8, 3\]",
    ),
    "two tensors for one": (lambda: layers.Conv2D(1, 1)([layers.Input((8, 8, 3))] * 2), ValueError, "one.*got 2"),
    "two for one without weights": (lambda: layers.ReLU()([layers.Input((3,))] * 2), ValueError, "one tensor, got 2"),
    "other features than before": (
        lambda: [(dense := layers.Dense(3))(IMAGES), dense(IMAGES[..., :2])],
        ValueError,
        "expects 3 features",
    ),
    "a size that varies": (lambda: layers.Dense(3)(layers.Input((None,))), ValueError, "must have a fixed size"),
    "slopes for a size that varies": (lambda: layers.PReLU()(layers.Input((None, 8, 3))), ValueError, "size varies"),
    "an argument misspelt": (
        lambda: layers.Dense(3, ativation="relu"),
        TypeError,
        r"Dense\(\) got an unexpected keyword argument 'ativation'; did you mean 'activation'\?",
    ),
    "an argument of no layer": (
        lambda: layers.Dense(3, frobnicate=1),
        ValueError,
        r"Dense\(\) got an unexpected keyword argument 'frobnicate'$",
    ),
    # Calls.
    "called with nothing": (lambda: layers.Dense(3)(), TypeError, "missing a required argument: 'inputs'"),
    "called with None": (lambda: layers.Dense(3)(None), TypeError, "input of dense.* is missing"),
    "called with text": (lambda: layers.Dense(3)("abc"), TypeError, "must hold numbers"),
    "called with a number": (lambda: layers.Dense(3)(3.0), ValueError, r"expected a batch, got shape \(\)"),
    "called with no images": (lambda: layers.Dense(3)(np.ones((0, 3))), ValueError, "expected a batch"),
    "called with a ragged list": (lambda: layers.Dense(3)([[1], [1, 2]]), ValueError, "cannot be made an array"),
    "called with an unknown argument": (lambda: layers.Dense(3)(IMAGES, foo=1), TypeError, "unexpected keyword.*'foo'"),
    "training as text": (lambda: layers.ReLU()(IMAGES, training="yes"), TypeError, "training must be True or False"),
    "training as a number": (lambda: layers.ReLU()(IMAGES, training=1), TypeError, "training must be True or False"),
    "training of an array": (lambda: layers.ReLU()(IMAGES, training=True), ValueError, "within a model only"),
    "built of a number": (lambda: layers.Dense(3).build(3), ValueError, "input_shape.*got 3"),
    "built of a negative size": (lambda: layers.Dense(3).build((None, -3)), ValueError, "input_shape.*-3"),
    "built of nothing": (lambda: layers.Dense(3).build(()), ValueError, "input_shape must begin with the batch"),
    "output shape of text": (lambda: layers.Dense(3).compute_output_shape("abc"), ValueError, "input_shape"),
    "output shape of two axes": (lambda: layers.Conv2D(3, 3).compute_output_shape((None, 3)), ValueError, "4 axes"),
    "weights before they are": (lambda: layers.Dense(3).kernel, AttributeError, "no weight 'kernel', or is not built"),
    "an unknown attribute": (lambda: layers.Dense(3).kernl, AttributeError, "no attribute 'kernl'"),
    "trainable as a number": (lambda: setattr(layers.Dense(3), "trainable", 1), TypeError, "trainable must be True"),
    # Tensors.
    "decided by a tensor": (lambda: bool(layers.Input((3,))), TypeError, "has no value yet"),
    "a tensor as an array": (lambda: np.asarray(layers.Input((3,))), TypeError, "has no values yet"),
    "a function of NumPy": (lambda: np.tanh(layers.Input((3,))), TypeError, "Tensor"),
    "a tensor over a tensor": (lambda: layers.Input((3,)) / layers.Input((3,)), TypeError, "unsupported operand"),
    "a tensor times NaN": (lambda: layers.Input((3,)) * NAN, ValueError, "finite"),
    "a tensor plus two numbers": (lambda: layers.Input((3,)) + np.ones(2), ValueError, "2 numbers"),
    "a tensor plus nothing": (lambda: layers.Input((3,)) + None, TypeError, "missing"),
    "a part of a tensor": (lambda: layers.Input((3,))[0], TypeError, "subscriptable"),
    # Activations, initializers, regularizers.
    "activation of a number": (lambda: activations.get(3), ValueError, "activation must be None, a name or a function"),
    "activation slope": (lambda: activations.relu(IMAGES, negative_slope=-1), ValueError, "negative_slope.*-1"),
    "activation threshold": (lambda: activations.relu(IMAGES, threshold=NAN), ValueError, "threshold must be finite"),
    "activation axis": (lambda: activations.softmax(IMAGES, axis=1), ValueError, "axis must be -1 or 3, got 1"),
    "activation alpha": (lambda: activations.elu(IMAGES, alpha="a"), TypeError, "alpha must be a number, got 'a'"),
    "activation approximate": (lambda: activations.gelu(IMAGES, 1), TypeError, "approximate must be True or False"),
    "activation of text": (lambda: activations.relu("abc"), TypeError, "must hold numbers"),
    "activation that gives a number": (lambda: layers.Dense(3, lambda x: 3)(IMAGES), ValueError, "must be a tensor"),
    "initializer unknown": (lambda: initializers.get("he_normall"), ValueError, "did you mean 'he_normal'"),
    "initializer of a number": (lambda: initializers.get(3), ValueError, "initializer must be a name"),
    "initializer by argument": (
        lambda: layers.SeparableConv2D(1, 1, pointwise_initializer=3), ValueError, "pointwise_initializer must be"
    ),
    "seed negative": (lambda: initializers.HeNormal(-1), ValueError, "seed must be at least 0, got -1"),
    "seed of a float": (lambda: initializers.HeNormal(1.5), TypeError, "seed must be an integer"),
    "deviation of text": (lambda: initializers.RandomNormal(stddev="a"), TypeError, "stddev must be a number"),
    "mean of NaN": (lambda: initializers.TruncatedNormal(NAN), ValueError, "mean must be finite"),
    "limits of infinity": (lambda: initializers.RandomUniform(0, INF), ValueError, "maxval must be finite"),
    "constant of text": (lambda: initializers.Constant("a"), TypeError, "value must be a number"),
    "gain of text": (lambda: initializers.Orthogonal("a"), TypeError, "gain must be a number"),
    "scale of 0": (lambda: initializers.VarianceScaling(0), ValueError, "scale must be above 0, got 0"),
    "mode unknown": (lambda: initializers.VarianceScaling(mode="fan"), ValueError, "mode must be 'fan_in'.*got 'fan'"),
    "distribution unknown": (lambda: initializers.VarianceScaling(distribution=3), ValueError, "distribution.*got 3"),
    "values of no shape": (lambda: initializers.Zeros()("ab"), ValueError, "shape must be a tuple"),
    "values of a negative shape": (lambda: initializers.Zeros()((-1,)), ValueError, "shape must be at least 0, got -1"),
    "values of another type": (lambda: initializers.Zeros()((1,), "int8"), ValueError, "dtype must be"),
    "orthogonal vector": (lambda: initializers.Orthogonal()((3,)), ValueError, r"two axes or more, got shape \[3\]"),
    "identity of four axes": (lambda: initializers.Identity()((1, 1, 3, 3)), ValueError, "two axes"),
    "function that gives another shape": (
        lambda: layers.Dense(2, kernel_initializer=lambda shape, dtype: np.ones(3))(IMAGES),
        ValueError,
        r"kernel: expected shape \(3, 2\), got \(3,\)",
    ),
    "function that gives text": (
        lambda: layers.Dense(2, kernel_initializer=lambda shape, dtype: "abc")(IMAGES), TypeError, "initializer gave"
    ),
    "regularizer unknown": (lambda: regularizers.get("l3"), ValueError, "unknown regularizer 'l3'"),
    "regularizer of a function": (lambda: regularizers.get(len), ValueError, "regularizer must be None, a name"),
    "factor NaN": (lambda: regularizers.L1(NAN), ValueError, "l1 must be finite"),
    "factor negative": (lambda: regularizers.L1L2(l2=-1), ValueError, "l2 must be 0 or more"),
    "factor of text": (lambda: regularizers.L2("a"), TypeError, "l2 must be a number"),
    "random seed negative": (lambda: utils.set_random_seed(-1), ValueError, "seed must be at least 0"),
    "random seed of text": (lambda: utils.set_random_seed("a"), TypeError, "seed must be an integer"),
    "category too large": (lambda: utils.to_categorical([1, 2], 2), ValueError, r"x\[1\] is 2: labels.* 0 to 1"),
    "category negative": (lambda: utils.to_categorical([-1]), ValueError, r"x\[0\] is -1: labels must be 0 or more"),
    "category between two": (lambda: utils.to_categorical([1.5]), ValueError, r"x\[0\] is 1.5"),
    "categories of text": (lambda: utils.to_categorical("abc"), TypeError, "x must hold numbers"),
    "no categories": (lambda: utils.to_categorical([]), ValueError, "num_classes is missing"),
    "number of categories 0": (lambda: utils.to_categorical([1], 0), ValueError, "num_classes must be at least 1"),
}


def small():
    conv, flat = layers.Conv2D(4, 3, name="conv"), layers.Flatten(name="flat")
    return models.Sequential([layers.Input((8, 8, 3)), conv, flat, layers.Dense(2, name="fc")])


# The same for what models can do; each is given the model above.
METHODS = {
    "layer by a number": (lambda m: m.get_layer(3), TypeError, "name must be a string, got 3"),
    "layer by an index beyond": (lambda m: m.get_layer(index=3), ValueError, "index is 3, but the model has 3 layers"),
    "layer by a negative index": (lambda m: m.get_layer(index=-4), ValueError, "index must be at least -3, got -4"),
    "layer by a float": (lambda m: m.get_layer(index=1.0), TypeError, "index must be an integer"),
    "layer misspelt": (lambda m: m.get_layer("flatt"), ValueError, "unknown layer 'flatt'; did you mean 'flat'"),
    "saved to a number": (lambda m: m.save(3), TypeError, "filepath must be a path"),
    "saved to no folder": (lambda m: m.save("/nonexistent/m"), OSError, "nonexistent"),
    "overwrite as a number": (lambda m: m.save("/tmp/x", overwrite=3), TypeError, "overwrite must be"),
    "optimizer that is none": (lambda m: m.save("/tmp/x", include_optimizer=True), RuntimeError, "compile"),
    "weights of no file": (lambda m: m.load_weights("/nonexistent/m"), FileNotFoundError, "nonexistent"),
    "a model of a number": (lambda m: models.load_model(3), TypeError, "filepath must be a path"),
    "too few weights": (lambda m: m.set_weights([1, 2]), ValueError, r"expects 4 arrays, got 2$"),
    "weights of None": (lambda m: m.set_weights(None), TypeError, "weights must be a list of arrays, got None"),
    "weights of text": (lambda m: m.set_weights(["a"] * 4), TypeError, "conv/kernel must hold numbers"),
    "weights of another shape": (lambda m: m.set_weights([1] * 4), ValueError, r"conv/kernel.*\(3, 3, 3, 4\)"),
    "a variable of text": (lambda m: m.weights[0].assign("abc"), TypeError, "conv/kernel must hold numbers"),
    "a variable of None": (lambda m: m.weights[0].assign(None), TypeError, "conv/kernel is missing"),
    "a variable of another shape": (lambda m: m.weights[0].assign(np.ones(3)), ValueError, r"conv/kernel.*\(3,\)"),
    "trainable as text": (lambda m: setattr(m, "trainable", "no"), TypeError, "trainable must be True or False"),
    "a state that lacks": (lambda m: m.load_state_dict({}), ValueError, "4 parameters are missing: conv.bias"),
    "a state that is none": (lambda m: m.load_state_dict(3), TypeError, "state must be a dictionary"),
    "two means": (lambda m: m.set_normalization([1, 2], [1, 2]), ValueError, "expected 3 finite numbers each"),
    "a deviation of 0": (lambda m: m.set_normalization([1, 2, 3], [1, 2, 0]), ValueError, "std above 0"),
    "a mean of NaN": (lambda m: m.set_normalization([1, 2, NAN], [1, 2, 3]), ValueError, "mean: .*nan"),
    "no mean": (lambda m: m.set_normalization(None, [1, 2, 3]), TypeError, "mean and std must be lists of numbers, got None"),
    "a mean of text": (lambda m: m.set_normalization("abc", [1, 2, 3]), TypeError, "'mean': expected an array of numbers"),
    "a penalty for none": (lambda m: m.set_regularization("x*", l1=1), ValueError, r"x\*"),
    "a penalty below 0": (lambda m: m.set_regularization(l2=-1), ValueError, "l2 .*-1.*0 or more|l2 .*0 or more.*-1"),
    "nothing to freeze": (lambda m: m.freeze("x*"), ValueError, r"x\*"),
    "frozen by a number": (lambda m: m.freeze(3), TypeError, "pattern must be a string"),
    "unfrozen by a number": (lambda m: m.unfreeze(3), TypeError, "pattern must be a string"),
    "a graph of no kind": (lambda m: m.graph("gif"), ValueError, "unknown format 'gif'"),
    "a graph of a number": (lambda m: m.graph(3), TypeError, "format must be a string"),
    "a classifier of none": (lambda m: m.reset_classifier(0), ValueError, "classes must be at least 1"),
    "a parameter misspelt": (lambda m: m.get_parameter("convweight"), ValueError, "did you mean 'conv.weight'"),
    "a parameter of a number": (lambda m: m.get_parameter(3), TypeError, "name must be a string"),
    "a parameter misshapen": (lambda m: m.set_parameter("fc.bias", 3), ValueError, r"fc.bias: expected shape \(2,\)"),
    "a gradient before training": (lambda m: m.get_gradient("fc.bias"), RuntimeError, "compile|training step"),
    "no layer": (lambda m: m.add(3), TypeError, "layer must be a layer, got 3"),
    "a layer's class": (lambda m: m.add(layers.ReLU), TypeError, "layer must be a layer"),
    "a second input": (lambda m: m.add(layers.Input((3,))), ValueError, "an input must come first, and once"),
    "a layer twice": (lambda m: m.add(m.layers[0]), ValueError, "layer names must be unique"),
    "layers of a number": (lambda m: models.Sequential(3), TypeError, "layers must be a list of layers, got 3"),
    "a name of a number": (lambda m: models.Sequential(name=3), TypeError, "name must be a string"),
    "no layers": (lambda m: models.Sequential().predict(IMAGES), ValueError, "has no layers yet"),
    "no shape to build for": (lambda m: models.Sequential([layers.ReLU()]).build(), ValueError, "input_shape is"),
    "text to build for": (lambda m: models.Sequential([layers.ReLU()]).build("a"), ValueError, "input_shape"),
    "a model of no tensors": (lambda m: models.Model("a", "b"), ValueError, "inputs must be a tensor.*got 'a'"),
    "a model of arrays": (lambda m: models.Model(IMAGES, IMAGES), ValueError, "inputs must be a tensor"),
    "a model of other inputs": (
        lambda m: models.Model([layers.Input((3,)), layers.Input((3,))], m.output),
        ValueError,
        "not among the model's inputs",
    ),
    "an input that is given twice": (lambda m: models.Model([m.input, m.input], m.output), ValueError, "a tensor twice"),
    "a model of nothing": (lambda m: models.Model().predict(IMAGES), NotImplementedError, "has no network"),
    "an unknown argument": (lambda m: models.Model(foo=3), TypeError, "foo"),
    "an unknown attribute": (lambda m: m.to_json(), AttributeError, "no attribute 'to_json'"),
    "a part of a model applied": (
        lambda m: make_model().layers[1](layers.Input((8, 8, 1))), ValueError, "cannot be applied by itself"
    ),
}  # fmt: skip


@pytest.mark.parametrize("make, error, message", CASES.values(), ids=CASES)
def test_bad_layers_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("call, error, message", METHODS.values(), ids=METHODS)
def test_bad_calls_of_models_are_refused_and_leave_them_as_they_were(call, error, message):
    model = small()
    before = model.predict(IMAGES, verbose=0)
    with pytest.raises(error, match=message):
        call(model)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), before)
    assert model.trainable and len(model.layers) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Conv2D(HUGE, 3)(IMAGES),
        lambda: layers.Conv2D(1, HUGE, padding="same")(IMAGES),
        lambda: layers.Conv2D(1, 1, strides=HUGE)(IMAGES),
        lambda: layers.Conv2D(1, 2, dilation_rate=HUGE)(IMAGES),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=HUGE)(IMAGES),
        lambda: layers.Dense(HUGE)(np.ones((1, 1000))),
        lambda: layers.MaxPooling2D(HUGE)(IMAGES),
        lambda: layers.AveragePooling2D(HUGE, padding="same")(IMAGES),
        lambda: layers.ZeroPadding2D(HUGE)(IMAGES),
        lambda: layers.ZeroPadding2D(10**6)(IMAGES),
        lambda: layers.Reshape((HUGE, HUGE))(IMAGES),
        lambda: layers.RandomCrop(HUGE, HUGE)(IMAGES),
        lambda: layers.Conv2D(1, 1)(layers.Input((HUGE, HUGE, 3))),
        lambda: initializers.HeNormal()((HUGE, HUGE)),
        lambda: utils.to_categorical([2**40]),
    ],
)
def test_sizes_that_no_memory_holds_are_refused(make):
    with pytest.raises((ValueError, MemoryError)):
        make()


FUZZ = """
import random
import numpy as np
from swiftcnn import layers, models

random.seed(20)
sizes = [0, 1, 2, 3, 4, 5, 7, -1, 64, 2**31 - 1, 2**31, 2**63, None, 1.5, True, "same", (1, 2), (3, 1), (2,), [1, 2, 3]]
floats = [0, 1, -1, 0.5, 1e-30, 1e30, float("nan"), float("inf"), 2**70, None, "x", [1, 2], [1, 2, 3]]
words = ["same", "valid", "relu", "softmax", "zeros", "l2", "glorot_uniform", "", None, 3, "horizontal"]
values = [sizes, floats, words, [True, False]]
arguments = {
    "Conv2D": ["filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "activation", "use_bias"],
    "DepthwiseConv2D": ["kernel_size", "strides", "padding", "depth_multiplier", "dilation_rate", "activation"],
    "SeparableConv2D": ["filters", "kernel_size", "strides", "padding", "depth_multiplier", "dilation_rate"],
    "Conv2DTranspose": ["filters", "kernel_size", "strides", "padding", "dilation_rate", "use_bias"],
    "GroupNormalization": ["groups", "epsilon", "center", "scale"], "UnitNormalization": ["axis"],
    "UpSampling2D": ["size", "interpolation"], "Maximum": [], "Minimum": [],
    "Dense": ["units", "activation", "use_bias", "kernel_initializer", "kernel_regularizer"],
    "BatchNormalization": ["axis", "momentum", "epsilon", "center", "scale"],
    "MaxPooling2D": ["pool_size", "strides", "padding"], "AveragePooling2D": ["pool_size", "strides", "padding"],
    "GlobalMaxPooling2D": ["keepdims"], "Reshape": ["target_shape"], "ZeroPadding2D": ["padding"],
    "Rescaling": ["scale", "offset"], "Normalization": ["mean", "variance", "invert", "axis"],
    "RandomCrop": ["height", "width"], "RandomFlip": ["mode"], "Dropout": ["rate"], "Flatten": [],
    "PReLU": ["shared_axes"], "ReLU": ["max_value", "negative_slope", "threshold"], "Softmax": ["axis"],
    "ELU": ["alpha"], "Concatenate": ["axis"], "Add": [], "Multiply": [],
}
words_of = {"padding", "activation", "kernel_initializer", "kernel_regularizer", "mode", "interpolation"}
floats_of = {"scale", "offset", "mean", "variance", "rate", "alpha", "momentum", "epsilon", "max_value", "threshold"}
computed = refused = 0
while computed + refused < 3000:
    name = random.choice(list(arguments))
    options = {}
    for argument in arguments[name]:
        fitting = words if argument in words_of else floats if argument in floats_of else sizes[:6]
        if random.random() < 0.7:
            options[argument] = random.choice(fitting if random.random() < 0.8 else random.choice(values))
    shape = tuple(random.choice([1, 2, 3, 5, 8]) for _ in range(random.choice([1, 3, 3, 3, 3, 2, 4])))
    if random.random() < 0.2:
        shape = tuple(random.choice([size, None]) for size in shape)
    try:
        tensor = layers.Input(shape)
        layer = getattr(layers, name)(**options)
        both = [tensor, tensor] if name in ("Concatenate", "Add", "Multiply", "Maximum", "Minimum") else tensor
        model = models.Model(tensor, layer(both))
        x = np.ones((random.choice([1, 2]), *(size or random.choice([1, 2, 6]) for size in shape)), np.float32)
        result = model.predict(x, verbose=0)
        assert result.ndim == len(model.output_shape), (name, options, shape)
        assert all(a in (None, b) for a, b in zip(model.output_shape, result.shape)), (name, options, shape)
        computed += 1
    except (ValueError, TypeError, MemoryError):
        refused += 1
print(computed, refused)
"""


def test_random_arguments_and_shapes_never_end_the_process(run_python):
    computed, refused = map(int, run_python(FUZZ).split())
    assert computed + refused == 3000
    assert computed > 500 and refused > 500
