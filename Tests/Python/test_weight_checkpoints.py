"""Weights in the checkpoints of training scripts: what stands beside the tensors, where they lie, and what they are called."""

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import uuid
import warnings

import numpy as np
import pytest
import torch_files
from torch_files import Tensor, state

import swiftcnn


def make(name="resnet20", classes=4, seed=1, channels=3, **options):
    return swiftcnn.create_model(name, input_shape=(16, 16, channels), classes=classes, seed=seed, **options)


@pytest.fixture(scope="module")
def trained():
    return make(seed=7)


def loaded(trained, value, path, factor=1.0, protocol=2):
    """The report on loading `value`, after a check that the weights are the trained ones."""
    torch_files.save(value, path, protocol)
    model = trained.clone()
    model.load_state_dict({name: np.zeros_like(value) for name, value in model.state_dict().items()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = model.load_weights(path)
    assert report.loaded == len(model.parameters) and report.matched_by == "name"
    for name, expected in trained.state_dict().items():
        np.testing.assert_array_equal(model.get_parameter(name), expected * np.float32(factor), err_msg=name)
    return report


# --------------------------------------------------------------------------------------------- what stands beside tensors


class Mode(enum.Enum):
    FAST = 1


class Bits(enum.IntFlag):
    A = 1
    B = 2


@dataclasses.dataclass
class Settings:
    rate: float = 0.1
    sizes: list = dataclasses.field(default_factory=lambda: [1, 2])


@dataclasses.dataclass(slots=True)
class Slots:
    rate: float = 0.1


class Meter:
    def __init__(self):
        self.history = {"loss": [0.5]}
        self.me = self  # a ring


class Ordered(collections.OrderedDict):
    pass


class Mapping(dict):
    pass


class Sequence(list):
    pass


class WithArguments:
    def __new__(cls, *, size):
        return super().__new__(cls)

    def __getnewargs_ex__(self):
        return (), {"size": 3}


Point = collections.namedtuple("Point", "x y")


BESIDE = {
    "namespace": argparse.Namespace(lr=0.1, data_path="/x", nested=argparse.Namespace(a=[1])),
    "numpy float": np.float64(71.2),
    "numpy integer": np.int32(3),
    "numpy bool": np.True_,
    "numpy array": np.arange(6.0).reshape(2, 3),
    "numpy array of objects": np.array([None, "a", {"b": 1}], dtype=object),
    "numpy record": np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
    "numpy dtype": np.dtype("float32"),
    "numpy generator": np.random.default_rng(0),
    "random state": np.random.RandomState(0).get_state(),
    "path": pathlib.PurePosixPath("runs/x"),
    "path of this system": pathlib.Path("runs/x"),
    "date": datetime.datetime(2026, 11, 29, 12, tzinfo=datetime.timezone.utc),
    "span": datetime.timedelta(seconds=3),
    "set": {1, 2},
    "frozen set": frozenset({"a"}),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "counter": collections.Counter("abca"),
    "deque": collections.deque([1, 2], maxlen=2),
    "ordered": Ordered(a=1),
    "mapping": Mapping(a=1),
    "sequence": Sequence([1]),
    "dataclass": Settings(),
    "slots": Slots(),
    "enum": Mode.FAST,
    "flags": Bits.A | Bits.B,
    "named tuple": Point(1, 2),
    "ring": Meter(),
    "arguments by name": WithArguments(size=3),
    "function": functools.partial(print, end=""),
    "class": Settings,
    "complex": 1 + 2j,
    "decimal": decimal.Decimal("0.1"),
    "fraction": fractions.Fraction(1, 3),
    "uuid": uuid.UUID(int=5),
    "bytes": b"\xff" * 300,
    "bytearray": bytearray(b"abc"),
    "long": 1 << 100,
    "longest": 1 << 5000,
    "negative": -(1 << 40),
    "slice": slice(1, 2),
    "range": range(3),
    "text": "ä" * 5000,
    "half a pair": "\udc80",
    "none": None,
    "history": [{"epoch": 1, "loss": 0.5}] * 3,
    "keys": {(1, 2): 3, None: 4, 5: Tensor(np.ones(3, np.float32))},
    "scalar tensor": Tensor(np.float32(71.2)),
    "list of tensors": [Tensor(np.ones(2, np.float32))],
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("what", BESIDE)
def test_what_stands_beside_the_tensors_is_passed_over(trained, tmp_path, what, protocol):
    value = {"before": BESIDE[what], "state_dict": state(trained), "after": [BESIDE[what]], "epoch": 3}
    report = loaded(trained, value, tmp_path / "c.pth", protocol=protocol)
    assert report.source == "state_dict" and report.prefix == ""


@pytest.mark.parametrize("kind", [dict, collections.OrderedDict, Ordered, Mapping, functools.partial(collections.defaultdict, list)])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_dictionary_of_any_class_holds_tensors(trained, tmp_path, kind, protocol):
    assert loaded(trained, kind(state(trained)), tmp_path / "c.pth", protocol=protocol).source == ""
    assert loaded(trained, kind(net=kind(state(trained))), tmp_path / "c.pth", protocol=protocol).source == "net"


def test_no_class_of_a_pickle_is_called(trained, tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "made"), "w")

    loaded(trained, {"trap": Trap(), "model": state(trained)}, tmp_path / "c.pth")
    assert not (tmp_path / "made").exists()


# ----------------------------------------------------------------------------------------------------- where tensors lie

KEYS = ["state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights", "params", "module", "student",
        "teacher", "model_ema", "ema_state_dict", "state_dict_ema", "ema", "anything", "a.b"]


@pytest.mark.parametrize("key", KEYS)
def test_weights_are_found_under_any_key(trained, tmp_path, key):
    assert loaded(trained, {"epoch": 3, key: state(trained), "best": Tensor(np.float32(1))}, tmp_path / "c.pth").source == key


def test_weights_are_found_in_dictionaries_within(trained, tmp_path):
    value = {"ema": {"decay": 0.9, "module": state(trained)}, "model": state(trained, factor=2)}
    assert loaded(trained, value, tmp_path / "c.pth").source == "ema/module"
    assert loaded(trained, [{"lr": 1}, state(trained)], tmp_path / "c.pth").source == "1"
    assert loaded(trained, {"last": {"best": {"model": state(trained)}}}, tmp_path / "c.pth").source == "last/best/model"


@pytest.mark.parametrize(
    ("chosen", "other"),
    [("model_ema", "model"), ("state_dict_ema", "state_dict"), ("ema_state_dict", "model_state"), ("ema", "net"),
     ("teacher", "student"), ("swa_model", "model"), ("state_dict", "best"), ("model", "gradients")])
def test_averaged_weights_go_first_and_then_usual_names(trained, tmp_path, chosen, other):
    for keys in ((chosen, other), (other, chosen)):
        value = {key: state(trained, factor=1 if key == chosen else 2) for key in keys}
        assert loaded(trained, value, tmp_path / "c.pth").source == chosen


def test_where_more_tensors_match_goes_before_what_is_averaged(trained, tmp_path):
    # An average of what is learned alone, without running statistics.
    part = {name: value for name, value in state(trained, factor=2).items() if "running" not in name}
    assert loaded(trained, {"model_ema": part, "model": state(trained)}, tmp_path / "c.pth").source == "model"
    other = state(make(name="resnet32"))
    assert loaded(trained, {"teacher": other, "student": state(trained)}, tmp_path / "c.pth").source == "student"


# ------------------------------------------------------------------------------------------------- what tensors are called

PREFIXES = ["module.", "model.", "resnet.", "backbone.", "encoder.", "module.model.", "_orig_mod.", "module._orig_mod.",
            "model._orig_mod.module.", "net.features.body.", "0.", "encoder_q.", "_forward_module."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_prefix_is_found_and_told(trained, tmp_path, prefix):
    report = loaded(trained, {"state_dict": state(trained, prefix)}, tmp_path / "c.pth")
    assert (report.source, report.prefix, list(report.passed_over)) == ("state_dict", prefix, [])


def test_wrapped_parts_are_found(trained, tmp_path):
    wrapped = {name.replace("layer1.", "layer1._orig_mod.").replace("layer2.0.", "layer2._fsdp_wrapped_module.0._checkpoint_wrapped_module."): value
               for name, value in state(trained, "_orig_mod.").items()}
    assert loaded(trained, wrapped, tmp_path / "c.pth").prefix == "_orig_mod."


def test_other_tensors_beside_a_prefix_are_passed_over(trained, tmp_path):
    others = {"criterion.weight": Tensor(np.ones(4, np.float32)), "queue": Tensor(np.ones((2, 3), np.float32))}
    report = loaded(trained, {"state_dict": state(trained, "model.") | others}, tmp_path / "c.pth")
    assert list(report.passed_over) == ["state_dict/criterion.weight", "state_dict/queue"]
    # AveragedModel's, and a copy that follows slowly: which of two alike goes first.
    report = loaded(trained, state(trained, "module.") | {"n_averaged": Tensor(np.int64(5))}, tmp_path / "c.pth")
    assert list(report.passed_over) == ["n_averaged"]
    both = state(trained, "model.", factor=2) | state(trained, "ema_model.module.")
    assert loaded(trained, {"state_dict": both}, tmp_path / "c.pth").prefix == "ema_model.module."
    both = state(trained, "module.encoder_q.") | state(trained, "module.encoder_k.", factor=2)
    assert loaded(trained, {"state_dict": both}, tmp_path / "c.pth").prefix == "module.encoder_q."


def test_a_tensor_too_many_within_the_prefix_is_an_error(trained, tmp_path):
    path = torch_files.save({"net": state(trained, "a.") | {"a.extra": Tensor(np.ones(2, np.float32))}}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"under 'net/a\.'.*1 left over: net/a\.extra"):
        make().load_weights(path)


# ------------------------------------------------------------------------------------------------------------- refusals


class Network:
    def __init__(self):
        self._modules = {}
        self._parameters = {"weight": Tensor(np.ones(3, np.float32))}


@pytest.mark.parametrize("value", [Network(), {"model": Network(), "epoch": 3}, {"model": Network(), "loss": Tensor(np.float32(1))}])
def test_a_whole_network_is_refused_with_a_hint(tmp_path, value):
    path = torch_files.save(value, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"Network.*state_dict\(\)"):
        make().load_weights(path)


@pytest.mark.parametrize(("value", "message"), [
    ({"a": 1}, "it has 'a'"), (3, "no names at all"), (Tensor(np.ones(3, np.float32)), "one tensor"),
    (argparse.Namespace(a=1), "argparse.Namespace"), ({}, "no names at all")])
def test_a_file_without_tensors_says_what_it_has(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        make().load_weights(torch_files.save(value, tmp_path / "c.pth"))


@pytest.mark.parametrize("strict", [True, False])
def test_a_file_of_which_nothing_fits_is_an_error(trained, tmp_path, strict):
    path = torch_files.save({"a.weight": Tensor(np.ones(3, np.float32))}, tmp_path / "c.pth")
    model = make()
    before = model.get_weights()
    with pytest.raises(ValueError, match="no tensor in .* has name and shape .* left over: a.weight"):
        model.load_weights(path, strict=strict)
    # Names that are known, shapes that are not.
    wide = swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=5, width_coefficient=2)
    with pytest.raises(ValueError, match="misshapen"):
        wide.load_weights(torch_files.save(state(trained), path), strict=strict)
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_what_is_left_out_is_a_warning_with_counts(trained, tmp_path):
    tensors = {name: value for name, value in state(trained).items() if not name.startswith("layer3.2")}
    path = torch_files.save(tensors | {"extra": Tensor(np.ones(3, np.float32))}, tmp_path / "c.pth")
    model = make()
    count = len(model.parameters)
    with pytest.warns(UserWarning, match=rf"{count - 10} loaded, 10 missing, 1 left over, 0 misshapen"):
        report = model.load_weights(path, strict=False)
    assert report.loaded == count - 10 and len(report.missing) == 10
    with pytest.warns(UserWarning, match="0 missing, 0 left over, 1 misshapen"):
        make(channels=1).load_weights(torch_files.save(state(trained), path), skip_mismatch=True)


# ------------------------------------------------------------------------------------------------------- other channels


def adapted(weight, channels):
    """timm's rule for a first convolution, of `in_chans` channels."""
    if channels == 1:
        return weight.sum(axis=1, keepdims=True)
    count = weight.shape[1]
    repeated = np.concatenate([weight] * -(-channels // count), axis=1)[:, :channels]
    return repeated * (np.float32(count) / np.float32(channels))


@pytest.mark.parametrize("name", ["resnet20", "efficientnet_b0", "tf_efficientnet_lite0"])
@pytest.mark.parametrize(("stored", "wanted"), [(3, 1), (3, 4), (3, 2), (3, 7), (1, 3), (4, 3), (4, 1), (1, 2)])
def test_a_first_convolution_is_converted_to_other_channels(tmp_path, name, stored, wanted):
    source = make(name, seed=3, channels=stored)
    stem = source.parameters[0].name
    path = torch_files.save(state(source), tmp_path / "c.pth")
    expected = adapted(source.get_parameter(stem), wanted)
    with pytest.warns(UserWarning, match="another number of channels"):
        created = make(name, channels=wanted, weights=path)
    np.testing.assert_allclose(created.get_parameter(stem), expected, rtol=1e-6, atol=1e-7)
    model = make(name, channels=wanted)
    with pytest.warns(UserWarning, match="another number of channels"):
        report = model.load_weights(path)
    assert len(report.converted) == 1 and stem in report.converted[0] and not report.misshapen
    np.testing.assert_array_equal(model.get_parameter(stem), created.get_parameter(stem))
    with pytest.warns(UserWarning, match="1 misshapen"):
        assert make(name, channels=wanted).load_weights(path, strict=False).misshapen


def test_only_a_first_convolution_is_converted(trained, tmp_path):
    tensors = state(trained)
    second = "layer1.0.conv1.weight"
    tensors[second] = Tensor(tensors[second].array[:, :8])
    with pytest.raises(ValueError, match=rf"1 misshapen: {second}"):
        make().load_weights(torch_files.save(tensors, tmp_path / "c.pth"))


def test_weights_declared_large_are_refused_before_they_are_read(trained, tmp_path):
    tensors = state(trained)
    huge = Tensor(np.zeros(1, np.float32))
    huge.array = np.lib.stride_tricks.as_strided(huge.array, (16, 1 << 40, 3, 3), (0, 0, 0, 0))
    tensors["conv1.weight"] = huge
    huge.array = huge.array.view(type("Declared", (np.ndarray,), {"size": 1, "tobytes": lambda self: bytes(4)}))
    with pytest.raises(ValueError, match=r"conv1\.weight \[16, 1099511627776, 3, 3\]"):
        make().load_weights(torch_files.save(tensors, tmp_path / "c.pth"))
