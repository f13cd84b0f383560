"""Tests of the tests: each broken equation must be caught by the checks that the real tests use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.networks import LAYERS, Case, gradients_are_right, largest_difference, smooth_problem

from clearprop.costs import CrossEntropy, FusedPair, Quadratic, fused_pairs
from clearprop.engines import batch, engines
from clearprop.layers import (
    Activation,
    BatchNorm,
    Concatenate,
    Dense,
    DenseBackward,
    Dropout,
    LayerNorm,
    Residual,
)
from clearprop.layers.dense import ActivationOwner

# Square throughout, and as many examples as neurons, so that no mutant is caught by a shape.
SQUARE = Case("square", [Dense(4, "tanh"), Dense(4, "sigmoid"), Dense(4, "softplus")])
FUSED = Case("fused", [Dense(4, "tanh"), Dense(4, "softmax")], CrossEntropy(0.1))
RUNGS = ["graph", "neuron", "example"]


def dense(
    delta: Callable[..., Any] = lambda delta: delta,
    dC_dW: Callable[..., Any] = lambda delta, a_prev, a, n: delta.T @ a_prev / n,
    dC_db: Callable[..., Any] = lambda delta, n: delta.sum(axis=0) / n,
    dC_da_prev: Callable[..., Any] = lambda delta, W: delta @ W,
) -> Any:
    """Return a `backward_from_delta` of Dense with one part exchanged."""

    def backward_from_delta(
        self: Dense,
        record: Any,
        error: Any,
        params: Any,
        n: int,
        inputs: bool = True,
        out: Any = None,
        own: Any = None,
    ) -> DenseBackward:
        error = delta(error)
        gradient = dC_dW(error, record.a_prev, record.a, n)
        handed = dC_da_prev(error, params["W"])
        return DenseBackward(error, gradient, dC_db(error, n), handed, own or {}, n)

    return backward_from_delta


DENSE_MUTANTS: dict[str, Any] = {
    "delta 0.1 % too large": dense(delta=lambda delta: 1.001 * delta),
    "delta of the wrong sign": dense(delta=lambda delta: -delta),
    "BP2: W not transposed": dense(dC_da_prev=lambda delta, W: delta @ W.T),
    "BP2: 0.1 % too large": dense(dC_da_prev=lambda delta, W: 1.001 * (delta @ W)),
    "BP3: 0.1 % too large": dense(dC_db=lambda delta, n: 1.001 * delta.sum(axis=0) / n),
    "BP3: mean over n missing": dense(dC_db=lambda delta, n: delta.sum(axis=0)),
    "BP3: summed over the neurons": dense(dC_db=lambda delta, n: delta.sum(axis=1) / n),
    "BP4: 0.1 % too large": dense(dC_dW=lambda delta, a_prev, a, n: 1.001 * delta.T @ a_prev / n),
    "BP4: transposed": dense(dC_dW=lambda delta, a_prev, a, n: a_prev.T @ delta / n),
    "BP4: mean over n missing": dense(dC_dW=lambda delta, a_prev, a, n: delta.T @ a_prev),
    "BP4: mean over n - 1": dense(dC_dW=lambda delta, a_prev, a, n: delta.T @ a_prev / (n - 1)),
    "BP4: a instead of a_prev": dense(dC_dW=lambda delta, a_prev, a, n: delta.T @ a / n),
    "BP4: an example left out": dense(dC_dW=lambda delta, a_prev, a, n: delta[1:].T @ a_prev[1:] / n),
}


def without_slope(
    self: Any, record: Any, dC_da: Any, params: Any, n: int, inputs: bool = True, out: Any = None
) -> Any:
    return self.backward_from_delta(record, dC_da, params, n, inputs, out, {})


def all_is_well(case: Case, *, rungs: list[str] = RUNGS, training: bool = False) -> list[bool]:
    """Return what the gradient check says, then what the comparison with each other rung says."""
    p = smooth_problem(case, 4, weighted=True, training=training)
    return [gradients_are_right(p), *[largest_difference(p, rung) < 1e-12 for rung in rungs]]


@pytest.mark.parametrize("case", [SQUARE, FUSED], ids=lambda case: case.name)
def test_the_checks_pass_what_is_right(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(all_is_well(case))
    monkeypatch.setattr(Dense, "backward_from_delta", dense())  # the frame of the mutants, nothing exchanged
    assert all(all_is_well(case))


@pytest.mark.parametrize("case", [SQUARE, FUSED], ids=lambda case: case.name)
@pytest.mark.parametrize("name", DENSE_MUTANTS)
def test_mutants_of_dense(name: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dense, "backward_from_delta", DENSE_MUTANTS[name])
    assert not any(all_is_well(case))


def test_missing_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActivationOwner, "backward", without_slope)
    assert not any(all_is_well(SQUARE))


@pytest.mark.parametrize("factor", [1.001, 4.0, -1.0])
def test_bp1_of_the_plain_product(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Quadratic.dC_da
    monkeypatch.setattr(Quadratic, "dC_da", lambda self, a, y: factor * right(self, a, y))
    assert not gradients_are_right(smooth_problem(SQUARE, 4))


PAIR_MUTANTS: dict[str, Any] = {
    "0.1 % too large": lambda self, cost, z, a, y: 1.001 * (a - cost.smoothed(y)),
    "smoothing forgotten": lambda self, cost, z, a, y: a - y,
    "slope twice": lambda self, cost, z, a, y: (a - cost.smoothed(y)) * a * (1 - a),
}


@pytest.mark.parametrize("name", PAIR_MUTANTS)
def test_bp1_of_a_fused_pair(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair: type[FusedPair] = type(fused_pairs()["softmax", "cross_entropy"])
    monkeypatch.setattr(pair, "delta", PAIR_MUTANTS[name])
    assert not gradients_are_right(smooth_problem(FUSED, 4))


def test_forgotten_weights_of_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "weighted", lambda rows, weights: rows)
    for case in (SQUARE, FUSED):
        assert not any(all_is_well(case))


def scaled_error(right: Any) -> Any:
    """Return a backward whose dC_da_prev is 0.1 % too large."""

    def backward(self: Any, *args: Any, **options: Any) -> Any:
        record = right(self, *args, **options)
        if record.dC_da_prev is None:  # not asked for by the first layer
            return record
        return record._replace(dC_da_prev=1.001 * record.dC_da_prev)

    return backward


@pytest.mark.parametrize("name", list(LAYERS))
def test_every_layer_that_passes_the_error_back_wrongly(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(LAYERS[name])
    monkeypatch.setattr(kind, "backward", scaled_error(kind.backward))
    case = Case(name, [Dense(4, "tanh"), LAYERS[name], Dense(3, "tanh")])
    training = kind is Dropout
    assert not any(all_is_well(case, training=training))


def keeping_only_the_direct_term(
    self: Any, record: Any, dC_da: Any, params: Any, n: int, axis: int | None
) -> Any:
    return type(self)._true_backward_record(self, record, dC_da, params, n, None)


@pytest.mark.parametrize(("kind", "training"), [(LayerNorm, False), (BatchNorm, True)])
def test_statistics_taken_as_constants(kind: Any, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commonest wrong backward pass of a normalisation: the mean and the variance move too."""
    case = Case("norm", [Dense(4, "tanh"), kind(), Dense(3, "tanh")])
    p = smooth_problem(case, 4, training=training)
    assert gradients_are_right(p)
    monkeypatch.setattr(kind, "_true_backward_record", kind.backward_record, raising=False)
    monkeypatch.setattr(kind, "backward_record", keeping_only_the_direct_term)
    assert not gradients_are_right(p)


def test_a_residual_that_forgets_the_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Residual.backward

    def backward(self: Any, record: Any, dC_da: Any, *rest: Any) -> Any:
        back = right(self, record, dC_da, *rest)
        return back._replace(dC_da_prev=back.parts["body"][0].dC_da_prev)

    monkeypatch.setattr(Residual, "backward", backward)
    assert not any(all_is_well(Case("residual", [Dense(4, "tanh"), Residual(Dense(4, "tanh")), Dense(3)])))


def test_a_concatenate_that_forgets_a_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Concatenate.backward

    def backward(self: Any, record: Any, dC_da: Any, *rest: Any) -> Any:
        back = right(self, record, dC_da, *rest)
        return back._replace(dC_da_prev=back.parts["branch1"][0].dC_da_prev)

    branches = Concatenate([Dense(4, "tanh"), Activation("sigmoid")])
    monkeypatch.setattr(Concatenate, "backward", backward)
    assert not any(all_is_well(Case("concatenate", [Dense(4, "tanh"), branches, Dense(3)])))


@pytest.mark.parametrize("rung", RUNGS)
def test_a_rung_that_is_wrong_is_told_apart_from_the_reference(
    rung: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(engines()[rung])
    right = kind.gradient
    monkeypatch.setattr(
        kind, "gradient", lambda *args: right(*args)._replace(gradient=right(*args)[1] * 1.001)
    )
    well = all_is_well(SQUARE)
    assert well == [True, *[name != rung for name in RUNGS]]


def test_nothing_of_the_oracles_calls_the_layers_own_mathematics(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every forward and backward of the layers gone, the three rungs still run."""
    p = smooth_problem(
        Case("zoo", [Dense(4, "tanh"), *LAYERS.values(), Dense(3, "softmax")], "cross_entropy"), 3
    )

    def gone(*args: Any, **options: Any) -> Any:
        raise AssertionError("an oracle called the mathematics that it is to check")

    for layer in LAYERS.values():
        for name in ("forward", "backward", "backward_from_delta"):
            monkeypatch.setattr(type(layer), name, gone, raising=False)
    gradients = [engines()[rung].gradient(*p).gradient for rung in RUNGS]
    assert all(np.allclose(gradient, gradients[0], rtol=1e-10, atol=1e-13) for gradient in gradients)
    with pytest.raises(AssertionError, match="an oracle called"):
        engines()["batch"].gradient(*p)
