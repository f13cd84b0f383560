"""What callbacks and other code of the user do to a run: it counts, or is named, on every engine alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from tests.native_cases import needs_native

import clearprop as cp
from clearprop.schedules import Schedule

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = np.tanh(X[:, :1])
ENGINES = [pytest.param("native", marks=needs_native), "batch"]
on_each_engine = pytest.mark.parametrize("engine", ENGINES)


def network(engine, *between):
    return cp.Network([cp.Dense(6, "tanh"), *between, cp.Dense(1)], n_in=4, seed=1, engine=engine)


class Writes(cp.Callback):
    """Puts a number into theta or the buffers, in one hook of one epoch."""

    def __init__(self, hook, what="theta", epoch=1, value=np.nan):
        self.what, self.epoch, self.value = what, epoch, value
        setattr(self, hook, self.write)

    def write(self, run, *_):
        if run.epoch in (0, self.epoch):
            getattr(run.state, self.what)[1] = self.value


@on_each_engine
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("what", "name"), [("theta", "W"), ("buffers", "running_mean")])
@pytest.mark.parametrize("hook", ["on_fit_begin", "on_epoch_begin"])
def test_what_is_not_finite_before_the_first_step_is_named(hook, what, name, value, engine):
    net = network(engine, cp.BatchNorm())
    said = rf"cannot go on in epoch 1, before the first step: a callback \(Writes\) made {name} of layer"
    with pytest.raises(cp.DivergenceError, match=said):
        net.fit(X, Y, epochs=2, callbacks=Writes(hook, what, value=value))


@on_each_engine
def test_the_same_before_the_first_batch_of_a_stream(engine):
    batches = [(X[:30], Y[:30]), (X[30:], Y[30:])]
    with pytest.raises(cp.DivergenceError, match=r"before the first step: a callback \(Writes\) made W"):
        network(engine).fit(batches, epochs=2, callbacks=Writes("on_epoch_begin"))


@on_each_engine
@pytest.mark.parametrize("hook", ["on_epoch_end", "on_epoch_begin", "on_progress"])
def test_a_callback_that_is_called_between_epochs_is_named(hook, engine):
    net = network(engine)
    with pytest.raises(cp.DivergenceError, match=r"a callback \(Writes\)") as caught:
        net.fit(X, Y, epochs=4, callbacks=Writes(hook, epoch=2))
    assert "too high" not in str(caught.value)
    assert np.isfinite(net.theta).all()


@on_each_engine
def test_what_the_last_epoch_ends_with_is_looked_at(engine):
    net = network(engine)
    with pytest.raises(cp.DivergenceError, match=r"epoch 3, after step \d+: a callback \(Writes\) made W"):
        net.fit(X, Y, epochs=3, callbacks=Writes("on_epoch_end", epoch=3))
    assert np.isfinite(net.theta).all()


class Forgets(cp.Callback):
    """Sets the velocity to zero when it sees a gradient, and the running statistics to five."""

    every = 1

    def on_gradient(self, run, gradient):
        for slot in run.slots.values():
            slot[:] = 0.0
        run.state.buffers[:] = 5.0


@needs_native
def test_slots_changed_with_the_gradient_count_and_buffers_do_not():
    found = []
    for engine in ("native", "batch"):
        net = network(engine, cp.BatchNorm())
        net.fit(X, Y, epochs=2, optimizer="momentum", eta=0.05, callbacks=Forgets())
        found.append((net.theta.copy(), net.buffers.copy()))
    plain = network("batch", cp.BatchNorm())
    plain.fit(X, Y, epochs=2, optimizer=cp.SGD(0.05))
    for theta, buffers in found:
        np.testing.assert_allclose(theta, plain.theta, rtol=1e-10)
        np.testing.assert_allclose(buffers, plain.buffers, rtol=1e-10)


class Watches(cp.Callback):
    def on_epoch_end(self, run, row):
        """Might change something, for all the engine knows."""


@on_each_engine
@pytest.mark.parametrize("others", [(), (Watches(),)])
def test_a_recording_keeps_the_steps_before_an_update_that_overflowed(others, engine):
    rows, truth = np.zeros((11, 5), np.float32), np.where(np.arange(11) == 10, 1e3, 0.0)
    net = cp.Network([cp.Dense(20, "relu"), cp.Dense(1)], n_in=5, seed=0, dtype="float32", engine=engine)
    recorder = cp.FlightRecorder(every=2)
    with pytest.raises(cp.DivergenceError, match="step 11: b after the update of"):
        net.fit(
            rows,
            truth,
            optimizer=cp.SGD(3e38),
            batch_size=1,
            shuffle=False,
            epochs=2,
            callbacks=[recorder, *others],
        )
    run = recorder.run
    assert run.steps[-1] in (10, 11)
    assert run.kept[-1] == 10
    assert np.isfinite(run.theta(10)).all()
    if not others:
        np.testing.assert_array_equal(run.theta(10), net.theta)
        assert np.isfinite(run.trace(11).gradient).all()  # the gradient is finite, the update was not


@dataclass(frozen=True)
class Fails(Schedule):
    """Raises when it is asked for the rate of the fourth step."""

    def multiplier(self, at):
        if at.step == 4:
            raise RuntimeError("no rate")
        return 1.0


@on_each_engine
def test_a_step_whose_rate_is_not_known_does_not_count(engine):
    net, twin = network(engine), network(engine)
    with pytest.raises(RuntimeError, match="no rate"):
        net.fit(X, Y, epochs=4, batch_size=20, optimizer="sgd", schedule=Fails())
    twin.fit(X, Y, epochs=1, batch_size=20, optimizer="sgd")
    assert net.steps_trained == twin.steps_trained == 3
    np.testing.assert_array_equal(net.theta, twin.theta)


@on_each_engine
def test_a_time_limit_is_not_called_early_stopping(engine):
    class Late(cp.Callback):
        every = 1

        def on_step_end(self, run):
            if run.step == self.step:
                run.stop("time limit")

    found = []
    for step in (7, 8, 99):  # within the fourth epoch, at its end, never
        late = Late()
        late.step = step
        # The cost improves in the first epoch alone, so that patience runs out in the fourth.
        stopping = cp.EarlyStopping("cost", patience=3, min_delta=1e9)
        net = network(engine)
        found.append(net.fit(X, Y, epochs=9, batch_size=30, callbacks=late, early_stopping=stopping).stopped)
    assert found == ["time limit", "time limit", "early stopping"]
