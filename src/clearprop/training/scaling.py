"""Numbers to be predicted, brought to mean 0 and deviation 1 for training, and back into their own unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DataError

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["LARGEST_TARGET", "TargetScale", "check_range"]

LARGEST_TARGET = 1e300
"""The largest number of a target: float64 ends at 1.8e308, and what is computed of it needs room."""

_SMALLEST_SCALE = 1e-300
_COARSEST = 1e-3  # of the deviation: how far rounding alone may move a prediction
_SQUARES = 1e18  # of numbers beyond this, or below its inverse, float32 does not hold the squares


@dataclass(frozen=True, eq=False)
class TargetScale:
    """How targets y were shifted and scaled: a network learns (y - shift) / scale, at any unit of y.

    >>> found = TargetScale.of(np.array([1.0, 3.0]))
    >>> found.shift.tolist(), found.scale.tolist(), found(np.array([5.0])).tolist()
    ([2.0], [1.0], [3.0])
    """

    shift: Array
    """The mean of each output, (k,)."""
    scale: Array
    """What each output is divided by, (k,), above 0."""
    largest: float
    """The largest magnitude among the targets."""

    @classmethod
    def of(cls, y: Array, where: str = "the target", shared: bool = False) -> TargetScale:
        """Return mean and standard deviation of targets y (n,) or (n, k), taken in float64.

        where: what messages call y. shared: one deviation for all outputs, so that their costs keep their
        proportions. Errors: `DataError` for targets that are all the same, are not finite, or lie outside of
        what `check_range` allows.
        """
        check_range(y, where)
        rows = y.reshape(len(y), -1).astype(np.float64)
        same = (rows == rows[0]).all(axis=0)
        if same.all() or (same.any() and not shared):
            j = int(np.argmax(same))
            which = f"output {j} of {where}" if rows.shape[1] > 1 else where
            raise DataError(f"{which} is {rows[0, j]:g} in every row: there is nothing to learn.")
        largest = float(np.abs(rows).max())
        # A power of two rounds nothing, and lets no square overflow or vanish.
        exponent = int(np.frexp(largest)[1])
        small = np.ldexp(rows, -exponent)
        mean = small.mean(axis=0)
        spread = np.sqrt(np.mean((small - mean) ** 2, axis=None if shared else 0))
        scale = np.ldexp(np.broadcast_to(spread, mean.shape), exponent)
        if not (scale > _SMALLEST_SCALE).all():
            raise DataError(
                f"the values of {where} differ by {scale.min():.3g}, too little to be computed with. "
                "Give it in a smaller unit."
            )
        return cls(np.ldexp(mean, exponent), scale, largest)

    def __call__(self, y: Array) -> Array:
        """Return targets y (n,) or (n, k) as the network learns them."""
        shift, scale = (self.shift, self.scale) if y.ndim > 1 else (self.shift[0], self.scale[0])
        scaled: Array = (y - shift) / scale
        return scaled

    def undo(self, network: Network) -> None:
        """Let a network give numbers in their own unit: y = s y' + m goes into W and b of its last layer."""
        last = len(network.layers)
        network.W[last] *= self.scale[:, None].astype(network.dtype)
        network.b[last][:] = self.scale * network.b[last] + self.shift

    def dtype(self, wanted: Any) -> str:
        """Return the dtype of a network that can give these numbers: `wanted`, or float64.

        float32 has seven digits: of a mean much larger than the deviation they leave none for what differs.
        Nor does it hold the squares of numbers beyond 1e18 or of deviations below 1e-18.

        >>> far = TargetScale.of(1e9 + np.array([0.0, 1.0]))
        >>> far.dtype("float32"), TargetScale.of(np.array([0.0, 1.0])).dtype("float32")
        ('float64', 'float32')
        """
        kind = np.dtype(wanted)
        rounding = np.finfo(kind).eps * np.maximum(np.abs(self.shift), self.scale)
        in_range = self.largest <= _SQUARES and bool((self.scale >= 1 / _SQUARES).all())
        fits = in_range and bool((rounding <= _COARSEST * self.scale).all())
        return kind.name if fits else "float64"


def check_range(y: Array, where: str = "the target") -> None:
    """Raise `DataError`, naming the first row, for numbers (n,) or (n, k) that no network can learn."""
    rows = np.asarray(y).reshape(len(y), -1)
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(wrong):
        raise DataError(f"{where} is NaN or infinite in data row {wrong[0] + 1}. Leave out such rows.")
    too_large = (np.abs(rows) > LARGEST_TARGET).any(axis=1)
    if too_large.any():
        row = int(np.argmax(too_large))
        value = rows[row][np.abs(rows[row]).argmax()]
        raise DataError(
            f"{where} holds {value:g} in data row {row + 1}; the largest usable number is "
            f"±{LARGEST_TARGET:g}. Give it in a larger unit."
        )
