"""What tells the data of a run from others: sums of the numbers as the network reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DataError
from clearprop.training.data import Examples

__all__ = ["check_data", "check_validation", "digest", "fingerprint", "other_validation"]

_CHUNK = 1 << 12


def fingerprint(examples: Examples) -> dict[str, Any]:
    """Return what tells these examples from others: their number, their features, and SHA-256 sums.

    Of the numbers as the network reads them: after its preprocessing, in its dtype, targets encoded.
    """
    rows = hashlib.sha256()
    for start in range(0, len(examples), _CHUNK):
        X, _, _ = examples.take(np.arange(start, min(start + _CHUNK, len(examples))))
        rows.update(np.ascontiguousarray(X).data)
    return {
        "examples": len(examples),
        "features": int(examples.X.shape[1]),
        "X": rows.hexdigest(),
        "y": digest(examples.y),
        "weights": None if examples.weights is None else digest(examples.weights),
    }


def digest(values: Array) -> str:
    """Return the SHA-256 of an array's numbers."""
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def check_data(then: Mapping[str, Any], now: Mapping[str, Any], path: str) -> None:
    """Raise `DataError` naming the first thing in which these data are not those of the run."""
    if now["examples"] != then["examples"]:
        raise DataError(
            f"these are not the data of {path}: it trained on {then['examples']} examples, these are "
            f"{now['examples']} for training. Give X and y as fit was given them, and the same "
            "validation_fraction."
        )
    if (now["weights"] is None) != (then["weights"] is None):
        had = "no weights" if then["weights"] is None else "weights"
        raise DataError(
            f"these are not the data of {path}: its examples had {had}. Give sample_weight and "
            "class_weight as fit was given them."
        )
    names = {"features": "X", "X": "X", "y": "y", "weights": "the weights"}
    for key, name in names.items():
        if now[key] != then[key]:
            raise DataError(
                f"these are not the data of {path}: {name} {'differ' if key == 'weights' else 'differs'} "
                "from what it trained on (SHA-256 of the numbers as the network reads them). Give the same, "
                "in the same order."
            )


def check_validation(then: Mapping[str, Any] | None, now: Mapping[str, Any], path: str, given: bool) -> None:
    """Raise `DataError` where these validation data are not those of the run."""
    X, y = ("X_val", "y_val") if given else ("X of the validation share", "y of the validation share")
    if then is None:
        raise other_validation(
            path,
            "it had none. Leave out X_val and y_val, or validation_fraction; resume takes X_val and y_val of "
            "its own",
        )
    if now["examples"] != then["examples"]:
        had = f"it had {then['examples']} examples for it, {X} has {now['examples']}"
        raise other_validation(path, f"{had}. Give the same as to fit")
    for key, name in (("features", X), ("X", X), ("y", y)):
        if now[key] != then[key]:
            raise other_validation(
                path,
                f"{name} differs from what it measured (SHA-256 of the numbers as the network reads them). "
                "Give the same, in the same order",
            )


def other_validation(path: str, why: str) -> DataError:
    """Return the error that says that validation data are not those of the run."""
    return DataError(f"these are not the validation data of {path}: {why}.")
