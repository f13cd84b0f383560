"""Where the values of a program lie while it runs: in x, in out, or in as few work arrays as will do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from clearprop.export.steps import (
    Add,
    Elementwise,
    Increasing,
    Normalise,
    Ordinal,
    Program,
    Rectify,
    Scale,
    Softmax,
    Step,
    Value,
)

__all__ = ["Storage", "place"]

# Each of their outputs needs its own input alone, or all inputs before the first output is written, or (those
# of neurons in order) reads each input before what is written over it.
_IN_PLACE = (Scale, Elementwise, Rectify, Softmax, Increasing, Ordinal, Normalise, Add)


@dataclass(frozen=True)
class Storage:
    """The places of all values.

    `places`: name of a value -> "x", "out" or a work array "w0", "w1" …; `sizes`: of each work array.
    """

    places: dict[str, str]
    sizes: tuple[int, ...]


class _Stay(NamedTuple):
    """Values that follow one another in one place, from the step that makes it to the last that reads."""

    values: list[Value]
    first: int
    last: int


def place(program: Program) -> Storage:
    """Return a place for every value, such that none is written over while it is still to be read.

    A step that can work in place does, where nothing else reads its input; the outputs are built in `out`.

    >>> from clearprop import Dense, Network
    >>> from clearprop.export.program import inference_program
    >>> net = Network([Dense(30, "relu"), Dense(20, "tanh"), Dense(10, "softmax")], n_in=64)
    >>> place(inference_program(net)).sizes
    (30, 20)
    """
    places = {program.inputs.name: "x"}
    sizes: list[int] = []
    free_after: list[int] = []
    for stay in _stays(program):
        if program.outputs in stay.values:
            places.update({value.name: "out" for value in stay.values})
            continue
        size = stay.values[0].size
        free = [k for k, last in enumerate(free_after) if last < stay.first]
        if free:  # the one whose size fits best: least to grow, then least to spare
            k = min(free, key=lambda k: (max(size - sizes[k], 0), max(sizes[k] - size, 0)))
            sizes[k], free_after[k] = max(sizes[k], size), stay.last
        else:
            k = len(sizes)
            sizes.append(size)
            free_after.append(stay.last)
        places.update({value.name: f"w{k}" for value in stay.values})
    return Storage(places, tuple(sizes))


def _stays(program: Program) -> list[_Stay]:
    last_read = {value.name: i for i, step in enumerate(program.steps) for value in step.sources}
    stays: dict[str, _Stay] = {}  # by the name of the value that is in the place now
    found: list[_Stay] = []
    for i, step in enumerate(program.steps):
        before = _reusable(step, i, last_read, stays)
        last = last_read.get(step.target.name, i)
        stay = _Stay([step.target], i, last)
        if before is not None:
            old = stays.pop(before.name)
            stay = _Stay([*old.values, step.target], old.first, last)
            found.remove(old)
        stays[step.target.name] = stay
        found.append(stay)
    return sorted(found, key=lambda stay: stay.first)


def _reusable(step: Step, i: int, last_read: dict[str, int], stays: dict[str, _Stay]) -> Value | None:
    """Return the input whose place step i may write its output to; None if there is none."""
    if not isinstance(step, _IN_PLACE):
        return None
    ending = [value for value in step.sources if last_read[value.name] == i and value.name in stays]
    return ending[0] if ending else None
