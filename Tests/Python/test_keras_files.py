"""Files as Keras writes them, made here by h5py: which layer's weights go where, and what is refused."""

import itertools
import json
import time
import zipfile

import numpy as np
import pytest

import swiftcnn
from swiftcnn import layers, models

h5py = pytest.importorskip("h5py")
ENDS = (".weights.h5", ".h5", ".keras")
RANDOM = np.random.default_rng(5)
X = RANDOM.standard_normal((2, 4, 4, 2)).astype(np.float32)


def values(*shapes):
    return [RANDOM.standard_normal(shape).astype(np.float32) for shape in shapes]


def conv(size=2, inputs=2, kernel=3):
    return values((kernel, kernel, inputs, size), (size,))


def write(path, rows, name="functional", config=None):
    """A file of layers, each its groups, name and weights; the kind of file is in the path's ending."""
    if path.suffix == ".keras":
        write(path.with_suffix(".weights.h5"), rows, name)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", "{}")
            archive.writestr("config.json", json.dumps(config or {}))
            archive.write(path.with_suffix(".weights.h5"), "model.weights.h5")
    elif path.name.endswith(".weights.h5"):
        with h5py.File(path, "w") as file:
            file.create_group("vars").attrs["name"] = name
            for groups, own, arrays in rows:
                variables = file.create_group(f"{groups}/vars")
                variables.attrs["name"] = own
                for index, array in enumerate(arrays):
                    variables[str(index)] = array
    else:
        with h5py.File(path, "w") as file:
            if config:
                file.attrs["model_config"] = json.dumps(config)
            root = file.create_group("model_weights")
            owners = {}
            for groups, own, arrays in rows:
                owner, _, rest = own.partition("/")
                names = {5: [], 4: ["gamma", "beta", "moving_mean", "moving_variance"], 3: ["mean", "variance", "count"]}
                parts = names.get(len(arrays), ["kernel", "bias"])[: len(arrays)]
                owners.setdefault(owner, []).extend(
                    (f"{own}/{part}", array) for part, array in zip(parts, arrays, strict=True))
            root.attrs["layer_names"] = list(owners)
            for owner, weights in owners.items():
                group = root.create_group(owner)
                group.attrs["weight_names"] = [weight for weight, _ in weights]
                for weight, array in weights:
                    group[weight] = array
    return path


def parallel(*names, swapped=False):
    """A stem, one convolution beside two, and their sum; all convolutions are of one shape."""
    def layer(place):
        return layers.Conv2D(2, 3, padding="same", name=names[place] if names else None)

    x = layers.Input((4, 4, 2))
    stem = layer(0)(x)
    shortcut = layer(1)(stem)
    ends = [shortcut, layer(3)(layer(2)(stem))]
    return models.Model(x, layers.Add()(ends[::-1] if swapped else ends))


def weights_of(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# As Keras orders them by depth.
ROWS = [
    (f"layers/conv2d{number}", name, conv())
    for number, name in zip(("", "_1", "_2", "_3"), ("stem", "main1", "shortcut", "main2"), strict=True)
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("swapped", [False, True])
def test_names_decide(tmp_path, end, swapped):
    model = parallel("stem", "shortcut", "main1", "main2", swapped=swapped)
    report = model.load_weights(write(tmp_path / f"w{end}", ROWS))
    found = weights_of(model)
    assert all(same(found[name], arrays) for _, name, arrays in ROWS)
    assert (report.naming, report.matched_by, report.loaded, report.by_order) == ("keras", "name", 8, [])


@pytest.mark.parametrize("end", ENDS)
def test_bfloat16_is_two_bytes_without_a_meaning(tmp_path, end):
    bits = [[(array.view(np.uint32) >> 16).astype("<u2") for array in arrays] for _, _, arrays in ROWS]
    rows = [(groups, name, [half.view("V2") for half in halves]) for (groups, name, _), halves in zip(ROWS, bits, strict=True)]
    model = parallel("stem", "shortcut", "main1", "main2")
    model.load_weights(write(tmp_path / f"w{end}", rows))
    found = weights_of(model)
    for (_, name, _), halves in zip(ROWS, bits, strict=True):
        assert same(found[name], [(half.astype(np.uint32) << 16).view(np.float32) for half in halves])


@pytest.mark.parametrize("end", ENDS)
def test_where_names_were_made_up_kerass_order_decides(tmp_path, end):
    layers.Conv2D(1, 1)  # here the numbers are others
    model = parallel()
    rows = [(groups, f"conv2d_{number}", arrays) for (groups, _, arrays), number in zip(ROWS, (7, 9, 8, 10), strict=True)]
    report = model.load_weights(write(tmp_path / f"w{end}", rows))
    assert same(model.get_weights(), [array for _, _, arrays in rows for array in arrays])
    assert report.matched_by == "order" and len(report.by_order) == 4
    assert report.by_order[0] == f"conv2d_7 as {model.layers[1].name}"


@pytest.mark.parametrize("end", ENDS)
def test_made_up_names_that_coincide_are_no_names(tmp_path, end):
    model = parallel("conv2d", "conv2d_1", "conv2d_2", "conv2d_3")
    rows = [(groups, name, arrays) for (groups, _, arrays), name in zip(
        ROWS, ("conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4"), strict=True)]
    assert model.load_weights(write(tmp_path / f"w{end}", rows)).matched_by == "order"
    assert same(model.get_weights(), [array for _, _, arrays in rows for array in arrays])


@pytest.mark.parametrize("end", ENDS)
def test_what_has_a_name_is_found_by_it_and_the_rest_by_order(tmp_path, end):
    model = parallel(None, "shortcut", None, None)
    rows = [(groups, name if name == "shortcut" else f"conv2d_{index}", arrays) for index, (groups, name, arrays) in enumerate(ROWS)]
    report = model.load_weights(write(tmp_path / f"w{end}", rows))
    assert same(model.get_weights(), [array for _, _, arrays in rows for array in arrays])
    assert report.matched_by == "order" and len(report.by_order) == 3


@pytest.mark.parametrize("end", ENDS)
def test_shapes_are_no_reason_to_take_a_layer_of_another_name_at_another_place(tmp_path, end):
    def chain(*names):
        x = y = layers.Input((4, 4, 2))
        for name in names:
            y = layers.Conv2D(2, 3, padding="same", name=name)(y)
        return models.Model(x, y)

    rows = [(groups, name, arrays) for (groups, _, arrays), name in zip(ROWS, "abcd", strict=True)]
    path = write(tmp_path / f"w{end}", rows)
    model = chain("a", "c", "d", "e")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"2 missing: e\.weight, e\.bias; 1 left over: b"):
        model.load_weights(path)
    assert same(model.get_weights(), before)
    renamed = chain("a", "b", "c", "another")
    assert renamed.load_weights(path).by_order == ["d as another"]


def nested(inner_names=("cc", "dd"), name="inner", head="head"):
    inner = models.Sequential(
        [layers.Conv2D(2, 3, padding="same", name=inner_names[0]), layers.Conv2D(2, 3, padding="same", name=inner_names[1])],
        name=name)
    x = layers.Input((4, 4, 2))
    y = layers.Conv2D(2, 3, padding="same", name=head)(inner(layers.Conv2D(2, 3, padding="same", name="before")(x)))
    return models.Model(x, y)


NESTED = [
    ("layers/conv2d", "before", conv()), ("layers/conv2d_1", "head", conv()),
    ("layers/sequential/layers/conv2d", "inner/cc", conv()), ("layers/sequential/layers/conv2d_1", "inner/dd", conv()),
]


@pytest.mark.parametrize("end", ENDS)
def test_models_within_have_their_own(tmp_path, end):
    rows = [(groups, name if end == ".h5" else name.split("/")[-1], arrays) for groups, name, arrays in NESTED]
    path = write(tmp_path / f"w{end}", rows)
    model = nested()
    assert model.load_weights(path).matched_by == "name"
    assert same(model.get_weights(), [array for index in (0, 2, 3, 1) for array in NESTED[index][2]])
    if end != ".h5":  # there an order of four convolutions is all that is left
        other = nested((None, None), None, None)
        assert other.load_weights(path).matched_by == "order"
        assert same(other.get_weights(), model.get_weights())


class Block(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.convolutions = [layers.Conv2D(2, 3, padding="same") for _ in range(2)]
        self.alone = layers.Conv2D(2, 3, padding="same")

    def call(self, x):
        for convolution in self.convolutions:
            x = convolution(x)
        return self.alone(x)


class Net(models.Model):
    def __init__(self):
        super().__init__()
        self.second, self.first = Block(), Block()

    def call(self, x):
        return self.second(self.first(x))


def test_classes_of_your_own_go_by_their_attributes(tmp_path):
    model = Net()
    model.build((None, 4, 4, 2))
    rows = [
        (f"{block}/{place}", f"conv2d_{number}", conv()) for number, (block, place) in enumerate(
            itertools.product(("first", "second"), ("alone", "convolutions/conv2d", "convolutions/conv2d_1")), 4)]
    model.load_weights(write(tmp_path / "w.weights.h5", rows))
    for block, at in ((model.first, 0), (model.second, 3)):
        for layer, (_, _, arrays) in zip((block.alone, *block.convolutions), rows[at:], strict=False):
            assert same(layer.get_weights(), arrays)


def bare(name, **options):
    return swiftcnn.create_model(name, input_shape=(8, 8, 3), include_top=False, pooling="avg", **options)


def rows_of(model, groups, names):
    """What Keras's file has for a network by name, with random weights."""
    counts = {}
    for layer in model.layers:
        if layer.weights:
            kind = {"Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d", "Dense": "dense"}.get(
                type(layer).__name__, "batch_normalization")
            number = counts.setdefault(kind, itertools.count())
            at = next(number)
            yield f"{groups}/{kind}{f'_{at}' if at else ''}", names(layer), [
                np.abs(array) + 0.5 for array in values(*(weight.shape for weight in layer.weights))]


@pytest.mark.parametrize("again", [False, True])
def test_a_backbone_takes_the_normalization_of_pixels_too(tmp_path, again):
    def make():
        x = layers.Input((8, 8, 3))
        return models.Model(x, layers.Dense(2, name="top")(bare("tf_efficientnet_b0", width_coefficient=0.1)(x)))

    model = make()
    mean, variance = values((3,), (3,))
    variance = np.abs(variance) + 0.1
    rows = [
        ("layers/functional/layers/rescaling", "rescaling", []), ("layers/dense", "top", values(*(
            weight.shape for weight in model.layers[-1].weights))),
        ("layers/functional/layers/normalization", "normalization", [mean, variance, np.int64(0)]),
        *([("layers/functional/layers/rescaling_1", "rescaling_1", [])] if again else []),
        *rows_of(model.layers[1], "layers/functional/layers", lambda layer: f"block_{layer.name}")]
    report = model.load_weights(write(tmp_path / "w.weights.h5", rows))
    assert report.loaded == len(model.weights)
    means, deviations = model.normalization
    np.testing.assert_allclose(means, mean, rtol=1e-5)
    np.testing.assert_allclose(deviations, np.sqrt(variance * ([0.229, 0.224, 0.225] if again else 1)), rtol=1e-5)
    assert model.layers[1].normalization == model.normalization
    assert same(model.layers[-1].get_weights(), rows[1][2])


def test_a_normalization_layer_has_to_be_the_files(tmp_path):
    def make(mean):
        x = layers.Input((4, 4, 2))
        y = layers.Normalization(mean=mean, variance=[1.0, 4.0])(x)
        return models.Model(x, layers.Conv2D(2, 3, name="cc")(y))

    rows = [("layers/normalization", "normalization", [np.float32([1, 2]), np.float32([1, 4]), np.int64(0)]), ("layers/conv2d", "cc", conv())]
    path = write(tmp_path / "w.weights.h5", rows)
    assert make([1.0, 2.0]).load_weights(path).loaded == 2
    with pytest.raises(ValueError, match=r"mean \[1.0, 2.0\] .* has \[1.0, 3.0\]"):
        make([1.0, 3.0]).load_weights(path)
    with pytest.raises(ValueError, match="no place"):
        models.Sequential([layers.Input((4, 4, 2)), layers.Conv2D(2, 3, name="cc")]).load_weights(path)


def kerass_resnet(classes):
    """A ResNet of one block a stage as keras.applications makes it, of layers."""
    def conv(x, name, filters, kernel, stride=1, padding="same"):
        x = layers.Conv2D(filters, kernel, strides=stride, padding=padding, name=f"{name}_conv")(x)
        return layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)

    image = layers.Input((32, 32, 3))
    x = layers.ReLU()(conv(layers.ZeroPadding2D(3)(image), "conv1", 8, 7, 2, "valid"))
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    for stage, width in enumerate((8, 16, 32, 64)):
        name, stride = f"conv{stage + 2}_block1", 2 if stage else 1
        shortcut = conv(x, f"{name}_0", 4 * width, 1, stride)
        x = layers.ReLU()(conv(x, f"{name}_1", width, 1, stride))
        x = layers.ReLU()(conv(x, f"{name}_2", width, 3))
        x = layers.ReLU()(layers.Add()([shortcut, conv(x, f"{name}_3", 4 * width, 1)]))
    x = layers.GlobalAveragePooling2D()(x)
    return models.Model(image, layers.Dense(classes, activation="softmax", name="predictions")(x))


@pytest.mark.parametrize("end", [".weights.h5", ".h5"])
def test_kerass_resnets_are_networks_of_their_own(tmp_path, end):
    reference = kerass_resnet(5)
    rows = list(rows_of(reference, "layers", lambda layer: layer.name))
    for (_, name, arrays), layer in zip(rows, [layer for layer in reference.layers if layer.weights], strict=True):
        arrays[0] = arrays[0] * (np.sqrt(1 / np.prod(arrays[0].shape[:-1])) if arrays[0].ndim > 1 else 1)
        layer.set_weights(arrays)
    path = write(tmp_path / f"w{end}", rows)
    options = {"input_shape": (32, 32, 3), "classes": 5, "stages": [1, 1, 1, 1], "width_coefficient": 0.125}
    with pytest.warns(UserWarning, match=r"keras\.applications\.ResNet.*the model is 'keras_resnet50'"):
        model = swiftcnn.create_model("ResNet50", weights=path, **options)
    assert model.name == "keras_resnet50"
    x = RANDOM.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    np.testing.assert_allclose(model.predict(x, verbose=0), reference.predict(x, verbose=0), rtol=1e-3, atol=1e-6)
    with pytest.raises(ValueError, match="another network than 'resnet50'.*'keras_resnet50'"):
        swiftcnn.create_model("resnet50", **options).load_weights(path)


def test_kerass_efficientnets_are_not_torchvisions(tmp_path):
    path = write(tmp_path / "w.weights.h5", [("layers/depthwise_conv2d", "block1a_dwconv", values((3, 3, 4, 1)))])
    backbone, x = bare("efficientnet_b0", width_coefficient=0.1), layers.Input((8, 8, 3))
    for model in (
        backbone, models.Model(x, layers.Dense(2)(backbone(x))), models.Model(backbone.input, layers.Dense(2)(backbone.output))
    ):
        with pytest.raises(ValueError, match="make a 'tf_efficientnet_b0'"):
            model.load_weights(path)


def test_nothing_that_fits_is_an_error_even_where_little_is_asked(tmp_path):
    path = write(tmp_path / "w.weights.h5", [("layers/dense", "dense", values((3, 4), (4,)))])
    with pytest.raises(ValueError, match="8 missing"):
        parallel().load_weights(path, strict=False)


# ------------------------------------------------------------------------------------------------------ hostile files


def refused(path, match, model=None):
    """That a file is refused, soon and with little memory."""
    resource = pytest.importorskip("resource")
    model = model or parallel("stem", "shortcut", "main1", "main2")
    before, peak, start = model.get_weights(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ValueError, match=match) as error:
        model.load_weights(path)
    assert str(path) in str(error.value) or "do not fit" in str(error.value)
    assert time.monotonic() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 200_000  # kilobytes
    assert same(model.get_weights(), before)


def changed(tmp_path, change, end=".weights.h5"):
    """A sound file, changed."""
    path = write(tmp_path / f"w{end}", ROWS)
    with h5py.File(path, "a") as file:
        change(file)
    return path


def test_groups_that_are_linked_twice_are_not_visited_twice(tmp_path):
    def change(file):
        group = file["layers"].create_group("a")
        for _ in range(60):
            inner = group.create_group("a")
            group["b"] = inner
            group = inner

    refused(changed(tmp_path, change), "linked twice")


def test_groups_within_themselves_and_deep_ones_are_refused(tmp_path):
    def cycle(file):
        file["layers/conv2d/again"] = file["layers"]

    refused(changed(tmp_path, cycle), "linked twice")
    refused(changed(tmp_path, lambda file: file.create_group("layers/" + "a/" * 1000)), "within each other")


@pytest.mark.parametrize("options", [{"chunks": (1 << 16,)}, {"chunks": (1 << 16,), "compression": "gzip"}, {}])
def test_what_is_declared_is_not_read_before_it_is_compared(tmp_path, options):
    def change(file):
        del file["layers/conv2d/vars/1"]
        file["layers/conv2d/vars"].create_dataset("1", (1 << 33,), np.float32, **options)

    refused(changed(tmp_path, change), "bytes of values")


def test_what_is_there_but_too_large_is_not_read(tmp_path):
    def change(file):
        del file["layers/conv2d/vars/1"]
        data = np.zeros(1 << 24, np.float32)
        file["layers/conv2d/vars"].create_dataset("1", data=data, chunks=(1 << 20,), compression="gzip")

    refused(changed(tmp_path, change), "misshapen")


def test_other_files_are_not_read(tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["value"] = np.zeros(2, np.float32)
        file.create_group("group/vars")
    (tmp_path / "raw").write_bytes(bytes(8))
    virtual = h5py.VirtualLayout((2,), np.float32)
    virtual[:] = h5py.VirtualSource(str(other), "value", (2,))

    def replaced(key, value):
        def change(file):
            del file[key]
            if callable(value):
                value(file)
            else:
                file[key] = value
        return changed(tmp_path, change)

    at = "layers/conv2d/vars/1"
    refused(replaced(at, h5py.ExternalLink(str(other), "/value")), "link to somewhere else")
    refused(replaced(at, h5py.SoftLink("/layers/conv2d_1/vars/1")), "link to somewhere else")
    refused(replaced("layers", h5py.ExternalLink(str(other), "/group")), "link to somewhere else")
    refused(replaced(at, lambda file: file.create_virtual_dataset(at, virtual)), "another file")
    refused(
        replaced(at, lambda file: file.create_dataset(at, (2,), np.float32, external=[(str(tmp_path / "raw"), 0, 8)])),
        "another file")


def test_archives_that_become_much_longer_are_refused(tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(1 << 27))
    refused(path, "which become")


@pytest.mark.parametrize(("config", "match"), [(b"{", "no JSON"), (b"[" * 100_000, "no JSON"), (b"\xff", "no JSON")])
def test_an_archives_description_has_to_be_one(tmp_path, config, match):
    path = write(tmp_path / "m.keras", ROWS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.write(tmp_path / "m.weights.h5", "model.weights.h5")
    refused(path, match)


def objects_in(path):
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda name, _: found.append(name))
        attributes = [(name, key) for name in ["/", *found] for key in file[name].attrs]
    return found, attributes


REPLACEMENTS = [
    np.float32(3), np.zeros((2, 0)), np.array([b"text"]), np.bool_(True), np.zeros(2, np.complex64), "text", None,
    np.zeros(2, [("a", "f4"), ("b", "i4")]), h5py.Empty("f4"), np.full(3, 1e300), "group",
]


@pytest.mark.parametrize("end", ENDS[:2])
def test_whatever_is_something_else_gives_a_sentence(tmp_path, end):
    """Every object and every attribute is replaced by everything else, or removed: it loads, or it is a ValueError."""
    path = write(tmp_path / f"w{end}", ROWS[:1], config={"config": {"layers": []}})
    original = path.read_bytes()
    objects, attributes = objects_in(path)
    x = layers.Input((4, 4, 2))
    model = models.Model(x, layers.Conv2D(2, 3, name="stem")(x))
    faults = 0
    places = [*((name, None) for name in objects), *attributes]
    for number, ((name, key), value) in enumerate(itertools.product(places, REPLACEMENTS)):
        path.write_bytes(original)
        with h5py.File(path, "a") as file:
            place, key = (file, name) if key is None else (file[name].attrs, key)
            del place[key]
            if isinstance(value, str) and value == "group" and place is file:
                file.create_group(key)
            elif value is not None:
                place[key] = value
        try:
            model.load_weights(path, strict=number % 2 == 0)
        except ValueError as error:
            faults += 1
            assert "is not a file of Keras's weights" in str(error) or "do not fit" in str(error)
    assert faults > len(objects)


@pytest.mark.parametrize("end", ENDS)
def test_a_file_that_is_cut_gives_a_sentence(tmp_path, end):
    path = write(tmp_path / f"w{end}", ROWS)
    whole, model = path.read_bytes(), parallel("stem", "shortcut", "main1", "main2")
    for length in range(8, len(whole), len(whole) // 20):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"not a file of Keras's weights|cut off|ends in the middle"):
            model.load_weights(path)


# ------------------------------------------------------------------------------------------------------- whole models


def layer(kind, name, inbound=None, **config):
    """A layer as Keras describes it."""
    row = {"module": "keras.layers", "class_name": kind, "registered_name": None, "name": name, "config": {
        "name": name, "trainable": True, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}},
        **config}}
    return row if inbound is None else row | {"inbound_nodes": inbound}


def tensor(name, call=0):
    return {"class_name": "__keras_tensor__", "config": {"shape": [None, 4, 4, 2], "dtype": "float32", "keras_history": [name, call, 0]}}


def called(*args, **kwargs):
    return {"args": list(args), "kwargs": kwargs}


def image(name="image", shape=(None, 4, 4, 2)):
    return layer("InputLayer", name, [], batch_shape=list(shape), sparse=False, ragged=False)


def conv_row(name, *inbound, filters=2, **config):
    return layer("Conv2D", name, list(inbound) or None, filters=filters, kernel_size=[3, 3], padding="same", activation="relu",
        kernel_initializer={"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": None, "axes": 3}},
        activity_regularizer=None, lora_rank=None, **config)


def functional(rows, outputs, name="whole", inputs=("image", 0, 0)):
    return {"module": "keras", "class_name": "Functional", "config": {
        "name": name, "trainable": True, "layers": rows, "input_layers": [list(inputs)], "output_layers": outputs}}


def network_of_keras():
    """A stack within, a layer that is shared, a sum that is a layer and arithmetic that is none."""
    stack = {"class_name": "Sequential", "name": "stack", "inbound_nodes": [called(tensor("image"), mask=None)], "config": {
        "name": "stack", "layers": [image("within"), conv_row("one"), layer("BatchNormalization", "two", axis=-1, epsilon=0.01,
            renorm=False, renorm_clipping=None, renorm_momentum=0.99)]}}
    return functional([
        image(), conv_row("shared", called(tensor("stack")), called(tensor("shared"))), stack,
        layer("Add", "add", [called([tensor("shared", 1), tensor("stack")])]),
        {"module": "keras.src.ops.numpy", "class_name": "Multiply", "config": {"name": "multiply"}, "registered_name": "Multiply",
         "name": "multiply", "inbound_nodes": [called(tensor("add"), 2.0)]},
        {"module": "keras.src.ops.numpy", "class_name": "Add", "config": {"name": "add_1"}, "name": "add_1",
         "inbound_nodes": [called(tensor("multiply"), tensor("image"))]},
        {"module": "keras.src.ops.numpy", "class_name": "Maximum", "config": {"name": "maximum"}, "name": "maximum",
         "inbound_nodes": [called(tensor("add_1"), tensor("image"))]},
        layer("Dense", "head", [called(tensor("maximum"))], units=3)], [["head", 0, 0]])


@pytest.mark.parametrize("end", [".keras", ".h5"])
def test_a_model_of_kerass_is_made_of_the_layers_here(tmp_path, end):
    prefix = "stack/" if end == ".h5" else ""
    rows = [
        ("layers/sequential/layers/conv2d", f"{prefix}one", conv()),
        ("layers/sequential/layers/batch_normalization", f"{prefix}two", [np.abs(each) + 0.5 for each in values((2,), (2,), (2,), (2,))]),
        ("layers/conv2d", "shared", conv()), ("layers/dense", "head", values((2, 3), (3,)))]
    model = swiftcnn.load_model(write(tmp_path / f"m{end}", rows, config=network_of_keras()))

    x = layers.Input((4, 4, 2))
    one, two = layers.Conv2D(2, 3, padding="same", activation="relu"), layers.BatchNormalization(epsilon=0.01)
    shared, head = layers.Conv2D(2, 3, padding="same", activation="relu"), layers.Dense(3)
    stack = two(one(x))
    reference = models.Model(x, head(layers.maximum([layers.add([shared(shared(stack)), stack]) * 2.0 + x, x])))
    for made, (_, _, arrays) in zip((one, two, shared, head), rows, strict=True):
        made.set_weights(arrays)
    np.testing.assert_allclose(model.predict(X, verbose=0), reference.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
    assert (model.name, model.get_layer("stack").get_layer("two").epsilon) == ("whole", 0.01)
    assert model.get_layer("add") and not model.compiled


def test_models_of_keras_2_are_read_too(tmp_path):
    rows = [
        {"class_name": "InputLayer", "name": "image", "inbound_nodes": [], "config": {"name": "image", "batch_input_shape": [None, 4, 4, 2]}},
        {"class_name": "Dense", "name": "a", "inbound_nodes": [[["image", 0, 0, {}]]], "config": {"name": "a", "dtype": "float32", "units": 2}},
        {"class_name": "Add", "name": "sum", "inbound_nodes": [[["a", 0, 0, {}], ["image", 0, 0, {}]]], "config": {"name": "sum"}}]
    a = values((2, 2), (2,))
    model = swiftcnn.load_model(write(tmp_path / "m.h5", [("", "a", a)], config=functional(rows, [["sum", 0, 0]])))
    np.testing.assert_allclose(model.predict(X, verbose=0), X @ a[0] + a[1] + X, rtol=1e-5, atol=1e-6)


def test_a_model_with_several_inputs_and_outputs_by_key_is_read(tmp_path):
    rows = [image("left"), image("right"), layer("Dense", "a", [called(tensor("right"))], units=2),
            layer("Add", "sum", [called([tensor("left"), tensor("a")])])]
    config = functional(rows, {"dense": ["a", 0, 0], "sum": ["sum", 0, 0]})
    config["config"]["input_layers"] = {"l": ["left", 0, 0], "r": ["right", 0, 0]}
    a = values((2, 2), (2,))
    model = swiftcnn.load_model(write(tmp_path / "m.keras", [("layers/dense", "a", a)], config=config))
    found = model.predict({"l": X, "r": X[::-1]}, verbose=0)
    dense = X[::-1] @ a[0] + a[1]
    assert model.input_names == ["l", "r"] and list(found) == ["dense", "sum"]
    np.testing.assert_allclose(found["dense"], dense, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["sum"], X + dense, rtol=1e-5, atol=1e-6)


def test_a_normalization_is_made_of_what_the_file_has(tmp_path):
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [image(), layer("Normalization", "n", axis=[-1], mean=None, variance=None)]}}
    rows = [("layers/normalization", "n", [np.float32([1, 2]), np.float32([4, 9]), np.int64(7)])]
    model = swiftcnn.load_model(write(tmp_path / "m.keras", rows, config=config))
    np.testing.assert_allclose(model.predict(X, verbose=0), (X - [1, 2]) / [2, 3], rtol=1e-5, atol=1e-6)


def test_all_layers_that_are_not_here_are_named_and_no_code_is_run(tmp_path):
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAAAAAAAAEAAAADAAAA"}}
    config = functional([
        image(), layer("Lambda", "mine", [called(tensor("image"))], function=code),
        layer("LSTM", "words", [called(tensor("mine"))], units=4),
        layer("Dropout", "drop", [called(tensor("words"))], rate=0.2, noise_shape=[None, 1, 1, 1]),
        conv_row("half", called(tensor("drop"))) | {"config": {"name": "half", "filters": 2, "kernel_size": 3, "dtype": "float16"}},
    ], [["half", 0, 0]])
    path = write(tmp_path / "m.keras", [("layers/conv2d", "half", conv())], config=config)
    with pytest.raises(ValueError, match=r"Keras.*4 layers.*'mine' \(Lambda\); 'words' \(LSTM\); 'drop' \(Dropout\): .*'half'.*float16"):
        swiftcnn.load_model(path)
    with pytest.raises(ValueError, match="Keras.*of the class 'Mine'"):
        swiftcnn.load_model(write(path, [("layers/conv2d", "half", conv())], config={"class_name": "Mine", "config": {}}))


@pytest.mark.parametrize("policy", ["float32", "bfloat16", "mixed_bfloat16"])
@pytest.mark.parametrize("as_name", [True, False])
def test_a_model_computes_in_what_a_layer_of_the_file_did(tmp_path, policy, as_name):
    dtype = policy if as_name else {"module": "keras", "class_name": "DTypePolicy", "config": {"name": policy}}
    config = functional([image(), conv_row("c", called(tensor("image")), dtype=dtype)], [["c", 0, 0]])
    model = swiftcnn.load_model(write(tmp_path / "m.keras", [("layers/conv2d", "c", conv())], config=config))
    assert model.dtype_policy.name == policy


@pytest.mark.parametrize("end", [".weights.h5", ".h5"])
def test_a_file_without_a_network_says_so(tmp_path, end):
    with pytest.raises(ValueError, match="Keras's with weights and no network.*load_weights"):
        swiftcnn.load_model(write(tmp_path / f"w{end}", ROWS))


@pytest.mark.parametrize("config", [
    {"class_name": "Functional"}, {"class_name": 3, "config": None}, {"config": {}}, [], 7, "text",
    functional([image()], []), functional([image()], [["other", 0, 0]]), functional([image(), conv_row("a", called(tensor("b")))], [["a", 0, 0]]),
    functional([image(), conv_row("a", {"args": 3})], [["a", 0, 0]]), functional([image(shape=(None, "4", 4, 2))], [["image", 0, 0]]),
    functional([image(), conv_row("a", called(tensor("a")))], [["a", 0, 0]]), functional([image(), image()], [["image", 0, 5]]),
    {"class_name": "Sequential", "config": {"name": 5, "layers": [3]}}, {"class_name": "Sequential", "config": {"layers": {}}},
])
def test_what_is_no_description_gives_a_sentence(tmp_path, config):
    with pytest.raises(ValueError, match="of Keras's"):
        swiftcnn.load_model(write(tmp_path / "m.keras", ROWS, config=config))


def soon_and_small(action):
    resource = pytest.importorskip("resource")
    peak, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    result = action()
    assert time.monotonic() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 200_000  # kilobytes
    return result


def test_a_description_cannot_ask_for_more_than_the_file_holds(tmp_path):
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [image(), layer("Dense", "d", units=1 << 30)]}}
    path = write(tmp_path / "m.keras", [("layers/dense", "d", values((2, 3), (3,)))], config=config)

    def load():
        with pytest.raises(ValueError, match="more than .* elements"):
            swiftcnn.load_model(path)

    soon_and_small(load)


def test_nor_can_that_of_a_model_file(tmp_path):
    model = models.Sequential([layers.Input((4,)), layers.Dense(3, name="d")])
    model.save(tmp_path / "m.safetensors")
    core = model._handle
    text = json.loads(core.metadata("swiftcnn.python"))
    text["layers"][0]["config"]["units"] = 1 << 29
    core.set_metadata("swiftcnn.python", json.dumps(text))
    core.save(str(tmp_path / "m.safetensors"), None)
    with pytest.warns(UserWarning, match="more than .* elements"):
        other = soon_and_small(lambda: models.load_model(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(other.get_parameter("d.weight"), model.get_parameter("d.weight"))


def test_model_files_with_other_names_go_by_kerass_order_unless_given_names_are_elsewhere(tmp_path):
    path = tmp_path / "m.safetensors"
    model = parallel()
    model.save(path)
    other = parallel(swapped=False)
    assert other.load_weights(path).matched_by == "order"
    assert same(other.get_weights(), model.get_weights())
    named = parallel("stem", "shortcut", "main1", "main2")
    named.save(path)
    with pytest.raises(ValueError):
        parallel("stem", "main1", "shortcut", "new").load_weights(path)
