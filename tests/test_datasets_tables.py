"""Tables from CSV, TSV and Parquet files: what is read, and the one sentence for what cannot be."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests import realdata

from clearprop.cells import typed
from clearprop.datasets import load_dataset, read_table
from clearprop.datasets.tables import read_columns, read_frame
from clearprop.errors import (
    DataError,
    FileFormatError,
    MissingDependencyError,
    OptionError,
    UnknownNameError,
)
from clearprop.tabular import read

FLOWERS = "length,width,kind\n5.1,3.5,setosa\n7.0,3.2,versicolor\n6.3,3.3,virginica\n4.9,3.0,setosa\n"


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.csv", FLOWERS.encode()),
        ("f.csv", b"\xef\xbb\xbf" + FLOWERS.encode()),  # with a byte order mark
        ("f.csv", FLOWERS.replace("\n", "\r\n").encode()),
        ("f.csv", FLOWERS.replace(",", ";").encode()),
        ("f.csv.gz", gzip.compress(FLOWERS.encode(), mtime=0)),
        ("f.tsv", FLOWERS.replace(",", "\t").encode()),
        ("f.TSV.GZ", gzip.compress(FLOWERS.replace(",", "\t").encode(), mtime=0)),
        ("f.parquet", None),
    ],
)
def test_a_classification_table(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        pd.read_csv(write(tmp_path, FLOWERS)).to_parquet(path)
    else:
        path.write_bytes(content)
    table = read_table(path, "kind")
    assert table.X_train.tolist() == [[5.1, 3.5], [7.0, 3.2], [6.3, 3.3], [4.9, 3.0]]
    assert table.X_train.dtype == np.float64
    assert table.y_train.tolist() == [0, 1, 2, 0]
    assert table.y_train.dtype == np.int64
    assert table.class_names == ("setosa", "versicolor", "virginica")
    assert table.feature_names == ("length", "width")
    assert table.name == "f"
    assert table.X_test is None
    assert repr(load_dataset(path, target="kind", test_fraction=0.25)) == (
        "Dataset('f': 3 examples for training, 1 for testing, 2 features, 3 classes)"
    )


def test_a_numeric_target_means_regression_unless_told(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,y\n1,2,10\n3,4,9\n5,6,10\n")
    table = read_table(path, "y")
    assert table.task == "regression"
    assert table.y_train.tolist() == [10.0, 9.0, 10.0]
    assert table.y_train.dtype == np.float64
    table = read_table(path, "y", task="classification")
    assert table.class_names == ("9", "10")  # in the order of the numbers
    assert table.y_train.tolist() == [1, 0, 1]
    assert read_table(path, "y", drop=["a"]).feature_names == ("b",)
    path = write(tmp_path, "a,y\n1,0.5\n2,1.5\n")
    assert read_table(path, "y", task="classification").class_names == ("0.5", "1.5")


def test_words_and_truth_values(tmp_path: Path) -> None:
    # None, NA and ? are names of classes as good as any other; true and false are 1 and 0.
    table = read_table(write(tmp_path, "a,y\nTrue,NA\nFalse,None\nTrue,?\n"), "y")
    assert table.X_train.ravel().tolist() == [1.0, 0.0, 1.0]
    assert table.class_names == ("?", "NA", "None")
    table = read_table(write(tmp_path, "a,y\n1,True\n2,False\n"), "y")
    assert table.class_names == ("False", "True")
    assert table.y_train.tolist() == [1, 0]
    table = read_table(write(tmp_path, "a,y\n1,True\n2,False\n"), "y", task="regression")
    assert table.y_train.tolist() == [1.0, 0.0]


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).standard_normal(500) * 1e-5
    path = write(tmp_path, "a,y\n" + "".join(f"{x!r},{-x!r}\n" for x in numbers.tolist()))
    table = read_table(path, "y")
    assert np.array_equal(table.X_train.ravel(), numbers)
    assert np.array_equal(table.y_train, -numbers)


def test_columns_named_by_number_are_no_missing_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame(np.arange(6.0).reshape(2, 3)).to_csv(path, index=False)
    assert read_table(path, "2").X_train.tolist() == [[0.0, 1.0], [3.0, 4.0]]


def test_parquet_types(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, 2, 3], "Int64"),
            "single": np.array([0.5, 1.5, 2.5], np.float32),
            "truth": [True, False, True],
            "y": pd.Categorical(["b", "a", "b"]),
        }
    )
    frame.to_parquet(path)
    table = read_table(path, "y")
    assert table.X_train.tolist() == [[1, 0.5, 1], [2, 1.5, 0], [3, 2.5, 1]]
    assert (table.class_names, table.y_train.tolist()) == (("a", "b"), [1, 0, 1])
    frame["whole"] = pd.array([1, None, 3], "Int64")
    frame.to_parquet(path)
    with pytest.raises(DataError, match="column 'whole' has no value in data row 2"):
        read_table(path, "y")
    frame["whole"] = pd.to_datetime(["2020-01-01"] * 3)
    frame.to_parquet(path)
    with pytest.raises(DataError, match=r"column 'whole' holds Timestamp\('2020-01-01 .* is not a number"):
        read_table(path, "y")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,y\n1,2\nred,3\n", "column 'a' holds 'red' in data row 2, which is not a number"),
        ("a,y\n1_000,3\n", "column 'a' holds '1_000' in data row 1"),
        ("a;y\n1,5;3\n1.5;2\n", "column 'a' holds '1,5' in data row 1"),
        ('a,y\n"1,5",3\n', "column 'a' holds '1,5' in data row 1"),
        ("a,y\n?,2\nred,3\n", "column 'a' holds 'red' in data row 2"),
        ("a,y\n1,2\n,3\n", "column 'a' has no value in data row 2"),
        ("a,y\n1,2\n2,1\nNA,3\n", "column 'a' has no value in data row 3"),
        ("a,y\n?,2\n?,3\n", "column 'a' holds '?' in data row 1, which is not a number"),
        ("a,y\n1,2\nnan,3\n", "column 'a' has no value in data row 2"),
        ("a,y\n1,2\n-inf,3\n", "column 'a' is infinite in data row 2"),
        ("a,y\n1,2\n1e999,3\n", "column 'a' is infinite in data row 2"),
        ("a,y\n1,2\n3,\n", "column 'y' has no value in data row 2"),
        ("a,y\n1,2\n3,NA\n", "column 'y' has no value in data row 2"),
        ("a,y\n1,inf\n", "column 'y' is infinite in data row 1"),
        ("a,y\n1,red\n2,\n", "column 'y' has no value in data row 2"),
        ("a,y\n", "has a header but no rows"),
    ],
)
def test_cells_that_cannot_be_used_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table(write(tmp_path, content), "y")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("t.csv", b"\n\n", "is empty"),
        ("t.csv", b"PAR1xxxx", "not a text table: it is a Parquet file"),
        ("t.csv", b"PK\x03\x04xx", "it is a zip archive (or a spreadsheet)"),
        ("t.csv", gzip.compress(b"a,y\n1,2\n", mtime=0), "it is a gzip file; end its name in .gz"),
        ("t.csv", bytes(range(256)), "it holds binary data"),
        ("t.csv", "a,y\n1,é\n".encode("utf-16"), "it holds binary data"),
        ("t.csv", "a,y\n1,é\n".encode("latin-1"), "is not UTF-8 text"),
        ("t.csv.gz", b"a,y\n1,2\n", "is not a sound gzip file"),
        ("t.csv.gz", gzip.compress(b"a,y\n1,2\n" * 99, mtime=0)[:-12], "is cut off"),
        ("t.csv", b"1.5,2\n3,4\n", "has no header: its first line is numbers"),
        ("t.csv", b"a,a,y\n1,2,3\n", "has two columns named 'a'"),
        ("t.csv", b"a,y\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("t.csv", b"a,y\n1,2,3\n4,5,6\n", "the rows have more cells than the header has names"),
        ("t.csv", b'a,y\n"1,2\n', "cannot be read as a table: "),
        ("t.csv", b"a,b,y\n1,2,3\n\n3,4\n", "line 4 has 2 cells, the header 3. Complete the line"),
        ("t.csv", b'"a\nb";y\n1;2\n3\n', "line 4 has 1 cells, the header 2"),
        ("t.parquet", b"", "is empty"),
        ("t.parquet", b"a,y\n1,2\n", "is not a Parquet file: it starts with b'a,y\\n'"),
        ("t.parquet", b"PAR1", "damaged Parquet file"),
        ("t.parquet", b"PAR1 and then nothing", "is cut off"),
        ("t.parquet", b"PAR1" + bytes(40) + b"PAR1", "is a damaged Parquet file"),
        ("t.xlsx", b"PK\x03\x04", "known endings: '.csv'"),
    ],
)
def test_files_that_are_not_what_their_name_says(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(FileFormatError) as caught:
        read_table(write(tmp_path, content, name), "y")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, OptionError, "say which column is the target: one of 'length', 'width', 'kind'"),
        (
            {"target": "knid"},
            UnknownNameError,
            "has no column 'knid'. Did you mean 'kind'? Columns: 'length'",
        ),
        ({"target": "kind", "drop": ["widht"]}, UnknownNameError, "Did you mean 'width'?"),
        ({"target": "kind", "drop": ["kind"]}, OptionError, "no target column is left"),
        ({"target": "kind", "drop": ["length", "width"]}, OptionError, "no feature column is left"),
        (
            {"target": "kind", "task": "ranking"},
            OptionError,
            "task must be one of 'classification', 'regression'",
        ),
        ({"target": "kind", "task": "regression"}, DataError, "holds 'setosa' in data row 1"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    path = write(tmp_path, FLOWERS)
    with pytest.raises(error) as caught:
        read_table(path, **arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert str(path) in str(caught.value) or "task must" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["7", "007", "8", "7"], ("007", "7", "8")),
        (["2.50", "3.00", "2.5"], ("2.5", "2.50", "3.00")),
        (["1e3", "+1", "-0", "10"], ("-0", "+1", "10", "1e3")),
        (["true", "false"], ("false", "true")),
        (["9007199254740993", "9007199254740992"], ("9007199254740992", "9007199254740993")),
        ([" 7", "7 ", " a"], (" a", "7")),
    ],
)
def test_labels_come_back_as_the_file_has_them(
    tmp_path: Path, labels: list[str], names: tuple[str, ...]
) -> None:
    path = write(tmp_path, "a,y\n" + "".join(f"1,{label}\n" for label in labels))
    table = read_table(path, "y", task="classification")
    assert table.class_names == names
    assert [names[i] for i in table.y_train] == [x if x == " a" else x.strip() for x in labels]


def test_whole_numbers_of_parquet_are_labels_to_the_last_digit(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    labels = [9007199254740993, 9007199254740992]
    pd.DataFrame({"a": [1, 2], "y": labels, "z": [2.0, 0.5]}).to_parquet(path)
    table = read_table(path, "y", task="classification")
    assert table.class_names == ("9007199254740992", "9007199254740993")
    assert table.y_train.tolist() == [1, 0]
    assert read_table(path, "z", task="classification").class_names == ("0.5", "2")


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("t.csv", "a;b,c\n1,2\n3,4\n", ["a;b", "c"]),
        ("t.csv", "a, x;b;y\n1;2;3\n4;5;6\n", ["a, x", "b", "y"]),
        ("t.csv", '"a,x";b\n1;2\n', ["a,x", "b"]),
        ("t.csv", "a;b;y\n1,5;2,5;3,5\n4,1;5,1;6,1\n", ["a", "b", "y"]),
        ("t.csv", "a\ty,z\n1\t2\n3\t4\n", ["a", "y,z"]),
        ("t.tsv", "a,b\ty\n1,2\t3\n4,5\t6\n", ["a,b", "y"]),
        ("t.csv", 'a,y\n"1;2;3",4\n"1;2",3\n', ["a", "y"]),
        ("t.csv", "a\n1\n", ["a"]),
    ],
)
def test_the_mark_between_cells_is_the_one_that_divides_all_lines(
    tmp_path: Path, name: str, content: str, columns: list[str]
) -> None:
    path = write(tmp_path, content, name)
    assert read_columns(path) == columns
    assert list(read_frame(path).columns) == columns


def test_decimal_commas_beside_semicolons(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a;b;y\n1,685;2;6,5\n-,5;3;7\n+2,5e1;4;8,25\n"), "y")
    assert table.X_train.tolist() == [[1.685, 2.0], [-0.5, 3.0], [25.0, 4.0]]
    assert table.y_train.tolist() == [6.5, 7.0, 8.25]
    table = read_table(tmp_path / "t.csv", "y", task="classification")
    assert table.class_names == ("6,5", "7", "8,25")


def test_cells_stay_text_where_one_begins_with_a_zero_or_it_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n2.50,1\n1e3,2\n")
    assert read_frame(path)["a"].tolist() == [2.5, 1000.0]
    assert read_frame(path, as_text=["a"])["a"].tolist() == ["2.50", "1e3"]
    path = write(tmp_path, "a,b\n2.50,1\n1e3, -02\n")
    assert read_frame(path)["b"].tolist() == ["1", " -02"]
    assert read_frame(path, codes=False)["b"].tolist() == [1, -2]
    big = write(tmp_path, "a,b\n" + "100000,1\n" * 200_000 + "7,01\n" + "100000,1\n" * 99, "big.csv")
    assert read_frame(big)["b"].tolist()[200_000] == "01"


def test_columns_and_frames(tmp_path: Path) -> None:
    path = write(tmp_path, FLOWERS)
    assert read_columns(path) == ["length", "width", "kind"]
    assert read_frame(path)["kind"].tolist() == ["setosa", "versicolor", "virginica", "setosa"]
    with pytest.raises(DataError, match="has a header but no rows"):
        read_frame(write(tmp_path, "a,b\n", "none.csv"))


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "-2.5", "+.5", "5.", "1E-3", " 7 "],
        ["1", "NA", "?", None],
        ["01"],
        ["1", "x"],
        ["1_000"],
        ["true", "FALSE", "True"],
        ["true", "maybe"],
        ["1,5"],
        ["١"],
        ["2024-01-31"],
        ["NA", "?"],
    ],
)
def test_typed_columns_are_what_tabular_makes_of_the_text(cells: list[str | None]) -> None:
    texts = np.array([np.nan if cell is None else cell for cell in cells], object)
    quick, slow = read({"c": typed(texts, ".")}).columns[0], read({"c": texts}).columns[0]
    if {cell.lower() for cell in cells if cell} <= {"true", "false"}:
        assert quick.values.tolist() == [1.0, 0.0, 1.0]
        return
    assert quick.kind == slow.kind
    assert np.array_equal(quick.values, slow.values, equal_nan=quick.kind == "number")
    assert typed(texts, ".").dtype == (float if slow.kind == "number" else object)


def test_typed_truth_values_decimals_and_infinity() -> None:
    given = np.array(["true", "NA", np.nan, "False"], object)
    assert typed(given, ".").tolist() == [True, None, None, False]
    assert typed(np.array(["1,5", "2"], object), ",").tolist() == [1.5, 2.0]
    assert typed(np.array(["1,5", "2"], object), ".").tolist() == ["1,5", "2"]
    assert typed(np.array(["1.5", "2"], object), ",").tolist() == [1.5, 2.0]
    assert typed(np.array(["1", "-Inf"], object), ".").tolist() == [1.0, -np.inf]


def test_a_missing_table_and_a_wrong_option(tmp_path: Path) -> None:
    write(tmp_path, FLOWERS, "flowers.csv")
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'flowers.csv'\?"):
        read_table(tmp_path / "flower.csv", "kind")
    with pytest.raises(OptionError, match=r"no option 'targt'; it has 'target', 'task', 'drop'"):
        load_dataset(tmp_path / "flowers.csv", targt="kind")


def test_without_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, FLOWERS)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'clearprop\[data\]'"):
        read_table(path, "kind")


# ---- the real tables


@pytest.mark.parametrize(
    ("name", "target", "drop", "shape"),
    [
        ("abalone.csv.gz", "rings", ["sex"], (4177, 7)),
        ("california_housing.csv.gz", "MedHouseVal", [], (20_640, 8)),
        ("wine_quality.csv.gz", "quality", ["color"], (6497, 11)),
        ("wine_quality.csv.gz", "color", [], (6497, 12)),
        ("covertype_93k.csv.gz", "Cover_Type", [], (92_962, 54)),
    ],
)
def test_real_tables(name: str, target: str, drop: list[str], shape: tuple[int, int]) -> None:
    if realdata.find(name) is None:
        pytest.skip("real data not present")
    path = realdata.path(name)
    table = read_table(path, target, drop=drop)
    assert table.X_train.shape == shape
    frame = pd.read_csv(path)
    assert np.array_equal(table.X_train, frame[list(table.feature_names)].to_numpy(np.float64))
    expected = frame[target].tolist()
    if table.class_names is None:
        assert table.y_train.tolist() == expected
    else:
        assert [table.class_names[i] for i in table.y_train] == expected


@realdata.needs("adult_test.csv.gz")
def test_a_real_table_with_words_is_refused() -> None:
    with pytest.raises(DataError, match="column 'workclass' holds 'Private' in data row 1"):
        read_table(realdata.path("adult_test.csv.gz"), "income")
