"""With the same random_state the estimators go scikit-learn's way: losses, weights, predictions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
scipy_sparse = pytest.importorskip("scipy.sparse")

from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.neural_network import MLPClassifier as TheirClassifier  # noqa: E402
from sklearn.neural_network import MLPRegressor as TheirRegressor  # noqa: E402

from clearprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

N, D = 90, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D))
SCORES = X @ RNG.normal(size=(D, 3)) + 0.3 * RNG.normal(size=(N, 3))
WEIGHTS = RNG.uniform(0.1, 3.0, N)
TASKS: dict[str, Any] = {
    "binary": np.array(["no", "yes"])[(SCORES[:, 0] > 0).astype(int)],
    "multiclass": SCORES.argmax(axis=1) + 3,
    "multilabel": (SCORES > 0).astype(int),
    "regression": SCORES[:, 0],
    "poisson": np.random.default_rng(1).poisson(np.exp(0.3 * SCORES[:, 0])).astype(float),
}
SOLVERS: dict[str, dict[str, Any]] = {
    "plain": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.05},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.02},
    "nesterov": {"solver": "sgd", "learning_rate_init": 0.02},
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "lbfgs": {"solver": "lbfgs"},
}
USUAL: dict[str, Any] = {"hidden_layer_sizes": (7, 4), "max_iter": 6, "random_state": 3, "batch_size": 20}


def pair(task: str, engine: str = "auto", **options: Any) -> tuple[Any, Any]:
    """Return scikit-learn's estimator and ours, alike."""
    given = {**USUAL, **options}
    if task in ("regression", "poisson"):
        given["loss"] = "poisson" if task == "poisson" else "squared_error"
        return TheirRegressor(**given), MLPRegressor(engine=engine, **given)
    return TheirClassifier(**given), MLPClassifier(engine=engine, **given)


def fitted(estimator: Any, *data: Any) -> Any:
    """Return the estimator after fit; a few epochs do not converge, which both say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*data)


def assert_alike(theirs: Any, ours: Any, rows: Any = X, rtol: float = 1e-8) -> None:
    """Compare every fitted attribute, and the predictions."""
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(theirs, name) == getattr(ours, name), name
    for name in ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        assert hasattr(theirs, name) == hasattr(ours, name), name
        if getattr(theirs, name, None) is None:
            assert getattr(ours, name, None) is None, name
        else:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol, err_msg=name)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert mine.dtype == other.dtype
        np.testing.assert_allclose(mine, other, rtol=rtol, atol=rtol)
    if hasattr(theirs, "predict_proba"):
        np.testing.assert_allclose(ours.predict_proba(rows), theirs.predict_proba(rows), rtol=rtol, atol=rtol)
        np.testing.assert_array_equal(ours.predict(rows), theirs.predict(rows))
        assert ours.predict(rows).dtype == theirs.predict(rows).dtype
    else:
        np.testing.assert_allclose(ours.predict(rows), theirs.predict(rows), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("engine", ["native", "batch"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", TASKS)
def test_every_solver_activation_and_task(task: str, solver: str, activation: str, engine: str) -> None:
    theirs, ours = pair(task, engine, activation=activation, alpha=0.01, **SOLVERS[solver])
    assert_alike(fitted(theirs, X, TASKS[task]), fitted(ours, X, TASKS[task]))


SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {"hidden_layer_sizes": (100,), "batch_size": "auto"},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "one number": {"hidden_layer_sizes": 5},
    "single examples": {"batch_size": 1, "solver": "sgd"},
    "short last batch": {"batch_size": 32},
    "in order": {"shuffle": False},
    "no penalty": {"alpha": 0.0},
    "strong penalty": {"alpha": 30.0},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
    "adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.3, "n_iter_no_change": 1,
        "tol": 0.2, "max_iter": 60,
    },
    "converges": {"tol": 0.05, "n_iter_no_change": 2, "max_iter": 300, "learning_rate_init": 0.02},
    "early stopping": {"early_stopping": True, "max_iter": 40, "learning_rate_init": 0.02},
    "early stopping, adaptive": {
        "early_stopping": True, "solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 2,
        "learning_rate_init": 0.1, "max_iter": 40, "validation_fraction": 0.3,
    },
    "no friction": {"solver": "sgd", "momentum": 1.0, "learning_rate_init": 0.001},
    "slow moments": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    "one moment": {"beta_1": 0.0, "beta_2": 0.0},
    "few evaluations": {"solver": "lbfgs", "max_fun": 5},
    "until it converges": {"solver": "lbfgs", "max_iter": 50, "tol": 0.02, "hidden_layer_sizes": 3},
}  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("task", TASKS)
def test_every_setting(task: str, setting: str, weighted: bool) -> None:
    given = (X, TASKS[task], *((WEIGHTS,) if weighted else ()))
    theirs, ours = pair(task, **SETTINGS[setting])
    assert_alike(fitted(theirs, *given), fitted(ours, *given), rtol=1e-7 if "until" in setting else 1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", TASKS)
def test_features_that_are_not_scaled(task: str, solver: str) -> None:
    """Probabilities are clipped in scikit-learn's loss: where classes are far apart that is what it shows."""
    rate = {"learning_rate_init": 1e-6} if solver != "lbfgs" else {}
    scale = 3.0 if task == "poisson" else 400.0
    theirs, ours = pair(task, **{**SOLVERS[solver], **rate})
    assert_alike(fitted(theirs, X * scale, TASKS[task]), fitted(ours, X * scale, TASKS[task]))


@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("early", [False, True])
def test_sparse_features(form: str, solver: str, early: bool) -> None:
    rows = getattr(scipy_sparse, form)(np.where(np.abs(X) > 0.7, X, 0.0))
    theirs, ours = pair("multiclass", early_stopping=early, **SOLVERS[solver])
    y = TASKS["multiclass"]
    assert_alike(fitted(theirs, rows, y), fitted(ours, rows, y), rows)


@pytest.mark.parametrize("solver", ["nesterov", "plain", "adam"])
@pytest.mark.parametrize("rate", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("task", TASKS)
def test_partial_fit_goes_on_from_where_the_optimiser_was(task: str, rate: str, solver: str) -> None:
    y = TASKS[task]
    theirs, ours = pair(task, learning_rate=rate, n_iter_no_change=1, tol=0.5, **SOLVERS[solver])
    first = {} if task in ("regression", "poisson") else {"classes": np.unique(y)}
    if task == "multilabel":
        first = {"classes": [0, 1, 2]}
    for begin in (0, 30, 60, 0, 30):
        part = slice(begin, begin + 30)
        for estimator in (theirs, ours):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                estimator.partial_fit(X[part], y[part], sample_weight=WEIGHTS[part], **first)
        first = {}
        assert (
            ours._optimizer.learning_rate == pytest.approx(theirs._optimizer.learning_rate)
            or solver == "adam"
        )
    assert_alike(theirs, ours)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_warm_start(task: str, early: bool, solver: str) -> None:
    theirs, ours = pair(task, warm_start=True, early_stopping=early, **SOLVERS[solver])
    for estimator in (theirs, ours):
        for _ in range(3):
            fitted(estimator, X, TASKS[task])
    assert_alike(theirs, ours)


def test_fit_after_partial_fit_and_the_other_way_round() -> None:
    theirs, ours = pair("multiclass")
    y = TASKS["multiclass"]
    for estimator in (theirs, ours):
        fitted(estimator, X, y)
        estimator.partial_fit(X, y)
        fitted(estimator, X, y)
        estimator.set_params(learning_rate_init=0.1)  # an optimiser keeps the rate that it began with
        estimator.partial_fit(X, y)
    assert_alike(theirs, ours)


def test_a_generator_is_used_up_alike() -> None:
    theirs, ours = pair("binary", early_stopping=True)
    one, other = np.random.RandomState(5), np.random.RandomState(5)
    fitted(theirs.set_params(random_state=one), X, TASKS["binary"])
    fitted(ours.set_params(random_state=other), X, TASKS["binary"])
    assert one.uniform() == other.uniform()


def test_parameters_that_a_user_puts_in_place() -> None:
    theirs, ours = pair("binary", activation="tanh")
    for estimator in (theirs, ours):
        fitted(estimator, X, TASKS["binary"])
        estimator.coefs_[0][:] *= 0.5
        estimator.coefs_[1] = estimator.coefs_[1] + 0.25
        estimator.intercepts_ = [b - 0.125 for b in estimator.intercepts_]
    assert_alike(theirs, ours)
    for estimator in (theirs, ours):
        estimator.partial_fit(X, TASKS["binary"])
    assert_alike(theirs, ours)


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for options in (
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1, "max_iter": 200},
        {"early_stopping": True},
        {"tol": 0.5, "n_iter_no_change": 2, "max_iter": 20},
    ):
        theirs, ours = pair("binary", verbose=True, **options)
        fitted(theirs, X, TASKS["binary"])
        said = capsys.readouterr().out
        fitted(ours, X, TASKS["binary"])
        assert capsys.readouterr().out == said


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("solver", ["nesterov", "adam"])
def test_float32_stays_as_near_as_rounding_lets_it(task: str, solver: str) -> None:
    """Within 3 times what a unit in the last place of an initial weight does to scikit-learn's curve."""
    rows = X.astype(np.float32)
    y = TASKS[task].astype(np.float32) if task == "regression" else TASKS[task]
    theirs, ours = pair(task, max_iter=30, **SOLVERS[solver])
    curve = np.array(fitted(theirs, rows, y).loss_curve_)
    nudged = [
        _nudged(pair(task, max_iter=30, **SOLVERS[solver])[0], rows, y, layer, k)
        for layer in (0, 1, 2)
        for k in range(4)
    ]
    one_unit = np.abs(np.array(nudged) - curve).max()
    mine = np.array(fitted(ours, rows, y).loss_curve_)
    assert all(c.dtype == np.float32 for c in ours.coefs_ + ours.intercepts_)
    assert ours.predict(rows).dtype == theirs.predict(rows).dtype
    assert np.abs(mine - curve).max() <= 3 * one_unit


def _nudged(estimator: Any, rows: np.ndarray, y: np.ndarray, layer: int, k: int) -> list[float]:
    """Return the loss curve after moving one initial weight by one unit in the last place."""
    initialize, calls = estimator._init_coef, 0

    def moved(*arguments: Any) -> Any:
        nonlocal calls
        coef, intercept = initialize(*arguments)
        if calls == layer:
            coef.flat[k] = np.nextafter(coef.flat[k], np.float32(2), dtype=np.float32)
        calls += 1
        return coef, intercept

    estimator._init_coef = moved
    curve: list[float] = fitted(estimator, rows, y).loss_curve_
    return curve


def test_several_outputs_differ_in_the_reported_loss_alone() -> None:
    """scikit-learn averages over outputs what its gradient sums; see docs/adr/0012."""
    y = SCORES
    theirs, ours = pair("regression", alpha=0.0)
    fitted(theirs, X, y), fitted(ours, X, y)
    np.testing.assert_allclose(ours.loss_curve_, 3 * np.array(theirs.loss_curve_), rtol=1e-8)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-8)


def test_lbfgs_minimises_several_outputs() -> None:
    """With a loss and a gradient that belong together its line search finds what it looks for."""
    options = {"solver": "lbfgs", "max_iter": 400, "hidden_layer_sizes": (), "alpha": 0.0, "tol": 1e-8}
    _, ours = pair("regression", **options)
    fitted(ours, X, SCORES)
    inputs = np.column_stack([X, np.ones(N)])
    best = inputs @ np.linalg.lstsq(inputs, SCORES, rcond=None)[0]
    np.testing.assert_allclose(ours.predict(X), best, atol=1e-4)
