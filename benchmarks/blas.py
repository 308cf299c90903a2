"""How fast are matrix products through each BLAS? python -m benchmarks.blas

Products of float32 matrices on one thread: by NumPy's dot; by minidl through the BLAS that NumPy
has loaded, and through MKL if the extra minidl[mkl] is installed; and by PyTorch if that is
installed. All take turns in one process. A table shows the medians: GF/s, which is 2 m k n divided
by the time in ns, for the sizes of large layers, and the time in µs for those of small ones.
"""

import argparse
import contextlib
import datetime
import importlib
import math

import numpy as np

from benchmarks.measure import in_child, take_turns
from benchmarks.report import processor
from minidl import _blas
from minidl._kernels import blas

LARGE = [(256, 784, 2048), (256, 2048, 2048), (2048, 256, 2048), (128, 784, 512)]  # m, k, n
SMALL = {(32, 2, 16): 100, (32, 16, 16): 100}  # and how many products are timed together


def repeated(count, function, *given, functions=()):
    """A call of the function several times, after the functions of a BLAS are taken into use."""

    def multiply():
        if functions:
            blas.use(*functions)
        for _ in range(count):
            y = function(*given)
        return y

    return multiply


def contestants(a, b, count):
    """{name: call that multiplies two matrices several times}, of what is installed."""
    found = {
        "numpy.dot": repeated(count, np.dot, a, b),
        "minidl": repeated(count, blas.product, a, b, functions=_blas.find_numpys()),
    }
    with contextlib.suppress(OSError):
        found["minidl, MKL"] = repeated(count, blas.product, a, b, functions=_blas.find("mkl"))
    with contextlib.suppress(ImportError):
        torch = importlib.import_module("torch")
        found["PyTorch"] = repeated(count, torch.mm, torch.from_numpy(a), torch.from_numpy(b))
    return found


def compare(m, k, n, repeats):
    """The median time of a product by each contestant, in s; ValueError if the products differ."""
    rng, count = np.random.default_rng(0), SMALL.get((m, k, n), 1)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((m, k), (k, n)))
    calls = contestants(a, b, count)
    for name, call in calls.items():
        if not np.allclose(call(), a.astype(float) @ b.astype(float), rtol=1e-3, atol=1e-3):
            raise ValueError(f"{name} computes another product")
    times = take_turns(calls, repeats)
    blas.use(*_blas.find_numpys())
    return {name: float(np.median(values)) / count for name, values in times.items()}


def main(words=None):
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.blas", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=9, help="turns (default: %(default)s)")
    given = parser.parse_args(words)
    found = {size: in_child(1, compare, *size, given.repeats) for size in (*LARGE, *SMALL)}
    names = found[LARGE[0]]
    for name in {"minidl, MKL", "PyTorch"} - names.keys():
        print(f"{name} is not installed")
    print(f"{datetime.date.today()}, {processor()}, {blas.name}, one thread\n")
    print(f"| (m, k)·(k, n) | {' | '.join(names)} |")
    print("|---|" + "---:|" * len(names))
    for size, times in found.items():
        terms, small = 2e-9 * math.prod(size), size in SMALL
        cells = [f"{t * 1e6:.2f} µs" if small else f"{terms / t:.0f} GF/s" for t in times.values()]
        print(f"| ({size[0]}, {size[1]})·({size[1]}, {size[2]}) | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
