"""Epochs of the same network in each library: the same weights, batches and order.

A step is zero_grad, forward, loss, backward and Adam in float32: mean squared error if the last
layer has one unit, cross-entropy otherwise. An epoch is a function that takes one step for each
batch, given in arrays of the library's own type, and returns their losses.
"""

import functools
import importlib.util
import itertools

import numpy as np

import minidl as dl


class Problem:
    """Layer sizes ("784-128-10"), a table of batches, and initial weights (random unless given).

    Each input occurs twice in a batch, with two targets, so that the loss stays well above 0 and
    can be compared after any number of steps.
    """

    def __init__(self, sizes, batch, count=1, *, weights=None, lr=1e-4):
        rng = np.random.default_rng(0)
        self.batch, self.count, self.lr = batch, count, lr
        self.sizes = sizes = [int(size) for size in sizes.split("-")]
        half = rng.standard_normal((count, -(-batch // 2), sizes[0]), np.float32)
        self.x = np.concatenate([half, half], axis=1)[:, :batch].reshape(-1, sizes[0])
        self.regression = sizes[-1] == 1
        if self.regression:
            self.y = rng.standard_normal((count * batch, 1), np.float32)
        else:
            self.y = rng.integers(sizes[-1], size=count * batch)
        self.weights = weights or [
            (2 * rng.random((n, m), np.float32) - 1) * np.float32((6 / (n + m)) ** 0.5)
            for n, m in itertools.pairwise(sizes)
        ]

    def batches(self, array):
        """The batches (x, y), with each array converted by `array`."""
        parts = (np.split(part, self.count) for part in (self.x, self.y))
        return [(array(x), array(y)) for x, y in zip(*parts, strict=True)]


def one_by_one(step, batches):
    """An epoch with one call for each batch."""
    return lambda: [step(x, y).item() for x, y in batches]


def minidl_step(problem):
    """A step in minidl, as a user would write it."""
    model = dl.nn.MLP(problem.sizes)
    layers = [layer for layer in model if isinstance(layer, dl.nn.Dense)]
    for layer, weight in zip(layers, problem.weights, strict=True):
        layer.weight.data = weight.copy()
    loss_of = dl.losses.mse if problem.regression else dl.losses.cross_entropy
    return training_step(model, loss_of, dl.optim.Adam(model, problem.lr))


def training_step(model, loss_of, optimizer):
    """A training step of any model."""

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def eager_epoch(problem):
    """Steps that run op by op."""
    return one_by_one(minidl_step(problem), problem.batches(np.array))


def captured_epoch(problem):
    """Steps that are replayed, one call for each."""
    return one_by_one(dl.capture(minidl_step(problem)), problem.batches(np.array))


def epoch_in_one_call(problem):
    """Steps that are replayed, one call for all."""
    step = dl.capture(minidl_step(problem))
    return lambda: step.epoch(problem.x, problem.y, batch_size=problem.batch)


def torch_epoch(problem, compiled=False):
    """PyTorch with fused Adam; `compiled` applies torch.compile to forward and loss."""
    import torch

    layers = []
    for weight in problem.weights:
        linear = torch.nn.Linear(*weight.shape, device="meta").to_empty(device="cpu")
        linear.weight.data = torch.tensor(np.ascontiguousarray(weight.T))
        linear.bias.data.zero_()
        layers += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), problem.lr, fused=True)
    functions = torch.nn.functional
    loss_of = functions.mse_loss if problem.regression else functions.cross_entropy

    def forward(x, y):
        return loss_of(model(x), y)

    if compiled:
        forward = torch.compile(forward)

    def step(x, y):
        optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return one_by_one(step, problem.batches(torch.tensor))


def jax_epoch(problem, scan=False):
    """JAX with Optax: a jitted step that donates its buffers, or `lax.scan` over all of them."""
    import jax
    import optax
    from jax import numpy as jnp

    optimizer = optax.adam(problem.lr)
    params = [(jnp.array(weight), jnp.zeros(weight.shape[1])) for weight in problem.weights]
    learned = params, optimizer.init(params)

    def loss_of(params, x, y):
        for weight, bias in params[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        x = x @ params[-1][0] + params[-1][1]
        if problem.regression:
            return jnp.mean((x - y) ** 2)
        return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()

    def update(learned, batch):
        params, state = learned
        loss, gradient = jax.value_and_grad(loss_of)(params, *batch)
        change, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, change), state), loss

    call = functools.partial(jax.lax.scan, update) if scan else update
    call = jax.jit(call, donate_argnums=0)

    def step(*batch):
        nonlocal learned
        learned, loss = call(learned, batch)
        return loss

    batches = problem.batches(jnp.array)
    if not scan:
        return one_by_one(step, batches)
    x, y = map(jnp.stack, zip(*batches, strict=True))
    return lambda: np.asarray(step(x, y))


def limit_epoch(problem):
    """The lower bound of a step: its matrix products, into preallocated arrays, and Adam."""
    inputs = [np.ones((problem.batch, size), np.float32) for size in problem.sizes]
    gradients = [np.ones_like(values) for values in inputs]
    changes = [np.ones_like(weight) for weight in problem.weights]
    adam = adam_step([array for w in problem.weights for array in (w.shape, w.shape[1:])])

    def step():
        for i, weight in enumerate(problem.weights):
            np.matmul(inputs[i], weight, out=inputs[i + 1])
        for i, weight in reversed(list(enumerate(problem.weights))):
            np.matmul(inputs[i].T, gradients[i + 1], out=changes[i])
            if i:  # the gradient of x is not needed
                np.matmul(gradients[i + 1], weight.T, out=gradients[i])
        adam()

    return lambda: [step() for _ in range(problem.count)]


def adam_step(shapes):
    """Adam alone, on weights of these shapes with constant gradients."""
    rng = np.random.default_rng(0)
    weights = [dl.Tensor(np.zeros(shape, np.float32), requires_grad=True) for shape in shapes]
    for w in weights:
        w.grad = rng.standard_normal(w.shape, np.float32)
    return dl.optim.Adam(weights).step


EPOCHS = {
    "minidl": eager_epoch,
    "captured": captured_epoch,
    "epoch": epoch_in_one_call,
    "PyTorch": torch_epoch,
    "torch.compile": functools.partial(torch_epoch, compiled=True),
    "JAX": jax_epoch,
    "JAX scan": functools.partial(jax_epoch, scan=True),
}
NEEDS = {"PyTorch": ["torch"], "torch.compile": ["torch"]}
NEEDS |= {"JAX": ["jax", "optax"], "JAX scan": ["jax", "optax"]}


def missing_libraries():
    """{contestant: reason} for those that are not installed."""
    missing = {
        who: [name for name in names if not importlib.util.find_spec(name)]
        for who, names in NEEDS.items()
    }
    return {who: f"{', '.join(names)} not installed" for who, names in missing.items() if names}


def set_torch_threads(threads):
    """Set the number of PyTorch's threads, if it is installed."""
    if "PyTorch" not in missing_libraries():
        import torch

        torch.set_num_threads(threads)
