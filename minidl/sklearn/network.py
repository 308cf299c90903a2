"""The base of the estimators: checks, the training by `fit`, and predictions."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from minidl import _checks, evaluation, optim, tensor, training
from minidl._fit.hooks import checked_callbacks
from minidl._format import printable
from minidl.callbacks import Callback, Training
from minidl.data import DataLoader
from minidl.history import History
from minidl.nn import Module
from minidl.ops import Array
from minidl.sklearn.targets import Labels, Targets, Values, plain

RECORDED = 64  # steps that repay the recording of a step, for batches of two sizes
FEATURES = "n_features_in_", "feature_names_in_"  # what scikit-learn keeps of X
ROWS = 1024  # of a sparse matrix that are made dense at a time for predictions


class Order(np.random.Generator):
    """The orders of samples that scikit-learn's MLP draws from a RandomState."""

    def __init__(self, random: np.random.RandomState) -> None:
        super().__init__(random._bit_generator)
        self.source = random
        self.last: Array | None = None

    def permutation(self, n: Any, axis: int = 0) -> Any:
        """The order of the next epoch, which permutes that of the last one."""
        drawn = np.arange(n)
        self.source.shuffle(drawn)
        self.last = drawn if self.last is None else self.last[drawn]
        return self.last


class SparseBatches:
    """Batches of a sparse x, each of which is made dense when it is taken."""

    def __init__(self, arrays: list[Any], size: int, order: Order | None) -> None:
        self.arrays, self.size, self.order = arrays, size, order

    def __len__(self) -> int:
        return math.ceil(len(self.arrays[1]) / self.size)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        n = len(self.arrays[1])
        order = np.arange(n) if self.order is None else self.order.permutation(n)
        for begin in range(0, n, self.size):
            x, *rest = (a[order[begin : begin + self.size]] for a in self.arrays)
            yield (x.toarray(), *rest)


class Stopping(Callback):
    """Ends a training as scikit-learn's MLP does, and keeps the weights with the best score.

    A loss or score that is not better than the best one by more than `tol` is no improvement; more
    than `patience` of them in a row end the training.

    score  a function of the model, larger is better; None for the loss of the training
    """

    def __init__(self, tol: float, patience: float, score: Callable[[Any], float] | None) -> None:
        self.tol, self.patience, self.score = tol, patience, score
        self.best, self.bad, self.converged = math.inf, 0, False
        self.scores: list[float] = []
        self.weights: dict[str, Array] | None = None

    def on_epoch(self, training: Training) -> bool:
        if self.score is None:
            value = training.history.loss[-1]
        else:
            self.scores.append(self.score(training.model))
            value = -self.scores[-1]
        self.bad = self.bad + 1 if value > self.best - self.tol else 0
        if value < self.best:
            self.best = value
            if self.score is not None:
                self.weights = training.model.state_dict()
        self.converged = self.bad > self.patience
        return self.converged


def has_labels(estimator: Network) -> bool:
    """Whether the estimator classifies, so that it has predict_proba and decision_function."""
    return estimator._classifies()


class Fitted(BaseEstimator):
    """What fit leaves beside the attributes that scikit-learn's MLP has.

    model_      the network, in evaluation mode
    optimizer_  the update rule
    history_    the record of `fit`
    dtype_      the dtype of the parameters, "float32" or "float64"
    """

    model_: Module
    optimizer_: optim.Optimizer
    history_: History
    dtype_: str
    classes_: Array
    n_iter_: int
    n_outputs_: int
    t_: int
    validation_scores_: list[float] | None
    _targets: Any
    _made_as: Any


@dataclass(eq=False, repr=False, kw_only=True)
class Network(Fitted):
    """What the estimators share; the arguments are described at `MLPClassifier`."""

    optimizer: Any = "Adam"
    learning_rate_init: Any = 1e-3
    batch_size: int | Literal["auto"] = "auto"
    max_iter: int = 200
    shuffle: bool = True
    tol: float = 1e-4
    n_iter_no_change: float = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    warm_start: bool = False
    callbacks: Any = ()
    dtype: Literal["auto", "float32", "float64"] = "auto"
    random_state: Any = None
    verbose: bool | int = False

    # --- what a subclass defines

    def _classifies(self) -> bool:
        """Whether y holds labels."""
        raise NotImplementedError

    def _logistic(self) -> bool:
        """Whether two classes have one output."""
        raise NotImplementedError

    def _made(self, inputs: int, outputs: int, random: np.random.RandomState) -> Module:
        """A new network."""
        raise NotImplementedError

    def _loss(self, model: Module, targets: Targets) -> Callable[..., Any]:
        """The loss of a batch, as `fit` takes it."""
        raise NotImplementedError

    def _layout(self) -> Any:
        """The arguments that a network is made from, which a training that goes on can't change."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # --- training

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network on X (n, features), dense or sparse, and y; returns the estimator.

        sample_weight  None, or a weight ≥ 0 for each sample; samples of weight 0 are left out

        A new network is made, unless warm_start and there is one. ValueError for data that don't
        fit, DivergenceError (a ValueError) if the loss becomes infinite or NaN.
        """
        return self._fit(X, y, sample_weight, None, once=False)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Self:
        first = not hasattr(self, "model_")
        if first and self._classifies() and classes is None:
            raise ValueError(
                f"{type(self).__name__}: the first call of partial_fit needs classes=..., all "
                "labels that y will ever hold"
            )
        if (
            not first
            and classes is not None
            and not np.array_equal(unique_labels(classes), self.classes_)
        ):
            raise ValueError(
                f"{type(self).__name__}: classes={classes} are not those of the first call of "
                f"partial_fit, {self.classes_.tolist()}"
            )
        return self._fit(X, y, sample_weight, classes, once=True)

    def _fit(self, X: Any, y: Any, sample_weight: Any, classes: Any, once: bool) -> Self:
        """Train for one epoch on top of what was learned (`once`), or for max_iter epochs."""
        owner = type(self).__name__
        self._check(owner, once)
        continues = hasattr(self, "model_") and (once or self.warm_start)
        if continues and self._layout() != self._made_as:
            raise ValueError(
                f"{owner}: the network was made for {self._made_as}, but the arguments now say "
                f"{self._layout()}; set warm_start=False and call fit to make a new one"
            )
        seen = copy.copy(self)  # is told the features; after an error self is as before
        data = X, y, sample_weight
        targets, arrays = self._read(owner, seen, data, classes, once, continues)
        random, dtype = check_random_state(self.random_state), arrays[0].dtype.name
        with tensor.default_dtype(dtype):
            if continues:
                model, rule, history = self._copies()
            else:
                model, history = self._made(arrays[0].shape[1], targets.outputs, random), History()
            if not (continues and once):
                rule = self._rule(owner, model)
            arrays, held_out = self._split(owner, arrays, targets, random)
            score = None if held_out is None else partial(_score, targets, held_out)
            stopping = Stopping(self.tol, self.n_iter_no_change, score)
            epochs, done = 1 if once else self.max_iter, len(history.loss)
            batches = self._batches(arrays, random)
            training.fit(
                *(model, self._loss(model, targets), rule, batches),
                epochs=epochs,
                validation=held_out,
                callbacks=[stopping, *self.callbacks],
                history=history,
                progress=bool(self.verbose),
                capture="auto" if epochs * len(batches) >= RECORDED else False,
            )
        model.eval()
        self._warn(owner, history, once)
        if stopping.weights is not None:
            model.load_state_dict(stopping.weights)
        fitted = {name: x for name, x in vars(self).items() if name not in FEATURES}
        fitted |= {name: x for name, x in vars(seen).items() if name in FEATURES}
        fitted |= {"model_": model, "optimizer_": rule, "history_": history, "dtype_": dtype}
        fitted |= {"_targets": targets, "_made_as": self._layout(), "n_outputs_": targets.outputs}
        n_iter = len(history.loss) - done
        t = (self.t_ if continues else 0) + n_iter * len(arrays[1])
        scores = stopping.scores if self.early_stopping else None
        fitted |= {"n_iter_": n_iter, "t_": t, "validation_scores_": scores}
        if isinstance(targets, Labels):
            fitted["classes_"] = targets.classes
        self.__dict__ = fitted  # all of it at once, whatever interrupts
        return self

    def _copies(self) -> tuple[Module, optim.Optimizer, History]:
        """What a training goes on with; if it fails, the estimator is as before."""
        history = copy.copy(self.history_)
        lists = {name: list(x) for name, x in vars(history).items() if isinstance(x, list)}
        metrics = {name: list(values) for name, values in history.metrics.items()}
        vars(history).update(lists, metrics=metrics)
        return *copy.deepcopy((self.model_, self.optimizer_)), history

    def _read(
        self,
        owner: str,
        seen: Self,
        data: tuple[Any, Any, Any],
        classes: Any,
        once: bool,
        continues: bool,
    ) -> tuple[Targets, list[Any]]:
        """The kind of targets, and the arrays x, y and perhaps weight to train on.

        seen  the estimator that gets the number and the names of the features
        """
        dtype: Any = self.dtype_ if continues else self.dtype
        X, y = validate_data(  # noqa: N806
            *(seen, *data[:2]),
            accept_sparse="csr",
            multi_output=True,
            dtype=(np.float64, np.float32) if dtype == "auto" else dtype,  # X keeps either of both
            y_numeric=not self._classifies(),
            reset=not continues,
        )
        y = plain(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        weight = self._weights(owner, X, y, data[2], once)
        targets: Targets
        if continues:
            targets = self._targets
        elif self._classifies():
            targets = Labels(owner, y, classes, self._logistic())
        else:
            targets = Values(y)
        arrays = [X, targets.encode(owner, y, X.dtype.name)]
        if weight is None:
            return targets, arrays
        return targets, [a[weight > 0] for a in (*arrays, weight)]

    def _check(self, owner: str, once: bool) -> None:
        """TypeError or ValueError for an argument that can't be."""
        if not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            _checks.count(owner, "batch_size", self.batch_size)
        _checks.count(owner, "max_iter", self.max_iter)
        _checks.number(owner, "tol", self.tol)
        patience = self.n_iter_no_change
        if not (isinstance(patience, float) and patience == math.inf):
            _checks.count(owner, "n_iter_no_change", self.n_iter_no_change)
        checked_callbacks(owner, self.callbacks)
        for name in ("shuffle", "early_stopping", "warm_start"):
            _checks.flag(owner, name, getattr(self, name))
        if not isinstance(self.verbose, bool):
            _checks.count(owner, "verbose", self.verbose, low=0)
        fraction = self.validation_fraction
        _checks.number(owner, "validation_fraction", fraction, above=True, high=1, below=True)
        _checks.choice(owner, "dtype", self.dtype, ("auto", "float32", "float64"))
        if once and self.early_stopping:
            raise ValueError(
                f"{owner}: partial_fit takes one epoch, which early_stopping=True can't end early; "
                "use early_stopping=False"
            )

    def _weights(self, owner: str, X: Any, y: Array, given: Any, once: bool) -> Array | None:
        """The weight of each sample, that of its class included; None if there are none."""
        weight = given
        if given is not None:
            weight = _check_sample_weight(given, X, dtype=np.float64, ensure_non_negative=True)
        class_weight = getattr(self, "class_weight", None)
        if class_weight is not None and self._classifies():
            if once and class_weight == "balanced":
                raise ValueError(
                    f'{owner}: class_weight="balanced" needs all samples at once, which '
                    "partial_fit doesn't have; give a dict {label: weight}"
                )
            by_class = compute_sample_weight(class_weight, y)
            if not (np.isfinite(by_class) & (by_class >= 0)).all():
                message = f"{owner}: class_weight must hold finite numbers ≥ 0, got {class_weight}"
                raise ValueError(printable(message))
            weight = by_class if weight is None else weight * by_class
        if weight is not None and not weight.any():
            raise ValueError(f"{owner}: sample_weight and class_weight give every sample weight 0")
        return weight

    def _rule(self, owner: str, model: Module) -> optim.Optimizer:
        """The update rule, made for the network."""
        lr = copy.deepcopy(self.learning_rate_init)  # a ReduceOnPlateau changes
        if not callable(lr):
            lr = _checks.number(owner, "learning_rate_init", lr)
        rule = self.optimizer
        if isinstance(rule, str):
            rule = optim.RULES[_checks.choice(owner, "optimizer", rule, optim.RULES, hint=True)]
        made = rule(model, lr) if callable(rule) else None
        if not isinstance(made, optim.Optimizer):
            raise TypeError(
                f'{owner}: optimizer must be the name of a rule such as "Adam", or a function '
                "(parameters, rate) that returns an optimizer, such as "
                f"functools.partial(dl.optim.Adam, weight_decay=0.1), got {rule!r}"
            )
        return made

    def _split(
        self, owner: str, arrays: list[Any], targets: Targets, random: np.random.RandomState
    ) -> tuple[list[Any], DataLoader | SparseBatches | None]:
        """The arrays to train on, and what is held out for early stopping."""
        if not self.early_stopping:
            return arrays, None
        single = isinstance(targets, Labels) and not targets.several
        parts = train_test_split(
            *arrays,
            test_size=self.validation_fraction,
            random_state=random,
            stratify=arrays[1] if single else None,
        )
        held_out = parts[1::2]
        if len(held_out[1]) < 2:
            raise ValueError(
                f"{owner}: validation_fraction={self.validation_fraction} of {len(arrays[1])} "
                "samples is less than 2; give more samples or a larger share"
            )
        return parts[::2], _batches(held_out, ROWS, None)

    def _batches(self, arrays: list[Any], random: np.random.RandomState) -> Any:
        n = len(arrays[1])
        size = min(200 if self.batch_size == "auto" else self.batch_size, n)
        return _batches(arrays, size, Order(random) if self.shuffle and size < n else None)

    def _warn(self, owner: str, history: History, once: bool) -> None:
        if history.interrupted:
            warnings.warn(f"{owner}: the training was interrupted by Ctrl-C", stacklevel=4)
        elif not (once or history._ended):
            warnings.warn(
                f"{owner}: after max_iter={self.max_iter} epochs the training has not converged; "
                "give a larger max_iter or tol",
                ConvergenceWarning,
                stacklevel=4,
            )

    # --- the record, as scikit-learn's MLP has it

    @property
    def loss_curve_(self) -> list[float]:
        """The mean loss of each epoch."""
        return self.history_.loss

    @property
    def loss_(self) -> float:
        """The mean loss of the last epoch."""
        return self.loss_curve_[-1]

    @property
    def best_loss_(self) -> float | None:
        """The smallest mean loss of an epoch; None after early stopping."""
        return min(self.loss_curve_, default=math.inf) if self.validation_scores_ is None else None

    @property
    def best_validation_score_(self) -> float | None:
        """The best accuracy or R² on the data held out for early stopping; None without it."""
        return max(self.validation_scores_) if self.validation_scores_ else None

    # --- predictions

    def predict(self, X: Any) -> Array:
        """Predict for X (n, features): labels (n,) or (n, labels), numbers (n,) or (n, outputs)."""
        outputs = self._outputs(X)
        return self._targets.decode(outputs)

    @available_if(has_labels)
    def decision_function(self, X: Any) -> Array:
        """The logits (n, classes) or (n, labels), for two classes (n,) those of the second."""
        outputs = self._outputs(X)
        return self._targets.scores(outputs)

    @available_if(has_labels)
    def predict_proba(self, X: Any) -> Array:
        """The probabilities (n, classes) in the order of `classes_`, or (n, labels); float64."""
        outputs = self._outputs(X)
        return self._targets.probabilities(outputs)

    @available_if(has_labels)
    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _checked(self, X: Any) -> Any:
        """X as the network takes it; NotFittedError if there is none."""
        check_is_fitted(self, "model_")
        return validate_data(self, X, accept_sparse="csr", dtype=self.dtype_, reset=False)

    def _outputs(self, X: Any) -> Array:
        """The outputs of the network for X."""
        x = self._checked(X)
        return outputs_of(self.model_, x)


def _batches(arrays: list[Any], size: int, order: Order | None) -> DataLoader | SparseBatches:
    """Batches (x, y) or (x, y, weight) in these orders, or in that of the arrays."""
    if issparse(arrays[0]):
        return SparseBatches(arrays, size, order)
    x, y, *weight = arrays
    options = {"sample_weight": weight[0]} if weight else {}
    return DataLoader(x, y, size, shuffle=order is not None, rng=order, **options)


def outputs_of(model: Module, x: Any) -> Array:
    """The outputs for dense or sparse x, whose dtype is the default one meanwhile."""
    with tensor.default_dtype(x.dtype.name):
        if not issparse(x):
            return evaluation.predict(model, x)
        parts = (x[begin : begin + ROWS].toarray() for begin in range(0, x.shape[0], ROWS))
        return np.concatenate([evaluation.predict(model, part) for part in parts])


def _score(targets: Targets, held_out: DataLoader | SparseBatches, model: Module) -> float:
    """The score of a network on the data that are held out."""
    x, y, *weight = held_out._arrays() if isinstance(held_out, DataLoader) else held_out.arrays
    return targets.score(y, outputs_of(model, x), *weight)
