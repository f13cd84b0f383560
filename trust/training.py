"""The trainings that are killed and resumed: of many kinds, and each the same however often it is begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import clearprop as cp
from clearprop.optimizers import optimizers

__all__ = ["Training", "training"]

EVERY_STEPS = 10


class Training(NamedTuple):
    """A network, drawn from a seed, and how it is trained."""

    seed: int
    engine: str
    optimizer: str
    dtype: str
    options: dict[str, Any]
    hidden: tuple[Any, ...]
    patience: int

    def run(self, final: Path, folder: Path | None) -> None:
        """Train, with checkpoints in a folder (None: none) to go on from; save the network to `final`."""
        X, y = cp.datasets.moons(300, noise=0.2, seed=self.seed)
        layers = [cp.Dense(12, "tanh"), *self.hidden, cp.Dense(8, "relu"), cp.Dense(2, "softmax")]
        net = cp.Network(layers, n_in=2, seed=self.seed, dtype=self.dtype, engine=self.engine)
        kept: dict[str, Any] = (
            {} if folder is None else {"checkpoint": cp.Checkpoint(folder, every_steps=EVERY_STEPS)}
        )
        net.fit(
            X,
            y,
            optimizer=self.optimizer,
            validation_fraction=0.2,
            early_stopping=cp.EarlyStopping(patience=self.patience),
            resume=folder is not None,
            **kept,
            **self.options,
        )
        net.save(final, overwrite=True)


def training(seed: int) -> Training:
    """Return the training of this seed: of some optimiser, schedule and precision, noisy or normalised."""
    rng = np.random.default_rng(seed)

    def one_of(*things: Any) -> Any:
        return things[int(rng.integers(len(things)))]

    name = one_of(*optimizers)
    whole = optimizers[name].full_batch
    options = {
        "epochs": int(rng.integers(20, 40)),
        "l2": one_of(0.0, 1e-3),
        "metrics": one_of((), ("balanced_accuracy",)),
        "class_weight": one_of(None, "balanced", {0: 1.0, 1: 3.0}),
    }
    if not whole:
        schedule = one_of(None, "cosine", "one_cycle", "on_plateau")
        options |= {"batch_size": 16, "schedule": schedule, "clip_norm": one_of(None, 1.0)}
    noisy: tuple[Any, ...] = one_of(
        (), (cp.Dropout(0.3),), (cp.BatchNorm(),), (cp.BatchNorm(), cp.Dropout(0.2))
    )
    return Training(
        seed,
        one_of("native", "batch"),
        name,
        one_of("float32", "float64"),
        options,
        () if whole else noisy,
        one_of(2, 1000, 1000),
    )
