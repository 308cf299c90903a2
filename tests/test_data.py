"""Batches: every sample once, in a seeded order, without a copy where none is needed."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.data import DataLoader


def labels(loader):
    """One epoch: the batches' y as lists."""
    return [y.tolist() for _, y in loader]


def flat(loader):
    return [label for batch in labels(loader) for label in batch]


sizes = st.integers(1, 40)


@given(n=sizes, batch_size=st.none() | sizes, shuffle=st.booleans(), seed=st.integers(0, 99))
def test_an_epoch_covers_every_sample_exactly_once(n, batch_size, shuffle, seed):
    x, y = np.arange(2 * n).reshape(n, 2), np.arange(n)
    loader = DataLoader(x, y, batch_size, shuffle=shuffle, rng=seed)
    size = n if batch_size is None else min(batch_size, n)
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == len(loader) == -(-n // size)
        assert [len(b) for _, b in batches] == [size] * (n // size) + [n % size] * (n % size > 0)
        assert sorted(label for _, b in batches for label in b) == list(range(n))
        for a, b in batches:
            assert np.array_equal(a, x[b])


@given(n=sizes, batch_size=sizes, shuffle=st.booleans())
def test_drop_last_omits_a_last_batch_that_is_smaller(n, batch_size, shuffle):
    if batch_size > n:
        with pytest.raises(ValueError, match=f"drop_last leaves no batch, since {n} samples"):
            DataLoader(range(n), range(n), batch_size, drop_last=True)
        return
    loader = DataLoader(range(n), range(n), batch_size, shuffle=shuffle, drop_last=True, rng=0)
    batches = labels(loader)
    assert [len(b) for b in batches] == [batch_size] * (n // batch_size)
    assert len(loader) == n // batch_size
    assert len({label for batch in batches for label in batch}) == len(loader) * batch_size


@pytest.mark.parametrize(
    ("batch_size", "batches"),
    [
        (None, [[0, 1, 2, 3, 4]]),
        (1, [[0], [1], [2], [3], [4]]),
        (2, [[0, 1], [2, 3], [4]]),
        (np.int64(3), [[0, 1, 2], [3, 4]]),
        (5, [[0, 1, 2, 3, 4]]),
        (99, [[0, 1, 2, 3, 4]]),
    ],
)
def test_the_batches_of_each_size(batch_size, batches):
    loader = DataLoader(np.arange(5), np.arange(5), batch_size, shuffle=False)
    assert labels(loader) == labels(loader) == batches
    assert len(loader) == len(batches)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_orders_differ_between_epochs_and_are_seeded(batch_size):
    def loader(rng):
        return DataLoader(np.arange(50), np.arange(50), batch_size, rng=rng)

    first = loader(3)
    epochs = [flat(first) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert list(range(50)) not in epochs
    for rng in 3, np.random.default_rng(3):
        again = loader(rng)
        assert [flat(again) for _ in range(3)] == epochs
    assert flat(loader(4)) != epochs[0]
    assert flat(loader(None)) != flat(loader(None))


def test_shuffling_is_the_default_and_the_whole_set_keeps_its_order():
    y = np.arange(50)
    assert flat(DataLoader(y, y, 1, rng=0)) != y.tolist()
    for batch_size in None, 50, 99:
        assert labels(DataLoader(y, y, batch_size, rng=0)) == [y.tolist()]


def test_every_order_is_equally_likely():
    loader = DataLoader(range(3), range(3), 1, rng=0)
    orders = [tuple(flat(loader)) for _ in range(3000)]
    counts = [orders.count(order) for order in sorted(set(orders))]
    assert len(counts) == 6
    assert all(abs(count - 500) < 5 * np.sqrt(500 * 5 / 6) for count in counts)


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 99}, {"batch_size": 3, "shuffle": False}], ids=repr
)
def test_nothing_is_copied_where_no_copy_is_needed(options):
    x, y = np.ones((8, 2)), np.arange(8)
    for a, b in DataLoader(x, y, **options):
        assert np.shares_memory(a, x)
        assert np.shares_memory(b, y)


def test_shuffled_batches_are_copies_and_the_arrays_stay_as_they_are():
    x, y = np.arange(8.0), np.arange(8)
    for a, b in DataLoader(x, y, 3, rng=0):
        a[:] = b[:] = -1
    assert x.tolist() == y.tolist() == list(range(8))


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"batch_size": 3, "shuffle": False}])
def test_read_only_arrays_work(options):
    x, y = np.arange(8.0), np.arange(8)
    x.flags.writeable = y.flags.writeable = False
    assert sorted(flat(DataLoader(x, y, **options))) == list(range(8))


@pytest.mark.parametrize("shuffle", [True, False])
def test_memory_mapped_arrays_work(tmp_path, shuffle):
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(x, np.memmap)
    loader = DataLoader(x, np.arange(10), 4, shuffle=shuffle, rng=0)
    for a, b in loader:
        assert np.array_equal(a, np.arange(20.0).reshape(10, 2)[b])
        assert np.shares_memory(a, x) != shuffle


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        ([[1, 2], [3, 4]], int),
        (([1.0, 2.0], [3.0, 4.0]), float),
        (np.ones((2, 2), np.float32), np.float32),
        (np.ones((2, 2), bool), bool),
        (np.ones((2, 2), np.uint8), np.uint8),
        (dl.Tensor([[1.0, 2.0], [3.0, 4.0]]), np.float32),
        (dl.Tensor(np.ones((2, 2)), requires_grad=True), float),
    ],
)
def test_lists_arrays_and_tensors_become_arrays_of_their_dtype(x, dtype):
    ((a, b),) = DataLoader(x, [0, 1])
    assert type(a) is type(b) is np.ndarray
    assert (a.shape, a.dtype) == ((2, 2), dtype)
    if isinstance(x, dl.Tensor):
        assert np.shares_memory(a, x.data)


def test_two_iterations_at_once_do_not_disturb_each_other():
    loader = DataLoader(np.arange(30), np.arange(30), 4, rng=0)
    pairs = list(zip(loader, loader, strict=True))
    first = [label for (_, y), _ in pairs for label in y]
    second = [label for _, (_, y) in pairs for label in y]
    assert sorted(first) == sorted(second) == list(range(30))
    assert first != second


def test_an_iteration_left_early_leaves_the_next_whole():
    loader = DataLoader(np.arange(10), np.arange(10), 3, rng=0)
    next(iter(loader))
    assert sorted(flat(loader)) == list(range(10))


def test_numpys_global_random_state_is_never_touched():
    def state():
        return pickle.dumps(np.random.get_state())  # noqa: NPY002

    before = state()
    for rng in None, 0:
        flat(DataLoader(np.arange(9), np.arange(9), 2, rng=rng))
    assert state() == before


@pytest.mark.parametrize(
    ("batch_size", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (2.5, TypeError),
        (2.0, TypeError),
        (True, TypeError),
        ("8", TypeError),
        ([8], TypeError),
    ],
)
def test_an_invalid_batch_size_is_named(batch_size, error):
    with pytest.raises(error, match=r"DataLoader: batch_size must be a whole number ≥ 1, got"):
        DataLoader(np.ones(4), np.ones(4), batch_size)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (np.ones((3, 2)), np.ones(4), ValueError, "x has 3 samples but y has 4"),
        (np.ones((2, 3)), np.ones(3), ValueError, "x has 2 samples but y has 3"),
        ([], [], ValueError, "no samples"),
        (np.ones((0, 2)), np.ones(0), ValueError, "no samples"),
        (1.0, [1.0], ValueError, "x must hold samples along its first axis"),
        ([1.0], 1.0, ValueError, "y must hold samples along its first axis"),
        (["a", "b"], [1, 2], TypeError, "x must hold numbers"),
        ("ab", [1, 2], TypeError, "x must hold numbers"),
        ([1, 2], None, TypeError, "y must hold numbers"),
        ([1, 2], [None, 1], TypeError, "y must hold numbers"),
        ([1, 2], [1j, 1], TypeError, "y must hold numbers"),
        ([[1], [2, 3]], [1, 2], ValueError, "x can't be converted to an array"),
    ],
)
def test_invalid_data_is_named(x, y, error, message):
    with pytest.raises(error, match=f"DataLoader: .*{message}"):
        DataLoader(x, y)


MASKED = np.ma.array([1.0, 1e9], mask=[False, True])


@pytest.mark.parametrize(
    "masked",
    [
        *(MASKED, MASKED[:, None], np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1.0, 2.0])),
        *([MASKED, np.ones(2)], (np.ones(2), MASKED), [1.0, np.ma.masked]),
        *([[MASKED[0]], [np.ma.masked]], [(1.0,), (np.ma.masked,)]),
    ],
)
def test_a_masked_array_is_an_error_that_says_how_to_drop_the_mask(masked):
    for name, pair in (("x", (masked, [0, 1])), ("y", ([0, 1], masked))):
        message = (
            rf"DataLoader: {name}(\[1\])? holds a masked array: fill or drop its masked entries"
        )
        with pytest.raises(TypeError, match=message):
            DataLoader(*pair)
    assert DataLoader(MASKED.filled(0.0), MASKED.compressed().repeat(2)).x.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "UInt8"])
def test_missing_values_of_pandas_are_an_error_and_the_rest_is_converted(dtype):
    pandas = pytest.importorskip("pandas")
    values = [1, 0, None]
    for make in (
        lambda v: pandas.array(v, dtype=dtype),
        lambda v: pandas.Series(v, dtype=dtype),
        lambda v: pandas.DataFrame({"a": [1.0] * len(v), "b": pandas.array(v, dtype=dtype)}),
    ):
        message = r"DataLoader: x holds missing values: fill or drop them first, .*x.fillna\(0"
        with pytest.raises(TypeError, match=message):
            DataLoader(make(values), [1, 2, 3])
    whole = pandas.Series([1, 0, 1], dtype=dtype)
    assert DataLoader(whole, [1, 2, 3]).x.tolist() == [1, 0, 1]
    assert DataLoader(whole.to_frame(), [1, 2, 3]).x.tolist() == [[1], [0], [1]]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float32", "float64"])
def test_pandas_data_with_numpys_dtypes_keep_them(dtype):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 0, 1], "b": [0, 0, 1]}, dtype=dtype)
    loader = DataLoader(frame, frame["a"], 2, shuffle=False)
    assert (loader.x.dtype, loader.x.shape, loader.y.dtype) == (dtype, (3, 2), dtype)
    assert labels(loader) == [[1, 0], [1]]


def test_nan_in_floating_pandas_data_stays_nan():
    pandas = pytest.importorskip("pandas")
    assert np.isnan(DataLoader(pandas.Series([1.0, np.nan]), [1, 2]).x[1])


@pytest.mark.parametrize("kind", ["csr_matrix", "coo_array", "lil_array"])
def test_a_sparse_matrix_is_an_error_that_says_how_to_make_it_dense(kind):
    sparse = pytest.importorskip("scipy.sparse")
    x = getattr(sparse, kind)(np.eye(3))
    with pytest.raises(TypeError, match=r"x must hold numbers, .*sparse.*dense, as in x.toarray"):
        DataLoader(x, [1, 2, 3])
    assert DataLoader(x.toarray(), [1, 2, 3]).x.tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    "values", [[1.0, None], np.array([1, None], object), np.array([1, 2.5], object)]
)
def test_arrays_of_objects_are_an_error_that_says_how_to_convert_them(values):
    with pytest.raises(TypeError, match=r"missing values such as None first, then use x.astype"):
        DataLoader(values, [1, 2])


@pytest.mark.parametrize("name", ["shuffle", "drop_last"])
@pytest.mark.parametrize("value", [1, None, "yes"])
def test_switches_are_true_or_false(name, value):
    with pytest.raises(TypeError, match=f"DataLoader: {name} must be True or False"):
        DataLoader([1], [1], **{name: value})


def test_options_are_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        DataLoader([1], [1], 1, False)


def test_repr_shows_shapes_and_options():
    loader = DataLoader(np.ones((5, 2)), np.ones(5), 2, shuffle=False)
    assert repr(loader) == (
        "DataLoader(x (5, 2), y (5,), batch_size=2, shuffle=False)  # 3 batches per epoch"
    )


# --- splitting, class weights, scaling ----------------------------------------------------------


@given(n=st.integers(2, 60), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_a_split_has_each_sample_once_and_a_test_part_of_the_share(n, fraction, seed):
    x, y = np.arange(2 * n).reshape(n, 2), np.arange(n)
    (a, kept), (b, held_out) = dl.data.split(x, y, fraction, rng=seed)
    assert len(held_out) == min(max(round(n * fraction), 1), n - 1)
    assert sorted([*kept, *held_out]) == list(range(n))
    assert kept.tolist() == sorted(kept)
    assert held_out.tolist() == sorted(held_out)
    assert np.array_equal(a, x[kept])
    assert np.array_equal(b, x[held_out])
    assert np.array_equal(dl.data.split(x, y, fraction, rng=seed)[1][1], held_out)


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_a_stratified_split_keeps_the_share_of_each_label(counts, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    (_, kept), (_, held_out) = dl.data.split(y, y, 0.5, stratify=True, rng=seed)
    share = np.bincount(held_out, minlength=len(counts))
    assert share.sum() == round(len(y) / 2)
    assert (np.abs(share - np.array(counts) * len(held_out) / len(y)) <= 1).all()
    assert share.min() >= 1
    assert np.bincount(kept, minlength=len(counts)).min() >= 1


def test_a_split_takes_the_same_rows_of_each_input():
    a, b, y = np.arange(10), np.arange(10) * 10, np.arange(10)
    (x, kept), (_, held_out) = dl.data.split({"a": a, "b": b}, y, 0.3, rng=1)
    assert x["a"].tolist() == kept.tolist()
    assert x["b"].tolist() == (10 * kept).tolist()
    assert dl.data.split((a, b), y, 0.3, rng=1)[1][0][1].tolist() == (10 * held_out).tolist()


def test_splits_that_are_impossible_are_errors():
    with pytest.raises(ValueError, match="1 sample can't be split"):
        dl.data.split([1], [1])
    with pytest.raises(ValueError, match="label 7 has 1"):
        dl.data.split(np.arange(5), [0, 0, 7, 0, 0], stratify=True)
    with pytest.raises(ValueError, match="can't hold a sample of each of 3 labels"):
        dl.data.split(np.arange(6), [0, 0, 1, 1, 2, 2], 0.2, stratify=True)
    for fraction in (0, 1, 1.5, -0.1):
        with pytest.raises(ValueError, match="split: fraction must be"):
            dl.data.split([1, 2], [1, 2], fraction)


def test_balanced_weights_give_each_class_the_same_total():
    assert dl.data.balanced_weights([0, 0, 0, 1, 2, 2]).tolist() == [6 / 9, 6 / 3, 6 / 6]
    with pytest.raises(ValueError, match="class 1 has no sample"):
        dl.data.balanced_weights([0, 2])
    for labels in ([0.0, 1.0], [-1, 0], [[0, 1]], np.zeros(0, int)):
        with pytest.raises(TypeError, match="must be a vector of integers"):
            dl.data.balanced_weights(labels)


def test_standardized_columns_are_those_of_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.random.default_rng(0).normal(1e6, 2, (50, 3))
    x[:, 1] = 0.1  # constant, with a mean that rounding moves
    with dl.default_dtype("float64"):
        y = dl.data.Standardize().fit(x)(x)
    np.testing.assert_allclose(
        y.numpy(), preprocessing.StandardScaler().fit_transform(x), atol=1e-9
    )
    assert not y.numpy()[:, 1].any()


def test_standardize_rounds_once_after_float64():
    x = 1e8 + np.arange(4.0).reshape(-1, 1)  # float32 can't tell these apart
    y = dl.data.Standardize().fit(x)(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy().ravel(), np.array([-3, -1, 1, 3]) / 5**0.5, rtol=1e-7)


def test_all_axes_but_the_last_are_samples():
    x = np.random.default_rng(0).normal(size=(4, 5, 2))
    scale = dl.data.Standardize().fit(x)
    np.testing.assert_allclose(scale.mean, x.reshape(-1, 2).mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(scale.deviation, x.reshape(-1, 2).std(axis=0), rtol=1e-13)
    assert scale(x).shape == (4, 5, 2)


def test_gradients_through_standardize_are_divided_by_the_deviation():
    scale = dl.data.Standardize().fit([[0.0, 1.0], [4.0, 2.0]])  # deviations 2 and ½
    x = dl.Tensor([[1.0, 1.0]], requires_grad=True)
    scale(x).sum().backward()
    assert x.grad.tolist() == [[0.5, 2.0]]


def test_a_saved_standardize_is_loaded_where_columns_are_known():
    fitted = dl.data.Standardize().fit([[0.0, 1.0], [4.0, 2.0]])
    new = dl.data.Standardize(2)
    assert np.array_equal(new([[3.0, 4.0]]), [[3.0, 4.0]])
    new.load_state_dict(fitted.state_dict())
    assert np.array_equal(new([[3.0, 4.0]]), fitted([[3.0, 4.0]]))
    with pytest.raises(ValueError, match=r"with their number, Standardize\(features\)"):
        dl.data.Standardize().load_state_dict(fitted.state_dict())


def test_misuse_of_standardize_is_an_error_that_changes_nothing():
    with pytest.raises(RuntimeError, match=r"call fit\(x\)"):
        dl.data.Standardize()([[1.0]])
    scale = dl.data.Standardize().fit([[0.0, 1.0], [4.0, 2.0]])
    before = scale.state_dict()
    for wrong, message in (
        ([[1.0, np.nan]], "column 1 of x holds NaN or infinity"),
        ([1.0, 2.0], r"got shape \(2,\); for one column x.reshape\(-1, 1\)"),
        (np.zeros((0, 2)), "no samples"),
        (np.eye(3), "has 2 columns, but x has 3"),
    ):
        with pytest.raises(ValueError, match=message):
            scale.fit(wrong)
    with pytest.raises(ValueError, match=r"expects 2 columns, got x of shape \(3,\)"):
        scale([1.0, 2.0, 3.0])
    assert all(np.array_equal(before[name], x) for name, x in scale.state_dict().items())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_captured_steps_standardize_each_batch(dtype):
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 9, (8, 2)).astype(dtype) for _ in range(3)]

    def losses(wrap):
        model = dl.nn.Sequential(
            dl.data.Standardize().fit(np.concatenate(batches)), dl.nn.Dense(2, 1, rng=0)
        )
        optimizer = dl.optim.SGD(model.parameters(), 0.1)

        def step(x, y):
            loss = dl.losses.mse(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        y = np.ones((8, 1), np.float32)
        return [float(step(x, y)) for x in batches * 2]

    assert losses(dl.capture) == losses(lambda step: step)
