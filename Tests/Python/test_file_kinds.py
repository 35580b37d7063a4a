"""Files of other kinds than what was asked for, and names of files of other kinds than what is written."""

import gzip
import json
import zipfile

import numpy as np
import pytest
from golden import FOLDER

import swiftcnn
from swiftcnn import callbacks

FILES = FOLDER / "weights"


@pytest.fixture(scope="module")
def model():
    return swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=4)


def archive(path, *names):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, "x" * 100)


KINDS = {
    "text.pth": (lambda p: p.write_text("hello"), "a text file"),
    "page.safetensors": (lambda p: p.write_text("<!doctype html>\n<html>"), "an HTML page"),
    "lfs.pth": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "git lfs pull"),
    "a.npz": (lambda p: np.savez(p, a=np.ones(3)), "a NumPy archive"),
    "a.npy": (lambda p: np.save(p, np.ones(3)), "a NumPy array"),
    "a.gz": (lambda p: p.write_bytes(gzip.compress(b"x")), "a gzip archive"),
    "a.zip": (lambda p: archive(p, "readme.txt"), "a zip archive"),
    "script.pt": (lambda p: archive(p, "m/data.pkl", "m/code/__torch__/m.py"), "a TorchScript program"),
    "config.json": (lambda p: p.write_text(json.dumps({"a": 1})), "a JSON file"),
    "empty": (lambda p: p.touch(), "is empty"),
    "net.xml": (lambda p: p.write_text('<?xml version="1.0"?>\n<net name="a">'), "OpenVINO"),
    "a.onnx.txt": (lambda p: p.write_bytes(b"\x08\x08\x12\x07pytorch"), "an ONNX model"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_another_kind_says_what_it_is(model, tmp_path, name):
    make, message = KINDS[name]
    make(tmp_path / name)
    for read in (swiftcnn.load_model, model.load_weights, lambda path: swiftcnn.create_model("resnet20", weights=path)):
        with pytest.raises(ValueError, match=message) as error:
            read(tmp_path / name)
        assert "header should have" not in str(error.value)


def test_weights_in_place_of_a_model_say_how_they_are_used(model, tmp_path):
    model.save_weights(tmp_path / "w.safetensors", naming="native")
    for path in (FILES / "zip.pth", FILES / "old.pth", tmp_path / "w.safetensors"):
        with pytest.raises(ValueError, match=r"create_model\(name, weights=path\)"):
            swiftcnn.load_model(path)


def test_a_folder_says_what_it_is(model, tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder, not a model file"):
        swiftcnn.load_model(tmp_path)
    with pytest.raises(IsADirectoryError, match="is a folder, not one of weights"):
        model.load_weights(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\xff\x10")
    with pytest.raises(IsADirectoryError, match="a TensorFlow SavedModel"):
        swiftcnn.load_model(tmp_path)


def test_weights_in_several_files_are_read_by_index_and_by_folder(model, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    values = model.state_dict()
    names = list(values)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in parts.items():
        safetensors.save_file({name: values[name] for name in part}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: file for file, part in parts.items() for name in part}}))
    for path in (index, tmp_path):
        other = swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=4, weights=path, seed=3)
        for name, value in values.items():
            np.testing.assert_array_equal(other.get_parameter(name), value)
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.safetensors"):
        model.load_weights(tmp_path)


@pytest.mark.parametrize("naming", ["huggingface", "timm"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_b0"])
def test_names_of_hugging_face_go_there_and_back(tmp_path, name, naming):
    model, other = (swiftcnn.create_model(name, input_shape=(32, 32, 3), classes=4, seed=seed) for seed in (1, 2))
    model.save_weights(tmp_path / "w.pth", naming=naming)
    assert other.load_weights(tmp_path / "w.pth").naming == ("native" if naming == "timm" and "resnet" in name else naming)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_hugging_face_has_no_names_for_small_resnets(model, tmp_path):
    with pytest.raises(ValueError, match="huggingface"):
        model.save_weights(tmp_path / "w.pth", naming="huggingface")


WRONG = ["m.keras", "m.h5", "m.weights.h5", "m.tflite", "m.pb", "m.npz", "m.json", "M.H5"]


@pytest.mark.parametrize("name", [*WRONG, "m.pth", "m.pt", "m.bin", "m.pth.tar"])
def test_a_model_is_not_written_under_another_formats_ending(model, tmp_path, name):
    with pytest.raises(ValueError, match=r"\.safetensors" if name in WRONG else "save_weights"):
        model.save(tmp_path / name)
    with pytest.raises(ValueError, match="ends as"):
        callbacks.ModelCheckpoint(tmp_path / name)
    with pytest.raises(ValueError, match=r"\.onnx"):
        model.export(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*WRONG, "m.onnx"])
def test_weights_are_not_written_under_another_formats_ending(model, tmp_path, name):
    with pytest.raises(ValueError, match=r"\.pth"):
        model.save_weights(tmp_path / name)
    with pytest.raises(ValueError, match="ends as"):
        callbacks.ModelCheckpoint(tmp_path / name, save_weights_only=True)
    assert not list(tmp_path.iterdir())


def test_the_ending_chooses_the_format(model, tmp_path):
    for name in ("m", "m.safetensors", "m.v1.5"):
        model.save(tmp_path / name)
        assert swiftcnn.load_model(tmp_path / name).count_params() == model.count_params()
    for name in ("w.pth", "w.bin", "w.PT"):
        model.save_weights(tmp_path / name)
        assert zipfile.is_zipfile(tmp_path / name)
    model.save(tmp_path / "m.onnx")
    assert swiftcnn.load_model(tmp_path / "m.onnx").count_params() == model.count_params()
    with pytest.raises(ValueError, match="without training state"):
        model.save(tmp_path / "m.onnx", include_optimizer=True)
    with pytest.raises(ValueError, match="ends as ONNX models do"):
        callbacks.ModelCheckpoint(tmp_path / "m.onnx")


def test_a_checkpoint_of_weights_may_be_pytorchs(tmp_path):
    model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 3), classes=3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.int64)
    keep = callbacks.ModelCheckpoint(tmp_path / "{epoch}.pth", save_weights_only=True)
    model.fit(x, y, epochs=1, verbose=0, callbacks=[keep])
    assert model.load_weights(tmp_path / "1.pth").loaded == len(model.parameters)
