"""Values of tables: one thing written in several ways, kinds that do not fit, odd targets."""

from __future__ import annotations

import datetime
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from clearprop.errors import DataError, DTypeError, ShapeError
from clearprop.predict import main
from clearprop.tabular import TabularClassifier, TabularRegressor, learn_encoding, read, reading
from clearprop.tabular.targets import as_labels

UTC = datetime.UTC
DAY = pd.Timestamp("2024-01-01")


# One level, written in several ways ----------------------------------------------------------------

CODES = {
    "floats with gaps": lambda k: pd.Series(np.where(k == 3, np.nan, k)),
    "fractions": lambda k: pd.Series(k + 0.5),
    "float32": lambda k: pd.Series((k / 10).astype(np.float32)),
    "long identifiers": lambda k: pd.Series(9_007_199_254_740_992 + k),
    "whole numbers with gaps": lambda k: pd.Series(k).astype("Int64").mask(k == 3),
    "truth values": lambda k: pd.Series(k % 2 == 0),
    "truth values with gaps": lambda k: pd.Series(k % 2 == 0).astype("boolean").mask(k == 3),
    "categories of floats": lambda k: pd.Series(k.astype(float)).astype("category"),
    "texts of numbers": lambda k: pd.Series(k).map("{:.2f}".format),
    "dates": lambda k: pd.Series(DAY + pd.to_timedelta(k, "D")),
    "times": lambda k: pd.Series(DAY + pd.to_timedelta(90 * k, "min")),
    "times with a zone": lambda k: pd.Series(DAY.tz_localize("UTC") + pd.to_timedelta(k, "h")),
}


@pytest.mark.parametrize("make", CODES.values(), ids=CODES)
def test_a_category_of_anything_survives_a_csv_file(make, tmp_path, monkeypatch, capsys) -> None:
    k = np.random.default_rng(0).integers(0, 6, 240)
    X = pd.DataFrame({"code": make(k), "noise": np.random.default_rng(1).random(240)})
    y = np.where(k % 2 == 0, "even", "odd")
    model = TabularClassifier(
        members=1, hidden=(8,), epochs=30, eta=0.02, dropout=0.0, batch_size=16, categorical=["code"]
    ).fit(X, y)
    path = model.save(tmp_path / "codes.safetensors")
    expected = model.predict(X)
    assert np.mean(expected == y) > 0.8
    monkeypatch.setattr("sys.stdin", io.StringIO(X.to_csv(index=False, date_format="%Y-%m-%d %H:%M:%S")))
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.split()[1:] == expected.tolist()
    read_back = pd.read_csv(io.StringIO(X.to_csv(index=False)))  # a file of ours, through pandas
    assert model.predict(read_back).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        ([2.5, 1.0], ["2.50", "1.0"]),
        ([2.5, 1.0], ["+2.5", "1e0"]),
        (["2.50", "x"], [2.5, 7.0]),
        (["2.50", "x"], ["2.5", "y"]),
        (["01", "x"], [1, 7]),  # as pandas reads 01
        ([1, 2], ["01", "02"]),
        ([True, False], ["TRUE", "false"]),
        (["2024-01-31", "x"], [datetime.datetime(2024, 1, 31), None]),
        (["2024-01-31T10:00", "x"], np.array(["2024-01-31T10:00:00.5", "NaT"], "M8[ns]")),
        (np.array(["2024-01-31", "2024-02-01"], "M8[ns]"), ["2024-01-31 00:00:00", "2024-02-01"]),
        (np.array([1, 2], "m8[s]"), np.array([1000, 2000], "m8[ms]")),
    ],
)
def test_a_level_is_found_by_what_its_text_means(trained, given) -> None:
    encoding = learn_encoding({"v": trained}, categorical=("v",), min_count=1)
    found = encoding.encode({"v": given})[0]
    np.testing.assert_array_equal(found, encoding.encode({"v": trained})[0])
    assert found.sum() == 1


def test_levels_that_mean_the_same_number_are_told_apart_by_their_text() -> None:
    versions = ["3.1", "3.10", "3.1", "next"]
    encoding = learn_encoding({"v": versions}, min_count=1)
    found = encoding.encode({"v": ["3.10", "3.1", "3.100"]})
    assert [encoding.inputs[row.argmax()] for row in found] == ["v=3.10", "v=3.1", "v=3.1"]
    long = learn_encoding({"v": ["9007199254740993", "x"]}, min_count=1)
    assert long.encode({"v": ["9007199254740992"]}).tolist() == [[0, 0]]
    assert long.encode({"v": ["9e9999", "x"]}).tolist() == [[0, 0], [0, 1]]


def test_the_frequency_of_a_level_is_found_by_what_its_text_means() -> None:
    codes = [float(j) for j in range(100) for _ in range(j + 1)]
    encoding = learn_encoding({"v": codes}, categorical=("v",), max_levels=10)
    found = encoding.encode({"v": ["99.0", "9.0", "never"]})[:, -1]
    assert found.tolist() == pytest.approx([1.0, np.log(11) / np.log(101), 0.0])


# Kinds that do not fit -----------------------------------------------------------------------------


def test_words_are_truth_values_only_where_training_had_such() -> None:
    prices = learn_encoding({"price": [3.5, 7.25, 9.0, 4.0] * 5})
    with pytest.raises(DataError, match=r"column 'price' holds true in data row 1; .* on numbers there"):
        prices.encode({"price": ["true", "false"]})
    two = learn_encoding({"sex": [0, 1] * 5})
    with pytest.raises(DataError, match="column 'sex' holds False in data row 2"):
        two.encode({"sex": [None, "False"]})
    for truth in (np.array([True, False]), [True, None], pd.Series([True, None], dtype="boolean").to_frame()):
        table = {"v": truth} if not isinstance(truth, pd.DataFrame) else truth.set_axis(["v"], axis=1)
        encoding = learn_encoding(table)
        words = {"v": ["TRUE", {False: "false", None: ""}[list(read(table).columns[0].written)[1]]]}
        np.testing.assert_array_equal(encoding.encode(words), encoding.encode(table))


def test_a_date_where_the_model_knows_numbers_is_refused_without_a_text_for_each_row(monkeypatch) -> None:
    encoding = learn_encoding({"a": [1.0, 2.0]})
    dates = read({"a": np.array(["2024-01-31", "2024-02-01"], "M8[D]")})
    monkeypatch.setattr(reading, "texts_of", None)  # calling it would be a TypeError
    with pytest.raises(DataError, match="column 'a' holds 2024-01-31T00:00:00 in data row 1"):
        encoding.encode(dates)


def test_dates_with_a_zone_are_read_from_text() -> None:
    (column,) = read({"a": ["2024-01-31 01:00:00+02:00", "2024-01-31T01:00:00.25Z", None]}).columns
    assert column.kind == "date"
    assert column.values.astype(str).tolist() == ["2024-01-30T23:00:00", "2024-01-31T01:00:00", "NaT"]


def test_truth_values_are_read_without_a_text_for_each_row(monkeypatch) -> None:
    monkeypatch.setattr(reading, "texts_of", None)  # calling it would be a TypeError
    truth = np.array([True, False, True])
    for table in (
        {"a": truth},
        {"a": truth.astype(object)},
        {"a": [True, None]},
        pa.table({"a": truth}),
        pd.DataFrame({"a": truth}, dtype="boolean"),
    ):
        (column,) = read(table).columns
        assert (column.kind, column.is_truth, column.values[0]) == ("number", True, 1.0)
    assert not read({"a": [True, 2]}).columns[0].is_truth
    assert not read({"a": [1, 2]}).columns[0].is_truth
    (column,) = read(pytest.importorskip("polars").DataFrame({"a": truth})).columns
    assert (column.kind, column.is_truth, column.values[0]) == ("number", True, 1.0)


def test_numbers_too_far_apart_for_float64() -> None:
    with pytest.raises(DataError, match=r"column 'v' holds -1\.7e\+308 in data row 1; the largest"):
        learn_encoding({"v": [-1.7e308, 1.7e308, 0.0] * 30})
    near = learn_encoding({"v": np.linspace(-1e-5, 1e-5, 200)})
    assert near.encode({"v": [1.7e308, -1.7e308]})[:, 0].tolist() == pytest.approx([3.0, -3.0])


# Targets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(pd.date_range("2020", periods=60, tz="UTC")),
        pd.Series(pd.date_range("2020", periods=60, tz="UTC")).astype("timestamp[ns, tz=UTC][pyarrow]"),
        pd.Series([datetime.date(2020, 1, 1)] * 60).astype("date32[pyarrow]"),
        pd.DataFrame({"a": range(60), "b": pd.date_range("2020", periods=60, tz="UTC")}),
        pa.chunked_array([pa.array([datetime.datetime(2020, 1, 1, tzinfo=UTC)] * 60)]),
        [datetime.datetime(2020, 1, 1)] * 60,
        [datetime.timedelta(1)] * 60,
    ],
    ids=["zone", "arrow zone", "arrow date", "frame", "arrow", "list", "spans"],
)
def test_dates_are_no_targets(y) -> None:
    with pytest.raises(DTypeError, match=r"y holds .*\. Give real numbers, such as days since a date"):
        TabularRegressor(members=1, epochs=1).fit({"a": range(60)}, y)


def test_dates_of_polars_are_no_targets() -> None:
    pl = pytest.importorskip("polars")
    for date in (datetime.datetime(2020, 1, 1, tzinfo=UTC), datetime.date(2020, 1, 1)):
        test_dates_are_no_targets(pl.Series([date] * 60))


@pytest.mark.parametrize(("unit", "dtype"), [(1e-29, "float32"), (1e-50, "float64"), (1e-200, "float64")])
def test_small_targets_are_learned_in_their_unit(unit: float, dtype: str) -> None:
    X, y = {"a": np.arange(60.0)}, np.arange(60.0)
    model = TabularRegressor(members=1, epochs=20, eta=0.01, dtype=dtype)
    expected = model.fit(X, y).predict(X)
    assert np.corrcoef(expected, y)[0, 1] > 0.9
    np.testing.assert_allclose(model.fit(X, y * unit).predict(X) / unit, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("labels", [(np.int64(3), np.int64(5)), (np.bool_(0), np.bool_(1)), (0.5, 2), (3, 5)])
def test_labels_that_are_objects_come_back_as_they_were(labels) -> None:
    y = np.empty(80, object)
    y[:] = [labels[i % 2] for i in range(80)]
    X = {"a": [float(i % 2) for i in range(80)]}
    model = TabularClassifier(members=1, epochs=40, hidden=(8,), eta=0.05).fit(X, y)
    assert model.predict(X).tolist() == y.tolist()
    assert model.score(X, y) == 1.0
    assert model.score(X, y[::-1], sample_weight=np.arange(80) == 0) == 0.0
    with pytest.raises(ShapeError, match="X has 80 rows and y 1"):
        model.score(X, y[:1])


def test_labels_of_several_kinds_are_text() -> None:
    assert as_labels(np.array([1, "a"], object)).tolist() == ["1", "a"]
    assert as_labels(np.array([True, 2], object)).tolist() == ["True", "2"]
    assert as_labels(np.array([10**30, 1], object)).tolist() == [str(10**30), "1"]
