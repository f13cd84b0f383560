"""Doing steps of a run again: the training loop itself, begun at a snapshot, on the batches of then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from clearprop.arrays import Array
from clearprop.model import State
from clearprop.optimizers import saved_slots
from clearprop.recorder.course import Course
from clearprop.training.batches import Part, example_batch, example_batches
from clearprop.training.callbacks import Callback
from clearprop.training.loop import TrainingRun
from clearprop.training.position import Position
from clearprop.training.snapshot import Snapshot

if TYPE_CHECKING:
    from clearprop.training.history import Row

__all__ = ["gradient_of", "replay", "walk"]

Look = Callable[[int, Array, Array], None]
"""Called with (step, theta, buffers) after each step; the arrays are the run's own memory."""


class _Stop(Callback):
    """Ends the run after a step that is the last of its (cut) epoch."""

    def __init__(self, upto: int) -> None:
        self.upto = upto

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        """Stop where the steps that were asked for are done."""
        if run.step >= self.upto:
            run.stop()


class _Watch(Callback):
    """Looks after every step; of L-BFGS, after every iteration."""

    every = 1

    def __init__(self, look: Look) -> None:
        self.look = look

    def on_step_end(self, run: TrainingRun) -> None:
        self.look(run.step, run.state.theta, run.state.buffers)


class _WatchIterations(Callback):
    def __init__(self, look: Look) -> None:
        self.look = look

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        self.look(run.step, run.state.theta, run.state.buffers)


class _Gradient(Callback):
    """Keeps the gradient of the one step that there is."""

    every = 1
    found: Array

    def on_gradient(self, run: TrainingRun, gradient: Array) -> None:
        self.found = gradient.copy()


def replay(course: Course, start: Snapshot, upto: int, *watchers: Callback) -> Snapshot:
    """Do the steps after a snapshot again, up to and with step `upto`; return where that leads.

    It is the loop that trained, on the same engine, with whole runs of steps where the engine does those;
    callbacks, metrics, validation and time limit, which change no step, are left out.
    """
    if upto == start.step:
        return start
    orders = course.orders if course.takes_all else partial(_cut, course, start.step, upto)
    options = replace(
        course.options,
        callbacks=(*watchers, _Stop(upto)),
        metrics=(),
        time_limit=None,
        schedule=course.schedule(),
    )
    run = TrainingRun(
        model=course.model,
        state=State(course.model, start.theta.copy(), start.buffers.copy()),
        engine=course.engine,
        targets=course.targets,
        options=options,
        batches=example_batches(course.examples, orders),
        seed=course.seed,
        examples=course.examples,
        orders=orders,
        fetch=partial(example_batch, course.examples),
        n_examples=len(course.examples),
        steps_per_epoch=course.steps_per_epoch,
        begin=Position(start, epoch=0 if course.takes_all else course.epoch_of(start.step + 1) - 1),
        epochs_before=course.epochs_before,
        steps_before=course.steps_before,
    )
    run.run()
    return Snapshot(run.step, run.state.theta, run.state.buffers, saved_slots(run.slots))


def _cut(course: Course, after: int, upto: int, epoch: int) -> Iterator[Part]:
    return course.cut(epoch, after, upto)


def walk(course: Course, start: Snapshot, upto: int, look: Look) -> Snapshot:
    """Do the steps after a snapshot again and look after each of them; return where that leads."""
    watch: Callback = _WatchIterations(look) if course.takes_all else _Watch(look)
    return replay(course, start, upto, watch)


def gradient_of(course: Course, before: Snapshot) -> Array:
    """Return ∂C/∂theta of the step after a snapshot as the loop had it: penalty included, before clipping."""
    if course.takes_all:
        return _whole_gradient(course, before)
    watch = _Gradient()
    replay(course, before, before.step + 1, watch)
    return watch.found


def _whole_gradient(course: Course, before: Snapshot) -> Array:
    state = State(course.model, before.theta.copy(), before.buffers.copy())
    X, y, weights = course.examples.take(course.batch(before.step + 1))
    gradient = course.engine.gradient(course.model, state, X, y, weights, None).gradient
    penalty = course.options.penalty
    if penalty.active:
        divisor = penalty.divisor(examples=len(y), batch=len(y))
        penalty.add_gradient(gradient, state.theta, course.options.decay, divisor=divisor)
    return gradient
