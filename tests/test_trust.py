"""The tests of trust/, each with a tiny count, and each with a fault that it must catch."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trust import __main__ as runner
from trust import (
    bit_flips,
    crafted_files,
    failing_calls,
    full_disk,
    kill,
    long,
    mutated_files,
    mutation,
    page,
    power_loss,
    registry,
    separate,
    shim,
    table,
)
from trust.forge import sign, take_apart
from trust.frame import Figure, Result, Test, command, measured
from trust.planted import SOUND, WRITERS
from trust.samples import recording, saved_network
from trust.shim import under_shim
from trust.watch import Cost, Forbidden, cost_of, only_reading

import clearprop as cp
from clearprop import io
from clearprop.errors import FileFormatError

ROOT = Path(__file__).resolve().parent.parent
with_shim = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None,
    reason="the calls of a process are broken by a library before libc's: Linux and a C compiler are needed",
)


def small(load=cp.load):
    """Return what draws the smallest network alone."""
    return lambda seed: [saved_network(cp.Network([1, 1], seed=seed))._replace(load=load)]


def careless(path):
    """Load the arrays of a file without a look at its checksum, as many a loader does."""
    return io.safetensors.arrays(io.safetensors.read_raw(path))


# Files -------------------------------------------------------------------------------------------


def test_bit_flips() -> None:
    result = bit_flips.run(1, 0, small())
    assert result.passed, result.failures
    assert result.figures[0].value > 1000


def test_bit_flips_are_tried_on_every_kind_of_file() -> None:
    assert [sample.kind for sample in bit_flips.every_kind(0)] == ["network", "recording", "checkpoint"]


def test_bit_flips_catch_a_loader_without_a_checksum() -> None:
    result = bit_flips.run(1, 0, small(careless))
    assert not result.passed
    assert any("accepted" in failure for failure in result.failures)


def test_crafted_files() -> None:
    result = crafted_files.run(1, 0)
    assert result.passed, result.failures


def test_crafted_files_catch_a_careless_loader() -> None:
    failures = crafted_files.run(1, 0, careless).failures
    assert any("accepted" in failure for failure in failures)


def test_mutated_files() -> None:
    result = mutated_files.run(300, 0)
    assert result.passed, result.failures


def importing(path):
    """Load a network, and import a module that nothing has imported yet."""
    sys.modules.pop("symtable", None)
    __import__("symtable")
    return cp.load(path)


def running(path):
    """Load a network and compile something."""
    compile("1 + 1", "a file", "eval")
    return cp.load(path)


def opening(path):
    """Load a network and look at another file."""
    Path(__file__).read_bytes()
    return cp.load(path)


def swallowing(path):
    """Open another file and hide that it was forbidden."""
    with contextlib.suppress(BaseException):
        Path(__file__).read_bytes()
    return cp.load(path)


def hungry(path):
    """Load a network, holding 8 MB meanwhile."""
    held = bytearray(8_000_000)
    return cp.load(path) if held else None


def slow(path):
    """Load a network after 60 ms of work."""
    end = time.thread_time() + 0.06
    while time.thread_time() < end:
        pass
    return cp.load(path)


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (importing, "forbidden: import"),
        (running, "forbidden: compile"),
        (opening, "forbidden: open"),
        (swallowing, "forbidden: open"),
        (hungry, "bytes"),
        (slow, "ms of processor time"),
        (careless, "accepted, though"),
    ],
)
def test_mutated_files_catch(load, words) -> None:
    result = mutated_files.run(12 if load is not careless else 100, 0, load)
    assert not result.passed
    assert any(words in failure for failure in result.failures), result.failures[:3]


def test_only_reading_allows_the_file_itself(tmp_path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with only_reading(path):
        assert path.read_bytes() == b"abc"
    with pytest.raises(Forbidden, match="open"), only_reading(path):
        path.write_bytes(b"")


def test_a_miss_by_noise_is_tried_again() -> None:
    tries = []

    def work() -> None:
        tries.append(bytearray(1_000_000 if not tries else 10))

    assert cost_of(work, Cost(1.0, 10_000)).bytes <= 10_000
    assert len(tries) == 2


def costs(size: int) -> dict[str, int]:
    """Return the bytes that some work costs, measured in this process."""
    most = Cost(60.0, sys.maxsize)
    work = {
        "plain": lambda: bytearray(size),
        "array": lambda: np.full(size, 7, np.uint8),
        "twice": lambda: (bytearray(size), np.ones(size, np.uint8)),
        "one after the other": lambda: [len(bytearray(size)) for _ in range(3)],
        "grown": lambda: bytearray(size // 2).extend(bytes(size // 2)),
    }
    return {name: cost_of(one, most).bytes for name, one in work.items()}


@with_shim
def test_memory_is_measured_to_the_byte_or_nearly() -> None:
    size = 600_000
    found = under_shim("tests.test_trust", "costs", size)
    for name in ("plain", "array", "one after the other"):
        assert size <= found[name] < 1.02 * size, (name, found)
    assert 2 * size <= found["twice"] < 2.02 * size
    assert size <= found["grown"] < 2.3 * size
    assert found == {name: pytest.approx(value, abs=20_000) for name, value in costs(size).items()}


@pytest.mark.parametrize("extra", [0.5, [], {"recording": 1}, {"recording": {"data": 0.5}}])
def test_a_recording_of_another_content_is_refused_by_name(tmp_path, extra) -> None:
    sample, path = recording(0), tmp_path / "run.safetensors"
    sample.save(path, False)
    parts = take_apart(path.read_bytes())
    parts.header["__metadata__"]["extra"]["extra"] = extra
    path.write_bytes(sign(*parts))
    with pytest.raises(FileFormatError):
        sample.load(path)


# Saves -------------------------------------------------------------------------------------------


@with_shim
def test_failing_calls() -> None:
    result = failing_calls.run(1, 0, SOUND)
    assert result.passed, result.failures


@with_shim
@pytest.mark.parametrize("writer", ["in_place", "deleted_first"])
def test_failing_calls_catch(writer) -> None:
    assert failing_calls.run(1, 0, writer).failures


@with_shim
def test_full_disk() -> None:
    result = full_disk.run(1, 0, SOUND)
    assert result.passed, result.failures


@with_shim
def test_full_disk_catches_a_writer_in_place() -> None:
    assert any("neither" in failure for failure in full_disk.run(1, 0, "in_place").failures)


@with_shim
def test_power_loss() -> None:
    result = power_loss.run(1, 0, planted=("without_fsync",))
    assert result.passed, result.failures


@with_shim
@pytest.mark.parametrize("writer", WRITERS)
def test_power_loss_catches(writer) -> None:
    _, failures = power_loss.under_shim("trust.power_loss", "inside", 1, 0, writer)
    assert failures


@with_shim
def test_power_loss_does_not_catch_a_sound_writer() -> None:
    found, failures = power_loss.under_shim("trust.power_loss", "inside", 1, 0, SOUND)
    assert not failures
    assert found["states"] > 10


@with_shim
def test_kill() -> None:
    result = kill.run(3, 0)
    assert not result.failures
    assert result.figures[0].value >= 3


@with_shim
def test_kill_catches_other_bits() -> None:
    assert "other bits" in kill.run(1, 0, forgetful=True).failures[0]


# The frame ---------------------------------------------------------------------------------------


def a_test(*figures: Figure, failures: tuple[str, ...] = ()) -> Test:
    return Test("crafted_files", "all is well", lambda count, seed: Result(figures, failures), 1, 2)


def test_a_result_without_a_gate_has_not_passed() -> None:
    assert not Result((Figure("told", 1),)).passed
    assert not Result(()).passed
    assert Result((Figure("held", 1, at_least=1), Figure("told", 1))).passed
    assert not Result((Figure("held", 1, at_least=1),), ("a failure",)).passed
    assert not Result((Figure("held", float("nan"), at_least=1),)).passed


def test_a_command_ends_with_1_where_a_gate_is_missed(capsys) -> None:
    assert command(a_test(Figure("accepted", 0, at_most=0)), []) == 0
    assert command(a_test(Figure("accepted", 1, at_most=0), failures=("file 3",)), ["--seed", "4"]) == 1
    said = capsys.readouterr().out
    assert "MISSED" in said
    assert "file 3" in said
    assert "python -m trust.crafted_files --seed 4 --count 1" in said


def test_the_table_without_rich(monkeypatch, capsys) -> None:
    monkeypatch.setattr(table.importlib.util, "find_spec", lambda name: None)
    table.print_table([measured(a_test(Figure("accepted", 0, at_most=0)), 5, 0)])
    assert "accepted" in capsys.readouterr().out


def test_every_module_that_is_named_is_a_test() -> None:
    for name in registry.NAMES:
        test = registry.find(name)
        assert test.name == name
        assert 0 < test.short <= test.long


def test_the_runner_prints_figures_and_fails_with_a_crash(monkeypatch, capsys) -> None:
    assert runner.main(["--only", "crafted_files", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [result["name"] for result in report["results"]] == ["crafted_files"]
    gone = subprocess.CompletedProcess([], -9, "", "Killed")
    monkeypatch.setattr(separate.subprocess, "run", lambda *a, **k: gone)
    assert runner.main(["--only", "crafted_files"]) == 1
    assert "ended with the exit code -9" in capsys.readouterr().out


def test_the_list_of_tests(capsys) -> None:
    assert runner.main(["--list"]) == 0
    assert capsys.readouterr().out.count("\n") == len(registry.NAMES)


def test_the_shim_is_loaded_after_what_must_come_first(monkeypatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "libruntime.so libother.so")
    monkeypatch.setattr(shim.subprocess, "run", lambda *a, **k: None)
    monkeypatch.setattr(shim.shutil, "which", lambda name: name)
    with shim.environment() as variables:
        assert re.fullmatch(r"libruntime\.so libother\.so \S+/shim\.so", variables["LD_PRELOAD"])


# The page ----------------------------------------------------------------------------------------


def test_the_page_names_every_test() -> None:
    text = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    for name in registry.NAMES:
        assert f"`{name}`" in text


def a_run(name: str, seed: int, **more: Any) -> dict[str, Any]:
    """Return what a run of a test leaves in the file of the long run."""
    found = measured(a_test(Figure("accepted", more.pop("value", 0), at_most=0)), 5, seed)
    where = {"commit": "abc", "date": "2026-01-02", "machine": "M", "python": "3.12"}
    return {**found, "name": name, "seed": seed, "seconds": 360.0, **where, **more}


def written(path: Path, runs: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(run) + "\n" for run in runs), encoding="utf-8")
    return path


def test_figures_are_put_into_the_page(tmp_path, capsys) -> None:
    copy = tmp_path / "trust.md"
    shutil.copy(ROOT / "docs" / "trust.md", copy)
    every = [a_run(name, seed) for name in registry.NAMES for seed in long.seeds(registry.find(name))]
    runs = written(tmp_path / "long.jsonl", every)
    assert page.main([str(runs), "--page", str(copy)]) == 0
    text = copy.read_text(encoding="utf-8")
    assert "The long run is whole; every gate is met. " in text
    assert "| `crafted_files` | **5 networks in 1 of 1 run**, seed 0, at abc | | | met |" in text
    assert "| | accepted | 0 | ≤ 0 | |" in text
    assert page.main([str(runs), "--page", str(copy)]) == 0
    assert copy.read_text(encoding="utf-8") == text
    assert page.main([str(tmp_path / "none"), "--page", str(copy)]) == 1
    assert copy.read_text(encoding="utf-8") == text


def test_the_page_says_what_is_missing_and_what_missed() -> None:
    runs = [a_run("kill", 0), a_run("kill", 1, value=3, commit="def"), a_run("crafted_files", 0)]
    text = page.figures(runs)
    assert "1 of 13 tests are whole; not every gate is met. The runs took 0.3 hours" in text
    assert "| `kill` | **10 kills in 2 of 20 runs**, seeds 0 to 1, at abc, def | | | missed in 1 |" in text
    assert "| | accepted | 0 to 3 | ≤ 0 | |" in text
    assert "| `hostile` | **0 calls in 0 of 100 runs** | | | not begun |" in text


def test_the_page_and_the_table_say_how_many_were_done_not_how_many_were_asked_for(capsys) -> None:
    only = Test("mutation", "", lambda *_: Result((Figure("killed", 7),), done=7), 1, 100_000, "mutants")
    found = {**a_run("mutation", 0), **measured(only, 100_000, 0)}
    assert "**7 mutants in 1 of 25 runs**" in page.figures([found])
    table.print_table([found])
    assert "of 7 mutants" in capsys.readouterr().out
    assert found["command"].endswith("--count 100000")


# The long run ------------------------------------------------------------------------------------


def test_the_long_run_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys) -> None:
    asked = []

    def run(test: Test, count: int, seed: int) -> dict[str, Any]:
        asked.append((test.name, count, seed))
        return measured(a_test(Figure("accepted", 0, at_most=0)), count, seed) | {"name": test.name}

    monkeypatch.setattr(long, "run_apart", run)
    path = written(tmp_path / "long.jsonl", [a_run("crafted_files", 0, count=1), a_run("kill", 3, count=50)])
    assert long.main([str(path), "--only", "kill", "--only", "crafted_files", "--jobs", "1"]) == 0
    assert asked == [("kill", 50, seed) for seed in range(20) if seed != 3]
    assert {(run["name"], run["seed"]) for run in long.kept(path)} == {
        ("crafted_files", 0),
        *(("kill", k) for k in range(20)),
    }
    assert all({"commit", "date", "machine", "python"} <= run.keys() for run in long.kept(path))
    assert "21 of " in capsys.readouterr().out
    asked.clear()
    assert long.main([str(path), "--only", "against_torch", "--minutes", "0"]) == 0
    assert not asked


def test_runs_with_another_count_or_asked_for_anew_are_made_again(tmp_path, monkeypatch) -> None:
    runs = [a_run("kill", 0, count=49), *(a_run("kill", seed, count=50) for seed in range(1, 20))]
    path, asked = written(tmp_path / "long.jsonl", runs), []

    def run(test: Test, count: int, seed: int) -> dict[str, Any]:
        asked.append(seed)
        return a_run("kill", seed, count=count)

    monkeypatch.setattr(long, "run_apart", run)
    assert long.main([str(path), "--only", "kill"]) == 0
    assert asked == [0]
    assert len(long.kept(path)) == 20
    monkeypatch.setattr(long, "same_sources", lambda commit: commit != "abc")
    assert long.main([str(path), "--only", "kill", "--anew", "--jobs", "1"]) == 0
    assert asked[1:] == list(range(1, 20))


def test_a_run_that_is_stopped_leaves_nothing(tmp_path, monkeypatch) -> None:
    stopped = subprocess.CompletedProcess([], 130, "", "interrupted")
    monkeypatch.setattr(separate.subprocess, "run", lambda *a, **k: stopped)
    assert long.main([str(tmp_path / "long.jsonl"), "--only", "kill"]) == 130
    assert long.kept(tmp_path / "long.jsonl") == []
    with pytest.raises(SystemExit, match="130"):
        runner.main(["--only", "kill"])


def test_a_run_that_missed_a_gate_stays_missed(tmp_path, capsys) -> None:
    path = written(tmp_path / "long.jsonl", [a_run("crafted_files", 0, passed=False, count=1)])
    assert long.main([str(path), "--only", "crafted_files"]) == 1
    assert "missed a gate: crafted_files with the seed 0" in capsys.readouterr().out


def test_all_tests_of_the_long_run_advance_alike() -> None:
    order = [
        (test.name, seed) for test, seed in long._in_order([registry.find(n) for n in ("kill", "hostile")])
    ]
    hostile = [("hostile", k) for k in range(6)]
    assert order[:8] == [("kill", 0), *hostile[:5], ("kill", 1), hostile[5]]
    assert len(order) == 120


def test_the_long_counts_are_reached_and_hold_every_mutant() -> None:
    for name in registry.NAMES:
        test = registry.find(name)
        assert len(long.seeds(test)) * test.at_once >= test.long
    everyone = set(map(id, mutation.mutants(10**9, 0)))
    size = mutation.TEST.at_once
    drawn = {id(m) for seed in long.seeds(mutation.TEST) for m in mutation.mutants(size, seed)}
    assert drawn == everyone


def test_a_report_names_the_command_that_was_run() -> None:
    report = runner._report([], ["--only", "kill", "--count", "3", "--json"], 1.0, True)
    assert report["command"] == "python -m trust --only kill --count 3 --json"
