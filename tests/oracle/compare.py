#!/usr/bin/env python3
"""Compares what the library and PyTorch compute of every network of the zoo, in f64: same weights, same data.

usage: compare.py OURS [NETWORK ...]

OURS is the program built from ours.c. Where PyTorch is found under none of $PYTHON, python3 and /usr/bin/python3, a
line says so and nothing is compared (exit 0). Exit 1 where ‖ours − theirs‖ > 1e-9 ‖theirs‖ for any quantity.

Where that Python has the package safetensors as well, every network also goes through its files: a state_dict that it
writes is read by ours (the outputs are compared), and written again, which PyTorch loads (the numbers are the same).
"""
import math
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
TOLERANCE = 1e-9
QUANTITIES = ("outputs", "loss", "gradient", "product", "row_gradients")
# network, channels, height, width, classes, width factor: small, and not square where the network takes that
CASES = (
    ("kl_cnn", 1, 28, 28, 10, 1.0),
    ("kl_cnn", 2, 24, 31, 3, 1.5),
    ("lenet5", 3, 32, 32, 10, 1.0),
    ("lenet5", 1, 28, 40, 4, 0.5),
    ("vgg13", 3, 32, 32, 10, 1 / 16),
    ("vgg14", 2, 65, 33, 5, 1 / 16),
    ("resnet18", 3, 16, 16, 10, 1 / 8),
    ("resnet18", 1, 9, 14, 5, 1 / 16),
    ("resnet50", 3, 16, 16, 10, 1 / 16),
    ("resnet50", 2, 7, 12, 3, 1 / 32),
)
ROWS = 4


def find_python():
    """This interpreter, or one of the others, as long as it has PyTorch."""
    for python in filter(None, (sys.executable, os.environ.get("PYTHON"), "python3", "/usr/bin/python3")):
        try:
            if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
                return python
        except OSError:
            continue
    return None


def with_numbers(case, batch_norm, ours):
    """The network in PyTorch with the library's θ and state."""
    import torch

    import networks

    name, channels, height, width, classes, factor = case
    model = networks.make(name, channels, height, width, classes, batch_norm, factor).double().eval()
    parameters = list(model.parameters())
    theta = torch.from_numpy(ours["theta"][0])
    if sum(w.numel() for w in parameters) != theta.numel():
        sys.exit(f"oracle: {name} has {theta.numel()} parameters, and {sum(w.numel() for w in parameters)} in PyTorch")
    at = 0
    for w in parameters:
        w.data.copy_(theta[at:at + w.numel()].view(w.shape))
        at += w.numel()
    state, at = torch.from_numpy(ours["state"][0]), 0
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for statistic in (layer.running_mean, layer.running_var):
                statistic.copy_(state[at:at + statistic.numel()])
                at += statistic.numel()
    if at != state.numel():
        sys.exit(f"oracle: {name} has a state of {state.numel()} numbers, and of {at} in PyTorch")
    return model


def theirs(case, model, ours):
    """The same quantities by torch.autograd."""
    import torch

    channels, height, width = case[1:4]
    parameters, vector = list(model.parameters()), torch.from_numpy(ours["vector"][0])
    x = torch.from_numpy(ours["features"]).view(-1, channels, height, width)
    y = torch.from_numpy(ours["classes"][0]).long()

    def flat(tensors):
        return torch.cat([t.reshape(-1) for t in tensors])

    outputs = model(x)
    loss = torch.nn.functional.cross_entropy(outputs, y)
    gradient = flat(torch.autograd.grad(loss, parameters, create_graph=True))
    product = flat(torch.autograd.grad(gradient @ vector, parameters))
    rows = [flat(torch.autograd.grad(torch.nn.functional.cross_entropy(model(x[i:i + 1]), y[i:i + 1]), parameters))
            for i in range(len(y))]
    found = {"outputs": outputs, "loss": loss.view(1, 1), "gradient": gradient.view(1, -1),
             "product": product.view(1, -1), "row_gradients": torch.stack(rows)}
    return {name: value.detach().numpy() for name, value in found.items()}


def through_files(program, arguments, case, batch_norm, model, expected):
    """The largest error of the outputs after a state_dict was read by ours; infinite where it is not written back whole."""
    import numpy
    import torch
    from safetensors.torch import load_file, save_file

    import networks

    name, channels, height, width, classes, factor = case
    error = 0.0
    for names in ("zoo", "sequential"):
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/theirs.safetensors"
            again = networks.make(name, channels, height, width, classes, batch_norm, factor).double().eval()
            source, target = ((networks.named(name, m) if names == "zoo" else m) for m in (model, again))
            save_file(source.state_dict(), file)
            if subprocess.run([program, folder, *map(str, arguments), file, names]).returncode != 0:
                return math.inf
            outputs = numpy.load(f"{folder}/outputs.npy")
            target.load_state_dict(load_file(f"{folder}/written.safetensors"), strict=True)
        error = max(error, numpy.linalg.norm(outputs - expected) / numpy.linalg.norm(expected))
        both = zip(source.state_dict().values(), target.state_dict().values())
        if not all(torch.equal(x, y) for x, y in both):
            return math.inf
    return error


def main():
    import numpy

    try:
        import safetensors.torch
        files = ["files"]
    except ImportError:
        files = []
    program, names = sys.argv[1], sys.argv[2:]
    failed = 0
    print(f"{'network':10}{'image':>10}{'width':>8}{'norm':>6}{'p':>9}" + "".join(f"{q:>15}" for q in (*QUANTITIES, *files)))
    for i, case in enumerate(case for case in CASES if not names or case[0] in names):
        for batch_norm in (0, 1):
            with tempfile.TemporaryDirectory() as folder:
                arguments = [case[0], *case[1:5], repr(case[5]), batch_norm, ROWS, 10 * i + 1]
                if subprocess.run([program, folder, *map(str, arguments)]).returncode != 0:
                    sys.exit(1)
                ours = {path.stem: numpy.load(path) for path in pathlib.Path(folder).glob("*.npy")}
            model = with_numbers(case, batch_norm, ours)
            expected = theirs(case, model, ours)
            errors = [numpy.linalg.norm(ours[q] - expected[q]) / numpy.linalg.norm(expected[q]) for q in QUANTITIES]
            if files:
                errors.append(through_files(program, arguments, case, batch_norm, model, expected["outputs"]))
            good = all(error <= TOLERANCE for error in errors)  # false for NaN
            failed += not good
            print(f"{case[0]:10}{'x'.join(map(str, case[1:4])):>10}{case[5]:8.3g}{'yes' if batch_norm else 'no':>6}"
                  f"{ours['theta'].size:9}" + "".join(f"{error:15.1e}" for error in errors)
                  + ("" if good else "  FAILED"))
    if not files:
        print("oracle: files of weights skipped: the Python package safetensors was not found")
    print(f"oracle: {failed} of the comparisons failed" if failed else f"oracle: all within {TOLERANCE:g}")
    sys.exit(failed > 0)


if "--found" in sys.argv:
    sys.argv.remove("--found")
    main()
else:
    found = find_python()
    if found is None:
        print("oracle: skipped: PyTorch was not found")
        sys.exit()
    os.execvp(found, [found, __file__, "--found", *sys.argv[1:]])
