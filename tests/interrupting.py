"""KeyboardInterrupt at each bytecode that minidl runs, for tests of what must be all or nothing."""

import itertools
import pathlib
import sys

import pytest

import minidl

try:
    import _testcapi
except ImportError:  # as in some distributions
    _testcapi = None

FOLDER = str(pathlib.Path(minidl.__file__).parent)


def interrupted(call, bytecode):
    """Whether the call was interrupted, just before so many bytecodes of minidl had run."""
    left = bytecode

    def trace(frame, event, argument):
        nonlocal left
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def each_interruption(prepare, call, every=1):
    """Interrupt call(x) at each bytecode, or every so many; yields each x = prepare() after it.

    The last x is one whose call was not interrupted.
    """
    for bytecode in itertools.count(1, every):
        x = prepare()
        stopped = interrupted(lambda x=x: call(x), bytecode)
        yield x
        if not stopped:
            return


def each_failed_allocation(prepare, call, every=1):
    """Let each allocation of Python's objects fail in turn, as `each_interruption` does.

    Nothing but the last x where Python was built without its own tests.
    """
    for allocation in itertools.count(1, every):
        x = prepare()
        failed = _testcapi is not None and _without_memory(call, x, allocation)
        yield x
        if not failed:
            return


def _without_memory(call, x, allocation):
    """Whether the call failed, as this allocation did, the only one."""
    _testcapi.set_nomemory(allocation, allocation + 1)
    try:
        call(x)
    except (MemoryError, SystemError):  # which NumPy raises for some
        return True
    finally:
        _testcapi.remove_mem_hooks()
    return False


FAILURES = pytest.mark.parametrize(
    "failures",
    [
        each_interruption,
        pytest.param(  # generators that can't be closed without memory
            each_failed_allocation,
            marks=pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
        ),
    ],
)


def assert_all_or_nothing(failures, prepare, call, look, every=1):
    """Fail at one place after the other: what `look` sees is as before the call, or as after it."""
    before = repr(look(prepare()))
    done = prepare()
    call(done)
    outcomes, last = {before, repr(look(done))}, None
    assert len(outcomes) == 2
    for x in failures(prepare, call, every):
        last = repr(look(x))
        assert last in outcomes
    assert last != before or _testcapi is None
