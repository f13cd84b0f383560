"""The native rung's bits: the same on any number of threads, and right on every instruction set."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tests.native_cases import LABELS, SEVERAL_STEPS, X, classifier, difference, needs_native, noisy
from tests.networks import Case, covering, largest_difference, problem, relative

import clearprop as cp
from clearprop.compiled import native
from clearprop.engines import engines
from clearprop.errors import OptionError

pytestmark = needs_native

SETS = [] if native is None else native.instruction_sets()
each_set = pytest.mark.parametrize("isa", SETS)


# Threads -----------------------------------------------------------------------------------------

# Large enough that every kind of work is shared out: rows, panels, elements, the transposition.
WIDE_X = np.random.default_rng(0).normal(size=(210, 330))
WIDE_Y = np.random.default_rng(1).integers(0, 3, 210)


def wide(dtype: str) -> cp.Network:
    layers = [
        cp.Dense(401, "gelu"),
        cp.Dropout(0.2),
        cp.Dense(330, cp.activations.PReLU()),
        cp.Residual([cp.Dense(300, "tanh"), cp.BatchNorm(), cp.Dense()]),
        cp.Concatenate([cp.Dense(200, "relu"), [cp.LayerNorm(), cp.AlphaDropout(0.1)]]),
        cp.Dense(3, "softmax"),
    ]
    return cp.Network(layers, n_in=330, seed=4, dtype=dtype, engine="native")


def fingerprint(net: cp.Network) -> str:
    outputs = net.outputs(np.tile(WIDE_X, (6, 1)))  # more rows than inference takes at once
    parts = net.theta, net.buffers, outputs, np.array(net.history["cost"])
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options", [{}, {"clip_norm": 0.5, "l2": 0.01, "max_norm": 2.0}], ids=["plain", "shaped"]
)
@each_set
def test_the_same_bits_on_any_number_of_threads(monkeypatch, isa: str, dtype: str, options) -> None:
    from clearprop.engines import native as rung

    monkeypatch.setenv("CLEARPROP_ISA", isa)
    found, used = {}, set()
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("CLEARPROP_NUM_THREADS", threads)
        net = wide(dtype)
        used.add(rung._machine(net.model, dtype, 105).threads)
        net.fit(WIDE_X, WIDE_Y, epochs=2, batch_size=105, eta=1e-3, **options)
        found[threads] = fingerprint(net)
    assert used == {1, 2, 3}
    assert found["1"] == found["2"] == found["3"]


@pytest.mark.parametrize("threads", ["1", "2"])
@each_set
def test_wide_layers_equal_the_batch_rung(monkeypatch, isa: str, threads: str) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", threads)
    fits = {"epochs": 1, "batch_size": 105, "optimizer": cp.SGD(0.05)}
    assert difference(lambda: wide("float64"), WIDE_X, WIDE_Y, **fits) < SEVERAL_STEPS


# Instruction sets --------------------------------------------------------------------------------

COVERING = covering()


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("case", COVERING, ids=lambda case: case.name)
@each_set
def test_every_instruction_set_computes_the_same(monkeypatch, isa: str, case: Case, threads: str) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", threads)
    monkeypatch.setattr("clearprop.engines.native._PARALLEL_WORK", 0.0)
    assert largest_difference(problem(case, 6, training=True, weighted=True), "native") < 1e-12
    # float32: within a few thousand roundings of the exact gradient
    found = engines()["native"].gradient(*problem(case, 6, training=True, dtype=np.float32)).gradient
    assert relative(found, engines()["batch"].gradient(*problem(case, 6, training=True)).gradient) < 1e-3


@pytest.mark.parametrize("make", [classifier, noisy])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"])
@each_set
def test_every_instruction_set_trains(monkeypatch, isa: str, optimizer: str, make) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    for options in ({}, {"l1": 0.01, "l2": 0.1, "clip_norm": 0.5, "clip_value": 0.1, "max_norm": 1.0}):
        assert difference(make, optimizer=optimizer, eta=0.01, **options) < SEVERAL_STEPS


def test_the_machine_is_of_the_set_that_was_asked_for(monkeypatch) -> None:
    from clearprop.engines import native as rung

    assert rung.instruction_set() == SETS[0]
    for isa in SETS:
        monkeypatch.setenv("CLEARPROP_ISA", isa)
        assert rung._machine(classifier().model, "float32", 10).isa == isa


@pytest.mark.parametrize("wrong", ["avx1024", "AVX2", "sse2 "])
def test_an_unknown_instruction_set_is_refused(monkeypatch, wrong: str) -> None:
    net = classifier(engine="native")
    before = net.theta.copy()
    monkeypatch.setenv("CLEARPROP_ISA", wrong)
    for run in (
        lambda: net.fit(X, LABELS),
        lambda: net.outputs(X),
        lambda: net.trace(X, LABELS, engine="native"),
    ):
        with pytest.raises(
            OptionError, match=f"^CLEARPROP_ISA is {wrong!r}; this processor and build have '"
        ):
            run()
    np.testing.assert_array_equal(net.theta, before)


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5", " ", "²", "1025", "9" * 5000])
def test_a_bad_number_of_threads_is_refused(monkeypatch, wrong: str) -> None:
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", wrong)
    with pytest.raises(
        OptionError, match=r"^CLEARPROP_NUM_THREADS must be a whole number from 1 to 1024\. Got '"
    ):
        wide("float32").fit(WIDE_X, WIDE_Y, batch_size=105)


# float32 -----------------------------------------------------------------------------------------

SHAPES = {
    "moons": ([cp.Dense(100, "relu"), cp.Dense(2, "softmax")], None, 2, 32, cp.SGD(0.1)),
    "nielsen": ([cp.Dense(30, "sigmoid"), cp.Dense(10, "sigmoid")], "quadratic", 100, 10, cp.SGD(3.0)),
    "tabular": ([*[cp.Dense(64, "relu")] * 2, cp.Dense(7, "softmax")], None, 54, 64, cp.Adam()),
    "deep": ([*[cp.Dense(16, "relu")] * 20, cp.Dense(10, "softmax")], None, 16, 32, cp.Adam()),
}


def distance_from_exact(engine: str, shape: str, seed: int) -> float:
    """Return |W - W_ref| / |W_ref - W_0| after 20 batches, W_ref by the batch rung in float64."""
    layers, cost, n_in, batch_size, optimizer = SHAPES[shape]
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20 * batch_size, n_in)).astype(np.float32)
    y = rng.integers(0, cp.Network(layers, n_in=n_in).model.n_out, len(x))
    if cost == "quadratic":
        y = np.eye(10)[y]

    def trained(rung: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        start = cp.Network(layers, cost, n_in=n_in, seed=seed, dtype="float32").theta
        net = cp.Network(layers, cost, n_in=n_in, seed=seed, dtype=dtype)
        net.theta = start.astype(dtype)
        order = [np.random.default_rng(seed).permutation(len(x))]
        net.fit(x, y, epochs=1, batch_size=batch_size, optimizer=optimizer, engine=rung, order=order)
        return net.theta.astype(np.float64), start.astype(np.float64)

    exact, start = trained("batch", "float64")
    return float(np.linalg.norm(trained(engine, "float32")[0] - exact) / np.linalg.norm(exact - start))


@pytest.mark.parametrize("isa", [SETS[0], SETS[-1]] if SETS else [])
@pytest.mark.parametrize("shape", SHAPES)
def test_float32_is_as_accurate_as_plain_numpy(monkeypatch, shape: str, isa: str) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    ours, plain = (
        np.array([distance_from_exact(engine, shape, seed) for seed in range(20)])
        for engine in ("native", "batch")
    )
    assert np.all(plain > 0)
    assert np.median(ours / plain) <= 3
    assert np.median(ours) <= 3 * np.median(plain)
