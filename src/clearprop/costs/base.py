"""What a cost is: a pure function of one example's output and target, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from clearprop.arrays import Array, namespace, real_part
from clearprop.errors import DataError, DTypeError, OptionError, one_of
from clearprop.registry import Described, Registry

__all__ = [
    "Cost",
    "ElementwiseCost",
    "FusedPair",
    "costs",
    "divide",
    "fused_pair",
    "fused_pairs",
    "register",
    "register_pair",
    "xlogy",
]

costs: Registry[Cost] = Registry("cost")
register = costs.register


class Cost(Described):
    """C_x(a, y), the cost of one example, and dC_da = ∂C_x/∂a.

    The two assumptions of backpropagation (Nielsen, chapter 2) are built in: the cost of a batch
    is the mean of the costs of its examples, taken by the engine and never here; and C_x is a
    function of the network's output a and the target y, nothing else. The first is what makes
    data-parallel training exact.

    To make your own: subclass as a frozen dataclass with `value` and `dC_da`; pass an instance
    wherever a cost is accepted. If C_x is a sum or a mean over the outputs, `ElementwiseCost` is
    shorter. a and y have the same dtype, and the results keep it.

    >>> import numpy as np
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Distance(Cost):  # the Euclidean distance, not squared
    ...     name = "distance"
    ...     formula = "sqrt(sum_j (a_j - y_j)^2)"
    ...     def value(self, a, y):
    ...         return np.sqrt(np.sum((a - y) ** 2, axis=-1))
    ...     def dC_da(self, a, y):
    ...         return (a - y) / self.value(a, y)[..., None]
    >>> a, y = np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]])
    >>> Distance().value(a, y), Distance().dC_da(a, y)
    (array([5.]), array([[0.6, 0.8]]))
    """

    kind: ClassVar[str] = "cost"
    formula: ClassVar[str] = ""
    """C_x in one line, e.g. "1/2 * sum_j (a_j - y_j)^2"."""
    reduction: ClassVar[str] = "sum"
    """How C_x reduces over the outputs: "sum" or "mean"."""
    targets: ClassVar[str] = "real"
    """What y holds: "real"; "probability" (in [0, 1]); "distribution" (rows sum to 1); "count"
    (y >= 0); "sign" (-1 or +1)."""
    outputs: ClassVar[str] = "real"
    """What a must be for the cost to exist: "real", "probability", "distribution" or "positive"."""
    default_output_activation: ClassVar[str] = "identity"
    """The output activation that a network takes when none is given: the one whose range is `outputs`."""
    smooth: ClassVar[bool] = True
    """Whether dC_da is continuous in a; else `kinks` tells how far a is from a jump."""
    complex_safe: ClassVar[bool] = True
    """Whether the cost is correct for complex a near the real axis (needed for the complex step)."""

    least_at_target: ClassVar[bool] = True
    """Whether no output costs less than a = y, whatever y: true of all but the focal costs."""

    @property
    def outputs_per_target(self) -> int:
        """How many outputs are compared with one and the same target: 1, or the number of quantiles."""
        return 1

    def value(self, a: Array, y: Array) -> Array:
        """Return C_x for every example. a, y: (…, k); result: (…)."""
        raise NotImplementedError

    def dC_da(self, a: Array, y: Array) -> Array:
        """Return ∂C_x/∂a for every example. a, y, result: (…, k)."""
        raise NotImplementedError

    def smoothed(self, y: Array) -> Array:
        """Return the targets that a is compared with: y itself, unless labels are smoothed."""
        return y

    def kinks(self, a: Array, y: Array) -> Array:
        """Return, per example (…), how far a is from the nearest point where dC_da jumps (inf if none)."""
        xp = namespace(a)
        return xp.full(a.shape[:-1], xp.inf, dtype=real_part(a).dtype)  # type: ignore[no-any-return]

    def check_activation(self, activation: str) -> None:
        """Raise `OptionError` where this cost makes no sense with the output activation of that name."""

    def check_targets(self, y: Array, *, name: str = "y") -> None:
        """Raise unless y, (…, k), is finite and within what `targets` says. Messages call it `name`.

        Errors: `DTypeError` if y holds no numbers; `DataError` naming the first bad entry.
        A distribution may miss the sum 1 by 0.01, so that rounded soft labels pass.

        >>> from clearprop.costs import Hinge
        >>> Hinge().check_targets(np.array([[1.0, -1.0], [1.0, 0.0]]))
        Traceback (most recent call last):
            ...
        clearprop.errors.DataError: hinge needs targets that are -1 or +1, but y at row 1, column 1 is 0. \
For 0/1 targets use 2 * y - 1.
        """
        y = np.asarray(y)
        if y.dtype.kind not in "biuf":
            raise DTypeError(
                f"{self.name} needs numbers as targets; {name} has dtype {y.dtype}. Encode labels first."
            )
        if self.targets not in _RANGES:
            raise OptionError(
                f"cost {self.name!r} declares targets = {self.targets!r}; use one of {one_of(_RANGES)}."
            )
        for rule in (_FINITE, _RANGES[self.targets]):
            bad = np.argwhere(~rule.holds(y))
            if len(bad):
                index = tuple(int(i) for i in bad[0])
                raise DataError(
                    f"{self.name} needs targets that {rule.words}, but {name} at {_place(index)} "
                    f"is {y[index]:.6g}. {rule.do}"
                )
        if self.targets == "distribution":
            _check_sums(self.name, y, name)


class ElementwiseCost(Cost):
    """A cost that is the sum or the mean over the outputs of c(a_j, y_j).

    A subclass gives `reduction`, `c` and its derivative `dc`; the reduction then stands in one
    place for the value and the gradient, so the two cannot drift apart by a factor k.
    """

    def c(self, a: Array, y: Array) -> Array:
        """Return c(a_j, y_j) for every output, elementwise. a, y, result: (…, k)."""
        raise NotImplementedError

    def dc(self, a: Array, y: Array) -> Array:
        """Return ∂c/∂a_j for every output, elementwise. a, y, result: (…, k)."""
        raise NotImplementedError

    def value(self, a: Array, y: Array) -> Array:
        """Return C_x = sum_j c(a_j, y_j), or the mean over j. a, y: (…, k); result: (…)."""
        xp = namespace(a)
        each = self.c(a, self.smoothed(y))
        return xp.mean(each, axis=-1) if self.reduction == "mean" else xp.sum(each, axis=-1)  # type: ignore[no-any-return]

    def dC_da(self, a: Array, y: Array) -> Array:
        """Return ∂C_x/∂a_j = ∂c/∂a_j, divided by k for a mean. a, y, result: (…, k)."""
        each = self.dc(a, self.smoothed(y))
        return each / a.shape[-1] if self.reduction == "mean" else each


class FusedPair:
    """A cost together with the output activation that is its canonical partner.

    Both formulas start from z, so they are stable where the unfused product is 0 * inf:
    softmax with cross-entropy gives delta = a - y. Tested equal to the unfused product.
    """

    activation: ClassVar[str]
    cost: ClassVar[str]
    formula: ClassVar[str]
    """delta in one line, e.g. "delta = a - y"."""

    def value(self, cost: Cost, z: Array, y: Array) -> Array:
        """Return C_x from z. z, y: (…, k); result: (…)."""
        raise NotImplementedError

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return delta = ∂C_x/∂z, given a = f(z). All (…, k). (BP1, fused)"""
        raise NotImplementedError


_pairs: dict[tuple[str, str], FusedPair] = {}


def register_pair(cls: type[FusedPair]) -> type[FusedPair]:
    """Register a `FusedPair` under the names of its activation and cost (class decorator)."""
    _pairs[cls.activation, cls.cost] = cls()
    return cls


def fused_pair(activation: str | Described, cost: str | Described) -> FusedPair | None:
    """Return the fused pair of these two, or None where BP1 is the plain product.

    Prefer objects to names: an object whose class inherits its name, such as your own subclass of
    `CrossEntropy` with another `value`, is not the thing that was registered and has no pair.

    >>> fused_pair("softmax", "cross_entropy").formula
    "delta = a * sum_j y'_j - y' = a - y'"
    >>> fused_pair("tanh", "cross_entropy") is None
    True
    """
    return _pairs.get((_own_name(activation), _own_name(cost)))


def fused_pairs() -> dict[tuple[str, str], FusedPair]:
    """Return every registered pair by (activation, cost)."""
    return dict(_pairs)


def _own_name(thing: str | Described) -> str:
    if isinstance(thing, str):
        return thing
    return thing.name if "name" in vars(type(thing)) else ""


def xlogy(y: Array, a: Array) -> Array:
    """Return y ln a with 0 ln 0 = 0, for y >= 0; y ln 0 = -inf comes without a warning. Elementwise.

    >>> xlogy(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 2.0]))
    array([0.        ,       -inf, 0.69314718])
    """
    xp = namespace(a)
    # a == a is false for NaN, which must stay NaN even where y is 0.
    log_a = xp.log(xp.where((a == 0) | ((y == 0) & (a == a)), 1.0, a))
    return xp.where((a == 0) & (y != 0), -xp.inf, y * log_a)  # type: ignore[no-any-return]


def divide(y: Array, a: Array) -> Array:
    """Return y / a with 0 / 0 = 0, for y >= 0; too large a quotient is inf without a warning. Elementwise.

    >>> divide(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 2.0]))
    array([0. , inf, 0.5])
    """
    xp = namespace(a)
    overflows = xp.abs(a) <= xp.abs(y) / float(xp.finfo(a.dtype).max)
    return xp.where(overflows & (y != 0), xp.inf, y / xp.where(overflows, 1.0, a))  # type: ignore[no-any-return]


class _Rule(NamedTuple):
    holds: Callable[[Array], Any]
    words: str
    do: str


def _within_0_1(y: Array) -> Any:
    return (y >= 0) & (y <= 1)


def _not_negative(y: Array) -> Any:
    return y >= 0


def _is_sign(y: Array) -> Any:
    return (y == 1) | (y == -1)


_FINITE = _Rule(np.isfinite, "are finite", "Drop or fill that example.")
_RANGES = {
    "real": _FINITE,
    "probability": _Rule(_within_0_1, "are in [0, 1]", "Give 0/1 targets or probabilities."),
    "distribution": _Rule(_within_0_1, "are in [0, 1]", "Give class labels, one-hot rows or probabilities."),
    "count": _Rule(_not_negative, "are not negative", "Give counts or rates, or take another cost."),
    "sign": _Rule(_is_sign, "are -1 or +1", "For 0/1 targets use 2 * y - 1."),
}


def _place(index: tuple[int, ...]) -> str:
    if len(index) == 2:
        return f"row {index[0]}, column {index[1]}"
    return f"entry {', '.join(map(str, index))}" if index else "its only entry"


def _check_sums(cost: str, y: Array, name: str) -> None:
    sums = y.sum(axis=-1)
    bad = np.argwhere(np.abs(sums - 1.0) > 0.01)
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise DataError(
            f"{cost} needs targets whose rows sum to 1, but row {', '.join(map(str, index)) or '0'} of "
            f"{name} sums to {sums[index]:.6g}. Divide each row by its sum, or take binary_cross_entropy for "
            "labels that do not exclude one another."
        )
