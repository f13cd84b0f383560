"""What the native rung computed in one pass, as the records of the layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from clearprop import layers
from clearprop.arrays import Array
from clearprop.layers import Layer, Tree
from clearprop.layers.combinators import CombinatorBackward, CombinatorForward
from clearprop.layers.dense import ActivationBackward, ActivationForward, DenseBackward, DenseForward
from clearprop.layers.noise import DropoutBackward, DropoutForward
from clearprop.layers.normalization import NormBackward, NormForward
from clearprop.model import Model, State

__all__ = ["records_of"]

Seen = dict[str, Array]


def records_of(
    model: Model, state: State, X: Array, seen: Sequence[Seen], gradient: Array, training: bool
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the forward and backward records of every layer. seen: what each operation left, in order."""
    reader = _Reader(iter(seen), len(X), training)
    return reader.chain(model.layers, X, state.params, model.layout.views(gradient))


class _Reader:
    """Walks the layers as the program was made, and takes what each operation left."""

    def __init__(self, seen: Iterator[Seen], n: int, training: bool) -> None:
        self.seen, self.n, self.training = seen, n, training

    def chain(
        self, chain: Sequence[Layer], a: Array, params: Sequence[Tree], gradients: Sequence[Tree]
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the records of a chain that reads a."""
        forward, backward = [], []
        for layer, own, gradient in zip(chain, params, gradients, strict=True):
            ahead, back = self.layer(layer, a, own, gradient)
            forward.append(ahead)
            backward.append(back)
            a = ahead.a
        return tuple(forward), tuple(backward)

    def layer(self, layer: Any, a: Array, params: Tree, gradient: Tree) -> tuple[Any, Any]:
        """Return the records of one layer that reads a."""
        if type(layer) is layers.Residual:
            return self._residual(layer, a, params, gradient)
        if type(layer) is layers.Concatenate:
            return self._concatenate(layer, a, params, gradient)
        left = next(self.seen)
        seen = {name: left[name].reshape(self.n, -1) for name in left if name not in ("mean", "variance")}
        if type(layer) is layers.Dense:
            slopes = self._slopes(layer, seen)
            back = DenseBackward(
                seen["delta"], gradient["W"], gradient.get("b"), seen["handed_back"], slopes, self.n
            )
            return DenseForward(a, seen["z"], seen["a"]), back
        if type(layer) is layers.Activation:
            slopes = self._slopes(layer, seen)
            return (
                ActivationForward(a, seen["z"], seen["a"]),
                ActivationBackward(seen["delta"], seen["handed_back"], slopes, self.n),
            )
        if isinstance(layer, layers.Dropout | layers.AlphaDropout):
            return (
                DropoutForward(a, seen.get("mask"), seen["a"]),
                DropoutBackward(seen["error"], seen["handed_back"]),
            )
        by_example = type(layer) is layers.LayerNorm
        shape = (self.n, 1) if by_example else (-1,)
        mean, variance = left["mean"].reshape(shape), left["variance"].reshape(shape)
        ahead = NormForward(a, mean, variance, seen["x_hat"], seen["a"], by_example or self.training)
        error = seen["error"]
        return ahead, NormBackward(
            error, gradient["gamma"], gradient["beta"], error * params["gamma"], seen["handed_back"]
        )

    def _slopes(self, layer: Any, seen: Seen) -> dict[str, Array]:
        """Return the per-example gradients of PReLU's slopes, by name."""
        if "alpha_rows" not in seen:
            return {}
        rows = seen["alpha_rows"]
        return {"alpha": rows[:, :1] if layer.activation.shared else rows}

    def _residual(self, layer: Any, a: Array, params: Tree, gradient: Tree) -> tuple[Any, Any]:
        forward, backward = {}, {}
        for part, chain in layer.parts().items():
            forward[part], backward[part] = self.chain(chain, a, params[part], gradient[part])
        left = next(self.seen)
        error, output = left["error"].reshape(self.n, -1), left["a"].reshape(self.n, -1)
        around = backward["shortcut"][0].dC_da_prev if layer.shortcut else error
        dC_da_prev = backward["body"][0].dC_da_prev + around
        return CombinatorForward(a, forward, output), CombinatorBackward(error, backward, dC_da_prev)

    def _concatenate(self, layer: Any, a: Array, params: Tree, gradient: Tree) -> tuple[Any, Any]:
        forward, backward = {}, {}
        for i, (part, chain) in enumerate(layer.parts().items()):
            given = a
            if layer.inputs is not None:
                given = next(self.seen)["a"].reshape(self.n, layer.inputs[i])
            forward[part], backward[part] = self.chain(chain, given, params[part], gradient[part])
        left = next(self.seen)
        error, output = left["error"].reshape(self.n, -1), left["a"].reshape(self.n, -1)
        cut = layer.part_errors(CombinatorBackward(error, {}, error))
        handed = [backward[part][0].dC_da_prev if backward[part] else cut[part] for part in backward]
        joined = np.concatenate(handed, axis=1) if layer.inputs is not None else sum(handed[1:], handed[0])
        return CombinatorForward(a, forward, output), CombinatorBackward(error, backward, joined)
