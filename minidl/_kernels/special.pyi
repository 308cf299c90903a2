from typing import Any

# x and out are flat, C-contiguous, of one length and dtype, float32 or float64.

def normal_cdf(x: Any, out: Any) -> None: ...
