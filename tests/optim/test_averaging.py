"""The average of the weights: its closed form, and its use in the model as a context manager."""

import contextlib
import copy
import math
import pickle
import re
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interrupting import FAILURES, each_interruption

import minidl as dl
from minidl.optim import average


def weights(values, dtype=np.float64, name=None):
    return dl.Tensor(np.array(values, dtype), requires_grad=True, name=name)


def bits(params):
    return [p.data.tobytes() for p in params]


def network(dtype="float32", seed=0):
    with dl.default_dtype(dtype):
        return dl.nn.MLP([2, 3, 1], "tanh", rng=seed)


def update_randomly(model, averaged, steps, seed=1):
    """A few steps of the weights, each taken into the average."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p in model.parameters():
            p.data = p.data + rng.normal(size=p.shape)
        averaged.update()


# --- the average --------------------------------------------------------------------------------


@given(
    decay=st.floats(0, 0.9999),
    seed=st.integers(0, 10**6),
    steps=st.integers(0, 40),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_the_average_is_a_geometric_sum_of_the_weights(decay, seed, steps, dtype):
    """a_t = δᵗ θ₀ + (1 − δ) Σ δᵗ⁻ˢ θ_s over s = 1 … t."""
    path = np.random.default_rng(seed).normal(size=(steps + 1, 2, 3)).astype(dtype)
    w = weights(path[0], dtype)
    averaged = average([w], decay)
    for theta in path[1:]:
        w.data = theta
        averaged.update()
    factors = (1 - decay) * decay ** np.arange(steps)[::-1]
    start, later = np.split(path.astype(np.float64), [1])
    expected = decay**steps * start[0] + np.tensordot(factors, later, 1)
    np.testing.assert_allclose(averaged.state_dict()["0"], expected, rtol=1e-12, atol=1e-13)
    with averaged:
        np.testing.assert_allclose(w.data, expected.astype(dtype), rtol=1e-6, atol=1e-13)
        assert w.dtype == dtype


def test_small_moves_of_float32_weights_are_not_lost():
    """(1 − δ)(θ − a) is below half an ulp of a = 1, where a float32 average would stand still."""
    w = weights([1.0], np.float32)
    averaged = average([w], 0.9999)
    w.data = [1 + 2.0**-13]
    for _ in range(20_000):
        averaged.update()
    assert np.float32(1) + np.float32(0.0001) * np.float32(2.0**-13) == 1
    expected = 1 + 2.0**-13 * (1 - 0.9999**20_000)
    assert averaged.state_dict()["0"].dtype == np.float64
    assert averaged.state_dict()["0"][0] - 1 == pytest.approx(expected - 1, rel=1e-8, abs=0)
    with averaged:
        assert w.data[0] == np.float32(expected) > 1


def test_the_average_of_constant_weights_is_the_weights_bit_for_bit(rng):
    model = network()
    averaged, own = average(model, 0.9), bits(model.parameters())
    for _ in range(50):
        averaged.update()
    with averaged:
        assert bits(model.parameters()) == own


def test_without_decay_the_average_is_the_last_weights():
    model = network()
    averaged = average(model, 0)
    update_randomly(model, averaged, 5)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(averaged.state_dict()[name], value, rtol=1e-15, atol=1e-15)


def test_before_the_first_update_the_average_is_the_initial_weights():
    model = network()
    averaged, start = average(model, 0.9), bits(model.parameters())
    model.load_state_dict(network(seed=5).state_dict())
    with averaged:
        assert bits(model.parameters()) == start


def test_an_update_does_not_change_the_weights():
    w = weights([1.0, 2.0])
    data, averaged = w.data, average([w], 0.5)
    averaged.update()
    assert w.data is data
    assert (data.tolist(), w.version) == ([1, 2], 0)


@pytest.mark.parametrize(
    "form",
    [
        lambda model: model,
        lambda model: model.parameters(),
        lambda model: list(model.named_parameters()),
        lambda model: [*model.parameters(), *model.parameters()],
    ],
)
def test_the_model_may_come_in_every_form(form):
    model = network()
    averaged, start = average(form(model), 0.5), model.state_dict()
    update_randomly(model, averaged, 1)
    moved = model.state_dict()
    with averaged:
        for name, p in model.named_parameters():
            np.testing.assert_allclose(p.data, (start[name] + moved[name]) / 2, 1e-6, 1e-7)


# --- in a with ----------------------------------------------------------------------------------


class Crash(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("crash", [False, True])
def test_the_with_uses_the_averaged_weights_and_restores_the_originals_bit_for_bit(dtype, crash):
    model = network(dtype)
    model[0].weight.requires_grad = False
    averaged = average(model, 0.9)
    update_randomly(model, averaged, 3)
    own, state = bits(model.parameters()), averaged.state_dict()
    with contextlib.suppress(Crash), averaged:
        for name, p in model.named_parameters():
            np.testing.assert_array_equal(p.data, state[name].astype(dtype))
        if crash:
            raise Crash
    assert bits(model.parameters()) == own
    np.testing.assert_equal(averaged.state_dict(), state)
    averaged.update()
    with averaged as inside:
        assert inside is averaged
        assert bits(model.parameters()) != own


def test_frozen_weights_are_averaged_and_restored_still_frozen():
    model = network()
    model[0].weight.requires_grad = False
    averaged = average(model, 0.5)
    before = model[0].weight.data.copy()
    model[0].weight.data = before + 2
    averaged.update()
    with averaged:
        np.testing.assert_allclose(model[0].weight.data, before + 1, rtol=1e-6)
    np.testing.assert_array_equal(model[0].weight.data, before + 2)
    assert not model[0].weight.requires_grad


def test_gradients_do_not_change():
    w = weights([1.0])
    w.grad = g = np.array([7.0])
    averaged = average([w], 0.5)
    averaged.update()
    with averaged:
        assert w.grad is g
    assert w.grad is g
    assert g == 7


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda averaged: averaged.update(), "update"),
        (lambda averaged: averaged.__enter__(), "a second `with`"),
        (lambda averaged: averaged.load_state_dict(averaged.state_dict()), "load_state_dict"),
    ],
)
def test_updates_and_loads_inside_the_with_are_refused(action, message):
    model = network()
    averaged = average(model, 0.5)
    update_randomly(model, averaged, 2)
    own, state = bits(model.parameters()), averaged.state_dict()
    with averaged:
        inside = bits(model.parameters())
        with pytest.raises(
            RuntimeError, match=rf"^average: {re.escape(message)} inside the `with`"
        ):
            action(averaged)
        assert bits(model.parameters()) == inside
    assert bits(model.parameters()) == own
    np.testing.assert_equal(averaged.state_dict(), state)
    action(averaged)
    averaged.__exit__(None)
    assert bits(model.parameters()) == own


def assign(model):
    model[2].bias.data = [5.0]


def step(model):
    model[2].bias.grad = np.ones(1, np.float32)
    dl.optim.SGD([model[2].bias], lr=1.0).step()


def load(model):
    model.load_state_dict(network(seed=9).state_dict())


@pytest.mark.parametrize("change", [assign, step, load])
def test_a_change_inside_the_with_is_reported_and_undone(change):
    model = network()
    averaged = average(model, 0.5)
    update_randomly(model, averaged, 2)
    own, state = bits(model.parameters()), averaged.state_dict()
    name = "dense1.weight of shape (2, 3)" if change is load else "dense2.bias of shape (1,)"
    message = rf"^average: {re.escape(name)} was changed.*Train outside"
    with pytest.raises(RuntimeError, match=message), averaged:
        change(model)
    assert bits(model.parameters()) == own
    np.testing.assert_equal(averaged.state_dict(), state)
    averaged.update()
    with averaged:
        assert bits(model.parameters()) != own


def test_an_error_inside_is_not_hidden_by_the_report_of_a_change():
    model = network()
    averaged, own = average(model, 0.5), bits(model.parameters())

    def crash():
        with averaged:
            assign(model)
            raise Crash

    with pytest.raises(Crash):
        crash()
    assert bits(model.parameters()) == own


def test_a_graph_does_not_outlive_the_weights_it_was_recorded_with():
    w = weights([3.0], name="w")
    averaged = average([w], 0.5)
    before, earlier = (w * w).sum(), (w * w).sum()
    with averaged:
        inside = (w * w).sum()
        with pytest.raises(RuntimeError, match=r"w of shape \(1,\) was changed"):
            before.backward()
    for graph in (earlier, inside):
        with pytest.raises(RuntimeError, match=r"w of shape \(1,\) was changed"):
            graph.backward()
    assert w.grad is None
    (w * w).sum().backward()
    assert w.grad == 6


# --- in a training --------------------------------------------------------------------------------


def noisy_line():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(64, 2))
    return x, x @ [[1.0], [-2.0]] + 0.5 * rng.normal(size=(64, 1))


def test_a_training_by_hand_is_not_changed_by_using_the_average():
    x, y = noisy_line()
    runs = []
    for evaluate in (False, True):
        model = network()
        optimizer = dl.optim.Adam(model, lr=0.05)
        averaged = average(model, 0.9)
        for _ in range(20):
            optimizer.zero_grad()
            dl.losses.mse(model(x), y.astype(np.float32)).backward()
            optimizer.step()
            averaged.update()
            if evaluate:
                with averaged, dl.no_grad():
                    model(x)
        runs.append((bits(model.parameters()), repr(averaged.state_dict())))
    assert runs[0] == runs[1]


def test_as_a_callback_of_fit_it_averages_the_weights_of_the_epochs():
    model, history = network(), []
    averaged = average(model, 0.8)
    expected = {name: value.astype(float) for name, value in model.state_dict().items()}

    def update(epoch, _):
        averaged.update()
        history.append(model.state_dict())

    optimizer = dl.optim.SGD(model, lr=0.1)
    dl.fit(
        model,
        dl.losses.mse,
        optimizer,
        noisy_line(),
        epochs=7,
        callbacks=[update],
        progress=False,
    )
    for state in history:
        expected = {name: 0.8 * a + 0.2 * state[name].astype(float) for name, a in expected.items()}
    assert len(history) == 7
    for name, a in averaged.state_dict().items():
        np.testing.assert_allclose(a, expected[name], rtol=1e-12, atol=1e-14)


def test_the_average_of_noisy_weights_is_closer_to_the_minimum():
    rng = np.random.default_rng(0)
    w = weights(np.zeros(500))
    optimizer, averaged = dl.optim.SGD([w], lr=0.5), average([w], 0.98)
    for _ in range(400):
        w.grad = w.data + rng.normal(size=500)
        optimizer.step()
        averaged.update()
    own = (w.data**2).mean()
    with averaged:
        assert (w.data**2).mean() < own / 10


# --- saving and going on --------------------------------------------------------------------------


def test_a_saved_average_continues_bit_for_bit():
    model = network()
    averaged = average(model, 0.9)
    update_randomly(model, averaged, 3)
    saved, weights_then = averaged.state_dict(), model.state_dict()
    update_randomly(model, averaged, 3, seed=2)

    resumed = network(seed=7)
    later = average(resumed, 0.9)
    later.load_state_dict(dict(reversed(saved.items())))
    resumed.load_state_dict(weights_then)
    update_randomly(resumed, later, 3, seed=2)
    np.testing.assert_equal(later.state_dict(), averaged.state_dict())
    with averaged, later:
        assert bits(resumed.parameters()) == bits(model.parameters())


def test_the_state_is_a_copy_in_float64_and_so_is_what_is_loaded():
    model = network()
    averaged = average(model, 0.9)
    update_randomly(model, averaged, 2)
    state, expected = averaged.state_dict(), averaged.state_dict()
    assert {a.dtype for a in state.values()} == {np.dtype(np.float64)}
    state["dense1.bias"][:] = np.nan
    np.testing.assert_equal(averaged.state_dict(), expected)
    loaded = copy.deepcopy(expected)
    averaged.load_state_dict(loaded)
    loaded["dense1.bias"][:] = np.nan
    np.testing.assert_equal(averaged.state_dict(), expected)


def test_loading_does_not_change_the_weights():
    model = network()
    averaged, own = average(model, 0.9), bits(model.parameters())
    averaged.load_state_dict(network(seed=4).state_dict())
    assert bits(model.parameters()) == own
    with averaged:
        assert bits(model.parameters()) == bits(network(seed=4).parameters())


@pytest.mark.parametrize(
    "params",
    [
        lambda: network(),
        lambda: list(network().named_parameters())[::-1],
        lambda: [weights([1.0], name="a"), weights([2.0], name="b")],
        lambda: [weights([1.0]), weights([2.0])],
        lambda: [weights([1.0], name="w"), weights([2.0], name="w")],
        lambda: [("a", weights([1.0])), weights([2.0])],
    ],
)
def test_names_are_those_of_an_optimizers_state(params):
    given_as = params()
    averaged = average(given_as, 0.9)
    optimizer = dl.optim.Adam(given_as)
    assert list(averaged.state_dict()) == list(optimizer.state_dict()["state"])


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda state: state.pop("dense1.bias"),
        lambda state: state.update(other=np.zeros(3)),
        lambda state: state.update({"bias": state.pop("dense1.bias")}),
        lambda state: state.update({"dense2.bias": np.zeros(2)}),
        lambda state: state.update({"dense2.bias": 0.0}),
        lambda state: state.update({"dense1.weight": np.zeros((3, 2))}),
        lambda state: state.update({"dense1.weight": np.zeros(6)}),
        lambda state: state.clear(),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_changes(corrupt):
    averaged = average(network(), 0.9)
    before, state = averaged.state_dict(), average(network(seed=4), 0.9).state_dict()
    corrupt(state)
    with pytest.raises(ValueError, match=r"^average: the state has .*, but the model's weights"):
        averaged.load_state_dict(state)
    np.testing.assert_equal(averaged.state_dict(), before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copied_model_and_average_stay_linked_and_continue_identically(copied):
    model = network()
    averaged = average(model, 0.9)
    update_randomly(model, averaged, 3)
    model_copy, averaged_copy = copied((model, averaged))
    before = bits(model.parameters()), repr(averaged.state_dict())
    update_randomly(model_copy, averaged_copy, 3, seed=2)
    assert (bits(model.parameters()), repr(averaged.state_dict())) == before
    update_randomly(model, averaged, 3, seed=2)
    np.testing.assert_equal(averaged_copy.state_dict(), averaged.state_dict())
    with averaged, averaged_copy:
        assert bits(model_copy.parameters()) == bits(model.parameters())


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decay", "error"),
    [(value, ValueError) for value in (1, 1.0, 1.5, -0.1, math.nan, math.inf, -math.inf, 10**400)]
    + [(value, TypeError) for value in (True, "0.9", None, [0.9], 1j, np.ones(1))],
    ids=lambda value: repr(value)[:20],
)
def test_an_invalid_decay_is_named_with_its_value(decay, error):
    message = f"average: decay must be a finite number ≥ 0 and < 1, got {decay!r}"
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        average([weights([1.0])], decay)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ([], ValueError, "there are no parameters"),
        (dl.nn.ReLU(), ValueError, "there are no parameters"),
        (None, TypeError, "params must be"),
        (weights([1.0]), TypeError, "put it in a list"),
        ([np.ones(2)], TypeError, "ndarray, which is not a minidl tensor"),
        ([2 * weights([1.0])], ValueError, "was computed from"),
    ],
)
def test_a_model_without_parameters_is_refused(model, error, message):
    with pytest.raises(error, match=rf"^average: .*{message}"):
        average(model, 0.9)


def test_a_state_that_is_not_a_dict_is_refused():
    averaged = dl.optim.average([dl.Tensor([1.0], True)], 0.5)
    with pytest.raises(TypeError, match=r"^average: a state is a dict of arrays by name, got None"):
        averaged.load_state_dict(None)


# --- all or nothing -------------------------------------------------------------------------------


def three_weights():
    """A 0-d, a frozen and a float32 parameter, and their average after two updates."""
    params = [weights(3.0), weights([1.0, 2.0]), weights([[4.0]], np.float32)]
    params[1].requires_grad = False
    averaged = average([*params, params[0]], 0.5)
    for step in range(2):
        for p in params:
            p.data = p.data + step + 1
        averaged.update()
    return params, averaged


def look_at(prepared):
    params, averaged = prepared
    state = {name: a.tolist() for name, a in averaged.state_dict().items()}
    return repr((bits(params), [p.version for p in params], state))


@FAILURES
@pytest.mark.parametrize(
    "call",
    [
        lambda x: x[1].update(),
        lambda x: x[1].load_state_dict({"0": 7.0, "1": [8.0, 9.0], "2": [[1.0]]}),
        lambda x: x[1].__enter__(),
    ],
)
def test_updates_loads_and_entering_happen_whole_or_not_at_all(failures, call):
    before, done = look_at(three_weights()), three_weights()
    call(done)
    outcomes = {before, look_at(done)}
    assert len(outcomes) == 2
    for prepared in failures(three_weights, call):
        assert look_at(prepared) in outcomes


@FAILURES
def test_the_own_weights_return_whatever_is_interrupted(failures):
    own = bits(three_weights()[0])

    def evaluate(prepared):
        params, averaged = prepared
        with averaged:
            sum(float(p.data.sum()) for p in params)

    for params, averaged in failures(three_weights, evaluate):
        if failures is each_interruption:
            assert bits(params) == own
        else:  # a failed allocation in __exit__ itself is an error of its own, and can be repeated
            averaged.__exit__(None)
            assert bits(params) == own
        averaged.update()


def test_an_average_that_underflows_in_float32_can_be_entered_whatever_errstate_says():
    a, b = weights([3.0], np.float32), weights([1e-44], np.float32)
    averaged = average([a, b], 0.5)
    a.data = [1.0]
    with np.errstate(all="raise"):
        averaged.update()
        with averaged:
            assert (a.data[0], b.data[0]) == (2, np.float32(1e-44))
        assert (a.data[0], b.data[0]) == (1, np.float32(1e-44))
        averaged.load_state_dict({"0": [1e300], "1": [1e-300]})
        with averaged:
            assert (a.data[0], b.data[0]) == (math.inf, 0)
        averaged.update()
    assert (a.data[0], b.data[0]) == (1, np.float32(1e-44))


def test_the_own_arrays_return_themselves():
    params, averaged = three_weights()
    arrays = [p.data for p in params]
    with averaged, dl.no_grad():
        assert all(p.data is not a for p, a in zip(params, arrays, strict=True))
    assert all(p.data is a for p, a in zip(params, arrays, strict=True))


def test_a_load_that_fails_midway_changes_nothing():
    class Failing:
        def __array__(self, dtype=None, copy=None):
            raise ZeroDivisionError

    params, averaged = three_weights()
    before = look_at((params, averaged))
    with pytest.raises(ZeroDivisionError):
        averaged.load_state_dict({"0": 7.0, "1": [8.0, 9.0], "2": Failing()})
    assert look_at((params, averaged)) == before


def test_threads_that_share_an_average_get_an_error_and_never_half_an_update():
    size, threads, rounds = 100_000, 8, 5
    w = weights(np.zeros(size))
    averaged = average([w], 0.5)
    w.data = np.ones(size)
    barrier, made, errors = threading.Barrier(threads), [], []

    def work(update):
        for _ in range(rounds):
            barrier.wait()
            try:
                if update:
                    averaged.update()
                    made.append(1)
                else:
                    with averaged:
                        pass
            except RuntimeError as error:
                errors.append(str(error))

    workers = [threading.Thread(target=work, args=[i > 0]) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(error.startswith("average: ") for error in errors)
    np.testing.assert_allclose(averaged.state_dict()["0"], 1 - 0.5 ** len(made), rtol=1e-12)
    assert (w.data == 1).all()
