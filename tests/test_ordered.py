"""Targets beyond labels and numbers: quantiles that do not cross, classes in order, counts, focal costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from tests.native_cases import needs_native

import clearprop as cp
from clearprop.activations import activations
from clearprop.costs import BinaryCrossEntropy, BinaryFocal, CrossEntropy, Focal, Pinball, fused_pairs
from clearprop.errors import DataError, OptionError, ShapeError
from clearprop.layers import Dense
from clearprop.ordering import log_class_probabilities
from clearprop.training.targets import Targets

RNG = np.random.default_rng(3)
X = RNG.uniform(-2.0, 2.0, size=(600, 1))
NOISY = np.sin(2 * X[:, 0]) + (0.2 + 0.3 * np.abs(X[:, 0])) * RNG.normal(size=600)
Q = (0.1, 0.25, 0.5, 0.75, 0.9)
RUNGS = ["batch", pytest.param("native", marks=needs_native)]


def quantile_network(engine: str, output: str = "increasing") -> cp.Network:
    layers = [Dense(24, "tanh"), Dense(5, output)]
    return cp.Network(layers, cost=Pinball(Q), seed=1, engine=engine)


# --- What is printed


def test_the_printed_derivatives_of_ordinal_are_those_of_the_printed_formula() -> None:
    u = {"below": -0.7, "above": 1.3}

    def value(text: str, **of: Any) -> Any:
        for printed, name in (("c_{j+1} - z_0", "above"), ("c_j - z_0", "below")):
            text = text.replace(printed, name)
        text = text.replace("u_{j+1}", "above").replace("u_j", "below")
        return eval(text, {"sigmoid": lambda x: 1 / (1 + np.exp(-x))}, u | of)

    ordinal = activations["ordinal"]
    formula, _ = ordinal.formula.split(", c_j = ")
    first, second, meaning = ordinal.derivative.split(", ")
    assert meaning == "u_j = c_j - z_0"
    for stated, left, name in ((first, "da_j/du_j", "below"), (second, "da_j/du_{j+1}", "above")):
        said, expression = stated.split(" = ")
        assert said == left
        by_step = value(formula, **{name: u[name] + 1e-20j}).imag / 1e-20
        assert value(expression) == pytest.approx(by_step, rel=1e-12)


# --- Quantiles


@pytest.mark.parametrize("engine", RUNGS)
def test_several_quantiles_of_one_target_cover_what_they_say_and_do_not_cross(engine: str) -> None:
    net = quantile_network(engine)
    net.fit(X, NOISY, optimizer=cp.Adam(0.01), epochs=120, batch_size=50)
    predicted = net.predict(X)
    assert predicted.shape == (600, 5)
    covered = (NOISY[:, None] <= predicted).mean(axis=0)
    np.testing.assert_allclose(covered, Q, atol=0.06)
    far = np.linspace(-1000, 1000, 2001)[:, None]
    assert np.all(np.diff(net.predict(far), axis=1) >= 0)
    assert net.evaluate(X, NOISY)["cost"] == pytest.approx(Pinball(Q).value(predicted, y_rows()).mean())


def y_rows() -> Any:
    return np.repeat(NOISY[:, None], 5, axis=1)


def test_without_the_rising_output_the_same_training_makes_quantiles_cross() -> None:
    net = quantile_network("batch", "identity")
    net.fit(X[:60], NOISY[:60], optimizer=cp.Adam(0.02), epochs=200, batch_size=20)
    far = np.linspace(-20, 20, 401)[:, None]
    assert np.any(np.diff(net.predict(far), axis=1) < 0)


def test_one_target_is_compared_with_every_quantile_however_it_is_given() -> None:
    net = cp.Network([Dense(5, "increasing")], cost=Pinball(Q), n_in=1, seed=0)
    expected = net.gradient(X, y_rows())
    assert np.array_equal(net.gradient(X, NOISY), expected)
    assert np.array_equal(net.gradient(X, NOISY[:, None]), expected)
    inferred = cp.Network([Dense(None, "increasing")], cost=Pinball(Q), seed=0).build(1, 5)
    assert np.array_equal(inferred.gradient(X, NOISY), expected)


def test_the_size_of_the_last_layer_follows_from_the_quantiles() -> None:
    net = cp.Network([Dense(4, "tanh"), Dense()], cost=Pinball(Q), seed=0)
    net.fit(X, NOISY, epochs=1)
    assert net.model.n_out == 5


def test_targets_of_quantiles_survive_a_file(tmp_path: Any) -> None:
    net = quantile_network("batch")
    net.fit(X, NOISY, epochs=1)
    loaded = cp.load(net.save(tmp_path / "quantiles.safetensors"))
    assert np.array_equal(loaded.predict(X), net.predict(X))
    assert loaded.evaluate(X, NOISY) == net.evaluate(X, NOISY)
    assert "repeated" not in Targets("real", 1).config()


def test_quantiles_that_fall_are_refused_where_outputs_rise() -> None:
    with pytest.raises(OptionError, match=r"must rise too. Got \(0.9, 0.1\); give \(0.1, 0.9\)."):
        cp.Network([Dense(2, "increasing")], cost=Pinball((0.9, 0.1)))
    assert cp.Network([Dense(2)], cost=Pinball((0.9, 0.1))).cost == Pinball((0.9, 0.1))


def test_another_number_of_outputs_than_quantiles_is_refused() -> None:
    net = cp.Network([Dense(3, "increasing")], cost=Pinball(Q), n_in=1)
    with pytest.raises(ShapeError, match="pinball has 5 quantiles; the last layer has 3 outputs"):
        net.fit(X, NOISY, epochs=1)


# --- Classes in order

GRADES = ("poor", "fair", "good", "excellent")


def graded() -> tuple[Any, Any]:
    """Return examples of the cumulative logit model with cut points -1, 0.5 and 2."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(800, 2))
    latent = X @ [1.5, -1.0] + rng.logistic(size=800)
    return X, np.array(GRADES)[np.searchsorted([-1.0, 0.5, 2.0], latent)]


def grader(**options: Any) -> cp.Network:
    return cp.Network([Dense(4, "ordinal")], classes=GRADES, **{"seed": 0, **options})


@pytest.mark.parametrize("engine", RUNGS)
def test_labels_in_an_order_are_learned_and_given_back(engine: str) -> None:
    X, y = graded()
    net = grader(engine=engine)
    assert net.cost == CrossEntropy()
    history = net.fit(X, y, optimizer=cp.Adam(0.02), epochs=60, validation_fraction=0.2)
    assert history["val_cost"][-1] < 1.15 < history["val_cost"][0]
    shares, answers = net.predict_proba(X), net.predict(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-14)
    assert np.array_equal(answers, np.array(GRADES)[shares.argmax(axis=1)])
    assert answers.dtype == y.dtype
    assert net.evaluate(X, y)["accuracy"] == np.mean(answers == y) > 0.5


def test_with_one_score_it_is_the_proportional_odds_model() -> None:
    """The likelihood that SciPy finds for cut points and slopes is the one that training comes to."""
    X, y = graded()
    k = np.array([GRADES.index(label) for label in y])

    def loss(v: Any) -> float:
        cuts = np.concatenate([[-np.inf], np.cumsum([v[0], np.exp(v[1]), np.exp(v[2])]), [np.inf]])
        s = X @ v[3:]
        return float(-np.mean(np.log(expit(cuts[k + 1] - s) - expit(cuts[k] - s))))

    best = minimize(loss, np.zeros(5), method="BFGS")
    # Rows 1, 2, … of W are how the cut points follow the input: at zero they do not.
    net = grader(n_in=2)
    net.W[1][1:] = 0.0
    one_score = np.r_[0:2, 8:12]

    def ours(v: Any) -> tuple[float, Any]:
        net.theta[one_score] = v
        trace = net.trace(X, y)
        return trace.cost, trace.gradient[one_score]

    found = minimize(ours, np.zeros(6), jac=True, method="BFGS")
    assert found.fun == pytest.approx(best.fun, rel=1e-8)
    np.testing.assert_allclose(net.W[1][0], best.x[3:], rtol=1e-3)


def test_two_classes_are_softmax() -> None:
    z = RNG.normal(size=(20, 2)) * 5
    ordinal, softmax = activations.make("ordinal"), activations.make("softmax")
    a = ordinal.f(z)
    np.testing.assert_allclose(a, softmax.f(z[:, ::-1]), rtol=1e-13)
    y = np.eye(2)[RNG.integers(0, 2, 20)]
    ours = fused_pairs()["ordinal", "cross_entropy"].delta(CrossEntropy(), z, a, y)
    np.testing.assert_allclose(ours, (a - y)[:, ::-1], rtol=1e-12, atol=1e-15)


def test_a_higher_score_never_makes_a_lower_class_likelier() -> None:
    z = np.repeat(RNG.normal(size=(30, 1, 6)), 50, axis=1) * 3
    z[..., 0] = np.linspace(-30, 30, 50)
    upto = np.cumsum(activations.make("ordinal").f(z), axis=-1)
    assert np.all(np.diff(upto, axis=1) <= 1e-15)


def test_small_probabilities_keep_their_digits() -> None:
    z = np.array([[0.0, 40.0, -40.0, 1.0]])
    small = activations.make("ordinal").f(z)[0, 1]
    step = np.log1p(np.exp(-40.0))  # the width of class 1; the difference of two sigmoids would be 0
    exact = np.exp(-40.0) * -np.expm1(-step) / ((1 + np.exp(-40.0)) * (1 + np.exp(-40.0 - step)))
    assert small == pytest.approx(exact, rel=1e-13)
    assert expit(40.0 + step) - expit(40.0) == 0.0
    assert log_class_probabilities(z)[0, 1] == pytest.approx(np.log(exact), rel=1e-14)


def test_an_impossible_class_has_a_finite_error() -> None:
    z, y = np.array([[1000.0, -1000.0, 0.0]]), np.array([[1.0, 0.0, 0.0]])
    pair, a = fused_pairs()["ordinal", "cross_entropy"], activations.make("ordinal").f(z)
    assert pair.value(CrossEntropy(), z, y)[0] == 2000.0
    np.testing.assert_allclose(pair.delta(CrossEntropy(), z, a, y), [[1.0, -1.0, 0.0]], atol=1e-300)


@pytest.mark.parametrize("name", ["increasing", "ordinal"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinite_z_give_no_nan(name: str, dtype: type) -> None:
    inf = np.inf
    z = np.array([[inf, 0, 0], [-inf, 0, inf], [0, -inf, -inf], [inf, inf, inf], [3e38, -3e38, 3e38]], dtype)
    activation = activations.make(name)
    a = activation.f(z)
    assert not np.any(np.isnan(a))
    assert not np.any(np.isnan(activation.backward(z, a, np.ones_like(a))[0]))
    if name == "ordinal":
        np.testing.assert_allclose(a.sum(axis=1), 1.0, rtol=1e-6)
    else:
        assert np.all(np.diff(a, axis=1) >= 0)


def test_text_without_its_order_is_refused_and_numbers_have_one() -> None:
    X, y = graded()
    with pytest.raises(DataError, match=r"text such as 'excellent', 'fair'.* lowest to the highest"):
        cp.Network([Dense(4, "ordinal")]).fit(X, y, epochs=1)
    stars = np.array([GRADES.index(label) + 1 for label in y])
    net = cp.Network([Dense(4, "ordinal")], seed=0)
    net.fit(X, stars, optimizer=cp.Adam(0.02), epochs=20)
    assert net.targets is not None
    assert net.targets.classes == (1, 2, 3, 4)
    assert set(net.predict(X)) <= {1, 2, 3, 4}


def test_one_neuron_has_no_order() -> None:
    with pytest.raises(
        ShapeError, match="'ordinal' has one neuron per class and needs two or more; the layer has 1"
    ):
        cp.Network([Dense(1, "ordinal")], n_in=2)


def test_a_file_keeps_classes_and_order(tmp_path: Any) -> None:
    X, y = graded()
    net = grader()
    net.fit(X, y, epochs=2)
    loaded = cp.load(net.save(tmp_path / "grades.safetensors"))
    assert np.array_equal(loaded.predict(X), net.predict(X))
    assert np.array_equal(loaded.predict_proba(X), net.predict_proba(X))


# --- Counts


@pytest.mark.parametrize("engine", RUNGS)
def test_counts_are_fitted_predicted_and_evaluated(engine: str) -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(700, 2))
    rate = np.exp(0.5 + X @ [0.8, -0.6])
    y = rng.poisson(rate)
    net = cp.Network([Dense(1, "exponential")], seed=0, engine=engine)
    assert net.cost.name == "poisson"
    net.fit(X, y, optimizer=cp.Adam(0.02), epochs=80)
    np.testing.assert_allclose(net.W[1][0], [0.8, -0.6], atol=0.1)
    predicted = net.predict(X)
    assert predicted.shape == (700,)
    assert np.all(predicted > 0)
    expected = np.mean(predicted - y * np.log(predicted))
    assert net.evaluate(X, y)["cost"] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(DataError, match="not negative"):
        net.evaluate(X, -1.0 - y)


# --- Label smoothing and focal costs


def test_smoothed_labels_keep_outputs_away_from_certainty() -> None:
    X, y = cp.datasets.moons(200, noise=0.05, seed=0)
    surest = {}
    for s in (0.0, 0.2):
        net = cp.Network([Dense(16, "relu"), Dense(2, "softmax")], cost=CrossEntropy(s), seed=0)
        net.fit(X, y, optimizer=cp.Adam(0.05), epochs=60)
        assert net.evaluate(X, y)["accuracy"] > 0.98
        surest[s] = np.median(net.predict_proba(X).max(axis=1))
    assert surest[0.0] > 0.999
    assert surest[0.2] == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("engine", RUNGS)
@pytest.mark.parametrize(("output", "cost"), [("softmax", Focal(2.0)), ("sigmoid", BinaryFocal(2.0))])
def test_focal_costs_train(engine: str, output: str, cost: Any) -> None:
    X, y = cp.datasets.moons(300, noise=0.1, seed=0)
    net = cp.Network([Dense(16, "relu"), Dense(2 if output == "softmax" else 1, output)], cost=cost, seed=0)
    history = net.fit(X, y, optimizer=cp.Adam(0.03), epochs=40, engine=engine)
    assert history["accuracy"][-1] > 0.97
    assert net.evaluate(X, y)["cost"] < 0.05 < history["cost"][0]


@pytest.mark.parametrize(
    ("focal", "plain", "output"),
    [(Focal(0.0), CrossEntropy(), "softmax"), (BinaryFocal(0.0), BinaryCrossEntropy(), "sigmoid")],
)
def test_a_focal_cost_of_gamma_zero_is_the_cross_entropy(focal: Any, plain: Any, output: str) -> None:
    y = np.eye(3)[RNG.integers(0, 3, 40)]
    nets = [cp.Network([Dense(3, output)], cost=c, n_in=1, seed=4) for c in (focal, plain)]
    costs = [net.evaluate(X[:40], y)["cost"] for net in nets]
    assert costs[0] == pytest.approx(costs[1], rel=1e-14)
    np.testing.assert_allclose(
        nets[0].gradient(X[:40], y), nets[1].gradient(X[:40], y), rtol=1e-12, atol=1e-16
    )


def test_focal_costs_are_those_of_the_paper() -> None:
    """p_t = 0.9 with gamma = 2 costs a hundredth of the cross-entropy (Lin et al., section 3.2)."""
    a, y = np.array([[0.9, 0.1]]), np.array([[1.0, 0.0]])
    assert Focal(2.0).value(a, y)[0] / CrossEntropy().value(a, y)[0] == pytest.approx(0.01)
    p, t = np.array([[0.9]]), np.array([[1.0]])
    assert BinaryFocal(2.0).value(p, t)[0] / BinaryCrossEntropy().value(p, t)[0] == pytest.approx(0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_costs_at_the_ends(gamma: float, dtype: type) -> None:
    a, y = np.array([[1.0, 0.0]], dtype), np.array([[1.0, 0.0]], dtype)
    sure = 0.0 if gamma else -1.0
    assert Focal(gamma).value(a, y)[0] == 0.0
    assert Focal(gamma).dC_da(a, y).tolist() == [[sure, 0.0]]
    wrong = np.array([[0.0, 1.0]], dtype)
    assert Focal(gamma).value(wrong, y)[0] == np.inf
    assert Focal(gamma).dC_da(wrong, y)[0, 0] == -np.inf
    z = np.array([[np.inf, 0.0], [0.0, np.inf]], dtype)
    both = np.repeat(y, 2, axis=0)
    for pair, cost in (
        (("softmax", "focal"), Focal(gamma)),
        (("sigmoid", "binary_focal"), BinaryFocal(gamma)),
    ):
        f = activations.make(pair[0]).f(z)
        delta = fused_pairs()[pair].delta(cost, z, f, both)
        assert np.all(np.isfinite(delta))
        assert not np.any(np.isnan(fused_pairs()[pair].value(cost, z, both)))


@pytest.mark.parametrize("make", [Focal, BinaryFocal])
def test_gamma_is_checked(make: Any) -> None:
    with pytest.raises(OptionError, match=f"gamma of {make.__name__} must be a finite number >= 0. Got -1."):
        make(-1)


# --- The native rung trains as the reference does, with the examples in the lanes and in rows


OUTPUTS: dict[str, tuple[Any, Any]] = {
    "quantiles": (Dense(5, "increasing"), Pinball(Q)),
    "classes in order": (Dense(4, "ordinal"), CrossEntropy(0.1)),
    "ordinal, unfused": (Dense(4, "ordinal"), Focal(1.5)),
    "focal": (Dense(4, "softmax"), Focal(2.0)),
    "binary focal": (Dense(4, "sigmoid"), BinaryFocal(0.5)),
}


@needs_native
@pytest.mark.parametrize("hidden", [6, 300], ids=["lanes", "rows"])
@pytest.mark.parametrize("case", OUTPUTS)
def test_the_native_rung_comes_to_the_same_parameters(case: str, hidden: int) -> None:
    output, cost = OUTPUTS[case]
    y = NOISY if case == "quantiles" else np.eye(4)[np.arange(600) % 4]
    weights = np.random.default_rng(1).uniform(0.1, 2.0, 600)
    nets = {}
    for engine in ("batch", "native"):
        nets[engine] = cp.Network([Dense(hidden, "tanh"), output], cost=cost, seed=3)
        nets[engine].fit(
            X, y, epochs=1, batch_size=50, optimizer="sgd", eta=0.05, sample_weight=weights, engine=engine
        )
    assert "native" in nets["native"].history.engine  # type: ignore[union-attr]
    np.testing.assert_allclose(nets["native"].theta, nets["batch"].theta, rtol=1e-10, atol=1e-11)
    for figure in ("cost", "accuracy") if case != "quantiles" else ("cost",):
        ours, theirs = (nets[engine].history[figure] for engine in nets)  # type: ignore[index]
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
