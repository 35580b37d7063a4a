"""Keras as a peer: how it is imported, and the formula's weights for its layers.

Nothing here imports Keras before `keras()` is called, so that the tests may use the rest without it.
"""

import math
import os

import formula


def keras(floatx="float32"):
    """The keras module, computing with PyTorch on the CPU."""
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import keras

    keras.config.set_floatx(floatx)
    # Layers follow the policy, which the first of them takes from floatx and which then stays.
    keras.config.set_dtype_policy(floatx)
    keras.config.disable_traceback_filtering()
    return keras


def layer_weights(kind, name, shapes):
    """The formula's values for the weights of a layer, in the order and layout of its `get_weights`.

    Args:
        kind: the layer's class, as "Conv2D".
        name: what the tensors are called: the first is `name/0`.
        shapes: of its weights.

    Kernels are scaled by what one output sums up, biases are in [-0.2, 0.2), and whatever batch normalisation has
    (scale, shift, mean and variance, as far as it has them) is in [0.6, 1.4).
    """
    found = []
    for index, shape in enumerate(shapes):
        tensor = f"{name}/{index}"
        if kind == "BatchNormalization":
            found.append(formula.values(tensor, shape, 0.4, 1.0))
        elif len(shape) in (2, 4):
            depthwise = kind in ("DepthwiseConv2D", "SeparableConv2D") and index == 0
            summands = math.prod(shape[:2] if depthwise else shape[:-1])
            found.append(formula.values(tensor, shape, math.sqrt(3.0 / summands)))
        else:
            found.append(formula.values(tensor, shape, 0.2))
    return found


def fill(model, prefix=""):
    """Gives each layer of a functional or Sequential model the formula's weights, by its name."""
    for layer in model.layers:
        shapes = [tuple(value.shape) for value in layer.get_weights()]
        if shapes:
            layer.set_weights(layer_weights(type(layer).__name__, prefix + layer.name, shapes))
    return model
