"""Where the real data files for tests are, if this machine has them.

The folder in the environment variable CLEARPROP_TEST_DATA, or else ``../shared/data`` beside
the repository. A test that needs a file is marked `needs("mnist.npz")`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def find(name: str) -> Path | None:
    """Return the path of the real data file `name`, or None if it is not there."""
    own = os.environ.get("CLEARPROP_TEST_DATA")
    folder = Path(own) if own else ROOT.parent / "shared" / "data"
    return folder / name if (folder / name).is_file() else None


def path(name: str) -> Path:
    """Return the path of the real data file `name`, which the test's mark `needs` has made sure of."""
    found = find(name)
    assert found is not None, f"mark this test with needs({name!r})"
    return found


def needs(*names: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where one of the real files is missing."""
    return pytest.mark.skipif(any(find(name) is None for name in names), reason="real data not present")
