"""The networks of the zoo in PyTorch, their parameters in the order of the library's θ, and the names they usually have."""
import math

from torch import nn

NAMES = ("kl_cnn", "lenet5", "vgg13", "vgg14", "resnet18", "resnet50")


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut, self.relu = body, shortcut, nn.ReLU()

    def forward(self, x):
        return self.relu(self.body(x) + self.shortcut(x))


def make(name, channels=None, height=None, width=None, n_classes=10, batch_norm=None, width_factor=1.0):
    """As infl_model_create_zoo: None stands for the network's own."""
    digits, resnet = name == "kl_cnn", name.startswith("resnet")
    channels = channels or (1 if digits else 3)
    height, width = height or (28 if digits else 32), width or (28 if digits else 32)
    batch_norm = resnet if batch_norm is None else batch_norm

    def scaled(n):
        return max(1, math.floor(n * width_factor + 0.5))

    def conv(before, after, kernel, stride=1, padding=0, activation=None):
        layers = [nn.Conv2d(before, after, kernel, stride, padding, bias=not (resnet and batch_norm))]
        layers += [nn.BatchNorm2d(after)] if batch_norm else []
        return layers + ([activation()] if activation else [])

    if name == "kl_cnn":
        layers, n = [], channels
        for i in range(5):
            layers += conv(n, scaled(8), 3, 1 + i % 2, 0, nn.Tanh)
            n = scaled(8)
        layers += conv(n, scaled(10), 1, 1, 0, nn.Tanh)
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(scaled(10), n_classes))

    if name == "lenet5":
        frame = [2 if side < 32 else 0 for side in (height, width)]
        area = math.prod(((side + 2 * pad - 4) // 2 - 4) // 2 for side, pad in zip((height, width), frame))
        return nn.Sequential(
            *conv(channels, scaled(6), 5, 1, tuple(frame), nn.ReLU), nn.MaxPool2d(2),
            *conv(scaled(6), scaled(16), 5, 1, 0, nn.ReLU), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(scaled(16) * area, scaled(120)), nn.ReLU(),
            nn.Linear(scaled(120), scaled(84)), nn.ReLU(), nn.Linear(scaled(84), n_classes))

    if name in ("vgg13", "vgg14"):
        layers, n = [], channels
        for block, wide in enumerate((64, 128, 256, 512, 512)):
            for _ in range(3 if name == "vgg14" and block == 4 else 2):
                layers += conv(n, scaled(wide), 3, 1, 1, nn.ReLU)
                n = scaled(wide)
            layers.append(nn.MaxPool2d(2))
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n, n_classes))

    n = scaled(64)
    layers = conv(channels, n, 3, 1, 1, nn.ReLU)
    for stage, blocks in enumerate((2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3)):
        for i in range(blocks):
            inner, stride = scaled(64 << stage), 2 if stage > 0 and i == 0 else 1
            if name == "resnet18":
                out = inner
                body = conv(n, inner, 3, stride, 1, nn.ReLU) + conv(inner, out, 3, 1, 1)
            else:
                out = 4 * inner
                body = conv(n, inner, 1, 1, 0, nn.ReLU) + conv(inner, inner, 3, stride, 1, nn.ReLU)
                body += conv(inner, out, 1)
            shortcut = conv(n, out, 1, stride) if stride != 1 or n != out else []
            layers.append(Residual(nn.Sequential(*body), nn.Sequential(*shortcut)))
            n = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n, n_classes))


def module(**children):
    """What only holds other modules, for their names."""
    holder = nn.Module()
    for name, child in children.items():
        holder.add_module(name, child)
    return holder


def parts(layers):
    """The convolutions, normalisations and dense layers of a list as PyTorch's models usually call them."""
    names, found = {nn.Conv2d: "conv", nn.BatchNorm2d: "bn", nn.Linear: "fc"}, {}
    for layer in layers:
        if type(layer) in names:
            number = sum(name.startswith(names[type(layer)]) for name in found) + 1
            found[f"{names[type(layer)]}{number}"] = layer
    return found


def named(name, network):
    """The modules of a network from make() under the names of torchvision (ResNets, VGGs) and of LeNet's many copies."""
    layers = list(network)
    if name == "kl_cnn":
        return network
    if name == "lenet5":
        return module(**parts(layers))
    if name in ("vgg13", "vgg14"):
        return module(features=nn.Sequential(*layers[:-3]), classifier=layers[-1])
    blocks, stages = [layer for layer in layers if isinstance(layer, Residual)], []
    for n in (2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3):
        stage = [module(**parts(block.body), **({"downsample": block.shortcut} if len(block.shortcut) else {}))
                 for block in blocks[:n]]
        stages.append(nn.Sequential(*stage))
        blocks = blocks[n:]
    return module(**parts(layers[:2]), **{f"layer{i + 1}": stage for i, stage in enumerate(stages)}, fc=layers[-1])
