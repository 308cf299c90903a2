"""The speed and memory goals, and whether a result reaches them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A bound on a result, relative to a contestant.

    Relative to a library: minidl is faster or smaller by at least the factor `bound`. Relative to
    the limit: minidl takes at most `bound` times as much. For "minidl" itself: at most `bound`, in
    the unit of the row.
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


def steps(task, torch, jax, torch_on_two=None):
    yield Goal("steps", task, "PyTorch", torch, 1)
    yield Goal("steps", task, "PyTorch", torch_on_two or torch, 2)
    yield Goal("steps", task, "JAX", jax)


GOALS = [
    *steps("2-16-16-1, batch 32", 6, 3),
    *steps("64-64-10, batch 32", 6, 2.5),
    *steps("784-128-10, batch 64", 1.8, 1.4, torch_on_two=1.5),
    *steps("784-512-256-10, batch 128", 1.1, 1.0),
    *steps("784-2048-2048-10, batch 256", 1.0, 1.0),
    Goal("steps", None, "limit", 1.12),
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
    Goal("digits", None, "PyTorch", 3),
    Goal("digits", None, "scikit-learn", 3),
]


def goal_of(row):
    """The goal that applies to this row, or None."""
    return next((goal for goal in GOALS if goal.applies_to(row)), None)


def ratio(row, mine):
    """This row divided by minidl's; for the limit, minidl's row divided by the limit."""
    return mine.value / row.value if row.contestant == "limit" else row.value / mine.value


def reached(goal, row, mine):
    """Whether the goal is reached, given its row and minidl's; ratios are rounded as printed."""
    if goal.contestant == "minidl":
        return row.value <= goal.bound
    rounded = round(ratio(row, mine), 2)
    return rounded <= goal.bound if goal.contestant == "limit" else rounded >= goal.bound
