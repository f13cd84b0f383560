"""L-BFGS: a quasi-Newton method on the cost of the whole data set, through SciPy."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import check_number, check_whole
from clearprop.errors import MissingDependencyError, UnsupportedError
from clearprop.optimizers.base import CostAndGradient, Minimum, Optimizer, Progress, optimizers
from clearprop.registry import description

__all__ = ["LBFGS"]


@optimizers.register("l-bfgs")
@description
class LBFGS(Optimizer):
    """Limited-memory BFGS with a line search, SciPy's L-BFGS-B without bounds.

        theta ← theta - alpha H g

    H approximates the inverse Hessian from the last `memory` pairs of steps and changes of
    gradient; the line search finds alpha, so there is no rate (`eta` is 1, the first trial).
    It needs the whole data set in every step and is best for small data.

    max_iterations, max_evaluations, gradient_tolerance: scikit-learn's max_iter, max_fun and tol.
    gradient_tolerance: stop when max_i |g_i| is no larger. cost_tolerance: stop when
    (C_k - C_k+1) / max(|C_k|, |C_k+1|, 1) is no larger. max_line_search: trials per line search.
    SciPy computes in float64; a float32 theta is rounded at every evaluation.
    Source: Liu and Nocedal (1989); Byrd, Lu, Nocedal and Zhu (1995).

    >>> def bowl(theta):
    ...     return float(theta @ theta / 2), theta
    >>> theta = np.array([3.0, -4.0])
    >>> minimum = LBFGS().minimize(bowl, theta)
    >>> print(theta.round(6) + 0.0, minimum.converged)
    [0. 0.] True
    """

    name: ClassVar[str] = "lbfgs"
    equations: ClassVar[str] = "theta <- theta - alpha H g"
    full_batch: ClassVar[bool] = True
    max_iterations: int = 200
    memory: int = 10
    gradient_tolerance: float = 1e-4
    cost_tolerance: float = 2.220446049250313e-09
    max_evaluations: int = 15000
    max_line_search: int = 20
    eta: float = field(default=1.0, init=False, repr=False)

    def __post_init__(self) -> None:
        for option in ("max_iterations", "memory", "max_evaluations", "max_line_search"):
            check_whole(self, option, at_least=1)
        for option in ("gradient_tolerance", "cost_tolerance"):
            check_number(self, option, at_least=0)

    def minimize(
        self,
        cost_and_gradient: CostAndGradient,
        theta: Array,
        callback: Progress | None = None,
        *,
        scale: Array | None = None,
    ) -> Minimum:
        """Move theta (n,) in place to a minimum of the cost.

        cost_and_gradient(theta) -> (C, ∂C/∂theta of shape (n,)); it is always given this `theta`.
        callback(iteration, cost, theta) is called after each iteration, from 1; True stops.
        scale: (n,) of 0 (frozen: keeps its bits) and 1, or None.
        When an exception, such as Ctrl-C, passes through, theta is that of the last iteration.
        Errors: `MissingDependencyError` without SciPy; `UnsupportedError` for other scales.
        """
        search = _Search(cost_and_gradient, theta, callback, _free(scale))
        options = {
            "maxiter": self.max_iterations,
            "maxfun": self.max_evaluations,
            "maxcor": self.memory,
            "maxls": self.max_line_search,
            "gtol": self.gradient_tolerance,
            "ftol": self.cost_tolerance,
        }
        minimize = _scipy_minimize()
        try:
            result = minimize(
                search.evaluate,
                search.accepted,
                method="L-BFGS-B",
                jac=True,
                callback=search.iteration_ends,
                options=options,
            )
        except BaseException:
            search.place(search.accepted)
            raise
        search.place(result.x)
        return Minimum(
            cost=float(result.fun),
            iterations=int(result.nit),
            evaluations=int(result.nfev),
            converged=result.status == 0,
            message=str(result.message),
            status=int(result.status),
        )


class _Search:
    """One minimisation: theta, the free entries of it that SciPy sees, and where it stands."""

    def __init__(
        self,
        cost_and_gradient: CostAndGradient,
        theta: Array,
        callback: Progress | None,
        free: Array | slice,
    ) -> None:
        self.cost_and_gradient = cost_and_gradient
        self.theta = theta
        self.callback = callback
        self.free = free
        self.iteration = 0
        self.accepted: Array = np.array(theta[free], dtype=np.float64)

    def place(self, x: Array) -> None:
        self.theta[self.free] = x

    def evaluate(self, x: Array) -> tuple[float, Array]:
        self.place(x)
        cost, gradient = self.cost_and_gradient(self.theta)
        # A copy, because an engine may write the next gradient into the same memory.
        return float(cost), np.array(gradient[self.free], dtype=np.float64)

    # SciPy passes its record of the iteration to a parameter of exactly this name.
    def iteration_ends(self, intermediate_result: Any) -> None:
        self.accepted = np.array(intermediate_result.x, dtype=np.float64)
        self.iteration += 1
        if self.callback is None:
            return
        self.place(self.accepted)
        if self.callback(self.iteration, float(intermediate_result.fun), self.theta):
            raise StopIteration


def _free(scale: Array | None) -> Array | slice:
    if scale is None:
        return slice(None)
    free: Array = np.asarray(scale) != 0
    if np.any(np.asarray(scale)[free] != 1):
        raise UnsupportedError("LBFGS has no rate to scale: every factor must be 0 (frozen) or 1.")
    return free


def _scipy_minimize() -> Callable[..., Any]:
    try:
        minimize: Callable[..., Any] = importlib.import_module("scipy.optimize").minimize
    except ImportError:
        raise MissingDependencyError("The optimizer 'lbfgs' needs SciPy. Run: pip install scipy") from None
    return minimize
