"""What y means, how it is encoded, and that predict gives back the form it had."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

import clearprop as cp
from clearprop.errors import DataError, DTypeError, OptionError, ShapeError
from clearprop.training.targets import Targets

N = 40
RNG = np.random.default_rng(3)
X = RNG.normal(size=(N, 4))
SIDE = (X[:, 0] > 0).astype(int)
THIRD = SIDE + (X[:, 1] > 0)


def softmax(n=None):
    return cp.Network([cp.Dense(6, "tanh"), cp.Dense(n, "softmax")], seed=0)


def sigmoid(n=1, cost=None):
    return cp.Network([cp.Dense(6, "tanh"), cp.Dense(n, "sigmoid")], cost, seed=0)


def fitted(net, y, epochs=200):
    net.fit(X, y, epochs=epochs, optimizer=cp.Adam(0.03))
    return net


LABELS = {
    "text": np.array(["ant", "bee", "cat"])[THIRD],
    "wide text": np.array(["ant", "bee", "cat"])[THIRD].astype("<U20"),
    "int64": THIRD,
    "int8 from -1": (THIRD - 1).astype(np.int8),
    "uint16 from 500": (THIRD + 500).astype(np.uint16),
    "float64": THIRD.astype(float),
    "float32 from 2": (THIRD + 2).astype(np.float32),
    "objects of text": np.array(["x", "yy", "zzz"], dtype=object)[THIRD],
    "objects of ints": np.array([7, 8, 9], dtype=object)[THIRD],
    "one-hot float": np.eye(3)[THIRD],
    "one-hot int8": np.eye(3, dtype=np.int8)[THIRD],
    "one-hot bool": np.eye(3, dtype=bool)[THIRD],
    "bool": SIDE.astype(bool),
    "two texts": np.array(["no", "yes"])[SIDE],
    "two ints": SIDE * 3 + 1,
}


@pytest.mark.parametrize("kind", LABELS)
def test_predict_gives_back_labels_of_the_same_kind(kind):
    y = LABELS[kind]
    net = fitted(softmax(), y)
    predicted = net.predict(X)
    assert predicted.dtype == y.dtype
    assert predicted.shape == y.shape
    assert np.mean(np.all((predicted == y).reshape(N, -1), axis=1)) > 0.9
    assert set(predicted.reshape(-1).tolist()) <= set(y.reshape(-1).tolist())
    proba = net.predict_proba(X)
    assert proba.shape == (N, 2 if kind in ("bool", "two texts", "two ints") else 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert net.evaluate(X, y)["accuracy"] > 0.9


def test_lists_and_columns():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    names = LABELS["text"].tolist()
    thetas = [
        fitted(softmax(), y, 2).theta
        for y in (
            names,
            tuple(names),
            pandas.Series(names),
            pandas.Categorical(names),
            polars.Series(names),
            np.array(names, dtype=object),
        )
    ]
    assert all(np.array_equal(theta, thetas[0]) for theta in thetas)


TWO = {
    "one sigmoid": (lambda: sigmoid(), SIDE),
    "one sigmoid, text": (lambda: sigmoid(), np.array(["n", "y"])[SIDE]),
    "one sigmoid, 1 and 2": (lambda: sigmoid(), SIDE + 1),
    "one sigmoid, size left out": (lambda: sigmoid(None), SIDE.astype(bool)),
    "sigmoid, quadratic": (lambda: sigmoid(1, "quadratic"), SIDE),
    "two softmax": (lambda: softmax(2), SIDE),
    "tanh, hinge": (lambda: cp.Network([cp.Dense(6, "tanh"), cp.Dense(1, "tanh")], "hinge"), SIDE),
    "hinge, signs": (lambda: cp.Network([cp.Dense(6, "tanh"), cp.Dense(1)], "hinge"), 2 * SIDE - 1),
    "tanh, mse": (
        lambda: cp.Network([cp.Dense(6, "tanh"), cp.Dense(1, "tanh")], task="classification"),
        SIDE,
    ),
}


@pytest.mark.parametrize("case", TWO)
def test_two_classes(case):
    make, y = TWO[case]
    net = fitted(make(), y)
    assert net.predict(X).dtype == y.dtype
    assert np.mean(net.predict(X) == y) > 0.9
    measured = net.evaluate(X, y, metrics=["accuracy", "roc_auc", "f1"])
    assert measured["accuracy"] == np.mean(net.predict(X) == y)
    assert measured["roc_auc"] > 0.9
    assert net.history["accuracy"][-1] > 0.8


def test_a_target_is_encoded_as_the_cost_wants_it():
    y = np.array([1, 0, 2])
    one_hot = Targets.infer(y, cp.costs.CrossEntropy(), 3).encode(y, "float32")
    np.testing.assert_array_equal(one_hot, np.eye(3)[y])
    assert one_hot.dtype == np.float32
    signs = Targets.infer(y, cp.costs.Hinge(), 3)
    np.testing.assert_array_equal(signs.encode(y, float), 2 * np.eye(3)[y] - 1)
    np.testing.assert_array_equal(signs.decode(np.array([[-3.0, -1, -2]])), [1])
    rows = np.array([[1, -1], [-1, -1]])
    each = Targets.infer(rows, cp.costs.Hinge(), 2)
    assert (each.kind, each.low) == ("multilabel", -1)
    np.testing.assert_array_equal(each.decode(np.array([[0.2, -0.1]])), [[1, -1]])


def test_hinge_with_several_classes_trains():
    net = fitted(cp.Network([cp.Dense(8, "tanh"), cp.Dense(3)], "hinge", seed=0), LABELS["text"])
    assert np.mean(net.predict(X) == LABELS["text"]) > 0.9


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
def test_several_labels_of_each_example(dtype):
    y = np.stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 0], axis=1).astype(dtype)
    net = fitted(sigmoid(None), y, 60)
    assert net.targets.kind == "multilabel"
    assert net.predict(X).dtype == dtype
    assert np.mean(net.predict(X) == y) > 0.9
    np.testing.assert_array_equal(net.predict_proba(X), net.outputs(X))


@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 2)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_real_numbers_keep_their_shape(shape, dtype):
    y = (X[:, : int(np.prod(shape[1:], dtype=int))] * 3 + 10).reshape(shape).astype(dtype)
    net = fitted(cp.Network([cp.Dense(6, "tanh"), cp.Dense()], seed=0), y, 2)
    assert net.predict(X).shape == shape
    assert net.predict(X).dtype == np.float64  # the network's: nothing is rounded
    assert "accuracy" not in net.history.columns
    with pytest.raises(OptionError, match="needs probabilities"):
        net.predict_proba(X)


def test_soft_labels_stay_real():
    y = RNG.dirichlet(np.ones(3), size=N)
    net = fitted(softmax(), y, 2)
    assert net.targets.kind == "real"
    np.testing.assert_array_equal(net.predict(X), net.predict_proba(X))


def test_task_overrules():
    net = cp.Network([cp.Dense(1)], task="classification")
    assert set(fitted(net, SIDE, 1).predict(X)) <= {0, 1}
    net = cp.Network([cp.Dense(1, "sigmoid")], "quadratic", task="regression")
    assert fitted(net, SIDE, 1).predict(X).dtype == float
    net = cp.Network([cp.Dense(activation="softmax")], task="classification")
    assert fitted(net, THIRD + 0.5, 1).targets.classes == (0.5, 1.5, 2.5)


def test_a_class_missing_from_y_keeps_its_place():
    y = np.where(THIRD == 2, 4, THIRD)
    net = fitted(softmax(5), y, 1)
    assert net.targets.classes == (0, 1, 2, 3, 4)
    net = fitted(softmax(5), y.astype(float), 1)
    assert net.targets.classes == (0.0, 1.0, 2.0, 3.0, 4.0)


def test_classes_name_what_y_does_not_show():
    y = np.array(["a", "b"])[SIDE]
    net = cp.Network([cp.Dense(activation="softmax")], classes=["b", "a", "longer"])
    fitted(net, y, 1)
    assert net.model.n_out == 3
    assert net.targets.classes == ("b", "a", "longer")
    net.theta[:] = 0
    net.b[1][2] = 9
    assert net.predict(X[:1]).tolist() == ["longer"]  # not cut to the width of y
    y8 = SIDE.astype(np.int8)
    net = cp.Network([cp.Dense(activation="softmax")], classes=[0, 1, 300])
    fitted(net, y8, 1)
    net.theta[:] = 0
    net.b[1][2] = 9
    assert net.predict(X[:1]).tolist() == [300]


def test_classes_allow_a_first_fit_on_one_class():
    net = cp.Network([cp.Dense(activation="softmax")], classes=["a", "b"])
    net.fit(X[:3], ["a"] * 3, epochs=1)
    net.fit(X[:3], ["b"] * 3, epochs=1)


def test_going_on_with_one_class_is_allowed():
    net = fitted(softmax(), THIRD, 1)
    net.fit(X[:1], THIRD[:1], epochs=1)


def test_one_hot_rows_for_a_network_trained_on_labels():
    net = fitted(softmax(), THIRD, 3)
    assert net.evaluate(X, np.eye(3)[THIRD]) == net.evaluate(X, THIRD)


def test_sigmoid_outputs_of_exclusive_classes_share_one():
    net = fitted(sigmoid(3, "quadratic"), THIRD, 3)
    a = net.outputs(X)
    np.testing.assert_allclose(net.predict_proba(X), a / a.sum(1, keepdims=True))


def test_config_round_trip():
    for y in (LABELS["text"], SIDE, np.eye(3)[THIRD], X[:, 0]):
        targets = Targets.infer(y, cp.costs.MeanSquaredError(), None, task=None)
        assert Targets.from_config(targets.config()) == targets


class Opaque:
    def __repr__(self):
        return "<opaque>"


NAN = np.nan
BAD = {
    "nan": ([1.0, NAN, 2.0], DataError, "y holds nan in row 1"),
    "inf in rows": ([[1.0, 2.0], [3.0, np.inf]], DataError, "y holds inf in row 1, column 1"),
    "None": (["a", None, "b"], DataError, "y holds a missing value, None, in row 1"),
    "nan object": (np.array(["a", NAN, "b"], dtype=object), DataError, "missing value, nan, in row 1"),
    "mixed": (["a", 1, "b"], DataError, "mixes labels of the types int, str"),
    "mixed objects": (np.array(["a", 1], dtype=object), DataError, "mixes labels of the types int, str"),
    "objects": (
        np.array([Opaque(), Opaque()], dtype=object),
        DTypeError,
        "y holds <opaque> in row 0, a Opaque",
    ),
    "complex": ([1j, 2j], DTypeError, "complex128"),
    "dates": (np.array(["2020-01-01"], "datetime64[D]"), DTypeError, "datetime64"),
    "single": (3.0, ShapeError, "one target per example. Got 3.0"),
    "text": ("labels.csv", ShapeError, "one target per example. Got 'labels.csv'"),
    "generator": ((i for i in [1]), ShapeError, "one target per example. Got <generator"),
    "empty": ([], DataError, "y is empty"),
    "ragged": ([[1, 2], [3]], ShapeError, "rows of different lengths"),
    "three axes": (np.ones((2, 2, 2)), ShapeError, r"y has shape \(2, 2, 2\)"),
    "text rows": (np.array([["a"], ["b"]]), DTypeError, r"Give labels as \(examples,\): y.ravel\(\)"),
    "masked": (np.ma.array([1, 2], mask=[0, 1]), DataError, "masked"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_targets(case):
    y, error, message = BAD[case]
    with pytest.raises(error, match=message):
        Targets.infer(y, cp.costs.MeanSquaredError(), None)


MISFITS = {
    "one class": (softmax, ["a"] * N, DataError, "one class only, 'a'"),
    "one class, ints": (lambda: softmax(3), [1] * N, DataError, "one class only"),
    "one class, one-hot": (softmax, np.eye(3)[[1] * N], DataError, "one class only, in all 40"),
    "too many": (lambda: softmax(2), THIRD, ShapeError, "3 classes; the last layer has 2 outputs"),
    "too few": (lambda: softmax(4), LABELS["text"], DataError, r"3 classes; the last layer has 4 .*classes="),
    "out of range": (lambda: softmax(4), THIRD + 3, DataError, r"label 5; with 4 outputs .* 0 … 3"),
    "one sigmoid": (sigmoid, LABELS["text"], ShapeError, "3 classes; one output can tell two apart"),
    "real for softmax": (softmax, X[:, 0], DataError, "where cross_entropy compares classes"),
    "real for three": (lambda: cp.Network([cp.Dense(3)]), X[:, 0], ShapeError, r"Give y as \(examples, 3\)"),
    "rows": (lambda: softmax(4), np.eye(3)[THIRD], ShapeError, r"outputs=3\); the last layer has 4 outputs"),
    "negative": (sigmoid, X[:, 0], DataError, "needs targets that are in"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_targets_that_do_not_fit_the_network(case):
    make, y, error, message = MISFITS[case]
    with pytest.raises(error, match=message):
        make().fit(X, y)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (
            ["ant", "dog"],
            DataError,
            "holds the label 'dog' in row 1, which is none of the classes 'ant', 'bee'",
        ),
        ([1, 2], DataError, "y holds numbers; this network was trained on labels such as 'ant'"),
        ([b"ant", b"bee"], DTypeError, "y holds bytes; .*Decode them first"),
        (np.eye(2), ShapeError, r"labels must be \(examples,\)"),
    ],
)
def test_labels_that_the_network_never_saw(y, error, message):
    net = fitted(softmax(), LABELS["text"], 1)
    with pytest.raises(error, match=message):
        net.evaluate(X[:2], y)
    with pytest.raises(error, match=message.replace("y holds", "y_val holds")):
        net.fit(X, LABELS["text"], X_val=X[:2], y_val=y)


@pytest.mark.parametrize(
    ("classes", "task", "message"),
    [
        (["a"], None, "two or more different labels"),
        (["a", "a"], None, "two or more different labels"),
        ([1, 2], "regression", "does not go with task='regression'"),
        ([1, 2], "clasification", "Did you mean 'classification'"),
        ([["a"], ["b"]], None, "must be a list of labels"),
        (np.zeros((3, 2)), None, "must be a list of labels"),
        ([1, [2]], None, "must be a list of labels"),
    ],
)
def test_bad_classes(classes, task, message):
    with pytest.raises(OptionError, match=message):
        cp.Network([2, 2], classes=classes, task=task)


@pytest.mark.parametrize("classes", ["ab", 5])
def test_classes_are_a_list(classes):
    with pytest.raises(DTypeError, match=r"classes must be a list\. Got"):
        cp.Network([2, 2], classes=classes)
    with pytest.raises(DTypeError, match=r"classes must be a list\. Got"):
        cp.from_torch({"0.weight": np.ones((2, 2))}, activations="relu", output="softmax", classes=classes)


@pytest.mark.parametrize(
    "y", [np.array([b"a", b"b"])[SIDE], np.array([b"a", b"b"], dtype=object)[SIDE], [b"a", b"b"] * (N // 2)]
)
def test_bytes_are_refused_because_no_file_could_keep_them(y):
    net = softmax()
    with pytest.raises(DTypeError, match=r"y holds bytes; .*Decode them first"):
        net.fit(X, y)
    assert not net.is_built


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("form", ["matrix", "array"])
def test_sparse_targets_train_like_dense_ones(kind, form):
    sparse = getattr(scipy.sparse, f"{kind}_{form}")
    for rows, net in ((np.eye(3)[THIRD], softmax), (SIDE[:, None].astype(float), sigmoid)):
        found, expected = net(), net()
        options = {"epochs": 2, "validation_fraction": 0.2, "metrics": ["f1"]}
        found.fit(X, sparse(rows), **options)
        expected.fit(X, rows, **options)
        np.testing.assert_array_equal(found.theta, expected.theta)
        assert found.evaluate(X, sparse(rows)) == expected.evaluate(X, rows)


def test_classes_that_no_array_can_hold_are_refused() -> None:
    config = Targets("classes", 2, (1, 2), 0.0, True, "int64").config()
    assert Targets.from_config(config).classes == (1, 2)
    with pytest.raises(OptionError, match="have 2 different labels as classes"):
        Targets.from_config({**config, "classes": [10**30, 1]})
