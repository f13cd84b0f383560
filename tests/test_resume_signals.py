"""Ctrl-C, SIGTERM and kill -9 while training: what is written then, how it ends, and the run that goes on."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.resume_cases import LABELS, SHORT, X, assert_same, deep, plain, uninterrupted

import clearprop as cp

OPTIONS = {
    **SHORT,
    "validation_fraction": 0.2,
    "schedule": cp.OnPlateau(0.5, patience=0, min_delta=0.05),
    "early_stopping": lambda: cp.EarlyStopping(patience=2, min_delta=0.01),
}
SIGNALS = {signal.SIGINT: (KeyboardInterrupt, "interrupted"), signal.SIGTERM: (SystemExit, "terminated")}


class Send(cp.Callback):
    """Sends this process a signal, in one hook, at one step or epoch."""

    def __init__(self, number, hook, at):
        self.number, self.hook, self.at = number, hook, at
        self.every = at if hook == "on_step_end" else 0

    def _send(self, hook, at):
        if (hook, at) == (self.hook, self.at):
            signal.raise_signal(self.number)

    def on_epoch_begin(self, run):
        self._send("on_epoch_begin", run.epoch)

    def on_step_end(self, run):
        self._send("on_step_end", run.step)

    def on_epoch_end(self, run, row):
        self._send("on_epoch_end", run.epoch)


def given(**options):
    found = {**OPTIONS, **options}
    return {**found, "early_stopping": found["early_stopping"]()}


def stop(folder, number, callbacks, **options) -> cp.Network:
    net = deep()
    error, word = SIGNALS[number]
    asked = cp.Checkpoint(folder, every_epochs=1)
    before = {n: signal.getsignal(n) for n in SIGNALS}
    with pytest.raises(error) as caught:
        net.fit(X, LABELS, **given(**options), checkpoint=asked, callbacks=callbacks)
    assert {n: signal.getsignal(n) for n in SIGNALS} == before
    assert net.history.stopped in (word, "early stopping")
    if error is SystemExit:
        assert caught.value.code == 143
    return net


def resume(folder, **options) -> cp.Network:
    net = deep()
    net.fit(X, LABELS, **given(**options), checkpoint=folder, resume=True)
    return net


PLACES = [
    ("on_epoch_begin", 2),
    ("on_step_end", 7),
    ("on_step_end", 5),
    ("on_epoch_end", 1),
    ("on_epoch_end", 3),
]


@pytest.mark.parametrize("engine", ["native", "batch"])
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("place", PLACES)
def test_stopped_by_a_signal(tmp_path, engine, number, place) -> None:
    stop(tmp_path / "run", number, [Send(number, *place)], engine=engine)
    resumed = resume(tmp_path / "run", engine=engine)
    assert_same(resumed, uninterrupted(deep, **OPTIONS, engine=engine))


@pytest.mark.parametrize("number", SIGNALS)
def test_stopped_while_validating(tmp_path, number, monkeypatch) -> None:
    from clearprop.training import epoch_row

    measure, calls = epoch_row.measure, []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(number)
        return measure(*args, **options)

    monkeypatch.setattr(epoch_row, "measure", interrupted)
    net = stop(tmp_path / "run", number, [])
    assert "val_cost" not in net.history[-1]
    assert_same(resume(tmp_path / "run"), uninterrupted(deep, **OPTIONS))


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("epoch", [2, 5])
def test_lbfgs_stopped_by_a_signal(tmp_path, number, epoch) -> None:
    options = {"optimizer": "lbfgs", "epochs": 12, "l2": 1e-3}
    with pytest.raises(SIGNALS[number][0]):
        plain().fit(
            X, LABELS, **options, checkpoint=tmp_path / "run", callbacks=[Send(number, "on_epoch_end", epoch)]
        )
    net = plain()
    net.fit(X, LABELS, **options, checkpoint=tmp_path / "run", resume=True)
    assert net.history.resumed[0] in (epoch - 1, epoch)
    assert_same(net, uninterrupted(plain, **options))


@pytest.mark.parametrize("engine", ["native", "batch"])
def test_a_time_limit_is_an_interruption(tmp_path, engine) -> None:
    class Slow(cp.Callback):
        every = 9

        def on_step_end(self, run):
            time.sleep(0.3)

    net = deep()
    options = given(engine=engine)
    net.fit(X, LABELS, **options, checkpoint=tmp_path / "run", time_limit=0.3, callbacks=[Slow()])
    assert net.history.stopped == "time limit"
    resumed = resume(tmp_path / "run", engine=engine)
    assert resumed.history.resumed[0] >= 1
    assert_same(resumed, uninterrupted(deep, **OPTIONS, engine=engine))


def test_sigterm_is_left_alone_without_checkpoints_and_where_the_program_handles_it(tmp_path) -> None:
    seen = []

    class Look(cp.Callback):
        def on_epoch_begin(self, run):
            seen.append(signal.getsignal(signal.SIGTERM))

    plain().fit(X, LABELS, epochs=1, callbacks=[Look()])
    assert seen == [signal.SIG_DFL]

    def own(number, frame):
        """Do nothing."""

    before = signal.signal(signal.SIGTERM, own)
    try:
        plain().fit(X, LABELS, epochs=1, callbacks=[Look()], checkpoint=tmp_path / "run")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen[1] is own


# Killed ------------------------------------------------------------------------------------------

CHILD = """
import sys, time, hashlib
import numpy as np
import clearprop as cp

class Slow(cp.Callback):
    every = 1
    def on_step_end(self, run):
        time.sleep(0.004)

folder, engine = sys.argv[1:]
X = np.random.default_rng(0).standard_normal((300, 8))
y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
net = cp.Network([cp.Dense(32, "relu"), cp.BatchNorm(), cp.Dropout(0.2), cp.Dense(3, "softmax")], seed=1)
kept = {} if folder == "-" else {
    "checkpoint": cp.Checkpoint(folder, every_steps=3), "resume": True, "callbacks": [Slow()]
}
net.fit(
    X, y, epochs=30, batch_size=16, engine=engine, validation_fraction=0.2, schedule="cosine",
    early_stopping=cp.EarlyStopping(patience=28), **kept,
)
print(hashlib.sha256(net.theta.tobytes() + net.buffers.tobytes()).hexdigest(), net.history["val_cost"][-1])
"""


def child(script: Path, folder: Path | str, engine: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(script), str(folder), engine]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def numbers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("checkpoint-*")) if folder.is_dir() else []


def ends(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out


@pytest.mark.parametrize("engine", ["native", "batch"])
def test_killed_again_and_again(tmp_path, engine) -> None:
    script, folder = tmp_path / "child.py", tmp_path / "run"
    script.write_text(CHILD)
    rng = np.random.default_rng(int(hashlib.sha256(engine.encode()).hexdigest()[:8], 16))
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        process, before = child(script, folder, engine), numbers(folder)
        while process.poll() is None and numbers(folder) == before:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.15)))
        process.send_signal(number)
        process.communicate(timeout=120)
        assert process.returncode in ((-signal.SIGKILL,) if number == signal.SIGKILL else (143,))
    assert numbers(folder)
    assert ends(child(script, folder, engine)) == ends(child(script, "-", engine))
    assert not list(folder.glob(".clearprop-*"))


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGTERM to hear on Windows")
def test_the_command_line(tmp_path) -> None:
    base = [
        sys.executable,
        "-m",
        "clearprop",
        "train",
        "moons",
        "--epochs",
        "60",
        "--hidden",
        "16",
        "--quiet",
    ]
    base += ["--no-report", "--json"]
    kept = [*base, "--checkpoint", "run", "--checkpoint-steps", "5", "--output", "kept.safetensors"]
    process = subprocess.Popen(kept, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and len(numbers(tmp_path / "run")) < 2:
        time.sleep(0.002)
    process.terminate()
    out, error = process.communicate(timeout=120)
    assert (process.returncode, out) == (143, "")
    assert "clearprop: the run is kept in run; the same command with --resume goes on" in error
    for command in ([*kept, "--resume"], [*base, "--output", "whole.safetensors"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    kept_net, whole = (cp.load(tmp_path / f"{name}.safetensors") for name in ("kept", "whole"))
    assert kept_net.theta.tobytes() == whole.theta.tobytes()
