"""A few faults in each public call that changes something: state is whole or untouched.

`python -m tests.faults` tries many more.
"""

import subprocess
import sys

import mutating
from cases import ROOT

QUICK = (
    r"^(Optimizer\.(step|load).*(Nadam|Sign|plateau)|FTRL|average w|clip_grad_norm|evaluate|gradch"
    r"|Tensor\.(back.*fused|data|__iadd)|Module\.(train|load)|no_grad|default_dtype|trace|Walk.*md)"
)


def test_every_public_call_that_changes_something_has_a_case():
    assert [*mutating.without_a_case()] == []


def test_a_fault_leaves_state_whole_or_untouched():
    command = [sys.executable, "-m", "tests.faults", "--most", "2", "--case", QUICK]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr
