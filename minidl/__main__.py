"""minidl at the command line: `python -m minidl walkthrough --help`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import numpy as np

from minidl import losses, nn, optim
from minidl.tensor import default_dtype
from minidl.trace import Walkthrough, trace

LOSSES = ("mse", "cross_entropy", "binary_cross_entropy")
RULES = {
    name: rule
    for name, rule in vars(optim).items()
    if isinstance(rule, type) and issubclass(rule, optim.Optimizer) and rule.equations
}
EXAMPLES = """\
examples:
  python -m minidl walkthrough
  python -m minidl walkthrough --out walk.html
  python -m minidl walkthrough --layers 2 3 2 --activation relu --loss cross_entropy
  python -m minidl walkthrough --optimizer Momentum --lr 0.5 --seed 7 --out walk.md
"""


def lesson(
    layers: Sequence[int] = (2, 2, 1),
    activation: str = "tanh",
    loss: str = "mse",
    optimizer: str = "Adam",
    lr: float = 0.1,
    seed: int = 9,
) -> Walkthrough:
    """One step of a small network on two samples, in numbers of one decimal at the start.

    >>> print(lesson().explain("tanh1", (0, 1)).splitlines()[0])
    tanh1[0, 1] = 0.207
    """
    if loss == "cross_entropy" and layers[-1] < 2:
        raise ValueError("cross_entropy needs two outputs or more, one a class: --layers 2 2 2")
    rng = np.random.default_rng(seed)
    with default_dtype("float64"):
        model = nn.MLP(layers, activation, rng=rng)
        for parameter in model.parameters():
            parameter.data = _one_decimal(parameter.data)
        x = _one_decimal(rng.uniform(-1, 1, (2, layers[0])))
        if loss == "cross_entropy":
            y = np.arange(2) % layers[-1]
        elif loss == "binary_cross_entropy":
            y = np.tile([[1.0], [0.0]], layers[-1])
        else:
            y = _one_decimal(rng.uniform(-1, 1, (2, layers[-1])))
        rule = RULES[optimizer](model, lr=lr)
        with trace() as walk:
            loss_value = getattr(losses, loss)(model(x), y)
            loss_value.name = "loss"
            loss_value.backward()
            rule.step()
    return walk


def _one_decimal(x: np.ndarray) -> np.ndarray:
    return np.round(x, 1) + 0.0  # −0 becomes 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # formulas are Unicode, whatever the terminal is
    parser = argparse.ArgumentParser("python -m minidl", description="minidl at the command line")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_walkthrough(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, ModuleNotFoundError) as error:
        parser.exit(2, f"python -m minidl: error: {error}\n")
    return 0


def add_walkthrough(commands: argparse._SubParsersAction) -> None:
    """The command `walkthrough`: its options, and what it runs."""
    walkthrough = commands.add_parser(
        "walkthrough",
        help="every number of a forward pass, a backward pass and an update",
        description="Take one training step of a small network, and show every number of it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = walkthrough.add_argument
    add("--layers", nargs="+", type=int, default=[2, 2, 1], metavar="N", help="in, hidden …, out")
    for name, choices, default in (
        ("activation", nn.ACTIVATIONS, "tanh"),
        ("loss", LOSSES, "mse"),
        ("optimizer", RULES, "Adam"),
    ):
        words = f"{', '.join(choices)} (default: {default})"
        add(f"--{name}", choices=choices, default=default, metavar="NAME", help=words)
    add("--lr", type=float, default=0.1, help="the learning rate (default: %(default)s)")
    add("--seed", type=int, default=9, help="of weights and samples (default: %(default)s)")
    add("--out", metavar="FILE", help=".html, .md, .txt or .svg; the text is printed without it")

    def run(options: argparse.Namespace) -> None:
        given = {name: value for name, value in vars(options).items() if name not in ("run", "out")}
        walk = lesson(**given)
        if options.out:
            walk.save(options.out)
            print(f"{options.out}: {walk!r}")
        else:
            print(walk)

    walkthrough.set_defaults(run=run)


if __name__ == "__main__":
    sys.exit(main())
