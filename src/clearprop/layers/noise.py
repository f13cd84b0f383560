"""Layers that are random while training: Dropout and AlphaDropout. In inference both are the identity."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

from clearprop.arrays import Array, namespace
from clearprop.checks import check_number, check_whole
from clearprop.layers.base import Layer, NoiseSource, Tree, check_size, layers
from clearprop.registry import description

__all__ = ["AlphaDropout", "Dropout", "DropoutBackward", "DropoutForward"]


class DropoutForward(NamedTuple):
    """Forward record of `Dropout` and `AlphaDropout`."""

    a_prev: Array
    """Inputs, (n, n_in)."""
    mask: Array | None
    """What each input was multiplied by, (n, n_in); None in inference."""
    a: Array
    """Outputs, (n, n_in)."""


class DropoutBackward(NamedTuple):
    """Backward record of `Dropout` and `AlphaDropout`."""

    dC_da: Array
    """Row x is ∂C_x/∂a, (n, n_in)."""
    dC_da_prev: Array
    """Row x is ∂C_x/∂a_prev = mask ⊙ dC_da."""


@description
class _RandomMask(Layer):
    random: ClassVar[bool] = True
    keeps_size: ClassVar[bool] = True
    rate: float = 0.5
    size: int | None = None

    def __post_init__(self) -> None:
        check_number(self, "rate", at_least=0, below=1)
        if self.size is not None:
            check_whole(self, "size", at_least=1)

    @property
    def n_in(self) -> int | None:
        """Number of inputs, equal to the number of outputs."""
        return self.size

    @property
    def n_out(self) -> int | None:
        """Number of outputs, equal to the number of inputs."""
        return self.size

    def sized(self, n_in: int, address: str, n_out: int | None = None) -> Layer:
        """Return this layer for n_in inputs."""
        check_size(self, n_in, address)
        return dataclasses.replace(self, size=int(n_in))

    def draw(self, address: str, source: NoiseSource) -> Tree:
        """Return {"u": uniform numbers (n, n_in)}; an input is kept where u >= rate."""
        assert self.size is not None
        return {"u": source(address, self.size)} if self.rate > 0 else {}

    def backward(
        self, record: Any, dC_da: Array, params: Tree, n: int, inputs: bool = True, out: Tree | None = None
    ) -> DropoutBackward:
        """Return dC_da_prev = mask ⊙ dC_da (the identity in inference)."""
        return DropoutBackward(dC_da, dC_da if record.mask is None else dC_da * record.mask)


@layers.register()
@description
class Dropout(_RandomMask):
    """Drop each input with probability `rate` while training, and scale the rest by 1/(1 - rate).

    a = mask ⊙ a_prev with mask = [u >= rate] / (1 - rate), u uniform in [0, 1), one per example and
    unit; so E[a] = a_prev and inference needs no scaling ("inverted" dropout).
    Backward: the mask is a constant of the pass, so ∂C_x/∂a_prev = mask ⊙ ∂C_x/∂a.

    Errors: `OptionError` for a rate outside [0, 1).
    Source: Srivastava et al., Dropout, JMLR 15 (2014).

    >>> import numpy as np
    >>> layer = Dropout(0.5).sized(3, "1")
    >>> noise = {"u": np.array([[0.1, 0.5, 0.9]])}
    >>> layer.forward(np.array([[1.0, 2.0, 3.0]]), {}, {}, noise, training=True).a
    array([[0., 4., 6.]])
    """

    name: ClassVar[str] = "dropout"

    def forward(
        self, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None = None, training: bool = False
    ) -> DropoutForward:
        """Return the mask and a = mask ⊙ a_prev; the identity in inference."""
        if not training or not noise:
            return DropoutForward(a_prev, None, a_prev)
        xp = namespace(a_prev)
        mask = xp.asarray(noise["u"] >= self.rate, dtype=a_prev.dtype) * (1 / (1 - self.rate))
        return DropoutForward(a_prev, mask, a_prev * mask)


@layers.register()
@description
class AlphaDropout(_RandomMask):
    """Dropout that keeps mean 0 and variance 1, for networks of SELU layers.

    A dropped input becomes alpha' = -scale·alpha = -1.7580993408473766, SELU's lower limit, and the result is
    mapped affinely: with q = 1 - rate,

        a = A (keep ⊙ a_prev + alpha' (1 - keep)) + B,
        A = (q + alpha'^2 q (1 - q))^(-1/2),   B = -A (1 - q) alpha'.

    Backward: ∂C_x/∂a_prev = A keep ⊙ ∂C_x/∂a; the record's mask is A·keep.

    Errors: `OptionError` for a rate outside [0, 1).
    Source: Klambauer et al., Self-Normalizing Neural Networks (2017), section "alpha dropout".

    >>> import numpy as np
    >>> layer = AlphaDropout(0.5).sized(2, "1")
    >>> layer.forward(np.array([[1.0, 1.0]]), {}, {}, {"u": np.array([[0.2, 0.7]])}, training=True).a.round(4)
    array([[-0.7792,  1.6656]])
    """

    name: ClassVar[str] = "alpha_dropout"

    def forward(
        self, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None = None, training: bool = False
    ) -> DropoutForward:
        """Return the mask A·keep and a; the identity in inference."""
        if not training or not noise:
            return DropoutForward(a_prev, None, a_prev)
        floor, q = -1.7580993408473766, 1 - self.rate
        A = (q + floor**2 * q * (1 - q)) ** -0.5
        keep = namespace(a_prev).asarray(noise["u"] >= self.rate, dtype=a_prev.dtype)
        a = A * (keep * a_prev + floor * (1 - keep)) - A * (1 - q) * floor
        return DropoutForward(a_prev, A * keep, a)
