"""Golden values of Keras 3 itself, on its PyTorch backend in float32: losses, metrics, and optimizers alone."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras  # noqa: E402
import numpy  # noqa: E402
import torch  # noqa: E402

import formula  # noqa: E402
from keras_metrics import metrics  # noqa: E402

STEPS = 5
# Two parameters, so that a norm of each differs from the norm of all.
PARAMETERS = {"weight": (5, 4), "bias": (7,)}

# Case: the class, its arguments in Keras's names, and the same as settings of scnn_compile.
OPTIMIZERS = {
    "sgd": ("SGD", {}, {}),
    "sgd_momentum": ("SGD", {"momentum": 0.9}, {"momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "nesterov": True}),
    "sgd_decay": ("SGD", {"momentum": 0.5, "weight_decay": 0.1}, {"momentum": 0.5, "weight_decay": 0.1}),
    "sgd_global_clipnorm": ("SGD", {"global_clipnorm": 0.5}, {"clip_norm": 0.5}),
    "sgd_clipnorm": ("SGD", {"clipnorm": 1.2}, {"clip_norm_each": 1.2}),
    "sgd_clipvalue": ("SGD", {"clipvalue": 0.3}, {"clip_value": 0.3}),
    "adam": ("Adam", {}, {"epsilon_hat": True}),
    "adam_epsilon": ("Adam", {"epsilon": 0.01, "beta_1": 0.8}, {"epsilon": 0.01, "beta_1": 0.8, "epsilon_hat": True}),
    "adam_clipvalue": ("Adam", {"clipvalue": 0.3}, {"clip_value": 0.3, "epsilon_hat": True}),
    "adamw": ("AdamW", {"weight_decay": 0.1}, {"weight_decay": 0.1, "epsilon_hat": True}),
    "rmsprop": ("RMSprop", {}, {"epsilon_inside_root": True}),
    "rmsprop_epsilon": (
        "RMSprop", {"epsilon": 0.01, "rho": 0.8}, {"epsilon": 0.01, "rho": 0.8, "epsilon_inside_root": True},
    ),
    "rmsprop_momentum": ("RMSprop", {"momentum": 0.9}, {"momentum": 0.9, "epsilon_inside_root": True}),
    "rmsprop_centered": (
        "RMSprop", {"centered": True, "momentum": 0.5},
        {"centered": True, "momentum": 0.5, "epsilon_inside_root": True},
    ),
    "rmsprop_clipnorm": ("RMSprop", {"clipnorm": 0.5}, {"clip_norm_each": 0.5, "epsilon_inside_root": True}),
}
LEARNING_RATE = 0.01


def optimizers(tensors):
    """The parameters after each of some steps with gradients that are given, stacked."""
    for name, shape in PARAMETERS.items():
        tensors[f"initial/{name}"] = formula.values(f"keras/initial/{name}", shape)
        tensors[f"gradients/{name}"] = formula.values(f"keras/gradients/{name}", (STEPS, *shape))
    for case, (kind, arguments, _) in OPTIMIZERS.items():
        optimizer = getattr(keras.optimizers, kind)(learning_rate=LEARNING_RATE, **arguments)
        variables = [keras.Variable(tensors[f"initial/{name}"], name=name) for name in PARAMETERS]
        optimizer.build(variables)
        after = {name: [] for name in PARAMETERS}
        for step in range(STEPS):
            gradients = [torch.from_numpy(tensors[f"gradients/{name}"][step].copy()) for name in PARAMETERS]
            with torch.no_grad():
                optimizer.apply(gradients, variables)
            for name, variable in zip(PARAMETERS, variables):
                after[name].append(variable.value.detach().numpy().copy())
        for name, values in after.items():
            tensors[f"optimizer/{case}/{name}"] = numpy.stack(values)
    return {
        case: {"name": kind.lower(), "learning_rate": LEARNING_RATE, "decoupled": True, "decay_all": True, **settings}
        for case, (kind, _, settings) in OPTIMIZERS.items()
    }


# Focal losses: case, function and arguments.
FOCAL = [
    ("binary_focal", "binary_focal_crossentropy", {}),
    ("binary_focal_balanced", "binary_focal_crossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5}),
    ("categorical_focal_root", "categorical_focal_crossentropy", {"alpha": 0.6, "gamma": 0.5}),
    ("categorical_focal", "categorical_focal_crossentropy", {}),
]


def losses(tensors):
    """One number for each prediction, the mean of all, its gradient, and the accuracy that `compile` would choose."""
    descriptions = {}

    def add(case, function, prediction, target, from_logits=False, label_smoothing=0.0, delta=None, **focus):
        options = {}
        if "crossentropy" in function:
            options["from_logits"] = from_logits
            if function != "sparse_categorical_crossentropy":
                options["label_smoothing"] = label_smoothing
        if delta is not None:
            options["delta"] = delta
        options.update(focus)
        name = "".join(word.capitalize() for word in function.split("_"))
        kind = getattr(keras.losses, {"KlDivergence": "KLDivergence", "LogCosh": "LogCosh"}.get(name, name))
        leaf = torch.from_numpy(prediction).requires_grad_()
        mean = kind(**options)(target, leaf)
        if target.ndim < prediction.ndim and prediction.ndim > 2:
            # PyTorch's nll_loss has no gradient for the strides that Keras gives it; one-hot targets are the same loss.
            one_hot = numpy.eye(prediction.shape[-1], dtype="float32")[target]
            keras.losses.CategoricalCrossentropy(from_logits=from_logits)(one_hot, leaf).backward()
        else:
            mean.backward()
        tensors.update({
            f"loss/{case}/prediction": prediction, f"loss/{case}/target": target,
            f"loss/{case}/rows": kind(**options, reduction=None)(target, leaf), f"loss/{case}/mean": mean,
            f"loss/{case}/gradient": leaf.grad,
        })
        description = {"function": function, "from_logits": from_logits, "label_smoothing": label_smoothing}
        if delta is not None:
            description["delta"] = delta
        description.update(focus)
        if not from_logits:
            # What the string "accuracy" stands for: keras.src.trainers.compile_utils.get_metric.
            if prediction.shape[-1] == 1:
                metric = keras.metrics.BinaryAccuracy()
            elif target.ndim < prediction.ndim:
                metric = keras.metrics.SparseCategoricalAccuracy()
            else:
                metric = keras.metrics.CategoricalAccuracy()
            description["accuracy"] = float(metric(target, prediction))
        if target.ndim == prediction.ndim:
            for name in ("BinaryAccuracy", "MeanSquaredError", "MeanAbsoluteError"):
                description[name] = float(getattr(keras.metrics, name)()(target, prediction))
        descriptions[case] = description

    def softmax(values):
        return torch.softmax(torch.from_numpy(values), -1).numpy()

    def of(name, shape, scale=1.0, offset=0.0):
        return formula.values(f"keras/{name}", shape, scale, offset)

    rows, image = (6, 5), (2, 3, 2, 4)
    for suffix, shape in (("", rows), ("_image", image)):
        labels = (numpy.arange(numpy.prod(shape[:-1])).reshape(shape[:-1]) * 3 % shape[-1]).astype("int32")
        one_hot = numpy.eye(shape[-1], dtype="float32")[labels]
        soft = softmax(of("soft" + suffix, shape, 3.0))
        predictions = {
            "probabilities": softmax(of("probabilities" + suffix, shape, 3.0)),
            # Not probabilities at all: sums away from 1, shares beyond both ends of the clip.
            "positive": of("positive" + suffix, shape, 2.0, 2.0),
            "negative": of("negative" + suffix, shape, 1.5, 0.25),
            "sharp": softmax(of("sharp" + suffix, shape, 60.0)),
        }
        for kind, prediction in predictions.items():
            add(f"sparse_{kind}{suffix}", "sparse_categorical_crossentropy", prediction, labels)
            add(f"categorical_{kind}{suffix}", "categorical_crossentropy", prediction, one_hot)
            add(f"categorical_{kind}_soft{suffix}", "categorical_crossentropy", prediction, soft)
            add(f"categorical_{kind}_smoothed{suffix}", "categorical_crossentropy", prediction, one_hot, False, 0.1)
            add(f"binary_{kind}{suffix}", "binary_crossentropy", prediction, one_hot)
            add(f"binary_{kind}_smoothed{suffix}", "binary_crossentropy", prediction, one_hot, False, 0.2)
        for kind in ("probabilities", "positive"):
            prediction = predictions[kind] if kind == "probabilities" else predictions[kind] / 5
            for name, function, focus in FOCAL:
                add(f"{name}_{kind}{suffix}", function, prediction, one_hot, **focus)
            add(f"binary_focal_{kind}_smoothed{suffix}", FOCAL[0][1], prediction, one_hot, False, 0.2)
            add(f"categorical_focal_{kind}_smoothed{suffix}", FOCAL[-1][1], prediction, one_hot, False, 0.1)
        logits = of("logits" + suffix, shape, 5.0)
        add(f"sparse_logits{suffix}", "sparse_categorical_crossentropy", logits, labels, True)
        add(f"categorical_logits_smoothed{suffix}", "categorical_crossentropy", logits, one_hot, True, 0.1)
        for name, function, focus in FOCAL:
            add(f"{name}_logits{suffix}", function, logits / 2, one_hot, True, **focus)
        add(f"categorical_focal_logits_smoothed{suffix}", FOCAL[-1][1], logits / 2, one_hot, True, 0.1)
        add(f"binary_logits_smoothed{suffix}", "binary_crossentropy", logits, one_hot, True, 0.1)
        for function in ("mean_squared_error", "mean_absolute_error", "log_cosh"):
            add(f"{function}{suffix}", function, logits, soft)
        add(f"huber{suffix}", "huber", logits, soft, delta=1.0)
        add(f"huber_delta{suffix}", "huber", logits, soft, delta=0.3)
        add(f"kl_divergence{suffix}", "kl_divergence", predictions["probabilities"], soft)
    bits = (of("bits", (9, 1)) > 0).astype("float32")
    add("binary_column", "binary_crossentropy", of("column", (9, 1), 0.5, 0.5), bits)
    return descriptions


def keras_values():
    """The tensors and the document of keras.safetensors."""
    tensors = {}
    return tensors, {"losses": losses(tensors), "metrics": metrics(tensors), "optimizers": optimizers(tensors)}
