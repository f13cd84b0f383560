"""What benchmarks/tables.py keeps of a file of results, and what it tells of where figures come from."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HERE = {
    "date": "2026-01-02",
    "commit": "bbb",
    "processor": "P",
    "load_before": 0.5,
    "versions": {"numpy": "2"},
}


@pytest.fixture
def tables(monkeypatch):
    pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")  # the module sets them where they are not: taken back afterwards
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = importlib.import_module("benchmarks.tables")
    monkeypatch.setattr(module, "describe", lambda: dict(HERE))
    monkeypatch.setattr(module, "load", lambda name, folder: ([0], [0], [0], [0]))
    return module


def measuring(tables, monkeypatch, save: Path, seeds: int, model: str = "forest"):
    """Run the benchmark with an estimator that costs nothing."""

    def quick(model, data, measure, seed, origin):
        return {"figure": 0.5, "fit_cpu_s": 1.0, "fit_wall_s": 1.0, "predict_cpu_s": 1.0, **origin}

    monkeypatch.setattr(tables, "measured", quick)
    options = argparse.Namespace(data=["adult"], models=[model], seeds=seeds, folder=Path(), save=save)
    return tables.run(options)


def test_an_earlier_figure_keeps_its_origin_and_a_note_stays(tables, monkeypatch, tmp_path) -> None:
    save = tmp_path / "tables.json"
    measuring(tables, monkeypatch, save, seeds=1)
    first = json.loads(save.read_text())
    assert first["sets"]["adult"]["models"]["forest"]["0"]["commit"] == "bbb"
    save.write_text(json.dumps({**first, "note": "by hand"}))
    monkeypatch.setattr(tables, "describe", lambda: {**HERE, "commit": "ccc", "date": "2026-01-03"})
    found = measuring(tables, monkeypatch, save, seeds=2)
    kept = json.loads(save.read_text())
    assert kept == found
    assert kept["note"] == "by hand"
    seeds = kept["sets"]["adult"]["models"]["forest"]
    assert seeds["0"] == first["sets"]["adult"]["models"]["forest"]["0"]
    assert (seeds["1"]["commit"], seeds["1"]["machine"]) == ("ccc", 1)
    assert [machine["date"] for machine in kept["machines"]] == ["2026-01-02", "2026-01-03"]
    assert "load_before" not in kept["machines"][0]
    said = "The mean of random forest on adult mixes bbb on machine 0, ccc on machine 1."
    assert tables.table(found).splitlines()[-1] == said


def test_a_mean_of_one_commit_needs_no_word(tables, monkeypatch, tmp_path) -> None:
    found = measuring(tables, monkeypatch, tmp_path / "tables.json", seeds=3)
    assert found["machines"] == [{key: HERE[key] for key in ("date", "processor", "versions")}]
    assert len(tables.table(found).splitlines()) == 3


def test_the_estimators_figure_has_its_origin(tables) -> None:
    X = pytest.importorskip("pandas").DataFrame({"a": [0.0, 1.0] * 10})
    y = X["a"].to_numpy()
    one = tables.measured("forest", (X, X, y, y), "accuracy", 0, {"commit": "bbb", "machine": 4})
    assert (one["figure"], one["commit"], one["machine"]) == (1.0, "bbb", 4)


def test_the_published_result_says_where_each_figure_comes_from() -> None:
    result = json.loads((ROOT / "benchmarks/results/2026-11-23-tables.json").read_text(encoding="utf-8"))
    for own in result["sets"].values():
        for seeds in own["models"].values():
            for one in seeds.values():
                assert one["commit"]
                assert result["machines"][one["machine"]]["processor"]
