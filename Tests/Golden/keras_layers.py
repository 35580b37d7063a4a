"""What every layer of Keras's API computes: the cases, and how one is run with any module that has Keras's names.

`Tests/Python/test_keras_layers.py` runs the same cases with swiftcnn. Nothing here imports Keras before
`keras_layers()` is called.
"""

from typing import NamedTuple

import formula
import keras_peer

BATCH = 2
RATE = 1.0  # of the training step, so that it moves the weights as far as they are large


class Case(NamedTuple):
    """One layer with its arguments.

    Attributes:
        layer: its class in `layers`.
        arguments: by name.
        shape: of the model's input, without the batch.
        branches: for layers that merge: of each operand, the layers (class, arguments) that make it from the model's
            input.
    """

    layer: str
    arguments: dict
    shape: tuple
    branches: tuple = ()

    @property
    def name(self):
        """As "Conv2D filters=4 kernel_size=3 on 5x7x3"."""
        given = [f"{key}={_text(value)}" for key, value in self.arguments.items()]
        paths = [">".join(layer for layer, _ in path) or "input" for path in self.branches]
        shape = "x".join(str(size) for size in self.shape)
        return " ".join([self.layer, *given, *(["of", "+".join(paths)] if paths else []), "on", shape])


def _text(value):
    return ",".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)


def _cases(layer, shape, *rows):
    """A case of the layer for each row of arguments."""
    return [Case(layer, row, shape) for row in rows or ({},)]


SQUEEZE = (("GlobalAveragePooling2D", {"keepdims": True}),)
SCALED = (("Rescaling", {"scale": 0.5, "offset": 0.25}),)
NARROW = (("MaxPooling2D", {"pool_size": 2, "padding": "same"}),)
POOLED = (("AveragePooling2D", {"pool_size": 2, "padding": "same"}),)

FUNCTIONS = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid", "hard_sigmoid", "tanh", "softplus", "silu",
    "swish", "hard_silu", "hard_swish", "gelu", "exponential", "softmax",
)

CASES = [
    *_cases(
        "Conv2D", (5, 7, 3),
        {"filters": 4, "kernel_size": 3},
        {"filters": 4, "kernel_size": 3, "padding": "same"},
        {"filters": 4, "kernel_size": [3, 3], "padding": "same", "activation": "relu"},
        {"filters": 4, "kernel_size": 3, "padding": "same", "strides": 2},
        {"filters": 4, "kernel_size": 3, "padding": "valid", "strides": [2, 1], "use_bias": False},
        {"filters": 4, "kernel_size": [2, 3], "padding": "same"},
        {"filters": 4, "kernel_size": [1, 5], "padding": "same", "strides": 3},
        {"filters": 4, "kernel_size": 3, "padding": "same", "dilation_rate": 2},
        {"filters": 4, "kernel_size": 3, "dilation_rate": [2, 3]},
        {"filters": 6, "kernel_size": 3, "groups": 3, "padding": "same"},
        {"filters": 1, "kernel_size": 1, "strides": 2, "activation": "sigmoid"},
        {"filters": 5, "kernel_size": 7, "padding": "same", "activation": "swish", "use_bias": False},
        {"filters": 4, "kernel_size": 3, "activation": "softmax"},
    ),
    *_cases(
        "Conv2D", (8, 6, 4),
        {"filters": 4, "kernel_size": 3, "padding": "same", "strides": 2},
        {"filters": 4, "kernel_size": 2, "padding": "same", "strides": 2},
        {"filters": 8, "kernel_size": 3, "groups": 2, "strides": 2, "padding": "same", "use_bias": False},
        {"filters": 4, "kernel_size": 5, "padding": "same", "strides": 4},
    ),
    *_cases("Conv2D", (1, 1, 17), {"filters": 3, "kernel_size": 3, "padding": "same"}),
    *_cases("Conv2D", (6, 6, 1), {"filters": 17, "kernel_size": 3}),
    *_cases(
        "DepthwiseConv2D", (5, 7, 3),
        {"kernel_size": 3},
        {"kernel_size": 3, "padding": "same", "use_bias": False},
        {"kernel_size": 5, "padding": "same", "strides": 2, "activation": "silu"},
        {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"},
        {"kernel_size": [3, 2], "depth_multiplier": 3, "strides": 2},
        {"kernel_size": 3, "padding": "same", "dilation_rate": 2},
    ),
    *_cases("DepthwiseConv2D", (8, 8, 4), {"kernel_size": 3, "padding": "same", "strides": 2}),
    *_cases(
        "SeparableConv2D", (5, 7, 3),
        {"filters": 4, "kernel_size": 3},
        {"filters": 4, "kernel_size": 3, "padding": "same", "strides": 2, "activation": "relu"},
        {"filters": 4, "kernel_size": 3, "padding": "same", "depth_multiplier": 2, "use_bias": False},
        {"filters": 4, "kernel_size": [3, 5], "padding": "same", "dilation_rate": 2},
    ),
    *_cases(
        "Conv2DTranspose", (4, 5, 3),
        {"filters": 4, "kernel_size": 3},
        {"filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu"},
        {"filters": 4, "kernel_size": 2, "strides": 2},
        {"filters": 2, "kernel_size": 4, "strides": 2, "padding": "same", "use_bias": False},
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
        {"filters": 5, "kernel_size": [3, 2], "strides": [2, 3], "padding": "same"},
        {"filters": 4, "kernel_size": 1, "strides": 3},
        {"filters": 4, "kernel_size": 3, "padding": "same", "dilation_rate": 2},
    ),
    *_cases(
        "GroupNormalization", (4, 5, 6),
        {"groups": 3}, {"groups": 2, "epsilon": 1e-5, "center": False}, {"groups": -1}, {"groups": 1, "scale": False},
        {"groups": 6, "center": False, "scale": False},
    ),
    *_cases("GroupNormalization", (6,), {"groups": 2}),
    *_cases("UnitNormalization", (3, 4, 5), {}, {"axis": 1}, {"axis": [1, 2]}),
    *_cases("UnitNormalization", (6,), {}),
    *_cases(
        "UpSampling2D", (3, 4, 2),
        {}, {"size": [3, 1]}, {"size": 2, "interpolation": "bilinear"}, {"size": [1, 3], "interpolation": "bilinear"},
    ),
    *_cases(
        "BatchNormalization", (4, 5, 3),
        {}, {"epsilon": 1e-5}, {"momentum": 0.9}, {"center": False}, {"scale": False},
        {"center": False, "scale": False, "epsilon": 0.01, "momentum": 0.5},
    ),
    *_cases("BatchNormalization", (6,), {}),
    *_cases("Activation", (3, 4, 5), *({"activation": function} for function in FUNCTIONS)),
    *_cases(
        "ReLU", (3, 4, 5),
        {}, {"max_value": 0.5}, {"negative_slope": 0.1}, {"max_value": 6.0, "negative_slope": 0.2},
        {"threshold": 0.25}, {"max_value": 0.75, "negative_slope": 0.1, "threshold": 0.25},
    ),
    *_cases("MaxPooling2D", (4, 4, 2)),  # has a default, AveragePooling2D has none
    *_cases("LeakyReLU", (3, 4, 5), {}, {"negative_slope": 0.01}),
    *_cases("PReLU", (3, 4, 5), {}, {"shared_axes": [1, 2]}),
    *_cases("PReLU", (6,), {}),
    *_cases("ELU", (3, 4, 5), {}, {"alpha": 0.5}),
    *_cases("Softmax", (3, 4, 5), {}, {"axis": -1}),
    *_cases("Softmax", (6,), {}),
    *(
        case
        for layer in ("MaxPooling2D", "AveragePooling2D")
        for case in (
            *_cases(
                layer, (5, 7, 3),
                {"pool_size": 2}, {"pool_size": 2, "padding": "same"}, 
                {"pool_size": [2, 2], "strides": 1, "padding": "same"},
                {"pool_size": 3, "strides": 2}, {"pool_size": 3, "strides": 2, "padding": "same"},
                {"pool_size": [3, 2], "strides": [1, 2]}, {"pool_size": 5, "strides": 2, "padding": "same"},
            ),
            *_cases(layer, (8, 6, 4), {"pool_size": 2}, {"pool_size": 3, "strides": 1, "padding": "same"}),
        )
    ),
    # Not of AveragePooling2D: where one side is padded more than the other, Keras with PyTorch repeats the edge and
    # counts it; with TensorFlow and JAX it does not. The test has these cases by a formula.
    *_cases("MaxPooling2D", (5, 7, 3), {"pool_size": 5, "strides": 3, "padding": "same"}),
    *_cases("MaxPooling2D", (8, 6, 4), {"pool_size": 3, "strides": 2, "padding": "same"}),
    *(
        case
        for layer in ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
        for case in _cases(layer, (5, 7, 3), {}, {"keepdims": True})
    ),
    *_cases(
        "Dense", (6,),
        {"units": 4}, {"units": 4, "use_bias": False}, {"units": 1, "activation": "sigmoid"},
        {"units": 5, "activation": "softmax"}, {"units": 17, "activation": "relu"},
    ),
    *_cases("Dense", (4, 6), {"units": 3}),
    *_cases("Dense", (3, 4, 5), {"units": 7}, {"units": 2, "activation": "softmax", "use_bias": False}),
    *_cases("Dropout", (3, 4, 5), {"rate": 0.5}, {"rate": 0.0}),
    *_cases("Flatten", (3, 4, 5)),
    *_cases("Flatten", (6,)),
    *_cases(
        "Reshape", (3, 4, 5),
        {"target_shape": [60]}, {"target_shape": [5, 4, 3]}, {"target_shape": [-1, 5]}, {"target_shape": [2, -1, 3]},
    ),
    *_cases("Reshape", (12,), {"target_shape": [1, 1, -1]}, {"target_shape": [2, 2, 3]}),
    *_cases("ZeroPadding2D", (3, 4, 5), {}, {"padding": 2}, {"padding": [1, 2]}, {"padding": [[0, 1], [2, 3]]}),
    *_cases(
        "Rescaling", (3, 4, 3),
        {"scale": 1 / 255}, {"scale": 1 / 127.5, "offset": -1.0},
        {"scale": [0.5, 2.0, 1.0], "offset": [0.0, 1.0, -1.0]},
    ),
    *_cases(
        "Normalization", (3, 4, 3),
        {"mean": [0.1, -0.2, 0.3], "variance": [0.5, 1.0, 2.0]}, {"axis": None, "mean": 0.25, "variance": 4.0},
    ),
    *_cases(
        "RandomFlip", (3, 4, 5), {}, {"mode": "horizontal"}, {"mode": "vertical"},
    ),
    *_cases("RandomCrop", (3, 4, 5), {"height": 3, "width": 4}),
    Case("Add", {}, (3, 4, 5), ((), SCALED)),
    Case("Add", {}, (3, 4, 5), ((), SCALED, ())),
    Case("Add", {}, (3, 4, 5), ((), SQUEEZE)),
    Case("Multiply", {}, (3, 4, 5), ((), SCALED)),
    Case("Multiply", {}, (3, 4, 5), ((), SCALED, SCALED)),
    Case("Multiply", {}, (3, 4, 5), ((), SQUEEZE)),
    Case("Multiply", {}, (3, 4, 5), (SQUEEZE, ())),
    *(
        Case(layer, {}, (3, 4, 5), branches)
        for layer in ("Maximum", "Minimum")
        for branches in (((), SCALED), ((), SCALED, SQUEEZE))
    ),
    Case("Concatenate", {}, (3, 4, 5), ((), SCALED)),
    Case("Concatenate", {"axis": -1}, (5, 7, 3), (NARROW, POOLED, NARROW)),
    Case("Concatenate", {"axis": 1}, (3, 4, 5), ((), SCALED)),
    Case("Concatenate", {"axis": 2}, (3, 4, 5), ((), SCALED)),
    Case("Concatenate", {"axis": 3}, (3, 4, 5), ((), SCALED)),
    Case("Concatenate", {"axis": 1}, (5, 7, 3), (SQUEEZE, SQUEEZE)),
]


def build(api, case):
    """The model of a case and its layer, made with `api` (keras or swiftcnn), with the formula's weights."""
    layers = api.layers
    inputs = layers.Input(case.shape)
    operands = []
    for path in case.branches or ((),):
        operand = inputs
        for name, arguments in path:
            operand = getattr(layers, name)(**arguments)(operand)
        operands.append(operand)
    layer = getattr(layers, case.layer)(name="tested", **case.arguments)
    output = layer(operands if case.branches else operands[0])
    model = api.models.Model(inputs, output)
    shapes = [tuple(value.shape) for value in layer.get_weights()]
    if shapes and case.layer != "Normalization":  # whose mean and variance are arguments
        layer.set_weights(keras_peer.layer_weights(case.layer, case.name, shapes))
    return model, layer


def run(api, case):
    """What the layer computes, by name: `y` in inference; where it has weights to train, `loss` of a training step
    against the formula's target with SGD at the rate above, and each weight after it as `after/0` and so on; and what
    it says of itself: the shapes of its output, of the model's and of its weights."""
    model, layer = build(api, case)
    x = formula.values(f"{case.name}/input", (BATCH, *case.shape))
    y = model.predict(x, verbose=0)
    found = {"y": y}
    facts = {
        "layer_output_shape": list(layer.output.shape),
        "model_output_shape": list(model.output_shape),
        "weights": [list(value.shape) for value in layer.get_weights()],
        "count_params": layer.count_params(),
    }
    if layer.trainable_weights:
        model.compile(optimizer=api.optimizers.SGD(RATE), loss="mean_squared_error")
        target = formula.values(f"{case.name}/target", y.shape)
        found["loss"] = model.train_on_batch(x, target)
        found |= {f"after/{index}": value for index, value in enumerate(layer.get_weights())}
    return found, facts


def keras_layers():
    """The tensors and the document of keras_layers.safetensors."""
    keras = keras_peer.keras("float64")
    tensors, cases = {}, {}
    for case in CASES:
        if case.name in cases:
            raise ValueError(f"two cases are called {case.name}")
        found, facts = run(keras, case)
        tensors |= {f"{case.name}/{key}": value for key, value in found.items()}
        cases[case.name] = facts
    return tensors, {"cases": cases}
