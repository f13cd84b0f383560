"""Memory does not grow over many fits.

The memory is the resident set of a new process, read after each block of fits: what Python, NumPy and the
compiled part hold together. In a process that has run before, a leak may fill memory that lies free, unseen.
A growth is that over the second half; the first pays for caches.
"""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import sys
from collections.abc import Callable

import numpy as np

import clearprop as cp
from trust.frame import Figure, Result, Test, command

__all__ = ["TEST", "growth", "run"]

BLOCKS = 30
MOST_PER_FIT = 512.0
"""Bytes: a leak of the smallest array or record would be more; the allocator's own noise is less."""
SLACK = 1 << 20


def run(count: int, seed: int) -> Result:
    """Do `count` fits of a few kinds, and measure."""
    grown, peak = growth(count, functools.partial(fit_from, seed))
    return Result(
        (
            Figure("fits", count, at_least=count),
            Figure("growth over the second half", grown, "bytes", at_most=SLACK + MOST_PER_FIT * count / 2),
            Figure("largest resident set", peak / 2**20, "MiB"),
        )
    )


def fit_from(seed: int, number: int) -> None:
    """Train the network of that number, counted from the seed."""
    fit_once(seed + number)


def fit_once(number: int) -> None:
    """Train one of several small networks."""
    rng = np.random.default_rng(number % 7)
    X, y = rng.normal(size=(40, 6)), np.arange(40) % 2
    layers = [cp.Dense(8, "relu"), cp.Dropout(0.2), cp.BatchNorm(), cp.Dense(2, "softmax")]
    options = (
        {"callbacks": cp.NormHistory()}
        if number % 3 == 0
        else {"early_stopping": True, "validation_fraction": 0.25}
    )
    net = cp.Network(layers, seed=number, engine="native" if number % 2 and has_native() else "batch")
    net.fit(X, y, epochs=2, batch_size=16, optimizer=("adam", "sgd", "rmsprop")[number % 3], **options)
    net.predict(X)


def has_native() -> bool:
    """Return whether the compiled part is there."""
    from_engines = cp.engines.engines()["native"]
    model = cp.Network([cp.Dense(1)], n_in=1).model
    return from_engines.supports(model) is None


def growth(count: int, fit: Callable[[int], None]) -> tuple[float, int]:
    """Return the bytes by which a new process grew over the second half of the fits, and its peak."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth_here, (count, fit))


def _growth_here(count: int, fit: Callable[[int], None]) -> tuple[float, int]:
    block = max(1, count // BLOCKS)
    sizes = []
    gc.collect()
    gc.freeze()  # what was there before need not be looked through each time
    for start in range(0, count, block):
        for number in range(start, min(start + block, count)):
            fit(number)
        gc.collect()
        sizes.append(resident())
    gc.unfreeze()
    half = sizes[len(sizes) // 2 :]
    third = max(1, len(half) // 3)
    # Least against least: the allocator gives memory back when it likes.
    return float(min(half[-third:]) - min(half[:third])), max(sizes)


def resident() -> int:
    """Return the bytes of this process that lie in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


TEST = Test(
    "many_fits",
    "memory does not grow over many fits",
    run,
    short=300,
    long=10_000,
    piece=10_000,
    unit="fits",
    minutes=0.2,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
