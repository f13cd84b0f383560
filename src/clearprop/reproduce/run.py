"""Measuring the claims one after the other, and what came of each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clearprop._version import __version__
from clearprop.errors import DownloadError, MissingDependencyError, MissingFileError, OptionError
from clearprop.ladder import Machine, machine
from clearprop.report import Picture
from clearprop.reproduce.claims import Claim, claims, select, sources
from clearprop.reproduce.measuring import Conditions, Measured, Measuring, measuring

__all__ = ["MET", "NOT_MET", "NOT_RUN", "Reproduction", "Row", "reproduce"]

MET, NOT_MET, NOT_RUN = "met", "not met", "not run"

# What is missing on this machine says nothing about the claim.
_MISSING = (DownloadError, MissingDependencyError, MissingFileError)


@dataclass(frozen=True)
class Row:
    """One claim and what was measured."""

    claim: Claim
    values: dict[str, float]
    """What was measured, by the name of the figure; empty where it was not run."""
    verdict: str
    """`MET`, `NOT_MET` or `NOT_RUN`."""
    why: str
    """Why it was not met or not run, in one sentence; empty where it was met."""
    seconds: float
    pictures: tuple[Callable[[], Picture], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {
            "id": self.claim.id,
            "claim": self.claim.claim,
            "note": self.claim.note,
            "source": self.claim.source,
            "figures": [
                {
                    "name": f.name,
                    "what": f.what,
                    "wanted": dict(f.bounds),
                    "measured": self.values.get(f.name),
                }
                for f in self.claim.figures
            ],
            "verdict": self.verdict,
            "why": self.why,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Reproduction:
    """The rows that were asked for, and what they were measured on."""

    rows: tuple[Row, ...]
    quick: bool
    machine: Machine
    version: str = __version__

    @property
    def met(self) -> bool:
        """Whether every row that was asked for is met, and there is one; a quick run may leave out the long.

        What could not be run, for want of MNIST say, has not been shown, so it is not met either.
        """
        return bool(self.count(MET)) and not self.count(NOT_MET) and not self.unrun

    @property
    def unrun(self) -> tuple[Row, ...]:
        """The rows that were asked for and not run, without those that a quick run leaves out."""
        asked = [row for row in self.rows if row.claim.quick or not self.quick]
        return tuple(row for row in asked if row.verdict == NOT_RUN)

    @property
    def seconds(self) -> float:
        """How long the measurements took, all together."""
        return sum(row.seconds for row in self.rows)

    def count(self, verdict: str) -> int:
        """Return how many rows have this verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        return {
            "clearprop": self.version,
            "quick": self.quick,
            "reproduced": self.met,
            "met": self.count(MET),
            "not_met": self.count(NOT_MET),
            "not_run": self.count(NOT_RUN),
            "seconds": round(self.seconds, 1),
            "machine": vars(self.machine),
            "sources": sources(),
            "rows": [row.to_dict() for row in self.rows],
        }


def reproduce(
    only: Sequence[str] | None = None,
    *,
    quick: bool = False,
    data: str | Path | None = None,
    on_row: Callable[[Claim], None] | None = None,
    after_row: Callable[[Row], None] | None = None,
) -> Reproduction:
    """Measure the claims of the sources and return the table of claims, figures and verdicts.

    only: ids of claims ("003.12") or of sources ("003"); left out, all. quick: what takes minutes is left
    out or repeated less often; the bounds are the same. data: MNIST, an .npz file or a folder; left out,
    the cache, or downloaded. on_row, after_row: called before and after each claim.
    Errors: `UnknownNameError` for an unknown id, `OptionError` for none at all, `MissingFileError` where
    `data` names nothing.

    >>> found = reproduce(["002.3"])
    >>> found.met, found.rows[0].verdict, found.rows[0].values["output_error"] < 1e-12
    (True, 'met', True)
    """
    chosen = claims() if only is None else select(only)
    if not chosen:
        raise OptionError("only must name at least one claim. Got an empty list.")
    path = None if data is None else Path(data).expanduser()
    if path is not None and not os.path.exists(path):
        raise MissingFileError(f"data: there is no file or folder {path}.")
    conditions = Conditions(quick, path)
    rows = []
    for claim in chosen:
        if on_row is not None:
            on_row(claim)
        rows.append(_row(claim, conditions))
        if after_row is not None:
            after_row(rows[-1])
    return Reproduction(tuple(rows), quick, machine())


def _row(claim: Claim, conditions: Conditions) -> Row:
    if conditions.quick and not claim.quick:
        return Row(claim, {}, NOT_RUN, "left out of the quick run", 0.0)
    begun = time.perf_counter()
    row = _judged(claim, measuring()[claim.id], conditions)
    return replace(row, seconds=time.perf_counter() - begun)


def _judged(claim: Claim, measure: Measuring, conditions: Conditions) -> Row:
    try:
        found = measure(conditions)
    except _MISSING as error:
        return Row(claim, {}, NOT_RUN, str(error).rstrip("."), 0.0)
    except Exception as error:  # a measurement that fails must not lose the others
        return Row(claim, {}, NOT_MET, f"{type(error).__name__}: {error}".rstrip("."), 0.0)
    measured = found if isinstance(found, Measured) else Measured(found)
    values = {name: float(value) for name, value in measured.figures.items()}
    wrong = [f for f in claim.figures if not f.holds(values.get(f.name, float("nan")))]
    why = "; ".join(f"{f.what}: {values.get(f.name, float('nan')):.6g}, wanted {f.wanted}" for f in wrong)
    return Row(claim, values, NOT_MET if wrong else MET, why, 0.0, measured.pictures)
