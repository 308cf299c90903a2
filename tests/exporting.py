"""Models for the tests of export: every function that is exported, and whole networks.

Each has a right value in float64 that doesn't come from minidl.
"""

import functools
import subprocess
import tempfile
from typing import NamedTuple

import numpy as np
from scipy import special

import minidl as dl
from minidl import nn


class Function(nn.Module):
    """A module that applies a function of a tensor."""

    def __init__(self, function):
        self.function = function

    def forward(self, x):
        return self.function(x)


class Case(NamedTuple):
    """A model, its inputs, and the right outputs in float64 for inputs in float64."""

    model: nn.Module
    x: np.ndarray
    right: np.ndarray

    @property
    def scale(self):
        """By what errors are measured: 1, or the magnitude of larger outputs."""
        return np.maximum(1, np.abs(self.right))


GRID = np.concatenate([np.linspace(-20, 20, 999), [-1e4, -90, -1e-6, 1e-6, 90, 1e4], [0] * 3])
GRID = GRID.reshape(-1, 4).astype(np.float32)
POSITIVE, SMALL = np.abs(GRID) / 8 + np.float32(1e-3), GRID / np.float32(1e3)
C4 = np.array([0.5, -1.5, 2.0, 1.0], np.float32)
RELU = lambda x: np.maximum(x, 0)  # noqa: E731

# name → (function of tensors, the same of arrays in float64, inputs)
UNARY = {
    "relu": (dl.relu, RELU, GRID),
    "leaky_relu": (lambda x: dl.leaky_relu(x, 0.2), lambda x: RELU(x) - 0.2 * RELU(-x), GRID),
    "elu": (lambda x: dl.elu(x, 1.5), lambda x: RELU(x) + 1.5 * np.expm1(np.minimum(x, 0)), GRID),
    "gelu": (dl.gelu, lambda x: x * special.ndtr(x), GRID),
    "silu": (dl.silu, lambda x: x * special.expit(x), GRID),
    "sigmoid": (dl.sigmoid, special.expit, GRID),
    "tanh": (dl.tanh, lambda x: 2 * special.expit(2 * x) - 1, GRID),
    "softplus": (dl.softplus, lambda x: np.logaddexp(0, x), GRID),
    "negative": (lambda x: -x, lambda x: 0 - x, GRID),
    "abs": (dl.abs, lambda x: np.where(x < 0, -x, x), GRID),
    "sign": (dl.sign, lambda x: 1.0 * (x > 0) - (x < 0), GRID),
    "clip": (lambda x: dl.clip(x, -2, 3.5), lambda x: np.minimum(np.maximum(x, -2), 3.5), GRID),
    "clip_above": (lambda x: dl.clip(x, high=1), lambda x: np.minimum(x, 1), GRID),
    "clip_below": (lambda x: dl.clip(x, low=1), lambda x: np.maximum(x, 1), GRID),
    "exp": (dl.exp, lambda x: np.e**x, SMALL),
    "sin": (dl.sin, lambda x: np.exp(1j * x).imag, SMALL),
    "cos": (dl.cos, lambda x: np.exp(1j * x).real, SMALL),
    "log": (dl.log, lambda x: np.log2(x) * np.log(2), POSITIVE),
    "log1p": (dl.log1p, lambda x: np.log2(1 + x) * np.log(2), POSITIVE),
    "sqrt": (dl.sqrt, lambda x: x**0.5, POSITIVE),
}
BINARY = {
    "add": (lambda x: x + C4, lambda x: x + C4.astype(float), GRID),
    "subtract": (lambda x: 1.5 - x, lambda x: 1.5 - x, GRID),
    "multiply": (lambda x: x * C4[None], lambda x: x * C4.astype(float), GRID),
    "divide": (lambda x: x / (x[:, :1] + 30000), lambda x: x / (x[:, :1] + 30000), GRID),
    "power": (lambda x: x**1.5, lambda x: x * x**0.5, POSITIVE),
    "square": (lambda x: x**2, lambda x: x * x, SMALL),
    "maximum": (lambda x: dl.maximum(x, C4), lambda x: np.where(x > C4, x, C4), GRID),
    "minimum": (lambda x: dl.minimum(x[:, :1], x), lambda x: np.fmin(x[:, :1], x), GRID),
    "twice": (lambda x: x * x, lambda x: x**2, SMALL),
}
ROWS = {
    "softmax": (lambda x: dl.softmax(x, 1), lambda x: special.softmax(x, 1), GRID),
    "log_softmax": (dl.log_softmax, lambda x: special.log_softmax(x, 1), GRID),
    "sum": (lambda x: x.sum(-1, keepdims=True), lambda x: x @ np.ones((4, 1)), SMALL),
    "mean": (lambda x: dl.mean(x, 1, keepdims=True), lambda x: x @ np.full((4, 1), 0.25), SMALL),
    "var": (
        lambda x: dl.var(x, (-1,), keepdims=True, ddof=1),
        lambda x: [[np.cov(row)] for row in x],
        SMALL,
    ),
    "std": (lambda x: dl.std(x, 1, True), lambda x: [[np.cov(r, ddof=0) ** 0.5] for r in x], SMALL),
    "columns": (lambda x: x[:, 1:-1], lambda x: x[:, 1:3], GRID),
    "concatenate": (
        lambda x: dl.concatenate([x[:, 2:], x, -x], axis=1),
        lambda x: np.hstack([x[:, 2:], x, -x]),
        GRID,
    ),
}
FUNCTIONS = {**UNARY, **BINARY, **ROWS}


def function(name):
    """The case of one function."""
    own, right, x = FUNCTIONS[name]
    return Case(Function(own), x, np.array(right(x.astype(np.float64))))


ACTIVATIONS = {
    "leaky_relu": lambda x: RELU(x) - 0.01 * RELU(-x),
    "elu": lambda x: RELU(x) + np.expm1(np.minimum(x, 0)),
    **{name: UNARY[name][1] for name in nn.ACTIVATIONS if name not in ("leaky_relu", "elu")},
}


def network(activation, dtype="float32"):
    """The case of a network with this activation, Standardize, Dropout and Softmax."""
    rng = np.random.default_rng(len(activation))
    x = (rng.normal(size=(40, 3)) * [1, 10, 100] + [0, 50, 1000]).astype(dtype)
    with dl.default_dtype(dtype):
        layer = nn.ACTIVATIONS[activation]
        first, second = nn.Dense(3, 6, rng=rng), nn.Dense(6, 5, bias=False, rng=rng)
        last, scale = nn.Dense(5, 4, rng=rng), dl.data.Standardize().fit(x)
        first.bias.data = rng.normal(size=6)
        inner = nn.Sequential(nn.Dropout(0.5, rng=0), second, layer())
        model = nn.Sequential(scale, first, layer(), inner, last, nn.Softmax())
    weights = {name: array.astype(np.float64) for name, array in model.state_dict().items()}
    own = ACTIVATIONS[activation]
    h = (x - weights["standardize1.mean"]) / weights["standardize1.deviation"]
    h = own(h @ weights["dense1.weight"] + weights["dense1.bias"])
    h = own(h @ weights["sequential1.dense1.weight"])
    logits = h @ weights["dense2.weight"] + weights["dense2.bias"]
    return Case(model, x, special.softmax(logits, 1))


class Residual(nn.Module):
    """A model with a forward of its own, in which values are used twice and one not at all."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.first, self.second = nn.Dense(4, 7, rng=rng), nn.Dense(7, 7, rng=rng)
        self.last = nn.Dense(11, 2, rng=rng)
        self.gain = dl.Tensor(np.float32(0.5), requires_grad=True)

    def forward(self, x):
        h = dl.tanh(self.first(x))
        dl.exp(h)
        h = h + dl.exp(self.gain) * dl.silu(self.second(h))
        h = h * dl.sigmoid(h)
        return self.last(dl.concatenate([h, x], axis=-1))


def residual():
    """The case of it."""
    model, x = Residual(), np.random.default_rng(6).normal(size=(30, 4)).astype(np.float32)
    w = {name: array.astype(np.float64) for name, array in model.state_dict().items()}
    h = np.tanh(x @ w["first.weight"] + w["first.bias"])
    a = h @ w["second.weight"] + w["second.bias"]
    h = h + np.exp(0.5) * a * special.expit(a)
    h = h * special.expit(h)
    return Case(model, x, np.hstack([h, x]) @ w["last.weight"] + w["last.bias"])


MAIN = """
    for (int r = 0; r < {rows}; r++) {{
        float x[{inputs}], y[{outputs}];
        if (fread(x, sizeof x, 1, stdin) != 1) return 1;
        {name}(x, y);
        fwrite(y, sizeof y, 1, stdout);
    }}"""


@functools.cache
def sanitizers():
    """The flags with which a program ends at a wrong access to memory, if the compiler has any."""
    flags = "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    with tempfile.TemporaryDirectory() as folder:
        command = ["cc", *flags, "-x", "c", "-", "-o", f"{folder}/main"]
        run = subprocess.run(command, input=b"int main(void) { return 0; }", capture_output=True)
    return [] if run.returncode else flags


def run_in_c(cases, folder):
    """What the headers of cases give for their inputs, in one program; name → outputs in C."""
    includes, body = [], []
    for name, case in cases.items():
        dl.export.to_c(case.model, folder / f"{name}.h", name=name, example=case.x)
        includes.append(f'#include "{name}.h"\n')
        sizes = {"rows": len(case.x), "inputs": case.x.shape[1], "outputs": case.right.shape[1]}
        body.append(MAIN.format(name=name, **sizes))
    source = f"#include <stdio.h>\n{''.join(includes)}\nint main(void) {{{''.join(body)}\n}}\n"
    (folder / "main.c").write_text(source)
    command = ["cc", "-std=c99", *sanitizers(), "main.c", "-lm", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    return run_again(cases, folder)


def run_again(cases, folder):
    """The same, for inputs of the same shapes, by the program that is there."""
    given = b"".join(case.x.astype(np.float32).tobytes() for case in cases.values())
    out = subprocess.run([folder / "main"], input=given, capture_output=True, check=True).stdout
    numbers, results = np.frombuffer(out, np.float32), {}
    for name, case in cases.items():
        results[name] = numbers[: case.right.size].reshape(case.right.shape)
        numbers = numbers[case.right.size :]
    assert numbers.size == 0
    return results
