"""Where two recorded runs first differ: the step, then in it the batch, pass, rate, or update."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import UnsupportedError
from clearprop.model import Layout
from clearprop.training.snapshot import same_bits

if TYPE_CHECKING:
    from clearprop.recorder.recording import Recording
    from clearprop.trace import Trace

__all__ = ["Difference", "first_difference"]


@dataclass(frozen=True)
class Difference:
    """Where two runs first differ. ``str`` of it is one sentence.

    >>> print(Difference(37, "1", "dC_dW", (2, 3), 4, (1, 2), 0.25, 0.26))
    step 37, layer 1, dC_dW: 4 of 6 entries differ, most at [1, 2]: 0.25 against 0.26, a difference of 0.01
    """

    step: int
    """The first step that differs; before the first of all (0 in a run from the start), the parameters it
    began with."""
    layer: str
    """Address of the layer, "0" for the inputs; "" for what belongs to the step as a whole."""
    quantity: str
    """"batch", "eta", "cost", a field of the layer's trace, a parameter such as "W", or a buffer."""
    shape: tuple[int, ...]
    entries: int
    """How many entries differ."""
    at: tuple[int, ...]
    """The entry that differs most."""
    here: float
    there: float
    note: str = ""
    """What the entries cannot say: other shapes."""

    @property
    def size(self) -> float:
        """How far apart the two entries are that differ most."""
        return abs(self.here - self.there)

    def __str__(self) -> str:
        where = (
            f"step {self.step}, layer {self.layer}, {self.quantity}"
            if self.layer
            else (f"step {self.step}, {self.quantity}")
        )
        if self.note:
            return f"{where}: {self.note}"
        if not self.shape:
            return f"{where}: {self.here!r} against {self.there!r}, a difference of {self.size:.3g}"
        n = int(np.prod(self.shape))
        return (
            f"{where}: {self.entries} of {n} entries {'differs' if self.entries == 1 else 'differ'}, most at "
            f"{list(self.at)}: {self.here!r} against {self.there!r}, a difference of {self.size:.3g}"
        )


def first_difference(one: Recording, other: Recording) -> Difference | None:
    """Return where two runs first differ, None if they agree in every step that both have.

    They agree where batches, rates and what the updates gave do: quantities that left no trace in these, such
    as a gradient that was multiplied by 0, are not computed to be compared.
    """
    _check_alike(one, other)
    first = max(one.steps.start, other.steps.start) - 1
    last = min(one.steps.stop, other.steps.stop) - 1
    found = _parameters(one, other, first, first)
    if found is not None:
        return found
    step = _first_other_step(one, other, first, last)
    return None if step is None else _within_step(one, other, step)


def _check_alike(one: Recording, other: Recording) -> None:
    """Raise `UnsupportedError` unless the two networks have the same parameters, of one dtype."""
    mine, theirs = one._course.model.layout, other._course.model.layout
    for a, b in zip(mine.entries, theirs.entries, strict=False):
        if (a.address, a.shape) != (b.address, b.shape):
            raise UnsupportedError(
                f"these two runs trained networks of other layers: {a.address} is {a.shape} here, "
                f"{b.address} {b.shape} there. Compare runs of one architecture."
            )
    if len(mine.entries) != len(theirs.entries):
        raise UnsupportedError(
            f"these two runs trained networks of other layers: {len(mine.entries)} parameter arrays here, "
            f"{len(theirs.entries)} there. Compare runs of one architecture."
        )


def _first_other_step(one: Recording, other: Recording, first: int, last: int) -> int | None:
    """Return the first step whose batch or rate, or the parameters after which, are not the same bits.

    Both agree after `first` steps. First batches and rates are compared, for which nothing is done again:
    other batches may lead to the same parameters. Then the snapshots that both have, which costs nothing,
    then those of either, then each step between the last that agree and the first that do not.
    """
    taken = _first_taken_otherwise(one, other, first, last)
    low, high = first, last + 1 if taken is None else taken
    both = [step for step in one.kept if first < step <= last and step in set(other.kept)]
    either = sorted({step for step in (*one.kept, *other.kept, last) if first < step <= last})
    for candidates in (both, either):
        for step in candidates:
            if not low < step < high or step > min(one._done, other._done):
                continue
            if not _agree(one, other, step):
                high = step
                break
            low = step
    for step in range(low + 1, min(high, last) + 1):
        if step == taken or (step <= min(one._done, other._done) and not _agree(one, other, step)):
            return step
    return None


def _agree(one: Recording, other: Recording, step: int) -> bool:
    mine, theirs = one._after(step), other._after(step)
    return same_bits(mine.theta, theirs.theta) and same_bits(mine.buffers, theirs.buffers)


def _first_taken_otherwise(one: Recording, other: Recording, first: int, last: int) -> int | None:
    """Return the first step that took other examples, or another rate."""
    mine, theirs = one._course, other._course
    both = zip(mine.batches(first, last), theirs.batches(first, last), strict=True)
    for (step, here), (_, there) in both:
        if not np.array_equal(here, there) or mine.rate(step) != theirs.rate(step):
            return step
    return None


def _within_step(one: Recording, other: Recording, step: int) -> Difference | None:
    """Return the first quantity of a step that differs, in the order in which they are computed."""
    mine, theirs = one.batch(step), other.batch(step)
    found = _compare(step, "", "batch", mine, theirs)
    if found is None:
        found = _passes(one.trace(step), other.trace(step), step)
    if found is None:
        found = _compare(step, "", "eta", np.array(one.eta(step)), np.array(other.eta(step)))
    if found is None:
        found = _gradients(one, other, step)
    return found if found is not None else _parameters(one, other, step, step)


def _passes(mine: Trace, theirs: Trace, step: int) -> Difference | None:
    for address, name in _in_order(mine):
        found = _compare(step, address, name, _value(mine, address, name), _value(theirs, address, name))
        if found is not None:
            return found
    return None


def _in_order(trace: Trace) -> Iterator[tuple[str, str]]:
    """Yield address and name of every quantity of a pass, forward from the inputs, then back."""
    inner_first = sorted(trace.layers, key=lambda address: (int(address.split(".")[0]), -address.count(".")))
    for address in inner_first:
        for name in trace[address].forward._fields:
            yield address, name
    yield "", "y"
    yield "", "weights"
    yield "", "costs"
    for address in reversed(inner_first):
        for name in trace[address].fields:
            if name.startswith("dC_d") or name == "delta":
                yield address, name


def _value(trace: Trace, address: str, name: str) -> Any:
    return getattr(trace[address] if address else trace, name)


def _gradients(one: Recording, other: Recording, step: int) -> Difference | None:
    layout = one._course.model.layout
    return _flat(step, layout, "dC_d{}", one.gradient(step), other.gradient(step))


def _parameters(one: Recording, other: Recording, step: int, after: int) -> Difference | None:
    model, mine, theirs = one._course.model, one._after(after), other._after(after)
    return _flat(step, model.layout, "{}", mine.theta, theirs.theta) or _flat(
        step, model.buffer_layout, "{}", mine.buffers, theirs.buffers
    )


def _flat(step: int, layout: Layout, name: str, mine: Array, theirs: Array) -> Difference | None:
    for entry in layout.entries:
        blocks = (flat[entry.block].reshape(entry.shape) for flat in (mine, theirs))
        found = _compare(step, entry.layer, name.format(entry.name), *blocks)
        if found is not None:
            return found
    return None


def _compare(step: int, layer: str, quantity: str, mine: Any, theirs: Any) -> Difference | None:
    """Return how two arrays differ, None if they are the same bits or no arrays."""
    if not isinstance(mine, np.ndarray) or not isinstance(theirs, np.ndarray):
        if (mine is None) is (theirs is None):
            return None
        note = f"{'none' if mine is None else 'some'} here, {'none' if theirs is None else 'some'} there"
        return Difference(step, layer, quantity, (), 0, (), 0.0, 0.0, note)
    if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        note = f"{mine.dtype} of shape {mine.shape} here, {theirs.dtype} of shape {theirs.shape} there"
        return Difference(step, layer, quantity, mine.shape, 0, (), 0.0, 0.0, note)
    if same_bits(mine, theirs):
        return None
    other = (mine != theirs) | (np.signbit(mine) != np.signbit(theirs))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(mine.astype(np.float64) - theirs.astype(np.float64))
    apart = np.where(other, np.where(np.isnan(apart), np.inf, apart), -1.0)
    place = np.unravel_index(int(np.argmax(apart)), mine.shape)
    at = tuple(int(i) for i in place)
    return Difference(
        step, layer, quantity, mine.shape, int(other.sum()), at, float(mine[at]), float(theirs[at])
    )
