"""`clearprop train --checkpoint … --resume` and `clearprop verify`: what they print, and every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import clearprop as cp

TRAIN = ["train", "moons", "--epochs", "3", "--hidden", "8", "--no-report"]
KEPT = [*TRAIN, "--checkpoint", "run", "--checkpoint-steps", "10"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def checkpoints() -> list[Path]:
    return sorted(Path("run").iterdir())


def test_it_begins_and_goes_on(clearprop) -> None:
    code, _, error = clearprop(*KEPT, "--resume")
    assert code == 0
    assert "no checkpoint in run yet: the run begins" in error
    code, out, error = clearprop(*KEPT, "--resume", "--epochs", "3", "--force", "--json")
    assert code == 0
    assert f"from {checkpoints()[-2]}" in error or "from run/checkpoint-" in error
    assert json.loads(out)["history"]["epoch"] == [1, 2, 3]


def test_ctrl_c_keeps_the_run_and_writes_no_model(clearprop, monkeypatch) -> None:
    step = cp.NormHistory.on_gradient

    def interrupted(self, run, gradient):
        step(self, run, gradient)
        if run.step == 30:
            run.stop("interrupted")
            raise KeyboardInterrupt

    monkeypatch.setattr(cp.NormHistory, "on_gradient", interrupted)
    code, out, error = clearprop(*KEPT, "--quiet")
    assert (code, out) == (130, "")
    assert "clearprop: the run is kept in run; the same command with --resume goes on" in error
    assert not Path("moons.safetensors").exists()
    monkeypatch.undo()


def test_a_damaged_checkpoint_is_told_in_one_line(clearprop) -> None:
    clearprop(*KEPT, "--quiet")
    checkpoints()[-1].write_bytes(b"")
    code, _, error = clearprop(*KEPT, "--quiet", "--resume", "--force")
    assert code == 0
    assert error.startswith("clearprop: the newest checkpoint cannot be used: run/checkpoint-")
    assert len(error.splitlines()) == 1


def test_the_same_line_goes_on_and_replaces_what_it_wrote(clearprop) -> None:
    line = [*KEPT, "--resume", "--time-limit", "0.000001", "--quiet"]
    assert clearprop(*line)[0] == 0
    first = Path("moons.safetensors").read_bytes()
    code, _, error = clearprop(*line)
    assert (code, error) == (0, "")
    assert Path("moons.safetensors").read_bytes() != first
    cp.Network([1, 1], seed=0).save("moons.safetensors", overwrite=True)
    code, _, error = clearprop(*line)
    assert code == 1
    assert "moons.safetensors" in error


def test_force_tells_that_it_replaces_the_checkpoints_of_another_run(clearprop) -> None:
    clearprop(*KEPT, "--quiet")
    code, _, error = clearprop(*KEPT, "--seed", "1", "--force", "--quiet")
    assert code == 0
    assert "--force: the checkpoints of another run in run are replaced" in error


MISTAKES = [
    ([*TRAIN, "--resume"], 2, "--resume goes with checkpoints: give their folder, --checkpoint DIR."),
    ([*TRAIN, "--checkpoint-steps", "3"], 2, "--checkpoint-steps goes with checkpoints"),
    ([*TRAIN, "--inexact"], 2, "--inexact goes with checkpoints"),
    ([*TRAIN, "--checkpoint", "run", "--checkpoint-minutes", "0"], 2, "--checkpoint-minutes must be"),
    ([*TRAIN, "--checkpoint", "no/run"], 1, "there is no folder no"),
    ([*KEPT, "--output", "b.safetensors"], 1, "run holds checkpoints of another run"),
    ([*KEPT, "--resume", "--seed", "1", "--output", "b.safetensors"], 2, "its seed was 0, here it is 1"),
    ([*KEPT, "--resume", "--eta", "1", "--output", "b.safetensors"], 2, "its eta of optimizer was 0.003"),
]


@pytest.mark.parametrize(("arguments", "exit_code", "message"), MISTAKES)
def test_mistakes(clearprop, arguments, exit_code, message) -> None:
    clearprop(*KEPT, "--quiet", "--output", "a.safetensors")
    code, _, error = clearprop(*arguments, "--quiet")
    assert code == exit_code
    assert message in error
    assert len(error.splitlines()) == 1


def test_verify(clearprop) -> None:
    clearprop(*KEPT, "--quiet", "--record", "record.safetensors")
    files = ["moons.safetensors", "record.safetensors", *map(str, checkpoints())]
    code, out, error = clearprop("verify", *files)
    assert (code, error) == (0, "")
    kinds = [line.split("whole: ")[1].split(",")[0] for line in out.splitlines()]
    assert kinds == ["model", "recording", "checkpoint", "checkpoint"]
    content = Path("moons.safetensors").read_bytes()
    Path("moons.safetensors").write_bytes(content[:-1])
    code, out, _ = clearprop("verify", *files, "missing.safetensors", "--json")
    assert code == 1
    found = json.loads(out)["files"]
    assert [row["whole"] for row in found] == [False, True, True, True, False]
    assert "truncated" in found[0]["error"]
    assert "there is no file missing.safetensors" in found[-1]["error"]


def test_verify_of_nothing_is_wrong_use(clearprop) -> None:
    assert clearprop("verify")[0] == 2
