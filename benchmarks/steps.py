"""A training step: forward, loss, backward and Adam, in float32."""

from benchmarks.measure import agree, in_children, left_out, row, take_turns
from benchmarks.networks import STEPS, Problem, lacking, limit_step, set_torch_threads

NETWORKS = {
    "2-16-16-1": 32,
    "64-64-10": 32,
    "784-128-10": 64,
    "784-512-256-10": 128,
    "784-2048-2048-10": 256,
}
LIMITED = list(NETWORKS)[-2:]


def contestants(problem, quick):
    """{contestant: step} of those that can take part, and {contestant: why} of the others."""
    steps, missing = {}, lacking()
    if quick:
        missing.setdefault("torch.compile", "--quick")
    for who in [who for who in STEPS if who not in missing]:
        try:
            step = STEPS[who](problem)
            step()
        except Exception as error:
            if who != "torch.compile":  # which needs a C++ compiler
                raise
            missing[who] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        else:
            steps[who] = step
    return steps, missing


def compare(threads, repeats, quick):
    """The rows of every network, on so many threads."""
    set_torch_threads(threads)
    rows = []
    for name, batch in NETWORKS.items():
        problem, work = Problem(name, batch), f"{name}, batch {batch}"
        steps, missing = contestants(problem, quick)
        limit = {"limit": limit_step(problem)} if name in LIMITED else {}
        times = take_turns({**steps, **limit}, repeats, quick)
        losses = {who: step() for who, step in steps.items()}
        agree(work, losses)
        for who, values in times.items():
            note = f"loss {losses[who]:.5f}" if who in losses else ""
            rows.append(row("steps", work, who, threads, values, note=note))
        rows += left_out("steps", threads, missing)
    return rows


def measure(repeats, quick):
    """The rows of the part, one process a number of threads."""
    return in_children(compare, repeats, quick)
