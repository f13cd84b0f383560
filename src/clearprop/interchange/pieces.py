"""What all ways in and out share: a network as a row of pieces, each a layer with its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DTypeError, OptionError, ShapeError, UnsupportedError
from clearprop.fitting import affine_of, matches
from clearprop.layers import (
    Activation,
    ActivationOwner,
    BatchNorm,
    Concatenate,
    Dense,
    Layer,
    LayerNorm,
    Residual,
)
from clearprop.network import Network
from clearprop.training.data import Affine
from clearprop.training.targets import Targets, check_classes

__all__ = ["Piece", "assemble", "fill", "float_dtype", "fold", "from_arrays", "pieces_of", "teach_labels"]


class Piece(NamedTuple):
    """A layer with its numbers by clearprop's names: "W" (n_out, n_in), "b", "gamma", "running_mean", …."""

    layer: Layer
    numbers: Mapping[str, Array] = {}
    where: str = ""
    """Its name in the model that it comes from or goes to."""
    fixed: tuple[str, ...] = ()
    """Parameters that the other library does not have and that therefore stay as they are."""


def float_dtype(dtype: Any, arrays: Iterable[Array]) -> np.dtype[Any]:
    """Return the dtype of the network: the one asked for, or that of the weights.

    Errors: `DTypeError` for weights that are neither float32 nor float64, where none is asked for.
    """
    if dtype is not None:
        asked: np.dtype[Any] = np.dtype(dtype)
        return asked
    kinds = {array.dtype for array in arrays if array.dtype.kind == "f"}
    odd = next((kind.name for kind in kinds if kind.name not in ("float32", "float64")), None)
    if odd is not None:
        raise DTypeError(
            f"the weights are {odd}; a network computes in float32 or float64. "
            "Give dtype='float32', which keeps their values."
        )
    widest: np.dtype[Any] = np.result_type(np.float32, *kinds)
    return widest


# -- in ------------------------------------------------------------------------------------------


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the pieces with every activation that follows a linear Dense layer made part of it."""
    found: list[Piece] = []
    for piece in pieces:
        before = found[-1].layer if found else None
        if (
            isinstance(piece.layer, Activation)
            and isinstance(before, Dense)
            and before.activation.name == "identity"
        ):
            layer = dataclasses.replace(before, activation=piece.layer.activation)
            found[-1] = found[-1]._replace(layer=layer, numbers={**found[-1].numbers, **piece.numbers})
        else:
            found.append(piece)
    return found


def assemble(
    pieces: Sequence[Piece],
    *,
    output: Any = None,
    cost: Any = None,
    dtype: Any = None,
    preprocessing: Affine | None = None,
) -> Network:
    """Return the network of these pieces, with their numbers.

    output: an activation for the last layer, where the other library leaves it to its loss.
    Errors: `OptionError` without a layer that has weights; `ShapeError` where sizes do not follow on.
    """
    pieces = joined([*pieces, *([] if output is None else [Piece(Activation(output))])])
    arrays = [array for piece in pieces for array in piece.numbers.values()]
    n_in = next((piece.layer.n_in for piece in pieces if piece.layer.n_in is not None), None)
    if n_in is None:
        raise OptionError("there is no layer with weights in it, so there is nothing to take over.")
    network = Network(
        [piece.layer for piece in pieces],
        cost,
        n_in=n_in,
        dtype=float_dtype(dtype, arrays),
        preprocessing=preprocessing,
    )
    for i, piece in enumerate(pieces, 1):
        _put(network, str(i), piece.numbers, piece.where)
        if piece.fixed:
            network.freeze(*(f"{i}.{name}" for name in piece.fixed))
    return network


def _put(network: Network, address: str, numbers: Mapping[str, Array], where: str) -> None:
    layouts = (
        (network.model.layout, network.theta),
        (network.model.buffer_layout, network.buffers),
    )
    for layout, flat in layouts:
        for entry in layout.entries:
            if entry.layer == address and entry.name in numbers:
                values = np.asarray(numbers[entry.name])
                if values.shape != entry.shape:
                    raise ShapeError(
                        f"{where or 'the weights'}: {entry.name} has shape {values.shape}; layers[{address}] "
                        f"needs {entry.shape}."
                    )
                flat[entry.block] = values.reshape(-1)


def from_arrays(
    pieces: Sequence[Piece],
    layers: Sequence[Any] | None,
    activations: Any,
    *,
    output: Any,
    cost: Any,
    dtype: Any,
    gaps: Sequence[bool] | None = None,
) -> Network:
    """Return the network of bare weights, which say nothing of what stands between them.

    layers: the layers in clearprop's words, filled in order; or activations: one name for every hidden
    layer, or a list with one for each Dense layer. gaps: for each piece, whether something without weights
    follows it in the original; None where that is not known.
    """
    if (layers is None) == (activations is None):
        raise OptionError(
            "bare weights do not say which functions stand between them. Give either "
            "activations=['relu', …, 'softmax'], one for each Dense layer, or layers=[cp.Dense(…), …]."
        )
    if layers is not None:
        if output is not None:
            raise OptionError("output goes with activations; in layers, write it in the last layer.")
        return fill(layers, pieces, cost=cost, dtype=dtype)
    return assemble(_with_activations(pieces, activations, gaps), output=output, cost=cost, dtype=dtype)


def _with_activations(pieces: Sequence[Piece], activations: Any, gaps: Sequence[bool] | None) -> list[Piece]:
    dense = [i for i, piece in enumerate(pieces) if isinstance(piece.layer, Dense)]
    if isinstance(activations, str) or not isinstance(activations, Sequence):
        chosen = [activations] * (len(dense) - 1) + ["identity"] * bool(dense)
    else:
        chosen = list(activations)
    if len(chosen) != len(dense):
        raise OptionError(
            f"activations must have one entry for each of the {len(dense)} Dense layers "
            f"({', '.join(pieces[i].where for i in dense)}). Got {len(chosen)}."
        )
    places = {_place(i, pieces, gaps): f for i, f in zip(dense, chosen, strict=True)}
    found: list[Piece] = []
    for i, piece in enumerate(pieces):
        found.append(piece)
        if i in places and places[i] != "identity":
            found.append(Piece(Activation(places[i])))
    return found


def _place(dense: int, pieces: Sequence[Piece], gaps: Sequence[bool] | None) -> int:
    """Return after which piece the activation of a Dense layer stands.

    Where something without weights follows it directly, there; else after the normalisation behind it.
    """
    if gaps is not None and gaps[dense]:
        return dense
    following = dense + 1
    while following < len(pieces) and not isinstance(pieces[following].layer, Dense):
        if isinstance(pieces[following].layer, BatchNorm | LayerNorm):
            return following
        following += 1
    return dense


def fill(layers: Sequence[Any], pieces: Sequence[Piece], *, cost: Any, dtype: Any) -> Network:
    """Return a network of these layers that holds the pieces' numbers, in the order of its parameters.

    A layer takes the first piece that is left and has numbers of its names: some files keep no other order.

    Errors: `OptionError` naming the first layer that does not find what it needs.
    """
    arrays = [array for piece in pieces for array in piece.numbers.values()]
    network = Network(layers, cost, n_in=_first_size(layers, pieces), dtype=float_dtype(dtype, arrays))
    if not network.is_built:
        network.build(n_out=_last_size(pieces))
    left = list(pieces)
    for address, wanted in _wants(network):
        _put(network, address, _next(left, address, wanted), "")
    if left:
        raise OptionError(
            f"{len(left)} parts of the weights find no layer, the first of them {_told(left[0])}. "
            "Add the layer to layers."
        )
    return network


def _first_size(layers: Sequence[Any], pieces: Sequence[Piece]) -> int | None:
    """Return the number of inputs: of the first Dense piece, if a Dense layer is the first with numbers."""
    kind = next((type(layer) for layer in layers if isinstance(layer, Dense | BatchNorm | LayerNorm)), Dense)
    return next((piece.layer.n_in for piece in pieces if isinstance(piece.layer, kind)), None)


def _last_size(pieces: Sequence[Piece]) -> int | None:
    return next((p.layer.n_out for p in reversed(pieces) if isinstance(p.layer, Dense)), None)


def _wants(network: Network) -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
    """Yield, in order, what every layer needs; the numbers of a learned activation apart."""
    for address, layer in network.model.walk():
        entries = [*network.model.layout.entries, *network.model.buffer_layout.entries]
        own = {entry.name: entry.shape for entry in entries if entry.layer == address}
        learned = {"alpha": own.pop("alpha")} if isinstance(layer, Dense) and "alpha" in own else {}
        yield from ((address, wanted) for wanted in (own, learned) if wanted)


def _next(left: list[Piece], address: str, wanted: Mapping[str, tuple[int, ...]]) -> Mapping[str, Array]:
    needs = ", ".join(f"{name} {shape}" for name, shape in wanted.items())
    if not left:
        raise OptionError(f"layers[{address}] needs {needs}; there are no weights left for it.")
    place = next((i for i, piece in enumerate(left) if set(piece.numbers) == set(wanted)), 0)
    piece = left.pop(place)
    if {name: array.shape for name, array in piece.numbers.items()} != dict(wanted):
        raise OptionError(f"layers[{address}] needs {needs}; next among the weights is {_told(piece)}.")
    return piece.numbers


def _told(piece: Piece) -> str:
    shapes = ", ".join(f"{name} {np.shape(array)}" for name, array in piece.numbers.items())
    return f"{piece.where}, with {shapes}" if piece.where else shapes


def teach_labels(network: Network, classes: Sequence[Any] | None) -> Network:
    """Let `predict` answer with these labels, in the order of the outputs; None: with the outputs.

    Errors: `OptionError`, `ShapeError` where they do not fit the outputs.
    """
    labels = check_classes(classes, None)
    if labels is not None:
        last = network.layers[-1]
        activation = last.activation if isinstance(last, ActivationOwner) else None
        network.targets = Targets.infer(
            np.asarray(labels), network.cost, network.model.n_out, activation, "classification", labels
        )
    return network


# -- out -----------------------------------------------------------------------------------------


def pieces_of(network: Network, library: str, without: Container[str] = ()) -> list[Piece]:
    """Return the layers of a network with copies of their numbers, its preprocessing folded into the first.

    without: names of kinds of layers that are left out, as the other library predicts without them.
    Errors: `UnsupportedError` for a layer with parts, which no chain of `library` has; `DTypeError`.
    """
    if not isinstance(network, Network):
        raise DTypeError(f"a clearprop.Network is wanted. Got {type(network).__name__}.")
    found = []
    layouts = ((network.model.layout, network.theta), (network.model.buffer_layout, network.buffers))
    for i, layer in enumerate(network.model.layers, 1):
        if isinstance(layer, Residual | Concatenate) or layer.parts():
            raise UnsupportedError(
                f"layers[{i}] {type(layer).__name__} cannot be carried over: {library} is a plain chain of "
                "layers."
            )
        numbers = {
            entry.name: flat[entry.block].reshape(entry.shape).copy()
            for layout, flat in layouts
            for entry in layout.entries
            if entry.layer == str(i)
        }
        fixed = tuple(n for n in numbers if any(matches(f"{i}.{n}", p) for p in network.frozen))
        found.append(Piece(layer, numbers, f"layers[{i}]", fixed))
    kept = [piece for piece in found if piece.layer.name not in without]
    return fold(kept, affine_of(network), library)


def fold(pieces: list[Piece], affine: Affine | None, library: str) -> list[Piece]:
    """Return the pieces with x <- (x - shift) * factor made part of the first layer.

    W ((x - s) ⊙ f) + b = (W ⊙ f) x + (b - (W ⊙ f) s), worked out in float64 and then rounded to the
    network's dtype. As mathematics it is the same; in numbers the first layer now subtracts sums as large as
    |W| |s ⊙ f|, so its z are off by up to about epsilon times that. Where some |s f| exceeds
    1 / sqrt(epsilon) (2,896 in float32, 6.7e7 in float64), more than half of the digits of a scaled input of
    1 would be lost, and that is refused; below it the error is at most about sqrt(epsilon) times |W|.

    Errors: `UnsupportedError` for such a shift, for a first layer that is not Dense, and for a random layer
    before it where there is a shift: what it sets to 0 would be 0 before the shift, not after it.
    """
    if affine is None:
        return pieces
    first = next((i for i, piece in enumerate(pieces) if not piece.layer.random), None)
    dense = None if first is None else pieces[first].layer
    if first is None or not isinstance(dense, Dense):
        raise UnsupportedError(
            f"the preprocessing cannot be carried over: {library} has it in the first layer's weights, and "
            "the first layer is not Dense. Take network.preprocessing off and scale the data yourself."
        )
    if first and np.any(affine.shift):
        raise UnsupportedError(
            f"the preprocessing cannot be carried over: {pieces[0].where} {type(pieces[0].layer).__name__} "
            f"acts on inputs whose shift {library} would make only after it, in {pieces[first].where}. Take "
            "network.preprocessing off and scale the data yourself."
        )
    numbers = dict(pieces[first].numbers)
    _check_digits_kept(affine, numbers["W"].dtype)
    W, dtype = numbers["W"].astype(np.float64), numbers["W"].dtype
    scaled = W * affine.factor
    b = numbers.get("b", np.zeros(len(W))) - scaled @ np.broadcast_to(affine.shift, W.shape[1:])
    numbers |= {"W": scaled.astype(dtype), "b": b.astype(dtype)}
    layer = dataclasses.replace(dense, bias=True)
    return [*pieces[:first], pieces[first]._replace(layer=layer, numbers=numbers), *pieces[first + 1 :]]


def _check_digits_kept(affine: Affine, dtype: np.dtype[Any]) -> None:
    large = np.max(np.abs(affine.shift * affine.factor), initial=0.0)
    limit = 1 / np.sqrt(np.finfo(dtype).eps)
    if large > limit:
        raise UnsupportedError(
            f"the preprocessing cannot be carried over: it shifts a feature by {large:.3g} of its units "
            f"after scaling, and beyond {limit:.3g} the first layer's weights, with the shift in them, "
            f"lose more than half of the digits in {dtype.name}. Take network.preprocessing off "
            "and scale the data yourself."
        )
