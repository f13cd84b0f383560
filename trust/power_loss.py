"""Cut the power after every call of a save: whatever a disk may then hold, the file is the old or the new.

The calls of real saves are recorded. A disk keeps what was synced; of the rest it keeps anything: of bytes
that were written but not synced all, none, a torn part, or zeros in their place; of names that were made,
changed or removed since the folder was last synced any selection. After the save has returned only the new
file will do. That the test can fail is part of it: it must catch every writer of `trust.planted`.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from trust.crash_states import crash_states
from trust.frame import Figure, Result, Test, command
from trust.planted import WRITERS
from trust.samples import scratch
from trust.saving import Scene, planted_scenes, scenes
from trust.shim import armed, under_shim

__all__ = ["TEST", "inside", "run"]

STATES_OF_A_MOMENT = 400
"""Crash states that are looked at for each moment; where there are more, this many are drawn."""


def run(count: int, seed: int, planted: tuple[str, ...] = tuple(WRITERS)) -> Result:
    """Record the saves of `count` networks and recordings, and cut the power at every moment of each."""
    found, failures = under_shim("trust.power_loss", "inside", count, seed, "")
    caught = [name for name in planted if under_shim("trust.power_loss", "inside", 1, seed, name)[1]]
    missed = [f"the writer {name} was not caught" for name in planted if name not in caught]
    return Result(
        (
            Figure("saves recorded", found.get("saves", 0), at_least=count),
            Figure("moments of a crash", found.get("moments", 0), at_least=5 * count),
            Figure("crash states", found.get("states", 0), at_least=20 * count),
            Figure("of them the old file", found.get("old", 0), at_least=1),
            Figure("of them the new file", found.get("new", 0), at_least=1),
            Figure("neither, or old after the save returned", len(failures), at_most=0),
            Figure("planted writers caught", len(caught), at_least=len(planted)),
        ),
        (*failures, *missed),
    )


def inside(count: int, seed: int, writer: str) -> tuple[dict[str, int], list[str]]:
    """Do the work of `run`, in a process with the shim; return what was counted, and the failures."""
    found: Counter[str] = Counter()
    failures: list[str] = []
    rng = np.random.default_rng(seed)
    with scratch() as folder:
        for number in range(seed, seed + count):
            place = Path(folder)
            played = (
                planted_scenes(writer, number, place) if writer else scenes(number, place, with_large=True)
            )
            for scene in played:
                _cut_everywhere(scene, rng, found, failures)
    return dict(found), failures


def _cut_everywhere(scene: Scene, rng: np.random.Generator, found: Counter[str], failures: list[str]) -> None:
    scene.set()
    with armed(record=True) as seen:
        scene.play()
    if scene.error is not None:
        raise scene.error
    found["saves"] += 1
    before = {} if scene.old is None else {scene.target.name: scene.old}
    moments = len(seen.recorded)
    for moment in range(moments + 1):
        found["moments"] += 1
        calls = seen.recorded[:moment]
        for state in crash_states(calls, scene.target.parent, before, rng, STATES_OF_A_MOMENT):
            found["states"] += 1
            fault = _fault(scene, state.get(scene.target.name), moment == moments, found)
            if fault:
                last = calls[-1].name if calls else "nothing"
                failures.append(
                    f"{scene.name}: power lost after call {moment} of {moments} ({last}): {fault}"
                )


def _fault(scene: Scene, content: bytes | None, returned: bool, found: Counter[str]) -> str:
    if content == scene.new:
        found["new"] += 1
        return ""
    if content == scene.old:
        found["old"] += 1
        return "the save had returned, and the file is the old one" if returned else ""
    if content is None:
        return "there is no file"
    return f"the file is neither the old nor the new one ({len(content)} bytes)"


TEST = Test(
    "power_loss",
    "a power cut at any moment of a save leaves the old file or the new one, and after it only the new",
    run,
    short=3,
    long=100,
    piece=100,
    unit="networks and recordings",
    minutes=0.5,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
