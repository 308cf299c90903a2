"""gradcheck: which gradients pass, which errors it catches, and what it leaves unchanged."""

import re

import interrupting
import numpy as np
import pytest

import minidl as dl
from minidl import ops, tensor


def leaf(values, dtype=np.float64, name=None):
    return dl.Tensor(np.array(values, dtype), requires_grad=True, name=name)


@ops.op("y = 3 a + b²", "∂a = 3 g", "∂b = g b  (a factor 2 is missing)")
def wrong(a, b, /):
    """An op whose second derivative is wrong."""
    return 3 * a + b**2, lambda g: 3 * g, lambda g: g * b


@ops.op("y = x²", "∂x = 2 g x, but the middle entry is not a number")
def undefined(x, /):
    """An op with one derivative that is not a number."""
    return x * x, lambda g: np.where(np.arange(x.size) == 1, np.nan, 2 * g * x)


wrong, undefined = tensor.differentiable(wrong), tensor.differentiable(undefined)


# --- right gradients ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (dl.tanh, [(3,)]),
        (dl.exp, [()]),
        (lambda x: x**3, [(2, 1, 2)]),
        (lambda x: x * 1e6, [(4,)]),
        (lambda x: x * 1e-6 + 1e3, [(4,)]),
        (lambda x: 0 * x, [(2,)]),
        (lambda x, w, b: dl.softmax(x @ w + b), [(4, 3), (3, 2), (2,)]),
        (lambda x, y: (x / (2 + y * y)).sum(), [(2, 3), (3,)]),
        (lambda x: x.sum(axis=0), [(0, 3)]),
        (lambda x, y: dl.concatenate([x, y]), [(0,), (2,)]),
    ],
)
def test_right_gradients_pass(f, shapes, rng):
    assert dl.gradcheck(f, *(leaf(rng.normal(size=shape)) for shape in shapes)) is True


def test_a_network_passes_by_all_its_parameters(rng):
    with dl.default_dtype("float64"):
        model = dl.nn.MLP([3, 4, 2], "silu", rng=rng)
    x, labels = rng.normal(size=(5, 3)), rng.integers(2, size=5)
    parameters = list(model.parameters())
    assert dl.gradcheck(lambda *_: dl.losses.cross_entropy(model(x), labels), *parameters) is True


def test_a_constant_among_the_arguments_is_not_checked(rng):
    a, b = leaf(rng.normal(size=3)), dl.Tensor(rng.normal(size=3))
    assert dl.gradcheck(wrong, a, b) is True
    assert b.grad is None


def test_a_tensor_without_influence_has_gradient_zero():
    assert dl.gradcheck(lambda x, y: x * 2, leaf([1.0]), leaf([2.0])) is True


# --- wrong gradients ----------------------------------------------------------------------------


def numbers(message):
    """What backward gave, and what central differences gave."""
    found = re.search(r"backward gives (\S+), central differences (\S+),", message)
    return [float(text) for text in found.groups()]


def test_a_wrong_derivative_is_named_with_its_argument_entry_and_both_numbers():
    a, b = leaf([[1.0, 2.0, 3.0]]), leaf([[0.0, 0.0, 5.0]], name="slope")
    with pytest.raises(
        dl.GradientError, match=r"argument 1, slope of shape \(1, 3\), entry \(0, 2\)"
    ) as caught:
        dl.gradcheck(wrong, a, b)
    backward, central = numbers(str(caught.value))
    weight = np.random.default_rng(0).uniform(0.5, 1.5, (1, 3))[0, 2]
    np.testing.assert_allclose([backward, central], [5 * weight, 10 * weight], rtol=1e-8)


def test_a_wrong_gradient_is_an_assertion_error_and_a_value_error():
    for kind in (AssertionError, ValueError, dl.GradientError):
        with pytest.raises(kind, match="argument 0"):
            dl.gradcheck(lambda x: x * x.detach(), leaf([1.0, 2.0]))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * x.detach(),
        lambda x: x + x.data**2,
        lambda x: dl.where(True, x, 0) + np.sin(x.data),
        lambda x: wrong(1.0, x),
        undefined,
    ],
)
def test_an_influence_that_backward_misses_is_caught(f):
    with pytest.raises(dl.GradientError):
        dl.gradcheck(f, leaf([0.5, 1.0, 2.0]))


def test_a_tensor_that_backward_never_reaches_is_caught():
    with pytest.raises(dl.GradientError, match=r"argument 1, .* backward gives 0, central"):
        dl.gradcheck(lambda x, y: x + y.detach(), leaf([1.0]), leaf([2.0]))


def test_the_worst_entry_is_the_one_named():
    with pytest.raises(dl.GradientError, match=r"argument 0, .* entry \(1\)"):
        dl.gradcheck(undefined, leaf([5.0, 1.0, 5.0]))
    with pytest.raises(dl.GradientError, match=r"entry \(\):"):
        dl.gradcheck(lambda x: x * x.detach(), leaf(2.0))


@pytest.mark.parametrize(("error", "passes"), [(1e-4, False), (1e-5, False), (1e-8, True)])
def test_rtol_is_the_allowed_difference(error, passes):
    def f(x):
        return x + error * x.detach()

    x = leaf([1.0, 2.0])
    assert dl.gradcheck(f, x, rtol=10 * error) is True
    if passes:
        assert dl.gradcheck(f, x) is True
    else:
        with pytest.raises(dl.GradientError, match="rtol=1e-06"):
            dl.gradcheck(f, x)


@pytest.mark.parametrize("rtol", [1e-6, 1e-4, 0.01, 0.5])
@pytest.mark.parametrize(("fraction", "passes"), [(0.99, True), (1.01, False)])
@pytest.mark.parametrize("wrong_side", ["too large", "too small"])
def test_rtol_is_the_limit_relative_to_the_larger_of_the_two_values(
    rtol, fraction, passes, wrong_side
):
    error = fraction * rtol
    slope = 1 - error if wrong_side == "too large" else 1 / (1 - error)  # backward says 1

    def f(x):
        return x + (slope - 1) * x.detach()

    x = leaf(0.75)
    if passes:
        assert dl.gradcheck(f, x, rtol=rtol) is True
    else:
        with pytest.raises(dl.GradientError, match=rf"1\.01 times what rtol={rtol:g} allows"):
            dl.gradcheck(f, x, rtol=rtol)


@pytest.mark.parametrize(("fraction", "passes"), [(0.98, True), (1.02, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_small_entry_may_differ_by_rtol_of_the_mean(fraction, passes, sign):
    weights = np.random.default_rng(0).uniform(0.5, 1.5, 2)
    slopes, rtol = np.array([4.0, 1e-3]), 1e-4
    error = sign * fraction * rtol * (weights * slopes).mean() * np.array([0, 1]) / weights

    def f(x):
        return slopes * x + error * x.detach()

    x = leaf([0.5, 0.75])
    if passes:
        assert dl.gradcheck(f, x, rtol=rtol) is True
    else:
        with pytest.raises(dl.GradientError, match=r"entry \(1\)"):
            dl.gradcheck(f, x, rtol=rtol)


def test_rtol_is_a_millionth_by_default():
    assert dl.gradcheck(lambda x: x + 0.99e-6 * x.detach(), leaf(1.0)) is True
    with pytest.raises(dl.GradientError, match="rtol=1e-06"):
        dl.gradcheck(lambda x: x + 1.01e-6 * x.detach(), leaf(1.0))


# --- what can't be checked ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [leaf([1.0], np.float32), np.ones(2), 1.0, None, "x"])
def test_anything_but_a_float64_tensor_is_a_type_error_that_names_the_argument(value):
    with pytest.raises(TypeError, match="argument 1 must be a float64 Tensor"):
        dl.gradcheck(lambda x, y: x * y, leaf([1.0]), value)


@pytest.mark.parametrize("tensors", [[], [dl.Tensor(np.ones(2))]])
def test_nothing_to_check_is_a_value_error(tensors):
    with pytest.raises(ValueError, match="nothing to check"):
        dl.gradcheck(lambda *xs: xs[0], *tensors)


def test_a_function_that_changes_from_call_to_call_is_a_value_error(rng):
    with pytest.raises(ValueError, match="f returned two different values") as caught:
        dl.gradcheck(lambda x: x * rng.random(), leaf([1.0]))
    assert not isinstance(caught.value, dl.GradientError)


@pytest.mark.parametrize(
    ("rtol", "error"),
    [(0, ValueError), (-1e-6, ValueError), (np.nan, ValueError), ("x", TypeError)],
)
def test_an_invalid_rtol_is_an_error(rtol, error):
    with pytest.raises(error, match="gradcheck: rtol"):
        dl.gradcheck(dl.exp, leaf([1.0]), rtol=rtol)


# --- nothing is changed -------------------------------------------------------------------------


def check_unchanged(f, grad, error=None):
    x = leaf([0.1, 0.2])
    x.grad, data = grad, x.data
    if error:
        with pytest.raises(error):
            dl.gradcheck(f, x)
    else:
        assert dl.gradcheck(f, x) is True
    assert x.data is data
    np.testing.assert_array_equal(data, [0.1, 0.2])
    assert x.grad is grad
    assert grad is None or grad.tolist() == [7, 8]
    assert (x * 2).requires_grad


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (dl.exp, None),
        (lambda x: x * x.detach(), dl.GradientError),
        (lambda x: x * np.random.default_rng().random(), ValueError),
        (lambda x: x.detach() * 2, RuntimeError),
    ],
)
@pytest.mark.parametrize("grad", [None, np.array([7.0, 8.0])])
def test_tensors_and_their_gradients_are_restored(f, error, grad):
    check_unchanged(f, grad, error)


@pytest.mark.parametrize("last", [1, 2, 3, 4, 6])
def test_nothing_is_changed_when_a_call_of_the_function_fails(last):
    calls = iter(range(1, last + 1))

    def f(x):
        return x * x if next(calls) < last else x.reshape(5)

    check_unchanged(f, np.array([7.0, 8.0]), ValueError)
    assert next(calls, None) is None


def test_an_interrupt_at_any_bytecode_leaves_data_and_gradients_as_they_were(monkeypatch):
    monkeypatch.setattr(interrupting, "FOLDER", dl.testing.__file__)

    def prepare():
        x, w = leaf([[0.5, 1.0]], name="x"), dl.Tensor(np.array([[2.0], [3.0]]))
        x.grad = np.array([[7.0, 8.0]])
        return x, w, x.data, w.data, x.grad

    def check(made):
        assert dl.gradcheck(lambda x, w: dl.tanh(x @ w), *made[:2]) is True

    count = 0
    for x, w, *found in interrupting.each_interruption(prepare, check, every=3):
        count += 1
        assert all(now is then for now, then in zip((x.data, w.data, x.grad), found, strict=True))
        assert w.grad is None
        assert (x.data.tolist(), w.data.tolist()) == ([[0.5, 1.0]], [[2.0], [3.0]])
        assert x.grad.tolist() == [[7.0, 8.0]]
    assert count > 100


def test_a_keyboard_interrupt_in_the_function_leaves_the_tensors_as_they_were():
    for last in range(1, 7):
        calls = iter(range(1, last + 1))

        def f(x, calls=calls, last=last):
            if next(calls) == last:
                raise KeyboardInterrupt
            return x * x

        check_unchanged(f, np.array([7.0, 8.0]), KeyboardInterrupt)


def test_data_that_is_read_only_can_be_checked():
    x = leaf([0.5, 1.0])
    x.data.flags.writeable = False
    assert dl.gradcheck(dl.exp, x) is True
    assert x.data.tolist() == [0.5, 1.0]


def test_a_tensor_given_twice_is_restored():
    x = leaf([0.5, 1.0])
    data = x.data
    assert dl.gradcheck(lambda a, b: a * b, x, x) is True
    assert x.data is data
    assert data.tolist() == [0.5, 1.0]


def test_data_in_another_order_give_the_same_values_each_time(rng):
    a = dl.Tensor(rng.normal(size=(7, 5))).T
    assert not a.data.flags.c_contiguous
    assert dl.gradcheck(lambda w: a @ w, leaf(rng.normal(size=(7, 3)))) is True


def test_the_gradients_of_tensors_that_only_f_knows_stay_as_they_were():
    w = dl.Tensor([2.0, 3.0], requires_grad=True)
    w.grad = np.array([5.0, 7.0])
    with dl.default_dtype("float64"):
        assert dl.gradcheck(lambda x: (x * w).tanh(), dl.Tensor([0.1, 0.2], requires_grad=True))
    assert w.grad.tolist() == [5.0, 7.0]
