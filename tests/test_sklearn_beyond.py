"""What the estimators take beyond scikit-learn's parameters, and what they refuse."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
scipy_sparse = pytest.importorskip("scipy.sparse")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import clearprop as cp  # noqa: E402
from clearprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

X, SPECIES = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
Y = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
SEVERAL = (X[:, :3] > 0).astype(int)
FAST: dict[str, Any] = {"max_iter": 40, "learning_rate_init": 0.02, "random_state": 0}
RNG = np.random.default_rng(0)
LINE = RNG.uniform(-1, 1, (300, 1))
NOISY = LINE[:, 0] + (0.2 + 0.3 * np.abs(LINE[:, 0])) * RNG.normal(size=300)


@pytest.fixture(autouse=True)
def _few_epochs() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def classifier(**options: Any) -> Any:
    return MLPClassifier(**{**FAST, **options})


def regressor(**options: Any) -> Any:
    return MLPRegressor(**{**FAST, **options})


def layers(model: Any) -> list[tuple[str, int, str]]:
    """Return kind, outputs and activation of every layer, also inside residual blocks."""
    walked = (layer for _, layer in model.network_.model.walk())
    return [(type(f).__name__, f.n_out, getattr(getattr(f, "activation", None), "name", "")) for f in walked]


# -- layers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in cp.activations.activations if n != "per_neuron"])
def test_every_activation(name: str) -> None:
    model = classifier(activation=name, hidden_layer_sizes=6, max_iter=3).fit(X, Y)
    assert layers(model)[0] == ("Dense", 6, name)
    assert np.isfinite(model.predict_proba(X)).all()


def test_one_activation_for_each_layer_or_neuron() -> None:
    mixed = cp.per_neuron(["tanh", "relu"], repeat=True)
    model = classifier(hidden_layer_sizes=(5, 4), activation=["logistic", mixed], max_iter=150).fit(X, Y)
    assert [name for _, _, name in layers(model)] == ["sigmoid", "per_neuron", "softmax"]
    assert model.score(X, Y) > 0.85


def test_layers_with_dropout_normalisation_and_ways_around() -> None:
    options: dict[str, Any] = {"n_layers": 2, "width": 6, "normalization": "layer", "residual": True}
    model = classifier(dropout=[0.1, 0.0], **options).fit(X, Y)
    block = [("Residual", 6, ""), ("Dense", 6, "identity"), ("LayerNorm", 6, ""), ("Activation", 6, "relu")]
    way = [("Dense", 6, "identity")]  # from 4 inputs to 6 neurons
    assert layers(model) == [*block, ("Dropout", 6, ""), *way, *block, ("Dense", 3, "softmax")]
    assert [W.shape for W in model.coefs_] == [(4, 6), (4, 6), (6, 6), (6, 3)]
    assert model.n_layers_ == 4
    assert model.score(X, Y) > 0.9


@pytest.mark.parametrize("options", [{"dropout": 0.3}, {"normalization": "batch"}, {"residual": True}])
def test_the_weights_begin_as_scikit_learns(options: dict[str, Any]) -> None:
    """What is added beside the weights leaves their draws alone, so that settings can be compared."""
    few = {**FAST, "learning_rate_init": 1e-12, "max_iter": 1, "hidden_layer_sizes": 4}
    ours = classifier(**{**few, **options}).fit(X, Y)
    plain = classifier(**few).fit(X, Y)
    if "dropout" in options:
        assert np.abs(ours.coefs_[0]).max() <= np.sqrt(6 / 8)
    else:
        np.testing.assert_allclose(ours.coefs_[0], plain.coefs_[0], atol=1e-9)


def test_batch_norm_predicts_with_running_statistics() -> None:
    model = classifier(normalization="batch").fit(X, Y)
    one_by_one = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(one_by_one, model.predict_proba(X)[:5], rtol=1e-12)
    assert model.score(X, Y) > 0.95


def test_no_batch_of_one_example_under_batch_norm() -> None:
    rows, y = np.tile(X, (2, 1))[:201], np.tile(Y, 2)[:201]
    assert classifier(normalization="batch", max_iter=1).fit(rows, y).n_iter_ == 1  # "auto" is not 200
    with pytest.raises(cp.errors.OptionError, match="201 in batches of 200 leave one alone"):
        classifier(normalization="batch", batch_size=200).fit(rows, y)


@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
def test_depth_and_width_are_searchable(search: Any) -> None:
    grid = {"mlpclassifier__n_layers": [1, 2], "mlpclassifier__width": [2, 8]}
    pipeline = make_pipeline(StandardScaler(), classifier(solver="lbfgs", tol=0.05))
    options = {"n_iter": 3, "random_state": 0} if search is RandomizedSearchCV else {}
    found = search(pipeline, grid, cv=3, **options).fit(X, Y)
    best = found.best_estimator_[-1]
    assert [W.shape[1] for W in best.coefs_] == [best.width] * best.n_layers + [3]
    assert found.best_score_ > 0.9


def test_depth_or_width_alone() -> None:
    assert [W.shape for W in classifier(width=3, max_iter=1).fit(X, Y).coefs_] == [(4, 3), (3, 3)]
    assert classifier(n_layers=2, max_iter=1).fit(X, Y).n_layers_ == 4
    assert [W.shape for W in classifier(n_layers=0, max_iter=1).fit(X, Y).coefs_] == [(4, 3)]


def test_dropout_is_a_function_of_random_state() -> None:
    curves = [classifier(dropout=0.3, random_state=seed).fit(X, Y).loss_curve_ for seed in (0, 0, 1)]
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


@pytest.mark.parametrize("dtype", ["float32", np.float32, "float64"])
def test_dtype(dtype: Any) -> None:
    model = classifier(dtype=dtype, early_stopping=True).fit(X, Y)
    assert {W.dtype for W in model.coefs_} == {np.dtype(dtype)}
    assert model.predict_proba(X).dtype == model.embed(X).dtype == dtype


# -- costs --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quartic(cp.costs.Cost):
    """A cost of the user's own."""

    name = "quartic"

    def value(self, a: Any, y: Any) -> Any:
        return ((a - y) ** 4).sum(axis=-1)

    def dC_da(self, a: Any, y: Any) -> Any:
        return 4 * (a - y) ** 3


TASKS = {"binary": Y == "setosa", "multiclass": Y, "multilabel": SEVERAL}
OUTPUTS: dict[Any, tuple[str, str]] = {  # of one output per label, and of several classes
    "focal": ("logistic", "softmax"),
    "binary_cross_entropy": ("logistic", "logistic"),
    "cross_entropy": ("logistic", "softmax"),
    "quadratic": ("logistic", "softmax"),
    "hinge": ("identity", "identity"),
    "squared_hinge": ("identity", "identity"),
    Quartic(): ("logistic", "softmax"),
}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("loss", OUTPUTS, ids=str)
def test_losses_of_classes(loss: Any, task: str, solver: str) -> None:
    model = classifier(loss=loss, solver=solver).fit(X, TASKS[task])
    assert model.out_activation_ == OUTPUTS[loss][task == "multiclass"]
    assert model.score(X, TASKS[task]) > 0.9
    own = model.network_.predict(X)
    yes = own == 1 if task == "multilabel" else own  # where the network's "no" is -1 for costs of margins
    np.testing.assert_array_equal(yes, model.predict(X))
    if hasattr(model, "predict_proba"):
        given = model.predict_proba(X)
        assert given.shape == (150, 2 if task == "binary" else 3)
        np.testing.assert_allclose(given.sum(axis=1), 1) if task != "multilabel" else None
    else:
        assert model.out_activation_ == "identity"
        scores = model.decision_function(X)
        assert (
            ((scores > 0) == TASKS[task]).mean() > 0.9 if task != "multiclass" else scores.shape == (150, 3)
        )


def test_the_reported_loss_is_the_cost() -> None:
    model = classifier(loss="focal", solver="lbfgs", alpha=0.0).fit(X, Y)
    assert model.loss_ == pytest.approx(model.network_.evaluate(X, Y)["cost"], rel=1e-9)
    plain = classifier(loss="cross_entropy").fit(X, Y)
    assert plain.loss_curve_ == classifier().fit(X, Y).loss_curve_


@pytest.mark.parametrize("task", TASKS)
def test_label_smoothing(task: str) -> None:
    smooth = classifier(label_smoothing=0.2).fit(X, TASKS[task])
    assert smooth.network_.cost.label_smoothing == 0.2
    assert smooth.predict_proba(X).max() < classifier().fit(X, TASKS[task]).predict_proba(X).max()
    assert smooth.score(X, TASKS[task]) > 0.9


@pytest.mark.parametrize("loss", ["huber", "mae", "log_cosh", cp.costs.Pinball(0.5), Quartic()], ids=str)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_losses_of_numbers(loss: Any, solver: str) -> None:
    model = regressor(loss=loss, solver=solver, max_iter=80).fit(LINE, NOISY)
    assert model.out_activation_ == "identity"
    assert model.score(LINE, NOISY) > 0.6


def test_targets_that_a_cost_cannot_take() -> None:
    with pytest.raises(cp.errors.DataError, match=r"cross_entropy needs targets that are in \[0, 1\]"):
        regressor(loss="cross_entropy").fit(LINE, NOISY)


# -- quantiles and orders -----------------------------------------------------------------------------


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_quantiles_do_not_cross(solver: str, early: bool) -> None:
    asked = (0.1, 0.5, 0.9)
    model = regressor(quantiles=asked, solver=solver, early_stopping=early, max_iter=150).fit(LINE, NOISY)
    wide = np.linspace(-5, 5, 400)[:, None]
    found = model.predict(wide)
    assert found.shape == (400, 3)
    assert (np.diff(found, axis=1) >= 0).all()
    below = (NOISY[:, None] < model.predict(LINE)).mean(axis=0)
    np.testing.assert_allclose(below, asked, atol=0.06)
    assert model.score(LINE, NOISY) > 0.4
    np.testing.assert_allclose(model.network_.predict(wide[:3]), found[:3], rtol=1e-12)


def test_one_quantile_and_a_list_of_them() -> None:
    assert regressor(quantiles=[0.9]).fit(LINE, NOISY).predict(LINE).shape == (300, 1)
    search = GridSearchCV(regressor(max_iter=5), {"quantiles": [[0.5], (0.2, 0.8)]}, cv=2)
    assert len(search.fit(LINE, NOISY).cv_results_["params"]) == 2


GRADES = np.array(["low", "middle", "high"])[np.digitize(X[:, 2], [-0.5, 0.5])]
RISING = ["low", "middle", "high"]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ordinal_classes(solver: str) -> None:
    model = classifier(ordinal=True, categories=RISING, solver=solver).fit(X, GRADES)
    assert model.out_activation_ == "ordinal"
    assert model.classes_.tolist() == sorted(RISING)
    assert model.network_.targets.classes == tuple(RISING)
    assert model.score(X, GRADES) > 0.95
    probabilities = model.predict_proba(X)
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    np.testing.assert_array_equal(model.network_.predict(X), model.predict(X))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_the_order_of_numbers_is_their_own() -> None:
    y = np.digitize(X[:, 2], [-0.5, 0.5]) + 3
    model = classifier(ordinal=True, early_stopping=True, n_iter_no_change=40).fit(X, y)
    assert model.network_.targets.classes == (3, 4, 5)
    assert model.score(X, y) > 0.9
    fewer = classifier(ordinal=True, categories=[2, 3, 4, 5], max_iter=2).fit(X, y)  # as in a fold of few
    assert fewer.network_.targets.classes == (3, 4, 5)
    assert classifier(ordinal=True).fit(X, y > 3).out_activation_ == "logistic"


# -- optimisers and schedules -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in cp.optimizers.optimizers if n not in ("sgd", "adam", "lbfgs")])
def test_every_optimiser(name: str) -> None:
    model = classifier(solver=name, momentum=0.8, beta_1=0.7, max_iter=150).fit(X, Y)
    optimizer = model._optimizer.optimizer
    assert (optimizer.name, optimizer.eta) == (name, 0.02)
    assert getattr(optimizer, "beta1", 0.7) == 0.7
    assert model.score(X, Y) > 0.9


def test_an_optimiser_with_options_of_its_own() -> None:
    given = cp.AdamW(0.03, weight_decay=0.5)
    model = classifier(solver=given, learning_rate_init=9.0).fit(X, Y)
    assert model._optimizer.optimizer == given
    named = classifier(solver="nesterov", momentum=0.9).fit(X, Y)
    assert named.loss_curve_ == classifier(solver="sgd").fit(X, Y).loss_curve_
    assert hasattr(clone(model), "partial_fit")


@pytest.mark.parametrize("name", cp.schedules.schedules)
def test_every_schedule(name: str) -> None:
    model = classifier(schedule=name, max_iter=10, batch_size=50).fit(X, Y)
    history, schedule = model.network_.history, cp.schedules.schedules.make(name)
    if not schedule.monitors:
        place: dict[str, Any] = {"step": 30, "epoch": 10, "total_steps": 30, "steps_per_epoch": 3}
        assert history[-1]["eta"] == schedule.rate(0.02, **place)
    assert len(model.loss_curve_) == len(history) == 10


def test_a_schedule_over_calls_of_partial_fit() -> None:
    options: dict[str, Any] = {"schedule": cp.InverseScaling(), "shuffle": False, "hidden_layer_sizes": 4}
    whole = classifier(**options, max_iter=6).fit(X, Y)
    parts = classifier(**options)
    for _ in range(6):
        parts.partial_fit(X, Y, classes=np.unique(Y))
    assert parts.loss_curve_ == whole.loss_curve_
    with pytest.raises(cp.errors.OptionError, match="needs to know the number of steps"):
        classifier(schedule="cosine").partial_fit(X, Y, classes=np.unique(Y))


# -- partial_fit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("task", TASKS)
def test_partial_fit_on_everything_is_fit(task: str, dropout: float) -> None:
    options: dict[str, Any] = {
        "shuffle": False,
        "hidden_layer_sizes": 8,
        "batch_size": 40,
        "dropout": dropout,
    }
    y = TASKS[task]
    whole, parts = classifier(**options).fit(X, y), classifier(**options)
    first = {} if task == "multilabel" else {"classes": np.unique(y)}
    for _ in range(40):
        parts.partial_fit(X, y, **first)
    np.testing.assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))
    assert parts.network_.steps_trained == whole.network_.steps_trained == 160
    assert list(parts.network_.history["epoch"]) == list(range(1, 41))


def test_labels_that_the_first_part_does_not_show() -> None:
    model = classifier()
    for part in (slice(0, 40), slice(40, 150)) * 30:
        model.partial_fit(X[part], SEVERAL[part])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.score(X, SEVERAL) > 0.9


@pytest.mark.parametrize("make", [classifier, regressor])
def test_partial_fit_with_early_stopping(make: Any) -> None:
    y = Y if make is classifier else SPECIES.astype(float)
    first = {"classes": np.unique(y)} if make is classifier else {}
    model = make(early_stopping=True, n_iter_no_change=3, normalization="batch", hidden_layer_sizes=20)
    held: dict[str, Any] = {"X_val": X[1::2], "y_val": y[1::2]}
    calls = 0
    while calls < 300 and not getattr(model, "stopped_early_", False):
        model.partial_fit(X[::2], y[::2], **first, **held)
        calls += 1
    assert calls < 300
    assert len(model.validation_scores_) == calls
    assert model.score(X[1::2], y[1::2]) == model.best_validation_score_ == max(model.validation_scores_)
    before = model.network_.theta.copy()
    model.partial_fit(X[::2], y[::2], **held)
    np.testing.assert_array_equal(model.network_.theta, before)
    model.fit(X, y)  # which begins anew
    assert len(model.validation_scores_) == model.n_iter_


def test_partial_fit_goes_on_after_a_fit_that_stopped_early() -> None:
    model = classifier(early_stopping=True, n_iter_no_change=2, max_iter=300).fit(X, Y)
    assert model.stopped_early_
    epochs = len(model.loss_curve_)
    model.partial_fit(X, Y, X_val=X, y_val=Y)
    assert len(model.loss_curve_) == epochs + 1
    with pytest.raises(ValueError, match="early_stopping=True without X_val and y_val"):
        model.partial_fit(X, Y)


# -- looking inside -----------------------------------------------------------------------------------


def test_embed() -> None:
    model = classifier(hidden_layer_sizes=(7, 3), dtype="float32").fit(X, Y)
    assert model.embed(X).shape == (150, 3)
    np.testing.assert_allclose(model.embed(X, 3), model.predict_proba(X), rtol=1e-6)
    np.testing.assert_array_equal(model.embed(scipy_sparse.csr_matrix(X), 1), model.embed(X, 1))
    with pytest.raises(ValueError, match="X has 2 features, but MLPClassifier is expecting 4"):
        model.embed(X[:, :2])


def test_explain() -> None:
    model = classifier(hidden_layer_sizes=3, activation="tanh").fit(X, Y)
    found = model.explain(X[0], layer=2, weight=(2, 2))
    trace = model.network_.trace(X[:1], model.predict(X[:1]))
    assert found.value == pytest.approx(trace[2].dC_dW[2, 2], rel=1e-12)
    other = model.explain(X[0], "virginica", layer=2, weight=(2, 2))
    assert other.value != found.value
    with pytest.raises(cp.errors.DataError):
        regressor(hidden_layer_sizes=3, max_iter=1).fit(LINE, NOISY).explain(LINE[0])


def test_diagnose() -> None:
    model = classifier(activation="logistic", n_layers=12, width=6, max_iter=3).fit(X, Y)
    assert "vanishing_gradients" in model.diagnose(X, Y).kinds
    assert "values_not_finite" not in classifier().fit(X, Y).diagnose(X, Y).kinds


def test_rows_of_0_and_1_are_explained_with_costs_of_margins_too() -> None:
    model = classifier(loss="squared_hinge", hidden_layer_sizes=3, max_iter=2).fit(X, SEVERAL)
    found = model.explain(X[0], SEVERAL[0], layer=2, bias=1)
    trace = model.network_.trace(X[:1], 2.0 * SEVERAL[:1] - 1)
    assert found.value == pytest.approx(trace[2].dC_db[1], rel=1e-12)
    assert isinstance(model.diagnose(X, SEVERAL).kinds, tuple)


@pytest.mark.parametrize("method", ["embed", "explain"])
def test_nothing_to_look_at_before_fit(method: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(classifier(), method)(X[:1])


def test_the_view_in_notebooks() -> None:
    model = classifier(early_stopping=True)
    assert "clearprop-net" not in model._repr_html_()
    shown = model.fit(X, Y)._repr_html_()
    assert shown.index("sk-container") < shown.index("clearprop-net")
    assert "validation_score" in shown
    assert f"{model.n_iter_} epochs" in shown


# -- copies, and what is refused ----------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "n_layers": 2, "width": 5, "activation": ["gelu", cp.activations.LeakyReLU(0.2)], "dropout": [0.1, 0.0],
    "normalization": "batch", "residual": True, "solver": cp.AdamW(0.01), "schedule": cp.OneCycle(),
    "dtype": "float32",
}  # fmt: skip


@pytest.mark.parametrize(
    ("make", "own", "y"),
    [
        (classifier, {"loss": cp.costs.Focal(1.5), "ordinal": True, "categories": RISING}, GRADES),
        (regressor, {"quantiles": (0.2, 0.8)}, X[:, 3]),
    ],
)
def test_copies_with_everything(make: Any, own: dict[str, Any], y: Any) -> None:
    model = make(**EVERYTHING, **own).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    again = clone(model)
    assert repr(again.get_params()) == repr(model.get_params())
    np.testing.assert_array_equal(again.fit(X, y).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "reul"}, "The 'activation' parameter of MLPClassifier must be .*Did you mean 'relu'"),
        ({"solver": "adamm"}, r"The 'solver' parameter of MLPClassifier must be .*Did you mean 'adam'\?"),
        ({"loss": "log_los"}, r"The 'loss' parameter .*Did you mean 'log_loss'\?"),
        ({"schedule": "cosin"}, r"The 'schedule' parameter .*Did you mean 'cosine'\?"),
        ({"normalization": "bach"}, r"The 'normalization' parameter .*Did you mean 'batch'\?"),
        ({"dropout": 1.0}, r"The 'dropout' parameter of MLPClassifier must be a float in the range \[0"),
        ({"n_layers": 1.5}, r"The 'n_layers' parameter of MLPClassifier must be an int in the range \[0"),
        ({"width": 0}, "The 'width' parameter of MLPClassifier must be an int in the range"),
        ({"dtype": "float16"}, "The 'dtype' parameter of MLPClassifier must be"),
        ({"activation": ["relu", "tanh"]}, "activation has 2 entries for 1 hidden layer"),
        ({"activation": ["rellu"]}, "unknown activation 'rellu'. Did you mean 'relu'"),
        ({"dropout": [0.1, 0.2]}, "dropout has 2 entries for 1 hidden layer"),
        ({"n_layers": 2, "hidden_layer_sizes": 5}, "stand in the place of hidden_layer_sizes"),
        ({"solver": cp.LBFGS()}, "solver='lbfgs'"),
        ({"solver": "lbfgs", "dropout": 0.1}, "dropout=0.1 does not go with solver='lbfgs'"),
        ({"solver": "lbfgs", "schedule": "cosine"}, "schedule='cosine' does not go with solver='lbfgs'"),
        ({"solver": "lbfgs", "dtype": "float32"}, "which computes in float64"),
        ({"schedule": "cosine", "learning_rate": "adaptive"}, "would both set the rate"),
        ({"loss": "hinge", "label_smoothing": 0.1}, "label_smoothing=0.1 goes with loss='log_loss'"),
        ({"loss": "hinge", "ordinal": True, "categories": RISING}, "needs a loss of one class of several"),
        ({"categories": RISING}, "give ordinal=True, or leave them out"),
        ({"ordinal": True}, "ordinal=True needs the order of classes that are text, such as 'setosa'"),
        ({"ordinal": True, "categories": ["setosa"]}, "categories must list every class once"),
    ],
)
def test_what_a_classifier_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(**options).fit(X, Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantiles": (0.9, 0.1)}, "the quantiles of Pinball must rise too"),
        ({"quantiles": (0.0, 0.5)}, r"quantile\[0\] of Pinball must be a finite number > 0 and < 1"),
        ({"quantiles": (0.5,), "loss": "huber"}, "quantiles have the pinball loss"),
        ({"quantiles": 0.5}, "The 'quantiles' parameter of MLPRegressor must be an array-like or None"),
    ],
)
def test_what_a_regressor_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regressor(**options).fit(LINE, NOISY)
    with pytest.raises(cp.errors.ShapeError, match=r"y must be \(n,\). Got 2 columns"):
        regressor(quantiles=(0.1, 0.9)).fit(LINE, np.column_stack([NOISY, NOISY]))


def test_ordinal_is_for_classes_that_exclude_one_another() -> None:
    with pytest.raises(cp.errors.OptionError, match="Got rows of several labels"):
        classifier(ordinal=True).fit(X, SEVERAL)
