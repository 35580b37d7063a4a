"""The networks and the data of the fidelity tests. The models are written with Keras's names alone and take the module
(keras or swiftcnn) as an argument; neither is imported here."""

import numpy

import formula
import keras_peer

STEPS, BATCH, CLASSES = 20, 16, 10
KERAS_SIZE = 24

# Runs of PyTorch. Name of the network: (height and width, the options with which swiftcnn's `create_model` makes it).
TORCH_NETWORKS = {
    "resnet20": (16, {}),
    "efficientnet_b0": (
        48, {"width_coefficient": 0.5, "depth_coefficient": 0.4, "divisor": 8, "dropout": 0.0, "drop_path": 0.0},
    ),
}
# Name: (class in torch.optim, its arguments, the same in Keras's names for `optimizers`).
TORCH_OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.002, "momentum": 0.9}, {"learning_rate": 0.002, "momentum": 0.9}),
    "adam": ("Adam", {"lr": 0.0002}, {"learning_rate": 0.0002, "epsilon": 1e-8}),
}


def torch_parameter(network, name, shape):
    """The formula's tensor of a state_dict. In ResNet-20 batch normalisation has half the scale and 1 more of a shift:
    with about half of two million activations on either side of ReLU's kink, some are so near to it that rounding
    decides, and losses differ by 1e-2 after ten steps; so few are."""
    value = formula.parameter(name, shape)
    if network == "resnet20" and len(shape) == 1 and ("bn" in name or "downsample.1" in name):
        if name.endswith(".weight"):
            return value * numpy.float32(0.5)
        if name.endswith(".bias"):
            return value + numpy.float32(1)
    return value


def batches(size, channels=3):
    """The batches of a training run: (images, int32 labels). Each class has a coarse pattern of 4x4 fields, of which an
    image has more or less, with noise over it."""
    fields = [formula.values(f"fidelity/pattern/{label}", (4, 4, channels)) for label in range(CLASSES)]
    patterns = [numpy.kron(field, numpy.ones((size // 4, size // 4, 1), numpy.float32)) for field in fields]
    found = []
    for step in range(STEPS):
        labels = (numpy.arange(BATCH) * 7 + step * 3) % CLASSES
        strength = formula.values(f"fidelity/strength/{step}", (BATCH, 1, 1, 1), 0.25, 1.0)
        noise = formula.values(f"fidelity/noise/{step}", (BATCH, size, size, channels), 0.5)
        images = numpy.stack([patterns[label] for label in labels]) * strength + noise
        found.append((images.astype(numpy.float32), labels.astype(numpy.int32)))
    return found


def resnet(api):
    """A small ResNet: a stem and three basic blocks of 8, 16 and 32 channels."""
    layers = api.layers

    def convolution(x, filters, size, strides, name, activation=None):
        x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x

    inputs = layers.Input((KERAS_SIZE, KERAS_SIZE, 3))
    x = convolution(inputs, 8, 3, 1, "stem", "relu")
    for index, (filters, strides) in enumerate([(8, 1), (16, 2), (32, 2)]):
        block = f"block{index + 1}"
        shortcut = x
        if strides != 1:
            shortcut = convolution(x, filters, 1, strides, f"{block}_shortcut")
        x = convolution(x, filters, 3, strides, f"{block}_1", "relu")
        x = convolution(x, filters, 3, 1, f"{block}_2")
        x = layers.Add(name=f"{block}_add")([x, shortcut])
        x = layers.ReLU(name=f"{block}_out")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(CLASSES, activation="softmax", name="head")(x)
    return api.models.Model(inputs, outputs, name="small_resnet")


def efficientnet(api):
    """A small EfficientNet: a stem of stride 2, four MBConv blocks with squeeze-and-excitation, a
    1x1 head."""
    layers = api.layers

    def normalised(x, name, activation="swish"):
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        return layers.Activation(activation, name=f"{name}_activation")(x) if activation else x

    def block(x, channels, filters, expansion, size, strides, name):
        shortcut, width = x, channels * expansion
        if expansion != 1:
            x = layers.Conv2D(width, 1, padding="same", use_bias=False, name=f"{name}_expand_conv")(x)
            x = normalised(x, f"{name}_expand")
        x = layers.DepthwiseConv2D(size, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
        x = normalised(x, f"{name}_depthwise")
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
        gate = layers.Conv2D(channels // 4, 1, activation="swish", name=f"{name}_reduce")(gate)
        gate = layers.Conv2D(width, 1, activation="sigmoid", name=f"{name}_excite")(gate)
        x = layers.Multiply(name=f"{name}_gated")([x, gate])
        x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_project_conv")(x)
        x = normalised(x, f"{name}_project", None)
        if strides == 1 and channels == filters:
            x = layers.Add(name=f"{name}_add")([x, shortcut])
        return x

    inputs = layers.Input((KERAS_SIZE, KERAS_SIZE, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(inputs)
    x = normalised(x, "stem")
    channels = 16
    rows = [(8, 1, 3, 1), (16, 4, 3, 2), (16, 4, 5, 1), (24, 4, 5, 2)]
    for index, (filters, expansion, size, strides) in enumerate(rows):
        x = block(x, channels, filters, expansion, size, strides, f"block{index + 1}")
        channels = filters
    x = layers.Conv2D(64, 1, padding="same", use_bias=False, name="top_conv")(x)
    x = normalised(x, "top")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(CLASSES, activation="softmax", name="head")(x)
    return api.models.Model(inputs, outputs, name="small_efficientnet")


MODELS = {"resnet": resnet, "efficientnet": efficientnet}

# Of Keras and swiftcnn: name: (class in `optimizers`, arguments).
KERAS_OPTIMIZERS = {
    "sgd": ("SGD", {"learning_rate": 0.002, "momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {"learning_rate": 0.0005}),
    "rmsprop": ("RMSprop", {"learning_rate": 0.0002}),
    "adamw": ("AdamW", {"learning_rate": 0.001, "weight_decay": 0.01}),
}


def keras_losses(api, network, name, dtype="float32", changed=lambda model: None):
    """The losses of the steps of a training run, and the loss of the first batch in inference after them.

    Args:
        network: one of `MODELS`.
        name: one of `KERAS_OPTIMIZERS`.
        dtype: of the data.
        changed: called with the model before training.
    """
    model = keras_peer.fill(MODELS[network](api))
    changed(model)
    model.compile(optimizer=optimizer(api, *KERAS_OPTIMIZERS[name]), loss="sparse_categorical_crossentropy")
    data = [(images.astype(dtype), labels) for images, labels in batches(KERAS_SIZE)]
    losses = []
    for images, labels in data:
        model.reset_metrics()  # or Keras returns the mean over the calls
        losses.append(float(model.train_on_batch(images, labels)))
    model.reset_metrics()
    return losses, float(model.test_on_batch(*data[0]))


# Updates of a dense layer with three inputs and four outputs: name: (class in `optimizers`, arguments). A pair as
# `learning_rate` is a schedule: its class in `optimizers.schedules` and its arguments. Adam's steps are smaller,
# since Keras's own float32 has 1 - beta_2**step with a relative error of 2e-5.
UPDATES = {
    "sgd": ("SGD", {"learning_rate": 0.05}),
    "sgd_momentum": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd_weight_decay": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    "sgd_clipnorm": ("SGD", {"learning_rate": 0.05, "clipnorm": 0.5}),
    "sgd_clipvalue": ("SGD", {"learning_rate": 0.05, "clipvalue": 0.2}),
    "sgd_global_clipnorm": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "global_clipnorm": 0.5}),
    "sgd_ema_overwrites": (
        "SGD", {"learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 2},
    ),
    "sgd_exponential_decay": (
        "SGD", {"learning_rate": ("ExponentialDecay", {
            "initial_learning_rate": 0.05, "decay_steps": 2, "decay_rate": 0.5})},
    ),
    "sgd_exponential_staircase": (
        "SGD", {"learning_rate": ("ExponentialDecay", {
            "initial_learning_rate": 0.05, "decay_steps": 2, "decay_rate": 0.5, "staircase": True}), "momentum": 0.5},
    ),
    "sgd_cosine_decay": (
        "SGD", {"learning_rate": ("CosineDecay", {
            "initial_learning_rate": 0.05, "decay_steps": 4, "alpha": 0.1})},
    ),
    "sgd_cosine_warmup": (
        "SGD", {"learning_rate": ("CosineDecay", {
            "initial_learning_rate": 0.01, "decay_steps": 4, "warmup_target": 0.05, "warmup_steps": 2})},
    ),
    "adam": ("Adam", {"learning_rate": 0.02}),
    "adam_defaults": ("Adam", {}),
    "adam_betas": ("Adam", {"learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 0.01}),
    "adam_weight_decay": ("Adam", {"learning_rate": 0.02, "weight_decay": 0.1}),
    "adam_clipnorm": ("Adam", {"learning_rate": 0.02, "clipnorm": 0.25}),
    "adam_clipvalue": ("Adam", {"learning_rate": 0.02, "clipvalue": 0.1}),
    "adam_global_clipnorm": ("Adam", {"learning_rate": 0.02, "global_clipnorm": 0.25}),
    "adam_cosine_decay": (
        "Adam", {"learning_rate": ("CosineDecay", {"initial_learning_rate": 0.02, "decay_steps": 3})},
    ),
    "adamw": ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.2}),
    "adamw_defaults": ("AdamW", {}),
    "adamw_exponential_decay": (
        "AdamW", {"learning_rate": ("ExponentialDecay", {
            "initial_learning_rate": 0.02, "decay_steps": 1, "decay_rate": 0.8}), "weight_decay": 0.1},
    ),
    "rmsprop": ("RMSprop", {"learning_rate": 0.05}),
    "rmsprop_defaults": ("RMSprop", {}),
    "rmsprop_rho": ("RMSprop", {"learning_rate": 0.05, "rho": 0.8, "epsilon": 0.01}),
    "rmsprop_momentum": ("RMSprop", {"learning_rate": 0.05, "momentum": 0.9}),
    "rmsprop_centered": ("RMSprop", {"learning_rate": 0.05, "centered": True}),
    "rmsprop_centered_momentum": ("RMSprop", {"learning_rate": 0.05, "centered": True, "momentum": 0.9}),
    "rmsprop_weight_decay": ("RMSprop", {"learning_rate": 0.05, "weight_decay": 0.1}),
}
UPDATE_STEPS = 3


def optimizer(api, kind, arguments):
    """An optimizer, with its schedule if it has one."""
    rate = arguments.get("learning_rate")
    if isinstance(rate, tuple):
        schedule = getattr(api.optimizers.schedules, rate[0])(**rate[1])
        arguments = {**arguments, "learning_rate": schedule}
    return getattr(api.optimizers, kind)(**arguments)


def updates(api, name, dtype="float32"):
    """The weights of the dense layer (kernel, bias) after each of three steps, flattened into one list a step.

    Kernel and bias are two variables: what holds for each and what for both differ.
    """
    model = api.models.Sequential([api.layers.Input((3,)), api.layers.Dense(4, name="dense")])
    keras_peer.fill(model, "updates/")
    model.compile(optimizer=optimizer(api, *UPDATES[name]), loss="mean_squared_error")
    found = []
    for step in range(UPDATE_STEPS):
        x = formula.values(f"updates/x/{step}", (8, 3), 2.0).astype(dtype)
        y = formula.values(f"updates/y/{step}", (8, 4), 2.0).astype(dtype)
        model.train_on_batch(x, y)
        found.append([float(value) for array in model.get_weights() for value in array.reshape(-1)])
    return found


def averaged(api, dtype="float32"):
    """The weights after `fit` with a moving average of the weights: the average is what the model has at the end."""
    model = api.models.Sequential([api.layers.Input((3,)), api.layers.Dense(4, name="dense")])
    keras_peer.fill(model, "updates/")
    model.compile(optimizer=api.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.75), loss="mean_squared_error")
    x = formula.values("updates/x/0", (8, 3), 2.0).astype(dtype)
    y = formula.values("updates/y/0", (8, 4), 2.0).astype(dtype)
    model.fit(x, y, batch_size=8, epochs=UPDATE_STEPS, shuffle=False, verbose=0)
    return [float(value) for array in model.get_weights() for value in array.reshape(-1)]
