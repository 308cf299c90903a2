"""MLPClassifier and MLPRegressor as in scikit-learn, and Estimator for a network of one's own."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import ClassifierTags, RegressorTags

from minidl import _checks, losses, nn, tensor
from minidl.nn import Module
from minidl.ops import Array
from minidl.sklearn.network import Network
from minidl.sklearn.targets import Labels, Targets

ACTIVATIONS: dict[str, type[Module] | None] = {
    "identity": None,
    "logistic": nn.Sigmoid,
    **nn.ACTIVATIONS,
}


@dataclass(eq=False, repr=False)
class _MLP(Network):
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


@dataclass(eq=False, repr=False)
class Estimator(Network):
    """Train a network of one's own."""
    module: Any = None
    loss: Any = "mse"
