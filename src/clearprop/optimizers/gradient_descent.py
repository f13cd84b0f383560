"""Stochastic gradient descent, plain, with momentum, and with Nesterov's momentum."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import check_choice, check_number
from clearprop.errors import OptionError
from clearprop.optimizers.base import SCRATCH, Optimizer, State, decay, move, optimizers
from clearprop.registry import description

__all__ = ["SGD", "SGDW", "Momentum", "Nesterov"]

CONVENTIONS = ("nielsen", "torch")


@optimizers.register()
@description
class SGD(Optimizer):
    """Stochastic gradient descent.

        theta ← theta - eta g

    One multiplication and one addition per parameter; no state.
    Source: Robbins and Monro (1951); Nielsen, chapter 1, equations (20) and (21).

    By hand: 1 - 0.5 * 0.2 = 0.9 and 2 - 0.5 * (-0.4) = 2.2.

    >>> theta, g = np.array([1.0, 2.0]), np.array([0.2, -0.4])
    >>> SGD(0.5).update(theta, g, {}, step=1, eta=0.5)
    >>> print(theta)
    [0.9 2.2]
    """

    name: ClassVar[str] = "sgd"
    equations: ClassVar[str] = "theta <- theta - eta g"
    eta: float = 0.1

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
        """Update theta in place by one step; see `Optimizer.update`."""
        gradient *= -float(eta)
        move(theta, gradient, scale, gradient)


@optimizers.register()
@description
class Momentum(Optimizer):
    """Gradient descent with a velocity v, whose friction is 1 - momentum (mu).

    The two conventions differ only when eta changes during training: in Nielsen's the velocity
    holds steps, so a lower rate acts on new gradients alone; in PyTorch's it holds gradients, so a
    lower rate shortens everything at once.

        "nielsen":  v ← mu v - eta g;               theta ← theta + v
        "torch":    v ← mu v + (1 - dampening) g;   theta ← theta - eta v

    "nielsen" is also the form of Sutskever, of scikit-learn and of Keras. With "torch" the first
    velocity is g itself, without dampening, as PyTorch has it.
    momentum: in [0, 1]; 1 is motion without friction, which scikit-learn allows too.
    Slot: "velocity".
    Source: Polyak (1964); Nielsen, chapter 3, equations (107) and (108); Sutskever et al. (2013).

    By hand with g = 1 twice: v = -0.1, theta = 0.9; v = 0.9 * (-0.1) - 0.1 = -0.19, theta = 0.71.

    >>> opt, theta = Momentum(0.1), np.array([1.0])
    >>> state = opt.init(1, np.float64)
    >>> for step in (1, 2):
    ...     opt.update(theta, np.array([1.0]), state, step=step, eta=0.1)
    ...     print(state["velocity"].round(12), theta.round(12))
    [-0.1] [0.9]
    [-0.19] [0.71]
    """

    name: ClassVar[str] = "momentum"
    equations: ClassVar[str] = "v <- mu v - eta g; theta <- theta + v"
    eta: float = 0.1
    momentum: float = 0.9
    convention: str = "nielsen"
    dampening: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "momentum", at_least=0, at_most=1)
        check_choice(self, "convention", CONVENTIONS)
        check_number(self, "dampening", at_least=0, below=1)
        if self.dampening and self.convention != "torch":
            raise OptionError(
                f"dampening of {type(self).__name__} is PyTorch's; "
                f"it needs convention='torch'. Got {self.convention!r}."
            )

    @property
    def slots(self) -> tuple[str, ...]:
        """The velocity."""
        return ("velocity",)

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
        """Update theta and the velocity in place by one step; see `Optimizer.update`."""
        v = state["velocity"]
        v *= self.momentum
        if self.convention == "nielsen":
            gradient *= -float(eta)
            v += gradient
            move(theta, v, scale, gradient)
        else:
            if self.dampening and step > 1:
                gradient *= 1 - self.dampening
            v += gradient
            np.multiply(v, -float(eta), out=gradient)
            move(theta, gradient, scale, gradient)


@optimizers.register()
@description
class Nesterov(Optimizer):
    """Nesterov's accelerated gradient: momentum that looks ahead.

    theta is the point looked ahead to, so the gradient is taken at theta as for every optimiser,
    and the velocity counts a second time (Bengio et al. 2013; equal to Sutskever's form after the
    change of variable theta = position + mu v). Conventions as for `Momentum`:

        "nielsen":  v ← mu v - eta g;   theta ← theta + mu v - eta g     (also scikit-learn, Keras)
        "torch":    v ← mu v + g;       theta ← theta - eta (g + mu v)

    Slot: "velocity". The default is scikit-learn's: momentum 0.9.
    Source: Nesterov (1983); Sutskever et al. (2013).

    By hand with g = 1: v = -0.1; theta = 1 + 0.9 * (-0.1) - 0.1 = 0.81.

    >>> opt, theta = Nesterov(0.1), np.array([1.0])
    >>> state = opt.init(1, np.float64)
    >>> opt.update(theta, np.array([1.0]), state, step=1, eta=0.1)
    >>> print(state["velocity"], theta.round(12))
    [-0.1] [0.81]
    """

    name: ClassVar[str] = "nesterov"
    equations: ClassVar[str] = "v <- mu v - eta g; theta <- theta + mu v - eta g"
    needs_scratch: ClassVar[bool] = True
    eta: float = 0.1
    momentum: float = 0.9
    convention: str = "nielsen"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "momentum", at_least=0, at_most=1)
        check_choice(self, "convention", CONVENTIONS)

    @property
    def slots(self) -> tuple[str, ...]:
        """The velocity."""
        return ("velocity",)

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
        """Update theta and the velocity in place by one step; see `Optimizer.update`."""
        v, scratch = state["velocity"], state[SCRATCH]
        rate_inside = self.convention == "nielsen"
        if rate_inside:
            gradient *= -float(eta)
        v *= self.momentum
        v += gradient
        np.multiply(v, self.momentum, out=scratch)
        gradient += scratch
        if not rate_inside:
            gradient *= -float(eta)
        move(theta, gradient, scale, gradient)


@optimizers.register()
@description
class SGDW(Momentum):
    """Momentum with decoupled weight decay.

        theta ← theta (1 - eta weight_decay);   then as `Momentum`

    The decay never enters the velocity. It follows the rate and its schedule, as in PyTorch's
    AdamW (the paper multiplies it by the schedule alone). `decay_mask` says what is decayed;
    the training loop leaves out the biases.
    Slot: "velocity".
    Source: Loshchilov and Hutter (2019), algorithm 1.

    By hand: 1 * (1 - 0.1 * 0.5) = 0.95; v = -0.1; theta = 0.85.

    >>> opt, theta = SGDW(0.1, weight_decay=0.5), np.array([1.0])
    >>> opt.update(theta, np.array([1.0]), opt.init(1, np.float64), step=1, eta=0.1)
    >>> print(theta.round(12))
    [0.85]
    """

    name: ClassVar[str] = "sgdw"
    equations: ClassVar[str] = "theta <- theta (1 - eta lambda); v <- mu v - eta g; theta <- theta + v"
    decoupled_decay: ClassVar[bool] = True
    needs_scratch: ClassVar[bool] = True
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
        """Update theta and the velocity in place by one step; see `Optimizer.update`."""
        decay(theta, float(eta) * self.weight_decay, decay_mask, scale, state[SCRATCH])
        super().update(theta, gradient, state, step=step, eta=eta, scale=scale)
