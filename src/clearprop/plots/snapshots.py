"""What training passed through: a callback that keeps the parameters every few epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clearprop.arrays import Array
from clearprop.checks import as_whole
from clearprop.errors import DataError, DTypeError, ShapeError
from clearprop.network import Network
from clearprop.training.callbacks import Callback

if TYPE_CHECKING:
    from clearprop.training.history import Row
    from clearprop.training.loop import TrainingRun

__all__ = ["Snapshot", "Snapshots", "check_snapshots"]


@dataclass(frozen=True)
class Snapshot:
    """The numbers of a network at the end of an epoch; epoch 0 is before the first step."""

    epoch: int
    theta: Array
    buffers: Array
    cost: float
    """Of the epoch, as the history has it; NaN for epoch 0."""


class Snapshots(Callback):
    """Keep theta and the buffers of every k-th epoch, of the start and of the end of training.

    Parameters:
        epochs: k.
        most: how many to keep at most; when there are more, every other one is dropped and k doubles, so the
            memory is bounded however long training is.

    `kept` holds the `Snapshot`s of the last fit, in order.

    >>> import clearprop as cp
    >>> snapshots = Snapshots(epochs=2)
    >>> _ = cp.Network([2, 3, 1], seed=0).fit(*cp.datasets.xor(), epochs=5, batch_size=4, callbacks=snapshots)
    >>> [snapshot.epoch for snapshot in snapshots.kept]
    [0, 2, 4, 5]
    """

    changes_parameters = False

    def __init__(self, epochs: int = 1, most: int = 60) -> None:
        self.epochs = as_whole("epochs of Snapshots", epochs, at_least=1)
        self.most = as_whole("most of Snapshots", most, at_least=2)
        self.kept: list[Snapshot] = []
        self._last: tuple[int, float] = (0, float("nan"))
        self._every = self.epochs

    def on_fit_begin(self, run: TrainingRun) -> None:
        """Forget what an earlier fit left, and keep the start."""
        self.kept, self._every, self._last = [], self.epochs, (0, float("nan"))
        self._keep(run)

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        """Keep the parameters of every k-th epoch."""
        self._last = (run.epoch, float(row["cost"]))
        if run.epoch % self._every == 0:
            self._keep(run)
        if len(self.kept) > self.most:
            self._every *= 2
            self.kept = [s for s in self.kept if s.epoch % self._every == 0]

    def on_fit_end(self, run: TrainingRun) -> None:
        """Keep the parameters of the last epoch too."""
        if self.kept and self.kept[-1].epoch != self._last[0]:
            self._keep(run)

    def _keep(self, run: TrainingRun) -> None:
        epoch, cost = self._last
        self.kept.append(Snapshot(epoch, run.state.theta.copy(), run.state.buffers.copy(), cost))

    def network(self, net: Network, index: int) -> Network:
        """Return a copy of the network with the numbers of one snapshot."""
        return at_snapshot(net, self.kept[index])


def at_snapshot(net: Network, snapshot: Snapshot) -> Network:
    """Return a copy of the network with the numbers of a snapshot."""
    then = net.copy()
    then.theta[:], then.buffers[:] = snapshot.theta, snapshot.buffers
    return then


def check_snapshots(net: Network, snapshots: Any) -> list[Snapshot]:
    """Return the snapshots. Errors: `DTypeError`, `DataError` if there are none, `ShapeError`."""
    if not isinstance(snapshots, Snapshots):
        raise DTypeError(
            "an animation needs the Snapshots that were given to fit as a callback. Got "
            f"{type(snapshots).__name__}."
        )
    if not snapshots.kept:
        raise DataError("these Snapshots are empty. Train with them first: net.fit(…, callbacks=snapshots).")
    size = snapshots.kept[0].theta.shape[0]
    if size != net.n_parameters:
        raise ShapeError(
            f"these Snapshots are of a network of {size} parameters; this one has {net.n_parameters}."
        )
    return snapshots.kept
