from typing import Any

from numpy.typing import NDArray

threaded: int

def cross_entropy(
    x: NDArray[Any],
    target: NDArray[Any],
    smoothing: float,
    scale: Any,
    weights: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
def squared_error(
    p: NDArray[Any], t: NDArray[Any], scale: Any, weights: NDArray[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any]]: ...
def check_labels(labels: NDArray[Any], classes: int) -> None: ...
