"""Activations a = f(z): one class each, all in the registry `activations`.

The registry turns a name, an instance or plain data into an activation:

>>> from clearprop.activations import activations
>>> activations.make("leaky_relu")
LeakyReLU(negative_slope=0.01)
>>> activations.make({"name": "elu", "alpha": 0.5}).config()
{'name': 'elu', 'alpha': 0.5}
>>> activations.make("swish").name
'silu'
"""

from __future__ import annotations

from clearprop.activations.base import ActivationFunction as ActivationFunction
from clearprop.activations.base import activations as activations
from clearprop.activations.base import register as register
from clearprop.activations.elementwise import Exponential as Exponential
from clearprop.activations.elementwise import HardTanh as HardTanh
from clearprop.activations.elementwise import Identity as Identity
from clearprop.activations.elementwise import ScaledTanh as ScaledTanh
from clearprop.activations.elementwise import Sigmoid as Sigmoid
from clearprop.activations.elementwise import Softsign as Softsign
from clearprop.activations.elementwise import Tanh as Tanh
from clearprop.activations.ordered import Increasing as Increasing
from clearprop.activations.ordered import Ordinal as Ordinal
from clearprop.activations.rectifiers import ELU as ELU
from clearprop.activations.rectifiers import GELU as GELU
from clearprop.activations.rectifiers import SELU as SELU
from clearprop.activations.rectifiers import GELUTanh as GELUTanh
from clearprop.activations.rectifiers import LeakyReLU as LeakyReLU
from clearprop.activations.rectifiers import Mish as Mish
from clearprop.activations.rectifiers import ReLU as ReLU
from clearprop.activations.rectifiers import SiLU as SiLU
from clearprop.activations.rectifiers import Softplus as Softplus
from clearprop.activations.vector import PerNeuron as PerNeuron
from clearprop.activations.vector import PReLU as PReLU
from clearprop.activations.vector import Softmax as Softmax
from clearprop.activations.vector import per_neuron as per_neuron

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "ActivationFunction",
    "Exponential",
    "GELUTanh",
    "HardTanh",
    "Identity",
    "Increasing",
    "LeakyReLU",
    "Mish",
    "Ordinal",
    "PReLU",
    "PerNeuron",
    "ReLU",
    "ScaledTanh",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "activations",
    "per_neuron",
    "register",
]
