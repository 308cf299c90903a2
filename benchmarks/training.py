"""What `dl.fit` adds to a bare loop, and `dl.save` and `dl.load` to a plain write and read."""

import os
import tempfile
from pathlib import Path

import minidl as dl
from benchmarks.measure import agree, in_child, in_children, row, take_turns
from benchmarks.networks import Problem, training_step

SIZES = 2, 16, 16, 1
COUNT = 64  # batches of 32 in an epoch
EPOCHS = {"eager": 10, "captured": 100}  # in a call of fit, whose first steps record
TURNS = 20  # of one call each, for each of the repeats: the difference is that of neighbours
LARGE = 3500, 2500, 3500  # 17.5 million weights in float32 are 70 MB


def parts():
    """The arguments of a training: model, loss, optimizer and a shuffled loader."""
    problem = Problem("2-16-16-1", 32, COUNT)
    model = dl.nn.MLP(SIZES, rng=0)
    loader = dl.data.DataLoader(problem.x, problem.y, 32, shuffle=True, rng=0)
    return model, dl.losses.mse, dl.optim.Adam(model, 1e-4), loader


def bare(way, epochs):
    """A loop over the same batches without fit, which records nothing; returns the last loss."""
    model, loss_of, optimizer, loader = parts()
    if way == "captured":
        step = dl.capture(training_step(model, loss_of, optimizer))
        for _ in range(epochs):
            for x, y in loader:
                loss = step(x, y)
        return loss.item()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
    return loss.item()


def fitted(way, epochs):
    """The same by fit without callbacks."""
    capture = "auto" if way == "captured" else False
    return dl.fit(*parts(), epochs=epochs, progress=False, capture=capture).step_loss[-1]


def compare_steps(repeats, quick):
    """The rows of a step of fit and of a bare loop, and of their difference."""
    rows = []
    for way, epochs in EPOCHS.items():
        count = epochs // (10 if quick else 1)
        calls = {
            "minidl": lambda way=way, count=count: fitted(way, count),
            "limit": lambda way=way, count=count: bare(way, count),
        }
        agree(way, {who: call() for who, call in calls.items()})
        times = take_turns(calls, TURNS * repeats, quick, block=0, least=1)
        steps = {who: values / (count * COUNT) for who, values in times.items()}
        rows += [row("training", f"a step of fit, {way}", who, 1, steps[who]) for who in calls]
        more = steps["minidl"] - steps["limit"]
        rows.append(row("training", f"fit beyond the bare loop, {way}", "minidl", 1, more))
    return rows


def plain_write(path, content):
    """Write the bytes to the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def compare_files(threads, repeats, quick):
    """The rows of a file of weights."""
    sizes = [n // 4 for n in LARGE] if quick else LARGE
    model, rows = dl.nn.MLP(sizes, rng=0), []
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder, "model.ckpt"), Path(folder, "plain")
        dl.save(path, model)
        content = path.read_bytes()
        plain_write(other, content)
        tasks = {
            "save": (lambda: dl.save(path, model), lambda: plain_write(other, content)),
            "load": (lambda: dl.load(path, model), other.read_bytes),
        }
        for task, calls in tasks.items():
            times = take_turns(dict(zip(("minidl", "limit"), calls, strict=True)), repeats, quick)
            name = f"{task}, {len(content) / 1e6:.0f} MB"
            rows += [row("training", name, who, threads, times[who]) for who in times]
    return rows


def measure(repeats, quick):
    """The rows of this part: steps on one core, files on one and two."""
    return in_child(1, compare_steps, repeats, quick) + in_children(compare_files, repeats, quick)
