"""Remarks: each finding is made where the problem is, and not in similar cases without it."""

import math
import operator

import numpy as np
import pytest

import minidl as dl
from minidl import losses, nn, optim
from minidl.walkthrough.remarks import find_remarks, gradient_sizes


def leaf(data, name=None):
    return dl.Tensor(np.array(data, float), requires_grad=True, name=name)


def walked(case):
    """The walkthrough of the function that a case returns."""
    run = case()
    with np.errstate(all="ignore"), dl.trace() as walk:
        run()
    return walk


def of(function, data, *more):
    """A case: a function of one leaf, forward and back."""

    def case():
        x = leaf(data, "x")
        return lambda: function(x, *more).sum().backward()

    return case


def layers(factor):
    """Two layers; the gradient of the first is larger by a factor."""

    def case():
        first, last = leaf(np.zeros((2, 2)), "first"), leaf(np.ones((2, 2)), "last")
        x = np.ones((3, 2))
        return lambda: (((x @ first) * factor + 1.0) @ last).sum().backward()

    return case


def classified(before):
    def case():
        scores = leaf([[1.0, -1.0], [0.5, 0.0]])
        return lambda: losses.cross_entropy(before(scores), [0, 1]).backward()

    return case


def judged(before):
    def case():
        scores = leaf([1.0, -1.0])
        return lambda: losses.binary_cross_entropy(before(scores), [0, 1]).backward()

    return case


def descended(lr):
    """A gradient step on a parabola; the loss increases if lr > 1."""

    def case():
        x = leaf([1.0, -3.0])

        def run():
            (x * x).sum().backward()
            with dl.no_grad():
                x.data = x.data - lr * x.grad

        return run

    return case


def scaled(largest):
    def case():
        layer = nn.Dense(2, 1, rng=0)
        x = np.array([[0.5, -largest], [1.0, 2.0]], np.float32)
        return lambda: layer(x).sum().backward()

    return case


def stepped(between, frozen=False, used=True, lr=0.1):
    """A case: a step of two parameters, with something between backward and the step."""

    def case():
        v, w = leaf([3.0, 4.0], "v"), leaf([1.0], "w")
        optimizer = optim.SGD([v, w], lr=lr)
        w.requires_grad = not frozen

        def run():
            ((v * v).sum() + (w.sum() if used else 0.0)).backward()
            between([v, w])
            optimizer.step()

        return run

    return case


def by_hand():
    """A gradient step that the ops of the block take."""
    x = leaf([1.0, -3.0])

    def run():
        nonlocal x
        (x * x).sum().backward()
        with dl.no_grad():
            x -= 0.1 * x.grad

    return run


def with_old_gradients(*old):
    def case():
        x = leaf([1.0, 2.0], "x")
        for g in old:
            x.grad = g
        return lambda: (x * x).sum().backward()

    return case


def squared():
    x = leaf([1.0, 2.0], "x")
    return lambda: (x * x).sum().backward()


def forward_alone():
    x = leaf([1.0, 2.0])
    return lambda: (x * x).sum()


def forward_outside():
    return forward_alone()().backward


def forward_half_outside():
    x = leaf([1.0, 2.0])
    outside = x * x
    return lambda: outside.sum().backward()


def forward_half_outside_of_a_leaf_used_inside():
    x = leaf([1.0, 2.0])
    outside = x * x
    return lambda: (outside * x).sum().backward()


def detached():
    x = leaf([1.0, 2.0])
    outside = (x * x).detach()
    return lambda: (outside * x).sum().backward()


def clipped(max_norm):
    return lambda params: optim.clip_grad_norm(params, max_norm)


NOTHING = clipped(1e9)
FOUND = {  # cases where a finding is made, and cases like them where it is not
    "NaN first appears here": (
        [of(dl.log, [-1.0, 2.0]), of(dl.sqrt, [-1.0]), of(operator.truediv, [0.0], 0.0)],
        [of(dl.log, [1.0, 2.0]), of(dl.exp, [math.nan]), of(dl.exp, [1000.0])],
    ),
    "∞ first appears here": (
        [of(dl.exp, [1000.0]), of(dl.log, [0.0]), of(operator.truediv, [1.0], 0.0)],
        [of(dl.exp, [100.0]), of(dl.exp, [math.inf]), of(dl.relu, [-1.0])],
    ),
    "A gradient that is not finite first appears here": (
        [of(dl.sqrt, [0.0, 4.0]), of(operator.pow, [0.0], 0.5)],
        [of(dl.sqrt, [4.0]), of(dl.log, [-1.0]), of(dl.norm, [0.0]), of(operator.pow, [0.0], 2.0)],
    ),
    "Saturated tanh": (
        [of(dl.tanh, [4.0, 0.1, 0.5, 1.0]), of(dl.tanh, [-9.0])],
        [of(dl.tanh, [4.0, 0.1, 0.5, 1.0, -1.0]), of(dl.tanh, [2.0, -2.0]), of(dl.sigmoid, [9.0])],
    ),
    "Saturated sigmoid": (
        [of(dl.sigmoid, [5.0, -5.0, 0.0]), of(dl.sigmoid, [-40.0])],
        [of(dl.sigmoid, [4.0, -4.0]), of(dl.sigmoid, [9.0, 0, 0, 0, 0]), of(dl.tanh, [9.0])],
    ),
    "Dead ReLU": (
        [of(dl.relu, [[-1.0, 2.0], [-3.0, 1.0]]), of(dl.relu, -np.ones((2, 2, 2)))],
        [
            *(of(dl.relu, [[-1.0, 2.0], [3.0, -1.0]]), of(dl.relu, [[-1.0, 2.0]])),
            *(of(dl.relu, [-1.0, -2.0]), of(dl.leaky_relu, [[-1.0], [-2.0]])),
        ],
    ),
    "Inputs that need scaling": (
        [scaled(50.0), scaled(-1e6)],
        [
            scaled(3.0),
            scaled(10.0),
            scaled(math.nan),
            of(operator.matmul, [[50.0, 1.0]], np.eye(2)),
        ],
    ),
    "Softmax before cross_entropy": (
        [classified(dl.softmax), classified(nn.Softmax())],
        [classified(lambda x: x * 1.0), classified(dl.log_softmax)],
    ),
    "A gradient that was not zeroed": (
        [with_old_gradients(np.array([1.0, 1.0])), with_old_gradients(np.array([0.0, 1.0]))],
        [
            with_old_gradients(),
            with_old_gradients(np.ones(2), None),
            with_old_gradients(np.zeros(2)),
        ],
    ),
    "Sigmoid before binary_cross_entropy": (
        [judged(dl.sigmoid)],
        [judged(dl.tanh), classified(dl.sigmoid)],
    ),
    "The loss increased": ([descended(1.1), descended(math.inf)], [descended(0.1), squared]),
    "A learning rate of 0": (
        [stepped(NOTHING, lr=0.0), stepped(NOTHING, lr=dl.schedulers.WarmUp(0.1, steps=5))],
        [stepped(NOTHING, lr=dl.schedulers.WarmUp(0.1, steps=5, start=0.01)), squared],
    ),
    "An update that was not recorded": (
        [descended(0.1)],
        [squared, stepped(NOTHING), by_hand],
    ),
    "A vanishing gradient": ([layers(1e-4), layers(-1e-9)], [layers(1e-2), layers(1.0), squared]),
    "An exploding gradient": ([layers(1e4), layers(-1e9)], [layers(1e2), layers(1.0), squared]),
    "The gradient was changed before the step": (
        [
            stepped(clipped(1.0)),
            stepped(lambda params: optim.clip_grad_value(params, 0.5)),
            stepped(lambda params: params[0].grad.__imul__(2)),
        ],
        [stepped(clipped(100.0)), stepped(lambda params: None), squared],
    ),
    "Parameters without a gradient": (
        [stepped(NOTHING, used=False), stepped(lambda params: params[1].zero_grad())],
        [stepped(NOTHING), stepped(NOTHING, used=False, frozen=True)],
    ),
    "No backward pass": ([forward_alone, lambda: lambda: None], [squared, forward_outside]),
    "A forward pass that was not recorded": (
        [forward_outside, forward_half_outside, forward_half_outside_of_a_leaf_used_inside],
        [squared, detached, forward_alone, of(operator.matmul, [[1.0, 1.0]], np.eye(2))],
    ),
}


def cases(which):
    found = [(title, case) for title, both in FOUND.items() for case in both[which]]
    ids = [f"{title}-{i}" for title, both in FOUND.items() for i in range(len(both[which]))]
    return pytest.mark.parametrize(("title", "case"), found, ids=ids)


@cases(0)
def test_a_finding_is_made_and_shown_with_advice(title, case):
    walk = walked(case)
    remark, *_ = (r for r in find_remarks(walk) if r.title == title)
    assert remark.text.endswith(".")
    assert len(remark.text) > 40
    assert f"→ {title}: " in str(walk)


@cases(1)
def test_a_finding_is_not_made_in_similar_cases_without_the_problem(title, case):
    walk = walked(case)
    assert title not in [remark.title for remark in find_remarks(walk)]
    assert f"→ {title}: " not in str(walk)


def remark_of(case, title):
    walk = walked(case)
    return walk, next(r for r in find_remarks(walk) if r.title == title)


def test_every_finding_has_cases():
    def titles(of_cases):
        return {r.title for case in of_cases for r in find_remarks(walked(case))}

    assert FOUND.keys() == titles(
        case for loud, quiet in FOUND.values() for case in (*loud, *quiet)
    )


def test_a_healthy_lesson_has_no_remark():
    model = nn.MLP([2, 4, 1], "tanh", rng=0)
    x, y = np.random.default_rng(0).normal(size=(8, 2)), np.zeros((8, 1))
    with dl.trace() as walk:
        losses.mse(model(x), y).backward()
        optim.Adam(model).step()
    assert find_remarks(walk) == []
    assert not any(step.notes for step in walk.steps)


@pytest.mark.parametrize(
    ("start", "kind"), [([-1.0, 2.0], "NaN"), ([0.0, 2.0], "∞"), ([0.0, -1.0], "NaN")]
)
def test_a_non_finite_value_is_reported_where_it_first_appears_and_not_after(start, kind):
    def case():
        x = leaf(start)
        return lambda: ((dl.log(x * 1.0) + 1.0) * 2.0).sum().backward()

    walk = walked(case)
    found = [r for r in find_remarks(walk) if r.title.endswith("first appears here")]
    assert found[0].title == f"{kind} first appears here"
    assert found[0].about is walk.ops[1]
    assert found[0].about.function.__name__ == "log"
    assert len([r for r in found if r.about in walk.ops]) == 1


def test_two_first_appearances_are_both_reported():
    def case():
        x = leaf([0.0, 1000.0])
        return lambda: (dl.log(x) + dl.exp(x)).sum().backward()

    walk = walked(case)
    found = [
        r.about.function.__name__ for r in find_remarks(walk) if r.title == "∞ first appears here"
    ]
    assert found == ["log", "exp"]


def test_a_non_finite_gradient_is_reported_at_its_op_and_not_after():
    def case():
        x = leaf([0.0, 4.0])
        return lambda: dl.sqrt(x * 1.0 + 0.0).sum().backward()

    walk, remark = remark_of(case, "A gradient that is not finite first appears here")
    assert remark.about is walk.backwards[0].op_gradients[1]
    assert remark.about.op.function.__name__ == "sqrt"


@pytest.mark.parametrize(
    ("case", "title", "parts"),
    [
        (of(dl.tanh, [4.0, 0.1, 0.5, 1.0]), "Saturated tanh", ["25% of tanh", "−1 or 1"]),
        (of(dl.sigmoid, [9.0, -9.0]), "Saturated sigmoid", ["100% of sigmoid", "0 or 1"]),
        (of(dl.relu, [[-1.0, 2.0], [-3.0, 1.0]]), "Dead ReLU", ["2 units of relu", "number 0"]),
        (
            of(dl.relu, -np.ones((2, 9))),
            "Dead ReLU",
            ["9 units of relu", "0, 1, 2, 3, 4, 5, 6, 7 …"],
        ),
        (scaled(50.0), "Inputs that need scaling", ["input", "50 to 2"]),
        (layers(1e-4), "A vanishing gradient", ["the gradient of first is 5", "that of last"]),
        (layers(1e5), "An exploding gradient", ["the gradient of first is 2", "that of last"]),
        (
            stepped(lambda params: optim.clip_grad_norm(params[:1], 1.0)),
            "The gradient was changed before the step",
            ["the gradient of v", "from 10 to 1,"],
        ),
        (stepped(NOTHING, used=False), "Parameters without a gradient", ["w got no gradient"]),
        (
            with_old_gradients(np.ones(2)),
            "A gradient that was not zeroed",
            ["x already had a gradient"],
        ),
    ],
)
def test_a_finding_names_what_it_is_about_and_how_much(case, title, parts):
    _, remark = remark_of(case, title)
    for part in parts:
        assert part in remark.text


@pytest.mark.parametrize(
    ("case", "title", "about"),
    [
        (of(dl.tanh, [9.0]), "Saturated tanh", lambda walk: walk.ops[0]),
        (of(dl.relu, -np.ones((2, 2))), "Dead ReLU", lambda walk: walk.ops[0]),
        (scaled(50.0), "Inputs that need scaling", lambda walk: walk.ops[0].inputs[0]),
        (classified(dl.softmax), "Softmax before cross_entropy", lambda walk: walk.ops[1]),
        (
            with_old_gradients(np.ones(2)),
            "A gradient that was not zeroed",
            lambda w: w.backwards[0],
        ),
        (layers(1e-9), "A vanishing gradient", lambda walk: walk.ops[0].inputs[1]),
        (
            stepped(lambda params: optim.clip_grad_norm(params[:1], 1.0)),
            "The gradient was changed before the step",
            lambda walk: walk.updates[0],
        ),
    ],
)
def test_a_finding_refers_to_what_it_is_about(case, title, about):
    walk, remark = remark_of(case, title)
    assert remark.about is about(walk)


def test_of_many_names_the_first_four_are_listed():
    weights = [leaf([1.0], name) for name in "abcdef"]
    for w in weights:
        w.grad = np.ones(1)
    with dl.trace() as walk:
        sum(weights, leaf([0.0], "zero")).sum().backward()
    (remark,) = find_remarks(walk)
    assert remark.text.startswith(("a, b, c, d … already had", "f, e, d, c … already had"))


def test_the_gradient_of_each_parameter_is_measured_by_its_root_mean_square():
    v, w = leaf([[3.0, 4.0]], "v"), leaf([2.0], "w")
    with dl.trace() as walk:
        ((v * v).sum() + w.sum()).backward()
    found = {value.name: size for value, size in gradient_sizes(walk)}
    assert found == {"v": pytest.approx(math.sqrt((36 + 64) / 2)), "w": 1.0}


def test_a_gradient_too_large_to_be_squared_in_single_precision_is_measured():
    w = dl.Tensor(np.array([1e-30, 1e-30], np.float32), requires_grad=True)
    with dl.trace() as walk:
        (w * 1e30).sum().backward()
    ((_, size),) = gradient_sizes(walk)
    assert size == pytest.approx(1e30)


def test_a_layer_that_runs_several_times_has_one_remark():
    model = nn.Sequential(nn.Dense(1, 2, init=lambda shape, rng: [[90.0, -90.0]]), nn.Tanh())
    with dl.trace() as walk:
        for _ in range(3):
            model([[1.0]]).sum().backward()
    saturated = [remark for remark in walk.remarks() if remark.title == "Saturated tanh"]
    assert [remark.about for remark in saturated] == [walk.ops[1]]
    assert not any("In tanh1" in step.caption for step in walk.steps)
