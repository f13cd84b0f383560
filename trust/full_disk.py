"""Let the disk be full after every byte of a save, and let it be full from the start.

After every byte, twice: by the limit on the size of a file (RLIMIT_FSIZE, as a quota) and by a write that
answers "no space left on device". The old file stays, whole, and no temporary file is left; with room for the
last byte the new file is there. And /dev/full: it is refused as a path to save to, and a command that prints
into it says so in one line and fails.
"""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import clearprop as cp
from clearprop.errors import ClearpropError
from trust.frame import Figure, Result, Test, command
from trust.samples import network, scratch
from trust.saving import Scene, planted_scenes, scenes
from trust.shim import ROOT, armed, under_shim

__all__ = ["TEST", "inside", "run"]

FULL = "/dev/full"
COMMANDS = (("show",), ("show", "--json"))
"""Commands that read a model file and print; its path follows the first word."""


def run(count: int, seed: int, writer: str = "") -> Result:
    """Save `count` networks and recordings with room for 0, 1, 2 … bytes; `writer` names a planted one."""
    found, failures = under_shim("trust.full_disk", "inside", count, seed, writer)
    refused, said = _into_full(seed)
    return Result(
        (
            Figure("saves with too little room", found.get("failed", 0), at_least=100 * count),
            Figure("saves with just enough", found.get("saved", 0), at_least=count),
            Figure("not the old file or not the new one", len(failures), at_most=0),
            Figure("saves to /dev/full refused", refused, at_least=2),
            Figure("commands that say that /dev/full is full", said, at_least=len(COMMANDS)),
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
            for scene in planted_scenes(writer, number, place) if writer else scenes(number, place):
                for how, play in HOW[: 1 if scene.old is None else 2]:
                    for room in range(len(scene.new) + 1):
                        fault = _with_room(scene, room, play, found)
                        if fault:
                            failures.append(f"{scene.name}: {how} {room} bytes: {fault}")
    return dict(found), failures


def _with_room(scene: Scene, room: int, play: Callable[[Scene, int], None], found: Counter[str]) -> str:
    scene.set()
    play(scene, room)
    enough = room >= len(scene.new)
    found["saved" if enough else "failed"] += 1
    if (scene.error is None) != enough:
        return f"it {'succeeded' if scene.error is None else 'failed'} ({scene.error})"
    return scene.fault()


def _limited(scene: Scene, room: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # Python ignores the signal: a write fails
    try:
        scene.play()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _full(scene: Scene, room: int) -> None:
    with armed(room=room):
        scene.play()


HOW = (("the file may have", _limited), ("the disk has room for", _full))


def _into_full(seed: int) -> tuple[int, int]:
    """Return how many saves to /dev/full were refused by name, and how many commands said that it is full."""
    net = network(seed)
    with scratch() as folder:
        link, model = Path(folder, "link.safetensors"), Path(folder, "model.safetensors")
        link.symlink_to(FULL)
        net.save(model)
        refused = sum(_refuses(net, path) for path in (Path(FULL), link))
        return refused, sum(_says_so([name, str(model), *more]) for name, *more in COMMANDS)


def _refuses(net: cp.Network, path: Path) -> bool:
    try:
        net.save(path, overwrite=True)
    except ClearpropError:
        return stat.S_ISCHR(os.stat(FULL).st_mode)
    return False


def _says_so(arguments: list[str]) -> bool:
    with open(FULL, "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "clearprop", *arguments],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    lines = done.stderr.strip().splitlines()
    return done.returncode == 1 and len(lines) == 1 and lines[0].startswith("clearprop: standard output")


TEST = Test(
    "full_disk",
    "a disk that is full after any byte of a save leaves exactly the old file, and nothing else",
    run,
    short=1,
    long=1,
    unit="networks and recordings",
    minutes=1.0,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
