"""The campaign's part `calls`: it finds planted faults, and leaves no public name out."""

import importlib
import random
import re
from pathlib import Path

import pytest
from cases import NAMES

import minidl as dl
from tests.campaign import calls, harness

LINES = "\n".join([calls.CALLS, calls.SLOW, calls.PICTURES, *calls.OBJECTS.values()])
pytestmark = pytest.mark.filterwarnings("ignore")  # the part ignores them, too


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def program(call, *setup):
    used = set.union(*(calls.names_in(calls.ast.parse(text)) for text in [*setup, call]))
    return calls.Program(calls.ordered(used & calls.OBJECTS.keys()), setup, call)


def test_every_public_name_is_called():
    without = {"lessons", "viz.figures", "walkthrough"}
    names = {name for module in NAMES.keys() - without for name in NAMES[module]}
    names -= {"CheckpointError", "GradientError", "RankError", "World"}  # raised, or made by start
    names -= {"Optimizer", "Schedule", "differentiable", "op"}  # for parts of one's own
    names -= {"RULES", "SURFACES", "Slot", "flag", "fraction", "option", "within"}  # no calls
    names -= {"NetworkRace", "Race", "Run", "Slice", "Training"}  # made by other calls
    names -= {"Recorder", "playground"}  # these serve or write pages
    left = [name for name in sorted(names) if not re.search(rf"\b{name}\b", LINES)]
    assert left == []


def test_an_error_before_anything_has_changed_is_no_breach():
    outcome = calls.attempt(program("net.load_state_dict({'dense1.weight': x})"))
    assert outcome.kind == "own"
    assert "the state is missing" in outcome.text


def test_a_change_before_an_error_is_a_breach_with_a_program_that_shows_it(monkeypatch):
    def load(module, state):
        module[0].weight.data = 2 * module[0].weight.data
        raise ValueError("too late")

    monkeypatch.setattr(dl.nn.Module, "load_state_dict", load)
    with pytest.raises(harness.Breach, match=r"changed before the error: .*weight") as caught:
        calls.attempt(program("net.load_state_dict({})"))
    with pytest.raises(ValueError, match="too late"):
        exec(caught.value.reproduction, {})


def test_a_setting_that_stays_after_an_error_is_a_breach(monkeypatch):
    def set_default_dtype(dtype):
        dl._settings._default_dtype = dl.Tensor([1], dtype="float64").dtype
        raise ValueError("too late")

    before = dl.get_default_dtype()
    monkeypatch.setattr(dl, "set_default_dtype", set_default_dtype)
    try:
        with pytest.raises(harness.Breach, match="default dtype"):
            calls.attempt(program("dl.set_default_dtype('float64')"))
    finally:
        dl._settings._default_dtype = before


def test_a_setting_that_a_failed_training_leaves_is_a_breach():
    fit = "dl.fit(net, losses.mse, optimizer, (x, y), epochs=1, progress=False, callbacks=[v0])"
    assert calls.attempt(program(fit, "v0 = lambda *_: 1 / 0")).kind == "user"
    try:
        with pytest.raises(harness.Breach, match="default dtype"):
            calls.attempt(program(fit, "v0 = lambda *_: dl.set_default_dtype('float64') or 1 / 0"))
    finally:
        dl.set_default_dtype("float32")


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("dl.nn.Dense(0, 1)", "own"),  # a raise in Python
        ("dl.Tensor(x)[np.ones((9, 9), bool)]", "own"),
        ("dl.losses.cross_entropy([[0.0, 1.0]], [5])", "own"),  # a raise beside a kernel
        ("dl.nn.Dense(1)", "python"),
        ("dl.nn.Dense(1, 1, size=3)", "python"),
        ("folder / 3", "user"),
        ("dl.load('missing')", "system"),
        ("dl.nn.Dense(1, 1, init=lambda *a: 1 / 0)", "user"),
        ("learned.predict(np.ones((2, 9)))", "sklearn"),
    ],
)
def test_an_error_is_told_by_where_it_was_raised(call, kind):
    assert calls.attempt(program(call)).kind == kind


def test_an_error_of_a_library_that_passes_through_minidl_is_foreign(monkeypatch):
    code = compile("def leak(x):\n    return int(x)", str(Path(dl.__file__)), "exec")
    names = {}
    exec(code, names)
    monkeypatch.setattr(dl, "exp", names["leak"])
    assert calls.attempt(program("dl.exp('text')")).kind == "foreign"


@pytest.mark.forked  # the trial limits the memory of its process
def test_a_share_of_foreign_errors_above_the_limit_is_a_breach(monkeypatch):
    monkeypatch.setattr(calls, "attempt", lambda program: calls.Outcome("foreign", "text"))
    monkeypatch.setattr(calls, "CALLS_PER_SEED", 2)
    with pytest.raises(harness.Breach, match="2 of 2 errors are foreign"):
        calls.trial(0, lambda text: None)


def test_a_changed_call_is_the_same_for_the_same_seed():
    line = "dl.fit(net, losses.mse, optimizer, (x, y), epochs=2, progress=False)"
    one, other = (calls.changed(line, random.Random(5)) for _ in range(2))
    assert one == other
    assert one.call != line


# What NumPy or Python said in their own words before minidl checked it.
MENDED = [
    ("dl.nn.Dense(1, 1, rng=0.5)", "Dense: rng must be None, a whole number"),
    ("dl.nn.Dropout(0.5, rng=-1)", "Dropout: rng must be None, a whole number"),
    ("data.DataLoader(x, y, rng='a')", "DataLoader: rng must be None, a whole number"),
    ("model[9]", "Sequential has the modules 0 to 3; there is none at 9"),
    ("model['a']", "there is none at 'a'"),
    ("a[7]", "getitem of shape (2, 3): index 7 is out of bounds"),
    ("a[[[1], [2, 3]]]", "[[1], [2, 3]] is not an index"),
    ("a > np.ones((5, 5))", "greater of shape (2, 3) and (5, 5)"),
    ("a < 'text'", "expected real numbers, got str"),
    ("len(dl.Tensor(1.0))", "has no length, since it has no axes"),
    ("round(a, 'x')", "round: digits must be a whole number"),
    ("dl.concatenate(3)", "concatenate: its first argument must be a list, got 3"),
    ("loss.backward(retain_graph='yes')", "backward: retain_graph must be True or False"),
    ("dl.Tensor(x, dtype=x)", "dtype must be floating, integer or boolean"),
    ("dl.gradcheck(3, a)", "gradcheck: f must be a function of the tensors, got 3"),
    ("dl.gradcheck(dl.exp, a * 2)", "is the result of an op, and has no gradient of its own"),
    ("export.to_numpy(net, 3)", "to_numpy: path must be the name of a file"),
    ("dl.load('\\0')", "load: path has a null character"),
    ("dl.config.set_blas(3)", "set_blas: path must be the name of a file"),
    ("history.values(3)", "History.values: name must be a string, got 3"),
    ("dl.History.from_state_dict([1])", "this is not the state of a History"),
    ("stopping.load_state_dict(3)", "EarlyStopping: a state is a dict"),
    ("stopping.load_state_dict({'a': 1})", "EarlyStopping: a state has the keys best, best_epoch"),
    ("average.load_state_dict({'a': object()})", "'a' of the state can't be converted to an array"),
    ("optim.clip_grad_norm(net, x)", "clip_grad_norm: max_norm must be"),
    ("optimizer.groups[0].update(3)", "Adam: options of a group must be a dict, got 3"),
    ("optimizer.groups[0][x]", "Adam: a group has no array("),
    ("optim.SGD([{3: [a]}])", "SGD: the keys of a group must be strings, got 3"),
    ("optimizer.rate(3)", "Adam.rate takes a group, such as optimizer.groups[0], got 3"),
    ("ftrl.sparse_step(s, [1, [2, 3]], x)", "indices can't be converted to an array"),
    ("losses.CrossEntropy(class_weight=[1, [2, 3]])", "can't be converted to an array"),
    ("losses.cross_entropy(a, [1, [2, 3]])", "target can't be converted to an array"),
    ("nn.MLP(np.array(5))", "MLP: sizes must be a list"),
    ("dl.distributed.map(len, 3)", "map: items must be a list, got 3"),
    ("bowl_surface.at(3)", "Surface.at: points must be an array of numbers"),
    ("bowl_surface.grid(5, x=3)", "Surface: x must be two numbers (low, high)"),
    ("race.plot(title=3)", "plot: title must be a string, got 3"),
]


@pytest.mark.parametrize(("call", "text"), MENDED, ids=[call for call, _ in MENDED])
def test_a_wrong_argument_is_named_in_minidls_own_words(call, text):
    importlib.import_module("matplotlib.pyplot")  # sets rcParams, which are compared
    outcome = calls.attempt(program(call))
    assert (outcome.kind, text in outcome.text) == ("own", True), outcome


def test_an_estimator_whose_fit_fails_is_as_it_was():
    outcome = calls.attempt(program("regressor.fit(x, y[:, 0], sample_weight=-np.ones(6))"))
    assert outcome.kind == "sklearn"  # and no Breach
