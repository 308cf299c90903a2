"""Trainings in files: what is saved and loaded, what doesn't fit, and that nothing is half done."""

import copy
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import interrupting
import numpy as np
import pytest
from capturing import RULE_IDS
from cases import FORMS_OF_RULES, GOLDEN
from golden import make_checkpoint
from resuming import RATES, X, Y, look, resumed, training

import minidl as dl
from minidl import checkpoint, nn, schedulers
from minidl.schedulers import Schedule


class Buffered(nn.Module):
    """Parameters, buffers, a generator, a frozen and a tied parameter."""

    def __init__(self, seed=0, kind=np.random.PCG64):
        self.dense, self.dropout = nn.Dense(3, 2, rng=seed), nn.Dropout(0.5)
        self.dropout.rng = np.random.Generator(kind(seed))
        self.same = self.dense.weight
        self.frozen = dl.Tensor(np.full((), seed, float))
        self.buffer("count", np.array([seed, 2], np.int16))
        self.buffer("none", np.zeros((0, 3)))

    def forward(self, x):
        return self.dropout(self.dense(x)) * self.frozen


def steps(model, optimizer, loader, epochs=1):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            dl.losses.mse(model(x), y).backward()
            optimizer.step()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


# --- what a file holds --------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "options"), FORMS_OF_RULES, ids=RULE_IDS)
def test_every_rule_is_loaded_to_the_bit(rule, options, path):
    own = training(rule=rule, **options)
    steps(*own)
    dl.save(path, own[0], optimizer=own[1], data=own[2])
    new = training(1, rule, **options)
    dl.load(path, new[0], optimizer=new[1], data=new[2])
    assert look(*new) == look(*own)
    steps(*own)
    steps(*new)
    assert look(*new) == look(*own)


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_every_rate_and_its_memory_are_loaded(rate, path):
    own = training(rate=rate)
    for plateau in schedulers.plateaus(own[1].groups[0].lr):
        for metric in (3.0, 3.0, 3.0):
            plateau.observe(metric)
    steps(*own)
    dl.save(path, own[0], optimizer=own[1])
    new = training(rate=rate)
    before = new[1].groups[0].lr
    dl.load(path, optimizer=new[1])
    assert look(new[0], new[1]).endswith(repr([new[1].state_dict()])[1:])
    assert repr(new[1].state_dict()) == repr(own[1].state_dict())
    for mine, theirs in zip(
        *(schedulers.plateaus(o.groups[0].lr) for o in (new[1], own[1])), strict=True
    ):
        assert mine.memory == theirs.memory
        assert mine.observations == theirs.observations
        assert any(mine is p for p in schedulers.plateaus(before))


def test_another_schedule_of_minidl_replaces_the_optimizers(path):
    dl.save(path, optimizer=training(rate=RATES["decay"])[1])
    optimizer = training()[1]
    dl.load(path, optimizer=optimizer)
    assert optimizer.groups[0].lr == RATES["decay"]()


@dataclasses.dataclass(frozen=True)
class Own(Schedule):
    """A schedule of a user."""

    top: float

    def formula(self, t):
        return self.top / (1 + t)


class Nameless(Schedule):
    """A schedule whose repr says nothing."""

    def formula(self, t):
        return 0.1


def test_a_schedule_of_the_users_own_must_be_the_same(path):
    own, new = training(rate=lambda: Own(0.1)), training(1, rate=lambda: Own(0.1))
    steps(*own)
    dl.save(path, own[0], optimizer=own[1])
    dl.load(path, new[0], optimizer=new[1])
    assert new[1].t == own[1].t
    with pytest.raises(dl.CheckpointError, match=r"Own\(top=0.1\), a schedule of your own; make"):
        dl.load(path, optimizer=training()[1])
    with pytest.raises(ValueError, match="doesn't say its options; make its class a frozen datac"):
        dl.save(path, optimizer=training(rate=Nameless)[1])


KINDS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]


@pytest.mark.parametrize("kind", [getattr(np.random, name) for name in KINDS], ids=KINDS)
def test_buffers_generators_and_arrays_of_any_shape_are_loaded(kind, path):
    own, new = Buffered(5, kind), Buffered(1, kind)
    own(X)
    dl.save(path, own)
    dl.load(path, new)
    assert look(new) == look(own)
    assert np.array_equal(own(X).data, new(X).data)
    other = Buffered(0, next(k for k in (np.random.PCG64, np.random.SFC64) if k is not kind))
    before = look(other)
    with pytest.raises(dl.CheckpointError, match=r"dropout.rng: the generator is a"):
        dl.load(path, other)
    assert look(other) == before


def test_groups_and_their_options_are_loaded(path):
    def make():
        a, b = (dl.Tensor(np.ones(n), requires_grad=True, name=f"p/{n}") for n in (2, 3))
        groups = [{"params": [a], "lr": RATES["plateau"]()}, {"params": [b], "lr": 0.5}]
        return a, b, dl.optim.RMSprop(groups, momentum=0.5)

    own, new = make(), make()
    own[2].groups[1].lr = 0.25
    for p in own[:2]:
        p.grad = p.data * 3
    own[2].step()
    dl.save(path, optimizer=own[2])
    dl.load(path, optimizer=new[2])
    assert repr(new[2].state_dict()) == repr(own[2].state_dict())


def test_generators_in_lists_and_dicts_are_loaded(path):
    def module(seed):
        model = nn.Dense(1, 1, rng=0)
        model.generators = [{"noise": np.random.default_rng(seed)}, np.random.default_rng(seed + 1)]
        return model

    own, new = module(1), module(3)
    dl.save(path, own)
    dl.load(path, new)
    assert list(checkpoint.generators_of(new)) == ["generators.0.noise", "generators.1"]
    assert look(new) == look(own)


def test_the_memory_and_the_count_of_a_plateau_are_loaded_where_the_rate_was_a_number(path):
    plateau = schedulers.ReduceOnPlateau(0.5, patience=0)
    plateau.observe(1.0)
    plateau.observe(2.0)
    model, optimizer, _ = training(rate=lambda: schedulers.WarmUp(plateau, 2))
    dl.save(path, model, optimizer=optimizer)
    new = training()[1]
    dl.load(path, optimizer=new)
    (found,) = schedulers.plateaus(new.groups[0].lr)
    assert (found.memory, found.observations) == (plateau.memory, 2)


class Halved(Schedule):
    """A schedule of the user's, no dataclass, around one with a memory."""

    def __init__(self, factor):
        self.factor, self.inner = factor, schedulers.ReduceOnPlateau(0.5)

    def formula(self, t):
        return self.factor * self.inner(t)

    def __repr__(self):
        return f"Halved({self.factor})"


class Imitated(Halved):
    """A schedule of the user's whose text is that of another one of minidl."""

    def __repr__(self):
        return "Constant(0.5)"


def test_a_users_schedule_stays_the_same_object_and_takes_over_the_memory(path):
    rates = Halved(0.5), Halved(0.5)
    rates[0].inner.observe(3.0)
    model, optimizer, _ = training(rate=lambda: rates[0])
    dl.save(path, model, optimizer=optimizer)
    optimizer = training(rate=lambda: rates[1])[1]
    dl.load(path, optimizer=optimizer)
    assert optimizer.groups[0].lr is rates[1]
    assert (rates[1].inner.memory.best, rates[1].inner.observations) == (3.0, 1)


def test_a_users_schedule_is_not_taken_for_one_of_minidl(path):
    model, optimizer, _ = training(rate=lambda: Imitated(0.5))
    dl.save(path, model, optimizer=optimizer)
    with pytest.raises(
        dl.CheckpointError, match=r"the rate was Constant\(0.5\), a schedule of your"
    ):
        dl.load(path, optimizer=training()[1])


def test_a_training_that_splits_off_its_validation_set_saves_the_state_of_the_whole_loader(path):
    fit = {"validation": 0.2, "progress": False, "callbacks": [dl.callbacks.Checkpoint(path)]}
    whole = training()
    whole_history = dl.fit(whole[0], dl.losses.mse, *whole[1:], epochs=3, **fit)
    model, optimizer, loader = training()
    dl.fit(model, dl.losses.mse, optimizer, loader, epochs=2, **fit)
    new = training(1)
    saved = dl.load(path, new[0], optimizer=new[1], data=new[2])
    history = dl.fit(new[0], dl.losses.mse, *new[1:], epochs=3, resume=saved, **fit)
    assert history == whole_history
    assert look(*new) == look(*whole)


def test_averages_history_and_metadata_are_loaded(path):
    model, optimizer, loader = training()
    averaged = dl.optim.average(model, 0.9)
    steps(model, optimizer, loader)
    averaged.update()
    metadata = {"classes": ["a", "ü"], "mean": np.arange(3.0), "nested": {"t": (1, None, True)}}
    history = dl.History(loss=[1.0, np.inf], step_loss=[2.0], lr=[0.1], metrics={"m": [np.eye(2)]})
    dl.save(path, model, average=averaged, history=history, metadata=metadata)
    new = dl.optim.average(model, 0.9)
    saved = dl.load(path, average=new)
    assert repr(new.state_dict()) == repr(averaged.state_dict())
    assert repr(saved.history.state_dict()) == repr(history.state_dict())
    assert repr(saved.metadata) == repr(metadata)
    assert (saved.epoch, saved.step) == (2, 1)


def test_numpy_alone_reads_the_file(path):
    model, optimizer, loader = training()
    steps(model, optimizer, loader)
    dl.save(path, model, optimizer=optimizer, history=dl.History(loss=[0.5]))
    with np.load(path, allow_pickle=False) as file:
        for name, values in model.state_dict().items():
            assert np.array_equal(file[name], values)
        assert file["history/loss"].tolist() == [0.5]
        slots = optimizer.state_dict()["state"]["dense1.weight"]
        assert np.array_equal(file["optimizer/dense1.weight/m"], slots["m"])
        assert json.loads(file["minidl.json"])["minidl"] == dl.__version__


def test_a_file_says_what_is_inside(path):
    model, optimizer, loader = training(rate=RATES["decay"])
    stop = dl.callbacks.EarlyStopping()
    dl.save(path, model, optimizer=optimizer, data=loader, callbacks=[stop], metadata="a note")
    shown = repr(dl.load(path))
    for text in (
        f"checkpoint of minidl {dl.__version__}: epoch 0, step 0",
        "dense1.weight: (3, 4) float32",
        "optimizer: Adam(",
        "lr=WarmUp(schedule=CosineDecay(lr=0.02",
        "loader",
        "callback: EarlyStopping",
        "metadata: 'a note'",
    ):
        assert text in shown


@pytest.mark.parametrize("old", sorted(GOLDEN.glob("*.ckpt")), ids=lambda old: old.stem)
def test_a_training_that_an_earlier_version_saved_goes_on(old):
    whole, resumed = make_checkpoint.training(), make_checkpoint.training()
    history = make_checkpoint.fit(*whole, epochs=3)
    saved = dl.load(old, resumed[0], optimizer=resumed[1], data=resumed[2])
    assert saved.metadata["name"] == "ρ"
    assert saved.metadata["scale"].tolist() == [0, 1, 2]
    again = make_checkpoint.fit(*resumed, epochs=3, resume=saved)
    for name in ("step_loss", "lr", "validation"):  # another BLAS may round differently
        np.testing.assert_allclose(getattr(again, name), getattr(history, name), rtol=1e-4)
    for p, q in zip(whole[0].parameters(), resumed[0].parameters(), strict=True):
        np.testing.assert_allclose(q.data, p.data, rtol=1e-3, atol=1e-6)
    assert repr(resumed[1]) == repr(whole[1])


# --- what doesn't fit ---------------------------------------------------------------------------


def wrong_trainings():
    """Trainings that the one in the file doesn't fit, and what the error says."""
    model, optimizer, loader = training()
    wider = nn.Sequential(nn.Dense(3, 5), nn.Dropout(0.5), nn.Dense(5, 2))
    with dl.default_dtype("float64"):
        double = training()[0]
    yield {"model": wider}, r"dense1.weight of the model is \(3, 5\) float32.*\(3, 4\) float32"
    yield {"model": double}, "is .* float64, but in the file it is .* float32"
    yield {"model": nn.Dense(3, 4)}, "weight of the model is .*, but in the file it is missing"
    yield (
        {"model": training()[0], "optimizer": training(rule="SGD")[1]},
        "rule of the state is Adam",
    )
    yield {"model": model, "optimizer": training(amsgrad=True)[1]}, "slot"
    yield {"model": model, "data": dl.data.DataLoader(X, Y, 5)}, "batch_size is 5, but 4 was saved"
    yield {"model": model, "data": dl.data.DataLoader(X[:9], Y[:9], 4)}, "samples is 9"
    yield {"model": model, "average": dl.optim.average(model, 0.9)}, "holds no average"
    yield (
        {"optimizer": optimizer, "data": loader, "callbacks": [dl.callbacks.EarlyStopping()]},
        "the callbacks are EarlyStopping, but the file holds none",
    )


@pytest.mark.parametrize("case", range(9))
def test_what_does_not_fit_is_named_and_nothing_changes(case, path):
    own = training(3)
    steps(*own)
    dl.save(path, own[0], optimizer=own[1], data=own[2])
    given, message = list(wrong_trainings())[case]
    before = repr({name: x.state_dict() for name, x in given.items() if name != "callbacks"})
    with pytest.raises(dl.CheckpointError, match=message):
        dl.load(path, **given)
    assert (
        repr({name: x.state_dict() for name, x in given.items() if name != "callbacks"}) == before
    )


class Failing(dl.callbacks.Callback):
    """A callback with a state that it may refuse to load."""

    def __init__(self, value, fails=False):
        self.value, self.fails = value, fails

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        if self.fails and state["value"] != self.value:
            raise RuntimeError("not that")
        self.value = state["value"]


def test_a_callback_that_fails_leaves_everything_as_it_was(path):
    own, new = training(3), training(1)
    steps(*own)
    dl.save(path, own[0], optimizer=own[1], callbacks=[Failing(1), Failing(2)])
    callbacks, before = [Failing(7), Failing(8, fails=True)], look(*new)
    with pytest.raises(RuntimeError, match="not that"):
        dl.load(path, new[0], optimizer=new[1], callbacks=callbacks)
    assert [c.value for c in callbacks] == [7, 8]
    assert look(*new) == before
    callbacks[1].fails = False
    dl.load(path, new[0], optimizer=new[1], callbacks=callbacks)
    assert [c.value for c in callbacks] == [1, 2]


def test_an_interrupt_at_any_bytecode_loads_all_or_nothing(path):
    own = training(3, rate=RATES["plateau"])
    steps(*own)
    dl.save(path, own[0], optimizer=own[1], data=own[2])

    def call(new):
        dl.load(path, new[0], optimizer=new[1], data=new[2])

    interrupting.assert_all_or_nothing(
        interrupting.each_interruption,
        lambda: training(1, rate=RATES["plateau"]),
        call,
        lambda new: look(*new),
        every=97,
    )


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"model": "mlp"}, TypeError, "save: model must be a Module"),
        ({"model": nn.Dense}, TypeError, "save: model must be a Module"),
        ({"optimizer": nn.Dense(1, 1)}, TypeError, "save: optimizer must be an Optimizer"),
        ({"data": (X, Y)}, TypeError, "save: data must be a DataLoader, since nothing else has"),
        ({"history": [1.0]}, TypeError, "save: history must be a History"),
        ({"average": 0.9}, TypeError, "save: average must be a dl.optim.average"),
        ({"metadata": {1: 2}}, TypeError, "save: metadata is {1: 2}"),
        ({"metadata": {"a": {"b": object()}}}, TypeError, "save: metadata/a/b is <object"),
        ({"metadata": np.array([None])}, TypeError, "save: metadata is array"),
        ({"metadata": np.ma.masked_equal([1, 2], 2)}, TypeError, "save: metadata is masked_array"),
        ({"metadata": np.longdouble(1)}, TypeError, "save: metadata is .*longdouble"),
    ],
)
def test_what_can_not_be_saved_is_named_and_the_old_file_stays(given, error, message, path):
    dl.save(path, nn.Dense(1, 1, rng=0))
    raw = path.read_bytes()
    with pytest.raises(error, match=message):
        dl.save(path, **given)
    assert path.read_bytes() == raw
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("call", [dl.save, dl.load], ids=["save", "load"])
def test_a_model_in_the_place_of_the_path_is_named(call, path):
    message = rf"{call.__name__}: path, the first argument, must be .*'run\.ckpt', got <?Dense"
    with pytest.raises(TypeError, match=message):
        call(nn.Dense(2, 1), path)


def test_a_callback_that_can_not_be_loaded_is_named_and_no_other_one_is_loaded(path):
    class Deaf:
        def state_dict(self):
            return {"a": 1}

    stop, other = dl.callbacks.EarlyStopping("loss"), dl.callbacks.EarlyStopping("loss")
    stop.best = 0.5
    dl.save(path, callbacks=[stop, Deaf()])
    with pytest.raises(dl.CheckpointError, match="callback Deaf has a state_dict, but no load_"):
        dl.load(path, callbacks=[other, Deaf()])
    assert other.best is None


# --- safetensors --------------------------------------------------------------------------------


def test_weights_and_buffers_go_to_other_tools_and_back(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    path, own, new = tmp_path / "model.safetensors", Buffered(5), Buffered(1)
    dl.save(path, own)
    for name, values in library.load_file(path).items():
        assert np.array_equal(values, own.state_dict()[name])
    saved = dl.load(path, new)
    assert repr(new.state_dict()) == repr(own.state_dict())
    assert saved.arrays.keys() == own.state_dict().keys()
    with pytest.raises(dl.CheckpointError, match="weight of the model is"):
        dl.load(path, nn.Dense(1, 1))
    with pytest.raises(dl.CheckpointError, match="holds no optimizer"):
        dl.load(path, optimizer=training()[1])
    with pytest.raises(ValueError, match="holds the weights and buffers of a model alone"):
        dl.save(path, own, history=dl.History())
    path.write_bytes(b"nothing")
    with pytest.raises(dl.CheckpointError, match="is no safetensors file"):
        dl.load(path)


# --- another process ----------------------------------------------------------------------------

PROGRAM = """
import sys
sys.path[:0] = {paths!r}
from golden import make_checkpoint
from resuming import resumed
print(resumed(sys.argv[1]))
"""


def first_steps(path, k):
    """Take k steps, and save inside the epoch."""
    model, optimizer, loader = training(rate=RATES["decay"])
    history = dl.fit(model, dl.losses.mse, optimizer, loader, steps=k, progress=False)
    dl.save(path, model, optimizer=optimizer, data=loader, history=history)


def test_a_new_process_ends_in_the_bits_of_a_training_that_never_stopped(path):
    own = model, optimizer, loader = training(rate=RATES["decay"])
    history = dl.fit(model, dl.losses.mse, optimizer, loader, epochs=3, progress=False)
    whole = look(*own) + repr(history.state_dict())
    first_steps(path, 5)
    assert resumed(path) == whole
    paths = [str(pathlib.Path(__file__).parent), str(pathlib.Path(dl.__file__).parents[1])]
    run = [sys.executable, "-c", PROGRAM.format(paths=paths), str(path)]
    out = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120)
    assert out.stdout.strip() == whole.strip()


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("rule", dl.optim.RULES)
def test_a_training_resumed_at_every_step_ends_in_the_same_bits(rule, name, path):
    options = {"validation": (X, Y), "metrics": {"mae": dl.metrics.mae}, "progress": False}

    def fit(own, **more):
        return dl.fit(own[0], dl.losses.mse, *own[1:], **options, **more)

    own = training(rule=rule, rate=RATES[name])
    history = fit(own, epochs=2)
    whole = look(*own) + repr(history.state_dict())
    for k in range(1, len(history.lr) + 1):
        own = training(rule=rule, rate=RATES[name])
        dl.save(path, own[0], optimizer=own[1], data=own[2], history=fit(own, steps=k))
        own = training(9, rule, RATES[name])
        saved = dl.load(path, own[0], optimizer=own[1], data=own[2])
        assert saved.step == k
        history = fit(own, epochs=2, resume=saved)
        assert look(*own) + repr(history.state_dict()) == whole
        assert copy.deepcopy(history) == history


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_training_saved_in_on_step_is_resumed_to_the_same_bits_at_every_step(accumulate, path):
    """Also after the last step of an epoch, whose loss isn't recorded yet."""
    options = {"validation": (X, Y), "accumulate": accumulate, "progress": False, "epochs": 3}

    class Save(dl.callbacks.Callback):
        def on_step(self, training):
            own = {"optimizer": training.optimizer, "data": training.data}
            dl.save(f"{path}{training.step}", training.model, **own, history=training.history)

    own = training(rate=RATES["decay"])
    whole = dl.fit(own[0], dl.losses.mse, *own[1:], **options, callbacks=[Save()])
    state = look(*own)
    ends = [k in whole.epoch_ends for k in range(1, len(whole.lr) + 1)]
    assert (sum(ends), all(ends)) == (3, False)
    for k in range(1, len(whole.lr) + 1):
        own = training(9, rate=RATES["decay"])
        saved = dl.load(f"{path}{k}", own[0], optimizer=own[1], data=own[2])
        assert (saved.step, saved.epoch) == (k, sum(ends[: k - 1]))
        history = dl.fit(own[0], dl.losses.mse, *own[1:], **options, resume=saved)
        assert (look(*own), history) == (state, whole)


def test_what_is_inside_shows_tuples_as_they_were_given(tmp_path):
    model, optimizer, _ = training()
    dl.save(tmp_path / "a.ckpt", model, optimizer=optimizer)
    assert "Adam(betas=(0.9, 0.999), eps=1e-08" in repr(dl.load(tmp_path / "a.ckpt"))


@pytest.mark.parametrize("callbacks", [None, dl.callbacks.Average(0.9), "average"])
def test_callbacks_that_are_no_list_are_refused_by_name(tmp_path, callbacks):
    path, model = tmp_path / "a.ckpt", training()[0]
    with pytest.raises(TypeError, match="save: callbacks must be a list"):
        dl.save(path, model, callbacks=callbacks)
    dl.save(path, model)
    with pytest.raises(TypeError, match="load: callbacks must be a list"):
        dl.load(path, model, callbacks=callbacks)


def test_scaling_without_columns_is_told_how_to_be_made(tmp_path):
    dl.save(tmp_path / "a.ckpt", nn.Sequential(dl.data.Standardize().fit(X)))
    with pytest.raises(dl.CheckpointError, match=r"mean .*is missing.*Standardize\(features\)"):
        dl.load(tmp_path / "a.ckpt", nn.Sequential(dl.data.Standardize()))
