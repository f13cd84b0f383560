"""Training the members of a table model, with defaults that suit the number of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.datasets import split_indices
from clearprop.layers import Dense, Dropout, Layer
from clearprop.many import fit_many
from clearprop.network import Network
from clearprop.optimizers import AdamW
from clearprop.specification import check_dtype
from clearprop.tabular.model import soften
from clearprop.training.callbacks import EarlyStopping
from clearprop.training.history import History
from clearprop.training.scaling import TargetScale

if TYPE_CHECKING:
    from clearprop.training.history import Row
    from clearprop.training.loop import TrainingRun

__all__ = [
    "MostAccurate",
    "Recipe",
    "Trained",
    "best_temperature",
    "fitting_dtype",
    "suited",
    "train_members",
]

_FEWEST_TO_HOLD_OUT = 50
_MOST_HELD_OUT = 3000
_LARGE, _FEW = 50_000, 2000
_STEPS = 2300  # about how many a network gets, on fewer than 50 000 rows
_EPOCHS_OF_LARGE = 40
_GOLDEN = (5**0.5 - 1) / 2
_COLDEST, _HOTTEST = 0.1, 10.0


@dataclass(frozen=True)
class Recipe:
    """How the members are made and trained; None: what suits the number of rows, filled in by `suited`."""

    members: int | None = None
    hidden: tuple[int, ...] | None = None
    activation: Any = "gelu"
    dropout: float | None = None
    eta: float | None = None
    weight_decay: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    patience: int = 15
    bins: int | None = None
    waves: int | None = None


def suited(recipe: Recipe, n: int) -> Recipe:
    """Return the recipe with what was left open chosen for n training rows.

    >>> suited(Recipe(), 20_000).hidden
    (256, 256)
    """
    large, few = n > _LARGE, n < _FEW
    batch = recipe.batch_size or (256 if n >= 10_000 else 128 if n >= 3000 else 32)
    epochs = _EPOCHS_OF_LARGE if large else min(max(_STEPS * batch // n, 15), 100)
    chosen: dict[str, Any] = {
        "members": 8 if few else 4,
        "hidden": (512, 256, 256) if large else (64, 64) if few else (256, 256),
        "dropout": 0.0 if large else 0.1,
        "eta": 4e-3 if large else 1e-3,
        "weight_decay": 0.2 if large else 0.01,
        "batch_size": batch,
        "epochs": epochs,
        "bins": 32 if large else 64,
        "waves": 6 if large else 0,
    }
    left_open = {name: value for name, value in chosen.items() if getattr(recipe, name) is None}
    return dataclasses.replace(recipe, **left_open)


@dataclass(frozen=True, eq=False)
class Trained:
    """Networks after training, and the rows that were held out."""

    networks: tuple[Network, ...]
    histories: tuple[History, ...]
    held_out: Array
    """Indices of the rows that early stopping watched, and the temperature was fitted on; may be none."""


def hold_out(y: Array, fraction: float, seed: int, classes: bool) -> tuple[Array, Array]:
    """Return the rows to train on and those to watch: none of fewer than 50, at most 3000."""
    everyone = np.arange(len(y))
    if fraction == 0 or len(y) < _FEWEST_TO_HOLD_OUT:
        return everyone, everyone[:0]
    share = min(fraction, _MOST_HELD_OUT / len(y))
    if classes and len(np.unique(y)) * 2 > len(y) * share:
        classes = False  # too many classes for one of each on both sides
    train, held = split_indices(y, share, seed, stratify=classes)
    return np.sort(train), np.sort(held)


def layers_of(recipe: Recipe, n_out: int, output: str) -> list[Layer]:
    """Return the layers of a member: hidden ones, each followed by dropout if there is any, and the last."""
    found: list[Layer] = []
    for size in recipe.hidden or ():
        found.append(Dense(size, recipe.activation))
        if recipe.dropout:
            found.append(Dropout(recipe.dropout))
    return [*found, Dense(n_out, output)]


def train_members(
    inputs: Array,
    y: Array,
    recipe: Recipe,
    *,
    classes: Sequence[Any] | None,
    rows: tuple[Array, Array],
    seed: int,
    dtype: str,
    engine: str,
    options: dict[str, Any],
) -> Trained:
    """Train all members in one call; each has its own initial weights and order of rows.

    inputs: encoded rows; y: their labels or numbers (n,) or (n, k); rows: those to train on and to watch, as
    `hold_out` gives them; options: further ones of `clearprop.fit_many`. Numbers are learned at mean 0 and
    deviation 1; the last layer then gives them in their own unit.
    """
    train, held = rows
    scale = TargetScale.of(y[train]) if classes is None else None
    n_out = len(classes) if classes is not None else y.reshape(len(y), -1).shape[1]
    members = recipe.members or 1
    networks = [
        Network(
            layers_of(recipe, n_out, "identity" if classes is None else "softmax"),
            "mean_squared_error" if classes is None else "cross_entropy",
            n_in=inputs.shape[1],
            seed=_seed_of(seed, member),
            dtype=dtype,
            engine=engine,
            task="regression" if classes is None else "classification",
            classes=None if classes is None else list(classes),
        )
        for member in range(members)
    ]
    histories = fit_many(
        networks,
        inputs,
        y if scale is None else scale(y),
        rows=[train] * members,
        validation_rows=[held] * members if len(held) else None,
        optimizer=AdamW(recipe.eta or 1e-3, weight_decay=recipe.weight_decay or 0.0),
        schedule="one_cycle",
        epochs=recipe.epochs or 1,
        batch_size=recipe.batch_size or 32,
        early_stopping=_stopper(recipe, classes is not None, len(held)) if len(held) else False,
        **options,
    )
    if scale is not None:
        for network in networks:
            scale.undo(network)
    return Trained(tuple(networks), tuple(histories), held)


def fitting_dtype(y: Array, dtype: Any, classes: bool) -> str:
    """Return the dtype that networks for targets y need: `dtype`, or float64 for numbers beyond it."""
    wanted = check_dtype(dtype).name
    return wanted if classes else TargetScale.of(y).dtype(wanted)


class MostAccurate(EarlyStopping):
    """Keep the epoch of the best accuracy on the held-out rows; between equals the one of the lowest cost.

    Classes are told apart ever better long after their cost has begun to rise, and what the cost says then,
    how sure the network is, the temperature mends.
    """

    changes_parameters = False

    def __init__(self, patience: int, n_held: int) -> None:
        super().__init__("val_accuracy", patience=patience, greater_is_better=True)
        self._least = 1 / (n_held + 1)  # less than one row more or less makes

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        """Compare with the best so far."""
        if "val_cost" in row:  # an epoch that was cut short has none
            share = row["val_cost"] / (1 + row["val_cost"])
            row = {**row, "val_accuracy": row["val_accuracy"] - self._least * share}
        super().on_epoch_end(run, row)


def _stopper(recipe: Recipe, classes: bool, n_held: int) -> EarlyStopping:
    """Return what keeps the best epoch."""
    return MostAccurate(recipe.patience, n_held) if classes else EarlyStopping(patience=recipe.patience)


def _seed_of(seed: int, member: int) -> int:
    return (seed * 1_000_003 + member) % (1 << 63)


def best_temperature(p: Array, indices: Array) -> float:
    """Return the temperature at which probabilities p (n, classes) cost the least on these true classes.

    The cost is the mean of -log p of the true class; it has one minimum in 1/T, found by golden section on
    log T between 0.1 and 10.

    >>> p = np.array([[0.9, 0.1]] * 10)
    >>> round(best_temperature(p, np.array([0] * 7 + [1] * 3)), 2)  # sure in nine of ten, right in seven
    2.59
    """

    def cost(log_t: float) -> float:
        q = soften(p.astype(np.float64), float(np.exp(log_t)))
        return float(-np.log(np.maximum(q[np.arange(len(q)), indices], 1e-300)).mean())

    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    for _ in range(40):
        a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, b) if cost(a) <= cost(b) else (a, high)
    return float(f"{np.exp((low + high) / 2):.6g}")
