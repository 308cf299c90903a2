"""The speed and memory goals, and whether a result reaches them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A bound on a result, relative to another of minidl's own, the base.

    Relative to a contestant: the base is faster or smaller by at least the factor `bound`. Relative
    to the limit: the base takes at most `bound` times as much. For the base itself: at most
    `bound`, in the unit of the row.
    """

    part: str
    task: str | None  # None: any
    contestant: str
    bound: float
    threads: int | None = None  # None: any

    def applies_to(self, row):
        """Whether this goal applies to the row."""
        return (
            (self.part, self.contestant) == (row.part, row.contestant)
            and self.task in (None, row.task)
            and self.threads in (None, row.threads)
        )


CAPTURED = {  # a captured step against the eager one, jitted JAX, PyTorch; an epoch against a scan
    "2-16-16-1, batch 32": (9, 11, 45, 2.5),
    "20-32-32-2, batch 16": (6.5, 8, 32, 2.7),
    "13-64-64-1, batch 32": (4, 4.3, 18, 1.3),
    "64-64-10, batch 32": (4.5, 5, 20, 1.7),
    "784-128-10, batch 64": (1.25, 1.5, 2.3, 1.15),
    "784-512-256-10, batch 128": (1.05, 1.12, 1.15, 1.05),
    "784-2048-2048-10, batch 256": (1.0, 1.05, 0.95, 1.05),  # PyTorch brings a faster BLAS
}
CONTESTANTS = "minidl", "JAX", "PyTorch", "JAX scan"
SMALL = list(CAPTURED)[:4]
WAYS = "eager", "captured"

GOALS = [
    *(
        Goal("steps", task, contestant, bound, threads=1)
        for task, bounds in CAPTURED.items()
        for contestant, bound in zip(CONTESTANTS, bounds, strict=True)
    ),
    Goal("steps", None, "limit", 1.12),
    *(Goal("capture", layers, "minidl", 5) for layers in ("tanh", "sigmoid", "silu", "dropout")),
    Goal("capture", "a step of fit", "captured", 5e-6),  # 200,000 steps a second
    *(Goal("capture", f"paid back, {network}", "captured", 20) for network in SMALL),
    *(Goal("training", f"fit beyond the bare loop, {w}", "minidl", 2e-6) for w in WAYS),
    Goal("training", "save, 70 MB", "limit", 1.5),
    Goal("threads", None, "one thread", 0.98),  # never slower; 2 % is within the noise
    Goal("optimizers", "Adam, 353 weights in 6", "PyTorch", 8),
    Goal("optimizers", "Adam, 118,282 weights in 4", "PyTorch", 2.5),
    Goal("optimizers", "Adam, 20,000,000 weights in 1", "PyTorch", 1.0),
    *(
        Goal("optimizers", f"{rule}, 118,282 weights in 4", "PyTorch", 4)
        for rule in ("RMSprop", "Adadelta", "Nadam", "Adamax", "RAdam")
    ),
    Goal("roofline", None, "limit", 1.15),
    Goal("losses", "64 × 10", "PyTorch", 4),
    Goal("losses", "1,024 × 1,000", "PyTorch", 1.2),
    Goal("losses", "64 × 50,000", "PyTorch", 1.2),
    Goal("overhead", "import, after NumPy", "minidl", 0.030),
    Goal("overhead", "installed size", "minidl", 3e6),
    Goal("overhead", "peak memory, 784-2048-2048-10, batch 256", "PyTorch", 2),
    Goal("overhead", "an op in a chain of 1,000", "minidl", 1.5e-6),
    Goal("overhead", "an op in a chain of 1,000,000", "minidl", 1.5e-6),
    Goal("sklearn", None, "scikit-learn", 3),
    Goal("digits", None, "PyTorch", 3),
    Goal("digits", None, "scikit-learn", 3),
]


def base(row):
    """The contestant of minidl's own that a row is compared with."""
    if row.part == "steps":
        return "epoch" if row.contestant in ("epoch", "JAX scan") else "captured"
    return "captured" if row.part == "capture" else "minidl"


def goal_of(row):
    """The goal that applies to this row, or None."""
    return next((goal for goal in GOALS if goal.applies_to(row)), None)


def ratio(row, mine):
    """This row divided by its base; for the limit, the base divided by the limit."""
    return mine.value / row.value if row.contestant == "limit" else row.value / mine.value


def is_upper(row):
    """Whether the goal of this row is an upper bound."""
    return row.contestant in ("limit", base(row))


def reached(goal, row, mine):
    """Whether the goal is reached, given its row and the base; ratios are rounded as printed."""
    value = row.value if row.contestant == base(row) else round(ratio(row, mine), 2)
    return value <= goal.bound if is_upper(row) else value >= goal.bound
