"""The time of a training step: forward, loss, backward and Adam, in float32."""

from benchmarks.measure import agree, in_children, row, skipped_rows, take_turns
from benchmarks.networks import STEPS, Problem, limit_step, missing_libraries, set_torch_threads

NETWORKS = {
    "2-16-16-1": 32,
    "64-64-10": 32,
    "784-128-10": 64,
    "784-512-256-10": 128,
    "784-2048-2048-10": 256,
}
LIMITED = list(NETWORKS)[-2:]


def contestants(problem, quick):
    """{contestant: step} of the available ones, and {contestant: reason} of the others."""
    steps, missing = {}, missing_libraries()
    if quick:
        missing.setdefault("torch.compile", "--quick")
    for who in [who for who in STEPS if who not in missing]:
        try:
            step = STEPS[who](problem)
            step()
        except Exception as error:
            if who != "torch.compile":  # it needs a C++ compiler
                raise
            missing[who] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        else:
            steps[who] = step
    return steps, missing


def compare(threads, repeats, quick):
    """The rows of every network for a number of threads."""
    set_torch_threads(threads)
    rows = []
    for name, batch in NETWORKS.items():
        problem, task = Problem(name, batch), f"{name}, batch {batch}"
        steps, missing = contestants(problem, quick)
        limit = {"limit": limit_step(problem)} if name in LIMITED else {}
        times = take_turns({**steps, **limit}, repeats, quick)
        losses = {who: step() for who, step in steps.items()}
        agree(task, losses)
        for who, values in times.items():
            note = f"loss {losses[who]:.5f}" if who in losses else ""
            rows.append(row("steps", task, who, threads, values, note=note))
        rows += skipped_rows("steps", threads, missing)
    return rows


def measure(repeats, quick):
    """The rows of this part, in one process per number of threads."""
    return in_children(compare, repeats, quick)
