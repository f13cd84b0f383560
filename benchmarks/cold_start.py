"""How long one waits: a fresh process to the end of its first epoch, one row's prediction, 10 000 rows'.

Cold start: import, build, one epoch on moons ([2, 100, 2], 500 examples in batches of 32; the data are made
before by the standard library alone, so that no import is theirs), each time in a fresh process, from its
start to its end; judged by processor time, which other people's work disturbs least. The bare interpreter
and `import numpy` stand beside it. Prediction is on mnist128, [784, 128, 10] in float32:
`Network.predict_proba` end to end, checks included. The floor of 10 000 rows is the time of the two matrix
products alone, by the faster of NumPy and PyTorch.

    python benchmarks/cold_start.py [--engine native] [--rounds 9] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

THREADS = os.environ.setdefault("CLEARPROP_NUM_THREADS", "1")
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)

FLOORS = {"cold_start_s": 0.25, "one_row_us": 8.0, "share_of_floor": 0.8}
SIZES, ROWS = (784, 128, 10), 10_000

FIRST_EPOCH = """
import math, random
random.seed(0)
points = []
for i in range(500):
    t, side = random.random() * math.pi, i % 2
    x, y = math.cos(t), math.sin(t)
    points.append((1 - x, 0.5 - y) if side else (x, y))
import numpy as np
import clearprop as cp
X, y = np.array(points, np.float32), np.arange(500) % 2
layers = [cp.Dense(100, "relu"), cp.Dense(2, "softmax")]
net = cp.Network(layers, "cross_entropy", n_in=2, dtype="float32", engine=ENGINE)
net.fit(X, y, optimizer=cp.SGD(0.1), epochs=1, batch_size=32)
"""


def process_time(source: str) -> dict[str, float]:
    """Run a program in a fresh interpreter; return seconds by the clock, and of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", source], check=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"wall_s": wall, "cpu_s": spent}


def cold_starts(engine: str, rounds: int) -> dict[str, Any]:
    """Return best and median seconds of the three programs, interleaved."""
    programs = {
        "interpreter": "pass",
        "import numpy": "import numpy",
        "import clearprop": "import clearprop",
        "first epoch": FIRST_EPOCH.replace("ENGINE", repr(engine)),
    }
    times: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for round_ in range(rounds + 1):
        for name, source in programs.items():
            taken = process_time(source)
            if round_:  # the first reads the files from the disk
                times[name].append(taken)
    return {
        name: {
            f"{clock}_{which}": choose([t[clock] for t in taken])
            for clock in ("wall_s", "cpu_s")
            for which, choose in (("best", min), ("median", statistics.median))
        }
        for name, taken in times.items()
    }


def predictions(engine: str, rounds: int) -> dict[str, Any]:
    """Return the latency of one row, and the time of 10 000 beside that of their matrix products."""
    import numpy as np
    from peer_engines.floor import forward_products, gemm_floor

    import clearprop as cp

    layers = [cp.Dense(SIZES[1], "relu"), cp.Dense(SIZES[2], "softmax")]
    net = cp.Network(layers, "cross_entropy", n_in=SIZES[0], dtype="float32", engine=engine)
    X = np.random.default_rng(0).random((ROWS, SIZES[0]), dtype=np.float32)
    net.fit(X[:640], np.arange(640) % 10, epochs=1)
    one, calls = X[:1], 500
    latency: list[float] = []
    label: list[float] = []
    many: list[float] = []
    floor: list[float] = []
    for _ in range(rounds):
        for predict, times in ((net.predict_proba, latency), (net.predict, label)):
            begun = time.perf_counter()
            for _ in range(calls):
                predict(one)
            times.append((time.perf_counter() - begun) / calls)
        for _ in range(3):
            begun = time.perf_counter()
            net.predict_proba(X)
            many.append(time.perf_counter() - begun)
        floor.append(gemm_floor(forward_products(SIZES, ROWS), seconds=0.1))
    return {
        "one_row_us": min(latency) * 1e6,
        "one_row_us_median": statistics.median(latency) * 1e6,
        "one_row_label_us": min(label) * 1e6,
        "rows_s": min(many),
        "gemm_floor_s": min(floor),
        "share_of_floor": min(floor) / min(many),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", default=None, help="left out: the fastest there is")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from peer_engines.machine import describe
    from peer_engines.ours import engine_name

    engine = options.engine or engine_name()
    starts, rows = cold_starts(engine, options.rounds), predictions(engine, options.rounds)
    first = starts["first epoch"]["cpu_s_best"]
    met = {
        "cold_start_s": first <= FLOORS["cold_start_s"],
        "one_row_us": rows["one_row_us"] <= FLOORS["one_row_us"],
        "share_of_floor": rows["share_of_floor"] >= FLOORS["share_of_floor"],
    }
    if options.json:
        figures = {"engine": engine, "threads": THREADS, "starts": starts, "predictions": rows}
        judged = {"floors": FLOORS, "met": met}
        whole = {"benchmark": "benchmarks/cold_start.py", "machine": describe(), **figures, **judged}
        print(json.dumps(whole, indent=1))
        return
    print(f"engine {engine}, {THREADS} thread(s); seconds, best (median)")
    for name, t in starts.items():
        wall, cpu = ((t[f"{c}_s_best"], t[f"{c}_s_median"]) for c in ("wall", "cpu"))
        print(f"{name}: clock {wall[0]:.3f} ({wall[1]:.3f}), processor {cpu[0]:.3f} ({cpu[1]:.3f})")
    print(f"first epoch, floor {FLOORS['cold_start_s']} of the processor: {_told(met['cold_start_s'])}")
    print(
        f"one row: {rows['one_row_us']:.1f} us ({rows['one_row_us_median']:.1f}), "
        f"with predict {rows['one_row_label_us']:.1f}; "
        f"floor {FLOORS['one_row_us']}: {_told(met['one_row_us'])}"
    )
    print(
        f"{ROWS} rows: {rows['rows_s'] * 1e3:.1f} ms, products alone {rows['gemm_floor_s'] * 1e3:.1f} ms: "
        f"{rows['share_of_floor']:.0%} of the floor's speed; wanted {FLOORS['share_of_floor']:.0%}: "
        f"{_told(met['share_of_floor'])}"
    )


def _told(met: bool) -> str:
    return "met" if met else "NOT MET"


if __name__ == "__main__":
    main()
