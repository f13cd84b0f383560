"""Mutation tests: small changes to the mathematics, each of which a fast part of the test suite must notice.

The changes are made in copies of the package, never in the checkout. What survives shows a hole in the tests,
or changes nothing that can be seen; such mutants stand in `equivalent_mutants.py`, each with its reason.
"""

from __future__ import annotations

import ast
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from benchmarks.planted_bugs.rewriting import KINDS, Place, places

from trust.equivalent_mutants import is_equivalent
from trust.frame import Figure, Result, Test, command

__all__ = ["KILLERS", "TEST", "Mutant", "mutants", "run", "survives"]

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "clearprop"
KILLED = 0.95
WORKERS = 2
SECONDS = 300.0

GRADIENTS = "test_trust_numbers.py::test_random_networks_have_right_gradients"
KILLERS: dict[str, tuple[str, ...]] = {
    "layers": (GRADIENTS, "test_layers.py"),
    "engines/batch.py": (GRADIENTS, "test_mutants.py", "test_trace.py", "test_gradient_memory.py"),
    "activations": (
        GRADIENTS,
        "test_activation_gradients.py",
        "test_activations.py",
        "test_activation_descriptions.py",
    ),
    "costs": (GRADIENTS, "test_costs.py"),
    "optimizers": ("test_optimizers.py",),
    "schedules": ("test_schedules.py",),
    "initializers.py": ("test_initializers.py",),
}
"""For each part of the package, the fast tests that must notice, the fastest first."""


class Mutant(NamedTuple):
    """A change to one file of the package."""

    file: str
    place: Place

    @property
    def key(self) -> tuple[str, str, str]:
        """What `is_equivalent` names it by: function, what stood there, what stands there now."""
        made = self.place.rewrite()
        return f"{self.file}:{made.function}", made.before, made.after

    def __str__(self) -> str:
        return f"{self.file}, {self.place.rewrite()} ({self.place.kind})"


def run(count: int, seed: int) -> Result:
    """Let the tests look at `count` mutants drawn from all of them."""
    drawn = mutants(count, seed)
    judged = [mutant for mutant in drawn if not is_equivalent(mutant.key)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(WORKERS):
            copies.put(copied(Path(folder, str(number))))

        def judge(mutant: Mutant) -> str:
            here = copies.get()
            try:
                return survives(mutant, here)
            finally:
                copies.put(here)

        verdicts = list(pool.map(judge, judged))
    found = Counter(verdicts)
    killed = (len(judged) - found["survived"]) / max(1, len(judged))
    survivors = [
        f"survived: {m}" for m, verdict in zip(judged, verdicts, strict=True) if verdict == "survived"
    ]
    for line in survivors:
        print(line, file=sys.stderr)
    return Result(
        (
            Figure("mutants", len(drawn), at_least=min(count, len(_all()))),
            Figure("equivalent, each with its reason", len(drawn) - len(judged)),
            Figure("noticed by a test", found["killed"]),
            Figure("of these not even imported", found["no import"]),
            Figure("survived", found["survived"]),
            Figure("share noticed", killed, at_least=KILLED),
        ),
        tuple(survivors) if killed < KILLED else (),
        done=len(drawn),
    )


# -- drawing -------------------------------------------------------------------------------------------


@cache
def _all() -> tuple[Mutant, ...]:
    """Return every mutant of the mathematics, each change of a line once."""
    seen: set[Any] = set()
    found = []
    for part in KILLERS:
        root = PACKAGE / part
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            source = path.read_text(encoding="utf-8")
            file = path.relative_to(PACKAGE).as_posix()
            for place in (place for kind in KINDS for place in places(kind, source)):
                key = (file, place.node.number, ast.dump(place.new))
                if key not in seen:
                    seen.add(key)
                    found.append(Mutant(file, place))
    return tuple(found)


def mutants(count: int, seed: int) -> Sequence[Mutant]:
    """Return `count` mutants, kinds and files taking turns; all of them if there are no more."""
    everyone = _all()
    if count >= len(everyone):
        return everyone
    rng = np.random.default_rng(seed)
    groups: dict[tuple[str, str], list[Mutant]] = {}
    for number in rng.permutation(len(everyone)):
        mutant = everyone[number]
        groups.setdefault((mutant.place.kind, mutant.file), []).append(mutant)
    waiting = [groups[key] for key in sorted(groups)]
    chosen: list[Mutant] = []
    while len(chosen) < count:
        waiting = [group for group in waiting if group]
        for number in rng.permutation(len(waiting)):
            chosen.append(waiting[number].pop())
    return chosen[:count]


# -- judging -------------------------------------------------------------------------------------------


def copied(folder: Path) -> Path:
    """Copy the package to a folder, compiled; the compiled extension is linked, not copied."""
    ignore = shutil.ignore_patterns("__pycache__", "_native*")
    target = Path(shutil.copytree(PACKAGE, folder / "clearprop", ignore=ignore))
    for extension in PACKAGE.glob("_native*"):
        (target / extension.name).symlink_to(extension)
    # Checked by content: two versions of a file may have the same size within the same second.
    checked = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(target, quiet=2, invalidation_mode=checked)
    return folder


def survives(mutant: Mutant, folder: Path) -> str:
    """Put the mutant into the copy and run its tests; return "survived", "killed" or "no import"."""
    path = folder / "clearprop" / mutant.file
    before = path.read_text(encoding="utf-8")
    path.write_text(mutant.place.rewrite().source, encoding="utf-8")
    try:
        if _python(folder, "-c", "import clearprop, clearprop.schedules") != 0:
            return "no import"
        part = next(part for part in KILLERS if mutant.file.startswith(part))
        return "survived" if _tests_pass(folder, KILLERS[part]) else "killed"
    finally:
        path.write_text(before, encoding="utf-8")


_RUN = """
import sys, clearprop, pytest
assert clearprop.__file__.startswith(sys.argv[1]), "the tests would run on another package"
sys.exit(pytest.main(sys.argv[2:]))
"""


def _tests_pass(folder: Path, names: Sequence[str]) -> bool:
    tests = [str(ROOT / "tests" / name) for name in names]
    options = [
        "-x",
        "-q",
        "-n0",
        "-p",
        "no:cacheprovider",
        f"--rootdir={ROOT}",
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    return _python(folder, "-c", _RUN, str(folder), *options, *tests) == 0


def _python(folder: Path, *arguments: str) -> int:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1
    return done.returncode


TEST = Test(
    "mutation",
    "small changes to the mathematics are noticed by a fast part of the test suite",
    run,
    short=60,
    long=100_000,
    unit="mutants",
    minutes=12.0,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
