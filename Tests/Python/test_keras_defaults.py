"""Every argument of Keras's constructors and of the model's methods is here, at its place and with its default."""

import functools
import inspect
import re

import golden
import pytest

import keras_defaults  # Tests/Golden

SIGNATURES = golden.document("keras_defaults")["signatures"]

# What of the list is not here at all.
ABSENT = {
    "callbacks.BackupAndRestore": "a ModelCheckpoint and fit(resume=True) do that, to the bit",
}

# Arguments that may be missing, by where and by name (regular expressions), with the reason.
EXCEPTIONS = [
    (".*", "dtype", "everything is float32"),
    ("layers.*", "data_format", "images are channels_last"),
    ("layers.*", ".*_constraint|activity_regularizer", "parameters are not constrained, activations not penalised"),
    ("layers.Dense", "lora_rank|lora_alpha|quantization_config", "large language models"),
    ("layers.BatchNormalization", "renorm|renorm_.*|synchronized", "one process, and batches large enough"),
    ("layers.Dropout", "noise_shape", "each element is dropped by itself"),
    ("layers.Input", "sparse|ragged|tensor|optional", "dense arrays only"),
    ("optimizers.*", "amsgrad", "not in use"),
    ("optimizers.*", "loss_scale_factor", "float32 needs no scale"),
    ("initializers.*", "input_axes|output_axes", "the axes are those of the layers there are"),
    ("models.Model.compile", "loss_weights|weighted_metrics|auto_scale_loss", "one output and one loss in float32"),
    ("models.Model.compile", "run_eagerly|steps_per_execution|jit_compile", "always compiled"),
    ("models.Model.fit", "steps_per_epoch|validation_steps|validation_freq", "arrays have a length"),
    ("models.Model.*", "steps|skip_mismatch|zipped|max_shard_size", "arrays have a length; one file, whole"),
    (
        "models.Model.summary",
        "line_length|positions|expand_nested|show_trainable|layer_range",
        "the table has one form",
    ),
]

PLACES = [place for place in SIGNATURES if place not in ABSENT]


@functools.cache
def find(place):
    found = golden.api
    for part in place.split("."):
        found = getattr(found, part)
    return found


def excepted(place, name):
    return any(re.fullmatch(where, place) and re.fullmatch(what, name) for where, what, _ in EXCEPTIONS)


def required_rows(place):
    ours = {row[0] for row in keras_defaults.parameters(find(place))}
    return [row for row in SIGNATURES[place] if row[0] in ours or not excepted(place, row[0])]


@pytest.mark.parametrize("place", PLACES)
def test_every_argument_is_here_with_its_default(place):
    ours = {row[0]: row[1:] for row in keras_defaults.parameters(find(place))}
    theirs = {row[0]: row[1:] for row in required_rows(place)}
    assert {name: ours.get(name, "missing") for name in theirs} == theirs


@pytest.mark.parametrize("place", PLACES)
def test_positional_arguments_have_their_places(place):
    kinds = {name: parameter.kind for name, parameter in inspect.signature(find(place)).parameters.items()}
    by_place = [
        row[0]
        for row in keras_defaults.parameters(find(place))
        if kinds[row[0]] in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    # As far as the first argument that is missing here; what comes later in Keras nobody gives by its place.
    expected = []
    for name, *_ in SIGNATURES[place]:
        if name not in by_place:
            break
        expected.append(name)
    assert by_place[: len(expected)] == expected
    required = [name for name, has_default, _ in SIGNATURES[place] if not has_default]
    assert expected[: len(required)] == required


@pytest.mark.parametrize("place", [place for place in PLACES if place.startswith("layers.") and "Input" not in place])
def test_layers_have_a_name_and_can_be_frozen(place):
    required = {"filters": 2, "kernel_size": 1, "units": 2, "rate": 0.5, "activation": "relu", "scale": 2.0}
    required |= {"pool_size": 2, "height": 1, "width": 1, "target_shape": (-1,)}
    given = {name: required[name] for name, has_default, _ in SIGNATURES[place] if not has_default}
    layer = find(place)(**given, name="mine", trainable=False)
    assert layer.name == "mine" and layer.trainable is False
    assert find(place)(**given).trainable is True
    assert re.fullmatch(r"[a-z0-9_]+", find(place)(**given).name)
