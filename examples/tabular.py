"""Classify the rows of a CSV file: split, standardize, stop early, resume after a crash, predict.

Run it with `python examples/tabular.py`. The table breast_cancer.csv beside this file has 569
tumours, each with 30 measurements of its cells and whether it is benign (1) or malignant (0). It is
the Breast Cancer Wisconsin (Diagnostic) data set of the UCI Machine Learning Repository, by
W. Wolberg, O. Mangasarian, N. Street and W. Street (1995), https://doi.org/10.24432/C5DW2B, under
the licence CC BY 4.0, in the order of scikit-learn. It is an exercise, not medical advice.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(description="Classify tumours from a CSV file.")
parser.add_argument("--folder", type=Path, help="keep the checkpoints there (default: temporary)")
arguments = parser.parse_args()
if arguments.folder and not arguments.folder.is_dir():
    parser.error(f"--folder: there is no folder {arguments.folder}")
temporary = tempfile.TemporaryDirectory()
folder = arguments.folder or Path(temporary.name)

KINDS = "malignant", "benign"
table = np.loadtxt(Path(__file__).with_name("breast_cancer.csv"), delimiter=",", skiprows=1)
x, y = table[:, :-1], table[:, -1].astype(int)
train, (x_test, y_test) = dl.data.split(x, y, 0.2, stratify=True, rng=0)
(x_train, y_train), held_out = dl.data.split(*train, 0.2, stratify=True, rng=0)


def training(name):
    """What a training needs: model, optimizer, loader and callbacks; each call makes new ones."""
    layers = dl.nn.Dense(30, 16, rng=0), dl.nn.ReLU(), dl.nn.Dropout(0.2, rng=0)
    scale, output = dl.data.Standardize().fit(x_train), dl.nn.Dense(16, 2, rng=1)
    model = dl.nn.Sequential(scale, *layers, output)
    rate = dl.schedulers.WarmUp(dl.schedulers.CosineDecay(0.01, steps=550), steps=50)
    data = dl.data.DataLoader(x_train, y_train, batch_size=32, rng=0)
    stop = dl.callbacks.EarlyStopping(patience=15)
    best = dl.callbacks.Checkpoint(folder / f"{name}.best.ckpt", best=True)
    every = dl.callbacks.Checkpoint(folder / f"{name}.ckpt")
    return model, dl.optim.AdamW(model, lr=rate), data, [stop, best, every]


def fit(model, optimizer, data, callbacks, **options):
    """Train for at most 50 epochs."""
    options |= {"validation": held_out, "metrics": {"accuracy": dl.metrics.accuracy}}
    options |= {"epochs": 50, "callbacks": callbacks, "progress": False}
    return dl.fit(model, dl.losses.cross_entropy, optimizer, data, **options)


def crash(epoch, history):
    """A callback that plays a power failure."""
    if epoch == 8:
        raise RuntimeError("the power failed")


# One training runs through; another one crashes in epoch 8 and resumes from its last checkpoint.
model, optimizer, data, callbacks = training("whole")
history = fit(model, optimizer, data, callbacks)
best = callbacks[0].best_epoch  # by the loss of the held-out rows
print(f"Of {len(history.loss)} epochs {best} was best: loss {history.validation[best - 1]:.3f}.")
crashed = training("crashed")
try:
    fit(*crashed[:3], [*crashed[3], crash])
except RuntimeError as error:
    print(f"In epoch 8 of a second training {error}.", end=" ")
again, optimizer, data, callbacks = training("crashed")
path = folder / "crashed.ckpt"
saved = dl.load(path, again, optimizer=optimizer, data=data, callbacks=callbacks)
fit(again, optimizer, data, callbacks, resume=saved)
first, second = model.state_dict(), again.state_dict()
assert all(np.array_equal(first[name], second[name]) for name in first)
print(f"Resumed after epoch {saved.epoch}, it ended in the same bits.\n")

# Load the best model, test it on rows that it has never seen, and ask it about one patient.
dl.load(folder / "whole.best.ckpt", model)
logits = dl.predict(model, x_test)
accuracy, auc = dl.metrics.accuracy(logits, y_test), dl.metrics.auc(logits, y_test)
print(f"On {len(y_test)} unseen rows the accuracy is {accuracy:.3f} and the AUC {auc:.4f}:")
(mm, mb), (bm, bb) = dl.metrics.confusion_matrix(logits, y_test)
print(f"of {mm + mb} malignant tumours {mm} were found, of {bm + bb} benign ones {bb}.\n")
probability = dl.softmax(logits[0]).data
print(f"The first patient's tumour is {KINDS[probability.argmax()]} with a probability of", end="")
print(f" {probability.max():.1%}, says the model. It was {KINDS[y_test[0]]}.")
