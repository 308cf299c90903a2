"""The compiled loops: typed Cython on arrays whose entries lie in a row.

There is no pure-Python stand-in: where the kernels are missing, importing minidl says so.
"""

import os

# GCC's OpenMP reads these variables once, as it is loaded below. Left to itself, a thread without
# work spins, and keeps the core from NumPy's BLAS, which then waits milliseconds for it.
_patient = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
if _patient:
    os.environ["GOMP_SPINCOUNT"] = "0"
try:
    from minidl._kernels import layer, loss, optim, special, system
except ImportError as error:
    raise ImportError(
        "minidl's compiled kernels are missing or broken. If this is the source tree, run "
        "`python -m pip install -e .` in the folder that holds pyproject.toml (it needs a C "
        "compiler); if it is an installation, reinstall it."
    ) from error
finally:
    if _patient:
        del os.environ["GOMP_SPINCOUNT"]

__all__ = ["layer", "loss", "optim", "special", "system"]
