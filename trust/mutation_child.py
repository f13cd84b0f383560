"""Judge one mutant after the other: `trust.mutation` starts it, and puts each into a copy of the package.

python -m trust.mutation_child FOLDER, that of the copy. Each line that it is given is a JSON object with the
`tests` of a mutant and the `words` by which those are known that are likely to notice; each line that it
answers is a verdict. A mutant is judged by a fork of this process, which has imported all but clearprop.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import pytest

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 300.0
WARM = ("numpy", "numpy.testing", "scipy.special", "jax", "jax.numpy", "hypothesis", "hypothesis.strategies")
"""What the tests need besides clearprop: imported once, and not by every fork."""
# Hypothesis has a plugin, which pytest cannot rewrite once it is imported, and warns of.
QUIET = ("-q", "-W", "ignore::pytest.PytestAssertRewriteWarning")
SETTINGS = (f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"))
OPTIONS = ("-x", "-n0", "-p", "no:cacheprovider", *QUIET, *SETTINGS)


class LikelyFirst:
    """A plugin of pytest that runs those tests first whose names hold the most of some words."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = [word.lower() for word in words]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: -sum(word in item.name.lower() for word in self.words))


def main(folder: str, given: TextIO, answers: TextIO) -> None:
    """Answer until there is nothing more to read."""
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in given:
        asked = json.loads(line)
        code = _in_a_fork(folder, asked["tests"], asked["words"])
        print("survived" if code == pytest.ExitCode.OK else "killed", file=answers, flush=True)


def _in_a_fork(folder: str, tests: Sequence[str], words: Sequence[str]) -> int:
    """Return the exit code of pytest in a fork of this process, or that it had to be ended."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            code = _judge(folder, tests, words)
        finally:
            os._exit(code)
    ends = time.monotonic() + SECONDS
    pause = 0.001
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > ends:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1
        time.sleep(pause)
        pause = min(0.02, 2 * pause)


def _judge(folder: str, tests: Sequence[str], words: Sequence[str]) -> int:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    import clearprop

    if not str(clearprop.__file__).startswith(folder):
        raise RuntimeError(f"the tests would run on another package: {clearprop.__file__}")
    return int(pytest.main([*OPTIONS, *tests], plugins=[LikelyFirst(words)]))


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin, sys.stdout)
