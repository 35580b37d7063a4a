"""Every bad argument is an exception of the fitting class whose message names it; the model can be used afterwards."""

import os

import numpy as np
import pytest
import swiftcnn
from conftest import make_model
from swiftcnn import callbacks, losses, metrics, optimizers, schedules

X = np.zeros((4, 8, 8, 1), np.uint8)
Y = np.array([0, 1, 2, 3])


def create(**options):
    return lambda model, path: make_model(**options)


def fit(**arguments):
    return lambda model, path: model.fit(**{"x": X, "y": Y, "verbose": 0, **arguments})


def predict(x, **arguments):
    return lambda model, path: model.predict(x, **arguments)


def compiled(*arguments, **options):
    return lambda model, path: model.compile(*arguments, **options)


def made(function, *arguments, **options):
    return lambda model, path: function(*arguments, **options)


SPARSE = "sparse_categorical_crossentropy"
TRUNCATED, TEXT, HOSTILE = b"\x10\0\0\0\0\0\0\0{}", b"hello", b"\xff" * 64


def loading(contents):
    def call(model, path):
        path.write_bytes(contents)
        swiftcnn.load_model(path)

    return call


# What is called, the exception, and a part of its message (a regular expression).
CASES = {
    "no such model": (made(swiftcnn.create_model, "resnet21"), ValueError, r"resnet2\d"),
    "a model's name that is none": (made(swiftcnn.create_model, 20), TypeError, "name"),
    "a name with a NUL": (made(swiftcnn.create_model, "resnet20\0"), ValueError, "name must not hold NUL"),
    "a lone surrogate": (made(swiftcnn.create_model, "\ud800"), ValueError, "name.*surrogates"),
    "input shape of two axes": (create(input_shape=(8, 8)), ValueError, "input_shape"),
    "input shape of zero": (create(input_shape=(8, 0, 1)), ValueError, "input_shape"),
    "negative input shape": (create(input_shape=(8, -8, 1)), ValueError, "input_shape"),
    "input shape of floats": (create(input_shape=(8.0, 8, 1)), TypeError, "input_shape"),
    "input shape as text": (create(input_shape="888"), ValueError, "input_shape"),
    "no classes": (create(classes=0), ValueError, "classes"),
    "classes as a float": (create(classes=10.5), TypeError, "classes"),
    "unknown pooling": (create(include_top=False, pooling="mean"), ValueError, "pooling|mean"),
    "unknown activation": (create(classifier_activation="softmx"), ValueError, "softmax|classifier_activation"),
    "dropout above 1": (create(dropout=1.5), ValueError, "dropout"),
    "dropout NaN": (create(dropout=float("nan")), ValueError, "dropout"),
    "drop_path negative": (create(drop_path=-0.1), ValueError, "drop_path"),
    "unknown argument": (create(clases=10), TypeError, "clases"),
    "weights that are no file": (create(weights="imagenet"), FileNotFoundError, "imagenet"),
    "weights that are a folder": (create(weights="/tmp"), IsADirectoryError, "/tmp"),
    "mean of two channels": (create(mean=[0.1, 0.2]), ValueError, "mean"),
    "std of zero": (create(std=[0.0]), ValueError, "std|deviation"),
    "pattern that is no text": (made(swiftcnn.list_models, 3), TypeError, "pattern"),
    "no threads": (made(swiftcnn.set_num_threads, 0), ValueError, "count"),
    "too many threads": (made(swiftcnn.set_num_threads, 1025), ValueError, "1024"),
    "threads as a float": (made(swiftcnn.set_num_threads, 2.0), TypeError, "count"),
    # Images.
    "no batch axis": (predict(X[0]), ValueError, r"no batch axis.*\(N, 8, 8, 1\).*\(8, 8, 1\)"),
    "another height": (predict(X[:, :7]), ValueError, r"x: expected shape \(N, 8, 8, 1\), got \(4, 7, 8, 1\)"),
    "no channel axis": (predict(X[..., 0]), ValueError, r"x.*\(4, 8, 8\)"),
    "no images": (predict(X[:0]), ValueError, "no images"),
    "objects": (predict(np.full((1, 8, 8, 1), None)), TypeError, "x must hold numbers.*object"),
    "strings": (predict([["a"]]), TypeError, "x must hold numbers"),
    "complex numbers": (predict(X * 1j), TypeError, "complex"),
    "dates": (predict(X.astype("M8[s]")), TypeError, "datetime"),
    "a ragged list": (predict([[1, 2], [3]]), ValueError, "x"),
    "nothing": (predict(None), TypeError, "x is missing"),
    "a number": (predict(3.0), ValueError, "x"),
    "batch size 0": (predict(X, batch_size=0), ValueError, "batch_size"),
    "batch size negative": (predict(X, batch_size=-1), ValueError, "batch_size"),
    "batch size huge": (predict(X, batch_size=2**80), ValueError, "batch_size"),
    "batch size as a float": (predict(X, batch_size=1.5), TypeError, "batch_size"),
    "unknown intermediate result": (predict(X, output="layer1.00"), ValueError, "layer1"),
    "verbose of 3": (predict(X, verbose=3), ValueError, "verbose"),
    # Targets and weights.
    "label too large": (fit(y=[0, 1, 2, 10]), ValueError, r"y\[3\] is 10.*0 to 9"),
    "label negative": (fit(y=[0, -1, 2, 3]), ValueError, r"y\[1\] is -1"),
    "label of 2**40": (fit(y=np.array([0, 1, 2, 2**40])), ValueError, r"y\[3\] is 1099511627776"),
    "label NaN": (fit(y=[0, 1, np.nan, 3]), ValueError, r"y\[2\] is nan"),
    "label infinite": (fit(y=[0, 1, np.inf, 3]), ValueError, r"y\[2\] is inf"),
    "label between two": (fit(y=[0, 1.5, 2, 3]), ValueError, r"y\[1\] is 1.5"),
    "labels as strings": (fit(y=["a", "b", "c", "d"]), TypeError, "y must hold numbers"),
    "labels missing": (fit(y=None), TypeError, "y is missing"),
    "too few labels": (fit(y=Y[:3]), ValueError, r"y: expected targets for 4 images, got shape \(3,\)"),
    "labels of another shape": (fit(y=np.zeros((4, 3))), ValueError, r"y: expected labels.*\(4, 3\)"),
    "one-hot for a sparse loss": (fit(y=np.eye(10)[Y]), ValueError, "y"),
    "a scalar label": (fit(y=1), ValueError, "y"),
    "sample weights too few": (fit(sample_weight=[1, 2]), ValueError, "sample_weight"),
    "sample weights NaN": (fit(sample_weight=[1, 2, np.nan, 1]), ValueError, r"sample_weight\[2\]"),
    "sample weights as text": (fit(sample_weight=["1"] * 4), TypeError, "sample_weight"),
    "class weights as a list": (fit(class_weight=[1, 2]), TypeError, "class_weight"),
    "class weight NaN": (fit(class_weight={1: float("nan")}), ValueError, r"class_weight\[1\]"),
    "class weight of a name": (fit(class_weight={"a": 1.0}), TypeError, "class_weight"),
    "images NaN free but labels of another length": (
        lambda model, path: model.evaluate(X, Y[:1]),
        ValueError,
        "y: expected targets for 4 images",
    ),
    # fit.
    "no epochs": (fit(epochs=0), ValueError, "epochs"),
    "epochs as a float": (fit(epochs=1.0), TypeError, "epochs"),
    "epochs as True": (fit(epochs=True), TypeError, "epochs"),
    "negative initial epoch": (fit(initial_epoch=-1), ValueError, "initial_epoch"),
    "shuffle as a number": (fit(shuffle=1), TypeError, "shuffle"),
    "flip as text": (fit(horizontal_flip="yes"), TypeError, "horizontal_flip"),
    "negative crop": (fit(crop_padding=-1), ValueError, "crop_padding"),
    "unknown argument of fit": (fit(epoch=2), TypeError, "epoch"),
    "a callback that is none": (fit(callbacks=["print"]), TypeError, "callbacks.*print"),
    "callbacks that are none": (fit(callbacks=3), TypeError, "callbacks"),
    "validation data of one": (fit(validation_data=(X,)), ValueError, "validation_data"),
    "validation data misshapen": (fit(validation_data=(X[:, :4], Y)), ValueError, "validation_data: x"),
    "validation labels too few": (fit(validation_data=(X, Y[:1])), ValueError, "validation_data: y"),
    "validation split of 1": (fit(validation_split=1.0), ValueError, "validation_split"),
    "validation split leaves none": (
        lambda model, path: model.fit(X[:1], Y[:1], validation_split=0.5, verbose=0),
        ValueError,
        "validation_split",
    ),
    "validation frequency 0": (fit(validation_freq=0), ValueError, "validation_freq"),
    # compile.
    "unknown optimizer": (compiled("sdg", SPARSE), ValueError, "'sgd'"),
    "unknown loss": (compiled("sgd", "sparse_categorical_crossentrop"), ValueError, f"did you mean '{SPARSE}'"),
    "unknown metric": (compiled("sgd", SPARSE, metrics=["acuracy"]), ValueError, "did you mean 'accuracy'"),
    "optimizer as a class": (compiled(optimizers.SGD, SPARSE), TypeError, "optimizer"),
    "loss as a function": (compiled("sgd", len), TypeError, "loss"),
    "metrics as a number": (compiled("sgd", SPARSE, metrics=3), TypeError, "metrics"),
    "metric as a number": (compiled("sgd", SPARSE, metrics=[3]), TypeError, "metrics"),
    "the same metric twice": (compiled("sgd", SPARSE, metrics=["accuracy", metrics.Accuracy()]), ValueError, "twice"),
    "more metrics than can be": (
        compiled("sgd", SPARSE, metrics=[metrics.TopKAccuracy(k) for k in range(1, 20)]),
        ValueError,
        "19 metrics",
    ),
    "crop of 2^31": (fit(crop_padding=2**31 - 1), ValueError, "crop_padding"),
    "unknown argument of compile": (compiled("sgd", SPARSE, metric=["accuracy"]), TypeError, "metric"),
    "learning rate NaN": (made(optimizers.SGD, float("nan")), ValueError, "learning_rate"),
    "learning rate as an array": (made(optimizers.Adam, np.ones(2)), TypeError, "learning_rate"),
    "epochs as an array": (fit(epochs=np.ones(2, int)), TypeError, "epochs"),
    "learning rate beyond floats": (made(optimizers.Adam, 10**400), ValueError, "learning_rate"),
    "learning rate as text": (made(optimizers.Adam, "0.1"), TypeError, "learning_rate"),
    "learning rate negative": (made(optimizers.SGD, -1.0), ValueError, "learning_rate"),
    "momentum above 1": (made(optimizers.SGD, momentum=1.5), ValueError, "momentum"),
    "nesterov without momentum": (compiled(optimizers.SGD(nesterov=True), SPARSE), ValueError, "nesterov"),
    "nesterov as a number": (made(optimizers.SGD, nesterov=1), TypeError, "nesterov"),
    "beta of 1": (made(optimizers.Adam, beta_1=1.0), ValueError, "beta_1 must be 0 or more and below 1, got 1.0"),
    "weight decay negative": (made(optimizers.AdamW, weight_decay=-1.0), ValueError, "weight_decay"),
    "clip norm of 0": (made(optimizers.SGD, global_clipnorm=0.0), ValueError, "global_clipnorm"),
    "unknown optimizer argument": (made(optimizers.SGD, lr=0.1), TypeError, "'lr'; did you mean 'learning_rate'"),
    "label smoothing of 1": (
        made(losses.SparseCategoricalCrossentropy, label_smoothing=1.0),
        ValueError,
        "label_smoothing",
    ),
    "from_logits as text": (made(losses.BinaryCrossentropy, from_logits="yes"), TypeError, "from_logits"),
    "top 0": (made(metrics.TopKAccuracy, 0), ValueError, "k"),
    "step size 0": (made(schedules.StepDecay, 0.1, 0), ValueError, "step_size"),
    "warm-up without target": (made(schedules.CosineDecay, 0.1, 10, warmup_steps=3), ValueError, "warmup_target"),
    "setting a learning rate of NaN": (
        lambda model, path: setattr(model, "learning_rate", float("nan")),
        ValueError,
        "learning_rate",
    ),
    # The rest of fit, evaluate, predict and the methods of one batch.
    "steps per epoch 0": (fit(steps_per_epoch=0), ValueError, "steps_per_epoch"),
    "steps per epoch as a float": (fit(steps_per_epoch=1.5), TypeError, "steps_per_epoch"),
    "validation steps 0": (fit(validation_steps=0), ValueError, "validation_steps"),
    "validation batch size 0": (fit(validation_batch_size=0), ValueError, "validation_batch_size"),
    "validation frequency as text": (fit(validation_freq="2"), TypeError, "validation_freq"),
    "validation frequencies of text": (fit(validation_freq=["a"]), TypeError, "validation_freq"),
    "validation after epoch 0": (fit(validation_freq=[0]), ValueError, "validation_freq"),
    "validation split as text": (fit(validation_split="half"), TypeError, "validation_split"),
    "validation split NaN": (fit(validation_split=float("nan")), ValueError, "validation_split"),
    "validation data as a number": (fit(validation_data=3), ValueError, "validation_data"),
    "validation data of four": (fit(validation_data=(X, Y, Y, Y)), ValueError, "validation_data"),
    "validation weights too few": (fit(validation_data=(X, Y, [1])), ValueError, "validation_data: sample_weight"),
    "validation batches of four": (
        fit(validation_data=iter([(X, Y, Y, Y)])),
        ValueError,
        "validation_data: .* 4 parts",
    ),
    "class weight beside images of many": (
        lambda model, path: model.fit(X, np.zeros((4, 10)), class_weight={0: 1.0, 1: "a"}, verbose=0),
        TypeError,
        r"class_weight\[1\]",
    ),
    "negative class": (fit(class_weight={-1: 1.0}), ValueError, "class_weight"),
    "resume as a number": (fit(resume=1), TypeError, "resume"),
    "crop as a float": (fit(crop_padding=1.0), TypeError, "crop_padding"),
    "verbose as text": (fit(verbose="loud"), ValueError, "verbose.*loud"),
    "verbose as an array": (fit(verbose=np.ones(2)), ValueError, "verbose"),
    "verbose of minus one": (fit(verbose=-1), ValueError, "verbose"),
    "images that are an object": (fit(x=object()), TypeError, "x must hold numbers"),
    "evaluation of steps 0": (lambda m, p: m.evaluate(X, Y, steps=0), ValueError, "steps"),
    "evaluation that returns a number": (lambda m, p: m.evaluate(X, Y, return_dict=2), TypeError, "return_dict"),
    "evaluation with text": (lambda m, p: m.evaluate(X, Y, callbacks="print"), TypeError, "callbacks"),
    "evaluation without labels": (lambda m, p: m.evaluate(X), TypeError, "y is missing"),
    "evaluation of nothing": (lambda m, p: m.evaluate(), TypeError, "x is missing"),
    "evaluation, verbose": (lambda m, p: m.evaluate(X, Y, verbose=None), ValueError, "verbose"),
    "steps of a prediction as text": (predict(X, steps="1"), TypeError, "steps"),
    "callbacks of a prediction": (predict(X, callbacks=[3]), TypeError, "callbacks"),
    "output as a number": (predict(X, output=3), TypeError, "output"),
    "a batch without images": (lambda m, p: m.predict_on_batch(X[:0]), ValueError, "no images"),
    "a batch of one image": (lambda m, p: m.predict_on_batch(X[0]), ValueError, "no batch axis"),
    "train on batches": (lambda m, p: m.train_on_batch(iter([(X, Y)])), TypeError, "x must hold numbers"),
    "train without labels": (lambda m, p: m.train_on_batch(X), TypeError, "y is missing"),
    "train that returns text": (lambda m, p: m.train_on_batch(X, Y, return_dict="yes"), TypeError, "return_dict"),
    "train with weights of another length": (lambda m, p: m.train_on_batch(X, Y, [1]), ValueError, "sample_weight"),
    "test without labels": (lambda m, p: m.test_on_batch(X), TypeError, "y is missing"),
    "test that returns text": (lambda m, p: m.test_on_batch(X, Y, return_dict="yes"), TypeError, "return_dict"),
    # The rest of compile.
    "seed as text": (compiled("sgd", SPARSE, seed="a"), TypeError, "seed"),
    "seed negative": (compiled("sgd", SPARSE, seed=-1), ValueError, "seed"),
    "scaled loss as a number": (compiled("sgd", SPARSE, auto_scale_loss=3), TypeError, "auto_scale_loss"),
    "jit_compile as text": (compiled("sgd", SPARSE, jit_compile="yes"), ValueError, "jit_compile='yes'"),
    "optimizer as a number": (compiled(3, SPARSE), TypeError, "optimizer"),
    "optimizer without a rule": (compiled(optimizers.Optimizer(), SPARSE), TypeError, "optimizer"),
    "loss as a number": (compiled("sgd", 3), TypeError, "loss"),
    "the same name twice": (
        compiled("sgd", SPARSE, metrics=[metrics.TopKAccuracy(2, "top"), metrics.TopKAccuracy(3, "top")]),
        ValueError,
        "'top' is given twice",
    ),
    "a metric called loss": (compiled("sgd", SPARSE, metrics=[metrics.Accuracy("loss")]), ValueError, "'loss'"),
    # Optimizers.
    "two ways to clip": (made(optimizers.SGD, clipnorm=1.0, clipvalue=1.0), ValueError, "Only one of `clipnorm`"),
    "clipnorm of 0": (made(optimizers.SGD, clipnorm=0), ValueError, "clipnorm must be above 0, got 0"),
    "clipvalue as text": (made(optimizers.Adam, clipvalue="1"), TypeError, "clipvalue"),
    "ema share above 1": (made(optimizers.Adam, use_ema=True, ema_momentum=1.5), ValueError, "ema_momentum"),
    "ema as text": (made(optimizers.Adam, use_ema="yes"), TypeError, "use_ema"),
    "overwriting by ema never": (
        made(optimizers.SGD, ema_overwrite_frequency=0), ValueError, "ema_overwrite_frequency must be 1 or more, got 0"
    ),
    "loss scale": (made(optimizers.SGD, loss_scale_factor=2.0), ValueError, "loss_scale_factor=2.0"),
    "accumulation of one batch": (
        made(optimizers.SGD, gradient_accumulation_steps=1), ValueError, "gradient_accumulation_steps must be at least 2"
    ),
    "accumulation as a fraction": (
        made(optimizers.Adam, gradient_accumulation_steps=2.5), TypeError, "gradient_accumulation_steps"
    ),
    "name of an optimizer": (made(optimizers.SGD, name=3), TypeError, "name must be a string"),
    "decoupled as text": (made(optimizers.SGD, decoupled="no"), TypeError, "decoupled"),
    "decay_all as text": (made(optimizers.SGD, decay_all="no"), TypeError, "decay_all"),
    "AMSGrad": (made(optimizers.Adam, amsgrad=True), ValueError, "amsgrad=True is not supported"),
    "AdamW without decay": (made(optimizers.AdamW, weight_decay=None), ValueError, "weight_decay"),
    "beta above 1": (made(optimizers.Adam, beta_2=1.5), ValueError, "beta_2 must be 0 or more and below 1, got 1.5"),
    "epsilon negative": (made(optimizers.Adam, epsilon=-1e-7), ValueError, "epsilon"),
    "rho as text": (made(optimizers.RMSprop, rho="0.9"), TypeError, "rho"),
    "centered as a number": (made(optimizers.RMSprop, centered=1), TypeError, "centered"),
    # Losses and metrics.
    "sum of losses": (made(losses.MeanSquaredError, "sum"), ValueError, "reduction='sum' is not supported"),
    "reduction of none": (made(losses.KLDivergence, reduction=None), ValueError, "reduction=None"),
    "another axis": (made(losses.CategoricalCrossentropy, axis=1), ValueError, "axis=1 is not supported"),
    "an ignored class": (made(losses.SparseCategoricalCrossentropy, ignore_class=0), ValueError, "ignore_class=0"),
    "half precision": (made(losses.MeanAbsoluteError, dtype="float16"), ValueError, "dtype='float16'"),
    "name of a loss": (made(losses.Huber, name=3), TypeError, "name must be a string"),
    "delta of 0": (made(losses.Huber, 0.0), ValueError, "delta must be above 0"),
    "delta as text": (made(losses.Huber, "1"), TypeError, "delta"),
    "smoothing negative": (made(losses.BinaryCrossentropy, label_smoothing=-0.1), ValueError, "label_smoothing"),
    "k as a float": (made(metrics.TopKCategoricalAccuracy, 1.5), TypeError, "k must be an integer"),
    "sorted labels": (made(metrics.SparseTopKCategoricalAccuracy, from_sorted_ids=True), ValueError, "from_sorted_ids"),
    "name of a metric": (made(metrics.Accuracy, 3), TypeError, "name must be a string"),
    "threshold as text": (made(metrics.BinaryAccuracy, threshold="0.5"), TypeError, "threshold"),
    "dtype of a metric": (made(metrics.BinaryAccuracy, dtype="int8"), ValueError, "dtype='int8'"),
    # Schedules.
    "decay of a curve as text": (made(schedules.ExponentialDecay, 0.1, 10, "0.5"), TypeError, "decay_rate"),
    "decay steps 0": (made(schedules.CosineDecay, 0.1, 0), ValueError, "decay_steps"),
    "decay steps as a float": (made(schedules.CosineDecay, 0.1, 10.5), TypeError, "decay_steps"),
    "total steps 0": (made(schedules.OneCycle, 0.1, 0), ValueError, "total_steps"),
    "maximum as text": (made(schedules.OneCycle, "0.1"), TypeError, "maximum"),
    "staircase as a number": (made(schedules.ExponentialDecay, 0.1, 10, 0.5, 1), TypeError, "staircase"),
    "name of a schedule": (made(schedules.OneCycle, 0.1, name=3), TypeError, "name must be a string"),
    # Callbacks.
    "patience negative": (made(callbacks.EarlyStopping, patience=-1), ValueError, "patience"),
    "patience as a float": (made(callbacks.ReduceLROnPlateau, patience=1.5), TypeError, "patience"),
    "monitor as a number": (made(callbacks.EarlyStopping, 3), TypeError, "monitor"),
    "delta of improvement": (made(callbacks.EarlyStopping, min_delta="a"), TypeError, "min_delta"),
    "baseline as text": (made(callbacks.EarlyStopping, baseline="a"), TypeError, "baseline"),
    "restoring as a number": (made(callbacks.EarlyStopping, restore_best_weights=1), TypeError, "restore_best_weights"),
    "first epoch negative": (made(callbacks.EarlyStopping, start_from_epoch=-1), ValueError, "start_from_epoch"),
    "factor of 1": (made(callbacks.ReduceLROnPlateau, factor=1.0), ValueError, "does not support a factor >= 1.0"),
    "factor negative": (made(callbacks.ReduceLROnPlateau, factor=-0.5), ValueError, "factor"),
    "cooldown as text": (made(callbacks.ReduceLROnPlateau, cooldown="1"), TypeError, "cooldown"),
    "smallest rate NaN": (made(callbacks.ReduceLROnPlateau, min_lr=float("nan")), ValueError, "min_lr"),
    "schedule that is no function": (made(callbacks.LearningRateScheduler, 0.1), TypeError, "schedule"),
    "verbosity as text": (made(callbacks.LearningRateScheduler, len, "yes"), TypeError, "verbose"),
    "log that is no path": (made(callbacks.CSVLogger, 3), TypeError, "filename"),
    "separator of two": (made(callbacks.CSVLogger, "a", ",,"), ValueError, "separator"),
    "append as a number": (made(callbacks.CSVLogger, "a", append=1), TypeError, "append"),
    "log in no folder": (fit(callbacks=[callbacks.CSVLogger("/nowhere/log.csv")]), FileNotFoundError, "/nowhere"),
    "raising as a number": (made(callbacks.TerminateOnNaN, 1), TypeError, "raise_error"),
    "swapping as text": (made(callbacks.SwapEMAWeights, "yes"), TypeError, "swap_on_epoch"),
    "checkpoint that is no path": (made(callbacks.ModelCheckpoint, 3), TypeError, "filepath"),
    "best only as a number": (made(callbacks.ModelCheckpoint, "m", save_best_only=1), TypeError, "save_best_only"),
    "threshold of the best": (
        made(callbacks.ModelCheckpoint, "m", initial_value_threshold="a"),
        TypeError,
        "initial_value_threshold",
    ),
    "checkpoint frequency as a float": (made(callbacks.ModelCheckpoint, "m", save_freq=1.5), ValueError, "save_freq"),
    "picture that is no path": (made(callbacks.History().plot, 3), TypeError, "filename"),
    # Parameters.
    "unknown parameter": (lambda m, p: m.get_parameter("fc.weigth"), ValueError, "did you mean 'fc.weight'"),
    "unknown gradient": (lambda m, p: m.get_gradient("fc.weigth"), ValueError, "fc.weight"),
    "parameter misshapen": (lambda m, p: m.set_parameter("fc.bias", [1, 2]), ValueError, r"fc.bias: expected.*\(10,\)"),
    "parameter as text": (lambda m, p: m.set_parameter("fc.bias", ["a"] * 10), TypeError, "fc.bias"),
    "weights too few": (lambda m, p: m.set_weights([]), ValueError, "weights: .* expects"),
    "pattern that matches nothing": (lambda m, p: m.freeze("layer9.*"), ValueError, "layer"),
    "normalization of two channels": (lambda m, p: m.set_normalization([0, 0], [1, 1]), ValueError, "mean|channel"),
    "normalization unequal": (lambda m, p: m.set_normalization([0], [1, 1]), ValueError, "mean is .* and std"),
    "unknown graph format": (lambda m, p: m.graph("dots"), ValueError, "dot"),
    # Files.
    "no such file": (lambda m, p: swiftcnn.load_model(p), FileNotFoundError, "m.safetensors"),
    "a path that is none": (lambda m, p: swiftcnn.load_model(3), TypeError, "filepath"),
    "a folder that is not there": (lambda m, p: m.save(p / "deeper" / "m"), OSError, "m"),
    "a file as a folder": (lambda m, p: m.save("/dev/null/m"), OSError, "m"),
    "a truncated file": (loading(TRUNCATED), ValueError, "m.safetensors"),
    "a text file": (loading(TEXT), ValueError, "m.safetensors"),
    "an empty file": (loading(b""), ValueError, "m.safetensors"),
    "a length that lies": (loading(HOSTILE), ValueError, "m.safetensors"),
    "checkpoint frequency": (made(callbacks.ModelCheckpoint, "m", save_freq="step"), ValueError, "save_freq"),
    "checkpoint frequency 0": (made(callbacks.ModelCheckpoint, "m", save_freq=0), ValueError, "save_freq"),
}


@pytest.fixture(scope="module")
def used_model():
    model = make_model()
    model.compile("sgd", SPARSE)
    return model


@pytest.mark.parametrize("case", CASES)
def test_bad_argument_is_named(case, used_model, tmp_path):
    call, kind, message = CASES[case]
    with pytest.raises(kind, match=message):
        call(used_model, tmp_path / "m.safetensors")
    assert not [name for name in os.listdir(tmp_path) if name != "m.safetensors"]


@pytest.mark.parametrize(
    "function",
    [
        *(getattr(optimizers, name) for name in ("SGD", "Adam", "AdamW", "RMSprop", "Optimizer")),
        *(getattr(losses, name) for name in losses.__all__ if name not in ("Loss", "LossFunctionWrapper")),
        *(getattr(metrics, name) for name in metrics.__all__ if name not in ("Metric", "MeanMetricWrapper")),
        *(getattr(schedules, name) for name in schedules.__all__ if name != "LearningRateSchedule"),
        *(getattr(callbacks, name) for name in callbacks.__all__ if name != "Callback"),
        *(getattr(swiftcnn.Model, name) for name in ("compile", "fit", "evaluate", "predict", "train_on_batch")),
        *(getattr(swiftcnn.Model, name) for name in ("test_on_batch", "predict_on_batch")),
    ],
    ids=lambda function: function.__qualname__,
)
def test_unknown_arguments_are_errors(function):
    with pytest.raises(TypeError, match="unexpected keyword argument 'unheard_of'"):
        function(unheard_of=1)


def test_the_model_is_as_good_as_before(used_model):
    assert np.isfinite(used_model.train_on_batch(X, Y))
    assert used_model.predict(X).shape == (4, 10)


def test_every_message_is_a_sentence_about_the_argument(used_model):
    with pytest.raises(ValueError) as caught:
        used_model.predict(X[0])
    assert "x[None]" in str(caught.value)


def test_a_full_disk_is_an_oserror_and_leaves_nothing(used_model):
    with pytest.raises(OSError):
        used_model.save("/dev/full")
