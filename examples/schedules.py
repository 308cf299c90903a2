"""A lesson on learning-rate schedules: warm-up, decay and cool-down, and their effect on the loss.

Run it with `python examples/schedules.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # Learning-rate schedules
#
# The learning rate sets the length of each step. Large steps cover the distance, but never settle;
# small steps settle, but take too long. A schedule combines both: it is the rate as a function of
# the step t = 0, 1, 2, …

# %%
import argparse
import sys
from pathlib import Path

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(
    description="Show the effect of warm-up, decay and cool-down of the learning rate on the loss."
)
for option, default, what in (
    ("--figure", "schedules.png", "the rates, and the losses below them"),
    ("--shapes", "shapes.png", "warm-up and cool-down in three shapes"),
    ("--plot", "schedule.png", "one schedule"),
):
    parser.add_argument(option, default=default, help=f"{what} (default: %(default)s)")
parser.add_argument("--seeds", type=int, default=5, help="trainings of each (default: %(default)s)")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
for option in ("figure", "shapes", "plot"):
    path = Path(getattr(arguments, option))
    if not path.parent.is_dir():
        parser.error(f"--{option}: there is no folder {path.parent}")
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        parser.error(f"--{option} must end in .png, .svg or .pdf, got {path}")
if arguments.seeds < 1:
    parser.error("--seeds must be at least 1")

try:
    from minidl.viz import plots
    from minidl.viz.figures.learning import digits, rate_and_loss, split
    from minidl.viz.figures.schedules import warm_up_and_cool_down
except ModuleNotFoundError:
    sys.exit("This lesson needs Matplotlib: python -m pip install 'minidl[course]'")
try:
    data = digits()
except ModuleNotFoundError:
    sys.exit("The digits are part of scikit-learn: python -m pip install 'minidl[course]'")

# %%
print(dl.lessons.check("schedules-1", ...))  # your answer in place of the three dots

# %% [markdown]
# ## A schedule is a function
#
# It has no state: it can be called with any step, in any order, or with an array of steps. This one
# decays along half a cosine, from 0.03 to 0 within a thousand steps.

# %%
decay = dl.schedulers.CosineDecay(0.03, steps=1000)
print(decay)
for t in (0, 250, 500, 750, 1000):
    print(f"  t = {t:4d}   rate {decay(t):.4f}")

# %%
print(dl.lessons.check("schedules-2", ...))

# %% [markdown]
# ## Warm-up
#
# At the start the weights are random, and long steps can drive them to where little gradient
# passes. A warm-up raises the rate from 0 to its peak, so that the first steps do no harm. It
# wraps any other schedule, which starts when the warm-up is over.
#
# ## Cool-down
#
# Near the minimum, steps of constant length jump from one side of the valley to the other. A
# cool-down lowers the rate, so that the weights settle. Until then the rate may stay at its peak,
# so the length of a training need not be known at its start.

# %%
schedule = dl.schedulers.CoolDown(dl.schedulers.WarmUp(0.03, steps=100), at=750, steps=250)
print(f"\n{schedule}")
for start, phase in schedule.phases():
    print(f"  from step {start:4d}   {phase:10} rate {schedule(start):.4f}")
assert schedule == dl.schedulers.warmup_stable_decay(0.03, warmup=100, stable=650, cooldown=250)


def save(figure, path):
    """Write a figure, or exit with the reason why it can't be written."""
    try:
        plots.save(figure, path)
    except OSError as error:
        sys.exit(str(error))


save(schedule.plot(1100).figure, arguments.plot)
save(warm_up_and_cool_down(peak=0.03), arguments.shapes)

# %%
print(dl.lessons.check("schedules-3", ...))

# %% [markdown]
# ## The effect on the loss
#
# A small network learns to read digits of 8 × 8 pixels. The trainings differ in the rate only: all
# use the same samples, initial weights and number of steps. `lr=` of every optimizer takes a number
# or a schedule.

# %%
EPOCHS, BATCH, PEAK = 12, 16, 0.03


def train(rate, seed):
    """Train with a rate; returns the History, and the accuracy on unseen digits."""
    training, unseen = split(*data, seed=seed)
    model = dl.nn.MLP([64, 32, 32, 10], rng=seed)
    history = dl.fit(
        model,
        dl.losses.cross_entropy,
        dl.optim.Adam(model, lr=rate),
        dl.data.DataLoader(*training, BATCH, rng=seed),
        epochs=EPOCHS,
        validation=unseen,
        progress=False,
    )
    with dl.no_grad():
        predicted = model(unseen[0]).numpy().argmax(axis=1)
    return history, np.mean(predicted == unseen[1])


steps = EPOCHS * len(dl.data.DataLoader(*split(*data)[0], BATCH))
up, down = steps // 10, steps // 4
stable = steps - up - down
rates = {
    "constant": PEAK,
    "constant, a tenth": PEAK / 10,
    "warm-up": dl.schedulers.WarmUp(PEAK, up),
    "warm-up, cosine decay": dl.schedulers.WarmUp(
        dl.schedulers.CosineDecay(PEAK, steps - up), up
    ),
} | {
    f"warm-up, cool-down {shape}": dl.schedulers.warmup_stable_decay(
        PEAK, up, stable, down, shape=shape
    )
    for shape in ("linear", "cosine", "one_minus_sqrt")
}  # fmt: skip

print(f"\n{steps} steps of Adam, peak rate {PEAK}; medians of {arguments.seeds} trainings")
print(f"{'':35} training loss  loss on unseen digits  right")
histories = {}
for name, rate in rates.items():
    runs = [train(rate, seed) for seed in range(arguments.seeds)]
    histories[name] = [history for history, _ in runs]
    training, unseen, right = np.median(
        [(history.loss[-1], history.validation[-1], accuracy) for history, accuracy in runs],
        axis=0,
    )
    print(f"{name:35} {training:13.4f} {unseen:22.3f} {right:6.1%}")

# %% [markdown]
# At the peak rate to the end, with a warm-up or without, training goes on rattling: its loss ends
# far above all others', and the most unseen digits are misread. Where the rate falls, the training
# loss falls with it, and ends lowest of all under the cosine decay; the shape of a cool-down
# matters less than having one. A tenth of the peak rate, constant, ends with a training loss in
# between. On unseen digits its loss is as low as those of the falling rates, though a few more are
# misread: a lower training loss is not all. But one has to know that rate, and a schedule finds its
# way down from the peak. A warm-up alone changes little here, where Adam recovers from a bad start;
# a network of twelve layers doesn't (docs/claims.md).

# %%
chosen = ("constant", "warm-up, cosine decay", "warm-up, cool-down linear")
figure = rate_and_loss({name.replace(", ", ",\n"): histories[name] for name in chosen})
save(figure, arguments.figure)
print(f"\nThe pictures are in {arguments.plot}, {arguments.shapes} and {arguments.figure}")
