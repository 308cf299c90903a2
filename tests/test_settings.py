"""no_grad and default_dtype around blocks, functions, generators and coroutines."""

import asyncio
import functools
import threading

import numpy as np
import pytest
import tasks
from interrupting import each_interruption

import minidl as dl
from minidl import _settings


def records():
    return (dl.Tensor(1.0, requires_grad=True) * 2).requires_grad


def test_a_decorated_generator_records_nothing_in_its_steps_and_leaves_others_alone():
    @dl.no_grad()
    def steps(n):
        got = {}
        for i in range(n):
            got[records(), (yield i, records())] = i
        return got

    generator = steps(2)
    assert records()
    assert next(generator) == (0, False)
    assert records()
    with dl.no_grad():
        assert generator.send("a") == (1, False)
        assert not records()
    assert records()
    with pytest.raises(StopIteration) as stop:
        generator.send("b")
    assert stop.value.value == {(False, "a"): 0, (False, "b"): 1}
    assert records()


def test_a_decorated_generator_gets_what_is_thrown_into_it_and_can_be_closed():
    seen = []

    @dl.no_grad()
    def careful():
        try:
            yield 1
        except KeyError:
            seen.append(records())
            yield 2
        finally:
            seen.append(records())

    generator = careful()
    assert next(generator) == 1
    assert generator.throw(KeyError) == 2
    generator.close()
    assert seen == [False, False]
    assert records()
    generator = careful()
    next(generator)
    with pytest.raises(ZeroDivisionError):
        generator.throw(ZeroDivisionError)
    assert seen == [False] * 3


def test_two_decorated_generators_may_take_turns():
    @dl.default_dtype("float64")
    def double():
        while True:
            yield dl.get_default_dtype()

    @dl.default_dtype("float32")
    def single():
        while True:
            yield dl.get_default_dtype()

    a, b = double(), single()
    assert [next(x) for x in (a, b, a, b)] == [np.float64, np.float32] * 2
    assert dl.get_default_dtype() == np.float32


def test_a_decorated_coroutine_records_nothing_and_other_tasks_record():
    @dl.no_grad()
    async def without(turns):
        seen = [records()]
        for _ in range(turns):
            await asyncio.sleep(0)
            seen.append(records())
        return seen

    async def main():
        async def recording():
            seen = []
            for _ in range(3):
                seen.append(records())
                await asyncio.sleep(0)
            return seen

        return await asyncio.gather(without(3), recording(), without(1))

    assert tasks.run(main()) == [[False] * 4, [True] * 3, [False] * 2]


def test_a_coroutine_driven_by_hand_leaves_its_callers_setting_alone():
    class Pause:
        def __await__(self):
            yield

    @dl.no_grad()
    async def work():
        before = records()
        await Pause()
        return before, records()

    coroutine = work()
    coroutine.send(None)
    assert records()
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value == (False, False)


@pytest.mark.parametrize("setting", [dl.no_grad(), dl.default_dtype("float64")])
def test_what_cannot_be_decorated_is_a_type_error_at_decoration(setting):
    async def ticks():
        yield 1

    class Ticks:
        async def __call__(self):
            yield 1

    kind = type(setting).__name__
    for generator in (ticks, functools.partial(ticks), staticmethod(ticks), Ticks()):
        with pytest.raises(TypeError, match=rf"{kind} can't decorate .*icks.*`with dl\.{kind}\("):
            setting(generator)
    with pytest.raises(TypeError, match=rf"{kind} can't decorate .*<lambda>"):
        setting(lambda: ticks())()
    for thing in (dl.nn.Module, 3, classmethod(ticks)):
        with pytest.raises(TypeError, match=f"{kind} decorates functions"):
            setting(thing)


def test_decorated_methods_functions_and_partials_work_and_may_recurse():
    class Model:
        @dl.no_grad()
        def method(self):
            return records()

        @classmethod
        @dl.no_grad()
        def of_the_class(cls):
            return records()

        @dl.no_grad()
        @staticmethod
        def static(depth=1):
            return Model.static(depth - 1) if depth else records()

    assert not any([Model().method(), Model.of_the_class(), Model.static()])
    assert not dl.no_grad()(functools.partial(records))()
    assert dl.default_dtype("float64")(dl.get_default_dtype)() == np.float64
    assert records()


@pytest.mark.parametrize(
    "wrap",
    [
        staticmethod,
        lambda function: lambda: function(),
        lambda function: type("Callable", (), {"__call__": lambda self: function()})(),
        lambda function: functools.wraps(function)(lambda: function()),
    ],
    ids=["staticmethod", "lambda", "object", "wrapper"],
)
def test_what_returns_a_generator_or_coroutine_records_nothing_in_its_steps(wrap):
    def steps():
        yield records()
        yield records()

    async def work():
        before = records()
        await asyncio.sleep(0)
        return before, records()

    decorated = dl.no_grad()(wrap(steps))()
    assert [next(decorated), records(), next(decorated)] == [False, True, False]
    coroutine = dl.no_grad()(wrap(work))()
    coroutine.send(None)
    assert records()
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value == (False, False)


def test_a_decorated_function_that_fails_restores_the_setting():
    @dl.no_grad()
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert records()


def test_a_decorated_function_may_run_in_two_threads_at_once():
    inside = [threading.Event() for _ in range(2)]
    leave = [threading.Event() for _ in range(2)]
    modes = {}

    @dl.no_grad()
    def wait(i):
        inside[i].set()
        assert leave[i].wait(10)

    def within():
        with dl.no_grad():
            wait(0)
            modes[0] = records()

    def alone():
        wait(1)
        modes[1] = records()

    threads = [threading.Thread(target=f) for f in (within, alone)]
    for thread, event in zip(threads, inside, strict=True):
        thread.start()
        assert event.wait(10)
    for thread, event in zip(threads, leave, strict=True):  # the first to enter leaves first
        event.set()
        thread.join()
    assert modes == {0: False, 1: True}


@pytest.mark.parametrize("setting", [dl.no_grad, lambda: dl.default_dtype("float64")])
def test_an_interrupt_while_a_setting_is_made_and_entered_leaves_it_as_it_was(setting):
    def enter(_):
        with setting():
            pass

    for _ in each_interruption(lambda: None, enter):
        assert records()
        assert dl.get_default_dtype() == np.float32


@pytest.mark.parametrize("dtype", ["9" * 5000, "(", "f8,f8", object()])
def test_a_text_that_numpy_cannot_read_is_a_short_type_error(dtype):
    for call in (dl.set_default_dtype, dl.default_dtype):
        with pytest.raises(TypeError, match='must be "float32" or "float64"') as error:
            call(dtype)
        assert len(str(error.value)) < 200
    with pytest.raises(TypeError, match="dtype must be floating") as error:
        dl.Tensor([1.0], dtype=dtype)
    assert len(str(error.value)) < 200


def test_the_recording_variable_is_true_at_first():
    assert _settings.recording.get() is True
