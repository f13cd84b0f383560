"""Schedules: how the learning rate changes during training.

A schedule is a frozen description whose `rate` is a pure function of the place in training. What
`OnPlateau` must remember stands in a dict of plain data that the loop keeps and a checkpoint saves:

    state = schedule.start()
    every step:   eta = schedule.rate(optimizer.eta, step=…, epoch=…, …, state=state)
    every epoch:  state = schedule.observe(state, value)       # the value that is monitored

Steps and epochs count from 1. Every rate is a factor times the optimiser's eta, so the options
(`factor`, `initial`, `final`, `minimum`) are fractions of eta, never rates.
"""

from __future__ import annotations

from clearprop.schedules.base import Place, Schedule, ScheduleState, schedules
from clearprop.schedules.on_plateau import OnPlateau
from clearprop.schedules.over_time import (
    Constant,
    Cosine,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    StepDecay,
    Warmup,
)

__all__ = [
    "Constant",
    "Cosine",
    "ExponentialDecay",
    "InverseScaling",
    "OnPlateau",
    "OneCycle",
    "Place",
    "Schedule",
    "ScheduleState",
    "StepDecay",
    "Warmup",
    "schedules",
]
