"""The playground on a model and data of a program, in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import _checks, losses, nn
from minidl.data import DataLoader
from minidl.data.batches import as_batches
from minidl.optim import RULES, Optimizer
from minidl.schedulers import Schedule
from minidl.viz._playground.settings import (
    GIVEN,
    LOSSES,
    MAX_CLASSES,
    MAX_LAYERS,
    MAX_UNITS,
    OWNER,
    Given,
    Settings,
    from_json,
)

if TYPE_CHECKING:
    from minidl.viz.widget import Playground

MAX_GIVEN = 5000  # samples
LOSS_FUNCTIONS = {name: getattr(losses, name) for own in LOSSES.values() for name in own}
NAMES = {module: name for name, module in nn.ACTIVATIONS.items()}


def playground(
    model: nn.Module | None = None,
    data: Any = None,
    *,
    loss: str | Callable[..., Any] | None = None,
    optimizer: str | type[Optimizer] = "Adam",
    lr: float | Schedule = 0.01,
    batch_size: int | None = 16,
    test: float = 0.3,
    names: Sequence[str] | None = None,
    height: int = 900,
) -> Playground:
    """The playground as a widget for a notebook, on a model and data of your own.

    model       a Sequential of Dense layers with one kind of activation between them, such as an
                MLP, perhaps with Dropout; it is copied, and the copy's weights are those that the
                page starts with, in float32. None: the page chooses
    data        (x, y) or a DataLoader, whose arrays and batch_size are taken: x of shape (n, d)
                with d ≤ 16 and n ≤ 5000; y has labels of at most 4 classes, as integers (n,) or a
                column of 0 and 1 for each class, or values (n,) or (n, 1). Given with a model
    loss        a loss of the page or its name. None: cross-entropy for labels, mse for values
    optimizer   a rule or its name, and lr its rate or schedule
    batch_size  samples of a batch; None for all. A DataLoader has its own
    test        the part of the data that is not trained on
    names       of the inputs
    height      in pixels

    The page shows the same as `python -m minidl playground`, and trains in the notebook's kernel
    whenever that is idle. The maps are over the first two inputs; others have their mean there.
    `.model` of the widget is a copy of the network with the weights that the page shows.

    ModuleNotFoundError without anywidget, minidl[notebook]; TypeError and ValueError for what the
    page can't show.
    """
    if (model is None) != (data is None):
        raise TypeError(f"{OWNER}: give both model and data, or neither")
    _checks.count(OWNER, "height", height)
    if loss is not None:
        loss = _checks.choice(OWNER, "loss", _name(loss, LOSS_FUNCTIONS), LOSS_FUNCTIONS)
    rule = _checks.choice(OWNER, "optimizer", _name(optimizer, RULES), RULES, hint=True)
    if model is not None:
        settings = _settings(model, data, loss, test, names)
    elif names is None:
        settings = Settings(test=test, loss=loss or Settings.loss)
    else:
        raise TypeError(f"{OWNER}: names are those of the inputs of data, which were not given")
    rate = float(lr) if isinstance(lr, Real) else repr(lr)
    size = data.batch_size if isinstance(data, DataLoader) else batch_size
    run = {"rule": rule, "lr": rate, "batch_size": size}
    settings = from_json({**settings.as_json(), "runs": [run]}, settings.given)
    try:
        from minidl.viz import widget
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "dl.viz.playground needs anywidget: pip install 'minidl[notebook]'; without a notebook "
            "use python -m minidl playground"
        ) from error
    return widget.Playground(settings, height)


def _name(given: Any, known: Mapping[str, Any]) -> Any:
    """The name of what is known; anything else as it is."""
    return next((name for name, value in known.items() if value is given), given)


def _settings(model: Any, data: Any, loss: Any, test: float, names: Any) -> Settings:
    """Settings of a page on a given model and data."""
    sizes, activation, dropout, weights = described(model)
    loader = as_batches(f"{OWNER}: data", data)
    if not isinstance(loader, DataLoader) or not isinstance(loader.x, np.ndarray):
        raise TypeError(f"{OWNER}: data must be (x, y) or a DataLoader, with x as one array")
    if loader.sample_weight is not None:
        raise ValueError(f"{OWNER}: the page has no weights of samples, leave sample_weight out")
    x, y = np.asarray(loader.x, np.float32), _labels(loader.y, loss, sizes[-1])
    _check_data(x, y, sizes)
    labels = np.issubdtype(y.dtype, np.integer) or y.dtype == bool
    binary = sizes[-1] == 1 and labels
    classes = 0 if not labels else 2 if binary else sizes[-1]
    y = y.astype(np.intp) if labels else y.reshape(-1, 1).astype(np.float32)
    if labels and not (y.ndim == 1 and y.min() >= 0 and y.max() < classes):
        raise ValueError(
            f"{OWNER}: labels must have the shape (n,) and be from 0 to {classes - 1} for a model "
            f"with {sizes[-1]} outputs, got {y.shape}, from {y.min()} to {y.max()}"
        )
    if not labels and sizes[-1] != 1:
        raise ValueError(f"{OWNER}: for values the model must have one output, got {sizes[-1]}")
    if loss is None:
        loss = "binary_cross_entropy" if binary else LOSSES[labels][0]
    _checks.choice(OWNER, "loss", loss, LOSSES[labels])
    if labels and binary != (loss == "binary_cross_entropy" and classes == 2):
        raise ValueError(f"{OWNER}: {loss} doesn't fit a model with {sizes[-1]} outputs")
    given = Given(
        *(x, y, classes, sizes, activation, dropout, weights),
        *_scaled(x),
        (0.0, 1.0) if labels else _range(y),
        _names(names, x.shape[1]),
    )
    return Settings(
        data=GIVEN,
        test=test,
        layers=sizes[1:-1],
        activation=activation,
        dropout=dropout,
        loss=loss,
        given=given,
    )


def _labels(y: np.ndarray, loss: Any, outputs: int) -> np.ndarray:
    """Labels (n,) of a column, or of columns with a 1 for the class; other targets as they are."""
    if y.ndim == 2 and y.shape[1] == outputs > 1 and np.isin(y, (0, 1)).all():
        return y.argmax(axis=1) if (y.sum(axis=1) == 1).all() else y
    binary = loss == "binary_cross_entropy" and np.isin(y, (0, 1)).all()
    if y.shape == (len(y), 1) and (binary or np.issubdtype(y.dtype, np.integer) or y.dtype == bool):
        return y[:, 0].astype(np.intp)
    return y.astype(np.intp) if binary else y


def described(model: Any) -> tuple[tuple[int, ...], Any, float, tuple[np.ndarray, ...]]:
    """Sizes, activation, dropout and a copy of the weights; TypeError if the page can't draw it."""
    expected = (
        f"{OWNER}: the model must be a Sequential of Dense layers with the same activation "
        "between each two, such as dl.nn.MLP, and perhaps Dropout after each activation; for "
        "others record fit with dl.viz.Recorder"
    )
    if not isinstance(model, nn.Sequential) or type(model).forward is not nn.Sequential.forward:
        raise TypeError(f"{expected}. Got {type(model).__name__}")
    modules = list(model)
    dense = [m for m in modules if type(m) is nn.Dense]
    kinds = {type(m) for m in modules if type(m) in NAMES}
    drops = {m.p for m in modules if type(m) is nn.Dropout}
    hidden = len(dense) - 1
    count = hidden * (1 + bool(drops))
    whole = len(dense) + count == len(modules)
    kind = next(iter(kinds), nn.Tanh)
    block = [kind, *[nn.Dropout] * bool(drops)]
    order = [nn.Dense, *[c for _ in range(hidden) for c in (*block, nn.Dense)]]
    if not dense or len(kinds) > 1 or len(drops) > 1 or not whole:
        raise TypeError(f"{expected}. Got\n{model!r}")
    if [type(m) for m in modules] != order or any(m.bias is None for m in dense):
        raise TypeError(f"{expected}, and with biases. Got\n{model!r}")
    if any(repr(m) != repr(kind()) for m in modules if type(m) is kind):
        raise TypeError(f"{expected}, and with its default options. Got\n{model!r}")
    if not all(p.requires_grad for p in model.parameters()):
        raise TypeError(f"{expected}; the page trains all parameters, and some are frozen")
    sizes = (dense[0].weight.shape[0], *(m.weight.shape[1] for m in dense))
    most = (MAX_UNITS, *[MAX_UNITS] * hidden, MAX_CLASSES)
    if hidden > MAX_LAYERS or any(n > m for n, m in zip(sizes, most, strict=True)):
        raise ValueError(
            f"{OWNER}: the page draws each unit, so at most {MAX_UNITS} inputs, {MAX_LAYERS} "
            f"hidden layers of {MAX_UNITS} and {MAX_CLASSES} outputs, got {list(sizes)}; for "
            "larger models record fit with dl.viz.Recorder"
        )
    weights = tuple(np.asarray(p.data, np.float32).copy() for m in dense for p in m.parameters())
    return sizes, NAMES[kind], max(drops, default=0.0), weights


def _check_data(x: np.ndarray, y: np.ndarray, sizes: tuple[int, ...]) -> None:
    if x.ndim != 2 or x.shape[1] != sizes[0]:
        raise ValueError(f"{OWNER}: x must have the shape (n, {sizes[0]}), got {x.shape}")
    if not 4 <= len(x) <= MAX_GIVEN:
        raise ValueError(
            f"{OWNER}: x must have 4 to {MAX_GIVEN:,} samples, all of which are drawn and "
            f"evaluated again and again, got {len(x):,}; give a part of them"
        )
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise ValueError(f"{OWNER}: x and y must be finite, got NaN or infinity")
    if y.ndim != 1 and y.shape != (len(x), 1):
        raise ValueError(f"{OWNER}: y must have the shape (n,) or (n, 1), got {y.shape}")


def _range(values: np.ndarray) -> tuple[float, float]:
    """The middle of values, and half their range."""
    low, high = float(values.min()), float(values.max())
    return (low + high) / 2, (high - low) / 2 or 1.0


def _scaled(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle of each input, and the half of its range, which the page draws as 1."""
    pairs = [_range(column) for column in x.T]
    return np.array([c for c, _ in pairs], np.float32), np.array([s for _, s in pairs], np.float32)


def _names(names: Any, count: int) -> tuple[str, ...]:
    if names is None:
        return tuple("xy"[:count]) if count <= 2 else tuple(f"x{i + 1}" for i in range(count))
    found = tuple(names) if isinstance(names, Sequence) and not isinstance(names, str) else ()
    if len(found) != count or not all(isinstance(n, str) for n in found):
        raise ValueError(f"{OWNER}: names must be {count} texts, one for each input, got {names!r}")
    return found
