"""FTRL for what it is made for: learning from a stream of clicks, with most weights exactly zero.

Run it with `python examples/online_ftrl.py`, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # Who clicks?
#
# A web site wants the probability that a visitor clicks on an advertisement. What it knows of each
# showing are a few categories: the site, the ad, the visitor's segment, the hour, and pairs of
# these. All in all there are millions of them, and new ones turn up every day. So the model has to
#
# - learn online: it sees each row once, predicts it first, then learns from it;
# - be quick: a row has eight features, so an update should touch eight weights, not all;
# - be sparse: most categories tell nothing, and their weights should be exactly 0, so that the
#   model that is served holds only the others.
#
# FTRL-Proximal was made for this (McMahan et al. 2013, "Ad click prediction: a view from the
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
    parser.error("--rows must be at least 1000, --seed at least 0 and --bits in 1 … 24")
if not Path(arguments.figure).parent.is_dir():
    parser.error(f"--figure: there is no folder {Path(arguments.figure).parent}")

try:
    from tqdm.auto import tqdm
except ModuleNotFoundError:
    sys.exit("The progress bar needs tqdm: python -m pip install 'minidl[progress]'")

# %% [markdown]
# ## The stream
#
# Categories are as uneven as in life: the one of rank r turns up about 1/r as often as the first
# (Zipf's law), and n^u, with u uniform in [0, 1), draws such ranks in one line. The truth is
# sparse: one category in five and one pair in fifty change the odds of a click, the others do
# nothing. Rows come in chunks, and no chunk is kept.
#
# There is no dictionary of all categories either. A hash turns each into 64 bits, as good as
# random, and the first `bits` of them are the number of its weight. Some categories share a weight:
# the more weights, the fewer.

# %%
FIELDS = {"always": 1, "site": 300, "ad": 1000, "segment": 3000, "hour": 24}  # how many of each
PAIRS = ("site", "ad"), ("segment", "ad"), ("hour", "site")
WIDTH = len(FIELDS) + len(PAIRS)
CHUNK = 1000


def scatter(x):
    """Integers of 64 bits, mixed so that every bit depends on all (Steele et al. 2014)."""
    for shift, factor in (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB):
        x = (x ^ (x >> shift)) * factor
    return x ^ (x >> 31)


def stream(rows, seed):
    """In chunks: a hash for each feature (n, WIDTH), clicks (n,) and the true log-odds (n,)."""
    rng = np.random.default_rng(seed)
    columns = np.arange(WIDTH, dtype=np.uint64)
    share = np.where(columns < len(FIELDS), 1 / 5, 1 / 50)[:, None]
    effects = rng.normal(scale=1.5, size=(WIDTH, 2**14)) * (rng.random((WIDTH, 2**14)) < share)
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
# A feature is there or it isn't, so the log-odds of a click are the sum of the row's weights.
# `sparse_step` wants each weight once and in rising order; where two features of a row share a
# weight, it counts twice. All rows of a chunk are sorted at once.


# %%
def sparse_rows(hashes, bits):
    """For each row the numbers of its weights, rising, and how many features each one serves."""
    numbers = np.sort((hashes >> (64 - bits)).astype(np.intp), axis=1)
    new = np.diff(numbers, axis=1, prepend=-1) > 0
    starts = np.flatnonzero(new)
    counts = np.diff(starts, append=new.size).astype(np.float32)
    ends = np.cumsum(new.sum(axis=1)).tolist()
    numbers = numbers.ravel()[starts]
    return [(numbers[i:j], counts[i:j]) for i, j in zip([0, *ends], ends, strict=False)]


# %% [markdown]
# ## Predict, then learn
#
# With p = 1 / (1 + e^−s) for the log-odds s, the derivative of the logistic loss by each of the
# row's weights is p − y, and all others are 0. FTRL gets those few by `sparse_step`. SGD has no
# state, so that its sparse update is one line of NumPy.


# %%
class Learner:
    """A logistic regression that starts from zero weights and learns row by row."""

    def __init__(self, name, size):
        self.name, self.quality = name, Quality()
        self.weights = dl.Tensor(np.zeros(size, np.float32), requires_grad=True)

    def learn(self, rows, clicked):
        """Predict each row before learning from it; returns the predicted log-odds."""
        weights, log_odds = self.weights.data, np.empty(len(rows))
        for t, ((numbers, counts), y) in enumerate(zip(rows, clicked, strict=True)):
            log_odds[t] = s = weights[numbers] @ counts
            p = (1 + math.tanh(s / 2)) / 2  # 1 / (1 + e^−s) without overflow
            self.update(numbers, (p - y) * counts)
        return log_odds


class FTRL(Learner):
    def __init__(self, size, l1, lr=0.5):
        super().__init__(f"FTRL, λ₁ = {l1}", size)
        self.optimizer = dl.optim.FTRL([self.weights], lr=lr, l1=l1)

    def update(self, numbers, gradient):
        self.optimizer.sparse_step(self.weights, numbers, gradient)


class SGD(Learner):
    def __init__(self, size, rate):
        super().__init__(f"SGD, rate {rate}", size)
        self.rate = rate

    def update(self, numbers, gradient):
        self.weights.data[numbers] -= self.rate * gradient


# %% [markdown]
# Each prediction is made before its answer is known, so the stream is its own test set
# (*progressive validation*). Two figures sum them up: the log-loss, −log of the probability that
# was given to what happened, and the AUC, the probability that of one clicked and one unclicked row
# the clicked one was thought more likely. Counting predictions in narrow bins gives the AUC without
# keeping them.


# %%
class Quality:
    """Log-loss and AUC of the predictions so far."""

    def __init__(self):
        self.loss, self.bins = 0.0, np.zeros((2, 4000))  # unclicked, clicked; log-odds −10 … 10

    def add(self, log_odds, clicked):
        self.loss += np.sum(np.logaddexp(0, log_odds) - clicked * log_odds)
        places = np.clip(200 * (log_odds + 10), 0, 3999).astype(int)
        np.add.at(self.bins, (clicked.astype(int), places), 1)

    def log_loss(self):
        return self.loss / self.bins.sum()

    def auc(self):
        unclicked, clicked = self.bins
        less_likely = np.cumsum(unclicked) - unclicked / 2  # a tie counts half
        return less_likely @ clicked / (unclicked.sum() * clicked.sum())


# %% [markdown]
# ## One pass
#
# All learners read the same stream side by side: FTRL with λ₁, the price of a weight that is not
# zero, from 0 to 10, and SGD at four rates. Ctrl-C ends the pass after the running chunk, and what
# was learned so far counts.

# %%
size = 2**arguments.bits
learners = [FTRL(size, l1) for l1 in (0, 0.1, 0.3, 1, 3, 10)]
learners += [SGD(size, rate) for rate in (0.02, 0.05, 0.1, 0.2)]
truth, touched, interrupted = Quality(), np.zeros(size, bool), []


def interrupt(*_):
    """The first Ctrl-C asks for an end; a second one ends at once."""
    interrupted.append(True)
    signal.signal(signal.SIGINT, usual)


usual = signal.signal(signal.SIGINT, interrupt)
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
    signal.signal(signal.SIGINT, usual)

# %% [markdown]
# ## What was learned
#
# The log-loss is best compared with that of always predicting the average click rate (100 %) and
# with that of the true probabilities, which nobody can beat. FTRL is ahead of SGD because each
# weight has a rate of its own, α / (β + √n), which is still large when a rare category turns up at
# last. λ₁ = 1 sets more than nine in ten of the touched weights to exactly 0 and loses nothing by
# it: what they had learned was noise. A larger λ₁ trades quality for size, the less the longer the
# stream. SGD has small weights, but none that is 0. (Which of its rates is best is known afterwards
# only; α = 0.5 was the best of 0.1, 0.2, 0.5 and 1 at λ₁ = 1 on the seeds 1 and 2.)

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
kept = {}
for learner in learners:
    loss, kept[learner] = learner.quality.log_loss(), np.count_nonzero(learner.weights.data)
    print(
        f"{learner.name:15} {loss:8.5f} {loss / base:7.2%}  {learner.quality.auc():.3f}"
        f"  {kept[learner]:8,d}  {1 - kept[learner] / touched.sum():7.2%}"
    )
loss = truth.log_loss()
print(f"the truth       {loss:8.5f} {loss / base:7.2%}  {truth.auc():.3f}")

# %% [markdown]
# ## What an update costs
#
# `sparse_step` reads and writes the touched weights and no others. So its time doesn't depend on
# how many weights there are, but for what the processor's caches no longer hold, and grows with
# how many are touched, once these outweigh the fixed cost of a call from Python. `step()`, with a
# gradient that is as sparse but stored in full, has to go through all.


# %%
def microseconds(size, touched, dense=False, calls=200):
    """The median time of an FTRL update of `size` weights of which the gradient touches a few."""
    rng = np.random.default_rng(0)
    learner = FTRL(size, l1=1)
    weights, optimizer = learner.weights, learner.optimizer
    whole = np.full(size, 0, np.float32)
    stride, times = size // touched, []
    for _ in range(calls + 1):
        numbers = np.arange(touched) * stride + rng.integers(stride, size=touched)
        gradient = rng.normal(size=touched).astype(np.float32)
        if dense:
            whole[numbers] = gradient
            weights.grad = whole
            start = time.perf_counter()
            optimizer.step()
        else:
            start = time.perf_counter()
            optimizer.sparse_step(weights, numbers, gradient)
        times.append(time.perf_counter() - start)
        whole[numbers] = 0
    return 1e6 * float(np.median(times[1:]))  # the first sets up the state


print("\nµs an update     sparse_step      step()")
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
# ## The picture
#
# Left how good the predictions are against how many weights they need, right the time of an update
# against the number of weights.

# %%
try:
    import matplotlib.pyplot as plt

    from minidl.viz.plots import COLOURS
except ModuleNotFoundError:
    sys.exit("\nFor the picture install Matplotlib: python -m pip install 'minidl[viz]'")

sgd = min((x for x in learners if isinstance(x, SGD)), key=lambda x: x.quality.log_loss())
ftrl = [x for x in learners if isinstance(x, FTRL)]
figure, (price, speed) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
places = [(max(kept[x], 1), x.quality.log_loss()) for x in ftrl]  # the axis is logarithmic
price.semilogx(*zip(*places, strict=True), "o-", color=COLOURS["blue"], label="FTRL with its λ₁")
for learner, place in zip(ftrl, places, strict=True):
    label = learner.name.split(" = ")[1]
    price.annotate(label, place, (0, 8), textcoords="offset points", ha="center")
price.plot(kept[sgd], sgd.quality.log_loss(), "D", color=COLOURS["orange"], label=sgd.name)
price.set(xlabel="weights that are not zero", ylabel="log-loss", title="The price of zeros")
price.margins(0.1)
price.legend(frameon=False, loc="upper right")

sparse, dense = zip(*costs.values(), strict=True)
speed.loglog(sizes, dense, "s-", color=COLOURS["orange"], label="step()")
speed.loglog(sizes, sparse, "o-", color=COLOURS["blue"], label=f"sparse_step(), {WIDTH} weights")
speed.set(
    xlabel="number of weights",
    ylabel="µs an update",
    ylim=(1, None),
    title="The price of an update",
)
speed.legend(frameon=False)
for axes in (price, speed):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig(arguments.figure, dpi=120)
print(f"\nThe picture is in {arguments.figure}")
