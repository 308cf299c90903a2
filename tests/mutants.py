"""Mutation testing: make one error at a time, as a person would, and check that a test fails.

    python -m tests.mutants                # all of them, two at a time: about twenty minutes
    python -m tests.mutants --only Adam    # those with this word in their description
    python -m tests.mutants --write tests/proof/mutants.md

Each mutant is made in a copy of the project, whose kernels are rebuilt if it is in one, and the
tests of the file that it breaks run until one fails. pytest does not run this module.
"""

import argparse
import dataclasses
import multiprocessing.pool
import queue
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
KERNELS, RULES = "minidl/_kernels/optim.pyx", "minidl/optim/rules.py"
OPTIMIZER, DECLARATIONS = "minidl/optim/optimizer.py", "minidl/optim/declarations.py"
PYTHON_RULES, SAVED = "minidl/optim/python_rules.py", "minidl/optim/saved.py"

OPS, TENSOR, NN = (f"minidl/{name}.py" for name in ("ops", "tensor", "nn"))
SETTINGS, OPERANDS = "minidl/_settings.py", "minidl/_operands.py"
ATOMIC, BLAS, LAYER, LOSS, SYSTEM = (
    f"minidl/_kernels/{name}.pyx" for name in ("atomic", "blas", "layer", "loss", "system")
)
FIND_BLAS, INTERRUPTS = "minidl/_blas.py", "minidl/_interrupts.py"
EXPORT_GRAPH, C_HEADER = "minidl/export/graph.py", "minidl/export/c_header.py"
NUMPY_FILE, ONNX_FILE = "minidl/export/numpy_file.py", "minidl/export/onnx_file.py"
FORMAT, CHECKS = "minidl/_format.py", "minidl/_checks.py"
RECORDING, STEP = "minidl/_capture/recording.py", "minidl/_capture/step.py"
GUARDS = "minidl/_capture/guards.py"
PLAN, REPLAY = "minidl/_kernels/plan.pyx", "minidl/_kernels/replay.pyx"
SCHEDULES, CLIPPING, AVERAGING = (
    f"minidl/{name}.py" for name in ("schedulers", "optim/clipping", "optim/averaging")
)
TRAINING, TESTING = "minidl/training.py", "minidl/testing.py"
METRICS, EVALUATION = (f"minidl/{name}.py" for name in ("metrics", "evaluation"))
FIT_STEP, FIT_HOOKS, PLATEAUS, LOOP = (
    f"minidl/_fit/{name}.py" for name in ("step", "hooks", "plateaus", "loop")
)
ARCHIVE, CHECKPOINT, CALLBACKS, PROGRESS, HISTORY = (
    f"minidl/{x}.py" for x in ("_archive", "checkpoint", "callbacks", "_progress", "history")
)
SUMMARY = "minidl/_summary.py"
FILES, PLOTS, VERDICTS, RECORD, RECORDER = (
    f"minidl/{name}.py"
    for name in (
        "_files",
        "viz/plots",
        "viz/_race/verdicts",
        "walkthrough/record",
        "walkthrough/recorder",
    )
)
TESTS = {
    FILES: ["tests/test_files.py"],
    PLOTS: ["tests/viz/test_plots.py"],
    VERDICTS: ["tests/viz/_race/test_verdicts.py"],
    RECORD: ["tests/walkthrough/test_record.py"],
    RECORDER: ["tests/walkthrough/test_recorder.py"],
    "minidl/walkthrough/formulas.py": ["tests/walkthrough/test_record.py"],
    KERNELS: [
        "tests/_kernels/test_optim.py",
        "tests/optim/test_averaging.py",
        "tests/optim/test_rules.py",
    ],
    ATOMIC: ["tests/_kernels/test_atomic.py"],
    BLAS: ["tests/_kernels/test_blas.py"],
    FIND_BLAS: ["tests/test_blas.py", "tests/test_config.py"],
    LAYER: ["tests/_kernels/test_layer.py"],
    OPS: ["tests/test_ops.py", "tests/test_tensor.py"],
    TENSOR: ["tests/test_tensor.py", "tests/test_operands.py", "tests/test_nn.py"],
    NN: ["tests/test_nn.py"],
    SETTINGS: ["tests/test_settings.py", "tests/test_tensor.py"],
    OPERANDS: ["tests/test_operands.py"],
    "minidl/_loss_weights.py": ["tests/test_loss_weights.py"],
    LOSS: ["tests/_kernels/test_loss.py", "tests/_kernels/test_kernels.py"],
    SYSTEM: ["tests/_kernels/test_system.py", "tests/test_config.py"],
    RULES: ["tests/optim/test_rules.py"],
    OPTIMIZER: ["tests/optim/test_optimizer.py", "tests/optim/test_rules.py"],
    PYTHON_RULES: ["tests/optim/test_python_rules.py"],
    SAVED: ["tests/optim/test_saved.py"],
    DECLARATIONS: ["tests/optim/test_declarations.py"],
    SCHEDULES: ["tests/test_schedulers.py"],
    TRAINING: ["tests/test_training.py", "tests/_fit/test_loop.py"],
    EVALUATION: ["tests/test_evaluation.py", "tests/test_training.py"],
    FIT_STEP: ["tests/_fit/test_step.py", "tests/_fit/test_loop.py"],
    FIT_HOOKS: ["tests/_fit/test_hooks.py"],
    PLATEAUS: ["tests/_fit/test_plateaus.py"],
    LOOP: [
        "tests/_fit/test_loop.py",
        "tests/_fit/test_plateaus.py",
        "tests/test_training.py",
        "tests/test_checkpoint.py",
    ],
    "minidl/distributed/sums.py": ["tests/distributed/test_sums.py"],
    "minidl/distributed/draws.py": ["tests/distributed/test_draws.py"],
    "minidl/distributed/state.py": ["tests/distributed/test_state.py"],
    "minidl/distributed/loop.py": ["tests/distributed/test_loop.py"],
    ARCHIVE: ["tests/test_archive.py"],
    CHECKPOINT: ["tests/test_checkpoint.py"],
    CALLBACKS: ["tests/test_callbacks.py"],
    PROGRESS: ["tests/test_progress.py"],
    HISTORY: ["tests/test_history.py", "tests/test_evaluation.py"],
    INTERRUPTS: ["tests/test_interrupts.py", "tests/test_training.py"],
    "minidl/data/loader.py": ["tests/data/test_loader.py", "tests/test_training.py"],
    "minidl/data/batches.py": ["tests/data/test_batches.py", "tests/test_training.py"],
    "minidl/data/arrays.py": ["tests/data/test_arrays.py"],
    "minidl/data/weights.py": ["tests/data/test_weights.py"],
    "minidl/data/splitting.py": ["tests/data/test_splitting.py"],
    "minidl/data/scaling.py": ["tests/data/test_scaling.py"],
    METRICS: ["tests/test_metrics.py"],
    TESTING: ["tests/test_testing.py"],
    CLIPPING: ["tests/optim/test_clipping.py"],
    AVERAGING: ["tests/optim/test_averaging.py"],
    EXPORT_GRAPH: ["tests/export/test_graph.py", "tests/export/test_numpy_file.py"],
    C_HEADER: ["tests/export/test_c_header.py"],
    NUMPY_FILE: ["tests/export/test_numpy_file.py"],
    ONNX_FILE: ["tests/export/test_onnx_file.py"],
    FORMAT: ["tests/test_format.py"],
    SUMMARY: ["tests/test_summary.py"],
    CHECKS: ["tests/test_checks.py"],
    RECORDING: ["tests/_capture/test_recording.py", "tests/_capture/test_comparison.py"],
    STEP: ["tests/_capture/test_step.py", "tests/_capture/test_comparison.py"],
    GUARDS: [
        "tests/_capture/test_guards.py",
        "tests/_capture/test_recording.py",
        "tests/_capture/test_step.py",
    ],
    PLAN: [
        "tests/_kernels/test_plan.py",
        "tests/_capture/test_recording.py",
        "tests/_capture/test_step.py",
    ],
    REPLAY: [
        "tests/_kernels/test_replay.py",
        "tests/_capture/test_recording.py",
        "tests/_capture/test_step.py",
    ],
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """An error in a function or class of a file: one piece of text replaced by another."""

    file: str
    scope: str
    error: str
    old: str
    new: str

    def applied_to(self, text: str) -> str:
        """The file's text with the error in it; ValueError unless `old` occurs once."""
        begin = re.search(rf"^(?=[a-zA-Z]).*\b{self.scope}[(:\[ ]", text, re.M)
        if begin is None:
            raise ValueError(f"{self.file} has no {self.scope}")
        next_definition = re.compile(r"^[a-zA-Z@#]", re.M).search(text, begin.end())
        end = next_definition.start() if next_definition else len(text)
        body = text[begin.start() : end]
        if (times := body.count(self.old)) != 1:
            raise ValueError(f"{self.scope}: {self.error}: {self.old!r} occurs {times} times")
        return text[: begin.start()] + body.replace(self.old, self.new) + text[end:]


# file → function or class → (what is wrong, the right text, the wrong text)
ERRORS: dict[str, dict[str, list[tuple[str, str, str]]]] = {
    KERNELS: {
        "Update": [
            ("a resized array accepted", "data(<object> p.objects[k]) != p.a[k]", "False"),
            ("a locked array accepted", "k != 1 and not writable", "False and not writable"),
        ],
        "commit": [
            ("changes stay though a call failed", "revert(undo, len(undo))", "pass"),
        ],
        "ready": [
            ("read-only weights accepted", " and writable(theta[i])", ""),
            ("fewer gradients accepted", "len(theta) != len(g)", "False"),
        ],
        "Turns": [
            ("two turns at once commit", "self.busy or turn != self.turn", "self.busy"),
            (
                "a turn begins inside a call",
                "        self.enter(turn, False)\n        try:\n            return",
                "        self.check(turn)\n        try:\n            return",
            ),
        ],
        "Exchange": [
            ("own weights not given back", '(p, "_data", p._data)', '(p, "_data", array)'),
            ("a graph outlives its data", "p.version + 2", "p.version"),
            (
                "a change inside not noticed",
                "version + 1 != <unsigned long long> change[2]",
                "False",
            ),
        ],
        "effective": [
            ("maximize ignored", "sign * g + weight_decay * theta", "g + weight_decay * theta"),
            (
                "maximize flips the weight decay too",
                "sign * g + weight_decay * theta",
                "sign * (g + weight_decay * theta)",
            ),
            (
                "weight decay pushes weights away from 0",
                "sign * g + weight_decay * theta",
                "sign * g - weight_decay * theta",
            ),
        ],
        "damped_root": [
            (
                "ε inside the root instead of outside, and the reverse",
                "if eps_inside_sqrt else",
                "if not eps_inside_sqrt else",
            ),
        ],
        "stepped": [
            ("0 · ∞", "theta - lr * d if lr != 0 else flushed(theta)", "theta - lr * d"),
            ("subnormal weights kept at a rate of 0", "else flushed(theta)", "else theta"),
        ],
        "reset_if_zero": [
            ("0 · ∞", "if beta == 0:", "if False:"),
        ],
        "add_square": [
            ("overflow not limited", "largest if total > largest else total", "total"),
        ],
        "is_compatible": [
            ("shape and dtype not checked", " and alike(theta, array)", ""),
            ("read-only weights written", "(not written or writable(array))", "True"),
        ],
        "update_part": [
            (
                "the entries behind the last whole line left out",
                "p.size if part == parts - 1 else ",
                "",
            ),
            (
                "the entries before the first whole line left out",
                "if head and part == 0:",
                "if False:",
            ),
            (
                "the entries before the first whole line updated by each thread",
                "if head and part == 0:",
                "if head:",
            ),
            ("parts that overlap", "lines * part // parts", "lines * part // (parts + 1)"),
            ("subnormal numbers not flushed", "before = flush_subnormals()", "before = 0x1f80"),
            ("subnormal numbers flushed ever after", "    restore_mode(before)\n", ""),
        ],
        "check": [
            ("a repeated index accepted", "index <= last", "index < last"),
            ("an index one past the end accepted", "index < size", "index <= size"),
            ("negative indices accepted", "not 0 <= index < size", "index >= size"),
        ],
        "sgd_loop": [
            (
                "up instead of down",
                "stepped(theta[i], lr, effective",
                "stepped(theta[i], -lr, effective",
            ),
            (
                "first gradient dampened",
                "d if first else momentum * b[i] + one_minus_dampening * d",
                "momentum * b[i] + one_minus_dampening * d",
            ),
            ("1 − τ dropped", "momentum * b[i] + one_minus_dampening * d", "momentum * b[i] + d"),
            ("1 − μ for 1 − τ", "(1 - c[2])", "(1 - c[1])"),
            ("Nesterov: b for g", "d + momentum * b[i] if", "b[i] + momentum * b[i] if"),
            ("Nesterov: μ dropped", "d + momentum * b[i] if", "d + b[i] if"),
            (
                "Nesterov the wrong way round",
                "lr, d + momentum * b[i] if nesterov else b[i])",
                "lr, b[i] if nesterov else d + momentum * b[i])",
            ),
        ],
        "momentum_loop": [
            ("1 − β dropped", "one_minus_beta * effective", "effective"),
            (
                "β and 1 − β swapped",
                "beta * v[i] + one_minus_beta * effective",
                "one_minus_beta * v[i] + beta * effective",
            ),
            ("the gradient applied instead of v", "lr, v[i]", "lr, g[i]"),
        ],
        "nag_loop": [
            ("no look-ahead", "lr, beta * v[i] + d", "lr, v[i]"),
            ("gradient left out of the look-ahead", "lr, beta * v[i] + d", "lr, beta * v[i]"),
            ("1 − β dropped", "one_minus_beta * effective", "effective"),
        ],
        "adagrad_loop": [
            ("the last square instead of the sum", "G[i] + d * d", "d * d"),
            ("gradient summed without its weight decay", "G[i] + d * d", "G[i] + g[i] * g[i]"),
            ("gradient not squared", "G[i] + d * d", "G[i] + d"),
        ],
        "rmsprop_variant": [
            ("1 − α dropped", "one_minus_alpha * (d * d)", "(d * d)"),
            (
                "α and 1 − α swapped",
                "alpha * G[i] + one_minus_alpha * (d * d)",
                "one_minus_alpha * G[i] + alpha * (d * d)",
            ),
            ("centered: mean not squared", "g_mean[i] * g_mean[i]", "g_mean[i]"),
            ("centered: mean of the squares", "alpha * d\n", "alpha * (d * d)\n"),
            (
                "centered: a variance below 0 not clipped",
                "(0 if variance <= 0 else square)",
                "variance",
            ),
            (
                "centered: a variance that has overflowed taken for 0",
                "(0 if variance <= 0 else square)",
                "0",
            ),
            (
                "momentum as a moving average",
                "momentum * b[i] + d",
                "momentum * b[i] + (1 - momentum) * d",
            ),
            ("momentum reads G", "momentum * b[i] + d", "momentum * G[i] + d"),
        ],
        "adam_loop": [
            (
                "β₁ and β₂ swapped in m",
                "beta1 * m[i] + one_minus_beta1 * d",
                "beta2 * m[i] + one_minus_beta2 * d",
            ),
            (
                "β₁ and β₂ swapped in v",
                "beta2 * v[i] + one_minus_beta2 * (d * d)",
                "beta1 * v[i] + one_minus_beta1 * (d * d)",
            ),
            ("1 − β₁ dropped", "one_minus_beta1 * d", "d"),
            ("1 − β₂ dropped", "one_minus_beta2 * (d * d)", "(d * d)"),
            ("gradient not squared", "one_minus_beta2 * (d * d)", "one_minus_beta2 * d"),
            ("ε inside the root", "root(largest * scale2) + eps", "root(largest * scale2 + eps)"),
            (
                "ε before the correction of v",
                "root(largest * scale2) + eps",
                "(root(largest) + eps) * root(scale2)",
            ),
            ("no ε", "root(largest * scale2) + eps", "root(largest * scale2)"),
            ("no root", "root(largest * scale2) + eps", "largest * scale2 + eps"),
            ("m not corrected", "(lr / correction1)", "lr"),
            ("v not corrected", "(1 / correction2)", "1"),
            ("gradient applied instead of m", "step_size, m[i] /", "step_size, d /"),
            ("AMSGrad: the smallest v", "v_max[i] > largest", "v_max[i] < largest"),
            ("AMSGrad: the largest v not stored", "            v_max[i] = largest\n", ""),
            ("AMSGrad: the largest v written to v", "v_max[i] = largest\n", "v[i] = largest\n"),
            (
                "decoupled weight decay in the gradient too",
                "l2 = 0 if decoupled else <floating> weight_decay",
                "l2 = <floating> weight_decay",
            ),
            (
                "decoupled weight decay without the rate",
                "(1 - lr * weight_decay)",
                "(1 - weight_decay)",
            ),
            (
                "decoupled weight decay after the step",
                "stepped(shrink * theta[i],",
                "shrink * stepped(theta[i],",
            ),
        ],
        "nadam_loop": [
            (
                "factors of g and m swapped",
                "g_quarter * d + m_quarter * m[i]",
                "m_quarter * d + g_quarter * m[i]",
            ),
            ("the quarter not made up for", "(4 * lr)", "lr"),
            ("m instead of g", "g_quarter * d + m_quarter", "g_quarter * m[i] + m_quarter"),
            ("v not corrected", "root(v[i] * scale2) + eps", "root(v[i]) + eps"),
            ("ε inside the root", "root(v[i] * scale2) + eps", "root(v[i] * scale2 + eps)"),
            ("1 − β₂ dropped", "one_minus_beta2 * (d * d)", "(d * d)"),
            (
                "decoupled weight decay in the gradient too",
                "l2 = 0 if decoupled else <floating> weight_decay",
                "l2 = <floating> weight_decay",
            ),
        ],
        "adamax_loop": [
            (
                "sum instead of maximum",
                "decayed if decayed > magnitude else magnitude",
                "decayed + magnitude",
            ),
            (
                "minimum instead of maximum",
                "decayed if decayed > magnitude",
                "decayed if decayed < magnitude",
            ),
            ("no ε", "fabs(d) + eps", "fabs(d)"),
            ("u without the absolute value of g", "<floating> fabs(d)", "d"),
            ("β₁ for β₂ in u", "beta2 = <floating> c[2]", "beta2 = <floating> c[1]"),
            ("m not corrected", "(lr / correction1)", "lr"),
        ],
        "radam_loop": [
            ("ε inside the root", "(root(v[i]) + eps)", "root(v[i] + eps)"),
            (
                "no step before the rectification",
                "if rectification else m[i]",
                "if rectification else 0",
            ),
            ("rectification left out", "* rectification if", "if"),
            ("m not corrected", "(lr / correction1)", "lr"),
            ("β₁ for β₂ in v", "beta2 * v[i]", "beta1 * v[i]"),
            (
                "decoupled weight decay in the gradient too",
                "l2 = 0 if decoupled else <floating> weight_decay",
                "l2 = <floating> weight_decay",
            ),
        ],
        "adadelta_loop": [
            (
                "ε outside the roots",
                "root(D[i] + eps) / root(E[i] + eps)",
                "(root(D[i]) + eps) / (root(E[i]) + eps)",
            ),
            ("ε under one root alone", "root(E[i] + eps)", "root(E[i])"),
            (
                "roots the wrong way round",
                "root(D[i] + eps) / root(E[i] + eps)",
                "root(E[i] + eps) / root(D[i] + eps)",
            ),
            (
                "√(D + ε) left out",
                "(root(D[i] + eps) / root(E[i] + eps))",
                "(1 / root(E[i] + eps))",
            ),
            ("D reads E", "rho * D[i] + one_minus_rho", "rho * E[i] + one_minus_rho"),
            ("rate ignored", "stepped(theta[i], lr, delta)", "stepped(theta[i], 1, delta)"),
        ],
        "ftrl_entry": [
            (
                "squares of huge gradients overflow",
                "g = limit if g > limit else (-limit if g < -limit else g)",
                "g = g",
            ),
            (
                "dθ added",
                "- (new_root - old_root) * old_theta",
                "+ (new_root - old_root) * old_theta",
            ),
            ("dθ left out", " - (new_root - old_root) * old_theta", ""),
            ("gradient without α", "old_z + lr * g", "old_z + g"),
            ("subnormal weights kept", "flushed(theta[0])", "theta[0]"),
            ("weights changed at a rate of 0", " & (lr != 0)", ""),
            ("√n from before the update in the weight", "ridge + new_root", "ridge + old_root"),
            (
                "sign of the weight",
                "(-excess if new_z > 0 else excess)",
                "(excess if new_z > 0 else -excess)",
            ),
            ("z not shrunk by λ₁", "(-excess if new_z > 0 else excess)", "(-new_z)"),
            ("weight with a gradient of 0 updated", "g * g != 0", "True"),
            ("sign of the power", "pow(new_n, power)", "pow(new_n, -power)"),
        ],
        "ftrl_loop": [
            ("threshold λ₁ without α", "(lr * l1)", "l1"),
            ("λ₂ without α", "(beta + lr * l2)", "(beta + l2)"),
            ("λ₂ halved, as in Keras", "(beta + lr * l2)", "(beta + lr * l2 / 2)"),
            ("√ whatever the power", "power == 0.5", "True"),
        ],
        "ftrl_at_loop": [
            ("the k-th weight instead of the one at the k-th index", "i = indices[k]", "i = k"),
            ("√ whatever the power", "power == 0.5", "True"),
        ],
        "ftrl_at": [
            ("threshold λ₁ without α", "threshold = lr * l1", "threshold = l1"),
            (
                "indices changed while they are used",
                "indices, g = copy_of(indices), copy_of(g)",
                "g = copy_of(g)",
            ),
            (
                "gradients changed while they are used",
                "indices, g = copy_of(indices), copy_of(g)",
                "indices = copy_of(indices)",
            ),
            (
                "indices not checked",
                "    check(<const Py_ssize_t *>",
                "    0 and check(<const Py_ssize_t *>",
            ),
            ("more indices than gradients", "size_of(g) == size and ", ""),
            ("read-only state written", "writable(z) and ", ""),
            ("subnormal numbers not flushed", "before = flush_subnormals()", "before = 0x1f80"),
            ("subnormal numbers flushed ever after", "        restore_mode(before)\n", ""),
        ],
        "lion_loop": [
            (
                "β₂ for β₁ in the direction",
                "direction = beta1 * m[i] + one_minus_beta1 * d",
                "direction = beta2 * m[i] + one_minus_beta2 * d",
            ),
            (
                "β₁ for β₂ in m",
                "m[i] = beta2 * m[i] + one_minus_beta2 * d",
                "m[i] = beta1 * m[i] + one_minus_beta1 * d",
            ),
            ("sign of 0 is −1", "(-1 if direction < 0 else direction)", "-1"),
            (
                "no sign",
                "direction = 1 if direction > 0 else (-1 if direction < 0 else direction)",
                "direction = direction",
            ),
            ("maximize ignored", "d = sign * g[i]", "d = g[i]"),
            ("weight decay without the rate", "(1 - lr * weight_decay)", "(1 - weight_decay)"),
            (
                "weight decay into the gradient",
                "d = sign * g[i]",
                "d = sign * g[i] + <floating> weight_decay * theta[i]",
            ),
        ],
        "squared_norm_loop": [
            ("squared in float32", "<double> g[i] * <double> g[i]", "g[i] * g[i]"),
            ("first entry left out", "range(size)", "range(1, size)"),
        ],
    },
    ATOMIC: {
        "make": [
            ("changes stay though one failed", "revert(undo, done)", "pass"),
        ],
        "revert": [
            ("the first change not undone", "while done:", "while done > 1:"),
        ],
        "set_key": [
            ("a new key kept", "del (<dict> target)[key]", "pass"),
        ],
        "Block": [
            ("a block ends twice", "entry is None", "False"),
            ("the block around it forgotten", "self.entered = entry.outer", "self.entered = None"),
        ],
        "Variable": [
            ("left as it is without memory", "if tries == 0:", "if True:"),
            (
                "left as it is in another context",
                "except ValueError:  # in another context",
                "except KeyError:",
            ),
            (
                "set though setting failed",
                "            self.restore(entry)\n            raise",
                "            raise",
            ),
        ],
        "Session": [
            ("a session that ended is open", "value.open = False", "pass"),
            ("a variable reset in another context", "self.get() is value", "True"),
        ],
    },
    BLAS: {
        "multiply": [
            ("rows of a transposed matrix mistaken", "m if call.n[3] else k", "k"),
            ("b never transposed", "111 + <int> call.n[4]", "111"),
        ],
        "multiply_by_numpy": [
            ("an error of NumPy's dot lost", "        return 1", "        return 0"),
        ],
        "run_product": [
            (
                "no term is no sum",
                "    if k == 0:\n        memset",
                "    if False:\n        memset",
            ),
            ("sizes cut to 32 bits", "m > INT_MAX or k > INT_MAX or n > INT_MAX", "False"),
        ],
        "refusal": [
            ("an error is raised again", "failure, None", "failure, failure"),
        ],
        "in_c_order": [
            ("strided arrays refused", "else x.copy()", "else x"),
        ],
    },
    FIND_BLAS: {
        "NAMES": [
            ("MKL's 64-bit integers", '"cblas_{}gemm_64": True', '"cblas_{}gemm_64": False'),
        ],
        "paths_of_numpys": [
            ("no DLL of a wheel", '"*openblas*"', '"*none*"'),
            ("no DLL of conda", '"libcblas.dll"', '"none.dll"'),
        ],
        "find": [
            (
                "wrong products accepted",
                "not all(map(is_right, gemms, (ctypes.c_float, ctypes.c_double), (wide, wide)))",
                "False",
            ),
        ],
        "look_up": [
            ("one function of two is enough", "if all(gemms)", "if any(gemms)"),
            ("OpenBLAS's 64-bit integers", "wide or counts_in_64_bits(library)", "wide"),
        ],
        "file_of": [
            ("the file that was looked in", "place[0] or path", "path"),
        ],
    },
    LAYER: {
        "add_bias_loop": [
            (
                "rectified before the bias",
                "s = y[i * n + k] + b[k]",
                "s = (0 if y[i * n + k] <= 0 else y[i * n + k]) + b[k]",
            ),
            ("NaN becomes 0", "0 if s <= 0 else s", "s if s > 0 else 0"),
            ("the first bias for all", "+= b[k]", "+= b[0]"),
        ],
        "sum_rows_loop": [
            (
                "added up in the arrays' type",
                "cdef double[TILE] total",
                "cdef floating[TILE] total",
            ),
            ("first row left out", "for i in range(rows):", "for i in range(1, rows):"),
        ],
        "relu_vjp_loop": [
            ("open at 0", "y[i] > 0", "y[i] >= 0"),
            (
                "multiplied rather than selected",
                "passing if y[i] > 0 else 0",
                "passing * (y[i] > 0)",
            ),
        ],
    },
    OPS: {
        "half_in_single": [
            ("not rounded to float16", "_rounded(y, np.result_type(*arrays))", "y"),
            ("derivatives in float16", "f(single(g), *needs)", "f(g, *needs)"),
        ],
        "axes_of": [
            ("an axis one past the end accepted", "-n <= i < n", "-n <= i <= n"),
            ("an axis named twice accepted", "if i % n in axes:", "if i in axes:"),
            ("True taken for an axis", "isinstance(i, bool) or ", ""),
        ],
        "accumulate": [
            ("float32 summed in float32", "x.dtype.itemsize < 8", "x.dtype.itemsize < 4"),
        ],
        "_times": [
            ("NaN taken for 0 · ∞", " & ~np.isnan(a) & ~np.isnan(b)", ""),
        ],
        "power": [
            ("∂a: NaN where b is 0", "b - (b != 0)", "b - 1"),
            ("∂a: 0 · ∞", "_times(_times(g, b), a **", "np.multiply(_times(g, b), a **"),
            ("∂b: 0 at a = 0 whatever b", "((a == 0) & (b == 0))", "(a == 0)"),
            ("∂b: ∞ for −0", "np.where(a == 0, np.abs(y), y)", "y"),
        ],
        "sqrt": [
            ("0 / 0", "np.where((g == 0) & (y == 0), 1, 2 * y)", "(2 * y)"),
        ],
        "clip": [
            ("derivative 0 at the lower bound", "x >= lower", "x > lower"),
            ("derivative 0 at the upper bound", "x <= upper", "x < upper"),
            ("bounds of NaN accepted", "not lower <= upper", "lower > upper"),
        ],
        "mean": [
            (
                "rounded before the division",
                "_rounded(accumulate(x, axes, keepdims) / n, x.dtype)",
                "_rounded(accumulate(x, axes, keepdims), x.dtype) / n",
            ),
        ],
        "_deviation": [
            ("slope at 0 from rounding errors", "np.where(same, 0, ", "np.where(False, 0, "),
            ("divided by no entries", "if n <= ddof:", "if n < ddof:"),
        ],
        "_extremum_vjp": [
            ("0 · ∞", "np.where(hit, ", "np.multiply(hit, "),
        ],
        "_scaled": [
            ("squares that vanish", "(squares > 1e-280)", "(squares >= 0)"),
            ("squares that overflow", " & (squares < np.inf)", ""),
            ("∞ / ∞", "np.where(np.isinf(top), np.sign(x) * np.isinf(x), x / scale)", "x / scale"),
        ],
        "_norm": [
            ("0 / 0", "np.where(root == 0, 1, root)", "root"),
        ],
        "_shifted_exp": [
            ("∞ − ∞", "np.where(x == np.inf, 0, x - top)", "x - top"),
            ("−∞ − −∞", "np.where(top == -np.inf, 0, top)", "top"),
            ("summed in float32", "_sum(e, axes)", "np.sum(e, axis=axes, keepdims=True)"),
        ],
        "_reduced": [
            ("summed in float32", "accumulate(losses)", "np.sum(losses)"),
        ],
        "mae": [
            ("not divided by n", "(scale * g) * slope", "g * slope"),
        ],
        "huber": [
            ("half the error too much beyond delta", "0.5 * slope", "slope"),
            ("no lower bound", "np.maximum(error, -delta)", "error"),
        ],
        "binary_cross_entropy": [
            ("NaN for ∞ where the target agrees", "np.fmax((1 - t)", "np.maximum((1 - t)"),
            ("NaN for −∞ where the target agrees", "np.fmax(t *", "np.maximum(t *"),
        ],
        "gelu": [
            ("0 · ∞", "np.maximum(x, -40) * cdf", "x * cdf"),
        ],
        "silu": [
            ("0 · ∞", "np.maximum(x, -6e4) * s", "x * s"),
        ],
        "leaky_relu": [
            ("0 · ∞", "slope * x if slope else np.maximum(x, 0)", "slope * x"),
        ],
        "_dense": [
            ("∂x without the transpose", "_product(d, w, transpose_b=True)", "_product(d, w)"),
            (
                "rectifier left out of the gradient",
                "relu_vjp(d, y) if rectify",
                "relu_vjp(d, y) if False",
            ),
            ("a gradient that is not needed computed", "if needs_grad[0]", "if True"),
            ("bias of another shape accepted", "b.shape != w.shape[1:]", "b.size != w.shape[1]"),
        ],
        "getitem": [
            (
                "an entry taken twice gets one gradient",
                "np.add.at(full, key, g.astype(dtype))",
                "full[key] = g",
            ),
            (
                "gradients summed in half precision",
                "np.result_type(g, np.float64) if repeats else g.dtype",
                "g.dtype",
            ),
        ],
    },
    TENSOR: {
        "_index_part": [
            (
                "an index shared with the caller",
                "as_ndarray(_plain(part)).copy()",
                "as_ndarray(_plain(part))",
            ),
            ("an empty list read as floating", "return array.astype(np.intp)", "return array"),
            (
                "the bounds of a slice shared with the caller",
                "None if bound is None else operator.index(bound)",
                "bound",
            ),
            ("a masked array as an index", "if reason := refusal(part):", "if reason := None:"),
        ],
        "def where": [
            (
                "a condition shared with the caller",
                'read(_plain(condition), "where")[0].astype(bool)',
                'read(_plain(condition), "where")[0]',
            ),
        ],
        "_in_place": [
            ("a constant becomes a result", "self._computed or not result.is_leaf", "True"),
            ("recorded updates accepted", "if recording.get():", "if False:"),
        ],
        "replacement": [
            ("another shape accepted", "array.shape != tensor._data.shape", "False"),
            ("the values shared", "copied(array, tensor._data, tensor)", "array"),
            ("no new version", "tensor.version + 1", "tensor.version"),
        ],
        "class Tensor": [
            ("a result stays one", '"_computed": False, ', ""),
            (
                "gradients stored one by one",
                "if atomic.exchange([] if observer else found, changes):\n                return",
                "for change in changes:\n                setattr(*change)\n            return",
            ),
            (
                "no hint at .grad",
                "if self._computed:\n                    w",
                "if False:\n                    w",
            ),
            ("round with a graph", "None, None, True)", "None, None, False)"),
            (
                "half precision summed in itself at a result",
                "ops.single(arrived[source.id][1]) + grad",
                "arrived[source.id][1] + grad",
            ),
            (
                "half precision summed in itself at a leaf",
                "ops.single(leaves[source]) + grad",
                "leaves[source] + grad",
            ),
        ],
    },
    NN: {
        "class Module": [
            (
                "modules switched one by one",
                "atomic.assign([(vars(m)",
                "list(vars(m).update(training=on) for m in self.modules())\n"
                "        atomic.assign([(vars(m)",
            ),
            ("a buffer replaced by anything", "if name in self._buffers:", "if False:"),
            ("a name taken twice", "if hasattr(self, name):", "if False:"),
            (
                "buffers not loaded",
                "changes.append((vars(owners[owner]), attribute, array))",
                "pass",
            ),
            ("the state shared", "else x).copy()", "else x)"),
        ],
        "def _members": [
            ("results counted as parameters", " and not value._computed", ""),
            ("buffers forgotten", " or key in buffers", ""),
        ],
        "def _buffer": [
            ("the values shared", "np.array(array, dtype,", "np.asarray(array, dtype,"),
            ("fractions cut off", '"same_kind"', '"unsafe"'),
            ("integers made floating", 'floating or array.dtype.kind != "f"', "floating"),
        ],
        "class Dense": [
            (
                "a result cast to the layer's dtype",
                "x._computed or x.requires_grad",
                "x.requires_grad",
            ),
            ("a constant promotes", "elif not (x._computed", "elif False and not (x._computed"),
        ],
        "class Sequential": [
            (
                "the modules inserted one by one",
                "modules, i = list(self), 0",
                "modules, i = [], 0\n"
                "        for module in self:\n            modules.insert(len(modules), module)",
            ),
            ("the rectifier runs again", "i += 1 + fused", "i += 1"),
        ],
    },
    SETTINGS: {
        "_Setting": [
            ("a decorated generator records", "inspect.isgeneratorfunction(function)", "False"),
            ("a decorated coroutine records", "inspect.iscoroutinefunction(function)", "False"),
            ("asynchronous generators accepted", "inspect.isasyncgenfunction(called)", "False"),
            (
                "one setting for all threads",
                "with again():\n                    result",
                "with self:\n                    result",
            ),
        ],
        "_stepped": [
            (
                "what is thrown in is sent",
                "step, value = steps.throw, error",
                "step, value = steps.send, error",
            ),
        ],
    },
    OPERANDS: {
        "read": [
            ("a list has a dtype of its own", '(hasattr(data, "dtype")', "(True"),
            ("a table has none", ' or hasattr(data, "dtypes")', ""),
            ("masked values read", "if reason := refusal(data):", "if reason := None:"),
        ],
        "refusal": [
            ("lists not searched", "next(filter(None, map(refusal, data)), None)", "None"),
            ("nullable data not searched", "if nullable and np.any(data.isna()):", "if False:"),
            ("polars not searched", 'hasattr(data, "null_count")', "False"),
            ("a graph of PyTorch not noticed", 'hasattr(data, "grad_fn")', "False"),
        ],
        "array_of": [
            ("objects of nullable columns", 'hasattr(data, "dtypes")', "False"),
        ],
        "beside": [
            (
                "a detour through the default dtype",
                "np.result_type(*dtypes) if dtypes else",
                "False or",
            ),
            ("the wider dtype ignored", "np.result_type(*dtypes)", "dtypes[0]"),
            ("bytes left swapped", 'given[i].dtype.newbyteorder("=")', "given[i].dtype"),
        ],
    },
    "minidl/_loss_weights.py": {
        "weighted": [
            ("the mean divides by w alone", "np.sum(divisor)", "np.sum(w)"),
            ("a sum reports its weight", 'None if reduction == "sum" else False', "False"),
            ("a sum of 0 is let through", "np.finfo(np.float64).tiny", "0"),
        ],
        "as_weights": [("infinity is a weight", "np.finfo(np.float64).max", "np.inf")],
        "_balanced": [("absent classes are counted", "there.sum()", "there.size")],
    },
    LOSS: {
        "row_max": [
            (
                "rest left out",
                "for k in range(n // LANES * LANES, n):",
                "for k in range(n // LANES * LANES, n - 1):",
            ),
            ("smallest", "if x[k] > maximum", "if x[k] < maximum"),
        ],
        "row_sum": [
            (
                "rest left out",
                "for k in range(n // LANES * LANES, n):",
                "for k in range(n // LANES * LANES, n - 1):",
            ),
            ("in the arrays' type", "cdef double[LANES] sums", "cdef floating[LANES] sums"),
        ],
        "cross_entropy_rows": [
            ("not shifted", "out[k] = row[k] - shift", "out[k] = row[k]"),
            ("no 1 − smoothing at the label", "t += 1 - smoothing", "t += 1"),
            (
                "smoothing not divided by the number of classes",
                "smoothing * target_sum / classes",
                "smoothing * target_sum",
            ),
            ("mass of the target left out", "scale * target_sum / exp_sum", "scale / exp_sum"),
            ("0 · ∞", "if t != 0:", "if True:"),
            ("target not subtracted", "out[k] * factor - scale * t", "out[k] * factor"),
            (
                "probability of the label not subtracted",
                "out[labels[i]] * factor - scale",
                "out[labels[i]] * factor",
            ),
            ("gradient not scaled at the label", "* factor - scale\n", "* factor - 1\n"),
            ("loss of the largest", "below(row[labels[i]], shift)", "below(row[0], shift)"),
            ("∞ − ∞", "if shift == <floating> INFINITY:", "if False:"),
        ],
        "cross_entropy_loop": [
            ("last rows left out", "(n + block - 1) // block", "n // block"),
        ],
        "run_cross_entropy": [
            ("label one past the end", "< classes:", "<= classes:"),
            (
                "labels changed while they are used",
                "<const long long *> call.a[5]",
                "<const long long *> (call.a[1] if call.a[5] != NULL else NULL)",
            ),
            ("the total left unscaled in float32", "* scale)\n    else", ")\n    else"),
        ],
        "squared_errors": [
            (
                "error squared in the arrays' type",
                "<double> part * error\n    for k",
                "part * error\n    for k",
            ),
            ("slope left out", "gradient[k] = slope * part", "gradient[k] = part"),
            ("half the slope", "(2 * scale)", "(scale)"),
        ],
    },
    SYSTEM: {
        "extern": [
            ("threads not tried out", "while (count < n", "while (count < 0"),
            ("stack size ignored", "if (stack)", "if (0)"),
        ],
        "stack_size_given": [
            ("bytes for kilobytes", 'or "k"', 'or "b"'),
        ],
        "threads": [
            ("more threads than can be started", "number_of_threads = team + found // 2", "pass"),
            ("ended threads counted", "team = wanted if wanted > 1 else team", "pass"),
            ("no warning", "if number_of_threads < wanted:", "if False:"),
        ],
        "set_num_threads": [
            ("no thread at all", "not 1 <= n", "not 0 <= n"),
        ],
    },
    OPTIMIZER: {
        "Optimizer": [
            (
                "step count one too small",
                'columns["t"][indices[0]] + 1',
                'columns["t"][indices[0]]',
            ),
            (
                "one step count for all parameters",
                "self._prepare(group, lr, t,",
                "self._prepare(group, lr, self.t + 1,",
            ),
            (
                "parameters of different step counts updated together",
                "setdefault(keys[i], [])",
                "setdefault(keys[0], [])",
            ),
            ("the rate of the step after", "lr(t), high", "lr(t + 1), high"),
            ("steps not counted", '(vars(self), "t", self.t + 1)', '(vars(self), "t", self.t)'),
            ("changed weights not marked as changed", "p.version + 1", "p.version"),
            (
                "step counts of parameters changed before the step is made",
                'columns["t"].copy()',
                'columns["t"]',
            ),
            ("misspelled attributes accepted", "raise AttributeError(", "ValueError("),
            (
                "slots always start from 0",
                "chosen[slot.start] if slot.start else 0",
                "0",
            ),
            ("options of a group ignored", "{**given, **own}", "{**own, **given}"),
            (
                "frozen parameters updated",
                "if p.requires_grad and grads[i] is not None:",
                "if grads[i] is not None:",
            ),
            ("state_dict shares the state", "copy.deepcopy(\n", "dict(\n"),
            ("step count not loaded", '(vars(self), "t", t)', '(vars(self), "t", self.t)'),
            ("options not loaded", "in options.items()]", "in ()]"),
            ("slots not loaded", "changes.append((columns, name,", "print((columns, name,"),
            (
                "a plateau's memory not loaded into the one in use",
                'changes += memories(group.lr, saved["lr"])',
                "pass",
            ),
            ("a concurrent change of the state not noticed", "self._turns.check(turn)", "pass"),
            ("gradients of another dtype accepted", " or g.dtype != theta.dtype", ""),
            (
                "shape of the gradient not checked",
                "if g.shape != shape:",
                "if g.size != np.prod(shape):",
            ),
        ],
    },
    PYTHON_RULES: {
        "results": [
            ("state of a user's rule changed in place", "[a.copy() for a in arrays]", "arrays"),
            ("weights of a user's rule changed in place", "[p.copy() for p in start]", "start"),
            ("weight decay of a user's rule ignored", "if decay and not decoupled:", "if False:"),
            ("maximize of a user's rule ignored", "-g if group.maximize else g", "g"),
            ("weight decay applied twice", '"weight_decay": 0.0, ', ""),
            ("maximize applied twice", ', "maximize": False', ""),
            ("rebinding accepted", "same and not skips and", "False and"),
            ("a skipped step is an error", "not skips and ", ""),
            ("NumPy's False taken for a step", "bool | np.bool_", "bool"),
            ("what update writes elsewhere is lost", "_contents(own_arrays) != kept", "False"),
            ("idle steps of every rule not counted", "and optimizer.idle_at_rate_0", ""),
        ],
        "_would_move": [
            ("NaN taken for a step", "np.isfinite(d).all() for", "True for"),
            ("a step below the resolution taken for one", "a - lr * d, a", "lr * d, 0 * a"),
        ],
    },
    SAVED: {
        "step_count": [
            ("any large number accepted", "t >= 2**53", "t >= math.inf"),
        ],
        "copied": [
            ("the state given is shared", "np.array(value", "np.asarray(value"),
            ("masked values loaded", "isinstance(value, np.ma.MaskedArray)", "False"),
        ],
    },
    DECLARATIONS: {
        "two_fractions": [
            (
                "β = 1 accepted",
                'fraction(rule, f"{name}[1]", value[1])',
                'number(rule, f"{name}[1]", value[1])',
            ),
        ],
        "Option": [
            (
                "rate set in the last group alone",
                "for group in optimizer.groups]",
                "for group in optimizer.groups[-1:]]",
            ),
        ],
    },
    RULES: {
        "SGD": [
            ("first step at t = 0", "t == 1", "t == 0"),
            ("Nesterov without momentum accepted", 'if chosen["nesterov"] and', "if False and"),
        ],
        "Adagrad": [
            ("lr_decay one step early", "(t - 1) * group.lr_decay", "t * group.lr_decay"),
            ("lr_decay multiplied", "lr /= 1", "lr *= 1"),
        ],
        "RMSprop": [
            ("ε instead of α", "group.alpha, group.eps", "group.eps, group.alpha"),
        ],
        "Adam": [
            ("β₁ and β₂ swapped", "beta1, beta2 = group.betas", "beta2, beta1 = group.betas"),
            ("corrections swapped", "1 - beta1**t, 1 - beta2**t", "1 - beta2**t, 1 - beta1**t"),
            (
                "corrections of the first step for ever",
                "1 - beta1**t, 1 - beta2**t",
                "1 - beta1, 1 - beta2",
            ),
            (
                "corrections one step late",
                "1 - beta1**t, 1 - beta2**t",
                "1 - beta1 ** (t + 1), 1 - beta2 ** (t + 1)",
            ),
            (
                "corrections formed in float32",
                "1 - beta1**t, 1 - beta2**t",
                "(float(1 - np.float32(b) ** t) for b in group.betas)",
            ),
        ],
        "AdamW": [
            ("weight decay coupled", "decoupled = True", "decoupled = False"),
            ("another default of the weight decay", "1e-2", "1e-1"),
        ],
        "Nadam": [
            ("½ dropped", "** (s * group.momentum_decay) / 2", "** (s * group.momentum_decay)"),
            ("μ of the step before", "(t, t + 1)", "(t - 1, t)"),
            ("momentum_decay ignored", "s * group.momentum_decay", "s * 0.004"),
            ("0.9 for 0.96", "0.96 **", "0.9 **"),
            ("last μ instead of the product", "mu_product[0].item() * mu", "mu"),
            ("product without μ_{t+1}", "1 - product * mu_next", "1 - product"),
            ("v corrected one step late", "1 - beta2**t", "1 - beta2 ** (t + 1)"),
        ],
        "Adamax": [
            ("m corrected by β₂", "1 - beta1**t", "1 - beta2**t"),
        ],
        "RAdam": [
            ("rectified from ρ > 4", "rho > 5", "rho > 4"),
            ("rectified from ρ > 6", "rho > 5", "rho > 6"),
            ("2 dropped in ρ_t", "rho_max - 2 * t", "rho_max - t"),
            ("1 dropped in ρ∞", "2 / (1 - beta2) - 1", "2 / (1 - beta2)"),
            (
                "r not rooted",
                "math.sqrt(now / limit * correction2)",
                "(now / limit) * math.sqrt(correction2)",
            ),
            ("v not corrected", "now / limit * correction2", "now / limit"),
            ("r upside down", "now / limit", "limit / now"),
        ],
        "FTRL": [
            ("warm start at each step", "t == 1 and group.warm_start", "group.warm_start"),
            ("warm start though switched off", "t == 1 and group.warm_start", "t == 1"),
            ("warm start: sign of λ₁", "- np.sign(theta_0) * lr", "+ np.sign(theta_0) * lr"),
            ("warm start without λ₂", " + lr * group.l2", ""),
            ("warm start without √n₀", "group.beta + n_0**-group.lr_power", "group.beta"),
            (
                "sparse steps not counted",
                '(vars(self), "t", self.t + 1)',
                "(vars(self), 't', self.t)",
            ),
            (
                "a step at rate 0 changes state",
                "lr == 0:\n            return []\n",
                "False:\n            return []\n",
            ),
            (
                "a sparse step at rate 0 counts",
                "lr == 0:\n            return [], c",
                "False:\n            return [], c",
            ),
            ("a sparse step without the subclass's update", "if self.in_python:", "if False:"),
            ("sparse step with weight_decay accepted", "if group.weight_decay:", "if False:"),
        ],
        "Lion": [
            ("β₁ and β₂ swapped", "*group.betas", "*group.betas[::-1]"),
        ],
    },
    RECORDING: {
        "Recording": [
            (
                "a changed variable accepted",
                "if not replay.same(container, key, value):",
                "if False:",
            ),
            (
                "gradients from before not kept apart",
                "        if leaf in self.zeroed:\n",
                "        if False:\n",
            ),
        ],
    },
    STEP: {
        "capture": [
            (
                "one recording is enough",
                "if what := difference(first[2], recording):",
                "if what := None:",
            ),
        ],
    },
    GUARDS: {
        "Guards": [
            ("entries not followed", 'self.add(value, key, entry, f"{name}[{key!r}]")', "pass"),
            ("lengths not guarded", "self.append((value, LENGTH, len(value), name))", "pass"),
        ],
        "random_states": [
            ("global random numbers not seen", "standard()", "None"),
        ],
    },
    PLAN: {
        "run_ufunc": [("the first row for all", "+ row * call.n[2 + k]", "+ 0 * call.n[2 + k]")],
        "copied": [
            (
                "not copied in a replay",
                "return plan.overwrite(before, array, owner)",
                "return before",
            ),
        ],
    },
    REPLAY: {
        "same": [
            ("1 taken for True", "type(now) is type(value) and ", ""),
            (
                "a number more not seen",
                "return len(container) == <Py_ssize_t> value",
                "return True",
            ),
        ],
        "Runner": [
            (
                "a gradient that is kept written again",
                "(Py_REFCNT(array) & 0xffffffff) > 2 + gradient.held",
                "False",
            ),
            ("the rate of step t for step t + 1", "t += 1 + one", "t += one"),
            ("versions not counted", "p.version = later(p.version, times)", "pass"),
            ("the steps not counted", 'attributes["t"] = later(attributes["t"], times)', "pass"),
            (
                "entries not checked",
                "                if not same(entry[0], entry[1], entry[2]):",
                "                if False:",
            ),
            (
                "frozen parameters not noticed",
                "leaf.tensor._requires_grad is not leaf.requires_grad",
                "False",
            ),
            ("settings not noticed", "getters[i]() is not settings[i]", "False"),
        ],
        "gather": [
            (
                "the first row for all",
                "<const int *> source + rows[i]",
                "<const int *> source + rows[0]",
            )
        ],
    },
    TRAINING: {
        "fit": [
            ("Ctrl-C at the very end forgotten", "|= loop.pressed", "|= False"),
            (
                "mode max not refused before the training",
                "check_monitored(plateaus_of(optimizer))",
                "pass",
            ),
            ("limits counted from now when resumed", "(0, 0) if history is None", "(1, 1) if True"),
        ],
        "_check_share": [
            ("another share resumed", "if own == saved:", "if True:"),
        ],
        "_check_parameters": [
            ("a frozen model refused", "any(p.requires_grad for p in own)", "own"),
            ("every parameter must be the model's", "not any(id(p) in", "not all(id(p) in"),
        ],
        "_history": [
            ("another optimizer resumed", "resume.optimizer_steps != steps", "False"),
            ("a callback that was not loaded resumed", "resume.not_loaded(callbacks)", "None"),
            (
                "a loader that was not loaded resumed",
                "batches._check_resumable(",
                "(lambda *_: None)(",
            ),
        ],
        "_validation": [
            ("the samples held out are trained on", "batches._part(kept)", "batches"),
        ],
    },
    "minidl/distributed/sums.py": {
        "halves": [("a tree of another shape", "(end - begin - 1).bit", "(end - begin).bit")],
        "nodes": [("all shards one by one", "begin and end <= shards.stop", "begin == end - 1")],
        "pairwise": [("nothing released", "    release(right)\n", "")],
    },
    "minidl/distributed/draws.py": {
        "distance": [("the increment not doubled", "(a + 1) * c & MASK", "c")],
        "Draws": [
            ("generators stay where they were", "bits.advance(count * rows)", "pass"),
            ("draws out of proportion not noticed", '!= state["state"]', "is None"),
        ],
    },
    "minidl/distributed/state.py": {
        "StateInParts": [
            ("rules that mix elements taken", "if optimizer.in_python:", "if False:"),
            (
                "a clipped gradient ignored",
                "if whole:\n                    g = piece",
                "if False:\n                    g = piece",
            ),
            ("the step not counted", "optimizer.t + 1)", "optimizer.t)"),
        ],
    },
    "minidl/distributed/loop.py": {
        "DistributedLoop": [
            ("a last batch divided by its shards", "divisor = None if sums", "divisor = 2 if sums"),
            ("a loss that isn't finite taken", "if not math.isfinite(value):", "if False:"),
            ("each rank with its own masks", "self.draws.move(shard.before)", "pass"),
        ],
    },
    EVALUATION: {
        "by_batch": [
            ("dropout in the validation", "with evaluating, evaluating:", "if True:"),
        ],
        "mean_loss": [
            ("losses of batches weigh the same", "else loss * own", "else loss"),
            ("sums averaged", "total if sums else total / weight", "total / weight"),
        ],
        "_predicted": [
            ("a graph for predictions", "with no_grad():", "if True:"),
        ],
        "weight_of": [
            ("the weights of a loss ignored", "count if weight is False else weight", "count"),
        ],
    },
    FIT_STEP: {
        "record_step": [
            ("a step that was not taken recorded", "history.step_loss[steps:], ", ""),
        ],
        "update": [
            ("a missing gradient not explained", "if not parameters or any(", "if True or any("),
        ],
        "backward_pass": [
            ("the gradients of each batch alone", "if first:", "if True:"),
            ("batches of a step weigh the same", "if scaled and weight is not None:", "if False:"),
        ],
    },
    LOOP: {
        "Loop": [
            ("a mean not divided by its weight", "self.divide(weight)", "pass"),
            (
                "callbacks in training mode",
                "mode(self.modules, training=False)[1]:\n            if",
                "mode(self.modules, training=True)[1]:\n            if",
            ),
            ("a layer added by a callback not switched", "modules_of(self.model)  # call", "[] # "),
            (
                "a plateau shown the training loss though there is a validation loss",
                "history.validation if validated else history.loss",
                "history.loss",
            ),
            ("a training that was ended goes on", "and not history._ended:", ":"),
            ("the place of a loader is what was given out", "self.batches._taken = ", "_ = "),
        ],
    },
    FIT_HOOKS: {
        "ends_training": [
            ("NumPy's truth values refused", "bool | np.bool_", "bool"),
            ("an array of several entries accepted", " and verdict.shape == ()", ""),
            ("a coroutine left waiting", "verdict.close()", "pass"),
        ],
    },
    PLATEAUS: {
        "Plateaus": [
            (
                "a plateau shown the loss beside the metric",
                "== self.before.get(id(p), 0)",
                ">= 0",
            ),
        ],
        "plateaus_of": [
            ("a plateau of two groups shown the loss twice", "{id(p): p for", "{object(): p for"),
        ],
    },
    ARCHIVE: {
        "def read": [
            ("damage of the text not noticed", ".encode() == raw[end:]", ".encode() != b''"),
            ("damage of arrays not noticed", "archive.testzip() is None", "archive.testzip"),
        ],
        "def put": [
            ("names that meet overwrite each other", "while name in arrays or", "while"),
            ("a name that np.load takes for another", 'or name.endswith(".npy")', ""),
        ],
    },
    CHECKPOINT: {
        "_model_changes": [
            ("other shapes not named", "if kinds[0] != kinds[1]:", "if False:"),
            (
                "random generators not loaded",
                'changes.append((generator.bit_generator, "state", saved[name]))',
                "pass",
            ),
        ],
        "_rule_changes": [
            ("a plateau forgets", '"memory", PlateauMemory(**memory)', '"memory", p.memory'),
            ("a plateau forgets what it observed", '"observations", seen', '"observations", 0'),
        ],
        "def load": [
            ("callbacks half loaded", "callback.load_state_dict(before)", "pass"),
        ],
        "def _is_known": [
            ("a user's schedule is taken for minidl's", "return parsed == rate", "return True"),
        ],
        "def _schedule": [
            ("a schedule of the user is replaced", "        return own\n", "        pass\n"),
        ],
    },
    CALLBACKS: {
        "_Monitor": [
            ("a small change counts", " - self.min_delta", ""),
            ("less is always better", "1 if self.mode == ", "1 if True or self.mode == "),
        ],
        "EarlyStopping": [
            ("one epoch too late", "+ 1 >= self.patience", "+ 1 > self.patience"),
            ("the last weights stay", "if stops else []", "if False else []"),
        ],
        "Checkpoint": [
            ("before the others", "after_others = True", "after_others = False"),
            ("every epoch", "training.epoch % self.every", "False"),
        ],
        "Average": [
            (
                "validated with the model's own weights",
                "return self.average\n\n    def state",
                "return nullcontext()\n\n    def state",
            ),
        ],
        "RateFinder": [
            ("the mean of few losses too small", " / (1 - 0.9**k)", ""),
            ("nothing put back", "self._restore()", "pass"),
        ],
        "_steepest": [
            ("the first means choose the rate", "slope[w:].argmin()", "slope.argmin()"),
        ],
        "_snapshot": [
            ("the place in the epoch lost", "for name, value in place.items()", "for _ in ()"),
            ("other callbacks changed", "callback.load_state_dict(own_state)", "pass"),
            ("a copy of the schedule", '(vars(group), "lr", group["lr"]), *m', "*m"),
        ],
    },
    PROGRESS: {
        "Lines": [
            ("the last line missing", "if self.waiting:", "if False:"),
        ],
    },
    HISTORY: {
        "History": [
            ("an epoch of sums averaged", "if self._sums", "if False"),
            ("the epoch that runs not saved", "if epoch is not None:", "if False:"),
        ],
    },
    INTERRUPTS: {
        "assigned": [
            (
                "the way out of a block not protected",
                "atomic.Assigned(atomic.found(changes))",
                "atomic.Assigned([])",
            ),
        ],
        "CtrlC": [
            ("the second Ctrl-C waits too", "self.presses > 1", "self.presses > 2"),
            ("Ctrl-C raises outside the loop", "if self.raises and", "if"),
            ("an ignored signal handled", "if main and not ignored", "if main"),
        ],
    },
    "minidl/data/loader.py": {
        "DataLoader": [
            ("the first epoch of a loaded state in order", " and known:", ":"),
            ("an epoch continued twice", "            place.continues = False\n", ""),
            ("a state that shares its arrays", "copy.deepcopy(place.start)", "place.start"),
            ("too many batches taken", "if taken > most:", "if False:"),
            (
                "a part with a place of its own",
                "self._place, self._samples\n        return loader\n\n    def _held",
                "loader._place, self._samples\n        return loader\n\n    def _held",
            ),
        ],
    },
    "minidl/data/batches.py": {
        "Batches": [
            ("batches counted from 0", "enumerate(self.source, 1)", "enumerate(self.source)"),
            ("no batches accepted", "if not number:", "if False:"),
            ("a list checked only when it is trained on", "self.source = list(self)", "pass"),
        ],
        "as_batches": [
            ("an iterator for several epochs", "and epochs > 1", "and epochs > 10**9"),
            ("an array taken for its rows", 'or hasattr(data, "shape")', ""),
        ],
        "_are_batches": [
            ("two pairs in a list stacked", "return True", "return False"),
            (
                "unclear pairs stacked",
                'if any(hasattr(part, "shape")',
                'if False and any(hasattr(part, "shape")',
            ),
        ],
    },
    "minidl/data/arrays.py": {
        "as_array": [
            ("masked and missing values accepted", "_operands.refusal(values)", "None"),
        ],
    },
    "minidl/data/weights.py": {
        "as_weights": [("infinite weights accepted", "np.isfinite(array) & ", "")],
        "balanced_weights": [
            ("classes without samples left out", "if len(gaps):", "if False:"),
        ],
    },
    "minidl/data/splitting.py": {
        "_stratified": [
            ("no remainders", "(exact - shares) - 1e9", "0 * exact - 1e9"),
            (
                "a label left out of a part",
                "astype(int), 1, counts - 1)",
                "astype(int), 0, counts)",
            ),
        ],
    },
    "minidl/data/scaling.py": {
        "Standardize": [
            ("a mean with rounding errors", "mean += off", "pass"),
            ("a deviation of 0", "deviation[deviation == 0] = 1.0", "pass"),
            ("a constant column with a rounded mean", "np.where(same, columns[0], mean)", "mean"),
            (
                "a float64 tensor scaled in float32",
                "self.mean.astype(x.dtype)",
                "self.mean.astype(np.float32)",
            ),
            ("a gradient lost", "isinstance(x, Tensor) and x.requires_grad", "False"),
            (
                "raw data where it was not fitted",
                "np.isnan(plain((self.mean, self.deviation)))",
                "np.array(0)",
            ),
        ],
    },
    EXPORT_GRAPH: {
        "graph_of": [
            ("a second run with the same inputs", "* dtype.type(0.5) + dtype.type(0.25)", ""),
        ],
        "_dtype": [("mixed dtypes accepted", "len(dtypes) > 1 or", "")],
        "_features": [("only the first layer asked", "return _features(module)", "break")],
        "_Run": [
            ("a model in training mode", "with evaluating, evaluating, np", "with np"),
            ("a mean rounded to float32", "module.mean.copy()", "np.float32(module.mean)"),
            ("own ops accepted", "if function not in EXPORTED:", "if False:"),
            ("another dtype accepted", "if result.dtype != self.dtype:", "if False:"),
            ("values without columns", "or not shape[1]", ""),
            ("the variance of a population", 'n - options["ddof"]', "n"),
            ("weights from the input", "any(isinstance(x, int) for x in values[1:])", "False"),
            ("any axis of a softmax", 'options["axis"] not in (-1, 1, (-1,), (1,))', "False"),
            ("any step of columns", "part.step not in (None, 1)", "False"),
            ("constants that are views", "np.array(array)", "np.asarray(array)"),
        ],
        "_compare": [
            ("other constants accepted", "not np.array_equal(c, d, equal_nan=True)", "False"),
            (
                "other ops accepted",
                "(a.op, a.values, a.options) !=",
                "(b.op, b.values, b.options) !=",
            ),
        ],
        "_reached": [("unused steps kept", "used = {output}", "used = {*range(len(steps) + 1)}")],
        "_check_constants": [("NaN accepted", "np.isfinite(constant).all()", "True")],
    },
    C_HEADER: {
        "_Header": [
            ("no bias", 'self._array(step, b[0]) if b else "0"', '"0"'),
            ("weights row by row", "self._array(step, w.T)", "self._array(step, w)"),
            ("the lost part of a mean added", "mean - high", "high - mean"),
            (
                "a value of width 1 read as a row",
                "'i' if self.widths[x] == step.width else 0",
                "'i'",
            ),
            ("bytes as numbers", "4 * len(numbers)", "len(numbers)"),
            ("a deviation of 0", "not _single(step, deviation).all()", "False"),
        ],
        "_single": [("infinite weights", "if not np.isfinite(rounded).all():", "if False:")],
        "_clip": [("bounds exchanged", "a > {bounds['high']}", "a < {bounds['high']}")],
        "_places": [
            ("a buffer reused too early", "last[x] == number]", "last[x] >= number]"),
            ("an input overwritten", "if x and last[x] == number", "if last[x] == number"),
            ("a value overwritten that is needed", "last[x] == number and widths", "widths"),
            ("no buffer reused", "free += [", "sizes[:0] + ["),
        ],
    },
    NUMPY_FILE: {
        "_expression": [
            ("columns rounded first", 'names[0] = "x"', "pass"),
            ("float32 means", '"float64" if step.op == "standardize" else', ""),
            ("no bias", "*names[2:]", ""),
        ],
    },
    ONNX_FILE: {
        "_Builder": [
            ("a fixed batch", '["N", width]', "[1, width]"),
            ("float32 means", "np.dtype(np.float64) if", "own if"),
            ("no slope", "step.options.items() if key in names", "()"),
            ("bounds left out", '["" if b is None else', '["" if True else'),
        ],
    },
    SUMMARY: {
        "table": [
            ("count a tied parameter twice", "if first == place:", "if first:"),
            ("count a frozen parameter as trainable", "own[_kind(x)]", 'own["trainable"]'),
            ("four bytes an entry", "x.dtype.itemsize", "4"),
            ("list an inner module as an array", "if id(x) in inner:", "if id(x) == id(module):"),
            ("omit the column of buffers", "if totals[kind] or", 'if kind == "frozen" or'),
        ],
        "_lines": [
            ("a wider table", "WIDTH - max", "90 - max"),
            ("keep long headings", "if len(heading) <= width else", "if heading else"),
        ],
        "_wrapped": [("break a shape", 'replace(" ", "\\xa0")', 'replace(" ", " ")')],
    },
    METRICS: {
        "auc": [
            ("ties count as wins", "below - zeros + zeros / 2", "below"),
            ("rounding above 1", "min(float(", "max(float("),
            ("one class accepted", "if pairs == 0:", "if False:"),
        ],
        "confusion_matrix": [
            (
                "rows are predictions",
                "labels * classes + predicted",
                "predicted * classes + labels",
            ),
        ],
        "r2": [
            (
                "a constant target by rounding",
                "constant = np.all(t == t[0], axis=0)",
                "constant = variation == 0",
            ),
        ],
        "_classes": [
            ("a logit of 0 is class 1", "logits > 0", "logits >= 0"),
        ],
        "_values": [
            ("weights of 0 counted", "counted = weights > 0", "counted = weights >= 0"),
        ],
    },
    TESTING: {
        "gradcheck": [
            ("the data varied in place", "x.data.copy()", "x.data"),
            (
                "the way out of the block not protected",
                "atomic.Assigned(atomic.found(changes))",
                "atomic.Assigned([])",
            ),
        ],
    },
    SCHEDULES: {
        "SHAPES": [
            ("cosine: ½ dropped", "(1 - math.cos(math.pi * u)) / 2", "1 - math.cos(math.pi * u)"),
            ("one_minus_sqrt: square for root", "math.sqrt,", "lambda u: u * u,"),
        ],
        "StepDecay": [
            ("one step early", "t // self.every", "(t + 1) // self.every"),
            ("one step late", "t // self.every", "max(t - 1, 0) // self.every"),
            ("one factor too many", "t // self.every)", "t // self.every + 1)"),
        ],
        "_DecayByRate": [
            ("staircase the wrong way round", "if self.staircase", "if not self.staircase"),
        ],
        "ExponentialDecay": [
            (
                "a product for a power",
                "self.rate ** self._periods(t)",
                "self.rate * self._periods(t)",
            ),
        ],
        "InverseTimeDecay": [
            (
                "1 dropped",
                "(1 + self.rate * self._periods(t))",
                "(self.rate * self._periods(t) or 1)",
            ),
        ],
        "_DecayTo": [
            ("not clamped at the end", "min(t, self.steps) / self.steps", "t / self.steps"),
            (
                "one step short",
                "min(t, self.steps) / self.steps",
                "min(t + 1, self.steps) / self.steps",
            ),
            ("end added on top", "(self.lr - self.end)", "self.lr"),
        ],
        "LinearDecay": [
            ("rising", "return 1 - u", "return u"),
        ],
        "PolynomialDecay": [
            ("power of the fraction done", "(1 - u) ** self.power", "1 - u**self.power"),
            ("power ignored", "(1 - u) ** self.power", "1 - u"),
        ],
        "CosineDecay": [
            ("½ dropped", "_cosine_fall(u)", "2 * _cosine_fall(u)"),
        ],
        "_cosine_fall": [
            ("half a period too long", "math.cos(math.pi * u)", "math.cos(2 * math.pi * u)"),
        ],
        "CosineRestarts": [
            ("restart one step late", "while t >= length", "while t > length"),
            ("periods don't grow", "length * self.multiply", "length"),
            (
                "periods grow by a sum",
                "length * self.multiply",
                "length + self.steps * self.multiply",
            ),
            ("first period decayed", "self.decay**period", "self.decay ** (period + 1)"),
            ("decay ignored", " * self.decay**period", ""),
            ("period of the first length for ever", "(t / length)", "(t / self.steps)"),
        ],
        "InverseSqrtDecay": [
            ("never flat", "max(t, self.steps))", "max(t, 1))"),
            (
                "no root",
                "math.sqrt(self.steps / max(t, self.steps))",
                "(self.steps / max(t, self.steps))",
            ),
        ],
        "PiecewiseConstant": [
            ("boundary to the right", "bisect.bisect_left", "bisect.bisect_right"),
            ("equal boundaries accepted", "a >= b for", "a > b for"),
            ("as many values as boundaries", "len(self.boundaries) + 1:", "len(self.boundaries):"),
        ],
        "Triangular": [
            (
                "a plateau at the top",
                "min(u, 2 * self.half_period - u)",
                "min(u, self.half_period)",
            ),
            (
                "period of half the length",
                "divmod(t, 2 * self.half_period)",
                "divmod(t, self.half_period)",
            ),
            ("decay from the first period on", "self.decay**period", "self.decay ** (period + 1)"),
            ("low left out", "return self.low + ", "return "),
        ],
        "OneCycle": [
            (
                "peak one step late",
                "self.start_fraction * self.steps - 1",
                "self.start_fraction * self.steps",
            ),
            (
                "end one step late",
                "top, last, t = self.start_fraction * self.steps - 1, self.steps - 1,",
                "top, last, t = self.start_fraction * self.steps - 1, self.steps,",
            ),
            (
                "final_factor of the peak",
                "first / self.final_factor",
                "self.peak / self.final_factor",
            ),
            ("not clamped at the end", "min(t, self.steps - 1)", "t"),
            ("linear on the way up", 'if top > 0 else 1, "cosine"', 'if top > 0 else 1, "linear"'),
        ],
        "WarmUp": [
            ("one step short", "t / self.steps, self.shape", "(t + 1) / self.steps, self.shape"),
            ("one step long", "t >= self.steps", "t > self.steps"),
            (
                "schedule's clock not set back",
                "self._inner.formula(t - self.steps)",
                "self._inner.formula(t)",
            ),
            (
                "towards another rate than the schedule's first",
                "self._inner.formula(0)",
                "self._inner.formula(self.steps)",
            ),
            ("start ignored", "_ramp(self.start,", "_ramp(0.0,"),
            ("shape ignored", "self.steps, self.shape)", 'self.steps, "linear")'),
        ],
        "CoolDown": [
            ("end counted from 0", "t >= self.at + self.steps", "t >= self.steps"),
            (
                "from the rate the schedule has meanwhile",
                "self._inner.formula(self.at)",
                "self._inner.formula(t)",
            ),
            ("one step short", "(t - self.at) / self.steps", "(t - self.at + 1) / self.steps"),
            ("0 instead of the end", "            return self.end", "            return 0.0"),
            ("one step early", "if t < self.at:", "if t < self.at - 1:"),
            (
                "inside a warm-up accepted",
                "if cut := _cut_ramp(self._inner, self.at):",
                "if cut := None:",
            ),
        ],
        "_cut_ramp": [
            ("last step of a ramp ignored", "end > at", "end > at + 1"),
            ("end of a ramp taken for its inside", "end > at", "end >= at"),
        ],
        "Hold": [
            ("held before, running after", "min(t, self.at)", "max(t, self.at)"),
            ("held one step late", "min(t, self.at)", "min(t, self.at + 1)"),
        ],
        "Sequence": [
            ("a part one step long", "if t < steps:", "if t <= steps:"),
            ("clock of the next part not set back", "            t -= steps\n", ""),
            (
                "a part that cuts a ramp accepted",
                "if cut := _cut_ramp(schedule, steps):",
                "if cut := None:",
            ),
        ],
        "warmup_stable_decay": [
            (
                "cool-down begins too early",
                "return CoolDown(WarmUp(peak, warmup), warmup + stable",
                "return CoolDown(WarmUp(peak, warmup), stable",
            ),
        ],
        "ReduceOnPlateau": [
            ("threshold the wrong way round", "(1 - self.threshold)", "(1 + self.threshold)"),
            ("equal counts as better", "value < m.best", "value <= m.best"),
            ("maximum: the wrong way round", "value > m.best", "value < m.best"),
            (
                "patience one too short",
                "m.bad_count > self.patience",
                "m.bad_count >= self.patience",
            ),
            ("last instead of the best", "value if better else m.best", "value"),
            ("calls of observe not counted", "seen + 1", "seen"),
            ("half of the memory set", "vars(m).items())", "[*vars(m).items()][:3])"),
            (
                "bad metrics counted in total, not in succession",
                "0 if better or m.cooldown_left",
                "0 if m.cooldown_left",
            ),
            ("cooldown ignored", "better or m.cooldown_left else", "better else"),
            (
                "cooldown one too long",
                "max(m.cooldown_left - 1, 0)",
                "max(m.cooldown_left - (m.bad_count > 0), 0)",
            ),
            (
                "count not reset after a reduction",
                "m.bad_count, m.cooldown_left = 0, self.cooldown",
                "m.cooldown_left = self.cooldown",
            ),
            (
                "min_lr ignored",
                "max(m.rate * self.factor, self.min_lr)",
                "m.rate * self.factor",
            ),
            ("tiny reductions made", "> 1e-8", "> 0"),
            (
                "reduced from the first rate each time",
                "m.rate * self.factor",
                "self.lr * self.factor",
            ),
        ],
        "check_resumable": [
            (
                "another schedule's memory taken over",
                "not _equal_but_memories(own, saved)",
                "False",
            ),
            ("a plateau in use replaced", "if plateaus(own) and", "if False and"),
        ],
        "resumed": [
            ("the saved schedule instead of the own one", "return own if", "return saved if"),
        ],
        "memories": [
            ("memory not taken over", "replace(theirs.memory)", "mine.memory"),
            ("memory shared", "replace(theirs.memory)", "theirs.memory"),
        ],
    },
    CLIPPING: {
        "_clipped_by_norm": [
            ("norm of 1 instead of max_norm", "(max_norm / norm)", "(1 / norm)"),
            ("small gradients scaled up", "if unit * norm > max_norm:", "if norm:"),
            (
                "norm after clipping returned",
                "return np.array(unit * norm), *grads",
                "return np.array(min(unit * norm, max_norm)), *grads",
            ),
            ("a replay writes to what it reads", "elif anew:", "elif False:"),
        ],
        "_clipped_by_value": [
            ("lower limit 0", "clip(-bound, bound)", "clip(0, bound)"),
        ],
        "_gradients": [
            ("another shape accepted", "if g.shape != p.shape:", "if False:"),
        ],
        "_finite": [
            (
                "NaN accepted",
                "if not np.isfinite(found[-1]).all():",
                "if np.isinf(found[-1]).any():",
            ),
            ("misaligned gradients passed on", '["C", "ALIGNED"]', '["C"]'),
        ],
        "_norm": [
            ("no root", "return 1.0, math.sqrt(total)", "return 1.0, total"),
            ("overflow", "1e-200 < total < math.inf", "total > 1e-200"),
        ],
    },
    AVERAGING: {
        "average": [
            (
                "decay and 1 − decay swapped",
                "(1 - self.decay) * (p.data - a)",
                "self.decay * (p.data - a)",
            ),
            ("average in the weights' dtype", "astype(np.float64) for p", "copy() for p"),
            (
                "a second `with` accepted",
                '        self._check_outside("a second `with`")\n',
                "",
            ),
            ("state_dict shares the averages", "a.copy()", "a"),
            ("an underflow is an error", 'with np.errstate(all="ignore"):  #', "if True:  #"),
        ],
    },
    FORMAT: {
        "printed": [("characters that the console lacks", "printable(plain(self))", "plain(self)")],
        "_spelled": [
            ("words run together", '" ", line)', '"", line)'),
            ("exponents without brackets", 'f"^({piece})"', 'f"^{piece}"'),
        ],
        "Text": [("characters that the console lacks", "printable(text)", "text")],
        "aligned": [
            (
                "columns measured before they are spelled",
                "[[spell(cell) for cell in row] for row in rows]",
                "[list(row) for row in rows]",
            ),
        ],
    },
    CHECKS: {
        "nearest": [
            ("names of other libraries unknown", "in _OWN.items()", "in ()"),
            (
                "letter case ignored for MSE and mse",
                "last[:1].isupper() == name[:1].isupper()",
                "1",
            ),
        ],
        "number": [("−0 kept", "return value + 0.0", "return value")],
    },
    FILES: {
        "replacing": [
            ("the file is written in place", "yield temporary\n", "yield target\n"),
            ("not flushed", "_flush(temporary, os.O_WRONLY)", "pass"),
            ("an interrupt leaves a file", "except BaseException:", "except Exception:"),
            ("permissions lost", "_copy_permissions(target, temporary)", "pass"),
        ],
        "_target": [("a link is replaced", "Path(os.path.realpath(path))", "path")],
    },
    VERDICTS: {
        "_leaving": [
            ("growth ignored", "_growth(along) >= 1", "_growth(along) > 1e300"),
            ("growth along all directions ignored", "1 + 1e-9", "1e300"),
        ],
        "classify": [("drift ignored", "> 1 - 1e-9", "> 1e300")],
    },
    RECORDER: {
        "_Recorder": [
            (
                "other threads are recorded",
                "self.open and self._thread == threading.get_ident()",
                "self.open",
            ),
            ("the walkthrough is kept alive", "vars(self).clear()", "pass"),
        ],
        "class trace": [("an error of its own", "*[Exception] if error else []", "*[]")],
    },
    "minidl/walkthrough/formulas.py": {
        "class Scope": [
            ("a sign that cancels is sure", "error * inner + least", "least"),
            ("a sign that underflows is sure", "error * inner + least", "error * inner"),
            ("no sign is sure", "np.where(unsure, 2 / error, 1)", "2 / error"),
        ],
    },
    RECORD: {
        "Update": [
            ("rounding is a violation", "same | (np.abs(expected - value) <= rounding)", "same"),
            ("nothing is a violation", "np.asarray(~(same", "np.asarray(False & (same"),
        ],
    },
    PLOTS: {
        "_finish": [
            ("a file opens a figure", "if path is None:", "if True:"),
            ("never opened", "if path is None:", "if False:"),
        ],
    },
}
MUTANTS = [
    Mutant(file, scope, *error)
    for file, scopes in ERRORS.items()
    for scope, errors in scopes.items()
    for error in errors
]


def copy_project(parent: str, number: int) -> Path:
    """Copy the project and build its kernels there; returns the folder."""
    folder = Path(parent, str(number))
    ignored = shutil.ignore_patterns(".git", "build", "dist", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, folder, ignore=ignored)
    build(folder)
    return folder


def run(command: list[str], folder: Path, **options: Any) -> Any:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, **options
    )


def build(folder: Path) -> None:
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    result = run(command, folder)
    if result.returncode:
        raise RuntimeError(f"the kernels do not compile:\n{result.stdout}{result.stderr}")


def failing_test(mutant: Mutant, folder: Path) -> str:
    """The first test that fails with the mutant; an empty string if all pass."""
    source = folder / mutant.file
    original = source.read_text(encoding="utf-8")
    try:
        source.write_text(mutant.applied_to(original), encoding="utf-8")
        if mutant.file.endswith(".pyx"):
            build(folder)
        command = [sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", "--tb=no"]
        command += TESTS[mutant.file]
        result = run(command, folder, timeout=900)
    except subprocess.TimeoutExpired:
        return "a timeout"
    finally:
        source.write_text(original, encoding="utf-8")
    if result.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) \S*?(\w+)\.py(?:::(\w+))?", result.stdout, re.M)
    if failed is None and result.returncode > 0:
        raise RuntimeError(f"{mutant}:\n{result.stdout}{result.stderr}")
    return failed[2] or "the import of the tests" if failed else "a crash"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="mutants with this word in their description")
    parser.add_argument("--workers", type=int, default=2, help="copies to work in at a time")
    parser.add_argument("--write", type=Path, help="also write the list to this Markdown file")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.only in f"{m.file} {m.scope}: {m.error}"]
    for mutant in chosen:  # all can be made, before the first is run
        mutant.applied_to((ROOT / mutant.file).read_text(encoding="utf-8"))

    with tempfile.TemporaryDirectory() as parent:
        folders: queue.Queue[Path] = queue.Queue()
        for number in range(arguments.workers):
            folders.put(copy_project(parent, number))

        def run_mutant(mutant: Mutant) -> tuple[Mutant, str]:
            folder = folders.get()
            try:
                return mutant, failing_test(mutant, folder)
            finally:
                folders.put(folder)

        with multiprocessing.pool.ThreadPool(arguments.workers) as pool:
            results = list(tqdm(pool.imap(run_mutant, chosen), total=len(chosen), unit="mutant"))

    killed = sum(bool(test) for _, test in results)
    report = f"{killed} of {len(results)} mutants were killed.\n\n"
    report += "| in | error | first failing test |\n|---|---|---|\n"
    for mutant, test in results:
        scope = f"`{Path(mutant.file).name}` {mutant.scope}"
        report += f"| {scope} | {mutant.error} | {test or '**none: it survived**'} |\n"
    print(report)
    if arguments.write:
        arguments.write.write_text(f"{INTRODUCTION}\n{report}", encoding="utf-8")
    if killed < len(results):
        sys.exit(f"{len(results) - killed} survived")


INTRODUCTION = """# Mutants

Each row is an error that a person could make. `python -m tests.mutants --write
tests/proof/mutants.md` inserts them into a copy of the code, one at a time, runs the tests of the
changed file, and writes this list.
"""

if __name__ == "__main__":
    main()
