"""Feed-forward neural networks trained by explicit backpropagation.

>>> import clearprop as cp
>>> net = cp.Network([2, 3, 1], seed=0)          # Nielsen's form: sizes; sigmoid, quadratic cost
>>> trace = net.trace([[0.0, 1.0]], [[1.0]])     # every quantity of one pass, by its textbook name
>>> trace[2].delta.shape, trace[1].dC_dW.shape
((1, 1), (3, 2))
"""

import importlib
from typing import TYPE_CHECKING, Any

from clearprop import activations, costs, engines, errors, initializers, schedules
from clearprop._version import __version__
from clearprop.activations import per_neuron
from clearprop.errors import ClearpropError, DivergenceError
from clearprop.layers import (
    Activation,
    AlphaDropout,
    BatchNorm,
    Concatenate,
    Dense,
    Dropout,
    LayerNorm,
    Residual,
)
from clearprop.many import fit_many
from clearprop.network import Network, load
from clearprop.optimizers import LBFGS, SGD, SGDW, Adam, AdamW, Momentum, Nesterov, RMSprop
from clearprop.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    OnPlateau,
    StepDecay,
    Warmup,
)
from clearprop.trace import Trace
from clearprop.training import metrics
from clearprop.training.callbacks import Callback, EarlyStopping, NormHistory
from clearprop.training.data import Affine
from clearprop.training.history import History
from clearprop.training.penalties import Penalty

__all__ = [
    "LBFGS",
    "SGD",
    "SGDW",
    "Activation",
    "Adam",
    "AdamW",
    "Affine",
    "AlphaDropout",
    "BatchNorm",
    "Callback",
    "ClearpropError",
    "Concatenate",
    "Constant",
    "Cosine",
    "Dense",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "ExponentialDecay",
    "History",
    "InverseScaling",
    "LayerNorm",
    "Momentum",
    "Nesterov",
    "Network",
    "NormHistory",
    "OnPlateau",
    "OneCycle",
    "Penalty",
    "RMSprop",
    "Residual",
    "StepDecay",
    "Trace",
    "Warmup",
    "__version__",
    "activations",
    "costs",
    "datasets",
    "engines",
    "errors",
    "fit_many",
    "initializers",
    "load",
    "metrics",
    "per_neuron",
    "schedules",
]

if TYPE_CHECKING:
    from clearprop import datasets


def __getattr__(name: str) -> Any:
    """Import the data sets when they are first asked for: training on one's own data needs none."""
    if name == "datasets":
        return importlib.import_module("clearprop.datasets")
    raise AttributeError(f"module 'clearprop' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, those not imported yet too."""
    return sorted(__all__)
