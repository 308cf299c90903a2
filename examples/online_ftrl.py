"""Predict clicks online with FTRL, in a sparse model whose weights are mostly exactly zero.

Run it with `python examples/online_ftrl.py`, or cell by cell in an editor that supports `# %%`.
"""

# %% [markdown]
# # Click prediction
#
# A web site needs the probability that a visitor clicks on an advertisement. For each impression it
# knows a few categories: the site, the ad, the visitor's segment, the hour, and pairs of these.
# There are millions of categories, and new ones appear every day. Therefore the model must
#
# - learn online: it sees each row once, predicts it first, and then learns from it;
# - be fast: a row has eight features, so an update should change eight weights, not all;
# - be sparse: most categories carry no information, and their weights should be exactly 0, so that
#   the deployed model stores only the others.
#
# FTRL-Proximal was designed for this (McMahan et al. 2013, "Ad click prediction: a view from the
# trenches").

# %%
import argparse
import math
import signal
import sys
import time
from pathlib import Path

import numpy as np

import minidl as dl
from minidl._format import printable  # what the console can't show is spelled out

notebook = "ipykernel" in sys.modules
parser = argparse.ArgumentParser(
    description="Predict clicks from hashed categories, online, with FTRL and with SGD."
)
parser.add_argument("--rows", type=int, default=50_000, help="default: %(default)s")
parser.add_argument("--bits", type=int, default=18, help="2^bits weights (default: %(default)s)")
parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
parser.add_argument("--figure", default="online_ftrl.png", help="default: %(default)s")
arguments = parser.parse_args([] if notebook else None)
if arguments.rows < 1000 or arguments.seed < 0 or not 1 <= arguments.bits <= 24:
    parser.error("--rows must be at least 1000, --seed at least 0 and --bits from 1 to 24")
if not Path(arguments.figure).parent.is_dir():
    parser.error(f"--figure: there is no folder {Path(arguments.figure).parent}")

try:
    from tqdm.auto import tqdm
except ModuleNotFoundError:
    sys.exit("The progress bar needs tqdm: python -m pip install 'minidl[examples]'")

# %% [markdown]
# ## The stream
#
# The frequencies of the categories follow Zipf's law, as in real data: the category of rank r
# occurs about 1/r times as often as the first. n^u with u uniform in [0, 1) draws such ranks. The
# true model is sparse: one category in five and one pair in fifty change the odds of a click. Rows
# are generated in chunks, and no chunk is stored.
#
# There is no dictionary of the categories. A hash maps each category to 64 pseudorandom bits, and
# the first `bits` of them are the index of its weight. Some categories share a weight; the more
# weights there are, the fewer do.

# %%
FIELDS = {"always": 1, "site": 300, "ad": 1000, "segment": 3000, "hour": 24}  # number of values
PAIRS = ("site", "ad"), ("segment", "ad"), ("hour", "site")
WIDTH = len(FIELDS) + len(PAIRS)
CHUNK = 1000


def scatter(x):
    """Mix 64-bit integers so that every bit depends on all bits (Steele et al. 2014)."""
    for shift, factor in (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB):
        x = (x ^ (x >> shift)) * factor
    return x ^ (x >> 31)


def stream(rows, seed):
    """Yield chunks: hashes of the features (n, WIDTH), clicks (n,) and true log-odds (n,)."""
    rng = np.random.default_rng(seed)
    columns = np.arange(WIDTH, dtype=np.uint64)
    density = np.where(columns < len(FIELDS), 1 / 5, 1 / 50)[:, None]
    effects = rng.normal(scale=1.5, size=(WIDTH, 2**14)) * (rng.random((WIDTH, 2**14)) < density)
    effects[0] = -3
    for start in range(0, rows, CHUNK):
        rank = {name: (n ** rng.random(CHUNK)).astype(np.uint64) for name, n in FIELDS.items()}
        features = [*rank.values(), *(rank[a] << 20 | rank[b] for a, b in PAIRS)]
        hashes = scatter(np.stack(features, axis=1) << 8 | columns)
        log_odds = effects[columns, hashes % 2**14].sum(axis=1)
        clicked = rng.random(CHUNK) < 1 / (1 + np.exp(-log_odds))
        n = min(CHUNK, rows - start)
        yield hashes[:n], clicked[:n], log_odds[:n]


# %% [markdown]
# ## A row and its weights
#
# Features are binary, so the log-odds of a click are the sum of the row's weights. `sparse_step`
# needs unique indices in ascending order; a weight that two features of a row share counts twice.
# All rows of a chunk are sorted together.


# %%
def sparse_rows(hashes, bits):
    """For each row, the ascending indices of its weights and how many features use each."""
    indices = np.sort((hashes >> (64 - bits)).astype(np.intp), axis=1)
    new = np.diff(indices, axis=1, prepend=-1) > 0
    starts = np.flatnonzero(new)
    counts = np.diff(starts, append=new.size).astype(np.float32)
    ends = np.cumsum(new.sum(axis=1)).tolist()
    indices = indices.ravel()[starts]
    return [(indices[i:j], counts[i:j]) for i, j in zip([0, *ends], ends, strict=False)]


# %% [markdown]
# ## Predict, then learn
#
# With p = 1 / (1 + e^−s) for log-odds s, the derivative of the logistic loss with respect to each
# of the row's weights is p − y, and all other derivatives are 0. `sparse_step` passes only these
# few to FTRL. SGD has no state, so its sparse update is one line of NumPy.


# %%
class Learner:
    """Logistic regression, trained row by row from zero weights."""

    def __init__(self, name, size):
        self.name, self.quality = name, Quality()
        self.weights = dl.Tensor(np.zeros(size, np.float32), requires_grad=True)

    def learn(self, rows, clicked):
        """Predict each row, then learn from it; return the predicted log-odds."""
        weights, log_odds = self.weights.data, np.empty(len(rows))
        for t, ((indices, counts), y) in enumerate(zip(rows, clicked, strict=True)):
            log_odds[t] = s = weights[indices] @ counts
            p = (1 + math.tanh(s / 2)) / 2  # 1 / (1 + e^−s) without overflow
            self.update(indices, (p - y) * counts)
        return log_odds


class FTRL(Learner):
    def __init__(self, size, l1, lr=0.5):
        super().__init__(f"FTRL, λ₁ = {l1}", size)
        self.optimizer = dl.optim.FTRL([self.weights], lr=lr, l1=l1)

    def update(self, indices, gradient):
        self.optimizer.sparse_step(self.weights, indices, gradient)


class SGD(Learner):
    def __init__(self, size, rate):
        super().__init__(f"SGD, rate {rate}", size)
        self.rate = rate

    def update(self, indices, gradient):
        self.weights.data[indices] -= self.rate * gradient


# %% [markdown]
# Each prediction is made before its label is used, so the stream is its own test set (*progressive
# validation*). Two metrics summarize the predictions: the log-loss, −log of the probability
# assigned to the outcome, and the AUC, the probability that a random clicked row has a higher score
# than a random unclicked one. Counting predictions in narrow bins gives the AUC without storing
# them.


# %%
class Quality:
    """Running log-loss and AUC of predictions."""

    def __init__(self):
        self.loss, self.bins = 0.0, np.zeros((2, 4000))  # unclicked, clicked; log-odds −10 … 10

    def add(self, log_odds, clicked):
        self.loss += np.sum(np.logaddexp(0, log_odds) - clicked * log_odds)
        columns = np.clip(200 * (log_odds + 10), 0, 3999).astype(int)
        np.add.at(self.bins, (clicked.astype(int), columns), 1)

    def log_loss(self):
        return self.loss / self.bins.sum()

    def auc(self):
        unclicked, clicked = self.bins
        lower = np.cumsum(unclicked) - unclicked / 2  # ties count half
        return lower @ clicked / (unclicked.sum() * clicked.sum())


# %% [markdown]
# ## One pass
#
# All learners read the same stream: FTRL with the L1 penalty λ₁ from 0 to 10, and SGD with four
# rates. Ctrl-C ends the pass after the current chunk, and the results so far are reported.

# %%
size = 2**arguments.bits
learners = [FTRL(size, l1) for l1 in (0, 0.1, 0.3, 1, 3, 10)]
learners += [SGD(size, rate) for rate in (0.02, 0.05, 0.1, 0.2)]
truth, touched, interrupted = Quality(), np.zeros(size, bool), []


def interrupt(*_):
    """End after this chunk; a second Ctrl-C ends immediately."""
    interrupted.append(True)
    signal.signal(signal.SIGINT, default_handler)


default_handler = signal.signal(signal.SIGINT, interrupt)
try:
    with tqdm(total=arguments.rows, unit="row", disable=False if notebook else None) as bar:
        for hashes, clicked, true_log_odds in stream(arguments.rows, arguments.seed):
            rows = sparse_rows(hashes, arguments.bits)
            for learner in learners:
                learner.quality.add(learner.learn(rows, clicked.tolist()), clicked)
            truth.add(true_log_odds, clicked)
            touched[hashes >> (64 - arguments.bits)] = True
            bar.set_postfix_str(f"log-loss {learners[0].quality.log_loss():.4f}", refresh=False)
            bar.update(len(rows))
            if interrupted:
                break
finally:
    signal.signal(signal.SIGINT, default_handler)

# %% [markdown]
# ## The results
#
# Compare the log-loss with that of always predicting the average click rate (100 %) and with that
# of the true probabilities, the best possible value. FTRL is better than SGD because each weight
# has its own rate, α / (β + √n), which is still large when a rare category occurs for the first
# time. λ₁ = 1 sets more than nine in ten of the updated weights to exactly 0 without loss of
# quality: these weights had only fitted noise. A larger λ₁ trades quality for size; the cost in
# quality decreases with the length of the stream. SGD has small weights, but none that are 0. (Its
# best rate is known only afterwards; α = 0.5 was the best of 0.1, 0.2, 0.5 and 1 at λ₁ = 1 on the
# seeds 1 and 2.)

# %%
read, clicks = truth.bins.sum(), truth.bins[1].sum()
rate = clicks / read
base = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
print(
    f"{read:,.0f} rows{' (Ctrl-C)' if interrupted else ''}, {rate:.1%} clicked; "
    f"{touched.sum():,} of {size:,} weights touched\n"
    "\n                log-loss  of base    AUC  non-zero  exact zeros among the touched"
    f"\nclick rate      {base:8.5f}  {1:6.2%}  {0.5:.3f}"
)
nonzero = {}
for learner in learners:
    loss, nonzero[learner] = learner.quality.log_loss(), np.count_nonzero(learner.weights.data)
    print(
        f"{printable(learner.name):15} {loss:8.5f} {loss / base:7.2%}  {learner.quality.auc():.3f}"
        f"  {nonzero[learner]:8,d}  {1 - nonzero[learner] / touched.sum():7.2%}"
    )
loss = truth.log_loss()
print(f"the truth       {loss:8.5f} {loss / base:7.2%}  {truth.auc():.3f}")

# %% [markdown]
# ## The time of an update
#
# `sparse_step` reads and writes only the updated weights. Apart from cache misses, its time does
# not depend on the total number of weights. It grows with the number of updated ones, once these
# outweigh the fixed cost of a call from Python. `step()` with the same gradient as a dense array
# processes all weights.


# %%
def microseconds(size, touched, dense=False, calls=200):
    """The median time of an FTRL update of `touched` out of `size` weights."""
    rng = np.random.default_rng(0)
    learner = FTRL(size, l1=1)
    weights, optimizer = learner.weights, learner.optimizer
    dense_gradient = np.full(size, 0, np.float32)
    stride, times = size // touched, []
    for _ in range(calls + 1):
        indices = np.arange(touched) * stride + rng.integers(stride, size=touched)
        gradient = rng.normal(size=touched).astype(np.float32)
        if dense:
            dense_gradient[indices] = gradient
            weights.grad = dense_gradient
            start = time.perf_counter()
            optimizer.step()
        else:
            start = time.perf_counter()
            optimizer.sparse_step(weights, indices, gradient)
        times.append(time.perf_counter() - start)
        dense_gradient[indices] = 0
    return 1e6 * float(np.median(times[1:]))  # the first allocates the state


print(printable("\nµs an update     sparse_step      step()"))
sizes = [2**bits for bits in range(10, 23, 2)]
costs = {}
for n in sizes:
    costs[n] = microseconds(n, WIDTH), microseconds(n, WIDTH, dense=True, calls=10)
    print(f"{WIDTH:5d} of {n:9,d} {costs[n][0]:11.1f} {costs[n][1]:11.1f}")
print()
for k in (1, 4, 16, 64, 256, 1024, 4096, 16384):
    sparse, dense = microseconds(2**20, k), microseconds(2**20, k, dense=True, calls=10)
    print(f"{k:5d} of {2**20:9,d} {sparse:11.1f} {dense:11.1f}")

# %% [markdown]
# ## The figure
#
# Left: the quality of the predictions against the number of nonzero weights. Right: the time of an
# update against the total number of weights.

# %%
try:
    import matplotlib.pyplot as plt

    from minidl.viz.plots import COLOURS
except ModuleNotFoundError:
    sys.exit("\nThe figure needs Matplotlib: python -m pip install 'minidl[viz]'")

sgd = min((x for x in learners if isinstance(x, SGD)), key=lambda x: x.quality.log_loss())
ftrl = [x for x in learners if isinstance(x, FTRL)]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
points = [(max(nonzero[x], 1), x.quality.log_loss()) for x in ftrl]  # the axis is logarithmic
left.semilogx(*zip(*points, strict=True), "o-", color=COLOURS["blue"], label="FTRL with its λ₁")
for learner, point in zip(ftrl, points, strict=True):
    label = learner.name.split(" = ")[1]
    left.annotate(label, point, (0, 8), textcoords="offset points", ha="center")
left.plot(nonzero[sgd], sgd.quality.log_loss(), "D", color=COLOURS["orange"], label=sgd.name)
left.set(xlabel="nonzero weights", ylabel="log-loss", title="Quality and sparsity")
left.margins(0.1)
left.legend(frameon=False, loc="upper right")

sparse, dense = zip(*costs.values(), strict=True)
right.loglog(sizes, dense, "s-", color=COLOURS["orange"], label="step()")
right.loglog(sizes, sparse, "o-", color=COLOURS["blue"], label=f"sparse_step(), {WIDTH} weights")
right.set(
    xlabel="number of weights",
    ylabel="µs per update",
    ylim=(1, None),
    title="Time of an update",
)
right.legend(frameon=False)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig(arguments.figure, dpi=120)
print(f"\nWrote {arguments.figure}")
