"""Mutation tests: small changes to the mathematics, each of which a fast part of the test suite must notice.

The changes are made in copies of the package, never in the checkout. What survives shows a hole in the tests,
or changes nothing that can be seen; such mutants stand in `equivalent_mutants.py`, each with its reason.
"""

from __future__ import annotations

import ast
import compileall
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from benchmarks.planted_bugs.rewriting import KINDS, Place, places

from trust.equivalent_mutants import is_equivalent
from trust.frame import Figure, Result, Test, command

__all__ = ["KILLERS", "TEST", "Judge", "Mutant", "mutants", "run"]

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "clearprop"
KILLED = 0.95
WORKERS = 2

GRADIENTS = "test_random_gradients.py"
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
    verdicts = _verdicts(judged)
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
            Figure("noticed, as they run for ever", found["hung"]),
            Figure("survived", found["survived"]),
            Figure("share noticed", killed, at_least=KILLED),
        ),
        tuple(survivors) if killed < KILLED else (),
        done=len(drawn),
    )


def _tests(file: str) -> list[str]:
    part = next(part for part in KILLERS if file.startswith(part))
    return [str(ROOT / "tests" / name) for name in KILLERS[part]]


def _verdicts(mutants: Sequence[Mutant]) -> list[str]:
    """Return what the tests say of each mutant; several are judged at once."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as judges:
        free: SimpleQueue[Judge] = SimpleQueue()
        for number in range(WORKERS):
            free.put(judges.enter_context(closing(Judge(Path(folder, str(number))))))

        def judge(mutant: Mutant) -> str:
            one = free.get()
            try:
                return one(mutant)
            finally:
                free.put(one)

        first = free.get()
        for file in {_tests(m.file)[-1]: m.file for m in mutants}.values():
            first.check(file)
        free.put(first)
        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(judge, mutants))


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
    """Return `count` mutants, those of another seed being others until all have had their turn.

    Kinds and files take turns, as long as they last.
    """
    everyone = _in_turns()
    begin = seed * count % len(everyone)
    return (everyone[begin:] + everyone[:begin])[:count]


@cache
def _in_turns() -> tuple[Mutant, ...]:
    """Return every mutant, the kinds and files taking turns."""
    everyone = _all()
    rng = np.random.default_rng(0)
    groups: dict[tuple[str, str], list[Mutant]] = {}
    for number in rng.permutation(len(everyone)):
        mutant = everyone[number]
        groups.setdefault((mutant.place.kind, mutant.file), []).append(mutant)
    waiting = [groups[key] for key in sorted(groups)]
    chosen: list[Mutant] = []
    while waiting:
        chosen += [waiting[number].pop() for number in rng.permutation(len(waiting))]
        waiting = [group for group in waiting if group]
    return tuple(chosen)


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


class Judge:
    """A copy of the package, and a process that lets the tests look at the mutants put into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = copied(folder)
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trust.mutation_child", str(self.folder)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, mutant: Mutant) -> str:
        """Return "survived", "killed", or "hung" where no test came to an end."""
        words = re.findall("[A-Z]?[a-z]{2,}", f"{Path(mutant.file).stem} {mutant.place.function}")
        return self.look_at(mutant.file, mutant.place.rewrite().source, words)

    def look_at(self, file: str, source: str, words: Collection[str] = ()) -> str:
        """Return the verdict on another text of a file; tests named with one of the words come first."""
        path = self.folder / "clearprop" / file
        before = path.read_text(encoding="utf-8")
        path.write_text(source, encoding="utf-8")
        try:
            return self._ask({"options": _tests(file), "words": sorted(words)})
        finally:
            path.write_text(before, encoding="utf-8")

    def _ask(self, what: dict[str, Any]) -> str:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(what), file=process.stdin, flush=True)
        verdict = process.stdout.readline().strip()
        if verdict not in ("survived", "killed", "hung"):
            raise RuntimeError(f"a mutant cannot be judged: {verdict or 'trust.mutation_child ended early'}")
        return verdict

    def check(self, file: str) -> None:
        """Raise `RuntimeError` unless the tests of a file can be collected: else every mutant is killed."""
        if self._ask({"options": ["--collect-only", *_tests(file)], "words": []}) != "survived":
            raise RuntimeError(f"the tests of {file} cannot be collected, with the file as it is")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


TEST = Test(
    "mutation",
    "small changes to the mathematics are noticed by a fast part of the test suite",
    run,
    short=60,
    long=15_000,
    piece=600,
    unit="mutants",
    minutes=1.8,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
