"""Networks as ONNX files: what is written means the same to ONNX Runtime, what is read means what it meant."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import swiftcnn
from swiftcnn import layers


def randomized(model: swiftcnn.Model, seed: int = 3) -> swiftcnn.Model:
    """The model with statistics and biases that are not 0 and 1."""
    random = np.random.default_rng(seed)
    for row in model.parameters:
        if row.role != "weight":
            spread = random.uniform(0.5, 1.5, row.shape) if row.name.endswith("var") else random.normal(0, 0.3, row.shape)
            model.set_parameter(row.name, spread.astype(np.float32))
    return model


def close(actual: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


def run(path: Path, x: np.ndarray) -> np.ndarray:
    """What ONNX Runtime makes of it, after the checks of the package `onnx`."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    onnx.checker.check_model(str(path), full_check=True)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


BUILDERS = ["resnet18", "resnet50", "resnext50_32x4d", "efficientnet_b0", "efficientnet_v2_s", "efficientnet_lite0"]


def builders() -> list[str]:
    names = swiftcnn.list_models()
    return [name for name in BUILDERS if name in names]


@pytest.mark.parametrize("name", builders())
def test_builders_are_the_same_in_onnx_runtime_and_read_back(name, tmp_path):
    model = randomized(swiftcnn.create_model(name, input_shape=(64, 64, 3), classes=10, classifier_activation=None))
    x = np.random.default_rng(1).normal(size=(3, 64, 64, 3)).astype(np.float32)
    expected = model.predict(x, verbose=0)
    path = tmp_path / "m.onnx"
    model.export(path)
    close(run(path, x), expected)
    back = swiftcnn.load_model(path)
    assert back.input_shape == model.input_shape
    close(back.predict(x, verbose=0), expected, 1e-6)
    model.export(path, layout="nchw")
    close(run(path, x.transpose(0, 3, 1, 2)), expected)


def layered() -> dict[str, swiftcnn.Model]:
    def model(function, shape=(9, 7, 3)):
        inputs = layers.Input(shape)
        return swiftcnn.Model(inputs, function(inputs))

    def activated(name):
        return model(lambda x: layers.Activation(name)(layers.Dense(8)(x)), (6,))

    cases = {
        name: activated(name)
        for name in ["relu", "relu6", "silu", "sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "gelu", "mish"]
    }
    cases |= {
        "same": model(lambda x: layers.Conv2D(5, 4, strides=2, padding="same")(x)),
        "depthwise": model(lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x)),
        "pools": model(
            lambda x: layers.Concatenate()(
                [layers.MaxPooling2D(3, 2, padding="same")(x), layers.AveragePooling2D(3, 2, padding="same")(x)]
            )
        ),
        "flatten": model(lambda x: layers.Dense(4)(layers.Flatten()(layers.Conv2D(6, 3)(x)))),
        "gate": model(
            lambda x: layers.Multiply()(
                [
                    y := layers.Conv2D(6, 1)(x),
                    layers.Reshape((1, 1, 6))(layers.Dense(6, "sigmoid")(layers.GlobalAveragePooling2D()(y))),
                ]
            )
        ),
        "prelu": model(lambda x: layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(4, 3)(x))),
        "leaky": model(lambda x: layers.LeakyReLU(0.3)(layers.Conv2D(4, 3)(x))),
        "relu of three": model(lambda x: layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)(x)),
        "rescaling": model(lambda x: layers.Rescaling([1.0, 2.0, 0.5], [0.0, 1.0, -1.0])(x)),
        "padding": model(lambda x: layers.ZeroPadding2D(((1, 2), (0, 3)))(x)),
        "normalised rows": model(lambda x: layers.BatchNormalization()(layers.Dense(5)(x)), (6,)),
        "no scale": model(lambda x: layers.BatchNormalization(scale=False, center=False)(layers.Conv2D(4, 1)(x))),
        "softmax": model(lambda x: layers.Softmax()(layers.Conv2D(4, 1)(x))),
        "dense on an image": model(lambda x: layers.Dense(5)(layers.Conv2D(4, 1)(x))),
        "sum": model(lambda x: layers.Add()([layers.Conv2D(3, 3, padding="same")(x), x])),
        "maximum": model(lambda x: layers.GlobalMaxPooling2D()(layers.Dropout(0.3)(x))),
    }
    return cases


LAYERED = layered()


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_layers_are_the_same_in_onnx_runtime(name, layout, tmp_path):
    model = randomized(LAYERED[name])
    x = np.random.default_rng(2).normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    expected = model.predict(x, verbose=0)
    path = tmp_path / "m.onnx"
    model.export(path, layout=layout)
    turned = layout == "nchw" and x.ndim == 4
    result = run(path, x.transpose(0, 3, 1, 2) if turned else x)
    close(result.transpose(0, 2, 3, 1) if turned and result.ndim == 4 else result, expected, 1e-5)


@pytest.mark.parametrize("name", [name for name in LAYERED if name != "relu of three"])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_layers_read_back_are_the_same(name, layout, tmp_path):
    model = randomized(LAYERED[name])
    x = np.random.default_rng(2).normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    path = tmp_path / "m.onnx"
    model.export(path, layout=layout)
    close(swiftcnn.load_model(path).predict(x, verbose=0), model.predict(x, verbose=0), 1e-6)


def test_pixels_are_normalised_in_the_file(tmp_path):
    model = swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=4)
    model.set_normalization([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    x = np.random.default_rng(3).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    expected = model.predict(x, verbose=0)
    for layout in ("nhwc", "nchw"):
        path = tmp_path / f"{layout}.onnx"
        model.export(path, layout=layout, pixels=True)
        close(run(path, x if layout == "nhwc" else x.transpose(0, 3, 1, 2)), expected)
        close(swiftcnn.load_model(path).predict(x, verbose=0), expected, 1e-5)
    # A file that takes floats says how pixels become them.
    model.export(tmp_path / "floats.onnx")
    back = swiftcnn.load_model(tmp_path / "floats.onnx")
    assert back.normalization == model.normalization
    close(back.predict(x, verbose=0), expected, 1e-6)


def test_images_of_any_size(tmp_path):
    model = swiftcnn.create_model("resnet18", input_shape=(None, None, 3), classes=5)
    model.export(tmp_path / "m.onnx")
    back = swiftcnn.load_model(tmp_path / "m.onnx")
    assert back.input_shape == (None, None, None, 3)
    for size in (64, 96):
        x = np.random.default_rng(4).normal(size=(2, size, size + 32, 3)).astype(np.float32)
        close(back.predict(x, verbose=0), model.predict(x, verbose=0), 1e-6)
        close(run(tmp_path / "m.onnx", x), model.predict(x, verbose=0))


def test_what_is_read_trains(tmp_path, data):
    x, y = data
    model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 1), classes=10)
    model.export(tmp_path / "m.onnx")
    trained = []
    for one in (model, swiftcnn.load_model(tmp_path / "m.onnx")):
        one.compile(swiftcnn.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
        trained.append(one.fit(x, y, epochs=4, batch_size=8, shuffle=False, verbose=0).history["loss"])
    assert trained[1][-1] < trained[1][0]
    # The same network, the same weights: the same training.
    np.testing.assert_allclose(trained[0], trained[1], rtol=1e-3)


def test_names_are_those_of_the_initializers(tmp_path):
    model = swiftcnn.create_model("resnet18", input_shape=(32, 32, 3))
    model.export(tmp_path / "m.onnx")
    back = swiftcnn.load_model(tmp_path / "m.onnx")
    assert {row.name for row in back.parameters} == {row.name for row in model.parameters}
    assert {row.name: row.role for row in back.parameters} == {row.name: row.role for row in model.parameters}


# ------------------------------------------------------------------------------------------------------- foreign files


def saved(path: Path, nodes, inputs, outputs, initializers=(), opset=17, **options) -> Path:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def node(kind, inputs, outputs, **attributes):
    return pytest.importorskip("onnx").helper.make_node(kind, inputs, outputs, **attributes)


def array(name, values):
    return pytest.importorskip("onnx").numpy_helper.from_array(np.asarray(values), name)


IMAGE = [("x", ["batch", 3, 8, 8])]


def test_an_operation_that_is_not_read_is_named(tmp_path):
    path = saved(tmp_path / "m.onnx", [node("Det", ["x"], ["y"], name="odd")], IMAGE, ["y"])
    with pytest.raises(ValueError, match=r"m\.onnx.*node 'odd' \(Det\).*not supported"):
        swiftcnn.load_model(path)


def test_undefined_inputs_cycles_and_duplicates_are_named(tmp_path):
    path = tmp_path / "m.onnx"
    saved(path, [node("Relu", ["z"], ["y"], name="a")], IMAGE, ["y"])
    with pytest.raises(ValueError, match=r"node 'a' \(Relu\): it reads 'z'"):
        swiftcnn.load_model(path)
    saved(path, [node("Add", ["x", "z"], ["y"], name="a"), node("Relu", ["y"], ["z"], name="b")], IMAGE, ["y"])
    with pytest.raises(ValueError, match=r"node 'b' \(Relu\): it reads 'y'.*cycle"):
        swiftcnn.load_model(path)
    saved(path, [node("Relu", ["x"], ["y"], name="a"), node("Tanh", ["x"], ["y"], name="b")], IMAGE, ["y"])
    with pytest.raises(ValueError, match=r"node 'b' \(Tanh\).*'y'.*twice"):
        swiftcnn.load_model(path)


def test_sizes_beyond_all_measure_are_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "m.onnx"
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[2**62, 2**62, 3, 3])
    saved(path, [node("Conv", ["x", "w"], ["y"], name="c")], IMAGE, ["y"], [tensor])
    with pytest.raises((ValueError, MemoryError), match="'w'"):
        swiftcnn.load_model(path)
    saved(path, [node("ConstantOfShape", ["s"], ["y"], name="c")], IMAGE, ["y"], [array("s", [2**40, 2**40])])
    with pytest.raises((ValueError, MemoryError), match=r"node 'c' \(ConstantOfShape\)"):
        swiftcnn.load_model(path)
    saved(path, [node("Relu", ["x"], ["y"])], [("x", [1, 2**62, 8, 8])], ["y"])
    with pytest.raises((ValueError, MemoryError), match="input 'x'"):
        swiftcnn.load_model(path)


def external(folder: Path, location: str, **entries) -> Path:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4, 3, 1, 1], data_location=1)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return saved(folder / "m.onnx", [node("Conv", ["x", "w"], ["y"])], IMAGE, ["y"], [tensor])


def test_external_data_are_read_from_the_models_folder_alone(tmp_path):
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    weights = np.random.default_rng(5).normal(size=12).astype(np.float32)
    for file in (folder / "w.bin", folder / "deep" / "w.bin", tmp_path / "secret.bin"):
        file.write_bytes(b"1234" + weights.tobytes())
    os.symlink(tmp_path / "secret.bin", folder / "link.bin")
    for good in ("w.bin", "deep/w.bin"):
        model = swiftcnn.load_model(external(folder, good, offset=4, length=48))
        np.testing.assert_array_equal(model.get_parameter("w").ravel(), weights)
    for bad in ("../secret.bin", str(tmp_path / "secret.bin"), "deep/../../secret.bin", "link.bin", ""):
        with pytest.raises(ValueError, match="outside|no location|'w'"):
            swiftcnn.load_model(external(folder, bad, offset=4, length=48))
    with pytest.raises(FileNotFoundError):
        swiftcnn.load_model(external(folder, "none.bin"))
    for wrong in ({"offset": 8}, {"offset": -1}, {"offset": 2**62}, {"offset": 4, "length": 44}, {"offset": "x"}):
        with pytest.raises(ValueError, match="'w'"):
            swiftcnn.load_model(external(folder, "w.bin", **wrong))


def test_shape_arithmetic_is_folded(tmp_path):
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["batch"], axis=0),
        node("Unsqueeze", ["batch", "axes"], ["first"]),
        node("Concat", ["first", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["flat"]),
        node("MatMul", ["flat", "w"], ["product"]),
        node("Add", ["product", "b"], ["y"]),
    ]
    w, b = np.random.default_rng(6).normal(size=(192, 5)).astype(np.float32), np.arange(5, dtype=np.float32)
    initializers = [array("zero", np.int64(0)), array("axes", [0]), array("rest", [-1]), array("w", w), array("b", b)]
    path = saved(tmp_path / "m.onnx", nodes, IMAGE, ["y"], initializers)
    x = np.random.default_rng(7).normal(size=(4, 3, 8, 8)).astype(np.float32)
    model = swiftcnn.load_model(path)
    close(model.predict(x.transpose(0, 2, 3, 1), verbose=0), x.reshape(4, -1) @ w + b, 1e-6)


def test_functions_spelled_out_become_one(tmp_path):
    nodes = [
        node("Div", ["x", "root"], ["u"]), node("Erf", ["u"], ["v"]), node("Add", ["v", "one"], ["w"]),
        node("Mul", ["x", "w"], ["p"]), node("Mul", ["p", "half"], ["g"]), node("Sigmoid", ["g"], ["s"]),
        node("Mul", ["g", "s"], ["y"]),
    ]  # fmt: skip
    numbers = [array("root", np.float32(2**0.5)), array("one", np.float32(1)), array("half", np.float32(0.5))]
    model = swiftcnn.load_model(saved(tmp_path / "m.onnx", nodes, IMAGE, ["y"], numbers))
    text = model.graph()
    assert "gelu" in text and "silu" in text and "erf" not in text and "multiply" not in text


def test_options_and_arguments_are_checked(tmp_path):
    model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 1))
    path = tmp_path / "m.onnx"
    with pytest.raises(ValueError, match="format"):
        model.export(path, format="tf_saved_model")
    with pytest.raises(ValueError, match="layout.*nchw"):
        model.export(path, layout="nchv")
    assert not path.exists()
    model.export(path)
    with pytest.raises(ValueError, match="layout"):
        swiftcnn.onnx.load(path, layout="left")
    with pytest.raises(TypeError, match="batch"):
        swiftcnn.onnx.load(path, batch=1)
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match="m.onnx"):
        swiftcnn.load_model(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        swiftcnn.load_model(path)
