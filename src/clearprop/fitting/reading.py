"""How a network reads what it is given: features, targets, weights, and sizes that were left to the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.engines.native_few_rows import FewRows
from clearprop.errors import NotInitializedError, ShapeError
from clearprop.layers import ActivationOwner
from clearprop.model import Model
from clearprop.training.data import Affine, Examples, as_features, mean_one
from clearprop.training.targets import Targets

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = [
    "affine_of",
    "build_for",
    "check_sizes",
    "draft_of",
    "few_outputs",
    "outputs_of",
    "read_examples",
    "read_features",
    "ready_for",
    "targets_of",
]


def draft_of(network: Network) -> Network:
    """Return a network of the same arrays on which building, targets and preprocessing can be tried."""
    draft = object.__new__(type(network))
    vars(draft).update(vars(network))
    return draft


def ready_for(network: Network, X: Any, y: Any) -> Network:
    """Return the network, or, if its sizes are not known, a draft of it that is built for X and y."""
    if network.is_built:
        return network
    draft = draft_of(network)
    build_for(draft, read_features(draft, X), y)
    return draft


def check_sizes(model: Model, n_in: int | None, n_out: int | None) -> None:
    """Raise `ShapeError` for sizes, where given, that are not those of the model."""
    for name, given, size in (("n_in", n_in, model.n_in), ("n_out", n_out, model.n_out)):
        if given is not None and given != size:
            raise ShapeError(
                f"this network is built for {model.n_in} inputs and {model.n_out} outputs. Got "
                f"{name}={given}; make another Network (initialize draws parameters of these sizes anew)."
            )


def build_for(network: Network, features: Any, y: Any, where: str = "y") -> None:
    """Fix the sizes that are still open by the data."""
    if network.is_built:
        return
    n_out = None if network.knows_outputs else targets_of(network, y, where).n_out
    network.build(features.shape[1], n_out)


def targets_of(network: Network, y: Any, where: str = "y") -> Targets:
    """Return the targets of the last fit, or what this y means."""
    if network.targets is not None:
        return network.targets
    last = network.layers[-1]
    activation = last.activation if isinstance(last, ActivationOwner) else None
    return Targets.infer(y, network.cost, last.n_out, activation, network.task, network.classes, where=where)


def read_features(network: Network, X: Any, what: str = "X") -> Any:
    """Return X as `as_features` does, after checking it against the number of inputs."""
    features = as_features(X, what, getattr(network.layers[0], "inputs", None))
    if network.is_built:
        network.model.check_input(features, what)
    return features


def read_examples(
    network: Network,
    X: Any,
    y: Any,
    targets: Targets,
    sample_weight: Any = None,
    what: str = "X",
    where: str = "y",
    checked: bool = False,
) -> Examples:
    """Return X, y and weights of a built network as examples; `what` and `where` name X and y in messages.

    checked: whether `check_values` has looked at X already.
    """
    features = read_features(network, X, what)
    encoded = targets.encode(y, network.dtype, where)
    n = features.shape[0]
    if len(encoded) != n:
        raise ShapeError(f"{what} has {n} examples and {where} has {len(encoded)}. They must agree.")
    network.cost.check_targets(encoded, name=where)
    weights = None if sample_weight is None else mean_one(sample_weight, n, network.dtype)
    affine = affine_of(network)
    return Examples.prepare(features, encoded, weights, network.dtype, affine, what, checked)


def few_outputs(network: Network, X: Any) -> Array | None:
    """Return the outputs of a few plain rows by the short way; None where only the general one will do."""
    state, kept = network._state, network._few_rows
    if state is None or network.preprocessing is not None:
        return None
    if kept is None or kept[0] != network.engine:
        few = FewRows(network._engine(None), state.model, network.dtype)
        kept = network._few_rows = network.engine, few
    a = kept[1].outputs(state.theta, X)
    if a is None and not kept[1].is_for(state.model, network.dtype):
        network._few_rows = None
    return a


def outputs_of(network: Network, X: Any, engine: str | None = None) -> Array:
    """Return the outputs of a network for all rows of X, (n, n_out), computed in chunks."""
    rung, model, state = network._engine(engine), network.model, network.state
    features = read_features(network, X)
    no_targets = np.empty((features.shape[0], 0))
    rows = Examples.prepare(features, no_targets, None, network.dtype, affine_of(network))
    found = [rung.outputs(model, state, part) for part, _, _ in rows.batches(rows.chunk_rows)]
    return found[0] if len(found) == 1 else np.concatenate(found)


def affine_of(network: Network) -> Affine | None:
    """Return the preprocessing. Errors: `NotInitializedError` while it waits for the data of fit."""
    if isinstance(network.preprocessing, str):
        raise NotInitializedError(
            "preprocessing='standardize' takes its numbers from the data of fit. Call fit first."
        )
    return network.preprocessing
