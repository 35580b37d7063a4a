"""The arguments and defaults of Keras's public constructors."""

import inspect

import keras_peer

# What swiftcnn has of each module of Keras's.
NAMES = {
    "layers": [
        "Activation", "Add", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Dense",
        "DepthwiseConv2D", "Dropout", "ELU", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D",
        "Input", "LeakyReLU", "MaxPooling2D", "Multiply", "Normalization", "PReLU", "RandomCrop",
        "RandomFlip", "ReLU", "Rescaling", "Reshape", "SeparableConv2D", "Softmax", "ZeroPadding2D",
    ],
    "optimizers": ["Adam", "AdamW", "RMSprop", "SGD"],
    "optimizers.schedules": ["CosineDecay", "ExponentialDecay"],
    "callbacks": [
        "BackupAndRestore", "CSVLogger", "EarlyStopping", "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint",
        "ReduceLROnPlateau", "SwapEMAWeights", "TerminateOnNaN",
    ],
    "initializers": [
        "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "Ones",
        "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros",
    ],
    "metrics": [
        "AUC", "BinaryAccuracy", "CategoricalAccuracy", "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives",
        "MeanAbsoluteError", "MeanMetricWrapper", "MeanSquaredError", "Precision", "PrecisionAtRecall", "Recall",
        "RecallAtPrecision", "RootMeanSquaredError", "SensitivityAtSpecificity", "SparseCategoricalAccuracy",
        "SparseTopKCategoricalAccuracy", "SpecificityAtSensitivity", "TopKCategoricalAccuracy", "TrueNegatives",
        "TruePositives",
    ],
    "regularizers": ["L1", "L1L2", "L2"],
    "models": ["Model", "Sequential"],
}
# The methods of `models.Model` that are called by name and position too.
METHODS = [
    "compile", "evaluate", "fit", "get_layer", "load_weights", "predict", "predict_on_batch", "save", "save_weights",
    "summary", "test_on_batch", "train_on_batch",
]


def parameters(function):
    """Rows of name, whether it has a default, and the default, in order; no self, *args and **kwargs. Of a class, those
    of its constructor."""
    if inspect.isclass(function) and not hasattr(function, "__signature__"):
        function = function.__init__
    rows = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        required = parameter.default is parameter.empty
        rows.append([parameter.name, not required, None if required else plain(parameter.default)])
    return rows


def plain(value):
    """A default as JSON has it: equal sizes for height and width are one number, names are in lower case."""
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, (list, tuple)):
        values = [plain(part) for part in value]
        return values[0] if len(values) == 2 and values[0] == values[1] else values
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return type(value).__name__


def keras_defaults():
    """The document of keras_defaults.json."""
    keras = keras_peer.keras()
    found = {}
    for module, names in NAMES.items():
        place = keras
        for part in module.split("."):
            place = getattr(place, part)
        for name in names:
            found[f"{module}.{name}"] = parameters(getattr(place, name))
    found |= {f"models.Model.{name}": parameters(getattr(keras.models.Model, name)) for name in METHODS}
    return {"signatures": found}
