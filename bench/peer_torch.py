"""PyTorch's side of the benchmark: the same work as bench/ours.c, asked for and answered in the same way."""
import sys
import time

import torch


def iris5():
    layers = [torch.nn.Linear(4, 5), torch.nn.Tanh()]
    for _ in range(4):
        layers += [torch.nn.Linear(5, 5), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(5, 3))


def adam_step_iris5():
    """An Adam step, all 150 rows, f32, one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    x, y, model, loss = torch.randn(150, 4), torch.arange(150) % 3, iris5(), torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=0.005)
    steps = 500
    for i in range(steps + 50):
        if i == 50:
            start = time.perf_counter()
        optimiser.zero_grad()
        loss(model(x), y).backward()
        optimiser.step()
    return (time.perf_counter() - start) / steps


def hessian_mlp50(threads):
    """The dense f64 Hessian of 4-50-3 over 120 rows by autograd.functional.hessian, the faster of its two modes."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    x, y, loss = torch.randn(120, 4).double(), torch.arange(120) % 3, torch.nn.CrossEntropyLoss()
    theta = 0.3 * torch.randn(403).double()

    def risk(t):
        hidden = torch.tanh(x @ t[:200].view(50, 4).T + t[200:250])
        return loss(hidden @ t[250:400].view(3, 50).T + t[400:], y) + 0.0025 * t.dot(t)

    times = []
    for vectorize in (False, True):
        torch.autograd.functional.hessian(risk, theta, vectorize=vectorize)
        start = time.perf_counter()
        torch.autograd.functional.hessian(risk, theta, vectorize=vectorize)
        times.append(time.perf_counter() - start)
    return min(times)


WORK = {
    "adam_step_iris5": adam_step_iris5,
    "hessian_mlp50": lambda: hessian_mlp50(2),
    "hessian_mlp50_1thread": lambda: hessian_mlp50(1),
}

if sys.argv[1:] == ["--version"]:
    print("PyTorch " + torch.__version__)
    sys.exit()
for line in sys.stdin:
    print(WORK[line.strip()](), flush=True)
