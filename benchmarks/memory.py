"""Peak memory of a fit, in a fresh process each, against its bound.

    bound = data + 6 × parameters + one batch's activations + 60 MB      (8 × with early stopping)

Data: X and y as they are given. Parameters and activations in the dtype of the network. 60 MB is Python,
NumPy and clearprop themselves. The peak is that of the whole process, interpreter included (ru_maxrss); what
it was before the data were made is shown too.

    python benchmarks/memory.py [--workloads mnist128,mid] [--engine native] [--early-stopping] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from peer_engines.workloads import WORKLOADS, Workload

MB = 1e6
ALLOWANCE = 60 * MB


def bound(w: Workload, early_stopping: bool) -> float:
    """Return the number of bytes that a fit may take at most."""
    width = 4
    data = w.examples * (w.sizes[0] + w.sizes[-1]) * width
    parameters = sum(n * m + m for n, m in w.layers) * width
    activations = w.batch * sum(w.sizes) * width
    return data + (8 if early_stopping else 6) * parameters + activations + ALLOWANCE


def child(name: str, engine: str, early_stopping: bool) -> None:
    """Train two epochs and print the peak before the data, and at the end."""
    import resource

    from peer_engines.ours import engine_name, make_network

    import clearprop as cp

    w = WORKLOADS[name]
    engine = engine or engine_name()
    net = make_network(w, engine)

    def peak() -> int:
        # Kilobytes on Linux, bytes on macOS.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    before = peak()
    X, Y = _data(w)
    with_data = peak()
    optimizer = cp.SGD(w.eta) if w.optimizer == "sgd" else cp.Adam(w.eta)
    more = {"early_stopping": True, "X_val": X[: w.batch], "y_val": Y[: w.batch]} if early_stopping else {}
    net.fit(X, Y, optimizer=optimizer, epochs=2, batch_size=w.batch, **more)
    print(json.dumps({"engine": engine, "before": before, "with_data": with_data, "peak": peak()}))


def _data(w: Workload) -> tuple[Any, Any]:
    """Return X and Y as in the other benchmarks, made in place so that nothing larger ever lies in memory."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = np.empty((w.examples, w.sizes[0]), np.float32)
    rng.random(dtype=np.float32, out=X)
    Y = np.zeros((w.examples, w.sizes[-1]), np.float32)
    Y[np.arange(w.examples), rng.integers(0, w.sizes[-1], w.examples)] = 1
    if w.sizes[-1] == 1:
        Y[::2] = 0
    return X, Y


def measure(name: str, engine: str, early_stopping: bool) -> dict[str, Any]:
    """Run one workload in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", name, "--engine", engine]
    if early_stopping:
        command.append("--early-stopping")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    result: dict[str, Any] = {"workload": name, "bound": bound(WORKLOADS[name], early_stopping)}
    if done.returncode:
        reason = (done.stderr.strip() or f"ended with status {done.returncode}").splitlines()[-1]
        return result | {"error": reason}
    result |= json.loads(done.stdout.splitlines()[-1])
    return result | {"met": result["peak"] <= result["bound"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(WORKLOADS))
    parser.add_argument("--engine", default="", help="left out: the fastest there is")
    parser.add_argument("--early-stopping", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.child:
        child(options.child, options.engine, options.early_stopping)
        return
    results = [measure(name, options.engine, options.early_stopping) for name in options.workloads]
    if options.json:
        from peer_engines.machine import describe

        figures = {"early_stopping": options.early_stopping, "bytes": results}
        print(json.dumps({"benchmark": "benchmarks/memory.py", "machine": describe(), **figures}, indent=1))
        return
    print("| MB | engine | imported | with data | peak of fit | bound | met |\n" + "| --- " * 7 + "|")
    for r in results:
        if "error" in r:
            print(f"| {r['workload']} | {r['error']} |")
            continue
        figures = " | ".join(f"{r[key] / MB:.0f}" for key in ("before", "with_data", "peak", "bound"))
        print(f"| {r['workload']} | {r['engine']} | {figures} | {'yes' if r['met'] else 'NO'} |")


if __name__ == "__main__":
    main()
