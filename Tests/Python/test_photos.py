"""Trained weights from a package classify photos as PyTorch does with Pillow's preparation."""

import os
import pathlib
import subprocess
import sys

import golden
import numpy as np
import pytest

import swiftcnn
from conftest import PACKAGE_ROOT

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "build" / "photos"
DOCUMENT = golden.document("photos")

pytestmark = pytest.mark.skipif(not (FOLDER / "ready").exists(), reason="make build/photos/ready")


@pytest.fixture(scope="module")
def model():
    return swiftcnn.create_model("tf_efficientnet_lite0", weights=FOLDER / DOCUMENT["weights"])


@pytest.mark.parametrize("photo", DOCUMENT["photos"])
def test_a_photo_has_the_classes_and_probabilities_of_pytorch(model, photo):
    expected = DOCUMENT["photos"][photo]
    found = model.classify(FOLDER / photo, top=5)
    assert [name for name, _ in found] == [model.class_names[index] for index in expected["classes"]]
    assert [probability for _, probability in found] == pytest.approx(expected["probabilities"], abs=1e-3)


@pytest.mark.parametrize("photo", DOCUMENT["photos"])
def test_in_bfloat16_a_photo_has_nearly_the_same_probabilities(model, photo):
    expected = model.classify(FOLDER / photo, top=3)
    model.set_precision("bfloat16")
    found = dict(model.classify(FOLDER / photo, top=10))
    model.set_precision("float32")
    assert [found[name] for name, _ in expected] == pytest.approx([value for _, value in expected], abs=0.03)


def run(example: str, *arguments: str, datasets: pathlib.Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, str(pathlib.Path(PACKAGE_ROOT, "examples", example)), *arguments],
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT, "SWIFTCNN_DATASETS": str(datasets)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_says_that_a_cat_is_one():
    output = run(
        "classify_photos.py", "tf_efficientnet_lite0", str(FOLDER / DOCUMENT["weights"]),
        str(FOLDER / "skimage/data/chelsea.png"))  # fmt: skip
    assert output.startswith("chelsea.png: tiger cat 39.3 %")


def test_the_example_fine_tunes_and_saves_what_it_made(datasets, tmp_path):
    path = tmp_path / "tuned.safetensors"
    output = run(
        "finetune.py", "tf_efficientnet_lite0", str(FOLDER / DOCUMENT["weights"]), str(path), "--images", "32",
        "--seconds", "0.1", datasets=datasets)  # fmt: skip
    assert "from scratch" in output
    assert swiftcnn.load_model(path).predict(np.zeros((1, 112, 112, 3), np.uint8), verbose=0).shape == (1, 10)
