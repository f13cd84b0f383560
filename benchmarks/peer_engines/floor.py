"""The GEMM floor: the time of a step's matrix products alone, each by the faster of NumPy and PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

Clock = Callable[[], float]


def step_products(sizes: tuple[int, ...], batch: int) -> list[tuple[int, int, int]]:
    """(m, k, n) of the products of a training step: forward, weight gradient, and the errors below."""
    products = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        products += [(batch, n_in, n_out), (n_out, batch, n_in)]
        if i:
            products.append((batch, n_out, n_in))
    return products


def forward_products(sizes: tuple[int, ...], batch: int) -> list[tuple[int, int, int]]:
    """(m, k, n) of the products of a prediction."""
    return [(batch, n_in, n_out) for n_in, n_out in pairwise(sizes)]


def gemm_floor(
    products: list[tuple[int, int, int]], seconds: float = 0.05, clock: Clock = time.perf_counter
) -> float:
    """Return the sum over the products of the best time, operands hot, in seconds."""
    known: dict[tuple[int, int, int], float] = {}
    for shape in products:
        if shape not in known:
            known[shape] = min(_best(call, seconds, clock) for call in _calls(shape))
    return sum(known[shape] for shape in products)


def _calls(shape: tuple[int, int, int]) -> list[Callable[[], Any]]:
    m, k, n = shape
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    b_transposed = np.ones((n, k), np.float32).T
    out = np.empty((m, n), np.float32)
    calls = [lambda: np.dot(a, b, out=out), lambda: np.dot(a, b_transposed, out=out)]
    try:
        import torch
    except ImportError:
        return calls
    ta, tb, tt, tout = (torch.from_numpy(x) for x in (a, b, b_transposed, out))
    return [*calls, lambda: torch.mm(ta, tb, out=tout), lambda: torch.mm(ta, tt, out=tout)]


def _best(call: Callable[[], Any], seconds: float, clock: Clock) -> float:
    """Return the best mean time of a call over rounds that fill `seconds`."""
    call()
    begun = clock()
    call()
    once = clock() - begun
    repeats = max(1, int(seconds / 10 / max(once, 1e-7)))
    best, ends = once, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        begun = clock()
        for _ in range(repeats):
            call()
        best = min(best, (clock() - begun) / repeats)
    return best
