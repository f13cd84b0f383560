"""Bugs made by rewriting the source of the backward pass: fourteen kinds, none of them written by hand.

Every place in the functions of `backward_equations.py` where a kind applies gives one mutant or more. Each is
run on probe networks: what never runs is crashed, what never changes a gradient by more than 1e-12 of its
largest entry is equivalent; both are discarded and counted.

These kinds are held out: a checker is never tuned on them, or the table would say nothing about bugs that
nobody thought of. Tuning uses the kinds of `by_hand.py` and networks of `cases.TUNING`, no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from .networks import Array, Network
from .rewriting import KINDS, Rewrite, rewrites_of

__all__ = ["KINDS", "SAME", "SOURCE", "Mutant", "Sorted", "distance", "mutants_of", "sort_out"]

SOURCE = Path(__file__).with_name("backward_equations.py")
SAME = 1e-12
"""Gradients closer than this, relative to the largest entry, are the same."""


@dataclass(frozen=True)
class Mutant(Rewrite):
    """A change to the source of the backward pass."""

    @cached_property
    def module(self) -> SimpleNamespace:
        """The rewritten functions, ready to run."""
        names: dict[str, Any] = {"__name__": "mutant"}
        exec(compile(self.source, f"<{self}>", "exec"), names)
        return SimpleNamespace(**names)

    def gradient(self, network: Network) -> Array | None:
        """Return the gradient by these equations, or None where they crash or give no finite vector."""
        try:
            with np.errstate(all="ignore"):
                found = np.asarray(network.gradient(network.theta, self.module))
        except Exception:  # whatever a broken program may raise
            return None
        return found if found.shape == network.theta.shape and np.isfinite(found).all() else None


def mutants_of(kind: str, source: str | None = None) -> Iterator[Mutant]:
    """Yield every mutant of a kind, in the order of the source."""
    for made in rewrites_of(kind, SOURCE.read_text(encoding="utf-8") if source is None else source):
        yield Mutant(**vars(made))


@dataclass(frozen=True)
class Sorted:
    """The mutants of a kind that are bugs, and how many were not."""

    kind: str
    bugs: tuple[Mutant, ...]
    crashed: int
    equivalent: int


def distance(found: Array, right: Array) -> float:
    """Return the largest difference, relative to the largest entry of the right gradient."""
    scale = float(np.abs(right).max())
    difference = float(np.abs(found - right).max())
    return difference / scale if scale else (np.inf if difference else 0.0)


def sort_out(kind: str, probes: Sequence[Network], mutants: Sequence[Mutant] | None = None) -> Sorted:
    """Run all mutants of a kind on the probes and keep those that run somewhere and change a gradient."""
    rights = [(network, network.gradient(network.theta)) for network in probes]
    bugs, crashed, equivalent = [], 0, 0
    for mutant in mutants_of(kind) if mutants is None else mutants:
        ran = changes = False
        for network, right in rights:
            found = mutant.gradient(network)
            ran |= found is not None
            changes = found is not None and distance(found, right) > SAME
            if changes:
                bugs.append(mutant)
                break
        crashed += not ran
        equivalent += ran and not changes
    return Sorted(kind, tuple(bugs), crashed, equivalent)
