"""Schedules that depend on the step or the epoch alone."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any, ClassVar

from clearprop.checks import check_choice, check_number, check_whole
from clearprop.errors import OptionError
from clearprop.registry import description
from clearprop.schedules.base import Place, Schedule, ScheduleState, schedules

__all__ = ["Constant", "Cosine", "ExponentialDecay", "InverseScaling", "OneCycle", "StepDecay", "Warmup"]


@schedules.register()
@description
class Constant(Schedule):
    """The same rate throughout: eta.

    >>> Constant().rate(0.1, step=1000, epoch=5)
    0.1
    """

    name: ClassVar[str] = "constant"
    formula: ClassVar[str] = "eta"

    def multiplier(self, at: Place) -> float:
        """Return the factor on eta at this place."""
        return 1.0


@schedules.register("step")
@description
class StepDecay(Schedule):
    """Multiply the rate by `factor` after every `every` epochs.

        eta · factor^floor((epoch - 1) / every)

    >>> [round(StepDecay(every=2, factor=0.5).rate(0.8, step=1, epoch=e), 6) for e in (1, 2, 3, 4, 5)]
    [0.8, 0.8, 0.4, 0.4, 0.2]
    """

    name: ClassVar[str] = "step_decay"
    formula: ClassVar[str] = "eta * factor^floor((epoch - 1) / every)"
    every: int = 10
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_whole(self, "every", at_least=1)
        check_number(self, "factor", above=0)

    def multiplier(self, at: Place) -> float:
        """Return the factor on eta at this place."""
        return self.factor ** ((at.epoch - 1) // self.every)


@schedules.register()
@description
class ExponentialDecay(Schedule):
    """Multiply the rate by `factor` after every epoch, or every step.

        eta · factor^(t - 1),   t the epoch (unit="epoch") or the step (unit="step")

    >>> [round(ExponentialDecay(0.5).rate(0.8, step=1, epoch=e), 6) for e in (1, 2, 3)]
    [0.8, 0.4, 0.2]
    """

    name: ClassVar[str] = "exponential"
    formula: ClassVar[str] = "eta * factor^(t - 1)"
    factor: float = 0.95
    unit: str = "epoch"

    def __post_init__(self) -> None:
        check_number(self, "factor", above=0)
        check_choice(self, "unit", ("epoch", "step"))

    def multiplier(self, at: Place) -> float:
        """Return the factor on eta at this place."""
        return self.factor ** ((at.epoch if self.unit == "epoch" else at.step) - 1)


@schedules.register("invscaling")
@description
class InverseScaling(Schedule):
    """Divide the rate by a power of time.

        eta / t^power_t

    t is the step (unit="step") or the epoch (unit="epoch"), or counts examples as scikit-learn's
    "invscaling" does, once an epoch (unit="example"): t = 1 + (epoch - 1) · examples_per_epoch.
    Source: Robbins and Monro (1951) for power_t in (0.5, 1].

    >>> [InverseScaling().rate(0.8, step=t, epoch=1) for t in (1, 4, 16)]
    [0.8, 0.4, 0.2]
    >>> round(InverseScaling(unit="example", examples_per_epoch=99).rate(0.8, step=51, epoch=2), 6)
    0.08
    """

    name: ClassVar[str] = "inverse_scaling"
    formula: ClassVar[str] = "eta / t^power_t"
    power_t: float = 0.5
    unit: str = "step"
    examples_per_epoch: int | None = None

    def __post_init__(self) -> None:
        check_number(self, "power_t", at_least=0)
        check_choice(self, "unit", ("step", "epoch", "example"))
        if self.examples_per_epoch is not None:
            check_whole(self, "examples_per_epoch", at_least=1)
        if (self.unit == "example") != (self.examples_per_epoch is not None):
            raise OptionError(
                "examples_per_epoch of InverseScaling belongs to unit='example': give both or neither. "
                f"Got unit={self.unit!r}, examples_per_epoch={self.examples_per_epoch!r}."
            )

    def multiplier(self, at: Place) -> float:
        """Return the factor on eta at this place."""
        t = at.step if self.unit == "step" else at.epoch
        if self.examples_per_epoch is not None:
            t = 1 + (at.epoch - 1) * self.examples_per_epoch
        return float(t**-self.power_t)


@schedules.register()
@description
class Cosine(Schedule):
    """Lower the rate along half a cosine from eta towards final · eta, once or with restarts.

        eta · (final + (1 - final) (1 + cos(pi t / T)) / 2)

    t: steps done since the start or the last restart. T: total_steps, or with `period` so many
    epochs, after which the rate restarts at eta and T grows by `growth`. The last step has
    t = T - 1: no step is spent at the final rate itself, which may be 0.
    Source: Loshchilov and Hutter (2017), SGDR, equation (5).

    >>> [round(Cosine().rate(0.4, step=s, epoch=1, total_steps=4), 6) for s in (1, 2, 3, 4)]
    [0.4, 0.341421, 0.2, 0.058579]
    """

    name: ClassVar[str] = "cosine"
    formula: ClassVar[str] = "eta * (final + (1 - final) * (1 + cos(pi t / T)) / 2)"
    final: float = 0.0
    period: int | None = None
    growth: int = 1

    def __post_init__(self) -> None:
        check_number(self, "final", at_least=0)
        if self.period is not None:
            check_whole(self, "period", at_least=1)
        check_whole(self, "growth", at_least=1)
        if self.growth > 1 and self.period is None:
            raise OptionError(
                f"growth={self.growth} of Cosine lengthens the period of restarts: set period too."
            )

    def multiplier(self, at: Place) -> float:
        """Return the factor on eta at this place."""
        t = at.step - 1
        if self.period is None:
            length = self._known("steps in all", at.total_steps)
            t = min(t, length)
        else:
            length = self.period * self._known("steps per epoch", at.steps_per_epoch)
            while t >= length and self.growth > 1:
                t -= length
                length *= self.growth
            t %= length
        return _cosine(1.0, self.final, t / length)


@schedules.register()
@description
class OneCycle(Schedule):
    """Raise the rate to its maximum eta, then lower it to almost nothing, in one cycle.

        from initial · eta to eta over the fraction `rise` of the steps, then to final · eta at the
        last step, each along half a cosine (shape="cosine") or a line (shape="linear")

    The defaults are PyTorch's (div_factor 25, final_div_factor 10^4); momentum is not cycled.
    Source: Smith and Topin (2018).

    >>> [round(OneCycle(0.5).rate(0.5, step=s, epoch=1, total_steps=8), 4) for s in (1, 4, 6, 8)]
    [0.02, 0.5, 0.25, 0.0]
    """

    name: ClassVar[str] = "one_cycle"
    formula: ClassVar[str] = "initial * eta -> eta -> final * eta"
    rise: float = 0.3
    initial: float = 0.04
    final: float = 4e-6
    shape: str = "cosine"

    def __post_init__(self) -> None:
        check_number(self, "rise", at_least=0, at_most=1)
        check_number(self, "initial", at_least=0)
        check_number(self, "final", at_least=0)
        check_choice(self, "shape", ("cosine", "linear"))

    def multiplier(self, at: Place) -> float:
        """Return the factor on eta at this place."""
        total = self._known("steps in all", at.total_steps)
        between = _cosine if self.shape == "cosine" else _linear
        t, peak, last = at.step - 1, self.rise * total - 1, total - 1
        if t < peak:
            return between(self.initial, 1.0, t / peak)
        # Where the rise is shorter than a step, training starts at the maximum.
        peak = max(peak, 0.0)
        return between(1.0, self.final, min((t - peak) / (last - peak), 1.0) if last > peak else 0.0)


@schedules.register()
@description
class Warmup(Schedule):
    """Raise the rate linearly over the first `steps` steps, then follow another schedule.

        r_1 · step / steps        for step <= steps, r_1 the first rate of `then`
        then(step - steps, …)     afterwards

    `then` sees steps and total_steps without the warm-up; epochs stay those of the training, so
    StepDecay(10) still decays after epoch 10. `then` may be a name or a config.
    Source: Goyal et al. (2017), section 2.2.

    >>> warmup = Warmup(4, then=Cosine())
    >>> [round(warmup.rate(0.4, step=s, epoch=1, total_steps=8), 6) for s in (1, 2, 4, 5, 7)]
    [0.1, 0.2, 0.4, 0.4, 0.2]
    """

    name: ClassVar[str] = "warmup"
    formula: ClassVar[str] = "eta * step / steps, then another schedule"
    steps: int = 100
    then: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        check_whole(self, "steps", at_least=1)
        object.__setattr__(self, "then", schedules.make(self.then))

    @property
    def monitors(self) -> bool:
        """Whether the schedule that follows monitors."""
        return self.then.monitors

    @property
    def maximizes(self) -> bool:
        """Whether the schedule that follows takes a greater value for better."""
        return self.then.maximizes

    def start(self) -> dict[str, Any]:
        """Return the state of the schedule that follows."""
        return self.then.start()

    def observe(self, state: ScheduleState, value: float) -> dict[str, Any]:
        """Return the next state of the schedule that follows."""
        return self.then.observe(state, value)

    def multiplier(self, at: Place) -> float:
        """Return the factor on eta at this place."""
        later = at._replace(
            step=max(at.step - self.steps, 1),
            total_steps=None if at.total_steps is None else max(at.total_steps - self.steps, 1),
        )
        return self.then.multiplier(later) * min(at.step / self.steps, 1.0)


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def _linear(start: float, end: float, fraction: float) -> float:
    return start + (end - start) * fraction
