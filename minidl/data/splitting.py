"""Split samples into two parts at random, also with the same share of each label."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import _checks
from minidl.data.arrays import as_pair, part


def split(
    x: Any,
    y: Any,
    fraction: float = 0.2,
    *,
    stratify: bool = False,
    rng: int | np.random.Generator | None = None,
) -> tuple[tuple[Any, np.ndarray], tuple[Any, np.ndarray]]:
    """Split samples at random into (x_train, y_train), (x_test, y_test).

    x, y      arrays with samples along the first axis; x may be a tuple or dict of arrays
    fraction  the share of the test part, in (0, 1)
    stratify  keep the share of each label of y in both parts
    rng       None, a seed or a numpy.random.Generator

    The samples of each part keep their order. ValueError if a part would have no samples, or with
    stratify a label only one.

    >>> train, test = dl.data.split(np.arange(10.0), np.arange(10) % 2, stratify=True, rng=0)
    >>> len(train[0]), test[1].tolist()
    (8, [0, 1])
    """
    own, target = as_pair("split", x, y)
    share = _checks.number("split", "fraction", fraction, above=True, high=1, below=True)
    _checks.flag("split", "stratify", stratify)
    labels = target if stratify else None
    kept, held_out = split_rows("split", len(target), share, rng, labels)
    return (part(own, kept), target[kept]), (part(own, held_out), target[held_out])


def split_rows(
    owner: str,
    n: int,
    fraction: float,
    rng: int | np.random.Generator | None,
    labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to keep and those that are held out, each in order; both at least one."""
    if n < 2:
        raise ValueError(f"{owner}: {n} sample can't be split into two parts")
    generator = _checks.generator(owner, rng)
    count = min(max(round(n * fraction), 1), n - 1)
    if labels is None:
        held_out = generator.permutation(n)[:count]
    else:
        held_out = _stratified(owner, labels, fraction, count, generator)
    chosen = np.zeros(n, bool)
    chosen[held_out] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _stratified(
    owner: str, labels: np.ndarray, fraction: float, count: int, generator: np.random.Generator
) -> np.ndarray:
    """So many rows, of each label its share of them, by largest remainders."""
    values, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if labels.ndim != 1 or counts.min() < 2:
        rare = f"label {values[counts.argmin()]} has" if labels.ndim == 1 else "an array has"
        raise ValueError(
            f"{owner}: stratify needs a vector of labels with at least two samples each, but "
            f"{rare} {counts.min() if labels.ndim == 1 else labels.ndim}"
            + ("" if labels.ndim == 1 else " axes")
        )
    if not len(values) <= count <= len(labels) - len(values):
        raise ValueError(
            f"{owner}: {count} of {len(labels)} samples can't hold a sample of each of "
            f"{len(values)} labels in both parts; choose another fraction"
        )
    exact = counts * (count / len(labels))
    shares = np.clip(np.floor(exact).astype(int), 1, counts - 1)
    while (missing := count - shares.sum()) != 0:  # each round gives or takes at most one a label
        sign = 1 if missing > 0 else -1
        room = (shares < counts - 1) if sign > 0 else (shares > 1)
        order = np.argsort(-sign * (exact - shares) - 1e9 * room, kind="stable")
        shares[order[: min(abs(missing), room.sum())]] += sign
    rows = generator.permutation(len(labels))
    rows = rows[np.argsort(numbers[rows], kind="stable")]  # label by label
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows[place < np.repeat(shares, counts)]
