"""Odd shapes: clearprop's time per training step and the rate of its matrix products, looking for cliffs.

Three sweeps of Dense relu networks with a softmax of 10 classes and Adam: widths (inputs and hidden neurons)
by batches, depths, each in float32 and float64. Rate: two operations for each multiplication of the step's
products, forward, BP2 and BP4. A cliff is a shape whose time per operation is more than 3 times that of both
its neighbours in size, or of the one at an end.

    python benchmarks/shapes.py [--engine native] [--dtypes float32,float64] [--quick] [--plot FILE] [--json]

The number of threads is CLEARPROP_NUM_THREADS, 1 if it is not set.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

THREADS = os.environ.setdefault("CLEARPROP_NUM_THREADS", "1")
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)

import numpy as np
from peer_engines.floor import step_products
from peer_engines.machine import describe
from peer_engines.ours import engine_name

import clearprop as cp

WIDTHS = (1, 7, 33, 100, 1000)
BATCHES = (1, 2, 17, 100, 1000)
DEPTHS = (1, 2, 3, 5, 10, 20, 30)
CLASSES, CLIFF = 10, 3.0


def measure(sizes: tuple[int, ...], batch: int, dtype: str, engine: str, seconds: float) -> dict[str, Any]:
    """Return the best time of a step, over fits that together last about `seconds`."""
    rng = np.random.default_rng(0)
    flops = sum(2 * m * k * n for m, k, n in step_products(sizes, batch))
    # An epoch of 2 to 200 steps, fewer where a step is long, so that fit's own set-up counts for little.
    steps = int(min(200, max(2, 2e8 / flops)))
    X = rng.standard_normal((steps * batch, sizes[0])).astype(dtype)
    Y = np.eye(CLASSES, dtype=dtype)[rng.permutation(np.arange(steps * batch) % CLASSES)]
    layers = [cp.Dense(n, "relu") for n in sizes[1:-1]] + [cp.Dense(CLASSES, "softmax")]
    net = cp.Network(layers, "cross_entropy", n_in=sizes[0], dtype=dtype, seed=0)
    start = net.theta.copy()
    # With one thread the processor's time: other people's work disturbs it least.
    clock = time.process_time if THREADS == "1" else time.perf_counter
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < ends:
        net.theta[:] = start
        begun = clock()
        net.fit(X, Y, optimizer=cp.Adam(1e-3), epochs=4, batch_size=batch, engine=engine)
        times.append((clock() - begun) / (4 * steps))
    best = min(times)
    return {"sizes": sizes, "batch": batch, "dtype": dtype, "us": best * 1e6, "gflops": flops / best / 1e9}


def sweeps(dtypes: list[str], engine: str, seconds: float, quick: bool) -> list[dict[str, Any]]:
    """Return the curves: each has a title, the name of what grows, and its points."""
    curves = []
    for dtype in dtypes:
        for batch in BATCHES:
            shapes = [(width, (width, width, CLASSES), batch) for width in WIDTHS]
            curves.append(_curve(f"width, batch {batch}, {dtype}", shapes, dtype, engine, seconds))
        for width in WIDTHS:
            shapes = [(batch, (width, width, CLASSES), batch) for batch in BATCHES]
            curves.append(_curve(f"batch, width {width}, {dtype}", shapes, dtype, engine, seconds))
        for width in (33,) if quick else (7, 33, 100):
            shapes = [(depth, (width, *[width] * depth, CLASSES), 100) for depth in DEPTHS]
            curves.append(_curve(f"depth, width {width}, batch 100, {dtype}", shapes, dtype, engine, seconds))
    return curves


_known: dict[Any, dict[str, Any]] = {}


def _curve(
    title: str, shapes: list[tuple[int, Any, int]], dtype: str, engine: str, seconds: float
) -> dict[str, Any]:
    points = []
    for size, sizes, batch in shapes:
        key = (sizes, batch, dtype)
        if key not in _known:  # the sweeps of widths and of batches cross
            _known[key] = measure(sizes, batch, dtype, engine, seconds)
        points.append({"size": size, **_known[key]})
    _mark_cliffs(points)
    print(f"  {title}: " + ", ".join(f"{p['us']:.3g}" for p in points) + " us", file=sys.stderr)
    return {"title": title, "points": points}


def _mark_cliffs(points: list[dict[str, Any]]) -> None:
    """Mark where an operation takes CLIFF times as long as at the neighbours.

    The smallest size is none: there a step's fixed costs stand against hardly any operations.
    """
    cost = [1 / p["gflops"] for p in points]
    for i, point in enumerate(points):
        neighbours = cost[max(i - 1, 0) : i] + cost[i + 1 : i + 2]
        point["cliff"] = i > 0 and cost[i] > CLIFF * min(neighbours) and cost[i] > cost[i - 1]


def show(curves: list[dict[str, Any]]) -> None:
    """Print microseconds per step and GF/s for each curve."""
    for curve in curves:
        points = curve["points"]
        print(f"\n{curve['title']}\n")
        print("| size | " + " | ".join(str(p["size"]) for p in points) + " |")
        print("| --- " * (len(points) + 1) + "|")
        print("| µs per step | " + " | ".join(f"{p['us']:.4g}" for p in points) + " |")
        print("| GF/s | " + " | ".join(f"{p['gflops']:.3g}" + " CLIFF" * p["cliff"] for p in points) + " |")
    cliffs = [f"{c['title']} at {p['size']}" for c in curves for p in c["points"] if p["cliff"]]
    print("\ncliffs: " + ("; ".join(cliffs) if cliffs else "none"))


def plot(curves: list[dict[str, Any]], path: str) -> None:
    """Draw time per step against size, one line per curve; cliffs as crosses. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = sorted({c["title"].split(",")[0] for c in curves})
    figure, rows = plt.subplots(2, len(kinds), figsize=(5 * len(kinds), 8), squeeze=False)
    for curve in curves:
        kind, _, rest = curve["title"].partition(", ")
        x = [p["size"] for p in curve["points"]]
        for row, key, unit in ((0, "us", "µs per step"), (1, "gflops", "GF/s")):
            axes, y = rows[row, kinds.index(kind)], [p[key] for p in curve["points"]]
            axes.loglog(x, y, marker=".", linestyle="--" if "64" in rest else "-", label=rest)
            cliffs = [(p["size"], p[key]) for p in curve["points"] if p["cliff"]]
            axes.plot(*zip(*cliffs, strict=True), "kx") if cliffs else None
            axes.set(xlabel=kind, ylabel=unit)
            axes.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", default=engine_name())
    parser.add_argument("--dtypes", type=lambda text: text.split(","), default=["float32", "float64"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--plot", metavar="FILE")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    curves = sweeps(options.dtypes, options.engine, 0.02 if options.quick else 0.3, options.quick)
    if options.plot:
        plot(curves, options.plot)
    if options.json:
        print(
            json.dumps(
                {
                    "benchmark": "benchmarks/shapes.py",
                    "machine": describe(),
                    "engine": options.engine,
                    "threads": THREADS,
                    "curves": curves,
                },
                indent=1,
            )
        )
        return
    show(curves)


if __name__ == "__main__":
    main()
