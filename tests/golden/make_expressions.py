"""Write expressions.json: values and gradients of composite expressions, computed by PyTorch.

    python tests/golden/make_expressions.py

This needs PyTorch 2.13 (CPU). The stored file was made with PyTorch 2.13.0 and NumPy 2.4.6 in
float64, on one thread; the result is the same, bit for bit, in every run. Numbers are written such
that reading them gives the same bits. tests/test_tensor.py computes the expressions with minidl.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

HERE = pathlib.Path(__file__).parent
LABELS = [2, 0, 1, 2, 0]
KEY = [0, 2, 2, 4]
SHAPES = {"x": (5, 4), "w": (4, 3), "b": (3,), "v": (3, 2), "c": (2,), "p": (5, 3), "q": (2, 3, 4)}


def mlp(activation):
    return lambda x, w, b, v, c: ((activation(x @ w + b) @ v + c) ** 2).mean()


EXPRESSIONS = {
    "mlp relu": mlp(torch.relu),
    "mlp leaky_relu": mlp(lambda x: F.leaky_relu(x, 0.01)),
    "mlp elu": mlp(F.elu),
    "mlp gelu": mlp(F.gelu),
    "mlp silu": mlp(F.silu),
    "mlp sigmoid": mlp(torch.sigmoid),
    "mlp tanh": mlp(torch.tanh),
    "mlp softplus": mlp(F.softplus),
    "cross_entropy": lambda x, w, b: F.cross_entropy(x @ w + b, torch.tensor(LABELS)),
    "smoothed cross_entropy": lambda x, w, b: F.cross_entropy(
        x @ w + b, torch.tensor(LABELS), label_smoothing=0.1
    ),
    "soft cross_entropy": lambda x, w, p: F.cross_entropy(x @ w, p.detach().softmax(1)),
    "binary_cross_entropy": lambda x, w, p: F.binary_cross_entropy_with_logits(
        x @ w, torch.sigmoid(p)
    ),
    "mse": lambda x, w, p: F.mse_loss(x @ w, p, reduction="sum"),
    "norms": lambda x, w: torch.linalg.norm(x @ w, dim=1).sum() * torch.linalg.norm(w),
    "softmax and logs": lambda x, w, p: (
        (torch.log_softmax(x @ w, dim=0) * torch.softmax(p, dim=1)).sum()
        + torch.logsumexp(x, dim=1).mean()
    ),
    "batched matmul": lambda q, w, v: torch.tanh(q @ w @ v) / (1 + (q @ w).exp().sum()),
    "indexing": lambda x, p: x[KEY, 1:3].exp() * p[::2, :1].sum() + x.flip(1)[-1, :2],
    "max and min": lambda x, w: (x @ w).amax(dim=1) - x.amin() * (w**3).amax(dim=(0, 1)),
    "broadcasting": lambda x, b, c: (
        (x.T[:, None, :, None] / (2 + c**2) - b[:, None, None]).abs() ** 1.5
    ),
    "shapes": lambda q, p: torch.stack(
        [torch.cat([q.reshape(-1, 3), p]).T.sum(1), q.transpose(0, 1).mean(dim=(1, 2)).sqrt()]
    ),
}


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    inputs = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    inputs["q"] = np.abs(inputs["q"])
    expressions = {}
    for name, f in EXPRESSIONS.items():
        names = f.__code__.co_varnames[: f.__code__.co_argcount]
        leaves = {n: torch.tensor(inputs[n], requires_grad=True) for n in names}
        value = f(*leaves.values())
        weights = torch.tensor(rng.uniform(0.5, 1.5, tuple(value.shape)), dtype=torch.float64)
        value.backward(weights)
        expressions[name] = {
            "weights": weights.tolist(),
            "value": value.tolist(),
            "gradients": {
                n: None if leaf.grad is None else leaf.grad.tolist() for n, leaf in leaves.items()
            },
        }
    content = {
        "made with": {"torch": torch.__version__, "numpy": np.__version__},
        "labels": LABELS,
        "key": KEY,
        "inputs": {name: x.tolist() for name, x in inputs.items()},
        "expressions": expressions,
    }
    (HERE / "expressions.json").write_text(json.dumps(content, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
