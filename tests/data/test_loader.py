"""Batches: every sample once, in a seeded order, without a copy where none is needed."""

import pickle

import interrupting
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
