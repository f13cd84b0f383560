"""Recording: a run of training that any of whose steps can be looked at again."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_flag
from clearprop.engines import choose_engine
from clearprop.errors import DataError, DTypeError, OptionError, UnsupportedError
from clearprop.fitting.conditions import conditions_here, first_other, with_build
from clearprop.lazy import Lazy
from clearprop.model import Draws, State
from clearprop.recorder import comparison, resuming
from clearprop.recorder.course import Course
from clearprop.recorder.data_seen import DataSeen
from clearprop.recorder.replay import gradient_of, replay
from clearprop.recorder.snapshots import Snapshots
from clearprop.training.snapshot import Snapshot

if TYPE_CHECKING:
    from clearprop.network import Network
    from clearprop.recorder import file
    from clearprop.recorder.comparison import Difference
    from clearprop.trace import Trace
    from clearprop.training.history import History
else:
    file = Lazy("clearprop.recorder.file")

__all__ = ["Recording"]


class Recording:
    """A recorded run of `fit`: what any of its steps computed, by doing the steps since a snapshot again.

    Steps count from 1, as in the history: step k takes ``batch(k)``, computes ``trace(k)``, ``gradient(k)``
    with ``theta(k - 1)``, and gives ``theta(k)``; ``theta(0)`` is where the run began.

    The bits are those of the run, and this is not taken on trust: the first time a step of the stretch
    between two snapshots is done again, the stretch is done to its end, and must arrive at the second
    snapshot's bits. From then on the data of each step that is done again must be those of that time. (Behind
    the last snapshot of a run that diverged there is nothing to compare with.) The bits hold for the
    `conditions` under which the run was recorded; elsewhere asking is refused, unless `exact` is set to
    False: then none of this is looked at, and the numbers are those of the steps done here. What a snapshot
    holds is given anywhere.

    Made by `FlightRecorder` and `load_recording`.
    """

    def __init__(
        self,
        course: Course,
        snapshots: Snapshots,
        *,
        steps: int,
        done: int,
        conditions: Mapping[str, Any],
        stopped: str,
        exact: bool = True,
    ) -> None:
        self._course, self._snapshots = course, snapshots
        self._last, self._done = steps, done
        self._conditions = dict(conditions)
        self._checked: set[int] = set()
        self._seen = DataSeen(course)
        self._here: Snapshot | None = None
        self.stopped = stopped
        """Why the run ended, in the words of ``history.stopped``."""
        self.exact = exact

    # -- what the run was --------------------------------------------------------------------------

    @property
    def steps(self) -> range:
        """The steps that were recorded, from 1; of a run that was resumed, from where it was.

        Of a run that diverged the last is the one in which it did: its trace can be had, not what it gave.
        """
        return range(self._snapshots.steps[0] + 1, self._last + 1)

    @property
    def kept(self) -> tuple[int, ...]:
        """After which steps there is a snapshot: theta, buffers, slots and network cost nothing there."""
        return tuple(self._snapshots.steps)

    @property
    def exact(self) -> bool:
        """Whether only the very bits of the run will do; False where numbers that are close will."""
        return self._exact

    @exact.setter
    def exact(self, value: bool) -> None:
        self._exact = as_flag("exact", value)
        self._here = None  # what was done again under the other rule is forgotten

    @property
    def nbytes(self) -> int:
        """How many bytes the snapshots take."""
        return sum(snapshot.nbytes for snapshot in self._snapshots)

    @property
    def conditions(self) -> dict[str, Any]:
        """What the bits hold for: version, engine, dtype, processor, instruction set and build, or BLAS."""
        return with_build(self._conditions)

    @property
    def seed(self) -> int:
        """The seed of the network, which order and dropout are a function of."""
        return self._course.seed

    @property
    def callbacks(self) -> tuple[str, ...]:
        """The classes of the user's own callbacks. What they changed between steps cannot be done again."""
        return self._course.callbacks

    def epoch(self, step: int) -> int:
        """Return the epoch of a step, from 1."""
        return self._course.epoch_of(self._as_step(step))

    def eta(self, step: int) -> float:
        """Return the rate of a step."""
        return self._course.rate(self._as_step(step))

    def batch(self, step: int) -> Array:
        """Return which examples a step took, (n,), in its order; counted from 0 among those for training.

        Where a share was split off for validation, that is among the rest.
        """
        return self._course.batch(self._as_step(step)).copy()

    # -- any quantity of any step ------------------------------------------------------------------

    def theta(self, step: int) -> Array:
        """Return all parameters after `step` steps, flat; ``theta(0)`` those before the first."""
        return self._after(step).theta.copy()

    def buffers(self, step: int) -> Array:
        """Return the buffers (running statistics) after `step` steps, flat."""
        return self._after(step).buffers.copy()

    def slots(self, step: int) -> dict[str, Array]:
        """Return the optimiser's arrays after `step` steps, by name; {} before the first."""
        return {name: slot.copy() for name, slot in self._after(step).slots.items()}

    def network(self, step: int) -> Network:
        """Return the network as it was after `step` steps, independent of the one that was trained."""
        return resuming.network_at(self._course, self._after(step))

    def trace(self, step: int, engine: str | None = None) -> Trace:
        """Return the open record of the step's pass: its batch, the parameters before it, its dropout masks.

        Every z, a, delta, dC_dW and per-example gradient of that step. The penalty's gradient and clipping
        are no part of it: see `gradient`. engine: the rung that computes it; left out, that of the run, with
        its bits.
        """
        course, before = self._course, self._before(step)
        state = State(course.model, before.theta.copy(), before.buffers.copy())
        examples = course.batch(step)
        rung = course.engine if engine is None else choose_engine(engine, course.model)[0]
        draws = None if course.takes_all else Draws(course.seed, course.steps_before + step - 1, examples)
        X, y, weights = course.examples.take(examples)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # it may be the one that diverged
            return rung.trace(course.model, state, X, y, weights, draws)

    def gradient(self, step: int) -> Array:
        """Return ∂C/∂theta of a step as the loop had it: the penalty's included, before clipping; flat."""
        return gradient_of(self._course, self._before(step))

    # -- what else can be done with a run ----------------------------------------------------------

    def resume(self, step: int, **changed: Any) -> tuple[Network, History]:
        """Continue after `step` steps with something changed; return the new network and its history.

        changed: options of `fit` by their names: eta, optimizer, epochs (of the whole run, those before
        `step` included), batch_size, schedule, l1, l2, penalty, max_norm, clip_norm, clip_value, shuffle,
        engine, seed, X and y (with sample_weight, class_weight), X_val and y_val, metrics, callbacks,
        time_limit.
        Left out, each is as it was, but for callbacks and time_limit, which are none.

        With nothing changed the bits are those that the run had. Steps and epochs go on counting, as do order
        and dropout. Other data, another seed or `shuffle` begin with the next epoch, as there is no rest of
        the one at hand; an optimiser of another kind begins with empty slots and counts steps and epochs from
        1, as after a new call of fit. A schedule that watches the training sees of the epoch at hand only the
        rest. L-BFGS, which cannot be taken up, begins anew.

        As with `trace`, the run's own data are looked at to the next snapshot; `verify` looks at all.

        Errors: `UnknownNameError` for another name; `OptionError` where nothing is left, or where validation
        data decide that `load_recording` was not given; those of `fit`.

        >>> import clearprop as cp
        >>> X, y = cp.datasets.moons(200, noise=0.1, seed=0)
        >>> net = cp.Network([cp.Dense(8, "tanh"), cp.Dense(2, "softmax")], seed=0)
        >>> recorder = cp.FlightRecorder()
        >>> history = net.fit(X, y, epochs=5, callbacks=[recorder])
        >>> again, _ = recorder.run.resume(20)
        >>> bool((again.theta == net.theta).all())
        True
        >>> hotter, longer = recorder.run.resume(20, eta=0.1, epochs=8)
        >>> longer["step"]
        [21, 28, 35, 42, 49, 56]
        """
        at = self._after(step)
        self._refuse_elsewhere()
        if "X" not in changed and at.step < self._done:
            self._vouch_for(at, at.step + 1)
        return resuming.resume(self._course, at, changed)

    def differs(self, other: Recording) -> Difference | None:
        """Return where two runs first differ: step, layer, quantity, size; None if nowhere in common steps.

        Errors: `DTypeError` for what is no recording; `UnsupportedError` for networks of other layers.
        """
        if not isinstance(other, Recording):
            raise DTypeError(f"differs compares with another Recording. Got {other!r}.")
        return comparison.first_difference(self, other)

    def verify(self) -> int:
        """Do all steps again and compare with every snapshot on the way; return how many were compared.

        Whatever was compared before is compared again, with the data as they are now; with `exact` False too.

        Errors: `DataError` naming the steps that lead elsewhere.
        """
        self._refuse_elsewhere()
        stretches = list(pairwise(self._snapshots))
        for start, end in stretches:
            self._compare(start, start, end)
        return len(stretches)

    def save(
        self, path: str | Path, *, overwrite: bool = False, extra: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the recording to a safetensors file and return its path; nothing is overwritten unasked.

        The data are not in it, only their fingerprint: `load_recording` needs X and y. `load` reads the same
        file as the network at the end of the run. extra: plain data to keep with it.
        """
        return file.save(self, path, overwrite=overwrite, extra=extra)

    def __repr__(self) -> str:
        first, last = self.steps.start, self.steps.stop - 1
        return (
            f"<Recording of steps {first} to {last} on {self._conditions['engine']}, "
            f"{len(self._snapshots)} snapshots, {self.nbytes:,} bytes>"
        )

    # -- positions ---------------------------------------------------------------------------------

    def _as_step(self, step: Any) -> int:
        """Return a step that was recorded. Errors: `DTypeError`, `OptionError` naming the range."""
        return self._within(step, self.steps.start, self._last)

    def _within(self, step: Any, first: int, last: int) -> int:
        if not isinstance(step, int | np.integer) or isinstance(step, bool):
            raise DTypeError(f"a step must be a whole number. Got {step!r}.")
        if not first <= step <= last:
            failed = f" Step {self._last} failed: it gave none." if step == self._last > self._done else ""
            known = f"steps {first} to {last}" if first <= last else "no step"
            raise OptionError(f"step {step} was not recorded: this recording has {known}.{failed}")
        return int(step)

    def _after(self, step: Any) -> Snapshot:
        """Return where the run stood after `step` steps: kept, or done again from a snapshot."""
        step = self._within(step, self.steps.start - 1, self._done)
        found = self._snapshots.find(step)
        if found is not None:
            return found
        self._refuse_elsewhere()
        start = self._snapshots.nearest(0 if self._course.takes_all else step)
        near = self._here
        if near is None or not start.step <= near.step <= step or self._course.takes_all:
            near = start
        here = replay(self._course, near, step)
        self._vouch(start, here, near.step, step)
        self._here = here
        return here

    def _before(self, step: Any) -> Snapshot:
        """Return where the run stood before a step that is about to be done again."""
        step = self._as_step(step)
        before = self._after(step - 1)
        self._refuse_elsewhere()
        self._vouch_for(before, step)
        return before

    def _vouch_for(self, before: Snapshot, step: int) -> None:
        """Make sure of the one step after `before`."""
        start = self._snapshots.nearest(0 if self._course.takes_all else before.step)
        self._vouch(start, before, before.step, step)

    def _vouch(self, start: Snapshot, here: Snapshot, after: int, upto: int) -> None:
        """Make sure that the steps after `after` and up to `upto`, of the stretch at `start`, are the run's.

        The first time, go on from `here` to the next snapshot; later, compare the data of these steps.
        Errors: `DataError` if the bits there, or the data, are others.
        """
        end = self._snapshots.next_after(start.step)
        if not self.exact or end is None:
            return
        if start.step not in self._checked:
            self._compare(start, here, end)
            return
        changed = self._seen.first_changed(after, upto)
        if changed is not None:
            raise DataError(
                f"step {changed} cannot be done again as it was: the data of its batch have been changed "
                "since. Give the data as they were; or set exact=False on the recording (--inexact) to see "
                "the step as it is now."
            )

    def _compare(self, start: Snapshot, here: Snapshot, end: Snapshot) -> None:
        """Go on from `here`, in the stretch that begins at `start`, to its end, and note its data.

        Errors: `DataError` if the bits there are others.
        """
        self._checked.discard(start.step)
        arrived = replay(self._course, start if self._course.takes_all else here, end.step)
        if not arrived.has_the_bits_of(end):
            raise DataError(self._led_elsewhere(start.step + 1, end.step))
        self._seen.note(start.step, end.step)
        self._checked.add(start.step)

    def _led_elsewhere(self, first: int, last: int) -> str:
        why = "the data have been changed since, or the run was another processor's"
        if self.callbacks:
            why = f"{why}, or a callback ({', '.join(self.callbacks)}) changed something between steps"
        return (
            f"steps {first} to {last}, done again, lead elsewhere than they did: {why}. Give the data as "
            "they were; or set exact=False on the recording (--inexact) to see the steps as they are now."
        )

    def _refuse_elsewhere(self) -> None:
        """Raise `UnsupportedError` where the bits of the run cannot be expected."""
        if not self.exact:
            return
        here = conditions_here(self._conditions["engine"], self._conditions["dtype"])
        then = self._conditions
        other = first_other(then, here if "build" in then else {k: here.get(k) for k in then})
        if other is not None:
            raise UnsupportedError(
                f"the bits of this recording cannot be had here: {other}; or set exact=False on it "
                "(--inexact) for numbers that are close, but not the same."
            )
