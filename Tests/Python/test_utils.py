"""Labels as vectors, names of layers, seeds."""

import numpy as np
import pytest
from swiftcnn import layers, utils


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32, np.bool_])
def test_labels_become_vectors(dtype):
    y = utils.to_categorical(np.array([0, 1, 1], dtype), 3)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [[1, 0, 0], [0, 1, 0], [0, 1, 0]])


def test_the_largest_label_tells_the_number_of_classes():
    assert utils.to_categorical([0, 4]).shape == (2, 5)
    assert utils.to_categorical([], 4).shape == (0, 4)
    assert utils.to_categorical([], num_classes=4).dtype == np.float32


@pytest.mark.parametrize("shape, expected", [((6,), (6, 7)), ((6, 1), (6, 7)), ((2, 3), (2, 3, 7)), ((), (7,))])
def test_shapes_are_kerass(shape, expected):
    labels = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    y = utils.to_categorical(labels, 7)
    assert y.shape == expected
    np.testing.assert_array_equal(y.argmax(-1), labels.reshape(expected[:-1]))
    assert (y.sum(-1) == 1).all()


def test_names_begin_anew():
    utils.clear_session()
    assert [layers.Dense(1).name, layers.Dense(1).name] == ["dense", "dense_1"]
    utils.clear_session()
    assert layers.Dense(1).name == "dense"
