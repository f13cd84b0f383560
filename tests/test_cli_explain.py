"""The command `clearprop explain`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import clearprop as cp

DATA = ["data.csv", "--target", "label"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small classifier of the moons, saved."""
    X, y = cp.datasets.moons(200, noise=0.1, seed=0)
    net = cp.Network([cp.Dense(5, "tanh"), cp.Dense(3, "relu"), cp.Dense(2, "softmax")], seed=0)
    net.fit(X, y, epochs=3)
    return net.save(tmp_path_factory.mktemp("model") / "moons.safetensors")


@pytest.fixture
def table(tmp_path):
    X, y = cp.datasets.moons(20, noise=0.1, seed=1)
    rows = [f"{float(a)!r},{float(b)!r},{label}" for (a, b), label in zip(X, y, strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(["first,second,label", *rows]) + "\n", encoding="utf-8")
    return X, y


def test_one_weight_is_what_the_library_says(clearprop, model, table):
    X, y = table
    asked = ["--example", "3", "--layer", "2", "--weight", "1,4"]
    code, out, _ = clearprop("explain", model, *DATA, *asked)
    assert code == 0
    expected = cp.load(model).explain(X[3], y[3], layer=2, weight=(1, 4))
    assert out == f"{expected}\n"
    code, out, _ = clearprop("explain", model, *DATA, *asked, "--json")
    data = json.loads(out)
    assert code == 0
    assert (data["command"], data["example"], data["index"]) == ("explain", 3, [1, 4])
    assert data["value"] == expected.value
    code, out, _ = clearprop("explain", model, *DATA, *asked, "--latex")
    assert (code, out) == (0, expected.to_latex())


def test_layers_and_networks(clearprop, model, table):
    X, y = table
    net = cp.load(model)
    assert clearprop("explain", model, *DATA)[1] == f"{net.explain(X[0], y[0])}\n"
    assert clearprop("explain", model, *DATA, "--layer", "3")[1] == f"{net.explain(X[0], y[0], layer=3)}\n"
    assert clearprop("explain", model, *DATA, "--why")[1] == f"{net.why(X, y)}\n"
    out = clearprop("explain", model, *DATA, "--why", "--layer", "2", "--neuron", "1", "--example", "5")[1]
    assert out == f"{net.why(X[5:6], y[5:6], layer=2, neuron=1)}\n"


def test_json_has_the_example_that_was_taken(clearprop, model, table):
    X, y = table
    net = cp.load(model)
    for asked, taken in [
        ([], 0),
        (["--example", "4"], 4),
        (["--why"], None),
        (["--why", "--example", "0"], 0),
    ]:
        code, out, _ = clearprop("explain", model, *DATA, "--layer", "2", "--bias", "1", *asked, "--json")
        found = json.loads(out)
        assert (code, found["example"]) == (0, taken)
        rows = slice(None) if taken is None else slice(taken, taken + 1)
        gradient = net.trace(X[rows], y[rows])[2].dC_db[1]
        assert found["gradient" if "--why" in asked else "value"] == pytest.approx(gradient, rel=1e-5)


def test_html_is_written_and_not_overwritten_unasked(clearprop, model, table):
    asked = ["explain", model, *DATA, "--layer", "1", "--bias", "2", "--html", "why.html"]
    assert clearprop(*asked)[:2] == (0, "why.html\n")
    text = Path("why.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "<script" not in text
    code, _, err = clearprop(*asked)
    assert code == 1
    assert "why.html exists. Add --force to replace, or --html PATH" in err
    assert clearprop(*asked, "--force")[0] == 0


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (["--layer", "9"], 2, "there is no layer '9'. Layers: 0 input (2), 1 Dense (2 → 5)"),
        (["--layer", "2", "--weight", "7,0"], 1, "layer 2 has 3 neurons, counted from 0 to 2. Got neuron 7."),
        (["--layer", "2", "--weight", "7"], 2, "--weight must be j,k, such as 3,7"),
        (["--layer", "2", "--weight", "a,b"], 2, "--weight must be j,k, such as 3,7"),
        (["--layer", "2", "--weight=--3,1"], 2, "--weight must be j,k, such as 3,7"),
        (["--layer", "2", "--weight=-1,0"], 2, "both counted from 0. Got '-1,0'."),
        (["--layer", "2", "--weight", "²,0"], 2, "--weight must be j,k, such as 3,7"),
        (["--layer", "2", "--weight", "9" * 5000 + ",0"], 2, "--weight must be j,k, such as 3,7"),
        (["--layer", "2", "--weight", "0,0", "--bias", "1"], 2, "Got weight and bias."),
        (["--weight", "0,0"], 2, "weight belongs to a layer."),
        (
            ["--example", "20", "--layer", "1"],
            2,
            "--example 20: there are 20 examples, counted from 0 to 19.",
        ),
        (["--latex", "--json"], 2, "--latex and --json are different forms"),
    ],
)
def test_mistakes_get_one_line(clearprop, model, table, asked, code, message):
    found, out, err = clearprop("explain", model, *DATA, *asked)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1


def test_help_has_examples_and_lists_the_command(clearprop):
    code, out, _ = clearprop("explain", "--help")
    assert code == 0
    assert "clearprop explain digits.safetensors digits --example 3 --layer 3 --weight 3,7" in out
    assert all(option in out for option in ("--example", "--layer", "--weight", "--why", "--latex", "--html"))
    assert "explain" in clearprop("--help")[1]
