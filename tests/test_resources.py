"""What training holds in memory: files larger than it are read in parts, and nothing is left behind."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import clearprop as cp
from clearprop.training.divergence import LastFinite

MB = 1 << 20


class Peak:
    """The most memory that was allocated within, in MB."""

    def __enter__(self):
        gc.collect()
        tracemalloc.start()
        return self

    def __exit__(self, *_):
        self.most = tracemalloc.get_traced_memory()[1] / MB
        tracemalloc.stop()


def network(**options):
    return cp.Network([cp.Dense(4, "tanh"), cp.Dense(2, "softmax")], seed=0, **options)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file of 192 MB that takes no space on the disk, and its labels."""
    n, d = 24_000, 1024
    path = tmp_path_factory.mktemp("data") / "X.bin"
    X = np.memmap(path, dtype="float64", mode="w+", shape=(n, d))
    X[::1000] = 1.0
    X.flush()
    del X
    return np.memmap(path, dtype="float64", mode="r", shape=(n, d)), np.arange(n) % 2


@pytest.mark.parametrize("kind", ["plain", "standardized float32", "split off", "two inputs", "view"])
def test_a_mapped_file_is_never_read_whole(large, kind):
    X, y = large
    net = (
        network(dtype="float32", preprocessing="standardize") if kind == "standardized float32" else network()
    )
    options = {"validation_fraction": 0.5} if kind == "split off" else {}
    given = {"two inputs": (X[:, :1000], X[:, 1000:]), "view": np.asarray(X)[:, ::-1]}.get(kind, X)
    with Peak() as peak:
        net.fit(given, y, epochs=1, batch_size=500, **options)
        net.predict(given)
        net.evaluate(given, y, metrics=["f1"])
    assert peak.most < 100


def test_the_measure_would_notice_a_file_that_is_read_whole(large):
    with Peak() as peak:
        np.array(large[0])
    assert peak.most > 180


def test_a_stream_is_held_in_parts():
    class Source:
        def __iter__(self):
            for start in range(300):
                X = np.full((500, 400), float(start % 3))  # 1.6 MB
                X[::2] += 1
                yield X, np.arange(500) % 2

    with Peak() as peak:
        network().fit(Source(), epochs=1)
    assert peak.most < 150  # of 480


def test_a_snapshot_does_not_hold_large_batches_for_long():
    snapshot = LastFinite(np.zeros(1), np.zeros(0), {}, 0, taken=0.0, seconds=1e9)
    batch = (np.zeros((1000, 1000)), None)
    for _ in range(8):
        assert not snapshot.is_due(now=1.0)
        snapshot.batches.append(batch)
    snapshot.batches.append(batch)
    assert snapshot.is_due(now=1.0)


def test_many_fits_leave_nothing_behind():
    X, y = np.random.default_rng(0).normal(size=(40, 10)), np.arange(40) % 2
    net = network()

    def fits(count):
        for _ in range(count):
            net.fit(X, y, epochs=1, validation_fraction=0.25, early_stopping=True, callbacks=cp.NormHistory())
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = fits(20)
        last = fits(200)
    finally:
        tracemalloc.stop()
    assert last - first < 0.1 * MB


def test_a_copy_of_the_data_is_made_only_to_convert_it():
    X, y = np.zeros((4000, 500)), np.arange(4000) % 2  # 16 MB
    X[::2] = 1
    with Peak() as peak:
        network().fit(X, y, epochs=1)
    assert peak.most < 14


class MayChange(cp.Callback):
    def on_epoch_end(self, run, row):
        pass


def test_the_parameters_to_go_back_to_are_copied_only_where_other_code_may_change_them():
    def peak_with(callbacks):
        X, y = np.zeros((64, 1000), np.float32), np.arange(64) % 2
        net = cp.Network([cp.Dense(4000, "relu"), cp.Dense(2)], n_in=1000, dtype="float32", engine="native")
        with Peak() as peak:
            net.fit(X, y, epochs=2, batch_size=32, optimizer="sgd", callbacks=callbacks)
        return peak.most

    copied = peak_with(MayChange())
    assert copied > 15  # what the parameters take
    for callbacks in ((), cp.EarlyStopping("cost", restore_best=False), cp.NormHistory(100)):
        assert peak_with(callbacks) < copied - 10


def test_large_weights_are_drawn_part_by_part():
    with Peak() as peak:
        assert cp.Network([cp.Dense(2000, "relu"), cp.Dense(2)], n_in=1000, dtype="float32").theta.any()
    assert peak.most < 35  # 8 of parameters, 16 of the matrix in float64; with all that leads to it, above 80
