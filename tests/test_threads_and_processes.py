"""Several threads, and processes that fork: the bits of a serial run, or an error that says why not."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import clearprop as cp
from clearprop.compiled import native

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 5))
Y = np.array(["a", "b", "c"])[RNG.integers(0, 3, size=60)]
ENGINES = ["batch", *(["native"] if native is not None else [])]


def network(seed: int, engine: str) -> cp.Network:
    layers = [cp.Dense(8, "relu"), cp.Dropout(0.3), cp.BatchNorm(), cp.Dense(3, "softmax")]
    return cp.Network(layers, seed=seed, engine=engine)


def trained(seed: int, engine: str) -> bytes:
    net = network(seed, engine)
    optimizer = ("sgd", "adam", "rmsprop", "momentum")[seed % 4]
    net.fit(X, Y, epochs=6, batch_size=10, optimizer=optimizer, eta=0.01)
    return net.theta.tobytes() + net.buffers.tobytes() + "".join(net.predict(X)).encode()


@pytest.mark.parametrize("engine", ENGINES)
def test_eight_threads_that_fit_different_models_get_the_bits_of_serial_runs(engine: str) -> None:
    alone = [trained(seed, engine) for seed in range(8)]
    together = threading.Barrier(8, timeout=30)

    def fit(seed: int) -> bytes:
        together.wait()
        return trained(seed, engine)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fit, range(8))) == alone
    assert len(set(alone)) == 8


@pytest.mark.parametrize("engine", [None, *ENGINES])
def test_many_threads_predict_with_one_model(engine: str | None) -> None:
    net = network(1, "auto")
    net.fit(X, Y, epochs=2)
    parts = [X[i : i + 1 + i % 7] for i in range(50)]
    alone = [net.outputs(part, engine=engine).tobytes() for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            assert list(pool.map(lambda part: net.outputs(part, engine=engine).tobytes(), parts)) == alone


class Meanwhile(cp.Callback):
    """Lets another thread do something with the network between two steps, and waits for it."""

    every = 1

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act, self.done, self.errors = act, 0, []

    def on_step_end(self, run: Any) -> None:
        thread = threading.Thread(target=self._do)
        thread.start()
        thread.join()

    def _do(self) -> None:
        try:
            self.act()
        except Exception as error:
            self.errors.append(error)
        self.done += 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_fit_of_a_network_that_is_being_trained_is_refused(engine: str) -> None:
    net = network(0, engine)
    meanwhile = Meanwhile(lambda: net.fit(X, Y, epochs=1))
    net.fit(X, Y, epochs=1, batch_size=20, callbacks=meanwhile)
    assert meanwhile.done == 3
    assert {type(error).__name__ for error in meanwhile.errors} == {"BusyError"}
    assert "is being trained" in str(meanwhile.errors[0])
    assert net.theta.tobytes() == undisturbed(engine)
    net.fit(X, Y, epochs=1)  # afterwards it may


@pytest.mark.parametrize("engine", ENGINES)
def test_predicting_between_steps_from_another_thread_sees_the_parameters_of_a_step(engine: str) -> None:
    net, seen = network(0, engine), []
    meanwhile = Meanwhile(lambda: seen.append((net.theta.tobytes(), net.outputs(X).tobytes())))
    net.fit(X, Y, epochs=1, batch_size=20, callbacks=meanwhile)
    assert not meanwhile.errors
    assert len({theta for theta, _ in seen}) == 3
    assert seen[-1][0] == net.theta.tobytes() == undisturbed(engine)


def undisturbed(engine: str) -> bytes:
    net = network(0, engine)
    net.fit(X, Y, epochs=1, batch_size=20)
    return net.theta.tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_predicting_all_the_time_while_another_thread_fits(engine: str) -> None:
    net = network(0, engine)
    net.build(5, 3)
    finished, outputs = threading.Event(), []

    def predict() -> None:
        while not finished.is_set():
            outputs.append(net.outputs(X[:4]))

    with ThreadPoolExecutor(2) as pool:
        watching = [pool.submit(predict) for _ in range(2)]
        try:
            net.fit(X, Y, epochs=1, batch_size=20)
        finally:
            finished.set()
        for watcher in watching:
            watcher.result()
    assert all(a.shape == (4, 3) and np.isfinite(a).all() for a in outputs)
    assert net.theta.tobytes() == undisturbed(engine)


def test_a_network_that_failed_to_fit_is_free_again() -> None:
    net = network(0, "batch")
    with pytest.raises(cp.ClearpropError):
        net.fit(X, Y[:-1])
    with pytest.raises(cp.DivergenceError):
        cp.Network([cp.Dense(3)], seed=0).fit(X, X[:, :3] * 1e200, epochs=5, eta=1e200)
    assert net.fit(X, Y, epochs=1).stopped == "epochs"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork.*JAX:RuntimeWarning")  # where another test has loaded it
@pytest.mark.parametrize("engine", ENGINES)
def test_a_fit_after_a_fork_gives_the_bits_of_one_before(engine: str) -> None:
    before = trained(5, engine)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap_async(trained, [(5, engine)] * 4).get(timeout=60) == [before] * 4
    assert trained(5, engine) == before
