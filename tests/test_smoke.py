"""Five seconds: the package imports, is light, and its foundations work. Needs NumPy and pytest alone."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import subprocess
import sys

import pytest

import clearprop
from clearprop import errors
from clearprop.activations import activations
from clearprop.costs import costs
from clearprop.layers import layers

REGISTRIES = [activations, costs, layers]

# Prints the modules that `import clearprop` adds to those that `import numpy` has loaded.
ADDED_MODULES = """
import sys, numpy
before = set(sys.modules)
import clearprop
print(*sorted(set(sys.modules) - before))
"""


@pytest.fixture(scope="module")
def added_modules() -> set[str]:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", ADDED_MODULES], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_import_adds_no_third_party_package_but_numpy(added_modules):
    packages = {module.partition(".")[0] for module in added_modules}
    assert packages - set(sys.stdlib_module_names) <= {"clearprop", "numpy"}
    assert "clearprop" in packages


def test_import_adds_no_heavy_part_of_the_standard_library(added_modules):
    heavy = {"asyncio", "concurrent.futures", "http.client", "multiprocessing", "sqlite3", "unittest"}
    assert not heavy & added_modules


def test_version_has_one_source():
    assert importlib.metadata.version("clearprop") == clearprop.__version__


def test_package_is_typed():
    assert (importlib.resources.files("clearprop") / "py.typed").is_file()


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_registries_are_filled_and_suggest_a_name(registry):
    name = next(iter(registry))
    assert registry[name].name == name
    with pytest.raises(errors.UnknownNameError, match=f"Did you mean '{name}'"):
        registry[name + "x"]


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_every_error_is_a_clearprop_error_and_a_builtin(name):
    error = getattr(errors, name)
    assert issubclass(error, errors.ClearpropError)
    if error is not errors.ClearpropError:
        assert any(base.__module__ == "builtins" for base in error.__bases__)
