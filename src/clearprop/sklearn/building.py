"""What an estimator's parameters mean: the network's layers and cost, and the optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clearprop.activations import ActivationFunction, activations
from clearprop.checks import as_number
from clearprop.costs import Cost, costs
from clearprop.errors import OptionError
from clearprop.interchange.scikit import ACTIVATIONS, COSTS, HIDDEN
from clearprop.layers import Activation, BatchNorm, Dense, Dropout, Layer, LayerNorm, Residual
from clearprop.network import Network
from clearprop.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer, optimizers
from clearprop.sklearn.drawing import initial_parameters
from clearprop.sklearn.losses import ExampleLosses, log_loss, poisson_loss, squared_loss
from clearprop.sklearn.parameters import hidden_sizes
from clearprop.training.targets import Targets

__all__ = [
    "build_network",
    "cost_named",
    "draw_network",
    "has_activation",
    "losses_of",
    "optimizer_of",
    "place_parameters",
    "rebuild",
    "targets_of",
]

_LOSSES: dict[str, ExampleLosses] = {
    "softmax": log_loss,
    "logistic": log_loss,
    "identity": squared_loss,
    "exp": poisson_loss,
}
"""scikit-learn's own losses, by the output activation; with another cost than its own that is reported."""
_NORMS = {"batch": BatchNorm, "layer": LayerNorm}
_DRAWN_AS_THERE = tuple(ACTIVATIONS[name] for name in HIDDEN)
"""Activations whose layers begin with scikit-learn's weights; others have their own initialiser's."""
_PARAMETERS: dict[str, dict[str, str]] = {
    "momentum": {"momentum": "momentum"},
    "nesterov": {"momentum": "momentum"},
    "sgdw": {"momentum": "momentum"},
    "adamw": {"beta1": "beta_1", "beta2": "beta_2", "epsilon": "epsilon"},
    "rmsprop": {"epsilon": "epsilon"},
}
"""Which parameters of an estimator are options of the optimiser of that name, beside the rate."""


# -- layers --------------------------------------------------------------------------------------------


def build_network(estimator: Any, n_in: int, n_out: int, dtype: Any, seed: int = 0) -> Network:
    """Return the network of an estimator, with the parameters that its initialisers draw from the seed."""
    last = Dense(int(n_out), ACTIVATIONS.get(estimator.out_activation_, estimator.out_activation_))
    return Network(
        [*_hidden_layers(estimator, n_in), last],
        cost=estimator._cost(),
        n_in=int(n_in),
        dtype=dtype,
        engine=estimator.engine,
        seed=seed,
    )


def _hidden_layers(estimator: Any, n_in: int) -> list[Layer]:
    sizes = hidden_sizes(estimator)
    functions = _each("activation", estimator.activation, len(sizes))
    rates = _each("dropout", estimator.dropout, len(sizes))
    layers: list[Layer] = []
    for n, f, rate in zip(sizes, functions, rates, strict=True):
        kept = as_number("dropout", rate, at_least=0, below=1)
        block = _block(n, _function(f), estimator.normalization, kept)
        if estimator.residual:
            block = [Residual(block, () if n == n_in else Dense(int(n)))]
        layers += block
        n_in = n
    return layers


def _block(n: int, f: ActivationFunction, normalization: str | None, rate: float) -> list[Layer]:
    """Return z = W a_prev + b, its normalisation, f, and dropout: as many layers as are asked for."""
    own = None if f.name in _DRAWN_AS_THERE else f.initializer
    layers: list[Layer] = [Dense(n, f, initializer=own)]
    if normalization is not None:
        layers = [Dense(n, initializer=own), _NORMS[normalization](), Activation(f)]
    return layers + ([Dropout(rate)] if rate else [])


def _is_one(given: Any) -> bool:
    return isinstance(given, str | ActivationFunction) or not hasattr(given, "__iter__")


def _each(name: str, given: Any, n: int) -> list[Any]:
    """Return one value per hidden layer. Errors: `OptionError` for a list of another length."""
    if _is_one(given):
        return [given] * n
    values = list(given)
    if len(values) != n:
        raise OptionError(
            f"{name} has {len(values)} entries for {n} hidden layer{'' if n == 1 else 's'}. Give one for "
            "each, or one for all."
        )
    return values


def _function(given: Any) -> ActivationFunction:
    return activations.make(ACTIVATIONS.get(given, given) if isinstance(given, str) else given)


# -- initial parameters --------------------------------------------------------------------------------


def draw_network(
    estimator: Any, n_in: int, n_out: int, dtype: Any, drawn: Any, random: np.random.RandomState
) -> Network:
    """Return the network with initial parameters as scikit-learn draws them, rounded to the dtype `drawn`.

    Layers with an activation that scikit-learn does not have begin with the weights of the activation's own
    initialiser, whose seed, which dropout takes too, is the generator's next number; a network of
    scikit-learn's own takes nothing but its weights from the generator.
    """
    functions = _functions(estimator.activation)
    theirs = all(f.name in _DRAWN_AS_THERE for f in functions)
    seed = 0 if theirs and not np.any(estimator.dropout) else int(random.randint(2**31 - 1))
    network = build_network(estimator, n_in, n_out, dtype, seed)
    factor = 2.0 if {f.name for f in functions} == {"sigmoid"} else 6.0
    for address, layer in network.model.walk():
        if isinstance(layer, Dense) and layer.initializer is None:
            W, b = initial_parameters(random, int(layer.n_in or 0), int(layer.n_out or 0), factor, drawn)
            network.W[address][...], network.b[address][...] = W.T, b
    return network


def place_parameters(network: Network, coefs: Sequence[Any], intercepts: Sequence[Any]) -> None:
    """Write scikit-learn's coefs (n_in, n_out) and intercepts (n_out,) into a network."""
    arrays = zip(network.W.values(), network.b.values(), coefs, intercepts, strict=True)
    for W, b, coef, intercept in arrays:
        W[...], b[...] = np.asarray(coef).T, intercept


# -- a network that goes on from another ---------------------------------------------------------------


def has_activation(network: Network, activation: Any) -> bool:
    """Return whether the hidden layers of a network have the activation of scikit-learn's that is given.

    It is True too for what is no name of scikit-learn's, and where layers that are not Dense have neurons:
    what such a network is made of is settled when it is built.
    """
    *hidden, _ = network.layers
    if not isinstance(activation, str) or activation not in HIDDEN:
        return True
    if any(type(layer) not in (Dense, Dropout) for layer in hidden):
        return True
    names = [layer.activation.name for layer in hidden if isinstance(layer, Dense)]
    return all(name == ACTIVATIONS[activation] for name in names)


def rebuild(old: Network, activation: Any, dtype: Any) -> Network:
    """Return a network of the same layers and numbers in a dtype, with the activation that is asked for.

    It takes over everything that the other knows. The activation changes where `has_activation` says so.
    """
    *hidden, last = old.layers
    if not has_activation(old, activation):
        f = _function(activation)
        hidden = [replace(layer, activation=f) if isinstance(layer, Dense) else layer for layer in hidden]
    new = Network(
        [*hidden, last], old.cost, n_in=old.model.n_in, dtype=dtype, engine=old.engine, seed=old.seed
    )
    for name, array in new.parameters.items():
        array[...] = old.parameters[name]
    new.buffers[:] = old.buffers
    new.targets, new.penalty, new.history = old.targets, old.penalty, old.history
    new.frozen, new.extra = old.frozen, old.extra
    new.epochs_trained, new.steps_trained = old.epochs_trained, old.steps_trained
    return new


def _functions(given: Any) -> list[ActivationFunction]:
    return [_function(f) for f in ([given] if _is_one(given) else given)]


# -- cost and targets ----------------------------------------------------------------------------------


def cost_named(loss: Any, own: Mapping[str, str]) -> Cost:
    """Return the cost that a `loss` means; own: scikit-learn's names, and ours."""
    return costs.make(own.get(loss, loss) if isinstance(loss, str) else loss)


def losses_of(estimator: Any) -> ExampleLosses | None:
    """Return the loss of each example as scikit-learn reports it; None where it is the cost itself."""
    output = estimator.out_activation_
    theirs = output in COSTS and estimator.network_.cost == costs.make(COSTS[output])
    return _LOSSES[output] if theirs else None


def targets_of(estimator: Any, classes: Sequence[Any] | None, dtype: str) -> Targets:
    """Return what the rows that the estimator trains on mean; classes: in the order of the outputs.

    dtype: of the labels. For numbers `classes` is None; each of several quantiles has the one target.
    """
    n_out, cost = int(estimator.n_outputs_), estimator.network_.cost
    if classes is None:
        several = cost.outputs_per_target > 1
        return Targets("real", n_out, vector=n_out == 1 or several, repeated=several)
    low = -1.0 if cost.targets == "sign" else 0.0
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        return Targets("multilabel", n_out, low=low, vector=False, dtype="int64")
    return Targets("binary" if n_out == 1 else "classes", n_out, tuple(classes), low, dtype=dtype)


# -- optimisers ----------------------------------------------------------------------------------------


def optimizer_of(estimator: Any) -> Optimizer:
    """Return the optimiser of a stochastic solver, with scikit-learn's conventions for its own two."""
    solver, eta = estimator.solver, float(estimator.learning_rate_init)
    if isinstance(solver, Optimizer):
        return solver
    if solver == "adam":
        return Adam(
            eta,
            beta1=estimator.beta_1,
            beta2=estimator.beta_2,
            epsilon=estimator.epsilon,
            epsilon_placement="before_correction",
        )
    if solver != "sgd":
        options = {ours: getattr(estimator, theirs) for ours, theirs in _PARAMETERS.get(solver, {}).items()}
        return optimizers.make({"name": solver, "eta": eta, **options})
    if estimator.momentum == 0:
        return SGD(eta)
    kind = Nesterov if estimator.nesterovs_momentum else Momentum
    return kind(eta, momentum=estimator.momentum)
