"""Layers of your own: batch normalization, layer normalization and an embedding, checked and used.

Run it with `python examples/own_layers.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # Write your own layers
#
# A layer is a class with a `forward` method. Tensors in its attributes are its parameters, which
# training changes. Arrays that it declares by `self.buffer` are saved with them, but not learned.
# The gradient follows from the ops of `forward`, so nothing else has to be written.
#
# minidl has no normalizations and no embeddings. Here they are, in a few lines each.

# %%
import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(description="Write, check and train layers of your own.")
parser.add_argument("--epochs", type=int, default=30, help="of the training (default: 30)")
parser.add_argument("--page", help="write the walkthrough of a layer, such as walk.html")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
if arguments.epochs < 1:
    parser.error("--epochs must be at least 1")
if arguments.page and not Path(arguments.page).parent.is_dir():
    parser.error(f"--page: there is no folder {Path(arguments.page).parent}")

# %% [markdown]
# ## Batch normalization
#
# In training, each column is scaled by its mean and variance over the batch:
#
#     y = (x − mean) / √(variance + ε) · weight + bias
#
# A prediction can't depend on what else is in the batch. So the layer keeps running averages of
# both, and uses these in evaluation mode. As in PyTorch, the running variance is the unbiased one,
# which divides by n − 1 instead of n.
#
# Lists of Python numbers get the default dtype, as in `Dense`; NumPy arrays would keep theirs.


# %%
class BatchNorm(dl.nn.Module):
    """y = (x − mean) / √(variance + ε) · weight + bias, for x of shape (samples, features)."""

    def __init__(self, features, *, momentum=0.1, eps=1e-5, affine=True):
        self.momentum, self.eps = momentum, eps
        self.weight = dl.Tensor([1.0] * features, requires_grad=True) if affine else None
        self.bias = dl.Tensor([0.0] * features, requires_grad=True) if affine else None
        self.buffer("running_mean", [0.0] * features)
        self.buffer("running_var", [1.0] * features)

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            if len(x) < 2:
                raise ValueError("BatchNorm needs at least two samples in training mode")
            mean, var = dl.mean(x, axis=0), dl.var(x, axis=0)
            unbiased = var.data * (len(x) / (len(x) - 1))
            self.running_mean += self.momentum * (mean.data - self.running_mean)
            self.running_var += self.momentum * (unbiased - self.running_var)
        y = (x - mean) / dl.sqrt(var + self.eps)
        return y if self.weight is None else y * self.weight + self.bias


# %% [markdown]
# `mean.data` is the array of the tensor `mean`: what is computed with arrays is not part of the
# graph, and gets no gradient.
#
# Three samples of two columns. These are PyTorch's numbers, for comparison:
#
#     layer = torch.nn.BatchNorm1d(2, dtype=torch.float64)
#     y = layer(torch.tensor([[1.0, 40.0], [2.0, 0.0], [6.0, 20.0]], dtype=torch.float64))

# %%
x = np.array([[1.0, 40.0], [2.0, 0.0], [6.0, 20.0]])
PYTORCH_BATCH_NORM = [
    [-0.9258191078240388, 1.2247448484276235],
    [-0.4629095539120194, -1.2247448484276235],
    [1.3887286617360581, 0.0],
]
PYTORCH_RUNNING = {"running_mean": [0.3, 2.0], "running_var": [1.6, 40.9]}


def compare(name, values, expected):
    """Print values, and how far they are from PyTorch's."""
    difference = np.abs(np.asarray(values) - expected).max()
    print(f"{name}\n{np.round(values, 4)}\n  largest difference from PyTorch {difference:.0e}")


with dl.default_dtype("float64"):
    norm = BatchNorm(2)
compare("batch normalization", norm(x).data, PYTORCH_BATCH_NORM)
for name, expected in PYTORCH_RUNNING.items():
    compare(name, norm.state_dict()[name], expected)

# %% [markdown]
# ## Is the gradient right?
#
# `dl.gradcheck` compares backward with central differences, here for the input and both parameters,
# in both modes. The output depends on each sample through the mean and the variance, too, and the
# engine accounts for that by itself.

# %%
leaf = dl.Tensor(x, requires_grad=True)


def check(layer, x):
    """Check the gradients of the input, if it has any, and of all parameters."""
    checked = [t for t in (x, *layer.parameters()) if isinstance(t, dl.Tensor)]
    dl.gradcheck(lambda *_: layer(x), *checked)
    print(f"{type(layer).__name__}: the gradients of {len(checked)} tensors are right")


print()
check(norm, leaf)
check(norm.eval(), leaf)
norm.train()

# %% [markdown]
# ## See every number
#
# `dl.trace` shows what the layer computed. Each op has its formula, since it is made of ops that
# have one. Here is one entry of the quotient, forward and backward; `print(walk)` shows all, and
# `walk.save("walk.html")` writes a page.

# %%
with dl.trace() as walk:
    (norm(leaf) ** 3).mean().backward()
print()
print(walk.explain("norm.divide", (0, 0)))
if arguments.page:
    try:
        walk.save(arguments.page)
    except ModuleNotFoundError:
        sys.exit("\nFor the page install Jinja2: python -m pip install 'minidl[viz]'")
    print(f"\nThe page is in {arguments.page}")

# %% [markdown]
# ## Layer normalization
#
# It takes mean and variance over the features of each sample instead of over the batch. So it has
# no running averages, and does the same in both modes.


# %%
class LayerNorm(dl.nn.Module):
    """y = (x − mean) / √(variance + ε) · weight + bias, with both over the last axis of x."""

    def __init__(self, features, *, eps=1e-5):
        self.eps = eps
        self.weight = dl.Tensor([1.0] * features, requires_grad=True)
        self.bias = dl.Tensor([0.0] * features, requires_grad=True)

    def forward(self, x):
        mean, var = dl.mean(x, axis=-1, keepdims=True), dl.var(x, axis=-1, keepdims=True)
        return (x - mean) / dl.sqrt(var + self.eps) * self.weight + self.bias


PYTORCH_LAYER_NORM = [
    [-1.135548603187525, -0.16222122902678915, 1.2977698322143145],
    [-1.33630573231016, 0.267261146462032, 1.069044585848128],
]  # of torch.nn.LayerNorm(3, dtype=torch.float64) for the rows [1, 3, 6] and [0, 6, 9]

with dl.default_dtype("float64"):
    norm = LayerNorm(3)
print()
compare("layer normalization", norm(np.array([[1.0, 3, 6], [0, 6, 9]])).data, PYTORCH_LAYER_NORM)
check(norm, dl.Tensor(np.array([[1.0, 3, 6], [0, 6, 9]]), requires_grad=True))

# %% [markdown]
# ## Embedding
#
# A column of categories, such as shops or words, is a number for each row that is only a name. An
# embedding looks up a vector for each category, and learns these vectors. Indexing does it:
# backward adds the gradients of all rows that took the same vector.


# %%
class Embedding(dl.nn.Module):
    """y = weight[rows]: a vector of the given size for each of the whole numbers in rows."""

    def __init__(self, categories, size, *, rng=None):
        values = np.random.default_rng(rng).normal(size=(categories, size))
        self.weight = dl.Tensor(values, requires_grad=True, dtype=dl.get_default_dtype())

    def forward(self, rows):
        return self.weight[rows]


with dl.default_dtype("float64"):
    embedding = Embedding(4, 2, rng=0)
rows = np.array([2, 0, 2, 2])
embedding(rows).backward([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]])
# the gradient of torch.nn.Embedding(4, 2).weight for these rows
PYTORCH_EMBEDDING_GRADIENT = [[2.0, 20.0], [0.0, 0.0], [8.0, 80.0], [0.0, 0.0]]
print()
compare("gradient of an embedding", embedding.weight.grad, PYTORCH_EMBEDDING_GRADIENT)
check(embedding, rows)

# %% [markdown]
# ## A network of them
#
# Twelve shops sell ice cream. Whether a day was a good one depends on the temperature and the
# price, and in each shop in another way. The columns have different means and scales, which batch
# normalization finds; the embedding learns what the shops are like.


# %%
class Network(dl.nn.Module):
    def __init__(self):
        self.scale = BatchNorm(2, affine=False)
        self.shop = Embedding(12, 4, rng=0)
        self.hidden = dl.nn.Dense(6, 32, rng=1)
        self.norm = LayerNorm(32)
        self.out = dl.nn.Dense(32, 2, rng=2)

    def forward(self, numbers, shops):
        x = dl.concatenate([self.scale(numbers), self.shop(shops)], axis=1)
        return self.out(dl.relu(self.norm(self.hidden(x))))


rng = np.random.default_rng(0)
shops = rng.integers(0, 12, 3000)
numbers = rng.normal([18.0, 250.0], [8.0, 40.0], (3000, 2)).astype(np.float32)
taste = rng.normal(size=(12, 2))[shops]
good = (((numbers - [18, 250]) / [8, 40] * taste).sum(axis=1) > 0).astype(int)
x, y = (numbers[:2000], shops[:2000]), good[:2000]
unseen_x, unseen_y = (numbers[2000:], shops[2000:]), good[2000:]


def train(capture):
    """A network trained on the first 2,000 days, and the record of its training."""
    network = Network()
    data = dl.data.DataLoader(x, y, batch_size=50, rng=0)
    steps = arguments.epochs * len(data)
    optimizer = dl.optim.Adam(network, lr=dl.schedulers.CosineDecay(0.01, steps))
    options = {"epochs": arguments.epochs, "capture": capture, "progress": False}
    return network, dl.fit(network, dl.losses.cross_entropy, optimizer, data, **options)


network, history = train(capture=True)
print(f"\n{network.summary()}\n")
print(f"loss {history.loss[0]:.3f} in the first epoch, {history.loss[-1]:.3f} in the last")
result = dl.evaluate(network, (unseen_x, unseen_y), metrics={"accuracy": dl.metrics.accuracy})
print(f"{result['accuracy']:.1%} of 1,000 unseen days are predicted")
print(f"means of the columns {x[0].mean(axis=0)}, running means {network.scale.running_mean}")

# %% [markdown]
# The steps were captured: recorded once, and replayed by one call into C, running averages
# included. The eager steps end in the same bits.

# %%
eager = train(capture=False)[0].state_dict()
same = all(np.array_equal(value, eager[name]) for name, value in network.state_dict().items())
print(f"\ncaptured and eager: {'the same bits' if same else 'different bits'}")

# %% [markdown]
# ## Save and load
#
# Parameters and buffers are in the state, under the names of their attributes.

# %%
loaded = Network()
with tempfile.TemporaryDirectory() as folder:
    dl.save(Path(folder, "network.ckpt"), network)
    dl.load(Path(folder, "network.ckpt"), loaded)
same = np.array_equal(dl.predict(loaded, unseen_x), dl.predict(network, unseen_x))
print(f"saved and loaded: {'the same predictions' if same else 'other predictions'}")
