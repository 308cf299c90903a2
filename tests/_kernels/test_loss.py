"""The loss kernels, against twins in plain float64 NumPy."""

import math

import numpy as np
import pytest

from minidl._kernels import loss, system

SIZES = [1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 64]
SHAPES = [
    *((rows, classes) for rows in (0, 1, 2, 7) for classes in SIZES),
    *((3, 2047), (3, 2048), (3, 2049), (2050, 1), (1000, 10), (100, 1003)),  # blocks of 2,048
]
DTYPES = ["float32", "float64"]
TOLERANCE = {"float32": {"rtol": 2e-6, "atol": 3e-7}, "float64": {"rtol": 1e-12, "atol": 1e-14}}
KINDS = ["labels", "probabilities"]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
both_kinds = pytest.mark.parametrize("kind", KINDS)

cross_entropy, squared_error = loss.cross_entropy, loss.squared_error


def twin(x, t, smoothing=0.0, scale=1.0):
    """Losses and scaled gradient of logits x against labels or probabilities t."""
    x = x.astype(float)
    t = (np.arange(x.shape[1]) == t[:, None] if t.ndim == 1 else t).astype(float)
    mass = t.sum(1, keepdims=True)
    t = (1 - smoothing) * t + smoothing * mass / x.shape[1]
    shifted = x - x.max(1, keepdims=True)
    total = np.exp(shifted).sum(1, keepdims=True)
    gradient = scale * (np.exp(shifted) / total * mass - t)
    return (t * (np.log(total) - shifted)).sum(1), gradient


def arguments(kind, rng, shape, dtype="float64"):
    """Logits and a target."""
    x = rng.normal(scale=3, size=shape).astype(dtype)
    if kind == "labels":
        return x, rng.integers(shape[1], size=shape[0])
    return x, rng.random(shape).astype(dtype)


def assert_loss(found, expected, dtype):
    """A number of that dtype, right but for one rounding to it."""
    assert (found.shape, found.dtype) == ((), dtype)
    rtol = 1e-14 + float(np.finfo(dtype).eps) / 2
    assert found.item() == pytest.approx(expected, rel=rtol, abs=0)


@pytest.fixture
def threads():
    before = system.get_num_threads()
    yield system.set_num_threads
    system.set_num_threads(before)


# --- cross-entropy ------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@both_dtypes
@pytest.mark.parametrize("shape", SHAPES)
@both_kinds
def test_cross_entropy_agrees_with_its_twin(kind, shape, dtype, smoothing, rng):
    x, t = arguments(kind, rng, shape, dtype)
    copies = x.copy(), t.copy()
    losses, total, gradient = cross_entropy(x, t, smoothing, 0.3)
    expected, expected_gradient = twin(x, t, smoothing, 0.3)
    np.testing.assert_allclose(losses, expected, **TOLERANCE[dtype], strict=True)
    np.testing.assert_allclose(
        gradient, expected_gradient.astype(dtype), **TOLERANCE[dtype], strict=True
    )
    assert_loss(total, 0.3 * math.fsum(losses), dtype)
    assert np.array_equal(x, copies[0])
    assert np.array_equal(t, copies[1])


@both_dtypes
@pytest.mark.parametrize("shape", [*SHAPES[-6:], (loss.threaded, 1), (3, loss.threaded // 2)])
@both_kinds
def test_one_two_and_four_threads_give_the_same_bits(kind, shape, dtype, threads, rng):
    x, t = arguments(kind, rng, shape, dtype)
    results = set()
    for n in (1, 2, 4):
        threads(n)
        losses, total, gradient = cross_entropy(x, t, 0.1, 0.3)
        results.add((losses.tobytes(), total.tobytes(), gradient.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@both_dtypes
@pytest.mark.parametrize("shape", [(7, 5), (33, 17), (7, 700)])
@both_kinds
def test_a_row_depends_on_nothing_but_itself(kind, shape, dtype, smoothing, rng):
    x, t = arguments(kind, rng, shape, dtype)
    x[1], x[3, 0] = np.nan, np.inf
    losses, _, gradient = cross_entropy(x, t, smoothing, 0.3)
    for i in range(len(x)):
        alone, total, its_gradient = cross_entropy(x[i : i + 1], t[i : i + 1], smoothing, 0.3)
        np.testing.assert_array_equal(alone[0], losses[i])
        np.testing.assert_array_equal(total, np.array(0.3 * losses[i], dtype), strict=True)
        np.testing.assert_array_equal(its_gradient[0], gradient[i])


@both_dtypes
def test_huge_and_infinite_logits(dtype):
    inf, nan = np.inf, np.nan
    x = np.array([[1000, 0], [-1000, 0], [-inf, 0], [-inf, 0], [0, nan], [inf, 0]], dtype)
    losses, total, gradient = cross_entropy(x, np.array([1, 1, 1, 0, 0, 0]), 0.0, 1.0)
    np.testing.assert_array_equal(losses, [1000, 0, 0, inf, nan, 0])
    np.testing.assert_array_equal(gradient, [[1, -1], [0, 0], [0, 0], [-1, 1], [nan, nan], [0, 0]])
    assert math.isnan(total)


@both_dtypes
@pytest.mark.parametrize("classes", [1, 16, 17, 64])
def test_nan_anywhere_in_a_row_makes_all_of_it_nan(classes, dtype):
    x = np.zeros((classes, classes), dtype)
    np.fill_diagonal(x, np.nan)
    losses, _, gradient = cross_entropy(x, np.zeros(classes, np.int64), 0.0, 1.0)
    assert np.isnan(losses).all()
    assert np.isnan(gradient).all()


@both_dtypes
def test_the_largest_logits_there_are_do_not_overflow(dtype):
    most = np.finfo(dtype).max
    x = np.array([[most, -most], [-most, -most], [most, most]], dtype)
    losses, _, gradient = cross_entropy(x, np.array([0, 0, 1]), 0.0, 1.0)
    np.testing.assert_allclose(losses, [0, math.log(2), math.log(2)], rtol=1e-15)
    np.testing.assert_array_equal(gradient, [[0, 0], [-0.5, 0.5], [0.5, -0.5]])


@both_dtypes
def test_a_class_of_probability_zero_costs_nothing_even_at_minus_infinity(dtype):
    x, t = np.array([[-np.inf, 0, 0]], dtype), np.array([[0, 0.25, 0.75]], dtype)
    losses, total, gradient = cross_entropy(x, t, 0.0, 1.0)
    assert losses[0] == pytest.approx(math.log(2), rel=1e-15)
    assert_loss(total, math.log(2), dtype)
    np.testing.assert_array_equal(gradient, [[0, 0.25, -0.25]])


@both_dtypes
def test_probabilities_that_sum_to_something_else_weigh_the_row(dtype, rng):
    x, t = arguments("probabilities", rng, (4, 5), dtype)
    t[0] = 0
    losses, _, gradient = cross_entropy(x, t, 0.1, 1.0)
    assert losses[0] == 0
    np.testing.assert_array_equal(gradient[0], 0)
    doubled, _, twice = cross_entropy(x, 2 * t, 0.1, 1.0)
    np.testing.assert_allclose(doubled, 2 * losses, rtol=1e-15)
    np.testing.assert_allclose(twice, 2 * gradient, rtol=1e-6)


@both_dtypes
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_are_the_probabilities_with_a_one_at_the_label(smoothing, dtype, rng):
    x, labels = arguments("labels", rng, (33, 17), dtype)
    hot = np.eye(17, dtype=dtype)[labels]
    by_label, by_row = (cross_entropy(x, t, smoothing, 0.3) for t in (labels, hot))
    np.testing.assert_allclose(by_label[0], by_row[0], rtol=1e-14)
    np.testing.assert_allclose(by_label[2], by_row[2], rtol=4 * np.finfo(dtype).eps)


@both_dtypes
@pytest.mark.parametrize("scale", [0.0, 0.25, -2.0])
@both_kinds
def test_the_scale_is_that_of_the_total_and_of_the_gradient(kind, scale, dtype, rng):
    x, t = arguments(kind, rng, (7, 5), dtype)
    plain, scaled = (cross_entropy(x, t, 0.1, s) for s in (1.0, scale))
    np.testing.assert_array_equal(scaled[0], plain[0])
    assert scaled[1] == scale * plain[1]
    np.testing.assert_array_equal(scaled[2], scale * plain[2])


# --- its exponential in float32, as the gradient of rows [0, x] shows it ------------------------


def probabilities(x):
    """What the kernel makes of softmax([0, x])₁, beside float64's."""
    logits = np.stack([np.zeros_like(x), x], axis=1)
    _, _, gradient = cross_entropy(logits, np.zeros(len(x), np.int64), 0.0, 1.0)
    e = np.exp(x.astype(float))
    return gradient[:, 1].astype(float), e / (1 + e)


@pytest.mark.parametrize(
    "x",
    [
        np.linspace(-87, 0, 300_001),
        np.geomspace(-87, -1e-45, 100_001),
        np.arange(-125, 1)[:, None] * math.log(2) / 2 + np.linspace(-1e-4, 0, 101),  # its seams
        np.array([-0.0, 0.0, -1e-45, 1e-45, -87.0]),
    ],
    ids=["evenly", "towards zero", "at its seams", "single"],
)
def test_the_exponential_in_float32_is_right_to_seven_digits(x):
    found, expected = probabilities(x.ravel().astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=0)


def test_the_exponential_in_float32_fades_out_through_the_denormal_numbers():
    x = np.linspace(-110, -87, 100_001).astype(np.float32)
    found, expected = probabilities(x)
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1.5 * 2.0**-149)
    assert (np.diff(found) >= 0).all()
    assert (found[x < -104] == 0).all()
    assert (found[x > -103] > 0).all()


def test_the_exponential_in_float32_ends_at_zero():
    found, _ = probabilities(np.array([-104.5, -1e3, -1e30, -np.inf], np.float32))
    np.testing.assert_array_equal(found, 0)


# --- the squared error --------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("shape", [(), (0,), *((n,) for n in SIZES), (1000,), (5, 7), (2, 3, 17)])
def test_squared_error_is_exact_on_whole_numbers(shape, dtype, rng):
    p, t = (rng.integers(-50, 50, shape) for _ in range(2))
    total, gradient = squared_error(p.astype(dtype), t.astype(dtype), 0.125)
    expected = np.array(((p - t) ** 2).sum() / 8, dtype)
    np.testing.assert_array_equal(total, expected, strict=True)
    np.testing.assert_array_equal(gradient, np.asarray((p - t) / 4, dtype), strict=True)


@both_dtypes
@pytest.mark.parametrize("size", [1, 17, 10_007])
def test_squared_error_agrees_with_its_twin(size, dtype, rng):
    p, t = rng.normal(size=(2, size)).astype(dtype)
    total, gradient = squared_error(p, t, 1 / size)
    error = (p - t).astype(float)
    assert_loss(total, math.fsum(error**2) / size, dtype)
    np.testing.assert_allclose(gradient, 2 * error / size, rtol=4 * np.finfo(dtype).eps)


def test_the_sum_of_squares_is_kept_in_float64():
    p = np.ones(16_000, np.float32)
    p[0] = 4096  # in float32, 4096² + 1 is 4096²
    assert squared_error(p, np.zeros_like(p), 1.0)[0] == np.float32(4096**2 + 15_999)


@both_dtypes
@pytest.mark.parametrize("size", [1, 15, 16, 17])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_squared_error_propagates_nan_and_infinity(value, size, dtype):
    p, t = np.zeros(size, dtype), np.ones(size, dtype)
    p[-1] = value
    total, gradient = squared_error(p, t, 0.5)
    np.testing.assert_array_equal(total, value**2)
    np.testing.assert_array_equal(gradient, p - t)


@both_dtypes
def test_the_gradient_of_squared_error_reaches_the_denormal_numbers(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    p = np.array([tiny, -0.0, 3 * tiny])
    _, gradient = squared_error(p, np.zeros_like(p), 0.5)
    np.testing.assert_array_equal(gradient, p)


def test_squared_error_of_an_array_and_itself_is_zero(rng):
    p = rng.normal(size=33)
    total, gradient = squared_error(p, p, 1.0)
    assert total == 0
    np.testing.assert_array_equal(gradient, 0)


# --- what they take, and what they refuse -------------------------------------------------------


def unaligned(a):
    shifted = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    shifted[...] = a
    return shifted


class Derived(np.ndarray):
    """A class of arrays, as libraries define them."""


@both_kinds
@pytest.mark.parametrize("spoil", [lambda a: a.view(Derived), np.asarray], ids=["derived", "plain"])
def test_read_only_and_derived_inputs_are_fine(kind, spoil, rng):
    x, t = map(spoil, arguments(kind, rng, (7, 5)))
    x.flags.writeable = t.flags.writeable = False
    for got, want in zip(cross_entropy(x, t, 0.0, 1.0)[::2], twin(x, t), strict=True):
        assert type(got) is np.ndarray
        np.testing.assert_allclose(got, want, rtol=1e-12)
    if kind == "probabilities":
        total, gradient = squared_error(x, t, 0.5)
        assert type(gradient) is np.ndarray
        assert_loss(total, ((x - t) ** 2).sum() / 2, x.dtype)
        np.testing.assert_array_equal(gradient, x - t)


@both_kinds
def test_results_are_arrays_of_their_own(kind, rng):
    x, t = arguments(kind, rng, (7, 5))
    results = [*cross_entropy(x, t, 0.0, 1.0)[::2], squared_error(x, x, 1.0)[1]]
    for result in results:
        assert result.flags.owndata
        assert result.flags.writeable
        assert result.flags.c_contiguous


def test_logits_may_be_their_own_target(rng):
    x = rng.dirichlet(np.ones(5), 7)
    losses, _, gradient = cross_entropy(x, x, 0.1, 1.0)
    for got, want in zip((losses, gradient), twin(x, x, 0.1), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("row", [0, 4, 6])
@pytest.mark.parametrize("label", [-1, 5, 2**62, -(2**63)])
def test_a_label_out_of_range_is_named(label, row, rng):
    x, labels = arguments("labels", rng, (7, 5))
    labels[row] = label
    with pytest.raises(IndexError, match=f"row {row} is {label}, but with 5 classes.* 0 to 4"):
        cross_entropy(x, labels, 0.0, 1.0)


SPOILS = {
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1],
    "half": lambda a: a.astype(np.float16),
    "complex": lambda a: a.astype(complex),
    "int": lambda a: a.astype(np.int32),
    "unsigned": lambda a: np.abs(a).astype(np.uint64),
    "boolean": lambda a: a > 0,
    "object": lambda a: a.astype(object),
    "dates": lambda a: a.astype(np.int64).astype("M8[s]"),
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
    "one axis more": lambda a: a[None],
    "one axis more, the last": lambda a: a[..., None],
    "an entry": lambda a: a.reshape(-1)[0],
    "no axis": lambda a: np.array(a.reshape(-1)[0]),
    "list": lambda a: a.tolist(),
    "None": lambda a: None,
    "text": lambda a: "logits",
    "type": lambda a: np.ndarray,
}
spoiled = pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)


@both_kinds
@pytest.mark.parametrize("at", [0, 1])
@spoiled
def test_cross_entropy_refuses_arrays_of_another_kind(kind, at, spoil, rng):
    given = [*arguments(kind, rng, (7, 5)), 0.0, 1.0]
    given[at] = spoil(given[at])
    with pytest.raises((TypeError, ValueError)):
        cross_entropy(*given)


@pytest.mark.parametrize("at", [0, 1])
@spoiled
def test_squared_error_refuses_arrays_of_another_kind(at, spoil, rng):
    given = [*arguments("probabilities", rng, (7, 5)), 1.0]
    given[at] = spoil(given[at])
    with pytest.raises(ValueError, match="squared_error needs"):
        squared_error(*given)


@pytest.mark.parametrize("at", [0, 1])
def test_arrays_of_two_dtypes_are_refused(at, rng):
    given = [*arguments("probabilities", rng, (7, 5)), 0.0, 1.0]
    given[at] = given[at].astype(np.float32)
    with pytest.raises(ValueError, match="cross_entropy needs"):
        cross_entropy(*given)
    with pytest.raises(ValueError, match="squared_error needs"):
        squared_error(*given[:2], 1.0)


@both_kinds
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("shape", [(6, 5), (8, 5), (7, 4), (5, 7), (35, 1), (1, 5), (0, 5), (7, 0)])
def test_shapes_that_differ_are_refused(kind, at, shape, rng):
    given = list(arguments(kind, rng, (7, 5)))
    if kind == "labels":
        shape = (shape[0] + (shape[0] == 7), 5)
    given[at] = np.zeros(shape[: given[at].ndim], given[at].dtype)
    with pytest.raises(ValueError, match="cross_entropy needs"):
        cross_entropy(*given, 0.0, 1.0)
    if kind == "probabilities":
        with pytest.raises(ValueError, match="squared_error needs"):
            squared_error(*given, 1.0)


@pytest.mark.parametrize("shape", [(0, 0), (3, 0)])
@both_kinds
def test_logits_without_classes_are_refused(kind, shape):
    target = np.zeros(shape[0], np.int64) if kind == "labels" else np.zeros(shape)
    with pytest.raises(ValueError, match=r"class|cross_entropy needs"):
        cross_entropy(np.zeros(shape), target, 0.0, 1.0)


def test_no_rows_need_a_target_too():
    with pytest.raises((TypeError, ValueError)):
        cross_entropy(np.zeros((0, 3)), None, 0.0, 1.0)


def test_many_small_exponentials_add_up_beside_a_large_one():
    """In float32, 1 + e⁻¹⁸ is 1, however often e⁻¹⁸ is added."""
    x = np.full((1, 100_001), -18, np.float32)
    x[0, 0] = 0
    losses, *_ = cross_entropy(x, np.zeros(1, np.int64), 0.0, 1.0)
    np.testing.assert_allclose(losses, math.log1p(1e5 * math.exp(-18)), rtol=1e-5)
