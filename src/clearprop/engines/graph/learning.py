"""Operations that apply clearprop's own activations, costs and fused pairs.

They call the same `forward`, `backward`, `value` and `dC_da` as every other engine, so there is one
source of that mathematics; the graph adds only who feeds whom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clearprop.activations.base import ActivationFunction
from clearprop.arrays import Array
from clearprop.costs.base import Cost, FusedPair
from clearprop.engines.graph.operation import Gradients, Operation

__all__ = ["ApplyActivation", "ApplyCost", "ApplyFusedPair"]


@dataclass(frozen=True, eq=False)
class ApplyActivation(Operation):
    """a = f(z); the activation's own parameters, if it has any, are further inputs.

    `params` names them in the order of the inputs. z: (…, n); a: (…, n).
    """

    activation: ActivationFunction
    params: tuple[str, ...] = ()

    name = "activation"

    @property
    def label(self) -> str:
        """The name of the activation."""
        return self.activation.name or type(self.activation).__name__

    def forward(self, z: Array, *params: Array) -> Array:
        """Return f(z)."""
        return self.activation.forward(z, dict(zip(self.params, params, strict=True)))

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return dC_dz, and for each own parameter the sum of the examples' gradients."""
        z, *given = inputs
        params = dict(zip(self.params, given, strict=True))
        dC_dz, dC_dparams = self.activation.backward(z, output, dC_doutput, params)
        return dC_dz, *(_sum_examples(dC_dparams[name], p.ndim) for name, p in params.items())


@dataclass(frozen=True, eq=False)
class ApplyCost(Operation):
    """C_x(a, y), the cost of each example. a, y: (…, k); output: (…).

    A cost is differentiated with respect to the network's output alone; the target gets None.
    """

    cost: Cost

    name = "cost"
    needs = "outputs a and targets y of one shape"

    @property
    def label(self) -> str:
        """The name of the cost."""
        return self.cost.name or type(self.cost).__name__

    def forward(self, a: Array, y: Array) -> Array:
        """Return C_x for every example."""
        return np.asarray(self.cost.value(a, y))

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g * ∂C_x/∂a, None)."""
        a, y = inputs
        return dC_doutput[..., np.newaxis] * self.cost.dC_da(a, y), None


@dataclass(frozen=True, eq=False)
class ApplyFusedPair(Operation):
    """C_x(f(z), y) straight from z, by a pair of activation and cost that is stable as one formula.

    z, y: (…, k); output: (…). The target gets None.
    """

    pair: FusedPair
    activation: ActivationFunction
    cost: Cost

    name = "fused cost"
    needs = "weighted inputs z and targets y of one shape"

    @property
    def label(self) -> str:
        """The two names: "softmax + cross_entropy"."""
        return f"{self.pair.activation} + {self.pair.cost}"

    def forward(self, z: Array, y: Array) -> Array:
        """Return C_x for every example."""
        return np.asarray(self.pair.value(self.cost, z, y))

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g * delta, None)."""
        z, y = inputs
        a = self.activation.forward(z)
        return dC_doutput[..., np.newaxis] * self.pair.delta(self.cost, z, a, y), None


def _sum_examples(per_example: Array, ndim: int) -> Array:
    """Return the sum over the axes of the examples, which come before the parameter's own."""
    return np.asarray(per_example.sum(axis=tuple(range(per_example.ndim - ndim))))
