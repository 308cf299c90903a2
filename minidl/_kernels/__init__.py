"""The compiled loops: typed Cython on contiguous buffers, no Python object inside.

There is no pure-Python stand-in: where the kernels are missing, importing minidl says so.
"""

try:
    from minidl._kernels import loss, optim, special, system
except ModuleNotFoundError as error:
    if not (error.name or "").startswith(__name__):
        raise
    raise ImportError(
        f"minidl's compiled kernels are missing ({error.name}). This is the source tree, or a "
        "broken build: run `python -m pip install -e .` in the folder that holds pyproject.toml "
        "(it needs a C compiler)."
    ) from None

__all__ = ["loss", "optim", "special", "system"]
