"""The compiled loops: typed Cython on contiguous buffers, no Python object inside.

There is no pure-Python stand-in: where the kernels are missing, importing minidl says so.
"""

try:
    from minidl._kernels import loss, optim, special, system
except ImportError as error:
    raise ImportError(
        "minidl's compiled kernels are missing or broken. If this is the source tree, run "
        "`python -m pip install -e .` in the folder that holds pyproject.toml (it needs a C "
        "compiler); if it is an installation, reinstall it."
    ) from error

__all__ = ["loss", "optim", "special", "system"]
