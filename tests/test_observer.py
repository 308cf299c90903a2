"""The hook for a trace: what ops, modules, backward and optimizers report to an observer."""

import contextlib

import numpy as np
import pytest

import minidl as dl
from minidl import nn, optim
from minidl._observer import Observer, active


class Log(Observer):
    """An observer that lists what is reported to it."""

    def __init__(self):
        self.events = []

    @contextlib.contextmanager
    def inside(self, module):
        self.events.append(("enter", type(module).__name__))
        yield
        self.events.append(("leave", type(module).__name__))

    def op(self, function, inputs, arrays, extra, options, result):
        given = [x.data if isinstance(x, dl.Tensor) else x for x in inputs]
        np.testing.assert_array_equal(np.broadcast_arrays(*arrays), np.broadcast_arrays(*given))
        self.events.append(("op", function.__name__, tuple(extra), options, result.shape))

    def begin_backward(self):
        self.events.append(("begin_backward",))

    def end_backward(self, root, seed, leaves, changes):
        grads = {leaf.name: (g.tolist(), leaf.grad) for leaf, g in leaves}
        self.events.append(("end_backward", root.shape, seed.item(), grads))

    def begin_step(self, optimizer):
        self.events.append(("begin_step", [p.data.tolist() for p in optimizer.state]))

    def end_step(self, optimizer, batches):
        self.events.append(("end_step", [p.data.tolist() for p in optimizer.state]))


@pytest.fixture
def log():
    """The events that are reported during the test."""
    observer = Log()
    token = active.set(observer)
    yield observer.events
    active.reset(token)


def test_without_a_trace_there_is_no_observer():
    assert active.get() is None
    with dl.trace():
        assert active.get() is not None
    assert active.get() is None


def test_an_op_reports_its_inputs_its_options_and_its_result(log):
    x = dl.Tensor([[1.0, 2.0], [3.0, 4.0]])
    x * 2.0
    dl.sum(x, 0, keepdims=True)
    assert log == [
        ("op", "multiply", (), {}, (2, 2)),
        ("op", "sum", (0,), {"keepdims": True}, (1, 2)),
    ]


def test_a_module_reports_the_beginning_and_the_end_of_its_forward(log):
    nn.Sequential(nn.Tanh(), nn.Tanh())(dl.Tensor([1.0]))
    names = [event[1] for event in log]
    assert names == ["Sequential", *["Tanh", "tanh", "Tanh"] * 2, "Sequential"]


def test_backward_reports_gradients_before_they_are_stored(log):
    w = dl.Tensor([1.0, 3.0], requires_grad=True, name="w")
    (w * w).sum().backward()
    assert log[2:] == [("begin_backward",), ("end_backward", (), 1.0, {"w": ([2.0, 6.0], None)})]


def test_an_optimizer_reports_before_and_after_its_step(log):
    w = dl.Tensor([1.0], requires_grad=True)
    w.grad = np.ones(1, np.float32)
    optim.SGD([w], lr=0.5).step()
    assert log == [("begin_step", [[1.0]]), ("end_step", [[0.5]])]


def test_an_optimizer_that_refuses_a_gradient_reports_nothing(log):
    w = dl.Tensor([1.0], requires_grad=True)
    w.grad = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="shape"):
        optim.SGD([w], lr=0.5).step()
    assert log == []
