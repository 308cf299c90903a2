"""Every public call that changes something, for tests of what must be all or nothing.

A case is named after what it calls. It prepares objects, the same each time, and calls; then
everything in the objects and all settings are compared.
"""

import functools
import importlib
import inspect
import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from optimizing import FULL_STATE, RULES, Failing

import minidl as dl
from minidl import _observer, optim, schedulers
from minidl.optim.declarations import Slot, fraction, option
from minidl.schedulers import ReduceOnPlateau
from minidl.sklearn import Estimator, MLPClassifier, MLPRegressor

FEW, MANY = 300, 40_000  # entries: more than what NumPy takes from its cache
TINY, ONE = np.array([5e-324]), np.array([1.0])


class SignMomentum(optim.Optimizer):
    """A rule without a kernel, as a user writes one."""

    beta: float = option(fraction, default=0.9)
    slots = {"m": Slot()}

    def update(self, group, lr, t, theta, g, m):
        for theta_i, g_i, m_i in zip(theta, g, m, strict=True):
            m_i[...] = group.beta * m_i + (1 - group.beta) * g_i
            theta_i -= lr * np.sign(m_i)


# --- what is compared ---------------------------------------------------------------------------


def snapshot(x, seen=None):
    """Everything in an object, as tuples that can be compared; of a folder, all of its files."""
    seen = {} if seen is None else seen
    if x is None or isinstance(x, bool | int | str | bytes):
        return x
    if isinstance(x, float | np.dtype | np.generic | type):
        return repr(x)
    if id(x) in seen:
        return f"object {seen[id(x)]}"
    seen[id(x)] = len(seen)
    inside = functools.partial(snapshot, seen=seen)
    if isinstance(x, np.ndarray):
        return x.dtype.str, x.shape, np.asarray(x).tobytes()
    if isinstance(x, np.random.Generator):
        return repr(x.bit_generator.state)
    if isinstance(x, Path):
        files = sorted(x.iterdir()) if x.is_dir() else ()
        return str(x), tuple((path.name, path.read_bytes()) for path in files)
    if isinstance(x, dict):
        return tuple((inside(key), inside(value)) for key, value in x.items())
    if isinstance(x, list | tuple):
        return tuple(map(inside, x))
    if inspect.isroutine(x) or isinstance(x, dl.tensor.Node | ContextVar | ModuleType):
        return type(x).__name__
    slots = itertools.chain(*(vars(c).get("__slots__", ()) for c in type(x).__mro__))
    members = {name: getattr(x, name) for name in slots if name != "__weakref__"}
    members |= getattr(x, "__dict__", {})
    return type(x).__name__, *((name, inside(value)) for name, value in members.items())


def difference(a, b, place=""):
    """Where two snapshots differ first."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        i = next((i for i, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1]), 0)
        label = a[0] if i == 1 and isinstance(a[0], str) else i
        return difference(a[i], b[i], f"{place}/{label}")
    return f"{place}: {str(a)[:80]} and {str(b)[:80]}"


def settings():
    """What minidl or Python has switched on at the moment.

    np.geterr() isn't compared, since an interrupt at the start of NumPy's own errstate.__exit__
    leaves it changed.
    """
    recording = (dl.Tensor(ONE, requires_grad=True) * 1.0).requires_grad
    flushed = not (TINY * ONE)[0]
    tracing = bool(_observer.active.get())
    pyplot = sys.modules.get("matplotlib.pyplot")
    return (
        ("recording", recording),
        ("tracing", tracing),
        ("default dtype", str(dl.get_default_dtype())),
        ("threads", dl.get_num_threads()),
        ("subnormals flushed", flushed),
        ("handler of SIGINT", repr(signal.getsignal(signal.SIGINT))),
        ("open figures", tuple(pyplot.get_fignums()) if pyplot else ()),
        ("rcParams", str(dict.items(pyplot.rcParams)) if pyplot else ""),
    )


def restore_settings():
    """Undo what a breach left switched on outside the context."""
    dl.set_default_dtype("float32")
    dl.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


# --- cases --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One call.

    detects     a pattern: the error that a call after a fault may raise, as documented
    milestones  all states in which the call may end: a function of objects whose call went through
    compared    what is compared of the objects
    slow        tried fewer times
    """

    name: str
    prepare: Callable[[], Any]
    call: Callable[[Any], Any]
    detects: str = "(?!)"
    milestones: Callable[[Any], list[Any]] | None = None
    compared: Callable[[Any], Any] = snapshot
    slow: bool = False


CASES: dict[str, Case] = {}


def case(name, prepare, call, **more):
    assert name not in CASES
    CASES[name] = Case(name, prepare, call, **more)


def numbers(*shape, dtype="float64"):
    return np.random.default_rng(shape).normal(size=shape).astype(dtype)


NUMBERS, ROWS = numbers(FEW, dtype="float32"), numbers(3, 16, dtype="float32")


def parameter(name, dtype="float64", size=FEW):
    w = dl.Tensor(numbers(size, dtype=dtype), requires_grad=True, name=name)
    w.grad = numbers(size, dtype=dtype) + 1
    return w


def mixed():
    """Parameters of both dtypes with gradients."""
    return [parameter("a"), parameter("b", "float32"), parameter("c")]


def optimizer(rule, schedule=None, **options):
    """Two groups, one with a schedule; the step counts of its parameters differ."""
    a, b, c = mixed()
    schedule = schedule or schedulers.CosineDecay(0.05, 10)
    o = rule([{"params": [a, b]}, {"params": [c], "lr": schedule}], lr=0.05, **options)
    b.grad, grad = None, b.grad
    o.step()
    b.grad = grad
    return o


for rule in [*RULES, "SignMomentum"]:
    make = functools.partial(
        optimizer, getattr(optim, rule, SignMomentum), weight_decay=0.01, **FULL_STATE.get(rule, {})
    )
    case(f"Optimizer.step {rule}", make, lambda o: o.step())
    case(f"Optimizer.load_state_dict {rule}", lambda make=make: loadable(make), lambda x: x.load())


def loadable(make):
    """An optimizer, and the state of another one after more steps."""
    o, other = make(), make()
    other.step()
    other.step()
    other.groups[0].weight_decay = 0.02
    state = other.state_dict()
    return SimpleNamespace(o=o, state=state, load=lambda: o.load_state_dict(state))


def adam(**options):
    return optimizer(optim.Adam, **options)


def one_group():
    return optim.Adam([parameter("w")], lr=0.1, amsgrad=True)


def following():
    """An optimizer whose rate is a ReduceOnPlateau, and a saved state of it."""
    rate = functools.partial(ReduceOnPlateau, 0.5, patience=0)
    x = loadable(lambda: optim.SGD(mixed(), lr=schedulers.WarmUp(rate(), 2)))
    for metric in (1.0, 2.0):
        schedulers.plateaus(x.o.groups[0].lr)[0].observe(metric)
    return x


def ftrl():
    o = optim.FTRL([parameter("w", size=MANY)], l1=0.01)
    return SimpleNamespace(o=o, at=np.arange(0, MANY, 7), g=numbers(len(range(0, MANY, 7))))


case("Optimizer.step one group", one_group, lambda o: o.step())
case(
    "Optimizer.step large",
    lambda: optim.Nadam([parameter("w", size=MANY)]),
    lambda o: o.step(),
)
case("Optimizer.load_state_dict plateau", following, lambda x: x.load())
case("Optimizer.state_dict", adam, lambda o: o.state_dict())
case("Optimizer.zero_grad", adam, lambda o: o.zero_grad())
case("Optimizer.__set__", adam, lambda o: setattr(o, "lr", 0.2))
case("Optimizer.__init__", mixed, lambda ws: optim.Adam(ws))
case("Optimizer.__init__ bad", mixed, lambda ws: fails(lambda: optim.Adam(ws, lr=-1)))
case("Group.update", adam, lambda o: o.groups[1].update({"lr": 0.3, "eps": 0.1}))
case("Group.__setitem__", adam, lambda o: o.groups[1].__setitem__("lr", 0.3))
case("Group.__setattr__", adam, lambda o: setattr(o.groups[1], "betas", (0.5, 0.6)))
case("FTRL.sparse_step", ftrl, lambda x: x.o.sparse_step(x.o.groups[0].params[0], x.at, x.g))
case(
    "Optimizer.step failing schedule",
    lambda: optimizer(optim.SGD, Failing(-1, step=1)),
    lambda o: fails(o.step),
)


def fails(call):
    """Make a call that raises a ValueError, which is expected."""
    try:
        call()
    except ValueError:
        return
    raise AssertionError("no error")


# averages and clipping


def averaged():
    model = mixed()
    average = optim.average(model, 0.9)
    for w in model:
        w.data = w.data + 1
    average.update()
    other = optim.average(mixed(), 0.5)
    return SimpleNamespace(model=model, average=average, state=other.state_dict())


def enter_and_exit(context):
    with context:
        pass


def entered():
    x = averaged()
    x.average.__enter__()
    return x


case("average.__enter__", averaged, lambda x: x.average.__enter__())
case("average.__exit__", entered, lambda x: x.average.__exit__(None, None, None))
case("average with", averaged, lambda x: enter_and_exit(x.average))
case("average.update", averaged, lambda x: x.average.update())
case("average.state_dict", averaged, lambda x: x.average.state_dict())
case("average.load_state_dict", averaged, lambda x: x.average.load_state_dict(x.state))
case("clip_grad_norm", mixed, lambda ws: optim.clip_grad_norm(ws, 1.0))
case("clip_grad_value", mixed, lambda ws: optim.clip_grad_value(ws, 0.5))


# tensors


def leaves():
    return [parameter("a"), parameter("b")]


def graph(loss, grads=False):
    """Leaves, and a loss on them."""
    ws = leaves()
    for w in ws:
        w.grad = w.grad if grads else None
    return SimpleNamespace(leaves=ws, loss=loss(*ws))


def layers(a, b):
    x = dl.nn.MLP([2, 3, 1], "relu", rng=0)(dl.reshape(a, (-1, 2)))
    return dl.losses.mse(x, np.ones((FEW // 2, 1))) + (b * a).sum()


def square():
    return [dl.Tensor(numbers(9, 9), requires_grad=True) for _ in range(2)]


def in_place(change, w):
    with dl.no_grad():
        change(w)


FREED = "was freed by an earlier backward"
for form, loss, grads in [
    ("fresh", lambda a, b: (a * b).sum(), False),
    ("onto gradients", lambda a, b: (a * b).sum(), True),
    ("shared leaves", lambda a, b: (a * a + dl.tanh(b) * (a + b)).sum(), True),
    ("fused", layers, True),
]:
    make = functools.partial(graph, loss, grads)
    case(f"Tensor.backward {form}", make, lambda x: x.loss.backward(), detects=FREED)
case(
    "Tensor.backward retained",
    functools.partial(graph, layers, True),
    lambda x: x.loss.backward(retain_graph=True),
)
case("Tensor.zero_grad", leaves, lambda ws: ws[0].zero_grad())
case("Tensor.data", leaves, lambda ws: setattr(ws[0], "data", NUMBERS))
case("Tensor.requires_grad", leaves, lambda ws: setattr(ws[0], "requires_grad", False))
case(
    "Tensor.requires_grad of data",
    lambda: dl.Tensor(numbers(FEW)),
    lambda w: setattr(w, "requires_grad", True),
)
for name in ("iadd", "isub", "imul", "itruediv", "ipow", "imatmul"):
    change = getattr(dl.Tensor, f"__{name}__")
    make = square if name == "imatmul" else leaves
    case(f"Tensor.__{name}__", make, lambda ws, f=change: in_place(lambda w: f(w, ws[1]), ws[0]))


# modules


def network():
    model = dl.nn.Sequential(
        dl.nn.Dense(16, 20, rng=0), dl.nn.ReLU(), dl.nn.Dropout(0.5, rng=0), dl.nn.Dense(20, 1)
    )
    for name, w in model.named_parameters():
        w.data = numbers(*w.shape)
        w.grad = np.ones_like(w.data)
        w.name = name
    state = {name: w.data + 1 for name, w in model.named_parameters()}
    return SimpleNamespace(model=model, state=state, x=numbers(30, 16), y=numbers(30, 1))


case("Module.train", lambda: network().model.eval(), lambda model: model.train())
case("Module.eval", lambda: network().model, lambda model: model.eval())
case("Module.zero_grad", lambda: network().model, lambda model: model.zero_grad())
case("Module.state_dict", network, lambda x: x.model.state_dict())
case("Module.load_state_dict", network, lambda x: x.model.load_state_dict(x.state))
case("Module.buffer", lambda: network().model, lambda model: model.buffer("mean", NUMBERS))
case("Module.__call__", network, lambda x: x.model(x.x))
case("Dropout.forward", lambda: dl.nn.Dropout(0.5, rng=0), lambda d: d(numbers(FEW)))


# schedules, data, training


def plateau():
    schedule = ReduceOnPlateau(0.5, patience=0, cooldown=2)
    schedule.observe(1.0)
    return schedule


def loader():
    return dl.data.DataLoader(numbers(FEW, 2), numbers(FEW), 50, rng=0)


case("ReduceOnPlateau.observe", plateau, lambda s: s.observe(2.0))
case("ReduceOnPlateau.reset", plateau, lambda s: s.reset())
case("Schedule.__call__", lambda: schedulers.OneCycle(0.1, 20), lambda s: s(np.arange(20)))
case("Standardize.fit", dl.data.Standardize, lambda scale: scale.fit(numbers(FEW, 2)))
case(
    "Standardize.fit again",
    lambda: dl.data.Standardize().fit(numbers(FEW, 2)),
    lambda scale: scale.fit(numbers(9, 2)),
)
case("DataLoader.begin", loader, lambda batches: batches.begin())
case(
    "DataLoader.__iter__",
    loader,
    lambda batches: [x.sum() for x, _ in batches],
    milestones=lambda _: states_in_an_epoch(),
)


def states_in_an_epoch():
    """The states of a loader before each batch, and after the last one."""
    batches = loader()
    batches.begin()
    for taken in range(len(batches) + 1):
        batches.taken = taken
        yield snapshot(batches)


def training():
    """A model, a loss that records the state before each step, and what fit needs."""
    x = network()
    x.model.dropout1.p = 0
    x.optimizer = optim.SGD(x.model, lr=0.01, momentum=0.9)
    x.data = dl.data.DataLoader(x.x, x.y, 10, shuffle=False)
    x.histories, x.states = [], []

    def loss(prediction, y):
        x.states.append(weights_and_history(x))
        return dl.losses.mse(prediction, y)

    x.loss = loss
    return x


def weights_and_history(x):
    """The weights and the optimizer's state without gradients, and whether records agree."""
    ws = [(w.data, w.version) for w in x.model.parameters()]
    o = x.optimizer
    modes = [module.training for module in x.model.modules()]
    consistent = all(
        len(h.step_loss) == len(h.lr) and len(h.loss) == len(h.epoch_ends) for h in x.histories
    )
    return snapshot([ws, o.t, list(o.state.values()), modes, consistent])


def fit(x, **more):
    options = {"epochs": 2, "progress": False, "callbacks": [lambda epoch, history: None], **more}
    history = dl.fit(x.model, x.loss, x.optimizer, x.data, validation=(x.x, x.y), **options)
    x.histories.append(history)


def captured():
    """A step, and the same step captured."""
    x = network()
    x.model.dropout1.p = 0
    x.optimizer = optim.SGD(x.model, lr=0.01, momentum=0.9)
    x.histories = []

    def step(inputs, y):
        x.optimizer.zero_grad()
        loss = dl.losses.mse(x.model(inputs), y)
        loss.backward()
        x.optimizer.step()
        return loss

    x.eager, x.step = step, dl.capture(step)
    return x


def states_of_two_epochs(_):
    """The states between the steps, taken without a capture."""
    x, states = captured(), []
    for begin in [*range(0, len(x.x), 10)] * 2:
        states.append(weights_and_history(x))
        x.eager(x.x[begin : begin + 10], x.y[begin : begin + 10])
    return states


case(
    "capture.epoch",
    captured,
    lambda x: x.step.epoch(x.x, x.y, batch_size=10),
    milestones=states_of_two_epochs,
    compared=weights_and_history,
    slow=True,
)


def replayed():
    """A captured step that has a plan."""
    x = captured()
    for begin in range(0, len(x.x), 10):
        x.step(x.x[begin : begin + 10], x.y[begin : begin + 10])
    return x


case(
    "capture.__call__", replayed, lambda x: x.step(x.x[:10], x.y[:10]), compared=weights_and_history
)
case("fit", training, fit, milestones=lambda x: x.states, compared=weights_and_history, slow=True)
case(
    "fit record",
    training,
    lambda x: fit(x, record=dl.viz.Recorder(every=2)),
    milestones=lambda x: x.states,
    compared=weights_and_history,
    slow=True,
)


def stopped():
    """A callback with the best weights of a training, and a model with others."""
    x = training()
    x.stop, x.other = dl.callbacks.EarlyStopping("loss"), dl.callbacks.EarlyStopping("loss")
    fit(x, callbacks=[x.stop])
    x.model.load_state_dict(x.state)
    return x


case(
    "EarlyStopping.restore",
    stopped,
    lambda x: x.stop.restore(x.model),
    compared=weights_and_history,
)
case(
    "EarlyStopping.load_state_dict",
    stopped,
    lambda x: x.other.load_state_dict(x.stop.state_dict()),
    compared=lambda x: snapshot(x.other),
)
# estimators


class EndsAfter(dl.callbacks.Callback):
    """Ends a training after so many steps, as Ctrl-C does, or before the first one."""

    def __init__(self, steps):
        self.steps = steps

    def on_begin(self, training):
        self.on_step(training)

    def on_step(self, training):
        if training.step == self.steps:
            raise KeyboardInterrupt


STEPS = 3  # of three epochs, after which the training has converged
LEARNERS = {
    "MLPClassifier": functools.partial(MLPClassifier, 3),
    "MLPRegressor": functools.partial(MLPRegressor, 3),
    "Estimator": functools.partial(
        Estimator, lambda n, out, rng: dl.nn.Dense(n, out, rng=0), "mse"
    ),
}


def learner(name, fitted=False, steps=None):
    """An estimator with data, perhaps fitted to others, whose next training has so many steps."""
    options = {"tol": 99.0, "n_iter_no_change": 1, "random_state": 0, "warm_start": True}
    x = SimpleNamespace(name=name, estimator=LEARNERS[name](**options), x=numbers(20, 2))
    x.y = np.arange(20) % 2 if name == "MLPClassifier" else numbers(20)
    x.classes = {"classes": [0, 1]} if name == "MLPClassifier" else {}
    if fitted:
        x.estimator.fit(x.x + 1, x.y)
    if steps is not None:
        x.estimator.callbacks = [EndsAfter(steps)]
    return x


def fitted_state(x):
    """The attributes of an estimator by name, its weights, and whether its record agrees."""
    own = vars(x.estimator)
    if "model_" not in own:
        return snapshot(sorted(own))
    history, model, optimizer = own["history_"], own["model_"], own["optimizer_"]
    consistent = len(history.loss) == len(history.epoch_ends) and own["n_iter_"] <= len(
        history.loss
    )
    return snapshot([sorted(own), model.state_dict(), optimizer.state_dict(), consistent])


def fit_learner(x):
    x.estimator.fit(x.x, x.y)


def partial_fit_learner(x):
    x.estimator.partial_fit(x.x, x.y, **x.classes)


def states_of_a_fit(call, steps, fitted, x):
    """The states that fewer steps leave, as Ctrl-C ends a training."""
    for taken in range(steps):
        ended = learner(x.name, fitted, steps=taken + (STEPS if fitted else 0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            call(ended)
        yield fitted_state(ended)


for name, (method, call, steps), fitted in itertools.product(
    LEARNERS, [("fit", fit_learner, STEPS), ("partial_fit", partial_fit_learner, 1)], [False, True]
):
    case(
        f"{name}.{method}{' again' * fitted}",
        functools.partial(learner, name, fitted),
        call,
        milestones=functools.partial(states_of_a_fit, call, steps, fitted),
        compared=fitted_state,
        slow=True,
    )
case("evaluate", network, lambda x: dl.evaluate(x.model, (x.x, x.y), dl.losses.mse))
case(
    "gradcheck",
    lambda: [dl.Tensor(numbers(3), requires_grad=True), dl.Tensor(numbers(2, 3))],
    lambda ts: dl.gradcheck(lambda a, b: (a * b).tanh(), *ts),
)


# settings and traces


def traced(x, call):
    with dl.trace():
        call(x)


case("no_grad", leaves, lambda ws: in_place(lambda w: w * w, ws[0]))
case("no_grad decorator", leaves, lambda ws: dl.no_grad()(lambda: ws[0] * 2)())
case("default_dtype", leaves, lambda ws: enter_and_exit(dl.default_dtype("float64")))
case("default_dtype decorator", leaves, lambda ws: dl.default_dtype("float64")(lambda: ws[0] * 2)())
case("set_default_dtype", list, lambda _: dl.set_default_dtype("float64"))
case("set_num_threads", list, lambda _: dl.set_num_threads(2))
case("trace forward", leaves, lambda ws: traced(ws, lambda ws: dl.tanh(ws[0]) + ws[1]), slow=True)
case(
    "trace backward",
    functools.partial(graph, layers),
    lambda x: traced(x, lambda x: x.loss.backward()),
    detects=FREED,
    slow=True,
)
case("trace step", adam, lambda o: traced(o, lambda o: o.step()), slow=True)


# files


@functools.cache
def shown():
    """A walkthrough, a race and a recorded training."""
    w = dl.Tensor(numbers(2), requires_grad=True, name="w")
    with dl.trace() as walk:
        (w * w).sum().backward()
    x, recorder = network(), dl.viz.Recorder()
    options = {"epochs": 1, "progress": False, "record": recorder}
    dl.fit(x.model, dl.losses.mse, optim.SGD(x.model, lr=0.01), (x.x, x.y), **options)
    return walk, dl.viz.race("bowl", ["SGD"], steps=5, lr=0.1), recorder


def folder():
    """A folder with an old file of each format, which the next one replaces."""
    importlib.import_module("matplotlib.pyplot")
    path = Path(tempfile.gettempdir()) / f"minidl-faults-{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for ending in ("html", "md", "txt", "svg", "png", "gif", "ckpt", "h", "py", "onnx"):
        (path / f"old.{ending}").write_bytes(b"old")
    return path


for ending in ("html", "md", "txt", "svg"):
    case(
        f"Walkthrough.save {ending}",
        folder,
        lambda path, ending=ending: shown()[0].save(path / f"old.{ending}"),
        slow=True,
    )
case("Race.save", folder, lambda path: shown()[1].save(path / "old.html"), slow=True)
case("Recorder.save", folder, lambda path: shown()[2].save(path / "old.html"), slow=True)
case("Race.plot", folder, lambda path: shown()[1].plot(path / "old.png"), slow=True)
case("Race.animate", folder, lambda path: shown()[1].animate(path / "old.gif", frames=2), slow=True)


for function, ending in ((dl.export.to_c, "h"), (dl.export.to_numpy, "py")):
    case(
        function.__name__,
        folder,
        lambda path, f=function, ending=ending: f(network().model, path / f"old.{ending}"),
    )
case("to_onnx", folder, lambda path: dl.export.to_onnx(network().model, path / "old.onnx", ROWS))


# files of trainings


def saved():
    """A training, with a file of another state of it."""
    x = network()
    x.optimizer = optim.Adam(x.model, lr=schedulers.WarmUp(ReduceOnPlateau(0.1), 3))
    x.data = dl.data.DataLoader(x.x, x.y, 10, rng=0)
    x.path = folder() / "run.ckpt"
    own = {"optimizer": x.optimizer, "data": x.data}
    before = x.model.state_dict()
    x.model.load_state_dict(x.state)
    dl.save(x.path, x.model, **own)
    x.model.load_state_dict(before)
    next(iter(x.data))
    x.optimizer.step()
    x.path = str(x.path)
    return x


case("load", saved, lambda x: dl.load(x.path, x.model, optimizer=x.optimizer, data=x.data))
case("save", folder, lambda path: dl.save(path / "old.ckpt", network().model))
case("predict", network, lambda x: dl.predict(x.model, x.x))
case(
    "DataLoader.load_state_dict",
    lambda: [saved().data, dl.data.DataLoader(numbers(30, 16), numbers(30, 1), 10, rng=5)],
    lambda loaders: loaders[0].load_state_dict(loaders[1].state_dict()),
)


# --- what has no case ---------------------------------------------------------------------------

# Methods that change nothing but what they return, and functions that users give (update). A name
# is given to a parameter as it is found, which no error can undo and a second call repeats. What
# capture's epoch and fit call, as the hooks of callbacks, is tried with them or left out.
READS = re.compile(
    r"""
    (\w+\.)?(forward|formula|phases|plot|update|prepare|constants|check_options|rate|checked
    |modules|parameters|named_parameters|detach|item|numpy|explain|remarks|table|at|contains|grid
    |stationary|stationary_points|check_points|check_start|gradient|project|weights|serve
    |description|ending|headline|results|view|__iter__|__setattr__)
    | (Tensor\.)?(reshape|transpose|flatten|argmax) | trace\.finish | capture\.(record|steps)
    | DataLoader\.(rest|rows|taken|check_resumable|part|held_out|arrays)
    | (\w+\.)?(in_order|state_dict|from_state_dict|values|options|summary)
    | \w+\.(on_\w+|validating|lines|row) | (Average|Callback)\.load_state_dict
    | \w+\.set_\w+_request | Estimator\.score | get_\w+ | show_config
    | race | network_race | playground
    """,
    re.VERBOSE,
)
MODULES = [dl, optim, dl.viz, dl.nn, dl.losses, schedulers, dl.data, dl.callbacks, dl.export]
MODULES.append(importlib.import_module("minidl.sklearn"))
CHANGES = re.compile(
    r"[^_]|__(enter|exit|set|setitem|setattr|i(ter|add|sub|mul|matmul|truediv|pow))__$"
)


def public_names():
    """The functions of minidl, and the methods and settable attributes of its classes.

    Functions of tensors and constructors aren't among them: both make new objects.
    """
    values = [x for module in MODULES for name, x in vars(module).items() if name[0] != "_"]
    for x in values:
        if not callable(x) or not getattr(x, "__module__", "").startswith("minidl"):
            continue
        if inspect.isclass(x):
            for name, value in vars(x).items():
                settable = inspect.isroutine(value) or getattr(value, "fset", None)
                of_tensors = x is dl.Tensor and hasattr(dl.ops, name)
                if CHANGES.match(name) and settable and not of_tensors:
                    yield f"{x.__name__}.{name}"
        elif not hasattr(dl.ops, x.__name__) and any(hasattr(m, x.__name__) for m in MODULES[:3]):
            yield x.__name__


def without_a_case():
    """What is neither tried nor a read; a case named after a context manager tries both ends."""
    tried = {name.split()[0] for name in CASES}
    for name in sorted({*public_names()} - tried):
        owner, _, method = name.partition(".")
        if not READS.fullmatch(name) and not (owner in tried and method.startswith("__")):
            yield name
