"""The losses in value and gradient, against plain NumPy and values stored from PyTorch."""

import math

import numpy as np
import pytest

import minidl as dl
from minidl import losses

TOLERANCE = {"float32": {"rtol": 2e-5, "atol": 1e-6}, "float64": {"rtol": 1e-12, "atol": 1e-14}}
REDUCTIONS = ["mean", "sum", "none"]
FUNCTIONS = {
    "mse": losses.mse,
    "mae": losses.mae,
    "huber": losses.huber,
    "binary_cross_entropy": losses.binary_cross_entropy,
    "cross_entropy": losses.cross_entropy,
}
ALIKE = ["mse", "mae", "huber", "binary_cross_entropy"]


def squared_error(p, t):
    return (p - t) ** 2, 2 * (p - t)


def absolute_error(p, t):
    return np.abs(p - t), np.sign(p - t)


def huber_error(p, t):
    d = p - t
    return np.where(np.abs(d) <= 1, d * d / 2, np.abs(d) - 0.5), np.clip(d, -1, 1)


def logistic_error(x, t):
    q = 1 / (1 + np.exp(-x))
    return -(t * np.log(q) + (1 - t) * np.log(1 - q)), q - t


def softmax_error(x, t, smoothing=0.0):
    classes = x.shape[-1]
    if t.shape != x.shape:
        t = np.eye(classes)[t]
    t = (1 - smoothing) * t + smoothing * t.sum(-1, keepdims=True) / classes
    shifted = x - x.max(-1, keepdims=True)
    q = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    return -(t * np.log(q)).sum(-1), q * t.sum(-1, keepdims=True) - t


def assert_agrees(loss, x, t, expected, reduction, rng):
    """Loss and gradient of loss(x, t, reduction) are those of expected, a pair per sample."""
    each, slope = expected
    scale = {"mean": 1 / max(each.size, 1), "sum": 1, "none": 1}[reduction]
    value = each if reduction == "none" else each.sum() * scale
    x = dl.Tensor(x, requires_grad=True)
    tolerance = TOLERANCE[str(x.dtype)]
    y = loss(x, t, reduction)
    np.testing.assert_allclose(y.data, value, **tolerance)
    assert (y.shape, y.dtype) == (np.shape(value), x.dtype)
    g = rng.normal(size=y.shape).astype(x.dtype)
    y.backward(g)
    weight = np.broadcast_to(g * scale, each.shape).reshape(
        each.shape + (1,) * (x.ndim - each.ndim)
    )
    np.testing.assert_allclose(x.grad, weight * slope, **tolerance)
    assert x.grad.dtype == x.dtype


# --- values and gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 1), (4, 3), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        (losses.mse, squared_error),
        (losses.mae, absolute_error),
        (losses.huber, huber_error),
        (losses.binary_cross_entropy, logistic_error),
    ],
)
def test_losses_entry_by_entry_agree_with_numpy(loss, formula, dtype, shape, reduction, rng):
    x, t = rng.normal(size=shape).astype(dtype), rng.random(shape).astype(dtype)
    assert_agrees(loss, x, t, formula(x.astype(float), t.astype(float)), reduction, rng)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4,), (1, 1), (5, 4), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["labels", "probabilities", "any weights"])
def test_cross_entropy_agrees_with_numpy(kind, dtype, shape, reduction, smoothing, rng):
    x = rng.normal(scale=3, size=shape).astype(dtype)
    t = rng.random(shape)
    if kind == "labels":
        t = rng.integers(shape[-1], size=shape[:-1])
    elif kind == "probabilities":
        t /= t.sum(-1, keepdims=True)
    expected = softmax_error(x.astype(float), t, smoothing)

    def loss(x, t, reduction):
        return losses.cross_entropy(x, t, reduction, label_smoothing=smoothing)

    assert_agrees(loss, x, t, expected, reduction, rng)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ALIKE)
def test_gradients_by_prediction_and_target_agree_with_central_differences(name, reduction, rng):
    x = dl.Tensor(rng.normal(size=(4, 3)), requires_grad=True)
    t = dl.Tensor(rng.uniform(0.1, 0.9, (4, 3)), requires_grad=True)
    assert dl.gradcheck(lambda x, t: FUNCTIONS[name](x, t, reduction), x, t)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_agrees_with_central_differences(smoothing, reduction, rng):
    x = dl.Tensor(rng.normal(size=(5, 3)), requires_grad=True)
    for t in rng.integers(3, size=5), rng.random((5, 3)):
        assert dl.gradcheck(
            lambda x, t=t: losses.cross_entropy(x, t, reduction, label_smoothing=smoothing), x
        )


@pytest.mark.parametrize(
    ("loss", "x", "t", "value", "gradient"),
    [
        (
            losses.MSE(),
            [-2, 0.5, 3],
            [0, 1, 0.25],
            3.9375,
            [-1.3333333333333333, -0.3333333333333333, 1.8333333333333333],
        ),
        (losses.MAE(), [-2, 0.5, 3], [0, 1, 0.25], 1.75, [-1 / 3, -1 / 3, 1 / 3]),
        (
            losses.Huber(),
            [-2, 0.5, 3],
            [0, 1, 0.25],
            1.2916666666666667,
            [-1 / 3, -1 / 6, 1 / 3],
        ),
        (
            losses.Huber(delta=2.5),
            [-2, 0.5, 3],
            [0, 1, 0.25],
            1.9583333333333333,
            [-2 / 3, -1 / 6, 2.5 / 3],
        ),
        (
            losses.BinaryCrossEntropy(),
            [-2, 0.5, 3],
            [0, 1, 0.25],
            0.9665307822656072,
            [0.03973430734070585, -0.1258468895993818, 0.2341913756074778],
        ),
        (
            losses.CrossEntropy(),
            [[1, 2, 3], [0.5, -1, 2]],
            [2, 0],
            1.0744586305507688,
            [
                [0.04501528658519022, 0.12236423552739882, -0.1673795221125891],
                [-0.41235480392998164, 0.019556286635343725, 0.39279851729463794],
            ],
        ),
        (
            losses.CrossEntropy(label_smoothing=0.1),
            [[1, 2, 3], [0.5, -1, 2]],
            [2, 0],
            1.124458630550769,
            [
                [0.02834861991852355, 0.10569756886073216, -0.13404618877925578],
                [-0.3790214705966483, 0.0028896199686770582, 0.3761318506279713],
            ],
        ),
        (
            losses.CrossEntropy(label_smoothing=0.1),
            [[1, 2, 3], [0.5, -1, 2]],
            np.array([[0.2, 0.3, 0.5], [1, 0, 0]]),
            1.4394586305507688,
            [
                [-0.061651380081476456, -0.02930243113926785, 0.09095381122074422],
                [-0.3790214705966483, 0.0028896199686770582, 0.3761318506279713],
            ],
        ),
    ],
    ids=[
        "mse",
        "mae",
        "huber",
        "huber 2.5",
        "binary",
        "labels",
        "smoothed labels",
        "smoothed probabilities",
    ],
)
def test_losses_agree_with_pytorch(loss, x, t, value, gradient):
    x = dl.Tensor(np.array(x, float), requires_grad=True)
    y = loss(x, t)
    y.backward()
    assert y.item() == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(x.grad, gradient, rtol=1e-13)


def test_integers_of_every_width_are_labels(rng):
    x = rng.normal(size=(4, 3))
    expected = losses.cross_entropy(x, [0, 2, 1, 0]).item()
    for dtype in "bBhHiIqQ":
        assert losses.cross_entropy(x, np.array([0, 2, 1, 0], dtype)).item() == expected


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda a: np.repeat(a, 2, 0)[::2]])
def test_the_layout_in_memory_does_not_matter(layout, rng):
    x, t, labels = rng.normal(size=(6, 4)), rng.random((6, 4)), rng.integers(4, size=6)
    for name in FUNCTIONS:
        expected = FUNCTIONS[name](x, t).item()
        assert FUNCTIONS[name](layout(x), layout(t)).item() == pytest.approx(expected, rel=1e-14)
    by_label = losses.cross_entropy(layout(x), layout(labels)).item()
    assert by_label == losses.cross_entropy(x, labels).item()


def test_losses_leave_their_arguments_as_they_are(rng):
    x, t = rng.normal(size=(4, 3)), rng.random((4, 3))
    copies = x.copy(), t.copy()
    for a in x, t:
        a.flags.writeable = False
    for loss in FUNCTIONS.values():
        tensor = dl.Tensor(x, requires_grad=True)
        loss(tensor, t).backward()
        assert np.array_equal(tensor.data, copies[0])
        assert not np.shares_memory(tensor.grad, t)
    assert np.array_equal(x, copies[0])
    assert np.array_equal(t, copies[1])


def test_the_gradient_of_mse_reaches_the_target():
    p, t = dl.Tensor([1.0, 4.0], requires_grad=True), dl.Tensor([3.0, 3.0], requires_grad=True)
    losses.mse(p, t).backward()
    assert p.grad.tolist() == [-2, 1]
    assert t.grad.tolist() == [2, -1]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_targets_leave_float32_predictions_float32(name):
    x = dl.Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    y = FUNCTIONS[name](x, np.full((2, 3), 0.5))
    y.backward()
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)


# --- the edges ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_of_a_thousand(dtype):
    x = dl.Tensor(np.array([[1000, 0], [1000, 0], [-1000, 0], [-1000, -1000]], dtype), True)
    with np.errstate(all="raise"):
        y = losses.cross_entropy(x, [1, 0, 0, 1], "none")
        y.backward(np.ones(4))
    np.testing.assert_allclose(y.data, [1000, 0, 1000, math.log(2)], rtol=1e-6)
    assert x.grad.tolist() == [[1, -1], [0, 0], [-1, 1], [0.5, -0.5]]


def test_the_gradient_of_cross_entropy_is_exact_in_its_tail():
    x = dl.Tensor(np.array([[0.0, 40.0]]), requires_grad=True)
    y = losses.cross_entropy(x, [1])
    y.backward()
    assert x.grad[0, 0] == pytest.approx(math.exp(-40), rel=1e-14, abs=0)
    assert losses.cross_entropy(x, [0]).item() == 40


def test_a_class_at_minus_infinity_costs_nothing_unless_it_is_the_label():
    row = [-np.inf, 0.0, 0.0]
    x = dl.Tensor(np.array([row, row]), requires_grad=True)
    y = losses.cross_entropy(x, [1, 2], "none")
    y.backward(np.ones(2))
    np.testing.assert_allclose(y.data, [math.log(2)] * 2, rtol=1e-15)
    assert x.grad.tolist() == [[0, -0.5, 0.5], [0, 0.5, -0.5]]
    assert losses.cross_entropy(np.array([row]), [0]).item() == math.inf
    assert losses.cross_entropy(np.array([row]), np.array([[0, 1.0, 0]])).item() == y.data[0]


def test_a_nan_stays_in_its_row():
    x = np.array([[0.0, math.nan], [0.0, 0.0]])
    y = losses.cross_entropy(x, [0, 0], "none").data
    assert math.isnan(y[0])
    assert y[1] == pytest.approx(math.log(2))
    for name in ALIKE:
        assert math.isnan(FUNCTIONS[name](np.array([math.nan, 0]), np.zeros(2)).item())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 40, 95, 100, 740, 1000])
def test_binary_cross_entropy_is_exact_and_silent_far_out(size, dtype):
    data = np.array([-size, size, -size, size], dtype)
    x = dl.Tensor(data, requires_grad=True)
    with np.errstate(all="raise"):
        y = losses.binary_cross_entropy(x, [0, 1, 1, 0], "none")
        losses.binary_cross_entropy(x, [0, 1, 1, 0]).backward()
    near = math.log1p(math.exp(-size))
    tiny = float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(y.data, [near, near, size + near, size + near], 1e-6, tiny)
    wrong = 1 / (1 + math.exp(-size)) / 4
    right = math.exp(-size) / (1 + math.exp(-size)) / 4
    rounding = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(x.grad, [right, -right, -wrong, wrong], 1e-6, rounding)


def test_binary_cross_entropy_keeps_its_digits_where_a_large_logit_is_nearly_right():
    x, t = np.array([300.1, -300.1]), np.array([1 - 2.0**-40, 2.0**-40])
    expected = [300.1 * 2.0**-40, 300.1 * 2.0**-40]
    found = losses.binary_cross_entropy(x, t, "none").data
    np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_an_infinite_logit_costs_nothing_where_the_target_agrees_and_infinity_elsewhere(dtype):
    x = dl.Tensor(np.array([np.inf, -np.inf, np.inf, -np.inf, np.inf, -np.inf, 0], dtype), True)
    t = np.array([1, 0, 0, 1, 0.25, 0.25, 1])
    expected = np.array([0, 0, np.inf, np.inf, np.inf, np.inf, math.log(2)])
    slope = np.array([0, 0, 1, -1, 0.75, -0.25, -0.5])
    for reduction, scale, value in [("none", 1, expected), ("sum", 1, np.inf), ("mean", 7, np.inf)]:
        x.zero_grad()
        with np.errstate(all="raise"):
            y = losses.binary_cross_entropy(x, t, reduction)
            y.backward(np.ones(y.shape))
        np.testing.assert_allclose(y.data, value, rtol=1e-3)
        np.testing.assert_allclose(x.grad, slope / scale, rtol=1e-3)
    assert losses.binary_cross_entropy(x.data[:2], t[:2]).item() == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_an_infinite_logit_is_a_certain_class(dtype):
    x = dl.Tensor(np.array([[np.inf, 0, -np.inf], [np.inf, 0, -np.inf]], dtype), True)
    for target in ([0, 1], np.array([[1.0, 0, 0], [0.25, 0.75, 0]])):
        x.zero_grad()
        with np.errstate(all="raise"):
            y = losses.cross_entropy(x, target, "none")
            y.backward(np.ones(2))
        assert y.data.tolist() == [0, np.inf]
        t = np.eye(3)[target] if isinstance(target, list) else target
        np.testing.assert_array_equal(x.grad, [1, 0, 0] - t)
    shared = np.array([[np.inf, np.inf, 3]], dtype)
    assert losses.cross_entropy(shared, [0]).item() == pytest.approx(math.log(2), rel=1e-3)


@pytest.mark.parametrize("delta", [0, -1, math.nan, math.inf, "1", None, True])
def test_delta_is_a_finite_number_above_zero(delta):
    with pytest.raises((TypeError, ValueError), match="huber: delta must be a finite number > 0"):
        losses.huber([1.0], [0.0], delta=delta)
    with pytest.raises((TypeError, ValueError), match="Huber: delta must be a finite number > 0"):
        losses.Huber(delta=delta)


def test_the_class_of_huber_keeps_its_delta():
    loss = losses.Huber("sum", delta=2)
    assert repr(loss) == "Huber(reduction='sum', delta=2.0)"
    assert loss([5.0, 1.0], [0.0, 0.0]).item() == 2 * (5 - 1) + 0.5


def test_mae_is_flat_where_prediction_and_target_agree():
    p, t = dl.Tensor([1.0, 4.0], requires_grad=True), dl.Tensor([1.0, 5.0], requires_grad=True)
    losses.mae(p, t, "sum").backward()
    assert p.grad.tolist() == [0, -1]
    assert t.grad.tolist() == [0, 1]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_empty_batch_has_no_mean_but_a_sum_of_zero(name):
    x, t = dl.Tensor(np.zeros((0, 3)), requires_grad=True), np.zeros((0, 3))
    with pytest.raises(ValueError, match=f"{name}: the mean over no samples"):
        FUNCTIONS[name](x, t)
    y = FUNCTIONS[name](x, t, "sum")
    y.backward()
    assert y.item() == 0
    assert x.grad.shape == (0, 3)
    assert FUNCTIONS[name](x, t, "none").size == 0


def test_an_empty_batch_of_labels_has_no_mean_but_a_sum_of_zero():
    x, labels = np.zeros((0, 3)), np.zeros(0, int)
    with pytest.raises(ValueError, match="the mean over no samples"):
        losses.cross_entropy(x, labels)
    assert losses.cross_entropy(x, labels, "sum").item() == 0


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize(
    ("prediction", "target", "advice"),
    [
        ((5, 1), (5,), r"target\.reshape\(5, 1\)"),
        ((5,), (5, 1), r"target\.reshape\(5\)"),
        ((2, 3), (3, 2), r"target\.reshape\(2, 3\)"),
        ((5, 1), (1,), "reshape"),
        ((5,), (), "reshape"),
        ((5, 1), (5, 2), "reshape"),
    ],
)
def test_shapes_are_never_broadcast(name, prediction, target, advice):
    message = rf"{name}: prediction has shape .*not broadcast.*{advice}"
    with pytest.raises(ValueError, match=message) as error:
        FUNCTIONS[name](np.zeros(prediction), np.zeros(target))
    assert f"{prediction} but target has {target}" in str(error.value)


@pytest.mark.parametrize(
    ("labels", "row", "label"), [([0, 3, 5], 1, 3), ([0, 1, -1], 2, -1), ([-(2**40), 0, 0], 0, "")]
)
def test_a_label_out_of_range_names_its_row(labels, row, label):
    with pytest.raises(IndexError, match=rf"row {row} is {label}.*3 classes.*0 to 2"):
        losses.cross_entropy(np.zeros((3, 3)), labels)


def test_labels_of_two_classes_for_one_output_are_an_error_that_names_the_other_loss():
    with pytest.raises(IndexError, match=r"row 1 is 1.* use binary_cross_entropy$"):
        losses.cross_entropy(np.zeros((2, 1)), [0, 1])


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        ([0.0, 1.0], r"astype\(int\)"),
        (dl.Tensor([0, 1]), r"astype\(int\)"),
        ([True, False], "integer labels"),
        (["0", "1"], "integer labels"),
        (None, "integer labels"),
        ([None, 1], "integer labels"),
        ([0j, 1j], "integer labels"),
        (np.zeros((2, 2)), "probabilities"),
        (np.zeros((2, 3), bool), "probabilities"),
    ],
    ids=repr,
)
def test_targets_that_are_neither_labels_nor_probabilities_are_type_errors(labels, advice):
    with pytest.raises(TypeError, match=rf"cross_entropy: the target must be .*{advice}"):
        losses.cross_entropy(np.zeros((2, 3)), labels)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ((4, 3), (3,), r"\(4, 3\) must have shape \(4,\), got \(3,\)"),
        ((4, 3), (4, 1), r"got \(4, 1\).*reshape\(-1\)"),
        ((4, 3), (4, 3), r"got \(4, 3\)"),
        ((3,), (1,), r"must have shape \(\), got \(1,\)"),
        ((), (), r"must have classes"),
        ((4, 0), (4,), r"must have classes \(…, C\), got shape \(4, 0\)"),
    ],
)
def test_the_error_for_labels_of_another_shape_states_the_right_shape(logits, labels, message):
    with pytest.raises(ValueError, match=f"cross_entropy: .*{message}"):
        losses.cross_entropy(np.zeros(logits), np.zeros(labels, int))


def test_cross_entropy_has_no_gradient_by_its_target():
    t = dl.Tensor(np.full((2, 3), 1 / 3), requires_grad=True)
    with pytest.raises(TypeError, match=r"target\.detach\(\)"):
        losses.cross_entropy(np.zeros((2, 3)), t)
    assert losses.cross_entropy(np.zeros((2, 3)), t.detach()).item() == pytest.approx(math.log(3))


@pytest.mark.parametrize("targets", [[0.5, 1.1], [-0.1, 0.5], [0.5, math.nan], [0, 2], [-1, 1]])
def test_binary_targets_lie_between_0_and_1(targets):
    with pytest.raises(ValueError, match=r"targets must lie in \[0, 1\], got values from"):
        losses.binary_cross_entropy(np.zeros(2), targets)


@pytest.mark.parametrize("reduction", ["average", "Mean", None, 1, True, ["mean"]])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_for_an_unknown_reduction_lists_the_valid_ones(name, reduction):
    with pytest.raises(ValueError, match="reduction must be one of 'mean', 'sum', 'none', got"):
        FUNCTIONS[name](np.zeros((2, 2)), np.zeros((2, 2)), reduction)


@pytest.mark.parametrize(
    ("smoothing", "error"),
    [
        (-0.1, ValueError),
        (1.1, ValueError),
        (math.nan, ValueError),
        ("0.1", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_label_smoothing_lies_between_0_and_1(smoothing, error):
    with pytest.raises(error, match="cross_entropy: label_smoothing must be"):
        losses.cross_entropy(np.zeros((1, 2)), [0], label_smoothing=smoothing)
    with pytest.raises(error, match="CrossEntropy: label_smoothing must be"):
        losses.CrossEntropy(label_smoothing=smoothing)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("prediction", ["text", None, [[1j, 2j]]])
def test_predictions_that_are_not_real_numbers_are_type_errors(name, prediction):
    with pytest.raises(TypeError, match="real numbers"):
        FUNCTIONS[name](prediction, [[0.0, 1.0]])


# --- the classes --------------------------------------------------------------------------------

CLASSES = {
    "mse": losses.MSE,
    "mae": losses.MAE,
    "huber": losses.Huber,
    "binary_cross_entropy": losses.BinaryCrossEntropy,
    "cross_entropy": losses.CrossEntropy,
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_class_equals_its_function(name, reduction, rng):
    x, t = rng.normal(size=(4, 3)), rng.random((4, 3))
    loss = CLASSES[name](reduction)
    assert np.array_equal(loss(x, t).data, FUNCTIONS[name](x, t, reduction).data)
    assert repr(loss).startswith(f"{CLASSES[name].__name__}(reduction='{reduction}'")
    assert np.array_equal(CLASSES[name]()(x, t).data, FUNCTIONS[name](x, t).data)


def test_the_class_of_cross_entropy_keeps_its_smoothing(rng):
    x, t = rng.normal(size=(4, 3)), rng.integers(3, size=4)
    loss = losses.CrossEntropy("sum", label_smoothing=0.2)
    assert loss(x, t).item() == losses.cross_entropy(x, t, "sum", label_smoothing=0.2).item()
    assert repr(loss) == "CrossEntropy(reduction='sum', label_smoothing=0.2)"
    assert repr(losses.MSE()) == "MSE(reduction='mean')"


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_refuses_an_invalid_reduction_when_it_is_made(name):
    with pytest.raises(ValueError, match=f"{CLASSES[name].__name__}: reduction must be one of"):
        CLASSES[name]("average")


@pytest.mark.parametrize(("logit", "label"), [(40.0, 1.0), (-40.0, 0.0)])
def test_the_gradient_of_binary_cross_entropy_keeps_its_tail(logit, label):
    x = dl.Tensor(np.array([logit]), requires_grad=True)
    dl.losses.binary_cross_entropy(x, np.array([label])).backward()
    np.testing.assert_allclose(np.abs(x.grad), np.exp(-40.0), rtol=1e-12)


def test_probabilities_below_zero_or_nan_and_targets_that_are_not_numbers_are_named():
    with pytest.raises(ValueError, match="probabilities must be ≥ 0, got -1"):
        dl.losses.cross_entropy([[0.0, 1.0]], np.array([[-1.0, 2.0]]))
    with pytest.raises(ValueError, match="probabilities must be ≥ 0, got nan"):
        dl.losses.cross_entropy([[0.0, 1.0]], np.array([[math.nan, 1.0]]))
    with pytest.raises(TypeError, match="mse: prediction and target: expected real numbers"):
        dl.losses.mse([1.0], None)


@pytest.mark.parametrize(
    ("error", "delta", "loss"), [(1e-30, 1.0, 0), (2.0, 1e300, 2), (3.0, 1e-50, 0)]
)
def test_huber_and_a_delta_beyond_the_dtype_are_no_error_whatever_errstate_is_in_force(
    error, delta, loss
):
    with np.errstate(all="raise"):
        assert losses.huber(np.float32([error]), np.float32([0]), delta=delta).item() == loss
