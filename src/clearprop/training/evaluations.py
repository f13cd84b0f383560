"""What L-BFGS was told: with the same answers to the same questions, it goes where it went."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import UnsupportedError

__all__ = ["Evaluations"]

_MOST_BYTES = 1 << 28

CostAndGradient = Callable[[Array], tuple[float, Array]]


class Evaluations:
    """The costs and gradients that an optimiser asked for, in order, to be answered again without computing.

    Its own memory lies in SciPy, which neither shows it nor takes it back; but what it does is a function of
    the answers that it gets. Beyond `most_bytes` they are forgotten: then all of them are computed again.
    """

    def __init__(
        self,
        points: list[str] | None = None,
        costs: list[float] | None = None,
        gradients: list[Array] | None = None,
        most_bytes: int | None = None,
    ) -> None:
        self.points, self.costs, self.gradients = points or [], costs or [], gradients or []
        self.most_bytes = _MOST_BYTES if most_bytes is None else most_bytes
        self._asked = 0
        self._forgotten = False

    @property
    def nbytes(self) -> int:
        """Bytes of the gradients."""
        return sum(gradient.nbytes for gradient in self.gradients)

    @property
    def answered(self) -> bool:
        """Whether every answer that is known has been given."""
        return self._asked >= len(self.points)

    def answer(self, theta: Array, compute: CostAndGradient) -> tuple[float, Array]:
        """Return cost and gradient at theta: what was answered before, else what `compute` gives.

        Errors: `UnsupportedError` where another question is asked than then: SciPy is another one.
        """
        if self._forgotten:
            return compute(theta)
        import hashlib  # here: it brings OpenSSL, and only a minimisation comes this way

        place, at = self._asked, hashlib.blake2b(theta.tobytes(), digest_size=16).hexdigest()
        self._asked += 1
        if place < len(self.points):
            if self.points[place] != at:
                raise UnsupportedError(
                    f"L-BFGS of the SciPy here takes other steps than that which wrote the checkpoint (from "
                    f"evaluation {place + 1} on). Resume with the same SciPy."
                )
            return self.costs[place], self.gradients[place].copy()
        cost, gradient = compute(theta)
        self.points.append(at)
        self.costs.append(float(cost))
        self.gradients.append(np.array(gradient))
        if self.nbytes > self.most_bytes:
            self.points, self.costs, self.gradients, self._forgotten = [], [], [], True
        return cost, gradient
