"""Changes that are all or nothing, and context managers that restore what they found."""

import contextvars
import gc
import threading

import interrupting
import pytest

from minidl._kernels import atomic

NO_MEMORY = pytest.mark.skipif(not interrupting._testcapi, reason="Python without its own tests")


class Point:
    """Attributes in slots, of which y refuses negative numbers."""

    __slots__ = ("_y", "x")

    def __init__(self, x, y):
        self.x, self._y = x, y

    @property
    def y(self):
        return self._y

    @y.setter
    def y(self, value):
        if value < 0:
            raise ValueError("negative")
        self._y = value


class Module:
    training = True


def test_attributes_keys_and_indices_are_assigned_and_can_be_undone():
    point, table, row, module = Point(1, 2), {"a": 1}, [1, 2], Module()
    changes = [(point, "x", 5), (table, "a", 6), (table, "b", 7), (row, 1, 8)]
    undo = atomic.assign([*changes, (vars(module), "training", False)])
    assert (point.x, table, row, module.training) == (5, {"a": 6, "b": 7}, [1, 8], False)
    atomic.assign(undo)
    assert (point.x, table, row, vars(module)) == (1, {"a": 1}, [1, 2], {})


@pytest.mark.parametrize("bad", [("y", -1, ValueError), ("z", 0, AttributeError)])
def test_if_one_change_fails_none_is_made(bad):
    name, value, error = bad
    point, table = Point(1, 2), {}
    with pytest.raises(error):
        atomic.assign([(table, "a", 1), (point, "x", 5), (point, name, value), (point, "x", 6)])
    assert (point.x, point.y, table) == (1, 2, {})


@pytest.mark.parametrize("change", [(), (1, 2), ([], 0, 1), ({}, [], 1), None])
def test_a_change_that_is_none_raises_before_anything_is_assigned(change):
    row = [1]
    with pytest.raises((TypeError, ValueError, IndexError)):
        atomic.assign([(row, 0, 2), change])
    assert row == [1]


class Shy:
    """A property that can be set once, then lacks memory a few times, and then can be set again."""

    lacking = [False, True, True, True, False]

    def __init__(self):
        self.value, self.left = 0, iter(self.lacking)

    x = property(lambda self: self.value)

    @x.setter
    def x(self, value):
        if next(self.left):
            raise MemoryError
        self.value = value


def test_what_lacks_memory_while_changes_are_undone_is_tried_again():
    point, shy = Point(1, 2), Shy()
    with pytest.raises(ValueError, match="negative"):
        atomic.assign([(point, "x", 3), (shy, "x", 4), (point, "y", -1)])
    assert (point.x, shy.x) == (1, 0)
    assert [*shy.left] == []


def test_changes_are_made_only_if_what_they_are_based_on_is_the_same_object():
    point, table, one = Point(1.5, 2), {"a": 1.5}, 1.5
    found = [(point, "y", 2), (table, "a", table["a"])]
    assert not atomic.exchange([*found, (point, "x", float("1.5"))], [(table, "b", 3)])
    assert not atomic.exchange([(table, "b", None)], [(table, "b", 3)])
    assert table == {"a": one}
    assert atomic.exchange(found, [(table, "a", 3), (point, "x", 4)])
    assert (point.x, table) == (4, {"a": 3})
    assert not atomic.exchange(found, [(point, "x", 5)])
    with pytest.raises(ValueError, match="negative"):
        atomic.exchange([], [(point, "x", 6), (point, "y", -1)])
    assert point.x == 4


def test_a_lock_is_held_during_a_call_and_no_longer():
    lock, held = threading.RLock(), []

    def call(*arguments):
        held.append(lock._is_owned())
        return arguments

    assert atomic.locked(lock, call, (1, 2)) == (1, 2)
    assert held == [True]
    with pytest.raises(ZeroDivisionError):
        atomic.locked(lock, lambda: 1 / 0, ())
    assert not lock._is_owned()


@pytest.mark.forked
def test_if_memory_is_lacking_after_some_changes_none_is_made():
    def prepare():
        return [0] * 300, {}

    def call(x):
        row, table = x
        atomic.assign([*((row, i, 1) for i in range(300)), *((table, i, 2) for i in range(9))])

    sums = [sum(row) for row, _ in interrupting.each_failed_allocation(prepare, call)]
    assert set(sums[:-1]) <= {0}
    assert sums[-1] in (0, 300)


@NO_MEMORY
@pytest.mark.forked
def test_the_end_of_a_block_needs_no_memory():
    point, row, module = Point(1, 2), [0] * 300, Module()
    changes = [(point, "x", 3), (vars(module), "training", False)]
    block = atomic.Assigned([*changes, *((row, i, 1) for i in range(300))])
    leave = block.__exit__
    block.__enter__()
    assert (point.x, sum(row), module.training) == (3, 300, False)
    gc.collect()  # empties Python's lists of free objects
    interrupting.fail_allocations(0)
    try:
        leave(None, None, None)
    finally:
        interrupting._testcapi.remove_mem_hooks()
    assert (point.x, sum(row), vars(module)) == (1, 0, {})


@pytest.mark.forked
def test_a_context_variable_is_restored_though_an_allocation_fails():
    variable = contextvars.ContextVar("variable", default=1)

    def call(block):
        with block:
            pass

    for _ in interrupting.each_failed_allocation(lambda: atomic.InContext(variable, 2), call):
        assert variable.get() == 1


def test_the_same_place_twice_is_undone_to_its_first_value():
    row = [1]
    with atomic.Assigned([(row, 0, 2), (row, 0, 3)]):
        assert row == [3]
    assert row == [1]


def test_assigned_restores_after_an_error_and_when_entered_twice():
    module = Module()
    evaluating = atomic.Assigned([(vars(module), "training", False)])
    seen = []
    with pytest.raises(ZeroDivisionError), evaluating, evaluating:
        seen.append(module.training / 0)
    with evaluating, evaluating:
        seen.append(module.training)
    assert seen == [False]
    assert vars(module) == {}


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
@pytest.mark.parametrize("before", [{}, {"training": True}, {"training": False}])
def test_the_last_of_some_shared_blocks_restores_what_the_first_one_found(order, before):
    left, right = [*map(dict, [before] * 2)]
    dicts = {"a": [left], "b": [left, right], "c": [right, left]}
    blocks = {name: atomic.Shared(each, "training", False) for name, each in dicts.items()}
    for block in blocks.values():
        block.__enter__()
    for name in order:
        assert left == {"training": False}
        assert (right == {"training": False}) or "b" not in blocks
        blocks.pop(name).__exit__(None, None, None)
    assert (left, right) == (before, before)


def test_a_shared_block_ends_once_however_often_it_is_entered():
    table = {}
    block, other = (atomic.Shared([table], "a", 1) for _ in range(2))
    for _ in range(2):
        with block, block:
            assert table == {"a": 1}
        assert table == {}
    with other:
        with block:
            block.__exit__(None, None, None)
        assert table == {"a": 1}
    assert table == {}


@pytest.mark.forked
def test_if_a_shared_block_fails_to_begin_nothing_is_set():
    def prepare():
        return [{} for _ in range(300)], []

    def call(x):
        with atomic.Shared(x[0], "a", 1):
            x[1].append(len([each for each in x[0] if each]))

    for tables, seen in interrupting.each_failed_allocation(prepare, call):
        assert seen in ([], [300])
        assert not any(tables)


@pytest.mark.parametrize(("other", "key"), [(5, "a"), ({}, [])])
def test_a_shared_block_that_is_refused_sets_nothing(other, key):
    table = {}
    with pytest.raises(TypeError), atomic.Shared([table, other], key, 1):
        pass
    assert table == {}
    with atomic.Shared([table], "a", 2):
        assert table == {"a": 2}
    assert table == {}


@NO_MEMORY
@pytest.mark.forked
def test_the_end_of_a_shared_block_needs_no_memory():
    tables = [{"a": i} for i in range(300)]
    block = atomic.Shared(tables, "a", None)
    leave = block.__exit__
    block.__enter__()
    gc.collect()
    interrupting.fail_allocations(0)
    try:
        leave(None, None, None)
    finally:
        interrupting._testcapi.remove_mem_hooks()
    assert [each["a"] for each in tables] == [*range(300)]


def test_a_forked_process_ends_the_shared_blocks_of_threads_that_it_lacks():
    table = {}
    own, other = (atomic.Shared([table], "a", 1) for _ in range(2))
    thread = threading.Thread(target=other.__enter__)
    thread.start()
    thread.join()
    with own:
        atomic.end_other_threads()
        assert table == {"a": 1}
    assert table == {}
    other.__exit__(None, None, None)  # which does nothing


def test_what_is_found_can_be_assigned_again():
    module, point, row = Module(), Point(1, 2), [1]
    changes = [(vars(module), "training", False), (point, "x", 3), (row, 0, 2)]
    found = atomic.found(changes)
    for state in (changes, found, found):
        atomic.assign(state)
    assert (vars(module), point.x, row) == ({}, 1, [1])


def test_assigned_that_fails_to_enter_can_be_entered_later():
    point = Point(1, 2)
    switch = atomic.Assigned([(point, "x", 3), (point, "y", -1)])
    with pytest.raises(ValueError, match="negative"):
        switch.__enter__()
    assert (point.x, point.y) == (1, 2)


def test_a_context_variable_is_restored_even_in_another_context():
    variable = contextvars.ContextVar("variable", default=1)
    two, three = atomic.InContext(variable, 2), atomic.InContext(variable, 3)
    with two, three, two:
        assert variable.get() == 2
    assert variable.get() == 1
    copied = contextvars.copy_context()
    copied.run(two.__enter__)
    two.__exit__(None, None, None)
    assert variable.get() == 1
    assert copied[variable] == 2


@pytest.mark.parametrize(
    "block", [atomic.Assigned([]), atomic.InContext(contextvars.ContextVar("v", default=1), 2)]
)
def test_a_block_that_ends_without_a_beginning_raises(block):
    with block, block:
        pass
    with pytest.raises(RuntimeError, match="did not begin"):
        block.__exit__(None, None, None)


class Opened:
    def __init__(self):
        self.open, self.result = True, [self]


class Session(atomic.Session):
    def __init__(self, variable, fails=()):
        super().__init__(variable)
        self.variable, self.fails, self.finished = variable, fails, []

    def _prepare(self):
        if "prepare" in self.fails:
            raise ValueError("prepare")
        return Opened()

    def _finish(self, value, error):
        self.finished.append((value.open, self.variable.get(), error))
        if "finish" in self.fails:
            raise ValueError("finish")


def test_a_session_sets_a_new_object_for_each_block_and_closes_it_first():
    variable = contextvars.ContextVar("variable", default=None)
    session = Session(variable)
    for _ in range(2):
        with session as (value,):
            assert variable.get() is value
            assert value.open
        assert session.finished == [(False, None, None)]
        session.finished.clear()
    error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError), session:
        raise error
    assert session.finished == [(False, None, error)]


@pytest.mark.parametrize("fails", ["prepare", "finish"])
def test_a_session_that_fails_to_begin_or_end_leaves_the_variable_as_it_was(fails):
    variable = contextvars.ContextVar("variable", default=None)
    with pytest.raises(ValueError, match=fails), Session(variable, fails):
        assert fails == "finish"
    assert variable.get() is None


def test_a_session_that_ends_in_another_context_leaves_its_variable_alone():
    variable = contextvars.ContextVar("variable", default=None)
    session, other = Session(variable), Session(variable)
    copied = contextvars.copy_context()
    (value,) = copied.run(session.__enter__)
    with other as (own,):
        session.__exit__(None, None, None)
        assert variable.get() is own
    assert (copied[variable], value.open) == (value, False)


def test_a_session_forgets_the_object_of_another_one_that_ended_in_another_context():
    variable = contextvars.ContextVar("variable", default=None)
    old, new = Session(variable), Session(variable)
    old.__enter__()
    contextvars.Context().run(old.__exit__, None, None, None)
    with new as (value,):
        assert variable.get() is value
    assert variable.get() is None
