"""What the environment can change is known: no variable is read but CLEARPROP_* and the system's own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
THEIRS = {
    "LOCALAPPDATA": "where Windows keeps a user's caches",
    "XDG_CACHE_HOME": "where others keep them",
    # How many threads the BLAS takes: only told, in history.environment and by the command.
    "OMP_NUM_THREADS": "OpenMP",
    "OPENBLAS_NUM_THREADS": "OpenBLAS",
    "MKL_NUM_THREADS": "MKL",
    "VECLIB_MAXIMUM_THREADS": "Accelerate",
}
NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|[A-Z][A-Z0-9]{2,}")
READS = re.compile(r"\b(getenv\w*|secure_getenv|_dupenv_s|environ\w*|envvar)\b")


def strings_of_c(text: str) -> Iterator[str]:
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
    if READS.search(code):
        yield from re.findall(r'"([^"\\\n]*)"', code)


def strings_of_python(text: str) -> Iterator[str]:
    """Yield the strings of a file that reads variables, but those of its own names, as in __all__."""
    nodes = list(ast.walk(ast.parse(text)))
    fields = ("attr", "id", "arg", "name")
    names = {getattr(node, field, None) for node in nodes for field in fields}
    if names & {"environ", "environb", "getenv", "getenvb", "envvar", "THREAD_VARIABLES"}:
        strings = [node.value for node in nodes if isinstance(node, ast.Constant)]
        yield from (value for value in strings if isinstance(value, str) and value not in names)


def strings_of_cmake(text: str) -> Iterator[str]:
    yield from re.findall(r"ENV\{([^}]*)\}", text)


def variables() -> set[tuple[str, str]]:
    """Return (file, variable) for whatever looks like one in a file that reads any."""
    kinds = [
        ("src/clearprop", "*.py", strings_of_python),
        ("native", "*.[ch]pp", strings_of_c),
        ("native", "*.[ch]", strings_of_c),
        ("native", "CMakeLists.txt", strings_of_cmake),
        (".", "CMakeLists.txt", strings_of_cmake),
    ]
    found = set()
    for folder, pattern, strings in kinds:
        files = (ROOT / folder).glob(pattern) if folder == "." else (ROOT / folder).rglob(pattern)
        for file in files:
            for string in strings(file.read_text(encoding="utf-8")):
                if NAME.fullmatch(string):
                    found.add((file.relative_to(ROOT).as_posix(), string))
    return found


def test_no_other_variable_is_read() -> None:
    found = variables()
    assert ("native/bindings_reader.cpp", "CLEARPROP_ISA") in found
    assert ("src/clearprop/compiled.py", "CLEARPROP_NUM_THREADS") in found
    assert {name for _, name in found if not name.startswith("CLEARPROP_")} == set(THEIRS)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (strings_of_c, 'bool on() { return getenv("MY_SWITCH") != nullptr; }'),
        (
            strings_of_c,
            'auto x = std::getenv(y), z = variable("MY_SWITCH");',
        ),
        (strings_of_python, 'import os\non = os.environ.get("MY_SWITCH")'),
        (strings_of_python, 'from os import getenv\nname = "MY_SWITCH"\non = getenv(name)'),
        (strings_of_cmake, "if(DEFINED ENV{MY_SWITCH})"),
    ],
)
def test_a_switch_for_debugging_is_found(read, text: str) -> None:
    assert "MY_SWITCH" in list(read(text))
