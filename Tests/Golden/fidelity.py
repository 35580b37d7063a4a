"""Losses of whole training runs in Keras and PyTorch, and Keras's updates of single optimizers.

Everything is computed in float64. So that a difference shows a mistake and not the order of a sum, every run is made
again in float32: as it is, for PyTorch with two threads and with the other layout too, and with each weight moved at
the start by up to 1e-6 of itself, ten times what float32 rounds. `measured` has the largest relative difference of a
loss from that of float64; above LARGEST_SPREAD nothing is written: then rates or data have to change.
"""

import functools

import torch
import torch.nn.functional as F

import fidelity_models
import formula
import keras_peer
import networks

LARGEST_SPREAD = 2e-5
NUDGE = 1e-6


def spread(losses, reference):
    """The largest relative difference of a run from the reference, each losses and loss in inference."""
    pairs = zip([*losses[0], losses[1]], [*reference[0], reference[1]])
    return max(abs(a - b) / b for a, b in pairs)


def nudged(index, array):
    """The array with each element moved by up to 1e-6 of itself."""
    return array * (1 + NUDGE * formula.values(f"nudge/{index}", array.shape))


def nudge_keras(model):
    model.set_weights([nudged(index, array) for index, array in enumerate(model.get_weights())])


def keras_run(network, optimizer, dtype, **options):
    return fidelity_models.keras_losses(keras_peer.keras(dtype), network, optimizer, dtype, **options)


def torch_network(name):
    """The PyTorch network of a run, with the formula's weights."""
    if name == "resnet20":
        network = networks.resnet20(3, fidelity_models.CLASSES)
    else:
        options = fidelity_models.TORCH_NETWORKS[name][1]
        width, depth = options["width_coefficient"], options["depth_coefficient"]
        network = networks.efficientnet(name, width, depth, fidelity_models.CLASSES)
    return networks.fill(network, functools.partial(fidelity_models.torch_parameter, name))


def torch_run(name, optimizer, dtype, layout=torch.contiguous_format, nudge=False):
    """The losses of the steps, and the loss of the first batch in inference after them."""
    network = torch_network(name)
    if nudge:
        with torch.no_grad():
            for index, parameter in enumerate(network.parameters()):
                parameter.copy_(torch.from_numpy(nudged(index, parameter.numpy())))
    network = network.to(dtype=dtype, memory_format=layout).train()
    kind, arguments, _ = fidelity_models.TORCH_OPTIMIZERS[optimizer]
    optimizer = getattr(torch.optim, kind)(network.parameters(), **arguments)
    size = fidelity_models.TORCH_NETWORKS[name][0]
    data = [
        (torch.from_numpy(x).permute(0, 3, 1, 2).to(dtype).contiguous(memory_format=layout), torch.from_numpy(y).long())
        for x, y in fidelity_models.batches(size)
    ]
    losses = []
    for x, y in data:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        return losses, F.cross_entropy(network.eval()(data[0][0]), data[0][1]).item()


def with_threads(count, run):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return run()
    finally:
        torch.set_num_threads(before)


def runs():
    """Rows of the peer, the run's name, its reference and its repetitions, all as functions."""
    single, double = torch.float32, torch.float64
    for network in fidelity_models.MODELS:
        for name in fidelity_models.KERAS_OPTIMIZERS:

            def run(*arguments, network=network, name=name, **options):
                return keras_run(network, name, *arguments, **options)

            yield "keras", f"{network}/{name}", lambda: run("float64"), {
                "float32": lambda: run("float32"),
                "nudged": lambda: run("float32", changed=nudge_keras),
            }
    for network in fidelity_models.TORCH_NETWORKS:
        for name in fidelity_models.TORCH_OPTIMIZERS:

            def run(*arguments, network=network, name=name, **options):
                return torch_run(network, name, *arguments, **options)

            yield "torch", f"{network}/{name}", lambda: run(double), {
                "float32": lambda: run(single),
                "two_threads": lambda: with_threads(2, lambda: run(single)),
                "channels_last": lambda: run(single, torch.channels_last),
                "nudged": lambda: run(single, nudge=True),
            }


def losses():
    """Losses and spreads, by peer and run."""
    found, measured = {"keras": {}, "torch": {}}, {"keras": {}, "torch": {}}
    for peer, name, reference, repetitions in runs():
        expected = with_threads(1, reference)
        spreads = {how: spread(with_threads(1, again), expected) for how, again in repetitions.items()}
        if not max(spreads.values()) <= LARGEST_SPREAD:
            raise ValueError(f"{peer} {name} does not repeat itself: {spreads}")
        found[peer][name] = {"losses": expected[0], "evaluation": expected[1]}
        measured[peer][name] = {how: float(f"{value:.1e}") for how, value in spreads.items()}
    return found, measured


def fidelity():
    """The document of fidelity.json."""
    found, measured = losses()
    keras = keras_peer.keras("float64")
    updates = {name: fidelity_models.updates(keras, name, "float64") for name in fidelity_models.UPDATES}
    averaged = fidelity_models.averaged(keras, "float64")
    # Keras's Adam has 1 - beta_2**step in float32 whatever the data: a processor's power function moves its losses.
    return {"tolerance": 1e-5, **found, "updates": updates, "averaged": averaged, "measured": measured}
