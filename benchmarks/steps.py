"""The time of a training step: forward, loss, backward and Adam, in float32."""

from benchmarks.measure import agree, in_children, row, skipped_rows, take_turns
from benchmarks.networks import EPOCHS, Problem, limit_epoch, missing_libraries, set_torch_threads

# the size of a batch, and how many there are: repeating one would make Adam's state subnormal
NETWORKS = {
    "2-16-16-1": (32, 64),
    "20-32-32-2": (16, 64),
    "13-64-64-1": (32, 64),
    "64-64-10": (32, 64),
    "784-128-10": (64, 64),
    "784-512-256-10": (128, 8),
    "784-2048-2048-10": (256, 2),
}
TASKS = {name: f"{name}, batch {batch}" for name, (batch, _) in NETWORKS.items()}
LIMITED = list(NETWORKS)[-2:]


def contestants(problem, quick):
    """{contestant: epoch} of the available ones, and {contestant: reason} of the others."""
    epochs, missing = {}, missing_libraries()
    if quick:
        missing.setdefault("torch.compile", "--quick")
    for who in [who for who in EPOCHS if who not in missing]:
        try:
            epoch = EPOCHS[who](problem)
            epoch()
        except Exception as error:
            if who != "torch.compile":  # it needs a C++ compiler
                raise
            missing[who] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        else:
            epochs[who] = epoch
    return epochs, missing


def compare(threads, repeats, quick):
    """The rows of every network for a number of threads."""
    set_torch_threads(threads)
    rows = []
    for name, (batch, count) in NETWORKS.items():
        problem = Problem(name, batch, count)
        epochs, missing = contestants(problem, quick)
        limit = {"limit": limit_epoch(problem)} if name in LIMITED else {}
        losses = {who: epoch()[-1] for who, epoch in epochs.items()}
        agree(TASKS[name], losses)  # now: over thousands of steps, differences in rounding grow
        times = take_turns({**epochs, **limit}, repeats, quick, block=0.2, least=2)
        for who, values in times.items():
            note = f"loss {losses[who]:.5f}" if who in losses else ""
            rows.append(row("steps", TASKS[name], who, threads, values / count, note=note))
        rows += skipped_rows("steps", threads, missing)
    return rows


def measure(repeats, quick):
    """The rows of this part, in one process per number of threads."""
    return in_children(compare, repeats, quick)
