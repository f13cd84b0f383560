"""What a gradient costs by backpropagation and by finite differences, against the number of parameters.

Backpropagation needs two passes through the network, one forward and one backward, however many parameters
there are. Differences need C(w + e) and C(w - e), two forward passes, for every parameter. Counted here are
the passes and the multiplications that they did, by a layer that counts as it computes; the seconds are
measured too. With many parameters the differences are taken for a part of them only, and the figures scaled
up (marked ~).

    export OPENBLAS_NUM_THREADS=1
    python benchmarks/backprop_against_differences.py [--hidden 2 8 32 128 512] [--examples 32] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import clearprop as cp
from clearprop.engines import engines

EPSILON = 1e-6
SIZES = (20, 10)  # inputs and outputs


@dataclass(frozen=True)
class CountingDense(cp.Dense):
    """A Dense layer that counts its passes and their multiplications of a weight."""

    counts: Counter[str] = field(default_factory=Counter, compare=False)

    def forward(
        self, a_prev: Any, params: Any, buffers: Any, noise: Any = None, training: bool = False
    ) -> Any:
        self.counts["forward"] += 1
        self.counts["multiplications"] += len(a_prev) * params["W"].size
        return super().forward(a_prev, params, buffers, noise, training)

    def backward_from_delta(
        self, record: Any, delta: Any, params: Any, n: int, inputs: bool = True, *rest: Any
    ) -> Any:
        self.counts["backward"] += 1
        self.counts["multiplications"] += (2 if inputs else 1) * len(delta) * params["W"].size  # BP4, and BP2
        return super().backward_from_delta(record, delta, params, n, inputs, *rest)


def counting_network(hidden: int) -> tuple[cp.Network, Counter[str]]:
    """Return [20, hidden, 10] with sigmoid neurons and the quadratic cost, and what its layers count."""
    first = CountingDense(hidden, "sigmoid")
    second = CountingDense(SIZES[1], "sigmoid", counts=first.counts)
    return cp.Network([first, second], "quadratic", n_in=SIZES[0], engine="batch"), first.counts


def by_backpropagation(net: cp.Network, X: Any, y: Any) -> np.ndarray:
    """Return ∂C/∂theta by one forward and one backward pass."""
    return engines()["batch"].gradient(net.model, net.state, X, y).gradient


def cost(net: cp.Network, X: Any, y: Any) -> float:
    """Return C by one forward pass."""
    return float(net.model.costs(engines()["batch"].output(net.model, net.state, X), y).mean())


def by_differences(net: cp.Network, X: Any, y: Any, how_many: int) -> np.ndarray:
    """Return the first entries of ∂C/∂theta by two forward passes for each."""
    slopes = np.empty(how_many)
    for i in range(how_many):
        value = net.theta[i]
        net.theta[i] = value + EPSILON
        above = cost(net, X, y)
        net.theta[i] = value - EPSILON
        below = cost(net, X, y)
        net.theta[i] = value
        slopes[i] = (above - below) / (2 * EPSILON)
    return slopes


def counted(counts: Counter[str], layers: int, run: Any) -> dict[str, Any]:
    """Return what `run` gave, its passes through all the layers, its multiplications and its seconds."""
    run()  # warm
    counts.clear()
    begun = time.perf_counter()
    gradient = run()
    seconds = time.perf_counter() - begun
    passes = {name: counts[name] // layers for name in ("forward", "backward")}
    return {"gradient": gradient, **passes, "multiplications": counts["multiplications"], "seconds": seconds}


def measure(hidden: int, examples: int = 32, most: int = 2000) -> dict[str, Any]:
    """Return one row: both costs for that many hidden neurons, differences for `most` parameters at most."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(examples, SIZES[0])), rng.random((examples, SIZES[1]))
    net, counts = counting_network(hidden)
    n, layers = net.n_parameters, len(net.layers)
    part = min(n, most)
    fast = counted(counts, layers, lambda: by_backpropagation(net, X, y))
    slow = counted(counts, layers, lambda: by_differences(net, X, y, part))
    gradient, slopes = fast.pop("gradient"), slow.pop("gradient")
    error = np.linalg.norm(gradient[:part] - slopes) / np.linalg.norm(slopes)
    scale = n / part
    slow = {name: value * scale if scale > 1 else value for name, value in slow.items()}
    return {
        "parameters": n,
        "backpropagation": fast,
        "differences": slow,
        "estimated": scale > 1,
        "relative_difference_of_gradients": float(error),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as text."""
    lines = [
        "               backpropagation                        finite differences",
        "parameters  passes  multiplications   seconds      passes  multiplications   seconds  times as long",
    ]
    for row in rows:
        fast, slow, mark = row["backpropagation"], row["differences"], "~" if row["estimated"] else " "
        lines.append(
            f"{row['parameters']:>10,}  {fast['forward'] + fast['backward']:>6}"
            f"  {fast['multiplications']:>15.3g}"
            f"  {fast['seconds']:>8.2g}   {mark}{slow['forward']:>8,.0f}  {slow['multiplications']:>15.3g}"
            f"  {slow['seconds']:>8.2g}  {slow['seconds'] / fast['seconds']:>13,.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[2, 8, 32, 128, 512, 2048])
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--most", type=int, default=2000, help="parameters that differences are taken for")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(hidden, options.examples, options.most) for hidden in options.hidden]
    facts = {"numpy": np.__version__, "clearprop": cp.__version__}
    print(json.dumps({"rows": rows, **facts}) if options.json else table(rows))


if __name__ == "__main__":
    main()
