"""What other libraries call the tensors of their EfficientNets."""

import efficientnet_pytorch

import networks

MODELS = {
    "torchvision": ("efficientnet_b0", "efficientnet_v2_s"),
    "timm": ("efficientnet_b0", "tf_efficientnetv2_s", "tf_efficientnet_lite0"),
    "efficientnet_pytorch": ("efficientnet-b0",),
}


def weight_names():
    """A list of names for each library and model."""
    makers = {
        "torchvision": lambda name: getattr(networks.torchvision().models, name)(),
        "timm": lambda name: networks.timm().create_model(name),
        "efficientnet_pytorch": efficientnet_pytorch.EfficientNet.from_name,
    }
    return {
        library: {name: [key for key in makers[library](name).state_dict() if not key.endswith("num_batches_tracked")]
                  for name in names} for library, names in MODELS.items()}
