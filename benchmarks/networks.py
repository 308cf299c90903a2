"""One training step of the same network in each library, from the same weights.

A step is zero_grad, forward, loss, backward and Adam in float32, and returns the loss: mean squared
error if the last layer has one unit, cross-entropy otherwise.
"""

import importlib.util
import itertools

import numpy as np

import minidl as dl


class Problem:
    """Layer sizes ("784-128-10"), one batch, and initial weights (random unless given).

    Each input occurs twice, with two targets, so that the loss stays well above 0 and can be
    compared after any number of steps.
    """

    def __init__(self, sizes, batch, weights=None, lr=1e-4):
        rng = np.random.default_rng(0)
        self.batch, self.lr = batch, lr
        self.sizes = sizes = [int(size) for size in sizes.split("-")]
        half = rng.standard_normal((-(-batch // 2), sizes[0]), np.float32)
        self.x = np.concatenate([half, half])[:batch]
        self.regression = sizes[-1] == 1
        if self.regression:
            self.y = rng.standard_normal((batch, 1), np.float32)
        else:
            self.y = rng.integers(sizes[-1], size=batch)
        self.weights = weights or [
            (2 * rng.random((n, m), np.float32) - 1) * np.float32((6 / (n + m)) ** 0.5)
            for n, m in itertools.pairwise(sizes)
        ]


def minidl_step(problem):
    """A step in minidl, as a user would write it."""
    model = dl.nn.MLP(problem.sizes)
    layers = [layer for layer in model if isinstance(layer, dl.nn.Dense)]
    for layer, weight in zip(layers, problem.weights, strict=True):
        layer.weight.data = weight.copy()
    optimizer = dl.optim.Adam(model, problem.lr)
    loss_of = dl.losses.mse if problem.regression else dl.losses.cross_entropy
    x, y = problem.x, problem.y

    def step():
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_step(problem, compiled=False):
    """A step in PyTorch with fused Adam; `compiled` applies torch.compile to forward and loss."""
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
    x, y = torch.tensor(problem.x), torch.tensor(problem.y)

    def forward(x, y):
        return loss_of(model(x), y)

    if compiled:
        forward = torch.compile(forward)

    def step():
        optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def jax_step(problem):
    """A step in JAX with Optax: one jitted function that donates its buffers."""
    import jax
    import optax
    from jax import numpy as jnp

    optimizer = optax.adam(problem.lr)
    params = [(jnp.array(weight), jnp.zeros(weight.shape[1])) for weight in problem.weights]
    state = optimizer.init(params)
    x, y = jnp.array(problem.x), jnp.array(problem.y)

    def loss_of(params, x, y):
        for weight, bias in params[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        x = x @ params[-1][0] + params[-1][1]
        if problem.regression:
            return jnp.mean((x - y) ** 2)
        return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()

    def update(params, state, x, y):
        loss, gradient = jax.value_and_grad(loss_of)(params, x, y)
        change, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, change), state, loss

    update = jax.jit(update, donate_argnums=(0, 1))

    def step():
        nonlocal params, state
        params, state, loss = update(params, state, x, y)
        return loss.item()

    return step


def limit_step(problem):
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

    return step


def adam_step(shapes):
    """Adam alone, on weights of these shapes with constant gradients."""
    rng = np.random.default_rng(0)
    weights = [dl.Tensor(np.zeros(shape, np.float32), requires_grad=True) for shape in shapes]
    for w in weights:
        w.grad = rng.standard_normal(w.shape, np.float32)
    return dl.optim.Adam(weights).step


STEPS = {
    "minidl": minidl_step,
    "PyTorch": torch_step,
    "torch.compile": lambda problem: torch_step(problem, compiled=True),
    "JAX": jax_step,
}
NEEDS = {"PyTorch": ["torch"], "torch.compile": ["torch"], "JAX": ["jax", "optax"]}


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
