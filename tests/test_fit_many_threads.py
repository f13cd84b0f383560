"""The threads of fit_many: shares, Ctrl-C, progress."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.many_cases import bits
from tests.native_cases import LABELS, X, needs_native, noisy

import clearprop as cp
from clearprop.compiled import at_most_threads, threads


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


@pytest.mark.parametrize("given", [1, 2])
def test_threads_that_start_do_the_work_of_those_that_do_not(monkeypatch, given) -> None:
    start, begun = threading.Thread.start, []

    def start_some(thread: threading.Thread) -> None:
        if thread.name.startswith("fit-"):
            if len(begun) == given:
                raise RuntimeError("can't start new thread")
            begun.append(thread)
        start(thread)

    alone = noisy(seed=2)
    alone.fit(X, LABELS, epochs=2)
    networks = [noisy(seed=i) for i in range(4)]
    monkeypatch.setattr(threading.Thread, "start", start_some)
    histories = cp.fit_many(networks, X, LABELS, epochs=2, threads=3)
    assert [history.stopped for history in histories] == ["epochs"] * 4
    assert bits(networks[2]) == bits(alone)
    assert len(begun) == given
    assert not any(thread.is_alive() for thread in begun)


def test_no_thread_at_all_is_said_as_the_system_says_it(monkeypatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    networks = [noisy(), noisy()]
    before = [bits(network) for network in networks]
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match=r"^can't start new thread$"):
        cp.fit_many(networks, X, LABELS, threads=2)
    assert [bits(network) for network in networks] == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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
