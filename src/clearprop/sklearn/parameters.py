"""The parameters of the estimators: what each may be, what goes together, and the nearest name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, InvalidParameterError, Options, StrOptions

from clearprop.activations import ActivationFunction, activations
from clearprop.costs import Cost, costs
from clearprop.engines import engine_names
from clearprop.errors import OptionError, did_you_mean, one_of
from clearprop.interchange.scikit import HIDDEN
from clearprop.optimizers import Optimizer, optimizers
from clearprop.registry import Registry
from clearprop.schedules import Schedule, schedules

__all__ = [
    "CONSTRAINTS",
    "SCIKIT_LEARNS_LOSSES",
    "STOCHASTIC",
    "Known",
    "check_together",
    "hidden_sizes",
    "is_stochastic",
    "loss_constraints",
    "nearest_name",
]

STOCHASTIC = ("sgd", "adam", *(n for n in optimizers if n not in ("sgd", "adam", "lbfgs")))
"""The solvers that take one batch after the other, by name."""
SCIKIT_LEARNS_LOSSES = ("log_loss", "squared_error", "poisson")
_DEFAULT_SIZES = (100,)


class Known(StrOptions):  # type: ignore[misc]
    """A name of a registry, an alias too, or one of scikit-learn's own; messages list the names in order."""

    def __init__(self, registry: Registry[Any] | tuple[str, ...], own: Iterable[str] = ()) -> None:
        super().__init__({*own, *registry})
        self.registry = registry

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether this is such a name."""
        return super().is_satisfied_by(val) or (isinstance(val, str) and val in self.registry)

    def __str__(self) -> str:
        return f"a str among {{{one_of(sorted(self.options))}}}"


CONSTRAINTS: dict[str, Any] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [
        StrOptions({*HIDDEN, *activations} - {"per_neuron"}),
        ActivationFunction,
        "array-like",
    ],
    "solver": [Known((), ("lbfgs", *STOCHASTIC)), Optimizer],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "engine": [StrOptions({"auto", *engine_names()})],
    "n_layers": [Interval(Integral, 0, None, closed="left"), None],
    "width": [Interval(Integral, 1, None, closed="left"), None],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "normalization": [Known((), ("batch", "layer")), None],
    "residual": ["boolean"],
    "schedule": [Known(schedules), Schedule, None],
    "dtype": [StrOptions({"float32", "float64"}), Options(type, {np.float32, np.float64}), np.dtype, None],
}
"""What each parameter that both classes have may be, in scikit-learn's terms."""


def loss_constraints(own: Mapping[str, str]) -> list[Any]:
    """Return what `loss` may be; own: scikit-learn's names for it."""
    return [Known(costs, own), Cost]


def nearest_name(error: InvalidParameterError, given: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Return " Did you mean 'x'?" for the parameter that an error is about, "" where no name is near.

    given: the parameters; known: the constraints of each.

    >>> error = InvalidParameterError("The 'solver' parameter of MLPClassifier must be …")
    >>> nearest_name(error, {"solver": "adan"}, CONSTRAINTS)
    " Did you mean 'adam'?"
    """
    for name, value in given.items():
        if isinstance(value, str) and str(error).startswith(f"The {name!r} parameter"):
            options = [c.options for c in known[name] if isinstance(c, StrOptions)]
            return did_you_mean(value, sorted(set().union(*options)))
    return ""


def is_stochastic(estimator: Any) -> bool:
    """Return whether the solver takes one batch after the other."""
    solver = estimator.solver
    return solver in STOCHASTIC if isinstance(solver, str) else not getattr(solver, "full_batch", True)


def hidden_sizes(estimator: Any) -> list[int]:
    """Return the number of neurons of each hidden layer.

    Errors: scikit-learn's `ValueError` for sizes below 1; `OptionError` where `hidden_layer_sizes` is given
    beside `n_layers` or `width`.
    """
    given, n_layers, width = estimator.hidden_layer_sizes, estimator.n_layers, estimator.width
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if n_layers is None and width is None:
        if not all(isinstance(size, Integral) for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be whole numbers, got {sizes}.")
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return [int(size) for size in sizes]
    if sizes != list(_DEFAULT_SIZES):
        raise OptionError(
            f"n_layers and width stand in the place of hidden_layer_sizes. Got hidden_layer_sizes={given!r} "
            "too; leave it out, or leave n_layers and width out."
        )
    return [_DEFAULT_SIZES[0] if width is None else int(width)] * (1 if n_layers is None else int(n_layers))


def check_together(estimator: Any) -> None:
    """Raise `OptionError` for parameters that contradict one another."""
    if getattr(estimator.solver, "full_batch", False):
        raise OptionError(f"solver takes L-BFGS by its name: solver='lbfgs'. Got {estimator.solver!r}.")
    if estimator.schedule is not None and estimator.learning_rate != "constant":
        raise OptionError(
            f"schedule and learning_rate={estimator.learning_rate!r} would both set the rate. Leave one out."
        )
    if is_stochastic(estimator):
        return
    in_float32 = estimator.dtype is not None and np.dtype(estimator.dtype) != np.float64
    changes = "which needs a cost that is the same in every step"
    whole = "whose line search finds the step"
    for name, given, why in (
        ("dropout", np.any(estimator.dropout), changes),
        ("normalization", estimator.normalization == "batch", changes),
        ("schedule", estimator.schedule is not None, whole),
        ("dtype", in_float32, "which computes in float64"),
    ):
        if given:
            raise OptionError(
                f"{name}={getattr(estimator, name)!r} does not go with solver='lbfgs', {why}. Leave it out, "
                "or give solver='adam'."
            )
