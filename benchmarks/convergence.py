"""Updates that each rule needs to converge: python benchmarks/convergence.py [--problem NAME]

All rules are tuned in the same way: the rate is one of RATES, all other options have their defaults
(AdamW's weight_decay is 0.01, RMSprop's alpha 0.99, and so on). On the three functions, in float64,
CosineDecay(rate, N) reduces the rate to zero over a budget of N updates. The result is the smallest
N of BUDGETS after which ‖θ − θ*‖ ≤ 0.001 for some rate; of several such rates, the one that ends
closest to θ* is reported. On scikit-learn's digits, in float32 with batches of 32 and a constant
rate, the result is the first update after which 97 % of the held-out fifth are classified
correctly (tested every 5 updates, median of three seeds), for the best rate. The network and the
split are those of examples/digits.py.
"""

import argparse
import functools
import itertools
import multiprocessing
import os
import platform
import statistics
import sys

import numpy as np

import minidl as dl

try:
    from sklearn.datasets import load_digits
    from tqdm import tqdm
except ModuleNotFoundError as error:
    sys.exit(f"This needs {error.name}: python -m pip install 'minidl[examples]'")

RULES = {
    "SGD": (dl.optim.SGD, {}),
    "SGD, momentum 0.9": (dl.optim.SGD, {"momentum": 0.9}),
    "SGD, Nesterov 0.9": (dl.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "Momentum": (dl.optim.Momentum, {}),
    "NAG": (dl.optim.NAG, {}),
    "Adagrad": (dl.optim.Adagrad, {}),
    "RMSprop": (dl.optim.RMSprop, {}),
    "Adam": (dl.optim.Adam, {}),
    "Adam, amsgrad": (dl.optim.Adam, {"amsgrad": True}),
    "AdamW": (dl.optim.AdamW, {}),
    "Nadam": (dl.optim.Nadam, {}),
    "Adamax": (dl.optim.Adamax, {}),
    "RAdam": (dl.optim.RAdam, {}),
    "Adadelta": (dl.optim.Adadelta, {}),
    "FTRL": (dl.optim.FTRL, {}),
    "Lion": (dl.optim.Lion, {}),
}
RATES = [10 ** (k / 4) for k in range(-16, 9)]  # 0.0001 … 100
BUDGETS = [100 * 2**k for k in range(11)]  # 100 … 102,400
TOLERANCE, ACCURACY, TEST_EVERY = 1e-3, 0.97, 5

# --- three functions, their gradients, starts and minima ------------------------------------------

CURVATURES = np.geomspace(1, 100, 10)
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0]
MATRIX = ROTATION @ np.diag(CURVATURES) @ ROTATION.T
MINIMUM = ROTATION @ np.ones(10)  # distance 1 from the start along each axis of the ellipsoid


def quadratic(w):
    """½ (w − w*)ᵀ A (w − w*), where A has eigenvalues from 1 to 100."""
    e = w - MINIMUM
    return 0.5 * (e @ MATRIX @ e)


def quadratic_gradient(w):
    return MATRIX @ (w - MINIMUM)


def rosenbrock(w):
    """(1 − x)² + 100 (y − x²)²."""
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def rosenbrock_gradient(w):
    x, y = w
    rise = y - x * x
    return np.array([-2 * (1 - x) - 400 * x * rise, 200 * rise])


def beale(w):
    """(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²."""
    x, y = w[0], w[1]
    return sum((c - x + x * y**k) ** 2 for k, c in enumerate((1.5, 2.25, 2.625), 1))


def beale_gradient(w):
    x, y = w
    y2 = y * y
    y3 = y2 * y
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y2, 2.625 - x + x * y3
    return np.array(
        [2 * (a * (y - 1) + b * (y2 - 1) + c * (y3 - 1)), 2 * x * (a + 2 * b * y + 3 * c * y2)]
    )


FUNCTIONS = {
    "quadratic": (quadratic, quadratic_gradient, np.zeros(10), MINIMUM),
    "Rosenbrock": (rosenbrock, rosenbrock_gradient, np.array([-1.2, 1.0]), np.ones(2)),
    "Beale": (beale, beale_gradient, np.array([1.0, 1.0]), np.array([3.0, 0.5])),
}


def check_functions():
    """Check the gradients against backward and central differences, and the minima."""
    rng = np.random.default_rng(1)
    for function, gradient, start, minimum in FUNCTIONS.values():
        assert function(minimum) == 0
        assert not gradient(minimum).any()
        for point in (start, *rng.normal(size=(5, len(start)))):
            w = dl.Tensor(point, requires_grad=True)
            dl.gradcheck(function, w)
            function(w).backward()
            np.testing.assert_allclose(gradient(point), w.grad, rtol=1e-12, atol=1e-12)


@np.errstate(all="ignore")  # a rate that is too large gives NaN: not converged
def distance(rule, problem, rate, budget):
    """The distance from the minimum after `budget` updates; infinity if above TOLERANCE."""
    _, gradient, start, minimum = FUNCTIONS[problem]
    make, options = RULES[rule]
    w = dl.Tensor(start.copy(), requires_grad=True)
    optimizer = make([w], dl.schedulers.CosineDecay(rate, budget), **options)
    for _ in range(budget):
        w.grad = gradient(w.data)
        optimizer.step()
    result = np.linalg.norm(w.data - minimum)
    return result if result <= TOLERANCE else np.inf


# --- the digits ----------------------------------------------------------------------------------

load_digits = functools.cache(load_digits)


@np.errstate(all="ignore")
def updates_to_accuracy(rule, rate, budget, seed):
    """The first update after which 97 % of the held-out digits are right; infinity if none."""
    digits, rng = load_digits(), np.random.default_rng(seed)
    order = rng.permutation(len(digits.target))
    x, y = (digits.data[order] / 16).astype(np.float32), digits.target[order]
    held_out = len(x) // 5
    model = dl.nn.MLP([64, 128, 10], rng=rng)
    data = dl.data.DataLoader(x[held_out:], y[held_out:], batch_size=32, rng=rng)
    make, options = RULES[rule]
    optimizer = make(model, rate, **options)
    batches = itertools.chain.from_iterable(itertools.repeat(data))
    for batch, labels in itertools.islice(batches, budget):
        optimizer.zero_grad()
        dl.losses.cross_entropy(model(batch), labels).backward()
        optimizer.step()
        if optimizer.t % TEST_EVERY == 0:
            with dl.no_grad():
                scores = model(x[:held_out]).data
            if not np.isfinite(scores).all():
                break
            if np.mean(scores.argmax(axis=1) == y[:held_out]) >= ACCURACY:
                return optimizer.t
    return np.inf


# --- all rules on all problems --------------------------------------------------------------------

PROBLEMS = [*FUNCTIONS, "digits"]


def updates_needed(task):
    """The updates that a rule needs on a problem, and the best rate; None if it never converges."""
    rule, problem = task
    for budget in BUDGETS:
        if problem == "digits":
            results = {
                rate: statistics.median(
                    updates_to_accuracy(rule, rate, budget, seed) for seed in range(3)
                )
                for rate in RATES
            }
        else:
            results = {rate: distance(rule, problem, rate, budget) for rate in RATES}
        rate = min(results, key=results.get)
        if results[rate] < np.inf:
            return results[rate] if problem == "digits" else budget, rate
    return None


def cell(result):
    """The number of updates, and the rate to two digits."""
    return f"{result[0]:,} ({float(f'{result[1]:.2g}'):g})" if result else "never"


def main():
    """Print a table with one row per rule and one column per problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", choices=PROBLEMS, help="run only this problem (default: all)")
    parser.add_argument("--workers", type=int, default=2, help="default: %(default)s")
    arguments = parser.parse_args()
    check_functions()
    problems = [arguments.problem] if arguments.problem else PROBLEMS
    tasks = list(itertools.product(RULES, problems))
    for library in ("OPENBLAS", "MKL", "OMP"):
        os.environ[f"{library}_NUM_THREADS"] = "1"  # of each worker
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        results = dict(
            zip(tasks, tqdm(pool.imap(updates_needed, tasks), total=len(tasks)), strict=True)
        )
    print(f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}, updates (rate)\n")
    print("| rule |", *(f"{problem} |" for problem in problems))
    print("|---|" + "---:|" * len(problems))
    for rule in RULES:
        print(f"| {rule} |", *(f"{cell(results[rule, problem])} |" for problem in problems))
    if None in results.values():
        sys.exit("\nSome rules do not converge.")


if __name__ == "__main__":
    main()
