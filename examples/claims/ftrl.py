"""FTRL for online learning: python -m examples.claims ftrl."""

# %% [markdown]
# # Weights of exactly 0
#
# A stream of clicks with thousands of categories, each row seen once. FTRL keeps a weight at
# exactly 0 until its gradients add up to more than λ₁.

# %%
import numpy as np

import minidl as dl
from examples.claims import lab

STATEMENT = "FTRL suits online learning with large sparse models"
QUESTION = "How many weights can FTRL leave at exactly 0 without being worse than SGD?"
VERDICT = "holds"
ANSWER = (
    "At λ₁ = 1 FTRL leaves {zeros:.0%} of the touched weights at 0, at a log-loss of {loss:.3f}; "
    "SGD's is {loss_sgd:.3f}, without zeros"
)
REASON = (
    "Each row is predicted before it is learned (progressive validation), so the stream is its "
    "own test. With λ₁ = 0 FTRL is better than SGD at its best rate, {loss_none:.3f}, since each "
    "weight has a rate of its own. Zeros cost quality on a stream as short as this one: at λ₁ = "
    "{largest:g} {zeros_most:.0%} are 0, and the log-loss is {loss_most:.3f}."
)

# %% [markdown]
# ## The experiment
#
# 4,000 rows of six categories, out of 300 each, by Zipf's law; one in ten changes the odds.
# Logistic regression with `sparse_step`, from zero weights.

# %%
FIELDS, VALUES, ROWS = 6, 300, 4000
PENALTIES = 0.0, 0.3, 1.0, 3.0, 10.0
RATES = 0.05, 0.1, 0.2


def stream(seed):
    rng = np.random.default_rng(seed)
    ranks = (VALUES ** rng.random((ROWS, FIELDS))).astype(np.intp) - 1
    effects = rng.normal(scale=2, size=(FIELDS, VALUES)) * (rng.random((FIELDS, VALUES)) < 0.1)
    odds = effects[np.arange(FIELDS), ranks].sum(axis=1) - 1
    return ranks + VALUES * np.arange(FIELDS), rng.random(ROWS) < 1 / (1 + np.exp(-odds))


def learn(seed, l1=None, rate=0.3):
    """The mean log-loss of the predictions, and the share of zeros; SGD if l1 is None."""
    rows, clicks = stream(seed)
    weights = dl.Tensor(np.zeros(FIELDS * VALUES), requires_grad=True)
    ftrl = dl.optim.FTRL([weights], lr=rate, l1=l1) if l1 is not None else None
    losses = 0.0
    for row, click in zip(rows, clicks.astype(float), strict=True):
        log_odds = weights.data[row].sum()
        losses += np.logaddexp(0, log_odds) - click * log_odds
        slope = 1 / (1 + np.exp(-log_odds)) - click
        if ftrl:
            ftrl.sparse_step(weights, row, np.full(FIELDS, slope))
        else:
            weights.data[row] -= rate * slope
    touched = weights.data[np.unique(rows)]
    return losses / ROWS, np.mean(touched == 0)


def run():
    found = np.array([[learn(seed, l1) for l1 in PENALTIES] for seed in lab.SEEDS])
    sgd = np.array([[learn(seed, rate=rate) for rate in RATES] for seed in lab.SEEDS])
    medians, plain = np.median(found, axis=0), np.median(sgd, axis=0)
    chosen, rate = PENALTIES.index(1.0), plain[:, 0].argmin()
    return {
        "found": found, "sgd": sgd[:, rate], "loss": medians[chosen, 0],
        "zeros": medians[chosen, 1], "loss_none": medians[0, 0], "loss_sgd": plain[rate, 0],
        "zeros_most": medians[-1, 1], "loss_most": medians[-1, 0], "largest": PENALTIES[-1],
        "zeros_sgd": plain[rate, 1],
    }  # fmt: skip


# %% [markdown]
# ## The picture


# %%
def picture(data):
    figure, axes = lab.new_figure()
    ink = lab.colour("FTRL")
    for losses, zeros in data["found"].transpose(0, 2, 1):
        axes.plot(zeros, losses, "o-", color=ink, alpha=0.25, lw=1, mew=0)
    medians = np.median(data["found"], axis=0)
    axes.plot(medians[:, 1], medians[:, 0], "o-", color=ink, ms=10)
    for l1, (loss, share) in zip(PENALTIES, medians, strict=True):
        axes.annotate(
            f"λ₁ = {l1:g}", (share, loss), (0, -24), textcoords="offset points", ha="center",
            color=ink, weight="bold",
        )  # fmt: skip
    axes.plot(data["sgd"][:, 1], data["sgd"][:, 0], "D", color=lab.colour("SGD"), ms=8, alpha=0.5)
    lab.point_at(axes, "SGD", (0, data["loss_sgd"]), (50, 0), "SGD")
    axes.set(xlabel="touched weights that are exactly 0", ylabel="log-loss of the predictions")
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlim(-0.05, 1.05)
    return figure


# %% [markdown]
# ## What the verdict rests on


# %%
def evidence(data):
    return {
        "at λ₁ = 1 more than half of the touched weights are 0": data["zeros"] > 0.5,
        "and the log-loss is at most 1 % above SGD's": data["loss"] < 1.01 * data["loss_sgd"],
        "with λ₁ = 0 it is below SGD's": data["loss_none"] < data["loss_sgd"],
        "SGD has no zeros": data["zeros_sgd"] == 0,
        "the largest λ₁ costs quality": data["loss_most"] > data["loss"] + 0.005,
    }


if __name__ == "__main__":
    lab.show(globals())
