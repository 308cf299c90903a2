"""Splits are partitions in order, and stratified ones keep the share of each label."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.data import split
from minidl.data.splitting import split_rows

A, B, Y = np.arange(24.0).reshape(12, 2), np.arange(36.0).reshape(12, 3), np.arange(12)


@given(n=st.integers(2, 60), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_a_split_is_a_partition_of_the_samples_in_order(n, fraction, seed):
    x = np.arange(n)
    (a, b), (c, d) = split(x, 2 * x, fraction, rng=seed)
    assert sorted([*a, *c]) == x.tolist()
    assert (b.tolist(), d.tolist()) == ((2 * a).tolist(), (2 * c).tolist())
    assert a.tolist() == sorted(a)
    assert c.tolist() == sorted(c)
    assert len(c) == min(max(round(n * fraction), 1), n - 1)
    kept, held_out = split_rows("fit", n, fraction, seed)
    assert (kept.tolist(), held_out.tolist()) == (a.tolist(), c.tolist())


def test_splits_are_seeded_and_every_sample_is_equally_likely_in_the_test_part():
    assert split(Y, Y, rng=1)[1][1].tolist() == split(Y, Y, rng=1)[1][1].tolist()
    rng = np.random.default_rng(0)
    tested = np.bincount(np.concatenate([split(Y, Y, 0.25, rng=rng)[1][1] for _ in range(2000)]))
    assert tested.shape == (12,)
    assert (abs(tested - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75)).all()


def test_the_parts_of_a_split_have_the_form_of_x():
    for x in (A, B), {"a": A, "b": B}:
        for own, labels in split(x, Y, rng=0):
            assert type(own) is type(x)
            first, second = own if isinstance(x, tuple) else own.values()
            assert np.array_equal(first, A[labels])
            assert np.array_equal(second, B[labels])


@pytest.mark.parametrize(
    ("counts", "fraction", "tested"),
    [
        ((50, 30, 20), 0.2, [10, 6, 4]),
        ((8, 2), 0.2, [1, 1]),  # 1.6 and 0.4: both parts hold every label
        ((5, 5, 5), 0.47, [3, 2, 2]),  # 7 of 15: 2.33 each, so the first label has the remainder
        ((7, 4, 2), 0.5, [3, 2, 1]),  # 6 of 13: 3.23, 1.85, 0.92
        ((2, 2, 2), 0.5, [1, 1, 1]),
        ((90, 3, 3), 0.9, [82, 2, 2]),  # 86 of 96: 80.6, 2.69, 2.69; the rare keep one to train on
    ],
)
def test_a_stratified_split_keeps_shares_by_largest_remainders(counts, fraction, tested):
    labels = np.random.default_rng(0).permutation(np.repeat(range(len(counts)), counts))
    for seed in range(3):
        (_, train), (_, test) = split(labels, labels, fraction, stratify=True, rng=seed)
        assert np.bincount(test).tolist() == tested
        assert np.bincount(train).tolist() == (np.array(counts) - tested).tolist()


@pytest.mark.parametrize(
    ("y", "options", "error", "message"),
    [
        (Y, {"fraction": 0}, ValueError, "fraction must be a finite number > 0 and < 1"),
        (Y, {"fraction": 1.0}, ValueError, "fraction must be a finite number > 0 and < 1"),
        (Y, {"stratify": 1}, TypeError, "stratify must be True or False"),
        (Y, {"stratify": True}, ValueError, "at least two samples each, but label 0 has 1"),
        (Y[:, None], {"stratify": True}, ValueError, "a vector of labels"),
        (Y // 2, {"stratify": True}, ValueError, "2 of 12 .*of 6 labels in both parts"),
        (Y[:5], {}, ValueError, "x has 12 samples but y has 5"),
    ],
)
def test_a_split_that_cannot_be_is_an_error(y, options, error, message):
    with pytest.raises(error, match=f"split: .*{message}"):
        split(Y, y, **options)
    with pytest.raises(ValueError, match="split: 1 sample can't be split"):
        split([1], [1])


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_a_stratified_split_keeps_the_share_of_each_label(counts, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    (_, kept), (_, held_out) = split(y, y, 0.5, stratify=True, rng=seed)
    share = np.bincount(held_out, minlength=len(counts))
    assert share.sum() == round(len(y) / 2)
    assert (np.abs(share - np.array(counts) * len(held_out) / len(y)) <= 1).all()
    assert share.min() >= 1
    assert np.bincount(kept, minlength=len(counts)).min() >= 1
