"""Let the Nth call of a save fail, for N = 1, 2, 3 … until the save succeeds.

Open, write, fsync, close, link, rename, unlink, chmod, stat, lseek: each fails once, or with every later one,
with the errors that a disk, a quota or a signal gives; and each write takes only half. The file is then
exactly the old one or exactly the new one, the error says which, and no temporary file and no open
descriptor is left.
"""

from __future__ import annotations

import errno
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from trust.frame import Figure, Result, Test, command
from trust.samples import scratch
from trust.saving import Scene, planted_scenes, scenes
from trust.shim import FOR_GOOD, HALF, ONCE, Armed, armed, under_shim

__all__ = ["TEST", "inside", "run"]

ERRORS = ("EIO", "ENOSPC", "EACCES", "EDQUOT", "EMFILE", "EROFS", "EINTR")
MOST_CALLS = 1000


def run(count: int, seed: int, writer: str = "") -> Result:
    """Save `count` networks and recordings, every call failing in turn; `writer` names a planted one."""
    found, failures = under_shim("trust.failing_calls", "inside", count, seed, writer)
    return Result(
        (
            Figure("calls of one save", found.get("calls", 0), at_least=5),
            Figure("saves with a failing call", found.get("failed", 0), at_least=1),
            Figure("saves with a short write", found.get("short", 0), at_least=1),
            Figure("neither old nor new, or else wrong", len(failures), at_most=0),
            Figure("temporary left, as nothing could be removed", found.get("left", 0)),
        ),
        tuple(failures),
    )


def inside(count: int, seed: int, writer: str) -> tuple[dict[str, int], list[str]]:
    """Do the work of `run`, in a process with the shim; return what was counted, and the failures."""
    found: Counter[str] = Counter()
    failures: list[str] = []
    with scratch() as folder:
        for number in range(seed, seed + count):
            place = Path(folder)
            for scene in planted_scenes(writer, number, place) if writer else _scenes(number, place):
                _break_every_call(scene, found, failures)
    return dict(found), failures


def _scenes(seed: int, folder: Path) -> Iterator[Scene]:
    return scenes(seed, folder, with_large=True)


def _break_every_call(scene: Scene, found: Counter[str], failures: list[str]) -> None:
    scene.set()
    scene.play()  # once undisturbed: whatever is imported when first needed is imported now
    for mode, names in ((ONCE, ERRORS), (FOR_GOOD, ERRORS[:-1]), (HALF, ERRORS[:1])):
        for name in names:  # a signal does not interrupt for good: the call is made again
            for nth in range(1, MOST_CALLS):
                if _break_one_call(scene, nth, name, mode, found, failures):
                    break
            else:
                failures.append(f"{scene.name}: no end after {MOST_CALLS} calls")


def _break_one_call(
    scene: Scene, nth: int, name: str, mode: int, found: Counter[str], failures: list[str]
) -> bool:
    """Let one call fail and judge what is left; return whether the save made fewer calls."""
    scene.set()
    open_before = len(os.listdir("/proc/self/fd"))
    with armed(nth, getattr(errno, name), mode) as seen:
        scene.play()
    fault = scene.fault(may_leave=_may_leave(seen, mode))
    if not fault and len(os.listdir("/proc/self/fd")) != open_before:
        fault = "it left a file descriptor open"
    if not fault and scene.error is not None and not seen.failed:
        fault = f"it failed although no call did ({scene.error})"
    if fault:
        how = {ONCE: "fails once", FOR_GOOD: "and all later ones fail", HALF: "takes half"}[mode]
        failures.append(f"{scene.name}: call {nth} ({seen.failed or 'write'}) {how} with {name}: {fault}")
    found["failed"] += bool(seen.failed)
    found["short"] += mode == HALF
    found["left"] += len(os.listdir(scene.target.parent)) > 1
    found["calls"] = max(found["calls"], seen.calls)
    return seen.calls < nth


def _may_leave(seen: Armed, mode: int) -> bool:
    return seen.failed == "unlink" or (mode == FOR_GOOD and bool(seen.failed))


TEST = Test(
    "failing_calls",
    "a save whose Nth call fails leaves exactly the old file or the new one, and says which",
    run,
    short=1,
    long=1,
    unit="networks and recordings",
    minutes=0.5,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
