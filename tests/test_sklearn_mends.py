"""The estimators beyond a plain fit: history, callbacks, divergence, changed parameters, negative weights."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor

import clearprop as cp
from clearprop.errors import OptionError
from clearprop.interchange import TensorBoard
from clearprop.plots import Snapshots
from clearprop.sklearn import MLPClassifier, MLPRegressor
from clearprop.training.progress import ProgressBar

X, Y = make_classification(200, 6, n_informative=4, n_classes=3, random_state=0)
COUNTS = np.random.default_rng(0).poisson(np.exp(0.3 * X[:, 0])).astype(float)
CALLBACKS = ("EarlyStopping", "NormHistory", "ProgressBar", "FlightRecorder", "TensorBoard", "Snapshots")
SOLVERS = ("sgd", "adam", "lbfgs")


def fitted(estimator: Any, *data: Any, **given: Any) -> Any:
    """Return the estimator after fit, whether it converged or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*data, **given)


# -- the history -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_history_of_a_classifier(solver: str) -> None:
    model = fitted(MLPClassifier(4, solver=solver, max_iter=5, random_state=0), X, Y)
    history = model.network_.history
    assert len(history["cost"]) == len(history["accuracy"]) == model.n_iter_ == 5
    assert history["epoch"] == [1, 2, 3, 4, 5]
    assert model.network_.epochs_trained == model.network_.steps_trained == 5
    assert history["cost"][-1] + history["penalty"][-1] == pytest.approx(model.loss_, rel=1e-9)
    assert "<svg" in model.network_._repr_html_()
    theirs = cp.to_sklearn(model.network_)
    np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X), rtol=1e-12)
    assert theirs.loss_curve_ == history["cost"]


def test_the_last_row_of_lbfgs_is_of_the_parameters_that_are_left() -> None:
    """The Poisson cost lacks a constant that the reported loss has."""
    model = fitted(MLPRegressor("poisson", 4, solver="lbfgs", max_iter=7, random_state=0), X, COUNTS)
    network = model.network_
    assert network.history.columns == ("epoch", "step", "seconds", "eta", "cost", "penalty")
    cost = network.evaluate(X, COUNTS)["cost"]
    assert network.history["cost"][-1] == pytest.approx(cost, rel=1e-12)
    assert network.history.stopped == "epochs"
    assert network.history["cost"] == sorted(network.history["cost"], reverse=True)


def test_a_network_without_a_finished_iteration_goes_to_scikit_learn() -> None:
    model = fitted(MLPClassifier(4, solver="lbfgs", tol=1e6, random_state=0), X, Y)
    assert len(model.network_.history) == 0
    assert cp.to_sklearn(model.network_).loss_curve_ == []


# -- callbacks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "squared_error", "poisson"])
@pytest.mark.parametrize("kind", CALLBACKS)
def test_every_callback_goes_with_every_task(kind: str, task: str, dtype: str, tmp_path: Any) -> None:
    callbacks: dict[str, Any] = {
        "EarlyStopping": lambda: cp.EarlyStopping(patience=2),
        "NormHistory": cp.NormHistory,
        "ProgressBar": ProgressBar,
        "FlightRecorder": cp.FlightRecorder,
        "Snapshots": Snapshots,
        "TensorBoard": lambda: TensorBoard(tmp_path),
    }
    callback = callbacks[kind]()
    y = {"binary": Y % 2, "multiclass": Y}.get(task, COUNTS)
    options: dict[str, Any] = {"hidden_layer_sizes": 4, "max_iter": 3, "random_state": 0}
    estimator, data = MLPClassifier, (X.astype(dtype), y)
    if y is COUNTS:
        estimator, options["loss"] = MLPRegressor, task
    watched = fitted(estimator(**options), *data, callbacks=[callback])
    assert watched.loss_curve_ == fitted(estimator(**options), *data).loss_curve_
    assert watched.n_iter_ == 3


def test_early_stopping_restores_the_best_epoch() -> None:
    stopping = cp.EarlyStopping("loss", patience=2)
    model = MLPClassifier(4, solver="sgd", learning_rate_init=5.0, max_iter=60, random_state=0)
    fitted(model, X, Y, callbacks=stopping)
    assert model.n_iter_ == stopping.best_epoch + 2 < 60
    assert stopping.best == min(model.network_.history["loss"])


# -- divergence ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["constant", "adaptive"])
@pytest.mark.parametrize("classes", [2, 3])
def test_patience_ends_a_training_that_diverged(classes: int, rule: str) -> None:
    options: dict[str, Any] = {
        "hidden_layer_sizes": 20, "solver": "sgd", "learning_rate_init": 1e200, "max_iter": 40,
        "early_stopping": True, "random_state": 0, "n_iter_no_change": 3, "learning_rate": rule,
    }  # fmt: skip
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = TheirClassifier(**options).fit(X * 1e100, Y % classes)
    ours = fitted(MLPClassifier(**options), X * 1e100, Y % classes)
    assert ours.n_iter_ == theirs.n_iter_
    assert (ours.n_iter_ == 5) == (rule == "constant")
    assert ours.t_ == theirs.t_
    assert ours.validation_scores_ == theirs.validation_scores_
    # Where the penalty overflows first, theirs begins with an infinite loss.
    curve = [loss if np.isfinite(loss) else np.nan for loss in theirs.loss_curve_]
    np.testing.assert_allclose(ours.loss_curve_, curve, rtol=1e-8)
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-8)


# -- a warm start with other parameters --------------------------------------------------------------------


@pytest.mark.parametrize("task", ["classes", "numbers"])
@pytest.mark.parametrize(
    "changed",
    [{"solver": "lbfgs"}, {"activation": "tanh"}, {"solver": "lbfgs", "activation": "logistic"}],
    ids=str,
)
def test_a_warm_start_with_other_parameters(changed: dict[str, Any], task: str) -> None:
    rows = X.astype(np.float32)
    kinds = (TheirClassifier, MLPClassifier) if task == "classes" else (TheirRegressor, MLPRegressor)
    theirs, ours = (kind(hidden_layer_sizes=8, max_iter=3, warm_start=True, random_state=0) for kind in kinds)
    for model in (theirs, ours):
        fitted(model, rows, Y)
        fitted(model.set_params(**changed), rows, Y)
    assert [c.dtype for c in ours.coefs_] == [c.dtype for c in theirs.coefs_]
    assert [b.dtype for b in ours.intercepts_] == [b.dtype for b in theirs.intercepts_]
    assert ours.network_.dtype == theirs.coefs_[0].dtype
    assert ours.coefs_[0].base is ours.network_.W[1].base
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-4)


def test_predictions_follow_the_activation() -> None:
    theirs, ours = (k(8, max_iter=3, random_state=0) for k in (TheirClassifier, MLPClassifier))
    for model in (theirs, ours):
        fitted(model, X, Y)
    before, trained = ours.predict_proba(X), ours.network_
    for model in (theirs, ours):
        model.set_params(activation="tanh")
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    assert not np.allclose(ours.predict_proba(X), before)
    assert ours.network_.targets == trained.targets
    assert ours.network_.history is trained.history
    assert ours.network_.epochs_trained == 3
    ours.set_params(activation="relu")
    np.testing.assert_array_equal(ours.predict_proba(X), before)


def test_float64_parameters_that_a_user_puts_into_a_float32_model() -> None:
    rows = X.astype(np.float32)
    ours = fitted(MLPClassifier(8, max_iter=3, random_state=0), rows, Y)
    ours.coefs_ = [coef.astype(np.float64) + 1e-12 for coef in ours.coefs_]
    wanted = ours.coefs_[0].copy()
    assert ours.predict_proba(rows).dtype == np.float64
    np.testing.assert_array_equal(ours.network_.W[1].T, wanted)


# -- weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_negative_weights(solver: str) -> None:
    weights = np.where(np.arange(200) % 10 == 0, -0.25, 1.5)
    options: dict[str, Any] = {"hidden_layer_sizes": 4, "max_iter": 4, "solver": solver, "random_state": 0}
    theirs = fitted(TheirClassifier(**options), X, Y, weights)
    ours = fitted(MLPClassifier(**options), X, Y, weights)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-9)
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_whose_sum_is_zero(solver: str) -> None:
    weights = np.where(np.arange(200) < 100, -1.0, 1.0)
    for estimator in (TheirClassifier, MLPClassifier):
        with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
            fitted(estimator(4, solver=solver), X, Y, weights)


# -- one table ---------------------------------------------------------------------------------------------


def test_the_table_of_names_does_without_scikit_learn() -> None:
    code = "import sys, clearprop.interchange.scikit; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- layers that scikit-learn does not have ----------------------------------------------------------------

BLOCKS: dict[str, dict[str, Any]] = {
    "normalized": {"normalization": "batch"},
    "residual": {"residual": True},
    "both": {"normalization": "layer", "residual": True, "dropout": 0.1},
    "a list": {"hidden_layer_sizes": (5, 4), "activation": ["prelu", "tanh"]},
    "dropout": {"dropout": 0.2},
    "another cost": {"loss": "quadratic"},
}


def beyond(name: str, **options: Any) -> Any:
    """Return a classifier that has been fitted to float32 rows."""
    model = MLPClassifier(
        **{"hidden_layer_sizes": 5, "max_iter": 3, "random_state": 0, **BLOCKS[name], **options}
    )
    return fitted(model, X.astype(np.float32), Y)


@pytest.mark.parametrize("name", BLOCKS)
def test_any_layers_go_on_in_another_dtype(name: str) -> None:
    model = beyond(name)
    before, old = model.predict_proba(X), model.network_
    model.coefs_[-1] = model.coefs_[-1].astype(np.float64)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert (old.dtype, model.network_.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(model.network_.theta, old.theta)
    np.testing.assert_array_equal(model.network_.buffers, old.buffers)
    assert model.network_.cost == old.cost
    assert np.shares_memory(model.coefs_[-1], model.network_.theta)


def test_a_dtype_that_is_asked_for_holds_for_parameters_too() -> None:
    model = beyond("residual", dtype="float32")
    model.coefs_[0] = model.coefs_[0].astype(np.float64)
    assert model.predict_proba(X).dtype == np.float32
    assert model.set_params(dtype="float64").predict_proba(X).dtype == np.float64
    assert model.coefs_[0].dtype == model.network_.dtype == np.float64


@pytest.mark.parametrize("name", ["normalized", "residual", "both"])
def test_blocks_stay_as_they_were_built(name: str) -> None:
    model = beyond(name)
    before, network = model.predict_proba(X), model.network_
    np.testing.assert_array_equal(model.set_params(activation="tanh").predict_proba(X), before)
    assert model.network_ is network


@pytest.mark.parametrize("name", ["a list", "dropout"])
def test_dense_layers_take_another_activation(name: str) -> None:
    model = beyond(name, warm_start=True)
    before = model.predict_proba(X)
    assert not np.allclose(model.set_params(activation="tanh").predict_proba(X), before)
    names = [layer.activation.name for layer in model.network_.layers if isinstance(layer, cp.Dense)]
    assert names == ["tanh"] * (len(names) - 1) + ["softmax"]
    model.partial_fit(X.astype(np.float32), Y)
    assert np.isfinite(model.network_.theta).all()


@pytest.mark.parametrize("name", BLOCKS)
def test_any_layers_come_in(name: str) -> None:
    model = beyond(name)
    ours = cp.from_sklearn(model)
    np.testing.assert_array_equal(
        ours.predict_proba(X.astype(np.float32)), model.predict_proba(X.astype(np.float32))
    )
    assert ours.cost == model.network_.cost
    assert not np.shares_memory(ours.theta, model.network_.theta)


def test_a_part_that_diverges_is_told() -> None:
    model = MLPClassifier(5, solver="sgd", learning_rate_init=1e200, early_stopping=True, random_state=0)
    held = {"X_val": X[:50], "y_val": Y[:50]}
    model.partial_fit(X, Y, classes=[0, 1, 2], **held)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        model.partial_fit(X, Y, **held)
    assert (model.n_iter_, len(model.validation_scores_)) == (1, 2)
    assert np.isnan(model.loss_)


@pytest.mark.parametrize(
    ("options", "given", "words"),
    [
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, {}, "class_weight must leave a class of y a weight > 0"),
        ({"class_weight": {0: 0, 1: 0, 2: 0, 7: 3}}, {}, "class_weight must leave a class of y a weight > 0"),
        ({"class_weight": {0: -1, 1: 1, 2: 1}}, {}, r"class_weight\[0\] must be a finite number >= 0"),
        ({"class_weight": {0: "a", 1: 1, 2: 1}}, {}, r"class_weight\[0\] must be .* Got 'a'"),
        ({"dropout": ["a"]}, {}, "dropout must be a finite number >= 0 and < 1. Got 'a'"),
        ({"hidden_layer_sizes": [2.5]}, {}, r"hidden_layer_sizes must be whole numbers, got \[2.5\]"),
        ({}, {"order": 5}, "order must be a function of the epoch, or hold one array .* Got 5"),
        (
            {"early_stopping": True},
            {"X_val": X, "y_val": Y + 7},
            r"y_val must hold classes of y, which are 0, 1, 2\. Got 8\.",
        ),
        (
            {"early_stopping": True},
            {"X_val": X, "y_val": (Y + 7)[:, None]},
            r"y_val must hold classes of y, which are 0, 1, 2\. Got 8\.",
        ),
        ({"early_stopping": True}, {"X_val": X[:2], "y_val": [[1], [1, 2]]}, "rows of different lengths"),
        (
            {"early_stopping": True},
            {"X_val": X[:2], "y_val": np.array([[1], [1, 2]], dtype=object)},
            r"Got \[1\]",
        ),
        (
            {"early_stopping": True},
            {"X_val": X[:2], "y_val": [[1, 0], [1, 2]]},
            r"must have the shape of y, save for its rows. Got the shape \(2, 2\)",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(options: dict[str, Any], given: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        MLPClassifier(max_iter=2, **options).fit(X, Y, **given)


def test_validation_targets_of_a_regressor_are_numbers() -> None:
    with pytest.raises(TypeError, match="y_val must hold numbers"):
        MLPRegressor(early_stopping=True).fit(X, Y, X_val=X, y_val=["a"] * len(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_validation_targets_of_several_labels_are_zeros_and_ones() -> None:
    several = np.column_stack([Y == 0, Y == 1]).astype(int)
    model = MLPClassifier(4, max_iter=2, early_stopping=True, random_state=0)
    model.fit(X, several, X_val=X, y_val=several)
    assert len(model.validation_scores_) == 2
    with pytest.raises(OptionError, match=r"which are 0, 1\. Got 3"):
        model.fit(X, several, X_val=X, y_val=3 * several)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_validation_targets_may_be_a_column() -> None:
    scores = [
        MLPClassifier(4, max_iter=3, early_stopping=True, random_state=0)
        .fit(X, Y, X_val=X, y_val=y)
        .validation_scores_
        for y in (Y, Y[:, None])
    ]
    assert scores[0] == scores[1]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_as_network_is_a_copy_with_the_coefficients_of_today() -> None:
    model = MLPClassifier(4, max_iter=2, random_state=0).fit(X, Y)
    model.coefs_[0] = np.zeros_like(model.coefs_[0])
    network = model.as_network()
    assert not network.W[1].any()
    network.W[1][:] = 1.0
    assert not model.coefs_[0].any()
