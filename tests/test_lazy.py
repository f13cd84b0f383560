"""What is imported only when it is asked for: it is there then, and not before."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import clearprop as cp
from clearprop.lazy import Lazy

FIRST_EPOCH = """
import sys
import numpy as np
import clearprop as cp
net = cp.Network([cp.Dense(3, "relu"), cp.Dense(2, "softmax")], n_in=2)
net.fit(np.eye(2), ["a", "b"], epochs=1)
net.predict(np.eye(2))
print(*sys.modules)
"""
NOT_NEEDED = (
    "hashlib",
    "numpy.ma",
    "clearprop.datasets",
    "clearprop.engines.example",
    "clearprop.engines.graph",
    "clearprop.engines.graph_rung",
    "clearprop.engines.neuron",
    "clearprop.io",
    "clearprop.persistence",
    "clearprop.report",
    "clearprop.schedules",
    "clearprop.trace",
    "clearprop.training.metrics",
)


def alone(source: str) -> str:
    """Return what a program prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
    return done.stdout


def test_a_first_epoch_imports_what_it_needs_alone() -> None:
    loaded = alone(FIRST_EPOCH).split()
    assert "clearprop.training.loop" in loaded
    assert not set(loaded) & set(NOT_NEEDED)


@pytest.mark.parametrize("package", ["clearprop", "clearprop.engines"])
def test_every_public_name_is_there_from_the_start(package: str) -> None:
    lines = (f"import {package} as p", "for name in p.__all__: getattr(p, name)", f"from {package} import *")
    source = "\n".join([*lines, "print(len(dir(p)))"])
    assert int(alone(source)) >= len(importlib.import_module(package).__all__)


@pytest.mark.parametrize("package", ["clearprop", "clearprop.engines"])
def test_dir_lists_what_is_not_imported_yet(package: str) -> None:
    source = f"import {package} as p, sys\nprint(sorted({{*p.__all__, *p._WHEN_ASKED}} - set(dir(p))))"
    source += "\nprint('clearprop.engines.neuron' in sys.modules)"
    assert alone(source).splitlines() == ["[]", "False"]


def test_modules_are_attributes_before_anyone_imports_them() -> None:
    names = ("io", "trace", "persistence", "engines.neuron", "engines.example", "engines.graph_rung")
    source = "import clearprop as cp\n" + "\n".join(f"print(cp.{name}.__name__)" for name in names)
    assert alone(source).split() == [f"clearprop.{name}" for name in names]


def test_what_tools_ask_of_everything_imports_nothing() -> None:
    lazy = Lazy("clearprop.there_is_no_such_module")
    assert not hasattr(lazy, "__wrapped__")
    with pytest.raises(ModuleNotFoundError):
        _ = lazy.name


def test_a_name_that_is_not_there_is_said_so() -> None:
    with pytest.raises(AttributeError, match="module 'clearprop' has no attribute 'nothing'"):
        _ = cp.nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"module 'clearprop\.engines' has no attribute 'nothing'"):
        _ = cp.engines.nothing  # type: ignore[attr-defined]


def test_the_rungs_are_named_in_the_order_of_the_ladder_whatever_was_asked_for_first() -> None:
    source = (
        "import clearprop.engines as e\ne.choose_engine\nimport clearprop.engines.neuron\n"
        "print(*e.engine_names(), *e.engines())"
    )
    assert alone(source).split() == ["graph", "neuron", "example", "batch", "native"] * 2
