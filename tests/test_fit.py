"""What every option of fit does to the parameters and the history."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import DataError, OptionError
from clearprop.optimizers import optimizers
from clearprop.schedules import schedules

N = 48
RNG = np.random.default_rng(7)
X = RNG.normal(size=(N, 5))
Y = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0)]
T = X @ RNG.normal(size=5)
ROWS = np.arange(N)


def classifier(**options):
    layers = [cp.Dense(6, "tanh"), cp.Dense(3, "softmax")]
    return cp.Network(layers, n_in=5, **{"seed": 2, **options})


def noisy(**options):
    layers = [cp.Dense(8), cp.BatchNorm(), cp.Activation("relu"), cp.Dropout(0.3), cp.Dense(3, "softmax")]
    return cp.Network(layers, n_in=5, **{"seed": 2, **options})


def regressor(**options):
    return cp.Network([cp.Dense(6, "tanh"), cp.Dense(1)], n_in=5, **{"seed": 2, **options})


def fitted(net, y=Y, x=X, **options):
    net.fit(x, y, **{"epochs": 3, "batch_size": 10, **options})
    return net


def without_time(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


# By hand -----------------------------------------------------------------------------------------


def replay(net, y, epochs, batch_size, rate, *, decay=0.0, weights=None, clip=None, seed=2):
    """Plain SGD written out: the gradient of each batch of the given order, and theta -= eta g."""
    from clearprop.random import Purpose, stream

    for epoch in range(1, epochs + 1):
        order = stream(seed, Purpose.EPOCH_ORDER, epoch).permutation(N)
        for start in range(0, N, batch_size):
            rows = order[start : start + batch_size]
            trace = net.trace(X[rows], y[rows])
            gradients = trace.per_example_gradient
            if weights is not None:
                gradients = gradients * weights[rows, None]
            g = gradients.mean(axis=0)
            if decay:
                mask = net.model.layout.mask(lambda entry: entry.name == "W")
                g = g + decay * net.theta * mask
            if clip is not None:
                g = g * min(1, clip / np.linalg.norm(g))
            net.theta -= rate * g
    return net.theta


def test_sgd_is_the_mean_gradient_of_each_batch():
    net = fitted(regressor(), T, optimizer=cp.SGD(0.1))
    np.testing.assert_allclose(net.theta, replay(regressor(), T, 3, 10, 0.1), rtol=1e-12, atol=1e-14)


def test_penalty_and_clipping_enter_in_this_order():
    net = fitted(regressor(), T, optimizer=cp.SGD(0.1), l2=0.3, clip_norm=0.5)
    by_hand = replay(regressor(), T, 3, 10, 0.1, decay=0.3, clip=0.5)
    np.testing.assert_allclose(net.theta, by_hand, rtol=1e-12, atol=1e-14)


def test_weights_multiply_each_example():
    weights = RNG.uniform(0, 2, size=N)
    net = fitted(regressor(), T, optimizer=cp.SGD(0.1), sample_weight=weights * 17)
    by_hand = replay(regressor(), T, 3, 10, 0.1, weights=weights / weights.mean())
    np.testing.assert_allclose(net.theta, by_hand, rtol=1e-12, atol=1e-14)


def test_weight_two_is_the_example_twice():
    weights = np.where(ROWS < 12, 2.0, 1.0)
    twice = np.concatenate([ROWS, ROWS[:12]])
    one = fitted(classifier(), sample_weight=weights, batch_size=N, optimizer=cp.SGD(0.3))
    two = fitted(classifier(), Y[twice], X[twice], batch_size=len(twice), optimizer=cp.SGD(0.3))
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(one.history["cost"], two.history["cost"], rtol=1e-12)


def test_class_weights_are_sample_weights():
    by_label = {"a": 1.0, "b": 2.0, "c": 0.5}
    weights = np.array([by_label[label] for label in Y])
    one, two = fitted(classifier(), class_weight=by_label), fitted(classifier(), sample_weight=weights)
    np.testing.assert_array_equal(one.theta, two.theta)
    counts = {label: np.sum(label == Y) for label in "abc"}
    balanced = np.array([N / (3 * counts[label]) for label in Y])
    one, two = fitted(classifier(), class_weight="balanced"), fitted(classifier(), sample_weight=balanced)
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-12)
    both = fitted(classifier(), class_weight=by_label, sample_weight=ROWS + 1)
    np.testing.assert_allclose(both.theta, fitted(classifier(), sample_weight=weights * (ROWS + 1)).theta)
    one_hot = fitted(classifier(), np.eye(3)[np.searchsorted(list("abc"), Y)], class_weight="balanced")
    np.testing.assert_allclose(one_hot.theta, fitted(classifier(), sample_weight=balanced).theta, rtol=1e-12)


# Optimisers, schedules, penalties ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*optimizers])
def test_every_optimizer_learns_in_its_dtype(name, dtype):
    if name == "lbfgs":
        pytest.importorskip("scipy")
    net = classifier(dtype=dtype)
    history = net.fit(X, Y, optimizer=name, epochs=20, batch_size=8)
    assert history["cost"][-1] < 0.9 * history["cost"][0]
    assert net.theta.dtype == dtype


@pytest.mark.parametrize("name", [*schedules])
def test_every_schedule_sets_the_rate_of_each_step(name):
    schedule = schedules.make(name)
    seen = []

    class Rates(cp.Callback):
        every = 1

        def on_step_end(self, run):
            seen.append((run.step, run.epoch, run.eta))

    fitted(classifier(), schedule=name, eta=0.01, callbacks=Rates())
    if schedule.monitors:
        assert {eta for *_, eta in seen} == {0.01}
        return
    for step, epoch, eta in seen:
        expected = schedule.rate(0.01, step=step, epoch=epoch, total_steps=15, steps_per_epoch=5)
        assert eta == expected


def test_on_plateau_watches_the_validation_cost():
    schedule = cp.OnPlateau(factor=0.5, patience=0, min_delta=1e9)
    history = classifier().fit(X, Y, schedule=schedule, eta=0.01, epochs=4, X_val=X, y_val=Y)
    assert history["eta"] == [0.01, 0.01, 0.005, 0.0025]


def test_training_stops_when_the_rate_is_exhausted_as_in_sklearn():
    # Nothing improves by 1e9: plateaus after epochs 2, 3, 4; the last finds the rate at its minimum.
    options = {"factor": 0.5, "patience": 0, "min_delta": 1e9, "minimum": 0.25}
    schedule = cp.OnPlateau(**options, convention="sklearn")
    for chosen in (schedule, cp.Warmup(1, then=schedule)):
        history = classifier().fit(X, Y, schedule=chosen, eta=0.01, epochs=10)
        assert history["eta"] == [0.01, 0.01, 0.005, 0.0025]
        assert history.stopped == "rate exhausted"
    history = classifier().fit(X, Y, schedule=cp.OnPlateau(**options), eta=0.01, epochs=10)
    assert history["eta"] == [0.01, 0.01, 0.005, *[0.0025] * 7]
    assert history.stopped == "epochs"


def test_on_plateau_does_not_follow_the_cost_the_wrong_way_round():
    schedule = cp.OnPlateau(greater_is_better=True)
    net = classifier()
    before = net.theta.copy()
    for chosen in (schedule, cp.Warmup(2, then=schedule)):
        with pytest.raises(OptionError, match="greater_is_better=True would take a rising cost for progress"):
            net.fit(X, Y, schedule=chosen)
    np.testing.assert_array_equal(net.theta, before)
    assert net.history is None


def test_targets_for_validation_are_called_y_val():
    net = cp.Network([cp.Dense(1, "exponential")], "poisson", n_in=5, seed=0)
    with pytest.raises(DataError, match="poisson needs targets that are not negative, but y_val at row 1"):
        net.fit(X, np.ones(N), X_val=X[:2], y_val=np.array([1.0, -1.0]))


def test_the_penalty_has_its_column():
    net = fitted(regressor(), T, penalty=cp.Penalty(l1=0.01, l2=0.1))
    weights = np.concatenate([net.W[1].ravel(), net.W[2].ravel()])
    expected = 0.01 * np.abs(weights).sum() + 0.05 * (weights**2).sum()
    assert net.history["penalty"][-1] == pytest.approx(expected, rel=1e-12)
    assert net.evaluate(X, T)["cost"] < net.evaluate(X, T)["cost"] + expected
    extra = net.gradient(X, T, penalty=True) - net.gradient(X, T)
    mask = net.model.layout.mask(lambda entry: entry.name == "W")
    np.testing.assert_allclose(extra, (0.01 * np.sign(net.theta) + 0.1 * net.theta) * mask, atol=1e-15)


def test_max_norm_holds_for_every_row():
    net = fitted(classifier(), optimizer=cp.SGD(1.0), max_norm=0.7)
    norms = np.concatenate([np.linalg.norm(net.W[layer], axis=1) for layer in (1, 2)])
    assert norms.max() == pytest.approx(0.7)
    assert norms.max() <= 0.7 * (1 + 1e-15)


def test_clip_value_bounds_each_entry():
    start = regressor().theta.copy()
    net = fitted(regressor(), 100 * T, optimizer=cp.SGD(0.1), clip_value=0.01, epochs=1, batch_size=N)
    np.testing.assert_allclose(np.abs(net.theta - start).max(), 0.001, rtol=1e-12)


def test_frozen_parameters_keep_their_bits():
    for optimizer in ("sgd", "adam", "adamw", "rmsprop", "sgdw", "lbfgs"):
        net = classifier()
        before = net.theta.copy()
        net.freeze(1, "*.b")
        options = {} if optimizer == "lbfgs" else {"max_norm": 0.1}
        fitted(net, optimizer=optimizer, l2=0.1, **options)
        frozen = net.model.layout.mask(lambda entry: entry.address != "2.W")
        np.testing.assert_array_equal(net.theta[frozen], before[frozen])
        assert not np.any(net.theta[~frozen] == before[~frozen])
    net.unfreeze()
    fitted(net)
    assert not np.any(net.theta == before)


def test_groups_scale_the_rate_and_the_decay():
    start = regressor().theta.copy()
    plain = fitted(regressor(), T, optimizer=cp.SGD(0.1), epochs=1, batch_size=N).theta - start
    scaled = (
        fitted(
            regressor(), T, optimizer=cp.SGD(0.1), epochs=1, batch_size=N, groups={"1": {"rate": 0.5}}
        ).theta
        - start
    )
    first = regressor().model.layout.mask(lambda entry: entry.layer == "1")
    np.testing.assert_allclose(scaled[first], plain[first] / 2, rtol=1e-10)
    np.testing.assert_array_equal(scaled[~first], plain[~first])
    one = fitted(regressor(), T, l2=0.1, groups={"*.W": {"decay": 0}})
    np.testing.assert_array_equal(one.theta, fitted(regressor(), T).theta)
    zero = fitted(regressor(), T, groups={"1": {"rate": 0}})
    np.testing.assert_array_equal(zero.theta[first], start[first])


# Validation and early stopping -------------------------------------------------------------------


def test_validation_split_is_stratified_and_a_function_of_the_seed():
    seen = []

    class Look(cp.Callback):
        def on_fit_begin(self, run):
            seen.append(run.validation)

    y = np.array(["a"] * 40 + ["b"] * 8)
    for seed in (2, 2, 3):
        cp.Network([cp.Dense(2, "softmax")], seed=seed).fit(
            X, y, validation_fraction=0.25, epochs=1, callbacks=Look()
        )
    assert seen[0].y.sum(axis=0).tolist() == [10, 2]
    np.testing.assert_array_equal(seen[0].X, seen[1].X)
    assert not np.array_equal(seen[0].X, seen[2].X)
    members = {row.tobytes() for row in seen[0].X}
    assert len(members) == 12
    assert members <= {row.tobytes() for row in X}


def test_validation_examples_are_never_trained_on():
    class Look(cp.Callback):
        def on_fit_begin(self, run):
            self.held = {row.tobytes() for row in run.validation.X}
            self.trained = {row.tobytes() for batch in run.batches(1) for row in batch.X}

    look = Look()
    net = fitted(classifier(), validation_fraction=0.25, callbacks=look)
    assert look.held.isdisjoint(look.trained)
    assert look.held | look.trained == {row.tobytes() for row in X}
    assert {"val_cost", "val_accuracy"} <= set(net.history.columns)


def test_given_validation_data_match_evaluate():
    net = fitted(classifier(), X_val=X[:20], y_val=Y[:20], metrics=["f1", cp.metrics.TopKAccuracy(k=2)])
    measured = net.evaluate(X[:20], Y[:20], metrics=["f1", cp.metrics.TopKAccuracy(k=2)])
    last = net.history[-1]
    assert {f"val_{name}": value for name, value in measured.items()} == {
        name: value for name, value in last.items() if name.startswith("val_")
    }
    pairs = net.history["accuracy", "val_accuracy"]
    assert len(pairs) == 3
    assert all(len(pair) == 2 for pair in pairs)


def test_metrics_without_validation_are_those_of_training():
    net = fitted(classifier(), metrics=["accuracy", "f1"], epochs=2, batch_size=N, optimizer=cp.SGD(0.1))
    fresh = classifier()
    assert net.history["f1"][0] == pytest.approx(
        fresh.fit(X, Y, epochs=1, batch_size=N, metrics="f1")["f1"][0]
    )
    assert net.history["accuracy"] == [
        pytest.approx(row["accuracy"])
        for row in fitted(classifier(), epochs=2, batch_size=N, optimizer=cp.SGD(0.1)).history
    ]


class Record(cp.Callback):
    def on_fit_begin(self, run):
        self.states = []

    def on_epoch_end(self, run, row):
        self.states.append((run.state.theta.copy(), run.state.buffers.copy(), row["val_cost"]))


@pytest.mark.parametrize("reason", ["early stopping", "epochs"])
def test_early_stopping_restores_theta_and_buffers_of_the_best_epoch(reason):
    record = Record()
    stopping = cp.EarlyStopping(patience=3 if reason == "early stopping" else 100)
    net = noisy()
    history = net.fit(X, Y, X_val=-X, y_val=Y, epochs=30, eta=0.05, early_stopping=stopping, callbacks=record)
    best = min(range(len(record.states)), key=lambda i: record.states[i][2])
    assert history.stopped == reason
    assert best < len(history) - 1
    assert stopping.best_epoch == best + 1
    assert stopping.best == record.states[best][2]
    np.testing.assert_array_equal(net.theta, record.states[best][0])
    np.testing.assert_array_equal(net.buffers, record.states[best][1])
    assert net.evaluate(-X, Y)["cost"] == record.states[best][2]


def test_early_stopping_knows_what_is_better():
    for monitor, better in [("val_accuracy", max), ("val_log_loss", min), ("val_f1", max)]:
        stopping = cp.EarlyStopping(monitor, patience=50)
        history = classifier().fit(
            X, Y, X_val=X, y_val=Y, epochs=6, early_stopping=stopping, metrics=["log_loss", "f1"]
        )
        assert stopping.best == better(history[monitor])


# Order, seeds, dropout, batch norm ---------------------------------------------------------------


def test_an_order_replays_a_run_bit_for_bit():
    from clearprop.random import Purpose, stream

    orders = [stream(2, Purpose.EPOCH_ORDER, epoch).permutation(N) for epoch in (1, 2, 3)]
    cut = [[o[i : i + 10] for i in range(0, N, 10)] for o in orders]
    expected = fitted(noisy()).theta
    for order in (
        orders,
        iter(orders),
        lambda epoch: orders[epoch - 1],
        cut,
        [o.tolist() for o in orders],
        np.stack(orders),
    ):
        np.testing.assert_array_equal(fitted(noisy(), order=order).theta, expected)


def test_initial_parameters_can_be_given():
    first, second = classifier(seed=2), classifier(seed=9)
    second.theta = first.theta
    orders = [np.arange(N)] * 3
    np.testing.assert_array_equal(fitted(first, order=orders).theta, fitted(second, order=orders).theta)
    third = classifier(seed=5)
    third.W[1], third.b[1] = classifier().W[1], classifier().b[1]
    third.W[2], third.b[2] = classifier().W[2], classifier().b[2]
    np.testing.assert_array_equal(fitted(third, order=orders).theta, first.theta)


def test_an_order_may_leave_out_and_repeat():
    one = fitted(classifier(), order=[np.array([0, 0, 5, 7])], epochs=1)
    rows = [0, 0, 5, 7]
    two = classifier()
    two.targets = one.targets
    fitted(two, Y[rows], X[rows], shuffle=False, epochs=1)
    np.testing.assert_array_equal(one.theta, two.theta)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (np.arange(N), "it holds single numbers"),
        ([[0, 1, N]], f"names the example {N}; there are {N}"),
        ([[-1, 1]], "names the example -1"),
        ([[0.5, 1.0]], "must hold arrays of whole numbers"),
        ([[]], "must hold arrays of whole numbers"),
        ([], "order has 0 items for 1 epochs"),
        (iter([]), "order ran out in epoch 1 of 1"),
        (lambda epoch: 7, "Got 7 for epoch 1"),
    ],
)
def test_bad_orders(order, message):
    net = classifier()
    before = net.theta.copy()
    with pytest.raises(OptionError, match=message):
        net.fit(X, Y, order=order, epochs=1)
    np.testing.assert_array_equal(net.theta, before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_seed_gives_the_same_bits(dtype):
    one, two = (fitted(noisy(dtype=dtype), validation_fraction=0.2) for _ in range(2))
    np.testing.assert_array_equal(one.theta, two.theta)
    np.testing.assert_array_equal(one.buffers, two.buffers)
    assert without_time(one.history) == without_time(two.history)
    assert not np.any(fitted(noisy(dtype=dtype, seed=3)).theta == one.theta)


def test_dropout_depends_on_the_example_not_on_its_place():
    orders = [np.arange(N)], [np.arange(N)[::-1]]
    layers = [cp.Dense(6, "tanh"), cp.Dropout(0.5), cp.Dense(1)]
    thetas = [
        fitted(
            cp.Network(layers, seed=1), T, order=order, batch_size=N, epochs=1, optimizer=cp.SGD(0.1)
        ).theta
        for order in orders
    ]
    np.testing.assert_allclose(*thetas, rtol=1e-12)


def test_batch_norm_updates_its_running_statistics_once_a_step():
    net = cp.Network([cp.BatchNorm(momentum=0.25), cp.Dense(1)], n_in=5, seed=0)
    assert [e.name for e in net.model.buffer_layout.entries] == ["running_mean", "running_variance"]
    fitted(net, T, shuffle=False, epochs=2)
    mean = np.zeros(5)
    for _ in range(2):
        for start in range(0, N, 10):
            mean = 0.25 * mean + 0.75 * X[start : start + 10].mean(axis=0)
    np.testing.assert_allclose(net.buffers[:5], mean, rtol=1e-12)


def test_a_short_last_batch_may_be_left_out():
    assert fitted(classifier()).history["step"] == [5, 10, 15]
    dropped = fitted(classifier(), drop_last=True)
    assert dropped.history["step"] == [4, 8, 12]
    with pytest.raises(OptionError, match=f"drop_last leaves nothing: {N} examples"):
        fitted(classifier(), drop_last=True, batch_size=N + 1)


# Going on, limits, L-BFGS ------------------------------------------------------------------------


def test_fitting_twice_goes_on():
    net = fitted(classifier(), optimizer=cp.SGD(0.1), shuffle=False, epochs=2)
    first = net.history
    fitted(net, optimizer=cp.SGD(0.1), shuffle=False, epochs=3)
    whole = fitted(classifier(), optimizer=cp.SGD(0.1), shuffle=False, epochs=5)
    np.testing.assert_array_equal(net.theta, whole.theta)
    assert net.history is not first
    assert len(first) == 2
    assert first["cost"] + net.history["cost"] == pytest.approx(whole.history["cost"], rel=1e-12)


@pytest.mark.parametrize("make", [classifier, noisy])
@pytest.mark.parametrize("engine", ["batch", "graph"])
def test_two_fits_have_the_bits_of_one(make, engine):
    if make is noisy and engine == "graph":
        make = dropped
    options = {"optimizer": cp.SGD(0.1), "engine": engine}
    net, whole = make(), fitted(make(), epochs=3, **options)
    first = fitted(net, epochs=1, **options).history
    second = fitted(net, epochs=2, **options).history
    np.testing.assert_array_equal(net.theta, whole.theta)
    np.testing.assert_array_equal(net.buffers, whole.buffers)
    assert first["cost"] + second["cost"] == whole.history["cost"]
    assert (second["epoch"], second["step"]) == ([1, 2], [5, 10])
    assert (net.epochs_trained, net.steps_trained) == (3, 15)
    again = fitted(net.initialize(), epochs=3, **options)
    np.testing.assert_array_equal(again.theta, whole.theta)


def dropped():
    return cp.Network([cp.Dense(8, "relu"), cp.Dropout(0.3), cp.Dense(3, "softmax")], n_in=5, seed=2)


def test_a_second_fit_has_its_own_masks_and_order():
    class Look(cp.Callback):
        every = 1

        def on_fit_begin(self, run):
            self.order, self.noise, self.positions = [], [], []

        def on_step_end(self, run):
            self.positions.append((run.network.epochs_trained, run.network.steps_trained))

        def on_epoch_end(self, run, row):
            batches = [*run.batches(run.epoch)]
            self.order.append(np.concatenate([batch.examples for batch in batches]))
            self.noise.append(run.draws(batches[0]).step)

    net, look, epochs = dropped(), Look(), []
    fitted(net, epochs=1, callbacks=look)
    one = look.order[0]
    fitted(net, epochs=1, callbacks=look, order=lambda epoch: epochs.append(epoch) or ROWS)
    fitted(net, epochs=1, callbacks=look)
    assert not np.array_equal(one, look.order[0])
    assert look.noise == [15]
    assert look.positions[0] == (3, 11)
    assert set(epochs) == {1}  # the order's own function counts the epochs of its fit


# The figures do not depend on the load of the machine --------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_costs_do_not_depend_on_how_steps_are_measured(monkeypatch, dtype):
    from clearprop.training.loop import TrainingRun

    def history(steps):
        monkeypatch.setattr(TrainingRun, "_next_block", lambda self, *_: steps)
        weights = np.linspace(0.1, 2, N)
        net = classifier(dtype=dtype)
        options = {"validation_fraction": 0.2, "sample_weight": weights, "metrics": ["f1"], "l2": 0.1}
        return without_time(fitted(net, epochs=4, batch_size=3, **options).history)

    assert history(1) == history(1000) == history(4)


def test_accuracy_is_the_plain_share_and_the_validation_cost_unweighted():
    class Look(cp.Callback):
        def on_fit_begin(self, run):
            self.held = run.validation
            outputs = run.network.outputs(run.validation.X)
            self.expected = float(np.mean(run.targets.correct(outputs, run.validation.y)))

    weights = np.where(ROWS % 3 == 0, 5.0, 0.1)
    look, options = Look(), {"optimizer": cp.SGD(1e-300), "sample_weight": weights, "epochs": 1}
    net = fitted(classifier(), callbacks=look, validation_fraction=0.4, metrics="accuracy", **options)
    row = net.history[0]
    assert look.held.weights is None
    assert row["val_accuracy"] == look.expected
    given = fitted(classifier(), X_val=X, y_val=Y, **options)
    plain = given.evaluate(X, Y)
    assert given.history[0]["accuracy"] == given.history[0]["val_accuracy"] == plain["accuracy"]
    assert given.history[0]["val_cost"] == plain["cost"]
    assert given.history[0]["cost"] == pytest.approx(given.evaluate(X, Y, sample_weight=weights)["cost"])


def test_preprocessing_knows_nothing_of_the_validation_part(tmp_path):
    np.save(tmp_path / "X.npy", X)
    for x in (X, np.load(tmp_path / "X.npy", mmap_mode="r")):

        class Look(cp.Callback):
            def on_fit_begin(self, run):
                self.examples = [batch.examples for batch in run.batches(1)]
                self.rows = np.concatenate([batch.X for batch in run.batches(1)])

        look = Look()
        net = fitted(classifier(preprocessing="standardize"), x=x, validation_fraction=0.25, callbacks=look)
        np.testing.assert_allclose(look.rows.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(look.rows.std(axis=0), 1, rtol=1e-12)
        assert net.preprocessing != cp.Affine.standardize(X)


def test_a_metric_without_a_value_on_the_validation_data_is_told_before_training():
    pytest.importorskip("sklearn")
    net = classifier()
    before = net.theta.copy()
    with pytest.raises(DataError, match="roc_auc has no value"):
        net.fit(X, Y, metrics="roc_auc", X_val=X[Y == "a"], y_val=Y[Y == "a"])
    np.testing.assert_array_equal(net.theta, before)
    assert net.history is None


@pytest.mark.parametrize("limit", [1e-9, None])
def test_lbfgs_stops_within_a_line_search(monkeypatch, limit):
    pytest.importorskip("scipy")
    from clearprop.training.loop import TrainingRun

    net = regressor()
    seen = {"calls": 0, "theta": net.theta.copy()}
    watch = TrainingRun.watch_time

    class Look(cp.Callback):
        def on_epoch_end(self, run, row):
            seen["theta"], seen["calls"] = run.state.theta.copy(), 0

    def counted(self, now):
        watch(self, now)
        seen["calls"] += 1
        if self.epoch == 3 and seen["calls"] == 2:  # the first evaluation after the third iteration
            self.stop("enough")

    monkeypatch.setattr(TrainingRun, "watch_time", counted)
    history = net.fit(X, T, optimizer="lbfgs", epochs=50, callbacks=Look(), time_limit=limit)
    np.testing.assert_array_equal(net.theta, seen["theta"])
    assert (history.stopped, len(history)) == (("time limit", 0) if limit else ("enough", 3))


def test_a_time_limit_stops():
    history = classifier().fit(X, Y, epochs=10**9, time_limit=0.05)
    assert history.stopped == "time limit"
    assert len(history) >= 1


def test_lbfgs_has_a_row_for_each_iteration():
    pytest.importorskip("scipy")
    seen = []

    class Look(cp.Callback):
        def on_epoch_end(self, run, row):
            seen.append((row["cost"], run.state.theta.copy()))

    net = regressor()
    history = net.fit(X, T, optimizer=cp.LBFGS(max_iterations=7), l2=0.01, callbacks=Look(), X_val=X, y_val=T)
    assert history["epoch"] == [1, 2, 3, 4, 5, 6, 7]
    assert history["cost"] == pytest.approx(history["val_cost"])
    assert history["penalty"][-1] == pytest.approx(0.005 * sum((net.W[i] ** 2).sum() for i in (1, 2)))
    np.testing.assert_array_equal(net.theta, seen[-1][1])
    total = np.array(history["cost"]) + np.array(history["penalty"])
    assert np.all(np.diff(total) < 0)
    assert len(regressor().fit(X, T, optimizer="lbfgs", epochs=3)) == 3
    assert regressor().fit(X, T, optimizer=cp.LBFGS(gradient_tolerance=0.5)).stopped == "converged"


def test_lbfgs_stops_when_a_callback_says_so():
    pytest.importorskip("scipy")

    class Stop(cp.Callback):
        def on_epoch_end(self, run, row):
            if run.epoch == 2:
                self.theta = run.state.theta.copy()
                run.stop("enough")

    stop, net = Stop(), regressor()
    assert net.fit(X, T, optimizer="lbfgs", callbacks=stop).stopped == "enough"
    np.testing.assert_array_equal(net.theta, stop.theta)


# float32 stays float32 ---------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [*optimizers])
def test_float32_never_becomes_float64(optimizer):
    seen = []

    class Look(cp.Callback):
        every = 1

        def on_gradient(self, run, gradient):
            seen.append(gradient.dtype)

        def on_step_end(self, run):
            seen.extend([run.state.theta.dtype, run.state.buffers.dtype])
            seen.extend(slot.dtype for slot in run.slots.values())

    net = classifier(dtype="float32") if optimizer == "lbfgs" else noisy(dtype="float32")
    lbfgs = optimizer == "lbfgs"
    options = {} if lbfgs else {"max_norm": 2.0, "clip_norm": 1.0, "clip_value": 0.5}
    options |= {"groups": {"1": {"rate": 0.5 if not lbfgs else 1}}}
    net.fit(
        X, Y, epochs=2, optimizer=optimizer, l1=0.1, l2=0.1, class_weight="balanced",
        validation_fraction=0.2, callbacks=Look(), sample_weight=np.ones(N), **options,
    )  # fmt: skip
    assert set(seen) <= {np.dtype("float32")}
    assert bool(seen) != lbfgs
    assert net.theta.dtype == net.buffers.dtype == net.outputs(X).dtype == np.float32
    assert net.gradient(X, Y, training=True, sample_weight=ROWS + 1, penalty=True).dtype == np.float32
    trace = net.trace(X, Y, training=not lbfgs, sample_weight=ROWS + 1)
    for layer in trace.layers.values():
        for name in layer.fields:
            value = getattr(layer, name)
            assert getattr(value, "dtype", np.float32) == np.float32, (layer.address, name)
    assert net.predict_proba(X).dtype == np.float32


@pytest.mark.parametrize("engine", ["batch", "example", "neuron", "graph"])
def test_a_network_trains_on_every_rung(engine):
    expected = fitted(regressor(), T, optimizer=cp.SGD(0.1), epochs=1)
    net = fitted(regressor(), T, optimizer=cp.SGD(0.1), epochs=1, engine=engine)
    np.testing.assert_allclose(net.theta, expected.theta, rtol=1e-11)
    assert net.history.environment["engine"] == engine


def test_the_history_says_where_it_was_made():
    history = fitted(classifier()).history
    assert history.engine.startswith("engine: native, the fastest rung that supports this network.")
    assert fitted(classifier(), engine="example", epochs=1).history.engine == "engine: example, as asked."
    assert {"engine", "python", "numpy", "machine", "blas", "blas_threads"} <= set(history.environment)
    assert history.stopped == "epochs"
    assert history.rolling[-1]["examples"] > 0
