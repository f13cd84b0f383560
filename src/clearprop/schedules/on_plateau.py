"""Lower the rate when the monitored value has stopped improving."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from clearprop.checks import check_choice, check_flag, check_number, check_whole
from clearprop.errors import OptionError
from clearprop.registry import description
from clearprop.schedules.base import Place, Schedule, ScheduleState, schedules

__all__ = ["OnPlateau"]


@schedules.register("plateau")
@description
class OnPlateau(Schedule):
    """Multiply the rate by `factor` when the monitored value has stopped improving.

    Reduced after more than `patience` epochs in a row without improvement; the count then starts
    again, after `cooldown` epochs that do not count. What an improvement is, for a cost (for a
    metric with greater_is_better=True the signs turn round; `fit` monitors the cost, so that one
    is for loops of your own):

        "torch":    value < best - min_delta; best is the last value that improved so
                    (relative=True: value < best (1 - min_delta), PyTorch's default)
        "sklearn":  value <= best - min_delta; best is the smallest value of all, so creeping by
                    less than min_delta an epoch never counts

    "torch": the rate never falls below minimum · eta, and training goes on at that. "sklearn": once
    it is there or below it is not reduced again; the next plateau sets ``state["exhausted"]``, and
    `fit` stops ("rate exhausted"). So scikit-learn's learning_rate="adaptive" is
    OnPlateau(0.2, patience=n_iter_no_change, min_delta=tol, convention="sklearn", minimum=1e-6/eta).
    A NaN counts as no improvement.

    >>> schedule = OnPlateau(factor=0.5, patience=1)
    >>> state = schedule.start()
    >>> for cost in (1.0, 0.8, 0.9, 0.8):
    ...     state = schedule.observe(state, cost)
    ...     print(cost, schedule.rate(0.1, step=1, epoch=1, state=state))
    1.0 0.1
    0.8 0.1
    0.9 0.1
    0.8 0.05
    """

    name: ClassVar[str] = "on_plateau"
    formula: ClassVar[str] = "eta * factor^(number of plateaus)"
    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    relative: bool = False
    greater_is_better: bool = False
    cooldown: int = 0
    minimum: float = 0.0
    convention: str = "torch"

    def __post_init__(self) -> None:
        check_number(self, "factor", above=0, below=1)
        check_whole(self, "patience", at_least=0)
        check_number(self, "min_delta", at_least=0)
        check_flag(self, "relative")
        check_flag(self, "greater_is_better")
        check_whole(self, "cooldown", at_least=0)
        check_number(self, "minimum", at_least=0, at_most=1)
        check_choice(self, "convention", ("torch", "sklearn"))
        if self.relative and self.convention == "sklearn":
            raise OptionError("relative=True of OnPlateau is PyTorch's: it needs convention='torch'.")

    @property
    def monitors(self) -> bool:
        """Always True."""
        return True

    @property
    def maximizes(self) -> bool:
        """The option `greater_is_better`."""
        return self.greater_is_better

    def start(self) -> dict[str, Any]:
        """Return {"best", "bad_epochs", "cooldown", "factor", "exhausted"} before the first epoch."""
        return {"best": None, "bad_epochs": 0, "cooldown": 0, "factor": 1.0, "exhausted": False}

    def observe(self, state: ScheduleState, value: float) -> dict[str, Any]:
        """Return the state after an epoch whose monitored value is `value`."""
        new, best, value = dict(state), state["best"], float(value)
        improved = self._improved(best, value)
        new["bad_epochs"] = 0 if improved else state["bad_epochs"] + 1
        if improved or (self.convention == "sklearn" and best is not None and self._better(best, value)):
            new["best"] = value
        if state["cooldown"]:
            new["cooldown"], new["bad_epochs"] = state["cooldown"] - 1, 0
        if new["bad_epochs"] > self.patience:
            new.update(self._reduced(state["factor"]), bad_epochs=0, cooldown=self.cooldown)
        return new

    def _better(self, best: float, value: float) -> bool:
        return value > best if self.greater_is_better else value < best

    def _improved(self, best: float | None, value: float) -> bool:
        if best is None:
            return math.isfinite(value)
        sign = 1 if self.greater_is_better else -1
        if self.convention == "sklearn":
            bar = best + sign * self.min_delta
            return value >= bar if self.greater_is_better else value <= bar
        return self._better(
            best * (1 + sign * self.min_delta) if self.relative else best + sign * self.min_delta, value
        )

    def _reduced(self, factor: float) -> dict[str, Any]:
        if self.convention == "torch":
            return {"factor": max(factor * self.factor, self.minimum)}
        return {"exhausted": True} if factor <= self.minimum else {"factor": factor * self.factor}

    def multiplier(self, at: Place) -> float:
        """Return the factor on eta at this place; without a state, that of the first epoch."""
        return float(at.state.get("factor", 1.0))
