"""Judge one mutant after the other: `trust.mutation` starts it, and puts each into a copy of the package.

python -m trust.mutation_child FOLDER, that of the copy. Each line that it is given is a JSON object with the
`options` of pytest, the tests of a mutant, and the `words` by which those are known that may notice first.
Each line that it answers is a verdict. A mutant is judged by a fork of this process, which has imported all
but clearprop.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import pytest

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 300
WARM = ("numpy", "numpy.testing", "scipy.special", "jax", "jax.numpy", "hypothesis", "hypothesis.strategies")
"""What the tests need besides clearprop: imported once, and not by every fork."""
# Hypothesis has a plugin, which pytest cannot rewrite once it is imported, and warns of.
QUIET = ("-q", "-W", "ignore::pytest.PytestAssertRewriteWarning")
SETTINGS = (f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"))
OPTIONS = ("-x", "-n0", "-p", "no:cacheprovider", *QUIET, *SETTINGS)

OTHER_PACKAGE = 99
VERDICTS = {
    int(pytest.ExitCode.OK): "survived",
    int(pytest.ExitCode.TESTS_FAILED): "killed",
    int(pytest.ExitCode.INTERRUPTED): "killed",  # what a test imports does not import any more
    -signal.SIGALRM: "hung",
}
"""What an exit code says; every other one is a fault of the judge."""


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
        code = _in_a_fork(folder, **json.loads(line))
        crashed = "killed" if code < 0 else f"the tests ended with the exit code {code}"
        print(VERDICTS.get(code, crashed), file=answers, flush=True)


def _in_a_fork(folder: str, options: Sequence[str], words: Sequence[str]) -> int:
    """Return the exit code of pytest in a fork of this process."""
    child = os.fork()
    if child == 0:
        code = OTHER_PACKAGE
        try:
            code = _judge(folder, options, words)
        finally:
            os._exit(code)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise


def _judge(folder: str, options: Sequence[str], words: Sequence[str]) -> int:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    found = importlib.util.find_spec("clearprop")
    if found is None or not str(found.origin).startswith(folder):
        return OTHER_PACKAGE
    return int(pytest.main([*OPTIONS, *options], plugins=[LikelyFirst(words)]))


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin, sys.stdout)
