"""The forms in which parameters are given, their names, and their groups."""

import numpy as np
import pytest
from optimizing import descend, each_rule, make, network, train, weights

import minidl as dl
from minidl.optim.parameters import tensors, unique_names


def test_parameters_come_as_tensors_pairs_a_module_a_generator_or_groups():
    model = dl.nn.MLP([2, 3, 1], rng=0)
    tensors, pairs = list(model.parameters()), list(model.named_parameters())
    for params in (tensors, pairs, model, model.parameters(), model.named_parameters()):
        (group,) = dl.optim.Adam(params).groups
        assert list(map(id, group["params"])) == list(map(id, tensors))
    halves = [{"params": model[0], "lr": 0.5}, {"params": pairs[2:]}]
    first, second = dl.optim.Adam(halves, lr=0.25).groups
    assert (first.lr, second.lr) == (0.5, 0.25)
    assert [len(group.params) for group in (first, second)] == [2, 2]


def test_a_group_reads_like_a_dict_and_names_a_missing_entry():
    (group,) = dl.optim.SGD(dl.nn.Dense(1, 1, rng=0), lr=0.5).groups
    assert {"params", "lr", "momentum", "weight_decay"} <= set(group)
    assert (len(group), group["lr"], group.lr) == (len(dict(group)), 0.5, 0.5)
    assert "'lr': 0.5" in repr(group)
    with pytest.raises(AttributeError, match="'Group' object has no attribute 'betas'"):
        _ = group.betas


@pytest.mark.parametrize(
    "params",
    [
        lambda model: model,
        lambda model: model.parameters(),
        lambda model: list(model.parameters()),
        lambda model: tuple(model.parameters()),
        lambda model: model.named_parameters(),
        lambda model: [{"params": model}],
        lambda model: [{"params": [p]} for p in model.parameters()],
        lambda model: [*model.parameters(), *model.parameters()],
    ],
)
def test_parameters_may_come_in_every_form(params):
    model, again = network(), network()
    optimizer = dl.optim.Adam(params(model), lr=0.1)
    assert train(model, optimizer, 3) == train(again, dl.optim.Adam(again, lr=0.1), 3)
    held = [p for group in optimizer.groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}


@each_rule
def test_a_parameter_given_twice_is_updated_once(rule):
    w, once = weights([1.0, -2.0]), weights([1.0, -2.0])
    twice = descend(make(rule, [w, w, ("w", w)], lr=0.1), w, [[1.0, 2.0]] * 3)
    np.testing.assert_array_equal(
        twice, descend(make(rule, [once], lr=0.1), once, [[1.0, 2.0]] * 3)
    )


def consumed(model):
    generator = model.parameters()
    assert list(generator)
    return generator


INVALID_PARAMS = {
    "an empty list": (list, ValueError, "there are no parameters"),
    "an empty group": (lambda: [{"params": []}], ValueError, "there are no parameters"),
    "a consumed generator": (lambda: consumed(network()), ValueError, "consumed"),
    "a module without any": (dl.nn.ReLU, ValueError, "there are no parameters"),
    "a bare tensor": (lambda: weights([1.0]), TypeError, "put it in a list"),
    "a bare tensor as group": (lambda: [{"params": weights([1.0])}], TypeError, "put it in a list"),
    "None": (lambda: None, TypeError, "params must be .* got NoneType"),
    "a string": (lambda: "weights", TypeError, "params must be .* got str"),
    "a number": (lambda: 1.0, TypeError, "params must be .* got float"),
    "an array": (lambda: np.ones(3), TypeError, "params must be .* got ndarray"),
    "a dict": (lambda: {"params": [weights([1.0])]}, TypeError, "params must be .* got dict"),
    "a list of arrays": (lambda: [np.ones(3)], TypeError, "ndarray, which is not a minidl tensor"),
    "a list of strings": (lambda: ["w"], TypeError, "str, which is not a minidl tensor"),
    "a list with None": (
        lambda: [weights([1.0]), None],
        TypeError,
        "NoneType, which is not a mini",
    ),
    "a pair without tensor": (lambda: [("w", 1.0)], TypeError, "which is not a minidl tensor"),
    "a computed tensor": (lambda: [2 * weights([1.0])], ValueError, "was computed from"),
    "an integer tensor": (
        lambda: [weights([1.0]), dl.Tensor([1, 2], dtype="int64")],
        TypeError,
        "is int64, not float32 or float64",
    ),
    "a half tensor": (lambda: [weights([1.0], "float16")], TypeError, "is float16, not"),
    "no gradients required": (lambda: [dl.Tensor([1.0])], ValueError, "requires a gradient"),
    "groups among tensors": (
        lambda: [weights([1.0]), {"params": [weights([1.0])]}],
        TypeError,
        "mixes groups",
    ),
    "a group without params": (lambda: [{"lr": 0.1}], ValueError, 'a group needs "params"'),
    "an unknown group option": (
        lambda: [{"params": [weights([1.0])], "learning_rate": 0.1}],
        TypeError,
        "unknown option learning_rate",
    ),
}


@each_rule
@pytest.mark.parametrize("case", INVALID_PARAMS)
def test_invalid_params_are_refused(rule, case):
    params, error, message = INVALID_PARAMS[case]
    with pytest.raises(error, match=f"^{rule}: .*{message}"):
        make(rule, params())


def test_a_parameter_in_two_groups_is_refused_by_name():
    w = weights([1.0], name="shared")
    with pytest.raises(ValueError, match=r"^SGD: shared of shape \(1,\) is in two groups"):
        dl.optim.SGD([{"params": [w]}, {"params": [weights([2.0]), w]}])


def test_a_failed_constructor_has_not_renamed_the_parameters():
    w = weights([1.0], name="mine")
    with pytest.raises(TypeError, match="not a minidl tensor"):
        dl.optim.SGD([("theirs", w), ("other", None)])
    assert w.name == "mine"


def test_a_group_changes_by_checked_options_alone():
    optimizer = dl.optim.Adam([weights([1.0])])
    (group,) = optimizer.groups
    group["lr"] = 0.5
    group.update({"eps": 1e-4})
    group.weight_decay = 0.1
    assert (optimizer.lr, group["eps"], group.eps) == (0.5, 1e-4, 1e-4)
    assert group["weight_decay"] == group.weight_decay == 0.1
    before = dict(group)
    with pytest.raises(ValueError, match=r"^Adam: lr must be"):
        group.lr = -1
    for change in ({"lr": 1.0, "eps": -1.0}, {"amsgrad": True}, {"params": []}, {"beta": 0.9}):
        with pytest.raises((TypeError, ValueError), match=r"eps|amsgrad|params|beta"):
            group.update(change)
    with pytest.raises((AttributeError, TypeError)):
        del group["eps"]
    with pytest.raises(AttributeError, match="eps can't be deleted from a group, only changed"):
        del group.eps
    assert dict(group) == before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dl.nn.Dense, r"params is a class; make an object of it: Dense\(…\)"),
        ({weights([1.0])}, "must be a list of tensors"),
        ([dl.nn.Dense(1, 1, rng=0)], r"give the module itself, SGD\(model\)"),
    ],
)
def test_objects_that_only_resemble_parameters_are_named(params, message):
    with pytest.raises(TypeError, match=message):
        dl.optim.SGD(params)


def test_two_parameters_given_one_name_are_refused():
    with pytest.raises(ValueError, match=r"^SGD: two parameters are called 'w'$"):
        dl.optim.SGD([("w", weights([1.0])), ("w", weights([2.0]))])


# --- names --------------------------------------------------------------------------------------

NAMES = {  # (found with the tensor, its own name), … and the names they get
    "those found": ([("a", None), ("b", None)], ["a", "b"]),
    "those found before their own": ([("a", "x"), ("b", "a")], ["a", "b"]),
    "their own where none was found": ([(None, "x"), ("b", None)], ["x", "b"]),
    "positions where one is missing": ([("a", None), (None, None), ("c", "z")], ["0", "1", "2"]),
    "positions where two are found equal": ([("a", None), ("a", None)], ["0", "1"]),
    "positions where one found is another's own": ([("a", None), (None, "a")], ["0", "1"]),
    "a name that looks like a position": ([("1", None), ("0", None)], ["1", "0"]),
    "nothing for nothing": ([], []),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_are_unique_and_there_is_one_for_each_tensor(case):
    given, expected = NAMES[case]
    found = {dl.Tensor([1.0], True, name=own): name for name, own in given}
    names = unique_names(found)
    assert list(names) == list(found)
    assert list(names.values()) == expected
    assert [p.name for p in found] == [own for _, own in given]


def test_names_that_two_groups_share_are_preceded_by_the_groups_number():
    a, b, c = (dl.Tensor([1.0], True) for _ in range(3))
    found = {a: "x", b: "y", c: "x"}
    assert list(unique_names(found, [[a, b], [c]]).values()) == ["0.x", "0.y", "1.x"]
    assert list(unique_names(found, [[a, b, c]]).values()) == ["0", "1", "2"]
    assert list(unique_names(found | {b: None}, [[a, b], [c]]).values()) == ["0", "1", "2"]
    assert list(unique_names({a: "x", b: "y"}, [[a], [b]]).values()) == ["x", "y"]


def test_the_first_name_given_with_a_tensor_counts():
    a, b = (dl.Tensor([1.0], True) for _ in range(2))
    found = tensors("Rule", [a, ("first", a), ("b", b), ("second", b), b])
    assert list(found.items()) == [(a, None), (b, "b")]


def test_a_module_gives_its_parameters_by_path_and_omits_tensors_that_are_not_floating():
    class Net(dl.nn.Module):
        def __init__(self):
            self.layer = dl.nn.Dense(2, 1, rng=0)
            self.count = dl.Tensor([1, 2], dtype="int64")
            self.frozen = dl.Tensor([1.0])

    found = tensors("Rule", Net())
    assert list(unique_names(found).values()) == ["layer.weight", "layer.bias", "frozen"]
