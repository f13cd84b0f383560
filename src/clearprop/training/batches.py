"""Mini-batches: which examples belong to each step of an epoch, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DTypeError, OptionError
from clearprop.random import Purpose, stream
from clearprop.training.data import Examples
from clearprop.training.options import FitOptions
from clearprop.training.weights import mean_one_in_steps

__all__ = [
    "Batch",
    "Batches",
    "Order",
    "Orders",
    "Part",
    "Rest",
    "example_batch",
    "example_batches",
    "example_orders",
    "steps_of",
    "weighed",
    "whole_batch",
]

Order = Iterable[Any] | Callable[[int], Any]
"""The order of the examples: see `example_batches`."""
_GATHER_BYTES = 1 << 17


class Batch(NamedTuple):
    """One mini-batch, converted: X (n, n_in), y (n, n_out), weights (n,) or None, and which examples."""

    X: Array
    y: Array
    weights: Array | None
    examples: Array
    """Index of each example in the data set (running count for a stream)."""


Batches = Callable[[int], Iterator[Batch]]
"""epoch (from 1) -> its batches."""


Part = tuple[Array, int]
"""Indices of examples, and into batches of what size they are cut."""

Orders = Callable[[int], Iterator[Part]]
"""epoch (from 1) -> its parts."""


def steps_of(part: Part) -> int:
    """Return how many batches a part of an epoch is cut into."""
    return -(-len(part[0]) // part[1])


@dataclass(frozen=True)
class Rest:
    """The orders of a run that goes on within an epoch: of that one, what comes after `skip` examples."""

    orders: Orders
    epoch: int
    skip: int

    def __call__(self, epoch: int) -> Iterator[Part]:
        """Yield the parts of an epoch."""
        skip = self.skip if epoch == self.epoch else 0
        for indices, size in self.orders(epoch):
            left = indices[skip:]
            skip = max(0, skip - len(indices))
            if len(left):
                yield left, size


def example_orders(
    n: int, options: FitOptions, seed: int, order: Order | None, epochs_before: int = 0
) -> Orders:
    """Return the order of n examples in each epoch.

    The order of epoch e is a function of (seed, epochs_before + e), or what `order` says: a function of the
    epoch, or an iterable with one item per epoch: an array of indices, cut into batches, or a list of such
    arrays, one per batch. epochs_before: how many epochs of earlier fits came before the first.
    """
    if order is not None and not callable(order) and not isinstance(order, Iterable):
        raise DTypeError(
            f"order must be a function of the epoch, or hold one array of indices per epoch. Got {order!r}."
        )
    items = None if order is None or callable(order) else iter(order)
    size = options.batch_size

    def orders(epoch: int) -> Iterator[tuple[Array, int]]:
        if order is None:
            place = epochs_before + epoch
            whole = (
                stream(seed, Purpose.EPOCH_ORDER, place).permutation(n) if options.shuffle else np.arange(n)
            )
            yield (whole[: n - n % size] if options.drop_last else whole), size
            return
        given = order(epoch) if callable(order) else next(items, None)  # type: ignore[arg-type]
        if given is None:
            raise OptionError(
                f"order ran out in epoch {epoch} of {options.epochs}. Give one array of indices per epoch."
            )
        if not isinstance(given, Iterable):
            raise OptionError(
                f"order must hold one array of indices per epoch. Got {given!r} for epoch {epoch}; "
                "for one epoch give order=[indices]."
            )
        given = given if isinstance(given, np.ndarray) else list(given)
        if len(given) == 0 or np.ndim(given[0]) == 0:
            indices = np.asarray(given)
            _check_order(indices, n, epoch)
            yield indices, size
            return
        for batch in given:
            indices = np.asarray(batch)
            _check_order(indices, n, epoch)
            yield indices, len(indices)

    return orders


def example_batches(examples: Examples, orders: Orders) -> Batches:
    """Return the batches of each epoch over data that lies as a whole."""
    # Rows of several small batches are gathered at a time, as many as stay in a processor's cache.
    rows = _GATHER_BYTES // examples.row_bytes

    def batches(epoch: int) -> Iterator[Batch]:
        for indices, cut in orders(epoch):
            several = max(rows // cut, 1) * cut
            for begin in range(0, len(indices), several):
                some = indices[begin : begin + several]
                X, y, weights = examples.take(some)
                for start in range(0, len(some), cut):
                    part = slice(start, start + cut)
                    yield Batch(X[part], y[part], None if weights is None else weights[part], some[part])

    return batches


def example_batch(examples: Examples, indices: Array) -> Batch:
    """Return the batch of these examples."""
    return Batch(*examples.take(indices), indices)


def _check_order(indices: Array, n: int, epoch: int) -> None:
    if indices.dtype.kind not in "iu" or indices.ndim != 1 or len(indices) == 0:
        raise OptionError(
            f"order of epoch {epoch} must hold arrays of whole numbers. Got {indices.dtype} {indices.shape}."
        )
    if indices.min() < 0 or indices.max() >= n:
        wrong = indices.max() if indices.max() >= n else indices.min()
        raise OptionError(f"order of epoch {epoch} names the example {wrong}; there are {n}, counted from 0.")


def weighed(batch: Batch, options: FitOptions) -> tuple[Batch, float]:
    """Return the batch with the weights that its step takes, and what the penalty is divided by."""
    if batch.weights is None or not options.mean_over_weights:
        return batch, len(batch.y)
    weights = mean_one_in_steps(batch.weights, len(batch.y))
    return batch._replace(weights=weights), float(batch.weights.sum(dtype=np.float64))


def whole_batch(batches: Iterator[Batch]) -> Batch:
    """Return all batches as one."""
    parts = list(batches)
    weights = None if parts[0].weights is None else np.concatenate([p.weights for p in parts])
    return Batch(
        np.concatenate([p.X for p in parts]),
        np.concatenate([p.y for p in parts]),
        weights,
        np.concatenate([p.examples for p in parts]),
    )
