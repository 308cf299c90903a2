"""KeyboardInterrupt at each bytecode that minidl runs, for tests of what must be all or nothing."""

import dis
import inspect
import itertools
import os
import pathlib
import platform
import shutil
import sys
import traceback
import warnings

import pytest

import minidl

try:
    import _testcapi
except ImportError:  # as in some distributions
    _testcapi = None
if sys.version_info[:2] in ((3, 12), (3, 13)):
    _testcapi = None  # they crash where they have no memory for a new function (gh-122752)

FOLDER = str(pathlib.Path(minidl.__file__).parent)
TESTS = str(pathlib.Path(__file__).parent)
_in_child = []  # True in the child that calls a test marked "forked"
CAN_PRELOAD = platform.libc_ver()[0] == "glibc" and bool(shutil.which("cc"))  # an allocator


def pytest_configure(config):
    config.addinivalue_line("markers", "forked: call the test in a child, which has one thread")


def pytest_pyfunc_call(pyfuncitem):
    """Call a test in which allocations fail in a child: in no other thread may one fail."""
    if not (pyfuncitem.get_closest_marker("forked") and hasattr(os, "fork")):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: there are threads
        child = os.fork()
    if not child:
        _in_child.append(True)
        status = 1
        try:
            pyfuncitem.obj(**arguments)
            status = 0
        except BaseException:
            os.write(write, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(write)
    with open(read, encoding="utf-8") as pipe:
        text = pipe.read()
    if status := os.waitpid(child, 0)[1]:
        pytest.fail(text or f"the child ended with status {status}", pytrace=False)
    return True


def pytest_report_header():
    without = "no glibc or no C compiler cc, so the tests let no allocation fail"
    return f"faults: {'interrupts and failed allocations' if CAN_PRELOAD else without}"


class Interrupt:
    """KeyboardInterrupt just before the nth bytecode that a call runs.

    everywhere  count every module's bytecodes, not only minidl's; of tests only those of `update`,
                since tests are users' code, and a rule may be a user's

    place       where it was raised, "" if it was not
    by_signal   whether CPython handles signals there: after the call of a function, at the start
                of one, and where a loop jumps back. Elsewhere only a tracing function can raise
    passed      how many bytecodes were counted
    """

    def __init__(self, at, everywhere=False):
        self.at, self.everywhere = at, everywhere
        self.place, self.by_signal, self.passed = "", False, 0
        self.previous = {}  # the last opcode of each frame
        self.closing = set()  # frames of generators whose last bytecodes handle no signal

    def counts(self, code):
        if self.everywhere and not code.co_filename.startswith(FOLDER):
            return not code.co_filename.startswith(TESTS) or code.co_name == "update"
        return code.co_filename.startswith(FOLDER)

    def trace(self, frame, event, argument):
        code = frame.f_code
        if not self.counts(code):
            return None
        if event == "exception" and argument[0] is GeneratorExit:
            self.closing.add(frame)
        frame.f_trace = self.trace  # CPython 3.13 traces bytecodes of frames with one
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode" and frame not in self.closing:
            opcode = dis.opname[code.co_code[frame.f_lasti]]
            self.passed += 1
            if self.passed == self.at:
                self.by_signal = handles_signals(self.previous.get(frame), opcode)
                file = code.co_filename.removeprefix(FOLDER)
                self.place = f"{file}, line {frame.f_lineno}, {code.co_name}, {opcode}"
                raise KeyboardInterrupt
            self.previous[frame] = opcode
        return self.trace

    def run(self, call):
        """Make the call; its exception."""
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            call()
        except BaseException as error:
            return error
        finally:
            sys.settrace(before)
            self.previous.clear()
            self.closing.clear()


def trace_bytecodes():
    """Let CPython 3.12 trace bytecodes, which it does after the first frame that asks."""

    def ask(frame, event, argument):
        frame.f_trace_opcodes = True

    before = sys.gettrace()
    sys.settrace(ask)
    handles_signals(None, "")
    sys.settrace(before)


def handles_signals(previous, opcode):
    """Whether CPython runs the handlers of signals between two bytecodes of a frame."""
    if previous == "PRECALL":  # of Python 3.11, whose quick form includes the CALL
        return opcode != "CALL"
    return previous is None or previous.startswith(("CALL", "JUMP_BACKWARD", "YIELD"))


trace_bytecodes()


def interrupted(call, bytecode):
    """Whether the call was interrupted, just before so many bytecodes of minidl had run."""
    interrupt = Interrupt(bytecode)
    error = interrupt.run(call)
    if error is not None and not (interrupt.place and isinstance(error, KeyboardInterrupt)):
        raise error
    return bool(interrupt.place)


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


def fail_allocations(first, end=0):
    """Let Python's allocations fail from the nth one on, in this and every other thread."""
    assert _in_child or not hasattr(os, "fork"), "mark the test with pytest.mark.forked"
    _testcapi.set_nomemory(first, end)


def _without_memory(call, x, allocation):
    """Whether the call failed, as this allocation did, the only one."""
    fail_allocations(allocation, allocation + 1)
    try:
        call(x)
    except (MemoryError, SystemError):  # which NumPy raises for some
        return True
    except RuntimeError as error:
        if "can't allocate" not in str(error):  # a lock
            raise
        return True
    finally:
        _testcapi.remove_mem_hooks()
    return False


FAILURES = pytest.mark.parametrize(
    "failures",
    [
        each_interruption,
        pytest.param(each_failed_allocation, marks=pytest.mark.forked),
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
