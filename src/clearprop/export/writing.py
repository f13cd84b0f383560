"""What every export shares: the refusal of what has no formula, and the account of what was written."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from clearprop.errors import UnsupportedError
from clearprop.export.steps import Program

__all__ = ["Exported", "require_formulas"]


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    format: str
    """onnx, c or js."""
    dtype: str
    n_in: int
    n_out: int
    labels: tuple[str, ...]
    """What the classes are called; () where there are none."""
    bytes: int
    """Size of the file."""
    multiplications: int
    """Multiplications with weights in one prediction, each with an addition."""
    constant_bytes: int | None = None
    """C: what the constants take in read-only memory."""
    work_bytes: int | None = None
    """C: what the static work arrays take, beside the inputs and outputs."""


def require_formulas(program: Program, known: Container[str], language: str) -> None:
    """Raise `UnsupportedError` for an activation that a language has no formula for."""
    for activation in program.activations:
        if activation.name not in known:
            raise UnsupportedError(
                f"the activation {activation.name!r} has no formula in {language}. Export the network to "
                f"another format, or add the formula to clearprop.export."
            )
