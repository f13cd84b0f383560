"""clearprop.predict: the same outputs as the network's, with less imported."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import FileFormatError, NotInitializedError, OptionError, ShapeError
from clearprop.predict import Predictor, load_predictor, main
from clearprop.tabular import TabularClassifier, TabularModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 4))
WORDS = np.array(["kelp", "moss", "fern"])[np.argmax(X[:, :3], axis=1)]

NETWORKS: dict[str, tuple[list[Any], Any]] = {
    "words": ([cp.Dense(6, "tanh"), cp.Dropout(0.3), cp.Dense(3, "softmax")], WORDS),
    "two": ([cp.Dense(6, "prelu"), cp.BatchNorm(), cp.Dense(1, "sigmoid")], X[:, 0] > 0),
    "numbers": ([cp.Residual([cp.Dense(5, "gelu"), cp.Dense()]), cp.LayerNorm(), cp.Dense(1)], X[:, 0]),
    "many": ([cp.Dense(6, "relu"), cp.Dense(3, "sigmoid")], (X[:, :3] > 0).astype(int)),
}


def saved(kind: str, folder: Path, **options: Any) -> tuple[Any, Path]:
    layers, y = NETWORKS[kind]
    net = cp.Network(layers, seed=0, **options)
    net.fit(X, y, epochs=3)
    return net, net.save(folder / f"{kind}.safetensors", extra={"made": "here"})


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_outputs_are_the_networks_bit_for_bit(kind: str, dtype: str, tmp_path: Path) -> None:
    net, path = saved(kind, tmp_path, dtype=dtype, preprocessing="standardize")
    predictor = load_predictor(path)
    expected = net.outputs(X, engine="batch")
    found = predictor.outputs(X)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    predicted = predictor.predict(X)
    assert predicted.dtype == net.predict(X).dtype
    np.testing.assert_array_equal(predicted, net.predict(X, engine="batch"))
    if kind == "numbers":
        with pytest.raises(OptionError, match="predict_proba needs probabilities of classes"):
            predictor.predict_proba(X)
    else:
        np.testing.assert_array_equal(predictor.predict_proba(X), net.predict_proba(X, engine="batch"))
    assert predictor.extra == {"made": "here"}
    assert predictor.classes == (() if net.targets is None else net.targets.classes)


def test_what_is_given_is_checked_as_the_network_does(tmp_path: Path) -> None:
    net, path = saved("words", tmp_path)
    predictor = load_predictor(path)
    for wrong in (X[:, :3], X[0], X[:0], [["a"] * 4], np.full((2, 4), np.nan), {"a": 1}):
        with pytest.raises(cp.ClearpropError) as theirs:
            net.outputs(wrong)
        with pytest.raises(type(theirs.value)) as ours:
            predictor.outputs(wrong)
        assert str(ours.value) == str(theirs.value)


def test_a_predictor_cannot_be_changed(tmp_path: Path) -> None:
    _, path = saved("two", tmp_path)
    predictor = load_predictor(path)
    for numbers in (predictor.state.theta, predictor.state.buffers, predictor.state.params[0]["W"]):
        with pytest.raises(ValueError, match="read-only"):
            numbers[...] = 0
    with pytest.raises(AttributeError):
        predictor.targets = None


def test_many_threads_use_one_predictor(tmp_path: Path) -> None:
    _, path = saved("numbers", tmp_path)
    predictor = load_predictor(path)
    rows = [X + k for k in range(40)]
    alone = [predictor.outputs(r) for r in rows]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(predictor.outputs, rows))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_own_activations_are_passed_in(tmp_path: Path) -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Square(cp.activations.ActivationFunction):
        name = "square"

        def f(self, z: Any) -> Any:
            return z * z

        def df(self, z: Any, a: Any) -> Any:
            return 2.0 * z

    net = cp.Network([cp.Dense(3, Square()), cp.Dense(1)], n_in=4, seed=0)
    path = net.save(tmp_path / "own.safetensors")
    with pytest.raises(FileFormatError, match="square"):
        load_predictor(path)
    np.testing.assert_array_equal(
        load_predictor(path, custom=[Square]).outputs(X), net.outputs(X, engine="batch")
    )


def test_a_network_that_waits_for_its_data_cannot_predict(tmp_path: Path) -> None:
    net = cp.Network([cp.Dense(1)], n_in=4, preprocessing="standardize")
    path = net.save(tmp_path / "waits.safetensors")
    with pytest.raises(NotInitializedError, match="takes its preprocessing from the data of fit"):
        load_predictor(path)


TABLE = {"tabular": {"version": 1, "members": 1, "encoding": {}, "temperature": 1.0, "limits": []}}


@pytest.mark.parametrize("own", [{"about": 1}, "a note", None, [1], {"version": 1}])
def test_the_users_own_data_under_that_name_make_no_table_model(own: Any, tmp_path: Path) -> None:
    path = cp.Network([cp.Dense(1)], n_in=4).save(tmp_path / "own.safetensors", extra={"tabular": own})
    predictor = load_predictor(path)
    assert isinstance(predictor, Predictor)
    assert predictor.extra == {"tabular": own}


def test_a_table_model_without_its_reader_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cp.Network([cp.Dense(1)], n_in=4).save(tmp_path / "table.safetensors", extra=TABLE)
    monkeypatch.setitem(sys.modules, "clearprop.tabular", None)
    with pytest.raises(FileFormatError, match="holds a table model"):
        load_predictor(path)


def test_a_table_model_is_given_to_its_own_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = cp.Network([cp.Dense(1)], n_in=4)
    path = net.save(tmp_path / "table.safetensors", extra=TABLE)
    asked: list[Any] = []

    class TabularModel:
        classes = ()

        @staticmethod
        def load(file: Any, *, custom: Any) -> Any:
            asked.append((file, custom))
            return TabularModel()

        def predict(self, columns: Any) -> Any:
            asked.append(columns)
            return np.array([1.5, 2.0])

    fake = types.ModuleType("clearprop.tabular")
    fake.TabularModel = TabularModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "clearprop.tabular", fake)
    assert isinstance(load_predictor(path), TabularModel)
    assert asked == [(path, ())]
    status, out, _ = command([str(path)], "size,colour\n1.5,red\n,blue\n", monkeypatch)
    assert (status, out) == (0, "prediction\n1.5\n2.0\n")
    assert asked[-1] == {"size": ["1.5", None], "colour": ["red", "blue"]}


def test_a_real_table_model_predicts_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"size": X[:, 0].round(3).tolist(), "colour": [None, "red"] * 35, "sold": [True, False] * 35}
    model = TabularClassifier(members=2, hidden=(4,), epochs=3).fit(table, WORDS)
    path = model.save(tmp_path / "table.safetensors")
    predictor = load_predictor(path)
    assert isinstance(predictor, TabularModel)
    np.testing.assert_array_equal(predictor.predict(table), model.model_.predict(table))
    np.testing.assert_array_equal(predictor.predict_proba(table), model.model_.predict_proba(table))
    np.testing.assert_array_equal(predictor.outputs(table), model.model_.outputs(table))
    rows = zip(table["sold"], table["colour"], table["size"], strict=True)
    status, out, errors = command(
        [str(path)],
        as_csv([["" if cell is None else str(cell) for cell in row] for row in rows], "sold,colour,size\n"),
        monkeypatch,
    )
    assert (status, errors) == (0, "")
    assert out.split() == ["prediction", *model.predict(table).tolist()]


# -- what is imported ----------------------------------------------------------------------------

NOT_NEEDED = (
    "clearprop.engines",
    "clearprop.fitting",
    "clearprop.network",
    "clearprop.optimizers",
    "clearprop.trace",
    "clearprop.training.loop",
    "clearprop.training.callbacks",
)


def test_neither_training_nor_another_package_is_imported(tmp_path: Path) -> None:
    _, path = saved("words", tmp_path)
    np.save(tmp_path / "X.npy", X)
    source = (
        "import sys\nfrom clearprop.predict import load_predictor\nimport numpy as np\n"
        f"load_predictor({str(path)!r}).predict_proba(np.load({str(tmp_path / 'X.npy')!r}))\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "clearprop.layers" in loaded
    assert not loaded & set(NOT_NEEDED)
    others = ("pandas", "scipy", "sklearn", "matplotlib", "torch", "jax", "rich", "typer")
    assert not loaded & set(others)


# -- from the command line -----------------------------------------------------------------------


def command(words: list[str], text: str, patch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Return status, output and errors of the command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    patch.setattr(sys, "stdin", io.StringIO(text))
    patch.setattr(sys, "stdout", out)
    patch.setattr(sys, "stderr", err)
    try:
        status = main(words)
    finally:
        patch.undo()
    return status, out.getvalue(), err.getvalue()


def as_csv(rows: Any, header: str = "") -> str:
    file = io.StringIO(header)
    file.seek(0, io.SEEK_END)
    csv.writer(file, lineterminator="\n").writerows(np.asarray(rows).tolist())
    return file.getvalue()


def test_rows_come_in_and_predictions_go_out(tmp_path: Path) -> None:
    net, path = saved("words", tmp_path)
    words = [sys.executable, "-W", "error", "-m", "clearprop.predict", str(path), "--proba"]
    done = subprocess.run(words, input=as_csv(X), capture_output=True, text=True, check=True)
    head, *rows = csv.reader(io.StringIO(done.stdout))
    assert (tuple(head), done.stderr) == (net.targets.classes, "")
    found = np.array([[float(cell) for cell in row] for row in rows])
    np.testing.assert_array_equal(found, net.predict_proba(X, engine="batch"))


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_of_prediction_is_a_table(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, path = saved(kind, tmp_path, dtype="float32")
    expected = net.predict(X, engine="batch").reshape(len(X), -1)
    status, out, _ = command([str(path)], as_csv(X), monkeypatch)
    head, *rows = csv.reader(io.StringIO(out))
    several = ["prediction_0", "prediction_1", "prediction_2"]
    assert (status, head) == (0, several if kind == "many" else ["prediction"])
    if expected.dtype == bool:
        assert rows == [[str(yes)] for yes in expected[:, 0].tolist()]
    else:
        np.testing.assert_array_equal(np.array(rows).astype(expected.dtype), expected)
    status, out, _ = command([str(path), "--outputs"], as_csv(X), monkeypatch)
    _, *rows = csv.reader(io.StringIO(out))
    np.testing.assert_array_equal(np.array(rows).astype(np.float32), net.outputs(X, engine="batch"))


def test_columns_are_picked_by_name_where_the_model_knows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, _ = saved("words", tmp_path)
    path = net.save(tmp_path / "named.safetensors", extra={"data": {"feature_names": ["a", "b", "c", "d"]}})
    mixed = as_csv(np.column_stack([X[:, 3], X[:, 0], X[:, 0] * 0 + 7, X[:, 1], X[:, 2]]), "d,a,other,b,c\n")
    _, out, _ = command([str(path)], mixed, monkeypatch)
    assert out.split()[1:] == net.predict(X).tolist()
    status, out, err = command([str(path)], "a,b,cc,d\n1,2,3,4\n", monkeypatch)
    assert (status, out) == (1, "")
    assert "no column 'c', which the model needs. Did you mean 'cc'?" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "standard input holds no rows"),
        ("1,2,3,4\n1,2,3\n", "line 2 of standard input holds 3 values; the first line 4"),
        ("a,b,c,d\n1,2,x,4\n", "line 2 of standard input holds 'x', which is no number"),
        ("\n1,2,3,4\n\n\n1,2,3\n", "line 5 of standard input holds 3 values"),
        ("\na,b,c,d\n\n1,2,x,4\n", "line 4 of standard input holds 'x'"),
        ("1,2,3\n", "X has shape (examples=1, features=3); layers[1] expects (examples, features=4)"),
        ("1,2,nan,4\n", "X holds nan in row 0, column 2"),
        ("a,b,c,d\n", "X is empty"),
    ],
)
def test_bad_rows_are_one_line_of_error(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = saved("words", tmp_path)
    status, out, err = command([str(path)], text, monkeypatch)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: ")
    assert said in err


def test_wrong_usage_and_a_missing_file_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in ([], ["a", "b"], ["a", "--prob"], ["a", "--proba", "--outputs"]):
        status, _, err = command(words, "", monkeypatch)
        assert (status, err.startswith("usage: python -m clearprop.predict MODEL")) == (2, True)
    status, out, _ = command(["--help"], "", monkeypatch)
    assert status == 0
    assert "``--proba`` writes a column for each class" in out
    status, _, err = command([str(tmp_path / "none.safetensors")], "1\n", monkeypatch)
    assert (status, err[:6]) == (1, "error:")


def test_shapes_of_the_wrong_kind_raise_the_networks_error(tmp_path: Path) -> None:
    _, path = saved("words", tmp_path)
    predictor = load_predictor(path)
    assert isinstance(predictor, Predictor)
    with pytest.raises(ShapeError):
        predictor.predict(X[:, :2])
