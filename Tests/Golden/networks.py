"""The networks of the golden values and of the training peer, as a PyTorch user would write them."""

import sys

import torch
from torch import nn

import formula


def torchvision():
    """The torchvision module, also where its compiled operators cannot be loaded.

    The package index's torchvision is linked against CUDA, which the CPU build of torch lacks. Its models need none
    of the compiled operators, but importing it needs the schemas of two.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        for name in ("nms", "qnms"):
            stand_ins.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision
    return torchvision


stand_ins = torch.library.Library("torchvision", "FRAGMENT")


def timm():
    """The timm module; it imports torchvision, which may need its stand-ins first."""
    torchvision()
    import timm

    return timm


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2016), 1x1 convolution and BN where the shape changes."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + shortcut)


class ArticleBlock(nn.Module):
    """`BatchNorm(ReLU(Conv(x))) + x`, 1x1 convolution and BN where the shape changes."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        return self.bn1(torch.relu(self.conv1(x))) + (x if self.downsample is None else self.downsample(x))


class SmallResNet(nn.Module):
    """A stem of one 3x3 convolution, then groups of residual blocks; every group but the first begins with stride 2."""

    def __init__(self, channels, classes, stem, widths, blocks, first_stride=1, block=BasicBlock):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.groups = len(widths)
        before = stem
        for group, width in enumerate(widths):
            stride = first_stride if group == 0 else 2
            rows = [block(before if i == 0 else width, width, stride if i == 0 else 1) for i in range(blocks)]
            self.add_module(f"layer{group + 1}", nn.Sequential(*rows))
            before = width
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for group in range(self.groups):
            x = getattr(self, f"layer{group + 1}")(x)
        return self.fc(x.mean((2, 3)))


# The CIFAR ResNets with projection shortcuts by their blocks in a group: 6 * blocks + 2 layers.
CIFAR = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}


def cifar(channels, classes, blocks, block=BasicBlock):
    """A ResNet for small images."""
    return SmallResNet(channels, classes, stem=16, widths=[16, 32, 64], blocks=blocks, block=block)


def resnet20(channels=3, classes=10):
    """The CIFAR ResNet-20: 272,474 parameters at 3 channels and 10 classes."""
    return cifar(channels, classes, CIFAR["resnet20"])


def tiny(channels=3, classes=5):
    """One stride-2 residual block, for the training step."""
    return SmallResNet(channels, classes, stem=4, widths=[8], blocks=1, first_stride=2)


def library(name):
    """Whose network of that name is compared with: "torchvision", "timm", or "here"."""
    if name in CIFAR or name == "resnet_article":
        return "here"
    return "timm" if name.startswith("tf_") else "torchvision"


def efficientnet(name, width, depth, classes):
    """torchvision's EfficientNet with other coefficients, without dropout and stochastic depth."""
    module = torchvision().models.efficientnet
    setting, last_channel = module._efficientnet_conf(name, width_mult=width, depth_mult=depth)
    return module.EfficientNet(
        setting, dropout=0.0, stochastic_depth_prob=0.0, num_classes=classes, last_channel=last_channel
    )


def named(name, channels=3, classes=None):
    """A network by name: those for small images as above, the others from torchvision or timm."""
    whose = library(name)
    if name == "resnet_article":
        return cifar(channels, classes or 10, 3, ArticleBlock)
    if whose == "here":
        return cifar(channels, classes or 10, CIFAR[name])
    if whose == "timm":
        return timm().create_model(name, in_chans=channels, num_classes=classes or 1000)
    return torchvision().models.get_model(name, weights=None, num_classes=classes or 1000)


def published(name):
    """What the library says of the images for a network: height and width, mean and standard deviation of pixels."""
    whose = library(name)
    if whose == "here":
        return {"resolution": [32, 32], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    if whose == "timm":
        configuration = timm().get_pretrained_cfg(name)
        found = configuration.input_size[1:], configuration.mean, configuration.std
    else:
        transforms = torchvision().models.get_model_weights(name).DEFAULT.transforms()
        found = transforms.crop_size * 2, transforms.mean, transforms.std
    return dict(zip(("resolution", "mean", "std"), map(list, found)))


def fill(network, parameter=formula.parameter):
    """Gives the network the formula's parameters and running statistics, or those of another function of name and
    shape."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                tensor.copy_(torch.from_numpy(parameter(name, tuple(tensor.shape))))
    return network
