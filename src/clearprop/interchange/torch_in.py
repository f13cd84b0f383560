"""From PyTorch: an nn.Sequential, a bare state_dict, or a safetensors file of one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_items
from clearprop.errors import DTypeError, OptionError, ShapeError, UnsupportedError, one_of
from clearprop.interchange.pieces import Piece, assemble, from_arrays, teach_labels
from clearprop.io import safetensors
from clearprop.layers import Activation, AlphaDropout, BatchNorm, Dense, Dropout, LayerNorm
from clearprop.network import Network

__all__ = ["from_torch"]


def from_torch(
    source: Any,
    *,
    activations: Any = None,
    layers: Sequence[Any] | None = None,
    order: Sequence[str] | None = None,
    output: Any = None,
    cost: Any = None,
    dtype: Any = None,
    classes: Sequence[Any] | None = None,
) -> Network:
    """Return the network that a PyTorch model is, with its weights: the same outputs and gradients.

    Parameters:
        source: an ``nn.Sequential`` (nested ones are joined); a state_dict, of tensors or arrays; or the path
            of a ``.safetensors`` file of one, for which PyTorch need not be installed.
        activations: for a state_dict, which has none: one for each Linear layer, or one name for all but the
            last, which is linear then. It stands after a normalisation that follows the Linear layer, unless
            the numbers of an ``nn.Sequential`` leave a gap before that.
        layers: for a state_dict of any architecture, the layers in clearprop's words, filled in order.
        order: the prefixes of a state_dict's layers, as ``["embed", "hidden", "out"]``, where its own order
            is not that of the layers (a safetensors file keeps none: numbers in names are then followed).
        output: an activation to add at the end, which PyTorch leaves to its loss: "softmax" for a model
            trained with CrossEntropyLoss, "sigmoid" with BCEWithLogitsLoss.
        cost: left out, the last activation's partner.
        dtype: left out, that of the weights.
        classes: the labels that `predict` answers with, in the order of the outputs.

    Carried over: Linear, BatchNorm1d, LayerNorm, Dropout, AlphaDropout, Identity, Flatten, and the
    activations that both have. BatchNorm1d's momentum is 1 minus ours; in training PyTorch keeps the unbiased
    variance, we the one that normalised. Softplus is linear beyond 20 in PyTorch, exact here: they differ
    there by at most 2.1e-9. Gains and shifts that a normalisation does not learn are frozen.

    Errors: `UnsupportedError` naming the module that has no counterpart or shares its parameters;
    `OptionError` for weights that do not fit what is said of them; those of `clearprop.io.safetensors.read`.

    >>> state = {"0.weight": np.array([[2.0, 3.0]]), "0.bias": np.array([1.0])}
    >>> from_torch(state, activations=["relu"]).outputs([[1.0, 10.0]])
    array([[33.]])
    """
    if hasattr(source, "named_children"):
        for name, value in (("activations", activations), ("layers", layers), ("order", order)):
            if value is not None:
                raise OptionError(
                    f"{name} is for a state_dict; an nn.Sequential says it itself. Leave it out."
                )
        chain = list(_chain(source, ""))
        _check_not_tied(chain)
        pieces = [piece for name, module in chain for piece in _piece(name, module)]
        network = assemble(pieces, output=output, cost=cost, dtype=dtype)
    else:
        groups = _groups(*_state(source), order)
        pieces = [_bare(name, arrays) for name, arrays in groups.items()]
        _check_follows(pieces)
        network = from_arrays(
            pieces, layers, activations, output=output, cost=cost, dtype=dtype, gaps=_gaps(list(groups))
        )
    return teach_labels(network, classes)


# -- modules -------------------------------------------------------------------------------------


def _chain(module: Any, prefix: str) -> Iterable[tuple[str, Any]]:
    """Yield (name, module) for the modules of a Sequential, nested ones joined."""
    if not _is_sequential(module):
        if prefix:
            yield prefix, module
            return
        raise UnsupportedError(
            "from_torch reads an nn.Sequential, which says in what order its modules act; "
            f"{type(module).__name__} says that in code. Give its state_dict() with activations=… or "
            "layers=…."
        )
    for name, child in module._modules.items():  # named_children leaves out what stands there twice
        yield from _chain(child, f"{prefix}.{name}" if prefix else name)


def _check_not_tied(chain: Sequence[tuple[str, Any]]) -> None:
    """Raise `UnsupportedError` for parameters that stand at two places: one weight, two gradients."""
    owner: dict[int, str] = {}
    for name, module in chain:
        for own in (*module._parameters.values(), *module._buffers.values()):
            first = name if own is None else owner.setdefault(id(own), name)
            if first != name:
                raise UnsupportedError(
                    f"{name!r} ({type(module).__name__}) cannot be carried over: its numbers are those of "
                    f"{first!r} as well, and here each layer has its own. Give one of them a copy "
                    "(copy.deepcopy)."
                )


def _is_sequential(module: Any) -> bool:
    bases: list[Any] = [*type(module).__mro__]
    plain = next((cls for cls in bases if _is_torchs(cls) and cls.__name__ == "Sequential"), None)
    return plain is not None and bases[0].forward is plain.forward


def _is_torchs(cls: type) -> bool:
    return cls.__module__.startswith("torch.nn.modules.")


def _piece(name: str, module: Any) -> list[Piece]:
    kind = type(module).__name__
    if kind not in _MODULES or not _is_torchs(type(module)):
        raise UnsupportedError(
            f"{name!r} ({kind}) cannot be carried over: clearprop has no such layer. "
            f"Known are {one_of(_MODULES)}."
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise UnsupportedError(
            f"{name!r} ({kind}) has forward hooks, such as those of weight_norm, so its weights are not all "
            "that it computes. Remove them first (torch.nn.utils.remove_weight_norm)."
        )
    found = _MODULES[kind](module, f"{name!r} ({kind})")
    return [] if found is None else [found._replace(where=f"{name!r} ({kind})")]


def _linear(module: Any, where: str) -> Piece:
    own = _numbers(W=module.weight, b=module.bias)
    return Piece(Dense(module.out_features, n_in=module.in_features, bias="b" in own), own)


def _batch_norm(module: Any, where: str) -> Piece:
    if module.running_mean is None or module.momentum is None:
        missing = "running statistics" if module.running_mean is None else "fixed momentum"
        raise UnsupportedError(f"{where} cannot be carried over: it has no {missing}.")
    own = _numbers(gamma=module.weight, beta=module.bias)
    running = _numbers(running_mean=module.running_mean, running_variance=module.running_var)
    layer = BatchNorm(module.eps, module.num_features, momentum=1 - module.momentum)
    return Piece(layer, {**own, **running}, fixed=_missing(own))


def _layer_norm(module: Any, where: str) -> Piece:
    if len(module.normalized_shape) != 1:
        raise UnsupportedError(
            f"{where} cannot be carried over: it normalises over {len(module.normalized_shape)} axes, "
            "LayerNorm over the neurons of an example."
        )
    own = _numbers(gamma=module.weight, beta=module.bias)
    return Piece(LayerNorm(module.eps, module.normalized_shape[0]), own, fixed=_missing(own))


def _missing(own: Mapping[str, Array]) -> tuple[str, ...]:
    return tuple(name for name in ("gamma", "beta") if name not in own)


def _prelu(module: Any, where: str) -> Piece:
    alpha = _array(module.weight)
    return Piece(Activation({"name": "prelu", "shared": len(alpha) == 1}), {"alpha": alpha})


def _hard_tanh(module: Any, where: str) -> Piece:
    if (module.min_val, module.max_val) != (-1, 1):
        raise UnsupportedError(
            f"{where} cannot be carried over: hard_tanh lies between -1 and 1, this one between "
            f"{module.min_val:g} and {module.max_val:g}."
        )
    return Piece(Activation("hard_tanh"))


def _softplus(module: Any, where: str) -> Piece:
    if module.beta != 1 or module.threshold < 20:
        raise UnsupportedError(
            f"{where} cannot be carried over: softplus is ln(1 + exp(z)), this one has beta={module.beta:g} "
            f"and is linear beyond {module.threshold:g}."
        )
    return Piece(Activation("softplus"))


def _softmax(module: Any, where: str) -> Piece:
    if module.dim not in (None, 1, -1):
        raise UnsupportedError(
            f"{where} cannot be carried over: it goes along axis {module.dim}, softmax over the neurons (1)."
        )
    return Piece(Activation("softmax"))


def _function(name: str) -> Callable[[Any, str], Piece]:
    return lambda module, where: Piece(Activation(name))


_MODULES: Mapping[str, Callable[[Any, str], Piece | None]] = {
    "Linear": _linear,
    "BatchNorm1d": _batch_norm,
    "LayerNorm": _layer_norm,
    "Dropout": lambda module, where: Piece(Dropout(module.p)),
    "AlphaDropout": lambda module, where: Piece(AlphaDropout(module.p)),
    "Identity": lambda module, where: None,
    "Flatten": lambda module, where: None,  # examples are rows here already
    "ELU": lambda module, where: Piece(Activation({"name": "elu", "alpha": module.alpha})),
    "GELU": lambda module, where: Piece(Activation("gelu_tanh" if module.approximate == "tanh" else "gelu")),
    "Hardtanh": _hard_tanh,
    "LeakyReLU": lambda module, where: Piece(
        Activation({"name": "leaky_relu", "negative_slope": module.negative_slope})
    ),
    "Mish": _function("mish"),
    "PReLU": _prelu,
    "ReLU": _function("relu"),
    "SELU": _function("selu"),
    "SiLU": _function("silu"),
    "Sigmoid": _function("sigmoid"),
    "Softmax": _softmax,
    "Softplus": _softplus,
    "Softsign": _function("softsign"),
    "Tanh": _function("tanh"),
}


def _numbers(**tensors: Any) -> dict[str, Array]:
    return {name: _array(tensor) for name, tensor in tensors.items() if tensor is not None}


def _array(tensor: Any) -> Array:
    """Return a tensor or array as an array of our own; bfloat16, which NumPy lacks, as float32."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return np.array(tensor)


# -- bare weights --------------------------------------------------------------------------------


_PARTS = ("weight", "bias", "running_mean", "running_var")


def _state(source: Any) -> tuple[dict[str, Array], bool]:
    """Return the arrays by name, and whether their order is that of the layers."""
    if isinstance(source, Mapping):
        return {str(name): _array(tensor) for name, tensor in source.items()}, True
    if isinstance(source, str | os.PathLike):
        if not str(source).endswith(".safetensors"):
            raise OptionError(
                f"from_torch reads .safetensors files, which hold data only. Got {str(source)!r}: load "
                "it with torch.load(path, weights_only=True) and give what that returns."
            )
        return dict(safetensors.read(source, require_checksum=False).tensors), False
    raise DTypeError(
        f"from_torch reads an nn.Sequential, a state_dict or the path of a safetensors file. Got {source!r}."
    )


def _groups(
    state: Mapping[str, Array], ordered: bool, order: Sequence[str] | None
) -> dict[str, dict[str, Array]]:
    """Return the arrays by layer, in the order of the layers."""
    groups: dict[str, dict[str, Array]] = {}
    for name, array in state.items():
        prefix, _, part = name.rpartition(".")
        if part == "num_batches_tracked":
            continue
        if part not in _PARTS:
            raise UnsupportedError(
                f"the state_dict holds {name!r}, which is none of {', '.join(_PARTS)} of a layer."
            )
        groups.setdefault(prefix, {})[part] = array
    if order is not None:
        chosen = as_items("order", order)
        named = all(isinstance(prefix, str) for prefix in chosen)
        if not named or sorted(chosen) != sorted(groups):
            wanted = f"list {one_of(groups)}, each once" if groups else "be left out: there are no layers"
            raise OptionError(f"order must {wanted}. Got {chosen!r:.200}.")
        return {prefix: groups[prefix] for prefix in chosen}
    return groups if ordered else {prefix: groups[prefix] for prefix in sorted(groups, key=_natural)}


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return what sorts "2" before "10", as people read it."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _bare(name: str, arrays: Mapping[str, Array]) -> Piece:
    """Return what a group of arrays must be, by the shapes alone."""
    weight, bias = arrays.get("weight"), arrays.get("bias")
    if "running_mean" in arrays and "running_var" in arrays:
        running = {"running_mean": arrays["running_mean"], "running_variance": arrays["running_var"]}
        n = len(arrays["running_mean"])
        own = _numbers(gamma=weight, beta=bias)
        learned = {"gamma": np.ones(n), "beta": np.zeros(n)} | own
        return Piece(BatchNorm(size=n), {**learned, **running}, name, _missing(own))
    if weight is not None and weight.ndim == 2:
        n_out, n_in = weight.shape
        return Piece(Dense(n_out, n_in=n_in, bias=bias is not None), _numbers(W=weight, b=bias), repr(name))
    if weight is not None and weight.ndim == 1 and bias is not None:
        return Piece(LayerNorm(size=len(weight)), _numbers(gamma=weight, beta=bias), repr(name))
    if weight is not None and weight.ndim == 1:
        return Piece(Activation({"name": "prelu", "shared": len(weight) == 1}), {"alpha": weight}, repr(name))
    shapes = ", ".join(f"{part} {array.shape}" for part, array in arrays.items())
    raise UnsupportedError(
        f"{name!r} with {shapes} cannot be carried over: it is no Linear, BatchNorm1d, LayerNorm or PReLU."
    )


def _check_follows(pieces: Sequence[Piece]) -> None:
    """Raise `ShapeError` where one layer does not give as many outputs as the next reads."""
    size, before = None, ""
    for piece in pieces:
        if size is not None and piece.layer.n_in not in (None, size):
            raise ShapeError(
                f"{piece.where} reads {piece.layer.n_in} inputs, and {before} before it gives {size}. If "
                "the layers act in another order, say it: order=[…]."
            )
        size, before = piece.layer.n_out or size, piece.where


def _gaps(prefixes: Sequence[str]) -> list[bool] | None:
    """Return for each layer whether the numbers of a Sequential leave one out after it; None without."""
    parts = [prefix.rpartition(".") for prefix in prefixes]
    last = [number for _, _, number in parts]
    if len({owner for owner, _, _ in parts}) != 1 or not all(number.isdigit() for number in last):
        return None
    places = [int(part) for part in last]
    return [after > before + 1 for before, after in zip(places, [*places[1:], places[-1] + 1], strict=True)]
