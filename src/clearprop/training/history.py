"""What training recorded: one row per epoch, sliced by column, and rolling figures within the epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, overload

import numpy as np

from clearprop.errors import UnknownNameError, did_you_mean, one_of

__all__ = ["History"]

Row = dict[str, float]


class History:
    """The record of training: ``history["cost"]``, ``history["cost", "val_cost"]``, ``history[-1]``.

    Columns, one row per epoch: "epoch" (from 1), "step" (updates so far), "seconds" (since fit began), "eta",
    "cost" (weighted mean over the epoch's examples as they were when each was seen), "accuracy" for classes
    (the plain share: weights of examples do not enter it), the metrics asked for, "penalty" at the end of the
    epoch where there is one, and "val_cost", "val_accuracy", … for the validation data at the end of the
    epoch. Weights of examples and classes are for training: validation data have none.
    "epoch" and "step" count within this fit; ``network.epochs_trained`` and ``steps_trained`` go on.
    `rolling` holds rows within the epochs: "epoch", "step", "examples", and "cost" and "accuracy" over the
    last examples seen.

    >>> history = History()
    >>> history.append({"epoch": 1, "cost": 0.7})
    >>> history.append({"epoch": 2, "cost": 0.5})
    >>> history["cost"]
    [0.7, 0.5]
    >>> history[-1]
    {'epoch': 2, 'cost': 0.5}
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.rolling: list[Row] = []
        self.stopped: str = ""
        """Why training ended: "epochs", "early stopping", "time limit", "callback" (or its own word),
        "converged", "rate exhausted" (a plateau at the smallest rate: `OnPlateau` with convention="sklearn"),
        "interrupted" (Ctrl-C), "terminated" (SIGTERM, with
        checkpoints), or "failed" (an error, or divergence)."""
        self.engine: str = ""
        """The engine that trained, and why it was chosen."""
        self.class_weight: Any = None
        """The ``class_weight`` of the fit: its costs are weighted by it."""
        self.sample_weighted: bool = False
        """Whether the examples had weights of their own, by which the costs are weighted too."""
        self.resumed: list[int] = []
        """After how many steps the run went on from a checkpoint, each time that it did."""
        self.environment: dict[str, Any] = {}
        """What bits may depend on: versions, threads, BLAS."""

    def append(self, row: Row) -> None:
        """Add the row of one epoch."""
        self.rows.append(row)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @overload
    def __getitem__(self, key: str) -> list[float]: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> list[Row]: ...
    @overload
    def __getitem__(self, key: tuple[str, ...]) -> list[tuple[float, ...]]: ...
    def __getitem__(self, key: str | int | slice | tuple[str, ...]) -> Any:
        if isinstance(key, int | np.integer | slice):
            return self.rows[key]
        if isinstance(key, tuple):
            return list(zip(*(self[name] for name in key), strict=True))
        if not isinstance(key, str) or key not in self.columns:
            hint = did_you_mean(str(key), self.columns)
            raise UnknownNameError(
                f"the history has no column {key!r}.{hint} It has: {one_of(self.columns)}."
            )
        return [row.get(key, float("nan")) for row in self.rows]

    def to_dict(self) -> dict[str, list[float]]:
        """Return every column as a list (what ``pandas.DataFrame`` takes)."""
        return {name: self[name] for name in self.columns}

    def __repr__(self) -> str:
        last = ", ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in (self.rows or [{}])[-1].items()
        )
        return f"<History of {len(self)} epochs; last: {last}>"
