"""FlightRecorder: the callback that writes down, at small cost, what a run can be done again from."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clearprop.checks import as_whole
from clearprop.errors import NotInitializedError, OptionError
from clearprop.fitting.conditions import conditions
from clearprop.fitting.reading import draft_of
from clearprop.recorder.course import Course, OwnOrder
from clearprop.recorder.recording import Recording
from clearprop.recorder.snapshots import Snapshots
from clearprop.training.batches import Rest, example_batches
from clearprop.training.callbacks import Callback
from clearprop.training.snapshot import Snapshot

if TYPE_CHECKING:
    from clearprop.training.history import Row
    from clearprop.training.loop import TrainingRun

__all__ = ["FlightRecorder"]

_MOST_BYTES = 1 << 28
_STEPS = 1000
_EXAMPLES = 8000  # a snapshot takes about as long as the passes of a hundred examples


class FlightRecorder(Callback):
    """Record a run of `fit`, so that any quantity of any of its steps can be had again, bit for bit.

    What is kept: theta, the buffers and the optimiser's arrays after every `every` steps. Order and dropout
    are functions of the seed and the position, so that is all; the data are referred to, not copied, and must
    not change. When there are more than `most` snapshots, or they take more than `most_bytes` bytes, every
    other one is dropped and the spacing doubles.

    Parameters:
        every: the spacing in steps to begin with; left out, 1000, or as many as take 8000 examples.
        most: how many snapshots are kept, besides those at the two ends of the run.
        most_bytes: how many bytes they may take together.

    `run` is the `Recording` of the last fit. An iterable of batches cannot be recorded: it gives each batch
    but once.

    >>> import clearprop as cp
    >>> X, y = cp.datasets.moons(200, noise=0.1, seed=0)
    >>> net = cp.Network([cp.Dense(8, "tanh"), cp.Dense(2, "softmax")], seed=0)
    >>> recorder = cp.FlightRecorder()
    >>> history = net.fit(X, y, epochs=5, callbacks=[recorder])
    >>> run = recorder.run
    >>> len(run.steps), run.batch(17)[:5]
    (35, array([ 37, 171,  57,  84, 132]))
    >>> trace = run.trace(17)
    >>> trace[1].delta.shape, trace[2].dC_dW.shape
    ((32, 8), (2, 8))
    >>> bool((run.theta(35) == net.theta).all())
    True
    """

    reads_theta = False
    changes_parameters = False

    def __init__(self, every: int | None = None, most: int = 32, most_bytes: int = _MOST_BYTES) -> None:
        self.spacing = None if every is None else as_whole("every of FlightRecorder", every, at_least=1)
        self.most = as_whole("most of FlightRecorder", most, at_least=1)
        self.most_bytes = as_whole("most_bytes of FlightRecorder", most_bytes, at_least=1)
        self.every = self.spacing or _STEPS
        self._run: Recording | None = None

    @property
    def run(self) -> Recording:
        """The recording of the last fit. Errors: `NotInitializedError` before there is one."""
        if self._run is None:
            raise NotInitializedError(
                "this FlightRecorder has recorded nothing yet. Call fit(…, callbacks=[recorder]) first."
            )
        return self._run

    def on_fit_begin(self, run: TrainingRun) -> None:
        """Note the parameters before the first step, and what the steps will be a function of.

        Errors: `OptionError` for an iterable of batches.
        """
        if run.examples is None or run.orders is None:
            raise OptionError(
                "FlightRecorder cannot record a run on an iterable of batches, which gives each batch but "
                "once. Give X and y as arrays; X may be mapped from a file."
            )
        self._run = None
        self.every = self.spacing or max(_STEPS, -(-_EXAMPLES // run.options.batch_size))
        first = Snapshot.take(run.step, run.state.theta, run.state.buffers, {})
        if run.step:  # resumed within another run
            first = Snapshot.take(run.step, run.state.theta, run.state.buffers, run.slots)
        self._snapshots = Snapshots(first, self.every, self.most, self.most_bytes)
        self._starts = array("q")
        self._states: list[tuple[int, Mapping[str, Any]]] = []
        self._own_order = _write_down_order(run)
        self._network = draft_of(run.network)
        self._first_epoch = run.epoch + 1
        self._tail: Snapshot | None = None
        others = [callback for callback in run.options.callbacks if callback is not self]
        foreign = [type(c) for c in others if not type(c).__module__.startswith("clearprop.")]
        self._foreign = tuple(dict.fromkeys(cls.__name__ for cls in foreign))
        if run.begin is not None and run.begin.tally is not None:  # within an epoch that has begun
            self._note_epoch(run, run.epoch + 1)
        self._someone_ends = any(type(callback).on_fit_end is not Callback.on_fit_end for callback in others)

    def on_epoch_begin(self, run: TrainingRun) -> None:
        """Note after how many steps the epoch began, and in which state the schedule is."""
        self._note_epoch(run, run.epoch)

    def _note_epoch(self, run: TrainingRun, epoch: int) -> None:
        self._starts.append(run.step)
        schedule = run.options.schedule
        if schedule is None or not schedule.monitors:
            return
        if not self._states or self._states[-1][1] != run.schedule_state:
            self._states.append((epoch, dict(run.schedule_state)))

    def on_step_end(self, run: TrainingRun) -> None:
        """Take a snapshot."""
        self._snapshots.add(_snapshot(run))
        self.every = self._snapshots.every

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        """Copy the parameters where another callback may change them once training has ended."""
        if self._someone_ends:
            self._tail = _snapshot(run)

    def on_fit_end(self, run: TrainingRun) -> None:
        """Close the recording; of a run that diverged, the step at which it did is the last."""
        failed = run.failed_step
        # The run may have gone back further than to the last step that was well.
        done = max(self._snapshots.steps[-1], run.step) if failed is None else failed - 1
        self._snapshots.drop_after(done)
        tail = self._tail if self._someone_ends else None if run.failed_step is not None else _snapshot(run)
        if tail is not None and tail.step == done:
            self._snapshots.add_last(tail)
        self._run = Recording(
            self._course(run),
            self._snapshots,
            steps=done if failed is None else failed,
            done=done,
            conditions=conditions(run.history.environment, run.state.theta.dtype),
            stopped=run.history.stopped,
        )

    def _course(self, run: TrainingRun) -> Course:
        assert run.examples is not None
        orders = run.orders
        return Course(
            network=self._network,
            model=run.model,
            engine=run.engine,
            targets=run.targets,
            options=replace(run.options, callbacks=()),
            examples=run.examples,
            validation=run.validation,
            seed=run.seed,
            epochs_before=run.epochs_before,
            steps_before=run.steps_before,
            steps_per_epoch=run.steps_per_epoch,
            first_epoch=self._first_epoch,
            skip=orders.skip if isinstance(orders, Rest) and self._own_order is None else 0,
            starts=self._starts,
            own_order=self._own_order,
            states=self._states,
            callbacks=self._foreign,
        )


def _snapshot(run: TrainingRun) -> Snapshot:
    return Snapshot.take(run.step, run.state.theta, run.state.buffers, run.slots)


def _write_down_order(run: TrainingRun) -> OwnOrder | None:
    """Return what writes down the order that the user gave, None where it is a function of the seed."""
    if run.steps_per_epoch is not None or run.orders is None or run.examples is None:
        return None
    written = OwnOrder(run.orders, run.epoch + 1)
    run.orders, run.batches = written, example_batches(run.examples, written)
    return written
