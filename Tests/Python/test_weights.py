"""Files of weights of other libraries."""

import zipfile

import numpy as np
import pytest
from golden import FOLDER

import formula  # Tests/Golden
import swiftcnn
from swiftcnn import layers, models

FILES = FOLDER / "weights"


def make(name="resnet20", classes=10, seed=1, **options):
    return swiftcnn.create_model(name, input_shape=(32, 32, 3), classes=classes, seed=seed, **options)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("file", "naming"),
    [("w.pth", None), ("w.pt", "timm"), ("w.safetensors", "torchvision"), ("w.pth", "efficientnet_pytorch")],
)
def test_weights_go_to_another_librarys_names_and_back(tmp_path, file, naming):
    model, other = make("efficientnet_b0"), make("efficientnet_b0", seed=2)
    model.save_weights(tmp_path / file, naming=naming)
    report = other.load_weights(tmp_path / file)
    assert same(model, other)
    assert report.loaded == len(model.parameters)
    assert not report.missing and not report.left_over and not report.misshapen and report.other_classes is None


def test_a_pth_file_is_an_archive_that_is_whole(tmp_path):
    make().save_weights(tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        assert archive.testzip() is None
        assert archive.read("weights/byteorder") == b"little"


def test_a_pth_file_is_what_torch_loads(tmp_path):
    torch = pytest.importorskip("torch")
    model = make()
    model.save_weights(tmp_path / "w.pth")
    state = torch.load(tmp_path / "w.pth", weights_only=True)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(state[name].numpy(), value)


def test_another_number_of_classes_is_told_and_the_rest_is_loaded(tmp_path):
    model = make(classes=7)
    model.save_weights(tmp_path / "w.pth")
    with pytest.warns(UserWarning, match="7 classes"):
        other = make(classes=3, weights=tmp_path / "w.pth")
    np.testing.assert_array_equal(other.get_parameter("conv1.weight"), model.get_parameter("conv1.weight"))
    with pytest.warns(UserWarning, match="7 classes"):
        assert other.load_weights(tmp_path / "w.pth").other_classes == 7


def test_files_of_which_nothing_fits_are_errors_that_list_it():
    model = make()
    path = FILES / "zip.pth"
    before = model.get_weights()
    for options in ({}, {"strict": False}, {"skip_mismatch": True}):
        with pytest.raises(ValueError, match=r"missing: .*conv1\.weight.*left over: conv\.weight, conv\.bias"):
            model.load_weights(path, **options)
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_code_in_a_pickle_is_refused_by_name():
    with pytest.raises(ValueError, match=r"torch\.nn\.modules\.linear\.Linear"):
        make().load_weights(FILES / "module.pth")


def keras_network(units=3):
    return models.Sequential([
        layers.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(),
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.PReLU(shared_axes=[1, 2]),
        layers.Conv2D(5, 1, use_bias=False), layers.BatchNormalization(scale=False), layers.Flatten(),
        layers.Dense(units)])


@pytest.mark.parametrize("file", ["keras.weights.h5", "keras.h5"])
def test_keras_files_give_keras_predictions(file):
    pytest.importorskip("h5py")
    model = keras_network()
    report = model.load_weights(FILES / file)
    assert report.naming == "keras" and report.loaded == len(model.parameters)
    np.testing.assert_allclose(model.predict(formula.values("x", (2, 8, 8, 3))), np.load(FILES / "keras.npy"), rtol=1e-4, atol=1e-5)


def test_keras_files_for_another_number_of_classes_keep_the_head():
    pytest.importorskip("h5py")
    model = keras_network(units=5)
    with pytest.warns(UserWarning, match="3 classes"):
        report = model.load_weights(FILES / "keras.weights.h5")
    assert report.other_classes == 3 and report.loaded == len(model.parameters) - 2


def test_keras_files_that_do_not_fit_are_listed():
    pytest.importorskip("h5py")
    model = make()
    before = model.get_weights()
    with pytest.raises(ValueError, match="missing"):
        model.load_weights(FILES / "keras.weights.h5")
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_damaged_hdf5_is_an_error(tmp_path):
    pytest.importorskip("h5py")
    (tmp_path / "w.h5").write_bytes((FILES / "keras.weights.h5").read_bytes()[:3000])
    with pytest.raises(ValueError, match="not a file of Keras's weights"):
        keras_network().load_weights(tmp_path / "w.h5")
