"""Training follows Keras and PyTorch: the same start, data, order and optimizer give the same losses and weights."""

import golden
import numpy as np
import pytest

import fidelity_models  # Tests/Golden

FILE = golden.document("fidelity")
only_swiftcnn = pytest.mark.skipif(golden.IS_KERAS, reason="Keras has no create_model")


def worst(losses, evaluation, expected):
    """The largest relative difference of a loss."""
    theirs = np.array([*expected["losses"], expected["evaluation"]])
    return np.max(np.abs(np.array([*losses, evaluation]) - theirs) / theirs)


def test_peers_repeat_themselves_far_better_than_we_ask():
    for peer, allowed in (("keras", 1e-3), ("torch", 1e-4)):
        assert FILE[peer].keys() == FILE["measured"][peer].keys()
        for name, spreads in FILE["measured"][peer].items():
            assert max(spreads.values()) <= allowed / 5, (peer, name)


@pytest.mark.parametrize("network", fidelity_models.MODELS)
@pytest.mark.parametrize("optimizer", fidelity_models.KERAS_OPTIMIZERS)
def test_losses_follow_those_of_keras(network, optimizer):
    losses, evaluation = fidelity_models.keras_losses(golden.api, network, optimizer)
    assert worst(losses, evaluation, FILE["keras"][f"{network}/{optimizer}"]) <= 1e-3


@only_swiftcnn
@pytest.mark.parametrize("network", fidelity_models.TORCH_NETWORKS)
@pytest.mark.parametrize("optimizer", fidelity_models.TORCH_OPTIMIZERS)
def test_losses_follow_those_of_pytorch(network, optimizer):
    import swiftcnn

    size, options = fidelity_models.TORCH_NETWORKS[network]
    kind, _, arguments = fidelity_models.TORCH_OPTIMIZERS[optimizer]
    model = swiftcnn.create_model(network, input_shape=(size, size, 3), classes=fidelity_models.CLASSES, **options)
    for row in model.parameters:
        model.set_parameter(row.name, fidelity_models.torch_parameter(network, row.name, tuple(row.shape)))
    model.compile(getattr(swiftcnn.optimizers, kind)(**arguments), "sparse_categorical_crossentropy")
    batches = fidelity_models.batches(size)
    losses = []
    for images, labels in batches:
        model.reset_metrics()
        losses.append(model.train_on_batch(images, labels))
    model.reset_metrics()
    evaluation = model.test_on_batch(*batches[0])
    assert worst(losses, evaluation, FILE["torch"][f"{network}/{optimizer}"]) <= 1e-4


@pytest.mark.parametrize("name", fidelity_models.UPDATES)
def test_each_update_is_that_of_keras(name):
    found, expected = np.array(fidelity_models.updates(golden.api, name)), np.array(FILE["updates"][name])
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    moved = np.abs(np.diff(expected, axis=0)).max(axis=1)
    assert moved.min() > 1e-4, "the steps are too small to show anything"


def test_updates_differ_between_the_cases():
    ends = [np.array(steps[-1]) for steps in FILE["updates"].values()]
    for index, end in enumerate(ends):
        for other in ends[:index]:
            assert np.abs(end - other).max() > 5e-6


def test_after_fit_the_weights_are_the_moving_average_as_in_keras():
    found, expected = np.array(fidelity_models.averaged(golden.api)), np.array(FILE["averaged"])
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
