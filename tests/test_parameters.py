"""What may stand for the parameters of an optimizer, and the groups they come in."""

import pytest

import minidl as dl


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
