"""Batches: every sample once, in a seeded order, without a copy where none is needed."""

import copy
import math
import pickle

import interrupting
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.data import DataLoader, Standardize, as_batches, balanced_weights, split, split_rows


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


class Rolled(np.random.Generator):
    """Draws its orders in a way of its own."""

    def permutation(self, n):
        return np.roll(np.arange(n), self.integers(n))


def test_a_subclass_of_generator_draws_its_own_orders_also_when_an_epoch_goes_on():
    loader, other = (
        DataLoader(range(6), range(6), 2, rng=Rolled(np.random.PCG64(seed))) for seed in (0, 1)
    )
    rolls = np.random.default_rng(0)
    for _ in range(2):
        epoch = np.roll(np.arange(6), rolls.integers(6)).tolist()
        assert flat(loader) == epoch
    epoch = np.roll(np.arange(6), rolls.integers(6)).tolist()
    assert next(iter(loader))[1].tolist() == epoch[:2]
    other.load_state_dict(loader.state_dict())
    assert flat(other) == epoch[2:]
    assert flat(other) == np.roll(np.arange(6), rolls.integers(6)).tolist()


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


def test_an_epoch_is_whole_though_another_thread_takes_batches_while_it_begins():
    class Other(DataLoader):
        """The other thread has its turn when an order is drawn, and when an epoch has begun."""

        def _shuffled(self, state):
            self._taken = 2
            return super()._shuffled(state)

        def _begin(self):
            begun = super()._begin()
            self._taken = 2
            return begun

    assert sorted(flat(Other(np.arange(9), np.arange(9), 2))) == list(range(9))


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


def test_tables_of_nullable_columns_and_of_polars_become_batches():
    nullable = pd.DataFrame({"a": pd.array([1.5, 2.5], "Float64"), "b": pd.array([1, 2], "Int64")})
    polars = pl.DataFrame({"a": [1.5, 2.5], "b": [1, 2]})
    for table, labels in ((nullable, nullable["b"]), (polars, polars["b"])):
        loader = DataLoader(table, labels)
        np.testing.assert_array_equal(loader.x, [[1.5, 1], [2.5, 2]], strict=True)
        np.testing.assert_array_equal(loader.y, [1, 2], strict=True)
    with pytest.raises(TypeError, match=r"DataLoader: y holds missing values: .* x.drop_nulls\(\)"):
        DataLoader(polars, pl.Series([1, None]))


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


@pytest.mark.parametrize("kind", ["U", "O"])
def test_names_are_an_error_that_says_how_to_make_numbers_of_them(kind):
    names = np.array(["no", "yes", "no"], dtype=kind)
    with pytest.raises(TypeError, match=r"y must hold numbers, .*: np.unique\(names, return_inve"):
        DataLoader([1, 2, 3], names)
    assert DataLoader([1, 2, 3], np.unique(names, return_inverse=True)[1]).y.tolist() == [0, 1, 0]
    with pytest.raises(TypeError, match=r"x must hold .*: names\[:, None\] == kinds makes a col"):
        DataLoader(names, [1, 2, 3])
    kinds = np.unique(names)
    assert DataLoader(names[:, None] == kinds, [1, 2, 3]).x.tolist() == [[1, 0], [0, 1], [1, 0]]


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


# --- several inputs and weights -----------------------------------------------------------------

A, B, Y = np.arange(24.0).reshape(12, 2), np.arange(36.0).reshape(12, 3), np.arange(12)
W = np.arange(12.0)


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"drop_last": True}], ids=repr)
def test_several_inputs_and_weights_stay_together(options):
    for weight in None, W:
        last = () if weight is None else (weight,)
        tuples = list(DataLoader((A, B), Y, 5, rng=1, sample_weight=weight, **options))
        dicts = list(DataLoader({"a": A, "b": B}, Y, 5, rng=1, sample_weight=weight, **options))
        alone = list(DataLoader(A, Y, 5, rng=1, **options))
        assert len(tuples) == len(dicts) == len(alone)
        for (x, y, *w), (named, same, *v), (a, label) in zip(tuples, dicts, alone, strict=True):
            assert type(x) is tuple
            assert list(named) == ["a", "b"]
            assert y.tolist() == same.tolist() == label.tolist()
            for first, second in (x, named.values()):
                assert first.tolist() == A[y].tolist() == a.tolist()
                assert second.tolist() == B[y].tolist()
            for own in (w, v):
                assert [part.tolist() for part in own] == [part[y].tolist() for part in last]


def test_a_tuple_of_rows_is_one_array_and_one_of_columns_several_inputs():
    rows = DataLoader(tuple(A[:3]), Y[:3])
    assert np.array_equal(rows.x, A[:3])
    columns = DataLoader(tuple(A.T), Y)
    assert [x.tolist() for x in columns.x] == A.T.tolist()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ((A, B[:11]), "the inputs in x have 12, 11 samples"),
        ({"a": A, "b": B[:11]}, "the inputs in x have 12, 11 samples"),
        ((A[:11], B[:11]), "x has 11 samples but y has 12"),
        ((A[:11], A[:11]), "x has 11 samples but y has 12"),
        ((A.tolist(), A.tolist()), "x has 2 .*several inputs must be arrays, rather than lists"),
        ((), "x holds no arrays"),
        ({}, "x holds no arrays"),
    ],
)
def test_inputs_that_do_not_fit_are_named(x, message):
    with pytest.raises(ValueError, match=f"DataLoader: {message}"):
        DataLoader(x, Y)


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (W[:11], ValueError, r"a weight for each of 12 samples, got shape \(11,\)"),
        (W[:, None], ValueError, r"got shape \(12, 1\); sample_weight.reshape\(-1\)"),
        (W - 1, ValueError, "finite and ≥ 0, not all 0; got -1 in row 0"),
        (np.where(W == 3, np.nan, W), ValueError, "got nan in row 3"),
        (np.where(W == 3, np.inf, W), ValueError, "got inf in row 3"),
        (0 * W, ValueError, "got 0 everywhere"),
        (["a"] * 12, TypeError, "sample_weight must hold numbers"),
        (1.0, ValueError, "sample_weight must hold samples along its first axis"),
    ],
)
def test_weights_that_are_none_are_named(weight, error, message):
    with pytest.raises(error, match=f"DataLoader: .*{message}"):
        DataLoader(A, Y, sample_weight=weight)
    with pytest.raises(error, match=f"data: batch 1: .*{message}"):
        as_batches("data", [(A, Y, weight)])


def test_batches_of_several_inputs_and_weights_are_read_as_such():
    for x in (A, B), {"a": A, "b": B}:
        assert type(as_batches("data", (x, Y)).x) is type(x)
        for batch in (x, Y), (x, Y, W):
            (own,) = as_batches("data", [batch])
            assert (type(own[0]), len(own)) == (type(x), len(batch))
            assert len(as_batches("data", [batch, batch])) == 2
        with pytest.raises(TypeError, match=r"give DataLoader\(x, y, sample_weight=weight\)"):
            as_batches("data", (x, Y, W))
    for x in (dl.Tensor(A), B), {"a": dl.Tensor(A), "b": B.tolist()}:  # tensors stay tensors
        ((own, _),) = as_batches("data", [(x, Y)])
        first, second = own if isinstance(own, tuple) else own.values()
        assert first is (x[0] if isinstance(x, tuple) else x["a"])
        assert np.array_equal(second, B)


# --- the place in an epoch ----------------------------------------------------------------------

KINDS = ["PCG64", "MT19937", "Philox", "SFC64", "PCG64DXSM"]


def loader_of(kind="PCG64", seed=0, n=12, **options):
    rng = np.random.Generator(getattr(np.random, kind)(seed))
    return DataLoader(np.arange(n), np.arange(n), 5, rng=rng, **options)


def take(loader, count):
    """So many batches of one epoch after another, and the loader then."""
    taken = []
    while len(taken) < count:
        for _, y in loader:
            taken.append(y.tolist())
            if len(taken) == count:
                break
    return taken


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"drop_last": True}], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_a_loader_with_a_loaded_state_continues_at_every_batch(kind, options):
    whole = take(loader_of(kind, **options), 9)
    for count in range(8):
        before = loader_of(kind, **options)
        assert take(before, count) == whole[:count]
        state = before.state_dict()
        after = loader_of(kind, seed=9, **options)
        after.load_state_dict(pickle.loads(pickle.dumps(state)))
        assert take(after, 9 - count) == whole[count:]


def test_without_a_loaded_state_an_iteration_is_a_new_epoch():
    loader, twin = loader_of(), loader_of()
    state = loader.state_dict()
    first = take(loader, 1)
    assert take(loader, 3) != first + take(loader, 2)
    loader.load_state_dict(state)
    assert take(loader, 3) == take(twin, 3)
    assert take(loader, 1) == take(twin, 1)
    loader.load_state_dict(twin.state_dict())
    second, rest = take(loader, 1), take(loader, 3)
    assert len(rest) == len({tuple(batch) for batch in rest})
    assert sorted(np.concatenate(rest)) == list(range(12))  # a whole epoch, not what was left
    assert second[0] not in rest


def test_a_state_is_a_copy_and_a_loaded_one_too():
    loader = loader_of("MT19937")
    whole = take(loader_of("MT19937"), 6)
    take(loader, 1)
    state, kept = loader.state_dict(), loader.state_dict()
    other = loader_of("MT19937", 5)
    other.load_state_dict(state)
    for key in ("start", "rng"):
        state[key]["state"]["key"][:] = 0
    for own in (loader.state_dict(), other.state_dict()):
        for key in ("start", "rng"):
            assert np.array_equal(own[key]["state"]["key"], kept[key]["state"]["key"])
    assert take(other, 5) == whole[1:]


def test_a_loader_in_evaluation_draws_nothing_and_keeps_its_place():
    loader = loader_of()
    take(loader, 2)
    before = loader.state_dict()
    assert [y.tolist() for _, y in loader._in_order()] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [10, 11],
    ]
    assert loader.state_dict() == before
    assert len(list(loader_of(drop_last=True)._in_order())) == 2


def test_parts_share_the_generator_and_the_place():
    loader = DataLoader((A, B), Y, 2, rng=0, sample_weight=W + 1)
    twin = DataLoader((A, B), Y, 2, rng=0, sample_weight=W + 1)
    rows = np.array([1, 3, 5, 7, 9, 11])
    part = loader._part(rows)
    whole = [y.tolist() for _, y, _ in part]
    assert sorted(np.concatenate(whole)) == rows.tolist()
    assert loader._taken == 3
    next(iter(part))
    fresh = twin._part(rows)
    assert whole == [y.tolist() for _, y, _ in fresh]
    twin.load_state_dict(loader.state_dict())
    rest = [(y.tolist(), w.tolist()) for _, y, w in fresh]
    again = loader._part(rows)
    loader.load_state_dict(loader.state_dict())
    assert rest == [(y.tolist(), w.tolist()) for _, y, w in again]
    assert len(rest) == 2
    assert all(w == [label + 1 for label in y] for y, w in rest)
    held_out = DataLoader(A, Y, 5, drop_last=True)._held_out(rows[:3])
    assert [y.tolist() for _, y in held_out] == [[1, 3, 5]]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"samples": 13}, ValueError, "samples is 12, but 13 was saved"),
        ({"samples": np.arange(3)}, ValueError, "samples is 12"),
        ({"batch_size": None}, ValueError, "batch_size is 5, but None was saved"),
        ({"shuffle": False}, ValueError, "shuffle is True, but False was saved"),
        ({"drop_last": True}, ValueError, "drop_last is False, but True was saved"),
        ({"taken": 4}, ValueError, "4 batches of an epoch of 3 can't be taken"),
        ({"taken": -1}, ValueError, "taken must be a whole number ≥ 0"),
        ({"taken": 0.5}, TypeError, "taken must be a whole number ≥ 0"),
        ({"rng": None}, ValueError, "is a PCG64, which can't have the saved state"),
        ({"rng": {}}, ValueError, "is a PCG64, which can't have the saved state"),
        ({"start": 3}, ValueError, "is a PCG64, which can't have the saved state"),
        ({"start": loader_of("Philox").rng.bit_generator.state}, ValueError, "of another kind"),
        ({"other": 1}, ValueError, "a state has the keys batch_size, .*got .*other"),
    ],
)
def test_a_state_that_does_not_fit_is_an_error_and_changes_nothing(changes, error, message):
    loader, other = loader_of(), loader_of(seed=3)
    take(loader, 1)
    take(other, 2)
    before = loader.state_dict()
    with pytest.raises(error, match=f"DataLoader: .*{message}"):
        loader.load_state_dict({**other.state_dict(), **changes})
    assert loader.state_dict() == before
    with pytest.raises(TypeError, match="DataLoader: a state is a dict"):
        loader.load_state_dict(None)


@pytest.mark.parametrize("saved", [4, np.int64(4), np.array(4)])
def test_a_saved_number_may_be_one_of_numpy(saved):
    loader = DataLoader(np.arange(10.0), np.arange(10), 4, rng=0)
    loader.load_state_dict({**loader.state_dict(), "batch_size": saved})
    for other in (5, np.array([4, 4]), [4], "4", None):
        with pytest.raises(ValueError, match=r"batch_size is 4, but .* was saved"):
            loader.load_state_dict({**loader.state_dict(), "batch_size": other})


def begun():
    loader = DataLoader(np.arange(10.0), np.arange(10), 4, rng=0)
    next(iter(loader))
    return loader


def test_no_batch_of_an_epoch_that_has_just_begun_is_taken():
    loader = begun()
    before = loader.rng.bit_generator.state
    loader._begin()
    state = loader.state_dict()
    assert (state["taken"], state["start"]) == (0, before)


@interrupting.FAILURES
def test_an_epoch_begins_whole_or_not_at_all(failures):
    interrupting.assert_all_or_nothing(failures, begun, DataLoader._begin, DataLoader.state_dict)


@interrupting.FAILURES
def test_a_state_is_loaded_whole_or_not_at_all(failures):
    state = DataLoader(np.arange(10.0), np.arange(10), 4, rng=1).state_dict()
    call = lambda loader: loader.load_state_dict(state)  # noqa: E731
    interrupting.assert_all_or_nothing(failures, begun, call, DataLoader.state_dict)


# --- splits -------------------------------------------------------------------------------------


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


# --- weights of classes -------------------------------------------------------------------------


def test_balanced_weights_give_each_class_the_same_total_as_scikit_learn_does():
    labels = np.array([2, 0, 1, 0, 0, 2])
    weights = balanced_weights(labels)
    assert weights.tolist() == [6 / 9, 6 / 3, 6 / 6]
    assert weights.dtype == np.float64
    utils = pytest.importorskip("sklearn.utils")
    same = utils.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert weights.tolist() == same.tolist()
    for form in (labels.tolist(), labels.astype(np.uint8), labels.astype(np.uint64)):
        assert balanced_weights(form).tolist() == weights.tolist()


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([0, 2], ValueError, "class 1 has no sample"),
        ([1, 2], ValueError, "class 0 has no sample"),
        ([0, 10**13], ValueError, "class 1 has no sample"),
        ([-1, 0], ValueError, "labels must be ≥ 0, got -1"),
        ([[0], [1]], ValueError, r"a vector \(N,\), got shape \(2, 1\); labels.reshape"),
        (np.zeros(0, int), ValueError, "a vector"),
        ([0.0, 1.0], TypeError, r"must be integers, got float64; labels.astype\(int\)"),
        (["a", "b"], TypeError, "labels must hold numbers"),
    ],
)
def test_labels_without_balanced_weights_are_named(values, error, message):
    with pytest.raises(error, match=f"balanced_weights: .*{message}"):
        balanced_weights(values)


# --- Standardize --------------------------------------------------------------------------------

TABLE = np.random.default_rng(5).normal([3.0, -200.0, 0.0], [2.0, 50.0, 1e-3], (40, 3))


def exact(column):
    """Mean and deviation by exact sums."""
    mean = math.fsum(column) / len(column)
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in column) / len(column))


def test_standardize_has_mean_0_and_deviation_1_on_the_data_of_fit():
    scale = Standardize().fit(TABLE)
    expected = np.array([exact(column) for column in TABLE.T.tolist()])
    assert np.allclose(scale.mean, expected[:, 0], rtol=1e-14)
    assert np.allclose(scale.deviation, expected[:, 1], rtol=1e-14)
    y = scale(TABLE)
    assert y.dtype == np.float32
    assert np.array_equal(y.data, ((TABLE - scale.mean) / scale.deviation).astype(np.float32))
    sklearn = pytest.importorskip("sklearn.preprocessing")
    assert np.allclose(y.data, sklearn.StandardScaler().fit_transform(TABLE), atol=1e-6)
    with dl.default_dtype("float64"):
        wide = Standardize()
    assert np.allclose(wide.fit(TABLE)(TABLE).data.mean(axis=0), 0, atol=1e-13)
    assert np.allclose(wide(TABLE).data.std(axis=0), 1, atol=1e-13)


def test_standardize_is_exact_far_from_zero_and_for_float32():
    x = np.random.default_rng(0).normal(1e8, 1.0, (100_000, 2))
    mean, deviation = exact(x[:, 0].tolist())
    scale = Standardize().fit(x)
    assert abs(scale.mean[0] - mean) <= np.spacing(1e8)
    assert scale.deviation[0] == pytest.approx(deviation, rel=1e-12)
    narrow = TABLE.astype(np.float32)
    assert np.array_equal(
        Standardize().fit(narrow).mean, Standardize().fit(narrow.astype(float)).mean
    )


def test_a_constant_column_becomes_0_as_in_scikit_learn():
    for value in 5.0, 0.1, 1.7e308:  # the sum of the last overflows
        scale = Standardize().fit(np.full((7, 1), value))
        assert (scale.mean.tolist(), scale.deviation.tolist()) == ([value], [1.0])
        assert scale([[value]]).item() == 0.0
    close = Standardize().fit([[1e-200], [3e-200]])  # whose squares are 0
    assert close.deviation.tolist() == [1.0]


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, dl.Tensor], ids=str)
def test_one_sample_of_any_form_is_scaled_in_both_modes(form):
    scale = Standardize().fit(form(TABLE))
    first = (TABLE[:1] - scale.mean) / scale.deviation
    for module in scale.train(), scale.eval():
        assert np.allclose(module(form(TABLE[:1])).data, first, rtol=1e-6)
        assert np.allclose(module(form(TABLE[0])).data, first[0], rtol=1e-6)
        assert module(form(TABLE[:6].reshape(2, 3, 3))).shape == (2, 3, 3)


def test_gradients_flow_through_standardize():
    scale = Standardize().fit(TABLE)
    x = dl.Tensor(TABLE[:4], requires_grad=True)
    y = scale(x)
    assert np.allclose(y.data, (TABLE[:4] - scale.mean) / scale.deviation, rtol=1e-12)
    dl.sum(y).backward()
    assert np.allclose(x.grad, np.broadcast_to(1 / scale.deviation, (4, 3)), rtol=1e-12)
    x = dl.Tensor(np.ones((2, 3)), requires_grad=True)
    other = Standardize(3).fit(TABLE)
    assert dl.gradcheck(lambda t: dl.sum(other(t) ** 2), x)
    narrow = dl.Tensor(TABLE, dtype="float32", requires_grad=True)
    assert scale(narrow).dtype == np.float32


def standardized():
    return dl.nn.Sequential(Standardize().fit(TABLE), dl.nn.Dense(3, 1, rng=0))


def test_a_model_that_begins_with_standardize_trains_captured_to_the_same_bits():
    histories = []
    for capture in True, False:
        model = standardized()
        loader = DataLoader(TABLE, TABLE[:, :1] / 100, 16, rng=0)
        optimizer = dl.optim.SGD(model, lr=0.1)
        options = {"epochs": 4, "progress": False, "capture": capture}
        histories.append(dl.fit(model, dl.losses.mse, optimizer, loader, **options).step_loss)
    assert histories[0] == histories[1]
    model = standardized()
    step = dl.capture(lambda x: dl.sum(model(x)))
    for i in range(5):
        if i == 3:
            model[0].fit(2 * TABLE)
        assert step(TABLE).item() == dl.sum(model(TABLE)).item()


@pytest.mark.parametrize("columns", [None, 3])
def test_a_standardize_that_was_never_fitted_or_loaded_trains_and_predicts_nothing(columns):
    model = dl.nn.Sequential(Standardize(columns), dl.nn.Dense(3, 1, rng=0))
    before, data = model[1].state_dict(), (TABLE, TABLE[:, :1])
    for call in (
        lambda: dl.fit(model, dl.losses.mse, dl.optim.SGD(model), data, epochs=1, progress=False),
        lambda: dl.predict(model, TABLE),
        lambda: dl.evaluate(model, data, dl.losses.mse),
        lambda: model(dl.Tensor(TABLE, requires_grad=True)),
    ):
        with pytest.raises(RuntimeError, match=r"no mean and deviation yet: call fit\(x\) with"):
            call()
    assert all(np.array_equal(x, before[name]) for name, x in model[1].state_dict().items())
    model[0].fit(TABLE)
    assert np.array_equal(dl.predict(model[0], TABLE), Standardize().fit(TABLE)(TABLE).data)


def test_a_walkthrough_shows_a_model_that_begins_with_standardize():
    model = standardized()
    with dl.trace() as record:
        dl.losses.mse(model(TABLE[:2]), TABLE[:2, :1]).backward()
    assert "dense1" in str(record)


def test_a_saved_standardize_is_loaded_into_one_with_as_many_features():
    model = standardized()
    new = dl.nn.Sequential(Standardize(3), dl.nn.Dense(3, 1, rng=1))
    with pytest.raises(
        RuntimeError, match=r"call fit\(x\) with the training data, or load a saved"
    ):
        new(TABLE)
    new.load_state_dict(model.state_dict())
    assert np.array_equal(new(TABLE).data, model(TABLE).data)
    assert new[0].mean.dtype == new[0].deviation.dtype == np.float64
    for other in copy.deepcopy(model), pickle.loads(pickle.dumps(model)):
        assert np.array_equal(other(TABLE).data, model(TABLE).data)
    for unfitted in Standardize(), dl.nn.Sequential(Standardize(), dl.nn.Dense(3, 1)):
        saved = model[0] if isinstance(unfitted, Standardize) else model
        with pytest.raises(ValueError, match=r"make it with their number, Standardize\(features\)"):
            unfitted.load_state_dict(saved.state_dict())
    with pytest.raises(ValueError, match=r"the parameters of Sequential are [\w., ]*$"):
        model.load_state_dict({**model.state_dict(), "other": 1.0})


@interrupting.FAILURES
@pytest.mark.parametrize("columns", [None, 3])
def test_an_interrupted_fit_leaves_both_mean_and_deviation_as_before_or_fitted(columns, failures):
    interrupting.assert_all_or_nothing(
        *(failures, lambda: Standardize(columns), lambda scale: scale.fit(TABLE)), vars, every=3
    )


def test_standardize_can_be_fitted_again_but_not_to_other_columns():
    scale = Standardize(3).fit(TABLE).fit(2 * TABLE)
    assert np.allclose(scale.mean, 2 * TABLE.mean(axis=0))
    before = scale.state_dict()
    for bad in (TABLE[:, :2], TABLE[0], np.where(TABLE > 0, np.nan, TABLE)):
        with pytest.raises(ValueError, match="Standardize"):
            scale.fit(bad)
    for name, values in scale.state_dict().items():
        assert np.array_equal(values, before[name])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1.0, 2.0], r"columns \(N, features\), got shape \(2,\); x.reshape\(-1, 1\)"),
        (np.ones((0, 3)), "holds no samples"),
        ([[1.0, np.nan, np.inf], [1.0, 2.0, 3.0]], "NaN or infinity in column 1, 2;"),
        ([[1e200, 1.0], [-1e200, 2.0]], "too large numbers in column 0;"),
        ([[1.7e308], [1.7e308], [1.0]], "too large numbers in column 0;"),
    ],
)
def test_data_that_standardize_cannot_take_are_named(x, message):
    with pytest.raises(ValueError, match=f"Standardize: .*{message}"):
        Standardize().fit(x)


def test_standardize_without_fit_or_with_other_columns_is_an_error():
    with pytest.raises(RuntimeError, match=r"call fit\(x\) with the training data"):
        Standardize()(TABLE)
    for x in (TABLE[:, :2], np.ones(2), 1.0):
        with pytest.raises(ValueError, match=r"expects input of shape \(…, 3\), got \("):
            Standardize().fit(TABLE)(x)
    with pytest.raises(TypeError, match="masked array"):
        Standardize().fit(TABLE)(np.ma.array(TABLE, mask=TABLE > 0))
    with pytest.raises(ValueError, match="Standardize: features must be a whole number ≥ 1"):
        Standardize(0)


# --- splits, weights of classes, scaling, with other right values -------------------------------


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_a_stratified_split_keeps_the_share_of_each_label(counts, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    (_, kept), (_, held_out) = split(y, y, 0.5, stratify=True, rng=seed)
    share = np.bincount(held_out, minlength=len(counts))
    assert share.sum() == round(len(y) / 2)
    assert (np.abs(share - np.array(counts) * len(held_out) / len(y)) <= 1).all()
    assert share.min() >= 1
    assert np.bincount(kept, minlength=len(counts)).min() >= 1


def test_standardized_columns_are_those_of_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.random.default_rng(0).normal(1e6, 2, (50, 3))
    x[:, 1] = 0.1  # constant, with a mean that rounding moves
    with dl.default_dtype("float64"):
        y = Standardize().fit(x)(x)
    np.testing.assert_allclose(
        y.numpy(), preprocessing.StandardScaler().fit_transform(x), atol=1e-9
    )
    assert not y.numpy()[:, 1].any()


def test_standardize_rounds_once_after_float64():
    x = 1e8 + np.arange(4.0).reshape(-1, 1)  # float32 can't tell these apart
    y = Standardize().fit(x)(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy().ravel(), np.array([-3, -1, 1, 3]) / 5**0.5, rtol=1e-7)


def test_all_axes_but_the_last_are_samples():
    x = np.random.default_rng(0).normal(size=(4, 5, 2))
    scale = Standardize().fit(x)
    np.testing.assert_allclose(scale.mean, x.reshape(-1, 2).mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(scale.deviation, x.reshape(-1, 2).std(axis=0), rtol=1e-13)
    assert scale(x).shape == (4, 5, 2)


def test_gradients_through_standardize_are_divided_by_the_deviation():
    scale = Standardize().fit([[0.0, 1.0], [4.0, 2.0]])  # deviations 2 and ½
    x = dl.Tensor([[1.0, 1.0]], requires_grad=True)
    scale(x).sum().backward()
    assert x.grad.tolist() == [[0.5, 2.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_captured_steps_standardize_each_batch(dtype):
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 9, (8, 2)).astype(dtype) for _ in range(3)]

    def losses(wrap):
        model = dl.nn.Sequential(
            Standardize().fit(np.concatenate(batches)), dl.nn.Dense(2, 1, rng=0)
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
