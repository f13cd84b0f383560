"""Callbacks, stops, Ctrl-C and divergence while the native rung does whole runs of steps."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from tests.native_cases import (
    LABELS,
    SEVERAL_STEPS,
    N,
    X,
    classifier,
    difference,
    fitted,
    history_difference,
    needs_native,
    noisy,
)
from tests.networks import relative

import clearprop as cp
from clearprop.compiled import native
from clearprop.training.metrics import Metric

pytestmark = needs_native


class Watch(cp.Callback):
    """Looks every so many steps, and keeps what it saw."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.seen: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}

    def on_step_end(self, run):
        self.seen[run.step] = run.network.theta.copy(), run.network.buffers.copy(), run.eta


class WatchGradients(Watch):
    def __init__(self, every: int) -> None:
        super().__init__(every)
        self.gradients: dict[int, np.ndarray] = {}

    def on_gradient(self, run, gradient):
        self.gradients[run.step + 1] = gradient.copy()


@pytest.mark.parametrize("every", [1, 2, 7])
@pytest.mark.parametrize("kind", [Watch, WatchGradients])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
def test_callbacks_see_what_the_batch_rung_shows_them(kind, every: int, optimizer: str) -> None:
    mine, theirs = kind(every), kind(every)
    options = {"optimizer": optimizer, "eta": 0.01, "schedule": cp.ExponentialDecay(0.9, "step"), "l2": 0.1}
    found = fitted(noisy(), callbacks=mine, **options)
    fitted(noisy(), engine="batch", callbacks=theirs, **options)
    assert list(mine.seen) == list(theirs.seen) == list(range(every, 16, every))
    for step, (theta, buffers, eta) in theirs.seen.items():
        assert relative(mine.seen[step][0], theta) < SEVERAL_STEPS
        assert relative(mine.seen[step][1], buffers) < SEVERAL_STEPS
        assert mine.seen[step][2] == eta
    if every == 1:
        np.testing.assert_array_equal(mine.seen[15][0], found.theta)
    if kind is WatchGradients:
        assert list(mine.gradients) == list(theirs.gradients) == list(mine.seen)
        for step, gradient in theirs.gradients.items():
            assert relative(mine.gradients[step], gradient) < SEVERAL_STEPS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [classifier, noisy])
@pytest.mark.parametrize("isa", [] if native is None else native.instruction_sets())
def test_bits_do_not_depend_on_who_watches(monkeypatch, isa: str, make, dtype: str) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    for optimizer in ("sgd", "nesterov", "rmsprop", "adam", "adamw"):
        for options in ({}, {"l1": 0.01, "l2": 0.1, "max_norm": 1.0}, {"clip_norm": 0.3}):
            runs = {
                name: fitted(make(dtype=dtype), optimizer=optimizer, eta=0.01, callbacks=watching, **options)
                for name, watching in {
                    "none": (),
                    "steps": Watch(1),
                    "gradients": WatchGradients(1),
                    "some": [Watch(4), WatchGradients(3)],
                }.items()
            }
            thetas = {name: net.theta.tobytes() for name, net in runs.items()}
            assert {name for name in thetas if thetas[name] != thetas["none"]} == set(), (optimizer, options)
            assert len({net.buffers.tobytes() for net in runs.values()}) == 1


class Changes(cp.Callback):
    def __init__(self, every: int) -> None:
        self.every = every

    def on_step_end(self, run):
        run.network.W[1][0] *= -1.0
        run.network.buffers[:] += 0.125


class ChangesGradients(cp.Callback):
    def __init__(self, every: int) -> None:
        self.every = every

    def on_gradient(self, run, gradient):
        gradient *= 0.25
        gradient[3] = 0.5


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("kind", [Changes, ChangesGradients])
def test_what_callbacks_change_counts(kind, every: int) -> None:
    for options in ({"optimizer": "adam"}, {"optimizer": "momentum", "eta": 0.05, "clip_norm": 0.1}):
        assert difference(noisy, callbacks=kind(every), **options) < SEVERAL_STEPS
        assert not np.array_equal(
            fitted(noisy(), **options).theta, fitted(noisy(), callbacks=kind(every), **options).theta
        )


def test_what_is_changed_between_epochs_counts() -> None:
    class BetweenEpochs(cp.Callback):
        def on_epoch_begin(self, run):
            run.network.b[1][:] = run.epoch

        def on_epoch_end(self, run, row):
            row["size"] = float(np.linalg.norm(run.network.theta))

    def make():
        return classifier()

    assert difference(make, callbacks=BetweenEpochs(), optimizer=cp.SGD(0.1)) < SEVERAL_STEPS


class OnlyHooks(cp.Callback):
    """Has one hook, and says that it does not look at parameters while an epoch runs."""

    reads_theta = False

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self.change)

    def change(self, run, *rest):
        run.network.W[1][:, 0] = 0.1 / (1 + run.epoch)
        for slot in run.slots.values():
            slot[:5] = 0.25


@pytest.mark.parametrize("hook", ["on_fit_begin", "on_epoch_begin", "on_epoch_end", "on_fit_end"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_what_is_changed_counts_whatever_reads_theta_says(hook: str, optimizer: str) -> None:
    options = {"optimizer": optimizer, "eta": 0.05}
    assert difference(classifier, callbacks=OnlyHooks(hook), **options) < SEVERAL_STEPS
    changed = fitted(classifier(), callbacks=OnlyHooks(hook), **options)
    assert not np.array_equal(changed.theta, fitted(classifier(), **options).theta)


class ChangesAtEpochs(cp.EarlyStopping):
    """Changes parameters, made from a class that says that its hooks do not."""

    def on_epoch_end(self, run, row):
        super().on_epoch_end(run, row)
        run.network.W[1][:, 0] *= 0.5


def test_a_class_that_changes_nothing_does_not_speak_for_those_made_from_it() -> None:
    def stopping():
        return ChangesAtEpochs("cost", restore_best=False)

    assert not cp.EarlyStopping.changes_parameters
    assert difference(classifier, callbacks=stopping(), optimizer=cp.SGD(0.05)) < SEVERAL_STEPS
    changed = fitted(classifier(), callbacks=stopping(), optimizer=cp.SGD(0.05))
    assert not np.array_equal(changed.theta, fitted(classifier(), optimizer=cp.SGD(0.05)).theta)


class Nothing(cp.Callback):
    """May change parameters, and so makes a run keep a copy to go back to."""

    def on_epoch_end(self, run, row):
        pass


class Fails(cp.Callback):
    """Fails after a few steps."""

    reads_theta = False

    def on_progress(self, run, rolling):
        raise ZeroDivisionError


def overflows(callbacks, error):
    """Train until step 11 makes parameters infinite; return the network, its start and the message."""
    X = np.zeros((11, 5), np.float32)
    layers = [cp.Dense(20, "relu"), cp.Dense(1)]
    net = cp.Network(layers, n_in=5, seed=0, dtype="float32", engine="native")
    start = net.theta.copy()
    y = np.where(np.arange(11) == 10, 1e3, 0.0)
    options = {"optimizer": cp.SGD(3e38), "batch_size": 1, "shuffle": False, "epochs": 2}
    with pytest.raises(error) as caught:
        net.fit(X, y, callbacks=callbacks, **options)
    return net, start, str(caught.value)


@pytest.mark.parametrize(
    ("callbacks", "step"),
    [
        ((), 0),
        (cp.EarlyStopping("cost"), 0),
        (cp.NormHistory(1), 10),
        (cp.NormHistory(3), 9),
        (Nothing(), 0),
    ],
    ids=["none", "at epochs", "every step", "every third", "other code"],
)
def test_the_parameters_left_are_those_of_the_step_that_the_message_names(callbacks, step: int) -> None:
    net, start, message = overflows(callbacks, cp.DivergenceError)
    assert message.endswith(f"The parameters are those after step {step}."), message
    assert "a callback" not in message
    np.testing.assert_array_equal(net.theta, start)  # all inputs and targets before are zero
    assert net.steps_trained == step


def test_after_another_failure_steps_and_parameters_agree() -> None:
    net, start, _ = overflows(Fails(), ZeroDivisionError)
    np.testing.assert_array_equal(net.theta, start)
    assert net.steps_trained == 0


@pytest.mark.parametrize("callbacks", [(), cp.NormHistory(1), Nothing()], ids=["none", "ours", "other code"])
def test_who_watches_does_not_change_what_a_divergence_is_blamed_on(callbacks) -> None:
    net = cp.Network([cp.Dense(1, "exponential")], "quadratic", n_in=40, seed=0, dtype="float32")
    x = np.random.default_rng(0).normal(size=(16, 40)).astype(np.float32)
    options = {"optimizer": cp.SGD(0.01), "batch_size": 16, "epochs": 50, "engine": "native"}
    with pytest.raises(cp.DivergenceError, match="the parameters grew"):
        net.fit(x, np.full(16, 1e3), callbacks=callbacks, **options)


def test_validation_after_a_time_limit_is_that_of_the_parameters_left() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 60)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    net = cp.Network([cp.Dense(50, "sigmoid"), cp.Dense(2, "softmax")], seed=0, dtype="float32")
    options = {"X_val": x[:1500], "y_val": y[:1500], "optimizer": cp.SGD(0.01), "batch_size": 1}
    history = net.fit(x, y, epochs=1000, time_limit=0.05, engine="native", **options)
    assert history.stopped == "time limit"
    found = net.evaluate(x[:1500], y[:1500])
    assert {name: history[-1][f"val_{name}"] for name in found} == found


@pytest.mark.parametrize("what", ["metrics", "order", "schedule"])
def test_what_other_code_changes_between_epochs_counts(what: str) -> None:
    def trained(engine: str) -> np.ndarray:
        net = classifier()

        def change() -> None:
            net.W[1][:, 0] *= -0.5

        class Mean(Metric):
            def score(self, task, y_true, outputs, sample_weight):
                change()
                return float(np.mean(outputs))

        def order(epoch):
            change()
            return np.arange(N)

        class Changes(cp.Constant):
            monitors = True

            def observe(self, state, value):
                change()
                return super().observe(state, value)

        given = {"metrics": [Mean()], "order": order, "schedule": Changes()}
        held = {"X_val": X[:20], "y_val": LABELS[:20]}
        fitted(net, engine=engine, optimizer=cp.SGD(0.05), **held, **{what: given[what]})
        return np.concatenate([net.theta, net.history["val_cost"]])

    assert relative(trained("native"), trained("batch")) < SEVERAL_STEPS


def test_progress_shows_current_parameters() -> None:
    class Progress(cp.Callback):
        def __init__(self):
            self.seen = []

        def on_progress(self, run, row):
            self.seen.append((row["step"], run.network.theta.copy()))

    progress, watch = Progress(), Watch(1)
    net = fitted(classifier(), callbacks=[progress, watch])
    np.testing.assert_array_equal(progress.seen[-1][1], net.theta)
    for step, theta in progress.seen:
        np.testing.assert_array_equal(theta, watch.seen[step][0])


def test_a_callback_may_predict_and_train_other_networks() -> None:
    class Busy(cp.Callback):
        every = 2

        def on_gradient(self, run, gradient):
            self.outputs = run.network.outputs(X)

        def on_step_end(self, run):
            assert np.isfinite(run.network.evaluate(X, LABELS)["cost"])
            fitted(noisy(), epochs=1)

    busy = Busy()
    np.testing.assert_array_equal(fitted(classifier(), callbacks=busy).theta, fitted(classifier()).theta)
    assert busy.outputs.shape == (N, 3)


@pytest.mark.parametrize("hook", ["on_gradient", "on_step_end", "on_progress", "on_epoch_end"])
def test_an_exception_in_a_callback_comes_through(hook: str) -> None:
    class Fails(cp.Callback):
        every = 1

    def fail(self, run, *rest):
        if run.step >= 3:
            raise RuntimeError("my own")

    setattr(Fails, hook, fail)
    net, watch = classifier(engine="native"), Watch(1)
    with pytest.raises(RuntimeError, match="my own"):
        net.fit(X, LABELS, epochs=2, batch_size=10, callbacks=[watch, Fails()])
    assert net.history.stopped == "failed"
    np.testing.assert_array_equal(net.theta, watch.seen[max(watch.seen)][0])


# Stops -------------------------------------------------------------------------------------------


def test_early_stopping_restores_the_best_epoch() -> None:
    class Keep(cp.Callback):
        def on_fit_begin(self, run):
            self.states = []

        def on_epoch_end(self, run, row):
            self.states.append((row["val_cost"], run.state.theta.copy(), run.state.buffers.copy()))

    net, keep = noisy(engine="native"), Keep()
    history = net.fit(
        X, LABELS, X_val=-X, y_val=LABELS, epochs=40, eta=0.05, callbacks=keep, early_stopping=True
    )
    assert history.stopped == "early stopping"
    _, theta, buffers = min(keep.states, key=lambda state: state[0])
    np.testing.assert_array_equal(net.theta, theta)
    np.testing.assert_array_equal(net.buffers, buffers)
    assert not np.array_equal(net.theta, keep.states[-1][1])


def test_stop_ends_after_the_step_at_hand() -> None:
    class Stop(cp.Callback):
        every = 4

        def on_step_end(self, run):
            if run.step == 8:
                self.theta = run.state.theta.copy()
                run.stop("enough")

    stop = Stop()
    net = fitted(classifier(), callbacks=stop)
    assert (net.history.stopped, net.history["step"]) == ("enough", [5, 8])
    np.testing.assert_array_equal(net.theta, stop.theta)
    expected = fitted(classifier(), engine="batch", callbacks=Stop())
    assert history_difference(net.history, expected.history) < SEVERAL_STEPS


def test_a_time_limit_stops_within_an_epoch() -> None:
    many = np.tile(X, (20000, 1))
    begun = time.perf_counter()
    net = classifier(engine="native")
    history = net.fit(many, np.tile(LABELS, 20000), batch_size=1, epochs=10**6, time_limit=0.2)
    assert history.stopped == "time limit"
    assert time.perf_counter() - begun < 10  # one epoch alone takes longer on any machine of today
    assert len(history) == 1
    assert 0 < history["step"][0] < len(many)
    assert net.steps_trained == history["step"][0]
    assert np.isfinite(net.theta).all()


class PressCtrlC(cp.Callback):
    every = 1

    def __init__(self, at: int) -> None:
        self.at = at

    def on_gradient(self, run, gradient):  # in the middle of a step
        if run.step + 1 == self.at:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_finishes_the_step_at_hand() -> None:
    net, watch = noisy(engine="native"), Watch(1)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, LABELS, epochs=100, batch_size=10, drop_last=True, callbacks=[PressCtrlC(7), watch])
    assert (net.history.stopped, net.history["step"]) == ("interrupted", [4, 7])
    np.testing.assert_array_equal(net.theta, watch.seen[7][0])
    twin, same = noisy(), Watch(1)
    fitted(twin, epochs=2, drop_last=True, callbacks=same)
    np.testing.assert_array_equal(net.theta, same.seen[7][0])


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process")
def test_a_signal_from_outside_is_heard_in_a_long_epoch() -> None:
    program = (
        "import sys, numpy as np, clearprop as cp\n"
        "X = np.random.default_rng(0).normal(size=(3000000, 4))\n"
        "layers = [cp.Dense(50, 'tanh'), cp.Dense(50, 'tanh'), cp.Dense(1)]\n"
        "net = cp.Network(layers, seed=0, engine='native')\n"
        "class Begun(cp.Callback):\n"
        "    def on_progress(self, run, rolling):\n"
        "        print('begun', flush=True)\n"
        "try:\n"
        "    net.fit(X, X[:, 0], epochs=1000, batch_size=1, callbacks=[Begun()])\n"
        "except KeyboardInterrupt:\n"
        "    within = net.history['step'][-1] < len(X)\n"
        "    print(net.history.stopped, len(net.history), within, np.isfinite(net.theta).all(), flush=True)\n"
        "    sys.exit(7)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (out.replace("begun\n", ""), process.returncode) == ("interrupted 1 True True\n", 7)


def test_training_in_a_thread() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(fitted(noisy()).theta))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0], fitted(noisy()).theta)


# Divergence --------------------------------------------------------------------------------------

MESSAGE = re.compile(r"training diverged in epoch (\d+), (?:at or before )?step (\d+): (.+?) of layer (\d+)")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [cp.SGD(1e6), cp.Momentum(10.0), cp.SGD(1e300)], ids=str)
def test_divergence_says_where_and_leaves_finite_parameters(dtype: str, optimizer) -> None:
    layers = [cp.Dense(6, "relu"), cp.Dense(4, "relu"), cp.Dense(1)]
    net = cp.Network(layers, n_in=5, seed=0, dtype=dtype, engine="native")
    with pytest.raises(cp.DivergenceError) as caught:
        net.fit(X, X[:, 0], optimizer=optimizer, epochs=50, batch_size=10)
    found = MESSAGE.match(str(caught.value))
    assert found, str(caught.value)
    epoch, step, layer = int(found[1]), int(found[2]), int(found[4])
    assert epoch == (step - 1) // 5 + 1
    assert 1 <= layer <= 3
    assert np.isfinite(net.theta).all()
    assert net.history.stopped == "failed"


def test_a_gradient_that_a_callback_breaks_is_found() -> None:
    class Breaks(cp.Callback):
        every = 1

        def on_gradient(self, run, gradient):
            if run.step == 6:
                gradient[0] = np.nan

    net = classifier(engine="native")
    with pytest.raises(cp.DivergenceError, match=r"epoch 2, at or before step \d+: .*a callback \(Breaks\)"):
        net.fit(X, LABELS, batch_size=10, callbacks=Breaks())
    assert np.isfinite(net.theta).all()


def test_running_statistics_that_overflow_are_found() -> None:
    net = cp.Network([cp.BatchNorm(), cp.Dense(1)], n_in=1, seed=0, dtype="float32", engine="native")
    x = np.where(np.arange(20) % 2, 3e19, -3e19).astype(np.float32)[:, None]  # its variance overflows
    with pytest.raises(cp.DivergenceError, match=r"epoch 1, .*of layer 1"):
        net.fit(x, np.zeros(20), epochs=2, batch_size=10)
    assert np.isfinite(net.theta).all()
    assert np.isfinite(net.buffers).all()


class LooksAtSlots(cp.EarlyStopping):
    reads_slots = True

    def __init__(self) -> None:
        super().__init__("cost")
        self.moved: list[bool] = []

    def on_epoch_end(self, run, row):
        self.moved.append(bool(run.slots["m"].any()))
        super().on_epoch_end(run, row)


class LeavesSlotsAlone(LooksAtSlots):
    reads_slots = False


def test_slots_come_along_for_callbacks_that_look_at_them_alone() -> None:
    looks, leaves = LooksAtSlots(), LeavesSlotsAlone()
    found = [fitted(noisy(), callbacks=one, optimizer="adam", eta=0.01) for one in (looks, leaves)]
    assert all(looks.moved)
    assert not any(leaves.moved)
    np.testing.assert_array_equal(found[0].theta, found[1].theta)
    assert not cp.EarlyStopping.reads_slots
