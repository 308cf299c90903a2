"""Metrics, against closed forms, the definition over all pairs, and scikit-learn."""

import numpy as np
import pytest

import minidl as dl
from minidl import metrics

REGRESSION = {
    "mae": "mean_absolute_error",
    "rmse": "root_mean_squared_error",
    "r2": "r2_score",
}


def random_weights(rng, n):
    return rng.choice([0.0, 0.5, 1.0, 3.0], n)


def classified(rng, n=60, classes=4, dtype=np.float64):
    """Logits with ties, and labels."""
    return rng.integers(0, 3, (n, classes)).astype(dtype), rng.integers(0, classes, n)


def example(name, rng, n=40):
    """A prediction and a target for a metric."""
    if name in REGRESSION:
        return rng.normal(size=(n, 3)), rng.normal(size=(n, 3))
    if name == "auc":
        return rng.integers(0, 6, n).astype(float), rng.integers(0, 2, n)
    return classified(rng, n)


NAMES = ["accuracy", "confusion_matrix", "auc", *REGRESSION]


# --- the same values as scikit-learn ------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_accuracy_and_the_confusion_matrix_are_those_of_scikit_learn(seed, weighted):
    reference = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    logits, labels = classified(rng)
    w = random_weights(rng, len(labels)) if weighted else None
    predicted = logits.argmax(1)
    assert metrics.accuracy(logits, labels, sample_weight=w) == pytest.approx(
        reference.accuracy_score(labels, predicted, sample_weight=w), rel=1e-14
    )
    matrix = metrics.confusion_matrix(logits, labels, sample_weight=w)
    expected = reference.confusion_matrix(labels, predicted, sample_weight=w, labels=range(4))
    np.testing.assert_allclose(matrix, expected, rtol=1e-14)
    assert matrix.dtype == expected.dtype


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("levels", [3, 1000])
def test_auc_is_that_of_scikit_learn_with_ties_and_weights(seed, weighted, levels):
    reference = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, levels, 80).astype(float), rng.integers(0, 2, 80)
    w = random_weights(rng, 80) if weighted else None
    expected = reference.roc_auc_score(labels, scores, sample_weight=w)
    assert metrics.auc(scores, labels, sample_weight=w) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", REGRESSION)
@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_regression_metrics_are_those_of_scikit_learn(name, shape, weighted):
    reference = getattr(pytest.importorskip("sklearn.metrics"), REGRESSION[name])
    rng = np.random.default_rng(1)
    target = rng.normal(1e3, 5, shape)
    prediction = target + rng.normal(size=shape)
    w = random_weights(rng, 50) if weighted else None
    value = getattr(metrics, name)(prediction, target, sample_weight=w)
    assert value == pytest.approx(reference(target, prediction, sample_weight=w), rel=1e-12)
    assert type(value) is float


# --- closed forms -------------------------------------------------------------------------------


def test_accuracy_is_the_share_of_right_predictions():
    logits = [[0.0, 1.0, 2.0], [5.0, 1.0, 2.0], [0.0, 3.0, 2.0], [0.0, 1.0, 2.0]]
    assert metrics.accuracy(logits, [2, 0, 1, 0]) == 0.75
    assert metrics.accuracy(logits, [2, 0, 1, 0], sample_weight=[1, 1, 1, 5]) == 0.375


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("labels", [[1, 0, 1, 0], [[1.0], [0.0], [1.0], [0.0]]])
def test_one_logit_predicts_class_1_where_it_is_positive(shape, labels):
    logits = np.reshape([0.5, 0.0, -1.0, 2.0], shape)
    assert metrics.accuracy(logits, labels) == 0.5
    assert metrics.confusion_matrix(logits, labels).tolist() == [[1, 1], [1, 1]]


def test_probabilities_stand_for_their_largest_class():
    logits = [[1.0, 2.0], [2.0, 1.0]]
    assert metrics.accuracy(logits, [[0.1, 0.9], [0.3, 0.7]]) == 0.5


def test_rows_of_the_confusion_matrix_are_true_classes():
    matrix = metrics.confusion_matrix([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0, 0])
    assert matrix.tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert matrix.dtype == np.int64


def test_the_weights_of_several_labels_in_a_sample_are_the_samples():
    logits = np.zeros((2, 3, 2))  # class 0 everywhere
    labels = [[0, 0, 0], [1, 1, 0]]
    assert metrics.accuracy(logits, labels) == 4 / 6
    assert metrics.accuracy(logits, labels, sample_weight=[1, 3]) == 6 / 12


@pytest.mark.parametrize("seed", range(3))
def test_auc_is_the_share_of_pairs_in_the_right_order(seed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 8, 30), rng.integers(0, 2, 30)
    w = rng.integers(1, 4, 30)
    a, b = np.nonzero(labels == 1)[0], np.nonzero(labels == 0)[0]
    wins = np.sign(scores[a][:, None] - scores[b]) / 2 + 0.5
    pairs = w[a][:, None] * w[b]
    expected = np.sum(pairs * wins) / np.sum(pairs)
    assert metrics.auc(scores, labels, sample_weight=w) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("scores", "area"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0), ([1, 1, 1, 1], 0.5)]
)
def test_auc_of_a_perfect_a_reversed_and_a_constant_score(scores, area):
    w = [0.1, 0.7, 0.3, 0.9]
    assert metrics.auc(scores, [0, 0, 1, 1]) == area
    assert metrics.auc(scores, [0, 0, 1, 1], sample_weight=w) == pytest.approx(area, rel=1e-15)


def test_auc_of_two_logits_is_that_of_their_difference():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(30, 2)), rng.integers(0, 2, 30)
    expected = metrics.auc(logits[:, 1] - logits[:, 0], labels)
    assert metrics.auc(logits, labels) == expected
    assert metrics.auc((logits[:, 1] - logits[:, 0])[:, None], labels[:, None]) == expected


def test_auc_never_exceeds_1():
    rng = np.random.default_rng(0)
    for n in range(2, 200):
        labels = np.arange(n) >= n // 2
        value = metrics.auc(np.arange(n), labels, sample_weight=rng.random(n) + 0.01)
        assert 1 - 1e-13 < value <= 1


def test_regression_metrics_of_small_numbers():
    p, t = [[1.0, 0.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 8.0]]
    assert metrics.mae(p, t) == (2 + 1) / 2
    assert metrics.rmse(p, t) == pytest.approx((5**0.5 + 2**0.5) / 2, rel=1e-15)
    assert metrics.r2([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == -3.0


@pytest.mark.parametrize("constant", [0.1, 3.0, 1e100])
@pytest.mark.parametrize("w", [None, [1.0, 1.0, 1.0, 0.0]])
def test_r2_of_a_constant_target_is_1_if_it_is_met_and_else_0(constant, w):
    target = np.full(4, constant)
    target[3] = constant if w is None else 7.0  # a weight of 0 leaves it out
    assert metrics.r2(target, target, sample_weight=w) == 1.0
    assert metrics.r2(target * [1.0, 1.0, 0.5, 1.0], target, sample_weight=w) == 0.0


# --- weights, types -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_of_2_counts_a_sample_twice_and_0_leaves_it_out(name):
    rng = np.random.default_rng(3)
    prediction, target = example(name, rng)
    w = rng.integers(0, 3, len(prediction))
    metric = getattr(metrics, name)
    repeated = metric(np.repeat(prediction, w, axis=0), np.repeat(target, w, axis=0))
    np.testing.assert_allclose(metric(prediction, target, sample_weight=w), repeated, rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_weights_of_1_change_no_bit(name, order):
    prediction, target = example(name, np.random.default_rng(4))
    prediction = np.asarray(prediction, order=order)
    metric = getattr(metrics, name)
    weighted = metric(prediction, target, sample_weight=np.ones(len(target)))
    assert np.array_equal(weighted, metric(prediction, target))


@pytest.mark.parametrize("name", NAMES)
def test_tensors_arrays_and_lists_are_alike(name):
    prediction, target = example(name, np.random.default_rng(5))
    metric = getattr(metrics, name)
    expected = metric(prediction, target)
    assert np.array_equal(metric(prediction.tolist(), target.tolist()), expected)
    tensor = dl.Tensor(prediction, requires_grad=True)
    target = dl.Tensor(target) if target.dtype.kind == "f" else target
    assert np.array_equal(metric(tensor, target), expected)


def test_float32_is_summed_in_float64():
    p = np.full(3_000_001, 0.1, np.float32)
    assert metrics.mae(p, np.zeros_like(p)) == pytest.approx(float(p[0]), rel=1e-13)
    assert metrics.rmse(p, np.zeros_like(p)) == pytest.approx(float(p[0]), rel=1e-13)


def test_a_metric_changes_none_of_its_arguments():
    prediction, target = example("r2", np.random.default_rng(6))
    w = np.ones(len(target))
    before = [x.copy() for x in (prediction, target, w)]
    metrics.r2(prediction, target, sample_weight=w)
    assert all(map(np.array_equal, before, (prediction, target, w)))


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_predictions_that_are_nan_are_an_error(name):
    prediction, target = example(name, np.random.default_rng(7))
    prediction.flat[2] = np.nan
    with pytest.raises(ValueError, match=f"{name}: .*NaN"):
        getattr(metrics, name)(prediction, target)


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_targets_must_be_finite(name):
    with pytest.raises(ValueError, match=f"{name}: targets must be finite"):
        getattr(metrics, name)([1.0, 2.0], [1.0, np.inf])
    with pytest.raises(ValueError, match=f"{name}: predictions must be finite"):
        getattr(metrics, name)([np.inf, 2.0], [1.0, 2.0])


@pytest.mark.parametrize("name", NAMES)
def test_no_samples_are_an_error(name):
    with pytest.raises(ValueError, match=f"{name} of no samples is undefined"):
        getattr(metrics, name)(np.zeros(0), np.zeros(0))


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_metrics_never_broadcast(name):
    metric = getattr(metrics, name)
    with pytest.raises(ValueError, match=r"\(3, 1\) but target has \(3,\).*target.reshape\(3, 1\)"):
        metric(np.ones((3, 1)), np.ones(3))
    with pytest.raises(ValueError, match="reshape one to the shape of the other"):
        metric(np.ones((3, 2)), np.ones(3))


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        ((3, 2), np.zeros((3, 1), int), r"got \(3, 1\); target.reshape\(3\)"),
        ((3, 2), np.zeros((3, 2), int), r"target.astype\(float\) if these are probabilities"),
        ((3, 2), np.zeros(4, int), r"shape \(3,\) or floating .* got \(4,\)$"),
        ((3, 2), [0, 2, 1], "from 0 to 1, got 2"),
        ((3, 2), [0, -1, 1], "from 0 to 1, got -1"),
        ((3, 2), [[1.0, 1.0]] * 3, "whose sum is 1 in each row"),
        ((3, 2), [[-1.0, 2.0]] * 3, "≥ 0"),
        ((3,), [0, 2, 1], "labels 0 and 1, got 2"),
        ((3, 1), [0, 0.5, 1], "labels 0 and 1, got 0.5"),
        ((3,), [0, np.nan, 1], "labels 0 and 1, got nan"),
        ((3,), [0, 1], r"of shape \(3,\), got \(2,\)$"),
        ((3,), [[0, 1, 1]], r"got \(1, 3\); target.reshape\(3\)"),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "confusion_matrix"])
def test_targets_that_do_not_fit_logits_are_errors(name, logits, target, message):
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        getattr(metrics, name)(np.zeros(logits), target)


def test_floating_labels_are_an_error_that_says_how_to_convert_them():
    with pytest.raises(TypeError, match=r"got float64; labels.astype\(int\)"):
        metrics.accuracy(np.zeros((2, 3)), [0.0, 1.0])


def test_auc_needs_both_classes_and_logits_of_two():
    for label in (0, 1):
        with pytest.raises(ValueError, match=f"both classes.* all of them are {label}"):
            metrics.auc([1.0, 2.0], [label, label])
        with pytest.raises(ValueError, match=f"both classes.* all of them are {label}"):
            metrics.auc([1.0, 2.0], [label, 1 - label], sample_weight=[1, 0])
    with pytest.raises(ValueError, match=r"\(N, 1\) or \(N, 2\), got \(2, 3\)"):
        metrics.auc(np.zeros((2, 3)), [0, 1])
    with pytest.raises(ValueError, match=r"1 of 2 differences of logits are NaN"):
        metrics.auc([[np.inf, np.inf], [0.0, 1.0]], [0, 1])


def test_r2_needs_two_samples():
    with pytest.raises(ValueError, match="r2 needs at least two samples"):
        metrics.r2([1.0], [1.0])
    with pytest.raises(ValueError, match="r2 needs at least two samples"):
        metrics.r2([1.0, 2.0], [1.0, 2.0], sample_weight=[0, 1])


@pytest.mark.parametrize("name", NAMES)
def test_weights_must_be_one_number_for_each_sample(name):
    prediction, target = example(name, np.random.default_rng(8))
    metric = getattr(metrics, name)
    with pytest.raises(
        ValueError, match=r"each of 40 samples, got shape \(40, 1\); .*reshape\(-1\)"
    ):
        metric(prediction, target, sample_weight=np.ones((40, 1)))
    with pytest.raises(ValueError, match=r"got shape \(3,\)$"):
        metric(prediction, target, sample_weight=[1, 2, 3])
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite and ≥ 0"):
            metric(prediction, target, sample_weight=[wrong] + [1.0] * 39)
    with pytest.raises(ValueError, match="not all 0; got 0 everywhere"):
        metric(prediction, target, sample_weight=np.zeros(40))
