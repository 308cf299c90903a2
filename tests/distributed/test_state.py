"""An optimizer's state in parts: the same numbers as the whole, and it can't be used unnoticed."""

import numpy as np
import pytest
import ranks

import minidl as dl
from minidl.distributed import World


class Alone:
    rank, size = 0, 1


def test_a_state_in_parts_gives_the_bits_of_a_whole_one(reports):
    for own in reports.values():
        assert own["parts_of_the_state"] == own["rules"]
        assert own["rules"] == reports[1]["rules"] * len(own["rules"])


def test_a_rank_without_gradients_in_its_part_counts_the_steps_for_its_schedule(reports):
    for own in reports.values():
        whole, parts = own["frozen_at_first"][0]
        assert whole == parts
        assert own["frozen_at_first"] == reports[1]["frozen_at_first"] * len(own["rules"])


def test_steps_on_several_ranks_are_those_of_one_optimizer(reports):
    for rule, found in reports[3]["rules"][0].items():
        model = ranks.network()
        model.unused = dl.Tensor(np.ones(5), requires_grad=True)
        model.dense1.bias.requires_grad = False
        first = [model.dense1.weight, model.dense1.bias, model.unused]
        groups = [{"params": first, "lr": 0.02}, {"params": model.dense2, "weight_decay": 0.1}]
        data = ranks.loader()
        optimizer = dl.optim.RULES[rule](groups)
        for steps in (2, 1):
            dl.fit(model, dl.losses.mse, optimizer, data, steps=steps, progress=False)
        weights = np.concatenate([p.data.ravel() for p in model.parameters()])
        np.testing.assert_allclose(found["weights"], weights, rtol=1e-9, err_msg=rule)


def trained(shard_state, optimizer=None, **options):
    model = ranks.network()
    optimizer = optimizer or dl.optim.Adam(model, 0.01)
    world = World(Alone(), shard_state=shard_state)
    arguments = model, dl.losses.mse, optimizer, ranks.loader()
    dl.fit(*arguments, epochs=2, progress=False, distributed=world, **options)
    return model, optimizer


def test_a_state_in_parts_is_complete_again_after_fit():
    (first, whole), (second, parts) = trained(False), trained(True)
    assert repr(whole.state_dict()) == repr(parts.state_dict())
    assert all(p.grad is None for p in second.parameters())  # no rank has had all of them
    for optimizer, model in ((whole, first), (parts, second)):
        optimizer.zero_grad()
        dl.losses.mse(model(ranks.X), ranks.Y).backward()
        optimizer.step()
    assert repr(first.state_dict()) == repr(second.state_dict())


@pytest.mark.parametrize("shard_state", [False, True])
def test_a_step_whose_gradients_a_callback_has_removed_is_an_error(shard_state):
    class Remove(dl.callbacks.Callback):
        def on_backward(self, training):
            training.optimizer.zero_grad()

    with pytest.raises(RuntimeError, match="nothing to learn from this loss"):
        trained(shard_state, callbacks=[Remove()])


def test_a_state_in_parts_takes_the_gradients_that_a_callback_has_changed():
    clip = {"callbacks": [dl.callbacks.ClipGradNorm(1e-3)]}
    (first, _), (second, _) = (trained(parts, **clip) for parts in (False, True))
    assert repr(first.state_dict()) == repr(second.state_dict())
    assert repr(first.state_dict()) != repr(trained(False)[0].state_dict())


def test_a_state_in_parts_can_neither_be_saved_nor_used():
    messages = []

    def use(epoch, history):
        for method in (optimizer.state_dict, optimizer.step):
            with pytest.raises(RuntimeError, match="is in parts on the ranks") as caught:
                method()
            messages.append(str(caught.value))

    model = ranks.network()
    optimizer = dl.optim.Adam(model, 0.01)
    world = World(Alone(), shard_state=True)
    arguments = model, dl.losses.mse, optimizer, ranks.loader()
    options = {"epochs": 1, "progress": False, "callbacks": [use], "distributed": world}
    dl.fit(*arguments, **options)
    assert [text.partition(":")[0] for text in messages] == ["Adam.state_dict", "Adam.step"]


def test_a_checkpoint_of_a_state_in_parts_is_complete(tmp_path):
    files = [tmp_path / "whole.ckpt", tmp_path / "parts.ckpt"]
    for file, shard_state in zip(files, (False, True), strict=True):
        trained(shard_state, callbacks=[dl.callbacks.Checkpoint(file)])
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("shard_state", [False, True])
def test_a_loss_that_depends_on_no_parameter_of_the_optimizer_is_the_error_of_a_plain_fit(
    shard_state,
):
    model = ranks.network()
    model.unused = dl.Tensor(np.ones(3), requires_grad=True)
    world = World(Alone(), shard_state=shard_state)
    arguments = model, dl.losses.mse, dl.optim.Adam([model.unused]), ranks.loader()
    with pytest.raises(RuntimeError, match="nothing to learn from this loss"):
        dl.fit(*arguments, epochs=1, progress=False, distributed=world)


def test_a_rule_in_python_is_refused_since_it_may_mix_elements():
    class Normalized(dl.optim.Optimizer):
        def update(self, group, lr, t, theta, g):
            for x, y in zip(theta, g, strict=True):
                x -= lr * y / np.linalg.norm(y)

    model = ranks.network()
    world = World(Alone(), shard_state=True)
    arguments = model, dl.losses.mse, Normalized(model), ranks.loader()
    with pytest.raises(ValueError, match=r"treats each element alone.*Normalized has an update in"):
        dl.fit(*arguments, epochs=1, progress=False, distributed=world)
