"""To PyTorch: an nn.Sequential with the network's weights, or its state_dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from clearprop.activations import activations
from clearprop.arrays import Array
from clearprop.checks import as_flag
from clearprop.errors import MissingDependencyError, UnsupportedError, one_of
from clearprop.interchange.pieces import Piece, pieces_of
from clearprop.layers import (
    Activation,
    ActivationOwner,
    AlphaDropout,
    BatchNorm,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
)
from clearprop.network import Network

__all__ = ["to_torch", "to_torch_state_dict"]

_BEFORE_LOSS = ("softmax", "sigmoid")
_NAMES = {
    "W": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "alpha": "weight",
    "running_mean": "running_mean",
    "running_variance": "running_var",
}


def to_torch(network: Network, *, logits: bool = False) -> Any:
    """Return an ``nn.Sequential`` with the network's weights and dtype, in evaluation mode.

    Parameters:
        logits: leave out a last softmax or sigmoid, for training on with CrossEntropyLoss or
            BCEWithLogitsLoss, which contain it.

    Its outputs and gradients are the network's, in float64 to about 1e-15. An activation becomes a module of
    its own after its Linear; preprocessing goes into the first layer's weights, which costs digits where
    the data lie far from 0: about epsilon times |shift * factor|, and beyond 1 / sqrt(epsilon) it is refused.
    Gradients by these weights are then those by the folded ones. Frozen parameters do not require gradients.
    Call ``train()`` before training on. PyTorch's random numbers are not used up.

    Cannot be carried over: Residual and Concatenate, per-neuron activations, scaled_tanh, exponential,
    increasing and ordinal, which are no modules of PyTorch, and preprocessing before a first layer that is
    not Dense, or with a shift before Dropout.

    Errors: `UnsupportedError` naming the layer; `MissingDependencyError` without PyTorch. ::

        model = cp.to_torch(network)
        model(torch.tensor(X))          # network.outputs(X)
    """
    torch = _torch("to_torch")
    parts = _parts(network, logits)
    model = torch.nn.Sequential(*(_module(torch, part, network.dtype) for part in parts))
    model.load_state_dict(_tensors(torch, parts, network.steps_trained))
    for i, part in enumerate(parts):
        for name in part.fixed:
            getattr(model[i], _NAMES[name]).requires_grad_(False)
    return model.eval()


def to_torch_state_dict(network: Network, *, logits: bool = False, arrays: bool = False) -> dict[str, Any]:
    """Return the state_dict that ``to_torch(network)`` has: "0.weight", "0.bias", "2.weight", ….

    Parameters:
        logits: as in `to_torch`; it changes no name of a weight.
        arrays: give NumPy arrays instead of tensors; PyTorch need not be installed. With
            ``clearprop.io.safetensors.write(path, state, {})`` they become a file that
            ``safetensors.torch.load_file`` reads.

    Errors: as `to_torch`.

    >>> from clearprop.network import Network
    >>> net = Network([Dense(3, "relu"), Dense(2, "softmax")], n_in=4, seed=0)
    >>> {name: array.shape for name, array in to_torch_state_dict(net, arrays=True).items()}
    {'0.weight': (3, 4), '0.bias': (3,), '2.weight': (2, 3), '2.bias': (2,)}
    """
    parts = _parts(network, logits)
    if as_flag("arrays", arrays):
        return _state(parts, network.steps_trained)
    return _tensors(_torch("to_torch_state_dict"), parts, network.steps_trained)


def _torch(asked: str) -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        raise MissingDependencyError(
            f"{asked} needs PyTorch, which is not installed. Run: pip install torch"
        ) from None
    return torch


def _parts(network: Network, logits: bool) -> list[Piece]:
    """Return one piece for each module: a layer without its activation, then the activation."""
    as_flag("logits", logits)
    found: list[Piece] = []
    for piece in pieces_of(network, "an nn.Sequential"):
        if not isinstance(piece.layer, ActivationOwner):
            found.append(piece)
            continue
        activation, n = piece.layer.activation, piece.layer.n_out or 1
        own, learned = _split(piece, set(activation.parameters(n)))
        if isinstance(piece.layer, Dense):
            found.append(own)
        if activation.name != "identity":
            found.append(learned._replace(layer=Activation(activation, size=n)))
    last = found[-1].layer
    if logits and isinstance(last, Activation) and last.activation.name in _BEFORE_LOSS:
        found.pop()
    return found


def _split(piece: Piece, names: set[str]) -> tuple[Piece, Piece]:
    """Return a piece without the numbers of these names, and with them alone."""
    halves = []
    for chosen in (set(piece.numbers) - names, names):
        numbers = {name: array for name, array in piece.numbers.items() if name in chosen}
        fixed = tuple(name for name in piece.fixed if name in chosen)
        halves.append(piece._replace(numbers=numbers, fixed=fixed))
    return halves[0], halves[1]


def _state(parts: list[Piece], steps: int) -> dict[str, Array]:
    state: dict[str, Array] = {}
    for i, part in enumerate(parts):
        for name, array in part.numbers.items():
            state[f"{i}.{_NAMES[name]}"] = array
        if "running_mean" in part.numbers:
            state[f"{i}.num_batches_tracked"] = np.asarray(steps, dtype=np.int64)
    return state


def _tensors(torch: Any, parts: list[Piece], steps: int) -> dict[str, Any]:
    return {name: torch.from_numpy(array.copy()) for name, array in _state(parts, steps).items()}


def _module(torch: Any, part: Piece, dtype: Any) -> Any:
    """Return the module of a piece, its parameters not set yet."""
    layer, nn = part.layer, torch.nn
    # On the device "meta" nothing is drawn, so the caller's random numbers stay where they were.
    kind = {"device": "meta", "dtype": getattr(torch, dtype.name)}
    if isinstance(layer, Activation):
        return _function(nn, layer, part.where, kind).to_empty(device="cpu")
    if type(layer) not in _MODULES:
        raise UnsupportedError(
            f"{part.where} {type(layer).__name__} cannot be carried over: PyTorch has no such module. "
            f"Known are {one_of(cls.__name__ for cls in _MODULES)}."
        )
    return _MODULES[type(layer)](nn, layer, kind).to_empty(device="cpu")


_MODULES: Mapping[type[Layer], Callable[[Any, Any, dict[str, Any]], Any]] = {
    Dense: lambda nn, layer, kind: nn.Linear(layer.n_in, layer.n_out, layer.bias, **kind),
    BatchNorm: lambda nn, layer, kind: nn.BatchNorm1d(
        layer.size, eps=layer.epsilon, momentum=1 - layer.momentum, **kind
    ),
    LayerNorm: lambda nn, layer, kind: nn.LayerNorm(layer.size, eps=layer.epsilon, **kind),
    Dropout: lambda nn, layer, kind: nn.Dropout(layer.rate),
    AlphaDropout: lambda nn, layer, kind: nn.AlphaDropout(layer.rate),
}


def _function(nn: Any, layer: Activation, where: str, kind: dict[str, Any]) -> Any:
    f = layer.activation
    if f.name not in _FUNCTIONS or type(f) is not activations[f.name]:
        raise UnsupportedError(
            f"{where} has the activation {f.name!r}, which cannot be carried over: PyTorch has no such "
            f"module. Known are {one_of(_FUNCTIONS)}."
        )
    return _FUNCTIONS[f.name](nn, f, layer.size, kind)


_FUNCTIONS: Mapping[str, Callable[[Any, Any, int | None, dict[str, Any]], Any]] = {
    "elu": lambda nn, f, n, kind: nn.ELU(f.alpha),
    "gelu": lambda nn, f, n, kind: nn.GELU(),
    "gelu_tanh": lambda nn, f, n, kind: nn.GELU(approximate="tanh"),
    "hard_tanh": lambda nn, f, n, kind: nn.Hardtanh(),
    "leaky_relu": lambda nn, f, n, kind: nn.LeakyReLU(f.negative_slope),
    "mish": lambda nn, f, n, kind: nn.Mish(),
    "prelu": lambda nn, f, n, kind: nn.PReLU(1 if f.shared else n, **kind),
    "relu": lambda nn, f, n, kind: nn.ReLU(),
    "selu": lambda nn, f, n, kind: nn.SELU(),
    "sigmoid": lambda nn, f, n, kind: nn.Sigmoid(),
    "silu": lambda nn, f, n, kind: nn.SiLU(),
    "softmax": lambda nn, f, n, kind: nn.Softmax(dim=-1),
    "softplus": lambda nn, f, n, kind: nn.Softplus(threshold=40),  # beyond it ln(1 + exp(z)) is z in float64
    "softsign": lambda nn, f, n, kind: nn.Softsign(),
    "tanh": lambda nn, f, n, kind: nn.Tanh(),
}
