"""Targets of a regression at any unit: learned, given back and measured as they are."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import DataError
from clearprop.report.real import predicted_against_true
from clearprop.tabular import TabularModel, learn_encoding
from clearprop.training.scaling import TargetScale

A = np.linspace(1.0, 9.0, 120)
NOISE = np.random.default_rng(0).standard_normal(120)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def learn(clearprop, y, *more: str) -> tuple[int, str, str]:
    with Path("t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a", "noise", "y"], *zip(A.tolist(), NOISE.tolist(), y, strict=True)])
    job = ["--epochs", "150", "--hidden", "16", "--task", "regression", "--no-report", "--force"]
    return clearprop("train", "t.csv", "--target", "y", *job, *more)


def test_mean_and_deviation_at_any_magnitude():
    rows = np.array([[1.0, -4.0], [3.0, 4.0]])
    for unit in (1.0, 1e-290, 1e150, 2e299):
        found = TargetScale.of(rows * unit)
        np.testing.assert_allclose(found.shift, [2.0 * unit, 0.0], rtol=1e-15)
        np.testing.assert_allclose(found.scale, [unit, 4.0 * unit], rtol=1e-15)
        np.testing.assert_allclose(found(rows * unit), [[-1.0, -1.0], [1.0, 1.0]], rtol=1e-15)


def test_one_deviation_for_all_outputs():
    found = TargetScale.of(np.array([[1.0, 0.0], [3.0, 0.0]]), shared=True)
    np.testing.assert_allclose(found.scale, np.sqrt([0.5, 0.5]), rtol=1e-15)
    with pytest.raises(DataError, match="output 1 of the target is 0 in every row"):
        TargetScale.of(np.array([[1.0, 0.0], [3.0, 0.0]]))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-13, 1e12])
def test_the_same_number_everywhere_is_refused(value):
    with pytest.raises(DataError, match=re.escape(f"the target is {value:g} in every row: there")):
        TargetScale.of(np.full(7, value))


def test_what_differs_in_the_last_digits_is_not_called_the_same():
    found = TargetScale.of(1.7e12 + np.array([0.0, 1.0]))
    assert found.scale.tolist() == [0.5]


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([1.0, 1e301], r"the target holds 1e\+301 in data row 2; the largest usable number is ±1e\+300"),
        ([-2e305, 1e301], r"the target holds -2e\+305 in data row 1"),
        ([1.0, np.nan], "is NaN or infinite in data row 2"),
        ([0.0, 1e-304], "the values of the target differ by 5e-305, too little"),
    ],
)
def test_what_cannot_be_computed_with_is_refused(y, said):
    with pytest.raises(DataError, match=said):
        TargetScale.of(np.array(y))


@pytest.mark.parametrize(
    ("y", "dtype"),
    [
        (A, "float32"),
        (2000 + A, "float32"),
        (1e9 + A, "float64"),
        (A * 1e15, "float32"),
        (A * 6e23, "float64"),
        (A * 1e-13, "float32"),
        (A * 1e-30, "float64"),
    ],
)
def test_float64_where_float32_would_not_do(y, dtype):
    assert TargetScale.of(y).dtype("float32") == dtype
    assert TargetScale.of(y).dtype("float64") == "float64"


@pytest.mark.parametrize("unit", [6.022e23, 1e-13, 1e290])
def test_a_target_in_any_unit_is_learned(clearprop, unit):
    code, out, err = learn(clearprop, (A * unit).tolist(), "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["measured"]["r2"] > 0.9
    net = cp.load("t.safetensors")
    assert net.extra["training"]["measured"]["root_mean_squared_error"] < unit
    mean_square = net.extra["training"]["measured"]["mean_squared_error"]
    assert mean_square is None if unit == 1e290 else mean_square < unit**2
    assert "beyond what float32 is exact for: the network is float64" in err or unit == 1e-13
    code, out, _ = clearprop("show", "t.safetensors")
    assert code == 0
    assert ("mean_squared_error beyond 1.8e308" in out) == (unit == 1e290)


def test_a_mean_far_from_zero_is_learned_and_measured(clearprop):
    code, out, err = learn(clearprop, (1e9 + A).tolist(), "--json")
    assert code == 0, err
    assert "target 'y' reaches from 1000000001 to 1000000009, beyond what float32" in err
    measured = json.loads(out)["measured"]
    net = cp.load("t.safetensors")
    assert (net.dtype, net.extra["training"]["settings"]["dtype"]) == (np.float64, "float64")
    predicted = TabularModel.load("t.safetensors").predict({"a": A, "noise": NOISE})
    error = np.sqrt(np.mean((predicted - (1e9 + A)) ** 2))
    assert error < 1.0 < np.std(A)  # float32 would give the same number, or one of two, for all
    assert measured["root_mean_squared_error"] == pytest.approx(error, rel=0.5)
    assert 0.9 < measured["r2"] < 1.0


def test_a_useless_model_is_not_called_perfect(clearprop, tmp_path):
    net = cp.Network([cp.Dense(1)], n_in=1, dtype="float32", task="regression", seed=0)
    y = 1e9 + NOISE
    net.fit(np.zeros((120, 1)), y, epochs=1, eta=0.01)
    net.W[1], net.b[1] = [[0.0]], [1e9]
    net.save("flat.safetensors")
    np.savetxt("flat.csv", np.c_[0 * A, y], "%.10f", ",", header="x,y", comments="")
    code, out, err = clearprop("evaluate", "flat.safetensors", "flat.csv", "--target", "y", "--json")
    assert code == 0, err
    measured = json.loads(out)
    assert measured["root_mean_squared_error"] == pytest.approx(np.sqrt(np.mean(NOISE**2)), rel=1e-6)
    assert measured["r2"] < 0.01


def test_a_feature_beyond_what_is_usable_is_named_with_its_row_in_the_file(clearprop):
    rows = [[str(i), str(a), str(2 * a)] for i, a in enumerate(A.tolist())]
    rows[90][1] = "-1.5e308"
    with Path("f.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["i", "wide", "y"], *rows])
    code, out, err = clearprop("train", "f.csv", "--target", "y")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "clearprop: f.csv: column 'wide' holds -1.5e+308 in data row 91; the largest usable number is "
        "±1e+300. Give it in a larger unit, or leave the value out."
    )


def test_features_at_the_limit_are_learned_and_beyond_it_predicted():
    wide = np.linspace(-1e300, 1e300, 400)
    encoding = learn_encoding({"wide": wide, "tiny": wide / 1e300 * 1e-300})
    inputs = encoding.encode({"wide": [1.7e308, -1.7e308, 0.0], "tiny": [1.7e308, 0.0, 1e-300]})
    assert np.isfinite(inputs).all()
    assert inputs[0, 0] == -inputs[1, 0] > 1.0


def test_a_row_is_counted_through_the_whole_table():
    ages = np.full(9000, None)
    ages[8999] = "old"
    with pytest.raises(DataError, match="column 'age' holds old in data row 9000; the model was trained on"):
        learn_encoding({"age": [1.0, 2.0, 3.0]}).encode({"age": ages})


@pytest.mark.parametrize("more", [[], ["--dtype", "float64"]])
def test_a_number_beyond_what_is_usable_is_named(clearprop, more):
    code, out, err = learn(clearprop, [*A[1:].tolist(), -1e308], *more)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "clearprop: t.csv: the target 'y' holds -1e+308 in data row 120; the largest usable number is "
        "±1e+300. Give it in a larger unit."
    )


def test_a_recording_of_a_float64_run_on_a_table_can_be_replayed(clearprop):
    code, _, err = learn(clearprop, (1e9 + A).tolist(), "--record", "r.safetensors")
    assert code == 0, err
    code, out, err = clearprop("replay", "r.safetensors", "t.csv", "--step", "3")
    assert code == 0, err
    assert "seed 0" in out


@pytest.mark.parametrize("y", [1e9 + A, A * 1e30, A * 1e-13])
def test_the_estimator_learns_any_unit(y):
    sklearn = pytest.importorskip("sklearn.metrics")
    from clearprop.tabular import TabularRegressor  # needs scikit-learn

    model = TabularRegressor(members=2, hidden=(16,), epochs=60, eta=0.02).fit({"a": A}, y)
    assert sklearn.r2_score(y / y.std(), model.predict({"a": A}) / y.std()) > 0.9
    path = model.save("e.safetensors")
    np.testing.assert_array_equal(TabularModel.load(path).predict({"a": A}), model.predict({"a": A}))


def test_residuals_of_a_small_unit_are_drawn(monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    edges = []
    monkeypatch.setattr(Axes, "hist", lambda self, values, bins, **options: edges.append(bins))
    predicted_against_true(A * 1e-15, A * 1e-15 + NOISE * 1e-16, "C")
    assert edges[0][-1] == pytest.approx(np.abs(NOISE).max() * 1e-16)
