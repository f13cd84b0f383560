"""A network as the program that the native rung runs: operations on values, in plain data.

Value 0 is the input, and each operation gives one more. What has no operation is declined, in one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop import activations, costs, layers
from clearprop.arrays import Array
from clearprop.costs import pairs
from clearprop.layers import Layer
from clearprop.model import Layout, Model
from clearprop.optimizers import SGD, SGDW, Adam, AdamW, Momentum, Nesterov, Optimizer, RMSprop

__all__ = ["optimizer_of", "program_of", "why_not"]

# By class, not by name: a subclass of one's own may compute something else.
_ACTIVATIONS: dict[type, str] = {
    getattr(activations, name): getattr(activations, name).name
    for name in (
        "ELU", "Exponential", "GELU", "GELUTanh", "HardTanh", "Identity", "Increasing", "LeakyReLU", "Mish",
        "Ordinal", "PReLU", "PerNeuron", "ReLU", "SELU", "ScaledTanh", "SiLU", "Sigmoid", "Softmax",
        "Softplus", "Softsign", "Tanh",
    )
}  # fmt: skip
_COSTS: dict[type, str] = {
    getattr(costs, name): getattr(costs, name).name
    for name in (
        "BinaryCrossEntropy", "BinaryFocal", "CrossEntropy", "Focal", "Hinge", "Huber", "LogCosh",
        "MeanAbsoluteError", "MeanSquaredError", "Pinball", "Poisson", "Quadratic", "SquaredHinge",
    )
}  # fmt: skip
_PAIRS = (
    pairs.SoftmaxCrossEntropy,
    pairs.SigmoidBinaryCrossEntropy,
    pairs.ExponentialPoisson,
    pairs.IdentityQuadratic,
    pairs.IdentityMeanSquaredError,
    pairs.OrdinalCrossEntropy,
    pairs.SoftmaxFocal,
    pairs.SigmoidBinaryFocal,
)
_LAYERS = (
    layers.Dense,
    layers.Activation,
    layers.Dropout,
    layers.AlphaDropout,
    layers.BatchNorm,
    layers.LayerNorm,
    layers.Residual,
    layers.Concatenate,
)


def why_not(model: Model) -> str | None:
    """Return None if the native rung has an operation for all of the network, else one sentence."""
    for address, layer in model.walk():
        if type(layer) not in _LAYERS:
            return f"layers[{address}] {type(layer).__name__} has no native kernel."
        activation = getattr(layer, "activation", None)
        unknown = [f for f in _functions(activation) if type(f) not in _ACTIVATIONS]
        if unknown:
            return f"layers[{address}] has the activation {unknown[0].name!r}, which has no native kernel."
    if type(model.cost) not in _COSTS:
        return f"the cost {model.cost.name!r} has no native kernel."
    if model.pair is not None and type(model.pair) not in _PAIRS:
        return f"the pair of {model.cost.name!r} and its output activation has no native kernel."
    return None


def _functions(activation: Any) -> list[Any]:
    if activation is None:
        return []
    return [activation, *activation.choices] if type(activation) is activations.PerNeuron else [activation]


def program_of(model: Model, scale: Array | None = None, decay: Array | None = None) -> dict[str, Any]:
    """Return the network as a program. scale, decay: factors over theta on the rate and on decay, or None."""
    builder = _Builder(model, scale, decay)
    builder.chain(model.layers, "", 0)
    return {
        "n_in": model.n_in,
        "n_out": model.n_out,
        "n_theta": model.layout.size,
        "n_buffers": model.buffer_layout.size,
        "sizes": builder.sizes,
        "operations": builder.operations,
        "cost": _cost(model),
    }


class _Builder:
    """Collects operations and the sizes of their values."""

    def __init__(self, model: Model, scale: Array | None, decay: Array | None) -> None:
        self.places = {entry.address: entry for entry in model.layout.entries}
        self.buffers = {entry.address: entry.offset for entry in model.buffer_layout.entries}
        self.number = {address: i for i, (address, _) in enumerate(model.walk())}
        self.scale, self.decay = scale, decay
        self.sizes = [model.n_in]
        self.operations: list[dict[str, Any]] = []

    def chain(self, chain: Sequence[Layer], prefix: str, value: int) -> int:
        """Add the operations of a chain that reads a value; return the value it gives."""
        for i, layer in enumerate(chain, 1):
            value = self.layer(layer, f"{prefix}{i}", value)
        return value

    def layer(self, layer: Any, address: str, value: int) -> int:
        """Add the operations of one layer."""
        if type(layer) is layers.Residual:
            body = self.chain(layer.body, f"{address}.body.", value)
            around = self.chain(layer.shortcut, f"{address}.shortcut.", value)
            return self.add(layer, address, kind="add", input=body, other=around)
        if type(layer) is layers.Concatenate:
            return self._concatenate(layer, address, value)
        own: dict[str, Any] = {"kind": layer.name, "input": value}
        if hasattr(layer, "activation"):
            own["activation"] = _activation(layer.activation, layer.n_out)
        for option in ("rate", "epsilon", "momentum"):
            if hasattr(layer, option):
                own[option] = float(getattr(layer, option))
        return self.add(layer, address, **own)

    def _concatenate(self, layer: Any, address: str, value: int) -> int:
        parts, column = [], 0
        for i, branch in enumerate(layer.branches):
            read = value
            if layer.inputs is not None:
                read = self._value({"kind": "take", "input": value, "first_column": column}, layer.inputs[i])
                column += layer.inputs[i]
            parts.append(self.chain(branch, f"{address}.branch{i + 1}.", read))
        return self.add(layer, address, kind="join", parts=parts)

    def _value(self, operation: dict[str, Any], n_out: int) -> int:
        """Add an operation; return the number of the value it gives."""
        self.sizes.append(n_out)
        operation |= {"output": len(self.sizes) - 1, "n_out": n_out}
        self.operations.append(operation)
        return len(self.sizes) - 1

    def add(self, layer: Any, address: str, **operation: Any) -> int:
        """Add an operation with the places of its parameters, buffers and random numbers."""
        operation["n_in"] = layer.n_in
        operation["place"] = self.number[address]
        if not layer.parts():
            for name in layer.parameters():
                operation |= self._parameter(f"{address}.{name}", name)
            for name in layer.buffers():
                operation[name.removeprefix("running_")] = self.buffers[f"{address}.{name}"]
        return self._value(operation, layer.n_out)

    def _parameter(self, address: str, name: str) -> dict[str, Any]:
        entry = self.places[address]
        kind = name if name in ("W", "b") else "other"
        found: dict[str, Any] = {name: entry.offset}
        if self.scale is not None:
            found[f"scale_{kind}"] = float(self.scale[entry.offset])
        if self.decay is not None:
            found[f"decay_{kind}"] = float(self.decay[entry.offset])
        return found


def even_factors(layout: Layout, factors: Array | None) -> bool:
    """Return whether every parameter array has one factor, and a layer's own parameters share theirs."""
    if factors is None:
        return True
    shared: dict[str, float] = {}
    for entry in layout.entries:
        block = factors[entry.block]
        if not np.all(block == block[0]):
            return False
        if entry.name not in ("W", "b") and shared.setdefault(entry.layer, block[0]) != block[0]:
            return False
    return True


def _activation(activation: Any, n: int) -> dict[str, Any]:
    name = _ACTIVATIONS[type(activation)]
    if name != "per_neuron":
        option = getattr(activation, "negative_slope", getattr(activation, "alpha", 0.0))
        return {"name": name, "option": float(option), "shared": bool(getattr(activation, "shared", False))}
    each = [activation.neuron(j) for j in range(n)]
    distinct = list(dict.fromkeys(each))
    return {
        "name": name,
        "choices": [_activation(choice, n) for choice in distinct],
        "choice_of": [distinct.index(choice) for choice in each],
    }


def _cost(model: Model) -> dict[str, Any]:
    cost: Any = model.cost
    found: dict[str, Any] = {"name": _COSTS[type(cost)], "fused": model.pair is not None}
    found["ordinal"] = type(model.pair) is pairs.OrdinalCrossEntropy
    found["label_smoothing"] = float(getattr(cost, "label_smoothing", 0.0))
    options = [getattr(cost, name) for name in ("quantile", "threshold", "gamma") if hasattr(cost, name)]
    if options and isinstance(options[0], tuple):
        found["quantiles"] = list(options[0])
    else:
        found["option"] = float(options[0]) if options else 0.0
    return found


def optimizer_of(optimizer: Optimizer) -> dict[str, Any] | None:
    """Return an optimiser's options as the native rung takes them, None if it is not a built-in one."""
    o: Any = optimizer
    kind = type(optimizer)
    if kind is SGD:
        return {"name": "sgd"}
    if kind in (Momentum, SGDW, Nesterov):
        found = {
            "name": "nesterov" if kind is Nesterov else "momentum",
            "momentum": float(o.momentum),
            "inside": o.convention == "nielsen",
        }
        if kind is not Nesterov:
            found["dampening"] = float(o.dampening)
        if kind is SGDW:
            found["weight_decay"] = float(o.weight_decay)
        return found
    if kind is RMSprop:
        inside = o.epsilon_placement == "inside"
        names = ("rho", "epsilon", "momentum")
        return {
            "name": "rmsprop",
            "centered": bool(o.centered),
            "epsilon_inside": inside,
            **{name: float(getattr(o, name)) for name in names},
        }
    if kind in (Adam, AdamW):
        names = ("beta1", "beta2", "epsilon", *(("weight_decay",) if kind is AdamW else ()))
        return {
            "name": "adam",
            "amsgrad": bool(o.amsgrad),
            "before_correction": o.epsilon_placement == "before_correction",
            **{name: float(getattr(o, name)) for name in names},
        }
    return None
