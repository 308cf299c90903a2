"""Threads with models of their own, or one that they share: whole steps, or an error.

A free-threaded CPython runs them at the same time, so there each makes ten times as many calls.
"""

import sysconfig
import threading

import numpy as np
import pytest

import minidl as dl
from minidl import nn, optim

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
CALLS = 300 if FREE_THREADED else 30
X = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
Y = X[:, :1] * 2


@pytest.fixture(autouse=True)
def one_thread_for_each_kernel():
    before = dl.get_num_threads()
    dl.set_num_threads(1)
    yield
    dl.set_num_threads(before)


class Job:
    """A small training; `steps` are as many captured steps, on one optimizer."""

    def __init__(self, seed=0, steps=1):
        layers = nn.Dense(4, 8, rng=seed), nn.Tanh(), nn.Dense(8, 1, rng=seed + 1)
        self.model = nn.Sequential(*layers)
        self.optimizer = optim.Adam(self.model, lr=1e-3)
        self.steps = [dl.capture(lambda x, y: self.step(x, y)) for _ in range(steps)]

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = dl.losses.mse(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def weights(self):
        return [p.data.copy() for p in self.model.parameters()]

    def recorded(self):
        """The same, after all steps have been recorded."""
        for step in self.steps:
            for _ in range(3):
                step(X, Y)
        return self


def at_once(*works):
    """Call each function CALLS times in a thread of its own; the results, without refused calls.

    A call may be refused, since another one is running; any other error is raised.
    """
    barrier, results, errors = threading.Barrier(len(works)), [[] for _ in works], []

    def run(work, found):
        barrier.wait()
        for _ in range(CALLS):
            try:
                found.append(work())
            except RuntimeError as error:
                if "another call is changing" not in str(error) and "another thread" not in str(
                    error
                ):
                    errors.append(error)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=run, args=pair) for pair in zip(works, results, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
    return results


@pytest.mark.parametrize("captured", [True, False])
def test_threads_with_their_own_models_find_the_bits_of_one_thread(captured):
    def trained():
        jobs = [Job(seed) for seed in range(4)]
        return jobs, [
            lambda step=job.steps[0] if captured else job.step: step(X, Y).item() for job in jobs
        ]

    alone, calls = trained()
    expected = [[call() for _ in range(CALLS)] for call in calls]
    jobs, calls = trained()
    assert at_once(*calls) == expected
    np.testing.assert_equal([job.weights() for job in jobs], [job.weights() for job in alone])


@pytest.mark.parametrize("steps", [1, 3])
def test_captured_steps_on_one_optimizer_are_whole_or_refused(steps):
    job, alone = Job(steps=steps).recorded(), Job().recorded()
    calls = [lambda step=step: step(X, Y).item() for step in job.steps] * (4 // steps)
    before = job.optimizer.t
    done = sum(map(len, at_once(*calls)))
    assert job.optimizer.t == before + done
    for _ in range(job.optimizer.t - alone.optimizer.t):
        alone.steps[0](X, Y)
    np.testing.assert_equal(job.weights(), alone.weights())


def test_predictions_of_a_shared_captured_model_are_each_threads_own():
    job, step = Job(), dl.capture(lambda x: job.model(x))
    inputs = [X + i for i in range(4)]
    with dl.no_grad():
        expected = [job.model(x).numpy() for x in inputs]
    for _ in range(3):
        step(X)
    results = at_once(*(lambda x=x: step(x).numpy() for x in inputs))
    for found, right in zip(results, expected, strict=True):
        for prediction in found:
            np.testing.assert_array_equal(prediction, right)


def test_an_optimizer_that_is_loaded_and_saved_during_its_steps_stays_whole():
    job = Job().recorded()
    saved, optimizer = job.optimizer.state_dict(), job.optimizer

    def gradients_and_step():
        for p in job.model.parameters():
            p.grad = np.ones_like(p.data)
        optimizer.step()

    def counts(state):
        return {state["t"], *(slots["t"] for slots in state["state"].values())}

    *_, states = at_once(
        lambda: optimizer.load_state_dict(saved),
        gradients_and_step,
        lambda: job.steps[0](X, Y),
        optimizer.state_dict,
    )
    for state in (*states, optimizer.state_dict()):
        assert len(counts(state)) == 1
