"""Losses with weights of samples and classes, against PyTorch, repeated samples, plain NumPy."""

import numpy as np
import pytest

import minidl as dl
from minidl import losses

LOGITS = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [-0.5, 1.0, 0.0], [2.0, -2.0, 1.0]]
IGNORED = [2, 0, -100, 1]
MIXED = [[0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [1.0, 0.0, 0.0], [0.1, 0.1, 0.8]]
PYTORCH = [  # of PyTorch 2.13 with weight=[0.5, 2, 3]
    (IGNORED, 0.0, "mean", 1.734980995856368),
    (IGNORED, 0.0, "sum", 9.542395477210023),
    (IGNORED, 0.1, "mean", 1.7550708114848232),
    (IGNORED, 0.1, "none", [0.9207809053614695, 0.517759319291242, 0.0, 8.214349238513817]),
    (MIXED, 0.0, "mean", 2.5506010561511676),
    (MIXED, 0.1, "mean", 2.614257903227041),
    (MIXED, 0.1, "sum", 10.457031612908164),
]


@pytest.mark.parametrize(("target", "smoothing", "reduction", "expected"), PYTORCH)
def test_class_weights_give_the_numbers_of_pytorch(target, smoothing, reduction, expected):
    options = {"ignore_index": -100} if target is IGNORED else {}
    x, t = np.array(LOGITS), np.array(target)
    loss = losses.CrossEntropy(
        reduction, label_smoothing=smoothing, class_weight=[0.5, 2, 3], **options
    )
    np.testing.assert_allclose(loss(x, t).data, expected, rtol=1e-12)


ENTRYWISE = [losses.mse, losses.mae, losses.huber, losses.binary_cross_entropy]


@pytest.mark.parametrize("loss", [*ENTRYWISE, losses.cross_entropy])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_1_change_no_bit(loss, reduction, dtype):
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(37, 3)).astype(dtype), rng.uniform(size=(37, 3)).astype(dtype)
    found = []
    for options in ({}, {"sample_weight": np.ones(37)}):
        x = dl.Tensor(p, requires_grad=True)
        y = loss(x, t, reduction, **options)
        y.backward(np.full(y.shape, 0.3, dtype))
        found += [(y.data, x.grad)]
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("loss", [*ENTRYWISE, losses.cross_entropy])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_weight_of_2_equals_the_sample_twice_and_0_leaves_it_out(loss, reduction):
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(6, 3)), rng.uniform(size=(6, 3))
    p[3] = np.nan
    weights = [1, 2, 1, 0, 1, 2]
    rows = np.repeat(np.arange(6), weights)
    weighted = loss(p, t, reduction, sample_weight=weights)
    np.testing.assert_allclose(weighted.data, loss(p[rows], t[rows], reduction).data, rtol=1e-12)
    assert weighted._weight == (7 if reduction == "mean" else None)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1.0, -1.0], ValueError, "sample_weight must be finite numbers ≥ 0 .* got -1"),
        ([1.0, np.nan], ValueError, "sample_weight must be finite numbers"),
        ([1.0, np.inf], ValueError, "sample_weight must be finite numbers ≥ 0 .* got inf"),
        ([1.0], ValueError, r"sample_weight .* of shape \(2,\), got shape \(1,\)"),
        ([0.0, 0.0], ValueError, "finite sum above 0"),
        (dl.Tensor([1.0, 1.0], True), TypeError, "sample_weight.detach"),
        ("ab", TypeError, "mse: sample_weight"),
    ],
)
def test_an_invalid_sample_weight_is_an_error(weights, error, message):
    with pytest.raises(error, match=message):
        losses.mse([1.0, 2.0], [0.0, 0.0], sample_weight=weights)


def test_balanced_weights_count_the_labels_that_are_not_ignored():
    x = np.random.default_rng(0).normal(size=(5, 3))
    y = np.array([0, 0, 2, -1, 0])
    for reduction in ("mean", "sum"):
        options = {"reduction": reduction, "ignore_index": -1}
        balanced = losses.cross_entropy(x, y, class_weight="balanced", **options)
        given = losses.cross_entropy(x, y, class_weight=[4 / 6, 0, 4 / 2], **options)
        np.testing.assert_allclose(balanced.data, given.data, rtol=1e-15)
    with pytest.raises(IndexError, match="row 3 is -1"):
        losses.cross_entropy(x, y, class_weight="balanced", label_smoothing=0.1)


def test_a_gradient_follows_the_weight_of_its_row():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3)), np.array([0, 2, 1, 0])
    weights = np.array([0.5, 3.0, 0.0, 1.0])
    found = []
    for options in ({"sample_weight": weights}, {}):
        logits = dl.Tensor(x, requires_grad=True)
        losses.cross_entropy(logits, y, "sum", **options).backward()
        found.append(logits.grad)
    np.testing.assert_allclose(found[0], weights[:, None] * found[1], rtol=1e-13)


def test_soft_targets_of_binary_cross_entropy_have_both_class_weights():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(5, 2)), rng.uniform(size=(5, 2))
    loss = losses.BinaryCrossEntropy(class_weight=[0.5, 3.0])(x, t)
    w = 0.5 * (1 - t) + 3 * t
    terms = 3 * t * np.log1p(np.exp(-x)) + 0.5 * (1 - t) * np.log1p(np.exp(x))
    np.testing.assert_allclose(loss.data, terms.sum() / w.sum(), rtol=1e-13)
    np.testing.assert_allclose(loss._weight, w.sum() / 2, rtol=1e-13)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weight", [None, [1.0, 3.0, 0.5], "balanced"])
def test_a_captured_step_weighs_as_an_eager_one(smoothing, class_weight):
    rng = np.random.default_rng(0)
    w = dl.Tensor(rng.normal(size=(2, 3)), requires_grad=True)

    def step(x, y, weights):
        w.zero_grad()
        loss = losses.cross_entropy(
            x @ w,
            y,
            label_smoothing=smoothing,
            sample_weight=weights,
            class_weight=class_weight,
            ignore_index=-100,
        )
        loss.backward()
        return loss

    captured = dl.capture(step)
    for _ in range(4):
        y = rng.integers(0, 3, 6)
        y[rng.integers(6)] = -100
        batch = rng.normal(size=(6, 2)), y, rng.uniform(size=6)
        eager, grad = step(*batch), w.grad
        np.testing.assert_array_equal(captured(*batch).data, eager.data)
        np.testing.assert_array_equal(w.grad, grad)
    for x, y, weights, error, message in [
        (batch[0], np.array([0, 1, 7, 0, 1, 2]), batch[2], IndexError, "row 2 is 7"),
        (batch[0], np.full(6, -100), batch[2], ValueError, "finite sum above 0"),
        (batch[0], batch[1], -batch[2], ValueError, "sample_weight must be finite"),
    ]:
        with pytest.raises(error, match=message):
            captured(x, y, weights)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"class_weight": [1.0, 2.0]}, ValueError, r"class_weight .* of shape \(3,\)"),
        ({"class_weight": "even"}, ValueError, "class_weight must be one of 'balanced'"),
        ({"ignore_index": 1.5}, TypeError, "ignore_index must be an integer"),
    ],
)
def test_an_invalid_class_weight_or_ignore_index_is_an_error(options, error, message):
    with pytest.raises(error, match=message):
        losses.cross_entropy(np.zeros((2, 3)), [0, 1], **options)
    with pytest.raises(ValueError, match="ignore_index needs labels"):
        losses.cross_entropy(np.zeros((2, 3)), np.ones((2, 3)), ignore_index=0)
    with pytest.raises(ValueError, match="needs labels"):
        losses.cross_entropy(np.zeros((2, 3)), np.ones((2, 3)), class_weight="balanced")
