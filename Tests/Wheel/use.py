"""What a user does first with an installed package, in an environment that has nothing else and far from its sources."""

import importlib.resources
import pathlib
import sys

import numpy as np
import swiftcnn

assert pathlib.Path(swiftcnn.__file__).is_relative_to(sys.prefix), swiftcnn.__file__
package = importlib.resources.files("swiftcnn")
assert package.joinpath("py.typed").is_file() and package.joinpath("_swiftcnn.pyi").is_file()

x = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8)
y = np.arange(32) % 4
model = swiftcnn.create_model("resnet20", input_shape=(16, 16, 3), classes=4)
model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, batch_size=8, epochs=2, verbose=0)
assert np.isfinite(history.history["loss"]).all()

expected = model.predict(x, verbose=0)
model.save("model.safetensors")
np.testing.assert_array_equal(swiftcnn.load_model("model.safetensors").predict(x, verbose=0), expected)

# The library for ONNX is another, which lies beside the first.
model.export("model.onnx")
pixels = x.astype(np.float32)
read = swiftcnn.load_model("model.onnx").predict(pixels, verbose=0)
assert read.shape == (32, 4) and np.isfinite(read).all()
