"""Golden logits of whole networks in inference mode, with the formula's weights on the formula's input."""

import torch

import formula
import networks

# Name of the case: (network, NHWC shape of the input, classes).
CASES = {
    "resnet18_64": ("resnet18", (2, 64, 64, 3), 1000),
    "resnet18_224": ("resnet18", (1, 224, 224, 3), 1000),
    "resnet50_64": ("resnet50", (2, 64, 64, 3), 1000),
    "resnet20_32": ("resnet20", (2, 32, 32, 3), 10),
    "resnet20_28_grey": ("resnet20", (2, 28, 28, 1), 10),
}


def run(name, shape, classes, dtype):
    """Logits, and of each `layerN` its output's mean over height and width, by name."""
    network = networks.fill(networks.named(name, shape[3], classes)).eval().to(dtype)
    found = {}

    def keep(layer):
        def hook(module, inputs, output):
            found[f"{layer}_means"] = output.mean((2, 3))

        return hook

    for layer, module in network.named_children():
        if layer.startswith("layer"):
            module.register_forward_hook(keep(layer))
    x = torch.from_numpy(formula.values("input", shape)).permute(0, 3, 1, 2).to(dtype)
    with torch.no_grad():
        found["logits"] = network(x)
    return found


def models():
    """The tensors and the document of models.safetensors."""
    tensors, descriptions = {}, {}
    for case, (name, shape, classes) in CASES.items():
        found = run(name, shape, classes, torch.float64)
        tensors |= {f"{case}/{key}": value for key, value in found.items()}
        parameters = sum(p.numel() for p in networks.named(name, shape[3], classes).parameters())
        descriptions[case] = {
            "network": name, "input_shape": list(shape), "classes": classes, "parameters": parameters,
        }
    assert descriptions["resnet20_32"]["parameters"] == 272_474
    # The first elements of a few tensors, to test the formula by itself.
    for name, shape in (
        ("input", (2, 64, 64, 3)), ("conv1.weight", (64, 3, 7, 7)), ("bn1.weight", (64,)), ("bn1.bias", (64,)),
        ("bn1.running_mean", (64,)), ("bn1.running_var", (64,)), ("fc.weight", (1000, 2048)), ("fc.bias", (1000,)),
    ):
        tensor = formula.values(name, shape) if name == "input" else formula.parameter(name, shape)
        tensors[f"formula/{name}"] = tensor.reshape(-1)[:16]
    return tensors, {"cases": descriptions}
