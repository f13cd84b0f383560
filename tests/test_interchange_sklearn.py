"""scikit-learn's MLPs and ours: one model, two libraries, the same predictions."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

import clearprop as cp
from clearprop import sklearn as own
from clearprop.errors import (
    DTypeError,
    NotInitializedError,
    OptionError,
    UnsupportedError,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CLOSE = {"rtol": 1e-12, "atol": 1e-14}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
THREE = np.array(["kelp", "moss", "fern"])[np.argmax(X[:, :3], axis=1)]
TWO = np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")
MANY = (X[:, :3] > 0).astype(int)
LABELS = {"three": THREE, "two": TWO, "many": MANY, "numbers": (X[:, 0] > 0).astype(int) + 3}


def classifier(y: Any, dtype: Any = np.float64, **options: Any) -> MLPClassifier:
    return MLPClassifier((7, 5), max_iter=30, random_state=0, **options).fit(X.astype(dtype), y)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_a_classifier_comes_in_with_its_answers(y: Any, activation: str) -> None:
    theirs = classifier(y, activation=activation)
    ours = cp.from_sklearn(theirs)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), **CLOSE)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.predict(X).dtype == theirs.predict(X).dtype


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_regressor_comes_in_with_its_answers(loss: str, outputs: int) -> None:
    y = np.exp(X[:, :outputs] / 3).squeeze()
    theirs = MLPRegressor(hidden_layer_sizes=(6,), loss=loss, max_iter=30, random_state=0).fit(X, y)
    ours = cp.from_sklearn(theirs)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), **CLOSE)
    back = cp.to_sklearn(ours)
    assert (back.loss, back.out_activation_) == (loss, theirs.out_activation_)
    np.testing.assert_array_equal(back.predict(X), theirs.predict(X))


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_there_and_back_is_the_same_model(y: Any) -> None:
    theirs = classifier(y, alpha=0.01)
    back = cp.to_sklearn(cp.from_sklearn(theirs))
    np.testing.assert_array_equal(back.predict_proba(X), theirs.predict_proba(X))
    np.testing.assert_array_equal(back.classes_, theirs.classes_)
    missing = set(vars(theirs)) - set(vars(back))
    assert missing == {"_optimizer"}  # partial_fit makes it
    assert back.score(X, y) == theirs.score(X, y)
    assert back.alpha == 0.01


def test_the_gradient_is_scikit_learns_with_its_penalty() -> None:
    theirs = classifier(THREE, alpha=0.3)
    ours = cp.from_sklearn(theirs)
    onehot = theirs._label_binarizer.transform(THREE)
    shapes = [*(W.shape for W in theirs.coefs_)]
    hidden = [X, *(np.empty((len(X), n)) for _, n in shapes)]
    deltas: list[Any] = [None] * len(shapes)
    grads, biases = [np.empty(s) for s in shapes], [np.empty(s[1]) for s in shapes]
    _, dW, db = theirs._backprop(X, onehot, None, hidden, deltas, grads, biases)
    found = ours.gradient(X, THREE, penalty=True)
    expected = np.concatenate([part for W, b in zip(dW, db, strict=True) for part in (W.T.ravel(), b)])
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("y", [*LABELS.values(), X[:, 0], X[:, :2]], ids=[*LABELS, "real", "vectors"])
def test_estimators_of_our_own_come_in(y: Any, scaled: bool) -> None:
    real = y.dtype.kind == "f"
    made = own.MLPRegressor if real else own.MLPClassifier
    model = made(hidden_layer_sizes=(5,), max_iter=3, random_state=0)
    with pytest.raises(NotInitializedError, match="has not been fitted"):
        cp.from_sklearn(model)
    model = make_pipeline(StandardScaler(), model) if scaled else model
    ours = cp.from_sklearn(model.fit(3 * X + 1, y))
    answer = "predict" if real else "predict_proba"
    found, expected = (getattr(one, answer)(3 * X + 1) for one in (ours, model))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)
    before = ours.theta.copy()
    ours.theta = 0 * before
    np.testing.assert_array_equal(cp.from_sklearn(model).theta, before)


def test_a_fit_of_no_epochs_leaves_no_curve() -> None:
    ours = cp.Network([cp.Dense(3, "softmax")], n_in=4, seed=0)
    ours.fit(X, THREE, epochs=1)
    ours.history = cp.History()
    assert cp.to_sklearn(ours).loss_curve_ == []


def test_dropout_before_the_first_layer_stays_behind() -> None:
    ours = cp.Network([cp.Dropout(0.2), cp.Dense(2)], n_in=4, seed=0, preprocessing=cp.Affine(1.0, 2.0))
    np.testing.assert_allclose(cp.to_sklearn(ours).predict(X), ours.outputs(X), **CLOSE)


@pytest.mark.parametrize("kind", ["three", "two", "many"])
def test_a_network_of_ours_goes_out_with_its_answers(kind: str) -> None:
    y = LABELS[kind]
    last = cp.Dense(activation="sigmoid" if kind == "many" else "softmax")
    ours = cp.Network([cp.Dense(8, "tanh"), cp.Dropout(0.2), cp.Dense(6, "tanh"), last], seed=0)
    ours.preprocessing = "standardize"
    ours.fit(3 * X + 1, y, epochs=5)
    theirs = cp.to_sklearn(ours)
    np.testing.assert_allclose(theirs.predict_proba(3 * X + 1), ours.predict_proba(3 * X + 1), rtol=1e-10)
    np.testing.assert_array_equal(theirs.predict(3 * X + 1), ours.predict(3 * X + 1))
    again = pickle.loads(pickle.dumps(theirs))
    np.testing.assert_array_equal(again.predict(X), theirs.predict(X))


@pytest.mark.parametrize("kind", ["three", "two", "many", "numbers"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_training_goes_on_in_scikit_learn(kind: str, solver: str) -> None:
    y = LABELS[kind]
    last = cp.Dense(activation="sigmoid" if kind == "many" else "softmax")
    ours = cp.Network([cp.Dense(8, "tanh"), last], seed=0)
    ours.fit(X, y, epochs=1)
    theirs = cp.to_sklearn(ours, solver=solver, random_state=0, learning_rate_init=0.01)
    before = theirs.score(X, y)
    for _ in range(60):
        theirs.partial_fit(X, y)
    assert theirs.score(X, y) > before
    assert theirs.loss_curve_[-1] < theirs.loss_curve_[-60]


def test_a_regressor_trains_on_in_scikit_learn() -> None:
    ours = cp.Network([cp.Dense(8, "tanh"), cp.Dense(1)], n_in=4, seed=0)
    theirs = cp.to_sklearn(ours, random_state=0, learning_rate_init=0.01)
    before = theirs.score(X, X[:, 0])
    for _ in range(60):
        theirs.partial_fit(X, X[:, 0])
    assert theirs.score(X, X[:, 0]) > before


def test_two_classes_in_an_order_of_their_own_stay_themselves() -> None:
    for last in (cp.Dense(1, "sigmoid"), cp.Dense(2, "softmax")):
        ours = cp.Network([cp.Dense(5, "relu"), last], n_in=4, classes=["yes", "no"], seed=1)
        ours.fit(X, TWO, epochs=3)
        theirs = cp.to_sklearn(ours)
        assert list(theirs.classes_) == ["no", "yes"]
        np.testing.assert_array_equal(theirs.predict(X), ours.predict(X))
        np.testing.assert_allclose(theirs.predict_proba(X), ours.predict_proba(X)[:, ::-1], rtol=1e-10)


def test_float32_stays_float32() -> None:
    theirs = classifier(THREE, np.float32)
    ours = cp.from_sklearn(theirs)
    assert ours.dtype == np.float32
    back = cp.to_sklearn(ours)
    assert back.coefs_[0].dtype == back.predict_proba(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("scaler", [StandardScaler(), StandardScaler(with_mean=False), MinMaxScaler((-1, 1))])
def test_a_pipeline_of_scalers_comes_in_as_preprocessing(scaler: Any) -> None:
    wide = 100 * X + 7
    theirs = make_pipeline(scaler, MLPClassifier((5,), max_iter=20, random_state=0)).fit(wide, THREE)
    ours = cp.from_sklearn(theirs)
    assert isinstance(ours.preprocessing, cp.Affine)
    np.testing.assert_allclose(ours.predict_proba(wide), theirs.predict_proba(wide), rtol=1e-10)


def test_feature_names_go_along_both_ways() -> None:
    import pandas as pd

    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    theirs = MLPClassifier((5,), max_iter=5, random_state=0).fit(frame, THREE)
    ours = cp.from_sklearn(theirs)
    assert ours.extra["data"]["feature_names"] == ["a", "b", "c", "d"]
    back = cp.to_sklearn(ours)
    assert list(back.feature_names_in_) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(back.predict(frame), theirs.predict(frame))


def test_what_cannot_come_in_is_said() -> None:
    with pytest.raises(NotInitializedError, match=r"this MLPClassifier has not been fitted. Call its fit"):
        cp.from_sklearn(MLPClassifier())
    with pytest.raises(DTypeError, match=r"reads an MLPClassifier or MLPRegressor.* Got StandardScaler\."):
        cp.from_sklearn(StandardScaler())
    theirs = make_pipeline(RobustScaler(), MLPClassifier((5,), max_iter=5, random_state=0)).fit(X, THREE)
    with pytest.raises(UnsupportedError, match="step RobustScaler cannot be carried over"):
        cp.from_sklearn(theirs)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([cp.Dense(3, "gelu"), cp.Dense(2, "softmax")], "activations gelu cannot be carried over"),
        ([cp.Dense(3, "relu"), cp.Dense(3, "tanh"), cp.Dense(1)], "activations relu, tanh cannot"),
        ([cp.Dense(3, "relu"), cp.Dense(2, "tanh")], "output activation 'tanh' cannot be carried over"),
        ([cp.Dense(3), cp.BatchNorm(), cp.Dense(1)], r"layers\[2\] BatchNorm cannot be carried over"),
        ([cp.Residual([cp.Dense(4)]), cp.Dense(1)], r"layers\[1\] Residual cannot be carried over"),
    ],
)
def test_what_cannot_go_out_is_said(layers: list[Any], said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        cp.to_sklearn(cp.Network(layers, n_in=4))


def test_several_sigmoids_for_one_class_each_cannot_go_out() -> None:
    ours = cp.Network([4, 5, 3], seed=0)
    ours.fit(X, THREE, epochs=1)
    with pytest.raises(UnsupportedError, match="several sigmoid outputs for classes that exclude"):
        cp.to_sklearn(ours)


def test_what_the_network_decides_is_not_to_be_given() -> None:
    ours = cp.Network([4, 5, 1], seed=0)
    with pytest.raises(OptionError, match="to_sklearn takes activation from the network"):
        cp.to_sklearn(ours, activation="relu")
    with pytest.raises(DTypeError, match=r"a clearprop\.Network is wanted. Got list"):
        cp.to_sklearn([4, 5, 1])


def test_the_warning_that_is_ignored_here_exists() -> None:
    with pytest.warns(ConvergenceWarning):
        classifier(THREE)
