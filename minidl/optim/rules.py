"""The update rules: one class each, with the paper's equations and one call of a kernel."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minidl import _checks
from minidl._checks import describe
from minidl._kernels import optim as kernels
from minidl.optim.declarations import (
    LearningRate,
    Slot,
    flag,
    fraction,
    learning_rate,
    number,
    option,
    positive,
    two_fractions,
    within,
)
from minidl.optim.optimizer import SYMBOLS, Optimizer
from minidl.optim.parameters import Arrays, Change, Constants, Group, Updates
from minidl.tensor import Tensor


class SGD(Optimizer):
    """Gradient descent; with momentum in PyTorch's form.

    momentum μ and dampening τ in [0, 1]; nesterov needs momentum and no dampening.
    The data's batch_size decides whether it is batch, stochastic or mini-batch gradient descent.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.SGD([w], lr=0.1).step()
    >>> w.data
    array([0.8], dtype=float32)
    """

    adds = {"gradient descent": "a sample or mini-batch a step"}
    equations = """
        θ ← θ − ηg              if μ = 0
        b ← g                   if μ > 0 and t = 1
        b ← μb + (1 − τ)g       if μ > 0 and t > 1
        θ ← θ − ηb              if μ > 0 and not nesterov
        θ ← θ − η(g + μb)       if nesterov
    """
    momentum: float = option(within(high=1), default=0.0)
    dampening: float = option(within(high=1), default=0.0)
    nesterov: bool = option(flag, default=False)
    slots = {"b": Slot(when="momentum")}
    kernel = kernels.sgd

    @classmethod
    def check_options(cls, given: dict[str, Any], params: Iterable[Tensor]) -> dict[str, Any]:
        chosen = super().check_options(given, params)
        if chosen["nesterov"] and not (chosen["momentum"] > 0 and chosen["dampening"] == 0):
            raise ValueError(
                "SGD: nesterov needs momentum > 0 and dampening = 0, got "
                f"momentum={chosen['momentum']}, dampening={chosen['dampening']}"
            )
        return chosen

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        momentum = group.momentum, group.dampening, t == 1, group.nesterov
        return lr, *momentum, group.weight_decay, group.maximize


class Momentum(Optimizer):
    """Descent along an exponential moving average of the gradients (Polyak 1964).

    β in [0, 1). PyTorch's momentum is SGD(momentum=β), whose sum is 1/(1 − β) times as long.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.Momentum([w], lr=0.1, beta=0.5).step()
    >>> w.data
    array([0.9], dtype=float32)
    """

    adds = {"SGD": "an average of past gradients"}
    equations = """
        v ← βv + (1 − β)g
        θ ← θ − ηv
    """
    beta: float = option(fraction, default=0.9)
    slots = {"v": Slot()}
    kernel = kernels.momentum

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        return lr, group.beta, group.weight_decay, group.maximize


class NAG(Momentum):
    """Nesterov's accelerated gradient: momentum with the gradient at the look-ahead point.

    The parameters hold the look-ahead point θ − ηβv in place of θ, so the network always has the
    weights at which the gradient is taken (Nesterov 1983; Sutskever et al. 2013).

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.NAG([w], lr=0.1, beta=0.5).step()
    >>> w.data
    array([0.85], dtype=float32)
    """

    adds = {"Momentum": "the gradient a step ahead"}
    equations = """
        v ← βv + (1 − β)g
        θ ← θ − η(βv + (1 − β)g)
    """
    kernel = kernels.nag


class Adagrad(Optimizer):
    """A rate for each weight that falls as its squared gradients add up (Duchi et al. 2011).

    eps > 0; `eps_inside_sqrt=False` gives PyTorch's √G + ε. G starts at initial_accumulator ≥ 0.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.Adagrad([w], lr=0.1).step()
    >>> w.data
    array([0.9], dtype=float32)
    """

    adds = {"SGD": "a rate for each weight"}
    equations = """
        G ← G + g²
        η ← η / (1 + (t − 1) lr_decay)      if lr_decay > 0
        θ ← θ − ηg / √(G + ε)               if eps_inside_sqrt
        θ ← θ − ηg / (√G + ε)               if not eps_inside_sqrt
    """
    eps: float = option(positive, default=1e-10)
    initial_accumulator: float = option(number, default=0.0)
    lr_decay: float = option(number, default=0.0)
    eps_inside_sqrt: bool = option(flag, default=True)
    slots = {"G": Slot(start="initial_accumulator")}
    kernel = kernels.adagrad

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        lr /= 1 + (t - 1) * group.lr_decay
        return lr, group.eps, group.eps_inside_sqrt, group.weight_decay, group.maximize


class RMSprop(Optimizer):
    """A rate for each weight from a moving average of its squared gradients (Hinton 2012).

    centered  divide by the standard deviation of the gradients instead (Graves 2013)
    momentum  μ in [0, 1]

    α in [0, 1), eps > 0; `eps_inside_sqrt=False` gives PyTorch's √G + ε.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.RMSprop([w], lr=0.1, alpha=0.75).step()
    >>> w.data
    array([0.8], dtype=float32)
    """

    adds = {"Adagrad": "old gradients fade"}
    equations = """
        G ← αG + (1 − α)g²
        ḡ ← αḡ + (1 − α)g                   if centered
        d = g / √(G + ε)                    if not centered and eps_inside_sqrt
        d = g / (√G + ε)                    if not centered and not eps_inside_sqrt
        d = g / √(max(G − ḡ², 0) + ε)       if centered and eps_inside_sqrt
        d = g / (√max(G − ḡ², 0) + ε)       if centered and not eps_inside_sqrt
        b ← μb + d                          if μ > 0
        θ ← θ − ηb                          if μ > 0
        θ ← θ − ηd                          if μ = 0
    """
    alpha: float = option(fraction, default=0.99)
    eps: float = option(positive, default=1e-8)
    momentum: float = option(within(high=1), default=0.0)
    centered: bool = option(flag, default=False)
    eps_inside_sqrt: bool = option(flag, default=True)
    slots = {"G": Slot(), "g_mean": Slot(when="centered"), "b": Slot(when="momentum")}
    kernel = kernels.rmsprop

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        form = group.alpha, group.eps, group.momentum, group.eps_inside_sqrt
        return lr, *form, group.weight_decay, group.maximize


class Adam(Optimizer):
    """Momentum and RMSprop, with the initial bias of both corrected (Kingma & Ba 2015).

    betas in [0, 1), eps > 0. amsgrad: use the largest v so far instead of v (Reddi et al. 2018).

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.Adam([w], lr=0.1).step()
    >>> w.data
    array([0.9], dtype=float32)
    """

    adds = {"Momentum": "an average of past gradients", "RMSprop": "a rate for each weight"}
    equations = """
        m ← β₁m + (1 − β₁)g
        v ← β₂v + (1 − β₂)g²
        v_max ← max(v_max, v)       if amsgrad
        m̂ = m / (1 − β₁ᵗ)
        v̂ = v / (1 − β₂ᵗ)           if not amsgrad
        v̂ = v_max / (1 − β₂ᵗ)       if amsgrad
        θ ← θ − η m̂ / (√v̂ + ε)
    """
    lr: LearningRate = learning_rate(default=1e-3, kw_only=False)
    betas: tuple[float, float] = option(two_fractions, default=(0.9, 0.999))
    eps: float = option(positive, default=1e-8)
    amsgrad: bool = option(flag, default=False)
    slots = {"m": Slot(), "v": Slot(), "v_max": Slot(when="amsgrad")}
    kernel = kernels.adam

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        beta1, beta2 = group.betas
        corrections = 1 - beta1**t, 1 - beta2**t  # in float64: float32 has only 4 correct digits
        decay = group.weight_decay, self.decoupled, group.maximize
        return lr, beta1, beta2, *corrections, group.eps, *decay


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← (1 − ηλ)θ, then Adam with the raw gradient.

    λ is weight_decay, 0.01 by default; the rest is Adam (Loshchilov & Hutter 2019).

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.AdamW([w], lr=0.1, weight_decay=0.5).step()
    >>> w.data
    array([0.8500], dtype=float32)
    """

    adds = {"Adam": "weight decay beside the gradient"}
    weight_decay: float = option(number, default=1e-2)
    decoupled = True


class Nadam(Optimizer):
    """Adam with Nesterov's look-ahead, under a momentum that grows with t (Dozat 2016).

    betas in [0, 1), eps > 0; momentum_decay ψ ≥ 0. Π is the product of all μ_t so far.
    decoupled_weight_decay: weight_decay as in AdamW.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.Nadam([w], lr=0.1, betas=(0.0, 0.999)).step()
    >>> w.data
    array([0.9], dtype=float32)
    """

    adds = {"Adam": "its corrected averages", "NAG": "a look ahead"}
    equations = """
        m ← β₁m + (1 − β₁)g
        v ← β₂v + (1 − β₂)g²
        v̂ = v / (1 − β₂ᵗ)
        μ_t = β₁(1 − ½ · 0.96^(tψ))
        μ_next = β₁(1 − ½ · 0.96^((t + 1)ψ))
        Π ← Πμ_t
        θ ← θ − η((1 − μ_t)g / (1 − Π) + μ_next m / (1 − Πμ_next)) / (√v̂ + ε)
    """
    lr: LearningRate = learning_rate(default=2e-3, kw_only=False)
    betas: tuple[float, float] = option(two_fractions, default=(0.9, 0.999))
    eps: float = option(positive, default=1e-8)
    momentum_decay: float = option(number, default=4e-3)
    decoupled_weight_decay: bool = option(flag, default=False)
    slots = {"m": Slot(), "v": Slot()}
    scalars = {"mu_product": 1.0}
    kernel = kernels.nadam

    def _prepare(
        self,
        group: Group,
        lr: float,
        t: int,
        theta: Arrays,
        g: Arrays,
        m: Arrays,
        v: Arrays,
        mu_product: Arrays,
    ) -> Updates:
        beta1, beta2 = group.betas
        mu, mu_next = (beta1 * (1 - 0.96 ** (s * group.momentum_decay) / 2) for s in (t, t + 1))
        product = mu_product[0].item() * mu
        factors = (1 - mu) / (1 - product), mu_next / (1 - product * mu_next)  # of g and of m
        decay = group.weight_decay, group.decoupled_weight_decay, group.maximize
        update = self.kernel.prepare(
            (theta, g, m, v), lr, beta1, beta2, *factors, 1 - beta2**t, group.eps, *decay
        )
        products = [np.array([product]) for _ in mu_product]
        return [update, kernels.replacement(mu_product, products)]


class Adamax(Optimizer):
    """Adam with the largest recent gradient instead of √v̂ (Kingma & Ba 2015, section 7).

    betas in [0, 1), eps > 0.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.Adamax([w], lr=0.1).step()
    >>> w.data
    array([0.9], dtype=float32)
    """

    adds = {"Adam": "the largest gradient, no root"}
    equations = """
        m ← β₁m + (1 − β₁)g
        u ← max(β₂u, |g| + ε)
        θ ← θ − ηm / ((1 − β₁ᵗ)u)
    """
    lr: LearningRate = learning_rate(default=2e-3, kw_only=False)
    betas: tuple[float, float] = option(two_fractions, default=(0.9, 0.999))
    eps: float = option(positive, default=1e-8)
    slots = {"m": Slot(), "u": Slot()}
    kernel = kernels.adamax

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        beta1, beta2 = group.betas
        decay = group.weight_decay, group.maximize
        return lr, beta1, beta2, 1 - beta1**t, group.eps, *decay


class RAdam(Optimizer):
    """Adam that rectifies the variance of its adaptive rate, once it can (Liu et al. 2020).

    betas in [0, 1), eps > 0. decoupled_weight_decay: weight_decay as in AdamW.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.RAdam([w], lr=0.1).step()
    >>> w.data
    array([0.8], dtype=float32)
    """

    adds = {"Adam": "care while v is uncertain"}
    equations = """
        m ← β₁m + (1 − β₁)g
        v ← β₂v + (1 − β₂)g²
        m̂ = m / (1 − β₁ᵗ)
        ρ∞ = 2 / (1 − β₂) − 1
        ρ_t = ρ∞ − 2tβ₂ᵗ / (1 − β₂ᵗ)
        r = √((ρ_t − 4)(ρ_t − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ_t))     if ρ_t > 5
        θ ← θ − η m̂ r √(1 − β₂ᵗ) / (√v + ε)                     if ρ_t > 5
        θ ← θ − η m̂                                             if ρ_t ≤ 5
    """
    lr: LearningRate = learning_rate(default=1e-3, kw_only=False)
    betas: tuple[float, float] = option(two_fractions, default=(0.9, 0.999))
    eps: float = option(positive, default=1e-8)
    decoupled_weight_decay: bool = option(flag, default=False)
    slots = {"m": Slot(), "v": Slot()}
    kernel = kernels.radam

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        beta1, beta2 = group.betas
        correction1, correction2 = 1 - beta1**t, 1 - beta2**t
        rho_max = 2 / (1 - beta2) - 1
        rho = rho_max - 2 * t * beta2**t / correction2
        rectification = 0.0  # r √(1 − β₂ᵗ), or 0 if ρ_t ≤ 5
        if rho > 5:
            now, limit = (rho - 4) * (rho - 2) / rho, (rho_max - 4) * (rho_max - 2) / rho_max
            rectification = math.sqrt(now / limit * correction2)
        decay = group.weight_decay, group.decoupled_weight_decay, group.maximize
        return lr, beta1, beta2, correction1, rectification, group.eps, *decay


class Adadelta(Optimizer):
    """Steps in the units of the weights, computed from moving averages alone (Zeiler 2012).

    ρ in [0, 1), eps > 0; η is 1 in the paper.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.Adadelta([w], rho=0.75, eps=1.0).step()
    >>> w.data
    array([-0.4142], dtype=float32)
    """

    adds = {"Adagrad": "old gradients fade; scaled by past steps"}
    equations = """
        E ← ρE + (1 − ρ)g²
        Δ = g √(D + ε) / √(E + ε)
        D ← ρD + (1 − ρ)Δ²
        θ ← θ − ηΔ
    """
    lr: LearningRate = learning_rate(default=1.0, kw_only=False)
    rho: float = option(fraction, default=0.9)
    eps: float = option(positive, default=1e-6)
    slots = {"E": Slot(), "D": Slot()}
    kernel = kernels.adadelta

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        return lr, group.rho, group.eps, group.weight_decay, group.maximize


class FTRL(Optimizer):
    """Follow the regularised leader, with weights that become exactly 0 (McMahan et al. 2013).

    lr                   α; z is the paper's z times α, so that α may follow a schedule, even to 0
    beta, l1, l2         β, λ₁, λ₂ ≥ 0 (λ₂ as McMahan writes it)
    lr_power             p in [−1, 0]; with −½, n^−p is the paper's √n
    initial_accumulator  n₀ ≥ 0
    warm_start           initialize z so that training starts from the initial weights, not from 0
                         as in the paper, which would discard a layer's random initial weights

    A weight whose gradient is 0 does not change. At a rate of 0 a step changes nothing and is no
    update of the parameter: t of its state stays, and a warm start waits for the first α > 0.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.FTRL([w], lr=1.5).step()
    >>> w.data
    array([0.], dtype=float32)
    """

    adds = {"Adagrad": "weights of exactly 0"}
    equations = """
        g ← 0                                   if α = 0
        z ← −θ(β + n^−p + αλ₂) − sgn(θ)αλ₁      if t = 1 and warm_start and α > 0
        d = (n + g²)^−p − n^−p
        z ← z + αg − dθ
        n ← n + g²
        θ ← θ if g = 0 else 0 if |z| ≤ αλ₁ else −(z − sgn(z)αλ₁) / (β + n^−p + αλ₂)
    """
    symbols = {**SYMBOLS, "α": "lr"}
    lr: LearningRate = learning_rate(default=0.1, kw_only=False)
    beta: float = option(number, default=1.0)
    l1: float = option(number, default=0.0)
    l2: float = option(number, default=0.0)
    lr_power: float = option(within(low=-1, high=0), default=-0.5)
    initial_accumulator: float = option(number, default=0.0)
    warm_start: bool = option(flag, default=True)
    slots = {"z": Slot(), "n": Slot(start="initial_accumulator")}
    idle_at_rate_0 = True  # a warm start waits for the first rate
    kernel = kernels.ftrl

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        regularization = group.beta, group.l1, group.l2, group.lr_power
        return lr, *regularization, group.weight_decay, group.maximize

    def _prepare(
        self, group: Group, lr: float, t: int, theta: Arrays, g: Arrays, z: Arrays, n: Arrays
    ) -> Updates:
        if lr == 0:
            return []
        warm = self._warm_start(group, lr, t, theta, n)
        updates = super()._prepare(group, lr, t, theta, g, z, n)
        return [kernels.replacement(z, warm), *updates] if warm else updates

    @staticmethod
    def _warm_start(group: Group, lr: float, t: int, theta: Arrays, n: Arrays) -> Arrays:
        """The z for which the rule reproduces the initial weights, before the first update."""
        warm = []
        if t == 1 and group.warm_start:
            with np.errstate(all="ignore"):
                for theta_0, n_0 in zip(theta, n, strict=True):
                    ridge = group.beta + n_0**-group.lr_power + lr * group.l2
                    z_0 = -theta_0 * ridge - np.sign(theta_0) * lr * group.l1
                    warm.append(np.array(z_0, theta_0.dtype))
        return warm

    def sparse_step(self, parameter: Tensor, indices: Any, gradient: np.ndarray) -> None:
        """Update one parameter whose gradient is 0 except at the indices, at their cost alone.

        indices   increasing integers, into the flattened parameter
        gradient  the gradient at these indices, in the parameter's dtype

        The result is that of `step()` with the full gradient, to the bit. Each call is one step of
        the schedule. ValueError, TypeError or IndexError for invalid indices or gradients, for a
        frozen parameter, and with weight_decay, whose gradient is not sparse (use l2); nothing has
        changed then.

        >>> w = dl.Tensor(np.zeros(1_000_000), requires_grad=True)
        >>> dl.optim.FTRL([w], lr=0.5).sparse_step(w, [7, 42], np.array([1.0, -3.0]))
        >>> w.data[[7, 8, 42]]
        array([-0.25 ,  0.   ,  0.375])
        """
        turn = self._turns.begin()
        self._turns.commit(turn, *self._sparse(parameter, indices, gradient))

    def _sparse(
        self, parameter: Tensor, indices: Any, gradient: np.ndarray
    ) -> tuple[list[Any], list[Change]]:
        """What `sparse_step` commits; a rate of 0 counts as a step alone, as in `step`."""
        matches = (
            (group, columns, i)
            for group, columns in zip(self.groups, self._columns, strict=True)
            for i, p in enumerate(group.params)
            if p is parameter
        )
        match = next(matches, None)
        if self.in_python:
            raise TypeError(f"{type(self).__name__} has an `update` that sparse_step can't use")
        if match is None:
            raise ValueError("FTRL.sparse_step: the parameter is not one of this optimizer's")
        group, columns, i = match
        if not parameter.requires_grad:
            raise ValueError(f"FTRL.sparse_step: {describe(parameter)} is frozen")
        if group.weight_decay:
            raise ValueError(
                f"FTRL.sparse_step: weight_decay={group.weight_decay} gives every entry a "
                "gradient; use l2 instead"
            )
        indices = _checks.array("FTRL.sparse_step", "indices", indices)
        if indices.dtype.kind not in "iu" and indices.size:
            raise TypeError(f"FTRL.sparse_step: indices must be integers, got {indices.dtype}")
        if indices.ndim != 1:
            raise ValueError(
                f"FTRL.sparse_step: indices must be a list of integers, got shape {indices.shape}"
            )
        indices = np.ascontiguousarray(indices, np.intp)
        g = self._checked_gradient("FTRL.sparse_step", parameter, gradient, indices.shape)
        lr, t = self.rate(group), columns["t"][i] + 1
        kernels.check_indices(indices, parameter.size)
        changes: list[Change] = [(vars(self), "t", self.t + 1)]
        changes.append((parameter, "version", parameter.version + 1))
        if lr == 0:
            return [], changes
        theta, n = parameter.data, columns["n"][i]
        (z,) = self._warm_start(group, lr, t, [theta], [n]) or [columns["z"][i]]
        changes += [(columns["z"], i, z), (columns["t"], i, t)]
        options = lr, group.beta, group.l1, group.l2, group.lr_power, group.maximize
        flat = theta.reshape(-1), g, z.reshape(-1), n.reshape(-1)
        call = functools.partial(kernels.ftrl_at, indices, *flat, *options)
        return [call] if theta.dtype.type(lr) != 0 else [], changes


class Lion(Optimizer):
    """Steps of constant size, in the direction of the sign of an average gradient.

    betas in [0, 1). λ is weight_decay, decoupled; sgn(0) = 0 (Chen et al. 2023).

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.Lion([w], lr=0.1).step()
    >>> w.data
    array([0.9], dtype=float32)
    """

    adds = {"Momentum": "only the sign of the step"}
    equations = """
        θ ← θ − η sgn(β₁m + (1 − β₁)g)
        m ← β₂m + (1 − β₂)g
    """
    lr: LearningRate = learning_rate(default=1e-4, kw_only=False)
    betas: tuple[float, float] = option(two_fractions, default=(0.9, 0.99))
    slots = {"m": Slot()}
    decoupled = True
    kernel = kernels.lion

    def _constants(self, group: Group, lr: float, t: int) -> Constants:
        return lr, *group.betas, group.weight_decay, group.maximize


RULES: dict[str, type[Optimizer]] = {
    name: rule
    for name, rule in globals().items()
    if isinstance(rule, type) and issubclass(rule, Optimizer) and rule.equations
}
