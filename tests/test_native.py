"""The native rung predicts, on many threads of Python at once, and orders the examples of an epoch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from tests.native_cases import LABELS, X, classifier, fitted, needs_native, noisy
from tests.networks import Case, covering, problem, relative

import clearprop as cp
from clearprop.compiled import native
from clearprop.engines import engines
from clearprop.random import Purpose, stream

pytestmark = needs_native

COVERING = covering()


# Prediction --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 1025])
@pytest.mark.parametrize("case", COVERING, ids=lambda case: case.name)
def test_outputs_are_those_of_the_batch_rung(case: Case, n: int) -> None:
    for dtype, limit in ((np.float64, 1e-13), (np.float32, 1e-4)):
        p = problem(case, n, dtype=dtype)
        rung, batch = engines()["native"], engines()["batch"]
        found, record = rung.outputs(*p[:3]), rung.output(*p[:3])
        assert found.dtype == dtype
        assert relative(found, batch.outputs(*p[:3])) < limit
        np.testing.assert_array_equal(record.a, found)
        if hasattr(record, "z"):
            assert relative(record.z, batch.output(*p[:3]).z) < limit


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [classifier, noisy])
def test_a_row_has_the_same_outputs_in_any_company(make, dtype: str) -> None:
    net = make(dtype=dtype, engine="native")
    many = np.random.default_rng(3).normal(size=(2500, 5)).astype(dtype)
    whole = net.outputs(many)
    for rows in (slice(0, 2), slice(0, 1024), slice(1020, 1030), slice(None, None, 7)):
        assert relative(net.outputs(many[rows]), whole[rows]) < 100 * np.finfo(dtype).eps
    np.testing.assert_array_equal(net.outputs(many), whole)


def test_no_rows_give_no_outputs_on_the_engine() -> None:
    p = problem(COVERING[0], 3)
    for rows in (p.X[:0], np.empty((0, p.model.n_in))):
        assert engines()["native"].outputs(p.model, p.state, rows).shape == (0, p.model.n_out)


def test_outputs_follow_theta_and_buffers_as_they_are() -> None:
    net = noisy(engine="native")
    before = net.outputs(X)
    net.theta *= 1.5
    changed = net.outputs(X)
    assert not np.allclose(before, changed)
    net.buffers[:] = 0.5
    assert relative(net.outputs(X), net.outputs(X, engine="batch")) < 1e-13
    assert not np.allclose(net.outputs(X), changed)


def test_networks_taken_in_turn_are_not_mistaken_for_one_another() -> None:
    nets = [classifier(seed=seed, dtype=dtype) for seed in (1, 2) for dtype in ("float32", "float64")]
    expected = [net.outputs(X, engine="batch") for net in nets]
    for _ in range(3):
        for net, outputs in zip(nets, expected, strict=True):
            assert relative(net.outputs(X, engine="native"), outputs) < 1e-5


def test_a_machine_that_could_not_be_made_leaves_no_other_in_its_place(monkeypatch) -> None:
    twins = [cp.Network([cp.Dense(3, f), cp.Dense(2)], n_in=5, seed=0) for f in ("tanh", "relu")]
    expected = twins[1].outputs(X, engine="batch")
    twins[0].outputs(X, engine="native")
    monkeypatch.setenv("CLEARPROP_ISA", "none of these")
    with pytest.raises(cp.errors.OptionError):
        twins[1].outputs(X, engine="native")
    monkeypatch.delenv("CLEARPROP_ISA")
    assert relative(twins[1].outputs(X, engine="native"), expected) < 1e-13


# Threads of Python and processes -----------------------------------------------------------------


def in_threads(work: list[Callable[[], object]]) -> list[object]:
    """Do all of it at once, each on a thread of its own; return what each gave, or raise what one raised."""
    results: list[object] = [None] * len(work)
    start = threading.Barrier(len(work))

    def run(i: int) -> None:
        start.wait()
        try:
            results[i] = work[i]()
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def test_threads_predict_at_once() -> None:
    nets = [classifier(seed=seed, engine="native") for seed in range(3)]
    nets += [noisy(dtype="float32", engine="native"), nets[0], nets[0]]
    rows = [np.random.default_rng(i).normal(size=(50 + 400 * i, 5)) for i in range(len(nets))]
    expected = [net.outputs(x) for net, x in zip(nets, rows, strict=True)]

    def work(i: int) -> Callable[[], list[np.ndarray]]:
        return lambda: [nets[i].outputs(rows[i]) for _ in range(30)]

    for i, found in enumerate(in_threads([work(i) for i in range(len(nets))])):
        for outputs in found:
            np.testing.assert_array_equal(outputs, expected[i])


def wide(seed: int) -> cp.Network:
    """Return a network whose products are large enough for several threads."""
    layers = [cp.Dense(150, "relu"), cp.Dropout(0.1), cp.Dense(3, "softmax")]
    return cp.Network(layers, n_in=5, seed=seed, engine="native")


MANY, MANY_LABELS = np.tile(X, (20, 1)), np.tile(LABELS, 20)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_fits_at_once_have_the_bits_of_fits_in_turn(monkeypatch, threads: str) -> None:
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", threads)

    def trained(seed: int) -> bytes:
        net = wide(seed)
        net.fit(MANY, MANY_LABELS, epochs=3, batch_size=800)
        return net.theta.tobytes() + net.outputs(MANY).tobytes()

    expected = [trained(seed) for seed in (1, 2, 2)]
    assert in_threads([lambda seed=seed: trained(seed) for seed in (1, 2, 2)]) == expected
    assert expected[1] == expected[2] != expected[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_predicts_and_trains() -> None:
    # In a process of its own: libraries that other tests have loaded warn of any fork.
    script = """
import os, time, warnings
import numpy as np
import clearprop as cp

warnings.simplefilter("ignore", DeprecationWarning)
X, y = np.random.default_rng(0).random((1600, 300)), np.arange(1600) % 3


def fitted():
    net = cp.Network([cp.Dense(300, "relu"), cp.Dense(3, "softmax")], "cross_entropy", seed=1)
    net.fit(X, y, epochs=1, batch_size=800)
    return net


net = fitted()
expected = net.outputs(X)
time.sleep(0.1)  # until the threads that the child will not have are asleep
child = os.fork()
if child == 0:
    same = np.array_equal(net.outputs(X), expected) and np.array_equal(fitted().theta, net.theta)
    os._exit(0 if same else 3)
print(os.waitpid(child, 0)[1], np.array_equal(net.outputs(X), expected))
"""
    environment = os.environ | {"CLEARPROP_NUM_THREADS": "2"}
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=environment
    )
    assert (found.returncode, found.stdout.split()) == (0, ["0", "True"]), found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pytest itself may use threads there")
def test_threads_end_with_the_machine_they_belong_to(monkeypatch) -> None:
    from clearprop.engines.native import _machine

    def alive() -> int:
        return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0

    before = alive()
    machines = [_machine(wide(1).model, "float32", 5000) for _ in range(3)]
    assert all(machine.threads == native.available_processors() for machine in machines)
    del machines
    assert alive() == before


# The order of an epoch ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 3, 63, 64, 65, 1000, 65535, 65536, 65537, 131073, 300000])
def test_a_permutation_is_the_order_of_the_keys(n: int) -> None:
    for source in (stream(3, Purpose.EPOCH_ORDER, 1), stream(2**64 - 1, Purpose.EPOCH_ORDER, 7)):
        expected = np.argsort(source.bits64(n), kind="stable")
        found = source.permutation(n)
        assert found.dtype == np.intp
        np.testing.assert_array_equal(found, expected)


def test_permutations_of_every_small_size() -> None:
    source = stream(9, Purpose.CHECK)
    for n in range(200):
        np.testing.assert_array_equal(
            source.permutation(n), np.argsort(source.bits64(n), kind="stable"), strict=True
        )


def test_an_order_is_the_same_whatever_computes_it(monkeypatch) -> None:
    expected = fitted(classifier(), epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr("clearprop.random.native", None)
        np.testing.assert_array_equal(fitted(classifier(), epochs=1).theta, expected.theta)
