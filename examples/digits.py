"""Classify handwritten digits with a small network, and inspect its mistakes: a first real task.

Run it with `python examples/digits.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # Handwritten digits
#
# scikit-learn includes 1797 scanned digits of 8 × 8 pixels. A network with one hidden layer is
# trained on four fifths of them and tested on the rest.

# %%
import argparse
import sys
import time
from pathlib import Path

import numpy as np

import minidl as dl
from minidl._format import printable  # what the console can't show is spelled out

parser = argparse.ArgumentParser(
    description="Train a network on 1797 scanned digits and show its mistakes."
)
parser.add_argument("--epochs", type=int, default=40, help="default: %(default)s")
parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
parser.add_argument("--figure", default="digits.png", help="default: %(default)s")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
if arguments.epochs < 1 or arguments.seed < 0:
    parser.error("--epochs must be at least 1 and --seed at least 0")
if not Path(arguments.figure).parent.is_dir():
    parser.error(f"--figure: there is no folder {Path(arguments.figure).parent}")

try:
    from sklearn.datasets import load_digits
except ModuleNotFoundError:
    sys.exit("The digits are part of scikit-learn: python -m pip install 'minidl[examples]'")

rng = np.random.default_rng(arguments.seed)
digits = load_digits()
order = rng.permutation(len(digits.target))
x = (digits.data[order] / 16).astype(np.float32)  # pixels are 0 … 16
y = digits.target[order]
held_out = len(x) // 5
x_train, y_train, x_test, y_test = x[held_out:], y[held_out:], x[:held_out], y[:held_out]

# %% [markdown]
# ## The network and its training
#
# The network has 64 inputs, 128 hidden units and 10 outputs, one score per digit. Softmax turns
# the scores into probabilities, and cross-entropy is small if the correct digit has a high one.
# With label smoothing, the target probability is 91 % instead of 100 %, which reduces overfitting.
# Adam's rate warms up over the first two epochs, because early gradients are unreliable, and then
# decreases along a cosine, so that training converges.

# %%
model = dl.nn.MLP([64, 128, 10], rng=rng)
data = dl.data.DataLoader(x_train, y_train, batch_size=32, rng=rng)
steps = arguments.epochs * len(data)
warm_up = min(2 * len(data), steps // 2)
schedule = dl.schedulers.WarmUp(dl.schedulers.CosineDecay(0.005, steps - warm_up), warm_up)
optimizer = dl.optim.Adam(model, lr=schedule)
print(model)

start = time.perf_counter()
history = dl.fit(
    model,
    dl.losses.CrossEntropy(label_smoothing=0.1),
    optimizer,
    data,
    epochs=arguments.epochs,
    validation=(x_test, y_test),
    progress=sys.stderr.isatty(),
)
seconds = time.perf_counter() - start

# %% [markdown]
# ## The accuracy

# %%
with dl.no_grad():
    probabilities = dl.softmax(model(x_test)).numpy()
guesses = probabilities.argmax(axis=1)
wrong = np.flatnonzero(guesses != y_test)
print(
    f"\n{len(history.lr)} steps in {seconds:.1f} s; of {held_out} unseen digits "
    f"{100 * (1 - len(wrong) / held_out):.1f} % are right, {len(wrong)} wrong"
)

confusion = np.zeros((10, 10), int)
np.add.at(confusion, (y_test, guesses), 1)
print("\nrow: the digit, column: the guess\n\n    " + "".join(f"{k:4d}" for k in range(10)))
for digit, row in enumerate(confusion):
    print(printable(f"{digit:4d}" + "".join(f"{count or '·':>4}" for count in row)))

# %% [markdown]
# ## The ten hardest digits
#
# First the mistakes, then the correct predictions with the lowest probability. Most of these
# digits are hard to read for a person, too.

# %%
try:
    import matplotlib.pyplot as plt
except ModuleNotFoundError:
    sys.exit("\nThe figure needs Matplotlib: python -m pip install 'minidl[viz]'")

figure = plt.figure(figsize=(12, 4.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))
top, bottom = left.subplots(2, sharex=True, height_ratios=(2, 1))
epochs = np.arange(1, len(history.loss) + 1)
top.plot(epochs, history.loss, color="#0072B2", label="training")
top.plot(epochs, history.validation, color="#D55E00", label="unseen digits")
top.set(ylabel="cross-entropy (smoothed labels)", title="Loss and learning rate")
top.legend(frameon=False)
bottom.plot(np.arange(1, len(history.lr) + 1) / len(data), history.lr, color="#009E73")
bottom.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
for axes in (top, bottom):
    axes.spines[["top", "right"]].set_visible(False)

confidence = probabilities.max(axis=1)
hardest = sorted(range(held_out), key=lambda i: (guesses[i] == y_test[i], confidence[i]))[:10]
others = max(0, 10 - len(wrong))
right.suptitle(
    f"{len(wrong)} mistakes among {held_out} unseen digits, {others} uncertain predictions"
)
for axes, i in zip(right.subplots(2, 5).flat, hardest, strict=True):
    mistaken = guesses[i] != y_test[i]
    axes.imshow(x_test[i].reshape(8, 8), cmap="gray_r")
    axes.set_axis_off()
    verdict = f"{y_test[i]}, predicted {guesses[i]}" if mistaken else f"{y_test[i]}"
    axes.set_title(
        f"{verdict}\np = {confidence[i]:.0%}", size=10, color="#D55E00" if mistaken else "black"
    )
figure.savefig(arguments.figure, dpi=120)
print(f"\nWrote {arguments.figure}")
