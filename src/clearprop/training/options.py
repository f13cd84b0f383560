"""Everything about a training run that is not the network or the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clearprop.arrays import Array
from clearprop.optimizers import Optimizer
from clearprop.training.callbacks import Callback
from clearprop.training.penalties import Penalty

if TYPE_CHECKING:
    from clearprop.schedules import Schedule

__all__ = ["PLAIN_OPTIONS", "FitOptions", "options_as_data"]

PLAIN_OPTIONS = ("epochs", "batch_size", "max_norm", "clip_norm", "clip_value", "shuffle", "drop_last")
"""The fields of `FitOptions` that are numbers or flags and change what a step computes."""


@dataclass(frozen=True)
class FitOptions:
    """Everything about a run that is not the network or the data."""

    optimizer: Optimizer
    epochs: int = 10
    batch_size: int = 32
    schedule: Schedule | None = None
    penalty: Penalty = field(default_factory=Penalty)
    max_norm: float | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    shuffle: bool = True
    drop_last: bool = False
    time_limit: float | None = None
    metrics: Sequence[Any] = ()
    callbacks: Sequence[Callback] = ()
    scale: Array | None = None
    """Factor on the rate of every parameter (0: frozen), or None."""
    decay: Array | None = None
    """Factor on the penalty and decay of every parameter."""
    mean_over_weights: bool = False
    """Whether the weights of each batch are scaled to mean 1 over that batch, Σ w C / Σ w (scikit-learn,
    PyTorch), and not over the data set; a penalty that the batch divides is then divided by Σ w."""
    penalty_as_seen: bool = False
    """Whether a row's penalty is, like its cost, the mean over the epoch as each step saw it (scikit-learn's
    loss), and not that of the epoch's last parameters."""

    @cached_property
    def shapes_gradient(self) -> bool:
        """Whether the gradient of the cost is changed before the update: by a penalty, by clipping."""
        return self.penalty.active or self.clip_norm is not None or self.clip_value is not None


def options_as_data(options: FitOptions) -> dict[str, Any]:
    """Return the options that the steps are a function of as plain data; factors and callbacks left out."""
    return {
        **{name: getattr(options, name) for name in PLAIN_OPTIONS},
        "optimizer": options.optimizer.config(),
        "schedule": None if options.schedule is None else options.schedule.config(),
        "penalty": options.penalty.config(),
    }
