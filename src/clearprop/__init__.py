"""Feed-forward neural networks trained by explicit backpropagation.

>>> import clearprop as cp
>>> net = cp.Network([2, 3, 1], seed=0)          # Nielsen's form: sizes; sigmoid, quadratic cost
>>> trace = net.trace([[0.0, 1.0]], [[1.0]])     # every quantity of one pass, by its textbook name
>>> trace[2].delta.shape, trace[1].dC_dW.shape
((1, 1), (3, 2))
"""

from typing import TYPE_CHECKING

from clearprop import activations, costs, engines, errors, initializers
from clearprop._version import __version__
from clearprop.activations import per_neuron
from clearprop.errors import ClearpropError, DivergenceError, FitManyError
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
from clearprop.lazy import attributes
from clearprop.network import Network, load
from clearprop.optimizers import LBFGS, SGD, SGDW, Adam, AdamW, Momentum, Nesterov, RMSprop
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
    "FitManyError",
    "FlightRecorder",
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
    "check_activation",
    "check_cost",
    "check_gradient",
    "check_jax",
    "check_layer",
    "check_network",
    "check_torch",
    "costs",
    "datasets",
    "diagnose",
    "engines",
    "errors",
    "fit_many",
    "initializers",
    "load",
    "load_recording",
    "metrics",
    "per_neuron",
    "plots",
    "schedules",
    "tabular",
]

if TYPE_CHECKING:
    from clearprop import datasets, plots, schedules, tabular
    from clearprop import explain as explain
    from clearprop import io as io
    from clearprop import persistence as persistence
    from clearprop import trace as trace
    from clearprop.diagnosis import diagnose
    from clearprop.gradcheck import (
        check_activation,
        check_cost,
        check_gradient,
        check_jax,
        check_layer,
        check_network,
        check_torch,
    )
    from clearprop.many import fit_many
    from clearprop.recorder import FlightRecorder, load_recording
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

# What training on one's own data at a constant rate does without is imported when it is first asked for.
_SCHEDULES = (
    "Constant",
    "Cosine",
    "ExponentialDecay",
    "InverseScaling",
    "OnPlateau",
    "OneCycle",
    "StepDecay",
    "Warmup",
)
_CHECKS = (
    "check_activation",
    "check_cost",
    "check_gradient",
    "check_jax",
    "check_layer",
    "check_network",
    "check_torch",
)
_WHEN_ASKED = {
    **dict.fromkeys(_CHECKS, "clearprop.gradcheck"),
    **dict.fromkeys(_SCHEDULES, "clearprop.schedules"),
    "FlightRecorder": "clearprop.recorder",
    "Trace": "clearprop.trace",
    "datasets": "clearprop.datasets",
    "diagnose": "clearprop.diagnosis",
    "explain": "clearprop.explain",
    "fit_many": "clearprop.many",
    "io": "clearprop.io",
    "load_recording": "clearprop.recorder",
    "metrics": "clearprop.training.metrics",
    "persistence": "clearprop.persistence",
    "plots": "clearprop.plots",
    "schedules": "clearprop.schedules",
    "tabular": "clearprop.tabular",
    "trace": "clearprop.trace",
}
__getattr__, __dir__ = attributes(__name__, _WHEN_ASKED, globals())
