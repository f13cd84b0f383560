"""What a classifier's loss means for its classes: cost, output activation, order of the outputs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.costs import BinaryCrossEntropy, BinaryFocal, Cost, CrossEntropy, Focal
from clearprop.errors import OptionError
from clearprop.sklearn.building import cost_named

__all__ = ["LOSSES", "class_cost", "class_order", "class_output", "gives_probabilities", "gives_scores"]

LOSSES = {"log_loss": "cross_entropy"}
"""scikit-learn's names of losses of classes, and ours."""
_BY_LABEL: dict[type[Cost], type[Cost]] = {CrossEntropy: BinaryCrossEntropy, Focal: BinaryFocal}
"""Costs of one class of several, and what they are where each output is a yes or no."""
_PROBABILITIES = ("identity", "sigmoid", "softmax")
"""Output activations that costs ask for which can compare probabilities; "identity" is any numbers."""


def class_cost(estimator: Any) -> Cost:
    """Return the cost of a classifier, with its labels smoothed.

    Errors: `OptionError` for label smoothing of a loss that has none.
    """
    cost = cost_named(estimator.loss, LOSSES)
    if not _is_multiclass(estimator) and type(cost) in _BY_LABEL:
        options = {f.name: getattr(cost, f.name) for f in fields(cost)}  # type: ignore[arg-type]
        cost = _BY_LABEL[type(cost)](**options)
    smoothing = float(estimator.label_smoothing)
    if not smoothing:
        return cost
    if not isinstance(cost, CrossEntropy | BinaryCrossEntropy):
        raise OptionError(
            f"label_smoothing={smoothing} goes with loss='log_loss'. Got loss={estimator.loss!r}."
        )
    return replace(cost, label_smoothing=smoothing)


def class_output(estimator: Any) -> str:
    """Return the output activation of a classifier, by scikit-learn's name where it has one.

    That is what the cost asks for; of a cost of any numbers, probabilities, as classes have them.
    """
    cost, several = class_cost(estimator), _is_multiclass(estimator)
    if estimator.ordinal:
        return "ordinal" if several else "logistic"
    own = _own_output(cost)
    if own is not None:
        return own
    return "softmax" if several and cost.outputs != "probability" else "logistic"


def class_order(estimator: Any) -> Array | None:
    """Return the index in `classes_` of the class of each output, None where that is its own place.

    Errors: `OptionError` for `ordinal` and `categories` that do not fit each other, the loss or the classes.
    """
    if not estimator.ordinal:
        if estimator.categories is not None:
            raise OptionError("categories are the order of classes: give ordinal=True, or leave them out.")
        return None
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        raise OptionError("ordinal=True is for classes that exclude one another. Got rows of several labels.")
    if class_cost(estimator).outputs != ("distribution" if _is_multiclass(estimator) else "probability"):
        raise OptionError(
            f"ordinal=True needs a loss of one class of several, such as 'log_loss'. Got {estimator.loss!r}."
        )
    known = estimator.classes_.tolist()
    order = _given_order(estimator.categories, known)
    return np.array(order) if _is_multiclass(estimator) else None


def _given_order(categories: Any, known: list[Any]) -> list[int]:
    if categories is None:
        if any(isinstance(label, str) for label in known):
            raise OptionError(
                f"ordinal=True needs the order of classes that are text, such as {known[0]!r}. Give "
                "categories=[…], from the lowest to the highest."
            )
        return list(range(len(known)))
    given = np.asarray(categories).tolist()
    wrong = [label for label in known if given.count(label) != 1]
    if wrong:
        raise OptionError(f"categories must list every class once. Got {given}; y has class {wrong[0]!r}.")
    return [known.index(label) for label in given if label in known]


def _is_multiclass(estimator: Any) -> bool:
    return bool(estimator._label_binarizer.y_type_ == "multiclass")


def gives_probabilities(estimator: Any) -> bool:
    """Return True if outputs are probabilities. Errors: `AttributeError` for a loss of scores."""
    if _scores(estimator):
        raise AttributeError(
            f"loss={estimator.loss!r} gives scores, not probabilities: use decision_function."
        )
    return True


def gives_scores(estimator: Any) -> bool:
    """Return True if outputs are scores. Errors: `AttributeError` where they are probabilities."""
    if not _scores(estimator):
        raise AttributeError(f"loss={estimator.loss!r} gives probabilities: use predict_proba.")
    return True


def _scores(estimator: Any) -> bool:
    return _own_output(cost_named(estimator.loss, LOSSES)) is not None


def _own_output(cost: Cost) -> str | None:
    """Return the output activation of a cost whose outputs are no probabilities, None for others."""
    own = cost.default_output_activation
    return own if cost.targets == "sign" or own not in _PROBABILITIES else None
