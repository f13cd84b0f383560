"""Where a run stood, every so many steps: few enough to keep, near enough to start again from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from clearprop.training.snapshot import Snapshot

__all__ = ["Snapshots"]


class Snapshots:
    """Snapshots in the order of their steps, the first of which stays; bounded in number and bytes.

    When there are too many, every other one is dropped and the spacing doubles, so that they always lie
    evenly over the run.

    Parameters: `every`, the spacing in steps to begin with; `most`, how many are kept besides the first;
    `most_bytes`, how many bytes those may take.
    """

    def __init__(self, first: Snapshot, every: int, most: int, most_bytes: int) -> None:
        self.every, self.most, self.most_bytes = every, most, most_bytes
        self._kept = {first.step: first}
        self._first = first

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Snapshot]:
        return (self._kept[step] for step in self.steps)

    @property
    def steps(self) -> list[int]:
        """After how many steps each was taken, in order."""
        return sorted(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes of all but the first."""
        return sum(snapshot.nbytes for snapshot in self._kept.values()) - self._first.nbytes

    def add(self, snapshot: Snapshot) -> None:
        """Keep another one, and thin out where there are now too many."""
        self._kept[snapshot.step] = snapshot
        while len(self._kept) > 1 and (len(self._kept) - 1 > self.most or self.nbytes > self.most_bytes):
            self.every *= 2
            self._kept = {
                step: kept
                for step, kept in self._kept.items()
                if step % self.every == 0 or kept is self._first
            }

    def add_last(self, snapshot: Snapshot) -> None:
        """Keep the one at the end of the run, whatever the bounds say."""
        self._kept[snapshot.step] = snapshot

    def drop_after(self, step: int) -> None:
        """Forget those of steps that did not count."""
        self._kept = {at: kept for at, kept in self._kept.items() if at <= step or kept is self._first}

    def nearest(self, step: int) -> Snapshot:
        """Return the last one taken after `step` steps or fewer."""
        steps = self.steps
        return self._kept[steps[bisect_right(steps, step) - 1]]

    def next_after(self, step: int) -> Snapshot | None:
        """Return the first one taken after more than `step` steps, None behind the last."""
        steps = self.steps
        place = bisect_right(steps, step)
        return self._kept[steps[place]] if place < len(steps) else None

    def find(self, step: int) -> Snapshot | None:
        """Return the one taken after exactly `step` steps, or None."""
        return self._kept.get(step)
