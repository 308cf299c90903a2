from typing import Any

# All arrays are flat, C-contiguous, of one length and dtype, float32 or float64; out is written.

def normal_cdf(x: Any, out: Any) -> None: ...
