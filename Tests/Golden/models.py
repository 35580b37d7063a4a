"""Golden logits of whole networks in inference mode, with the formula's weights on the formula's input."""

import math
import os

os.environ["KERAS_BACKEND"] = "torch"

import keras  # noqa: E402
import torch  # noqa: E402

import formula  # noqa: E402
import networks  # noqa: E402

# Every network of the registry that a library has too, or that is in networks.py.
NAMES = [
    *(f"resnet{layers}" for layers in (18, 34, 50, 101, 152)),
    "resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2",
    *networks.CIFAR, "resnet_article",
    *(f"efficientnet_b{index}" for index in range(8)),
    *(f"efficientnet_v2_{size}" for size in "sml"),
    *(f"tf_efficientnet_b{index}" for index in range(8)),
    *(f"tf_efficientnet_lite{index}" for index in range(5)),
    "tf_efficientnetv2_s",
]

# Those of keras.applications, by its names.
KERAS = {f"keras_resnet{layers}": f"ResNet{layers}" for layers in (50, 101, 152)}

# Name of the case: (network, NHWC shape of the input, classes).
CASES = {
    "resnet18_64": ("resnet18", (2, 64, 64, 3), 1000),
    "resnet18_224": ("resnet18", (1, 224, 224, 3), 1000),
    "resnet50_64": ("resnet50", (2, 64, 64, 3), 1000),
    "resnet20_32": ("resnet20", (2, 32, 32, 3), 10),
    "resnet20_28_grey": ("resnet20", (2, 28, 28, 1), 10),
    "resnext50_32x4d_64": ("resnext50_32x4d", (2, 64, 64, 3), 100),
    "wide_resnet50_2_64": ("wide_resnet50_2", (1, 64, 64, 3), 100),
    "efficientnet_b0_64": ("efficientnet_b0", (2, 64, 64, 3), 100),
    "efficientnet_b5_65_47": ("efficientnet_b5", (1, 65, 47, 3), 100),
    "efficientnet_v2_s_64": ("efficientnet_v2_s", (1, 64, 64, 3), 100),
    "tf_efficientnet_b0_64": ("tf_efficientnet_b0", (2, 64, 64, 3), 100),
    "tf_efficientnet_b0_65_47": ("tf_efficientnet_b0", (1, 65, 47, 3), 100),
    "tf_efficientnet_lite0_63": ("tf_efficientnet_lite0", (1, 63, 63, 3), 100),
    "tf_efficientnetv2_s_64": ("tf_efficientnetv2_s", (1, 64, 64, 3), 100),
}


def fit_statistics(network, x):
    """Multiplies the running statistics of each batch normalisation by a power of two, so that they are near those of
    its input: with the formula's alone the logits of an EfficientNet would hardly depend on the image.

    Returns the exponents by name: the mean is multiplied by 2^e, the variance by 4^e.
    """
    exponents, hooks = {}, []

    def fit(layer):
        def hook(module, inputs):
            exponents[layer] = round(math.log2(inputs[0].var((0, 2, 3)).mean().item()) / 2)
            module.running_mean *= 2.0 ** exponents[layer]
            module.running_var *= 4.0 ** exponents[layer]

        return hook

    for layer, module in network.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(fit(layer)))
    network(x)
    for hook in hooks:
        hook.remove()
    return exponents


def run(name, shape, classes, dtype):
    """Logits, and of each `layerN` its output's mean over height and width, by name; and the exponents."""
    network = networks.fill(networks.named(name, shape[3], classes)).eval().to(dtype)
    found, exponents = {}, {}

    def keep(layer):
        def hook(module, inputs, output):
            found[f"{layer}_means"] = output.mean((2, 3))

        return hook

    for layer, module in network.named_children():
        if layer.startswith("layer"):
            module.register_forward_hook(keep(layer))
    x = torch.from_numpy(formula.values("input", shape)).permute(0, 3, 1, 2).to(dtype)
    with torch.no_grad():
        if "efficientnet" in name:
            exponents = fit_statistics(network, x)
        found["logits"] = network(x)
    return found, exponents


def registry():
    """Of each network its parameters at 1000 classes, and what its library says of its images."""
    found = {}
    for name in NAMES:
        with torch.device("meta"):
            network = networks.named(name, classes=1000)
        found[name] = {"parameters": sum(p.numel() for p in network.parameters()), **networks.published(name)}
    for name, its in KERAS.items():
        network = getattr(keras.applications, its)(weights=None)
        found[name] = {
            "parameters": sum(math.prod(weight.shape) for weight in network.trainable_weights),
            "resolution": list(network.input_shape[1:3]), "mean": [0.0] * 3, "std": [1 / 255] * 3,
        }
    return found


def models():
    """The tensors and the document of models.safetensors."""
    tensors, descriptions = {}, {}
    for case, (name, shape, classes) in CASES.items():
        found, exponents = run(name, shape, classes, torch.float64)
        tensors |= {f"{case}/{key}": value for key, value in found.items()}
        parameters = sum(p.numel() for p in networks.named(name, shape[3], classes).parameters())
        descriptions[case] = {
            "network": name, "input_shape": list(shape), "classes": classes, "parameters": parameters,
            "exponents": exponents,
        }
    assert descriptions["resnet20_32"]["parameters"] == 272_474
    # The first elements of a few tensors, to test the formula by itself.
    for name, shape in (
        ("input", (2, 64, 64, 3)), ("conv1.weight", (64, 3, 7, 7)), ("bn1.weight", (64,)), ("bn1.bias", (64,)),
        ("bn1.running_mean", (64,)), ("bn1.running_var", (64,)), ("fc.weight", (1000, 2048)), ("fc.bias", (1000,)),
    ):
        tensor = formula.values(name, shape) if name == "input" else formula.parameter(name, shape)
        tensors[f"formula/{name}"] = tensor.reshape(-1)[:16]
    return tensors, {"cases": descriptions, "registry": registry()}
