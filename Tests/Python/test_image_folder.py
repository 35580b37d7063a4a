"""Pictures in folders: what is found, batches, augmentation, damaged files, and training on them."""

import gc
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest
import swiftcnn
from swiftcnn import ImageFolder

Image = pytest.importorskip("PIL.Image")

COLORS = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (220, 30, 20)}


def picture(seed, color, height=30, width=40):
    """Noise around a color."""
    random = np.random.default_rng(seed)
    pixels = np.array(color) + random.normal(0, 20, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write(folder, pictures=5):
    """Three classes, whose files have each of the endings; one class has a folder of its own."""
    for number, (name, color) in enumerate(COLORS.items()):
        (folder / name / "more").mkdir(parents=True)
        for index in range(pictures):
            place = folder / name / ("more" if index == 1 else ".")
            ending = ["jpg", "PNG", "jpeg", "png", "JPG"][index % 5]
            size = (30 + 3 * index, 40 - 2 * number)
            picture(100 * number + index, color, *size).save(place / f"{index}.{ending}", quality=95)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "train")


def drawn(source, number=0):
    return [(x, y) for x, y in source.epoch(number)]


def assert_same(batches, others):
    for (x, y), (other_x, other_y) in zip(batches, others, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)


# ------------------------------------------------------------------------------------------------------ what is found


def test_what_is_found(folder):
    (folder / ".hidden").mkdir()
    (folder / "notes.txt").write_text("no picture")
    (folder / "red" / "notes.txt").write_text("no picture")
    (folder / "red" / ".9.jpg").write_text("hidden")
    found = ImageFolder(folder, 32, 4)
    assert found.class_names == ["blue", "green", "red"]
    assert found.count == 15 and len(found) == 4
    assert found.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    root = str(folder)
    expected = sorted(os.path.join(at, name) for at, _, names in os.walk(root) for name in names
                      if not name.startswith(".") and name != "notes.txt")
    assert found.paths == expected
    assert "15 pictures of 3 classes" in repr(found)


def test_evaluation_is_pillows(folder):
    """As torchvision's Resize and CenterCrop with Pillow."""
    found = ImageFolder(folder, size=(24, 20), resize=26, batch_size=7, shuffle=False)
    x = np.concatenate([x for x, _ in drawn(found)])
    y = np.concatenate([y for _, y in drawn(found)])
    assert x.dtype == np.uint8 and y.dtype == np.int32 and x.shape == (15, 24, 20, 3)
    assert y.tolist() == found.labels.tolist()
    for pixels, path in zip(x, found.paths, strict=True):
        image = Image.open(path).convert("RGB")
        shorter, longer = sorted(image.size)
        length = int(26 * longer / shorter)
        image = image.resize((26, length) if image.width <= image.height else (length, 26), Image.Resampling.BILINEAR)
        top, left = round((image.height - 24) / 2), round((image.width - 20) / 2)
        np.testing.assert_array_equal(pixels, np.asarray(image.crop((left, top, left + 20, top + 24))))


def test_what_was_asked_for_can_be_read_again(folder):
    found = ImageFolder(folder, (16, 24), class_names=("red", "blue"), random_erasing={"fill": "noise"})
    assert (found.size, found.batch_size, found.channels) == ((16, 24), 32, 3)
    assert found.class_names == ["red", "blue"]  # a list, whatever it was
    assert found.random_erasing == {"fill": "noise"}
    again = ImageFolder(**found.get_config())
    np.testing.assert_array_equal(next(found.epoch(3))[0], next(again.epoch(3))[0])
    with pytest.raises(AttributeError, match="class_names cannot be set"):
        found.class_names = ["blue"]
    with pytest.raises(TypeError, match=r"ImageFolder\(\) got an unexpected keyword argument 'shufle'; did you mean"):
        ImageFolder(folder, shufle=True)


def test_grey(folder):
    x, _ = next(iter(ImageFolder(folder, 16, channels=1)))
    assert x.shape == (15, 16, 16, 1)


def test_classes_can_be_chosen(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="the folder 'empty' of .* has no pictures"):
        ImageFolder(folder)
    found = ImageFolder(folder, class_names=["red", "empty", "blue"])
    assert found.class_names == ["red", "empty", "blue"] and found.labels.tolist() == [0] * 5 + [2] * 5
    with pytest.raises(ValueError, match="has no folder 'purple'"):
        ImageFolder(folder, class_names=["red", "purple"])
    with pytest.raises(ValueError, match="'red' is there twice"):
        ImageFolder(folder, class_names=["red", "red"])


def test_folders_that_will_not_do(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="has no folders; expected one for each class"):
        ImageFolder(empty)
    with pytest.raises(FileNotFoundError, match="cannot read the folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError):
        ImageFolder(folder / "red" / "0.jpg")
    (empty / "one").mkdir()
    picture(0, (1, 2, 3)).save(empty / "one" / "a.png")
    assert ImageFolder(empty).class_names == ["one"]
    (empty / "two\nlines").mkdir()
    with pytest.raises(ValueError, match="line break"):
        ImageFolder(empty)


def test_links_and_names_that_are_no_text(folder):
    os.symlink("..", folder / "red" / "loop")
    os.symlink(folder / "red", folder / "red" / "again")
    os.symlink(folder / "green" / "0.jpg", folder / "red" / "linked.jpg")
    os.mkfifo(folder / "red" / "pipe.jpg")
    strange = os.fsencode(folder / "red") + b"/\xff\xfe.png"
    picture(1, (9, 9, 9)).save(folder / "plain.png")
    os.rename(folder / "plain.png", strange)
    found = ImageFolder(folder, 16, 64)
    # The loop leads to the other classes, whose pictures are there once more.
    assert found.count >= 17 and any("�" in path for path in found.paths)
    assert len(drawn(found)[0][0]) == found.count
    os.unlink(folder / "red" / "loop")
    assert ImageFolder(folder).labels.tolist().count(2) == 7


# ------------------------------------------------------------------------------------------------------------ batches


def test_epochs_differ_and_repeat(folder):
    found = ImageFolder(folder, 16, 4)
    first, second = [y.tolist() for _, y in found], [y.tolist() for _, y in found]
    assert first != second and [len(y) for y in first] == [4, 4, 4, 3]
    assert [y.tolist() for _, y in found.epoch(0)] == first
    assert [y.tolist() for _, y in found.epoch(1)] == second
    assert [y.tolist() for _, y in ImageFolder(folder, 16, 4, seed=1).epoch(0)] != first
    fixed = ImageFolder(folder, 16, 4, shuffle=False)
    assert_same(fixed, fixed)


ALL = {
    "random_resized_crop": True,
    "horizontal_flip": True,
    "color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "rand_augment": {"num_ops": 3, "magnitude": 15},
    "random_erasing": {"fill": "noise"},
    "mixup": 0.4,
    "cutmix": 1.0,
}


@pytest.mark.parametrize("options", [{}, ALL, {**ALL, "drop_last": True, "channels": 1}])
def test_batches_are_the_same_for_any_number_of_threads(folder, options):
    (folder / "red" / "0.jpg").write_bytes(b"\xff\xd8\xff damaged")
    (folder / "blue" / "2.jpeg").write_bytes(b"")
    found = {}
    for threads, prefetch in [(0, 1), (1, 1), (2, 3), (7, 2)]:
        source = ImageFolder(folder, (24, 28), 4, threads=threads, prefetch=prefetch, **options)
        with pytest.warns(UserWarning, match="2 of 15 pictures could not be read"):
            found[threads] = drawn(source, 3)
        assert source.skipped == 2
    assert [len(y) for _, y in found[0]] == [4, 4, 4] + ([] if options.get("drop_last") else [1])
    for threads in found:
        assert_same(found[threads], found[0])


def test_a_picture_changes_with_the_epoch_alone(folder):
    """Not with the batch that it is in, nor with how many others there are."""
    options = {"random_resized_crop": True, "rand_augment": True, "random_erasing": True, "shuffle": False}
    one = np.concatenate([x for x, _ in drawn(ImageFolder(folder, 20, 1, **options), 5)])
    whole = np.concatenate([x for x, _ in drawn(ImageFolder(folder, 20, 15, **options), 5)])
    other = np.concatenate([x for x, _ in drawn(ImageFolder(folder, 20, 15, **options), 6)])
    np.testing.assert_array_equal(one, whole)
    assert not (whole == other).all()


def test_arrays_are_the_callers(folder):
    batches = list(ImageFolder(folder, 16, 4))
    assert len({x.ctypes.data for x, _ in batches}) == 4
    batches[0][0][:] = 0
    assert batches[0][0].flags.writeable and batches[1][0].any()


def test_several_iterators_at_once(folder):
    found = ImageFolder(folder, 16, 4)
    expected = drawn(found, 0), drawn(found, 1)
    pairs = list(zip(found.epoch(0), found.epoch(1), strict=True))
    assert_same([first for first, _ in pairs], expected[0])
    assert_same([second for _, second in pairs], expected[1])


def reading_threads():
    names = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
    return sum(name.startswith("swiftcnn-read") for name in names)


def test_an_iterator_may_be_dropped_half_way(folder):
    for _ in range(20):
        batches = ImageFolder(folder, 16, 2, threads=4, prefetch=1).epoch(0)
        next(batches)
        del batches
    gc.collect()
    deadline = time.monotonic() + 5
    while reading_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not reading_threads()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked(folder):
    found = ImageFolder(folder, 16, 4)
    expected = drawn(found)
    batches = found.epoch(0)
    next(batches)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            try:
                next(batches)
            except RuntimeError as error:
                status = 0 if "before a fork" in str(error) else 2
            del batches
            assert_same(drawn(found), expected)
        except BaseException:
            status = 3
        os._exit(status)
    deadline, done = time.monotonic() + 20, 0
    while not done and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.kill(child, signal.SIGKILL)
    assert done and os.waitstatus_to_exitcode(status) == 0
    assert len(list(batches)) == 3


def test_subsets(folder):
    parts = [
        ImageFolder(folder, 16, validation_split=0.3, subset=subset, seed=4).paths for subset in ("training", "validation")
    ]
    assert [len(part) for part in parts] == [11, 4]
    assert sorted(parts[0] + parts[1]) == ImageFolder(folder).paths
    other = ImageFolder(folder, validation_split=0.3, subset="validation", seed=5).paths
    assert other != parts[1]
    with pytest.raises(ValueError, match="holds back none of 15 pictures"):
        ImageFolder(folder, validation_split=0.01)


# ------------------------------------------------------------------------------------------------------- augmentation


def test_random_crops_and_flips(folder):
    """A picture of columns that are told apart shows which part of it was taken."""
    for file in (folder / "red").rglob("*.*"):
        file.unlink()
    columns = np.broadcast_to(np.arange(0, 240, dtype=np.uint8)[:, None], (180, 240, 3))
    for index in range(200):
        os.makedirs(folder / "red", exist_ok=True)
        Image.fromarray(columns).save(folder / "red" / f"{index}.png", compress_level=0)
    found = ImageFolder(folder, 24, 50, class_names=["red"], random_resized_crop={"scale": (0.2, 0.5)},
                        horizontal_flip=0.3)
    x = np.concatenate([x for x, _ in found])[:, 12, :, 0].astype(int)
    flipped = x[:, 0] > x[:, -1]
    assert 0.15 < flipped.mean() < 0.45
    widths = np.abs(x[:, -1] - x[:, 0]) * 24 / 23
    # Of 0.2 to 0.5 of the area, and 3/4 to 4/3 as wide as high.
    assert widths.min() > 240 * 0.9 * (0.2 * 0.75 * 0.75) ** 0.5 and widths.max() <= 240 * (0.5) ** 0.5 * 1.1
    assert len(set(x[:, 0])) > 60


@pytest.mark.parametrize("fill", ["zero", "noise", "mean"])
def test_random_erasing(folder, fill):
    plain = ImageFolder(folder, 32, 15, shuffle=False)
    erased = ImageFolder(folder, 32, 15, shuffle=False, random_erasing={"probability": 1, "fill": fill})
    (before, _), (after, _) = next(iter(plain)), next(iter(erased))
    for old, new in zip(before, after, strict=True):
        rows, columns = np.nonzero((old != new).any(axis=2))
        box = new[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        share = box.shape[0] * box.shape[1] / 32**2
        assert 0.01 < share < 0.4
        if fill == "zero":
            assert not box.any()
        elif fill == "mean":
            assert len(np.unique(box.reshape(-1, 3), axis=0)) == 1
            assert np.abs(box[0, 0] - old.mean(axis=(0, 1))).max() <= 0.51
        else:
            assert box.std() > 50


def mixed(x, y, other_x, other_y):
    """The share of each picture that explains the batch, where it is mixed with the one before it."""
    shares = []
    for index in range(len(x)):
        own, other = other_x[index].astype(float), other_x[index - 1].astype(float)
        label = other_y[index]
        if label != other_y[index - 1]:
            shares.append(y[index, label])
    return shares


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixing(folder, kind):
    plain = drawn(ImageFolder(folder, 32, 5), 0)
    batches = drawn(ImageFolder(folder, 32, 5, **{kind: 1.0}), 0)
    shares = []
    for (x, y), (old, labels) in zip(batches, plain, strict=True):
        assert y.dtype == np.float32 and y.shape == (5, 3)
        np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
        before, rolled = old.astype(float), np.roll(old, 1, axis=0).astype(float)
        one_hot, one_hot_rolled = np.eye(3)[labels], np.eye(3)[np.roll(labels, 1)]
        place = np.nonzero(labels != np.roll(labels, 1))[0][0]
        share = y[place, labels[place]]
        shares.append(share)
        np.testing.assert_allclose(y, share * one_hot + (1 - share) * one_hot_rolled, atol=1e-6)
        if kind == "mixup":
            assert np.abs(x - (share * before + (1 - share) * rolled)).max() <= 0.51
        else:
            taken = (x == rolled).all(axis=(0, 3)) & ~(x == old).all(axis=(0, 3))
            assert ((x == old) | (x == rolled)).all()
            assert taken.mean() == pytest.approx(1 - share, abs=1e-3)
    assert len(set(shares)) == 3
    np.testing.assert_array_equal(x, drawn(ImageFolder(folder, 32, 5, **{kind: 1.0}), 0)[-1][0])


def test_both_kinds_of_mixing_are_drawn(folder):
    kinds = set()
    for epoch in range(6):
        plain = drawn(ImageFolder(folder, 16, 5), epoch)
        for (x, _), (old, _) in zip(drawn(ImageFolder(folder, 16, 5, mixup=1, cutmix=1), epoch), plain, strict=True):
            kinds.add(bool(((x == old) | (x == np.roll(old, 1, axis=0))).all()))
    assert kinds == {True, False}


def test_label_smoothing(folder):
    _, y = next(iter(ImageFolder(folder, 16, 15, shuffle=False, label_smoothing=0.3)))
    np.testing.assert_allclose(y[0], [0.8, 0.1, 0.1], atol=1e-6)
    _, y = next(iter(ImageFolder(folder, 16, 15, shuffle=False, label_mode="categorical")))
    np.testing.assert_array_equal(y, np.eye(3, dtype=np.float32)[ImageFolder(folder).labels])


def test_reduced_decoding_is_about_the_same(tmp_path):
    (tmp_path / "a").mkdir()
    y, x, c = np.mgrid[:600, :900, :3]
    smooth = (127 + 100 * np.sin(y / 60 + c) * np.cos(x / 80)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in {"flat.jpg": {}, "turned.jpg": {"exif": exif}}.items():
        Image.fromarray(smooth).save(tmp_path / "a" / name, quality=95, **options)
    for options in ({}, {"random_resized_crop": True}, {"resize": 80}):
        whole = drawn(ImageFolder(tmp_path, 64, shuffle=False, **options))[0][0].astype(int)
        reduced = drawn(ImageFolder(tmp_path, 64, shuffle=False, reduced_decoding=True, **options))[0][0].astype(int)
        assert np.abs(whole - reduced).mean() < 3, options


# ------------------------------------------------------------------------------------------------------ damaged files


def damage(folder):
    """Files that cannot be read, each in its own way; how many."""
    good = (folder / "red" / "0.jpg").read_bytes()
    header = bytearray(good)
    size = header.index(b"\xff\xc0")
    header[size + 5 : size + 9] = b"\xff\xff\xff\xff"  # 65,535 x 65,535
    for name, contents in {
        "empty.jpg": b"",
        "text.png": b"hello",
        "half.jpg": good[: len(good) // 2],
        "large.jpg": bytes(header),
        "gif.jpg": b"GIF89a" + bytes(50),
        "start.png": b"\x89PNG\r\n\x1a\n",
    }.items():
        (folder / "red" / name).write_bytes(contents)
    os.symlink("nowhere", folder / "red" / "link.jpg")
    return 7


def test_damaged_files_are_skipped(folder):
    count = damage(folder)
    found = ImageFolder(folder, 16, 4)
    with pytest.warns(UserWarning, match=f"{count} of 22 pictures could not be read and were passed over; the first: ") as seen:
        batches = drawn(found)
    assert len(seen) == 1 and "/red/" in str(seen[0].message)
    assert [len(x) for x, _ in batches] == [4, 4, 4, 3] and found.skipped == count
    assert sorted(np.concatenate([y for _, y in batches]).tolist()) == [0] * 5 + [1] * 5 + [2] * 5


def unreadable_folder(parent):
    """A folder whose path is longer than the system takes, which is so for every user."""
    (parent / "deep").mkdir()
    descriptor = os.open(parent / "deep", os.O_RDONLY)
    for _ in range(17):
        os.mkdir("d" * 250, dir_fd=descriptor)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def test_a_folder_in_a_class_that_cannot_be_read_is_skipped_as_files_are(folder):
    unreadable_folder(folder / "green")
    (folder / "red" / "empty.jpg").write_bytes(b"")
    found = ImageFolder(folder, 16, 4)
    for _ in range(2):
        with pytest.warns(UserWarning, match="^2 of 16 pictures could not be read.*the first: cannot read the folder") as seen:
            assert sum(len(x) for x, _ in found) == 15
        assert len(seen) == 1 and found.skipped == 2
    with pytest.raises(OSError, match="cannot read the folder '.*/green/deep/.*': File name too long"):
        ImageFolder(folder, 16, 4, corrupt="error")


def test_a_class_of_nothing_but_what_cannot_be_read_is_an_error_that_says_so(folder):
    (folder / "brown").mkdir()
    unreadable_folder(folder / "brown")
    with pytest.raises(OSError, match="cannot read the folder '.*/brown/"):
        ImageFolder(folder, 16, 4)
    assert ImageFolder(folder, 16, 4, class_names=["brown", "blue"]).class_names == ["brown", "blue"]


def test_damaged_files_are_errors(folder):
    damage(folder)
    found = ImageFolder(folder, 16, 4, shuffle=False, corrupt="error")
    batches = found.epoch(0)
    for _ in range(2):
        next(batches)
    with pytest.raises(ValueError, match="red/empty.jpg' is no picture that can be read: it is empty"):
        for _ in range(3):
            next(batches)
    (folder / "blue" / "0.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"blue/\./0.jpg|blue/0.jpg"):
        next(found.epoch(0))


def test_files_vanish_and_change(folder):
    found = ImageFolder(folder, 16, 4, prefetch=1, threads=1)
    (folder / "blue" / "0.jpg").unlink()
    (folder / "green" / "0.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.warns(UserWarning, match="2 of 15"):
        assert [len(x) for x, _ in found] == [4, 4, 4, 1]
    for path in found.paths:
        if os.path.exists(path):
            os.unlink(path)
    with pytest.raises(ValueError, match="15 of 15 pictures could not be read, which leaves no batch: cannot open"):
        drawn(found)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"size": 0}, "size is 0; expected 1 to 65536"),
        ({"size": [3]}, "'size': expected a number of pixels or"),
        ({"batch_size": 0}, "batch_size is 0; expected 1 to"),
        ({"batch_size": 1 << 20, "size": 1 << 16, "prefetch": 1024}, "out of range|bytes"),
        ({"channels": 4}, "channels is 4; expected 1 or 3"),
        ({"seed": "x"}, "seed"),
        ({"horizontal_flip": 1.5}, "horizontal_flip is 1.5; expected 0 to 1"),
        ({"color_jitter": {"hue": 0.6}}, "color_jitter: hue is 0.6; expected 0 to 0.5"),
        ({"color_jitter": {"hues": 0.1}}, "hue"),
        ({"random_resized_crop": {"scale": [0.5, 0.1]}}, "random_resized_crop: scale is"),
        ({"random_resized_crop": {"scale": [0, 2]}}, "random_resized_crop: scale is 0.0 to 2.0; expected 1e-06 to 1"),
        ({"random_resized_crop": 3}, "'random_resized_crop': expected true, false or an object"),
        ({"rand_augment": {"magnitude": 31}}, "rand_augment: magnitude is 31; expected 0 to 30"),
        ({"rand_augment": {"num_ops": 0}}, "rand_augment: num_ops is 0"),
        ({"random_erasing": {"fill": "meen"}}, "mean"),
        ({"mixup": -1}, "mixup is -1.0; expected 0 to"),
        ({"label_smoothing": 1.1}, "label_smoothing is 1.1"),
        ({"label_mode": "int", "cutmix": 1}, "expected categorical with mixup"),
        ({"label_mode": "integer"}, "int"),
        ({"validation_split": 1}, "validation_split is 1.0; expected 0 or more and below 1"),
        ({"subset": "validation"}, "subset is validation, but validation_split is 0"),
        ({"corrupt": "skipp"}, "skip"),
        ({"threads": -1}, "threads is -1; expected 0 to 1024"),
        ({"prefetch": 0}, "prefetch is 0; expected 1 to 1024"),
        ({"interpolation": "cubic"}, "bicubic"),
        ({"batch_size": 16, "drop_last": True}, "'drop_last' leaves no batch"),
        ({"mixup": float("nan")}, "mixup"),
        ({"class_names": {1}}, "class_names"),
    ],
)
def test_options_out_of_range(folder, options, message):
    with pytest.raises((ValueError, MemoryError), match=message):
        drawn(ImageFolder(folder, **options))


# ----------------------------------------------------------------------------------------------------------- training


def model_for(source, loss="sparse_categorical_crossentropy", **options):
    model = swiftcnn.create_model("resnet20", **{"input_shape": (16, 16, 3), "classes": 3, **options})
    model.compile(swiftcnn.optimizers.SGD(0.02, momentum=0.9), loss, metrics=["accuracy"])
    return model


def test_fit(folder):
    train = ImageFolder(folder, 16, 5, horizontal_flip=True)
    model = model_for(train)
    history = model.fit(train, validation_data=train, epochs=4, verbose=0).history
    assert history["accuracy"][-1] > 0.9 and len(history["val_loss"]) == 4
    assert model.class_names == train.class_names
    (name, _), = model.classify(train.paths[-1], top=1)
    assert name in COLORS
    loss, accuracy = model.evaluate(ImageFolder(folder, 16, 4), verbose=0)
    assert 0 <= accuracy <= 1 and loss > 0
    assert model.predict(train, verbose=0).shape == (15, 3)


def test_each_epoch_has_its_own_order_and_is_resumed(folder, tmp_path):
    train = ImageFolder(folder, 16, 5, random_resized_crop=True)
    whole = model_for(train)
    whole.fit(train, epochs=3, verbose=0)
    by_hand = model_for(train)
    for epoch in range(3):
        for x, y in train.epoch(epoch):
            by_hand.train_on_batch(x, y)
    halves = model_for(train)
    halves.fit(train, epochs=2, verbose=0)
    halves.save(tmp_path / "half.safetensors")
    resumed = swiftcnn.load_model(tmp_path / "half.safetensors")
    resumed.fit(train, epochs=3, verbose=0, resume=True)
    x = next(train.epoch(9))[0]
    for other in (by_hand, resumed):
        np.testing.assert_array_equal(other.predict(x, verbose=0), whole.predict(x, verbose=0))


def test_shares_are_trained(folder):
    train = ImageFolder(folder, 16, 5, mixup=0.2, cutmix=1.0, label_smoothing=0.1)
    model = model_for(train, "categorical_crossentropy")
    validation = ImageFolder(folder, 16, label_mode="categorical")
    history = model.fit(train, validation_data=validation, epochs=3, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()


def test_what_does_not_fit(folder, tmp_path):
    labels, shares = ImageFolder(folder, 16), ImageFolder(folder, 16, label_mode="categorical")
    with pytest.raises(ValueError, match="x: the folder gives numbers of classes, and categorical_crossentropy takes a share"):
        model_for(labels, "categorical_crossentropy").fit(labels, verbose=0)
    model = model_for(labels)
    with pytest.raises(ValueError, match="x: the folder gives a share for each class .*expected categorical_crossentropy"):
        model.fit(shares, verbose=0)
    with pytest.raises(ValueError, match="x: the folder gives a share"):
        model.evaluate(shares, verbose=0)
    with pytest.raises(ValueError, match="validation_data: the folder gives a share"):
        model.fit(labels, validation_data=shares, verbose=0)
    with pytest.raises(ValueError, match="labels must be in 0 to 1"):
        model_for(labels, classes=2).fit(labels, verbose=0)
    with pytest.raises(ValueError, match="expected shape"):
        model.fit(ImageFolder(folder, 16, channels=1), verbose=0)


# --------------------------------------------------------------------------------------------- the order of classes


def colors(source, loss="sparse_categorical_crossentropy", **options):
    """A model that goes by the mean color of a picture, and is trained in no time."""
    layers = swiftcnn.layers
    pooled = [layers.Input((16, 16, 3)), layers.Rescaling(1 / 127.5, -1), layers.GlobalAveragePooling2D()]
    model = swiftcnn.Sequential([*pooled, layers.Dense(options.pop("classes", 3), activation="softmax")])
    model.compile(swiftcnn.optimizers.Adam(0.3), loss, metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder, and a model that knows its classes in the order blue, green, red."""
    folder = write(tmp_path_factory.mktemp("classes") / "train")
    train = ImageFolder(folder, 16, 5)
    model = colors(train)
    model.fit(train, epochs=10, verbose=0)
    assert model.evaluate(train, verbose=0)[1] == 1
    return folder, model


@pytest.mark.parametrize("names", [["red", "green", "blue"], ["red", "blue"], ["green"]])
def test_names_decide_which_class_a_picture_is_of(trained, names):
    folder, model = trained
    other = ImageFolder(folder, 16, 5, class_names=names)
    assert model.evaluate(other, verbose=0)[1] == 1
    assert other.class_names == names and other.labels.max() == len(names) - 1  # as it was
    copy = model.clone()
    history = copy.fit(ImageFolder(folder, 16, 5), validation_data=other, epochs=1, verbose=0).history
    assert history["val_accuracy"] == [1]


def test_shares_are_of_the_models_classes(trained):
    folder, model = trained
    model = model.clone()
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    other = ImageFolder(folder, 16, 5, class_names=["red", "blue"], label_mode="categorical")
    assert model.evaluate(other, verbose=0)[1] == 1
    mixed = ImageFolder(folder, 16, 5, class_names=["red", "blue", "green"], mixup=0.2)
    assert model.evaluate(mixed, verbose=0)[1] == 1
    assert model.fit(mixed, epochs=1, verbose=0, validation_data=mixed).history["val_accuracy"] == [1]


def test_training_goes_on_with_folders_in_another_order(trained, tmp_path):
    folder, model = trained
    model.save(tmp_path / "m.safetensors")
    model = swiftcnn.load_model(tmp_path / "m.safetensors")
    history = model.fit(ImageFolder(folder, 16, 5, class_names=["green", "red", "blue"]), epochs=1, verbose=0).history
    assert history["accuracy"][0] > 0.8 and model.class_names == ["blue", "green", "red"]


def test_other_names_are_refused(trained):
    folder, model = trained
    model = model.clone()
    model.class_names = ["blue", "yellow", "red"]
    train = ImageFolder(folder, 16)
    both = "x: the classes differ: the folder has 'green', which the model does not have; the model has 'yellow', which"
    with pytest.raises(ValueError, match=both):
        model.fit(train, verbose=0)
    with pytest.raises(ValueError, match="x: the classes differ: the folder has 'green', which the model does not have$"):
        model.evaluate(train, verbose=0)
    with pytest.raises(ValueError, match="the model has 'yellow', which the folder does not have"):
        model.fit(ImageFolder(folder, 16, class_names=["blue", "red"]), verbose=0)
    with pytest.raises(ValueError, match="validation_data: the classes differ: the folder has 'green'"):
        red = ImageFolder(folder, 16, class_names=["blue", "red"])
        colors(red, classes=2).fit(red, validation_data=train, verbose=0)
    assert model.predict(train, verbose=0).shape == (15, 3)  # which needs no names


def test_a_model_without_names_takes_those_of_as_many_classes(folder):
    train = ImageFolder(folder, 16)
    larger = colors(train, classes=5)
    larger.fit(train, verbose=0)
    assert larger.class_names is None
    # Then the classes to validate with are those to train on.
    other = ImageFolder(folder, 16, class_names=["red", "green", "blue"])
    history = larger.fit(train, validation_data=other, epochs=8, verbose=0).history
    assert history["val_loss"][-1] == pytest.approx(larger.evaluate(train, verbose=0)[0], rel=1e-3)


def test_class_weights_are_by_the_folders_labels_or_names(folder):
    def weights_after(**class_weight):
        model = colors(None)
        model.set_weights([np.ones((3, 3)), np.zeros(3)])
        model.class_names = ["blue", "green", "red"]
        model.fit(ImageFolder(folder, 16, class_names=["red", "blue", "green"]), epochs=1, verbose=0, **class_weight)
        return model.get_weights()[0]

    by_label = weights_after(class_weight={0: 5.0})
    np.testing.assert_array_equal(by_label, weights_after(class_weight={"red": 5.0}))
    assert not np.array_equal(by_label, weights_after(class_weight={"blue": 5.0}))
    assert not np.array_equal(by_label, weights_after())
    with pytest.raises(ValueError, match="class_weight: 'purple' is no class of the folder"):
        weights_after(class_weight={"purple": 5.0})


def test_predictions_are_in_the_order_of_labels(trained):
    folder, model = trained
    options = {"random_resized_crop": True, "horizontal_flip": True, "random_erasing": {"probability": 1}}
    shuffled = ImageFolder(folder, 16, 4, seed=3, drop_last=True, **options)
    plain = ImageFolder(folder, 16, 15, shuffle=False)
    found = model.predict(shuffled, verbose=0)
    np.testing.assert_allclose(found, model.predict(next(iter(plain))[0], verbose=0), atol=1e-5)
    assert (found.argmax(1) == shuffled.labels).all()
    assert model.evaluate(shuffled, verbose=0) == pytest.approx(model.evaluate(plain, verbose=0), rel=1e-4)
    assert [len(x) for x, _ in shuffled] == [4, 4, 4]  # itself it is as it was


def test_a_class_of_a_model_is_built_by_a_folder(folder):
    class Net(swiftcnn.Model):
        def __init__(self):
            super().__init__()
            self.flat, self.dense = swiftcnn.layers.Flatten(), swiftcnn.layers.Dense(3)

        def call(self, x):
            return self.dense(self.flat(x))

    assert Net().predict(ImageFolder(folder, 16), verbose=0).shape == (15, 3)
    net = Net()
    net.compile("sgd", "crossentropy")
    net.fit(ImageFolder(folder, 16), verbose=0, epochs=1)
    assert net.class_names == ["blue", "green", "red"]


def test_interruption(folder):
    train = ImageFolder(folder, 64, 5)
    model = model_for(train, input_shape=(64, 64, 3))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(train, epochs=100_000, verbose=0)
    timer.join()
    assert np.isfinite(model.evaluate(train, verbose=0)).all()


def test_fit_warns_of_skipped_files_once_an_epoch(folder):
    damage(folder)
    train = ImageFolder(folder, 16, 5)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model_for(train).fit(train, epochs=2, verbose=0)
    found = [str(warning.message) for warning in seen if "could not be read" in str(warning.message)]
    assert len(found) == 2
