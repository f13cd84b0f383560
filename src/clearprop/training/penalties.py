"""Regularisation: L1 and L2 penalties on the cost, max-norm, and gradient clipping.

A penalty is part of the cost: its value is added to C and its gradient to ∂C/∂theta. Decoupled
weight decay is not a penalty but part of an optimiser (`AdamW`, `SGDW`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clearprop.arrays import Array, namespace
from clearprop.checks import check_choice, check_number
from clearprop.errors import OptionError
from clearprop.registry import Described, Registry, description

if TYPE_CHECKING:
    from clearprop.model import Layout

__all__ = ["Penalty", "clip_by_norm", "clip_by_value", "limit_norms", "limit_row_norms", "norm", "penalties"]

_LARGEST = 1e15  # its square, times 1e8 parameters, is still a float32

penalties: Registry[Penalty] = Registry("penalty")


@penalties.register("elastic", "elastic_net")
@description
class Penalty(Described):
    """L1 and L2 penalties on the parameters; both together are the elastic net.

        P = (l1 Σ|w| + l2/2 Σw²) / N        ∂P/∂w = (l1 sign(w) + l2 w) / N,   sign(0) = 0

    scope: which parameters w are penalised, the "weights" or "all" of them (biases too); it tells
    the training loop which mask to pass. divide_by: what N is,

        "none"       1                                        PyTorch's weight_decay is l2; Keras'
                                                              L2(c) has no 1/2: it is l2 = 2 c
        "examples"   the number of training examples          Nielsen's lambda is l1 or l2
        "batch"      the number of examples in the batch      scikit-learn's alpha is l2

    Source: Nielsen, chapter 3, equations (87) for L2 and (95) for L1; Zou and Hastie (2005).

    By hand: P = 0.5 (1 + 2) + 0.5/2 (1 + 4) = 2.75.

    >>> penalty, w = Penalty(l1=0.5, l2=0.5), np.array([1.0, 0.0, -2.0])
    >>> print(penalty.value(w), penalty.gradient(w))
    2.75 [ 1.   0.  -1.5]
    """

    kind: ClassVar[str] = "penalty"
    name: ClassVar[str] = "penalty"
    l1: float = 0.0
    l2: float = 0.0
    scope: str = "weights"
    divide_by: str = "none"

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            check_number(self, name, at_least=0)
            if getattr(self, name) > _LARGEST:
                raise OptionError(
                    f"{name} of Penalty is {getattr(self, name):g}: squares of such gradients overflow, so "
                    f"no step could follow from them. Give at most {_LARGEST:g}."
                )
        check_choice(self, "scope", ("weights", "all"))
        check_choice(self, "divide_by", ("none", "examples", "batch"))

    @property
    def active(self) -> bool:
        """Whether there is anything to add."""
        return self.l1 > 0 or self.l2 > 0

    def divisor(self, *, examples: float, batch: float) -> float:
        """Return N: 1, the number (or total weight) of training examples, or of those in the batch."""
        return {"none": 1.0, "examples": float(examples), "batch": float(batch)}[self.divide_by]

    def value(self, theta: Array, mask: Array | None = None, *, divisor: float = 1.0) -> Any:
        """Return P, a scalar of the dtype of theta.

        theta: (n,), real, or complex near the real axis for the complex step. mask: (n,) factors
        on the penalty of each parameter, 0 for those that have none; None for all 1. divisor: N.
        """
        xp = namespace(theta)
        l1, l2 = self.l1 / float(divisor), self.l2 / float(divisor)
        # |w| as an analytic function on either side of 0, which the complex step needs.
        magnitude = xp.where(theta.real < 0, -theta, theta)
        terms = l1 * magnitude + (l2 / 2) * (theta * theta)
        return xp.sum(terms if mask is None else terms * mask)

    def gradient(self, theta: Array, mask: Array | None = None, *, divisor: float = 1.0) -> Array:
        """Return ∂P/∂theta (n,), a new array; the arguments are those of `value`."""
        l1, l2 = self.l1 / float(divisor), self.l2 / float(divisor)
        dP_dtheta: Array = l1 * namespace(theta).sign(theta) + l2 * theta
        return dP_dtheta if mask is None else dP_dtheta * mask

    def add_gradient(
        self,
        gradient: Array,
        theta: Array,
        mask: Array | None = None,
        *,
        divisor: float = 1.0,
        scratch: Array | None = None,
    ) -> None:
        """Do gradient ← gradient + ∂P/∂theta in place; `scratch` (n,) spares an allocation."""
        scratch = np.empty_like(theta) if scratch is None else scratch
        for strength, function in ((self.l1, np.sign), (self.l2, np.positive)):
            if strength:
                function(theta, out=scratch)
                scratch *= strength / float(divisor)
                if mask is not None:
                    scratch *= mask
                gradient += scratch


def norm(vector: Array) -> float:
    """Return the Euclidean norm, also where its square would overflow or underflow.

    >>> norm(np.array([3.0, 4.0]))
    5.0
    >>> norm(np.array([3e30, 4e30], dtype=np.float32)) > 4.99e30
    True
    """
    vector = vector.ravel()
    with np.errstate(over="ignore"):
        square = float(np.dot(vector, vector))
    # Between these bounds no square of weight was lost, in float32 either.
    if 1e-24 < square < 1e38:
        return math.sqrt(square)
    largest = float(np.max(np.abs(vector), initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    scaled = vector.astype(np.float64) / largest
    return largest * math.sqrt(float(np.dot(scaled, scaled)))


def clip_by_norm(gradient: Array, max_norm: float) -> float:
    """Scale the gradient in place to the norm `max_norm` if its norm is larger; return the norm before.

    g ← g · max_norm / ‖g‖, over the whole of the flat gradient ("global norm"). A gradient with
    NaN or infinite entries is left as it is, and the norm returned says so.
    Source: Pascanu, Mikolov and Bengio (2013), algorithm 1. Errors: `OptionError`.

    >>> g = np.array([3.0, 4.0])
    >>> clip_by_norm(g, 1.0), g.round(12).tolist()
    (5.0, [0.6, 0.8])
    """
    _check_limit("max_norm", max_norm)
    before = norm(gradient)
    if math.isfinite(before) and before > max_norm:
        gradient *= float(max_norm) / before
    return before


def clip_by_value(gradient: Array, limit: float) -> float:
    """Clip every entry of the gradient to [-limit, limit] in place; return the norm before.

    NaN stays NaN. The direction changes, unlike that of `clip_by_norm`. Errors: `OptionError`.

    >>> g = np.array([3.0, -4.0, 0.5])
    >>> round(clip_by_value(g, 1.0), 6), g.tolist()
    (5.024938, [1.0, -1.0, 0.5])
    """
    _check_limit("limit", limit)
    before = norm(gradient)
    np.clip(gradient, -float(limit), float(limit), out=gradient)
    return before


def limit_norms(layout: Layout, theta: Array, scale: Array | None, limit: float) -> None:
    """Do `limit_row_norms` for every W in theta that is not frozen (`scale` 0)."""
    for entry in layout.entries:
        if entry.name == "W" and (scale is None or scale[entry.offset] != 0):
            limit_row_norms(theta[entry.block].reshape(entry.shape), limit)


def limit_row_norms(W: Array, max_norm: float) -> Array:
    """Scale each row of W whose norm exceeds `max_norm` down to it, in place; return the norms before.

    Row j of W (n_out, n_in) holds the incoming weights of neuron j: the max-norm constraint
    ‖w_j‖ <= c, applied after each update. Rows within it, or not finite, keep their bits.
    The norms are (n_out,), float64.
    Source: Srivastava et al. (2014), section 5.1. Errors: `OptionError`.

    >>> W = np.array([[3.0, 4.0], [0.3, 0.4]])
    >>> limit_row_norms(W, 1.0).round(12).tolist(), W.round(12).tolist()
    ([5.0, 0.5], [[0.6, 0.8], [0.3, 0.4]])
    """
    _check_limit("max_norm", max_norm)
    norms: Array = np.sqrt(np.einsum("ji,ji->j", W, W, dtype=np.float64))
    over = (norms > max_norm) & np.isfinite(norms)
    if np.any(over):
        W[over] *= (float(max_norm) / norms[over]).astype(W.dtype)[:, np.newaxis]
    return norms


def _check_limit(option: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise OptionError(f"{option} must be a finite number > 0. Got {value!r}.")
