"""A recorder changes no bit of a training, looks at the promised steps, and stays within limits."""

from typing import ClassVar

import numpy as np
import pytest

import minidl as dl
from minidl.viz._recorder import recording
from minidl.viz._recorder.recorder import Recorder

X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def train(record=None, steps=30, model=None, rule=dl.optim.Adam, lr=0.01, batch=16, **more):
    model = model or dl.nn.MLP([2, 8, 2], "tanh", rng=0)
    data = dl.data.DataLoader(X, Y, batch, rng=0)
    own = {"steps": steps, "progress": False, **more}
    history = dl.fit(model, dl.losses.cross_entropy, rule(model, lr=lr), data, record=record, **own)
    return model, history


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"capture": False},
        {"callbacks": [dl.callbacks.ClipGradNorm(0.1)]},
        {"metrics": {"accuracy": dl.metrics.accuracy}, "validation": 0.2},
        {"accumulate": 2, "steps": 13},
        {"batch": None},
    ],
)
def test_a_recorded_training_has_the_same_bits(more):
    alone, history = train(**more)
    recorded, own = train(Recorder(every=3), **more)
    assert own == history
    assert own.captured == history.captured
    for p, q in zip(alone.parameters(), recorded.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize("more", [{}, {"capture": False}, {"metrics": {"r": dl.metrics.accuracy}}])
def test_a_look_has_gradient_update_and_weights_of_its_step_as_a_loop_by_hand(more):
    recorder = Recorder(every=5)
    train(recorder, 12, **more)
    assert recorder.steps == [0, 5, 10, 12]
    model = dl.nn.MLP([2, 8, 2], "tanh", rng=0)
    optimizer = dl.optim.Adam(model, lr=0.01)
    loader = dl.data.DataLoader(X, Y, 16, rng=0)
    batches = (batch for _ in range(12) for batch in loader)
    for step in range(1, 13):
        x, y = next(batches)
        before = [p.data.copy() for p in model.parameters()]
        optimizer.zero_grad()
        dl.losses.cross_entropy(model(x), y).backward()
        optimizer.step()
        if step not in recorder.steps:
            continue
        look = recorder.looks[recorder.steps.index(step)]
        named = model.named_parameters()
        for part, old, (name, p) in zip(look.parts, before, named, strict=True):
            np.testing.assert_array_equal(part.grad, p.grad)
            np.testing.assert_array_equal(part.update, p.data - old)
            np.testing.assert_array_equal(look.weights[name], p.data)
            np.testing.assert_array_equal(part.state["m"], optimizer.state[p]["m"])
            own = [np.linalg.norm(a) for a in (p.grad, p.data - old, p.data)]
            np.testing.assert_allclose(part.known_norms, own, rtol=1e-5)


def test_of_a_long_training_looks_are_a_multiple_of_every_apart_and_of_an_endless_one_thinned():
    recorder = Recorder(every=3)
    train(recorder, 1000, batch=8)
    assert recorder.steps == [*range(0, 1000, 18), 1000]
    batches = [(X[:8], Y[:8])] * 1000
    model = dl.nn.MLP([2, 4, 2], rng=0)
    endless = Recorder()
    arguments = model, dl.losses.cross_entropy, dl.optim.SGD(model), iter(batches)
    dl.fit(*arguments, epochs=1, progress=False, record=endless)
    steps = endless.steps
    assert len(steps) <= recording.MOST
    assert (steps[0], steps[-1]) == (0, 1000)
    assert len(set(np.diff(steps[:-1]))) == 1


def test_the_looks_at_a_large_model_are_fewer_and_hold_some_entries(monkeypatch):
    monkeypatch.setattr(recording, "MEMORY", 2_000_000)
    sizes = [2, 150, 150, 2]
    recorder = Recorder()
    train(recorder, 100, dl.nn.MLP(sizes, rng=0))
    size = sum(map(recording._size_of, recorder.looks))
    assert 1_000_000 < size < 2_000_000
    assert 5 < len(recorder.looks) < 40
    monkeypatch.setattr(recording, "MEMORY", 500_000)
    without = Recorder()
    model, _ = train(without, 100, dl.nn.MLP(sizes, rng=0))
    assert without.looks[0].weights is None
    assert without.shadow is None
    part = without.looks[-1].parts[2]
    assert part.grad.size <= recording.WHOLE
    w = model.dense2.weight.data
    np.testing.assert_allclose(part.known_norms[2], np.linalg.norm(w), rtol=1e-5)


def test_a_recorder_goes_on_with_a_history_and_begins_anew_without():
    recorder = Recorder(every=2)
    model = dl.nn.MLP([2, 8, 2], rng=0)
    optimizer = dl.optim.Adam(model)
    arguments = model, dl.losses.cross_entropy, optimizer, (X, Y)
    history = dl.fit(*arguments, epochs=5, progress=False, record=recorder)
    assert recorder.steps == [0, 2, 4, 5]
    dl.fit(*arguments, epochs=3, progress=False, record=recorder, history=history)
    assert recorder.steps == [0, 2, 4, 5, 6, 8]
    dl.fit(*arguments, epochs=1, progress=False, record=recorder)
    assert recorder.steps == [0, 1]


def test_looks_of_many_short_trainings_in_a_row_are_spread_over_all_of_them():
    recorder = Recorder()
    model = dl.nn.MLP([2, 4, 2], rng=0)
    optimizer, loader, history = dl.optim.Adam(model), dl.data.DataLoader(X, Y, 16, rng=0), None
    arguments = model, dl.losses.cross_entropy, optimizer, loader
    for _ in range(100):
        more = {"epochs": 1, "progress": False, "history": history, "capture": False}
        history = dl.fit(*arguments, record=recorder, **more)
    steps = recorder.steps
    assert 30 <= len(steps) <= recording.MOST
    assert (steps[0], steps[-1]) == (0, 400)
    assert max(np.diff(steps)) <= 2 * 400 / 30
    assert recorder.spacing == 8
    assert repr(recorder).endswith("looks at 400 steps, every 8 steps")


def test_the_end_is_recorded_before_callbacks_are_told_and_even_if_they_fail():
    class Fails(dl.callbacks.Callback):
        def on_end(self, training):
            training.model.dense1.weight.data[:] = 7
            raise OSError("full")

    recorder = Recorder(every=50)
    with pytest.raises(OSError, match="full"):
        train(recorder, callbacks=[Fails(), lambda epoch, history: epoch == 3], steps=40)
    assert recorder.steps == [0, 12]
    assert not (recorder.looks[-1].weights["dense1.weight"] == 7).any()


def test_a_training_that_ends_early_is_recorded_to_its_end():
    def stop(epoch, history):
        return epoch == 3

    recorder = Recorder(every=50)
    train(recorder, None, epochs=40, callbacks=[stop])
    assert recorder.steps == [0, 12]
    with pytest.raises(ValueError, match="the loss became"):
        train(recorder, 500, dl.nn.MLP([2, 8, 8, 2], rng=0), dl.optim.SGD, lr=1e10)
    assert len(recorder.steps) >= 2
    assert not np.isfinite(recorder.history.step_loss[-1])


def test_parameters_of_a_function_are_recorded_without_weights_of_a_model():
    w = dl.Tensor(np.zeros((2, 2), np.float32), requires_grad=True, name="w")
    recorder = Recorder()
    arguments = lambda x: dl.Tensor(x) @ w, dl.losses.cross_entropy, dl.optim.SGD([w]), (X, Y)
    dl.fit(*arguments, epochs=2, progress=False, record=recorder)
    assert recorder.names == ["w"]
    assert recorder.looks[-1].weights is None
    np.testing.assert_array_equal(recorder.looks[-1].parts[0].grad, w.grad)


class Uncopied(dl.nn.MLP):
    reason: ClassVar = OSError("a file is open")

    def __deepcopy__(self, memo):
        raise self.reason


def test_a_lack_of_memory_for_a_copy_of_the_model_is_a_memory_error(monkeypatch):
    monkeypatch.setattr(Uncopied, "reason", MemoryError())
    with pytest.raises(MemoryError):
        train(Recorder(), model=Uncopied([2, 4, 2], rng=0))


def test_errors_teach_and_leave_the_model_as_it_was():
    with pytest.raises(ValueError, match="Recorder: every must be a whole number ≥ 1, got 0"):
        Recorder(every=0)
    with pytest.raises(TypeError, match=r"fit: record must be a dl.viz.Recorder.*got True"):
        train(True)
    with pytest.raises(TypeError, match=r"the class Recorder; make an object of it"):
        train(Recorder)
    with pytest.raises(RuntimeError, match="nothing was recorded yet"):
        Recorder().save("x.html")
    model = Uncopied([2, 4, 2], rng=0)
    with pytest.raises(TypeError, match=r"Uncopied can't be copied .*a file is open"):
        train(Recorder(), model=model)
    first = dl.nn.MLP([2, 4, 2], rng=0).state_dict()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, first[name])
    assert repr(Recorder(7)) == "Recorder(every=7)  # nothing recorded"
