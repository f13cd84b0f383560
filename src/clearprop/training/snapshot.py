"""The numbers of a run at one step: what the flight recorder keeps, and a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clearprop.arrays import Array
from clearprop.optimizers import saved_slots

__all__ = ["Snapshot", "same_bits"]


@dataclass(frozen=True)
class Snapshot:
    """The numbers of a run after `step` updates: with its batch, all that the next is made of."""

    step: int
    theta: Array
    """(number of parameters,)."""
    buffers: Array
    """Running statistics, flat."""
    slots: Mapping[str, Array]
    """The optimiser's arrays by name, each like theta; {} before its first step."""

    @classmethod
    def take(cls, step: int, theta: Array, buffers: Array, slots: Mapping[str, Array]) -> Snapshot:
        """Return a snapshot of its own memory; the optimiser's working array is left out."""
        kept = {name: slot.copy() for name, slot in saved_slots(dict(slots)).items()}
        return cls(step, theta.copy(), buffers.copy(), kept)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.theta.nbytes + self.buffers.nbytes + sum(slot.nbytes for slot in self.slots.values())

    def has_the_bits_of(self, other: Snapshot) -> bool:
        """Return whether every number of both is the same, bit for bit."""
        return (
            same_bits(self.theta, other.theta)
            and same_bits(self.buffers, other.buffers)
            and self.slots.keys() == other.slots.keys()
            and all(same_bits(slot, other.slots[name]) for name, slot in self.slots.items())
        )


def same_bits(a: Array, b: Array) -> bool:
    """Return whether two arrays hold the same bits: -0.0 is not 0.0, and a NaN is itself.

    >>> import numpy as np
    >>> same_bits(np.array([0.0, np.nan]), np.array([0.0, np.nan])), same_bits(np.zeros(1), -np.zeros(1))
    (True, False)
    """
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
