"""What the kernels say about themselves."""

import re
import threading

import pytest

from minidl._kernels import system


@pytest.fixture(autouse=True)
def unchanged_threads():
    before = system.get_num_threads()
    yield
    system.set_num_threads(before)


def test_the_compiler_is_named_with_its_version():
    assert re.search(r"(GCC|clang|MSVC) .*\d", system.compiler, re.IGNORECASE)


def test_openmp_is_the_date_of_its_standard_or_0():
    assert isinstance(system.openmp, int)
    assert system.openmp == 0 or re.fullmatch(r"(199|20\d)\d(0[1-9]|1[0-2])", str(system.openmp))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_is_kept_where_there_is_openmp(threads):
    system.set_num_threads(threads)
    assert system.get_num_threads() == (threads if system.openmp else 1)


def test_the_number_of_threads_holds_in_every_thread():
    other = threading.Thread(target=system.set_num_threads, args=[2])
    other.start()
    other.join()
    assert system.get_num_threads() == (2 if system.openmp else 1)


@pytest.mark.parametrize("threads", ["2", None])
def test_the_number_of_threads_is_a_whole_number(threads):
    with pytest.raises(TypeError):
        system.set_num_threads(threads)


@pytest.mark.parametrize("threads", [0, -1, -(2**31), system.max_threads + 1, 2**31 - 1])
def test_a_number_of_threads_that_no_kernel_can_use_is_refused(threads):
    before = system.get_num_threads()
    with pytest.raises(ValueError, match=f"must be from 1 to {system.max_threads}, got {threads}"):
        system.set_num_threads(threads)
    assert system.get_num_threads() == before


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({}, 0),
        ({"OMP_STACKSIZE": "4096"}, 4096 * 1024),
        ({"OMP_STACKSIZE": " 3 M "}, 3 * 1024**2),
        ({"OMP_STACKSIZE": "64k", "GOMP_STACKSIZE": "1g"}, 64 * 1024),
        ({"OMP_STACKSIZE": "large", "GOMP_STACKSIZE": "100000B"}, 100_000),
    ],
)
def test_the_stack_of_a_thread_has_the_size_that_openmp_reads(given, size, monkeypatch):
    for name in ("OMP_STACKSIZE", "GOMP_STACKSIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert system.stack_size_given() == size
