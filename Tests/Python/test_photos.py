"""Trained weights from a package classify photos as PyTorch does with Pillow's preparation."""

import os
import pathlib
import subprocess
import sys

import golden
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


def test_the_example_says_that_a_cat_is_one():
    program = pathlib.Path(PACKAGE_ROOT, "examples", "classify_photos.py")
    arguments = ["tf_efficientnet_lite0", str(FOLDER / DOCUMENT["weights"]), str(FOLDER / "skimage/data/chelsea.png")]
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("chelsea.png: tiger cat 39.3 %")
