"""Metrics: worked by hand, against scikit-learn, and where the shapes or labels are awkward."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clearprop.errors import (
    ClearpropError,
    DataError,
    MissingDependencyError,
    OptionError,
    ShapeError,
    UnknownNameError,
)
from clearprop.training.metrics import (
    AUC,
    F1,
    R2,
    TASKS,
    Accuracy,
    BalancedAccuracy,
    LogLoss,
    MeanAbsoluteError,
    Metric,
    RootMeanSquaredError,
    TopKAccuracy,
    correct,
    greater_is_better,
    metrics,
    metrics_for,
)

sk = pytest.importorskip("sklearn.metrics")

N, K = 60, 4


def data(task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y_true, outputs and weights of a network that is often right."""
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.1, 3, N)
    if task == "regression":
        y = rng.normal(size=(N, K))
        return y, y + rng.normal(size=(N, K)) * [0.1, 0.5, 1, 2], weight
    if task == "multilabel":
        y = rng.integers(0, 2, (N, K))
        return y, np.clip(0.6 * y + 0.2 + 0.3 * rng.normal(size=(N, K)), 0.01, 0.99), weight
    k = 2 if task == "binary" else K
    y = rng.integers(0, k, N)
    z = 1.5 * np.eye(k)[y] + rng.normal(size=(N, k))
    a = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return y, (a[:, 1:] if task == "binary" else a), weight


def peer(metric: Metric, task: str, y: Any, a: Any, w: Any) -> float:
    """The same metric by scikit-learn, called directly."""
    if task == "multilabel":
        predicted = (a > 0.5).astype(int)
    else:
        predicted = (a[:, 0] > 0.5).astype(int) if task == "binary" else a.argmax(axis=1)
    binary = task == "binary"
    match metric:
        case Accuracy():
            return sk.accuracy_score(y, predicted, sample_weight=w)
        case TopKAccuracy():
            return sk.top_k_accuracy_score(y, a, k=metric.k, sample_weight=w)
        case BalancedAccuracy():
            return sk.balanced_accuracy_score(y, predicted, sample_weight=w)
        case LogLoss() if task == "multilabel":
            return float(np.mean([sk.log_loss(y[:, j], a[:, j], sample_weight=w) for j in range(K)]))
        case LogLoss():
            return sk.log_loss(y, a[:, 0] if binary else a, sample_weight=w)
        case AUC() if task == "multiclass":
            # scikit-learn's own one-vs-rest takes no sample weights.
            return float(np.mean([sk.roc_auc_score(y == j, a[:, j], sample_weight=w) for j in range(K)]))
        case AUC():
            return sk.roc_auc_score(y, a[:, 0] if binary else a, average="macro", sample_weight=w)
        case F1():
            average = "binary" if binary else metric.average
            return sk.f1_score(y, predicted, average=average, sample_weight=w)
        case MeanAbsoluteError():
            return sk.mean_absolute_error(y, a, sample_weight=w)
        case RootMeanSquaredError():
            return sk.root_mean_squared_error(y, a, sample_weight=w)
        case R2():
            return sk.r2_score(y, a, sample_weight=w)
    raise AssertionError(f"no peer for {metric.name}")


INSTANCES: list[Metric] = [metrics.make({"name": "top_k_accuracy", "k": 2})] + [
    metrics.make(name) for name in metrics if name != "top_k_accuracy"
]
INSTANCES += [F1("micro"), F1("weighted"), TopKAccuracy(3)]
CASES = [(metric, task) for metric in INSTANCES for task in TASKS if task in metric.tasks]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("metric", "task"), CASES, ids=lambda value: str(value))
def test_equals_sklearn(metric: Metric, task: str, weighted: bool) -> None:
    y, a, weight = data(task)
    w = weight if weighted else None
    ours = metric(y, a, w)
    assert type(ours) is float
    assert ours == pytest.approx(peer(metric, task, y, a, w), rel=1e-12)
    assert metric(y, a, w, task=task) == ours
    if weighted:
        assert ours != metric(y, a)


def test_auc_of_classes_equals_sklearns_one_vs_rest() -> None:
    y, a, _ = data("multiclass")
    assert AUC()(y, a) == pytest.approx(sk.roc_auc_score(y, a, multi_class="ovr"), rel=1e-12)


@pytest.mark.parametrize("metric", [m for m in INSTANCES if "binary" in m.tasks], ids=repr)
def test_two_softmax_outputs_mean_the_same_as_one_sigmoid(metric: Metric) -> None:
    y, a, weight = data("binary")
    two = np.hstack([1 - a, a])
    assert metric(y, two, weight) == pytest.approx(metric(y, a, weight), rel=1e-12)
    assert metric(y, a[:, 0], weight) == metric(y, a, weight) == metric(y[:, None], a, weight)


@pytest.mark.parametrize(("metric", "task"), CASES, ids=lambda value: str(value))
def test_examples_of_weight_zero_are_not_there(metric: Metric, task: str) -> None:
    y, a, _ = data(task)
    kept = y == 1 if task == "binary" else np.arange(N) < N // 2
    if task == "binary":
        kept[:10] = True  # both classes, which AUC needs
    assert metric(y, a, kept.astype(float)) == pytest.approx(metric(y[kept], a[kept]), rel=1e-12)


@pytest.mark.parametrize(("metric", "task"), CASES, ids=lambda value: str(value))
def test_float32_outputs_and_inputs_left_alone(metric: Metric, task: str) -> None:
    y, a, weight = data(task)
    single = a.astype(np.float32)
    kept = y.copy(), single.copy(), weight.copy()
    assert metric(y, single, weight) == pytest.approx(metric(y, a, weight), rel=1e-5)
    assert all(np.array_equal(x, k) for x, k in zip((y, single, weight), kept, strict=True))


OUTPUTS = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.3, 0.5], [0.4, 0.35, 0.25]])


def test_classes_by_hand() -> None:
    y = np.array([0, 2, 2, 1])  # predicted: 0, 1, 2, 0
    assert Accuracy()(y, OUTPUTS) == 0.5
    assert Accuracy()(y, OUTPUTS, np.array([3.0, 1, 1, 1])) == pytest.approx(4 / 6)
    assert TopKAccuracy(2)(y, OUTPUTS) == 1.0
    assert TopKAccuracy(1)(y, OUTPUTS) == 0.5
    assert BalancedAccuracy()(y, OUTPUTS) == pytest.approx((1 + 0 + 0.5) / 3)
    # F1: class 0: 2 / (2 + 1), class 1: 0, class 2: 2 / (2 + 1)
    assert F1()(y, OUTPUTS) == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert F1("micro")(y, OUTPUTS) == 0.5
    expected = -(math.log(0.7) + math.log(0.4) + math.log(0.5) + math.log(0.35)) / 4
    assert LogLoss()(y, OUTPUTS) == pytest.approx(expected, rel=1e-12)
    # class 0: 1 of 1 over 3 others; class 1: 0.35 above 0.2, 0.3, below 0.5; class 2: all above
    assert AUC()(y, OUTPUTS) == pytest.approx((1 + 2 / 3 + 1) / 3)


def test_labels_by_hand() -> None:
    y = np.array([[1, 0], [0, 0], [1, 1]])
    a = np.array([[0.9, 0.1], [0.6, 0.2], [0.8, 0.7]])
    assert Accuracy()(y, a) == pytest.approx(2 / 3)  # every label of an example must be right
    assert F1()(y, a) == pytest.approx((4 / 5 + 1) / 2)
    assert AUC()(y, a) == 1.0
    logs = [math.log(p) for p in (0.9, 0.4, 0.8, 0.9, 0.8, 0.7)]
    assert LogLoss()(y, a) == pytest.approx(-sum(logs) / 6, rel=1e-12)


def test_real_numbers_by_hand() -> None:
    y, a = np.array([[1.0, 10], [3, 20]]), np.array([[1.0, 13], [5, 24]])
    assert MeanAbsoluteError()(y, a) == (1 + 3.5) / 2
    assert RootMeanSquaredError()(y, a) == pytest.approx((math.sqrt(2) + math.sqrt(12.5)) / 2)
    assert R2()(y, a) == pytest.approx((1 - 4 / 2 + 1 - 25 / 50) / 2)
    assert MeanAbsoluteError()(y[:, 0], a[:, :1]) == 1.0


def test_threshold() -> None:
    y, a = np.array([1, 0, 1]), np.array([[0.2], [-0.7], [-0.1]])  # tanh: the middle is 0
    assert Accuracy()(y, a) == pytest.approx(1 / 3)
    assert Accuracy(threshold=0.0)(y, a) == pytest.approx(2 / 3)
    assert BalancedAccuracy(threshold=0.0)(y, a) == pytest.approx(0.75)
    assert F1(threshold=0.0)(y, a) == pytest.approx(2 / 3)
    assert Accuracy()(np.array([0]), np.array([[0.5]])) == 1.0  # above, not at


@pytest.mark.parametrize("metric", [m for m in INSTANCES if "multiclass" in m.tasks], ids=repr)
def test_classes_missing_in_the_batch_give_a_number_without_warnings(metric: Metric) -> None:
    y = np.array([0, 0, 2, 2])
    a = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.5, 0.2, 0.2, 0.1]])
    assert 0 < metric(y, a) < 2


def test_classes_missing_in_the_batch_by_hand() -> None:
    y, a = np.array([0, 0]), np.array([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1]])
    assert Accuracy()(y, a) == BalancedAccuracy()(y, a) == 0.5
    assert LogLoss()(y, a) == pytest.approx(-(math.log(0.6) + math.log(0.3)) / 2, rel=1e-12)
    assert F1()(y, a) == pytest.approx((2 / 3 + 0) / 2)  # class 1 is predicted, class 2 is nowhere
    with pytest.raises(DataError, match="roc_auc has no value: y_true holds one class only"):
        AUC()(y, a)
    assert AUC()(np.array([0, 1]), a) == 1.0  # class 2 is left out
    assert F1()(np.array([0, 0]), np.array([[0.1], [0.2]])) == 0.0


def test_log_loss_of_certain_and_of_unnormalised_outputs() -> None:
    y = np.array([0, 1])
    assert LogLoss()(y, np.array([[1.0], [0.0]])) == pytest.approx(-math.log(np.finfo(float).eps), rel=1e-9)
    assert LogLoss()(y, np.array([[0.0], [1.0]])) == pytest.approx(0, abs=1e-12)
    sigmoids = np.array([[0.9, 0.9, 0.0], [0.1, 0.2, 0.1]])
    assert LogLoss()(y, sigmoids) == pytest.approx(math.log(2), rel=1e-12)
    nothing = np.zeros((2, 3))  # every sigmoid at 0 says nothing: uniform
    assert LogLoss()(y, nothing) == pytest.approx(math.log(3), rel=1e-12)
    rounded = np.nextafter(np.float32(1), np.float32(2))
    assert LogLoss()(np.array([1]), np.array([[rounded]])) == pytest.approx(0, abs=1e-12)


def test_correct_is_per_example() -> None:
    assert correct("multiclass", np.array([0, 2, 2, 1]), OUTPUTS).tolist() == [True, False, True, False]
    assert correct("binary", np.array([1, 1]), np.array([[0.6], [0.4]])).tolist() == [True, False]
    labels = np.array([[1, 0], [1, 1]])
    assert correct("multilabel", labels, np.array([[0.9, 0.1], [0.9, 0.1]])).tolist() == [True, False]


def test_greater_is_better() -> None:
    better = {name for name in metrics if metrics[name].greater_is_better}
    assert set(metrics) - better == {"log_loss", "mean_absolute_error", "root_mean_squared_error"}
    assert greater_is_better("val_r2")
    assert greater_is_better("auc")
    assert not greater_is_better("val_log_loss")
    assert not greater_is_better("val_cost")


@pytest.mark.parametrize(("metric", "task"), CASES, ids=lambda value: str(value))
def test_a_perfect_fit_is_better_than_a_poor_one(metric: Metric, task: str) -> None:
    y, a, _ = data(task)
    if task in ("multilabel", "regression"):
        perfect = y.astype(float)
    else:
        perfect = y[:, None].astype(float) if task == "binary" else np.eye(K)[y]
    best, poor = metric(y, perfect), metric(y, a)
    assert best > poor if metric.greater_is_better else best < poor
    assert best == pytest.approx(1.0 if metric.greater_is_better else 0.0, abs=1e-12)


def test_metrics_for_each_task() -> None:
    for task in TASKS:
        assert metrics_for(task) == [name for name in metrics if task in metrics[name].tasks]
        assert len(metrics_for(task)) >= 3
    with pytest.raises(OptionError, match="task must be one of"):
        metrics_for("ranking")


@pytest.mark.parametrize("metric", INSTANCES, ids=repr)
def test_config_round_trip_through_json(metric: Metric) -> None:
    assert metrics.make(json.loads(json.dumps(metric.config()))) == metric


@pytest.mark.parametrize("alias", ["auc", "mae", "rmse", "top_k"])
def test_short_names(alias: str) -> None:
    assert isinstance(metrics.make(alias), Metric)


CLASSES, ONE = np.array([0, 1, 2]), np.array([[0.1], [0.9], [0.4]])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: metrics.make("acuracy"),
            UnknownNameError,
            "unknown metric 'acuracy'. Did you mean 'accuracy'?",
        ),
        (
            lambda: R2().check_task("binary"),
            OptionError,
            "metric 'r2' is for 'regression'; this task is 'binary'.",
        ),
        (lambda: R2().check_task("binary"), OptionError, "Choose one of 'accuracy', 'balanced_accuracy'"),
        (lambda: TopKAccuracy()(CLASSES % 2, ONE), OptionError, "is for 'multiclass'; this task is 'binary'"),
        (lambda: BalancedAccuracy()(np.eye(3), np.eye(3)), OptionError, "this task is 'multilabel'"),
        (lambda: Accuracy()(CLASSES, np.eye(3), task="regression"), OptionError, "this task is 'regression'"),
        (lambda: R2()(CLASSES, np.eye(3)), ShapeError, "y_true has shape (3,), outputs have shape (3, 3)"),
        (
            lambda: Accuracy()(CLASSES, ONE),
            DataError,
            "class indices from 0 to 1 in y_true, one per example. Got 2.",
        ),
        (lambda: Accuracy()(CLASSES - 1, ONE), DataError, "Got -1."),
        (lambda: Accuracy()(CLASSES / 2, ONE), DataError, "Got 0.5."),
        (lambda: Accuracy()(np.array(["a", "b", "c"]), ONE), DataError, "encode the labels first"),
        (lambda: Accuracy()(CLASSES[:2], ONE), ShapeError, "Got (2,) and (3, 1)."),
        (lambda: Accuracy()(CLASSES, np.ones((3, 3, 1))), ShapeError, "outputs (n, k)"),
        (lambda: Accuracy()(CLASSES, np.eye(3), task="binary"), ShapeError, "needs one output or two"),
        (lambda: Accuracy()(CLASSES, ONE, task="multiclass"), ShapeError, "needs one output per class"),
        (lambda: Accuracy()(np.eye(3), np.eye(3), task="multiclass"), ShapeError, "Got shape (3, 3)."),
        (lambda: Accuracy()(CLASSES[:0], ONE[:0]), DataError, "y_true is empty"),
        (lambda: Accuracy()(CLASSES, ONE * np.nan), DataError, "needs finite outputs"),
        (lambda: R2()(CLASSES * np.nan, ONE), DataError, "needs finite y_true"),
        (lambda: R2()(CLASSES[:1], ONE[:1]), DataError, "r2 has no value for one example"),
        (
            lambda: LogLoss()(CLASSES % 2, ONE - 0.5),
            DataError,
            "they range from -0.4 to 0.4. Give the last layer",
        ),
        (
            lambda: TopKAccuracy(3)(CLASSES, np.eye(3)),
            OptionError,
            "is always 1 for 3 classes. Set k below 3.",
        ),
        (lambda: TopKAccuracy(0), OptionError, "k of TopKAccuracy must be a whole number >= 1. Got 0."),
        (lambda: F1("binary"), OptionError, "average of F1 must be one of 'macro', 'weighted', 'micro'."),
        (
            lambda: Accuracy()(CLASSES % 2, ONE, np.ones(2)),
            ShapeError,
            "has shape (2,); y_true has n=3 examples",
        ),
        (lambda: Accuracy()(CLASSES % 2, ONE, np.zeros(3)), DataError, "must be finite, >= 0 and not all 0"),
        (lambda: Accuracy()(CLASSES % 2, ONE, np.array([1, 1, -1])), DataError, "must be finite, >= 0"),
    ],
)
def test_errors_are_one_clear_sentence(make: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
    assert isinstance(caught.value, ClearpropError)


def test_without_sklearn_accuracy_and_errors_work_and_the_rest_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    y, a, weight = data("multiclass")
    Accuracy()(y, a, weight)
    y, a, weight = data("regression")
    MeanAbsoluteError()(y, a, weight)
    RootMeanSquaredError()(y, a, weight)
    with pytest.raises(
        MissingDependencyError, match=r"'r2' needs scikit-learn\. Run: pip install scikit-learn"
    ):
        R2()(y, a, weight)
