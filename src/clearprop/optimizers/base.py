"""What an optimiser is: a frozen description that updates theta, one flat vector, in place.

State lies outside the description, in a dict of flat arrays ("slots") as long as theta, so it is
saved, restored and shared like theta itself. The one array that need not be saved stands under
the key `SCRATCH`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from clearprop.arrays import Array
from clearprop.checks import check_number
from clearprop.errors import DTypeError, OptionError, ShapeError, UnsupportedError, one_of
from clearprop.registry import Described, Registry

__all__ = [
    "SCRATCH",
    "CostAndGradient",
    "Minimum",
    "Optimizer",
    "Progress",
    "State",
    "accumulate",
    "decay",
    "move",
    "optimizers",
    "saved_slots",
]

State = dict[str, Array]
SCRATCH = "scratch"
"""Key of the working array in a state: its content means nothing between steps and is not saved."""

optimizers: Registry[Optimizer] = Registry("optimizer")

CostAndGradient = Callable[[Array], tuple[float, Array]]
"""theta -> (C, ∂C/∂theta)."""
Progress = Callable[[int, float, Array], bool | None]
"""Called with (iteration, C, theta) after each iteration; True stops."""


class Minimum(NamedTuple):
    """Where `Optimizer.minimize` ended.

    cost: C at the final theta. iterations: accepted steps. evaluations: of cost and gradient.
    converged: whether a tolerance was met (not a limit, a callback or the line search).
    message: SciPy's reason. status: SciPy's number for it (0: converged, 1: a limit, 2: anything else).
    """

    cost: float
    iterations: int
    evaluations: int
    converged: bool
    message: str
    status: int = 0


class Optimizer(Described):
    """How theta follows its gradient g = ∂C/∂theta.

    To make your own: subclass as a frozen dataclass whose first field is `eta`, name your `slots`,
    and write `update`. An instance is accepted wherever a name is.
    """

    kind: ClassVar[str] = "optimizer"
    equations: ClassVar[str] = ""
    """The update in one line, g the gradient."""
    full_batch: ClassVar[bool] = False
    """Whether it needs the cost of the whole data set (L-BFGS): then it has `minimize`, not `update`."""
    decoupled_decay: ClassVar[bool] = False
    """Whether it decays weights on its own and so makes use of `decay_mask`."""
    needs_scratch: ClassVar[bool] = False
    """Whether `update` works in ``state[SCRATCH]``."""
    eta: float
    """The learning rate before any schedule."""

    def __post_init__(self) -> None:
        check_number(self, "eta", above=0)

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the arrays that `init` makes and a checkpoint saves."""
        return ()

    def init(self, n: int, dtype: DTypeLike) -> State:
        """Return the state before the first step: zeros (n,) for every slot, and scratch where used.

        Errors: `DTypeError` unless dtype is float32 or float64.
        """
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise DTypeError(f"theta must be float32 or float64 to be optimised. Got {dtype}.")
        state: State = {name: np.zeros(n, dtype) for name in self.slots}
        if self.needs_scratch:
            state[SCRATCH] = np.empty(n, dtype)
        return state

    def restore(self, slots: Mapping[str, Array], n: int, dtype: DTypeLike) -> State:
        """Return the state that `saved_slots` was taken from; the next steps have the same bits.

        Errors: `OptionError` for other slot names than this optimiser's, `ShapeError` and
        `DTypeError` for a slot that is not (n,) of `dtype`.
        """
        state = self.init(n, dtype)
        if set(slots) != set(self.slots):
            raise OptionError(
                f"the state of {type(self).__name__} has the slots [{one_of(self.slots)}]; "
                f"the saved one has [{one_of(slots)}]. Resume with the optimizer that was saved."
            )
        for name in self.slots:
            slot = np.asarray(slots[name])
            if slot.shape != (n,):
                raise ShapeError(f"slot {name!r} has shape {slot.shape}; theta has shape ({n},).")
            if slot.dtype != state[name].dtype:
                raise DTypeError(f"slot {name!r} is {slot.dtype}; theta is {state[name].dtype}.")
            state[name][:] = slot
        return state

    def update(
        self,
        theta: Array,
        gradient: Array,
        state: State,
        *,
        step: int,
        eta: float,
        scale: Array | None = None,
        decay_mask: Array | None = None,
    ) -> None:
        """Update theta (n,) and the slots of `state` in place by one step. The gradient is consumed.

        gradient: (n,), ∂C/∂theta; it serves as working memory and holds nothing of use afterwards.
        step: counts from 1. eta: the rate of this step, after the schedule.
        scale: (n,) factors on the rate, None for all 1; where it is 0 theta keeps its bits,
        whatever the gradient there. The slots do not see `scale`.
        decay_mask: (n,) factors on decoupled weight decay, None for all 1; others ignore it.
        """
        raise UnsupportedError(f"{type(self).__name__} has no update(theta, gradient, …) of single steps.")

    def minimize(
        self,
        cost_and_gradient: CostAndGradient,
        theta: Array,
        callback: Progress | None = None,
        *,
        scale: Array | None = None,
    ) -> Minimum:
        """Move theta (n,) in place to a minimum of the cost; only where `full_batch` is True.

        cost_and_gradient(theta) -> (C, ∂C/∂theta of shape (n,)); it is always given this `theta`.
        callback(iteration, cost, theta) is called after each iteration, from 1; True stops.
        scale: (n,) of 0 (frozen: keeps its bits) and 1, or None.
        """
        raise UnsupportedError(
            f"{type(self).__name__} has no minimize(…): it takes single steps by update(…)."
        )


def saved_slots(state: State) -> dict[str, Array]:
    """Return what a checkpoint saves of `state`: every slot but the scratch array; not copies."""
    return {name: slot for name, slot in state.items() if name != SCRATCH}


def move(theta: Array, displacement: Array, scale: Array | None, scratch: Array) -> None:
    """Do theta ← theta + scale · displacement in place; where scale is 0, theta keeps its bits.

    `scratch` (n,) is written only when `scale` is given; it may be `displacement` itself.
    """
    if scale is None:
        theta += displacement
        return
    # Masked, not only multiplied by 0: 0 * inf is nan, and -0.0 + 0.0 is +0.0.
    free = scale != 0
    np.multiply(displacement, scale, out=scratch, where=free)
    np.add(theta, scratch, out=theta, where=free)


def accumulate(average: Array, x: Array, rho: float, scratch: Array) -> None:
    """Do average ← rho · average + (1 - rho) · x in place; `scratch` is overwritten and may be `x`."""
    average *= rho
    np.multiply(x, 1 - rho, out=scratch)
    average += scratch


def decay(theta: Array, rate: float, mask: Array | None, scale: Array | None, scratch: Array) -> None:
    """Do theta ← theta · (1 - rate · mask · scale) in place; None means all 1."""
    if mask is None and scale is None:
        theta *= 1 - rate
        return
    scratch[:] = -rate
    for factor in (mask, scale):
        if factor is not None:
            scratch *= factor
    scratch += 1
    theta *= scratch
