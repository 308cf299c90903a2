from typing import Any, NoReturn

from numpy.typing import NDArray

name: str

# a, b: matrices of one dtype, float32 or float64; ValueError for any other.

def use(sgemm: int, dgemm: int, wide_integers: bool, called: str) -> None: ...
def product(
    a: NDArray[Any], b: NDArray[Any], transpose_a: bool = False, transpose_b: bool = False
) -> NDArray[Any]: ...
def refusal() -> NoReturn: ...
