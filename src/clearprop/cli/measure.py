"""Measuring a network on examples, and saying the result: for `train` and `evaluate` alike."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.cli.output import Output, confusion_lines
from clearprop.errors import OptionError
from clearprop.network import Network
from clearprop.report import confusion_matrix
from clearprop.training.metrics import metrics as known_metrics
from clearprop.views import class_names

__all__ = ["Measured", "class_names", "headline", "in_words", "measure", "probabilities", "say_measured"]


@dataclass(frozen=True, eq=False)
class Measured:
    """What a network said about examples."""

    metrics: dict[str, float]
    true: Array
    """Class indices (n,), or numbers."""
    predicted: Array
    """As `true`."""
    probabilities: Array | None
    """(n, number of classes), or None where the outputs are no probabilities."""
    names: tuple[str, ...] | None
    """What the classes are called; None for numbers."""

    @property
    def confusion(self) -> Array | None:
        """Counts, rows true and columns predicted; None for numbers."""
        return None if self.names is None else confusion_matrix(self.true, self.predicted, len(self.names))

    def as_dict(self) -> dict[str, Any]:
        """Return the metrics and the confusion matrix for JSON."""
        found: dict[str, Any] = {"examples": len(self.true), **self.metrics}
        if self.names is not None:
            found["confusion"] = {"classes": self.names, "counts": self.confusion}
        return found


def measure(network: Network, X: Array, y: Array) -> Measured:
    """Return metrics and answers on examples; y: labels as the network was trained on, or numbers."""
    targets, names = network.targets, class_names(network)
    assert targets is not None, "only fitted networks are measured"
    if names is None:
        real = targets.kind == "real"
        metrics = _of_numbers(network, X, y) if real else network.evaluate(X, y)
        return Measured(metrics, np.asarray(y), network.predict(X), None, None)
    metrics = network.evaluate(X, y)
    encoded = targets.encode(y, network.dtype)
    predicted = _indices(network, network.outputs(X))
    return Measured(metrics, _indices(network, encoded), predicted, probabilities(network, X), names)


def probabilities(network: Network, X: Array) -> Array | None:
    """Return the probability of each class (n, number of classes), None where the outputs are none."""
    try:
        return network.predict_proba(X)
    except OptionError:
        return None


def _indices(network: Network, a: Array) -> Array:
    """Return the class index that outputs or encoded targets a (n, n_out) mean, (n,)."""
    targets = network.targets
    assert targets is not None
    if targets.kind == "binary":
        return np.asarray(a[:, 0] > (1 + targets.low) / 2, dtype=np.intp)
    return np.asarray(a.argmax(axis=1))


def _of_numbers(network: Network, X: Array, y: Array) -> dict[str, float]:
    """Return cost and metrics of a regression, in float64 against y as it was given: float32 would round it.

    The cost goes by its own name: while training, "cost" is in another unit.
    """
    targets, names = network.targets, _regression_metrics(y)
    assert targets is not None
    if network.cost.targets != "real":  # computed from z as training does, without infinities
        found = network.evaluate(X, y, metrics=names)
        return {network.cost.name if name == "cost" else name: value for name, value in found.items()}
    a, true = network.outputs(X).astype(np.float64), targets.encode(y, np.float64)
    with np.errstate(over="ignore"):  # beyond float64 a cost is infinite
        cost = float(network.cost.value(a, true).mean())
    # In units of a power of two, which round nothing, no square overflows or vanishes.
    exponent = int(np.frexp(max(np.abs(a).max(), np.abs(true).max()))[1])
    a, true = np.ldexp(a, -exponent), np.ldexp(true, -exponent)
    found = {name: float(known_metrics.make(name)(true, a)) for name in names}
    return {
        network.cost.name: cost,
        **{name: value if name == "r2" else math.ldexp(value, exponent) for name, value in found.items()},
    }


def _regression_metrics(y: Array) -> list[str]:
    metrics = ["mean_absolute_error", "root_mean_squared_error"]
    if len(y) > 1 and importlib.util.find_spec("sklearn") is not None:
        metrics.append("r2")
    return metrics


def in_words(value: float | None) -> str:
    """Return a figure with four digits, or that it lies beyond the largest number there is.

    >>> in_words(0.123456), in_words(float("inf")), in_words(None)
    ('0.1235', 'beyond 1.8e308', 'beyond 1.8e308')
    """
    return f"{value:.4g}" if value is not None and math.isfinite(value) else "beyond 1.8e308"


def headline(measured: Measured, part: str) -> str:
    """Return the result in one line. part: "test", "training", …, or "" for all rows."""
    metrics, n = measured.metrics, len(measured.true)
    if measured.names is not None:
        right = int(np.count_nonzero(measured.true == measured.predicted))
        found = f"accuracy {metrics['accuracy']:.2%} ({right} of {n}), cost {metrics['cost']:.4f}"
    elif "accuracy" in metrics:
        found = f"accuracy {metrics['accuracy']:.2%} of {n}, cost {metrics['cost']:.4f}"
    else:
        parts = [
            f"{'R²' if name == 'r2' else name.replace('_', ' ')} {in_words(value)}"
            for name, value in metrics.items()
        ]
        found = f"{', '.join(parts)} on {n} examples"
    return f"{part} {found}".lstrip()


def say_measured(output: Output, measured: Measured, part: str) -> None:
    """Print the headline and, for classes, the confusion table."""
    output.say(headline(measured, part))
    if measured.confusion is not None and measured.names is not None:
        output.say()
        for line in confusion_lines(measured.confusion, measured.names, output.width):
            output.say(line)
