"""What a ReduceOnPlateau in the rates of an optimizer is shown."""

import pickle

import pytest
from fitting import PARTS, X, Y, acting, fit, problem, weights

import minidl as dl
from minidl import nn
from minidl.schedulers import CoolDown, ReduceOnPlateau, Sequence, WarmUp

FALLING = {"factor": 0.5, "patience": 0, "threshold": 0.2}


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda p: p,
        lambda p: WarmUp(p, 2),
        lambda p: CoolDown(p, 30, 4),
        lambda p: Sequence([(p, 4), p]),
        lambda p: CoolDown(WarmUp(Sequence([(0.1, 1), p]), 2), 30, 4),
    ],
)
def test_fit_shows_a_plateau_the_validation_loss_else_the_training_loss(wrap, validated):
    plateau, twin = ReduceOnPlateau(0.1, **FALLING), ReduceOnPlateau(0.1, **FALLING)
    model, optimizer, loader = problem(lr=wrap(plateau))
    options = {"validation": (X[:4], Y[:4])} if validated else {}
    history = fit(model, optimizer, loader, epochs=6, **options)
    for loss in history.validation or history.loss:
        twin.observe(loss)
    assert plateau.memory == twin.memory
    assert plateau.memory.rate < 0.1
    assert plateau.observations == 6


def test_the_rate_of_an_epoch_is_what_the_epochs_before_it_gave():
    history = fit(*problem(lr=ReduceOnPlateau(0.1, **FALLING)), epochs=6)
    twin, rates = ReduceOnPlateau(0.1, **FALLING), []
    for loss in history.loss:
        rates += [twin(0)] * 3
        twin.observe(loss)
    assert history.lr == rates
    assert len(set(rates)) > 1


def test_each_plateau_of_several_groups_is_shown_the_loss_once():
    model = nn.MLP([1, 6, 1], "tanh", rng=0)
    shared, own = ReduceOnPlateau(0.1, **FALLING), ReduceOnPlateau(0.1, **FALLING)
    groups = [
        {"params": [p], "lr": rate}
        for p, rate in zip(model.parameters(), [shared, WarmUp(shared, 2), own, 0.1], strict=True)
    ]
    fit(model, dl.optim.SGD(groups), (X, Y), epochs=4)
    assert (shared.observations, own.observations) == (4, 4)
    assert shared == own


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_that_a_callback_shows_a_metric_is_not_shown_the_loss(mode):
    plateau, twin = (ReduceOnPlateau(0.1, **FALLING, mode=mode) for _ in range(2))
    metrics = [0.1, 0.2, 0.2, 0.9]
    callbacks = [lambda epoch, history: plateau.observe(metrics[epoch - 1])]
    fit(*problem(lr=WarmUp(plateau, 2)), epochs=4, callbacks=callbacks)
    for metric in metrics:
        twin.observe(metric)
    assert (plateau.memory, plateau.observations) == (twin.memory, 4)


def test_a_plateau_at_its_lowest_rate_counts_as_observed_though_nothing_changes_in_it():
    plateau = ReduceOnPlateau(0.1, patience=0, min_lr=0.1)
    plateau.observe(-1.0)
    callbacks = [lambda epoch, history: plateau.observe(0.0)]
    fit(*problem(lr=plateau), epochs=2, callbacks=callbacks)
    assert plateau.observations == 3


def test_a_metric_shown_in_a_step_counts_for_its_epoch():
    plateau = ReduceOnPlateau(0.1)
    fit(*problem(lr=plateau), loss=acting(5, lambda: plateau.observe(7.0)), epochs=3)
    assert plateau.observations == 3


def test_a_plateau_that_a_callback_sets_is_shown_the_loss_from_then_on():
    plateau, (model, optimizer, loader) = ReduceOnPlateau(0.1, **FALLING), problem()

    def change(epoch, history):
        if epoch == 2:
            optimizer.lr = plateau

    history = fit(model, optimizer, loader, epochs=4, callbacks=[change])
    twin = ReduceOnPlateau(0.1, **FALLING)
    for loss in history.loss[1:]:
        twin.observe(loss)
    assert plateau == twin


@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: WarmUp(p, 2)])
def test_a_plateau_in_mode_max_without_callbacks_is_an_error_before_the_training(wrap):
    model, optimizer, loader = problem(lr=wrap(ReduceOnPlateau(0.1, mode="max")))
    before = weights(model)
    with pytest.raises(ValueError, match=r'mode "max" needs a metric of its own.*plateau.observe'):
        fit(model, optimizer, loader)
    assert (weights(model), optimizer.t) == (before, 0)


def test_a_plateau_in_mode_max_that_nobody_shows_a_metric_is_an_error_after_the_epoch():
    plateau, other = ReduceOnPlateau(0.1, mode="max"), ReduceOnPlateau(0.1)
    model = nn.Dense(1, 1, rng=0)
    groups = [{"params": [model.bias], "lr": other}, {"params": [model.weight], "lr": plateau}]
    show = [lambda epoch, history: plateau.observe(1.0) if epoch == 1 else None]
    with pytest.raises(ValueError, match='mode "max" needs a metric of its own'):
        fit(model, dl.optim.SGD(groups), (X, Y), callbacks=show)
    assert (plateau.observations, other.observations) == (1, 1)


@pytest.mark.parametrize("rule", [dl.optim.SGD, dl.optim.Adam])
def test_training_resumed_from_pickled_states_continues_to_the_same_bits(rule):
    def start():
        return problem(rule=rule, lr=ReduceOnPlateau(0.1, **FALLING))[:2]

    (model, optimizer), (whole, same), (twin, resumed) = start(), start(), start()
    fit(whole, same, PARTS, epochs=5)
    fit(model, optimizer, PARTS, epochs=2)
    saved = pickle.loads(pickle.dumps((model.state_dict(), optimizer.state_dict())))
    twin.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    fit(twin, resumed, PARTS, epochs=3)
    assert weights(twin) == weights(whole)
    assert (resumed.t, resumed.lr) == (same.t, same.lr)
