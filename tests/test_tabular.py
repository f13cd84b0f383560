"""Tables: how columns are read and encoded, what is saved, and what the estimators promise."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

import clearprop as cp
from clearprop.errors import (
    DataError,
    DTypeError,
    FileFormatError,
    OptionError,
    ShapeError,
    WouldOverwriteError,
)
from clearprop.tabular import (
    Category,
    Date,
    Ignored,
    Number,
    TableEncoding,
    TabularClassifier,
    TabularModel,
    TabularRegressor,
    learn_encoding,
    read,
)
from clearprop.tabular.model import soften
from clearprop.tabular.training import MostAccurate, best_temperature, hold_out

QUICK = {"members": 2, "epochs": 12, "hidden": (16,), "batch_size": 16, "eta": 0.02}


def houses(n: int = 240, seed: int = 0) -> pd.DataFrame:
    """Return a table with every kind of column, gaps in each, and a price that depends on all."""
    rng = np.random.default_rng(seed)
    area = rng.gamma(4.0, 30.0, n)
    town = rng.choice(["Bern", "Basel", "Chur"], n, p=[0.5, 0.4, 0.1])
    sold = np.datetime64("2020-01-01", "s") + (rng.random(n) * 1500 * 86400).astype("timedelta64[s]")
    garden = rng.random(n) < 0.4
    price = 3 * area + 100 * (town == "Bern") + 50 * garden + rng.standard_normal(n)
    frame = pd.DataFrame({"area": area, "town": town, "sold": sold, "garden": garden, "price": price})
    frame["garden"] = frame["garden"].astype(object)
    for column in ("area", "town", "sold", "garden"):
        frame.loc[rng.random(n) < 0.05, column] = None
    return frame


@pytest.fixture(scope="module")
def sold():
    """Return a classifier, the table it was trained on, and the labels."""
    table = houses()
    y = np.where(table.pop("price") > 400, "dear", "cheap")
    return TabularClassifier(**QUICK).fit(table, y), table, y


# Reading -------------------------------------------------------------------------------------------


def test_every_make_of_table_gives_the_same_inputs() -> None:
    table = houses().drop(columns="price")
    table["town"] = table["town"].astype("category")
    table["garden"] = table["garden"].astype("boolean")
    table["rooms"] = pd.array([1, 2, None, 4] * 60, "Int64")
    encoding = learn_encoding(table)
    expected = encoding.encode(table)
    assert expected.dtype == np.float32
    assert np.isfinite(expected).all()
    columns = {name: table[name].astype(object).tolist() for name in table}
    for same in (pa.Table.from_pandas(table), columns):
        assert np.array_equal(encoding.encode(same), expected), type(same)
    assert np.array_equal(encoding.encode(table[table.columns[::-1]]), expected)  # found by name
    pl = pytest.importorskip("polars")
    for same in (pl.from_pandas(table), pl.from_pandas(table).lazy()):
        assert np.array_equal(encoding.encode(same), expected), type(same)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, None], "number"),
        ([True, False, None], "number"),
        (["1", "2.5", "?"], "number"),
        (["-1e-3", ".5", "NA"], "number"),
        (["01", "02", "03"], "text"),  # a code, not a number
        (["1", "two", "3"], "text"),
        (["2024-01-31", "", "2023-12-01T10:00"], "date"),
        ([datetime.date(2024, 1, 31), None], "date"),
        ([datetime.datetime(2024, 1, 31, tzinfo=datetime.UTC), None], "date"),
        ([pd.Timestamp("2024-01-31"), pd.NaT], "date"),
        (np.array(["2024-01-31"], "M8[D]"), "date"),
        (np.array([1, 2], "m8[s]"), "number"),
        ([None, None], "text"),
        ([1, "two"], "text"),
        ([b"a", b"b"], "text"),
    ],
)
def test_what_a_column_is(values, kind: str) -> None:
    assert read({"a": values}).columns[0].kind == kind


def test_numbers_and_their_texts_are_one_level() -> None:
    encoding = learn_encoding({"code": [1, 2, 2, 1]}, categorical=["code"], min_count=1)
    expected = encoding.encode({"code": [2, 1, None]})
    assert np.array_equal(encoding.encode({"code": ["2", "1", "NA"]}), expected)
    assert np.array_equal(encoding.encode({"code": [2.0, 1.0, np.nan]}), expected)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (None, DTypeError, "X must be a table: .* Got NoneType"),
        ("abc", DTypeError, "Got str"),
        ([1.0, 2.0], ShapeError, r"X has shape \(2,\); a table has rows and columns"),
        ([[1.0], [2.0, 3.0]], ShapeError, "different lengths"),
        ({}, ShapeError, "X has no columns"),
        ({"a": [1], "b": [1, 2]}, ShapeError, "column 'b' has 2 rows, 'a' has 1"),
        ({"a": [1.0, np.inf]}, DataError, "column 'a' is infinite in data row 2"),
        ({"a": ["2024-13-01"]}, DataError, "'2024-13-01' in data row 1, which is no date. Correct it"),
        ({"a": np.array([1j])}, DTypeError, "column 'a' holds complex128"),
    ],
)
def test_what_is_no_table(table, error, message: str) -> None:
    with pytest.raises(error, match=message):
        read(table)


def test_two_columns_of_one_name() -> None:
    with pytest.raises(DataError, match="X has two columns named 'a'"):
        read(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_column_to_take_as_a_category_must_be_there() -> None:
    with pytest.raises(DataError, match=r"'sizes', which X does not have\. Did you mean 'size'\?"):
        read({"size": [1]}, categorical=["sizes"])
    with pytest.raises(DTypeError, match=r"categorical must be a list of columns\. Got 'size'"):
        learn_encoding({"size": [1]}, categorical="size")


# Encoding ------------------------------------------------------------------------------------------


def test_how_columns_are_described() -> None:
    encoding = learn_encoding(houses().drop(columns="price"), min_count=30)
    area, town, sold, garden = encoding.columns
    assert isinstance(area, Number)
    assert len(area.edges) == 13  # 12 bins: 240 rows, 20 to a bin
    assert isinstance(town, Category)
    assert (set(town.levels), town.rare, town.missing) == ({"Bern", "Basel"}, True, True)
    assert isinstance(sold, Date)
    assert sold.parts == ("month", "day", "weekday", "hour")
    assert garden == Number("garden", 0.0, 1.0, missing=True, truth=True)
    assert len(encoding.inputs) == len(encoding.origins) == encoding.encode(houses()).shape[1]
    assert "town=Bern" in encoding.inputs
    assert "2 levels, the rest rare" in str(encoding)


def test_rare_unseen_and_missing_levels() -> None:
    names = ["a"] * 10 + ["b"] * 10 + ["c", "d"]
    with_rare = learn_encoding({"x": names})
    found = with_rare.encode({"x": ["a", "c", "never", None]})
    assert with_rare.inputs == ("x=a", "x=b", "x rare")
    assert found.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]
    without = learn_encoding({"x": ["a", "b", None] * 10})
    assert without.encode({"x": ["never", None]}).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_many_levels_have_their_frequency_besides() -> None:
    names = [f"n{j}" for j in range(100) for _ in range(j + 1)]
    encoding = learn_encoding({"x": names}, max_levels=10)
    (column,) = encoding.columns
    assert isinstance(column, Category)
    assert column.levels[:2] == ("n99", "n98")
    found = encoding.encode({"x": ["n99", "n9", "never"]})
    assert found[:, -1].tolist() == pytest.approx([1.0, np.log(11) / np.log(101), 0.0])


def test_outliers_are_clipped_smoothly_and_gaps_lie_in_the_middle() -> None:
    encoding = learn_encoding({"x": np.arange(1000.0)}, bins=0)
    found = encoding.encode({"x": [-1e300, 499.5, 1e300, None]})[:, 0]
    assert found[:3].tolist() == pytest.approx([-3.0, 0.0, 3.0], abs=1e-6)
    assert found[3] == 0
    grid = encoding.encode({"x": np.linspace(-5000, 5000, 501)})[:, 0]
    assert (np.diff(grid) > 0).all()


def test_bins_reach_where_one_value_fills_most() -> None:
    gain = np.concatenate([np.zeros(900), np.linspace(100, 5000, 100)])
    (column,) = learn_encoding({"gain": gain}, bins=20).columns
    assert isinstance(column, Number)
    assert sum(100 <= edge <= 5000 for edge in column.edges) >= 10


def test_waves_are_cosines_and_sines_of_the_clipped_number() -> None:
    encoding = learn_encoding({"x": np.arange(9.0)}, waves=2)
    u, *found = encoding.encode({"x": [7.0]}, dtype=np.float64)[0]
    angles = np.array([2 * np.pi * u / 10, 2 * np.pi * u / 10, 4 * np.pi * u / 10, 4 * np.pi * u / 10])
    assert found == pytest.approx(np.where([True, False, True, False], np.cos(angles), np.sin(angles)))


def test_columns_that_say_nothing_are_ignored() -> None:
    encoding = learn_encoding({"a": [1, 2], "one": [7, 7], "none": [None, None], "name": ["x", "x"]})
    assert [type(c) for c in encoding.columns] == [Number, Ignored, Ignored, Ignored]
    assert encoding.encode({"a": [1]}).shape == (1, 1)  # nor need they be there
    with pytest.raises(DataError, match="no column with two different values"):
        learn_encoding({"one": [7, 7]})
    with pytest.raises(DataError, match="X has no rows"):
        learn_encoding({"a": []})


def test_an_encoding_is_plain_data() -> None:
    encoding = learn_encoding(houses().drop(columns="price"), waves=3)
    again = TableEncoding.from_config(json.loads(json.dumps(encoding.config())))
    assert again == encoding
    assert np.array_equal(again.encode(houses()), encoding.encode(houses()))


@pytest.mark.parametrize(
    "config",
    [
        None,
        {"columns": [{"kind": "os.system", "name": "x"}], "named": True},
        {"columns": [{"kind": "number", "name": "x", "center": "0", "scale": 1.0}], "named": True},
        {"columns": [{"kind": "number", "name": "x", "center": 0.0, "scale": 0.0}], "named": True},
        {"columns": [{"kind": "number", "name": "x", "center": 0.0, "scale": 1.0, "edges": [2.0, 1.0]}]},
        {
            "columns": [{"kind": "number", "name": "x", "center": 0.0, "scale": 1.0, "waves": 10**9}],
            "named": True,
        },
        {"columns": [{"kind": "category", "name": "x", "levels": ["a", "a"]}], "named": True},
        {"columns": [{"kind": "category", "name": "x", "levels": [1]}], "named": True},
        {
            "columns": [{"kind": "date", "name": "x", "time": {"kind": "ignored", "name": "x", "why": ""}}],
            "named": True,
        },
        {"columns": [{"kind": "number", "nom": "x"}], "named": True},
        {"columns": [], "named": "yes"},
    ],
)
def test_descriptions_that_are_not_sound(config) -> None:
    with pytest.raises(FileFormatError, match="not sound"):
        TableEncoding.from_config(config)


def test_tables_that_do_not_fit() -> None:
    encoding = learn_encoding(
        {"age": [30, 40], "job": ["cook", "nurse"], "day": ["2024-01-01", "2024-02-01"]}
    )
    with pytest.raises(DataError, match=r"X has no column 'age', which the model needs\. Did you mean 'Age'"):
        encoding.encode({"Age": [1], "job": ["cook"], "day": [None]})
    with pytest.raises(
        DataError,
        match=r"column 'age' holds old in data row 2; the model was trained on numbers",
    ):
        encoding.encode({"age": [None, "old"], "job": ["cook"] * 2, "day": [None] * 2})
    with pytest.raises(
        DataError, match=r"column 'day' holds 3\.0 in data row 1; the model was trained on dates"
    ):
        encoding.encode({"age": [1], "job": ["cook"], "day": [3.0]})
    with pytest.raises(ShapeError, match="X has 2 columns; the model was trained on 3"):
        encoding.encode([[1, 2]])


# Training and use ----------------------------------------------------------------------------------


def test_a_classifier_learns_from_a_table_as_it_is(sold) -> None:
    model, table, y = sold
    assert model.score(table, y) > 0.9
    p = model.predict_proba(table)
    assert p.dtype == np.float32
    assert np.allclose(p.sum(axis=1), 1)
    assert model.classes_.tolist() == ["cheap", "dear"]
    assert np.array_equal(model.classes_[p.argmax(axis=1)], model.predict(table))
    assert model.feature_names_in_.tolist() == ["area", "town", "sold", "garden"]
    assert "engine: native" in model.engine_ or "engine: batch" in model.engine_
    assert len(model.histories_) == 2


def test_a_regressor_keeps_within_the_targets_it_saw() -> None:
    table = houses()
    y = table.pop("price").to_numpy()
    model = TabularRegressor(**{**QUICK, "epochs": 60}).fit(table, y)
    assert model.score(table, y) > 0.8
    far = model.predict({**{name: [None] for name in table}, "area": [1e9]})
    assert far[0] <= y.max()
    both = TabularRegressor(**QUICK).fit(table, np.column_stack([y, -y])).predict(table)
    assert both.shape == (len(y), 2)


def test_the_same_seed_gives_the_same_bits(sold) -> None:
    model, table, y = sold
    again = clone(model).fit(table, y)
    assert again.predict_proba(table).tobytes() == model.predict_proba(table).tobytes()
    other = clone(model).set_params(random_state=1).fit(table, y)
    assert other.predict_proba(table).tobytes() != model.predict_proba(table).tobytes()


@pytest.mark.parametrize(
    "y", [np.arange(60) % 3, np.array([True, False] * 30), np.array([0.5, 1.5] * 30), ["a", "b"] * 30]
)
def test_predictions_are_the_labels_that_were_given(y) -> None:
    table = {"x": np.asarray(pd.factorize(np.asarray(y))[0], float) + np.arange(60) / 1000}
    model = TabularClassifier(**{**QUICK, "epochs": 60}).fit(table, y)
    assert model.predict(table).dtype == np.asarray(y).dtype
    assert np.mean(model.predict(table) == np.asarray(y)) > 0.9


def test_the_temperature_makes_held_out_rows_likelier() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 500)
    z = rng.standard_normal((500, 3)) + 2 * np.eye(3)[true]
    over = np.exp(5 * z) / np.exp(5 * z).sum(axis=1, keepdims=True)  # far too sure

    def cost(p):
        return -np.log(p[np.arange(500), true]).mean()

    found = best_temperature(over, true)
    assert found > 2
    for near in (found * 0.9, found * 1.1):
        assert cost(soften(over, found)) < cost(soften(over, near))
    assert cost(soften(over, found)) < 0.8 * cost(over)


def test_rows_held_out_are_not_trained_on() -> None:
    y = np.arange(200) % 4
    train, held = hold_out(y, 0.1, 0, True)
    assert sorted([*train, *held]) == list(range(200))
    assert np.bincount(y[held]).tolist() == [5] * 4
    assert len(hold_out(y[:40], 0.1, 0, True)[1]) == 0


def test_of_epochs_with_equal_accuracy_the_cheapest_is_kept() -> None:
    stopper, history = MostAccurate(patience=3, n_held=10), []

    class Run:
        stop_reason, epoch, cut_short = "", 0, False

        class state:
            theta = buffers = np.zeros(1)

        def stop(self, why):
            history.append(why)

    run = Run()
    for epoch, (accuracy, cost) in enumerate([(0.8, 0.1), (0.9, 0.6), (0.9, 0.5), (0.9, 0.7), (0.8, 0.0)], 1):
        run.epoch = epoch
        stopper.on_epoch_end(run, {"val_accuracy": accuracy, "val_cost": cost})
    assert (stopper.best_epoch, history) == (3, [])


def test_sample_weights_move_the_probabilities() -> None:
    table, y = {"x": [0.0, 1.0] * 60}, np.arange(120) % 3 == 0
    even = TabularClassifier(**QUICK).fit(table, y).predict_proba(table)[:, 1].mean()
    heavy = TabularClassifier(**QUICK).fit(table, y, sample_weight=np.where(y, 9.0, 1.0)).model_
    raw = TabularModel(heavy.encoding, heavy.networks).predict_proba(table)[:, 1].mean()
    assert raw > even + 0.2


def test_scikit_learn_can_use_them(sold) -> None:
    _, table, y = sold
    scores = cross_val_score(TabularClassifier(**QUICK), table, y, cv=2)
    assert scores.min() > 0.8
    with pytest.raises(NotFittedError):
        TabularClassifier().predict(table)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"members": 0}, OptionError, "members must be a whole number >= 1"),
        ({"members": "many"}, OptionError, "members must be 'auto' or a whole number. Got 'many'"),
        ({"hidden": 8}, DTypeError, "hidden must be 'auto' or a list of sizes. Got 8"),
        ({"eta": -1}, OptionError, "eta must be a finite number > 0"),
        ({"dropout": 1.0}, OptionError, "dropout must be a finite number >= 0 and < 1"),
        ({"bins": -1}, OptionError, "bins must be a whole number >= 0"),
        ({"waves": 1.5}, DTypeError, "waves must be a whole number"),
        ({"validation_fraction": 1}, OptionError, "validation_fraction must be"),
        ({"random_state": -1}, OptionError, "random_state must be a whole number >= 0"),
        ({"activation": "sigmiod"}, ValueError, "Did you mean 'sigmoid'"),
        ({"engine": "nativ"}, ValueError, "Did you mean 'native'"),
    ],
)
def test_options_that_do_not_fit(given, error, message: str) -> None:
    with pytest.raises(error, match=message):
        TabularClassifier(**given).fit({"x": [1.0, 2.0, 3.0]}, ["a", "b", "a"])


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (["a", "a", "a"], DataError, "y holds one class only, 'a'"),
        (["a", "b"], ShapeError, "X has 3 rows and y 2"),
        (["a", None, "b"], DataError, "y has no label in data row 2"),
        ([["a", "b"]] * 3, ShapeError, "labels are"),
    ],
)
def test_labels_that_do_not_fit(y, error, message: str) -> None:
    with pytest.raises(error, match=message):
        TabularClassifier().fit({"x": [1.0, 2.0, 3.0]}, y)


def test_numbers_that_do_not_fit() -> None:
    table = {"x": [1.0, 2.0, 3.0]}
    for y, message in (
        (["a", "b", "c"], "For labels there is TabularClassifier"),
        ([1.0, np.nan, 2.0], "y is NaN or infinite in data row 2"),
        ([3.5, 3.5, 3.5], "the target is 3.5 in every row"),
    ):
        with pytest.raises((DataError, DTypeError), match=message):
            TabularRegressor().fit(table, y)


# Files ---------------------------------------------------------------------------------------------


def test_a_model_loaded_predicts_the_same_bits(sold, tmp_path) -> None:
    model, table, _ = sold
    path = model.save(tmp_path / "sold.safetensors")
    expected = model.predict_proba(table)
    for loaded in (TabularModel.load(path), TabularClassifier.load(path)):
        assert loaded.predict_proba(table).tobytes() == expected.tobytes()
        assert loaded.predict(table).tolist() == model.predict(table).tolist()
    assert TabularClassifier.load(path).get_params() == model.get_params()
    with pytest.raises(WouldOverwriteError):
        model.save(path)
    with pytest.raises(FileFormatError, match="holds a model for TabularClassifier"):
        TabularRegressor.load(path)
    alone = cp.load(path)  # the first member, as a network
    assert alone.outputs(model.encoding_.encode(table)).shape == expected.shape


def test_predicting_needs_numpy_alone(sold, tmp_path) -> None:
    model, table, _ = sold
    path = model.save(tmp_path / "sold.safetensors")
    rows = json.loads(table.head(5).to_json(orient="split", date_format="iso"))
    columns = {name: [row[j] for row in rows["data"]] for j, name in enumerate(rows["columns"])}
    columns["sold"] = [None if day is None else day[:19] for day in columns["sold"]]
    program = (
        "import sys, json\n"
        "from clearprop.tabular import TabularModel\n"
        f"model = TabularModel.load({str(path)!r})\n"
        f"print(json.dumps(model.predict(json.loads({json.dumps(columns)!r})).tolist()))\n"
        "wrong = {'sklearn', 'pandas', 'scipy', 'polars', 'pyarrow'} & set(sys.modules)\n"
        "assert not wrong, wrong\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == model.predict(table.head(5)).tolist()


def test_a_plain_network_is_no_table_model(tmp_path) -> None:
    path = cp.Network([2, 2, 1], seed=0).save(tmp_path / "plain.safetensors")
    with pytest.raises(FileFormatError, match="no description of a table's columns"):
        TabularModel.load(path)
    wrong = cp.Network([2, 2, 1], seed=0).save(
        tmp_path / "wrong.safetensors", extra={"tabular": {"version": 9}}
    )
    with pytest.raises(FileFormatError, match="what it says about the table is not sound"):
        TabularModel.load(wrong)


def test_many_rows_are_encoded_and_predicted_in_parts_with_the_same_result(sold) -> None:
    model, table, _ = sold
    long = pd.concat([table] * 40, ignore_index=True)  # 9600 rows: more than one part
    assert np.allclose(model.predict_proba(long), np.tile(model.predict_proba(table), (40, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("trained", "alone"),
    [
        (["2.50", "x"], ["2.50"]),  # alone, the column looks like numbers
        (["2020-01-01", "never"], ["2020-01-01"]),  # like dates
        (["true", "false"], np.array([True])),
        (["True", "maybe"], [True, None]),
    ],
)
def test_a_level_is_known_whatever_rows_stand_beside_it(trained, alone) -> None:
    encoding = learn_encoding({"v": trained}, min_count=1)
    found = encoding.encode({"v": alone})[0]
    np.testing.assert_array_equal(found, encoding.encode({"v": trained})[0])
    assert found.any()


def test_truth_values_may_come_as_words() -> None:
    encoding = learn_encoding({"v": [True, False]})
    words = encoding.encode({"v": ["TRUE", "false"]})
    np.testing.assert_array_equal(words, encoding.encode({"v": [True, False]}))
    with pytest.raises(DataError, match="holds maybe"):
        encoding.encode({"v": ["maybe", "true"]})


def test_a_whole_number_beyond_float64() -> None:
    with pytest.raises(DataError, match=r"column 'a' holds a number beyond 1\.8e308"):
        read({"a": [10**400, 1]})


def test_whole_numbers_as_objects_stay_labels_that_are_numbers() -> None:
    y = pd.Series([1, 2] * 10, dtype=object)
    model = TabularClassifier(members=1, epochs=1).fit({"a": range(20)}, y)
    assert model.classes_.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (pd.date_range("2020-01-01", periods=4), DTypeError, "y holds datetime64"),
        ([1j, 2j, 3j, 4j], DTypeError, "y holds complex128"),
        (
            [1.0, 2.0, 1e301, 4.0],
            DataError,
            r"y holds 1e\+301 in data row 3; the largest usable number is ±1e\+300",
        ),
        ([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]], DataError, "output 1 of the target is 5 in"),
    ],
)
def test_targets_that_are_no_numbers_to_learn(y, error, message: str) -> None:
    with pytest.raises(error, match=message):
        TabularRegressor(members=1, epochs=1).fit({"a": [1, 2, 3, 4]}, y)


def test_small_targets_are_not_constant() -> None:
    model = TabularRegressor(members=1, epochs=1).fit({"a": [1, 2, 3, 4]}, [1e-20, 2e-20, 3e-20, 4e-20])
    assert 1e-20 <= model.predict({"a": [1]})[0] <= 4e-20


def test_a_missing_label_of_pandas_is_named() -> None:
    with pytest.raises(DataError, match="no label in data row 2"):
        TabularClassifier().fit({"a": [1, 2]}, pd.Series(["a", None], dtype="string"))
