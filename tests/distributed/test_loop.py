"""fit on several ranks against plain loops in one process, which are written out here."""

import numpy as np
import pytest
import ranks

import minidl as dl
from minidl import nn
from minidl.distributed import World
from minidl.distributed.loop import HEAD, DistributedLoop

SHARDS = 8


class Alone:
    """The communicator of a world of one, for tests that need no MPI."""

    rank, size = 0, 1


def alone(**options):
    return World(Alone(), **options)


def alike(reports, name):
    """What a check found, which is the same on every rank of every job."""
    found = [own for ranks_of_job in reports.values() for own in ranks_of_job[name]]
    assert len(found) == 1 + 3 + 4
    assert all(own == found[0] for own in found)
    return found[0]


def pairs(x):
    """((x0 + x1) + (x2 + x3)) + …, for a power of two of addends."""
    while len(x) > 1:
        x = [a + b for a, b in zip(x[::2], x[1::2], strict=True)]
    return x[0]


def by_hand(model, optimizer, data, steps):
    """A plain loop that accumulates the gradients of shards; returns the losses of the steps."""
    losses = []
    while len(losses) < steps:
        for x, y in data:
            if len(losses) == steps:
                break
            n, count = len(x), min(SHARDS, len(x))
            total, gradients = 0.0, []
            for i in range(count):
                rows = slice(i * n // count, (i + 1) * n // count)
                optimizer.zero_grad()
                loss = dl.losses.mse(model(x[rows]), y[rows])
                size = rows.stop - rows.start
                (loss * size).backward()
                total += loss.item() * size
                gradients.append([p.grad for p in model.parameters()])
            for p, *own in zip(model.parameters(), *gradients, strict=True):
                p.grad = pairs(own) / p.dtype.type(n)
            optimizer.step()
            losses.append(total / n)
    return losses


def flat(model):
    return np.concatenate([p.data.ravel() for p in model.parameters()])


def test_any_number_of_ranks_gives_the_bits_of_accumulation_in_one_process(reports):
    found = alike(reports, "training")
    model = ranks.network(0, "float32")
    data = ranks.loader(0, dtype="float32")
    losses = by_hand(model, dl.optim.Adam(model, 0.01), data, 8)
    assert found["step_loss"] == losses
    assert found["weights"] == flat(model).tolist()
    assert found["captured"]


def test_dropout_draws_the_masks_of_the_whole_batch(reports):
    found = alike(reports, "masks")
    with dl.default_dtype("float64"):
        model = nn.Sequential(ranks.network(0, p=0.4), nn.Dropout(0.2, rng=0))
    optimizer, losses = dl.optim.SGD(model, 1.0), []
    for x, y in [(ranks.X[:32], ranks.Y[:32]), (ranks.X[32:64], ranks.Y[32:64])]:
        optimizer.zero_grad()
        loss = dl.losses.mse(model(x), y)  # of 32 rows at once
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(found["step_loss"], losses, rtol=1e-12)
    np.testing.assert_allclose(found["weights"], flat(model), rtol=1e-12)
    generators = model.sequential1.dropout1.rng, model.dropout1.rng
    assert found["next"] == [g.random() for g in generators]


def test_losses_weights_clipping_metrics_plateaus_and_early_stopping_agree_with_a_plain_fit(
    reports,
):
    found = alike(reports, "everything")
    plain = ranks.everything(None, None)
    assert found.keys() == plain.keys()
    for name in found:
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-10, err_msg=name)
    assert len(found["loss"]) < 9
    assert found["lr"][-1] < found["lr"][0]


def test_a_killed_training_is_resumed_on_other_numbers_of_ranks_to_the_same_bits(jobs, reports):
    assert jobs[1].returncode != 0
    resumed, whole = alike(reports, "after_kill"), alike(reports, "never_killed")
    assert resumed.pop("begun") == 6
    assert resumed == whole
    assert len(whole["step_loss"]) == ranks.STEPS


def test_a_set_larger_than_memory_is_read_by_the_rows_of_a_batch(reports):
    first, second = alike(reports, "larger_than_memory")
    assert first == 1.0  # the rows are 0, and the targets 1
    assert second == pytest.approx((1 - 0.01 * 2) ** 2)  # after a step of the bias by 2 · 0.01


def test_rank_0_alone_writes_files(reports):
    assert alike(reports, "files") == ["0.ckpt", "0.csv"]


def test_one_rank_ends_the_training_of_all(reports):
    assert alike(reports, "verdict") == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rule", "disagree on the update rule: 'SGD' on rank 0, but 'Adam' on rank {last}"),
        ("groups", "disagree on the number of parameter groups: 2 on rank 0, but 1 on rank {last}"),
        ("layers", "disagree on the layers: ['Sequential()', 'Dense(3 → 7)', 'Tanh()', 'Dropout("),
        ("loss", "disagree on the loss: Huber(reduction='mean', delta=1.0) on rank 0, but Huber("),
        ("validated", "dtypes of the validation data: [((100, 3), 'float64'), ((100, 2), 'float64"),
        ("epochs", "disagree on epochs and steps: (2, inf) on rank 0, but (3, inf) on rank {last}"),
        ("model", "the weights 'dense2.weight': ((7, 2), 'float64') on rank 0, but ((7, 1), "),
        ("batches", "rank 0 finishes epoch 1 after step 2, but rank {last} takes step 3"),
        (
            "weights",
            "weights or buffers of rank {last} are not those of rank 0 at the end of epoch",
        ),
    ],
)
def test_ranks_that_do_not_do_the_same_are_named(reports, name, message):
    for size in (3, 4):
        for own in reports[size]["errors"]:
            kind, text = own[name]
            assert kind == "RankError"
            assert message.format(last=size - 1) in text
    assert reports[1]["errors"][0][name] is None


def test_addresses_in_a_repr_are_no_disagreement(reports):
    assert all(own["objects"] is None for size in reports for own in reports[size]["errors"])


def test_an_error_of_one_rank_is_raised_there_and_named_by_the_others(reports):
    for size in (3, 4):
        *others, last = [own["label"] for own in reports[size]["errors"]]
        assert last[0] == "IndexError"
        for kind, text in others:
            assert kind == "RankError"
            assert f"rank {size - 1} of {size} failed at epoch 1, step 4: IndexError" in text
            assert "Traceback" in text


def test_an_error_in_the_validation_of_one_rank_is_raised_there_and_named_by_the_others(reports):
    for size, report in reports.items():
        found = [own["validation"] for own in report["errors"]]
        failing = 7 % size
        for rank, (kind, text) in enumerate(found):
            assert kind == ("IndexError" if rank == failing else "RankError")
            assert rank == failing or f"rank {failing} of {size} failed at the end of epoch" in text


def test_a_loss_of_one_shard_that_is_not_finite_is_the_error_of_a_plain_fit_on_all_ranks(reports):
    found = [own["nan"] for size in reports for own in reports[size]["errors"]]
    assert {kind for kind, _ in found} == {"DivergenceError"}
    assert len({text for _, text in found}) == 1
    assert "the loss became nan at epoch 1, step 4" in found[0][1]


def test_fewer_samples_than_ranks_are_refused(reports):
    for own in reports[4]["errors"]:
        kind, message = own["few"]
        assert kind == "ValueError"
        assert "a step has 3 samples, which can't be divided among 4 ranks" in message


# --- a world of one, in this process ------------------------------------------------------------


def fit(world, model, data, loss=dl.losses.mse, **options):
    optimizer = options.pop("optimizer", None) or dl.optim.Adam(model, 0.01)
    options = {"epochs": 2, "progress": False, **options}
    return dl.fit(model, loss, optimizer, data, distributed=world, **options), optimizer


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_two_shards_are_two_accumulated_batches(reduction):
    loss = dl.losses.MSE(reduction=reduction)
    x, y = ranks.X.astype("f"), ranks.Y.astype("f")
    first, second = ranks.network(0, "float32"), ranks.network(0, "float32")
    data = dl.data.DataLoader(x, y, 20, shuffle=False)
    halves = dl.data.DataLoader(x, y, 10, shuffle=False)
    plain = dl.fit(
        *(second, loss, dl.optim.Adam(second, 0.01), halves),
        epochs=2,
        accumulate=2,
        progress=False,
    )
    history, _ = fit(alone(shards=2), first, data, loss)
    assert history == plain
    assert np.array_equal(flat(first), flat(second))


def test_one_shard_is_a_plain_fit():
    first, second = ranks.network(0, p=0.5), ranks.network(0, p=0.5)
    history, optimizer = fit(alone(shards=1), first, ranks.loader())
    plain, other = fit(None, second, ranks.loader())
    assert history == plain
    assert repr(optimizer.state_dict()) == repr(other.state_dict())
    assert first.dropout1.rng.random() == second.dropout1.rng.random()


def test_a_generator_of_two_layers_draws_shard_by_shard():
    def shared():
        model = ranks.network(p=0.4)
        return nn.Sequential(model, nn.Dropout(0.2, rng=model.dropout1.rng))

    first, second = shared(), shared()
    options = {"epochs": 1, "optimizer": None}
    fit(alone(shards=2), first, [(ranks.X[:20], ranks.Y[:20])], **options)
    halves = [(ranks.X[:10], ranks.Y[:10]), (ranks.X[10:20], ranks.Y[10:20])]
    fit(None, second, halves, accumulate=2, **options)
    assert np.array_equal(flat(first), flat(second))


@pytest.mark.parametrize("size", [1, 2])
def test_a_keyboard_interrupt_that_one_rank_alone_has_ends_the_job(size, monkeypatch, capfd):
    class Ended(BaseException):
        pass

    def end(*code):
        raise Ended(*code)

    def interrupt(epoch, history):
        world.size = size  # the messages before are those of a world of one
        raise KeyboardInterrupt

    world = alone()
    world._comm.Abort = end
    arguments = world, ranks.network(), ranks.loader()
    if size == 1:
        history, _ = fit(*arguments, callbacks=[interrupt])
        assert history.interrupted
        return
    with pytest.raises(Ended):
        fit(*arguments, callbacks=[interrupt])
    assert "[rank 0] rank 0 of 2: ended by KeyboardInterrupt" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [tuple, dict])
def test_several_inputs_are_divided_alike(kind):
    class Two(nn.Module):
        def __init__(self):
            with dl.default_dtype("float64"):
                self.dense = nn.Dense(3, 2, rng=0)

        def forward(self, a, b):
            return self.dense(a) * b

    x = (ranks.X, ranks.Y) if kind is tuple else {"a": ranks.X, "b": ranks.Y}
    first, second = Two(), Two()
    history, _ = fit(alone(), first, dl.data.DataLoader(x, ranks.Y, 16, rng=0))
    plain, _ = fit(None, second, dl.data.DataLoader(x, ranks.Y, 16, rng=0))
    np.testing.assert_allclose(history.step_loss, plain.step_loss, rtol=1e-12)
    np.testing.assert_allclose(flat(first), flat(second), rtol=1e-12)


def test_batches_in_a_list_are_divided_by_rows():
    batches = [(dl.Tensor(ranks.X[:9]), ranks.Y[:9]), (ranks.X[9:], ranks.Y[9:])]
    first, second = ranks.network(), ranks.network()
    history, _ = fit(alone(shards=4), first, batches, validation=batches)
    plain, _ = fit(None, second, batches, validation=batches)
    np.testing.assert_allclose(history.step_loss, plain.step_loss, rtol=1e-12)
    np.testing.assert_allclose(history.validation, plain.validation, rtol=1e-12)


def test_shards_without_weight_count_for_nothing():
    weights = np.ones(100)
    weights[:50] = 0
    model, other = ranks.network(), ranks.network()
    x, y = ranks.X, ranks.Y
    fit(alone(), model, dl.data.DataLoader(x, y, sample_weight=weights))
    fit(alone(shards=4), other, dl.data.DataLoader(x[50:], y[50:]))
    np.testing.assert_allclose(flat(model), flat(other), rtol=1e-12)


def test_a_rank_reads_only_the_rows_of_its_shards(tmp_path):
    class Mapped(np.ndarray):
        read = []

        def __getitem__(self, rows):
            if isinstance(rows, np.ndarray | slice):
                self.read.append(np.arange(100)[rows])
            return np.asarray(super().__getitem__(rows))

    np.save(tmp_path / "x.npy", ranks.X)
    loader = ranks.loader(shuffle=False)
    loader.x = np.load(tmp_path / "x.npy", mmap_mode="r").view(Mapped)
    fit(alone(), ranks.network(), loader, epochs=1)
    assert np.array_equal(np.concatenate(Mapped.read), np.arange(100))
    assert max(map(len, Mapped.read)) == 4  # of 32


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"world": 3}, TypeError, r"distributed must be what dl.distributed.start\(\) returned"),
        ({"model": dl.tanh}, TypeError, "the model must be a Module"),
        ({"optimizer": "own"}, TypeError, "the optimizer must be an Optimizer"),
        ({"rng": np.random.MT19937(0)}, ValueError, "dropout1.rng of the model is a MT19937"),
        ({"draw": "normal"}, ValueError, "not in proportion to its rows"),
    ],
)
def test_what_cannot_be_trained_on_several_ranks_is_refused(change, error, message):
    class Own:
        lr = 0.1
        step = zero_grad = lambda self: None

    class Noise(nn.Module):
        def __init__(self):
            self.rng = np.random.default_rng(0)
            self.dense = nn.Dense(3, 2, rng=0)

        def forward(self, x):
            return self.dense(x + self.rng.normal(size=x.shape))

    model = change.get("model") or ranks.network(p=0.5)
    if "rng" in change:
        model.dropout1.rng = np.random.Generator(change["rng"])
    if "draw" in change:
        model = Noise()
    optimizer = Own() if "optimizer" in change else dl.optim.SGD(ranks.network())
    if isinstance(model, nn.Module) and "optimizer" not in change:
        optimizer = dl.optim.SGD(model)
    with pytest.raises(error, match=message):
        fit(change.get("world", alone()), model, ranks.loader(), optimizer=optimizer, capture=False)


@pytest.mark.parametrize(("tells", "name"), [([0, 0], ""), ([0, 2], "stop"), ([1, 2], "stop")])
def test_all_ranks_record_the_callback_that_has_ended_the_training_on_one(tells, name):
    loop = DistributedLoop.__new__(DistributedLoop)  # of rank 0, whose callbacks go on
    loop.history, loop.sources = dl.History(), {"look": None, "stop": None}
    loop.meet = lambda kind, rows, body: np.array([[0] * HEAD + [tell] for tell in tells])
    loop.end_if([(print, None)], "epoch 1")
    assert loop.history._ended == name
