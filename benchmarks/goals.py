"""What is to be reached, and whether it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """At least so many times faster or smaller than a peer; against the limit at most so many
    times as much; against nobody, "minidl" itself, at most so much, in the unit of the row."""

    part: str
    work: str | None  # None: any
    against: str
    number: float
    threads: int | None = None  # None: any

    def meets(self, row):
        """Is this the goal for this row, of the contestant it is against?"""
        return (
            (self.part, self.against) == (row.part, row.contestant)
            and self.work in (None, row.work)
            and self.threads in (None, row.threads)
        )


def steps(work, torch, jax, torch_on_two=None):
    yield Goal("steps", work, "PyTorch", torch, 1)
    yield Goal("steps", work, "PyTorch", torch_on_two or torch, 2)
    yield Goal("steps", work, "JAX", jax)


GOALS = [
    *steps("2-16-16-1, batch 32", 6, 3),
    *steps("64-64-10, batch 32", 6, 2.5),
    *steps("784-128-10, batch 64", 1.8, 1.4, torch_on_two=1.5),
    *steps("784-512-256-10, batch 128", 1.1, 1.0),
    *steps("784-2048-2048-10, batch 256", 1.0, 1.0),
    Goal("steps", None, "limit", 1.12),
    Goal("threads", None, "one thread", 0.98),  # never slower; 2 % can't be told from noise
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
    Goal("overhead", "import beyond NumPy's", "minidl", 0.030),
    Goal("overhead", "installed size", "minidl", 3e6),
    Goal("overhead", "peak memory, 784-2048-2048-10, batch 256", "PyTorch", 2),
    Goal("overhead", "an op of 1,000 in a chain", "minidl", 1.5e-6),
    Goal("overhead", "an op of 1,000,000 in a chain", "minidl", 1.5e-6),
    Goal("digits", None, "PyTorch", 3),
    Goal("digits", None, "scikit-learn", 3),
]


def goal_of(row):
    """The goal that this row decides, or None."""
    return next((goal for goal in GOALS if goal.meets(row)), None)


def compared(row, mine):
    """How many times minidl is ahead of this row; for the limit, how many times it is behind."""
    return mine.value / row.value if row.contestant == "limit" else row.value / mine.value


def reached(goal, row, mine):
    """Whether the goal is reached, given its row and minidl's; a ratio counts as it is printed."""
    if goal.against == "minidl":
        return row.value <= goal.number
    ratio = round(compared(row, mine), 2)
    return ratio <= goal.number if goal.against == "limit" else ratio >= goal.number
