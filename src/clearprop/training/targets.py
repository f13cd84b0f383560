"""Targets: what the user gives as y, as the rows (n, n_out) that a cost compares with outputs, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clearprop.activations import ActivationFunction
from clearprop.arrays import Array, distinct
from clearprop.checks import as_choice, as_flag, as_items, as_number, as_whole
from clearprop.costs import Cost
from clearprop.errors import DataError, DTypeError, OptionError, ShapeError
from clearprop.training.labels import as_targets, check_has_order, family, filled_up, plain_values

__all__ = ["TASKS", "Targets", "check_classes"]

TASKS = ("classification", "regression")
_DTYPE = re.compile(r"[<>|=]?[A-Za-z]+[0-9]*_?")  # one type: commas would make a record
_KINDS = ("classes", "binary", "onehot", "multilabel", "real")


@dataclass(frozen=True)
class Targets:
    """How y is encoded for the cost, and outputs decoded for the user.

    kinds: "classes", labels (n,) as one-hot rows; "binary", two labels (n,) as one column; "onehot",
    one-hot rows given; "multilabel", rows of yes and no given; "real", numbers given.
    """

    kind: str
    n_out: int
    classes: tuple[Any, ...] = ()
    """The labels in sorted order, as plain Python values; () for "real" and "multilabel"."""
    low: float = 0.0
    """How "no" is written: 0, or -1 where outputs reach from -1 to 1 (hinge costs, tanh). "Yes" is 1."""
    vector: bool = True
    """Whether y was given as (n,), so predictions are too."""
    dtype: str = "float64"
    """dtype of y as it was given."""
    repeated: bool = False
    """Whether each of several outputs is compared with the one number given: quantiles of one target."""

    @classmethod
    def infer(
        cls,
        y: Any,
        cost: Cost,
        n_out: int | None,
        activation: ActivationFunction | None = None,
        task: str | None = None,
        classes: Sequence[Any] | None = None,
        where: str = "y",
    ) -> Targets:
        """Return the targets that this y means for this cost and a last layer of n_out neurons.

        y (n,) is labels if it holds text or booleans, if the cost compares classes, or if it holds whole
        numbers and there are several outputs or the cost wants probabilities; 0 and 1 as integers are labels
        for a sigmoid too. Else it is real numbers. y (n, k): one-hot rows, rows of 0 and 1, or real numbers.
        `task` overrules what was guessed; `classes` lists the labels where y does not show all of them.
        Errors: those of `as_targets`; `ShapeError` where y does not fit n_out; `DataError` for one class
            only.
        """
        given = as_targets(y, where)
        values = plain_values(given, where)
        dtype = given.dtype.str if given.dtype.kind in "SU" else given.dtype.name
        low = _low(cost, activation)
        if activation is not None and activation.ordered and classes is None and task != "regression":
            check_has_order(values, where)
        several = cost.outputs_per_target
        if several > 1 and n_out not in (None, several):
            raise ShapeError(
                f"{cost.name} has {several} quantiles; the last layer has {n_out} outputs. Make them agree."
            )
        if several > 1 and values.ndim <= 2 and values.size == len(values):
            return cls("real", several, (), 0.0, values.ndim == 1, dtype, True)
        if values.ndim == 2 and classes is None:
            return cls._of_rows(values, cost, n_out, task, dtype, low, where)
        if values.ndim != 1:
            wanted = "labels (examples,)" if classes else f"(examples,) or (examples, outputs={n_out or 'k'})"
            raise ShapeError(f"{where} has shape {values.shape}; it must be {wanted}.")
        if classes is None and not _means_labels(values, cost, n_out, activation, task):
            if n_out not in (None, 1):
                raise ShapeError(
                    f"{where} has shape {values.shape}, one real number per example; the last layer has "
                    f"{n_out} "
                    f"outputs. Give {where} as (examples, {n_out}), or labels."
                )
            return cls("real", 1, (), 0.0, True, dtype)
        labels = tuple(distinct(values).tolist()) if classes is None else tuple(classes)
        if len(labels) < 2:
            raise DataError(
                f"{where} holds one class only, {labels[0]!r}: there is nothing to learn. Give examples of "
                "two or "
                "more, or list all labels in Network(…, classes=[…])."
            )
        if n_out == 1 or (n_out is None and cost.targets in ("probability", "sign") and len(labels) == 2):
            if len(labels) > 2:
                raise ShapeError(
                    f"{where} holds {len(labels)} classes; one output can tell two apart. Give the last "
                    "layer "
                    f"{len(labels)} outputs and a softmax."
                )
            return cls("binary", 1, labels, low, True, dtype)
        if n_out is not None and len(labels) != n_out:
            labels = filled_up(labels, n_out, classes is None, where)
        return cls("classes", len(labels), labels, low, True, dtype)

    @classmethod
    def _of_rows(
        cls, y: Array, cost: Cost, n_out: int | None, task: str | None, dtype: str, low: float, where: str
    ) -> Targets:
        n, k = y.shape
        if family(y) != "numbers":
            hint = f" Give labels as (examples,): {where}.ravel()." if k == 1 else ""
            raise DTypeError(
                f"{where} has shape {y.shape} and holds {family(y)}; rows of targets must be numbers.{hint}"
            )
        if n_out is not None and k != n_out:
            raise ShapeError(
                f"{where} has shape (examples={n}, outputs={k}); the last layer has {n_out} outputs. "
                "Make the two agree."
            )
        signs = cost.targets == "sign" and bool(np.all(np.abs(y) == 1))
        yes_no = signs or bool(np.all((y == 0) | (y == 1)))
        low = -1.0 if signs else 0.0
        if task == "regression" or not yes_no or (k == 1 and cost.targets == "real" and task is None):
            return cls("real", k, (), 0.0, False, dtype)
        if k > 1 and cost.targets != "probability" and bool(np.all((y == 1).sum(axis=1) == 1)):
            return cls("onehot", k, tuple(range(k)), low, False, dtype)
        return cls("multilabel", k, (), low, False, dtype)

    @property
    def is_classification(self) -> bool:
        """Whether outputs stand for classes, so that accuracy means something."""
        return self.kind != "real"

    @property
    def task(self) -> str:
        """The task in the words of the metrics: "binary", "multiclass", "multilabel" or "regression"."""
        if self.kind in ("real", "multilabel"):
            return "regression" if self.kind == "real" else "multilabel"
        return "binary" if self.n_out <= 2 else "multiclass"

    @property
    def _middle(self) -> float:
        """What an output must exceed to mean yes."""
        return (1 + self.low) / 2

    # -- from y to rows ----------------------------------------------------------------------------

    def encode(self, y: Any, dtype: Any, where: str = "y") -> Array:
        """Return y as rows (n, n_out) of `dtype`; a network trained on labels takes one-hot rows too.

        Errors: `DataError` naming the first unknown label or a value too large for dtype; `ShapeError`.
        """
        values = as_targets(y, where)
        if self.kind == "binary":
            return np.where(self.indices(values, where) == 1, 1.0, self.low).astype(dtype)[:, None]
        if self.kind == "classes" and not (values.ndim == 2 and values.shape[1] == self.n_out):
            indices = self.indices(values, where)
            rows = np.full((len(indices), self.n_out), self.low, dtype=dtype)
            rows[np.arange(len(indices)), indices] = 1
            return rows
        values = plain_values(values, where)
        rows = values[:, None] if values.ndim == 1 else values
        if self.repeated and rows.shape[1:] == (1,):
            rows = np.repeat(rows, self.n_out, axis=1)
        if rows.ndim != 2 or rows.shape[1] != self.n_out:
            raise ShapeError(
                f"{where} has shape {values.shape}; the last layer has {self.n_out} outputs, so it must be "
                f"(examples, {self.n_out})."
            )
        if family(rows) != "numbers":
            raise DataError(f"{where} holds {family(rows)} where numbers were given in training.")
        return _as_dtype(rows, dtype, where)

    def indices(self, y: Any, where: str = "y") -> Array:
        """Return the index of each label in `classes`, (n,). Errors: `DataError` for a label that is none."""
        values = plain_values(as_targets(y, where), where)
        if values.ndim != 1:
            raise ShapeError(f"{where} has shape {values.shape}; labels must be (examples,).")
        known = np.asarray(self.classes)
        if family(known) != family(values):
            raise DataError(
                f"{where} holds {family(values)}; this network was trained on labels such as "
                f"{self.classes[0]!r}."
            )
        order = np.argsort(known, kind="stable")
        found = order[np.clip(np.searchsorted(known[order], values), 0, len(known) - 1)]
        wrong = known[found] != values
        if np.any(wrong):
            row = int(np.argmax(wrong))
            shown = ", ".join(repr(c) for c in self.classes[:10]) + (", …" if len(self.classes) > 10 else "")
            raise DataError(
                f"{where} holds the label {values[row].item()!r} in row {row}, which is none of the classes "
                f"{shown}."
            )
        return found

    def class_indices(self, encoded: Array) -> Array:
        """Return the class of each row of encoded targets, (n,); for one class per example."""
        if self.kind == "binary":
            return (encoded[:, 0] > self._middle).astype(np.intp)
        return encoded.argmax(axis=1)  # type: ignore[no-any-return]

    # -- from outputs to y -------------------------------------------------------------------------

    def decode(self, a: Array) -> Array:
        """Return what outputs a (n, n_out) mean in the form that y was given in; real numbers as they are."""
        if self.kind == "classes":
            return self._labels_of(a.argmax(1))
        if self.kind == "binary":
            return self._labels_of((a[:, 0] > self._middle).astype(np.intp))
        if self.kind == "onehot":
            chosen = np.arange(self.n_out) == a.argmax(axis=1)[:, None]
            return np.where(chosen, 1, int(self.low)).astype(self.dtype)
        if self.kind == "multilabel":
            return np.where(a > self._middle, 1, int(self.low)).astype(self.dtype)
        return a[:, 0] if self.vector and not self.repeated else a

    def _labels_of(self, indices: Array) -> Array:
        labels: Array = self._labels[indices]
        return labels

    @cached_property
    def _labels(self) -> Array:
        """The classes as an array of the dtype that predictions have, (classes,)."""
        if self.dtype == "object":
            return np.asarray(self.classes, dtype=object)
        labels = np.asarray(self.classes)
        dtype = np.dtype(self.dtype)
        if labels.dtype.kind in "SU":
            dtype = np.promote_types(labels.dtype, dtype)  # wide enough for every label
        elif not np.array_equal(labels.astype(dtype), labels):
            dtype = labels.dtype  # classes= may name labels that the dtype of y cannot hold
        return np.asarray(labels, dtype)

    @property
    def rule(self) -> tuple[str, float]:
        """How `correct` tells what is right, in words an engine knows: see ``Trainer.steps``."""
        if self.kind in ("classes", "onehot"):
            return "largest", self._middle
        return ("threshold" if self.is_classification else "none"), self._middle

    def correct(self, a: Array, y: Array) -> Array:
        """Return for each example whether outputs a mean the class that encoded y says, (n,) booleans."""
        if self.kind in ("classes", "onehot"):
            return a.argmax(axis=1) == y.argmax(axis=1)  # type: ignore[no-any-return]
        if self.kind == "binary":
            return (a[:, 0] > self._middle) == (y[:, 0] > self._middle)  # type: ignore[no-any-return]
        return np.all((a > self._middle) == (y > self._middle), axis=1)  # type: ignore[no-any-return]

    def truth(self, y: Array) -> Array:
        """Return encoded targets as metrics take them: class indices (n,), rows of 0 and 1, or numbers."""
        if self.kind in ("classes", "onehot", "binary"):
            return self.class_indices(y)
        return (y > self._middle).astype(np.intp) if self.kind == "multilabel" else y

    def scores(self, a: Array) -> Array:
        """Return outputs as metrics take them: where "no" is -1, moved from [-1, 1] to [0, 1]."""
        return (a + 1) / 2 if self.low == -1 else a

    # -- as plain data -----------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Return this as plain data for a saved model."""
        found = {
            "kind": self.kind,
            "n_out": self.n_out,
            "classes": list(self.classes),
            "low": self.low,
            "vector": self.vector,
            "dtype": self.dtype,
        }
        return found | {"repeated": True} if self.repeated else found

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Targets:
        """Return the targets that `config` describes.

        Errors: `DTypeError`, `OptionError` and, for missing and unknown names, `KeyError` and `TypeError`.
        """
        if not isinstance(config, dict) or not isinstance(config["classes"], list | tuple):
            raise DTypeError(f"targets must be described by names, with a list of classes. Got {config!r}.")
        targets = cls(**{**config, "classes": tuple(config["classes"])})
        _check(targets)
        return targets


def _check(targets: Targets) -> None:
    """Raise `DTypeError` or `OptionError` for targets that nobody's y can have meant."""
    kind = as_choice("the kind of targets", targets.kind, _KINDS)
    n_out = as_whole("n_out of targets", targets.n_out, at_least=1)
    as_choice("low of targets", str(as_number("low of targets", targets.low)), ("0.0", "-1.0"))
    as_flag("vector of targets", targets.vector)
    if not isinstance(targets.dtype, str) or not _DTYPE.fullmatch(targets.dtype):
        raise OptionError(f"the dtype of targets must be the name of one. Got {targets.dtype!r}.")
    np.dtype(targets.dtype)
    wanted = {"classes": n_out, "onehot": n_out, "binary": 2}.get(kind, 0)
    plain = all(isinstance(label, str | int | float) for label in targets.classes)
    plain = plain and np.asarray(targets.classes).dtype.kind != "O"  # 10**30 is no number of an array
    if not plain or len(set(targets.classes)) != wanted or (kind == "binary" and n_out != 1):
        raise OptionError(
            f"targets of the kind {kind!r} and n_out={n_out} have {wanted} different labels as classes. Got "
            f"{list(targets.classes)!r}."
        )


def check_classes(classes: Sequence[Any] | None, task: str | None) -> tuple[Any, ...] | None:
    """Return labels given as `classes` as plain values, in their order, or None.

    Errors: `OptionError` for fewer than two, for duplicates, for what is no label, or beside
    task="regression"; `DTypeError` for no list.
    """
    if task is not None:
        as_choice("task", task, TASKS)
    if classes is None:
        return None
    if task == "regression":
        raise OptionError("classes does not go with task='regression'. Leave one out.")
    items = as_items("classes", classes)
    if any(isinstance(item, list | tuple | np.ndarray) for item in items):
        raise OptionError(f"classes must be a list of labels. Got {items!r:.100}.")
    labels = tuple(plain_values(as_targets(list(items), "classes"), "classes").tolist()) if items else ()
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise OptionError(f"classes must list two or more different labels. Got {list(labels)!r}.")
    return labels


def _low(cost: Cost, activation: ActivationFunction | None) -> float:
    """Return how "no" is written: -1 for signs and for outputs that reach as far below 0 as above."""
    if cost.targets == "sign":
        return -1.0
    below, above = activation.limits if activation is not None else (-math.inf, math.inf)
    return -1.0 if cost.targets == "real" and below == -above and math.isfinite(above) else 0.0


def _means_labels(
    y: Array, cost: Cost, n_out: int | None, activation: ActivationFunction | None, task: str | None
) -> bool:
    if task is not None:
        return task == "classification"
    if family(y) != "numbers" or y.dtype.kind == "b" or cost.targets == "sign":
        return True
    whole = y.dtype.kind in "iu" or bool(np.all(y == np.round(y)))
    if cost.targets == "distribution":
        if not whole:
            raise DataError(
                f"y holds real numbers, such as {y[y != np.round(y)][0]:g}, where {cost.name} compares "
                "classes. Give "
                "labels, or take a cost for real numbers; task='classification' makes every number a label."
            )
        return True
    if n_out is not None and n_out > 1:
        return whole
    if cost.targets == "probability":
        return whole
    if activation is not None and activation.name == "sigmoid":
        return y.dtype.kind in "iu" and bool(np.all((y == 0) | (y == 1)))
    return False


def _as_dtype(rows: Array, dtype: Any, where: str) -> Array:
    """Return numbers in the network's dtype. Errors: `DataError` for one too large for it."""
    largest = float(np.finfo(dtype).max)
    if rows.dtype.kind == "f" and float(np.finfo(rows.dtype).max) > largest:
        too_large = np.abs(rows) > largest
        if too_large.any():
            row, column = np.argwhere(too_large)[0]
            raise DataError(
                f"{where} holds {rows[row, column]:g} in row {row}, column {column}, too large for "
                f"{np.dtype(dtype).name}. Scale {where}, or use dtype='float64'."
            )
    return np.asarray(rows, dtype=dtype)
