"""Clipping of gradients: against exact sums, PyTorch's formulas, and at the ends of the floats."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl as dl
from minidl.optim import clip_grad_norm, clip_grad_value

DTYPES = [np.float32, np.float64]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def with_gradients(*gradients, dtype=np.float64, names=None):
    """One parameter for each gradient; None for a parameter that has none."""
    params = []
    for i, gradient in enumerate(gradients):
        g = None if gradient is None else np.array(gradient, dtype)
        data = np.ones((2,) if g is None else g.shape, dtype)
        p = dl.Tensor(data, requires_grad=True, name=names[i] if names else None)
        p.grad = g
        params.append(p)
    return params


def gradients_of(params):
    return [p.grad for p in params]


def exact_norm(gradients):
    """√Σ g², scaled by a power of two so that nothing overflows, added up without rounding."""
    entries = [x for g in gradients for x in np.ravel(g).astype(float).tolist()]
    _, exponent = math.frexp(max(map(abs, entries), default=0.0))
    total = math.fsum(math.ldexp(x, -exponent) ** 2 for x in entries)
    return math.ldexp(math.sqrt(total), exponent)


# --- the norm -----------------------------------------------------------------------------------

GRADIENTS = {
    "of one entry": [[-3.0]],
    "of no dimension": [np.array(-3.0), np.array(4.0)],
    "of several shapes": [[[1.0, -2.0], [3.0, 4.0]], [0.5], np.full((2, 1, 3), -0.1)],
    "with an empty one": [np.zeros((0, 3)), [3.0, 4.0]],
    "that are small beside one": [[1e8], np.ones(1000)],
    "random": list(np.random.default_rng(0).normal(size=(3, 1001))),
}
EXTREMES = [1e200, 1e308, 1e154, 1e-154, 1e-160, 1e-162, 1e-200, 1e-308, 5e-324]


@pytest.mark.parametrize("case", GRADIENTS)
@both_dtypes
def test_the_norm_before_is_returned_and_is_that_of_all_gradients_together(case, dtype):
    params = with_gradients(*GRADIENTS[case], dtype=dtype)
    expected = exact_norm(gradients_of(params))
    norm = clip_grad_norm(params, 1.0)
    assert type(norm) is float
    assert norm == pytest.approx(expected, rel=1e-14, abs=0)


@pytest.mark.parametrize("size", EXTREMES)
@pytest.mark.parametrize("max_norm", [1.0, 1e-3, 1e3])
def test_the_norm_of_huge_and_tiny_gradients_neither_overflows_nor_vanishes(size, max_norm):
    parts = [[0.5, -1.0], [0.25]]
    params = with_gradients(*(np.multiply(size, g) for g in parts))
    expected = exact_norm(gradients_of(params))
    assert clip_grad_norm(params, max_norm) == pytest.approx(expected, rel=1e-15, abs=0)
    if size > 1:
        clipped = np.concatenate(gradients_of(params))
        direction = np.array([0.5, -1, 0.25]) / 1.3125**0.5
        np.testing.assert_allclose(clipped, max_norm * direction, rtol=1e-14)


@pytest.mark.parametrize("size", [3e-300, 3e300])
@pytest.mark.parametrize("single", [0.0, 1.0])
def test_the_norm_of_two_dtypes_is_right_beyond_the_range_of_float32(size, single):
    (p,), (q,) = with_gradients([size]), with_gradients([single], dtype=np.float32)
    with np.errstate(all="raise"):
        norm = clip_grad_norm([p, q], math.inf)
    assert norm == pytest.approx(max(size, single), rel=1e-15)


@pytest.mark.parametrize("size", [1e30, 1e38, 1e-30, 1e-40])
def test_the_norm_of_float32_gradients_is_taken_in_float64(size):
    params = with_gradients(np.full(3, size), [-2 * size], dtype=np.float32)
    expected = exact_norm(gradients_of(params))
    assert clip_grad_norm(params, 1e38) == pytest.approx(expected, rel=1e-14, abs=0)


@pytest.mark.parametrize("max_norm", [1e-6, 1e-3, 1.0])
def test_huge_float32_gradients_are_clipped_without_loss(max_norm):
    """max_norm / norm itself may be too small for float32."""
    params = with_gradients([1e38, -2e38], [3e37], dtype=np.float32)
    clip_grad_norm(params, max_norm)
    direction = np.array([10, -20, 3]) / 509**0.5
    np.testing.assert_allclose(np.concatenate(gradients_of(params)), max_norm * direction, 3e-7)


def test_many_float32_gradients_add_up_without_loss():
    """A sum of squares in float32 would lose most of 0.01 beside 10⁶."""
    params = with_gradients(np.full(2**17, 0.1), [1000.0], dtype=np.float32)
    assert clip_grad_norm(params, 1e9) == pytest.approx(
        exact_norm(gradients_of(params)), rel=1e-13, abs=0
    )


@both_dtypes
def test_a_norm_beyond_the_floats_still_clips_to_the_limit(dtype):
    largest = float(np.finfo(dtype).max)
    params = with_gradients(np.full(16, largest), [-largest], dtype=dtype)
    norm = clip_grad_norm(params, 2.0)
    assert norm == (math.inf if dtype is np.float64 else pytest.approx(largest * 17**0.5))
    np.testing.assert_allclose(params[0].grad, np.full(16, 2 / 17**0.5), rtol=1e-6)
    np.testing.assert_allclose(params[1].grad, [-2 / 17**0.5], rtol=1e-6)


@pytest.mark.parametrize("params", [with_gradients(None, None), with_gradients([0.0, 0.0], None)])
@pytest.mark.parametrize("max_norm", [0.0, 1.0])
def test_without_any_gradient_or_with_zeros_the_norm_is_zero(params, max_norm):
    before = gradients_of(params)
    assert clip_grad_norm(params, max_norm) == 0.0
    assert all(p.grad is g for p, g in zip(params, before, strict=True))


# --- what is clipped ------------------------------------------------------------------------------

ARRAYS = hnp.arrays(
    st.sampled_from(DTYPES), hnp.array_shapes(max_dims=3), elements=st.floats(-1e6, 1e6, width=32)
)


@given(gradients=st.lists(ARRAYS, min_size=1, max_size=4), max_norm=st.floats(1e-3, 1e3))
def test_the_norm_after_is_at_most_the_limit_and_the_direction_the_same(gradients, max_norm):
    params = [dl.Tensor(np.ones_like(g), requires_grad=True) for g in gradients]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g
    norm = clip_grad_norm(params, max_norm)
    if norm <= max_norm:
        assert all(p.grad is g for p, g in zip(params, gradients, strict=True))
    else:
        assert exact_norm(gradients_of(params)) == pytest.approx(max_norm, rel=3e-7)
    for p, g in zip(params, gradients, strict=True):
        assert (p.grad.dtype, p.grad.shape) == (g.dtype, g.shape)
        expected = g.astype(float) * min(1.0, max_norm / norm if norm else 1.0)
        np.testing.assert_allclose(p.grad, expected, rtol=3e-7, atol=1e-44)


@given(gradients=st.lists(ARRAYS, min_size=1, max_size=4), limit=st.floats(0, 1e6))
def test_the_values_after_are_within_the_limit_and_others_unchanged(gradients, limit):
    params = [dl.Tensor(np.ones_like(g), requires_grad=True) for g in gradients]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g.copy()
    assert clip_grad_value(params, limit) is None
    for p, g in zip(params, gradients, strict=True):
        bound = g.dtype.type(limit)
        expected = np.where(g > bound, bound, np.where(g < -bound, -bound, g))
        np.testing.assert_array_equal(p.grad, expected, strict=True)


@both_dtypes
def test_gradients_within_the_limit_are_the_same_arrays(dtype):
    params = with_gradients([3.0], [-4.0], dtype=dtype)
    before = gradients_of(params)
    assert clip_grad_norm(params, 5.0) == 5.0
    assert all(p.grad is g for p, g in zip(params, before, strict=True))
    assert clip_grad_norm(params, math.nextafter(5.0, 0.0)) == 5.0
    assert not any(p.grad is g for p, g in zip(params, before, strict=True))


def test_clipping_again_changes_nothing_but_rounding(rng):
    params = with_gradients(*rng.normal(size=(3, 50)))
    clip_grad_norm(params, 0.7)
    once = [g.copy() for g in gradients_of(params)]
    assert clip_grad_norm(params, 0.7) == pytest.approx(0.7, rel=1e-14, abs=0)
    np.testing.assert_allclose(gradients_of(params), once, rtol=1e-15)


@both_dtypes
def test_a_limit_of_zero_makes_all_gradients_zero(dtype):
    for clip in (clip_grad_norm, clip_grad_value):
        params = with_gradients([[3.0, -4.0]], [1.0], dtype=dtype)
        clip(params, 0)
        np.testing.assert_array_equal(params[0].grad, [[0, 0]])
        np.testing.assert_array_equal(params[1].grad, [0])


CLIPS = {
    "norm": (clip_grad_norm, 2.5, [1.5, -2.0]),
    "value": (clip_grad_value, 3.5, [3.0, -3.5]),
}
each_clip = pytest.mark.parametrize(("clip", "limit", "clipped"), CLIPS.values(), ids=CLIPS)


@each_clip
def test_parameters_may_come_in_every_form(clip, limit, clipped):
    forms = [
        lambda model: model,
        lambda model: model.parameters(),
        lambda model: list(model.parameters()),
        lambda model: model.named_parameters(),
        lambda model: (p for p in model.parameters()),
    ]
    for form in forms:
        model = dl.nn.Dense(1, 2, rng=0)
        model.bias.grad = np.array([3.0, -4.0], np.float32)
        clip(form(model), limit)
        np.testing.assert_allclose(model.bias.grad, clipped, rtol=1e-6)
        assert model.weight.grad is None


@each_clip
def test_a_parameter_listed_twice_counts_once(clip, limit, clipped):
    (p,) = with_gradients([3.0, -4.0])
    assert clip([p, p, ("again", p)], limit) in (5.0, None)
    np.testing.assert_allclose(p.grad, clipped, rtol=1e-15)


def test_an_array_that_is_the_gradient_of_two_parameters_is_scaled_once_for_each():
    a, b = with_gradients([3.0, -4.0], None)
    shared = b.grad = a.grad
    assert clip_grad_norm([a, b], 2.5) == pytest.approx(50**0.5)
    for p in (a, b):
        np.testing.assert_allclose(p.grad, np.array([3, -4]) * 2.5 / 50**0.5, rtol=1e-15)
    np.testing.assert_array_equal(shared, [3, -4])


@each_clip
def test_a_read_only_gradient_is_replaced_and_not_written_to(clip, limit, clipped):
    (p,) = with_gradients([3.0, -4.0])
    given_as = p.grad
    given_as.flags.writeable = False
    clip([p], limit)
    np.testing.assert_allclose(p.grad, clipped, rtol=1e-15)
    np.testing.assert_array_equal(given_as, [3, -4])


@each_clip
@both_dtypes
def test_an_optimizer_can_step_with_what_was_clipped(clip, limit, clipped, dtype):
    params = with_gradients([3.0, -4.0], 0.0, [[0.0]], dtype=dtype)
    clip(params, limit)
    dl.optim.SGD(params, lr=1.0).step()
    np.testing.assert_allclose(params[0].data, 1 - np.array(clipped), rtol=1e-6)
    assert params[1].data == 1


@each_clip
def test_gradients_in_other_orders_of_memory_are_the_same(clip, limit, clipped, rng):
    values, found = rng.standard_cauchy(size=(60, 80)), []
    layouts = [np.ascontiguousarray, np.asfortranarray, lambda g: np.repeat(g, 2, 1)[:, ::2]]
    for layout in (*layouts, lambda g: g[::-1].copy()[::-1], lambda g: g.T.copy().T):
        (p,) = with_gradients(values)
        p.grad = layout(p.grad)
        found.append((clip([p], limit), p.grad.tobytes()))
    assert len(set(found)) == 1


# --- reproducibility ------------------------------------------------------------------------------


@pytest.fixture
def set_num_threads():
    before = dl.get_num_threads()
    yield dl.set_num_threads
    dl.set_num_threads(before)


@both_dtypes
def test_the_bits_do_not_depend_on_the_number_of_threads(dtype, rng, set_num_threads):
    gradients, found = rng.standard_cauchy(size=(2, 100_001)), []
    for threads in (1, 2, 5):
        set_num_threads(threads)
        params = with_gradients(*gradients, dtype=dtype)
        norm = clip_grad_norm(params, 1.0)
        found.append((norm, [g.tobytes() for g in gradients_of(params)]))
    assert found[0] == found[1] == found[2]


def test_squares_are_added_in_eight_fixed_lanes(rng):
    """Entry i goes to sum i mod 8, in order; the sums are then added from the first to the last."""
    g = rng.standard_cauchy(size=1003)
    lanes = [0.0] * 8
    for i, x in enumerate(g.tolist()):
        lanes[i % 8] += x * x
    total = 0.0
    for lane in lanes:
        total += lane
    assert clip_grad_norm(with_gradients(g), 1.0) == math.sqrt(total)


# --- PyTorch's formulas ---------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 30.0, 1000.0])
def test_clipping_by_norm_is_pytorchs(max_norm, rng):
    """clip_grad_norm_: g · min(1, max_norm / (norm + 1e-6)), where the 1e-6 is against 0/0."""
    gradients = rng.normal(size=(3, 100)) * 5
    params = with_gradients(*gradients)
    norm = clip_grad_norm(params, max_norm)
    total = np.linalg.norm([np.linalg.norm(g) for g in gradients])
    assert norm == pytest.approx(total, rel=1e-13, abs=0)
    theirs = gradients * min(1.0, max_norm / (total + 1e-6))
    np.testing.assert_allclose(gradients_of(params), theirs, rtol=1e-6)


@pytest.mark.parametrize("limit", [0.1, 1.0, 30.0])
def test_clipping_by_value_is_pytorchs(limit, rng):
    """clip_grad_value_: clamp(g, −limit, limit)."""
    gradients = rng.normal(size=(3, 100)) * 5
    params = with_gradients(*gradients)
    clip_grad_value(params, limit)
    theirs = np.minimum(np.maximum(gradients, -limit), limit)
    np.testing.assert_array_equal(gradients_of(params), theirs)


# --- what is refused ------------------------------------------------------------------------------


@each_clip
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 2])
@both_dtypes
def test_a_gradient_that_is_not_finite_is_named_and_nothing_changes(
    clip, limit, clipped, value, at, dtype
):
    gradients = [[[30.0, 40.0]], [7.0], [[10.0], [20.0]]]
    params = with_gradients(*gradients, dtype=dtype, names=["first", "second", "third"])
    params[at].grad.flat[1] = value
    before = [(g, g.tobytes()) for g in gradients_of(params)]
    message = (
        rf"{clip.__name__}: the gradient of {params[at].name} of shape .* contains NaN or infinity"
    )
    with pytest.raises(ValueError, match=f"^{message}"):
        clip(params, limit)
    for p, (g, data) in zip(params, before, strict=True):
        assert p.grad is g
        assert g.tobytes() == data


@pytest.mark.parametrize(
    ("clip", "name"), [(clip_grad_norm, "max_norm"), (clip_grad_value, "limit")]
)
@pytest.mark.parametrize(
    ("value", "error"),
    [(value, ValueError) for value in (-1, -1e-300, math.nan, math.inf, -math.inf, 10**400)]
    + [(value, TypeError) for value in (True, "1", None, [1.0], 1j, np.ones(1))],
    ids=lambda value: repr(value)[:20],
)
def test_an_invalid_limit_is_named_with_its_value_and_nothing_changes(clip, name, value, error):
    (p,) = with_gradients([3.0, -4.0])
    before = p.grad
    if clip is clip_grad_norm and value == math.inf:
        value, error = "inf", TypeError  # ∞ itself only measures
    message = f"{clip.__name__}: {name} must be a finite number ≥ 0, got {value!r}"
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        clip([p], value)
    assert p.grad is before
    np.testing.assert_array_equal(before, [3, -4])


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([], ValueError, "there are no parameters"),
        (None, TypeError, "params must be"),
        ([np.ones(2)], TypeError, "ndarray, which is not a minidl tensor"),
        (with_gradients([1.0])[0], TypeError, "put it in a list"),
        ([2 * with_gradients([1.0])[0]], ValueError, "was computed from"),
    ],
)
def test_invalid_parameters_are_refused(clip, params, error, message):
    with pytest.raises(error, match=rf"^{clip.__name__}: .*{message}"):
        clip(params, 1.0)


def test_an_infinite_max_norm_only_measures():
    (p,) = with_gradients([3.0, -4.0])
    before = p.grad
    assert clip_grad_norm([p], math.inf) == 5
    assert p.grad is before


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_a_gradient_that_is_not_an_array_is_named(clip):
    (p,) = with_gradients([3.0, -4.0])
    p.grad = [3.0, -4.0]
    with pytest.raises(TypeError, match=rf"^{clip.__name__}: .*must be a NumPy array, got a list"):
        clip([p], 1.0)
    assert p.grad == [3.0, -4.0]


def test_a_limit_beyond_float32_clips_nothing():
    (p,) = with_gradients([3e38, -4.0], dtype="float32")
    before = p.grad.tobytes()
    clip_grad_value([p], 1e300)
    assert p.grad.tobytes() == before


# --- gradients in other forms ---------------------------------------------------------------------


def misaligned(array):
    """The same values one byte beside where they should be."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def frozen(array):
    array.flags.writeable = False
    return array


FORMS = {
    "float16": lambda g: g.astype(np.float16),
    "long double": lambda g: g.astype(np.longdouble),
    "float64": lambda g: g.astype(np.float64),
    "of another byte order": lambda g: g.astype(g.dtype.newbyteorder()),
    "misaligned": misaligned,
    "strided": lambda g: np.repeat(g, 2, axis=1)[:, ::2],
    "Fortran": np.asfortranarray,
    "read-only": frozen,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_gradients_of_every_form_are_clipped_to_the_parameters_dtype(form):
    """(3, 4) of norm 5, clipped to 1, is (0.6, 0.8)."""
    w = dl.Tensor(np.zeros((1, 2), np.float32), requires_grad=True)
    w.grad = given = form(np.array([[3, 4]], np.float32))
    assert dl.optim.clip_grad_norm([w], 10.0) == 5
    assert w.grad is given
    assert dl.optim.clip_grad_norm([w], 1.0) == 5
    np.testing.assert_array_equal(w.grad, np.array([[0.6, 0.8]], np.float32))
    assert given.tolist() == [[3, 4]]
    w.grad = given
    dl.optim.clip_grad_value([w], 3.5)
    np.testing.assert_array_equal(w.grad, np.array([[3, 3.5]], np.float32))
    assert w.grad.dtype == np.float32
    assert given.tolist() == [[3, 4]]


def test_the_norm_of_float16_gradients_does_not_overflow():
    """300 of them, each 300: √(300 · 300²) = 300 √300."""
    w = dl.Tensor(np.zeros(300, np.float32), requires_grad=True)
    w.grad = np.full(300, 300, np.float16)
    with np.errstate(all="raise"):
        assert dl.optim.clip_grad_norm([w], 1.0) == pytest.approx(300 * math.sqrt(300), rel=1e-12)
    np.testing.assert_allclose(w.grad, 1 / math.sqrt(300), rtol=1e-6)


@pytest.mark.parametrize("clip", [dl.optim.clip_grad_norm, dl.optim.clip_grad_value])
@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (np.ones(2, np.float32), ValueError, r"b of shape \(3,\) has shape \(2,\)"),
        (np.ones((3, 1), np.float32), ValueError, r"b of shape \(3,\) has shape \(3, 1\)"),
        (np.ones(3, int), TypeError, "b .* must be a floating array, got int64"),
        (np.ones(3, complex), TypeError, "b .* must be a floating array, got complex128"),
        (np.ones(3, object), TypeError, "b .* must be a floating array, got object"),
        (np.array([1, math.nan, 1], np.float16), ValueError, "b .* contains NaN or infinity"),
        ([1.0, 1.0, 1.0], TypeError, "b .* must be a NumPy array"),
    ],
)
def test_a_gradient_that_can_not_be_clipped_leaves_all_as_they_were(clip, gradient, error, message):
    a, b = (dl.Tensor(np.zeros(3, np.float32), True, name=name) for name in "ab")
    a.grad, b.grad = np.full(3, 5, np.float32), gradient
    before = a.grad
    with pytest.raises(error, match=message):
        clip([a, b], 1.0)
    assert a.grad is before
    assert b.grad is gradient
    assert before.tolist() == [5, 5, 5]


def test_a_gradient_that_underflows_when_clipped_raises_nothing():
    w = dl.Tensor(np.zeros(2, np.float32), requires_grad=True)
    w.grad = np.array([1e-40, 1], np.float32)
    with np.errstate(all="raise"):
        dl.optim.clip_grad_norm([w], 1e-10)
    assert w.grad.tolist() == [0, pytest.approx(1e-10)]


# --- in a captured step -------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_a_captured_step_clips_as_the_step_does_whichever_of_its_gradients_are_large(clip, rng):
    weights = [dl.Tensor(np.ones((3, 2)), requires_grad=True) for _ in range(2)]

    def step(w, x):
        w.grad = None
        dl.losses.mse(x @ w, np.zeros((4, 2))).backward()
        clip([w], 1.0)
        with dl.no_grad():
            w -= 0.1 * w.grad

    captured = dl.capture(lambda x: step(weights[1], x))
    for scale in (0.01, 100.0, 0.01, 0.01, 100.0, 100.0):  # gradients beyond the limit or within
        x = scale * rng.normal(size=(4, 3))
        step(weights[0], x)
        captured(x)
        for name in ("data", "grad"):
            eager, replayed = (getattr(w, name) for w in weights)
            np.testing.assert_array_equal(replayed, eager, strict=True)
