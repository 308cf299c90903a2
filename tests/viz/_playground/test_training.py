"""A training of the playground: the bits of a plain loop, and a way back to remembered steps."""

import numpy as np
import pytest

import minidl as dl
from minidl.schedulers import plateaus
from minidl.viz._playground.settings import from_json as settings
from minidl.viz._playground.training import MOST_REMEMBERED, Training, build_data, keeps_state

CASES = {
    "plain": {},
    "dropout": {"dropout": 0.3, "init": "he_normal", "activation": "relu"},
    "full batch": {"runs": [{"rule": "SGD", "lr": "CosineDecay(0.2, 80)", "batch_size": None}]},
    "one output": {"data": "xor", "loss": "binary_cross_entropy", "runs": [{"batch_size": 1}]},
    "curve": {"data": "curve", "loss": "huber", "layers": [5], "runs": [{"batch_size": 1000}]},
    "columns": {"data": "three_classes", "loss": "mse", "test": 0.0},
    "plateau": {"runs": [{"lr": "ReduceOnPlateau(0.3, 0.5, patience=0, threshold=0.1)"}]},
}


def weights(training):
    return [p.data.copy() for p in training.model.parameters()]


def equal(a, b):
    return all((x == y).all() for x, y in zip(a, b, strict=True))


def test_a_training_is_that_of_fit_to_the_bit():
    training = Training(settings({}))
    training.advance(1)
    training.advance(60)
    x, y, _, _ = build_data(settings({}))
    model = dl.nn.MLP([2, 8, 8, 2], "tanh", rng=0)
    loader = dl.data.DataLoader(x, y, 16, rng=0)
    dl.fit(
        *(model, dl.losses.cross_entropy, dl.optim.Adam(model, lr=0.01), loader),
        steps=61,
        progress=False,
    )
    assert equal(weights(training), [p.data for p in model.parameters()])
    assert training.epochs == pytest.approx(61 / 9)
    assert training.epoch_length == 2


@pytest.mark.parametrize("case", CASES)
def test_how_many_steps_are_taken_at_a_time_changes_no_bit(case):
    one, many = (Training(settings(CASES[case])) for _ in range(2))
    for _ in range(43):
        one.advance(1)
    many.advance(40)
    many.advance(3)
    assert equal(weights(one), weights(many))
    assert one.losses == many.losses
    assert one.epochs == many.epochs
    assert equal(one.update, many.update)


@pytest.mark.parametrize("case", CASES)
def test_after_rewinding_the_same_steps_give_the_same_bits(case):
    training = Training(settings(CASES[case]))
    training.advance(17)
    training.remember()
    before, update = weights(training), training.update
    grads = [p.grad.copy() for p in training.model.parameters()]
    training.advance(30)
    after = weights(training)
    training.rewind(17)
    assert training.step == 17
    assert equal(weights(training), before)
    assert equal(training.update, update)
    assert equal([p.grad for p in training.model.parameters()], grads)
    training.advance(30)
    assert equal(weights(training), after)
    training.rewind(0)
    training.advance(47)
    assert equal(weights(training), after)


def test_update_is_what_the_last_step_added():
    training = Training(settings({}))
    training.advance(5)
    before = weights(training)
    training.advance(1)
    for p, old, update in zip(training.model.parameters(), before, training.update, strict=True):
        np.testing.assert_array_equal(update, p.data - old)


def test_the_number_of_remembered_states_is_bounded_and_the_first_is_kept():
    training = Training(settings({"layers": [1]}))
    for _ in range(3 * MOST_REMEMBERED):
        training.advance(1)
        training.remember()
    assert len(training.remembered) <= MOST_REMEMBERED + 1
    assert 0 in training.remembered
    training.rewind(0)
    assert list(training.remembered) == [0]


def test_states_are_remembered_after_many_changes_and_after_rewinding():
    training = Training(settings({"layers": [1]}))
    for i in range(3 * MOST_REMEMBERED):
        training.advance(1)
        training.edit("dense1.bias", (0,), i / 100)
    assert len(training.remembered) <= MOST_REMEMBERED + 1
    for _ in range(40):
        training.advance(1)
        training.remember()
    assert sum(step > 3 * MOST_REMEMBERED for step in training.remembered) >= 5
    training.rewind(0)
    for _ in range(5):
        training.advance(1)
        training.remember()
    assert list(training.remembered) == [0, 1, 2, 3, 4, 5]


def test_a_change_keeps_weights_and_what_it_does_not_concern():
    training = Training(settings({}))
    training.advance(20)
    kept = weights(training)
    training.change(settings({"runs": [{"lr": "0.5", "options": {"eps": 1e-4}}]}))
    assert training.optimizer.lr == 0.5
    assert training.optimizer.eps == 1e-4
    assert training.optimizer.t == 20
    assert training.loader._taken == 2  # 20 steps of 9 an epoch
    training.change(settings({"runs": [{"rule": "SGD", "batch_size": 4}]}))
    assert training.optimizer.t == 0
    assert training.loader.batch_size == 4
    training.change(settings({"activation": "elu", "data": "circles"}))
    assert isinstance(training.model[1], dl.nn.ELU)
    assert equal(weights(training), kept)


def test_another_network_keeps_the_weights_between_units_that_both_have():
    training = Training(settings({"layers": [3]}))
    training.advance(20)
    w1, b1, w2, b2 = weights(training)
    training.change(settings({"layers": [4], "loss": "binary_cross_entropy"}))
    first = [p.data for p in Training(training.settings).model.parameters()]
    v1, c1, v2, c2 = weights(training)
    np.testing.assert_array_equal(v1, np.hstack([w1, first[0][:, 3:]]))
    np.testing.assert_array_equal(c1, [*b1, first[1][3]])
    np.testing.assert_array_equal(v2, np.vstack([w2[:, :1], first[2][3:]]))
    np.testing.assert_array_equal(c2, b2[:1])
    training.change(settings({"layers": [4, 2], "data": "curve", "loss": "mse"}))
    x1, d1, _, _, x3, d3 = weights(training)
    np.testing.assert_array_equal(x1, v1[:1])  # one input
    np.testing.assert_array_equal(d1, c1)
    np.testing.assert_array_equal(x3, v2[:2])  # the last layers correspond
    np.testing.assert_array_equal(d3, c2)
    training.advance(2)
    assert [update.shape for update in training.update] == [p.shape for p in weights(training)]


PLATEAU = {"lr": "ReduceOnPlateau(0.3, 0.5, patience=0, threshold=0.05)", "rule": "SGD"}


def test_a_plateau_observes_the_losses_of_epochs_as_in_fit():
    own = {"data": "xor", "noise": 0.4, "runs": [PLATEAU]}
    training = Training(settings(own))
    rates = []
    for _ in range(90):
        rates.append(training.optimizer.lr)
        training.advance(1)
    assert len(set(rates)) > 2
    x, y, _, _ = build_data(settings(own))
    model = dl.nn.MLP([2, 8, 8, 2], "tanh", rng=0)
    rate = dl.schedulers.ReduceOnPlateau(0.3, 0.5, patience=0, threshold=0.05)
    loader = dl.data.DataLoader(x, y, 16, rng=0)
    history = dl.fit(
        *(model, dl.losses.cross_entropy, dl.optim.SGD(model, lr=rate), loader),
        steps=90,
        progress=False,
    )
    assert rates == history.lr
    assert equal(weights(training), [p.data for p in model.parameters()])


def test_a_plateau_that_is_chosen_in_an_epoch_observes_the_whole_of_it():
    own = {"samples": 20, "runs": [{"rule": "SGD", "lr": "0.1", "batch_size": 7}]}
    training = Training(settings(own))  # two batches of 7 an epoch
    training.advance(1)
    training.change(settings({**own, "runs": [{**PLATEAU, "batch_size": 7}]}))
    training.advance(1)
    (plateau,) = plateaus(training.optimizer.groups[0]["lr"])
    assert plateau.memory.best == pytest.approx(np.mean(training.losses))


def test_seconds_are_those_of_the_steps_that_led_here():
    training = Training(settings({}))
    assert training.seconds == 0
    training.advance(10)
    training.remember()
    before = training.seconds
    training.advance(50)
    assert training.seconds > before > 0
    training.rewind(10)
    assert training.seconds == before


@pytest.mark.parametrize(
    ("kind", "x", "y"),
    [
        ("classes", [[0.5, -1], [1, 0.25]], [0, 1]),
        ("values", [[0.5, -1], [1, 0.25]], [[0], [1]]),
        ("curve", [[0.5], [1]], [[-1], [0.25]]),
    ],
)
def test_own_points_are_classes_or_values_of_two_inputs_or_a_curve(kind, x, y):
    points = [[0.5, -1, 0], [1, 0.25, 1]] * 2
    loss = "cross_entropy" if kind == "classes" else "mse"
    own = {"data": "own", "kind": kind, "points": points, "test": 0, "loss": loss}
    built = build_data(settings(own))
    np.testing.assert_array_equal(built[0], np.array(x * 2, np.float32))
    np.testing.assert_array_equal(built[1], y * 2)


def test_rewinding_returns_to_the_settings_of_that_step():
    training = Training(settings({}))
    training.advance(5)
    training.remember()
    after = Training(settings({}))
    after.advance(9)
    training.change(settings({"activation": "relu", "runs": [{"rule": "SGD"}]}))
    training.advance(3)
    training.rewind(5)
    assert training.settings.activation == "relu"  # the change was after step 5, and still is
    training.rewind(0)
    assert training.settings == settings({})
    training.advance(9)
    assert equal(weights(training), weights(after))


def test_an_edited_weight_is_the_one_that_is_trained():
    training = Training(settings({}))
    training.advance(3)
    training.edit("dense1.weight", (1, 2), 0.75)
    training.edit("dense2.bias", (4,), -2.0)
    assert training.model.dense1.weight.data[1, 2] == 0.75
    training.advance(1)
    added = training.update[3][4]
    assert training.model.dense2.bias.data[4] == np.float32(-2.0) + added
    with pytest.raises(IndexError, match="has 2 axes"):
        training.edit("dense1.weight", (1,), 0.0)


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ({}, {"lr": "0.1"}, True),
        ({}, {"options": {"betas": [0.5, 0.9]}}, True),
        ({"options": {"eps": 0.1}}, {}, False),
        ({}, {"options": {"amsgrad": True}}, False),
        ({}, {"rule": "AdamW"}, False),
        (
            {"rule": "SGD", "options": {"momentum": 0.5}},
            {"rule": "SGD", "options": {"momentum": 0.9}},
            True,
        ),
        ({"rule": "SGD"}, {"rule": "SGD", "options": {"momentum": 0.9}}, False),
    ],
)
def test_the_state_of_a_rule_is_kept_if_it_has_the_same_arrays(old, new, kept):
    old, new = (settings({"runs": [run]}).runs[0] for run in (old, new))
    assert keeps_state(old, new) == kept
