"""The update rules in plain float64 NumPy, for tests: what the classes and kernels must compute.

Each rule maps θ₀, the gradients g₁, g₂, … and the rate η (a number, or a function of t − 1) to
θ₁, θ₂, …. Its equations are those of the paper, in its symbols and order; `s` is its state, whose
variables are 0 at first. After each step, subnormal numbers in θ and the state are replaced by 0.
"""

import functools
import math
from types import SimpleNamespace

import numpy as np


class State(SimpleNamespace):
    def __getattr__(self, name):
        return 0.0


def flushed(x):
    """x with 0 in place of subnormal numbers."""
    return np.where(abs(x) < np.finfo(np.float64).smallest_normal, 0.0, x)


def rule(equations, *, decoupled=False, weight_decay=0.0):
    """The trajectory under the equations, with weight_decay and maximize as in every rule."""
    decay = weight_decay

    @functools.wraps(equations)
    def trajectory(
        theta,
        gradients,
        lr,
        *,
        weight_decay=decay,
        decoupled_weight_decay=decoupled,
        maximize=False,
        **options,
    ):
        theta, s, path = np.array(theta, np.float64), State(), []
        for t, g in enumerate(gradients, 1):
            rate = lr(t - 1) if callable(lr) else lr
            g = np.array(-g if maximize else g, np.float64)
            if decoupled_weight_decay:
                theta = theta - rate * weight_decay * theta
            else:
                g = g + weight_decay * theta
            theta = flushed(equations(theta, g, rate, t, s, **options))
            for name in vars(s).keys() - {"lr"}:
                setattr(s, name, flushed(getattr(s, name)))
            path.append(theta)
        return path

    return trajectory


@rule
def sgd(theta, g, lr, t, s, *, momentum=0.0, dampening=0.0, nesterov=False):
    s.b = g if t == 1 or momentum == 0 else momentum * s.b + (1 - dampening) * g
    return theta - lr * (g + momentum * s.b if nesterov else s.b)


@rule
def momentum(theta, g, lr, t, s, *, beta=0.9):
    s.v = beta * s.v + (1 - beta) * g
    return theta - lr * s.v


@rule
def nag(theta, g, lr, t, s, *, beta=0.9):
    s.v = beta * s.v + (1 - beta) * g
    return theta - lr * (beta * s.v + (1 - beta) * g)


def damped_root(x, eps, eps_inside_sqrt):
    return np.sqrt(x + eps) if eps_inside_sqrt else np.sqrt(x) + eps


@rule
def adagrad(
    theta, g, lr, t, s, *, eps=1e-10, initial_accumulator=0.0, lr_decay=0.0, eps_inside_sqrt=True
):
    s.G = (initial_accumulator if t == 1 else s.G) + g**2
    lr = lr / (1 + (t - 1) * lr_decay)
    return theta - lr * g / damped_root(s.G, eps, eps_inside_sqrt)


@rule
def rmsprop(
    theta, g, lr, t, s, *, alpha=0.99, eps=1e-8, momentum=0.0, centered=False, eps_inside_sqrt=True
):
    s.G = alpha * s.G + (1 - alpha) * g**2
    s.g_mean = alpha * s.g_mean + (1 - alpha) * g
    variance = s.G - s.g_mean**2 if centered else s.G
    s.b = momentum * s.b + g / damped_root(variance, eps, eps_inside_sqrt)
    return theta - lr * s.b


def adam_equations(theta, g, lr, t, s, *, betas=(0.9, 0.999), eps=1e-8, amsgrad=False):
    beta1, beta2 = betas
    s.m = beta1 * s.m + (1 - beta1) * g
    s.v = beta2 * s.v + (1 - beta2) * g**2
    s.v_max = np.maximum(s.v_max, s.v)
    m_hat = s.m / (1 - beta1**t)
    v_hat = (s.v_max if amsgrad else s.v) / (1 - beta2**t)
    return theta - lr * m_hat / (np.sqrt(v_hat) + eps)


adam = rule(adam_equations)
adamw = rule(adam_equations, decoupled=True, weight_decay=0.01)


def momentum_at(t, beta1, momentum_decay):
    """μ_t of Nadam."""
    return beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))


@rule
def nadam(theta, g, lr, t, s, *, betas=(0.9, 0.999), eps=1e-8, momentum_decay=0.004):
    beta1, beta2 = betas
    mu = [momentum_at(i, beta1, momentum_decay) for i in range(1, t + 2)]  # up to μ_{t+1}
    g_hat = g / (1 - math.prod(mu[:t]))
    s.m = beta1 * s.m + (1 - beta1) * g
    m_hat = s.m / (1 - math.prod(mu))
    s.v = beta2 * s.v + (1 - beta2) * g**2
    v_hat = s.v / (1 - beta2**t)
    m_bar = (1 - mu[t - 1]) * g_hat + mu[t] * m_hat
    return theta - lr * m_bar / (np.sqrt(v_hat) + eps)


@rule
def adamax(theta, g, lr, t, s, *, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    s.m = beta1 * s.m + (1 - beta1) * g
    s.u = np.maximum(beta2 * s.u, abs(g) + eps)
    return theta - lr / (1 - beta1**t) * s.m / s.u


def rectification(t, beta2):
    """r_t of RAdam, or 0 where the variance can't be rectified."""
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= 5:
        return 0.0
    return math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))


@rule
def radam(theta, g, lr, t, s, *, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    s.m = beta1 * s.m + (1 - beta1) * g
    s.v = beta2 * s.v + (1 - beta2) * g**2
    m_hat, r = s.m / (1 - beta1**t), rectification(t, beta2)
    adaptive_rate = np.sqrt(1 - beta2**t) / (np.sqrt(s.v) + eps)
    return theta - lr * m_hat * (r * adaptive_rate if r else 1)


@rule
def adadelta(theta, g, lr, t, s, *, rho=0.9, eps=1e-6):
    s.E = rho * s.E + (1 - rho) * g**2
    delta = g * np.sqrt(s.D + eps) / np.sqrt(s.E + eps)
    s.D = rho * s.D + (1 - rho) * delta**2
    return theta - lr * delta


@rule
def ftrl(
    theta,
    g,
    lr,
    t,
    s,
    *,
    beta=1.0,
    l1=0.0,
    l2=0.0,
    lr_power=-0.5,
    initial_accumulator=0.0,
    warm_start=True,
):
    """z is the paper's. When the rate α changes, αz stays the same."""

    def root(n):
        return n**-lr_power

    if t == 1:
        s.n = np.full_like(theta, initial_accumulator)
        if warm_start:
            s.z = -theta * ((beta + root(s.n)) / lr + l2) - np.sign(theta) * l1
    else:
        s.z = s.z * (s.lr / lr)
    s.lr = lr
    sigma = (root(s.n + g**2) - root(s.n)) / lr
    s.z = s.z + g - sigma * theta
    s.n = s.n + g**2
    with np.errstate(invalid="ignore"):  # 0/0 where no gradient was seen
        leader = -(s.z - np.sign(s.z) * l1) / ((beta + root(s.n)) / lr + l2)
    return np.where(g == 0, theta, np.where(abs(s.z) <= l1, 0.0, leader))


def lion_equations(theta, g, lr, t, s, *, betas=(0.9, 0.99)):
    beta1, beta2 = betas
    direction = np.sign(beta1 * s.m + (1 - beta1) * g)
    s.m = beta2 * s.m + (1 - beta2) * g
    return theta - lr * direction


lion = rule(lion_equations, decoupled=True)
