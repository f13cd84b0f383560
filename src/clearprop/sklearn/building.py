"""What an estimator's parameters mean: the network's layers and cost, and the optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.interchange.scikit import ACTIVATIONS, COSTS
from clearprop.layers import ActivationOwner, Dense
from clearprop.network import Network
from clearprop.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer
from clearprop.sklearn.losses import ExampleLosses, log_loss, poisson_loss, squared_loss
from clearprop.training.targets import Targets

__all__ = [
    "build_network",
    "carry_over",
    "has_activation",
    "init_factor",
    "losses_of",
    "optimizer_of",
    "place_parameters",
    "targets_of",
]

_LOSSES: dict[str, ExampleLosses] = {
    "softmax": log_loss,
    "logistic": log_loss,
    "identity": squared_loss,
    "exp": poisson_loss,
}


def init_factor(estimator: Any) -> float:
    """Return the factor in the bound of the initial weights: 2 for "logistic", 6 for the others."""
    return 2.0 if estimator.activation == "logistic" else 6.0


def build_network(estimator: Any, sizes: Sequence[int], dtype: Any) -> Network:
    """Return the network of an estimator; sizes: of the inputs and of each layer."""
    hidden = [Dense(int(n), ACTIVATIONS[estimator.activation]) for n in sizes[1:-1]]
    output = estimator.out_activation_
    layers = [*hidden, Dense(int(sizes[-1]), ACTIVATIONS[output])]
    return Network(layers, cost=COSTS[output], n_in=int(sizes[0]), dtype=dtype, engine=estimator.engine)


def has_activation(network: Network, activation: str) -> bool:
    """Return whether the hidden layers of a network have scikit-learn's activation of this name."""
    names = [layer.activation.name for layer in network.layers if isinstance(layer, ActivationOwner)]
    return all(name == ACTIVATIONS[activation] for name in names[:-1])


def carry_over(old: Network, new: Network) -> None:
    """Give a network what another of the same sizes knows beside its parameters."""
    new.seed, new.targets, new.penalty, new.history = old.seed, old.targets, old.penalty, old.history
    new.frozen, new.extra = old.frozen, old.extra
    new.epochs_trained, new.steps_trained = old.epochs_trained, old.steps_trained


def place_parameters(network: Network, coefs: Sequence[Any], intercepts: Sequence[Any]) -> None:
    """Write scikit-learn's coefs (n_in, n_out) and intercepts (n_out,) into a network."""
    for i, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True), 1):
        network.W[i][...] = np.asarray(coef).T
        network.b[i][...] = intercept


def losses_of(estimator: Any) -> ExampleLosses:
    """Return the loss of each example as the estimator reports it."""
    return _LOSSES[estimator.out_activation_]


def targets_of(estimator: Any, classes: Array | None) -> Targets:
    """Return what the rows of 0 and 1, or of numbers, that the estimator trains on mean."""
    n_out = int(estimator.n_outputs_)
    if classes is None:
        return Targets("real", n_out, vector=n_out == 1)
    if estimator.out_activation_ == "softmax":
        return Targets("classes", n_out, tuple(classes.tolist()), dtype=_name(classes))
    if n_out == 1:
        return Targets("binary", 1, tuple(classes.tolist()), dtype=_name(classes))
    return Targets("multilabel", n_out, vector=False, dtype="int64")


def _name(classes: Array) -> str:
    return classes.dtype.str if classes.dtype.kind in "SU" else classes.dtype.name


def optimizer_of(estimator: Any) -> Optimizer:
    """Return the optimiser of a stochastic solver, with scikit-learn's conventions."""
    eta = float(estimator.learning_rate_init)
    if estimator.solver == "adam":
        return Adam(
            eta,
            beta1=estimator.beta_1,
            beta2=estimator.beta_2,
            epsilon=estimator.epsilon,
            epsilon_placement="before_correction",
        )
    if estimator.momentum == 0:
        return SGD(eta)
    kind = Nesterov if estimator.nesterovs_momentum else Momentum
    return kind(eta, momentum=estimator.momentum)
