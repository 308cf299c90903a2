"""The campaign's part `sanitizers`: what it takes for a report of the kernels."""

import shutil

import pytest

from tests.campaign import sanitizers

RACE = """==================
WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 4 at 0x7b10 by thread T2:
    #0 .omp_outlined. <null> ({file}+0x1409)
=================="""
ERROR = "<error><kind>UninitCondition</kind><frame><obj>/x/{file}</obj></frame></error>"


@pytest.mark.parametrize(("tool", "text"), [("thread", RACE), ("memory", ERROR)])
def test_a_report_counts_if_it_names_a_module_of_the_kernels(tool, text):
    own, other = text.format(file="optim.abi3.so"), text.format(file="libopenblas.so")
    assert len(sanitizers.reports(tool, f"tests\n{other}\n{own}\n{other}\n")) == 1
    assert sanitizers.reports(tool, f"{other}\n{other}") == []


def test_each_run_has_a_tool_that_must_find_planted_faults_first():
    assert {tool for tool, *_ in sanitizers.RUNS} == {*sanitizers.FLAGS} == {*sanitizers.FAULTS}
    assert len(sanitizers.RUNS) == sanitizers.SEEDS


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library with faults, compiled for the address sanitizer."""
    folder = tmp_path_factory.mktemp("planted")
    compiler = sanitizers.compiler_of("address", folder)
    source, library = folder / "planted.c", folder / "planted.so"
    source.write_text(sanitizers.LIBRARY)
    sanitizers.execute(folder, {}, compiler, "-shared", "-fPIC", source, "-o", library)
    return library


@pytest.mark.skipif(not shutil.which("gcc"), reason="the sanitizers are those of GCC")
@pytest.mark.parametrize(("fault", "found"), [("outside", 1), ("overflow", 1), ("unwritten", 0)])
def test_a_planted_fault_is_reported_and_a_correct_call_is_not(library, fault, found):
    reports, output, _ = sanitizers.run("address", sanitizers.ROOT, "planted", fault, library)
    assert len(reports) == found, output
