"""Tables with words, gaps and dates on the command line: trained, measured and predicted as they are."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

import clearprop as cp
from clearprop import predict
from clearprop.cli.data import Source, load_source, split_off
from clearprop.cli.models import _in_model_words
from clearprop.cli.output import Output
from clearprop.cli.tables import encoded
from clearprop.errors import DataError
from clearprop.tabular import TabularModel

JOB = ["--epochs", "40", "--hidden", "16", "--quiet"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def guests(path: str = "guests.csv", n: int = 200, seed: int = 0) -> list[list[str]]:
    """Write a table whose answer hangs on a word, a number with gaps and the month of a date."""
    rng = np.random.default_rng(seed)
    meal = rng.choice(["fish", "pasta", "soup"], n)
    age = rng.integers(18, 80, n)
    day = np.datetime64("2023-01-01") + rng.integers(0, 365, n)
    happy = (meal == "pasta") | (age > 60)
    rows = [
        [str(m), "" if rng.random() < 0.1 else str(a), str(d), "yes" if h else "no"]
        for m, a, d, h in zip(meal, age, day, happy, strict=True)
    ]
    with Path(path).open("w", newline="") as file:
        csv.writer(file).writerows([["meal", "age", "day", "happy"], *rows])
    return rows


def train(clearprop, *more: str):
    guests()
    code, out, err = clearprop("train", "guests.csv", "--target", "happy", "--json", *JOB, *more)
    assert code == 0, err
    return json.loads(out)


def test_a_table_with_words_gaps_and_dates_is_learned(clearprop):
    result = train(clearprop)
    assert result["measured"]["accuracy"] > 0.75  # of 40 rows; always the same answer has about 0.55
    assert result["data"]["feature_names"] == ["meal", "age", "day"]
    page = Path("guests.html").read_text()
    assert "columns (category × 1, number × 1, date × 1) encoded as" in page
    code, out, _ = clearprop("evaluate", "guests.safetensors", "guests.csv", "--json")
    assert code == 0
    again = json.loads(out)
    assert again["part"] == "test"
    assert again["accuracy"] == result["measured"]["accuracy"]


def test_the_model_reads_tables_in_python_too(clearprop):
    train(clearprop, "--no-report")
    rows = guests("new.csv", seed=1)
    columns = {name: [row[j] for row in rows] for j, name in enumerate(("meal", "age", "day"))}
    code, out, _ = clearprop("predict", "guests.safetensors", "new.csv")
    assert code == 0
    assert out.split() == TabularModel.load("guests.safetensors").predict(columns).tolist()
    assert np.mean(np.array(out.split()) == [row[3] for row in rows]) > 0.85


def test_words_never_seen_and_empty_cells_are_predicted(clearprop):
    train(clearprop, "--no-report")
    Path("odd.csv").write_text("day,age,meal,note\n,,,x\n2030-05-05,44,sushi,y\n")
    code, out, _ = clearprop("predict", "guests.safetensors", "odd.csv")
    assert code == 0
    assert len(out.split()) == 2


def test_the_part_that_was_held_out_is_predicted(clearprop):
    result = train(clearprop, "--no-report")
    code, out, err = clearprop("predict", "guests.safetensors", "guests.csv", "--part", "test")
    assert code == 0
    assert len(out.split()) == result["measured"]["examples"] == 40
    assert "on the test part" in err
    guests("new.csv", seed=1)
    code, _, err = clearprop("predict", "guests.safetensors", "new.csv", "--part", "test")
    assert code == 2
    assert "the model was not trained on a part of it" in err


def test_the_encoding_has_not_seen_the_test_part():
    guests()
    raw = split_off(load_source(Source("guests.csv", target="happy"), Output(False, True)), 0.2, 0)
    _, encoding = encoded(raw, "float32")
    age = encoding.columns[1]
    seen = raw.X_train[:, 1]
    assert age.center == np.median(seen[~np.isnan(seen)])
    everyone = np.concatenate([raw.X_train, raw.X_test])[:, 1]
    assert age.edges[-1] <= np.nanmax(everyone)
    table = raw.table(raw.X_train)
    assert [column.kind for column in table.columns] == ["text", "number", "date"]


def test_other_commands_read_the_table_as_the_model_does(clearprop):
    train(clearprop, "--no-report", "--record", "run.safetensors")
    for command in (
        ["explain", "guests.safetensors", "guests.csv", "--layer", "1"],
        ["diagnose", "guests.safetensors", "guests.csv"],
        ["replay", "run.safetensors", "guests.csv"],
    ):
        code, _, err = clearprop(*command)
        assert code == 0, (command, err)


def test_a_word_where_the_model_knows_numbers(clearprop):
    train(clearprop, "--no-report")
    Path("odd.csv").write_text("meal,age,day\nsoup,old,2030-05-05\n")
    code, _, err = clearprop("predict", "guests.safetensors", "odd.csv")
    assert code == 1
    assert "column 'age' holds old in data row 1; the model was trained on numbers there" in err
    Path("less.csv").write_text("meal,aeg\nsoup,3\n")
    code, _, err = clearprop("predict", "guests.safetensors", "less.csv")
    assert code == 1
    assert "less.csv has no column 'age', which the model needs. Did you mean 'aeg'?" in err


def test_a_network_of_arrays_predicts_a_table_of_numbers_and_no_other(clearprop):
    net = cp.Network([cp.Dense(1)], n_in=2, seed=0)
    net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=1)
    net.save("plain.safetensors")
    Path("rows.csv").write_text("a,b\n1,2\n3,4\n")
    code, out, _ = clearprop("predict", "plain.safetensors", "rows.csv")
    assert code == 0
    assert [float(line) for line in out.split()] == net.predict([[1.0, 2.0], [3.0, 4.0]]).tolist()
    Path("rows.csv").write_text("a,b\n1,2\n3,\n")
    code, _, err = clearprop("predict", "plain.safetensors", "rows.csv")
    assert code == 1
    assert "column 'b' has no value in data row 2; this model was trained on numbers without gaps" in err


# ---- what a cell means does not hang on the rows beside it

CODES = {"007": "01", "2.50": "01", "A12": "1", "B7": "x", "1e3": "1", "true": "x"}


def codes(path: str, wanted: list[str]) -> None:
    head = "a,code,y\n"
    Path(path).write_text(head + "".join(f"{i % 7 / 7:.3f},{c},{CODES[c]}\n" for i, c in enumerate(wanted)))


def train_codes(clearprop):
    codes("codes.csv", [list(CODES)[i % 6] for i in range(240)])
    code, _, err = clearprop(
        "train", "codes.csv", "--target", "y", *JOB, "--no-report", "--validation", "0", "--epochs", "80"
    )
    assert code == 0, err


def stdin_predictions(monkeypatch, capsys, path: str) -> list[str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(Path(path).read_text()))
    assert predict.main(["codes.safetensors"]) == 0
    return capsys.readouterr().out.split()[1:]


def test_a_row_is_predicted_alike_whatever_stands_beside_it(clearprop, monkeypatch, capsys):
    train_codes(clearprop)
    model = TabularModel.load("codes.safetensors")
    for some in (
        [*CODES],
        ["007"],
        ["2.50"],
        ["1e3"],
        ["true"],
        ["A12"],
        ["007", "2.50", "1e3"],
        ["1e3"] * 9,
    ):
        codes("new.csv", some)
        code, out, err = clearprop("predict", "codes.safetensors", "new.csv")
        assert code == 0, err
        assert out.split() == [CODES[c] for c in some]
        with Path("new.csv").open() as file:
            rows = list(csv.DictReader(file))
        frame = {name: [row[name] for row in rows] for name in ("a", "code")}
        assert model.predict(frame).tolist() == out.split()
        assert stdin_predictions(monkeypatch, capsys, "new.csv") == out.split()
        code, out, err = clearprop("evaluate", "codes.safetensors", "new.csv", "--json", "--part", "all")
        assert code == 0, err
        assert json.loads(out)["accuracy"] == 1.0


def test_codes_that_begin_with_a_zero_are_words(clearprop, monkeypatch, capsys):
    rows = "".join(
        f"{z},{i % 5},{'ja' if z < '1' else 'nein'}\n" for i in range(40) for z in ("01234", "10115")
    )
    Path("codes.csv").write_text("zip,a,y\n" + rows)
    code, _, err = clearprop("train", "codes.csv", "--target", "y", *JOB, "--no-report", "--epochs", "200")
    assert code == 0, err
    assert TabularModel.load("codes.safetensors").encoding.columns[0].kind == "category"
    Path("new.csv").write_text("zip,a\n10115,1\n10115,2\n")
    code, out, err = clearprop("predict", "codes.safetensors", "new.csv")
    assert code == 0, err
    assert out.split() == ["nein", "nein"] == stdin_predictions(monkeypatch, capsys, "new.csv")


def test_labels_are_found_by_text_and_else_by_what_they_mean(clearprop):
    train_codes(clearprop)
    net = cp.load("codes.safetensors")
    told = cp.datasets.Dataset(
        name="d",
        X_train=np.zeros((1, 1)),
        y_train=np.zeros(1),
        X_test=None,
        y_test=None,
        feature_names=("a",),
        class_names=("1", "01", "x "),
        image_shape=None,
        description="",
    )
    assert _in_model_words(net, told, np.array([0, 1, 2])).tolist() == ["1", "01", "x"]
    for unknown in ("001", "X", "2"):  # 001 could be 01 or 1
        with pytest.raises(DataError, match=f"holds the class {unknown!r}, which the model does not know"):
            _in_model_words(net, dataclasses.replace(told, class_names=(unknown,)), np.array([0]))


def test_columns_that_the_model_does_not_read_may_hold_anything(clearprop):
    train(clearprop, "--no-report")
    Path("odd.csv").write_text(
        "age,happy,meal,note,when,day\n44,yes,soup,inf,2020-02-30,2023-05-05\n30,no,soup,1,2020-02-28,\n"
    )
    code, out, err = clearprop("predict", "guests.safetensors", "odd.csv")
    assert code == 0, err
    assert len(out.split()) == 2
    Path("odd.csv").write_text("age,meal,day\n44,soup,2020-02-28\n30,soup,2020-02-30\n")
    code, _, err = clearprop("predict", "guests.safetensors", "odd.csv")
    assert code == 1
    assert "column 'day' holds '2020-02-30' in data row 2, which is no date" in err
    code, _, err = clearprop("predict", "guests.safetensors", "odd.csv", "--drop", "day")
    assert code == 1
    assert "odd.csv has no column 'day', which the model needs" in err


def test_evaluate_needs_only_the_columns_that_the_model_reads(clearprop):
    rows = "".join(f"{i},{i % 7},7,{'ab'[i % 7 > 3]}\n" for i in range(60))
    Path("t.csv").write_text("id,x,always,y\n" + rows)
    code, _, err = clearprop("train", "t.csv", "--target", "y", *JOB, "--no-report")
    assert code == 0, err
    Path("fewer.csv").write_text("y,x,id,further\na,1,5,w\nb,6,6,2020-02-30\n")
    code, out, err = clearprop("evaluate", "t.safetensors", "fewer.csv")
    assert code == 0, err
    assert out.startswith("accuracy ")
    assert "of 2)" in out.splitlines()[0]
    Path("fewer.csv").write_text("y,id\na,5\nb,6\n")
    code, _, err = clearprop("evaluate", "t.safetensors", "fewer.csv")
    assert code == 1
    assert "fewer.csv has no column 'x', which the model needs" in err


def test_numbers_that_one_word_makes_classes_are_spoken_of(clearprop):
    rows = "".join(f"{i},{i % 3},{i / 3:.3f}\n" for i in range(60))
    Path("t.csv").write_text("a,b,y\n" + rows + "1,1,unknown\n")
    job = ["--target", "y", "--test-fraction", "0", "--epochs", "1", "--no-report"]
    code, _, err = clearprop("train", "t.csv", *job)
    assert code == 0, err
    assert "holds 61 different values in 61 rows, 61 of them once, and 'unknown' is no number" in err
    code, _, err = clearprop("train", "t.csv", *job, "--task", "classification", "--force")
    assert code == 0
    assert "is no number" not in err


def test_labels_beyond_64_bits_are_words(clearprop):
    Path("t.csv").write_text("a,y\n" + "1,123456789012345678901\n2,9\n" * 20)
    code, _, err = clearprop(
        "train", "t.csv", "--target", "y", "--task", "classification", *JOB, "--no-report"
    )
    assert code == 0, err
    code, out, _ = clearprop("predict", "t.safetensors", "t.csv")
    assert set(out.split()) <= {"123456789012345678901", "9"}


def releases(path: str, versions: list[str], answers: list[str]) -> None:
    with Path(path).open("w", newline="") as file:
        rows = zip(versions, range(len(versions)), answers, strict=True)
        csv.writer(file).writerows([["version", "n", "answer"], *rows])


def test_levels_are_compared_as_the_file_writes_them(clearprop):
    versions = ["3.1", "3.10", "2.50", "next"] * 50
    answer = {"3.1": "old", "3.10": "new", "2.50": "old", "next": "new"}
    releases("releases.csv", versions, [answer[v] for v in versions])
    assert (
        clearprop("train", "releases.csv", "--target", "answer", *JOB, "--epochs", "150", "--no-report")[0]
        == 0
    )
    some = ["3.10", "3.1", "2.50"] * 4  # a file of numbers, by its looks
    releases("some.csv", some, [answer[v] for v in some])
    code, out, err = clearprop("predict", "releases.safetensors", "some.csv")
    assert (code, out.split()) == (0, [answer[v] for v in some]), err
    code, out, err = clearprop("evaluate", "releases.safetensors", "some.csv", "--json")
    assert (code, json.loads(out)["accuracy"]) == (0, 1.0), err


@pytest.mark.parametrize(
    ("labels", "elsewhere"),
    [
        (("2.50", "x"), ("2.5", "x")),
        (("2.50", "1.00"), ("2.5", "1")),
        (("01", "02"), ("1", "2")),
        (("1", "2"), ("1.0", "2.0")),
        (("1.10", "1.1x"), ("1.1", "1.1x")),
        (("true", "false"), ("True", "False")),
    ],
)
def test_labels_come_back_as_the_file_writes_them(clearprop, labels, elsewhere):
    versions = ["a", "b"] * 50
    train = ["train", "labels.csv", "--target", "answer", "--task", "classification"]
    releases("labels.csv", versions, [labels[v == "b"] for v in versions])
    assert clearprop(*train, *JOB, "--no-report")[0] == 0
    code, out, _ = clearprop("predict", "labels.safetensors", "labels.csv", "--part", "all")
    assert (code, set(out.split())) == (0, set(labels))
    truth = [labels[v == "b"] for v in versions]
    assert out.split() == truth
    for forms, rows in ((labels, versions), (elsewhere, versions), (elsewhere, ["a"] * 9)):
        releases("again.csv", rows, [forms[v == "b"] for v in rows])
        code, out, err = clearprop("evaluate", "labels.safetensors", "again.csv", "--json")
        assert (code, json.loads(out or "{}").get("accuracy")) == (0, 1.0), err


def test_labels_written_in_two_ways_are_two_classes(clearprop):
    answers = {"a": "7", "b": "007", "c": "8"}
    releases("mixed.csv", [*answers] * 40, [*answers.values()] * 40)
    job = [*JOB, "--epochs", "150", "--no-report"]
    clearprop("train", "mixed.csv", "--target", "answer", "--task", "classification", *job)
    _, out, _ = clearprop("predict", "mixed.safetensors", "mixed.csv")
    assert out.split() == ["7", "007", "8"] * 40


def test_truth_values_of_a_file_stay_truth_values(clearprop):
    releases("truth.csv", ["True", "", "False", "True"] * 25, ["yes", "no", "no", "yes"] * 25)
    assert clearprop("train", "truth.csv", "--target", "answer", *JOB, "--no-report")[0] == 0
    model = TabularModel.load("truth.safetensors")
    assert model.encoding.columns[0].truth
    words = {"version": ["TRUE", "false", ""], "n": [1, 2, 3]}
    values = {"version": [True, False, None], "n": [1, 2, 3]}
    assert np.array_equal(model.encoding.encode(words), model.encoding.encode(values))
