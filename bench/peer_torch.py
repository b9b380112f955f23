"""PyTorch's side of the benchmark: the same work as bench/ours.c, asked for and answered in the same way.

`--operations` prints the multiply-adds of the networks for the table of bench/run.
"""
import functools
import pathlib
import resource
import sys
import time

import torch

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "oracle"))
import networks  # noqa: E402


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


IMAGE_PROBLEMS = {  # network, width factor, rows
    "klcnn": ("kl_cnn", 1.0, 5500),
    "lenet": ("lenet5", 1.0, 128),
    "resnet18w16": ("resnet18", 0.25, 64),
    "resnet18": ("resnet18", 1.0, 32),
    "vgg13": ("vgg13", 1.0, 32),
}
VECTORS = 8


@functools.lru_cache(maxsize=1)
def images(name):
    """Model (normalisation in evaluation mode), its parameters, images, labels; f32, two threads."""
    torch.set_num_threads(2)
    torch.manual_seed(1)
    network, width_factor, rows = IMAGE_PROBLEMS[name]
    model = networks.make(network, width_factor=width_factor).eval()
    shape = (1, 28, 28) if network == "kl_cnn" else (3, 32, 32)
    return model, list(model.parameters()), torch.randn(rows, *shape), torch.arange(rows) % 10


def time_unit(work):
    work()
    total = n = 0
    while total < 0.5 and n < 1000:
        start = time.perf_counter()
        work()
        total += time.perf_counter() - start
        n += 1
    return total / n


def gradient(name):
    model, parameters, x, y = images(name)
    return lambda: torch.autograd.grad(torch.nn.functional.cross_entropy(model(x), y), parameters)


def hessian_product(name):
    """The gradient with its graph, and the gradient of its product with v: all of it each time."""
    model, parameters, x, y = images(name)
    vectors = [torch.randn_like(w) for w in parameters]

    def product():
        loss = torch.nn.functional.cross_entropy(model(x), y)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        return torch.autograd.grad(sum((g * v).sum() for g, v in zip(gradients, vectors)), parameters)

    return product


def row_products(name):
    """Per-example gradients by functorch, and their products with the vectors."""
    import functorch

    model, parameters, x, y = images(name)
    function, weights, buffers = functorch.make_functional_with_buffers(model)
    vectors = [torch.randn(VECTORS, w.numel()) for w in parameters]

    def loss(weights, x, y):
        return torch.nn.functional.cross_entropy(function(weights, buffers, x.unsqueeze(0)), y.unsqueeze(0))

    row_gradients = functorch.vmap(functorch.grad(loss), (None, 0, 0))

    def products():
        with torch.no_grad():
            return sum(g.flatten(1) @ v.T for g, v in zip(row_gradients(weights, x, y), vectors))

    return products


def hessian_columns(name, dtype, best={}):
    """Seconds of a dense Hessian, extrapolated from 32 of its columns: each by a backward pass through the kept graph of
    the gradient, or 8 at once by is_grads_batched; the way that was faster at the first call. Over 250 images at a time,
    which is twice as fast as all at once."""
    model, parameters, x, y = images(name)
    model, x = model.to(dtype), x.to(dtype)
    parameters = list(model.parameters())
    p, columns, rows = sum(w.numel() for w in parameters), 32, 250
    units = torch.eye(p, dtype=dtype)[:: p // columns][:columns]

    def single(flat):
        for unit in units:
            torch.autograd.grad(flat, parameters, unit, retain_graph=True)

    def batched(flat):
        for block in units.split(8):
            torch.autograd.grad(flat, parameters, block, retain_graph=True, is_grads_batched=True)

    def timed(way):
        total = 0.0
        for some, labels in zip(x.split(rows), y.split(rows)):
            loss = torch.nn.functional.cross_entropy(model(some), labels)
            flat = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, create_graph=True)])
            start = time.perf_counter()
            way(flat)
            total += time.perf_counter() - start
        return total * p / columns

    ways = {"single": single, "batched": batched}
    times = {way: timed(ways[way]) for way in ([best[dtype]] if dtype in best else ways)}
    best[dtype] = min(times, key=times.get)
    images.cache_clear()
    return times[best[dtype]]


def memory(name):
    """Kilobytes before one Hv, and the most since the process began."""
    product = hessian_product(name.removeprefix("mem_hvp_"))
    before = resource.getpagesize() // 1024 * int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    product()
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def operations(name):
    """Multiply-adds of an image's forward pass: of all convolutions and dense layers, and of the first."""
    model, _, x, _ = images(name)
    found = []

    def count(layer, _, output):
        found.append(layer.weight[0].numel() * output[0].numel())

    for layer in model.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(count)
    model(x[:1])
    images.cache_clear()
    return sum(found), found[0]


WORK = {
    "adam_step_iris5": adam_step_iris5,
    "hessian_mlp50": lambda: hessian_mlp50(2),
    "hessian_mlp50_1thread": lambda: hessian_mlp50(1),
    "hessian_klcnn_f32": lambda: hessian_columns("klcnn", torch.float32),
    "hessian_klcnn_f64": lambda: hessian_columns("klcnn", torch.float64),
}
for prefix, make in (("grad_", gradient), ("hvp_", hessian_product), ("pegdot_", row_products)):
    for problem in IMAGE_PROBLEMS:
        WORK[prefix + problem] = functools.partial(lambda make, problem: time_unit(make(problem)), make, problem)

if sys.argv[1:] == ["--version"]:
    print("PyTorch " + torch.__version__)
elif sys.argv[1:] == ["--operations"]:
    for problem in IMAGE_PROBLEMS:
        p = sum(w.numel() for w in images(problem)[1])
        print(problem, *operations(problem), p)
elif sys.argv[1:2] == ["--memory"]:
    print(*memory(sys.argv[2]))
else:
    for line in sys.stdin:
        print(WORK[line.strip()](), flush=True)
