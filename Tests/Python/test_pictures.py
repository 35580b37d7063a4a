"""Pictures: read, resized and prepared as Pillow and torchvision do it, and classified."""

import io
import json

import numpy as np
import pytest
import swiftcnn
from golden import tensors
from swiftcnn import layers, utils

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")


def waves(height, width, channels=3, seed=0):
    """A picture with edges and areas."""
    random = np.random.default_rng(seed)
    y, x, c = np.mgrid[:height, :width, :channels]
    values = 127.5 + 100 * np.sin(y / 9 + c) * np.cos(x / 7 - 2 * c) + random.normal(0, 20, (height, width, channels))
    return values.clip(0, 255).astype(np.uint8)


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.fixture
def photo(tmp_path):
    """The path of a JPEG file that a camera held sideways took."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(Image.fromarray(waves(90, 140)), "JPEG", exif=exif, quality=90))
    return path


def assert_alike(found, expected):
    """The same classes with the same probabilities, but for the last bits, which differ between sizes of batches."""
    for row, wanted in zip(found, expected, strict=True):
        assert [name for name, _ in row] == [name for name, _ in wanted]
        assert [value for _, value in row] == pytest.approx([value for _, value in wanted], abs=1e-5)


def classifier(**options):
    return swiftcnn.create_model("resnet20", **{"classes": 4, "class_names": ["a", "b", "c", "d"], **options})


# ------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100, "subsampling": 0}, {"quality": 20}])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (31, 47), (200, 3)])
def test_jpeg_is_pillows(mode, options, size):
    contents = saved(Image.fromarray(waves(*size)).convert(mode), "JPEG", **options)
    expected = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    np.testing.assert_array_equal(utils.load_img(contents), expected)
    grey = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB").convert("L"))
    np.testing.assert_array_equal(utils.load_img(contents, color_mode="grayscale")[..., 0], grey)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA"])
@pytest.mark.parametrize("size", [(1, 1), (31, 47), (200, 3)])
def test_png_is_pillows(mode, size):
    contents = saved(Image.fromarray(waves(*size, 4)).convert(mode), "PNG")
    image = Image.open(io.BytesIO(contents))
    np.testing.assert_array_equal(utils.load_img(contents), np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(utils.load_img(contents, color_mode="rgba"), np.asarray(image.convert("RGBA")))


def test_files_are_turned_upright(photo):
    expected = np.asarray(ImageOps.exif_transpose(Image.open(photo)))
    assert expected.shape == (140, 90, 3)
    for source in (photo, str(photo), photo.read_bytes(), memoryview(photo.read_bytes()), open(photo, "rb")):
        np.testing.assert_array_equal(utils.load_img(source), expected)


FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("channels, mode", [(1, "grayscale"), (3, "rgb"), (4, "rgba")])
def test_resizing_is_pillows(interpolation, channels, mode):
    random = np.random.default_rng(3)
    filter = getattr(Image.Resampling, interpolation.upper())
    for number in range(12):
        height, width, rows, columns = (int(size) for size in random.integers(1, [120, 120, 150, 150]))
        pixels = waves(height, width, channels, number)
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        contents = saved(image, "PNG")
        expected = np.asarray(image.resize((columns, rows), filter)).reshape(rows, columns, channels)
        result = utils.load_img(contents, mode, (rows, columns), interpolation)
        np.testing.assert_array_equal(result, expected, f"{height} x {width} to {rows} x {columns}")


def test_the_proportions_are_kept():
    contents = saved(Image.fromarray(waves(60, 100)), "PNG")
    result = utils.load_img(contents, target_size=(30, 20), interpolation="bilinear", keep_aspect_ratio=True)
    middle = Image.fromarray(waves(60, 100)[:, 30:70])
    np.testing.assert_array_equal(result, np.asarray(middle.resize((20, 30), Image.Resampling.BILINEAR)))


def test_arrays_are_floats():
    pixels = waves(5, 4)
    array = utils.img_to_array(pixels)
    assert array.dtype == np.float32 and array.shape == (5, 4, 3)
    np.testing.assert_array_equal(array, pixels)
    assert utils.img_to_array(Image.fromarray(pixels), dtype="uint8").dtype == np.uint8
    assert utils.img_to_array(pixels[..., 0]).shape == (5, 4, 1)
    assert utils.img_to_array(pixels, data_format="channels_first").shape == (3, 5, 4)
    with pytest.raises(ValueError, match=r"img must be \(height, width\)"):
        utils.img_to_array(pixels[None])


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"color_mode": "bgr"}, ValueError, "color_mode must be 'rgb'"),
        ({"target_size": 5}, ValueError, "target_size must be"),
        ({"target_size": (5,)}, ValueError, "target_size must be"),
        ({"target_size": (0, 5)}, ValueError, "target_size must be at least 1"),
        ({"target_size": (1 << 30, 1 << 30)}, ValueError, "resize"),
        ({"target_size": (5, 5), "interpolation": "cubic"}, ValueError, "unknown interpolation 'cubic'"),
        ({"keep_aspect_ratio": 1}, ValueError, "keep_aspect_ratio must be True or False"),
    ],
)
def test_wrong_arguments_are_named(photo, options, error, message):
    with pytest.raises(error, match=message):
        utils.load_img(photo, **options)


def test_damaged_files_are_refused(photo, tmp_path):
    contents = photo.read_bytes()
    for length in range(0, len(contents), 97):
        with pytest.raises(ValueError):
            utils.load_img(contents[:length])
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(ValueError, match="'.*text.jpg' is no picture that can be read: .*expected a JPEG or PNG"):
        utils.load_img(tmp_path / "text.jpg")
    with pytest.raises(FileNotFoundError):
        utils.load_img(tmp_path / "nowhere.jpg")
    with pytest.raises(IsADirectoryError):
        utils.load_img(tmp_path)
    with pytest.raises(ValueError, match="GIF"):
        utils.load_img(b"GIF89a")
    for wrong in (None, 5, 2.5, object()):
        with pytest.raises(ValueError, match="path must be a path"):
            utils.load_img(wrong)


# ----------------------------------------------------------------------------------------------------------- preparing


def reference(image, resize, crop, filter):
    """torchvision's Resize and CenterCrop, where the picture is large enough."""
    shorter, longer = sorted(image.size)
    length = int(resize * longer / shorter)
    image = image.resize((resize, length) if image.width <= image.height else (length, resize), filter)
    top, left = round((image.height - crop[0]) / 2), round((image.width - crop[1]) / 2)
    return np.asarray(image.crop((left, top, left + crop[1], top + crop[0])))


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "efficientnet_b0", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("size", [(300, 401), (401, 300), (64, 1000)])
def test_models_prepare_as_their_authors(name, size):
    model = swiftcnn.create_model(name, classes=3)
    rule = model.preprocessing
    image = Image.fromarray(waves(*size))
    filter = getattr(Image.Resampling, rule["interpolation"].upper())
    expected = reference(image, rule["resize"], rule["crop"], filter)
    for source in (image, waves(*size), saved(image, "PNG")):
        np.testing.assert_array_equal(model.preprocess(source), expected[None])
    normalized = (expected / 255 - np.array(rule["mean"])) / np.array(rule["std"])
    np.testing.assert_allclose(model.preprocess(image, "float32")[0], normalized, atol=1e-6)


def test_published_rules_are_there():
    assert swiftcnn.create_model("efficientnet_b0", classes=2).preprocessing == {
        "resize": 256,
        "crop": [224, 224],
        "interpolation": "bicubic",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


def test_both_kinds_of_batch_predict_the_same(photo):
    model = classifier()
    np.testing.assert_allclose(
        model.predict(model.preprocess(photo), verbose=0),
        model.predict(model.preprocess(photo, "float32"), verbose=0),
        atol=1e-5,
    )


def test_settings_stay(tmp_path, photo):
    model = classifier(preprocessing={"resize": (40, 40), "interpolation": "lanczos"})
    assert model.preprocessing["resize"] == [40, 40] and model.preprocessing["crop"] == [32, 32]
    model.set_preprocessing(crop=np.int64(32), resize=np.array([32, 36]), std=(1, 1, 1))
    expected = model.preprocessing
    assert expected["resize"] == [32, 36] and expected["std"] == [1, 1, 1] and expected["interpolation"] == "lanczos"
    model.save(tmp_path / "m.safetensors")
    for copy in (swiftcnn.load_model(tmp_path / "m.safetensors"), model.clone()):
        assert copy.preprocessing == expected
        assert copy.class_names == ["a", "b", "c", "d"]
        assert copy.classify(photo) == model.classify(photo)


def test_models_of_layers_keep_theirs(tmp_path, photo):
    inputs = layers.Input((20, 30, 3))
    outputs = layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs)))
    model = swiftcnn.Model(inputs, outputs)
    assert model.preprocessing["resize"] == 30 and model.preprocessing["crop"] == [20, 30]
    assert model.class_names is None
    assert [name for name, _ in model.classify(photo)] in (["0", "1"], ["1", "0"])
    model.set_preprocessing(resize=(20, 30), interpolation="box")
    model.class_names = ["cat", "dog"]
    model.save(tmp_path / "m.safetensors")
    copy = swiftcnn.load_model(tmp_path / "m.safetensors")
    assert copy.preprocessing == model.preprocessing and copy.class_names == ["cat", "dog"]
    assert copy.classify(photo) == model.classify(photo)


class Own(swiftcnn.Model):
    def __init__(self):
        super().__init__()
        self.class_names = ["cat", "dog"]
        self.preprocessing = layers.Rescaling(1 / 255)
        self.pool = layers.GlobalAveragePooling2D()
        self.classifier = layers.Dense(2, activation="softmax")

    def call(self, x):
        return self.classifier(self.pool(self.preprocessing(x)))


def test_classes_of_your_own_may_have_such_attributes(photo):
    model = Own()
    assert model.class_names == ["cat", "dog"]
    model.build((None, 20, 20, 3))
    assert model.class_names == ["cat", "dog"] and isinstance(model.preprocessing, layers.Rescaling)
    assert model.preprocessing in model.layers
    model.set_preprocessing(resize=(20, 20))
    assert sorted(name for name, _ in model.classify(photo)) == ["cat", "dog"]
    assert model.preprocess(photo, "float32").shape == (1, 20, 20, 3)
    copy = classifier()
    copy.preprocessing = {"resize": 40}
    assert copy.preprocessing["resize"] == 40


def test_a_new_head_prepares_as_its_backbone(photo):
    backbone = swiftcnn.create_model("tf_efficientnet_lite0", include_top=False, pooling="avg", input_shape=(64, 64, 3))
    model = swiftcnn.Model(backbone.input, layers.Dense(3)(backbone.output))
    assert model.preprocessing == backbone.preprocessing
    assert model.preprocessing["resize"] == 73 and model.preprocessing["interpolation"] == "bicubic"
    assert model.class_names is None
    (name, probability), *_ = model.classify(photo)
    assert name in ("0", "1", "2") and 1 / 3 <= probability <= 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"resize": 0}, "'resize' is 0"),
        ({"resize": (1, 2, 3)}, "'resize': expected a number of pixels"),
        ({"crop": 2.5}, "'crop': expected a number of pixels"),
        ({"interpolation": "cubic"}, "unknown interpolation 'cubic'"),
        ({"mean": [1]}, "mean is"),
        ({"std": [0, 1, 1]}, "std is|std above 0"),
        ({"mean": [float("nan")] * 3}, "mean: .*nan"),
    ],
)
def test_wrong_settings_are_named(options, message):
    model = classifier()
    before = model.preprocessing
    with pytest.raises(ValueError, match=message):
        model.set_preprocessing(**options)
    assert model.preprocessing == before
    with pytest.raises(ValueError, match=message):
        classifier(preprocessing=options)
    with pytest.raises(TypeError, match="unknown option 'size'"):
        model.set_preprocessing(size=3)
    with pytest.raises(ValueError, match="'preprocessing': expected an object"):
        classifier(preprocessing=[1])


# --------------------------------------------------------------------------------------------------------- classifying


def test_everything_that_is_a_picture_is_classified(photo):
    model = classifier()
    image = Image.open(photo)
    expected = model.classify(photo, top=2)
    assert len(expected) == 2 and all(name in "abcd" for name, _ in expected)
    assert expected[0][1] >= expected[1][1]
    pixels = utils.load_img(photo)
    for source in (str(photo), photo.read_bytes(), open(photo, "rb"), image, pixels, pixels.astype(np.int64)):
        assert model.classify(source, top=2) == expected
    assert_alike(model.classify([photo, pixels, image], top=2), [expected] * 3)
    assert_alike(model.classify(np.stack([pixels, pixels]), top=2), [expected] * 2)
    assert_alike(model.classify((path for path in [photo]), top=2), [expected])
    assert_alike(model.classify([photo] * 5, top=2, batch_size=2), [expected] * 5)
    assert model.classify([]) == []


def test_probabilities_are_those_of_predict(photo):
    model = classifier()
    probabilities = model.predict(model.preprocess(photo), verbose=0)[0]
    found = dict(model.classify(photo, top=10))
    assert len(found) == 4
    np.testing.assert_array_equal([found[name] for name in "abcd"], probabilities)


def test_pillows_other_modes_are_pictures():
    model = classifier(input_shape=(8, 8, 1))
    wide = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    assert model.preprocess(Image.fromarray(wide))[0, :, :, 0].tolist() == np.round(wide / 257).astype(int).tolist()
    for mode in ("1", "P", "CMYK", "LA"):
        assert len(model.classify(Image.fromarray(waves(9, 9)).convert(mode))) == 4


def test_any_size_is_classified(photo):
    model = classifier(input_shape=(None, None, 3), preprocessing={"resize": None, "crop": None})
    found = model.classify([photo, waves(33, 44), photo])
    assert found[0] == found[2] and len(found) == 3
    with pytest.raises(ValueError, match="several sizes"):
        model.preprocess([photo, waves(33, 44)])


def test_imagenets_names_are_the_default():
    model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 3))
    assert len(model.class_names) == 1000 and model.class_names[:2] == ["tench", "goldfish"]
    model.class_names = None
    assert model.class_names is None
    assert model.classify(waves(9, 9), top=1)[0][0].isdigit()


@pytest.mark.parametrize(
    "names, message",
    [
        (["a"], "there are 1 class names; the model has 4 classes"),
        ("abcd", "class_names.*abcd"),
        (["a", "b", 3, "d"], r"class_names.*3"),
        (["a", "b", "", "d"], "class 2 is empty"),
        (["a", "b\nc", "x", "d"], r"(class_names\[1\]|name of class 1) .*line of text"),
    ],
)
def test_wrong_names_are_refused(names, message):
    model = classifier()
    with pytest.raises(ValueError, match=message):
        model.class_names = names
    assert model.class_names == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match=message):
        classifier(class_names=names)


def test_what_is_no_picture_is_refused(photo):
    model = classifier()
    for wrong, message in [
        (waves(5, 5).astype(np.float32), "picture must hold pixels of 0 to 255 in an integer dtype"),
        (waves(5, 5).astype(int) + 300, "picture must hold pixels of 0 to 255, got"),
        (np.zeros((5, 5, 2), np.uint8), "expected uint8"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (b"", "it is empty"),
        (None, "must be a path"),
        ([photo, None], "must be a path"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.classify(wrong)
    for options, message in (({"top": 0}, "top must be at least 1"), ({"batch_size": 0}, "batch_size")):
        with pytest.raises(ValueError, match=message):
            model.classify(photo, **options)
    with pytest.raises(ValueError, match="as of a classifier"):
        swiftcnn.create_model("resnet20", include_top=False).classify(photo)
    with pytest.raises(ValueError, match="pictures is empty"):
        model.preprocess([])
    with pytest.raises(ValueError, match="dtype must be"):
        model.preprocess(photo, "int8")


def test_models_of_earlier_releases_are_read(tmp_path, photo):
    """Files that say nothing of pictures and classes: the model has its builder's rules."""
    path = tmp_path / "m.safetensors"
    model = swiftcnn.create_model("efficientnet_b0", input_shape=(32, 32, 3), classes=5)
    model.save(path)
    contents = path.read_bytes()
    length = int.from_bytes(contents[:8], "little")
    header = json.loads(contents[8 : 8 + length])
    kept = json.loads(header["__metadata__"]["swiftcnn.model"])
    assert kept.pop("preprocessing") and kept.pop("class_names") is None
    header["__metadata__"]["swiftcnn.model"] = json.dumps(kept)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + contents[8 + length :])
    copy = swiftcnn.load_model(path)
    assert copy.preprocessing == model.preprocessing
    assert copy.classify(photo) == model.classify(photo)


def test_golden_files_are_read_alike():
    """The files of the Swift tests, through the C ABI."""
    packed, document = tensors("pictures")

    def unpacked(name):
        return packed[name][1:].astype("<i4").tobytes()[: int(packed[name][0])]

    for entry in document["files"]:
        name = entry["name"]
        expected = np.frombuffer(unpacked(f"{name}/pixels"), np.uint8).reshape(entry["shape"])
        np.testing.assert_array_equal(utils.load_img(unpacked(f"{name}/file")), expected, name)
