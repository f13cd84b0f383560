"""Random networks against PyTorch's automatic differentiation in float64, entry by entry."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
from hypothesis import assume
from tests.networks import Problem, kink_distance

from clearprop.engines import engines
from trust.frame import Figure, Result, Test, command
from trust.random_gradients import relative_error, what_cancels
from trust.random_networks import Drawn, Wanted, is_tame, networks, numbers
from trust.running import Failure, judge_all

__all__ = ["TEST", "run"]

SAME = 1e-12
"""The largest difference allowed, relative to the largest entry of the gradient."""
WANTED = Wanted(own=False, float32=False)


def run(count: int, seed: int) -> Result:
    """Compare `count` random networks, in costs, in gradients of parameters and of inputs."""
    if importlib.util.find_spec("torch") is None:
        return Result((Figure("PyTorch installed (see CONTRIBUTING.md)", 0, at_least=1),), done=0)
    worst = dict.fromkeys(("costs", "parameters", "inputs"), 0.0)

    def judge(drawn: Drawn) -> None:
        p = numbers(drawn)
        assume(is_tame(p) and kink_distance(p) > 1e-9)
        for what, error in errors(p).items():
            worst[what] = float(np.max([worst[what], error]))
            if not error <= SAME:
                raise Failure(f"the {what} differ from PyTorch's by {error:.2g}")

    judged, failures = judge_all(judge, networks(WANTED), count, seed)
    return Result(
        (
            Figure("networks compared", judged, at_least=count),
            Figure("largest difference of costs", worst["costs"], at_most=SAME),
            Figure("largest difference of parameters' gradients", worst["parameters"], at_most=SAME),
            Figure("largest difference of inputs' gradients", worst["inputs"], at_most=SAME),
            Figure("networks that differ", len(failures), at_most=0),
        ),
        failures,
        done=judged,
    )


def errors(p: Problem) -> dict[str, float]:
    """Return how far cost and gradients are from PyTorch's, relative to the largest entry."""
    in_torch = importlib.import_module("trust.in_torch")
    params, X = in_torch.tensors(p.state.params), in_torch.tensors(p.X)
    cost = in_torch.cost_in_torch(p, X, params)
    cost.backward()
    trace = engines()["batch"].trace(*p)
    by_theta = np.concatenate([np.zeros(0), *(leaf.reshape(-1) for leaf in _gradients(p, params))])
    cancelled = what_cancels(trace)
    return {
        "costs": relative_error(trace.cost - cost.item(), cost.item(), _size_of_costs(trace, p), 1.0),
        "parameters": relative_error(trace.gradient - by_theta, by_theta, cancelled, 1e-3),
        "inputs": relative_error(trace[0].dC_da / len(p.X) - X.grad.numpy(), X.grad.numpy(), cancelled, 1e-3),
    }


def _size_of_costs(trace: Any, p: Problem) -> float:
    """Return the mean of |w_x C_x|: what a sum of costs of both signs is rounded to."""
    return float(np.mean(np.abs(trace.costs if p.weights is None else p.weights * trace.costs)))


def _gradients(p: Problem, params: Any) -> list[Any]:
    """Return what torch found, in the order of theta; zeros where a parameter takes no part."""
    leaves = p.model.layout.leaves(params)
    return [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]


TEST = Test(
    "against_torch",
    "a random network has PyTorch's gradients",
    run,
    short=200,
    long=5000,
    unit="networks",
    minutes=0.2,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
