"""fit_many: every network gets the bits of its own single run, whatever happens to the others."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.native_cases import LABELS, WEIGHTS, N, X, classifier, needs_native, noisy

import clearprop as cp
from clearprop.compiled import at_most_threads, threads
from clearprop.errors import (
    DataError,
    DivergenceError,
    DTypeError,
    FitManyError,
    OptionError,
    ShapeError,
)

FOLDS = [np.flatnonzero(np.arange(N) % 3 != k) for k in range(3)]
HELD = [np.flatnonzero(np.arange(N) % 3 == k) for k in range(3)]


def bits(network: cp.Network) -> tuple[bytes, bytes]:
    return network.theta.tobytes(), network.buffers.tobytes()


def rows_without_seconds(history: cp.History) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


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


# When something goes wrong ---------------------------------------------------------------------------


def test_one_that_diverges_does_not_lose_the_others() -> None:
    def make(i: int) -> cp.Network:
        return cp.Network([cp.Dense(8, "relu"), cp.Dense(1)], n_in=5, seed=i)

    rates = [0.01, 1e8, 0.02, 1e9]
    networks = [make(i) for i in range(4)]
    with pytest.raises(
        FitManyError, match=r"^2 of 4 networks failed.* networks\[1\]: training diverged"
    ) as caught:
        cp.fit_many(networks, X, X[:, 0], optimizer="sgd", each={"eta": rates}, epochs=5, threads=2)
    error = caught.value
    assert sorted(error.failures) == [1, 3]
    assert list(error.exceptions) == [error.failures[1], error.failures[3]]
    assert all(isinstance(e, DivergenceError) for e in error.exceptions)
    assert [history.stopped for history in error.histories] == ["epochs", "failed", "epochs", "failed"]
    assert error.histories == [network.history for network in networks]
    for place in (0, 2):
        alone = make(place)
        alone.fit(X, X[:, 0], optimizer="sgd", eta=rates[place], epochs=5)
        assert bits(alone) == bits(networks[place])
    for place in (1, 3):
        alone = make(place)
        with pytest.raises(DivergenceError, match="diverged") as single:
            alone.fit(X, X[:, 0], optimizer="sgd", eta=rates[place], epochs=5)
        assert bits(alone) == bits(networks[place])
        assert str(single.value) == str(error.failures[place])
    assert error.split(DivergenceError)[1] is None


def test_an_error_in_a_callback_is_that_of_its_network() -> None:
    class Broken(cp.Callback):
        def on_epoch_end(self, run, row):
            raise ZeroDivisionError("mine")

    networks = [noisy() for _ in range(3)]
    with pytest.raises(FitManyError) as caught:
        cp.fit_many(networks, X, LABELS, epochs=2, each={"callbacks": [[], [Broken()], []]})
    assert {place: str(error) for place, error in caught.value.failures.items()} == {1: "mine"}
    assert [len(network.history) for network in networks] == [2, 1, 2]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"etta": 1}, OptionError, "fit_many has no option 'etta'. Did you mean 'eta'"),
        ({"each": {"etta": [1, 2]}}, OptionError, "no option 'etta'"),
        ({"each": {"eta": [0.1]}}, OptionError, "has 1 values for 2 networks"),
        ({"each": {"eta": 0.1}}, DTypeError, "must be a list, one value per network"),
        ({"each": {"optimizer": "sgd"}}, DTypeError, "must be a list, one value per network"),
        ({"each": [1, 2]}, DTypeError, "each must be a dictionary"),
        ({"each": {"eta": [1, 2]}, "eta": 3}, OptionError, "eta is given for all networks and in each"),
        ({"each": {"eta": [0.1, -1]}}, OptionError, "eta of Adam must be a finite number > 0"),
        ({"callbacks": [cp.NormHistory()]}, OptionError, "a callback belongs to one fit"),
        (
            {"each": {"callbacks": [[cp.NormHistory()] * 2] * 2}},
            OptionError,
            "given the same object in callbacks",
        ),
        (
            {"each": {"early_stopping": [cp.EarlyStopping()] * 2}},
            OptionError,
            "the same object in early_stopping",
        ),
        ({"order": iter([np.arange(5)] * 2)}, OptionError, "the same object in order"),
        ({"rows": [FOLDS[0]]}, OptionError, "rows has 1 items for 2 networks"),
        ({"rows": 3}, DTypeError, "rows must be a list"),
        ({"rows": [[0, 1], [0, N]]}, OptionError, rf"rows\[1\] names the example {N}; there are {N}"),
        ({"rows": [[0, -1], None]}, OptionError, r"rows\[0\] names the example -1"),
        ({"rows": [[], None]}, OptionError, "at least one"),
        ({"rows": [None, np.ones(3, bool)]}, OptionError, r"rows\[1\] must hold whole numbers, or booleans"),
        ({"rows": [None, [0.5]]}, OptionError, "must hold whole numbers"),
        (
            {"validation_rows": FOLDS[:2], "X_val": X, "y_val": LABELS},
            OptionError,
            "give validation_rows, or X_val and y_val, not both",
        ),
        ({"validation_rows": FOLDS[:2], "validation_fraction": 0.1}, OptionError, "not both"),
        ({"sample_weight": WEIGHTS[:3], "rows": FOLDS[:2]}, ShapeError, r"sample_weight has shape \(3,\)"),
        ({"threads": 0}, OptionError, "threads must be a whole number >= 1"),
        ({"progress": 1}, DTypeError, "progress must be True or False"),
        ({"X_val": X}, OptionError, "y_val is missing"),
    ],
)
def test_what_is_refused_leaves_all_as_they_were(options, error, message) -> None:
    networks = [noisy(), noisy()]
    before = [bits(network) for network in networks]
    with pytest.raises(error, match=message):
        cp.fit_many(networks, X, LABELS, **options)
    assert [bits(network) for network in networks] == before
    assert [network.history for network in networks] == [None, None]
    assert [network.targets for network in networks] == [None, None]


def test_networks_and_data_that_are_refused() -> None:
    one = noisy()
    with pytest.raises(OptionError, match=r"networks\[0\] and networks\[2\] are the same object"):
        cp.fit_many([one, noisy(), one], X, LABELS)
    with pytest.raises(OptionError, match="networks is empty"):
        cp.fit_many([], X, LABELS)
    for wrong in (one, [one, "b"], iter([one])):
        with pytest.raises(DTypeError, match="networks must be a list of Network objects"):
            cp.fit_many(wrong, X, LABELS)
    with pytest.raises(OptionError, match="not an iterable of batches"):
        cp.fit_many([one], iter([(X, LABELS)]), None)
    with pytest.raises(DataError, match="needs y"):
        cp.fit_many([one], X, None)
    with pytest.raises(ShapeError, match=f"X has {N} examples and its targets 3"):
        cp.fit_many([one], X, LABELS[:3])
    with pytest.raises(ShapeError, match=r"layers\[1\] expects"):
        cp.fit_many([one], X[:, :2], LABELS)
    spoilt = X.copy()
    spoilt[7, 2] = np.nan
    with pytest.raises(DataError, match="X holds nan in row 7, column 2"):
        cp.fit_many([one], spoilt, LABELS)
    assert one.history is None


def test_one_early_stopping_for_all_is_copied() -> None:
    stopper = cp.EarlyStopping(monitor="cost", patience=2)
    cp.fit_many([noisy(), noisy(seed=1)], X, LABELS, epochs=2, early_stopping=stopper)
    assert stopper.best_epoch == 0
    mine = [cp.EarlyStopping("cost"), cp.EarlyStopping("cost")]
    cp.fit_many([noisy(), noisy(seed=1)], X, LABELS, epochs=2, each={"early_stopping": mine})
    assert all(one.best_epoch for one in mine)
    assert mine[0].best != mine[1].best


# Threads ---------------------------------------------------------------------------------------------


class Where(cp.Callback):
    """Records the thread it is called in, and how many threads the engine may use there."""

    def __init__(self) -> None:
        self.found: tuple[str, int] = ("", 0)

    def on_fit_begin(self, run):
        self.found = threading.current_thread().name, threads()


@pytest.mark.parametrize(("total", "networks", "each"), [(2, 4, 1), (6, 2, 3), (1, 3, 1), (5, 2, 2)])
def test_each_network_has_its_share_of_the_threads(total, networks, each, monkeypatch) -> None:
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", str(total))
    where = [Where() for _ in range(networks)]
    cp.fit_many([noisy() for _ in where], X, LABELS, epochs=1, each={"callbacks": where})
    assert {found for _, found in (one.found for one in where)} == {each}
    assert all(name.startswith("fit-") for name, _ in (one.found for one in where))
    assert threads() == total  # outside, all is as it was


def test_a_limit_on_threads_is_that_of_its_context(monkeypatch) -> None:
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", "4")
    elsewhere = []
    with at_most_threads(2):
        assert threads() == 2
        with at_most_threads(1):
            assert threads() == 1
            other = threading.Thread(target=lambda: elsewhere.append(threads()))
            other.start()
            other.join()
        assert threads() == 2
    assert (threads(), elsewhere) == (4, [4])


def test_two_are_trained_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=30)

    networks, meet = [noisy(), noisy()], [Meet(meeting), Meet(meeting)]  # breaks unless both come
    cp.fit_many(networks, X, LABELS, epochs=3, threads=2, each={"callbacks": meet})


def test_within_a_thread_and_within_a_callback() -> None:
    inner = [noisy(seed=7), noisy(seed=8)]

    class Nested(cp.Callback):
        def on_fit_begin(self, run):
            cp.fit_many(inner, X, LABELS, epochs=1, threads=2)

    outer = [noisy(), noisy()]
    options = {"epochs": 1, "threads": 2, "each": {"callbacks": [[Nested()], []]}}
    thread = threading.Thread(target=lambda: cp.fit_many(outer, X, LABELS, **options))
    thread.start()
    thread.join()
    assert [network.history.stopped for network in [*outer, *inner]] == ["epochs"] * 4


# Ctrl-C ----------------------------------------------------------------------------------------------


class Meet(cp.Callback):
    """Goes on from the first step when the others have done theirs."""

    every = 1

    def __init__(self, meeting: threading.Barrier) -> None:
        self.meeting = meeting

    def on_step_end(self, run):
        if run.step == 1:
            self.meeting.wait()


class PressCtrlC(Meet):
    def on_step_end(self, run):
        super().on_step_end(run)
        if run.step == 5:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("engine", ["auto", "batch"])
def test_ctrl_c_ends_all_after_their_step(engine) -> None:
    networks = [noisy(seed=i, engine=engine) for i in range(4)]
    untouched = bits(networks[3])
    before, meeting = threading.active_count(), threading.Barrier(3, timeout=30)
    with pytest.raises(KeyboardInterrupt):
        cp.fit_many(
            networks,
            X,
            LABELS,
            epochs=10**7,
            batch_size=9,
            optimizer="sgd",
            threads=3,
            each={"callbacks": [PressCtrlC(meeting), Meet(meeting), Meet(meeting), []]},
        )
    assert threading.active_count() == before
    for seed, network in enumerate(networks[:3]):
        assert network.history.stopped == "interrupted"
        steps = network.steps_trained
        assert network.history["step"][-1] == steps
        twin = noisy(seed=seed, engine=engine)
        twin.fit(X, LABELS, epochs=-(-steps // 5), batch_size=9, optimizer="sgd", callbacks=StopAt(steps))
        assert bits(twin) == bits(network)
    assert networks[3].history is None  # it had not begun
    assert bits(networks[3]) == untouched
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class StopAt(cp.Callback):
    every = 1

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, run):
        if run.step == self.step:
            run.stop()


def test_keyboard_interrupt_raised_by_a_callback_ends_all() -> None:
    class Raise(Meet):
        def on_epoch_end(self, run, row):
            raise KeyboardInterrupt

    networks, meeting = [noisy(), noisy()], threading.Barrier(2, timeout=30)
    options = {"epochs": 10**7, "threads": 2, "each": {"callbacks": [Meet(meeting), Raise(meeting)]}}
    with pytest.raises(KeyboardInterrupt):
        cp.fit_many(networks, X, LABELS, **options)
    assert [network.history.stopped for network in networks] == ["interrupted"] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process")
def test_a_signal_from_outside_is_heard() -> None:
    program = (
        "import sys, numpy as np, clearprop as cp\n"
        "X = np.random.default_rng(0).normal(size=(300000, 4))\n"
        "nets = [cp.Network([cp.Dense(8, 'tanh'), cp.Dense(1)], seed=i) for i in range(3)]\n"
        "class Tell(cp.Callback):\n"
        "    told = False\n"
        "    def on_progress(self, run, rolling):\n"
        "        self.told = self.told or sys.stdout.write('begun\\n') and not sys.stdout.flush()\n"
        "each = {'callbacks': [Tell(), Tell(), []]}\n"
        "try:\n"
        "    cp.fit_many(nets, X, X[:, 0], epochs=10**6, batch_size=1, threads=2, each=each)\n"
        "except KeyboardInterrupt:\n"
        "    print(*[n.history and n.history.stopped for n in nets], np.isfinite(nets[1].theta).all())\n"
        "    sys.exit(7)\n"
    )
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("interrupted interrupted None True\n", 7)


# Progress --------------------------------------------------------------------------------------------


def test_progress_is_one_bar_for_all(capsys) -> None:
    pytest.importorskip("rich")
    networks = [cp.Network([5, 3, 3], seed=i) for i in range(3)]
    cp.fit_many(networks, X, LABELS, epochs=4, progress=True)
    lines = sorted(capsys.readouterr().err.splitlines())
    assert [line.split("  ")[:2] for line in lines] == [[f"networks[{i}]", "epoch 4/4"] for i in range(3)]


@needs_native
def test_native_machines_have_one_thread_each(monkeypatch) -> None:
    from clearprop.engines import native

    made = []
    inner = native._machine

    def watched(*args, **options):
        machine = inner(*args, **options)
        made.append(machine.threads)
        return machine

    monkeypatch.setattr(native, "_machine", watched)
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", "2")
    wide = [cp.Network([cp.Dense(600, "relu"), cp.Dense(1)], n_in=600, seed=i) for i in range(2)]
    x = np.random.default_rng(0).normal(size=(64, 600))
    wide[0].fit(x, x[:, 0], epochs=1, batch_size=64)
    assert made == [2]
    cp.fit_many(wide, x, x[:, 0], epochs=1, batch_size=64)
    assert made == [2, 1, 1]
