"""Data sets: the made shapes, digits, how sets are split, and the one door to all of them."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from clearprop import datasets
from clearprop.datasets import Dataset, load_dataset, split, split_indices
from clearprop.errors import DataError, MissingDependencyError, OptionError, ShapeError, UnknownNameError


def rows(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The examples as rows (x0, x1, y), sorted, so that sets compare up to order."""
    table = np.column_stack([X.round(12) + 0.0, y])
    return table[np.lexsort(table.T)]


# ---- made shapes


def test_toy_step_is_the_sources() -> None:
    X, y = datasets.toy_step()
    N = np.linspace(-5, 5, 1000).reshape(1000, 1)
    assert np.array_equal(X, N)
    assert np.array_equal(y, ((N > 0).astype(int) * 2 - 1).reshape(1000, 1))
    assert y.dtype == np.float64
    assert X[:2].ravel().round(8).tolist() == [-5.0, -4.98998999]


def test_xor() -> None:
    X, y = datasets.xor()
    assert [(int(a) ^ int(b)) for a, b in X] == y.tolist()
    assert sorted(map(tuple, X.tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("n", [2, 7, 100])
def test_moons_and_circles_have_the_geometry_of_scikit_learn(n: int) -> None:
    theirs = sklearn.datasets.make_moons(n, noise=None, shuffle=False)
    np.testing.assert_allclose(rows(*datasets.moons(n, noise=0)), rows(*theirs), atol=1e-12)
    theirs = sklearn.datasets.make_circles(n, factor=0.3, noise=None, shuffle=False)
    np.testing.assert_allclose(rows(*datasets.circles(n, factor=0.3, noise=0)), rows(*theirs), atol=1e-12)


def test_spirals_wind_as_often_as_asked() -> None:
    X, y = datasets.spirals(301, turns=2, arms=3, noise=0, shuffle=False)
    assert Counter(y.tolist()) == {0: 101, 1: 100, 2: 100}
    for arm in range(3):
        points = X[y == arm]
        radius = np.hypot(points[:, 0], points[:, 1])
        angle = np.unwrap(np.arctan2(points[:, 1], points[:, 0]))
        np.testing.assert_allclose(radius, np.arange(1, len(points) + 1) / len(points))
        turned = np.polyfit(radius, angle, 1)
        assert turned[0] == pytest.approx(2 * 2 * np.pi)
        assert np.cos(turned[1] - 2 * np.pi * arm / 3) == pytest.approx(1)


@pytest.mark.parametrize("make", [datasets.moons, datasets.circles, datasets.spirals])
def test_noise_and_order_follow_the_seed(make: object) -> None:
    X, y = make(400, noise=0.3, seed=1)  # type: ignore[operator]
    again = make(400, noise=0.3, seed=1)  # type: ignore[operator]
    assert np.array_equal(X, again[0])
    assert np.array_equal(y, again[1])
    assert not np.array_equal(X, make(400, noise=0.3, seed=2)[0])  # type: ignore[operator]
    # Noise belongs to the point, the order is drawn apart from it.
    noisy, _ = make(400, noise=0.3, seed=1, shuffle=False)  # type: ignore[operator]
    clean, labels = make(400, noise=0, seed=1, shuffle=False)  # type: ignore[operator]
    assert np.std(noisy - clean) == pytest.approx(0.3, rel=0.1)
    assert (np.diff(labels) >= 0).all()
    assert np.array_equal(rows(X, y), rows(noisy, labels))
    assert not (np.diff(y) >= 0).all()


def test_golden_moons() -> None:
    X, y = datasets.moons(6, noise=0.1, seed=0)
    assert X.round(6).tolist() == [
        [-0.101121, 0.873984],
        [-0.08956, 0.484025],
        [0.932005, -0.668625],
        [-0.938082, -0.037659],
        [2.087378, 0.618941],
        [0.984388, -0.113932],
    ]
    assert y.tolist() == [0, 1, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: datasets.moons(1), "n must be an integer of at least 2, got 1"),
        (lambda: datasets.moons(10.0), "n must be an integer"),  # type: ignore[arg-type]
        (lambda: datasets.moons(10, noise=-1), "noise must be a finite number >= 0. Got -1"),
        (lambda: datasets.moons(10, noise=float("nan")), "noise must be a finite number >= 0"),
        (
            lambda: datasets.circles(10, factor=1),
            r"factor of circles must be a finite number >= 0 and < 1. Got 1",
        ),
        (lambda: datasets.spirals(10, arms=1), "arms must be an integer of at least 2"),
        (lambda: datasets.spirals(2, arms=3), "n must be an integer of at least 3"),
        (lambda: datasets.toy_step(0), "n must be an integer of at least 1"),
    ],
)
def test_wrong_shapes_are_refused(call: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call()  # type: ignore[operator]


# ---- digits


def test_digits_are_scikit_learns() -> None:
    digits = datasets.digits()
    theirs = sklearn.datasets.load_digits()
    assert np.array_equal(digits.X_train, theirs.data)
    assert np.array_equal(digits.y_train, theirs.target)
    assert digits.image_shape == (8, 8)
    assert digits.class_names == tuple("0123456789")
    assert digits.feature_names[9] == "pixel_1_1"
    assert repr(digits) == (
        "Dataset('digits': 1797 examples for training, no test part, 64 features, 10 classes)"
    )
    assert digits.X_train.max() == 16
    for dtype in (np.float32, np.float64):
        scaled = digits.scaled(dtype)
        assert scaled.X_train.dtype == dtype
        assert np.array_equal(scaled.X_train, theirs.data / 16)
        assert scaled.scale == 1


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'clearprop\[sklearn\]'"):
        datasets.digits()


# ---- Dataset and split


def small(**changes: object) -> Dataset:
    fields: dict[str, object] = {
        "name": "small",
        "X_train": np.zeros((4, 2)),
        "y_train": np.zeros(4),
        "X_test": None,
        "y_test": None,
        "feature_names": ("u", "v"),
        "class_names": None,
        "image_shape": None,
        "description": "",
    }
    return Dataset(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.zeros(3)}, r"X_train has shape \(4, 2\), y_train \(3,\)"),
        ({"feature_names": ("u",)}, "X_train has 2 features, but there are 1 names"),
        ({"X_test": np.zeros((1, 2))}, "only one of X_test and y_test"),
        ({"X_test": np.zeros((1, 3)), "y_test": np.zeros(1)}, "X_test has 3 features"),
    ],
)
def test_a_dataset_whose_sizes_do_not_fit_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        small(**changes)


def test_split_keeps_every_example_once_and_the_shares_of_the_classes() -> None:
    y = np.repeat([0, 1, 2], [700, 250, 50])
    X = np.arange(1000).reshape(1000, 1)
    parts = split(X, y, 0.2, seed=3)
    assert sorted([*parts.X_train.ravel().tolist(), *parts.X_test.ravel().tolist()]) == list(range(1000))
    assert np.bincount(parts.y_test).tolist() == [140, 50, 10]
    assert np.array_equal(y[parts.X_train.ravel()], parts.y_train)
    assert (np.diff(parts.y_train) < 0).any()  # in random order
    assert np.array_equal(split(X, y, 0.2, seed=3).X_test, parts.X_test)
    assert not np.array_equal(split(X, y, 0.2, seed=4).X_test, parts.X_test)


def test_split_rounds_by_largest_remainders_and_never_empties_a_class() -> None:
    y = ["a"] * 5 + ["b"] * 4 + ["c"]
    for seed in range(5):
        train, test = split_indices(y, 0.5, seed)
        assert len(test) == 5
        assert Counter(np.array(y)[train].tolist())["c"] == 1
    _, test = split_indices(np.array(["x", "y", None, "x", "y", None], dtype=object), 0.5)
    assert len(test) == 3


def test_split_of_real_targets_is_not_stratified() -> None:
    y = np.arange(10.0)
    train, test = split_indices(y, 0.3, 0)
    assert len(test) == 3
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(10))
    assert len(split_indices(y, 0.001)[1]) == 1
    assert len(split_indices(y, 0.999)[0]) == 1
    assert len(split_indices(np.zeros((10, 3), int), 0.3)[1]) == 3


def test_golden_split() -> None:
    train, test = split_indices([0, 1] * 5, 0.4, seed=7)
    assert (train.tolist(), test.tolist()) == ([9, 0, 6, 1, 7, 8], [3, 4, 5, 2])


@pytest.mark.parametrize(
    ("y", "fraction", "error", "message"),
    [
        ([0, 1, 0], 0.0, OptionError, r"test_fraction must be a finite number > 0 and < 1. Got 0.0"),
        ([0, 1, 0], 1.0, OptionError, "test_fraction"),
        ([0, 1, 0], float("nan"), OptionError, "test_fraction"),
        ([0], 0.5, DataError, "at least 2 examples"),
        ([0, 1, 2], 0.5, DataError, "each of the 3 classes has a single example"),
    ],
)
def test_wrong_splits(y: list[int], fraction: float, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        split_indices(y, fraction)


def test_split_names_both_shapes() -> None:
    with pytest.raises(ShapeError, match=r"X has shape \(3, 2\) and y has shape \(2,\)"):
        split(np.zeros((3, 2)), [0, 1])


# ---- load_dataset


@pytest.mark.parametrize("name", [n for n in datasets.dataset_names() if "mnist" not in n])
def test_every_name_loads(name: str) -> None:
    dataset = load_dataset(name)
    assert dataset.name == name
    assert dataset.X_test is None
    assert dataset.task == ("regression" if name == "toy_step" else "classification")
    if dataset.class_names is not None:
        assert set(dataset.y_train.tolist()) == set(range(len(dataset.class_names)))
        parts = load_dataset(name, test_fraction=0.25, seed=1)
        assert parts.X_test is not None
        assert len(parts.X_train) + len(parts.X_test) == len(dataset.X_train)


def test_options_and_seed_are_passed_on() -> None:
    dataset = load_dataset("circles", n=50, factor=0.3, seed=4)
    X, y = datasets.circles(50, factor=0.3, seed=4)
    assert np.array_equal(dataset.X_train, X)
    assert np.array_equal(dataset.y_train, y)
    assert len(load_dataset("spirals", arms=4).class_names or ()) == 4


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ("monns", {}, UnknownNameError, "no data set named 'monns'. Did you mean 'moons'?"),
        ("moons", {"factor": 1}, OptionError, "'moons' has no option 'factor'; it has 'n', 'noise'"),
        ("moons", {"nois": 1}, OptionError, "Did you mean 'noise'?"),
        ("digits", {"path": "x"}, OptionError, "'digits' has no option 'path'; it has none"),
        ("digits", {"target": "x"}, OptionError, "has no option 'target'"),
        ("nowhere/data.csv", {}, FileNotFoundError, "there is no file nowhere/data.csv"),
        (Path("moons"), {}, FileNotFoundError, "there is no file moons"),
    ],
)
def test_wrong_sources(
    source: str | Path, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        load_dataset(source, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_a_test_part_of_its_own_is_not_split_again(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    X = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    np.savez(path, x_train=X, y_train=["b", "a", "b", "c"], x_test=X[:2], y_test=["c", "a"])
    dataset = load_dataset(path, test_fraction=0.5)
    assert dataset.X_test is not None
    assert dataset.y_test is not None
    assert dataset.X_test.shape == (2, 6)
    assert dataset.image_shape == (2, 3)
    assert dataset.class_names == ("a", "b", "c")
    assert (dataset.y_train.tolist(), dataset.y_test.tolist()) == ([1, 0, 1, 2], [2, 0])
    assert dataset.scale == 1 / 255
    with pytest.raises(OptionError, match="has a test part of its own with 2 examples"):
        dataset.split()


def test_an_npz_of_real_targets(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, x_train=np.ones((4, 3)), y_train=np.arange(4.0))
    dataset = load_dataset(str(path))
    assert dataset.task == "regression"
    assert dataset.feature_names == ("x0", "x1", "x2")
    np.savez(path, x_train=np.array([["a"]]), y_train=np.arange(1.0))
    with pytest.raises(DataError, match="'x_train' is <U1"):
        load_dataset(path)
