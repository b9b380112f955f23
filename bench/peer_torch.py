"""PyTorch's side of the benchmark: the same work as bench/ours.c, asked for and answered in the same way.

Problems that both sides have in common are read from the folder, and products of theirs compared once.
`--operations` prints the multiply-adds of the networks for the table of bench/run.
"""
import functools
import pathlib
import resource
import sys
import time
import types

import numpy
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


def row_products_of(model):
    """Per-example gradients by functorch, and their products with vectors of each parameter."""
    import functorch

    function, weights, buffers = functorch.make_functional_with_buffers(model)

    def loss(weights, x, y):
        return torch.nn.functional.cross_entropy(function(weights, buffers, x.unsqueeze(0)), y.unsqueeze(0))

    row_gradients = functorch.vmap(functorch.grad(loss), (None, 0, 0))

    def products(x, y, vectors):
        with torch.no_grad():
            return sum(g.flatten(1) @ v.T for g, v in zip(row_gradients(weights, x, y), vectors))

    return products


def row_products(name):
    model, parameters, x, y = images(name)
    vectors = [torch.randn(VECTORS, w.numel()) for w in parameters]
    products = row_products_of(model)
    return lambda: products(x, y, vectors)


SHARED = {"lissa_klcnn": "klcnn", "scores_lenet": "lenet", "scores_resnet18w16": "resnet18w16"}
HEAD = ("rows", "features", "parameters", "vectors", "compared", "decay", "damping", "scale", "batch", "steps",
        "tolerance", "error", "plain_error")
COMPARED_ROWS = 64


@functools.lru_cache(maxsize=1)
def shared(name):
    """What bench/ours.c prepared: its head, the model, vectors of each parameter (k × its shape), images, labels, and
    numbers to compare."""
    torch.set_num_threads(2)
    network, width_factor, _ = IMAGE_PROBLEMS[SHARED[name]]
    model = networks.make(network, width_factor=width_factor).eval()
    parameters = list(model.parameters())
    sizes = [w.numel() for w in parameters]
    with open(pathlib.Path(sys.argv[1]) / name, "rb") as file:
        def array(kind, *shape):
            return torch.from_numpy(numpy.fromfile(file, kind, numpy.prod(shape)).reshape(shape))

        head = types.SimpleNamespace(**dict(zip(HEAD, array("f8", len(HEAD)).tolist())))
        n, p, k = int(head.rows), int(head.parameters), int(head.vectors)
        torch.nn.utils.vector_to_parameters(array("f8", p).float(), parameters)
        vectors = [v.reshape(k, *w.shape) for v, w in zip(array("f8", k, p).float().split(sizes, 1), parameters)]
        compared = array("f8", int(head.compared))
        y = array("i4", n).long()
        x = array("f4", n, *((1, 28, 28) if network == "kl_cnn" else (3, 32, 32)))
    return head, model, vectors, x, y, compared


def compare(name, found, expected):
    error = (found.double().flatten() - expected).norm() / expected.norm()
    if not error < 1e-4:
        sys.exit(f"bench: {name}: the two sides' products differ by {error:.2g} of their norm")


# Rows at once, the fastest of 8 to 128, and how many rows are measured.
SCORES = {"scores_lenet": (64, 5000), "scores_resnet18w16": (32, 640)}


def scores(name):
    """Products of all rows' gradients with the vectors, a block of rows after another; and the share of the rows."""
    head, model, vectors, x, y, _ = shared(name)
    block, rows = SCORES[name]
    vectors = [v.flatten(1) for v in vectors]
    x, y = x[:rows], y[:rows]
    products = row_products_of(model)

    def work():
        return torch.cat([products(some, labels, vectors) for some, labels in zip(x.split(block), y.split(block))])

    return work, len(x) / head.rows


@functools.lru_cache(maxsize=None)
def compare_scores(name):
    *_, compared = shared(name)
    compare(name, scores(name)[0]()[:COMPARED_ROWS], compared)


def time_scores(name):
    compare_scores(name)
    work, share = scores(name)
    return time_unit(work) / share


class Lissa:
    """h ← b + h − (H_S + λ)h/s over random batches S for each right-hand side b. Ways: one right-hand side after
    another, as libraries do; all over the same batch, with a backward pass each through the gradient's kept graph; or
    with a batched one for all."""

    WAYS = ("one", "together", "batched")
    STEPS = 20

    def __init__(self, name):
        self.head, self.model, self.sides, self.x, self.y, self.compared = shared(name)
        self.parameters = list(self.model.parameters())

    def gradient(self, rows):
        decay = sum((w * w).sum() for w in self.parameters if w.dim() > 1)
        risk = torch.nn.functional.cross_entropy(self.model(self.x[rows]), self.y[rows]) + 0.5 * self.head.decay * decay
        return torch.autograd.grad(risk, self.parameters, create_graph=True)

    def products(self, way, rows, h):
        """(H_S + λ)h of all h: a list of k × shape."""
        k = len(h[0])
        if way == "batched":
            found = torch.autograd.grad(self.gradient(rows), self.parameters, h, is_grads_batched=True)
        else:
            if way == "together":
                gradient = self.gradient(rows)
            each = [torch.autograd.grad(self.gradient(rows) if way == "one" else gradient, self.parameters,
                                        [v[j] for v in h], retain_graph=way == "together" and j + 1 < k)
                    for j in range(k)]
            found = [torch.stack(parts) for parts in zip(*each)]
        return [a + self.head.damping * v for a, v in zip(found, h)]

    def solve(self, way, steps):
        """Seconds of so many steps, which are the same work each."""
        h, scale, batch = self.sides, self.head.scale, int(self.head.batch)
        start = time.perf_counter()
        for _ in range(steps):
            rows = torch.randint(len(self.x), (batch,))
            h = [b + v - a / scale for b, v, a in zip(self.sides, h, self.products(way, rows, h))]
        return time.perf_counter() - start


def time_lissa(name, best={}):
    """The way that was faster at the first call, extrapolated from 20 of the steps."""
    work = Lissa(name)
    if name not in best:
        rows = torch.arange(len(work.x))[:COMPARED_ROWS]
        for way in work.WAYS:
            found = work.products(way, rows, work.sides)
            compare(name, torch.cat([a.flatten(1) for a in found], 1), work.compared)
        best[name] = min(work.WAYS, key=lambda way: work.solve(way, work.STEPS))
    return work.solve(best[name], work.STEPS) / work.STEPS * work.head.steps


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
    """Kilobytes before the work, and the most since the process began: one Hv; rows' products, of a part of the blocks;
    or a few steps of LiSSA in the way that needs the least."""
    problem = name.removeprefix("mem_").removesuffix("_scaled")
    if problem.startswith("hvp_"):
        work = hessian_product(problem.removeprefix("hvp_"))
    elif problem in SCORES:
        work, _ = scores(problem)
    else:
        work = functools.partial(Lissa(problem).solve, "one", 3)
    before = resource.getpagesize() // 1024 * int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    work()
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
    "lissa_klcnn": lambda: time_lissa("lissa_klcnn"),
    **{problem: functools.partial(time_scores, problem) for problem in SCORES},
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
elif sys.argv[2:3] == ["--memory"]:
    print(*memory(sys.argv[3]))
else:
    for line in sys.stdin:
        print(WORK[line.strip()](), flush=True)
