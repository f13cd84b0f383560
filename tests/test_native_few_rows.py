"""The short way of a few rows through the native rung: right, and taken only where nothing is lost by it."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from tests.native_cases import classifier, needs_native
from tests.networks import Case, covering, problem, relative

import clearprop as cp
from clearprop.compiled import native
from clearprop.engines import engines
from clearprop.engines.native_few_rows import FewRows
from clearprop.engines.native_program import program_of
from clearprop.errors import DataError, OptionError, ShapeError

pytestmark = needs_native

FEW = 4
CHAINS = [
    *[c for c in covering() if not any(hasattr(layer, "parts") and layer.parts() for layer in c.layers)],
    Case("activation-first", [cp.Activation("tanh"), cp.Dense(3, "relu")]),
    Case("dropout-first", [cp.Dropout(0.5), cp.Dense(20), cp.AlphaDropout(0.3), cp.Activation("selu")]),
    Case("all-dropout", [cp.Dropout(0.5), cp.Dropout(0.2)]),
]
CHAINS = [c for c in CHAINS if not any(type(layer).__name__.endswith("Norm") for layer in c.layers)]


def instruction_sets() -> list[str]:
    return [] if native is None else list(native.instruction_sets())


def chain(dtype: str = "float32", **options: Any) -> cp.Network:
    return cp.Network([cp.Dense(19, "relu"), cp.Dense(3, "softmax")], n_in=37, seed=3, dtype=dtype, **options)


def rows(n: int, dtype: str = "float32") -> Any:
    return np.random.default_rng(5).normal(size=(n, 37)).astype(dtype)


def shortly(net: cp.Network, X: Any) -> Any:
    """Return the outputs by the short way alone, None if it was not taken."""
    return FewRows(engines()["native"], net.model, net.dtype).outputs(net.theta, X)


# Right -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("case", CHAINS, ids=lambda case: case.name)
def test_every_activation_has_the_outputs_of_the_batch_rung(case: Case, isa: str) -> None:
    for dtype, limit in ((np.float64, 1e-13), (np.float32, 1e-4)):
        kind = native.Reader32 if dtype == np.float32 else native.Reader64
        for n in range(1, FEW + 1):
            p = problem(case, n, dtype=dtype)
            a = np.full((n, p.model.n_out), np.nan, dtype)
            assert kind(program_of(p.model), isa).output(p.state.theta, p.X, a)
            assert relative(a, engines()["batch"].outputs(p.model, p.state, p.X)) < limit


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_width_has_the_outputs_of_the_batch_rung(dtype: str, isa: str) -> None:
    kind = native.Reader32 if dtype == "float32" else native.Reader64
    for width in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100):
        layers = [cp.Dense(width + 1, "tanh"), cp.Dense(width, bias=False), cp.Dense(5)]
        net = cp.Network(layers, n_in=width, dtype=dtype, seed=width)
        net.theta[:] = np.random.default_rng(width).normal(size=net.n_parameters)
        reader = kind(program_of(net.model), isa)
        for n in range(1, FEW + 1):
            X = np.random.default_rng(n).normal(size=(n, width)).astype(dtype)
            a = np.empty((n, 5), dtype)
            assert reader.output(net.theta, X, a)
            assert relative(a, net.outputs(X, engine="batch")) < 100 * np.finfo(dtype).eps


def test_a_row_has_the_same_bits_alone_and_among_a_few() -> None:
    net, X = chain(), rows(FEW)
    together = net.outputs(X)
    for i in range(FEW):
        np.testing.assert_array_equal(net.outputs(X[i : i + 1])[0], together[i])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_follow_theta_however_it_is_changed(dtype: str) -> None:
    net, X = chain(dtype), rows(1, dtype)
    before = net.outputs(X)

    def double() -> None:
        net.theta[:] = 2 * net.theta

    def move_a_weight() -> None:
        net.W[1][0, 0] += 1

    def set_biases() -> None:
        net.b[2] = [3, 2, 1]

    for change in (double, move_a_weight, set_biases, lambda: net.initialize(9)):
        change()
        found = net.outputs(X)
        assert not np.array_equal(found, before)
        assert relative(found, net.outputs(X, engine="batch")) < 100 * np.finfo(dtype).eps
        before = found


def test_predictions_of_one_row_are_those_among_many() -> None:
    X = rows(60)
    for y in (np.array(["a", "bb", "c"])[np.arange(60) % 3], np.eye(3)[np.arange(60) % 3]):
        net = chain()
        net.fit(X, y, epochs=1)
        labels, shares = net.predict(X), net.predict_proba(X)
        for i in range(5):
            one = net.predict(X[i : i + 1])
            assert one.dtype == labels.dtype
            np.testing.assert_array_equal(one, labels[i : i + 1])
            assert relative(net.predict_proba(X[i : i + 1]), shares[i : i + 1]) < 1e-5


def test_an_infinite_weight_at_a_zero_shows_in_a_few_rows_alone() -> None:
    net = cp.Network([cp.Dense(20), cp.Dense(3)], n_in=37, seed=3, dtype="float32", engine="native")
    net.W[1][0, 0] = np.inf
    X = np.zeros((64, 37), np.float32)
    X[:, 1:4] = 1
    assert np.isnan(net.outputs(X[:1])).all()
    assert np.isnan(net.outputs(X[:FEW])).all()
    assert np.isfinite(net.outputs(X)).all()


# Taken, and not taken ----------------------------------------------------------------------------


def test_it_is_taken_for_plain_rows() -> None:
    net = chain()
    for n in range(1, FEW + 1):
        np.testing.assert_array_equal(shortly(net, rows(n)), net.outputs(rows(n)))
    locked = rows(1)
    locked.flags.writeable = False
    assert shortly(net, locked) is not None
    assert shortly(net, rows(8)[5:6]) is not None
    assert shortly(net, rows(FEW + 1)) is None


@pytest.mark.parametrize(
    "X",
    [
        rows(1).astype("float64"),
        rows(1).astype(">f4"),
        rows(1).tolist(),
        np.asfortranarray(rows(2)),
        rows(4)[::2],
        rows(2)[::-1],
        np.ma.MaskedArray(rows(1)),
        np.frombuffer(b"\0" + rows(1).tobytes(), np.uint8)[1:].view(np.float32).reshape(1, 37),
        rows(6).reshape(1, 6, 37)[:, 2],
        rows(1).astype("float16"),
    ],
)
def test_other_forms_of_rows_have_the_same_outputs(X: Any) -> None:
    net = chain()
    net.outputs(rows(1))
    assert relative(net.outputs(X), net.outputs(X, engine="batch")) < 1e-5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 15, 16, 31, 36])
def test_bad_values_are_named_as_ever(value: float, column: int) -> None:
    for dtype in ("float32", "float64"):
        net, X = chain(dtype), rows(2, dtype)
        net.outputs(X)
        X[1, column] = value
        with pytest.raises(DataError, match=rf"X holds {value} in row 1, column {column}\. Remove"):
            net.predict(X)


def test_bad_shapes_are_named_as_ever() -> None:
    net = chain()
    net.outputs(rows(1))
    with pytest.raises(ShapeError, match=r"X has shape \(examples=1, features=36\); layers\[1\] expects"):
        net.outputs(rows(1)[:, :36].copy())
    with pytest.raises(ShapeError, match=r"X has shape \(37,\); it must be \(examples, features\)"):
        net.outputs(rows(1)[0])
    with pytest.raises(ShapeError, match=r"X has shape \(\); it must be"):
        net.outputs(np.array(1.0, np.float32))
    with pytest.raises(DataError, match="X is empty"):
        net.outputs(rows(1)[:0])


def test_networks_that_are_no_chains_take_the_general_way() -> None:
    net = classifier(engine="native")
    X = np.random.default_rng(0).normal(size=(1, 5))
    assert shortly(net, X) is None
    assert relative(net.outputs(X), net.outputs(X, engine="batch")) < 1e-13
    with pytest.raises(ValueError, match="chains only"):
        native.Reader64(program_of(net.model), instruction_sets()[0])


def test_the_network_s_engine_and_preprocessing_count() -> None:
    net, X = chain(), rows(1)
    found = net.outputs(X)
    net.engine = "batch"
    np.testing.assert_array_equal(net.outputs(X), net.outputs(X, engine="batch"))
    net.engine = "native"
    np.testing.assert_array_equal(net.outputs(X), found)
    net.preprocessing = cp.Affine(np.ones(37), np.full(37, 2.0))
    assert relative(net.outputs(X), net.outputs(X, engine="batch")) < 1e-5
    assert not np.allclose(net.outputs(X), found)


def test_the_settings_of_the_moment_count(monkeypatch: pytest.MonkeyPatch) -> None:
    net, X = chain(engine="native"), rows(1)
    found = net.outputs(X)
    for name in ("CLEARPROP_ISA", "CLEARPROP_NUM_THREADS"):
        monkeypatch.setenv(name, "none of these")
        with pytest.raises(OptionError, match=name):
            net.outputs(X)
        monkeypatch.delenv(name)
        assert relative(net.outputs(X), found) < 1e-5
    for isa in instruction_sets():
        monkeypatch.setenv("CLEARPROP_ISA", isa)
        a = np.empty((1, 3), np.float32)
        assert native.Reader32(program_of(net.model), isa).output(net.theta, X, a)
        for _ in range(2):
            last = net.outputs(X)
        np.testing.assert_array_equal(last, a)


@pytest.mark.parametrize("count", ["0", "1025", "two"])
def test_a_bad_number_of_threads_is_said_in_the_first_prediction(
    count: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", count)
    for n in (1, FEW, FEW + 1):
        net = chain(engine="native")
        for _ in range(2):
            with pytest.raises(OptionError, match=f"CLEARPROP_NUM_THREADS must be .* Got '{count}'"):
                net.outputs(rows(n))
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", "1")
    assert np.isfinite(net.outputs(rows(1))).all()


def test_a_network_that_has_predicted_is_copied_and_pickled() -> None:
    net, X = chain(), rows(1)
    found = net.outputs(X)
    for other in (net.copy(), copy.copy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other.outputs(X), found)
    other = net.copy()
    other.theta *= 2
    assert not np.array_equal(other.outputs(X), found)
    np.testing.assert_array_equal(net.outputs(X), found)


def test_many_threads_may_ask_one_network() -> None:
    net = cp.Network(
        [cp.Dense(700, "relu"), cp.Dense(3)], n_in=400, dtype="float32", seed=1
    )  # lets others in
    X = np.random.default_rng(0).normal(size=(40, 400)).astype(np.float32)
    expected = net.outputs(X)
    wrong: list[int] = []

    def ask(first: int) -> None:
        for i in [*range(first, 40), *range(first)]:
            if relative(net.outputs(X[i : i + 1]), expected[i : i + 1]) > 1e-4:
                wrong.append(i)

    threads = [threading.Thread(target=ask, args=(10 * t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# The reader called directly ----------------------------------------------------------------------


def test_the_reader_refuses_arrays_that_do_not_fit() -> None:
    net, X, a = chain(), rows(1), np.empty((1, 3), np.float32)
    reader = native.Reader32(program_of(net.model), instruction_sets()[0])
    assert reader.output(net.theta, X, a)
    with pytest.raises(ValueError, match="theta has another length"):
        reader.output(net.theta[1:], X, a)
    with pytest.raises(ValueError, match="a has another shape"):
        reader.output(net.theta, X, np.empty((2, 3), np.float32))
    with pytest.raises(ValueError, match="a has another shape"):
        reader.output(net.theta, X, np.empty((1, 4), np.float32))
    with pytest.raises(TypeError):
        reader.output(net.theta.astype(float), X, a)
    with pytest.raises(TypeError):
        reader.output(net.theta, X, np.empty((3, 1), np.float32).T[:, ::-1])
    with pytest.raises(ValueError, match="no instruction set"):
        native.Reader32(program_of(net.model), "none")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whether_all_is_finite(dtype: str) -> None:
    for shape in ((1, 1), (1, 5), (3, 7), (1, 64), (5, 67), (0, 3)):
        whole = np.full(shape, np.finfo(dtype).max, dtype)
        assert native.all_finite(whole)
        for place in np.ndindex(*shape):
            for value in (np.nan, np.inf, -np.inf):
                spoilt = whole.copy()
                spoilt[place] = value
                assert not native.all_finite(spoilt)
    wide = np.zeros((6, 9), dtype)
    wide[:, 7:] = np.nan
    wide[1::2] = np.nan
    assert native.all_finite(wide[::2, :7])
    assert not native.all_finite(wide[::2, :8])
