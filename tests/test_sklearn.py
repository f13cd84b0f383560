"""The estimators in scikit-learn's company: its checks, its tools, copies, errors, threads."""

from __future__ import annotations

import copy
import pickle
import signal
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_regression
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import DecisionBoundaryDisplay, permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.parallel import Parallel, delayed

import clearprop as cp
from clearprop.compiled import missing
from clearprop.engines.native import NativeTrainer
from clearprop.sklearn import MLPClassifier, MLPRegressor
from clearprop.training.loop import TrainingRun

X, Y = load_iris(return_X_y=True)
FAST: dict[str, Any] = {"solver": "lbfgs", "hidden_layer_sizes": 5, "tol": 0.05, "random_state": 0}
ignore_convergence = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks([MLPClassifier(), MLPRegressor()])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as check_estimator does: small max_iter, data in odd forms
        check(estimator)


# -- with scikit-learn's tools ------------------------------------------------------------------------


def test_a_pipeline_in_a_grid_search() -> None:
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**FAST))
    grid = {"mlpclassifier__alpha": [0.01, 100.0], "mlpclassifier__activation": ["relu", "tanh"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, Y)
    assert search.best_params_["mlpclassifier__alpha"] == 0.01
    assert search.best_score_ > 0.9


def test_cross_validation() -> None:
    assert cross_val_score(MLPClassifier(**FAST), X, Y, cv=3).min() > 0.9
    rows, y = make_regression(60, 3, random_state=0)
    assert (
        cross_val_score(MLPRegressor(**{**FAST, "tol": 5.0, "activation": "identity"}), rows, y).min() > 0.99
    )


def test_calibration_and_bagging() -> None:
    calibrated = CalibratedClassifierCV(MLPClassifier(**FAST), cv=3).fit(X, Y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    bagged = BaggingClassifier(MLPClassifier(**FAST), n_estimators=3, random_state=0).fit(X, Y)
    assert bagged.score(X, Y) > 0.9


def test_inspection() -> None:
    model = MLPClassifier(**FAST).fit(X[:, 2:], Y)
    importance = permutation_importance(model, X[:, 2:], Y, n_repeats=2, random_state=0)
    assert importance.importances_mean.max() > 0.2
    pyplot = pytest.importorskip("matplotlib.pyplot")
    display = DecisionBoundaryDisplay.from_estimator(model, X[:, 2:], grid_resolution=10)
    assert np.unique(display.response).size >= 2
    pyplot.close("all")


@ignore_convergence
def test_metadata_routing() -> None:
    weights = np.where(Y == 0, 100.0, 1.0)
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = MLPClassifier(max_iter=3, random_state=0).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(scaler, model).fit(X, Y, sample_weight=weights)
    direct = MLPClassifier(max_iter=3, random_state=0).fit(StandardScaler().fit_transform(X), Y, weights)
    assert pipeline[-1].loss_curve_ == direct.loss_curve_


# -- copies -------------------------------------------------------------------------------------------


@ignore_convergence
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_has_parameters_of_its_own(copied: Any) -> None:
    model = MLPClassifier(4, max_iter=5, random_state=0).fit(X, Y)
    before = model.predict_proba(X)
    other = copied(model)
    np.testing.assert_array_equal(other.predict_proba(X), before)
    other.coefs_[0][:] = 0
    np.testing.assert_array_equal(other.network_.W[1], np.zeros((4, 4)))
    np.testing.assert_array_equal(model.predict_proba(X), before)
    other.partial_fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


@ignore_convergence
def test_a_pickle_goes_on_like_the_original() -> None:
    model = MLPRegressor(hidden_layer_sizes=4, max_iter=5, random_state=0).fit(X, Y)
    other = pickle.loads(pickle.dumps(model))
    for estimator in (model, other):
        estimator.partial_fit(X, Y)
    assert model.loss_curve_ == other.loss_curve_


def test_clone_keeps_every_parameter() -> None:
    model = MLPRegressor("poisson", 3, engine="batch", alpha=0.5)
    assert clone(model).get_params() == model.get_params()


# -- the network inside -------------------------------------------------------------------------------


def test_the_network_is_clearprops_own(tmp_path: Any) -> None:
    model = MLPClassifier(**FAST).fit(X, np.array(["a", "b", "c"])[Y])
    network = model.network_
    assert network.predict(X).tolist() == model.predict(X).tolist()
    np.testing.assert_array_equal(network.predict_proba(X), model.predict_proba(X))
    assert network.trace(X[:2], model.predict(X[:2]))[2].dC_dW.shape == (3, 5)
    again = cp.load(network.save(tmp_path / "iris.safetensors"))
    assert again.predict(X).tolist() == model.predict(X).tolist()


@ignore_convergence
def test_an_order_of_ones_own() -> None:
    order = [np.random.default_rng(epoch).permutation(150) for epoch in range(4)]
    by_list = MLPClassifier(4, max_iter=4, batch_size=30, random_state=0).fit(X, Y, order=order)
    by_function = MLPClassifier(4, max_iter=4, batch_size=30, random_state=0)
    by_function.fit(X, Y, order=lambda epoch: order[epoch - 1])
    assert by_list.loss_curve_ == by_function.loss_curve_
    assert (
        by_list.loss_curve_
        != MLPClassifier(4, max_iter=4, batch_size=30, random_state=0).fit(X, Y).loss_curve_
    )


@ignore_convergence
@pytest.mark.parametrize("engine", cp.engines.engine_names())
def test_every_engine_gives_the_same_curve(engine: str) -> None:
    rows, y, weights = X[:12], Y[45:57], np.arange(1.0, 13.0)
    options: dict[str, Any] = {"hidden_layer_sizes": 3, "max_iter": 2, "batch_size": 5, "random_state": 0}
    reference = MLPClassifier(engine="batch", **options).fit(rows, y, weights)
    if engine == "native" and missing():
        pytest.skip("there is no native rung here")
    model = MLPClassifier(engine=engine, **options).fit(rows, y, weights)
    np.testing.assert_allclose(model.loss_curve_, reference.loss_curve_, rtol=1e-12)


# -- what goes wrong ----------------------------------------------------------------------------------


def test_an_unknown_engine_is_refused_in_scikit_learns_words() -> None:
    with pytest.raises(ValueError, match="The 'engine' parameter of MLPClassifier must be a str among"):
        MLPClassifier(engine="fast").fit(X, Y)


def test_divergence_is_explained() -> None:
    model = MLPRegressor(activation="identity", solver="sgd", learning_rate_init=10.0, random_state=0)
    with pytest.raises(
        ValueError, match=r"Solver produced non-finite parameter weights.*eta = 10 is too high"
    ):
        model.fit(X * 100, Y)


def test_batches_without_any_weight_are_refused() -> None:
    with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
        MLPClassifier(batch_size=10, shuffle=False).fit(X, Y, np.repeat([0.0, 1.0], 75))


def test_partial_fit_is_for_stochastic_solvers() -> None:
    for estimator in (MLPClassifier, MLPRegressor):
        assert not hasattr(estimator(solver="lbfgs"), "partial_fit")
        assert hasattr(estimator(), "partial_fit")


def test_convergence_warnings() -> None:
    with pytest.warns(ConvergenceWarning, match=r"Stochastic Optimizer: Maximum iterations \(2\) reached"):
        MLPClassifier(max_iter=2).fit(X, Y)
    with pytest.warns(
        ConvergenceWarning, match=r"lbfgs failed to converge after 2 iteration\(s\) \(status=1\)"
    ):
        MLPClassifier(max_iter=2, solver="lbfgs").fit(X, Y)


@ignore_convergence
def test_a_batch_larger_than_the_data_is_clipped() -> None:
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        MLPClassifier(max_iter=2, batch_size=1000).fit(X, Y)


@pytest.mark.skipif(sys.platform == "win32", reason="there a process cannot send itself SIGINT alone")
def test_ctrl_c_keeps_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    end_epoch = TrainingRun.end_epoch

    def interrupted(run: TrainingRun, tally: Any) -> None:
        end_epoch(run, tally)
        if run.epoch == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingRun, "end_epoch", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model = MLPClassifier(4, random_state=0).fit(X, Y)
    assert 3 <= model.n_iter_ <= 4
    assert len(model.loss_curve_) == model.n_iter_
    assert model.predict(X).shape == Y.shape


def test_importing_clearprop_does_not_import_scikit_learn() -> None:
    code = "import sys, clearprop; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- threads ------------------------------------------------------------------------------------------


@ignore_convergence
@pytest.mark.skipif(missing() is not None, reason="there is no native rung here")
def test_threads_compute_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread is made to give way here, so two are in `steps` at once only where it lets go by itself."""
    inside = most = 0
    steps = NativeTrainer.steps

    def counted(*arguments: Any) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            return steps(*arguments)
        finally:
            inside -= 1

    monkeypatch.setattr(NativeTrainer, "steps", counted)
    rows = np.random.default_rng(0).normal(size=(2000, 40))
    y = (rows[:, 0] > 0).astype(int)
    models = [MLPClassifier(100, max_iter=10, random_state=seed) for seed in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e4)
    try:
        fitted = Parallel(n_jobs=2, prefer="threads")(delayed(model.fit)(rows, y) for model in models)
    finally:
        sys.setswitchinterval(interval)
    assert most == 2
    alone = [clone(model).fit(rows, y).loss_curve_ for model in models]
    assert [model.loss_curve_ for model in fitted] == alone


# -- what scikit-learn's classes lack ------------------------------------------------------------------


@ignore_convergence
@pytest.mark.parametrize("given", ["balanced", {"rare": 9.0}])
def test_class_weights_are_weights_of_examples(given: Any) -> None:
    y = np.where(np.arange(150) % 10 == 0, "rare", "often")
    options: dict[str, Any] = {"hidden_layer_sizes": 4, "max_iter": 5, "random_state": 0}
    model = MLPClassifier(class_weight=given, **options).fit(X, y)
    factor = {"rare": 5.0, "often": 5 / 9} if given == "balanced" else {"rare": 9.0, "often": 1.0}
    weights = np.array([factor[label] for label in y])
    np.testing.assert_allclose(
        model.loss_curve_, MLPClassifier(**options).fit(X, y, weights).loss_curve_, rtol=1e-12
    )


@ignore_convergence
def test_validation_data_of_ones_own() -> None:
    model = MLPClassifier(4, max_iter=30, early_stopping=True, learning_rate_init=0.02, random_state=0)
    model.fit(X[::2], Y[::2], X_val=X[1::2], y_val=Y[1::2])
    assert model.t_ == 75 * model.n_iter_
    assert model.score(X[1::2], Y[1::2]) == model.best_validation_score_ == max(model.validation_scores_)


@ignore_convergence
def test_callbacks() -> None:
    norms = cp.NormHistory()
    model = MLPRegressor(hidden_layer_sizes=4, max_iter=3, batch_size=50, random_state=0)
    model.fit(X, Y, callbacks=[norms])
    assert len(norms.rows) == 9
    assert norms.addresses == ("1.W", "2.W")


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        ({}, {"X_val": X, "y_val": Y}, "Give early_stopping=True"),
        ({"early_stopping": True}, {"X_val": X}, "y_val is missing"),
        ({"solver": "lbfgs"}, {"callbacks": cp.NormHistory()}, "callbacks does not go with solver='lbfgs'"),
        ({"solver": "lbfgs"}, {"order": [np.arange(150)]}, "order does not go with solver='lbfgs'"),
    ],
)
def test_what_fit_cannot_use_is_refused(options: Any, given: Any, message: str) -> None:
    with pytest.raises(cp.errors.OptionError, match=message):
        MLPClassifier(**options).fit(X, Y, **given)
