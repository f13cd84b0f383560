"""`diagnose`: one pass over some examples, a look at the data, the history and a few trial steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_whole
from clearprop.diagnosis.findings import Finding, ordered
from clearprop.diagnosis.inputs import (
    as_rows,
    column_findings,
    finite_rows,
    label_findings,
    read_columns,
    target_findings,
)
from clearprop.diagnosis.learning import constant_cost, curve_findings, overfitting_findings
from clearprop.diagnosis.rates import Trial, choose_optimizer, rate_findings, try_rates
from clearprop.diagnosis.record import Diagnosis
from clearprop.diagnosis.signal import signal_findings
from clearprop.diagnosis.statistics import LayerStatistics, layer_statistics
from clearprop.diagnosis.thresholds import THRESHOLDS, Thresholds
from clearprop.errors import DTypeError, OptionError, ShapeError
from clearprop.layers import ActivationOwner
from clearprop.model import Model
from clearprop.optimizers import Optimizer
from clearprop.trace import Trace
from clearprop.training.affine import Affine
from clearprop.training.features import dense_rows
from clearprop.training.history import History
from clearprop.training.labels import as_targets
from clearprop.training.targets import Targets
from clearprop.training.weights import check_weights, class_weights

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["diagnose"]

_OUT_OF_SCALE = {"data_not_scaled", "targets_not_scaled"}


def diagnose(
    net: Network,
    X: Any,
    y: Any,
    history: History | None = None,
    eta: float | None = None,
    *,
    optimizer: str | Optimizer | None = None,
    batch_size: int = 32,
    sample_weight: Any = None,
    class_weight: str | Mapping[Any, float] | None = None,
    X_val: Any = None,
    y_val: Any = None,
    max_examples: int = 1000,
    thresholds: Thresholds = THRESHOLDS,
) -> Diagnosis:
    """Look for what keeps a network from learning; return findings, each with evidence and one thing to try.

    The network stays as it is, trained or not. Looked at are: the data as the first layer reads them and the
    balance of the classes, over all rows; one forward and backward pass (activations, δ and gradients of
    every layer, units that are dead, saturated or copies of each other), over `max_examples` rows evenly
    spaced; the history; and, if a rate is given, what 30 steps at 0.01, 0.1, 1, 10 and 100 times that rate do
    to the cost of copies of the network. The kinds of findings are listed in ``KINDS``.

    From layer to layer the norm of δ is compared, ‖δ‖ = √⟨‖δ_x‖²⟩: with L' hidden Dense layers
    (‖δ¹‖ / ‖δ^L'‖)^(1 / (L' - 1)) is the mean factor of the error on its way to the front, by BP2.

    Parameters:
        X (n, d), y: as for `Network.fit`, but not an iterable of batches; NaN in X is a finding.
        history: of the training; left out, ``net.history``.
        eta, optimizer, batch_size: what the network is or will be trained with, as for `Network.fit`: with
            eta alone it is Adam. Without either no steps are tried.
        sample_weight, class_weight: as for `Network.fit`; they enter costs and gradients, and classes are
            balanced by them. class_weight left out is that of the history.
        X_val, y_val: validation data, where the history has none.
        max_examples: how many rows go through the network.
        thresholds: from where on something counts as wrong.

    Errors: those of `Network.trace` for data that do not fit; `OptionError` for options that do not.
    Source: M. Nielsen, Neural Networks and Deep Learning, chapter 5 (the norms of δ by layer).

    >>> import clearprop as cp
    >>> X, y = cp.datasets.moons(200, noise=0.1, seed=0)
    >>> deep = cp.Network([cp.Dense(10, "sigmoid")] * 20 + [cp.Dense(2, "softmax")], seed=0)
    >>> found = diagnose(deep, X, y)
    >>> found.kinds
    ('vanishing_gradients', 'constant_outputs')
    >>> print(f"{found['1'].delta_norm:.1e} {found['20'].delta_norm:.1e}")
    6.6e-13 2.1e-01
    >>> diagnose(cp.Network([cp.Dense(10, "relu"), cp.Dense(2, "softmax")], seed=0), X, y).healthy
    True
    """
    max_examples = as_whole("max_examples", max_examples, at_least=1)
    batch_size = as_whole("batch_size", batch_size, at_least=1)
    chosen = choose_optimizer(optimizer, eta)
    if (X_val is None) != (y_val is None):
        raise OptionError(f"X_val and y_val go together; {'y_val' if y_val is None else 'X_val'} is missing.")
    history = _history(net, history)
    with np.errstate(all="ignore"):  # what overflows is a finding
        data, findings = _read(net, X, y, (sample_weight, class_weight), history, max_examples, thresholds)
        if data is None:
            return Diagnosis(ordered(findings), (), 0, None, None, None)
        trace = data.trace()
        layers = layer_statistics(trace, data.net.parameters, thresholds)
        constant = constant_cost(trace.model, trace.y, data.weights)
        found = signal_findings(trace, layers, data.net.parameters, constant, thresholds)
        trial = None
        if not any(finding.kind == "values_not_finite" for finding in found):
            trial = data.trial(chosen, batch_size, constant, thresholds) if _varies(trace) else None
            in_scale = not {finding.kind for finding in findings} & _OUT_OF_SCALE
            of_history = data.constant_of_history(trace, history)
            found += _about_rate(history, trial, constant, of_history, in_scale, thresholds)
            unweighted = constant_cost(trace.model, trace.y)
            found += _about_validation(data, history, X_val, y_val, unweighted, thresholds)
    return Diagnosis(
        ordered(_weighed(findings + found, trace.cost < thresholds.works_well * constant)),
        _with_updates(layers, trial),
        len(trace.costs),
        trace.cost,
        constant if math.isfinite(constant) else None,
        trial,
    )


@dataclass(frozen=True)
class _Data:
    """A copy of the network that is ready for the data, and the rows that go through it."""

    net: Network
    X: Array
    y: Any
    weights: Array | None
    """(n,), by examples and classes as far as they are given; None where all count alike."""
    by_example: Array | None
    """(n,), those of the examples alone."""
    by_history: Array | None
    """(n,), by the classes as the history's fit had them."""

    def constant_of_history(self, trace: Trace, history: History | None) -> float:
        """Return the cost of the best constant, weighted as the history's are; NaN if that is not known."""
        if history is None or (history.sample_weighted and self.by_example is None):
            return math.nan
        weights = _product(self.by_example if history.sample_weighted else None, self.by_history)
        return constant_cost(trace.model, trace.y, weights)

    def trace(self) -> Trace:
        """Return one pass; as in training where the batch is coupled, for that is what learns."""
        coupled = self.net.model.couples_examples and len(self.y) > 1
        return self.net.trace(self.X, self.y, sample_weight=self.weights, training=coupled)

    def trial(
        self, optimizer: Optimizer | None, batch_size: int, constant: float, limits: Thresholds
    ) -> Trial | None:
        """Return what trial steps do; None where there is no rate or nothing to compare with."""
        if optimizer is None or optimizer.full_batch or not math.isfinite(constant):
            return None
        return try_rates(self.net, self.X, self.y, self.weights, optimizer, batch_size, constant, limits)


def _history(net: Network, history: History | None) -> History | None:
    if not hasattr(net, "history"):
        raise DTypeError(f"net must be a Network. Got {type(net).__name__}.")
    if history is not None and not isinstance(history, History):
        raise DTypeError(f"history must be the History that fit returned. Got {history!r}.")
    found = net.history if history is None else history
    return found if found is not None and len(found) else None


def _read(
    net: Network,
    X: Any,
    y: Any,
    weights: tuple[Any, Any],
    history: History | None,
    most: int,
    limits: Thresholds,
) -> tuple[_Data | None, list[Finding]]:
    """Return the rows for the pass, None where no row is finite, and what there is to say of the data."""
    copy = net.copy()
    features = as_rows(X, getattr(copy.layers[0], "inputs", None))
    if copy.is_built:
        copy.model.check_input(features)
    given = as_targets(y, "y")
    if len(given) != features.shape[0]:
        raise ShapeError(f"X has {features.shape[0]} examples and y has {len(given)}. They must agree.")
    by_example = None if weights[0] is None else check_weights(weights[0], len(given))
    good, broken = finite_rows(features)
    findings = [] if broken is None else [broken]
    if not len(good):
        return None, findings
    targets = _prepare(copy, features, y, good)
    encoded = targets.encode(y, np.float64)
    columns = read_columns(features, good, copy.preprocessing)  # type: ignore[arg-type]  # no name any more
    findings += column_findings(columns, limits)
    by_history = None if history is None else _by_class(history.class_weight, targets, encoded)
    by_class = by_history if weights[1] is None else _by_class(weights[1], targets, encoded)
    together = _product(by_example, by_class)
    findings += label_findings(targets, encoded, together, limits)
    findings += target_findings(targets, encoded, _bounded(copy.model), limits)
    chosen = good[np.linspace(0, len(good) - 1, min(most, len(good))).astype(np.intp)]
    each = (None if w is None else w[chosen] for w in (together, by_example, by_history))
    return _Data(copy, dense_rows(features, chosen), given[chosen], *each), findings


def _by_class(class_weight: Any, targets: Targets, encoded: Array) -> Array | None:
    """Return the weight of every example by its class, (n,); None where no class has one."""
    if class_weight is None:
        return None
    if targets.kind not in ("classes", "binary", "onehot"):
        raise OptionError(
            f"class_weight needs one class per example; these targets are {targets.kind!r}. Use "
            "sample_weight."
        )
    return class_weights(class_weight, targets.class_indices(encoded), targets.classes)


def _product(a: Array | None, b: Array | None) -> Array | None:
    return b if a is None else a if b is None else a * b


def _prepare(copy: Network, features: Any, y: Any, good: Array) -> Targets:
    """Give the copy the targets, sizes and preprocessing that fit would give it; return the targets."""
    if copy.targets is None:
        last = copy.layers[-1]
        activation = last.activation if isinstance(last, ActivationOwner) else None
        copy.targets = Targets.infer(y, copy.cost, last.n_out, activation, copy.task, copy.classes)
    copy.build(features.shape[1], None if copy.knows_outputs else copy.targets.n_out)
    if isinstance(copy.preprocessing, str):
        copy.preprocessing = Affine.standardize(features, good)
    return copy.targets


def _bounded(model: Model) -> bool:
    """Return whether the outputs have limits, so that real targets cannot be far away."""
    last = model.layers[-1]
    return isinstance(last, ActivationOwner) and all(map(math.isfinite, last.activation.limits))


def _varies(trace: Trace) -> bool:
    return bool(np.any(trace.y != trace.y[0]))


def _about_rate(
    history: History | None,
    trial: Trial | None,
    constant: float,
    of_history: float,
    in_scale: bool,
    limits: Thresholds,
) -> list[Finding]:
    """Return what the trial steps say of the rate, or else the history.

    constant, of_history: the cost of the best constant output, weighted as the trial's costs are and as the
    history's are.
    """
    found = [] if trial is None else rate_findings(trial, constant, limits)
    if history is None or found or not math.isfinite(of_history):
        return found
    return curve_findings(history, of_history, in_scale, limits)


def _about_validation(
    data: _Data, history: History | None, X_val: Any, y_val: Any, constant: float, limits: Thresholds
) -> list[Finding]:
    """Return how the network does on data that it was not trained on."""
    if X_val is None:
        return overfitting_findings(history, {}, None, constant, limits)
    training, validation = data.net.evaluate(data.X, data.y), data.net.evaluate(X_val, y_val)
    return overfitting_findings(history, training, validation, constant, limits)


def _weighed(findings: list[Finding], works: bool) -> list[Finding]:
    """Leave out what follows from another finding, and what a network that does well has put up with."""
    fatal = any(f.kind == "dead_units" and f.severity == "critical" for f in findings)
    kept = [
        f for f in findings if not (fatal and f.kind == "vanishing_gradients")
    ]  # next to no error passes dead units
    return [replace(f, severity="note") if works and f.kind in _OUT_OF_SCALE else f for f in kept]


def _with_updates(layers: Sequence[LayerStatistics], trial: Trial | None) -> tuple[LayerStatistics, ...]:
    if trial is None:
        return tuple(layers)
    return tuple(replace(s, update_ratio=trial.update_ratios.get(f"{s.address}.W")) for s in layers)
