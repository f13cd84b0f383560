"""The face: building, parameters, prediction, traces, copies, files."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import (
    DTypeError,
    FileFormatError,
    NotInitializedError,
    OptionError,
    ShapeError,
    UnknownNameError,
    UnsupportedError,
    WouldOverwriteError,
)
from clearprop.io import save_model
from clearprop.training.metrics import metrics

N = 30
RNG = np.random.default_rng(1)
X = RNG.normal(size=(N, 4)) * [1, 10, 0.1, 1] + 5
Y = np.array(["x", "y", "zz"])[(X[:, 0] > 5).astype(int) + (X[:, 3] > 5)]


def rich(**options):
    """A network with something of everything that is saved."""
    body = [cp.Dense(5, "prelu"), cp.LayerNorm(), cp.Dense(6, cp.per_neuron(["tanh", "relu"] * 3))]
    layers = [
        cp.Dense(6, "silu"),
        cp.BatchNorm(),
        cp.Residual(body),
        cp.Dropout(0.2),
        cp.Concatenate([cp.Dense(3, cp.activations.LeakyReLU(0.2)), []]),
        cp.Dense(activation="softmax"),
    ]
    cost = cp.costs.CrossEntropy(label_smoothing=0.1)
    return cp.Network(layers, cost, **{"seed": 4, "preprocessing": "standardize", **options})


@pytest.fixture(scope="module", params=["float32", "float64"])
def trained(request):
    net = rich(dtype=request.param)
    net.fit(X, Y, epochs=2, l2=0.01, callbacks=Freezing())
    net.freeze("3", "*.b")
    return net


class Freezing(cp.Callback):
    """Nothing: a callback is never part of the network."""


# Building ----------------------------------------------------------------------------------------


def test_nielsens_form():
    net = cp.Network([784, 30, 10], initializer="normal", seed=0)
    assert {name: view.shape for name, view in net.parameters.items()} == {
        "1.W": (30, 784),
        "1.b": (30,),
        "2.W": (10, 30),
        "2.b": (10,),
    }
    assert net.cost.name == "quadratic"
    assert [layer.activation.name for layer in net.layers] == ["sigmoid", "sigmoid"]
    assert net.W[1].std() == pytest.approx(1, abs=0.02)
    assert np.any(net.b[1] != 0)
    assert net.theta.dtype == np.float64


@pytest.mark.parametrize(
    ("last", "cost"),
    [
        (cp.Dense(3, "softmax"), "cross_entropy"),
        (cp.Activation("softmax"), "cross_entropy"),
        (cp.Dense(3, "sigmoid"), "binary_cross_entropy"),
        (cp.Dense(3, "exponential"), "poisson"),
        (cp.Dense(3), "mean_squared_error"),
        (cp.LayerNorm(), "mean_squared_error"),
    ],
)
def test_a_network_without_a_cost_takes_the_partner_of_its_last_activation(last, cost):
    assert cp.Network([cp.Dense(3, "tanh"), last]).cost.name == cost


def test_sizes_come_from_the_data():
    net = cp.Network([cp.Dense(3, "relu"), cp.BatchNorm(), cp.Dense(activation="softmax")])
    assert not net.is_built
    net.fit(X, Y, epochs=1)
    assert (net.model.n_in, net.model.n_out) == (4, 3)
    assert cp.Network([cp.Dense(3, n_in=2), cp.Dense(1)]).is_built
    norm_last = cp.Network([cp.Dense(3), cp.BatchNorm()])
    norm_last.fit(X, X[:, :3], epochs=1)
    assert norm_last.outputs(X).shape == (N, 3)


def test_before_it_is_built():
    net = cp.Network([cp.Dense(3, "relu"), cp.Dense(activation="softmax")])
    for use in (
        lambda: net.theta,
        lambda: net.W,
        lambda: net.buffers,
        lambda: net.predict(X),
        lambda: net.predict_proba(X),
        lambda: net.outputs(X),
        lambda: net.freeze("1"),
        lambda: net.summary(),
        lambda: net.collapse(),
        lambda: net.initialize(),
        lambda: net.save("nowhere.safetensors"),
        lambda: net.build(),
    ):
        with pytest.raises(NotInitializedError, match="does not know"):
            use()
    assert repr(net) == "<Network [Dense, Dense], cost cross_entropy, sizes not known yet>"
    assert isinstance(net.copy(), cp.Network)


def test_a_trace_builds_what_the_data_decide():
    net = cp.Network([cp.Dense(3, "relu"), cp.Dense(activation="softmax")], seed=3)
    with pytest.raises(ShapeError):
        net.trace(X, Y[:-1])
    assert not net.is_built
    assert net.evaluate(X, Y)["cost"] > 0
    assert not net.is_built
    assert net.trace(X, Y)[0].dC_da.shape == (N, 4)
    assert net.is_built
    assert net.targets is None
    assert net.gradient(X, Y).shape == net.theta.shape


def test_before_fit_predict_gives_the_outputs():
    net = cp.Network([4, 3, 2])
    np.testing.assert_array_equal(net.predict(X), net.outputs(X))
    measured = net.evaluate(X, X[:, :2])
    assert measured == {"cost": pytest.approx(0.5 * ((net.outputs(X) - X[:, :2]) ** 2).sum(axis=1).mean())}


# Parameters --------------------------------------------------------------------------------------


def test_views_share_memory_with_theta():
    net = rich()
    net.build(4, 3)
    for view in [*net.parameters.values(), *net.W.values(), *net.b.values()]:
        assert np.shares_memory(view, net.theta)
    net.theta = np.arange(net.n_parameters)
    assert net.W[1].ravel().tolist() == list(range(24))
    net.W["3.body.1"] = np.ones((5, 6))
    assert net.parameters["3.body.1.W"].sum() == 30
    assert [layer for layer in net.W if str(layer)[0] in "136"] == [1, "3.body.1", "3.body.3", 6]
    assert 2 not in net.W
    assert net.W.get(2) is None
    assert repr(cp.Network([2, 1]).W) == "<W by layer: 1: (1, 2)>"


def test_parameters_that_do_not_fit_are_refused():
    net = cp.Network([2, 3, 1])
    before = net.theta.copy()
    for assign, error, message in [
        (
            lambda: setattr(net, "theta", np.zeros(5)),
            ShapeError,
            r"shape \(5,\); this network has 13 parameters",
        ),
        (lambda: setattr(net, "theta", 0.0), ShapeError, r"so it must be \(13,\)"),
        (
            lambda: setattr(net, "theta", np.full(13, 1j)),
            DTypeError,
            "theta holds float64 numbers. Got .* complex128",
        ),
        (
            lambda: net.W.__setitem__(1, np.ones((2, 3))),
            ShapeError,
            r"1.W of this network has shape \(3, 2\)",
        ),
        (lambda: net.b.__setitem__(1, ["a", "b", "c"]), DTypeError, "1.b holds float64 numbers"),
        (lambda: net.W[3], UnknownNameError, "no parameter '3.W'.* Did you mean"),
    ]:
        with pytest.raises(error, match=message):
            assign()
    np.testing.assert_array_equal(net.theta, before)


def test_initialize_draws_anew_in_place():
    net = cp.Network([2, 3, 1], seed=1)
    first, view = net.theta.copy(), net.W[1]
    net.initialize(2)
    assert net.seed == 2
    assert not np.any(view == first[:6].reshape(3, 2))
    np.testing.assert_array_equal(net.theta, cp.Network([2, 3, 1], seed=2).theta)
    net.theta[:] = 0
    np.testing.assert_array_equal(net.initialize().theta, cp.Network([2, 3, 1], seed=2).theta)


def test_build_keeps_a_built_network():
    net = cp.Network([cp.Dense(3), cp.Dense()], seed=1).build(2, 1)
    net.fit(X[:, :2], X[:, 0], epochs=1)
    before = net.theta.copy()
    assert net.build() is net.build(2) is net.build(n_in=2, n_out=1) is net
    for sizes in ({"n_in": 3}, {"n_in": 2, "n_out": 4}):
        with pytest.raises(
            ShapeError, match=r"built for 2 inputs and 1 outputs\. Got n_(in=3|out=4); make .*init"
        ):
            net.build(**sizes)
    np.testing.assert_array_equal(net.theta, before)
    assert net.epochs_trained == 1


def test_the_position_is_saved_copied_and_reset(tmp_path):
    net = cp.Network([cp.Dense(2, "softmax")], n_in=X.shape[1])
    assert (net.epochs_trained, net.steps_trained) == (0, 0)
    net.fit(X, np.arange(N) % 2, epochs=3, batch_size=N)
    for other in (net, net.copy(), cp.load(net.save(tmp_path / "net.safetensors"))):
        assert (other.epochs_trained, other.steps_trained) == (3, 3)
    assert (net.initialize().epochs_trained, net.steps_trained) == (0, 0)


def test_a_file_without_a_position_starts_at_zero(tmp_path, monkeypatch):
    from clearprop import persistence

    def older(path, *, extra, **rest):
        del extra["epochs_trained"], extra["steps_trained"]
        written(path, extra=extra, **rest)

    written = persistence.save_model
    net = cp.Network([3, 2])
    net.epochs_trained = net.steps_trained = 4
    with monkeypatch.context() as patch:
        patch.setattr(persistence, "save_model", older)
        path = net.save(tmp_path / "net.safetensors")
    assert (cp.load(path).epochs_trained, cp.load(path).steps_trained) == (0, 0)


def test_freeze_takes_addresses_globs_and_numbers():
    net = cp.Network([2, 3, 1])
    assert net.freeze(1, "2.b", "1").frozen == ("1", "2.b")
    assert net.freeze("*.W").frozen == ("1", "2.b", "*.W")
    with pytest.raises(UnknownNameError, match=r"no parameter matches '3'\. There are: 1.W, 1.b, 2.W, 2.b"):
        net.freeze("3")
    assert net.unfreeze().frozen == ()


# Using it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["batch", "example", "neuron", "graph"])
def test_every_rung_gives_the_same_figures(engine):
    net = cp.Network([4, 3, 2], seed=1)
    y = RNG.uniform(size=(N, 2))
    np.testing.assert_allclose(net.outputs(X, engine), net.outputs(X), rtol=1e-12)
    np.testing.assert_allclose(net.gradient(X, y, engine=engine), net.gradient(X, y), rtol=1e-11, atol=1e-15)
    assert net.evaluate(X, y, engine=engine) == pytest.approx(net.evaluate(X, y))
    assert net.trace(X, y, engine=engine).engine == engine


def test_outputs_do_not_depend_on_the_chunk():
    net = cp.Network([1, 5, 2], seed=1)
    many = np.linspace(-3, 3, 10_000)[:, None]
    np.testing.assert_allclose(
        net.outputs(many), np.concatenate([net.outputs(p) for p in np.split(many, 10)]), rtol=1e-12
    )


def test_weights_enter_the_cost_and_the_metrics_but_not_the_accuracy():
    net = rich()
    net.fit(X, Y, epochs=3)
    weights = RNG.uniform(size=N)
    right = net.predict(X) == Y
    measured = net.evaluate(X, Y, sample_weight=weights, metrics=["accuracy", "log_loss", "f1"])
    assert measured["accuracy"] == np.mean(right)
    assert measured == net.evaluate(X, Y, sample_weight=weights, metrics=["log_loss", "f1"])
    assert measured["log_loss"] != net.evaluate(X, Y, metrics=["log_loss"])["log_loss"]
    trace = net.trace(X, Y, sample_weight=weights)
    assert measured["cost"] == pytest.approx(np.average(trace.costs, weights=weights))
    assert measured["cost"] == pytest.approx(trace.cost)
    assert net.evaluate(X, Y)["accuracy"] == np.mean(right)


@pytest.mark.parametrize("metric", [*metrics])
def test_every_metric_by_name(metric):
    tasks = metrics[metric].tasks
    if "multiclass" in tasks:
        net, y = rich(), Y
    else:
        net, y = cp.Network([cp.Dense(3, "tanh"), cp.Dense()]), X[:, 0]
    chosen = metrics[metric](k=2) if metric == "top_k_accuracy" else metric
    net.fit(X, y, epochs=1, metrics=chosen, validation_fraction=0.3)
    assert {metric, f"val_{metric}"} <= set(net.history.columns)
    assert np.isfinite(net.evaluate(X, y, metrics=[chosen])[metric])


def test_the_gradient_matches_differences_with_preprocessing_and_weights():
    net = rich()
    net.fit(X, Y, epochs=1)
    weights, theta, direction = RNG.uniform(size=N), net.theta.copy(), RNG.normal(size=net.n_parameters)
    penalty = cp.Penalty(l1=0.1, l2=0.2)
    gradient = net.gradient(X, Y, sample_weight=weights, penalty=penalty)

    def cost(step):
        net.theta = theta + step * direction
        mask = net.model.layout.mask(lambda entry: entry.decays)
        return net.trace(X, Y, sample_weight=weights).cost + penalty.value(net.theta, mask)

    assert (cost(1e-6) - cost(-1e-6)) / 2e-6 == pytest.approx(gradient @ direction, rel=1e-6)


def test_training_mode_draws_dropout_and_takes_batch_statistics():
    net = rich()
    net.fit(X, Y, epochs=1)
    buffers = net.buffers.copy()
    trace = net.trace(X, Y, training=True)
    assert trace.training
    assert set(np.unique(trace[4].mask)) == {0.0, 1.25}
    assert net.trace(X, Y)[4].mask is None
    np.testing.assert_array_equal(net.buffers, buffers)
    np.testing.assert_array_equal(net.gradient(X, Y, training=True), trace.gradient)


def test_collapse_is_the_network(request):
    layers = [cp.Dense(7), cp.Dropout(0.5), cp.Dense(3, bias=False), cp.Dense(2, "sigmoid")]
    net = cp.Network(layers, "quadratic", n_in=4, seed=3)
    W, b = net.collapse()
    assert (W.shape, b.shape) == ((2, 4), (2,))
    np.testing.assert_allclose(X @ W.T + b, net.trace(X, np.zeros((N, 2)))[-1].z, rtol=1e-12, atol=1e-12)
    with pytest.raises(UnsupportedError, match=r"layer 1 has the activation 'tanh', which is not linear"):
        cp.Network([cp.Dense(2, "tanh"), cp.Dense(1)], n_in=4).collapse()


def test_summary_and_repr():
    net = cp.Network([784, 30, 10])
    assert net.summary().splitlines()[1] == "1      Dense       30  sigmoid         23,550"
    assert repr(net) == "<Network [Dense, Dense], cost quadratic, 23860 parameters>"
    deep = rich()
    deep.build(4, 3)
    assert ["3.body.1", "Dense", "5", "prelu", "40"] in [line.split() for line in deep.summary().splitlines()]


# Copies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "twin_of", [cp.Network.copy, copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
def test_a_copy_is_the_same_and_independent(trained, twin_of):
    twin = twin_of(trained)
    np.testing.assert_array_equal(twin.outputs(X), trained.outputs(X))
    assert twin.history.rows == trained.history.rows
    assert (twin.targets, twin.frozen, twin.penalty) == (trained.targets, trained.frozen, trained.penalty)
    if twin_of is copy.copy:
        return
    before = trained.theta.copy()
    twin.theta[:] = 0  # the views of the copy are its own
    assert np.all(twin.W[1] == 0)
    assert np.allclose(twin.outputs(X), 1 / 3)
    twin.unfreeze().fit(X, Y, epochs=1)
    twin.extra["a"] = 1
    np.testing.assert_array_equal(trained.theta, before)
    assert trained.extra == {}
    assert len(trained.history) == 2
    unbuilt = twin_of(rich())
    assert not unbuilt.is_built


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_a_copied_state_keeps_its_views(trained, twin_of):
    twin = twin_of(trained.state)
    np.testing.assert_array_equal(twin.theta, trained.theta)
    np.testing.assert_array_equal(twin.buffers, trained.buffers)
    before = trained.theta.copy()
    twin.theta[:] = 7
    twin.buffers[:] = 7
    for layout, trees in (
        (trained.model.layout, twin.params),
        (trained.model.buffer_layout, twin.buffer_tree),
    ):
        assert all(np.all(leaf == 7) for leaf in layout.leaves(trees))
    np.testing.assert_array_equal(trained.theta, before)


def test_a_copied_network_has_one_model():
    twin = copy.deepcopy(cp.Network([2, 3, 1]))
    assert twin.state.model is twin.model
    assert np.shares_memory(twin.parameters["1.W"], twin.state.params[0]["W"])


# Files -------------------------------------------------------------------------------------------


def test_a_saved_network_comes_back_to_the_bit(trained, tmp_path):
    path = trained.save(tmp_path / "net.safetensors", extra={"data": "made"})
    again = cp.load(path)
    np.testing.assert_array_equal(again.theta, trained.theta)
    np.testing.assert_array_equal(again.buffers, trained.buffers)
    np.testing.assert_array_equal(again.outputs(X), trained.outputs(X))
    np.testing.assert_array_equal(again.predict(X), trained.predict(X))
    assert again.predict(X).dtype == Y.dtype
    for name in (
        "seed",
        "dtype",
        "engine",
        "task",
        "classes",
        "targets",
        "frozen",
        "penalty",
        "preprocessing",
        "cost",
        "layers",
        "epochs_trained",
        "steps_trained",
    ):
        assert getattr(again, name) == getattr(trained, name), name
    assert again.extra == {"data": "made"}
    assert again.evaluate(X, Y) == trained.evaluate(X, Y)
    twin = trained.copy()
    for net in (twin, again):
        net.fit(X, Y, epochs=1, order=[np.arange(N)])
    np.testing.assert_array_equal(twin.theta, again.theta)
    with pytest.raises(WouldOverwriteError):
        trained.save(path)
    again.save(path, overwrite=True)
    assert cp.load(path).extra == {"data": "made"}


@pytest.mark.parametrize("preprocessing", [None, "standardize", cp.Affine(0.5, 2.0), cp.Affine([1, 2], 3.0)])
@pytest.mark.parametrize("classes", [None, ["b", "a"], [2, 1]])
def test_what_was_not_used_yet_is_saved_too(tmp_path, preprocessing, classes):
    net = cp.Network(
        [2, 2], preprocessing=preprocessing, classes=classes, task="classification", dtype="float32"
    )
    again = cp.load(net.save(tmp_path / "net.safetensors"))
    assert (again.preprocessing, again.task) == (preprocessing, "classification")
    assert again.classes == (None if classes is None else tuple(classes))
    assert again.targets is None
    assert again.theta.dtype == np.float32


def test_a_file_of_parameters_alone_is_no_network(tmp_path):
    net = cp.Network([2, 1])
    path = tmp_path / "bare.safetensors"
    save_model(path, model=net.model, theta=net.theta, buffers=net.buffers)
    with pytest.raises(FileFormatError, match="not what a network saves besides them: KeyError"):
        cp.load(path)
    save_model(path, model=net.model, theta=net.theta, buffers=net.buffers, extra={"seed": 1}, overwrite=True)
    with pytest.raises(FileFormatError, match="not what a network saves"):
        cp.load(path)


def test_probabilities_need_an_output_that_gives_them():
    for net in (
        cp.Network([cp.Dense(2, "tanh")], n_in=4),
        cp.Network([cp.Dense(2), cp.LayerNorm()], n_in=4),
    ):
        with pytest.raises(
            OptionError, match=r"predict_proba needs probabilities of classes; .* outputs\(X\)"
        ):
            net.predict_proba(X)
    np.testing.assert_allclose(
        cp.Network([cp.Dense(2), cp.Activation("softmax")], n_in=4).predict_proba(X).sum(1), 1
    )
