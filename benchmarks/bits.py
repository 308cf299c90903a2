"""Are a kernel's bits the same on any number of threads and any x86-64? python -m benchmarks.bits

The source tree is copied and built as it is, where some loops are compiled several times and the
loader takes the best for the processor; and built for one instruction set alone: x86-64 (SSE2),
x86-64-v3 (AVX2 and FMA) and x86-64-v4 (AVX-512). For each build and 1, 2, 4 and 8 threads a new
process computes the same results from the same numbers and hashes their bytes: five steps of every
update rule under several options, with its state; losses and their gradients; activations and
theirs; clipping; a small network and a large one. All are in float32 and float64, on arrays that
are shared among threads and on some that are not. Matrix products are computed by NumPy's BLAS, on
one thread; those of the large network are of whole numbers, exact in any order. A Markdown table
shows the hashes; if any differ, what differs is listed, and the exit status is 1.

The bits of other products depend on the BLAS. One more line says whether they are the same on one
and on two of its threads, through the BLAS that NumPy has loaded, and through MKL if it is there.

    python -m benchmarks.bits --against REVISION

compares with the kernels and the package of an older revision instead, and lists the computations
whose bits have changed since.

It needs GCC or Clang, Cython, setuptools and, to know what the processor can do, Linux.
"""

import argparse
import functools
import hashlib
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import minidl as dl

ROOT = Path(__file__).resolve().parents[1]
BUILDS = {  # each with what /proc/cpuinfo must list for it
    "as it is": set(),
    "x86-64": set(),
    "x86-64-v3": {"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"},
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
ALONE = "-march={} -Dtarget_clones(...)="  # one instruction set, even where the source has several
THREADS = (1, 2, 4, 8)
BLAS = ("OPENBLAS", "MKL", "BLIS")  # whose variables set their numbers of threads
THREAD_SETTINGS = ("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_")

PRODUCTS = ((31, 77, 45), (64, 784, 128), (128, 784, 512), (512, 128, 256), (1, 500, 300))
SIZES = (1, 7, 1001, 200_003)
MANY = 11  # parameters of the last size; together they are shared among threads
LOGITS = ((5, 7), (301, 101), (7, 40_001))
STEPS = 3
DECAYS = ({}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "maximize": True})
OPTIONS = {  # of the rules that have more than weight_decay and maximize; beside the defaults
    "SGD": [
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3},
        {"momentum": 0.9, "nesterov": True},
    ],
    "Adagrad": [{"eps_inside_sqrt": False, "lr_decay": 0.1, "initial_accumulator": 0.1}],
    "RMSprop": [
        {"momentum": 0.9},
        {"centered": True},
        {"momentum": 0.9, "centered": True, "eps_inside_sqrt": False},
    ],
    "Adam": [{"amsgrad": True}, {"betas": (0.0, 0.0)}],
    "AdamW": [{"amsgrad": True}],
    "Nadam": [{"decoupled_weight_decay": True}],
    "RAdam": [{"decoupled_weight_decay": True}, {"betas": (0.8, 0.7)}],
    "FTRL": [{"l1": 0.1, "l2": 0.1}, {"lr_power": -0.3}, {"warm_start": False}],
}
RECTIFIERS = ("relu", "leaky_relu", "elu", "gelu", "silu")
ACTIVATIONS = (*RECTIFIERS, "sigmoid", "tanh", "softplus", "softmax", "log_softmax")

# --- what is computed: each yields the arrays to be hashed ---------------------------------------


@functools.cache
def numbers(seed, shape, dtype, low, high):
    """Numbers of all sizes from 2^low to 2^high, some of them 0; the same on every machine."""
    rng = np.random.default_rng(seed)
    values = np.ldexp(rng.uniform(-1, 1, shape), rng.integers(low, high, shape))
    return np.where(rng.random(shape) < 0.02, 0, values).astype(dtype)


def updated(rule, options, dtype):
    """Weights and state after some steps, with gradients from the subnormal to 10¹⁵."""
    sizes = (*SIZES, *[SIZES[-1]] * (MANY - 1))
    weights = [dl.Tensor(numbers(0, n, dtype, -20, 4), requires_grad=True) for n in sizes]
    optimizer = rule(weights, **options)
    for step in range(STEPS):
        for w in weights:
            w.grad = numbers(1 + step, w.size, dtype, -135, 50)
        optimizer.step()
    for w in weights[: len(SIZES)] + weights[-1:]:
        yield w.data
        yield from (np.asarray(value) for _, value in sorted(optimizer.state[w].items()))


def updated_sparsely(dtype):
    """The same for FTRL's sparse_step."""
    w = dl.Tensor(numbers(0, 2 * SIZES[-1], dtype, -20, 4).copy(), requires_grad=True)
    optimizer = dl.optim.FTRL([w], l1=0.1)
    for step in range(STEPS):
        gradient = numbers(1 + step, SIZES[-1], dtype, -135, 50)
        optimizer.sparse_step(w, np.arange(SIZES[-1]) * 2, gradient)
    yield w.data


def with_gradient(function, *arrays):
    """A function's value, and its gradient by the first array."""
    x = dl.Tensor(arrays[0], requires_grad=True)
    y = function(x, *arrays[1:])
    y.backward(None if y.size == 1 else numbers(9, y.shape, x.dtype, -3, 3))
    yield from (y.data, x.grad)


def losses(name, dtype):
    """A loss under each reduction, against each kind of target."""
    loss = getattr(dl.losses, name)
    for shape, reduction in itertools.product(LOGITS, ("mean", "sum", "none")):
        x, rng = numbers(0, shape, dtype, -20, 10), np.random.default_rng(1)
        probabilities, labels = rng.random(shape), rng.integers(shape[1], size=shape[0])
        once = functools.partial(loss, reduction=reduction)
        yield from with_gradient(once, x, probabilities.astype(dtype))
        if name == "cross_entropy":
            yield from with_gradient(once, x, labels)
            yield from with_gradient(functools.partial(once, label_smoothing=0.1), x, labels)


def activations(name, dtype):
    """A function of logits of all sizes."""
    for shape in LOGITS:
        yield from with_gradient(getattr(dl, name), numbers(0, shape, dtype, -20, 10))


def clipped(dtype):
    """The norm of gradients, and the gradients scaled by it, then cut."""
    weights = [dl.Tensor(np.zeros(n, dtype), requires_grad=True) for n in SIZES]
    for clip, limit in ((dl.optim.clip_grad_norm, 1.0), (dl.optim.clip_grad_value, 1e-3)):
        for seed, w in enumerate(weights):
            w.grad = numbers(seed, w.size, dtype, -20, 10).copy()
        yield np.asarray(clip(weights, limit) or 0.0)
        yield from (w.grad for w in weights)


def network(sizes, batch, draw, dtype):
    """Output and gradients of a network whose inputs and weights are drawn."""
    with dl.default_dtype(dtype):
        model = dl.nn.MLP(sizes)
    for seed, p in enumerate(model.parameters()):
        p.data = draw(seed, p.shape, dtype)
    y = model(draw(8, (batch, sizes[0]), dtype))
    y.backward(draw(9, y.shape, dtype))
    yield from (y.data, *(p.grad for p in model.parameters()))


def whole(seed, shape, dtype):
    """Small whole numbers, whose products and sums are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def rules():
    """Every update rule of the module."""
    kinds = (kind for kind in vars(dl.optim).values() if isinstance(kind, type))
    return [k for k in kinds if issubclass(k, dl.optim.Optimizer) and k is not dl.optim.Optimizer]


def computations():
    """(name, arrays) of all that is hashed."""
    for dtype in ("float32", "float64"):
        for rule in rules():
            chosen = itertools.product(({}, *OPTIONS.get(rule.__name__, ())), DECAYS)
            every = (updated(rule, {**own, **decay}, dtype) for own, decay in chosen)
            yield f"{rule.__name__} {dtype}", itertools.chain.from_iterable(every)
        yield f"FTRL.sparse_step {dtype}", updated_sparsely(dtype)
        for name in ("mse", "cross_entropy", "binary_cross_entropy"):
            yield f"{name} {dtype}", losses(name, dtype)
        for name in ACTIVATIONS:
            yield f"{name} {dtype}", activations(name, dtype)
        yield f"clipping {dtype}", clipped(dtype)
        small = functools.partial(numbers, low=-3, high=3)
        yield f"small network {dtype}", network([5, 33, 17, 3], 31, small, dtype)
        yield f"large network {dtype}", network([24, 300, 10], 512, whole, dtype)


def products(product):
    """(name, arrays) of matrix products whose sums are rounded, of several sizes and layouts."""
    for dtype, (m, k, n) in itertools.product(("float32", "float64"), PRODUCTS):
        a, b = (numbers(i, shape, dtype, -3, 3) for i, shape in enumerate(((m, k), (k, n))))
        for x, y in itertools.product((a, a.T.copy()), (b, b.T.copy())):
            name = f"({m}, {k})·({k}, {n}) {dtype}" + " aᵀ" * (x is not a) + " bᵀ" * (y is not b)
            yield name, [product(x, y, x is not a, y is not b)]


def product_digests(library):
    """{name: hash} of the products by a library, and its name; {} if it is not installed."""
    from minidl._kernels import blas  # which older revisions lack

    try:
        dl.config.set_blas(library if library != "numpy" else None)
    except OSError:
        return {}
    return {"BLAS": blas.name, **hashes(products(blas.product))}


def hashes(computations):
    """{name: hash} of (name, arrays)."""
    found = {}
    for name, arrays in computations:
        digest = hashlib.sha256()
        for array in arrays:
            assert np.isfinite(array).all(), f"{name} gives NaN, whose bits nobody promises"
            digest.update(np.ascontiguousarray(array))
        found[name] = digest.hexdigest()
    return found


def digests(threads):
    """{name: hash} of all computations on so many threads."""
    dl.set_num_threads(threads)
    found = hashes(computations())
    started = Path("/proc/self/task")
    assert not started.exists() or len(list(started.iterdir())) >= threads, "threads weren't used"
    return found


# --- builds and processes ------------------------------------------------------------------------


def buildable():
    """The instruction sets of this processor; the others are named and left out."""
    if platform.machine().lower() not in ("x86_64", "amd64") or os.name != "posix":
        sys.exit(f"This is about builds for x86-64 by GCC or Clang, not {platform.machine()}.")
    information = Path("/proc/cpuinfo")
    text = information.read_text() if information.exists() else ""
    able = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    for build, needed in BUILDS.items():
        if missing := needed - able:
            print(f"{build} is left out: the processor lacks {', '.join(sorted(missing))}\n")
    return [build for build, needed in BUILDS.items() if needed <= able]


def copied(tree):
    """Copy the sources with their times, so that Cython writes only C files that are too old."""
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "minidl", tree / "minidl", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tree)


def built(build, tree):
    """Build the kernels of a tree; returns how many instructions use (ymm, zmm) registers."""
    flags = "" if build == "as it is" else ALONE.format(build)
    run = functools.partial(subprocess.run, stdout=subprocess.PIPE, text=True)
    done = run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=tree,
        env={**os.environ, "CFLAGS": flags},
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        sys.exit(done.stdout)
    compiled = [line for line in done.stdout.splitlines() if " -c " in line and ".c " in line]
    modules = list((tree / "minidl/_kernels").glob("*.so"))
    assert len(compiled) >= len(modules) > 0
    assert all(set(flags.split()) <= set(line.split()) for line in compiled)
    if not shutil.which("objdump"):
        return "?", "?"
    code = "".join(run(["objdump", "-d", str(module)], check=True).stdout for module in modules)
    return tuple(sum(name in line for line in code.splitlines()) for name in ("%ymm", "%zmm"))


def in_child(tree, threads, blas_threads=1, library=None):
    """The digests by the kernels of a tree, or those of products by a BLAS, in a new process."""
    others = {k: v for k, v in os.environ.items() if not k.startswith(THREAD_SETTINGS)}
    environment = {**others, "PYTHONPATH": str(tree)}
    environment |= {f"{name}_NUM_THREADS": str(blas_threads) for name in BLAS}
    command = [sys.executable, "-P", __file__, "--digests", str(threads)]
    command += ["--products", library] if library else []
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    found = json.loads(done.stdout)
    assert found.pop("minidl") == str(tree / "minidl"), "another minidl was imported"
    return found


def short(found):
    """One hash of all, cut to what can be compared by eye."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:12]


def compare_products():
    """Print whether products have the same bits on one and on two threads of each BLAS."""
    for library in ("numpy", "mkl"):
        one, two = (in_child(ROOT, 1, threads, library) for threads in (1, 2))
        if one:
            differ = [product for product in one if one[product] != two[product]]
            found = f"{len(differ)} of {len(one) - 1} differ" if differ else "the same bits"
            print(f"\nProducts on 1 and 2 threads of {one['BLAS']}: {found}", *differ, sep="\n    ")


def against(revision):
    """Print which computations have other bits than in an older revision."""
    from benchmarks.against import export  # not in a child, which sees the old tree alone

    with tempfile.TemporaryDirectory() as folder:
        old = in_child(export(revision, Path(folder).resolve()), 1)
    new = in_child(ROOT, 1)
    changed = [name for name in old if old[name] != new.get(name)]
    print(f"{len(old)} computations, {len(changed)} with other bits than {revision}: ", end="")
    print(", ".join(changed) or "none")


def main():
    """Print the table, and what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digests", type=int, metavar="THREADS", help="only print the hashes")
    parser.add_argument("--products", metavar="BLAS", help=argparse.SUPPRESS)
    parser.add_argument("--against", metavar="REVISION", help="compare with an older revision")
    options = parser.parse_args()
    if threads := options.digests:
        found = product_digests(options.products) if options.products else digests(threads)
        print(json.dumps({"minidl": str(Path(dl.__file__).parent), **found}))
        return
    if options.against:
        against(options.against)
        return
    found = {}
    builds = buildable()
    print("| build | ymm | zmm |", *(f"{n} thread{'s' * (n > 1)} |" for n in THREADS))
    print("|---|---:|---:|" + "---|" * len(THREADS))
    with tempfile.TemporaryDirectory() as folder:
        trees = {build: Path(folder).resolve() / str(i) for i, build in enumerate(builds)}
        for tree in trees.values():  # all at first, as someone may be at work on the sources
            copied(tree)
        for build, tree in trees.items():
            wide = built(build, tree)
            print(f"| {build} |", *(f"{count} |" for count in wide), end="", flush=True)
            for threads in THREADS:
                found[build, threads] = in_child(tree, threads)
                print(f" `{short(found[build, threads])}` |", end="", flush=True)
            print()
    first = found[builds[0], THREADS[0]]
    print(
        f"\n{len(first)} computations a cell; ymm and zmm: instructions with 256 and 512 bits. "
        f"NumPy {np.__version__}, {platform.platform()}"
    )
    wrong = {
        cell: [name for name in first if got[name] != first[name]] for cell, got in found.items()
    }
    for (build, threads), names in wrong.items():
        if names:
            print(f"\nNot as {builds[0]} on 1: {build} on {threads}: {', '.join(names)}")
    compare_products()
    sys.exit(any(wrong.values()))


if __name__ == "__main__":
    main()
