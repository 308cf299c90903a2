"""MLPClassifier and MLPRegressor as in scikit-learn, and Estimator for a network of one's own."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import ClassifierTags, RegressorTags

from minidl import _checks, losses, nn, tensor
from minidl.nn import Module
from minidl.ops import Array
from minidl.sklearn.network import Network, outputs_of
from minidl.sklearn.targets import Labels, Targets, plain

ACTIVATIONS: dict[str, type[Module] | None] = {
    "identity": None,
    "logistic": nn.Sigmoid,
    **dict(nn.ACTIVATIONS.items()),
}


@dataclass(eq=False, repr=False)
class _MLP(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Network):
    """A multilayer perceptron, with the initial weights and the penalty of scikit-learn's."""

    hidden_layer_sizes: Any = (100,)
    activation: str = "relu"
    _: KW_ONLY
    alpha: float = 1e-4
    dropout: float = 0.0

    def _logistic(self) -> bool:
        return True

    def _layout(self) -> Any:
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, object)).tolist()
        return sizes, self.activation, self.dropout

    def _check(self, owner: str, once: bool) -> None:
        super()._check(owner, once)
        _checks.number(owner, "alpha", self.alpha)
        _checks.number(owner, "dropout", self.dropout, high=1, below=True)
        _checks.choice(owner, "activation", self.activation, ACTIVATIONS, hint=True)
        for size in self._layout()[0]:
            _checks.count(owner, "hidden_layer_sizes", size)

    def _made(self, inputs: int, outputs: int, random: np.random.RandomState) -> Module:
        sizes, activation = [inputs, *self._layout()[0], outputs], ACTIVATIONS[self.activation]
        factor = 2 if activation is nn.Sigmoid else 6
        layers: list[Module] = []
        for i, shape in enumerate(itertools.pairwise(sizes)):
            if i and activation is not None:
                layers.append(activation())
            if i and self.dropout:
                layers.append(nn.Dropout(self.dropout, rng=random.randint(2**31 - 1)))
            bound = math.sqrt(factor / sum(shape))
            layer = nn.Dense(*shape, init="zeros")
            state = layer.state_dict()  # first the weight, then the bias
            layer.load_state_dict({k: random.uniform(-bound, bound, state[k].shape) for k in state})
            layers.append(layer)
        return nn.Sequential(*layers)

    def _loss(self, model: Module, targets: Targets) -> Callable[..., Any]:
        alpha = self.alpha
        penalties = [(w, np.zeros(w.shape, w.dtype)) for w in (d.weight for d in _dense(model))]
        loss: Callable[..., Any] = losses.mse
        scale = targets.outputs / 2
        if isinstance(targets, Labels):
            loss = losses.binary_cross_entropy if targets.logistic else losses.cross_entropy
            scale = targets.outputs if targets.logistic else 1

        def penalized(outputs: Any, y: Array, *, sample_weight: Array | None = None) -> Any:
            value = loss(outputs, y, sample_weight=sample_weight)
            if scale != 1 or sample_weight is not None:
                value = value * scale  # also by 1: the batches of an epoch then count by their size
            if alpha == 0 or not model.training:
                return value
            factor: Any = alpha / 2 / len(y)
            if sample_weight is not None:
                factor = (alpha / 2 / np.sum(sample_weight)).astype(value.dtype)
            for w, zeros in penalties:
                value = value + losses.mse(w, zeros, "sum") * factor
            return value

        return penalized

    def transform(self, X: Any) -> Any:
        """The activations (n, units) of the last hidden layer, or X itself if there is none.

        They can serve as features of another estimator; `set_output` makes them a DataFrame.
        """
        x = self._checked(X)
        layers: Any = self.model_
        hidden = list(layers)[:-1]
        return outputs_of(nn.Sequential(*hidden), x) if hidden else plain(x)

    @property
    def _n_features_out(self) -> int:
        return len(self.coefs_[-1])

    # --- the network, as scikit-learn's MLP has it

    @property
    def coefs_(self) -> list[Array]:
        """The weights (in, out) of each layer: the arrays of the network, not copies."""
        return [layer.weight.data for layer in _dense(self.model_)]

    @property
    def intercepts_(self) -> list[Array]:
        """The bias (out,) of each layer: the arrays of the network, not copies."""
        return [layer.bias.data for layer in _dense(self.model_) if layer.bias is not None]

    @property
    def n_layers_(self) -> int:
        """The number of layers, the input counted."""
        return len(self.coefs_) + 1


def _dense(model: Module) -> list[nn.Dense]:
    return [layer for layer in model.modules() if isinstance(layer, nn.Dense)]


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, _MLP):
    """Classify by a multilayer perceptron, with the arguments of scikit-learn's and more.

    hidden_layer_sizes   the number of units of each hidden layer, or one number
    activation           "relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid" or "logistic",
                         "tanh", "softplus", or "identity"
    optimizer            the name of a rule in dl.optim, or a function (parameters, rate) that
                         returns one, such as functools.partial(dl.optim.SGD, momentum=0.9)
    learning_rate_init   the rate: a number or a schedule, which counts steps
    alpha                α ≥ 0 of the penalty α/2 Σ W² / n in the loss of a batch of n samples, over
                         all weights but not the biases; n is Σ w with sample weights
    dropout              the probability in [0, 1) with which each hidden unit is left out
    batch_size           "auto": 200, or all samples if they are fewer
    max_iter             the number of epochs after which a ConvergenceWarning is given
    shuffle              draw a new order of the samples for each epoch
    tol                  the training ends when for more than n_iter_no_change epochs in a row the
    n_iter_no_change     loss has not been below the best one by more than tol; math.inf for never
    early_stopping       hold out the share validation_fraction of the samples, let their accuracy
    validation_fraction  decide when to end, and keep the weights of the best epoch
    class_weight         None, {label: weight} or "balanced", multiplied with sample_weight
    warm_start           whether fit goes on with the network of the last fit
    callbacks            those of dl.fit, which are not copied; clone copies them
    dtype                of the network: "float32", "float64", or "auto" for that of X
    random_state         None, a seed or a RandomState, for initial weights, order, split and masks
    verbose              show progress as dl.fit does

    With the same random_state the initial weights and the order of the batches are those of
    scikit-learn's MLPClassifier, and SGD arrives at its weights. Beside its attributes there are
    `model_`, `optimizer_` and `history_`, those of dl.fit. The network gives logits; two classes
    have one output, as each label of several has.

    >>> from minidl.sklearn import MLPClassifier
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["no", "yes", "yes", "no"]
    >>> xor = MLPClassifier(8, "tanh", learning_rate_init=0.1, random_state=0).fit(X, y)
    >>> xor.predict(X)
    array(['no', 'yes', 'yes', 'no'], dtype='<U3')
    """

    _: KW_ONLY
    class_weight: Any = None

    def _classifies(self) -> bool:
        return True

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on X and y, on top of what was learned; returns the estimator.

        classes  all labels that there will ever be; needed in the first call
        """
        return self._partial_fit(X, y, sample_weight, classes)

    @property
    def out_activation_(self) -> str:
        """What makes probabilities of the last layer's outputs: "logistic" or "softmax"."""
        return "logistic" if self._targets.logistic else "softmax"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, _MLP):
    """Predict numbers by a multilayer perceptron, with the arguments of `MLPClassifier`.

    The loss of a sample is ½ Σ (p − y)², summed over the outputs. Early stopping looks at R². Scale
    y as well if it is far from 0 to 1: the default rate of 0.001 is small.

    >>> from minidl.sklearn import MLPRegressor
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> square = MLPRegressor(16, learning_rate_init=0.02, random_state=0).fit(X, X[:, 0] ** 2)
    >>> square.score(X, X[:, 0] ** 2) > 0.9
    True
    """

    def _classifies(self) -> bool:
        return False

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on X and y, on top of what was learned; returns the estimator."""
        return self._partial_fit(X, y, sample_weight, None)

    @property
    def out_activation_(self) -> str:
        """What follows the last layer: "identity"."""
        return "identity"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


LOSSES: dict[str, Callable[..., Any]] = {
    name: getattr(losses, name)
    for name in ("mse", "mae", "huber", "cross_entropy", "binary_cross_entropy")
}


@dataclass(eq=False, repr=False)
class Estimator(Network):
    """Train a network of one's own; other arguments are those of `MLPClassifier`.

    module  a function (features, outputs, rng) that returns a Module, with a numpy.random.Generator
            made from random_state; or a Module, of which each fit trains a copy
    loss    "mse", "mae", "huber", "cross_entropy" or "binary_cross_entropy", or a function
            (prediction, y) → scalar as dl.fit takes it, with sample_weight=... if there are weights
    task    "classification", "regression", or "auto", which is classification for the two
            cross-entropies of minidl and regression for any other loss

    For labels the network must return logits: one a sample for binary_cross_entropy with two
    classes, one for each of several labels, else one for each class. A loss of one's own gets the
    labels as 0, 1, …, and numbers as (n, outputs). A penalty on the weights is the optimizer's:
    functools.partial(dl.optim.AdamW, weight_decay=0.01).

    >>> from minidl.sklearn import Estimator
    >>> def network(features, outputs, rng):
    ...     return dl.nn.Sequential(dl.nn.Dense(features, outputs, bias=False, rng=rng))
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> line = Estimator(network, "mae", optimizer="SGD", learning_rate_init=0.1, random_state=0)
    >>> line.fit(X, 2 * X[:, 0]).predict([[3.0]]).round(1)
    array([6.])
    """

    module: Module | Callable[..., Module]
    loss: str | Callable[..., Any]
    _: KW_ONLY
    task: Literal["auto", "classification", "regression"] = "auto"
    class_weight: Any = None

    def _is(self, function: Callable[..., Any], kind: type) -> bool:
        """Whether the loss is this function of minidl.losses, by name or itself or as an object."""
        name = isinstance(self.loss, str) and self.loss == function.__name__
        return name or self.loss is function or isinstance(self.loss, kind)

    def _logistic(self) -> bool:
        return self._is(losses.binary_cross_entropy, losses.BinaryCrossEntropy)

    def _softmax(self) -> bool:
        return self._is(losses.cross_entropy, losses.CrossEntropy)

    def _classifies(self) -> bool:
        by_loss = self.task == "auto" and (self._logistic() or self._softmax())
        return by_loss or self.task == "classification"

    def _layout(self) -> Any:
        return self.module

    def _check(self, owner: str, once: bool) -> None:
        super()._check(owner, once)
        _checks.choice(owner, "task", self.task, ("auto", "classification", "regression"))
        if isinstance(self.loss, str):
            _checks.choice(owner, "loss", self.loss, LOSSES, hint=True)
        if self.class_weight is not None and not self._classifies():
            raise ValueError(
                f"{owner}: class_weight is for labels, but with loss={self.loss!r} and "
                f"task={self.task!r} y holds numbers; give sample_weight to fit instead"
            )

    def _made(self, inputs: int, outputs: int, random: np.random.RandomState) -> Module:
        made: Any = None
        if isinstance(self.module, Module):
            made = copy.deepcopy(self.module)
        elif callable(self.module):
            made = self.module(inputs, outputs, np.random.default_rng(random.randint(2**31 - 1)))
        if not isinstance(made, Module):
            raise TypeError(
                "Estimator: module must be a Module, or a function (features, outputs, rng) that "
                f"returns one, got {self.module!r}" + (f", which returned {made!r}" if made else "")
            )
        found = outputs_of(made, np.ones((1, inputs), tensor.get_default_dtype()))
        if found.size != outputs:
            raise ValueError(
                f"Estimator: the network must return shape (n, {outputs}) for these n samples and "
                f"their y, but it returns (n, {found.size})"
            )
        return made

    def _loss(self, model: Module, targets: Targets) -> Callable[..., Any]:
        if isinstance(targets, Labels) and self._logistic() and not targets.logistic:
            raise ValueError(
                "Only binary classification is supported. Estimator with binary_cross_entropy "
                f"takes two classes, or several labels a sample, but y has {len(targets.classes)} "
                'classes; use loss="cross_entropy"'
            )
        if isinstance(targets, Labels) and self._softmax() and targets.several:
            raise ValueError(
                "Estimator: cross_entropy is for one label a sample, but y has several; use "
                'loss="binary_cross_entropy"'
            )
        return LOSSES[self.loss] if isinstance(self.loss, str) else self.loss

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on X and y, on top of what was learned; returns the estimator.

        classes  all labels that there will ever be; needed in the first call for labels
        """
        return self._partial_fit(X, y, sample_weight, classes)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy of predicted labels, or R² of predicted numbers."""
        mixin = ClassifierMixin if self._classifies() else RegressorMixin
        return float(mixin.score(self, X, y, sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        if self._classifies():
            tags.estimator_type = "classifier"
            tags.classifier_tags = ClassifierTags(
                multi_class=not self._logistic(), multi_label=not self._softmax()
            )
        else:
            tags.estimator_type = "regressor"
            tags.regressor_tags = RegressorTags()
            tags.target_tags.multi_output = True
        return tags
