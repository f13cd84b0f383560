"""Optimisers with a rate per parameter: RMSprop, Adam, AdamW."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import check_choice, check_flag, check_number
from clearprop.optimizers.base import SCRATCH, Optimizer, State, accumulate, decay, move, optimizers
from clearprop.registry import description

__all__ = ["Adam", "AdamW", "RMSprop"]


@optimizers.register()
@description
class RMSprop(Optimizer):
    """Divide the gradient by a running root mean square of itself.

        v ← rho v + (1 - rho) g²                            the mean square
        m ← rho m + (1 - rho) g                             only if centered
        d = sqrt(v) + epsilon                               epsilon_placement="outside" (PyTorch)
        d = sqrt(v + epsilon)                               epsilon_placement="inside" (TensorFlow)
            with v - m² for v if centered, an estimate of the variance (kept >= 0)
        theta ← theta - eta g / d                           momentum = 0
        velocity ← momentum velocity + g / d;  theta ← theta - eta velocity      otherwise (PyTorch)

    Slots: "v"; "m" if centered; "velocity" if momentum > 0. rho is Hinton's 0.9; PyTorch calls it
    alpha and takes 0.99.
    Source: Tieleman and Hinton (2012), lecture 6e; Graves (2013), equations (38) to (45), centered.

    By hand with g = 2: v = 0.1 * 4 = 0.4; theta = 1 - 0.01 * 2 / 0.632455532 = 0.968377223.

    >>> opt, theta = RMSprop(0.01), np.array([1.0])
    >>> state = opt.init(1, np.float64)
    >>> opt.update(theta, np.array([2.0]), state, step=1, eta=0.01)
    >>> print(state["v"].round(9), theta.round(9))
    [0.4] [0.96837722]
    """

    name: ClassVar[str] = "rmsprop"
    equations: ClassVar[str] = "v <- rho v + (1 - rho) g^2; theta <- theta - eta g / (sqrt(v) + epsilon)"
    needs_scratch: ClassVar[bool] = True
    eta: float = 1e-3
    rho: float = 0.9
    epsilon: float = 1e-8
    centered: bool = False
    momentum: float = 0.0
    epsilon_placement: str = "outside"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "rho", at_least=0, below=1)
        check_number(self, "epsilon", above=0)
        check_flag(self, "centered")
        check_number(self, "momentum", at_least=0, below=1)
        check_choice(self, "epsilon_placement", ("outside", "inside"))

    @property
    def slots(self) -> tuple[str, ...]:
        """v, and m and velocity where the options need them."""
        return ("v", *(("m",) if self.centered else ()), *(("velocity",) if self.momentum else ()))

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
        """Update theta and the slots in place by one step; see `Optimizer.update`."""
        gradient /= self._divisor(gradient, state)
        if self.momentum:
            velocity = state["velocity"]
            velocity *= self.momentum
            velocity += gradient
            gradient[:] = velocity
        gradient *= -float(eta)
        move(theta, gradient, scale, gradient)

    def _divisor(self, gradient: Array, state: State) -> Array:
        v, scratch = state["v"], state[SCRATCH]
        np.multiply(gradient, gradient, out=scratch)
        accumulate(v, scratch, self.rho, scratch)
        if self.centered:
            m = state["m"]
            accumulate(m, gradient, self.rho, scratch)
            np.multiply(m, m, out=scratch)
            np.subtract(v, scratch, out=scratch)
            np.maximum(scratch, 0, out=scratch)  # rounding can make a vanishing variance negative
        else:
            scratch[:] = v
        if self.epsilon_placement == "inside":
            scratch += self.epsilon
            return np.sqrt(scratch, out=scratch)
        np.sqrt(scratch, out=scratch)
        scratch += self.epsilon
        return scratch


@optimizers.register()
@description
class Adam(Optimizer):
    """Adaptive moments: momentum divided by a running root mean square, both corrected for bias.

        m ← beta1 m + (1 - beta1) g;     m̂ = m / (1 - beta1^t)
        v ← beta2 v + (1 - beta2) g²;    v̂ = v / (1 - beta2^t)

    t is the step, from 1. Where epsilon stands is a convention; it matters in the first steps:

        "after_correction":   theta ← theta - eta m̂ / (sqrt(v̂) + epsilon)
                              (Kingma and Ba, algorithm 1; PyTorch)
        "before_correction":  theta ← theta - eta_t m / (sqrt(v) + epsilon),
                              eta_t = eta sqrt(1 - beta2^t) / (1 - beta1^t)
                              (the paper's "epsilon hat", end of section 2; scikit-learn, Keras)

    amsgrad: the largest v so far takes the place of v (uncorrected, as in PyTorch).
    Slots: "m", "v"; "v_max" if amsgrad.
    Source: Kingma and Ba (2015); amsgrad: Reddi, Kale and Kumar (2018).

    By hand: in step 1, m̂ = g and v̂ = g², so theta moves by eta · sign(g), whatever the size of g:

    >>> opt, theta = Adam(0.001), np.array([1.0, 1.0])
    >>> state = opt.init(2, np.float64)
    >>> opt.update(theta, np.array([0.5, -20.0]), state, step=1, eta=0.001)
    >>> print(theta.round(9), state["m"].round(9), state["v"].round(9))
    [0.999 1.001] [ 0.05 -2.  ] [2.5e-04 4.0e-01]
    """

    name: ClassVar[str] = "adam"
    equations: ClassVar[str] = "theta <- theta - eta m_hat / (sqrt(v_hat) + epsilon)"
    needs_scratch: ClassVar[bool] = True
    eta: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    amsgrad: bool = False
    epsilon_placement: str = "after_correction"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "beta1", at_least=0, below=1)
        check_number(self, "beta2", at_least=0, below=1)
        check_number(self, "epsilon", above=0)
        check_flag(self, "amsgrad")
        check_choice(self, "epsilon_placement", ("after_correction", "before_correction"))

    @property
    def slots(self) -> tuple[str, ...]:
        """m and v, and v_max with amsgrad."""
        return ("m", "v", "v_max") if self.amsgrad else ("m", "v")

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
        """Update theta and the slots in place by one step; see `Optimizer.update`."""
        m, v, scratch = state["m"], state["v"], state[SCRATCH]
        accumulate(m, gradient, self.beta1, scratch)
        gradient *= gradient
        accumulate(v, gradient, self.beta2, gradient)
        if self.amsgrad:
            v = np.maximum(state["v_max"], v, out=state["v_max"])
        # Both placements in one form: m̂ / (sqrt(v̂) + epsilon) is m / (sqrt(v) + epsilon c) times
        # c / (1 - beta1^t), where c = sqrt(1 - beta2^t).
        c = math.sqrt(1 - self.beta2**step)
        np.sqrt(v, out=scratch)
        scratch += self.epsilon * c if self.epsilon_placement == "after_correction" else self.epsilon
        np.divide(m, scratch, out=scratch)
        scratch *= -float(eta) * c / (1 - self.beta1**step)
        move(theta, scratch, scale, scratch)


@optimizers.register()
@description
class AdamW(Adam):
    """Adam with decoupled weight decay.

        theta ← theta (1 - eta weight_decay);   then as `Adam`

    The decay is not divided by sqrt(v̂), as that of an L2 penalty would be. It follows the rate and
    its schedule, as in PyTorch (the paper multiplies it by the schedule alone). `decay_mask` says
    what is decayed; the training loop leaves out the biases.
    Slots as for `Adam`.
    Source: Loshchilov and Hutter (2019), algorithm 2.

    By hand: 1 * (1 - 0.1 * 0.5) = 0.95, then Adam's first step of eta · sign(g) = 0.1:

    >>> opt, theta = AdamW(0.1, weight_decay=0.5), np.array([1.0])
    >>> opt.update(theta, np.array([3.0]), opt.init(1, np.float64), step=1, eta=0.1)
    >>> print(theta.round(8))
    [0.85]
    """

    name: ClassVar[str] = "adamw"
    equations: ClassVar[str] = "theta <- theta (1 - eta lambda) - eta m_hat / (sqrt(v_hat) + epsilon)"
    decoupled_decay: ClassVar[bool] = True
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "weight_decay", at_least=0)

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
        """Update theta and the slots in place by one step; see `Optimizer.update`."""
        decay(theta, float(eta) * self.weight_decay, decay_mask, scale, state[SCRATCH])
        super().update(theta, gradient, state, step=step, eta=eta, scale=scale)
