from typing import Any

# x, target and gradient are (rows, classes), labels and losses (rows,); all C-contiguous, of one
# dtype, float32 or float64, but for labels, int64. losses and gradient are written.

def cross_entropy(x: Any, labels: Any, smoothing: float, losses: Any, gradient: Any) -> None: ...
def soft_cross_entropy(
    x: Any, target: Any, smoothing: float, losses: Any, gradient: Any
) -> None: ...
