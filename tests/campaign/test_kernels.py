"""The campaign's malformed calls: a kernel with a planted fault is found."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from minidl._kernels import atomic, blas, layer, loss, optim, plan, replay, special, system
from tests.campaign import kernels
from tests.campaign.harness import Breach

pytestmark = pytest.mark.skipif(bool(kernels.missing()), reason="mprotect is Linux's")


def correct(x):
    if not isinstance(x, np.ndarray):
        raise TypeError("x must be an array")
    x[...] = 1


def outside(x):
    """Write to the byte before an array, or after it, on the side without a protected page."""
    correct(x)
    before = x.nbytes + x.ctypes.data & (kernels.PAGE - 1) == 0
    ctypes.memset(x.ctypes.data - 1 if before else x.ctypes.data + x.nbytes, 0, 1)


def changed_before_an_error(x):
    correct(x)
    raise ValueError("too late")


def bits_that_depend_on_the_address(x):
    correct(x)
    return np.array(x.ctypes.data)


def misuse_of_python(x):
    raise SystemError("returned NULL without setting an exception")


def make(function, written=kernels.first):
    """Make calls of a function of one array."""
    maker = kernels.of(function, kernels.vector, written)
    return [kernels.Call(0, number, functions={"it": maker}).make() for number in range(20)]


def test_every_function_of_the_kernels_that_takes_arguments_is_called_but_one_of_addresses():
    modules = atomic, blas, layer, loss, optim, plan, replay, special, system
    functions = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type(layer.relu_vjp)) and not name.startswith("_")
    }
    assert len(functions) > 20
    without = {"atomic.end_other_threads", "system.get_num_threads", "system.stack_size_given"}
    assert functions - {*kernels.FUNCTIONS} - without == {"blas.use"}


def test_a_kernel_without_a_fault_is_no_breach():
    refused = make(correct)
    assert any(refused)
    assert not all(refused)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (outside, "has changed after None"),
        (changed_before_an_error, "has changed after ValueError"),
        (bits_that_depend_on_the_address, "on copies"),
        (misuse_of_python, "raised SystemError"),
    ],
)
def test_a_planted_fault_is_a_breach_with_a_program_that_shows_it(function, text):
    with pytest.raises(Breach, match=text) as caught:
        make(function)
    assert "kernels.Call(0, " in caught.value.reproduction


def test_a_kernel_that_writes_to_an_input_is_a_breach():
    with pytest.raises(Breach, match="has changed after None"):
        make(correct, kernels.nothing)


def test_a_write_while_other_threads_change_an_array_is_a_breach():
    def write(x, y):
        x[...] = 1
        raise ValueError("too late")

    functions = {"it": kernels.of(write, lambda call: call.arrays_like((8,), 2))}

    def make_all(meddlers):
        for number in range(20):
            kernels.change_meanwhile(kernels.Call(0, number, None, functions), meddlers, str)

    with kernels.Meddlers() as meddlers, pytest.raises(Breach, match="while slot"):
        make_all(meddlers)


PROGRAM = """
import ctypes, random
from tests.campaign.kernels import Memory

memory = Memory()
x = memory.array(random.Random(0), (3,), "f8")
begin = memory.slots[0].ctypes.data
print(ctypes.string_at(begin, memory.slots[0].size).count(0xA5) > 0, flush=True)
ctypes.string_at({address}, 1)
"""


@pytest.mark.parametrize("address", ["begin - 1", "begin + memory.slots[0].size"])
def test_a_read_outside_of_the_guards_ends_the_process(address):
    command = [sys.executable, "-c", PROGRAM.format(address=address)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.stdout == "True\n"
    assert run.returncode == -11
