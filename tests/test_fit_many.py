"""fit_many: every network gets the bits of its own single run."""

from __future__ import annotations

import itertools
import tracemalloc
from functools import partial

import numpy as np
import pytest
from tests.many_cases import FOLDS, HELD, bits, rows_without_seconds
from tests.native_cases import LABELS, WEIGHTS, N, X, classifier, noisy

import clearprop as cp


def same(make, n, options, each=None, data=(X, LABELS), rows=None, validation_rows=None):
    """Train n networks one by one, then together with 1, 2 and 5 threads; nothing may differ."""
    alone = []
    for i in range(n):
        own = {name: values[i] for name, values in (each or {}).items()}
        x, y, own = data[0], data[1], {**options, **own}
        if validation_rows is not None:
            own |= {"X_val": x[validation_rows[i]], "y_val": y[validation_rows[i]]}
        if rows is not None and rows[i] is not None:
            x, y = x[rows[i]], y[rows[i]]
            if "sample_weight" in own:
                own["sample_weight"] = own["sample_weight"][rows[i]]
        network = make(i)
        network.fit(x, y, **own)
        alone.append(network)
    assert len({bits(network) for network in alone}) == n  # else mixing them up would not show
    for threads_ in (1, 2, 5):
        networks = [make(i) for i in range(n)]
        histories = cp.fit_many(
            networks,
            *data,
            rows=rows,
            validation_rows=validation_rows,
            each=each,
            threads=threads_,
            **options,
        )
        for one, other, history in zip(alone, networks, histories, strict=True):
            assert bits(one) == bits(other)
            assert history is other.history
            assert rows_without_seconds(one.history) == rows_without_seconds(history)
            assert one.history.stopped == history.stopped
            assert one.steps_trained == other.steps_trained
            assert one.preprocessing == other.preprocessing
            assert one.targets == other.targets


CASES = {
    "sgd": {"optimizer": "sgd", "eta": 0.1},
    "adam": {"optimizer": "adam"},
    "schedule": {"optimizer": "momentum", "schedule": cp.OneCycle()},
    "plateau": {"schedule": cp.OnPlateau(patience=1, min_delta=0.5)},
    "early stopping": {
        "early_stopping": cp.EarlyStopping(patience=1, min_delta=0.05),
        "validation_fraction": 0.3,
    },
    "weights": {"class_weight": "balanced", "sample_weight": WEIGHTS},
    "metrics": {"metrics": ["f1"], "l2": 0.01, "clip_norm": 0.5},
    "order": {"order": [np.arange(20), np.arange(44, 3, -1), np.arange(30)]},
    "lbfgs": {"optimizer": "lbfgs", "epochs": 5},
}


@pytest.mark.parametrize("case", CASES)
def test_bits_are_those_of_the_single_run(case) -> None:
    options = {"epochs": 3, "batch_size": 10, **CASES[case]}
    same(lambda i: classifier(seed=i), 5, options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bits_with_dropout_and_batch_norm(dtype) -> None:
    same(lambda i: noisy(seed=i, dtype=dtype), 4, {"epochs": 3, "batch_size": 10})


def test_bits_with_options_of_their_own() -> None:
    each = {
        "optimizer": [cp.SGD(0.1), cp.Adam(0.01), cp.SGD(0.01), "rmsprop"],
        "epochs": [1, 7, 2, 3],
        "batch_size": [3, 10, 45, 100],
        "sample_weight": [None, WEIGHTS, WEIGHTS[::-1], None],
    }
    same(lambda i: noisy(seed=3), 4, {}, each)


@pytest.mark.parametrize("engine", ["auto", "batch"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("preprocessing", [None, "standardize"])
def test_bits_of_folds(engine, dtype, preprocessing) -> None:
    def make(i: int) -> cp.Network:
        return noisy(seed=1, dtype=dtype, preprocessing=preprocessing, engine=engine)

    options = {"epochs": 3, "batch_size": 7, "sample_weight": WEIGHTS, "class_weight": "balanced"}
    same(make, 3, options, rows=FOLDS, validation_rows=HELD)


def test_bits_of_folds_that_are_split_again() -> None:
    same(
        lambda i: noisy(seed=i),
        4,
        {"epochs": 3, "batch_size": 6, "validation_fraction": 0.25},
        rows=[*FOLDS, None],
    )


def test_bits_of_rows_that_come_twice() -> None:
    rows = [np.random.default_rng(i).integers(0, N, N) for i in range(3)]  # bootstrap samples
    same(lambda i: noisy(seed=1), 3, {"epochs": 3, "sample_weight": WEIGHTS}, rows=rows)


def test_bits_of_sparse_and_mapped_data(tmp_path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    some = np.where(X > 0.3, X, 0.0)
    options = {"epochs": 2, "batch_size": 10}
    same(lambda i: noisy(), 3, options, data=(sparse.csr_matrix(some), LABELS), rows=FOLDS)
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for dtype, prepared in itertools.product(("float32", "float64"), (None, "standardize")):
        make = partial(noisy, dtype=dtype, preprocessing=prepared)
        same(lambda i, make=make: make(), 3, options, data=(mapped, LABELS), rows=FOLDS)


def test_masks_frames_and_other_layouts() -> None:
    masks = [np.isin(np.arange(N), fold) for fold in FOLDS]
    for x in (np.asfortranarray(X), X[:, ::-1], X.astype(np.float32)):
        same(lambda i: noisy(), 3, {"epochs": 2}, data=(x, LABELS), rows=masks)
    pandas = pytest.importorskip("pandas")
    networks, alone = [noisy(), noisy()], noisy()
    frame, labels = pandas.DataFrame(X), pandas.Series(LABELS)
    cp.fit_many(networks, frame, labels, rows=[FOLDS[0], None], epochs=2)
    alone.fit(frame.iloc[FOLDS[0]], labels.iloc[FOLDS[0]], epochs=2)
    assert bits(networks[0]) == bits(alone)


def test_sizes_left_to_the_data_and_several_inputs() -> None:
    networks = [cp.Network([cp.Dense(3, "tanh"), cp.Dense()], seed=i) for i in range(2)]
    cp.fit_many(networks, X, X[:, :2], epochs=1)
    assert [network.model.n_out for network in networks] == [2, 2]

    def two(i: int) -> cp.Network:
        return cp.Network([cp.Concatenate([[], []], inputs=[2, 3]), cp.Dense(1)], seed=i)

    together, alone = [two(0), two(1)], two(1)
    cp.fit_many(together, (X[:, :2], X[:, 2:]), X[:, 0], epochs=2)
    alone.fit((X[:, :2], X[:, 2:]), X[:, 0], epochs=2)
    assert bits(together[1]) == bits(alone)


def test_data_are_not_copied() -> None:
    seen = []

    class Look(cp.Callback):
        def on_fit_begin(self, run):
            seen.append((run.examples.X, run.validation.X, run.examples.y))

    networks = [noisy(dtype="float32") for _ in range(6)]
    cp.fit_many(
        networks,
        X,  # float64: converted once
        LABELS,
        rows=FOLDS * 2,
        validation_rows=HELD * 2,
        epochs=1,
        threads=1,
        each={"callbacks": [[Look()] for _ in networks]},
    )
    first = seen[0][0]
    assert first.shape == X.shape
    assert first.dtype == np.float32
    assert all(training is first and held is first for training, held, _ in seen)
    assert [seen[i][2] is seen[i + 3][2] for i in range(3)] == [True] * 3
    assert seen[0][2] is not seen[1][2]


def test_on_the_python_rungs() -> None:
    same(lambda i: classifier(seed=i, engine="batch"), 3, {"epochs": 2, "batch_size": 10})
    engines = (
        ["native", "batch", "example"]
        if cp.engines.engines()["native"].supports(classifier().model) is None
        else ["batch", "example", "neuron"]
    )
    same(lambda i: classifier(engine=engines[i]), 3, {"epochs": 1, "batch_size": 10})


def test_a_second_call_goes_on() -> None:
    together, alone = [noisy(), noisy(seed=5)], noisy(seed=5)
    for _ in range(2):
        cp.fit_many(together, X, LABELS, epochs=2, optimizer="sgd")
    alone.fit(X, LABELS, epochs=4, optimizer="sgd")
    assert bits(together[1]) == bits(alone)


def peak_bytes(networks: int, **rows) -> int:
    """Return the most memory that fit_many takes for so many networks with 20000 targets of 10 outputs."""
    x, labels = np.zeros((20000, 1)), np.arange(20000) % 10
    nets = [cp.Network([cp.Dense(10, "softmax")], n_in=1, seed=i) for i in range(networks)]
    own = {name: [value] * networks for name, value in rows.items()}
    tracemalloc.start()
    try:
        cp.fit_many(nets, x, labels, **own, epochs=1, batch_size=20000, threads=1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


SOME_ROWS = {"rows": np.arange(19000), "validation_rows": np.arange(20000)}


@pytest.mark.parametrize("given", [{}, SOME_ROWS], ids=["all rows", "some rows"])
def test_targets_are_kept_once_however_many_networks(given) -> None:
    peak_bytes(1, **given)  # what is imported and cached
    encoded = 20000 * 10 * 8
    assert peak_bytes(20, **given) - peak_bytes(2, **given) < 2 * encoded  # not 18 times
