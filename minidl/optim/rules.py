"""Update rules: one class each, which states the paper's equations and whose loop is a kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._checks import describe
from minidl._kernels import optim as kernels
from minidl.optim.optimizer import (
    SYMBOLS,
    Optimizer,
    _betas,
    _flag,
    _number,
    _positive,
    _rate,
    _share,
    _within,
)

_MOMENTS: dict[str, Any] = {"betas": ((0.9, 0.999), _betas), "eps": (1e-8, _positive)}


class SGD(Optimizer):
    """Gradient descent; with momentum in PyTorch's form.

    momentum μ and dampening τ in [0, 1]; nesterov needs momentum and no dampening.
    Whether it is batch, stochastic or mini-batch gradient descent is up to the data's batch_size.

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
    options = {
        "momentum": (0.0, _within(high=1)),
        "dampening": (0.0, _within(high=1)),
        "nesterov": (False, _flag),
    }
    slots = {"b": "momentum"}

    @classmethod
    def _checked(cls, given: dict[str, Any], params: Any) -> dict[str, Any]:
        chosen = super()._checked(given, params)
        if chosen["nesterov"] and not (chosen["momentum"] > 0 and chosen["dampening"] == 0):
            raise ValueError(
                "SGD: nesterov needs momentum > 0 and dampening = 0, got "
                f"momentum={chosen['momentum']}, dampening={chosen['dampening']}"
            )
        return chosen

    def update(self, group, lr, t, w, g, b):
        momentum = group.momentum, group.dampening
        decay = group.weight_decay, group.maximize
        kernels.sgd((w, g, b), lr, *momentum, t == 1, group.nesterov, *decay)


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
    options = {"beta": (0.9, _share)}
    slots = {"v": None}

    def update(self, group, lr, t, w, g, v):
        kernels.momentum((w, g, v), lr, group.beta, group.weight_decay, group.maximize)


class NAG(Momentum):
    """Nesterov's accelerated gradient: momentum with the gradient at the look-ahead point.

    This θ is the look-ahead point itself, φ = ϑ − ηβv with ϑ ← ϑ − ηv: the network always holds
    the weights at which the gradient is taken (Nesterov 1983; Sutskever et al. 2013).

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

    def update(self, group, lr, t, w, g, v):
        kernels.nag((w, g, v), lr, group.beta, group.weight_decay, group.maximize)


class Adagrad(Optimizer):
    """A rate for each weight that falls with the gradients it has seen (Duchi et al. 2011).

    eps > 0: `eps_inside_sqrt=False` gives PyTorch's √G + ε. G starts at initial_accumulator ≥ 0.

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
    options = {
        "eps": (1e-10, _positive),
        "initial_accumulator": (0.0, _number),
        "lr_decay": (0.0, _number),
        "eps_inside_sqrt": (True, _flag),
    }
    slots = {"G": None}
    start = {"G": "initial_accumulator"}

    def update(self, group, lr, t, w, g, G):
        lr /= 1 + (t - 1) * group.lr_decay
        epsilon = group.eps, group.eps_inside_sqrt
        kernels.adagrad((w, g, G), lr, *epsilon, group.weight_decay, group.maximize)


class RMSprop(Optimizer):
    """A rate for each weight from a moving average of its squared gradients (Hinton 2012).

    centered  the variance stands for the mean square under the root (Graves 2013)
    momentum  μ in [0, 1]

    α in [0, 1), eps > 0: `eps_inside_sqrt=False` gives PyTorch's √G + ε.

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
    options = {
        "alpha": (0.99, _share),
        "eps": (1e-8, _positive),
        "momentum": (0.0, _within(high=1)),
        "centered": (False, _flag),
        "eps_inside_sqrt": (True, _flag),
    }
    slots = {"G": None, "g_mean": "centered", "b": "momentum"}

    def update(self, group, lr, t, w, g, G, g_mean, b):
        form = group.alpha, group.eps, group.momentum, group.eps_inside_sqrt
        decay = group.weight_decay, group.maximize
        kernels.rmsprop((w, g, G, g_mean, b), lr, *form, *decay)


class Adam(Optimizer):
    """Momentum and RMSprop with their bias at the start corrected (Kingma & Ba 2015).

    betas in [0, 1), eps > 0. amsgrad: the largest v so far in place of v (Reddi et al. 2018).

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
    options = {"lr": (1e-3, _rate), **_MOMENTS, "amsgrad": (False, _flag)}
    slots = {"m": None, "v": None, "v_max": "amsgrad"}

    def update(self, group, lr, t, w, g, m, v, v_max):
        beta1, beta2 = group.betas
        corrections = 1 - beta1**t, 1 - beta2**t  # in float64: in float32 the fifth digit is wrong
        decay = group.weight_decay, self.decoupled, group.maximize
        kernels.adam((w, g, m, v, v_max), lr, beta1, beta2, *corrections, group.eps, *decay)


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← (1 − ηλ)θ, then Adam with the raw gradient.

    λ is weight_decay, 0.01 by default; all else is Adam's (Loshchilov & Hutter 2019).

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.AdamW([w], lr=0.1, weight_decay=0.5).step()
    >>> w.data
    array([0.8500], dtype=float32)
    """

    adds = {"Adam": "weight decay beside the gradient"}
    options = {"weight_decay": (1e-2, _number)}
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
    options = {
        "lr": (2e-3, _rate),
        **_MOMENTS,
        "momentum_decay": (4e-3, _number),
        "decoupled_weight_decay": (False, _flag),
    }
    slots = {"m": None, "v": None}
    scalars = {"mu_product": 1.0}

    def update(self, group, lr, t, w, g, m, v, mu_product):
        beta1, beta2 = group.betas
        mu, mu_next = (beta1 * (1 - 0.96 ** (s * group.momentum_decay) / 2) for s in (t, t + 1))
        product = mu_product[0].item() * mu
        for kept in mu_product:
            kept[:] = product
        shares = (1 - mu) / (1 - product), mu_next / (1 - product * mu_next)
        decay = group.weight_decay, group.decoupled_weight_decay, group.maximize
        kernels.nadam((w, g, m, v), lr, beta1, beta2, *shares, 1 - beta2**t, group.eps, *decay)


class Adamax(Optimizer):
    """Adam with the largest recent gradient in place of the root (Kingma & Ba 2015, section 7).

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
    options = {"lr": (2e-3, _rate), **_MOMENTS}
    slots = {"m": None, "u": None}

    def update(self, group, lr, t, w, g, m, u):
        beta1, beta2 = group.betas
        decay = group.weight_decay, group.maximize
        kernels.adamax((w, g, m, u), lr, beta1, beta2, 1 - beta1**t, group.eps, *decay)


class RAdam(Optimizer):
    """Adam that waits until the variance of its rates can be rectified (Liu et al. 2020).

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
    options = {"lr": (1e-3, _rate), **_MOMENTS, "decoupled_weight_decay": (False, _flag)}
    slots = {"m": None, "v": None}

    def update(self, group, lr, t, w, g, m, v):
        beta1, beta2 = group.betas
        correction1, correction2 = 1 - beta1**t, 1 - beta2**t
        rho_max = 2 / (1 - beta2) - 1
        rho = rho_max - 2 * t * beta2**t / correction2
        rectification = 0.0
        if rho > 5:
            shrunk, full = (rho - 4) * (rho - 2) / rho, (rho_max - 4) * (rho_max - 2) / rho_max
            rectification = math.sqrt(shrunk / full * correction2)
        decay = group.weight_decay, group.decoupled_weight_decay, group.maximize
        form = correction1, rectification, group.eps
        kernels.radam((w, g, m, v), lr, beta1, beta2, *form, *decay)


class Adadelta(Optimizer):
    """Steps in the units of the weights, from moving averages alone (Zeiler 2012).

    ρ in [0, 1), eps > 0; η is 1 in the paper.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.Adadelta([w], rho=0.75, eps=1.0).step()
    >>> w.data
    array([-0.4142], dtype=float32)
    """

    adds = {"Adagrad": "old gradients fade; no rate to choose"}
    equations = """
        E ← ρE + (1 − ρ)g²
        Δ = g √(D + ε) / √(E + ε)
        D ← ρD + (1 − ρ)Δ²
        θ ← θ − ηΔ
    """
    options = {"lr": (1.0, _rate), "rho": (0.9, _share), "eps": (1e-6, _positive)}
    slots = {"E": None, "D": None}

    def update(self, group, lr, t, w, g, E, D):
        decay = group.weight_decay, group.maximize
        kernels.adadelta((w, g, E, D), lr, group.rho, group.eps, *decay)


class FTRL(Optimizer):
    """Follow the regularised leader, with weights that become exactly 0 (McMahan et al. 2013).

    lr                   α; z is the paper's z times α, so that α may follow a schedule, even to 0
    beta, l1, l2         β, λ₁, λ₂ ≥ 0 (λ₂ as McMahan writes it)
    lr_power             p in [−1, 0]: −½ makes n^−p the paper's √n
    initial_accumulator  n₀ ≥ 0
    warm_start           start z so that the first θ is the initial weight, not 0 as in the paper,
                         which would undo a layer's random initial weights

    A weight whose gradient is 0 stays as it is.

    >>> w = dl.Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> dl.optim.FTRL([w], lr=1.5).step()
    >>> w.data
    array([0.], dtype=float32)
    """

    adds = {"Adagrad": "weights of exactly 0"}
    equations = """
        z ← −θ(β + n^−p + αλ₂) − sgn(θ)αλ₁      if t = 1 and warm_start
        d = (n + g²)^−p − n^−p
        z ← z + αg − dθ
        n ← n + g²
        θ ← θ if g = 0 else 0 if |z| ≤ αλ₁ else −(z − sgn(z)αλ₁) / (β + n^−p + αλ₂)
    """
    symbols = {**SYMBOLS, "α": "lr"}
    options = {
        "lr": (0.1, _rate),
        "beta": (1.0, _number),
        "l1": (0.0, _number),
        "l2": (0.0, _number),
        "lr_power": (-0.5, _within(low=-1, high=0)),
        "initial_accumulator": (0.0, _number),
        "warm_start": (True, _flag),
    }
    slots = {"z": None, "n": None}
    start = {"n": "initial_accumulator"}

    def update(self, group, lr, t, w, g, z, n):
        self._start(group, lr, t, w, z, n)
        form = group.beta, group.l1, group.l2, group.lr_power
        kernels.ftrl((w, g, z, n), lr, *form, group.weight_decay, group.maximize)

    @staticmethod
    def _start(group, lr, t, w, z, n):
        """Before the first update, the z from which the rule gives back the initial weights."""
        if t == 1 and group.warm_start:
            with np.errstate(all="ignore"):
                for w_0, z_0, n_0 in zip(w, z, n, strict=True):
                    ridge = group.beta + n_0**-group.lr_power + lr * group.l2
                    z_0[...] = -w_0 * ridge - np.sign(w_0) * lr * group.l1

    def sparse_step(self, parameter: Any, indices: Any, gradient: np.ndarray) -> None:
        """A step of one parameter whose gradient is 0 but at a few entries, at the cost of these.

        indices   whole numbers that rise, into the flattened parameter
        gradient  the gradient at these, in the parameter's dtype

        The weights are those of `step()` with the whole gradient. Each call is a step of the
        schedule. ValueError, TypeError or IndexError for what doesn't fit, for a frozen parameter,
        and with weight_decay, which has a gradient everywhere (use l2); nothing has been changed
        then.

        >>> w = dl.Tensor(np.zeros(1_000_000), requires_grad=True)
        >>> dl.optim.FTRL([w], lr=0.5).sparse_step(w, [7, 42], np.array([1.0, -3.0]))
        >>> w.data[[7, 8, 42]]
        array([-0.25 ,  0.   ,  0.375])
        """
        places = (
            (group, columns, i)
            for group, columns in zip(self.groups, self._columns, strict=True)
            for i, p in enumerate(group.params)
            if p is parameter
        )
        group, columns, i = next(places, (None, {}, 0))
        if group is None:
            raise ValueError("FTRL.sparse_step: the parameter is none of this optimizer's")
        if not parameter.requires_grad:
            raise ValueError(f"FTRL.sparse_step: {describe(parameter)} is frozen")
        if group.weight_decay:
            raise ValueError(
                f"FTRL.sparse_step: weight_decay={group.weight_decay} gives every entry a "
                "gradient; use l2 instead"
            )
        indices = np.asarray(indices)
        if indices.dtype.kind not in "iu" and indices.size:
            raise TypeError(f"FTRL.sparse_step: indices must be whole numbers, got {indices.dtype}")
        if indices.ndim != 1:
            raise ValueError(
                f"FTRL.sparse_step: indices must be a list of numbers, got shape {indices.shape}"
            )
        indices = np.ascontiguousarray(indices, np.intp)
        self._check_step(parameter, gradient, indices.shape, "sparse_step")
        lr = self.rate(group)
        kernels.check_indices(indices, parameter.size)
        self.t += 1
        columns["t"][i] += 1
        w, z, n = parameter.data, columns["z"][i], columns["n"][i]
        self._start(group, lr, columns["t"][i], [w], [z], [n])
        form = group.beta, group.l1, group.l2, group.lr_power, group.maximize
        flat = w.reshape(-1), np.ascontiguousarray(gradient), z.reshape(-1), n.reshape(-1)
        kernels.ftrl_at(indices, *flat, lr, *form)
        parameter.version += 1


class Lion(Optimizer):
    """Steps of one size, in the direction that two averages of the gradient agree on.

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
    options = {"lr": (1e-4, _rate), "betas": ((0.9, 0.99), _betas)}
    slots = {"m": None}
    decoupled = True

    def update(self, group, lr, t, w, g, m):
        kernels.lion((w, g, m), lr, *group.betas, group.weight_decay, group.maximize)


RULES: dict[str, type[Optimizer]] = {
    name: rule
    for name, rule in globals().items()
    if isinstance(rule, type) and issubclass(rule, Optimizer) and rule.equations
}
