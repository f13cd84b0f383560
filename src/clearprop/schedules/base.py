"""What a schedule is: a frozen description whose `rate` is a pure function of the place in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from clearprop.errors import OptionError
from clearprop.registry import Described, Registry

__all__ = ["Place", "Schedule", "ScheduleState", "schedules"]

ScheduleState = Mapping[str, Any]
NO_STATE: ScheduleState = {}

schedules: Registry[Schedule] = Registry("schedule")


class Place(NamedTuple):
    """Where training stands.

    step: over the whole training, from 1. epoch: from 1. total_steps, steps_per_epoch: None where
    unknown, as for an iterable of batches. state: from `Schedule.start` or `Schedule.observe`.
    """

    step: int
    epoch: int
    total_steps: int | None = None
    steps_per_epoch: int | None = None
    state: ScheduleState = NO_STATE


class Schedule(Described):
    """The rate of a step = eta of the optimiser · multiplier(place in training).

    To make your own: subclass as a frozen dataclass and write `multiplier`; an instance is
    accepted wherever a name is.
    """

    kind: ClassVar[str] = "schedule"
    formula: ClassVar[str] = ""
    """The rate in one line."""

    @property
    def monitors(self) -> bool:
        """Whether `observe` must be given a value after each epoch."""
        return False

    @property
    def maximizes(self) -> bool:
        """Whether the value that `observe` is given counts as better when it is greater."""
        return False

    def start(self) -> dict[str, Any]:
        """Return the state before the first epoch, plain data; empty unless the schedule monitors."""
        return {}

    def observe(self, state: ScheduleState, value: float) -> dict[str, Any]:
        """Return the state after an epoch whose monitored value (cost or metric) is `value`.

        A true entry "exhausted" ends training: the rate cannot be lowered any more.
        """
        return dict(state)

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
        """Return eta · multiplier; the arguments are the fields of `Place`.

        Errors: `OptionError` when the schedule needs a number that is None.
        """
        return eta * self.multiplier(Place(step, epoch, total_steps, steps_per_epoch, state))

    def multiplier(self, at: Place) -> float:
        """Return the factor on eta at this place."""
        raise NotImplementedError

    def _known(self, what: str, number: int | None) -> int:
        if number is None:
            raise OptionError(
                f"schedule {self.name!r} needs to know the number of {what}; these data have no "
                "known length. Choose a schedule such as 'inverse_scaling' or 'on_plateau'."
            )
        return number
