"""The batch rung beside a hand-written NumPy loop of the same equations, in one run.

[784, 30, 10], sigmoid, quadratic cost, SGD, batches of 10: forward, cost and accuracy of the epoch, backward,
update, shuffle and gather, for 30 epochs as in the book. The two are interleaved round by round; the figure
is the ratio of their times, median over the rounds. Both have the same weights after an epoch: it is shown.

    python benchmarks/batch_against_numpy.py [--rounds 9] [--steps 500] [--dtype float32] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np

import clearprop as cp

SIZES, BATCH, ETA, EPOCHS = [784, 30, 10], 10, 3.0, 30


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def by_hand(X, y, W1, b1, W2, b2, order):
    """Train one epoch in place as someone would write it who knows NumPy; return cost and accuracy."""
    cost, correct = 0.0, 0
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        x, t = X[batch], y[batch]
        a1 = sigmoid(x @ W1.T + b1)
        a2 = sigmoid(a1 @ W2.T + b2)
        error = a2 - t
        cost += 0.5 * float((error * error).sum())
        correct += int((a2.argmax(axis=1) == t.argmax(axis=1)).sum())
        delta2 = error * a2 * (1 - a2)
        delta1 = (delta2 @ W2) * a1 * (1 - a1)
        rate = ETA / len(batch)
        W2 -= rate * (delta2.T @ a1)
        b2 -= rate * delta2.sum(axis=0)
        W1 -= rate * (delta1.T @ x)
        b1 -= rate * delta1.sum(axis=0)
    return cost / len(order), correct / len(order)


def measure(rounds: int, steps: int, dtype: str) -> dict[str, object]:
    rng = np.random.default_rng(0)
    n = steps * BATCH
    X = rng.random((n, SIZES[0])).astype(dtype)
    y = np.eye(10, dtype=dtype)[rng.integers(0, 10, n)]
    order = rng.permutation(n)
    start = cp.Network(SIZES, seed=0, dtype=dtype)
    times: dict[str, list[float]] = {"by hand": [], "batch rung": []}
    for round_ in range(rounds + 1):  # the first one warms up, and compares the weights
        epochs = EPOCHS if round_ else 1  # after many epochs at this rate the last bits have grown
        net = start.copy()
        mine = [start.W[1].copy(), start.b[1].copy(), start.W[2].copy(), start.b[2].copy()]
        begun = time.perf_counter()
        for _ in range(epochs):
            by_hand(X, y, *mine, order)
        between = time.perf_counter()
        net.fit(
            X,
            y,
            optimizer=cp.SGD(ETA),
            epochs=epochs,
            batch_size=BATCH,
            order=[order] * epochs,
            engine="batch",
        )
        ended = time.perf_counter()
        if round_ == 0:
            moved = np.linalg.norm(mine[0] - start.W[1])
            difference = float(np.linalg.norm(mine[0] - net.W[1]) / moved)
            continue
        times["by hand"].append(between - begun)
        times["batch rung"].append(ended - between)
    ratios = [b / a for a, b in zip(times["by hand"], times["batch rung"], strict=True)]
    return {
        "by_hand_us_per_step": statistics.median(times["by hand"]) / (EPOCHS * steps) * 1e6,
        "batch_us_per_step": statistics.median(times["batch rung"]) / (EPOCHS * steps) * 1e6,
        "ratio_median": statistics.median(ratios),
        "ratio_of_fastest": min(times["batch rung"]) / min(times["by hand"]),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "weights_differ_relative": difference,
        "rounds": rounds,
        "steps": steps,
        "dtype": dtype,
        "threads": os.environ["OPENBLAS_NUM_THREADS"],
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "clearprop": cp.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.rounds, options.steps, options.dtype)
    if options.json:
        print(json.dumps(result))
        return
    print(
        f"by hand {result['by_hand_us_per_step']:.1f} us, batch rung {result['batch_us_per_step']:.1f} us "
        f"per step; ratio {result['ratio_median']:.3f} "
        f"({result['ratio_min']:.3f} to {result['ratio_max']:.3f}), "
        f"of the fastest rounds {result['ratio_of_fastest']:.3f}; "
        f"weights differ by {result['weights_differ_relative']:.1e} of the way"
    )


if __name__ == "__main__":
    main()
