"""The article's two listings run with only their import lines changed, and the first trains as in Keras."""

import re

import golden
import numpy as np
import pytest

import listings  # Tests/Golden

PACKAGE = "keras" if golden.IS_KERAS else "swiftcnn"
BLOCKS = re.findall(r"```python\n(.*?)```", (listings.FOLDER / "article_listings.md").read_text(), re.DOTALL)
only_swiftcnn = pytest.mark.skipif(golden.IS_KERAS, reason="Keras has no EfficientNet.from_name")


def is_import(line):
    return re.match(r"(import|from) ", line) is not None


@pytest.mark.parametrize("name, block", [("resnet", 0), ("efficientnet", 1)])
def test_only_import_lines_differ_from_the_article(name, block):
    article, ours = BLOCKS[block].splitlines(), (listings.FOLDER / f"{name}.py").read_text().splitlines()
    assert [line for line in ours if not is_import(line)] == [line for line in article if not is_import(line)]
    imports = [line for line in ours if is_import(line)]
    assert ours[: len(imports)] == imports and len(imports) <= sum(is_import(line) for line in article)
    assert all(line.startswith("from swiftcnn") for line in imports)


def test_the_article_has_two_listings():
    assert len(BLOCKS) == 2


def test_the_first_listing_trains_as_written():
    model = listings.run("resnet", PACKAGE)["model"]
    x, y = listings.batch()
    before = model.predict(x[:1], verbose=0)
    assert before.shape == (1, 112, 112, 64)
    loss, accuracy = model.train_on_batch(x[:1], y[:1])
    assert np.isfinite(loss) and 0 <= accuracy <= 1
    assert not np.array_equal(model.predict(x[:1], verbose=0), before)


@pytest.mark.parametrize("argument", [False, True])
def test_the_first_listing_has_the_losses_of_keras(argument):
    # Keras 3 leaves the layers in inference mode where `call` has no argument `training`, Keras 2 and swiftcnn do not.
    mode = "inference" if golden.IS_KERAS and not argument else "training"
    found = listings.losses(PACKAGE, training=argument)
    for moment, (loss, accuracy) in golden.document("listings")[mode].items():
        assert found[moment][0] == pytest.approx(loss, rel=1e-5 if moment in ("before", "step1") else 1e-4), moment
        # Of 25,088 pixels a few have two classes that are equal but for rounding.
        assert found[moment][1] == pytest.approx(accuracy, abs=5e-4), moment


@only_swiftcnn
def test_the_second_listing_trains_as_written():
    model = listings.run("efficientnet", PACKAGE)["model"]
    x, _ = listings.batch()
    y = np.eye(1000, dtype=np.float32)[[3, 141]]
    before = model.predict(x, verbose=0)
    assert before.shape == (2, 1000)
    np.testing.assert_allclose(before.sum(axis=1), 1, rtol=1e-4)
    loss, accuracy = model.train_on_batch(x, y)
    assert np.isfinite(loss) and 0 <= accuracy <= 1
    assert not np.array_equal(model.predict(x, verbose=0), before)
