"""Settings that hold for every test."""

from __future__ import annotations

import contextlib
import os

import pytest

# Before NumPy loads: the workers of `-n auto` fill the cores already, and more BLAS threads get in the way.
if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OPENBLAS", "MKL", "OMP"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"  # no test opens a window
os.environ.setdefault("JAX_PLATFORMS", "cpu")

with contextlib.suppress(ModuleNotFoundError):  # the smoke tests need only NumPy and pytest
    from hypothesis import settings

    settings.register_profile("clearprop", deadline=None, derandomize=True)
    settings.load_profile("clearprop")


@pytest.fixture
def clearprop(capsys):
    """Run the command line in this process; return (exit code, standard output, standard error)."""
    from clearprop.cli import main  # here: the smoke tests do without what it needs

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run
