"""Each ReduceOnPlateau in the rates of an optimizer: fit shows it the loss unless others do."""

from __future__ import annotations

from typing import Any

from minidl.schedulers import ReduceOnPlateau, plateaus


class Plateaus:
    """Those of an optimizer, and how often each had observed when the epoch began.

    counts  the numbers of observations, if the epoch has begun in a training before this one
    """

    def __init__(self, optimizer: Any, counts: list[int]) -> None:
        self.optimizer = optimizer
        self._note(counts)

    def begin_epoch(self) -> list[int]:
        """Note how often each has observed; returns these numbers."""
        counts = [p.observations for p in plateaus_of(self.optimizer)]
        self._note(counts)
        return counts

    def _note(self, counts: list[int]) -> None:
        found = zip(plateaus_of(self.optimizer), counts, strict=False)
        self.before = {id(p): count for p, count in found}

    def observe(self, loss: float) -> None:
        """Show the loss to each that has observed nothing in this epoch."""
        found = plateaus_of(self.optimizer)
        unobserved = [p for p in found if p.observations == self.before.get(id(p), 0)]
        check_monitored(unobserved)
        for plateau in unobserved:
            plateau.observe(loss)


def plateaus_of(optimizer: Any) -> list[ReduceOnPlateau]:
    """Each ReduceOnPlateau in the rates of an optimizer, once."""
    rates = [group["lr"] for group in getattr(optimizer, "groups", ())]
    return list({id(p): p for p in plateaus(rates)}.values())


def check_monitored(unobserved: list[ReduceOnPlateau]) -> None:
    """ValueError if one that nobody has shown a metric is in mode "max"."""
    if any(p.mode == "max" for p in unobserved):
        raise ValueError(
            'fit: a ReduceOnPlateau in mode "max" needs a metric of its own, since fit would show '
            "it the loss, which gets smaller. Observe the metric after each epoch: "
            "callbacks=[lambda epoch, history: plateau.observe(...)]"
        )
