"""`to_numpy`: a model as a Python function that needs NumPy alone."""

from __future__ import annotations

import textwrap
from os import PathLike
from typing import Any

from minidl import _files
from minidl.config import __version__
from minidl.export.graph import Graph, Step, graph_of

INDENT = " " * 4
LINES = textwrap.TextWrapper(  # of weights
    99,
    initial_indent=INDENT,
    subsequent_indent=INDENT,
    break_long_words=False,
    break_on_hyphens=False,
)

_SIGMOID = "np.exp(np.minimum({0}, 0)) / (1 + np.exp(-np.abs({0})))"
_E = "{0} - {0}.max(axis=1, keepdims=True)"
_SUM = ".sum(axis=1, keepdims=True, dtype=np.float64)"
# op → the expression of its inputs {0}, {1} and its options
EXPRESSIONS = {
    **{name: f"np.{name}({{0}})" for name in ("exp", "log", "log1p", "sin", "cos", "sqrt")},
    **{name: f"np.{name}({{0}})" for name in ("abs", "sign", "tanh", "negative")},
    **{name: f"np.{name}({{0}}, {{1}})" for name in ("maximum", "minimum", "power")},
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "clip": "np.clip({0}, {low}, {high})",
    "sigmoid": _SIGMOID,
    "relu": "np.maximum({0}, 0)",
    "leaky_relu": "np.where({0} > 0, {0}, {slope} * {0})",
    "elu": "np.where({0} > 0, {0}, {alpha} * np.expm1(np.minimum({0}, 0)))",
    "gelu": "(0.5 * {0} * erfc({0} * np.float64(-(0.5**0.5)))).astype({dtype})",
    "silu": f"{{0}} * ({_SIGMOID})",
    "softplus": "np.maximum({0}, 0) + np.log1p(np.exp(-np.abs({0})))",
    "sum": f"{{0}}{_SUM}.astype({{dtype}})",
    "softmax": f"(e := np.exp({_E})) / e{_SUM}.astype({{dtype}})",
    "log_softmax": f"(z := {_E}) - np.log(np.exp(z){_SUM}.astype({{dtype}}))",
    "standardize": "(({0} - {1}) / {2}).astype({dtype})",
    "columns": "{0}[:, {start}:{stop}]",
}


def to_numpy(model: Any, path: str | PathLike[str], *, example: Any = None) -> None:
    """Write a Python file with a function predict(x), which needs NumPy alone.

    model    a module, in float32 or float64; it is exported in evaluation mode
    path     a name that ends in .py
    example  an input of shape (N, features); needed for a model whose first layer doesn't tell its
             number of inputs

    predict takes x of shape (N, features), and returns what the model does in evaluation mode, in
    its dtype, but for the order of sums and the rounding of GELU. TypeError and ValueError for a
    model that can't be exported, which name what can't be; then no file is written.

    >>> import tempfile, runpy, os
    >>> model = dl.nn.MLP([2, 16, 1], rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.py")
    ...     dl.export.to_numpy(model, path)
    ...     predict = runpy.run_path(path)["predict"]
    >>> np.allclose(predict([[1.0, 2.0]]), dl.predict(model, [[1.0, 2.0]]))
    True
    """
    target = _files.ending("to_numpy", path, (".py",))
    text = _text(graph_of("to_numpy", model, example))
    with _files.replacing("to_numpy", target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _text(graph: Graph) -> str:
    inputs, outputs = graph.widths[0], graph.widths[-1]
    constants: list[str] = []
    body = [
        "x = np.asarray(x, np.float64)",
        f"if x.ndim != 2 or x.shape[1] != {inputs}:",
        f'    raise ValueError(f"predict expects x of shape (N, {inputs}), got {{x.shape}}")',
    ]
    if any(0 in step.values for step in graph.steps if step.op != "standardize"):
        body.append(f"v0 = x.astype(np.{graph.dtype})")
    for number, step in enumerate(graph.steps, 1):
        place = f"  # {step.place}" if step.place else ""
        body.append(f"v{number} = {_expression(graph, step, constants)}{place}")
    lines = [
        f'"""{graph.title}, exported by minidl {__version__}. This file needs NumPy alone."""',
        "",
        *(["import math", ""] if any(step.op == "gelu" for step in graph.steps) else []),
        "import numpy as np",
        "",
        "",
        "def predict(x):",
        f'    """The output (N, {outputs}) of the model for x (N, {inputs}), in {graph.dtype}."""',
        *(f"    {line}" for line in body),
        f"    return v{len(graph.steps)}",
        "",
        "",
        *constants,
    ]
    if any(step.op == "gelu" for step in graph.steps):
        lines.append("erfc = np.vectorize(math.erfc, otypes=[np.float64])")
    return "\n".join(lines).rstrip() + "\n"


def _expression(graph: Graph, step: Step, constants: list[str]) -> str:
    """The expression of a step; its constants are added to the others."""
    names = []
    for x in step.inputs:
        if not isinstance(x, int):
            dtype = "float64" if step.op == "standardize" else graph.dtype
            name = f"C{len(constants) + 1}"
            values = LINES.fill(f"{x.tolist()},")
            constants.append(f"{name} = np.array(\n{values}\n{INDENT}np.{dtype},\n)")
            names.append(name)
        else:
            names.append(f"v{x}")
    if step.op == "standardize" and step.values == (0,):
        names[0] = "x"  # which has all its digits, as in minidl
    if step.op == "dense":
        return " + ".join([f"{names[0]} @ {names[1]}", *names[2:]])
    if step.op == "concatenate":
        return f"np.concatenate([{', '.join(names)}], axis=1)"
    return EXPRESSIONS[step.op].format(*names, **step.options, dtype=f"np.{graph.dtype}")
