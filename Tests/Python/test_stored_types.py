"""What a file has of the numbers of a model: float32, or rounded to bfloat16."""

import json
import os
import struct

import numpy as np
import pytest
from conftest import make_model

import swiftcnn
from swiftcnn import models


def contents(path):
    """The header of a safetensors file and the bytes of each tensor."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    metadata = header.pop("__metadata__", {})
    return metadata, {name: (row, body[slice(*row["data_offsets"])]) for name, row in header.items()}


def write(path, tensors, metadata=None):
    """A safetensors file of rows of name, dtype, shape and bytes."""
    header, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(row[3] for row in tensors))
    return path


def halved(array):
    """The bits of bfloat16 that are nearest, by whole numbers."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def widened(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(model):
    return {name: widened(halved(array)) for name, array in model.state_dict().items()}


def same(one, other):
    assert list(one) == list(other)
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], name)


def test_a_file_in_bfloat16_has_half_the_size_and_the_nearest_numbers(tmp_path):
    model, path, whole = make_model(), tmp_path / "half.safetensors", tmp_path / "whole.safetensors"
    before = model.state_dict()
    model.save(path, dtype="bfloat16")
    model.save(whole)
    same(model.state_dict(), before)
    metadata, tensors = contents(path)
    assert json.loads(metadata["swiftcnn.model"])["dtype"] == "bfloat16"
    assert {row["dtype"] for row, _ in tensors.values()} == {"BF16"}
    for name, array in before.items():
        assert tensors[name][0]["shape"] == list(array.shape)
        assert tensors[name][1] == halved(array).tobytes()
    assert sum(len(data) for _, data in tensors.values()) * 2 == sum(array.nbytes for array in before.values())
    loaded = models.load_model(path)
    same(loaded.state_dict(), rounded(model))
    assert json.loads(contents(whole)[0]["swiftcnn.model"])["dtype"] == "float32"


def test_a_model_in_a_file_of_bfloat16_computes_with_its_numbers(tmp_path, data):
    model = make_model()
    model.save(tmp_path / "m.safetensors", dtype="bfloat16")
    other = make_model(seed=3)
    other.load_state_dict(rounded(model))
    x = data[0]
    np.testing.assert_array_equal(
        models.load_model(tmp_path / "m.safetensors").predict(x, verbose=0), other.predict(x, verbose=0))


@pytest.mark.parametrize(("name", "naming"), [("w.safetensors", None), ("w.safetensors", "timm"), ("w.pth", None), ("w.pth", "timm")])
def test_weights_in_bfloat16_come_back_rounded(tmp_path, name, naming):
    model, path = make_model(), tmp_path / name
    model.save_weights(path, naming=naming)
    size = os.path.getsize(path)
    model.save_weights(path, naming=naming, dtype="bfloat16")
    assert os.path.getsize(path) < 0.6 * size
    other = make_model(seed=3)
    assert not other.load_weights(path).missing
    same(other.state_dict(), rounded(model))


class _Named:
    name = "bfloat16"


class _Typed:
    dtype = _Named()


@pytest.mark.parametrize("dtype", [_Named(), _Typed, type("bfloat16", (), {})], ids=["NumPy", "JAX", "ml_dtypes"])
def test_other_libraries_types_are_understood(tmp_path, dtype):
    make_model().save(tmp_path / "m.safetensors", dtype=_Typed() if dtype is _Typed else dtype)
    assert {row["dtype"] for row, _ in contents(tmp_path / "m.safetensors")[1].values()} == {"BF16"}


def test_pytorchs_types_are_understood(tmp_path):
    torch = pytest.importorskip("torch")
    make_model().save(tmp_path / "m.safetensors", dtype=torch.bfloat16)
    assert {row["dtype"] for row, _ in contents(tmp_path / "m.safetensors")[1].values()} == {"BF16"}


def test_training_goes_on_from_float32_alone(tmp_path, model, data):
    path = tmp_path / "m.safetensors"
    model.train_on_batch(*data)
    with pytest.raises(ValueError, match="dtype is 'bfloat16'.*training.*'float32'"):
        model.save(path, include_optimizer=True, dtype="bfloat16")
    assert not path.exists()
    model.save(path, dtype="bfloat16")  # where nothing is said, without the training
    assert not models.load_model(path).compiled
    model.save(path)
    assert models.load_model(path).compiled


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("m.safetensors", "float16", "unknown dtype 'float16'"),
        ("m.safetensors", np.float64, "unknown dtype 'float64'"),
        ("m.safetensors", None, "dtype must be a string"),
        ("m.safetensors", 16, "dtype must be a string"),
        ("m.onnx", "bfloat16", "ONNX models are written in float32"),
        ("m.keras", "bfloat16", "Keras's models"),
        ("m.h5", "bfloat16", "HDF5"),
    ],
)
def test_what_is_not_written_is_refused(tmp_path, name, dtype, message):
    for save in [make_model().save, *([make_model().save_weights] if name.endswith("safetensors") else [])]:
        with pytest.raises(ValueError, match=message):
            save(tmp_path / name, dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_types_may_be_mixed_in_a_file(tmp_path):
    source, random = make_model(), np.random.default_rng(1)
    types = {
        "BF16": lambda a: (halved(a), widened(halved(a))),
        "F16": lambda a: (a.astype("<f2"), a.astype("<f2").astype(np.float32)),
        "F32": lambda a: (a, a),
        "F64": lambda a: (a.astype("<f8") * (1 + 1e-12), a),
    }
    rows, expected = [], {}
    for name, array in source.state_dict().items():
        kind = random.choice(list(types))
        stored, expected[name] = types[kind](array)
        rows.append((name, kind, list(array.shape), stored.tobytes()))
        if name.endswith("running_var"):
            rows.append((name.replace("running_var", "num_batches_tracked"), "I64", [], struct.pack("<q", 7)))
    assert {row[1] for row in rows} == {*types, "I64"}
    other = make_model(seed=3)
    other.load_weights(write(tmp_path / "w.safetensors", rows))
    same(other.state_dict(), expected)
    # The same as a model file, whose network comes from elsewhere.
    source.save(tmp_path / "m.safetensors")
    metadata, _ = contents(tmp_path / "m.safetensors")
    write(tmp_path / "m.safetensors", [row for row in rows if row[1] != "I64"], metadata)
    same(swiftcnn.load_model(tmp_path / "m.safetensors").state_dict(), expected)


def test_shards_may_be_of_any_type(tmp_path):
    source, expected, shards, places = make_model(), {}, {"a.safetensors": [], "b.safetensors": []}, {}
    for index, (name, array) in enumerate(source.state_dict().items()):
        file, kind = ("a.safetensors", "BF16") if index % 2 else ("b.safetensors", "F16")
        stored = halved(array) if index % 2 else array.astype("<f2")
        expected[name] = widened(stored) if index % 2 else stored.astype(np.float32)
        shards[file].append((name, kind, list(array.shape), stored.tobytes()))
        places[name] = file
    for file, rows in shards.items():
        write(tmp_path / file, rows)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    other = make_model(seed=3)
    other.load_weights(tmp_path)
    same(other.state_dict(), expected)
