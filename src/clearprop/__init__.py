"""Feed-forward neural networks trained by explicit backpropagation.

>>> import clearprop as cp
>>> net = cp.Network([2, 3, 1], seed=0)          # Nielsen's form: sizes; sigmoid, quadratic cost
>>> trace = net.trace([[0.0, 1.0]], [[1.0]])     # every quantity of one pass, by its textbook name
>>> trace[2].delta.shape, trace[1].dC_dW.shape
((1, 1), (3, 2))
"""

from typing import TYPE_CHECKING

from clearprop._version import __version__
from clearprop.lazy import attributes

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
    "Checkpoint",
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
    "TensorBoard",
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
    "from_keras",
    "from_sklearn",
    "from_torch",
    "initializers",
    "load",
    "load_recording",
    "metrics",
    "per_neuron",
    "plots",
    "schedules",
    "tabular",
    "to_c",
    "to_javascript",
    "to_onnx",
    "to_sklearn",
    "to_torch",
    "to_torch_state_dict",
]

if TYPE_CHECKING:
    from clearprop import (
        activations,
        costs,
        datasets,
        engines,
        errors,
        initializers,
        plots,
        schedules,
        tabular,
    )
    from clearprop import explain as explain
    from clearprop import io as io
    from clearprop import persistence as persistence
    from clearprop import trace as trace
    from clearprop.activations import per_neuron
    from clearprop.diagnosis import diagnose
    from clearprop.errors import ClearpropError, DivergenceError, FitManyError
    from clearprop.export import to_c, to_javascript, to_onnx
    from clearprop.fitting.checkpoints import Checkpoint
    from clearprop.gradcheck import (
        check_activation,
        check_cost,
        check_gradient,
        check_jax,
        check_layer,
        check_network,
        check_torch,
    )
    from clearprop.interchange import (
        TensorBoard,
        from_keras,
        from_sklearn,
        from_torch,
        to_sklearn,
        to_torch,
        to_torch_state_dict,
    )
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
    from clearprop.training.callbacks import Callback, EarlyStopping, NormHistory
    from clearprop.training.data import Affine
    from clearprop.training.history import History
    from clearprop.training.penalties import Penalty

# Everything is imported when it is first asked for: who wants a part, such as clearprop.predict, does not
# wait for the whole.
_LAYERS = (
    "Activation",
    "AlphaDropout",
    "BatchNorm",
    "Concatenate",
    "Dense",
    "Dropout",
    "LayerNorm",
    "Residual",
)
_OPTIMIZERS = ("LBFGS", "SGD", "SGDW", "Adam", "AdamW", "Momentum", "Nesterov", "RMSprop")
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
_WAYS = (
    "TensorBoard",
    "from_keras",
    "from_sklearn",
    "from_torch",
    "to_sklearn",
    "to_torch",
    "to_torch_state_dict",
)
_PACKAGES = (
    "activations",
    "arrays",
    "checks",
    "compiled",
    "costs",
    "engines",
    "errors",
    "fitting",
    "glass_box",
    "initializers",
    "layers",
    "model",
    "network",
    "optimizers",
    "random",
    "registry",
    "specification",
    "training",
    "views",
)
_WHEN_ASKED = {
    **{name: f"clearprop.{name}" for name in _PACKAGES},
    **dict.fromkeys(_CHECKS, "clearprop.gradcheck"),
    **dict.fromkeys(_LAYERS, "clearprop.layers"),
    **dict.fromkeys(_OPTIMIZERS, "clearprop.optimizers"),
    **dict.fromkeys(_SCHEDULES, "clearprop.schedules"),
    "Checkpoint": "clearprop.fitting.checkpoints",
    **dict.fromkeys(_WAYS, "clearprop.interchange"),
    "Affine": "clearprop.training.data",
    "Callback": "clearprop.training.callbacks",
    "ClearpropError": "clearprop.errors",
    "DivergenceError": "clearprop.errors",
    "EarlyStopping": "clearprop.training.callbacks",
    "FitManyError": "clearprop.errors",
    "FlightRecorder": "clearprop.recorder",
    "History": "clearprop.training.history",
    "Network": "clearprop.network",
    "NormHistory": "clearprop.training.callbacks",
    "Penalty": "clearprop.training.penalties",
    "Trace": "clearprop.trace",
    "datasets": "clearprop.datasets",
    "diagnose": "clearprop.diagnosis",
    "explain": "clearprop.explain",
    "fit_many": "clearprop.many",
    "io": "clearprop.io",
    "load": "clearprop.network",
    "load_recording": "clearprop.recorder",
    "metrics": "clearprop.training.metrics",
    "per_neuron": "clearprop.activations",
    "persistence": "clearprop.persistence",
    "plots": "clearprop.plots",
    "schedules": "clearprop.schedules",
    "tabular": "clearprop.tabular",
    "to_c": "clearprop.export",
    "to_javascript": "clearprop.export",
    "to_onnx": "clearprop.export",
    "trace": "clearprop.trace",
}
__getattr__, __dir__ = attributes(__name__, _WHEN_ASKED, globals())
