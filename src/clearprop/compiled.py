"""The compiled part of clearprop, if this installation has one: docs/native.md."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["native"]


def _extension() -> Any:
    try:
        return importlib.import_module("clearprop._native")
    except ImportError:
        return None


native: Any = _extension()
"""The extension module, None where it was installed without a C++ compiler."""
