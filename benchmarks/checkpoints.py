"""What a checkpoint costs: the time that training stands still for one, its size, and what a start costs.

For each network, trained by Adam in float32 on random data: the median time of writing a checkpoint
(checksum, fsync of file and folder and the removal of an old one included), its size, and the time that the
same fit takes longer to begin with checkpoints (the sum of the data, and the first checkpoint).

    python benchmarks/checkpoints.py [--writes 15] [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import clearprop as cp
from clearprop.fitting import checkpoints
from clearprop.ladder import machine

NETWORKS = {
    "20-64-64-3, 5 000 examples": ([20, 64, 64, 3], 5_000),
    "784-128-10, 60 000 examples": ([784, 128, 10], 60_000),
    "784-1024-1024-10, 60 000 examples": ([784, 1024, 1024, 10], 60_000),
    "1000-2048-2048-10, 20 000 examples": ([1000, 2048, 2048, 10], 20_000),
}


def network(sizes: list[int]) -> cp.Network:
    """Return a classifier of these sizes."""
    hidden = [cp.Dense(size, "relu") for size in sizes[1:-1]]
    return cp.Network([*hidden, cp.Dense(sizes[-1], "softmax")], seed=0, dtype="float32")


def measure(sizes: list[int], n: int, writes: int, folder: Path) -> dict[str, Any]:
    """Return the figures of one network."""
    rng = np.random.default_rng(0)
    X = rng.random((n, sizes[0]), dtype=np.float32)
    y = np.arange(n) % sizes[-1]
    seconds: list[float] = []
    keep = checkpoints._Writer.keep

    def timed(self: Any, position: Any) -> None:
        begun = time.perf_counter()
        keep(self, position)
        seconds.append(time.perf_counter() - begun)

    def fit(epochs: int = 1, **options: Any) -> float:
        net = network(sizes)
        begun = time.perf_counter()
        net.fit(X, y, epochs=epochs, batch_size=100, time_limit=1e-9, **options)
        return time.perf_counter() - begun

    without = statistics.median(fit() for _ in range(3))
    begins = statistics.median(fit(checkpoint=folder / f"begin{i}") for i in range(3))
    checkpoints._Writer.keep = timed  # type: ignore[method-assign]
    try:
        net = network(sizes)
        steps = cp.Checkpoint(folder / "run", every_steps=1)
        few = {"batch_size": 100, "order": [np.arange(100 * writes)], "epochs": 1}
        net.fit(X, y, checkpoint=steps, **few)
    finally:
        checkpoints._Writer.keep = keep  # type: ignore[method-assign]
    size = max(path.stat().st_size for path in (folder / "run").iterdir())
    return {
        "parameters": net.n_parameters,
        "bytes": size,
        "milliseconds": round(1000 * statistics.median(seconds[1:]), 2),
        "slowest_milliseconds": round(1000 * max(seconds[1:]), 2),
        "begin_milliseconds": round(1000 * (begins - without), 1),
    }


def main() -> None:
    """Measure every network and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--writes", type=int, default=15, help="checkpoints of each network")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = {}
    for name, (sizes, n) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = measure(sizes, n, asked.writes, Path(folder))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    if asked.json:
        about = {"processor": machine().processor, "system": platform.platform(), "commit": commit}
        print(json.dumps({**about, "writes": asked.writes, "networks": rows}, indent=1))
        return
    print(f"{'network':36}{'parameters':>12}{'MB':>8}{'ms':>9}{'slowest':>9}{'to begin':>10}")
    for name, row in rows.items():
        print(
            f"{name:36}{row['parameters']:12,}{row['bytes'] / 1e6:8.2f}{row['milliseconds']:9.1f}"
            f"{row['slowest_milliseconds']:9.1f}{row['begin_milliseconds']:10.1f}"
        )


if __name__ == "__main__":
    main()
