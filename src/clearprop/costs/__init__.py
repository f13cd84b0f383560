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
from clearprop.costs.focal import BinaryFocal, Focal
from clearprop.costs.pairs import (
    ExponentialPoisson,
    IdentityMeanSquaredError,
    IdentityQuadratic,
    OrdinalCrossEntropy,
    SigmoidBinaryCrossEntropy,
    SigmoidBinaryFocal,
    SoftmaxCrossEntropy,
    SoftmaxFocal,
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
    "BinaryFocal",
    "Cost",
    "CrossEntropy",
    "ElementwiseCost",
    "ExponentialPoisson",
    "Focal",
    "FusedPair",
    "Hinge",
    "Huber",
    "IdentityMeanSquaredError",
    "IdentityQuadratic",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "OrdinalCrossEntropy",
    "Pinball",
    "Poisson",
    "Quadratic",
    "SigmoidBinaryCrossEntropy",
    "SigmoidBinaryFocal",
    "SoftmaxCrossEntropy",
    "SoftmaxFocal",
    "SquaredHinge",
    "costs",
    "fused_pair",
    "fused_pairs",
    "register",
    "register_pair",
]
