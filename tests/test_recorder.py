"""The flight recorder: every quantity of every step again, bit for bit, from few snapshots."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from tests.native_cases import needs_native
from tests.recorder_cases import (
    EACH_STEP,
    LABELS,
    Everything,
    N,
    X,
    everything,
    network,
    plain,
    recorded,
    sha256,
    sums,
)

import clearprop as cp
from clearprop.compiled import native
from clearprop.optimizers import optimizers
from clearprop.recorder.snapshots import Snapshots
from clearprop.training.snapshot import Snapshot

ENGINES = [pytest.param("native", marks=needs_native), "batch"]
STEPPING = [name for name in optimizers if not optimizers[name].full_batch]


def again(run: cp.Recording) -> tuple[dict, dict, dict]:
    """Return the sums of theta, buffers and gradient at every step, backwards: each is a new start."""
    at = range(run.steps.stop - 1, run.steps.start - 2, -1)
    theta = {step: sha256(run.theta(step)) for step in at}
    buffers = {step: sha256(run.buffers(step)) for step in reversed(at)}
    return theta, buffers, {step: sha256(run.gradient(step)) for step in run.steps}


def check(net_of, **options) -> cp.Recording:
    """Record a run, and compare every position with the same run that kept them all."""
    run, kept = recorded(net_of(), **options), everything(net_of(), **options)
    assert again(run) == (sums(kept.theta), sums(kept.buffers), sums(kept.gradients))
    assert [run.eta(step) for step in run.steps] == list(kept.etas.values())
    return run


# -- the bits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", STEPPING)
def test_every_position_of_every_optimiser_has_the_bits_of_the_run(optimizer, engine, dtype):
    run = check(lambda: network(engine=engine, dtype=dtype), optimizer=optimizer, schedule="cosine")
    assert run.kept == (0, 5, 10, 15, 20, 24)
    assert run.conditions["engine"] == engine


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "options",
    [
        {"l1": 1e-3, "l2": 1e-2, "clip_norm": 0.5},
        {"clip_value": 0.01, "max_norm": 1.0},
        {"schedule": "one_cycle"},
        {"schedule": cp.OnPlateau(0.5, patience=0), "validation_fraction": 0.2},
        {"schedule": cp.StepDecay(every=2, factor=0.5), "drop_last": True},
        {"shuffle": False, "groups": {"1": {"rate": 0.1}, "*.b": {"decay": 0.0}}, "optimizer": "adamw"},
        {"sample_weight": 1.0 + np.arange(N) % 4, "class_weight": "balanced"},
        {"batch_size": N, "epochs": 12},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_option_of_fit_is_done_again(options, engine):
    check(lambda: network(engine=engine), **options)


@pytest.mark.parametrize("engine", ["neuron", "example", "graph"])
def test_the_slow_rungs_are_recorded_too(engine):
    check(lambda: plain(engine=engine), epochs=1)


def test_preprocessing_frozen_parts_and_mapped_data(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    recorder, kept = cp.FlightRecorder(every=5), Everything()
    for callback in (recorder, kept):
        net = network(preprocessing="standardize").freeze("4")
        net.fit(mapped, LABELS, callbacks=callback, **EACH_STEP)
    assert again(recorder.run)[0] == sums(kept.theta)
    assert recorder.run.verify() == 5


def test_an_order_of_the_users_own_is_written_down_though_it_comes_but_once():
    def order():
        yield np.arange(40)
        yield [np.arange(5), np.arange(60, 80)]
        yield np.arange(N)[::-1]

    run, kept = recorded(epochs=3, order=order(), every=2), everything(epochs=3, order=order())
    assert again(run)[0] == sums(kept.theta)
    assert [len(run.batch(step)) for step in run.steps] == [16, 16, 8, 5, 20, 16, 16, 16, 16, 16, 3]
    assert run.batch(5).tolist() == list(range(60, 80))
    continued, _ = run.resume(4)
    assert sha256(continued.theta) == sha256(kept.theta[11])


def test_lbfgs_is_done_again_from_the_start():
    class Iterations(cp.Callback):
        def on_epoch_end(self, run, row):
            theta[run.step] = sha256(run.state.theta)

    theta: dict[int, str] = {}
    options = {"optimizer": "lbfgs", "epochs": 9, "l2": 1e-3}
    plain().fit(X, LABELS, callbacks=Iterations(), **options)
    recorder, net = cp.FlightRecorder(), plain()
    history = net.fit(X, LABELS, callbacks=recorder, **options)
    run = recorder.run
    assert {step: sha256(run.theta(step)) for step in run.steps} == theta
    assert [run.trace(step).cost for step in (2, 3)] == pytest.approx(history["cost"][:2], rel=1e-12)
    assert np.array_equal(np.sort(run.batch(3)), np.arange(N))
    penalty = 1e-3 * run.theta(3)[: 4 * 6]  # weights of layer 1 come first
    assert run.gradient(4)[:24] == pytest.approx(run.trace(4).gradient[:24] + penalty, rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_trace_is_that_of_the_step_with_its_batch_and_its_masks(engine):
    run, kept = recorded(network(engine=engine)), everything(network(engine=engine))
    for step in (1, 7, 13, 24):
        trace = run.trace(step)
        assert trace.training
        assert trace.engine == engine
        assert sha256(trace.gradient) == sha256(kept.gradients[step])
        assert sha256(trace[0].a) == sha256(X[run.batch(step)])
    masks = [run.trace(step)[3].mask for step in (1, 2)]
    assert not np.array_equal(*masks)


def test_per_example_gradients_of_a_past_step_average_to_its_gradient():
    run = recorded(plain())
    trace = run.trace(9)
    assert trace[2].per_example.dC_dW.shape == (16, 3, 6)
    assert trace.per_example_gradient.mean(axis=0) == pytest.approx(run.gradient(9), rel=1e-12)


def test_the_batches_of_an_epoch_are_every_example_once():
    run = recorded()
    epoch = np.concatenate([run.batch(step) for step in run.steps if run.epoch(step) == 3])
    assert np.array_equal(np.sort(epoch), np.arange(N))


def test_a_network_of_a_past_step_stands_alone():
    net = network()
    run = recorded(net)
    found = run.network(13)
    assert (found.steps_trained, found.epochs_trained) == (13, 3)
    assert sha256(found.theta) == sha256(run.theta(13))
    found.theta[:] = 0
    assert run.theta(13).any()
    assert net.theta.any()
    assert found.predict(X).shape == (N,)
    assert (run.network(0).epochs_trained, run.network(24).epochs_trained) == (0, 4)


def test_recording_changes_no_bit_of_the_run():
    net, alone = network(), network()
    recorded(net, every=1)
    alone.fit(X, LABELS, **EACH_STEP)
    assert sha256(net.theta) == sha256(alone.theta)


def test_a_second_fit_goes_on_where_the_first_ended():
    net = network()
    recorder, kept = cp.FlightRecorder(every=5), Everything()
    net.fit(X, LABELS, **EACH_STEP)
    twin = net.copy()
    net.fit(X, LABELS, callbacks=recorder, **EACH_STEP)
    twin.fit(X, LABELS, callbacks=kept, **EACH_STEP)
    assert again(recorder.run)[0] == sums(kept.theta)
    assert recorder.run.network(13).epochs_trained == 7


# -- where runs end ----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["native", "batch"])
@pytest.mark.parametrize("hook", ["on_step_end", "on_epoch_begin", "on_epoch_end"])
def test_a_step_whose_callback_failed_was_done(engine, hook):
    def fails(self, run, *more):
        if run.step == 12:
            raise ValueError("disk full")

    Failing = type("Failing", (cp.Callback,), {hook: fails, "every": 1})
    recorder, net = cp.FlightRecorder(every=5), network(engine=engine)
    with pytest.raises(ValueError, match="disk full"):
        net.fit(X, LABELS, **EACH_STEP, callbacks=[recorder, Failing()])
    assert len(recorder.run.steps) == net.steps_trained == 12
    assert np.array_equal(recorder.run.theta(12), net.theta)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("eta", [3.0, 1e200])
def test_a_run_that_diverged_can_be_looked_at_to_the_step_that_did(engine, eta):
    net = cp.Network([cp.Dense(8, "relu"), cp.Dense(1)], seed=0, engine=engine)
    recorder = cp.FlightRecorder(every=3)
    with pytest.raises(cp.DivergenceError) as caught:
        net.fit(X, 50 * X[:, 0], optimizer="sgd", eta=eta, epochs=20, callbacks=recorder)
    run = recorder.run
    last = run.steps[-1]
    assert f"step {last}:" in str(caught.value)
    assert run.stopped == "failed"
    assert not np.isfinite(run.trace(last).cost)
    assert np.isfinite(run.trace(last - 1).cost)
    assert sha256(run.theta(last - 1)) == sha256(net.theta)
    with pytest.raises(cp.errors.OptionError, match=f"Step {last} failed: it gave none"):
        run.theta(last)


def test_early_stopping_puts_the_best_back_and_the_recording_ends_where_training_did():
    stop = cp.EarlyStopping(patience=1, min_delta=10.0)
    net = network()
    run = recorded(net, epochs=50, validation_fraction=0.2, early_stopping=stop)
    assert run.stopped == "early stopping"
    assert sha256(run.theta(run.steps[-1])) != sha256(net.theta)
    best = max(step for step in run.steps if run.epoch(step) == stop.best_epoch)
    assert sha256(run.theta(best)) == sha256(net.theta)
    assert run.verify() == len(run.kept) - 1


def test_a_run_that_a_callback_stopped_in_mid_epoch():
    class Stop(cp.Callback):
        every = 8

        def on_step_end(self, run):
            run.stop("enough")

    recorder = cp.FlightRecorder(every=3)
    net = network()
    net.fit(X, LABELS, callbacks=[recorder, Stop()], **EACH_STEP)
    assert recorder.run.steps == range(1, 9)
    assert sha256(recorder.run.theta(8)) == sha256(net.theta)
    assert recorder.run.callbacks == ("Stop",)


# -- size --------------------------------------------------------------------------------------


def test_snapshots_are_thinned_and_stay_evenly_spaced():
    recorder = cp.FlightRecorder(every=1, most=4)
    network().fit(X, LABELS, epochs=20, batch_size=16, callbacks=recorder)
    assert recorder.run.kept == (0, 32, 64, 96, 120)
    kept = everything(epochs=20)
    assert sha256(recorder.run.theta(77)) == sha256(kept.theta[77])


def test_snapshots_are_bounded_in_bytes():
    recorder = cp.FlightRecorder(every=1, most_bytes=10_000)
    network().fit(X, LABELS, epochs=20, batch_size=16, callbacks=recorder)
    run = recorder.run
    ends = 2 * (run.nbytes // len(run.kept))
    assert 4 < len(run.kept) < 10
    assert run.nbytes <= 10_000 + ends


def test_one_snapshot_too_large_for_the_bound_leaves_the_two_ends():
    recorder = cp.FlightRecorder(every=2, most_bytes=1)
    network().fit(X, LABELS, callbacks=recorder, **EACH_STEP)
    assert recorder.run.kept == (0, 24)
    assert recorder.run.verify() == 1


def test_thinning_keeps_what_is_nearest():
    def at(step):
        return Snapshot.take(step, np.full(3, float(step)), np.zeros(0), {})

    kept = Snapshots(at(0), every=1, most=3, most_bytes=10**6)
    for step in range(1, 101):
        if step % kept.every == 0:
            kept.add(at(step))
    assert kept.steps == [0, 32, 64, 96]
    assert (kept.nearest(95).step, kept.nearest(96).step) == (64, 96)
    assert kept.next_after(64).step == 96
    assert kept.next_after(96) is None


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(cp.errors.OptionError, match=r"every of FlightRecorder must be a whole number >= 1"):
        cp.FlightRecorder(every=0)
    with pytest.raises(cp.errors.DTypeError, match="most of FlightRecorder"):
        cp.FlightRecorder(most=2.5)
    with pytest.raises(cp.errors.NotInitializedError, match="has recorded nothing yet"):
        _ = cp.FlightRecorder().run
    with pytest.raises(cp.errors.OptionError, match="iterable of batches"):
        network().fit([(X, LABELS)], callbacks=cp.FlightRecorder())


# -- asking for what is not there --------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 25, -1])
def test_a_step_that_was_not_recorded_names_the_range(step):
    run = recorded()
    for ask in (run.trace, run.gradient, run.batch, run.eta, run.epoch):
        with pytest.raises(cp.errors.OptionError, match=f"step {step} was not recorded.* steps 1 to 24"):
            ask(step)


def test_a_position_that_was_not_recorded_names_the_range():
    with pytest.raises(cp.errors.OptionError, match=r"step 25 was not recorded: .* steps 0 to 24"):
        recorded().theta(25)
    with pytest.raises(cp.errors.DTypeError, match=r"a step must be a whole number. Got '3'"):
        recorded().trace("3")
    with pytest.raises(cp.errors.UnknownNameError, match=r"there is no layer 7\. Layers: 0, 1, 2, 3, 4, 5"):
        _ = recorded().trace(3)[7]


# -- when the bits cannot be had ---------------------------------------------------------------


def test_data_that_were_changed_meanwhile_are_found_out():
    recorder, data = cp.FlightRecorder(every=5), X.copy()
    plain().fit(data, LABELS, callbacks=recorder, **EACH_STEP)
    data[11] += 1.0
    with pytest.raises(cp.errors.DataError, match="steps 6 to 10, done again, lead elsewhere"):
        recorder.run.theta(7)
    recorder.run.exact = False
    assert np.isfinite(recorder.run.theta(7)).all()


DO_AGAIN = [
    lambda run, step: run.trace(step),
    lambda run, step: run.gradient(step),
    lambda run, step: run.resume(step - 1),
]


@pytest.mark.parametrize("seen", [False, True], ids=["at first", "after it was done again"])
@pytest.mark.parametrize("ask", DO_AGAIN, ids=["trace", "gradient", "resume"])
@pytest.mark.parametrize("step", [1, 8, 11])
def test_changed_data_are_found_out_at_a_snapshot_and_after_a_stretch_was_compared(step, ask, seen):
    recorder, data = cp.FlightRecorder(every=5), X.copy()
    plain().fit(data, LABELS, callbacks=recorder, **EACH_STEP)
    run = recorder.run
    if seen:
        ask(run, step)
        assert run.verify() == 5
    data += 0.5
    with pytest.raises(
        cp.errors.DataError, match=r"cannot be done again as it was" if seen else "lead elsewhere"
    ):
        ask(run, step)
    with pytest.raises(cp.errors.DataError, match="steps 1 to 5, done again, lead elsewhere"):
        run.verify()
    run.exact = False
    ask(run, step)
    with pytest.raises(cp.errors.DataError, match="steps 1 to 5, done again, lead elsewhere"):
        run.verify()


def test_a_change_of_one_example_is_found_out_in_the_steps_that_took_it():
    recorder, data = cp.FlightRecorder(every=5), X.copy()
    plain().fit(data, LABELS, callbacks=recorder, **EACH_STEP)
    run = recorder.run
    before = {step: run.trace(step).cost for step in run.steps}
    data[40, 2] += 1e-9
    took = {step for step in run.steps if 40 in run.batch(step)}
    assert len(took) == 4
    for step in run.steps:
        if step in took:
            with pytest.raises(cp.errors.DataError, match=f"step {step} cannot be done again"):
                run.gradient(step)
        elif run.kept[-1] > step - 1 in run.kept:
            assert run.trace(step).cost == before[step]


def test_changed_data_of_lbfgs_are_found_out():
    recorder, data = cp.FlightRecorder(), X.copy()
    plain().fit(data, LABELS, callbacks=recorder, optimizer="lbfgs", epochs=6)
    cost = recorder.run.trace(1).cost
    assert recorder.run.trace(4).cost < cost
    data[3] += 0.5
    for step in (1, 4):
        with pytest.raises(cp.errors.DataError, match="step 1 cannot be done again"):
            recorder.run.trace(step)


def test_what_a_callback_changed_between_steps_is_found_out_and_the_callback_named():
    class Meddle(cp.Callback):
        every = 8

        def on_step_end(self, run):
            if run.step == 8:
                run.state.theta[0] += 1.0

    recorder = cp.FlightRecorder(every=5)
    network().fit(X, LABELS, callbacks=[recorder, Meddle()], **EACH_STEP)
    run, kept = recorder.run, everything()
    assert sha256(run.theta(3)) == sha256(kept.theta[3])
    assert run.theta(12).any()  # the change lies before the snapshot that this begins from
    with pytest.raises(cp.errors.DataError, match=r"steps 6 to 10, .* a callback \(Meddle\) changed"):
        run.theta(7)
    with pytest.raises(cp.errors.DataError, match="steps 6 to 10"):
        run.verify()


@needs_native
def test_another_instruction_set_is_refused_with_what_to_do(monkeypatch):
    sets = native.instruction_sets()
    if len(sets) < 2:
        pytest.skip("this processor has one instruction set")
    run = recorded()
    monkeypatch.setenv("CLEARPROP_ISA", sets[-1])
    with pytest.raises(cp.errors.UnsupportedError, match=f"instruction_set was '{sets[0]}'.*CLEARPROP_ISA"):
        run.theta(7)
    for ask in DO_AGAIN:
        for step in (1, 11):
            with pytest.raises(cp.errors.UnsupportedError, match="instruction_set was"):
                ask(run, step)
    kept_ones_cost_nothing = run.theta(10)
    run.exact = False
    assert run.theta(10) == pytest.approx(kept_ones_cost_nothing)
    close = run.theta(12)
    monkeypatch.delenv("CLEARPROP_ISA")
    assert close == pytest.approx(recorded().theta(12), rel=1e-6, abs=1e-9)


def test_conditions_name_what_the_bits_hold_for():
    batch = recorded(network(engine="batch", dtype="float32")).conditions
    of_numpy = {"numpy", "numpy_simd", "blas", "blas_kernel", "blas_threads"}
    assert {"clearprop", "engine", "dtype", "machine"} | of_numpy == set(batch)
    assert (batch["engine"], batch["dtype"]) == ("batch", "float32")


def test_the_kernel_of_the_blas_is_the_one_in_use():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pools = [pool for pool in threadpoolctl.threadpool_info() if "numpy.libs" in pool["filepath"]]
    kernels = [pool["architecture"] for pool in pools if pool["internal_api"] == "openblas"] or ["unknown"]
    assert recorded(network(engine="batch")).conditions["blas_kernel"] == kernels[0]


@pytest.mark.parametrize("name", ["blas_kernel", "numpy_simd"])
def test_another_processor_is_refused_on_the_numpy_rungs(name, monkeypatch):
    run = recorded(network(engine="batch"))
    then = run.conditions[name]
    monkeypatch.setattr(f"clearprop.fitting.conditions._{name}", lambda: "Other")
    with pytest.raises(
        cp.errors.UnsupportedError, match=f"{name} was '{then}', here it is 'Other'. Use a proc"
    ):
        run.theta(7)


@needs_native
def test_conditions_of_the_native_rung_name_instruction_set_and_build():
    found = recorded(network(engine="native")).conditions
    assert {"clearprop", "engine", "dtype", "machine", "instruction_set", "build"} == set(found)
    assert len(found["build"]) == 16


@pytest.mark.parametrize("preprocessing", [None, "standardize"])
def test_networks_trained_at_the_same_time_each_have_their_recording(preprocessing):
    nets = [plain(preprocessing=preprocessing) for _ in range(2)]
    recorders = [cp.FlightRecorder(every=5) for _ in nets]
    fold = np.arange(N) % 2
    cp.fit_many(
        nets,
        X,
        LABELS,
        rows=[fold == k for k in range(2)],
        each={"callbacks": [[recorder] for recorder in recorders]},
        epochs=4,
    )
    for k, (net, recorder) in enumerate(zip(nets, recorders, strict=True)):
        run, alone = recorder.run, cp.FlightRecorder(every=3)
        assert run.verify() == 2
        assert sha256(run.theta(8)) == sha256(net.theta)
        plain(preprocessing=preprocessing).fit(X[fold == k], LABELS[fold == k], epochs=4, callbacks=alone)
        assert run.differs(alone.run) is None


def test_sparse_data_are_recorded_too():
    sparse = pytest.importorskip("scipy.sparse")
    recorder, kept = cp.FlightRecorder(every=5), Everything()
    for callback in (recorder, kept):
        plain().fit(sparse.csr_matrix(X * (X > 0)), LABELS, callbacks=callback, **EACH_STEP)
    assert again(recorder.run)[0] == sums(kept.theta)
    assert np.array_equal(recorder.run.trace(9)[0].a, (X * (X > 0))[recorder.run.batch(9)])


# -- nothing of it is imported unasked ---------------------------------------------------------


def test_the_recorder_is_imported_when_asked():
    code = "import sys, clearprop as cp; assert 'clearprop.recorder' not in sys.modules; cp.FlightRecorder"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


@pytest.mark.parametrize(
    ("batch_size", "epochs", "kept"),
    [(1, 81, (0, 8000, 8100)), (8, 80, (0, 1000, 1040)), (50, 501, (0, 1000, 1002))],
)
def test_small_batches_are_recorded_at_longer_intervals(batch_size, epochs, kept):
    recorder, data = cp.FlightRecorder(), np.ones((100, 1))
    net = cp.Network([cp.Dense(1)], n_in=1, seed=0)
    net.fit(data, data[:, 0], epochs=epochs, batch_size=batch_size, callbacks=recorder)
    assert recorder.run.kept == kept
