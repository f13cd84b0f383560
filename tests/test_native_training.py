"""Training on the native rung equals training on the batch rung, whatever the options."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from tests.native_cases import (
    LABELS,
    SEVERAL_STEPS,
    WEIGHTS,
    N,
    X,
    classifier,
    difference,
    fitted,
    needs_native,
    noisy,
)
from tests.networks import Case, covering, relative, targets

import clearprop as cp
from clearprop.optimizers import (
    SGD,
    SGDW,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    Optimizer,
    RMSprop,
)
from clearprop.optimizers import optimizers as registered
from clearprop.schedules import schedules

pytestmark = needs_native

OPTIMIZERS = {
    "sgd": SGD(0.2),
    "momentum": Momentum(0.05, 0.9),
    "momentum torch": Momentum(0.05, 0.9, convention="torch"),
    "momentum dampened": Momentum(0.05, 0.8, convention="torch", dampening=0.4),
    "nesterov": Nesterov(0.05, 0.9),
    "nesterov torch": Nesterov(0.05, 0.9, convention="torch"),
    "sgdw": SGDW(0.05, 0.9, weight_decay=0.1),
    "sgdw torch": SGDW(0.05, 0.9, "torch", 0.3, weight_decay=0.1),
    **{
        f"rmsprop {placement}{' centered' * centered}{' momentum' * bool(momentum)}": RMSprop(
            0.01, 0.9, 1e-3, centered, momentum, placement
        )
        for placement in ("outside", "inside")
        for centered in (False, True)
        for momentum in (0.0, 0.7)
    },
    **{
        f"{kind.__name__} {placement}{' amsgrad' * amsgrad}": kind(0.01, 0.8, 0.95, 1e-3, amsgrad, placement)
        for kind in (Adam, AdamW)
        for placement in ("after_correction", "before_correction")
        for amsgrad in (False, True)
    },
}

LARGER = {
    "momentum": Momentum(0.05),  # has a slot, and its gradient goes to memory
    "adam": Adam(0.01),  # has slots, and uses its gradient at once
    "sgd": SGD(0.2),
}

OPTIONS: dict[str, dict[str, object]] = {
    "l1": {"l1": 0.02},
    "l2": {"l2": 0.1},
    "divided by examples": {"penalty": cp.Penalty(0.9, 4.0, divide_by="examples")},
    "divided by batch": {"penalty": cp.Penalty(0.2, 1.0, divide_by="batch")},
    "biases too": {"penalty": cp.Penalty(0.02, 0.1, scope="all")},
    "clip_norm": {"clip_norm": 0.2},
    "clip_norm that is not reached": {"clip_norm": 1e6},
    "clip_value": {"clip_value": 0.01},
    "max_norm": {"max_norm": 0.8},
    "all limits": {"l1": 0.01, "l2": 0.1, "clip_norm": 0.3, "clip_value": 0.05, "max_norm": 0.9},
    "sample_weight": {"sample_weight": WEIGHTS},
    "class_weight": {"class_weight": {"a": 3.0, "b": 0.5, "c": 1.0}},
    "both weights": {"sample_weight": WEIGHTS, "class_weight": "balanced"},
    "groups": {"groups": {"1": {"rate": 0.3}, "*.W": {"decay": 0.5}, "5.b": {"rate": 2.0}}, "l2": 0.2},
    "metrics": {"metrics": ["f1", "log_loss"]},
    "metrics with weights": {"metrics": ["accuracy", "f1"], "sample_weight": WEIGHTS},
    "validation": {"validation_fraction": 0.3, "metrics": "f1"},
    "drop_last": {"drop_last": True},
    "no shuffling": {"shuffle": False},
    "whole batches": {"batch_size": N},
    "batches larger than the data": {"batch_size": 1000},
    "one example at a time": {"batch_size": 1, "epochs": 1},
    "an order": {"order": [np.arange(N)[::-1], np.array([3, 3, 8, 1]), np.arange(0, N, 2)]},
    "an order in batches": {"order": lambda epoch: [np.arange(7), np.array([epoch]), np.arange(20, 9, -1)]},
}


def test_every_optimizer_is_tried() -> None:
    # L-BFGS is no optimiser of single steps: the loop drives it and asks for gradients.
    assert {type(o).name for o in OPTIMIZERS.values()} == set(registered) - {"lbfgs"}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("shaped", [False, True], ids=["plain", "shaped"])
def test_every_optimizer(name: str, shaped: bool) -> None:
    shaping = {"l2": 0.05, "clip_norm": 0.5, "groups": {"2": {"rate": 0.5, "decay": 0.3}}, "max_norm": 1.5}
    options = {
        "optimizer": OPTIMIZERS[name],
        "schedule": cp.ExponentialDecay(0.6),
        **(shaping if shaped else {}),
    }
    assert difference(classifier, **options) < SEVERAL_STEPS


@pytest.mark.parametrize("optimizer", LARGER)
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option(name: str, optimizer: str) -> None:
    assert difference(classifier, optimizer=LARGER[optimizer], **OPTIONS[name]) < SEVERAL_STEPS


@pytest.mark.parametrize("name", schedules)
def test_every_schedule(name: str) -> None:
    assert difference(classifier, optimizer=Momentum(0.05), schedule=schedules.make(name)) < SEVERAL_STEPS


def test_schedules_that_follow_the_cost() -> None:
    schedule = cp.OnPlateau(factor=0.5, patience=0, min_delta=1e9)
    assert difference(classifier, epochs=5, schedule=schedule, validation_fraction=0.2) < SEVERAL_STEPS


@pytest.mark.parametrize("patterns", [("1",), ("*.W",), ("*.b", "2"), ("*.alpha", "3")], ids=str)
@pytest.mark.parametrize("optimizer", LARGER)
def test_what_is_frozen_keeps_its_bits(patterns: tuple[str, ...], optimizer: str) -> None:
    start = classifier()
    options = {"optimizer": LARGER[optimizer], "l2": 0.1, "max_norm": 0.5}
    found, expected = (
        fitted(classifier().freeze(*patterns), engine=engine, **options) for engine in ("native", "batch")
    )
    assert relative(found.theta, expected.theta) < SEVERAL_STEPS
    np.testing.assert_array_equal(found.theta == start.theta, expected.theta == start.theta)
    assert np.any(found.theta == start.theta)


@dataclass(frozen=True)
class Sign(Optimizer):
    """An optimiser of one's own: a step of eta against the sign of the gradient."""

    eta: float = 0.001

    def update(self, theta, gradient, slots, *, step, eta, scale=None, decay_mask=None):
        theta -= eta * np.sign(gradient)


def test_what_the_kernels_cannot_update_is_trained_step_by_step() -> None:
    for options in ({"groups": {"3.gamma": {"rate": 0.5}}}, {"optimizer": Sign()}):
        assert difference(classifier, step_by_step=True, **options) < SEVERAL_STEPS
    frozen = fitted(classifier().freeze("3.gamma"), step_by_step=True)
    np.testing.assert_array_equal(frozen.parameters["3.gamma"], classifier().parameters["3.gamma"])


def test_noise_and_batch_norm() -> None:
    for options in (
        {},
        {"clip_norm": 0.3, "l2": 0.1},
        {"sample_weight": WEIGHTS},
        {"validation_fraction": 0.2},
    ):
        assert difference(noisy, optimizer=Adam(0.01), **options) < SEVERAL_STEPS


# Networks ----------------------------------------------------------------------------------------


def network(case: Case, **options: object) -> cp.Network:
    return cp.Network(case.layers, case.cost, n_in=case.n_in, seed=3, **options)


def examples(case: Case, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    model, rng = case.model(), np.random.default_rng([5, n])
    y = targets(model.cost.targets, n, model.n_out, rng)
    if model.cost.targets == "distribution":
        y = np.eye(model.n_out)[y.argmax(axis=1)]
    return rng.normal(size=(n, model.n_in)), y


@pytest.mark.parametrize("case", covering(), ids=lambda case: case.name)
def test_every_activation_cost_and_layer(case: Case) -> None:
    data = examples(case)
    options = {"optimizer": SGD(0.1), "sample_weight": WEIGHTS, "drop_last": True}
    assert difference(lambda: network(case), *data, **options) < SEVERAL_STEPS
    one = {"epochs": 1, "batch_size": N, "clip_norm": 10.0}
    for optimizer in (SGD(0.5), Adam(0.1, epsilon=1e-4)):
        assert difference(lambda: network(case), *data, optimizer=optimizer, **one) < 1e-12


def test_networks_with_shared_and_own_slopes() -> None:
    for prelu in (cp.activations.PReLU(), cp.activations.PReLU(shared=True)):

        def make(prelu=prelu):
            return cp.Network([cp.Dense(11, prelu), cp.Dense(3, "softmax")], n_in=5, seed=1)

        for options in ({}, {"clip_norm": 0.3}, {"groups": {"1.alpha": {"rate": 0.2}}}):
            assert difference(make, optimizer=SGD(0.3), **options) < SEVERAL_STEPS


def test_targets_of_every_kind() -> None:
    rng = np.random.default_rng(0)
    yes_no = (X[:, 0] > 0).astype(int)
    kinds = {
        "binary": ([cp.Dense(6, "tanh"), cp.Dense(1, "sigmoid")], yes_no),
        "signs": ([cp.Dense(6, "tanh"), cp.Dense(1, "tanh")], np.where(yes_no, "yes", "no")),
        "multilabel": ([cp.Dense(6, "tanh"), cp.Dense(3, "sigmoid")], rng.integers(0, 2, (N, 3))),
        "one-hot": ([cp.Dense(6, "tanh"), cp.Dense(3, "softmax")], np.eye(3)[rng.integers(0, 3, N)]),
        "numbers": ([cp.Dense(6, "tanh"), cp.Dense(2)], rng.normal(size=(N, 2))),
    }
    for layers, y in kinds.values():
        assert difference(lambda layers=layers: cp.Network(layers, n_in=5, seed=0), X, y) < SEVERAL_STEPS


# Data --------------------------------------------------------------------------------------------


class Batches:
    def __init__(self, weighted: bool) -> None:
        self.weighted = weighted

    def __iter__(self):
        for begin, end in ((0, 10), (10, 13), (13, 40), (40, N)):
            rows = slice(begin, end)
            yield (X[rows], LABELS[rows], WEIGHTS[rows]) if self.weighted else (X[rows], LABELS[rows])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", [classifier, noisy])
def test_a_stream_of_batches(make, weighted: bool) -> None:
    def known(**options):
        return make(classes=["a", "b", "c"], **options)

    for penalty in (cp.Penalty(), cp.Penalty(0.1, 1.0, divide_by="examples")):
        assert difference(known, Batches(weighted), None, penalty=penalty) < SEVERAL_STEPS


@pytest.mark.parametrize("given", ["float64", "float32", "int64 indices", "with duplicates", "preprocessed"])
def test_sparse_rows(given: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.where(np.abs(X) > 0.8, X, 0.0)
    dense[7] = 0.0  # a row without entries
    rows = sparse.csr_matrix(dense.astype("float32") if given == "float32" else dense)
    if given == "int64 indices":
        rows.indices, rows.indptr = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
    if given == "with duplicates":
        where = rows.tocoo()
        twice = [np.concatenate([part, part]) for part in (where.row, where.col, where.data)]
        order = np.argsort(twice[0], kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(twice[0], minlength=N))]).astype(np.int32)
        rows = sparse.csr_matrix((twice[2][order], twice[1][order], starts), shape=dense.shape)
        dense = 2 * dense
    preprocessing = cp.Affine(0.5, 1.25) if given == "preprocessed" else None

    def make():
        return noisy(preprocessing=preprocessing)

    options = {"sample_weight": WEIGHTS, "metrics": "f1"}
    found = fitted(make(), rows, **options)
    expected = fitted(make(), np.asarray(dense, "float32" if given == "float32" else None), **options)
    assert relative(found.theta, expected.theta) < SEVERAL_STEPS
    assert difference(make, rows, **options) < SEVERAL_STEPS


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", ">f8"])
@pytest.mark.parametrize("preprocessing", [None, "standardize"])
@pytest.mark.parametrize("pieces", [1, 1 << 20], ids=["small pieces", "large pieces"])
def test_mapped_files(tmp_path, monkeypatch, dtype: str, preprocessing, pieces: int) -> None:
    monkeypatch.setattr("clearprop.training.whole_runs._READ_BYTES", pieces)
    np.save(tmp_path / "X.npy", (100 * X).astype(dtype))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")

    def make(**options):
        return noisy(preprocessing=preprocessing or cp.Affine(0.0, 0.01), **options)

    for rows in (mapped, mapped[::-1]):
        assert difference(make, rows, validation_fraction=0.2) < SEVERAL_STEPS
    plain = noisy, np.load(tmp_path / "X.npy", mmap_mode="r")[:, ::-1]
    assert difference(*plain, eta=1e-5, optimizer=SGD()) < SEVERAL_STEPS


LAID_OUT = {
    "by columns": np.asfortranarray(X),
    "every other column": np.repeat(X, 2, axis=1)[:, ::2],
    "every other row": np.repeat(X, 2, axis=0)[::2],
    "backwards": X[::-1, ::-1].copy()[::-1, ::-1],
    "not aligned": np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(X.dtype).reshape(X.shape),
    "lists": X.tolist(),
}


@pytest.mark.parametrize("name", LAID_OUT)
def test_rows_laid_out_in_any_way(name: str) -> None:
    expected = fitted(classifier())
    np.testing.assert_array_equal(fitted(classifier(), LAID_OUT[name]).theta, expected.theta)
    found = expected.outputs(LAID_OUT[name], engine="native")
    np.testing.assert_array_equal(found, expected.outputs(X, engine="native"))


def test_rows_that_must_not_be_written_to() -> None:
    read_only = X.copy()
    read_only.setflags(write=False)
    np.testing.assert_array_equal(fitted(classifier(), read_only).theta, fitted(classifier()).theta)
    np.testing.assert_array_equal(classifier().outputs(read_only), classifier().outputs(X))


def test_float32_rows_in_a_float64_network() -> None:
    assert difference(classifier, X.astype(np.float32)) < SEVERAL_STEPS
    rounded = X.astype(np.float32).astype(np.float64)
    found = fitted(classifier(), X.astype(np.float32))
    np.testing.assert_array_equal(found.theta, fitted(classifier(), rounded).theta)


def test_several_inputs() -> None:
    parts = X[:, :2], X[:, 2:]
    body = cp.Concatenate([cp.Dense(4, "tanh"), [cp.Dense(3, "relu"), cp.Dense(2)]], inputs=[2, 3])

    def make():
        return cp.Network([body, cp.Dense(3, "softmax")], n_in=5, seed=0)

    assert difference(make, parts) < SEVERAL_STEPS


def test_training_in_two_fits_has_the_bits_of_one() -> None:
    for make in (classifier, noisy):
        whole, net = fitted(make(), epochs=4, optimizer=SGD(0.1)), make()
        for epochs in (1, 3):
            fitted(net, epochs=epochs, optimizer=SGD(0.1))
        np.testing.assert_array_equal(net.theta, whole.theta)
        np.testing.assert_array_equal(net.buffers, whole.buffers)
