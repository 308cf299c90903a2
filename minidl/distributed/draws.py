"""The random numbers of a step, such as Dropout's masks: drawn as if for the whole batch.

Each rank computes some rows of a batch, and moves the model's generators to where the rows before
would have left them. A generator can be moved if it is a PCG64 (that of `default_rng`) and the
numbers that a forward pass draws are in proportion to its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

BITS = 128  # of the state of a PCG64, which is s ← a s + c mod 2¹²⁸
MASK = (1 << BITS) - 1
MULTIPLIERS = {  # a
    "PCG64": 0x2360ED051FC65DA44385DF649FCCF645,
    "PCG64DXSM": 0xDA942042E4DD58B5,
}


def distance(before: dict[str, Any], after: dict[str, Any]) -> int:
    """How many numbers were drawn between two states of a PCG64.

    >>> bits = np.random.PCG64(1)
    >>> before = bits.state
    >>> bits.random_raw(5).size, distance(before, bits.state)
    (5, 5)
    """
    a, c = MULTIPLIERS[before["bit_generator"]], before["state"]["inc"]
    state, target = before["state"]["state"], after["state"]["state"]
    count, bit = 0, 1
    while state != target and bit <= MASK:  # the lowest k bits have a period of 2ᵏ
        if (state ^ target) & bit:
            state, count = (a * state + c) & MASK, count | bit
        a, c, bit = a * a & MASK, (a + 1) * c & MASK, bit << 1
    return count


class Draws:
    """The generators of a model, and how many numbers each gives for a row of a batch.

    ValueError for a generator of another kind, which can't be moved.
    """

    def __init__(self, generators: dict[str, np.random.Generator]) -> None:
        self.generators: dict[str, Any] = {}  # each once, if layers share it
        for name, generator in generators.items():
            kind = type(generator.bit_generator).__name__
            if kind not in MULTIPLIERS:
                raise ValueError(
                    f"fit: {name} of the model is a {kind}, which can't be moved to the numbers of "
                    "another rank's rows; use the PCG64 of numpy.random.default_rng"
                )
            if all(generator.bit_generator is not bits for bits in self.generators.values()):
                self.generators[name] = generator.bit_generator
        self.per_row: list[int] | None = None
        self.base: list[Any] = []

    def begin(self) -> None:
        """Remember where the generators are before the first row of a step."""
        self.base = [bits.state for bits in self.generators.values()]

    def measure(self, forward: Callable[[], Any], rows: int) -> None:
        """Count what a forward pass of so many rows draws, unless that is known."""
        if self.generators and self.per_row is None:
            forward()
            states = [bits.state for bits in self.generators.values()]
            pairs = zip(self.base, states, strict=True)
            self.per_row = [distance(*pair) // rows for pair in pairs]

    def move(self, rows: int) -> None:
        """Move the generators behind the numbers of so many rows of the step."""
        for bits, base, count in zip(
            self.generators.values(), self.base, self.per_row or (), strict=False
        ):
            bits.state = base
            bits.advance(count * rows)

    def check(self, rows: int) -> None:
        """ValueError unless the generators are behind the numbers of so many rows of the step."""
        found = [bits.state for bits in self.generators.values()]
        self.move(rows)
        for (name, bits), state in zip(self.generators.items(), found, strict=True):
            if bits.state["state"] != state["state"]:
                raise ValueError(
                    f"fit: the numbers that a forward pass draws from {name} are not in proportion "
                    "to its rows, so ranks can't draw those of their rows. Draw a fixed number for "
                    "each row by random(), as Dropout does."
                )
