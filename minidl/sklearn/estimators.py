"""MLPClassifier and MLPRegressor as in scikit-learn, and Estimator for a network of one's own."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import ClassifierTags, RegressorTags

from minidl import _checks, losses, nn
from minidl.nn import Module
from minidl.ops import Array
from minidl.sklearn.network import Network, outputs_of
from minidl.sklearn.targets import Labels, Targets, plain

ACTIVATIONS: dict[str, type[Module] | None] = {
    "identity": None,
    "logistic": nn.Sigmoid,
    **nn.ACTIVATIONS,
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
        for i, shape in enumerate(zip(sizes, sizes[1:], strict=False)):
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
            value = loss(outputs, y, sample_weight=sample_weight) * scale
            if alpha == 0 or not model.training:
                return value
            total = float(len(y)) if sample_weight is None else np.sum(sample_weight)
            factor = np.asarray(alpha / 2 / total).astype(value.dtype)
            for w, zeros in penalties:
                value = value + losses.mse(w, zeros, "sum") * factor
            return value

        return penalized

    def transform(self, X: Any) -> Any:
        """The activations (n, units) of the last hidden layer, or X itself if there is none.

        They can serve as features of another estimator; `set_output` makes them a DataFrame.
        """
        x = self._checked(X)
        hidden = list(self.model_)[:-1]
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
    """Classify by a multilayer perceptron."""

    _: KW_ONLY
    class_weight: Any = None

    def _classifies(self) -> bool:
        return True

    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
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
    """Predict numbers by a multilayer perceptron."""

    def _classifies(self) -> bool:
        return False

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
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
    """Train a network of one's own.

    TODO
    """

    module: Module | Callable[..., Module]
    loss: str | Callable[..., Any]
    _: KW_ONLY
    task: Literal["auto", "classification", "regression"] = "auto"
    class_weight: Any = None

    def _is(self, function: Callable[..., Any], kind: type) -> bool:
        """Whether the loss is this function of minidl.losses, by name or itself or as an object."""
        return self.loss in (function.__name__, function) or isinstance(self.loss, kind)

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
        if isinstance(self.module, Module):
            return copy.deepcopy(self.module)
        rng = np.random.default_rng(random.randint(2**31 - 1))
        made = self.module(inputs, outputs, rng) if callable(self.module) else None
        if not isinstance(made, Module):
            raise TypeError(
                "Estimator: module must be a Module, or a function (features, outputs, rng) that "
                f"returns one, got {self.module!r}" + (f", which returned {made!r}" if made else "")
            )
        return made

    def _loss(self, model: Module, targets: Targets) -> Callable[..., Any]:
        if isinstance(targets, Labels) and self._logistic() and not targets.logistic:
            raise ValueError(
                "Only binary classification is supported. Estimator with binary_cross_entropy takes "
                f"two classes, or several labels a sample, but y has {len(targets.classes)} "
                'classes; use loss="cross_entropy"'
            )
        if isinstance(targets, Labels) and self._softmax() and targets.several:
            raise ValueError(
                "Estimator: cross_entropy is for one label a sample, but y has several; use "
                'loss="binary_cross_entropy"'
            )
        return LOSSES[self.loss] if isinstance(self.loss, str) else self.loss

    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> Estimator:
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
