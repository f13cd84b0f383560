"""Conventions of other libraries: weights of mean 1 over a batch, penalties as the steps saw them."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import clearprop as cp
from clearprop.compiled import missing
from clearprop.fitting.method import fit, plan_fit

RNG = np.random.default_rng(0)
X, Y, WEIGHTS = RNG.normal(size=(23, 4)), RNG.normal(size=(23, 2)), RNG.uniform(0.1, 4, 23)
WEIGHTS /= WEIGHTS.mean()
SIGNATURE = inspect.signature(fit).parameters
DEFAULTS = {name: p.default for name, p in SIGNATURE.items() if p.kind is p.KEYWORD_ONLY}
LAYERS: dict[str, Any] = {
    "small": [cp.Dense(3, "tanh"), cp.Dense(2)],
    "wide": [cp.Dense(70, "relu"), cp.Dense(2)],
    "own parameters": [cp.Dense(40, "prelu"), cp.LayerNorm(), cp.Dense(2)],
}
PENALTIES = {
    "l2": cp.Penalty(l2=0.3, divide_by="batch"),
    "l1 of all": cp.Penalty(l1=0.2, l2=0.1, scope="all", divide_by="batch"),
    "not divided": cp.Penalty(l1=0.02, l2=0.01),
}


def train(layers: Any, engine: str, **options: Any) -> tuple[cp.Network, cp.History]:
    """Return a network after two epochs in order, with both conventions, and its history."""
    network = cp.Network(layers, n_in=4, seed=1)
    given = {**DEFAULTS, "optimizer": "sgd", "eta": 0.05, "epochs": 2, "batch_size": 5, "shuffle": False}
    plan = plan_fit(network, X, Y, **{**given, "engine": engine, **options})
    plan.options = replace(plan.options, mean_over_weights=True, penalty_as_seen=True)
    return network, plan.run()


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_native_and_batch_agree(layers: str, penalty: str, weighted: bool, clip_norm: float | None) -> None:
    if missing():
        pytest.skip("there is no native rung here")
    options = {"penalty": PENALTIES[penalty], "sample_weight": WEIGHTS if weighted else None}
    one, by_native = train(LAYERS[layers], "native", clip_norm=clip_norm, **options)
    other, by_batch = train(LAYERS[layers], "batch", clip_norm=clip_norm, **options)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-11, atol=1e-13)
    for column in ("cost", "penalty"):
        np.testing.assert_allclose(by_native[column], by_batch[column], rtol=1e-12)


@pytest.mark.parametrize("engine", ["batch", "native"])
def test_one_epoch_by_hand(engine: str) -> None:
    """theta ← theta - eta (Σ w dC + l2 W) / Σ w over each batch; the penalty is that before each step."""
    if engine == "native" and missing():
        pytest.skip("there is no native rung here")
    l2, eta = 0.3, 0.05
    W, b = (array.copy() for array in (cp.Network([cp.Dense(2)], n_in=4, seed=1).W[1], np.zeros(2)))
    cost = penalty = 0.0
    for start in range(0, 23, 5):
        x, y, w = (data[start : start + 5] for data in (X, Y, WEIGHTS))
        error, total, n = x @ W.T + b - y, w.sum(), len(x)
        cost += n * float((w * (error**2).sum(axis=1) / 2).sum() / total) / 23
        penalty += n * l2 / 2 * float((W**2).sum()) / total / 23
        delta = w[:, None] * error
        W, b = W - eta * (delta.T @ x + l2 * W) / total, b - eta * delta.sum(axis=0) / total
    options = {"penalty": cp.Penalty(l2=l2, divide_by="batch"), "sample_weight": WEIGHTS, "epochs": 1}
    network = cp.Network([cp.Dense(2)], cost="quadratic", n_in=4, seed=1)
    given = {**DEFAULTS, "optimizer": "sgd", "eta": eta, "batch_size": 5, "shuffle": False, "engine": engine}
    plan = plan_fit(network, X, Y, **{**given, **options})
    plan.options = replace(plan.options, mean_over_weights=True, penalty_as_seen=True)
    row = plan.run()[-1]
    np.testing.assert_allclose([row["cost"], row["penalty"]], [cost, penalty], rtol=1e-12)
    np.testing.assert_allclose(network.W[1], W, rtol=1e-12)
    np.testing.assert_allclose(network.b[1], b, rtol=1e-12)
