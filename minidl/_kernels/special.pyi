from typing import Any

from numpy.typing import NDArray

# All arrays are flat, C-contiguous, of one length and dtype, float32 or float64; out is written.

def normal_cdf(x: NDArray[Any], out: NDArray[Any]) -> None: ...
