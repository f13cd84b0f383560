"""Activations of a whole layer: softmax, a learnable slope per neuron, a choice per neuron."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from clearprop.activations.base import NO_PARAMS, ActivationFunction, Params, activations
from clearprop.arrays import Array, at_least, at_most, namespace, real_part, softmax
from clearprop.checks import as_items, check_flag, check_number
from clearprop.errors import OptionError, ShapeError
from clearprop.registry import description

__all__ = ["PReLU", "PerNeuron", "Softmax", "per_neuron"]


@activations.register()
@description
class Softmax(ActivationFunction):
    """a_j = exp(z_j) / sum_k exp(z_k): a probability distribution over the neurons (Bridle, 1990).

    Every a_j depends on every z_k, so there is no elementwise derivative. From
    da_k/dz_j = a_k (1[j=k] - a_j): dC_dz_j = a_j (dC_da_j - sum_k a_k dC_da_k).

    >>> a = Softmax().f(np.array([0.0, np.log(3.0)]))
    >>> a
    array([0.25, 0.75])
    >>> Softmax().backward(a, a, dC_da=np.array([1.0, 0.0]))[0]
    array([ 0.1875, -0.1875])
    """

    name: ClassVar[str] = "softmax"
    formula: ClassVar[str] = "exp(z_j) / sum_k exp(z_k)"
    derivative: ClassVar[str] = "da_k/dz_j = a_k * (1[j=k] - a_j)"
    elementwise: ClassVar[bool] = False
    distribution: ClassVar[bool] = True
    limits = (0.0, 1.0)

    def f(self, z: Array) -> Array:
        """Return exp(z_j) / sum_k exp(z_k) over the last axis."""
        return softmax(z)

    def backward(
        self, z: Array, a: Array, dC_da: Array, params: Params = NO_PARAMS
    ) -> tuple[Array, dict[str, Array]]:
        """Return a_j (dC_da_j - sum_k a_k dC_da_k), and no gradients of parameters."""
        mean = namespace(a).sum(a * dC_da, axis=-1, keepdims=True)
        return a * (dC_da - mean), {}


@activations.register()
@description
class PReLU(ActivationFunction):
    """f(z) = z for z > 0, else alpha z, with learnable alpha (He, Zhang, Ren, Sun, 2015).

    Parameters: `initial`, the first value of every alpha; `shared`: one alpha for the layer
    rather than one per neuron. The layer owns `alpha`, of shape (n,) or (1,); weight decay
    should leave it alone. dC_dalpha_j = dC_da_j min(z_j, 0), summed over the neurons if shared.
    f'(0) is taken as alpha. `f` and `df`, which know no parameters, use `initial`.

    >>> z = np.array([-2.0, 3.0])
    >>> PReLU().forward(z, {"alpha": np.array([0.5, 0.5])})
    array([-1.,  3.])
    >>> dC_dz, dC_dparams = PReLU().backward(z, z, np.ones(2), {"alpha": np.array([0.5, 0.5])})
    >>> dC_dz, dC_dparams["alpha"]
    (array([0.5, 1. ]), array([-2.,  0.]))
    """

    name: ClassVar[str] = "prelu"
    formula: ClassVar[str] = "z if z > 0 else alpha * z"
    derivative: ClassVar[str] = "1 if z > 0 else alpha"
    kinks = (0.0,)
    initializer = "he_normal"
    initial: float = 0.25
    shared: bool = False

    def __post_init__(self) -> None:
        check_number(self, "initial")
        check_flag(self, "shared")

    @property
    def limits(self) -> tuple[float, float]:
        """f(-inf) and f(inf) at the initial alpha."""
        return (-self.initial * math.inf if self.initial else 0.0, math.inf)

    @property
    def gain(self) -> float:
        """sqrt(2 / (1 + initial^2))."""
        return math.sqrt(2.0 / (1.0 + self.initial**2))

    def parameters(self, n: int) -> dict[str, tuple[tuple[int, ...], float]]:
        """Return alpha: shape (n,), or (1,) if shared."""
        return {"alpha": ((1 if self.shared else n,), self.initial)}

    def f(self, z: Array) -> Array:
        """Return f(z) with the initial alpha."""
        return _prelu(z, self.initial)

    def df(self, z: Array, a: Array) -> Array:
        """Return f'(z) with the initial alpha."""
        xp = namespace(z)
        slope: Array = xp.asarray(xp.where(real_part(z) > 0, 1.0, self.initial), dtype=z.dtype)
        return slope

    def forward(self, z: Array, params: Params = NO_PARAMS) -> Array:
        """Return max(z, 0) + alpha min(z, 0)."""
        return _prelu(z, _alpha(params))

    def backward(
        self, z: Array, a: Array, dC_da: Array, params: Params = NO_PARAMS
    ) -> tuple[Array, dict[str, Array]]:
        """Return dC_da (1 if z > 0 else alpha), and dC_dalpha per example: (…, n), or (…, 1) if shared."""
        xp = namespace(z)
        dC_dalpha = dC_da * at_most(z, 0.0)
        if self.shared:
            dC_dalpha = xp.sum(dC_dalpha, axis=-1, keepdims=True)
        dC_dz = dC_da * xp.where(real_part(z) > 0, 1.0, _alpha(params))
        return dC_dz, {"alpha": dC_dalpha}


def _prelu(z: Array, alpha: Any) -> Array:
    """Return max(z, 0) + alpha min(z, 0), with 0 for alpha = 0 and z = -inf."""
    xp = namespace(z)
    left: Array = xp.where(alpha == 0, 0.0, at_most(z, 0.0))  # 0 * -inf would be NaN
    a: Array = at_least(z, 0.0) + alpha * left
    return a


def _alpha(params: Params) -> Array:
    if "alpha" not in params:
        raise OptionError(
            "activation 'prelu' needs its parameter 'alpha'. Pass params={'alpha': …}, of shape (n,) or (1,)."
        )
    return params["alpha"]


class Group(NamedTuple):
    """The neurons of a layer that share one of the choices."""

    choice: int
    neurons: Any


class Plan(NamedTuple):
    """Which neurons use which choice, and how to put their columns back in order."""

    groups: tuple[Group, ...]
    order: Any


@lru_cache(maxsize=256)
def _plan(choice_of: tuple[int, ...]) -> Plan:
    chosen = np.array(choice_of)
    groups = tuple(Group(int(k), np.flatnonzero(chosen == k)) for k in np.unique(chosen))
    return Plan(groups, np.argsort(np.concatenate([group.neurons for group in groups])))


@activations.register()
@description
class PerNeuron(ActivationFunction):
    """a_j = f_j(z_j): an elementwise activation of its own for every neuron (Nielsen, chapter 2, exercise 1).

    Parameters:
    `choices`: names or activations, elementwise and without learnable parameters.
    `counts`: how many neurons in a row each choice is for; left out, one each.
    `repeat`: whether the pattern is dealt again and again along a layer of any size (True), or
    has to be as long as the layer (False, as `per_neuron` has it).

    `kinks` is the union over the choices; `limits` are those that all choices share, else NaN;
    `initializer` is that of most neurons; `gain` follows from the mean of E[f_j(Z)^2] over the pattern.

    Errors: `ShapeError` if the layer has another number of neurons; `OptionError` for a choice
    that is not elementwise.

    >>> PerNeuron(("identity", "relu"), counts=(1, 2), repeat=False).f(np.array([-1.0, -1.0, 2.0]))
    array([-1.,  0.,  2.])
    """

    name: ClassVar[str] = "per_neuron"
    formula: ClassVar[str] = "f_j(z_j)"
    derivative: ClassVar[str] = "f_j'(z_j)"
    choices: tuple[Any, ...] = ("tanh", "relu")
    counts: tuple[int, ...] = ()
    repeat: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.choices, str | ActivationFunction):
            raise OptionError(
                f"per_neuron takes a list of activations. Got {self.choices!r}; write [{self.choices!r}]."
            )
        choices = tuple(activations.make(choice) for choice in as_items("choices", self.choices))
        if not choices:
            raise OptionError("per_neuron needs at least one activation. Got none.")
        for choice in choices:
            if not choice.elementwise or choice.parameters(1):
                raise OptionError(
                    f"per_neuron takes elementwise activations without learnable parameters. "
                    f"Got {choice.name!r}."
                )
        counts = as_items("counts", self.counts)
        if counts and (len(counts) != len(choices) or not all(_is_count(n) for n in counts)):
            raise OptionError(
                f"the counts of per_neuron must be one whole number of at least 1 for each of the "
                f"{len(choices)} choices. Got {counts!r}."
            )
        object.__setattr__(self, "choices", choices)
        object.__setattr__(self, "counts", tuple(int(n) for n in counts))
        check_flag(self, "repeat")

    @cached_property
    def _distinct(self) -> tuple[ActivationFunction, ...]:
        return tuple(dict.fromkeys(self.choices))

    @cached_property
    def pattern(self) -> tuple[int, ...]:
        """For each neuron in turn, the index of its choice among the distinct ones."""
        number = {choice: k for k, choice in enumerate(self._distinct)}
        counts = self.counts or (1,) * len(self.choices)
        return tuple(number[choice] for choice, n in zip(self.choices, counts, strict=True) for _ in range(n))

    @property
    def kinks(self) -> tuple[float, ...]:
        """The kinks of all choices, in order."""
        return tuple(sorted({kink for choice in self._distinct for kink in choice.kinks}))

    @property
    def complex_safe(self) -> bool:
        """Whether every choice is."""
        return all(choice.complex_safe for choice in self._distinct)

    @property
    def limits(self) -> tuple[float, float]:
        """The limits that all choices share; NaN where they differ."""
        low, high = ({choice.limits[end] for choice in self._distinct} for end in (0, 1))
        return (low.pop() if len(low) == 1 else math.nan, high.pop() if len(high) == 1 else math.nan)

    @property
    def initializer(self) -> str:
        """The initialiser of most neurons."""
        names = [self._distinct[k].initializer for k in self.pattern]
        return max(dict.fromkeys(names), key=names.count)

    @property
    def gain(self) -> float:
        """1 / sqrt of the mean of 1 / gain_j^2."""
        squares = [self._distinct[k].gain ** -2 for k in self.pattern]
        return math.sqrt(len(squares) / sum(squares))

    def neuron(self, j: int) -> ActivationFunction:
        """Return the activation of neuron j.

        >>> per_neuron(["tanh", "relu"]).neuron(1)
        ReLU()
        """
        choice: ActivationFunction = self._distinct[self.pattern[j % len(self.pattern) if self.repeat else j]]
        return choice

    def resolved(self, n: int) -> ActivationFunction:
        """Return this activation if it fits a layer of n neurons, else raise `ShapeError`."""
        self._groups(n)
        return self

    def _groups(self, n: int) -> Plan:
        length = len(self.pattern)
        if n == length:
            return _plan(self.pattern)
        if not self.repeat:
            raise ShapeError(
                f"per_neuron describes {length} neurons; the layer has {n}. "
                f"Give {n} activations, or counts that sum to {n}, or repeat=True."
            )
        return _plan((self.pattern * (n // length + 1))[:n])

    def f(self, z: Array) -> Array:
        """Return f_j(z_j). z, result: (…, n)."""
        xp, plan = namespace(z), self._groups(z.shape[-1])
        parts = [
            self._distinct[group.choice].f(xp.take(z, xp.asarray(group.neurons), axis=-1))
            for group in plan.groups
        ]
        a: Array = xp.take(xp.concat(parts, axis=-1), xp.asarray(plan.order), axis=-1)
        return a

    def df(self, z: Array, a: Array) -> Array:
        """Return f_j'(z_j). z, a, result: (…, n)."""
        xp, plan = namespace(z), self._groups(z.shape[-1])
        parts = []
        for group in plan.groups:
            neurons = xp.asarray(group.neurons)
            parts.append(
                self._distinct[group.choice].df(xp.take(z, neurons, axis=-1), xp.take(a, neurons, axis=-1))
            )
        slope: Array = xp.take(xp.concat(parts, axis=-1), xp.asarray(plan.order), axis=-1)
        return slope


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 1


def per_neuron(choices: Iterable[Any], counts: Iterable[int] = (), repeat: bool = False) -> PerNeuron:
    """Return the activation of a layer whose neuron j uses choices[j].

    Parameters: `choices`, names or activations; `counts`, how many neurons in a row each is for;
    `repeat`, whether the pattern may be shorter than the layer. Errors: as `PerNeuron`.

    >>> per_neuron(["sigmoid", "tanh", "relu"]).f(np.array([0.0, 1.0, -1.0]))
    array([0.5       , 0.76159416, 0.        ])
    """
    return PerNeuron(choices, counts, repeat)  # type: ignore[arg-type]  # which makes tuples of them
