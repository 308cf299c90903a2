"""Recording: nothing changes, everything in the block is recorded, and nothing else."""

import asyncio
import contextlib
import contextvars
import gc
import itertools
import sys
import threading
import weakref

import numpy as np
import pytest
import tasks
from cases import (
    Residual,
    normal,
    training_walkthrough,
)

import minidl as dl
from minidl import losses, nn, optim
from minidl._observer import active
from minidl.schedulers import CosineDecay
from minidl.walkthrough import recorder
from minidl.walkthrough.record import Backward, OpCall, Update


def test_each_group_of_an_optimizer_is_recorded_with_its_own_options():
    v, w = (dl.Tensor([1.0], requires_grad=True, name=name) for name in "vw")
    groups = [{"params": [v]}, {"params": [w], "lr": 0.5, "momentum": 0.9}]
    with dl.trace() as walk:
        (v * w).sum().backward()
        optim.SGD(groups, lr=0.1).step()
    found = [(u.value.name, u.lr, u.options["momentum"]) for u in walk.updates]
    assert found == [("v", 0.1, 0.0), ("w", 0.5, 0.9)]


NETWORKS = {
    "MLP": lambda rng: nn.MLP([6, 8, 7, 5], rng=rng),
    "wide": lambda rng: nn.MLP([6, 300, 5], rng=rng),
    "dropout": lambda rng: nn.Sequential(
        nn.Dense(6, 8, rng=rng), nn.ReLU(), nn.Dropout(0.4, rng=rng), nn.Dense(8, 5, rng=rng)
    ),
    "custom": Residual,
}
LOSSES = {"cross_entropy": losses.cross_entropy, "mse": lambda p, t: losses.mse(p, np.eye(5)[t])}


def trained(network, loss, dtype, context):
    """All bits that a short training leaves: losses, gradients, parameters, optimizer state."""
    rng = np.random.default_rng(5)
    with dl.default_dtype(dtype):
        model = NETWORKS[network](rng)
        optimizer = optim.Adam(model, lr=CosineDecay(0.05, 20), amsgrad=True)
        bits = []
        for _ in range(4):
            x, labels = rng.normal(size=(9, 6)).astype(dtype), rng.integers(0, 5, 9)
            optimizer.zero_grad()
            with context():
                value = LOSSES[loss](model(x), labels)
                value.backward()
                optim.clip_grad_norm(model, 1.0)
                optimizer.step()
            bits += [value.data, *(p.grad for p in model.parameters())]
            bits += [p.data.copy() for p in model.parameters()]
    state = [a for s in optimizer.state.values() for a in s.values() if isinstance(a, np.ndarray)]
    return [array.tobytes() for array in (*bits, *state)]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_trace_changes_no_bit(network, loss, dtype):
    alone = trained(network, loss, dtype, contextlib.nullcontext)
    assert trained(network, loss, dtype, dl.trace) == alone


@pytest.mark.parametrize("retain", [True, False])
def test_a_trace_changes_no_bit_of_a_second_backward_pass(retain):
    def gradients(context):
        w = dl.Tensor(normal(3, 4), requires_grad=True)
        with context():
            loss = losses.cross_entropy(w * w, [0, 1, 2])
            loss.backward(retain_graph=True)
            first = w.grad.copy()
            loss.backward(retain_graph=retain)
        return first.tobytes(), w.grad.tobytes()

    assert gradients(dl.trace) == gradients(contextlib.nullcontext)


def test_two_backward_passes_have_gradients_and_leaves_of_their_own():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        loss = (w * w).sum()
        loss.backward(retain_graph=True)
        loss.backward(5.0)
    first, second = walk.backwards
    assert [f.op.value.name for f in first.op_gradients] == ["loss", "multiply"]
    assert [f.op.value.name for f in second.op_gradients] == ["loss", "multiply"]
    assert first.leaves[0].before is None
    np.testing.assert_array_equal(second.leaves[0].before, first.leaves[0].gradient)
    np.testing.assert_array_equal(second.leaves[0].gradient, 5 * first.leaves[0].gradient)
    np.testing.assert_array_equal(w.grad, [12, 24])


def test_a_backward_pass_that_fails_leaves_nothing_to_the_next():
    w, v = (dl.Tensor([1.0, 2.0], requires_grad=True, name=name) for name in "wv")
    with dl.trace() as walk:
        first, second = (w * w).sum(), (v * v).sum()
        w.data = [3.0, 4.0]
        with pytest.raises(RuntimeError, match="was changed"):
            first.backward()
        second.backward()
    (backward,) = walk.backwards
    assert [op_gradient.op.value.name for op_gradient in backward.op_gradients] == [
        "second",
        "multiply (2)",
    ]


def test_several_steps_in_one_block_are_recorded_in_order():
    walk, model = training_walkthrough(np.float64, steps=3, optimizer=optim.SGD)
    kinds = [*[OpCall] * 4, Backward, *[Update] * 4] * 3
    assert [type(event) for event in walk.events] == kinds
    assert [u.t for u in walk.updates] == [1] * 4 + [2] * 4 + [3] * 4
    for before, after in itertools.pairwise(walk.updates[::4]):
        np.testing.assert_array_equal(before.after, after.before)
    np.testing.assert_array_equal(walk.updates[-4].after, model.dense1.weight.data)
    for backward in walk.backwards:
        assert all(c.relative < 1e-6 for c in walk.check(backward))


def test_an_old_gradient_is_recorded_beside_the_new_one():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    w.grad = np.array([10.0, 20.0], np.float32)
    with dl.trace() as walk:
        (w * w).sum().backward()
        optim.SGD([w], lr=0.1).step()
    (leaf,), (update,) = walk.backwards[0].leaves, walk.updates
    np.testing.assert_array_equal(leaf.before, [10, 20])
    np.testing.assert_array_equal(leaf.gradient, [2, 4])
    np.testing.assert_array_equal(update.gradient, [12, 24])
    assert ".grad[1] = 20 + 4 = 24" in walk.explain(walk.values[0].name, 1)


def test_the_update_has_the_clipped_gradient_and_the_leaf_the_whole_one():
    w = dl.Tensor([3.0, 4.0], requires_grad=True)
    with dl.trace() as walk:
        (w * w).sum().backward()
        optim.clip_grad_norm([w], 1.0)
        optim.SGD([w], lr=0.1).step()
    (update,), (leaf,) = walk.updates, walk.backwards[0].leaves
    np.testing.assert_allclose(leaf.gradient, [6, 8])
    np.testing.assert_allclose(update.gradient, [0.6, 0.8], rtol=1e-6)


def test_a_frozen_parameter_has_no_gradient_and_no_update():
    model = nn.MLP([2, 3, 1], rng=0)
    model.dense1.weight.requires_grad = False
    with dl.trace() as walk:
        losses.mse(model(normal(4, 2)), np.zeros((4, 1))).backward()
        optim.SGD(model, lr=0.1).step()
    frozen = next(v for v in walk.values if v.name == "dense1.weight")
    assert frozen.kind == "parameter"
    assert walk.backwards[0].gradient(frozen) is None
    assert [u.value.name for u in walk.updates] == ["dense1.bias", "dense2.weight", "dense2.bias"]
    (step,) = (s for s in walk.steps if (s.phase, s.title) == ("backward", "dense1"))
    assert "∂L/∂x and ∂L/∂W are not computed" in step.caption
    assert [p.result.symbol for p in step.parts] == ["g", "∂L/∂b"]


def test_ops_under_no_grad_and_on_constants_are_recorded_without_gradients():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        with dl.no_grad():
            free = w * 3.0
        constant = dl.exp([0.0, 1.0])
        (w * free * constant).sum().backward()
    forward = [op.value.name for op in walk.ops]
    assert forward == ["free", "constant", "multiply", "multiply (2)", "sum"]
    back = [op_gradient.op.value.name for op_gradient in walk.backwards[0].op_gradients]
    assert back == ["sum", "multiply (2)", "multiply"]
    assert walk.ops[0].inputs[1] == 3.0
    assert all(c.relative < 1e-5 for c in walk.check(walk.backwards[0]))


def w_squared():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    return (w * w).sum()


def test_a_trace_in_a_trace_is_an_error_and_the_outer_one_continues():
    with dl.trace() as walk:
        w_squared().backward()
        with pytest.raises(RuntimeError, match="another trace is already open"), dl.trace():
            raise AssertionError
        w_squared().backward()
    assert len(walk.ops) == 4
    assert len(walk.backwards) == 2


def test_one_trace_after_the_other_records_each_block_alone():
    with dl.trace() as first:
        w_squared()
    with dl.trace() as second:
        w_squared().backward()
    assert [len(first.events), len(second.events)] == [2, 3]


def test_a_trace_that_is_opened_again_records_each_block_alone():
    trace = dl.trace()
    with trace as first:
        w_squared()
    with trace as second:
        w_squared().backward()
    assert [len(first.events), len(second.events)] == [2, 3]


def test_an_exception_in_the_block_ends_the_trace_and_keeps_what_was_recorded():
    with contextlib.suppress(ZeroDivisionError), dl.trace() as walk:
        loss = w_squared()
        w_squared().backward(1 // 0)
    w_squared()
    assert len(walk.ops) == 4
    loss.backward()
    assert walk.ops[1].value.name == "loss"
    assert "multiply" in str(walk)
    assert walk.backwards == []
    with dl.trace() as another:
        w_squared()
    assert len(another.ops) == 2


# --- interrupts, tasks, threads and generators --------------------------------------------------


class Interrupt:
    """Raise KeyboardInterrupt at the n-th bytecode in the given files."""

    def __init__(self, at, files):
        self.at, self.files, self.count = at, files, 0

    def __enter__(self):
        sys.settrace(self.called)
        return self

    def __exit__(self, *error):
        sys.settrace(None)

    def called(self, frame, event, argument):
        if frame.f_code.co_filename.endswith(self.files):
            frame.f_trace, frame.f_trace_opcodes = self.within, True  # for CPython 3.13, both
            return self.within
        return None

    def within(self, frame, event, argument):
        if event in ("opcode", "return"):
            self.count += 1
            if self.count == self.at:
                raise KeyboardInterrupt
        return self.within


RECORDING = ("walkthrough/recorder.py", "walkthrough/record.py")


def traced_step(found, interrupt):
    """A trace of a training step; `found` gets the walkthrough as soon as there is one."""
    model, x = nn.Sequential(nn.Dense(1, 2, rng=0), nn.Tanh()), np.ones((1, 1), np.float32)
    optimizer = optim.SGD(model, lr=0.1)
    with interrupt, dl.trace() as walk:
        found.append(walk)
        losses.mse(model(x), [[0.0, 1.0]]).backward()
        optimizer.step()


def test_an_interrupt_at_any_bytecode_is_raised_itself_and_leaves_no_open_trace():
    whole = Interrupt(-1, RECORDING)
    traced_step([], whole)
    assert whole.count > 3000
    interrupted = 0
    for at in range(1, whole.count, 41):
        found = []
        with pytest.raises(KeyboardInterrupt):
            traced_step(found, Interrupt(at, RECORDING))
        assert not active.get()
        for walk in found:
            if walk.open:  # the interrupt came while the walkthrough was completed
                with pytest.raises(RuntimeError, match="interrupted while it named the values"):
                    str(walk)
            else:
                interrupted += "The block did not run to its end" in str(walk)
    assert interrupted > 50
    with dl.trace() as walk:
        w_squared()
    assert "did not run to its end" not in str(walk)


def test_a_block_that_goes_on_after_an_interrupt_can_be_shown():
    for at in range(1, 2500, 83):
        w = dl.Tensor([1.0, 2.0], requires_grad=True)
        optimizer = optim.SGD([w], lr=0.1)
        with dl.trace() as walk:
            with contextlib.suppress(KeyboardInterrupt), Interrupt(at, RECORDING):
                (w * w).sum().backward()
                optimizer.step()
            optimizer.zero_grad()
            loss = (w * w * w).sum()
            loss.backward()
        text = str(walk)
        assert "backward" in text.lower()
        np.testing.assert_allclose(w.grad, 3 * w.data**2, rtol=1e-6)
        assert walk.backwards[-1].root is loss or walk.backwards[-1].root.name == "loss"


def test_the_error_of_the_block_is_raised_even_if_the_walkthrough_cannot_be_completed(monkeypatch):
    def fail(*arguments):
        raise ValueError("of its own")

    monkeypatch.setattr(recorder, "give_names", fail)
    with pytest.raises(KeyboardInterrupt), dl.trace() as walk:
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError, match="run it again"):
        str(walk)
    with pytest.raises(ValueError, match="of its own"), dl.trace():
        pass
    assert not active.get()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, GeneratorExit])
def test_text_and_page_say_that_an_error_ended_the_block(error, tmp_path):
    with contextlib.suppress(error), dl.trace() as walk:
        w_squared().backward()
        raise error
    for name in "walk.html", "walk.md", "walk.txt":
        walk.save(tmp_path / name)
        text = " ".join((tmp_path / name).read_text(encoding="utf-8").split())
        assert f"The block did not run to its end: it ended with {error.__name__}" in text or (
            f"it ended with {error.__name__}, so what would have followed is missing here" in text
        )
    assert len(walk.backwards) == 1


async def squared_in_a_task(begin):
    await begin.wait()
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    optim.SGD([w], lr=0.5).step()
    return w.data.tolist()


@pytest.mark.parametrize("another", [True, False])
def test_a_task_that_outlives_its_trace_runs_untraced(another):
    async def main():
        begin = asyncio.Event()
        with dl.trace() as first:
            task = asyncio.create_task(squared_in_a_task(begin))
            await asyncio.sleep(0)
            w_squared()
        with dl.trace() if another else contextlib.nullcontext() as second:
            begin.set()
            result = await task
            w_squared()
        return first, second, result

    first, second, result = tasks.run(main())
    assert result == [0.0, 0.0]
    assert len(first.events) == 2
    assert not another or len(second.events) == 2
    assert "sum" in str(first)


def test_a_task_that_ends_in_the_block_is_recorded():
    async def main():
        begin = asyncio.Event()
        with dl.trace() as walk:
            task = asyncio.create_task(squared_in_a_task(begin))
            begin.set()
            await task
        return walk

    walk = tasks.run(main())
    assert (len(walk.ops), len(walk.backwards), len(walk.updates)) == (2, 1, 1)


def test_each_of_two_tasks_records_its_own():
    async def traced(n):
        with dl.trace() as walk:
            for _ in range(n):
                w_squared().backward()
                await asyncio.sleep(0)
        return len(walk.ops)

    async def main():
        return await asyncio.gather(traced(3), traced(5))

    assert tasks.run(main()) == [6, 10]


def test_a_thread_with_a_copied_context_runs_untraced_and_its_results_are_right():
    def work():
        for _ in range(20):
            w = dl.Tensor([1.0, 2.0], requires_grad=True)
            (w * w).sum().backward()
            results.append(w.grad.tolist())

    results = []
    with dl.trace() as walk:
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=[work]) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for _ in range(20):
            w_squared().backward()
        for thread in threads:
            thread.join()
    assert (len(walk.ops), len(walk.backwards)) == (40, 20)
    assert results == [[2.0, 4.0]] * 60
    assert str(walk)


def test_a_graph_of_the_block_may_run_backward_in_any_context():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    with dl.trace() as walk:
        loss = (w * w).sum()
        copied = contextvars.copy_context()
    copied.run(loss.backward)
    assert w.grad.tolist() == [2.0, 4.0]
    assert walk.backwards == []
    assert all(not op.op_gradients for op in walk.ops)


def test_a_trace_may_end_in_another_context():
    trace, copied = dl.trace(), contextvars.copy_context()
    walk = copied.run(trace.__enter__)
    copied.run(w_squared)
    w_squared()
    trace.__exit__(None, None, None)
    copied.run(w_squared)
    assert len(walk.ops) == 2
    with dl.trace() as another:
        w_squared()
    copied.run(lambda: dl.trace().__enter__())
    assert len(another.ops) == 2


def test_a_generator_that_holds_a_trace_open_may_be_closed_anywhere():
    def generator():
        with dl.trace() as walk:
            w_squared()
            yield walk

    for close in (
        lambda g: g.close(),
        lambda g: contextvars.copy_context().run(g.close),
        lambda g: contextvars.copy_context().run(next, g, None),
    ):
        suspended = generator()
        walk = next(suspended)
        close(suspended)
        w_squared()
        assert len(walk.ops) == 2
        assert not active.get()
    suspended = generator()
    next(suspended)
    thread = threading.Thread(target=suspended.close)
    thread.start()
    thread.join()
    assert not active.get()


def test_a_closed_trace_keeps_nothing_alive_in_a_copied_context():
    def traced():
        with dl.trace() as walk:
            w_squared()
            return weakref.ref(walk), contextvars.copy_context()

    gone, copied = traced()
    gc.collect()
    assert gone() is None
    assert not copied[active]


@pytest.mark.parametrize("name", ["save", "explain", "steps", "ops", "remarks"])
def test_a_trace_asked_for_what_its_walkthrough_has_says_how_to_get_that(name):
    trace = dl.trace()
    with trace:
        w_squared()
    message = rf"a trace has no '{name}'; .* with dl\.trace\(\) as walk: .* walk\.{name}"
    with pytest.raises(AttributeError, match=message):
        getattr(trace, name)
    with pytest.raises(AttributeError, match="'trace' object has no attribute 'saved'"):
        trace.saved  # noqa: B018


def test_nothing_is_recorded_outside_of_the_block():
    before = w_squared()
    with dl.trace() as walk:
        inside = w_squared()
    inside.backward()
    before.backward()
    assert [type(event) for event in walk.events] == [OpCall, OpCall]
    assert not any(op.op_gradients for op in walk.ops)
    assert "No backward pass" in str(walk)


def test_a_forward_pass_outside_of_the_block_is_missing_and_the_text_says_so():
    w = dl.Tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    with dl.trace() as walk:
        loss.backward()
        optim.SGD([w], lr=0.1).step()
    (backward,) = walk.backwards
    assert backward.root is None
    assert backward.op_gradients == []
    assert walk.check(backward) == []
    assert walk.loss() == (None, None)
    assert "A forward pass that was not recorded" in str(walk)
    assert "before 1, after 0.8" in walk.explain("w", 0) + walk.explain(walk.values[0].name, 0)


def test_a_step_alone_is_recorded():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    (w * w).sum().backward()
    with dl.trace() as walk:
        optim.SGD([w], lr=0.1).step()
    assert "before 1, after 0.8" in walk.explain("w", 0)


def test_a_trace_sees_nothing_of_another_thread():
    def work():
        w_squared().backward()
        with dl.trace() as own:
            w_squared()
        found.append(own)

    found = []
    with dl.trace() as walk:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        w_squared()
    assert len(walk.ops) == len(found[0].ops) == 2
    assert walk.backwards == []


def test_each_of_two_threads_records_its_own_at_the_same_time():
    def work(n):
        with dl.trace() as walk:
            ready.wait()
            for _ in range(n):
                w_squared().backward()
        counts[n] = len(walk.ops), len(walk.backwards)

    counts, ready = {}, threading.Barrier(2)
    threads = [threading.Thread(target=work, args=(n,)) for n in (20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {20: (40, 20), 30: (60, 30)}


def test_a_walkthrough_keeps_no_tensor_no_module_and_no_optimizer_alive():
    def traced():
        model, x = nn.MLP([2, 3, 1], rng=0), dl.Tensor(normal(4, 2))
        optimizer = optim.Adam(model)
        with dl.trace() as walk:
            loss = losses.mse(model(x), np.zeros((4, 1)))
            loss.backward(retain_graph=True)
            optimizer.step()
        return walk, [
            *map(weakref.ref, (optimizer, loss, x, *model.parameters(), *model.modules()))
        ]

    walk, references = traced()
    gc.collect()
    assert len(references) == 11
    assert [ref() for ref in references if ref() is not None] == []
    assert "Adam, update t = 1" in str(walk)


def test_the_record_does_not_change_with_what_it_recorded():
    x, y = normal(4, 2), np.zeros((4, 1))
    batch, model = dl.Tensor(x), nn.MLP([2, 3, 1], "tanh", rng=0)
    optimizer = optim.Adam(model, lr=0.1)
    with dl.trace() as walk:
        loss = losses.mse(model(batch), y)
        loss.backward(retain_graph=True)
        optimizer.step()
        x[...] = y[...] = 7
    before = str(walk), walk.explain("dense1.weight", (0, 0))
    first = next(v for v in walk.values if v.name == "dense1.weight")
    assert not np.array_equal(first.data, model.dense1.weight.data)
    np.testing.assert_array_equal(walk.updates[0].after, model.dense1.weight.data)
    for p in model.parameters():
        p.grad[...] = -1
    optimizer.step()
    optimizer.lr = 0.7
    loss.data[...] = 3
    assert before == (str(walk), walk.explain("dense1.weight", (0, 0)))


def test_the_gradient_that_backward_was_given_is_recorded_as_it_was():
    w, seed = dl.Tensor([1.0, 2.0], requires_grad=True, dtype=float), np.array([3.0, 4.0])
    with dl.trace() as walk:
        (w * w).backward(seed)
        seed[...] = 0
    (backward,) = walk.backwards
    np.testing.assert_array_equal(backward.seed, [3, 4])
    np.testing.assert_array_equal(backward.op_gradients[0].g, [3, 4])


def test_an_input_that_changes_in_the_block_is_recorded_as_each_op_saw_it():
    x = np.array([1.0, 2.0])
    batch, w = dl.Tensor(x), dl.Tensor([1.0, 1.0], requires_grad=True, dtype=float)
    with dl.trace() as walk:
        first = w * batch
        x[...] = [5.0, 6.0]
        second = w * batch
    np.testing.assert_array_equal(first.data, [1, 2])
    for op in walk.ops:
        np.testing.assert_array_equal(op.run(op.arrays()), op.value.data)
    np.testing.assert_array_equal(second.data, [5, 6])


def test_an_update_by_hand_is_an_update_and_has_a_loss_after_it():
    w = dl.Tensor([1.0, 2.0], requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * w).sum().backward()
        with dl.no_grad():
            w -= dl.Tensor(0.25) * w.grad
    assert walk.loss() == (5, 1.25)
    assert [s.title for s in walk.steps if s.phase == "update"] == ["multiply (2)", "w"]
    assert "w.grad" in [value.name for value in walk.values]
    assert repr(walk).startswith("Walkthrough(2 ops, 1 backward pass, 1 update;")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loop_by_hand_counts_its_updates_and_names_the_multiples_of_gradients(dtype):
    with dl.default_dtype(dtype):
        w, b = dl.Tensor([2.0, -1.0], requires_grad=True), dl.Tensor([0.5], requires_grad=True)
    with dl.trace() as walk:
        for _ in range(2):
            (w * b).sum().backward()
            with dl.no_grad():
                w -= 0.01 * w.grad
                b -= np.sign(b.grad)  # a multiple of a gradient of one entry, too
            w.zero_grad()
            b.zero_grad()
    assert repr(walk).startswith("Walkthrough(4 ops, 2 backward passes, 4 updates;")
    assert walk.steps[-1].caption.startswith("4 ops ran.")
    first, second, *_ = (step for step in walk.steps if step.phase == "update")
    assert first.caption.startswith("w is updated by hand: subtract of w and 0.01 * w.grad.")
    assert (first.title, first.key) == ("w", walk.values[0].key)
    assert second.title == "b"
    assert "y[0] = 2 − 0.005 = 1.995" in walk.explain("w", 0)


def test_a_change_that_nothing_recorded_is_reported():
    w = dl.Tensor([1.0], requires_grad=True)
    with dl.trace() as walk:
        (w * w).sum().backward()
        w.data = w.data - 0.1 * w.grad
    assert [value.name for value in walk.changed_unseen] == ["w"]
    assert walk.loss() == (1.0, pytest.approx(0.64))


def test_a_loss_that_outlives_the_block_does_not_keep_the_record_alive():
    def training_walkthrough():
        w = dl.Tensor([1.0, 2.0], requires_grad=True)
        with dl.trace() as walk:
            loss = (w * w).sum()
        return loss, [weakref.ref(walk), *map(weakref.ref, walk.values)]

    loss, record = training_walkthrough()
    gc.collect()
    assert [held() for held in record] == [None] * 4
    loss.backward()


def test_an_evaluation_after_the_step_is_not_an_update():
    model, x, y = nn.MLP([2, 2, 1], "tanh", rng=0), normal(4, 2), normal(4, 1)
    rule = optim.SGD(model, lr=0.1)
    with dl.trace() as walk:
        losses.mse(model(x), y).backward()
        rule.step()
        with dl.no_grad():
            losses.mse(model(x), y)
            x @ model.dense1.weight
    phases = [step.phase for step in walk.steps]
    assert phases == [
        *["forward"] * 4,
        *["backward"] * 5,
        *["update"] * 4,
        *["forward"] * 5,
        "summary",
    ]
