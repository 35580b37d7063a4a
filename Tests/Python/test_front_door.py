"""What users of timm, torchvision and Keras type first: their names for models, arguments and attributes."""

import os
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
from conftest import make_model
from PIL import Image

import swiftcnn
from swiftcnn import callbacks, layers, metrics, utils


@pytest.fixture
def folder(tmp_path):
    for name, value in (("cat", 20), ("dog", 220)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(5):
            pixels = np.full((30, 40, 3), value + index, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{index}.png")
    return tmp_path / "pictures"


# ------------------------------------------------------------------------------------------------------ models by name


def test_tags_of_timm_prepare_pictures_and_say_where_the_weights_are():
    with pytest.warns(
        UserWarning, match=r"https://huggingface.co/timm/resnet18.a3_in1k and give its path as 'weights'"
    ):
        model = swiftcnn.create_model("hf-hub:timm/resnet18.a3_in1k")
    assert model.input_shape == (None, 160, 160, 3)
    assert model.preprocessing["resize"] == 168 and model.preprocessing["interpolation"] == "bicubic"


def test_weights_of_a_tag_load_without_a_warning(tmp_path):
    options = {"input_shape": (32, 32, 3), "classes": 4}
    swiftcnn.create_model("resnet18", **options).save_weights(tmp_path / "model.safetensors", naming="timm")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        swiftcnn.create_model("resnet18.a1_in1k", weights=tmp_path / "model.safetensors", **options)


@pytest.mark.parametrize(
    ("argument", "word"),
    [
        ("num_classes", "'classes'.* 'include_top'.* 'pooling'"),
        ("in_chans", "'input_shape'"),
        ("pretrained", "'weights'"),
        ("checkpoint_path", "'weights'"),
        ("drop_rate", "'dropout'"),
        ("drop_path_rate", "'drop_path'"),
        ("global_pool", "'pooling'"),
        ("strict", "strict false"),
        ("progress", "nothing is downloaded"),
        ("input_tensor", "call it with the tensor"),
        ("width_coeficient", "did you mean 'width_coefficient'"),
    ],
)
def test_arguments_of_others_are_answered_by_name(argument, word):
    with pytest.raises(TypeError, match=f"create_model: unknown option '{argument}'.*{word}"):
        swiftcnn.create_model("resnet18", **{argument: object()})


@pytest.mark.parametrize("weights", ["imagenet", "DEFAULT", "IMAGENET1K_V2"])
def test_names_of_weights_are_files_that_are_not_there(weights):
    with pytest.raises(FileNotFoundError, match="no weights come with the package"):
        swiftcnn.create_model("resnet18", weights=weights)


@pytest.mark.parametrize(("name", "word"), [("forward_features", "include_top=False"), ("cuda", "processor")])
def test_attributes_of_others_are_answered_by_name(name, word):
    with pytest.raises(AttributeError, match=f"{name}.*{word}"):
        getattr(make_model(), name)
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        make_model().nothing  # noqa: B018


# ------------------------------------------------------------------------------------------------------ feature maps


def test_feature_maps_are_those_of_the_whole_network(tmp_path):
    whole = make_model(classes=3)
    whole.save_weights(tmp_path / "w.safetensors", naming="native")
    model = make_model(features_only=True, out_indices=[2, 0], weights=tmp_path / "w.safetensors")
    assert model.feature_info == [("layer3.2", 64, 4), ("layer1.2", 16, 1)]
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    for row, found in zip(model.feature_info, model.predict(x, verbose=0), strict=True):
        assert found.shape[-1] == row.channels and found.shape[1] * row.reduction == 8
        np.testing.assert_array_equal(found, whole.predict(x, output=row.name, verbose=0))
    model.save(tmp_path / "features.safetensors")
    assert swiftcnn.load_model(tmp_path / "features.safetensors").feature_info == model.feature_info


def test_layers_go_on_from_feature_maps(data):
    backbone = make_model(features_only=True)
    fine, _, coarse = backbone.outputs
    joined = layers.Concatenate()([layers.GlobalAveragePooling2D()(fine), layers.GlobalAveragePooling2D()(coarse)])
    model = swiftcnn.Model(backbone.inputs, layers.Dense(10, activation="softmax")(joined))
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = backbone.get_parameter("conv1.weight")
    model.fit(*data, verbose=0)
    assert not np.array_equal(before, backbone.get_parameter("conv1.weight"))


@pytest.mark.parametrize("indices", [[3], "12", [0, -3]])
def test_maps_that_are_not_there(indices):
    with pytest.raises(ValueError, match="out_indices"):
        make_model(features_only=True, out_indices=indices)


# ------------------------------------------------------------------------------------------------------ pictures


def test_classify_goes_on_past_bad_pictures(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"nothing of the kind")
    model = make_model(input_shape=(8, 8, 3))
    good = np.zeros((9, 9, 3), np.uint8)
    with pytest.warns(UserWarning) as told:
        found = model.classify([good, tmp_path / "bad.jpg", b"?", good], top=2, batch_size=2, errors="warn")
    assert [len(each) for each in found] == [2, 0, 0, 2] and found[0] == found[3] == model.classify(good, top=2)
    assert "pictures[1]" in str(told[0].message) and "bad.jpg" in str(told[0].message)
    assert "pictures[2]" in str(told[1].message)
    with pytest.raises(ValueError, match=r"bad\.jpg"):
        model.classify([good, tmp_path / "bad.jpg"])
    with pytest.raises(ValueError, match="errors must be 'raise' or 'warn'"):
        model.classify([good], errors="ignore")


def test_a_folder_is_no_picture(folder):
    for call in (make_model(input_shape=(8, 8, 3)).classify, utils.load_img):
        with pytest.raises(IsADirectoryError, match=r"is a folder: give its files.*ImageFolder"):
            call(folder)


def test_image_datasets_have_kerass_arguments(folder, capsys):
    train, held = utils.image_dataset_from_directory(
        folder, label_mode="binary", image_size=(8, 6), batch_size=3, validation_split=0.2, subset="both", seed=3
    )
    assert capsys.readouterr().out == "Found 8 files and 2 files of 2 classes.\n"
    x, y = next(iter(train))
    assert x.shape == (3, 8, 6, 3) and y.shape == (3, 1) and y.dtype == np.float32
    assert [bool(value) for value in y[:, 0]] == [bool(value) for value in x[:, 0, 0, 0] > 100]
    inputs = layers.Input((8, 6, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(inputs))
    model = swiftcnn.Model(inputs, layers.Dense(1, activation="sigmoid")(pooled))
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    model.fit(train, validation_data=held, verbose=0)
    grey = utils.image_dataset_from_directory(
        folder, color_mode="grayscale", label_mode="categorical", crop_to_aspect_ratio=True, verbose=False
    )
    x, y = next(iter(grey))
    assert x.shape == (10, 256, 256, 1) and y.shape == (10, 2)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"labels": [0, 1]}, "load_img"),
        ({"label_mode": None}, "predict"),
        ({"pad_to_aspect_ratio": True}, "crop_to_aspect_ratio"),
        ({"follow_links": False}, "follow_links"),
        ({"data_format": "channels_first"}, "channels_last"),
        ({"validation_split": 0.2}, "subset"),
        ({"label_mode": "binary", "class_names": ["cat"]}, "binary.*1 class"),
    ],
)
def test_what_image_datasets_cannot_do(folder, options, word):
    with pytest.raises(ValueError, match=word):
        utils.image_dataset_from_directory(folder, **options)


# ------------------------------------------------------------------------------------------------------ drawings


def test_networks_are_drawn(tmp_path):
    utils.plot_model(make_model(), tmp_path / "model.svg", show_layer_names=True)
    drawn = (tmp_path / "model.svg").read_text(encoding="utf-8")
    assert drawn.startswith("<svg ") and ">layer1.0.conv1<" in drawn and "8×8×16" not in drawn
    utils.plot_model(make_model(), str(tmp_path / "model.svg"), show_shapes=True)
    drawn = (tmp_path / "model.svg").read_text(encoding="utf-8")
    assert ">layer1.0.conv1<" not in drawn and "8×8×16" in drawn
    with pytest.raises(ValueError, match=r"must end in \.svg"):
        utils.plot_model(make_model(), tmp_path / "model.png")


# ------------------------------------------------------------------------------------------------------ TensorBoard


class Message:
    """What stands for a message of protobuf's."""

    def __init__(self, **fields):
        vars(self).update(fields)
        self.node = types.SimpleNamespace(add=lambda **fields: self.nodes.append(fields))
        self.nodes = []

    def SerializeToString(self):
        return self.nodes


class Summary(Message):
    Value = Message


@pytest.fixture
def events(monkeypatch):
    """The events of each folder, by a stand-in for the package."""
    written = {}

    class Writer:
        def __init__(self, folder):
            self.events = written.setdefault(os.path.basename(folder), [])
            self.add_event = self.events.append

        def flush(self):
            pass

        def close(self):
            self.events.append("closed")

    def module(name, **contents):
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**contents))

    module("tensorboard.summary.writer.event_file_writer", EventFileWriter=Writer)
    module("tensorboard.compat.proto.event_pb2", Event=Message)
    module("tensorboard.compat.proto.summary_pb2", Summary=Summary, HistogramProto=Message)
    module("tensorboard.compat.proto.graph_pb2", GraphDef=Message)
    for name in ("tensorboard", "tensorboard.summary", "tensorboard.summary.writer"):
        module(name)
    for name in ("tensorboard.compat", "tensorboard.compat.proto"):
        module(name)
    return written


def test_tensorboard_gets_curves_graph_and_histograms(model, data, events, tmp_path):
    board = callbacks.TensorBoard(tmp_path, histogram_freq=2, update_freq=2, write_steps_per_second=True)
    history = model.fit(*data, batch_size=10, epochs=2, validation_data=data, verbose=0, callbacks=[board])
    train, validation = events["train"], events["validation"]
    assert train[-1] == validation[-1] == "closed"
    assert {"name": "conv1", "op": "conv2d", "input": ["input", "conv1/weight"]} in train[0].graph_def
    rows = [(event.step, row) for event in train[1:-1] for row in event.summary.value]
    curves = {}
    for step, row in rows:
        if hasattr(row, "simple_value"):
            curves.setdefault(row.tag, []).append((step, row.simple_value))
    assert curves["epoch_loss"] == list(enumerate(history.history["loss"]))
    assert [step for step, _ in curves["batch_accuracy"]] == [2, 4, 6, 8]
    assert curves["epoch_learning_rate"] == [(0, model.learning_rate), (1, model.learning_rate)]
    assert len(curves["epoch_steps_per_second"]) == 2
    rows = {(event.step, row.tag): row for event in validation[:-1] for row in event.summary.value}
    assert rows[1, "epoch_accuracy"].simple_value == history.history["val_accuracy"][1]
    made = [row.histo for event in train[1:-1] for row in event.summary.value if row.tag == "conv1/weight/histogram"]
    assert len(made) == 1 and made[0].num == sum(made[0].bucket) == 16 * 9


def test_tensorboard_goes_on_where_the_checkpoint_was(model, data, events, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    model.fit(*data, batch_size=10, epochs=1, verbose=0, callbacks=[callbacks.TensorBoard(tmp_path, update_freq=1)])
    del events["train"]
    options = {"batch_size": 10, "verbose": 0}
    model.fit(*data, epochs=1, callbacks=[callbacks.TensorBoard(tmp_path), callbacks.ModelCheckpoint(path)], **options)
    del events["train"]
    resumed = swiftcnn.load_model(path)
    board = callbacks.TensorBoard(tmp_path, update_freq=1)
    resumed.fit(*data, epochs=2, callbacks=[board, callbacks.ModelCheckpoint(path)], resume=True, **options)
    steps = [event.step for event in events["train"][1:-1] if event.summary.value[0].tag.startswith("batch_")]
    assert steps == [5, 6, 7, 8]


@pytest.mark.filterwarnings("ignore")
def test_a_metric_of_several_numbers_is_several_curves_and_nothing_to_monitor(model, data, events, tmp_path):
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metrics.ConfusionMatrix(name="matrix")])
    board = callbacks.TensorBoard(tmp_path, write_graph=False)
    classes = model.output_shape[-1]
    model.fit(*data, verbose=0, callbacks=[board])
    tags = {row.tag for event in events["train"][:-1] for row in event.summary.value}
    assert {"epoch_matrix_0_0", f"epoch_matrix_{classes - 1}_{classes - 1}"} <= tags
    with pytest.raises(ValueError, match=r"'matrix' has several numbers, of shape \(\d+, \d+\)"):
        model.fit(*data, verbose=0, callbacks=[callbacks.EarlyStopping("matrix", mode="max")])


def test_tensorboard_says_what_to_install(monkeypatch):
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        callbacks.TensorBoard()


def test_tensorboard_cannot_do_all(events):
    with pytest.raises(ValueError, match=r"profile_batch=2.*model\.profile"):
        callbacks.TensorBoard(profile_batch=2)
    with pytest.raises(ValueError, match="update_freq"):
        callbacks.TensorBoard(update_freq="step")


# ------------------------------------------------------------------------------------------------------ completion


def test_completion_offers_what_is_public():
    public = [getattr(swiftcnn, name) for name in swiftcnn.__all__]
    for module in (swiftcnn, *(each for each in public if isinstance(each, types.ModuleType))):
        assert sorted(module.__all__) == dir(module)
    program = "import swiftcnn.sklearn as it; assert dir(it) == it.__all__, dir(it)"
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
