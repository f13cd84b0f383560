"""Mutants that change nothing that can be seen, each with the reason."""

from __future__ import annotations

__all__ = ["EQUIVALENT"]

EQUIVALENT: dict[tuple[str, str, str], str] = {}
"""(file:function, what stood there, what stands there now) -> why no test can notice."""
