"""Costs: what training minimises, each a value and a gradient per example.

`costs` is the registry by name; `register` adds your own. `fused_pair` gives the stable joint
formula of an output activation and a cost where there is one.

>>> from clearprop.costs import costs
>>> costs.make("mse")
MeanSquaredError()
>>> costs.make({"name": "huber", "threshold": 2.0}).config()
{'name': 'huber', 'threshold': 2.0}
"""

from __future__ import annotations

from clearprop.costs.base import (
    Cost,
    ElementwiseCost,
    FusedPair,
    costs,
    fused_pair,
    fused_pairs,
    register,
    register_pair,
)
from clearprop.costs.classification import BinaryCrossEntropy, CrossEntropy, Hinge, SquaredHinge
from clearprop.costs.pairs import (
    ExponentialPoisson,
    IdentityMeanSquaredError,
    IdentityQuadratic,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
)
from clearprop.costs.regression import (
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    Pinball,
    Poisson,
    Quadratic,
)

__all__ = [
    "BinaryCrossEntropy",
    "Cost",
    "CrossEntropy",
    "ElementwiseCost",
    "ExponentialPoisson",
    "FusedPair",
    "Hinge",
    "Huber",
    "IdentityMeanSquaredError",
    "IdentityQuadratic",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Pinball",
    "Poisson",
    "Quadratic",
    "SigmoidBinaryCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredHinge",
    "costs",
    "fused_pair",
    "fused_pairs",
    "register",
    "register_pair",
]
