"""Break the code as a person would, one error at a time, and see that the tests notice each.

    python -m tests.mutants                # all of them, two at a time: some twenty minutes
    python -m tests.mutants --only Adam    # those with this word in their description
    python -m tests.mutants --write docs/mutants.md

Each mutant is made in a copy of the project, whose kernels are rebuilt where it concerns them, and
the tests of the file that it breaks run until one fails. It is no part of the tests.
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
OPTIMIZER = "minidl/optim/optimizer.py"
LAYER, LOSS = "minidl/_kernels/layer.pyx", "minidl/_kernels/loss.pyx"
OPS = "minidl/ops.py"
SCHEDULES, CLIPPING, AVERAGING = (
    f"minidl/{name}.py" for name in ("schedulers", "optim/clipping", "optim/averaging")
)
TESTS = {
    KERNELS: ["tests/_kernels/test_optim.py", "tests/optim/test_rules.py"],
    LAYER: ["tests/_kernels/test_layer.py"],
    OPS: ["tests/test_ops.py"],
    LOSS: ["tests/_kernels/test_loss.py"],
    RULES: ["tests/optim/test_rules.py"],
    OPTIMIZER: ["tests/optim/test_rules.py"],
    SCHEDULES: ["tests/test_schedulers.py"],
    CLIPPING: ["tests/optim/test_clipping.py"],
    AVERAGING: ["tests/optim/test_averaging.py"],
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """In a function or class of a file, one piece of text in place of another."""

    file: str
    place: str
    error: str
    old: str
    new: str

    def applied_to(self, text: str) -> str:
        """The file's text with the error in it; ValueError if it doesn't fit in just one way."""
        begin = re.search(rf"^(?=[a-zA-Z]).*\b{self.place}[(:\[ ]", text, re.M)
        if begin is None:
            raise ValueError(f"{self.file} has no {self.place}")
        following = re.compile(r"^[a-zA-Z@#]", re.M).search(text, begin.end())
        end = following.start() if following else len(text)
        scope = text[begin.start() : end]
        if (times := scope.count(self.old)) != 1:
            raise ValueError(f"{self.place}: {self.error}: there {times} times is {self.old!r}")
        return text[: begin.start()] + scope.replace(self.old, self.new) + text[end:]


# file → place → (what is wrong, the right text, the wrong text)
ERRORS: dict[str, dict[str, list[tuple[str, str, str]]]] = {
    KERNELS: {
        "descent": [
            ("maximize ignored", "sign * g + decay * w", "g + decay * w"),
            (
                "maximize flips the weight decay too",
                "sign * g + decay * w",
                "sign * (g + decay * w)",
            ),
            (
                "weight decay pushes weights away from 0",
                "sign * g + decay * w",
                "sign * g - decay * w",
            ),
        ],
        "damped_root": [
            (
                "ε inside for outside the root, and the reverse",
                "if eps_inside else",
                "if not eps_inside else",
            ),
        ],
        "stepped": [
            ("0 · ∞", "w - eta * d if eta != 0 else w", "w - eta * d"),
        ],
        "forget": [
            ("0 · ∞", "if keep == 0:", "if False:"),
        ],
        "square_sum": [
            ("overflow not held back", "largest if total > largest else total", "total"),
        ],
        "fits": [
            ("shape and dtype not checked", " and alike(w, array)", ""),
            ("read-only weights written", " and (not written or writable(array))", ""),
        ],
        "update": [
            (
                "the entries behind the last whole line left out",
                "p.n if part == parts - 1 else ",
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
        ],
        "check_indices": [
            ("a repeated index accepted", "indices[k] <= last", "indices[k] < last"),
            ("an index one past the end accepted", ">= size", "> size"),
            ("negative indices accepted", "indices[k] < 0 or ", ""),
        ],
        "sgd_loop": [
            ("up instead of down", "stepped(w[i], eta, descent", "stepped(w[i], -eta, descent"),
            (
                "first gradient dampened",
                "d if first else mu * b[i] + fresh * d",
                "mu * b[i] + fresh * d",
            ),
            ("1 − τ dropped", "mu * b[i] + fresh * d", "mu * b[i] + d"),
            ("1 − μ for 1 − τ", "(1 - c[2])", "(1 - c[1])"),
            ("Nesterov: b for g", "d + mu * b[i] if", "b[i] + mu * b[i] if"),
            ("Nesterov: μ dropped", "d + mu * b[i] if", "d + b[i] if"),
            (
                "Nesterov the wrong way round",
                "eta, d + mu * b[i] if nesterov else b[i])",
                "eta, b[i] if nesterov else d + mu * b[i])",
            ),
        ],
        "momentum_loop": [
            ("1 − β dropped", "fresh * descent", "descent"),
            (
                "β and 1 − β swapped",
                "keep * v[i] + fresh * descent",
                "fresh * v[i] + keep * descent",
            ),
            ("the gradient applied in place of v", "eta, v[i]", "eta, g[i]"),
        ],
        "nag_loop": [
            ("no look-ahead", "eta, keep * v[i] + push", "eta, v[i]"),
            ("gradient left out of the look-ahead", "eta, keep * v[i] + push", "eta, keep * v[i]"),
            ("1 − β dropped", "fresh * descent", "descent"),
        ],
        "adagrad_loop": [
            ("the last square in place of the sum", "G[i] + d * d", "d * d"),
            ("gradient summed without its weight decay", "G[i] + d * d", "G[i] + g[i] * g[i]"),
            ("gradient not squared", "G[i] + d * d", "G[i] + d"),
        ],
        "scale_by_root": [
            ("1 − α dropped", "fresh * (d * d)", "(d * d)"),
            (
                "α and 1 − α swapped",
                "keep * G[i] + fresh * (d * d)",
                "fresh * G[i] + keep * (d * d)",
            ),
            ("centered: mean not squared", "g_mean[i] * g_mean[i]", "g_mean[i]"),
            ("centered: mean of the squares", "fresh * d\n", "fresh * (d * d)\n"),
            ("centered: a variance below 0 not held back", "(0 if spread <= 0 else s)", "spread"),
            (
                "centered: a variance that has overflowed taken for 0",
                "(0 if spread <= 0 else s)",
                "0",
            ),
            ("momentum as a moving average", "mu * b[i] + d", "mu * b[i] + (1 - mu) * d"),
            ("momentum reads G", "mu * b[i] + d", "mu * G[i] + d"),
        ],
        "adam_loop": [
            ("β₁ and β₂ swapped in m", "keep1 * m[i] + fresh1 * d", "keep2 * m[i] + fresh2 * d"),
            (
                "β₁ and β₂ swapped in v",
                "keep2 * v[i] + fresh2 * (d * d)",
                "keep1 * v[i] + fresh1 * (d * d)",
            ),
            ("1 − β₁ dropped", "fresh1 * d", "d"),
            ("1 − β₂ dropped", "fresh2 * (d * d)", "(d * d)"),
            ("gradient not squared", "fresh2 * (d * d)", "fresh2 * d"),
            ("ε inside the root", "root(s * scale2) + e", "root(s * scale2 + e)"),
            (
                "ε before the correction of v",
                "root(s * scale2) + e",
                "(root(s) + e) * root(scale2)",
            ),
            ("no ε", "root(s * scale2) + e", "root(s * scale2)"),
            ("no root", "root(s * scale2) + e", "s * scale2 + e"),
            ("m not corrected", "(c[0] / c[3])", "c[0]"),
            ("v not corrected", "(1 / c[4])", "1"),
            ("gradient applied in place of m", "eta, m[i] /", "eta, d /"),
            ("AMSGrad: the smallest v", "v_max[i] > s", "v_max[i] < s"),
            ("AMSGrad: the largest v not kept", "            v_max[i] = s\n", ""),
            ("AMSGrad: the largest v written to v", "v_max[i] = s\n", "v[i] = s\n"),
            (
                "decoupled weight decay in the gradient too",
                "decay = 0 if c[7] else <floating> c[6]",
                "decay = <floating> c[6]",
            ),
            ("decoupled weight decay without the rate", "(1 - c[0] * c[6])", "(1 - c[6])"),
            (
                "decoupled weight decay after the step",
                "stepped(shrink * w[i],",
                "shrink * stepped(w[i],",
            ),
        ],
        "nadam_loop": [
            ("shares of g and m swapped", "p * d + q * m[i]", "q * d + p * m[i]"),
            ("the quarter not made up for", "(4 * c[0])", "c[0]"),
            ("m in place of g", "p * d + q * m[i]", "p * m[i] + q * m[i]"),
            ("v not corrected", "root(v[i] * scale2) + e", "root(v[i]) + e"),
            ("ε inside the root", "root(v[i] * scale2) + e", "root(v[i] * scale2 + e)"),
            ("1 − β₂ dropped", "fresh2 * (d * d)", "(d * d)"),
            (
                "decoupled weight decay in the gradient too",
                "decay = 0 if c[8] else <floating> c[7]",
                "decay = <floating> c[7]",
            ),
        ],
        "adamax_loop": [
            ("sum in place of maximum", "faded if faded > size else size", "faded + size"),
            ("minimum in place of maximum", "faded if faded > size", "faded if faded < size"),
            ("no ε", "fabs(d) + e", "fabs(d)"),
            ("sign of g kept in u", "<floating> fabs(d)", "d"),
            ("β₁ for β₂ in u", "keep2 = <floating> c[2]", "keep2 = <floating> c[1]"),
            ("m not corrected", "(c[0] / c[3])", "c[0]"),
        ],
        "radam_loop": [
            ("ε inside the root", "(root(v[i]) + e)", "root(v[i] + e)"),
            ("no step before the rectification", "if rectified else m[i]", "if rectified else 0"),
            ("rectification left out", "* rectified if", "if"),
            ("m not corrected", "(c[0] / c[3])", "c[0]"),
            ("β₁ for β₂ in v", "keep2 * v[i]", "keep1 * v[i]"),
            (
                "decoupled weight decay in the gradient too",
                "decay = 0 if c[7] else <floating> c[6]",
                "decay = <floating> c[6]",
            ),
        ],
        "adadelta_loop": [
            (
                "ε outside the roots",
                "root(D[i] + e) / root(E[i] + e)",
                "(root(D[i]) + e) / (root(E[i]) + e)",
            ),
            ("ε under one root alone", "root(E[i] + e)", "root(E[i])"),
            (
                "roots the wrong way round",
                "root(D[i] + e) / root(E[i] + e)",
                "root(E[i] + e) / root(D[i] + e)",
            ),
            ("√(D + ε) left out", "(root(D[i] + e) / root(E[i] + e))", "(1 / root(E[i] + e))"),
            ("D reads E", "keep * D[i] + fresh * (d * d)", "keep * E[i] + fresh * (d * d)"),
            ("rate ignored", "stepped(w[i], eta, d)", "stepped(w[i], 1, d)"),
        ],
        "follow": [
            (
                "squares of huge gradients overflow",
                "g = limit if g > limit else (-limit if g < -limit else g)",
                "g = g",
            ),
            ("σw added", "- (after - before) * w[0]", "+ (after - before) * w[0]"),
            ("σw left out", " - (after - before) * w[0]", ""),
            ("gradient without α", "z[0] + alpha * g", "z[0] + g"),
            ("√n from before the update in the weight", "ridge + after", "ridge + before"),
            (
                "sign of the weight",
                "(-size if tilted > 0 else size)",
                "(size if tilted > 0 else -size)",
            ),
            ("z not shrunk by λ₁", "(-size if tilted > 0 else size)", "(-tilted)"),
            ("weight with a gradient of 0 updated", "g * g != 0", "True"),
            ("sign of the power", "pow(grown, power)", "pow(grown, -power)"),
        ],
        "ftrl_loop": [
            ("threshold λ₁ without α", "(c[0] * c[2])", "c[2]"),
            ("λ₂ without α", "(c[1] + c[0] * c[3])", "(c[1] + c[3])"),
            ("λ₂ halved, as in Keras", "(c[1] + c[0] * c[3])", "(c[1] + c[0] * c[3] / 2)"),
            ("√ whatever the power", "power == 0.5", "True"),
        ],
        "ftrl_at": [
            ("the k-th weight in place of the one at the k-th index", "i = indices[k]", "i = k"),
            ("threshold λ₁ without α", "(lr * l1)", "l1"),
            ("√ whatever the power", "lr_power == -0.5", "True"),
        ],
        "lion_loop": [
            (
                "β₂ for β₁ in the direction",
                "direction = keep1 * m[i] + fresh1 * d",
                "direction = keep2 * m[i] + fresh2 * d",
            ),
            (
                "β₁ for β₂ in m",
                "m[i] = keep2 * m[i] + fresh2 * d",
                "m[i] = keep1 * m[i] + fresh1 * d",
            ),
            ("sign of 0 is −1", "(-1 if direction < 0 else direction)", "-1"),
            (
                "no sign",
                "direction = 1 if direction > 0 else (-1 if direction < 0 else direction)",
                "direction = direction",
            ),
            ("maximize ignored", "d = sign * g[i]", "d = g[i]"),
            ("weight decay without the rate", "(1 - c[0] * c[3])", "(1 - c[3])"),
            (
                "weight decay into the gradient",
                "d = sign * g[i]",
                "d = sign * g[i] + <floating> c[3] * w[i]",
            ),
        ],
        "squared_norm": [
            ("squared in float32", "<double> g[i] * <double> g[i]", "g[i] * g[i]"),
            ("first entry left out", "range(g.shape[0])", "range(1, g.shape[0])"),
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
        "_dense": [
            ("∂x without the transpose", "np.dot(d, w.T)", "np.dot(d, w)"),
            (
                "rectifier left out of the gradient",
                "relu_vjp(d, y) if rectify",
                "relu_vjp(d, y) if False",
            ),
            ("a gradient that is not needed computed", "if needs_grad[0]", "if True"),
            ("bias of another shape accepted", "b.shape != w.shape[1:]", "b.size != w.shape[1]"),
        ],
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
                "smoothing not shared among the classes",
                "smoothing * target_sum / classes",
                "smoothing * target_sum",
            ),
            ("mass of the target left out", "scale * target_sum / exp_sum", "scale / exp_sum"),
            ("0 · ∞", "if t != 0:", "if True:"),
            ("target not subtracted", "out[k] * factor - scale * t", "out[k] * factor"),
            (
                "label's share not subtracted",
                "out[labels[i]] * factor - scale",
                "out[labels[i]] * factor",
            ),
            ("gradient not scaled at the label", "* factor - scale\n", "* factor - 1\n"),
            ("loss of the largest", "row[labels[i]] - shift)", "row[0] - shift)"),
        ],
        "cross_entropy_loop": [
            ("last rows left out", "(n + block - 1) // block", "n // block"),
        ],
        "cross_entropy": [
            ("label one past the end", "< classes:", "<= classes:"),
        ],
        "squared_error_loop": [
            (
                "error squared in the arrays' type",
                "<double> error * error\n    for",
                "error * error\n    for",
            ),
            ("slope left out", "gradient[k] = slope * error", "gradient[k] = error"),
        ],
        "squared_error": [
            ("half the slope", "(2 * scale)", "(scale)"),
        ],
    },
    OPTIMIZER: {
        "Optimizer": [
            ("step count one too small", "ages[places[0]] + 1", "ages[places[0]]"),
            (
                "one step count for all parameters",
                "self.update(group, lr, t,",
                "self.update(group, lr, self.t,",
            ),
            (
                "parameters of other ages updated together",
                "len(ready) == len(ages) == ages.count(ages[0])",
                "len(ready) == len(ages)",
            ),
            ("the rate of the next step", "group.lr(self.t)", "group.lr(self.t + 1)"),
            ("steps not counted", "        self.t += 1\n", ""),
            ("changed weights not marked as changed", "        p.version += 1\n", ""),
            (
                "slots always start from 0",
                "chosen[self.start[slot]] if slot in self.start else 0",
                "0",
            ),
            ("options of a group ignored", "{**given, **own}", "{**own, **given}"),
            (
                "frozen parameters updated",
                "p.grad if p.requires_grad else None for p",
                "p.grad for p",
            ),
            ("state_dict shares the state", "copy.deepcopy(\n", "dict(\n"),
            ("step count not loaded", '        self.t = state["t"]\n', ""),
            ("options not loaded", "group.update({**options, ", "group.update({"),
            ("slots not loaded", "columns[name] = values if", "_ = values if"),
            (
                "a plateau's memory not loaded into the one in use",
                'resumed(group["lr"], options["lr"])',
                'options["lr"]',
            ),
            (
                "rate set in the last group alone",
                '        for group in self.groups:\n            group["lr"] = value',
                '        self.groups[-1]["lr"] = value',
            ),
            ("gradients of another dtype accepted", " or g.dtype != w.dtype", ""),
            (
                "shape of the gradient not checked",
                "if g.shape != shape:",
                "if g.size != math.prod(shape):",
            ),
        ],
    },
    RULES: {
        "_betas": [
            (
                "β = 1 accepted",
                '_share(rule, f"{name}[1]", value[1])',
                '_number(rule, f"{name}[1]", value[1])',
            ),
        ],
        "SGD": [
            ("first step at t = 0", "t == 1", "t == 0"),
            ("Nesterov without momentum accepted", 'if chosen["nesterov"] and', "if False and"),
        ],
        "Adagrad": [
            ("lr_decay one step early", "(t - 1) * group.lr_decay", "t * group.lr_decay"),
            ("lr_decay multiplied", "lr /= 1", "lr *= 1"),
        ],
        "RMSprop": [
            ("ε in place of α", "group.alpha, group.eps", "group.eps, group.alpha"),
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
            ("last μ in place of the product", "mu_product[0].item() * mu", "mu"),
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
                "math.sqrt(shrunk / full * correction2)",
                "(shrunk / full) * math.sqrt(correction2)",
            ),
            ("v not corrected", "shrunk / full * correction2", "shrunk / full"),
            ("r upside down", "shrunk / full", "full / shrunk"),
        ],
        "FTRL": [
            ("warm start at each step", "t == 1 and group.warm_start", "group.warm_start"),
            ("warm start though switched off", "t == 1 and group.warm_start", "t == 1"),
            ("warm start: sign of λ₁", "- np.sign(w_0) * lr", "+ np.sign(w_0) * lr"),
            ("warm start without λ₂", " + lr * group.l2", ""),
            ("warm start without √n₀", "group.beta + n_0**-group.lr_power", "group.beta"),
            ("sparse steps not counted", "        self.t += 1\n", ""),
            ("sparse step with weight_decay accepted", "if group.weight_decay:", "if False:"),
        ],
        "Lion": [
            ("β₁ and β₂ swapped", "*group.betas", "*group.betas[::-1]"),
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
            ("power of the share done", "(1 - u) ** self.power", "1 - u**self.power"),
            ("power ignored", "(1 - u) ** self.power", "1 - u"),
        ],
        "CosineDecay": [
            ("half a period too long", "math.cos(math.pi * u)", "math.cos(2 * math.pi * u)"),
            ("½ dropped", "(1 + math.cos(math.pi * u)) / 2", "1 + math.cos(math.pi * u)"),
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
            ("linear on the way up", 'SHAPES["cosine"](t / top', 'SHAPES["linear"](t / top'),
        ],
        "WarmUp": [
            ("one step short", "shape](t / self.steps)", "shape]((t + 1) / self.steps)"),
            ("one step long", "t >= self.steps", "t > self.steps"),
            (
                "schedule's clock not set back",
                "self.schedule.formula(t - self.steps)",
                "self.schedule.formula(t)",
            ),
            (
                "towards another rate than the schedule's first",
                "self.schedule.formula(0)",
                "self.schedule.formula(self.steps)",
            ),
            ("start ignored", "return self.start + (top - self.start)", "return top"),
            ("shape ignored", "SHAPES[self.shape](", 'SHAPES["linear"]('),
        ],
        "CoolDown": [
            ("end counted from 0", "t >= self.at + self.steps", "t >= self.steps"),
            (
                "from the rate the schedule has meanwhile",
                "self.schedule.formula(self.at)",
                "self.schedule.formula(t)",
            ),
            ("one step short", "(t - self.at) / self.steps", "(t - self.at + 1) / self.steps"),
            ("0 in place of the end", "            return self.end", "            return 0.0"),
            ("one step early", "if t < self.at:", "if t < self.at - 1:"),
            (
                "inside a warm-up accepted",
                "if cut := _cut_ramp(self.schedule, self.at):",
                "if cut := None:",
            ),
        ],
        "_cut_ramp": [
            ("last step of a ramp not seen", "end > at", "end > at + 1"),
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
            ("equal counts as better", 'metric < m["best"]', 'metric <= m["best"]'),
            ("maximum: the wrong way round", 'metric > m["best"]', 'metric < m["best"]'),
            ("patience one too short", 'm["bad"] > self.patience', 'm["bad"] >= self.patience'),
            ("last in place of the best", 'metric if better else m["best"]', "metric"),
            (
                "bad ones counted in all, not in a row",
                '0 if better or m["forgiven"]',
                '0 if m["forgiven"]',
            ),
            ("cooldown ignored", 'better or m["forgiven"] else', "better else"),
            (
                "cooldown one too long",
                'max(m["forgiven"] - 1, 0)',
                'max(m["forgiven"] - (m["bad"] > 0), 0)',
            ),
            (
                "count goes on after a reduction",
                'm["bad"], m["forgiven"] = 0, self.cooldown',
                'm["forgiven"] = self.cooldown',
            ),
            (
                "min_lr ignored",
                'max(m["rate"] * self.factor, self.min_lr)',
                'm["rate"] * self.factor',
            ),
            ("tiny reductions made", "> 1e-8", "> 0"),
            (
                "reduced from the first rate each time",
                'm["rate"] * self.factor',
                "self.lr * self.factor",
            ),
        ],
        "check_resumable": [
            ("a plateau in use replaced", "if any(plateaus(own)) and", "if False and"),
        ],
        "resumed": [
            ("memory not taken over", "mine.memory.update(theirs.memory)", "pass"),
            ("another schedule's memory taken over", "if repr(own) != repr(saved):", "if False:"),
        ],
    },
    CLIPPING: {
        "clip_grad_norm": [
            ("norm of 1 in place of max_norm", "(max_norm / norm)", "(1 / norm)"),
            ("small gradients scaled up", "if unit * norm > max_norm:", "if norm:"),
            (
                "norm after clipping returned",
                "return unit * norm",
                "return min(unit * norm, max_norm)",
            ),
        ],
        "clip_grad_value": [
            ("lower limit 0", "clip(-largest, largest)", "clip(0, largest)"),
        ],
        "_with_gradients": [
            ("NaN accepted", "if not np.isfinite(p.grad).all():", "if np.isinf(p.grad).any():"),
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
            ("own weights not given back", "            p.data = own\n", "            pass\n"),
            (
                "average lent by a second `with` too",
                '        self._refuse_while_lent("a second `with`")\n',
                "",
            ),
            ("state_dict shares the averages", "a.copy()", "a"),
        ],
    },
}
MUTANTS = [
    Mutant(file, place, *error)
    for file, places in ERRORS.items()
    for place, errors in places.items()
    for error in errors
]


def workshop(parent: str, number: int) -> Path:
    """A copy of the project, with its kernels built, in which mutants can be made."""
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


def verdict(mutant: Mutant, folder: Path) -> str:
    """The first test that notices the mutant, or nothing."""
    source = folder / mutant.file
    right = source.read_text(encoding="utf-8")
    try:
        source.write_text(mutant.applied_to(right), encoding="utf-8")
        if mutant.file.endswith(".pyx"):
            build(folder)
        command = [sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", "--tb=no"]
        command += TESTS[mutant.file]
        result = run(command, folder, timeout=900)
    except subprocess.TimeoutExpired:
        return "the time it takes"
    finally:
        source.write_text(right, encoding="utf-8")
    if result.returncode == 0:
        return ""
    noticed = re.search(r"^(?:FAILED|ERROR) \S*?(\w+)\.py(?:::(\w+))?", result.stdout, re.M)
    if noticed is None and result.returncode > 0:
        raise RuntimeError(f"{mutant}:\n{result.stdout}{result.stderr}")
    return noticed[2] or "the import of the tests" if noticed else "a crash"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="mutants with this word in their description")
    parser.add_argument("--workers", type=int, default=2, help="copies to work in at a time")
    parser.add_argument("--write", type=Path, help="also write the list to this Markdown file")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.only in f"{m.file} {m.place}: {m.error}"]
    for mutant in chosen:  # all fit, before the first is tried
        mutant.applied_to((ROOT / mutant.file).read_text(encoding="utf-8"))

    with tempfile.TemporaryDirectory() as parent:
        folders: queue.Queue[Path] = queue.Queue()
        for number in range(arguments.workers):
            folders.put(workshop(parent, number))

        def judged(mutant: Mutant) -> tuple[Mutant, str]:
            folder = folders.get()
            try:
                return mutant, verdict(mutant, folder)
            finally:
                folders.put(folder)

        with multiprocessing.pool.ThreadPool(arguments.workers) as pool:
            results = list(tqdm(pool.imap(judged, chosen), total=len(chosen), unit="mutant"))

    killed = sum(bool(test) for _, test in results)
    report = f"{killed} of {len(results)} mutants were killed.\n\n"
    report += "| in | error | noticed first by |\n|---|---|---|\n"
    for mutant, test in results:
        place = f"`{Path(mutant.file).name}` {mutant.place}"
        report += f"| {place} | {mutant.error} | {test or '**nothing: it survived**'} |\n"
    print(report)
    if arguments.write:
        arguments.write.write_text(f"{INTRODUCTION}\n{report}", encoding="utf-8")
    if killed < len(results):
        sys.exit(f"{len(results) - killed} survived")


INTRODUCTION = """# Mutants

What the tests are worth: each row is an error that a person could make. `python -m tests.mutants
--write docs/mutants.md` puts them into a copy of the code, one at a time, runs the tests of that
file, and wrote this list.
"""

if __name__ == "__main__":
    main()
