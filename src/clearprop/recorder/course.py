"""What a training run was, its numbers aside: everything that its steps are a function of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import Engine
from clearprop.errors import OptionError
from clearprop.model import Model
from clearprop.schedules import Schedule
from clearprop.schedules.base import NO_STATE, ScheduleState
from clearprop.training.batches import Orders, Part, Rest, example_orders, steps_of
from clearprop.training.data import Examples
from clearprop.training.options import FitOptions
from clearprop.training.targets import Targets

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["AsItWas", "Course", "OwnOrder"]


class OwnOrder:
    """An order that the user gave, written down as the run took it: an iterable may give it but once."""

    def __init__(self, orders: Orders, first_epoch: int = 1) -> None:
        self.first_epoch = first_epoch
        self.epochs: list[list[Part]] = []
        self._orders = orders

    def __call__(self, epoch: int) -> Iterator[Part]:
        """Yield the parts of an epoch, and write them down."""
        taken: list[Part] = []
        self.epochs.append(taken)
        for indices, size in self._orders(epoch):
            taken.append((indices.copy(), size))
            yield indices, size

    def again(self, epoch: int) -> Iterator[Part]:
        """Yield what an epoch took. Errors: `OptionError` behind the last one that is known."""
        place = epoch - self.first_epoch
        if place >= len(self.epochs):
            known = self.first_epoch + len(self.epochs) - 1
            raise OptionError(
                f"the order of epoch {epoch} is not known: the run was given an order of its own, and it was "
                f"used to epoch {known}. Give epochs={known}."
            )
        yield from self.epochs[place]


@dataclass(frozen=True)
class AsItWas(Schedule):
    """A schedule that watches the training, with the states that it had in the epochs of a run."""

    name: ClassVar[str] = "as_it_was"
    schedule: Schedule
    state_of: Callable[[int], ScheduleState]

    def rate(
        self,
        eta: float,
        *,
        step: int,
        epoch: int,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        state: ScheduleState = NO_STATE,
    ) -> float:
        """Return the rate of a step as the run had it."""
        return self.schedule.rate(
            eta,
            step=step,
            epoch=epoch,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            state=self.state_of(epoch),
        )


@dataclass(frozen=True)
class Course:
    """A training run without its numbers: the network's description, the data, the options, the positions.

    Steps count from 1 within the run; so do epochs. A run that another was resumed as begins further on.
    """

    network: Network
    """A network of the run's kind; its own numbers mean nothing here."""
    model: Model
    engine: Engine
    targets: Targets
    options: FitOptions
    examples: Examples
    validation: Examples | None
    seed: int
    epochs_before: int
    steps_before: int
    steps_per_epoch: int | None
    first_epoch: int
    """The epoch in which the run began."""
    skip: int
    """How many examples of that epoch's order came before it began."""
    starts: Sequence[int]
    """How many steps had been done when each epoch began, from the first."""
    own_order: OwnOrder | None
    states: Sequence[tuple[int, Mapping[str, Any]]]
    """From which epoch on the schedule was in which state, where it watches the training."""
    callbacks: tuple[str, ...]
    """The classes of the user's own callbacks that were there."""
    validation_left_out: Mapping[str, Any] | None = None
    """The fingerprint of the run's validation data, where they were not given with its file."""

    @property
    def takes_all(self) -> bool:
        """Whether a step takes all examples, and cannot be taken up in the middle of the run (L-BFGS)."""
        return self.options.optimizer.full_batch

    def epoch_of(self, step: int) -> int:
        """Return the epoch that a step belongs to."""
        if self.takes_all:
            return step
        return self.first_epoch - 1 + bisect_left(self.starts, step)

    def start_of(self, epoch: int) -> int:
        """Return how many steps had been done when an epoch began."""
        return self.starts[epoch - self.first_epoch]

    def orders(self, epoch: int) -> Iterator[Part]:
        """Yield the order of the examples in an epoch, as the run took it."""
        if self.own_order is not None:
            return self.own_order.again(epoch)
        whole = example_orders(len(self.examples), self.options, self.seed, None, self.epochs_before)
        return Rest(whole, self.first_epoch, self.skip)(epoch)

    def cut(self, epoch: int, after: int, upto: int) -> Iterator[Part]:
        """Yield of an epoch's order what the steps after `after` and up to `upto` took."""
        at = self.start_of(epoch)
        for indices, size in self.orders(epoch):
            n = steps_of((indices, size))
            begin, end = max(0, after - at), min(n, upto - at)
            if begin < end:
                yield indices[begin * size : end * size], size
            at += n

    def batch(self, step: int) -> Array:
        """Return which examples a step took, in its order."""
        if self.takes_all:
            return np.concatenate([indices for indices, _ in self.orders(1)])
        (indices, _), *_ = self.cut(self.epoch_of(step), step - 1, step)
        return indices

    def batches(self, after: int, upto: int) -> Iterator[tuple[int, Array]]:
        """Yield the number and the examples of each step after `after` and up to `upto`, in order.

        Each epoch's order is drawn once, which to ask for one `batch` after another is not.
        """
        step = after
        if self.takes_all:
            indices = self.batch(1)
            yield from ((step, indices) for step in range(after + 1, upto + 1))
            return
        for epoch in range(self.epoch_of(after + 1), self.epoch_of(upto) + 1):
            for indices, size in self.cut(epoch, after, upto):
                for begin in range(0, len(indices), size):
                    step += 1
                    yield step, indices[begin : begin + size]

    def epoch_after(self, step: int) -> int:
        """Return the epoch in which the run stood after a step; before its first, the one before."""
        if self.takes_all:
            return step
        return self.epoch_of(step) if self.starts and step > self.starts[0] else self.first_epoch - 1

    def place_after(self, step: int) -> tuple[int, int]:
        """Return the epoch that goes on after a step, and how many of its examples are behind."""
        epoch = self.epoch_after(step)
        if epoch < self.first_epoch:
            return self.first_epoch, self.skip
        taken = sum(len(indices) for indices, _ in self.cut(epoch, self.start_of(epoch), step))
        return epoch, taken + (self.skip if epoch == self.first_epoch else 0)

    def state_of(self, epoch: int) -> ScheduleState:
        """Return the state of the schedule in an epoch: that noted last before its first step."""
        known = [state for since, state in self.states if since <= epoch]
        return known[-1] if known else NO_STATE

    def schedule(self) -> Schedule | None:
        """Return the schedule as the run had it."""
        schedule = self.options.schedule
        return schedule if schedule is None or not schedule.monitors else AsItWas(schedule, self.state_of)

    def rate(self, step: int) -> float:
        """Return the rate of a step."""
        options, schedule, per_epoch = self.options, self.schedule(), self.steps_per_epoch
        if schedule is None:
            return options.optimizer.eta
        return schedule.rate(
            options.optimizer.eta,
            step=step,
            epoch=self.epoch_of(step),
            total_steps=None if per_epoch is None else per_epoch * options.epochs,
            steps_per_epoch=per_epoch,
        )
