"""The record: each op and each rule against its formulas, the gradient check, running again."""

import os
import re
import signal
import threading
from typing import ClassVar

import numpy as np
import pytest
from cases import (
    CASES,
    FORMS_OF_RULES,
    MOVEMENT_OPS,
    OPS,
    RULES,
    assert_close,
    defaults,
    each_case,
    each_form_of_a_rule,
    normal,
    op_walkthrough,
    parts_of,
    training_walkthrough,
    updates,
)

import minidl as dl
from minidl import losses, nn, ops, optim, tensor
from minidl._format import number, plain
from minidl.schedulers import CosineDecay
from minidl.walkthrough.record import kept


class Slow:
    def __init__(self, begun, goes_on):
        self.begun, self.goes_on, self.calls = begun, goes_on, 0

    @kept
    def result(self):
        """What was computed."""
        self.calls += 1
        self.begun.set()
        return self.goes_on.wait(60)


def test_a_kept_property_is_computed_once_in_each_object():
    other, done = threading.Event(), threading.Event()
    done.set()
    one, two = Slow(other, done), Slow(other, done)
    assert [one.result, one.result, two.result] == [True, True, True]
    assert (one.calls, two.calls) == (1, 1)
    assert Slow.result.__doc__ == "What was computed."


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_what_a_thread_was_computing():
    begun, goes_on, done = threading.Event(), threading.Event(), threading.Event()
    done.set()
    thread = threading.Thread(target=lambda: Slow(begun, goes_on).result)
    thread.start()
    begun.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends the process if it waits
        os._exit(not Slow(done, done).result)
    goes_on.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_every_op_of_the_library_has_a_case():
    assert CASES.keys() == OPS.keys()


@each_case
def test_the_formulas_of_an_op_give_what_it_computes(name, arrays, options):
    _, op, op_gradient = op_walkthrough(name, arrays, options)
    assert bool(op.equations) is (name not in MOVEMENT_OPS)
    if not op.equations:
        return
    scope = op.scope(op_gradient.g)
    found = scope.value(op.equations[0].tree)
    assert_close(np.reshape(found, op.value.data.shape), op.value.data, 1e-12)
    for equation, input_grad in zip(op.equations[1:], op_gradient.input_grads, strict=True):
        found = np.asarray(scope.value(equation.tree))
        if found.size == input_grad.size:  # vectors as matrices
            found = found.reshape(input_grad.shape)
        assert_close(np.broadcast_to(found, input_grad.shape), input_grad, 1e-11)


@pytest.mark.parametrize("rectify", [False, True])
def test_a_formula_with_a_choice_by_an_option_gives_what_the_op_computes(rectify):
    @ops.op(
        "y = max(x @ W + b, 0) if rectify else x @ W + b",
        "∂x = (g [y > 0] if rectify else g) @ Wᵀ",
        "∂W = xᵀ @ (g [y > 0] if rectify else g)",
        "∂b = Σᵢ (g [y > 0] if rectify else g)",
        fused_vjp=True,
    )
    def layer(x, w, b, /, rectify=False):
        """A layer."""
        y = np.maximum(x @ w + b, 0) if rectify else x @ w + b

        def vjp(g, needs_grad):
            d = g * (y > 0) if rectify else g
            return d @ w.T, x.T @ d, d.sum(axis=0)

        return y, vjp

    leaves = [
        dl.Tensor(normal(*s), requires_grad=True, dtype=float) for s in [(4, 3), (3, 2), (2,)]
    ]
    with dl.trace() as walk:
        tensor.differentiable(layer)(*leaves, rectify=rectify).backward(normal(4, 2))
    (op,), ((op_gradient,),) = walk.ops, [backward.op_gradients for backward in walk.backwards]
    scope = op.scope(op_gradient.g)
    expected = [op.value.data, *op_gradient.input_grads]
    for equation, array in zip(op.equations, expected, strict=True):
        assert_close(scope.value(equation.tree).reshape(array.shape), array, 1e-12)
    for part in parts_of(walk):
        for at in np.ndindex(part.result.data.shape) if part.worked else ():
            assert " if " not in plain(part.worked(at))
            assert part.worked(at)[-1].exact == number(part.result.data[at]).exact
    assert all(checked.relative < 1e-6 for checked in walk.check(walk.backwards[0]))
    b = op.inputs[2].data[1]
    line = plain(walk.steps[0].parts[0].worked((0, 1)))
    assert line.startswith("y[0, 1] = max(" if rectify else "y[0, 1] = ")
    assert f" + {number(b).shown}" in line or f" + ({number(b).shown})" in line


@each_case
def test_the_check_agrees_with_backward(name, arrays, options):
    walk, _, _ = op_walkthrough(name, arrays, options)
    checked = walk.check(walk.backwards[0])
    assert len(checked) == sum(np.size(x) for x in arrays)
    for entry in checked:
        assert entry.difference == pytest.approx(entry.backward, rel=1e-6, abs=1e-8)
        assert entry.relative < 1e-6 or abs(entry.difference) < 1e-4


COMMON_FORMS = [
    {},
    {"weight_decay": 0.3},
    {"maximize": True},
    {"weight_decay": 0.3, "maximize": True},
    {"lr": CosineDecay(0.05, 9)},
]


def test_every_option_of_every_rule_has_a_case_with_another_value_than_its_default():
    for rule, options in FORMS_OF_RULES:
        for name, value in options.items():
            default = defaults(rule)[name]
            assert type(value) is type(default)
            assert value != default


@each_form_of_a_rule
@pytest.mark.parametrize("common", COMMON_FORMS, ids=str)
def test_the_equations_of_a_rule_give_what_its_kernel_leaves(rule, options, common):
    for _, update, optimizer, w in updates(rule, {**options, **common}):
        last = {line[0].symbol: line for line in update.lines}
        left = {**optimizer.state[w], "θ": w.data}
        name_of = getattr(optim, rule).symbols
        for symbol, (equation, scope, value) in last.items():
            state = left.get(symbol, left.get(name_of.get(symbol)))
            if state is not None and symbol != "t":
                np.testing.assert_array_equal(value, state)
            found = np.broadcast_to(scope.value(equation.tree), value.shape)
            np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-17)
        covered = {*last, *(name_of[symbol] for symbol in last if symbol in name_of)}
        assert left.keys() - {"t"} <= covered


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_in_single_precision_has_the_numbers_of_its_kernel(rule):
    for _, update, _, w in updates(rule, {"lr": 0.01}, dtype=np.float32):
        *_, (equation, scope, value) = (line for line in update.lines if line[0].symbol == "θ")
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, w.data)
        np.testing.assert_allclose(scope.value(equation.tree), value, rtol=1e-4, atol=1e-6)


def test_the_gradients_of_all_uses_of_a_value_are_summed():
    w = dl.Tensor([2.0, -3.0], requires_grad=True)
    with dl.trace() as walk:
        square = w * w
        (square * w + square).sum().backward()
    (backward,) = walk.backwards
    for name, uses in {"w": 3, "square": 2}.items():
        value = next(v for v in walk.values if v.name == name)
        contributions = [g for _, g in backward.contributions(value)]
        assert len(contributions) == uses == len(value.users)
        np.testing.assert_allclose(np.sum(contributions, axis=0), backward.gradient(value))
    np.testing.assert_allclose(w.grad, 3 * w.data**2 + 2 * w.data)
    assert "w is used 3 times: the gradients of its uses are summed" in walk.explain("w", 0)
    assert "= 16" in walk.explain("w", 0)


def test_the_loss_is_known_before_and_after_the_update():
    walk, model = training_walkthrough(np.float64)
    before, after = walk.loss()
    x, y = (v.data for v in walk.values if v.kind == "input")
    np.testing.assert_array_equal(after, losses.mse(model(x), y).data)
    assert after < before == walk.ops[-1].value.data


def test_without_an_update_there_is_no_loss_after():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        (w * w).sum().backward()
    assert walk.loss()[0] == 5
    assert walk.loss()[1] is None


def test_a_backward_pass_after_the_last_update_has_no_loss_after_it():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    with dl.trace() as walk:
        (w * w).sum().backward()
        optimizer.step()
        (w * w).sum().backward()
    assert walk.loss()[0] == pytest.approx(0.8**2 + 1.6**2)
    assert walk.loss()[1] is None


def test_ops_run_again_give_the_same_bits_and_others_for_other_values():
    walk, _ = training_walkthrough()
    root = walk.backwards[0].root
    weight = next(v for v in walk.values if v.name == "dense2.weight")
    again = walk._run_again(root, {weight: weight.data.copy()})
    assert again.tobytes() == root.data.tobytes()
    assert walk._run_again(root, {weight: 0 * weight.data}) != root.data
    assert walk._run_again(root, {}) is root.data


def test_backward_from_several_entries_is_checked_with_the_gradient_given():
    w = dl.Tensor(normal(3), requires_grad=True, dtype=float)
    with dl.trace() as walk:
        (w * w).backward([1.0, -2.0, 0.5])
    found = [c.difference for c in walk.check(walk.backwards[0])]
    np.testing.assert_allclose(found, 2 * w.data * [1, -2, 0.5], rtol=1e-8)
    assert "with the gradient g that was passed to it" in str(walk)


@pytest.mark.parametrize(("runs", "entries"), [(0, [1]), (1, [1]), (2, [1, 3]), (9, [0, 1, 2, 3])])
def test_if_all_entries_are_too_many_the_largest_gradients_are_checked(runs, entries, monkeypatch):
    w = dl.Tensor([1.0, -9.0, 3.0, 5.0], requires_grad=True)
    with dl.trace() as walk:
        (w * w).sum().backward()
    once = 2 * sum(op.cost() for op in walk.ops)
    monkeypatch.setattr("minidl.walkthrough.record.CHECK_COST", runs * once)
    checked = walk.check(walk.backwards[0])
    assert [at for _, (at,), *_ in checked] == entries
    shown = f"The table has {len(entries)} of 4 entries, with large gradients."
    assert (shown in str(walk).replace("\n   ", " ")) is (len(entries) < 4)


def test_a_long_check_has_few_entries_and_they_agree(long_walk):
    checked = long_walk.check(long_walk.backwards[0])
    assert 1 <= len(checked) <= 2
    assert all(c.relative < 1e-3 for c in checked)  # backward was in single precision


def test_after_two_optimizers_the_loss_is_that_of_the_model():
    model, x, y = nn.MLP([2, 2, 1], "tanh", rng=0), normal(5, 2), normal(5, 1)
    rules = optim.SGD(model, lr=0.1), optim.SGD(model, lr=0.2)
    with dl.trace() as walk:
        losses.mse(model(x), y).backward()
        for rule in rules:
            rule.step()
    assert walk.loss()[1] == losses.mse(model(x), y).data


# --- equations that do not hold -----------------------------------------------------------------


class Careless(optim.Optimizer):
    """A rule whose update takes twice the step of its equation, from 1.5 downwards."""

    equations = "θ ← θ − ηg"

    def update(self, group, lr, t, theta, g):
        for theta_i, g_i in zip(theta, g, strict=True):
            theta_i -= np.where(theta_i < 1.5, 2, 1) * lr * g_i


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entries_that_an_equation_does_not_give_are_marked_in_text_page_and_remarks(
    dtype, tmp_path
):
    w = dl.Tensor(np.array([1, 2, -1], dtype), requires_grad=True, name="w")
    w.grad = np.array([1, 1, 2], dtype)
    with dl.trace() as walk:
        Careless([w], lr=0.1).step()
    (line,) = walk.updates[0].lines
    assert walk.updates[0].violated(line).tolist() == [True, False, True]
    walk.save(tmp_path / "walk.html")
    for text in str(walk), (tmp_path / "walk.html").read_text(encoding="utf-8"):
        assert "These numbers do not satisfy the equation: Careless.update left another" in text
        assert "An equation that does not hold" in text
        assert "≠ 0.8" in text or '" ≠ "' in text
    assert "θ[0] ← 1 − 0.1 · 1 ≠ 0.8" in str(walk)
    assert "θ[1] ← 2 − 0.1 · 1 = 1.9" in str(walk)
    assert "θ[2] ← −1 − 0.1 · 2 ≠ −1.4" in walk.explain("w", 2)
    (remark,) = (r for r in walk.remarks() if r.title == "An equation that does not hold")
    assert remark.about is walk.updates[0]
    assert "θ ← θ − ηg" in remark.text


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", optim.RULES)
def test_no_rounding_error_of_a_rule_is_taken_for_a_wrong_equation(rule, dtype, rng):
    for size in (1, 1e-4, 1e4, 1e-20, 1e-30, 0):
        w = dl.Tensor(rng.normal(size=5).astype(dtype), requires_grad=True)
        optimizer = optim.RULES[rule]([w], lr=0.1, weight_decay=0.01)
        with dl.trace() as walk:
            for _ in range(3):
                w.grad = (rng.normal(size=5) * size).astype(dtype)
                optimizer.step()
        assert not any(u.violated(line).any() for u in walk.updates for line in u.lines)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [-9, np.finfo(np.float32).tiny])
def test_a_sign_that_rounding_or_underflow_decides_is_no_wrong_equation(dtype, factor, rng):
    w = dl.Tensor(rng.normal(size=50).astype(dtype), requires_grad=True)
    optimizer = optim.Lion([w], lr=0.1)
    if factor == -9:  # 0.9 m + 0.1 g is then 0 but for rounding
        w.grad = rng.normal(size=50).astype(dtype)
        optimizer.step()
        factor = factor * optimizer.state[w]["m"]
    w.grad = np.asarray(factor * np.ones(50), dtype)
    with dl.trace() as walk:
        optimizer.step()
    assert not walk.updates[0].violated(walk.updates[0].lines[0]).any()


def test_a_sign_that_is_not_that_of_the_equation_is_marked():
    class Ascent(optim.Lion):
        def update(self, group, lr, t, theta, g, m):
            for theta_i, g_i in zip(theta, g, strict=True):
                theta_i += lr * np.sign(g_i)

    w = dl.Tensor(np.ones(3, np.float32), requires_grad=True)
    w.grad = np.array([1, -1e-4, 1e-30], np.float32)
    with dl.trace() as walk:
        Ascent([w], lr=0.1).step()
    assert walk.updates[0].violated(walk.updates[0].lines[0]).all()


def test_a_sum_that_cancels_is_no_wrong_equation_and_nan_is_equal_to_nan():
    w = dl.Tensor(np.array([1, 1, np.nan, np.inf], np.float32), requires_grad=True)
    w.grad = np.array([10, np.float32(1e30), 1, np.inf], np.float32)
    with np.errstate(all="ignore"), dl.trace() as walk:
        optim.SGD([w], lr=0.1).step()
    assert not walk.updates[0].violated(walk.updates[0].lines[-1]).any()


def rule_with(lines, **attributes):
    """A rule of one's own with these equations, whose update keeps v ← scale v + g."""

    class Own(optim.Optimizer):
        equations = lines
        symbols: ClassVar = {**optim.Optimizer.symbols, **attributes}
        scale: float = optim.option(optim.fraction, default=0.5)
        slots: ClassVar = {"v": optim.Slot()}

        def update(self, group, lr, t, theta, g, v):
            for theta_i, g_i, v_i in zip(theta, g, v, strict=True):
                v_i[...] = group.scale * v_i + g_i
                theta_i -= lr * v_i

    return Own


V, THETA = "v ← scale v + g", "θ ← θ − η v"
OPTION = (
    "unknown symbol s; write an option by its name, such as scale, or give it that symbol: "
    "symbols = {**dl.optim.Optimizer.symbols, 's': 'scale'}"
)


@pytest.mark.parametrize(
    ("lines", "read", "unread"),
    [
        ([V, THETA], [V, THETA], {}),
        (["v ← s v + g", THETA], [THETA], {"v ← s v + g": OPTION}),
        (
            ["d = s v", "v ← d + g", THETA],
            [THETA],
            {"d = s v": OPTION, "v ← d + g": "it needs d, whose equation can't be read"},
        ),
        (["v ← v   if s > 0", THETA], [THETA], {"v ← v if s > 0": OPTION}),
        ([V, "v ← s v", "θ ← θ − η g"], [V, "θ ← θ − η g"], {"v ← s v": OPTION}),
        ([V, "θ ← θ - η v"], [V], {"θ ← θ - η v": "not '-', in the .*; write − for -"}),
        ([V, "theta <- theta"], [V], {"theta <- theta": "; write θ for theta, ← for <-"}),
        (["v ← sqrt(v)"], [], {"v ← sqrt(v)": "unknown symbol sqrt; write √ for sqrt"}),
        (["v ← clamp(v, g)", THETA], [THETA], {"v ← clamp(v, g)": "unknown function clamp; there"}),
        (["v ← clamp(v)", THETA], [THETA], {"v ← clamp(v)": "unknown function clamp; there are s"}),
        (["a step downhill"], [], {"a step downhill": "is not an equation such as"}),
    ],
)
def test_lines_that_can_be_read_are_shown_and_the_others_named_with_the_reason(lines, read, unread):
    w = dl.Tensor([1.0, -2.0], requires_grad=True, name="w")
    optimizer = rule_with("\n".join(lines))([w], lr=0.1)
    with dl.trace() as walk:
        for _ in range(2):
            w.grad = np.array([1.0, 2.0], np.float32)
            optimizer.step()
    for update in walk.updates:
        assert [line.equation.text for line in update.lines] == [
            r.partition("   ")[0] for r in read
        ]
        assert not any(update.violated(line).any() for line in update.lines if lines[0] != V)
        assert [line.text for line in update.unread] == list(unread)
        for line, reason in zip(update.unread, unread.values(), strict=True):
            assert reason in line.reason or re.search(reason, line.reason)
    remarks = [r for r in walk.remarks() if r.title == "An equation that can't be read"]
    assert len(remarks) == bool(unread)
    assert all(f"{line.text} ({line.reason})" in remarks[0].text for line in update.unread)
    assert ("Own has equations that can't be read" in str(walk)) == bool(unread)
    assert "θ[0] ← 1 − 0.1 · 1 = 0.9" in str(walk) or THETA not in read


def test_a_symbol_stands_for_the_option_that_symbols_names():
    w = dl.Tensor([1.0], requires_grad=True, name="w")
    w.grad = np.array([4.0], np.float32)
    optimizer = rule_with(f"v ← s v + g\n{THETA}", s="scale")([w], lr=0.25)
    with dl.trace() as walk:
        optimizer.step()
        optimizer.step()
    assert walk.updates[1].unread == []
    assert "v[0] ← 0.5 · 4 + 4 = 6" in str(walk)


@pytest.mark.parametrize("rule", optim.RULES)
def test_every_equation_of_minidl_can_be_read(rule):
    w = dl.Tensor([1.0], requires_grad=True)
    w.grad = np.array([4.0], np.float32)
    with dl.trace() as walk:
        optim.RULES[rule]([w], lr=0.25, weight_decay=0.1).step()
    assert walk.updates[0].unread == []
