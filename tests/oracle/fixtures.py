#!/usr/bin/env python3
"""Writes the files of weights that tests/test_weights.c reads, and what PyTorch computes with them, into tests/data.

usage: fixtures.py

Needs PyTorch and the package safetensors. The files were made by PyTorch 1.13 and safetensors 0.8; another version may
draw other weights, and the logits with them.
"""
import pathlib
import sys

import numpy
import torch
from safetensors.torch import save_file

sys.dont_write_bytecode = True
import networks  # noqa: E402

ROWS = 3
# network, channels, height, width, classes, batch norm, width factor, type, prefix
FILES = (
    ("kl_cnn", 1, 28, 28, 10, False, 1.0, torch.float32, ""),
    ("lenet5", 1, 28, 28, 10, True, 1 / 4, torch.bfloat16, "module."),
    ("vgg13", 3, 32, 32, 5, False, 1 / 32, torch.float16, ""),
    ("resnet18", 3, 16, 12, 5, True, 1 / 32, torch.float32, ""),
)


def main():
    folder = pathlib.Path(__file__).parent.parent / "data"
    folder.mkdir(exist_ok=True)
    logits = {}
    for seed, (name, channels, height, width, classes, batch_norm, factor, kind, prefix) in enumerate(FILES):
        torch.manual_seed(seed)
        network = networks.make(name, channels, height, width, classes, batch_norm, factor).eval()
        for layer in network.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):  # what is deep in the network shows in the logits
                torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if isinstance(layer, torch.nn.BatchNorm2d):  # as if it had been trained
                for tensor in (layer.weight.data, layer.running_var):
                    tensor.uniform_(0.5, 1.5)
                for tensor in (layer.bias.data, layer.running_mean):
                    tensor.normal_(0, 0.3)
                layer.num_batches_tracked += 100
        state = networks.named(name, network.to(kind)).state_dict()
        save_file({prefix + key: value for key, value in state.items()}, folder / f"{name}.safetensors")
        x = (numpy.arange(ROWS * channels * height * width) * 7919 + 13) % 1009 / 1009 - 0.5
        x = x.reshape(ROWS, channels, height, width) * numpy.array([1, -2, 4]).reshape(ROWS, 1, 1, 1)
        logits[name] = network.double()(torch.from_numpy(x)).detach()
    save_file(logits, folder / "logits.safetensors")
    for path in folder.iterdir():
        path.chmod(0o644)


main()
