"""The trust tests of numbers and input, with tiny counts; and that each can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from trust import against_torch, hostile, many_fits, metamorphic, mutation, random_gradients
from trust.frame import Result
from trust.hostile_calls import call, targets

from clearprop.activations import Tanh
from clearprop.engines import batch
from clearprop.layers import Dense


def figure(result: Result, what: str) -> float:
    return next(figure.value for figure in result.figures if figure.what == what)


def off(right: Any, factor: float) -> Any:
    return lambda self, *arguments: factor * right(self, *arguments)


def test_a_slope_that_is_off_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tanh, "df", off(Tanh.df, 1.000001))
    result = random_gradients.run(60, seed=1)
    assert not result.passed
    assert "off by" in result.failures[0]
    assert "Tanh()" in result.failures[0]
    assert "n_in=1, n=1, seed=0, training=False" in result.failures[0]  # the smallest that shows it


def test_a_float32_network_that_widens_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dense, "backward", widened(Dense.backward))
    assert not random_gradients.run(60, seed=1).passed


def widened(right: Any) -> Any:
    def backward(self: Any, *arguments: Any) -> Any:
        record = right(self, *arguments)
        return record._replace(dC_db=np.asarray(record.dC_db, dtype=np.float64))

    return backward


def test_metamorphic_relations_hold() -> None:
    result = metamorphic.run(40, seed=1)
    assert result.passed, result


def test_forgotten_weights_break_a_metamorphic_relation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "weighted", lambda rows, weights: rows)
    result = metamorphic.run(40, seed=1)
    assert not result.passed
    assert figure(result, "changes that mattered") >= 1


def test_networks_have_the_gradients_of_pytorch() -> None:
    pytest.importorskip("torch")
    result = against_torch.run(25, seed=1)
    assert result.passed, result


def test_a_wrong_rule_differs_from_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(Tanh, "df", off(Tanh.df, 1 + 1e-9))
    assert not against_torch.run(60, seed=1).passed


# -- hostile calls -------------------------------------------------------------------------------------


def test_hostile_calls_are_answered() -> None:
    result = hostile.run(150, seed=3)
    assert result.passed, result
    assert figure(result, "gave a result") > 30


def test_the_same_call_again_is_the_same_call() -> None:
    assert [call(5, k).what[:60] for k in range(3)] == [call(5, k).what[:60] for k in range(3)]


def test_every_public_name_is_called() -> None:
    names = [name for name, _ in targets()]
    assert {"Network", "Adam", "fit_many", "check_gradient", "plots.boundary", "datasets.moons"} <= set(names)
    assert len(names) > 150


def test_an_error_from_deep_inside_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*arguments: Any, **options: Any) -> Any:
        return [].nothing  # type: ignore[attr-defined]

    monkeypatch.setattr("trust.hostile_calls.targets", lambda: (("careless", careless),))
    verdicts = {call(1, k).verdict for k in range(40)}
    assert "deep" in verdicts


CALLS = """
import json, os, signal, sys
from trust import hostile_child

def make(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 6:
        signal.pause()
    verdict = "time" if number == 4 else "result"
    return {"number": number, "verdict": verdict, "by": os.getpid(), "at": os.getcwd()}

hostile_child.LONGEST = 1
hostile_child.answer(make, 0, 8, sys.stdout)
"""


def test_after_a_crash_and_after_a_call_without_end_it_goes_on_with_the_next() -> None:
    done = subprocess.run([sys.executable, "-c", CALLS], cwd=hostile.ROOT, capture_output=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    verdicts = ["result", "result", "crash", "result", "time", "result", "crash", "result"]
    assert [a["verdict"] for a in answers] == verdicts, done.stderr
    assert [a["number"] for a in answers] == list(range(8))
    by = [a.get("by") for a in answers]
    assert by[0] == by[1] != by[3] == by[4] != by[5] != by[7]
    assert len({a["at"] for a in answers if "at" in a}) == 4  # each fork has a folder of its own
    assert "exit code -9" in answers[2]["said"]
    assert "exit code -14" in answers[6]["said"]


def test_a_crash_misses_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{"number": k, "what": "f()", "verdict": "refused", "said": "", "where": ""} for k in range(3)]
    answers[1]["verdict"] = "crash"
    monkeypatch.setattr(hostile, "_answers", lambda seed, start, stop: answers[start:stop])
    result = hostile.run(3, seed=0)
    assert figure(result, "crashes") == 1
    assert not result.passed


# -- mutation ------------------------------------------------------------------------------------------


def test_a_mutant_of_the_equations_is_noticed_and_the_package_itself_is_not(tmp_path: Any) -> None:
    mutant = next(
        m
        for m in mutation.mutants(10**9, 0)
        if m.file == "optimizers/gradient_descent.py"
        and m.place.kind == "sign changed"
        and m.place.function == "SGD.update"
    )
    with closing(mutation.Judge(tmp_path)) as judge:
        path = judge.folder / "clearprop" / mutant.file
        before = path.read_text(encoding="utf-8")
        assert before != mutant.place.rewrite().source
        assert judge(mutant) == "killed"
        assert path.read_text(encoding="utf-8") == before
        assert judge.look_at(mutant.file, "import nowhere_to_be_found") == "killed"
        assert judge.look_at(mutant.file, before) == "survived"
        judge.check(mutant.file)
        path.write_text("import nowhere_to_be_found", encoding="utf-8")
        with pytest.raises(RuntimeError, match="cannot be collected, with the file as it is"):
            judge.check(mutant.file)
        path.write_text(before, encoding="utf-8")
        with pytest.raises(RuntimeError, match="cannot be judged: the tests ended with the exit code 4"):
            judge._ask({"options": ["no/such/test.py"], "words": []})


def test_it_says_how_many_mutants_there_were(monkeypatch) -> None:
    few = mutation.mutants(3, 0)
    monkeypatch.setattr(mutation, "_in_turns", lambda: tuple(few))
    monkeypatch.setattr(mutation, "_verdicts", lambda judged: ["killed" for _ in judged])
    assert mutation.run(100, 0).done == 3


def test_mutants_are_drawn_from_every_part_and_by_the_seed() -> None:
    drawn = mutation.mutants(60, 0)
    assert list(map(str, drawn)) == list(map(str, mutation.mutants(60, 0)))
    assert not set(map(str, drawn)) & set(map(str, mutation.mutants(60, 1)))
    everyone = {m.file for m in mutation.mutants(10**9, 0)}
    assert all(any(file.startswith(part) for file in everyone) for part in mutation.KILLERS)


# -- memory --------------------------------------------------------------------------------------------


def test_memory_does_not_grow_over_fits() -> None:
    result = many_fits.run(60, seed=0)
    assert result.passed, result


KEPT: list[Any] = []


def leak(number: int) -> None:
    KEPT.append(np.ones(100_000))


def test_memory_that_grows_is_seen() -> None:
    grown, _ = many_fits.growth(60, leak)
    assert grown > many_fits.SLACK + many_fits.MOST_PER_FIT * 30
