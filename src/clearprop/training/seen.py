"""What the user's own order, or iterable of batches, gave: kept as sums, so that a run can go on in it.

Where order and data are a function of the seed and of arrays, nothing of this is needed. What the user's
own code gives can only be asked for again; whether it is the same, the sums tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DataError
from clearprop.training.batches import Batch, Batches, Orders, Part

__all__ = ["BatchesSeen", "OrderSeen", "Seen"]

_NOTHING = "cae66941d9efbd404e4d88758ea67670"  # BLAKE2b of no bytes


class Seen(Protocol):
    """Watches what is given, and can ask for it again."""

    def state(self) -> dict[str, Any]:
        """Return what tells what was given so far from anything else, as plain data."""

    def go_back_to(self, state: Mapping[str, Any], epoch: int, within: bool) -> None:
        """Ask for what was given up to a position again. Errors: `DataError` where it is something else.

        epoch: the one at hand if `within` it, else the last that has ended.
        """


class OrderSeen:
    """The order that the user gave, as sums of its indices from the first epoch on."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._sum = _NOTHING
        self._at_hand: tuple[int, list[Part]] | None = None

    def __call__(self, epoch: int) -> Iterator[Part]:
        """Yield the parts of an epoch."""
        if self._at_hand is None or self._at_hand[0] != epoch:
            self._take(epoch)
        assert self._at_hand is not None
        yield from self._at_hand[1]

    def _take(self, epoch: int) -> None:
        parts = [(indices.copy(), size) for indices, size in self._orders(epoch)]
        for indices, size in parts:
            self._sum = _added(self._sum, indices.astype(np.int64), np.array([size, len(parts)]))
        self._at_hand = epoch, parts

    def state(self) -> dict[str, Any]:
        """Return the sum of all epochs so far, that at hand included."""
        return {"order": self._sum}

    def go_back_to(self, state: Mapping[str, Any], epoch: int, within: bool) -> None:
        """Take the order of every epoch again, so that an iterable stands where it stood."""
        for behind in range(1, epoch + 1):
            self._take(behind)
        if self._sum != state["order"]:
            raise DataError(
                f"this run cannot be resumed with this order: in epochs 1 to {epoch} it is not the order "
                "that the run took. Give it as fit was given it, an iterable from its beginning."
            )


class BatchesSeen:
    """The batches of an iterable, as sums of their numbers from the first epoch on."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._now, self._count = _NOTHING, 0
        self._last = ""
        self._alike = 0
        """How many epochs so far were the same as the one before, all of them; -1 once one was not."""
        self._earlier = _NOTHING
        self._rest: tuple[int, Iterator[Batch]] | None = None

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, or the rest of the one at hand."""
        if self._rest is not None and self._rest[0] == epoch:
            _, rest = self._rest
            self._rest = None
        else:
            self._now, self._count = _NOTHING, 0
            rest = self._batches(epoch)
        for batch in rest:
            self._add(batch)
            yield batch
        self._epoch_ends()

    def _add(self, batch: Batch) -> None:
        weights = () if batch.weights is None else (batch.weights,)
        self._now = _added(self._now, batch.X, batch.y, *weights)
        self._count += 1

    def _epoch_ends(self) -> None:
        if self._alike >= 0 and self._last:
            self._alike = self._alike + 1 if self._now == self._last else -1
        self._last = self._now
        self._earlier = _added(self._earlier, np.frombuffer(self._now.encode(), np.uint8))

    def state(self) -> dict[str, Any]:
        """Return the sums of the epochs behind, and of the batches of the one at hand."""
        names = ("now", "count", "last", "alike", "earlier")
        return {name: getattr(self, f"_{name}") for name in names}

    def go_back_to(self, state: Mapping[str, Any], epoch: int, within: bool) -> None:
        """Read what was read before: all epochs, or, where all were the same, the last one alone."""
        first = max(1, epoch) if state["alike"] > 0 else 1
        for behind in range(first, epoch + (0 if within else 1)):
            for _ in self(behind):
                pass
        if within:
            self._now, self._count = _NOTHING, 0
            rest = self._batches(epoch)
            for batch in rest:
                self._add(batch)
                if self._count == state["count"]:
                    break
            self._rest = epoch, rest
        ours = self.state()
        compared: tuple[str, ...] = ("last",) if first == epoch and epoch > 1 else ("earlier",)
        if within:
            compared = ("now", "count") if first == epoch else ("now", "count", "earlier")
        if epoch and any(ours[name] != state[name] for name in compared):
            raise DataError(
                f"this run cannot be resumed with this iterable of batches: up to epoch {epoch} it does not "
                "give the batches that the run took, so it cannot be replayed. Give an object whose __iter__ "
                "starts anew with the same batches (a list, a class), or arrays."
            )
        for name in ("last", "alike", "earlier"):
            setattr(self, f"_{name}", state[name])


def _added(sum_so_far: str, *arrays: Array) -> str:
    import hashlib  # here: it brings OpenSSL, and most runs add up nothing

    found = hashlib.blake2b(sum_so_far.encode(), digest_size=16)
    for array in arrays:
        found.update(str(array.shape).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
