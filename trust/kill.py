"""Kill a training at any moment (kill -9), resume it, kill it again: in the end the bits are the same.

Each training is run twice: once undisturbed, without checkpoints, and once killed again and again until it
gets to its end. The SHA-256 sums of the two saved networks are compared. Every other kill comes after a
random time; the others are aimed: the process stops itself before a change of the folder of checkpoints, so
that it dies while one is written. Now and then the newest checkpoint is damaged besides, and the one before
it must do.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from trust.frame import Figure, Result, Test, command
from trust.samples import scratch
from trust.shim import stop_before, under_shim
from trust.training import Training, training

__all__ = ["TEST", "inside", "run"]

CHANGES = 60
"""An aimed kill comes before one of so many first changes of the folder."""
KILLS_OF_ONE = 8
"""After so many kills a training is let run to its end: many trainings tell more than one."""
FROM_FIRST = 0.9
"""Share of the random times that are counted from when there is a checkpoint; the others from the start."""
DAMAGED = 0.2
"""Share of the kills after which the newest checkpoint is damaged."""
MOST_SECONDS = 120.0
"""After which a training that neither ends nor stops counts as one that hangs."""


def run(count: int, seed: int, forgetful: bool = False) -> Result:
    """Kill `count` times. forgetful: plant a training whose checkpoints hold another seed's network."""
    found, failures = under_shim("trust.kill", "inside", count, seed, forgetful)
    kills = found.get("kills", 0)
    return Result(
        (
            Figure("kills", kills, at_least=count),
            Figure("after the first checkpoint", found.get("after", 0) / max(1, kills), at_least=0.8),
            Figure("while one was written", found.get("during", 0) / max(1, kills), at_least=0.1),
            Figure("newest checkpoint damaged besides", found.get("damaged", 0), at_least=count // 50),
            Figure("damaged and not told of, or the reverse", found.get("untold", 0), at_most=0),
            Figure("trainings brought to their end", found.get("trainings", 0), at_least=1),
            Figure("not the bits of the undisturbed one", found.get("differ", 0), at_most=0),
        ),
        tuple(failures),
        done=kills,
    )


def inside(count: int, seed: int, forgetful: bool) -> tuple[dict[str, int], list[str]]:
    """Do the work of `run`, in a process with the shim; return what was counted, and the failures."""
    found: Counter[str] = Counter()
    failures: list[str] = []
    rng = np.random.default_rng(seed)
    with scratch() as folder:
        training(seed)._replace(engine="batch").run(Path(folder, "warm"), Path(folder, "up"))
        number = 0
        while found["kills"] < count and not failures:
            what = training(1000 * seed + number)
            _one(what, Path(folder, str(number)), count, forgetful, rng, found, failures)
            number += 1
    return dict(found), failures


def _one(
    what: Training,
    folder: Path,
    count: int,
    forgetful: bool,
    rng: np.random.Generator,
    found: Counter[str],
    failures: list[str],
) -> None:
    """Bring one training to its end, killing it on the way, and compare."""
    folder.mkdir()
    whole, final, kept = folder / "whole", folder / "final", folder / "checkpoints"
    seconds = _undisturbed(lambda: what.run(whole, None), folder)
    other = what._replace(seed=what.seed + 1) if forgetful else what
    for kill in itertools.count():
        spared = kill == KILLS_OF_ONE or (kill > 0 and found["kills"] >= count)
        aimed = not spared and bool(rng.random() < 1 / 2)
        change = int(rng.integers(1, CHANGES)) if aimed else 0
        delay = None if spared or aimed else float(rng.uniform(0, seconds))
        left = _left(kept)
        pid = _fork(partial(_go_on, other, final, kept, change), folder)
        awaited = kept if rng.random() < FROM_FIRST else None
        if not _killed(pid, delay, folder, awaited):
            break
        _count_kill(kept, left, rng, found)
    found["trainings"] += 1
    damaged, told = _names(folder / "damaged"), _names(folder / "told")
    found["damaged"] += len(damaged)
    found["untold"] += len(damaged ^ told)
    if (folder / "error").exists():
        failures.append(f"training {what.seed} could not go on: {(folder / 'error').read_text()[-500:]}")
    elif _sha256(whole) != _sha256(final):
        found["differ"] += 1
        failures.append(f"training {what.seed} ({what.engine}, {what.optimizer}) ended with other bits")


def _go_on(what: Training, final: Path, kept: Path, change: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = partial(_note, kept.with_name("told"))  # type: ignore[assignment]
        stop_before(change, kept)
        what.run(final, kept)


def _note(path: Path, message: object, *rest: object) -> None:
    """Keep what a process that may be killed was told: that the newest checkpoint is damaged."""
    with open(path, "a") as file:
        file.write(f"{message}\n")


def _names(path: Path) -> set[str]:
    """Return the checkpoint that each line of a file names first."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {match[0] for line in lines if (match := re.search(r"checkpoint-\d+", line))}


def _undisturbed(work: Callable[[], None], folder: Path) -> float:
    """Run work in a process of its own and return how long it took."""
    start = time.perf_counter()
    if _killed(_fork(work, folder), None, folder) or (folder / "error").exists():
        raise RuntimeError(f"an undisturbed training failed: {(folder / 'error').read_text()}")
    return time.perf_counter() - start


def _fork(work: Callable[[], None], folder: Path) -> int:
    """Start work in a copy of this process and return its id; an exception goes to the file `error`."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:
        (folder / "error").write_text(traceback.format_exc())
        os._exit(1)


def _killed(pid: int, delay: float | None, folder: Path, awaited: Path | None = None) -> bool:
    """Kill a process after a delay, or (None) when it stops itself; return whether it was still running.

    awaited: the delay begins when there is a checkpoint in this folder; None, at once.
    """
    end = time.perf_counter() + (MOST_SECONDS if delay is None else delay)
    while True:
        if awaited is not None and delay is not None:
            end = time.perf_counter() + delay
            awaited = None if any(awaited.glob("checkpoint-*")) else awaited
        done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if done and not os.WIFSTOPPED(status):
            return False
        late = time.perf_counter() >= end
        if done or late:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            if late and delay is None:
                (folder / "error").write_text(f"it did not end within {MOST_SECONDS} s")
                return False
            return True
        time.sleep(0.0005)


def _left(kept: Path) -> set[str]:
    """Return the names of temporary files: each was left by a kill while a checkpoint was written."""
    return {path.name for path in kept.glob(".*.tmp")}


def _count_kill(kept: Path, left: set[str], rng: np.random.Generator, found: Counter[str]) -> None:
    """Count a kill by what it left; now and then damage the newest of several checkpoints."""
    files = sorted(kept.glob("checkpoint-*"))
    found["kills"] += 1
    found["after"] += bool(files)
    found["during"] += bool(_left(kept) - left)
    if len(files) >= 2 and rng.random() < DAMAGED:
        data = bytearray(files[-1].read_bytes())
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        files[-1].write_bytes(data)
        _note(kept.with_name("damaged"), files[-1].name)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


TEST = Test(
    "kill",
    "a training that is killed at any moment and resumed ends with the bits of an undisturbed one",
    run,
    short=50,
    long=1000,
    unit="kills",
    minutes=0.8,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
