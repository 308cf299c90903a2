"""The command line, for use without writing Python: `python -m minidl walkthrough --help`."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np

from minidl import _checks, _expressions, _files, losses, nn
from minidl._format import aligned, printable
from minidl.config import __version__
from minidl.distributed import launch
from minidl.optim import RULES
from minidl.tensor import default_dtype
from minidl.walkthrough import Walkthrough, trace

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
LOSSES = ("mse", "mae", "huber", "cross_entropy", "binary_cross_entropy")
SURFACES = (  # those of viz, which is not imported for the help of other commands
    "bowl, ravine, rosenbrock, beale, himmelblau, rastrigin, styblinski-tang, saddle, two-wells, "
    "plateau"
)
IN_SHELL = {  # what errors say in Python, and what they say on the command line
    "; a function of two tensors can be given instead": "",
    ", or use a Surface with a larger domain": "",
    " Give a dict with a label for each.": " Name each once.",
    "race: start (": "race: --start (",
}
EXAMPLES = {
    "walkthrough": """\
examples:
  python -m minidl walkthrough
  python -m minidl walkthrough --out walk.html
  python -m minidl walkthrough --layers 2 3 2 --activation relu --loss cross_entropy
  python -m minidl walkthrough --optimizer Momentum --lr 0.5 --seed 7 --out walk.md
""",
    "race": """\
examples:
  python -m minidl race
  python -m minidl race --surface saddle --optimizers SGD Adam --html race.html
  python -m minidl race --surface ravine --lr 0.04 --steps 100 --png race.png
  python -m minidl race --surface himmelblau --starts 200 --noise 5
  python -m minidl race --surface saddle --serve
  python -m minidl race --optimizers Adam --lr "WarmUp(CosineDecay(0.5, 300), 30)" --gif race.gif
""",
    "playground": """\
examples:
  python -m minidl playground
  python -m minidl playground --port 8000 --no-browser
""",
    "schedule": """\
examples:
  python -m minidl schedule "WarmUp(CosineDecay(0.1, 900), 100)" --png lr.png
  python -m minidl schedule "CoolDown(Constant(0.1), at=800, steps=200, shape='one_minus_sqrt')"
  python -m minidl schedule "warmup_stable_decay(0.4, 50, 800, 150)" --steps 1200
""",
    "figures": """\
examples:
  python -m minidl figures --out figures
  python -m minidl figures --out figures family_tree race
""",
    "launch": """\
examples:
  python -m minidl launch -n 4 script.py
  python -m minidl launch -n 2 script.py its arguments
""",
}


def lesson(
    layers: Sequence[int] = (2, 2, 1),
    activation: nn.Activation = "tanh",
    loss: str = "mse",
    optimizer: str = "Adam",
    lr: float = 0.1,
    seed: int = 9,
) -> Walkthrough:
    """A walkthrough of one training step of a small network on two samples.

    layers      sizes of the layers, from the inputs to the outputs
    activation  a name in nn.ACTIVATIONS
    loss        a name in LOSSES
    optimizer   a name in optim.RULES
    lr          the learning rate
    seed        of the random weights and samples, which are rounded to one decimal

    >>> print(lesson().explain("tanh1", (0, 1)).splitlines()[0])
    tanh1[0, 1] = 0.207
    """
    if loss == "cross_entropy" and layers[-1] < 2:
        raise ValueError("cross_entropy needs two outputs or more, one per class: --layers 2 2 2")
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


class Parser(argparse.ArgumentParser):
    """A parser whose help and errors any console can show, with a hint for unknown names."""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(printable(message or ""), file)

    def error(self, message: str) -> NoReturn:
        if unknown := re.match(r"unrecognized arguments: --([\w-]+)", message):
            options = {name.lstrip("-") for name in self._option_string_actions}
            message += _checks.nearest(unknown[1], options).replace("'", "'--", 1)
        elif unknown := re.match(r"argument COMMAND: invalid choice: '(.*?)'", message):
            message += _checks.nearest(unknown[1], EXAMPLES)
        super().error(message.replace(" Did", ". Did"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 after an error, 130 after Ctrl-C.

    Without a command the help is printed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may be undecodable
    parser = Parser(
        "python -m minidl",
        description="The command line of minidl.",
        epilog="Exit codes: 0, 2 after an error, 130 after Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"minidl {__version__}")
    parser.set_defaults(run=lambda options: parser.print_help(), parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    pages = add_walkthrough, add_race, add_playground
    for add in (*pages, add_schedule, add_figures, add_launch):
        add(commands)
    try:
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        options.run(options)
        print(end="", flush=True)  # stdout may be None
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        parser.exit(130, "python -m minidl: interrupted\n")
    except MemoryError:
        parser.exit(2, "python -m minidl: error: not enough memory\n")
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        message = str(error)
        for python, shell in IN_SHELL.items():
            message = message.replace(python, shell)
        parser.exit(2, f"python -m minidl: error: {message}\n")
    return 0


def _command(commands: Commands, name: str, summary: str, description: str) -> Parser:
    """Add a command with its help."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=EXAMPLES[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(parser=parser)
    return parser


def _check_file(owner: str, path: str | None, kinds: Collection[str]) -> None:
    """Check that the file of an option, if given, can be written, before work that takes long."""
    if path is not None:
        _files.check(owner, _files.ending(owner, path, kinds))


def _one_of(names: Collection[str]) -> Callable[[str], str]:
    """A converter of an option: one of the names, in upper or lower case."""

    def chosen(text: str) -> str:
        for name in names:
            if text.lower() == name.lower():
                return name
        hint = _checks.nearest(text, names)
        raise argparse.ArgumentTypeError(
            f"invalid choice: {text!r} (choose from {', '.join(map(repr, names))})" + hint
        )

    return chosen


def add_walkthrough(commands: Commands) -> None:
    """Add the command `walkthrough`: its options and the function that runs it."""
    walkthrough = _command(
        commands,
        "walkthrough",
        "every number of a forward pass, a backward pass and an update",
        "Take one training step of a small network and show every number of it.",
    )
    add = walkthrough.add_argument
    add("--layers", nargs="+", type=int, default=[2, 2, 1], metavar="N", help="in, hidden …, out")
    for name, choices, default in (
        ("activation", nn.ACTIVATIONS, "tanh"),
        ("loss", LOSSES, "mse"),
        ("optimizer", RULES, "Adam"),
    ):
        shown = f"{', '.join(choices)} (default: {default})"
        add(f"--{name}", type=_one_of(choices), default=default, metavar="NAME", help=shown)
    add("--lr", type=float, default=0.1, help="the learning rate (default: %(default)s)")
    add("--seed", type=int, default=9, help="seed of weights and samples (default: %(default)s)")
    add("--out", metavar="FILE", help=".html, .md, .txt or .svg; default: print the text")

    def run(options: argparse.Namespace) -> None:
        for size in options.layers:
            _checks.count("walkthrough", "each number of --layers", size)
        if len(options.layers) < 2:
            raise ValueError(
                "walkthrough: --layers must be two numbers or more, the sizes from the inputs to "
                f"the outputs, such as --layers 2 2 1; got {options.layers[0]}"
            )
        _checks.number("walkthrough", "--lr", options.lr)
        _checks.count("walkthrough", "--seed", options.seed, 0)
        _check_file("walkthrough --out", options.out, (".html", ".md", ".txt", ".svg"))
        names = ("layers", "activation", "loss", "optimizer", "lr", "seed")
        walk = lesson(**{name: getattr(options, name) for name in names})
        if options.out is not None:
            walk.save(options.out)
            print(f"{options.out}: {walk!r}")
        else:
            print(walk)

    walkthrough.set_defaults(run=run)


def add_race(commands: Commands) -> None:
    """Add the command `race`."""
    race = _command(
        commands,
        "race",
        "optimizers on a surface of two parameters, with a verdict for each",
        "Run optimizers on a surface from the same start and print where each one ends.",
    )
    add = race.add_argument
    shown = f"{SURFACES} (default: %(default)s)"
    add("--surface", default="beale", metavar="NAME", help=shown)
    shown = f"{', '.join(RULES)} (default: eight well-known ones)"
    add("--optimizers", nargs="+", metavar="NAME", help=shown)
    add("--steps", type=int, default=400, metavar="N", help="default: %(default)s")
    begin = race.add_mutually_exclusive_group()
    begin.add_argument("--start", nargs=2, type=float, metavar=("X", "Y"), help="the start of all")
    begin.add_argument("--starts", type=int, metavar="N", help="the number of random starts")
    rate = race.add_mutually_exclusive_group()
    shown = "a rate or schedule for all (default: the best of --budget rates for each)"
    rate.add_argument("--lr", metavar="RATE", help=shown)
    shown = "--no-tune: give each optimizer its default rate"
    rate.add_argument("--tune", action=argparse.BooleanOptionalAction, help=shown)
    add("--budget", type=int, metavar="N", help="how many rates are tried (default: 31)")
    add("--noise", type=float, default=0.0, help="deviation of gradient noise (default: 0)")
    add("--seed", type=int, default=0, metavar="N", help="of random starts and noise (default: 0)")
    add("--html", metavar="FILE", help="write the interactive page")
    add("--png", metavar="FILE", help="write the picture: .png, .svg or .pdf")
    add("--gif", metavar="FILE", help="write the animation: .gif, or .mp4 with ffmpeg")
    add("--serve", action="store_true", help="open a page to click and change options; Ctrl-C ends")
    add("--port", type=int, metavar="N", help="the port of --serve (default: a free one)")
    add("--no-browser", action="store_true", help="with --serve: only print the page's address")

    def run(options: argparse.Namespace) -> None:
        from minidl import viz
        from minidl.viz._race.racing import ARTICLE

        for name, low in ("steps", 1), ("starts", 1), ("budget", 2), ("seed", 0):
            if (value := getattr(options, name)) is not None:
                _checks.count("race", f"--{name}", value, low)
        _checks.number("race", "--noise", options.noise)
        if options.budget and (options.lr is not None or options.tune is False):
            raise ValueError(
                "race: --budget is how many rates are tried, so it excludes --lr and --no-tune"
            )
        if options.serve:
            from minidl._page import server

            server.check_port("race", "--port", options.port or 0)
            if options.starts is not None:
                raise ValueError("race: --serve shows one start; give it by --start X Y")
        elif options.port is not None or options.no_browser:
            raise ValueError("race: --port and --no-browser are options of --serve; add --serve")
        lr = None if options.lr is None else _expressions.schedule(options.lr, "race", "--lr")
        _check_file("race --html", options.html, _files.PAGES)
        _check_file("race --png", options.png, _files.STILLS)
        _check_file("race --gif", options.gif, _files.FILMS)
        raced = viz.race(
            options.surface,
            options.optimizers or ARTICLE,
            steps=options.steps,
            start=options.starts if options.start is None else options.start,
            lr=lr,
            tune=options.tune,
            budget=options.budget,
            noise=options.noise,
            rng=options.seed,
        )
        print(raced.table().replace("tune=True", "--tune"))
        for path, write in (
            (options.html, raced.save),
            (options.png, raced.plot),
            (options.gif, raced.animate),
        ):
            if path is not None:
                write(path)
                print(f"wrote {path}")
        if options.serve:
            raced.serve(port=options.port or 0, browser=not options.no_browser)

    race.set_defaults(run=run)


def add_playground(commands: Commands) -> None:
    """Add the command `playground`."""
    parser = _command(
        commands,
        "playground",
        "a page on which a small network learns while you watch and change it",
        "Serve the playground to the browser on this machine; Ctrl-C ends it.",
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="default: a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")

    def run(options: argparse.Namespace) -> None:
        from minidl._page import server
        from minidl.viz._playground import live

        live.serve(server.check_port("playground", "--port", options.port), not options.no_browser)

    parser.set_defaults(run=run)


def add_schedule(commands: Commands) -> None:
    """Add the command `schedule`."""
    parser = _command(
        commands,
        "schedule",
        "the learning rate under a schedule, drawn or printed",
        "Print the rate of a schedule, phase by phase, or draw it.",
    )
    parser.add_argument("expression", help="such as 'CosineDecay(0.1, 900)'")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="number of steps (default: all phases)"
    )
    parser.add_argument("--png", metavar="FILE", help="write the picture: .png, .svg or .pdf")

    def run(options: argparse.Namespace) -> None:
        schedule = _expressions.schedule(options.expression)
        starts = [start for start, _ in schedule.phases()]
        steps = max(10, starts[-1] + starts[-1] // 10) if starts[-1] else 1000
        if options.steps is not None:
            steps = _checks.count("schedule", "--steps", options.steps)
        _check_file("schedule --png", options.png, _files.STILLS)
        if options.png is not None:
            schedule.plot(steps, options.png)
            print(f"wrote {options.png}")
            return
        names = dict(schedule.phases())
        shown = {*range(0, steps, max(1, steps // 10)), steps - 1, *(t for t in names if t < steps)}
        rows = [[str(t), f"{schedule(t):.6g}", names.get(t, "")] for t in sorted(shown)]
        print(schedule, "", *aligned([["step t", "rate η", "phase"], *rows]), sep="\n")

    parser.set_defaults(run=run)


def add_figures(commands: Commands) -> None:
    """Add the command `figures`."""
    parser = _command(
        commands,
        "figures",
        "the pictures of the gallery",
        "Draw the pictures of the gallery, each from real runs.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of pictures (default: all)")
    parser.add_argument("--out", required=True, metavar="DIR", help="a folder; created if missing")

    def run(options: argparse.Namespace) -> None:
        from minidl.viz import figures
        from minidl.viz.figures import learning

        if any(Path(name).stem == "rate_and_loss" for name in options.names or figures.FIGURES):
            try:  # before the other pictures, which take a while
                learning.digits()
            except ModuleNotFoundError:
                raise ModuleNotFoundError(
                    "figures: rate_and_loss learns the digits of scikit-learn, which is missing: "
                    "pip install 'minidl[examples]', or give the names of other pictures"
                ) from None
        for path in figures.write(options.out, map(str.lower, options.names)):
            print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)", flush=True)

    parser.set_defaults(run=run)


def add_launch(commands: Commands) -> None:
    """Add the command `launch`."""
    parser = _command(
        commands,
        "launch",
        "a script on several processes, for dl.distributed",
        "Run a script on several processes of this machine, for dl.distributed.start().\n"
        + launch.CLUSTER,
    )
    cores = os.cpu_count() or 1
    parser.add_argument(
        "-n", type=int, default=cores, metavar="N", help="processes (default: one a core)"
    )
    parser.add_argument("script", help="the Python script, which each process runs")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="of the script")

    def run(options: argparse.Namespace) -> None:
        launch.run(options.script, options.arguments, options.n)

    parser.set_defaults(run=run)


if __name__ == "__main__":
    sys.exit(main())
