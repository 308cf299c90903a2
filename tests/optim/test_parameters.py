"""What may stand for the parameters of an optimizer, and the groups they come in."""

import pytest

import minidl as dl
from minidl.optim import parameters as _parameters


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


def test_a_group_reads_like_a_dict_and_names_what_it_lacks():
    (group,) = dl.optim.SGD(dl.nn.Dense(1, 1, rng=0), lr=0.5).groups
    assert {"params", "lr", "momentum", "weight_decay"} <= set(group)
    assert (len(group), group["lr"], group.lr) == (len(dict(group)), 0.5, 0.5)
    assert "'lr': 0.5" in repr(group)
    with pytest.raises(AttributeError, match="a group has no 'betas'"):
        _ = group.betas


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
    names = _parameters.names(found)
    assert list(names) == list(found)
    assert list(names.values()) == expected
    assert [p.name for p in found] == [own for _, own in given]


def test_names_that_two_groups_share_are_preceded_by_the_groups_number():
    a, b, c = (dl.Tensor([1.0], True) for _ in range(3))
    found = {a: "x", b: "y", c: "x"}
    assert list(_parameters.names(found, [[a, b], [c]]).values()) == ["0.x", "0.y", "1.x"]
    assert list(_parameters.names(found, [[a, b, c]]).values()) == ["0", "1", "2"]
    assert list(_parameters.names(found | {b: None}, [[a, b], [c]]).values()) == ["0", "1", "2"]
    assert list(_parameters.names({a: "x", b: "y"}, [[a], [b]]).values()) == ["x", "y"]


def test_the_first_name_that_comes_along_with_a_tensor_is_kept():
    a, b = (dl.Tensor([1.0], True) for _ in range(2))
    found = _parameters.tensors("Rule", [a, ("first", a), ("b", b), ("second", b), b])
    assert list(found.items()) == [(a, None), (b, "b")]


def test_a_module_gives_its_parameters_by_path_and_leaves_out_what_is_not_floating():
    class Net(dl.nn.Module):
        def __init__(self):
            self.layer = dl.nn.Dense(2, 1, rng=0)
            self.count = dl.Tensor([1, 2], dtype="int64")
            self.frozen = dl.Tensor([1.0])

    found = _parameters.tensors("Rule", Net())
    assert list(_parameters.names(found).values()) == ["layer.weight", "layer.bias", "frozen"]
