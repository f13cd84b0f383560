"""Optimisers: SGD, momentum, Nesterov, RMSprop, Adam, AdamW, SGDW and L-BFGS."""

from __future__ import annotations

from clearprop.optimizers.adaptive import Adam, AdamW, RMSprop
from clearprop.optimizers.base import SCRATCH, Minimum, Optimizer, State, optimizers, saved_slots
from clearprop.optimizers.gradient_descent import SGD, SGDW, Momentum, Nesterov
from clearprop.optimizers.lbfgs import LBFGS

__all__ = [
    "LBFGS",
    "SCRATCH",
    "SGD",
    "SGDW",
    "Adam",
    "AdamW",
    "Minimum",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSprop",
    "State",
    "optimizers",
    "saved_slots",
]
