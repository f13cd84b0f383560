"""Hooks come in order with current parameters; what they do, and Ctrl-C, leaves a whole network."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import DTypeError, OptionError, UnknownNameError

N = 24
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 4))
Y = (X[:, 0] > 0).astype(int)


def network(**options):
    layers = [cp.Dense(5), cp.BatchNorm(), cp.Dropout(0.2), cp.Dense(2, "softmax")]
    return cp.Network(layers, n_in=4, seed=1, **options)


class Log(cp.Callback):
    every = 1

    def __init__(self, name="", log=None):
        self.log = [] if log is None else log
        self.name = name

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if not name.startswith("on_"):
            return found

        def logged(run, *rest):
            self.log.append((self.name + name.removeprefix("on_"), run.epoch, run.step))
            return found(run, *rest)

        return logged


def test_every_hook_comes_in_its_place():
    log = Log()
    network().fit(X, Y, epochs=2, batch_size=12, callbacks=log)
    order = [entry for entry in log.log if entry[0] != "progress"]
    assert order == [
        ("fit_begin", 0, 0),
        ("epoch_begin", 1, 0),
        ("gradient", 1, 0),
        ("step_end", 1, 1),
        ("gradient", 1, 1),
        ("step_end", 1, 2),
        ("epoch_end", 1, 2),
        ("epoch_begin", 2, 2),
        ("gradient", 2, 2),
        ("step_end", 2, 3),
        ("gradient", 2, 3),
        ("step_end", 2, 4),
        ("epoch_end", 2, 4),
        ("fit_end", 2, 4),
    ]
    names = [name for name, *_ in log.log]
    assert "progress" in names
    assert names.index("step_end") < names.index("progress") < names.index("epoch_end")


def test_the_first_callback_is_called_first_and_at_the_end_last():
    log = []
    network().fit(X, Y, epochs=1, callbacks=[Log("a ", log), Log("b ", log)])
    assert [name for name, *_ in log if "epoch_end" in name] == ["a epoch_end", "b epoch_end"]
    assert [name for name, *_ in log if "fit_end" in name] == ["b fit_end", "a fit_end"]


@pytest.mark.parametrize("every", [0, 1, 3])
def test_every_chooses_the_steps(every):
    steps = []

    class Sparse(cp.Callback):
        def on_step_end(self, run):
            steps.append(run.step)

    callback = Sparse()
    callback.every = every
    network().fit(X, Y, epochs=2, batch_size=4, callbacks=callback)
    assert steps == {0: [], 1: list(range(1, 13)), 3: [3, 6, 9, 12]}[every]


def test_parameters_are_current_in_every_hook():
    class Look(cp.Callback):
        every = 1

        def __init__(self):
            self.before = None

        def on_gradient(self, run, gradient):
            self.before = run.network.theta.copy()

        def on_step_end(self, run):
            assert run.state.theta is run.network.theta
            assert not np.array_equal(run.network.theta, self.before)
            assert np.shares_memory(run.network.W[1], run.network.theta)
            np.testing.assert_array_equal(run.network.W[4], run.state.params[3]["W"])

        def on_epoch_end(self, run, row):
            assert run.network.evaluate(X, Y)["cost"] == row["val_cost"]
            row["mine"] = float(run.epoch)

    history = network().fit(X, Y, epochs=3, batch_size=8, X_val=X, y_val=Y, callbacks=Look())
    assert history["mine"] == [1.0, 2.0, 3.0]


def test_a_gradient_may_be_changed_in_place():
    class Half(cp.Callback):
        every = 1

        def on_gradient(self, run, gradient):
            gradient *= 0.5

    one, two = network(), network()
    one.fit(X, Y, epochs=2, optimizer=cp.SGD(0.2), callbacks=Half())
    two.fit(X, Y, epochs=2, optimizer=cp.SGD(0.1))
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-12)


def test_stop_ends_after_the_step_at_hand():
    class Stop(cp.Callback):
        every = 1

        def on_step_end(self, run):
            if run.step == 4:
                self.theta = run.state.theta.copy()
                run.stop("enough")
                run.stop("not this")

    stop, net = Stop(), network()
    history = net.fit(X, Y, epochs=9, batch_size=8, callbacks=stop)
    assert history.stopped == "enough"
    assert history["step"] == [3, 4]
    np.testing.assert_array_equal(net.theta, stop.theta)


@pytest.mark.parametrize(
    "hook", ["on_fit_begin", "on_epoch_begin", "on_gradient", "on_step_end", "on_progress", "on_epoch_end"]
)
def test_an_exception_leaves_a_whole_network(hook):
    class Fails(cp.Callback):
        every = 1

        def fail(self, run, *rest):
            raise RuntimeError("my own")

    setattr(Fails, hook, Fails.fail)
    log, net = Log(), network()
    with pytest.raises(RuntimeError, match="my own"):
        net.fit(X, Y, epochs=2, callbacks=[log, Fails()])
    assert net.history.stopped == "failed"
    assert log.log[-1][0] == "fit_end"
    assert net.predict(X).shape == (N,)
    net.fit(X, Y, epochs=1)
    assert net.history.stopped == "epochs"


def test_a_callback_may_train_another_network():
    class Inner(cp.Callback):
        def on_epoch_end(self, run, row):
            row["inner"] = network().fit(X, Y, epochs=1)["cost"][0]

    plain, net = network(), network()
    plain.fit(X, Y, epochs=2)
    history = net.fit(X, Y, epochs=2, callbacks=Inner())
    assert history["inner"][0] == plain.history["cost"][0]
    np.testing.assert_array_equal(net.theta, plain.theta)


# Early stopping and norms ------------------------------------------------------------------------


def test_stop_needs_no_reason():
    class Stop(cp.Callback):
        every = 1

        def on_step_end(self, run):
            run.stop("")

    history = network().fit(X, Y, epochs=9, batch_size=8, callbacks=Stop())
    assert history.stopped == "callback"
    assert history["step"] == [1]


def test_early_stopping_counts_its_patience():
    class Fixed(cp.Callback):
        def on_epoch_end(self, run, row):
            row["mine"] = [5.0, 4.0, 3.95, 4.5, float("nan"), 3.0][run.epoch - 1]

    for patience, min_delta, length, best in [(2, 0.0, 5, 3), (3, 0.0, 6, 6), (2, 0.1, 4, 2)]:
        stopping = cp.EarlyStopping("mine", patience=patience, min_delta=min_delta)
        history = network().fit(X, Y, epochs=6, callbacks=[Fixed(), stopping])
        assert (len(history), stopping.best_epoch) == (length, best)
    growing = cp.EarlyStopping("mine", patience=1, greater_is_better=True)
    assert len(network().fit(X, Y, epochs=6, callbacks=[Fixed(), growing])) == 2
    assert growing.best == 5.0


def test_early_stopping_starts_anew_with_every_fit():
    stopping, net = cp.EarlyStopping(patience=1), network()
    first = net.fit(X, Y, epochs=50, eta=0.5, early_stopping=stopping)
    assert first.stopped == "early stopping"
    net.initialize(9)
    second = net.fit(X, Y, epochs=1, early_stopping=stopping)
    assert stopping.best == second["cost"][0]  # though the first fit came lower
    assert second["cost"][0] > min(first["cost"])


def test_a_column_that_will_not_be_there_is_refused_at_once():
    net = network()
    for monitor, message in [("val_cost", "Give X_val and y_val"), ("acuracy", "Did you mean 'accuracy'")]:
        with pytest.raises(UnknownNameError, match=message):
            net.fit(X, Y, early_stopping=cp.EarlyStopping(monitor))
    assert net.history is None
    with pytest.raises(UnknownNameError, match="monitors 'nothing'"):  # another callback might have added it
        net.fit(X, Y, epochs=1, callbacks=[AddsColumn(), cp.EarlyStopping("nothing")])


class AddsColumn(cp.Callback):
    def on_epoch_end(self, run, row):
        row["something"] = 1.0


def test_norms_are_those_of_the_gradient_and_the_parameters():
    class Keep(cp.Callback):
        every = 2

        def __init__(self):
            self.rows = []

        def on_gradient(self, run, gradient):
            block = run.model.layout.find("1.W").block
            self.rows.append(
                (run.step + 1, np.linalg.norm(gradient[block]), np.linalg.norm(run.network.W[1]))
            )

    keep, norms = Keep(), cp.NormHistory(every=2, names=("W", "gamma"))
    net = network()
    assert "2.gamma" in net.parameters
    net.fit(X, Y, epochs=2, batch_size=6, callbacks=[keep, norms])
    assert norms.addresses == ("1.W", "2.gamma", "4.W")
    assert [row.step for row in norms.rows] == [2, 4, 6, 8] == [step for step, *_ in keep.rows]
    np.testing.assert_allclose(norms.column("1.W"), [g for _, g, _ in keep.rows], rtol=1e-12)
    np.testing.assert_allclose(norms.column("1.W", "parameter"), [w for *_, w in keep.rows], rtol=1e-12)
    with pytest.raises(UnknownNameError, match=r"no '3\.W'"):
        norms.column("3.W")
    with pytest.raises(OptionError, match="what must be one of"):
        norms.column("1.W", "grad")
    net.fit(X, Y, epochs=1, batch_size=12, callbacks=norms)
    assert len(norms.rows) == 1  # those of the last fit


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: cp.EarlyStopping(patience=0),
            OptionError,
            "patience of EarlyStopping must be a whole number >= 1",
        ),
        (lambda: cp.EarlyStopping(patience=2.5), DTypeError, "patience of EarlyStopping"),
        (lambda: cp.EarlyStopping(min_delta=-1), OptionError, "min_delta of EarlyStopping"),
        (
            lambda: cp.EarlyStopping(restore_best=1),
            DTypeError,
            "restore_best of EarlyStopping must be True or False",
        ),
        (
            lambda: cp.EarlyStopping(5),
            DTypeError,
            "monitor of EarlyStopping must be the name of a column. Got 5",
        ),
        (lambda: cp.NormHistory(0), OptionError, "every of NormHistory"),
        (lambda: network().fit(X, Y, callbacks=cp.NormHistory(names="w")), UnknownNameError, "is called 'w'"),
    ],
)
def test_bad_options_of_callbacks(make, error, message):
    with pytest.raises(error, match=message):
        make()


# Ctrl-C ------------------------------------------------------------------------------------------


class PressCtrlC(cp.Callback):
    every = 1

    def __init__(self, at, times=1):
        self.at, self.times = at, times

    def on_gradient(self, run, gradient):  # in the middle of a step
        if run.step + 1 == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)

    def on_step_end(self, run):
        self.theta, self.buffers = run.state.theta.copy(), run.state.buffers.copy()


def test_ctrl_c_finishes_the_step_at_hand():
    press, net, log = PressCtrlC(8), network(), Log()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=100, batch_size=4, X_val=X, y_val=Y, callbacks=[log, press], early_stopping=True)
    assert net.history.stopped == "interrupted"
    assert net.history["step"] == [6, 8]
    np.testing.assert_array_equal(net.theta, press.theta)  # not the best epoch's: those of the last step
    np.testing.assert_array_equal(net.buffers, press.buffers)
    assert np.isnan(net.history["val_cost"][-1])  # no time was spent on validation
    assert log.log[-1][0] == "fit_end"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    twin = network()
    stop = StopAt(8)
    twin.fit(X, Y, epochs=100, batch_size=4, callbacks=stop)
    np.testing.assert_array_equal(net.theta, twin.theta)


class StopAt(cp.Callback):
    every = 1

    def __init__(self, at):
        self.at = at

    def on_step_end(self, run):
        if run.step == self.at:
            run.stop()


def test_a_second_ctrl_c_raises_at_once():
    net = network()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=2, callbacks=PressCtrlC(1, times=2))
    assert net.history.stopped == "interrupted"
    assert len(net.history) == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_stops_lbfgs():
    pytest.importorskip("scipy")

    class Press(cp.Callback):
        def on_epoch_end(self, run, row):
            if run.epoch == 2:
                self.theta = run.state.theta.copy()
                signal.raise_signal(signal.SIGINT)

    net, press = cp.Network([cp.Dense(4, "tanh"), cp.Dense(2, "softmax")]), Press()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, optimizer="lbfgs", callbacks=press)
    assert len(net.history) == 2
    np.testing.assert_array_equal(net.theta, press.theta)


class PressesInValidation(cp.costs.MeanSquaredError):
    chunks = 0

    def value(self, a, y):
        if len(a) == 1024:  # a chunk of the validation data
            PressesInValidation.chunks += 1
            signal.raise_signal(signal.SIGINT)
        return super().value(a, y)


def test_ctrl_c_during_validation_leaves_it():
    net = cp.Network([cp.Dense(1, "tanh")], PressesInValidation(), n_in=4)
    many = np.zeros((5000, 4))
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=5, X_val=many, y_val=many[:, 0])
    assert PressesInValidation.chunks == 1
    assert len(net.history) == 1
    assert "val_cost" not in net.history.columns


def test_a_handler_of_ones_own_is_left_alone():
    heard = []
    previous = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        history = network().fit(X, Y, epochs=1, batch_size=4, callbacks=PressCtrlC(2))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert heard == [1]
    assert history.stopped == "epochs"


def test_the_innermost_fit_hears_ctrl_c_and_both_stop():
    inner, outer = network(), network()

    class Nested(cp.Callback):
        def on_epoch_end(self, run, row):
            inner.fit(X, Y, epochs=50, batch_size=4, callbacks=PressCtrlC(3))

    with pytest.raises(KeyboardInterrupt):
        outer.fit(X, Y, epochs=50, callbacks=Nested())
    assert inner.history["step"] == [3]
    assert inner.history.stopped == outer.history.stopped == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(network().fit(X, Y, epochs=2)))
    thread.start()
    thread.join()
    assert found[0]["cost"] == network().fit(X, Y, epochs=2)["cost"]


LONG_RUN = """
import sys, numpy as np, clearprop as cp
X = np.random.default_rng(0).normal(size=(2000, 20))
net = cp.Network([cp.Dense(64, "relu"), cp.Dense(3, "softmax")], seed=0)
class Begun(cp.Callback):
    every = 1
    steps = 0
    def on_step_end(self, run):
        self.steps = run.step
        self.theta = run.state.theta.copy()
        if run.step == 3:
            print("begun", flush=True)
begun = Begun()
try:
    net.fit(X, np.arange(2000) % 3, epochs=10**6, callbacks=begun)
except KeyboardInterrupt:
    assert net.history.stopped == "interrupted", net.history.stopped
    assert np.array_equal(net.theta, begun.theta)
    assert net.history[-1]["step"] == begun.steps
    print("interrupted", flush=True)
    sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process")
def test_a_signal_from_outside_stops_a_long_run():
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", LONG_RUN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (out, process.returncode) == ("interrupted\n", 7), errors


def test_only_a_callback_that_began_is_ended_and_the_first_error_is_raised():
    seen = []

    class Ends(cp.Callback):
        def on_fit_begin(self, run):
            seen.append("began")

        def on_fit_end(self, run):
            seen.append("ended")

    class FailsToBegin(cp.Callback):
        def on_fit_begin(self, run):
            raise RuntimeError("the real error")

    net = cp.Network([2, 3, 1], seed=0)
    X, y = np.ones((4, 2)), np.zeros((4, 1))
    with pytest.raises(RuntimeError, match="the real error"):
        net.fit(X, y, callbacks=[Ends(), FailsToBegin(), Ends()])
    assert seen == ["began", "ended"]


def test_one_callback_that_fails_at_the_end_does_not_keep_the_others_from_ending():
    ended = []

    class Ends(cp.Callback):
        def on_fit_end(self, run):
            ended.append(True)

    class Fails(cp.Callback):
        def on_fit_end(self, run):
            raise ZeroDivisionError

    net = cp.Network([2, 3, 1], seed=0)
    with pytest.raises(ZeroDivisionError):
        net.fit(np.ones((4, 2)), np.zeros((4, 1)), epochs=1, callbacks=[Ends(), Fails(), Ends()])
    assert ended == [True, True]
