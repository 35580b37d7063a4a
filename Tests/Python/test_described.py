"""Options that the library describes: what it reads, and what the package's classes take from it."""

import inspect
import json
import subprocess
import sys

import pytest

from swiftcnn import ImageFolder, _described, _swiftcnn, initializers, losses, metrics, optimizers, schedules

DESCRIPTION = json.loads(_swiftcnn.describe())
BASES = (
    optimizers.Optimizer,
    schedules.LearningRateSchedule,
    losses.CoreLoss,
    metrics.CoreMetric,
    initializers.CoreInitializer,
)
CLASSES = {
    f"{section}.{kind}": made
    for base in BASES
    for section in [base._place[0]]
    for kind, made in base._kinds.items()
    if kind in DESCRIPTION[section]
}
NEEDED = {"initial_learning_rate": 0.1, "learning_rate": 0.1, "maximum": 0.1, "step_size": 2, "decay_steps": 2}
NEEDED |= dict.fromkeys(["decay_rate", "specificity", "sensitivity", "precision", "recall"], 0.5)


def made(kind, **options):
    needed = {
        name: NEEDED[name]
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is parameter.empty
    }
    return kind(**needed | options)


def compiled(optimizer, schedule=None):
    model = _swiftcnn.create_model("resnet20", '{"input_shape": [8, 8, 3], "classes": 3}')
    model.compile(json.dumps({"optimizer": optimizer, "schedule": schedule}))
    return json.loads(model.training_settings())


def in_python(doc):
    return doc.replace("null", "None")


@pytest.mark.parametrize("kind", DESCRIPTION["optimizers"])
def test_an_optimizer_has_what_is_described_and_nothing_else(kind):
    options = DESCRIPTION["optimizers"][kind]["options"]
    told = compiled({"name": kind})["optimizer"]
    assert told == {"name": kind} | {name: option["default"] for name, option in options.items()}
    with pytest.raises(ValueError, match="no_such_option"):
        compiled({"name": kind, "no_such_option": 1})


def test_every_kind_that_is_described_has_a_class():
    kinds = {f"{base._place[0]}.{kind}" for base in BASES for kind in DESCRIPTION[base._place[0]]}
    assert kinds - {"metrics.acc"} == set(CLASSES)  # which is short for "accuracy"


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_default_to_what_the_library_says(name):
    kind = CLASSES[name]
    options = DESCRIPTION[kind._place[0]][kind._place[1]]["options"]
    for argument in kind._arguments.values():
        parameter = inspect.signature(kind).parameters[argument.name]
        if argument.key in options and isinstance(argument.given, _described.Core) and not argument.given.replaced:
            option = options[argument.key]
            assert parameter.default == option.get("keras", option["default"])
            assert f"    {argument.name}: {in_python(option['doc'])}" in kind.__doc__


def test_a_folder_has_the_options_that_are_described_and_their_defaults():
    described = DESCRIPTION["image_folder"]
    taken = dict(inspect.signature(ImageFolder).parameters)
    assert taken.pop("path").default is inspect.Parameter.empty
    assert {name: parameter.default for name, parameter in taken.items()} == {
        name: option["default"] for name, option in described.items()
    }
    assert [name for name, parameter in taken.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD] == [
        "size", "batch_size"
    ]
    for name, option in described.items():
        assert f"\n    {name}: {in_python(option['doc'])}" in ImageFolder.__doc__
    assert "\n        fill (by default zero): What it is painted with. One of 'zero', 'noise', 'mean'." in ImageFolder.__doc__


@pytest.mark.parametrize("name", CLASSES)
def test_bounds_are_the_librarys(name):
    kind = CLASSES[name]
    options = DESCRIPTION[kind._place[0]][kind._place[1]]["options"]
    for argument in kind._arguments.values():
        option = options.get(argument.key or "", {})
        outside = {"minimum": -1, "exclusive_minimum": 0, "maximum": 1, "exclusive_maximum": 0}
        for bound, beyond in outside.items():
            if bound in option:
                wrong = (int if option["type"] == "integer" else float)(option[bound] + beyond)
                with pytest.raises(ValueError, match=f"^{argument.name} must be {option['expected']}, got {wrong}"):
                    made(kind, **{argument.name: wrong})


def test_an_argument_that_is_not_there_suggests_the_nearest():
    for given, meant in {"lr": "learning_rate", "momentun": "momentum", "clip_norm": "clipnorm"}.items():
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{given}'; did you mean '{meant}'"):
            optimizers.SGD(**{given: 0.5})
    with pytest.raises(TypeError, match=r"StepDecay\(\): missing a required argument: 'step_size'"):
        schedules.StepDecay(0.1)


def test_importing_the_package_reads_no_description():
    program = "import swiftcnn; from swiftcnn import _described; assert not _described._description.cache_info().misses"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_class_of_ones_own_says_itself_what_it_takes():
    class Halving(schedules.StepDecay):
        rate: float

        def __init__(self, rate):
            super().__init__(rate, 5, 0.5)
            self.rate = rate

    assert list(inspect.signature(Halving).parameters) == ["rate"]
    assert Halving(0.1).settings == schedules.StepDecay(0.1, 5, 0.5).settings and Halving(0.1).name == "Halving"


def test_what_only_keras_has_is_refused_and_listed():
    with pytest.raises(ValueError, match="amsgrad=True is not supported here: expected False"):
        optimizers.Adam(amsgrad=True)
    assert "    amsgrad: False.\n" in optimizers.Adam.__doc__
