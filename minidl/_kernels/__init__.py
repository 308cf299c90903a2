"""The compiled loops, in typed Cython, on C-contiguous arrays.

There is no pure-Python fallback: if the kernels are missing, importing minidl raises an error that
says how to build them.
"""

import os

# GCC's OpenMP reads these variables once, when it is loaded below. By default an idle thread spins,
# and NumPy's BLAS waits milliseconds for its core.
_sleep_when_idle = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
if _sleep_when_idle:
    os.environ["GOMP_SPINCOUNT"] = "0"
try:
    from minidl._kernels import atomic, blas, layer, loss, optim, plan, replay, special, system
except ImportError as error:
    raise ImportError(
        "minidl's compiled kernels are missing or broken. If this is the source tree, run "
        "`python -m pip install -e .` in the folder that holds pyproject.toml (it needs a C "
        "compiler); if it is an installation, reinstall it."
    ) from error
finally:
    if _sleep_when_idle:
        del os.environ["GOMP_SPINCOUNT"]

__all__ = ["atomic", "blas", "layer", "loss", "optim", "plan", "replay", "special", "system"]
