#!/usr/bin/env python3
"""Writes the bare state_dict of a network, with the formula's weights, as `safetensors.torch.save_file` does.

For tests that load what a PyTorch user saved; the file is not kept because resnet18's has 47 MB.

    make_state_dict.py resnet18 /tmp/resnet18.safetensors
    make_state_dict.py resnet20 /tmp/resnet20.safetensors --channels 1
"""

import argparse

from safetensors.torch import save_file

import networks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", help="resnet20 (CIFAR's), or any classifier of torchvision")
    parser.add_argument("path", help="the file to write")
    parser.add_argument("--channels", type=int, default=3, help="of the input; only for resnet20")
    parser.add_argument("--classes", type=int, help="default 1000, and 10 for resnet20")
    arguments = parser.parse_args()
    network = networks.fill(networks.named(arguments.network, arguments.channels, arguments.classes))
    save_file(network.state_dict(), arguments.path)


if __name__ == "__main__":
    main()
