"""The time of sparse FTRL updates: python benchmarks/sparse.py [--repeats N]

FTRL updates k of D weights with sparse_step, and with step and the same gradient as a dense array.
Then a logistic regression predicts and learns row by row, as in examples/online_ftrl.py: with FTRL,
with SGD as one line of NumPy, and without learning. The variants take turns; each turn is a block
of calls on random weights, and the median time of a call is reported.
"""

import argparse
import math
import os
import platform
import time

import numpy as np

import minidl as dl

WIDTH = 8  # features per row
SIZES = [2**bits for bits in range(10, 23, 2)]
UPDATED = [4**power for power in range(8)]
LARGE = 2**20


class Problem:
    """D weights and their FTRL optimizer, after the first update, which allocates the state."""

    def __init__(self, size, dtype):
        self.rng = np.random.default_rng(0)
        self.weights = dl.Tensor(np.zeros(size, dtype), requires_grad=True)
        self.optimizer = dl.optim.FTRL([self.weights], lr=0.1, l1=1.0)
        self.weights.grad = np.full(size, 0, dtype)
        self.optimizer.step()

    def sparse_step(self, indices, gradient):
        """Update with the nonzero entries of the gradient."""
        self.optimizer.sparse_step(self.weights, indices, gradient)

    def step(self, indices, gradient):
        """Update with the dense gradient."""
        self.optimizer.step()

    def sgd(self, indices, gradient):
        """Sparse update with SGD, which has no state."""
        self.weights.data[indices] -= 0.1 * gradient

    def nothing(self, indices, gradient):
        """No update."""

    def seconds(self, update, updated, calls, online=False):
        """The time of each call; with `online` it includes the prediction of the row."""
        data, dense = self.weights.data, self.weights.grad
        counts, stride, times = np.ones(updated, data.dtype), data.size // updated, []
        for _ in range(calls):
            indices = np.arange(updated) * stride + self.rng.integers(stride, size=updated)
            gradient = self.rng.normal(size=updated).astype(data.dtype)
            clicked = float(self.rng.random() < 0.1)
            dense[indices] = gradient
            start = time.perf_counter()
            if online:
                p = (1 + math.tanh(data[indices] @ counts / 2)) / 2
                gradient = (p - clicked) * counts
            update(indices, gradient)
            times.append(time.perf_counter() - start)
            dense[indices] = 0
        return times


def main():
    """Print the time of an update against D and k, then the rows per second of online learning."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repeats", type=int, default=8, help="number of turns (default: %(default)s)"
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    arguments = parser.parse_args()
    dl.set_num_threads(arguments.threads)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}, {arguments.dtype}, "
        f"threads: {dl.get_num_threads()}; median time of an update in µs"
    )

    problems = {size: Problem(size, arguments.dtype) for size in SIZES}
    updates = {"sparse_step": 40, "step": 5}  # calls per turn
    by_size, by_touched = [(size, WIDTH) for size in SIZES], [(LARGE, k) for k in UPDATED]
    seconds = {(case, how): [] for case in by_size + by_touched for how in updates}
    for _ in range(arguments.repeats):
        for ((size, k), how), times in seconds.items():
            problem = problems[size]
            times += problem.seconds(getattr(problem, how), k, updates[how])
    for cases in by_size, by_touched:
        print("\n         k of D     sparse_step      step   ratio")
        for size, k in cases:
            sparse, dense = (1e6 * np.median(seconds[(size, k), how]) for how in updates)
            print(f"{k:6,d} of {size:9,d} {sparse:11.1f} {dense:9.1f} {dense / sparse:7.1f}")

    loops = {"predict only": "nothing", "FTRL.sparse_step": "sparse_step", "SGD in NumPy": "sgd"}
    sizes = SIZES[::3]
    seconds = {(size, update): [] for size in sizes for update in loops.values()}
    for _ in range(arguments.repeats):
        for (size, update), times in seconds.items():
            problem = problems[size]
            times += problem.seconds(getattr(problem, update), WIDTH, 1000, online=True)
    print(f"\nrows per second with {WIDTH} features per row: predict, then learn")
    print("weights D  " + "  ".join(loops))
    for size in sizes:
        rates = (1 / np.median(seconds[size, update]) for update in loops.values())
        print(
            f"{size:9,d}  "
            + "  ".join(f"{rate:{len(name)},.0f}" for name, rate in zip(loops, rates, strict=True))
        )


if __name__ == "__main__":
    main()
