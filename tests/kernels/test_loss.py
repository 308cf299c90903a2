"""The cross-entropy kernels, against a twin in plain float64 NumPy."""

import numpy as np
import pytest

from minidl._kernels import loss, system

SHAPES = [(0, 3), (1, 1), (7, 5), (1000, 10), (100, 1003)]
DTYPES = ["float32", "float64"]
TOLERANCE = {"float32": {"rtol": 2e-6, "atol": 1e-6}, "float64": {"rtol": 1e-12, "atol": 1e-14}}
KERNELS = ["cross_entropy", "soft_cross_entropy"]


def twin(x, t, smoothing):
    """Losses and gradient of logits x against labels or probabilities t, row by row."""
    rows, classes = x.shape
    x = x.astype(float)
    if t.ndim == 1:
        t = np.arange(classes) == t[:, None]
    t = t.astype(float)
    t = (1 - smoothing) * t + smoothing * t.sum(1, keepdims=True) / classes
    losses, gradient = np.empty(rows), np.empty((rows, classes))
    for i in range(rows):
        shifted = x[i] - x[i].max()
        total = np.exp(shifted).sum()
        losses[i] = np.sum(t[i] * (np.log(total) - shifted))
        gradient[i] = np.exp(shifted) / total * t[i].sum() - t[i]
    return losses, gradient


def arguments(kernel, rng, shape, dtype="float64", smoothing=0.0):
    """What the kernel takes: x, t, smoothing, losses and gradient, the last two unwritten."""
    rows, classes = shape
    x = rng.normal(scale=3, size=shape).astype(dtype)
    t = rng.random(shape).astype(dtype)
    if kernel == "cross_entropy":
        t = rng.integers(classes, size=rows).astype(np.int64)
    return [x, t, smoothing, np.full(rows, 99, dtype), np.full(shape, 99, dtype)]


@pytest.fixture
def threads():
    before = system.get_num_threads()
    yield system.set_num_threads
    system.set_num_threads(before)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_agrees_with_its_twin(kernel, shape, dtype, smoothing, rng):
    x, t, _, losses, gradient = given = arguments(kernel, rng, shape, dtype, smoothing)
    copies = x.copy(), t.copy()
    assert getattr(loss, kernel)(*given) is None
    expected_losses, expected_gradient = twin(x, t, smoothing)
    np.testing.assert_allclose(losses, expected_losses, **TOLERANCE[dtype])
    np.testing.assert_allclose(gradient, expected_gradient, **TOLERANCE[dtype])
    assert np.array_equal(x, copies[0])
    assert np.array_equal(t, copies[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_one_and_two_threads_give_the_same_bits(kernel, shape, dtype, threads, rng):
    given = arguments(kernel, rng, shape, dtype, 0.1)
    results = []
    for n in (1, 2):
        threads(n)
        x, t, smoothing, losses, gradient = given
        written = losses.copy(), gradient.copy()
        getattr(loss, kernel)(x, t, smoothing, *written)
        results.append(b"".join(a.tobytes() for a in written))
    assert results[0] == results[1]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_row_depends_on_nothing_but_itself(kernel, rng):
    x, t, smoothing, losses, gradient = given = arguments(kernel, rng, (7, 5))
    getattr(loss, kernel)(*given)
    for i in range(7):
        row = slice(i, i + 1)
        alone = np.empty(1), np.empty((1, 5))
        getattr(loss, kernel)(x[row], t[row], smoothing, *alone)
        assert (alone[0] == losses[row]).all()
        assert (alone[1] == gradient[row]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_and_infinite_logits(dtype):
    inf = np.inf
    x = np.array([[1000, 0], [-1000, 0], [-inf, 0], [-inf, 0], [0, np.nan]], dtype)
    losses, gradient = np.empty(5, dtype), np.empty((5, 2), dtype)
    loss.cross_entropy(x, np.array([1, 1, 1, 0, 0]), 0.0, losses, gradient)
    np.testing.assert_array_equal(losses, [1000, 0, 0, inf, np.nan])
    np.testing.assert_array_equal(gradient, [[1, -1], [0, 0], [0, 0], [-1, 1], [np.nan, np.nan]])


@pytest.mark.parametrize("label", [-1, 5, 2**62, -(2**63)])
def test_a_label_out_of_range_is_named_and_nothing_is_written(label, rng):
    _, labels, _, losses, gradient = given = arguments("cross_entropy", rng, (7, 5))
    labels[4] = label
    with pytest.raises(IndexError, match=f"row 4 is {label}, but with 5 classes.* 0 to 4"):
        loss.cross_entropy(*given)
    assert (losses == 99).all()
    assert (gradient == 99).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("at", "shape"),
    [
        (0, (6, 5)),
        (0, (7, 4)),
        (1, (6, 5)),
        (3, (6,)),
        (3, (8,)),
        (4, (6, 5)),
        (4, (7, 4)),
        (4, (7, 6)),
    ],
)
def test_lengths_that_differ_are_refused_and_nothing_is_written(kernel, at, shape, rng):
    given = arguments(kernel, rng, (7, 5))
    shape = shape[: given[at].ndim]
    given[at] = np.full(shape, 99 if at > 2 else 0, given[at].dtype)
    with pytest.raises(ValueError, match="differ in length"):
        getattr(loss, kernel)(*given)
    assert (given[3] == 99).all()
    assert (given[4] == 99).all()


def test_probabilities_of_another_number_of_classes_are_refused(rng):
    given = arguments("soft_cross_entropy", rng, (7, 5))
    given[1] = np.zeros((7, 4))
    with pytest.raises(ValueError, match="differ in length"):
        loss.soft_cross_entropy(*given)


def strided(a):
    return np.repeat(a, 2, axis=-1)[..., ::2]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("at", [0, 1, 3, 4])
@pytest.mark.parametrize(
    "spoil",
    [
        strided,
        lambda a: a.astype(np.float16),
        lambda a: a.astype(np.float32),
        lambda a: a.astype(np.int32),
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: a[None],
        lambda a: a.tolist(),
        lambda a: None,
    ],
    ids=["strided", "half", "single", "int", "swapped", "one axis more", "list", "None"],
)
def test_arrays_of_another_kind_are_refused_and_nothing_is_written(kernel, at, spoil, rng):
    given = arguments(kernel, rng, (7, 5))
    outputs = given[3:]
    given[at] = spoil(given[at])
    with pytest.raises((TypeError, ValueError)):
        getattr(loss, kernel)(*given)
    assert all((a == 99).all() for a in outputs)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("at", [3, 4])
def test_read_only_outputs_are_refused(kernel, at, rng):
    given = arguments(kernel, rng, (7, 5))
    given[at].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        getattr(loss, kernel)(*given)


@pytest.mark.parametrize("kernel", KERNELS)
def test_read_only_inputs_are_fine(kernel, rng):
    x, t, _, losses, _ = given = arguments(kernel, rng, (7, 5))
    x.flags.writeable = t.flags.writeable = False
    getattr(loss, kernel)(*given)
    np.testing.assert_allclose(losses, twin(x, t, 0.0)[0], rtol=1e-12)
