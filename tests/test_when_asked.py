"""Imports by name, when something is asked for, keep to the floors like those at the top of a file."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "clearprop"
CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "contracts"
][0]
FLOORS = {
    name.strip(" ()"): len(CONTRACT["layers"]) - place
    for place, floor in enumerate(CONTRACT["layers"])
    for name in floor.split(":")
}
FULL_NAME = re.compile(r"clearprop(\.\w+)+")
IMPORTS_BY_NAME = {  # and what they may so import
    "lazy.py": "what Lazy and _WHEN_ASKED name",
    "engines/base.py": "a rung",
    "compiled.py": "the extension, which may be missing",
    "optimizers/lbfgs.py": "SciPy, which may be missing",
    "training/metrics/base.py": "scikit-learn, which may be missing",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield the path within the package and the syntax tree of every file."""
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def named_modules(tree: ast.Module) -> set[str]:
    """Return the modules of this package that stand in a file as strings."""
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    names = {s for s in strings if isinstance(s, str) and FULL_NAME.fullmatch(s)}
    return {name for name in names if name != "clearprop._native" and importlib.util.find_spec(name)}


def may_name(file: str, module: str) -> bool:
    """Return whether a file may import a module, by the floors; a package may import its own modules."""
    here, there = file.split("/")[0].removesuffix(".py"), module.split(".")[1]
    return here in ("__init__", there) or FLOORS[here] > FLOORS[there]


def test_names_of_modules_keep_to_the_floors() -> None:
    found = {(file, module) for file, tree in sources() for module in named_modules(tree)}
    assert {
        ("network.py", "clearprop.persistence"),
        ("__init__.py", "clearprop.many"),
        ("engines/__init__.py", "clearprop.engines.neuron"),
        ("engines/native.py", "clearprop.trace"),
    } <= found
    assert {(file, module) for file, module in found if not may_name(file, module)} == set()


def test_the_floors_are_those_of_the_contract() -> None:
    assert FLOORS["cli"] > FLOORS["network"] > FLOORS["views"] > FLOORS["persistence"] > FLOORS["lazy"]
    assert not may_name("layers/dense.py", "clearprop.network")
    assert not may_name("persistence.py", "clearprop.views")
    assert not may_name("errors.py", "clearprop.training.history")
    assert may_name("training/loop.py", "clearprop.training.metrics")
    assert may_name("network.py", "clearprop.persistence")


def test_no_other_file_imports_by_name() -> None:
    found = set()
    for file, tree in sources():
        for node in ast.walk(tree):
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            if name in ("import_module", "__import__"):
                found.add(file)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Lazy":
                assert [type(given) for given in node.args] == [ast.Constant], f"{file}:{node.lineno}"
    assert found == set(IMPORTS_BY_NAME)
