"""Tables with words, gaps and dates on the command line: trained, measured and predicted as they are."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import clearprop as cp
from clearprop.cli.data import Source, load_source, split_off
from clearprop.cli.output import Output
from clearprop.cli.tables import encoded
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


def test_a_label_written_in_two_ways_is_one_class(clearprop):
    releases("mixed.csv", ["a", "b", "a", "b"] * 25, ["1", "2", "1.0", "2"] * 25)
    clearprop("train", "mixed.csv", "--target", "answer", "--task", "classification", *JOB, "--no-report")
    _, out, _ = clearprop("predict", "mixed.safetensors", "mixed.csv")
    assert out.split() == ["1", "2"] * 50


def test_truth_values_of_a_file_stay_truth_values(clearprop):
    releases("truth.csv", ["True", "", "False", "True"] * 25, ["yes", "no", "no", "yes"] * 25)
    assert clearprop("train", "truth.csv", "--target", "answer", *JOB, "--no-report")[0] == 0
    model = TabularModel.load("truth.safetensors")
    assert model.encoding.columns[0].truth
    words = {"version": ["TRUE", "false", ""], "n": [1, 2, 3]}
    values = {"version": [True, False, None], "n": [1, 2, 3]}
    assert np.array_equal(model.encoding.encode(words), model.encoding.encode(values))
