"""Outputs of an estimator's network for data that scikit-learn has validated."""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import choose_engine
from clearprop.model import State
from clearprop.network import Network
from clearprop.training.data import is_sparse

__all__ = ["network_outputs"]

_CHUNK_BYTES = 1 << 24


def network_outputs(network: Network, X: Any) -> Array:
    """Return the outputs a (n, n_out) for rows X, dense or sparse, computed in chunks.

    The dtype is that of NumPy's product of X and the weights: float64 rows into a float32 network give
    float64 outputs, computed in float64.
    """
    dtype = np.result_type(X.dtype, network.dtype)
    model, state = network.model, network.state
    if dtype != network.dtype:
        state = State(model, state.theta.astype(dtype), state.buffers.astype(dtype))
    engine, _ = choose_engine(network.engine, model)
    widest = max(layer.n_out or 1 for layer in model.layers)
    size = max(1, _CHUNK_BYTES // (8 * max(widest, X.shape[1])))
    X = X.tocsr() if is_sparse(X) else X
    found = []
    for start in range(0, X.shape[0], size):
        rows = X[start : start + size]
        dense = rows.toarray() if is_sparse(rows) else rows
        found.append(engine.outputs(model, state, np.asarray(dense, dtype)))
    return found[0] if len(found) == 1 else np.concatenate(found)
